/* SPDX-License-Identifier: Apache-2.0 */

/* Messages of the consensus core as bytes: they come as they went, as Kafka writes them; what is not for this
 * replica, or cannot be, is refused before the core sees it. Whole quorums over these bytes are
 * leat-sim raft --wire. */
#include "meta/quorum_wire.h"

#include "base/prng.h"
#include "meta/records.h"
#include "meta/voters.h"
#include "sim/raft_hop.h"
#include "unit/wire/hex.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { ROUNDS = 20000, SPARE = 2048 };

static const enum raft_kind requests[] = {RAFT_VOTE, RAFT_BEGIN, RAFT_END, RAFT_FETCH};

static struct raft_id id_of(int32_t node)
{
    return (struct raft_id){node, {{(uint8_t)(node + 1), [15] = 7}}};
}

static struct raft_hop *hop_new(void)
{
    struct raft_hop *h = malloc(sizeof *h);
    cr_assert_not_null(h);
    raft_hop_init(h);
    return h;
}

static void hop_free(struct raft_hop *h)
{
    raft_hop_deinit(h);
    free(h);
}

/* --- random messages, as the core makes them -------------------------------------------------- */

static int64_t some_number(struct prng *random, int64_t below)
{
    return (int64_t)prng_below(random, prng_below(random, 3) ? (uint64_t)below : 300);
}

static struct raft_end some_end(struct prng *random, int32_t epoch)
{
    int64_t offset = prng_below(random, 5) ? some_number(random, INT64_MAX) : 0;
    int32_t last = (int32_t)prng_below(random, (uint64_t)epoch + 1);
    return (struct raft_end){offset > 0 ? last : -1, offset};
}

static struct raft_message some_message(struct prng *random, enum raft_kind kind)
{
    struct raft_id from = id_of((int32_t)some_number(random, INT32_MAX));
    return (struct raft_message){
        .kind = kind,
        .from = from,
        .to = id_of(from.node ? from.node - 1 : 9),
        .ticket = prng_next(random),
        .epoch = (int32_t)some_number(random, INT32_MAX),
        .leader = RAFT_NOBODY,
        .high_watermark = -1,
        .diverging.epoch = -1,
        .snapshot.epoch = -1,
    };
}

static struct raft_message some_request(struct prng *random, enum raft_kind kind)
{
    struct raft_message m = some_message(random, kind);
    if (kind == RAFT_BEGIN || kind == RAFT_END) {
        m.leader = m.from.node;
        m.preferred = kind == RAFT_END && prng_below(random, 2);
    } else {
        m.end = some_end(random, m.epoch);
        m.pre = kind == RAFT_VOTE && prng_below(random, 2);
    }
    if (kind == RAFT_FETCH) {
        m.reads = (uint64_t)some_number(random, INT64_MAX);
        m.high_watermark = some_number(random, INT64_MAX) - 1;
        m.leader = prng_below(random, 2) ? m.to.node : RAFT_NOBODY;
    }
    return m;
}

static struct raft_message some_answer(struct prng *random, const struct raft_message *request)
{
    bool vote = request->kind == RAFT_VOTE;
    struct raft_message m = some_message(random, vote ? RAFT_VOTE_ANSWER : RAFT_FETCH_ANSWER);
    struct raft_end asked = request->end;
    m.from = request->to;
    m.to = request->from;
    m.leader = prng_below(random, 2) ? (int32_t)some_number(random, INT32_MAX) : RAFT_NOBODY;
    if (vote) {
        m.pre = request->pre;
        m.granted = prng_below(random, 2);
        return m;
    }
    unsigned kind = (unsigned)prng_below(random, 4);
    if (kind == 0) {
        m.error = prng_below(random, 2) ? ERR_FENCED_LEADER_EPOCH : ERR_NOT_LEADER_OR_FOLLOWER;
        return m;
    }
    m.end = asked;
    m.reads = (uint64_t)some_number(random, INT64_MAX);
    m.high_watermark = some_number(random, INT64_MAX) - 1;
    if (kind == 1) {
        m.snapshot = (struct raft_end){(int32_t)some_number(random, INT32_MAX),
                                       some_number(random, INT64_MAX - 1) + 1};
    } else if (kind == 2 && asked.offset > 0) {
        m.diverging = (struct raft_end){(int32_t)prng_below(random, (uint64_t)asked.epoch + 1),
                                        (int64_t)prng_below(random, (uint64_t)asked.offset)};
    }
    return m;
}

