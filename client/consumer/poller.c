/* SPDX-License-Identifier: Apache-2.0 */

#include "consumer/poller.h"

enum { POLL_PLAIN_MAX = 4 << 20 }; /* decompressed bytes lent out by one poll, beyond a batch */

void poller_open(struct poller *p, struct fetcher *fetcher, struct group *group, struct gate *gate,
                 const leat_consumer_options *options, leat_record *records)
{
    *p = (struct poller){
        .fetcher = fetcher, .group = group, .gate = gate, .options = options, .records = records};
    list_init(&p->lent);
    memory_init(&p->scratch, (size_t)options->batch_max_bytes * 3 + (64u << 20));
    arena_init(&p->headers, &p->scratch, SIZE_MAX);
    plain_store_init(&p->plains, &p->scratch);
}

void poller_close(struct poller *p)
{
    assert(!p->current && list_empty(&p->lent));
    memory_drop(&p->scratch);
}

/* --- the end of a view: in the gate --- */

static void poller_drop_current(struct poller *p)
{
    chunk_reader_close(&p->reader);
    (void)chunk_return(p->fetcher, p->current);
    p->current = NULL;
    p->failed = 0;
}

void poller_drop(struct poller *p, struct consumer_partition *part)
{
    fetcher_drop(p->fetcher, part);
    if (p->current && p->current->partition == part) {
        poller_drop_current(p);
    }
}

void poller_drop_all(struct poller *p)
{
    struct list *node;
    poller_release(p);
    while ((node = list_pop(&p->fetcher->chunks))) {
        (void)chunk_return(p->fetcher, container_of(node, struct chunk, link));
    }
    if (p->current) {
        poller_drop_current(p);
    }
}

static void partition_done(struct consumer_partition *part)
{
    if (part->position >= 0) {
        part->done = part->position;
        part->done_epoch = part->position_epoch;
    }
}

void poller_release(struct poller *p)
{
    struct list *node;
    while ((node = list_pop(&p->lent))) {
        struct chunk *c = container_of(node, struct chunk, link);
        partition_done(c->partition);
        p->wake |= chunk_return(p->fetcher, c);
    }
    if (p->current) {
        partition_done(p->current->partition);
    }
}

void poller_begin(struct poller *p)
{
    arena_deinit(&p->headers);
    plain_store_release(&p->plains);
    gate_enter(p->gate);
    poller_release(p);
    if (p->current && (p->current->partition->removed || p->current->partition->revoking)) {
        poller_drop_current(p);
    }
    gate_leave(p->gate);
}

/* --- chunks: in the gate --- */

static bool chunk_wanted(const struct chunk *c, bool errors)
{
    return c->error.code ? errors : !c->partition->paused;
}

/* The next chunk that may be handed out, detached, or NULL. */
static struct chunk *poller_take(struct poller *p, bool errors)
{
    list_each (node, &p->fetcher->chunks) {
        struct chunk *c = container_of(node, struct chunk, link);
        if (chunk_wanted(c, errors)) {
            list_remove(&c->link);
            return c;
        }
    }
    return NULL;
}

bool poller_ready(const struct poller *p)
{
    if (p->current || (p->group && group_signals(p->group))) {
        return true;
    }
    list_each (node, &p->fetcher->chunks) {
        if (chunk_wanted(container_of(node, struct chunk, link), true)) {
            return true;
        }
    }
    return false;
}

static void poller_read(struct poller *p, struct chunk *c)
{
    chunk_reader_open(&p->reader, c->data, c->offset, &p->plains);
    p->reader.check_crcs = p->options->check_crcs;
    p->reader.read_uncommitted = p->options->read_uncommitted;
    p->reader.batch_max_bytes = p->options->batch_max_bytes;
    p->reader.aborted = c->aborted;
    p->reader.aborted_count = c->aborted_count;
    p->current = c;
}

/* --- records --- */

