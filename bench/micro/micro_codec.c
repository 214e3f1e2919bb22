/* SPDX-License-Identifier: Apache-2.0 */

/* micro_codec: how many messages per second the codec writes and reads.
 *
 * Records count as a reference: their bytes are neither copied nor looked at. "table" is the
 * interpreter; for messages without straight code both columns are the same thing. */
#include "wire/wire.h"

#include "report/clock.h"
#include "report/options.h"
#include "report/samples.h"
#include "report/table.h"

#include <stdio.h>
#include <stdlib.h>

enum { MANY = 100, RECORDS_SIZE = 64 << 10, ROOM = 4 << 20 };

struct bench {
    struct memory memory;
    struct arena values, scratch; /* messages to encode; what decoding allocates */
    struct wire_writer writer;
    uint8_t *bytes;
    struct slice records;
    uint64_t for_ns;
};

static _Noreturn void give_up(const char *what, int error)
{
    fprintf(stderr, "micro_codec: %s: %s\n", what, error_text(error));
    exit(1);
}

static void *make(struct bench *b, size_t count, size_t size)
{
    void *p = arena_array(&b->values, count, size);
    if (!p) {
        give_up("values", ERR_NO_MEMORY);
    }
    return p;
}

/* --- the messages ----------------------------------------------------------------------------- */

static struct wire_records records_of(struct bench *b)
{
    return (struct wire_records){&b->records, 1, (uint32_t)b->records.size, false};
}

static void *make_produce_request(struct bench *b, int32_t count)
{
    struct produce_request *q = make(b, 1, sizeof *q);
    struct produce_request_topic_data *t = make(b, 1, sizeof *t);
    produce_request_init(q);
    q->acks = -1;
    q->timeout_ms = 30000;
    q->topic_data = t;
    q->topic_data_count = 1;
    produce_request_topic_data_init(t);
    t->name = wire_string_of("measurements");
    t->partition_data = make(b, (size_t)count, sizeof *t->partition_data);
    t->partition_data_count = count;
    for (int32_t i = 0; i < count; i++) {
        produce_request_partition_data_init(&t->partition_data[i]);
        t->partition_data[i].index = i;
        t->partition_data[i].records = records_of(b);
    }
    return q;
}

static void *make_produce_response(struct bench *b, int32_t count)
{
    struct produce_response *a = make(b, 1, sizeof *a);
    struct produce_response_responses *t = make(b, 1, sizeof *t);
    produce_response_init(a);
    a->responses = t;
    a->responses_count = 1;
    produce_response_responses_init(t);
    t->name = wire_string_of("measurements");
    t->partition_responses = make(b, (size_t)count, sizeof *t->partition_responses);
    t->partition_responses_count = count;
    for (int32_t i = 0; i < count; i++) {
        produce_response_partition_responses_init(&t->partition_responses[i]);
        t->partition_responses[i].index = i;
        t->partition_responses[i].base_offset = 1000 + i;
    }
    return a;
}

static void *make_fetch_request(struct bench *b, int32_t count)
{
    struct fetch_request *q = make(b, 1, sizeof *q);
    struct fetch_request_topics *t = make(b, 1, sizeof *t);
    fetch_request_init(q);
    q->max_wait_ms = 500;
    q->topics = t;
    q->topics_count = 1;
    fetch_request_topics_init(t);
    t->topic_id.bytes[0] = 7;
    t->partitions = make(b, (size_t)count, sizeof *t->partitions);
    t->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        fetch_request_partitions_init(&t->partitions[i]);
        t->partitions[i].partition = i;
        t->partitions[i].fetch_offset = 1000 + i;
        t->partitions[i].partition_max_bytes = 1 << 20;
    }
    return q;
}

static void *make_fetch_response(struct bench *b, int32_t count)
{
    struct fetch_response *a = make(b, 1, sizeof *a);
    struct fetch_response_responses *t = make(b, 1, sizeof *t);
    fetch_response_init(a);
    a->responses = t;
    a->responses_count = 1;
    fetch_response_responses_init(t);
    t->topic_id.bytes[0] = 7;
    t->partitions = make(b, (size_t)count, sizeof *t->partitions);
    t->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        fetch_response_partitions_init(&t->partitions[i]);
        t->partitions[i].partition_index = i;
        t->partitions[i].high_watermark = 2000 + i;
        t->partitions[i].records = records_of(b);
    }
    return a;
}

static void *make_metadata_request(struct bench *b, int32_t count)
{
    struct metadata_request *q = make(b, 1, sizeof *q);
    metadata_request_init(q);
    q->topics = make(b, (size_t)count, sizeof *q->topics);
    q->topics_count = count;
    for (int32_t i = 0; i < count; i++) {
        metadata_request_topics_init(&q->topics[i]);
        q->topics[i].name = wire_string_of("measurements");
    }
    return q;
}

static void *make_metadata_response(struct bench *b, int32_t count)
{
    static int32_t replicas[] = {1, 2, 3};
    struct metadata_response *a = make(b, 1, sizeof *a);
    struct metadata_response_topics *t = make(b, 1, sizeof *t);
    metadata_response_init(a);
    a->topics = t;
    a->topics_count = 1;
    metadata_response_topics_init(t);
    t->name = wire_string_of("measurements");
    t->partitions = make(b, (size_t)count, sizeof *t->partitions);
    t->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        struct metadata_response_partitions *p = &t->partitions[i];
        metadata_response_partitions_init(p);
        p->partition_index = i;
        p->leader_id = 1;
        p->replica_nodes = p->isr_nodes = replicas;
        p->replica_nodes_count = p->isr_nodes_count = 3;
    }
    return a;
}

