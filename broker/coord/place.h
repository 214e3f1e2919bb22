/* SPDX-License-Identifier: Apache-2.0 */

/* place: where a group belongs. Part of the room's face, and on any shard. */
#pragma once

#include "wire/wire.h"

#define COORD_TOPIC "__consumer_offsets"

/* The partition of a group among `partitions`: Java's String.hashCode(), so that tools agree. */
int32_t coord_partition_of(struct wire_string group, int32_t partitions);
