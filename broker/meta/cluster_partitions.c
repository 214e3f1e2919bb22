/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions: one, those of a broker, or all, each decided by isr.c and put as one record.
 *
 * Those of a broker are found by its bit, which leads to its topics (tree.h, T4); there a partition is
 * passed over by its list of replicas, of which few are shared by many partitions. */
#include "meta/cluster_private.h"
#include "meta/ends.h"

#include "config/config.h"

#include <stdio.h>
#include <string.h>

/* --- rules of a topic ------------------------------------------------------------------------- */

/* The image that holds what this operation has emitted too. */
static const struct image *newest(const struct controller *c)
{
    return c->candidate ? c->candidate : c->image;
}

/* A key of topics in force: the topic's own, that of all nodes, or as it is configured. A value of
 * one node alone says nothing of partitions, for all must agree on it. */
static int64_t in_force(const struct controller *c, const struct image_topic *topic,
                        enum config_key key, int64_t configured)
{
    const char *name = config_key_info(key)->name; /* topics have the same */
    const char *const values[] = {image_topic_config(topic, name),
                                  image_broker_config(newest(c), -1, name)};
    int64_t number;
    for (size_t i = 0; i < array_size(values); i++) {
        if (values[i] && config_value_number(key, bytes_of_string(values[i]), &number)) {
            return number;
        }
    }
    return configured;
}

