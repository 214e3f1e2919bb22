/* SPDX-License-Identifier: Apache-2.0 */

/* The fake broker's group coordinator: the classic protocol as Kafka's GroupCoordinator has it, for
 * as many groups as tests need, with what tests want to know of it.
 *
 *     EMPTY --JoinGroup--> PREPARING --all joined, or time--> COMPLETING --leader's SyncGroup--> STABLE
 *       ^                    ^   ^                                |                                |
 *       +-- the last leaves -+   +------ a member comes, goes, has changed -------------------------+ */
#pragma once

#include "wire/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct fake_broker;
struct peer;

enum {
    COORD_GROUPS = 4,
    COORD_MEMBERS = 64,
    COORD_PROTOCOLS = 4,
    COORD_OFFSETS = 512,
};

enum coord_state { COORD_EMPTY, COORD_PREPARING, COORD_COMPLETING, COORD_STABLE };

struct coord_blob {
    uint8_t *data;
    size_t size;
};

struct coord_member {
    char id[96];
    char instance[64]; /* "": dynamic */
    struct {
        char name[32];
        struct coord_blob metadata;
    } protocols[COORD_PROTOCOLS];
    int protocol_count;
    int32_t session_ms, rebalance_ms;
    bool joined;   /* has asked for the generation that is being prepared */
    bool complete; /* the generation that it asked for is there; its answer is on the way */
    bool used;
    struct peer *waiting; /* whose JoinGroup or SyncGroup waits */
    uint64_t expires_ns;
    struct coord_blob assignment;
};

struct coord_committed {
    char topic[64];
    int32_t partition;
    int64_t offset;
    int32_t leader_epoch;
    char metadata[64];
    char owner[96]; /* who has it by the assignment in force, "": nobody */
};

struct coord_group {
    char name[64];
    enum coord_state state;
    int32_t generation;
    char leader[96];
    char protocol[32];
    uint64_t round_ends_ns; /* while PREPARING */
    bool initial;           /* the first round of an empty group lasts its whole time */
    struct coord_member members[COORD_MEMBERS];
    struct coord_committed offsets[COORD_OFFSETS];
    int offset_count;
};

/* What a client may not do, counted. */
struct coord_counts {
    uint64_t joins, generations, beats, commits, finds;
    uint64_t join_requests, commit_requests;
    uint64_t backwards;    /* a commit below the one before */
    uint64_t strangers;    /* a commit of what belongs to another member in that generation */
    uint64_t doubles;      /* a partition given to two members */
    uint64_t unsubscribed; /* a blob that cannot be read */
};

bool coord_handles(int16_t key);

/* Answers one request of the group APIs; *wait: its answer has to wait. */
int coord_answer(struct fake_broker *b, struct peer *p, int16_t key, struct reader *r, int version,
                 struct wire_writer *w, struct arena *arena, bool *wait);

/* A connection ends: nobody waits on it any more. */
void coord_forget(struct fake_broker *b, struct peer *p);

/* What the log held at the last stable generation: the state that another coordinator begins with.
 */
void coord_move(struct fake_broker *b, int32_t coordinator);

struct coord_group *coord_find(struct fake_broker *b, const char *name);
struct coord_committed *coord_offset(struct coord_group *g, const char *topic, int32_t partition);
int coord_members(const struct coord_group *g);
void coord_free(struct fake_broker *b);

/* What coordinator.c and coordinator_offsets.c share. */
void coord_text(char *out, size_t room, struct wire_string s);
void coord_alive(struct fake_broker *b, struct coord_member *m);

/* What is wrong with a member's request, as a wire code, and the member. */
int16_t coord_check(struct coord_group *g, struct wire_string member_id,
                    struct wire_string instance_id, int32_t generation, struct coord_member **out);
int coord_commit(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                 struct arena *arena, int16_t code);
int coord_fetch(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                struct arena *arena, int16_t code);
