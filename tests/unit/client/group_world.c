/* SPDX-License-Identifier: Apache-2.0 */

#include "group_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

static const char *const topic_names[WORLD_TOPICS] = {"orders", "payments", "t02", "t03", "t04",
                                                      "t05",    "t06",      "t07", "t08", "t09",
                                                      "t10",    "t11",      "t12", "t13"};

/* --- the world --- */

static void broker_run(struct io *io, void *argument)
{
    fake_broker_listen(argument, io);
}

static void append_value(struct world *w, const char *topic, int partition)
{
    char value[100];
    int64_t end = fake_broker_end(w->broker, topic, partition);
    uint64_t now = sim_now(w->sim);
    size_t size = recorder_value(value, sizeof value, topic, partition, "append", (uint64_t)end);
    fake_broker_append_value(w->broker, topic, partition, (int64_t)(now / MS), value);
    recorder_begin(w->recorder, "append", "produce", now, now, "ok",
                   "\"topic\":\"%s\",\"partition\":%d,\"offset\":%lld", topic, partition,
                   (long long)end);
    recorder_record(w->recorder, -1, value, size);
    recorder_end(w->recorder);
}

static void record_commit(void *context, const struct coord_group *g, const struct coord_member *m,
                          const struct coord_committed *o)
{
    const struct world *w = context;
    uint64_t now = sim_now(w->sim);
    const char *member = m ? m->id : "";
    recorder_begin(w->recorder, "coordinator", "commit", now, now, "ok",
                   "\"group\":\"%s\",\"topic\":\"%s\",\"partition\":%d,\"offset\":%lld,"
                   "\"generation\":%d,\"member\":\"%s\",\"instance\":\"%s\"",
                   g->name, o->topic, (int)o->partition, (long long)o->offset,
                   m ? (int)g->generation : -1, member, m ? m->instance : "");
    recorder_end(w->recorder);
}

static void append_fire(struct sim_alarm *a, struct sim *sim)
{
    struct world *w = container_of(a, struct world, appending);
    if (!w->append_ns) {
        return;
    }
    for (int t = 0; t < w->topic_count; t++) {
        for (int p = 0; p < w->partitions; p++) {
            append_value(w, w->topics[t], p);
        }
    }
    memset(a->words, 0, sizeof a->words);
    sim_alarm(sim, a, sim_now(sim) + w->append_ns);
}

struct world *world_new(uint64_t seed, int topics, int partitions)
{
    struct world *w = calloc(1, sizeof *w);
    struct sim_options options = {.seed = seed, .story = getenv("STORY") ? stderr : NULL};
    leat_consumer_options consumer = LEAT_CONSUMER_OPTIONS_INIT;
    w->sim = sim_new(&options);
    w->recorder = recorder_open("group", seed);
    w->topic_count = topics;
    w->partitions = partitions;
    w->broker = fake_broker_new(partitions, seed, "broker", NODES);
    for (int t = 0; t < topics; t++) {
        w->topics[t] = topic_names[t];
        fake_broker_topic(w->broker, topic_names[t]);
    }
    w->broker->committed = record_commit;
    w->broker->committed_context = w;
    w->machine = sim_node_new(w->sim, "broker");
    sim_name(w->sim, "broker", w->machine);
    sim_node_start(w->machine, 1, broker_run, w->broker);
    consumer.session_timeout_ms = 6000;
    consumer.heartbeat_interval_ms = 500;
    consumer.max_poll_interval_ms = 10000;
    consumer.auto_commit_interval_ms = 1000;
    consumer.fetch_max_wait_ms = 100;
    consumer.reset = LEAT_RESET_EARLIEST;
    consumer.buffer_bytes = 1 << 20;
    consumer.batch_max_bytes = 1 << 20;
    consumer.poll_max_records = WORLD_VIEW;
    w->consumer = consumer;
    w->append_ns = 100 * MS;
    w->appending.fire = append_fire;
    sim_alarm(w->sim, &w->appending, 1 * MS);
    return w;
}

void world_run(struct world *w, uint64_t ns)
{
    sim_run(w->sim, sim_now(w->sim) + ns);
}

/* --- a member's program --- */

static int topic_index(const struct world *w, const char *name)
{
    for (int t = 0; t < w->topic_count; t++) {
        if (strcmp(w->topics[t], name) == 0) {
            return t;
        }
    }
    cr_assert(false, "a record of topic %s", name);
    return -1;
}

static void member_drop_state(struct world_member *m)
{
    memset(m->since_ns, 0, sizeof m->since_ns);
}

