/* SPDX-License-Identifier: Apache-2.0 */

/* Every message in every version: what is encoded decodes to the same value, straight code and the
 * interpreter agree, and no bytes whatever break a decoder. */
#include "wire/random.h"
#include "wire/wire.h"

#include <stdlib.h>

#include <criterion/criterion.h>

enum {
    ROUNDS = 40,
    MUTATIONS = 1000,
    BYTES_MAX = 1 << 20,
    ARENA_MAX = 16 << 20,
};

struct bench {
    struct memory memory;
    struct arena arena;
    struct prng prng;
};

static void bench_init(struct bench *b, uint64_t seed)
{
    memory_init(&b->memory, 256 << 20);
    arena_init(&b->arena, &b->memory, ARENA_MAX);
    b->prng = prng_of(seed);
}

static void bench_deinit(struct bench *b)
{
    arena_deinit(&b->arena);
    cr_assert_eq(b->memory.used_bytes, 0u, "%zu bytes leaked", b->memory.used_bytes);
    memory_drop(&b->memory);
}

/* The writer's bytes and slices as one block of malloc, so that the sanitizer sees its end. */
static uint8_t *flatten(const struct wire_writer *w, size_t *size)
{
    *size = wire_writer_total(w);
    uint8_t *data = malloc(*size ? *size : 1);
    size_t at = 0;
    struct iovec iovecs[3];
    int count;
    while ((count = wire_writer_iovecs(w, at, iovecs, 3)) > 0) {
        for (int i = 0; i < count; i++) {
            memcpy(data + at, iovecs[i].iov_base, iovecs[i].iov_len);
            at += iovecs[i].iov_len;
        }
    }
    cr_assert_eq(at, *size);
    return data;
}

static uint8_t *encode(struct bench *b, const struct wire_message *message, const void *in,
                       int version, bool straight, size_t *size)
{
    struct wire_writer w;
    wire_writer_init(&w, &b->memory, BYTES_MAX);
    int error = straight ? message->encode(in, &w, version)
                         : wire_encode_by_table(message, in, &w, version);
    cr_assert_eq(error, 0, "%s v%d does not encode: %s", message->name, version, error_name(error));
    uint8_t *data = flatten(&w, size);
    wire_writer_deinit(&w);
    return data;
}

static int decode(struct bench *b, const struct wire_message *message, void *out,
                  const uint8_t *data, size_t size, int version, bool straight, size_t *used)
{
    struct reader r = reader_of(data, size);
    int error = straight ? message->decode(out, &r, version, &b->arena)
                         : wire_decode_by_table(message, out, &r, version, &b->arena);
    *used = r.position;
    return error;
}

static void *room_for(struct bench *b, const struct wire_message *message)
{
    void *room = arena_alloc(&b->arena, message->body->size);
    cr_assert_not_null(room);
    return room;
}

static void round_trip(struct bench *b, const struct wire_message *message, int version)
{
    const char *name = message->name;
    void *value = room_for(b, message), *back = room_for(b, message);
    random_message(message, version, value, &b->prng, &b->arena);
    size_t size, again_size, used;
    uint8_t *data = encode(b, message, value, version, false, &size);
    cr_assert_eq(decode(b, message, back, data, size, version, false, &used), 0, "%s v%d", name,
                 version);
    cr_assert_eq(used, size, "%s v%d: %zu of %zu bytes used", name, version, used, size);
    cr_assert(message_equal(message, value, back), "%s v%d comes back changed", name, version);
    uint8_t *again = encode(b, message, back, version, false, &again_size);
    cr_assert_eq(again_size, size, "%s v%d", name, version);
    cr_assert_arr_eq(again, data, size, "%s v%d encodes differently the second time", name,
                     version);
    free(again);
    if (message->encode) {
        again = encode(b, message, value, version, true, &again_size);
        cr_assert_eq(again_size, size, "%s v%d straight", name, version);
        cr_assert_arr_eq(again, data, size, "%s v%d: straight code writes other bytes", name,
                         version);
        cr_assert_eq(decode(b, message, back, data, size, version, true, &used), 0);
        cr_assert_eq(used, size);
        cr_assert(message_equal(message, value, back), "%s v%d straight", name, version);
        free(again);
    }
    free(data);
}

