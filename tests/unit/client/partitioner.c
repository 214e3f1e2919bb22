/* SPDX-License-Identifier: Apache-2.0 */

/* Keys go where the Java clients (murmur2) and librdkafka (CRC-32) send them: the vectors are those
 * that the Java clients' own tests publish. */
#include "producer/partitioner.h"

#include <stdio.h>

#include <criterion/criterion.h>

Test(partitioner, murmur2_of_known_keys)
{
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < array_size(known); i++) {
        cr_assert_eq((int32_t)murmur2(bytes_of_string(known[i].key)), known[i].hash, "%s",
                     known[i].key);
    }
}

Test(partitioner, partitions_are_in_range_and_stable)
{
    char key[32];
    for (int32_t partitions = 1; partitions < 50; partitions++) {
        for (int i = 0; i < 100; i++) {
            struct bytes bytes = {(const uint8_t *)key, (size_t)sprintf(key, "key-%d", i)};
            int32_t murmur = partition_by_murmur2(bytes, partitions);
            int32_t crc = partition_by_crc32(bytes, partitions);
            cr_assert(murmur >= 0 && murmur < partitions);
            cr_assert(crc >= 0 && crc < partitions);
            cr_assert_eq(murmur, (int32_t)((murmur2(bytes) & 0x7fffffff) % (uint32_t)partitions));
        }
    }
}

Test(partitioner, crc32_is_that_of_zlib)
{
    cr_assert_eq(partition_by_crc32(bytes_of_string("123456789"), INT32_MAX),
                 (int32_t)(0xcbf43926u % INT32_MAX));
}
