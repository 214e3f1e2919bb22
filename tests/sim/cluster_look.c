/* SPDX-License-Identifier: Apache-2.0 */

/* ReadIndex: whoever is asked after a creation was answered knows the topic, or says that he does not know. By each API
 * that tells a client that there is no such topic. */
#include "cluster_world.h"

#include "wire/wire.h"

enum { UNKNOWN_TOPIC = 3, RESOURCE_TOPIC = 2 };

static struct ask *ask_metadata(struct cluster_world *w, struct member *m, const char *name)
{
    struct metadata_request_topics topic;
    struct metadata_request q;
    metadata_request_init(&q);
    metadata_request_topics_init(&topic);
    topic.name = wire_string_of(name);
    q.topics = &topic;
    q.topics_count = 1;
    q.allow_auto_topic_creation = false;
    return ask_begin(w, m, WIRE_METADATA, 4, &q);
}

struct ask *ask_partitions(struct cluster_world *w, struct member *m, const char *name)
{
    struct describe_topic_partitions_request_topics topic = {wire_string_of(name)};
    struct describe_topic_partitions_request q;
    describe_topic_partitions_request_init(&q);
    q.topics = &topic;
    q.topics_count = 1;
    return ask_begin(w, m, WIRE_DESCRIBE_TOPIC_PARTITIONS, 0, &q);
}

struct ask *ask_configs(struct cluster_world *w, struct member *m, const char *name)
{
    struct wire_string key = wire_string_of("segment.bytes");
    struct describe_configs_request_resources resource;
    struct describe_configs_request q;
    describe_configs_request_init(&q);
    describe_configs_request_resources_init(&resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = wire_string_of(name);
    resource.configuration_keys = &key;
    resource.configuration_keys_count = 1;
    q.resources = &resource;
    q.resources_count = 1;
    return ask_begin(w, m, WIRE_DESCRIBE_CONFIGS, 1, &q);
}

void world_look(struct cluster_world *w, struct told_topic *t)
{
    struct member *m = &w->members[prng_below(&w->random, w->count)];
    uint64_t by = prng_below(&w->random, 3);
    struct ask *a = by == 0   ? ask_metadata(w, m, t->name)
                    : by == 1 ? ask_partitions(w, m, t->name)
                              : ask_configs(w, m, t->name);
    if (a) {
        a->topic = t;
    }
}

/* -1: not of one topic. */
static int error_of(struct ask *a)
{
    if (a->key == WIRE_METADATA) {
        const struct metadata_response *r = ask_answer(a);
        return r->topics_count == 1 ? r->topics[0].error_code : -1;
    }
    if (a->key == WIRE_DESCRIBE_TOPIC_PARTITIONS) {
        const struct describe_topic_partitions_response *r = ask_answer(a);
        return r->topics_count == 1 ? r->topics[0].error_code : -1;
    }
    const struct describe_configs_response *r = ask_answer(a);
    return r->results_count == 1 ? r->results[0].error_code : -1;
}

bool world_looked(struct ask *a)
{
    struct cluster_world *w = a->world;
    const struct told_topic *t = a->topic;
    bool looks = a->key == WIRE_METADATA || a->key == WIRE_DESCRIBE_TOPIC_PARTITIONS ||
                 a->key == WIRE_DESCRIBE_CONFIGS;
    if (!looks || !t) {
        return looks;
    }
    int error = error_of(a);
    world_expect(w, error >= 0, "node %d does not answer for a topic", (int)a->member->id);
    w->looked++;
    world_expect(w, t->state != TOPIC_THERE || t->again || error != UNKNOWN_TOPIC,
                 "C26 metadata_lost: node %d does not know the topic %s, which had been made "
                 "before it was asked (API %d)",
                 (int)a->member->id, t->name, (int)a->key);
    return true;
}
