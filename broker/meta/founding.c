/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/founding.h"

#include <stdarg.h>
#include <stdio.h>

static const uint64_t tell_every_ns = UINT64_C(10000000000);
static const uint64_t tell_early_ns = UINT64_C(3000000000);

/* A set of nodes: bit 0 is this node, bit i + 1 the one that answered as peer i, of several addresses
 * of one node the first. */
typedef uint32_t nodes_set;
static_assert(FOUNDING_PEERS_MAX < 32, "a bit for each");

struct deciding {
    struct founding_decision *out;
    const struct introduction *self;
    const struct founding_peer *peers;
    uint32_t count;
    int node_of[FOUNDING_PEERS_MAX]; /* bit of the node behind each address, -1: no answer */
};

/* --- what was heard --------------------------------------------------------------------------- */

void founding_address(char out[static FOUNDING_ADDRESS_SIZE], const char *host, uint16_t port)
{
    bool brackets = strchr(host, ':') && host[0] != '[';
    snprintf(out, FOUNDING_ADDRESS_SIZE, "%s%s%s:%u", brackets ? "[" : "", host,
             brackets ? "]" : "", (unsigned)port);
    for (char *at = out; *at; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
}

static bool same_lists(const struct introduction *a, const struct introduction *b)
{
    if (a->peer_count != b->peer_count || a->endpoint_count != b->endpoint_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->peer_count; i++) {
        if (strcmp(a->peers[i], b->peers[i]) != 0) {
            return false;
        }
    }
    for (uint32_t i = 0; i < a->endpoint_count; i++) {
        const struct founding_endpoint *x = &a->endpoints[i], *y = &b->endpoints[i];
        if (x->port != y->port || strcmp(x->host, y->host) != 0 || strcmp(x->name, y->name) != 0) {
            return false;
        }
    }
    return true;
}

/* In the same life, and all that a decision rests on. Voters and leader of a cluster may change. */
static bool says_the_same(const struct introduction *a, const struct introduction *b)
{
    return a->node_id == b->node_id && uuid_equal(a->incarnation_id, b->incarnation_id) &&
           uuid_equal(a->directory_id, b->directory_id) &&
           uuid_equal(a->cluster_id, b->cluster_id) && same_lists(a, b);
}

void founding_heard(struct founding_peer *peer, const struct introduction *said, uint64_t asked_ns,
                    uint64_t now_ns)
{
    assert(asked_ns <= now_ns);
    assert(said->peer_count <= FOUNDING_PEERS_MAX);
    assert(said->endpoint_count > 0 && said->endpoint_count <= IMAGE_ENDPOINTS_MAX);
    bool again = peer->answers > 0 && says_the_same(&peer->said, said);
    if (!again) {
        peer->answers = 0;
        peer->same_since_ns = now_ns;
    }
    if (peer->answers < UINT32_MAX) {
        peer->answers++;
    }
    peer->said = *said;
    peer->asked_ns = asked_ns;
    peer->trouble[0] = 0;
}

void founding_unheard(struct founding_peer *peer, const char *trouble)
{
    peer->answers = 0;
    snprintf(peer->trouble, sizeof peer->trouble, "%s", trouble);
}

/* F2, of one peer. */
static bool has_held(const struct founding_peer *p)
{
    return p->answers > 1 && p->asked_ns >= p->same_since_ns;
}

/* --- sentences -------------------------------------------------------------------------------- */

/* Adds to the sentence; what does not fit is cut off. */
static void say(struct founding_decision *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct founding_decision *d, const char *format, ...)
{
    size_t used = strlen(d->why);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->why + used, sizeof d->why - used, format, arguments);
    va_end(arguments);
}

static void wait_for(struct deciding *d, bool ask_again)
{
    d->out->verdict = FOUNDING_WAIT;
    d->out->ask_again = d->out->early = ask_again;
}

/* What contradicts is refused when it has held; until then it may be a peer that starts anew. `b` is
 * NULL when one peer alone contradicts. True: this ends the decision. */
static bool refuse(struct deciding *d, int error, const struct founding_peer *a,
                   const struct founding_peer *b)
{
    assert(d->out->why[0]);
    if (!has_held(a) || (b && !has_held(b))) {
        wait_for(d, true);
    } else {
        d->out->verdict = FOUNDING_REFUSE;
        d->out->error = error;
    }
    return true;
}

