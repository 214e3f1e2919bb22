/* SPDX-License-Identifier: Apache-2.0 */

/* Brokers that come, live, leave and die, and what becomes of their partitions. */
#include "cluster_world.h"

#include <inttypes.h>

#include <criterion/criterion.h>

static const int32_t nodes[] = {1, 2, 3, 4, 5, 6};

static const struct image_broker *broker(const struct world *w, int32_t id)
{
    return image_broker_by_id(w->b.image, id);
}

Test(cluster, a_broker_comes_is_let_in_and_dies)
{
    struct world w;
    int64_t epoch = -1;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    int64_t offset = w.b.next_offset;
    struct cluster_registration q = registration_of(&w, 3, 1);
    q.rack = "east";
    cr_assert_eq(w_register(&w, &q, &epoch), 0);
    cr_assert_eq(epoch, offset, "the epoch is the offset of the registration");
    cr_assert(broker(&w, 3)->fenced);
    cr_assert_str_eq(broker(&w, 3)->rack, "east");
    struct cluster_heartbeat beat = {.broker = 3, .epoch = epoch, .offset = epoch - 1};
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_heartbeat(&w.k, &beat, &answer)), 0);
    cr_assert(answer.fenced && !answer.caught_up, "it has not read its registration");
    beat.offset = epoch;
    beat.want_fence = true;
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_heartbeat(&w.k, &beat, &answer)), 0);
    cr_assert(answer.fenced && answer.caught_up, "it does not want to be let in yet");
    cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    cr_assert(!answer.fenced && !broker(&w, 3)->fenced);
    w_topic(&w, "t", 2, nodes, 3, "2");
    w.now += WORLD_TIMEOUT - 1;
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    cr_assert_eq(w_expire(&w), 0);
    cr_assert_eq(cluster_sessions_next(&w.sessions, w.b.image), w.now + 1);
    cr_assert_not(broker(&w, 3)->fenced, "not yet");
    w.now++;
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_expire(&w), 0);
    cr_assert(broker(&w, 3)->fenced);
    cr_assert_eq(w.b.batches, batches + 1);
    EXPECT(&w, "t", 0, "1 123/12//");
    EXPECT(&w, "t", 1, "1 123/12//");
    cr_assert_eq(w_expire(&w), 0);
    cr_assert_eq(w.b.batches, batches + 1, "once is enough");
    cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    cr_assert_not(broker(&w, 3)->fenced, "the same life may come back");
    world_close(&w);
}

/* None is elected on a broker that dies in the same moment. */
Test(cluster, several_die_at_once)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 3);
    w_topic(&w, "t", 1, nodes, 3, "1");
    w_topic(&w, "u", 1, nodes, 2, "1");
    w.now += WORLD_TIMEOUT - 1;
    cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    w.now++;
    cr_assert_eq(w_expire(&w), 0);
    EXPECT(&w, "t", 0, "3 123/3//");
    EXPECT(&w, "u", 0, "- 12//12/");
    cr_assert_eq(w_partition(&w, "t", 0)->leader_epoch, 1, "one election");
    cr_assert(broker(&w, 1)->fenced && broker(&w, 2)->fenced);
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    EXPECT(&w, "u", 0, "2 12/2//");
    world_close(&w);
}

/* Whoever knows that its process is gone need not wait; what is heard of it later says otherwise. */
Test(cluster, a_session_is_over)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    w.now += 5;
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    int64_t epoch = broker(&w, 1)->epoch;
    cr_assert_eq(cluster_session_heard(&w.sessions, 1, epoch), w.now);
    cr_assert_eq(cluster_session_heard(&w.sessions, 1, epoch + 1), 0);
    cr_assert_not(cluster_session_over(&w.sessions, 1, epoch - 1), "another life");
    cr_assert_not(cluster_session_over(&w.sessions, 9, epoch));
    cr_assert(cluster_session_lives(&w.sessions, 1, epoch, w.now));
    cr_assert(cluster_session_over(&w.sessions, 1, epoch));
    cr_assert_not(cluster_session_over(&w.sessions, 1, epoch), "it is already");
    cr_assert_not(cluster_session_lives(&w.sessions, 1, epoch, w.now));
    cr_assert_eq(cluster_sessions_next(&w.sessions, w.b.image), 0);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert(cluster_session_lives(&w.sessions, 1, epoch, w.now), "it was heard in between");
    cr_assert_eq(w_expire(&w), 0);
    cr_assert_not(broker(&w, 1)->fenced);
    cr_assert(cluster_session_over(&w.sessions, 1, epoch));
    cr_assert_eq(w_expire(&w), 0);
    cr_assert(broker(&w, 1)->fenced);
    EXPECT(&w, "t", 0, "2 12/2//");
    int64_t next;
    struct cluster_registration q = registration_of(&w, 1, 2);
    cr_assert_eq(w_register(&w, &q, &next), 0, "its next life need not wait either");
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert_not(broker(&w, 1)->fenced);
    world_close(&w);
}

