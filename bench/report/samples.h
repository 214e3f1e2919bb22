/* SPDX-License-Identifier: Apache-2.0 */

/* samples: one figure per round, and what is reported of them: the median, never the best. */
#pragma once

#include "base/assert.h"

#include <stdlib.h>

enum { SAMPLES_MAX = 32 };

struct samples {
    double values[SAMPLES_MAX];
    unsigned count;
};

static inline void samples_add(struct samples *s, double value)
{
    assert(s->count < SAMPLES_MAX);
    s->values[s->count++] = value;
}

static inline int samples_compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts; 0 without any. */
static inline double samples_median(struct samples *s)
{
    if (s->count == 0) {
        return 0;
    }
    qsort(s->values, s->count, sizeof *s->values, samples_compare);
    unsigned half = s->count / 2;
    return s->count % 2 ? s->values[half] : (s->values[half - 1] + s->values[half]) / 2;
}
