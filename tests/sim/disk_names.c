/* SPDX-License-Identifier: Apache-2.0 */

/* Names: directories, what they hold now, and the ordered list of changes that are not durable.
 *
 * A change (create, rename, unlink, mkdir) acts on the visible names at once and joins the list of
 * renames. A sync of a directory makes those changes durable that touch it, and with each the
 * earlier ones on the same names, wherever they are. An inode lives as long as a visible or durable
 * name, a pending change or a handle leads to it. */
#include "disk_private.h"

#include "base/crc32c.h"

#include <errno.h>

struct disk_entry *disk_entry(struct disk_inode *directory, const char *name, bool make)
{
    uint32_t size = (uint32_t)strlen(name) + 1, hash = crc32c(0, name, size);
    for (uint32_t i = 0; i < directory->entry_count; i++) {
        struct disk_entry *e = &directory->entries[i];
        if (e->hash == hash && e->size == size && memcmp(e->name, name, size) == 0) {
            return e;
        }
    }
    if (!make) {
        return NULL;
    }
    if (directory->entry_count == directory->entry_room) {
        directory->entry_room = directory->entry_room ? directory->entry_room * 2 : 4;
        directory->entries =
            disk_memory(directory->entries, directory->entry_room * sizeof *directory->entries);
    }
    struct disk_entry *e = &directory->entries[directory->entry_count++];
    *e = (struct disk_entry){disk_memory(NULL, size), size, hash, NULL, NULL};
    memcpy(e->name, name, size);
    return e;
}

static struct disk_inode *visible(struct disk_inode *directory, const char *name)
{
    struct disk_entry *e = disk_entry(directory, name, false);
    return e ? e->visible : NULL;
}

/* Finds the directory that holds the last name of `path`, and that name; an empty one: the root. */
static int walk(struct disk *d, const char *path, struct disk_inode **directory,
                char name[DISK_NAME_MAX + 1])
{
    struct disk_inode *at = d->root;
    name[0] = 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n > 0 && !(n == 1 && *p == '.')) {
            if (n > DISK_NAME_MAX) {
                return -ENAMETOOLONG;
            }
            if (n == 2 && memcmp(p, "..", 2) == 0) {
                return -EINVAL;
            }
            if (name[0]) {
                at = visible(at, name);
                if (!at || !at->directory) {
                    return at ? -ENOTDIR : -ENOENT;
                }
            }
            memcpy(name, p, n);
            name[n] = 0;
        }
        p += n;
        p += *p == '/';
    }
    *directory = at;
    return 0;
}

struct disk_inode *disk_find(struct disk *d, const char *path)
{
    struct disk_inode *directory;
    char name[DISK_NAME_MAX + 1];
    if (walk(d, path, &directory, name) < 0) {
        return NULL;
    }
    return name[0] ? visible(directory, name) : directory;
}

/* --- changes ------------------------------------------------------------------------- */

static void link_move(struct disk *d, struct disk_inode **at, struct disk_inode *target)
{
    struct disk_inode *old = *at;
    *at = target;
    if (target) {
        target->links++;
        disk_inode_count(d, target);
    }
    if (old) {
        assert(old->links > 0);
        old->links--;
        disk_inode_count(d, old);
    }
}

static struct disk_rename *change_begin(struct disk *d)
{
    struct disk_rename *r = disk_memory(NULL, sizeof *r);
    *r = (struct disk_rename){.sequence = ++d->sequence};
    list_append(&d->renames, &r->link);
    return r;
}

static void change_add(struct disk *d, struct disk_rename *r, struct disk_inode *directory,
                       const char *name, struct disk_inode *target)
{
    assert(r->count < array_size(r->changes));
    struct disk_change *c = &r->changes[r->count++];
    c->directory = directory;
    c->target = target;
    memcpy(c->name, name, strlen(name) + 1);
    struct disk_entry *e = disk_entry(directory, name, true);
    d->litter = d->litter || e->visible || !target;
    link_move(d, &e->visible, target);
}

