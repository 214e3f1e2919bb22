/* SPDX-License-Identifier: Apache-2.0 */

/* What a crash leaves, copies of a disk to crash more than once, and damage on demand. */
#include "disk_private.h"

#include <stdio.h>

struct disk *disk_new(uint64_t capacity_bytes)
{
    struct disk *d = disk_memory(NULL, sizeof *d);
    *d = (struct disk){.capacity_blocks = capacity_bytes / DISK_BLOCK_SIZE};
    list_init(&d->inodes);
    list_init(&d->renames);
    list_init(&d->flight);
    d->zeros = disk_block_new();
    memset(d->zeros->data, 0, sizeof d->zeros->data);
    d->root = disk_inode_new(d, true);
    d->root->links = 1;
    disk_inode_count(d, d->root);
    return d;
}

void disk_free(struct disk *d)
{
    if (!d) {
        return;
    }
    list_each (node, &d->flight) {
        disk_op_free(d, container_of(node, struct disk_op, link));
    }
    list_each (node, &d->renames) {
        free(container_of(node, struct disk_rename, link));
    }
    list_each (node, &d->inodes) {
        disk_inode_free(d, container_of(node, struct disk_inode, link));
    }
    disk_block_drop(d->zeros);
    free(d);
}

/* --- copies -------------------------------------------------------------------------- */

static void copy_cells(struct disk_inode *to, const struct disk_inode *from)
{
    to->cell_count = to->cell_room = from->cell_count;
    to->cells = disk_memory(NULL, from->cell_count * sizeof *to->cells);
    for (uint32_t i = 0; i < from->cell_count; i++) {
        to->cells[i] = from->cells[i];
        disk_block_take(from->cells[i].durable);
        disk_block_take(from->cells[i].ghost);
        struct disk_version **at = &to->cells[i].newest;
        for (const struct disk_version *v = from->cells[i].newest; v; v = v->older) {
            *at = disk_memory(NULL, sizeof **at);
            **at = (struct disk_version){NULL, v->sequence, disk_block_take(v->block)};
            at = &(*at)->older;
        }
    }
    to->dirty_count = to->dirty_room = from->dirty_count;
    to->dirty = disk_memory(NULL, from->dirty_count * sizeof *to->dirty);
    if (from->dirty_count > 0) {
        memcpy(to->dirty, from->dirty, from->dirty_count * sizeof *to->dirty);
    }
}

static void copy_inode(struct disk *d, struct disk_inode *from)
{
    struct disk_inode *to = disk_inode_new(d, from->directory);
    from->copy = to;
    copy_cells(to, from);
    to->links = from->links;
    to->allocated_blocks = from->allocated_blocks;
    to->size = from->size;
    to->size_durable = from->size_durable;
    to->resize_count = from->resize_count;
    memcpy(to->resizes, from->resizes, sizeof to->resizes);
    disk_inode_count(d, to);
}

static void copy_names(struct disk *d, const struct disk *from)
{
    list_each (node, &from->inodes) {
        struct disk_inode *old = container_of(node, struct disk_inode, link);
        for (uint32_t i = 0; i < old->entry_count; i++) {
            const struct disk_entry *e = &old->entries[i];
            struct disk_entry *copy = disk_entry(old->copy, e->name, true);
            copy->visible = e->visible ? e->visible->copy : NULL;
            copy->durable = e->durable ? e->durable->copy : NULL;
        }
    }
    list_each (node, &from->renames) {
        struct disk_rename *r = disk_memory(NULL, sizeof *r);
        *r = *container_of(node, struct disk_rename, link);
        r->link = (struct list){0};
        for (unsigned i = 0; i < r->count; i++) {
            r->changes[i].directory = r->changes[i].directory->copy;
            r->changes[i].target = r->changes[i].target ? r->changes[i].target->copy : NULL;
        }
        list_append(&d->renames, &r->link);
    }
}

static void copy_op(struct disk *d, const struct disk_op *from)
{
    struct disk_op *op = disk_op_begin(d, from->kind, from->inode ? from->inode->copy : NULL);
    struct list link = op->link;
    struct disk_inode *inode = op->inode;
    *op = *from;
    op->link = link;
    op->inode = inode;
    op->blocks = disk_memory(NULL, from->block_count * sizeof *op->blocks);
    op->landed = disk_memory(NULL, from->block_count * sizeof *op->landed);
    for (uint32_t i = 0; i < from->block_count; i++) {
        op->blocks[i] = disk_block_take(from->blocks[i]);
        op->landed[i] = from->landed[i];
    }
    if (from->path) {
        size_t size = strlen(from->path) + 1;
        op->path = disk_memory(NULL, size);
        memcpy(op->path, from->path, size);
    }
}

struct disk *disk_copy(struct disk *from)
{
    struct disk *d = disk_memory(NULL, sizeof *d);
    *d = (struct disk){.sequence = from->sequence,
                       .capacity_blocks = from->capacity_blocks,
                       .cache_lost = from->cache_lost,
                       .litter = true}; /* the copy has no handles */
    list_init(&d->inodes);
    list_init(&d->renames);
    list_init(&d->flight);
    list_each (node, &from->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        disk_capture(from, inode);
        copy_inode(d, inode);
    }
    d->zeros = disk_block_take(from->zeros);
    d->root = from->root->copy;
    copy_names(d, from);
    list_each (node, &from->flight) {
        copy_op(d, container_of(node, struct disk_op, link));
    }
    return d;
}

