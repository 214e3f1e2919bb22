/* SPDX-License-Identifier: Apache-2.0 */

/* AddRaftVoter, RemoveRaftVoter, UpdateRaftVoter (KIP-853): who votes in the metadata quorum. The first two come
 * from people, to any node; the last from a voter to the leader. */
#include "api/admin.h"

enum { REMOVE_TIMEOUT_MS = 5000, UPDATE_TIMEOUT_MS = 1000, TIMEOUT_MAX_MS = 600000 };

/* --- AddRaftVoter, RemoveRaftVoter ------------------------------------------------------------ */

/* NULL: no memory, and the request is over. */
static struct meta_voter *change_new(struct api_request *r, enum meta_kind kind,
                                     void (*answer)(struct admin *a), struct admin **out)
{
    struct meta_voter *v = api_alloc(r, 1, sizeof *v);
    if (!v) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return NULL;
    }
    struct admin *a = admin_new(r, 1, kind, false, answer);
    if (!a) {
        return NULL;
    }
    a->ops[0].op.voter = v;
    *out = a;
    return v;
}

static bool of_this_cluster(struct api_request *r, struct wire_string cluster)
{
    return cluster.size < 0 ||
           wire_string_equal(cluster, wire_string_of(meta_cluster_id(r->api->options.rooms.meta)));
}

static void check(struct admin_op *op, struct api_request *r, struct wire_string cluster,
                  const struct meta_voter *v)
{
    if (!of_this_cluster(r, cluster)) {
        admin_refuse(op, ERR_INCONSISTENT_CLUSTER_ID, "The request is for another cluster.");
    } else if (v->id.node < 0 || uuid_is_zero(v->id.directory)) {
        admin_refuse(op, ERR_INVALID_REQUEST,
                     "A voter is the number of a node and the id of its metadata directory.");
    }
}

/* So that the reason is told before the request's own time is over; it is looked for ten times in a second. */
static int32_t patience_ms(int32_t timeout_ms)
{
    int32_t rest = timeout_ms - timeout_ms / 8 - 150;
    return rest > 0 ? rest : 1;
}

static void add_answer(struct admin *a)
{
    struct add_raft_voter_response response;
    add_raft_voter_response_init(&response);
    response.error_code = admin_error(&a->ops[0]);
    response.error_message = admin_message(&a->ops[0]);
    api_respond(a->request, &response);
}

void handle_add_raft_voter(struct api_request *r)
{
    const struct add_raft_voter_request *in = api_decode(r);
    struct admin *a = NULL;
    struct meta_voter *v = in ? change_new(r, META_ADD_VOTER, add_answer, &a) : NULL;
    if (!v) {
        return;
    }
    struct admin_op *op = &a->ops[0];
    int32_t timeout_ms =
        in->timeout_ms > 0 && in->timeout_ms < TIMEOUT_MAX_MS ? in->timeout_ms : TIMEOUT_MAX_MS;
    v->id = (struct raft_id){in->voter_id, in->voter_directory_id};
    v->timeout_ms = patience_ms(timeout_ms);
    v->at_append = !in->ack_when_committed;
    if (in->listeners_count > 0) {
        v->name = admin_string(r, in->listeners[0].name);
        v->host = admin_string(r, in->listeners[0].host);
        v->port = in->listeners[0].port;
    }
    check(op, r, in->cluster_id, v);
    if (!op->done && (!v->name || !v->host)) {
        admin_refuse(op, ERR_INVALID_REQUEST,
                     "A voter needs a listener where other voters reach it.");
    }
    admin_go(a, timeout_ms);
}

static void remove_answer(struct admin *a)
{
    struct remove_raft_voter_response response;
    remove_raft_voter_response_init(&response);
    response.error_code = admin_error(&a->ops[0]);
    response.error_message = admin_message(&a->ops[0]);
    api_respond(a->request, &response);
}

void handle_remove_raft_voter(struct api_request *r)
{
    const struct remove_raft_voter_request *in = api_decode(r);
    struct admin *a = NULL;
    struct meta_voter *v = in ? change_new(r, META_REMOVE_VOTER, remove_answer, &a) : NULL;
    if (!v) {
        return;
    }
    v->id = (struct raft_id){in->voter_id, in->voter_directory_id};
    v->timeout_ms = REMOVE_TIMEOUT_MS;
    check(&a->ops[0], r, in->cluster_id, v);
    admin_go(a, 0);
}

/* --- UpdateRaftVoter -------------------------------------------------------------------------- */

struct update {
    struct api_request *request;
    struct meta_op op;
    struct meta_voter voter;
};

static void update_respond(struct api_request *r, int error)
{
    struct update_raft_voter_response response;
    update_raft_voter_response_init(&response);
    if (error == ERR_NOT_CONTROLLER) {
        error = ERR_NOT_LEADER_OR_FOLLOWER;
    }
    response.error_code = error_to_wire(error);
    response.current_leader.leader_id = image_controller(r->api->image);
    response.current_leader.host = wire_string_of("");
    api_respond(r, &response);
}

static void updated(struct meta_op *op)
{
    struct api_request *r = container_of(op, struct update, op)->request;
    update_respond(r, op->error);
    net_unhold(&r->net);
}

void handle_update_raft_voter(struct api_request *r)
{
    const struct update_raft_voter_request *in = api_decode(r);
    struct update *u = in ? api_alloc(r, 1, sizeof *u) : NULL;
    if (in && !u) {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
    if (!u) {
        return;
    }
    u->request = r;
    u->voter = (struct meta_voter){
        .id = {in->voter_id, in->voter_directory_id},
        .timeout_ms = UPDATE_TIMEOUT_MS,
        .epoch = in->current_leader_epoch,
        .kraft_version_min = in->kraft_version_feature.min_supported_version,
        .kraft_version_max = in->kraft_version_feature.max_supported_version,
    };
    if (in->listeners_count > 0) {
        u->voter.name = admin_string(r, in->listeners[0].name);
        u->voter.host = admin_string(r, in->listeners[0].host);
        u->voter.port = in->listeners[0].port;
    }
    if (!of_this_cluster(r, in->cluster_id)) {
        update_respond(r, ERR_INCONSISTENT_CLUSTER_ID);
    } else if (in->voter_id < 0 || !u->voter.name || !u->voter.host) {
        update_respond(r, ERR_INVALID_REQUEST);
    } else {
        u->op = (struct meta_op){
            .done = updated, .kind = META_UPDATE_VOTER, .here = true, .voter = &u->voter};
        net_hold(&r->net);
        meta_submit(r->api->options.rooms.meta, r->api->io, &u->op);
    }
}
