/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_load.h"

#include <inttypes.h>
#include <string.h>

enum { UNSETTLED_MAX = 300 };

static void violated(void *context, const char *why)
{
    const struct load *l = context;
    world_violation(l->world, "%s", why);
}

static const char *topic_of(const struct load *l, unsigned log)
{
    return l->logs[log].topic->told->name;
}

/* --- producers --------------------------------------------------------------------------------- */

static unsigned writer_for(struct program *p, unsigned log)
{
    const struct load *l = p->load;
    if (!p->writes[log]) {
        p->writes[log] = true;
        p->writers[log] =
            history_writer(l->history, &(struct history_writer_options){
                                           .log = l->logs[log].log,
                                           .acks = (int16_t)p->acks,
                                           .idempotent = p->idempotent,
                                           .large = p->large,
                                           .lossless = l->world->options.replication_factor == 1,
                                       });
    }
    return p->writers[log];
}

static void send_one(struct program *p, uint64_t now)
{
    struct load *l = p->load;
    unsigned log = p->logs[prng_below(&p->random, p->log_count)];
    unsigned writer = writer_for(p, log);
    uint32_t number;
    size_t size;
    const void *value = history_send(l->history, writer, now, &number, &size);
    uint64_t tag = (uint64_t)(log + 1) << 32 | number;
    char key[16];
    int32_t of_key = history_key(l->history, writer, number);
    int key_size = of_key < 0 ? 0 : snprintf(key, sizeof key, "%s%d", WORLD_KEY, (int)of_key);
    if (client_produce(p->client, topic_of(l, log), l->logs[log].partition, tag,
                       bytes_of(key, (size_t)key_size), bytes_of(value, size),
                       history_tombstone(l->history, writer, number))) {
        history_take_back(l->history, writer, number);
    }
}

static void producer_tick(struct program *p)
{
    const struct load *l = p->load;
    if (l->sending && client_unsettled(p->client) < UNSETTLED_MAX) {
        unsigned records = 1 + (unsigned)prng_below(&p->random, p->burst);
        for (unsigned i = 0; i < records; i++) {
            send_one(p, sim_now(l->world->sim));
        }
    }
}

static void settled(void *context, const struct client_report *r)
{
    struct program *p = context;
    struct load *l = p->load;
    unsigned log = (unsigned)(r->tag >> 32) - 1;
    uint32_t number = (uint32_t)r->tag;
    assert(log < l->log_count && p->writes[log]);
    if (r->code) {
        sim_story(l->world->sim, "%s: number %u of w%u to %s-%d: %s",
                  sim_node_name(client_machine(p->client)), number, p->writers[log],
                  topic_of(l, log), (int)l->logs[log].partition, r->message);
    }
    history_settled(l->history, p->writers[log], number, r->code ? HISTORY_UNKNOWN : HISTORY_ACKED,
                    r->offset, sim_now(l->world->sim));
}

/* --- readers ----------------------------------------------------------------------------------- */

static void begin_reading(struct program *p, unsigned log, bool earliest)
{
    struct load *l = p->load;
    sim_story(l->world->sim, "%s: reads %s-%d from the %s",
              sim_node_name(client_machine(p->client)), topic_of(l, log),
              (int)l->logs[log].partition, earliest ? "start" : "end");
    history_start(l->history, &p->readings[log], l->logs[log].log, earliest);
    client_assign(p->client, topic_of(l, log), l->logs[log].partition,
                  earliest ? CLIENT_EARLIEST : CLIENT_LATEST);
}

static void reader_tick(struct program *p)
{
    for (unsigned i = 0; i < p->log_count && !p->assigned; i++) {
        begin_reading(p, p->logs[i], prng_below(&p->random, 2) == 0);
    }
    p->assigned = true;
    if (prng_below(&p->random, 200) == 0) {
        begin_reading(p, p->logs[prng_below(&p->random, p->log_count)],
                      prng_below(&p->random, 4) == 0);
    }
}

