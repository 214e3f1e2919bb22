/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch: whole batches, limits, long polls; ListOffsets and OffsetForLeaderEpoch beside it. */
#include "broker.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fill(int client, const char *topic, int32_t partition, int batches, size_t size)
{
    for (int i = 0; i < batches; i++) {
        struct produce_response_partition_responses *p =
            produce(client, topic, partition, batch_make(2, i * 2, size, NULL), -1);
        cr_assert_eq(p->error_code, 0);
        cr_assert_eq(p->base_offset, i * 2);
    }
}

Test(fetch, every_version_returns_the_batches)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    fill(client, "t", 0, 5, 100);
    struct metadata_request m;
    metadata_request_init(&m);
    m.topics_count = -1;
    struct uuid id =
        ((struct metadata_response *)client_ask(client, 3, 12, &m))->topics[0].topic_id;
    for (int16_t version = 4; version <= 18; version++) {
        struct fetch_request_partitions p;
        struct fetch_request_topics t;
        struct fetch_request q;
        fetch_request_init(&q);
        fetch_request_topics_init(&t);
        fetch_request_partitions_init(&p);
        p.partition_max_bytes = 1 << 20;
        if (version < 13) {
            t.topic = wire_string_of("t");
        } else {
            t.topic_id = id;
        }
        t.partitions = &p;
        t.partitions_count = 1;
        q.max_bytes = 1 << 20;
        q.topics = &t;
        q.topics_count = 1;
        struct fetch_response *a = client_ask(client, 1, version, &q);
        cr_assert_eq(a->error_code, 0);
        cr_assert_eq(a->session_id, 0, "none was asked for");
        struct fetch_response_partitions *got = &a->responses[0].partitions[0];
        cr_assert_eq(got->error_code, 0, "version %d: %d", version, got->error_code);
        cr_assert_eq(got->high_watermark, 10);
        cr_assert_eq(got->preferred_read_replica, -1);
        cr_assert_eq(records_check(&got->records, 0), 10, "version %d", version);
    }
    client_close(client);
    broker_stop(b);
}

Test(fetch, begins_at_the_batch_that_holds_the_offset)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    fill(client, "t", 0, 5, 100);
    for (int64_t offset = 0; offset < 10; offset++) {
        struct fetch_response_partitions *f = fetch(client, "t", 0, offset, 0, 0);
        cr_assert_eq(records_check(&f->records, offset / 2 * 2), 10);
    }
    cr_assert_eq(fetch(client, "t", 0, 10, 0, 0)->records.size, 0);
    cr_assert_eq(fetch(client, "t", 0, 10, 0, 0)->error_code, 0);
    client_close(client);
    broker_stop(b);
}

Test(fetch, errors_of_a_partition)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    fill(client, "t", 0, 1, 100);
    cr_assert_eq(fetch(client, "t", 0, 3, 5000, 1)->error_code, 1, "beyond the end");
    cr_assert_eq(fetch(client, "t", 0, -1, 5000, 1)->error_code, 1);
    cr_assert_eq(fetch(client, "t", 1, 0, 5000, 1)->error_code, 3, "no such partition");
    cr_assert_eq(fetch(client, "t", -1, 0, 5000, 1)->error_code, 3);
    cr_assert_eq(fetch(client, "nowhere", 0, 0, 5000, 1)->error_code, 3);
    struct fetch_request_partitions p = {.current_leader_epoch = 7,
                                         .last_fetched_epoch = -1,
                                         .log_start_offset = -1,
                                         .partition_max_bytes = 100,
                                         .high_watermark = INT64_MAX,
                                         .durable_end_offset = -1};
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    q.max_wait_ms = 5000;
    q.min_bytes = 1;
    struct fetch_response *a = client_ask(client, 1, 12, &q);
    cr_assert_eq(a->responses[0].partitions[0].error_code, 75, "an epoch to come");
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    p.current_leader_epoch = 0;
    a = client_ask(client, 1, 12, &q);
    cr_assert_eq(a->responses[0].partitions[0].error_code, 74,
                 "a leader epoch dies with its process");
    t.topic = wire_string_of("");
    t.topic_id = (struct uuid){{9, 9}};
    p.current_leader_epoch = -1;
    a = client_ask(client, 1, 13, &q);
    cr_assert_eq(a->responses[0].partitions[0].error_code, 100, "an unknown topic id");
    client_close(client);
    broker_stop(b);
}

