/* SPDX-License-Identifier: Apache-2.0 */

/* One group without a log: its clock is the simulator's, and what it writes is recorded when the test
 * says so. */
#pragma once

#include "coord/life.h"
#include "sim/sim.h"

#include <criterion/criterion.h>

#define SECOND_NS UINT64_C(1000000000)

enum { CALLS = 256, MEMBER_ID = 160 };

/* A client: one call at a time, and what it was told. */
struct client {
    struct coord_call call;
    union {
        struct join_group_request join;
        struct sync_group_request sync;
        struct heartbeat_request heartbeat;
        struct leave_group_request leave;
        struct offset_commit_request commit;
    } request;
    struct join_group_request_protocols protocols[3];
    struct sync_group_request_assignments assignments[64];
    struct leave_group_request_members leaver;
    struct coord_offset offset;
    bool answered, asking;
    int error;
    char id[MEMBER_ID], leader[MEMBER_ID], protocol[32], assignment[64];
    char members[64][MEMBER_ID]; /* as the leader was told */
    int32_t member_count, generation;
    bool skip;
    const char *instance; /* NULL: dynamic */
    /* When set: what it says under its first protocol, and gives each member as leader. */
    struct wire_bytes says, gives;
};

struct world {
    struct sim *sim;
    struct sim_node *machine;
    struct memory memory;
    struct config *config;
    struct deadlines deadlines;
    struct group_host host;
    struct group *group;
    struct write *writes[CALLS]; /* waiting */
    unsigned write_count, written;
    bool hold; /* writes wait for world_settle() */
    bool idle;
};

/* `settings`: "key=value", ends with NULL; may be NULL. */
void world_open(struct world *w, uint64_t seed, const char *const *settings);
void world_close(struct world *w);
void world_run(struct world *w, uint64_t ns);
/* The writes that wait are durable, or have failed. */
void world_settle(struct world *w, int error);
void world_settle_one(struct world *w, int error); /* the oldest of them */

/* Each begins a call; it may be answered at once. `protocols`: "name:metadata", up to 3, NULL ends. */
void client_join(struct world *w, struct client *c, int version, const char *const *protocols);
/* As leader: every member gets its number in the list. */
void client_sync(struct world *w, struct client *c);
void client_heartbeat(struct world *w, struct client *c);
void client_leave(struct world *w, struct client *c);
void client_commit(struct world *w, struct client *c, const char *topic, int64_t offset);
void client_delete(struct world *w, struct client *c);

/* Joins with what KIP-394 asks for, when nobody else is waited for. */
void client_enter(struct world *w, struct client *c, const char *const *protocols);
bool client_leads(const struct client *c);
