/* SPDX-License-Identifier: Apache-2.0 */

/* Which role a replica has, and when it begins.
 *
 *     NONE --image: leads here--> LEADER --image: elsewhere, let go--> NONE
 *       '----image: elsewhere or nobody--> FOLLOWER --image: leads here--> NONE
 *
 * A role begins when the log stands still: what the one before it has given to the log has been taken, or refused,
 * and cuts are over. Until then the replica does nothing, and an image that comes meanwhile takes the place of the
 * one that was to be shown. */
#include "partition/partition_private.h"

static const uint64_t again_ns = UINT64_C(1000000000), soon_ns = 1000000;

uint64_t role_now(const struct partition *p)
{
    return io_now(p->io);
}

static bool stands_still(const struct partition *p)
{
    return p->untaken == 0 && !p->cutting;
}

int64_t role_epoch_end(const void *context, int32_t epoch, int32_t *found)
{
    const struct partition *p = context;
    return log_epoch_end(p->log, epoch, found);
}

static const struct image_partition *shown(const struct partition *p)
{
    return &p->topic->partitions[p->index];
}

/* --- time ------------------------------------------------------------------------------------- */

static uint64_t role_deadline(const struct partition *p)
{
    if (p->due && stands_still(p)) {
        return role_now(p) + again_ns; /* there was no memory for it */
    }
    if (p->role == ROLE_LEADER) {
        return leading_deadline(p->leading);
    }
    bool queued = !list_empty(&p->queue); /* it is going to ask */
    return p->role == ROLE_FOLLOWER && !queued && p->table->needs.ask
               ? following_deadline(&p->following)
               : UINT64_MAX;
}

static uint64_t next_ns(const struct partition *p)
{
    uint64_t role = role_deadline(p), late = late_deadline(p);
    return role < late ? role : late;
}

static void alarm_due(struct deadline *d)
{
    struct partition *p = container_of(d, struct partition, alarm);
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    uint64_t now = role_now(p);
    late_expire(p, now);
    if (p->due) {
        role_begin_due(p);
    } else if (p->role == ROLE_LEADER && now >= leading_deadline(p->leading)) {
        role_leader_tick(p);
    } else if (p->role == ROLE_FOLLOWER && p->table->needs.ask &&
               now >= following_deadline(&p->following)) {
        p->table->needs.ask(p->table->needs.context, p);
    }
    role_alarm(p);
}

/* An alarm that comes too early looks again, so a deadline that moves on costs nothing. */
void role_alarm(struct partition *p)
{
    if (!p->table || p->removing) {
        return;
    }
    uint64_t due = next_ns(p), soonest = role_now(p) + soon_ns;
    due = due > soonest ? due : soonest;
    struct deadlines *all = &p->table->clock->deadlines;
    bool armed = heap_contains(&p->alarm.node);
    if (due == UINT64_MAX || (armed && p->alarm_ns <= due)) {
        return;
    }
    deadline_cancel(all, &p->alarm);
    p->alarm.due = alarm_due;
    p->alarm_ns = due;
    deadline_set(all, &p->alarm, due);
}

/* --- images ----------------------------------------------------------------------------------- */

void role_begin_due(struct partition *p)
{
    if (!p->due || p->removing || !p->table || !stands_still(p)) {
        return;
    }
    const struct image_partition *seen = shown(p);
    assert(p->role != ROLE_LEADER);
    if (seen->leader == p->table->options.node_id) {
        p->due = !p->table->letting_go && role_leader_begin(p, p->table->image) != 0;
    } else {
        p->due = false;
        if (p->role != ROLE_FOLLOWER) {
            role_follower_begin(p);
        }
        role_follower_apply(p, seen);
    }
    role_alarm(p);
}

static bool own_broker_changed(const struct partition *p, const struct image *image)
{
    const struct image_broker *own = image_broker_by_id(image, p->table->options.node_id);
    return own && own->epoch != p->broker_epoch;
}

void role_apply(struct partition *p, const struct image *image)
{
    const struct image_partition *seen = shown(p);
    assert(seen->leader_epoch >= p->epoch);
    bool leads = seen->leader == p->table->options.node_id;
    bool changed = seen->leader_epoch != p->epoch || seen->leader != p->leader;
    p->leader = seen->leader;
    p->epoch = seen->leader_epoch;
    if (p->role == ROLE_LEADER && (!leads || own_broker_changed(p, image))) {
        role_leader_end(p);
    } else if (p->role == ROLE_LEADER && role_leader_apply(p, image) != 0) {
        role_leader_end(p);
    } else if (p->role == ROLE_FOLLOWER && leads) {
        p->role = ROLE_NONE;
    }
    if (p->role != ROLE_LEADER) {
        p->due = true;
        role_begin_due(p);
    }
    if (changed) {
        partition_stir(p, NEWS_READERS | NEWS_FOLLOWERS);
    }
    health_look(p);
    role_alarm(p);
}
