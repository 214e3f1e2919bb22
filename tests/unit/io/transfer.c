/* SPDX-License-Identifier: Apache-2.0 */

/* How a short transfer goes on: whatever the kernel moves at a time, every byte is asked for once,
 * in order, and nothing beyond the end. */
#include "io/posix.h"

#include "base/prng.h"

#include <criterion/criterion.h>

enum { ROUNDS = 2000, PIECES = 20, PIECE_MAX = 50 };

static size_t transfer_size(const struct transfer *t)
{
    size_t size = 0;
    for (unsigned i = 0; i < t->count; i++) {
        size += t->iovecs[i].iov_len;
    }
    return size;
}

/* Byte `at` of what a transfer asks for. */
static const uint8_t *transfer_byte(const struct transfer *t, size_t at)
{
    unsigned i = 0;
    while (at >= t->iovecs[i].iov_len) {
        at -= t->iovecs[i].iov_len;
        i++;
    }
    return (const uint8_t *)t->iovecs[i].iov_base + at;
}

Test(io_transfer, short_writes_go_on_where_they_stopped)
{
    struct prng prng = prng_of(1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t bytes[PIECES * PIECE_MAX];
        const uint8_t *expected[PIECES * PIECE_MAX];
        struct iovec pieces[PIECES];
        unsigned count = (unsigned)prng_between(&prng, 1, PIECES);
        size_t total = 0;
        for (unsigned i = 0; i < count; i++) {
            size_t size = prng_between(&prng, i == 0, PIECE_MAX); /* empty ones too */
            pieces[i] = (struct iovec){bytes + i * PIECE_MAX, size};
            for (size_t k = 0; k < size; k++) {
                expected[total++] = bytes + i * PIECE_MAX + k;
            }
        }
        struct posix_op po = {.kind = OP_WRITE, .count = (uint16_t)count};
        po.file.iovecs = pieces;
        po.file.position = 1000;
        po.file.size = total;
        size_t written = 0;
        for (bool over = false; !over;) {
            struct transfer rest;
            file_rest(&po, &rest);
            size_t asked = transfer_size(&rest);
            cr_assert(asked > 0 && asked <= total - written);
            cr_assert_eq(rest.position, 1000 + written);
            size_t moved = prng_between(&prng, 1, asked);
            for (size_t k = 0; k < moved; k++) {
                cr_assert_eq(transfer_byte(&rest, k), expected[written + k]);
            }
            written += moved;
            over = file_advance(&po, (int64_t)moved);
            cr_assert_eq(over, written == total);
        }
        cr_assert_eq(po.file.finished, total);
    }
}

Test(io_transfer, reads_go_on_until_the_end_of_the_file)
{
    uint8_t buffer[1000];
    struct io_file file = {.direct = false};
    struct posix_op po = {.kind = OP_READ};
    struct transfer rest;
    po.file.file = &file;
    po.file.buffer = buffer;
    po.file.size = sizeof buffer;
    po.file.position = 7;
    cr_assert(!file_advance(&po, 400), "a short read may be followed by more");
    file_rest(&po, &rest);
    cr_assert_eq(rest.piece.iov_base, buffer + 400);
    cr_assert_eq(rest.piece.iov_len, 600);
    cr_assert_eq(rest.position, 407);
    cr_assert(file_advance(&po, 0), "nothing more is the end");
    cr_assert_eq(po.file.finished, 400);
}

Test(io_transfer, a_direct_read_that_ends_in_a_block_is_over)
{
    struct io_file file = {.direct = true, .aligned = true};
    struct posix_op po = {.kind = OP_READ};
    po.file.file = &file;
    po.file.size = 4 * IO_BLOCK_SIZE;
    cr_assert(!file_advance(&po, IO_BLOCK_SIZE));
    cr_assert(file_advance(&po, 100));
    cr_assert_eq(po.file.finished, IO_BLOCK_SIZE + 100);
}

Test(io_transfer, no_piece_is_too_large_for_one_call)
{
    struct iovec huge = {(void *)16, (size_t)5 << 30};
    struct posix_op po = {.kind = OP_WRITE, .count = 1};
    struct transfer rest;
    po.file.iovecs = &huge;
    po.file.size = huge.iov_len;
    unsigned calls = 0;
    do {
        file_rest(&po, &rest);
        cr_assert(rest.piece.iov_len <= INT32_MAX);
        calls++;
    } while (!file_advance(&po, (int64_t)rest.piece.iov_len));
    cr_assert_eq(calls, 5);
}
