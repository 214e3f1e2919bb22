/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_world.h"

#include "coord/place.h"

#include "meta/edit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

static const uint64_t stop_most_ns = 15000 * CLUSTER_MS; /* pauses and slow disks included */

_Noreturn void world_violation(const struct cluster_world *w, const char *format, ...)
{
    char line[1024], what[800];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "seed %" PRIu64 ", %u nodes, at %.3f s: %s", w->seed, w->count,
             w->sim ? (double)sim_now(w->sim) / 1e9 : 0.0, what);
    w->options.violated(w->options.context, line);
    abort();
}

/* --- a node ----------------------------------------------------------------------------------- */

static void refuse_line(void *context, const char *line)
{
    world_violation(context, "%s", line);
}

int world_min_isr(const struct cluster_world *w)
{
    return w->options.replication_factor >= 3 && w->seed % 4 != 3 ? 2 : 1;
}

static void configure(struct member *m, uint16_t port)
{
    char id[12], least[12], listener[24];
    snprintf(id, sizeof id, "%d", (int)m->id);
    snprintf(least, sizeof least, "%d", world_min_isr(m->world));
    snprintf(listener, sizeof listener, "n%d:%u", (int)m->id, (unsigned)port);
    const struct config_setting settings[] = {
        {"--data", "data.dir", "/data"},
        {"--set", "node.id", id},
        {"--set", "listeners", listener},
        {"--set", "security.open", "true"},
        {"--set", "peers", m->world->peers},
        {"--set", "journal.file.bytes", "1MiB"},
        {"--set", "journal.bytes.max", "16MiB"},
        {"--set", "limits.memory", "128MiB"},
        {"--set", "log.scrub.interval.ms", "10s"},
        {"--set", "min.insync.replicas", least},
        {"--set", "log.cleaner.backoff.ms", "1s"},
        {"--set", "offsets.topic.num.partitions", "3"},
        {"--set", "group.min.session.timeout.ms", "1000"},
    };
    const struct config_input input = {.settings = settings, .setting_count = array_size(settings)};
    memory_init(&m->config_memory, 16 << 20);
    int error = config_load(&m->config, &m->config_memory, &input, refuse_line, m->world);
    world_expect(m->world, !error, "node %d has no configuration", (int)m->id);
}

void member_listen(struct member *m, uint16_t port)
{
    assert(!member_runs(m));
    config_free(m->config);
    memory_drop(&m->config_memory);
    configure(m, port);
}

static void ready(void *context, const char *line, uint16_t port)
{
    struct member *m = context;
    m->ready = true;
    m->world->mended += m->node->recover.summary.damage[0] != 0;
    m->world->gave_up += m->node->log_options.accept_loss && !m->node->options.accept_loss;
}

static void ended(void *context, int status, const char *line)
{
    struct member *m = context;
    m->ended = true;
    m->status = status;
    snprintf(m->why, sizeof m->why, "%s", line);
}

void member_start(struct member *m)
{
    assert(!member_runs(m));
    struct cluster_world *w = m->world;
    memory_drop(&m->memory);
    memory_init(&m->memory, 16 << 20);
    if (w->options.swarm && prng_below(&w->extremes, 4) == 0) {
        m->shards = 1 + (unsigned)prng_below(&w->extremes, 2);
    }
    const struct node_options options = {
        .config = m->config,
        .shards = m->shards,
        .accept_loss = m->accepts,
        .ready = ready,
        .ended = ended,
        .context = m,
        .metadata_snapshot_bytes = m->world->snapshot_bytes,
        .metadata_piece_bytes = m->world->piece_bytes,
        .mutants = {m->world->options.log_mutant, m->world->options.raft_mutant,
                    m->world->options.controller_mutant, m->world->options.replication_mutant,
                    m->world->options.coord_mutant},
    };
    m->accepts = false;
    m->ready = m->ended = m->stopping = m->excused = false;
    m->status = NODE_EXIT_OK;
    m->restart_ns = 0;
    m->image = NULL;
    m->offset = -1;
    m->lives++;
    m->node = node_new(&m->memory, &options);
    world_expect(m->world, m->node, "no memory for a node");
    sim_node_start(m->machine, m->shards, node_start, m->node);
}

bool member_runs(const struct member *m)
{
    return sim_node_state(m->machine) == SIM_RUNNING;
}

