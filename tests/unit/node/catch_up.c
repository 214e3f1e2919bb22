/* SPDX-License-Identifier: Apache-2.0 */

/* Three whole brokers, of which one was away while the others wrote metadata and took snapshots: the log of its
 * leader begins behind its own end, and it catches up by the snapshot. It is killed and cut off from power at every
 * operation of that, stopped, and left by its leader; afterwards all three have the same image. */
#include "config/config.h"
#include "meta/meta_private.h"
#include "meta/quorum_wire.h"
#include "node_private.h"
#include "sim/sim.h"
#include "unit/meta/support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { BROKERS = 3, OPS = 60, TOPICS = 6, HEAP = 16 << 20 };

struct broker {
    struct world *world;
    struct sim_node *machine;
    struct memory config_memory, memory;
    struct config *config;
    struct node *node;
    bool ready, ended;
    int status;
};

/* Operations that the leader decides one behind the other. */
struct scribe {
    struct meta *meta;
    struct io_message begin;
    struct meta_op op;
    const char *topics; /* what their names begin with */
    char name[16];
    unsigned done, refused;
    bool over;
};

struct world {
    struct sim *sim;
    struct broker brokers[BROKERS];
    struct scribe scribe;
};

static const uint64_t ms = UINT64_C(1000000);

static void refuse_line(void *context, const char *line)
{
    cr_assert_fail("%s", line);
}

static void configure(struct broker *b, int id)
{
    char node[64], listeners[64];
    snprintf(node, sizeof node, "%d", id);
    snprintf(listeners, sizeof listeners, "n%d:9092", id);
    const struct config_setting settings[] = {
        {"--data", "data.dir", "/var/lib/leat"}, {"--set", "journal.file.bytes", "1MiB"},
        {"--set", "journal.bytes.max", "16MiB"}, {"--set", "node.id", node},
        {"--set", "security.open", "true"},      {"--set", "peers", "n1:9092,n2:9092,n3:9092"},
        {"--set", "listeners", listeners},
    };
    struct config_input input = {.settings = settings, .setting_count = array_size(settings)};
    cr_assert_eq(config_load(&b->config, &b->config_memory, &input, refuse_line, NULL), 0);
}

static void ready(void *context, const char *line, uint16_t port)
{
    struct broker *b = context;
    b->ready = true;
}

static void ended(void *context, int status, const char *line)
{
    struct broker *b = context;
    b->ended = true;
    b->status = status;
}

static void begin(struct broker *b)
{
    memory_drop(&b->memory);
    memory_init(&b->memory, HEAP);
    const struct node_options options = {
        .config = b->config,
        .shards = 2,
        .metadata_snapshot_bytes = 1500,
        .metadata_piece_bytes = 700,
        .ready = ready,
        .ended = ended,
        .context = b,
    };
    b->ready = b->ended = false;
    b->status = -1;
    b->node = node_new(&b->memory, &options);
    cr_assert_not_null(b->node);
    sim_node_start(b->machine, 2, node_start, b->node);
}

static void world_open(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->sim = sim_new(&(struct sim_options){.seed = seed, .catch_asserts = true});
    for (int i = 0; i < BROKERS; i++) {
        struct broker *b = &w->brokers[i];
        char name[8];
        snprintf(name, sizeof name, "n%d", i + 1);
        b->world = w;
        b->machine = sim_node_new(w->sim, name);
        memory_init(&b->config_memory, HEAP);
        memory_init(&b->memory, HEAP);
        configure(b, i + 1);
    }
}

static void world_close(struct world *w)
{
    sim_free(w->sim);
    for (int i = 0; i < BROKERS; i++) {
        struct broker *b = &w->brokers[i];
        memory_drop(&b->memory);
        config_free(b->config);
        memory_drop(&b->config_memory);
    }
}

static bool runs(const struct broker *b)
{
    return sim_node_state(b->machine) == SIM_RUNNING;
}

static const struct meta *meta_of(const struct broker *b)
{
    return runs(b) ? b->node->meta : NULL;
}

/* Lets time pass until `is` holds, a minute at most. */
static void run_until(struct world *w, bool (*is)(struct world *w), const char *what)
{
    uint64_t until = sim_now(w->sim) + 60000 * ms;
    while (!is(w)) {
        cr_assert_lt(sim_now(w->sim), until, "%s does not come", what);
        cr_assert(sim_step(w->sim));
        for (int i = 0; i < BROKERS; i++) {
            enum sim_state state = sim_node_state(w->brokers[i].machine);
            cr_assert(state != SIM_ASSERTED && state != SIM_FATAL, "node %d, waiting for %s: %s",
                      i + 1, what, sim_node_last_line(w->brokers[i].machine));
            cr_assert(!w->brokers[i].ended || w->brokers[i].status == 0, "node %d ended", i + 1);
        }
    }
}

