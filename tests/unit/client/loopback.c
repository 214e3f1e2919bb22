/* SPDX-License-Identifier: Apache-2.0 */

/* Producer and consumer together against the broker of these tests, on real sockets: nothing lost,
 * nothing twice, everything in order, whatever the broker does. */
#include "fake_broker.h"

#include "leat/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

struct bench {
    struct fake_broker *broker;
    leat_client *client;
    leat_error e;
};

static struct bench bench_open(int partitions, uint64_t seed)
{
    struct bench b = {0};
    uint16_t port;
    char address[64];
    leat_options o = LEAT_OPTIONS_INIT;
    o.timeout_ms = 10000;
    o.retry_backoff_ms = 5;
    o.retry_backoff_max_ms = 20;
    o.reconnect_backoff_ms = 2;
    o.reconnect_backoff_max_ms = 10;
    b.broker = fake_broker_start(&port, partitions, seed);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    cr_assert_eq(leat_open(&b.client, address, &o, &b.e), 0, "%s", b.e.message);
    return b;
}

static void bench_close(struct bench *b)
{
    leat_close(b->client);
    fake_broker_stop(b->broker);
}

static leat_producer *producer_open(struct bench *b, const leat_producer_options *o)
{
    leat_producer *p;
    cr_assert_eq(leat_producer_open(&p, b->client, o, &b->e), 0, "%s", b->e.message);
    return p;
}

/* Sends numbers `from` to `to` - 1 to partition number % partitions. */
static void produce_numbers(struct bench *b, leat_producer *p, const char *topic, int from, int to,
                            int partitions)
{
    for (int i = from; i < to; i++) {
        char value[32];
        leat_record r = LEAT_RECORD_INIT;
        r.topic = topic;
        r.partition = i % partitions;
        r.value.data = value;
        r.value.len = (size_t)snprintf(value, sizeof value, "%d", i);
        cr_assert_eq(leat_produce(p, &r, NULL, &b->e), 0, "%d: %s", i, b->e.message);
    }
}

static leat_consumer *consumer_open(struct bench *b, const char *topic, int partitions,
                                    int64_t offset, const leat_consumer_options *o)
{
    leat_consumer *k;
    leat_start starts[16];
    cr_assert_eq(leat_consumer_open(&k, b->client, NULL, o, &b->e), 0, "%s", b->e.message);
    for (int i = 0; i < partitions; i++) {
        starts[i] = (leat_start){topic, i, offset, 0};
    }
    cr_assert_eq(leat_assign(k, starts, (size_t)partitions, &b->e), 0, "%s", b->e.message);
    return k;
}

/* Reads 0 .. count - 1 as produce_numbers() wrote them: each once, in order per partition. */
static void expect_numbers(struct bench *b, const char *topic, int count, int partitions)
{
    leat_consumer *k = consumer_open(b, topic, partitions, LEAT_EARLIEST, NULL);
    int64_t offsets[16] = {0};
    for (int seen = 0; seen < count;) {
        const leat_record *records;
        int got = leat_poll(k, &records, 10000, &b->e);
        cr_assert_gt(got, 0, "after %d of %d: %s", seen, count,
                     got ? b->e.message : "nothing came");
        for (int i = 0; i < got; i++, seen++) {
            const leat_record *r = &records[i];
            char value[32];
            int64_t *offset = &offsets[r->partition];
            cr_assert_eq(r->offset, *offset, "partition %d: offset %lld instead of %lld",
                         r->partition, (long long)r->offset, (long long)*offset);
            snprintf(value, sizeof value, "%lld", (long long)*offset * partitions + r->partition);
            cr_assert_eq(r->value.len, strlen(value), "%.*s instead of %s", (int)r->value.len,
                         (const char *)r->value.data, value);
            cr_assert_eq(memcmp(r->value.data, value, r->value.len), 0, "%.*s instead of %s",
                         (int)r->value.len, (const char *)r->value.data, value);
            ++*offset;
        }
    }
    for (int i = 0; i < partitions; i++) {
        int64_t position;
        cr_assert_eq(leat_consumer_position(k, topic, i, &position, &b->e), 0);
        cr_assert_eq(position, offsets[i]);
        cr_assert_eq(fake_broker_end(b->broker, topic, i), offsets[i], "duplicates in %d", i);
    }
    cr_assert_eq(leat_consumer_close(k, &b->e), 0);
}

