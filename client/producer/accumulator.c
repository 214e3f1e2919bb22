/* SPDX-License-Identifier: Apache-2.0 */

#include "producer/accumulator.h"

#include "producer/partitioner.h"

#include <string.h>

enum {
    BLOCK_SMALL = 16384,
    SPARES_MAX = 64,
    TOPICS_MAX = 100000,
    TAGS_FIRST = 256,
};

void accumulator_init(struct accumulator *a, struct gate *gate, struct memory *memory,
                      const leat_producer_options *options, uint64_t (*clock)(void), uint64_t seed)
{
    *a = (struct accumulator){
        .gate = gate, .memory = memory, .options = options, .clock = clock, .prng = prng_of(seed)};
    map_init(&a->topics, memory, prng_next(&a->prng), TOPICS_MAX);
    list_init(&a->all_topics);
    list_init(&a->asking);
    list_init(&a->active);
    list_init(&a->unsettled);
    list_init(&a->reports);
}

/* --- batches --- */

/* A block that waits for its next batch; it lies in the block itself. */
struct spare_block {
    struct spare_block *next;
};

static uint8_t *block_take(struct accumulator *a, size_t capacity)
{
    struct spare_block *spare = a->spares;
    if (!spare || capacity != a->options->batch_bytes) {
        return memory_alloc_aligned(a->memory, capacity, 64);
    }
    a->spares = spare->next;
    a->spare_count--;
    return (uint8_t *)spare;
}

static void block_give(struct accumulator *a, uint8_t *data, size_t capacity)
{
    if (capacity != a->options->batch_bytes || a->spare_count == SPARES_MAX) {
        memory_free(a->memory, data);
        return;
    }
    struct spare_block *spare = (struct spare_block *)data;
    spare->next = a->spares;
    a->spares = spare;
    a->spare_count++;
}

static void batch_free(struct accumulator *a, struct producer_batch *b)
{
    assert(!b->data);
    memory_free(a->memory, b->tags);
    memory_free(a->memory, b);
}

/* Gives the records' memory back; what reports need stays. */
static void batch_release(struct accumulator *a, struct producer_batch *b)
{
    assert(!b->packed);
    assert(a->used_bytes >= b->capacity);
    a->used_bytes -= b->capacity;
    block_give(a, b->data, b->capacity);
    b->data = NULL;
}

static bool accumulator_fits(struct accumulator *a, size_t more)
{
    return a->used_bytes == 0 || a->used_bytes + more <= a->options->buffer_bytes;
}

/* What a queue's next batch should hold at first. */
static size_t batch_capacity(const struct accumulator *a, const struct producer_queue *q,
                             size_t need)
{
    size_t full = a->options->batch_bytes;
    size_t first = q->small && full > BLOCK_SMALL ? BLOCK_SMALL : full;
    return need <= first ? first : need <= full ? full : need;
}

static struct producer_batch *batch_new(struct accumulator *a, size_t capacity)
{
    struct producer_batch *b = memory_alloc(a->memory, sizeof *b);
    uint8_t *data = b ? block_take(a, capacity) : NULL;
    if (!data) {
        memory_free(a->memory, b);
        return NULL;
    }
    b->data = data;
    b->capacity = capacity;
    b->size = BATCH_HEADER_SIZE;
    b->base_offset = b->timestamp = -1;
    list_init(&b->link);
    list_init(&b->age_link);
    return b;
}

static void queue_activate(struct accumulator *a, struct producer_queue *q)
{
    if (list_empty(&q->active_link)) {
        list_append(&a->active, &q->active_link);
    }
    a->wake = true;
}

/* The open batch takes no more. */
static void queue_close_open(struct accumulator *a, struct producer_queue *q)
{
    struct producer_batch *b = q->open;
    assert(b && b->record_count > 0);
    q->open = NULL;
    q->small = b->size <= BLOCK_SMALL / 2;
    list_append(&q->ready, &b->link);
    queue_activate(a, q);
}

