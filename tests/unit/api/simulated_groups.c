/* SPDX-License-Identifier: Apache-2.0 */

/* Groups on a machine whose disk fills up or whose power goes. */
#include "machine.h"

#include "sim/disk.h"

/* A group's commit of partition 0 of "t", -1: none. */
static int64_t committed_by(struct world *w, const char *group)
{
    int32_t index = 0;
    struct offset_fetch_request_topics t = {wire_string_of("t"), &index, 1};
    struct offset_fetch_request q;
    offset_fetch_request_init(&q);
    q.group_id = wire_string_of(group);
    q.topics = &t;
    q.topics_count = 1;
    struct offset_fetch_response *a = world_ask(w, 9, 5, &q);
    cr_assert_eq(a->error_code, 0);
    return a->topics[0].partitions[0].committed_offset;
}

static int16_t commit_of(struct world *w, const char *group, int32_t generation,
                         struct wire_string member, int64_t offset)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_offset = offset;
    p.committed_metadata = wire_string_null();
    q.group_id = wire_string_of(group);
    q.generation_id_or_member_epoch = generation;
    q.member_id = member;
    q.group_instance_id = wire_string_null();
    q.topics = &t;
    q.topics_count = 1;
    struct offset_commit_response *a = world_ask(w, 8, 5, &q);
    return a->topics[0].partitions[0].error_code;
}

static void commit_as(struct world *w, const char *group, int32_t generation,
                      struct wire_string member)
{
    cr_assert_eq(commit_of(w, group, generation, member, 7), 0);
}

static size_t groups_listed(struct world *w)
{
    struct list_groups_request q = {0};
    return (size_t)((struct list_groups_response *)world_ask(w, 16, 2, &q))->groups_count;
}

/* Commits on a full disk are refused with what clients try again, nothing of them is seen, and they
 * go on by themselves. */
Test(simulated_groups, a_commit_on_a_full_disk_is_tried_again, .timeout = 120)
{
    struct world w;
    world_open(&w, 96 << 20);
    world_create_topic(&w, "t", 1);
    world_metadata(&w, "u", true);
    struct find_coordinator_request find;
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    cr_assert_eq(((struct find_coordinator_response *)world_ask(&w, 10, 1, &find))->error_code, 0);
    const struct wire_string nobody = wire_string_of("");
    for (int i = 0;
         i < 300 && world_produce(&w, "u", batch_make(1, 0, 500000, NULL), 30000) == 0;) {
        i++;
    }
    int64_t offset = 0;
    int16_t error = 0;
    for (int i = 0; i < 3000 && error == 0; i++) {
        error = commit_of(&w, "g", -1, nobody, ++offset);
    }
    cr_assert_eq(error, 15, "%d at %ld", error, (long)offset);
    cr_assert_eq(committed_by(&w, "g"), offset > 1 ? offset - 1 : -1);
    world_delete_topic(&w, "u");
    world_run(&w, 30 * SECOND_NS);
    cr_assert_eq(commit_of(&w, "g", -1, nobody, 4711), 0, "by itself");
    cr_assert_eq(committed_by(&w, "g"), 4711);
    world_close(&w);
}

/* A group of outsiders forgets a minute after the commit; one with a member, which subscribes to the
 * topic, remembers until a minute after he has gone (KIP-211). Then both are gone. */