Test(loopback, numbers_arrive_once_and_in_order)
{
    struct bench b = bench_open(3, 1);
    leat_producer *p = producer_open(&b, NULL);
    produce_numbers(&b, p, "numbers", 0, 100000, 3);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0, "%s", b.e.message);
    expect_numbers(&b, "numbers", 100000, 3);
    bench_close(&b);
}

static void codec_round_trip(enum leat_compression codec)
{
    struct bench b = bench_open(2, 2);
    leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
    o.compression = codec;
    leat_producer *p = producer_open(&b, &o);
    produce_numbers(&b, p, "packed", 0, 30000, 2);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(fake_broker_codec(b.broker, "packed", 0), (int)codec);
    expect_numbers(&b, "packed", 30000, 2);
    bench_close(&b);
}

Test(loopback, gzip)
{
    codec_round_trip(LEAT_COMPRESSION_GZIP);
}

Test(loopback, snappy)
{
    codec_round_trip(LEAT_COMPRESSION_SNAPPY);
}

Test(loopback, lz4)
{
    codec_round_trip(LEAT_COMPRESSION_LZ4);
}

Test(loopback, zstd)
{
    codec_round_trip(LEAT_COMPRESSION_ZSTD);
}

/* Without idempotence order rests on one batch in flight alone; the next ones are compressed before
 * it is answered, and may still have to wait, go again, or be given up. */
Test(loopback, batches_compressed_ahead_keep_the_order)
{
    for (int codec = LEAT_COMPRESSION_NONE; codec <= LEAT_COMPRESSION_ZSTD; codec++) {
        struct bench b = bench_open(4, 7);
        leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
        o.idempotence = LEAT_IDEMPOTENCE_OFF;
        o.batch_bytes = 2048;
        o.compression = codec;
        const struct fake_faults faults = {.drop_before = 20, .retriable = 20};
        fake_broker_faults(b.broker, &faults);
        leat_producer *p = producer_open(&b, &o);
        produce_numbers(&b, p, "ahead", 0, 50000, 4);
        cr_assert_eq(leat_flush(p, 60000, &b.e), 0, "%s", b.e.message);
        expect_numbers(&b, "ahead", 50000, 4);
        const struct fake_faults silence = {.silent = true};
        fake_broker_faults(b.broker, &silence);
        produce_numbers(&b, p, "ahead", 0, 10000, 4);
        cr_assert_gt(leat_producer_close(p, 50, &b.e), 0);
        bench_close(&b);
    }
}

Test(loopback, faults_lose_nothing_and_double_nothing)
{
    for (uint64_t seed = 10; seed < 18; seed++) {
        struct bench b = bench_open(4, seed);
        leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
        o.linger_ms = 0;
        o.batch_bytes = 1024;
        const struct fake_faults faults = {
            .drop_before = 10, .drop_after = 10, .retriable = 20, .drop_fetch = 20};
        fake_broker_faults(b.broker, &faults);
        leat_producer *p = producer_open(&b, &o);
        produce_numbers(&b, p, "rough", 0, 50000, 4);
        cr_assert_eq(leat_producer_close(p, 60000, &b.e), 0, "%s", b.e.message);
        struct fake_counts counts = fake_broker_counts(b.broker);
        cr_assert_gt(counts.dropped, 0);
        cr_assert_eq(counts.bad_batches, 0);
        expect_numbers(&b, "rough", 50000, 4);
        bench_close(&b);
    }
}

Test(loopback, forgotten_producers_start_anew)
{
    struct bench b = bench_open(2, 30);
    leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
    o.batch_bytes = 1024;
    leat_producer *p = producer_open(&b, &o);
    produce_numbers(&b, p, "forgotten", 0, 5000, 2);
    cr_assert_eq(leat_flush(p, 10000, &b.e), 0, "%s", b.e.message);
    const struct fake_faults faults = {.lose_producers = true};
    fake_broker_faults(b.broker, &faults);
    produce_numbers(&b, p, "forgotten", 5000, 10000, 2);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0, "%s", b.e.message);
    expect_numbers(&b, "forgotten", 10000, 2);
    bench_close(&b);
}