unsigned load_log(const struct load *l, const char *topic, int32_t partition)
{
    for (unsigned i = 0; i < l->log_count; i++) {
        if (l->logs[i].partition == partition && strcmp(topic_of(l, i), topic) == 0) {
            return i;
        }
    }
    world_violation(l->world, "C28 corrupt_served: nobody reads %s-%d", topic, (int)partition);
}

static struct history_reading *reading_of(struct program *p, const char *topic, int32_t partition)
{
    return &p->readings[load_log(p->load, topic, partition)];
}

static void starts(void *context, const char *topic, int32_t partition, int64_t offset)
{
    struct program *p = context;
    sim_story(p->load->world->sim, "%s: %s-%d begins at %" PRId64,
              sim_node_name(client_machine(p->client)), topic, (int)partition, offset);
    history_starts(p->load->history, reading_of(p, topic, partition), offset);
}

static void reads(void *context, const struct client_record *r)
{
    struct program *p = context;
    history_read(p->load->history, reading_of(p, r->topic, r->partition), r->offset, r->value,
                 r->size, r->tombstone, sim_now(p->load->world->sim));
}

static void fails(void *context, int code, const char *message)
{
    const struct program *p = context;
    world_violation(p->load->world, "C19 stuck_client: %s cannot read on: %s (%d)",
                    sim_node_name(client_machine(p->client)), message, code);
}

/* --- clients ----------------------------------------------------------------------------------- */

static void tick(void *context)
{
    struct program *p = context;
    if (p->reads) {
        reader_tick(p);
    } else {
        producer_tick(p);
    }
}

static void nothing(void *context)
{
}

static void program_start(struct program *p)
{
    p->restart_ns = 0;
    p->assigned = false;
    memset(p->writes, 0, sizeof p->writes);
    memset(p->readings, 0, sizeof p->readings);
    memset(p->holdings, 0, sizeof p->holdings);
    p->generation = -1;
    client_start(p->client);
}

struct program *load_program(struct load *l, const struct client_options *options)
{
    struct program *p = &l->programs[l->count];
    struct client_options o = *options;
    assert(l->count < array_size(l->programs));
    p->load = l;
    p->random = prng_split(&l->random, 1000 + l->count);
    p->reads = o.consumes;
    p->acks = o.acks;
    p->idempotent = o.idempotent;
    o.nodes = l->world->count;
    if (!o.group) {
        o.program = (struct client_program){.tick = o.program.tick ? o.program.tick : tick,
                                            .settled = settled,
                                            .starts = starts,
                                            .reads = reads,
                                            .fails = fails};
    }
    o.program.context = p;
    p->client = client_new(l->world->sim, &o);
    l->count++;
    return p;
}

/* Readers stay with topics that stay. */
static void choose_logs(struct program *p)
{
    const struct load *l = p->load;
    unsigned most = 1 + (unsigned)prng_below(&p->random, 4);
    for (unsigned tries = 0; tries < 50 && p->log_count < most; tries++) {
        unsigned log = (unsigned)prng_below(&p->random, l->log_count), i = 0;
        while (i < p->log_count && p->logs[i] != log) {
            i++;
        }
        if (i == p->log_count && !(p->reads && l->logs[log].topic->again)) {
            p->logs[p->log_count++] = log;
        }
    }
}

/* A second, of all clients: more take time and memory, and find nothing else. */
enum { RECORDS_MOST = 400 };

