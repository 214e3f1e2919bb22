/* SPDX-License-Identifier: Apache-2.0 */

/* Contents: blocks, their versions, sizes, the operations on files. Names are in disk_names.c,
 * mappings in disk_map.c, crashes in disk_crash.c.
 *
 *     write begins --> in flight --end--> newest version --sync--> durable
 *                          |                    |
 *                          +---- durable end ---+------------------> durable, older versions gone
 *
 * A cell lists itself as dirty while it has versions or a ghost, so that syncs and crashes look at
 * nothing else. */
#include "disk_private.h"

#include <errno.h>

/* --- blocks and cells ---------------------------------------------------------------- */

struct disk_cell *disk_cell(struct disk_inode *inode, uint32_t index)
{
    if (index >= inode->cell_room) {
        uint32_t room = inode->cell_room ? inode->cell_room : 8;
        while (room <= index) {
            room *= 2;
        }
        inode->cells = disk_memory(inode->cells, room * sizeof *inode->cells);
        memset(inode->cells + inode->cell_room, 0,
               (room - inode->cell_room) * sizeof *inode->cells);
        inode->cell_room = room;
    }
    if (index >= inode->cell_count) {
        inode->cell_count = index + 1;
    }
    return &inode->cells[index];
}

static void version_drop(struct disk_version *v)
{
    while (v) {
        struct disk_version *older = v->older;
        disk_block_drop(v->block);
        free(v);
        v = older;
    }
}

static bool sync_in_flight(const struct disk *d)
{
    list_each (node, &d->flight) {
        if (container_of(node, struct disk_op, link)->kind == DISK_SYNC) {
            return true;
        }
    }
    return false;
}

/* Forgets the second oldest version where there are too many. A sync in flight might need it. */
static void cell_thin(struct disk *d, struct disk_cell *c)
{
    int count = 0;
    struct disk_version **second = NULL;
    for (struct disk_version **v = &c->newest; *v; v = &(*v)->older) {
        count++;
        if ((*v)->older && !(*v)->older->older) {
            second = v;
        }
    }
    if (count <= DISK_VERSIONS_MAX || sync_in_flight(d)) {
        return;
    }
    struct disk_version *gone = *second;
    *second = gone->older;
    gone->older = NULL;
    version_drop(gone);
}

static void cell_dirty(struct disk_inode *inode, uint32_t index)
{
    struct disk_cell *c = &inode->cells[index];
    if (c->dirty) {
        return;
    }
    c->dirty = true;
    if (inode->dirty_count == inode->dirty_room) {
        inode->dirty_room = inode->dirty_room ? inode->dirty_room * 2 : 16;
        inode->dirty = disk_memory(inode->dirty, inode->dirty_room * sizeof *inode->dirty);
    }
    inode->dirty[inode->dirty_count++] = index;
}

/* Makes `block` (the reference is taken over) what readers see. */
void disk_cell_push(struct disk *d, struct disk_inode *inode, uint32_t index,
                    struct disk_block *block)
{
    struct disk_cell *c = disk_cell(inode, index);
    struct disk_version *v = disk_memory(NULL, sizeof *v);
    *v = (struct disk_version){c->newest, ++d->sequence, block};
    c->newest = v;
    if (c->ghosted) {
        disk_block_drop(c->ghost);
        c->ghost = NULL;
        c->ghosted = false;
    }
    c->broken = false;
    cell_dirty(inode, index);
    cell_thin(d, c);
}

/* The newest version not after `limit` is durable; those before it are gone. */
void disk_cell_settle(struct disk_cell *c, uint64_t limit)
{
    struct disk_version **at = &c->newest;
    while (*at && (*at)->sequence > limit) {
        at = &(*at)->older;
    }
    if (*at) {
        disk_block_drop(c->durable);
        c->durable = disk_block_take((*at)->block);
        version_drop(*at);
        *at = NULL;
    }
}

/* Nothing but `block` (the reference is taken over) is left, and it is durable. */
void disk_cell_reset(struct disk_cell *c, struct disk_block *block)
{
    version_drop(c->newest);
    c->newest = NULL;
    disk_block_drop(c->ghost);
    c->ghost = NULL;
    c->ghosted = false;
    disk_block_drop(c->durable);
    c->durable = block;
}

/* Takes clean cells off the list. */
void disk_dirty_sweep(struct disk_inode *inode)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < inode->dirty_count; i++) {
        uint32_t index = inode->dirty[i];
        struct disk_cell *c = &inode->cells[index];
        c->dirty = c->newest || c->ghosted;
        if (c->dirty) {
            inode->dirty[kept++] = index;
        }
    }
    inode->dirty_count = kept;
}

