/* SPDX-License-Identifier: Apache-2.0 */

/* Encoders and total decoders of the journal and the checkpoint; the tables stand in format.h. */
#include "log/format.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "io/io.h"

enum { GROUP_HEADER_SUMMED = 36, CRC_FIELDS = 8 };

uint32_t group_seed(struct uuid storage_id, uint64_t life, struct uuid boot_id)
{
    uint8_t number[8];
    put_be64(number, life);
    uint32_t seed = crc32c(0, storage_id.bytes, sizeof storage_id.bytes);
    seed = crc32c(seed, boot_id.bytes, sizeof boot_id.bytes);
    return crc32c(seed, number, sizeof number);
}

void group_header_encode(const struct group_header *g, uint32_t seed, uint32_t crc_entries,
                         uint8_t out[static GROUP_HEADER_SIZE])
{
    assert(g->size >= GROUP_HEADER_SIZE);
    put_be32(out, GROUP_MAGIC);
    put_be32(out + 8, g->size);
    put_be32(out + 12, g->count);
    put_be64(out + 16, g->sequence);
    put_be64(out + 24, g->settled);
    put_be32(out + 32, 0);
    put_be32(out + 36, crc32c(seed, out + CRC_FIELDS, GROUP_HEADER_SUMMED - CRC_FIELDS));
    uint32_t crc = crc32c(seed, out + CRC_FIELDS, GROUP_HEADER_SIZE - CRC_FIELDS);
    put_be32(out + 4, crc32c_combine(crc, crc_entries, g->size - GROUP_HEADER_SIZE));
}

bool group_header_decode(struct group_header *out, uint32_t seed, const uint8_t *data,
                         size_t size_max)
{
    if (size_max < GROUP_HEADER_SIZE || get_be32(data) != GROUP_MAGIC) {
        return false;
    }
    if (get_be32(data + GROUP_HEADER_SUMMED) !=
        crc32c(seed, data + CRC_FIELDS, GROUP_HEADER_SUMMED - CRC_FIELDS)) {
        return false;
    }
    struct group_header g = {
        .crc = get_be32(data + 4),
        .size = get_be32(data + 8),
        .count = get_be32(data + 12),
        .sequence = get_be64(data + 16),
        .settled = get_be64(data + 24),
    };
    if (g.size < GROUP_HEADER_SIZE || g.size > size_max || g.sequence > NUMBER_MAX ||
        g.count > (g.size - GROUP_HEADER_SIZE) / ENTRY_HEADER_SIZE) {
        return false;
    }
    *out = g;
    return true;
}

bool group_check(const struct group_header *g, uint32_t seed, const uint8_t *data)
{
    return crc32c(seed, data + CRC_FIELDS, g->size - CRC_FIELDS) == g->crc;
}

void entry_header_encode(const struct entry *e, uint8_t out[static ENTRY_HEADER_SIZE])
{
    put_be32(out, e->body_size);
    out[4] = (uint8_t)e->kind;
    out[5] = (uint8_t)(e->memory | e->alone << 1 | e->gap << 2);
    memset(out + 6, 0, 2);
    memcpy(out + 8, e->topic_id.bytes, sizeof e->topic_id.bytes);
    put_be32(out + 24, (uint32_t)e->partition);
    put_be32(out + 28, (uint32_t)e->leader_epoch);
    put_be64(out + 32, (uint64_t)e->offset);
    put_be64(out + 40, (uint64_t)e->segment_base);
    put_be32(out + 48, e->position);
    put_be32(out + 52, 0);
}

int entry_decode(struct entry *out, struct reader *r)
{
    const uint8_t *at = reader_take(r, ENTRY_HEADER_SIZE);
    if (!at) {
        return ERR_MALFORMED;
    }
    struct entry e = {
        .body_size = get_be32(at),
        .kind = (enum entry_kind)at[4],
        .memory = at[5] & 1,
        .alone = at[5] & 2,
        .gap = at[5] & 4,
        .partition = (int32_t)get_be32(at + 24),
        .leader_epoch = (int32_t)get_be32(at + 28),
        .offset = (int64_t)get_be64(at + 32),
        .segment_base = (int64_t)get_be64(at + 40),
        .position = get_be32(at + 48),
    };
    memcpy(e.topic_id.bytes, at + 8, sizeof e.topic_id.bytes);
    e.body = reader_take(r, e.body_size);
    if (!e.body || e.kind < ENTRY_APPEND || e.kind > ENTRY_ANEW ||
        (uint64_t)e.offset > NUMBER_MAX || (uint64_t)e.segment_base > NUMBER_MAX) {
        return ERR_MALFORMED;
    }
    *out = e;
    return 0;
}