static struct broker *leader(struct world *w)
{
    for (int i = 0; i < BROKERS; i++) {
        const struct meta *m = meta_of(&w->brokers[i]);
        if (m && m->leading && m->state == META_ACTIVE) {
            return &w->brokers[i];
        }
    }
    return NULL;
}

static bool all_serve(struct world *w)
{
    for (int i = 0; i < BROKERS; i++) {
        if (runs(&w->brokers[i]) && !w->brokers[i].ready) {
            return false;
        }
    }
    return leader(w) != NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void written(struct meta_op *op);

static void write_next(struct scribe *t)
{
    bool topic = t->done % (OPS / TOPICS) == 0;
    t->op = (struct meta_op){.done = written, .kind = META_PRODUCER_IDS};
    if (topic) {
        snprintf(t->name, sizeof t->name, "%s-%u", t->topics, t->done);
        t->op.kind = META_CREATE_TOPIC;
        t->op.topic = t->name;
        t->op.partitions = 2;
        t->op.replication_factor = -1;
    }
    meta_submit(t->meta, t->meta->io, &t->op);
}

static void written(struct meta_op *op)
{
    struct scribe *t = container_of(op, struct scribe, op);
    t->refused += op->error != 0;
    if (++t->done < OPS) {
        write_next(t);
    } else {
        t->over = true;
    }
}

static void write_here(struct io_message *message, struct io *io)
{
    write_next(container_of(message, struct scribe, begin));
}

static bool writing_is_over(struct world *w)
{
    return w->scribe.over;
}

static void write_much(struct world *w, const char *topics)
{
    struct broker *b = leader(w);
    w->scribe =
        (struct scribe){.meta = b->node->meta, .begin.deliver = write_here, .topics = topics};
    io_post(sim_node_shard(b->machine, 0), 0, &w->scribe.begin);
    run_until(w, writing_is_over, "the end of writing");
    cr_assert_eq(w->scribe.refused, 0);
}

/* --- checks ----------------------------------------------------------------------------------- */

static void expect_same(const struct image *a, const struct image *b)
{
    char *x = image_text(a), *y = image_text(b);
    cr_assert_str_eq(x, y);
    cr_assert_eq(image_epoch(a), image_epoch(b));
    cr_assert_eq(image_controller(a), image_controller(b));
    cr_assert_eq(image_timestamp(a), image_timestamp(b));
    free(x);
    free(y);
}

static bool all_agree(struct world *w)
{
    const struct meta *first = meta_of(&w->brokers[0]);
    for (int i = 0; i < BROKERS; i++) {
        const struct meta *m = meta_of(&w->brokers[i]);
        if (!m || !w->brokers[i].ready || m->state != META_ACTIVE ||
            image_broker_count(m->image) != BROKERS ||
            image_offset(m->image) != image_offset(first->image) ||
            log_status(m->log).end_offset != image_offset(m->image) + 1) {
            return false;
        }
        for (uint32_t k = 0; k < BROKERS; k++) {
            if (image_broker_at(m->image, k)->fenced) {
                return false;
            }
        }
        const struct image_broker *own = image_broker_by_id(m->image, meta_self(m).node);
        if (!m->membership.registered || own->epoch != m->broker_epoch) {
            return false; /* that is its former life */
        }
    }
    for (int i = 1; i < BROKERS; i++) {
        expect_same(meta_of(&w->brokers[i])->image, first->image);
    }
    cr_assert_geq(image_topic_count(first->image), TOPICS);
    return true;
}

/* The one that is away: the leader, or not. */
static struct broker *away(struct world *w, uint64_t seed)
{
    struct broker *b = leader(w);
    return seed % 3 == 0 ? b : b == &w->brokers[2] ? &w->brokers[0] : &w->brokers[2];
}

/* One is away, and the others' logs begin behind its end. */
static struct broker *left_behind(struct world *w, uint64_t seed)
{
    world_open(w, seed);
    for (int i = 0; i < BROKERS; i++) {
        begin(&w->brokers[i]);
    }
    run_until(w, all_serve, "a cluster");
    struct broker *b = away(w, seed);
    int64_t end = log_status(meta_of(b)->log).end_offset;
    sim_node_power_cut(b->machine);
    run_until(w, all_serve, "another leader");
    write_much(w, "topic");
    run_until(w, all_serve, "the end of all snapshots");
    cr_assert_gt(log_status(meta_of(leader(w))->log).start_offset, end + 5);
    return b;
}

static struct broker *watched;

static bool loads(struct world *w)
{
    const struct meta *m = meta_of(watched);
    return m && m->load.active;
}

static bool has_loaded(struct world *w)
{
    const struct meta *m = meta_of(watched);
    return m && !m->load.active && image_topic_count(m->image) >= TOPICS;
}

static bool is_down(struct world *w)
{
    return !runs(watched);
}

/* Operations of the returning node from before its load to behind it. */
static void measure(uint64_t seed, uint64_t *from, uint64_t *to)
{
    struct world w;
    watched = left_behind(&w, seed);
    begin(watched);
    run_until(&w, loads, "a load");
    *from = sim_node_operations(watched->machine);
    *from = *from > 12 ? *from - 12 : 1;
    run_until(&w, has_loaded, "what was loaded");
    *to = sim_node_operations(watched->machine) + 4;
    cr_assert_gt(log_status(meta_of(watched)->log).start_offset, 0);
    run_until(&w, all_agree, "agreement");
    world_close(&w);
}

static void crash_at_every_operation(uint64_t seed, enum sim_crash_kind kind)
{
    uint64_t from, to;
    measure(seed, &from, &to);
    cr_assert_gt(to - from, 25, "%" PRIu64 " to %" PRIu64, from, to);
    for (uint64_t at = from; at <= to; at++) {
        struct world w;
        watched = left_behind(&w, seed);
        begin(watched);
        sim_crash_after(watched->machine, at, kind);
        run_until(&w, is_down, "the crash");
        begin(watched);
        run_until(&w, all_agree, "agreement after a crash");
        sim_node_power_cut(watched->machine); /* and what stands there now starts as well */
        begin(watched);
        run_until(&w, all_agree, "agreement after another");
        world_close(&w);
    }
}

Test(catch_up, by_the_snapshot_of_the_leader)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t from, to;
        measure(seed, &from, &to);
    }
}

