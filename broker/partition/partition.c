/* SPDX-License-Identifier: Apache-2.0 */

/* The partitions of one shard.
 *
 *     ABSENT --image: here--> SERVING --image: gone--> REMOVING --LOG_REMOVE durable, no append
 *                                                                 left--> ABSENT
 *
 * A removed partition leaves the map at once, so that nobody finds it; its struct stays until the
 * log has let go. A topic of the same name has another id, and so another entry.
 *
 * What a partition is to do as leader or follower is role.c's.
 *
 * Invariants
 *   T1  A partition is in the map if and only if the applied image places a replica here and its
 *       home is this shard, unless there was no memory for it (said in the log, tried again by the
 *       clock and with the next image).
 *   T2  Leader epochs never fall (P2).
 *   T3  Waiters are woken from a turn's end only, once for all that moved in the turn. */
#include "partition/partition_private.h"

enum {
    CHECK_TICKS = 60, /* a walk over all partitions is cut into so many steps */
    RETAIN_SEGMENTS = 4,
};

static const uint64_t ms_ns = 1000000;

static void key_make(uint8_t key[static PARTITION_KEY_SIZE], struct uuid topic_id, int32_t index)
{
    memcpy(key, topic_id.bytes, sizeof topic_id.bytes);
    put_be32(key + sizeof topic_id.bytes, (uint32_t)index);
}

struct partition *partition_find(struct partition_table *t, struct uuid topic_id, int32_t partition)
{
    uint8_t key[PARTITION_KEY_SIZE];
    key_make(key, topic_id, partition);
    return map_get(&t->by_key, bytes_of(key, sizeof key));
}

uint32_t partition_count(const struct partition_table *t)
{
    return (uint32_t)map_count(&t->by_key);
}

/* --- waking ----------------------------------------------------------------------------------- */

void partition_stir(struct partition *p, unsigned news)
{
    p->news |= news;
    if (list_empty(&p->moved)) {
        list_append(&p->table->moved, &p->moved);
        io_turn_end(p->table->io, &p->table->turn);
    }
}

static void log_moved_here(struct log_watch *w, struct log *log)
{
    struct partition *p = container_of(w, struct partition, watch);
    assert(p->magic == PARTITION_MAGIC && p->log == log);
    if (!p->table || p->removing) {
        return;
    }
    int64_t start = log_status(log).start_offset;
    if (start != p->log_start) {
        p->log_start = start;
        partition_stir(p, NEWS_READERS);
    }
    if (p->role == ROLE_LEADER) {
        role_leader_moved(p);
    } else if (p->role == ROLE_FOLLOWER) {
        role_follower_moved(p);
    }
    health_look(p);
}

static void wake(struct list *waiters)
{
    list_each (waiting, waiters) {
        struct partition_waiter *w = container_of(waiting, struct partition_waiter, link);
        w->woken(w);
    }
}

static void table_turn(struct io_turn *turn)
{
    struct partition_table *t = container_of(turn, struct partition_table, turn);
    struct list *node;
    while ((node = list_pop(&t->moved))) {
        struct partition *p = container_of(node, struct partition, moved);
        unsigned news = p->news;
        p->news = 0;
        if (news & NEWS_READERS) {
            wake(&p->waiters);
        }
        if (news & NEWS_FOLLOWERS) {
            wake(&p->followers);
        }
    }
    struct partition_settle *settle = t->unsettled == 0 ? t->settle : NULL;
    if (settle) {
        t->settle = NULL;
        settle->done(settle);
    }
}

void partition_wait(struct partition *p, struct partition_waiter *w)
{
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    assert(w->woken && list_empty(&w->link));
    list_append(&p->waiters, &w->link);
}

void partition_wait_follower(struct partition *p, struct partition_waiter *w)
{
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    assert(w->woken && list_empty(&w->link));
    list_append(&p->followers, &w->link);
}

void partition_unwait(struct partition_waiter *w)
{
    list_remove(&w->link);
}

/* --- life of a partition ---------------------------------------------------------------------- */

static void partition_maybe_free(struct partition *p)
{
    bool gone = p->removing ? p->log_gone : !p->table;
    if (gone && p->appends == 0 && !p->cutting && !p->starting) {
        p->magic = 0;
        memory_free(io_memory(p->io), p->leading);
        memory_free(io_memory(p->io), p);
    }
}

void partition_settled(struct partition *p)
{
    role_begin_due(p);
    partition_maybe_free(p);
}

static void removal_done(struct log_control *c, int error)
{
    struct partition *p = container_of(c, struct partition, removal);
    assert(p->magic == PARTITION_MAGIC && p->removing);
    if (error && p->table) {
        log_warn(io_logger(p->io), "partition", "log not removed: error=\"%s\"", error_text(error));
    }
    p->log_gone = true;
    list_remove(&p->link);
    partition_maybe_free(p);
}

