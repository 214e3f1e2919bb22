/* SPDX-License-Identifier: Apache-2.0 */

/* offsets: where reading starts and stops, in every form that kcat and rpk know.
 *
 *     beginning, start, earliest, oldest      end, latest, newest
 *     N                an offset              -N  the last N         +N  after the first N
 *     A:B  A:  :B      B is not read          :end  to the end as it is now
 *     @TIME  @T1:T2  @T1:end                  s@MS  e@MS  kcat's start and stop, one by one */
#pragma once

#include "leat/admin.h"

enum offset_kind {
    OFFSET_NONE,
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_NUMBER,
    OFFSET_LAST,
    OFFSET_AFTER,
    OFFSET_TIME
};

struct offset_spec {
    enum offset_kind kind;
    int64_t value; /* an offset, a count, milliseconds */
};

struct offset_range {
    struct offset_spec start, stop; /* OFFSET_NONE: not said; stop is not read any more */
};

/* Reads one -o into `range`, keeping what another one said of the other end. False, with a sentence
 * in `error`. */
bool offsets_parse(struct offset_range *range, const char *text, int64_t now_ms, char *error,
                   size_t error_size);

/* The offset that a spec means for a partition that holds [low, end): within these bounds.
 * `at_time` is the offset of the spec's time, or -1 for none so late; only OFFSET_TIME needs it. */
int64_t offsets_resolve(const struct offset_spec *spec, int64_t low, int64_t end, int64_t at_time);
