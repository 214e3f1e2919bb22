/* SPDX-License-Identifier: Apache-2.0 */

/* The journal: as bare bytes through the scan, its chain and its entries; or as that of a killed
 * node, changed, through a whole recovery. */
#include "log_image.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "log/scan.h"

#include <stdlib.h>

enum { SEED = 1, STEP = 64, BUDGET = 32 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes the sums of all that looks like a group right. */
static void fix(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + GROUP_HEADER_SIZE <= size; at += STEP) {
        uint32_t whole = get_be32(bytes + at + 8);
        if (get_be32(bytes + at) != GROUP_MAGIC || whole < GROUP_HEADER_SIZE || whole > size - at) {
            continue;
        }
        struct group_header g = {.size = whole,
                                 .count = get_be32(bytes + at + 12),
                                 .sequence = get_be64(bytes + at + 16),
                                 .settled = get_be64(bytes + at + 24)};
        uint32_t crc = crc32c(0, bytes + at + GROUP_HEADER_SIZE, whole - GROUP_HEADER_SIZE);
        group_header_encode(&g, SEED, crc, bytes + at);
    }
}

static void check_chain(const struct scan *s, const uint8_t *bytes, size_t size)
{
    uint64_t want = s->live;
    for (size_t i = 0; i < s->chain_count; i++) {
        const struct scan_group *g = &s->groups[s->chain[i]];
        assert(g->position + g->size <= size && g->count > 0);
        assert(g->sequence == want || (i == 0 && g->sequence < want));
        want = g->sequence + g->count;
        struct reader r =
            reader_of(bytes + g->position + GROUP_HEADER_SIZE, g->size - GROUP_HEADER_SIZE);
        struct entry e;
        for (uint32_t n = 0; n < g->count && entry_decode(&e, &r) == 0; n++) {
            assert(e.body >= bytes && e.body + e.body_size <= bytes + size);
        }
    }
    assert(want == s->next_sequence);
}

static void scan_raw(const uint8_t *data, size_t size)
{
    if (size < 17) {
        return;
    }
    struct memory memory;
    memory_init(&memory, BUDGET);
    struct scan s;
    uint64_t live = get_be64(data), mark = get_be64(data + 8);
    size -= 16;
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data + 16, size);
    fix(bytes, size);
    scan_init(&s, &memory, SEED, STEP, live);
    int error = scan_bytes(&s, 0, bytes, 0, size);
    error = error ? error : scan_chain(&s, live, mark);
    assert(!error || error == ERR_NO_MEMORY);
    if (!error) {
        check_chain(&s, bytes, size);
    }
    scan_deinit(&s);
    assert(memory.used_bytes == 0);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if (data[0] & IMAGE_RAW) {
        scan_raw(data + 1, size - 1);
    } else {
        image_run(IMAGE_JOURNAL, data, size);
    }
    return 0;
}
