/* SPDX-License-Identifier: Apache-2.0 */

/* The table of docs/formats/voters.md, byte by byte; every byte changed, every length. */
#include "founding_support.h"
#include "meta/voters_file.h"

#include "base/crc32c.h"

#include <criterion/criterion.h>

/* What follows the ids; lengths and counts are one more than they say, and every struct ends with its
 * number of tags. */
static const uint8_t golden_rest[] = {
    1,    0,    0,    0,    0,    0,    0,    43,                              /* founded, size */
    0,    0,    2,                                                             /* version, voters */
    0,    0,    0,    2,    0x12, 0x12, 0x12, 0x12, 0x12, 0x12, 0x12, 0x12,    /* id, directory */
    0x12, 0x12, 0x12, 0x12, 0x12, 0x12, 0x12, 0x12,                            /* ... */
    2,    6,    'p',  'l',  'a',  'i',  'n',  3,    'n',  '2',  0x23, 0x84, 0, /* its endpoint */
    0,    0,    0,    1,    0,                                                 /* kraft feature */
    0,    0, /* of voter and record */
};

static struct memory memory;
static struct wire_writer writer;

static struct bytes encoded(uint32_t voters)
{
    struct voters_file f = {id_from(0xc1), id_from(0xd2), true, {0}};
    for (uint32_t i = 0; i < voters; i++) {
        add_voter(&f.voters, (int32_t)i + 2, 0x12 + (uint8_t)i);
    }
    memory_init(&memory, 1 << 20);
    wire_writer_init(&writer, &memory, VOTERS_FILE_MAX);
    cr_assert_eq(voters_file_encode(&f, &writer), 0);
    return bytes_of(writer.data, writer.size);
}

static void drop(void)
{
    wire_writer_deinit(&writer);
    memory_drop(&memory);
}

Test(voters_file, golden)
{
    struct voters_file back;
    struct bytes made = encoded(1);
    cr_assert_eq(made.size, 40 + sizeof golden_rest, "%zu", made.size);
    cr_assert_arr_eq(made.data, "LVS1", 4);
    cr_assert_eq(get_be32(made.data + 4), crc32c(0, made.data + 8, made.size - 8));
    for (int i = 0; i < 16; i++) {
        cr_assert_eq(made.data[8 + i], 0xc1);
        cr_assert_eq(made.data[24 + i], 0xd2);
    }
    cr_assert_arr_eq(made.data + 40, golden_rest, sizeof golden_rest);
    cr_assert_eq(voters_file_decode(&back, made, &memory), 0);
    cr_assert(uuid_equal(back.cluster_id, id_from(0xc1)));
    cr_assert(uuid_equal(back.directory_id, id_from(0xd2)));
    cr_assert(back.founded);
    cr_assert_eq(back.voters.count, 1u);
    cr_assert_eq(back.voters.list[0].id.node, 2);
    drop();
}

Test(voters_file, every_changed_bit_and_every_length_is_seen)
{
    struct voters_file back;
    struct bytes made = encoded(3);
    uint8_t *file = memory_alloc(&memory, made.size + 1);
    memcpy(file, made.data, made.size);
    for (size_t i = 0; i < made.size * 8; i++) {
        file[i / 8] ^= (uint8_t)(1 << i % 8);
        cr_assert_eq(voters_file_decode(&back, bytes_of(file, made.size), &memory), ERR_MALFORMED);
        file[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t size = 0; size <= made.size + 1; size++) {
        int error = voters_file_decode(&back, bytes_of(file, size), &memory);
        cr_assert_eq(error, size == made.size ? 0 : ERR_MALFORMED, "%zu", size);
    }
    memory_free(&memory, file);
    drop();
}

Test(voters_file, what_its_sum_covers_is_checked_too)
{
    /* Places and bytes that no writer leaves there, under a sum that is right. */
    static const struct {
        size_t at;
        uint8_t size, byte;
    } wrong[] = {{8, 16, 0}, {24, 16, 0}, {40, 1, 2}, {41, 1, 1},
                 {43, 1, 1}, {47, 1, 48}, {50, 1, 1}};
    for (size_t i = 0; i < array_size(wrong); i++) {
        struct voters_file back;
        struct bytes made = encoded(1);
        uint8_t *file = writer.data;
        memset(file + wrong[i].at, wrong[i].byte, wrong[i].size);
        put_be32(file + 4, crc32c(0, file + 8, made.size - 8));
        cr_assert_eq(voters_file_decode(&back, made, &memory), ERR_MALFORMED, "%zu", i);
        drop();
    }
}

Test(voters_file, the_largest_fits)
{
    struct voters_file f = {id_from(1), id_from(2), false, {0}}, back;
    for (int32_t i = 0; i < RAFT_VOTERS_MAX; i++) {
        add_voter(&f.voters, i, (uint8_t)(i + 1));
        struct voter *v = &f.voters.list[i];
        memset(v->host, 'h', sizeof v->host - 1);
        memset(v->name, 'n', sizeof v->name - 1);
    }
    memory_init(&memory, 1 << 20);
    wire_writer_init(&writer, &memory, VOTERS_FILE_MAX);
    cr_assert_eq(voters_file_encode(&f, &writer), 0);
    cr_assert_eq(voters_file_decode(&back, bytes_of(writer.data, writer.size), &memory), 0);
    cr_assert_eq(back.voters.count, (uint32_t)RAFT_VOTERS_MAX);
    cr_assert(!back.founded);
    drop();
}
