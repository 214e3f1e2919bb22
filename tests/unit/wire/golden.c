/* SPDX-License-Identifier: Apache-2.0 */

/* Golden bytes of ApiVersions, Metadata, Produce, Fetch, Vote, BrokerRegistration, Introduce and
 * YieldLeadership, written out by hand from the protocol's rules, version by version: a change here is a
 * change of the wire. The bytes of all other messages are compared with a second encoder by
 * tests/wire/conformance.py. */
#include "hex.h"
#include "wire/random.h"
#include "wire/wire.h"

#include <stdio.h>

#include <criterion/criterion.h>

#define T_ID "000102030405060708090a0b0c0d0e0f"
#define ZERO_ID "00000000000000000000000000000000"

static const struct uuid topic_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const uint8_t record_bytes[] = {0xaa, 0xbb, 0xcc};
static const struct slice record_slice = {record_bytes, sizeof record_bytes, NULL};
static const struct wire_records records = {&record_slice, 1, sizeof record_bytes, false};

static size_t flat(const struct wire_writer *w, uint8_t *out)
{
    size_t at = 0;
    struct iovec iovec;
    while (wire_writer_iovecs(w, at, &iovec, 1) > 0) {
        memcpy(out + at, iovec.iov_base, iovec.iov_len);
        at += iovec.iov_len;
    }
    return at;
}

static void print_hex(const char *what, const uint8_t *data, size_t size)
{
    fprintf(stderr, "%s", what);
    for (size_t i = 0; i < size; i++) {
        fprintf(stderr, "%02x", data[i]);
    }
    fputc('\n', stderr);
}

/* `value` encodes to exactly these bytes, and they decode to what encodes to them again. */
static void check(const struct wire_message *message, const void *value, int version,
                  const char *text)
{
    struct memory memory;
    struct arena arena;
    struct wire_writer w;
    memory_init(&memory, 1 << 20);
    arena_init(&arena, &memory, 1 << 18);
    wire_writer_init(&w, &memory, 4096);
    uint8_t expected[1024], made[1024];
    size_t size = hex_read(text, expected, sizeof expected);
    uint8_t *back = arena_alloc(&arena, message->body->size);
    const void *from = value;
    for (int round = 0; round < 4; round++) {
        bool straight = message->encode && round % 2;
        int error = straight ? message->encode(from, &w, version)
                             : wire_encode_by_table(message, from, &w, version);
        cr_assert_eq(error, 0, "%s v%d: %s", message->name, version, error_name(error));
        size_t made_size = flat(&w, made);
        if (made_size != size || memcmp(made, expected, size) != 0) {
            print_hex("expected ", expected, size);
            print_hex("made     ", made, made_size);
            cr_assert_fail("%s v%d has other bytes in round %d", message->name, version, round);
        }
        wire_writer_reset(&w);
        struct reader r = reader_of(expected, size);
        error = straight ? message->decode(back, &r, version, &arena)
                         : wire_decode_by_table(message, back, &r, version, &arena);
        cr_assert_eq(error, 0, "%s v%d", message->name, version);
        cr_assert_eq(reader_left(&r), 0u, "%s v%d", message->name, version);
        from = round ? back : value;
    }
    wire_writer_deinit(&w);
    memory_drop(&memory);
}

Test(golden, api_versions)
{
    struct api_versions_request request;
    api_versions_request_init(&request);
    for (int v = 0; v <= 2; v++) {
        check(&api_versions_request_message, &request, v, "");
    }
    request.client_software_name = wire_string_of("lt");
    request.client_software_version = wire_string_of("1");
    check(&api_versions_request_message, &request, 3, "03 6c74  02 31  00");
    check(&api_versions_request_message, &request, 4, "03 6c74  02 31  00");
    check(&api_versions_request_message, &request, 5, "03 6c74  02 31  00  ffffffff  00");
    request.cluster_id = wire_string_of("c");
    request.node_id = 7;
    check(&api_versions_request_message, &request, 5, "03 6c74  02 31  02 63  00000007  00");

    struct api_versions_response_api_keys keys[2] = {{18, 0, 5}, {1, 4, 18}};
    struct api_versions_response response;
    api_versions_response_init(&response);
    response.error_code = 35;
    response.api_keys = keys;
    response.api_keys_count = 2;
    check(&api_versions_response_message, &response, 0,
          "0023  00000002  0012 0000 0005  0001 0004 0012");
    response.throttle_time_ms = 9;
    for (int v = 1; v <= 2; v++) {
        check(&api_versions_response_message, &response, v,
              "0023  00000002  0012 0000 0005  0001 0004 0012  00000009");
    }
    for (int v = 3; v <= 5; v++) {
        check(&api_versions_response_message, &response, v,
              "0023  03  0012 0000 0005 00  0001 0004 0012 00  00000009  00");
    }
    struct api_versions_response_supported_features feature = {wire_string_of("f"), 1, 2};
    response.supported_features = &feature;
    response.supported_features_count = 1;
    response.finalized_features_epoch = 3;
    response.zk_migration_ready = true;
    check(&api_versions_response_message, &response, 3,
          "0023  03  0012 0000 0005 00  0001 0004 0012 00  00000009"
          "03  00 08 02 02 66 0001 0002 00  01 08 0000000000000003  03 01 01");
}

