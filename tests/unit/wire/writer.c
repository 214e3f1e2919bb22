/* SPDX-License-Identifier: Apache-2.0 */

/* The writer keeps the order of bytes and slices, every reference, and its limit. */
#include "wire/api.h"
#include "wire/messages.h"
#include "wire/varint.h"
#include "wire/writer.h"

#include <criterion/criterion.h>

enum { BYTES = 40 };

struct fixture {
    struct memory memory;
    struct wire_writer w;
    struct buffer buffer;
    uint8_t data[BYTES];
};

static void fixture_init(struct fixture *f, size_t limit)
{
    memory_init(&f->memory, 1 << 20);
    wire_writer_init(&f->w, &f->memory, limit);
    for (int i = 0; i < BYTES; i++) {
        f->data[i] = (uint8_t)i;
    }
    buffer_init(&f->buffer, f->data, BYTES, NULL);
}

static bool add_slice(struct fixture *f, size_t from, size_t size)
{
    return wire_writer_splice(&f->w, (struct slice){f->data + from, size, buffer_take(&f->buffer)});
}

Test(writer, iovecs_walk_bytes_and_slices_from_any_offset)
{
    struct fixture f;
    fixture_init(&f, 1000);
    uint8_t expected[64];
    size_t size = 0;
    /* slice, bytes, slice, empty slice, slice, bytes: adjacent slices and both ends. */
    cr_assert(add_slice(&f, 0, 3));
    wire_put(&f.w, "abcd", 4);
    cr_assert(add_slice(&f, 10, 5));
    cr_assert(add_slice(&f, 15, 0));
    cr_assert(add_slice(&f, 20, 1));
    wire_put_be16(&f.w, 0x7879);
    memcpy(expected + size, f.data, 3), size += 3;
    memcpy(expected + size, "abcd", 4), size += 4;
    memcpy(expected + size, f.data + 10, 5), size += 5;
    expected[size++] = 20;
    memcpy(expected + size, "xy", 2), size += 2;
    cr_assert_eq(wire_writer_total(&f.w), size);
    for (int room = 1; room <= 6; room++) {
        for (size_t start = 0; start <= size; start++) {
            struct iovec iovecs[6];
            int count = wire_writer_iovecs(&f.w, start, iovecs, room);
            cr_assert_leq(count, room);
            cr_assert_eq(count == 0, start == size);
            size_t at = start;
            for (int i = 0; i < count; i++) {
                cr_assert_gt(iovecs[i].iov_len, 0u);
                cr_assert_arr_eq(iovecs[i].iov_base, expected + at, iovecs[i].iov_len,
                                 "from %zu, piece %d", start, i);
                at += iovecs[i].iov_len;
            }
            cr_assert(count == room || at == size);
        }
    }
    cr_assert_eq(f.buffer.references, 5u);
    wire_writer_deinit(&f.w);
    cr_assert_eq(f.buffer.references, 1u, "every reference goes back once");
    cr_assert_eq(f.memory.used_bytes, 0u);
}

Test(writer, an_empty_writer_has_nothing_to_send)
{
    struct fixture f;
    fixture_init(&f, 1000);
    struct iovec iovec;
    cr_assert_eq(wire_writer_iovecs(&f.w, 0, &iovec, 1), 0);
    cr_assert_not_null(wire_writer_room(&f.w, 0), "no room is room too: NULL means failure");
    cr_assert_eq(wire_writer_iovecs(&f.w, 0, &iovec, 1), 0);
    wire_writer_deinit(&f.w);
    wire_writer_deinit(&f.w);
    wire_writer_deinit(NULL);
}

Test(writer, a_frame_counts_slices_and_bytes_but_not_itself)
{
    struct fixture f;
    fixture_init(&f, 1000);
    for (int round = 0; round < 2; round++) {
        wire_frame_begin(&f.w);
        wire_put(&f.w, "hello", 5);
        cr_assert(add_slice(&f, 0, 30));
        wire_put_u8(&f.w, 1);
        cr_assert_eq(wire_frame_end(&f.w), 0);
        cr_assert_eq(get_be32(f.w.data), 36u);
        cr_assert_eq(f.buffer.references, 2u);
        wire_writer_reset(&f.w);
        cr_assert_eq(f.buffer.references, 1u);
    }
    wire_writer_deinit(&f.w);
}