Test(loopback, a_refused_batch_leaves_a_gap_and_the_rest_in_order)
{
    struct bench b = bench_open(1, 31);
    leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
    leat_producer *p = producer_open(&b, &o);
    const struct fake_faults faults = {.refuse_large = 5000};
    fake_broker_faults(b.broker, &faults);
    char large[8000];
    memset(large, 'x', sizeof large);
    int delivered = 0, refused = 0;
    for (int round = 0; round < 200; round++) {
        leat_record r = LEAT_RECORD_INIT;
        leat_position at;
        r.topic = "refused";
        r.value.data = large;
        r.value.len = round % 3 == 1 ? sizeof large : 10;
        int code = leat_produce_wait(p, &r, &at, 10000, &b.e);
        if (round % 3 == 1) {
            cr_assert_eq(code, LEAT_ERR_MESSAGE_TOO_LARGE, "%d %s", code, b.e.message);
            refused++;
        } else {
            cr_assert_eq(code, 0, "round %d: %s", round, b.e.message);
            cr_assert_eq(at.offset, delivered);
            delivered++;
        }
    }
    cr_assert_eq(refused, 67);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), LEAT_ERR_MESSAGE_TOO_LARGE);
    cr_assert_eq(fake_broker_end(b.broker, "refused", 0), delivered);
    bench_close(&b);
}

struct many {
    struct bench *bench;
    leat_producer *producer;
    int number;
};

static void *many_thread(void *argument)
{
    struct many *m = argument;
    for (int i = 0; i < 20000; i++) {
        char value[32], key[8];
        leat_error e;
        leat_header header = {"writer", {key, 0}};
        leat_record r = LEAT_RECORD_INIT;
        r.topic = "many";
        r.key.data = key;
        r.key.len = header.value.len = (size_t)snprintf(key, sizeof key, "w%d", m->number);
        r.value.data = value;
        r.value.len = (size_t)snprintf(value, sizeof value, "%d", i);
        r.headers = &header;
        r.header_count = 1;
        cr_assert_eq(leat_produce(m->producer, &r, (void *)(intptr_t)(i + 1), &e), 0, "%s",
                     e.message);
    }
    return NULL;
}

Test(loopback, threads_share_a_producer_and_get_their_reports)
{
    struct bench b = bench_open(4, 40);
    leat_producer *p = producer_open(&b, NULL);
    pthread_t threads[4];
    struct many many[4];
    for (int i = 0; i < 4; i++) {
        many[i] = (struct many){&b, p, i};
        pthread_create(&threads[i], NULL, many_thread, &many[i]);
    }
    uint64_t sum = 0;
    for (int seen = 0; seen < 80000;) {
        leat_report reports[500];
        int count = leat_reports(p, reports, 500, 10000);
        cr_assert_gt(count, 0, "after %d", seen);
        for (int i = 0; i < count; i++) {
            cr_assert_eq(reports[i].code, 0, "%s", reports[i].message);
            cr_assert_str_eq(reports[i].topic, "many");
            sum += (uint64_t)(uintptr_t)reports[i].tag;
        }
        seen += count;
    }
    cr_assert_eq(sum, 4ull * 20000 * 20001 / 2);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0);
    leat_consumer *k = consumer_open(&b, "many", 4, LEAT_EARLIEST, NULL);
    int next[4] = {0}, where[4] = {-1, -1, -1, -1};
    for (int seen = 0; seen < 80000;) {
        const leat_record *records;
        int count = leat_poll(k, &records, 10000, &b.e);
        cr_assert_gt(count, 0);
        for (int i = 0; i < count; i++, seen++) {
            const leat_record *r = &records[i];
            int writer = ((const char *)r->key.data)[1] - '0';
            cr_assert_eq(r->header_count, 1);
            cr_assert_str_eq(r->headers[0].name, "writer");
            cr_assert_eq(r->headers[0].value.len, 2);
            char value[32] = "";
            memcpy(value, r->value.data, r->value.len);
            cr_assert_eq(atoi(value), next[writer]++, "writer %d", writer);
            cr_assert(where[writer] < 0 || where[writer] == r->partition);
            where[writer] = r->partition;
        }
    }
    leat_consumer_close(k, NULL);
    bench_close(&b);
}