Test(fetch, limits_bytes_but_returns_the_first_batch_whole)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    fill(client, "t", 0, 10, 5000);
    fetch_send(client, 1, "t", 0, 0, 0, 0, 100);
    struct fetch_response *a = client_receive(client, 1, 11, 1);
    cr_assert_eq(records_check(&a->responses[0].partitions[0].records, 0), 2, "KIP-74");
    fetch_send(client, 2, "t", 0, 0, 0, 0, 25000);
    a = client_receive(client, 1, 11, 2);
    struct wire_records *records = &a->responses[0].partitions[0].records;
    cr_assert_eq(records_check(records, 0), 4);
    cr_assert_leq(records->size, 25000);
    client_close(client);
    broker_stop(b);
}

Test(fetch, a_long_poll_ends_with_the_next_record)
{
    struct broker *b = broker_start(1, NULL);
    int reader = client_open(b), writer = client_open(b);
    topic_create(writer, "t", 1, NULL);
    int64_t began = now_ms();
    fetch_send(reader, 1, "t", 0, 0, 15000, 1, 1 << 20);
    cr_assert_eq(client_waiting(reader, 50), 0, "there is nothing yet");
    fill(writer, "t", 0, 1, 100);
    struct fetch_response *a = client_receive(reader, 1, 11, 1);
    cr_assert_eq(records_check(&a->responses[0].partitions[0].records, 0), 2);
    cr_assert_lt(now_ms() - began, 10000);
    client_close(reader);
    client_close(writer);
    broker_stop(b);
}

Test(fetch, a_long_poll_waits_for_min_bytes)
{
    struct broker *b = broker_start(1, NULL);
    int reader = client_open(b), writer = client_open(b);
    topic_create(writer, "t", 1, NULL);
    fetch_send(reader, 1, "t", 0, 0, 15000, 5000, 1 << 20);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(produce(writer, "t", 0, batch_make(1, i, 1000, NULL), -1)->error_code, 0);
        cr_assert_eq(client_waiting(reader, 30), 0, "4 x about 1080 bytes are not enough");
    }
    produce(writer, "t", 0, batch_make(1, 4, 1000, NULL), -1);
    struct fetch_response *a = client_receive(reader, 1, 11, 1);
    cr_assert_eq(records_check(&a->responses[0].partitions[0].records, 0), 5);
    client_close(reader);
    client_close(writer);
    broker_stop(b);
}

Test(fetch, a_long_poll_ends_after_max_wait)
{
    struct broker *b = broker_start(1, NULL);
    int reader = client_open(b), writer = client_open(b);
    topic_create(writer, "t", 1, NULL);
    produce(writer, "t", 0, batch_make(1, 0, 100, NULL), -1);
    int64_t began = now_ms();
    fetch_send(reader, 1, "t", 0, 0, 300, 100000, 1 << 20);
    struct fetch_response *a = client_receive(reader, 1, 11, 1);
    cr_assert_geq(now_ms() - began, 290);
    cr_assert_eq(records_check(&a->responses[0].partitions[0].records, 0), 1, "with what is there");
    client_close(reader);
    client_close(writer);
    broker_stop(b);
}

Test(fetch, a_long_poll_over_several_partitions_and_shards)
{
    struct broker *b = broker_start(3, NULL);
    int reader = client_open(b), writer = client_open(b);
    topic_create(writer, "t", 8, NULL);
    int64_t ends[8] = {0};
    for (int turn = 0; turn < 24; turn++) {
        struct fetch_request_partitions p[8];
        struct fetch_request_topics t = {
            .topic = wire_string_of("t"), .partitions = p, .partitions_count = 8};
        struct fetch_request q;
        fetch_request_init(&q);
        for (int i = 0; i < 8; i++) {
            fetch_request_partitions_init(&p[i]);
            p[i].partition = i;
            p[i].fetch_offset = ends[i];
            p[i].partition_max_bytes = 1 << 20;
        }
        q.topics = &t;
        q.topics_count = 1;
        q.max_wait_ms = 15000;
        q.min_bytes = 1;
        client_send(reader, 1, 11, turn, &q);
        cr_assert_eq(client_waiting(reader, 10), 0);
        int32_t at = turn * 5 % 8;
        cr_assert_eq(produce(writer, "t", at, batch_make(3, 0, 50, NULL), -1)->error_code, 0);
        struct fetch_response *a = client_receive(reader, 1, 11, turn);
        cr_assert_eq(a->responses[0].partitions_count, 8, "a full answer names them all");
        for (int i = 0; i < 8; i++) {
            struct fetch_response_partitions *f = &a->responses[0].partitions[i];
            cr_assert_eq(f->error_code, 0);
            ends[f->partition_index] = records_check(&f->records, ends[f->partition_index]);
        }
        cr_assert_eq(ends[at], turn / 8 * 3 + 3);
    }
    client_close(reader);
    client_close(writer);
    broker_stop(b);
}

