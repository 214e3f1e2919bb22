/* SPDX-License-Identifier: Apache-2.0 */

/* lease: how long this broker may take for granted that nobody leads in its place (H17).
 *
 * A broker that is cut off is fenced, and others lead, a session after the controller has heard of it last. With
 * each answer to a heartbeat of one that has read who leads the controller grants four fifths of a session, counted
 * from when most voters have last confirmed that it is the controller (raft_read()), so that one that is cut off
 * itself grants nothing. The broker counts from when it sent the heartbeat. Both ends of this are early: while a
 * lease holds, no other controller can have fenced the broker, unless clocks differ in pace by more than a fifth,
 * or sessions from node to node.
 *
 * Who is taken for gone because its port refuses connections is fenced at once: that is a process that has ended. If
 * something else answers in its place, the lease of one that lives runs on beside a new leader.
 *
 * A broker that asks to hand over (it stops, or is drained) has none from then on until the answer: what it leads may
 * be led by others before it hears of it. One that stops takes none any more.
 *
 * What else is moved while the old leader lives, by an operator or for balance, it hears of from the metadata, and may
 * believe to lead until then, for the rest of its lease.
 *
 * Without a lease a leader goes on with what the in-sync set upholds: acks=all, reads of what is committed. It does not
 * acknowledge by itself, tells no latest offset, and coordinates no groups. A broker that knows no other needs none. */
#pragma once

#include "meta/meta.h"

#include <stdatomic.h>

/* Builds of the simulator leave the rule out; beside enum cluster_mutant. */
enum { LEASE_MUTANT_FOR_EVER = 200 };

struct lease {
    /* The controller's: */
    bool asking;
    uint64_t sequence, asked_ns; /* of the read that most voters are to confirm */
    uint64_t confirmed_ns; /* when the last confirmed one was asked for; 0: none in this epoch */
    int64_t moved;         /* offset of the metadata that moved leaderships last */
    /* The broker's: until when; any shard reads it. UINT64_MAX: it is alone. */
    _Atomic uint64_t until_ns;
};

/* The controller, now and then: has itself confirmed. */
void lease_look(struct meta *m);
/* Of RAFT_READABLE; and of RAFT_UNREADABLE. */
void lease_confirmed(struct meta *m, uint64_t sequence);
void lease_lost(struct meta *m);
/* The metadata at this offset may have moved leaderships: who has not read it may not know. */
void lease_moved(struct meta *m, int64_t offset);
/* What it grants now in answer to this heartbeat. */
int32_t lease_grant_ms(const struct meta *m, const struct meta_heartbeat *h);

/* The broker's heartbeat of that time was answered. */
void lease_take(struct meta *m, uint64_t sent_ns, int32_t ms);
/* It asks to hand over. */
void lease_drop(struct meta *m);
void lease_alone(struct meta *m, bool alone);
