/* SPDX-License-Identifier: Apache-2.0 */

/* producers: the fold of a log's batches that answers "is this one new, seen, or out of order".
 *
 * Each producer id has one entry with its last batches, oldest first; its epoch and its next
 * sequence are those of the newest, and only the last five are looked at. The entries are found by
 * id through a map and stand in a list ordered by their newest batch's offset, which is the order
 * in which a log is folded: so the encoding depends on what is known alone, not on how it came to be
 * known. Map and memory are those of all logs of the shard: what one log has forgotten gives room to another.
 *
 * What a batch (id, epoch, first sequence, last sequence) meets, in this order:
 *
 *     the id is not known                                -> append it, any sequence
 *     one of the last five of this epoch is the same     -> a duplicate of that one
 *     its epoch is lower than the newest                 -> ERR_INVALID_PRODUCER_EPOCH
 *     its epoch is higher, first sequence 0              -> append it
 *     its epoch is the newest, first sequence is next    -> append it
 *     anything else, also what is older than the five    -> ERR_OUT_OF_ORDER_SEQUENCE
 *
 * The last line answers OUT_OF_ORDER_SEQUENCE (45) and not DUPLICATE_SEQUENCE (46): Kafka's broker
 * has only the equality with one of the five and the test for the next sequence, so for it an
 * old retry and a gap are the same thing, and its clients handle 45.
 *
 * Invariants
 *   R1  An entry has 1 to PRODUCER_BATCHES_MAX batches with growing offsets.
 *   R2  The list holds each entry once, and the newest offsets grow along it.
 *   R3  What is known of a producer is a suffix of what the fold of the whole log would know with
 *       endless memory: everything above what was settled, and the last five below it if there were
 *       so many. So a truncation above it leaves what the fold up to there would have known.
 *   R4  Whoever is forgotten to make room is the one that was heard of longest ago; all of it goes.
 *
 * Encoding (the checkpoint that holds it has the checksum); tests/unit/log/producers.c proves it.
 *
 *     OFFSET   SIZE  MEANING
 *          0      1  version 1
 *          1      4  number of producers
 *          5     ..  producers, by the offset of their newest batch
 *
 *     OFFSET   SIZE  MEANING (one producer)
 *          0      8  producer id
 *          8      1  number of batches, 1 .. 255
 *          9   n*30  batches, oldest first
 *
 *     OFFSET   SIZE  MEANING (one batch)
 *          0      2  epoch
 *          2      4  first sequence
 *          6      4  last sequence
 *         10      8  base offset
 *         18      4  last offset minus base offset
 *         22      8  largest timestamp
 */
#include "log/producers.h"

#include "base/errors.h"

enum {
    PRODUCERS_VERSION = 1,
    PRODUCERS_HEADER_SIZE = 5,
    PRODUCER_HEADER_SIZE = 9,
    PRODUCER_BATCH_SIZE = 30,
    PRODUCERS_SLAB = 16, /* entries taken from memory together */
    PRODUCER_KEY_SIZE = 16,
    DECODE_ROOM = 16, /* of a full table such a part is given up at once */
};

struct seen_batch {
    int64_t base_offset;
    int64_t timestamp_ms;
    int32_t first_sequence;
    int32_t last_sequence;
    int32_t last_offset_delta;
    int16_t epoch;
};

struct producer {
    struct list link;   /* in struct producers.order */
    struct list by_use; /* in the table */
    struct producers *log;
    uint8_t key[PRODUCER_KEY_SIZE];
    int64_t id;
    int64_t heard_ms;
    uint32_t count, capacity;
    struct seen_batch *batches; /* oldest first: `few`, or memory of its own */
    struct seen_batch few[PRODUCER_BATCHES];
};

struct producers {
    struct producer_table *table;
    uint64_t number; /* of the log in the table */
    uint32_t count;
    struct list order;
};

static const struct seen_batch *producer_newest(const struct producer *p)
{
    assert(p->count >= 1 && p->count <= PRODUCER_BATCHES_MAX);
    return &p->batches[p->count - 1];
}

static int64_t seen_last_offset(const struct seen_batch *b)
{
    return b->base_offset + b->last_offset_delta;
}

/* The log's last offset that is known of: that of the last entry in order. */
static int64_t producers_newest_offset(const struct producers *p)
{
    assert(!list_empty(&p->order));
    return seen_last_offset(producer_newest(container_of(p->order.prev, struct producer, link)));
}

static bool sequence_follows(int32_t last, int32_t next)
{
    return last == INT32_MAX ? next == 0 : next == last + 1;
}

