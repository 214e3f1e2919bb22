/* SPDX-License-Identifier: Apache-2.0 */

/* What a shard of the explored node does: shows each of its logs to the judge, then acts at random.
 * All state here is the node's memory and goes with it; what was given and what was told is noted
 * in the walk's oracle at the moment it happens. */
#include "log_crash_private.h"

#include "log/producers.h"

#include <inttypes.h>
#include <stdio.h>

enum { IN_FLIGHT_MAX = 24, READ_BYTES = 32768 };

static void show_next(struct driver *d);
static void step_later(struct driver *d);

static struct prng *chance(struct driver *d)
{
    return &d->w->st.random;
}

void driver_violation(struct driven *l, const char *what, int error)
{
    struct walk *w = l->driver->w;
    sim_storage_violation(&w->st, "%s: %s: %s", w->logs[l->slot].topic, what, error_name(error));
}

/* --- showing ----------------------------------------------------------------------------- */

static bool at_home(const struct driver *d, const struct oracle_log *o)
{
    struct bytes name = bytes_of_string(o->topic);
    return log_home(name, o->partition, d->w->shards) == io_shard(d->io);
}

static void driven_open(struct driver *d, unsigned slot)
{
    struct walk *w = d->w;
    struct driven *l = &d->logs[slot];
    struct oracle_log *o = &w->logs[slot];
    struct log_config config = walk_config(w, slot);
    *l = (struct driven){.driver = d, .slot = slot, .openings = l->openings + 1};
    l->log = log_open(d->set, o->topic_id, o->partition, o->topic, &config);
    if (!l->log) {
        sim_storage_violation(&w->st, "log_open: no memory");
    }
}

static bool has_gaps(const struct oracle_log *o)
{
    return o->compact || o->gaps;
}

/* Epochs of what is shown: each ends where the next larger one begins. */
static void show_epochs(struct driven *l, const struct oracle_state *s)
{
    struct walk *w = l->driver->w;
    for (uint32_t i = 0; i < s->count; i++) {
        int32_t epoch = s->items[i].epoch, found;
        int64_t end = log_status(l->log).end_offset;
        for (uint32_t k = i; k < s->count; k++) {
            if (s->items[k].epoch > epoch) {
                end = s->items[k].base;
                break;
            }
        }
        int64_t said = log_epoch_end(l->log, epoch, &found);
        /* The first batches of the next epoch may have been compacted away, here or by its leader. */
        bool right =
            has_gaps(&w->logs[l->slot]) ? said > s->items[i].last && said <= end : said == end;
        if (found != epoch || !right) {
            sim_storage_violation(&w->st,
                                  "%s: epoch %d ends at %" PRId64 ", log says %d at %" PRId64,
                                  w->logs[l->slot].topic, (int)epoch, end, (int)found, said);
            return;
        }
    }
}

static void shown(struct driven *l)
{
    struct walk *w = l->driver->w;
    struct oracle_state *s = &w->shown[l->slot];
    struct log_status status = log_status(l->log);
    if (!w->unreadable[l->slot]) {
        show_epochs(l, s);
        bool in_gap = w->logs[l->slot].gaps && s->end < status.end_offset;
        if (s->count > 0 && s->end != status.end_offset && !in_gap) {
            sim_storage_violation(&w->st, "%s ends at %" PRId64 ", says %" PRId64,
                                  w->logs[l->slot].topic, s->end, status.end_offset);
        }
    }
    if (status.durable_offset != status.end_offset) {
        sim_storage_violation(&w->st, "%s: recovered up to %" PRId64 ", durable up to %" PRId64,
                              w->logs[l->slot].topic, status.end_offset, status.durable_offset);
    }
    s->end = status.end_offset;
    if (w->epoch[l->slot] < status.leader_epoch) {
        w->epoch[l->slot] = status.leader_epoch;
    }
    l->driver->showing++;
    show_next(l->driver);
}

static void read_free(struct log_read *r)
{
    for (uint32_t i = 0; i < r->slice_count; i++) {
        slice_release(&r->slices[i]);
    }
    r->slice_count = 0;
}

static void show_more(struct driven *l);

