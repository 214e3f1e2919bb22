/* SPDX-License-Identifier: Apache-2.0 */

/* silence: brokers that say nothing, though their connections stand.
 *
 * A frozen process and a machine that is cut off end no connection; only time tells. Waiting for the
 * end of a request takes its whole timeout, which is long because a broker may have good reasons to
 * be slow. So silence is only a suspicion, and asking others is cheap:
 *
 *     asked, and nothing came for broker.silence.ms     the connection is silent
 *                beyond what the request may wait         - others are asked what they know of it
 *     still silent                                        - again, less and less often
 *     the metadata name another leader for what it      it is given up: its requests fail and are
 *     led, or do not name it any more                     sent again, to whom the metadata name
 *     something came                                    it is not silent any more
 *
 * Half of that is enough for a connection that is not up yet: nothing was given to its broker. A
 * request that may wait for long (JoinGroup) hides a silence: meanwhile its broker is greeted on the
 * connection beside, which it should answer at once.
 *
 * Invariants
 *   S1  A request that a broker may have got fails by silence only if the metadata, as others tell
 *       them, have taken something from that broker. A slow one that keeps its place is waited for.
 *   S2  Whoever is to be asked anything that any broker knows is not silent while others are not. If
 *       all are, they are asked in turn.
 *   S3  A broker's silence is known by its address, over all its connections, until it says something
 *       there. Nobody else may have anything to ask of it: so this also ends when the metadata name
 *       it again, or when it was not noticed for SILENCE_REMEMBERED_MAX times broker.silence.ms. */
#pragma once

#include "core/core.h"

/* Something is expected on `c` from now on. Harmless otherwise. */
void silence_watch(struct connection *c);

/* Bytes came. */
void silence_heard(struct connection *c);

/* The alarm of a connection. */
void silence_rang(struct alarm *a);

/* When the broker at this address was last noticed to be silent; 0: it is not. */
uint64_t core_silent_since(const struct core *core, const char *host, uint16_t port);

/* What was known of the broker at this address does not count any more. */
void silence_forget(struct core *core, const char *host, uint16_t port);

/* For metadata: a broker was replaced as leader of a partition; and an answer was taken. */
void silence_deposed(struct core *core, int32_t broker_id);
void silence_judge_all(struct core *core);
