/* SPDX-License-Identifier: Apache-2.0 */

/* Growth doubles, from a size that holds most answers at once; the limit cuts the last step short.
 */
#include "wire/writer.h"

#include "base/errors.h"
#include "wire/varint.h"

enum {
    CAPACITY_FIRST = 512,
    SPLICES_FIRST = 8,
};

void wire_writer_init(struct wire_writer *w, struct memory *memory, size_t limit)
{
    assert(memory);
    assert(limit > 0);
    *w = (struct wire_writer){.memory = memory, .limit = limit};
}

static void writer_release(struct wire_writer *w)
{
    for (uint32_t i = 0; i < w->splice_count; i++) {
        slice_release(&w->splices[i].slice);
    }
    w->splice_count = 0;
    w->spliced_bytes = 0;
    w->size = 0;
    w->error = 0;
}

void wire_writer_deinit(struct wire_writer *w)
{
    if (!w || !w->memory) {
        return;
    }
    writer_release(w);
    memory_free(w->memory, w->data);
    memory_free(w->memory, w->splices);
    *w = (struct wire_writer){0};
}

void wire_writer_reset(struct wire_writer *w)
{
    assert(w->memory);
    writer_release(w);
    assert(w->size == 0);
}

bool wire_writer_grow(struct wire_writer *w, size_t size)
{
    if (w->error) {
        return false;
    }
    if (size > SIZE_MAX - w->size || w->size + size > w->limit) {
        w->error = ERR_TOO_LARGE;
        return false;
    }
    size_t need = w->size + size;
    assert(need > w->capacity || !w->data);
    size_t capacity = w->capacity ? w->capacity : CAPACITY_FIRST;
    while (capacity < need) {
        capacity = capacity > w->limit / 2 ? w->limit : capacity * 2;
    }
    capacity = capacity > w->limit ? w->limit : capacity;
    uint8_t *data = memory_alloc_aligned(w->memory, capacity, MEMORY_ALIGN);
    if (!data) {
        w->error = ERR_NO_MEMORY;
        return false;
    }
    if (w->size) {
        memcpy(data, w->data, w->size);
    }
    memory_free(w->memory, w->data);
    w->data = data;
    w->capacity = capacity;
    return true;
}

bool wire_writer_splice(struct wire_writer *w, struct slice slice)
{
    assert(slice.data || slice.size == 0);
    if (w->error) {
        return false;
    }
    if (w->splice_count == w->splice_capacity) {
        uint32_t capacity = w->splice_capacity ? w->splice_capacity * 2 : SPLICES_FIRST;
        if (capacity > WIRE_SPLICES_MAX) {
            w->error = ERR_TOO_LARGE;
            return false;
        }
        void *grown = memory_resize(w->memory, w->splices, capacity * sizeof *w->splices);
        if (!grown) {
            w->error = ERR_NO_MEMORY;
            return false;
        }
        w->splices = grown;
        w->splice_capacity = capacity;
    }
    w->splices[w->splice_count++] = (struct wire_splice){w->size, slice};
    w->spliced_bytes += slice.size;
    return true;
}

void wire_writer_rewind(struct wire_writer *w, struct wire_mark mark)
{
    assert(mark.size <= w->size);
    assert(mark.splice_count <= w->splice_count);
    w->size = mark.size;
    w->splice_count = mark.splice_count;
    w->spliced_bytes = mark.spliced_bytes;
}

/* Adds what of `size` bytes at `data` lies behind the first `*skip` bytes. */
static int iovec_add(struct iovec *out, int used, int count, const uint8_t *data, size_t size,
                     size_t *skip)
{
    assert(used <= count);
    if (*skip >= size) {
        *skip -= size;
        return used;
    }
    if (used < count) {
        out[used++] = (struct iovec){(void *)(uintptr_t)(data + *skip), size - *skip};
        *skip = 0;
    }
    return used;
}

/* The raw bytes from `from` to `to`. */
static int iovec_add_raw(struct iovec *out, int used, int count, const struct wire_writer *w,
                         size_t from, size_t to, size_t *skip)
{
    assert(from <= to);
    return from == to ? used : iovec_add(out, used, count, w->data + from, to - from, skip);
}

int wire_writer_iovecs(const struct wire_writer *w, size_t offset, struct iovec *out, int count)
{
    assert(count > 0);
    assert(offset <= wire_writer_total(w));
    int used = 0;
    size_t position = 0;
    for (uint32_t i = 0; i < w->splice_count && used < count; i++) {
        const struct wire_splice *splice = &w->splices[i];
        assert(splice->position >= position && splice->position <= w->size);
        used = iovec_add_raw(out, used, count, w, position, splice->position, &offset);
        position = splice->position;
        if (used < count) {
            used = iovec_add(out, used, count, splice->slice.data, splice->slice.size, &offset);
        }
    }
    if (used < count) {
        used = iovec_add_raw(out, used, count, w, position, w->size, &offset);
    }
    return used;
}

void wire_frame_begin(struct wire_writer *w)
{
    assert(w->size == 0);
    assert(w->splice_count == 0);
    wire_put_be32(w, 0);
}

int wire_frame_end(struct wire_writer *w)
{
    if (w->error) {
        return w->error;
    }
    assert(w->size >= WIRE_FRAME_SIZE_BYTES);
    size_t size = wire_writer_total(w) - WIRE_FRAME_SIZE_BYTES;
    if (size > INT32_MAX) {
        w->error = ERR_TOO_LARGE;
        return w->error;
    }
    put_be32(w->data, (uint32_t)size);
    return 0;
}

void wire_put_uvarint(struct wire_writer *w, uint32_t value)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    wire_put(w, bytes, uvarint_put(bytes, value));
}