/* --- inodes -------------------------------------------------------------------------- */

struct disk_inode *disk_inode_new(struct disk *d, bool directory)
{
    struct disk_inode *inode = disk_memory(NULL, sizeof *inode);
    *inode = (struct disk_inode){.directory = directory};
    list_append(&d->inodes, &inode->link);
    return inode;
}

void disk_inode_free(struct disk *d, struct disk_inode *inode)
{
    inode->opens = inode->links = 0;
    disk_inode_count(d, inode);
    for (uint32_t i = 0; i < inode->cell_count; i++) {
        disk_cell_reset(&inode->cells[i], NULL);
    }
    for (uint32_t i = 0; i < inode->entry_count; i++) {
        free(inode->entries[i].name);
    }
    list_remove(&inode->link);
    free(inode->cells);
    free(inode->dirty);
    free(inode->entries);
    disk_map_end(inode);
    free(inode);
}

/* Space is used by what has a visible name or a handle. */
void disk_inode_count(struct disk *d, struct disk_inode *inode)
{
    bool counts = inode->links > 0 || inode->opens > 0;
    if (counts && !inode->counted) {
        d->used_blocks += inode->allocated_blocks;
    } else if (!counts && inode->counted) {
        assert(d->used_blocks >= inode->allocated_blocks);
        d->used_blocks -= inode->allocated_blocks;
    }
    inode->counted = counts;
}

uint64_t disk_size(const struct disk_inode *inode)
{
    return inode->size;
}

void disk_size_set(struct disk *d, struct disk_inode *inode, uint64_t size)
{
    if (size == inode->size) {
        return;
    }
    if (inode->resize_count == DISK_VERSIONS_MAX) {
        if (sync_in_flight(d)) { /* it may need any of them but the last, which is overwritten */
            inode->resize_count--;
        } else {
            inode->resize_count--;
            memmove(inode->resizes + 1, inode->resizes + 2,
                    (DISK_VERSIONS_MAX - 2) * sizeof *inode->resizes);
        }
    }
    inode->size = size;
    inode->resizes[inode->resize_count++] = (struct disk_resize){++d->sequence, size};
}

static void size_settle(struct disk_inode *inode, uint64_t limit)
{
    uint32_t n = 0;
    while (n < inode->resize_count && inode->resizes[n].sequence <= limit) {
        inode->size_durable = inode->resizes[n++].size;
    }
    inode->resize_count -= n;
    memmove(inode->resizes, inode->resizes + n, inode->resize_count * sizeof *inode->resizes);
}

/* Charges the cells that hold [position, position + size). */
int disk_space_take(struct disk *d, struct disk_inode *inode, uint64_t position, uint64_t size)
{
    if (size == 0) {
        return 0;
    }
    uint32_t first = (uint32_t)(position / DISK_BLOCK_SIZE);
    uint32_t last = (uint32_t)((position + size - 1) / DISK_BLOCK_SIZE);
    uint32_t need = 0;
    for (uint32_t i = first; i <= last; i++) {
        need += i >= inode->cell_count || !inode->cells[i].allocated;
    }
    if (need > 0 && d->used_blocks + need > d->capacity_blocks) {
        return -ENOSPC;
    }
    for (uint32_t i = first; i <= last; i++) {
        disk_cell(inode, i)->allocated = true;
    }
    assert(inode->counted);
    inode->allocated_blocks += need;
    d->used_blocks += need;
    return 0;
}

/* --- operations ---------------------------------------------------------------------- */

struct disk_op *disk_op_begin(struct disk *d, enum disk_op_kind kind, struct disk_inode *inode)
{
    struct disk_op *op = disk_memory(NULL, sizeof *op);
    *op = (struct disk_op){.kind = kind, .inode = inode};
    list_append(&d->flight, &op->link);
    return op;
}

void disk_op_free(struct disk *d, struct disk_op *op)
{
    list_remove(&op->link);
    d->litter = d->litter || (op->inode && op->inode->opens == 0 && op->inode->links == 0);
    for (uint32_t i = 0; i < op->block_count; i++) {
        disk_block_drop(op->blocks[i]);
    }
    free(op->blocks);
    free(op->landed);
    free(op->path);
    free(op);
}

