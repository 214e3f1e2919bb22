/* SPDX-License-Identifier: Apache-2.0 */

/* watch: whether the processes of the other brokers are still there. Private to meta.
 *
 * A leader keeps a connection to each broker that is not fenced. When a process dies its machine ends the connection,
 * and refuses the next one: nobody need wait for the session to end. A machine that dies too says nothing, and is left
 * to the session.
 *
 *     connected --lost--> asked again --refused, and not heard meanwhile--> its session ends
 *     not connected yet --refused, and not heard for 1.5 heartbeats-----------^
 *
 * Being wrong does little harm: a broker that is fenced while it lives is let in by its next heartbeat. */
#pragma once

#include "net/peer.h"

struct meta;
struct watch;

enum { WATCHES_MAX = 64 }; /* brokers beyond are left to their sessions */

struct watches {
    struct watch *list[WATCHES_MAX];
    uint32_t count;
    uint32_t closing;     /* connections that are being closed */
    int32_t refused_node; /* the last that refused to be fetched from while it led, */
    uint64_t refused_ns;  /* and when; 0: none has */
};

/* While this node leads: watches whom it should, and asks those again that were not reached. */
void watches_look(struct meta *m);

/* It leads no more, or closes; meta_log_idle() when all is over. */
void watches_end(struct meta *m);
