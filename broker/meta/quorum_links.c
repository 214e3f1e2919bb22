/* SPDX-License-Identifier: Apache-2.0 */

/* A link has two connections: a fetch waits at the leader for news, and answers of one connection come in the order
 * of its requests, so that what is said in an election must not stand behind it. */
#include "meta/quorum_links.h"

#include "meta/meta_private.h"
#include "meta/quorum_wire.h"

#include <stdio.h>

static const uint64_t request_ns = UINT64_C(1000000000);
static const uint64_t complaint_ns = UINT64_C(10000000000);

struct link_peer {
    struct peer *peer;
    struct peer_close close;
    struct quorum_link *link;
};

struct quorum_link {
    struct meta *meta;
    int32_t node;
    char host[VOTER_HOST_MAX];
    uint16_t port;
    struct link_peer fetches, others;
    uint64_t complained_ns; /* the last line about what the node has refused */
    uint64_t refused_after; /* connections for fetches; the core has been told of that refusal */
};

struct link_request {
    struct peer_request request;
    struct quorum_link *link;
    struct raft_message message;
};

/* --- answers ---------------------------------------------------------------------------------- */

static void complain(struct quorum_link *l, int error)
{
    struct meta *m = l->meta;
    uint64_t now = io_now(m->io);
    if (l->complained_ns && now < l->complained_ns + complaint_ns) {
        return;
    }
    l->complained_ns = now;
    log_warn(
        io_logger(m->io), "meta", "node=%d at %s:%u refuses this node's part in the quorum: %s%s",
        (int)l->node, l->host, l->port, error_text(error),
        error == ERR_INCONSISTENT_CLUSTER_ID ? "; one of the two is configured for another cluster"
                                             : "");
}

static void take_answer(struct link_request *q, const struct peer_answer *a)
{
    struct meta *m = q->link->meta;
    struct raft_message answer;
    struct quorum_batches batches;
    struct bytes records;
    int error = quorum_answer_decode(&q->message, a->version, bytes_of(a->body.data, a->body.size),
                                     m->memory, &answer, &records);
    if (error == ERR_NOT_FOUND) {
        return;
    }
    int count = error ? error : quorum_batches_cut(&batches, records, m->memory);
    if (count < 0) {
        complain(q->link, count);
        return;
    }
    const struct quorum_fetched fetched = {.bytes = records.data,
                                           .batches = batches.list,
                                           .sizes = batches.sizes,
                                           .count = batches.count};
    answer.batches = batches.list;
    answer.batch_count = batches.count;
    quorum_receive(m, &answer, &fetched);
}

/* A fetch waits at its leader, so its connection tells when the leader's process ends. */
static void take_failure(struct quorum_link *l, int error)
{
    struct meta *m = l->meta;
    uint64_t connections = peer_status(l->fetches.peer).connections;
    if (error == ERR_NETWORK_EXCEPTION) {
        quorum_lost(m, l->node, false);
    } else if (error == ERR_REFUSED && connections > l->refused_after) {
        l->refused_after = connections;
        m->watches.refused_node = l->node;
        m->watches.refused_ns = io_now(m->io);
        quorum_lost(m, l->node, true);
    }
}

static int encode(struct peer_request *r, struct wire_writer *w, int version)
{
    struct link_request *q = container_of(r, struct link_request, request);
    const struct meta *m = q->link->meta;
    return quorum_request_encode(&q->message, m->cluster_text, &m->options.endpoints[0],
                                 m->membership.incarnation, version, w);
}

static void answered(struct peer_request *r, const struct peer_answer *a)
{
    struct link_request *q = container_of(r, struct link_request, request);
    struct meta *m = q->link->meta;
    bool end = q->message.kind == RAFT_END;
    if (!a->error && m->state != META_CLOSING) {
        take_answer(q, a);
    } else if (q->message.kind == RAFT_FETCH && m->state != META_CLOSING) {
        take_failure(q->link, a->error);
    }
    memory_free(m->memory, q);
    if (end) {
        m->links.ends--;
        meta_log_idle(m);
    }
}

/* --- links ------------------------------------------------------------------------------------ */

enum { OUTPUT_BYTES = 8 << 20 };

static int open_peer(struct quorum_link *l, struct link_peer *p)
{
    struct meta *m = l->meta;
    char name[32];
    snprintf(name, sizeof name, "node %d", (int)l->node);
    const struct peer_address address = {l->host, l->port};
    const struct peer_options options = {
        .io = m->io,
        .memory = m->memory,
        .name = name,
        .node_id = m->identity.node_id,
        .addresses = &address,
        .address_count = 1,
        .requests_max = 16,
        .output_bytes_max = OUTPUT_BYTES, /* a registration names all that is lost */
        .connect_timeout_ns = request_ns,
        .request_timeout_ns = request_ns,
    };
    p->link = l;
    return peer_open(&p->peer, &options);
}

static void peer_closed(struct peer_close *c)
{
    struct link_peer *p = container_of(c, struct link_peer, close);
    struct quorum_link *l = p->link;
    struct meta *m = l->meta;
    p->peer = NULL;
    if (!l->fetches.peer && !l->others.peer) {
        memory_free(m->memory, l);
    }
    m->links.closing--;
    meta_log_idle(m);
}

