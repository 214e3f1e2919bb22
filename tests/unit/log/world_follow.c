/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#include <stdlib.h>

struct bytes world_batches(struct world *w, const struct batch_spec *spec, unsigned count,
                           int64_t base, int64_t gap, int32_t epoch)
{
    uint8_t *all = NULL;
    size_t size = 0;
    struct batch_spec s = *spec;
    for (unsigned i = 0; i < count; i++) {
        struct bytes b = world_batch(w, &s);
        all = realloc(all, size + b.size);
        assert(all);
        memcpy(all + size, b.data, b.size);
        put_be64(all + size, (uint64_t)base);
        put_be32(all + size + 12, (uint32_t)epoch);
        free((void *)b.data);
        size += b.size;
        s.sequence += spec->records ? spec->records : 1;
        /* Behind the last of all offsets comes what no log can hold, as hostile bytes may say. */
        base = (int64_t)((uint64_t)base + (spec->records ? spec->records : 1) + (uint64_t)gap);
    }
    return bytes_of(all, size);
}

struct following {
    struct log *log;
    struct log_follow follow;
    bool inside, done;
    int error;
};

static void follow_done(struct log_follow *f, int error)
{
    struct following *x = container_of(f, struct following, follow);
    assert(!x->inside && !x->done);
    x->error = error;
    x->done = true;
}

static void follow_run(void *argument)
{
    struct following *x = argument;
    x->inside = true;
    log_append_follower(x->log, &x->follow);
    x->inside = false;
}

int world_follow(struct world *w, unsigned slot, struct log_follow *f)
{
    struct world_slot *s = &w->slots[slot];
    struct following x = {.log = world_log(w, slot), .follow = *f};
    x.follow.done = follow_done;
    if (!world_do(w, slot, follow_run, &x) || !world_until(w, &x.done)) {
        return ERR_CLOSED;
    }
    *f = x.follow;
    for (size_t at = 0; f->end_offset >= 0 && at < f->batches.size;) {
        struct batch_header h;
        int error = batch_header_read(&h, f->batches.data + at, f->batches.size - at);
        if (error || batch_last_offset(&h) >= f->end_offset) {
            break;
        }
        assert(s->count < WORLD_GIVEN_MAX);
        s->given[s->count++] = (struct given){.base = h.base_offset,
                                              .last = batch_last_offset(&h),
                                              .crc = h.crc,
                                              .size = h.size,
                                              .told = true};
        at += h.size;
    }
    return x.error;
}
