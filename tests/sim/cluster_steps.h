/* SPDX-License-Identifier: Apache-2.0 */

/* The disturbances of a run by their numbers, from 0 on: those that are kept while it is made smaller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STEPS_MAX = 1 << 15 };

struct steps {
    uint32_t count; /* one more than the last that is kept; the faults are over then */
    uint64_t bits[STEPS_MAX / 64];
};

bool steps_have(const struct steps *s, uint32_t step);
uint32_t steps_kept(const struct steps *s);
/* Drops those from `first` to the one before `end`. */
void steps_drop(struct steps *s, uint32_t first, uint32_t end);
/* 0 .. count - 1. */
void steps_all(struct steps *s, uint32_t count);
/* "0-12,15,80", "none": false when it is something else. */
bool steps_parse(struct steps *s, const char *text);
/* The same back; what does not fit is left out, with "..." in its place. */
void steps_text(const struct steps *s, char *out, size_t size);
