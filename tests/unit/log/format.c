/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes of docs/formats/journal.md, checkpoint.md and segment.md (partition file), one by one:
 * what is written, and that no bit of what a sum covers can change without being noticed. The
 * golden bytes were checked against an independent CRC-32C. */
#include "log/format.h"

#include "base/errors.h"
#include "base/crc32c.h"
#include "unit/wire/hex.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

static struct uuid id_from(uint8_t first)
{
    struct uuid id;
    for (unsigned i = 0; i < sizeof id.bytes; i++) {
        id.bytes[i] = (uint8_t)(first + i);
    }
    return id;
}

static void expect(const char *what, const uint8_t *data, size_t size, const char *text)
{
    uint8_t golden[8192];
    size_t expected = hex_read(text, golden, sizeof golden);
    cr_assert_eq(size, expected, "%s has %zu bytes, golden are %zu", what, size, expected);
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(data[i], golden[i], "%s: byte %zu is %02x, golden is %02x", what, i, data[i],
                     golden[i]);
    }
}

static bool all_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i]) {
            return false;
        }
    }
    return true;
}

static const char GROUP[] = "4c475231 62cb6244 00000064 00000001" /* magic, sum, size, entries */
                            "1122334455667788 1122334455667780"   /* sequence, settled */
                            "00000000 0062d9c9" /* reserved, sum of the header */;

static const char ENTRY[] = "00000004 01 00 0000"               /* size, kind, memory */
                            "101112131415161718191a1b1c1d1e1f"  /* topic id */
                            "01020304 00000005"                 /* partition, epoch */
                            "0102030405060708 0102030405060000" /* offset, segment */
                            "00112233 00000000 deadbeef" /* position, reserved, body */;

enum { SAMPLE_SIZE = GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE + 4 };

static struct entry sample_entry(void)
{
    return (struct entry){.kind = ENTRY_APPEND,
                          .topic_id = id_from(0x10),
                          .partition = 0x01020304,
                          .leader_epoch = 5,
                          .offset = 0x0102030405060708,
                          .segment_base = 0x0102030405060000,
                          .position = 0x00112233,
                          .body_size = 4};
}

static uint32_t sample_seed(void)
{
    return group_seed(id_from(0x20), 7, (struct uuid){{0}});
}

static void sample_group(uint8_t out[static SAMPLE_SIZE])
{
    struct entry e = sample_entry();
    entry_header_encode(&e, out + GROUP_HEADER_SIZE);
    memcpy(out + GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE, "\xde\xad\xbe\xef", 4);
    struct group_header g = {.size = SAMPLE_SIZE,
                             .count = 1,
                             .sequence = 0x1122334455667788,
                             .settled = 0x1122334455667780};
    uint32_t crc = crc32c(0, out + GROUP_HEADER_SIZE, SAMPLE_SIZE - GROUP_HEADER_SIZE);
    group_header_encode(&g, sample_seed(), crc, out);
}

static bool group_holds(const uint8_t *data, uint32_t seed, size_t size)
{
    struct group_header g;
    return group_header_decode(&g, seed, data, size) && group_check(&g, seed, data);
}

/* --- journal ------------------------------------------------------------------------------------ */

Test(format, a_seed_knows_directory_life_and_boot)
{
    cr_assert_eq(sample_seed(), 0x29b1cb8f);
    cr_assert_eq(group_seed(id_from(0x20), 7, id_from(0x30)), 0xf78e2604);
    cr_assert_neq(sample_seed(), group_seed(id_from(0x21), 7, (struct uuid){{0}}));
    cr_assert_neq(sample_seed(), group_seed(id_from(0x20), 8, (struct uuid){{0}}));
}

Test(format, group_golden_bytes)
{
    uint8_t data[SAMPLE_SIZE];
    sample_group(data);
    char text[sizeof GROUP + sizeof ENTRY];
    snprintf(text, sizeof text, "%.*s%s", (int)(sizeof GROUP - 1), GROUP, ENTRY);
    expect("group", data, sizeof data, text);
    struct group_header g;
    cr_assert(group_header_decode(&g, sample_seed(), data, sizeof data));
    cr_assert(g.size == SAMPLE_SIZE && g.count == 1 && g.sequence == 0x1122334455667788 &&
              g.settled == 0x1122334455667780);
    cr_assert(group_check(&g, sample_seed(), data));
}

