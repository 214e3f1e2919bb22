/* SPDX-License-Identifier: Apache-2.0 */

/* The work of compaction on bytes: what of a batch stays, byte by byte. */
#include "log/clean_batch.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { ROOM = 1 << 20, BATCH_MAX = 1 << 18, NOW = 1000000, RETENTION = 500 };

static const uint8_t SECRET[16] = {7};

struct stretch { /* of batches, one behind the other */
    struct memory memory;
    uint8_t *data;
    size_t size;
    int64_t end_offset;
};

static void stretch_init(struct stretch *s)
{
    *s = (struct stretch){.data = malloc(ROOM)};
    memory_init(&s->memory, 64 << 20);
}

static void stretch_deinit(struct stretch *s)
{
    free(s->data);
    memory_drop(&s->memory);
}

struct wish {
    const char *keys[4]; /* "-" for none; NULL ends */
    const char *values[4];
    int64_t timestamp; /* of the first, the others 1 ms later each */
    uint16_t attributes;
    enum codec codec;
};

static struct wire_bytes text(const char *t)
{
    return (struct wire_bytes){(const uint8_t *)t, t ? (int32_t)strlen(t) : -1};
}

/* Returns where the batch begins. */
static size_t add(struct stretch *s, const struct wish *w)
{
    struct batch_builder b;
    struct batch_options options = batch_options_default();
    struct bytes out;
    int32_t count = 0;
    batch_builder_init(&b, &s->memory, ROOM);
    for (; count < 4 && w->keys[count]; count++) {
        bool none = strcmp(w->keys[count], "-") == 0;
        struct record_input r = {.timestamp = (int64_t)((uint64_t)w->timestamp + (uint64_t)count),
                                 .key = text(none ? NULL : w->keys[count]),
                                 .value = text(w->values[count])};
        cr_assert_eq(batch_append(&b, &r), 0);
    }
    options.codec = w->codec;
    options.attributes = w->attributes & (BATCH_TRANSACTIONAL | BATCH_CONTROL);
    options.base_offset = s->end_offset;
    options.leader_epoch = 3;
    options.producer_id = 9;
    options.producer_epoch = 1;
    options.base_sequence = (int32_t)s->end_offset;
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    size_t at = s->size;
    memcpy(s->data + at, out.data, out.size);
    if (w->attributes & BATCH_APPEND_TIME) {
        batch_set_append_time(s->data + at, out.size, 777);
    }
    s->size += out.size;
    s->end_offset += count;
    batch_builder_deinit(&b);
    return at;
}

static struct clean_work work_of(const struct stretch *s, struct clean_map *map)
{
    return (struct clean_work){.map = map,
                               .end_offset = s->end_offset,
                               .batch_bytes_max = BATCH_MAX,
                               .range_end =
                                   s->end_offset + 1, /* the last batch is one like others */
                               .now_ms = NOW,
                               .delete_retention_ms = RETENTION,
                               .tombstones_from = INT64_MAX};
}

/* Both walks, in pieces of at most `piece` bytes in and `room` bytes out. 0, or the error. */
static int clean(struct stretch *s, size_t piece, size_t room, struct stretch *out,
                 struct clean_work *told)
{
    struct clean_map map;
    cr_assert_eq(clean_map_init(&map, &s->memory, 1 << 16, 1000, SECRET), 0);
    struct clean_work w = work_of(s, &map);
    uint8_t *buffer = malloc(ROOM);
    if (told) {
        w.kept_last = told->kept_last;
        w.kept_count = told->kept_count;
        w.range_end = told->range_end ? told->range_end : w.range_end;
        w.now_ms = told->now_ms ? told->now_ms : w.now_ms;
        w.gaps = told->gaps;
    }
    for (unsigned walk = CLEAN_TELL; walk <= CLEAN_COPY && !w.error; walk++) {
        w.walk = (enum clean_walk)walk;
        w.expected_offset = 0;
        w.out = buffer;
        w.out_capacity = room;
        for (size_t at = 0, given = piece; at < s->size && !w.error;) {
            w.data = s->data + at;
            w.size = s->size - at < given ? s->size - at : given;
            clean_work_run(&w);
            at += w.consumed;
            if (walk == CLEAN_COPY && w.out_size > 0) {
                memcpy(out->data + out->size, buffer, w.out_size);
                out->size += w.out_size;
            }
            given = w.data_needed > given ? w.data_needed : given;
            w.out_capacity = w.out_needed > w.out_capacity ? w.out_needed : w.out_capacity;
        }
    }
    free(buffer);
    clean_map_deinit(&map, &s->memory);
    if (told) {
        *told = w;
    }
    return w.error;
}

