/* SPDX-License-Identifier: Apache-2.0 */

/* The scrub: what lies on the disk is read again and checked, so that damage is found while other replicas can still
 * mend it (mend.c), and not by the consumer who happens to read there.
 *
 *     scrub_look -> a log that log_verify() named: its segments, oldest first
 *                -> else a sealed segment that this round has not seen, of a log by chance
 *     walk over the segment (cold_scan) -> its sums, if there are any -> scrub_look
 *
 * A round reads all that is sealed once in scrub_interval_ms. Where a round begins is chance, for a process
 * may end before its round does. One segment at a time for each shard; what is walked over leaves nothing in the cache.
 * The sums are bound to partition and position: they find a block that another write has hit, also where what lies
 * there is a sound batch. */
#include "base/errors.h"
#include "log/log_private.h"

enum { SCRUB_BYTES_PER_SECOND_MIN = 1 << 20 };

struct scrubbing {
    struct segment *segment; /* its readers is held */
    struct cold_scan scan;
    uint32_t cuts; /* of the segment when it began */
    int64_t end_offset;
    bool verify; /* for log_verify() */
    bool later;
    struct cold_close close;
    uint32_t *sums, *kept;
    uint8_t *buffer;
    size_t buffer_size;
    struct io_file *file;
    struct io_op op;
};

/* --- the end of one segment ------------------------------------------------------------------- */

/* Its file is nobody's any more: what was read ahead has come. */
static void scrub_closed(struct cold_close *c)
{
    struct scrubbing *x = container_of(c, struct scrubbing, close);
    struct segment *s = x->segment;
    struct log *log = s->log;
    struct log_set *set = log->set;
    bool same = x->cuts == s->cuts, later = x->later;
    if (!later && same && !s->removed) {
        s->scrub_round = set->scrub_round;
    }
    if (x->verify && !later && same) { /* what was cut is looked at again, as far as it is left */
        log->verify_offset = x->end_offset;
    }
    io_file_close(set->io, x->file);
    memory_free(set->memory, x->sums);
    memory_free(set->memory, x->kept);
    memory_free(set->memory, x->buffer);
    memory_free(set->memory, x);
    s->readers--;
    set->in_flight--;
    set->scrubbing = NULL;
    log_set_progress(set);
    if (!later) {
        scrub_look(set);
    } /* else the tick does */
}

/* `later`: it is not over, and begins again with the next tick. */
static void scrub_end(struct scrubbing *x, bool later)
{
    x->later = later;
    x->close = (struct cold_close){.key = x->scan.source.key, .done = scrub_closed};
    cold_close_file(x->segment->log->set->cold, &x->close);
}

static void damage_found(struct scrubbing *x, uint32_t position, const char *what)
{
    struct segment *s = x->segment;
    char path[IO_PATH_MAX];
    segment_path(s, path, ".log");
    log_error(io_logger(s->log->set->io), "log", "%s at position %u: %s; found by the scrub", path,
              position, what);
    segment_is_damaged(s, position);
}

/* --- sums ------------------------------------------------------------------------------------- */

static void sums_read(struct io_op *op, int64_t result)
{
    struct scrubbing *x = container_of(op, struct scrubbing, op);
    struct segment *s = x->segment;
    struct log *log = s->log;
    struct reader r = reader_of(x->buffer, result > 0 ? (size_t)result : 0);
    if (result > 0 && x->cuts == s->cuts &&
        sums_decode(x->kept, s->size, log->topic_id, log->partition, s->base_offset, &r) == 0) {
        for (uint32_t i = 0; i < (s->size + SUMS_PIECE - 1) / SUMS_PIECE; i++) {
            if (x->kept[i] != x->sums[i]) {
                damage_found(x, i * SUMS_PIECE, "the sum of this piece does not hold");
                break;
            }
        }
    }
    scrub_end(x, false);
}