static void assert_no_overlap(const struct disk *d, const struct disk_inode *inode,
                              uint64_t position, uint64_t size)
{
    list_each (node, &d->flight) {
        const struct disk_op *op = container_of(node, struct disk_op, link);
        if (op->kind == DISK_WRITE && op->inode == inode) {
            assert(op->position + op->size <= position || position + size <= op->position);
        }
    }
}

/* Copies a piece of what is written to its place in a block. The zeros of new journal files are all
 * one block: nothing else is written in such numbers. */
static void block_put(struct disk *d, struct disk_block **b, size_t inside, const uint8_t *from,
                      size_t size)
{
    if (size == DISK_BLOCK_SIZE && memcmp(from, d->zeros->data, size) == 0) {
        *b = disk_block_take(d->zeros);
        return;
    }
    *b = *b ? *b : disk_block_new();
    memcpy((*b)->data + inside, from, size);
}

struct disk_op *disk_write_begin(struct disk *d, struct disk_inode *inode,
                                 const struct iovec *iovecs, unsigned count, uint64_t position,
                                 bool durable)
{
    assert(!inode->directory);
    uint64_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        size += iovecs[i].iov_len;
    }
    assert_no_overlap(d, inode, position, size);
    disk_capture(d, inode);
    struct disk_op *op = disk_op_begin(d, DISK_WRITE, inode);
    op->position = position;
    op->size = size;
    op->durable = durable;
    op->error = disk_space_take(d, inode, position, size);
    uint64_t skip = position % DISK_BLOCK_SIZE;
    op->block_count = (uint32_t)((skip + size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE);
    op->blocks = disk_memory(NULL, op->block_count * sizeof *op->blocks);
    op->landed = disk_memory(NULL, op->block_count * sizeof *op->landed);
    for (uint32_t i = 0; i < op->block_count; i++) {
        op->blocks[i] = NULL;
        op->landed[i] = false;
    }
    uint64_t at = skip;
    for (unsigned i = 0; i < count; i++) {
        for (size_t taken = 0; taken < iovecs[i].iov_len;) {
            size_t inside = at % DISK_BLOCK_SIZE, room = DISK_BLOCK_SIZE - inside;
            size_t n = iovecs[i].iov_len - taken < room ? iovecs[i].iov_len - taken : room;
            block_put(d, &op->blocks[at / DISK_BLOCK_SIZE], inside,
                      (const uint8_t *)iovecs[i].iov_base + taken, n);
            taken += n;
            at += n;
        }
    }
    assert(at == skip + size);
    return op;
}

/* Block `i` of a write becomes visible, or (a torn kill) the sectors of it in the set. */
void disk_land(struct disk *d, struct disk_op *op, uint32_t i, uint8_t sectors)
{
    assert(op->kind == DISK_WRITE);
    if (op->landed[i] || op->error || op->lost) {
        return;
    }
    op->landed[i] = true;
    uint32_t index = (uint32_t)(op->position / DISK_BLOCK_SIZE) + i;
    size_t from = i == 0 ? op->position % DISK_BLOCK_SIZE : 0;
    uint64_t end = op->position + op->size - (uint64_t)index * DISK_BLOCK_SIZE;
    size_t to = end < DISK_BLOCK_SIZE ? (size_t)end : DISK_BLOCK_SIZE;
    if (from == 0 && to == DISK_BLOCK_SIZE && sectors == 0xff) {
        disk_cell_push(d, op->inode, index, disk_block_take(op->blocks[i]));
    } else {
        const struct disk_block *old = disk_cell_visible(disk_cell(op->inode, index));
        struct disk_block *b = disk_block_new();
        if (old) {
            memcpy(b->data, old->data, DISK_BLOCK_SIZE);
        } else {
            memset(b->data, 0, DISK_BLOCK_SIZE);
        }
        for (size_t at = from; at < to; at++) {
            if (sectors >> at / DISK_SECTOR_SIZE & 1) {
                b->data[at] = op->blocks[i]->data[at];
            }
        }
        disk_cell_push(d, op->inode, index, b);
    }
    disk_map_refresh(op->inode, index);
}

static int64_t write_end(struct disk *d, struct disk_op *op)
{
    if (op->error) {
        return op->error;
    }
    struct disk_inode *inode = op->inode;
    uint32_t first = (uint32_t)(op->position / DISK_BLOCK_SIZE);
    for (uint32_t i = 0; i < op->block_count; i++) {
        disk_land(d, op, i, 0xff);
        if (op->durable && !op->lost) {
            disk_cell_settle(&inode->cells[first + i], UINT64_MAX);
        }
    }
    if (op->position + op->size > inode->size) {
        disk_size_set(d, inode, op->position + op->size);
    }
    if (op->durable) {
        size_settle(inode, UINT64_MAX);
        disk_dirty_sweep(inode);
    }
    return (int64_t)op->size;
}