Test(simulated_groups, offsets_are_kept_while_somebody_reads)
{
    /* version 0, one topic "t", no user data */
    static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
    struct join_group_request_protocols protocol = {wire_string_of("range"),
                                                    {subscription, sizeof subscription}};
    struct world w;
    world_open(&w, 0);
    world_create_topic(&w, "t", 1);
    struct find_coordinator_request find;
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    cr_assert_eq(((struct find_coordinator_response *)world_ask(&w, 10, 1, &find))->error_code, 0);
    struct join_group_request join;
    join_group_request_init(&join);
    join.group_id = wire_string_of("members");
    join.session_timeout_ms = join.rebalance_timeout_ms = 180000;
    join.group_instance_id = wire_string_null();
    join.protocol_type = wire_string_of("consumer");
    join.protocols = &protocol;
    join.protocols_count = 1;
    struct join_group_response *j = world_ask(&w, 11, 3, &join);
    cr_assert_eq(j->error_code, 0);
    struct sync_group_request sync;
    sync_group_request_init(&sync);
    sync.group_id = join.group_id;
    sync.generation_id = j->generation_id;
    sync.member_id = j->member_id;
    sync.group_instance_id = sync.protocol_type = sync.protocol_name = wire_string_null();
    cr_assert_eq(((struct sync_group_response *)world_ask(&w, 14, 3, &sync))->error_code, 0);
    commit_as(&w, "members", j->generation_id, j->member_id);
    commit_as(&w, "outsiders", -1, wire_string_of(""));
    world_run(&w, 50 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "outsiders"), 7);
    world_run(&w, 15 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "outsiders"), -1);
    cr_assert_eq(committed_by(&w, "members"), 7, "it has a member");
    world_run(&w, 30 * SECOND_NS);
    cr_assert_eq(groups_listed(&w), 1, "the other one is gone");
    world_run(&w, 140 * SECOND_NS); /* its session has ended, less than a minute ago */
    cr_assert_eq(committed_by(&w, "members"), 7);
    world_run(&w, 70 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "members"), -1);
    world_run(&w, 3 * SECOND_NS);
    cr_assert_eq(groups_listed(&w), 0);
    world_close(&w);
}

/* --- the power goes --------------------------------------------------------------------------- */

enum { CUT_SEEDS = 12, CUTS = 4, CUT_SHARDS = 2 };

/* What one member knows: the generation that it was told with an assignment, and its commits. */
struct committer {
    struct world *w;
    struct prng prng;
    struct wire_string member;
    int32_t generation;
    int64_t sent, acknowledged;
};

static int16_t cut_heartbeat(struct committer *c)
{
    struct heartbeat_request q;
    heartbeat_request_init(&q);
    q.group_id = wire_string_of("g");
    q.generation_id = c->generation;
    q.member_id = c->member;
    const struct heartbeat_response *a = world_ask_unless_cut(c->w, 12, 2, &q);
    return a ? a->error_code : -1;
}

/* A member of a generation of its own. One that was there before and says nothing is left behind. */
static void cut_join(struct committer *c)
{
    struct join_group_request_protocols protocol = {wire_string_of("range"), {(uint8_t *)"x", 1}};
    struct sync_group_request_assignments all = {.assignment = {(uint8_t *)"all", 3}};
    struct join_group_request join;
    struct sync_group_request sync;
    join_group_request_init(&join);
    sync_group_request_init(&sync);
    join.group_id = sync.group_id = wire_string_of("g");
    join.session_timeout_ms = 1800000;
    join.rebalance_timeout_ms = 5000;
    join.protocol_type = wire_string_of("consumer");
    join.protocols = &protocol;
    join.protocols_count = 1;
    c->member = wire_string_null();
    const struct join_group_response *j = world_ask_unless_cut(c->w, 11, 3, &join);
    cr_assert(!j || j->error_code == 0, "%d", j ? j->error_code : 0);
    sync.generation_id = j ? j->generation_id : 0;
    sync.member_id = all.member_id = j ? j->member_id : wire_string_null();
    sync.assignments = &all;
    sync.assignments_count = 1;
    const struct sync_group_response *s = j ? world_ask_unless_cut(c->w, 14, 2, &sync) : NULL;
    if (s) {
        cr_assert_eq(s->error_code, 0, "%d", s->error_code);
        cr_assert_gt(j->generation_id, c->generation, "an assigned generation is given again");
        c->generation = j->generation_id;
        c->member = j->member_id;
    }
}

