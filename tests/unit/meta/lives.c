/* SPDX-License-Identifier: Apache-2.0 */
#include "lives.h"

#include <errno.h>
#include <stdio.h>

#include <criterion/criterion.h>

/* Names of which none collides with another. */
void lives_name(unsigned index, char out[static 16])
{
    snprintf(out, 16, index % 3 == 0 ? "t.%u" : "topic-%u", index);
}

/* --- checking --------------------------------------------------------------------------------- */

static void check_topic(struct lives *l, struct told *told, const struct image_topic *t)
{
    if (told->known == KNOWN_PRESENT) {
        assert(t); /* an acknowledged topic is there */
        assert(uuid_equal(t->id, told->id));
        assert(t->partition_count >= told->partitions);
    }
    assert(told->known != KNOWN_ABSENT || !t); /* a deleted topic does not come back */
    told->known = t ? KNOWN_PRESENT : KNOWN_ABSENT;
    if (!t) {
        return;
    }
    if (!uuid_equal(t->id, told->id)) {
        memset(told->leader_epoch, 0xff, sizeof told->leader_epoch);
    }
    told->id = t->id;
    told->partitions = t->partition_count;
    assert(t->partition_count > 0);
    for (int32_t i = 0; i < t->partition_count && i < LIVES_EPOCHS; i++) {
        assert(t->partitions[i].leader == l->options.node_id);
        assert(t->partitions[i].leader_epoch > told->leader_epoch[i]); /* P2a */
        told->leader_epoch[i] = t->partitions[i].leader_epoch;
    }
}

static void check_image(struct lives *l, const struct image *image)
{
    char name[16];
    uint32_t present = 0;
    for (unsigned i = 0; i < LIVES_NAMES; i++) {
        lives_name(i, name);
        check_topic(l, &l->topics[i], image_topic_by_name(image, bytes_of_string(name)));
        l->topics[i].busy = false;
        present += l->topics[i].known == KNOWN_PRESENT;
    }
    assert(image_topic_count(image) == present);
    assert(l->open.broker_epoch > l->broker_epoch);
    assert(image_controller(image) == l->options.node_id);
    assert(image_broker_count(image) == 1);
    assert(!image_broker_at(image, 0)->fenced);
    assert(image_broker_at(image, 0)->epoch == l->open.broker_epoch);
    assert(!l->founded || uuid_equal(l->cluster_id, l->open.cluster_id));
    assert(!l->founded || uuid_equal(l->directory_id, l->open.directory_id));
    l->broker_epoch = l->open.broker_epoch;
    l->founded = true;
    l->cluster_id = l->open.cluster_id;
    l->directory_id = l->open.directory_id;
}

/* --- working ---------------------------------------------------------------------------------- */

static void stop_shard(struct io_message *message, struct io *io)
{
    io_stop(io);
}

static void each_snapshot(void *context, const char *name, bool directory)
{
    struct lives *l = context;
    char path[IO_PATH_MAX];
    if (strcmp(name, "snapshot.tmp") == 0) {
        return;
    }
    snprintf(path, sizeof path, "%s/snapshots/%s", l->options.root, name);
    if (strcmp(path, l->newest_snapshot) > 0) {
        memcpy(l->newest_snapshot, path, sizeof path);
        l->snapshots++;
    }
}

static void stop_all(struct lives *l)
{
    for (unsigned i = 0; i < l->shards; i++) {
        l->stops[i].deliver = stop_shard;
        io_post(l->ios[0], i, &l->stops[i]);
    }
}

static void closed(struct meta_close *c)
{
    struct lives *l = container_of(c, struct lives, close);
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/snapshots", l->options.root);
    int error = io_list(l->ios[0], path, each_snapshot, l);
    assert(!error);
    l->closed = true;
    stop_all(l);
}

static void last_worker_ended(struct io_message *message, struct io *io)
{
    struct lives *l = container_of(message, struct lives, last);
    image_release(l->image);
    l->image = NULL;
    l->close.done = closed;
    meta_close(l->meta, &l->close);
}

static void answered(struct meta_op *op);

/* What may be asked about a topic now; the tally says what may become of it. */
static void choose(struct worker *w)
{
    struct lives *l = w->lives;
    unsigned index = (unsigned)prng_below(&l->choices, LIVES_NAMES);
    struct told *t = &l->topics[index];
    w->op = (struct meta_op){.done = answered, .kind = META_PRODUCER_IDS};
    if (t->busy || prng_chance(&l->choices, 1, 8)) {
        return;
    }
    lives_name(index, w->name);
    w->topic = t;
    t->busy = true;
    w->op.topic = w->name;
    if (t->known == KNOWN_ABSENT) {
        w->op.kind = META_CREATE_TOPIC;
        w->op.replication_factor = -1;
        w->partitions = w->op.partitions = 1 + (int32_t)prng_below(&l->choices, 4);
        t->known = KNOWN_MAYBE;
        return;
    }
    assert(t->known == KNOWN_PRESENT);
    if (prng_chance(&l->choices, 1, 2)) {
        w->op.kind = META_DELETE_TOPIC;
        t->known = KNOWN_MAYBE;
        return;
    }
    w->op.kind = META_CREATE_PARTITIONS;
    w->partitions = w->op.partitions = t->partitions + 1;
}

static void work(struct worker *w)
{
    struct lives *l = w->lives;
    if (l->submitted == l->ops_per_life) {
        if (--l->working == 0) {
            l->last.deliver = last_worker_ended;
            io_post(w->io, 0, &l->last);
        }
        return;
    }
    l->submitted++;
    choose(w);
    meta_submit(l->meta, w->io, &w->op);
}

