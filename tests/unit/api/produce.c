/* SPDX-License-Identifier: Apache-2.0 */

/* Produce: what is taken, what is refused and how. */
#include "broker.h"

#include "base/crc32c.h"

#include <stdlib.h>
#include <time.h>

#define check_error(answer, error)                                                                 \
    cr_assert_eq((answer)->error_code, error_to_wire(error), "got %d (%s), wanted %s",             \
                 (answer)->error_code, error_name(error_from_wire((answer)->error_code)),          \
                 error_name(error))

static struct bytes copy(struct bytes from)
{
    uint8_t *to = arena_alloc(client_arena(), from.size);
    memcpy(to, from.data, from.size);
    return bytes_of(to, from.size);
}

static void seal(struct bytes batch)
{
    uint8_t *at = (uint8_t *)(uintptr_t)batch.data;
    put_be32(at + 17, crc32c(0, at + BATCH_CRC_FROM, batch.size - BATCH_CRC_FROM));
}

Test(produce, every_version_is_answered)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    for (int16_t version = 3; version <= 12; version++) {
        produce_send(client, version, version, "t", 0, batch_make(3, 0, 20, NULL), -1);
        struct produce_response *a = client_receive(client, 0, version, version);
        cr_assert_eq(a->responses_count, 1);
        struct produce_response_partition_responses *p = a->responses[0].partition_responses;
        check_error(p, 0);
        cr_assert_eq(p->base_offset, (version - 3) * 3);
    }
    client_close(client);
    broker_stop(b);
}

Test(produce, by_topic_id)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct metadata_request m;
    metadata_request_init(&m);
    m.topics_count = -1;
    struct metadata_response *seen = client_ask(client, 3, 12, &m);
    struct bytes batch = batch_make(2, 0, 20, NULL);
    struct slice slice = {batch.data, batch.size, NULL};
    struct produce_request_partition_data data = {
        .records = {&slice, 1, (uint32_t)batch.size, false}};
    struct produce_request_topic_data in[2] = {{.topic_id = seen->topics[0].topic_id},
                                               {.topic_id = {{1, 2, 3}}}};
    struct produce_request q = {.transactional_id = wire_string_null(),
                                .acks = -1,
                                .timeout_ms = 1000,
                                .topic_data = in,
                                .topic_data_count = 2};
    for (int i = 0; i < 2; i++) {
        in[i].partition_data = &data;
        in[i].partition_data_count = 1;
    }
    struct produce_response *a = client_ask(client, 0, 13, &q);
    cr_assert_eq(a->responses_count, 2);
    check_error(&a->responses[0].partition_responses[0], 0);
    check_error(&a->responses[1].partition_responses[0], ERR_UNKNOWN_TOPIC_ID);
    client_close(client);
    broker_stop(b);
}