Test(loopback, a_small_buffer_blocks_and_a_missing_one_refuses)
{
    struct bench b = bench_open(1, 50);
    leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
    o.buffer_bytes = 65536;
    o.batch_bytes = 16384;
    leat_producer *p = producer_open(&b, &o);
    produce_numbers(&b, p, "narrow", 0, 50000, 1);
    cr_assert_eq(leat_flush(p, 10000, &b.e), 0);
    cr_assert_eq(leat_producer_close(p, 0, &b.e), 0);
    const struct fake_faults faults = {.silent = true};
    o.max_block_ms = 0;
    p = producer_open(&b, &o);
    leat_position at;
    leat_record r = LEAT_RECORD_INIT;
    r.topic = "narrow";
    r.value = (leat_bytes){"x", 1};
    while (leat_produce_wait(p, &r, &at, 10000, &b.e) == LEAT_ERR_BUSY) {
        sched_yield(); /* the topic is being looked up */
    }
    fake_broker_faults(b.broker, &faults);
    int code = 0;
    for (int i = 0; i < 100000 && !code; i++) {
        code = leat_produce(p, &r, NULL, &b.e);
    }
    cr_assert_eq(code, LEAT_ERR_BUSY, "%d", code);
    cr_assert(strstr(b.e.message, "buffer.memory"), "%s", b.e.message);
    cr_assert_gt(leat_producer_close(p, 10, &b.e), 0);
    bench_close(&b);
}

Test(loopback, acks_none_is_sent_and_forgotten)
{
    struct bench b = bench_open(1, 51);
    leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
    o.acks = LEAT_ACKS_NONE;
    leat_producer *p = producer_open(&b, &o);
    produce_numbers(&b, p, "loose", 0, 20000, 1);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0, "%s", b.e.message);
    expect_numbers(&b, "loose", 20000, 1);
    bench_close(&b);
}

Test(loopback, seek_pause_time_and_wakeup)
{
    struct bench b = bench_open(1, 60);
    leat_producer *p = producer_open(&b, NULL);
    for (int i = 0; i < 100; i++) {
        leat_record r = LEAT_RECORD_INIT;
        leat_position at;
        r.topic = "timed";
        r.timestamp_ms = 1000000 + i * 1000;
        r.value = (leat_bytes){"v", 1};
        cr_assert_eq(leat_produce_wait(p, &r, &at, 10000, &b.e), 0, "%s", b.e.message);
        cr_assert_eq(at.offset, i);
    }
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0);
    int64_t offset;
    cr_assert_eq(leat_offset_at(b.client, "timed", 0, 1049500, &offset, &b.e), 0, "%s",
                 b.e.message);
    cr_assert_eq(offset, 50);
    cr_assert_eq(leat_offset_at(b.client, "timed", 0, LEAT_LATEST, &offset, &b.e), 0);
    cr_assert_eq(offset, 100);
    cr_assert_eq(leat_offset_at(b.client, "timed", 0, 99000000, &offset, &b.e), 0);
    cr_assert_eq(offset, -1);
    cr_assert_eq(leat_offset_at(b.client, "timed", 7, LEAT_LATEST, &offset, &b.e),
                 LEAT_ERR_UNKNOWN_TOPIC);

    leat_consumer *k;
    const leat_record *records;
    leat_start start = {"timed", 0, LEAT_AT_TIME, 1049500};
    cr_assert_eq(leat_consumer_open(&k, b.client, NULL, NULL, &b.e), 0);
    cr_assert_eq(leat_assign(k, &start, 1, &b.e), 0);
    cr_assert_gt(leat_poll(k, &records, 10000, &b.e), 0);
    cr_assert_eq(records[0].offset, 50);
    cr_assert_eq(leat_seek(k, "timed", 0, 7, &b.e), 0);
    cr_assert_gt(leat_poll(k, &records, 10000, &b.e), 0);
    cr_assert_eq(records[0].offset, 7);
    cr_assert_eq(records[0].timestamp_ms, 1007000);
    cr_assert_eq(leat_seek(k, "timed", 1, 7, &b.e), LEAT_ERR_NOT_FOUND);
    cr_assert_eq(leat_seek(k, "timed", 0, LEAT_EARLIEST, &b.e), 0);
    cr_assert_eq(leat_pause(k, "timed", 0, true, &b.e), 0);
    cr_assert_eq(leat_poll(k, &records, 50, &b.e), 0, "a paused partition gave records");
    cr_assert_eq(leat_pause(k, "timed", 0, false, &b.e), 0);
    cr_assert_gt(leat_poll(k, &records, 10000, &b.e), 0);
    cr_assert_eq(records[0].offset, 0);
    cr_assert_eq(leat_seek(k, "timed", 0, LEAT_LATEST, &b.e), 0);
    leat_wakeup(k);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_INTERRUPTED);
    cr_assert_eq(leat_poll(k, &records, 10, &b.e), 0);
    leat_consumer_close(k, NULL);
    bench_close(&b);
}