Test(codec, every_message_comes_back_in_every_version)
{
    int trips = 0;
    for (int i = 0; i < wire_message_count; i++) {
        const struct wire_message *m = wire_messages[i];
        for (int v = m->versions.min; v <= m->versions.max; v++) {
            for (int round = 0; round < ROUNDS; round++, trips++) {
                struct bench b;
                bench_init(&b, (uint64_t)(i * 1000 + v) * ROUNDS + (uint64_t)round);
                round_trip(&b, wire_messages[i], v);
                bench_deinit(&b);
            }
        }
    }
    cr_log_info("%d round trips", trips);
    cr_assert_gt(trips, 5000);
}

Test(codec, a_shortened_message_is_malformed)
{
    for (int i = 0; i < wire_message_count; i++) {
        const struct wire_message *message = wire_messages[i];
        for (int v = message->versions.min; v <= message->versions.max; v++) {
            struct bench b;
            bench_init(&b, (uint64_t)(i * 100 + v));
            void *value = room_for(&b, message);
            random_message(message, v, value, &b.prng, &b.arena);
            size_t size, used;
            uint8_t *data = encode(&b, message, value, v, false, &size);
            for (size_t cut = 0; cut < size; cut++) {
                uint8_t *part = malloc(cut ? cut : 1);
                memcpy(part, data, cut);
                for (int straight = 0; straight <= (message->decode != NULL); straight++) {
                    int error = decode(&b, message, value, part, cut, v, straight, &used);
                    cr_assert_eq(error, ERR_MALFORMED, "%s v%d cut to %zu of %zu gives %d",
                                 message->name, v, cut, size, error);
                    cr_assert_leq(used, cut);
                }
                free(part);
            }
            free(data);
            bench_deinit(&b);
        }
    }
}

static void mutate(struct prng *prng, uint8_t *data, size_t size)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
    for (uint64_t times = prng_between(prng, 1, 4); times > 0 && size > 0; times--) {
        size_t at = prng_below(prng, size);
        data[at] = prng_chance(prng, 1, 2) ? edges[prng_below(prng, array_size(edges))]
                                           : (uint8_t)prng_next(prng);
    }
}

/* What decodes also encodes, and from there on nothing changes. */
static void fixpoint(struct bench *b, const struct wire_message *message, const void *value,
                     int version)
{
    size_t size, again_size, used;
    void *back = room_for(b, message);
    uint8_t *data = encode(b, message, value, version, false, &size);
    cr_assert_eq(decode(b, message, back, data, size, version, false, &used), 0);
    uint8_t *again = encode(b, message, back, version, false, &again_size);
    cr_assert_eq(again_size, size);
    cr_assert_arr_eq(again, data, size, "%s v%d", message->name, version);
    free(again);
    free(data);
}

static bool mutation(const struct wire_message *message, int version, uint64_t seed)
{
    struct bench b;
    bench_init(&b, seed);
    void *value = room_for(&b, message), *other = room_for(&b, message);
    random_message(message, version, value, &b.prng, &b.arena);
    size_t size, used, straight_used;
    uint8_t *data = encode(&b, message, value, version, false, &size);
    mutate(&b.prng, data, size);
    int error = decode(&b, message, value, data, size, version, false, &used);
    cr_assert(error == 0 || error == ERR_MALFORMED || error == ERR_NO_MEMORY);
    if (message->decode) {
        int straight = decode(&b, message, other, data, size, version, true, &straight_used);
        cr_assert_eq(straight, error, "%s v%d: %d and straight %d", message->name, version, error,
                     straight);
        cr_assert(error || straight_used == used);
        cr_assert(message_equal(message, value, other));
    }
    if (!error) {
        fixpoint(&b, message, value, version);
    }
    free(data);
    bench_deinit(&b);
    return error == 0;
}

Test(codec, changed_bytes_give_a_value_or_an_error)
{
    int good = 0, all = 0;
    for (int i = 0; i < wire_message_count; i++) {
        const struct wire_message *m = wire_messages[i];
        for (int v = m->versions.min; v <= m->versions.max; v++) {
            for (int n = 0; n < MUTATIONS; n++, all++) {
                good += mutation(wire_messages[i], v, (uint64_t)((i * 100 + v) * MUTATIONS + n));
            }
        }
    }
    cr_log_info("%d mutations, %d still decode", all, good);
    cr_assert_gt(good, all / 10);
    cr_assert_lt(good, all);
}