struct disk_op *disk_sync_begin(struct disk *d, struct disk_inode *inode)
{
    if (inode) {
        disk_capture(d, inode);
    } else {
        list_each (node, &d->inodes) {
            disk_capture(d, container_of(node, struct disk_inode, link));
        }
    }
    struct disk_op *op = disk_op_begin(d, DISK_SYNC, inode);
    op->limit = d->sequence;
    return op;
}

static void sync_inode(struct disk_inode *inode, uint64_t limit)
{
    for (uint32_t i = 0; i < inode->dirty_count; i++) {
        disk_cell_settle(&inode->cells[inode->dirty[i]], limit);
    }
    size_settle(inode, limit);
    disk_dirty_sweep(inode);
}

static int64_t sync_end(struct disk *d, struct disk_op *op)
{
    if (op->inode && !op->inode->directory) {
        sync_inode(op->inode, op->limit);
        return 0;
    }
    if (!op->inode) {
        list_each (node, &d->inodes) {
            sync_inode(container_of(node, struct disk_inode, link), op->limit);
        }
    }
    disk_names_settle(d, op->inode, op->limit);
    return 0;
}

struct disk_op *disk_allocate_begin(struct disk *d, struct disk_inode *inode, uint64_t position,
                                    uint64_t size)
{
    assert(!inode->directory && size > 0);
    struct disk_op *op = disk_op_begin(d, DISK_ALLOCATE, inode);
    op->position = position;
    op->size = size;
    op->error = disk_space_take(d, inode, position, size);
    return op;
}

static int64_t allocate_end(struct disk *d, struct disk_op *op)
{
    if (!op->error && op->position + op->size > op->inode->size) {
        disk_size_set(d, op->inode, op->position + op->size);
    }
    return op->error;
}

struct disk_op *disk_truncate_begin(struct disk *d, struct disk_inode *inode, uint64_t size)
{
    assert(!inode->directory);
    assert_no_overlap(d, inode, size, UINT64_MAX / 2 - size);
    disk_capture(d, inode);
    struct disk_op *op = disk_op_begin(d, DISK_TRUNCATE, inode);
    op->size = size;
    return op;
}

static int64_t truncate_end(struct disk *d, struct disk_op *op)
{
    struct disk_inode *inode = op->inode;
    uint32_t whole = (uint32_t)(op->size / DISK_BLOCK_SIZE);
    size_t rest = op->size % DISK_BLOCK_SIZE;
    for (uint32_t i = whole; i < inode->cell_count; i++) {
        struct disk_cell *c = &inode->cells[i];
        struct disk_block *old = disk_cell_visible(c), *cut = NULL;
        bool keep = i == whole && rest > 0;
        if (keep && old) {
            cut = disk_block_new();
            memcpy(cut->data, old->data, rest);
            memset(cut->data + rest, 0, DISK_BLOCK_SIZE - rest);
        }
        if (old || c->newest || c->durable) {
            disk_cell_push(d, inode, i, cut);
        }
        if (!keep && inode->cells[i].allocated) {
            inode->cells[i].allocated = false;
            inode->allocated_blocks--;
            d->used_blocks -= inode->counted;
        }
        disk_map_refresh(inode, i);
    }
    disk_size_set(d, inode, op->size);
    return 0;
}

struct disk_op *disk_unlink_begin(struct disk *d, const char *path)
{
    struct disk_op *op = disk_op_begin(d, DISK_UNLINK, NULL);
    size_t size = strlen(path) + 1;
    op->path = disk_memory(NULL, size);
    memcpy(op->path, path, size);
    return op;
}

int64_t disk_end(struct disk *d, struct disk_op *op)
{
    int64_t result = 0;
    switch (op->kind) {
    case DISK_WRITE:
        result = write_end(d, op);
        break;
    case DISK_SYNC:
        result = sync_end(d, op);
        break;
    case DISK_ALLOCATE:
        result = allocate_end(d, op);
        break;
    case DISK_TRUNCATE:
        result = truncate_end(d, op);
        break;
    case DISK_UNLINK:
        result = disk_unlink(d, op->path);
        break;
    }
    disk_op_free(d, op);
    return result;
}