static void waiters_leave(struct list *waiters)
{
    struct list *node;
    while ((node = list_pop(waiters))) {
        struct partition_waiter *w = container_of(node, struct partition_waiter, link);
        w->woken(w);
    }
}

static void partition_remove(struct partition *p)
{
    struct partition_table *t = p->table;
    map_remove(&t->by_key, bytes_of(p->key, PARTITION_KEY_SIZE));
    p->removing = true;
    if (p->role == ROLE_LEADER) {
        role_leader_end(p);
    }
    late_refuse(p, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    p->role = ROLE_NONE;
    p->due = false;
    deadline_cancel(&t->clock->deadlines, &p->alarm);
    list_remove(&p->queue);
    list_remove(&p->proposing);
    list_remove(&p->ailing);
    list_remove(&p->moved);
    waiters_leave(&p->waiters);
    waiters_leave(&p->followers);
    p->removal = (struct log_control){.kind = LOG_REMOVE, .done = removal_done};
    log_watch(p->log, NULL);
    log_control(p->log, &p->removal);
}

static bool placed_here(const struct partition_table *t, const struct image_topic *topic,
                        int32_t index)
{
    struct bytes name = bytes_of_string(topic->name);
    if (log_home(name, index, io_shard_count(t->io)) != io_shard(t->io)) {
        return false;
    }
    return image_partition_holds(&topic->partitions[index], t->options.node_id);
}

static int partition_add(struct partition_table *t, const struct image *image,
                         const struct image_topic *topic, int32_t index,
                         const struct log_config *config)
{
    struct partition *p = memory_alloc(io_memory(t->io), sizeof *p);
    if (!p) {
        return ERR_NO_MEMORY;
    }
    p->magic = PARTITION_MAGIC;
    p->index = index;
    p->io = t->io;
    p->table = t;
    p->topic = topic;
    p->topic_id = topic->id;
    p->leader = p->epoch = p->proved_epoch = -1;
    p->watch.moved = log_moved_here;
    key_make(p->key, topic->id, index);
    list_init(&p->link);
    list_init(&p->moved);
    list_init(&p->waiters);
    list_init(&p->followers);
    list_init(&p->pending);
    list_init(&p->late);
    list_init(&p->queue);
    list_init(&p->proposing);
    list_init(&p->ailing);
    int error = map_add(&t->by_key, bytes_of(p->key, PARTITION_KEY_SIZE), p);
    if (error) {
        goto free_partition;
    }
    p->log = log_open(t->options.logs, topic->id, index, topic->name, config);
    if (!p->log) {
        error = ERR_NO_MEMORY;
        goto forget;
    }
    log_watch(p->log, &p->watch);
    p->high_watermark = log_status(p->log).high_watermark;
    list_append(&t->all, &p->link);
    role_apply(p, image);
    return 0;

forget:
    map_remove(&t->by_key, bytes_of(p->key, PARTITION_KEY_SIZE));
free_partition:
    memory_free(io_memory(t->io), p);
    return error;
}

/* --- images ----------------------------------------------------------------------------------- */

static void topic_remove(struct partition_table *t, const struct image_topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct partition *p = partition_find(t, topic->id, i);
        if (p) {
            partition_remove(p);
        }
    }
}

static void topic_apply(struct partition_table *t, const struct image *image,
                        const struct image_topic *topic)
{
    struct log_config config;
    t->options.configure(t->options.context, topic, &config);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct partition *p = partition_find(t, topic->id, i);
        bool here = placed_here(t, topic, i);
        if (p && !here) {
            partition_remove(p);
        } else if (p) {
            log_configure(p->log, &config);
            p->topic = topic;
            role_apply(p, image);
        } else if (here) {
            int error = partition_add(t, image, topic, i, &config);
            if (error) {
                t->incomplete = true;
                log_error(io_logger(t->io), "partition", "cannot open %s-%d: error=\"%s\"",
                          topic->name, i, error_text(error));
            }
        }
    }
}

static int topic_order(const struct image_topic *a, const struct image_topic *b)
{
    return a && b ? strcmp(a->name, b->name) : a ? -1 : b ? 1 : 0;
}

static bool brokers_differ(const struct image *a, const struct image *b)
{
    uint32_t count = image_broker_count(a);
    bool differ = count != image_broker_count(b);
    for (uint32_t i = 0; i < count && !differ; i++) {
        const struct image_broker *x = image_broker_at(a, i), *y = image_broker_at(b, i);
        differ = x->id != y->id || x->epoch != y->epoch || x->fenced != y->fenced ||
                 x->shutting_down != y->shutting_down;
    }
    return differ;
}