/* One of `clients`. */
static void open_client(struct load *l, unsigned clients)
{
    static const struct {
        int32_t acks;
        bool idempotent;
    } kinds[] = {{-1, true}, {-1, true}, {-1, true}, {-1, false}, {1, false}, {0, false}};
    struct prng *r = &l->random;
    uint64_t kind = prng_below(r, array_size(kinds));
    unsigned burst = 1 + (unsigned)prng_below(r, prng_below(r, 4) ? 4 : 30);
    uint64_t tick_ms = 2 + prng_below(r, prng_below(r, 5) ? 400 : 30);
    uint64_t least_ms = UINT64_C(1000) * clients * (burst + 1) / 2 / RECORDS_MOST;
    char name[16];
    snprintf(name, sizeof name, "c%u", l->count + 1);
    struct client_options o = {
        .name = name,
        .tick_ns = (tick_ms < least_ms ? least_ms : tick_ms) * CLUSTER_MS,
        .consumes = l->count % 3 == 1,
        .produces = l->count % 3 != 1,
        .acks = kinds[kind].acks,
        .idempotent = kinds[kind].idempotent,
        .codec = prng_below(r, 4) ? 0 : (int32_t)prng_below(r, 5),
        .linger_ms = prng_below(r, 2) ? 0 : 5,
        .delivery_timeout_ms = prng_below(r, 4) ? 30000 : 5000,
    };
    struct program *p = load_program(l, &o);
    p->burst = burst;
    p->large = prng_below(r, 4) == 0;
    choose_logs(p);
    if (p->log_count == 0) {
        p->logs[p->log_count++] = 0;
    }
}

/* --- topics ------------------------------------------------------------------------------------ */

static struct member *anybody(struct load *l)
{
    struct member *m = world_leader(l->world);
    return m && prng_below(&l->random, 4)
               ? m
               : &l->world->members[prng_below(&l->random, l->world->count)];
}

static void open_topic(struct load *l, const char *name, bool again, bool compacted)
{
    struct load_topic *t = &l->topics[l->topic_count];
    while (!(t->told = world_create_named(l->world, anybody(l), name, compacted))) {
        world_run(l->world, 10 * CLUSTER_MS);
    }
    t->again = again;
    t->first = l->log_count;
    l->topic_count++;
    for (int32_t i = 0; i < CLUSTER_PARTITIONS; i++) {
        l->logs[l->log_count].topic = t;
        l->logs[l->log_count].partition = i;
        l->logs[l->log_count++].log = history_log(l->history, name, i, again, compacted);
    }
}

static void make_topics(struct load *l)
{
    char name[16];
    unsigned staying = 1 + (unsigned)prng_below(&l->random, LOAD_STAYING);
    unsigned again = (unsigned)prng_below(&l->random, LOAD_AGAIN + 1);
    for (unsigned i = 0; i < staying; i++) {
        snprintf(name, sizeof name, "stay%u", i);
        open_topic(l, name, false, false);
    }
    for (unsigned i = 0; i < again; i++) {
        snprintf(name, sizeof name, "again%u", i);
        open_topic(l, name, true, false);
    }
    if (prng_below(&l->random, 2)) {
        open_topic(l, "keyed0", false, true);
    }
}

static void await_topics(struct load *l)
{
    struct cluster_world *w = l->world;
    uint64_t until = sim_now(w->sim) + 30000 * CLUSTER_MS;
    for (unsigned i = 0; i < l->topic_count; i++) {
        struct told_topic *t = l->topics[i].told;
        while (t->state != TOPIC_THERE) {
            world_expect(w, sim_now(w->sim) < until, "C19 stuck_client: nobody makes the topic %s",
                         t->name);
            world_run(w, 100 * CLUSTER_MS);
            if (t->state == TOPIC_GONE || t->state == TOPIC_PARTING ||
                (t->state == TOPIC_ASKED && prng_below(&l->random, 20) == 0)) {
                t->state = t->state == TOPIC_PARTING ? TOPIC_ASKED : t->state;
                (void)world_create_again(w, anybody(l), t);
            }
        }
        t->again = l->topics[i].again;
    }
}

