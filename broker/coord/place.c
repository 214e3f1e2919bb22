/* SPDX-License-Identifier: Apache-2.0 */

#include "coord/place.h"

/* As Java hashes the text: over its UTF-16 units. Bytes that are not UTF-8 count as they stand. */
int32_t coord_partition_of(struct wire_string group, int32_t partitions)
{
    uint32_t hash = 0;
    const uint8_t *p = (const uint8_t *)group.data, *end = p + (group.size > 0 ? group.size : 0);
    while (p < end) {
        unsigned extra = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
        uint32_t unit = *p;
        if (extra > 0 && (size_t)(end - p) > extra) {
            unit = *p & (0x3fu >> extra);
            for (unsigned i = 1; i <= extra; i++) {
                unit = unit << 6 | (p[i] & 0x3f);
            }
            p += extra;
        }
        p++;
        if (unit >= 0x10000) {
            unit -= 0x10000;
            hash = 31 * hash + (0xd800 + (unit >> 10));
            unit = 0xdc00 + (unit & 0x3ff);
        }
        hash = 31 * hash + unit;
    }
    return (int32_t)((hash & 0x7fffffff) % (uint32_t)partitions);
}
