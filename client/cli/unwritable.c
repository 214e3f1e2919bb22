/* SPDX-License-Identifier: Apache-2.0 */

/* Which partitions refuse acks=all, because fewer replicas are in sync than min.insync.replicas asks for. */
#include "cli/cluster.h"

#include <stdlib.h>
#include <string.h>

enum { TOPICS_MAX = 1000 }; /* each is a request */

static bool lags(const leat_meta_topic *t)
{
    for (size_t i = 0; i < t->partition_count; i++) {
        if (t->partitions[i]->in_sync_count < t->partitions[i]->replica_count) {
            return true;
        }
    }
    return false;
}

/* 1, which nothing is below, where it is not told. */
static unsigned long least_in_sync(struct cli *cli, const char *topic)
{
    unsigned long least = 1;
    leat_configs *configs;
    leat_error e;
    if (leat_configs_get(cli->client, LEAT_RESOURCE_TOPIC, topic, &configs, &e)) {
        return least;
    }
    for (size_t i = 0; i < configs->count; i++) {
        const leat_config_entry *c = configs->entries[i];
        if (c->value && strcmp(c->name, "min.insync.replicas") == 0) {
            least = strtoul(c->value, NULL, 10);
        }
    }
    leat_configs_free(configs);
    return least;
}

size_t cluster_unwritable(struct cli *cli, const leat_meta *meta, json_t *first, size_t named)
{
    size_t found = 0, asked = 0;
    for (size_t i = 0; i < meta->topic_count && asked < TOPICS_MAX; i++) {
        const leat_meta_topic *t = meta->topics[i];
        if (!lags(t)) {
            continue;
        }
        unsigned long least = least_in_sync(cli, t->name);
        asked++;
        for (size_t j = 0; j < t->partition_count; j++) {
            const leat_meta_partition *p = t->partitions[j];
            if (p->leader >= 0 && p->in_sync_count < least && found++ < named) {
                json_array_append_new(first, json_sprintf("%s-%d", t->name, (int)p->id));
            }
        }
    }
    return found;
}
