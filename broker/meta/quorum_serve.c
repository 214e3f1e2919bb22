/* SPDX-License-Identifier: Apache-2.0 */

/* Requests of other replicas of the metadata log, from where they came to the core and back.
 *
 *     meta_serve --post--> raft_receive --ticket--> serve_answer --a FETCH: log_read--> --post--> done
 *     meta_serve_end --post--> slices go home --post--> ended
 *
 * The core may say nothing to a request: what has waited for long is answered for it when others come. */
#include "meta/meta_private.h"
#include "meta/quorum_wire.h"

enum { SERVING_MAX = 256 };

static const uint64_t serve_ns = UINT64_C(5000000000);

/* --- the way back ----------------------------------------------------------------------------- */

static void delivered(struct io_message *post, struct io *io)
{
    struct meta_serve *s = container_of(post, struct meta_serve, priv.post);
    assert(io == s->priv.io);
    s->done(s);
}

static void reply(struct meta_serve *s, int error)
{
    s->error = error;
    s->priv.post.deliver = delivered;
    io_post(s->priv.meta->io, io_shard(s->priv.io), &s->priv.post);
}

static void unlist(struct meta *m, struct meta_serve *s)
{
    list_remove(&s->priv.link);
    m->serving_count--;
}

static void records_read(struct log_read *r, int error)
{
    struct meta_serve *s = container_of(r, struct meta_serve, read);
    struct meta *m = s->priv.meta;
    m->serve_reads--;
    if (error) { /* asked again, from the same offset */
        r->slice_count = r->size = 0;
        log_warn(io_logger(m->io), "meta",
                 "the metadata at offset=%lld cannot be read for node=%d: %s", (long long)r->offset,
                 (int)s->message.from.node, error_text(error));
    }
    reply(s, 0);
    meta_log_idle(m);
}

static void read_records(struct meta_serve *s)
{
    struct meta *m = s->priv.meta;
    struct log_status status = log_status(m->log);
    int64_t from = s->answer.end.offset;
    s->read = (struct log_read){
        .offset = from,
        .limit_offset = status.end_offset,
        .bytes_max = QUORUM_FETCH_BYTES,
        .first_whole = true,
        .done = records_read,
    };
    if (from < status.start_offset || from >= status.end_offset) {
        reply(s, 0);
        return;
    }
    m->serve_reads++;
    int answered = log_read(m->log, &s->read);
    if (answered != 0) {
        records_read(&s->read, answered < 0 ? answered : 0);
    }
}

void serve_answer(struct meta *m, const struct raft_message *answer)
{
    list_each (node, &m->serving) {
        struct meta_serve *s = container_of(node, struct meta_serve, priv.link);
        if (s->priv.ticket != answer->ticket) {
            continue;
        }
        unlist(m, s);
        s->answer = *answer;
        bool records = answer->kind == RAFT_FETCH_ANSWER && !answer->error &&
                       answer->diverging.epoch < 0 && answer->snapshot.epoch < 0;
        if (records) {
            read_records(s);
        } else {
            reply(s, 0);
        }
        return;
    }
}

static void end_first(struct meta *m, int error)
{
    struct meta_serve *s = container_of(list_first(&m->serving), struct meta_serve, priv.link);
    unlist(m, s);
    reply(s, error);
}

void serve_close(struct meta *m)
{
    while (!list_empty(&m->serving)) {
        end_first(m, ERR_CLOSED);
    }
}

/* --- the way in ------------------------------------------------------------------------------- */

/* The core answers the newest fetch of a replica alone. */
static void end_older_fetch(struct meta *m, const struct raft_message *fetch)
{
    list_each (node, &m->serving) {
        struct meta_serve *s = container_of(node, struct meta_serve, priv.link);
        if (s->message.kind == RAFT_FETCH && raft_id_equal(s->message.from, fetch->from)) {
            unlist(m, s);
            reply(s, ERR_REQUEST_TIMED_OUT);
        }
    }
}

static void make_room(struct meta *m, uint64_t now)
{
    while (!list_empty(&m->serving)) {
        struct meta_serve *first =
            container_of(list_first(&m->serving), struct meta_serve, priv.link);
        bool old = now - first->priv.arrived_ns >= serve_ns;
        if (!old && m->serving_count < SERVING_MAX) {
            return;
        }
        end_first(m, old ? ERR_REQUEST_TIMED_OUT : ERR_BUSY);
    }
}

