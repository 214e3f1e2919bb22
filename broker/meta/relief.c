/* SPDX-License-Identifier: Apache-2.0 */

/* See relief.h. */
#include "meta/relief.h"

#include "meta/meta_private.h"

#define FULL_NS UINT64_C(5000000000)
#define ROOM_NS UINT64_C(15000000000)

/* Above the reserve: with less topics find no room for what they take at once, with more they go on for a while. */
enum { SHORT_BYTES = 1 << 20, ROOM_BYTES = 16 << 20 };

static uint64_t since(uint64_t *begun_ns, bool so, uint64_t now)
{
    *begun_ns = !so ? 0 : *begun_ns ? *begun_ns : now;
    return so ? now - *begun_ns : 0;
}

bool relief_look(struct meta *m)
{
    struct relief *r = &m->membership.relief;
    struct io_disk disk;
    uint64_t reserve = m->options.topics_reserve_bytes, now = io_now(m->io);
    bool alone = image_broker_count(m->image) < 2;
    if (!m->options.topics_root || io_disk(m->io, m->options.topics_root, &disk) < 0) {
        return false;
    }
    uint64_t full_ns = since(&r->full_ns, disk.free_bytes < reserve + SHORT_BYTES, now);
    uint64_t room_ns = since(&r->room_ns, disk.free_bytes >= reserve + ROOM_BYTES, now);
    if (!r->on && full_ns >= FULL_NS && !alone) {
        log_warn(io_logger(m->io), "meta",
                 "the disk of this broker is full: others lead what they can until there is room");
    } else if (r->on && (room_ns >= ROOM_NS || alone)) {
        log_info(io_logger(m->io), "meta", "the disk of this broker has room again");
    } else {
        return false;
    }
    r->on = !r->on;
    return true;
}
