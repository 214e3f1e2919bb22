/* SPDX-License-Identifier: Apache-2.0 */

#include "producer/partitioner.h"

#include <zlib.h>

uint32_t murmur2(struct bytes key)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *p = key.data;
    size_t left = key.size;
    uint32_t hash = 0x9747b28cu ^ (uint32_t)key.size;
    for (; left >= 4; p += 4, left -= 4) {
        uint32_t k = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        hash *= m;
        hash ^= k;
    }
    switch (left) {
    case 3:
        hash ^= (uint32_t)p[2] << 16;
        /* fall through */
    case 2:
        hash ^= (uint32_t)p[1] << 8;
        /* fall through */
    case 1:
        hash ^= p[0];
        hash *= m;
        break;
    default:
        break;
    }
    hash ^= hash >> 13;
    hash *= m;
    hash ^= hash >> 15;
    return hash;
}

int32_t partition_by_murmur2(struct bytes key, int32_t partitions)
{
    assert(partitions > 0);
    return (int32_t)(murmur2(key) & 0x7fffffff) % partitions;
}

int32_t partition_by_crc32(struct bytes key, int32_t partitions)
{
    assert(partitions > 0);
    uint32_t crc = (uint32_t)crc32_z(0, key.data, key.size);
    return (int32_t)(crc % (uint32_t)partitions);
}
