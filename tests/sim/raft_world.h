/* SPDX-License-Identifier: Apache-2.0 */

/* raft_world: a quorum of raft cores in virtual time, from one seed: their logs, votes and snapshots on
 * disks that lose what is not durable, a network that loses, delays, doubles and cuts off, a client that
 * proposes, reads and changes the voters; and an oracle that sees all of it.
 *
 * The oracle checks, at each effect, over all machines (RELIABILITY 3.2):
 *   leaders      one in an epoch (M1)
 *   epochs       none falls over a restart, no second vote in one (M2)
 *   committed    what one machine calls committed is the same everywhere, and there for good (M6)
 *   complete     who leads an epoch holds everything that was committed in an older one (M6)
 *   durable      what is committed here is durable here (M4)
 *   damage       no log contradicts a committed one (M7)
 *   state        equal state at equal offsets (M12), also when it comes from a snapshot (M13)
 *   reads        a confirmed read sees what was committed when it was asked for (M10)
 *   quorum       who leads is fetched from by a majority (M9)
 *   voters       sets in force one after the other differ by one voter (M15)
 *   wire         with messages as bytes: what arrives is what was sent
 *   liveness     once everything is healed, a leader, commits, and equal logs follow (M18) */
#pragma once

#include "raft/raft.h"

#include <stdio.h>

enum {
    WORLD_MACHINES_MAX = 9,
    WORLD_ENTRIES_MAX = 4096,
    WORLD_PACKETS_MAX = 1024,
    WORLD_PACKET_ENTRIES = 6,
    WORLD_EPOCHS_MAX = 4096,
    WORLD_READS_MAX = 256,
};

struct world_entry {
    int32_t epoch;
    uint64_t id; /* of what was proposed; 0: a leader's first */
    bool changes;
    struct raft_voters voters;
};

struct packet {
    uint64_t due_ns;
    struct raft_message message;
    struct world_entry entries[WORLD_PACKET_ENTRIES];
    uint32_t entry_count;
};

struct pending_vote {
    struct raft_vote vote;
    uint64_t due_ns;
};

struct machine {
    struct raft_id id;
    struct raft *raft;  /* NULL: it is down */
    uint64_t up_ns;     /* when it starts again */
    uint64_t doom_ns;   /* when it ends, 0: not known */
    uint64_t frozen_ns; /* until then it does nothing */
    int32_t skew;       /* of its clock, in parts of a million */

    /* The disk. */
    struct raft_vote vote;
    struct pending_vote votes[16];
    uint32_t vote_count;
    struct world_entry *log; /* by offset */
    int64_t start, end, durable;
    int64_t flushing;  /* up to there, since */
    uint64_t flush_ns; /* 0: nothing is */
    struct raft_end snapshot;
    struct raft_voters snapshot_voters;
    uint64_t snapshot_hash;

    /* The node. */
    int64_t applied;
    uint64_t hash;
    uint64_t load_ns; /* 0: nothing is loaded */
    struct raft_end loading;
    struct raft_id load_from;
    struct {
        uint64_t sequence;
        int64_t least; /* what was committed somewhere when it was asked for */
    } reads[WORLD_READS_MAX];
    uint32_t read_count;

    /* The oracle's. */
    struct raft_vote told;                   /* the newest that another machine may rest on */
    uint64_t fetched_ns[WORLD_MACHINES_MAX]; /* by whom, when */
    uint64_t leads_ns;                       /* since, 0: does not */
    uint64_t changed_ns;                     /* it has changed the voters */
};

struct world_stats {
    uint64_t runs, steps, kills, cuts, freezes, partitions, lost, doubled, elections, commits,
        reads, changes, snapshots, loads, truncations, resignations, losses, virtual_ns;
};

struct world_options {
    uint64_t seed;
    unsigned mutant;
    FILE *story; /* NULL: untold */
    bool wire;   /* messages go as bytes */
};

struct world {
    struct world_options options;
    struct world_stats *stats;
    struct prng net, disk, client, fault;
    uint64_t now_ns;
    struct machine machines[WORLD_MACHINES_MAX];
    unsigned machine_count;
    bool cut[WORLD_MACHINES_MAX][WORLD_MACHINES_MAX]; /* from, to */
    unsigned loss, doubling;                          /* in a thousand */
    uint64_t delay_ns, flush_ns;                      /* at most */
    uint32_t packet_entries;
    struct packet *packets;
    uint32_t packet_count;
    struct world_wire *wire; /* NULL: messages go as they are */
    uint64_t proposals;
    bool restless; /* who begins to lead soon ends */

    struct world_entry *committed; /* by offset, as the first machine had it */
    int32_t *committed_in;         /* the epoch of who said so first */
    int64_t committed_end;
    uint64_t *hashes;                  /* of the state at each offset */
    int32_t leaders[WORLD_EPOCHS_MAX]; /* by epoch, -1: none yet */
    char why[400];                     /* what was violated; empty: nothing */
};

/* One run. 0, or -1 with what was violated in `why`. */
int raft_world_run(const struct world_options *options, struct world_stats *stats,
                   char why[static 400]);

/* --- raft_world.c, raft_machine.c ------------------------------------------------------------- */

uint64_t machine_clock(const struct world *w, const struct machine *m);
void machine_start(struct world *w, struct machine *m);
/* Kill: what was written is there. Power cut: what was not durable may be gone. */
void machine_stop(struct world *w, struct machine *m, bool power_cut);
void machine_step(struct world *w, struct machine *m); /* what is due */
uint64_t machine_due(const struct world *w, const struct machine *m);
void machine_receive(struct world *w, struct machine *m, const struct packet *p);
void machine_propose(struct world *w, struct machine *m, const struct raft_voters *voters);
void machine_read(struct world *w, struct machine *m);
void machine_snapshot(struct world *w, struct machine *m);
void machine_effects(struct world *w, struct machine *m, const struct packet *in_hand);
struct raft_voters machine_voters(const struct machine *m, int64_t before);
void world_send(struct world *w, struct machine *from, const struct raft_message *message);
struct machine *world_machine(struct world *w, struct raft_id id);
void world_tell(struct world *w, const struct machine *m, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- raft_wire.c ------------------------------------------------------------------------------ */

struct world_wire *wire_new(void);
void wire_free(struct world_wire *x);
/* Makes of the packet's message and entries what their bytes say. */
void wire_carry(struct world *w, struct machine *from, const struct machine *to, struct packet *p);

/* --- raft_oracle.c ---------------------------------------------------------------------------- */

void oracle_violation(struct world *w, const struct machine *m, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void oracle_lead(struct world *w, struct machine *m);
void oracle_committed(struct world *w, struct machine *m, int64_t offset);
void oracle_applied(struct world *w, struct machine *m);
void oracle_sent(struct world *w, struct machine *m, const struct raft_message *message);
void oracle_started(struct world *w, struct machine *m);
void oracle_readable(struct world *w, struct machine *m, uint64_t sequence, int64_t offset);
void oracle_changed(struct world *w, struct machine *m, const struct raft_voters *from,
                    const struct raft_voters *to);
void oracle_step(struct world *w); /* who leads, is fetched from */
void oracle_end(struct world *w);  /* all are up and calm */