static void show_read(struct log_read *r, int error)
{
    struct driven *l = container_of(r, struct driven, read);
    struct walk *w = l->driver->w;
    if (error == ERR_DAMAGED && w->st.damaged) {
        w->unreadable[l->slot] = true;
        shown(l);
        return;
    }
    if (error) {
        driver_violation(l, "a read of what was recovered", error);
        return;
    }
    char why[200];
    int64_t next = r->offset;
    if (r->size == 0 && w->logs[l->slot].gaps) { /* the log ends in a gap */
        shown(l);
        return;
    }
    if (!batch_parse(r->slices, r->slice_count, has_gaps(&w->logs[l->slot]), &w->shown[l->slot],
                     &next, why, sizeof why) ||
        next <= r->offset || next != r->next_offset) {
        sim_storage_violation(&w->st, "%s at %" PRId64 ": %s", w->logs[l->slot].topic, r->offset,
                              next <= r->offset ? "a read returned nothing" : why);
        return;
    }
    read_free(r);
    r->offset = next;
    show_more(l);
}

static void show_more(struct driven *l)
{
    struct log_status status = log_status(l->log);
    if (l->read.offset >= status.end_offset) {
        shown(l);
        return;
    }
    l->read.limit_offset = status.end_offset;
    l->read.bytes_max = READ_BYTES;
    l->read.first_whole = true;
    l->read.done = show_read;
    int answer = log_read(l->log, &l->read);
    if (answer != 0) {
        show_read(&l->read, answer < 0 ? answer : 0);
    }
}

static void show_next(struct driver *d)
{
    struct walk *w = d->w;
    for (; d->showing < WALK_SLOTS; d->showing++) {
        const struct oracle_log *o = &w->logs[d->showing];
        if (at_home(d, o)) {
            driven_open(d, d->showing);
            struct driven *l = &d->logs[d->showing];
            l->read.offset = w->shown[d->showing].start = log_status(l->log).start_offset;
            show_more(l);
            return;
        }
    }
    walk_judge_shard(w);
    step_later(d);
}

/* --- appending --------------------------------------------------------------------------- */

struct given_append {
    struct log_append append;
    struct driven *l;
    uint32_t incarnation, openings, op;
    bool appended;
    bool retry; /* `item` is in the log already */
    struct oracle_item item;
    uint8_t batch[];
};

static void given_free(struct given_append *g)
{
    memory_free(io_memory(g->l->driver->io), g);
}

/* Whether the oracle still speaks of the log that it was given to. */
static bool same_log(const struct given_append *g)
{
    return g->l->driver->w->incarnation[g->l->slot] == g->incarnation;
}

/* Whether the counts of `l` are those of the opening that it was given to. */
static bool same_opening(const struct given_append *g)
{
    return g->l->openings == g->openings;
}

static void given_appended(struct log_append *a)
{
    struct given_append *g = container_of(a, struct given_append, append);
    struct walk *w = g->l->driver->w;
    g->appended = true;
    g->l->unappended -= same_opening(g);
    if (!same_log(g)) {
        return;
    }
    if (g->retry) {
        if (!a->duplicate || a->base_offset != g->item.base) {
            sim_storage_violation(
                &w->st,
                "%s: the batch of producer %" PRId64 " at %" PRId64 " is taken again, at %" PRId64,
                w->logs[g->l->slot].topic, g->item.producer, g->item.base, a->base_offset);
        }
        w->stats->duplicates++;
        return;
    }
    if (a->base_offset != w->logs[g->l->slot].live.end) {
        sim_storage_violation(&w->st, "%s appends at %" PRId64 ", ends at %" PRId64,
                              w->logs[g->l->slot].topic, a->base_offset,
                              w->logs[g->l->slot].live.end);
        return;
    }
    g->item.last += a->base_offset;
    g->item.base = a->base_offset;
    for (uint32_t i = 0; i < g->item.record_count; i++) {
        g->item.records[i].offset += a->base_offset;
    }
    g->op = oracle_append(&w->logs[g->l->slot], g->item);
}

bool driver_may_fail(const struct walk *w, int error)
{
    return error == ERR_CLOSED || (error == ERR_DISK_FULL && w->disk_full) ||
           (error == ERR_DISK_FAILED && w->faults);
}

static void given_done(struct log_append *a, int error)
{
    struct given_append *g = container_of(a, struct given_append, append);
    struct driven *l = g->l;
    struct walk *w = l->driver->w;
    l->in_flight -= same_opening(g);
    l->unappended -= same_opening(g) && !g->appended;
    if (error == 0 && g->appended) {
        if (same_log(g) && !g->retry) {
            oracle_told(&w->logs[l->slot], g->op);
        }
    } else if (error == 0 || g->appended || !driver_may_fail(w, error)) {
        driver_violation(l, g->appended ? "an append that was taken" : "an append", error);
    } else {
        w->stats->disk_full += error == ERR_DISK_FULL;
    }
    given_free(g);
}