Test(quorum_wire, a_request_comes_as_it_went)
{
    struct raft_hop *h = hop_new();
    struct prng random = prng_of(1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum raft_kind kind = requests[i % array_size(requests)];
        struct raft_message m = some_request(&random, kind), came;
        int version = raft_hop_version(kind);
        cr_assert_eq(raft_hop_take(h, kind, version, raft_hop_request(h, &m, version), m.to, &came),
                     0);
        cr_assert(raft_hop_same(&m, &came), "round %u, kind %d", i, (int)kind);
    }
    hop_free(h);
}

Test(quorum_wire, an_answer_comes_as_it_went)
{
    struct raft_hop *h = hop_new();
    struct prng random = prng_of(2);
    static const char some[] = "some records";
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum raft_kind kind = i % 2 ? RAFT_VOTE : RAFT_FETCH;
        struct raft_message request = some_request(&random, kind), came;
        struct raft_message m = some_answer(&random, &request);
        bool with = kind == RAFT_FETCH && !m.error && m.diverging.epoch < 0 && m.snapshot.epoch < 0;
        struct bytes records =
            with ? bytes_of(some, prng_below(&random, sizeof some)) : (struct bytes){0};
        struct bytes back;
        int version = raft_hop_version(kind);
        struct bytes body = raft_hop_answer(h, kind, &m, 0, records, version);
        cr_assert_eq(quorum_answer_decode(&request, version, body, &h->memory, &came, &back), 0);
        cr_assert(raft_hop_same(&m, &came), "round %u, kind %d", i, (int)kind);
        cr_assert_eq(came.ticket, request.ticket);
        cr_assert_eq(back.size, records.size);
        cr_assert(back.size == 0 || memcmp(back.data, some, back.size) == 0);
    }
    hop_free(h);
}

/* --- golden bytes ----------------------------------------------------------------------------- */

#define CLUSTER "17 41414543417751464267634943516f4c4441304f4477" /* 22 characters */
#define TOPIC "13 5f5f636c75737465725f6d65746164617461"           /* __cluster_metadata */
#define TOPIC_ID "00000000000000000000000000000001"
#define DIRECTORY_1 "02000000000000000000000000000007" /* of node 1, and so on */
#define DIRECTORY_2 "03000000000000000000000000000007"

static struct raft_message example(enum raft_kind kind)
{
    struct raft_message m = {.kind = kind, .from = id_of(1), .to = id_of(2), .epoch = 5};
    m.leader = kind == RAFT_BEGIN || kind == RAFT_END ? 1 : RAFT_NOBODY;
    m.high_watermark = m.diverging.epoch = m.snapshot.epoch = -1;
    if (kind == RAFT_VOTE || kind == RAFT_FETCH) {
        m.end = (struct raft_end){4, 300};
    }
    m.pre = kind == RAFT_VOTE;
    m.preferred = kind == RAFT_END;
    if (kind == RAFT_FETCH) {
        m.reads = 9;
        m.high_watermark = 299;
    }
    return m;
}

static struct raft_message example_answer(enum raft_kind request)
{
    struct raft_message m = example(request);
    m.kind = request == RAFT_VOTE ? RAFT_VOTE_ANSWER : RAFT_FETCH_ANSWER;
    m.from = id_of(2);
    m.to = id_of(1);
    m.leader = 2;
    if (request == RAFT_VOTE) {
        m.end = (struct raft_end){0};
        m.granted = true;
    }
    return m;
}

static const char *const golden_requests[] = {
    [RAFT_VOTE] =
        CLUSTER "00000002 02" TOPIC "02 00000000 00000005 00000001" DIRECTORY_1 DIRECTORY_2
                "00000004 000000000000012c 01 00 00 00",
    [RAFT_BEGIN] = CLUSTER "00000002 02" TOPIC "02 00000000" DIRECTORY_2 "00000001 00000005 00 00"
                           "01 00",
    [RAFT_END] = CLUSTER "02" TOPIC "02 00000000 00000001 00000005 02 00000002" DIRECTORY_2 "00"
                         "00 00 01 00",
    [RAFT_FETCH] = "000001f4 00000000 00100000 00 00000000 ffffffff 02" TOPIC_ID
                   "02 00000000 00000005 000000000000012c 00000004 ffffffffffffffff 00100000"
                   "03 00 10" DIRECTORY_1 "01 08 000000000000012b"
                   "914e 08 0000000000000009"
                   "00 01 01 02 00 17" CLUSTER "01 0d 00000001 ffffffffffffffff 00",
};

