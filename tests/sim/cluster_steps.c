/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_steps.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool steps_have(const struct steps *s, uint32_t step)
{
    return step < s->count && (s->bits[step / 64] >> step % 64 & 1);
}

uint32_t steps_kept(const struct steps *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        kept += steps_have(s, i);
    }
    return kept;
}

static void set(struct steps *s, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        s->bits[i / 64] |= UINT64_C(1) << i % 64;
    }
    s->count = s->count > end ? s->count : end;
}

void steps_drop(struct steps *s, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end && i < s->count; i++) {
        s->bits[i / 64] &= ~(UINT64_C(1) << i % 64);
    }
    while (s->count > 0 && !steps_have(s, s->count - 1)) {
        s->count--;
    }
}

void steps_all(struct steps *s, uint32_t count)
{
    assert(count <= STEPS_MAX);
    memset(s, 0, sizeof *s);
    set(s, 0, count);
}

bool steps_parse(struct steps *s, const char *text)
{
    memset(s, 0, sizeof *s);
    if (strcmp(text, "none") == 0) {
        return true;
    }
    for (const char *at = text;; at++) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (end == at) {
            return false;
        }
        if (*end == '-') {
            at = end + 1;
            last = strtoul(at, &end, 10);
        }
        if (end == at || last < first || last >= STEPS_MAX) {
            return false;
        }
        set(s, (uint32_t)first, (uint32_t)last + 1);
        if (*end == 0) {
            return true;
        }
        if (*end != ',') {
            return false;
        }
        at = end;
    }
}

void steps_text(const struct steps *s, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "%s", s->count ? "" : "none");
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t first = i;
        char range[32];
        if (!steps_have(s, i)) {
            continue;
        }
        while (steps_have(s, i + 1)) {
            i++;
        }
        int n = snprintf(range, sizeof range, first == i ? "%s%u" : "%s%u-%u", used ? "," : "",
                         (unsigned)first, (unsigned)i);
        if (used + (size_t)n + 4 > size) {
            memcpy(out + used, "...", 4);
            return;
        }
        memcpy(out + used, range, (size_t)n + 1);
        used += (size_t)n;
    }
}
