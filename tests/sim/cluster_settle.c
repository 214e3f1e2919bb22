/* SPDX-License-Identifier: Apache-2.0 */

/* What must be true of the cluster when the faults are over. */
#include "cluster_world.h"

#include "log/log_private.h"
#include "wire/wire.h"

#include <inttypes.h>

struct member *world_leader(struct cluster_world *w)
{
    int32_t leader = RAFT_NOBODY, epoch = -1;
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (!member_runs(m) || m->ended || !m->node->meta) {
            continue;
        }
        struct raft_leadership status = meta_leadership(m->node->meta);
        if (status.epoch > epoch || (status.epoch == epoch && leader == RAFT_NOBODY)) {
            epoch = status.epoch;
            leader = status.leader;
        }
    }
    return leader > 0 && leader <= (int32_t)w->count ? &w->members[leader - 1] : NULL;
}

static bool missing(char why[static 200], const char *what, int32_t id)
{
    snprintf(why, 200, "%s (%d)", what, (int)id);
    return false;
}

/* All of its replicas were on disks that were lost, */
static bool all_lost(const struct cluster_world *w, const struct told_topic *t,
                     const int32_t *replicas, int32_t count)
{
    int32_t lost = 0;
    for (int32_t i = 0; i < count; i++) {
        lost += t - w->topics < w->members[replicas[i] - 1].topics_lost;
    }
    return lost == count;
}

/* or those that could lead at last were, or were placed there before their brokers came back with others: what the
 * other replicas have is less, and an operator decides. */
static bool may_be_lost(const struct cluster_world *w, const struct told_topic *t, int32_t index)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const struct member *m = &w->members[i];
        if ((t->eligible[index] >> m->id & 1) && t - w->topics >= m->topics_doubtful) {
            return false;
        }
    }
    return t->eligible[index] != 0;
}

/* A log that ends in a gap closes its newest segment with the next record, and can be mended then. */
static bool waits_for_a_record(const struct cluster_world *w, const struct image_topic *t,
                               int32_t index)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct partition *p = world_partition(&w->members[i], t, index);
        const struct log *log = p ? partition_log(p) : NULL;
        if (log && log->damaged && log->ends_in_gap && log_active(log)->damaged) {
            return true;
        }
    }
    return false;
}

/* Whoever was away when it was made, or joined later: where somebody leads, there is something to copy. */
static bool has_grown(const struct cluster_world *w, const struct image_topic *t,
                      const struct image_partition *p)
{
    int32_t most = w->count < IMAGE_GROWN_FACTOR ? (int32_t)w->count : IMAGE_GROWN_FACTOR;
    return !t->factor_open || p->leader < 0 || p->replica_count >= most;
}

static bool image_is_whole(struct cluster_world *w, const struct image *image, char why[static 200])
{
    if (image_broker_count(image) != w->count) {
        return missing(why, "brokers registered", (int32_t)image_broker_count(image));
    }
    for (uint32_t i = 0; i < w->count; i++) {
        const struct image_broker *b = image_broker_at(image, i);
        if (b->fenced || b->shutting_down) {
            return missing(why, "a broker is fenced", b->id);
        }
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        for (int32_t p = 0; p < t->partition_count; p++) {
            const struct image_partition *part = &t->partitions[p];
            const struct told_topic *known = world_told(w, t->name);
            bool lost = all_lost(w, known, part->replicas, part->replica_count);
            world_expect(w, !lost || part->leader < 0, "%s-%d is led without its data", t->name,
                         (int)p);
            if (part->leader < 0 && (part->more->elr.count > 0 || !may_be_lost(w, known, p))) {
                return missing(why, "a partition has no leader, its replica is", part->replicas[0]);
            }
            if (!has_grown(w, t, part)) {
                return missing(why, "a topic has not grown as the cluster has, it is led by",
                               part->leader);
            }
            if (part->leader >= 0 && part->isr_count < part->replica_count &&
                !waits_for_a_record(w, t, p)) {
                return missing(why, "a partition's replicas are not in sync, led by", part->leader);
            }
        }
    }
    return true;
}

