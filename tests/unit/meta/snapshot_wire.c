/* SPDX-License-Identifier: Apache-2.0 */

/* Pieces of a snapshot as bytes: they come as they went, as Kafka writes them; what cannot be is refused. */
#include "meta/snapshot_wire.h"

#include "base/prng.h"
#include "unit/wire/hex.h"

#include <criterion/criterion.h>

enum { ROUNDS = 10000, ROOM = 512 };

static const char cluster[] = "AAECAwQFBgcICQoLDA0ODw";

struct fixture {
    struct memory memory;
    struct wire_writer writer;
    uint8_t bytes[ROOM];
};

static void open_(struct fixture *f)
{
    memory_init(&f->memory, 1 << 20);
    wire_writer_init(&f->writer, &f->memory, 1 << 16);
}

static void close_(struct fixture *f)
{
    wire_writer_deinit(&f->writer);
    cr_assert_eq(f->memory.used_bytes, 0);
    memory_drop(&f->memory);
}

static struct bytes flat(struct fixture *f)
{
    struct iovec part;
    size_t at = 0;
    while (wire_writer_iovecs(&f->writer, at, &part, 1) > 0) {
        cr_assert_leq(part.iov_len, sizeof f->bytes - at);
        memcpy(f->bytes + at, part.iov_base, part.iov_len);
        at += part.iov_len;
    }
    wire_writer_reset(&f->writer);
    return bytes_of(f->bytes, at);
}

static struct bytes request_bytes(struct fixture *f, const struct snapshot_request *r)
{
    cr_assert_eq(snapshot_request_encode(r, cluster, SNAPSHOT_FETCH_VERSION, &f->writer), 0);
    return flat(f);
}

static int request_take(struct fixture *f, struct bytes body, int32_t self,
                        struct snapshot_request *out)
{
    struct fetch_snapshot_request r;
    struct reader in = reader_of(body.data, body.size);
    struct arena arena;
    arena_init(&arena, &f->memory, 1 << 16);
    int error = fetch_snapshot_request_decode(&r, &in, SNAPSHOT_FETCH_VERSION, &arena);
    error = error ? error : fetch_snapshot_request_take(&r, cluster, self, out);
    arena_deinit(&arena);
    return error ? error : reader_left(&in) > 0 ? ERR_MALFORMED : 0;
}

static struct bytes answer_bytes(struct fixture *f, const struct snapshot_answer *a, int error)
{
    struct slice slice = {a->piece.data, a->piece.size, NULL};
    struct wire_records piece = {&slice, a->piece.size > 0, (uint32_t)a->piece.size, false};
    struct fetch_snapshot_answer answer;
    fetch_snapshot_response_fill(&answer, a, error, piece);
    cr_assert_eq(
        fetch_snapshot_response_encode(&answer.response, &f->writer, SNAPSHOT_FETCH_VERSION), 0);
    return flat(f);
}

static int answer_take(struct fixture *f, const struct snapshot_request *r, struct bytes body,
                       struct snapshot_answer *out)
{
    return snapshot_answer_decode(r, SNAPSHOT_FETCH_VERSION, body, &f->memory, out);
}

static const struct snapshot_request some = {
    .from = {1, {{2, [15] = 7}}}, .epoch = 5, .id = {4, 300}, .position = 1000, .bytes_max = 64};

static const uint8_t piece[] = {0xaa, 0xbb, 0xcc};

static struct snapshot_answer some_answer(void)
{
    return (struct snapshot_answer){.epoch = 5,
                                    .leader = 2,
                                    .id = {4, 300},
                                    .size = 1003,
                                    .position = 1000,
                                    .piece = bytes_of(piece, sizeof piece)};
}

#define CLUSTER "17 41414543417751464267634943516f4c4441304f4477"
#define TOPIC "13 5f5f636c75737465725f6d65746164617461"

static void check_golden(struct bytes made, const char *text)
{
    uint8_t expected[ROOM];
    size_t size = hex_read(text, expected, sizeof expected);
    cr_assert_eq(made.size, size);
    cr_assert_arr_eq(made.data, expected, size);
}

Test(snapshot_wire, the_bytes_are_kafkas)
{
    struct fixture f;
    struct snapshot_answer a = some_answer();
    open_(&f);
    check_golden(request_bytes(&f, &some),
                 "00000001 00000040 02" TOPIC "02 00000000 00000005 000000000000012c 00000004 00"
                 "00000000000003e8 01 00 10 02000000000000000000000000000007 00"
                 "01 00 17" CLUSTER);
    check_golden(answer_bytes(&f, &a, 0),
                 "00000000 0000 02" TOPIC "02 00000000 0000 000000000000012c 00000004 00"
                 "00000000000003eb 00000000000003e8 04 aabbcc 01 00 09 00000002 00000005 00 00 00");
    close_(&f);
}

Test(snapshot_wire, what_comes_is_what_went)
{
    struct fixture f;
    struct prng random = prng_of(5);
    open_(&f);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct snapshot_request r = some, came;
        struct snapshot_answer a = some_answer(), back;
        r.epoch = a.epoch = (int32_t)prng_below(&random, INT32_MAX);
        r.id = a.id = (struct raft_end){(int32_t)prng_below(&random, INT32_MAX),
                                        1 + (int64_t)prng_below(&random, INT64_MAX)};
        r.position = a.position = (int64_t)prng_below(&random, INT64_MAX - 3);
        a.size =
            a.position + 3 + (int64_t)prng_below(&random, (uint64_t)(INT64_MAX - 2 - a.position));
        cr_assert_eq(request_take(&f, request_bytes(&f, &r), 2, &came), 0);
        cr_assert(raft_id_equal(came.from, r.from) && came.epoch == r.epoch &&
                  came.id.epoch == r.id.epoch && came.id.offset == r.id.offset &&
                  came.position == r.position && came.bytes_max == r.bytes_max);
        cr_assert_eq(answer_take(&f, &r, answer_bytes(&f, &a, 0), &back), 0);
        cr_assert(back.error == 0 && back.epoch == a.epoch && back.leader == 2 &&
                  back.size == a.size && back.position == a.position && back.piece.size == 3);
        cr_assert_arr_eq(back.piece.data, piece, 3);
    }
    close_(&f);
}

