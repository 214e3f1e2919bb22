/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_world.h"

#include <stdlib.h>

static const struct image_endpoint endpoint = {"PLAINTEXT", "host", 9092};

void w_begin(struct world *w)
{
    bench_begin(&w->b, &w->c);
    cluster_init(&w->k, &w->c, &w->sessions, w->now);
}

int w_end(struct world *w, int error)
{
    error = bench_end(&w->b, error);
    w->k.c = NULL;
    return error;
}

int w_decide(struct world *w, struct meta_op *op)
{
    bench_begin(&w->b, &w->c);
    w->c.memory = &w->b.memory;
    w->c.sessions = &w->sessions;
    w->c.now_ns = w->now;
    return bench_end(&w->b, controller_decide(&w->c, op));
}

int w_run(struct world *w, struct meta_op *op)
{
    int error;
    do {
        error = w_decide(w, op);
    } while (!error && op->more);
    return error;
}

struct cluster_registration registration_of(const struct world *w, int32_t broker, uint64_t life)
{
    return (struct cluster_registration){
        .broker = broker,
        .cluster_id = image_cluster_id(w->b.image),
        .incarnation = id_of(100 * life + (uint64_t)broker),
        .directory = id_of(9000 + (uint64_t)broker),
        .endpoints = &endpoint,
        .endpoint_count = 1,
        .metadata_version_min = 1,
        .metadata_version_max = METADATA_VERSION,
    };
}

int w_register(struct world *w, const struct cluster_registration *q, int64_t *epoch)
{
    struct cluster_registration next = *q;
    next.next_offset = w->b.next_offset;
    w_begin(w);
    return w_end(w, cluster_register(&w->k, &next, epoch));
}

int w_heartbeat(struct world *w, int32_t broker, bool want_shut_down,
                struct cluster_heartbeat_answer *out)
{
    const struct image_broker *b = image_broker_by_id(w->b.image, broker);
    const struct cluster_heartbeat q = {.broker = broker,
                                        .epoch = b ? b->epoch : -1,
                                        .offset = image_offset(w->b.image),
                                        .want_shut_down = want_shut_down};
    w_begin(w);
    return w_end(w, cluster_heartbeat(&w->k, &q, out));
}

int w_fence(struct world *w, int32_t broker)
{
    const struct image_broker *b = image_broker_by_id(w->b.image, broker);
    w_begin(w);
    return w_end(w, cluster_fence(&w->k, broker, b ? b->epoch : -1));
}

int w_expire(struct world *w)
{
    w_begin(w);
    return w_end(w, cluster_expire(&w->k));
}

int w_unregister(struct world *w, int32_t broker)
{
    w_begin(w);
    return w_end(w, cluster_unregister(&w->k, broker));
}

int w_elect(struct world *w, const char *topic, int32_t partition, bool unclean)
{
    w_begin(w);
    return w_end(w, cluster_elect(&w->k, topic, partition, unclean));
}

int w_reassign(struct world *w, const char *topic, int32_t partition, const int32_t *to,
               int32_t count)
{
    w_begin(w);
    return w_end(w, cluster_reassign(&w->k, topic, partition, to, count, true));
}

int w_alter(struct world *w, const char *topic, int32_t partition, const int32_t *members,
            int32_t count)
{
    struct isr_member list[ISR_REPLICAS_MAX];
    struct isr_state after;
    const struct image_topic *t = image_topic_by_name(w->b.image, bytes_of_string(topic));
    const struct image_partition *p = &t->partitions[partition];
    for (int32_t i = 0; i < count; i++) {
        list[i] =
            (struct isr_member){members[i], image_broker_by_id(w->b.image, members[i])->epoch};
    }
    const struct isr_request q = {.sender = p->leader,
                                  .leader_epoch = p->leader_epoch,
                                  .partition_epoch = p->partition_epoch,
                                  .members = list,
                                  .member_count = count};
    w_begin(w);
    return w_end(w, cluster_alter(&w->k, t->id, partition, &q, &after));
}

static void make_topic(struct world *w, const char *name, int32_t partitions,
                       const int32_t *replicas, int32_t count,
                       const struct meta_config_change *changes, uint32_t change_count)
{
    const int32_t **assignments = calloc((size_t)partitions, sizeof *assignments);
    int32_t *counts = calloc((size_t)partitions, sizeof *counts);
    for (int32_t i = 0; i < partitions; i++) {
        assignments[i] = replicas;
        counts[i] = count;
    }
    struct meta_op op = op_create(name, -1);
    op.assignments = assignments;
    op.assignment_counts = counts;
    op.assignment_count = partitions;
    op.changes = changes;
    op.change_count = change_count;
    op.internal = name[0] == '_';
    assert(bench_run(&w->b, &op) == 0);
    free(assignments);
    free(counts);
}

void w_topic(struct world *w, const char *name, int32_t partitions, const int32_t *replicas,
             int32_t count, const char *min)
{
    const struct meta_config_change change = {"min.insync.replicas", min, META_CONFIG_SET};
    make_topic(w, name, partitions, replicas, count, &change, min ? 1 : 0);
}

void w_memory_topic(struct world *w, const char *name, const int32_t *replicas, int32_t count,
                    const char *min)
{
    const struct meta_config_change changes[] = {{"min.insync.replicas", min, META_CONFIG_SET},
                                                 {"durability", "memory", META_CONFIG_SET}};
    make_topic(w, name, 1, replicas, count, changes, 2);
}

const struct image_partition *w_partition(const struct world *w, const char *topic,
                                          int32_t partition)
{
    return &image_topic_by_name(w->b.image, bytes_of_string(topic))->partitions[partition];
}

static char *put_nodes(char *at, const char *before, const int32_t *ids, int32_t count)
{
    at += sprintf(at, "%s", before);
    for (int32_t i = 0; i < count; i++) {
        at += sprintf(at, "%d", (int)ids[i]);
    }
    return at;
}

const char *w_text(const struct world *w, const char *topic, int32_t partition, char out[static 96])
{
    const struct image_partition *p = w_partition(w, topic, partition);
    const struct image_more *m = p->more;
    char *at = out + sprintf(out, p->leader < 0 ? "-" : "%d", (int)p->leader);
    at = put_nodes(at, " ", p->replicas, p->replica_count);
    at = put_nodes(at, "/", p->isr, p->isr_count);
    at = put_nodes(at, "/", m->elr.ids, m->elr.count);
    at = put_nodes(at, "/", m->last_known_elr.ids, m->last_known_elr.count);
    at = m->adding.count ? put_nodes(at, " +", m->adding.ids, m->adding.count) : at;
    at = m->removing.count ? put_nodes(at, " -", m->removing.ids, m->removing.count) : at;
    at = m->damaged.count ? put_nodes(at, " !", m->damaged.ids, m->damaged.count) : at;
    return out;
}

void world_open(struct world *w, int brokers)
{
    memset(w, 0, sizeof *w);
    bench_open(&w->b, 0);
    w->now = 1;
    cluster_sessions_begin(&w->sessions, w->b.image, WORLD_TIMEOUT, w->now);
    for (int32_t id = 1; id <= brokers; id++) {
        struct cluster_registration q = registration_of(w, id, 1);
        struct cluster_heartbeat_answer answer;
        int64_t epoch;
        assert(w_register(w, &q, &epoch) == 0);
        assert(w_heartbeat(w, id, false, &answer) == 0);
        assert(answer.caught_up && !answer.fenced);
    }
}

void world_close(struct world *w)
{
    bench_close(&w->b);
}