bool world_converged(struct cluster_world *w, char why[static 200])
{
    struct member *first = &w->members[0], *leader = world_leader(w);
    if (!leader) {
        return missing(why, "nobody leads", 0);
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (!member_runs(m) || m->stopping || !m->ready || m->node->state != NODE_SERVING) {
            return missing(why, "a node does not serve", m->id);
        }
        if (meta_leadership(m->node->meta).leader != leader->id) {
            return missing(why, "a node does not know the leader", m->id);
        }
        if (image_offset(m->node->image) != image_offset(first->node->image)) {
            return missing(why, "a node is behind or ahead", m->id);
        }
        for (unsigned k = 0; k < m->shards; k++) {
            if (m->node->shards[k].image != m->node->image) {
                return missing(why, "a shard of a node is behind it", m->id);
            }
        }
        if (image_controller(m->node->image) != leader->id) {
            return missing(why, "the controller of an image is another", m->id);
        }
    }
    return image_is_whole(w, first->node->image, why);
}

/* The topics that every node tells of, to a client. */
static void check_told(struct cluster_world *w, struct member *m)
{
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics_count = -1;
    struct ask *a = ask_begin(w, m, WIRE_METADATA, 4, &q);
    world_expect(w, a, "too much is being asked");
    while (!a->over) {
        world_run(w, CLUSTER_MS);
    }
    world_expect(w, a->answered, "node %d does not answer", (int)m->id);
    const struct metadata_response *r = ask_answer(a);
    world_expect(w, r->brokers_count == (int32_t)w->count, "node %d tells of %d brokers",
                 (int)m->id, (int)r->brokers_count);
    world_expect(w, r->controller_id == world_leader(w)->id, "node %d takes %d for the controller",
                 (int)m->id, (int)r->controller_id);
    for (uint32_t i = 0; i < w->topic_count; i++) {
        struct told_topic *t = &w->topics[i];
        const struct metadata_response_topics *found = NULL;
        for (int32_t j = 0; j < r->topics_count && !found; j++) {
            struct bytes name = bytes_of(r->topics[j].name.data, (size_t)r->topics[j].name.size);
            found = bytes_equal(name, bytes_of_string(t->name)) ? &r->topics[j] : NULL;
        }
        world_expect(w, t->state != TOPIC_THERE || found, "C2: node %d has lost the topic %s",
                     (int)m->id, t->name);
        world_expect(w, t->state != TOPIC_GONE || !found, "C2: node %d still has the topic %s",
                     (int)m->id, t->name);
        for (int32_t p = 0; found && p < found->partitions_count; p++) {
            const struct metadata_response_partitions *in = &found->partitions[p];
            bool lost = in->leader_id < 0 && may_be_lost(w, t, in->partition_index);
            world_expect(w, lost || (in->error_code == 0 && in->leader_id > 0),
                         "C1: %s-%d at node %d: error %d, leader %d", t->name, (int)p, (int)m->id,
                         (int)in->error_code, (int)in->leader_id);
        }
    }
}

void world_await(struct cluster_world *w, uint64_t ns)
{
    char why[200] = "";
    uint64_t until = sim_now(w->sim) + ns;
    while (!world_converged(w, why)) {
        world_expect(w, sim_now(w->sim) < until, "C1: %s", why);
        world_run(w, 10 * CLUSTER_MS);
    }
}

void world_settle(struct cluster_world *w, uint64_t ns)
{
    world_await(w, ns);
    world_run(w, 4000 * CLUSTER_MS); /* what was asked before is answered or given up */
    world_await(w, ns);
    struct told_topic *last = world_create(w, world_leader(w));
    world_expect(w, last, "too many topics");
    world_run(w, 500 * CLUSTER_MS);
    world_expect(w, last->state == TOPIC_THERE, "C3: the controller does not make a topic");
    world_await(w, ns); /* the scrub may find something at any time */
    for (uint32_t i = 0; i < w->count; i++) {
        check_told(w, &w->members[i]);
    }
}
