/* SPDX-License-Identifier: Apache-2.0 */

/* A link has two connections: a fetch waits at the leader for news, and answers of one connection come in the order
 * of its requests, so that what is said in an election must not stand behind it.
 *
 * Where a node is reached is what the log says. A leader may say something else, if the log has not come yet; anybody
 * could say that, and by mistake, so that whoever listens there is asked first who he is:
 *
 *     links_learn() --Introduce, on a connection of its own--> introduced() --it is he--> both connections try that
 *                                                                          '--others, or nobody--> nothing changes */
#include "meta/quorum_links.h"

#include "meta/introduce.h"
#include "meta/meta_private.h"
#include "meta/meta_start.h"
#include "meta/quorum_wire.h"

#include <stdio.h>

static const uint64_t request_ns = UINT64_C(1000000000);
static const uint64_t complaint_ns = UINT64_C(10000000000);

struct link_peer {
    struct peer *peer;
    struct peer_close close;
    bool closing;
    struct quorum_link *link;
};

/* Somewhere else where the node is reached, as somebody has said. */
struct told {
    char host[VOTER_HOST_MAX];
    uint16_t port;
    bool proven; /* the node itself has answered there, and the connections know it */
    struct link_peer ask;
    struct peer_request question;
    char why[FOUNDING_TROUBLE_SIZE]; /* it is not the node */
};

