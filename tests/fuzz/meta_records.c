/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as the metadata log: batches are replayed until one is refused. The first byte says
 * whether sums are made right first, so that the fuzzer gets past them. What was applied is an
 * image that holds together, and a snapshot of it gives the same numbers back. */
#include "meta/snapshot.h"

#include <stdlib.h>

enum { BUDGET = 64 << 20 };

static const struct uuid cluster = {{7}};

/* Sets length, magic and sum of the batch at `data` so that it fits what is there. */
static size_t make_right(uint8_t *data, size_t size, const struct image *draft)
{
    if (size < BATCH_HEADER_SIZE) {
        return 0;
    }
    size_t whole = batch_size_peek(data);
    if (whole < BATCH_HEADER_SIZE || whole > size) {
        whole = size;
    }
    put_be32(data + 8, (uint32_t)(whole - BATCH_LENGTH_FROM));
    data[16] = BATCH_MAGIC;
    batch_set_base_offset(data, image_offset(draft) + 1);
    batch_set_leader_epoch(data, image_epoch(draft) < 0 ? 0 : image_epoch(draft));
    batch_set_producer(data, whole, -1, -1, -1); /* makes the sum anew */
    return whole;
}

static void check_snapshot(struct memory *memory, struct image_home *home, struct image *image)
{
    struct snapshot_writer w;
    struct snapshot_reader r;
    struct bytes batch;
    int more;
    struct image *back = image_empty(home);
    if (!back) {
        return;
    }
    struct snapshot_id id = {image_offset(image) + 1, image_epoch(image)};
    snapshot_writer_init(&w, memory, image, cluster);
    snapshot_reader_init(&r, memory, back, id, cluster);
    while ((more = snapshot_writer_next(&w, &batch)) == 1) {
        size_t used;
        int error = snapshot_reader_feed(&r, batch.data, batch.size, &used);
        assert(error == 0 || error == ERR_NO_MEMORY);
        if (error) {
            more = error;
            break;
        }
        assert(used == batch.size);
    }
    if (more == 0) {
        int error = snapshot_reader_end(&r);
        assert(!error);
        assert(image_topic_count(back) == image_topic_count(image));
        assert(image_partition_total(back) == image_partition_total(image));
        assert(image_broker_count(back) == image_broker_count(image));
        assert(image_next_producer_id(back) == image_next_producer_id(image));
        image_check(back);
    }
    snapshot_writer_deinit(&w);
    image_release(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory;
    char why[RECORDS_WHY_SIZE];
    if (size < 1) {
        return 0;
    }
    memory_init(&memory, BUDGET);
    struct image_home *home = image_home_new(&memory, "fuzzfuzzfuzzfuzzfuzzfu");
    struct image *image = image_empty(home);
    bool right = data[0] & 1;
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data + 1, size - 1);
    size--;
    for (size_t at = 0; at < size;) {
        size_t whole = right ? make_right(bytes + at, size - at, image)
                             : (size - at < BATCH_LENGTH_FROM ? 0 : batch_size_peek(bytes + at));
        if (whole == 0 || whole > size - at) {
            break;
        }
        struct image *draft = image_fork(image);
        int error =
            draft ? records_apply_batch(draft, bytes + at, whole, &memory, why) : ERR_NO_MEMORY;
        if (error) {
            image_release(draft);
            break;
        }
        image_seal(draft);
        image_release(image);
        image = draft;
        at += whole;
    }
    image_check(image);
    if (image_offset(image) >= 0) {
        check_snapshot(&memory, home, image);
    }
    free(bytes);
    image_release(image);
    image_home_free(home);
    assert(memory.used_bytes == 0);
    return 0;
}
