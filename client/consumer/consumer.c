/* SPDX-License-Identifier: Apache-2.0 */

/* The consumer's public functions: the poller with waiting around it, and what changes positions,
 * the assignment and the subscription. */
#include "consumer/consumer_private.h"
#include "core/options.h"

#include <stdlib.h>

enum { ASSIGNMENT_MAX = 100000 };

static void consumer_readable(struct leat_consumer *k, bool readable)
{
    if (k->readable != readable) {
        k->readable = readable;
        shell_gate_event(&k->gate, readable);
    }
}

static void consumer_arrived(struct fetcher *f)
{
    struct leat_consumer *k = container_of(f, struct leat_consumer, fetcher);
    consumer_readable(k, true);
    gate_announce(&k->gate.gate);
}

static void consumer_changed(struct group *g)
{
    struct leat_consumer *k = container_of(g, struct leat_consumer, group);
    consumer_readable(k, true);
    gate_announce(&k->gate.gate);
}

static void consumer_wake(struct shell_task *task)
{
    struct leat_consumer *k = container_of(task, struct leat_consumer, wake);
    fetcher_wake(&k->fetcher);
    if (k->grouped) {
        group_wake(&k->group);
    }
}

static void consumer_start(struct shell_task *task)
{
    struct leat_consumer *k = container_of(task, struct leat_consumer, task);
    fetcher_open(&k->fetcher, &k->client->core, &k->gate.gate, &k->heap, &k->options,
                 consumer_arrived);
    if (k->grouped) {
        group_start(&k->group, &k->client->core, &k->gate.gate, &k->heap, &k->fetcher, &k->options,
                    k->options.group_id, consumer_changed);
    }
    shell_finish(k->client->shell, &k->finished);
}

static void consumer_closed(struct fetcher *f)
{
    struct leat_consumer *k = container_of(f, struct leat_consumer, fetcher);
    shell_finish(k->client->shell, &k->finished);
}

static void consumer_left(struct group *g)
{
    struct leat_consumer *k = container_of(g, struct leat_consumer, group);
    fetcher_close(&k->fetcher, consumer_closed);
}

static void consumer_stop(struct shell_task *task)
{
    struct leat_consumer *k = container_of(task, struct leat_consumer, task);
    if (k->grouped) {
        group_close(&k->group, k->close_deadline_ns, consumer_left);
    } else {
        fetcher_close(&k->fetcher, consumer_closed);
    }
}

static int consumer_options(leat_consumer_options *out, const char *group,
                            const leat_consumer_options *options, leat_error *e)
{
    enum strategy strategies[STRATEGY_COUNT];
    unsigned count;
    int error = consumer_options_take(out, options, e);
    if (error) {
        return error;
    }
    if (group && strlen(group) >= sizeof out->group_id) {
        return error_set(e, ERR_BAD_CONFIG, "group.id: longer than %d bytes",
                         (int)sizeof out->group_id - 1);
    }
    if (group) {
        memcpy(out->group_id, group, strlen(group) + 1);
    }
    return group_strategies(out->strategies, strategies, &count, e);
}

int leat_consumer_open(leat_consumer **out, leat_client *c, const char *group,
                       const leat_consumer_options *options, leat_error *e)
{
    client_check(c);
    leat_consumer_options taken;
    int error = consumer_options(&taken, group, options, e);
    if (error) {
        return error;
    }
    size_t records = taken.poll_max_records * sizeof(leat_record);
    struct leat_consumer *k = heap_open(sizeof *k, records + ((size_t)1 << 30));
    leat_record *view = k ? memory_alloc(&k->heap, records) : NULL;
    if (!view || shell_gate_open(&k->gate, true)) {
        heap_close(k);
        return error_set(e, ERR_NO_MEMORY, "no memory for a consumer");
    }
    k->magic = CONSUMER_MAGIC;
    k->client = c;
    k->options = taken;
    k->grouped = taken.group_id[0] != 0;
    poller_open(&k->poller, &k->fetcher, k->grouped ? &k->group : NULL, &k->gate.gate, &k->options,
                view);
    arena_init(&k->changes, &k->poller.scratch, SIZE_MAX);
    arena_init(&k->assignment, &k->poller.scratch, SIZE_MAX);
    arena_init(&k->committed, &k->poller.scratch, SIZE_MAX);
    k->wake.run = consumer_wake;
    k->task.run = consumer_start;
    client_add_handle(c, 1);
    shell_call(c->shell, &k->task, &k->finished);
    *out = k;
    return error_clear(e);
}

void consumer_post(leat_consumer *k)
{
    k->poller.wake = false;
    shell_post(k->client->shell, &k->wake);
}

int consumer_needs_group(const leat_consumer *k, const char *what, leat_error *e)
{
    return k->grouped ? 0
                      : error_set(e, ERR_INVALID_ARGUMENT,
                                  "%s needs a group: open the consumer with one", what);
}

/* --- the assignment: in the gate --- */

static int start_compare(const void *left, const void *right)
{
    return partition_compare(*(struct consumer_partition *const *)left,
                             *(struct consumer_partition *const *)right);
}

