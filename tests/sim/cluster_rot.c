/* SPDX-License-Identifier: Apache-2.0 */

/* Blocks of segments that rot or cannot be read any more, on one machine alone, whose disk goes bad: what it held
 * stands on others (the atlas). Of what was never committed there may be no other copy; that is left alone. */
#include "cluster_world.h"

#include "log/log_private.h"

struct drawn {
    const struct segment *segment;
    uint64_t seen;
};

static struct partition *partition_at(struct member *m, const struct image_topic *t, int32_t index)
{
    if (!member_runs(m) || m->ended || !m->ready || m->stopping) {
        return NULL;
    }
    unsigned home = log_home(bytes_of_string(t->name), index, m->shards);
    struct partition_table *table = m->node->shards[home].partitions;
    return table ? partition_find(table, t->id, index) : NULL;
}

/* Committed, as far as any replica knows. */
static int64_t committed(struct cluster_world *w, const struct image_topic *t, int32_t index)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct partition *p = partition_at(&w->members[i], t, index);
        int64_t known = p ? partition_high_watermark(p) : 0;
        most = known > most ? known : most;
    }
    return most;
}

static void draw(struct cluster_world *w, struct member *m, const struct image_topic *t,
                 int32_t index, struct drawn *out)
{
    struct partition *p = partition_at(m, t, index);
    int64_t end = p ? committed(w, t, index) : 0;
    const struct list *all = p ? &partition_log(p)->segments : NULL;
    for (const struct list *n = all ? all->next : NULL; n != all; n = n->next) {
        const struct segment *s = container_of(n, struct segment, link);
        if (segment_end_offset(s) <= end && s->written > 0 &&
            prng_below(&w->random, ++out->seen) == 0) {
            out->segment = s;
        }
    }
}

void world_rot(struct cluster_world *w)
{
    struct member *m = &w->members[w->seed % w->count];
    struct drawn d = {0};
    char path[IO_PATH_MAX];
    if (world_min_isr(w) < 2 || !member_runs(m) || m->ended || !m->ready || m->stopping) {
        return;
    }
    const struct image *image = m->node->image;
    for (uint32_t i = 0; image && i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        for (int32_t k = 0; k < t->partition_count; k++) {
            draw(w, m, t, k, &d);
        }
    }
    if (!d.segment) {
        return;
    }
    segment_path(d.segment, path, ".log");
    struct disk *disk = sim_node_disk(m->machine);
    struct disk_inode *inode = disk_find(disk, path);
    uint32_t blocks = (d.segment->written + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE;
    uint32_t block = (uint32_t)prng_below(&w->random, blocks);
    bool broken = prng_chance(&w->random, 1, 4);
    if (!inode || (uint64_t)block * DISK_BLOCK_SIZE >= disk_size(inode)) {
        return;
    }
    w->faults[CLUSTER_ROT]++;
    sim_story(w->sim, "fault: block %u of %s of node %d %s", (unsigned)block, path, (int)m->id,
              broken ? "cannot be read" : "rots");
    if (broken) {
        disk_break(disk, inode, block);
    } else {
        disk_rot(disk, inode, block, &w->random);
    }
}
