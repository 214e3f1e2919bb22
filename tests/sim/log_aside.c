/* SPDX-License-Identifier: Apache-2.0 */

/* L8: a directory whose topic id the metadata does not know is set aside, never opened, never deleted.
 * The disk is looked at from outside, before a recovery and after it. */
#include "log_crash_private.h"

#include "log/format.h"

#include <stdio.h>

struct look {
    struct walk *w;
    struct disk *disk;
    const char *folder;
    struct uuid *ids;
    unsigned count, limit;
};

static bool known_id(const struct walk *w, struct uuid id)
{
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        if (uuid_equal(w->logs[i].topic_id, id)) {
            return true;
        }
    }
    return false;
}

static void note_partition(void *context, const char *path, struct disk_inode *inode)
{
    struct look *l = context;
    size_t at = strlen(l->folder), size = strlen(path);
    static const char end[] = "/partition";
    uint8_t block[DISK_BLOCK_SIZE];
    struct uuid topic, storage;
    int32_t partition;
    if (strncmp(path, l->folder, at) != 0 || size < sizeof end ||
        strcmp(path + size - (sizeof end - 1), end) != 0 || disk_size(inode) < sizeof block) {
        return;
    }
    disk_peek(l->disk, inode, 0, block);
    if (partition_file_decode(block, sizeof block, &topic, &storage, &partition) == 0 &&
        !known_id(l->w, topic) && l->count < l->limit) {
        l->ids[l->count++] = topic;
    }
}

void aside_note(struct walk *w)
{
    struct look l = {.w = w,
                     .disk = sim_node_disk(w->st.node),
                     .folder = "data/topics/",
                     .ids = w->unknown,
                     .limit = WALK_UNKNOWN_MAX};
    disk_each(l.disk, note_partition, &l);
    w->unknown_count = l.count;
}

void aside_judge(struct walk *w)
{
    struct uuid found[512];
    struct look l = {.w = w,
                     .disk = sim_node_disk(w->st.node),
                     .folder = "data/aside/",
                     .ids = found,
                     .limit = array_size(found)};
    disk_each(l.disk, note_partition, &l);
    for (unsigned i = 0; i < w->unknown_count; i++) {
        bool there = l.count == l.limit; /* more than are looked at */
        for (unsigned k = 0; k < l.count && !there; k++) {
            there = uuid_equal(found[k], w->unknown[i]);
        }
        if (!there) {
            sim_storage_violation(&w->st, "a directory that the metadata does not know is gone");
        }
        w->stats->set_aside++;
    }
}
