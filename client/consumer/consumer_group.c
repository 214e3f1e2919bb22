/* SPDX-License-Identifier: Apache-2.0 */

/* The public functions of members of a group: subscribing, commits, what the group has given. */
#include "consumer/consumer_private.h"

#include <stdlib.h>

int leat_assignment(leat_consumer *k, const leat_offset **parts, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    arena_deinit(&k->assignment);
    gate_enter(&k->gate.gate);
    size_t count = 0;
    leat_offset *out = arena_array(&k->assignment, k->fetcher.assigned_count + 1, sizeof *out);
    bool whole = out != NULL;
    list_each (node, &k->fetcher.assigned) {
        const struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        size_t size = strlen(p->topic) + 1;
        char *topic = whole ? arena_alloc(&k->assignment, size) : NULL;
        whole = topic != NULL;
        if (whole) {
            memcpy(topic, p->topic, size);
            out[count++] = (leat_offset){.topic = topic,
                                         .partition = p->partition,
                                         .leader_epoch = p->position_epoch,
                                         .offset = p->position};
        }
    }
    gate_leave(&k->gate.gate);
    if (!whole) {
        return error_set(e, ERR_NO_MEMORY, "no memory for the list of partitions");
    }
    *parts = out;
    error_clear(e);
    return (int)count;
}

int leat_subscribe(leat_consumer *k, const char *const *topics, size_t count, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    int error = consumer_needs_group(k, "leat_subscribe()", e);
    if (error) {
        return error;
    }
    struct subscription_wish *wish = NULL;
    gate_enter(&k->gate.gate);
    error = wish_new(&k->group, topics, count, &wish, e);
    if (!error) {
        if (k->group.manual) {
            consumer_replace(k, NULL, 0);
        }
        group_wish(&k->group, wish, false);
        group_poll_end(&k->group, shell_now());
    }
    gate_leave(&k->gate.gate);
    if (error) {
        return error;
    }
    consumer_post(k);
    return error_clear(e);
}

int leat_unsubscribe(leat_consumer *k, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    int error = consumer_needs_group(k, "leat_unsubscribe()", e);
    if (error) {
        return error;
    }
    gate_enter(&k->gate.gate);
    if (k->group.manual) {
        consumer_replace(k, NULL, 0);
    } else {
        poller_drop_all(&k->poller);
        group_let_go(&k->group);
    }
    group_wish(&k->group, NULL, false);
    k->group.settled = false;
    gate_leave(&k->gate.gate);
    consumer_post(k);
    uint64_t deadline = shell_deadline(k->client->options.timeout_ms);
    gate_enter(&k->gate.gate);
    while (!k->group.settled && shell_gate_wait(&k->gate, deadline)) {
    }
    bool settled = k->group.settled;
    gate_leave(&k->gate.gate);
    return settled ? error_clear(e)
                   : error_set(e, ERR_TIMEOUT,
                               "group %.80s: the last commit could not be made in time; it is "
                               "tried on",
                               k->options.group_id);
}

int leat_rebalance(leat_consumer *k, const leat_change **changes, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    arena_deinit(&k->changes);
    gate_enter(&k->gate.gate);
    size_t most = k->grouped ? k->group.change_count : 0, count = 0;
    leat_change *out = arena_array(&k->changes, most + 1, sizeof *out);
    while (out && count < most) {
        struct group_change *c =
            container_of(list_first(&k->group.changes), struct group_change, link);
        size_t size = strlen(c->topic) + 1;
        char *topic = arena_alloc(&k->changes, size);
        if (!topic) {
            break; /* the rest comes with the next call */
        }
        memcpy(topic, c->topic, size);
        out[count++] = (leat_change){.kind = c->kind, .partition = c->partition, .topic = topic};
        list_remove(&c->link);
        memory_free(&k->heap, c);
        k->group.change_count--;
    }
    gate_leave(&k->gate.gate);
    if (count < most && count == 0) {
        return error_set(e, ERR_NO_MEMORY, "no memory for the list of changes");
    }
    *changes = out;
    error_clear(e);
    return (int)count;
}

/* In the gate, with a commit that may be NULL: waits for it. */
static int consumer_commit_wait(leat_consumer *k, struct commit *c, int timeout_ms,
                                uint64_t deadline, leat_error *e)
{
    if (!c) {
        return error_clear(e);
    }
    c->waited = timeout_ms != 0;
    gate_leave(&k->gate.gate);
    consumer_post(k);
    gate_enter(&k->gate.gate);
    if (timeout_ms == 0) {
        return error_clear(e);
    }
    while (!c->ended && shell_gate_wait(&k->gate, deadline)) {
    }
    int error = c->ended ? c->error.code : ERR_TIMEOUT;
    if (!c->ended) {
        error_set(e, ERR_TIMEOUT, "group %.80s: nothing is known of the commit yet",
                  k->options.group_id);
    } else if (error) {
        error_copy(e, &c->error);
    } else {
        error_clear(e);
    }
    group_commit_free(&k->group, c);
    return error;
}