Test(produce, refuses_what_is_wrong_with_a_batch)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct bytes good = batch_make(4, 0, 100, NULL);
    struct bytes bad = copy(good);
    uint8_t *at = (uint8_t *)(uintptr_t)bad.data;

    at[100] ^= 1;
    check_error(produce(client, "t", 0, bad, -1), ERR_CORRUPT_MESSAGE);
    at[100] ^= 1;
    at[16] = 1;
    check_error(produce(client, "t", 0, bad, -1), ERR_INVALID_RECORD);
    at[16] = 2;
    check_error(produce(client, "t", 0, bytes_of(bad.data, bad.size - 1), -1), ERR_CORRUPT_MESSAGE);
    check_error(produce(client, "t", 0, bytes_of(bad.data, 30), -1), ERR_CORRUPT_MESSAGE);
    check_error(produce(client, "t", 0, bytes_of(bad.data, 0), -1), ERR_INVALID_RECORD);

    uint8_t *two = arena_alloc(client_arena(), good.size * 2);
    memcpy(two, good.data, good.size);
    memcpy(two + good.size, good.data, good.size);
    check_error(produce(client, "t", 0, bytes_of(two, good.size * 2), -1), ERR_INVALID_RECORD);

    put_be32(at + 57, 5); /* a count that is not last offset delta + 1 */
    seal(bad);
    check_error(produce(client, "t", 0, bad, -1), ERR_INVALID_RECORD);
    put_be32(at + 57, 4);
    put_be16(at + 21, BATCH_CONTROL);
    seal(bad);
    check_error(produce(client, "t", 0, bad, -1), ERR_INVALID_RECORD);
    put_be16(at + 21, 7); /* no such codec */
    seal(bad);
    check_error(produce(client, "t", 0, bad, -1), ERR_UNSUPPORTED_COMPRESSION_TYPE);

    struct batch_options options = batch_options_default();
    options.attributes = BATCH_TRANSACTIONAL;
    options.producer_id = 5;
    options.producer_epoch = 0;
    options.base_sequence = 0;
    check_error(produce(client, "t", 0, batch_make(1, 0, 10, &options), -1), ERR_INVALID_TXN_STATE);

    check_error(produce(client, "t", 0, good, 2), ERR_INVALID_REQUIRED_ACKS);
    check_error(produce(client, "t", 1, good, -1), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    check_error(produce(client, "t", -1, good, -1), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    check_error(produce(client, "u", 0, good, -1), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    check_error(produce(client, "t", 0, batch_make(1, 0, 1100000, NULL), -1),
                ERR_MESSAGE_TOO_LARGE);

    struct produce_response_partition_responses *p = produce(client, "t", 0, good, -1);
    check_error(p, 0);
    cr_assert_eq(p->base_offset, 0, "nothing of all that was stored");
    client_close(client);
    broker_stop(b);
}

Test(produce, zstd_needs_version_7)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct batch_options options = batch_options_default();
    options.codec = CODEC_ZSTD;
    struct bytes batch = batch_make(50, 0, 100, &options);
    for (int16_t version = 6; version <= 7; version++) {
        produce_send(client, version, 1, "t", 0, batch, -1);
        struct produce_response *a = client_receive(client, 0, version, 1);
        check_error(&a->responses[0].partition_responses[0],
                    version < 7 ? ERR_UNSUPPORTED_COMPRESSION_TYPE : 0);
    }
    client_close(client);
    broker_stop(b);
}

Test(produce, limits_and_times_of_the_topic)
{
    static const char *const configs[] = {"max.message.bytes=1000",
                                          "message.timestamp.after.max.ms=60000",
                                          "message.timestamp.before.max.ms=1000000000000", NULL};
    static const char *const strict[] = {"message.timestamp.before.max.ms=60000", NULL};
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, configs);
    topic_create(client, "s", 1, strict);
    check_error(produce(client, "t", 0, batch_make(1, 0, 900, NULL), -1), 0);
    check_error(produce(client, "t", 0, batch_make(1, 0, 1000, NULL), -1), ERR_MESSAGE_TOO_LARGE);
    struct bytes late = copy(batch_make(1, 0, 10, NULL));
    put_be64((uint8_t *)(uintptr_t)late.data + 35, (uint64_t)(time(NULL) + 120) * 1000);
    seal(late);
    check_error(produce(client, "t", 0, late, -1), ERR_INVALID_TIMESTAMP);
    check_error(produce(client, "s", 0, batch_make(1, 0, 10, NULL), -1), ERR_INVALID_TIMESTAMP);
    client_close(client);
    broker_stop(b);
}

Test(produce, log_append_time_is_the_brokers)
{
    static const char *const configs[] = {"message.timestamp.type=LogAppendTime", NULL};
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, configs);
    int64_t before = (int64_t)time(NULL) * 1000 - 2000;
    struct produce_response_partition_responses *p =
        produce(client, "t", 0, batch_make(3, 0, 10, NULL), -1);
    check_error(p, 0);
    cr_assert_geq(p->log_append_time_ms, before);
    struct fetch_response_partitions *f = fetch(client, "t", 0, 0, 1000, 1);
    struct batch_header h;
    cr_assert_eq(batch_check(&h, f->records.slices[0].data, f->records.size, BATCH_FROM_LOG), 0,
                 "its checksum is right");
    cr_assert(h.attributes & BATCH_APPEND_TIME);
    cr_assert_eq(h.max_timestamp, p->log_append_time_ms);
    client_close(client);
    broker_stop(b);
}