Test(golden, metadata_request)
{
    struct metadata_request_topics topic;
    metadata_request_topics_init(&topic);
    topic.name = wire_string_of("t");
    struct metadata_request request;
    metadata_request_init(&request);
    check(&metadata_request_message, &request, 0, "00000000");
    request.topics_count = -1;
    check(&metadata_request_message, &request, 1, "ffffffff");
    check(&metadata_request_message, &request, 9, "00  01 00 00  00");
    request.topics = &topic;
    request.topics_count = 1;
    for (int v = 0; v <= 3; v++) {
        check(&metadata_request_message, &request, v, "00000001 0001 74");
    }
    for (int v = 4; v <= 7; v++) {
        check(&metadata_request_message, &request, v, "00000001 0001 74  01");
    }
    request.include_topic_authorized_operations = true;
    check(&metadata_request_message, &request, 8, "00000001 0001 74  01 00 01");
    check(&metadata_request_message, &request, 9, "02 02 74 00  01 00 01  00");
    topic.topic_id = topic_id;
    check(&metadata_request_message, &request, 10, "02" T_ID "02 74 00  01 00 01  00");
    topic.name = wire_string_null();
    for (int v = 11; v <= 13; v++) {
        check(&metadata_request_message, &request, v, "02" T_ID "00 00  01 01  00");
    }
}

Test(golden, metadata_response)
{
    int32_t nodes[] = {1, 2};
    struct metadata_response_brokers broker;
    struct metadata_response_partitions partition;
    struct metadata_response_topics topic;
    struct metadata_response response;
    metadata_response_brokers_init(&broker);
    metadata_response_partitions_init(&partition);
    metadata_response_topics_init(&topic);
    metadata_response_init(&response);
    broker.node_id = 1;
    broker.host = wire_string_of("h");
    broker.port = 9092;
    partition.leader_id = 1;
    partition.leader_epoch = 5;
    partition.replica_nodes = partition.isr_nodes = nodes;
    partition.replica_nodes_count = 2;
    partition.isr_nodes_count = 1;
    topic.name = wire_string_of("t");
    topic.topic_id = topic_id;
    topic.partitions = &partition;
    topic.partitions_count = 1;
    response.brokers = &broker;
    response.brokers_count = 1;
    response.topics = &topic;
    response.topics_count = 1;
    response.cluster_id = wire_string_of("c");
    response.controller_id = 1;

    const struct wire_message *m = &metadata_response_message;
#define BROKER "00000001 00000001 0001 68 00002384"
#define BROKER_1 BROKER "ffff"
#define PARTITION "00000001 0000 00000000 00000001"
#define NODES "00000002 00000001 00000002  00000001 00000001"
    check(m, &response, 0, BROKER "00000001 0000 0001 74" PARTITION NODES);
    check(m, &response, 1, BROKER_1 "00000001 00000001 0000 0001 74 00" PARTITION NODES);
    check(m, &response, 2, BROKER_1 "0001 63 00000001 00000001 0000 0001 74 00" PARTITION NODES);
    for (int v = 3; v <= 4; v++) {
        check(m, &response, v,
              "00000000" BROKER_1 "0001 63 00000001 00000001 0000 0001 74 00" PARTITION NODES);
    }
    for (int v = 5; v <= 6; v++) {
        check(m, &response, v,
              "00000000" BROKER_1 "0001 63 00000001 00000001 0000 0001 74 00" PARTITION NODES
              "00000000");
    }
    check(m, &response, 7,
          "00000000" BROKER_1 "0001 63 00000001 00000001 0000 0001 74 00" PARTITION "00000005" NODES
          "00000000");
    check(m, &response, 8,
          "00000000" BROKER_1 "0001 63 00000001 00000001 0000 0001 74 00" PARTITION "00000005" NODES
          "00000000 80000000  80000000");
#define HEAD "00000000 02 00000001 02 68 00002384 00 00  02 63 00000001"
#define PARTITION_9                                                                                \
    "02 0000 00000000 00000001 00000005  03 00000001 00000002  02 00000001  01 00  80000000 00"
    check(m, &response, 9, HEAD "02 0000 02 74 00" PARTITION_9 "80000000 00");
    check(m, &response, 10, HEAD "02 0000 02 74" T_ID "00" PARTITION_9 "80000000 00");
    for (int v = 11; v <= 12; v++) {
        check(m, &response, v, HEAD "02 0000 02 74" T_ID "00" PARTITION_9 "00");
    }
    response.error_code = 3;
    check(m, &response, 13, HEAD "02 0000 02 74" T_ID "00" PARTITION_9 "0003 00");
    topic.name = wire_string_null();
    check(m, &response, 13, HEAD "02 0000 00" T_ID "00" PARTITION_9 "0003 00");
}