/* A batch without producer id or sequence is none of our business. */
static bool batch_is_idempotent(const struct producer_batch *b)
{
    return b->producer_id >= 0 && b->epoch >= 0 && b->first_sequence >= 0 && b->last_sequence >= 0;
}

static struct producer_batch batch_of_seen(int64_t id, const struct seen_batch *s)
{
    return (struct producer_batch){
        .producer_id = id,
        .epoch = s->epoch,
        .first_sequence = s->first_sequence,
        .last_sequence = s->last_sequence,
        .base_offset = s->base_offset,
        .last_offset = seen_last_offset(s),
        .timestamp_ms = s->timestamp_ms,
    };
}

/* The batch with these sequences among those of the newest epoch, or NULL. */
static const struct seen_batch *producer_find(const struct producer *p,
                                              const struct producer_batch *b)
{
    uint32_t first = p->count > PRODUCER_BATCHES ? p->count - PRODUCER_BATCHES : 0;
    for (uint32_t i = p->count; i-- > first && p->batches[i].epoch == b->epoch;) {
        if (p->batches[i].first_sequence == b->first_sequence &&
            p->batches[i].last_sequence == b->last_sequence) {
            return &p->batches[i];
        }
    }
    return NULL;
}

static void producer_key(uint8_t key[static PRODUCER_KEY_SIZE], uint64_t log, int64_t id)
{
    put_be64(key, log);
    put_be64(key + 8, (uint64_t)id);
}

static struct producer *producers_find(const struct producers *p, int64_t id)
{
    uint8_t key[PRODUCER_KEY_SIZE];
    producer_key(key, p->number, id);
    return map_get(&p->table->by_key, bytes_of(key, sizeof key));
}

int producers_check(const struct producers *p, const struct producer_batch *b,
                    struct producer_batch *original)
{
    if (!p || !batch_is_idempotent(b)) {
        return 0;
    }
    const struct producer *known = producers_find(p, b->producer_id);
    if (!known) {
        return 0;
    }
    assert(known->id == b->producer_id);
    const struct seen_batch *newest = producer_newest(known);
    const struct seen_batch *same = producer_find(known, b);
    if (same) {
        *original = batch_of_seen(known->id, same);
        return 1;
    }
    if (b->epoch < newest->epoch) {
        return ERR_INVALID_PRODUCER_EPOCH;
    }
    if (b->epoch > newest->epoch) {
        return b->first_sequence == 0 ? 0 : ERR_OUT_OF_ORDER_SEQUENCE;
    }
    return sequence_follows(newest->last_sequence, b->first_sequence) ? 0
                                                                      : ERR_OUT_OF_ORDER_SEQUENCE;
}

static struct producers *producers_new(struct producer_table *t)
{
    struct producers *p = memory_alloc(t->memory, sizeof *p);
    if (p) {
        p->table = t;
        p->number = t->logs++;
        list_init(&p->order);
    }
    return p;
}

static void producer_give(struct producer *gone)
{
    struct producer_table *t = gone->log->table;
    if (gone->batches != gone->few) {
        memory_free(t->memory, gone->batches);
    }
    pool_give(&t->pool, gone);
}

static void producer_forget(struct producer *gone)
{
    struct producers *p = gone->log;
    const void *removed = map_remove(&p->table->by_key, bytes_of(gone->key, sizeof gone->key));
    assert(removed == gone && p->count > 0);
    p->count--;
    list_remove(&gone->link);
    list_remove(&gone->by_use);
    producer_give(gone);
}

void producers_free(struct producers *p)
{
    if (!p) {
        return;
    }
    list_each (node, &p->order) {
        producer_forget(container_of(node, struct producer, link));
    }
    assert(p->count == 0);
    memory_free(p->table->memory, p);
}

/* An entry without batches yet, found but not in the order. NULL: *error says why. */
static struct producer *producers_add(struct producers *p, int64_t id, int *error)
{
    struct producer_table *t = p->table;
    *error = map_count(&t->by_key) >= t->limit ? ERR_BUSY : ERR_NO_MEMORY;
    struct producer *added = *error == ERR_BUSY ? NULL : pool_take(&t->pool);
    if (!added) {
        return NULL;
    }
    producer_key(added->key, p->number, id);
    if (map_add(&t->by_key, bytes_of(added->key, sizeof added->key), added) < 0) {
        pool_give(&t->pool, added);
        return NULL;
    }
    added->log = p;
    added->id = id;
    added->batches = added->few;
    added->capacity = PRODUCER_BATCHES;
    list_init(&added->link);
    list_init(&added->by_use);
    list_append(&t->by_use, &added->by_use);
    p->count++;
    return added;
}

