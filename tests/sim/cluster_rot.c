/* SPDX-License-Identifier: Apache-2.0 */

/* Blocks that rot or cannot be read any more, on one machine alone, whose disk goes bad: what it held stands on
 * others (the atlas). Of segments those that were committed, for of others there may be no other copy; and whatever
 * else a node has beside its part of the quorum: journals, checkpoints, indexes, sums, names. Of journals when a mark
 * of all that is settled lies apart from it (log/apart.h): an end that has none cannot be told from a torn one. */
#include "cluster_world.h"

#include "disk_private.h"
#include "log/log_private.h"

struct drawn {
    const struct segment *segment;
    uint64_t seen;
};

/* Committed, as far as any replica knows. */
static int64_t committed(struct cluster_world *w, const struct image_topic *t, int32_t index)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct partition *p = world_partition(&w->members[i], t, index);
        int64_t known = p ? partition_high_watermark(p) : 0;
        most = known > most ? known : most;
    }
    return most;
}

static void draw(struct cluster_world *w, struct member *m, const struct image_topic *t,
                 int32_t index, struct drawn *out)
{
    struct partition *p = world_partition(m, t, index);
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

static bool draw_segment(struct cluster_world *w, struct member *m, char path[IO_PATH_MAX],
                         uint64_t *bytes)
{
    struct drawn d = {0};
    const struct image *image = m->node->image;
    for (uint32_t i = 0; image && i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        for (int32_t k = 0; k < t->partition_count; k++) {
            draw(w, m, t, k, &d);
        }
    }
    if (d.segment) {
        segment_path(d.segment, path, ".log");
        *bytes = d.segment->written;
    }
    return d.segment != NULL;
}

static void rot(struct cluster_world *w, struct member *m)
{
    char path[IO_PATH_MAX];
    uint64_t bytes;
    if (!draw_segment(w, m, path, &bytes)) {
        return;
    }
    struct disk *disk = sim_node_disk(m->machine);
    struct disk_inode *inode = disk_find(disk, path);
    uint32_t block =
        (uint32_t)prng_below(&w->random, (bytes + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE);
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

/* --- files that are no segments ----------------------------------------------------------------- */

struct drawn_file {
    struct cluster_world *w;
    char path[IO_PATH_MAX];
    struct disk_inode *inode;
    bool journals; /* of a shard, else the rest */
    uint64_t seen;
};

static bool ends_in(const char *text, const char *end)
{
    size_t size = strlen(text), of_end = strlen(end);
    return size >= of_end && strcmp(text + size - of_end, end) == 0;
}

static void draw_file(void *context, const char *path, struct disk_inode *inode)
{
    static const char journals[] = "data/journal-", topics[] = "data/topics/", boot[] = "data/boot";
    struct drawn_file *d = context;
    bool mapped = strstr(path, "/memory-") != NULL;
    bool of_journals = strncmp(path, journals, sizeof journals - 1) == 0 && !mapped;
    bool of_rest = (strncmp(path, topics, sizeof topics - 1) == 0 && !ends_in(path, ".log")) ||
                   strcmp(path, boot) == 0;
    if ((d->journals ? of_journals : of_rest) && disk_size(inode) > 0 &&
        prng_below(&d->w->random, ++d->seen) == 0) {
        snprintf(d->path, sizeof d->path, "%s", path);
        d->inode = inode;
    }
}

/* In a file that is allocated ahead most blocks are empty. */
static bool draw_block(struct cluster_world *w, const struct disk_inode *inode, uint32_t *block)
{
    uint64_t blocks = (disk_size(inode) + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE;
    for (unsigned i = 0; i < 16; i++) {
        *block = (uint32_t)prng_below(&w->random, blocks);
        if (*block < inode->cell_count && disk_cell_visible(&inode->cells[*block])) {
            return true;
        }
    }
    return false;
}

static bool marks_apart(const struct member *m)
{
    for (unsigned i = 0; i < m->shards; i++) {
        const struct log_set *logs = m->node->shards[i].logs;
        if (!logs || logs->journal.apart.told < logs->journal.settled) {
            return false;
        }
    }
    return true;
}

static void rot_beside(struct cluster_world *w, struct member *m)
{
    struct drawn_file d = {.w = w, .journals = prng_chance(&w->random, 2, 3)};
    struct disk *disk = sim_node_disk(m->machine);
    uint32_t block;
    disk_each(disk, draw_file, &d);
    if (!d.inode || (d.journals && !marks_apart(m)) || !draw_block(w, d.inode, &block)) {
        return;
    }
    uint32_t end = block + 1 + (uint32_t)prng_below(&w->random, 32);
    bool broken = prng_chance(&w->random, 1, 4);
    w->faults[CLUSTER_ROT_BESIDE]++;
    sim_story(w->sim, "fault: blocks %u to %u of %s of node %d %s", (unsigned)block,
              (unsigned)end - 1, d.path, (int)m->id, broken ? "cannot be read" : "rot");
    for (; block < end && (uint64_t)block * DISK_BLOCK_SIZE < disk_size(d.inode); block++) {
        if (broken) {
            disk_break(disk, d.inode, block);
        } else {
            disk_rot(disk, d.inode, block, &w->random);
        }
    }
    if (prng_chance(&w->random, 1, 2)) { /* before it is written anew */
        w->faults[CLUSTER_KILL]++;
        sim_node_kill(m->machine);
        m->restart_ns = sim_now(w->sim) + 200 * CLUSTER_MS;
    }
}

void world_rot(struct cluster_world *w)
{
    struct member *m = &w->members[w->seed % w->count];
    if (world_min_isr(w) < 2 || !member_runs(m) || m->ended || !m->ready || m->stopping) {
        return;
    }
    if (prng_chance(&w->random, 1, 3)) {
        rot_beside(w, m);
    } else {
        rot(w, m);
    }
}
