/* SPDX-License-Identifier: Apache-2.0 */

/* Generations: who is waited for, for how long, and who is told what. */
#include "world.h"

#include "coord/member.h"

#include "coord/expected.h"

#include <stdlib.h>

static const char *const at_once[] = {"group.initial.rebalance.delay.ms=0", NULL};
static const char *const range[] = {"range:x", NULL};

/* A stable generation of these clients; the first leads. */
static void settle(struct world *w, struct client *clients, int count)
{
    for (int i = 0; i < count; i++) {
        if (!clients[i].asking) {
            client_enter(w, &clients[i], range);
        }
    }
    world_run(w, 7 * SECOND_NS);
    for (int i = 0; i < count; i++) {
        cr_assert(clients[i].answered && clients[i].error == 0, "%d: %d", i, clients[i].error);
        client_sync(w, &clients[i]);
    }
    world_run(w, SECOND_NS / 10);
    for (int i = 0; i < count; i++) {
        cr_assert(clients[i].answered && clients[i].error == 0, "%d: %d", i, clients[i].error);
        cr_assert_eq(strlen(clients[i].assignment), 1);
    }
    cr_assert_eq(w->group->state, GROUP_STABLE);
}

/* Everybody says that he lives for so long, and is told `error` at its end. */
static void live(struct world *w, struct client *clients, int count, int seconds, int error)
{
    for (int s = 0; s < seconds; s++) {
        for (int i = 0; i < count; i++) {
            client_heartbeat(w, &clients[i]);
            cr_assert(clients[i].answered);
        }
        world_run(w, SECOND_NS);
    }
    for (int i = 0; i < count; i++) {
        client_heartbeat(w, &clients[i]);
        cr_assert_eq(clients[i].error, error, "%d", clients[i].error);
    }
}

Test(rebalance, the_first_member_waits_for_others)
{
    struct world w;
    struct client c[3] = {0};
    world_open(&w, 1, NULL);
    client_enter(&w, &c[0], range);
    world_run(&w, 2 * SECOND_NS);
    client_enter(&w, &c[1], range);
    cr_assert(!c[0].answered);
    world_run(&w, 2 * SECOND_NS);
    client_enter(&w, &c[2], range); /* the window has become longer by the second */
    world_run(&w, 7 * SECOND_NS);
    for (int i = 0; i < 3; i++) {
        cr_assert(c[i].answered && c[i].generation == 1, "all are in the first generation");
        cr_assert_str_eq(c[i].leader, c[0].id);
        cr_assert_eq(c[i].member_count, i == 0 ? 3 : 0);
    }
    world_close(&w);
}

Test(rebalance, the_window_ends_however_many_come)
{
    enum { COME = 60 };
    struct world w;
    struct client *c = calloc(COME, sizeof *c);
    world_open(&w, 2, NULL);
    int i = 0;
    for (; i < COME && !c[0].answered; i++) {
        client_enter(&w, &c[i], range);
        world_run(&w, SECOND_NS);
    }
    cr_assert(c[0].answered);
    cr_assert_leq(i, 31, "within the rebalance timeout");
    world_close(&w);
    free(c);
}

Test(rebalance, an_assignment_is_told_when_it_is_recorded)
{
    struct world w;
    struct client c[2] = {0};
    world_open(&w, 3, NULL);
    client_enter(&w, &c[0], range);
    client_enter(&w, &c[1], range);
    world_run(&w, 7 * SECOND_NS);
    w.hold = true;
    client_sync(&w, &c[1]);
    client_sync(&w, &c[0]);
    world_run(&w, SECOND_NS);
    cr_assert(!c[0].answered && !c[1].answered, "G2");
    world_settle(&w, 0);
    cr_assert_str_eq(c[0].assignment, "a");
    cr_assert_str_eq(c[1].assignment, "b");
    world_close(&w);
}

Test(rebalance, an_assignment_that_is_not_recorded_is_told_to_nobody)
{
    struct world w;
    struct client c[2] = {0};
    world_open(&w, 4, NULL);
    client_enter(&w, &c[0], range);
    client_enter(&w, &c[1], range);
    world_run(&w, 7 * SECOND_NS);
    w.hold = true;
    client_sync(&w, &c[1]);
    client_sync(&w, &c[0]);
    world_settle(&w, ERR_DISK_FULL);
    cr_assert_eq(c[0].error, ERR_REBALANCE_IN_PROGRESS);
    cr_assert_eq(c[1].error, ERR_REBALANCE_IN_PROGRESS);
    w.hold = false;
    settle(&w, c, 2);
    cr_assert_eq(c[0].generation, 2);
    world_close(&w);
}

