/* SPDX-License-Identifier: Apache-2.0 */

/* Record batches one behind the other, and what they hold. Read in pieces: a segment may be as large
 * as the disk allows, a batch is bounded. */
#include "offline/dump_private.h"
#include "wire/batch.h"

#include <stdio.h>

enum { PIECE = 4 << 20, BATCH_MAX = 128 << 20, UNPACKED_MAX = 128 << 20 };

struct window {
    uint8_t *data;
    size_t size, capacity; /* held */
    uint64_t position;     /* of data[0] in the file */
    bool ended;
    struct unfinished unfinished; /* laid over the file */
};

/* Moves to `position` and holds `wanted` bytes from there on, or what is left of the file. */
static int window_hold(struct dumping *d, struct io_file *file, struct window *w, uint64_t position,
                       size_t wanted)
{
    assert(position >= w->position && position - w->position <= w->size);
    size_t passed = (size_t)(position - w->position);
    if (w->size - passed >= wanted || w->ended) {
        return 0;
    }
    memmove(w->data, w->data + passed, w->size - passed);
    w->size -= passed;
    w->position = position;
    if (wanted > w->capacity) {
        uint8_t *grown = memory_resize(d->o.memory, w->data, wanted);
        if (!grown) {
            return offline_fail(&d->o, ERR_NO_MEMORY, "no memory for a batch of %s", d->name);
        }
        w->data = grown;
        w->capacity = wanted;
    }
    int64_t got = offline_read(&d->o, file, d->name, w->data + w->size, w->capacity - w->size,
                               w->position + w->size);
    if (got < 0) {
        return (int)got;
    }
    got = unfinished_cover(&w->unfinished, w->position + w->size, w->data + w->size,
                           w->capacity - w->size, (size_t)got);
    w->ended = (uint64_t)got < w->capacity - w->size;
    w->size += (size_t)got;
    return offline_advance(&d->o, (uint64_t)got);
}

/* --- records -------------------------------------------------------------------------------------- */

static void records_wrong(struct dumping *d, int error)
{
    dump_text(d, "wrong", error_text(error));
    dump_item(d, "record");
}

static void show_records(struct dumping *d, const struct batch_header *h, struct bytes records)
{
    struct record_reader reader;
    struct record r;
    int more;
    record_reader_init(&reader, h, records);
    while ((more = record_next(&reader, &r)) == 1) {
        dump_number(d, "offset", r.offset);
        dump_time(d, "timestamp", r.timestamp);
        dump_bytes(d, "key", r.key.data, r.key.size);
        dump_bytes(d, "value", r.value.data, r.value.size);
        dump_number(d, "headers", r.header_count);
        dump_item(d, "record");
    }
    if (more < 0) {
        records_wrong(d, more);
    }
}

static void batch_records(struct dumping *d, const struct batch_header *h, const uint8_t *data)
{
    struct bytes packed = bytes_of(data + BATCH_HEADER_SIZE, h->size - BATCH_HEADER_SIZE);
    if (batch_codec(h) == CODEC_NONE) {
        show_records(d, h, packed);
        return;
    }
    const struct decompress_limits limits = decompress_limits_of(UNPACKED_MAX);
    struct wire_writer unpacked;
    wire_writer_init(&unpacked, d->o.memory, UNPACKED_MAX);
    int error = decompress_append(batch_codec(h), packed, &limits, d->o.memory, &unpacked);
    if (error) {
        records_wrong(d, error);
    } else {
        show_records(d, h, bytes_of(unpacked.data, unpacked.size));
    }
    wire_writer_deinit(&unpacked);
}

/* --- batches -------------------------------------------------------------------------------------- */

static void show_batch(struct dumping *d, const struct batch_header *h, uint64_t position,
                       const struct unfinished *u, const char *wrong)
{
    dump_number(d, "position", (int64_t)position);
    dump_number(d, "size", h->size);
    dump_number(d, "offset", h->base_offset);
    dump_number(d, "last_offset", batch_last_offset(h));
    dump_number(d, "records", h->record_count);
    dump_number(d, "leader_epoch", h->leader_epoch);
    dump_time(d, "max_timestamp", h->max_timestamp);
    dump_text(d, "codec", batch_codec(h) < CODEC_COUNT ? codec_name(batch_codec(h)) : "unknown");
    if (h->producer_id >= 0) {
        dump_number(d, "producer_id", h->producer_id);
        dump_number(d, "producer_epoch", h->producer_epoch);
        dump_number(d, "sequence", h->base_sequence);
    }
    if (h->attributes & BATCH_APPEND_TIME) {
        dump_bool(d, "append_time", true);
    }
    if (h->attributes & BATCH_TRANSACTIONAL) {
        dump_bool(d, "transactional", true);
    }
    if (h->attributes & BATCH_CONTROL) {
        dump_bool(d, "control", true);
    }
    if (u->bytes.size && position + h->size > u->position) {
        dump_text(d, "from", u->from);
    }
    if (wrong) {
        dump_text(d, "wrong", wrong);
    }
    dump_item(d, "batch");
}

