/* SPDX-License-Identifier: Apache-2.0 */

/* scan: finding a life's groups in a journal, and the chain that replay follows. Pure: works on
 * bytes that were read; tests/fuzz/journal.c feeds it anything.
 *
 * A group is valid if its sum holds when continued from this storage id and life, and its sequence
 * follows its predecessor's. After the chain's end, later groups of this life are looked for: if
 * one of them, the checkpoint, or a file's first block carries a mark at or above the first missing
 * sequence, durable entries are missing: damage. Otherwise the rest is a torn tail and is dropped (L5). */
#pragma once

#include "log/format.h"

struct scan_group {
    uint32_t file; /* index of the caller */
    uint32_t size;
    uint64_t position;
    uint64_t sequence;
    uint64_t settled;
    uint32_t count;
};

struct scan {
    struct memory *memory;
    struct scan_group *groups;
    size_t count, capacity;
    uint32_t seed;
    uint32_t step;   /* groups begin at multiples of it */
    uint64_t floor;  /* groups that end below this sequence are of no interest */
    bool skip_holes; /* LOG_MUTANT_SOME_DAMAGED: what lies behind a hole is replayed all the same */
    uint64_t live;   /* where replay begins: entries of the first group below it are skipped */

    /* Out of scan_chain(): indexes into groups, in the order of replay. */
    uint32_t *chain;
    size_t chain_count;
    uint64_t next_sequence; /* after the chain */
    bool damaged;
    uint64_t torn_bytes;  /* of groups behind the chain */
    uint32_t damage_file; /* where the chain ends */
    uint64_t damage_position;
};

void scan_init(struct scan *s, struct memory *m, uint32_t seed, uint32_t step, uint64_t floor);
void scan_deinit(struct scan *s);

/* Notes the groups in the bytes [position, position + size) of `file`. ERR_NO_MEMORY. */
int scan_bytes(struct scan *s, uint32_t file, const uint8_t *data, uint64_t position,
               uint64_t size) MUST_CHECK;

/* Builds the chain from sequence `live`; `mark` is the highest that is known beside the groups. */
int scan_chain(struct scan *s, uint64_t live, uint64_t mark) MUST_CHECK;
