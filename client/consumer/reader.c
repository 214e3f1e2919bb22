/* SPDX-License-Identifier: Apache-2.0 */

#include "consumer/reader.h"

#include "base/errors.h"

struct plain_batch {
    struct list link;
    struct wire_writer bytes;
};

void plain_store_init(struct plain_store *s, struct memory *memory)
{
    *s = (struct plain_store){.memory = memory};
    list_init(&s->batches);
    list_init(&s->spares);
}

static void plain_free(struct plain_store *s, struct plain_batch *p)
{
    list_remove(&p->link);
    wire_writer_deinit(&p->bytes);
    memory_free(s->memory, p);
}

/* An empty batch that may grow to `limit` bytes, in no list. */
static struct plain_batch *plain_take(struct plain_store *s, size_t limit)
{
    struct list *node = list_pop(&s->spares);
    if (node) {
        struct plain_batch *spare = container_of(node, struct plain_batch, link);
        assert(s->spare_count > 0 && spare->bytes.size == 0);
        s->spare_count--;
        spare->bytes.limit = limit;
        return spare;
    }
    struct plain_batch *p = memory_alloc(s->memory, sizeof *p);
    if (p) {
        list_init(&p->link);
        wire_writer_init(&p->bytes, s->memory, limit);
    }
    return p;
}

/* Takes back a batch that is in no list. */
static void plain_give(struct plain_store *s, struct plain_batch *p)
{
    if (p->bytes.capacity > PLAIN_SPARE_BYTES || s->spare_count == PLAIN_SPARES_MAX) {
        plain_free(s, p);
        return;
    }
    wire_writer_reset(&p->bytes);
    list_append(&s->spares, &p->link);
    s->spare_count++;
}

void plain_store_release(struct plain_store *s)
{
    list_each (node, &s->batches) {
        struct plain_batch *p = container_of(node, struct plain_batch, link);
        if (p != s->current) {
            assert(s->bytes >= p->bytes.size);
            s->bytes -= p->bytes.size;
            list_remove(&p->link);
            plain_give(s, p);
        }
    }
}

void plain_store_deinit(struct plain_store *s)
{
    assert(!s->current);
    plain_store_release(s);
    list_each (node, &s->spares) {
        plain_free(s, container_of(node, struct plain_batch, link));
    }
    s->spare_count = 0;
    codec_kept_free(&s->kept);
}

void chunk_reader_open(struct chunk_reader *r, struct bytes data, int64_t offset,
                       struct plain_store *store)
{
    assert(!store->current);
    *r = (struct chunk_reader){.data = data, .next_offset = offset, .store = store};
}

void chunk_reader_close(struct chunk_reader *r)
{
    r->store->current = NULL;
    r->in_batch = false;
    r->position = r->data.size;
}

static int reader_decompress(struct chunk_reader *r, struct bytes in, struct bytes *out)
{
    struct decompress_limits limits = decompress_limits_of(r->batch_max_bytes);
    struct plain_store *s = r->store;
    struct plain_batch *p = plain_take(s, r->batch_max_bytes);
    if (!p) {
        return ERR_NO_MEMORY;
    }
    int error =
        decompress_append_kept(&s->kept, batch_codec(&r->batch), in, &limits, s->memory, &p->bytes);
    if (error) {
        plain_give(s, p);
        return error;
    }
    list_append(&s->batches, &p->link);
    s->current = p;
    s->bytes += p->bytes.size;
    *out = bytes_of(p->bytes.data, p->bytes.size);
    return 0;
}

/* Whether a batch belongs to an aborted transaction; keeps the list of those under way. An entry
 * whose first_offset has been passed is under way until the producer's abort marker. */
