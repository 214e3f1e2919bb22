/* SPDX-License-Identifier: Apache-2.0 */

/* Operations submitted at a node that does not lead: sent to the one that does, answered, given up. */
#include "open.h"

#include <criterion/criterion.h>

static struct cluster_world w;

/* An operation on its way to the metadata log of a member. */
struct asked {
    struct member *member;
    struct io_message go;
    struct meta_op op;
    uint64_t done_ns;
    bool done;
};

static void asked_done(struct meta_op *op)
{
    struct asked *a = container_of(op, struct asked, op);
    a->done = true;
    a->done_ns = sim_now(w.sim);
}

static void asked_here(struct io_message *message, struct io *io)
{
    struct asked *a = container_of(message, struct asked, go);
    meta_submit(a->member->node->meta, io, &a->op);
}

static void ask_node(struct asked *a, struct member *m, struct meta_op op)
{
    *a = (struct asked){.member = m, .op = op, .go = {.deliver = asked_here}};
    a->op.done = asked_done;
    io_post(sim_node_shard(m->machine, 0), 0, &a->go);
}

static void wait_for(struct asked *a, uint64_t ns)
{
    for (uint64_t until = sim_now(w.sim) + ns; !a->done; world_run(&w, CLUSTER_MS)) {
        cr_assert_lt(sim_now(w.sim), until, "not answered");
    }
}

static void open_three(uint64_t seed)
{
    open_world_in(&w, seed, 3);
    for (uint32_t i = 0; i < w.count; i++) {
        member_start(&w.members[i]);
    }
    world_settle(&w, 10000 * CLUSTER_MS);
}

static struct member *follower(unsigned number)
{
    const struct member *leader = world_leader(&w);
    for (uint32_t i = 0; i < w.count; i++) {
        if (&w.members[i] != leader && number-- == 0) {
            return &w.members[i];
        }
    }
    cr_assert_fail("nobody follows");
    return NULL;
}

static const struct image_topic *first_topic(const struct member *m)
{
    cr_assert_gt(image_topic_count(m->node->image), 0);
    return image_topic_at(m->node->image, 0);
}

/* --- AlterPartition --------------------------------------------------------------------------- */

struct proposal {
    struct asked asked;
    struct isr_member member;
    struct meta_alteration list[2];
};

/* Of a partition that the node leads, if it leads one, which its image then shows. */
static void propose(struct proposal *p, struct member *m)
{
    const struct image_topic *t = first_topic(m);
    int64_t epoch = m->node->meta_open.broker_epoch;
    int32_t number = 0;
    for (int32_t i = 0; i < t->partition_count; i++) {
        number = t->partitions[i].leader == m->id ? i : number;
    }
    const struct image_partition *at = &t->partitions[number];
    p->member = (struct isr_member){m->id, epoch};
    p->list[0] = (struct meta_alteration){.topic_id = t->id,
                                          .partition = number,
                                          .leader_epoch = at->leader_epoch,
                                          .partition_epoch = at->partition_epoch,
                                          .members = &p->member,
                                          .member_count = 1};
    p->list[1] = (struct meta_alteration){.topic_id = t->id, .partition = 1000};
    ask_node(&p->asked, m,
             (struct meta_op){.kind = META_ALTER_PARTITIONS,
                              .broker = m->id,
                              .broker_epoch = epoch,
                              .alterations = p->list,
                              .alteration_count = 2});
}

