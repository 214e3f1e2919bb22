/* SPDX-License-Identifier: Apache-2.0 */

/* cold: the blocks and the sources that look through them; the picture stands in cold_private.h.
 *
 * A block is read by whoever needs it first, and all who need it meanwhile wait for that read. When
 * it has come each is woken and decides anew from what it then finds, so nothing here remembers
 * what a source wanted. A block that was read when the file was shorter is left to those who hold
 * it and read again for whoever needs more.
 *
 * Failures. A failed read is told to all who wait, and its block forgotten: the next request tries
 * again. A read that ends before the known end of the file is damage. */
#include "log/cold_private.h"

#include "base/crc32c.h"
#include "log/epochs.h"

enum {
    COLD_BLOCK_DEFAULT = 512 << 10,
    COLD_BYTES_DEFAULT = 32 << 20,
    COLD_BATCH_DEFAULT = 16 << 20,
    BATCH_AT_MAGIC = 16,
    BATCH_AT_CRC = 17,
    BATCH_AT_ATTRIBUTES = 21, /* what the CRC covers begins here */
    BATCH_LENGTH_MIN = LOG_BATCH_HEADER - 12,
};

static uint64_t blocks_down(uint64_t bytes)
{
    return bytes / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
}

static uint64_t blocks_up(uint64_t bytes)
{
    return blocks_down(bytes + IO_BLOCK_SIZE - 1);
}

/* --- the reader ------------------------------------------------------------------------------- */

struct cold_reader *cold_reader_new(struct io *io, const struct cold_options *options)
{
    struct memory *memory = io_memory(io);
    struct cold_reader *r = memory_alloc(memory, sizeof *r);
    if (!r) {
        return NULL;
    }
    r->io = io;
    r->memory = memory;
    r->options = *options;
    r->options.block_bytes = options->block_bytes ? options->block_bytes : COLD_BLOCK_DEFAULT;
    r->options.bytes_max = options->bytes_max ? options->bytes_max : COLD_BYTES_DEFAULT;
    r->options.batch_bytes_max =
        options->batch_bytes_max ? options->batch_bytes_max : COLD_BATCH_DEFAULT;
    assert(r->options.block_bytes % IO_BLOCK_SIZE == 0);
    assert(r->options.batch_bytes_max <= INT32_MAX);
    map_init(&r->by_place, memory, 0x6c656174636f6c64, UINT32_MAX);
    list_init(&r->blocks);
    list_init(&r->users);
    list_init(&r->closers);
    return r;
}

struct cold_status cold_status(const struct cold_reader *r)
{
    return r->status;
}

/* Places are small numbers: a key's blocks are counted from 0. */
static uint64_t block_place(const struct cold_reader *r, uint64_t key, uint64_t position)
{
    uint64_t index = position / r->options.block_bytes;
    assert(key >> COLD_KEY_BITS == 0);
    assert(index >> (64 - COLD_KEY_BITS) == 0);
    return key << (64 - COLD_KEY_BITS) | index;
}

static void block_free(struct buffer *buffer)
{
    struct cold_block *b = container_of(buffer, struct cold_block, buffer);
    struct cold_reader *r = b->reader;
    assert(b->magic == COLD_BLOCK_MAGIC);
    assert(!b->cached && io_op_idle(&b->op) && list_empty(&b->waiters));
    assert(r->status.bytes >= buffer->size);
    r->status.bytes -= buffer->size;
    if (b->single) {
        assert(r->single_bytes >= buffer->size);
        r->single_bytes -= buffer->size;
    }
    if (buffer->size == r->options.block_bytes && r->free_count < COLD_FREE_MAX) {
        r->free[r->free_count++] = buffer->data;
    } else {
        memory_free(r->memory, buffer->data);
    }
    b->magic = 0;
    memory_free(r->memory, b);
}

/* Takes the block out of the cache; who holds it keeps it. */
static void block_forget(struct cold_block *b)
{
    assert(b->cached && io_op_idle(&b->op));
    const void *removed =
        map_remove_number(&b->reader->by_place, block_place(b->reader, b->key, b->position));
    assert(removed == b);
    list_remove(&b->lru);
    b->cached = false;
    buffer_release(&b->buffer);
}

