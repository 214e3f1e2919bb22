/* SPDX-License-Identifier: Apache-2.0 */

/* membership: this broker among the brokers, and, where this node leads, whom of the others is still heard.
 * Private to meta.
 *
 *     no leader known --> registering --answered--> heartbeats --image has it unfenced--> a member
 *                              ^--the epoch is not the image's any more--'
 *
 *     a member --meta_retire--> hands over --may go, or it takes too long--> fences itself --the image shows it--> done
 *                                   '--------------- no controller answers -------------------------------------^
 *
 * What is asked goes to the controller as an operation, wherever it is: decided here, or sent as
 * BrokerRegistration and BrokerHeartbeat. A leader fences who was not heard for a session; it hears itself; and it
 * does what is due by time (upkeep.h). */
#pragma once

#include "meta/cluster.h"
#include "meta/ends.h"
#include "meta/meta.h"
#include "meta/relief.h"
#include "meta/upkeep.h"
#include "net/peer.h"

struct membership_timer;

struct membership {
    struct membership_timer *timer; /* of its own memory: it may be in flight when meta ends */
    struct uuid incarnation;
    struct meta_op op; /* the one that is under way */
    struct meta_registration registration;
    struct meta_lost *lost;          /* of it */
    struct meta_lost *lost_at_start; /* as the log said then, committed or not */
    uint32_t lost_at_start_count;
    struct meta_heartbeat heartbeat;
    struct peer_request request;
    bool busy;
    bool registered;    /* broker_epoch is of this life, as far as is known */
    uint64_t beaten_ns; /* the last heartbeat */
    uint64_t said_ns;   /* the last line about what is waited for */
    int64_t told;       /* offset of the image that the last heartbeat told of */

    bool waits;        /* meta_vote(): registers, and leads the quorum, when meta_join() follows */
    uint64_t leads_ns; /* meanwhile: since when it leads nevertheless; 0: it does not */
    bool asked;        /* the operator wants nothing to be led here */
    struct relief relief;
    bool draining;   /* for one reason or the other */
    bool comes_back; /* it is or was fenced, and may not have taken what nobody else can lead */
    bool yielded;    /* the lead of the quorum, too, since then */
    bool may_go;     /* the controller's word: others lead what they can, and all know it */
    struct meta_retire *retire;      /* NULL: the process stays */
    uint64_t farewell_ns;            /* when this node saw that it is fenced; 0: not yet */
    int64_t farewell;                /* in the image of this offset */
    uint64_t retire_ns, answered_ns; /* since when it goes, the controller's last answer since */

    /* A leader's. */
    struct cluster_sessions sessions;
    struct ends ends;
    struct meta_op expiry;
    bool expiring;
    struct upkeep upkeep;
    struct meta_op upkeep_op; /* while upkeep.under_way */
    uint64_t looked_ns;       /* for silent brokers, the last time */
};

/* Begins: the quorum has. ERR_NO_MEMORY. */
int membership_begin(struct meta *m) MUST_CHECK;

/* There is a new image. */
void membership_look(struct meta *m);

/* Another leader, another image: something may be due at once. */
void membership_wake(struct meta *m);

/* This node leads: everybody counts as heard. */
void membership_lead(struct meta *m);

/* From now on nothing is to be led here that others can lead; or that is over. */
void membership_drain(struct meta *m, bool asked);

/* Nobody listens any more where this life of a broker did: its session is over, unless it is heard again first. */
void membership_gone(struct meta *m, int32_t broker, int64_t epoch);

bool membership_busy(const struct meta *m);
void membership_end(struct meta *m);
