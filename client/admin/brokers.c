/* SPDX-License-Identifier: Apache-2.0 */

/* leat_brokers_get(): DescribeCluster, with the brokers that are fenced. */
#include "admin/admin.h"

#include <stdlib.h>

struct brokers_result {
    struct memory heap;
    leat_brokers brokers;
};

struct brokers_op {
    struct admin_op admin;
    struct brokers_result *result;
};

static int brokers_encode(struct call *c, struct wire_writer *w, int version)
{
    struct describe_cluster_request body;
    describe_cluster_request_init(&body);
    body.include_fenced_brokers = version >= 2;
    return describe_cluster_request_encode(&body, w, version);
}

static const char *text_of(struct memory *heap, struct wire_string s)
{
    return s.size < 0 ? NULL : memory_string(heap, s.data, (size_t)s.size);
}

static int broker_compare(const void *left, const void *right)
{
    const leat_broker *a = *(leat_broker *const *)left;
    const leat_broker *b = *(leat_broker *const *)right;
    return (a->id > b->id) - (a->id < b->id);
}

static int brokers_build(struct brokers_result *out, const struct describe_cluster_response *in)
{
    size_t count = in->brokers_count > 0 ? (size_t)in->brokers_count : 0;
    leat_broker **list = memory_alloc(&out->heap, (count + 1) * sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        const struct describe_cluster_response_brokers *from = &in->brokers[i];
        const char *host = text_of(&out->heap, from->host);
        list[i] = host ? memory_alloc(&out->heap, sizeof *list[i]) : NULL;
        if (!list[i]) {
            return ERR_NO_MEMORY;
        }
        *list[i] = (leat_broker){
            .id = from->broker_id,
            .port = from->port,
            .host = host,
            .rack = text_of(&out->heap, from->rack),
            .fenced = from->is_fenced,
        };
    }
    if (!list) {
        return ERR_NO_MEMORY;
    }
    qsort(list, count, sizeof *list, broker_compare);
    out->brokers = (leat_brokers){(const leat_broker *const *)list, count};
    return 0;
}

static int brokers_decode(struct call *c, struct reader *reader, int version)
{
    struct brokers_op *op = container_of(admin_of(c), struct brokers_op, admin);
    struct describe_cluster_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = describe_cluster_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, body.error_message, "");
    }
    if (!error) {
        op->result = heap_open(sizeof *op->result, ADMIN_HEAP_MAX);
        error = op->result ? brokers_build(op->result, &body) : ERR_NO_MEMORY;
        if (error) {
            heap_close(op->result);
            op->result = NULL;
        }
    }
    arena_deinit(&arena);
    return error;
}

int leat_brokers_get(leat_client *c, leat_brokers **out, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DESCRIBE_CLUSTER, 0, 2},
        .name = "list the brokers",
        .encode = brokers_encode,
        .decode = brokers_decode,
        .repeatable = true,
    };
    struct brokers_op op = {.admin = {.client = c, .kind = &kind}};
    if (!out) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "leat_brokers_get() needs a place for the answer");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        *out = &op.result->brokers;
    }
    return error;
}

void leat_brokers_free(leat_brokers *brokers)
{
    if (brokers) {
        heap_close(container_of(brokers, struct brokers_result, brokers));
    }
}