static int queue_open(struct accumulator *a, struct producer_queue *q, size_t need)
{
    assert(!q->open);
    size_t capacity = batch_capacity(a, q, need);
    if (!accumulator_fits(a, capacity)) {
        a->starved = a->wake = true;
        return ERR_BUSY;
    }
    struct producer_batch *b = batch_new(a, capacity);
    if (!b) {
        return ERR_NO_MEMORY;
    }
    uint64_t now = a->clock();
    b->queue = q;
    b->ordinal = ++a->ordinal;
    b->send_by_ns = now + (uint64_t)a->options->linger_ms * 1000000;
    b->deliver_by_ns = now + (uint64_t)a->options->delivery_timeout_ms * 1000000;
    b->urgent = a->flushing > 0;
    a->used_bytes += capacity;
    list_append(&a->unsettled, &b->age_link);
    q->open = b;
    queue_activate(a, q);
    return 0;
}

/* Grows a small block to a full one; false when the batch had better be closed. */
static bool batch_grow(struct accumulator *a, struct producer_batch *b, size_t need)
{
    size_t capacity = a->options->batch_bytes;
    if (b->capacity >= capacity || need > capacity ||
        !accumulator_fits(a, capacity - b->capacity)) {
        return false;
    }
    uint8_t *data = block_take(a, capacity);
    if (!data) {
        return false;
    }
    memcpy(data, b->data, b->size);
    block_give(a, b->data, b->capacity);
    a->used_bytes += capacity - b->capacity;
    b->data = data;
    b->capacity = capacity;
    return true;
}

static int batch_tag(struct accumulator *a, struct producer_batch *b, void *tag)
{
    if (!tag && !b->tags) {
        return 0;
    }
    if ((uint32_t)b->record_count >= b->tags_capacity) {
        uint32_t capacity = b->tags_capacity ? b->tags_capacity * 2 : TAGS_FIRST;
        while (capacity <= (uint32_t)b->record_count) {
            capacity *= 2;
        }
        void **grown = memory_resize(a->memory, b->tags, capacity * sizeof *grown);
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        b->tags = grown;
        b->tags_capacity = capacity;
    }
    b->tags[b->record_count] = tag;
    return 0;
}

/* --- topics and partitions --- */

static struct producer_topic *accumulator_topic(struct accumulator *a, const char *name)
{
    if (a->latest && strcmp(a->latest->name, name) == 0) {
        return a->latest;
    }
    size_t size = strlen(name);
    struct producer_topic *t = map_get(&a->topics, bytes_of(name, size));
    if (!t) {
        t = memory_alloc(a->memory, sizeof *t + size + 1);
        if (!t) {
            return NULL;
        }
        memcpy(t->name, name, size);
        if (map_add(&a->topics, bytes_of(t->name, size), t)) {
            memory_free(a->memory, t);
            return NULL;
        }
        t->sticky = -1;
        t->number = a->topic_count++;
        list_init(&t->link);
        list_init(&t->all_link);
        list_append(&a->all_topics, &t->all_link);
        list_append(&a->asking, &t->link);
        a->wake = true;
    }
    a->latest = t;
    return t;
}

/* Another partition for records without key, one with a leader if there is any. */
static int32_t topic_sticky(struct accumulator *a, struct producer_topic *t)
{
    if (t->sticky >= 0 && t->queues[t->sticky]->open && t->sticky_left > 0) {
        return t->sticky;
    }
    int32_t before = t->sticky;
    for (int tries = 0; tries < 4; tries++) {
        t->sticky = (int32_t)prng_below(&a->prng, (uint64_t)t->queue_count);
        if (t->queues[t->sticky]->leader >= 0 && (t->sticky != before || t->queue_count == 1)) {
            break;
        }
    }
    t->sticky_left = a->options->batch_bytes;
    return t->sticky;
}

static int32_t topic_partition(struct accumulator *a, struct producer_topic *t,
                               const leat_record *r)
{
    struct bytes key = {r->key.data, r->key.len};
    if (r->partition >= 0) {
        return r->partition;
    }
    if (a->options->partition) {
        return a->options->partition(a->options->partition_context, r, t->queue_count);
    }
    switch (a->options->partitioner) {
    case LEAT_PARTITIONER_ROUND_ROBIN:
        t->next = t->next + 1 < t->queue_count ? t->next + 1 : 0;
        return t->next;
    case LEAT_PARTITIONER_RANDOM:
        return (int32_t)prng_below(&a->prng, (uint64_t)t->queue_count);
    case LEAT_PARTITIONER_CRC32:
        return key.data ? partition_by_crc32(key, t->queue_count)
                        : (int32_t)prng_below(&a->prng, (uint64_t)t->queue_count);
    default:
        return key.data ? partition_by_murmur2(key, t->queue_count) : topic_sticky(a, t);
    }
}