static void disturb_topic(struct load *l)
{
    static const char *const settings[][2] = {
        {"segment.bytes", "1048576"},
        {"segment.bytes", "2000000"},
        {"segment.ms", "1000"},
        {"segment.ms", "604800000"},
        {"segment.ms", "100"},
        {"index.interval.bytes", "1"},
        {"index.interval.bytes", "4096"},
    };
    static const char *const of_keyed[][2] = {
        {"cleanup.policy", "compact"},        {"cleanup.policy", "delete"},
        {"cleanup.policy", "compact"},        {"min.cleanable.dirty.ratio", "0"},
        {"min.cleanable.dirty.ratio", "0.5"}, {"segment.ms", "300"},
        {"min.compaction.lag.ms", "2000"},    {"min.compaction.lag.ms", "0"},
    };
    struct load_topic *t = &l->topics[prng_below(&l->random, l->topic_count)];
    const char *const *setting = settings[prng_below(&l->random, array_size(settings))];
    if (t->told->compacted && prng_below(&l->random, 2)) {
        setting = of_keyed[prng_below(&l->random, array_size(of_keyed))];
        l->world->compacted_once = l->world->compacted_once || strcmp(setting[1], "delete") == 0;
    }
    bool replicated = l->world->options.replication_factor > 1;
    if (!t->again && replicated && prng_below(&l->random, 2)) {
        world_reassign(l->world, anybody(l), t->told);
    } else if (!t->again) {
        world_configure(l->world, anybody(l), t->told, setting[0], setting[1]);
    } else if (t->told->state == TOPIC_THERE) {
        l->deletions++;
        world_delete(l->world, anybody(l), t->told);
    } else if (t->told->state == TOPIC_GONE) {
        l->creations++;
        (void)world_create_again(l->world, anybody(l), t->told);
    }
}

/* --- the whole --------------------------------------------------------------------------------- */

void load_open(struct load *l, struct cluster_world *w, unsigned clients)
{
    memset(l, 0, sizeof *l);
    l->world = w;
    l->random = sim_random(w->sim, 0x6c6f6164);
    l->history = history_new(violated, l);
    make_topics(l);
    await_topics(l);
    world_await(w, 5000 * CLUSTER_MS);
    unsigned few = 3 + (unsigned)prng_below(&l->random, 8);
    unsigned chosen = prng_below(&l->random, 8) ? few : (unsigned)prng_below(&l->random, 40) + 1;
    clients = clients ? clients : chosen;
    for (unsigned i = 0; i < clients && i < LOAD_CLIENTS_MAX; i++) {
        open_client(l, clients);
    }
    members_open(l);
    for (unsigned i = 0; i < l->count; i++) {
        program_start(&l->programs[i]);
    }
    l->sending = true;
}

void load_close(struct load *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        client_free(l->programs[i].client);
    }
    history_free(l->history);
}

bool program_runs(const struct program *p)
{
    return sim_node_state(client_machine(p->client)) == SIM_RUNNING;
}

void load_go_on(struct load *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct program *p = &l->programs[i];
        const struct sim_node *n = client_machine(p->client);
        world_expect(l->world, program_runs(p) || p->restart_ns, "the client %s is %s: %s",
                     sim_node_name(n), sim_state_name(sim_node_state(n)), sim_node_last_line(n));
        if (p->restart_ns && p->restart_ns <= sim_now(l->world->sim)) {
            program_start(p);
        }
    }
}

static void kill_client(struct program *p)
{
    struct load *l = p->load;
    if (program_runs(p)) {
        l->client_kills++;
        client_kill(p->client);
        p->restart_ns = sim_now(l->world->sim) + (1 + prng_below(&l->random, 2000)) * CLUSTER_MS;
    }
}

void load_disturb(struct load *l)
{
    struct program *p = &l->programs[prng_below(&l->random, l->count)];
    switch (prng_below(&l->random, 12)) {
    case 0:
        kill_client(p);
        break;
    case 1:
        l->client_pauses++;
        sim_node_pause(client_machine(p->client),
                       sim_now(l->world->sim) + (1 + prng_below(&l->random, 3000)) * CLUSTER_MS);
        break;
    case 2:
    case 3:
    case 4:
        disturb_topic(l);
        break;
    default:
        break;
    }
}

void load_heal(struct load *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct program *p = &l->programs[i];
        if (p->restart_ns) {
            program_start(p);
        }
    }
    await_topics(l);
}

