/* SPDX-License-Identifier: Apache-2.0 */

/* Mappings: stores of the code under test become versions of blocks when somebody looks.
 *
 * The pages of a mapping can be read only; the first store into one raises SIGSEGV, and the handler notes the page as
 * touched and opens it. So a look (disk_capture) compares what was touched since the last one and nothing else: a
 * journal of a MiB is synced thousands of times in a run, and a few pages of it are new each time.
 *
 *     closed --store: SIGSEGV, or disk_map_touch()--> touched --disk_capture()--> closed
 *
 * Invariant: a closed page holds what the file shows (disk_cell_visible). */
#include "disk_private.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

struct disk_map {
    struct list link; /* of `maps` */
    uint8_t *pages;
    size_t size;    /* as asked for; the last page may be a part */
    uint32_t count; /* of pages */
    bool open;      /* pages of this machine are larger than blocks: every one is always touched */
    bool *touched;
    bool any;
};

/* A signal handler has no argument. */
static struct list maps = {&maps, &maps};
static struct sigaction before;                 /* who had the signal */
static void (*wild_pointer)(int signal_number); /* NULL: `before` */
static bool installed;

/* --- the signal ------------------------------------------------------------------------------- */

static void pages_protect(const struct disk_map *m, uint32_t first, uint32_t count, int protection)
{
    if (mprotect(m->pages + (size_t)first * DISK_BLOCK_SIZE, (size_t)count * DISK_BLOCK_SIZE,
                 protection) < 0) {
        abort();
    }
}

static bool page_touch(struct disk_map *m, uint32_t index)
{
    if (m->touched[index]) {
        return false;
    }
    m->touched[index] = m->any = true;
    pages_protect(m, index, 1, PROT_READ | PROT_WRITE);
    return true;
}

static bool address_touch(uintptr_t address)
{
    for (struct list *n = maps.next; n != &maps; n = n->next) {
        struct disk_map *m = container_of(n, struct disk_map, link);
        uintptr_t at = address - (uintptr_t)m->pages;
        if (at < (uintptr_t)m->count * DISK_BLOCK_SIZE) {
            return page_touch(m, (uint32_t)(at / DISK_BLOCK_SIZE));
        }
    }
    return false;
}

static void stored(int signal_number, siginfo_t *info, void *context)
{
    if (address_touch((uintptr_t)info->si_addr)) {
        return;
    }
    if (wild_pointer) {
        wild_pointer(signal_number);
    } else if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal_number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal_number);
    } else {
        signal(signal_number, SIG_DFL); /* it happens again at once, and ends the process */
    }
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = stored, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    if (!installed && sigaction(SIGSEGV, &action, &before) < 0) {
        abort();
    }
    installed = true;
}

void disk_on_wild_pointer(void (*handler)(int signal_number))
{
    install();
    wild_pointer = handler;
}

/* --- looking ---------------------------------------------------------------------------------- */

static size_t page_size_at(const struct disk_map *m, uint32_t index)
{
    size_t at = (size_t)index * DISK_BLOCK_SIZE;
    return m->size - at < DISK_BLOCK_SIZE ? m->size - at : DISK_BLOCK_SIZE;
}

/* Readers of the mapping see what the file holds. */
void disk_map_refresh(struct disk_inode *inode, uint32_t index)
{
    struct disk_map *m = inode->map;
    if (!m || index >= m->count) {
        return;
    }
    const struct disk_block *b =
        index < inode->cell_count ? disk_cell_visible(&inode->cells[index]) : NULL;
    uint8_t *page = m->pages + (size_t)index * DISK_BLOCK_SIZE;
    (void)page_touch(m, index);
    if (b) {
        memcpy(page, b->data, page_size_at(m, index));
    } else {
        memset(page, 0, page_size_at(m, index));
    }
}

/* The file shows something else now than the page, which stays. */
void disk_map_touch(struct disk_inode *inode, uint32_t index)
{
    if (inode->map && index < inode->map->count) {
        (void)page_touch(inode->map, index);
    }
}

static void page_capture(struct disk *d, struct disk_inode *inode, uint32_t index)
{
    static const uint8_t zeros[DISK_BLOCK_SIZE];
    size_t size = page_size_at(inode->map, index);
    const uint8_t *page = inode->map->pages + (size_t)index * DISK_BLOCK_SIZE;
    const struct disk_block *b = disk_cell_visible(disk_cell(inode, index));
    if (memcmp(page, b ? b->data : zeros, size) != 0) {
        struct disk_block *next = disk_block_new();
        memcpy(next->data, b ? b->data : zeros, DISK_BLOCK_SIZE);
        memcpy(next->data, page, size);
        disk_cell_push(d, inode, index, next);
    }
}

/* What was stored through the mapping since the last look becomes a version of its block. */
void disk_capture(struct disk *d, struct disk_inode *inode)
{
    struct disk_map *m = inode->map;
    if (!m || !m->any) {
        return;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->touched[i]) {
            page_capture(d, inode, i);
        }
    }
    for (uint32_t i = 0; i < m->count && !m->open; i++) {
        uint32_t first = i;
        for (; i < m->count && m->touched[i]; i++) {
            m->touched[i] = false;
        }
        if (i > first) {
            pages_protect(m, first, i - first, PROT_READ);
        }
    }
    m->any = m->open;
}

/* --- from the first handle to the last -------------------------------------------------------- */

static struct disk_map *map_new(size_t size)
{
    struct disk_map *m = disk_memory(NULL, sizeof *m);
    *m = (struct disk_map){
        .size = size,
        .count = (uint32_t)((size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE),
        .open = sysconf(_SC_PAGESIZE) != DISK_BLOCK_SIZE,
    };
    m->pages = mmap(NULL, (size_t)m->count * DISK_BLOCK_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->pages == MAP_FAILED) {
        abort();
    }
    m->touched = disk_memory(NULL, m->count * sizeof *m->touched);
    memset(m->touched, m->open, m->count * sizeof *m->touched);
    m->any = m->open;
    list_init(&m->link);
    list_append(&maps, &m->link);
    install();
    return m;
}

/* Pages of which the file has nothing are left as they came: most of a journal is never used. */
static void map_fill(struct disk_map *m, const struct disk_inode *inode)
{
    for (uint32_t i = 0; i < m->count && i < inode->cell_count; i++) {
        const struct disk_block *b = disk_cell_visible(&inode->cells[i]);
        if (b) {
            memcpy(m->pages + (size_t)i * DISK_BLOCK_SIZE, b->data, page_size_at(m, i));
        }
    }
    if (!m->open) {
        pages_protect(m, 0, m->count, PROT_READ);
        /* Recovery reads all of it, and a fault for each page would cost more than the rest. */
        (void)madvise(m->pages, (size_t)m->count * DISK_BLOCK_SIZE, MADV_POPULATE_READ);
    }
}

void disk_map_end(struct disk_inode *inode)
{
    struct disk_map *m = inode->map;
    if (m) {
        list_remove(&m->link);
        munmap(m->pages, (size_t)m->count * DISK_BLOCK_SIZE);
        free(m->touched);
        free(m);
        inode->map = NULL;
    }
}

void *disk_map(struct disk *d, struct disk_inode *inode, size_t size)
{
    assert(inode->opens > 0);
    if (size == 0 || size > inode->size || (inode->map && size > inode->map->size) ||
        disk_space_take(d, inode, 0, size) < 0) {
        return NULL;
    }
    if (!inode->map) {
        inode->map = map_new(size);
        map_fill(inode->map, inode);
    }
    return inode->map->pages;
}