/* Whether `size` more bytes fit the budget, after dropping what nobody holds. */
static bool reader_room(struct cold_reader *r, uint64_t size, bool single)
{
    list_each (node, &r->blocks) {
        if (r->status.bytes + size <= r->options.bytes_max) {
            break;
        }
        struct cold_block *b = container_of(node, struct cold_block, lru);
        if (io_op_idle(&b->op) && b->buffer.references == 1) {
            block_forget(b);
        }
    }
    return r->status.bytes + size <= r->options.bytes_max || (single && r->single_bytes == 0);
}

static void block_done(struct io_op *op, int64_t result);

/* A block for `wanted` bytes at `position`, with one reference; NULL: no room. */
static struct cold_block *block_new(struct cold_reader *r, uint64_t key, uint32_t position,
                                    uint32_t wanted, bool single)
{
    assert(position % IO_BLOCK_SIZE == 0 && wanted > 0);
    size_t size = blocks_up(wanted);
    if (!reader_room(r, size, single)) {
        return NULL;
    }
    struct cold_block *b = memory_alloc(r->memory, sizeof *b);
    if (!b) {
        return NULL;
    }
    void *data = size == r->options.block_bytes && r->free_count > 0
                     ? r->free[--r->free_count]
                     : memory_alloc_aligned(r->memory, size, IO_BLOCK_SIZE);
    if (!data) {
        memory_free(r->memory, b);
        return NULL;
    }
    b->magic = COLD_BLOCK_MAGIC;
    b->reader = r;
    b->key = key;
    b->position = position;
    b->wanted = wanted;
    b->single = single;
    b->op.done = block_done;
    list_init(&b->lru);
    list_init(&b->waiters);
    buffer_init(&b->buffer, data, size, block_free);
    r->status.bytes += size;
    r->single_bytes += single ? size : 0;
    return b;
}

static void block_read(struct cold_block *b, struct io_file *file)
{
    b->reader->status.in_flight++;
    b->reader->status.reads++;
    io_read(b->reader->io, &b->op, file, b->buffer.data, b->buffer.size, b->position);
}

/* A block of the grid that is not in the cache: put there, and its read begun. NULL: no room. */
static struct cold_block *block_load(struct cold_source *s, uint64_t position)
{
    struct cold_reader *r = s->priv.reader;
    assert(position % r->options.block_bytes == 0 && position < s->limit);
    uint64_t wanted = s->limit - position;
    wanted = wanted < r->options.block_bytes ? wanted : r->options.block_bytes;
    struct cold_block *b = block_new(r, s->key, (uint32_t)position, (uint32_t)wanted, false);
    if (!b) {
        return NULL;
    }
    if (map_add_number(&r->by_place, block_place(r, s->key, position), b) < 0) {
        buffer_release(&b->buffer);
        return NULL;
    }
    b->cached = true;
    b->transient = s->priv.transient;
    list_append(b->transient ? r->blocks.next : &r->blocks, &b->lru); /* what passes goes first */
    block_read(b, s->file);
    return b;
}

static void block_done(struct io_op *op, int64_t result)
{
    struct cold_block *b = container_of(op, struct cold_block, op);
    struct cold_reader *r = b->reader;
    assert(b->magic == COLD_BLOCK_MAGIC);
    assert(r->status.in_flight > 0);
    r->status.in_flight--;
    if (result < 0) {
        b->error = error_from_errno(result);
    } else {
        b->filled = result < b->wanted ? (uint32_t)result : b->wanted;
    }
    buffer_take(&b->buffer);
    if (b->error && b->cached) {
        block_forget(b);
    }
    struct list woken, *node;
    list_init(&woken);
    list_splice(&woken, &b->waiters);
    while ((node = list_pop(&woken))) {
        struct cold_source *s = container_of(node, struct cold_source, priv.wait);
        s->priv.error = b->error;
        s->priv.wake(s);
    }
    buffer_release(&b->buffer);
    reader_progress(r);
}

bool cold_idle(const struct cold_reader *r, uint64_t key)
{
    list_each (node, &r->users) {
        if (container_of(node, struct cold_source, priv.link)->key == key) {
            return false;
        }
    }
    if (r->status.in_flight == 0) {
        return true;
    }
    list_each (node, &r->blocks) {
        const struct cold_block *b = container_of(node, struct cold_block, lru);
        if (b->key == key && !io_op_idle(&b->op)) {
            return false;
        }
    }
    return true;
}

void cold_forget(struct cold_reader *r, uint64_t key)
{
    assert(cold_idle(r, key));
    list_each (node, &r->blocks) {
        struct cold_block *b = container_of(node, struct cold_block, lru);
        if (b->key == key) {
            block_forget(b);
        }
    }
}