static int start_check(const leat_consumer *k, const leat_start *s, leat_error *e)
{
    bool known = s->offset >= 0 || s->offset == LEAT_EARLIEST || s->offset == LEAT_LATEST ||
                 s->offset == LEAT_AT_TIME || s->offset == LEAT_COMMITTED;
    if (!s->topic || s->partition < 0 || !known ||
        (s->offset == LEAT_AT_TIME && s->timestamp_ms < 0)) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "an assignment needs a topic, a partition and an offset (or "
                         "LEAT_EARLIEST, LEAT_LATEST, LEAT_COMMITTED, LEAT_AT_TIME with a time)");
    }
    return s->offset == LEAT_COMMITTED ? consumer_needs_group(k, "LEAT_COMMITTED", e) : 0;
}

void consumer_replace(struct leat_consumer *k, struct consumer_partition **parts, size_t count)
{
    struct list *node;
    poller_drop_all(&k->poller);
    if (k->grouped && k->options.auto_commit && k->fetcher.assigned_count) {
        struct commit *c;
        leat_error e;
        int error =
            group_commit(&k->group, true, shell_deadline(k->client->options.timeout_ms), &c, &e);
        (void)error; /* then it is read again from the commit before */
    }
    while ((node = list_first(&k->fetcher.assigned))) {
        fetcher_remove(&k->fetcher, container_of(node, struct consumer_partition, link));
    }
    fetcher_add(&k->fetcher, parts, count);
    k->fetcher.interrupt = true;
}

/* Whether a group's partitions are held, or about to be. */
static bool consumer_subscribed(const leat_consumer *k)
{
    return k->grouped && !k->group.manual &&
           (k->group.wish || k->fetcher.assigned_count || k->group.release != RELEASE_NONE);
}

static int consumer_assign(leat_consumer *k, const leat_start *starts, size_t count, leat_error *e)
{
    struct consumer_partition **parts = memory_alloc(&k->heap, (count + 1) * sizeof *parts);
    int error = parts ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; !error && i < count; i++) {
        parts[i] = partition_new(&k->heap, starts[i].topic, starts[i].partition, starts[i].offset,
                                 starts[i].timestamp_ms);
        error = parts[i] ? 0 : ERR_NO_MEMORY;
    }
    if (!error && count) {
        qsort(parts, count, sizeof *parts, start_compare);
    }
    for (size_t i = 1; !error && i < count; i++) {
        error = start_compare(&parts[i - 1], &parts[i]) ? 0 : ERR_INVALID_ARGUMENT;
    }
    if (!error) {
        consumer_replace(k, parts, count);
        if (k->grouped) {
            group_wish(&k->group, NULL, count > 0);
        }
    }
    for (size_t i = 0; error && parts && i < count; i++) {
        memory_free(&k->heap, parts[i]);
    }
    memory_free(&k->heap, parts);
    return !error ? 0
                  : error_set(e, error,
                              error == ERR_NO_MEMORY ? "no memory for the assignment"
                                                     : "a partition is assigned twice");
}

int leat_assign(leat_consumer *k, const leat_start *starts, size_t count, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    int error = count > ASSIGNMENT_MAX
                    ? error_set(e, ERR_INVALID_ARGUMENT, "more than %d partitions", ASSIGNMENT_MAX)
                    : 0;
    for (size_t i = 0; !error && i < count; i++) {
        error = start_check(k, &starts[i], e);
    }
    if (error) {
        return error;
    }
    gate_enter(&k->gate.gate);
    error = consumer_subscribed(k)
                ? error_set(e, ERR_BUSY, "group %.80s assigns partitions: leat_unsubscribe() first",
                            k->options.group_id)
                : consumer_assign(k, starts, count, e);
    gate_leave(&k->gate.gate);
    if (error) {
        return error;
    }
    consumer_post(k);
    return error_clear(e);
}

static struct consumer_partition *consumer_find(struct leat_consumer *k, const char *topic,
                                                int32_t partition, leat_error *e)
{
    struct consumer_partition *p = topic ? fetcher_find(&k->fetcher, topic, partition) : NULL;
    if (!p || p->revoking) {
        error_set(e, ERR_NOT_FOUND, "%s-%d is not assigned", topic ? topic : "", (int)partition);
        return NULL;
    }
    return p;
}

static int consumer_seek(leat_consumer *k, const char *topic, int32_t partition, int64_t offset,
                         int64_t timestamp_ms, leat_error *e)
{
    gate_enter(&k->gate.gate);
    struct consumer_partition *p = consumer_find(k, topic, partition, e);
    if (p) {
        poller_release(&k->poller);
        poller_drop(&k->poller, p);
        partition_start(p, offset, timestamp_ms);
        k->fetcher.interrupt |= p->in_flight;
    }
    gate_leave(&k->gate.gate);
    if (!p) {
        return ERR_NOT_FOUND;
    }
    consumer_post(k);
    return error_clear(e);
}

int leat_seek(leat_consumer *k, const char *topic, int32_t partition, int64_t offset, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    if (offset < 0 && offset != LEAT_EARLIEST && offset != LEAT_LATEST) {
        return error_set(e, ERR_INVALID_ARGUMENT, "cannot seek to offset %lld", (long long)offset);
    }
    return consumer_seek(k, topic, partition, offset, 0, e);
}

