/* SPDX-License-Identifier: Apache-2.0 */

/* stated: what a node's configuration says of a setting that is one for the whole cluster, min.insync.replicas.
 * Private to meta.
 *
 *     a node begins to lead, its configuration states a value, the image has none for all brokers
 *         --stated_look, META_STATE_CONFIGS--> the image has it, before anything else is decided in this epoch
 *     the image has another value than a node's configuration, or has come to have it
 *         --stated_say--> one line of that node's log, which names both
 *
 * So the value of the first controller that states one counts, as if an operator had set it for all brokers, until an
 * operator does. A later controller with another file changes nothing: leadership moves for many reasons, and a
 * promise must not become smaller by that. */
#pragma once

#include "meta/meta.h"

struct stated {
    struct meta_op op;
    bool under_way;
    uint64_t at_ns; /* a leader's: to be looked at then; UINT64_MAX: not any more */
    int32_t said;   /* the cluster's value that was told as another than the own; 0: none */
};

/* This node leads now. */
void stated_lead(struct meta *m);

/* Puts what is due in front of what waits to be decided. */
void stated_look(struct meta *m);

/* There is a new image with other configurations, or this node has become a member. */
void stated_say(struct meta *m);
