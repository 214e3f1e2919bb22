/* SPDX-License-Identifier: Apache-2.0 */

/* Dispatch and life cycle.
 *
 *     frame --header--> version known? --> handler --decode--> work --> api_respond / drop / close
 *                           |no: ApiVersions is answered in the form of v0 with 35, so that the
 *                           |    client can choose again; anything else ends the connection
 *
 * Malformed bytes end the connection: there is no place in them to trust for an answer. */
#include "api/fetch_session.h"
#include "api/request.h"
#include "coord/coord.h"

#include <inttypes.h>

static const uint64_t second_ns = UINT64_C(1000000000);
enum { LINES_PER_SECOND = 10, KEY_PRODUCE = 0, KEY_API_VERSIONS = 18 };

struct handler {
    int16_t key;
    void (*handle)(struct api_request *r);
};

static const struct handler handlers[] = {
    {0, handle_produce},
    {1, handle_fetch},
    {2, handle_list_offsets},
    {3, handle_metadata},
    {8, handle_offset_commit},
    {9, handle_offset_fetch},
    {10, handle_find_coordinator},
    {11, handle_join_group},
    {12, handle_heartbeat},
    {13, handle_leave_group},
    {14, handle_sync_group},
    {15, handle_describe_groups},
    {16, handle_list_groups},
    {18, handle_api_versions},
    {19, handle_create_topics},
    {20, handle_delete_topics},
    {21, handle_delete_records},
    {22, handle_init_producer_id},
    {23, handle_offset_for_leader_epoch},
    {32, handle_describe_configs},
    {33, handle_alter_configs},
    {35, handle_describe_log_dirs},
    {37, handle_create_partitions},
    {42, handle_delete_groups},
    {43, handle_elect_leaders},
    {44, handle_incremental_alter_configs},
    {45, handle_alter_partition_reassignments},
    {46, handle_list_partition_reassignments},
    {47, handle_offset_delete},
    {52, handle_vote},
    {53, handle_begin_quorum_epoch},
    {54, handle_end_quorum_epoch},
    {55, handle_describe_quorum},
    {56, handle_alter_partition},
    {57, handle_update_features},
    {59, handle_fetch_snapshot},
    {60, handle_describe_cluster},
    {62, handle_broker_registration},
    {63, handle_broker_heartbeat},
    {64, handle_unregister_broker},
    {67, handle_allocate_producer_ids},
    {75, handle_describe_topic_partitions},
    {80, handle_add_raft_voter},
    {81, handle_remove_raft_voter},
    {82, handle_update_raft_voter},
    {10000, handle_replica_report},
    {10001, handle_introduce},
    {10002, handle_yield_leadership},
    {10003, handle_range_hash},
    {10004, handle_give_up_replicas},
};

/* --- requests --------------------------------------------------------------------------------- */

bool api_may_log(struct api *api)
{
    uint64_t now = io_now(api->io);
    if (now - api->lines_from_ns > second_ns) {
        api->lines_from_ns = now;
        api->lines_left = LINES_PER_SECOND;
    }
    if (api->lines_left == 0) {
        return false;
    }
    api->lines_left--;
    return true;
}

void *api_alloc(struct api_request *r, size_t count, size_t size)
{
    return arena_array(&r->arena, count, size);
}

static void close_saying(struct api_request *r, enum logger_level level, const char *why)
{
    struct api *api = r->api;
    if (api_may_log(api)) {
        char peer[IO_ADDRESS_MAX];
        net_peer(&r->net, peer);
        logger_write(io_logger(api->io), level, "api",
                     "connection closed: reason=\"%s\" peer=%s key=%d version=%d client=%.*s", why,
                     peer, r->header.key, r->header.version,
                     r->header.client_id.size > 0 ? (int)r->header.client_id.size : 1,
                     r->header.client_id.size > 0 ? r->header.client_id.data : "-");
    }
    r->abandoned = NULL;
    net_close(&r->net);
}

void api_close(struct api_request *r, const char *why)
{
    r->api->status.malformed_requests++;
    close_saying(r, LOGGER_WARN, why);
}

void api_close_early(struct api_request *r)
{
    close_saying(r, LOGGER_INFO, "this node has not joined its cluster yet");
}

void *api_decode(struct api_request *r)
{
    void *body = api_alloc(r, 1, r->kind->request->body->size);
    int error = body ? wire_decode(r->kind->request, body, &r->body, api_version(r), &r->arena)
                     : ERR_NO_MEMORY;
    if (error) {
        api_close(r, error == ERR_MALFORMED ? "malformed request" : error_text(error));
        return NULL;
    }
    return body;
}

void api_respond_begin(struct api_request *r)
{
    struct wire_writer *w = &r->net.response;
    wire_frame_begin(w);
    int error = wire_response_header_encode(r->kind, api_version(r), r->header.correlation_id, w);
    assert(error == 0 || w->error != 0);
}

