/* SPDX-License-Identifier: Apache-2.0 */

/* replica_world: one partition's replicas in virtual time, from one seed: the cores of broker/partition over
 * logs that lose what is not durable, a network that loses, delays, doubles and cuts off, a controller that is
 * one atomic state, clients that append and read; and an oracle that sees all of it.
 *
 * The oracle checks, at each step and effect, over all machines (RELIABILITY 3.1, 1.4):
 *   P1 single leader    one process appends in a leader epoch (and P2a: it dies with its process)
 *   P2 epochs           leader epoch and partition epoch never fall on a machine
 *   P3 contiguous       a log's epochs never fall and are not newer than who appends knows
 *   P7 watermark        it never falls, and is at most what all that may be in sync really hold
 *   P8 acks, C33        acknowledged is held durably by min.insync.replicas; refused when too few are in sync
 *   P9 superset         the controller's in-sync set is waited for by the leader that it knows
 *   P10 candidates      who may be elected holds all that is committed
 *   P11 completeness    who leads holds all that is committed
 *   P12 log matching    below both watermarks logs are equal
 *   P13 reads, C1, C28  what is read at an offset is always the same
 *   P14 no loss, C3     what was acknowledged is there at the end
 *   P15 damage          no follower meets a leader that contradicts it
 *   C20 truncated       nothing committed is cut from a log that had it
 *   C22 regress         the latest offset never falls for who follows the epochs
 *   P36 liveness        after the heal all are in sync, equal, and acknowledge within a bound; before it no
 *                       append waits for ever for a follower that the leader could eject
 *   fair, flapping      who has everything is not ejected; one at the edge does not change the set all the time
 *
 * After an unclean election what its leader does not have is declared lost, and what older epochs go on to
 * acknowledge is not counted. */
#pragma once

#include "partition/following.h"
#include "partition/leading.h"

#include "base/prng.h"

#include <stdio.h>

enum {
    WORLD_MACHINES_MAX = 5,
    WORLD_CONTROLLER = WORLD_MACHINES_MAX, /* as an end of a link */
    WORLD_RECORDS_MAX = 2048,
    WORLD_PACKETS_MAX = 512,
    WORLD_PACKET_RECORDS = 6,
    WORLD_OPERATIONS_MAX = 2048,
    WORLD_WAITS_MAX = 32,
    WORLD_APPENDS_MAX = 256,
    WORLD_EPOCHS_MAX = 2048,
};

struct world_record {
    int32_t epoch;
    uint64_t id;
};

/* The metadata of the partition and its brokers. Sets are bits by machine. */
struct world_image {
    int64_t version;
    int32_t leader, epoch, partition_epoch, unclean_epoch; /* leader: a machine, -1 none */
    uint32_t replicas, isr, elr, alive, damaged;
    int32_t preferred;
    uint32_t min_isr;
    bool recovering;
    int64_t broker_epochs[WORLD_MACHINES_MAX];
};

enum packet_kind {
    PACKET_FETCH,
    PACKET_FETCHED,
    PACKET_ALTER,
    PACKET_ALTERED,
    PACKET_IMAGE,
    PACKET_BEAT,
    PACKET_REGISTER,
    PACKET_REGISTERED,
};

struct packet {
    uint64_t due_ns;
    enum packet_kind kind;
    unsigned from, to;
    uint64_t life;   /* of the machine that asks, and that its answer is for */
    uint64_t ticket; /* FETCH, FETCHED */
    bool failed;     /* BEAT: the log does not check */
    union {
        struct leading_fetch fetch;
        struct {
            struct leading_answer answer;
            int64_t base;
            struct world_record records[WORLD_PACKET_RECORDS];
            uint32_t count;
        } fetched;
        struct leading_proposal alter;
        struct {
            uint64_t ticket;
            int error;
        } altered;
        struct world_image image;
        int64_t broker_epoch; /* BEAT, REGISTERED */
        struct {
            uint64_t disk;
            bool lossy;
        } registration;
    };
};

enum operation_kind { OPERATION_APPEND, OPERATION_TRUNCATE, OPERATION_ANEW, OPERATION_START };

struct operation {
    enum operation_kind kind;
    struct world_record record;
    int64_t offset;
};

struct world_log {
    struct world_record *records; /* by offset */
    int64_t start, end;
};