Test(golden, produce_request)
{
    struct produce_request_partition_data partition = {.index = 2, .records = records};
    struct produce_request_topic_data topic = {.name = wire_string_of("t"),
                                               .topic_id = topic_id,
                                               .partition_data = &partition,
                                               .partition_data_count = 1};
    struct produce_request request;
    produce_request_init(&request);
    cr_assert_eq(request.transactional_id.size, -1);
    request.acks = -1;
    request.timeout_ms = 1500;
    request.topic_data = &topic;
    request.topic_data_count = 1;
    const struct wire_message *m = &produce_request_message;
    for (int v = 3; v <= 8; v++) {
        check(m, &request, v,
              "ffff ffff 000005dc  00000001 0001 74  00000001 00000002 00000003 aabbcc");
    }
    for (int v = 9; v <= 12; v++) {
        check(m, &request, v, "00 ffff 000005dc  02 02 74  02 00000002 04 aabbcc 00  00  00");
    }
    check(m, &request, 13, "00 ffff 000005dc  02" T_ID "02 00000002 04 aabbcc 00  00  00");
    partition.records = (struct wire_records){.null = true};
    request.transactional_id = wire_string_of("x");
    check(m, &request, 3, "0001 78 ffff 000005dc  00000001 0001 74  00000001 00000002 ffffffff");
    check(m, &request, 9, "02 78 ffff 000005dc  02 02 74  02 00000002 00 00  00  00");
}

Test(golden, produce_response)
{
    struct produce_response_record_errors error = {7, wire_string_null()};
    struct produce_response_partition_responses partition;
    produce_response_partition_responses_init(&partition);
    partition.index = 2;
    partition.base_offset = 64;
    struct produce_response_responses topic = {.name = wire_string_of("t"),
                                               .topic_id = topic_id,
                                               .partition_responses = &partition,
                                               .partition_responses_count = 1};
    struct produce_response response;
    produce_response_init(&response);
    response.responses = &topic;
    response.responses_count = 1;
    response.throttle_time_ms = 1;
    const struct wire_message *m = &produce_response_message;
#define PLACE "00000001 00000002 0000 0000000000000040 ffffffffffffffff"
    for (int v = 3; v <= 4; v++) {
        check(m, &response, v, "00000001 0001 74" PLACE "00000001");
    }
    partition.log_start_offset = 3;
    for (int v = 5; v <= 7; v++) {
        check(m, &response, v, "00000001 0001 74" PLACE "0000000000000003  00000001");
    }
    check(m, &response, 8, "00000001 0001 74" PLACE "0000000000000003 00000000 ffff  00000001");
    partition.record_errors = &error;
    partition.record_errors_count = 1;
    partition.error_message = wire_string_of("no");
    check(m, &response, 8,
          "00000001 0001 74" PLACE "0000000000000003 00000001 00000007 ffff 0002 6e6f  00000001");
#define PLACE_9 "02 00000002 0000 0000000000000040 ffffffffffffffff 0000000000000003"
    for (int v = 9; v <= 12; v++) {
        check(m, &response, v, "02 02 74" PLACE_9 "02 00000007 00 00 03 6e6f 00  00  00000001 00");
    }
    check(m, &response, 13, "02" T_ID PLACE_9 "02 00000007 00 00 03 6e6f 00  00  00000001 00");
    struct produce_response_node_endpoints node = {4, wire_string_of("h"), 9092,
                                                   wire_string_null()};
    partition.current_leader.leader_id = 4;
    partition.current_leader.leader_epoch = 9;
    response.node_endpoints = &node;
    response.node_endpoints_count = 1;
    check(m, &response, 10,
          "02 02 74" PLACE_9 "02 00000007 00 00 03 6e6f  01 00 09 00000004 00000009 00  00"
          "00000001  01 00 0d 02 00000004 02 68 00002384 00 00");
}