/* Each block that the sync covered: durable, dropped, or seen by readers and nowhere else. */
static void sync_fail(struct disk_inode *inode, uint64_t limit, struct prng *random)
{
    for (uint32_t i = 0; i < inode->dirty_count; i++) {
        struct disk_cell *c = &inode->cells[inode->dirty[i]];
        if (!c->newest || c->newest->sequence > limit) {
            continue; /* written again since: still dirty */
        }
        struct disk_block *visible = disk_block_take(c->newest->block);
        switch (prng_below(random, 3)) {
        case 0:
            disk_cell_settle(c, limit);
            break;
        case 1:
            disk_cell_reset(c, disk_block_take(c->durable));
            disk_map_refresh(inode, inode->dirty[i]);
            break;
        default:
            disk_cell_reset(c, disk_block_take(c->durable));
            c->ghosted = true;
            c->ghost = disk_block_take(visible);
            break;
        }
        disk_block_drop(visible);
    }
    disk_dirty_sweep(inode);
}

void disk_fail(struct disk *d, struct disk_op *op, struct prng *random)
{
    if (op->kind == DISK_WRITE) {
        for (uint32_t i = 0; i < op->block_count; i++) {
            if (prng_chance(random, 1, 2)) {
                disk_land(d, op, i, 0xff);
            }
        }
    } else if (op->kind == DISK_SYNC) {
        d->cache_lost = d->cache_lost || !op->inode;
        list_each (node, &d->inodes) {
            struct disk_inode *inode = container_of(node, struct disk_inode, link);
            if (!op->inode || op->inode == inode) {
                sync_fail(inode, op->limit, random);
            }
        }
    }
    disk_op_free(d, op);
}

bool disk_cache_lost(struct disk *d)
{
    bool lost = d->cache_lost;
    d->cache_lost = false;
    return lost;
}

void disk_lose(struct disk_op *op)
{
    assert(op->kind == DISK_WRITE);
    op->lost = true;
}

/* Lands at other blocks that the file has, if it has any, and is lost at its own. */
void disk_misdirect(struct disk *d, struct disk_op *op, struct prng *random)
{
    assert(op->kind == DISK_WRITE);
    uint32_t blocks = (uint32_t)(op->inode->size / DISK_BLOCK_SIZE);
    for (uint32_t i = 0; i < op->block_count && blocks > 0 && !op->error; i++) {
        uint32_t index = (uint32_t)prng_below(random, blocks);
        disk_cell_push(d, op->inode, index, disk_block_take(op->blocks[i]));
        disk_map_refresh(op->inode, index);
        if (op->durable) {
            disk_cell_settle(&op->inode->cells[index], UINT64_MAX);
        }
    }
    op->lost = true;
}

/* --- reading ------------------------------------------------------------------------- */

/* Decides for the writes in flight which blocks of [position, position + size) have landed. */
static void read_race(struct disk *d, const struct disk_inode *inode, uint64_t position,
                      uint64_t size, struct prng *random)
{
    list_each (node, &d->flight) {
        struct disk_op *op = container_of(node, struct disk_op, link);
        if (op->kind != DISK_WRITE || op->inode != inode) {
            continue;
        }
        uint64_t first = op->position / DISK_BLOCK_SIZE;
        for (uint32_t i = 0; i < op->block_count; i++) {
            uint64_t at = (first + i) * DISK_BLOCK_SIZE;
            if (at < position + size && position < at + DISK_BLOCK_SIZE &&
                prng_chance(random, 1, 2)) {
                disk_land(d, op, i, 0xff);
            }
        }
    }
}

int64_t disk_read(struct disk *d, struct disk_inode *inode, void *buffer, size_t size,
                  uint64_t position, struct prng *random)
{
    assert(!inode->directory);
    read_race(d, inode, position, size, random);
    disk_capture(d, inode);
    if (position >= inode->size) {
        return 0;
    }
    size = inode->size - position < size ? (size_t)(inode->size - position) : size;
    uint8_t *out = buffer;
    for (size_t done = 0; done < size;) {
        uint32_t index = (uint32_t)((position + done) / DISK_BLOCK_SIZE);
        size_t inside = (position + done) % DISK_BLOCK_SIZE, room = DISK_BLOCK_SIZE - inside;
        size_t n = size - done < room ? size - done : room;
        const struct disk_cell *c = index < inode->cell_count ? &inode->cells[index] : NULL;
        if (c && c->broken) {
            return -EIO;
        }
        const struct disk_block *b = c ? disk_cell_visible(c) : NULL;
        if (b) {
            memcpy(out + done, b->data + inside, n);
        } else {
            memset(out + done, 0, n);
        }
        done += n;
    }
    return (int64_t)size;
}