static void cut_leave(struct committer *c)
{
    struct leave_group_request q;
    leave_group_request_init(&q);
    q.group_id = wire_string_of("g");
    q.member_id = c->member;
    const struct leave_group_response *a = world_ask_unless_cut(c->w, 13, 2, &q);
    cr_assert_not_null(a);
    cr_assert_eq(a->error_code, 0);
}

static void cut_commit(struct committer *c)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_offset = ++c->sent;
    p.committed_metadata = wire_string_null();
    q.group_id = wire_string_of("g");
    q.generation_id_or_member_epoch = c->generation;
    q.member_id = c->member;
    q.topics = &t;
    q.topics_count = 1;
    const struct offset_commit_response *a = world_ask_unless_cut(c->w, 8, 5, &q);
    if (a) {
        cr_assert_eq(a->topics[0].partitions[0].error_code, 0);
        c->acknowledged = c->sent;
    }
}

/* One life: it begins with all that was told, and ends in the middle of something. */
static void cut_life(struct committer *c)
{
    struct world *w = c->w;
    int64_t found = committed_by(w, "g");
    cr_assert(found < 0 ? c->acknowledged == 0 : found >= c->acknowledged && found <= c->sent,
              "%ld is committed, acknowledged were %ld, sent %ld", (long)found,
              (long)c->acknowledged, (long)c->sent);
    cr_assert(c->member.size <= 0 || cut_heartbeat(c) == 0, "a member does not go on");
    sim_crash_after(w->machine, prng_between(&c->prng, 1, 300),
                    prng_below(&c->prng, 3) ? SIM_CRASH_POWER : SIM_CRASH_KILL);
    while (world_is_up(w)) {
        if (c->member.size <= 0 || prng_below(&c->prng, 8) == 0) {
            cut_join(c);
        } else {
            cut_commit(c);
        }
    }
    world_again(w);
}

/* What a member was told, that it has a generation and that an offset is committed, is there when the
 * machine is again. */
Test(simulated_groups, what_a_group_was_told_survives_a_power_cut, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
        struct world w;
        world_open_as(&w, 0, CUT_SHARDS, seed);
        sim_faults(w.sim)->write.min_ns = SECOND_NS / 1000; /* slower than any answer */
        world_create_topic(&w, "t", 1);
        struct find_coordinator_request find;
        find_coordinator_request_init(&find);
        find.key = wire_string_of("g");
        world_ask(&w, 10, 1, &find);
        struct committer c = {.w = &w, .prng = prng_of(seed), .member = wire_string_null()};
        for (int i = 0; i < CUTS; i++) {
            cut_life(&c);
        }
        cr_log_info("seed %lu: %ld commits, generation %d", (unsigned long)seed,
                    (long)c.acknowledged, c.generation);
        cr_assert_gt(c.acknowledged, 0);
        world_close(&w);
    }
}

/* The last member has been told that it has left: nobody waits for it when the machine is back. */
Test(simulated_groups, who_has_left_is_gone_after_a_power_cut, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
        struct world w;
        world_open_as(&w, 0, CUT_SHARDS, seed);
        sim_faults(w.sim)->write.min_ns = SECOND_NS / 1000; /* slower than any answer */
        struct find_coordinator_request find;
        find_coordinator_request_init(&find);
        find.key = wire_string_of("g");
        world_ask(&w, 10, 1, &find);
        struct committer c = {.w = &w, .prng = prng_of(seed), .member = wire_string_null()};
        cut_join(&c);
        cr_assert_eq(cut_heartbeat(&c), 0);
        cut_leave(&c);
        sim_node_power_cut(w.machine);
        world_again(&w);
        cr_assert_eq(cut_heartbeat(&c), 25, "UNKNOWN_MEMBER_ID, seed %lu", (unsigned long)seed);
        world_close(&w);
    }
}