int disk_open(struct disk *d, struct disk_inode **out, const char *path, unsigned flags)
{
    struct disk_inode *directory;
    char name[DISK_NAME_MAX + 1];
    int error = walk(d, path, &directory, name);
    if (error < 0) {
        return error;
    }
    struct disk_inode *inode = name[0] ? visible(directory, name) : directory;
    if (inode && (flags & DISK_OPEN_CREATE) && (flags & DISK_OPEN_EXCLUSIVE)) {
        return -EEXIST;
    }
    if (inode && inode->directory != !!(flags & DISK_OPEN_DIRECTORY)) {
        return inode->directory ? -EISDIR : -ENOTDIR;
    }
    if (!inode) {
        if (!(flags & DISK_OPEN_CREATE) || (flags & DISK_OPEN_DIRECTORY)) {
            return -ENOENT;
        }
        inode = disk_inode_new(d, false);
        change_add(d, change_begin(d), directory, name, inode);
    }
    inode->opens++;
    disk_inode_count(d, inode);
    *out = inode;
    return 0;
}

void disk_close(struct disk *d, struct disk_inode *inode)
{
    assert(inode->opens > 0);
    if (--inode->opens == 0 && inode->map) {
        disk_capture(d, inode);
        disk_map_end(inode);
    }
    d->litter = d->litter || (inode->opens == 0 && inode->links == 0);
    disk_inode_count(d, inode);
}

bool disk_lock(struct disk_inode *inode, const void *owner)
{
    if (inode->lock && inode->lock != owner) {
        return false;
    }
    inode->lock = owner;
    return true;
}

void disk_unlock(struct disk_inode *inode, const void *owner)
{
    if (inode->lock == owner) {
        inode->lock = NULL;
    }
}

static bool empty(const struct disk_inode *directory)
{
    for (uint32_t i = 0; i < directory->entry_count; i++) {
        if (directory->entries[i].visible) {
            return false;
        }
    }
    return true;
}

int disk_rename(struct disk *d, const char *from, const char *to)
{
    struct disk_inode *from_dir, *to_dir;
    char from_name[DISK_NAME_MAX + 1], to_name[DISK_NAME_MAX + 1];
    int error = walk(d, from, &from_dir, from_name);
    if (!error) {
        error = walk(d, to, &to_dir, to_name);
    }
    if (error < 0) {
        return error;
    }
    struct disk_inode *moved = from_name[0] ? visible(from_dir, from_name) : NULL;
    if (!moved) {
        return from_name[0] ? -ENOENT : -EBUSY;
    }
    struct disk_inode *target = to_name[0] ? visible(to_dir, to_name) : d->root;
    if (target == moved) {
        return 0;
    }
    if (target && target->directory != moved->directory) {
        return target->directory ? -EISDIR : -ENOTDIR;
    }
    if (target && target->directory && !empty(target)) {
        return -ENOTEMPTY;
    }
    struct disk_rename *r = change_begin(d);
    change_add(d, r, to_dir, to_name, moved);
    change_add(d, r, from_dir, from_name, NULL);
    return 0;
}

int disk_mkdir(struct disk *d, const char *path)
{
    struct disk_inode *directory;
    char name[DISK_NAME_MAX + 1];
    int error = walk(d, path, &directory, name);
    if (error < 0) {
        return error;
    }
    if (!name[0] || visible(directory, name)) {
        return -EEXIST;
    }
    change_add(d, change_begin(d), directory, name, disk_inode_new(d, true));
    return 0;
}

int disk_unlink(struct disk *d, const char *path)
{
    struct disk_inode *directory;
    char name[DISK_NAME_MAX + 1];
    int error = walk(d, path, &directory, name);
    if (error < 0) {
        return error;
    }
    struct disk_inode *inode = name[0] ? visible(directory, name) : NULL;
    if (!inode) {
        return name[0] ? -ENOENT : -EBUSY;
    }
    if (inode->directory && !empty(inode)) {
        return -ENOTEMPTY;
    }
    change_add(d, change_begin(d), directory, name, NULL);
    return 0;
}

int disk_list(struct disk *d, const char *path,
              void (*each)(void *context, const char *name, bool directory), void *context)
{
    struct disk_inode *directory = disk_find(d, path);
    if (!directory || !directory->directory) {
        return directory ? -ENOTDIR : -ENOENT;
    }
    for (uint32_t i = 0; i < directory->entry_count; i++) {
        const struct disk_entry *e = &directory->entries[i];
        if (e->visible) {
            each(context, e->name, e->visible->directory);
        }
    }
    return 0;
}

/* --- durability ---------------------------------------------------------------------- */