static bool reader_aborted(struct chunk_reader *r)
{
    const struct batch_header *b = &r->batch;
    bool marker = b->attributes & BATCH_CONTROL;
    if (r->read_uncommitted || !(b->attributes & BATCH_TRANSACTIONAL)) {
        return false;
    }
    for (size_t i = 0; i < r->aborted_count; i++) {
        struct aborted *a = &r->aborted[i];
        if (a->producer_id == b->producer_id && a->first_offset <= batch_last_offset(b)) {
            if (marker) {
                a->producer_id = -1;
            }
            return true;
        }
    }
    return false;
}

/* Enters the next batch that has records to give: 1, 0 at the end, or an error. */
static int reader_enter(struct chunk_reader *r)
{
    for (;;) {
        const uint8_t *at = r->data.data + r->position;
        size_t left = r->data.size - r->position;
        if (left < BATCH_HEADER_SIZE || batch_size_peek(at) > left) {
            r->position = r->data.size;
            return 0;
        }
        int error = batch_header_read(&r->batch, at, left);
        if (error) {
            r->position = r->data.size;
            return ERR_CORRUPT_MESSAGE;
        }
        r->position += r->batch.size;
        if (batch_last_offset(&r->batch) < r->next_offset) {
            continue;
        }
        if (r->check_crcs && batch_check_crc(&r->batch, at)) {
            return ERR_CORRUPT_MESSAGE;
        }
        if (batch_check_rules(&r->batch, BATCH_FROM_LOG)) {
            return ERR_CORRUPT_MESSAGE;
        }
        bool aborted = reader_aborted(r);
        if (aborted || (r->batch.attributes & BATCH_CONTROL)) {
            r->next_offset = batch_last_offset(&r->batch) + 1;
            continue;
        }
        struct bytes records = bytes_of(at + BATCH_HEADER_SIZE, r->batch.size - BATCH_HEADER_SIZE);
        if (batch_codec(&r->batch) != CODEC_NONE) {
            error = reader_decompress(r, records, &records);
            if (error) {
                return error == ERR_NO_MEMORY || error == ERR_TOO_LARGE ? error
                                                                        : ERR_CORRUPT_MESSAGE;
            }
        }
        record_reader_init(&r->records, &r->batch, records);
        r->in_batch = true;
        return 1;
    }
}

int chunk_reader_next(struct chunk_reader *r, struct record *out)
{
    for (;;) {
        if (!r->in_batch) {
            int entered = reader_enter(r);
            if (entered <= 0) {
                return entered;
            }
        }
        int found = record_next(&r->records, out);
        if (found == 1 && out->offset >= r->next_offset) {
            r->next_offset = out->offset + 1;
            return 1;
        }
        if (found == 1) {
            continue;
        }
        r->in_batch = false;
        r->store->current = NULL;
        if (found < 0) {
            return ERR_CORRUPT_MESSAGE;
        }
        int64_t behind = batch_last_offset(&r->batch) + 1;
        r->next_offset = behind > r->next_offset ? behind : r->next_offset;
    }
}

int chunk_scan(struct bytes data, int64_t from, int64_t *next, int32_t *leader_epoch, size_t *whole)
{
    size_t position = 0;
    int64_t expected = from;
    bool any = false;
    while (data.size - position >= BATCH_HEADER_SIZE) {
        struct batch_header h;
        uint32_t size = batch_size_peek(data.data + position);
        if (size > data.size - position) {
            break; /* cut off */
        }
        if (size < BATCH_HEADER_SIZE ||
            batch_header_read(&h, data.data + position, data.size - position)) {
            return ERR_CORRUPT_MESSAGE;
        }
        int64_t last = batch_last_offset(&h);
        if (h.base_offset < 0 || h.last_offset_delta < 0 || last < h.base_offset ||
            last == INT64_MAX || (any && h.base_offset < expected)) {
            return ERR_CORRUPT_MESSAGE;
        }
        if (last >= from) {
            expected = last + 1;
            *leader_epoch = h.leader_epoch;
            any = true;
        }
        position += size;
    }
    if (!any) {
        return position ? ERR_CORRUPT_MESSAGE : ERR_TOO_LARGE;
    }
    *next = expected;
    *whole = position;
    return 0;
}