/* --- who is who ------------------------------------------------------------------------------- */

static bool same_directory(const struct introduction *a, const struct introduction *b)
{
    return a->node_id == b->node_id && uuid_equal(a->directory_id, b->directory_id);
}

/* The answer of a peer against this node itself. */
static bool meets_self(struct deciding *d, uint32_t i)
{
    const struct founding_peer *p = &d->peers[i];
    char text[UUID_TEXT_SIZE], own[UUID_TEXT_SIZE];
    if (p->said.node_id != d->self->node_id) {
        return false;
    }
    uuid_text(p->said.directory_id, text);
    uuid_text(d->self->directory_id, own);
    if (!same_directory(&p->said, d->self)) {
        say(d->out,
            "node.id %d is in use: %s answers as node %d with directory %s, and this node has "
            "directory %s; give every node a node.id of its own, and this one an empty data.dir",
            (int)d->self->node_id, p->address, (int)d->self->node_id, text, own);
        return refuse(d, ERR_DUPLICATE_BROKER_REGISTRATION, p, NULL);
    }
    if (!uuid_equal(p->said.incarnation_id, d->self->incarnation_id)) {
        say(d->out,
            "%s runs on a copy of this node's directory (node.id %d, directory %s): give it an "
            "empty data.dir and a node.id of its own",
            p->address, (int)d->self->node_id, own);
        return refuse(d, ERR_DUPLICATE_BROKER_REGISTRATION, p, NULL);
    }
    d->node_of[i] = 0;
    return false;
}

/* The answers of two peers against each other. */
static bool meets_peer(struct deciding *d, uint32_t i, uint32_t j)
{
    const struct founding_peer *a = &d->peers[j], *b = &d->peers[i];
    if (a->said.node_id != b->said.node_id) {
        return false;
    }
    if (!same_directory(&a->said, &b->said) ||
        !uuid_equal(a->said.incarnation_id, b->said.incarnation_id)) {
        say(d->out, "two nodes have node.id %d: %s and %s; give every node a node.id of its own",
            (int)a->said.node_id, a->address, b->address);
        return refuse(d, ERR_DUPLICATE_BROKER_REGISTRATION, a, b);
    }
    d->node_of[i] = d->node_of[j];
    return false;
}

/* Gives every address that answered its node. True: it ended in a contradiction. */
static bool recognise(struct deciding *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        d->node_of[i] = -1;
        if (d->peers[i].answers == 0) {
            continue;
        }
        d->node_of[i] = (int)i + 1;
        if (meets_self(d, i)) {
            return true;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (d->node_of[j] > 0 && d->node_of[i] == (int)i + 1 && meets_peer(d, i, j)) {
                return true;
            }
        }
    }
    return false;
}

/* --- joining ---------------------------------------------------------------------------------- */

static bool has_cluster(const struct introduction *n)
{
    return !uuid_is_zero(n->cluster_id);
}

static void join(struct deciding *d, const struct founding_peer *p)
{
    struct founding_decision *out = d->out;
    char cluster[UUID_TEXT_SIZE], directory[UUID_TEXT_SIZE];
    uuid_text(p->said.cluster_id, cluster);
    if (p->said.voters.count == 0 || !has_held(p)) {
        say(out, "waiting for %s, which is in cluster %s%s", p->address, cluster,
            p->said.voters.count == 0 ? " and does not know its voters yet" : "");
        wait_for(d, p->said.voters.count > 0);
        return;
    }
    const struct voter *own = voters_find(&p->said.voters, d->self->node_id);
    out->verdict = FOUNDING_JOIN;
    out->cluster_id = p->said.cluster_id;
    out->voters = p->said.voters;
    out->votes = own && uuid_equal(own->id.directory, d->self->directory_id);
    say(out, "joining cluster %s, which %s is in, as %s", cluster, p->address,
        out->votes ? "a voter" : "an observer");
    if (own && !out->votes) {
        uuid_text(own->id.directory, directory);
        say(out,
            ": voter %d of this cluster has directory %s, which this is not; if that is lost, "
            "remove that voter and add this node",
            (int)d->self->node_id, directory);
    }
}

