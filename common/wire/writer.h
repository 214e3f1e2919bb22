/* SPDX-License-Identifier: Apache-2.0 */

/* writer: an outgoing message that holds its record batches by reference.
 *
 * Everything but records is written into one growing block of raw bytes; records are kept as
 * splices, each a slice and the place in the raw bytes in front of which it belongs. So a fetch
 * answer is small however much it carries, and its bytes go from the log to the socket without a
 * copy.
 *
 *     raw bytes   |size|header|... topic, partition ...|... partition ...|
 *     splices                                          ^slice, slice     ^slice
 *
 * The first failure latches in `error` and makes further writes harmless; wire_frame_end() and the
 * encoders return it. One writer holds one frame at a time and may be used again after a reset.
 *
 * Invariants
 *   W1  Splice positions never fall, and none lies beyond `size`.
 *   W2  The writer holds exactly one reference of each splice's buffer until it is reset.
 *   W3  `capacity` never passes `limit`: the limit bounds the raw bytes, not what they refer to. */
#pragma once

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/memory.h"

#include <sys/uio.h>

struct wire_splice {
    size_t position; /* in the raw bytes: the slice comes before the byte at this place */
    struct slice slice;
};

struct wire_writer {
    struct memory *memory;
    uint8_t *data;
    size_t size, capacity, limit;
    struct wire_splice *splices;
    uint32_t splice_count, splice_capacity;
    size_t spliced_bytes; /* sum of all slices */
    int error;            /* 0, ERR_NO_MEMORY or ERR_TOO_LARGE */
};

enum {
    WIRE_FRAME_SIZE_BYTES = 4,
    WIRE_SPLICES_MAX = 1 << 20,
};

/* Nothing is allocated before the first byte. `limit` > 0. */
void wire_writer_init(struct wire_writer *w, struct memory *memory, size_t limit);

/* Releases the slices and the memory; all-zero is accepted. */
void wire_writer_deinit(struct wire_writer *w);

/* Releases the slices, keeps the memory, clears the error. */
void wire_writer_reset(struct wire_writer *w);

/* Makes room for `size` bytes more than there are; false latches the error. */
bool wire_writer_grow(struct wire_writer *w, size_t size);

/* Room for `size` bytes, uncleared, to be filled before the next call; NULL latches the error. */
static inline uint8_t *wire_writer_room(struct wire_writer *w, size_t size)
{
    assert(w->size <= w->capacity);
    bool fits = w->data && !w->error && size <= w->capacity - w->size;
    if (!fits && !wire_writer_grow(w, size)) {
        return NULL;
    }
    uint8_t *at = w->data + w->size;
    w->size += size;
    return at;
}

/* Adds a slice behind everything written so far and takes its reference. On failure (false) the
 * reference stays with the caller. */
bool wire_writer_splice(struct wire_writer *w, struct slice slice) MUST_CHECK;

/* Raw bytes and slices together. */
static inline size_t wire_writer_total(const struct wire_writer *w)
{
    return w->size + w->spliced_bytes;
}

/* Fills at most `count` entries with what follows the first `offset` bytes of the whole; returns
 * how many. 0 means that nothing is left. The entries are lent until the writer changes. */
int wire_writer_iovecs(const struct wire_writer *w, size_t offset, struct iovec *out, int count);

/* Leaves room for the frame's size at the start of an empty writer; wire_frame_end() fills it in
 * and returns 0 or the latched error (ERR_TOO_LARGE also above what a frame can say). */
void wire_frame_begin(struct wire_writer *w);
int wire_frame_end(struct wire_writer *w) MUST_CHECK;

/* A place to come back to: what failed to encode is cut off, and the references of its slices are
 * the caller's again. */
struct wire_mark {
    size_t size, spliced_bytes;
    uint32_t splice_count;
};

static inline struct wire_mark wire_writer_mark(const struct wire_writer *w)
{
    return (struct wire_mark){w->size, w->spliced_bytes, w->splice_count};
}

void wire_writer_rewind(struct wire_writer *w, struct wire_mark mark);

static inline void wire_put(struct wire_writer *w, const void *data, size_t size)
{
    uint8_t *p = wire_writer_room(w, size);
    if (p && size) {
        memcpy(p, data, size);
    }
}

static inline void wire_put_u8(struct wire_writer *w, uint8_t value)
{
    uint8_t *p = wire_writer_room(w, 1);
    if (p) {
        *p = value;
    }
}

static inline void wire_put_be16(struct wire_writer *w, uint16_t value)
{
    uint8_t *p = wire_writer_room(w, 2);
    if (p) {
        put_be16(p, value);
    }
}

static inline void wire_put_be32(struct wire_writer *w, uint32_t value)
{
    uint8_t *p = wire_writer_room(w, 4);
    if (p) {
        put_be32(p, value);
    }
}

static inline void wire_put_be64(struct wire_writer *w, uint64_t value)
{
    uint8_t *p = wire_writer_room(w, 8);
    if (p) {
        put_be64(p, value);
    }
}

void wire_put_uvarint(struct wire_writer *w, uint32_t value);
