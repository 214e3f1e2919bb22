/* SPDX-License-Identifier: Apache-2.0 */

/* See world.h. What the node owns (sets, logs) goes with it; what is asked of it lives in the
 * test's memory, as a client's would. */
#include "world.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_NS_MAX (60ull * 1000000000)

enum { STEPS_MAX = 20000000 };

static const struct world_slot *slot_of(const struct world *w, struct uuid topic_id,
                                        int32_t partition)
{
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        if (uuid_equal(w->slots[i].id, topic_id) && partition == 0) {
            return &w->slots[i];
        }
    }
    return NULL;
}

static const char *known_topic(void *context, struct uuid topic_id, int32_t partition)
{
    const struct world_slot *s = slot_of(context, topic_id, partition);
    return s && !s->unknown && !s->doubtful ? s->topic : NULL;
}

static const char *doubtful_topic(void *context, struct uuid topic_id, int32_t partition)
{
    const struct world_slot *s = slot_of(context, topic_id, partition);
    return s && s->doubtful ? s->topic : NULL;
}

void world_open_telling(struct world *w, uint64_t seed, FILE *story)
{
    *w = (struct world){0};
    struct sim_options options = {
        .seed = seed, .story = getenv("WORLD_STORY") ? stderr : story, .catch_asserts = true};
    w->sim = sim_new(&options);
    w->node = sim_node_new(w->sim, "a");
    memory_init(&w->memory, (size_t)1 << 30);
    w->options = (struct log_options){
        .root = "data",
        .journal_file_bytes = 256 << 10,
        .journal_bytes_max = 1 << 20,
        .memory_journal_bytes = 1 << 20,
        .chunk_bytes_max = 64 << 10,
        .tail_bytes_max = 2 << 20,
        .read_bytes_max = 2 << 20,
        .read_ahead_bytes = 64 << 10,
        .trash_step_bytes = 12 << 10,
        .write_behind_bytes = 16 << 10,
        .disk_reserve_bytes = 1 << 20,
        .known = known_topic,
        .doubtful = doubtful_topic,
        .known_context = w,
    };
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        struct world_slot *s = &w->slots[i];
        s->id.bytes[0] = (uint8_t)(i + 1);
        s->id.bytes[15] = (uint8_t)(i * 7 + 1);
        snprintf(s->topic, sizeof s->topic, "t%u", i);
        s->config = (struct log_config){.segment_bytes = 64 << 10,
                                        .retention_ms = -1,
                                        .retention_bytes = -1,
                                        .index_interval_bytes = 4096};
        s->given = calloc(WORLD_GIVEN_MAX, sizeof *s->given);
    }
}

void world_open(struct world *w, uint64_t seed)
{
    world_open_telling(w, seed, NULL);
}

void world_close(struct world *w)
{
    sim_free(w->sim);
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        free(w->slots[i].given);
    }
    memory_drop(&w->memory);
}

/* --- running ------------------------------------------------------------------------------ */

bool world_runs(const struct world *w)
{
    return sim_node_state(w->node) == SIM_RUNNING;
}

bool world_until(struct world *w, const bool *flag)
{
    uint64_t limit = sim_now(w->sim) + ANSWER_NS_MAX;
    for (unsigned steps = 0; !*flag; steps++) {
        if (!world_runs(w)) {
            cr_assert_neq(sim_node_state(w->node), SIM_ASSERTED, "an assertion failed: %s",
                          sim_node_last_line(w->node));
            return false;
        }
        cr_assert(sim_step(w->sim) && steps < STEPS_MAX && sim_now(w->sim) < limit,
                  "no answer came");
    }
    return true;
}

void world_wait_ms(struct world *w, uint64_t ms)
{
    sim_run(w->sim, sim_now(w->sim) + ms * 1000000);
    cr_assert_neq(sim_node_state(w->node), SIM_ASSERTED, "an assertion failed: %s",
                  sim_node_last_line(w->node));
}

struct errand {
    struct io_message message;
    void (*function)(void *argument);
    void *argument;
    bool done;
};

static void errand_run(struct io_message *m, struct io *io)
{
    struct errand *e = container_of(m, struct errand, message);
    e->function(e->argument);
    e->done = true;
}