static void record_change(struct world_member *m, const struct group_change *c)
{
    const struct world *w = m->world;
    char process[16];
    uint64_t now = sim_now(w->sim);
    snprintf(process, sizeof process, "m%d", m->index);
    if (c->kind == LEAT_ASSIGNED) {
        recorder_begin(w->recorder, process, "assign", now, now, "ok",
                       "\"partitions\":[[\"%s\",%d,null]],\"generation\":%d", c->topic,
                       (int)c->partition, m->group.generation);
        recorder_end(w->recorder);
    } else if (c->kind == LEAT_REVOKED || c->kind == LEAT_LOST) {
        recorder_begin(w->recorder, process, "revoke", now, now, "ok",
                       "\"partitions\":[[\"%s\",%d]]", c->topic, (int)c->partition);
        recorder_end(w->recorder);
    }
}

static void record_poll(const struct world_member *m, const leat_record *r)
{
    const struct world *w = m->world;
    char process[16];
    uint64_t now = sim_now(w->sim);
    snprintf(process, sizeof process, "m%d", m->index);
    recorder_begin(w->recorder, process, "poll", now, now, "ok",
                   "\"topic\":\"%s\",\"partition\":%d", r->topic, (int)r->partition);
    recorder_record(w->recorder, r->offset, r->value.data, r->value.len);
    recorder_end(w->recorder);
}

/* What leat_rebalance() would say. */
static void member_changes(struct world_member *m)
{
    struct list *node;
    while ((node = list_pop(&m->group.changes))) {
        struct group_change *c = container_of(node, struct group_change, link);
        uint64_t *since = &m->since_ns[topic_index(m->world, c->topic)][c->partition];
        m->group.change_count--;
        m->assigned += c->kind == LEAT_ASSIGNED;
        m->revoked += c->kind == LEAT_REVOKED;
        m->lost += c->kind == LEAT_LOST;
        *since = c->kind == LEAT_ASSIGNED ? sim_now(m->world->sim) : 0;
        record_change(m, c);
        sim_story(m->world->sim, "m%d %s %s-%d in generation %d", m->index,
                  c->kind == LEAT_ASSIGNED  ? "gets"
                  : c->kind == LEAT_REVOKED ? "lets go of"
                                            : "loses",
                  c->topic, c->partition, m->group.generation);
        memory_free(&m->heap, c);
    }
}

static void member_record(struct world_member *m, const leat_record *r)
{
    struct world *w = m->world;
    int t = topic_index(w, r->topic), p = r->partition;
    int generation = m->group.previous_generation; /* of what it was given */
    struct coord_group *g = coord_find(w->broker, "group");
    struct coord_committed *o = coord_offset(g, r->topic, p);
    cr_assert_lt(r->offset, WORLD_RECORDS);
    record_poll(m, r);
    w->records++;
    if (w->handed[t][p][r->offset] > 0) {
        w->again++;
        sim_story(w->sim, "m%d reads %s-%d from %lld again, %lld is committed", m->index, r->topic,
                  p, (long long)r->offset, (long long)o->offset);
    }
    w->handed[t][p][r->offset]++;
    m->view[m->view_count].topic = t;
    m->view[m->view_count].partition = p;
    m->view[m->view_count++].offset = r->offset;
    if (generation >= 0 && generation < WORLD_GENERATIONS) {
        int16_t *owner = &w->owners[generation][t][p];
        const struct world_member *before = *owner ? w->members[*owner - 1] : m;
        if (before != m) {
            sim_story(w->sim, "m%d and m%d both read %s-%d in generation %d", before->index,
                      m->index, r->topic, p, generation);
        }
        w->shared += before != m && (!m->consumer.group_instance_id[0] ||
                                     strcmp(before->consumer.group_instance_id,
                                            m->consumer.group_instance_id) != 0);
        *owner = (int16_t)(m->index + 1);
    }
    if (generation == g->generation && r->offset < o->offset &&
        strcmp(o->owner, m->group.member_id) == 0) {
        sim_story(w->sim, "m%d reads %s-%d from %lld, %lld is committed", m->index, r->topic, p,
                  (long long)r->offset, (long long)o->offset);
        w->regressed++;
    }
    uint64_t since = m->since_ns[t][p], made = (uint64_t)r->timestamp_ms * MS;
    if (since && made > since + 1000 * MS && !m->zombie && sim_now(w->sim) > made) {
        uint64_t waited = sim_now(w->sim) - made;
        w->late_ns = waited > w->late_ns ? waited : w->late_ns;
    }
}

