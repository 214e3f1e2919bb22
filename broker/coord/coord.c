/* SPDX-License-Identifier: Apache-2.0 */

/* The coordinators of one shard: which partitions there are, which group a call is for, and how
 * records get into the log.
 *
 *     (not here) --image: led here--> LOADING --replayed--> ACTIVE
 *          ^                             |       '--damage, no memory--> FAILED
 *          '--image: led elsewhere, gone-'  (its groups go, who waits is told)
 *
 * A group that has let go of its partition lives on until its writes are over. */
#include "coord/coord_private.h"

#include "coord/write.h"

enum { GROUPS_MAX = 1 << 22, PARTITIONS_MAX = 1 << 20 };

static const uint64_t ms_ns = 1000000;

/* --- groups ----------------------------------------------------------------------------------- */

static struct coord *coord_of(struct group_host *h)
{
    return container_of(h, struct coord, host);
}

struct group *coord_group(struct coord *c, struct coord_partition *p, struct wire_string name,
                          bool make)
{
    struct group *g = map_get(&c->by_name, wire_string_bytes(name));
    if (g || !make) {
        return g && g->partition == p ? g : NULL;
    }
    g = group_new(&c->host, name);
    if (!g) {
        return NULL;
    }
    if (map_add(&c->by_name, bytes_of_string(g->name), g) != 0) {
        group_free(g);
        return NULL;
    }
    g->partition = p;
    list_append(&p->groups, &g->link);
    return g;
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
                map_remove(&c->by_name, bytes_of_string(g->name));
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
    write_done(w, error);
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
        .acks = -1,
        .done = appended,
    };
    if (error) {
        w->refused = (struct deadline){.due = refused};
        deadline_set(&c->deadlines, &w->refused, io_now(c->io));
        return;
    }
    w->append.append.leader_epoch = partition_epoch(p);
    partition_append(p, &w->append);
}

/* --- partitions ------------------------------------------------------------------------------- */

static struct coord_partition *partition_here(const struct coord *c, int32_t index)
{
    return map_get_number(&c->by_index, (uint64_t)index);
}

static void let_go(struct coord *c, struct coord_partition *p)
{
    load_forget(c, p);
    list_each (node, &p->groups) {
        struct group *g = container_of(node, struct group, link);
        group_quiesce(g, ERR_NOT_COORDINATOR);
        g->state = GROUP_DEAD;
        g->partition = NULL;
        map_remove(&c->by_name, bytes_of_string(g->name));
        list_remove(&g->link);
        list_append(&c->leaving, &g->link);
        group_idle(&c->host, g);
    }
    map_remove_number(&c->by_index, (uint64_t)p->index);
    list_remove(&p->link);
    memory_free(&c->memory, p);
}

static bool led_here(const struct coord *c, const struct image_topic *topic, int32_t index)
{
    return topic->partitions[index].leader == c->options.node_id &&
           log_home(bytes_of_string(topic->name), index, io_shard_count(c->io)) == io_shard(c->io);
}

