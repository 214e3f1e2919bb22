/* SPDX-License-Identifier: Apache-2.0 */

/* The coordinators of one shard: which partitions there are, which group a call is for, and how
 * records get into the log.
 *
 *     (not here) --image: led here--> LOADING --replayed--> ACTIVE
 *          ^                             |       '--damage, no memory--> FAILED
 *          '--image: led elsewhere, gone-'  (its groups go, who waits is told)
 *
 * A group that has let go of its partition lives on until its writes are over. */
#include "coord/coord.h"

#include "coord/commit.h"
#include "coord/describe.h"
#include "coord/join.h"
#include "coord/life.h"
#include "coord/load.h"
#include "coord/sweep.h"
#include "coord/sync.h"

enum { BATCH_BYTES = 1 << 20 }; /* at most, unless the topic allows more */

static const uint64_t ms_ns = 1000000;

struct coord {
    struct io *io;
    struct coord_options options;
    struct memory memory; /* a share of the shard's */
    struct deadlines deadlines;
    struct group_host host;
    struct coord_partitions partitions;
    struct load load;
    struct list leaving, idle; /* of struct group */
    struct io_turn turn;
    struct deadline sweep;
    uint32_t writes; /* in progress */
    struct coord_stop *stop;
    bool stopped;
};

/* --- groups ----------------------------------------------------------------------------------- */

static struct coord *coord_of(struct group_host *h)
{
    return container_of(h, struct coord, host);
}

/* Looked at when the turn ends: whoever calls this may still have the group in hand. */
static void group_idle(struct group_host *h, struct group *g)
{
    struct coord *c = coord_of(h);
    if (list_empty(&g->idle)) {
        list_append(&c->idle, &g->idle);
        io_turn_end(c->io, &c->turn);
    }
}

static void coord_maybe_stopped(struct coord *c);