Test(snapshot_wire, a_request_that_cannot_be_is_refused)
{
    struct fixture f;
    struct snapshot_request out, wrong[8];
    open_(&f);
    for (unsigned i = 0; i < array_size(wrong); i++) {
        wrong[i] = some;
    }
    wrong[0].from.node = -1;
    wrong[1].from.node = 2;
    wrong[2].epoch = -1;
    wrong[3].epoch = INT32_MAX;
    wrong[4].id.epoch = -1;
    wrong[5].id.offset = 0;
    wrong[6].position = -1;
    wrong[7].bytes_max = 0;
    for (unsigned i = 0; i < array_size(wrong); i++) {
        cr_assert_eq(request_take(&f, request_bytes(&f, &wrong[i]), 2, &out), ERR_INVALID_REQUEST,
                     "%u", i);
    }
    struct bytes good = request_bytes(&f, &some);
    uint8_t *id = memmem(f.bytes, good.size, cluster, 22);
    uint8_t *topic = memmem(f.bytes, good.size, quorum_topic, strlen(quorum_topic));
    cr_assert(id && topic);
    id[3] ^= 1;
    cr_assert_eq(request_take(&f, good, 2, &out), ERR_INCONSISTENT_CLUSTER_ID);
    id[3] ^= 1;
    topic[3] ^= 1;
    cr_assert_eq(request_take(&f, good, 2, &out), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    topic[3] ^= 1;
    topic[strlen(quorum_topic) + 4] = 1;
    cr_assert_eq(request_take(&f, good, 2, &out), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    close_(&f);
}

Test(snapshot_wire, an_answer_to_something_else_is_malformed)
{
    struct fixture f;
    struct snapshot_answer out, wrong[7];
    open_(&f);
    for (unsigned i = 0; i < array_size(wrong); i++) {
        wrong[i] = some_answer();
    }
    wrong[0].id.epoch = 3;
    wrong[1].id.offset = 301;
    wrong[2].position = 999;
    wrong[3].size = 1002; /* the piece ends behind it */
    wrong[4].size = -1;
    wrong[5].epoch = -1;
    wrong[6].epoch = INT32_MAX;
    for (unsigned i = 0; i < array_size(wrong); i++) {
        cr_assert_eq(answer_take(&f, &some, answer_bytes(&f, &wrong[i], 0), &out), ERR_MALFORMED,
                     "%u", i);
    }
    struct snapshot_request less = some;
    struct snapshot_answer a = some_answer();
    less.bytes_max = 2;
    cr_assert_eq(answer_take(&f, &less, answer_bytes(&f, &a, 0), &out), ERR_MALFORMED);
    close_(&f);
}

Test(snapshot_wire, an_error_comes_with_who_leads)
{
    struct fixture f;
    struct snapshot_answer out, a = {.error = ERR_NOT_LEADER_OR_FOLLOWER, .epoch = 7, .leader = 3};
    open_(&f);
    cr_assert_eq(answer_take(&f, &some, answer_bytes(&f, &a, 0), &out), 0);
    cr_assert(out.error == ERR_NOT_LEADER_OR_FOLLOWER && out.epoch == 7 && out.leader == 3);
    cr_assert_eq(answer_take(&f, &some, answer_bytes(&f, &a, ERR_INCONSISTENT_CLUSTER_ID), &out),
                 ERR_INCONSISTENT_CLUSTER_ID);
    close_(&f);
}

Test(snapshot_wire, changed_and_cut_off_bytes_are_refused_or_harmless)
{
    struct fixture f;
    struct snapshot_request r;
    struct snapshot_answer out, a = some_answer();
    uint8_t bytes[ROOM];
    open_(&f);
    for (unsigned answer = 0; answer < 2; answer++) {
        struct bytes good = answer ? answer_bytes(&f, &a, 0) : request_bytes(&f, &some);
        memcpy(bytes, good.data, good.size);
        for (size_t size = 0; size < good.size; size++) {
            struct bytes cut = bytes_of(bytes, size);
            cr_assert_eq(answer ? answer_take(&f, &some, cut, &out) : request_take(&f, cut, 2, &r),
                         ERR_MALFORMED);
        }
        for (size_t i = 0; i < 8 * good.size; i++) {
            struct bytes changed = bytes_of(bytes, good.size);
            bytes[i / 8] ^= (uint8_t)(1u << i % 8);
            if (!answer && request_take(&f, changed, 2, &r) == 0) {
                cr_assert(r.from.node >= 0 && r.from.node != 2 && r.epoch >= 0 && r.position >= 0 &&
                          r.id.epoch >= 0 && r.id.offset > 0 && r.bytes_max > 0);
            } else if (answer && answer_take(&f, &some, changed, &out) == 0 && !out.error) {
                cr_assert(out.position == 1000 && out.epoch >= 0 && out.leader >= RAFT_NOBODY &&
                          (int64_t)out.piece.size <= out.size - out.position);
            }
            bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        }
    }
    close_(&f);
}
