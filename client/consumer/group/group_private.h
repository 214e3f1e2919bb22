/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of a group share; all on the I/O thread. */
#pragma once

#include "consumer/group/group.h"

#include <regex.h>

struct topic_pattern {
    regex_t regex;
};

/* Goes on at the end of the turn. */
void group_soon(struct group *g);

/* The coordinator answered that it is none, or cannot be reached: looks for it. */
void group_coordinator_lost(struct group *g);

/* 0 for an error that says so of the coordinator, after looking for it; else the error. */
bool group_coordinator_error(struct group *g, int error);

/* A connection to the coordinator, or NULL: then group_run() is called when there may be one. */
struct connection *group_connection(struct group *g, uint32_t lane);

/* For call kinds. */
int group_call_route(struct call *c, struct group *g, int32_t *broker);

/* Tells the caller, with his next poll. */
void group_tell(struct group *g, const leat_error *e);

/* The membership ends for good. */
void group_fail(struct group *g, const leat_error *e);

/* --- membership.c --- */

/* Does what the state asks for; lowers *due_ns to when it wants to be called again. */
void membership_run(struct group *g, uint64_t *due_ns);

/* This member is out of the group; `forget` its id too. Everything it held is lost. */
void membership_lost(struct group *g, bool forget);

/* Joins again for this reason, as soon as it can. */
void membership_rejoin(struct group *g, const char *reason);

/* Tells the coordinator that it goes (not a static member), and is idle. */
void membership_leave(struct group *g, const char *reason);

/* Sends SyncGroup: with the assignments of g->leading if there is one. */
void membership_sync(struct group *g);

/* --- leader.c --- */

/* This member leads the generation of a JoinGroup answer, whose frame it takes. */
int leader_begin(struct group *g, const struct join_group_response *in, bool skip);

/* Assigns as soon as all topics are known: 0 when done, ERR_BUSY, or an error. */
int leader_assign(struct group *g);

/* Whether the topics of the generation, or the racks that they are in, are not any more what was
 * assigned. */
bool leader_outdated(struct group *g);

/* How many assignments the leader sends, and one of them. */
size_t leader_count(const struct group *g);
int leader_write(const struct group *g, size_t index, struct wire_string *member_id,
                 struct wire_writer *w, struct arena *scratch) MUST_CHECK;

void leader_end(struct group *g);

/* --- assignment.c --- */

/* Takes the assignment of a new generation. */
int assignment_take(struct group *g, struct wire_bytes blob);

/* Before joining: lets go of what has to be let go of. True when nothing is left to wait for. */
bool assignment_prepare(struct group *g);

/* Takes from the caller what he let go of, once it is committed. True: it is all gone. */
bool assignment_release(struct group *g);

/* All partitions are gone at once. In the gate. */
void assignment_lose(struct group *g, int32_t kind /* enum leat_change_kind */);

/* In the gate: remembers a change for leat_rebalance(). */
void group_note(struct group *g, int32_t kind, const struct consumer_partition *p);

/* --- offsets.c --- */

/* Sends what there is to commit and asks for what was committed. */
void offsets_run(struct group *g, uint64_t *due_ns);

/* Ends everything that waits, when the deadline of closing has come. */
void offsets_abandon(struct group *g);

/* --- topics.c --- */

/* Puts a new wish in force. In the gate. ERR_NO_MEMORY. */
int topics_take_wish(struct group *g);

/* Looks for topics that are missing and asks for the list of all when it is time. */
void topics_run(struct group *g, uint64_t *due_ns);

void topics_close(struct group *g);

bool topics_subscribed(const struct group *g, const char *topic);

void wish_free(struct group *g, struct subscription_wish *w);