void cluster_rules_of(struct cluster *k, const struct image_topic *topic)
{
    const struct controller_limits *l = k->c->limits;
    k->rules.min_isr = image_topic_min_isr(newest(k->c), topic);
    k->rules.unclean =
        in_force(k->c, topic, CONFIG_UNCLEAN_LEADER_ELECTION_ENABLE, l->unclean_elections) != 0;
    const char *durability = image_topic_config(topic, topic_key_info(TOPIC_DURABILITY)->name);
    k->rules.memory = durability && strcmp(durability, "memory") == 0;
    k->rules.mutant = k->c->mutant;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* More than the record takes. */
static size_t size_of(const struct partition_change_record *r)
{
    int32_t lists[] = {r->isr_count,
                       r->replicas_count,
                       r->removing_replicas_count,
                       r->adding_replicas_count,
                       r->eligible_leader_replicas_count,
                       r->last_known_elr_count,
                       r->damaged_replicas_count};
    size_t size = 64;
    for (size_t i = 0; i < array_size(lists); i++) {
        size += lists[i] < 0 ? 0 : 8 + 4 * (size_t)lists[i];
    }
    return size + (r->directories_count > 0 ? 16 * (size_t)r->directories_count : 0);
}

int cluster_put(struct cluster *k, struct uuid topic, int32_t partition,
                const struct isr_state *before, const struct isr_state *after)
{
    struct partition_change_record r;
    partition_change_record_init(&r);
    if (!isr_change(before, after, &r)) {
        assert(!after->chosen);
        return 0;
    }
    r.partition_id = partition;
    r.topic_id = topic;
    r.factor_chosen = after->chosen;
    k->changed++;
    k->unclean += after->unclean;
    k->bytes += size_of(&r);
    return cluster_emit(k, &partition_change_record_message, partition_change_record_version(&r),
                        &r);
}

struct walk {
    struct cluster *k;
    int32_t broker;
    bool (*concerns)(const struct cluster *k, const struct image_topic *topic,
                     const struct image_partition *p);
    cluster_decide_fn decide;
    void *context;
    int error;
    bool stopped;
};

static bool walk_topic(void *context, const struct image_topic *t)
{
    struct walk *w = context;
    struct cluster *k = w->k;
    bool ruled = false;
    const int32_t *last = NULL;
    bool last_holds = w->broker < 0;
    for (int32_t i = 0; i < t->partition_count && !w->error; i++) {
        const struct image_partition *p = &t->partitions[i];
        if (w->broker >= 0 && p->replicas != last) {
            last = p->replicas;
            last_holds = image_partition_holds(p, w->broker);
        }
        if (!last_holds || (w->concerns && !w->concerns(k, t, p))) {
            continue;
        }
        if (k->bytes >= CLUSTER_BATCH_BYTES) {
            k->more = true;
            return false;
        }
        if (!ruled) {
            cluster_rules_of(k, t);
            ruled = true;
        }
        struct isr_state before, after;
        isr_read(&before, p);
        isr_read(&after, p);
        w->error = w->decide(w->context, k, t, i, &after);
        if (!w->error) {
            w->error = cluster_put(k, t->id, i, &before, &after);
        }
    }
    return !w->error;
}

int cluster_each(struct cluster *k, int32_t broker,
                 bool (*concerns)(const struct cluster *k, const struct image_topic *topic,
                                  const struct image_partition *p),
                 cluster_decide_fn decide, void *context)
{
    struct walk w = {
        .k = k, .broker = broker, .concerns = concerns, .decide = decide, .context = context};
    image_each_topic(k->c->image, broker, walk_topic, &w);
    return w.error;
}

bool cluster_loses(const struct cluster *k, const struct image_topic *topic,
                   const struct image_partition *p)
{
    for (int32_t i = 0; i < p->isr_count; i++) {
        const struct isr_broker *b = isr_find_broker(&k->rules, p->isr[i]);
        if (!b || b->fenced) {
            return true;
        }
    }
    return false;
}

int cluster_settle(void *context, struct cluster *k, const struct image_topic *topic,
                   int32_t partition, struct isr_state *s)
{
    return isr_settle(&k->rules, s);
}

/* --- one partition ---------------------------------------------------------------------------- */

static int find(struct cluster *k, const struct image_topic *t, int32_t partition, int unknown,
                struct isr_state *s)
{
    const struct image_partition *p = image_topic_partition(t, partition);
    if (!p) {
        return cluster_refuse(k, t ? ERR_UNKNOWN_TOPIC_OR_PARTITION : unknown,
                              t ? "There is no such partition." : "There is no such topic.");
    }
    cluster_rules_of(k, t);
    isr_read(s, p);
    return 0;
}

int cluster_alter(struct cluster *k, struct uuid topic, int32_t partition,
                  const struct isr_request *q, struct isr_state *after)
{
    struct isr_state before;
    const struct image_topic *t = image_topic_by_id(newest(k->c), topic);
    int error = find(k, t, partition, ERR_UNKNOWN_TOPIC_ID, &before);
    if (error) {
        return error;
    }
    *after = before;
    error = isr_alter(&k->rules, after, q);
    return error ? error : cluster_put(k, topic, partition, &before, after);
}

static int32_t active_of(const struct cluster *k, const struct isr_set *set)
{
    int32_t count = 0;
    for (int32_t i = 0; i < set->count; i++) {
        const struct isr_broker *b = isr_find_broker(&k->rules, set->ids[i]);
        count += b && !b->fenced && !b->shutting_down;
    }
    return count < ENDS_REPLICAS_MAX ? count : ENDS_REPLICAS_MAX;
}

static int32_t told_by(const struct cluster *k, const struct isr_state *s, const struct ending *e)
{
    int32_t told = 0;
    for (int32_t i = 0; i < e->count; i++) {
        told += isr_end_counts(&k->rules, s, &e->ends[i]);
    }
    return told;
}

static int elect_unclean(struct cluster *k, struct uuid topic, int32_t partition,
                         struct isr_state *s)
{
    const struct ending *e = ends_find(k->c->ends, topic, partition, s->leader_epoch);
    bool all = e && told_by(k, s, e) >= active_of(k, &s->replicas);
    return isr_elect_unclean(&k->rules, s, all ? e->ends : NULL, all ? e->count : 0);
}

int cluster_elect(struct cluster *k, const char *topic, int32_t partition, bool unclean)
{
    struct isr_state before, after;
    const struct image_topic *t = image_topic_by_name(newest(k->c), bytes_of_string(topic));
    int error = find(k, t, partition, ERR_UNKNOWN_TOPIC_OR_PARTITION, &before);
    if (error) {
        return error;
    }
    struct uuid id = t->id;
    after = before;
    error =
        unclean ? elect_unclean(k, id, partition, &after) : isr_elect_preferred(&k->rules, &after);
    switch (error) {
    case 0:
        return cluster_put(k, id, partition, &before, &after);
    case ERR_ELECTION_NOT_NEEDED:
        return cluster_refuse(k, error, "Leader election not needed for topic partition.");
    case ERR_PREFERRED_LEADER_NOT_AVAILABLE:
        return cluster_refuse(k, error,
                              "The preferred leader, broker %d, is not in sync or not "
                              "available.",
                              (int)before.replicas.ids[0]);
    case ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE:
        return cluster_refuse(k, error, "None of the %d replicas is alive.",
                              (int)before.replicas.count);
    default:
        return error;
    }
}

bool cluster_directories(const struct cluster *k, const int32_t *ids, int32_t count,
                         struct uuid *out)
{
    bool any = false;
    for (int32_t i = 0; i < count; i++) {
        const struct image_broker *b = image_broker_by_id(k->c->image, ids[i]);
        out[i] = b ? b->directory : (struct uuid){{0}};
        any = any || !uuid_is_zero(out[i]);
    }
    return any;
}

static int check_target(struct cluster *k, const struct isr_state *s, const int32_t *replicas,
                        int32_t count, bool may_change_factor)
{
    int32_t settled = s->replicas.count - s->adding.count;
    if (count < 1 || count > ISR_REPLICAS_MAX) {
        return cluster_refuse(k, ERR_INVALID_REPLICA_ASSIGNMENT,
                              "The manual partition assignment names %d replicas, not 1 to %d.",
                              (int)count, (int)ISR_REPLICAS_MAX);
    }
    for (int32_t i = 0; i < count; i++) {
        if (!isr_find_broker(&k->rules, replicas[i])) {
            return cluster_refuse(k, ERR_INVALID_REPLICA_ASSIGNMENT,
                                  "The manual partition assignment includes broker %d, but no such "
                                  "broker is registered.",
                                  (int)replicas[i]);
        }
    }
    if (!may_change_factor && count != settled) {
        return cluster_refuse(k, ERR_INVALID_REPLICATION_FACTOR,
                              "The replication factor would change from %d to %d, and the request "
                              "forbids that.",
                              (int)settled, (int)count);
    }
    return 0;
}

static int refuse_target(struct cluster *k, int error, bool cancel)
{
    switch (error) {
    case ERR_NO_REASSIGNMENT_IN_PROGRESS:
        return cluster_refuse(k, error, "No partition reassignment is in progress.");
    case ERR_INVALID_REPLICA_ASSIGNMENT:
        return cluster_refuse(k, error,
                              cancel
                                  ? "Too few of the replicas from before are in sync: the "
                                    "reassignment cannot be called off."
                                  : "The manual partition assignment includes a broker more than "
                                    "once, or more replicas than can be in motion.");
    default:
        return error;
    }
}

/* How many replicas there are to be when all that is under way is done. */
static int32_t wanted_count(const struct isr_state *s)
{
    return s->replicas.count - s->removing.count;
}

int cluster_reassign(struct cluster *k, const char *topic, int32_t partition,
                     const int32_t *replicas, int32_t count, bool may_change_factor)
{
    struct isr_state before, after;
    struct uuid directories[ISR_REPLICAS_MAX];
    const struct image_topic *t = image_topic_by_name(newest(k->c), bytes_of_string(topic));
    int error = find(k, t, partition, ERR_UNKNOWN_TOPIC_OR_PARTITION, &before);
    if (!error && replicas) {
        error = check_target(k, &before, replicas, count, may_change_factor);
    }
    if (error) {
        return error;
    }
    struct uuid id = t->id;
    after = before;
    if (replicas) {
        bool known = cluster_directories(k, replicas, count, directories);
        error = isr_reassign(&k->rules, &after, replicas, count, known ? directories : NULL);
    } else {
        error = isr_cancel(&k->rules, &after);
    }
    /* Who calls off that a partition grows has chosen as well, but not who says that he leaves the number alone. */
    after.chosen = t->factor_open && (may_change_factor || !replicas) &&
                   wanted_count(&before) != wanted_count(&after);
    return error ? refuse_target(k, error, !replicas)
                 : cluster_put(k, id, partition, &before, &after);
}

int cluster_report(struct cluster *k, int32_t broker, struct uuid topic, int32_t partition,
                   enum cluster_report report)
{
    struct isr_state before, after;
    const struct image_topic *t = image_topic_by_id(newest(k->c), topic);
    int error = find(k, t, partition, ERR_UNKNOWN_TOPIC_ID, &before);
    if (error) {
        return error;
    }
    after = before;
    error = report == CLUSTER_REPAIRED
                ? isr_repaired(&k->rules, &after, broker)
                : isr_lost(&k->rules, &after, broker, report == CLUSTER_DAMAGED);
    if (!error && report == CLUSTER_DAMAGED && before.leader >= 0 && after.leader < 0) {
        return cluster_refuse(k, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE,
                              "Nobody else may lead: what of the replica can be read is served.");
    }
    return error ? error : cluster_put(k, topic, partition, &before, &after);
}

int cluster_report_end(struct cluster *k, struct uuid topic, int32_t partition, struct isr_end end)
{
    struct isr_state before, after;
    struct ends *ends = k->c->ends;
    const struct image_topic *t = image_topic_by_id(newest(k->c), topic);
    int error = find(k, t, partition, ERR_UNKNOWN_TOPIC_ID, &before);
    if (error || before.leader >= 0) {
        ends_drop(ends, topic, partition);
        return error;
    }
    if (!isr_has(&before.replicas, end.broker)) {
        return 0;
    }
    const struct ending *known =
        ends_add(ends, k->c->memory, topic, partition, before.leader_epoch, end, k->now_ns);
    if (!known) {
        return ERR_NO_MEMORY;
    }
    after = before;
    bool waited = k->rules.memory && ends_waited(known, k->now_ns);
    if (!waited && told_by(k, &before, known) < active_of(k, &before.replicas)) {
        return 0;
    }
    error = isr_recover(&k->rules, &after, known->ends, known->count, waited);
    if (error) { /* others are waited for */
        return error == ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE ? 0 : error;
    }
    ends_drop(ends, topic, partition);
    return cluster_put(k, topic, partition, &before, &after);
}

/* --- all of them ------------------------------------------------------------------------------ */

struct listing {
    void (*each)(void *context, const struct image_topic *topic, int32_t partition);
    void *context;
};

static bool list_topic(void *context, const struct image_topic *t)
{
    const struct listing *l = context;
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_more *m = t->partitions[i].more;
        if (m->adding.count + m->removing.count > 0) {
            l->each(l->context, t, i);
        }
    }
    return true;
}