int accumulator_topic_known(struct accumulator *a, struct producer_topic *t, int32_t count)
{
    if (count > t->queue_count) {
        struct producer_queue **grown =
            memory_resize(a->memory, t->queues, (size_t)count * sizeof *grown);
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        t->queues = grown;
    }
    for (int32_t i = t->queue_count; i < count; i++) {
        struct producer_queue *q = memory_alloc(a->memory, sizeof *q);
        if (!q) {
            return ERR_NO_MEMORY;
        }
        q->topic = t;
        q->partition = i;
        q->small = true;
        q->leader = -1;
        q->producer_id = -1;
        list_init(&q->ready);
        list_init(&q->active_link);
        list_init(&q->node_link);
        list_init(&q->in_flight);
        list_init(&q->retry);
        t->queues[i] = q;
        t->queue_count = i + 1;
    }
    t->state = TOPIC_KNOWN;
    gate_announce(a->gate);
    return 0;
}

void accumulator_topic_refused(struct accumulator *a, struct producer_topic *t,
                               const leat_error *error)
{
    assert(t->state == TOPIC_ASKING);
    t->state = TOPIC_REFUSED;
    t->error = *error;
    list_remove(&t->link); /* if an earlier question is answered: who comes next asks anew */
    gate_announce(a->gate);
}

/* A refusal is told to those who waited for it; whoever comes later asks again. */
static int topic_check(struct accumulator *a, struct producer_topic *t, leat_error *e)
{
    switch (t->state) {
    case TOPIC_KNOWN:
        return 0;
    case TOPIC_REFUSED:
        t->state = TOPIC_ASKING;
        list_append(&a->asking, &t->link);
        a->wake = true;
        return error_copy(e, &t->error);
    default:
        return ERR_BUSY;
    }
}

/* --- appending --- */

int accumulator_append(struct accumulator *a, const leat_record *r, int64_t now_ms, void *tag,
                       struct producer_batch **batch, leat_error *e)
{
    if (a->fatal.code) {
        return error_copy(e, &a->fatal);
    }
    struct producer_topic *t = accumulator_topic(a, r->topic);
    int error = t ? topic_check(a, t, e) : ERR_NO_MEMORY;
    if (error) {
        return error;
    }
    int32_t partition = topic_partition(a, t, r);
    if (partition < 0 || partition >= t->queue_count) {
        return error_set(e, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                         "topic %s has no partition %d: its last partition is %d", t->name,
                         (int)partition, (int)t->queue_count - 1);
    }
    struct producer_queue *q = t->queues[partition];
    size_t need = record_bound(r);
    struct producer_batch *b = q->open;
    if (b && b->size + need > b->capacity && !batch_grow(a, b, b->size + need)) {
        queue_close_open(a, q);
        b = NULL;
    }
    if (!b) {
        error = queue_open(a, q, BATCH_HEADER_SIZE + need);
        if (error) {
            return error;
        }
        b = q->open;
    }
    error = batch_tag(a, b, tag);
    if (error) {
        if (b->record_count == 0) {
            q->open = NULL;
            list_remove(&b->age_link);
            batch_release(a, b);
            batch_free(a, b);
        }
        return error;
    }
    t->sticky_left -= t->sticky_left < need ? t->sticky_left : (uint32_t)need;
    producer_batch_append(b, r, r->timestamp_ms == LEAT_NOW ? now_ms : r->timestamp_ms);
    a->unsettled_records++;
    *batch = b;
    return 0;
}

void accumulator_hurry(struct accumulator *a, struct producer_batch *b)
{
    if (!b->urgent) {
        b->urgent = true;
        queue_activate(a, b->queue);
    }
}

void accumulator_hurry_all(struct accumulator *a)
{
    list_each (node, &a->unsettled) {
        struct producer_batch *b = container_of(node, struct producer_batch, age_link);
        if (b->queue->open == b) {
            accumulator_hurry(a, b);
        }
    }
    a->wake = true;
}

