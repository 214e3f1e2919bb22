/* SPDX-License-Identifier: Apache-2.0 */

/* produce_keys: a compacted topic takes no record without key.
 *
 * Its batches are opened once, on the leader (DESIGN 1.3), under the limits under which compaction will
 * open them again: what could not be compacted later is refused now. Private to the room. */
#pragma once

#include "wire/batch.h"

/* 0, or ERR_INVALID_RECORD with a sentence in *why and, when one record is at fault, its place in the
 * batch in *index (else -1); or ERR_NO_MEMORY. `h`, checked, is of the `size` bytes at `batch`. */
int produce_check_keys(const struct batch_header *h, const void *batch, size_t size, int32_t *index,
                       const char **why) MUST_CHECK;
