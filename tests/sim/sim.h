/* SPDX-License-Identifier: Apache-2.0 */

/* sim: a whole cluster in one thread, in virtual time, from one seed.
 *
 * A struct sim is a world: a clock that jumps from event to event, machines (struct sim_node) with
 * shards that are struct io of the simulated backend, their disks, the network between them.
 * Everything random comes from the seed, in one stream for each purpose; sim_hash() of two runs of
 * one seed is the same, or something depends on what it must not (addresses, real time,
 * uninitialised bytes).
 *   1. A node's code runs only inside sim_step(), in turns of one shard, and leaves only by
 * returning or by its end: a crash, io_fatal(), a failed assertion jump out of it.
 *   2. A node is dropped without running its code: the memory of its shards goes at once. What was
 *      told to the world outside (a disk, a peer, the test's own memory) stays.
 *   3. Operations end in any order, after a latency of the seed's choosing; what is ready together
 * is handled in one turn. Messages of one shard to another keep their order.
 *   4. Memory lent to a write must not change until done() (asserted by its checksum).
 *   5. Every fault is off until struct sim_faults switches it on. */
#pragma once

#include "disk.h"
#include "io/io.h"

#include <stdio.h>

struct sim;
struct sim_node;

enum {
    SIM_NODES_MAX = 80, /* brokers and clients */
    SIM_SHARDS_MAX = 16,
    SIM_NAME_MAX = 64,
    SIM_LINE_MAX = 512,
};

/* A time of min_ns .. min_ns + 2 * mean_ns, evenly; in `tail` of 1000 cases up to tail_ns more. */
struct sim_latency {
    uint64_t min_ns, mean_ns, tail_ns;
    uint32_t tail;
};

/* What the world does to its nodes; may be changed while it runs. Chances are of a million. */
struct sim_faults {
    struct sim_latency read, write, sync, name; /* name: allocate, truncate, unlink */
    struct sim_latency turn, work, post;        /* turn: from the first thing ready to its turn */
    struct sim_latency link;                    /* one way between two machines */
    const char *slow_name;   /* operations on files with this in their path ... */
    struct sim_latency slow; /* ... take this time instead; NULL: none */
    struct disk_crash crash;
    uint32_t read_error, write_error, sync_error;
    uint32_t write_misdirected, write_lost;
    bool direct_refused;       /* IO_OPEN_DIRECT falls back to buffered */
    uint64_t bytes_per_second; /* of each direction of a connection; 0: without limit */
    uint32_t piece_max;        /* the most that one send or receive moves; 0: without limit */
    uint32_t short_transfers;  /* sends and receives that move less than they could */
    uint32_t connect_refused, connection_reset;
};

struct sim_options {
    uint64_t seed;
    size_t memory_bytes; /* budget of a shard; 0: 256 MiB */
    uint64_t disk_bytes; /* capacity of a node's disk; 0: 1 GiB */
    FILE *story;         /* one line for what happens, lent; NULL: silent */
    bool brief;          /* the story leaves single operations of files and connections out */
    bool catch_asserts; /* a failed assertion ends the node, not the process; one world at a time */
};

/* Latencies of a fast machine, all faults off. */
struct sim_faults sim_faults_none(void);

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

struct sim_faults *sim_faults(struct sim *sim);
uint64_t sim_now(const struct sim *sim);
uint64_t sim_hash(const struct sim *sim);
uint64_t sim_events(const struct sim *sim);

/* The stream named `label`, of its own, for a test's choices. */
struct prng sim_random(const struct sim *sim, uint64_t label);

/* Handles the next event; false when there is none. */
bool sim_step(struct sim *sim);

/* The node that the last sim_step() ran code of, or ended; NULL: none. */
struct sim_node *sim_stepped(const struct sim *sim);

/* Handles all events up to `until_ns` and moves the clock there. */
void sim_run(struct sim *sim, uint64_t until_ns);

