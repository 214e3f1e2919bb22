/* SPDX-License-Identifier: Apache-2.0 */

/* format: the bytes of the journal's groups and of the checkpoint. Pure: no I/O, no state.
 *
 * All integers are big-endian, all sums CRC-32C. The tables stand in docs/formats/journal.md and
 * docs/formats/checkpoint.md; tests/unit/log/format.c proves them byte by byte. */
#pragma once

#include "base/bytes.h"
#include "base/memory.h"
#include "base/uuid.h"

enum {
    GROUP_HEADER_SIZE = 40,
    ENTRY_HEADER_SIZE = 56,
    JOURNAL_HEADER_SIZE = 4096, /* the first block of a journal file */
    CHECKPOINT_HEADER_SIZE = 112,
    CHECKPOINT_BYTES_MAX = 1 << 30,
};

/* No sequence, life or offset comes near to it; sums of two stay in range. */
#define NUMBER_MAX ((uint64_t)1 << 62)

#define GROUP_MAGIC 0x4c475231u      /* "LGR1" */
#define JOURNAL_MAGIC 0x4c4a4e31u    /* "LJN1" */
#define CHECKPOINT_MAGIC 0x4c434b31u /* "LCK1" */

/* What a group's sums begin with: they hold only for this directory and this life (for the mapped
 * journal also: this boot), so that what an earlier one left behind is never valid. */
uint32_t group_seed(struct uuid storage_id, uint64_t life, struct uuid boot_id);

/* Group: starts on a block of its own, padded to a block with zeros (the mapped journal: to 64
 * bytes).
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LGR1"
 *          4      4  CRC-32C of bytes 8 .. size, continued from the seed
 *          8      4  size in bytes, header included, without the padding
 *         12      4  number of entries; 0: a group that only carries its mark
 *         16      8  sequence of its first entry: never restarts, no gaps over files
 *         24      8  settled: the sequence known durable when this group was written
 *         32      4  reserved, zero
 *         36      4  CRC-32C of bytes 8 .. 36, continued from the seed: refuses a block without
 * reading on 40     ..  entries */
struct group_header {
    uint32_t crc;
    uint32_t size;
    uint32_t count;
    uint64_t sequence;
    uint64_t settled;
};

/* `crc_entries`: crc32c(0, all bytes behind the header). */
void group_header_encode(const struct group_header *g, uint32_t seed, uint32_t crc_entries,
                         uint8_t out[static GROUP_HEADER_SIZE]);

/* True if the first bytes are a header of this seed whose size is within `size_max`. */
bool group_header_decode(struct group_header *out, uint32_t seed, const uint8_t *data,
                         size_t size_max);

/* True if the whole group's sum holds; `data` has g->size bytes. */
bool group_check(const struct group_header *g, uint32_t seed, const uint8_t *data);

enum entry_kind {
    ENTRY_APPEND = 1, /* body: one batch as in the segment */
    ENTRY_TRUNCATE =
        2,           /* the log ends at `offset`; body: the bytes kept of the block that it cuts */
    ENTRY_EPOCH = 3, /* epoch `leader_epoch` begins at `offset` */
    ENTRY_LOG_START = 4, /* nothing below `offset` is readable */
    ENTRY_REPLACE = 5, /* one segment stands for those up to `offset`; body: struct replace_body */
    ENTRY_REMOVE = 6,  /* nothing is left of the log */
    ENTRY_ANEW = 7,    /* nothing is left in it; it begins at `offset` */
};

/* Entry:
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  size of the body
 *          4      1  kind (enum entry_kind)
 *          5      1  of a control of a `memory` log: 1, it stands in both journals, or 3, it stands in
 *                    the durable one alone; of an APPEND: 4, offsets are left out in front of its batch;
 *                    else zero
 *          6      2  reserved, zero
 *          8     16  topic id
 *         24      4  partition
 *         28      4  leader epoch; of ANEW that of what lies below, -1: none
 *         32      8  offset: of the body's batch, the new end, the new start, the end of what is replaced
 *         40      8  base offset of the segment
 *         48      4  position in the segment: of the batch, of the cut; the size of a new segment
 *         52      4  reserved, zero
 *         56     ..  body */