/* Who may be in sync with what is led here is another question now. */
static void brokers_apply(struct partition_table *t)
{
    list_each (node, &t->all) {
        struct partition *p = container_of(node, struct partition, link);
        if (!p->removing) {
            role_apply(p, t->image);
        }
    }
}

/* What was deleted, or moved, while this node was away goes when all that is here is known. */
static void tidy(struct partition_table *t)
{
    if (!t->tidied && !t->incomplete) {
        t->tidied = true;
        log_set_remove_unopened(t->options.logs);
    }
}

/* Unchanged topics are the same object in both images; both walk in the order of names. */
void partition_table_apply(struct partition_table *t, const struct image *image)
{
    const struct image *old = t->image;
    bool all = t->incomplete;
    image_take(image);
    t->image = image;
    t->incomplete = false;
    uint32_t i = 0, j = 0;
    uint32_t before_count = old ? image_topic_count(old) : 0,
             after_count = image_topic_count(image);
    while (i < before_count || j < after_count) {
        const struct image_topic *before = i < before_count ? image_topic_at(old, i) : NULL;
        const struct image_topic *after = j < after_count ? image_topic_at(image, j) : NULL;
        int order = before == after ? 0 : topic_order(before, after);
        if (order < 0 || (order == 0 && !uuid_equal(before->id, after->id))) {
            topic_remove(t, before);
        }
        if (order >= 0 && (all || before != after)) {
            topic_apply(t, image, after);
        }
        i += order <= 0;
        j += order >= 0;
    }
    if (old) {
        if (brokers_differ(old, image)) {
            brokers_apply(t);
        }
        image_release(old);
    }
    tidy(t);
}

void partition_table_reconfigure(struct partition_table *t)
{
    t->incomplete = false;
    for (uint32_t i = 0; t->image && i < image_topic_count(t->image); i++) {
        topic_apply(t, t->image, image_topic_at(t->image, i));
    }
}

/* --- retention -------------------------------------------------------------------------------- */

static uint64_t retention_tick_ns(const struct partition_table *t)
{
    uint64_t tick_ms = t->options.retention_check_ms / CHECK_TICKS;
    return (tick_ms < 1000 ? 1000 : tick_ms) * ms_ns;
}

static void retention_due(struct deadline *d)
{
    struct partition_clock *clock = container_of(d, struct partition_clock, retention);
    struct partition_table *t = clock->table;
    uint64_t tick = retention_tick_ns(t);
    if (t->incomplete) {
        partition_table_reconfigure(t);
        tidy(t);
    }
    size_t count = map_count(&t->by_key);
    size_t visits = (size_t)((double)count * (double)tick / (double)ms_ns /
                             (double)t->options.retention_check_ms) +
                    1;
    visits = visits > count ? count : visits;
    for (size_t i = 0; i < visits; i++) {
        struct list *node = list_pop(&t->all);
        if (!node) {
            break;
        }
        list_append(&t->all, node);
        struct partition *p = container_of(node, struct partition, link);
        if (p->removing) {
            continue;
        }
        log_expire_producers(p->log);
        if (p->role == ROLE_LEADER) { /* a follower's log starts where its leader's does */
            log_retain(p->log, io_wall_ms(t->io), RETAIN_SEGMENTS);
        }
    }
    deadline_set(&clock->deadlines, d, io_now(t->io) + tick);
}

bool partition_table_leased(const struct partition_table *t)
{
    return !t->options.leased || t->options.leased(t->options.context);
}

/* --- the table -------------------------------------------------------------------------------- */

struct partition_table *partition_table_new(struct io *io, const struct partition_options *options)
{
    assert(options->logs && options->configure);
    struct memory *memory = io_memory(io);
    struct partition_table *t = memory_alloc(memory, sizeof *t);
    struct partition_clock *clock = memory_alloc(memory, sizeof *clock);
    if (!t || !clock) {
        memory_free(memory, t);
        memory_free(memory, clock);
        return NULL;
    }
    uint64_t seed;
    io_random(io, &seed, sizeof seed);
    t->io = io;
    t->options = *options;
    t->options.retention_check_ms =
        options->retention_check_ms ? options->retention_check_ms : 300000;
    t->turn.turn_end = table_turn;
    t->clock = clock;
    map_init(&t->by_key, memory, seed, options->partitions_max ? options->partitions_max : 200000);
    list_init(&t->all);
    list_init(&t->moved);
    deadlines_init(&clock->deadlines, io);
    clock->io = io;
    clock->table = t;
    clock->retention.due = retention_due;
    deadline_set(&clock->deadlines, &clock->retention, io_now(io) + retention_tick_ns(t));
    return t;
}

void partition_table_need(struct partition_table *t, const struct partition_needs *needs)
{
    assert(!t->image && needs->ask && needs->alter);
    t->needs = *needs;
}