struct partition *world_partition(const struct member *m, const struct image_topic *t,
                                  int32_t index)
{
    if (!member_runs(m) || m->ended || !m->ready || m->stopping) {
        return NULL;
    }
    unsigned home = log_home(bytes_of_string(t->name), index, m->shards);
    struct partition_table *table = m->node->shards[home].partitions;
    return table ? partition_find(table, t->id, index) : NULL;
}

static void stop_here(struct io_message *message, struct io *io)
{
    node_stop(container_of(message, struct member, stop)->node);
}

void member_stop(struct member *m)
{
    if (!member_runs(m) || m->ended || m->stopping) {
        return;
    }
    m->stopping = true;
    m->stop_ns = sim_now(m->world->sim);
    m->stop = (struct io_message){.deliver = stop_here};
    io_post(sim_node_shard(m->machine, 0), 0, &m->stop);
}

void member_lose_disk(struct member *m)
{
    disk_free(sim_node_swap_disk(m->machine, disk_new(CLUSTER_DISK_BYTES)));
    m->topics_lost = m->world->topic_count;
}

/* --- what holds at every step ----------------------------------------------------------------- */

static void sum(uint64_t *hash, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++) {
        *hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
}

static void sum_number(uint64_t *hash, int64_t number)
{
    sum(hash, &number, sizeof number);
}

static void sum_topic(uint64_t *hash, const struct image_topic *t)
{
    sum(hash, t->name, strlen(t->name) + 1);
    sum(hash, t->id.bytes, sizeof t->id.bytes);
    sum_number(hash, t->partition_count);
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_partition *p = &t->partitions[i];
        sum_number(hash, p->leader);
        sum_number(hash, p->leader_epoch);
        sum_number(hash, p->partition_epoch);
        sum_number(hash, p->recovering + 2 * (int64_t)p->unclean_epoch);
        sum_number(hash, p->isr_count);
        sum(hash, p->replicas, (size_t)p->replica_count * sizeof *p->replicas);
        sum(hash, p->isr, (size_t)p->isr_count * sizeof *p->isr);
    }
}

static uint64_t image_sum(const struct image *image)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    sum(&hash, image_cluster_id(image), strlen(image_cluster_id(image)));
    sum_number(&hash, image_controller(image));
    sum(&hash, image_voters(image).data, image_voters(image).size);
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        sum_number(&hash, b->id);
        sum_number(&hash, b->epoch);
        sum_number(&hash, b->fenced + 2 * b->shutting_down);
        sum(&hash, b->incarnation.bytes, sizeof b->incarnation.bytes);
        sum(&hash, b->directory.bytes, sizeof b->directory.bytes);
        sum_number(&hash, b->endpoint_count);
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        sum_topic(&hash, image_topic_at(image, i));
    }
    return hash ? hash : 1;
}

struct told_topic *world_told(struct cluster_world *w, const char *name)
{
    for (uint32_t i = 0; i < w->topic_count; i++) {
        if (strcmp(w->topics[i].name, name) == 0) {
            return &w->topics[i];
        }
    }
    return NULL;
}

/* The brokers make it themselves for the first group. */
static struct told_topic *adopt(struct cluster_world *w, const char *name)
{
    if (strcmp(name, COORD_TOPIC) != 0 || w->topic_count == CLUSTER_TOPICS_MAX) {
        return NULL;
    }
    struct told_topic *t = &w->topics[w->topic_count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->state = TOPIC_THERE;
    t->named = true;
    return t;
}

static uint32_t who_may_lead(const struct image_partition *p)
{
    uint32_t who = 0;
    for (int32_t i = 0; i < p->isr_count; i++) {
        who |= UINT32_C(1) << p->isr[i];
    }
    for (int32_t i = 0; i < p->more->elr.count; i++) {
        who |= UINT32_C(1) << p->more->elr.ids[i];
    }
    return who;
}

/* B1: the newest image of all. */
static void check_epochs(struct cluster_world *w, const struct image *image)
{
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        world_expect(w, b->id >= 1 && b->id <= (int32_t)w->count, "a broker %d", (int)b->id);
        int64_t *epoch = &w->broker_epochs[b->id - 1];
        world_expect(w, b->epoch >= *epoch, "B1: the epoch of broker %d goes back from %" PRId64,
                     b->id, *epoch);
        *epoch = b->epoch;
        struct member *m = &w->members[b->id - 1];
        if (!uuid_is_zero(m->directory) && !uuid_equal(m->directory, b->directory)) {
            m->topics_doubtful = w->topic_count;
        }
        m->directory = b->directory;
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        struct told_topic *known = world_told(w, t->name);
        known = known ? known : adopt(w, t->name);
        world_expect(w, known, "nobody has made the topic %s", t->name);
        if (!uuid_equal(known->id, t->id)) {
            world_expect(w, known->again || uuid_is_zero(known->id), "%s has another id", t->name);
            known->id = t->id;
            memset(known->leader_epochs, 0, sizeof known->leader_epochs);
            memset(known->partition_epochs, 0, sizeof known->partition_epochs);
            memset(known->eligible, 0, sizeof known->eligible);
        }
        for (int32_t p = 0; p < t->partition_count; p++) {
            world_expect(w, t->partitions[p].leader_epoch >= known->leader_epochs[p],
                         "B1: the leader epoch of %s-%d goes back", t->name, (int)p);
            known->leader_epochs[p] = t->partitions[p].leader_epoch;
            uint32_t eligible = who_may_lead(&t->partitions[p]);
            known->eligible[p] = eligible ? eligible : known->eligible[p];
            world_tell(w, t, p, known);
        }
    }
}