Test(codec, a_count_is_held_against_the_bytes_that_are_left)
{
    struct bench b;
    bench_init(&b, 1);
    /* Metadata v1: 2^31 - 1 topics in four bytes; v9: 2^32 - 2 of them. */
    static const uint8_t plain[] = {0x7f, 0xff, 0xff, 0xff, 0, 1, 'a', 0, 0, 0, 0};
    static const uint8_t compact[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 2, 'a', 0, 0, 0, 0};
    struct metadata_request request;
    struct reader r = reader_of(plain, sizeof plain);
    cr_assert_eq(metadata_request_decode(&request, &r, 1, &b.arena), ERR_MALFORMED);
    r = reader_of(compact, sizeof compact);
    cr_assert_eq(metadata_request_decode(&request, &r, 9, &b.arena), ERR_MALFORMED);
    cr_assert_eq(b.memory.used_bytes, 0u, "nothing is allocated for a count that cannot be");
    cr_assert_eq(request.topics_count, 0);
    cr_assert(request.allow_auto_topic_creation, "a failed decode leaves the defaults");
    bench_deinit(&b);
}

Test(codec, the_arena_bounds_what_a_message_becomes)
{
    struct bench b;
    bench_init(&b, 1);
    struct arena small;
    arena_init(&small, &b.memory, 1000);
    uint8_t data[4 + 4 * 1000] = {0, 0, 3, 0xe8};
    struct metadata_request request;
    struct reader r = reader_of(data, sizeof data);
    cr_assert_eq(metadata_request_decode(&request, &r, 0, &small), ERR_NO_MEMORY);
    r = reader_of(data, sizeof data);
    cr_assert_eq(metadata_request_decode(&request, &r, 0, &b.arena), 0);
    cr_assert_eq(request.topics_count, 1000);
    arena_deinit(&small);
    bench_deinit(&b);
}

struct tag_case {
    const char *what;
    uint8_t data[16];
    size_t size;
    int error;
};

static void check_tags(const struct tag_case *c, const struct wire_message *message, int version)
{
    struct bench b;
    bench_init(&b, 1);
    void *value = arena_alloc(&b.arena, message->body->size);
    struct reader r = reader_of(c->data, c->size);
    int error = wire_decode_by_table(message, value, &r, version, &b.arena);
    cr_assert_eq(error, c->error, "%s: %s", c->what, error_name(error));
    cr_assert(error || reader_left(&r) == 0, "%s", c->what);
    bench_deinit(&b);
}

Test(codec, unknown_tags_are_skipped_in_rising_order)
{
    /* DescribeCluster v2: three bytes, then tags. */
    static const struct tag_case cases[] = {
        {"no tags", {0, 1, 1, 0}, 4, 0},
        {"unknown tag", {0, 1, 1, 1, 9, 2, 7, 7}, 8, 0},
        {"two tags", {0, 1, 1, 2, 8, 0, 9, 0}, 8, 0},
        {"falling tags", {0, 1, 1, 2, 9, 0, 8, 0}, 8, ERR_MALFORMED},
        {"the same tag twice", {0, 1, 1, 2, 9, 0, 9, 0}, 8, ERR_MALFORMED},
        {"a tag longer than the rest", {0, 1, 1, 1, 9, 3, 7, 7}, 8, ERR_MALFORMED},
        {"more tags than bytes", {0, 1, 1, 200, 1, 9, 0}, 7, ERR_MALFORMED},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        check_tags(&cases[i], &describe_cluster_request_message, 2);
    }
}

Test(codec, a_known_tag_is_used_up)
{
    /* ApiVersions v3: error, no keys, throttle, then zk_migration_ready. */
    static const struct tag_case cases[] = {
        {"fits", {0, 0, 1, 0, 0, 0, 0, 1, 3, 1, 1}, 11, 0},
        {"bytes left over", {0, 0, 1, 0, 0, 0, 0, 1, 3, 2, 1, 1}, 12, ERR_MALFORMED},
        {"too short", {0, 0, 1, 0, 0, 0, 0, 1, 3, 0}, 10, ERR_MALFORMED},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        check_tags(&cases[i], &api_versions_response_message, 3);
    }
}

