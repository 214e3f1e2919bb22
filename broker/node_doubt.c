/* SPDX-License-Identifier: Apache-2.0 */

/* What a node asks about its own directory, which is of a cluster: whether another process lives on a copy of it, and,
 * when no quorum is reached, whether the peers are in another cluster.
 *
 *     reached elsewhere before --> asks there --somebody has this directory--> ends, status 78
 *                                     '--nobody has--> joins
 *     it joins --five seconds--> asks its peers --most are of one other cluster (F7)--> ends, status 78
 *                                     |'--it has joined, or stops--> asks no more
 *     it is alone --five seconds--> asks its peers for five more, and says what it hears
 *                  '--again after a minute, as long as some of them are in another cluster
 *
 * Who of its cluster is found at an address of `peers` is reached there from then on (meta_found_at()): nodes that
 * have all moved find each other again.
 *
 * Where it was reached stands in its own log: nobody else is asked, for any peer could say that it has this
 * directory. A copy at the same address, or one that does not reach the original, is told from it by the
 * controller (is_displaced(), is_copy()), or, where that is the original, by its peers.
 *
 * A member of a quorum that works is stopped by nobody's word. One that is alone in its cluster is such a
 * member; but who has set `peers` has meant something else. */
#include "node_private.h"

static const uint64_t patience_ns = UINT64_C(5000000000);
static const uint64_t again_ns = UINT64_C(60000000000);

static bool is_alone(const struct node *n)
{
    return n->state == NODE_SERVING && n->image && image_broker_count(n->image) == 1;
}

/* Nodes that have moved together know nothing of each other but what `peers` says. */
static void heard(void *context, const char *address, const struct introduction *said)
{
    struct node *n = context;
    char host[CONFIG_HOST_SIZE];
    uint16_t port;
    if (n->meta && uuid_equal(said->cluster_id, n->founding.cluster_id) &&
        said->node_id != n->meta_options.node_id &&
        config_split_address(bytes_of_string(address), host, &port)) {
        meta_found_at(n->meta, said->node_id, bytes_of_string(host), port);
    }
}

static bool inquire(struct node *n, uint32_t peers, enum founding_question question)
{
    struct founding_options options = n->founding_options;
    options.heard = question == FOUNDING_DOUBT ? heard : NULL;
    options.heard_context = n;
    const struct founding_member self = {
        .cluster_id = n->founding.cluster_id,
        .directory_id = n->founding.directory_id,
        .incarnation_id = n->founding.incarnation_id,
    };
    options.peer_count = peers;
    return peers > 0 && founding_inquire(node_io(n), &n->inquiry, &options, &self, question);
}

static void inquired(struct founding_open *f, int error)
{
    struct node *n = container_of(f, struct node, inquiry);
    if (error && error != ERR_INTERRUPTED && n->joining) {
        node_fail(n, NODE_EXIT_CONFIG, "%s", f->why);
    }
}

/* Those that are configured, or, without any, the voters that the directory knows. */
static uint32_t peers_of(struct node *n)
{
    uint32_t count = n->founding_options.peer_count;
    const struct voters *voters = meta_quorum(n->meta).voters;
    for (uint32_t i = 0; i < count; i++) {
        n->peers[i] = config_item(n->config, CONFIG_PEERS, i);
    }
    for (uint32_t i = 0; count == 0 && i < voters->count; i++) {
        const struct voter *v = &voters->list[i];
        founding_address(n->voter_peers[i], v->host, v->port);
        n->peers[i] = n->voter_peers[i];
    }
    return count ? count : voters->count;
}

static void timer_set(struct node *n, uint64_t after_ns);

static void patience_over(struct io_op *op, int64_t result)
{
    struct node *n = container_of(op, struct node, doubt_timer);
    bool alone = is_alone(n);
    if (n->doubt_asked) {
        n->doubt_asked = false;
        node_doubt_end(n);
        if (alone && n->inquiry.elsewhere) {
            timer_set(n, again_ns);
        }
        return;
    }
    if (n->inquiry.run || (!n->joining && !alone)) {
        node_doubt_end(n);
        return;
    }
    n->inquiry.done = inquired;
    if (!inquire(n, peers_of(n), FOUNDING_DOUBT)) {
        return;
    }
    if (alone) {
        n->doubt_asked = true;
        timer_set(n, patience_ns);
    }
}

static void timer_set(struct node *n, uint64_t after_ns)
{
    n->doubt_timer.done = patience_over;
    io_timer(node_io(n), &n->doubt_timer, io_now(node_io(n)) + after_ns);
}

void node_doubt(struct node *n)
{
    bool member = !n->founding.alone && !n->founding.decided;
    if (member && (n->joining || n->founding_options.peer_count > 0)) {
        timer_set(n, patience_ns);
    }
}

/* --- where it was reached --------------------------------------------------------------------- */

static void met(struct founding_open *f, int error)
{
    struct node *n = container_of(f, struct node, inquiry);
    if (error == ERR_DUPLICATE_BROKER_REGISTRATION) {
        node_fail(n, NODE_EXIT_CONFIG, "%s", f->why);
    } else {
        n->when_met(n);
    }
}

void node_meet(struct node *n, void (*then)(struct node *n))
{
    uint32_t count = meta_other_places(n->meta, n->voter_peers);
    for (uint32_t i = 0; i < count; i++) {
        n->peers[i] = n->voter_peers[i];
    }
    n->when_met = then;
    n->inquiry.done = met;
    if (!inquire(n, count, FOUNDING_MEET)) {
        then(n);
    }
}

void node_displaced(void *context, const char *why)
{
    struct node *n = context;
    node_fail(n, NODE_EXIT_CONFIG, "%s", why);
}

void node_doubt_end(struct node *n)
{
    founding_stop(&n->inquiry);
}