/* A topic is deleted and made again, and the power goes before what was committed for it is deleted as
 * well: it is not taken for the new one's. What is committed for that one stays. */
Test(simulated_groups, offsets_of_a_former_topic_are_known_after_a_power_cut, .timeout = 120)
{
    const struct wire_string nobody = wire_string_of("");
    struct world w;
    world_open_as(&w, 0, CUT_SHARDS, 5);
    world_create_topic(&w, "t", 1);
    struct find_coordinator_request find;
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    world_ask(&w, 10, 1, &find);
    cr_assert_eq(commit_of(&w, "g", -1, nobody, 7), 0);
    cr_assert_eq(committed_by(&w, "g"), 7);
    sim_faults(w.sim)->slow_name = "data/journal-";
    sim_faults(w.sim)->slow.min_ns = 20 * SECOND_NS;
    world_delete_topic(&w, "t");
    world_create_topic(&w, "t", 1);
    cr_assert_eq(committed_by(&w, "g"), -1);
    sim_node_power_cut(w.machine);
    sim_faults(w.sim)->slow_name = NULL;
    world_again(&w);
    cr_assert_eq(committed_by(&w, "g"), -1, "the former topic's");
    cr_assert_eq(commit_of(&w, "g", -1, nobody, 9), 0);
    sim_node_power_cut(w.machine);
    world_again(&w);
    cr_assert_eq(committed_by(&w, "g"), 9);
    world_close(&w);
}

struct found {
    struct disk_inode *inode;
    uint64_t size;
};

/* The log of a partition of the broker's own topic that holds most. */
static void find_offsets_log(void *context, const char *path, struct disk_inode *inode)
{
    struct found *f = context;
    if (strstr(path, "__consumer_offsets") && strstr(path, ".log") && disk_size(inode) > f->size) {
        *f = (struct found){inode, disk_size(inode)};
    }
}

static int16_t fetch_error(struct world *w, const char *group)
{
    struct offset_fetch_request q;
    offset_fetch_request_init(&q);
    q.group_id = wire_string_of(group);
    q.topics_count = -1;
    return ((struct offset_fetch_response *)world_ask(w, 9, 5, &q))->error_code;
}

/* As when another replica mends what the coordinator could not read when it came. */
Test(simulated_groups, are_there_when_their_log_can_be_read_again, .timeout = 120)
{
    enum { COMMITS = 200, LOADING = 14 };
    static uint8_t block[DISK_BLOCK_SIZE];
    const struct wire_string nobody = wire_string_of("");
    struct world w;
    world_open(&w, 0);
    world_create_topic(&w, "t", 1);
    struct find_coordinator_request find;
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    world_ask(&w, 10, 1, &find);
    for (int i = 1; i <= COMMITS; i++) {
        cr_assert_eq(commit_of(&w, "g", -1, nobody, i), 0);
    }
    for (int life = 0; life < 2; life++) { /* a recovery writes everything behind */
        sim_node_power_cut(w.machine);
        world_again(&w);
        cr_assert_eq(committed_by(&w, "g"), COMMITS);
    }
    sim_node_power_cut(w.machine);
    struct disk *disk = sim_node_disk(w.machine);
    struct found f = {0};
    disk_each(disk, find_offsets_log, &f);
    cr_assert_gt(f.size, DISK_BLOCK_SIZE);
    disk_peek(disk, f.inode, 0, block);
    disk_break(disk, f.inode, 0);
    world_again(&w);
    world_run(&w, 2 * SECOND_NS);
    cr_assert_eq(fetch_error(&w, "g"), LOADING);
    const struct iovec whole = {block, sizeof block};
    cr_assert_geq(disk_end(disk, disk_write_begin(disk, f.inode, &whole, 1, 0, true)), 0);
    world_run(&w, 3 * SECOND_NS);
    cr_assert_eq(committed_by(&w, "g"), COMMITS);
    world_close(&w);
}