/* The newest batch of the producer, and how many of it are newer than `item`. */
static const struct oracle_item *newest_of(const struct oracle_state *s,
                                           const struct oracle_item *item, unsigned *newer)
{
    const struct oracle_item *newest = item;
    *newer = 0;
    for (const struct oracle_item *i = item + 1; i < s->items + s->count; i++) {
        if (i->producer == item->producer) {
            newest = i;
            (*newer)++;
        }
    }
    return newest;
}

/* A batch of a producer somewhere among the last ones, or NULL. */
static const struct oracle_item *some_of_a_producer(struct driver *d, const struct oracle_state *s)
{
    uint64_t back = prng_between(chance(d), 1, 12);
    const struct oracle_item *item = back <= s->count ? &s->items[s->count - back] : NULL;
    return item && item->producer >= 0 ? item : NULL;
}

/* An idempotent batch now and then: the next of a producer that is there, or the first of a new one. */
struct batch_wish driver_wish(struct driver *d, const struct driven *l)
{
    struct walk *w = d->w;
    struct batch_wish wish = {.large = prng_chance(chance(d), w->large, 1000),
                              .keys = w->logs[l->slot].compact ? w->keys : 0,
                              .producer = -1};
    if (l->unappended > 0 || prng_chance(chance(d), 1, 3)) {
        return wish;
    }
    const struct oracle_state *s = &w->logs[l->slot].live;
    const struct oracle_item *item = some_of_a_producer(d, s);
    unsigned newer;
    if (item) {
        item = newest_of(s, item, &newer);
        wish.producer = item->producer;
        wish.sequence = item->sequence + (int32_t)(item->last - item->base) + 1;
    } else {
        wish.producer = (int64_t)++w->ids;
    }
    return wish;
}

static struct given_append *given_new(struct driver *d, struct driven *l,
                                      const struct batch_wish *wish)
{
    struct walk *w = d->w;
    static uint8_t batch[BATCH_BYTES_MAX];
    size_t size = batch_build(chance(d), wish, batch);
    struct given_append *g = memory_alloc(io_memory(d->io), sizeof *g + size);
    if (!g) {
        return NULL;
    }
    g->l = l;
    g->incarnation = w->incarnation[l->slot];
    g->openings = l->openings;
    g->item = (struct oracle_item){.last = batch_records(batch) - 1,
                                   .epoch = w->epoch[l->slot],
                                   .crc = batch_crc(batch),
                                   .producer = wish->producer,
                                   .sequence = wish->producer >= 0 ? wish->sequence : -1};
    bool readable = batch_records_of(&g->item, batch, size);
    assert(readable);
    memcpy(g->batch, batch, size);
    g->append = (struct log_append){
        .batch = bytes_of(g->batch, size),
        .leader_epoch = w->epoch[l->slot],
        .as_leader = true,
        .waited = prng_chance(chance(d), 3, 5),
        .appended = given_appended,
        .done = given_done,
    };
    l->unappended++;
    l->in_flight++;
    return g;
}

static void act_append(struct driver *d, struct driven *l)
{
    const struct oracle_log *o = &d->w->logs[l->slot];
    if (l->following || l->in_flight >= IN_FLIGHT_MAX || o->live.count >= ORACLE_ITEMS_MAX) {
        return;
    }
    struct batch_wish wish = driver_wish(d, l);
    struct given_append *g = given_new(d, l, &wish);
    if (g) {
        log_append(l->log, &g->append);
    }
}

/* A producer that has got no answer sends once more: one of its last five batches, which the log
 * must know, whatever has crashed or been truncated since. */
static void act_retry(struct driver *d, struct driven *l)
{
    const struct oracle_state *s = &d->w->logs[l->slot].live;
    const struct oracle_item *item = some_of_a_producer(d, s);
    unsigned newer = 0;
    if (!item || l->unappended > 0 || l->in_flight >= IN_FLIGHT_MAX ||
        (newest_of(s, item, &newer), newer >= PRODUCER_BATCHES) ||
        (d->w->logs[l->slot].compact && newer > 0)) { /* how many are newer may be compacted away */
        return;
    }
    struct batch_wish wish = {.records = (int32_t)(item->last - item->base) + 1,
                              .producer = item->producer,
                              .sequence = item->sequence,
                              .keys = d->w->logs[l->slot].compact ? d->w->keys : 0};
    struct given_append *g = given_new(d, l, &wish);
    if (g) {
        g->retry = true;
        g->item = *item;
        log_append(l->log, &g->append);
    }
}