/* A copy of a voter's directory is not that voter. What it has must not count as long as the process that is registered
 * is heard: it gets what it asks for under a directory that nobody has, so that it does not vote with this one. */
static bool is_copy(const struct meta *m, const struct meta_serve *s)
{
    const struct image_broker *b = image_broker_by_id(m->image, s->message.from.node);
    return m->leading && s->message.kind == RAFT_FETCH && !uuid_is_zero(s->incarnation) && b &&
           !b->fenced && !uuid_equal(b->incarnation, s->incarnation) &&
           cluster_session_beats(&m->membership.sessions, b->id, b->epoch, io_now(m->io));
}

static void arrived(struct io_message *post, struct io *io)
{
    struct meta_serve *s = container_of(post, struct meta_serve, priv.post);
    struct meta *m = s->priv.meta;
    assert(m->magic == META_MAGIC);
    if (is_copy(m, s)) {
        s->message.from.directory = (struct uuid){0};
    }
    struct raft_message message = s->message;
    if (!m->quorum.raft || m->resigned) {
        reply(s, ERR_CLOSED);
        return;
    }
    if (raft_leaps(raft_leadership(m->quorum.raft).epoch, message.epoch)) {
        reply(s, ERR_INVALID_REQUEST);
        return;
    }
    s->priv.arrived_ns = io_now(m->io);
    make_room(m, s->priv.arrived_ns);
    s->priv.ticket = message.ticket = ++m->serve_ticket;
    bool answered = message.kind == RAFT_VOTE || message.kind == RAFT_FETCH;
    if (message.kind == RAFT_FETCH) {
        end_older_fetch(m, &message);
    }
    if (answered) {
        list_append(&m->serving, &s->priv.link);
        m->serving_count++;
    }
    quorum_receive(m, &message, NULL);
    struct raft_leadership known = raft_leadership(m->quorum.raft);
    bool leads = known.leader == message.leader && known.epoch == message.epoch;
    if (message.kind == RAFT_BEGIN && leads) {
        links_learn(m, message.leader, s->leader_host, s->leader_port);
    }
    if (!answered) {
        struct raft_status status = raft_status(m->quorum.raft);
        s->answer = (struct raft_message){.epoch = status.epoch, .leader = status.leader};
        reply(s, 0);
    }
}

void meta_serve(struct meta *meta, struct io *io, struct meta_serve *s)
{
    assert(s->done && s->ended);
    memset(&s->priv, 0, sizeof s->priv);
    list_init(&s->priv.link);
    s->priv.meta = meta;
    s->priv.io = io;
    s->read.slice_count = s->read.size = 0;
    s->priv.post.deliver = arrived;
    io_post(io, 0, &s->priv.post);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void ended(struct io_message *post, struct io *io)
{
    struct meta_serve *s = container_of(post, struct meta_serve, priv.post);
    s->ended(s);
}

static void slices_home(struct io_message *post, struct io *io)
{
    struct meta_serve *s = container_of(post, struct meta_serve, priv.post);
    for (uint32_t i = 0; i < s->read.slice_count; i++) {
        slice_release(&s->read.slices[i]);
    }
    s->priv.post.deliver = ended;
    io_post(io, io_shard(s->priv.io), &s->priv.post);
}

void meta_serve_end(struct meta_serve *s)
{
    s->priv.post.deliver = s->read.slice_count > 0 ? slices_home : ended;
    io_post(s->priv.io, s->read.slice_count > 0 ? 0 : io_shard(s->priv.io), &s->priv.post);
}

struct raft_id meta_self(const struct meta *meta)
{
    return (struct raft_id){meta->identity.node_id, meta->identity.directory_id};
}

const char *meta_cluster_id(const struct meta *meta)
{
    return meta->cluster_text;
}

struct raft_leadership meta_leadership(const struct meta *m)
{
    return m->quorum.raft ? raft_leadership(m->quorum.raft)
                          : (struct raft_leadership){.leader = RAFT_NOBODY};
}

struct meta_quorum meta_quorum(const struct meta *m)
{
    struct meta_quorum q = {.voters = &m->voters, .status.leader = RAFT_NOBODY};
    if (m->quorum.raft) {
        q.status = raft_status(m->quorum.raft);
    }
    return q;
}