/* How many of the oldest nobody will look at again once a batch that ends at `last` has followed. */
static uint32_t producer_surplus(const struct producer *p, int64_t last, int64_t settled)
{
    uint32_t below = 0;
    while (below < p->count && seen_last_offset(&p->batches[below]) < settled) {
        below++;
    }
    below += below == p->count && last < settled;
    uint32_t surplus = below > PRODUCER_BATCHES ? below - PRODUCER_BATCHES : 0;
    return surplus == 0 && p->count == PRODUCER_BATCHES_MAX ? 1 : surplus;
}

/* Makes room for a batch that ends at `last`. ERR_NO_MEMORY: nothing has changed. */
static int producer_reserve(struct producer *producer, int64_t last, int64_t settled)
{
    struct memory *m = producer->log->table->memory;
    uint32_t surplus = producer_surplus(producer, last, settled);
    uint32_t kept = producer->count - surplus;
    if (kept == producer->capacity) {
        uint32_t capacity = producer->capacity * 2;
        capacity = capacity > PRODUCER_BATCHES_MAX ? PRODUCER_BATCHES_MAX : capacity;
        struct seen_batch *grown = memory_alloc(m, capacity * sizeof *grown);
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        memcpy(grown, producer->batches + surplus, kept * sizeof *grown);
        if (producer->batches != producer->few) {
            memory_free(m, producer->batches);
        }
        producer->batches = grown;
        producer->capacity = capacity;
    } else if (kept < PRODUCER_BATCHES && producer->batches != producer->few) {
        memcpy(producer->few, producer->batches + surplus, kept * sizeof *producer->few);
        memory_free(m, producer->batches);
        producer->batches = producer->few;
        producer->capacity = PRODUCER_BATCHES;
    } else if (surplus > 0) {
        memmove(producer->batches, producer->batches + surplus, kept * sizeof *producer->batches);
    }
    producer->count = kept;
    return 0;
}

static void producer_push(struct producer *p, struct seen_batch b)
{
    assert(p->count < p->capacity);
    p->batches[p->count++] = b;
}

int producers_update(struct producers **p, struct producer_table *t, const struct producer_batch *b,
                     int64_t settled)
{
    if (!batch_is_idempotent(b)) {
        return 0;
    }
    assert(b->base_offset >= 0 && b->last_offset >= b->base_offset);
    assert(b->last_offset - b->base_offset <= INT32_MAX);
    if (*p && !list_empty(&(*p)->order) && b->last_offset <= producers_newest_offset(*p)) {
        return 0; /* a replay meets again what a checkpoint has folded in */
    }
    struct producers *made = *p ? NULL : producers_new(t);
    struct producers *state = made ? made : *p;
    if (!state) {
        return ERR_NO_MEMORY;
    }
    assert(state->table == t);
    int error = 0;
    struct producer *producer = producers_find(state, b->producer_id);
    producer = producer ? producer : producers_add(state, b->producer_id, &error);
    if (!producer) {
        producers_free(made);
        return error;
    }
    if (producer_reserve(producer, b->last_offset, settled)) {
        return ERR_NO_MEMORY; /* it has batches: neither it nor the state is new */
    }
    producer_push(producer, (struct seen_batch){
                                .base_offset = b->base_offset,
                                .timestamp_ms = b->timestamp_ms,
                                .first_sequence = b->first_sequence,
                                .last_sequence = b->last_sequence,
                                .last_offset_delta = (int32_t)(b->last_offset - b->base_offset),
                                .epoch = b->epoch,
                            });
    producer->heard_ms = b->heard_ms;
    list_remove(&producer->link);
    list_append(&state->order, &producer->link);
    list_remove(&producer->by_use);
    list_append(&t->by_use, &producer->by_use);
    *p = state;
    return 0;
}

static bool offset_before(const struct list *a, const struct list *b)
{
    return seen_last_offset(producer_newest(container_of(a, struct producer, link))) <
           seen_last_offset(producer_newest(container_of(b, struct producer, link)));
}

static int64_t producer_last_ms(const struct producer *p)
{
    int64_t newest = producer_newest(p)->timestamp_ms;
    return newest > p->heard_ms ? newest : p->heard_ms;
}

static bool use_before(const struct list *a, const struct list *b)
{
    return producer_last_ms(container_of(a, struct producer, by_use)) <
           producer_last_ms(container_of(b, struct producer, by_use));
}

typedef bool before_fn(const struct list *a, const struct list *b);

