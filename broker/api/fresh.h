/* SPDX-License-Identifier: Apache-2.0 */

/* fresh: an answer that is not older than what has been answered elsewhere before it was asked for. A node's image may
 * be a moment, or, cut off, much longer behind; so what would say "not there", and what an operator asks, waits until
 * the quorum has been asked (META_READ, meta/reads.h) and this shard has the image. Private to broker/api. */
#pragma once

#include "api/request.h"

struct fresh {
    struct api_request *request;
    const void *in; /* the request, decoded */
    /* Once, within about a second, perhaps from inside fresh_ask(). */
    void (*done)(struct fresh *f);
    bool shown; /* out: the image shows all that was committed; else nobody could be asked */

    struct meta_op read;
    struct deadline deadline;
    struct barrier barrier;
    bool over; /* done() was called */
};

/* What a client is told when nobody could be asked. */
extern const char fresh_late_text[];

/* `f` lives as long as the request; done() answers it. */
void fresh_ask(struct fresh *f, struct api_request *r, const void *in,
               void (*done)(struct fresh *f));

/* A handler that asks first: decodes the request, asks, and done() answers it. */
void fresh_handle(struct api_request *r, void (*done)(struct fresh *f));