struct entry {
    enum entry_kind kind;
    bool memory, alone;
    bool gap;
    struct uuid topic_id;
    int32_t partition;
    int32_t leader_epoch;
    int64_t offset;
    int64_t segment_base;
    uint32_t position;
    uint32_t body_size;
    const uint8_t *body; /* decode only */
};

void entry_header_encode(const struct entry *e, uint8_t out[static ENTRY_HEADER_SIZE]);

/* Body of a REPLACE: the segment `segment_base` of this generation stands for all of the log from its
 * base up to the entry's offset. Its file is durable when the entry is written.
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  generation of the new segment, in 31 bits, at least 1: a part of its name; the highest
 *                    bit: no offsets are left out in it
 *          4      8  its largest timestamp, -1: none
 *         12      8  clean offset: below it each key occurs once */
enum { REPLACE_BODY_SIZE = 20, GENERATION_MAX = INT32_MAX };

struct replace_body {
    uint32_t generation;
    bool gaps; /* offsets are left out in it */
    int64_t max_timestamp;
    int64_t clean_offset;
};

void replace_body_encode(const struct replace_body *b, uint8_t out[static REPLACE_BODY_SIZE]);
int replace_body_decode(struct replace_body *out, const struct entry *e) MUST_CHECK;

/* The next entry of a group whose sum holds. ERR_MALFORMED: kind or size is not possible. */
int entry_decode(struct entry *out, struct reader *r) MUST_CHECK;

/* The first block of a journal file: what it is, and a settled mark of this life, apart from the
 * groups (apart.h). What a life is called the checkpoint says.
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LJN1"
 *          4      4  CRC-32C of bytes 8 .. 4096
 *          8      8  life
 *         16     16  storage id
 *         32      4  shard
 *         36      4  number of the file
 *         40      8  settled: a sequence known durable when it was written; 0: none */
struct journal_header {
    uint64_t life;
    struct uuid storage_id;
    uint32_t shard, number;
    uint64_t settled;
};

void journal_header_encode(const struct journal_header *h, uint8_t out[static JOURNAL_HEADER_SIZE]);
/* False: it is none, or its sum does not hold. */
bool journal_header_decode(struct journal_header *out,
                           const uint8_t data[static JOURNAL_HEADER_SIZE]);

/* Checkpoint: header, then one record for each log, the whole padded to a block with zeros.
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LCK1"
 *          4      4  CRC-32C of bytes 8 .. size
 *          8      8  size in bytes, without the padding
 *         16      8  life: the highest of a root's checkpoints wins
 *         24      8  settled: the mark known durable when this copy was written
 *         32      8  first live sequence of the durable journal
 *         40      8  first live sequence of the mapped journal
 *         48     16  storage id
 *         64     16  boot id of the machine when it was written
 *         80      4  shard
 *         84      4  number of shards of this life
 *         88      4  number of logs
 *         92      4  flags: 1 founding (names the logs of all shards), 2 clean (nothing to replay),
 *                    4 the mapped journal is in use
 *         96      8  size of a journal file in bytes
 *        104      4  number of journal files, 0: not known (founding)
 *        108      4  reserved, zero
 *        112     ..  logs */
enum checkpoint_flags { CHECKPOINT_FOUNDING = 1, CHECKPOINT_CLEAN = 2, CHECKPOINT_MAPPED = 4 };

struct checkpoint_header {
    uint64_t size;
    uint64_t life;
    uint64_t settled;
    uint64_t live, memory_live;
    struct uuid storage_id, boot_id;
    uint32_t shard, shards, logs, flags;
    uint64_t journal_file_bytes;
    uint32_t journal_files;
};

