/* SPDX-License-Identifier: Apache-2.0 */

/* fake_broker: enough of a broker, in a thread of its own, to try a client against: it keeps
 * batches in memory, checks what the protocol promises (checksums, sequence numbers), and
 * misbehaves on demand. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_broker;

/* Faults, each in per mille of the requests of its kind; drawn from a seed. */
struct fake_faults {
    unsigned drop_before; /* Produce: the connection ends before it is done */
    unsigned drop_after;  /* Produce: done, then the connection ends without an answer */
    unsigned retriable;   /* Produce: refused with NOT_LEADER_OR_FOLLOWER or the like */
    unsigned drop_fetch;  /* Fetch: the connection ends */
    unsigned drop_group;  /* group APIs: the connection ends, before or after */
    bool lose_producers;  /* Produce: once, the state of all producers is forgotten and refused with
                             59 */
    bool corrupt;         /* Fetch: a byte of every batch is changed */
    bool damaged;         /* Fetch: refused with CORRUPT_MESSAGE, as of a batch on a bad disk */
    bool hostile;         /* every answer is noise with a right correlation id, or without */
    bool hostile_groups;  /* half of the answers about groups are noise */
    bool silent;          /* nothing is answered */
    unsigned refuse_large; /* Produce: batches above this size get MESSAGE_TOO_LARGE; 0: never */
};

struct fake_counts {
    uint64_t produces, duplicates, out_of_order, dropped, bad_batches, fetches;
};

/* Listens on 127.0.0.1, *port. Topics are made on demand, with `partitions` partitions. */
struct fake_broker *fake_broker_start(uint16_t *port, int partitions, uint64_t seed);
void fake_broker_stop(struct fake_broker *b);

/* The same with `nodes` brokers, which have the ids 1 and up, at port[0] and on. */
struct fake_broker *fake_broker_start_nodes(uint16_t *port, int partitions, uint64_t seed,
                                            int nodes);

/* These nodes (bit 1 << id) take bytes and do nothing with them from now on. One that was asked
 * something is no broker any more after a while, about `fenced_after` times 5 ms; 0: never. */
void fake_broker_freeze(struct fake_broker *b, unsigned nodes, unsigned fenced_after);

void fake_broker_faults(struct fake_broker *b, const struct fake_faults *faults);
struct fake_counts fake_broker_counts(struct fake_broker *b);

/* The same without a thread, on the loop of `io` and under the name `host`: `nodes` brokers at ports
 * 9092 and up. Only the loop's thread calls the functions below then. */
struct io;
struct fake_broker *fake_broker_new(int partitions, uint64_t seed, const char *host, int nodes);
void fake_broker_listen(struct fake_broker *b, struct io *io);
void fake_broker_free(struct fake_broker *b);

/* Ends all connections and listens again on the same port after `ms`. */
void fake_broker_bounce(struct fake_broker *b);

/* Adds one to every leader epoch. */
void fake_broker_new_epoch(struct fake_broker *b);

/* Removes all records of a partition below `offset`. */
void fake_broker_trim(struct fake_broker *b, const char *topic, int partition, int64_t offset);

/* From now on members may join groups: coordinator.c answers instead of fake_groups.c, whose groups
 * are for administration alone. */
void fake_broker_coordinate(struct fake_broker *b);

/* Makes a topic, and appends one record to a partition. */
void fake_broker_topic(struct fake_broker *b, const char *topic);
void fake_broker_append(struct fake_broker *b, const char *topic, int partition,
                        int64_t timestamp_ms);
void fake_broker_append_value(struct fake_broker *b, const char *topic, int partition,
                              int64_t timestamp_ms, const char *value);

/* From now on topics have so many partitions. */
void fake_broker_grow(struct fake_broker *b, int partitions);

/* The end of a partition, or -1 without it. */
int64_t fake_broker_end(struct fake_broker *b, const char *topic, int partition);

/* The codec of a partition's first batch, or -1. */
int fake_broker_codec(struct fake_broker *b, const char *topic, int partition);

/* --- groups --- */

/* A group without members that has committed nothing. */
void fake_group_make(struct fake_broker *b, const char *name, const char *state);

/* A member that reads the partitions 0 .. count - 1 of a topic. */
void fake_group_member(struct fake_broker *b, const char *group, const char *member,
                       const char *topic, int count);

/* What a group has committed, or -1; and without a group of that name -2. */
int64_t fake_group_committed(struct fake_broker *b, const char *group, const char *topic,
                             int partition);
void fake_group_commit(struct fake_broker *b, const char *group, const char *topic, int partition,
                       int64_t offset);

/* The next `times` requests to a coordinator are refused: it is another broker. */
void fake_group_moves(struct fake_broker *b, unsigned times);
