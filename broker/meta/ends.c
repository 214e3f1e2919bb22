/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/ends.h"

static const uint64_t patience_ns = UINT64_C(30000000000);

static struct ending *find(const struct ends *e, struct uuid topic_id, int32_t partition)
{
    for (uint32_t i = 0; i < e->count; i++) {
        struct ending *x = &e->list[i];
        if (x->partition == partition && uuid_equal(x->topic_id, topic_id)) {
            return x;
        }
    }
    return NULL;
}

const struct ending *ends_find(const struct ends *e, struct uuid topic_id, int32_t partition,
                               int32_t leader_epoch)
{
    const struct ending *x = e->list ? find(e, topic_id, partition) : NULL;
    return x && x->leader_epoch == leader_epoch ? x : NULL;
}

static struct ending *oldest(const struct ends *e)
{
    struct ending *old = &e->list[0];
    for (uint32_t i = 1; i < e->count; i++) {
        old = e->list[i].since_ns < old->since_ns ? &e->list[i] : old;
    }
    return old;
}

struct ending *ends_add(struct ends *e, struct memory *m, struct uuid topic_id, int32_t partition,
                        int32_t leader_epoch, struct isr_end end, uint64_t now_ns)
{
    e->list = e->list ? e->list : memory_alloc(m, ENDS_MAX * sizeof *e->list);
    if (!e->list) {
        return NULL;
    }
    struct ending *x = find(e, topic_id, partition);
    if (!x || x->leader_epoch != leader_epoch) {
        x = x ? x : e->count < ENDS_MAX ? &e->list[e->count++] : oldest(e);
        *x = (struct ending){.topic_id = topic_id,
                             .partition = partition,
                             .leader_epoch = leader_epoch,
                             .since_ns = now_ns};
    }
    int32_t place = 0;
    while (place < x->count && x->ends[place].broker != end.broker) {
        place++;
    }
    if (place < ENDS_REPLICAS_MAX) { /* more replicas than that are not compared */
        x->ends[place] = end;
        x->count += place == x->count;
    }
    return x;
}

void ends_drop(struct ends *e, struct uuid topic_id, int32_t partition)
{
    struct ending *x = e->list ? find(e, topic_id, partition) : NULL;
    if (x) {
        *x = e->list[--e->count];
    }
}

bool ends_waited(const struct ending *x, uint64_t now_ns)
{
    return now_ns >= x->since_ns + patience_ns;
}

void ends_free(struct ends *e, struct memory *m)
{
    memory_free(m, e->list);
    *e = (struct ends){0};
}