Test(loopback, out_of_range_follows_the_policy)
{
    struct bench b = bench_open(1, 61);
    leat_producer *p = producer_open(&b, NULL);
    produce_numbers(&b, p, "trimmed", 0, 100, 1);
    cr_assert_eq(leat_flush(p, 10000, &b.e), 0);
    produce_numbers(&b, p, "trimmed", 100, 200, 1);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0);
    fake_broker_trim(b.broker, "trimmed", 0, 100);
    leat_consumer_options o = LEAT_CONSUMER_OPTIONS_INIT;
    const leat_record *records;
    o.reset = LEAT_RESET_NONE;
    leat_consumer *k = consumer_open(&b, "trimmed", 1, 5, &o);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(leat_seek(k, "trimmed", 0, 150, &b.e), 0);
    cr_assert_eq(leat_pause(k, "trimmed", 0, false, &b.e), 0);
    cr_assert_gt(leat_poll(k, &records, 10000, &b.e), 0);
    cr_assert_eq(records[0].offset, 150);
    leat_consumer_close(k, NULL);
    o.reset = LEAT_RESET_EARLIEST;
    k = consumer_open(&b, "trimmed", 1, 5, &o);
    cr_assert_gt(leat_poll(k, &records, 10000, &b.e), 0);
    cr_assert_eq(records[0].offset, 100);
    leat_consumer_close(k, NULL);
    bench_close(&b);
}

Test(loopback, a_new_leader_epoch_is_validated_and_reading_goes_on)
{
    struct bench b = bench_open(1, 62);
    leat_producer *p = producer_open(&b, NULL);
    produce_numbers(&b, p, "epochs", 0, 1000, 1);
    cr_assert_eq(leat_flush(p, 10000, &b.e), 0);
    leat_consumer *k = consumer_open(&b, "epochs", 1, LEAT_EARLIEST, NULL);
    const leat_record *records;
    int seen = 0;
    while (seen < 1000) {
        int got = leat_poll(k, &records, 10000, &b.e);
        cr_assert_gt(got, 0);
        seen += got;
    }
    fake_broker_new_epoch(b.broker);
    fake_broker_bounce(b.broker);
    produce_numbers(&b, p, "epochs", 1000, 2000, 1);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0, "%s", b.e.message);
    while (seen < 2000) {
        int got = leat_poll(k, &records, 10000, &b.e);
        cr_assert_gt(got, 0, "%d after %d", got, seen);
        seen += got;
        cr_assert_eq(records[got - 1].leader_epoch, seen <= 1000 ? 0 : 1);
    }
    leat_consumer_close(k, NULL);
    bench_close(&b);
}

Test(loopback, corrupt_batches_are_told_not_skipped)
{
    struct bench b = bench_open(1, 63);
    leat_producer *p = producer_open(&b, NULL);
    produce_numbers(&b, p, "damaged", 0, 10, 1);
    cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0);
    struct fake_faults faults = {.corrupt = true};
    fake_broker_faults(b.broker, &faults);
    leat_consumer *k = consumer_open(&b, "damaged", 1, LEAT_EARLIEST, NULL);
    const leat_record *records;
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_CORRUPT, "%s", b.e.message);
    cr_assert(strstr(b.e.message, "offset 0"), "%s", b.e.message);
    cr_assert(strstr(b.e.message, "seek behind it"), "%s", b.e.message);
    faults.corrupt = false;
    faults.damaged = true;
    fake_broker_faults(b.broker, &faults);
    cr_assert_eq(leat_pause(k, "damaged", 0, false, &b.e), 0);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_CORRUPT, "%s", b.e.message);
    cr_assert(strstr(b.e.message, "damaged-0 at offset 0"), "%s", b.e.message);
    cr_assert(strstr(b.e.message, "seek behind it"), "%s", b.e.message);
    faults.damaged = false;
    fake_broker_faults(b.broker, &faults);
    cr_assert_eq(leat_pause(k, "damaged", 0, false, &b.e), 0);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), 10, "%s", b.e.message);
    leat_consumer_close(k, NULL);
    bench_close(&b);
}