/* A line of the story; does nothing when there is none. */
void sim_story(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Calls `fire` at `at_ns`, outside all nodes: for what a test does to its world. */
struct sim_alarm {
    void (*fire)(struct sim_alarm *a, struct sim *sim);
    uint64_t words[8]; /* the world's; zeroed by the owner */
};
void sim_alarm(struct sim *sim, struct sim_alarm *a, uint64_t at_ns);

/* --- nodes --------------------------------------------------------------------------- */

enum sim_state {
    SIM_DOWN,    /* never started */
    SIM_RUNNING, /* has a shard that has not stopped */
    SIM_STOPPED, /* every shard called io_stop() */
    SIM_KILLED,
    SIM_POWER_CUT,
    SIM_FATAL,    /* io_fatal(), see sim_node_last_line() */
    SIM_ASSERTED, /* a failed assertion (catch_asserts) */
    SIM_FROZEN,   /* dropped, its disk left in the middle of everything */
};

enum sim_crash_kind { SIM_CRASH_KILL, SIM_CRASH_POWER, SIM_CRASH_FREEZE };

/* A machine with an empty disk. `name` is its host name. */
struct sim_node *sim_node_new(struct sim *sim, const char *name);
struct sim_node *sim_node(struct sim *sim, unsigned index);
unsigned sim_node_count(const struct sim *sim);

/* Starts it: start(io, argument) is called on each of its shards. It is not running. */
void sim_node_start(struct sim_node *n, unsigned shards,
                    void (*start)(struct io *io, void *argument), void *argument);

/* Each ends a running node; on one that is not running, a power cut hits its disk and a kill
 * nothing. */
void sim_node_kill(struct sim_node *n);
void sim_node_power_cut(struct sim_node *n);
void sim_node_freeze(struct sim_node *n);

/* Crashes it in place of its n-th operation from now on: a call that changes something outside the
 * node (files, names, sockets), or the end of one. 1: the next. 0 disarms. */
void sim_crash_after(struct sim_node *n, uint64_t operations, enum sim_crash_kind kind);

/* Operations, as counted by sim_crash_after(), since its start. */
uint64_t sim_node_operations(const struct sim_node *n);

/* None of its turns runs before `until_ns`. */
void sim_node_pause(struct sim_node *n, uint64_t until_ns);

enum sim_state sim_node_state(const struct sim_node *n);
const char *sim_state_name(enum sim_state state);
struct sim *sim_node_world(const struct sim_node *n);
const char *sim_node_name(const struct sim_node *n);
struct io *sim_node_shard(struct sim_node *n, unsigned shard); /* while it runs */

/* What io_fatal() or the failed assertion said; "" otherwise. */
const char *sim_node_last_line(const struct sim_node *n);

/* Wall clock: `skew_ms` off, and running `drift_ppm` too fast. */
void sim_node_clock(struct sim_node *n, int64_t skew_ms, int32_t drift_ppm);

/* The disk that outlives the node; and the exchange of it for another, which the node takes over
 * (the old one is the caller's): the node is not running. */
struct disk *sim_node_disk(struct sim_node *n);
struct disk *sim_node_swap_disk(struct sim_node *n, struct disk *d) MUST_CHECK;

/* What io_boot_id() says; and another, for a disk that has seen another crash. */
struct uuid sim_node_boot(const struct sim_node *n);
void sim_node_set_boot(struct sim_node *n, struct uuid boot);
struct uuid sim_boot_new(struct sim *sim);

/* The node whose code is running, or NULL. */
struct sim_node *sim_current(const struct sim *sim);

/* --- network ------------------------------------------------------------------------- */

/* Another name for a node; "localhost" and "127.0.0.1" are the asking node itself. */
void sim_name(struct sim *sim, const char *host, struct sim_node *n);

enum sim_link {
    SIM_LINK_UP,
    SIM_LINK_CUT,    /* nothing arrives until it is up again; then it does, as with TCP */
    SIM_LINK_REFUSE, /* cut, and connecting fails at once */
};

/* One direction only: cutting one of the two makes an asymmetric partition. */
void sim_link_set(struct sim *sim, unsigned from, unsigned to, enum sim_link link);

/* Everything on the way from one node to another takes `extra_ns` more from now on. */
void sim_link_clog(struct sim *sim, unsigned from, unsigned to, uint64_t extra_ns);

/* Resets every connection between two nodes. */
void sim_link_reset(struct sim *sim, unsigned a, unsigned b);
