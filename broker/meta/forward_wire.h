/* SPDX-License-Identifier: Apache-2.0 */

/* forward_wire: operations about partitions and brokers that are there, as the requests that another node is sent,
 * and its answers put into them. Between forward.c and forward_partitions.c. */
#pragma once

#include "meta/meta.h"
#include "wire/wire.h"

struct forward_spoken { /* in which API an operation travels */
    int16_t key, version;
};
struct forward_spoken forward_spoken_partitions(const struct meta_op *op);

int forward_encode_partitions(const struct meta_op *op, struct arena *arena, struct wire_writer *w,
                              int version) MUST_CHECK;

/* The error of the whole, with its sentence in op->why; the parts have theirs. ERR_MALFORMED unless it answers
 * what was asked. */
int forward_decode_partitions(struct meta_op *op, struct reader *in, int version,
                              struct arena *arena) MUST_CHECK;

/* A sentence of an answer. */
void forward_why(struct meta_op *op, struct wire_string why);

/* Whether what it has changed stands in the image. */
bool forward_shown_partitions(const struct image *image, const struct meta_op *op);