Test(codec, a_value_that_the_version_cannot_say_is_refused)
{
    struct bench b;
    bench_init(&b, 1);
    struct wire_writer w;
    wire_writer_init(&w, &b.memory, 4096);
    wire_put_u8(&w, 42);

    struct metadata_request metadata;
    metadata_request_init(&metadata);
    metadata.allow_auto_topic_creation = false;
    cr_assert_eq(metadata_request_encode(&metadata, &w, 3), ERR_UNSUPPORTED_VERSION);
    cr_assert_eq(metadata_request_encode(&metadata, &w, 14), ERR_UNSUPPORTED_VERSION);
    metadata.allow_auto_topic_creation = true;
    metadata.topics_count = -1;
    cr_assert_eq(metadata_request_encode(&metadata, &w, 0), ERR_INVALID_ARGUMENT, "no null in v0");
    cr_assert_eq(w.size, 1u, "a failed encode leaves nothing behind");

    struct fetch_request fetch;
    fetch_request_init(&fetch);
    fetch.replica_state.replica_id = 3;
    for (int v = 4; v <= 18; v++) {
        int error = fetch_request_encode(&fetch, &w, v);
        int interpreted = wire_encode_by_table(&fetch_request_message, &fetch, &w, v);
        cr_assert_eq(error, v < 15 ? ERR_UNSUPPORTED_VERSION : 0, "v%d", v);
        cr_assert_eq(interpreted, error, "v%d", v);
    }
    struct list_offsets_response_partitions ignorable;
    list_offsets_response_partitions_init(&ignorable);
    cr_assert_eq(ignorable.timestamp, -1);
    cr_assert_eq(ignorable.leader_epoch, -1);
    wire_writer_deinit(&w);
    bench_deinit(&b);
}

Test(codec, a_failed_encode_leaves_the_slices_with_the_caller)
{
    struct bench b;
    bench_init(&b, 1);
    static uint8_t bytes[] = {1, 2, 3};
    struct buffer buffer;
    buffer_init(&buffer, bytes, sizeof bytes, NULL);
    struct slice slice = {bytes, sizeof bytes, &buffer};
    struct fetch_response_partitions partitions[2];
    struct fetch_response_responses topic;
    struct fetch_response response;
    fetch_response_init(&response);
    fetch_response_responses_init(&topic);
    fetch_response_partitions_init(&partitions[0]);
    fetch_response_partitions_init(&partitions[1]);
    response.responses = &topic;
    response.responses_count = 1;
    topic.topic = wire_string_of("t");
    topic.partitions = partitions;
    topic.partitions_count = 2;
    partitions[0].records = (struct wire_records){&slice, 1, 3, false};
    partitions[1].preferred_read_replica = 7;
    struct wire_writer w;
    wire_writer_init(&w, &b.memory, 4096);
    cr_assert_eq(fetch_response_encode(&response, &w, 4), ERR_UNSUPPORTED_VERSION);
    cr_assert_eq(w.size, 0u);
    cr_assert_eq(w.splice_count, 0u);
    cr_assert_eq(buffer.references, 1u);
    cr_assert_eq(fetch_response_encode(&response, &w, 11), 0);
    cr_assert_eq(w.splice_count, 1u, "and a good one has taken them");
    cr_assert_eq(w.spliced_bytes, 3u);
    buffer_take(&buffer);
    wire_writer_deinit(&w);
    cr_assert_eq(buffer.references, 1u);
    bench_deinit(&b);
}

Test(codec, every_allocation_may_fail)
{
    struct bench b;
    bench_init(&b, 77);
    const struct wire_message *message = &fetch_response_message;
    void *value = room_for(&b, message), *back = room_for(&b, message);
    random_message(message, 16, value, &b.prng, &b.arena);
    size_t size;
    uint8_t *data = encode(&b, message, value, 16, false, &size);
    int failures = 0;
    for (size_t limit = 0;; limit += 16) {
        int errors[2];
        for (int straight = 0; straight < 2; straight++) {
            struct arena arena;
            arena_init(&arena, &b.memory, limit);
            struct reader r = reader_of(data, size);
            errors[straight] = straight ? message->decode(back, &r, 16, &arena)
                                        : wire_decode_by_table(message, back, &r, 16, &arena);
            arena_deinit(&arena);
        }
        int error = errors[0];
        cr_assert_eq(errors[1], error);
        if (!error) {
            break;
        }
        cr_assert_eq(error, ERR_NO_MEMORY);
        failures++;
    }
    cr_assert_gt(failures, 2);
    for (size_t limit = 1; limit < size; limit++) {
        struct wire_writer w;
        wire_writer_init(&w, &b.memory, limit);
        int error = wire_encode_by_table(message, value, &w, 16);
        cr_assert(error == 0 || error == ERR_TOO_LARGE);
        cr_assert_eq(wire_writer_total(&w), error ? 0 : size);
        wire_writer_deinit(&w);
    }
    free(data);
    bench_deinit(&b);
}
