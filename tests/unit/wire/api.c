/* SPDX-License-Identifier: Apache-2.0 */

/* The table of APIs, the headers before a body, and the frame of a metadata record. */
#include "wire/api.h"
#include "wire/messages.h"

#include <criterion/criterion.h>

Test(api, the_table_is_what_the_protocol_card_says)
{
    static const struct {
        int key, min, max, flexible, advertised;
        const char *name;
    } expected[] = {
        {0, 3, 13, 9, 0, "Produce"},
        {1, 4, 18, 12, 4, "Fetch"},
        {2, 1, 11, 6, 1, "ListOffsets"},
        {3, 0, 13, 9, 0, "Metadata"},
        {10, 0, 6, 3, 0, "FindCoordinator"},
        {18, 0, 5, 3, 0, "ApiVersions"},
        {19, 2, 7, 5, 2, "CreateTopics"},
        {20, 1, 6, 4, 1, "DeleteTopics"},
        {21, 0, 2, 2, 0, "DeleteRecords"},
        {22, 0, 5, 2, 0, "InitProducerId"},
        {23, 2, 4, 4, 2, "OffsetForLeaderEpoch"},
        {32, 1, 4, 4, 1, "DescribeConfigs"},
        {33, 0, 2, 2, 0, "AlterConfigs"},
        {35, 1, 5, 2, 1, "DescribeLogDirs"},
        {37, 0, 3, 2, 0, "CreatePartitions"},
        {44, 0, 1, 1, 0, "IncrementalAlterConfigs"},
        {60, 0, 2, 0, 0, "DescribeCluster"},
        {75, 0, 0, 0, 0, "DescribeTopicPartitions"},
    };
    for (size_t i = 0; i < array_size(expected); i++) {
        const struct wire_api *api = wire_api_find((int16_t)expected[i].key);
        cr_assert_not_null(api, "%s", expected[i].name);
        cr_assert_str_eq(api->name, expected[i].name);
        cr_assert_eq(api->versions.min, expected[i].min, "%s", api->name);
        cr_assert_eq(api->versions.max, expected[i].max, "%s", api->name);
        cr_assert_eq(api->flexible, expected[i].flexible, "%s", api->name);
        cr_assert_eq(api->advertised_min, expected[i].advertised, "%s", api->name);
        cr_assert_eq(api->request->key, api->key);
        cr_assert_eq(api->response->key, api->key);
    }
    cr_assert_null(wire_api_find(-1));
    cr_assert_null(wire_api_find(4));
    cr_assert_null(wire_api_find(INT16_MAX));
    for (int i = 1; i < wire_api_count; i++) {
        cr_assert_lt(wire_apis[i - 1].key, wire_apis[i].key, "the search needs the order");
    }
}

Test(api, request_headers_read_with_and_without_tags)
{
    /* Fetch v11, correlation 7, client "me"; then the body's first byte. */
    static const uint8_t plain[] = {0, 1, 0, 11, 0, 0, 0, 7, 0, 2, 'm', 'e', 0xee};
    /* Fetch v12: one unknown tag of one byte behind the client id. */
    static const uint8_t tagged[] = {0, 1, 0, 12, 0, 0, 0, 7, 0, 2, 'm', 'e', 1, 5, 1, 9, 0xee};
    /* A null client id; a key that nobody serves. */
    static const uint8_t unknown[] = {0x75, 0x30, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xee};
    static const struct {
        const uint8_t *data;
        size_t size;
        int key, version, id, client_size;
    } cases[] = {
        {plain, sizeof plain, 1, 11, 7, 2},
        {tagged, sizeof tagged, 1, 12, 7, 2},
        {unknown, sizeof unknown, 30000, 3, -1, -1},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct wire_request_header header;
        struct reader r = reader_of(cases[i].data, cases[i].size);
        cr_assert_eq(wire_request_header_decode(&header, &r), 0);
        cr_assert_eq(header.key, cases[i].key);
        cr_assert_eq(header.version, cases[i].version);
        cr_assert_eq(header.correlation_id, cases[i].id);
        cr_assert_eq(header.client_id.size, cases[i].client_size);
        cr_assert_eq(reader_left(&r), 1u, "the body follows");
        for (size_t cut = 0; cut < cases[i].size - 1; cut++) {
            r = reader_of(cases[i].data, cut);
            cr_assert_eq(wire_request_header_decode(&header, &r), ERR_MALFORMED);
        }
    }
}