Test(fetch, long_polls_end_with_their_connection_and_with_the_broker)
{
    struct broker *b = broker_start(2, NULL);
    int writer = client_open(b);
    topic_create(writer, "t", 4, NULL);
    for (int i = 0; i < 20; i++) {
        int reader = client_open(b);
        fetch_send(reader, 1, "t", i % 4, 0, INT32_MAX, 1, 1 << 20);
        client_close(reader);
    }
    cr_assert_eq(produce(writer, "t", 0, batch_make(1, 0, 10, NULL), -1)->error_code, 0);
    int waiting = client_open(b);
    fetch_send(waiting, 7, "t", 1, 0, INT32_MAX, 1, 1 << 20);
    cr_assert_eq(client_waiting(waiting, 50), 0);
    int64_t began = now_ms();
    client_close(writer);
    broker_stop(b);
    cr_assert_lt(now_ms() - began, 4000, "a stop does not wait for long polls");
    client_close(waiting);
}

Test(fetch, a_deleted_topic_wakes_its_readers)
{
    struct broker *b = broker_start(2, NULL);
    int reader = client_open(b), writer = client_open(b);
    topic_create(writer, "t", 1, NULL);
    fetch_send(reader, 1, "t", 0, 0, 15000, 1, 1 << 20);
    cr_assert_eq(client_waiting(reader, 50), 0);
    struct wire_string name = wire_string_of("t");
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 5000};
    struct delete_topics_response *d = client_ask(writer, 20, 4, &q);
    cr_assert_eq(d->responses[0].error_code, 0);
    struct fetch_response *a = client_receive(reader, 1, 11, 1);
    cr_assert_eq(a->responses[0].partitions[0].error_code, 3);
    client_close(reader);
    client_close(writer);
    broker_stop(b);
}

Test(fetch, a_reader_that_does_not_read_leaves_others_alone)
{
    struct broker *b = broker_start(1, NULL);
    int slow = client_open(b), good = client_open(b);
    topic_create(good, "t", 1, NULL);
    for (int i = 0; i < 20; i++) {
        produce(good, "t", 0, batch_make(1, i, 900000, NULL), -1);
    }
    for (int i = 0; i < 40; i++) {
        fetch_send(slow, i, "t", 0, 0, 0, 0, 8 << 20);
    }
    for (int i = 0; i < 20; i++) {
        struct fetch_response_partitions *f = fetch(good, "t", 0, i, 5000, 1);
        cr_assert_eq(f->error_code, 0);
        cr_assert_gt(records_check(&f->records, i), i);
    }
    for (int i = 0; i < 40; i++) {
        struct fetch_response *a = client_receive(slow, 1, 11, i);
        cr_assert_gt(records_check(&a->responses[0].partitions[0].records, 0), 0);
        arena_deinit(client_arena());
    }
    client_close(slow);
    client_close(good);
    broker_stop(b);
}

/* Readers that take nothing hold the log's memory: others wait for a moment at most, until what is
 * lent has been copied or its connection closed (RELIABILITY 6, O4). */