static const char *const golden_answers[] = {
    [RAFT_VOTE] = "0000 02" TOPIC "02 00000000 0000 00000002 00000005 01 00 00 00",
    [RAFT_FETCH] = "00000000 0000 00000000 02" TOPIC_ID
                   "02 00000000 0000 000000000000012b ffffffffffffffff ffffffffffffffff"
                   "00 ffffffff 04 aabbcc"
                   "02 01 09 00000002 00000005 00 914e 08 0000000000000009 00 00",
};

static void check_golden(const char *what, struct bytes made, const char *text)
{
    uint8_t expected[512];
    size_t size = hex_read(text, expected, sizeof expected);
    bool same = made.size == size && memcmp(made.data, expected, size) == 0;
    for (size_t i = 0; i < made.size && !same; i++) {
        fprintf(stderr, "%02x", ((const uint8_t *)made.data)[i]);
    }
    cr_assert(same, "%s", what);
}

Test(quorum_wire, the_bytes_are_kafkas)
{
    struct raft_hop *h = hop_new();
    static const char *const names[] = {[RAFT_VOTE] = "Vote",
                                        [RAFT_BEGIN] = "BeginQuorumEpoch",
                                        [RAFT_END] = "EndQuorumEpoch",
                                        [RAFT_FETCH] = "Fetch"};
    static const uint8_t records[] = {0xaa, 0xbb, 0xcc};
    for (unsigned i = 0; i < array_size(requests); i++) {
        enum raft_kind kind = requests[i];
        struct raft_message m = example(kind);
        int version = raft_hop_version(kind);
        check_golden(names[kind], raft_hop_request(h, &m, version), golden_requests[kind]);
    }
    for (unsigned i = 0; i < 2; i++) {
        enum raft_kind kind = i ? RAFT_FETCH : RAFT_VOTE;
        struct raft_message m = example_answer(kind);
        struct bytes with = bytes_of(records, i ? sizeof records : 0);
        check_golden(names[kind], raft_hop_answer(h, kind, &m, 0, with, raft_hop_version(kind)),
                     golden_answers[kind]);
    }
    hop_free(h);
}

Test(quorum_wire, who_leads_is_told_to_who_leads_no_more)
{
    struct raft_hop *h = hop_new();
    struct begin_quorum_epoch_answer begin;
    struct end_quorum_epoch_answer end;
    static const char text[] = "0000 02" TOPIC "02 00000000 0000 00000003 00000007 00 00 00";
    begin_quorum_epoch_response_fill(&begin, 7, 3, 0);
    cr_assert_eq(begin_quorum_epoch_response_encode(&begin.response, &h->writer, 1), 0);
    check_golden("BeginQuorumEpoch", bytes_of(h->writer.data, h->writer.size), text);
    wire_writer_reset(&h->writer);
    end_quorum_epoch_response_fill(&end, 7, 3, 0);
    cr_assert_eq(end_quorum_epoch_response_encode(&end.response, &h->writer, 1), 0);
    check_golden("EndQuorumEpoch", bytes_of(h->writer.data, h->writer.size), text);
    wire_writer_reset(&h->writer);
    begin_quorum_epoch_response_fill(&begin, 7, 3, ERR_INVALID_VOTER_KEY);
    cr_assert_eq(begin_quorum_epoch_response_encode(&begin.response, &h->writer, 1), 0);
    check_golden("refused", bytes_of(h->writer.data, h->writer.size), "007d 01 00");
    wire_writer_reset(&h->writer);
    end_quorum_epoch_response_fill(&end, 7, 3, ERR_INVALID_REQUEST);
    cr_assert_eq(end_quorum_epoch_response_encode(&end.response, &h->writer, 1), 0);
    check_golden("refused", bytes_of(h->writer.data, h->writer.size), "002a 01 00");
    hop_free(h);
}

/* --- hostile bytes ---------------------------------------------------------------------------- */

