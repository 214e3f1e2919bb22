/* SPDX-License-Identifier: Apache-2.0 */

/* What the quorum looks like from its leader, for whoever asks, from any shard.
 *
 *     meta_describe --post--> the core as it is --post--> done */
#include "meta/quorum_describe.h"

#include "meta/meta_private.h"
#include "meta/quorum_links.h"

#include <stdio.h>

/* An observer that was silent for so long is told of no more; Kafka's OBSERVER_SESSION_TIMEOUT_MS. */
static const uint64_t observer_ns = UINT64_C(300) * 1000000000;

/* Who takes part in an election is heard of more often. */
static const uint64_t heard_for_ns = UINT64_C(4000000000);

static const int64_t ns_per_ms = 1000000;

static_assert(sizeof((struct meta_endpoint *)0)->name == VOTER_NAME_MAX, "names fit");
static_assert(sizeof((struct meta_endpoint *)0)->host == VOTER_HOST_MAX, "hosts fit");

static void delivered(struct io_message *post, struct io *io)
{
    struct meta_describe *d = container_of(post, struct meta_describe, priv.post);
    assert(io == d->priv.io);
    d->done(d);
}

/* -1 when it never was. */
static int64_t wall_of(struct io *io, uint64_t time_ns)
{
    return time_ns == 0 ? -1 : io_wall_ms(io) - (int64_t)(io_now(io) - time_ns) / ns_per_ms;
}

static void take_replicas(const struct meta *m, struct meta_describe *d)
{
    struct raft_replica known[RAFT_REPLICAS_MAX];
    uint64_t now = io_now(m->io);
    uint32_t count = raft_replicas(m->quorum.raft, now, known);
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_replica *k = &known[i];
        if (k->voter || now - k->fetched_ns < observer_ns) {
            d->replicas[d->replica_count++] = (struct meta_replica){
                .id = k->id,
                .voter = k->voter,
                .end = k->end,
                .fetched_ms = wall_of(m->io, k->fetched_ns),
                .caught_up_ms = wall_of(m->io, k->caught_up_ns),
            };
        }
    }
}

static void take_endpoints(const struct meta *m, struct meta_describe *d)
{
    assert(m->voters.count <= RAFT_VOTERS_MAX);
    for (uint32_t i = 0; i < m->voters.count; i++) {
        const struct voter *v = &m->voters.list[i];
        struct meta_endpoint *e = &d->endpoints[d->endpoint_count++];
        e->node = v->id.node;
        e->port = v->port;
        memcpy(e->name, v->name, sizeof e->name);
        memcpy(e->host, v->host, sizeof e->host);
    }
}

/* --- nobody leads ----------------------------------------------------------------------------- */

struct listing {
    char text[RAFT_VOTERS_MAX * 13];
    size_t used;
    uint32_t count;
};

static void list_voter(struct listing *l, int32_t node)
{
    int size = snprintf(l->text + l->used, sizeof l->text - l->used, "%s%d", l->used ? ", " : "",
                        (int)node);
    assert(size > 0 && l->used + (size_t)size < sizeof l->text);
    l->used += (size_t)size;
    l->count++;
}

/* The next by number, -1: none. They stand in the order in which they came. */
static int32_t next_voter(const struct voters *v, int32_t behind)
{
    int32_t next = -1;
    for (uint32_t i = 0; i < v->count; i++) {
        int32_t node = v->list[i].id.node;
        next = node > behind && (next < 0 || node < next) ? node : next;
    }
    return next;
}

/* An election takes one to two seconds, and all who take part in it hear of each other. */
void quorum_why_nobody(const struct meta *m, char why[static META_WHY_SIZE])
{
    const struct voters *v = &m->voters;
    struct listing heard = {.used = 0}, silent = {.used = 0};
    uint64_t now = io_now(m->io);
    for (int32_t node = next_voter(v, -1); node >= 0; node = next_voter(v, node)) {
        uint64_t last = links_heard_ns(m, node);
        bool self = node == m->identity.node_id;
        list_voter(self || (last && now - last < heard_for_ns) ? &heard : &silent, node);
    }
    uint32_t needed = v->count / 2 + 1;
    if (v->count == 0) {
        snprintf(why, META_WHY_SIZE, "no controller: node %d does not know the voters yet",
                 (int)m->identity.node_id);
    } else if (heard.count >= needed) {
        snprintf(why, META_WHY_SIZE,
                 "no controller at the moment: node %d hears of voters %s%s%s, %u are needed: they "
                 "are electing one, try again",
                 (int)m->identity.node_id, heard.text, silent.count ? " and not of " : "",
                 silent.text, (unsigned)needed);
    } else {
        snprintf(why, META_WHY_SIZE,
                 "no controller: node %d hears of %s%s and not of %s, and %u of %u voters are "
                 "needed: start those that do not run, and see that they reach each other",
                 (int)m->identity.node_id, heard.count ? "voter " : "no voter", heard.text,
                 silent.text, (unsigned)needed, (unsigned)v->count);
    }
}

static void arrived(struct io_message *post, struct io *io)
{
    struct meta_describe *d = container_of(post, struct meta_describe, priv.post);
    const struct meta *m = d->priv.meta;
    assert(m->magic == META_MAGIC && io == m->io);
    if (!m->quorum.raft || m->resigned) {
        d->error = ERR_CLOSED;
    } else {
        d->status = raft_status(m->quorum.raft);
        bool leads = d->confirmed && d->status.role == RAFT_LEADER;
        d->error = leads ? 0 : ERR_NOT_LEADER_OR_FOLLOWER;
        if (!leads && d->status.leader == RAFT_NOBODY) {
            quorum_why_nobody(m, d->why);
        }
        take_replicas(m, d);
        take_endpoints(m, d);
    }
    post->deliver = delivered;
    io_post(io, io_shard(d->priv.io), post);
}

void meta_describe(struct meta *meta, struct io *io, struct meta_describe *d)
{
    assert(d->done);
    memset(&d->priv, 0, sizeof d->priv);
    d->priv.meta = meta;
    d->priv.io = io;
    d->error = 0;
    d->why[0] = 0;
    d->replica_count = d->endpoint_count = 0;
    d->status = (struct raft_status){.leader = RAFT_NOBODY, .high_watermark = -1};
    d->priv.post.deliver = arrived;
    io_post(io, 0, &d->priv.post);
}
