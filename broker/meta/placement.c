/* SPDX-License-Identifier: Apache-2.0 */

/* First the leaders, one after the other to whoever leads least; then the followers of each
 * partition, by racks, then to whoever holds least. What is taken first may leave a broker with two
 * more than another: then followers are moved, until no such move is left. */
#include "meta/placement.h"

#include "base/prng.h"

#include <stdio.h>

enum {
    EVEN_ROUNDS_MAX = 4096,
    MOVE_OVER_MAX = 64, /* brokers: beyond that a replica more or less does not matter */
};

struct chosen { /* a broker while it is chosen from */
    const struct placement_broker *b;
    uint32_t leads, holds; /* of the topic */
    uint32_t rack;         /* number */
    uint64_t ticket;       /* of the seed: what decides between equals */
};

struct work {
    const struct placement_request *q;
    struct chosen *brokers; /* those that may be used; that are not fenced, first */
    uint32_t count, active;
    uint32_t *places;    /* for each partition `factor` indexes of brokers */
    uint32_t *rack_used; /* of the partition at hand */
    uint32_t racks;
};

static bool same_rack(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Numbers the racks in the order in which they are met. */
static void number_racks(struct work *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t k = 0;
        while (k < i && !same_rack(w->brokers[k].b->rack, w->brokers[i].b->rack)) {
            k++;
        }
        w->brokers[i].rack = k < i ? w->brokers[k].rack : w->racks++;
    }
}

static void take_brokers(struct work *w, bool fenced, struct prng *random)
{
    for (uint32_t i = 0; i < w->q->broker_count; i++) {
        const struct placement_broker *b = &w->q->brokers[i];
        if (b->fenced == fenced) {
            w->brokers[w->count++] = (struct chosen){.b = b,
                                                     .leads = b->topic_leads,
                                                     .holds = b->topic_holds,
                                                     .ticket = prng_next(random)};
        }
    }
}

/* The first difference decides. */
struct rank {
    uint64_t of[5];
};

static bool rank_below(const struct rank *a, const struct rank *b)
{
    for (size_t i = 0; i < array_size(a->of); i++) {
        if (a->of[i] != b->of[i]) {
            return a->of[i] < b->of[i];
        }
    }
    return false;
}

static uint32_t *places_of(const struct work *w, int32_t partition)
{
    return w->places + (size_t)partition * (size_t)w->q->factor;
}

static bool is_placed(const uint32_t *places, int32_t count, uint32_t broker)
{
    for (int32_t i = 0; i < count; i++) {
        if (places[i] == broker) {
            return true;
        }
    }
    return false;
}

static void place_leader(struct work *w, int32_t partition)
{
    uint32_t best = 0;
    struct rank least = {{UINT64_MAX}};
    for (uint32_t i = 0; i < w->active; i++) {
        const struct chosen *c = &w->brokers[i];
        struct rank rank = {
            {c->leads, c->holds, (uint64_t)c->b->leads + c->leads, c->b->bytes, c->ticket}};
        if (rank_below(&rank, &least)) {
            least = rank;
            best = i;
        }
    }
    places_of(w, partition)[0] = best;
    w->brokers[best].leads++;
    w->brokers[best].holds++;
}

/* A follower: fenced ones come after all others, whatever their rack. */
static void place_follower(struct work *w, int32_t partition, int32_t at)
{
    uint32_t *places = places_of(w, partition);
    uint32_t best = 0;
    struct rank least = {{UINT64_MAX}};
    for (uint32_t i = 0; i < w->count; i++) {
        const struct chosen *c = &w->brokers[i];
        if (is_placed(places, at, i)) {
            continue;
        }
        uint64_t fenced = i >= w->active ? UINT32_MAX : 0;
        struct rank rank = {{fenced + w->rack_used[c->rack], c->holds,
                             (uint64_t)c->b->holds + c->holds, c->b->bytes, c->ticket}};
        if (rank_below(&rank, &least)) {
            least = rank;
            best = i;
        }
    }
    assert(least.of[0] < UINT64_MAX);
    places[at] = best;
    w->brokers[best].holds++;
    w->rack_used[w->brokers[best].rack]++;
}

static void place_followers(struct work *w, int32_t partition)
{
    memset(w->rack_used, 0, w->racks * sizeof *w->rack_used);
    w->rack_used[w->brokers[places_of(w, partition)[0]].rack]++;
    for (int32_t at = 1; at < w->q->factor; at++) {
        place_follower(w, partition, at);
    }
}

/* How many replicas of the partition are on the rack. */
static uint32_t on_rack(const struct work *w, const uint32_t *places, uint32_t rack)
{
    uint32_t count = 0;
    for (int32_t i = 0; i < w->q->factor; i++) {
        count += w->brokers[places[i]].rack == rack;
    }
    return count;
}

/* Where a follower on one broker can be moved to another that does not have its partition, without
 * crowding a rack (R2). NULL: nowhere. */