int leat_commit_offsets(leat_consumer *k, const leat_offset *offsets, size_t count, int timeout_ms,
                        leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    struct commit *c = NULL;
    int error = consumer_needs_group(k, "a commit", e);
    if (error) {
        return error;
    }
    uint64_t deadline = shell_deadline(timeout_ms ? timeout_ms : k->client->options.timeout_ms);
    gate_enter(&k->gate.gate);
    error = offsets ? group_commit_offsets(&k->group, offsets, count, deadline, &c, e)
                    : group_commit(&k->group, false, deadline, &c, e);
    if (!error) {
        error = consumer_commit_wait(k, c, timeout_ms, deadline, e);
    }
    gate_leave(&k->gate.gate);
    return error;
}

int leat_commit(leat_consumer *k, int timeout_ms, leat_error *e)
{
    return leat_commit_offsets(k, NULL, 0, timeout_ms, e);
}

/* --- what is committed --- */

struct committed_op {
    struct shell_task task;
    struct offsets_call call;
    leat_client *client;
    struct arena arena; /* of the I/O thread's memory */
    uint64_t deadline_ns;
    bool finished;
};

static void committed_done(struct offsets_call *c)
{
    struct committed_op *op = container_of(c, struct committed_op, call);
    shell_finish(op->client->shell, &op->finished);
}

static void committed_start(struct shell_task *task)
{
    struct committed_op *op = container_of(task, struct committed_op, task);
    arena_init(&op->arena, op->client->core.memory, PROTOCOL_ARENA_MAX);
    op->call.arena = &op->arena;
    offsets_call_start(&op->call, op->deadline_ns);
}

static void committed_end(struct shell_task *task)
{
    struct committed_op *op = container_of(task, struct committed_op, task);
    arena_deinit(&op->arena);
    shell_finish(op->client->shell, &op->finished);
}

/* Gives the caller what came, in his order. */
static int committed_give(leat_consumer *k, struct committed_op *op, leat_offset *offsets,
                          size_t count, leat_error *e)
{
    for (size_t i = 0; i < count; i++) {
        const struct named_partition key = {offsets[i].topic, offsets[i].partition};
        const struct named_partition *at =
            bsearch(&key, op->call.parts, op->call.count, sizeof key, named_partition_compare);
        const struct committed *found = &op->call.out[at - op->call.parts];
        if (found->error) {
            return error_set(e, found->error, "%s-%d: cannot learn what is committed: %s",
                             offsets[i].topic, (int)offsets[i].partition, error_text(found->error));
        }
        size_t size = strlen(found->metadata) + 1;
        char *metadata = arena_alloc(&k->committed, size);
        if (!metadata) {
            return error_set(e, ERR_NO_MEMORY, "no memory for committed offsets");
        }
        memcpy(metadata, found->metadata, size);
        offsets[i].offset = found->offset;
        offsets[i].leader_epoch = found->leader_epoch;
        offsets[i].metadata = metadata;
    }
    return error_clear(e);
}

int leat_committed(leat_consumer *k, leat_offset *offsets, size_t count, int timeout_ms,
                   leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    struct committed_op op = {.client = k->client};
    int error = consumer_needs_group(k, "a committed offset", e);
    for (size_t i = 0; !error && i < count; i++) {
        if (!offsets[i].topic || offsets[i].partition < 0) {
            error = error_set(e, ERR_INVALID_ARGUMENT, "an offset needs a topic and a partition");
        }
    }
    if (error || count == 0) {
        return error ? error : error_clear(e);
    }
    arena_deinit(&k->committed);
    struct named_partition *parts = arena_array(&k->committed, count, sizeof *parts);
    op.call = (struct offsets_call){
        .group = &k->group,
        .parts = parts,
        .out = arena_array(&k->committed, count, sizeof *op.call.out),
        .done = committed_done,
    };
    if (!parts || !op.call.out) {
        return error_set(e, ERR_NO_MEMORY, "no memory for committed offsets");
    }
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct named_partition){offsets[i].topic, offsets[i].partition};
    }
    qsort(parts, count, sizeof *parts, named_partition_compare);
    for (size_t i = 0; i < count; i++) {
        if (op.call.count == 0 ||
            named_partition_compare(&parts[op.call.count - 1], &parts[i]) != 0) {
            parts[op.call.count++] = parts[i];
        }
    }
    op.deadline_ns = shell_deadline(timeout_ms);
    op.task.run = committed_start;
    shell_call(k->client->shell, &op.task, &op.finished);
    error = op.call.call.error.code ? error_copy(e, &op.call.call.error)
                                    : committed_give(k, &op, offsets, count, e);
    op.task.run = committed_end;
    op.finished = false;
    shell_call(k->client->shell, &op.task, &op.finished);
    return error;
}