Test(operations, proposals_reach_the_controller_and_come_back)
{
    open_three(30);
    for (uint32_t i = 0; i < w.count; i++) {
        struct member *m = &w.members[i];
        struct proposal p, copy;
        propose(&p, m);
        propose(&copy, m);
        wait_for(&p.asked, 1000 * CLUSTER_MS);
        wait_for(&copy.asked, 1000 * CLUSTER_MS);
        cr_assert_eq(p.asked.op.error, 0, "%s", p.asked.op.why);
        cr_assert_eq(p.list[0].error, 0);
        cr_assert(p.list[0].leader_now == m->id && p.list[0].isr_now_count == 1);
        cr_assert_eq(p.list[0].partition_epoch_now, p.list[0].partition_epoch + 1);
        cr_assert_eq(p.list[1].error, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        cr_assert_eq(p.list[1].leader_now, -1);
        cr_assert_eq(copy.list[0].error, ERR_INVALID_UPDATE_VERSION, "the second copy is void");
        cr_assert_eq(copy.list[0].partition_epoch_now, p.list[0].partition_epoch_now);
    }
    world_settle(&w, 10000 * CLUSTER_MS);
    world_close(&w);
}

/* It is not sent again by itself, and its owner does not wait for another leader. */
Test(operations, a_proposal_ends_with_its_connection)
{
    for (uint64_t how = 0; how < 3; how++) {
        struct proposal p;
        open_three(40 + how);
        struct member *old = world_leader(&w), *m = follower(0);
        uint64_t began = sim_now(w.sim);
        if (how == 0) {
            sim_node_kill(old->machine);
        } else if (how == 1) {
            sim_node_pause(old->machine, began + 5000 * CLUSTER_MS);
        } else {
            member_cut(old, true, true);
        }
        propose(&p, m);
        wait_for(&p.asked, 1100 * CLUSTER_MS);
        cr_assert_eq(p.asked.op.error, ERR_REQUEST_TIMED_OUT, "%zu: %s", (size_t)how,
                     error_name(p.asked.op.error));
        world_run(&w, 4000 * CLUSTER_MS);
        propose(&p, m);
        wait_for(&p.asked, 2000 * CLUSTER_MS);
        cr_assert(p.asked.op.error == 0 && p.list[0].error == 0, "another leads: %s %s",
                  p.asked.op.why, error_name(p.list[0].error));
        world_heal(&w);
        world_settle(&w, 20000 * CLUSTER_MS);
        world_close(&w);
    }
}

/* One that came from another node is decided here or not at all. */
Test(operations, a_proposal_is_not_sent_on)
{
    struct proposal p;
    open_three(50);
    propose(&p, follower(0));
    p.asked.op.here = true;
    wait_for(&p.asked, 1000 * CLUSTER_MS);
    cr_assert_eq(p.asked.op.error, ERR_NOT_CONTROLLER);
    world_close(&w);
}

static const struct image_partition *first_partition(const struct member *m)
{
    return &first_topic(m)->partitions[0];
}

/* --- what operators ask ----------------------------------------------------------------------- */

Test(operations, of_an_operator_at_any_node)
{
    open_three(60);
    for (uint32_t i = 0; i < w.count; i++) {
        struct member *m = &w.members[i];
        const char *topic = first_topic(m)->name;
        const int32_t other[] = {m->id % 3 + 1}, nobody[] = {9};
        struct meta_election elections[] = {{topic, 0, 1}, {"none", 0, 1}};
        struct meta_reassignment reassignments[] = {
            {topic, 0, other, 1, 1, ""}, {topic, 1, nobody, 1, 1, ""}, {topic, 2, NULL, 0, 1, ""}};
        struct asked a;
        ask_node(&a, m,
                 (struct meta_op){
                     .kind = META_ELECT_LEADERS, .elections = elections, .election_count = 2});
        wait_for(&a, 1000 * CLUSTER_MS);
        cr_assert_eq(a.op.error, 0, "%s", a.op.why);
        cr_assert_eq(elections[0].error, ERR_ELECTION_NOT_NEEDED);
        cr_assert_eq(elections[1].error, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        ask_node(&a, m,
                 (struct meta_op){.kind = META_REASSIGN_PARTITIONS,
                                  .reassignments = reassignments,
                                  .reassignment_count = 3});
        wait_for(&a, 1000 * CLUSTER_MS);
        cr_assert_eq(a.op.error, 0, "%s", a.op.why);
        cr_assert_eq(reassignments[0].error, 0, "%s", reassignments[0].why);
        cr_assert(reassignments[1].error && reassignments[1].why[0]);
        cr_assert_eq(reassignments[2].error, ERR_NO_REASSIGNMENT_IN_PROGRESS);
        cr_assert(strstr(reassignments[2].why, "in progress"), "%s", reassignments[2].why);
        ask_node(&a, m,
                 (struct meta_op){.kind = META_UPDATE_FEATURE,
                                  .feature = "metadata.version",
                                  .feature_level = 15,
                                  .feature_change = META_FEATURE_UPGRADE});
        wait_for(&a, 1000 * CLUSTER_MS);
        cr_assert_eq(a.op.error, ERR_INVALID_UPDATE_VERSION);
        cr_assert(strstr(a.op.why, "14 alone"), "%s", a.op.why);
        world_run(&w, 2000 * CLUSTER_MS); /* the copy is made */
        cr_assert_eq(first_partition(m)->leader, other[0]);
    }
    world_close(&w);
}

Test(operations, a_broker_that_is_gone_is_forgotten)
{
    struct asked a;
    open_three(61);
    struct member *gone = follower(0), *m = follower(1);
    ask_node(&a, m, (struct meta_op){.kind = META_UNREGISTER_BROKER, .broker = 9});
    wait_for(&a, 1000 * CLUSTER_MS);
    cr_assert_eq(a.op.error, ERR_BROKER_ID_NOT_REGISTERED);
    sim_node_kill(gone->machine);
    world_run(&w, 3000 * CLUSTER_MS);
    ask_node(&a, m, (struct meta_op){.kind = META_UNREGISTER_BROKER, .broker = gone->id});
    wait_for(&a, 1000 * CLUSTER_MS);
    cr_assert_eq(a.op.error, 0, "%s", a.op.why);
    cr_assert_eq(image_broker_count(m->node->image), 2, "as this node sees it when it is answered");
    member_start(gone);
    world_settle(&w, 20000 * CLUSTER_MS);
    const int32_t alive[] = {m->id, world_leader(&w)->id};
    for (size_t i = 0; i < array_size(alive); i++) {
        ask_node(&a, m, (struct meta_op){.kind = META_UNREGISTER_BROKER, .broker = alive[i]});
        wait_for(&a, 1000 * CLUSTER_MS);
        cr_assert_eq(a.op.error, 0, "%s", a.op.why);
        world_settle(&w, 20000 * CLUSTER_MS); /* one that lives comes back by itself */
    }
    world_close(&w);
}

Test(operations, reports_reach_the_controller)
{
    struct asked a;
    open_three(62);
    struct member *m = follower(0);
    const struct image_topic *t = first_topic(m);
    struct meta_replica_report list[] = {{t->id, 0, META_REPLICA_REPAIRED, 1},
                                         {t->id, 1000, META_REPLICA_SHORT, 1}};
    struct meta_op op = {.kind = META_REPORT_REPLICAS,
                         .broker = m->id,
                         .broker_epoch = m->node->meta_open.broker_epoch,
                         .reports = list,
                         .report_count = 2};
    ask_node(&a, m, op);
    wait_for(&a, 1000 * CLUSTER_MS);
    cr_assert_eq(a.op.error, 0, "%s", a.op.why);
    cr_assert(list[0].error == 0 && list[1].error == ERR_UNKNOWN_TOPIC_OR_PARTITION);
    op.broker_epoch--;
    ask_node(&a, m, op);
    wait_for(&a, 1000 * CLUSTER_MS);
    cr_assert_eq(a.op.error, ERR_STALE_BROKER_EPOCH);
    cr_assert(strstr(a.op.why, "registered anew"), "%s", a.op.why);
    world_close(&w);
}

/* --- several replicas ------------------------------------------------------------------------- */

/* They look for leaders that are not preferred every second. */
static void open_three_that_balance(uint64_t seed)
{
    open_world_in(&w, seed, 3);
    for (uint32_t i = 0; i < w.count; i++) {
        member_start(&w.members[i]);
    }
    for (uint32_t i = 0; i < w.count; i++) {
        struct node *n = w.members[i].node;
        while (!n->meta_options.root) { /* they are set when the directory is open */
            world_run(&w, CLUSTER_MS / 1000);
        }
        cr_assert_null(n->meta);
        n->meta_options.balance_s = 1;
    }
    world_settle(&w, 10000 * CLUSTER_MS);
}

static int reassign_first(struct member *m, const int32_t *replicas, int32_t count)
{
    struct meta_reassignment r = {first_topic(m)->name, 0, replicas, count, 1, ""};
    struct asked a;
    ask_node(&a, m,
             (struct meta_op){
                 .kind = META_REASSIGN_PARTITIONS, .reassignments = &r, .reassignment_count = 1});
    wait_for(&a, 1000 * CLUSTER_MS);
    cr_assert_eq(a.op.error, 0, "%s", a.op.why);
    cr_assert(!r.error || r.why[0]);
    return r.error;
}

Test(operations, replicas_move_and_are_called_off)
{
    open_three_that_balance(70);
    struct member *m = follower(0);
    /* What moves does not come by the way on which is asked, and it is slow. */
    int32_t from = first_partition(m)->replicas[0], leader = world_leader(&w)->id;
    int32_t third = 6 - m->id - leader, to = from != third ? third : leader;
    sim_link_clog(w.sim, (unsigned)from - 1, (unsigned)to - 1, 200 * CLUSTER_MS);
    cr_assert_eq(reassign_first(m, &to, 1), 0);
    cr_assert_eq(first_partition(m)->more->adding.ids[0], to, "as this node sees it when answered");
    cr_assert_eq(reassign_first(m, NULL, 0), 0);
    cr_assert_eq(first_partition(m)->replica_count, 1);
    cr_assert_eq(reassign_first(m, NULL, 0), ERR_NO_REASSIGNMENT_IN_PROGRESS);
    cr_assert_eq(reassign_first(m, &to, 1), 0);
    world_run(&w, 2000 * CLUSTER_MS);
    const struct image_partition *p = first_partition(m);
    cr_assert(p->replica_count == 1 && p->replicas[0] == to && p->leader == to);
    world_close(&w);
}

Test(operations, leadership_goes_back_by_time)
{
    open_three_that_balance(71);
    struct member *m = world_leader(&w);
    int32_t first = follower(0)->id, second = follower(1)->id;
    const int32_t both[] = {first, second};
    cr_assert_eq(reassign_first(m, both, 2), 0);
    world_run(&w, 3000 * CLUSTER_MS);
    cr_assert_eq(first_partition(m)->leader, first, "preferred, and in sync");
    sim_node_kill(w.members[first - 1].machine);
    world_run(&w, 3000 * CLUSTER_MS);
    cr_assert_eq(first_partition(m)->leader, second);
    member_start(&w.members[first - 1]);
    world_run(&w, 6000 * CLUSTER_MS);
    cr_assert_eq(first_partition(m)->leader, first);
    world_close(&w);
}

/* What waits is tried before each batch of anybody. */
Test(operations, few_changes_of_voters_wait)
{
    enum { ASKED = 24, WAIT = 16 };
    static struct asked asks[ASKED];
    const struct meta_voter nobody = {.id = {9, {{4, 5, 6}}},
                                      .name = "PLAINTEXT",
                                      .host = "n9",
                                      .port = 9092,
                                      .timeout_ms = 1000};
    int refused = 0;
    open_three(72);
    for (int i = 0; i < ASKED; i++) {
        ask_node(&asks[i], world_leader(&w),
                 (struct meta_op){.kind = META_ADD_VOTER, .voter = &nobody});
    }
    world_run(&w, 200 * CLUSTER_MS);
    for (int i = 0; i < ASKED; i++) {
        refused += asks[i].done;
        if (asks[i].done) {
            cr_expect_eq(asks[i].op.error, ERR_REQUEST_TIMED_OUT);
            cr_expect(strstr(asks[i].op.why, "16 other changes of the voters wait already"), "%s",
                      asks[i].op.why);
        }
    }
    cr_expect_eq(refused, ASKED - WAIT);
    for (int i = 0; i < ASKED; i++) {
        wait_for(&asks[i], 3000 * CLUSTER_MS);
        cr_expect_eq(asks[i].op.error, ERR_REQUEST_TIMED_OUT, "%s", asks[i].op.why);
    }
    world_close(&w);
}