Test(produce, acks_0_is_not_answered)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b), other = client_open(b);
    topic_create(client, "t", 1, NULL);
    for (int i = 0; i < 100; i++) {
        produce_send(client, 9, i, "t", 0, batch_make(1, i, 10, NULL), 0);
    }
    struct produce_response_partition_responses *p =
        produce(client, "t", 0, batch_make(1, 100, 10, NULL), -1);
    check_error(p, 0);
    cr_assert_eq(p->base_offset, 100, "the next answer is that of the next request");
    produce_send(client, 9, 1, "nowhere", 0, batch_make(1, 0, 10, NULL), 0);
    cr_assert(client_closed(client), "an error can only be told by closing");
    check_error(produce(other, "t", 0, batch_make(1, 0, 10, NULL), -1), 0);
    client_close(client);
    client_close(other);
    broker_stop(b);
}

Test(produce, an_idempotent_duplicate_gets_the_original_offset)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct init_producer_id_request q = {
        .transactional_id = wire_string_null(), .producer_id = -1, .producer_epoch = -1};
    struct init_producer_id_response *first = client_ask(client, 22, 4, &q);
    struct init_producer_id_response *second = client_ask(client, 22, 4, &q);
    cr_assert_eq(first->error_code, 0);
    cr_assert_neq(first->producer_id, second->producer_id);
    struct batch_options options = batch_options_default();
    options.producer_id = first->producer_id;
    options.producer_epoch = first->producer_epoch;
    struct bytes batches[4];
    for (int i = 0; i < 4; i++) {
        options.base_sequence = i * 5;
        batches[i] = batch_make(5, i * 5, 10, &options);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(produce(client, "t", 0, batches[i], -1)->base_offset, i * 5);
    }
    struct produce_response_partition_responses *again = produce(client, "t", 0, batches[1], -1);
    check_error(again, 0);
    cr_assert_eq(again->base_offset, 5);
    options.base_sequence = 30;
    check_error(produce(client, "t", 0, batch_make(1, 0, 10, &options), -1),
                ERR_OUT_OF_ORDER_SEQUENCE);
    cr_assert_eq(produce(client, "t", 0, batches[3], -1)->base_offset, 15);
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    cr_assert_eq(produce(client, "t", 0, batches[2], -1)->base_offset, 10,
                 "remembered over a restart");
    struct init_producer_id_response *third = client_ask(client, 22, 4, &q);
    cr_assert_neq(third->producer_id, first->producer_id);
    cr_assert_neq(third->producer_id, second->producer_id);
    client_close(client);
    broker_stop(b);
}

/* Trap 8: requests of one connection overlap, and their answers keep their order. */
Test(produce, pipelined_requests_are_answered_in_order)
{
    static const char *const memory[] = {"durability=memory", NULL};
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "durable", 4, NULL);
    topic_create(client, "quick", 4, memory);
    for (int i = 0; i < 200; i++) {
        produce_send(client, 9, i, i % 2 ? "quick" : "durable", i / 2 % 4,
                     batch_make(1, i, i % 5 ? 50 : 20000, NULL), -1);
    }
    for (int i = 0; i < 200; i++) {
        struct produce_response *a = client_receive(client, 0, 9, i);
        struct produce_response_partition_responses *p = a->responses[0].partition_responses;
        check_error(p, 0);
        cr_assert_eq(p->base_offset, i / 8);
    }
    client_close(client);
    broker_stop(b);
}

Test(produce, null_mode_checks_and_stores_nothing)
{
    static const char *const settings[] = {"null.mode=true", NULL};
    struct broker *b = broker_start(1, settings);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct bytes good = batch_make(4, 0, 100, NULL), bad = copy(good);
    ((uint8_t *)(uintptr_t)bad.data)[80] ^= 1;
    check_error(produce(client, "t", 0, good, -1), 0);
    check_error(produce(client, "t", 0, bad, -1), ERR_CORRUPT_MESSAGE);
    cr_assert_eq(fetch(client, "t", 0, 0, 0, 0)->high_watermark, 0);
    client_close(client);
    broker_stop(b);
}

