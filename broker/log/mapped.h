/* SPDX-License-Identifier: Apache-2.0 */

/* mapped: the journal of `memory` logs, a ring in a shared mapping that is never flushed.
 *
 * An append to a `memory` log is copied into <root>/journal-<shard>/memory-0000 and is done: it
 * outlives the process, for the page cache does, and not the machine, which `durability: memory`
 * does not promise. Its groups hold one entry each and carry the boot id in their seed: after a
 * reboot none is valid, and the log is what its checkpoint says. The ring is freed by checkpoints
 * like the durable journal. The file is made with the first `memory` log. */
#pragma once

#include "log/format.h"
#include "log/log.h"

enum { MAPPED_ALIGN = 64 };

struct mapped {
    struct log_set *set;
    struct io *io;
    struct io_file *file;
    uint8_t *ring; /* NULL: not made yet */
    uint64_t capacity;
    uint32_t seed;
    uint64_t next_sequence;
    uint64_t position; /* of the next group; grows for ever, modulo capacity in the file */
    uint64_t tail;     /* of the oldest live group */
    uint64_t promised; /* bytes that are left to controls which wait for the durable journal */
    struct io_op op;   /* making the file */
    uint64_t taken;    /* of the disk, for it */
    bool failed;       /* no room for the file: tried again after a second */
};

void mapped_init(struct mapped *m, struct log_set *set, uint64_t next_sequence);
void mapped_close(struct mapped *m);

/* Whether an entry with so large a body finds room now. Begins to make the file if it is not there;
 * then log_set_progress() follows. */
bool mapped_room(struct mapped *m, uint32_t body_size);

/* Copies an entry; mapped_room() was true. It has the journal's meaning of durable at once. */
void mapped_append(struct mapped *m, struct entry *e, const struct iovec *body,
                   unsigned body_count);

/* Whether an append of this life may stand in it. */
static inline bool mapped_in_use(const struct mapped *m)
{
    return m->ring != NULL;
}

/* The same for a control, whose entry follows later: its room is promised, then given back right before
 * mapped_append(). */
bool mapped_room_promised(struct mapped *m, uint32_t body_size);
void mapped_promise(struct mapped *m, uint32_t body_size);
void mapped_keep_promise(struct mapped *m, uint32_t body_size);

/* A checkpoint covers everything below `position` (and `sequence`). */
void mapped_release(struct mapped *m, uint64_t position);

void mapped_path(char out[static IO_PATH_MAX], const char *root, unsigned shard);