static struct batch_header header(const struct stretch *s, size_t at)
{
    struct batch_header h;
    cr_assert_eq(batch_header_read(&h, s->data + at, s->size - at), 0);
    cr_assert_eq(batch_check_crc(&h, s->data + at), 0);
    cr_assert_eq(batch_check_rules(&h, BATCH_FROM_LOG), 0);
    return h;
}

static struct record record_at(const struct stretch *s, size_t at, unsigned index)
{
    struct batch_header h = header(s, at);
    struct record_reader reader;
    struct record r;
    record_reader_init(&reader, &h,
                       bytes_of(s->data + at + BATCH_HEADER_SIZE, h.size - BATCH_HEADER_SIZE));
    for (unsigned i = 0; i <= index; i++) {
        cr_assert_eq(record_next(&reader, &r), 1);
    }
    return r;
}

Test(clean_batch, a_batch_from_which_nothing_goes_is_not_changed)
{
    struct stretch s, out;
    stretch_init(&s);
    stretch_init(&out);
    add(&s, &(struct wish){.keys = {"a", "b"}, .values = {"1", "2"}, .codec = CODEC_NONE});
    add(&s, &(struct wish){.keys = {"c"}, .values = {"3"}, .attributes = BATCH_APPEND_TIME});
    cr_assert_eq(clean(&s, ROOM, ROOM, &out, NULL), 0);
    cr_assert(out.size == s.size && memcmp(out.data, s.data, s.size) == 0);
    stretch_deinit(&s);
    stretch_deinit(&out);
}

Test(clean_batch, what_stays_keeps_its_place)
{
    struct stretch s, out;
    stretch_init(&s);
    stretch_init(&out);
    add(&s, &(struct wish){.keys = {"a", "b", "c"}, .values = {"1", "2", "3"}, .timestamp = 100});
    size_t second = add(&s, &(struct wish){.keys = {"a", "c"}, .values = {"4", "5"}});
    cr_assert_eq(clean(&s, ROOM, ROOM, &out, NULL), 0);
    struct batch_header h = header(&out, 0), old = header(&s, 0);
    cr_assert(h.base_offset == 0 && h.last_offset_delta == 2 && h.record_count == 1 &&
              h.producer_id == 9 && h.producer_epoch == 1 && h.base_sequence == 0 &&
              h.leader_epoch == 3 && h.attributes == old.attributes && h.base_timestamp == 100 &&
              h.max_timestamp == 101);
    struct record r = record_at(&out, 0, 0);
    cr_assert(r.offset == 1 && r.timestamp == 101 && r.key.data[0] == 'b');
    cr_assert_eq(out.size, h.size + (s.size - second));
    cr_assert_eq(memcmp(out.data + h.size, s.data + second, s.size - second), 0);
    stretch_deinit(&s);
    stretch_deinit(&out);
}

/* All of them carry the batch's time, which must not follow what has gone. */
Test(clean_batch, append_time_stays)
{
    struct stretch s, out;
    stretch_init(&s);
    stretch_init(&out);
    add(&s,
        &(struct wish){.keys = {"a", "b"}, .values = {"1", NULL}, .attributes = BATCH_APPEND_TIME});
    add(&s, &(struct wish){.keys = {"a"}, .values = {"2"}});
    cr_assert_eq(clean(&s, ROOM, ROOM, &out, NULL), 0);
    struct batch_header h = header(&out, 0);
    cr_assert(h.max_timestamp == 777 && h.base_timestamp == NOW + RETENTION &&
              (h.attributes & BATCH_APPEND_TIME) && (h.attributes & BATCH_DELETE_HORIZON));
    cr_assert_eq(record_at(&out, 0, 0).timestamp, 777);
    stretch_deinit(&s);
    stretch_deinit(&out);
}