static void answered(struct meta_op *op)
{
    struct worker *w = container_of(op, struct worker, op);
    struct lives *l = w->lives;
    struct told *t = w->topic;
    assert(!op->error);
    assert(!l->min_isr || image_cluster_min_isr(l->image) == l->min_isr);
    l->acknowledged++;
    switch (op->kind) {
    case META_CREATE_TOPIC:
        t->known = KNOWN_PRESENT;
        t->id = op->topic_id;
        t->partitions = w->partitions;
        memset(t->leader_epoch, 0, sizeof t->leader_epoch);
        assert(image_topic_by_id(l->image, t->id)); /* published before it is done */
        break;
    case META_DELETE_TOPIC:
        t->known = KNOWN_ABSENT;
        assert(!image_topic_by_id(l->image, t->id));
        break;
    case META_CREATE_PARTITIONS:
        t->partitions = w->partitions;
        for (int32_t i = w->partitions - 1; i < LIVES_EPOCHS; i++) {
            t->leader_epoch[i] = 0;
        }
        break;
    default:
        /* No block twice (PROTOCOL 9, trap 11); answers of two shards come in any order. */
        assert(op->producer_id_count == 1000 && op->producer_id_first % 1000 == 0);
        assert(op->producer_id_first / 1000 < LIVES_BLOCKS);
        assert(!l->blocks[op->producer_id_first / 1000]);
        l->blocks[op->producer_id_first / 1000] = true;
    }
    if (op->kind != META_PRODUCER_IDS) {
        t->busy = false;
    }
    work(w);
}

/* --- starting --------------------------------------------------------------------------------- */

static void worker_started(struct io_message *message, struct io *io)
{
    struct worker *w = container_of(message, struct worker, start);
    w->io = io;
    work(w);
}

static void published(void *context, const struct image *image)
{
    struct lives *l = context;
    image_take(image);
    image_release(l->image);
    l->image = image;
}

static void opened(struct meta_open *o, int error)
{
    struct lives *l = container_of(o, struct lives, open);
    struct io *io = l->ios[0];
    l->open_error = error;
    if (l->expect_error) {
        stop_all(l);
        return;
    }
    assert(!error);
    assert(l->image);
    l->opened = true;
    l->meta = o->meta;
    check_image(l, l->image);
    l->working = LIVES_WORKERS;
    for (unsigned i = 0; i < LIVES_WORKERS; i++) {
        l->workers[i].lives = l;
        l->workers[i].start.deliver = worker_started;
        io_post(io, i % l->shards, &l->workers[i].start);
    }
}

static void root_is_durable(struct file_sync *sync, int error)
{
    struct lives *l = container_of(sync, struct lives, sync);
    assert(!error);
    l->open.done = opened;
    meta_open(l->ios[0], &l->open, &l->options);
}

static void data_is_durable(struct file_sync *sync, int error)
{
    struct lives *l = container_of(sync, struct lives, sync);
    assert(!error);
    sync->done = root_is_durable;
    file_sync_directory(l->ios[0], sync, "/data");
}

/* The root that meta_open() is given exists, durably. */
static void start(struct io *io, void *argument)
{
    struct lives *l = argument;
    l->ios[io_shard(io)] = io;
    if (io_shard(io) != 0) {
        return;
    }
    int error = io_mkdir(io, "/data");
    assert(error == 0 || error == -EEXIST);
    error = io_mkdir(io, l->options.root);
    assert(error == 0 || error == -EEXIST);
    l->sync.done = data_is_durable;
    file_sync_directory(io, &l->sync, "/");
}

void lives_init(struct lives *l, uint64_t seed, unsigned shards)
{
    memset(l, 0, sizeof *l);
    l->sim = sim_new(&(struct sim_options){.seed = seed, .catch_asserts = true});
    l->node = sim_node_new(l->sim, "one");
    l->shards = shards;
    l->choices = prng_of(seed);
    l->broker_epoch = -1;
    l->ops_per_life = 60;
    static const struct image_endpoint endpoint = {"plain", "one", 9092};
    l->options = (struct meta_options){
        .root = "/data/meta",
        .node_id = 1,
        .endpoints = &endpoint,
        .endpoint_count = 1,
        .num_partitions = 1,
        .default_replication_factor = 1,
        .topics_max = 1000,
        .partitions_max = 10000,
        .journal_file_bytes = 512 << 10,
        .snapshot_bytes = 3000,
        .publish = published,
        .publish_context = l,
    };
}

void lives_deinit(struct lives *l)
{
    sim_free(l->sim);
}

enum sim_state lives_run(struct lives *l, uint64_t crash_after, enum sim_crash_kind kind)
{
    memset(&l->open, 0, sizeof l->open);
    memset(&l->close, 0, sizeof l->close);
    memset(l->ios, 0, sizeof l->ios);
    memset(l->workers, 0, sizeof l->workers);
    memset(&l->last, 0, sizeof l->last);
    memset(l->stops, 0, sizeof l->stops);
    l->meta = NULL;
    l->image = NULL;
    l->working = l->submitted = 0;
    l->opened = l->closed = false;
    l->open_error = 0;
    sim_node_start(l->node, l->shards, start, l);
    sim_crash_after(l->node, crash_after, kind);
    sim_run(l->sim, sim_now(l->sim) + 60000000000);
    return sim_node_state(l->node);
}