Test(catch_up, killed_at_every_operation_of_the_load)
{
    for (uint64_t seed = 21; seed <= 24; seed++) {
        crash_at_every_operation(seed, SIM_CRASH_KILL);
    }
}

Test(catch_up, without_power_at_every_operation_of_the_load)
{
    for (uint64_t seed = 31; seed <= 34; seed++) {
        crash_at_every_operation(seed, SIM_CRASH_POWER);
    }
}

/* --- stopped, and left ------------------------------------------------------------------------ */

/* The load has begun, and so many events have happened since. */
static void into_the_load(struct world *w, uint64_t seed, unsigned events)
{
    watched = left_behind(w, seed);
    begin(watched);
    run_until(w, loads, "a load");
    for (unsigned i = 0; i < events; i++) {
        sim_step(w->sim);
    }
}

static void stop_here(struct io_message *message, struct io *io)
{
    node_stop(watched->node);
}

Test(catch_up, stopped_while_it_loads)
{
    unsigned loading = 0;
    for (unsigned events = 0; events < 160; events += 4) {
        struct world w;
        struct io_message stop = {.deliver = stop_here};
        into_the_load(&w, 41 + events, events);
        loading += loads(&w);
        io_post(sim_node_shard(watched->machine, 0), 0, &stop);
        run_until(&w, is_down, "the stop");
        cr_assert_eq(sim_node_state(watched->machine), SIM_STOPPED);
        begin(watched);
        run_until(&w, all_agree, "agreement after a stop");
        world_close(&w);
    }
    cr_assert_gt(loading, 10);
}

Test(catch_up, its_leader_goes_while_it_loads)
{
    unsigned loading = 0;
    for (unsigned events = 0; events < 160; events += 4) {
        struct world w;
        into_the_load(&w, 241 + events, events);
        loading += loads(&w);
        struct broker *gone = leader(&w);
        sim_node_kill(gone->machine);
        run_until(&w, all_serve, "another leader");
        begin(gone);
        run_until(&w, all_agree, "agreement with another leader");
        world_close(&w);
    }
    cr_assert_gt(loading, 10);
}

/* What is loaded is older than what the leader has by then, and may be gone from its disk. */
Test(catch_up, while_the_leader_writes_on)
{
    for (unsigned events = 0; events < 160; events += 8) {
        struct world w;
        into_the_load(&w, 441 + events, events);
        write_much(&w, "more");
        run_until(&w, all_agree, "agreement with who writes on");
        world_close(&w);
    }
}

static void cut_off(struct world *w, const struct broker *b, enum sim_link link)
{
    unsigned number = (unsigned)(b - w->brokers);
    for (unsigned i = 0; i < BROKERS; i++) {
        if (i != number) {
            sim_link_set(w->sim, i, number, link);
            sim_link_set(w->sim, number, i, link);
        }
    }
}

