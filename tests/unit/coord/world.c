/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#include "coord/commit.h"
#include "coord/join.h"
#include "coord/sweep.h"
#include "coord/sync.h"

#include <stdio.h>

static void nothing(struct io *io, void *argument)
{
}

static void problem(void *context, const char *line)
{
    cr_assert(false, "%s", line);
}

static struct world *world_of(struct group_host *h)
{
    return container_of(h, struct world, host);
}

static void hold_write(struct group_host *h, struct group *g, struct write *write)
{
    struct world *w = world_of(h);
    cr_assert_lt(w->write_count, CALLS);
    w->writes[w->write_count++] = write;
}

static void group_is_over(struct group_host *h, struct group *g)
{
    world_of(h)->idle = true;
}

void world_settle_one(struct world *w, int error)
{
    cr_assert_gt(w->write_count, 0);
    struct write *first = w->writes[0];
    w->write_count--;
    memmove(w->writes, w->writes + 1, w->write_count * sizeof w->writes[0]);
    w->written++;
    group_written(first, error);
}

void world_settle(struct world *w, int error)
{
    while (w->write_count > 0) {
        world_settle_one(w, error);
    }
}

void world_open(struct world *w, uint64_t seed, const char *const *settings)
{
    struct config_setting set[8] = {{"--set", "data.dir", "data"}};
    char keys[8][64];
    size_t count = 1;
    *w = (struct world){0};
    for (size_t i = 0; settings && settings[i]; i++, count++) {
        const char *equals = strchr(settings[i], '=');
        snprintf(keys[i], sizeof keys[i], "%.*s", (int)(equals - settings[i]), settings[i]);
        set[count] = (struct config_setting){"--set", keys[i], equals + 1};
    }
    memory_init(&w->memory, SIZE_MAX);
    const struct config_input input = {.settings = set, .setting_count = count};
    cr_assert_eq(config_load(&w->config, &w->memory, &input, problem, NULL), 0);
    w->sim = sim_new(&(struct sim_options){.seed = seed});
    w->machine = sim_node_new(w->sim, "machine");
    sim_node_start(w->machine, 1, nothing, w);
    world_run(w, SECOND_NS);
    struct io *io = sim_node_shard(w->machine, 0);
    deadlines_init(&w->deadlines, io);
    w->host = (struct group_host){
        .io = io,
        .memory = &w->memory,
        .deadlines = &w->deadlines,
        .config = w->config,
        .batch_bytes_max = 1 << 20,
        .write = hold_write,
        .idle = group_is_over,
    };
    list_init(&w->host.expected);
    w->group = group_new(&w->host, wire_string_of("group"));
    cr_assert_not_null(w->group);
}

void world_close(struct world *w)
{
    group_quiesce(w->group, ERR_COORDINATOR_NOT_AVAILABLE);
    w->host.stopping = true;
    world_settle(w, 0);
    group_free(w->group);
    cr_assert_null(heap_first(&w->deadlines.heap), "a deadline has outlived the group");
    sim_free(w->sim);
    memory_drop(&w->memory);
}

/* Time goes in small steps, with what was written settled in each. */
void world_run(struct world *w, uint64_t ns)
{
    uint64_t end = sim_now(w->sim) + ns, step = SECOND_NS / 100;
    while (sim_now(w->sim) < end) {
        uint64_t left = end - sim_now(w->sim);
        sim_run(w->sim, sim_now(w->sim) + (left < step ? left : step));
        if (!w->hold) {
            world_settle(w, 0);
        }
    }
    cr_assert(sim_node_state(w->machine) == SIM_RUNNING, "%s", sim_node_last_line(w->machine));
}

/* --- clients ---------------------------------------------------------------------------------- */

static void copy(char *to, size_t size, const void *data, int32_t count)
{
    snprintf(to, size, "%.*s", count > 0 ? (int)count : 0, data ? (const char *)data : "");
}

static void hear_join(struct client *c)
{
    const struct join_group_response *a = &c->call.response.join;
    if (c->error && c->error != ERR_MEMBER_ID_REQUIRED) {
        return;
    }
    copy(c->id, sizeof c->id, a->member_id.data, a->member_id.size);
    if (c->error) {
        return;
    }
    copy(c->leader, sizeof c->leader, a->leader.data, a->leader.size);
    copy(c->protocol, sizeof c->protocol, a->protocol_name.data, a->protocol_name.size);
    cr_assert_geq(a->generation_id, c->generation, "G1");
    c->generation = a->generation_id;
    c->skip = a->skip_assignment;
    c->member_count = a->members_count;
    for (int32_t i = 0; i < a->members_count; i++) {
        copy(c->members[i], MEMBER_ID, a->members[i].member_id.data, a->members[i].member_id.size);
    }
}

