/* SPDX-License-Identifier: Apache-2.0 */

/* Segments and their indexes, changed, through recovery, the cold reader, the walk that makes an
 * index anew, and the search for a time. */
#include "log_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 1) {
        image_run(IMAGE_SEGMENTS, data, size);
    }
    return 0;
}