/* --- crashes ------------------------------------------------------------------------- */

static struct disk_op *flight_pick(struct disk *d, struct prng *random)
{
    uint64_t count = 0;
    list_each (node, &d->flight) {
        count++;
    }
    if (count == 0) {
        return NULL;
    }
    uint64_t at = prng_below(random, count);
    struct list *node = d->flight.next;
    while (at-- > 0) {
        node = node->next;
    }
    return container_of(node, struct disk_op, link);
}

/* What a power cut leaves of a write is chosen from the versions; so here it lands whole. */
static void flight_land(struct disk *d, struct disk_op *op, const struct disk_crash *how,
                        bool power, struct prng *random)
{
    if (op->error || prng_chance(random, power ? how->power_lost : how->kill_lost, 1000)) {
        return;
    }
    bool torn = !power && prng_chance(random, how->kill_torn, 1000);
    for (uint32_t i = 0; i < op->block_count; i++) {
        disk_land(d, op, i, torn ? (uint8_t)prng_next(random) : 0xff);
    }
    if (op->position + op->size > op->inode->size) {
        disk_size_set(d, op->inode, op->position + op->size);
    }
}

/* Submitted operations end in any order; handles, locks and mappings go. */
static void flight_end(struct disk *d, const struct disk_crash *how, bool power,
                       struct prng *random)
{
    list_each (node, &d->inodes) {
        disk_capture(d, container_of(node, struct disk_inode, link));
    }
    struct disk_op *op;
    while ((op = flight_pick(d, random))) {
        if (op->kind == DISK_WRITE) {
            flight_land(d, op, how, power, random);
            disk_op_free(d, op);
        } else if (prng_chance(random, 1, 2)) {
            (void)disk_end(d, op);
        } else {
            disk_op_free(d, op);
        }
    }
    list_each (node, &d->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        disk_map_end(inode);
        inode->lock = NULL;
        inode->opens = 0;
        disk_inode_count(d, inode);
    }
}

void disk_kill(struct disk *d, const struct disk_crash *how, struct prng *random)
{
    flight_end(d, how, false, random);
    (void)disk_collect(d);
}

static struct disk_block *version_pick(const struct disk_cell *c, struct prng *random)
{
    uint64_t count = 0;
    for (const struct disk_version *v = c->newest; v; v = v->older) {
        count++;
    }
    uint64_t at = prng_below(random, count + 1);
    if (at == count) {
        return c->durable;
    }
    const struct disk_version *v = c->newest;
    while (at-- > 0) {
        v = v->older;
    }
    return v->block;
}

static struct disk_block *cell_cut(const struct disk_cell *c, const struct disk_crash *how,
                                   struct prng *random)
{
    uint64_t chance = prng_below(random, 1000);
    if (chance >= how->garbage + how->torn) {
        return disk_block_take(version_pick(c, random));
    }
    struct disk_block *b = disk_block_new();
    if (chance < how->garbage) {
        prng_fill(random, b->data, sizeof b->data);
        return b;
    }
    const struct disk_block *from[2] = {version_pick(c, random), version_pick(c, random)};
    uint64_t which = prng_next(random);
    for (size_t at = 0; at < DISK_BLOCK_SIZE; at += DISK_SECTOR_SIZE, which >>= 1) {
        if (from[which & 1]) {
            memcpy(b->data + at, from[which & 1]->data + at, DISK_SECTOR_SIZE);
        } else {
            memset(b->data + at, 0, DISK_SECTOR_SIZE);
        }
    }
    return b;
}

/* The durable size or any newer one; what lies beyond it is gone and reads as zeros if the file
 * grows again. */
static void size_cut(struct disk *d, struct disk_inode *inode, struct prng *random)
{
    uint64_t at = prng_below(random, inode->resize_count + 1);
    inode->size = at == 0 ? inode->size_durable : inode->resizes[at - 1].size;
    inode->size_durable = inode->size;
    inode->resize_count = 0;
    uint32_t whole = (uint32_t)(inode->size / DISK_BLOCK_SIZE);
    size_t rest = inode->size % DISK_BLOCK_SIZE;
    if (rest > 0 && whole < inode->cell_count && inode->cells[whole].durable) {
        struct disk_block *b = disk_block_new();
        memcpy(b->data, inode->cells[whole].durable->data, rest);
        memset(b->data + rest, 0, DISK_BLOCK_SIZE - rest);
        disk_cell_reset(&inode->cells[whole], b);
    }
    for (uint32_t i = whole + (rest > 0); i < inode->cell_count; i++) {
        disk_cell_reset(&inode->cells[i], NULL);
        if (inode->cells[i].allocated) {
            inode->cells[i].allocated = false;
            inode->allocated_blocks--;
            d->used_blocks -= inode->counted;
        }
    }
}

