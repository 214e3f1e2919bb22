/* SPDX-License-Identifier: Apache-2.0 */

/* meta_private: one metadata log, as the files of this room share it. */
#pragma once

#include "log/log.h"
#include "meta/controller.h"
#include "meta/files.h"
#include "meta/forward.h"
#include "meta/identity.h"
#include "meta/lease.h"
#include "meta/membership.h"
#include "meta/meta.h"
#include "meta/quorum.h"
#include "meta/quorum_links.h"
#include "meta/reads.h"
#include "meta/records.h"
#include "meta/said.h"
#include "meta/snapshot.h"
#include "meta/snapshot_wire.h"
#include "meta/stated.h"
#include "meta/voter_changes.h"
#include "meta/watch.h"

enum {
    META_MAGIC = 0x6d657461,
    META_JOURNAL_FILE_BYTES = 1 << 20,
    META_BATCH_SLACK = 128 << 10, /* of a journal file, for the journal's own headers and padding */
    META_SNAPSHOT_BYTES = 16 << 20,
    META_READ_BYTES = 1 << 20,
    META_SEGMENT_BYTES = 8 << 20,
    META_OPS_PER_BATCH = 1000,
    META_SNAPSHOT_EPOCHS = RAFT_EPOCHS_MAX / 2, /* that may have passed since the last one */
    META_SESSION_MS = 1500,
    META_HEARTBEAT_MS = 300,
};

enum meta_state {
    META_OPENING,
    META_ACTIVE,  /* idle, or one batch on its way */
    META_CLOSING, /* nothing new; the batch and the snapshot on their way end */
};

/* A snapshot on its way to the disk. */
struct meta_snapshot {
    bool active;
    struct snapshot_writer writer;
    struct snapshot_id id;
    struct io_op op;
    struct io_file *file;
    struct iovec iovec;
    uint64_t position;
    struct file_sync sync;
    struct log_control control;
    char temporary[IO_PATH_MAX], path[IO_PATH_MAX];
    char old[IO_PATH_MAX]; /* the one before, empty: none */
};

/* A snapshot on its way from the leader to the disk. */
struct meta_load {
    bool active;
    bool whole; /* it stands durably in `temporary`, and waits for what is in flight to end */
    struct snapshot_id id;
    struct raft_id leader;
    int32_t epoch;
    unsigned tries; /* of the piece in hand */
    struct snapshot_request ask;
    struct peer_request request;
    struct snapshot_reader reader;
    struct image *draft;
    struct raft_voters voters; /* of the snapshot */
    uint8_t *buffer;
    size_t filled, piece; /* bytes that are not read yet, and of the piece behind them */
    int64_t size;         /* of the whole; 0: not told yet */
    struct io_op op;
    struct io_file *file;
    struct iovec iovec;
    char temporary[IO_PATH_MAX];
};

/* A snapshot that takes the place of the log. */
struct meta_install {
    struct snapshot_id id;
    void (*done)(struct meta *m);
    struct file_sync sync;
    struct log_control control;
    struct io_op op;
    struct snapshot_id old; /* being removed */
    char loaded[IO_PATH_MAX], path[IO_PATH_MAX];
};

struct meta {
    uint32_t magic;
    enum meta_state state;
    struct io *io;
    struct memory *memory;
    struct meta_options options;
    struct controller_limits limits;
    char snapshots[IO_PATH_MAX];

    struct identity identity;
    char cluster_text[UUID_TEXT_SIZE];
    struct vote vote;
    bool vote_lost; /* no copy could be read, and the operator has accepted that */
    struct quorum quorum;
    struct quorum_links links;
    struct membership membership;
    struct said said;
    struct stated stated;
    struct lease lease;
    struct watches watches;
    struct forwards forwards;
    struct reads reads;
    struct voter_changes changes;
    struct voters voters; /* the newest that the log has told of: for their addresses */

    struct log_options log_options;
    struct log_set *logs;
    struct log *log;

    struct image_home *home;
    const struct image *image;  /* of what is committed, as far as it has been applied */
    struct image *ahead;        /* a draft with all that the log held at the start; NULL: none */
    const struct image *pinned; /* by meta_vote(); NULL: none */
    int64_t committed;          /* the quorum's word: everything below it is */
    int32_t epoch;              /* ours, as the leader of the quorum */
    bool leading;               /* and something of it is committed: decides */
    bool lead_waits;            /* for the append of an earlier epoch to come back */
    int64_t broker_epoch;

    struct list waiting;  /* operations, in order of arrival */
    struct list deciding; /* of the batch on its way */
    struct proposal proposal;
    struct io_turn turn;

    /* meta_log.c's */
    struct log_append append;
    bool appending;             /* it is in flight, whoever leads by now */
    bool busy;                  /* somebody waits for it to be committed */
    uint32_t append_count;      /* its records */
    int64_t append_end;         /* the offset behind it, once it is in the log */
    struct image *append_image; /* the draft after it; NULL: it is read */
    uint64_t append_generation;
    const struct raft_voters *append_voters; /* that it puts in force; NULL: none */
    void (*append_committed)(struct meta *m, int error);
    uint64_t log_generation; /* grows with each truncation */
    bool append_in_log;      /* appended() has come */
    struct list follow_waiting;
    bool first_storing; /* that the log is not empty any more, */
    int64_t first_end;  /* up to here */
    bool emptying;      /* that the log may be empty is being stored; what a follower takes waits */
    bool activating;    /* this broker is a member, and nothing else is missing */
    uint32_t following; /* fetched groups and truncations in flight */
    bool applying;
    struct log_read apply;