Test(api, headers_come_back_for_every_api_and_version)
{
    struct memory memory;
    memory_init(&memory, 1 << 20);
    struct wire_writer w;
    wire_writer_init(&w, &memory, 1000);
    for (int i = 0; i < wire_api_count; i++) {
        const struct wire_api *api = &wire_apis[i];
        for (int16_t v = api->versions.min; v <= api->versions.max; v++) {
            bool tags = v >= api->flexible;
            struct wire_request_header in = {api->key, v, 99, wire_string_of("abc")}, out;
            cr_assert_eq(wire_request_header_encode(&in, &w), 0);
            cr_assert_eq(w.size, 13u + tags, "%s v%d", api->name, v);
            struct reader r = reader_of(w.data, w.size);
            cr_assert_eq(wire_request_header_decode(&out, &r), 0);
            cr_assert(reader_left(&r) == 0 && out.key == api->key && out.version == v);
            cr_assert(wire_string_equal(in.client_id, out.client_id));
            wire_writer_reset(&w);

            int32_t id;
            cr_assert_eq(wire_response_header_encode(api, v, -5, &w), 0);
            cr_assert_eq(w.size, tags && api->key != WIRE_API_VERSIONS ? 5u : 4u, "%s v%d",
                         api->name, v);
            r = reader_of(w.data, w.size);
            cr_assert_eq(wire_response_header_decode(api, v, &id, &r), 0);
            cr_assert(id == -5 && reader_left(&r) == 0);
            r = reader_of(w.data, w.size - 1);
            cr_assert_eq(wire_response_header_decode(api, v, &id, &r), ERR_MALFORMED);
            wire_writer_reset(&w);
        }
    }
    wire_writer_deinit(&w);
}

Test(api, metadata_records_carry_their_key_and_version)
{
    struct memory memory;
    memory_init(&memory, 1 << 20);
    struct wire_writer w;
    wire_writer_init(&w, &memory, 1000);
    struct topic_record topic = {.name = wire_string_of("t"), .topic_id = {{1}}};
    cr_assert_eq(wire_record_frame_encode(&topic_record_message, 0, &w), 0);
    cr_assert_eq(topic_record_encode(&topic, &w, 0), 0);
    /* Frame 1, key 2, version 0; compact string, uuid, no tags: as KRaft writes it. */
    static const uint8_t expected[] = {1, 2, 0, 2, 't', 1, 0, 0, 0, 0, 0,
                                       0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0};
    cr_assert_eq(w.size, sizeof expected);
    cr_assert_arr_eq(w.data, expected, sizeof expected);
    struct reader r = reader_of(w.data, w.size);
    int32_t key;
    int version;
    cr_assert_eq(wire_record_frame_decode(&key, &version, &r), 0);
    cr_assert_eq(key, WIRE_TOPIC_RECORD);
    cr_assert_eq(version, 0);
    cr_assert_eq(wire_record_find(key), &topic_record_message);
    cr_assert_null(wire_record_find(9999));
    static const uint8_t other[] = {0, 2, 0}, cut[] = {1, 2}, absurd[] = {1, 2, 255, 255, 255, 1};
    r = reader_of(other, sizeof other);
    cr_assert_eq(wire_record_frame_decode(&key, &version, &r), ERR_UNSUPPORTED_VERSION);
    r = reader_of(cut, sizeof cut);
    cr_assert_eq(wire_record_frame_decode(&key, &version, &r), ERR_MALFORMED);
    r = reader_of(absurd, sizeof absurd);
    cr_assert_eq(wire_record_frame_decode(&key, &version, &r), ERR_MALFORMED);
    wire_writer_deinit(&w);
}
