/* SPDX-License-Identifier: Apache-2.0 */

/* The partitions of one shard.
 *
 *     ABSENT --image: here--> SERVING --image: gone--> REMOVING --LOG_REMOVE durable, no append
 *                                                                 left--> ABSENT
 *
 * A removed partition leaves the map at once, so that nobody finds it; its struct stays until the
 * log has let go. A topic of the same name has another id, and so another entry.
 *
 * With one replica the in-sync set is this node, and the high watermark is the log's counted end
 * (RELIABILITY 3.1, P7): the log says done() when the record counts, and that meets every kind of
 * acks.
 *
 * Invariants
 *   T1  A partition is in the map if and only if the applied image places a replica here and its
 * home is this shard, unless there was no memory for it (said in the log, tried with the next
 * image). T2  Leader epochs never fall (P2). T3  Waiters are woken from a turn's end only, once for
 * all that moved in the turn. */
#include "partition/partition.h"

#include "base/errors.h"

enum {
    PARTITION_MAGIC = 0x70617274,
    KEY_SIZE = 20,    /* topic id, partition */
    CHECK_TICKS = 60, /* a walk over all partitions is cut into so many steps */
    RETAIN_SEGMENTS = 4,
};

static const uint64_t ms_ns = 1000000;

struct partition {
    uint32_t magic;
    int32_t index;
    struct partition_table *table; /* NULL: the table has gone while the log was being removed */
    uint8_t key[KEY_SIZE];
    struct uuid topic_id;
    struct log *log;
    struct log_watch watch;
    int32_t leader, epoch;
    struct list link;    /* in table->all */
    struct list moved;   /* in table->moved, or alone */
    struct list waiters; /* of struct partition_waiter */
    uint32_t appends;    /* in progress */
    bool removing, log_gone;
    struct log_control removal;
};

/* Outlives the table when a timer is in flight at its end. */
struct retention_timer {
    struct io_op op;
    struct io *io;
    struct partition_table *table;
};

struct partition_table {
    struct io *io;
    struct partition_options options;
    struct map by_key;
    struct list all, moved;
    struct io_turn turn;
    const struct image *image;
    struct retention_timer *timer;
    bool incomplete; /* the last image was not applied whole: no memory */
};

static void key_make(uint8_t key[static KEY_SIZE], struct uuid topic_id, int32_t index)
{
    memcpy(key, topic_id.bytes, sizeof topic_id.bytes);
    put_be32(key + sizeof topic_id.bytes, (uint32_t)index);
}

struct partition *partition_find(struct partition_table *t, struct uuid topic_id, int32_t partition)
{
    uint8_t key[KEY_SIZE];
    key_make(key, topic_id, partition);
    return map_get(&t->by_key, bytes_of(key, sizeof key));
}

uint32_t partition_count(const struct partition_table *t)
{
    return (uint32_t)map_count(&t->by_key);
}

/* --- waking ----------------------------------------------------------------------------------- */

static void partition_stir(struct partition *p)
{
    if (list_empty(&p->moved)) {
        list_append(&p->table->moved, &p->moved);
        io_turn_end(p->table->io, &p->table->turn);
    }
}

static void log_moved_here(struct log_watch *w, struct log *log)
{
    struct partition *p = container_of(w, struct partition, watch);
    assert(p->magic == PARTITION_MAGIC && p->log == log);
    if (p->table && !p->removing) {
        log_raise_watermark(log, partition_high_watermark(p));
        partition_stir(p);
    }
}

static void table_turn(struct io_turn *turn)
{
    struct partition_table *t = container_of(turn, struct partition_table, turn);
    struct list *node;
    while ((node = list_pop(&t->moved))) {
        struct partition *p = container_of(node, struct partition, moved);
        list_each (waiting, &p->waiters) {
            struct partition_waiter *w = container_of(waiting, struct partition_waiter, link);
            w->woken(w);
        }
    }
}

void partition_wait(struct partition *p, struct partition_waiter *w)
{
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    assert(w->woken && list_empty(&w->link));
    list_append(&p->waiters, &w->link);
}

void partition_unwait(struct partition_waiter *w)
{
    list_remove(&w->link);
}

/* --- life of a partition ---------------------------------------------------------------------- */

