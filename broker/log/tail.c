/* SPDX-License-Identifier: Apache-2.0 */

/* The tail: aligned chunks that hold the newest bytes of a segment, until and after they are
 * written.
 *
 *      segment   0        written      submitted        size     allocated
 *                |-----------|-------------|--------------|----------|
 *      chunks          [ 64 KiB ][  128 KiB   ][     256 KiB ....    ]
 *
 * Chunks lie one behind the other without gaps; each begins on a block of its segment and is a
 * power of two of blocks, so that whole blocks are written from where they lie. A chunk is dropped
 * when all of it is on disk; until then it is the only place of its bytes. The unfinished last
 * block of an active segment is always in a chunk. What was lent as a slice is never written over:
 * a truncation copies. */
#include "log/log_private.h"

enum { CHUNK_FREE_BYTES_MAX = 16 << 20 };

static unsigned chunk_class(size_t size)
{
    unsigned class = 0;
    while (((size_t)IO_BLOCK_SIZE << class) < size) {
        class ++;
    }
    assert(class < LOG_CHUNK_CLASSES);
    return class;
}

static void chunk_free(struct buffer *b)
{
    struct chunk *c = container_of(b, struct chunk, buffer);
    struct log_set *set = c->set;
    assert(!c->segment);
    set->tail_bytes -= b->size;
    unsigned class = chunk_class(b->size);
    size_t whole = (size_t)IO_BLOCK_SIZE << class;
    if (set->chunks_free_bytes + whole <= CHUNK_FREE_BYTES_MAX) {
        *(void **)(void *)b->data = set->chunks_free[class];
        set->chunks_free[class] = b->data;
        set->chunks_free_bytes += whole;
    } else {
        memory_free(set->memory, b->data);
    }
    memory_free(set->memory, c);
}

static void *chunk_memory(struct log_set *set, size_t size)
{
    unsigned class = chunk_class(size);
    size_t whole = (size_t)IO_BLOCK_SIZE << class;
    void *data = set->chunks_free[class];
    if (data) {
        set->chunks_free[class] = *(void **)data;
        set->chunks_free_bytes -= whole;
        return data;
    }
    return memory_alloc_aligned(set->memory, whole, IO_BLOCK_SIZE);
}

void tail_free_lists(struct log_set *set)
{
    for (unsigned class = 0; class < LOG_CHUNK_CLASSES; class ++) {
        while (set->chunks_free[class]) {
            void *data = set->chunks_free[class];
            set->chunks_free[class] = *(void **)data;
            memory_free(set->memory, data);
        }
    }
    set->chunks_free_bytes = 0;
}

/* Makes a chunk that begins at `position`; not yet in a list. */
static struct chunk *chunk_new(struct segment *s, uint32_t position, size_t size)
{
    struct log_set *set = s->log->set;
    assert(position % IO_BLOCK_SIZE == 0);
    struct chunk *c = memory_alloc(set->memory, sizeof *c);
    void *data = c ? chunk_memory(set, size) : NULL;
    if (!data) {
        memory_free(set->memory, c);
        return NULL;
    }
    buffer_init(&c->buffer, data, size, chunk_free);
    c->set = set;
    c->segment = s;
    c->position = position;
    list_init(&c->link);
    list_init(&c->lru);
    list_append(&set->chunks, &c->lru);
    set->tail_bytes += size;
    return c;
}

static void chunk_drop(struct chunk *c)
{
    list_remove(&c->link);
    list_remove(&c->lru);
    c->segment = NULL;
    buffer_release(&c->buffer);
}

static struct chunk *chunk_of(struct list *node)
{
    return container_of(node, struct chunk, link);
}

static struct chunk *last_chunk(const struct segment *s)
{
    return list_empty(&s->chunks) ? NULL : chunk_of(s->chunks.prev);
}

static bool chunk_on_disk(const struct chunk *c)
{
    const struct segment *s = c->segment;
    if (s->state == SEGMENT_SEALED) {
        return true;
    }
    return c->filled == c->buffer.size && c->position + c->filled <= s->written;
}

/* An active segment that rests keeps one block of its last chunk, no more. */
static bool chunk_shrink(struct chunk *c)
{
    struct segment *s = c->segment;
    uint32_t whole = s->size / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    if (s->state != SEGMENT_ACTIVE || c != last_chunk(s) || c->buffer.size == IO_BLOCK_SIZE ||
        s->written != whole || s->submitted != whole || c->position + c->filled != s->size) {
        return false;
    }
    struct chunk *small = NULL;
    if (s->size > whole) {
        small = chunk_new(s, whole, IO_BLOCK_SIZE);
        if (!small) {
            return false;
        }
        small->filled = s->size - whole;
        memcpy(small->buffer.data, c->buffer.data + (whole - c->position), small->filled);
        list_append(&s->chunks, &small->link);
    }
    chunk_drop(c);
    return true;
}