/* The horizon stands where the base of the times stood; the times are what they were. */
Test(clean_batch, a_horizon_moves_no_time)
{
    static const int64_t times[] = {0, -1, NOW, 1700000000000, INT64_MAX - 5, INT64_MIN + 5};
    for (unsigned i = 0; i < array_size(times); i++) {
        struct stretch s, out, later;
        stretch_init(&s);
        stretch_init(&out);
        stretch_init(&later);
        add(&s, &(struct wish){
                    .keys = {"a", "b", "c"}, .values = {"1", NULL, "3"}, .timestamp = times[i]});
        cr_assert_eq(clean(&s, ROOM, ROOM, &out, NULL), 0);
        struct batch_header h = header(&out, 0);
        cr_assert(h.base_timestamp == NOW + RETENTION && (h.attributes & BATCH_DELETE_HORIZON) &&
                  h.record_count == 3);
        for (unsigned k = 0; k < 3; k++) {
            struct record was = record_at(&s, 0, k), is = record_at(&out, 0, k);
            cr_assert(was.timestamp == is.timestamp && was.offset == is.offset &&
                      was.value.size == is.value.size);
        }
        out.end_offset = s.end_offset;
        struct clean_work before = {.now_ms = NOW + RETENTION - 1},
                          after = {.now_ms = NOW + RETENTION};
        cr_assert_eq(clean(&out, ROOM, ROOM, &later, &before), 0);
        cr_assert_eq(header(&later, 0).record_count, 3, "the tombstone goes too early");
        later.size = 0;
        cr_assert_eq(clean(&out, ROOM, ROOM, &later, &after), 0);
        cr_assert_eq(header(&later, 0).record_count, 2, "the tombstone stays");
        cr_assert_eq(record_at(&later, 0, 1).timestamp, record_at(&s, 0, 2).timestamp);
        stretch_deinit(&s);
        stretch_deinit(&out);
        stretch_deinit(&later);
    }
}

Test(clean_batch, empty_batches_where_they_are_needed)
{
    struct stretch s, out;
    stretch_init(&s);
    stretch_init(&out);
    for (unsigned i = 0; i < 4; i++) { /* offsets 0 to 3; the last one supersedes all */
        add(&s, &(struct wish){.keys = {"a"}, .values = {"1"}, .codec = CODEC_GZIP});
    }
    int64_t kept[] = {1};
    struct clean_work w = {.kept_last = kept, .kept_count = 1};
    cr_assert_eq(clean(&s, ROOM, ROOM, &out, &w), 0);
    struct batch_header h = header(&out, 0);
    cr_assert(h.base_offset == 1 && h.record_count == 0 && h.size == BATCH_HEADER_SIZE &&
              h.base_sequence == 1 && batch_codec(&h) == CODEC_NONE && h.max_timestamp == 0);
    cr_assert_eq(header(&out, h.size).base_offset, 3);
    struct stretch again;
    stretch_init(&again);
    out.end_offset = s.end_offset;
    struct clean_work none = {.gaps = true};
    cr_assert_eq(clean(&out, ROOM, ROOM, &again, &none), 0); /* the producer has gone on */
    cr_assert_eq(header(&again, 0).base_offset, 3);
    stretch_deinit(&s);
    stretch_deinit(&out);
    stretch_deinit(&again);
}

