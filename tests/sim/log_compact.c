/* SPDX-License-Identifier: Apache-2.0 */

/* Passes of the cleaner: asked for here, told here when a run of segments is replaced. */
#include "log_crash_private.h"

#include <inttypes.h>

/* A pass, over what the watermark lets it have. */
void act_compact(struct driver *d, struct driven *l)
{
    if (d->w->logs[l->slot].compact) {
        if (prng_chance(&d->w->st.random, 3, 4)) {
            log_raise_watermark(l->log, log_status(l->log).durable_offset);
        }
        struct log_config config = walk_config(d->w, l->slot);
        log_configure(l->log, &config);
        log_clean(l->log);
    }
}

/* A REPLACE takes effect. A control that was given before it and waits for its turn follows it. */
void driver_replaced(struct walk *w, struct uuid topic_id, const struct log_replaced *r)
{
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        struct oracle_log *o = &w->logs[i];
        if (!uuid_equal(o->topic_id, topic_id)) {
            continue;
        }
        unsigned home = log_home(bytes_of_string(o->topic), o->partition, w->shards);
        struct driven *l = &w->drivers[home]->logs[i];
        driver_look(l);
        bool waits = l->pending && l->pending->incarnation == w->incarnation[i] &&
                     (l->blocked || l->removing);
        struct oracle_range range = {.from = r->from_offset,
                                     .to = r->to_offset,
                                     .key_offset = r->key_offset,
                                     .now_ms = r->now_ms,
                                     .size = r->size_bytes};
        oracle_replace(o, &range, waits ? 1 : follow_waiting(l));
        if (waits) {
            l->pending->op++;
            l->blocked_op++;
        }
        w->stats->replaced++;
        sim_story(w->st.sim, "%s: [%" PRId64 ", %" PRId64 ") is %u bytes now%s", o->topic,
                  r->from_offset, r->to_offset, r->size_bytes, waits ? ", before a control" : "");
    }
}
