/* SPDX-License-Identifier: Apache-2.0 */

/* Damage in the logs that a start finds.
 *
 *     of a node without peers -> status 74: a person decides (--accept-loss)
 *     else it asks the controller whether others have all that it holds (give_up.h), and votes for one meanwhile
 *        they have  -> boot=all, durably -> recovers without what is damaged -> joins; what is missing comes back
 *        they do not, or nobody answers -> status 74
 *
 * What its own image says does not decide: it may be older than the sets, and two nodes may be damaged at once. */
#include "node_private.h"

#include <stdio.h>

static void fail(struct node *n, const char *others)
{
    const struct log_recovery_summary *found = &n->recover.summary;
    node_fail(n, NODE_EXIT_DAMAGE, "%s\n%s%s", found->damage, found->remedy, others);
}

static void go_on(struct node *n)
{
    n->log_options.accept_loss = true;
    node_recover_logs(n);
}

static void given_up(struct give_up *g, int error)
{
    struct node *n = container_of(g, struct node, give_up);
    if (error == ERR_INTERRUPTED) {
        node_fail(n, NODE_EXIT_OK, "%s", ""); /* nothing has changed */
        return;
    }
    if (error) {
        char others[NODE_LINE_SIZE / 2];
        snprintf(others, sizeof others,
                 "\nThe other nodes were asked whether they have what is here: %s. Where they are "
                 "in sync (leat topic describe) what is missing comes back from them.",
                 g->why);
        fail(n, others);
        return;
    }
    log_warn(io_logger(node_io(n)), "node",
             "%s: the others have all that was here, and what is damaged comes back from them",
             n->recover.summary.damage);
    node_boot_lost(n, go_on);
}

static bool is_own(const struct node *n, const char *peer)
{
    char own[FOUNDING_ADDRESS_SIZE];
    for (size_t i = 0; i < config_listener_count(n->config); i++) {
        founding_address(own, n->endpoints[i].host, n->endpoints[i].port);
        if (strcmp(own, peer) == 0) {
            return true;
        }
    }
    return false;
}

/* The voters, and those that are configured and are none. */
static uint32_t peers_of(struct node *n)
{
    uint32_t count = 0;
    const struct voters *voters = meta_quorum(n->meta).voters;
    for (uint32_t i = 0; i < voters->count; i++) {
        const struct voter *v = &voters->list[i];
        char host[CONFIG_HOST_SIZE];
        uint16_t port;
        founding_address(n->voter_peers[count], v->host, v->port);
        bool reached =
            config_split_address(bytes_of_string(n->voter_peers[count]), host, &port) && port > 0;
        if (v->id.node != n->meta_options.node_id && reached) {
            n->peers[count] = n->voter_peers[count];
            count++;
        }
    }
    for (uint32_t i = 0; i < n->founding_options.peer_count && count < FOUNDING_PEERS_MAX; i++) {
        const char *peer = config_item(n->config, CONFIG_PEERS, i);
        bool known = is_own(n, peer);
        for (uint32_t k = 0; k < count; k++) {
            known = known || strcmp(n->peers[k], peer) == 0;
        }
        n->peers[count] = peer;
        count += !known;
    }
    return count;
}

static void ask(struct node *n)
{
    const struct give_up_options options = {
        .node_id = n->meta_options.node_id,
        .cluster_id = n->meta_open.cluster_id,
        .directory_id = n->meta_open.directory_id,
        .peers = n->peers,
        .peer_count = peers_of(n),
    };
    n->give_up.done = given_up;
    give_up_begin(node_io(n), &n->give_up, &options);
}

static bool is_stopped(struct node *n)
{
    if (n->stops_asked) {
        node_fail(n, NODE_EXIT_OK, "%s", ""); /* nothing has changed */
    }
    return n->stops_asked > 0;
}

static void quorum_attached(struct node *n)
{
    if (is_stopped(n)) {
        return;
    }
    meta_vote(n->meta);
    if (n->meta && n->state == NODE_STARTING) { /* else it could not begin, and that is told */
        ask(n);
    }
}

static void attach_quorum(struct node_shard *s)
{
    api_attach(s->api, &(struct api_rooms){.meta = s->node->meta});
    node_step_done(s);
}

/* Of the metadata quorum, and not the only one of it. */
static bool votes(const struct node *n)
{
    const struct voters *voters = meta_quorum(n->meta).voters;
    const struct voter *own = voters_find(voters, n->meta_options.node_id);
    return voters->count > 1 && own && uuid_equal(own->id.directory, n->meta_open.directory_id);
}

/* The original of a copied directory votes, and no other: this node asks where it was reached before (node_doubt.c). */
static void met(struct node *n)
{
    if (!is_stopped(n)) {
        node_on_shards(n, attach_quorum, quorum_attached);
    }
}

void node_damaged(struct node *n)
{
    if (is_stopped(n)) {
        return;
    }
    if (peers_of(n) == 0) {
        fail(n, "");
        return;
    }
    log_warn(io_logger(node_io(n)), "node", "%s: the other nodes are asked whether they have it",
             n->recover.summary.damage);
    n->all_lost = true;             /* told when it registers */
    if (n->listening && votes(n)) { /* or nobody could ask for its vote */
        node_meet(n, met);
    } else {
        ask(n);
    }
}
