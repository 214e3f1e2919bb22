/* SPDX-License-Identifier: Apache-2.0 */

/* What consumers say of themselves under a protocol, read as far as the topics. */
#include "coord/subscriptions.h"

#include "coord/protocols.h"

#include <stdlib.h>

enum { SUBSCRIBED_MAX = 1 << 24 };

/* What members tell each other begins with its version; a newer one is read as the newest known. ERR_MALFORMED. */
static int blob_version(struct reader *r, const struct wire_message *message)
{
    int version = (int16_t)reader_be16(r), most = message->versions.max;
    if (r->failed || version < 0) {
        return ERR_MALFORMED;
    }
    return version < most ? version : most;
}

/* What a member says of itself under a protocol of consumers. ERR_MALFORMED, ERR_NO_MEMORY. */
static int subscription_read(struct wire_bytes in, struct consumer_protocol_subscription *out,
                             struct arena *arena)
{
    struct reader r = reader_of(in.data, in.size > 0 ? (size_t)in.size : 0);
    int version = blob_version(&r, &consumer_protocol_subscription_message);
    return version < 0 ? version : consumer_protocol_subscription_decode(out, &r, version, arena);
}

bool member_reads_same(const struct member *m, const struct join_group_request *q)
{
    const struct group *g = m->group;
    const struct member_protocol *own = member_protocol(m, wire_string_of(g->protocol));
    const struct join_group_request_protocols *new = NULL;
    for (int32_t i = 0; i < q->protocols_count && !new; i++) {
        new = wire_string_equal(q->protocols[i].name, wire_string_of(g->protocol))
                  ? &q->protocols[i]
                  : NULL;
    }
    if (!own || !new) {
        return false;
    }
    struct arena arena;
    arena_init(&arena, g->host->memory, 1 << 20);
    struct consumer_protocol_subscription a, b;
    bool same = wire_bytes_equal(own->metadata, new->metadata);
    if (!same && subscription_read(own->metadata, &a, &arena) == 0 &&
        subscription_read(new->metadata, &b, &arena) == 0) {
        same = a.topics_count == b.topics_count;
        for (int32_t i = 0; same && i < a.topics_count; i++) {
            same = wire_string_equal(a.topics[i], b.topics[i]);
        }
    }
    arena_deinit(&arena);
    return same;
}

static int assignment_read(const struct member *m, struct consumer_protocol_assignment *out,
                           struct arena *arena)
{
    if (m->assignment_size == 0) { /* the leader has left it out */
        consumer_protocol_assignment_init(out);
        return 0;
    }
    struct reader r = reader_of(m->assignment, (size_t)m->assignment_size);
    int version = blob_version(&r, &consumer_protocol_assignment_message);
    return version < 0 ? version : consumer_protocol_assignment_decode(out, &r, version, arena);
}

struct owned {
    struct wire_string topic;
    int32_t partition;
};

static int compare_owned(const void *a, const void *b)
{
    const struct owned *x = a, *y = b;
    if (x->topic.size != y->topic.size) {
        return x->topic.size < y->topic.size ? -1 : 1;
    }
    int names = x->topic.size > 0 ? memcmp(x->topic.data, y->topic.data, (size_t)x->topic.size) : 0;
    return names ? names : (x->partition > y->partition) - (x->partition < y->partition);
}

/* All that is assigned, sorted: assignments may be long. NULL: out of memory. */
static struct owned *list_assigned(const struct consumer_protocol_assignment *in,
                                   struct arena *arena, size_t *count)
{
    size_t all = 0;
    for (int32_t i = 0; i < in->assigned_partitions_count; i++) {
        all += (size_t)in->assigned_partitions[i].partitions_count;
    }
    struct owned *list = arena_array(arena, all + 1, sizeof *list);
    *count = 0;
    for (int32_t i = 0; list && i < in->assigned_partitions_count; i++) {
        const struct consumer_protocol_assignment_assigned_partitions *t =
            &in->assigned_partitions[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            list[(*count)++] = (struct owned){t->topic, t->partitions[k]};
        }
    }
    if (list) {
        qsort(list, *count, sizeof *list, compare_owned);
    }
    return list;
}

/* Whether something of `s` is not assigned. */
static bool owns_more(const struct consumer_protocol_subscription *s,
                      const struct consumer_protocol_assignment *a, struct arena *arena)
{
    size_t count;
    const struct owned *list = list_assigned(a, arena, &count);
    for (int32_t i = 0; list && i < s->owned_partitions_count; i++) {
        const struct consumer_protocol_subscription_owned_partitions *t = &s->owned_partitions[i];
        for (int32_t k = 0; k < t->partitions_count; k++) {
            struct owned o = {t->topic, t->partitions[k]};
            if (!bsearch(&o, list, count, sizeof *list, compare_owned)) {
                return true;
            }
        }
    }
    return false;
}

bool member_lets_go(const struct member *m)
{
    const struct group *g = m->group;
    const struct member_protocol *own = member_protocol(m, wire_string_of(g->protocol));
    struct arena arena;
    arena_init(&arena, g->host->memory, 4 << 20);
    struct consumer_protocol_subscription s;
    struct consumer_protocol_assignment a;
    bool more = own && subscription_read(own->metadata, &s, &arena) == 0 &&
                assignment_read(m, &a, &arena) == 0 && owns_more(&s, &a, &arena);
    arena_deinit(&arena);
    return more;
}

/* Adds what one member reads; false: that cannot be told. */
static bool member_add(struct subscriptions *s, const struct member *m)
{
    const struct member_protocol *p = m->group->protocol
                                          ? member_protocol(m, wire_string_of(m->group->protocol))
                                          : &m->protocols[0];
    struct consumer_protocol_subscription in;
    if (!p || subscription_read(p->metadata, &in, &s->arena) != 0) {
        return false;
    }
    for (int32_t i = 0; i < in.topics_count; i++) {
        int error = map_add(&s->topics, wire_string_bytes(in.topics[i]), s);
        if (error && error != ERR_EXISTS) {
            return false;
        }
    }
    return true;
}

/* Once for all topics that are asked about: decoding is much more than looking up. */
static void subscriptions_find(struct subscriptions *s, const struct group *g)
{
    bool consumers = g->protocol_type && wire_string_equal(wire_string_of(g->protocol_type),
                                                           wire_string_of("consumer"));
    map_init(&s->topics, g->host->memory, g->by_id.seed, SUBSCRIBED_MAX);
    arena_init(&s->arena, g->host->memory, SIZE_MAX);
    s->found = true;
    s->unclear = !consumers && g->member_count > 0;
    for (struct list *node = g->members.next; !s->unclear && node != &g->members;
         node = node->next) {
        /* What cannot be read is not taken for disinterest. */
        s->unclear = !member_add(s, container_of(node, struct member, link));
    }
}

bool subscriptions_have(struct subscriptions *s, const struct group *g, struct wire_string topic)
{
    if (!s->found) {
        subscriptions_find(s, g);
    }
    return s->unclear || map_get(&s->topics, wire_string_bytes(topic));
}

void subscriptions_deinit(struct subscriptions *s)
{
    map_deinit(&s->topics);
    arena_deinit(&s->arena);
}