/* Replica 2 of three, with a log up to 300 in epoch 4, as a follower of 1, as a leader of epoch 6, or asking. */
static struct raft *core_new(enum raft_role role)
{
    struct raft *r = malloc(raft_size());
    struct raft_options options = {.self = id_of(2), .seed = 3};
    struct raft_batch log = {.base = 0, .end = 300, .epoch = 4};
    struct raft_start start = {.vote = {.epoch = 5, .voted.node = RAFT_NOBODY},
                               .snapshot.epoch = -1,
                               .voters = {3, {id_of(1), id_of(2), id_of(3)}},
                               .batches = &log,
                               .batch_count = 1};
    cr_assert(r && raft_init(r, &options, &start, 1) == 0);
    if (role == RAFT_FOLLOWER) {
        struct raft_message begin = example(RAFT_BEGIN);
        raft_receive(r, 2, &begin);
    } else if (role == RAFT_LEADER) {
        struct raft_message granted = {.kind = RAFT_VOTE_ANSWER,
                                       .from = id_of(1),
                                       .to = id_of(2),
                                       .epoch = 5,
                                       .leader = RAFT_NOBODY,
                                       .granted = true};
        raft_tick(r, UINT64_C(10000000000));
        granted.ticket = 1;
        granted.pre = true;
        raft_receive(r, UINT64_C(10000000000), &granted);
        raft_effects_done(r);
        raft_voted(r, UINT64_C(10000000000), 1);
        granted.ticket = 2;
        granted.pre = false;
        granted.epoch = 6;
        raft_receive(r, UINT64_C(10000000000), &granted);
    }
    raft_effects_done(r);
    cr_assert_eq(raft_status(r).role, role);
    return r;
}

/* What was let in is what a core of any role takes. */
static void feed(const struct raft_message *m)
{
    static const enum raft_role roles[] = {RAFT_UNATTACHED, RAFT_FOLLOWER, RAFT_LEADER};
    for (unsigned i = 0; i < array_size(roles); i++) {
        struct raft *r = core_new(roles[i]);
        raft_receive(r, UINT64_C(10000000001), m);
        raft_effects_done(r);
        raft_tick(r, UINT64_C(20000000000));
        free(r);
    }
}

static void check_request(const struct raft_message *m)
{
    cr_assert(m->from.node >= 0 && m->from.node != 2 && m->to.node == 2);
    cr_assert(m->epoch >= 0 && m->epoch < INT32_MAX && m->leader >= -1);
    cr_assert(m->end.offset >= 0 && m->end.epoch <= m->epoch && m->high_watermark >= -1);
    cr_assert_eq(m->end.epoch < 0,
                 m->end.offset == 0 && (m->kind == RAFT_VOTE || m->kind == RAFT_FETCH));
    feed(m);
}

static void check_answer(const struct raft_message *m, const struct raft_message *request)
{
    cr_assert(m->epoch >= 0 && m->epoch < INT32_MAX && m->leader >= -1);
    cr_assert(raft_id_equal(m->from, request->to) && raft_id_equal(m->to, request->from));
    cr_assert(m->high_watermark >= -1);
    cr_assert(m->diverging.epoch < 0 || m->diverging.epoch < request->end.epoch ||
              m->diverging.offset < request->end.offset);
    cr_assert(m->snapshot.epoch < 0 || m->snapshot.offset > 0);
    feed(m);
}

static void attack_request(struct raft_hop *h, enum raft_kind kind, struct bytes body)
{
    struct raft_message m;
    if (raft_hop_take(h, kind, raft_hop_version(kind), body, id_of(2), &m) == 0) {
        check_request(&m);
    }
}

static void attack_answer(struct raft_hop *h, const struct raft_message *request, struct bytes body)
{
    struct raft_message m;
    struct bytes records;
    if (quorum_answer_decode(request, raft_hop_version(request->kind), body, &h->memory, &m,
                             &records) == 0) {
        check_answer(&m, request);
    }
}

/* Every byte with each of its bits turned, and with the values at the ends. */
static void mutate(struct raft_hop *h, const struct raft_message *request, bool answer,
                   struct bytes good)
{
    uint8_t bytes[SPARE];
    cr_assert_lt(good.size, sizeof bytes);
    for (size_t i = 0; i < good.size; i++) {
        for (unsigned how = 0; how < 11; how++) {
            memcpy(bytes, good.data, good.size);
            bytes[i] = how < 8    ? (uint8_t)(bytes[i] ^ 1u << how)
                       : how == 8 ? 0
                       : how == 9 ? 0x7f
                                  : 0xff;
            if (answer) {
                attack_answer(h, request, bytes_of(bytes, good.size));
            } else {
                attack_request(h, request->kind, bytes_of(bytes, good.size));
            }
        }
    }
}