static void check_image(struct member *m, const struct image *image)
{
    struct cluster_world *w = m->world;
    int64_t offset = image_offset(image);
    if (image == m->image && offset == m->offset) {
        return;
    }
    world_expect(w, offset >= m->offset, "M12: the image of node %d goes back", (int)m->id);
    world_expect(w, offset < CLUSTER_OFFSETS_MAX, "too many records");
    m->image = image;
    m->offset = offset;
    if (offset < 0) {
        return;
    }
    uint64_t is = image_sum(image), *seen = &w->images[offset];
    world_expect(w, *seen == 0 || *seen == is,
                 "M6: the image of node %d at offset %" PRId64 " is another than was seen",
                 (int)m->id, offset);
    *seen = is;
    if (offset > w->newest) {
        w->newest = offset;
        check_epochs(w, image);
    }
}

static void check_quorum(struct member *m)
{
    struct cluster_world *w = m->world;
    struct raft_leadership status = meta_leadership(m->node->meta);
    if (status.leader == RAFT_NOBODY) {
        return;
    }
    world_expect(w, status.epoch < CLUSTER_EPOCHS_MAX, "too many epochs");
    int32_t *leader = &w->leaders[status.epoch];
    world_expect(w, *leader == 0 || *leader == status.leader,
                 "M1: node %d takes %d for the leader of epoch %d, it was %d", (int)m->id,
                 (int)status.leader, (int)status.epoch, (int)*leader);
    *leader = status.leader;
}

/* B2. What fails a sync or a write ends a node, and that is how it should be (L11); so does a disk without the room
 * that a recovery or the metadata need, because others have taken it. It finds nothing damaged when it starts again. */
static void check_end(struct member *m, enum sim_state state)
{
    enum { GRACE_MS = 5000 };
    const struct cluster_world *w = m->world;
    bool by_itself =
        state == SIM_FATAL || (m->ended && (!m->stopping || m->status != NODE_EXIT_OK));
    bool fails =
        w->failing_last_ns > 0 && sim_now(w->sim) < w->failing_last_ns + GRACE_MS * CLUSTER_MS;
    const char *why = state == SIM_FATAL ? sim_node_last_line(m->machine) : m->why;
    bool is_full =
        m->disk_full_until_ns > 0 && strstr(why, "the disk is full") && strstr(why, "make room");
    bool rotten = w->faults[CLUSTER_ROT_BESIDE] > 0 && (uint32_t)m->id == w->seed % w->count + 1;
    if (by_itself && !m->excused && m->status == NODE_EXIT_DAMAGE && rotten) {
        m->excused = m->accepts = true; /* what it had stands on others (the atlas) */
        m->restart_ns = sim_now(w->sim) + 500 * CLUSTER_MS;
    }
    if (by_itself && !m->excused && m->status != NODE_EXIT_DAMAGE && (fails || is_full)) {
        m->excused = true;
        m->restart_ns = m->restart_ns ? m->restart_ns : sim_now(w->sim) + 500 * CLUSTER_MS;
    }
    world_expect(w, state != SIM_ASSERTED && (state != SIM_FATAL || m->excused),
                 "B2: node %d is %s: %s", (int)m->id, sim_state_name(state),
                 sim_node_last_line(m->machine));
    world_expect(w, !by_itself || m->excused, "B2: node %d has ended with %d: %s", (int)m->id,
                 m->status, m->why);
}

