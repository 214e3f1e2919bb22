/* SPDX-License-Identifier: Apache-2.0 */
#include "founding_world.h"

#include <errno.h>
#include <stdio.h>

#include <criterion/criterion.h>

/* --- the server of a node --------------------------------------------------------------------- */

struct world_request {
    struct net_request net;
    struct world_node *node;
    struct wire_request_header header;
    const struct wire_api *api;
    struct introduce_op op;
    struct introduction answer;
};

/* What a node tells of itself: its directory and its cluster stay what they are (F5). */
static void check_told(struct world_node *n, const struct introduction *told)
{
    assert(uuid_is_zero(n->directory_id) || uuid_equal(n->directory_id, told->directory_id));
    assert(told->node_id == n->id);
    n->directory_id = told->directory_id;
    if (!uuid_is_zero(told->cluster_id)) {
        struct founding_world *w = n->world;
        assert(w->disks_are_lost || uuid_is_zero(w->cluster_id) ||
               uuid_equal(w->cluster_id, told->cluster_id));
        w->cluster_id = told->cluster_id;
    }
}

static void respond(struct world_request *r, const void *response)
{
    struct wire_writer *w = &r->net.response;
    wire_frame_begin(w);
    int error = wire_response_header_encode(r->api, r->header.version, r->header.correlation_id, w);
    assert(!error);
    error = wire_encode(r->api->response, response, w, r->header.version);
    assert(!error);
    error = wire_frame_end(w);
    assert(!error);
    net_respond(&r->net);
}

static void introduced(struct introduce_op *op)
{
    struct world_request *r = container_of(op, struct world_request, op);
    bool says = op->error != ERR_BROKER_NOT_AVAILABLE;
    struct introduce_response response;
    struct arena arena;
    arena_init(&arena, io_memory(r->node->io), 1 << 20);
    if (says) {
        check_told(r->node, op->answer);
    }
    int error = introduction_write(&response, says ? op->answer : NULL, op->error, op->why, &arena);
    assert(!error);
    respond(r, &response);
    arena_deinit(&arena);
    net_unhold(&r->net);
}

static void on_request(void *context, struct net_request *net)
{
    struct world_node *n = context;
    struct world_request *r = container_of(net, struct world_request, net);
    struct reader in = reader_of(net->frame, net->size);
    struct arena arena;
    int error = wire_request_header_decode(&r->header, &in);
    assert(!error);
    r->node = n;
    r->api = wire_api_find(r->header.key);
    assert(r->api);
    if (r->header.key == WIRE_API_VERSIONS) {
        struct api_versions_response_api_keys keys[] = {{WIRE_API_VERSIONS, 0, 4},
                                                        {WIRE_INTRODUCE, 0, 0}};
        struct api_versions_response response;
        api_versions_response_init(&response);
        response.api_keys = keys;
        response.api_keys_count = 2;
        respond(r, &response);
        return;
    }
    struct introduce_request request;
    assert(r->header.key == WIRE_INTRODUCE);
    arena_init(&arena, io_memory(n->io), 1 << 16);
    error = introduce_request_decode(&request, &in, r->header.version, &arena);
    assert(!error);
    arena_deinit(&arena);
    r->op = (struct introduce_op){
        .done = introduced,
        .cluster_id = request.cluster_id,
        .directory_id = request.directory_id,
        .node_id = request.node_id,
        .answer = &r->answer,
    };
    net_hold(&r->net);
    introducer_ask(n->introducer, n->io, &r->op);
}

static void on_nothing(void *context, struct net_request *net)
{
}

static bool same_voters(const struct voters *a, const struct voters *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        const struct voter *x = &a->list[i], *y = &b->list[i];
        same = x->id.node == y->id.node && uuid_equal(x->id.directory, y->id.directory) &&
               x->port == y->port && strcmp(x->host, y->host) == 0 && strcmp(x->name, y->name) == 0;
    }
    return same;
}

/* --- a life ----------------------------------------------------------------------------------- */

static void opened(struct founding_open *f, int error)
{
    struct world_node *n = container_of(f, struct world_node, open);
    struct founding_world *w = n->world;
    n->done = true;
    n->error = error;
    assert(!f->run);
    if (error) {
        assert(f->why[0]);
        return;
    }
    if (f->alone) {
        return;
    }
    assert(!uuid_is_zero(f->cluster_id));
    assert(f->voters.count > 0 || w->voters_are_lost);
    assert(uuid_is_zero(n->cluster_id) || uuid_equal(n->cluster_id, f->cluster_id));
    assert(w->disks_are_lost || uuid_is_zero(w->cluster_id) ||
           uuid_equal(w->cluster_id, f->cluster_id));
    assert(uuid_is_zero(n->directory_id) || uuid_equal(n->directory_id, f->directory_id));
    if (f->founded) {
        assert(n->id == 1);
        n->foundings++;
    }
    if (!w->disks_are_lost && !w->voters_are_lost && w->voters.count > 0) {
        assert(same_voters(&w->voters, &f->voters));
    }
    w->voters = f->voters;
    w->cluster_id = f->cluster_id;
    n->cluster_id = f->cluster_id;
    n->directory_id = f->directory_id;
}