Test(quorum_wire, changed_bytes_are_refused_or_harmless)
{
    struct raft_hop *h = hop_new();
    uint8_t bytes[SPARE];
    for (unsigned i = 0; i < array_size(requests); i++) {
        struct raft_message m = example(requests[i]);
        struct bytes good = raft_hop_request(h, &m, raft_hop_version(m.kind));
        memcpy(bytes, good.data, good.size);
        mutate(h, &m, false, bytes_of(bytes, good.size));
    }
    for (unsigned i = 0; i < 5; i++) {
        struct raft_message request = example(i ? RAFT_FETCH : RAFT_VOTE);
        request.from = id_of(2);
        request.to = id_of(1);
        struct raft_message m = example_answer(request.kind);
        m.diverging = i == 1 ? (struct raft_end){4, 200} : m.diverging;
        m.snapshot = i == 2 ? (struct raft_end){3, 200} : m.snapshot;
        m.error = i == 3 ? ERR_FENCED_LEADER_EPOCH : 0;
        struct bytes good = raft_hop_answer(h, request.kind, &m, 0, (struct bytes){0},
                                            raft_hop_version(request.kind));
        memcpy(bytes, good.data, good.size);
        mutate(h, &request, true, bytes_of(bytes, good.size));
    }
    hop_free(h);
}