Test(writer, a_frame_beyond_what_its_size_can_say_is_refused)
{
    struct fixture f;
    fixture_init(&f, 1000);
    wire_frame_begin(&f.w);
    /* The bytes are never touched: only sizes are added up. */
    for (int i = 0; i < 2; i++) {
        cr_assert(wire_writer_splice(&f.w, (struct slice){f.data, 1u << 30, NULL}));
    }
    cr_assert_eq(wire_frame_end(&f.w), ERR_TOO_LARGE);
    wire_writer_deinit(&f.w);
}

Test(writer, the_limit_and_the_budget_latch)
{
    struct fixture f;
    fixture_init(&f, 700);
    uint8_t block[600] = {0};
    wire_put(&f.w, block, 600);
    cr_assert_eq(f.w.error, 0);
    wire_put(&f.w, block, 101);
    cr_assert_eq(f.w.error, ERR_TOO_LARGE);
    cr_assert_eq(f.w.size, 600u, "nothing is written in part");
    wire_put_u8(&f.w, 1);
    cr_assert_not(wire_writer_splice(&f.w, (struct slice){f.data, 1, &f.buffer}));
    cr_assert_eq(f.buffer.references, 1u, "a refused slice stays with the caller");
    cr_assert_eq(wire_frame_end(&f.w), ERR_TOO_LARGE);
    wire_writer_reset(&f.w);
    cr_assert_not_null(wire_writer_room(&f.w, 700), "the limit itself is reached");
    cr_assert_leq(f.w.capacity, 700u);
    wire_writer_deinit(&f.w);

    struct memory tight;
    memory_init(&tight, 100);
    wire_writer_init(&f.w, &tight, 1000);
    wire_put_u8(&f.w, 1);
    cr_assert_eq(f.w.error, ERR_NO_MEMORY);
    wire_writer_deinit(&f.w);
}

Test(varint, there_and_back)
{
    static const int64_t values[] = {0,     -1,        1,         63,        -64,       64,
                                     8191,  8192,      INT32_MAX, INT32_MIN, 1LL << 40, INT64_MAX,
                                     -8193, INT64_MIN, 127,       128};
    for (size_t i = 0; i < array_size(values); i++) {
        uint8_t bytes[VARLONG_SIZE_MAX];
        size_t size = varint_put(bytes, values[i]);
        cr_assert_eq(size, varint_size(values[i]), "%lld", (long long)values[i]);
        struct reader r = reader_of(bytes, size);
        cr_assert_eq(reader_varlong(&r), values[i]);
        cr_assert(!r.failed && reader_left(&r) == 0);
        r = reader_of(bytes, size);
        int32_t narrow = reader_varint(&r);
        bool fits = values[i] >= INT32_MIN && values[i] <= INT32_MAX;
        cr_assert_eq(r.failed, !fits, "%lld", (long long)values[i]);
        cr_assert(!fits || narrow == values[i]);
        r = reader_of(bytes, size - 1);
        reader_varlong(&r);
        cr_assert(r.failed, "a cut varint");
    }
}

Test(varint, too_long_or_too_large_is_refused)
{
    static const struct {
        uint8_t bytes[11];
        size_t size;
        bool narrow_ok, wide_ok;
    } cases[] = {
        {{0x80, 0x00}, 2, true, true},
        {{0xff, 0xff, 0xff, 0xff, 0x0f}, 5, true, true},
        {{0xff, 0xff, 0xff, 0xff, 0x1f}, 5, false, true},
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 6, false, true},
        {{255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 10, false, true},
        {{255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, 10, false, false},
        {{128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0}, 11, false, false},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct reader r = reader_of(cases[i].bytes, cases[i].size);
        reader_uvarint(&r);
        cr_assert_eq(r.failed, !cases[i].narrow_ok, "case %zu", i);
        r = reader_of(cases[i].bytes, cases[i].size);
        reader_uvarint_bits(&r, 64);
        cr_assert_eq(r.failed, !cases[i].wide_ok, "case %zu", i);
    }
}