/* The generation of a segment, and in the highest bit that it is not as usual: in what was written anew offsets are
 * left out, in what was appended none. */
static uint32_t generation_word(uint32_t generation, bool gaps)
{
    return generation | (uint32_t)(gaps != (generation > 0)) << 31;
}

static uint32_t generation_of(uint32_t word, bool *gaps)
{
    uint32_t generation = word & GENERATION_MAX;
    *gaps = (word >> 31 != 0) != (generation > 0);
    return generation;
}

void replace_body_encode(const struct replace_body *b, uint8_t out[static REPLACE_BODY_SIZE])
{
    assert(b->generation <= GENERATION_MAX);
    put_be32(out, generation_word(b->generation, b->gaps));
    put_be64(out + 4, (uint64_t)b->max_timestamp);
    put_be64(out + 12, (uint64_t)b->clean_offset);
}

int replace_body_decode(struct replace_body *out, const struct entry *e)
{
    if (e->body_size != REPLACE_BODY_SIZE) {
        return ERR_MALFORMED;
    }
    struct replace_body b = {
        .max_timestamp = (int64_t)get_be64(e->body + 4),
        .clean_offset = (int64_t)get_be64(e->body + 12),
    };
    b.generation = generation_of(get_be32(e->body), &b.gaps);
    if (b.generation == 0 || (uint64_t)b.clean_offset > NUMBER_MAX) {
        return ERR_MALFORMED;
    }
    *out = b;
    return 0;
}

void journal_header_encode(const struct journal_header *h, uint8_t out[static JOURNAL_HEADER_SIZE])
{
    memset(out, 0, JOURNAL_HEADER_SIZE);
    put_be32(out, JOURNAL_MAGIC);
    put_be64(out + 8, h->life);
    memcpy(out + 16, h->storage_id.bytes, sizeof h->storage_id.bytes);
    put_be32(out + 32, h->shard);
    put_be32(out + 36, h->number);
    put_be64(out + 40, h->settled);
    put_be32(out + 4, crc32c(0, out + 8, JOURNAL_HEADER_SIZE - 8));
}

bool journal_header_decode(struct journal_header *out,
                           const uint8_t data[static JOURNAL_HEADER_SIZE])
{
    struct journal_header h = {
        .life = get_be64(data + 8),
        .shard = get_be32(data + 32),
        .number = get_be32(data + 36),
        .settled = get_be64(data + 40),
    };
    memcpy(h.storage_id.bytes, data + 16, sizeof h.storage_id.bytes);
    *out = h;
    return get_be32(data) == JOURNAL_MAGIC && h.settled <= NUMBER_MAX &&
           get_be32(data + 4) == crc32c(0, data + 8, JOURNAL_HEADER_SIZE - 8);
}

void checkpoint_header_encode(const struct checkpoint_header *h, uint8_t *data)
{
    assert(h->size >= CHECKPOINT_HEADER_SIZE && h->size <= CHECKPOINT_BYTES_MAX);
    put_be32(data, CHECKPOINT_MAGIC);
    put_be64(data + 8, h->size);
    put_be64(data + 16, h->life);
    put_be64(data + 24, h->settled);
    put_be64(data + 32, h->live);
    put_be64(data + 40, h->memory_live);
    memcpy(data + 48, h->storage_id.bytes, 16);
    memcpy(data + 64, h->boot_id.bytes, 16);
    put_be32(data + 80, h->shard);
    put_be32(data + 84, h->shards);
    put_be32(data + 88, h->logs);
    put_be32(data + 92, h->flags);
    put_be64(data + 96, h->journal_file_bytes);
    put_be32(data + 104, h->journal_files);
    put_be32(data + 108, 0);
    put_be32(data + 4, crc32c(0, data + CRC_FIELDS, h->size - CRC_FIELDS));
}