/* One partition of one topic, one forgotten: lent until the next call on the same room. */
struct fetch_room {
    int32_t forgotten_partitions[1];
    struct fetch_request_partitions partition;
    struct fetch_request_topics topic;
    struct fetch_request_forgotten_topics_data forgotten;
    struct fetch_request request;
};

static void fetch_room_init(struct fetch_room *f)
{
    f->forgotten_partitions[0] = 5;
    fetch_request_partitions_init(&f->partition);
    cr_assert_eq(f->partition.durable_end_offset, -1);
    f->partition.partition = 2;
    f->partition.current_leader_epoch = 6;
    f->partition.fetch_offset = 64;
    f->partition.partition_max_bytes = 1 << 20;
    f->topic = (struct fetch_request_topics){.topic = wire_string_of("t"),
                                             .topic_id = topic_id,
                                             .partitions = &f->partition,
                                             .partitions_count = 1};
    f->forgotten =
        (struct fetch_request_forgotten_topics_data){.topic = wire_string_of("f"),
                                                     .topic_id = topic_id,
                                                     .partitions = f->forgotten_partitions,
                                                     .partitions_count = 1};
    fetch_request_init(&f->request);
    cr_assert_eq(f->request.max_bytes, INT32_MAX);
    f->request.max_wait_ms = 500;
    f->request.min_bytes = 1;
    f->request.isolation_level = 1;
    f->request.topics = &f->topic;
    f->request.topics_count = 1;
    f->request.rack_id = wire_string_of("r");
}

Test(golden, fetch_request)
{
    struct fetch_room f;
    fetch_room_init(&f);
    const struct wire_message *m = &fetch_request_message;
#define WAIT "000001f4 00000001 7fffffff 01"
#define TOPIC "00000001 0001 74 00000001 00000002"
    check(m, &f.request, 4, "ffffffff" WAIT TOPIC "0000000000000040 00100000");
    for (int v = 5; v <= 6; v++) {
        check(m, &f.request, v, "ffffffff" WAIT TOPIC "0000000000000040 ffffffffffffffff 00100000");
    }
    f.request.forgotten_topics_data = &f.forgotten;
    f.request.forgotten_topics_data_count = 1;
#define SESSION "00000000 ffffffff"
#define FORGOTTEN "00000001 0001 66 00000001 00000005"
    for (int v = 7; v <= 8; v++) {
        check(m, &f.request, v,
              "ffffffff" WAIT SESSION TOPIC "0000000000000040 ffffffffffffffff 00100000" FORGOTTEN);
    }
#define PARTITION_PLACE "00000006 0000000000000040 ffffffffffffffff 00100000"
    for (int v = 9; v <= 10; v++) {
        check(m, &f.request, v, "ffffffff" WAIT SESSION TOPIC PARTITION_PLACE FORGOTTEN);
    }
    check(m, &f.request, 11, "ffffffff" WAIT SESSION TOPIC PARTITION_PLACE FORGOTTEN "0001 72");
    f.partition.last_fetched_epoch = 5;
#define PLACE_12 "02 00000002 00000006 0000000000000040 00000005 ffffffffffffffff 00100000"
    check(m, &f.request, 12,
          "ffffffff" WAIT SESSION "02 02 74" PLACE_12 "00 00  02 02 66 02 00000005 00  02 72 00");
    for (int v = 13; v <= 14; v++) {
        check(m, &f.request, v,
              "ffffffff" WAIT SESSION "02" T_ID PLACE_12 "00 00  02" T_ID
              "02 00000005 00  02 72 00");
    }
}