/* Who knows more of a cluster: a leader of a later epoch is newer, and who knows no voters is of no use. */
static bool knows_more(const struct founding_peer *a, const struct founding_peer *b)
{
    bool a_useful = has_held(a) && a->said.voters.count > 0;
    bool b_useful = has_held(b) && b->said.voters.count > 0;
    return a_useful != b_useful ? a_useful : a->said.leader_epoch > b->said.leader_epoch;
}

/* True: there is a cluster, and it decides. */
static bool decide_by_cluster(struct deciding *d)
{
    const struct founding_peer *best = NULL;
    char one[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
    for (uint32_t i = 0; i < d->count; i++) {
        const struct founding_peer *p = &d->peers[i];
        if (d->node_of[i] <= 0 || !has_cluster(&p->said)) {
            continue;
        }
        uuid_text(p->said.cluster_id, one);
        if (has_cluster(d->self) && !uuid_equal(p->said.cluster_id, d->self->cluster_id)) {
            uuid_text(d->self->cluster_id, other);
            say(d->out,
                "%s is in cluster %s, but this directory belongs to cluster %s: correct `peers`, "
                "or "
                "start with an empty data.dir to join that one",
                p->address, one, other);
            return refuse(d, ERR_INCONSISTENT_CLUSTER_ID, p, NULL);
        }
        if (best && !uuid_equal(p->said.cluster_id, best->said.cluster_id)) {
            uuid_text(best->said.cluster_id, other);
            say(d->out,
                "the peers are of two clusters: %s is in %s, %s is in %s; list the nodes of one",
                best->address, other, p->address, one);
            return refuse(d, ERR_INCONSISTENT_CLUSTER_ID, best, p);
        }
        if (!best || knows_more(p, best)) {
            best = p;
        }
    }
    if (best) {
        join(d, best);
    } else if (has_cluster(d->self)) {
        say(d->out, "waiting for a peer that is in this cluster");
        wait_for(d, false);
    }
    return best || has_cluster(d->self);
}

/* --- founding --------------------------------------------------------------------------------- */

/* True: some address has not answered. */
static bool waits_for_answers(struct deciding *d)
{
    bool missing = false, early = false;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct founding_peer *p = &d->peers[i];
        if (p->answers > 0) {
            continue;
        }
        say(d->out, "%s%s (%s)", missing ? ", " : "waiting to found or join a cluster, for ",
            p->address, p->trouble[0] ? p->trouble : "not heard yet");
        missing = true;
        early = early || !p->trouble[0];
    }
    if (missing) {
        wait_for(d, false);
        d->out->early = early;
    }
    return missing;
}

static const struct introduction *node_at(const struct deciding *d, int node)
{
    return node == 0 ? d->self : &d->peers[node - 1].said;
}

static bool advertises(const struct introduction *n, const char *address)
{
    char own[FOUNDING_ADDRESS_SIZE];
    for (uint32_t i = 0; i < n->endpoint_count; i++) {
        founding_address(own, n->endpoints[i].host, n->endpoints[i].port);
        if (strcmp(own, address) == 0) {
            return true;
        }
    }
    return false;
}

/* The node that an address of somebody's list is, -1: none of ours. Who answered there goes before
 * who says so of himself. */
static int node_behind(const struct deciding *d, const char *address)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (strcmp(d->peers[i].address, address) == 0) {
            return d->node_of[i];
        }
    }
    for (int node = 0; node <= (int)d->count; node++) {
        bool real = node == 0 || d->node_of[node - 1] == node;
        if (real && advertises(node_at(d, node), address)) {
            return node;
        }
    }
    return -1;
}

