/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a group that an administrator wants: what is on its way into the log comes first. */
#include "world.h"

#include <stdio.h>

static const char *const at_once[] = {"group.initial.rebalance.delay.ms=0", NULL};
static const char *const range[] = {"range:x", NULL};

static void alone(struct world *w, struct client *c)
{
    client_enter(w, c, range);
    world_run(w, SECOND_NS);
    client_sync(w, c);
    world_run(w, SECOND_NS);
    cr_assert_eq(w->group->state, GROUP_STABLE);
}

/* An administrator who deletes the group of a consumer that has just left it. */
Test(deletion, waits_for_what_is_on_its_way)
{
    struct world w;
    struct client c = {0}, leaver, admin = {0};
    world_open(&w, 1, at_once);
    alone(&w, &c);
    leaver = c; /* another connection of the same member */
    w.hold = true;
    client_commit(&w, &c, "t", 7);
    client_leave(&w, &leaver);
    client_delete(&w, &admin);
    cr_assert(!admin.answered, "%d", admin.error);
    world_settle_one(&w, 0);
    world_settle_one(&w, 0);
    cr_assert(!admin.answered);
    world_settle(&w, 0);
    cr_assert(admin.answered && admin.error == 0, "%d", admin.error);
    cr_assert_eq(w.group->state, GROUP_DEAD);
    cr_assert(list_empty(&w.group->offsets), "the commit came before the deletion");
    world_close(&w);
}

/* Long names fill a batch before there are many. */
Test(deletion, takes_as_many_batches_as_it_needs)
{
    enum { TOPICS = 20 };
    struct world w;
    struct client c = {0}, admin = {0};
    char topic[101];
    world_open(&w, 4, at_once);
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "%0100d", i);
        client_commit(&w, &c, topic, i);
        world_settle(&w, 0);
        cr_assert_eq(c.error, 0);
    }
    w.host.batch_bytes_max = 1024;
    unsigned before = w.written;
    client_delete(&w, &admin);
    world_settle(&w, 0);
    cr_assert(admin.answered);
    cr_assert_eq(admin.error, 0, "%d", admin.error);
    cr_assert_eq(w.group->state, GROUP_DEAD);
    cr_assert(list_empty(&w.group->offsets));
    cr_assert_gt(w.written - before, TOPICS * sizeof topic / 1024);
    world_close(&w);
}

Test(deletion, that_waits_is_answered_when_the_coordinator_goes)
{
    struct world w;
    struct client c = {0}, admin = {0};
    world_open(&w, 2, at_once);
    alone(&w, &c);
    w.hold = true;
    client_leave(&w, &c);
    client_delete(&w, &admin);
    group_quiesce(w.group, ERR_NOT_COORDINATOR);
    cr_assert(admin.answered);
    cr_assert_eq(admin.error, ERR_NOT_COORDINATOR);
    world_close(&w);
}

Test(deletion, that_is_not_recorded_leaves_the_group)
{
    struct world w;
    struct client c = {0}, admin = {0};
    world_open(&w, 3, at_once);
    client_commit(&w, &c, "t", 7);
    world_settle(&w, 0);
    w.hold = true;
    client_commit(&w, &c, "t", 8);
    client_delete(&w, &admin);
    world_settle_one(&w, 0);
    world_settle_one(&w, ERR_DISK_FULL);
    cr_assert(admin.answered);
    cr_assert_eq(admin.error, ERR_COORDINATOR_NOT_AVAILABLE);
    cr_assert_eq(w.group->state, GROUP_EMPTY);
    cr_assert(!list_empty(&w.group->offsets));
    world_close(&w);
}