int checkpoint_header_decode(struct checkpoint_header *out, const uint8_t *data, size_t available)
{
    if (available < CHECKPOINT_HEADER_SIZE || get_be32(data) != CHECKPOINT_MAGIC) {
        return ERR_MALFORMED;
    }
    struct checkpoint_header h = {
        .size = get_be64(data + 8),
        .life = get_be64(data + 16),
        .settled = get_be64(data + 24),
        .live = get_be64(data + 32),
        .memory_live = get_be64(data + 40),
        .shard = get_be32(data + 80),
        .shards = get_be32(data + 84),
        .logs = get_be32(data + 88),
        .flags = get_be32(data + 92),
        .journal_file_bytes = get_be64(data + 96),
        .journal_files = get_be32(data + 104),
    };
    if (h.size < CHECKPOINT_HEADER_SIZE || h.size > available || h.size > CHECKPOINT_BYTES_MAX ||
        crc32c(0, data + CRC_FIELDS, h.size - CRC_FIELDS) != get_be32(data + 4) ||
        h.life > NUMBER_MAX || h.settled > NUMBER_MAX || h.live > NUMBER_MAX ||
        h.memory_live > NUMBER_MAX || h.shards == 0 || h.live == 0 || h.memory_live == 0) {
        return ERR_MALFORMED;
    }
    memcpy(h.storage_id.bytes, data + 48, 16);
    memcpy(h.boot_id.bytes, data + 64, 16);
    *out = h;
    return 0;
}

size_t checkpoint_log_size(const struct checkpoint_log *l)
{
    return CHECKPOINT_LOG_SIZE + l->name.size + l->epochs.size + l->producers.size +
           (size_t)l->segments * CHECKPOINT_SEGMENT_SIZE + l->unfinished.size;
}

void checkpoint_log_encode_fixed(const struct checkpoint_log *l, struct writer *w)
{
    assert(l->unfinished.size == l->segment_size % IO_BLOCK_SIZE);
    writer_be32(w, (uint32_t)checkpoint_log_size(l));
    writer_put(w, l->topic_id.bytes, sizeof l->topic_id.bytes);
    writer_be32(w, (uint32_t)l->partition);
    writer_u8(w, l->durability);
    writer_u8(w, (uint8_t)(l->has_segment | (l->has_segment && l->gaps) << 1));
    writer_be16(w, (uint16_t)l->name.size);
    writer_be64(w, (uint64_t)l->start_offset);
    writer_be64(w, (uint64_t)l->end_offset);
    writer_be64(w, (uint64_t)l->high_watermark);
    writer_be64(w, (uint64_t)l->segment_base);
    writer_be32(w, l->segment_size);
    writer_be64(w, (uint64_t)l->max_timestamp);
    writer_be32(w, (uint32_t)l->epochs.size);
    writer_be32(w, (uint32_t)l->producers.size);
    writer_be32(w, l->segments);
    writer_be64(w, (uint64_t)l->clean_offset);
}

void checkpoint_segment_encode(const struct checkpoint_segment *s, struct writer *w)
{
    writer_be64(w, (uint64_t)s->base_offset);
    writer_be32(w, s->size);
    writer_be64(w, (uint64_t)s->max_timestamp);
    assert(s->generation <= GENERATION_MAX);
    writer_be32(w, generation_word(s->generation, s->gaps));
}

struct checkpoint_segment checkpoint_segment_decode(struct reader *r)
{
    struct checkpoint_segment s = {.base_offset = (int64_t)reader_be64(r)};
    s.size = reader_be32(r);
    s.max_timestamp = (int64_t)reader_be64(r);
    s.generation = generation_of(reader_be32(r), &s.gaps);
    return s;
}

void checkpoint_log_encode(const struct checkpoint_log *l, struct writer *w)
{
    checkpoint_log_encode_fixed(l, w);
    writer_put(w, l->name.data, l->name.size);
    writer_put(w, l->epochs.data, l->epochs.size);
    writer_put(w, l->producers.data, l->producers.size);
    assert(l->older.size == (size_t)l->segments * CHECKPOINT_SEGMENT_SIZE);
    writer_put(w, l->older.data, l->older.size);
    writer_put(w, l->unfinished.data, l->unfinished.size);
}

static struct bytes take_bytes(struct reader *r, size_t size)
{
    const uint8_t *at = reader_take(r, size);
    return (struct bytes){at, at ? size : 0};
}

