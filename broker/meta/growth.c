/* SPDX-License-Identifier: Apache-2.0 */

/* Topics of which nobody has chosen how many replicas they have get some on brokers that have come.
 *
 *     created without a number --cluster_grow, a broker has come--> more replicas, up to min(3, active brokers)
 *              '--------- a reassignment to another number, partitions placed by hand ---------> chosen, stays as it is
 *
 * What a partition has stays, in its order: only followers are added, and each is made as by a reassignment. The
 * broker's own topics come first, for groups depend on them. GROWTH_MOVES_MAX partitions are in motion at most, whoever
 * moves them, so that a cluster that has grown copies a little after the other. A move whose new broker is away does
 * not count: it might stand there for ever. */
#include "meta/cluster_private.h"

enum { GROWTH_MOVES_MAX = 50 };

struct growth {
    struct cluster *k;
    int32_t factor;
    int32_t room; /* how many partitions may begin to move */
    bool own;     /* the broker's own topics, or users' */
    bool later;   /* something is left for which there was no room */
    bool found, measured;
    int error;
    /* Of each broker of k->brokers. */
    uint32_t holds[IMAGE_BROKERS_MAX];       /* partitions, of all topics */
    uint32_t topic_holds[IMAGE_BROKERS_MAX]; /* of the topic that grows */
};

static bool is_active(const struct isr_broker *b)
{
    return b && !b->fenced && !b->shutting_down;
}

static bool moves(const struct growth *g, const struct image_partition *p)
{
    const struct image_more *m = p->more;
    for (int32_t i = 0; i < m->adding.count; i++) {
        if (!is_active(isr_find_broker(&g->k->rules, m->adding.ids[i]))) {
            return false;
        }
    }
    return m->adding.count + m->removing.count > 0;
}

static void count_holders(const struct growth *g, const struct image_partition *p, uint32_t *holds)
{
    for (int32_t i = 0; i < p->replica_count; i++) {
        const struct isr_broker *b = cluster_broker(g->k, p->replicas[i]);
        if (b) {
            holds[b - g->k->brokers]++;
        }
    }
}

static bool measure(void *context, const struct image_topic *t)
{
    struct growth *g = context;
    for (int32_t i = 0; i < t->partition_count; i++) {
        count_holders(g, &t->partitions[i], g->holds);
        g->room -= moves(g, &t->partitions[i]);
    }
    return true;
}

static const char *rack_of(const struct cluster *k, int32_t id)
{
    const struct image_broker *b = image_broker_by_id(k->c->image, id);
    return b && b->rack ? b->rack : "";
}

/* Whether a broker of that rack holds it. */
static bool is_crowded(const struct growth *g, const struct isr_set *replicas, int32_t id)
{
    for (int32_t n = 0; n < replicas->count; n++) {
        if (strcmp(rack_of(g->k, id), rack_of(g->k, replicas->ids[n])) == 0) {
            return true;
        }
    }
    return false;
}

/* The active broker that is to hold the partition too: of another rack if there is one, then the one that holds least
 * of the topic, and then of all topics. */
static struct isr_broker *next_holder(struct growth *g, const struct isr_set *replicas)
{
    struct cluster *k = g->k;
    struct isr_broker *best = NULL;
    uint64_t best_cost = UINT64_MAX;
    static_assert(sizeof g->holds[0] == 4, "a cost holds it");
    for (uint32_t i = 0; i < k->rules.broker_count; i++) {
        struct isr_broker *b = &k->brokers[i];
        if (!is_active(b) || isr_has(replicas, b->id)) {
            continue;
        }
        uint64_t crowded = is_crowded(g, replicas, b->id);
        uint64_t cost = crowded << 63 | (uint64_t)g->topic_holds[i] << 32 | g->holds[i];
        if (cost < best_cost) {
            best = b;
            best_cost = cost;
        }
    }
    return best;
}

static int grow(struct growth *g, const struct image_topic *t, int32_t partition)
{
    struct cluster *k = g->k;
    struct isr_state before, after;
    struct uuid directories[ISR_REPLICAS_MAX];
    isr_read(&before, &t->partitions[partition]);
    isr_read(&after, &t->partitions[partition]);
    struct isr_set target = before.replicas;
    while (target.count < g->factor) {
        struct isr_broker *b = next_holder(g, &target);
        if (!b) {
            break;
        }
        g->topic_holds[b - k->brokers]++;
        g->holds[b - k->brokers]++;
        target.ids[target.count++] = b->id;
    }
    bool known = cluster_directories(k, target.ids, target.count, directories);
    int error =
        isr_reassign(&k->rules, &after, target.ids, target.count, known ? directories : NULL);
    return error ? error : cluster_put(k, t->id, partition, &before, &after);
}

/* Of one that nobody leads nothing can be copied. */
static bool is_small(const struct growth *g, const struct image_partition *p)
{
    return p->leader >= 0 && p->replica_count < g->factor &&
           p->more->adding.count + p->more->removing.count == 0;
}

static bool wants(const struct growth *g, const struct image_topic *t)
{
    return t->factor_open && t->internal == g->own;
}

/* Mostly there is none, and then nothing need be counted. */
static bool find_small(void *context, const struct image_topic *t)
{
    struct growth *g = context;
    for (int32_t i = 0; i < t->partition_count && wants(g, t) && !g->found; i++) {
        g->found = is_small(g, &t->partitions[i]);
    }
    return !g->found;
}

static bool grow_topic(void *context, const struct image_topic *t)
{
    struct growth *g = context;
    bool counted = false;
    if (!wants(g, t)) {
        return true;
    }
    for (int32_t i = 0; i < t->partition_count && !g->error; i++) {
        if (!is_small(g, &t->partitions[i])) {
            continue;
        }
        if (g->room <= 0) {
            g->later = true;
            return false;
        }
        if (!counted) {
            cluster_rules_of(g->k, t);
            memset(g->topic_holds, 0, sizeof g->topic_holds);
            for (int32_t n = 0; n < t->partition_count; n++) {
                count_holders(g, &t->partitions[n], g->topic_holds);
            }
            counted = true;
        }
        g->error = grow(g, t, i);
        g->room--;
    }
    return !g->error;
}

static int32_t factor_of(const struct cluster *k)
{
    int32_t kept = k->c->limits->replication_factor_max; /* 0: as many as there are */
    int32_t most = kept > 0 && kept < IMAGE_GROWN_FACTOR ? kept : IMAGE_GROWN_FACTOR;
    int32_t active = 0;
    for (uint32_t i = 0; i < k->rules.broker_count; i++) {
        active += is_active(&k->brokers[i]);
    }
    return active < most ? active : most;
}

static void grow_some(struct growth *g, bool own)
{
    const struct image *image = g->k->c->image;
    g->own = own;
    g->found = false;
    image_each_topic(image, -1, find_small, g);
    if (!g->found) {
        return;
    }
    if (!g->measured) {
        image_each_topic(image, -1, measure, g);
        g->measured = true;
    }
    image_each_topic(image, -1, grow_topic, g);
}

int cluster_grow(struct cluster *k, bool own_only, bool *later)
{
    struct growth g = {.k = k, .factor = factor_of(k), .room = GROWTH_MOVES_MAX};
    static_assert(GROWTH_MOVES_MAX * 4096 <= CLUSTER_BATCH_BYTES, "they fit into a batch");
    if (g.factor > 1) {
        grow_some(&g, true);
        /* A number in the configuration of who decides is somebody's choice. */
        if (!g.error && !own_only && k->c->limits->default_replication_factor <= 0) {
            grow_some(&g, false);
        }
    }
    *later = g.later;
    return g.error;
}
