/* SPDX-License-Identifier: Apache-2.0 */

/* InitProducerId: a number that no producer of this cluster ever had, for deduplication.
 *
 * Numbers come in blocks that the metadata log records before one of them is handed out (PROTOCOL
 * 9, trap 11); each shard has a block of its own. Requests that find it used up wait for the next.
 * A transactional id belongs to a coordinator, and there is none yet. */
#include "api/request.h"

struct producer_ids {
    struct api *api;
    int64_t next;
    int32_t left;
    bool asking;
    struct meta_op op;
    struct list waiting; /* of struct waiting_id */
};

struct waiting_id {
    struct list link;
    struct api_request *request;
};

static void respond(struct api_request *r, int error, int64_t id)
{
    struct init_producer_id_response response;
    init_producer_id_response_init(&response);
    response.error_code = error_to_wire(error);
    response.producer_id = error ? -1 : id;
    response.producer_epoch = error ? -1 : 0;
    api_respond(r, &response);
}

static void block_ask(struct producer_ids *ids);

static void ids_serve(struct producer_ids *ids, int error)
{
    while (!list_empty(&ids->waiting) && (error || ids->left > 0)) {
        struct waiting_id *w = container_of(list_pop(&ids->waiting), struct waiting_id, link);
        if (!error) {
            ids->left--;
        }
        respond(w->request, error, error ? -1 : ids->next++);
    }
    if (!list_empty(&ids->waiting)) {
        block_ask(ids);
    }
}

static void block_done(struct meta_op *op)
{
    struct producer_ids *ids = container_of(op, struct producer_ids, op);
    assert(ids->asking && ids->left == 0);
    ids->asking = false;
    if (!op->error) {
        assert(op->producer_id_count > 0);
        ids->next = op->producer_id_first;
        ids->left = op->producer_id_count;
    }
    ids_serve(ids, op->error ? ERR_COORDINATOR_LOAD_IN_PROGRESS : 0);
}

static void block_ask(struct producer_ids *ids)
{
    if (!ids->asking) {
        ids->asking = true;
        ids->op = (struct meta_op){.kind = META_PRODUCER_IDS, .done = block_done};
        meta_submit(ids->api->options.rooms.meta, ids->api->io, &ids->op);
    }
}

struct producer_ids *producer_ids_new(struct api *api)
{
    struct producer_ids *ids = memory_alloc(io_memory(api->io), sizeof *ids);
    if (ids) {
        ids->api = api;
        list_init(&ids->waiting);
    }
    return ids;
}

void producer_ids_free(struct producer_ids *ids)
{
    if (ids) {
        assert(!ids->asking && list_empty(&ids->waiting));
        memory_free(io_memory(ids->api->io), ids);
    }
}

void handle_init_producer_id(struct api_request *r)
{
    struct init_producer_id_request *q = api_decode(r);
    if (!q) {
        return;
    }
    struct producer_ids *ids = r->api->producer_ids;
    if (q->transactional_id.size >= 0) {
        respond(r,
                q->transactional_id.size == 0 ? ERR_INVALID_REQUEST : ERR_COORDINATOR_NOT_AVAILABLE,
                -1);
        return;
    }
    struct waiting_id *w = api_alloc(r, 1, sizeof *w);
    if (!w) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    w->request = r;
    list_init(&w->link);
    list_append(&ids->waiting, &w->link);
    ids_serve(ids, 0);
}
