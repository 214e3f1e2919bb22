/* SPDX-License-Identifier: Apache-2.0 */

/* See scan.h. Groups are sorted by sequence once; the chain is then one walk. */
#include "log/scan.h"

#include "base/errors.h"

#include <stdlib.h>

void scan_init(struct scan *s, struct memory *m, uint32_t seed, uint32_t step, uint64_t floor)
{
    *s = (struct scan){.memory = m, .seed = seed, .step = step, .floor = floor};
}

void scan_deinit(struct scan *s)
{
    memory_free(s->memory, s->groups);
    memory_free(s->memory, s->chain);
    s->groups = NULL;
    s->chain = NULL;
}

static int scan_add(struct scan *s, const struct scan_group *g)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        struct scan_group *grown =
            memory_resize(s->memory, s->groups, capacity * sizeof *s->groups);
        if (!grown) {
            return ERR_NO_MEMORY;
        }
        s->groups = grown;
        s->capacity = capacity;
    }
    s->groups[s->count++] = *g;
    return 0;
}

int scan_bytes(struct scan *s, uint32_t file, const uint8_t *data, uint64_t position, uint64_t size)
{
    for (uint64_t at = 0; at + GROUP_HEADER_SIZE <= size;) {
        struct group_header h;
        if (!group_header_decode(&h, s->seed, data + at, size - at) ||
            !group_check(&h, s->seed, data + at)) {
            at += s->step;
            continue;
        }
        if (h.sequence + h.count >= s->floor) {
            struct scan_group g = {file, h.size, position + at, h.sequence, h.settled, h.count};
            int error = scan_add(s, &g);
            if (error) {
                return error;
            }
        }
        at += (h.size + (uint64_t)s->step - 1) / s->step * s->step;
    }
    return 0;
}

/* By sequence; of two with the same one the group that holds entries comes last, for it follows. */
static int compare_groups(const void *a, const void *b)
{
    const struct scan_group *x = a, *y = b;
    if (x->sequence != y->sequence) {
        return x->sequence < y->sequence ? -1 : 1;
    }
    return (x->count > y->count) - (x->count < y->count);
}

int scan_chain(struct scan *s, uint64_t live, uint64_t mark)
{
    assert(!s->chain);
    if (s->count) {
        qsort(s->groups, s->count, sizeof *s->groups, compare_groups);
        s->chain = memory_alloc(s->memory, s->count * sizeof *s->chain);
        if (!s->chain) {
            return ERR_NO_MEMORY;
        }
    }
    s->live = live;
    s->damage_position =
        JOURNAL_HEADER_SIZE; /* a life begins behind the header of the first file */
    uint64_t want = live;
    uint64_t highest_mark = mark;
    for (size_t i = 0; i < s->count; i++) {
        const struct scan_group *g = &s->groups[i];
        /* A checkpoint may have been captured while its last entry's group was gathering. */
        bool first = s->chain_count == 0 && g->sequence < want && g->sequence + g->count > want;
        bool next = first || (g->sequence == want && g->count) ||
                    (s->skip_holes && g->sequence > want && g->count);
        bool before = s->chain_count == 0 && g->sequence + g->count == want;
        if (next || before) {
            s->damage_file = g->file;
            s->damage_position =
                g->position + (g->size + (uint64_t)s->step - 1) / s->step * s->step;
        }
        if (next) {
            s->chain[s->chain_count++] = (uint32_t)i;
            want = g->sequence + g->count;
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct scan_group *g = &s->groups[i];
        if (g->sequence >= want) {
            highest_mark = g->settled > highest_mark ? g->settled : highest_mark;
            s->torn_bytes += g->count ? g->size : 0;
        }
    }
    s->next_sequence = want;
    s->damaged = highest_mark >= want && !s->skip_holes;
    return 0;
}
