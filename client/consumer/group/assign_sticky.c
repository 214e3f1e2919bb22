/* SPDX-License-Identifier: Apache-2.0 */

/* The assignors that keep partitions where they are.
 *
 * 1. Everybody keeps what he holds. Where two members claim one partition, the one of the higher
 *    generation does; in the same generation nobody, for then one of them is wrong. A cooperative
 *    group gives what is held to nobody but its holder, whatever others claim.
 * 2a. Everybody subscribes to the same: with n members each keeps at most partitions / n, and as
 *     many members as the rest of that division has units one more; what is free is dealt out to
 *     those who have less. No assignment as even moves fewer partitions.
 * 2b. Subscriptions differ: what is free goes, topics with few subscribers first, to the subscriber
 *     who has least. Then, as long as somebody has at least two partitions more than a member to
 *     whom one can be passed on, from hand to hand along a chain of common topics, it is. What is
 *     left is as even as the subscriptions allow: no such chain exists. The search is bounded, so
 *     that subscriptions made to be expensive cost evenness, not time.
 * 3.  If racks matter: what is not in its owner's rack is handed on to where it is, as far as that
 *     leaves everybody with as many partitions as before. If subscriptions differ, within each
 *     topic: then also who could pass what on to whom is as before, and no chain of 2b appears.
 *
 * So evenness comes before racks, and racks before what stays; but what moves for a rack brings a
 * partition to its rack. With the result held already, or without racks, 3 does nothing. */
#include "consumer/group/assign_racks.h"

#include "base/errors.h"

#include <string.h>

enum { BALANCE_STEPS_MAX = 100000000 };

struct sticky {
    struct assign *a;
    int32_t *load;     /* partitions per member */
    int32_t *previous; /* who held a partition before, or -1 */

    /* Differing subscriptions alone: */
    int32_t *topic_of; /* per partition */
    struct assign_subscribers subscribers;
    int32_t *held; /* partitions per member and subscribed topic, behind each other */
    int32_t *held_first;
    int32_t *reached_from, *reached_by; /* per member: from whom, by which topic; -2: not reached */
    int32_t *queue;
    bool *topic_done;
    uint64_t steps;
};

enum { HOLDER_NONE = -1, HOLDER_CONTESTED = -2 };

/* Who holds each partition, by what members claim: `holder` has room for all partitions. */
static int claims_read(const struct assign *a, int32_t *holder, struct arena *scratch)
{
    int32_t *generation = arena_array(scratch, (size_t)a->partition_count + 1, sizeof *generation);
    if (!generation) {
        return ERR_NO_MEMORY;
    }
    for (int32_t p = 0; p < a->partition_count; p++) {
        holder[p] = HOLDER_NONE;
    }
    for (size_t m = 0; m < a->member_count; m++) {
        const struct assign_member *member = &a->members[m];
        for (size_t i = 0; i < member->owned_count; i++) {
            int32_t p = member->owned[i];
            assert(p >= 0 && p < a->partition_count);
            if (holder[p] == HOLDER_NONE || member->generation > generation[p]) {
                generation[p] = member->generation;
                holder[p] = (int32_t)m;
            } else if (member->generation == generation[p]) {
                holder[p] = HOLDER_CONTESTED;
            }
        }
    }
    return 0;
}

static int sticky_claims(struct sticky *s, struct arena *scratch)
{
    struct assign *a = s->a;
    s->previous = arena_array(scratch, (size_t)a->partition_count + 1, sizeof *s->previous);
    s->load = arena_array(scratch, a->member_count + 1, sizeof *s->load);
    if (!s->previous || !s->load) {
        return ERR_NO_MEMORY;
    }
    int error = claims_read(a, s->previous, scratch);
    for (int32_t p = 0; !error && p < a->partition_count; p++) {
        s->previous[p] = s->previous[p] < 0 ? -1 : s->previous[p];
    }
    return error;
}

/* --- everybody subscribes to the same --- */

