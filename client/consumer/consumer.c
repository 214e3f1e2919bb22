/* SPDX-License-Identifier: Apache-2.0 */

/* The consumer's public functions: the caller's side of the fetcher. A poll takes chunks from the
 * queue, reads records out of them on the caller's thread, and holds the chunks until the next
 * call, because the records point into them. */
#include "core/client.h"
#include "core/options.h"
#include "consumer/fetcher.h"

#include <stdlib.h>

enum {
    CONSUMER_MAGIC = 0x636f6e73,
    POLL_PLAIN_MAX = 4 << 20, /* decompressed bytes lent out by one poll, beyond the first batch */
    ASSIGNMENT_MAX = 100000,
};

struct leat_consumer {
    struct memory heap; /* holds this struct; inside the gate */
    uint32_t magic;
    leat_client *client;
    leat_consumer_options options;
    struct shell_gate gate;
    struct fetcher fetcher; /* see there what is whose */
    struct shell_task wake, task;
    bool finished;
    bool readable; /* the descriptor's state; in the gate */
    bool woken;    /* by leat_wakeup(); in the gate */

    /* The caller's thread alone: */
    struct memory scratch; /* decompressed batches, headers */
    struct plain_store plains;
    struct chunk *current; /* being read, or NULL */
    struct chunk_reader reader;
    int failed;       /* why the current chunk cannot be read on: told by the next poll */
    struct list lent; /* chunks that the latest view points into */
    struct arena headers;
    leat_record *records; /* the view; poll_max_records */
};

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

static void consumer_wake(struct shell_task *task)
{
    fetcher_wake(&container_of(task, struct leat_consumer, wake)->fetcher);
}

static void consumer_start(struct shell_task *task)
{
    struct leat_consumer *k = container_of(task, struct leat_consumer, task);
    fetcher_open(&k->fetcher, &k->client->core, &k->gate.gate, &k->heap, &k->options,
                 consumer_arrived);
    shell_finish(k->client->shell, &k->finished);
}

static void consumer_closed(struct fetcher *f)
{
    struct leat_consumer *k = container_of(f, struct leat_consumer, fetcher);
    shell_finish(k->client->shell, &k->finished);
}

static void consumer_stop(struct shell_task *task)
{
    fetcher_close(&container_of(task, struct leat_consumer, task)->fetcher, consumer_closed);
}

int leat_consumer_open(leat_consumer **out, leat_client *c, const char *group,
                       const leat_consumer_options *options, leat_error *e)
{
    client_check(c);
    leat_consumer_options taken;
    if (group) {
        return error_set(e, ERR_UNSUPPORTED,
                         "consumer groups are not there yet: open without a group and use "
                         "leat_assign()");
    }
    int error = consumer_options_take(&taken, options, e);
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
    k->records = view;
    list_init(&k->lent);
    memory_init(&k->scratch, (size_t)taken.batch_max_bytes * 3 + (64u << 20));
    arena_init(&k->headers, &k->scratch, SIZE_MAX);
    plain_store_init(&k->plains, &k->scratch);
    k->wake.run = consumer_wake;
    k->task.run = consumer_start;
    client_add_handle(c, 1);
    shell_call(c->shell, &k->task, &k->finished);
    *out = k;
    return error_clear(e);
}

/* --- the assignment: in the gate --- */

/* Gives all chunks of a partition back (NULL: of all), also the one that is being read. */
static void consumer_drop(struct leat_consumer *k, const struct consumer_partition *p)
{
    list_each (node, &k->fetcher.chunks) {
        struct chunk *c = container_of(node, struct chunk, link);
        if (!p || c->partition == p) {
            list_remove(&c->link);
            (void)chunk_return(&k->fetcher, c);
        }
    }
    if (k->current && (!p || k->current->partition == p)) {
        chunk_reader_close(&k->reader);
        (void)chunk_return(&k->fetcher, k->current);
        k->current = NULL;
        k->failed = 0;
    }
}

/* Gives back what the previous view pointed into. */
static bool consumer_release(struct leat_consumer *k)
{
    struct list *node;
    bool wake = false;
    while ((node = list_pop(&k->lent))) {
        wake |= chunk_return(&k->fetcher, container_of(node, struct chunk, link));
    }
    return wake;
}