void cold_close_file(struct cold_reader *r, struct cold_close *c)
{
    if (cold_idle(r, c->key)) {
        cold_forget(r, c->key);
        c->done(c);
        return;
    }
    list_init(&c->link);
    list_append(&r->closers, &c->link);
}

static struct cold_close *reader_closable(const struct cold_reader *r)
{
    list_each (node, &r->closers) {
        struct cold_close *c = container_of(node, struct cold_close, link);
        if (cold_idle(r, c->key)) {
            return c;
        }
    }
    return NULL;
}

void reader_progress(struct cold_reader *r)
{
    struct cold_close *c;
    while ((c = reader_closable(r))) {
        list_remove(&c->link);
        cold_forget(r, c->key);
        c->done(c);
    }
    if (r->options.progress) {
        r->options.progress(r->options.context);
    }
}

void cold_reader_free(struct cold_reader *r)
{
    if (!r) {
        return;
    }
    assert(r->status.in_flight == 0);
    assert(list_empty(&r->users) && list_empty(&r->closers));
    while (!list_empty(&r->blocks)) {
        block_forget(container_of(list_first(&r->blocks), struct cold_block, lru));
    }
    assert(r->status.bytes == 0);
    while (r->free_count > 0) {
        memory_free(r->memory, r->free[--r->free_count]);
    }
    map_deinit(&r->by_place);
    memory_free(r->memory, r);
}

/* --- sources ---------------------------------------------------------------------------------- */

void source_open(struct cold_source *s, struct cold_reader *r, void (*wake)(struct cold_source *s))
{
    assert(s->file && s->from <= s->limit);
    memset(&s->priv, 0, sizeof s->priv);
    s->priv.reader = r;
    s->priv.wake = wake;
    list_init(&s->priv.link);
    list_init(&s->priv.wait);
    list_append(&r->users, &s->priv.link);
    s->damage_position = 0;
    s->damage = NULL;
}

static void source_unpin(struct cold_source *s, struct cold_block *b)
{
    if (s->priv.transient && b->transient && b->cached && io_op_idle(&b->op) &&
        b->buffer.references == 2) {
        block_forget(b);
    }
    buffer_release(&b->buffer);
}

static void source_drop_whole(struct cold_source *s)
{
    if (s->priv.whole) {
        buffer_release(&s->priv.whole->buffer);
        s->priv.whole = NULL;
    }
}

void source_close(struct cold_source *s)
{
    assert(list_empty(&s->priv.wait));
    for (size_t i = 0; i < array_size(s->priv.pins); i++) {
        if (s->priv.pins[i]) {
            source_unpin(s, s->priv.pins[i]);
            s->priv.pins[i] = NULL;
        }
    }
    source_drop_whole(s);
    list_remove(&s->priv.link);
}

int source_damaged(struct cold_source *s, uint32_t position, const char *reason)
{
    s->damage_position = position;
    s->damage = reason;
    return ERR_DAMAGED;
}

static int source_wait(struct cold_source *s, struct cold_block *b)
{
    assert(!io_op_idle(&b->op));
    list_append(&b->waiters, &s->priv.wait);
    return 0;
}

/* Pins the grid's block at `position` into `slot`. ERR_BUSY: no room. */
static int source_pin(struct cold_source *s, unsigned slot, uint64_t position)
{
    struct cold_reader *r = s->priv.reader;
    assert(!s->priv.pins[slot]);
    struct cold_block *b = map_get_number(&r->by_place, block_place(r, s->key, position));
    if (!s->priv.pinned) {
        s->priv.pinned = true;
        s->priv.hit = b != NULL;
        r->status.hits += b != NULL;
    }
    if (!b) {
        b = block_load(s, position);
        if (!b) {
            return ERR_BUSY;
        }
    }
    assert(b->magic == COLD_BLOCK_MAGIC && b->key == s->key && b->position == position);
    if (!s->priv.transient) {
        b->transient = false;
        list_remove(&b->lru);
        list_append(&r->blocks, &b->lru);
    }
    buffer_take(&b->buffer);
    s->priv.pins[slot] = b;
    return 0;
}

/* 1: the pinned block has its first `needed` bytes; 0: wait for it; 2: it is of before the file
 * grew and no longer pinned; or its error. */