void disk_power_cut(struct disk *d, const struct disk_crash *how, struct prng *random)
{
    flight_end(d, how, true, random);
    list_each (node, &d->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        for (uint32_t i = 0; i < inode->dirty_count; i++) {
            struct disk_cell *c = &inode->cells[inode->dirty[i]];
            disk_cell_reset(c, cell_cut(c, how, random));
        }
        disk_dirty_sweep(inode);
        if (!inode->directory) {
            size_cut(d, inode, random);
        }
    }
    disk_names_cut(d, prng_chance(random, how->names_in_order, 1000), random);
}

/* --- damage, and looking from outside ------------------------------------------------ */

struct disk_space disk_space(const struct disk *d)
{
    uint64_t left = d->capacity_blocks > d->used_blocks ? d->capacity_blocks - d->used_blocks : 0;
    return (struct disk_space){left * DISK_BLOCK_SIZE, d->capacity_blocks * DISK_BLOCK_SIZE};
}

void disk_set_capacity(struct disk *d, uint64_t bytes)
{
    d->capacity_blocks = bytes / DISK_BLOCK_SIZE;
}

static void copy_out(const struct disk_block *b, void *out)
{
    if (b) {
        memcpy(out, b->data, DISK_BLOCK_SIZE);
    } else {
        memset(out, 0, DISK_BLOCK_SIZE);
    }
}

void disk_peek(struct disk *d, const struct disk_inode *inode, uint32_t block, void *out)
{
    disk_capture(d, (struct disk_inode *)inode);
    copy_out(block < inode->cell_count ? disk_cell_visible(&inode->cells[block]) : NULL, out);
}

void disk_peek_durable(const struct disk_inode *inode, uint32_t block, void *out)
{
    copy_out(block < inode->cell_count ? inode->cells[block].durable : NULL, out);
}

uint32_t disk_unsynced(struct disk *d)
{
    uint32_t count = 0;
    list_each (node, &d->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        disk_capture(d, inode);
        count += inode->dirty_count + inode->resize_count;
    }
    list_each (node, &d->renames) {
        count++;
    }
    return count;
}

void disk_rot(struct disk *d, struct disk_inode *inode, uint32_t block, struct prng *random)
{
    assert(!inode->directory && block < inode->cell_count);
    struct disk_cell *c = &inode->cells[block];
    struct disk_block *b = disk_block_new();
    copy_out(disk_cell_visible(c), b->data);
    if (prng_chance(random, 1, 2)) {
        prng_fill(random, b->data, sizeof b->data);
    } else {
        for (uint64_t flips = prng_between(random, 1, 4); flips > 0; flips--) {
            b->data[prng_below(random, sizeof b->data)] ^= (uint8_t)(1u << prng_below(random, 8));
        }
    }
    disk_cell_reset(c, b);
    disk_map_touch(inode, block); /* what is in memory stays, and is newer */
    disk_dirty_sweep(inode);
}

void disk_break(struct disk *d, struct disk_inode *inode, uint32_t block)
{
    assert(!inode->directory);
    disk_cell(inode, block)->broken = true;
}

static void each_below(struct disk_inode *directory, char path[DISK_PATH_MAX], size_t used,
                       void (*each)(void *, const char *, struct disk_inode *), void *context)
{
    for (uint32_t i = 0; i < directory->entry_count; i++) {
        const struct disk_entry *e = &directory->entries[i];
        size_t n = strlen(e->name);
        if (!e->visible || used + n + 2 > DISK_PATH_MAX) {
            continue;
        }
        memcpy(path + used, e->name, n + 1);
        if (e->visible->directory) {
            memcpy(path + used + n, "/", 2);
            each_below(e->visible, path, used + n + 1, each, context);
        } else {
            each(context, path, e->visible);
        }
    }
}

void disk_each(struct disk *d,
               void (*each)(void *context, const char *path, struct disk_inode *inode),
               void *context)
{
    char path[DISK_PATH_MAX] = "";
    each_below(d->root, path, 0, each, context);
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (; size >= 8; p += 8, size -= 8) {
        h = prng_mix(h ^ get_be64(p));
    }
    for (; size > 0; p++, size--) {
        h = prng_mix(h ^ *p);
    }
    return h;
}

static void hash_file(void *context, const char *path, struct disk_inode *inode)
{
    uint64_t *h = context;
    *h = hash_bytes(*h, path, strlen(path));
    *h = prng_mix(*h ^ inode->size) + inode->size_durable;
    for (uint32_t i = 0; i < inode->cell_count; i++) {
        const struct disk_cell *c = &inode->cells[i];
        const struct disk_block *both[2] = {disk_cell_visible(c), c->durable};
        for (int k = 0; k < 2; k++) {
            *h = both[k] ? hash_bytes(*h, both[k]->data, DISK_BLOCK_SIZE) : prng_mix(*h + 1);
        }
    }
}

uint64_t disk_hash(struct disk *d)
{
    uint64_t h = 0;
    list_each (node, &d->inodes) {
        disk_capture(d, container_of(node, struct disk_inode, link));
    }
    disk_each(d, hash_file, &h);
    return h;
}
