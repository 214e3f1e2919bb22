/* SPDX-License-Identifier: Apache-2.0 */

/* Voters that come and go, asked for as people do: AddRaftVoter and RemoveRaftVoter at any node. */
#include "cluster_world.h"

#include "wire/wire.h"

#include <stdio.h>

struct raft_voters member_voters(const struct member *m)
{
    return *meta_quorum(m->node->meta).status.voters;
}

struct raft_id member_self(const struct member *m)
{
    return meta_self(m->node->meta);
}

struct ask *world_voter_add(struct cluster_world *w, struct member *at, struct member *who,
                            struct raft_id id)
{
    /* Not the name that the node gives it: it says so itself as soon as it votes. */
    struct add_raft_voter_request_listeners listener = {
        wire_string_of("elsewhere"), wire_string_of(sim_node_name(who->machine)), 9092};
    struct add_raft_voter_request q;
    add_raft_voter_request_init(&q);
    q.cluster_id = wire_string_null();
    q.timeout_ms = 2000;
    q.voter_id = id.node;
    q.voter_directory_id = id.directory;
    q.listeners = &listener;
    q.listeners_count = 1;
    return ask_begin(w, at, WIRE_ADD_RAFT_VOTER, 1, &q);
}

struct ask *world_voter_remove(struct cluster_world *w, struct member *at, struct raft_id id)
{
    struct remove_raft_voter_request q;
    remove_raft_voter_request_init(&q);
    q.cluster_id = wire_string_null();
    q.voter_id = id.node;
    q.voter_directory_id = id.directory;
    return ask_begin(w, at, WIRE_REMOVE_RAFT_VOTER, 0, &q);
}

int16_t world_voter_error(struct ask *a, struct wire_string *why)
{
    int16_t error;
    struct wire_string text;
    if (a->key == WIRE_ADD_RAFT_VOTER) {
        const struct add_raft_voter_response *r = ask_answer(a);
        error = r->error_code;
        text = r->error_message;
    } else {
        const struct remove_raft_voter_response *r = ask_answer(a);
        error = r->error_code;
        text = r->error_message;
    }
    if (why) {
        *why = text;
    }
    return error;
}

int world_voter_answer(struct cluster_world *w, struct ask *a, uint64_t ns, char why[static 200])
{
    struct wire_string text;
    world_expect(w, a, "too much is being asked");
    a->deadline_ns = sim_now(w->sim) + ns;
    while (!a->over) {
        world_run(w, CLUSTER_MS);
    }
    why[0] = 0;
    if (!a->answered) {
        return -1;
    }
    int error = world_voter_error(a, &text);
    snprintf(why, 200, "%.*s", text.size > 0 ? (int)text.size : 0, text.size > 0 ? text.data : "");
    return error;
}

void world_change_voters(struct cluster_world *w)
{
    struct member *leader = world_leader(w);
    struct member *at = &w->members[prng_below(&w->random, w->count)];
    struct member *who = &w->members[prng_below(&w->random, w->count)];
    if (sim_now(w->sim) < w->voters_from_ns || !leader || !member_runs(leader) || leader->ended ||
        !leader->node->meta || !meta_quorum(leader->node->meta).status.voters) {
        return; /* or it has just been started: others say that it leads */
    }
    struct raft_voters voters = member_voters(leader);
    uint32_t index = 0;
    w->voters_asked_ns = sim_now(w->sim);
    while (index < voters.count && voters.ids[index].node != who->id) {
        index++;
    }
    if (index < voters.count) {
        (void)world_voter_remove(w, at, voters.ids[index]);
    } else if (member_runs(who) && !who->ended && who->node->meta) {
        (void)world_voter_add(w, at, who, member_self(who));
    }
}
