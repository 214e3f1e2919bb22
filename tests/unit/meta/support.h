/* SPDX-License-Identifier: Apache-2.0 */

/* support: what the tests of meta share: images as text, and a controller without a log. */
#pragma once

#include "meta/controller.h"
#include "meta/ends.h"
#include "meta/records.h"

#include <stdio.h>

/* Everything that an image says but its position, as lines; the caller frees it. */
char *image_text(const struct image *image);

/* A heap with an image home and the proposal of a controller that commits at once. */
struct bench {
    struct memory memory;
    struct image_home *home;
    const struct image *image;
    struct proposal proposal;
    struct controller_limits limits;
    int64_t next_offset;
    uint64_t topics_made;
    struct bytes batch; /* the last one committed */
    uint32_t batches;
    unsigned mutant; /* a rule to leave out */
    struct ends ends;
};

/* With `brokers` registered and not fenced: 1 .. brokers. */
void bench_open(struct bench *b, int brokers);
void bench_close(struct bench *b);

/* A decision with *c in between; then it is committed if it made records. */
void bench_begin(struct bench *b, struct controller *c);
int bench_end(struct bench *b, int error);

/* Decides and commits; the operation's error. */
int bench_run(struct bench *b, struct meta_op *op);

/* Operations as one writes them down. */
struct meta_op op_create(const char *topic, int32_t partitions);
struct meta_op op_delete(const char *topic);
struct uuid id_of(uint64_t number);

/* Two digits for each byte. */
void to_hex(struct bytes in, char *out);

/* The value of each record of a batch in hexadecimal, one per line. */
void values_of(struct bytes batch, char *out);
