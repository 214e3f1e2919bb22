/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes of the journal and the checkpoint: every field at its place, and every changed byte noticed.
 * These tests prove the tables of docs/formats/journal.md, checkpoint.md and segment.md. */
#include "log/format.h"

#include "base/crc32c.h"
#include "base/errors.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct uuid storage = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct uuid topic = {{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa,
                                   0xab, 0xac, 0xad, 0xae, 0xaf}};

static size_t make_group(uint8_t *data, uint32_t seed)
{
    struct entry e = {.kind = ENTRY_TRUNCATE,
                      .topic_id = topic,
                      .partition = 7,
                      .leader_epoch = 3,
                      .offset = 0x0102030405060708,
                      .segment_base = 0x1112131415161718,
                      .position = 0x21222324,
                      .body_size = 5};
    entry_header_encode(&e, data + GROUP_HEADER_SIZE);
    memcpy(data + GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE, "hello", 5);
    size_t entries = ENTRY_HEADER_SIZE + 5;
    struct group_header g = {.size = (uint32_t)(GROUP_HEADER_SIZE + entries),
                             .count = 1,
                             .sequence = 0x3132333435363738,
                             .settled = 0x4142434445464748};
    group_header_encode(&g, seed, crc32c(0, data + GROUP_HEADER_SIZE, entries), data);
    return g.size;
}

Test(format, a_group_has_every_field_at_its_place)
{
    uint8_t data[256] = {0};
    uint32_t seed = group_seed(storage, 9, (struct uuid){{0}});
    size_t size = make_group(data, seed);
    cr_assert_eq(size, 40 + 56 + 5);
    cr_assert_eq(get_be32(data), 0x4c475231u, "magic LGR1");
    cr_assert_eq(get_be32(data + 4), crc32c(seed, data + 8, size - 8));
    cr_assert_eq(get_be32(data + 8), size);
    cr_assert_eq(get_be32(data + 12), 1);
    cr_assert_eq(get_be64(data + 16), 0x3132333435363738u);
    cr_assert_eq(get_be64(data + 24), 0x4142434445464748u);
    cr_assert_eq(get_be32(data + 32), 0);
    cr_assert_eq(get_be32(data + 36), crc32c(seed, data + 8, 28));

    const uint8_t *e = data + 40;
    cr_assert_eq(get_be32(e), 5);
    cr_assert_eq(e[4], ENTRY_TRUNCATE);
    cr_assert_eq(memcmp(e + 8, topic.bytes, 16), 0);
    cr_assert_eq(get_be32(e + 24), 7);
    cr_assert_eq(get_be32(e + 28), 3);
    cr_assert_eq(get_be64(e + 32), 0x0102030405060708u);
    cr_assert_eq(get_be64(e + 40), 0x1112131415161718u);
    cr_assert_eq(get_be32(e + 48), 0x21222324);

    struct reader r = reader_of(e, size - 40);
    struct entry back;
    cr_assert_eq(entry_decode(&back, &r), 0);
    cr_assert_eq(back.offset, 0x0102030405060708);
    cr_assert_eq(memcmp(back.body, "hello", 5), 0);
    cr_assert_eq(reader_left(&r), 0);
}

Test(format, a_group_is_of_one_directory_one_life_and_one_boot)
{
    uint8_t data[256] = {0};
    uint32_t seed = group_seed(storage, 9, (struct uuid){{0}});
    size_t size = make_group(data, seed);
    struct group_header g;
    cr_assert(group_header_decode(&g, seed, data, size) && group_check(&g, seed, data));
    uint32_t others[] = {group_seed(storage, 8, (struct uuid){{0}}),
                         group_seed(topic, 9, (struct uuid){{0}}), group_seed(storage, 9, topic)};
    for (size_t i = 0; i < array_size(others); i++) {
        cr_assert_not(group_header_decode(&g, others[i], data, size), "seed %zu", i);
    }
    cr_assert_not(group_header_decode(&g, seed, data, size - 1),
                  "it must lie within what there is");
}

