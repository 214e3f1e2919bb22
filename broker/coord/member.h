/* SPDX-License-Identifier: Apache-2.0 */

/* member: who is in a group, what it has said, what it was assigned. Private to broker/coord. */
#pragma once

#include "coord/group.h"

/* A new member of the group with what a JoinGroup says, without a session yet; NULL: out of memory. */
struct member *member_new(struct group *g, struct wire_string id,
                          const struct coord_call *c) MUST_CHECK;
/* As a record says. */
struct member *member_replay(struct group *g, const struct group_metadata_value_member_metadata *in,
                             struct wire_string protocol) MUST_CHECK;
/* What waits in it is answered with `error`. */
void member_remove(struct member *m, int error);
struct member *member_find(struct group *g, struct wire_string id);
struct member *member_by_instance(struct group *g, struct wire_string instance);
/* Protocols and timeouts of a new JoinGroup, after which a session begins; ERR_NO_MEMORY: as
 * before. */
int member_update(struct member *m, const struct coord_call *c) MUST_CHECK;
/* Another process goes on under the instance's name. */
int member_rename(struct member *m, struct wire_string id) MUST_CHECK;
/* The next assignment; member_adopt() puts it in force. */
int member_assign(struct member *m, struct wire_bytes assignment) MUST_CHECK;
void member_adopt(struct member *m);
void member_unassign(struct member *m); /* there is none */
/* It has said something: its session ends later. */
void member_alive(struct member *m);
/* Whether it says the same under every protocol as this JoinGroup does. */
bool member_same(const struct member *m, const struct join_group_request *q);
/* Of one who asks with the member's instance: 0, FENCED_INSTANCE_ID or UNKNOWN_MEMBER_ID (G4). */
int member_check_id(const struct member *m, struct wire_string id) MUST_CHECK;
/* A new id: client id or instance, 64 bits that grow with each id that coordinators of the group make (leader epoch,
 * number), and 64 random bits. Out of memory: NULL. */
char *member_id_make(struct group *g, const struct coord_call *c) MUST_CHECK;