static void partition_maybe_free(struct partition *p, struct io *io)
{
    if (p->log_gone && p->appends == 0) {
        p->magic = 0;
        memory_free(io_memory(io), p);
    }
}

static void removal_done(struct log_control *c, int error)
{
    struct partition *p = container_of(c, struct partition, removal);
    assert(p->magic == PARTITION_MAGIC && p->removing);
    struct io *io = p->table ? p->table->io : NULL;
    if (error && io) {
        log_warn(io_logger(io), "partition", "log not removed: error=\"%s\"", error_text(error));
    }
    p->log_gone = true;
    if (io) {
        list_remove(&p->link);
        partition_maybe_free(p, io);
    }
}

static void partition_remove(struct partition *p)
{
    struct partition_table *t = p->table;
    map_remove(&t->by_key, bytes_of(p->key, KEY_SIZE));
    p->removing = true;
    list_remove(&p->moved);
    struct list *node;
    while ((node = list_pop(&p->waiters))) {
        struct partition_waiter *w = container_of(node, struct partition_waiter, link);
        w->woken(w);
    }
    p->removal = (struct log_control){.kind = LOG_REMOVE, .done = removal_done};
    log_watch(p->log, NULL);
    log_control(p->log, &p->removal);
}

static void partition_lead(struct partition *p, const struct image_partition *seen)
{
    assert(seen->leader_epoch >= p->epoch);
    bool changed = seen->leader_epoch != p->epoch || seen->leader != p->leader;
    p->leader = seen->leader;
    p->epoch = seen->leader_epoch;
    if (changed && p->leader == p->table->options.node_id) {
        log_begin_epoch(p->log, p->epoch);
    }
    if (changed) {
        partition_stir(p);
    }
}

static bool placed_here(const struct partition_table *t, const struct image_topic *topic,
                        int32_t index)
{
    struct bytes name = bytes_of_string(topic->name);
    if (log_home(name, index, io_shard_count(t->io)) != io_shard(t->io)) {
        return false;
    }
    const struct image_partition *seen = &topic->partitions[index];
    for (int32_t i = 0; i < seen->replica_count; i++) {
        if (seen->replicas[i] == t->options.node_id) {
            return true;
        }
    }
    return false;
}

static int partition_add(struct partition_table *t, const struct image_topic *topic, int32_t index,
                         const struct log_config *config)
{
    struct partition *p = memory_alloc(io_memory(t->io), sizeof *p);
    if (!p) {
        return ERR_NO_MEMORY;
    }
    p->magic = PARTITION_MAGIC;
    p->index = index;
    p->table = t;
    p->topic_id = topic->id;
    p->leader = p->epoch = -1;
    p->watch.moved = log_moved_here;
    key_make(p->key, topic->id, index);
    list_init(&p->link);
    list_init(&p->moved);
    list_init(&p->waiters);
    int error = map_add(&t->by_key, bytes_of(p->key, KEY_SIZE), p);
    if (error) {
        goto free_partition;
    }
    p->log = log_open(t->options.logs, topic->id, index, topic->name, config);
    if (!p->log) {
        error = ERR_NO_MEMORY;
        goto forget;
    }
    log_watch(p->log, &p->watch);
    log_raise_watermark(p->log, partition_high_watermark(p)); /* what was recovered counts */
    list_append(&t->all, &p->link);
    partition_lead(p, &topic->partitions[index]);
    return 0;

forget:
    map_remove(&t->by_key, bytes_of(p->key, KEY_SIZE));
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

static void topic_apply(struct partition_table *t, const struct image_topic *topic)
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
            partition_lead(p, &topic->partitions[i]);
        } else if (here) {
            int error = partition_add(t, topic, i, &config);
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

/* Unchanged topics are the same object in both images; both walk in the order of names. */
void partition_table_apply(struct partition_table *t, const struct image *image)
{
    const struct image *old = t->image;
    bool all = t->incomplete;
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
            topic_apply(t, after);
        }
        i += order <= 0;
        j += order >= 0;
    }
    image_take(image);
    t->image = image;
    if (old) {
        image_release(old);
    }
}

void partition_table_reconfigure(struct partition_table *t)
{
    for (uint32_t i = 0; t->image && i < image_topic_count(t->image); i++) {
        topic_apply(t, image_topic_at(t->image, i));
    }
}

