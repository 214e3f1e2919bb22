/* SPDX-License-Identifier: Apache-2.0 */

/* A follower's appends: batches as a leader would serve them, several at once, with gaps where its log is
 * compacted; or such as must be refused, whole. What was given is noted at once, for it may be in the log
 * before anybody is told. */
#include "log_crash_private.h"

enum { BATCHES_MAX = 3, GAP_MAX = 20 };

struct given_follow {
    struct log_follow follow;
    struct driven *l;
    uint32_t incarnation, openings;
    int expected; /* not 0: it must be refused with this */
    unsigned count;
    uint32_t ops[BATCHES_MAX];
    int64_t ends[BATCHES_MAX]; /* behind each batch */
    uint8_t bytes[BATCHES_MAX * BATCH_BYTES_MAX];
};

static void judge_refused(struct given_follow *g, int error)
{
    struct driven *l = g->l;
    if (error == 0 || g->follow.end_offset >= 0) {
        driver_violation(l, "a follower's append that does not follow was taken", error);
    } else if (error != g->expected && !driver_may_fail(l->driver->w, error)) {
        driver_violation(l, "a follower's append that does not follow", error);
    } else if (error == g->expected && !g->follow.refusal) {
        driver_violation(l, "a follower's append is refused without a reason", error);
    }
}

static void judge_taken(struct given_follow *g, int error)
{
    struct driven *l = g->l;
    struct walk *w = l->driver->w;
    struct oracle_log *o = &w->logs[l->slot];
    unsigned taken = 0;
    while (taken < g->count && g->ends[taken] <= g->follow.end_offset) {
        taken++;
    }
    if (error == 0 ? taken < g->count : taken == g->count || !driver_may_fail(w, error)) {
        driver_violation(l, "a follower's append", error);
        return;
    }
    w->stats->disk_full += error == ERR_DISK_FULL;
    for (unsigned i = g->count; i > taken; i--) {
        oracle_append_refused(o, g->ops[i - 1]);
    }
    if (taken > 0) {
        oracle_told(o, g->ops[taken - 1]);
    }
}

static void follow_done(struct log_follow *f, int error)
{
    struct given_follow *g = container_of(f, struct given_follow, follow);
    struct driven *l = g->l;
    struct walk *w = l->driver->w;
    if (l->openings == g->openings) {
        l->following = NULL;
        l->unappended--;
        l->in_flight--;
    }
    if (w->incarnation[l->slot] == g->incarnation) {
        if (g->expected) {
            judge_refused(g, error);
        } else {
            judge_taken(g, error);
        }
    }
    memory_free(io_memory(l->driver->io), g);
}

/* Builds the next batch at the end of g->bytes, for the place that it says. */
static struct oracle_item add_batch(struct given_follow *g, struct prng *random,
                                    const struct batch_wish *wish, int64_t base, int32_t epoch)
{
    uint8_t *batch = g->bytes + g->follow.batches.size;
    size_t size = batch_build(random, wish, batch);
    struct oracle_item item = {.base = base,
                               .last = base + batch_records(batch) - 1,
                               .epoch = epoch,
                               .crc = batch_crc(batch),
                               .producer = wish->producer,
                               .sequence = wish->producer >= 0 ? wish->sequence : -1};
    batch_place(batch, base, epoch);
    bool readable = batch_records_of(&item, batch, size);
    assert(readable);
    g->follow.batches = bytes_of(g->bytes, g->follow.batches.size + size);
    return item;
}

static void give_good(struct given_follow *g, struct prng *random, const struct batch_wish *first)
{
    struct walk *w = g->l->driver->w;
    struct oracle_log *o = &w->logs[g->l->slot];
    struct batch_wish wish = *first;
    unsigned count = (unsigned)prng_between(random, 1, BATCHES_MAX);
    for (g->count = 0; g->count < count; g->count++) {
        int64_t base = o->live.end;
        if (o->gaps && prng_chance(random, 1, 4)) {
            base += (int64_t)prng_between(random, 1, GAP_MAX);
        }
        w->epoch[g->l->slot] += prng_chance(random, 1, 20);
        struct oracle_item item = add_batch(g, random, &wish, base, w->epoch[g->l->slot]);
        g->ops[g->count] = oracle_append(o, item);
        g->ends[g->count] = item.last + 1;
        wish.producer = -1;
        wish.large = false;
    }
    g->follow.leader_epoch = w->epoch[g->l->slot] + (int32_t)prng_below(random, 2);
}

static void give_bad(struct given_follow *g, struct prng *random, const struct batch_wish *wish)
{
    struct walk *w = g->l->driver->w;
    int64_t base = w->logs[g->l->slot].live.end;
    int32_t epoch = w->epoch[g->l->slot];
    g->follow.leader_epoch = epoch;
    g->expected = ERR_OFFSET_OUT_OF_RANGE;
    switch (prng_below(random, 4)) {
    case 0:
        g->follow.gaps = false;
        (void)add_batch(g, random, wish, base + (int64_t)prng_between(random, 1, GAP_MAX), epoch);
        break;
    case 1:
        if (base > 0) {
            (void)add_batch(g, random, wish, base - 1, epoch);
            break;
        }
        /* fall through */
    case 2:
        g->expected = ERR_UNKNOWN_LEADER_EPOCH;
        (void)add_batch(g, random, wish, base, epoch + 1);
        break;
    default:
        g->expected = ERR_CORRUPT_MESSAGE;
        (void)add_batch(g, random, wish, base, epoch);
        (void)add_batch(g, random, wish, base + 4, epoch);
        g->bytes[g->follow.batches.size - 1] ^= 1;
        break;
    }
}

unsigned follow_waiting(struct driven *l)
{
    struct given_follow *g = l->following;
    unsigned waiting = 0;
    if (g && l->log && l->driver->w->incarnation[l->slot] == g->incarnation) {
        int64_t end = log_status(l->log).end_offset;
        for (unsigned i = 0; i < g->count; i++) {
            bool waits = g->ends[i] > end;
            g->ops[i] += waits;
            waiting += waits;
        }
    }
    return waiting;
}

void act_follow(struct driver *d, struct driven *l)
{
    struct walk *w = d->w;
    struct prng *random = &w->st.random;
    const struct oracle_log *o = &w->logs[l->slot];
    if (l->unappended > 0 || o->live.count + BATCHES_MAX > ORACLE_ITEMS_MAX) {
        return;
    }
    struct given_follow *g = memory_alloc(io_memory(d->io), sizeof *g);
    if (!g) {
        return;
    }
    struct batch_wish wish = driver_wish(d, l);
    g->l = l;
    g->incarnation = w->incarnation[l->slot];
    g->openings = l->openings;
    g->follow.gaps = o->gaps;
    g->follow.done = follow_done;
    if (prng_chance(random, 1, 6)) {
        wish.producer = -1;
        give_bad(g, random, &wish);
    } else {
        give_good(g, random, &wish);
    }
    l->following = g;
    l->unappended++;
    l->in_flight++;
    log_append_follower(l->log, &g->follow);
}