Test(quorum_wire, what_is_cut_off_or_too_long_is_malformed)
{
    struct raft_hop *h = hop_new();
    struct raft_message came;
    struct bytes records;
    uint8_t bytes[SPARE] = {0};
    for (unsigned i = 0; i < array_size(requests); i++) {
        struct raft_message m = example(requests[i]);
        int version = raft_hop_version(m.kind);
        struct bytes good = raft_hop_request(h, &m, version);
        memcpy(bytes, good.data, good.size);
        for (size_t size = 0; size < good.size; size++) {
            cr_assert_eq(raft_hop_take(h, m.kind, version, bytes_of(bytes, size), id_of(2), &came),
                         ERR_MALFORMED);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct raft_message request = example(i ? RAFT_FETCH : RAFT_VOTE);
        struct raft_message m = example_answer(request.kind);
        int version = raft_hop_version(request.kind);
        struct bytes good = raft_hop_answer(h, request.kind, &m, 0, (struct bytes){0}, version);
        memcpy(bytes, good.data, good.size);
        for (size_t size = 0; size <= good.size + 1; size++) {
            int error = quorum_answer_decode(&request, version, bytes_of(bytes, size), &h->memory,
                                             &came, &records);
            cr_assert_eq(error, size == good.size ? 0 : ERR_MALFORMED, "%zu of %zu", size,
                         good.size);
        }
    }
    hop_free(h);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int taken_as(struct raft_hop *h, const struct raft_message *m, struct raft_id self)
{
    struct raft_message out;
    int version = raft_hop_version(m->kind);
    return raft_hop_take(h, m->kind, version, raft_hop_request(h, m, version), self, &out);
}

Test(quorum_wire, requests_for_others_are_refused)
{
    struct raft_hop *h = hop_new();
    struct raft_id elsewhere = {2, {{9}}};
    for (unsigned i = 0; i < array_size(requests); i++) {
        struct raft_message m = example(requests[i]);
        bool named = m.kind == RAFT_VOTE || m.kind == RAFT_BEGIN;
        cr_assert_eq(taken_as(h, &m, id_of(2)), 0);
        cr_assert_eq(taken_as(h, &m, id_of(1)), ERR_INVALID_REQUEST, "its own");
        cr_assert_eq(taken_as(h, &m, elsewhere), named ? ERR_INVALID_VOTER_KEY : 0);
        cr_assert_eq(taken_as(h, &m, id_of(3)), named ? ERR_INVALID_VOTER_KEY : 0);
        m.from.node = -1;
        cr_assert_eq(taken_as(h, &m, id_of(2)), ERR_INVALID_REQUEST);
    }
    hop_free(h);
}

Test(quorum_wire, numbers_that_no_replica_has_are_refused)
{
    struct raft_hop *h = hop_new();
    static const int32_t epochs[] = {-1, INT32_MIN, INT32_MAX};
    static const struct raft_end ends[] = {{6, 300}, {-1, 300}, {4, -1}, {-2, 0}, {INT32_MAX, 1}};
    for (unsigned i = 0; i < array_size(requests); i++) {
        for (unsigned k = 0; k < array_size(epochs); k++) {
            struct raft_message m = example(requests[i]);
            m.epoch = epochs[k];
            m.end = (struct raft_end){-1, 0};
            cr_assert_eq(taken_as(h, &m, id_of(2)), ERR_INVALID_REQUEST, "epoch %d", epochs[k]);
        }
    }
    for (unsigned i = 0; i < 2 * array_size(ends); i++) {
        struct raft_message m = example(i % 2 ? RAFT_VOTE : RAFT_FETCH);
        m.end = ends[i / 2];
        cr_assert_eq(taken_as(h, &m, id_of(2)), ERR_INVALID_REQUEST, "end %u", i / 2);
    }
    hop_free(h);
}

/* A byte of the good request is another: the cluster, the topic, the partition. */
Test(quorum_wire, another_cluster_log_or_partition_is_refused)
{
    struct raft_hop *h = hop_new();
    struct raft_message out;
    uint8_t bytes[SPARE];
    for (unsigned i = 0; i < array_size(requests); i++) {
        struct raft_message m = example(requests[i]);
        bool fetch = m.kind == RAFT_FETCH;
        int version = raft_hop_version(m.kind);
        struct bytes good = raft_hop_request(h, &m, version);
        memcpy(bytes, good.data, good.size);
        good.data = bytes;
        uint8_t *cluster = memmem(bytes, good.size, raft_hop_cluster, 22);
        uint8_t *topic = memmem(bytes, good.size, quorum_topic, strlen(quorum_topic));
        topic = topic ? topic : memmem(bytes, good.size, &quorum_topic_id, sizeof quorum_topic_id);
        cr_assert(cluster && topic);
        size_t name = fetch ? sizeof quorum_topic_id : strlen(quorum_topic);
        uint8_t *const wrong[] = {cluster + 21, topic + name - 1, topic + name + 4};
        const int errors[] = {ERR_INCONSISTENT_CLUSTER_ID,
                              fetch ? ERR_UNKNOWN_TOPIC_ID : ERR_INVALID_REQUEST,
                              ERR_INVALID_REQUEST};
        for (unsigned k = 0; k < array_size(wrong); k++) {
            *wrong[k] ^= 2;
            cr_assert_eq(raft_hop_take(h, m.kind, version, good, id_of(2), &out), errors[k],
                         "kind %d, %u", (int)m.kind, k);
            *wrong[k] ^= 2;
        }
    }
    hop_free(h);
}

Test(quorum_wire, a_refusal_comes_back_as_its_error)
{
    struct raft_hop *h = hop_new();
    struct raft_message out;
    struct bytes records;
    for (unsigned i = 0; i < 2; i++) {
        struct raft_message request = example(i ? RAFT_FETCH : RAFT_VOTE);
        int version = raft_hop_version(request.kind);
        struct bytes body = raft_hop_answer(h, request.kind, NULL, ERR_INCONSISTENT_CLUSTER_ID,
                                            (struct bytes){0}, version);
        cr_assert_eq(quorum_answer_decode(&request, version, body, &h->memory, &out, &records),
                     ERR_INCONSISTENT_CLUSTER_ID);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct raft_message request = example(i ? RAFT_BEGIN : RAFT_END);
        cr_assert_eq(
            quorum_answer_decode(&request, 1, (struct bytes){0}, &h->memory, &out, &records),
            ERR_NOT_FOUND, "it says nothing");
    }
    hop_free(h);
}

/* --- Kafka's ways ----------------------------------------------------------------------------- */

/* Kafka's replica says epoch 0 of an empty log, and names neither reads nor, before version 18, its high
 * watermark. */
Test(quorum_wire, a_fetch_of_kafkas_is_understood)
{
    struct raft_hop *h = hop_new();
    uint8_t bytes[256];
    struct raft_message m;
    size_t size = hex_read("000001f4 00000000 00100000 00 00000000 ffffffff 02" TOPIC_ID
                           "02 00000000 00000005 0000000000000000 00000000 ffffffffffffffff"
                           "00100000 01 00 10" DIRECTORY_1 "00 01 01 02 00 17" CLUSTER
                           "01 0d 00000001 ffffffffffffffff 00",
                           bytes, sizeof bytes);
    cr_assert_eq(raft_hop_take(h, RAFT_FETCH, 17, bytes_of(bytes, size), id_of(2), &m), 0);
    cr_assert(m.end.epoch == -1 && m.end.offset == 0 && m.reads == 0);
    cr_assert(m.high_watermark == INT64_MAX && raft_id_equal(m.from, id_of(1)));
    feed(&m);
    hop_free(h);
}

/* Kafka refuses a vote of an older epoch by an error beside the epoch it is in. */
Test(quorum_wire, a_refused_vote_that_tells_the_epoch_is_an_answer)
{
    struct raft_hop *h = hop_new();
    struct raft_message request = example(RAFT_VOTE), m;
    struct bytes records;
    uint8_t bytes[128];
    size_t size =
        hex_read("0000 02" TOPIC "02 00000000 004a 00000003 00000007 00 00 00 00", bytes, 128);
    struct bytes body = bytes_of(bytes, size);
    cr_assert_eq(quorum_answer_decode(&request, 2, body, &h->memory, &m, &records), 0);
    cr_assert(!m.granted && m.epoch == 7 && m.leader == 3 && m.pre);
    bytes[size - 4] = 1;
    cr_assert_eq(quorum_answer_decode(&request, 2, body, &h->memory, &m, &records), ERR_MALFORMED,
                 "granted and refused");
    size = hex_read("0000 02" TOPIC "02 00000000 002a 00000003 00000007 00 00 00 00", bytes, 128);
    cr_assert_eq(quorum_answer_decode(&request, 2, body, &h->memory, &m, &records),
                 ERR_INVALID_REQUEST);
    hop_free(h);
}

/* --- batches ---------------------------------------------------------------------------------- */

static struct voters voters_some(uint32_t count)
{
    struct voters v = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        v.list[i].id = id_of((int32_t)i + 1);
        snprintf(v.list[i].name, sizeof v.list[i].name, "QUORUM");
        snprintf(v.list[i].host, sizeof v.list[i].host, "127.0.0.%u", (unsigned)i + 1);
        v.list[i].port = 9093;
    }
    return v;
}

/* A batch of `count` records, or of one VotersRecord, behind `at` bytes; where it ends. */
static size_t batch_put(struct memory *memory, uint8_t *out, size_t at, int64_t base, int32_t epoch,
                        uint32_t count, const struct voters *voters)
{
    struct batch_options options = batch_options_default();
    struct batch_builder b;
    struct wire_writer w;
    struct bytes made;
    batch_builder_init(&b, memory, 1 << 16);
    wire_writer_init(&w, memory, VOTERS_BYTES_MAX);
    if (voters) {
        cr_assert_eq(voters_encode(voters, &w), 0);
        cr_assert_eq(control_append_bytes(&b, CONTROL_VOTERS, bytes_of(w.data, w.size), 1), 0);
        options.attributes = BATCH_CONTROL;
    }
    for (uint32_t i = 0; i < count && !voters; i++) {
        struct record_input record = {1, {NULL, -1}, {(const uint8_t *)"x", 1}, NULL, 0};
        cr_assert_eq(batch_append(&b, &record), 0);
    }
    options.base_offset = base;
    options.leader_epoch = epoch;
    cr_assert_eq(batch_finish(&b, &options, &made), 0);
    memcpy(out + at, made.data, made.size);
    batch_builder_deinit(&b);
    wire_writer_deinit(&w);
    return at + made.size;
}

struct fetched {
    struct memory memory;
    struct quorum_batches out;
    uint8_t bytes[1 << 16];
    size_t ends[8];
    struct voters voters;
};

/* Offsets 10 and 11 in epoch 3, three voters at 12, 13 in epoch 4. */
static struct fetched *fetched_new(void)
{
    struct fetched *f = calloc(1, sizeof *f);
    cr_assert_not_null(f);
    memory_init(&f->memory, 1 << 22);
    f->voters = voters_some(3);
    f->ends[0] = batch_put(&f->memory, f->bytes, 0, 10, 3, 2, NULL);
    f->ends[1] = batch_put(&f->memory, f->bytes, f->ends[0], 12, 3, 1, &f->voters);
    f->ends[2] = batch_put(&f->memory, f->bytes, f->ends[1], 13, 4, 1, NULL);
    return f;
}

static void fetched_free(struct fetched *f)
{
    cr_assert_eq(f->memory.used_bytes, 0);
    memory_drop(&f->memory);
    free(f);
}

Test(quorum_wire, fetched_bytes_are_cut_into_batches)
{
    struct fetched *f = fetched_new();
    struct bytes all = bytes_of(f->bytes, f->ends[2]);
    const struct raft_batch *b = f->out.list;
    cr_assert_eq(quorum_batches_cut(&f->out, all, &f->memory), 3);
    cr_assert(b[0].base == 10 && b[0].end == 12 && b[0].epoch == 3 && !b[0].voters);
    cr_assert(b[1].base == 12 && b[1].end == 13 && b[1].epoch == 3 && b[1].voters);
    cr_assert(b[2].base == 13 && b[2].end == 14 && b[2].epoch == 4 && !b[2].voters);
    cr_assert(b[1].voters->count == 3 && raft_voters_have(b[1].voters, id_of(3)));
    cr_assert_eq((size_t)f->out.sizes[0] + f->out.sizes[1] + f->out.sizes[2], all.size);
    cr_assert_eq(quorum_batches_cut(&f->out, (struct bytes){0}, &f->memory), 0);
    fetched_free(f);
}

Test(quorum_wire, of_cut_off_batches_the_whole_ones_are_taken)
{
    struct fetched *f = fetched_new();
    for (size_t size = 1; size <= f->ends[2]; size++) {
        int whole = (size >= f->ends[0]) + (size >= f->ends[1]) + (size >= f->ends[2]);
        cr_assert_eq(quorum_batches_cut(&f->out, bytes_of(f->bytes, size), &f->memory),
                     whole ? whole : ERR_MALFORMED, "%zu bytes", size);
    }
    fetched_free(f);
}

Test(quorum_wire, no_byte_of_a_batch_can_change_unnoticed_but_its_place)
{
    struct fetched *f = fetched_new();
    struct bytes all = bytes_of(f->bytes, f->ends[2]);
    for (size_t i = 0; i < all.size; i++) {
        int before = (i >= f->ends[0]) + (i >= f->ends[1]);
        size_t in = i - (before ? f->ends[before - 1] : 0);
        for (unsigned bit = 0; bit < 8; bit++) {
            f->bytes[i] ^= (uint8_t)(1 << bit);
            int count = quorum_batches_cut(&f->out, all, &f->memory);
            bool place = in < 8 || (in >= 12 && in < 16); /* base offset, epoch */
            bool cut = count == (before ? before : ERR_MALFORMED);
            cr_assert(cut || (place && count == 3), "byte %zu bit %u: %d", i, bit, count);
            f->bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    fetched_free(f);
}

Test(quorum_wire, more_batches_than_fit_are_asked_for_again)
{
    struct fetched *f = fetched_new();
    size_t at = 0;
    for (int64_t i = 0; i < QUORUM_BATCHES_MAX + 10; i++) {
        at = batch_put(&f->memory, f->bytes, at, i, 1, 1, NULL);
    }
    cr_assert_eq(quorum_batches_cut(&f->out, bytes_of(f->bytes, at), &f->memory),
                 QUORUM_BATCHES_MAX);
    at = 0;
    for (int64_t i = 0; i < RAFT_VOTER_SETS_MAX + 2; i++) {
        at = batch_put(&f->memory, f->bytes, at, i, 1, 1, &f->voters);
    }
    cr_assert_eq(quorum_batches_cut(&f->out, bytes_of(f->bytes, at), &f->memory),
                 RAFT_VOTER_SETS_MAX);
    cr_assert_eq(f->out.list[RAFT_VOTER_SETS_MAX - 1].voters->count, 3);
    fetched_free(f);
}

/* The budget ends while voters are read: that is not the sender's fault. */
Test(quorum_wire, want_of_memory_is_no_damage)
{
    struct fetched *f = fetched_new();
    struct memory none;
    size_t at = batch_put(&f->memory, f->bytes, 0, 0, 1, 1, &f->voters);
    memory_init(&none, 16);
    cr_assert_eq(quorum_batches_cut(&f->out, bytes_of(f->bytes, at), &none), ERR_NO_MEMORY);
    memory_drop(&none);
    fetched_free(f);
}
