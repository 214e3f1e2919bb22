/* SPDX-License-Identifier: Apache-2.0 */

/* The assignors that look at nothing but subscriptions: range and round robin. */
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

static void assign_clear(struct assign *a)
{
    for (int32_t p = 0; p < a->partition_count; p++) {
        a->owner[p] = -1;
    }
}

/* With n members, each gets partitions / n, and the first partitions % n of them one more. */
int assign_range(struct assign *a, struct arena *scratch)
{
    int32_t *subscribers = arena_array(scratch, a->member_count + 1, sizeof *subscribers);
    if (!subscribers) {
        return ERR_NO_MEMORY;
    }
    assign_clear(a);
    for (size_t t = 0; t < a->topic_count; t++) {
        const struct assign_topic *topic = &a->topics[t];
        int32_t count = 0;
        for (size_t m = 0; m < a->member_count; m++) {
            if (assign_subscribes(&a->members[m], (int32_t)t)) {
                subscribers[count++] = (int32_t)m;
            }
        }
        int32_t next = 0;
        for (int32_t i = 0; i < count; i++) {
            int32_t size = topic->partitions / count + (i < topic->partitions % count);
            for (; size > 0; size--) {
                a->owner[topic->first + next++] = subscribers[i];
            }
        }
        assert(count == 0 || next == topic->partitions);
    }
    return 0;
}

/* One dealer goes round the members for all topics and passes over those that do not subscribe. */
int assign_round_robin(struct assign *a, struct arena *scratch)
{
    size_t dealer = 0;
    assign_clear(a);
    for (size_t t = 0; t < a->topic_count; t++) {
        const struct assign_topic *topic = &a->topics[t];
        for (int32_t p = 0; p < topic->partitions; p++) {
            size_t passed = 0;
            while (passed < a->member_count &&
                   !assign_subscribes(&a->members[dealer], (int32_t)t)) {
                dealer = (dealer + 1) % a->member_count;
                passed++;
            }
            if (passed == a->member_count) {
                break; /* nobody does */
            }
            a->owner[topic->first + p] = (int32_t)dealer;
            dealer = (dealer + 1) % a->member_count;
        }
    }
    return 0;
}