Test(loopback, unknown_topics_are_told)
{
    struct bench b = bench_open(1, 64);
    const leat_record *records;
    leat_consumer *k = consumer_open(&b, "missing", 1, LEAT_EARLIEST, NULL);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_UNKNOWN_TOPIC, "%s", b.e.message);
    leat_consumer_close(k, NULL);
    leat_meta *meta;
    cr_assert_eq(leat_metadata(b.client, "missing", &meta, &b.e), 0);
    cr_assert_eq(meta->topic_count, 1);
    cr_assert_eq(meta->topics[0]->code, LEAT_ERR_UNKNOWN_TOPIC);
    cr_assert_eq(meta->broker_count, 1);
    leat_meta_free(meta);
    bench_close(&b);
}

Test(loopback, an_unreachable_broker_is_named)
{
    leat_options o = LEAT_OPTIONS_INIT;
    leat_client *c;
    leat_meta *meta;
    leat_error e;
    o.timeout_ms = 300;
    cr_assert_eq(leat_open(&c, "127.0.0.1:1", &o, &e), 0);
    cr_assert_eq(leat_metadata(c, NULL, &meta, &e), LEAT_ERR_UNREACHABLE, "%s", e.message);
    cr_assert_str_eq(e.message, "cannot reach 127.0.0.1:1 (refused): is leatd running?");
    cr_assert_eq(leat_problem(c, &e), LEAT_ERR_UNREACHABLE);
    leat_close(c);
}

Test(loopback, who_asks_whether_a_broker_is_there_is_told)
{
    leat_client *c;
    leat_error e;
    cr_assert_eq(leat_open(&c, "127.0.0.1:1", NULL, &e), 0);
    cr_assert_eq(leat_connect(c, 0, &e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_connect(c, 200, &e), LEAT_ERR_UNREACHABLE, "%s", e.message);
    cr_assert_str_eq(e.message, "cannot reach 127.0.0.1:1 (refused): is leatd running?");
    leat_close(c);
    struct bench b = bench_open(3, 1);
    cr_assert_eq(leat_connect(b.client, 10000, &b.e), 0, "%s", b.e.message);
    bench_close(&b);
}

Test(loopback, what_keeps_a_topic_unknown_is_named)
{
    leat_options o = LEAT_OPTIONS_INIT;
    leat_client *c;
    leat_error e;
    int64_t offset;
    o.timeout_ms = 500;
    cr_assert_eq(leat_open(&c, "127.0.0.1:1", &o, &e), 0);
    cr_assert_lt(leat_offset_at(c, "t", 0, LEAT_LATEST, &offset, &e), 0);
    cr_assert_str_eq(e.message, "cannot look up an offset of topic t: cannot reach 127.0.0.1:1 "
                                "(refused): is leatd running?");
    leat_close(c);
}

Test(loopback, a_hostile_broker_cannot_crash_a_client)
{
    for (uint64_t seed = 100; seed < 112; seed++) {
        struct bench b = bench_open(3, seed);
        leat_producer_options o = LEAT_PRODUCER_OPTIONS_INIT;
        struct fake_faults faults = {0};
        o.delivery_timeout_ms = 300;
        o.max_block_ms = 4;
        leat_producer *p = producer_open(&b, NULL);
        produce_numbers(&b, p, "victim", 0, 3000, 3);
        cr_assert_eq(leat_producer_close(p, 10000, &b.e), 0, "%s", b.e.message);
        p = producer_open(&b, &o);
        faults.hostile = true;
        fake_broker_faults(b.broker, &faults);
        leat_consumer *k = consumer_open(&b, "victim", 3, LEAT_EARLIEST, NULL);
        for (int i = 0; i < 40; i++) {
            const leat_record *records;
            leat_record r = LEAT_RECORD_INIT;
            r.topic = i % 4 ? "victim" : "other";
            r.value = (leat_bytes){"x", 1};
            (void)leat_produce(p, &r, NULL, &b.e);
            (void)leat_poll(k, &records, 5, &b.e);
            (void)leat_pause(k, "victim", i % 3, false, &b.e);
        }
        leat_consumer_close(k, NULL);
        (void)leat_producer_close(p, 100, &b.e);
        bench_close(&b);
    }
}