static const struct {
    const char *name;
    const struct wire_message *message;
    void *(*make)(struct bench *b, int32_t count);
    int version;
} messages[] = {
    {"Produce request", &produce_request_message, make_produce_request, 9},
    {"Produce answer", &produce_response_message, make_produce_response, 9},
    {"Fetch request", &fetch_request_message, make_fetch_request, 13},
    {"Fetch answer", &fetch_response_message, make_fetch_response, 13},
    {"Metadata request", &metadata_request_message, make_metadata_request, 12},
    {"Metadata answer", &metadata_response_message, make_metadata_response, 12},
};

/* --- measuring -------------------------------------------------------------------------------- */

typedef int (*encode_fn)(const struct wire_message *message, const void *in, struct wire_writer *w,
                         int version);
typedef int (*decode_fn)(const struct wire_message *message, void *out, struct reader *r,
                         int version, struct arena *arena);

/* Messages per microsecond, which is millions per second. */
static double measure_encode(struct bench *b, const struct wire_message *message, int version,
                             const void *value, encode_fn encode)
{
    uint64_t begun = clock_ns(), now, count = 0;
    do {
        for (int i = 0; i < 64; i++, count++) {
            wire_writer_reset(&b->writer);
            int error = encode(message, value, &b->writer, version);
            if (error) {
                give_up(message->name, error);
            }
        }
        now = clock_ns();
    } while (now - begun < b->for_ns);
    return (double)count * 1000 / (double)(now - begun);
}

static double measure_decode(struct bench *b, const struct wire_message *message, int version,
                             size_t size, decode_fn decode)
{
    void *out = make(b, 1, message->body->size);
    uint64_t begun = clock_ns(), now, count = 0;
    do {
        for (int i = 0; i < 64; i++, count++) {
            struct reader r = reader_of(b->bytes, size);
            arena_reset(&b->scratch);
            int error = decode(message, out, &r, version, &b->scratch);
            if (error) {
                give_up(message->name, error);
            }
        }
        now = clock_ns();
    } while (now - begun < b->for_ns);
    return (double)count * 1000 / (double)(now - begun);
}

/* The message in one piece, for decoding. */
static size_t flatten(struct bench *b, const struct wire_message *message, int version,
                      const void *value)
{
    size_t at = 0;
    struct iovec iovec;
    wire_writer_reset(&b->writer);
    int error = wire_encode(message, value, &b->writer, version);
    if (error || wire_writer_total(&b->writer) > ROOM * 2) {
        give_up(message->name, error ? error : ERR_TOO_LARGE);
    }
    while (wire_writer_iovecs(&b->writer, at, &iovec, 1) > 0) {
        memcpy(b->bytes + at, iovec.iov_base, iovec.iov_len);
        at += iovec.iov_len;
    }
    return at;
}

static void measure_message(struct bench *b, struct table *t, size_t index, int32_t count,
                            uint64_t rounds)
{
    const struct wire_message *message = messages[index].message;
    int version = messages[index].version;
    struct samples figures[4] = {0};
    b->records.size = count == 1 ? RECORDS_SIZE : RECORDS_SIZE / MANY;
    const void *value = messages[index].make(b, count);
    size_t size = flatten(b, message, version, value);
    for (uint64_t i = 0; i < rounds; i++) {
        samples_add(&figures[0], measure_encode(b, message, version, value, wire_encode));
        samples_add(&figures[1], measure_encode(b, message, version, value, wire_encode_by_table));
        samples_add(&figures[2], measure_decode(b, message, version, size, wire_decode));
        samples_add(&figures[3], measure_decode(b, message, version, size, wire_decode_by_table));
    }
    char name[64];
    snprintf(name, sizeof name, "%s v%d", messages[index].name, version);
    table_text(t, name);
    table_number(t, count);
    for (size_t i = 0; i < array_size(figures); i++) {
        table_number(t, samples_median(&figures[i]));
    }
    arena_reset(&b->values);
}

int main(int argc, char **argv)
{
    static const struct table_column columns[] = {
        {"message", TABLE_TEXT}, {"partitions", 0},    {"encode", 3}, {"encode, table", 3},
        {"decode", 3},           {"decode, table", 3}, {NULL, 0}};
    bool json = false;
    double seconds = 0.02;
    uint64_t rounds = 5;
    const struct option_spec specs[] = {
        {"seconds", OPTION_SECONDS, &seconds, "of each measurement"},
        {"rounds", OPTION_COUNT, &rounds, "of which the median is told"},
        {"json", OPTION_FLAG, &json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    options_parse(specs, argc, argv, "micro_codec [options]");
    rounds = rounds < SAMPLES_MAX ? rounds : SAMPLES_MAX;
    struct bench b = {.for_ns = clock_seconds(seconds)};
    struct report report;
    memory_init(&b.memory, SIZE_MAX);
    arena_init(&b.values, &b.memory, ROOM);
    arena_init(&b.scratch, &b.memory, ROOM);
    wire_writer_init(&b.writer, &b.memory, ROOM);
    b.bytes = memory_alloc(&b.memory, ROOM * 2);
    b.records.data = memory_alloc(&b.memory, RECORDS_SIZE);
    if (!b.bytes || !b.records.data) {
        give_up("buffers", ERR_NO_MEMORY);
    }
    report_init(&report, "micro_codec");
    report_condition(&report, "records", "64 KiB per message");
    struct table *t =
        report_table(&report, "codec", "million messages per second, median", columns);
    for (size_t i = 0; i < array_size(messages); i++) {
        measure_message(&b, t, i, 1, rounds);
        measure_message(&b, t, i, MANY, rounds);
    }
    report_print(&report, json);
    report_deinit(&report);
    wire_writer_deinit(&b.writer);
    memory_drop(&b.memory);
    return 0;
}