/* Voters reach each other at the first address that they advertise: it must be their own. */
static bool addresses_collide(struct deciding *d)
{
    char address[FOUNDING_ADDRESS_SIZE];
    for (int node = 0; node <= (int)d->count; node++) {
        if (node > 0 && d->node_of[node - 1] != node) {
            continue;
        }
        const struct introduction *n = node_at(d, node);
        founding_address(address, n->endpoints[0].host, n->endpoints[0].port);
        int other = node_behind(d, address);
        if (other == node) {
            continue;
        }
        assert(other >= 0);
        say(d->out,
            "node %d advertises %s, which is the address of node %d: correct what it advertises "
            "(listeners, advertised)",
            (int)n->node_id, address, (int)node_at(d, other)->node_id);
        const struct founding_peer *a = &d->peers[(node ? node : other) - 1];
        const struct founding_peer *b = node && other ? &d->peers[other - 1] : NULL;
        return refuse(d, ERR_BAD_CONFIG, a, b);
    }
    return false;
}

/* Whether the list of a node names just these nodes, itself included or not. */
static bool list_differs(struct deciding *d, int node, nodes_set all)
{
    const struct founding_peer *p = &d->peers[node - 1];
    nodes_set named = 1u << node;
    for (uint32_t i = 0; i < p->said.peer_count; i++) {
        int other = node_behind(d, p->said.peers[i]);
        if (other < 0) {
            say(d->out,
                "the peers disagree: %s (node %d) lists %s, which is none of this node's (node "
                "%d); "
                "write the same `peers` on every node",
                p->address, (int)p->said.node_id, p->said.peers[i], (int)d->self->node_id);
            return refuse(d, ERR_BAD_CONFIG, p, NULL);
        }
        named |= 1u << other;
    }
    assert((named & ~all) == 0);
    for (int other = 0; other <= (int)d->count; other++) {
        if ((all & ~named) >> other & 1) {
            say(d->out,
                "the peers disagree: %s (node %d) does not list %s (node %d), which this node (%d) "
                "does; write the same `peers` on every node",
                p->address, (int)p->said.node_id, other ? d->peers[other - 1].address : "this node",
                (int)node_at(d, other)->node_id, (int)d->self->node_id);
            return refuse(d, ERR_BAD_CONFIG, p, other ? &d->peers[other - 1] : NULL);
        }
    }
    return false;
}

/* F2, of all: there is a moment behind every first answer and before every last request. */
static bool all_have_held(const struct deciding *d)
{
    uint64_t latest_first = 0, earliest_last = UINT64_MAX;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct founding_peer *p = &d->peers[i];
        if (!has_held(p)) {
            return false;
        }
        latest_first = p->same_since_ns > latest_first ? p->same_since_ns : latest_first;
        earliest_last = p->asked_ns < earliest_last ? p->asked_ns : earliest_last;
    }
    return latest_first <= earliest_last;
}

static void add_voter(struct voters *voters, const struct introduction *n)
{
    struct voter v = {.id = {n->node_id, n->directory_id}, .port = n->endpoints[0].port};
    memcpy(v.name, n->endpoints[0].name, sizeof v.name);
    memcpy(v.host, n->endpoints[0].host, sizeof v.host);
    assert(voters->count < FOUNDING_VOTERS_MAX && !voters_find(voters, n->node_id));
    uint32_t at = voters->count++;
    for (; at > 0 && voters->list[at - 1].id.node > v.id.node; at--) {
        voters->list[at] = voters->list[at - 1];
    }
    voters->list[at] = v;
}

static void found(struct deciding *d, nodes_set all)
{
    struct founding_decision *out = d->out;
    int lowest = 0, count = 0;
    for (int node = 0; node <= (int)d->count; node++) {
        if (all >> node & 1) {
            count++;
            lowest = node_at(d, node)->node_id < node_at(d, lowest)->node_id ? node : lowest;
        }
    }
    if (count > FOUNDING_VOTERS_MAX) {
        say(out,
            "`peers` names %d nodes, but at most %d found a cluster: list %d of them on every "
            "node, "
            "and the others join",
            count, (int)FOUNDING_VOTERS_MAX, (int)FOUNDING_VOTERS_MAX);
        out->verdict = all_have_held(d) ? FOUNDING_REFUSE : FOUNDING_WAIT;
        out->error = ERR_BAD_CONFIG;
        out->ask_again = out->early = out->verdict == FOUNDING_WAIT;
        return;
    }
    if (lowest != 0) {
        say(out, "waiting for %s (node %d) to found the cluster: its node.id is the lowest",
            d->peers[lowest - 1].address, (int)node_at(d, lowest)->node_id);
        wait_for(d, false);
        return;
    }
    if (!all_have_held(d)) {
        say(out, "waiting for the peers to confirm what they said");
        wait_for(d, true);
        return;
    }
    out->verdict = FOUNDING_FOUND;
    out->votes = true;
    say(out, "founding a cluster with the voters");
    for (int node = 0; node <= (int)d->count; node++) {
        if (all >> node & 1) {
            add_voter(&out->voters, node_at(d, node));
        }
    }
    for (uint32_t i = 0; i < out->voters.count; i++) {
        say(out, "%s %d", i ? "," : "", (int)out->voters.list[i].id.node);
    }
    assert(out->voters.list[0].id.node == d->self->node_id); /* F1 */
}

