/* SPDX-License-Identifier: Apache-2.0 */

/* A broker that starts has found damage, and would go on without it. What others have comes back from them; what they
 * do not have is gone with it, and only a person may decide that. So others must be in sync, and live: their machine
 * may have gone down together with the one that asks, and theirs may be the next damage that is found. A heartbeat
 * can have been under way since before, but a second one is sent when the first has been answered. */
#include "meta/cluster_private.h"

#include <inttypes.h>

static bool is_there(const struct cluster *k, int32_t id, uint64_t since_ns)
{
    const struct isr_broker *b = isr_find_broker(&k->rules, id);
    if (!b || b->fenced) {
        return false;
    }
    return cluster_session_beaten_twice(k->sessions, id, b->epoch, since_ns) ||
           cluster_mutated(k, CLUSTER_MUTANT_GIVE_UP_UNHEARD);
}

static bool others_have(const struct cluster *k, const struct image_partition *p, int32_t broker,
                        uint64_t since_ns)
{
    for (int32_t i = 0; i < p->isr_count; i++) {
        if (p->isr[i] != broker && is_there(k, p->isr[i], since_ns)) {
            return true;
        }
    }
    return cluster_mutated(k, CLUSTER_MUTANT_GIVE_UP_ALONE);
}

struct looking {
    const struct cluster *k;
    int32_t broker;
    uint64_t since_ns;
    uint32_t alone; /* partitions that others do not have */
    const struct image_topic *topic;
    int32_t partition; /* the first of them */
};

static bool look(void *context, const struct image_topic *t)
{
    struct looking *l = context;
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_partition *p = &t->partitions[i];
        if (image_partition_holds(p, l->broker) && !others_have(l->k, p, l->broker, l->since_ns)) {
            l->topic = l->alone ? l->topic : t;
            l->partition = l->alone ? l->partition : i;
            l->alone++;
        }
    }
    return true;
}

static int give_up(void *context, struct cluster *k, const struct image_topic *topic,
                   int32_t partition, struct isr_state *s)
{
    const struct cluster_giving_up *q = context;
    (void)topic;
    (void)partition;
    return isr_lost(&k->rules, s, q->broker, false);
}

int cluster_give_up(struct cluster *k, const struct cluster_giving_up *q)
{
    const struct image_broker *b = image_broker_by_id(k->c->image, q->broker);
    if (!b) {
        return cluster_refuse(k, ERR_BROKER_ID_NOT_REGISTERED, "broker %d is not registered",
                              (int)q->broker);
    }
    if (!uuid_equal(b->directory, q->directory)) {
        return cluster_refuse(k, ERR_DUPLICATE_BROKER_REGISTRATION,
                              "broker %d has another directory than the one that asks",
                              (int)q->broker);
    }
    if (!b->fenced) {
        return cluster_refuse(k, ERR_DUPLICATE_BROKER_REGISTRATION,
                              "the session of broker %d has not ended yet", (int)q->broker);
    }
    struct looking l = {.k = k, .broker = q->broker, .since_ns = q->since_ns};
    image_each_topic(k->c->image, q->broker, look, &l);
    if (l.alone) {
        return cluster_refuse(k, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE,
                              "of %" PRIu32
                              " partitions no other replica is in sync and heard, %.100s-%d is one",
                              l.alone, l.topic->name, (int)l.partition);
    }
    int error = cluster_each(k, q->broker, NULL, give_up, (void *)q);
    /* An answer that rests on a record is that of a controller who still is one. */
    return error || k->changed > 0 || k->more ? error : cluster_emit_fenced(k, b);
}
