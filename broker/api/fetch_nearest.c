/* SPDX-License-Identifier: Apache-2.0 */

/* Consumers read where it is near (KIP-392): a leader sends one that names another rack than its own to an in-sync
 * replica there. */
#include "api/fetch.h"

static bool is_in_rack(const struct image_broker *b, struct wire_string rack)
{
    return b && b->rack && bytes_equal(bytes_of_string(b->rack), wire_string_bytes(rack));
}

int32_t fetch_nearest(const struct fetch *f, const struct fetch_part *part, const struct api *home)
{
    struct wire_string rack = f->q.rack_id;
    const struct image *image = home->image;
    int32_t self = home->options.node_id;
    if (rack.size <= 0 || !image || is_in_rack(image_broker_by_id(image, self), rack)) {
        return -1;
    }
    const struct image_partition *p =
        image_topic_partition(image_topic_by_id(image, part->part.topic_id), part->part.partition);
    for (int32_t i = 0; p && i < p->isr_count; i++) {
        const struct image_broker *b = image_broker_by_id(image, p->isr[i]);
        if (p->isr[i] != self && is_in_rack(b, rack) && !b->fenced && !b->shutting_down) {
            return b->id;
        }
    }
    return -1;
}