struct quorum_link {
    struct meta *meta;
    int32_t node;
    char host[VOTER_HOST_MAX];
    uint16_t port;
    struct link_peer fetches, others;
    struct told told;
    uint64_t doubted_ns;    /* the last line about who is at `told` */
    uint64_t complained_ns; /* the last line about what the node has refused */
    uint64_t heard_ns;      /* it said something last; 0: it is not reached since */
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
    bool stops = error == ERR_NETWORK_EXCEPTION; /* who is about to stop says so */
    logger_write(
        io_logger(m->io), stops ? LOGGER_INFO : LOGGER_WARN, "meta", "node=%d at %s:%u %s: %s%s",
        (int)l->node, l->host, l->port,
        stops ? "takes no part in the quorum any more" : "refuses this node's part in the quorum",
        error_text(error),
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

static void try_told_first(struct quorum_link *l);

static void answered(struct peer_request *r, const struct peer_answer *a)
{
    struct link_request *q = container_of(r, struct link_request, request);
    struct meta *m = q->link->meta;
    bool end = q->message.kind == RAFT_END;
    if (a->error == ERR_REFUSED || a->error == ERR_NETWORK_EXCEPTION) {
        q->link->heard_ns = 0;
    }
    bool away = a->error && a->error != ERR_CLOSED && !a->maybe_received;
    if (away && q->link->told.proven && !m->links.closed) {
        try_told_first(q->link);
    }
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

enum { OUTPUT_BYTES = 8 << 20, INTRODUCTION_BYTES = 64 << 10, INTRODUCTION_ARENA = 256 << 10 };

static int open_peer(struct quorum_link *l, struct link_peer *p, const char *host, uint16_t port)
{
    struct meta *m = l->meta;
    char name[32];
    snprintf(name, sizeof name, "node %d", (int)l->node);
    const struct peer_address address = {host, port};
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
    p->closing = false;
    if (!l->fetches.peer && !l->others.peer && !l->told.ask.peer) {
        memory_free(m->memory, l);
    }
    m->links.closing--;
    meta_log_idle(m);
}

static void close_peer(struct meta *m, struct link_peer *p)
{
    if (p->peer && !p->closing) {
        m->links.closing++;
        p->closing = true;
        p->close.done = peer_closed;
        peer_close(p->peer, &p->close);
    }
}

static void close_link(struct meta *m, struct quorum_link *l)
{
    close_peer(m, &l->fetches);
    close_peer(m, &l->others);
    close_peer(m, &l->told.ask);
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
            close_link(m, l);
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
    if (open_peer(l, &l->fetches, l->host, l->port) || open_peer(l, &l->others, l->host, l->port)) {
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

/* --- where a leader says that it is ----------------------------------------------------------- */

/* The node has answered there: whoever is where the log says that it was is somebody else. */
static void try_told_only(struct quorum_link *l)
{
    const struct peer_address address = {l->told.host, l->told.port};
    peer_addresses(l->fetches.peer, &address, 1);
    peer_addresses(l->others.peer, &address, 1);
}

/* It is there no more, and may be back where it was. */
static void try_told_first(struct quorum_link *l)
{
    const struct peer_address addresses[] = {{l->told.host, l->told.port}, {l->host, l->port}};
    bool same = l->told.port == l->port && strcmp(l->told.host, l->host) == 0;
    peer_addresses(l->fetches.peer, addresses, same ? 1 : 2);
    peer_addresses(l->others.peer, addresses, same ? 1 : 2);
}

/* Of the node's data, as the voters are known here; or, if it does not vote, as it has registered: zero, it is not
 * known. */
static struct uuid directory_of(const struct meta *m, int32_t node)
{
    const struct voter *v = voters_known(m, node);
    const struct image_broker *b = v ? NULL : image_broker_by_id(meta_newest_image(m), node);
    return v ? v->id.directory : b ? b->directory : (struct uuid){0};
}

/* Whether it is the node of the link; if not, `told.why` says who or what it is. */
static bool is_the_node(struct quorum_link *l, const struct introduction *said)
{
    struct meta *m = l->meta;
    struct uuid directory = directory_of(m, l->node);
    char *why = l->told.why;
    if (!uuid_equal(said->cluster_id, m->identity.cluster_id)) {
        snprintf(why, sizeof l->told.why, "it is a node of another cluster");
    } else if (said->node_id != l->node) {
        snprintf(why, sizeof l->told.why, "it is node %d", (int)said->node_id);
    } else if (uuid_is_zero(directory) || !uuid_equal(said->directory_id, directory)) {
        char text[UUID_TEXT_SIZE];
        uuid_text(said->directory_id, text);
        snprintf(why, sizeof l->told.why, "it is another directory, %s", text);
    } else {
        return true;
    }
    return false;
}

static bool take_introduction(struct quorum_link *l, const struct peer_answer *a)
{
    struct meta *m = l->meta;
    struct introduce_response response;
    struct arena arena;
    char *why = l->told.why;
    if (a->error) {
        snprintf(why, sizeof l->told.why, "it does not say who it is: %s", error_text(a->error));
        return false;
    }
    struct introduction *said = memory_alloc(m->memory, sizeof *said);
    struct reader r = reader_of(a->body.data, a->body.size);
    arena_init(&arena, m->memory, INTRODUCTION_ARENA);
    int error = said ? introduce_response_decode(&response, &r, a->version, &arena) : ERR_NO_MEMORY;
    snprintf(why, sizeof l->told.why, "%s", error_text(error));
    if (!error) {
        error = introduction_read(said, &response, why);
    }
    bool good = !error && is_the_node(l, said);
    arena_deinit(&arena);
    memory_free(m->memory, said);
    return good;
}

static void doubt(struct quorum_link *l)
{
    struct io *io = l->meta->io;
    uint64_t now = io_now(io);
    if (!l->doubted_ns || now >= l->doubted_ns + complaint_ns) {
        l->doubted_ns = now;
        log_warn(io_logger(io), "meta",
                 "node=%d is said to be at %s:%u, and is not asked there: %s", (int)l->node,
                 l->told.host, l->told.port, l->told.why);
    }
}

static void introduced(struct peer_request *r, const struct peer_answer *a)
{
    struct quorum_link *l = container_of(r, struct quorum_link, told.question);
    struct meta *m = l->meta;
    if (m->links.closed || l->told.ask.closing) {
        return;
    }
    l->told.proven = take_introduction(l, a);
    if (l->told.proven) {
        try_told_only(l);
        quorum_lost(m, l->node, false); /* who follows it asks at once */
    } else {
        doubt(l);
    }
    close_peer(m, &l->told.ask);
}

static int encode_question(struct peer_request *r, struct wire_writer *w, int version)
{
    const struct meta *m = container_of(r, struct quorum_link, told.question)->meta;
    const struct introduce_request request = {
        .cluster_id = m->identity.cluster_id,
        .node_id = m->identity.node_id,
        .directory_id = m->identity.directory_id,
        .incarnation_id = m->membership.incarnation,
    };
    return introduce_request_encode(&request, w, version);
}

static bool host_is_plain(struct bytes host)
{
    for (size_t i = 0; i < host.size; i++) {
        if (host.data[i] <= ' ' || host.data[i] > '~') {
            return false;
        }
    }
    return host.size > 0 && host.size < VOTER_HOST_MAX;
}

void links_learn(struct meta *m, int32_t node, struct bytes host, uint16_t port)
{
    struct quorum_link *l = m->links.closed ? NULL : link_to(m, node);
    if (!l || port == 0 || !host_is_plain(host) || l->told.ask.peer ||
        (l->port == port && bytes_equal(host, bytes_of_string(l->host))) ||
        (l->told.proven && l->told.port == port &&
         bytes_equal(host, bytes_of_string(l->told.host)))) {
        return;
    }
    l->told.proven = false;
    l->told.port = port;
    memcpy(l->told.host, host.data, host.size);
    l->told.host[host.size] = 0;
    if (open_peer(l, &l->told.ask, l->told.host, port) != 0) {
        return; /* it says so again */
    }
    l->told.question = (struct peer_request){
        .key = WIRE_INTRODUCE,
        .fail_fast = true,
        .answer_bytes_max = INTRODUCTION_BYTES,
        .encode = encode_question,
        .done = introduced,
    };
    peer_submit(l->told.ask.peer, &l->told.question);
}

void meta_found_at(struct meta *m, int32_t node, struct bytes host, uint16_t port)
{
    if (m->state != META_CLOSING && voters_known(m, node)) {
        links_learn(m, node, host, port);
    }
}

void links_heard(struct meta *m, int32_t node)
{
    for (uint32_t i = 0; i < m->links.count; i++) {
        if (m->links.list[i]->node == node) {
            m->links.list[i]->heard_ns = io_now(m->io);
        }
    }
}

uint64_t links_heard_ns(const struct meta *m, int32_t node)
{
    for (uint32_t i = 0; i < m->links.count; i++) {
        if (m->links.list[i]->node == node) {
            return m->links.list[i]->heard_ns;
        }
    }
    return 0;
}

/* Where the log says, and nowhere else. */
static void try_log_only(struct quorum_link *l)
{
    const struct peer_address address = {l->host, l->port};
    l->told.proven = false;
    peer_addresses(l->fetches.peer, &address, 1);
    peer_addresses(l->others.peer, &address, 1);
}

void links_forget(struct meta *m, int32_t node)
{
    for (uint32_t i = 0; i < m->links.count; i++) {
        struct quorum_link *l = m->links.list[i];
        if (l->node == node) {
            try_log_only(l);
        }
    }
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
        try_log_only(l);
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
        close_link(m, l);
    }
    m->links.count = 0;
}