void cluster_reassignments(const struct image *image,
                           void (*each)(void *context, const struct image_topic *topic,
                                        int32_t partition),
                           void *context)
{
    struct listing l = {each, context};
    image_each_topic(image, -1, list_topic, &l);
}

static bool may_lead_again(const struct cluster *k, const struct image_topic *topic,
                           const struct image_partition *p)
{
    (void)topic;
    if (p->leader < 0 || p->leader == p->replicas[0] || k->changed >= CLUSTER_BALANCE_MAX) {
        return false;
    }
    const struct isr_broker *b = isr_find_broker(&k->rules, p->replicas[0]);
    bool in_sync = false;
    for (int32_t i = 0; i < p->isr_count; i++) {
        in_sync = in_sync || p->isr[i] == p->replicas[0];
    }
    return b && !b->fenced && !b->shutting_down && in_sync;
}

static int lead_again(void *context, struct cluster *k, const struct image_topic *topic,
                      int32_t partition, struct isr_state *s)
{
    return isr_elect_preferred(&k->rules, s);
}

int cluster_balance(struct cluster *k)
{
    int error = cluster_each(k, -1, may_lead_again, lead_again, NULL);
    k->more = k->more || k->changed >= CLUSTER_BALANCE_MAX;
    return error;
}

/* What a configuration may change: eligible leaders, what is in motion, who is without a leader. */
static bool depends(const struct cluster *k, const struct image_topic *topic,
                    const struct image_partition *p)
{
    const struct image_more *m = p->more;
    return p->leader < 0 ||
           m->elr.count + m->last_known_elr.count + m->adding.count + m->removing.count > 0;
}

/* The rules are those of the newest image, in which the configuration has changed. */
static int follow_configuration(void *context, struct cluster *k, const struct image_topic *topic,
                                int32_t partition, struct isr_state *s)
{
    const struct image_topic *t = image_topic_by_id(newest(k->c), topic->id);
    assert(t);
    cluster_rules_of(k, t);
    return isr_settle(&k->rules, s);
}

int cluster_configured(struct cluster *k, const struct image_topic *topic)
{
    if (cluster_mutated(k, CLUSTER_MUTANT_CONFIG_ALONE)) {
        return 0;
    }
    if (!topic) {
        return cluster_each(k, -1, depends, follow_configuration, NULL);
    }
    struct walk w = {.k = k, .broker = -1, .concerns = depends, .decide = follow_configuration};
    walk_topic(&w, topic);
    return w.error;
}