/* Whether the `life`-th process of broker 1 hears that another one is that broker. */
static bool is_displaced_by(struct world *w, uint64_t life)
{
    int64_t epoch;
    struct cluster_registration q = registration_of(w, 1, life);
    cr_assert_eq(w_register(w, &q, &epoch), ERR_DUPLICATE_BROKER_REGISTRATION);
    return w->k.displaced;
}

/* What was on its way from a process that has ended may still come; what comes again and again is of one that lives. */
Test(cluster, a_second_process_beside_one_that_lives)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    cr_assert_not(is_displaced_by(&w, 2));
    for (int beat = 1; beat <= 3; beat++) {
        cr_assert_not(is_displaced_by(&w, 2), "%d beats", beat - 1);
        w.now += WORLD_TIMEOUT / 4;
        cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    }
    cr_assert(is_displaced_by(&w, 2));
    cr_assert_not(is_displaced_by(&w, 3), "a third one is another");
    int64_t epoch = broker(&w, 1)->epoch;
    cr_assert(cluster_session_beats(&w.sessions, 1, epoch, w.now));
    cr_assert_not(cluster_session_beats(&w.sessions, 1, epoch - 1, w.now), "another life");
    cr_assert_not(cluster_session_beats(&w.sessions, 1, epoch, w.now + WORLD_TIMEOUT / 2));
    cluster_sessions_begin(&w.sessions, w.b.image, WORLD_TIMEOUT, w.now);
    cr_assert(cluster_session_lives(&w.sessions, 1, epoch, w.now));
    cr_assert_not(cluster_session_beats(&w.sessions, 1, epoch, w.now), "not heard by this one");
    world_close(&w);
}