/* --- a member that reaches nobody ------------------------------------------------------------- */

static bool is_this_node(const struct deciding *d, const struct founding_peer *p)
{
    return same_directory(&p->said, d->self) &&
           uuid_equal(p->said.incarnation_id, d->self->incarnation_id);
}

static bool is_foreign(const struct deciding *d, const struct founding_peer *p)
{
    return p->answers > 0 && has_cluster(&p->said) &&
           !uuid_equal(p->said.cluster_id, d->self->cluster_id);
}

/* How many of the peers are in one other cluster; *which is one of them. */
static uint32_t count_foreign(const struct deciding *d, const struct founding_peer **which)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        uint32_t same = 0;
        for (uint32_t j = 0; j < d->count && is_foreign(d, &d->peers[i]); j++) {
            const struct founding_peer *p = &d->peers[j];
            same += is_foreign(d, p) && uuid_equal(p->said.cluster_id, d->peers[i].said.cluster_id);
        }
        if (same > most) {
            most = same;
            *which = &d->peers[i];
        }
    }
    return most;
}

/* "; of its peers A does this, B does that" */
static void say_peers(struct deciding *d)
{
    char cluster[UUID_TEXT_SIZE];
    const char *before = "; of its peers";
    for (uint32_t i = 0; i < d->count; i++) {
        const struct founding_peer *p = &d->peers[i];
        if (p->answers > 0 && is_this_node(d, p)) {
            continue;
        }
        say(d->out, "%s %s ", before, p->address);
        before = ",";
        if (p->answers == 0) {
            say(d->out, "does not answer (%s)", p->trouble[0] ? p->trouble : "not heard yet");
        } else if (is_foreign(d, p)) {
            uuid_text(p->said.cluster_id, cluster);
            say(d->out, "is in cluster %s", cluster);
        } else {
            say(d->out, has_cluster(&p->said) ? "is in it too" : "is in no cluster yet");
        }
    }
}

/* --- public ----------------------------------------------------------------------------------- */

void founding_decide(struct founding_decision *out, const struct introduction *self,
                     const struct founding_peer *peers, uint32_t count)
{
    struct deciding d = {.out = out, .self = self, .peers = peers, .count = count};
    nodes_set all = 1;
    assert(count <= FOUNDING_PEERS_MAX);
    assert(self->node_id >= 0 && !uuid_is_zero(self->directory_id));
    memset(out, 0, sizeof *out);
    if (recognise(&d) || decide_by_cluster(&d) || waits_for_answers(&d) || addresses_collide(&d)) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        assert(d.node_of[i] >= 0);
        all |= 1u << d.node_of[i];
    }
    for (int node = 1; node <= (int)count; node++) {
        if (all >> node & 1 && list_differs(&d, node, all)) {
            return;
        }
    }
    found(&d, all);
}

/* `p` answers with this directory, and is another process. */
static bool is_double(const struct deciding *d, const struct founding_peer *p)
{
    return p->answers > 0 && same_directory(&p->said, d->self) && !is_this_node(d, p);
}

static void refuse_double(struct deciding *d, const char *root, const struct founding_peer *p)
{
    say(d->out,
        "node %d runs at %s: %s is a copy of its directory; start this node with an empty data.dir "
        "and a node.id of its own, or stop the other one first",
        (int)d->self->node_id, p->address, root);
    refuse(d, ERR_DUPLICATE_BROKER_REGISTRATION, p, NULL);
}

