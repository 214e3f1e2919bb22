/* SPDX-License-Identifier: Apache-2.0 */

/* subscriptions: which topics the members of a group of consumers read. Private to broker/coord. */
#pragma once

#include "coord/group.h"

/* Whether `q` reads the same topics under the group's protocol; what a member owns at the moment is
 * no difference. */
bool member_reads_same(const struct member *m, const struct join_group_request *q);

/* Whether the member said that it owns a partition which its assignment has no more. It was to let
 * go of that and to join again (KIP-429), for only then another member is given it. */
bool member_lets_go(const struct member *m);

/* What the members of a group subscribe to, found when it is asked for the first time. All zero at
 * first; while it is in use no member comes or goes. */
struct subscriptions {
    struct map topics;
    struct arena arena;
    bool found, unclear;
};

/* Whether a member subscribes to the topic; true when that cannot be told. */
bool subscriptions_have(struct subscriptions *s, const struct group *g, struct wire_string topic);
void subscriptions_deinit(struct subscriptions *s);
