/* SPDX-License-Identifier: Apache-2.0 */

/* See admin.h. */
#include "api/admin.h"

enum { TIMEOUT_DEFAULT_MS = 60000 };

static void admin_answer(struct admin *a)
{
    assert(!a->answered);
    a->answered = true;
    deadline_cancel(&a->request->api->deadlines, &a->deadline);
    for (uint32_t i = 0; i < a->count; i++) {
        struct admin_op *op = &a->ops[i];
        if (op->submitted && !op->done) {
            op->error = ERR_REQUEST_TIMED_OUT;
        }
    }
    a->answer(a);
}

static void admin_late(struct deadline *d)
{
    admin_answer(container_of(d, struct admin, deadline));
}

struct admin *admin_new(struct api_request *r, size_t count, enum meta_kind kind,
                        bool validate_only, void (*answer)(struct admin *a))
{
    struct admin *a = api_alloc(r, 1, sizeof *a);
    struct admin_op *ops = a ? api_alloc(r, count, sizeof *ops) : NULL;
    if (!ops) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return NULL;
    }
    a->request = r;
    a->ops = ops;
    a->count = (uint32_t)count;
    a->answer = answer;
    a->deadline.due = admin_late;
    for (size_t i = 0; i < count; i++) {
        ops[i].admin = a;
        ops[i].op.kind = kind;
        ops[i].op.validate_only = validate_only;
    }
    return a;
}

void admin_refuse(struct admin_op *op, int error, const char *why)
{
    assert(error < 0 && !op->submitted);
    op->done = true;
    op->error = error;
    op->why = why;
}

void admin_note_ignored(struct admin_op *op, const char *key)
{
    struct api *api = op->admin->request->api;
    const char *why = op->op.topic ? topic_key_ignored(bytes_of_string(key)) : NULL;
    if (why && api_may_log(api)) {
        log_warn(io_logger(api->io), "api", "configuration ignored: topic=%s key=%s reason=\"%s\"",
                 op->op.topic, key, why);
    }
}

char *admin_string(struct api_request *r, struct wire_string s)
{
    if (s.size < 0 || (s.size > 0 && memchr(s.data, 0, (size_t)s.size))) {
        return NULL;
    }
    char *text = api_alloc(r, (size_t)s.size + 1, 1);
    if (text && s.size > 0) {
        memcpy(text, s.data, (size_t)s.size);
    }
    return text;
}

char *admin_name(struct api_request *r, struct wire_string s)
{
    bool none = s.size < 0 || (s.size > 0 && memchr(s.data, 0, (size_t)s.size));
    return admin_string(r, none ? wire_string_of("") : s);
}

static void admin_seen(struct barrier *b)
{
    struct admin *a = container_of(b, struct admin, barrier);
    struct api_request *r = a->request;
    if (!a->answered) {
        admin_answer(a);
    }
    net_unhold(&r->net);
}

static void admin_finish(struct admin *a)
{
    assert(a->pending > 0);
    if (--a->pending == 0) {
        a->barrier.passed = admin_seen;
        barrier_pass(&a->barrier, a->request->api);
    }
}

static void op_done(struct meta_op *meta)
{
    struct admin_op *op = container_of(meta, struct admin_op, op);
    op->done = true;
    if (!op->admin->answered) {
        op->error = meta->error;
        op->why = meta->why[0] ? meta->why : NULL;
    }
    admin_finish(op->admin);
}

void admin_go(struct admin *a, int32_t timeout_ms)
{
    struct api *api = a->request->api;
    uint64_t ms = timeout_ms > 0 ? (uint64_t)timeout_ms : TIMEOUT_DEFAULT_MS;
    net_hold(&a->request->net);
    deadline_set(&api->deadlines, &a->deadline, io_now(api->io) + ms * 1000000);
    a->pending = 1;
    for (uint32_t i = 0; i < a->count; i++) {
        struct admin_op *op = &a->ops[i];
        if (!op->done) {
            op->submitted = true;
            op->op.done = op_done;
            op->op.here = api_from_broker(a->request);
            a->pending++;
            meta_submit(api->options.rooms.meta, api->io, &op->op);
        }
    }
    admin_finish(a);
}

int16_t admin_error(const struct admin_op *op)
{
    return error_to_wire(op->error);
}

struct wire_string admin_message(const struct admin_op *op)
{
    if (!op->error) {
        return wire_string_null();
    }
    return wire_string_of(op->why ? op->why : error_text(op->error));
}