/* The record of one generation is still on its way when the next begins. */
Test(rebalance, a_late_record_says_nothing_of_another_generation)
{
    struct world w;
    struct client c[2] = {0};
    world_open(&w, 5, at_once);
    client_enter(&w, &c[0], range);
    cr_assert_eq(c[0].generation, 1);
    w.hold = true;
    client_sync(&w, &c[0]);
    client_enter(&w, &c[1], range);
    cr_assert_eq(c[0].error, ERR_REBALANCE_IN_PROGRESS);
    client_join(&w, &c[0], 5, range);
    cr_assert_eq(c[1].generation, 2);
    world_settle(&w, 0);
    cr_assert_eq(w.group->state, GROUP_COMPLETING, "it waits for the second assignment");
    w.hold = false;
    client_sync(&w, &c[1]);
    client_sync(&w, &c[0]);
    world_run(&w, SECOND_NS / 10);
    cr_assert_str_eq(c[1].assignment, "b");
    world_close(&w);
}

Test(rebalance, who_says_nothing_is_removed)
{
    struct world w;
    struct client c[3] = {0};
    world_open(&w, 6, NULL);
    settle(&w, c, 3);
    live(&w, c, 2, 12, ERR_REBALANCE_IN_PROGRESS);
    settle(&w, c, 2);
    cr_assert_eq(c[0].generation, 2);
    cr_assert_eq(c[0].member_count, 2);
    client_heartbeat(&w, &c[2]);
    cr_assert_eq(c[2].error, ERR_UNKNOWN_MEMBER_ID);
    world_close(&w);
}

Test(rebalance, who_does_not_rejoin_is_left_behind)
{
    struct world w;
    struct client c[3] = {0};
    world_open(&w, 7, NULL);
    settle(&w, c, 2);
    client_enter(&w, &c[2], range);
    for (int s = 0; s < 35 && !c[2].answered; s++) { /* the second one only breathes */
        client_heartbeat(&w, &c[1]);
        world_run(&w, SECOND_NS);
        if (!c[0].asking) {
            client_join(&w, &c[0], 5, range);
        }
    }
    cr_assert(c[2].answered && c[0].answered);
    cr_assert_eq(c[0].member_count, 2);
    client_heartbeat(&w, &c[1]);
    cr_assert_eq(c[1].error, ERR_UNKNOWN_MEMBER_ID);
    world_close(&w);
}

Test(rebalance, who_joins_and_does_not_sync_is_removed)
{
    struct world w;
    struct client c[2] = {0};
    world_open(&w, 8, NULL);
    client_enter(&w, &c[0], range);
    client_enter(&w, &c[1], range);
    world_run(&w, 7 * SECOND_NS);
    client_sync(&w, &c[1]); /* the leader does not */
    for (int s = 0; s < 40 && !c[1].answered; s++) {
        world_run(&w, SECOND_NS);
    }
    cr_assert_eq(c[1].error, ERR_REBALANCE_IN_PROGRESS);
    settle(&w, &c[1], 1);
    cr_assert(client_leads(&c[1]));
    world_close(&w);
}

Test(rebalance, leaving_is_felt_at_once)
{
    struct world w;
    struct client c[2] = {0};
    world_open(&w, 9, NULL);
    settle(&w, c, 2);
    w.hold = true;
    client_leave(&w, &c[0]);
    cr_assert(c[0].answered);
    cr_assert_eq(c[0].error, 0);
    w.hold = false;
    live(&w, &c[1], 1, 0, ERR_REBALANCE_IN_PROGRESS);
    settle(&w, &c[1], 1);
    client_leave(&w, &c[1]);
    world_settle(&w, 0);
    cr_assert_eq(c[1].error, 0);
    cr_assert_eq(w.group->state, GROUP_EMPTY);
    cr_assert_eq(w.group->generation, 3, "the empty generation is one as well");
    client_leave(&w, &c[1]);
    cr_assert_eq(c[1].error, ERR_UNKNOWN_MEMBER_ID);
    world_close(&w);
}

/* What all say and are assigned is one record. When it is too large nobody waits in vain, and the group
 * goes on when some have gone. */