static void order_merge(struct list *to, struct list *a, struct list *b, before_fn *before)
{
    while (!list_empty(a) && !list_empty(b)) {
        list_append(to, list_pop(before(b->next, a->next) ? b : a));
    }
    list_splice(to, a);
    list_splice(to, b);
}

enum { ORDER_RUNS = 32 };

/* A merge sort that counts in binary, run i holding 2^i. */
static void order_sort(struct list *order, before_fn *before)
{
    struct list runs[ORDER_RUNS], carry, merged;
    list_init(&carry);
    list_init(&merged);
    for (int i = 0; i < ORDER_RUNS; i++) {
        list_init(&runs[i]);
    }
    while (!list_empty(order)) {
        list_append(&carry, list_pop(order));
        int i = 0;
        for (; i < ORDER_RUNS - 1 && !list_empty(&runs[i]); i++) {
            order_merge(&merged, &runs[i], &carry, before);
            list_splice(&carry, &merged);
        }
        list_splice(&runs[i], &carry);
    }
    for (int i = 0; i < ORDER_RUNS; i++) {
        order_merge(&merged, &runs[i], &carry, before);
        list_splice(&carry, &merged);
    }
    list_splice(order, &carry);
}

void producers_truncate(struct producers *p, int64_t offset)
{
    if (!p || list_empty(&p->order) || producers_newest_offset(p) < offset) {
        return;
    }
    list_each (node, &p->order) {
        struct producer *producer = container_of(node, struct producer, link);
        while (producer->count > 0 &&
               seen_last_offset(&producer->batches[producer->count - 1]) >= offset) {
            producer->count--;
        }
        if (producer->count == 0) {
            producer_forget(producer);
        }
    }
    order_sort(&p->order, offset_before); /* R2 */
    assert(list_empty(&p->order) || producers_newest_offset(p) < offset);
}

void producers_expire(struct producers *p, int64_t timestamp_ms)
{
    if (!p) {
        return;
    }
    list_each (node, &p->order) {
        struct producer *producer = container_of(node, struct producer, link);
        if (producer_last_ms(producer) < timestamp_ms) {
            producer_forget(producer);
        }
    }
}

uint32_t producers_count(const struct producers *p)
{
    return p ? p->count : 0;
}

uint32_t producers_newest_below(const struct producers *p, int64_t offset, int64_t *out)
{
    uint32_t count = 0;
    for (const struct list *n = p ? p->order.next : NULL; p && n != &p->order; n = n->next) {
        const struct producer *known = container_of(n, struct producer, link);
        for (uint32_t i = known->count; i-- > 0;) {
            if (seen_last_offset(&known->batches[i]) < offset) {
                out[count++] = seen_last_offset(&known->batches[i]);
                break;
            }
        }
    }
    return count;
}

size_t producers_size(const struct producers *p)
{
    size_t size = PRODUCERS_HEADER_SIZE;
    if (p) {
        list_each (node, &p->order) {
            const struct producer *producer = container_of(node, struct producer, link);
            size += PRODUCER_HEADER_SIZE + producer->count * PRODUCER_BATCH_SIZE;
        }
    }
    return size;
}

void producers_encode(const struct producers *p, struct writer *w)
{
    writer_u8(w, PRODUCERS_VERSION);
    writer_be32(w, producers_count(p));
    if (!p) {
        return;
    }
    list_each (node, &p->order) {
        const struct producer *producer = container_of(node, struct producer, link);
        writer_be64(w, (uint64_t)producer->id);
        writer_u8(w, (uint8_t)producer->count);
        for (uint32_t i = 0; i < producer->count; i++) {
            const struct seen_batch *b = &producer->batches[i];
            writer_be16(w, (uint16_t)b->epoch);
            writer_be32(w, (uint32_t)b->first_sequence);
            writer_be32(w, (uint32_t)b->last_sequence);
            writer_be64(w, (uint64_t)b->base_offset);
            writer_be32(w, (uint32_t)b->last_offset_delta);
            writer_be64(w, (uint64_t)b->timestamp_ms);
        }
    }
}

/* False if the bytes end or no batch looks so. */
static bool seen_decode(struct seen_batch *out, struct reader *r)
{
    out->epoch = (int16_t)reader_be16(r);
    out->first_sequence = (int32_t)reader_be32(r);
    out->last_sequence = (int32_t)reader_be32(r);
    out->base_offset = (int64_t)reader_be64(r);
    out->last_offset_delta = (int32_t)reader_be32(r);
    out->timestamp_ms = (int64_t)reader_be64(r);
    return !r->failed && out->epoch >= 0 && out->first_sequence >= 0 && out->last_sequence >= 0 &&
           out->base_offset >= 0 && out->last_offset_delta >= 0 &&
           out->base_offset <= INT64_MAX - out->last_offset_delta;
}