/* It was there all the time, perhaps as the leader, and serves what it knew. */
Test(catch_up, after_it_was_cut_off)
{
    for (uint64_t seed = 61; seed < 73; seed++) {
        struct world w;
        world_open(&w, seed);
        for (int i = 0; i < BROKERS; i++) {
            begin(&w.brokers[i]);
        }
        run_until(&w, all_serve, "a cluster");
        watched = away(&w, seed);
        int64_t end = log_status(meta_of(watched)->log).end_offset;
        cut_off(&w, watched, SIM_LINK_CUT);
        sim_run(w.sim, sim_now(w.sim) + 10000 * ms);
        cr_assert_neq(leader(&w), watched, "it hears nobody (R6)");
        run_until(&w, all_serve, "another leader");
        write_much(&w, "topic");
        cr_assert_gt(log_status(meta_of(leader(&w))->log).start_offset, end + 5);
        cut_off(&w, watched, SIM_LINK_UP);
        run_until(&w, loads, "a load");
        run_until(&w, all_agree, "agreement");
        world_close(&w);
    }
}

/* --- what the leader answers ------------------------------------------------------------------ */

struct question {
    struct meta *meta;
    int32_t to;
    struct io_message begin;
    struct peer_request request;
    struct snapshot_request ask;
    struct snapshot_answer answer;
    int error;
    bool over;
};

static struct question *asked;

static int encode_question(struct peer_request *r, struct wire_writer *w, int version)
{
    struct question *q = container_of(r, struct question, request);
    return snapshot_request_encode(&q->ask, q->meta->cluster_text, version, w);
}

static void ask_here(struct io_message *message, struct io *io);

static void question_answered(struct peer_request *r, const struct peer_answer *a)
{
    struct question *q = container_of(r, struct question, request);
    if (a->error == ERR_NETWORK_EXCEPTION) { /* a connection that is of the life before */
        ask_here(&q->begin, q->meta->io);
        return;
    }
    assert(!a->error);
    q->error = snapshot_answer_decode(&q->ask, a->version, bytes_of(a->body.data, a->body.size),
                                      q->meta->memory, &q->answer);
    q->over = true;
}

static void ask_here(struct io_message *message, struct io *io)
{
    struct question *q = container_of(message, struct question, begin);
    q->request = (struct peer_request){.key = WIRE_FETCH_SNAPSHOT,
                                       .version_min = SNAPSHOT_FETCH_VERSION,
                                       .version_max = SNAPSHOT_FETCH_VERSION,
                                       .encode = encode_question,
                                       .done = question_answered};
    bool way = links_call(q->meta, q->to, &q->request);
    assert(way);
}

static bool is_answered(struct world *w)
{
    return asked->over;
}

/* One broker asks another; 0, or why there is no piece. */
static int ask(struct world *w, struct broker *from, struct broker *to, struct snapshot_request r,
               struct snapshot_answer *out)
{
    struct question q = {.meta = from->node->meta,
                         .to = meta_self(to->node->meta).node,
                         .begin.deliver = ask_here,
                         .ask = r};
    q.ask.from = meta_self(from->node->meta);
    asked = &q;
    io_post(sim_node_shard(from->machine, 0), 0, &q.begin);
    run_until(w, is_answered, "an answer");
    *out = q.answer;
    return q.error ? q.error : q.answer.error;
}

Test(catch_up, what_a_leader_says_to_who_asks_for_a_snapshot)
{
    struct world w;
    struct snapshot_answer a;
    watched = left_behind(&w, 1);
    begin(watched);
    run_until(&w, all_agree, "agreement");
    struct broker *to = leader(&w);
    const struct meta *m = meta_of(to);
    struct snapshot_id last = m->last_snapshot;
    struct snapshot_request good = {
        .epoch = raft_status(m->quorum.raft).epoch,
        .id = {last.epoch, last.end_offset},
        .bytes_max = 100,
    };
    cr_assert_eq(ask(&w, watched, to, good, &a), 0);
    cr_assert_eq(a.piece.size, 100);
    int64_t size = a.size;
    cr_assert_gt(size, 700, "of several pieces");
    struct snapshot_request r = good;
    r.position = size - 7;
    cr_assert_eq(ask(&w, watched, to, r, &a), 0);
    cr_assert_eq(a.piece.size, 7);
    r.position = size;
    cr_assert_eq(ask(&w, watched, to, r, &a), ERR_POSITION_OUT_OF_RANGE);
    r.position = INT64_MAX;
    cr_assert_eq(ask(&w, watched, to, r, &a), ERR_POSITION_OUT_OF_RANGE);
    r = good;
    r.bytes_max = INT32_MAX;
    cr_assert_eq(ask(&w, watched, to, r, &a), 0);
    cr_assert_eq((int64_t)a.piece.size, size);
    r = good;
    r.id.offset--;
    cr_assert_eq(ask(&w, watched, to, r, &a), ERR_SNAPSHOT_NOT_FOUND);
    r = good;
    r.id.epoch++;
    cr_assert_eq(ask(&w, watched, to, r, &a), ERR_SNAPSHOT_NOT_FOUND);
    r = good;
    r.epoch--;
    cr_assert_eq(ask(&w, watched, to, r, &a), ERR_FENCED_LEADER_EPOCH);
    r.epoch = good.epoch + 1;
    cr_assert_eq(ask(&w, watched, to, r, &a), ERR_UNKNOWN_LEADER_EPOCH);
    cr_assert_eq(ask(&w, to, watched, good, &a), ERR_NOT_LEADER_OR_FOLLOWER);
    run_until(&w, all_agree, "agreement");
    world_close(&w);
}

