/* SPDX-License-Identifier: Apache-2.0 */

/* index: an array of (offset, position, largest timestamp before), searched by halving.
 *
 * Because an entry's max_timestamp is that of everything in front of it, the column never falls and
 * one array answers both questions: the last entry at or below an offset, and the last entry with
 * nothing of the wanted time in front of it.
 *
 * Invariants
 *   X1  Offsets and positions grow strictly, max_timestamp never falls. In front of the first
 *       entry (usually there is nothing) a search begins at position 0.
 *   X2  All positions are below indexed_position; all max_timestamp at or below that of the index.
 *   X3  What is missing (memory ran out) makes a scan longer, never an answer wrong.
 *
 * A file is as good as the segment it was made from: it names topic id, partition, base offset and
 * the segment's size, so one that was misplaced, or is of before a change, is refused and made
 * anew. docs/formats/index.md has these tables with the tests that prove them.
 *
 * <base>.index
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LIX1"
 *          4      4  CRC-32C of bytes 8 .. 56 + 20 * entries
 *          8     16  topic id
 *         24      4  partition
 *         28      8  base offset of the segment
 *         36      4  size of the segment in bytes
 *         40      8  largest timestamp of the segment, -1: none
 *         48      4  number of entries
 *         52      4  reserved, zero
 *         56   n*20  entries: offset (8), position (4), largest timestamp before it (8)
 *
 * <base>.sums
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LSM1"
 *          4      4  CRC-32C of bytes 8 .. 40 + 4 * sums
 *          8     16  topic id
 *         24      4  partition
 *         28      8  base offset of the segment
 *         36      4  size of the segment in bytes; one sum for each started 65536 of them
 *         40    n*4  sums: CRC-32C of the identity of the piece, then of its bytes
 *
 * Identity of a piece (not stored; it only begins the sum)
 *
 *     OFFSET   SIZE  MEANING
 *          0     16  topic id
 *         16      4  partition
 *         20      8  base offset of the segment
 *         28      4  position of the piece in the segment
 */
#include "log/index.h"

#include "base/crc32c.h"
#include "base/errors.h"

#define INDEX_MAGIC 0x4c495831u /* "LIX1" */
#define SUMS_MAGIC 0x4c534d31u  /* "LSM1" */

enum {
    INDEX_HEADER_SIZE = 56,
    INDEX_ENTRY_SIZE = 20,
    INDEX_CAPACITY_MIN = 16,
    SUMS_HEADER_SIZE = 40,
    SUMS_IDENTITY_SIZE = 32,
    FILE_COVERED_FROM = 8, /* the sum of a file begins behind itself */
};

static_assert(SUMS_PIECE % 4096 == 0, "a piece is whole blocks");

/* A zeroed index has seen nothing, whatever its max_timestamp says. */
static int64_t index_max(const struct index *x)
{
    return x->indexed_position ? x->max_timestamp : -1;
}

static int index_push(struct index *x, struct memory *m, struct index_entry entry)
{
    if (x->count == x->capacity) {
        uint32_t capacity = x->capacity ? x->capacity * 2 : INDEX_CAPACITY_MIN;
        void *grown = capacity > x->capacity
                          ? memory_resize(m, x->entries, capacity * sizeof *x->entries)
                          : NULL;
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        x->entries = grown;
        x->capacity = capacity;
    }
    x->entries[x->count++] = entry;
    return 0;
}

int index_add(struct index *x, struct memory *m, int64_t offset, uint32_t position, uint32_t size,
              int64_t max_timestamp, uint32_t interval)
{
    assert(position >= x->indexed_position);
    assert(size > 0 && size <= UINT32_MAX - position);
    int64_t max_before = index_max(x);
    int error = 0;
    if (x->count == 0 || position - x->entries[x->count - 1].position >= interval) {
        assert(x->count == 0 || offset > x->entries[x->count - 1].offset);
        error = index_push(x, m, (struct index_entry){offset, position, max_before});
    }
    x->max_timestamp = max_timestamp > max_before ? max_timestamp : max_before;
    x->indexed_position = position + size;
    return error;
}