Test(cluster, registrations_that_are_refused)
{
    static const struct {
        const char *name;
        const char *cluster_id;
        int32_t broker;
        uint64_t life;
        uint32_t endpoints;
        int16_t least, most;
        int error;
        const char *why;
    } cases[] = {
        {"another cluster", "zzz", 3, 1, 1, 1, 14, ERR_INCONSISTENT_CLUSTER_ID, "belongs to"},
        {"no listener", NULL, 3, 1, 0, 1, 14, ERR_INVALID_REGISTRATION, "listeners"},
        {"a negative id", NULL, -1, 1, 1, 1, 14, ERR_INVALID_REGISTRATION, "Broker -1"},
        {"too old", NULL, 3, 1, 1, 1, 13, ERR_UNSUPPORTED_VERSION, "upgrade the broker"},
        {"too new", NULL, 3, 1, 1, 15, 20, ERR_UNSUPPORTED_VERSION, "is at 14"},
        {"alive elsewhere", NULL, 1, 2, 1, 1, 14, ERR_DUPLICATE_BROKER_REGISTRATION, "node.id"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct world w;
        int64_t epoch = -7;
        world_open(&w, 2);
        uint32_t batches = w.b.batches;
        struct cluster_registration q = registration_of(&w, cases[i].broker, cases[i].life);
        q.cluster_id = cases[i].cluster_id ? cases[i].cluster_id : q.cluster_id;
        q.endpoint_count = cases[i].endpoints;
        q.metadata_version_min = cases[i].least;
        q.metadata_version_max = cases[i].most;
        int error = w_register(&w, &q, &epoch);
        cr_expect_eq(error, cases[i].error, "%s: %s", cases[i].name, error_name(error));
        cr_expect(strstr(w.k.why, cases[i].why), "%s: says \"%s\"", cases[i].name, w.k.why);
        cr_expect_eq(epoch, -7);
        cr_expect_eq(w.b.batches, batches);
        world_close(&w);
    }
}

/* P24, C1: whatever a broker was, its older life is fenced when it gets an epoch. */
Test(cluster, a_new_life_of_a_broker)
{
    struct world w;
    int64_t epoch = -1;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "2");
    w_topic(&w, "alone", 1, nodes, 1, "1");
    int64_t first = broker(&w, 1)->epoch;
    struct cluster_registration same = registration_of(&w, 1, 1);
    cr_assert_eq(w_register(&w, &same, &epoch), 0);
    cr_assert_eq(epoch, first, "an answer was lost: the same epoch");
    cr_assert_not(broker(&w, 1)->fenced);
    EXPECT(&w, "t", 0, "1 12/12//");
    w.now += WORLD_TIMEOUT;
    struct cluster_registration next = registration_of(&w, 1, 2);
    cr_assert_eq(w_register(&w, &next, &epoch), 0, "%s", w.k.why);
    cr_assert_gt(epoch, first);
    cr_assert_eq(broker(&w, 1)->epoch, epoch);
    cr_assert_eq(image_offset(w.b.image), epoch, "its record is the last of the batch");
    cr_assert(broker(&w, 1)->fenced);
    EXPECT(&w, "t", 0, "2 12/2/1/");
    EXPECT(&w, "alone", 0, "- 1//1/");
    struct cluster_heartbeat old = {.broker = 1, .epoch = first, .offset = 1000};
    struct cluster_heartbeat_answer answer;
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_heartbeat(&w.k, &old, &answer)), ERR_STALE_BROKER_EPOCH);
    old.broker = 9;
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_heartbeat(&w.k, &old, &answer)), ERR_BROKER_ID_NOT_REGISTERED);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    EXPECT(&w, "alone", 0, "1 1/1//");
    cr_assert_eq(w_partition(&w, "alone", 0)->leader_epoch, 2, "P2a");
    world_close(&w);
}

/* P23: before the epoch is granted, by the same batch. */
Test(cluster, lost_partitions)
{
    struct world w;
    int64_t epoch;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 3);
    w_topic(&w, "t", 3, nodes, 2, "2");
    struct uuid id = image_topic_by_name(w.b.image, bytes_of_string("t"))->id;
    struct meta_lost lost[] = {{id_of(1), 0, true}, {id, 2, false}, {id, 0, true}};
    cluster_lost_sort(lost, 3);
    w.now += WORLD_TIMEOUT;
    struct cluster_registration q = registration_of(&w, 1, 2);
    q.lost = lost;
    q.lost_count = 3;
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    cr_assert_eq(w_register(&w, &q, &epoch), 0);
    cr_assert_eq(w.b.batches, batches + 1);
    EXPECT(&w, "t", 0, "2 12/2//1 !1");
    EXPECT(&w, "t", 1, "2 12/2/1/");
    EXPECT(&w, "t", 2, "2 12/2//1");
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    const int32_t both[] = {2, 1};
    cr_assert_eq(w_alter(&w, "t", 0, both, 2), ERR_INELIGIBLE_REPLICA);
    cr_assert_eq(w_alter(&w, "t", 2, both, 2), 0);
    EXPECT(&w, "t", 2, "2 12/21//");
    w.now += WORLD_TIMEOUT;
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    q = registration_of(&w, 1, 3);
    cr_assert_eq(w_register(&w, &q, &epoch), 0);
    EXPECT(&w, "t", 0, "2 12/2//1 !1"); /* until it says that it is repaired */
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_report(&w.k, 1, id, 0, CLUSTER_REPAIRED)), 0);
    EXPECT(&w, "t", 0, "2 12/2//1");
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_report(&w.k, 2, id, 1, CLUSTER_DAMAGED)),
                 ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, "nobody else may lead");
    EXPECT(&w, "t", 1, "2 12/2/1/");
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_report(&w.k, 2, id, 1, CLUSTER_DAMAGED)), 0);
    EXPECT(&w, "t", 1, "1 12/1//2 !2");
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_report(&w.k, 2, id, 1, CLUSTER_REPAIRED)), 0);
    EXPECT(&w, "t", 1, "1 12/1//2");
    world_close(&w);
}