static void act_watermark(struct driver *d, struct driven *l)
{
    struct log_status s = log_status(l->log);
    log_raise_watermark(l->log, (int64_t)prng_between(chance(d), (uint64_t)s.high_watermark,
                                                      (uint64_t)s.durable_offset));
}

/* --- controls ---------------------------------------------------------------------------- */

static void control_done(struct log_control *c, int error)
{
    struct given_control *g = container_of(c, struct given_control, control);
    struct driven *l = g->l;
    struct walk *w = l->driver->w;
    l->pending = l->pending == g ? NULL : l->pending;
    if (w->incarnation[l->slot] == g->incarnation) {
        struct oracle_log *o = &w->logs[l->slot];
        if (error == 0) {
            oracle_told(o, g->op);
        } else if (error == ERR_BUSY || error == ERR_CLOSED ||
                   (error == ERR_OFFSET_OUT_OF_RANGE && o->retained)) {
            oracle_refused(o, g->op); /* retention may have been faster */
        } else {
            driver_violation(l, "a control", error);
        }
        if (c->kind == LOG_REMOVE) {
            l->removing = false;
        } else if (l->blocked && l->blocked_op == g->op) {
            l->blocked = false;
        }
    }
    memory_free(io_memory(l->driver->io), g);
}

/* Gives a control; until it is seen to have taken effect the log gets nothing else. */
static void give_control(struct driver *d, struct driven *l, enum log_control_kind kind,
                         int64_t offset, uint32_t incarnation, uint32_t op)
{
    struct given_control *g = memory_alloc(io_memory(d->io), sizeof *g);
    if (!g) {
        io_fatal(d->io, "no memory for a control");
    }
    g->l = l;
    g->incarnation = incarnation;
    g->op = op;
    g->control = (struct log_control){
        .kind = kind, .offset = offset, .leader_epoch = -1, .done = control_done};
    l->pending = g;
    l->blocked = true;
    l->blocked_kind = kind;
    l->blocked_op = op;
    l->blocked_offset = offset;
    log_control(l->log, &g->control);
}

void driver_look(struct driven *l)
{
    if (!l->blocked || !l->log) {
        return;
    }
    struct log_status s = log_status(l->log);
    if (l->blocked_kind == LOG_TRUNCATE) {
        l->blocked = s.end_offset != l->blocked_offset;
    } else if (l->blocked_kind == LOG_START) {
        l->blocked = s.start_offset != l->blocked_offset;
    } else if (l->blocked_kind == LOG_ANEW) {
        l->blocked = s.start_offset != l->blocked_offset || s.end_offset != l->blocked_offset;
    }
}

static void act_truncate(struct driver *d, struct driven *l)
{
    struct oracle_log *o = &d->w->logs[l->slot];
    struct log_status status = log_status(l->log);
    int64_t start = status.start_offset;
    start = start < status.high_watermark ? status.high_watermark : start;
    if (l->unappended > 0 || o->live.end <= start) {
        return;
    }
    int64_t offset =
        prng_chance(chance(d), 3, 10)
            ? (int64_t)prng_between(chance(d), (uint64_t)start, (uint64_t)o->live.end - 1)
            : o->live.end - (int64_t)prng_between(chance(d), 1, 8);
    offset = oracle_boundary(&o->live, offset);
    if (offset >= start && offset < o->live.end) {
        give_control(d, l, LOG_TRUNCATE, offset, d->w->incarnation[l->slot],
                     oracle_truncate(o, offset));
    }
}

static void act_start(struct driver *d, struct driven *l)
{
    struct oracle_log *o = &d->w->logs[l->slot];
    int64_t start = log_status(l->log).start_offset;
    if (l->unappended > 0 || o->live.end <= start) {
        return;
    }
    int64_t offset = (int64_t)prng_between(chance(d), (uint64_t)start + 1, (uint64_t)o->live.end);
    give_control(d, l, LOG_START, offset, d->w->incarnation[l->slot], oracle_start(o, offset));
}