int leat_seek_time(leat_consumer *k, const char *topic, int32_t partition, int64_t timestamp_ms,
                   leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    if (timestamp_ms < 0) {
        return error_set(e, ERR_INVALID_ARGUMENT, "cannot seek to time %lld",
                         (long long)timestamp_ms);
    }
    return consumer_seek(k, topic, partition, LEAT_AT_TIME, timestamp_ms, e);
}

int leat_consumer_position(leat_consumer *k, const char *topic, int32_t partition, int64_t *offset,
                           leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    gate_enter(&k->gate.gate);
    struct consumer_partition *p = consumer_find(k, topic, partition, e);
    if (p) {
        *offset = p->position;
    }
    gate_leave(&k->gate.gate);
    return p ? error_clear(e) : ERR_NOT_FOUND;
}

int leat_pause(leat_consumer *k, const char *topic, int32_t partition, bool paused, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    gate_enter(&k->gate.gate);
    struct consumer_partition *p = consumer_find(k, topic, partition, e);
    if (p) {
        p->paused = paused;
        p->not_before_ns = 0;
        if (paused && p->position >= 0) {
            /* What lies ready would hold room that others need. */
            poller_release(&k->poller);
            poller_drop(&k->poller, p);
            p->generation++;
            p->fetch_offset = p->position;
        }
        consumer_readable(k, k->woken || poller_ready(&k->poller));
    }
    gate_leave(&k->gate.gate);
    if (!p) {
        return ERR_NOT_FOUND;
    }
    consumer_post(k);
    return error_clear(e);
}

int leat_resume(leat_consumer *k, const char *topic, int32_t partition, leat_error *e)
{
    return leat_pause(k, topic, partition, false, e);
}

/* --- polling --- */

/* In the gate: waits until there is something to poll; false when the time is over. */
static bool consumer_wait(struct leat_consumer *k, uint64_t deadline_ns)
{
    while (!k->woken && !poller_ready(&k->poller)) {
        consumer_readable(k, false);
        if (!shell_gate_wait(&k->gate, deadline_ns)) {
            return k->woken || poller_ready(&k->poller);
        }
    }
    return true;
}

static void consumer_poll_begin(struct leat_consumer *k)
{
    gate_enter(&k->gate.gate);
    if (k->grouped) {
        k->poller.wake |= group_poll_begin(&k->group);
    }
    gate_leave(&k->gate.gate);
    poller_begin(&k->poller);
}

static void consumer_poll_end(struct leat_consumer *k)
{
    gate_enter(&k->gate.gate);
    if (k->grouped) {
        group_poll_end(&k->group, shell_now());
    }
    consumer_readable(k, k->woken || poller_ready(&k->poller));
    gate_leave(&k->gate.gate);
}

int leat_poll(leat_consumer *k, const leat_record **records, int timeout_ms, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    uint64_t deadline = timeout_ms ? shell_deadline(timeout_ms) : 0;
    int result = 0;
    bool more = true;
    *records = k->poller.records;
    consumer_poll_begin(k);
    while (result == 0 && more) {
        gate_enter(&k->gate.gate);
        bool woken = k->woken;
        k->woken = false;
        gate_leave(&k->gate.gate);
        if (woken) {
            result = error_set(e, ERR_INTERRUPTED, "woken by leat_wakeup()");
            break;
        }
        result = poller_next(&k->poller, e);
        if (k->poller.wake) {
            consumer_post(k);
        }
        if (result == 0) {
            gate_enter(&k->gate.gate);
            more = timeout_ms != 0 && consumer_wait(k, deadline);
            gate_leave(&k->gate.gate);
        }
    }
    consumer_poll_end(k);
    return result;
}

int leat_consumer_fd(leat_consumer *k)
{
    assert(k->magic == CONSUMER_MAGIC);
    return k->gate.event_fd;
}

void leat_wakeup(leat_consumer *k)
{
    assert(k->magic == CONSUMER_MAGIC);
    gate_enter(&k->gate.gate);
    k->woken = true;
    consumer_readable(k, true);
    gate_announce(&k->gate.gate);
    gate_leave(&k->gate.gate);
}

/* --- the end --- */

int leat_consumer_close(leat_consumer *k, leat_error *e)
{
    if (!k) {
        return error_clear(e);
    }
    assert(k->magic == CONSUMER_MAGIC);
    leat_client *c = k->client;
    gate_enter(&k->gate.gate);
    poller_drop_all(&k->poller);
    gate_leave(&k->gate.gate);
    k->close_deadline_ns = shell_deadline(c->options.timeout_ms);
    k->task.run = consumer_stop;
    k->finished = false;
    shell_call(c->shell, &k->task, &k->finished);
    leat_error result = {0};
    if (k->grouped) {
        result = k->group.close_error;
    }
    shell_gate_close(&k->gate);
    client_add_handle(c, -1);
    poller_close(&k->poller);
    k->magic = 0;
    heap_close(k);
    return result.code ? error_copy(e, &result) : error_clear(e);
}