static void member_done(struct world_member *m)
{
    for (int i = 0; i < m->view_count; i++) {
        m->world->done[m->view[i].topic][m->view[i].partition][m->view[i].offset] = true;
    }
    m->view_count = 0;
}

static void member_wake(struct world_member *m)
{
    m->poller.wake = false;
    fetcher_wake(&m->fetcher);
    group_wake(&m->group);
}

static void member_gone(struct core *core)
{
    struct world_member *m = container_of(core, struct world_member, core);
    cr_assert_eq(io_memory(m->io)->used_bytes, 0, "m%d left memory behind", m->index);
    m->gone = true;
    m->running = false;
    io_stop(m->io);
}

static void member_fetcher_closed(struct fetcher *f)
{
    struct world_member *m = container_of(f, struct world_member, fetcher);
    poller_close(&m->poller);
    core_close(&m->core, member_gone);
}

static void member_left(struct group *g)
{
    struct world_member *m = container_of(g, struct world_member, group);
    fetcher_close(&m->fetcher, member_fetcher_closed);
}

static void member_ticked(struct io_op *op, int64_t result)
{
    struct world_member *m = container_of(op, struct world_member, tick);
    member_done(m);
    if (m->leaving) {
        poller_drop_all(&m->poller);
        group_close(&m->group, io_now(m->io) + 5000 * MS, member_left);
        return;
    }
    if (group_poll_begin(&m->group)) {
        m->poller.wake = true;
    }
    poller_begin(&m->poller);
    leat_error e = {0};
    int count = poller_next(&m->poller, &e);
    member_changes(m);
    for (int i = 0; i < count; i++) {
        member_record(m, &m->poller.records[i]);
    }
    if (count < 0) {
        m->failure = e;
    }
    group_poll_end(&m->group, io_now(m->io));
    if (m->poller.wake) {
        member_wake(m);
    }
    io_timer(m->io, &m->tick, io_now(m->io) + m->tick_ns);
}

static void member_run(struct io *io, void *argument)
{
    struct world_member *m = argument;
    struct address addresses[NODES] = {0};
    for (int i = 0; i < NODES; i++) {
        snprintf(addresses[i].host, sizeof addresses[i].host, "broker");
        addresses[i].port = (uint16_t)(9092 + i);
    }
    m->io = io;
    cr_assert_eq(core_open(&m->core, io, &m->gate, &m->options, addresses, NODES), 0);
    fetcher_open(&m->fetcher, &m->core, &m->gate, &m->heap, &m->consumer, m->fetcher.arrived);
    group_start(&m->group, &m->core, &m->gate, &m->heap, &m->fetcher, &m->consumer, "group",
                m->group.changed);
    leat_record *records = memory_alloc(&m->heap, m->consumer.poll_max_records * sizeof *records);
    poller_open(&m->poller, &m->fetcher, &m->group, &m->gate, &m->consumer, records);
    m->running = true;
}

static void arrived(struct fetcher *f)
{
}

static void changed(struct group *g)
{
}

/* Subscribing happens in the first turn, as the start does. */
static void member_start(struct io *io, void *argument)
{
    struct world_member *m = argument;
    struct subscription_wish *wish;
    leat_error e;
    member_run(io, m);
    cr_assert_eq(wish_new(&m->group, m->names, m->name_count, &wish, &e), 0, "%s", e.message);
    group_wish(&m->group, wish, false);
    group_wake(&m->group);
    m->tick.done = member_ticked;
    io_timer(io, &m->tick, io_now(io) + m->tick_ns);
}

struct world_member *world_join(struct world *w, const char *instance, const char *const *names,
                                size_t count)
{
    struct world_member *m = calloc(1, sizeof *m);
    leat_options options = LEAT_OPTIONS_INIT;
    char name[16];
    cr_assert_lt(w->member_count, WORLD_MEMBERS);
    m->world = w;
    m->index = w->member_count;
    w->members[w->member_count++] = m;
    memory_init(&m->heap, 64 << 20);
    m->gate = gate_none();
    options.timeout_ms = 5000;
    options.request_timeout_ms = 3000;
    m->options = options;
    m->consumer = w->consumer;
    if (instance) {
        snprintf(m->consumer.group_instance_id, sizeof m->consumer.group_instance_id, "%s",
                 instance);
    }
    m->tick_ns = 50 * MS;
    m->fetcher.arrived = arrived;
    m->group.changed = changed;
    m->names = names ? names : w->topics;
    m->name_count = names ? count : (size_t)w->topic_count;
    snprintf(name, sizeof name, "m%d", m->index);
    m->node = sim_node_new(w->sim, name);
    sim_node_start(m->node, 1, member_start, m);
    return m;
}

