/* SPDX-License-Identifier: Apache-2.0 */

/* Bit rot for the log, and what it allows. The journal is read here a second time, apart from the
 * code under test, to say of a block: does a live group lie in it, and does a mark elsewhere cover
 * it? If so recovery must call it damage (or not need it); if no mark does, it is a torn tail. */
#include "log_crash_private.h"

#include "log/format.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILES_MAX = 128, GROUPS_MAX = 4096, SHARDS_MAX = 16 };

struct found_file {
    char path[128];
    struct disk_inode *inode;
    uint32_t blocks;
    enum damage_kind kind;
    unsigned shard; /* of journals and checkpoints */
};

struct found_group {
    unsigned file;
    uint32_t first_block, last_block;
    uint64_t sequence, settled;
    uint32_t count;
};

struct found {
    struct disk *disk;
    struct found_file files[FILES_MAX];
    unsigned file_count;
    bool checkpoint_valid[FILES_MAX];
    struct checkpoint_header checkpoints[FILES_MAX]; /* by file */
    struct found_group groups[GROUPS_MAX];
    unsigned group_count;
    uint64_t apart[FILES_MAX]; /* the mark in a journal's first block */
    uint64_t life;
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static void note_file(void *context, const char *path, struct disk_inode *inode)
{
    struct found *f = context;
    struct found_file file = {.inode = inode,
                              .blocks = (uint32_t)(disk_size(inode) / DISK_BLOCK_SIZE)};
    char name[64];
    if (f->file_count == FILES_MAX || file.blocks == 0) {
        return;
    }
    if (sscanf(path, "data/journal-%u/%63s", &file.shard, name) == 2) {
        file.kind = strncmp(name, "durable-", 8) == 0       ? DAMAGE_JOURNAL
                    : strncmp(name, "checkpoint-", 11) == 0 ? DAMAGE_CHECKPOINT
                                                            : DAMAGE_NONE;
        file.kind = ends_with(name, ".new") ? DAMAGE_NONE : file.kind;
    } else if (strncmp(path, "data/topics/", 12) == 0) {
        file.kind = DAMAGE_SEGMENT;
    }
    if (file.kind != DAMAGE_NONE) {
        snprintf(file.path, sizeof file.path, "%s", path);
        f->files[f->file_count++] = file;
    }
}

static uint8_t *whole_file(struct found *f, const struct found_file *file)
{
    uint8_t *data = malloc((size_t)file->blocks * DISK_BLOCK_SIZE);
    for (uint32_t i = 0; i < file->blocks; i++) {
        disk_peek(f->disk, file->inode, i, data + (size_t)i * DISK_BLOCK_SIZE);
    }
    return data;
}

static void read_checkpoints(struct found *f)
{
    for (unsigned i = 0; i < f->file_count; i++) {
        if (f->files[i].kind == DAMAGE_CHECKPOINT) {
            uint8_t *data = whole_file(f, &f->files[i]);
            struct checkpoint_header *h = &f->checkpoints[i];
            f->checkpoint_valid[i] =
                checkpoint_header_decode(h, data, f->files[i].blocks * DISK_BLOCK_SIZE) == 0;
            if (f->checkpoint_valid[i] && h->life > f->life) {
                f->life = h->life;
            }
            free(data);
        }
    }
}

/* The newest checkpoint of a shard in the life that counts, or NULL. */
static const struct checkpoint_header *newest(const struct found *f, unsigned shard)
{
    const struct checkpoint_header *best = NULL;
    for (unsigned i = 0; i < f->file_count; i++) {
        const struct checkpoint_header *h = &f->checkpoints[i];
        if (f->files[i].kind == DAMAGE_CHECKPOINT && f->files[i].shard == shard &&
            f->checkpoint_valid[i] && h->life == f->life &&
            (!best || h->live > best->live ||
             (h->live == best->live && h->settled > best->settled))) {
            best = h;
        }
    }
    return best;
}

static bool other_copy_valid(const struct found *f, unsigned index)
{
    for (unsigned i = 0; i < f->file_count; i++) {
        if (i != index && f->files[i].kind == DAMAGE_CHECKPOINT &&
            f->files[i].shard == f->files[index].shard && f->checkpoint_valid[i]) {
            return true;
        }
    }
    return false;
}

static void read_journal(struct found *f, unsigned index)
{
    const struct found_file *file = &f->files[index];
    const struct checkpoint_header *h = newest(f, file->shard);
    if (!h) {
        return;
    }
    uint32_t seed = group_seed(h->storage_id, h->life, (struct uuid){{0}});
    uint8_t *data = whole_file(f, file);
    struct journal_header header;
    if (journal_header_decode(&header, data) && header.life == h->life) {
        f->apart[index] = header.settled;
    }
    for (uint32_t block = 1; block < file->blocks; block++) {
        struct group_header g;
        const uint8_t *at = data + (size_t)block * DISK_BLOCK_SIZE;
        size_t left = (size_t)(file->blocks - block) * DISK_BLOCK_SIZE;
        if (f->group_count < GROUPS_MAX && group_header_decode(&g, seed, at, left) &&
            group_check(&g, seed, at)) {
            f->groups[f->group_count++] = (struct found_group){
                .file = index,
                .first_block = block,
                .last_block = block + (g.size - 1) / DISK_BLOCK_SIZE,
                .sequence = g.sequence,
                .settled = g.settled,
                .count = g.count,
            };
        }
    }
    free(data);
}

static void judge_journal_block(const struct found *f, unsigned index, uint32_t block,
                                struct damage *out)
{
    const struct found_file *file = &f->files[index];
    const struct checkpoint_header *h = newest(f, file->shard);
    const struct found_group *hit = NULL;
    for (unsigned i = 0; i < f->group_count; i++) {
        const struct found_group *g = &f->groups[i];
        if (g->file == index && g->first_block <= block && block <= g->last_block &&
            g->sequence + (g->count ? g->count : 1) > h->live) {
            hit = g;
        }
    }
    if (!hit) {
        out->marked = true; /* nothing is lost with it */
        return;
    }
    out->needed = true;
    out->marked = h->settled >= hit->sequence;
    for (unsigned i = 0; i < f->file_count; i++) {
        out->marked |= f->files[i].shard == file->shard && f->apart[i] >= hit->sequence;
    }
    for (unsigned i = 0; i < f->group_count; i++) {
        const struct found_group *g = &f->groups[i];
        out->marked |=
            g != hit && f->files[g->file].shard == file->shard && g->settled >= hit->sequence;
    }
}

/* A copy is newer than the other one of its shard: the checkpoint was being written. */
static bool between_copies(const struct found *f)
{
    for (unsigned i = 0; i < f->file_count; i++) {
        const struct checkpoint_header *best = newest(f, f->files[i].shard);
        if (f->files[i].kind == DAMAGE_CHECKPOINT && f->checkpoint_valid[i] && best &&
            best->life == f->checkpoints[i].life && best->live > f->checkpoints[i].live) {
            return true;
        }
    }
    return false;
}

/* What of a file means something: room for a larger checkpoint does not. */
static uint32_t blocks_of(const struct found *f, unsigned index)
{
    return f->checkpoint_valid[index]
               ? (uint32_t)((f->checkpoints[index].size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE)
               : f->files[index].blocks;
}

/* Rather a block of a group, and of the last one; rather the checkpoint that counts. */
static bool choose_block(const struct found *f, enum damage_kind kind, struct prng *random,
                         unsigned *at, uint32_t *block)
{
    uint64_t count = 0, best = 0;
    bool last = prng_chance(random, 1, 2);
    if (kind == DAMAGE_JOURNAL && prng_chance(random, 3, 4)) {
        for (unsigned i = 0; i < f->group_count; i++) {
            const struct found_group *g = &f->groups[i];
            if (last ? g->sequence >= best : prng_below(random, ++count) == 0) {
                best = g->sequence;
                *at = g->file;
                *block = (uint32_t)prng_between(random, g->first_block, g->last_block);
            }
        }
        return f->group_count > 0;
    }
    for (unsigned i = 0; i < f->file_count; i++) {
        const struct checkpoint_header *h = &f->checkpoints[i];
        bool counts = kind != DAMAGE_CHECKPOINT || !last || h == newest(f, f->files[i].shard);
        if (f->files[i].kind == kind && counts && prng_below(random, ++count) == 0) {
            *at = i;
            *block = (uint32_t)prng_below(random, blocks_of(f, i));
        }
    }
    return count > 0;
}

bool damage_apply(struct walk *w, struct disk *d)
{
    struct found *f = calloc(1, sizeof *f);
    struct prng *random = &w->st.crash;
    f->disk = d;
    disk_each(d, note_file, f);
    read_checkpoints(f);
    for (unsigned i = 0; i < f->file_count; i++) {
        if (f->files[i].kind == DAMAGE_JOURNAL) {
            read_journal(f, i);
        }
    }
    static const enum damage_kind kinds[] = {DAMAGE_JOURNAL, DAMAGE_JOURNAL, DAMAGE_SEGMENT,
                                             DAMAGE_CHECKPOINT};
    enum damage_kind kind = kinds[prng_below(random, array_size(kinds))];
    kind = between_copies(f) && prng_chance(random, 1, 2) ? DAMAGE_CHECKPOINT : kind;
    unsigned at = 0;
    uint32_t block = 0;
    bool found = choose_block(f, kind, random, &at, &block);
    if (found) {
        const struct found_file *file = &f->files[at];
        w->damage = (struct damage){.kind = kind};
        snprintf(w->damage.path, sizeof w->damage.path, "%s", file->path);
        if (kind == DAMAGE_JOURNAL && newest(f, file->shard)) {
            judge_journal_block(f, at, block, &w->damage);
        } else if (kind == DAMAGE_JOURNAL) {
            w->damage.marked = true;
        } else if (kind == DAMAGE_CHECKPOINT) {
            w->damage.only = f->checkpoint_valid[at] && !other_copy_valid(f, at);
        }
        sim_story(w->st.sim, "rot: %s block %u%s%s", file->path, block,
                  w->damage.needed ? ", needed" : "", w->damage.marked ? ", marked" : "");
        disk_rot(d, file->inode, block, random);
    }
    free(f);
    return found;
}