/* Many at once, for each time is a walk over all. */
static void table_make_room(struct producer_table *t, int64_t expired_ms)
{
    uint32_t before = producer_table_count(t);
    producer_table_expire(t, expired_ms);
    if (producer_table_count(t) < before) {
        return;
    }
    producer_table_sort(t);
    for (uint32_t n = before / DECODE_ROOM + 1; n > 0; n--) {
        (void)producer_table_forget_oldest(t);
    }
}

/* One more of its batches. Without memory its oldest one goes. */
static void producer_take(struct producer *p, const struct seen_batch *b)
{
    if (producer_reserve(p, 0, 0)) {
        p->count--;
        memmove(p->batches, p->batches + 1, p->count * sizeof *p->batches);
    }
    producer_push(p, *b);
}

/* One producer behind all that are there. */
static int producer_decode(struct producers *p, struct reader *r, int64_t expired_ms)
{
    int64_t id = (int64_t)reader_be64(r);
    uint32_t count = reader_u8(r);
    if (r->failed || id < 0 || count < 1 || count > reader_left(r) / PRODUCER_BATCH_SIZE ||
        producers_find(p, id)) {
        return ERR_MALFORMED;
    }
    int64_t newest_before = list_empty(&p->order) ? -1 : producers_newest_offset(p);
    struct seen_batch batches[PRODUCER_BATCHES_MAX];
    int64_t last_offset = -1;
    for (uint32_t i = 0; i < count; i++) {
        if (!seen_decode(&batches[i], r) || batches[i].base_offset <= last_offset) {
            return ERR_MALFORMED;
        }
        last_offset = seen_last_offset(&batches[i]);
    }
    if (last_offset <= newest_before) {
        return ERR_MALFORMED;
    }
    int error;
    struct producer *producer = producers_add(p, id, &error);
    if (!producer) {
        table_make_room(p->table, expired_ms);
        producer = producers_add(p, id, &error);
    }
    for (uint32_t i = 0; producer && i < count; i++) {
        producer_take(producer, &batches[i]);
    }
    if (producer) {
        list_append(&p->order, &producer->link);
    }
    return 0;
}

int producers_decode(struct producers **out, struct producer_table *t, struct reader *r,
                     int64_t expired_ms)
{
    uint8_t version = reader_u8(r);
    uint32_t count = reader_be32(r);
    if (r->failed || version != PRODUCERS_VERSION ||
        count > reader_left(r) / (PRODUCER_HEADER_SIZE + PRODUCER_BATCH_SIZE)) {
        return ERR_MALFORMED;
    }
    if (count == 0) {
        *out = NULL;
        return 0;
    }
    struct producers *p = producers_new(t);
    if (!p) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        int error = producer_decode(p, r, expired_ms);
        if (error < 0) {
            producers_free(p);
            return error;
        }
    }
    assert(producers_count(p) <= count);
    *out = p;
    return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

void producer_table_init(struct producer_table *t, struct memory *memory, uint64_t seed,
                         uint32_t limit)
{
    *t = (struct producer_table){.memory = memory, .limit = limit};
    map_init(&t->by_key, memory, seed, UINT32_MAX);
    pool_init(&t->pool, memory, sizeof(struct producer), PRODUCERS_SLAB, UINT32_MAX);
    list_init(&t->by_use);
}

void producer_table_deinit(struct producer_table *t)
{
    assert(map_count(&t->by_key) == 0 && list_empty(&t->by_use));
    map_deinit(&t->by_key);
    pool_deinit(&t->pool);
}

uint32_t producer_table_count(const struct producer_table *t)
{
    return (uint32_t)map_count(&t->by_key);
}

void producer_table_expire(struct producer_table *t, int64_t timestamp_ms)
{
    list_each (node, &t->by_use) {
        struct producer *producer = container_of(node, struct producer, by_use);
        if (producer_newest(producer)->timestamp_ms < timestamp_ms) {
            producer_forget(producer);
        }
    }
}

bool producer_table_forget_oldest(struct producer_table *t)
{
    struct list *oldest = list_first(&t->by_use);
    if (oldest) {
        producer_forget(container_of(oldest, struct producer, by_use));
    }
    return oldest != NULL;
}

void producer_table_sort(struct producer_table *t)
{
    order_sort(&t->by_use, use_before);
}