static bool do_on_shard(struct world *w, unsigned shard, void (*function)(void *argument),
                        void *argument)
{
    if (!world_runs(w)) {
        return false;
    }
    struct errand *e =
        memory_alloc(&w->memory, sizeof *e); /* what the node's end leaves goes with it */
    *e = (struct errand){.message.deliver = errand_run, .function = function, .argument = argument};
    struct io *io = sim_node_shard(w->node, shard);
    io_post(io, shard, &e->message);
    bool done = world_until(w, &e->done);
    if (done) {
        memory_free(&w->memory, e);
    }
    return done;
}

unsigned world_home(const struct world *w, unsigned slot)
{
    return log_home(bytes_of_string(w->slots[slot].topic), 0, w->shards);
}

bool world_do(struct world *w, unsigned slot, void (*function)(void *argument), void *argument)
{
    return do_on_shard(w, world_home(w, slot), function, argument);
}

/* --- a life --------------------------------------------------------------------------------- */

struct opening {
    struct world *w;
    unsigned shard;
};

static void open_set(void *argument)
{
    struct opening *o = argument;
    struct world *w = o->w;
    struct io *io = sim_node_shard(w->node, o->shard);
    w->sets[o->shard] = log_set_open(io, w->recovery, &w->options);
}

static void free_recovery(void *argument)
{
    struct world *w = argument;
    log_recovery_free(sim_node_shard(w->node, 0), w->recovery);
    w->recovery = NULL;
}

static void recovered(struct log_recover *r, int error)
{
    struct world *w = container_of(r, struct world, recover);
    w->error = error;
    w->recovery = r->result;
    w->answered = true;
}

static void root_synced(struct io_op *op, int64_t result)
{
    struct world *w = container_of(op, struct world, sync);
    assert(result == 0);
    log_recover(sim_node_shard(w->node, 0), &w->recover, &w->options, w->shards);
}

static void node_start(struct io *io, void *argument)
{
    struct world *w = argument;
    if (io_shard(io) != 0) {
        return;
    }
    struct io_file *root;
    int error = io_mkdir(io, "data");
    assert(error == 0 || error_from_errno(error) == ERR_EXISTS);
    error = io_file_open(io, &root, "/", IO_OPEN_DIRECTORY);
    assert(error == 0);
    w->sync = (struct io_op){.done = root_synced};
    io_sync(io, &w->sync, root);
}

int world_start(struct world *w, unsigned shards)
{
    w->shards = shards;
    w->answered = false;
    w->recover = (struct log_recover){.done = recovered};
    for (unsigned i = 0; i < WORLD_SLOTS; i++) {
        w->slots[i].log = NULL;
    }
    memset(w->sets, 0, sizeof w->sets);
    sim_node_start(w->node, shards, node_start, w);
    if (!world_until(w, &w->answered)) {
        return ERR_CLOSED;
    }
    if (w->error) {
        world_kill(w);
        return w->error;
    }
    for (unsigned shard = 0; shard < shards; shard++) {
        struct opening o = {w, shard};
        if (!do_on_shard(w, shard, open_set, &o)) {
            return ERR_CLOSED;
        }
        cr_assert_not_null(w->sets[shard], "shard %u does not open", shard);
    }
    return do_on_shard(w, 0, free_recovery, w) ? 0 : ERR_CLOSED;
}

void world_started(struct world *w, unsigned shards)
{
    int error = world_start(w, shards);
    cr_assert_eq(error, 0, "start: %s: %s%s", error_name(error), w->recover.summary.damage,
                 sim_node_last_line(w->node));
}

void world_kill(struct world *w)
{
    sim_node_kill(w->node);
}

void world_power_cut(struct world *w)
{
    sim_node_power_cut(w->node);
}

struct closing {
    struct log_set_close close;
    struct log_set *set;
    struct io *io;
    bool closed;
};

static void set_closed(struct log_set_close *c)
{
    struct closing *closing = container_of(c, struct closing, close);
    closing->closed = true;
    io_stop(closing->io);
}

static void close_set(void *argument)
{
    struct closing *c = argument;
    log_set_close(c->set, &c->close);
}