static int source_pinned(struct cold_source *s, unsigned slot, uint32_t needed)
{
    struct cold_block *b = s->priv.pins[slot];
    if (!io_op_idle(&b->op)) {
        return 0;
    }
    if (needed <= b->filled) {
        return 1;
    }
    int error = b->error;
    if (!error && needed <= b->wanted) {
        return source_damaged(s, b->position + b->filled, "the file ends before its known end");
    }
    if (!error && b->cached) {
        block_forget(b);
    }
    s->priv.pins[slot] = NULL;
    source_unpin(s, b);
    return error ? error : 2;
}

/* Keeps those pins that hold blocks from `first` to `last`, in their places. */
static void source_move(struct cold_source *s, uint64_t first, uint64_t last)
{
    uint64_t size = s->priv.reader->options.block_bytes;
    struct cold_block *old[2] = {s->priv.pins[0], s->priv.pins[1]};
    s->priv.pins[0] = s->priv.pins[1] = NULL;
    for (size_t i = 0; i < array_size(old); i++) {
        if (!old[i]) {
            continue;
        }
        uint64_t index = old[i]->position / size;
        if (index >= first && index <= last) {
            s->priv.pins[index - first] = old[i];
        } else {
            source_unpin(s, old[i]);
        }
    }
}

/* One batch in a buffer of its own: because it is larger than a block, or must lie in one piece. */
static int source_need_whole(struct cold_source *s, uint32_t at, uint32_t size)
{
    struct cold_reader *r = s->priv.reader;
    struct cold_block *b = s->priv.whole;
    if (!b) {
        uint64_t start = blocks_down(at), end = blocks_up((uint64_t)at + size);
        end = end < s->limit ? end : s->limit;
        b = block_new(r, s->key, (uint32_t)start, (uint32_t)(end - start), true);
        if (!b) {
            return ERR_BUSY;
        }
        s->priv.whole = b;
        block_read(b, s->file);
    }
    if (!io_op_idle(&b->op)) {
        return source_wait(s, b);
    }
    if (b->error) {
        return b->error;
    }
    if (at - b->position + size > b->filled) {
        return source_damaged(s, b->position + b->filled, "the file ends before its known end");
    }
    return 1;
}

static bool source_whole_covers(const struct cold_source *s, uint32_t at, uint32_t size)
{
    const struct cold_block *b = s->priv.whole;
    return b && at >= b->position && (uint64_t)at + size <= (uint64_t)b->position + b->wanted;
}

int source_need(struct cold_source *s, uint32_t at, uint32_t size, bool contiguous)
{
    uint64_t block = s->priv.reader->options.block_bytes, end = (uint64_t)at + size;
    assert(size > 0 && end <= s->limit);
    if (s->priv.error) { /* whoever is woken looks from its beginning, perhaps for other blocks */
        return s->priv.error;
    }
    uint64_t first = at / block, last = (end - 1) / block;
    if (!source_whole_covers(s, at, size)) {
        source_drop_whole(s);
    }
    if (s->priv.whole || size > block || (contiguous && first != last)) {
        return source_need_whole(s, at, size);
    }
    source_move(s, first, last);
    struct cold_block *wait = NULL;
    for (uint64_t i = first; i <= last; i++) {
        uint64_t start = i * block;
        uint32_t needed = (uint32_t)((end < start + block ? end : start + block) - start);
        unsigned slot = (unsigned)(i - first);
        int state;
        do { /* twice at most: what is read now is wanted up to the limit */
            int error = s->priv.pins[slot] ? 0 : source_pin(s, slot, start);
            if (error < 0) {
                return error;
            }
            state = source_pinned(s, slot, needed);
        } while (state == 2);
        if (state < 0) {
            return state;
        }
        wait = state == 0 && !wait ? s->priv.pins[slot] : wait;
    }
    return wait ? source_wait(s, wait) : 1;
}

bool source_resident(const struct cold_source *s, uint32_t at, uint32_t size)
{
    const struct cold_reader *r = s->priv.reader;
    uint64_t block = r->options.block_bytes, end = (uint64_t)at + size;
    if (source_whole_covers(s, at, size)) {
        return io_op_idle(&s->priv.whole->op);
    }
    if (size > block) {
        return false;
    }
    for (uint64_t i = at / block; i <= (end - 1) / block; i++) {
        const struct cold_block *b =
            map_get_number(&r->by_place, block_place(r, s->key, i * block));
        if (!b || !io_op_idle(&b->op) ||
            b->filled < (end < (i + 1) * block ? end - i * block : block)) {
            return false;
        }
    }
    return true;
}

