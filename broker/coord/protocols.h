/* SPDX-License-Identifier: Apache-2.0 */

/* protocols: what the members of a group have in common. Private to broker/coord. */
#pragma once

#include "coord/group.h"

/* What a member says under a protocol; NULL: it does not have it. */
const struct member_protocol *member_protocol(const struct member *m, struct wire_string name);

/* A member's protocols come and go; ERR_NO_MEMORY: as before. */
int protocols_count(struct group *g, const struct member_protocol *protocols,
                    int32_t count) MUST_CHECK;
void protocols_uncount(struct group *g, const struct member_protocol *protocols, int32_t count);
/* Whether every member but `except` has this protocol. */
bool protocols_have(const struct group *g, struct wire_string name, const struct member *except);
/* The protocol that most members prefer among those that all have; NULL: none, or no members. */
const struct member_protocol *protocols_vote(const struct group *g);
