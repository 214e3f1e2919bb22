/* SPDX-License-Identifier: Apache-2.0 */

#include "load/produce_template.h"

#include "base/prng.h"
#include "load/exchange.h"
#include "load/cost.h"

#include <stdlib.h>
#include <time.h>

enum {
    RECORD_OVERHEAD = 24,   /* of a record beside its value, at most */
    CORRELATION_AT = 4 + 4, /* behind the frame's size, the key and the version */
    TIMEOUT_MS = 30000,
    BATCH_LIMIT = 64 << 20,
};

static void *must_alloc(struct produce_template *t, size_t count, size_t size)
{
    void *p = memory_alloc(&t->memory, count * size);
    if (!p) {
        load_fail("out of memory");
    }
    return p;
}

/* Half of the bits are random, so that a codec has something to do and something to gain. */
static void record_fill(uint8_t *value, size_t size, struct prng *prng)
{
    for (size_t i = 0; i < size; i++) {
        value[i] = (uint8_t)('a' + prng_next(prng) % 16);
    }
}

static void build_batch(struct produce_template *t, const struct produce_template_options *o)
{
    uint8_t *value = must_alloc(t, o->record_bytes + 1, 1);
    struct prng prng = prng_of(42);
    size_t each = o->request_bytes / o->spread;
    struct record_input record = {
        .timestamp = (int64_t)time(NULL) * 1000,
        .key = {NULL, -1},
        .value = {value, (int32_t)o->record_bytes},
    };
    struct batch_options options = batch_options_default();
    options.codec = o->codec;
    batch_builder_init(&t->builder, &t->memory, BATCH_LIMIT);
    do {
        record_fill(value, o->record_bytes, &prng);
        int error = batch_append(&t->builder, &record);
        if (error) {
            load_fail("a batch cannot be built: %s", error_text(error));
        }
        t->record_count++;
    } while (batch_builder_size(&t->builder) + o->record_bytes + RECORD_OVERHEAD <= each);
    int error = batch_finish(&t->builder, &options, &t->batch);
    if (error) {
        load_fail("a batch cannot be built: %s", error_text(error));
    }
}

static void build_frame(struct produce_template *t, const struct produce_template_options *o,
                        size_t index)
{
    struct produce_frame *f = &t->frames[index];
    const struct slice slice = {t->batch.data, t->batch.size, NULL};
    struct produce_request q;
    struct produce_request_topic_data topic;
    produce_request_init(&q);
    produce_request_topic_data_init(&topic);
    q.acks = o->acks;
    q.timeout_ms = TIMEOUT_MS;
    q.topic_data = &topic;
    q.topic_data_count = 1;
    topic.name = wire_string_of(o->topic);
    topic.partition_data = must_alloc(t, t->spread, sizeof *topic.partition_data);
    topic.partition_data_count = (int32_t)t->spread;
    for (unsigned i = 0; i < t->spread; i++) {
        struct produce_request_partition_data *p = &topic.partition_data[i];
        produce_request_partition_data_init(p);
        p->index = (int32_t)((index * t->spread + i) % (size_t)o->partitions);
        p->records = (struct wire_records){&slice, 1, (uint32_t)slice.size, false};
    }
    wire_writer_init(&f->writer, &t->memory, EXCHANGE_FRAME_MAX);
    exchange_frame(&f->writer, wire_api_find(WIRE_PRODUCE), PRODUCE_TEMPLATE_VERSION, 0, &q);
    memory_free(&t->memory, topic.partition_data);
    f->size = wire_writer_total(&f->writer);
    unsigned room = t->spread * 2 + 2;
    f->iovecs = must_alloc(t, room, sizeof *f->iovecs);
    f->iovec_count = (unsigned)wire_writer_iovecs(&f->writer, 0, f->iovecs, (int)room);
}

void produce_template_init(struct produce_template *t, const struct produce_template_options *o)
{
    assert(o->partitions > 0);
    assert(o->spread > 0 && o->spread <= (unsigned)o->partitions);
    memset(t, 0, sizeof *t);
    memory_init(&t->memory, SIZE_MAX);
    t->spread = o->spread;
    build_batch(t, o);
    t->frame_count = ((size_t)o->partitions + o->spread - 1) / o->spread;
    t->frames = must_alloc(t, t->frame_count, sizeof *t->frames);
    for (size_t i = 0; i < t->frame_count; i++) {
        build_frame(t, o, i);
    }
}

void produce_template_deinit(struct produce_template *t)
{
    memory_drop(&t->memory);
    memset(t, 0, sizeof *t);
}

void produce_frame_number(struct produce_frame *f, int32_t correlation_id)
{
    assert(f->writer.size > CORRELATION_AT + 4);
    put_be32(f->writer.data + CORRELATION_AT, (uint32_t)correlation_id);
}