Test(format, every_changed_bit_of_a_group_is_noticed)
{
    uint8_t data[256] = {0};
    uint32_t seed = group_seed(storage, 9, (struct uuid){{0}});
    size_t size = make_group(data, seed);
    for (size_t bit = 0; bit < size * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct group_header g;
        bool valid = group_header_decode(&g, seed, data, size) && group_check(&g, seed, data);
        cr_assert_not(valid, "bit %zu", bit);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static size_t make_checkpoint(uint8_t *data, size_t capacity)
{
    struct writer w = writer_of(data + CHECKPOINT_HEADER_SIZE, capacity - CHECKPOINT_HEADER_SIZE);
    struct checkpoint_log l = {.topic_id = topic,
                               .partition = 4,
                               .durability = 1,
                               .has_segment = true,
                               .start_offset = 10,
                               .end_offset = 300,
                               .high_watermark = 290,
                               .segment_base = 200,
                               .segment_size = 4096 + 3,
                               .max_timestamp = 77,
                               .name = bytes_of_string("orders"),
                               .epochs = bytes_of("ee", 2),
                               .producers = bytes_of("ppp", 3),
                               .unfinished = bytes_of("xyz", 3)};
    checkpoint_log_encode(&l, &w);
    cr_assert_not(w.failed);
    struct checkpoint_header h = {.size = CHECKPOINT_HEADER_SIZE + w.size,
                                  .life = 5,
                                  .settled = 41,
                                  .live = 42,
                                  .memory_live = 43,
                                  .storage_id = storage,
                                  .boot_id = topic,
                                  .shard = 1,
                                  .shards = 2,
                                  .logs = 1,
                                  .flags = CHECKPOINT_CLEAN};
    checkpoint_header_encode(&h, data);
    return h.size;
}

Test(format, a_checkpoint_has_every_field_at_its_place)
{
    uint8_t data[512] = {0};
    size_t size = make_checkpoint(data, sizeof data);
    cr_assert_eq(size, 96 + 80 + 6 + 2 + 3 + 3);
    cr_assert_eq(get_be32(data), 0x4c434b31u, "magic LCK1");
    cr_assert_eq(get_be32(data + 4), crc32c(0, data + 8, size - 8));
    uint64_t fields[] = {size, 5, 41, 42, 43};
    for (size_t i = 0; i < array_size(fields); i++) {
        cr_assert_eq(get_be64(data + 8 + 8 * i), fields[i], "field %zu", i);
    }
    cr_assert_eq(memcmp(data + 48, storage.bytes, 16), 0);
    cr_assert_eq(memcmp(data + 64, topic.bytes, 16), 0);
    cr_assert_eq(get_be32(data + 80), 1);
    cr_assert_eq(get_be32(data + 84), 2);
    cr_assert_eq(get_be32(data + 88), 1);
    cr_assert_eq(get_be32(data + 92), CHECKPOINT_CLEAN);

    const uint8_t *l = data + 96;
    cr_assert_eq(get_be32(l), size - 96);
    cr_assert_eq(memcmp(l + 4, topic.bytes, 16), 0);
    cr_assert_eq(get_be32(l + 20), 4);
    cr_assert_eq(l[24], 1);
    cr_assert_eq(l[25], 1);
    cr_assert_eq(get_be16(l + 26), 6);
    cr_assert_eq(get_be64(l + 28), 10);
    cr_assert_eq(get_be64(l + 36), 300);
    cr_assert_eq(get_be64(l + 44), 290);
    cr_assert_eq(get_be64(l + 52), 200);
    cr_assert_eq(get_be32(l + 60), 4096 + 3);
    cr_assert_eq(get_be64(l + 64), 77);
    cr_assert_eq(get_be32(l + 72), 2);
    cr_assert_eq(get_be32(l + 76), 3);
    cr_assert_eq(memcmp(l + 80, "orderseepppxyz", 14), 0);
}

Test(format, every_changed_bit_and_every_cut_of_a_checkpoint_is_noticed)
{
    uint8_t data[512] = {0};
    size_t size = make_checkpoint(data, sizeof data);
    struct checkpoint_header h;
    cr_assert_eq(checkpoint_header_decode(&h, data, size), 0);
    for (size_t bit = 0; bit < size * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_neq(checkpoint_header_decode(&h, data, size), 0, "bit %zu", bit);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        cr_assert_neq(checkpoint_header_decode(&h, data, cut), 0, "cut at %zu", cut);
    }
}

/* A record whose own sizes lie must be refused, whatever they say. */
Test(format, a_log_record_never_reads_beyond_itself)
{
    uint8_t data[512] = {0};
    size_t size = make_checkpoint(data, sizeof data) - 96;
    for (size_t at = 0; at < 80; at++) {
        for (int value = 0; value < 256; value += 5) {
            uint8_t *copy = malloc(size);
            memcpy(copy, data + 96, size);
            copy[at] = (uint8_t)value;
            struct reader r = reader_of(copy, size);
            struct checkpoint_log l;
            if (checkpoint_log_decode(&l, &r) == 0) {
                size_t parts = l.name.size + l.epochs.size + l.producers.size + l.unfinished.size;
                cr_assert_leq(parts, size);
            }
            free(copy);
        }
    }
}

Test(format, the_partition_file_says_whose_it_is)
{
    uint8_t data[PARTITION_FILE_SIZE];
    partition_file_encode(data, topic, storage, 12);
    cr_assert_eq(get_be32(data), 0x4c505431u, "magic LPT1");
    cr_assert_eq(memcmp(data + 8, topic.bytes, 16), 0);
    cr_assert_eq(memcmp(data + 24, storage.bytes, 16), 0);
    cr_assert_eq(get_be32(data + 40), 12);
    struct uuid t, s;
    int32_t partition;
    cr_assert_eq(partition_file_decode(data, sizeof data, &t, &s, &partition), 0);
    cr_assert(uuid_equal(t, topic) && uuid_equal(s, storage) && partition == 12);
    for (size_t bit = 0; bit < 48 * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_neq(partition_file_decode(data, sizeof data, &t, &s, &partition), 0, "bit %zu",
                      bit);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
