/* SPDX-License-Identifier: Apache-2.0 */

/* Range: with n subscribers, each gets partitions / n of a topic, and partitions % n of them one
 * more.
 *
 * 1. Topics with the same subscribers and as many partitions are co-partitioned: a partition's
 *    number has one owner in all of them. So they are dealt with as one topic.
 * 2. If racks matter for any topic, partitions go to members whose rack they are in. In a topic
 *    by itself each member in turn takes as many of those as it may; in co-partitioned topics each
 *    number in turn goes to the first member that suits it in all of them.
 * 3. What is left goes to the members in turn, in order, as many as each may still have.
 *
 * A member may have one more than partitions / n as long as fewer than partitions % n have it; so
 * what 2 gives away is as even as 3 alone. All of it is what RangeAssignor does, to the partition:
 * with another leader nothing moves. Each step looks at a partition and its racks once. */
#include "consumer/group/assignor.h"

#include "base/errors.h"

#include <stdlib.h>
#include <string.h>

/* A topic, to be sorted to its like. */
struct range_topic {
    int32_t topic, partitions, count;
    const int32_t *members; /* who subscribes to it */
    bool racks_matter;
};

/* What is shared out at once: co-partitioned topics. */
struct range {
    struct assign *a;
    const struct range_topic *topics;
    size_t topic_count;
    int32_t *owner;    /* per partition number, the place of a subscriber, or -1 */
    int32_t *assigned; /* per subscriber */
    int32_t least, more_left;
    /* Places of subscribers by rack, and those that say none as rack 0, each list in order: */
    int32_t *rack_first, *rack_next;
    int32_t *sharing; /* per rack, in how many of the topics a partition is in it */
};

static int range_compare(const void *left, const void *right)
{
    const struct range_topic *a = left, *b = right;
    if (a->partitions != b->partitions) {
        return a->partitions < b->partitions ? -1 : 1;
    }
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    int order =
        a->count ? memcmp(a->members, b->members, (size_t)a->count * sizeof *a->members) : 0;
    return order ? order : (a->topic > b->topic) - (a->topic < b->topic);
}

static int32_t range_room(const struct range *r, int32_t place)
{
    int32_t room = r->least + (r->more_left > 0) - r->assigned[place];
    return room > 0 ? room : 0;
}

static void range_give(struct range *r, int32_t number, int32_t place)
{
    assert(r->owner[number] < 0);
    r->owner[number] = place;
    r->assigned[place]++;
    if (r->assigned[place] > r->least) {
        r->more_left--;
    }
    assert(r->more_left >= 0);
}

static int32_t range_rack(const struct range *r, int32_t place)
{
    int32_t rack = r->a->members[r->topics->members[place]].rack;
    assert(rack >= 0);
    return rack > r->a->racks.count ? r->a->racks.count + 1 : rack;
}

/* One topic: `cursor` has for each rack how far its members have looked. What they passed over is
 * taken or not in the rack, so nobody has to look at it again. */
static void range_match_alone(struct range *r, int32_t *cursor)
{
    int32_t first = r->a->topics[r->topics->topic].first;
    for (int32_t place = 0; place < r->topics->count; place++) {
        int32_t rack = range_rack(r, place), room = range_room(r, place);
        int32_t *at = &cursor[rack];
        for (; room > 0 && *at < r->topics->partitions; ++*at) {
            if (r->owner[*at] < 0 && (rack == 0 || assign_in_rack(r->a, first + *at, rack))) {
                range_give(r, *at, place);
                room--;
            }
        }
    }
}

/* The first subscriber of a rack that may have more, or INT32_MAX. Who may not never may again. */
static int32_t range_candidate(struct range *r, int32_t rack)
{
    int32_t *at = &r->rack_first[rack];
    while (*at >= 0 && range_room(r, *at) == 0) {
        *at = r->rack_next[*at];
    }
    return *at < 0 ? INT32_MAX : *at;
}

/* Several topics: the racks that partition `number` is in with each of them. */
static void range_match_number(struct range *r, int32_t number)
{
    const struct assign *a = r->a;
    int32_t best = range_candidate(r, 0);
    for (size_t t = 0; t < r->topic_count; t++) {
        int32_t p = a->topics[r->topics[t].topic].first + number;
        for (int32_t i = a->racks.first[p]; i < a->racks.first[p + 1]; i++) {
            int32_t rack = a->racks.numbers[i];
            r->sharing[rack] = r->sharing[rack] == (int32_t)t ? (int32_t)t + 1 : 0;
            if (t + 1 == r->topic_count && r->sharing[rack] == (int32_t)r->topic_count) {
                int32_t place = range_candidate(r, rack);
                best = place < best ? place : best;
            }
        }
    }
    for (int32_t i = a->racks.first[a->topics[r->topics->topic].first + number];
         i < a->racks.first[a->topics[r->topics->topic].first + number + 1]; i++) {
        r->sharing[a->racks.numbers[i]] = 0;
    }
    if (best != INT32_MAX) {
        range_give(r, number, best);
    }
}

