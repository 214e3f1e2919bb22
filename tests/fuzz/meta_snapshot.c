/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a snapshot: damage or an image, in bounded memory. The first byte says whether each
 * batch's sum is made right first, so that the fuzzer gets past it; the footer's stands in the way
 * of a whole file, as it should. */
#include "meta/snapshot.h"

#include <stdlib.h>

enum { BUDGET = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct uuid cluster = {{7}};
    struct memory memory;
    struct snapshot_reader r;
    struct snapshot_id id = {5, 3};
    size_t used = 0;
    if (size < 1) {
        return 0;
    }
    memory_init(&memory, BUDGET);
    struct image_home *home = image_home_new(&memory, "fuzzfuzzfuzzfuzzfuzzfu");
    struct image *draft = image_empty(home);
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 1) {
        for (size_t at = 0; size - 1 - at >= BATCH_HEADER_SIZE;) {
            uint32_t whole = batch_size_peek(bytes + at);
            if (whole < BATCH_HEADER_SIZE || whole > size - 1 - at) {
                break;
            }
            bytes[at + 16] = BATCH_MAGIC;
            batch_set_producer(bytes + at, whole, -1, -1, -1); /* makes the sum anew */
            at += whole;
        }
    }
    snapshot_reader_init(&r, &memory, draft, id, cluster);
    int error = snapshot_reader_feed(&r, bytes, size - 1, &used);
    assert(error || used <= size - 1);
    if (!error) {
        error = snapshot_reader_end(&r);
    }
    if (!error) {
        assert(image_offset(draft) == id.end_offset - 1);
    }
    image_check(draft);
    free(bytes);
    image_release(draft);
    image_home_free(home);
    assert(memory.used_bytes == 0);
    return 0;
}