static void act_anew(struct driver *d, struct driven *l)
{
    struct oracle_log *o = &d->w->logs[l->slot];
    if (l->unappended == 0) {
        uint64_t end = (uint64_t)o->live.end;
        int64_t offset = (int64_t)(prng_chance(chance(d), 1, 3) ? prng_below(chance(d), end + 1)
                                                                : end + prng_below(chance(d), 50));
        give_control(d, l, LOG_ANEW, offset, d->w->incarnation[l->slot], oracle_anew(o, offset));
    }
}

/* Removed and opened again at once, under the same id or as a new topic of the same name. */
static void act_remove(struct driver *d, struct driven *l, bool recreate)
{
    struct walk *w = d->w;
    struct oracle_log *o = &w->logs[l->slot];
    if (l->unappended > 0 || l->reading) {
        return;
    }
    uint32_t incarnation = w->incarnation[l->slot];
    uint32_t op = oracle_remove(o);
    if (recreate) { /* the metadata forgets it first */
        struct uuid id = {{0}};
        put_be64(id.bytes, ++w->ids);
        put_be64(id.bytes + 8, prng_next(chance(d)));
        char topic[32];
        snprintf(topic, sizeof topic, "%s", o->topic);
        enum log_durability durability = o->durability;
        bool compact = o->compact, gaps = o->gaps;
        int64_t retention = o->delete_retention_ms;
        oracle_log_deinit(o);
        oracle_log_init(o, id, 0, topic, durability);
        o->compact = compact;
        o->gaps = gaps;
        o->delete_retention_ms = retention;
        w->incarnation[l->slot]++;
        w->epoch[l->slot] = 0;
    }
    give_control(d, l, LOG_REMOVE, 0, incarnation, op);
    l->removing = !recreate;
    l->log = NULL;
}

/* A partition without a log here: it is opened once its predecessor may be forgotten. */
static void act_open(struct driver *d, struct driven *l)
{
    struct walk *w = d->w;
    const struct oracle_log *o = &w->logs[l->slot];
    if (!l->removing && at_home(d, o)) {
        driven_open(d, l->slot);
    }
}

/* --- the rest ---------------------------------------------------------------------------- */

static void check_read(struct log_read *r, int error)
{
    struct driven *l = container_of(r, struct driven, read);
    struct walk *w = l->driver->w;
    l->reading = false;
    if (error == ERR_BUSY || error == ERR_CLOSED || error == ERR_OFFSET_OUT_OF_RANGE) {
        return; /* a truncation or a new start overtook it */
    }
    if (error) {
        driver_violation(l, "a read", error);
        return;
    }
    struct oracle_state s = {0};
    char why[200];
    int64_t next;
    if (!batch_parse(r->slices, r->slice_count, has_gaps(&w->logs[l->slot]), &s, &next, why,
                     sizeof why)) {
        sim_storage_violation(&w->st, "%s: %s", w->logs[l->slot].topic, why);
    }
    read_free(r);
    oracle_state_deinit(&s);
}

/* Answered at once, it must show exactly what was given; later, it may race with truncations. */
static void act_read(struct driver *d, struct driven *l)
{
    struct walk *w = d->w;
    const struct oracle_log *o = &w->logs[l->slot];
    struct log_status status = log_status(l->log);
    if (l->reading || status.end_offset <= status.start_offset) {
        return;
    }
    struct log_read *r = &l->read;
    r->offset = (int64_t)prng_between(chance(d), (uint64_t)status.start_offset,
                                      (uint64_t)status.end_offset - 1);
    r->limit_offset = status.end_offset;
    r->bytes_max = (uint32_t)prng_between(chance(d), 100, READ_BYTES);
    r->first_whole = true;
    r->done = check_read;
    l->reading = true;
    int answer = log_read(l->log, r);
    if (answer == 0) {
        return;
    }
    if (answer == 1 && o->live.end == status.end_offset) {
        struct oracle_state s = {0};
        char why[200] = "it is not what was given";
        int64_t next;
        bool good = batch_parse(r->slices, r->slice_count, has_gaps(o), &s, &next, why, sizeof why);
        for (uint32_t i = 0, k = 0; good && i < s.count; i++) {
            while (k < o->live.count && o->live.items[k].base < s.items[i].base) {
                k++;
            }
            const struct oracle_item *item = &o->live.items[k];
            good =
                k < o->live.count && item->epoch == s.items[i].epoch &&
                (item->crc == s.items[i].crc || (o->compact && oracle_may_be(item, &s.items[i])));
        }
        if (!good) {
            sim_storage_violation(&w->st, "%s: a read from the tail at %" PRId64 ": %s", o->topic,
                                  r->offset, why);
        }
        oracle_state_deinit(&s);
    }
    check_read(r, answer == 1 ? 0 : answer);
}