void partition_table_let_go(struct partition_table *t)
{
    t->letting_go = true;
    list_each (node, &t->all) {
        struct partition *p = container_of(node, struct partition, link);
        if (!p->removing && p->role == ROLE_LEADER &&
            p->topic->partitions[p->index].replica_count > 1) {
            role_leader_end(p);
            partition_stir(p, NEWS_READERS | NEWS_FOLLOWERS);
        }
        late_refuse(p, ERR_NOT_LEADER_OR_FOLLOWER);
    }
}

void partition_table_settle(struct partition_table *t, struct partition_settle *s)
{
    assert(!t->settle && s->done);
    t->settle = s;
    io_turn_end(t->io, &t->turn);
}

static void clock_idle(struct deadlines *d)
{
    struct partition_clock *clock = container_of(d, struct partition_clock, deadlines);
    memory_free(io_memory(clock->io), clock);
}

void partition_table_free(struct partition_table *t)
{
    if (!t) {
        return;
    }
    struct memory *memory = io_memory(t->io);
    struct list *node;
    while ((node = list_pop(&t->all))) {
        struct partition *p = container_of(node, struct partition, link);
        assert(list_empty(&p->waiters) && list_empty(&p->followers));
        list_remove(&p->moved);
        list_remove(&p->queue);
        list_remove(&p->proposing);
        list_remove(&p->ailing);
        deadline_cancel(&t->clock->deadlines, &p->alarm);
        if (!p->removing) {
            assert(list_empty(&p->pending) && list_empty(&p->late));
            log_watch(p->log, NULL);
        }
        p->table = NULL;
        partition_maybe_free(p); /* else it goes when its log is through with it */
    }
    if (t->turn.link.next) {
        list_remove(&t->turn.link);
    }
    t->clock->table = NULL;
    deadline_cancel(&t->clock->deadlines, &t->clock->retention);
    deadlines_stop(&t->clock->deadlines, clock_idle);
    map_deinit(&t->by_key);
    if (t->image) {
        image_release(t->image);
    }
    memory_free(memory, t);
}

/* --- serving ---------------------------------------------------------------------------------- */

static bool is_proved(const struct partition *p)
{
    return p->role == ROLE_FOLLOWER && p->following.state == FOLLOWING_STATE_FOLLOWING &&
           p->following.epoch == p->epoch;
}

static int find_in_epoch(struct partition_table *t, struct uuid topic_id, int32_t partition,
                         int32_t current_epoch, struct partition **out)
{
    struct partition *p = partition_find(t, topic_id, partition);
    if (!p) {
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    if (current_epoch >= 0 && current_epoch < p->epoch) {
        return ERR_FENCED_LEADER_EPOCH;
    }
    if (current_epoch > p->epoch) {
        return ERR_UNKNOWN_LEADER_EPOCH;
    }
    *out = p;
    return 0;
}

int partition_leader(struct partition_table *t, struct uuid topic_id, int32_t partition,
                     int32_t current_epoch, struct partition **out)
{
    int error = find_in_epoch(t, topic_id, partition, current_epoch, out);
    return error || (*out)->role == ROLE_LEADER ? error : ERR_NOT_LEADER_OR_FOLLOWER;
}

int partition_readable(struct partition_table *t, struct uuid topic_id, int32_t partition,
                       int32_t current_epoch, struct partition **out)
{
    int error = find_in_epoch(t, topic_id, partition, current_epoch, out);
    bool readable = !error && ((*out)->role == ROLE_LEADER || is_proved(*out));
    return error || readable ? error : ERR_NOT_LEADER_OR_FOLLOWER;
}

bool partition_leads(const struct partition *p)
{
    return p->role == ROLE_LEADER;
}

struct log *partition_log(struct partition *p)
{
    return p->log;
}

int32_t partition_epoch(const struct partition *p)
{
    return p->epoch;
}

struct uuid partition_topic_id(const struct partition *p)
{
    return p->topic_id;
}

const char *partition_topic_name(const struct partition *p)
{
    return p->topic->name;
}

int32_t partition_index(const struct partition *p)
{
    return p->index;
}

int64_t partition_high_watermark(const struct partition *p)
{
    return p->high_watermark;
}

struct list *partition_queue(struct partition *p)
{
    return &p->queue;
}

struct partition *partition_queued(struct list *link)
{
    return container_of(link, struct partition, queue);
}

struct list *partition_proposing(struct partition *p)
{
    return &p->proposing;
}

struct partition *partition_that_proposes(struct list *link)
{
    return container_of(link, struct partition, proposing);
}

struct list *partition_ailing(struct partition *p)
{
    return &p->ailing;
}

struct partition *partition_that_ails(struct list *link)
{
    return container_of(link, struct partition, ailing);
}

int64_t partition_log_start(const struct partition *p)
{
    return log_status(p->log).start_offset;
}