    /* quorum_serve.c's */
    struct list
        serving; /* requests of other replicas that wait for the core, in order of arrival */
    uint32_t serving_count;
    uint32_t serve_reads; /* of the log, in flight */
    uint64_t serve_ticket;

    uint64_t bytes_since_snapshot;
    struct snapshot_id last_snapshot; /* end_offset 0: none */
    struct meta_snapshot snapshot;
    int32_t snapshot_epoch; /* the newest when a snapshot was begun */
    struct meta_load load;
    struct meta_install install;

    struct meta_open *open;   /* while opening */
    struct meta_start *start; /* while opening: meta_open.c's */
    struct meta_close *close; /* while closing */
    struct log_set_close log_close;
    bool resigned;
    bool logs_closing;
};

/* --- meta_log.c ------------------------------------------------------------------------------- */

/* Appends a batch of this leader. `after` is the draft that it makes of the newest image, and is taken; NULL: the
 * batch is read again. `committed` is called when the image has it, or
 * with the error: ERR_NOT_CONTROLLER, nobody knows what becomes of it; others, nothing was appended. One at a
 * time. */
void meta_append(struct meta *m, struct bytes batch, struct image *after,
                 void (*committed)(struct meta *m, int error));

/* The same for a VotersRecord; `voters` are lent until it is in the log. */
void meta_append_voters(struct meta *m, struct bytes batch, const struct raft_voters *voters,
                        void (*committed)(struct meta *m, int error));

/* From the quorum: everything below `offset` is committed, and durable here. */
void meta_committed(struct meta *m, int64_t offset);

/* From the quorum: this node leads no more. */
void meta_deposed(struct meta *m);

/* From the quorum: whole batches of the leader's log that follow this one, copied; told to it by
 * quorum_flushed() when they are durable. */
void meta_follow(struct meta *m, const uint8_t *bytes, const struct raft_batch *batches,
                 const uint32_t *sizes, uint32_t count);

/* From the quorum: the log ends at `offset`. */
void meta_truncate(struct meta *m, int64_t offset);

/* Applies what was read to a draft, adds it to `history` (NULL: not), and gives its slices back. */
int meta_log_apply(struct meta *m, struct log_read *r, struct image *draft,
                   struct quorum_history *history, char why[static RECORDS_WHY_SIZE]) MUST_CHECK;

bool meta_log_busy(const struct meta *m);

/* Something that was in flight has ended. */
void meta_log_idle(struct meta *m);

/* --- quorum_serve.c --------------------------------------------------------------------------- */

/* An answer of the core, to whom its ticket is of. */
void serve_answer(struct meta *m, const struct raft_message *answer);

/* Ends all that wait. */
void serve_close(struct meta *m);

/* --- others ----------------------------------------------------------------------------------- */

/* From the quorum: this node leads `epoch` (meta_begin.c). */
void start_lead(struct meta *m, int32_t epoch);

/* The image has this broker, unfenced: the start is over (meta_begin.c). */
void meta_member(struct meta *m);

void meta_activate(struct meta *m);

/* This node, as a voter. */
struct voter meta_own_voter(const struct meta *m);

/* Those in force with their addresses; this node's are what it advertises now. False: somebody's is not known. */
bool voters_now(struct meta *m, struct voters *out) MUST_CHECK;

/* Ends an operation, whose sentence may be set already (meta.c). */
void meta_answer(struct meta *m, struct meta_op *op, int error);

/* Decides what waits (meta.c). */
void meta_decide(struct meta *m);

/* A batch of this leader is committed, or nobody knows, and its operations are answered: what is next (meta.c). */
void meta_batch_over(struct meta *m);

/* `next` takes the place of the image; takes the reference. */
void meta_show(struct meta *m, struct image *next);

/* Frees everything but the log set, which is closed. */
void meta_free(struct meta *m);

/* Begins a snapshot when enough has been written since the last. */
void meta_snapshot_maybe(struct meta *m);

/* --- meta_load.c ------------------------------------------------------------------------------ */

/* From the quorum: the leader's log begins behind this one. Ends with quorum_loaded() or quorum_load_failed(). */
void meta_load_begin(struct meta *m, struct raft_end end);

/* Another leads, perhaps. */
void meta_load_changed(struct meta *m);

/* Something that was in flight has ended. */
void meta_load_next(struct meta *m);

/* While closing: nothing more is begun; meta_close_next() when the load is not active any more. */
void meta_load_stop(struct meta *m);

/* --- meta_install.c --------------------------------------------------------------------------- */

/* The snapshot is whole and durable in `temporary`, and nothing of the log is in flight. */
void meta_install(struct meta *m, struct snapshot_id id, const char *temporary,
                  void (*done)(struct meta *m));

/* The same where a crash has left it under the name of one that was loaded. */
void meta_install_again(struct meta *m, struct snapshot_id id, void (*done)(struct meta *m));

/* Called when a batch or a snapshot has ended while closing. */
void meta_close_next(struct meta *m);

/* yield.c: hands the lead on if it has come to a node that waits (meta_vote()). */
void yield_while_waiting(struct meta *m);
