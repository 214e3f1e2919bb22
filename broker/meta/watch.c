/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/watch.h"

#include "meta/meta_private.h"

#include <stdio.h>

static const uint64_t connect_ns = UINT64_C(1000000000);
static const uint64_t remembered_ns =
    UINT64_C(1000000000); /* that a leader refused its followers */

struct watch {
    struct meta *meta;
    struct peer *peer;
    struct peer_close close;
    struct peer_request request;
    int32_t broker;
    int64_t epoch;     /* of its life */
    uint64_t since_ns; /* what is heard later shows that it lives */
    bool was_there;    /* there was a connection, and it has ended since */
    bool reached;      /* there is one */
    bool asking;
};

/* --- what the answers say --------------------------------------------------------------------- */

static void refused(struct watch *w)
{
    struct meta *m = w->meta;
    uint64_t now = io_now(m->io), silence = (uint64_t)m->options.heartbeat_ms * 1500000;
    uint64_t heard = cluster_session_heard(&m->membership.sessions, w->broker, w->epoch);
    if (heard > w->since_ns) {
        w->since_ns = now;
        w->was_there = false;
    } else if (w->was_there || now >= w->since_ns + silence) {
        membership_gone(m, w->broker, w->epoch);
    }
}

static void answered(struct peer_request *r, const struct peer_answer *a)
{
    struct watch *w = container_of(r, struct watch, request);
    w->asking = false;
    w->reached = !a->error;
    if (a->error == ERR_REFUSED && w->meta->leading) {
        refused(w);
    }
}

static int encode(struct peer_request *r, struct wire_writer *w, int version)
{
    struct api_versions_request body;
    api_versions_request_init(&body);
    body.client_software_name = wire_string_of("leatd");
    body.client_software_version = wire_string_of(LEAT_VERSION);
    return api_versions_request_encode(&body, w, version);
}

static void ask(struct watch *w)
{
    w->asking = true;
    w->request = (struct peer_request){
        .key = WIRE_API_VERSIONS,
        .version_min = 0,
        .version_max = 3,
        .fail_fast = true,
        .encode = encode,
        .done = answered,
    };
    peer_submit(w->peer, &w->request);
}

static void lost(void *context)
{
    struct watch *w = context;
    w->reached = false;
    w->was_there = true;
    w->since_ns = io_now(w->meta->io);
    if (!w->asking) {
        ask(w);
    }
}

/* --- one connection --------------------------------------------------------------------------- */

static void watch_begin(struct meta *m, const struct image_broker *b)
{
    struct watches *s = &m->watches;
    struct watch *w =
        s->count + s->closing < WATCHES_MAX ? memory_alloc(m->memory, sizeof *w) : NULL;
    if (!w) {
        return;
    }
    char name[40];
    snprintf(name, sizeof name, "node %d (watched)", (int)b->id);
    const struct peer_address address = {b->endpoints[0].host, b->endpoints[0].port};
    const struct peer_options options = {
        .io = m->io,
        .memory = m->memory,
        .name = name,
        .node_id = m->identity.node_id,
        .addresses = &address,
        .address_count = 1,
        .requests_max = 2,
        .answer_bytes_max = 1 << 16,
        .output_bytes_max = 1 << 12,
        .connect_timeout_ns = connect_ns,
        .request_timeout_ns = connect_ns,
        .lost = lost,
        .lost_context = w,
    };
    uint64_t now = io_now(m->io);
    bool known = s->refused_ns && s->refused_node == b->id && now < s->refused_ns + remembered_ns;
    *w = (struct watch){
        .meta = m, .broker = b->id, .epoch = b->epoch, .since_ns = now, .was_there = known};
    if (peer_open(&w->peer, &options) != 0) {
        memory_free(m->memory, w);
        return;
    }
    s->list[s->count++] = w;
}

static void peer_closed(struct peer_close *c)
{
    struct watch *w = container_of(c, struct watch, close);
    struct meta *m = w->meta;
    m->watches.closing--;
    memory_free(m->memory, w);
    meta_log_idle(m);
}

static void watch_end(struct meta *m, uint32_t index)
{
    struct watches *s = &m->watches;
    struct watch *w = s->list[index];
    s->list[index] = s->list[--s->count];
    s->closing++;
    w->close.done = peer_closed;
    peer_close(w->peer, &w->close);
}

/* --- all -------------------------------------------------------------------------------------- */

static bool is_watched(const struct watches *s, int32_t broker)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->list[i]->broker == broker) {
            return true;
        }
    }
    return false;
}

void watches_look(struct meta *m)
{
    struct watches *s = &m->watches;
    assert(m->leading && m->state != META_CLOSING);
    for (uint32_t i = s->count; i-- > 0;) {
        struct watch *w = s->list[i];
        const struct image_broker *b = image_broker_by_id(m->image, w->broker);
        if (!b || b->fenced || b->epoch != w->epoch) {
            watch_end(m, i);
        }
    }
    for (uint32_t i = 0; i < image_broker_count(m->image); i++) {
        const struct image_broker *b = image_broker_at(m->image, i);
        if (b->id != m->identity.node_id && !b->fenced && !is_watched(s, b->id)) {
            watch_begin(m, b);
        }
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (!s->list[i]->asking && !s->list[i]->reached) {
            ask(s->list[i]);
        }
    }
}

void watches_end(struct meta *m)
{
    while (m->watches.count > 0) {
        watch_end(m, m->watches.count - 1);
    }
}