static int start_compare(const void *left, const void *right)
{
    const struct consumer_partition *a = *(struct consumer_partition *const *)left;
    const struct consumer_partition *b = *(struct consumer_partition *const *)right;
    int order = strcmp(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int start_check(const leat_start *s, leat_error *e)
{
    bool known = s->offset >= 0 || s->offset == LEAT_EARLIEST || s->offset == LEAT_LATEST ||
                 s->offset == LEAT_AT_TIME;
    if (!s->topic || s->partition < 0 || !known ||
        (s->offset == LEAT_AT_TIME && s->timestamp_ms < 0)) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "an assignment needs a topic, a partition and an offset (or "
                         "LEAT_EARLIEST, LEAT_LATEST, LEAT_AT_TIME with a time)");
    }
    return 0;
}

static struct consumer_partition *partition_new(struct leat_consumer *k, const leat_start *s)
{
    size_t size = strlen(s->topic) + 1;
    struct consumer_partition *p = memory_alloc(&k->heap, sizeof *p + size);
    if (p) {
        memcpy(p->topic, s->topic, size);
        p->partition = s->partition;
        list_init(&p->link);
        list_init(&p->node_link);
        partition_start(p, s->offset, s->timestamp_ms);
    }
    return p;
}

/* Puts the new partitions in place of the old ones. */
static void consumer_replace(struct leat_consumer *k, struct consumer_partition **parts,
                             size_t count)
{
    struct list *node;
    consumer_release(k);
    consumer_drop(k, NULL);
    while ((node = list_pop(&k->fetcher.assigned))) {
        container_of(node, struct consumer_partition, link)->removed = true;
        list_append(&k->fetcher.retired, node);
    }
    for (size_t i = 0; i < count; i++) {
        list_append(&k->fetcher.assigned, &parts[i]->link);
    }
    k->fetcher.assigned_count = (unsigned)count;
    k->fetcher.interrupt = true;
}

int leat_assign(leat_consumer *k, const leat_start *starts, size_t count, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    if (count > ASSIGNMENT_MAX) {
        return error_set(e, ERR_INVALID_ARGUMENT, "more than %d partitions", ASSIGNMENT_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        int error = start_check(&starts[i], e);
        if (error) {
            return error;
        }
    }
    gate_enter(&k->gate.gate);
    struct consumer_partition **parts = memory_alloc(&k->heap, (count + 1) * sizeof *parts);
    int error = parts ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; !error && i < count; i++) {
        parts[i] = partition_new(k, &starts[i]);
        error = parts[i] ? 0 : ERR_NO_MEMORY;
    }
    if (!error) {
        qsort(parts, count, sizeof *parts, start_compare);
    }
    for (size_t i = 1; !error && i < count; i++) {
        error = start_compare(&parts[i - 1], &parts[i]) ? 0 : ERR_INVALID_ARGUMENT;
    }
    if (!error) {
        consumer_replace(k, parts, count);
    }
    for (size_t i = 0; error && parts && i < count; i++) {
        memory_free(&k->heap, parts[i]);
    }
    memory_free(&k->heap, parts);
    gate_leave(&k->gate.gate);
    if (error) {
        return error_set(e, error,
                         error == ERR_NO_MEMORY ? "no memory for the assignment"
                                                : "a partition is assigned twice");
    }
    shell_post(k->client->shell, &k->wake);
    return error_clear(e);
}

static struct consumer_partition *consumer_find(struct leat_consumer *k, const char *topic,
                                                int32_t partition, leat_error *e)
{
    list_each (node, &k->fetcher.assigned) {
        struct consumer_partition *p = container_of(node, struct consumer_partition, link);
        if (p->partition == partition && topic && strcmp(p->topic, topic) == 0) {
            return p;
        }
    }
    error_set(e, ERR_NOT_FOUND, "%s-%d is not assigned", topic ? topic : "", (int)partition);
    return NULL;
}

