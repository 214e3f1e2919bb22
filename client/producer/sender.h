/* SPDX-License-Identifier: Apache-2.0 */

/* sender: the I/O side of a producer. It drains the accumulator into Produce requests, one per
 * broker and round, at most max_in_flight of them per broker, and decides what an answer means.
 *
 * Order and duplicates. With idempotence every batch of a partition carries the producer's id and a
 * sequence number; up to five are in flight.
 *   P1  A partition of which a batch failed sends nothing until all its batches in flight are
 *       answered; then the failed ones go again, in order, with the same bytes. A broker that had
 *       written one answers as if it had been sent once.
 *   P2  A batch is given up only when the broker refuses it or its delivery timeout has passed. Its
 *       number is then a gap: the partition is broken. What is left is sent again under the old
 *       numbers until the broker has said of each whether it is written; what is not gets a new
 *       id, counted from 0. (The last number of all is simply used again.)
 *   P3  OUT_OF_ORDER_SEQUENCE for the oldest batch of a partition that is not broken means that the
 *       broker lost what it had acknowledged: fatal, everything fails.
 *   P4  A broker that knows nothing of an id takes its batches from any number on: so the first
 *       batch under an id is acknowledged before the second is sent.
 *   P5  A broker remembers five batches of an id. Nothing new is sent while a batch is on its way
 *       again: so what may have been written stays among the five until it is acknowledged.
 *   P6  A leader that is silent and has been replaced (core/silence.h) is one whose connection was
 *       lost: P1 holds, and the same batches go to the new leader, which knows the numbers of what
 *       the old one had replicated.
 * Without idempotence a partition has one batch in flight, so that retries keep the order (the next is
 * compressed meanwhile); a lost answer may then cause a duplicate. With acks 0 a batch is delivered
 * when it is sent. */
#pragma once

#include "core/call.h"
#include "producer/accumulator.h"

struct sender {
    struct core *core;
    struct accumulator *accumulator;
    struct gate *gate;
    const leat_producer_options *options;
    struct core_member member;
    uint32_t lane;
    struct batch_packer packer;
    int problem;          /* the code of what it has said with leat_problem(); 0: nothing */
    struct list nodes;    /* struct sender_node */
    struct list homeless; /* queues whose leader is not known */
    struct alarm alarm;
    struct io_turn turn, prepare;
    struct call id_call;
    bool id_known;
    int64_t producer_id;
    int16_t producer_epoch;
    unsigned requests; /* in flight */
    bool closing;
    void (*closed)(struct sender *s);
};

/* On the I/O thread, as all that follows. `options` and the accumulator are lent until closed(). */
void sender_open(struct sender *s, struct core *core, struct accumulator *a, struct gate *gate,
                 const leat_producer_options *options);

/* The accumulator has something new. */
void sender_wake(struct sender *s);

/* Fails what is left and lets go of everything; closed() is called in a later turn. */
void sender_close(struct sender *s, void (*closed)(struct sender *s));