/* --- a copy of a voter's directory ------------------------------------------------------------ */

struct copy {
    struct meta *meta; /* of the original, whose connections it borrows */
    int32_t to;
    struct io_message begin;
    struct peer_request request;
    struct raft_message fetch;
    struct uuid incarnation;
    bool over;
};

static struct copy *copied;

static int encode_fetch(struct peer_request *r, struct wire_writer *w, int version)
{
    struct copy *c = container_of(r, struct copy, request);
    return quorum_request_encode(&c->fetch, c->meta->cluster_text, NULL, c->incarnation, version,
                                 w);
}

static void fetch_answered(struct peer_request *r, const struct peer_answer *a)
{
    struct copy *c = container_of(r, struct copy, request);
    assert(!a->error);
    c->over = true;
}

static void fetch_here(struct io_message *message, struct io *io)
{
    struct copy *c = container_of(message, struct copy, begin);
    struct quorum_api api = quorum_api_of(RAFT_FETCH);
    c->request = (struct peer_request){.key = api.key,
                                       .version_min = api.min,
                                       .version_max = api.max,
                                       .encode = encode_fetch,
                                       .done = fetch_answered};
    bool way = links_call(c->meta, c->to, &c->request);
    assert(way);
}

static bool is_fetched(struct world *w)
{
    return copied->over;
}

/* Fetches from the leader as this voter, in another process of it; how many replicas the leader knows then. */
static uint32_t fetch_as(struct world *w, struct broker *voter, struct broker *to,
                         struct uuid incarnation, struct raft_replica *out)
{
    struct raft_status status = raft_status(meta_of(to)->quorum.raft);
    struct copy c = {.meta = voter->node->meta,
                     .to = meta_self(to->node->meta).node,
                     .begin.deliver = fetch_here,
                     .incarnation = incarnation};
    c.fetch = (struct raft_message){.kind = RAFT_FETCH,
                                    .from = meta_self(voter->node->meta),
                                    .to = meta_self(to->node->meta),
                                    .epoch = status.epoch,
                                    .leader = status.leader,
                                    .end = status.end};
    copied = &c;
    io_post(sim_node_shard(voter->machine, 0), 0, &c.begin);
    run_until(w, is_fetched, "an answer");
    return raft_replicas(meta_of(to)->quorum.raft, sim_now(w->sim), out);
}

/* What another process has of a voter's log counts when the one that is registered is not heard any more, or does not
 * say which it is, as an older release. */
Test(catch_up, a_copy_of_a_voter_does_not_count)
{
    struct world w;
    struct raft_replica replicas[RAFT_REPLICAS_MAX];
    watched = left_behind(&w, 1);
    begin(watched);
    run_until(&w, all_agree, "agreement");
    struct broker *to = leader(&w);
    struct raft_id self = meta_self(watched->node->meta);
    struct uuid other = {{7}};
    uint32_t count = fetch_as(&w, watched, to, meta_of(watched)->membership.incarnation, replicas);
    cr_assert_eq(count, BROKERS);
    cr_assert_eq(fetch_as(&w, watched, to, (struct uuid){0}, replicas), (uint32_t)BROKERS);
    count = fetch_as(&w, watched, to, other, replicas);
    cr_assert_eq(count, BROKERS + 1);
    cr_assert_eq(replicas[BROKERS].id.node, self.node);
    cr_assert(uuid_is_zero(replicas[BROKERS].id.directory) && !replicas[BROKERS].voter);
    world_close(&w);
}