Test(cluster, controlled_shutdown)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 3);
    w_topic(&w, "t", 1, nodes, 3, "2");
    w_topic(&w, "alone", 1, nodes, 1, "1");
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert(broker(&w, 1)->shutting_down);
    cr_assert_not(answer.should_shut_down, "it hands over");
    EXPECT(&w, "t", 0, "2 123/123//");
    EXPECT(&w, "alone", 0, "1 1/1//");
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert_not(answer.should_shut_down, "the others do not know it yet");
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert_not(answer.should_shut_down, "one does not");
    cr_assert_eq(w_heartbeat(&w, 3, false, &answer), 0);
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert(answer.should_shut_down);
    EXPECT(&w, "alone", 0, "1 1/1//");
    struct cluster_heartbeat last = {
        .broker = 1, .epoch = broker(&w, 1)->epoch, .want_fence = true, .want_shut_down = true};
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_heartbeat(&w.k, &last, &answer)), 0);
    cr_assert(answer.should_shut_down && answer.fenced);
    EXPECT(&w, "t", 0, "2 123/23//");
    EXPECT(&w, "alone", 0, "- 1//1/");
    struct cluster_registration q = registration_of(&w, 1, 2);
    int64_t epoch;
    cr_assert_eq(w_register(&w, &q, &epoch), 0, "it need not wait for its old session");
    cr_assert_not(broker(&w, 1)->shutting_down);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    EXPECT(&w, "alone", 0, "1 1/1//");
    world_close(&w);
}

/* An operator who has drained a broker wants it back, in the same life. */
Test(cluster, a_shutdown_is_taken_back)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    int64_t epoch = broker(&w, 1)->epoch;
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    EXPECT(&w, "t", 0, "2 12/12//");
    const int32_t one[] = {2}, both[] = {2, 1};
    cr_assert_eq(w_alter(&w, "t", 0, one, 1), 0);
    EXPECT(&w, "t", 0, "2 12/2//");
    cr_assert_eq(w_alter(&w, "t", 0, both, 2), 0, "it does not lead, and has everything");
    EXPECT(&w, "t", 0, "2 12/21//");
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert(answer.should_shut_down);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert(!answer.should_shut_down && !answer.fenced);
    cr_assert_not(broker(&w, 1)->shutting_down);
    cr_assert_eq(broker(&w, 1)->epoch, epoch);
    cr_assert_str_eq(broker(&w, 1)->endpoints[0].host, broker(&w, 2)->endpoints[0].host);
    cr_assert(uuid_equal(broker(&w, 1)->directory, id_of(9001)));
    cr_assert_eq(w_alter(&w, "t", 0, both, 2), 0);
    cr_assert_eq(w_elect(&w, "t", 0, false), 0);
    EXPECT(&w, "t", 0, "1 12/21//");
    uint32_t batches = w.b.batches;
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert_eq(w.b.batches, batches, "once is enough");
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    cr_assert_not(answer.should_shut_down, "what was handed over then says nothing of now");
    world_close(&w);
}

/* What had no leader because its only replica in sync wanted to go has one again. */
Test(cluster, a_shutdown_that_is_taken_back_leads_what_nobody_leads)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "alone", 1, nodes, 1, "1");
    cr_assert_eq(w_heartbeat(&w, 1, true, &answer), 0);
    EXPECT(&w, "alone", 0, "1 1/1//");
    cr_assert_eq(w_fence(&w, 1), 0);
    EXPECT(&w, "alone", 0, "- 1//1/");
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    cr_assert(!broker(&w, 1)->fenced && broker(&w, 1)->shutting_down);
    EXPECT(&w, "alone", 0, "- 1//1/");
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    EXPECT(&w, "alone", 0, "1 1/1//");
    world_close(&w);
}

