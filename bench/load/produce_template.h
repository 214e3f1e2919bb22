/* SPDX-License-Identifier: Apache-2.0 */

/* produce_template: Produce requests that are built once and sent over and over.
 *
 * All of them carry the same record batch, by reference; they differ in the partitions that they
 * name. So sending costs a sendmsg() and nothing else, and what is measured is the broker. */
#pragma once

#include "wire/wire.h"

struct produce_frame {
    struct wire_writer writer;
    struct iovec *iovecs;
    unsigned iovec_count;
    size_t size; /* in bytes, all together */
};

struct produce_template {
    struct memory memory;
    struct batch_builder builder;
    struct bytes batch;
    int32_t record_count; /* of the batch */
    struct produce_frame *frames;
    size_t frame_count;
    unsigned spread; /* partitions, and batches, of each frame */
};

struct produce_template_options {
    const char *topic;
    int32_t partitions;
    unsigned spread;
    size_t request_bytes; /* of all batches of a request, about */
    size_t record_bytes;  /* of a record's value */
    int16_t acks;
    enum codec codec;
};

enum { PRODUCE_TEMPLATE_VERSION = 9 };

void produce_template_init(struct produce_template *t, const struct produce_template_options *o);
void produce_template_deinit(struct produce_template *t);

/* Puts the correlation id into a frame. */
void produce_frame_number(struct produce_frame *f, int32_t correlation_id);