static bool sticky_uniform(const struct assign *a)
{
    for (size_t m = 1; m < a->member_count; m++) {
        if (a->members[m].topic_count != a->members[0].topic_count ||
            memcmp(a->members[m].topics, a->members[0].topics,
                   a->members[0].topic_count * sizeof(int32_t)) != 0) {
            return false;
        }
    }
    return true;
}

/* `most` has room for each member. */
static void sticky_keep_share(struct sticky *s, int32_t least, int32_t extra, int32_t *most)
{
    struct assign *a = s->a;
    int32_t *held = s->load;
    for (int32_t p = 0; p < a->partition_count; p++) {
        a->owner[p] = s->previous[p];
        if (a->owner[p] >= 0) {
            held[a->owner[p]]++;
        }
    }
    for (size_t m = 0; m < a->member_count; m++) {
        bool more = held[m] > least && extra > 0;
        extra -= more;
        most[m] = least + more;
    }
    for (int32_t p = a->partition_count - 1; p >= 0; p--) {
        int32_t m = a->owner[p];
        if (m >= 0 && held[m] > most[m]) {
            a->owner[p] = -1;
            held[m]--;
        }
    }
}

static void sticky_balance_uniform(struct sticky *s, int32_t *most)
{
    struct assign *a = s->a;
    int32_t members = (int32_t)a->member_count;
    int32_t least = a->partition_count / members;
    int32_t extra = a->partition_count % members;
    sticky_keep_share(s, least, extra, most);
    for (int32_t m = 0; m < members; m++) {
        extra -= s->load[m] > least;
    }
    int32_t dealer = 0;
    for (int32_t p = 0; p < a->partition_count; p++) {
        if (a->owner[p] >= 0) {
            continue;
        }
        /* The extra units go out when nobody is below the share any more. */
        int32_t passed = 0;
        while (passed < members && s->load[dealer] >= least) {
            dealer = (dealer + 1) % members;
            passed++;
        }
        if (passed == members) {
            while (s->load[dealer] > least) {
                dealer = (dealer + 1) % members;
            }
            assert(extra > 0);
            extra--;
        }
        a->owner[p] = dealer;
        s->load[dealer]++;
        dealer = (dealer + 1) % members;
    }
}

/* --- subscriptions differ --- */

static int sticky_index(struct sticky *s, struct arena *scratch)
{
    struct assign *a = s->a;
    int error = assign_subscribers(a, &s->subscribers, scratch);
    if (error) {
        return error;
    }
    size_t total = (size_t)s->subscribers.first[a->topic_count];
    s->topic_of = arena_array(scratch, (size_t)a->partition_count + 1, sizeof(int32_t));
    s->held = arena_array(scratch, total + 1, sizeof(int32_t));
    s->held_first = arena_array(scratch, a->member_count + 1, sizeof(int32_t));
    s->reached_from = arena_array(scratch, a->member_count + 1, sizeof(int32_t));
    s->reached_by = arena_array(scratch, a->member_count + 1, sizeof(int32_t));
    s->queue = arena_array(scratch, a->member_count + 1, sizeof(int32_t));
    s->topic_done = arena_array(scratch, a->topic_count + 1, sizeof(bool));
    if (!s->topic_of || !s->held || !s->held_first || !s->reached_from || !s->reached_by ||
        !s->queue || !s->topic_done) {
        return ERR_NO_MEMORY;
    }
    int32_t next = 0;
    for (size_t m = 0; m < a->member_count; m++) {
        s->held_first[m] = next;
        next += (int32_t)a->members[m].topic_count;
    }
    for (size_t t = 0; t < a->topic_count; t++) {
        for (int32_t p = 0; p < a->topics[t].partitions; p++) {
            s->topic_of[a->topics[t].first + p] = (int32_t)t;
        }
    }
    return 0;
}

static int32_t subscriber_count(const struct sticky *s, int32_t t)
{
    return s->subscribers.first[t + 1] - s->subscribers.first[t];
}