Test(cluster, a_broker_is_forgotten)
{
    struct world w;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "2");
    cr_assert_eq(w_unregister(&w, 1), 0);
    cr_assert_null(broker(&w, 1));
    EXPECT(&w, "t", 0, "2 12/2/1/");
    cr_assert_eq(w_unregister(&w, 1), ERR_BROKER_ID_NOT_REGISTERED);
    cr_assert(strstr(w.k.why, "Broker 1 is not registered"));
    struct cluster_registration q = registration_of(&w, 1, 2);
    int64_t epoch;
    cr_assert_eq(w_register(&w, &q, &epoch), 0, "it may come back");
    cr_assert_eq(w_fence(&w, 2), 0);
    EXPECT(&w, "t", 0, "- 12//12/");
    world_close(&w);
}

/* A new controller knows no sessions: everybody gets a whole one. */
Test(cluster, another_controller)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    w.now += 10 * WORLD_TIMEOUT;
    cluster_sessions_begin(&w.sessions, w.b.image, WORLD_TIMEOUT, w.now);
    cr_assert_eq(w_expire(&w), 0);
    cr_assert_not(broker(&w, 2)->fenced);
    cr_assert_eq(cluster_sessions_next(&w.sessions, w.b.image), w.now + WORLD_TIMEOUT);
    w.now += WORLD_TIMEOUT;
    cr_assert_eq(w_expire(&w), 0);
    cr_assert(broker(&w, 2)->fenced);
    cr_assert_eq(cluster_sessions_next(&w.sessions, w.b.image), UINT64_MAX);
    cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
    EXPECT(&w, "t", 0, "2 12/2//");
    world_close(&w);
}

/* --- partitions ------------------------------------------------------------------------------- */

/* Two requests for one partition in one operation: the second sees the first. */
Test(cluster, a_partition_named_twice)
{
    struct world w;
    struct isr_state after;
    world_open(&w, 3);
    w_topic(&w, "t", 2, nodes, 3, "1");
    struct uuid id = image_topic_by_name(w.b.image, bytes_of_string("t"))->id;
    const struct isr_member members[] = {{1, broker(&w, 1)->epoch}, {2, broker(&w, 2)->epoch}};
    struct isr_request q = {.sender = 1, .members = members, .member_count = 2};
    w_begin(&w);
    cr_assert_eq(cluster_alter(&w.k, id, 0, &q, &after), 0);
    cr_assert_eq(after.isr.count, 2);
    cr_assert_eq(after.partition_epoch, 1);
    cr_assert_eq(cluster_alter(&w.k, id, 0, &q, &after), ERR_INVALID_UPDATE_VERSION);
    cr_assert_eq(cluster_alter(&w.k, id, 1, &q, &after), 0);
    cr_assert_eq(cluster_alter(&w.k, id, 2, &q, &after), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    cr_assert_eq(cluster_alter(&w.k, id_of(1), 0, &q, &after), ERR_UNKNOWN_TOPIC_ID);
    cr_assert_eq(w_end(&w, 0), 0);
    EXPECT(&w, "t", 0, "1 123/12//");
    EXPECT(&w, "t", 1, "1 123/12//");
    world_close(&w);
}

struct listed {
    char text[64];
};

static void list(void *context, const struct image_topic *topic, int32_t partition)
{
    struct listed *l = context;
    size_t size = strlen(l->text);
    snprintf(l->text + size, sizeof l->text - size, "%s-%d ", topic->name, (int)partition);
}

Test(cluster, reassignments)
{
    struct world w;
    struct listed l = {""};
    static const int32_t away[] = {3, 4}, one[] = {3}, nobody[] = {9}, all[] = {1, 2, 3, 4};
    world_open(&w, 4);
    w_topic(&w, "a", 2, nodes, 2, "1");
    w_topic(&w, "b", 2, nodes, 2, "1");
    cr_assert_eq(w_reassign(&w, "a", 1, away, 2), 0);
    cr_assert_eq(w_reassign(&w, "b", 0, away, 2), 0);
    EXPECT(&w, "a", 1, "1 3412/12// +34 -12");
    cr_assert(uuid_equal(w_partition(&w, "a", 1)->directories[1], id_of(9004)));
    cr_assert(uuid_equal(w_partition(&w, "a", 1)->directories[2], id_of(9001)));
    cluster_reassignments(w.b.image, list, &l);
    cr_assert_str_eq(l.text, "a-1 b-0 ");
    cr_assert_eq(w_alter(&w, "a", 1, all, 4), 0);
    EXPECT(&w, "a", 1, "3 34/34//");
    cr_assert_eq(w_reassign(&w, "b", 0, NULL, 0), 0);
    EXPECT(&w, "b", 0, "1 12/12//");
    cr_assert_eq(w_reassign(&w, "b", 0, NULL, 0), ERR_NO_REASSIGNMENT_IN_PROGRESS);
    cr_assert_str_eq(w.k.why, "No partition reassignment is in progress.");
    cr_assert_eq(w_reassign(&w, "b", 0, nobody, 1), ERR_INVALID_REPLICA_ASSIGNMENT);
    cr_assert(strstr(w.k.why, "broker 9"));
    cr_assert_eq(w_reassign(&w, "b", 7, one, 1), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_reassign(&w.k, "b", 0, one, 1, false)),
                 ERR_INVALID_REPLICATION_FACTOR);
    cr_assert(strstr(w.k.why, "from 2 to 1"));
    world_close(&w);
}