/* Fills the first CHECKPOINT_HEADER_SIZE bytes of `data`, whose other bytes up to h->size are
 * there. */
void checkpoint_header_encode(const struct checkpoint_header *h, uint8_t *data);

/* ERR_MALFORMED when magic, size (at most `available`) or sum do not hold. */
int checkpoint_header_decode(struct checkpoint_header *out, const uint8_t *data,
                             size_t available) MUST_CHECK;

/* One log in a checkpoint:
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  size of this record, this field included
 *          4     16  topic id
 *         20      4  partition
 *         24      1  durability (0 fsync, 1 memory)
 *         25      1  1: it has a segment; 3: it has, and offsets are left out in it; 0: none
 *         26      2  length of the topic's name
 *         28      8  start offset
 *         36      8  end offset
 *         44      8  high watermark
 *         52      8  base offset of the newest segment
 *         60      4  its size in bytes: the end of the log
 *         64      8  its largest timestamp, -1: none
 *         72      4  size of the epochs
 *         76      4  size of the producers' state
 *         80      4  number of older segments
 *         84      8  clean offset: below it each key occurs once; 0 where nothing was compacted
 *         92     ..  name, epochs, producers, older segments, then (size modulo 4096) bytes: the
 *                    unfinished block
 *
 * An older segment, oldest first; all of it is durable:
 *
 *     OFFSET   SIZE  MEANING
 *          0      8  base offset
 *          8      4  size in bytes
 *         12      8  its largest timestamp, -1: none
 *         20      4  generation, in 31 bits: 0 as it was appended, else written anew. Offsets are left out in
 *                    what was written anew, and not in what was appended; the highest bit: the other way round */
enum { CHECKPOINT_LOG_SIZE = 92, CHECKPOINT_SEGMENT_SIZE = 24, CHECKPOINT_NAME_MAX = 249 };

struct checkpoint_segment {
    int64_t base_offset;
    uint32_t size;
    int64_t max_timestamp;
    uint32_t generation; /* at most GENERATION_MAX */
    bool gaps;           /* offsets are left out in it */
};

struct checkpoint_log {
    struct uuid topic_id;
    int32_t partition;
    uint8_t durability;
    bool has_segment, gaps;
    int64_t start_offset, end_offset, high_watermark;
    int64_t segment_base;
    uint32_t segment_size;
    int64_t max_timestamp;
    uint32_t segments; /* older ones */
    int64_t clean_offset;
    struct bytes name, epochs, producers, older, unfinished; /* borrowed */
};

size_t checkpoint_log_size(const struct checkpoint_log *l);
void checkpoint_log_encode(const struct checkpoint_log *l, struct writer *w);
void checkpoint_segment_encode(const struct checkpoint_segment *s, struct writer *w);
/* The next of l->segments in a reader of l->older. */
struct checkpoint_segment checkpoint_segment_decode(struct reader *r);
/* The fixed part alone: of what follows it only the sizes count. */
void checkpoint_log_encode_fixed(const struct checkpoint_log *l, struct writer *w);
int checkpoint_log_decode(struct checkpoint_log *out, struct reader *r) MUST_CHECK;

enum { PARTITION_FILE_SIZE = 4096 };

/* The `partition` file of a log's directory: whose it is.
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LPT1"
 *          4      4  CRC-32C of bytes 8 .. 48
 *          8     16  topic id
 *         24     16  storage id of the root
 *         40      4  partition
 *         44      4  reserved, zero
 *         48     ..  zeros to the end of the block */
#define PARTITION_MAGIC 0x4c505431u
void partition_file_encode(uint8_t out[static PARTITION_FILE_SIZE], struct uuid topic_id,
                           struct uuid storage_id, int32_t partition);
int partition_file_decode(const uint8_t *data, size_t size, struct uuid *topic_id,
                          struct uuid *storage_id, int32_t *partition) MUST_CHECK;