/* An unfinished block of each log stays where it is: many logs must not use up the budget with them. */
static bool tail_fits(const struct log_set *set, uint64_t need)
{
    uint64_t resting = (uint64_t)map_count(&set->by_id) * IO_BLOCK_SIZE;
    return set->tail_bytes + need <= set->options.tail_bytes_max + resting;
}

static void chunk_give_back(struct chunk *c)
{
    if (c->segment->chunks.next != &c->link) {
        return; /* the tail has no holes: its front goes first */
    }
    if (chunk_on_disk(c)) {
        chunk_drop(c);
    } else {
        chunk_shrink(c);
    }
}

/* Gives back what is on disk, the longest unused first, until `need` bytes fit into the budget. */
static bool tail_reclaim(struct log_set *set, uint64_t need)
{
    list_each (node, &set->chunks) {
        if (tail_fits(set, need)) {
            return true;
        }
        chunk_give_back(container_of(node, struct chunk, lru));
    }
    return tail_fits(set, need);
}

/* Memory has run out below the budget: what is on disk goes. False: nothing of it was left. */
static bool tail_give_back(struct log_set *set)
{
    uint64_t before = set->tail_bytes + set->chunks_free_bytes;
    list_each (node, &set->chunks) {
        chunk_give_back(container_of(node, struct chunk, lru));
    }
    tail_free_lists(set);
    return set->tail_bytes < before;
}

/* The next chunk doubles the last, within what a log may take when many share the tail; a large
 * batch gets large chunks in any case, so that it lies in few. */
static size_t chunk_size_next(const struct segment *s, uint32_t need)
{
    const struct log_set *set = s->log->set;
    const struct chunk *last = last_chunk(s);
    uint64_t logs = map_count(&set->by_id);
    uint64_t limit = set->options.tail_bytes_max / 4 / (logs ? logs : 1);
    uint64_t size = last ? last->buffer.size * 2 : IO_BLOCK_SIZE;
    size = size > limit ? limit : size;
    size = size < need ? need : size;
    size = size > set->options.chunk_bytes_max ? set->options.chunk_bytes_max : size;
    return (size_t)IO_BLOCK_SIZE << chunk_class(size);
}

/* Where the next chunk would begin. */
static uint64_t tail_end(const struct segment *s)
{
    const struct chunk *last = last_chunk(s);
    assert(last || s->size % IO_BLOCK_SIZE == 0);
    return last ? last->position + last->buffer.size : s->size;
}

bool tail_reserve(struct segment *s, uint32_t size)
{
    struct log_set *set = s->log->set;
    while (tail_end(s) - s->size < size) {
        size_t take = chunk_size_next(s, (uint32_t)(size - (tail_end(s) - s->size)));
        if (!tail_reclaim(set, take)) {
            return false;
        }
        /* Reclaiming may have made this segment's own last chunk smaller: its end is asked for anew. */
        struct chunk *c = chunk_new(s, (uint32_t)tail_end(s), take);
        if (c) {
            list_append(&s->chunks, &c->link);
        } else if (!tail_give_back(set)) {
            return false;
        }
    }
    return true;
}

void tail_put(struct segment *s, const struct iovec *pieces, unsigned count)
{
    struct chunk *c = last_chunk(s);
    assert(c);
    while (c->position > s->size) {
        c = chunk_of(c->link.prev);
    }
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *from = pieces[i].iov_base;
        size_t left = pieces[i].iov_len;
        while (left) {
            if (c->filled == c->buffer.size) {
                assert(c->link.next != &s->chunks);
                c = chunk_of(c->link.next);
            }
            size_t part = c->buffer.size - c->filled;
            part = part < left ? part : left;
            assert(c->position + c->filled == s->size);
            segment_sums_copy(s, c->buffer.data + c->filled, from, part);
            c->filled += (uint32_t)part;
            s->size += (uint32_t)part;
            from += part;
            left -= part;
        }
    }
    list_remove(&c->lru);
    list_append(&s->log->set->chunks, &c->lru);
}

uint32_t tail_from(const struct segment *s)
{
    return list_empty(&s->chunks) ? s->size : chunk_of(s->chunks.next)->position;
}

/* The chunk that holds the byte at `position`, which is not in front of the first one; looked for from the nearer end.
 * The list itself when there is none. */