struct world_wait {
    struct leading_fetch fetch;
    unsigned from;
    uint64_t ticket, life, until_ns;
};

struct world_append {
    uint64_t id, since_ns;
    int64_t offset;
    int16_t acks;
};

enum world_role { ROLE_NONE, ROLE_LEADER, ROLE_FOLLOWER };

struct machine {
    unsigned index;
    bool up;
    uint64_t up_ns, frozen_ns;
    int32_t skew;
    uint64_t life; /* of its process */

    /* The disk: what is durable, and what was written since in its order. */
    uint64_t disk; /* another one after a change */
    struct world_log durable;
    struct operation *operations;
    uint32_t operation_count, flushing;
    uint64_t flush_ns; /* 0: none */
    int64_t saved_watermark, flushing_watermark;
    int32_t saved_proved, flushing_proved;
    bool failed; /* its log does not check: to be reported, and to be replaced (P35) */
    bool lossy;  /* something that counted is gone: told with the registration */

    /* The process. */
    int64_t broker_epoch; /* -1: not registered */
    uint64_t beat_ns;
    struct world_log log;
    int64_t high_watermark;
    int32_t proved_epoch;
    struct world_image image, next; /* next: waits for an append or a cut */
    bool has_next;
    enum world_role role;
    struct leading *leading;
    struct following following;
    struct packet arrived; /* an answer whose records are on their way into the log */
    uint64_t append_ns, cut_ns;
    bool cut_refused;
    uint32_t append_first, append_count;
    struct world_wait waits[WORLD_WAITS_MAX];
    uint32_t wait_count;
    struct world_append appends[WORLD_APPENDS_MAX];
    uint32_t append_waiting;

    /* The oracle's. */
    uint64_t able_ns;  /* since then it is up, unfrozen and well connected */
    uint64_t proposed; /* ticket of the last proposal seen */
};

struct world_stats {
    uint64_t runs, steps, kills, cuts, freezes, partitions, lost, doubled, disks, failures,
        elections, unclean, shrinks, expansions, rejections, reassignments, min_changes, appends,
        acked, reads, truncations, anew, short_acks, virtual_ns;
};

struct world_options {
    uint64_t seed;
    unsigned mutant;
    FILE *story; /* NULL: untold */
};

struct world {
    struct world_options options;
    struct world_stats *stats;
    struct prng net, disk, client, fault;
    uint64_t now_ns, steps;
    struct machine machines[WORLD_MACHINES_MAX];
    unsigned machine_count;
    bool memory; /* the topic's durability */
    uint64_t lag_ns, session_ns;
    bool cut[WORLD_MACHINES_MAX + 1][WORLD_MACHINES_MAX + 1]; /* from, to */
    unsigned loss, doubling;                                  /* in a thousand */
    uint64_t delay_ns, flush_ns[WORLD_MACHINES_MAX];          /* at most */
    uint64_t image_late_ns[WORLD_MACHINES_MAX];               /* beside the delay of any message */
    uint32_t packet_records;
    struct packet *packets;
    uint32_t packet_count;
    uint64_t proposals, lives, disks;
    bool may_unclean, may_change_disks, may_change_min, may_reassign, calm;

    /* The controller. */
    struct world_image now;
    int64_t offset;
    uint64_t beats_ns[WORLD_MACHINES_MAX];
    uint64_t known_disks[WORLD_MACHINES_MAX], known_lives[WORLD_MACHINES_MAX];
    uint32_t target; /* of a reassignment, 0: none */
    uint64_t leaderless_ns;
    uint64_t expire_ns; /* 0: no session ends before its time */
    unsigned expires;

    /* The oracle. */
    struct world_record *committed;
    int32_t *committed_in; /* the epoch of who committed it */
    int64_t committed_end;
    int64_t forgotten; /* below it nobody knows what an unclean election has lost */
    int32_t unclean_epoch;
    uint32_t discarded; /* machines that were removed, and have not been in sync since */
    uint32_t weakest;   /* the fewest that had to hold what was committed since then */
    uint64_t links_ns;  /* since then no message is lost or late */
    uint32_t lossy;     /* machines that lost something since all were in sync */
    uint64_t appender_life[WORLD_EPOCHS_MAX];
    uint32_t ejections[WORLD_MACHINES_MAX]; /* by one leader epoch */
    int32_t ejections_epoch;
    uint64_t ejections_ns; /* counted since */
    int64_t latest;
    int32_t latest_epoch;
    struct {
        uint64_t id;
        int64_t offset;
        int32_t epoch;
    } * acked;
    uint32_t acked_count;
    char why[400];
};

