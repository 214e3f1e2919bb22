/* SPDX-License-Identifier: Apache-2.0 */

/* crc32c: the Castagnoli checksum of record batches, journal groups and block sums.
 *
 * Values are final ones (inverted in and out), so that they chain: crc32c(crc32c(0, a), b) is the
 * sum of a followed by b, and crc32c(0, "123456789", 9) is 0xe3069283. The fastest path that this
 * processor has is chosen at every call by a test of read-only bits: there is no state to
 * initialise. */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

/* The sum of what `crc` covers followed by `size` bytes at `data`. Start with 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same, and copies the bytes to `to` in the same pass. The ranges do not overlap. From
 * CRC32C_STREAM_SIZE on, the copy goes past the caches where the processor can do that: it is meant
 * for buffers that a device reads next. */
enum { CRC32C_STREAM_SIZE = 8192 };
uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t size);

/* The sum of A followed by B from crc32c(0, A), crc32c(0, B) and the size of B in bytes. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);

/* The ways to compute it, from slowest to fastest; for tests and measurements. */
enum crc32c_path { CRC32C_PORTABLE, CRC32C_SSE42, CRC32C_AVX512, CRC32C_PATHS };

/* The fastest path of this processor; every lower one works as well. */
enum crc32c_path crc32c_path_best(void);

/* As above, by a path that is not above crc32c_path_best(). */
uint32_t crc32c_by(enum crc32c_path path, uint32_t crc, const void *data, size_t size);
uint32_t crc32c_copy_by(enum crc32c_path path, uint32_t crc, void *to, const void *from,
                        size_t size);
