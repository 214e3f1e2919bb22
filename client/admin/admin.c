/* SPDX-License-Identifier: Apache-2.0 */

#include "admin/admin.h"

enum { UNKNOWN_TOPIC_ANSWERS_MAX = 3 };

static void admin_metadata_changed(struct core_member *m)
{
    struct admin_op *op = container_of(m, struct admin_op, member);
    call_hasten(&op->call);
}

static void admin_done(struct call *c)
{
    struct admin_op *op = admin_of(c);
    struct core *core = c->core;
    core_leave(core, &op->member);
    if (op->meta) {
        topic_put(core, op->meta);
    }
    shell_finish(op->client->shell, &op->finished);
}

static void admin_start(struct shell_task *task)
{
    struct admin_op *op = container_of(task, struct admin_op, task);
    struct core *core = &op->client->core;
    op->member.metadata_changed = admin_metadata_changed;
    core_join(core, &op->member);
    if (op->topic) {
        op->meta = topic_get(core, op->topic, false);
    }
    int timeout_ms = op->timeout_ms ? op->timeout_ms : core->options.timeout_ms;
    call_start(&op->call, core, op->kind, core_after_ms(core, timeout_ms), admin_done);
}

int admin_run(struct admin_op *op, leat_error *e)
{
    client_check(op->client);
    op->task.run = admin_start;
    shell_call(op->client->shell, &op->task, &op->finished);
    return op->call.error.code ? error_copy(e, &op->call.error) : error_clear(e);
}

int admin_route_leader(struct call *c, int32_t *broker)
{
    struct admin_op *op = admin_of(c);
    struct topic *t = op->meta;
    c->follows_leader = true;
    if (t && c->attempts > 1) {
        metadata_refresh(c->core, t);
    }
    if (!t) {
        return error_set(&c->error, ERR_INVALID_TOPIC, "'%.60s' cannot be a topic: %s", op->topic,
                         error_text(ERR_INVALID_TOPIC));
    }
    if (t->error == ERR_UNKNOWN_TOPIC_OR_PARTITION && t->failures >= UNKNOWN_TOPIC_ANSWERS_MAX) {
        error_set(&c->error, t->error, "topic %s does not exist", op->topic);
        c->error.retriable = false;
        return c->error.code;
    }
    if (t->error) {
        /* Nothing is known of the topic as long as no broker can be asked. */
        const leat_error *problem = &c->core->problem;
        return error_set(&c->error, t->error, "cannot %s %.80s: %s", c->kind->name, op->topic,
                         problem->code ? problem->message : error_text(t->error));
    }
    if (op->partition < 0 || op->partition >= t->partition_count) {
        metadata_refresh(c->core, op->meta);
        error_set(&c->error, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                  "topic %s has no partition %d: its last partition is %d", op->topic,
                  (int)op->partition, (int)t->partition_count - 1);
        c->error.retriable = c->attempts < UNKNOWN_TOPIC_ANSWERS_MAX;
        return c->error.code;
    }
    *broker = t->partitions[op->partition].leader;
    if (*broker < 0) {
        metadata_refresh(c->core, op->meta);
        return error_set(&c->error, ERR_LEADER_NOT_AVAILABLE, "%s-%d has no leader at the moment",
                         op->topic, (int)op->partition);
    }
    return 0;
}

int admin_route_broker(struct call *c, int32_t id, int32_t *broker)
{
    if (metadata_broker(c->core, id)) {
        *broker = id;
        return 0;
    }
    /* Once the brokers have been asked for, and it is not among them, waiting is of no use. */
    bool gone = c->attempts > 1 && !c->core->metadata.wanted;
    metadata_refresh(c->core, NULL);
    error_set(&c->error, ERR_BROKER_NOT_AVAILABLE,
              "cannot %s: broker %d is not in the cluster any more", c->kind->name, (int)id);
    c->error.retriable = !gone;
    return c->error.code;
}

int admin_route_controller(struct call *c, int32_t *broker)
{
    *broker = CALL_CONTROLLER;
    return 0;
}

int admin_error(struct call *c, int16_t wire_code, struct wire_string message, const char *what)
{
    int error = error_from_wire(wire_code);
    if (!error) {
        return 0;
    }
    const char *text = message.size > 0 ? message.data : error_text(error);
    int size = message.size > 0 ? message.size : (int)strlen(text);
    return error_set(&c->error, error, "cannot %s %.80s: %.*s", c->kind->name, what, size, text);
}

const int32_t *admin_ids(struct memory *heap, const int32_t *ids, int32_t count, size_t *out)
{
    *out = count > 0 ? (size_t)count : 0;
    int32_t *copy = memory_alloc(heap, (*out + 1) * sizeof *copy);
    if (copy && *out) {
        memcpy(copy, ids, *out * sizeof *copy);
    }
    return copy;
}

int admin_append(struct memory *heap, struct admin_list *l, size_t most, void *item)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 64;
        void *grown =
            capacity <= most ? memory_resize(heap, l->items, capacity * sizeof *l->items) : NULL;
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        l->items = grown;
        l->capacity = capacity;
    }
    l->items[l->count++] = item;
    return 0;
}
