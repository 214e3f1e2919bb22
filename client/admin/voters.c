/* SPDX-License-Identifier: Apache-2.0 */

/* leat_voter_add(), leat_voter_remove(): the quorum is asked who is there, so that nobody has to know directories;
 * then AddRaftVoter or RemoveRaftVoter names the node and its directory. */
#include "admin/quorum.h"

#include <stdio.h>

struct voter_op {
    struct admin_op admin;
    const struct quorum_replica *replica;
    int32_t node;
};

static struct voter_op *voter_op(struct call *c)
{
    return container_of(admin_of(c), struct voter_op, admin);
}

/* The broker has waited already, and says why it gave up. */
static int judge(struct call *c, int16_t code, struct wire_string message, int done)
{
    char node[32];
    snprintf(node, sizeof node, "node %d", (int)voter_op(c)->node);
    int error = admin_error(c, code, message, node);
    if (error == done && c->attempts > 1) {
        error_clear(&c->error);
        return 0; /* an earlier attempt, whose answer was lost, has done it */
    }
    if (error == ERR_REQUEST_TIMED_OUT) {
        c->error.retriable = false;
    }
    return error;
}

/* --- add -------------------------------------------------------------------------------------- */

static int add_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct quorum_replica *r = voter_op(c)->replica;
    struct add_raft_voter_request_listeners listener = {
        wire_string_of(r->shown.listener), wire_string_of(r->shown.host), (uint16_t)r->shown.port};
    struct add_raft_voter_request body;
    add_raft_voter_request_init(&body);
    body.cluster_id = wire_string_null();
    body.timeout_ms = admin_timeout_ms(c);
    body.voter_id = r->shown.id;
    body.voter_directory_id = r->directory;
    body.listeners = &listener;
    body.listeners_count = 1;
    return add_raft_voter_request_encode(&body, w, version);
}

static int add_decode(struct call *c, struct reader *reader, int version)
{
    struct add_raft_voter_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = add_raft_voter_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = judge(c, body.error_code, body.error_message, ERR_DUPLICATE_VOTER);
    }
    arena_deinit(&arena);
    return error;
}

/* The replica that is to vote, an error, or NULL with *e set. */
static const struct quorum_replica *find_new(const leat_quorum *quorum, int32_t node, leat_error *e)
{
    const leat_quorum_replica *voter = NULL, *observer = NULL;
    for (size_t i = 0; i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
        if (r->id != node) {
            continue;
        }
        if (r->voter) {
            voter = r;
        } else if (!observer || r->fetched_ms > observer->fetched_ms) {
            observer = r;
        }
    }
    /* A directory that was lost is told of as an observer for a while, too. */
    if (voter && observer && observer->fetched_ms > voter->fetched_ms) {
        error_set(
            e, ERR_DUPLICATE_VOTER,
            "cannot make a voter of node %d: it still votes with the directory %s, which it has no "
            "more; remove that voter first",
            (int)node, voter->directory ? voter->directory : "-");
    } else if (voter) {
        error_set(e, ERR_DUPLICATE_VOTER, "node %d votes already", (int)node);
    } else if (!observer) {
        error_set(
            e, ERR_NOT_FOUND,
            "nothing is heard of node %d: it must run, as a member of this cluster, to become a "
            "voter",
            (int)node);
    } else if (!observer->directory || !observer->host) {
        error_set(e, ERR_UNSUPPORTED, "the cluster does not say where node %d is reached",
                  (int)node);
    } else {
        return quorum_replica_of(observer);
    }
    return NULL;
}

/* --- remove ----------------------------------------------------------------------------------- */

static int remove_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct quorum_replica *r = voter_op(c)->replica;
    struct remove_raft_voter_request body;
    remove_raft_voter_request_init(&body);
    body.cluster_id = wire_string_null();
    body.voter_id = r->shown.id;
    body.voter_directory_id = r->directory;
    return remove_raft_voter_request_encode(&body, w, version);
}

static int remove_decode(struct call *c, struct reader *reader, int version)
{
    struct remove_raft_voter_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = remove_raft_voter_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = judge(c, body.error_code, body.error_message, ERR_VOTER_NOT_FOUND);
    }
    arena_deinit(&arena);
    return error;
}

static const struct quorum_replica *find_voter(const leat_quorum *quorum, int32_t node,
                                               leat_error *e)
{
    for (size_t i = 0; i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
        if (r->id == node && r->voter && r->directory) {
            return quorum_replica_of(r);
        }
        if (r->id == node && r->voter) {
            error_set(e, ERR_UNSUPPORTED,
                      "the cluster does not say with which directory node %d votes", (int)node);
            return NULL;
        }
    }
    error_set(e, ERR_NOT_FOUND, "node %d does not vote", (int)node);
    return NULL;
}

/* --- both ------------------------------------------------------------------------------------- */

static int change(leat_client *c, const struct call_kind *kind, int32_t node,
                  const struct quorum_replica *(*find)(const leat_quorum *quorum, int32_t node,
                                                       leat_error *e),
                  leat_error *e)
{
    leat_error own;
    leat_quorum *quorum;
    e = e ? e : &own;
    if (node < 0) {
        return error_set(e, ERR_INVALID_ARGUMENT, "a node has a number from 0 on, not %d",
                         (int)node);
    }
    int error = leat_quorum_get(c, &quorum, e);
    if (error) {
        return error;
    }
    struct voter_op op = {.admin = {.client = c, .kind = kind}, .node = node};
    op.replica = find(quorum, node, e);
    error = op.replica ? admin_run(&op.admin, e) : e->code;
    leat_quorum_free(quorum);
    return error;
}

int leat_voter_add(leat_client *c, int32_t node, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_ADD_RAFT_VOTER, 0, 1},
        .name = "make a voter of",
        .route = admin_route_controller,
        .encode = add_encode,
        .decode = add_decode,
    };
    return change(c, &kind, node, find_new, e);
}

int leat_voter_remove(leat_client *c, int32_t node, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_REMOVE_RAFT_VOTER, 0, 0},
        .name = "take the vote of",
        .route = admin_route_controller,
        .encode = remove_encode,
        .decode = remove_decode,
    };
    return change(c, &kind, node, find_voter, e);
}