/* False: there is nothing to compare with. */
static bool sums_compare(struct scrubbing *x)
{
    struct segment *s = x->segment;
    struct log_set *set = s->log->set;
    char path[IO_PATH_MAX];
    segment_path(s, path, ".sums");
    x->buffer_size = (sums_file_size(s->size) + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
    x->buffer = memory_alloc_aligned(set->memory, x->buffer_size, IO_BLOCK_SIZE);
    if (!x->sums || !x->kept || !x->buffer || segment_index_writing(s) ||
        io_file_open(set->io, &x->file, path, IO_OPEN_READ | IO_OPEN_DIRECT) != 0) {
        return false;
    }
    x->op.done = sums_read;
    io_read(set->io, &x->op, x->file, x->buffer, x->buffer_size, 0);
    return true;
}

/* --- the walk --------------------------------------------------------------------------------- */

static int scrub_batch(struct cold_scan *scan, const struct cold_batch *b)
{
    struct scrubbing *x = container_of(scan, struct scrubbing, scan);
    struct segment *s = x->segment;
    if (s->log->set->closing || s->removed || x->cuts != s->cuts) {
        return ERR_INTERRUPTED;
    }
    if (!b->crc_ok && !s->damaged) {
        damage_found(x, b->position, "the checksum of the batch does not hold");
    }
    return 0;
}

static void scrub_walked(struct cold_scan *scan, int error)
{
    struct scrubbing *x = container_of(scan, struct scrubbing, scan);
    struct segment *s = x->segment;
    bool same = x->cuts == s->cuts && !s->removed;
    bool failed = error == ERR_DAMAGED || error == ERR_DISK_FAILED;
    if (failed && same && !s->damaged) {
        damage_found(x, scan->source.damage_position,
                     error == ERR_DISK_FAILED ? "it cannot be read" : scan->source.damage);
    }
    bool whole = !error && same && s->state == SEGMENT_SEALED && scan->source.limit == s->size;
    if (whole && !s->damaged && sums_compare(x)) {
        return;
    }
    scrub_end(x, error && !failed && same);
}

static int scrub_begin(struct segment *s, bool verify)
{
    struct log *log = s->log;
    struct log_set *set = log->set;
    bool sealed = s->state == SEGMENT_SEALED;
    uint32_t limit = sealed ? s->size : s->written;
    int error = limit > 0 ? segment_open(s) : 0;
    if (error == ERR_NOT_FOUND) {
        segment_damage_found(s, 0, "the file is missing");
    }
    if (limit == 0 || error == ERR_NOT_FOUND) {
        s->scrub_round = set->scrub_round;
        log->verify_offset = verify ? segment_end_offset(s) : log->verify_offset;
        return 0;
    }
    struct scrubbing *x = error ? NULL : memory_alloc(set->memory, sizeof *x);
    if (!x) {
        return error ? error : ERR_NO_MEMORY;
    }
    uint32_t pieces = limit / SUMS_PIECE + 1;
    x->segment = s;
    x->cuts = s->cuts;
    x->end_offset = segment_end_offset(s);
    x->verify = verify;
    x->sums = sealed ? memory_alloc(set->memory, pieces * sizeof *x->sums) : NULL;
    x->kept = sealed ? memory_alloc(set->memory, pieces * sizeof *x->kept) : NULL;
    x->scan = (struct cold_scan){
        .source = {.file = s->file,
                   .key = ++set->segment_keys, /* what readers have in memory is no proof */
                   .from_known = true,
                   .from_offset = s->base_offset,
                   .limit = limit,
                   .epochs = &log->epochs,
                   .open = !sealed,
                   .gaps = s->gaps},
        .bytes_per_second = verify ? 0 : set->scrub_rate,
        .batch = scrub_batch,
        .done = scrub_walked,
        .sums = x->sums,
        .topic_id = log->topic_id,
        .partition = log->partition,
        .base_offset = s->base_offset,
    };
    s->readers++;
    set->in_flight++;
    set->scrubbing = x;
    cold_scan(set->cold, &x->scan);
    return 0;
}

/* --- which segment is next -------------------------------------------------------------------- */

/* The segment that the verification goes on with; NULL: it is over. */
static struct segment *verify_next(struct log *log)
{
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        struct segment *s = container_of(n, struct segment, link);
        if (segment_end_offset(s) > log->verify_offset && s->size > 0) {
            return s;
        }
    }
    return NULL;
}