static void coord_turn(struct io_turn *turn)
{
    struct coord *c = container_of(turn, struct coord, turn);
    struct list *node;
    while ((node = list_pop(&c->idle))) {
        struct group *g = container_of(node, struct group, idle);
        bool over = g->partition ? group_is_idle(g) : g->writes == 0;
        if (over) {
            if (g->partition) {
                coord_partition_let_go(g->partition, g);
            }
            group_free(g);
        }
    }
    coord_maybe_stopped(c);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void appended(struct partition_append *a, int error)
{
    struct write *w = container_of(a, struct write, append);
    struct coord *c = coord_of(w->group->host);
    assert(c->writes > 0);
    c->writes--;
    io_turn_end(c->io, &c->turn);
    group_written(w, error);
}

/* The partition may have gone since: then nothing is appended, and who waits hears of it from the
 * loop, as from an append. */
static void refused(struct deadline *d)
{
    struct write *w = container_of(d, struct write, refused);
    appended(&w->append, ERR_NOT_COORDINATOR);
}

static void group_write(struct group_host *h, struct group *g, struct write *w)
{
    struct coord *c = coord_of(h);
    struct coord_partition *cp = g->partition;
    struct partition *p = NULL;
    int error = cp ? partition_leader(c->options.partitions, cp->topic_id, cp->index, -1, &p)
                   : ERR_NOT_COORDINATOR;
    c->writes++;
    w->append = (struct partition_append){
        .append = {.batch = w->bytes, .as_leader = true, .waited = true},
        .acks = group_mutated(h, COORD_MUTANT_ALONE) ? 1 : -1,
        .done = appended,
    };
    error = error ? error : partition_append(p, &w->append);
    if (error) {
        w->refused = (struct deadline){.due = refused};
        deadline_set(&c->deadlines, &w->refused, io_now(c->io));
    }
}

/* --- partitions ------------------------------------------------------------------------------- */

static void let_go(struct coord *c, struct coord_partition *p)
{
    load_forget(&c->load, p);
    list_each (node, &p->groups) {
        struct group *g = container_of(node, struct group, link);
        group_quiesce(g, ERR_NOT_COORDINATOR);
        g->state = GROUP_DEAD;
        coord_partition_let_go(p, g);
        list_append(&c->leaving, &g->link);
        group_idle(&c->host, g);
    }
    coord_partitions_remove(p);
}

static bool led_here(const struct coord *c, const struct image_topic *topic, int32_t index)
{
    return topic->partitions[index].leader == c->options.node_id &&
           log_home(bytes_of_string(topic->name), index, io_shard_count(c->io)) == io_shard(c->io);
}

static void take_on(struct coord *c, const struct image_topic *topic, int32_t index)
{
    struct coord_partition *p = coord_partitions_add(&c->partitions, topic, index);
    if (p) {
        load_add(&c->load, p);
    } else {
        log_error(io_logger(c->io), "coord", "cannot coordinate the groups of %s-%d: out of memory",
                  COORD_TOPIC, index);
    }
}

static void topic_seen(void *context, const struct image_topic *old, const struct image_topic *new)
{
    bool *gone = context;
    *gone = *gone || (old && (!new || !uuid_equal(old->id, new->id)));
}

static void sweep_soon(struct coord *c)
{
    if (!c->host.stopping) {
        deadline_cancel(&c->deadlines, &c->sweep);
        deadline_set(&c->deadlines, &c->sweep, io_now(c->io));
    }
}

/* The topic may allow more. What the broker says is meant for producers, and less helps nobody. */
static size_t batch_bytes_max(const struct coord *c, const struct image_topic *topic)
{
    const char *own = topic ? image_topic_config(topic, "max.message.bytes") : NULL;
    char why[CONFIG_WHY_SIZE];
    struct topic_config config;
    topic_config_init(&config, c->options.config);
    if (!own || topic_config_set(&config, TOPIC_MAX_MESSAGE_BYTES, bytes_of_string(own), why,
                                 sizeof why) != 0) {
        return BATCH_BYTES;
    }
    int64_t bytes = topic_config_number(&config, TOPIC_MAX_MESSAGE_BYTES);
    return bytes > BATCH_BYTES ? (size_t)bytes : BATCH_BYTES;
}

void coord_apply(struct coord *c, const struct image *image)
{
    const struct image_topic *topic = image_topic_by_name(image, bytes_of_string(COORD_TOPIC));
    bool gone = false;
    c->host.batch_bytes_max = batch_bytes_max(c, topic);
    if (c->host.image) {
        image_diff(c->host.image, image, topic_seen, &gone);
    }
    c->host.image = image;
    list_each (node, &c->partitions.all) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        if (!topic || !uuid_equal(topic->id, p->topic_id) || !led_here(c, topic, p->index) ||
            topic->partitions[p->index].leader_epoch != p->epoch) {
            let_go(c, p);
        }
    }
    for (int32_t i = 0; topic && !c->host.stopping && i < topic->partition_count; i++) {
        if (led_here(c, topic, i) && !coord_partitions_find(&c->partitions, i)) {
            take_on(c, topic, i);
        }
    }
    load_next(&c->load);
    if (gone) {
        sweep_soon(c); /* what was committed for topics that are no more */
    }
}

static void sweep_due(struct deadline *d)
{
    struct coord *c = container_of(d, struct coord, sweep);
    int64_t now = io_wall_ms(c->io);
    uint64_t interval =
        (uint64_t)config_integer(c->options.config, CONFIG_OFFSETS_RETENTION_CHECK_INTERVAL_MS);
    list_each (node, &c->partitions.all) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        list_each (inner, &p->groups) {
            if (p->state == PARTITION_ACTIVE) {
                group_sweep(container_of(inner, struct group, link), now);
            }
        }
    }
    deadline_set(&c->deadlines, &c->sweep, io_now(c->io) + interval * ms_ns);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void call_list(struct coord *c, struct coord_call *call)
{
    size_t count = map_count(&c->partitions.by_name);
    call->listed = arena_array(&call->arena, count, sizeof *call->listed);
    call->error = call->listed ? 0 : ERR_NO_MEMORY;
    list_each (node, &c->partitions.all) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        if (p->state == PARTITION_LOADING) {
            call_answer(call, ERR_COORDINATOR_LOAD_IN_PROGRESS);
            return;
        }
        for (struct list *at = p->groups.next; call->listed && at != &p->groups; at = at->next) {
            const struct group *g = container_of(at, struct group, link);
            call->listed[call->listed_count++] = (struct coord_listed){
                .group = call_string(call, g->name),
                .protocol_type = call_string(call, g->protocol_type ? g->protocol_type : ""),
                .state = group_state_name(g->state),
            };
        }
    }
    call_answer(call, 0);
}