void world_stop(struct world *w)
{
    struct closing closings[WORLD_SHARDS] = {0};
    for (unsigned shard = 0; shard < w->shards; shard++) {
        closings[shard] = (struct closing){
            .close.done = set_closed, .set = w->sets[shard], .io = sim_node_shard(w->node, shard)};
        cr_assert(do_on_shard(w, shard, close_set, &closings[shard]));
    }
    for (unsigned shard = 0; shard < w->shards; shard++) {
        bool closed = world_until(w, &closings[shard].closed) || closings[shard].closed;
        cr_assert(closed, "the node ended while it closed: %s", sim_node_last_line(w->node));
    }
    for (unsigned i = 0; world_runs(w) && i < STEPS_MAX; i++) {
        sim_step(w->sim);
    }
    cr_assert_eq(sim_node_state(w->node), SIM_STOPPED);
}

/* --- logs ----------------------------------------------------------------------------------- */

static void open_log(void *argument)
{
    struct opening *o = argument;
    struct world *w = o->w;
    struct world_slot *s = &w->slots[o->shard];
    s->log = log_open(w->sets[world_home(w, o->shard)], s->id, 0, s->topic, &s->config);
}

struct log *world_log(struct world *w, unsigned slot)
{
    if (!w->slots[slot].log) {
        struct opening o = {w, slot};
        cr_assert(world_do(w, slot, open_log, &o));
        cr_assert_not_null(w->slots[slot].log);
    }
    return w->slots[slot].log;
}

struct log_set *world_set(struct world *w, unsigned slot)
{
    return w->sets[world_home(w, slot)];
}

struct log_status world_status(struct world *w, unsigned slot)
{
    return log_status(world_log(w, slot));
}

/* --- batches -------------------------------------------------------------------------------- */

static struct wire_bytes text_bytes(const char *text)
{
    return (struct wire_bytes){(const uint8_t *)text, text ? (int32_t)strlen(text) : -1};
}

struct bytes world_batch(struct world *w, const struct batch_spec *spec)
{
    static uint8_t value[1 << 20];
    struct prng random = sim_random(w->sim, prng_mix(sim_events(w->sim) + sim_now(w->sim)));
    uint32_t size = spec->value_bytes ? spec->value_bytes : 100;
    cr_assert_leq(size, sizeof value);
    struct batch_builder b;
    batch_builder_init(&b, &w->memory, 64 << 20);
    int32_t records = spec->records ? spec->records : 1;
    for (int32_t i = 0; i < records; i++) {
        prng_fill(&random, value, size);
        struct record_input r = {.timestamp = (spec->timestamp ? spec->timestamp : 1000) + i,
                                 .key.size = -1,
                                 .value = {value, (int32_t)size}};
        if (spec->key) {
            r.key = text_bytes(spec->key);
            r.value = text_bytes(spec->text);
        }
        cr_assert_eq(batch_append(&b, &r), 0);
    }
    struct batch_options options = batch_options_default();
    options.codec = spec->codec;
    if (spec->producer) {
        options.producer_id = spec->producer_id;
        options.producer_epoch = spec->producer_epoch;
        options.base_sequence = spec->sequence;
    }
    struct bytes out;
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    uint8_t *copy = malloc(out.size);
    memcpy(copy, out.data, out.size);
    out.data = copy;
    batch_builder_deinit(&b);
    return out;
}

static void append_appended(struct log_append *a)
{
    struct world_append *x = container_of(a, struct world_append, append);
    struct world_slot *s = &x->world->slots[x->slot];
    x->appended = true;
    if (a->duplicate) {
        return;
    }
    struct batch_header h;
    assert(s->count < WORLD_GIVEN_MAX);
    assert(batch_header_read(&h, x->batch, a->batch.size) == 0);
    x->index = s->count++;
    s->given[x->index] = (struct given){.base = a->base_offset,
                                        .last = a->base_offset + h.last_offset_delta,
                                        .crc = h.crc,
                                        .size = h.size};
}

static void append_done(struct log_append *a, int error)
{
    struct world_append *x = container_of(a, struct world_append, append);
    assert(!x->done);
    x->error = error;
    x->done = true;
    if (error == 0 && x->index != UINT32_MAX) {
        x->world->slots[x->slot].given[x->index].told = true;
    }
}

static void append_prepare(struct world *w, unsigned slot, const struct batch_spec *spec,
                           struct world_append *a)
{
    struct bytes batch = world_batch(w, spec);
    *a = (struct world_append){.world = w, .slot = slot, .index = UINT32_MAX};
    a->batch = (uint8_t *)batch.data;
    a->append = (struct log_append){.batch = batch,
                                    .leader_epoch = w->slots[slot].epoch,
                                    .as_leader = true,
                                    .waited = true,
                                    .appended = append_appended,
                                    .done = append_done};
}

