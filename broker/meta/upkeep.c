/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/upkeep.h"

#include "base/assert.h"

static const uint64_t soon_ns =
    UINT64_C(10000000000); /* for what moves to arrive, and brokers too */
/* Without a reason: who was away between two looks was missed by a topic that was made then. */
static const uint64_t grow_ns = UINT64_C(60000000000);

void upkeep_begin(struct upkeep *u, uint64_t balance_every_ns, uint64_t now_ns)
{
    enum upkeep_work under_way = u->under_way;
    *u = (struct upkeep){
        .balance_every_ns = balance_every_ns,
        .balance_at_ns = balance_every_ns ? now_ns + balance_every_ns : UINT64_MAX,
        .grow_at_ns = now_ns,
        .since_ns = now_ns,
        .under_way = under_way,
    };
}

enum upkeep_work upkeep_next(struct upkeep *u, uint32_t active, uint64_t now_ns)
{
    if (active > u->active) {
        u->grow_at_ns = now_ns;
    }
    u->since_ns = active != u->active ? now_ns : u->since_ns;
    u->active = active;
    if (u->under_way != UPKEEP_NOTHING) {
        return UPKEEP_NOTHING;
    }
    if (now_ns >= u->grow_at_ns) {
        u->under_way = UPKEEP_GROW;
        u->grow_at_ns = UINT64_MAX; /* unless another broker comes meanwhile */
    } else if (now_ns >= u->balance_at_ns) {
        u->under_way = UPKEEP_BALANCE;
    }
    return u->under_way;
}

bool upkeep_unsettled(const struct upkeep *u, uint64_t now_ns)
{
    return now_ns < u->since_ns + soon_ns;
}

void upkeep_done(struct upkeep *u, bool soon, uint64_t now_ns)
{
    assert(u->under_way != UPKEEP_NOTHING);
    if (u->under_way == UPKEEP_GROW) {
        uint64_t next = now_ns + (soon ? soon_ns : grow_ns);
        u->grow_at_ns = next < u->grow_at_ns ? next : u->grow_at_ns;
    } else if (u->balance_every_ns) {
        u->balance_at_ns = now_ns + u->balance_every_ns;
    }
    u->under_way = UPKEEP_NOTHING;
}
