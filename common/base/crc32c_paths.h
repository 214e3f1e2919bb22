/* SPDX-License-Identifier: Apache-2.0 */

/* Private to crc32c: the processor's paths. `state` is the inverted sum, as the register holds it.
 */
#pragma once

#include "base/crc32c.h"

#if defined(__x86_64__)
uint32_t crc32c_sse42(uint32_t state, const uint8_t *data, size_t size);
uint32_t crc32c_avx512(uint32_t state, const uint8_t *data, size_t size);
uint32_t crc32c_copy_sse42(uint32_t state, uint8_t *to, const uint8_t *from, size_t size);
uint32_t crc32c_copy_avx512(uint32_t state, uint8_t *to, const uint8_t *from, size_t size);
#endif