static void root_is_durable(struct file_sync *sync, int error)
{
    struct world_node *n = container_of(sync, struct world_node, sync);
    assert(!error);
    n->open.done = opened;
    const struct founding_options options = {
        .root = "/data/meta",
        .node_id = n->id,
        .endpoints = &n->endpoint,
        .endpoint_count = 1,
        .peers = n->peers,
        .peer_count = n->peer_count,
        .version = "1.0",
        .introducer = n->introducer,
    };
    founding_open(n->io, &n->open, &options);
}

static void data_is_durable(struct file_sync *sync, int error)
{
    struct world_node *n = container_of(sync, struct world_node, sync);
    assert(!error);
    sync->done = root_is_durable;
    file_sync_directory(n->io, sync, "/data");
}

static void start(struct io *io, void *argument)
{
    struct world_node *n = argument;
    static const struct net_options all = {
        .connections_max = 64,
        .request_size = sizeof(struct world_request),
        .request = on_request,
        .release = on_nothing,
        .discard = on_nothing,
    };
    struct net_options options = all;
    options.context = n;
    n->io = io;
    n->introducer = introducer_new(io);
    n->net = net_new(io, &options);
    assert(n->introducer && n->net);
    uint16_t port = 0;
    int error = net_listen(n->net, n->host, 9092, &port);
    assert(!error);
    error = io_mkdir(io, "/data");
    assert(error == 0 || error == -EEXIST);
    error = io_mkdir(io, "/data/meta");
    assert(error == 0 || error == -EEXIST);
    n->sync.done = data_is_durable;
    file_sync_directory(io, &n->sync, "/");
}

/* --- the world -------------------------------------------------------------------------------- */

void grounds_open(struct founding_world *w, uint64_t seed, uint32_t count)
{
    static const char *const addresses[] = {"n1:9092", "n2:9092", "n3:9092",
                                            "n4:9092", "n5:9092", "n6:9092"};
    static_assert(array_size(addresses) == WORLD_NODES_MAX, "one for each");
    memset(w, 0, sizeof *w);
    w->sim = sim_new(&(struct sim_options){.seed = seed, .catch_asserts = true});
    w->count = count;
    assert(count <= WORLD_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct world_node *n = &w->nodes[i];
        n->world = w;
        n->id = (int32_t)i + 1;
        snprintf(n->host, sizeof n->host, "n%d", (int)n->id);
        n->endpoint = (struct image_endpoint){"plain", n->host, 9092};
        n->sim = sim_node_new(w->sim, n->host);
        memcpy(n->peers, addresses, count * sizeof *addresses);
        n->peer_count = count;
    }
}

void grounds_close(struct founding_world *w)
{
    sim_free(w->sim);
}

void world_start(struct world_node *n)
{
    n->lives++;
    n->introducer = NULL;
    n->net = NULL;
    memset(&n->sync, 0, sizeof n->sync);
    memset(&n->open, 0, sizeof n->open);
    memset(&n->stop, 0, sizeof n->stop);
    n->done = false;
    n->error = 0;
    sim_node_start(n->sim, 1, start, n);
}

void world_run(struct founding_world *w, uint64_t ms)
{
    sim_run(w->sim, sim_now(w->sim) + ms * 1000000);
}

void world_lose_disk(struct world_node *n)
{
    n->world->disks_are_lost = true;
    disk_free(sim_node_swap_disk(n->sim, disk_new(UINT64_C(1) << 30)));
    n->directory_id = n->cluster_id = (struct uuid){0};
}

static void stop_here(struct io_message *message, struct io *io)
{
    founding_stop(&container_of(message, struct world_node, stop)->open);
}

void world_stop(struct world_node *n)
{
    n->stop.deliver = stop_here;
    io_post(n->io, 0, &n->stop);
}

void world_link(struct founding_world *w, int32_t a, int32_t b, bool up)
{
    enum sim_link link = up ? SIM_LINK_UP : SIM_LINK_CUT;
    sim_link_set(w->sim, (unsigned)a - 1, (unsigned)b - 1, link);
    sim_link_set(w->sim, (unsigned)b - 1, (unsigned)a - 1, link);
}

void world_check(struct founding_world *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct world_node *n = &w->nodes[i];
        enum sim_state state = sim_node_state(n->sim);
        cr_assert(state != SIM_ASSERTED && state != SIM_FATAL && state != SIM_STOPPED,
                  "node %d is %s: %s", (int)n->id, sim_state_name(state),
                  sim_node_last_line(n->sim));
        if (state == SIM_RUNNING && n->done) {
            cr_assert_eq(n->error, 0, "node %d: %s", (int)n->id, n->open.why);
            cr_assert(uuid_equal(n->open.cluster_id, w->cluster_id), "node %d", (int)n->id);
        }
    }
}

bool world_settle(struct founding_world *w, uint64_t ms)
{
    uint64_t until = sim_now(w->sim) + ms * 1000000;
    for (uint32_t i = 0; i < w->count; i++) {
        if (sim_node_state(w->nodes[i].sim) != SIM_RUNNING) {
            world_start(&w->nodes[i]);
        }
    }
    for (uint32_t i = 0; i < w->count; i++) {
        while (!w->nodes[i].done && sim_now(w->sim) < until) {
            world_run(w, 10);
        }
    }
    world_check(w);
    for (uint32_t i = 0; i < w->count; i++) {
        if (!w->nodes[i].done) {
            return false;
        }
    }
    return true;
}