static void answered(struct coord_call *call)
{
    struct client *c = container_of(call, struct client, call);
    cr_assert(c->asking, "answered once");
    c->asking = false;
    c->answered = true;
    c->error = call->error;
    if (call->kind == COORD_JOIN) {
        hear_join(c);
    } else if (call->kind == COORD_SYNC && !c->error) {
        const struct wire_bytes *a = &call->response.sync.assignment;
        copy(c->assignment, sizeof c->assignment, a->data, a->size);
    } else if (call->kind == COORD_LEAVE && !c->error && call->leavers) {
        c->error = call->leavers[0];
    } else if (call->kind == COORD_COMMIT && !c->error) {
        c->error = c->offset.error;
    }
    coord_call_end(call);
}

static void ask(struct world *w, struct client *c, enum coord_kind kind, int version,
                void (*call)(struct group *g, struct coord_call *c))
{
    cr_assert(!c->asking);
    c->call = (struct coord_call){
        .kind = kind,
        .version = (int16_t)version,
        .request = &c->request,
        .group = wire_string_of("group"),
        .client_id = wire_string_of("client"),
        .client_host = "/host",
        .done = answered,
    };
    if (kind == COORD_COMMIT) {
        c->call.offsets = &c->offset;
        c->call.offset_count = 1;
    }
    arena_init(&c->call.arena, &w->memory, SIZE_MAX);
    c->asking = true;
    c->answered = false;
    call(w->group, &c->call);
}

void client_join(struct world *w, struct client *c, int version, const char *const *protocols)
{
    struct join_group_request *q = &c->request.join;
    join_group_request_init(q);
    q->session_timeout_ms = 10000;
    q->rebalance_timeout_ms = 30000;
    q->member_id = wire_string_of(c->id);
    q->group_instance_id = wire_string_of(c->instance);
    q->protocol_type = wire_string_of("consumer");
    q->protocols = c->protocols;
    for (int i = 0; protocols[i]; i++) {
        const char *colon = strchr(protocols[i], ':');
        size_t size = strlen(colon + 1);
        c->protocols[i] = (struct join_group_request_protocols){
            .name = {protocols[i], (int32_t)(colon - protocols[i])},
            .metadata = {(const uint8_t *)colon + 1, (int32_t)size}};
        q->protocols_count++;
    }
    if (c->says.size > 0) {
        c->protocols[0].metadata = c->says;
    }
    ask(w, c, COORD_JOIN, version, group_join);
}

bool client_leads(const struct client *c)
{
    return strcmp(c->id, c->leader) == 0 && !c->skip;
}

void client_sync(struct world *w, struct client *c)
{
    static const char numbers[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
    struct sync_group_request *q = &c->request.sync;
    sync_group_request_init(q);
    q->generation_id = c->generation;
    q->member_id = wire_string_of(c->id);
    q->group_instance_id = wire_string_of(c->instance);
    q->protocol_type = q->protocol_name = wire_string_null();
    q->assignments = c->assignments;
    for (int32_t i = 0; client_leads(c) && i < c->member_count; i++) {
        c->assignments[q->assignments_count++] = (struct sync_group_request_assignments){
            wire_string_of(c->members[i]),
            c->gives.size > 0 ? c->gives : (struct wire_bytes){(const uint8_t *)numbers + i, 1}};
    }
    ask(w, c, COORD_SYNC, 5, group_sync);
}

void client_heartbeat(struct world *w, struct client *c)
{
    struct heartbeat_request *q = &c->request.heartbeat;
    heartbeat_request_init(q);
    q->generation_id = c->generation;
    q->member_id = wire_string_of(c->id);
    q->group_instance_id = wire_string_of(c->instance);
    ask(w, c, COORD_HEARTBEAT, 4, group_heartbeat);
}

void client_leave(struct world *w, struct client *c)
{
    struct leave_group_request *q = &c->request.leave;
    leave_group_request_init(q);
    c->leaver = (struct leave_group_request_members){
        .member_id = wire_string_of(c->id),
        .group_instance_id = wire_string_of(c->instance),
        .reason = wire_string_null(),
    };
    q->members = &c->leaver;
    q->members_count = 1;
    ask(w, c, COORD_LEAVE, 5, group_leave);
}

void client_commit(struct world *w, struct client *c, const char *topic, int64_t offset)
{
    struct offset_commit_request *q = &c->request.commit;
    offset_commit_request_init(q);
    q->generation_id_or_member_epoch = c->id[0] ? c->generation : -1;
    q->member_id = wire_string_of(c->id);
    q->group_instance_id = wire_string_of(c->instance);
    c->offset = (struct coord_offset){.topic = wire_string_of(topic),
                                      .offset = offset,
                                      .leader_epoch = -1,
                                      .metadata = wire_string_of("")};
    ask(w, c, COORD_COMMIT, 8, group_commit);
}

void client_delete(struct world *w, struct client *c)
{
    ask(w, c, COORD_DELETE, 2, group_delete);
}

void client_enter(struct world *w, struct client *c, const char *const *protocols)
{
    client_join(w, c, 5, protocols);
    if (!c->instance && !c->id[0]) {
        cr_assert(c->answered);
    }
    if (c->answered && c->error == ERR_MEMBER_ID_REQUIRED) {
        client_join(w, c, 5, protocols);
    }
}