/* One run. 0, or -1 with what was violated in `why`. */
int replica_world_run(const struct world_options *options, struct world_stats *stats,
                      char why[static 400]);

/* --- replica_world.c -------------------------------------------------------------------------- */

void world_tell(struct world *w, int machine, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct packet *world_packet(struct world *w, enum packet_kind kind, unsigned from, unsigned to);
/* Sends the packet that world_packet() gave, NULL: it is lost. */
void world_send(struct world *w, struct packet *p);
uint64_t machine_clock(const struct world *w, const struct machine *m);
static inline uint32_t bit(unsigned machine)
{
    return 1u << machine;
}
static inline uint32_t bits(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

/* --- replica_disk.c --------------------------------------------------------------------------- */

int64_t disk_counted(const struct world *w, const struct machine *m);
/* What would be there after the worst crash. */
int64_t disk_certain(const struct world *w, const struct machine *m);
void disk_do(struct world *w, struct machine *m, struct operation o);
void disk_flush_begin(struct world *w, struct machine *m);
void disk_flush_end(struct world *w, struct machine *m);
/* The machine ends: of what is not durable a part is there. */
void disk_crash(struct world *w, struct machine *m, bool power_cut);
void disk_recover(struct machine *m);
void disk_change(struct world *w, struct machine *m);
int64_t disk_epoch_end(const void *machine, int32_t epoch, int32_t *found);

/* --- replica_machine.c ------------------------------------------------------------------------ */

void machine_start(struct world *w, struct machine *m);
void machine_stop(struct world *w, struct machine *m, bool power_cut);
void machine_step(struct world *w, struct machine *m);
uint64_t machine_due(const struct world *w, const struct machine *m);
void machine_receive(struct world *w, struct machine *m, const struct packet *p);
void machine_append(struct world *w, struct machine *m, int16_t acks);
void machine_read(struct world *w, struct machine *m);
void machine_delete(struct world *w, struct machine *m);
/* A checksum is wrong (P35). */
void machine_fail(struct world *w, struct machine *m);
void machine_flushed(struct world *w, struct machine *m);

/* --- replica_controller.c --------------------------------------------------------------------- */

void controller_open(struct world *w, uint32_t replicas, uint32_t min_isr);
void controller_receive(struct world *w, const struct packet *p);
uint64_t controller_due(const struct world *w);
void controller_step(struct world *w);
void controller_set_min(struct world *w, uint32_t min_isr);
void controller_reassign(struct world *w, uint32_t target);
void controller_prefer(struct world *w);
/* The session of a machine is over, whatever it has sent; the next it sends begins another. */
void controller_expire(struct world *w, unsigned machine);

void controller_unclean(struct world *w, unsigned machine);
uint32_t controller_least(const struct world_image *image);

/* --- replica_oracle.c ------------------------------------------------------------------------- */

void oracle_violation(struct world *w, const struct machine *m, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void oracle_leads(struct world *w, struct machine *m);
void oracle_appended(struct world *w, struct machine *m, const struct world_record *r);
void oracle_admitted(struct world *w, struct machine *m, int16_t acks);
void oracle_watermark(struct world *w, struct machine *m, int64_t from);
void oracle_acked(struct world *w, struct machine *m, const struct world_append *a);
void oracle_cut(struct world *w, struct machine *m, int64_t offset, bool anew);
void oracle_read(struct world *w, struct machine *m, int64_t offset);
void oracle_latest(struct world *w, struct machine *m, int64_t offset);
void oracle_trimmed(struct world *w, struct machine *m);
void oracle_proposed(struct world *w, struct machine *m, const struct leading_proposal *p);
/* The controller has let the leader eject these. */
void oracle_ejected(struct world *w, uint32_t set);
void oracle_unclean(struct world *w, unsigned machine);
void oracle_published(struct world *w); /* the metadata has changed */
void oracle_step(struct world *w);
/* Whether everything is as it should be when all is well: what is not, or NULL. */
const char *oracle_missing(const struct world *w);
void oracle_end(struct world *w);
