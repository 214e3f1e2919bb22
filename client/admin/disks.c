/* SPDX-License-Identifier: Apache-2.0 */

/* leat_disks_get(): every broker tells of the directories that it stores in. */
#include "admin/admin.h"

enum { DISKS_MAX = 100000 }; /* of all brokers: far above what there are */

struct disks_result {
    struct memory heap;
    leat_disks disks;
    struct admin_list list;
};

struct disks_op {
    struct admin_op admin;
    int32_t broker;
    struct disks_result *result;
};

static struct disks_op *disks_op(struct call *c)
{
    return container_of(admin_of(c), struct disks_op, admin);
}

static int disks_route(struct call *c, int32_t *broker)
{
    return admin_route_broker(c, disks_op(c)->broker, broker);
}

/* Of no topic: what its partitions take is not asked for. */
static int disks_encode(struct call *c, struct wire_writer *w, int version)
{
    struct describe_log_dirs_request body;
    describe_log_dirs_request_init(&body);
    body.topics_count = 0;
    return describe_log_dirs_request_encode(&body, w, version);
}

static int disk_add(struct disks_result *r, leat_disk disk, struct wire_string path)
{
    leat_disk *one = memory_alloc(&r->heap, sizeof *one);
    if (!one) {
        return ERR_NO_MEMORY;
    }
    *one = disk;
    one->path = memory_string(&r->heap, path.data, path.size > 0 ? (size_t)path.size : 0);
    return one->path ? admin_append(&r->heap, &r->list, DISKS_MAX, one) : ERR_NO_MEMORY;
}

static int disks_decode(struct call *c, struct reader *reader, int version)
{
    struct disks_op *op = disks_op(c);
    struct describe_log_dirs_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = describe_log_dirs_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, wire_string_null(), "");
    }
    for (int32_t i = 0; !error && i < body.results_count; i++) {
        const struct describe_log_dirs_response_results *in = &body.results[i];
        error = disk_add(op->result,
                         (leat_disk){.broker = op->broker,
                                     .code = in->error_code ? -in->error_code : 0,
                                     .total_bytes = in->total_bytes,
                                     .usable_bytes = in->usable_bytes},
                         in->log_dir);
    }
    arena_deinit(&arena);
    return error;
}

/* One that does not answer is told as one whose disk is not known: the others are. */
static int disks_ask(leat_client *c, int32_t broker, struct disks_result *result)
{
    static const struct call_kind kind = {
        .request = {WIRE_DESCRIBE_LOG_DIRS, 1, 4},
        .name = "look at the disks of",
        .route = disks_route,
        .encode = disks_encode,
        .decode = disks_decode,
    };
    struct disks_op op = {
        .admin = {.client = c, .kind = &kind}, .broker = broker, .result = result};
    size_t before = result->list.count;
    leat_error e;
    int error = admin_run(&op.admin, &e);
    if (!error) {
        return 0;
    }
    result->list.count = before;
    return disk_add(
        result, (leat_disk){.broker = broker, .code = error, .total_bytes = -1, .usable_bytes = -1},
        wire_string_of(""));
}

int leat_disks_get(leat_client *c, leat_disks **out, leat_error *e)
{
    leat_meta *meta;
    if (!out) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_disks_get() needs a place for the answer");
    }
    int error = leat_metadata(c, "", &meta, e);
    if (error) {
        return error;
    }
    struct disks_result *result = heap_open(sizeof *result, ADMIN_HEAP_MAX);
    error = result ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; !error && i < meta->broker_count; i++) {
        error = disks_ask(c, meta->brokers[i]->id, result);
    }
    leat_meta_free(meta);
    if (error) {
        heap_close(result);
        return error_set(e, error, "no memory for what the brokers tell of their disks");
    }
    result->disks = (leat_disks){(const leat_disk *const *)result->list.items, result->list.count};
    *out = &result->disks;
    return error_clear(e);
}

void leat_disks_free(leat_disks *disks)
{
    if (disks) {
        heap_close(container_of(disks, struct disks_result, disks));
    }
}