Test(golden, fetch_request_of_a_follower)
{
    struct fetch_room f;
    fetch_room_init(&f);
    const struct wire_message *m = &fetch_request_message;
    f.request.forgotten_topics_data = &f.forgotten;
    f.request.forgotten_topics_data_count = 1;
    f.partition.last_fetched_epoch = 5;
    f.request.cluster_id = wire_string_of("c");
    f.request.replica_state.replica_id = 3;
    f.request.replica_state.replica_epoch = 8;
#define STATE "02 00 02 02 63  01 0d 00000003 0000000000000008 00"
    for (int v = 15; v <= 16; v++) {
        check(m, &f.request, v,
              WAIT SESSION "02" T_ID PLACE_12 "00 00  02" T_ID "02 00000005 00  02 72" STATE);
    }
    f.partition.replica_directory_id = topic_id;
    f.partition.high_watermark = 60;
    f.partition.durable_end_offset = 61;
    check(m, &f.request, 17,
          WAIT SESSION "02" T_ID PLACE_12 "02 00 10" T_ID "904e 08 000000000000003d"
                       "00  02" T_ID "02 00000005 00  02 72" STATE);
    check(m, &f.request, 18,
          WAIT SESSION "02" T_ID PLACE_12 "03 00 10" T_ID
                       "01 08 000000000000003c  904e 08 000000000000003d"
                       "00  02" T_ID "02 00000005 00  02 72" STATE);
}

Test(golden, fetch_response)
{
    struct fetch_response_aborted_transactions aborted = {11, 12};
    struct fetch_response_partitions partition;
    fetch_response_partitions_init(&partition);
    partition.partition_index = 2;
    partition.high_watermark = 64;
    partition.last_stable_offset = 63;
    partition.log_start_offset = 1;
    partition.aborted_transactions_count = -1;
    partition.records = records;
    struct fetch_response_responses topic = {.topic = wire_string_of("t"),
                                             .topic_id = topic_id,
                                             .partitions = &partition,
                                             .partitions_count = 1};
    struct fetch_response response;
    fetch_response_init(&response);
    response.responses = &topic;
    response.responses_count = 1;
    const struct wire_message *m = &fetch_response_message;
#define MARKS "00000002 0000 0000000000000040 000000000000003f"
#define T_4 "00000001 0001 74 00000001" MARKS
    check(m, &response, 4, "00000000" T_4 "ffffffff 00000003 aabbcc");
    for (int v = 5; v <= 6; v++) {
        check(m, &response, v, "00000000" T_4 "0000000000000001 ffffffff 00000003 aabbcc");
    }
    response.session_id = 77;
    partition.aborted_transactions = &aborted;
    partition.aborted_transactions_count = 1;
#define ABORTED "00000001 000000000000000b 000000000000000c"
    for (int v = 7; v <= 10; v++) {
        check(m, &response, v,
              "00000000 0000 0000004d" T_4 "0000000000000001" ABORTED "00000003 aabbcc");
    }
    partition.preferred_read_replica = 4;
    check(m, &response, 11,
          "00000000 0000 0000004d" T_4 "0000000000000001" ABORTED "00000004 00000003 aabbcc");
#define P_12                                                                                       \
    "02" MARKS "0000000000000001 02 000000000000000b 000000000000000c 00  00000004 04 aabbcc"
    check(m, &response, 12, "00000000 0000 0000004d 02 02 74" P_12 "00  00  00");
    for (int v = 13; v <= 15; v++) {
        check(m, &response, v, "00000000 0000 0000004d 02" T_ID P_12 "00  00  00");
    }
    partition.diverging_epoch.epoch = 3;
    partition.diverging_epoch.end_offset = 9;
    partition.current_leader.leader_id = 1;
    partition.snapshot_id.end_offset = 2;
    struct fetch_response_node_endpoints node = {4, wire_string_of("h"), 9092, wire_string_of("r")};
    response.node_endpoints = &node;
    response.node_endpoints_count = 1;
    for (int v = 16; v <= 18; v++) {
        check(m, &response, v,
              "00000000 0000 0000004d 02" T_ID P_12
              "03 00 0d 00000003 0000000000000009 00  01 09 00000001 ffffffff 00"
              "02 0d 0000000000000002 ffffffff 00  00"
              "01 00 0e 02 00000004 02 68 00002384 02 72 00");
    }
}