Test(format, no_bit_of_a_group_changes_unnoticed)
{
    uint8_t data[SAMPLE_SIZE];
    sample_group(data);
    for (unsigned bit = 0; bit < SAMPLE_SIZE * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(group_holds(data, sample_seed(), sizeof data), "bit %u", bit);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert(group_holds(data, sample_seed(), sizeof data));
    for (size_t size = 0; size < sizeof data; size++) {
        cr_assert_not(group_holds(data, sample_seed(), size), "cut to %zu bytes", size);
    }
    cr_assert_not(group_holds(data, group_seed(id_from(0x20), 8, (struct uuid){{0}}), sizeof data),
                  "the group of an earlier life is valid");
}

/* A header whose sum holds is refused when it cannot be: sizes and counts are looked at. */
Test(format, impossible_groups_are_refused)
{
    uint8_t data[SAMPLE_SIZE] = {0};
    static const struct group_header headers[] = {
        {.size = GROUP_HEADER_SIZE, .count = 1},    {.size = SAMPLE_SIZE, .count = 2},
        {.size = SAMPLE_SIZE, .count = UINT32_MAX}, {.size = SAMPLE_SIZE + 1, .count = 1},
        {.size = UINT32_MAX, .count = 1},
    };
    for (unsigned i = 0; i < array_size(headers); i++) {
        struct group_header out;
        group_header_encode(&headers[i], 1, 0, data);
        cr_assert_not(group_header_decode(&out, 1, data, sizeof data), "%u", i);
    }
}

Test(format, entries_golden_and_back)
{
    uint8_t data[ENTRY_HEADER_SIZE + 4];
    struct entry e = sample_entry();
    entry_header_encode(&e, data);
    memcpy(data + ENTRY_HEADER_SIZE, "\xde\xad\xbe\xef", 4);
    expect("entry", data, sizeof data, ENTRY);
    struct reader r = reader_of(data, sizeof data);
    struct entry back;
    cr_assert_eq(entry_decode(&back, &r), 0);
    cr_assert(back.kind == e.kind && !back.memory && uuid_equal(back.topic_id, e.topic_id) &&
              back.partition == e.partition && back.leader_epoch == 5 && back.offset == e.offset &&
              back.segment_base == e.segment_base && back.position == e.position &&
              back.body_size == 4 && back.body == data + ENTRY_HEADER_SIZE);
    cr_assert_eq(reader_left(&r), 0);
    e.kind = ENTRY_TRUNCATE;
    e.memory = true;
    entry_header_encode(&e, data);
    cr_assert(data[4] == 2 && data[5] == 1 && data[6] == 0 && data[7] == 0);
    r = reader_of(data, sizeof data);
    cr_assert_eq(entry_decode(&back, &r), 0);
    cr_assert(back.memory && !back.alone);
    e.alone = true;
    entry_header_encode(&e, data);
    r = reader_of(data, sizeof data);
    cr_assert_eq(entry_decode(&back, &r), 0);
    cr_assert(back.memory && back.alone && data[5] == 3);
    e = sample_entry();
    e.gap = true;
    entry_header_encode(&e, data);
    r = reader_of(data, sizeof data);
    cr_assert_eq(entry_decode(&back, &r), 0);
    cr_assert(back.gap && !back.memory && !back.alone && data[5] == 4);
}

Test(format, impossible_entries_are_refused)
{
    uint8_t data[ENTRY_HEADER_SIZE + 4] = {0};
    struct entry e = sample_entry(), back;
    for (unsigned kind = 0; kind < 256; kind++) {
        e.kind = (enum entry_kind)kind;
        entry_header_encode(&e, data);
        struct reader r = reader_of(data, sizeof data);
        int expected = kind >= ENTRY_APPEND && kind <= ENTRY_ANEW ? 0 : ERR_MALFORMED;
        cr_assert_eq(entry_decode(&back, &r), expected, "kind %u", kind);
    }
    e = sample_entry();
    for (uint32_t size = 5; size; size = size < UINT32_MAX / 3 ? size * 3 : 0) {
        e.body_size = size;
        entry_header_encode(&e, data);
        struct reader r = reader_of(data, sizeof data);
        cr_assert_eq(entry_decode(&back, &r), ERR_MALFORMED, "a body of %u bytes", size);
    }
    e = sample_entry();
    e.offset = -1;
    entry_header_encode(&e, data);
    struct reader r = reader_of(data, sizeof data);
    cr_assert_eq(entry_decode(&back, &r), ERR_MALFORMED);
    for (size_t size = 0; size < ENTRY_HEADER_SIZE; size++) {
        r = reader_of(data, size);
        cr_assert_eq(entry_decode(&back, &r), ERR_MALFORMED);
    }
}

Test(format, journal_header_golden_bytes)
{
    uint8_t data[JOURNAL_HEADER_SIZE];
    struct journal_header back,
        h = {.life = 7, .storage_id = id_from(0x20), .shard = 2, .number = 3, .settled = 77};
    journal_header_encode(&h, data);
    expect("journal header", data, 48,
           "4c4a4e31 6b85c151 0000000000000007" /* magic, sum, life */
           "202122232425262728292a2b2c2d2e2f"   /* storage id */
           "00000002 00000003"                  /* shard, number */
           "000000000000004d" /* settled */);
    cr_assert(all_zero(data + 48, sizeof data - 48));
    cr_assert_eq(get_be32(data + 4), crc32c(0, data + 8, sizeof data - 8));
    cr_assert(journal_header_decode(&back, data));
    cr_assert(back.life == 7 && uuid_equal(back.storage_id, h.storage_id) && back.shard == 2 &&
              back.number == 3 && back.settled == 77);
    for (size_t i = 0; i < sizeof data; i += 7) {
        data[i] ^= 1;
        cr_assert(!journal_header_decode(&back, data), "byte %zu", i);
        data[i] ^= 1;
    }
}

Test(format, replace_body_golden_and_back)
{
    uint8_t data[REPLACE_BODY_SIZE];
    struct replace_body b = {
        .generation = 3, .gaps = true, .max_timestamp = 1700000000000, .clean_offset = 77};
    replace_body_encode(&b, data);
    expect("replace", data, sizeof data,
           "00000003 0000018bcfe56800" /* generation, largest timestamp */
           "000000000000004d" /* clean offset */);
    struct entry e = {.kind = ENTRY_REPLACE, .body = data, .body_size = sizeof data};
    struct replace_body back;
    cr_assert_eq(replace_body_decode(&back, &e), 0);
    cr_assert(back.generation == 3 && back.gaps && back.max_timestamp == 1700000000000 &&
              back.clean_offset == 77);
    b.gaps = false;
    replace_body_encode(&b, data);
    cr_assert_eq(data[0], 0x80, "that none are left out is what is unusual");
    cr_assert_eq(replace_body_decode(&back, &e), 0);
    cr_assert(back.generation == 3 && !back.gaps);
    e.body_size--;
    cr_assert_eq(replace_body_decode(&back, &e), ERR_MALFORMED);
    e.body_size++;
    b.generation = 0; /* that of a segment as it was appended */
    replace_body_encode(&b, data);
    cr_assert_eq(replace_body_decode(&back, &e), ERR_MALFORMED);
    b = (struct replace_body){.generation = 1, .clean_offset = -1};
    replace_body_encode(&b, data);
    cr_assert_eq(replace_body_decode(&back, &e), ERR_MALFORMED);
}

/* --- checkpoint --------------------------------------------------------------------------------- */

static const char CHECKPOINT[] =
    "4c434b31 7531bb00 00000000000000f2"                 /* magic, sum, size */
    "0000000000000007 00000000000003e8"                  /* life, settled */
    "00000000000003e9 00000000000001f4"                  /* first live sequences */
    "202122232425262728292a2b2c2d2e2f"                   /* storage id */
    "303132333435363738393a3b3c3d3e3f"                   /* boot id */
    "00000001 00000002 00000001 00000002"                /* shard, shards, logs, flags */
    "0000000000800000 00000003 00000000"                 /* journal files: size, number */
    "00000082 101112131415161718191a1b1c1d1e1f 00000009" /* size, topic id, partition */
    "01 01 0006"                                         /* durability, segment, name */
    "0000000000000064 00000000000000c8"                  /* start, end */
    "00000000000000be 0000000000000096"                  /* high watermark, segment */
    "00001003 0000018bcfe56800"                          /* its size, largest timestamp */
    "00000002 00000003 00000001"                         /* epochs, producers, older segments */
    "0000000000000037"                                   /* clean offset */
    "6576656e7473 4550 50524f"                           /* name, epochs, producers */
    "0000000000000050 00002007 0000018bcfe50000"         /* an older one: base, size, time */
    "00000004"                                           /* its generation */
    "78797a" /* unfinished block */;

enum { CHECKPOINT_SAMPLE = CHECKPOINT_HEADER_SIZE + 130 };

/* The older segment of the sample. */
static const uint8_t OLDER[CHECKPOINT_SEGMENT_SIZE] = {
    0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0x20, 7, 0, 0, 1, 0x8b, 0xcf, 0xe5, 0, 0, 0, 0, 0, 4};

static struct checkpoint_log sample_log(void)
{
    return (struct checkpoint_log){.topic_id = id_from(0x10),
                                   .partition = 9,
                                   .durability = 1,
                                   .has_segment = true,
                                   .start_offset = 100,
                                   .end_offset = 200,
                                   .high_watermark = 190,
                                   .clean_offset = 55,
                                   .segment_base = 150,
                                   .segment_size = 4096 + 3,
                                   .max_timestamp = 1700000000000,
                                   .name = bytes_of_string("events"),
                                   .epochs = bytes_of("EP", 2),
                                   .producers = bytes_of("PRO", 3),
                                   .segments = 1,
                                   .older = bytes_of(OLDER, sizeof OLDER),
                                   .unfinished = bytes_of("xyz", 3)};
}

static void sample_checkpoint(uint8_t out[static CHECKPOINT_SAMPLE])
{
    struct checkpoint_log l = sample_log();
    cr_assert_eq(checkpoint_log_size(&l), CHECKPOINT_SAMPLE - CHECKPOINT_HEADER_SIZE);
    struct writer w =
        writer_of(out + CHECKPOINT_HEADER_SIZE, CHECKPOINT_SAMPLE - CHECKPOINT_HEADER_SIZE);
    checkpoint_log_encode(&l, &w);
    cr_assert(!w.failed && w.size == CHECKPOINT_SAMPLE - CHECKPOINT_HEADER_SIZE);
    struct checkpoint_header h = {.size = CHECKPOINT_SAMPLE,
                                  .life = 7,
                                  .settled = 1000,
                                  .live = 1001,
                                  .memory_live = 500,
                                  .storage_id = id_from(0x20),
                                  .boot_id = id_from(0x30),
                                  .shard = 1,
                                  .shards = 2,
                                  .logs = 1,
                                  .flags = CHECKPOINT_CLEAN,
                                  .journal_file_bytes = 8 << 20,
                                  .journal_files = 3};
    checkpoint_header_encode(&h, out);
}

Test(format, checkpoint_golden_bytes_and_back)
{
    uint8_t data[CHECKPOINT_SAMPLE];
    sample_checkpoint(data);
    expect("checkpoint", data, sizeof data, CHECKPOINT);
    struct checkpoint_header h;
    cr_assert_eq(checkpoint_header_decode(&h, data, sizeof data), 0);
    cr_assert(h.size == sizeof data && h.life == 7 && h.settled == 1000 && h.live == 1001 &&
              h.memory_live == 500 && uuid_equal(h.storage_id, id_from(0x20)) &&
              uuid_equal(h.boot_id, id_from(0x30)) && h.shard == 1 && h.shards == 2 &&
              h.logs == 1 && h.flags == CHECKPOINT_CLEAN && h.journal_file_bytes == 8 << 20 &&
              h.journal_files == 3);
    struct reader r =
        reader_of(data + CHECKPOINT_HEADER_SIZE, sizeof data - CHECKPOINT_HEADER_SIZE);
    struct checkpoint_log l, e = sample_log();
    cr_assert_eq(checkpoint_log_decode(&l, &r), 0);
    cr_assert_eq(reader_left(&r), 0);
    cr_assert(uuid_equal(l.topic_id, e.topic_id) && l.partition == 9 && l.durability == 1 &&
              l.has_segment && l.start_offset == 100 && l.end_offset == 200 &&
              l.high_watermark == 190 && l.segment_base == 150 && l.segment_size == 4099 &&
              l.max_timestamp == 1700000000000);
    struct reader older = reader_of(l.older.data, l.older.size);
    struct checkpoint_segment s = checkpoint_segment_decode(&older);
    cr_assert(l.segments == 1 && !older.failed && s.base_offset == 80 && s.size == 8199 &&
              s.max_timestamp == 1699999973376 && s.generation == 4 && l.clean_offset == 55);
    cr_assert(bytes_equal(l.name, e.name) && bytes_equal(l.epochs, e.epochs) &&
              bytes_equal(l.producers, e.producers) && bytes_equal(l.unfinished, e.unfinished));
    cr_assert(!l.gaps && s.gaps);
}

/* That offsets are left out in a segment: of the newest one beside that it is there, of an older one in the
 * highest bit of its generation, which says that it is not as usual in one that was written anew, or appended. */
Test(format, a_checkpoint_tells_of_gaps)
{
    uint8_t older[CHECKPOINT_SEGMENT_SIZE], data[CHECKPOINT_SAMPLE];
    for (unsigned gaps = 0; gaps < 4; gaps++) {
        struct checkpoint_segment s = {
            .base_offset = 80, .size = 8199, .generation = 4, .gaps = gaps & 1};
        struct writer w = writer_of(older, sizeof older);
        checkpoint_segment_encode(&s, &w);
        cr_assert_eq(older[20], gaps & 1 ? 0 : 0x80);
        s.generation = 0;
        w = writer_of(older, sizeof older);
        checkpoint_segment_encode(&s, &w);
        cr_assert_eq(older[20], gaps & 1 ? 0x80 : 0);
        s.generation = 4;
        w = writer_of(older, sizeof older);
        checkpoint_segment_encode(&s, &w);
        struct checkpoint_log l = sample_log();
        l.older = bytes_of(older, sizeof older);
        l.gaps = gaps & 2;
        w = writer_of(data, sizeof data);
        checkpoint_log_encode(&l, &w);
        cr_assert_eq(data[25], gaps & 2 ? 3 : 1);
        struct reader r = reader_of(data, w.size);
        cr_assert_eq(checkpoint_log_decode(&l, &r), 0);
        r = reader_of(l.older.data, l.older.size);
        s = checkpoint_segment_decode(&r);
        cr_assert(l.has_segment && l.gaps == (gaps >> 1) && s.gaps == (gaps & 1) &&
                  s.generation == 4);
    }
}

Test(format, no_bit_of_a_checkpoint_changes_unnoticed)
{
    uint8_t data[4096] = {0};
    sample_checkpoint(data);
    struct checkpoint_header h;
    for (unsigned bit = 0; bit < CHECKPOINT_SAMPLE * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(checkpoint_header_decode(&h, data, sizeof data), ERR_MALFORMED, "bit %u", bit);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(checkpoint_header_decode(&h, data, sizeof data), 0);
    for (size_t size = 0; size < CHECKPOINT_SAMPLE; size++) {
        cr_assert_eq(checkpoint_header_decode(&h, data, size), ERR_MALFORMED, "cut to %zu", size);
    }
}

/* One log of a checkpoint whose sum holds: what cannot be is refused all the same. */
Test(format, impossible_logs_are_refused)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
        const char *what;
    } wrong[] = {
        {0, 4, 91, "smaller than its fixed part"},
        {0, 4, 131, "larger than what is there"},
        {0, 4, 129, "smaller than its parts"},
        {0, 4, UINT32_MAX, "huge"},
        {24, 1, 2, "no such durability"},
        {25, 1, 2, "gaps in no segment"},
        {25, 1, 5, "a flag that is not known"},
        {26, 2, 7, "a longer name"},
        {26, 2, UINT16_MAX, "a huge name"},
        {28, 8, UINT64_MAX, "a negative start"},
        {28, 8, 201, "a start behind the end"},
        {36, 8, 99, "an end before the start"},
        {52, 8, UINT64_MAX, "a negative segment"},
        {52, 8, 201, "a segment behind the end"},
        {60, 4, 4096, "no unfinished block, yet bytes"},
        {60, 4, 4095, "a larger unfinished block"},
        {72, 4, UINT32_MAX, "huge epochs"},
        {76, 4, UINT32_MAX, "huge producers"},
        {80, 4, UINT32_MAX, "very many segments"},
        {80, 4, 0, "a segment more than are counted"},
        {84, 8, 201, "clean behind the end"},
        {84, 8, UINT64_MAX, "a negative clean offset"},
        {103, 8, 150, "an older segment where the newest begins"},
        {103, 8, UINT64_MAX, "an older segment at a negative offset"},
        {111, 4, 0, "an empty older segment"},
    };
    uint8_t data[CHECKPOINT_SAMPLE];
    for (unsigned i = 0; i < array_size(wrong); i++) {
        sample_checkpoint(data);
        uint8_t *at = data + CHECKPOINT_HEADER_SIZE + wrong[i].at;
        for (unsigned k = 0; k < wrong[i].size; k++) {
            at[k] = (uint8_t)(wrong[i].value >> 8 * (wrong[i].size - 1 - k));
        }
        struct reader r =
            reader_of(data + CHECKPOINT_HEADER_SIZE, sizeof data - CHECKPOINT_HEADER_SIZE);
        struct checkpoint_log l;
        cr_assert_eq(checkpoint_log_decode(&l, &r), ERR_MALFORMED, "%s", wrong[i].what);
    }
    for (size_t size = 0; size < CHECKPOINT_SAMPLE - CHECKPOINT_HEADER_SIZE; size++) {
        sample_checkpoint(data);
        uint8_t *cut = malloc(size + 1); /* of its own, so that a sanitizer sees the end */
        memcpy(cut, data + CHECKPOINT_HEADER_SIZE, size);
        struct reader r = reader_of(cut, size);
        struct checkpoint_log l;
        cr_assert_eq(checkpoint_log_decode(&l, &r), ERR_MALFORMED, "cut to %zu", size);
        free(cut);
    }
}

/* --- partition file -------------------------------------------------------------------------------- */

Test(format, partition_file_golden_bytes_and_every_bit)
{
    uint8_t data[PARTITION_FILE_SIZE];
    partition_file_encode(data, id_from(0x10), id_from(0x20), 9);
    expect("partition file", data, 48,
           "4c505431 4ca42d17 101112131415161718191a1b1c1d1e1f" /* magic, sum, topic id */
           "202122232425262728292a2b2c2d2e2f 00000009 00000000" /* storage id, partition */);
    cr_assert(all_zero(data + 48, sizeof data - 48));
    struct uuid topic_id, storage_id;
    int32_t partition;
    cr_assert_eq(partition_file_decode(data, sizeof data, &topic_id, &storage_id, &partition), 0);
    cr_assert(uuid_equal(topic_id, id_from(0x10)) && uuid_equal(storage_id, id_from(0x20)) &&
              partition == 9);
    for (unsigned bit = 0; bit < 48 * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(partition_file_decode(data, sizeof data, &topic_id, &storage_id, &partition),
                     ERR_MALFORMED, "bit %u", bit);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < 48; size++) {
        cr_assert_eq(partition_file_decode(data, size, &topic_id, &storage_id, &partition),
                     ERR_MALFORMED);
    }
}