Test(cluster, elections)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    world_open(&w, 2);
    w_topic(&w, "t", 1, nodes, 2, "1");
    cr_assert_eq(w_elect(&w, "t", 0, false), ERR_ELECTION_NOT_NEEDED);
    cr_assert_str_eq(w.k.why, "Leader election not needed for topic partition.");
    cr_assert_eq(w_fence(&w, 1), 0);
    cr_assert_eq(w_elect(&w, "t", 0, false), ERR_PREFERRED_LEADER_NOT_AVAILABLE);
    cr_assert(strstr(w.k.why, "broker 1"));
    cr_assert_eq(w_fence(&w, 2), 0);
    cr_assert_eq(w_elect(&w, "t", 0, true), ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    EXPECT(&w, "t", 0, "- 12//2/");
    cr_assert_eq(w_elect(&w, "t", 0, true), 0);
    EXPECT(&w, "t", 0, "1 12/1//");
    cr_assert_eq(w.k.unclean, 1, "it is counted");
    cr_assert(w_partition(&w, "t", 0)->recovering);
    cr_assert_eq(w_partition(&w, "t", 0)->unclean_epoch, w_partition(&w, "t", 0)->leader_epoch);
    cr_assert_eq(w_elect(&w, "zzz", 0, true), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    world_close(&w);
}

/* P27: by one batch. */
Test(cluster, a_lower_minimum)
{
    static const struct {
        const char *topic; /* NULL: the default of all */
        const char *value;
        const char *after; /* of `own` and of `common` */
        const char *after_common;
    } cases[] = {
        {"own", "1", "1 12/1//", "1 12/1/2/"},
        {NULL, "1", "1 12/1/2/", "1 12/1//"},
        {"own", "3", "1 12/1/2/", "1 12/1/2/"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct world w;
        world_open(&w, 2);
        const struct meta_config_change two = {"min.insync.replicas", "2", META_CONFIG_SET};
        struct meta_op all = {
            .kind = META_ALTER_CONFIGS, .broker = -1, .changes = &two, .change_count = 1};
        cr_assert_eq(bench_run(&w.b, &all), 0, "%s", all.why);
        w_topic(&w, "own", 1, nodes, 2, "2");
        w_topic(&w, "common", 1, nodes, 2, NULL);
        cr_assert_eq(w_fence(&w, 2), 0);
        EXPECT(&w, "own", 0, "1 12/1/2/");
        EXPECT(&w, "common", 0, "1 12/1/2/");
        const struct meta_config_change change = {"min.insync.replicas", cases[i].value,
                                                  META_CONFIG_SET};
        struct meta_op op = {.kind = META_ALTER_CONFIGS,
                             .topic = cases[i].topic,
                             .broker = -1,
                             .changes = &change,
                             .change_count = 1,
                             .validate_only = true};
        uint32_t batches = w.b.batches;
        cr_assert_eq(bench_run(&w.b, &op), 0, "%s", op.why);
        cr_assert_eq(w.b.batches, batches, "only looked at");
        op.validate_only = false;
        cr_assert_eq(bench_run(&w.b, &op), 0, "%s", op.why);
        cr_assert_eq(w.b.batches, batches + 1);
        EXPECT(&w, "own", 0, cases[i].after);
        EXPECT(&w, "common", 0, cases[i].after_common);
        world_close(&w);
    }
}

/* Of the default of all: what was eligible only for the higher one is so no more, by the same batch. */
Test(cluster, a_minimum_that_falls_back_to_the_configuration)
{
    struct world w;
    world_open(&w, 2);
    w.b.limits.min_insync_replicas = 2;
    struct meta_op state = {.kind = META_STATE_CONFIGS};
    cr_assert_eq(bench_run(&w.b, &state), 0, "%s", state.why);
    w_topic(&w, "common", 1, nodes, 2, NULL);
    cr_assert_eq(w_fence(&w, 2), 0);
    EXPECT(&w, "common", 0, "1 12/1/2/");
    w.b.limits.min_insync_replicas = 1; /* another controller, whose file says so */
    const struct meta_config_change change = {"min.insync.replicas", NULL, META_CONFIG_DELETE};
    struct meta_op op = {
        .kind = META_ALTER_CONFIGS, .broker = -1, .changes = &change, .change_count = 1};
    uint32_t batches = w.b.batches;
    cr_assert_eq(bench_run(&w.b, &op), 0, "%s", op.why);
    cr_assert_eq(w.b.batches, batches + 1);
    cr_assert_eq(image_cluster_min_isr(w.b.image), 1);
    EXPECT(&w, "common", 0, "1 12/1//");
    world_close(&w);
}

/* The operator's choice takes effect where somebody waits for it, and says so. */
Test(cluster, unclean_elections_are_allowed)
{
    for (int all = 0; all < 2; all++) {
        struct world w;
        world_open(&w, 2);
        w_topic(&w, "t", 1, nodes, 2, "1");
        cr_assert_eq(w_fence(&w, 1), 0);
        cr_assert_eq(w_fence(&w, 2), 0);
        struct cluster_heartbeat_answer answer;
        cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
        EXPECT(&w, "t", 0, "- 12//2/");
        const struct meta_config_change change = {"unclean.leader.election.enable", "true",
                                                  META_CONFIG_SET};
        struct meta_op op = {.kind = META_ALTER_CONFIGS,
                             .topic = all ? NULL : "t",
                             .broker = -1,
                             .changes = &change,
                             .change_count = 1};
        uint32_t batches = w.b.batches;
        cr_assert_eq(bench_run(&w.b, &op), 0, "%s", op.why);
        cr_assert_eq(w.b.batches, batches + 1);
        EXPECT(&w, "t", 0, "1 12/1//");
        cr_assert(w_partition(&w, "t", 0)->recovering);
        cr_assert_eq(w_heartbeat(&w, 2, false, &answer), 0);
        cr_assert_eq(w_fence(&w, 1), 0);
        EXPECT(&w, "t", 0, "2 12/2//");
        cr_assert_eq(w.k.unclean, 1, "it is counted");
        world_close(&w);
    }
}

/* --- many ------------------------------------------------------------------------------------- */

Test(cluster, leaders_go_back_in_bounded_batches)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    static const int32_t both[] = {2, 1};
    world_open(&w, 2);
    w_topic(&w, "t", 1500, nodes, 2, "1");
    cr_assert_eq(w_fence(&w, 1), 0);
    cr_assert_eq(w.k.changed, 1500, "hundreds of partitions are one batch");
    cr_assert_not(w.k.more);
    cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
    for (int32_t i = 0; i < 1500; i++) {
        cr_assert_eq(w_alter(&w, "t", i, both, 2), 0);
    }
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_balance(&w.k)), 0);
    cr_assert_eq(w.k.changed, CLUSTER_BALANCE_MAX);
    cr_assert(w.k.more);
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_balance(&w.k)), 0);
    cr_assert_eq(w.k.changed, 1500 - CLUSTER_BALANCE_MAX);
    cr_assert_not(w.k.more);
    for (int32_t i = 0; i < 1500; i++) {
        EXPECT(&w, "t", i, "1 12/21//");
    }
    world_close(&w);
}