struct bytes source_piece(const struct cold_source *s, uint32_t at, uint32_t size,
                          struct buffer **buffer)
{
    const struct cold_block *const held[] = {s->priv.whole, s->priv.pins[0], s->priv.pins[1]};
    for (size_t i = 0; i < array_size(held); i++) {
        const struct cold_block *b = held[i];
        if (b && at >= b->position && at - b->position < b->filled) {
            assert(io_op_idle(&b->op));
            uint32_t left = b->filled - (at - b->position);
            if (buffer) {
                *buffer = (struct buffer *)&b->buffer;
            }
            return bytes_of(b->buffer.data + (at - b->position), size < left ? size : left);
        }
    }
    assert(!"held by the source");
    return (struct bytes){0};
}

uint64_t source_next_block(const struct cold_source *s, uint32_t at)
{
    uint64_t block = s->priv.reader->options.block_bytes;
    return (at / block + 1) * block;
}

void source_ahead(struct cold_source *s, uint64_t at)
{
    struct cold_reader *r = s->priv.reader;
    if (at >= s->limit || r->status.in_flight >= COLD_AHEAD_MAX) {
        return;
    }
    uint64_t start = at / r->options.block_bytes * r->options.block_bytes;
    if (!map_get_number(&r->by_place, block_place(r, s->key, start)) && block_load(s, start)) {
        r->status.reads_ahead++;
    }
}

static const char *header_wrong(const struct cold_source *s, const struct cold_batch *b,
                                uint8_t magic, int64_t expected)
{
    const struct batch_fields *f = &b->fields;
    if (magic != 2) {
        return "no batch begins here: its magic is not 2";
    }
    if (f->length < BATCH_LENGTH_MIN ||
        (uint32_t)f->length > s->priv.reader->options.batch_bytes_max - 12) {
        return "the length of the batch is impossible";
    }
    if (f->base_offset < 0 || f->last_offset_delta < 0 ||
        f->base_offset > INT64_MAX - 1 - f->last_offset_delta) {
        return "the offsets of the batch are impossible";
    }
    if (expected >= 0 && (s->gaps ? f->base_offset < expected : f->base_offset != expected)) {
        return "the batch does not follow the one before it";
    }
    int32_t epoch = s->epochs ? epochs_at(s->epochs, f->base_offset) : -1;
    if (epoch >= 0 && epoch != f->leader_epoch) {
        return "the leader epoch of the batch is not that of its offset";
    }
    return NULL;
}

int source_header(struct cold_source *s, uint32_t at, int64_t expected, struct cold_batch *out)
{
    assert(at < s->limit);
    if (s->limit - at < LOG_BATCH_HEADER) {
        return s->open ? 2 : source_damaged(s, at, "the file ends within a batch");
    }
    int rc = source_need(s, at, LOG_BATCH_HEADER, false);
    if (rc <= 0) {
        return rc;
    }
    uint8_t header[LOG_BATCH_HEADER];
    for (uint32_t have = 0; have < sizeof header;) {
        struct bytes piece = source_piece(s, at + have, (uint32_t)sizeof header - have, NULL);
        memcpy(header + have, piece.data, piece.size);
        have += (uint32_t)piece.size;
    }
    struct cold_batch b = {.position = at};
    batch_fields_read(&b.fields, header);
    b.crc = get_be32(header + BATCH_AT_CRC);
    b.attributes = get_be16(header + BATCH_AT_ATTRIBUTES);
    const char *wrong = header_wrong(s, &b, header[BATCH_AT_MAGIC], expected);
    if (wrong) {
        return source_damaged(s, at, wrong);
    }
    b.size = (uint32_t)b.fields.length + 12;
    if (b.size > s->limit - at) {
        return s->open ? 2 : source_damaged(s, at, "the file ends within a batch");
    }
    *out = b;
    return 1;
}

bool source_crc(const struct cold_source *s, const struct cold_batch *b)
{
    uint32_t crc = 0, end = b->position + b->size;
    for (uint32_t at = b->position + BATCH_AT_ATTRIBUTES; at < end;) {
        struct bytes piece = source_piece(s, at, end - at, NULL);
        crc = crc32c(crc, piece.data, piece.size);
        at += (uint32_t)piece.size;
    }
    return crc == b->crc;
}
