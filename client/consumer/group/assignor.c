/* SPDX-License-Identifier: Apache-2.0 */

/* What the assignors share, and round robin, which looks at nothing but subscriptions. */
#include "consumer/group/assignor.h"

#include "base/errors.h"

#include <string.h>

int assign_member_compare(const struct assign_member *a, const struct assign_member *b)
{
    if (a->instance_id && b->instance_id) {
        return strcmp(a->instance_id, b->instance_id);
    }
    if (a->instance_id || b->instance_id) {
        return a->instance_id ? -1 : 1;
    }
    return strcmp(a->id, b->id);
}

bool assign_subscribes(const struct assign_member *m, int32_t topic)
{
    size_t low = 0, high = m->topic_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->topics[middle] < topic) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < m->topic_count && m->topics[low] == topic;
}

void assign_clear(struct assign *a)
{
    for (int32_t p = 0; p < a->partition_count; p++) {
        a->owner[p] = -1;
    }
}

bool assign_in_rack(const struct assign *a, int32_t p, int32_t rack)
{
    assert(a->racks.first && p >= 0 && p < a->partition_count);
    int32_t low = a->racks.first[p], high = a->racks.first[p + 1];
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (a->racks.numbers[middle] < rack) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < a->racks.first[p + 1] && a->racks.numbers[low] == rack;
}

int assign_subscribers(const struct assign *a, struct assign_subscribers *out,
                       struct arena *scratch)
{
    size_t total = 0;
    for (size_t m = 0; m < a->member_count; m++) {
        total += a->members[m].topic_count;
    }
    out->first = arena_array(scratch, a->topic_count + 2, sizeof *out->first);
    out->members = total < INT32_MAX ? arena_array(scratch, total + 1, sizeof *out->members) : NULL;
    if (!out->first || !out->members) {
        return ERR_NO_MEMORY;
    }
    /* Counted two places on, summed, and moved one place on by filling. */
    for (size_t m = 0; m < a->member_count; m++) {
        for (size_t i = 0; i < a->members[m].topic_count; i++) {
            out->first[a->members[m].topics[i] + 2]++;
        }
    }
    for (size_t t = 2; t < a->topic_count + 2; t++) {
        out->first[t] += out->first[t - 1];
    }
    for (size_t m = 0; m < a->member_count; m++) {
        for (size_t i = 0; i < a->members[m].topic_count; i++) {
            out->members[out->first[a->members[m].topics[i] + 1]++] = (int32_t)m;
        }
    }
    assert(out->first[0] == 0 && out->first[a->topic_count] == (int32_t)total);
    return 0;
}

bool assign_racks_matter(const struct assign *a, int32_t first, int32_t count,
                         const int32_t *members, int32_t member_count, int32_t *seen,
                         int32_t *stamp)
{
    const struct assign_racks *r = &a->racks;
    if (!r->first) {
        return false;
    }
    int32_t mark = ++*stamp, all = 0;
    bool common = false, everywhere = true;
    for (int32_t i = r->first[first]; i < r->first[first + count]; i++) {
        assert(r->numbers[i] > 0 && r->numbers[i] <= r->count);
        all += seen[r->numbers[i]] != mark;
        seen[r->numbers[i]] = mark;
    }
    for (int32_t i = 0; i < member_count && !common; i++) {
        int32_t rack = a->members[members[i]].rack;
        common = rack > 0 && rack <= r->count && seen[rack] == mark;
    }
    for (int32_t p = first; p < first + count && everywhere; p++) {
        everywhere = r->first[p + 1] - r->first[p] == all;
    }
    return common && !everywhere;
}

/* The first subscriber of a topic from `dealer` on, round the members. */
static int32_t dealer_next(const int32_t *subscribers, int32_t count, int32_t dealer)
{
    int32_t low = 0, high = count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (subscribers[middle] < dealer) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return subscribers[low < count ? low : 0];
}

/* One dealer goes round the members for all topics and passes over those that do not subscribe. */
int assign_round_robin(struct assign *a, struct arena *scratch)
{
    struct assign_subscribers s;
    int error = assign_subscribers(a, &s, scratch);
    int32_t dealer = 0;
    assign_clear(a);
    for (size_t t = 0; !error && t < a->topic_count; t++) {
        const struct assign_topic *topic = &a->topics[t];
        int32_t count = s.first[t + 1] - s.first[t];
        for (int32_t p = 0; count > 0 && p < topic->partitions; p++) {
            int32_t owner = dealer_next(s.members + s.first[t], count, dealer);
            a->owner[topic->first + p] = owner;
            dealer = owner + 1;
        }
    }
    return error;
}