/* More partitions than a batch holds: several, each sound; the broker's record is in the last. */
Test(cluster, a_broker_of_very_many_partitions)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    int64_t epoch = -1;
    char name[16];
    world_open(&w, 3);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "t%d", i);
        w_topic(&w, name, 7000, nodes, 2, "2");
    }
    uint32_t rounds = 0, changed = 0;
    do {
        cr_assert_eq(w_fence(&w, 1), 0);
        changed += w.k.changed;
        cr_assert_eq(broker(&w, 1)->fenced, !w.k.more);
        rounds++;
    } while (w.k.more);
    cr_assert_eq(changed, 21000);
    cr_assert(rounds > 1 && rounds < 10, "%u batches", rounds);
    EXPECT(&w, "t2", 6999, "2 12/2/1/");
    cr_assert_eq(w_fence(&w, 2), 0);
    while (w.k.more) {
        cr_assert_eq(w_fence(&w, 2), 0);
    }
    EXPECT(&w, "t2", 6999, "- 12//12/");
    rounds = 0;
    do {
        cr_assert_eq(w_heartbeat(&w, 1, false, &answer), 0);
        rounds++;
    } while (w.k.more);
    cr_assert_gt(rounds, 1);
    EXPECT(&w, "t2", 6999, "1 12/1/2/");
    w.now += WORLD_TIMEOUT;
    struct cluster_registration q = registration_of(&w, 1, 2);
    rounds = 0;
    do {
        cr_assert_eq(epoch, -1);
        cr_assert_eq(w_register(&w, &q, &epoch), 0);
        rounds++;
    } while (w.k.more);
    cr_assert_gt(rounds, 1);
    cr_assert_eq(broker(&w, 1)->epoch, epoch);
    EXPECT(&w, "t2", 6999, "- 12//12/");
    world_close(&w);
}