static void act_epoch(struct driver *d, struct driven *l)
{
    if (l->unappended == 0) {
        log_begin_epoch(l->log, ++d->w->epoch[l->slot]);
    }
}

static void act_retain(struct driver *d, struct driven *l)
{
    struct walk *w = d->w;
    struct log_config config = walk_config(w, l->slot);
    if (l->unappended == 0) {
        w->logs[l->slot].retained = true;
        config.retention_bytes = (int64_t)prng_below(chance(d), 4 * w->segment_bytes);
        log_configure(l->log, &config);
        log_retain(l->log, io_wall_ms(d->io), 2);
    }
}

static void set_closed(struct log_set_close *c)
{
    struct driver *d = container_of(c, struct driver, close);
    io_stop(d->io);
}

static void close_when_quiet(struct driver *d)
{
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        if (d->logs[i].reading) {
            return;
        }
    }
    d->closing = true;
    d->close.done = set_closed;
    log_set_close(d->set, &d->close);
}

static enum log_action choose(struct driver *d)
{
    const struct walk *w = d->w;
    uint64_t sum = 0;
    for (unsigned i = 0; i < LOG_ACTIONS; i++) {
        sum += w->weights[i];
    }
    uint64_t at = prng_below(chance(d), sum);
    for (unsigned i = 0;; i++) {
        if (at < w->weights[i]) {
            return (enum log_action)i;
        }
        at -= w->weights[i];
    }
}

static void act(struct driver *d)
{
    struct walk *w = d->w;
    struct driven *l = &d->logs[prng_below(chance(d), WALK_SLOTS)];
    if (!l->driver) {
        return; /* at home elsewhere */
    }
    driver_look(l);
    if (!l->log) {
        act_open(d, l);
        return;
    }
    if (l->blocked) {
        return;
    }
    enum log_action action = choose(d);
    w->stats->actions[action]++;
    switch (action) {
    case LOG_ACT_APPEND:
        act_append(d, l);
        break;
    case LOG_ACT_FOLLOW:
        act_follow(d, l);
        break;
    case LOG_ACT_TRUNCATE:
        act_truncate(d, l);
        break;
    case LOG_ACT_START:
        act_start(d, l);
        break;
    case LOG_ACT_REMOVE:
        act_remove(d, l, false);
        break;
    case LOG_ACT_RECREATE:
        act_remove(d, l, true);
        break;
    case LOG_ACT_ANEW:
        act_anew(d, l);
        break;
    case LOG_ACT_EPOCH:
        act_epoch(d, l);
        break;
    case LOG_ACT_READ:
        act_read(d, l);
        break;
    case LOG_ACT_CHECKPOINT:
        log_set_checkpoint(d->set);
        break;
    case LOG_ACT_RETAIN:
        act_retain(d, l);
        break;
    case LOG_ACT_RETRY:
        act_retry(d, l);
        break;
    case LOG_ACT_WATERMARK:
        act_watermark(d, l);
        break;
    case LOG_ACT_COMPACT:
        act_compact(d, l);
        break;
    case LOG_ACT_CLOSE:
        w->closing = true;
        break;
    case LOG_ACT_PAUSE:
    case LOG_ACTIONS:
        break;
    }
}

static void step(struct io_op *op, int64_t result)
{
    struct driver *d = container_of(op, struct driver, timer);
    struct walk *w = d->w;
    if (w->serving && w->steps_left == 0) {
        w->closing = true;
    }
    if (w->closing && w->serving) {
        close_when_quiet(d);
    } else if (w->serving) {
        w->steps_left--;
        for (uint64_t n = prng_between(chance(d), 1, 3); n > 0; n--) {
            act(d);
        }
    }
    if (!d->closing) {
        step_later(d);
    }
}

static void step_later(struct driver *d)
{
    struct walk *w = d->w;
    bool pause = w->serving && prng_chance(chance(d), w->weights[LOG_ACT_PAUSE], 2000);
    uint64_t wait = pause ? 1500000000 : prng_below(chance(d), 2 * w->pace_ns + 1);
    d->timer.done = step;
    io_timer(d->io, &d->timer, io_now(d->io) + wait);
}

void driver_begin(struct driver *d)
{
    d->showing = 0;
    show_next(d);
}
