/* SPDX-License-Identifier: Apache-2.0 */

/* What a group no longer needs: offsets that retention has overtaken or whose topic has gone, and in
 * the end the group (KIP-211). While members are there, only offsets of topics that none of them
 * reads grow old; a group of outsiders counts from each commit, any other from its last member. */
#include "coord/sweep.h"

#include "coord/offsets.h"
#include "coord/subscriptions.h"
#include "coord/write.h"

enum { DELETIONS_OF_A_BATCH = 1000 };

static bool offset_is_old(const struct group *g, struct subscriptions *s, const struct offset *o,
                          int64_t now_ms)
{
    int64_t keep = config_integer(g->host->config, CONFIG_OFFSETS_RETENTION_MINUTES) * 60000;
    bool outsiders = !g->protocol_type || !g->protocol_type[0];
    int64_t from = o->committed_ms;
    if (o->expires_ms >= 0) {
        return now_ms >= o->expires_ms;
    }
    if (g->state == GROUP_EMPTY && !outsiders && g->changed_ms > from) {
        from = g->changed_ms;
    }
    return now_ms - from >= keep &&
           (g->state == GROUP_EMPTY || !subscriptions_have(s, g, offset_topic(o)));
}

static bool offset_is_unwanted(const struct group *g, struct subscriptions *s,
                               const struct offset *o, int64_t now_ms)
{
    const struct image_topic *topic =
        image_topic_by_name(g->host->image, wire_string_bytes(offset_topic(o)));
    return !topic || o->partition >= topic->partition_count || offset_is_of_former(g, o) ||
           (g->state != GROUP_PREPARING && g->state != GROUP_COMPLETING &&
            offset_is_old(g, s, o, now_ms));
}

/* Adds the deletion and marks the offset. ERR_TOO_LARGE: that is for the next batch. */
static int deletion_put(struct write *w, struct offset *o)
{
    int error = w->batch.record_count == DELETIONS_OF_A_BATCH
                    ? ERR_TOO_LARGE
                    : write_offset_deletion(w, offset_topic(o), o->partition);
    o->going = !error;
    w->more = error == ERR_TOO_LARGE && w->batch.record_count > 0;
    return error;
}

/* Of the offsets that are marked: their deletion is recorded, or it is not. */
static void deletions_end(struct group *g, bool recorded)
{
    list_each (node, &g->offsets) {
        struct offset *o = container_of(node, struct offset, link);
        if (o->going && recorded) {
            offset_remove(g, o);
        } else {
            o->going = false;
        }
    }
}

static void swept(struct write *w, int error)
{
    struct group *g = w->group;
    bool more = !error && w->more && !g->host->stopping;
    write_drop(w);
    deletions_end(g, !error);
    if (more) {
        group_sweep(g, io_wall_ms(g->host->io));
    }
}

/* Nothing else of this group is on its way into the log (G5), so that a deletion never overtakes a
 * commit. */
static void sweep_offsets(struct group *g, int64_t now_ms)
{
    struct write *w = NULL;
    struct subscriptions s = {0};
    list_each (node, &g->offsets) {
        struct offset *o = container_of(node, struct offset, link);
        if (offset_is_unwanted(g, &s, o, now_ms)) {
            w = w ? w : write_new(g);
            if (!w || deletion_put(w, o) != 0) {
                break;
            }
        }
    }
    subscriptions_deinit(&s);
    if (w) {
        w->done = swept;
        write_go(w);
    }
}

static int die_on(struct group *g, struct coord_call *c);

static void die_end(struct group *g, struct coord_call *c, int error)
{
    if (error) {
        g->state = GROUP_EMPTY;
    }
    if (c) {
        call_answer(c, error ? ERR_COORDINATOR_NOT_AVAILABLE : 0);
    }
}

static void died(struct write *w, int error)
{
    struct group *g = w->group;
    struct coord_call *c = w->call;
    bool more = !error && w->more;
    write_drop(w);
    deletions_end(g, !error);
    error = more ? die_on(g, c) : error;
    if (!more || error) {
        die_end(g, c, error);
    }
}

/* Deletes what the group has committed, a batch after the other, and with the last one the group. */
static int die_on(struct group *g, struct coord_call *c)
{
    struct write *w = write_new(g);
    int error = w ? 0 : ERR_NO_MEMORY;
    for (struct list *node = g->offsets.next; !error && node != &g->offsets; node = node->next) {
        error = deletion_put(w, container_of(node, struct offset, link));
    }
    if (!error) {
        error = write_group_deletion(w);
        w->more = error == ERR_TOO_LARGE && w->batch.record_count > 0;
    }
    if (error && !(w && w->more)) {
        write_drop(w);
        deletions_end(g, false);
        return error;
    }
    w->call = c;
    w->done = died;
    write_go(w);
    return 0;
}

static int die(struct group *g, struct coord_call *c)
{
    g->state = GROUP_DEAD;
    int error = die_on(g, c);
    g->state = error ? GROUP_EMPTY : g->state;
    return error;
}

void group_settled(struct group *g)
{
    struct coord_call *c = g->deletion;
    g->deletion = NULL;
    if (c && die(g, c) != 0) {
        call_answer(c, ERR_COORDINATOR_NOT_AVAILABLE);
    }
    if (g->sweep_late && !g->host->stopping) {
        group_sweep(g, io_wall_ms(g->host->io));
    }
}

/* What is on its way into the log comes first, so that the deletion is behind it. */
void group_delete(struct group *g, struct coord_call *c)
{
    if (g->state != GROUP_EMPTY) {
        call_answer(c, ERR_NON_EMPTY_GROUP);
        return;
    }
    g->state = GROUP_DEAD;
    g->deletion = c;
    if (g->writes == 0) {
        group_settled(g);
    }
}

void group_sweep(struct group *g, int64_t now_ms)
{
    g->sweep_late = g->writes > 0 && g->state != GROUP_DEAD;
    if (g->writes > 0 || g->state == GROUP_DEAD) {
        return; /* when they are settled */
    }
    if (list_empty(&g->offsets) && g->state == GROUP_EMPTY && g->expected_count == 0) {
        if (die(g, NULL) != 0) {
            log_warn(io_logger(g->host->io), "coord",
                     "group not removed: out of memory group=%.100s", g->name);
        }
        return;
    }
    sweep_offsets(g, now_ms);
}