int leat_seek(leat_consumer *k, const char *topic, int32_t partition, int64_t offset, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    if (offset < 0 && offset != LEAT_EARLIEST && offset != LEAT_LATEST) {
        return error_set(e, ERR_INVALID_ARGUMENT, "cannot seek to offset %lld", (long long)offset);
    }
    gate_enter(&k->gate.gate);
    struct consumer_partition *p = consumer_find(k, topic, partition, e);
    if (p) {
        consumer_release(k);
        consumer_drop(k, p);
        partition_start(p, offset, 0);
        k->fetcher.interrupt |= p->in_flight;
    }
    gate_leave(&k->gate.gate);
    if (!p) {
        return ERR_NOT_FOUND;
    }
    shell_post(k->client->shell, &k->wake);
    return error_clear(e);
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
            consumer_drop(k, p);
            p->generation++;
            p->fetch_offset = p->position;
        }
        consumer_readable(k, k->current || !list_empty(&k->fetcher.chunks));
    }
    gate_leave(&k->gate.gate);
    if (!p) {
        return ERR_NOT_FOUND;
    }
    shell_post(k->client->shell, &k->wake);
    return error_clear(e);
}

/* --- polling --- */

/* In the gate: the next chunk that may be handed out, detached, or NULL. */
static struct chunk *consumer_take(struct leat_consumer *k, bool errors)
{
    list_each (node, &k->fetcher.chunks) {
        struct chunk *c = container_of(node, struct chunk, link);
        if (c->error.code ? errors : !c->partition->paused) {
            list_remove(&c->link);
            return c;
        }
    }
    return NULL;
}

static void consumer_read(struct leat_consumer *k, struct chunk *c)
{
    chunk_reader_open(&k->reader, c->data, c->offset, &k->plains);
    k->reader.check_crcs = k->options.check_crcs;
    k->reader.read_uncommitted = k->options.read_uncommitted;
    k->reader.batch_max_bytes = k->options.batch_max_bytes;
    k->reader.aborted = c->aborted;
    k->reader.aborted_count = c->aborted_count;
    k->current = c;
}

/* Headers need names that end with NUL, so they are copied. */
static int record_headers(struct leat_consumer *k, struct record *in, leat_record *out)
{
    leat_header *headers = arena_array(&k->headers, (size_t)in->header_count, sizeof *headers);
    struct record_header h;
    size_t count = 0;
    if (!headers) {
        return ERR_NO_MEMORY;
    }
    while (record_header_next(in, &h)) {
        char *name = arena_alloc(&k->headers, h.key.size + 1);
        if (!name) {
            return ERR_NO_MEMORY;
        }
        memcpy(name, h.key.data, h.key.size);
        headers[count].name = name;
        headers[count].value.data = h.value.size < 0 ? NULL : h.value.data;
        headers[count].value.len = h.value.size < 0 ? 0 : (size_t)h.value.size;
        count++;
    }
    out->headers = headers;
    out->header_count = count;
    return 0;
}

static leat_bytes record_bytes(const struct wire_bytes *in)
{
    return in->size < 0 ? (leat_bytes){NULL, 0}
                        : (leat_bytes){in->data ? (const void *)in->data : "", (size_t)in->size};
}

/* Fills the view from the current chunk: the new count, or an error. */
static int consumer_fill(struct leat_consumer *k, size_t count, bool *ended)
{
    const struct consumer_partition *p = k->current->partition;
    struct record in;
    int found = 1;
    while (count < k->options.poll_max_records &&
           (found = chunk_reader_next(&k->reader, &in)) == 1) {
        leat_record *out = &k->records[count];
        *out = (leat_record){
            .topic = p->topic,
            .partition = p->partition,
            .leader_epoch = k->reader.batch.leader_epoch,
            .offset = in.offset,
            .timestamp_ms = in.timestamp,
            .key = record_bytes(&in.key),
            .value = record_bytes(&in.value),
            .timestamp_type = k->reader.batch.attributes & BATCH_APPEND_TIME ? LEAT_TIME_APPENDED
                                                                             : LEAT_TIME_CREATED,
        };
        if (in.header_count > 0 && record_headers(k, &in, out)) {
            found = ERR_NO_MEMORY;
            break;
        }
        count++;
    }
    *ended = found == 0;
    k->failed = found < 0 ? found : 0;
    return (int)count;
}

