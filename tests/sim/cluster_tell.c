/* SPDX-License-Identifier: Apache-2.0 */

/* What has become of partitions, for the story of a run. */
#include "cluster_world.h"

static void put_nodes(char *out, size_t size, const char *what, struct image_nodes nodes)
{
    size_t used = strlen(out);
    if (nodes.count == 0) {
        return;
    }
    used += (size_t)snprintf(out + used, size - used, " %s=", what);
    for (int32_t i = 0; i < nodes.count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%d", i ? "," : "", (int)nodes.ids[i]);
    }
}

void world_tell(struct cluster_world *w, const struct image_topic *t, int32_t partition,
                struct told_topic *known)
{
    const struct image_partition *p = &t->partitions[partition];
    char line[240] = "";
    if (!w->options.story || p->partition_epoch == known->partition_epochs[partition] - 1) {
        return;
    }
    known->partition_epochs[partition] = p->partition_epoch + 1;
    put_nodes(line, sizeof line, "replicas", (struct image_nodes){p->replicas, p->replica_count});
    put_nodes(line, sizeof line, "isr", (struct image_nodes){p->isr, p->isr_count});
    put_nodes(line, sizeof line, "elr", p->more->elr);
    put_nodes(line, sizeof line, "last_known_elr", p->more->last_known_elr);
    put_nodes(line, sizeof line, "adding", p->more->adding);
    put_nodes(line, sizeof line, "removing", p->more->removing);
    put_nodes(line, sizeof line, "damaged", p->more->damaged);
    sim_story(w->sim, "%s-%d: leader=%d epoch=%d%s%s%s", t->name, (int)partition, (int)p->leader,
              (int)p->leader_epoch, p->unclean_epoch == p->leader_epoch ? " unclean" : "",
              p->recovering ? " recovering" : "", line);
}