Test(cluster, internal_topics_grow)
{
    struct world w;
    struct cluster_heartbeat_answer answer;
    bool later;
    world_open(&w, 1);
    w_topic(&w, "__consumer_offsets", 12, nodes, 1, NULL);
    w_topic(&w, "mine", 1, nodes, 1, NULL);
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_grow(&w.k, false, &later)), 0);
    cr_assert_eq(w.k.changed, 0, "there is nobody to grow to");
    for (int32_t id = 2; id <= 4; id++) {
        struct cluster_registration q = registration_of(&w, id, 1);
        int64_t epoch;
        q.rack = id == 2 ? NULL : "other"; /* 1 has none either */
        cr_assert_eq(w_register(&w, &q, &epoch), 0);
        cr_assert_eq(w_heartbeat(&w, id, false, &answer), 0);
    }
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_grow(&w.k, false, &later)), 0);
    cr_assert_eq(w.k.changed, 12);
    uint32_t holds[5] = {0};
    for (int32_t i = 0; i < 12; i++) {
        const struct image_partition *p = w_partition(&w, "__consumer_offsets", i);
        cr_assert_eq(p->replica_count, 3);
        cr_assert_eq(p->leader, 1);
        cr_assert_eq(p->more->adding.count, 2);
        cr_assert_eq(p->isr_count, 1, "P28: the leader takes them in");
        for (int k = 0; k < 3; k++) {
            holds[p->replicas[k]]++;
        }
    }
    cr_assert_eq(holds[1], 12);
    cr_assert_eq(holds[2] + holds[3] + holds[4], 24);
    cr_assert(holds[2] >= 6 && holds[3] >= 6 && holds[4] >= 6, "%u %u %u", holds[2], holds[3],
              holds[4]);
    w_begin(&w);
    cr_assert_eq(w_end(&w, cluster_grow(&w.k, false, &later)), 0);
    cr_assert_eq(w.k.changed, 0, "one at a time");
    EXPECT(&w, "mine", 0, "1 1/1//");
    world_close(&w);
}