struct producer_batch *accumulator_take(struct accumulator *a, struct producer_queue *q,
                                        uint64_t now_ns, uint64_t *due_ns)
{
    *due_ns = UINT64_MAX;
    struct list *node = list_pop(&q->ready);
    if (node) {
        return container_of(node, struct producer_batch, link);
    }
    struct producer_batch *b = q->open;
    if (!b || b->record_count == 0) {
        return NULL;
    }
    if (!b->urgent && !a->starved && !a->closing && now_ns < b->send_by_ns) {
        *due_ns = b->send_by_ns;
        return NULL;
    }
    q->open = NULL;
    q->small = b->size <= BLOCK_SMALL / 2;
    return b;
}

/* --- the end of a batch --- */

/* All of the first batch of reports is told, or dropped: it lives until the next call. */
static void report_told(struct accumulator *a, struct producer_batch *b)
{
    a->report_position = 0;
    b->told_next = a->told;
    a->told = b;
}

static void reports_drop(struct accumulator *a)
{
    while (a->report_records > a->options->reports_max && !list_empty(&a->reports)) {
        struct producer_batch *b = container_of(list_pop(&a->reports), struct producer_batch, link);
        uint64_t left = (uint64_t)b->record_count - a->report_position;
        a->report_records -= left;
        a->reports_dropped += left;
        if (a->report_position > 0) { /* the caller still reads what it was told of it */
            report_told(a, b);
        } else {
            batch_free(a, b);
        }
    }
}

static void waiters_settle(struct producer_batch *b)
{
    struct producer_waiter *next;
    for (struct producer_waiter *w = b->waiters; w; w = next) {
        next = w->next;
        w->settled = true;
        w->error = b->error;
        w->offset = producer_batch_offset(b, w->index);
    }
    b->waiters = NULL;
}

void accumulator_settle(struct accumulator *a, struct producer_batch *b)
{
    assert(list_empty(&b->link));
    assert(b->queue->open != b);
    list_remove(&b->age_link);
    assert(a->unsettled_records >= (size_t)b->record_count);
    a->unsettled_records -= (size_t)b->record_count;
    waiters_settle(b);
    if (b->error.code && !a->failure.code) {
        a->failure = b->error;
    }
    batch_release(a, b);
    if (b->tags || b->error.code) {
        list_append(&a->reports, &b->link);
        a->report_records += (uint64_t)b->record_count;
        reports_drop(a);
    } else {
        batch_free(a, b);
    }
    a->starved = false; /* whoever still finds no room says so again */
    gate_announce(a->gate);
}

void accumulator_forget(struct producer_batch *b, struct producer_waiter *w)
{
    struct producer_waiter **at = &b->waiters;
    while (*at && *at != w) {
        at = &(*at)->next;
    }
    assert(*at == w);
    *at = w->next;
}

size_t accumulator_reports(struct accumulator *a, leat_report *out, size_t max)
{
    size_t count = 0;
    while (a->told) {
        struct producer_batch *next = a->told->told_next;
        batch_free(a, a->told);
        a->told = next;
    }
    while (count < max && !list_empty(&a->reports)) {
        struct producer_batch *b =
            container_of(list_first(&a->reports), struct producer_batch, link);
        uint32_t i = a->report_position;
        for (; i < (uint32_t)b->record_count && count < max; i++) {
            void *tag = b->tags ? b->tags[i] : NULL;
            if (!tag && !b->error.code) {
                continue;
            }
            out[count++] = (leat_report){
                .tag = tag,
                .code = b->error.code,
                .partition = b->queue->partition,
                .offset = producer_batch_offset(b, (int32_t)i),
                .topic = b->queue->topic->name,
                .message = b->error.message,
                .timestamp_ms = b->timestamp,
            };
        }
        a->report_records -= i - a->report_position;
        a->report_position = i;
        if (i == (uint32_t)b->record_count) {
            list_remove(&b->link);
            report_told(a, b);
        }
    }
    return count;
}

void accumulator_deinit(struct accumulator *a)
{
    assert(list_empty(&a->unsettled));
    map_deinit(&a->topics);
    /* The rest goes with the producer's heap. */
}