Test(clean_batch, control_batches_and_records_without_key)
{
    struct stretch s, out;
    stretch_init(&s);
    stretch_init(&out);
    add(&s, &(struct wish){.keys = {"a"}, .values = {"marker"}, .attributes = BATCH_CONTROL});
    add(&s, &(struct wish){.keys = {"-", "a"}, .values = {"1", "2"}});
    struct clean_work w = {0};
    cr_assert_eq(clean(&s, ROOM, ROOM, &out, &w), 0);
    cr_assert_eq(w.without_key, 1);
    struct batch_header h = header(&out, 0);
    cr_assert(h.base_offset == 0 && (h.attributes & BATCH_CONTROL) && h.record_count == 1);
    cr_assert_eq(header(&out, h.size).record_count, 1);
    stretch_deinit(&s);
    stretch_deinit(&out);
}

/* Damage, and what cannot be judged, ends the walk at its batch. */
Test(clean_batch, what_must_not_be_copied)
{
    static const struct {
        size_t at; /* of the second batch */
        uint8_t flip;
        bool seal;
        int error;
    } cases[] = {
        {70, 1, false, ERR_DAMAGED},   /* a record */
        {7, 1, false, ERR_DAMAGED},    /* base offset: outside the sum */
        {16, 1, false, ERR_DAMAGED},   /* magic */
        {8, 0x40, false, ERR_DAMAGED}, /* length */
        {23, 0x40, true, ERR_DAMAGED}, /* last offset delta */
        {22, BATCH_TRANSACTIONAL, true, ERR_INVALID_RECORD},
        {22, 7, true, ERR_INVALID_RECORD},          /* codec */
        {22, CODEC_ZSTD, true, ERR_INVALID_RECORD}, /* not in that codec */
        {61, 0x80, true, ERR_INVALID_RECORD},       /* the first record's length */
    };
    for (unsigned i = 0; i < array_size(cases); i++) {
        struct stretch s, out;
        stretch_init(&s);
        stretch_init(&out);
        add(&s, &(struct wish){.keys = {"a"}, .values = {"1"}});
        size_t at = add(&s, &(struct wish){.keys = {"a", "b"}, .values = {"1", "22"}});
        s.data[at + cases[i].at] ^= cases[i].flip;
        if (cases[i].seal) {
            put_be32(s.data + at + 17,
                     crc32c(0, s.data + at + BATCH_CRC_FROM, s.size - at - BATCH_CRC_FROM));
        }
        struct clean_work w = {0};
        cr_assert_eq(clean(&s, ROOM, ROOM, &out, &w), cases[i].error, "case %u: %s", i,
                     error_name(w.error));
        cr_assert_not_null(w.what);
        cr_assert_eq(out.size, 0);
        stretch_deinit(&s);
        stretch_deinit(&out);
    }
}

/* The result does not depend on how the bytes come and go. */
Test(clean_batch, in_pieces_of_any_size)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "ff", "ggg", "-"};
    struct prng random = prng_of(1);
    for (unsigned run = 0; run < 60; run++) {
        struct stretch s, whole, pieces;
        stretch_init(&s);
        stretch_init(&whole);
        stretch_init(&pieces);
        char values[4][200];
        for (unsigned n = 0; n < 40; n++) {
            struct wish w = {.timestamp = (int64_t)prng_below(&random, 2 * NOW),
                             .codec = (enum codec)prng_below(&random, CODEC_COUNT)};
            unsigned count = (unsigned)prng_between(&random, 1, 4);
            for (unsigned k = 0; k < count; k++) {
                size_t size = prng_below(&random, sizeof values[k]);
                memset(values[k], 'v', size);
                values[k][size] = 0;
                w.keys[k] = keys[prng_below(&random, array_size(keys))];
                w.values[k] = prng_chance(&random, 1, 4) ? NULL : values[k];
            }
            add(&s, &w);
        }
        cr_assert_eq(clean(&s, ROOM, ROOM, &whole, NULL), 0);
        cr_assert_lt(whole.size, s.size);
        cr_assert_eq(clean(&s, prng_between(&random, 1, 2000), prng_between(&random, 0, 1000),
                           &pieces, NULL),
                     0);
        cr_assert(pieces.size == whole.size && memcmp(pieces.data, whole.data, whole.size) == 0,
                  "run %u", run);
        stretch_deinit(&s);
        stretch_deinit(&whole);
        stretch_deinit(&pieces);
    }
}