static void append_run(void *argument)
{
    struct world_append *a = argument;
    log_append(a->world->slots[a->slot].log, &a->append);
}

void world_append_begin(struct world *w, unsigned slot, const struct batch_spec *spec,
                        struct world_append *a)
{
    world_log(w, slot);
    append_prepare(w, slot, spec, a);
    cr_assert(world_do(w, slot, append_run, a));
}

int world_append_end(struct world_append *a)
{
    bool done = world_until(a->world, &a->done);
    free(a->batch);
    return done ? a->error : ERR_CLOSED;
}

int world_append(struct world *w, unsigned slot, const struct batch_spec *spec, int64_t *base)
{
    struct world_append a;
    world_append_begin(w, slot, spec, &a);
    int error = world_append_end(&a);
    if (base) {
        *base = a.append.base_offset;
    }
    return error;
}

void world_fill(struct world *w, unsigned slot, const struct batch_spec *spec, unsigned count)
{
    enum { AT_ONCE = 32 };
    static struct world_append appends[AT_ONCE];
    for (unsigned at = 0; at < count; at += AT_ONCE) {
        unsigned n = count - at < AT_ONCE ? count - at : AT_ONCE;
        for (unsigned i = 0; i < n; i++) {
            world_append_begin(w, slot, spec, &appends[i]);
        }
        for (unsigned i = 0; i < n; i++) {
            int error = world_append_end(&appends[i]);
            cr_assert_eq(error, 0, "append: %s %s", error_name(error), sim_node_last_line(w->node));
        }
    }
}

void world_load_begin(struct world_load *l, struct world *w, unsigned slots,
                      const struct batch_spec *spec, unsigned count)
{
    *l = (struct world_load){.world = w};
    l->appends = calloc(count, sizeof *l->appends);
    bool runs = true;
    for (unsigned i = 0; i < count && runs; i++) {
        struct opening o = {w, i % slots};
        if (!w->slots[i % slots].log && !world_do(w, i % slots, open_log, &o)) {
            return; /* the node has ended */
        }
        append_prepare(w, i % slots, spec, &l->appends[l->count++]);
        runs = world_do(w, i % slots, append_run, &l->appends[i]);
    }
}

void world_load_end(struct world_load *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        int error = world_append_end(&l->appends[i]);
        l->told += error == 0;
        l->failed += error != 0;
        l->first_error = l->first_error ? l->first_error : error;
    }
    free(l->appends);
}

/* --- controls and look-ups -------------------------------------------------------------------- */

struct asked {
    struct log *log;
    union {
        struct log_control control;
        struct log_find_time find;
    };
    bool done;
    int error;
};

static void control_done(struct log_control *c, int error)
{
    struct asked *a = container_of(c, struct asked, control);
    a->error = error;
    a->done = true;
}

static void control_run(void *argument)
{
    struct asked *a = argument;
    log_control(a->log, &a->control);
}

static int control_ask(struct world *w, unsigned slot, enum log_control_kind kind, int64_t offset,
                       int32_t epoch)
{
    struct asked *a = memory_alloc(&w->memory, sizeof *a);
    a->log = world_log(w, slot);
    a->control = (struct log_control){
        .kind = kind, .offset = offset, .leader_epoch = epoch, .done = control_done};
    bool done = world_do(w, slot, control_run, a) && world_until(w, &a->done);
    int error = done ? a->error : ERR_CLOSED;
    if (error == 0 && kind == LOG_TRUNCATE) {
        world_forget_from(w, slot, offset);
    } else if (error == 0 && kind == LOG_START && offset > w->slots[slot].start) {
        w->slots[slot].start = offset;
    } else if (error == 0 && kind == LOG_REMOVE) {
        w->slots[slot].log = NULL;
        w->slots[slot].count = 0;
        w->slots[slot].start = 0;
    } else if (error == 0 && kind == LOG_ANEW) {
        w->slots[slot].count = 0;
        w->slots[slot].start = offset;
    }
    if (done) {
        memory_free(&w->memory, a);
    }
    return error;
}

int world_control(struct world *w, unsigned slot, enum log_control_kind kind, int64_t offset)
{
    return control_ask(w, slot, kind, offset, -1);
}