Test(fetch, many_readers_that_do_not_read_leave_others_alone, .timeout = 60)
{
    static const char *const small[] = {"limits.memory=64MiB", NULL};
    struct broker *b = broker_start(1, small);
    int slow[8], good = client_open(b);
    topic_create(good, "t", 1, NULL);
    for (int i = 0; i < 8; i++) {
        produce(good, "t", 0, batch_make(1, i, 900000, NULL), -1);
        slow[i] = client_open(b);
        const int bytes = 65536;
        setsockopt(slow[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 8; i++) {
            fetch_send(slow[i], round, "t", 0, round % 8, 0, 0, 1 << 20);
        }
    }
    for (int i = 0; i < 8; i++) {
        struct fetch_response_partitions *f = fetch(good, "t", 0, i, 10000, 1);
        cr_assert_eq(f->error_code, 0);
        cr_assert_gt(records_check(&f->records, i), i, "record %d", i);
    }
    for (int i = 0; i < 8; i++) {
        for (int round = 0; round < 20; round++) {
            size_t size;
            uint8_t *answer = client_receive_part(slow[i], &size);
            if (!answer) {
                break; /* it was closed, perhaps in the middle of an answer */
            }
            cr_assert_eq(get_be32(answer), (uint32_t)round, "in order");
            free(answer);
        }
        client_close(slow[i]);
    }
    client_close(good);
    broker_stop(b);
}

/* --- ListOffsets ------------------------------------------------------------------------------ */

static struct list_offsets_response_partitions *list(int client, int16_t version, int64_t timestamp)
{
    struct list_offsets_request_partitions p = {.current_leader_epoch = -1, .timestamp = timestamp};
    struct list_offsets_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct list_offsets_request q = {.replica_id = -1, .topics = &t, .topics_count = 1};
    struct list_offsets_response *a = client_ask(client, 2, version, &q);
    return &a->topics[0].partitions[0];
}

Test(list_offsets, ends_and_times)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    for (int16_t version = 1; version <= 11; version++) {
        cr_assert_eq(list(client, version, -1)->offset, 0);
        cr_assert_eq(list(client, version, 5)->offset, -1, "an empty log has no time");
    }
    fill(client, "t", 0, 10, 100); /* times 1700000000000 .. + 19 */
    for (int16_t version = 1; version <= 11; version++) {
        cr_assert_eq(list(client, version, -1)->offset, 20);
        cr_assert_eq(list(client, version, -2)->offset, 0);
        struct list_offsets_response_partitions *p = list(client, version, 1700000000007);
        cr_assert_eq(p->offset, 7);
        cr_assert_eq(p->timestamp, 1700000000007);
        cr_assert_eq(list(client, version, 1700000000020)->offset, -1);
    }
    cr_assert_eq(list(client, 7, -3)->offset, 19);
    cr_assert_eq(list(client, 7, -3)->timestamp, 1700000000019);
    cr_assert_eq(list(client, 8, -4)->offset, 0);
    cr_assert_eq(list(client, 9, -5)->offset, -1);
    cr_assert_eq(list(client, 6, -3)->error_code, 35, "-3 needs version 7");
    cr_assert_eq(list(client, 11, -9)->error_code, 35);
    client_close(client);
    broker_stop(b);
}

Test(list_offsets, delete_records_moves_the_beginning)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    fill(client, "t", 0, 10, 100);
    struct delete_records_request_partitions p = {.offset = 6};
    struct delete_records_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct delete_records_request q = {.topics = &t, .topics_count = 1, .timeout_ms = 10000};
    struct delete_records_response *a = client_ask(client, 21, 2, &q);
    cr_assert_eq(a->topics[0].partitions[0].error_code, 0);
    cr_assert_eq(a->topics[0].partitions[0].low_watermark, 6);
    cr_assert_eq(list(client, 5, -2)->offset, 6);
    cr_assert_eq(fetch(client, "t", 0, 5, 0, 0)->error_code, 1);
    cr_assert_eq(records_check(&fetch(client, "t", 0, 6, 0, 0)->records, 6), 20);
    p.offset = 21;
    a = client_ask(client, 21, 0, &q);
    cr_assert_eq(a->topics[0].partitions[0].error_code, 1, "beyond the high watermark");
    p.offset = 2;
    a = client_ask(client, 21, 1, &q);
    cr_assert_eq(a->topics[0].partitions[0].low_watermark, 6, "already gone");
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    cr_assert_eq(list(client, 5, -2)->offset, 6, "durable");
    p.offset = -1;
    a = client_ask(client, 21, 2, &q);
    cr_assert_eq(a->topics[0].partitions[0].low_watermark, 20);
    client_close(client);
    broker_stop(b);
}