static bool touches(const struct disk_rename *r, const struct disk_inode *directory)
{
    for (unsigned i = 0; i < r->count; i++) {
        if (r->changes[i].directory == directory) {
            return true;
        }
    }
    return false;
}

static bool shares_name(const struct disk_rename *a, const struct disk_rename *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        for (unsigned j = 0; j < b->count; j++) {
            if (a->changes[i].directory == b->changes[j].directory &&
                strcmp(a->changes[i].name, b->changes[j].name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void make_durable(struct disk *d, struct disk_rename *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct disk_change *c = &r->changes[i];
        struct disk_entry *e = disk_entry(c->directory, c->name, true);
        d->litter = d->litter || e->durable || !c->target || c->directory->links == 0;
        e->durable = c->target;
    }
}

static void rename_free(struct disk_rename *r)
{
    list_remove(&r->link);
    free(r);
}

void disk_names_settle(struct disk *d, const struct disk_inode *directory, uint64_t limit)
{
    for (struct list *node = d->renames.prev; node != &d->renames; node = node->prev) {
        struct disk_rename *r = container_of(node, struct disk_rename, link);
        r->marked = r->sequence <= limit && (!directory || touches(r, directory));
        for (struct list *later = node->next; later != &d->renames && !r->marked;
             later = later->next) {
            struct disk_rename *next = container_of(later, struct disk_rename, link);
            r->marked = next->marked && shares_name(r, next);
        }
    }
    list_each (node, &d->renames) {
        struct disk_rename *r = container_of(node, struct disk_rename, link);
        if (r->marked) {
            make_durable(d, r);
            rename_free(r);
        }
    }
    if (d->litter) {
        (void)disk_collect(d);
    } else {
        assert_slow(!disk_collect(d));
    }
}

/* A power cut: some of the pending changes are durable, and nothing else is visible afterwards. */
void disk_names_cut(struct disk *d, bool in_order, struct prng *random)
{
    uint64_t count = 0;
    list_each (node, &d->renames) {
        count++;
    }
    uint64_t kept = prng_below(random, count + 1), at = 0;
    list_each (node, &d->renames) {
        struct disk_rename *r = container_of(node, struct disk_rename, link);
        if (in_order ? at < kept : prng_chance(random, 1, 2)) {
            make_durable(d, r);
        }
        at++;
        rename_free(r);
    }
    list_each (node, &d->inodes) {
        struct disk_inode *directory = container_of(node, struct disk_inode, link);
        for (uint32_t i = 0; i < directory->entry_count; i++) {
            link_move(d, &directory->entries[i].visible, directory->entries[i].durable);
        }
    }
    (void)disk_collect(d);
}

static void mark(struct disk_inode *inode)
{
    if (!inode || inode->marked) {
        return;
    }
    inode->marked = true;
    for (uint32_t i = 0; i < inode->entry_count; i++) {
        mark(inode->entries[i].visible);
        mark(inode->entries[i].durable);
    }
}

/* Drops names that mean nothing any more, then inodes that nothing leads to. */
bool disk_collect(struct disk *d)
{
    bool any = false;
    mark(d->root);
    list_each (node, &d->renames) {
        struct disk_rename *r = container_of(node, struct disk_rename, link);
        for (unsigned i = 0; i < r->count; i++) {
            mark(r->changes[i].directory);
            mark(r->changes[i].target);
        }
    }
    list_each (node, &d->flight) {
        mark(container_of(node, struct disk_op, link)->inode);
    }
    list_each (node, &d->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        if (inode->opens > 0) {
            mark(inode);
        }
    }
    list_each (node, &d->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        uint32_t kept = 0;
        for (uint32_t i = 0; inode->marked && i < inode->entry_count; i++) {
            struct disk_entry e = inode->entries[i];
            if (e.visible || e.durable) {
                inode->entries[kept++] = e;
            } else {
                free(e.name);
                any = true;
            }
        }
        if (inode->marked) {
            inode->entry_count = kept;
        }
    }
    list_each (node, &d->inodes) {
        struct disk_inode *inode = container_of(node, struct disk_inode, link);
        if (!inode->marked) {
            disk_inode_free(d, inode);
            any = true;
        } else {
            inode->marked = false;
        }
    }
    d->litter = false;
    return any;
}
