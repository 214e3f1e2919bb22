/* SPDX-License-Identifier: Apache-2.0 */

/* How many members of a group have a protocol, so that neither joining nor voting compares everybody
 * with everybody: a group may have thousands of members with a hundred protocols each. */
#include "coord/protocols.h"

struct tally {
    int32_t members, votes;
    uint64_t stamp; /* of the walk that has counted it last: a member may name a protocol twice */
    struct wire_string name;
    char text[];
};

const struct member_protocol *member_protocol(const struct member *m, struct wire_string name)
{
    for (int32_t i = 0; i < m->protocol_count; i++) {
        if (wire_string_equal(m->protocols[i].name, name)) {
            return &m->protocols[i];
        }
    }
    return NULL;
}

static struct tally *tally_find(const struct group *g, struct wire_string name)
{
    return map_get(&g->protocols, wire_string_bytes(name));
}

static struct tally *tally_new(struct group *g, struct wire_string name)
{
    struct bytes in = wire_string_bytes(name);
    struct tally *t = memory_alloc(g->host->memory, sizeof *t + in.size);
    if (!t) {
        return NULL;
    }
    if (in.size) {
        memcpy(t->text, in.data, in.size);
    }
    t->name = (struct wire_string){t->text, (int32_t)in.size};
    if (map_add(&g->protocols, wire_string_bytes(t->name), t) != 0) {
        memory_free(g->host->memory, t);
        return NULL;
    }
    return t;
}

void protocols_uncount(struct group *g, const struct member_protocol *protocols, int32_t count)
{
    uint64_t stamp = ++g->protocols_stamp;
    for (int32_t i = 0; i < count; i++) {
        struct tally *t = tally_find(g, protocols[i].name);
        if (!t || t->stamp == stamp) {
            continue; /* named twice */
        }
        t->stamp = stamp;
        assert(t->members > 0);
        if (--t->members == 0) {
            map_remove(&g->protocols, wire_string_bytes(t->name));
            memory_free(g->host->memory, t);
        }
    }
}

int protocols_count(struct group *g, const struct member_protocol *protocols, int32_t count)
{
    uint64_t stamp = ++g->protocols_stamp;
    for (int32_t i = 0; i < count; i++) {
        struct tally *t = tally_find(g, protocols[i].name);
        t = t ? t : tally_new(g, protocols[i].name);
        if (!t) {
            protocols_uncount(g, protocols, i);
            return ERR_NO_MEMORY;
        }
        t->members += t->stamp == stamp ? 0 : 1;
        t->stamp = stamp;
    }
    return 0;
}

bool protocols_have(const struct group *g, struct wire_string name, const struct member *except)
{
    const struct tally *t = tally_find(g, name);
    int32_t own = except && member_protocol(except, name) ? 1 : 0;
    return (t ? t->members : 0) - own == g->member_count - (except ? 1 : 0);
}

/* Each member votes for the first of its own that all have; of equals, the one that the oldest
 * member names first. */
const struct member_protocol *protocols_vote(const struct group *g)
{
    const struct list *first = list_first(&g->members);
    if (!first) {
        return NULL;
    }
    const struct member *oldest = container_of(first, struct member, link);
    for (int32_t i = 0; i < oldest->protocol_count; i++) {
        tally_find(g, oldest->protocols[i].name)->votes = 0;
    }
    list_each (node, &g->members) {
        const struct member *m = container_of(node, struct member, link);
        for (int32_t i = 0; i < m->protocol_count; i++) {
            struct tally *t = tally_find(g, m->protocols[i].name);
            if (t->members == g->member_count) {
                t->votes++;
                break;
            }
        }
    }
    const struct member_protocol *best = NULL;
    int32_t most = 0;
    for (int32_t i = 0; i < oldest->protocol_count; i++) {
        int32_t votes = tally_find(g, oldest->protocols[i].name)->votes;
        if (votes > most) {
            best = &oldest->protocols[i];
            most = votes;
        }
    }
    return best;
}
