/* SPDX-License-Identifier: Apache-2.0 */

/* Where the contents of blocks lie. They live as long as what is written, among buffers that live for
 * a moment: in one heap with these they would break it into pieces, and a run would go all over
 * several hundred MiB. So they have slabs of their own, in huge pages where there are some, that the
 * process keeps for its next run. */
#include "disk_private.h"

#include <sys/mman.h>

enum { SLAB_BLOCKS = 8192 };

static struct disk_block *spares, *slab; /* of all disks of the process */
static uint32_t slab_used = SLAB_BLOCKS;

#ifdef __SANITIZE_ADDRESS__ /* which sees uses of blocks that are gone, if each has a place of its own */
static const bool slabs = false;
#else
static const bool slabs = true;
#endif

static struct disk_block *slab_take(void)
{
    if (slab_used == SLAB_BLOCKS) {
        size_t size = SLAB_BLOCKS * sizeof *slab;
        slab = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (slab == MAP_FAILED) {
            abort();
        }
        (void)madvise(slab, size, MADV_HUGEPAGE); /* where not, it is as it was */
        slab_used = 0;
    }
    return &slab[slab_used++];
}

struct disk_block *disk_block_new(void)
{
    struct disk_block *b;
    if (!slabs) {
        b = disk_memory(NULL, sizeof *b);
    } else if (spares) {
        b = spares;
        spares = b->spare;
    } else {
        b = slab_take();
    }
    b->references = 1;
    return b;
}

void disk_block_free(struct disk_block *b)
{
    assert(b->references == 0);
    if (slabs) {
        b->spare = spares;
        spares = b;
    } else {
        free(b);
    }
}