static size_t unsettled(const struct load *l)
{
    size_t count = 0;
    for (unsigned i = 0; i < l->count; i++) {
        const struct program *p = &l->programs[i];
        count += p->reads ? 0 : client_unsettled(p->client);
    }
    return count;
}

void load_finish(struct load *l, uint64_t ns)
{
    struct cluster_world *w = l->world;
    l->calm_ns = sim_now(w->sim);
    world_run(w, 2000 * CLUSTER_MS);
    l->sending = false;
    uint64_t until = sim_now(w->sim) + ns;
    while (unsettled(l) > 0) {
        world_expect(w, sim_now(w->sim) < until, "C19 stuck_client: %zu records are not settled",
                     unsettled(l));
        world_run(w, 100 * CLUSTER_MS);
        load_go_on(l);
    }
    members_finish(l, ns);
}

/* Everything, from the beginning; or where it ends. */
static struct program *open_reader(struct load *l, const char *name)
{
    struct client_options o = {
        .name = name, .consumes = true, .tick_ns = 10 * CLUSTER_MS, .program = {.tick = nothing}};
    struct program *p = load_program(l, &o);
    program_start(p);
    return p;
}

struct assignment {
    struct io_message message;
    struct program *program;
    bool earliest;
};

static void assign_all(struct io_message *message, struct io *io)
{
    const struct assignment *a = container_of(message, struct assignment, message);
    for (unsigned i = 0; i < a->program->load->log_count; i++) {
        begin_reading(a->program, i, a->earliest);
        a->program->readings[i].last = a->earliest;
    }
}

static void read_all(struct program *p, bool earliest)
{
    struct assignment a = {.message.deliver = assign_all, .program = p, .earliest = earliest};
    world_run(p->load->world, 10 * CLUSTER_MS);
    io_post(sim_node_shard(client_machine(p->client), 0), 0, &a.message);
    world_run(p->load->world, 10 * CLUSTER_MS);
}

static bool all_read(const struct load *l, const struct program *ends, const struct program *reader,
                     unsigned *log)
{
    for (unsigned i = 0; i < l->log_count; i++) {
        *log = i;
        int64_t end = ends->readings[i].next, next = reader->readings[i].next;
        if (end < 0 || next < 0 || next < end) {
            return false;
        }
    }
    return true;
}

void load_judge(struct load *l, uint64_t ns)
{
    struct cluster_world *w = l->world;
    struct program *ends = open_reader(l, "ends"), *reader = open_reader(l, "reader");
    read_all(ends, false);
    read_all(reader, true);
    uint64_t until = sim_now(w->sim) + ns;
    unsigned log;
    while (!all_read(l, ends, reader, &log)) {
        world_expect(w, sim_now(w->sim) < until,
                     "C19 stuck_client, C4 unseen_final: %s-%d is read to %" PRId64
                     ", and ends at %" PRId64,
                     topic_of(l, log), (int)l->logs[log].partition, reader->readings[log].next,
                     ends->readings[log].next);
        world_run(w, 20 * CLUSTER_MS);
        load_go_on(l);
    }
    for (unsigned i = 0; i < l->log_count; i++) {
        history_judge(l->history, l->logs[i].log, ends->readings[i].next, ends->readings[i].least,
                      l->logs[i].topic->told->deleted_ns, l->calm_ns);
    }
}

void load_compare(struct load *l)
{
    for (unsigned i = 0; i < l->log_count; i++) {
        if (l->logs[i].topic->again) {
            continue;
        }
        struct told_topic *t = l->logs[i].topic->told;
        struct replica_sum now = {.end = -1}, before = l->logs[i].sum, same = before;
        if (before.end > 0 && !t->compacted) {
            world_check_replicas(l->world, t, l->logs[i].partition, &same);
            world_expect(l->world, same.sum == before.sum,
                         "C29 replica_divergence: %s-%d holds other bytes below %" PRId64
                         " than before",
                         t->name, (int)l->logs[i].partition, before.end);
        }
        world_check_replicas(l->world, t, l->logs[i].partition, &now);
        l->logs[i].sum = now;
    }
}