/* What a call to a group that does not exist says; 0: the group is made for it. */
static int without_group(const struct coord_call *call)
{
    const struct join_group_request *join = call->request;
    const struct offset_commit_request *commit = call->request;
    switch (call->kind) {
    case COORD_JOIN:
        return join->member_id.size > 0 ? ERR_UNKNOWN_MEMBER_ID : 0;
    case COORD_COMMIT:
        return commit->generation_id_or_member_epoch >= 0 ? ERR_ILLEGAL_GENERATION : 0;
    case COORD_DESCRIBE:
    case COORD_DELETE:
    case COORD_FORGET:
        return ERR_GROUP_ID_NOT_FOUND;
    default:
        return ERR_UNKNOWN_MEMBER_ID;
    }
}

static void call_without_group(struct coord_call *call, int error)
{
    if (call->kind == COORD_OFFSETS) {
        for (int32_t i = 0; i < call->offset_count; i++) {
            struct coord_offset *o = &call->offsets[i];
            o->offset = o->leader_epoch = -1;
            o->metadata = wire_string_of("");
        }
        call->offset_count = call->offset_count < 0 ? 0 : call->offset_count;
        error = 0;
    }
    call_answer(call, error);
}

static bool group_id_valid(const struct coord_call *call)
{
    struct bytes name = wire_string_bytes(call->group);
    bool may_be_empty = call->kind >= COORD_COMMIT;
    return call->group.size >= 0 && (name.size > 0 || may_be_empty) &&
           (name.size == 0 || !memchr(name.data, 0, name.size));
}

static void call_group(struct group *g, struct coord_call *call)
{
    static void (*const calls[])(struct group *, struct coord_call *) = {
        [COORD_JOIN] = group_join,           [COORD_SYNC] = group_sync,
        [COORD_HEARTBEAT] = group_heartbeat, [COORD_LEAVE] = group_leave,
        [COORD_COMMIT] = group_commit,       [COORD_OFFSETS] = group_offsets,
        [COORD_DESCRIBE] = group_describe,   [COORD_DELETE] = group_delete,
        [COORD_FORGET] = group_forget,
    };
    struct group_host *h = g->host;
    calls[call->kind](g, call);
    h->idle(h, g);
}