/* Nothing is forged here: a replica that is other than its leader is so by itself, or the comparison is wrong. A
 * follower does not know of what it fetched that its leader had compacted it, and compares it when nobody compacts any
 * more. */
static void check_compared(struct member *m)
{
    for (unsigned i = 0; i < m->shards; i++) {
        const struct replica *r = m->node->shards[i].replica;
        struct replica_status s = r ? replica_status(r) : (struct replica_status){0};
        world_expect(m->world, s.different == 0 || m->world->compacted_once,
                     "C29 replica_divergence: node %d found it itself", (int)m->id);
        m->world->compared += s.compared > m->compared[i];
        m->compared[i] = s.compared;
    }
}

static void check_member(struct member *m)
{
    enum sim_state state = sim_node_state(m->machine);
    check_end(m, state);
    if (!m->ended && state == SIM_RUNNING) {
        if (m->node->meta) {
            check_quorum(m);
        }
        if (m->node->image) {
            check_image(m, m->node->image);
            check_compared(m);
        }
    }
}

/* --- the world -------------------------------------------------------------------------------- */

static void client_start(struct io *io, void *argument)
{
}

static void choose_extremes(struct cluster_world *w)
{
    static const uint64_t snapshots[] = {0, 4 << 10, 64 << 10};
    static const uint32_t pieces[] = {0, 500, 8 << 10};
    w->extremes = sim_random(w->sim, 0x65787472);
    if (w->options.swarm) {
        w->snapshot_bytes = snapshots[prng_below(&w->extremes, array_size(snapshots))];
        w->piece_bytes = pieces[prng_below(&w->extremes, array_size(pieces))];
    }
}

void world_open(struct cluster_world *w, const struct cluster_options *options)
{
    uint32_t count = options->nodes;
    uint64_t seed = options->seed;
    assert(count > 0 && count <= CLUSTER_NODES_MAX);
    assert(options->violated);
    memset(w, 0, sizeof *w);
    w->options = *options;
    w->seed = seed;
    w->count = count;
    w->newest = -1;
    w->sim = sim_new(&(struct sim_options){
        .seed = seed, .catch_asserts = true, .story = options->story, .brief = options->brief});
    w->random = sim_random(w->sim, 0x636c7573);
    choose_extremes(w);
    memory_init(&w->memory, SIZE_MAX);
    arena_init(&w->arena, &w->memory, SIZE_MAX / 2);
    for (uint32_t i = 0; i < count && i < CLUSTER_PEERS_MAX; i++) {
        size_t used = strlen(w->peers);
        snprintf(w->peers + used, sizeof w->peers - used, "%sn%u:9092", i ? "," : "", i + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = &w->members[i];
        char name[8];
        snprintf(name, sizeof name, "n%u", i + 1);
        m->world = w;
        m->id = (int32_t)i + 1;
        m->shards = 1 + (unsigned)prng_below(&w->random, 2);
        m->machine = sim_node_new(w->sim, name);
        memory_init(&m->memory, 16 << 20);
        configure(m, 9092);
    }
    w->client = sim_node_new(w->sim, "client");
    sim_node_start(w->client, 1, client_start, w);
}

void world_close(struct cluster_world *w)
{
    sim_free(w->sim);
    for (uint32_t i = 0; i < w->count; i++) {
        config_free(w->members[i].config);
        memory_drop(&w->members[i].config_memory);
        memory_drop(&w->members[i].memory);
    }
    arena_deinit(&w->arena);
    memory_drop(&w->memory);
}

/* What holds of a node can only have changed when its code ran. */
static void check_stepped(struct cluster_world *w)
{
    const struct sim_node *stepped = sim_stepped(w->sim);
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (m->machine == stepped) {
            check_member(m);
        }
        world_expect(w,
                     !m->stopping || m->ended || sim_now(w->sim) < m->stop_ns + stop_most_ns ||
                         !member_runs(m),
                     "B3: node %d does not stop", (int)m->id);
        if (m->restart_ns && m->restart_ns <= sim_now(w->sim) && !member_runs(m)) {
            member_start(m);
        }
    }
}

void world_run(struct cluster_world *w, uint64_t ns)
{
    uint64_t until = sim_now(w->sim) + ns;
    while (sim_now(w->sim) < until) {
        if (!sim_step(w->sim)) {
            sim_run(w->sim, until);
        }
        if (w->asks_open > 0) {
            asks_sweep(w);
        }
        world_faults_go_on(w);
        check_stepped(w);
    }
}