/* Counts a partition of topic `t` in or out of what `m` holds of it. */
static void sticky_count(struct sticky *s, int32_t m, int32_t t, int32_t more)
{
    const struct assign_member *member = &s->a->members[m];
    size_t low = 0, high = member->topic_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (member->topics[middle] <= t) {
            low = middle;
        } else {
            high = middle;
        }
    }
    assert(member->topics[low] == t);
    s->held[s->held_first[m] + (int32_t)low] += more;
    assert(s->held[s->held_first[m] + (int32_t)low] >= 0);
}

static void sticky_fill_topic(struct sticky *s, int32_t t)
{
    struct assign *a = s->a;
    const int32_t *subscribers = s->subscribers.members + s->subscribers.first[t];
    int32_t count = subscriber_count(s, t);
    for (int32_t i = 0; i < a->topics[t].partitions; i++) {
        int32_t p = a->topics[t].first + i, best = -1;
        if (a->owner[p] >= 0) {
            continue;
        }
        for (int32_t j = 0; j < count; j++) {
            int32_t m = subscribers[j];
            best = best < 0 || s->load[m] < s->load[best] ? m : best;
        }
        a->owner[p] = best;
        if (best >= 0) {
            s->load[best]++;
            sticky_count(s, best, t, 1);
        }
    }
}

/* Keeps what is held and gives away what is free. */
static void sticky_fill(struct sticky *s)
{
    struct assign *a = s->a;
    for (int32_t p = 0; p < a->partition_count; p++) {
        int32_t m = s->previous[p];
        bool keeps = m >= 0 && assign_subscribes(&a->members[m], s->topic_of[p]);
        a->owner[p] = keeps ? m : -1;
        if (keeps) {
            s->load[m]++;
            sticky_count(s, m, s->topic_of[p], 1);
        }
    }
    int32_t done = 0;
    while (done < INT32_MAX) {
        int32_t next = INT32_MAX;
        for (size_t t = 0; t < a->topic_count; t++) {
            int32_t count = subscriber_count(s, (int32_t)t);
            if (count == done) {
                sticky_fill_topic(s, (int32_t)t);
            } else if (count > done && count < next) {
                next = count;
            }
        }
        done = next;
    }
}

/* Marks whom `from` can pass a partition to, and returns the one who has least, or -1 when nobody
 * has at least two less than `from`. */
static int32_t sticky_reach(struct sticky *s, int32_t from)
{
    struct assign *a = s->a;
    int32_t head = 0, tail = 0, best = -1;
    for (size_t m = 0; m < a->member_count; m++) {
        s->reached_from[m] = -2;
    }
    memset(s->topic_done, 0, a->topic_count * sizeof *s->topic_done);
    s->reached_from[from] = -1;
    s->queue[tail++] = from;
    while (head < tail) {
        int32_t m = s->queue[head++];
        const struct assign_member *member = &a->members[m];
        s->steps += member->topic_count;
        for (size_t k = 0; k < member->topic_count; k++) {
            int32_t t = member->topics[k];
            if (s->held[s->held_first[m] + (int32_t)k] == 0 || s->topic_done[t]) {
                continue;
            }
            s->topic_done[t] = true;
            s->steps += (uint64_t)subscriber_count(s, t);
            for (int32_t i = s->subscribers.first[t]; i < s->subscribers.first[t + 1]; i++) {
                int32_t to = s->subscribers.members[i];
                if (s->reached_from[to] != -2) {
                    continue;
                }
                s->reached_from[to] = m;
                s->reached_by[to] = t;
                s->queue[tail++] = to;
                best = best < 0 || s->load[to] < s->load[best] ? to : best;
            }
        }
    }
    return best >= 0 && s->load[best] + 2 <= s->load[from] ? best : -1;
}

/* Which partition of topic `t` a member gives to `to`: one that `to` held before, else one that the
 * giver did not, else the last. */
static int32_t sticky_choose(const struct sticky *s, int32_t giver, int32_t to, int32_t t)
{
    const struct assign *a = s->a;
    int32_t chosen = -1, rank = -1;
    for (int32_t i = 0; i < a->topics[t].partitions; i++) {
        int32_t p = a->topics[t].first + i;
        if (a->owner[p] == giver) {
            int32_t its = s->previous[p] == to ? 2 : s->previous[p] != giver;
            chosen = its >= rank ? p : chosen;
            rank = its >= rank ? its : rank;
        }
    }
    assert(chosen >= 0);
    return chosen;
}