void api_respond_end(struct api_request *r, int error)
{
    if (!error) {
        error = wire_frame_end(&r->net.response);
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    r->abandoned = NULL;
    net_respond(&r->net);
}

void api_respond(struct api_request *r, const void *response)
{
    api_respond_begin(r);
    api_respond_end(r, wire_encode(r->kind->response, response, &r->net.response, api_version(r)));
}

void api_drop(struct api_request *r)
{
    r->abandoned = NULL;
    net_drop(&r->net);
}

const struct image *api_request_image(struct api_request *r)
{
    if (!r->image) {
        image_take(r->api->image);
        r->image = r->api->image;
    }
    return r->image;
}

/* What other brokers ask while this one joins them; clients come again. */
static bool before_image(const struct api *api, int16_t key)
{
    bool quorum = key == WIRE_VOTE || key == WIRE_BEGIN_QUORUM_EPOCH ||
                  key == WIRE_END_QUORUM_EPOCH || key == WIRE_FETCH || key == WIRE_FETCH_SNAPSHOT;
    return key == WIRE_API_VERSIONS || key == WIRE_INTRODUCE || (quorum && api->options.rooms.meta);
}

bool api_from_broker(const struct api_request *r)
{
    return wire_string_equal(r->header.client_id, wire_string_of("leatd"));
}

/* --- from the net room ------------------------------------------------------------------------ */

static void (*handler_find(int16_t key))(struct api_request *)
{
    for (size_t i = 0; i < array_size(handlers); i++) {
        if (handlers[i].key == key) {
            return handlers[i].handle;
        }
    }
    return NULL;
}

bool api_handled(int16_t key)
{
    return handler_find(key) != NULL;
}

static void request_start(void *context, struct net_request *net)
{
    struct api *api = context;
    struct api_request *r = container_of(net, struct api_request, net);
    if (!r->api) {
        arena_init(&r->arena, &api->memory, API_ARENA_FREE);
        r->api = api;
    }
    assert(r->api == api && r->arena.used_bytes == 0 && !r->image);
    net_make_room(api->net);
    api->status.requests_total++;
    r->header = (struct wire_request_header){.key = -1, .client_id = wire_string_null()};
    r->body = reader_of(net->frame, net->size);
    if (wire_request_header_decode(&r->header, &r->body) != 0) {
        api_close(r, "malformed header");
        return;
    }
    if (!net_admit(&r->net, api_from_broker(r))) {
        close_saying(r, LOGGER_WARN, "limits.connections is reached");
        return;
    }
    r->kind = wire_api_find(r->header.key);
    void (*handle)(struct api_request *) = handler_find(r->header.key);
    if (!r->kind || !handle) {
        api_close(r, "unknown api");
        return;
    }
    if (!wire_api_has(r->kind, r->header.version)) {
        if (r->header.key == KEY_API_VERSIONS) {
            api_versions_refuse(r);
        } else {
            api_close(r, "version not served");
        }
        return;
    }
    if (!api->image && !before_image(api, r->header.key)) {
        api_close_early(r);
        return;
    }
    if (net->size > API_OTHER_BYTES_MAX && r->header.key != KEY_PRODUCE) {
        api_close(r, "request too large");
        return;
    }
    size_t limit = API_ARENA_FREE + (size_t)net->size * API_ARENA_FACTOR;
    r->arena.limit_bytes = limit < API_ARENA_MAX ? limit : API_ARENA_MAX;
    handle(r);
}

static void request_abandoned(void *context, struct net_request *net)
{
    struct api_request *r = container_of(net, struct api_request, net);
    if (r->abandoned) {
        r->abandoned(r);
    }
}

static void request_release(void *context, struct net_request *net)
{
    struct api_request *r = container_of(net, struct api_request, net);
    arena_reset(&r->arena);
    if (r->image) {
        image_release(r->image);
    }
    r->image = NULL;
    r->kind = NULL;
    r->work = NULL;
    r->abandoned = NULL;
}

static void request_discard(void *context, struct net_request *net)
{
    struct api_request *r = container_of(net, struct api_request, net);
    arena_deinit(&r->arena);
}

/* --- life ------------------------------------------------------------------------------------- */

static int api_build(struct api *api)
{
    struct api_options *o = &api->options;
    uint64_t seed;
    io_random(api->io, &seed, sizeof seed);
    topics_init(&api->topics, io_memory(api->io), seed, o);
    struct net_options net = {
        .connections_max = o->connections_max,
        .request_bytes_max = o->request_bytes_max,
        .request_pool_bytes = o->request_pool_bytes,
        .lent_bytes_max = o->lent_bytes_max,
        .requests_max = o->requests_max,
        .idle_ms = o->idle_ms,
        .memory = &api->memory,
        .request_size = sizeof(struct api_request),
        .request = request_start,
        .abandoned = request_abandoned,
        .release = request_release,
        .discard = request_discard,
        .context = api,
    };
    api->net = net_new(api->io, &net);
    api->sessions = fetch_sessions_new(api->io, &api->memory, o->fetch_sessions_max,
                                       o->fetch_session_partitions_max);
    api->producer_ids = producer_ids_new(api);
    return api->net && api->sessions && api->producer_ids ? 0 : ERR_NO_MEMORY;
}

struct api *api_start(struct io *io, const struct api_options *options)
{
    assert(options->config && options->peers);
    assert(!options->peers[io_shard(io)]);
    struct api *api = memory_alloc(io_memory(io), sizeof *api);
    if (!api) {
        log_error(io_logger(io), "api", "cannot start: out of memory");
        return NULL;
    }
    api->io = io;
    api->options = *options;
    struct api_options *o = &api->options;
    memory_init_share(&api->memory, io_memory(io), o->memory_bytes ? o->memory_bytes : SIZE_MAX);
    o->fetch_session_partitions_max =
        o->fetch_session_partitions_max ? o->fetch_session_partitions_max : 100000;
    list_init(&api->fetches);
    list_init(&api->to_hash);
    list_init(&api->searches);
    list_init(&api->openings);
    deadlines_init(&api->deadlines, io);
    if (api_build(api) != 0) {
        log_error(io_logger(io), "api", "cannot start: out of memory");
        api_free(api);
        return NULL;
    }
    options->peers[io_shard(io)] = api;
    return api;
}

void api_attach(struct api *api, const struct api_rooms *rooms)
{
    assert(rooms->meta && !rooms->partitions == !rooms->coord);
    assert(!api->options.rooms.partitions && !api->image);
    api->options.rooms = *rooms;
}

int api_listen(struct api *api, uint16_t port, uint16_t *port_out)
{
    const struct config_listener *l = config_listener(api->options.config, api->listeners);
    int error = net_listen(api->net, l->host, port, port_out);
    api->listeners += error ? 0 : 1;
    return error;
}

void api_publish(struct api *api, const struct image *image)
{
    const struct image *old = api->image;
    image_take(image);
    api->image = image;
    topics_publish(&api->topics, image);
    const struct api_options *o = &api->options;
    uint64_t most =
        (uint64_t)api_broker_number(o->config, image, o->node_id, CONFIG_FETCH_MAX_BYTES);
    /* One answer never takes more than all sockets together may. */
    uint64_t served = o->lent_bytes_max && most > o->lent_bytes_max ? o->lent_bytes_max : most;
    if (served < most && most != api->fetch_bytes_asked && io_shard(api->io) == 0) {
        log_warn(io_logger(api->io), "api",
                 "fetch.max.bytes is %" PRIu64 ", but a fetch returns %" PRIu64
                 " at most: give limits.memory more",
                 most, served);
    }
    api->fetch_bytes_asked = most;
    api->fetch_bytes_max = (uint32_t)served;
    if (old) {
        image_release(old);
    }
}

/* What this shard has borrowed went home by messages of its own. One more goes to each shard and
 * back, behind them: when it is back, everything is home, and the logs there may close. */
static void farewell_go(struct api *api);

static void farewell_back(struct io_message *m, struct io *io)
{
    farewell_go(container_of(m, struct api, farewell));
}

static void farewell_there(struct io_message *m, struct io *io)
{
    struct api *api = container_of(m, struct api, farewell);
    m->deliver = farewell_back;
    io_post(io, io_shard(api->io), m);
}

static void farewell_go(struct api *api)
{
    unsigned to = api->farewell_next++;
    if (to < io_shard_count(api->io)) {
        api->farewell.deliver = farewell_there;
        io_post(api->io, to, &api->farewell);
        return;
    }
    struct api_stop *s = api->stop;
    api->stop = NULL;
    s->done(s);
}

static void deadlines_idle(struct deadlines *d)
{
    struct api *api = container_of(d, struct api, deadlines);
    api->farewell_next = 0;
    farewell_go(api);
}

static void net_stopped(struct net_stop *s)
{
    struct api *api = container_of(s, struct api, net_stop);
    deadlines_stop(&api->deadlines, deadlines_idle);
}

void api_stop(struct api *api, struct api_stop *s)
{
    assert(!api->stop && s->done);
    api->stop = s;
    api->net_stop.done = net_stopped;
    fetch_stop_all(api);
    if (api->options.rooms.coord) {
        coord_quiesce(api->options.rooms.coord);
    }
    net_stop(api->net, &api->net_stop, API_STOP_MS);
}

void api_free(struct api *api)
{
    if (!api) {
        return;
    }
    assert(list_empty(&api->fetches));
    assert(list_empty(&api->searches) && api->searching == 0);
    assert(list_empty(&api->to_hash) && api->hashing == 0);
    assert(list_empty(&api->openings) && api->opening == 0);
    assert(api->loans == 0);
    net_free(api->net);
    fetch_sessions_free(api->sessions);
    producer_ids_free(api->producer_ids);
    topics_deinit(&api->topics);
    if (api->image) {
        image_release(api->image);
    }
    if (api->options.peers[io_shard(api->io)] == api) {
        api->options.peers[io_shard(api->io)] = NULL;
    }
    memory_free(io_memory(api->io), api);
}

struct api_status api_status(const struct api *api)
{
    struct net_status net = net_status(api->net);
    struct api_status s = api->status;
    s.connections = net.connections;
    s.requests = net.requests;
    s.received_bytes = net.received_bytes;
    s.sent_bytes = net.sent_bytes;
    s.refused_connections = net.refused;
    return s;
}