/* Headers need names that end with NUL, so they are copied. */
static int record_headers(struct poller *p, struct record *in, leat_record *out)
{
    leat_header *headers = arena_array(&p->headers, (size_t)in->header_count, sizeof *headers);
    struct record_header h;
    size_t count = 0;
    if (!headers) {
        return ERR_NO_MEMORY;
    }
    while (record_header_next(in, &h)) {
        char *name = arena_alloc(&p->headers, h.key.size + 1);
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

/* Fills the view from the current chunk: the new count. */
static size_t poller_fill(struct poller *p, size_t count, bool *ended)
{
    const struct consumer_partition *part = p->current->partition;
    struct record in;
    int found = 1;
    while (count < p->options->poll_max_records &&
           (found = chunk_reader_next(&p->reader, &in)) == 1) {
        leat_record *out = &p->records[count];
        *out = (leat_record){
            .topic = part->topic,
            .partition = part->partition,
            .leader_epoch = p->reader.batch.leader_epoch,
            .offset = in.offset,
            .timestamp_ms = in.timestamp,
            .key = record_bytes(&in.key),
            .value = record_bytes(&in.value),
            .timestamp_type = p->reader.batch.attributes & BATCH_APPEND_TIME ? LEAT_TIME_APPENDED
                                                                             : LEAT_TIME_CREATED,
        };
        if (in.header_count > 0 && record_headers(p, &in, out)) {
            found = ERR_NO_MEMORY;
            break;
        }
        count++;
    }
    *ended = found == 0;
    p->failed = found < 0 ? found : 0;
    return count;
}

/* A batch cannot be read; what stands before it has been handed out. */
static int poller_failed(struct poller *p, leat_error *e)
{
    struct consumer_partition *part = p->current->partition;
    int code = p->failed;
    long long offset = (long long)p->reader.next_offset;
    error_set(e, code,
              code == ERR_CORRUPT_MESSAGE
                  ? "%s-%d: the batch at offset %lld is damaged: seek behind it to go on"
              : code == ERR_TOO_LARGE
                  ? "%s-%d: the batch at offset %lld is larger than batch.max.bytes"
                  : "%s-%d: no memory for the batch at offset %lld",
              part->topic, (int)part->partition, offset);
    gate_enter(p->gate);
    part->references++; /* over the loss of its chunks */
    poller_drop(p, part);
    part->references--;
    partition_start(part, offset, 0);
    part->paused = true;
    gate_leave(p->gate);
    return code;
}

/* Reads from the current chunk and those behind it that are there, until the view is full. */
static size_t poller_gather(struct poller *p)
{
    size_t count = 0;
    while (p->current && !p->failed) {
        bool ended = false;
        count = poller_fill(p, count, &ended);
        bool more =
            ended && p->plains.bytes < POLL_PLAIN_MAX && count < p->options->poll_max_records;
        struct chunk *c = p->current;
        gate_enter(p->gate);
        c->partition->position = ended ? c->next : p->reader.next_offset;
        c->partition->position_epoch = p->reader.batch.leader_epoch;
        if (ended) {
            list_append(&p->lent, &c->link);
            p->current = NULL;
        }
        struct chunk *next = more ? poller_take(p, false) : NULL;
        gate_leave(p->gate);
        if (next) {
            poller_read(p, next);
        }
        if (!ended) {
            break;
        }
    }
    return count;
}

/* In the gate: something to read, or an error. */
static int poller_step(struct poller *p, leat_error *e)
{
    if (p->group) {
        int error = group_poll(p->group, &p->wake, e);
        if (error) {
            return error;
        }
    }
    if (p->current && (p->current->partition->removed || p->current->partition->revoking)) {
        poller_drop_current(p);
    }
    struct chunk *c = p->current ? NULL : poller_take(p, true);
    if (c && c->error.code) {
        int code = error_copy(e, &c->error);
        (void)chunk_return(p->fetcher, c);
        return code;
    }
    if (c) {
        poller_read(p, c);
    }
    return 0;
}

int poller_next(struct poller *p, leat_error *e)
{
    for (;;) {
        gate_enter(p->gate);
        poller_release(p);
        int error = poller_step(p, e);
        gate_leave(p->gate);
        if (error || !p->current) {
            return error;
        }
        if (p->failed) {
            return poller_failed(p, e);
        }
        size_t count = poller_gather(p);
        if (count) {
            return (int)count;
        }
    }
}
