/* SPDX-License-Identifier: Apache-2.0 */

/* journal: one flush for everybody (the durable one).
 *
 * An acknowledged append must survive a power cut, but a flush for each partition makes the price
 * of durability grow with the number of partitions. So every append to a durable log is also
 * written to its shard's journal, in offset order, and one flush settles all that arrived
 * meanwhile. Segments are written later, in large pieces; once they are durable and checkpointed,
 * the space is used again.
 *
 * Files: durable-0000 .. in <root>/journal-<shard>, each journal_file_bytes long, written once with
 * zeros and used as a ring, so that a commit never allocates. A group lies in one file (format.h).
 *
 *     IDLE --journal_append--> GATHERING --commit--> COMMITTING --group_written, in order-->
 * settled
 *
 * commit is one O_DIRECT write with RWF_DSYNC. What arrives while it runs gathers for the next
 * group: that is the whole batching policy, there is no timer. Small groups may be in flight side
 * by side; they settle in order.
 *
 *   J1  A waiter is called only after the durable write of its group, and of all groups before it.
 *   J2  Space is reused only after both copies of a covering checkpoint are durable.
 *   J3  An acknowledged entry is at or below the next group's mark, and soon below one in another
 *       file (apart.h).
 *   J4  Of each log the entries are in order, without gaps.
 *
 * Failures: a failed commit ends the node (io_fatal), no waiter is ever told success again. A full
 * journal makes appends wait (journal_room) and hastens the checkpoint; control entries have a
 * reserve. */
#pragma once

#include "log/apart.h"
#include "log/format.h"
#include "log/log.h"

enum {
    JOURNAL_FILES_MAX = 256,
    JOURNAL_PIECE_SIZE = 262144,
    JOURNAL_PIECES_MAX = 64,         /* of a group: 16 MiB */
    JOURNAL_SMALL_GROUP = 131072,    /* such may be in flight side by side */
    JOURNAL_CONTROL_RESERVE = 65536, /* of the last free file, for control entries and marks */
    JOURNAL_FLIGHT_MAX = 8,
};

struct journal_file {
    struct io_file *file;
    uint32_t number;        /* in its name */
    uint64_t last_sequence; /* the highest that it holds; 0: nothing of this life */
};

struct journal;

/* One group, while it gathers and flies. */
struct journal_group {
    struct journal *journal;
    struct io_op write;
    struct iovec pieces[JOURNAL_PIECES_MAX];
    unsigned piece_count;
    uint32_t size; /* bytes with the header */
    uint32_t crc_entries;
    uint32_t count;
    uint64_t first_sequence;
    uint64_t mark; /* the settled mark that it carries */
    bool written;
    struct list waiters; /* of struct log_waiter, in order */
    struct list link;    /* in flying */
};

struct journal {
    struct log_set *set;
    struct io *io;
    const struct log_options *options;
    struct uuid storage_id;
    uint32_t seed;
    uint64_t life;
    char directory[IO_PATH_MAX];

    struct journal_file files[JOURNAL_FILES_MAX];
    unsigned file_count, file_current;
    uint64_t position; /* in the current file, of the next group */

    uint64_t next_sequence; /* of the next entry to gather */
    uint64_t settled;       /* everything up to it is durable */
    uint64_t marked;        /* everything up to it is covered by a durable mark */
    uint64_t live;          /* what replay would begin with */

    struct journal_group groups[JOURNAL_FLIGHT_MAX + 1];
    struct journal_group *gathering; /* NULL: nothing */
    struct list flying;              /* oldest first */
    unsigned flying_count;
    bool flying_small; /* all of them */

    void *pieces_free[JOURNAL_PIECES_MAX];
    unsigned pieces_free_count;

    struct io_turn turn;
    struct apart apart;
    bool full;           /* a commit waits for the checkpoint */
    uint8_t *last_block; /* LOG_MUTANT_SHARE_BLOCK */
    bool closing;

    struct { /* the file that is being added */
        enum { GROW_NOT, GROW_SPACE, GROW_ZEROS, GROW_SYNC_FILE, GROW_SYNC_NAME } stage;
        struct io_op op;
        struct io_file *file, *directory;
        struct iovec zeros;
        uint64_t written;
    } grow;

    uint64_t commits, committed_bytes;
};

/* Opens the files that recovery left in <root>/journal-<shard>. 0 or an error. */
int journal_open(struct journal *j, struct log_set *set, struct io *io,
                 const struct log_options *options, struct uuid storage_id, uint64_t life,
                 uint64_t next_sequence) MUST_CHECK;
void journal_close(struct journal *j); /* nothing may be in flight */

/* Whether an entry with `body_size` bytes of body can be gathered now: a place, and memory, which is
 * taken already. */
bool journal_room(struct journal *j, uint32_t body_size, bool control);

/* Gathers an entry; journal_room() was true. `body` pieces are copied. `w` (NULL: nobody waits) is
 * called when it is settled. Returns its sequence. */
uint64_t journal_append(struct journal *j, struct entry *e, const struct iovec *body,
                        unsigned body_count, struct log_waiter *w);
/* w->settled(w) when all that is in the journal is durable. False: it is, and it will not be called. */
bool journal_wait(struct journal *j, struct log_waiter *w) MUST_CHECK;

/* A group that only carries the mark, if there is something to mark. */
void journal_mark(struct journal *j);

/* A checkpoint is durable: everything below `live` may be overwritten, `mark` is known durable. */
void journal_release(struct journal *j, uint64_t live, uint64_t mark);

/* Bytes of files that hold something live; and whether a checkpoint is needed to go on. */
uint64_t journal_live_bytes(const struct journal *j);

/* A write into one of the files has ended so; who fails ends the node (L11). */
void journal_check_write(const struct journal *j, int64_t result);

/* Nothing gathers and nothing flies. */
bool journal_idle(const struct journal *j);

/* "<root>/journal-<shard>" and the name of a file in it. */
void journal_directory(char out[static IO_PATH_MAX], const char *root, unsigned shard);
void journal_file_path(char out[static IO_PATH_MAX], const char *directory, unsigned number);