static uint32_t *find_move(const struct work *w, uint32_t from, uint32_t to)
{
    uint32_t rack_from = w->brokers[from].rack, rack_to = w->brokers[to].rack;
    for (int32_t p = 0; p < w->q->partitions; p++) {
        uint32_t *places = places_of(w, p);
        if (is_placed(places, w->q->factor, to)) {
            continue;
        }
        for (int32_t i = 1; i < w->q->factor; i++) {
            if (places[i] == from && (rack_from == rack_to || on_rack(w, places, rack_to) <
                                                                  on_rack(w, places, rack_from))) {
                return &places[i];
            }
        }
    }
    return NULL;
}

static bool move_one(struct work *w, uint32_t from, uint32_t to)
{
    uint32_t *place = find_move(w, from, to);
    if (place) {
        *place = to;
        w->brokers[from].holds--;
        w->brokers[to].holds++;
    }
    return place != NULL;
}

/* By one move, or by two over a third broker. */
static bool move_over(struct work *w, uint32_t from, uint32_t to)
{
    if (move_one(w, from, to)) {
        return true;
    }
    for (uint32_t over = 0; over < w->active && w->active <= MOVE_OVER_MAX; over++) {
        if (over != from && over != to && find_move(w, over, to) && move_one(w, from, over)) {
            return move_one(w, over, to);
        }
    }
    return false;
}

/* One replica less on a broker that holds most, one more on one that holds least. */
static bool even_out(struct work *w)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < w->active; i++) {
        least = w->brokers[i].holds < least ? w->brokers[i].holds : least;
        most = w->brokers[i].holds > most ? w->brokers[i].holds : most;
    }
    if (most < least + 2) {
        return false;
    }
    for (uint32_t from = 0; from < w->active; from++) {
        for (uint32_t to = 0; w->brokers[from].holds == most && to < w->active; to++) {
            if (w->brokers[to].holds == least && move_over(w, from, to)) {
                return true;
            }
        }
    }
    return false;
}

static int refuse(char why[static PLACEMENT_WHY_SIZE], int32_t factor, const char *because,
                  uint32_t count, const char *what)
{
    snprintf(why, PLACEMENT_WHY_SIZE, "Unable to replicate the partition %d time(s): %s %u %s.",
             (int)factor, because, (unsigned)count, what);
    return ERR_INVALID_REPLICATION_FACTOR;
}

static int check(const struct placement_request *q, char why[static PLACEMENT_WHY_SIZE])
{
    uint32_t active = 0;
    for (uint32_t i = 0; i < q->broker_count; i++) {
        active += !q->brokers[i].fenced;
    }
    if (q->factor < 1) {
        snprintf(why, PLACEMENT_WHY_SIZE,
                 "Invalid replication factor %d: the replication factor must be positive.",
                 (int)q->factor);
        return ERR_INVALID_REPLICATION_FACTOR;
    }
    if (q->broker_count > 0 && active == 0) {
        snprintf(why, PLACEMENT_WHY_SIZE, "All brokers are currently fenced.");
        return ERR_INVALID_REPLICATION_FACTOR;
    }
    if ((uint32_t)q->factor > q->broker_count) {
        char because[120];
        snprintf(because, sizeof because,
                 "the target replication factor of %d cannot be reached because only",
                 (int)q->factor);
        return refuse(why, q->factor, because, q->broker_count, "broker(s) are registered");
    }
    return 0;
}

int placement_choose(const struct placement_request *q, struct memory *memory, int32_t *replicas,
                     char why[static PLACEMENT_WHY_SIZE])
{
    assert(q->broker_count <= PLACEMENT_BROKERS_MAX);
    assert(q->partitions > 0);
    int error = check(q, why);
    if (error) {
        return error;
    }
    struct prng random = prng_of(q->seed);
    size_t total = (size_t)q->partitions * (size_t)q->factor;
    struct work w = {.q = q};
    w.brokers = memory_alloc(memory, q->broker_count * sizeof *w.brokers);
    w.places = memory_alloc(memory, total * sizeof *w.places);
    w.rack_used = memory_alloc(memory, q->broker_count * sizeof *w.rack_used);
    if (!w.brokers || !w.places || !w.rack_used) {
        error = ERR_NO_MEMORY;
        goto done;
    }
    take_brokers(&w, false, &random);
    w.active = w.count;
    if ((uint32_t)q->factor > w.active) {
        take_brokers(&w, true, &random);
    }
    number_racks(&w);
    for (int32_t p = 0; p < q->partitions; p++) {
        place_leader(&w, p);
        place_followers(&w, p);
    }
    for (int rounds = 0; rounds < EVEN_ROUNDS_MAX && even_out(&w); rounds++) {
    }
    for (size_t i = 0; i < total; i++) {
        replicas[i] = w.brokers[w.places[i]].b->id;
    }
done:
    memory_free(memory, w.brokers);
    memory_free(memory, w.places);
    memory_free(memory, w.rack_used);
    return error;
}
