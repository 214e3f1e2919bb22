/* SPDX-License-Identifier: Apache-2.0 */

/* forward_wire: operations about partitions and brokers as the requests that another node is sent, and its answers
 * put into them. Between forward.c and forward_partitions.c. */
#pragma once

#include "meta/meta.h"
#include "wire/wire.h"

int forward_encode_alterations(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                               int version) MUST_CHECK;
/* The error of the whole; the alterations have theirs. ERR_MALFORMED unless it answers what was asked. */
int forward_decode_alterations(struct meta_op *op, struct reader *in, int version,
                               struct arena *arena) MUST_CHECK;