static struct list *chunk_at(const struct segment *s, uint32_t position)
{
    struct list *at = s->chunks.prev;
    if (position - tail_from(s) < s->size - position) {
        for (at = s->chunks.next; at != &s->chunks; at = at->next) {
            const struct chunk *c = chunk_of(at);
            if (position < c->position + c->filled) {
                break;
            }
        }
        return at;
    }
    while (at != &s->chunks && chunk_of(at)->position > position) {
        at = at->prev;
    }
    return at;
}

bool tail_copy(const struct segment *s, uint32_t position, void *out, uint32_t size)
{
    if (position < tail_from(s) || position + (uint64_t)size > s->size) {
        return false;
    }
    uint8_t *to = out;
    for (struct list *at = size ? chunk_at(s, position) : NULL; size; at = at->next) {
        assert(at != &s->chunks);
        const struct chunk *c = chunk_of(at);
        uint32_t part = c->position + c->filled - position;
        part = part < size ? part : size;
        memcpy(to, c->buffer.data + (position - c->position), part);
        to += part;
        position += part;
        size -= part;
    }
    return true;
}

unsigned tail_slices(const struct segment *s, uint32_t position, uint32_t size, struct slice *out,
                     unsigned count)
{
    assert(position >= tail_from(s) && position + (uint64_t)size <= s->size);
    unsigned used = 0;
    for (struct list *at = size ? chunk_at(s, position) : NULL; size && used < count;
         at = at->next) {
        assert(at != &s->chunks);
        struct chunk *c = chunk_of(at);
        uint32_t part = c->position + c->filled - position;
        part = part < size ? part : size;
        out[used++] = (struct slice){c->buffer.data + (position - c->position), part,
                                     buffer_take(&c->buffer)};
        position += part;
        size -= part;
    }
    if (size) {
        while (used) {
            slice_release(&out[--used]);
        }
    }
    return used;
}

/* A chunk that others read is left to them; the segment goes on with a copy of what it keeps. */
static bool chunk_unshare(struct segment *s, struct chunk *c)
{
    if (c->buffer.references == 1) {
        return true;
    }
    struct chunk *copy = chunk_new(s, c->position, c->buffer.size);
    if (!copy) {
        return false;
    }
    copy->filled = c->filled;
    memcpy(copy->buffer.data, c->buffer.data, c->filled);
    list_append(&s->chunks, &copy->link);
    chunk_drop(c);
    return true;
}

void tail_truncate(struct segment *s, uint32_t position)
{
    assert(position <= s->size);
    while (last_chunk(s) && last_chunk(s)->position >= position) {
        chunk_drop(last_chunk(s));
    }
    struct chunk *c = last_chunk(s);
    if (c && c->position + c->filled > position) {
        c->filled = position - c->position;
        if (!chunk_unshare(s, c)) {
            io_fatal(s->log->set->io, "log: no memory to truncate %s-%d: raise limits.memory",
                     s->log->topic, (int)s->log->partition);
        }
    }
    s->size = position;
    uint32_t whole = position / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    s->submitted = s->submitted < whole ? s->submitted : whole;
    s->written = s->written < whole ? s->written : whole;
}

void tail_drop(struct segment *s, bool all)
{
    list_each (node, &s->chunks) {
        struct chunk *c = chunk_of(node);
        if (all || chunk_on_disk(c)) {
            chunk_drop(c);
        } else if (c == last_chunk(s)) {
            chunk_shrink(c);
        }
    }
}

unsigned tail_iovecs(const struct segment *s, uint32_t from, uint32_t to, struct iovec *out,
                     unsigned count, uint32_t *reached)
{
    assert(from % IO_BLOCK_SIZE == 0 && to % IO_BLOCK_SIZE == 0);
    unsigned used = 0;
    list_each (node, &s->chunks) {
        const struct chunk *c = chunk_of(node);
        uint64_t end = c->position + c->buffer.size;
        if (from >= end) {
            continue;
        }
        if (from == to || used == count) {
            break;
        }
        assert(from >= c->position);
        uint32_t part = (uint32_t)(end < to ? end : to) - from;
        out[used++] = (struct iovec){c->buffer.data + (from - c->position), part};
        from += part;
    }
    *reached = from;
    return used;
}

struct chunk *tail_chunk_before(struct segment *s, uint32_t from, uint32_t size)
{
    assert(from % IO_BLOCK_SIZE == 0 && size % IO_BLOCK_SIZE == 0 && size > 0);
    struct log_set *set = s->log->set;
    if (!tail_reclaim(set, size)) {
        return NULL;
    }
    return chunk_new(s, from, size);
}