Test(produce, no_more_in_sync_than_there_are_replicas)
{
    static const char *const two[] = {"min.insync.replicas=2", NULL};
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, two);
    /* There is one replica, so one is enough (as Kafka since KIP-966). */
    check_error(produce(client, "t", 0, batch_make(1, 0, 10, NULL), -1), 0);
    check_error(produce(client, "t", 0, batch_make(1, 0, 10, NULL), 1), 0);
    client_close(client);
    broker_stop(b);
}

/* A batch of a record with key and one without. */
static struct bytes keyed_batch(enum codec codec, bool second_key)
{
    struct batch_builder b;
    struct batch_options options = batch_options_default();
    static const uint8_t value[200];
    struct bytes out;
    options.codec = codec;
    batch_builder_init(&b, client_memory(), 1 << 16);
    for (int i = 0; i < 2; i++) {
        bool key = i == 0 || second_key;
        struct record_input record = {.key = {key ? (const uint8_t *)"k" : NULL, key ? 1 : -1},
                                      .value = {value, sizeof value}};
        cr_assert_eq(batch_append(&b, &record), 0);
    }
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    out = copy(out);
    batch_builder_deinit(&b);
    return out;
}

/* A compacted topic looks into each batch, whatever its codec: no record without key, nothing that
 * cannot be read. Other topics do not care. */
Test(produce, a_compacted_topic_wants_keys)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "c", 1, (const char *const[]){"cleanup.policy=compact", NULL});
    topic_create(client, "both", 1, (const char *const[]){"cleanup.policy=compact,delete", NULL});
    topic_create(client, "d", 1, NULL);
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct bytes bad = keyed_batch(codec, false);
        check_error(produce(client, "d", 0, bad, -1), 0);
        check_error(produce(client, "both", 0, bad, -1), ERR_INVALID_RECORD);
        struct produce_response_partition_responses *p = produce(client, "c", 0, bad, -1);
        check_error(p, ERR_INVALID_RECORD);
        cr_assert_eq(p->record_errors_count, 1);
        cr_assert_eq(p->record_errors[0].batch_index, 1);
        check_error(produce(client, "c", 0, keyed_batch(codec, true), -1), 0);
    }
    struct bytes cut = copy(keyed_batch(CODEC_ZSTD, true));
    uint8_t *at = (uint8_t *)(uintptr_t)cut.data;
    memset(at + cut.size - 20, 0x55, 20); /* no zstd frame any more, and a checksum that holds */
    seal(cut);
    check_error(produce(client, "c", 0, cut, -1), ERR_INVALID_RECORD);
    cut = copy(keyed_batch(CODEC_NONE, true));
    at = (uint8_t *)(uintptr_t)cut.data;
    at[BATCH_HEADER_SIZE] ^= 0x40; /* the length of the first record */
    seal(cut);
    check_error(produce(client, "c", 0, cut, -1), ERR_INVALID_RECORD);
    client_close(client);
    broker_stop(b);
}

/* A compressed batch is opened away from the loop, a plain one is not: it does not overtake. */
Test(produce, what_is_opened_keeps_its_place)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "c", 4, (const char *const[]){"cleanup.policy=compact", NULL});
    for (int i = 0; i < 200; i++) {
        enum codec codec = i % 3 ? CODEC_NONE : CODEC_GZIP;
        produce_send(client, 9, i, "c", i % 4, keyed_batch(codec, i % 10 != 7), -1);
    }
    int64_t next[4] = {0};
    for (int i = 0; i < 200; i++) {
        struct produce_response *a = client_receive(client, 0, 9, i);
        struct produce_response_partition_responses *p = a->responses[0].partition_responses;
        check_error(p, i % 10 == 7 ? ERR_INVALID_RECORD : 0);
        cr_assert_eq(p->base_offset, i % 10 == 7 ? -1 : next[i % 4]);
        next[i % 4] += i % 10 == 7 ? 0 : 2;
    }
    for (int i = 0; i < 50; i++) { /* and the end of a connection meanwhile is no harm */
        int other = client_open(b);
        produce_send(other, 9, 0, "c", 0, keyed_batch(CODEC_ZSTD, true), -1);
        client_close(other);
    }
    check_error(produce(client, "c", 1, keyed_batch(CODEC_LZ4, true), -1), 0);
    client_close(client);
    broker_stop(b);
}