static void sticky_balance(struct sticky *s)
{
    struct assign *a = s->a;
    bool moved = true;
    while (moved && s->steps < BALANCE_STEPS_MAX) {
        moved = false;
        for (int32_t m = 0; m < (int32_t)a->member_count; m++) {
            int32_t to;
            while (s->steps < BALANCE_STEPS_MAX && (to = sticky_reach(s, m)) >= 0) {
                s->load[m]--;
                s->load[to]++;
                for (; to != m; to = s->reached_from[to]) {
                    int32_t giver = s->reached_from[to];
                    int32_t t = s->reached_by[to];
                    a->owner[sticky_choose(s, giver, to, t)] = to;
                    sticky_count(s, giver, t, -1);
                    sticky_count(s, to, t, 1);
                }
                moved = true;
            }
        }
    }
}

/* --- racks --- */

/* `members` has room for all. */
static int sticky_fit_racks(struct sticky *s, bool uniform, int32_t *members, struct arena *scratch)
{
    struct assign *a = s->a;
    int32_t stamp = 0, count = (int32_t)a->member_count;
    int32_t *seen = arena_array(scratch, (size_t)a->racks.count + 1, sizeof *seen);
    if (!seen) {
        return ERR_NO_MEMORY;
    }
    for (int32_t m = 0; m < count; m++) {
        members[m] = m;
    }
    if (!assign_racks_matter(a, 0, a->partition_count, members, count, seen, &stamp)) {
        return 0;
    }
    struct racks_fit *fit = racks_fit_new(a, s->load, s->previous, scratch);
    if (!fit) {
        return ERR_NO_MEMORY;
    }
    if (uniform) {
        (void)racks_fit_pool(fit, &(struct racks_pool){.count = a->partition_count,
                                                       .members = members,
                                                       .member_count = count,
                                                       .least = a->partition_count / count});
        return 0;
    }
    /* What moves in one topic may give another one's members room. */
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t t = 0; t < (int32_t)a->topic_count; t++) {
            struct racks_pool pool = {.first = a->topics[t].first,
                                      .count = a->topics[t].partitions,
                                      .members = s->subscribers.members + s->subscribers.first[t],
                                      .member_count = subscriber_count(s, t),
                                      .least = -1};
            moved = (pool.member_count > 1 && racks_fit_pool(fit, &pool)) || moved;
        }
    }
    return 0;
}

int assign_sticky(struct assign *a, struct arena *scratch)
{
    struct sticky s = {.a = a};
    int error = sticky_claims(&s, scratch);
    if (error || a->member_count == 0) {
        return error;
    }
    int32_t *members = arena_array(scratch, a->member_count, sizeof *members);
    if (!members) {
        return ERR_NO_MEMORY;
    }
    bool uniform = sticky_uniform(a) && a->members[0].topic_count == a->topic_count;
    if (uniform) {
        sticky_balance_uniform(&s, members);
    } else {
        error = sticky_index(&s, scratch);
        if (error) {
            return error;
        }
        sticky_fill(&s);
        sticky_balance(&s);
    }
    return sticky_fit_racks(&s, uniform, members, scratch);
}

/* A partition goes to its holder or, when nobody holds it, to whom it was given. One that several
 * members hold goes to nobody: each of them reads it until he hears of it. */
int assign_cooperative(struct assign *a, struct arena *scratch)
{
    int32_t *holder = arena_array(scratch, (size_t)a->partition_count + 1, sizeof *holder);
    int error = holder ? claims_read(a, holder, scratch) : ERR_NO_MEMORY;
    error = error ? error : assign_sticky(a, scratch);
    for (int32_t p = 0; !error && p < a->partition_count; p++) {
        if (holder[p] != HOLDER_NONE && holder[p] != a->owner[p]) {
            a->owner[p] = -1;
        }
    }
    return error;
}