int world_anew(struct world *w, unsigned slot, int64_t offset, int32_t epoch)
{
    return control_ask(w, slot, LOG_ANEW, offset, epoch);
}

static void time_found(struct log_find_time *f, int error)
{
    struct asked *a = container_of(f, struct asked, find);
    a->error = error;
    a->done = true;
}

static void time_run(void *argument)
{
    struct asked *a = argument;
    log_find_time(a->log, &a->find);
}

static int find_ask(struct world *w, unsigned slot, struct log_find_time find, int64_t *offset,
                    int64_t *found)
{
    struct asked a = {.log = world_log(w, slot), .find = find};
    a.find.done = time_found;
    cr_assert(world_do(w, slot, time_run, &a));
    cr_assert(world_until(w, &a.done));
    *offset = a.find.offset_found;
    *found = a.find.timestamp_found;
    return a.error;
}

int world_find_time(struct world *w, unsigned slot, int64_t timestamp, int64_t *offset,
                    int64_t *found)
{
    struct log_find_time find = {.timestamp = timestamp};
    return find_ask(w, slot, find, offset, found);
}

int world_find_latest(struct world *w, unsigned slot, int64_t *offset, int64_t *found)
{
    struct log_find_time find = {.latest = true};
    return find_ask(w, slot, find, offset, found);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reading {
    struct log *log;
    struct log_read *read;
    struct wire_writer *out;
    bool done, inside;
    int error;
};

static void read_take(struct reading *r, int error)
{
    r->error = error;
    for (uint32_t i = 0; i < r->read->slice_count && error == 0; i++) {
        const struct slice *s = &r->read->slices[i];
        uint8_t *room = r->out ? wire_writer_room(r->out, s->size) : NULL;
        if (room) {
            memcpy(room, s->data, s->size);
        }
        slice_release(&r->read->slices[i]);
    }
    r->done = true;
}

struct world_reading { /* so that done() finds its way */
    struct log_read read;
    struct reading *r;
};

static void read_done(struct log_read *read, int error)
{
    struct world_reading *x = container_of(read, struct world_reading, read);
    cr_assert(!x->r->inside, "done() comes from the loop, not from inside log_read()");
    read_take(x->r, error);
}

static void read_run(void *argument)
{
    struct reading *r = argument;
    r->inside = true;
    int verdict = log_read(r->log, r->read);
    r->inside = false;
    if (verdict != 0) {
        read_take(r, verdict == 1 ? 0 : verdict);
    }
}

int world_read(struct world *w, unsigned slot, struct log_read *read, struct wire_writer *out)
{
    struct world_reading x = {.read = *read};
    struct reading r = {.log = world_log(w, slot), .read = &x.read, .out = out};
    x.r = &r;
    x.read.done = read_done;
    if (!world_do(w, slot, read_run, &r) || !world_until(w, &r.done)) {
        return ERR_CLOSED;
    }
    *read = x.read;
    return r.error;
}

/* Compares the batches in `data` with what was given from *index on. */
static void compare(struct world_slot *s, const uint8_t *data, size_t size, unsigned *index)
{
    while (size > 0) {
        struct batch_header h;
        cr_assert_eq(batch_header_read(&h, data, size), 0, "%s: no whole batch", s->topic);
        cr_assert_eq(batch_check(&h, data, h.size, BATCH_FROM_LOG), 0,
                     "%s: the batch at %lld fails its checks", s->topic, (long long)h.base_offset);
        cr_assert_lt(*index, s->count, "%s: offset %lld was never given", s->topic,
                     (long long)h.base_offset);
        const struct given *g = &s->given[*index];
        cr_assert(g->base == h.base_offset && g->crc == h.crc && g->size == h.size,
                  "%s: at offset %lld stands (crc %08x), given was %lld (crc %08x)", s->topic,
                  (long long)h.base_offset, h.crc, (long long)g->base, g->crc);
        ++*index;
        data += h.size;
        size -= h.size;
    }
}

unsigned world_check(struct world *w, unsigned slot)
{
    struct world_slot *s = &w->slots[slot];
    struct log_status status = world_status(w, slot);
    cr_assert_eq(status.start_offset, s->start, "%s starts at %lld, expected %lld", s->topic,
                 (long long)status.start_offset, (long long)s->start);
    unsigned index = 0;
    while (index < s->count && s->given[index].last < status.start_offset) {
        index++;
    }
    unsigned first = index;
    struct log_read r = {
        .offset = status.start_offset, .limit_offset = status.end_offset, .first_whole = true};
    while (r.offset < status.end_offset) {
        struct wire_writer out;
        wire_writer_init(&out, &w->memory, 64 << 20);
        r.bytes_max = 100000;
        int error = world_read(w, slot, &r, &out);
        cr_assert_eq(error, 0, "%s: a read at %lld: %s", s->topic, (long long)r.offset,
                     error_name(error));
        if (s->in_gap && out.size == 0) {
            wire_writer_deinit(&out);
            break;
        }
        cr_assert_gt(r.next_offset, r.offset, "%s: a read at %lld returns nothing", s->topic,
                     (long long)r.offset);
        compare(s, out.data, out.size, &index);
        wire_writer_deinit(&out);
        r.offset = r.next_offset;
    }
    for (unsigned i = index; i < s->count; i++) {
        cr_assert(!s->given[i].told, "%s: offset %lld was told as durable and is lost", s->topic,
                  (long long)s->given[i].base);
    }
    int64_t end = index > 0 ? s->given[index - 1].last + 1 : 0;
    cr_assert(index == first || (s->in_gap ? status.end_offset > end : status.end_offset == end),
              "%s ends at %lld, read up to %lld", s->topic, (long long)status.end_offset,
              (long long)end);
    s->count = index;
    for (unsigned i = first; i < index; i++) {
        s->given[i].told = true; /* what was read once must stay */
    }
    return index - first;
}

void world_forget_from(struct world *w, unsigned slot, int64_t offset)
{
    struct world_slot *s = &w->slots[slot];
    while (s->count > 0 && s->given[s->count - 1].last >= offset) {
        s->count--;
    }
}

/* --- the disk ---------------------------------------------------------------------------------- */

static struct disk_inode *find(struct world *w, const char *path)
{
    char full[200];
    snprintf(full, sizeof full, "data/%s", path);
    return disk_find(sim_node_disk(w->node), full);
}

uint64_t world_file_size(struct world *w, const char *path)
{
    struct disk_inode *inode = find(w, path);
    return inode ? disk_size(inode) : 0;
}

void world_unlink(struct world *w, const char *path)
{
    struct disk *d = sim_node_disk(w->node);
    char whole[256];
    snprintf(whole, sizeof whole, "%s/%s", w->options.root, path);
    cr_assert_geq(disk_end(d, disk_unlink_begin(d, whole)), 0, "no file %s", path);
}

void world_break(struct world *w, const char *path, uint32_t block)
{
    disk_break(sim_node_disk(w->node), find(w, path), block);
}

void world_flip(struct world *w, const char *path, uint64_t position, unsigned bit)
{
    struct disk *d = sim_node_disk(w->node);
    struct disk_inode *inode = find(w, path);
    cr_assert_not_null(inode, "no file %s", path);
    cr_assert_lt(position, disk_size(inode));
    uint8_t *block = aligned_alloc(DISK_BLOCK_SIZE, DISK_BLOCK_SIZE);
    uint32_t number = (uint32_t)(position / DISK_BLOCK_SIZE);
    uint64_t size = disk_size(inode);
    disk_peek(d, inode, number, block);
    block[position % DISK_BLOCK_SIZE] ^= (uint8_t)(1u << bit);
    uint64_t part = size - (uint64_t)number * DISK_BLOCK_SIZE;
    part = part < DISK_BLOCK_SIZE ? part : DISK_BLOCK_SIZE;
    struct iovec iov = {block, part};
    struct disk_op *op =
        disk_write_begin(d, inode, &iov, 1, (uint64_t)number * DISK_BLOCK_SIZE, true);
    cr_assert_eq(disk_end(d, op), (int64_t)part);
    free(block);
}

struct counting {
    const char *prefix;
    unsigned count;
};

static void count_file(void *context, const char *path, struct disk_inode *inode)
{
    struct counting *c = context;
    const char *at = strncmp(path, "/", 1) == 0 ? path + 1 : path;
    c->count += strncmp(at, c->prefix, strlen(c->prefix)) == 0;
}

unsigned world_count_files(struct world *w, const char *prefix)
{
    char full[200];
    snprintf(full, sizeof full, "data/%s", prefix);
    struct counting c = {full, 0};
    disk_each(sim_node_disk(w->node), count_file, &c);
    return c.count;
}