struct index_entry index_find(const struct index *x, int64_t offset)
{
    uint32_t low = 0, high = x->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->entries[middle].offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? x->entries[low - 1] : (struct index_entry){-1, 0, -1};
}

uint32_t index_position_for_time(const struct index *x, int64_t timestamp)
{
    if (timestamp > index_max(x)) {
        return UINT32_MAX;
    }
    uint32_t low = 0, high = x->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->entries[middle].max_timestamp < timestamp) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? x->entries[low - 1].position : 0;
}

void index_truncate(struct index *x, uint32_t position)
{
    while (x->count > 0 && x->entries[x->count - 1].position >= position) {
        x->count--;
        x->max_timestamp = x->entries[x->count].max_timestamp;
    }
    if (position < x->indexed_position) {
        x->indexed_position = position;
    }
}

void index_free(struct index *x, struct memory *m)
{
    memory_free(m, x->entries);
    *x = (struct index){0};
}

static void identity_encode(struct writer *w, struct uuid topic_id, int32_t partition,
                            int64_t base_offset)
{
    writer_put(w, topic_id.bytes, sizeof topic_id.bytes);
    writer_be32(w, (uint32_t)partition);
    writer_be64(w, (uint64_t)base_offset);
}

static bool identity_decode(struct reader *r, struct uuid topic_id, int32_t partition,
                            int64_t base_offset)
{
    const uint8_t *id = reader_take(r, sizeof topic_id.bytes);
    bool same = id && memcmp(id, topic_id.bytes, sizeof topic_id.bytes) == 0;
    same = (int32_t)reader_be32(r) == partition && same;
    return (int64_t)reader_be64(r) == base_offset && same && !r->failed;
}

/* Writes the sum of a file that starts at `start` of `w` into its second word. */
static void file_seal(struct writer *w, size_t start)
{
    if (!w->failed) {
        const uint8_t *covered = w->data + start + FILE_COVERED_FROM;
        uint32_t sum = crc32c(0, covered, w->size - start - FILE_COVERED_FROM);
        put_be32(w->data + start + 4, sum);
    }
}

/* Whether a file of `size` bytes at the reader's place is there and its sum holds. */
static bool file_check(const struct reader *r, size_t size)
{
    assert(size > FILE_COVERED_FROM);
    if (size > reader_left(r)) {
        return false;
    }
    const uint8_t *file = r->data + r->position;
    return crc32c(0, file + FILE_COVERED_FROM, size - FILE_COVERED_FROM) == get_be32(file + 4);
}

size_t index_file_size(const struct index *x)
{
    return INDEX_HEADER_SIZE + (size_t)x->count * INDEX_ENTRY_SIZE;
}

void index_encode(const struct index *x, struct uuid topic_id, int32_t partition,
                  int64_t base_offset, struct writer *w)
{
    size_t start = w->size;
    writer_be32(w, INDEX_MAGIC);
    writer_be32(w, 0);
    identity_encode(w, topic_id, partition, base_offset);
    writer_be32(w, x->indexed_position);
    writer_be64(w, (uint64_t)index_max(x));
    writer_be32(w, x->count);
    writer_be32(w, 0);
    for (uint32_t i = 0; i < x->count; i++) {
        writer_be64(w, (uint64_t)x->entries[i].offset);
        writer_be32(w, x->entries[i].position);
        writer_be64(w, (uint64_t)x->entries[i].max_timestamp);
    }
    file_seal(w, start);
}

/* Whether `next` can stand behind the entries of `x` (X1, X2); x's other fields are set. */
static bool index_entry_fits(const struct index *x, const struct index_entry *next,
                             int64_t base_offset)
{
    if (next->position >= x->indexed_position || next->max_timestamp > x->max_timestamp) {
        return false;
    }
    if (x->count == 0) {
        return next->offset >= base_offset && next->max_timestamp >= -1;
    }
    const struct index_entry *last = &x->entries[x->count - 1];
    return next->offset > last->offset && next->position > last->position &&
           next->max_timestamp >= last->max_timestamp;
}

