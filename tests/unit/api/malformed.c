/* SPDX-License-Identifier: Apache-2.0 */

/* Bytes that nobody should send: the protocol's error or a closed connection, while another
 * connection goes on unharmed. */
#include "broker.h"

#include "base/prng.h"

#include <stdlib.h>

struct world {
    struct broker *b;
    int good;
    int64_t next; /* offset of the good connection's next record */
};

static struct world open_world(unsigned shards)
{
    struct world w = {.b = broker_start(shards, NULL)};
    w.good = client_open(w.b);
    topic_create(w.good, "good", 1, NULL);
    return w;
}

static void check_good(struct world *w)
{
    struct produce_response_partition_responses *p =
        produce(w->good, "good", 0, batch_make(1, 0, 20, NULL), -1);
    cr_assert_eq(p->error_code, 0);
    cr_assert_eq(p->base_offset, w->next++);
}

static void close_world(struct world *w)
{
    check_good(w);
    client_close(w->good);
    broker_stop(w->b);
}

static void check_closed(struct world *w, const char *what, const char *hex)
{
    size_t size;
    uint8_t *bytes = hex_bytes(hex, &size);
    int bad = client_open(w->b);
    client_send_bytes(bad, bytes, size);
    cr_assert(client_closed(bad), "%s", what);
    client_close(bad);
    free(bytes);
    check_good(w);
}

Test(malformed, frames_and_headers)
{
    struct world w = open_world(1);
    check_closed(&w, "negative size", "80000000");
    check_closed(&w, "minus one", "ffffffff");
    check_closed(&w, "larger than any limit", "7fffffff 0012 0000");
    check_closed(&w, "shorter than a header", "00000004 00120000");
    check_closed(&w, "no client id", "00000008 0012 0000 00000001");
    check_closed(&w, "a client id that is cut off", "0000000c 0012 0000 00000001 7fff 6162");
    check_closed(&w, "a client id of -2", "0000000a 0012 0000 00000001 fffe");
    check_closed(&w, "an unknown key", "0000000a 03e7 0000 00000001 ffff");
    check_closed(&w, "a key of -1", "0000000a ffff 0000 00000001 ffff");
    check_closed(&w, "Metadata 99", "0000000b 0003 0063 00000001 ffff 00");
    check_closed(&w, "Produce 2, which is advertised only",
                 "00000014 0000 0002 00000001 ffff ffff 00000000 00000000");
    check_closed(&w, "Fetch 3", "0000000a 0001 0003 00000001 ffff");
    check_closed(&w, "JoinGroup", "0000000a 000b 0000 00000001 ffff");
    check_closed(&w, "a header's tags that do not end",
                 "0000000f 0003 0009 00000001 ffff 05 01 ff ff ff");
    close_world(&w);
}

Test(malformed, bodies)
{
    struct world w = open_world(1);
    check_closed(&w, "Metadata 1 without its body", "0000000a 0003 0001 00000001 ffff");
    check_closed(&w, "Metadata 1: a count that does not fit",
                 "0000000e 0003 0001 00000001 ffff 7fffffff");
    check_closed(&w, "Metadata 1: a count of -2", "0000000e 0003 0001 00000001 ffff fffffffe");
    check_closed(&w, "Metadata 1: a name that is cut off",
                 "00000011 0003 0001 00000001 ffff 00000001 0005 61");
    check_closed(&w, "Metadata 9: a varint that does not end",
                 "00000011 0003 0009 00000001 ffff 00 ffffffffffff");
    check_closed(&w, "Produce 3: records that are cut off",
                 "0000002a 0000 0003 00000001 ffff ffff ffff 00000000 00000001 0001 67 00000001"
                 " 00000000 00000100 00000000 00");
    check_closed(&w, "Produce 3: records of -2 bytes",
                 "00000025 0000 0003 00000001 ffff ffff ffff 00000000 00000001 0001 67 00000001"
                 " 00000000 fffffffe");
    check_closed(
        &w, "Fetch 4: 2^31-1 topics",
        "0000001f 0001 0004 00000001 ffff ffffffff 00000000 00000000 00000000 00 7fffffff");
    check_closed(&w, "ApiVersions 3 without its body", "0000000b 0012 0003 00000001 ffff 00");
    close_world(&w);
}

/* Kafka passes over bytes behind a request's body, and librdkafka before 2.1 relies on
 * that: its ListGroups of version 4 ends with its tags twice. */
Test(malformed, bytes_left_over)
{
    struct world w = open_world(2);
    for (int i = 0; i < 2; i++) {
        client_expect(w.good, "0010 0004 0000000e 0007 72646b61666b61 00 01 00 00",
                      "0000000e 00 00000000 0000 01 00");
    }
    /* Produce and Fetch, which are decoded elsewhere. */
    client_expect(w.good, "0000 0003 00000002 ffff ffff ffff 00000000 00000000 abcd",
                  "00000002 00000000 00000000");
    client_expect(w.good,
                  "0001 0004 00000003 ffff ffffffff 00000000 00000000 00000000 00 00000000"
                  " abcd",
                  "00000003 00000000 00000000");
    close_world(&w);
}

/* Requests of every kind with bytes changed, cut or added: whatever comes back, the broker lives
 * and the other connection is served. */
Test(malformed, random_damage, .timeout = 120)
{
    struct world w = open_world(2);
    struct prng random = prng_of(20231);
    unsigned answered = 0, closed = 0;
    for (int round = 0; round < 1500; round++) {
        const struct wire_api *api = &wire_apis[prng_below(&random, (uint64_t)wire_api_count)];
        int16_t version = (int16_t)prng_between(&random, (uint64_t)api->versions.min,
                                                (uint64_t)api->versions.max);
        struct wire_writer out;
        const struct wire_request_header header = {api->key, version, round, wire_string_of("x")};
        void *request = calloc(1, api->request->body->size);
        wire_struct_init(api->request->body, request);
        wire_writer_init(&out, client_memory(), 1 << 20);
        wire_frame_begin(&out);
        cr_assert_eq(wire_request_header_encode(&header, &out), 0);
        cr_assert_eq(wire_encode(api->request, request, &out, version), 0);
        free(request);
        uint64_t extra = prng_chance(&random, 1, 2) ? prng_below(&random, 24) : 0;
        for (; extra > 0; extra--) {
            wire_put_u8(&out, (uint8_t)prng_below(&random, prng_chance(&random, 1, 2) ? 4 : 256));
        }
        cr_assert_eq(wire_frame_end(&out), 0);
        for (uint64_t changes = prng_below(&random, 4); changes > 0; changes--) {
            out.data[12 + prng_below(&random, out.size - 12)] = (uint8_t)prng_next(&random);
        }
        int bad = client_open(w.b);
        client_send_bytes(bad, out.data, out.size);
        if (api->key == 1 || (api->key == 0 && out.size > 20)) {
            client_close(bad); /* these may wait, or owe no answer */
            wire_writer_deinit(&out);
            continue;
        }
        size_t size;
        uint8_t *answer = client_receive_bytes(bad, &size);
        answered += answer != NULL;
        closed += answer == NULL;
        free(answer);
        client_close(bad);
        wire_writer_deinit(&out);
        if (round % 100 == 0) {
            check_good(&w);
        }
    }
    cr_assert_gt(answered, 50);
    cr_assert_gt(closed, 50);
    close_world(&w);
}