Test(golden, vote)
{
    struct vote_request_partitions partition;
    vote_request_partitions_init(&partition);
    partition.replica_epoch = 5;
    partition.replica_id = 1;
    partition.replica_directory_id = topic_id;
    partition.voter_directory_id = topic_id;
    partition.last_offset_epoch = 4;
    partition.last_offset = 9;
    struct vote_request_topics topic = {wire_string_of("t"), &partition, 1};
    struct vote_request request;
    vote_request_init(&request);
    request.voter_id = 2;
    request.topics = &topic;
    request.topics_count = 1;
    check(&vote_request_message, &request, 0,
          "00  02 02 74  02 00000000 00000005 00000001 00000004 0000000000000009 00 00 00");
#define VOTE                                                                                       \
    "00 00000002  02 02 74  02 00000000 00000005 00000001" T_ID T_ID "00000004 0000000000000009"
    check(&vote_request_message, &request, 1, VOTE "00 00 00");
    check(&vote_request_message, &request, 2, VOTE "00 00 00 00");
    partition.pre_vote = true;
    check(&vote_request_message, &request, 2, VOTE "01 00 00 00");

    struct vote_response_partitions answer = {0, 6, 3, 6, true};
    struct vote_response_topics topics = {wire_string_of("t"), &answer, 1};
    struct vote_response_node_endpoints endpoint = {3, wire_string_of("h"), 9092};
    struct vote_response response;
    vote_response_init(&response);
    response.topics = &topics;
    response.topics_count = 1;
    check(&vote_response_message, &response, 0,
          "0000  02 02 74  02 00000000 0006 00000003 00000006 01 00 00 00");
    response.node_endpoints = &endpoint;
    response.node_endpoints_count = 1;
    for (int v = 1; v <= 2; v++) {
        check(&vote_response_message, &response, v,
              "0000  02 02 74  02 00000000 0006 00000003 00000006 01 00 00"
              "01 00 0a 02 00000003 02 68 2384 00");
    }
}

/* A vote that changes state must not be taken for a question, so no version drops the difference. */
Test(golden, a_pre_vote_is_not_lost_in_old_versions)
{
    struct vote_request_partitions partition;
    vote_request_partitions_init(&partition);
    partition.pre_vote = true;
    struct vote_request_topics topic = {wire_string_of("t"), &partition, 1};
    struct vote_request request;
    vote_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    struct memory memory;
    struct wire_writer w;
    memory_init(&memory, 1 << 20);
    wire_writer_init(&w, &memory, 4096);
    for (int v = 0; v <= 1; v++) {
        cr_assert_neq(wire_encode(&vote_request_message, &request, &w, v), 0, "v%d", v);
        wire_writer_reset(&w);
    }
    cr_assert_eq(wire_encode(&vote_request_message, &request, &w, 2), 0);
    wire_writer_deinit(&w);
}

Test(golden, broker_registration_request)
{
    const struct wire_message *m = &broker_registration_request_message;
    struct broker_registration_request_listeners listener = {wire_string_of("l"),
                                                             wire_string_of("h"), 9092, 0};
    int32_t indexes[] = {0, 7};
    struct broker_registration_request_lost_partitions lost = {topic_id, 1, indexes, 2};
    struct uuid directory = topic_id;
    struct broker_registration_request request;
    broker_registration_request_init(&request);
    request.broker_id = 3;
    request.cluster_id = wire_string_of("c");
    request.incarnation_id = topic_id;
    request.listeners = &listener;
    request.listeners_count = 1;
    request.rack = wire_string_null();
#define REGISTRATION "00000003 02 63" T_ID "02 02 6c 02 68 2384 0000 00  01 00"
#define LOST "01 904e 1c 02" T_ID "01 03 00000000 00000007 00"
    check(m, &request, 0, REGISTRATION "00");
    check(m, &request, 1, REGISTRATION "00 00");
    request.log_dirs = &directory;
    request.log_dirs_count = 1;
    request.previous_broker_epoch = 5;
    check(m, &request, 2, REGISTRATION "00  02" T_ID "00");
    check(m, &request, 3, REGISTRATION "00  02" T_ID "0000000000000005 00");
    request.lost_partitions = &lost;
    request.lost_partitions_count = 1;
    check(m, &request, 0, REGISTRATION LOST);
    check(m, &request, 4, REGISTRATION "00  02" T_ID "0000000000000005" LOST);
}

