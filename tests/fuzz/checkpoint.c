/* SPDX-License-Identifier: Apache-2.0 */

/* Checkpoints: the bare decoders, or those of a killed node, changed, through a whole recovery. */
#include "log_image.h"

#include "base/errors.h"
#include "log/format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_log(const struct checkpoint_log *l, const uint8_t *bytes, size_t size)
{
    const struct bytes parts[] = {l->name, l->epochs, l->producers, l->older, l->unfinished};
    for (unsigned i = 0; i < array_size(parts); i++) {
        assert(parts[i].size == 0 ||
               (parts[i].data >= bytes && parts[i].data + parts[i].size <= bytes + size));
    }
    assert(l->start_offset >= 0 && l->start_offset <= l->end_offset);
    assert(l->segment_base >= 0 && l->segment_base <= l->end_offset);
}

static void decode_raw(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1); /* of its own, so that a sanitizer sees its end */
    memcpy(bytes, data, size);
    struct checkpoint_header h;
    if (checkpoint_header_decode(&h, bytes, size) == 0) {
        assert(h.size >= CHECKPOINT_HEADER_SIZE && h.size <= size);
    }
    struct reader r = reader_of(bytes, size);
    struct checkpoint_log l;
    while (reader_left(&r) && checkpoint_log_decode(&l, &r) == 0) {
        check_log(&l, bytes, size);
        uint8_t *again = malloc(checkpoint_log_size(&l));
        struct writer w = writer_of(again, checkpoint_log_size(&l));
        checkpoint_log_encode(&l, &w);
        assert(!w.failed && w.size == checkpoint_log_size(&l));
        free(again);
    }
    struct uuid topic_id, storage_id;
    int32_t partition;
    int verdict = partition_file_decode(bytes, size, &topic_id, &storage_id, &partition);
    assert(verdict == 0 || verdict == ERR_MALFORMED);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if (data[0] & IMAGE_RAW) {
        decode_raw(data + 1, size - 1);
    } else {
        image_run(IMAGE_CHECKPOINTS | IMAGE_PARTITIONS, data, size);
    }
    return 0;
}