/* --- retention -------------------------------------------------------------------------------- */

static uint64_t retention_tick_ns(const struct partition_table *t)
{
    uint64_t tick_ms = t->options.retention_check_ms / CHECK_TICKS;
    return (tick_ms < 1000 ? 1000 : tick_ms) * ms_ns;
}

static void retention_done(struct io_op *op, int64_t result)
{
    struct retention_timer *timer = container_of(op, struct retention_timer, op);
    struct partition_table *t = timer->table;
    if (!t) {
        memory_free(io_memory(timer->io), timer);
        return;
    }
    uint64_t tick = retention_tick_ns(t);
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
        if (!p->removing) {
            log_retain(p->log, io_wall_ms(t->io), RETAIN_SEGMENTS);
        }
    }
    io_timer(t->io, op, io_now(t->io) + tick);
}

/* --- the table -------------------------------------------------------------------------------- */

struct partition_table *partition_table_new(struct io *io, const struct partition_options *options)
{
    assert(options->logs && options->configure);
    struct memory *memory = io_memory(io);
    struct partition_table *t = memory_alloc(memory, sizeof *t);
    struct retention_timer *timer = memory_alloc(memory, sizeof *timer);
    if (!t || !timer) {
        memory_free(memory, t);
        memory_free(memory, timer);
        return NULL;
    }
    uint64_t seed;
    io_random(io, &seed, sizeof seed);
    t->io = io;
    t->options = *options;
    t->options.retention_check_ms =
        options->retention_check_ms ? options->retention_check_ms : 300000;
    t->turn.turn_end = table_turn;
    t->timer = timer;
    map_init(&t->by_key, memory, seed, options->partitions_max ? options->partitions_max : 200000);
    list_init(&t->all);
    list_init(&t->moved);
    timer->io = io;
    timer->table = t;
    timer->op.done = retention_done;
    io_timer(io, &timer->op, io_now(io) + retention_tick_ns(t));
    return t;
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
        assert(list_empty(&p->waiters));
        list_remove(&p->moved);
        p->table = NULL;
        if (!p->removing) {
            assert(p->appends == 0);
            log_watch(p->log, NULL);
            memory_free(memory, p);
        } /* else the heap keeps it, for the log is not through with it */
    }
    if (t->turn.link.next) {
        list_remove(&t->turn.link);
    }
    t->timer->table = NULL;
    io_cancel(t->io, &t->timer->op);
    map_deinit(&t->by_key);
    if (t->image) {
        image_release(t->image);
    }
    memory_free(memory, t);
}

/* --- serving ---------------------------------------------------------------------------------- */

int partition_leader(struct partition_table *t, struct uuid topic_id, int32_t partition,
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
    if (p->leader != t->options.node_id) {
        return ERR_NOT_LEADER_OR_FOLLOWER;
    }
    *out = p;
    return 0;
}

struct log *partition_log(struct partition *p)
{
    return p->log;
}

int32_t partition_epoch(const struct partition *p)
{
    return p->epoch;
}

int64_t partition_high_watermark(const struct partition *p)
{
    struct log_status status = log_status(p->log);
    assert(status.durable_offset <= status.end_offset);
    return status.durable_offset;
}

int64_t partition_log_start(const struct partition *p)
{
    return log_status(p->log).start_offset;
}

static void append_done(struct log_append *append, int error)
{
    struct partition_append *a = container_of(append, struct partition_append, append);
    struct partition *p = a->priv.partition;
    assert(p->magic == PARTITION_MAGIC && p->appends > 0);
    p->appends--;
    if (error == ERR_CLOSED) {
        error = p->removing ? ERR_UNKNOWN_TOPIC_OR_PARTITION : ERR_NOT_LEADER_OR_FOLLOWER;
    }
    if (p->removing && p->table) {
        partition_maybe_free(p, p->table->io);
    }
    a->done(a, error);
}

void partition_append(struct partition *p, struct partition_append *a)
{
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    assert(p->leader == p->table->options.node_id);
    assert(a->done && (a->acks == 0 || a->acks == 1 || a->acks == -1));
    a->priv.partition = p;
    a->append.as_leader = true;
    a->append.leader_epoch = p->epoch;
    a->append.done = append_done;
    p->appends++;
    log_append(p->log, &a->append);
}