static void range_match(struct range *r)
{
    bool any = false;
    for (int32_t rack = 0; rack <= r->a->racks.count + 1; rack++) {
        r->rack_first[rack] = r->topic_count == 1 ? 0 : -1;
    }
    for (int32_t place = r->topics->count - 1; place >= 0; place--) {
        int32_t rack = range_rack(r, place);
        any = any || rack > 0;
        if (r->topic_count > 1) {
            r->rack_next[place] = r->rack_first[rack];
            r->rack_first[rack] = place;
        }
    }
    if (r->topic_count == 1 && r->topics->racks_matter) {
        range_match_alone(r, r->rack_first);
    } else if (r->topic_count > 1 && any) {
        for (int32_t number = 0; number < r->topics->partitions; number++) {
            range_match_number(r, number);
        }
    }
}

static void range_share(struct range *r, bool racks_matter)
{
    const struct range_topic *first = r->topics;
    if (first->count == 0 || first->partitions == 0) {
        return;
    }
    r->least = first->partitions / first->count;
    r->more_left = first->partitions % first->count;
    memset(r->assigned, 0, (size_t)first->count * sizeof *r->assigned);
    for (int32_t number = 0; number < first->partitions; number++) {
        r->owner[number] = -1;
    }
    if (racks_matter) {
        range_match(r);
    }
    int32_t number = 0;
    for (int32_t place = 0; place < first->count; place++) {
        for (int32_t room = range_room(r, place); room > 0 && number < first->partitions;
             number++) {
            if (r->owner[number] < 0) {
                range_give(r, number, place);
                room--;
            }
        }
    }
    for (size_t t = 0; t < r->topic_count; t++) {
        int32_t to = r->a->topics[r->topics[t].topic].first;
        for (number = 0; number < first->partitions; number++) {
            assert(r->owner[number] >= 0);
            r->a->owner[to + number] = first->members[r->owner[number]];
        }
    }
}

static bool range_alike(const struct range_topic *a, const struct range_topic *b)
{
    return a->partitions == b->partitions && a->count == b->count &&
           (a->count == 0 ||
            memcmp(a->members, b->members, (size_t)a->count * sizeof *a->members) == 0);
}

/* The topics, sorted to their like; *racks_matter: for one of them at least. */
static struct range_topic *range_topics(const struct assign *a, bool *racks_matter,
                                        int32_t *partitions_most, struct arena *scratch)
{
    struct assign_subscribers s;
    struct range_topic *topics = arena_array(scratch, a->topic_count + 1, sizeof *topics);
    int32_t *seen = arena_array(scratch, (size_t)a->racks.count + 1, sizeof *seen), stamp = 0;
    if (!topics || !seen || assign_subscribers(a, &s, scratch)) {
        return NULL;
    }
    for (size_t t = 0; t < a->topic_count; t++) {
        const struct assign_topic *in = &a->topics[t];
        struct range_topic *to = &topics[t];
        *to = (struct range_topic){.topic = (int32_t)t,
                                   .partitions = in->partitions,
                                   .members = s.members + s.first[t],
                                   .count = s.first[t + 1] - s.first[t]};
        to->racks_matter =
            assign_racks_matter(a, in->first, in->partitions, to->members, to->count, seen, &stamp);
        *racks_matter = *racks_matter || to->racks_matter;
        *partitions_most = *partitions_most > in->partitions ? *partitions_most : in->partitions;
    }
    if (a->topic_count) {
        qsort(topics, a->topic_count, sizeof *topics, range_compare);
    }
    return topics;
}

int assign_range(struct assign *a, struct arena *scratch)
{
    bool racks_matter = false;
    int32_t most = 0;
    struct range r = {.a = a};
    struct range_topic *topics = range_topics(a, &racks_matter, &most, scratch);
    size_t racks = (size_t)a->racks.count + 2;
    r.owner = arena_array(scratch, (size_t)most + 1, sizeof *r.owner);
    r.assigned = arena_array(scratch, a->member_count + 1, sizeof *r.assigned);
    r.rack_first = arena_array(scratch, racks, sizeof *r.rack_first);
    r.rack_next = arena_array(scratch, a->member_count + 1, sizeof *r.rack_next);
    r.sharing = arena_array(scratch, racks, sizeof *r.sharing);
    if (!topics || !r.owner || !r.assigned || !r.rack_first || !r.rack_next || !r.sharing) {
        return ERR_NO_MEMORY;
    }
    assign_clear(a);
    for (size_t i = 0; i < a->topic_count; i += r.topic_count) {
        r.topics = &topics[i];
        r.topic_count = 1;
        while (i + r.topic_count < a->topic_count &&
               range_alike(r.topics, &topics[i + r.topic_count])) {
            r.topic_count++;
        }
        range_share(&r, racks_matter);
    }
    return 0;
}