/* What of a segment that grows may not have been shown. */
static void show_newer(struct dumping *d, const struct unfinished *u)
{
    if (!u->alone && (u->position == UINT64_MAX || u->clean)) {
        return;
    }
    dump_text(d, "note",
              u->alone
                  ? "no checkpoint is at hand: it holds the last block of a partition's newest "
                    "segment; dump it where it stands in its data directory"
                  : "what was appended after the newest checkpoint may stand in the journal "
                    "alone, until it is written here: leat log dump shows journals, a start "
                    "puts them together");
    dump_item(d, "newer");
}

/* What stands behind the last batch: space that was made ahead is zeros. */
static int show_rest(struct dumping *d, struct io_file *file, struct window *w, uint64_t position)
{
    uint64_t rest = 0, zeros = 0;
    bool all = true;
    uint64_t begins = position;
    for (;;) {
        int error = window_hold(d, file, w, position, PIECE);
        if (error) {
            return error;
        }
        size_t held = w->size - (size_t)(position - w->position);
        const uint8_t *data = w->data + (position - w->position);
        for (size_t i = 0; i < held && all; i++) {
            all = data[i] == 0;
            zeros += all;
        }
        rest += held;
        position += held;
        if (held == 0) {
            break;
        }
    }
    if (rest) {
        dump_number(d, "position", (int64_t)begins);
        dump_number(d, "size", (int64_t)rest);
        if (zeros < rest) {
            dump_text(d, "wrong",
                      "no batch begins here: damage, or the end of the newest segment (what "
                      "follows stands in the checkpoint or the journal: leat log verify knows)");
        }
        dump_item(d, zeros == rest ? "unused" : "rest");
    }
    show_newer(d, &w->unfinished);
    return 0;
}

/* Whether another batch follows the one of `size` bytes at `position`. */
static int batch_follows(struct dumping *d, struct io_file *file, struct window *w,
                         uint64_t position, size_t size, bool *follows)
{
    int error = window_hold(d, file, w, position, size + BATCH_HEADER_SIZE);
    size_t passed = (size_t)(position - w->position) + size;
    struct batch_header next;
    *follows = !error && w->size >= passed + BATCH_HEADER_SIZE &&
               batch_header_read(&next, w->data + passed, SIZE_MAX) == 0;
    return error;
}

static const char *batch_wrong(const struct batch_header *h, const uint8_t *data, bool last,
                               int64_t expected)
{
    if (batch_check_crc(h, data)) {
        return last ? "its checksum does not hold here: damage, or the end of the newest segment "
                      "(what follows stands in the checkpoint or the journal: leat log verify "
                      "knows)"
                    : "its checksum does not hold";
    }
    if (batch_check_rules(h, BATCH_FROM_LOG)) {
        return "its counts or attributes are impossible";
    }
    return expected >= 0 && h->base_offset < expected ? "its offset does not follow" : NULL;
}

int dump_batches(struct dumping *d, struct io_file *file)
{
    struct window w = {.data = memory_alloc(d->o.memory, PIECE), .capacity = PIECE};
    uint64_t position = 0;
    int64_t expected = -1;
    int error = w.data ? 0 : offline_fail(&d->o, ERR_NO_MEMORY, "no memory to read %s", d->name);
    dump_unfinished(d, &w.unfinished);
    while (!error) {
        struct batch_header h;
        error = window_hold(d, file, &w, position, BATCH_LENGTH_FROM);
        size_t held = w.size - (size_t)(position - w.position);
        uint32_t size = error || held < BATCH_LENGTH_FROM
                            ? 0
                            : batch_size_peek(w.data + (position - w.position));
        if (!error && size && size <= BATCH_MAX) {
            error = window_hold(d, file, &w, position, size);
        }
        held = w.size - (size_t)(position - w.position);
        if (error || size > BATCH_MAX ||
            batch_header_read(&h, w.data + (position - w.position), held)) {
            break;
        }
        bool follows;
        error = batch_follows(d, file, &w, position, h.size, &follows);
        if (error) {
            break;
        }
        const uint8_t *data = w.data + (position - w.position);
        const char *wrong = batch_wrong(&h, data, !follows, expected);
        show_batch(d, &h, position, &w.unfinished, wrong);
        if (d->request->records && !wrong) {
            batch_records(d, &h, data);
        }
        expected = wrong ? -1 : batch_last_offset(&h) + 1;
        position += h.size;
    }
    error = error ? error : show_rest(d, file, &w, position);
    memory_free(d->o.memory, w.data);
    return error;
}
