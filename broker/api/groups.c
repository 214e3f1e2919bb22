/* SPDX-License-Identifier: Apache-2.0 */

/* Calls to coordinators: see groups.h. */
#include "api/groups.h"

/* "/address", as brokers show clients to people; the port changes with every connection. */
static const char *client_host(struct api_request *r)
{
    char *host = api_alloc(r, IO_ADDRESS_MAX + 1, 1);
    if (!host) {
        return "/";
    }
    host[0] = '/';
    net_peer(&r->net, host + 1);
    char *port = strrchr(host, ':');
    if (port) {
        *port = 0;
    }
    return host;
}

struct groups *groups_new(struct api_request *r, size_t capacity, void (*answer)(struct groups *g))
{
    struct groups *g = api_alloc(r, 1, sizeof *g);
    if (g) {
        g->request = r;
        g->answer = answer;
        g->asks = api_alloc(r, capacity, sizeof *g->asks);
        g->capacity = (uint32_t)capacity;
    }
    if (!g || !g->asks || spread_init(&g->spread, r, sizeof(struct share)) != 0) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return NULL;
    }
    return g;
}

static const struct image_topic *offsets_topic(struct api_request *r)
{
    return image_topic_by_name(api_request_image(r), bytes_of_string(COORD_TOPIC));
}

static struct group_ask *ask_new(struct groups *g, enum coord_kind kind)
{
    assert(g->count < g->capacity);
    struct api_request *r = g->request;
    struct group_ask *ask = &g->asks[g->count++];
    ask->call.kind = kind;
    ask->call.version = api_version(r);
    ask->call.client_id = r->header.client_id;
    return ask;
}

struct coord_call *groups_add(struct groups *g, enum coord_kind kind, struct wire_string group,
                              const void *request)
{
    const struct image_topic *topic = offsets_topic(g->request);
    struct group_ask *ask = ask_new(g, kind);
    ask->call.group = group;
    ask->call.request = request;
    if (kind == COORD_JOIN) {
        ask->call.client_host = client_host(g->request);
    }
    ask->asked = topic != NULL;
    if (topic) {
        ask->call.partition = coord_partition_of(group, topic->partition_count);
        spread_add(&g->spread, &ask->part, topic, ask->call.partition);
    }
    return &ask->call;
}

void groups_add_all(struct groups *g)
{
    const struct image_topic *topic = offsets_topic(g->request);
    for (int32_t i = 0; topic && i < topic->partition_count; i++) {
        unsigned home =
            log_home(bytes_of_string(topic->name), i, io_shard_count(g->request->api->io));
        if (!spread_share(&g->spread, home)->first) {
            struct group_ask *ask = ask_new(g, COORD_LIST);
            ask->asked = true;
            spread_add(&g->spread, &ask->part, topic, i);
        }
    }
}

/* --- there ------------------------------------------------------------------------------------ */

static void call_done(struct coord_call *call)
{
    part_done(&container_of(call, struct group_ask, call)->part);
}

static bool ask_begin(struct api *home, struct part *part)
{
    struct group_ask *ask = container_of(part, struct group_ask, part);
    ask->call.done = call_done;
    coord_call(home->options.rooms.coord, &ask->call);
    return false;
}

static void share_start(struct share *s)
{
    share_each(s, ask_begin);
}

/* --- and back --------------------------------------------------------------------------------- */

static void memory_back(struct io_message *m, struct io *io)
{
    struct group_ask *ask = container_of(m, struct group_ask, message);
    net_unhold(&ask->part.share->spread->request->net);
}

static void memory_home(struct io_message *m, struct io *io)
{
    struct group_ask *ask = container_of(m, struct group_ask, message);
    coord_call_end(&ask->call);
    m->deliver = memory_back;
    io_post(io, io_shard(ask->part.share->spread->request->api->io), m);
}

static void ask_end(struct groups *g, struct group_ask *ask)
{
    struct io *io = g->request->api->io;
    if (!ask->asked || !ask->call.arena.chunks) {
        return;
    }
    if (ask->part.share->home->io == io) {
        coord_call_end(&ask->call);
        return;
    }
    net_hold(&g->request->net);
    ask->message.deliver = memory_home;
    io_post(io, ask->part.share->shard, &ask->message);
}

static void spread_done(struct spread *s)
{
    struct groups *g = container_of(s, struct groups, spread);
    struct api_request *r = g->request;
    net_hold(&r->net); /* answer() ends the request */
    g->answer(g);
    for (uint32_t i = 0; i < g->count; i++) {
        ask_end(g, &g->asks[i]);
    }
    net_unhold(&r->net);
}

void groups_go(struct groups *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (!g->asks[i].asked) {
            coord_refuse(&g->asks[i].call, ERR_COORDINATOR_NOT_AVAILABLE);
        }
    }
    g->spread.start = share_start;
    g->spread.done = spread_done;
    spread_go(&g->spread);
}

struct coord_offset *groups_offsets(struct api_request *r, size_t count)
{
    bool fits = count <= API_PARTITIONS_MAX;
    struct coord_offset *offsets = fits ? api_alloc(r, count, sizeof *offsets) : NULL;
    if (!offsets) {
        api_close(r, error_text(fits ? ERR_NO_MEMORY : ERR_TOO_LARGE));
    }
    return offsets;
}

const struct image_topic *groups_topic(struct api_request *r, struct wire_string name,
                                       struct uuid id, int *error)
{
    const struct image *image = api_request_image(r);
    bool by_id = !uuid_is_zero(id);
    const struct image_topic *topic =
        by_id ? image_topic_by_id(image, id) : image_topic_by_name(image, wire_string_bytes(name));
    *error = topic ? 0 : by_id ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return topic;
}
