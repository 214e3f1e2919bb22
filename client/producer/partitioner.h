/* SPDX-License-Identifier: Apache-2.0 */

/* partitioner: which partition a keyed record goes to, bit for bit as other clients decide.
 *
 *     murmur2   (murmur2(key, seed 0x9747b28c) & 0x7fffffff) % partitions    Java clients
 *     crc32     crc32(key) % partitions                                      librdkafka */
#pragma once

#include "base/bytes.h"

/* MurmurHash2 (Austin Appleby, public domain) as the Java clients run it. */
uint32_t murmur2(struct bytes key);

int32_t partition_by_murmur2(struct bytes key, int32_t partitions);
int32_t partition_by_crc32(struct bytes key, int32_t partitions);
