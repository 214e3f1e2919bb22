/* SPDX-License-Identifier: Apache-2.0 */

/* quorum: broker/raft driven over this directory's vote file and metadata log. Private to meta.
 *
 *     quorum_begin --> the core --SAVE_VOTE--> both copies of the vote file --> raft_voted()
 *                               --LEAD-------> start_lead(): the epoch's first records by meta_append()
 *     meta_append --appended--> raft_appended(), --durable--> raft_flushed()
 *                               --COMMITTED--> meta_committed(): what was appended below it has happened
 *
 * The core decides who leads and what is committed; nothing else in meta does. Events may come from inside
 * of the two calls: their effects are carried out after them, in order. */
#pragma once

#include "base/uuid.h"
#include "io/io.h"
#include "raft/raft.h"

#include "meta/identity.h"
#include "meta/meta.h"
#include "meta/voters.h"

struct meta;

/* The epochs of the log behind the snapshot, as far as they have been read. */
struct quorum_history {
    struct raft_batch *runs; /* of batches of one epoch */
    uint32_t count, room;
};

/* Whole batches that a fetch has brought, one behind the other. */
struct quorum_fetched {
    const uint8_t *bytes;
    const struct raft_batch *batches;
    const uint32_t *sizes; /* of each, in bytes */
    uint32_t count;
};

struct quorum_timer;

struct quorum {
    struct raft *raft;          /* NULL: not begun */
    struct quorum_timer *timer; /* of its own memory: it may be in flight when meta ends */
    const struct quorum_fetched *fetched; /* by the answer in hand */
    uint64_t asked;       /* sequence of the newest vote that the core wants durable, */
    uint64_t writing;     /* of the one that is being written, */
    uint64_t voted;       /* and of the last that the core was told of */
    int64_t committed;    /* that it has said to be, before it may have said that another leads */
    bool running;         /* effects are being carried out */
    bool storing;         /* the vote file is being written, */
    bool store_again;     /* and is behind what it should hold */
    int copies;           /* of it that hold what is being written */
    int slot;             /* of the vote file, to write next */
    struct io_file *file; /* of the vote; closed by quorum_end() */
    struct io_op op;
    struct iovec iovec;
    uint8_t bytes[VOTE_FILE_SIZE];
    void (*stored)(struct meta *m); /* of quorum_store() */
};

/* Adds a batch of the log, whose checksum holds, to what is known of it. ERR_NO_MEMORY; ERR_MALFORMED: it
 * does not follow. */
int quorum_history_add(struct meta *m, struct quorum_history *h, const void *batch,
                       size_t size) MUST_CHECK;
void quorum_history_free(struct meta *m, struct quorum_history *h);

/* While nobody leads: which voters are heard, which are not, and how many are needed. */
void quorum_why_nobody(const struct meta *m, char why[static META_WHY_SIZE]);

/* Begins with m->vote, which is durable, and the log up to its end; `voters` are those of the snapshot, or
 * that the cluster is founded with. 0, ERR_NO_MEMORY, ERR_DAMAGED. */
int quorum_begin(struct meta *m, const struct quorum_history *h,
                 const struct voters *voters) MUST_CHECK;

/* Writes m->vote as it is now; `stored` when both copies hold it. One at a time. */
void quorum_store(struct meta *m, void (*stored)(struct meta *m));

/* A message of another replica has come; `fetched`: with the answer to a fetch, else NULL. Both are lent. Not from
 * inside of links_send() or serve_answer(). */
void quorum_receive(struct meta *m, const struct raft_message *message,
                    const struct quorum_fetched *fetched);

/* News of the log: it has grown to `end` (`voters`: as raft_appended() has them), is durable up to `end`, begins with
 * a snapshot. */
void quorum_appended(struct meta *m, int64_t end, const struct raft_voters *voters);
void quorum_flushed(struct meta *m, int64_t end);
void quorum_snapshot_taken(struct meta *m, struct raft_end end);

/* What has become of RAFT_LOAD (meta_load.c). */
void quorum_loaded(struct meta *m, struct raft_end end, const struct raft_voters *voters);
void quorum_load_failed(struct meta *m);

/* A piece of a snapshot was asked for by `from`, or has come from it (raft_heard()). */
void quorum_heard(struct meta *m, struct raft_id from, int32_t epoch);

/* The connection to a node has broken, or was there and is refused now (raft_lost()). */
void quorum_lost(struct meta *m, int32_t node, bool refused);

/* Asks for a read: lease_confirmed() follows with *sequence or a higher one, perhaps from inside, or lease_lost().
 * ERR_NOT_CONTROLLER, ERR_BUSY. */
int quorum_read(struct meta *m, uint64_t *sequence) MUST_CHECK;

/* raft_remaining(). */
bool quorum_remaining(struct meta *m, struct raft_id id, uint64_t since_ns) MUST_CHECK;

/* Gives up leading in favour of another voter, if there is one: of `heir`, or of any (RAFT_NOBODY). */
void quorum_yield(struct meta *m, int32_t heir);
void quorum_resign(struct meta *m);

/* Whether an operation is in flight that meta must wait for. */
bool quorum_busy(const struct meta *m);

/* Nothing is in flight but the timer. */
void quorum_end(struct meta *m);