void coord_call(struct coord *c, struct coord_call *call)
{
    arena_init(&call->arena, &c->memory, SIZE_MAX);
    call->error = 0;
    call->leavers = NULL;
    call->listed = NULL;
    call->listed_count = 0;
    if (c->host.stopping) {
        call_answer(call, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    if (call->kind == COORD_LIST) {
        call_list(c, call);
        return;
    }
    struct coord_partition *p = coord_partitions_find(&c->partitions, call->partition);
    bool leased = partition_table_leased(c->options.partitions); /* H17 */
    int error = !group_id_valid(call)           ? ERR_INVALID_GROUP_ID
                : !p                            ? ERR_NOT_COORDINATOR
                : !leased                       ? ERR_COORDINATOR_NOT_AVAILABLE
                : p->state == PARTITION_LOADING ? ERR_COORDINATOR_LOAD_IN_PROGRESS
                : p->state == PARTITION_FAILED  ? ERR_COORDINATOR_NOT_AVAILABLE
                                                : 0;
    if (error) {
        call_answer(call, error);
        return;
    }
    struct group *g = coord_partition_group(p, call->group, false);
    if (!g) {
        error = without_group(call);
        if (error) {
            call_without_group(call, error);
            return;
        }
        g = group_has_room(&c->host) ? coord_partition_group(p, call->group, true) : NULL;
    }
    if (!g || g->state == GROUP_DEAD) {
        call_answer(call, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    call_group(g, call);
}

/* --- life ------------------------------------------------------------------------------------- */

/* A stop may wait for it. */
static void read_home(struct load *l)
{
    struct coord *c = container_of(l, struct coord, load);
    io_turn_end(c->io, &c->turn);
}

struct coord *coord_new(struct io *io, const struct coord_options *options)
{
    assert(options->partitions && options->config && options->memory_bytes > 0);
    struct coord *c = memory_alloc(io_memory(io), sizeof *c);
    if (!c) {
        return NULL;
    }
    uint64_t seed;
    io_random(io, &seed, sizeof seed);
    c->io = io;
    c->options = *options;
    memory_init_share(&c->memory, io_memory(io), options->memory_bytes);
    deadlines_init(&c->deadlines, io);
    list_init(&c->leaving);
    list_init(&c->idle);
    c->turn.turn_end = coord_turn;
    c->sweep.due = sweep_due;
    c->host = (struct group_host){
        .io = io,
        .memory = &c->memory,
        .deadlines = &c->deadlines,
        .config = options->config,
        .batch_bytes_max = BATCH_BYTES,
        .write = group_write,
        .idle = group_idle,
        .mutant = options->mutant,
    };
    list_init(&c->host.expected);
    coord_partitions_init(&c->partitions, &c->host, seed);
    load_init(&c->load, &c->host, options->partitions, read_home);
    deadline_set(&c->deadlines, &c->sweep,
                 io_now(io) + (uint64_t)config_integer(options->config,
                                                       CONFIG_OFFSETS_RETENTION_CHECK_INTERVAL_MS) *
                                  ms_ns);
    return c;
}

void coord_quiesce(struct coord *c)
{
    if (c->host.stopping) {
        return;
    }
    c->host.stopping = true;
    deadline_cancel(&c->deadlines, &c->sweep);
    list_each (node, &c->partitions.all) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        load_forget(&c->load, p);
        list_each (inner, &p->groups) {
            group_quiesce(container_of(inner, struct group, link), ERR_COORDINATOR_NOT_AVAILABLE);
        }
    }
}

static void deadlines_home(struct deadlines *d)
{
    struct coord *c = container_of(d, struct coord, deadlines);
    struct coord_stop *s = c->stop;
    c->stop = NULL;
    s->done(s);
}

static void coord_maybe_stopped(struct coord *c)
{
    if (c->stop && !c->stopped && c->writes == 0 && !c->load.reading) {
        c->stopped = true;
        deadlines_stop(&c->deadlines, deadlines_home);
    }
}

void coord_stop(struct coord *c, struct coord_stop *s)
{
    assert(c->host.stopping && !c->stop && s->done);
    c->stop = s;
    io_turn_end(c->io, &c->turn);
}

void coord_free(struct coord *c)
{
    if (!c) {
        return;
    }
    assert(c->writes == 0);
    coord_partitions_deinit(&c->partitions);
    struct list *node;
    while ((node = list_first(&c->leaving))) {
        group_free(container_of(node, struct group, link));
    }
    load_deinit(&c->load);
    if (c->turn.link.next) {
        list_remove(&c->turn.link);
    }
    memory_free(io_memory(c->io), c);
}

struct coord_status coord_status(const struct coord *c)
{
    struct coord_status s = {.groups = (uint32_t)map_count(&c->partitions.by_name)};
    for (const struct list *node = c->partitions.all.next; node != &c->partitions.all;
         node = node->next) {
        s.partitions++;
        s.loading += container_of(node, struct coord_partition, link)->state == PARTITION_LOADING;
    }
    return s;
}