static void take_on(struct coord *c, const struct image_topic *topic, int32_t index)
{
    struct coord_partition *p = memory_alloc(&c->memory, sizeof *p);
    if (!p || map_add_number(&c->by_index, (uint64_t)index, p) != 0) {
        memory_free(&c->memory, p);
        log_error(io_logger(c->io), "coord", "cannot coordinate the groups of %s-%d: out of memory",
                  COORD_TOPIC, index);
        return;
    }
    p->coord = c;
    p->index = index;
    p->epoch = topic->partitions[index].leader_epoch;
    p->topic_id = topic->id;
    p->state = PARTITION_LOADING;
    list_init(&p->link);
    list_init(&p->queue);
    list_init(&p->groups);
    list_append(&c->partitions, &p->link);
    list_append(&c->load_queue, &p->queue);
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

void coord_apply(struct coord *c, const struct image *image)
{
    const struct image_topic *topic = image_topic_by_name(image, bytes_of_string(COORD_TOPIC));
    bool gone = false;
    if (c->host.image) {
        image_diff(c->host.image, image, topic_seen, &gone);
    }
    c->host.image = image;
    list_each (node, &c->partitions) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        if (!topic || !uuid_equal(topic->id, p->topic_id) || !led_here(c, topic, p->index) ||
            topic->partitions[p->index].leader_epoch != p->epoch) {
            let_go(c, p);
        }
    }
    for (int32_t i = 0; topic && !c->host.stopping && i < topic->partition_count; i++) {
        if (led_here(c, topic, i) && !partition_here(c, i)) {
            take_on(c, topic, i);
        }
    }
    load_next(c);
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
    list_each (node, &c->partitions) {
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

/* As Java hashes the text: over its UTF-16 units. Bytes that are not UTF-8 count as they stand. */
int32_t coord_partition_of(struct wire_string group, int32_t partitions)
{
    uint32_t hash = 0;
    const uint8_t *p = (const uint8_t *)group.data, *end = p + (group.size > 0 ? group.size : 0);
    while (p < end) {
        unsigned extra = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
        uint32_t unit = *p;
        if (extra > 0 && (size_t)(end - p) > extra) {
            unit = *p & (0x3fu >> extra);
            for (unsigned i = 1; i <= extra; i++) {
                unit = unit << 6 | (p[i] & 0x3f);
            }
            p += extra;
        }
        p++;
        if (unit >= 0x10000) {
            unit -= 0x10000;
            hash = 31 * hash + (0xd800 + (unit >> 10));
            unit = 0xdc00 + (unit & 0x3ff);
        }
        hash = 31 * hash + unit;
    }
    return (int32_t)((hash & 0x7fffffff) % (uint32_t)partitions);
}

static void call_list(struct coord *c, struct coord_call *call)
{
    size_t count = map_count(&c->by_name);
    call->listed = arena_array(&call->arena, count, sizeof *call->listed);
    call->error = call->listed ? 0 : ERR_NO_MEMORY;
    list_each (node, &c->partitions) {
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
    struct coord_partition *p = partition_here(c, call->partition);
    int error = !group_id_valid(call)           ? ERR_INVALID_GROUP_ID
                : !p                            ? ERR_NOT_COORDINATOR
                : p->state == PARTITION_LOADING ? ERR_COORDINATOR_LOAD_IN_PROGRESS
                : p->state == PARTITION_FAILED  ? ERR_COORDINATOR_NOT_AVAILABLE
                                                : 0;
    if (error) {
        call_answer(call, error);
        return;
    }
    struct group *g = coord_group(c, p, call->group, false);
    if (!g) {
        error = without_group(call);
        if (error) {
            call_without_group(call, error);
            return;
        }
        g = group_has_room(&c->host) ? coord_group(c, p, call->group, true) : NULL;
    }
    if (!g || g->state == GROUP_DEAD) {
        call_answer(call, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    call_group(g, call);
}

/* --- life ------------------------------------------------------------------------------------- */

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
    map_init(&c->by_name, &c->memory, seed, GROUPS_MAX);
    map_init(&c->by_index, &c->memory, seed, PARTITIONS_MAX);
    list_init(&c->partitions);
    list_init(&c->load_queue);
    list_init(&c->leaving);
    list_init(&c->idle);
    c->turn.turn_end = coord_turn;
    c->sweep.due = sweep_due;
    c->host = (struct group_host){
        .io = io,
        .memory = &c->memory,
        .deadlines = &c->deadlines,
        .config = options->config,
        .write = group_write,
        .idle = group_idle,
    };
    load_init(c);
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
    list_each (node, &c->partitions) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        load_forget(c, p);
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
    assert(c->writes == 0 && !c->load.reading);
    struct list *node, *inner;
    while ((node = list_first(&c->partitions))) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        while ((inner = list_first(&p->groups))) {
            group_free(container_of(inner, struct group, link));
        }
        list_remove(&p->link);
        memory_free(&c->memory, p);
    }
    while ((node = list_first(&c->leaving))) {
        group_free(container_of(node, struct group, link));
    }
    if (c->turn.link.next) {
        list_remove(&c->turn.link);
    }
    memory_free(io_memory(c->io), c->load.buffer);
    map_deinit(&c->by_name);
    map_deinit(&c->by_index);
    memory_free(io_memory(c->io), c);
}

struct coord_status coord_status(const struct coord *c)
{
    struct coord_status s = {.groups = (uint32_t)map_count(&c->by_name)};
    for (const struct list *node = c->partitions.next; node != &c->partitions; node = node->next) {
        s.partitions++;
        s.loading += container_of(node, struct coord_partition, link)->state == PARTITION_LOADING;
    }
    return s;
}