/* One that lives on this directory, when most of the others have it for their leader: this process is not. */
static const struct founding_peer *find_leading_double(const struct deciding *d)
{
    const struct founding_peer *found = NULL;
    uint32_t others = 0, followers = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct founding_peer *p = &d->peers[i];
        if (p->answers > 0 && is_this_node(d, p)) {
            continue;
        }
        others++;
        followers += has_held(p) && p->said.leader_id == d->self->node_id &&
                     uuid_equal(p->said.cluster_id, d->self->cluster_id);
        found = is_double(d, p) ? p : found;
    }
    return 2 * followers > others ? found : NULL;
}

void founding_doubt(struct founding_decision *out, const struct introduction *self,
                    const char *root, const struct founding_peer *peers, uint32_t count)
{
    struct deciding d = {.out = out, .self = self, .peers = peers, .count = count};
    const struct founding_peer *which = NULL;
    uint32_t others = 0, held = 0;
    bool company = false;
    char own[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
    assert(count <= FOUNDING_PEERS_MAX && has_cluster(self));
    memset(out, 0, sizeof *out);
    wait_for(&d, false);
    const struct founding_peer *leads = find_leading_double(&d);
    if (leads) {
        refuse_double(&d, root, leads);
        return;
    }
    uint32_t foreign = count_foreign(&d, &which);
    for (uint32_t i = 0; i < count; i++) {
        const struct founding_peer *p = &peers[i];
        bool answers = p->answers > 0;
        others += !answers || !is_this_node(&d, p);
        company = company || (answers && !is_this_node(&d, p) &&
                              uuid_equal(p->said.cluster_id, self->cluster_id));
        held += which && is_foreign(&d, p) && has_held(p) &&
                uuid_equal(p->said.cluster_id, which->said.cluster_id);
        out->early = out->early || (!answers && !p->trouble[0]);
    }
    uuid_text(self->cluster_id, own);
    out->elsewhere = foreign > 0;
    if (company || 2 * foreign <= others) {
        say(out, "%s belongs to cluster %s", root, own);
        say_peers(&d);
        if (foreign > 0) {
            say(out, ": correct `peers`, or start the node that is in the wrong cluster with an "
                     "empty data.dir");
        }
        return;
    }
    uuid_text(which->said.cluster_id, other);
    say(out,
        "%s belongs to cluster %s, but %u of the %u other peers, %s among them, are in cluster %s, "
        "and none is in this one: if this node is to join that cluster, move its data.dir away and "
        "start with an empty one; else correct `peers`",
        root, own, (unsigned)foreign, (unsigned)others, which->address, other);
    if (2 * held <= others) {
        wait_for(&d, true);
    } else {
        out->verdict = FOUNDING_REFUSE;
        out->error = ERR_INCONSISTENT_CLUSTER_ID;
    }
}

void founding_meet(struct founding_decision *out, const struct introduction *self, const char *root,
                   const struct founding_peer *peers, uint32_t count)
{
    struct deciding d = {.out = out, .self = self, .peers = peers, .count = count};
    const struct founding_peer *waited = NULL;
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        const struct founding_peer *p = &peers[i];
        if (is_double(&d, p)) {
            refuse_double(&d, root, p);
            return;
        }
        waited = p->answers == 0 && !p->trouble[0] ? p : waited;
    }
    out->verdict = FOUNDING_JOIN;
    say(out, "nobody else has this directory");
    if (waited) {
        out->why[0] = 0;
        say(out, "waiting for %s, where this node was reached", waited->address);
        wait_for(&d, false);
        out->early = true;
    }
}

bool founding_tell(struct founding_told *told, const struct founding_decision *d, uint64_t now_ns)
{
    bool same = strcmp(told->why, d->why) == 0;
    if (d->early && !told->early) {
        told->early_since_ns = now_ns;
    }
    told->early = d->early;
    if (d->early && now_ns - told->early_since_ns < tell_early_ns) {
        return false;
    }
    if (same && now_ns - told->at_ns < tell_every_ns) {
        return false;
    }
    assert(now_ns >= told->at_ns);
    memcpy(told->why, d->why, sizeof told->why);
    told->at_ns = now_ns;
    return true;
}
