/* SPDX-License-Identifier: Apache-2.0 */

/* Commits: checked against the generation, recorded, then seen (G5). */
#include "coord/commit.h"

#include "coord/member.h"
#include "coord/offsets.h"
#include "coord/subscriptions.h"
#include "coord/write.h"

/* --- committing ------------------------------------------------------------------------------- */

static void committed(struct write *w, int error)
{
    struct group *g = w->group;
    struct coord_call *c = w->call;
    int64_t now = io_wall_ms(g->host->io);
    write_drop(w);
    for (int32_t i = 0; i < c->offset_count; i++) {
        struct coord_offset *o = &c->offsets[i];
        if (o->error) {
            continue;
        }
        o->error = error ? ERR_COORDINATOR_NOT_AVAILABLE : 0;
        if (!error && offset_set(g, o, now, -1) != 0) {
            /* It is durable, and a coordinator with more memory will know it. */
            o->error = ERR_COORDINATOR_NOT_AVAILABLE;
        }
    }
    call_answer(c, 0);
}

/* Who commits without being a member may do so while there are none (PROTOCOL 6). */
static int commit_check(struct group *g, const struct offset_commit_request *q)
{
    bool outsider = q->generation_id_or_member_epoch < 0;
    if ((outsider && g->state == GROUP_EMPTY) || group_mutated(g->host, COORD_MUTANT_ANY_MEMBER)) {
        return 0;
    }
    if (outsider && q->member_id.size <= 0 && q->group_instance_id.size < 0) {
        return ERR_UNKNOWN_MEMBER_ID;
    }
    struct member *m = q->group_instance_id.size >= 0 ? member_by_instance(g, q->group_instance_id)
                                                      : member_find(g, q->member_id);
    if (!m) {
        /* A group that is gone has no generation that could be meant. */
        bool unknown = g->state == GROUP_EMPTY && g->generation == 0;
        return unknown ? ERR_ILLEGAL_GENERATION : ERR_UNKNOWN_MEMBER_ID;
    }
    int error = member_check_id(m, q->member_id);
    if (error) {
        return error;
    }
    if (q->generation_id_or_member_epoch != g->generation) {
        return ERR_ILLEGAL_GENERATION;
    }
    if (g->state == GROUP_COMPLETING) {
        return ERR_REBALANCE_IN_PROGRESS; /* it does not know yet what is its own */
    }
    member_alive(m);
    return 0;
}

static bool commit_fits(struct group *g, const struct coord_offset *in)
{
    const struct offset *o = offset_find(g, in->topic, in->partition);
    return (o && in->metadata.size <= o->metadata_size) || group_has_room(g->host);
}

static int commit_put(struct write *w, struct coord_call *c)
{
    const struct config *config = w->group->host->config;
    int64_t most = config_integer(config, CONFIG_OFFSET_METADATA_MAX_BYTES);
    int64_t now = io_wall_ms(w->group->host->io);
    for (int32_t i = 0; i < c->offset_count; i++) {
        struct coord_offset *o = &c->offsets[i];
        if (!o->error && o->metadata.size > most) {
            o->error = ERR_OFFSET_METADATA_TOO_LARGE;
        }
        if (!o->error) {
            int error = commit_fits(w->group, o) ? write_offset(w, o, now) : ERR_NO_MEMORY;
            if (error) {
                return error == ERR_TOO_LARGE ? ERR_INVALID_COMMIT_OFFSET_SIZE
                                              : ERR_COORDINATOR_NOT_AVAILABLE;
            }
        }
    }
    return 0;
}

void group_commit(struct group *g, struct coord_call *c)
{
    int error = commit_check(g, c->request);
    struct write *w = error ? NULL : write_new(g);
    if (!error) {
        error = w ? commit_put(w, c) : ERR_COORDINATOR_NOT_AVAILABLE;
    }
    if (error) {
        write_drop(w);
        call_answer(c, error);
        return;
    }
    w->call = c;
    w->done = committed;
    write_go(w);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void offset_tell(struct coord_call *c, struct coord_offset *out, const struct offset *o)
{
    out->offset = o ? o->offset : -1;
    out->leader_epoch = o ? o->leader_epoch : -1;
    struct wire_bytes note = call_bytes(c, o ? o->metadata : NULL, o ? o->metadata_size : 0);
    out->metadata = (struct wire_string){(const char *)note.data, note.size};
}

void group_offsets(struct group *g, struct coord_call *c)
{
    if (c->offset_count < 0) {
        size_t count = map_count(&g->offset_index);
        c->offsets = arena_array(&c->arena, count, sizeof *c->offsets);
        c->offset_count = 0;
        c->error = c->offsets ? 0 : ERR_NO_MEMORY;
        for (struct list *node = g->offsets.next; c->offsets && node != &g->offsets;
             node = node->next) {
            const struct offset *o = container_of(node, struct offset, link);
            if (offset_is_of_former(g, o)) {
                continue;
            }
            struct coord_offset *out = &c->offsets[c->offset_count++];
            struct wire_string topic = offset_topic(o);
            struct wire_bytes copy = call_bytes(c, topic.data, topic.size);
            *out = (struct coord_offset){.topic = {(const char *)copy.data, copy.size},
                                         .partition = o->partition};
            offset_tell(c, out, o);
        }
    } else {
        for (int32_t i = 0; i < c->offset_count; i++) {
            struct coord_offset *out = &c->offsets[i];
            const struct offset *o = out->error ? NULL : offset_find(g, out->topic, out->partition);
            if (!out->error) {
                offset_tell(c, out, o && offset_is_of_former(g, o) ? NULL : o);
            }
        }
    }
    call_answer(c, 0);
}

/* --- forgetting ------------------------------------------------------------------------------- */

static void forgotten(struct write *w, int error)
{
    struct group *g = w->group;
    struct coord_call *c = w->call;
    write_drop(w);
    for (int32_t i = 0; i < c->offset_count; i++) {
        struct coord_offset *o = &c->offsets[i];
        if (o->error) {
            continue;
        }
        struct offset *found = offset_find(g, o->topic, o->partition);
        o->error = error ? ERR_COORDINATOR_NOT_AVAILABLE : 0;
        if (!error && found) {
            offset_remove(g, found);
        }
    }
    call_answer(c, 0);
}

void group_forget(struct group *g, struct coord_call *c)
{
    struct write *w = write_new(g);
    struct subscriptions s = {0};
    int error = w ? 0 : ERR_COORDINATOR_NOT_AVAILABLE;
    for (int32_t i = 0; i < c->offset_count && !error; i++) {
        struct coord_offset *o = &c->offsets[i];
        if (!o->error && g->member_count > 0 && subscriptions_have(&s, g, o->topic)) {
            o->error = ERR_GROUP_SUBSCRIBED_TO_TOPIC;
        }
        if (!o->error) { /* also one that is not there: its commit may be on its way */
            error = write_offset_deletion(w, o->topic, o->partition);
        }
    }
    subscriptions_deinit(&s);
    if (error) {
        write_drop(w);
        call_answer(c, error == ERR_TOO_LARGE ? ERR_INVALID_COMMIT_OFFSET_SIZE
                                              : ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    w->call = c;
    w->done = forgotten;
    write_go(w);
}