/* Older segments follow each other, none is empty, and all lie in front of the newest. */
static bool segments_hold(const struct checkpoint_log *l)
{
    struct reader r = reader_of(l->older.data, l->older.size);
    int64_t before = -1;
    for (uint32_t i = 0; i < l->segments; i++) {
        struct checkpoint_segment s = checkpoint_segment_decode(&r);
        if (s.base_offset <= before || s.size == 0 || s.base_offset >= l->end_offset ||
            (l->has_segment && s.base_offset >= l->segment_base)) {
            return false;
        }
        before = s.base_offset;
    }
    return !r.failed;
}

int checkpoint_log_decode(struct checkpoint_log *out, struct reader *r)
{
    uint32_t size = reader_be32(r);
    if (r->failed || size < CHECKPOINT_LOG_SIZE || size - 4 > reader_left(r)) {
        return ERR_MALFORMED;
    }
    struct reader in = reader_of(reader_take(r, size - 4), size - 4);
    struct checkpoint_log l = {0};
    const uint8_t *id = reader_take(&in, sizeof l.topic_id.bytes);
    memcpy(l.topic_id.bytes, id, sizeof l.topic_id.bytes);
    l.partition = (int32_t)reader_be32(&in);
    l.durability = reader_u8(&in);
    uint8_t flags = reader_u8(&in);
    l.has_segment = flags & 1;
    l.gaps = flags & 2;
    uint16_t name_size = reader_be16(&in);
    l.start_offset = (int64_t)reader_be64(&in);
    l.end_offset = (int64_t)reader_be64(&in);
    l.high_watermark = (int64_t)reader_be64(&in);
    l.segment_base = (int64_t)reader_be64(&in);
    l.segment_size = reader_be32(&in);
    l.max_timestamp = (int64_t)reader_be64(&in);
    uint32_t epochs_size = reader_be32(&in);
    uint32_t producers_size = reader_be32(&in);
    l.segments = reader_be32(&in);
    l.clean_offset = (int64_t)reader_be64(&in);
    if (name_size == 0 || name_size > CHECKPOINT_NAME_MAX ||
        l.segments > size / CHECKPOINT_SEGMENT_SIZE) {
        return ERR_MALFORMED;
    }
    l.name = take_bytes(&in, name_size);
    l.epochs = take_bytes(&in, epochs_size);
    l.producers = take_bytes(&in, producers_size);
    l.older = take_bytes(&in, (size_t)l.segments * CHECKPOINT_SEGMENT_SIZE);
    l.unfinished = take_bytes(&in, l.segment_size % IO_BLOCK_SIZE);
    if (in.failed || reader_left(&in) || l.start_offset < 0 || l.end_offset < l.start_offset ||
        (uint64_t)l.end_offset > NUMBER_MAX || l.durability > 1 || flags > 3 || flags == 2 ||
        l.segment_base < 0 || l.segment_base > l.end_offset || l.clean_offset < 0 ||
        l.clean_offset > l.end_offset || !segments_hold(&l)) {
        return ERR_MALFORMED;
    }
    *out = l;
    return 0;
}

enum { PARTITION_SUMMED = 48 };

void partition_file_encode(uint8_t out[static PARTITION_FILE_SIZE], struct uuid topic_id,
                           struct uuid storage_id, int32_t partition)
{
    memset(out, 0, PARTITION_FILE_SIZE);
    put_be32(out, PARTITION_MAGIC);
    memcpy(out + 8, topic_id.bytes, sizeof topic_id.bytes);
    memcpy(out + 24, storage_id.bytes, sizeof storage_id.bytes);
    put_be32(out + 40, (uint32_t)partition);
    put_be32(out + 4, crc32c(0, out + CRC_FIELDS, PARTITION_SUMMED - CRC_FIELDS));
}

int partition_file_decode(const uint8_t *data, size_t size, struct uuid *topic_id,
                          struct uuid *storage_id, int32_t *partition)
{
    if (size < PARTITION_SUMMED || get_be32(data) != PARTITION_MAGIC ||
        get_be32(data + 4) != crc32c(0, data + CRC_FIELDS, PARTITION_SUMMED - CRC_FIELDS)) {
        return ERR_MALFORMED;
    }
    memcpy(topic_id->bytes, data + 8, sizeof topic_id->bytes);
    memcpy(storage_id->bytes, data + 24, sizeof storage_id->bytes);
    *partition = (int32_t)get_be32(data + 40);
    return 0;
}