/* True: a segment is being walked over. */
static bool verify_look(struct log_set *set)
{
    if (!set->verifying) {
        return false;
    }
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        while (log->verifying && !log->removing && !set->scrubbing) {
            struct segment *s = verify_next(log);
            if (!s) {
                log->verifying = false;
                log->verified = true;
                log_moved(log);
            } else if (scrub_begin(s, true) != 0) {
                return false; /* the tick tries again */
            }
        }
    }
    set->verifying = set->scrubbing != NULL;
    return set->verifying;
}

static struct segment *unseen(struct log *log)
{
    uint64_t round = log->set->scrub_round;
    if (log->scrub_round == round) {
        return NULL;
    }
    for (const struct list *n = log->segments.next; n != &log->segments; n = n->next) {
        struct segment *s = container_of(n, struct segment, link);
        if (s->state == SEGMENT_SEALED && s->scrub_round != round && !s->damaged) {
            return s;
        }
    }
    log->scrub_round = round; /* what is sealed from now on is for the next one */
    return NULL;
}

static struct segment *round_next(struct log_set *set)
{
    uint64_t start = 0, count = map_count(&set->by_id), at = 0;
    struct segment *wrapped = NULL;
    io_random(set->io, &start, sizeof start);
    start = count ? start % count : 0;
    list_each (node, &set->logs) {
        struct log *log = container_of(node, struct log, link);
        struct segment *s =
            log->opened && !log->removing && (at >= start || !wrapped) ? unseen(log) : NULL;
        if (s && at >= start) {
            return s;
        }
        wrapped = wrapped ? wrapped : s;
        at++;
    }
    return wrapped;
}

/* All that is sealed, over most of the interval. */
static uint64_t round_rate(const struct log_set *set)
{
    uint64_t bytes = 0;
    list_each (node, &set->logs) {
        bytes += container_of(node, struct log, link)->size_bytes;
    }
    uint64_t rate = bytes / (set->options.scrub_interval_ms * 8 / 10000 + 1);
    return rate > SCRUB_BYTES_PER_SECOND_MIN ? rate : SCRUB_BYTES_PER_SECOND_MIN;
}

static void round_look(struct log_set *set)
{
    uint64_t now = io_now(set->io);
    if (set->options.scrub_interval_ms == 0 || now < set->scrub_next_ns) {
        return;
    }
    set->scrub_rate = set->scrub_rate ? set->scrub_rate : round_rate(set);
    struct segment *s;
    while (!set->scrubbing && (s = round_next(set))) {
        if (scrub_begin(s, false) != 0) {
            return;
        }
    }
    if (!set->scrubbing) { /* the round is over */
        set->scrub_round++;
        set->scrub_rate = 0;
        set->scrub_next_ns = now + set->options.scrub_interval_ms * 1000000;
    }
}

void scrub_look(struct log_set *set)
{
    if (!set->scrubbing && !set->closing && !set->recovering && !verify_look(set)) {
        round_look(set);
    }
}

void log_verify(struct log *log)
{
    assert(log->magic == LOG_MAGIC);
    if (!log->verifying) {
        log->verifying = log->set->verifying = true;
        log->verified = false;
        log->verify_offset = INT64_MIN;
        if (log->set->scrubbing && !log->set->scrubbing->verify) {
            cold_scan_stop(&log->set->scrubbing->scan); /* the round goes on afterwards */
        }
        scrub_look(log->set);
    }
}

void scrub_close(struct log_set *set)
{
    if (set->scrubbing) {
        cold_scan_stop(&set->scrubbing->scan);
    }
}