Test(rebalance, a_generation_that_is_too_large_is_told_to_all_who_wait)
{
    enum { SAID = 1500 };
    char said[SAID] = "range:";
    const char *const protocols[] = {said, NULL};
    struct world w;
    struct client c[3] = {0};
    memset(said + strlen(said), 'x', sizeof said - strlen(said) - 1);
    world_open(&w, 9, NULL);
    w.host.batch_bytes_max = 4096;
    for (int i = 0; i < 3; i++) {
        client_enter(&w, &c[i], protocols);
    }
    world_run(&w, 7 * SECOND_NS);
    int leader = client_leads(&c[0]) ? 0 : client_leads(&c[1]) ? 1 : 2;
    client_sync(&w, &c[(leader + 1) % 3]);
    client_sync(&w, &c[leader]);
    cr_assert_eq(c[leader].error, ERR_MESSAGE_TOO_LARGE);
    cr_assert(c[(leader + 1) % 3].answered);
    cr_assert_eq(c[(leader + 1) % 3].error, ERR_MESSAGE_TOO_LARGE);
    client_sync(&w, &c[(leader + 2) % 3]);
    cr_assert_eq(c[(leader + 2) % 3].error, ERR_REBALANCE_IN_PROGRESS);
    cr_assert_eq(w.written, 0);
    client_leave(&w, &c[leader]);
    for (int i = 0; i < 3; i++) {
        if (i != leader) {
            client_join(&w, &c[i], 5, protocols);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (i != leader) {
            cr_assert(c[i].answered && c[i].error == 0, "%d", c[i].error);
            client_sync(&w, &c[i]);
        }
    }
    world_settle(&w, 0);
    cr_assert_eq(w.group->state, GROUP_STABLE);
    world_close(&w);
}

/* What the log has no room for, whatever its topic allows. */
Test(rebalance, a_generation_that_the_log_refuses_is_told_to_all_who_wait)
{
    struct world w;
    struct client c[2] = {0};
    world_open(&w, 9, NULL);
    client_enter(&w, &c[0], range);
    client_enter(&w, &c[1], range);
    world_run(&w, 7 * SECOND_NS);
    w.hold = true;
    client_sync(&w, &c[0]);
    client_sync(&w, &c[1]);
    world_settle(&w, ERR_MESSAGE_TOO_LARGE);
    cr_assert(c[0].answered && c[1].answered);
    cr_assert_eq(c[0].error, ERR_MESSAGE_TOO_LARGE);
    cr_assert_eq(c[1].error, ERR_MESSAGE_TOO_LARGE);
    world_close(&w);
}

/* Else who was the last one would be back after a power cut, for the length of its session. */
Test(rebalance, the_last_one_is_told_that_it_has_left_when_that_is_recorded)
{
    static const int errors[] = {0, ERR_DISK_FULL};
    for (size_t i = 0; i < array_size(errors); i++) {
        struct world w;
        struct client c = {0}, next = {0};
        world_open(&w, 9, at_once);
        settle(&w, &c, 1);
        w.hold = true;
        client_leave(&w, &c);
        cr_assert_eq(w.group->state, GROUP_EMPTY);
        cr_assert(!c.answered, "G6");
        client_enter(&w, &next, range); /* who comes does not wait for the record */
        cr_assert_eq(w.group->state, GROUP_COMPLETING);
        world_settle(&w, errors[i]);
        cr_assert(c.answered);
        cr_assert_eq(c.error, errors[i] ? ERR_COORDINATOR_NOT_AVAILABLE : 0);
        world_close(&w);
    }
}

Test(rebalance, the_protocol_is_common_to_all)
{
    struct world w;
    struct client c[3] = {0};
    static const char *const both[] = {"sticky:x", "range:x", NULL};
    static const char *const others[] = {"range:x", "roundrobin:x", NULL};
    static const char *const none[] = {"roundrobin:x", NULL};
    world_open(&w, 10, NULL);
    client_enter(&w, &c[0], both);
    client_enter(&w, &c[1], others);
    world_run(&w, 7 * SECOND_NS);
    cr_assert_str_eq(c[0].protocol, "range");
    client_join(&w, &c[2], 5, none);
    cr_assert_eq(c[2].error, ERR_INCONSISTENT_GROUP_PROTOCOL);
    world_close(&w);
}

/* What members have in common is counted: who names a protocol twice has it once, and who comes back
 * with others has the former ones no more. */
Test(rebalance, a_protocol_is_counted_once_for_each_member)
{
    static const char *const twice[] = {"range:x", "range:y", "sticky:x", NULL};
    static const char *const sticky[] = {"sticky:x", NULL};
    static const char *const other[] = {"other:x", NULL};
    struct world w;
    struct client c[3] = {0};
    world_open(&w, 14, at_once);
    client_enter(&w, &c[0], twice);
    world_run(&w, SECOND_NS);
    cr_assert_str_eq(c[0].protocol, "range");
    client_enter(&w, &c[1], other);
    cr_assert_eq(c[1].error, ERR_INCONSISTENT_GROUP_PROTOCOL);
    client_enter(&w, &c[2], sticky);
    client_join(&w, &c[0], 5, twice);
    world_run(&w, SECOND_NS);
    cr_assert_str_eq(c[0].protocol, "sticky");
    cr_assert_str_eq(c[2].protocol, "sticky");
    client_leave(&w, &c[2]);
    client_join(&w, &c[0], 5, other);
    world_run(&w, SECOND_NS);
    cr_assert_str_eq(c[0].protocol, "other");
    client_enter(&w, &c[1], sticky);
    cr_assert_eq(c[1].error, ERR_INCONSISTENT_GROUP_PROTOCOL);
    cr_assert_eq(map_count(&w.group->protocols), 1);
    world_close(&w);
}

Test(rebalance, an_id_that_nobody_comes_back_with_is_forgotten)
{
    struct world w;
    struct client c = {0};
    world_open(&w, 11, NULL);
    client_join(&w, &c, 5, range);
    cr_assert_eq(c.error, ERR_MEMBER_ID_REQUIRED);
    cr_assert_eq(w.group->expected_count, 1);
    world_run(&w, 11 * SECOND_NS);
    cr_assert_eq(w.group->expected_count, 0);
    client_join(&w, &c, 5, range);
    cr_assert_eq(c.error, ERR_UNKNOWN_MEMBER_ID);
    world_close(&w);
}

/* Who asks for more ids than can come in is told that the oldest are unknown, and asks again. */
Test(rebalance, the_oldest_of_too_many_ids_are_forgotten)
{
    static const char *const three[] = {"group.initial.rebalance.delay.ms=0", "group.max.size=3",
                                        NULL};
    struct world w;
    struct client c[5] = {0};
    world_open(&w, 12, three);
    for (int i = 0; i < 5; i++) {
        client_join(&w, &c[i], 5, range);
        cr_assert_eq(c[i].error, ERR_MEMBER_ID_REQUIRED);
    }
    cr_assert_eq(w.group->expected_count, 3);
    for (int i = 0; i < 5; i++) {
        client_join(&w, &c[i], 5, range);
        cr_assert_eq(c[i].answered, i < 2 || i == 4, "all have come with the last one");
        cr_assert(i >= 2 || c[i].error == ERR_UNKNOWN_MEMBER_ID);
    }
    cr_assert_eq(w.group->member_count, 3);
    cr_assert_eq(w.group->state, GROUP_COMPLETING);
    world_close(&w);
}

/* Many groups with many ids each: the shard has room for so many, however they are spread. */
Test(rebalance, ids_that_are_given_out_are_limited_for_all_groups)
{
    enum { GROUPS = 12 };
    struct world w;
    struct client c = {0};
    world_open(&w, 12, NULL);
    struct group *own = w.group, *groups[GROUPS];
    for (int i = 0; i < GROUPS; i++) {
        groups[i] = w.group = group_new(&w.host, wire_string_of("group"));
        for (int j = 0; j < EXPECTED_OF_GROUP_MAX + 10; j++) {
            c.id[0] = 0;
            client_join(&w, &c, 5, range);
            cr_assert_eq(c.error, ERR_MEMBER_ID_REQUIRED);
        }
        cr_assert_eq(w.group->expected_count, EXPECTED_OF_GROUP_MAX);
    }
    cr_assert_eq(w.host.expected_count, EXPECTED_OF_SHARD_MAX);
    cr_assert(w.idle, "who has nothing left may go");
    cr_assert_lt(groups[0]->expected_count, EXPECTED_OF_GROUP_MAX, "the oldest are forgotten");
    client_enter(&w, &c, range);
    world_run(&w, 7 * SECOND_NS);
    cr_assert(w.group->member_count == 1, "the newest is still known");
    for (int i = 0; i < GROUPS; i++) {
        group_quiesce(groups[i], ERR_NOT_COORDINATOR);
    }
    world_settle(&w, 0);
    for (int i = 0; i < GROUPS; i++) {
        group_free(groups[i]);
    }
    w.group = own;
    world_close(&w);
}

Test(rebalance, a_group_has_room_for_so_many)
{
    static const char *const two[] = {"group.max.size=2", NULL};
    struct world w;
    struct client c[3] = {0};
    world_open(&w, 12, two);
    settle(&w, c, 2);
    client_join(&w, &c[2], 3, range);
    cr_assert_eq(c[2].error, ERR_GROUP_MAX_SIZE_REACHED);
    world_close(&w);
}

/* --- instances -------------------------------------------------------------------------------- */

Test(instance, comes_back_to_its_own_assignment)
{
    struct world w;
    struct client c[2] = {{.instance = "one"}, {.instance = "two"}}, again = {.instance = "two"};
    world_open(&w, 13, NULL);
    settle(&w, c, 2);
    client_join(&w, &again, 5, range);
    world_run(&w, SECOND_NS / 10);
    cr_assert(again.answered && again.error == 0);
    cr_assert_eq(again.generation, 1, "no rebalance");
    cr_assert_str_neq(again.id, c[1].id);
    client_sync(&w, &again);
    cr_assert_str_eq(again.assignment, c[1].assignment);
    client_heartbeat(&w, &c[1]);
    cr_assert_eq(c[1].error, ERR_FENCED_INSTANCE_ID, "G4");
    client_commit(&w, &c[1], "t", 5);
    cr_assert_eq(c[1].error, ERR_FENCED_INSTANCE_ID);
    client_heartbeat(&w, &c[0]);
    cr_assert_eq(c[0].error, 0, "the others do not notice");
    world_close(&w);
}

/* A coordinator that has the group from its records may know an older id than its predecessor gave. */
Test(instance, with_an_id_that_was_not_recorded_joins_again)
{
    struct world w;
    struct client c[2] = {{.instance = "one"}, {.instance = "two"}}, again = {.instance = "two"};
    world_open(&w, 13, NULL);
    settle(&w, c, 2);
    client_join(&w, &again, 5, range);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(again.error, 0);
    struct member *m = member_by_instance(w.group, wire_string_of("two"));
    cr_assert_eq(member_rename(m, wire_string_of(c[1].id)), 0);
    w.group->epoch++;
    client_heartbeat(&w, &again);
    cr_assert_eq(again.error, ERR_UNKNOWN_MEMBER_ID);
    client_commit(&w, &again, "t", 5);
    cr_assert_eq(again.error, ERR_UNKNOWN_MEMBER_ID);
    client_join(&w, &again, 5, range);
    cr_assert_eq(again.error, ERR_UNKNOWN_MEMBER_ID);
    again.id[0] = 0;
    client_commit(&w, &again, "t", 5);
    cr_assert_eq(again.error, ERR_UNKNOWN_MEMBER_ID, "it has no id, and is not fenced for that");
    client_join(&w, &again, 5, range);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(again.error, 0);
    client_heartbeat(&w, &c[1]);
    cr_assert_eq(c[1].error, ERR_FENCED_INSTANCE_ID, "an older id stays fenced");
    world_close(&w);
}

Test(instance, that_led_does_not_assign_again)
{
    struct world w;
    struct client c[2] = {{.instance = "one"}, {.instance = "two"}};
    struct client old = {.instance = "one"}, new = {.instance = "one"};
    world_open(&w, 14, NULL);
    settle(&w, c, 2);
    client_join(&w, &old, 8, range);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(old.error, 0);
    cr_assert_str_eq(old.leader, c[0].id, "before version 9 another one seems to lead");
    client_join(&w, &new, 9, range);
    world_run(&w, SECOND_NS / 10);
    cr_assert_str_eq(new.leader, new.id);
    cr_assert(new.skip);
    cr_assert_eq(new.member_count, 2);
    cr_assert_eq(w.group->state, GROUP_STABLE);
    world_close(&w);
}

Test(instance, with_other_topics_makes_the_group_rebalance)
{
    struct world w;
    struct client c[2] = {{.instance = "one"}, {.instance = "two"}}, again = {.instance = "two"};
    static const char *const other[] = {"range:y", NULL};
    world_open(&w, 15, NULL);
    settle(&w, c, 2);
    client_join(&w, &again, 5, other);
    cr_assert(!again.answered);
    client_heartbeat(&w, &c[0]);
    cr_assert_eq(c[0].error, ERR_REBALANCE_IN_PROGRESS);
    world_close(&w);
}

/* Of topic "x"; a version and `count` partitions from 0 on. */
static struct wire_bytes says_owned(struct world *w, struct wire_writer *out, int32_t count)
{
    static int32_t partitions[] = {0, 1};
    struct wire_string topic = wire_string_of("x");
    struct consumer_protocol_subscription_owned_partitions owned = {topic, partitions, count};
    struct consumer_protocol_subscription s;
    consumer_protocol_subscription_init(&s);
    s.topics = &topic;
    s.topics_count = 1;
    s.owned_partitions = &owned;
    s.owned_partitions_count = 1;
    wire_writer_init(out, &w->memory, 1024);
    wire_put_be16(out, 1);
    cr_assert_eq(consumer_protocol_subscription_encode(&s, out, 1), 0);
    return (struct wire_bytes){out->data, (int32_t)out->size};
}

static struct wire_bytes gives_assigned(struct world *w, struct wire_writer *out, int32_t count)
{
    static int32_t partitions[] = {0, 1};
    struct consumer_protocol_assignment_assigned_partitions all = {wire_string_of("x"), partitions,
                                                                   count};
    struct consumer_protocol_assignment a;
    consumer_protocol_assignment_init(&a);
    a.assigned_partitions = &all;
    a.assigned_partitions_count = 1;
    wire_writer_init(out, &w->memory, 1024);
    wire_put_be16(out, 1);
    cr_assert_eq(consumer_protocol_assignment_encode(&a, out, 1), 0);
    return (struct wire_bytes){out->data, (int32_t)out->size};
}

/* Of what an instance owned its generation assigns `kept` of 2 (-1: nothing at all); then another process comes. */
static void comes_back_owning(struct world *w, int32_t kept, struct client *again)
{
    struct wire_writer owned, none, assigned;
    struct client one = {.instance = "one",
                         .says = says_owned(w, &owned, 2),
                         .gives = gives_assigned(w, &assigned, kept < 0 ? 0 : kept)};
    client_enter(w, &one, range);
    world_run(w, 7 * SECOND_NS);
    cr_assert(one.answered && one.error == 0);
    one.member_count = kept < 0 ? 0 : one.member_count; /* it leaves out whom it does not name */
    client_sync(w, &one);
    world_run(w, SECOND_NS / 10);
    cr_assert(one.answered && one.error == 0);
    *again = (struct client){.instance = "one", .says = says_owned(w, &none, 0)};
    client_join(w, again, 5, range);
    world_run(w, SECOND_NS / 10);
    cr_assert_eq(again->error, 0);
    wire_writer_deinit(&owned);
    wire_writer_deinit(&none);
    wire_writer_deinit(&assigned);
}

/* It was to let go of a partition and to join again: only then somebody is given that. */
Test(instance, that_has_let_go_of_a_partition_makes_the_group_rebalance)
{
    static struct client again;
    struct world w;
    world_open(&w, 21, NULL);
    comes_back_owning(&w, 1, &again);
    cr_assert(again.answered && again.generation == 2, "%d", again.generation);
    world_close(&w);
    world_open(&w, 23, NULL);
    comes_back_owning(&w, -1, &again);
    cr_assert(again.answered && again.generation == 2, "%d", again.generation);
    world_close(&w);
    world_open(&w, 22, NULL);
    comes_back_owning(&w, 2, &again);
    cr_assert(again.answered && again.generation == 1, "%d", again.generation);
    world_close(&w);
}

/* Only the end of its session takes an instance out. */
Test(instance, is_waited_for_until_its_session_ends)
{
    struct world w;
    struct client c[2] = {{.instance = "one"}, {.instance = "two"}}, third = {0};
    world_open(&w, 16, NULL);
    settle(&w, c, 2);
    client_enter(&w, &third, range);
    for (int s = 0; s < 40 && !third.answered; s++) {
        if (!c[0].asking) {
            client_join(&w, &c[0], 5, range);
        }
        world_run(&w, SECOND_NS);
    }
    cr_assert(third.answered && third.error == 0);
    cr_assert_eq(c[0].member_count, 2, "it was silent for longer than its session");
    world_close(&w);
}

Test(instance, can_be_removed_by_its_name_alone)
{
    struct world w;
    struct client c[2] = {{.instance = "one"}, {.instance = "two"}}, admin = {.instance = "two"};
    world_open(&w, 17, NULL);
    settle(&w, c, 2);
    client_leave(&w, &admin);
    cr_assert_eq(admin.error, 0);
    client_heartbeat(&w, &c[1]);
    cr_assert_eq(c[1].error, ERR_UNKNOWN_MEMBER_ID);
    world_close(&w);
}