/* A batch cannot be read; what stands before it has been handed out. */
static int consumer_failed(struct leat_consumer *k, leat_error *e)
{
    struct consumer_partition *p = k->current->partition;
    int code = k->failed;
    long long offset = (long long)k->reader.next_offset;
    error_set(e, code,
              code == ERR_CORRUPT_MESSAGE
                  ? "%s-%d: the batch at offset %lld is damaged: seek behind it to go on"
              : code == ERR_TOO_LARGE
                  ? "%s-%d: the batch at offset %lld is larger than batch.max.bytes"
                  : "%s-%d: no memory for the batch at offset %lld",
              p->topic, (int)p->partition, offset);
    gate_enter(&k->gate.gate);
    p->references++; /* over the loss of its chunks */
    consumer_drop(k, p);
    p->references--;
    partition_start(p, offset, 0);
    p->paused = true;
    gate_leave(&k->gate.gate);
    return code;
}

/* In the gate: waits for a chunk to read. 0 (then k->current may be NULL: the time is over), or
 * what leat_poll() returns instead, with *e filled. */
static int consumer_wait(struct leat_consumer *k, uint64_t deadline_ns, bool wait, leat_error *e)
{
    struct chunk *c = NULL;
    while (!k->woken && !(c = consumer_take(k, true))) {
        consumer_readable(k, false);
        if (!wait) {
            return 0;
        }
        wait = shell_gate_wait(&k->gate, deadline_ns);
    }
    if (k->woken) {
        k->woken = false;
        return error_set(e, ERR_INTERRUPTED, "woken by leat_wakeup()");
    }
    if (c->error.code) {
        int code = error_copy(e, &c->error);
        (void)chunk_return(&k->fetcher, c);
        return code;
    }
    consumer_read(k, c);
    return 0;
}

/* Reads from the current chunk and those behind it that are there, until the view is full. */
static size_t consumer_gather(struct leat_consumer *k)
{
    size_t count = 0;
    while (k->current && !k->failed) {
        bool ended = false;
        count = (size_t)consumer_fill(k, count, &ended);
        bool more =
            ended && k->plains.bytes < POLL_PLAIN_MAX && count < k->options.poll_max_records;
        struct chunk *c = k->current;
        gate_enter(&k->gate.gate);
        c->partition->position = ended ? c->next : k->reader.next_offset;
        if (ended) {
            list_append(&k->lent, &c->link);
            k->current = NULL;
        }
        struct chunk *next = more ? consumer_take(k, false) : NULL;
        consumer_readable(k, k->current || next || !list_empty(&k->fetcher.chunks));
        gate_leave(&k->gate.gate);
        if (next) {
            consumer_read(k, next);
        }
        if (!ended) {
            break;
        }
    }
    return count;
}

int leat_poll(leat_consumer *k, const leat_record **records, int timeout_ms, leat_error *e)
{
    assert(k->magic == CONSUMER_MAGIC);
    uint64_t deadline = timeout_ms ? shell_deadline(timeout_ms) : 0;
    bool wait = timeout_ms != 0, wake = false;
    size_t count = 0;
    int error = 0;
    *records = k->records;
    arena_deinit(&k->headers);
    plain_store_release(&k->plains);
    while (!error && count == 0) {
        gate_enter(&k->gate.gate);
        wake |= consumer_release(k);
        if (wake && (k->woken || !k->current)) {
            wake = false;
            shell_post(k->client->shell, &k->wake);
        }
        if (k->woken || !k->current) {
            error = consumer_wait(k, deadline, wait, e);
        }
        gate_leave(&k->gate.gate);
        if (!error && !k->current) {
            break;
        }
        if (!error && k->failed) {
            error = consumer_failed(k, e);
        } else if (!error) {
            count = consumer_gather(k);
        }
    }
    if (wake) {
        shell_post(k->client->shell, &k->wake);
    }
    return error ? error : (int)count;
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

int leat_consumer_close(leat_consumer *k, leat_error *e)
{
    if (!k) {
        return error_clear(e);
    }
    assert(k->magic == CONSUMER_MAGIC);
    leat_client *c = k->client;
    gate_enter(&k->gate.gate);
    consumer_release(k);
    consumer_drop(k, NULL);
    gate_leave(&k->gate.gate);
    k->task.run = consumer_stop;
    shell_call(c->shell, &k->task, &k->finished);
    shell_gate_close(&k->gate);
    client_add_handle(c, -1);
    memory_drop(&k->scratch);
    k->magic = 0;
    heap_close(k);
    return error_clear(e);
}
