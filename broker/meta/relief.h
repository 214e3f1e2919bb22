/* SPDX-License-Identifier: Apache-2.0 */

/* relief: a broker whose disk is full leads nothing that others can lead. Private to broker/meta.
 *
 * What it leads takes no record, though others in sync may have room. So after a while it is as if an
 * operator had drained it, until there has been room for a longer while. Where all are full everybody
 * keeps what he leads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct meta;

struct relief {
    uint64_t full_ns, room_ns; /* since then it is so; 0: it is not */
    bool on;
};

/* Before each heartbeat. True: `on` has changed. */
bool relief_look(struct meta *m);