static void close_peer(struct meta *m, struct link_peer *p)
{
    if (p->peer) {
        m->links.closing++;
        p->close.done = peer_closed;
        peer_close(p->peer, &p->close);
    }
}

/* Of a voter, or of a broker: one that is removed leads until that is committed, or undone. */
static struct peer_address address_of(const struct meta *m, int32_t node)
{
    const struct voter *v = voters_known(m, node);
    const struct image_broker *b = v ? NULL : image_broker_by_id(m->image, node);
    if (!v && !b && m->ahead) {
        b = image_broker_by_id(m->ahead,
                               node); /* what the log held at the start, committed or not */
    }
    if (v) {
        return (struct peer_address){v->host, v->port};
    }
    return b ? (struct peer_address){b->endpoints[0].host, b->endpoints[0].port}
             : (struct peer_address){0};
}

/* Voters come and go: a link to one that has gone makes room. */
static bool make_room(struct meta *m)
{
    for (uint32_t i = 0; i < m->links.count && m->links.count == QUORUM_LINKS_MAX; i++) {
        struct quorum_link *l = m->links.list[i];
        if (!voters_known(m, l->node)) {
            m->links.list[i] = m->links.list[--m->links.count];
            close_peer(m, &l->fetches);
            close_peer(m, &l->others);
        }
    }
    return m->links.count < QUORUM_LINKS_MAX;
}

/* NULL: there is no address, no memory, or too many links. */
static struct quorum_link *link_to(struct meta *m, int32_t node)
{
    for (uint32_t i = 0; i < m->links.count; i++) {
        if (m->links.list[i]->node == node) {
            return m->links.list[i];
        }
    }
    struct peer_address address = address_of(m, node);
    struct quorum_link *l =
        address.host && make_room(m) ? memory_alloc(m->memory, sizeof *l) : NULL;
    if (!l) {
        return NULL;
    }
    *l = (struct quorum_link){.meta = m, .node = node, .port = address.port};
    snprintf(l->host, sizeof l->host, "%s", address.host);
    if (open_peer(l, &l->fetches) || open_peer(l, &l->others)) {
        log_warn(io_logger(m->io), "meta", "no memory for a connection to node=%d", (int)node);
        if (l->fetches.peer) {
            close_peer(m, &l->fetches);
        } else {
            memory_free(m->memory, l);
        }
        return NULL;
    }
    m->links.list[m->links.count++] = l;
    return l;
}

void links_learn(struct meta *m, int32_t node, struct bytes host, uint16_t port)
{
    struct quorum_link *l = link_to(m, node);
    bool good = l && port > 0 && host.size > 0 && host.size < sizeof l->host &&
                !memchr(host.data, 0, host.size);
    if (!good || (l->port == port && bytes_equal(host, bytes_of_string(l->host)))) {
        return;
    }
    char told[VOTER_HOST_MAX];
    memcpy(told, host.data, host.size);
    told[host.size] = 0;
    const struct peer_address addresses[] = {{told, port}, {l->host, l->port}};
    peer_addresses(l->fetches.peer, addresses, array_size(addresses));
    peer_addresses(l->others.peer, addresses, array_size(addresses));
}

void links_moved(struct meta *m)
{
    for (uint32_t i = 0; i < m->links.count; i++) {
        struct quorum_link *l = m->links.list[i];
        const struct voter *v = voters_find(&m->voters, l->node);
        if (!v || (v->port == l->port && strcmp(v->host, l->host) == 0)) {
            continue;
        }
        snprintf(l->host, sizeof l->host, "%s", v->host);
        l->port = v->port;
        const struct peer_address address = {l->host, l->port};
        peer_addresses(l->fetches.peer, &address, 1);
        peer_addresses(l->others.peer, &address, 1);
    }
}

void links_send(struct meta *m, const struct raft_message *message)
{
    struct quorum_link *l = m->links.closed ? NULL : link_to(m, message->to.node);
    struct link_request *q = l ? memory_alloc(m->memory, sizeof *q) : NULL;
    struct quorum_api api = quorum_api_of(message->kind);
    if (!q) {
        return;
    }
    *q = (struct link_request){
        .request = {.key = api.key,
                    .version_min = api.min,
                    .version_max = api.max,
                    .fail_fast = true,
                    .encode = encode,
                    .done = answered},
        .link = l,
        .message = *message,
    };
    m->links.ends += message->kind == RAFT_END;
    peer_submit(message->kind == RAFT_FETCH ? l->fetches.peer : l->others.peer, &q->request);
}

static bool submit(struct meta *m, int32_t node, struct peer_request *request, bool fetches)
{
    struct quorum_link *l = m->links.closed ? NULL : link_to(m, node);
    if (l) {
        peer_submit(fetches ? l->fetches.peer : l->others.peer, request);
    }
    return l != NULL;
}

bool links_call(struct meta *m, int32_t node, struct peer_request *request)
{
    return submit(m, node, request, false);
}

bool links_load(struct meta *m, int32_t node, struct peer_request *request)
{
    return submit(m, node, request, true);
}

void links_close(struct meta *m)
{
    assert(!m->links.closed);
    m->links.closed = true;
    for (uint32_t i = 0; i < m->links.count; i++) {
        struct quorum_link *l = m->links.list[i];
        close_peer(m, &l->fetches);
        close_peer(m, &l->others);
    }
    m->links.count = 0;
}
