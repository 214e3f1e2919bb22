/* SPDX-License-Identifier: Apache-2.0 */

/* What clean_pass.c (the pass: reading, work, its end) and clean_group.c (a group: its new segment, until
 * it stands for the run) share. Private. */
#pragma once

#include "log/clean_batch.h"
#include "log/rewrite.h"

struct cleaning {
    struct log *log;
    struct io_op op;
    struct clean_map map;
    struct clean_work work;
    int64_t limit_offset, now_ms;

    struct segment *source; /* that is read; its readers is held */
    uint32_t position;      /* of the next batch in it */
    /* Pieces of it: one is worked on while the next is read into the other buffer. Each has room in front
     * for what the work on the piece before has left over. */
    uint8_t *in[2];
    size_t in_head, in_piece;
    unsigned in_now;
    uint32_t in_from, in_end; /* positions of the piece in in[in_now] */
    struct {
        struct io_op op;
        const struct segment
            *segment; /* whose piece from `from` on is in the other buffer; NULL: none */
        uint32_t from;
        int64_t result;
        void (*then)(struct cleaning *p); /* who waits for it */
    } ahead;
    int end_error; /* while the end waits for it */
    bool pausing;  /* op is the timer of the pace */
    bool yielding; /* an append lacks the space that the new segment has, or the log began anew */
    int64_t at;    /* the offset at which the next segment or group begins */

    bool copying;
    struct rewrite group; /* what it writes */
    uint8_t *out;
    int64_t *kept_last, *epoch_starts;

    uint64_t started_ns, moved_bytes; /* read and written */
    uint64_t before_bytes, after_bytes;
    unsigned groups;
};

static inline struct log_set *set_of(const struct cleaning *p)
{
    return p->log->set;
}

/* --- clean_pass.c ----------------------------------------------------------------------------- */
void pass_next(struct cleaning *p);
void pass_end(struct cleaning *p, int error); /* frees it */
bool pass_given_up(const struct cleaning *p);
void source_take(struct cleaning *p, struct segment *s);
/* The output of the last work is in the block or the file: on with the rest of what was read. */
void worked_off(struct cleaning *p);
/* The first segment whose base is not lower. */
struct segment *segment_at(const struct log *log, int64_t base_offset);

/* --- clean_group.c ---------------------------------------------------------------------------- */
/* The next run from p->at on; false: there is none. */
bool group_choose(struct cleaning *p);
/* Opens its new segment and the first segment of the run. */
int group_begin(struct cleaning *p) MUST_CHECK;
/* struct rewrite's. */
bool group_given_up(struct rewrite *w);
void group_put(struct rewrite *w, int error);