void world_leave(struct world *w, struct world_member *m)
{
    m->leaving = true;
    sim_story(w->sim, "m%d leaves", m->index);
}

static void member_forget(struct world_member *m)
{
    if (!m->gone && m->running) {
        memory_drop(&m->poller.scratch);
    }
    m->running = false;
    m->gone = true;
}

void world_kill(struct world *w, struct world_member *m)
{
    if (sim_node_state(m->node) == SIM_RUNNING) {
        sim_node_kill(m->node);
        member_forget(m);
        member_drop_state(m);
    }
}

void world_freeze(struct world *w, struct world_member *m, uint64_t ns)
{
    m->zombie = true;
    sim_story(w->sim, "m%d freezes for %llu ms", m->index, (unsigned long long)(ns / MS));
    sim_node_pause(m->node, sim_now(w->sim) + ns);
}

void world_free(struct world *w)
{
    for (int i = 0; i < w->member_count; i++) {
        world_kill(w, w->members[i]);
        memory_drop(&w->members[i]->heap);
    }
    sim_node_kill(w->machine);
    list_each (node, &w->broker->peers) {
        struct peer *p = container_of(node, struct peer, link);
        free(p->in);
        free(p);
    }
    list_init(&w->broker->peers);
    sim_free(w->sim);
    recorder_close(w->recorder);
    fake_broker_free(w->broker);
    for (int i = 0; i < w->member_count; i++) {
        free(w->members[i]);
    }
    free(w);
}

/* --- checks --- */

size_t world_held(const struct world_member *m)
{
    return m->running ? m->fetcher.assigned_count : 0;
}

bool world_settled(const struct world *w)
{
    int32_t generation = -1;
    size_t held = 0;
    for (int i = 0; i < w->member_count; i++) {
        const struct world_member *m = w->members[i];
        if (m->gone) {
            continue;
        }
        if (!m->running || m->leaving || m->group.state != GROUP_STABLE || m->group.rejoin ||
            m->group.release != RELEASE_NONE ||
            (generation >= 0 && generation != m->group.generation)) {
            return false;
        }
        generation = m->group.generation;
        held += world_held(m);
    }
    struct coord_group *g = coord_find(w->broker, "group");
    return g->state == COORD_STABLE && g->generation == generation &&
           held == (size_t)(w->topic_count * w->partitions);
}

bool world_settle(struct world *w, uint64_t most_ns)
{
    uint64_t until = sim_now(w->sim) + most_ns;
    while (!world_settled(w) && sim_now(w->sim) < until) {
        world_run(w, 20 * MS);
    }
    for (int i = 0; i < w->member_count && !world_settled(w); i++) {
        const struct world_member *m = w->members[i];
        sim_story(w->sim, "m%d%s: state %d, generation %d, release %d, holds %zu", i,
                  m->gone ? " (gone)" : "", m->group.state, m->group.generation, m->group.release,
                  world_held(m));
    }
    return world_settled(w);
}

static int world_missing(const struct world *w)
{
    int missing = 0;
    for (int t = 0; t < w->topic_count; t++) {
        for (int p = 0; p < w->partitions; p++) {
            int64_t end = fake_broker_end(w->broker, w->topics[t], p);
            for (int64_t o = 0; o < end; o++) {
                missing += !w->done[t][p][o];
            }
        }
    }
    return missing;
}

void world_check(struct world *w, bool once)
{
    const struct coord_counts *c = &w->broker->group_counts;
    w->append_ns = 0;
    for (int i = 0; i < w->member_count; i++) {
        w->members[i]->tick_ns = 50 * MS; /* a slow program would read for a long time */
    }
    cr_assert(world_settle(w, 60000 * MS), "the group does not settle");
    for (int i = 0; i < 300 && world_missing(w); i++) {
        world_run(w, 100 * MS);
    }
    cr_assert_eq(world_missing(w), 0, "%d records were never done with", world_missing(w));
    cr_assert_eq(w->shared, 0, "a partition had two owners in one generation");
    cr_assert_eq(w->regressed, 0, "what was committed was read again");
    cr_assert_eq(c->doubles, 0, "the leader gave a partition to two members");
    cr_assert_eq(c->backwards, 0, "a commit went backwards");
    cr_assert_eq(c->strangers, 0, "a member committed what was another's");
    cr_assert_eq(c->unsubscribed, 0, "an assignment cannot be read");
    if (once) {
        cr_assert_eq(w->again, 0, "%llu of %llu records came twice", (unsigned long long)w->again,
                     (unsigned long long)w->records);
    }
}