Test(golden, replica_report)
{
    struct replica_report_request_partitions parts[] = {{0, 1, -1, -1}, {5, 4, 3, 9}};
    struct replica_report_request_topics topic = {topic_id, parts, 2};
    const struct replica_report_request request = {2, 9, &topic, 1};
    check(&replica_report_request_message, &request, 0,
          "00000002 0000000000000009 02" T_ID "03 00000000 01 ffffffff ffffffffffffffff 00 "
          "00000005 04 00000003 0000000000000009 00 00 00");
    struct replica_report_response_partitions told = {5, 3};
    struct replica_report_response_topics topics = {topic_id, &told, 1};
    struct replica_report_response response = {0, wire_string_null(), &topics, 1};
    check(&replica_report_response_message, &response, 0,
          "0000 00 02" T_ID "02 00000005 0003 00 00 00");
}

/* Nobody else describes leat's own messages. */
Test(golden, yield_leadership)
{
    struct yield_leadership_request request;
    yield_leadership_request_init(&request);
    check(&yield_leadership_request_message, &request, 0, "ffffffff 00 ffffffff 00");
    request = (struct yield_leadership_request){3, 3, 2};
    check(&yield_leadership_request_message, &request, 0, "00000003 03 00000002 00");

    struct yield_leadership_response response;
    yield_leadership_response_init(&response);
    response.error_message = wire_string_null();
    check(&yield_leadership_response_message, &response, 0, "0000 00 01 00");
    struct yield_leadership_response_brokers brokers[] = {{1, true, 7, 5}, {2, false, 0, 0}};
    response.error_code = 42;
    response.error_message = wire_string_of("no");
    response.brokers = brokers;
    response.brokers_count = 2;
    check(&yield_leadership_response_message, &response, 0,
          "002a 03 6e6f 03 00000001 01 00000007 00000005 00 00000002 00 00000000 00000000 00 00");
}

Test(golden, introduce)
{
    struct introduce_request request;
    introduce_request_init(&request);
    request.node_id = 3;
    request.cluster_id = request.directory_id = request.incarnation_id = topic_id;
    request.software_version = wire_string_of("1.2");
    check(&introduce_request_message, &request, 0, T_ID "00000003" T_ID T_ID "04 312e32 00");

    struct introduce_response response;
    introduce_response_init(&response);
    response.software_version = wire_string_of("");
    response.error_message = wire_string_null();
    check(&introduce_response_message, &response, 0,
          "0000 00" ZERO_ID "00000000" ZERO_ID ZERO_ID "01 01 01 01 ffffffff ffffffff 00");
    struct introduce_response_endpoints endpoint = {wire_string_of("p"), wire_string_of("h"), 9092};
    struct introduce_response_listeners listener = {wire_string_of("q"), wire_string_of("i"), 9093};
    struct introduce_response_voters voter = {2, topic_id, &listener, 1};
    struct wire_string peers[] = {wire_string_of("h:1"), wire_string_of("i:2")};
    response.error_code = 104;
    response.error_message = wire_string_of("no");
    response.cluster_id = response.directory_id = response.incarnation_id = topic_id;
    response.node_id = 3;
    response.software_version = wire_string_of("1.2");
    response.peers = peers;
    response.peers_count = 2;
    response.endpoints = &endpoint;
    response.endpoints_count = 1;
    response.voters = &voter;
    response.voters_count = 1;
    response.leader_id = 2;
    response.leader_epoch = 7;
    check(&introduce_response_message, &response, 0,
          "0068 03 6e6f" T_ID "00000003" T_ID T_ID "04 312e32  03 04 683a31 04 693a32"
          "02 02 70 02 68 2384 00  02 00000002" T_ID "02 02 71 02 69 2385 00 00"
          "00000002 00000007 00");
}

Test(golden, give_up_replicas)
{
    struct give_up_replicas_request request;
    give_up_replicas_request_init(&request);
    request.cluster_id = request.directory_id = topic_id;
    request.broker_id = 3;
    request.asked_ms = 258;
    check(&give_up_replicas_request_message, &request, 0,
          T_ID "00000003" T_ID "0000000000000102 00");

    struct give_up_replicas_response response;
    give_up_replicas_response_init(&response);
    response.error_message = wire_string_null();
    check(&give_up_replicas_response_message, &response, 0, "0000 00 00");
    response.error_code = 101;
    response.error_message = wire_string_of("no");
    check(&give_up_replicas_response_message, &response, 0, "0065 03 6e6f 00");
}
