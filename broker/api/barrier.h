/* SPDX-License-Identifier: Apache-2.0 */

/* barrier: waits until every shard has seen what was published before.
 *
 * An image goes from shard 0 to the others as messages. A client that was told of a new topic may
 * ask for it on a connection of another shard, so the answer waits for this: a message that goes
 * from shard 0 to each of the others and back, behind the image. */
#pragma once

#include "io/io.h"

struct api;

struct barrier {
    struct io_message message;
    struct api *origin;
    unsigned next;                     /* the shard that comes next */
    void (*passed)(struct barrier *b); /* on the shard that asked; at once with one shard */
};

void barrier_pass(struct barrier *b, struct api *origin);