int index_decode(struct index *out, struct memory *m, struct uuid topic_id, int32_t partition,
                 int64_t base_offset, uint32_t segment_size, struct reader *r)
{
    struct reader file = *r;
    bool valid = reader_be32(&file) == INDEX_MAGIC;
    reader_be32(&file);
    valid = identity_decode(&file, topic_id, partition, base_offset) && valid;
    struct index x = {.indexed_position = reader_be32(&file)};
    x.max_timestamp = (int64_t)reader_be64(&file);
    uint32_t count = reader_be32(&file);
    valid = reader_be32(&file) == 0 && valid;
    if (file.failed || !valid || x.indexed_position != segment_size || x.max_timestamp < -1 ||
        count > reader_left(&file) / INDEX_ENTRY_SIZE ||
        !file_check(r, INDEX_HEADER_SIZE + (size_t)count * INDEX_ENTRY_SIZE)) {
        return ERR_MALFORMED;
    }
    if (count > 0) {
        x.entries = memory_alloc(m, count * sizeof *x.entries);
        if (!x.entries) {
            return ERR_NO_MEMORY;
        }
        x.capacity = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct index_entry next = {.offset = (int64_t)reader_be64(&file)};
        next.position = reader_be32(&file);
        next.max_timestamp = (int64_t)reader_be64(&file);
        if (!index_entry_fits(&x, &next, base_offset)) {
            index_free(&x, m);
            return ERR_MALFORMED;
        }
        x.entries[x.count++] = next;
    }
    assert(!file.failed && x.count == count);
    *r = file;
    *out = x;
    return 0;
}

uint32_t sums_begin(struct uuid topic_id, int32_t partition, int64_t base_offset, uint32_t position)
{
    assert(position % SUMS_PIECE == 0);
    uint8_t identity[SUMS_IDENTITY_SIZE];
    struct writer w = writer_of(identity, sizeof identity);
    identity_encode(&w, topic_id, partition, base_offset);
    writer_be32(&w, position);
    assert(w.size == sizeof identity);
    return crc32c(0, identity, sizeof identity);
}

uint32_t sums_piece(struct uuid topic_id, int32_t partition, int64_t base_offset, uint32_t position,
                    const void *data, size_t size)
{
    assert(size > 0 && size <= SUMS_PIECE);
    return crc32c(sums_begin(topic_id, partition, base_offset, position), data, size);
}

static uint32_t sums_count(uint32_t segment_size)
{
    return segment_size / SUMS_PIECE + (segment_size % SUMS_PIECE != 0);
}

size_t sums_file_size(uint32_t segment_size)
{
    return SUMS_HEADER_SIZE + (size_t)sums_count(segment_size) * sizeof(uint32_t);
}

void sums_encode(const uint32_t *sums, uint32_t segment_size, struct uuid topic_id,
                 int32_t partition, int64_t base_offset, struct writer *w)
{
    size_t start = w->size;
    writer_be32(w, SUMS_MAGIC);
    writer_be32(w, 0);
    identity_encode(w, topic_id, partition, base_offset);
    writer_be32(w, segment_size);
    for (uint32_t i = 0; i < sums_count(segment_size); i++) {
        writer_be32(w, sums[i]);
    }
    file_seal(w, start);
}

int sums_decode(uint32_t *sums, uint32_t segment_size, struct uuid topic_id, int32_t partition,
                int64_t base_offset, struct reader *r)
{
    struct reader file = *r;
    bool valid = reader_be32(&file) == SUMS_MAGIC;
    reader_be32(&file);
    valid = identity_decode(&file, topic_id, partition, base_offset) && valid;
    valid = reader_be32(&file) == segment_size && valid;
    if (file.failed || !valid || !file_check(r, sums_file_size(segment_size))) {
        return ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < sums_count(segment_size); i++) {
        sums[i] = reader_be32(&file);
    }
    assert(!file.failed);
    *r = file;
    return 0;
}
