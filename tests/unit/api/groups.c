/* SPDX-License-Identifier: Apache-2.0 */

/* Consumer groups as clients see them: every API in every version, over shards and restarts. What
 * groups do in time is tests/unit/coord. */
#include "broker.h"

#include <stdio.h>

static const char *const at_once[] = {"group.initial.rebalance.delay.ms=0", NULL};

enum { JOIN = 11, HEARTBEAT = 12, LEAVE = 13, SYNC = 14, COMMIT = 8, OFFSETS = 9, FIND = 10 };
enum { DESCRIBE = 15, LIST = 16, DELETE = 42, FORGET = 47 };

static struct wire_bytes bytes_from(const char *text)
{
    return (struct wire_bytes){(const uint8_t *)text, (int32_t)strlen(text)};
}

/* The first question makes the topic of offsets. */
static void coordinator_find(int client, const char *group)
{
    struct find_coordinator_request q;
    find_coordinator_request_init(&q);
    q.key = wire_string_of(group);
    struct find_coordinator_response *a = client_ask(client, FIND, 2, &q);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->node_id, 1);
}

static void join_send(int client, int16_t version, const char *group, struct wire_string member,
                      const char *instance, const char *subscription)
{
    struct join_group_request_protocols protocol = {wire_string_of("range"),
                                                    bytes_from(subscription)};
    struct join_group_request q;
    join_group_request_init(&q);
    q.group_id = wire_string_of(group);
    q.session_timeout_ms = 10000;
    q.rebalance_timeout_ms = version >= 1 ? 20000 : -1;
    q.member_id = member;
    q.group_instance_id = wire_string_of(instance);
    q.protocol_type = wire_string_of("consumer");
    q.protocols = &protocol;
    q.protocols_count = 1;
    client_send(client, JOIN, version, 1, &q);
}

static struct join_group_response *joined(int client, int16_t version)
{
    return client_receive(client, JOIN, version, 1);
}

/* Joins alone, with the id that is asked for first from 4 on; leads and is the only member. */
static struct join_group_response *join_alone(int client, int16_t version, const char *group)
{
    join_send(client, version, group, wire_string_of(""), NULL, "topics of one");
    struct join_group_response *a = joined(client, version);
    if (version >= 4) {
        cr_assert_eq(a->error_code, 79);
        cr_assert_gt(a->member_id.size, 0);
        join_send(client, version, group, a->member_id, NULL, "topics of one");
        a = joined(client, version);
    }
    cr_assert_eq(a->error_code, 0, "version %d: %d", version, a->error_code);
    cr_assert(wire_string_equal(a->leader, a->member_id));
    cr_assert_eq(a->members_count, 1);
    cr_assert_eq(a->members[0].metadata.size, 13);
    return a;
}

static struct sync_group_response *sync_as(int client, int16_t version, const char *group,
                                           const struct join_group_response *j)
{
    struct sync_group_request_assignments assignment = {j->member_id, bytes_from("all of it")};
    struct sync_group_request q;
    sync_group_request_init(&q);
    q.group_id = wire_string_of(group);
    q.generation_id = j->generation_id;
    q.member_id = j->member_id;
    q.protocol_type = version >= 5 ? wire_string_of("consumer") : wire_string_null();
    q.protocol_name = version >= 5 ? wire_string_of("range") : wire_string_null();
    q.group_instance_id = wire_string_null();
    q.assignments = &assignment;
    q.assignments_count = 1;
    return client_ask(client, SYNC, version, &q);
}

static int heartbeat(int client, int16_t version, const char *group, int32_t generation,
                     struct wire_string member)
{
    struct heartbeat_request q;
    heartbeat_request_init(&q);
    q.group_id = wire_string_of(group);
    q.generation_id = generation;
    q.member_id = member;
    q.group_instance_id = wire_string_null();
    return ((struct heartbeat_response *)client_ask(client, HEARTBEAT, version, &q))->error_code;
}

static int leave(int client, int16_t version, const char *group, struct wire_string member)
{
    struct leave_group_request_members one = {
        .member_id = member, .group_instance_id = wire_string_null(), .reason = wire_string_null()};
    struct leave_group_request q;
    leave_group_request_init(&q);
    q.group_id = wire_string_of(group);
    if (version < 3) {
        q.member_id = member;
    } else {
        q.members = &one;
        q.members_count = 1;
    }
    struct leave_group_response *a = client_ask(client, LEAVE, version, &q);
    return a->error_code ? a->error_code : version < 3 ? 0 : a->members[0].error_code;
}

static int commit(int client, int16_t version, const char *group, int32_t generation,
                  struct wire_string member, const char *topic, struct uuid id, int64_t offset)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of(topic), .topic_id = id, .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_offset = offset;
    p.committed_metadata = wire_string_of("note");
    p.committed_leader_epoch = version >= 6 ? 0 : -1;
    q.group_id = wire_string_of(group);
    q.generation_id_or_member_epoch = generation;
    q.member_id = member;
    q.group_instance_id = wire_string_null();
    q.topics = &t;
    q.topics_count = 1;
    struct offset_commit_response *a = client_ask(client, COMMIT, version, &q);
    cr_assert_eq(a->topics_count, 1);
    cr_assert_eq(a->topics[0].partitions_count, 1);
    return a->topics[0].partitions[0].error_code;
}

/* What a group has committed for partition 0 of a topic; all: by a request that names none. */
static int64_t committed(int client, int16_t version, const char *group, const char *topic,
                         struct uuid id, bool all)
{
    int32_t index = 0;
    struct offset_fetch_request_topics t = {wire_string_of(topic), &index, 1};
    struct offset_fetch_request_group_topics gt = {wire_string_of(topic), id, &index, 1};
    struct offset_fetch_request_groups g;
    struct offset_fetch_request q;
    offset_fetch_request_groups_init(&g);
    offset_fetch_request_init(&q);
    g.group_id = q.group_id = wire_string_of(group);
    g.topics = all ? NULL : &gt;
    g.topics_count = q.topics_count = all ? -1 : 1;
    q.topics = all ? NULL : &t;
    if (version >= 8) {
        q = (struct offset_fetch_request){.groups = &g, .groups_count = 1};
    }
    struct offset_fetch_response *a = client_ask(client, OFFSETS, version, &q);
    if (version >= 8) {
        cr_assert_eq(a->groups_count, 1);
        cr_assert_eq(a->groups[0].error_code, 0);
        cr_assert(version < 10 || all || uuid_equal(a->groups[0].topics[0].topic_id, id));
        return a->groups[0].topics_count ? a->groups[0].topics[0].partitions[0].committed_offset
                                         : -2;
    }
    cr_assert_eq(a->error_code, 0);
    return a->topics_count ? a->topics[0].partitions[0].committed_offset : -2;
}

static struct describe_groups_response_groups *describe(int client, int16_t version,
                                                        const char *group)
{
    struct wire_string name = wire_string_of(group);
    struct describe_groups_request q = {.groups = &name, .groups_count = 1};
    return &((struct describe_groups_response *)client_ask(client, DESCRIBE, version, &q))
                ->groups[0];
}

static struct uuid topic_id(int client, const char *topic)
{
    struct metadata_request_topics t;
    struct metadata_request q;
    metadata_request_topics_init(&t);
    metadata_request_init(&q);
    t.name = wire_string_of(topic);
    q.topics = &t;
    q.topics_count = 1;
    return ((struct metadata_response *)client_ask(client, 3, 10, &q))->topics[0].topic_id;
}

/* One member's life in every version of every API. */
static void a_life(int client, int16_t v, struct uuid id)
{
    char group[16];
    snprintf(group, sizeof group, "group %d", v);
    int16_t sync = v < 5 ? v : 5, beat = v < 4 ? v : 4, read = v < 10 ? v + 1 : 10;
    int16_t write = v + 2 < 10 ? v + 2 : 10;
    struct join_group_response *j = join_alone(client, v, group);
    cr_assert_eq(commit(client, write, group, j->generation_id, j->member_id, "t", id, 7), 27,
                 "it does not know yet what is its own");
    struct sync_group_response *s = sync_as(client, sync, group, j);
    cr_assert_eq(s->error_code, 0);
    cr_assert_eq(s->assignment.size, 9);
    cr_assert_eq(heartbeat(client, beat, group, j->generation_id, j->member_id), 0);
    cr_assert_eq(heartbeat(client, beat, group, j->generation_id + 1, j->member_id), 22);
    cr_assert_eq(heartbeat(client, beat, group, j->generation_id, wire_string_of("nobody")), 25);
    cr_assert_eq(commit(client, write, group, j->generation_id, j->member_id, "t", id, 41 + v), 0);
    cr_assert_eq(commit(client, write, group, -1, wire_string_of(""), "t", id, 3), 25,
                 "outsiders may commit to an empty group alone");
    cr_assert_eq(committed(client, read, group, "t", id, false), 41 + v);
    if (read >= 2) {
        cr_assert_eq(committed(client, read, group, NULL, id, true), 41 + v);
    }
    struct describe_groups_response_groups *d = describe(client, v < 6 ? v : 6, group);
    cr_assert_eq(d->error_code, 0);
    cr_assert(wire_string_equal(d->group_state, wire_string_of("Stable")));
    cr_assert(wire_string_equal(d->protocol_data, wire_string_of("range")));
    cr_assert_eq(d->members_count, 1);
    cr_assert_eq(d->members[0].member_assignment.size, 9);
    cr_assert(wire_string_equal(d->members[0].client_host, wire_string_of("/127.0.0.1")));
    cr_assert_eq(leave(client, v < 5 ? v : 5, group, wire_string_of("nobody")), 25);
    cr_assert_eq(leave(client, v < 5 ? v : 5, group, j->member_id), 0);
    cr_assert_eq(heartbeat(client, beat, group, j->generation_id, j->member_id), 25);
    cr_assert_eq(commit(client, write, group, -1, wire_string_of(""), "t", id, 50 + v), 0);
    cr_assert_eq(committed(client, read, group, "t", id, false), 50 + v);
}

static void lives(unsigned shards)
{
    struct broker *b = broker_start(shards, at_once);
    int client = client_open(b);
    topic_create(client, "t", 2, NULL);
    struct uuid id = topic_id(client, "t");
    for (int16_t v = 0; v <= 9; v++) {
        coordinator_find(client, "group");
        a_life(client, v, id);
    }
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    for (int16_t v = 0; v <= 9; v++) {
        char group[16];
        snprintf(group, sizeof group, "group %d", v);
        cr_assert_eq(committed(client, 8, group, "t", id, false), 50 + v);
        struct describe_groups_response_groups *d = describe(client, 5, group);
        cr_assert(wire_string_equal(d->group_state, wire_string_of("Empty")));
    }
    client_close(client);
    broker_stop(b);
}

Test(groups, one_member_in_every_version, .timeout = 60)
{
    lives(1);
}

Test(groups, one_member_in_every_version_on_three_shards, .timeout = 60)
{
    lives(3);
}

/* A second member makes the first rejoin; both learn the same generation, and only the leader who
 * there is. */
Test(groups, two_members_share_a_generation, .timeout = 60)
{
    struct broker *b = broker_start(2, at_once);
    int one = client_open(b), two = client_open(b);
    coordinator_find(one, "g");
    struct join_group_response *first = join_alone(one, 5, "g");
    cr_assert_eq(sync_as(one, 3, "g", first)->error_code, 0);
    join_send(two, 3, "g", wire_string_of(""), NULL, "topics of two");
    while (heartbeat(one, 3, "g", first->generation_id, first->member_id) == 0) {
    }
    cr_assert_eq(heartbeat(one, 3, "g", first->generation_id, first->member_id), 27);
    join_send(one, 5, "g", first->member_id, NULL, "topics of one");
    struct join_group_response *leader = joined(one, 5), *follower = joined(two, 3);
    cr_assert_eq(leader->generation_id, first->generation_id + 1);
    cr_assert_eq(follower->generation_id, leader->generation_id);
    cr_assert_eq(leader->members_count, 2);
    cr_assert_eq(follower->members_count, 0);
    cr_assert(wire_string_equal(follower->leader, leader->member_id));
    client_close(one);
    client_close(two);
    broker_stop(b);
}

/* The generation outlives the broker: who was in it goes on without joining again. */
Test(groups, members_survive_a_restart, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "g");
    struct join_group_response *j = join_alone(client, 5, "g");
    cr_assert_eq(sync_as(client, 5, "g", j)->error_code, 0);
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    cr_assert_eq(heartbeat(client, 4, "g", j->generation_id, j->member_id), 0);
    cr_assert_eq(commit(client, 8, "g", j->generation_id, j->member_id, "t", id, 5), 0);
    struct sync_group_response *s = sync_as(client, 5, "g", j);
    cr_assert_eq(s->assignment.size, 9, "its assignment as well");
    client_close(client);
    broker_stop(b);
}

static void offsets_topic_alter(int client, const char *key, const char *value)
{
    struct incremental_alter_configs_request_configs c = {wire_string_of(key), 0,
                                                          wire_string_of(value)};
    struct incremental_alter_configs_request_resources r = {2, wire_string_of("__consumer_offsets"),
                                                            &c, 1};
    struct incremental_alter_configs_request q = {&r, 1, false};
    struct incremental_alter_configs_response *a = client_ask(client, 44, 1, &q);
    cr_assert_eq(a->responses[0].error_code, 0);
}

/* The member is told why, the log says what to do, and that helps, also after a restart. Another group
 * does not notice. */
Test(groups, one_that_is_too_large_for_its_record_is_told_so, .timeout = 60)
{
    enum { SAID = 1200000 };
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b), other = client_open(b);
    char *said = malloc(SAID + 1);
    memset(said, 'x', SAID);
    said[SAID] = 0;
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "large");
    struct join_group_response *small = join_alone(other, 5, "small");
    cr_assert_eq(sync_as(other, 5, "small", small)->error_code, 0);
    join_send(client, 3, "large", wire_string_of(""), NULL, said);
    struct join_group_response *large = joined(client, 3);
    cr_assert_eq(large->error_code, 0);
    cr_assert_eq(sync_as(client, 3, "large", large)->error_code, 10, "MESSAGE_TOO_LARGE");
    cr_assert(broker_warned(b, "give the topic a larger max.message.bytes"));
    cr_assert_eq(heartbeat(other, 4, "small", small->generation_id, small->member_id), 0);
    cr_assert_eq(commit(other, 8, "small", small->generation_id, small->member_id, "t", id, 5), 0);
    offsets_topic_alter(client, "max.message.bytes", "2000000");
    join_send(client, 3, "large", large->member_id, NULL, said);
    large = joined(client, 3);
    cr_assert_eq(large->error_code, 0);
    cr_assert_eq(sync_as(client, 3, "large", large)->error_code, 0);
    client_close(client);
    client_close(other);
    broker_restart(b);
    client = client_open(b);
    int beat = 14;
    while (beat == 14) { /* its partition is being loaded */
        beat = heartbeat(client, 3, "large", large->generation_id, large->member_id);
    }
    cr_assert_eq(beat, 0, "%d", beat);
    cr_assert_eq(heartbeat(client, 4, "small", small->generation_id, small->member_id), 0);
    client_close(client);
    broker_stop(b);
    free(said);
}

Test(groups, are_listed_and_deleted, .timeout = 60)
{
    struct broker *b = broker_start(3, at_once);
    int client = client_open(b);
    struct list_groups_request all = {0};
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    cr_assert_eq(((struct list_groups_response *)client_ask(client, LIST, 5, &all))->groups_count,
                 0, "and no error without a single group");
    coordinator_find(client, "a");
    cr_assert_eq(commit(client, 8, "a", -1, wire_string_of(""), "t", id, 5), 0);
    struct join_group_response *j = join_alone(client, 5, "b");
    cr_assert_eq(sync_as(client, 5, "b", j)->error_code, 0);
    for (int16_t v = 0; v <= 5; v++) {
        struct list_groups_response *a = client_ask(client, LIST, v, &all);
        cr_assert_eq(a->groups_count, 2, "version %d", v);
    }
    struct wire_string stable = wire_string_of("stable");
    struct list_groups_request some = {.states_filter = &stable, .states_filter_count = 1};
    struct list_groups_response *listed = client_ask(client, LIST, 4, &some);
    cr_assert_eq(listed->groups_count, 1);
    cr_assert(wire_string_equal(listed->groups[0].group_id, wire_string_of("b")));
    struct wire_string names[] = {wire_string_of("a"), wire_string_of("b"), wire_string_of("c")};
    struct delete_groups_request q = {names, 3};
    struct delete_groups_response *a = client_ask(client, DELETE, 2, &q);
    cr_assert_eq(a->results[0].error_code, 0);
    cr_assert_eq(a->results[1].error_code, 68, "it has a member");
    cr_assert_eq(a->results[2].error_code, 69);
    cr_assert_eq(committed(client, 8, "a", "t", id, false), -1);
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    cr_assert_eq(committed(client, 8, "a", "t", id, false), -1, "it does not come back");
    struct list_groups_response *left = client_ask(client, LIST, 5, &all);
    cr_assert_eq(left->groups_count, 1);
    client_close(client);
    broker_stop(b);
}

Test(groups, offsets_are_deleted_unless_somebody_reads_the_topic, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "g");
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 5), 0);
    struct offset_delete_request_partitions p = {0};
    struct offset_delete_request_topics t = {wire_string_of("t"), &p, 1};
    struct offset_delete_request q = {wire_string_of("g"), &t, 1};
    struct offset_delete_response *a = client_ask(client, FORGET, 0, &q);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->topics[0].partitions[0].error_code, 0);
    cr_assert_eq(committed(client, 8, "g", "t", id, false), -1);
    struct join_group_response *j = join_alone(client, 5, "g"); /* its topics cannot be read */
    cr_assert_eq(sync_as(client, 5, "g", j)->error_code, 0);
    a = client_ask(client, FORGET, 0, &q);
    cr_assert_eq(a->topics[0].partitions[0].error_code, 86);
    q.group_id = wire_string_of("nobody");
    a = client_ask(client, FORGET, 0, &q);
    cr_assert_eq(a->error_code, 69);
    client_close(client);
    broker_stop(b);
}

/* What was committed for a topic goes with it, also for the topic that takes its name. */
Test(groups, offsets_go_with_their_topic, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "g");
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 5), 0);
    struct wire_string name = wire_string_of("t");
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    struct delete_topics_response *a = client_ask(client, 20, 3, &q);
    cr_assert_eq(a->responses[0].error_code, 0);
    while (committed(client, 8, "g", "t", id, false) == 5) {
    }
    cr_assert_eq(committed(client, 8, "g", "t", id, false), -1);
    client_close(client);
    broker_stop(b);
}

/* While the group commits, so that what it has committed for the topic cannot be deleted at once. */
Test(groups, offsets_of_a_former_topic_are_not_those_of_the_new_one, .timeout = 60)
{
    enum { BUSY = 2000 };
    struct broker *b = broker_start(2, at_once);
    int client = client_open(b), busy = client_open(b);
    topic_create(client, "t", 1, NULL);
    topic_create(client, "u", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "g");
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 5), 0);
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics u = {
        .name = wire_string_of("u"), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_metadata = wire_string_of("");
    q.group_id = wire_string_of("g");
    q.generation_id_or_member_epoch = -1;
    q.group_instance_id = wire_string_null();
    q.topics = &u;
    q.topics_count = 1;
    for (int i = 0; i < BUSY; i++) {
        client_send(busy, COMMIT, 8, i, &q);
    }
    struct wire_string name = wire_string_of("t");
    struct delete_topics_request d = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    struct delete_topics_response *gone = client_ask(client, 20, 3, &d);
    cr_assert_eq(gone->responses[0].error_code, 0);
    topic_create(client, "t", 1, NULL);
    cr_assert_eq(committed(client, 7, "g", "t", id, false), -1);
    for (int i = 0; i < BUSY; i++) {
        struct offset_commit_response *a = client_receive(busy, COMMIT, 8, i);
        cr_assert_eq(a->topics[0].partitions[0].error_code, 0);
    }
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 6), 0);
    cr_assert_eq(committed(client, 7, "g", "t", id, false), 6);
    client_close(client);
    client_close(busy);
    broker_stop(b);
}

/* More than one batch of deletions takes: the next one follows at once. */
Test(groups, all_offsets_go_with_a_large_topic, .timeout = 60)
{
    enum { PARTITIONS = 1500 };
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "large", PARTITIONS, NULL);
    coordinator_find(client, "g");
    static struct offset_commit_request_partitions p[PARTITIONS];
    for (int i = 0; i < PARTITIONS; i++) {
        offset_commit_request_partitions_init(&p[i]);
        p[i].partition_index = i;
        p[i].committed_offset = 5;
        p[i].committed_metadata = wire_string_of("");
    }
    struct offset_commit_request_topics t = {
        .name = wire_string_of("large"), .partitions = p, .partitions_count = PARTITIONS};
    struct offset_commit_request q;
    offset_commit_request_init(&q);
    q.group_id = wire_string_of("g");
    q.generation_id_or_member_epoch = -1;
    q.group_instance_id = wire_string_null();
    q.topics = &t;
    q.topics_count = 1;
    struct offset_commit_response *a = client_ask(client, COMMIT, 8, &q);
    cr_assert_eq(a->topics[0].partitions[PARTITIONS - 1].error_code, 0);
    struct wire_string name = wire_string_of("large");
    struct delete_topics_request d = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    cr_assert_eq(
        ((struct delete_topics_response *)client_ask(client, 20, 3, &d))->responses[0].error_code,
        0);
    while (committed(client, 8, "g", NULL, (struct uuid){0}, true) == 5) {
    }
    client_close(client);
    broker_stop(b);
}

/* A second member waits for the first one, which has heard of it. */
static void join_and_wait(int client, const char *group, int first,
                          const struct join_group_response *j)
{
    join_send(client, 3, group, wire_string_of(""), NULL, "s");
    int error = 0;
    while (error == 0) {
        error = heartbeat(first, 4, group, j->generation_id, j->member_id);
    }
    cr_assert_eq(error, 27);
}

/* The topic of offsets is deleted, and later the broker stops, while a member waits: it is told, and
 * in a new topic everything begins anew. */
Test(groups, who_waits_is_told_when_the_coordinator_goes, .timeout = 60)
{
    struct broker *b = broker_start(2, at_once);
    int first = client_open(b), second = client_open(b), admin = client_open(b);
    topic_create(admin, "t", 1, NULL);
    struct uuid id = topic_id(admin, "t");
    coordinator_find(first, "g");
    struct join_group_response *j = join_alone(first, 5, "g");
    cr_assert_eq(sync_as(first, 5, "g", j)->error_code, 0);
    join_and_wait(second, "g", first, j);
    struct wire_string name = wire_string_of("__consumer_offsets");
    struct delete_topics_request q = {
        .topic_names = &name, .topic_names_count = 1, .timeout_ms = 10000};
    cr_assert_eq(
        ((struct delete_topics_response *)client_ask(admin, 20, 4, &q))->responses[0].error_code,
        0);
    cr_assert_eq(joined(second, 3)->error_code, 16);
    cr_assert_eq(heartbeat(first, 4, "g", j->generation_id, j->member_id), 15);
    cr_assert_eq(commit(first, 8, "g", j->generation_id, j->member_id, "t", id, 5), 15);
    coordinator_find(first, "g");
    cr_assert_eq(heartbeat(first, 4, "g", j->generation_id, j->member_id), 25);
    j = join_alone(first, 5, "g");
    cr_assert_eq(sync_as(first, 5, "g", j)->error_code, 0);
    join_and_wait(second, "g", first, j);
    broker_stop(b);
    size_t size;
    uint8_t *bytes = client_receive_bytes(second, &size);
    cr_assert(!bytes || (size > 10 && bytes[9] == 15), "told to look for another coordinator");
    free(bytes);
    client_close(first);
    client_close(second);
    client_close(admin);
}

/* A group is looked for where its name hashes to: with another number of partitions nobody would find
 * what it has committed. */
Test(groups, the_topic_of_offsets_does_not_grow, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "g");
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 5), 0);
    struct create_partitions_request_topics topic;
    struct create_partitions_request q;
    create_partitions_request_topics_init(&topic);
    create_partitions_request_init(&q);
    topic.name = wire_string_of("__consumer_offsets");
    topic.count = 60;
    topic.assignments_count = -1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 5000;
    struct create_partitions_response *a = client_ask(client, 37, 1, &q);
    cr_assert_eq(a->results[0].error_code, 37, "%d", a->results[0].error_code);
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 6), 0);
    client_close(client);
    broker_stop(b);
}

/* What the groups remember is not forgotten because somebody trims all topics. */
Test(groups, the_topic_of_offsets_is_not_trimmed, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    coordinator_find(client, "g");
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 5), 0);
    struct delete_records_request_partitions p = {.offset = -1};
    struct delete_records_request_topics topic = {
        .name = wire_string_of("__consumer_offsets"), .partitions = &p, .partitions_count = 1};
    struct delete_records_request q = {.topics = &topic, .topics_count = 1, .timeout_ms = 5000};
    struct delete_records_response *a = client_ask(client, 21, 2, &q);
    cr_assert_eq(a->topics[0].partitions[0].error_code, 17, "%d",
                 a->topics[0].partitions[0].error_code);
    cr_assert_eq(a->topics[0].partitions[0].low_watermark, -1);
    client_close(client);
    broker_stop(b);
}

static struct join_group_response *join_named(struct broker *b, const char *group,
                                              struct wire_string type, struct wire_string protocol,
                                              struct wire_string instance)
{
    int client = client_open(b);
    struct join_group_request_protocols only = {protocol, bytes_from("s")};
    struct join_group_request q;
    join_group_request_init(&q);
    q.group_id = wire_string_of(group);
    q.session_timeout_ms = 6000;
    q.rebalance_timeout_ms = 6000;
    q.group_instance_id = instance;
    q.protocol_type = type;
    q.protocols = &only;
    q.protocols_count = 1;
    struct join_group_response *a = client_ask(client, JOIN, 5, &q);
    client_close(client);
    return a;
}

/* Names are told back to clients, written to the log and compared: a zero byte in one ended the
 * broker, an instance id of 32 KiB the connection. */
Test(groups, names_that_are_no_texts_are_refused, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    coordinator_find(client, "g");
    client_close(client);
    static const char zero[] = "a\0b";
    const struct wire_string type = wire_string_of("consumer"), protocol = wire_string_of("range");
    const struct wire_string bad = {zero, 3}, none = wire_string_null();
    cr_assert_eq(join_named(b, "g", type, bad, wire_string_of("i"))->error_code, 42);
    cr_assert_eq(join_named(b, "g", bad, protocol, wire_string_of("i"))->error_code, 42);
    cr_assert_eq(join_named(b, "g", type, protocol, bad)->error_code, 42);
    cr_assert_eq(join_named(b, "g", type, protocol, wire_string_of(""))->error_code, 42);
    static char large[INT16_MAX + 1];
    memset(large, 'i', INT16_MAX);
    cr_assert_eq(join_named(b, "g", type, protocol, wire_string_of(large))->error_code, 42);
    large[249] = 0;
    struct join_group_response *a = join_named(b, "g", type, protocol, wire_string_of(large));
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->member_id.size, 249 + 1 + 32);
    cr_assert_eq(join_named(b, "h", type, protocol, none)->error_code, 79);
    broker_stop(b);
}

/* A client id is anybody's own affair; of a member id it is only the beginning. */
Test(groups, any_client_id_may_join, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    coordinator_find(client, "g");
    static char large[INT16_MAX];
    memset(large, 'c', sizeof large);
    memcpy(large + 254, "\xc3\xa4", 2); /* not cut in the middle */
    const struct wire_string ids[] = {{"\0a", 2}, {"\0a", 2}, {large, INT16_MAX}};
    const int32_t sizes[] = {33, 33, 254 + 33};
    for (size_t i = 0; i < array_size(ids); i++) {
        struct join_group_request_protocols only = {wire_string_of("range"), bytes_from("s")};
        struct join_group_request q;
        join_group_request_init(&q);
        q.group_id = wire_string_of("g");
        q.session_timeout_ms = q.rebalance_timeout_ms = 6000;
        q.protocol_type = wire_string_of("consumer");
        q.protocols = &only;
        q.protocols_count = 1;
        client_send_as(client, ids[i], JOIN, 5, 1, &q);
        struct join_group_response *a = joined(client, 5);
        cr_assert_eq(a->error_code, 79);
        cr_assert_eq(a->member_id.size, sizes[i]);
    }
    client_close(client);
    broker_stop(b);
}

static int commit_noted(int client, const char *group, const char *topic, struct wire_string note)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of(topic), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.committed_metadata = note;
    q.group_id = wire_string_of(group);
    q.generation_id_or_member_epoch = -1;
    q.topics = &t;
    q.topics_count = 1;
    struct offset_commit_response *a = client_ask(client, COMMIT, 7, &q);
    return a->topics[0].partitions[0].error_code;
}

/* A note of a commit comes back as it was given, also after a restart. */
Test(groups, a_note_is_any_bytes, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    coordinator_find(client, "g");
    const struct wire_string note = {"a\0b", 3};
    cr_assert_eq(commit_noted(client, "g", "t", note), 0);
    for (int life = 0; life < 2; life++) {
        int32_t index = 0;
        struct offset_fetch_request_topics topic = {wire_string_of("t"), &index, 1};
        struct offset_fetch_request q = {
            .group_id = wire_string_of("g"), .topics = &topic, .topics_count = 1};
        struct offset_fetch_response *a = client_ask(client, OFFSETS, 5, &q);
        cr_assert(wire_string_equal(a->topics[0].partitions[0].metadata, note));
        client_close(client);
        broker_restart(b);
        client = client_open(b);
    }
    client_close(client);
    broker_stop(b);
}

Test(groups, bad_questions_get_the_error_of_the_protocol, .timeout = 60)
{
    struct broker *b = broker_start(1, at_once);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = topic_id(client, "t");
    cr_assert_eq(heartbeat(client, 0, "g", 1, wire_string_of("m")), 15, "there is no topic yet");
    coordinator_find(client, "g");
    cr_assert_eq(heartbeat(client, 0, "", 1, wire_string_of("m")), 24);
    cr_assert_eq(committed(client, 8, "nobody", NULL, id, true), -2, "nothing at all");
    join_send(client, 5, "g", wire_string_of("unknown"), NULL, "s");
    cr_assert_eq(joined(client, 5)->error_code, 25);
    struct join_group_request q;
    join_group_request_init(&q);
    q.group_id = wire_string_of("g");
    q.session_timeout_ms = 5999;
    q.protocol_type = wire_string_of("consumer");
    cr_assert_eq(((struct join_group_response *)client_ask(client, JOIN, 5, &q))->error_code, 26);
    q.session_timeout_ms = 6000;
    cr_assert_eq(((struct join_group_response *)client_ask(client, JOIN, 5, &q))->error_code, 23,
                 "no protocol at all");
    cr_assert_eq(commit(client, 8, "g", 5, wire_string_of("m"), "t", id, 5), 22);
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "none", id, 5), 3);
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of(""), "t", id, 5), 0);
    cr_assert_eq(commit(client, 8, "g", -1, wire_string_of("m"), "t", id, 6), 0,
                 "nobody asks who it is while there are no members");
    cr_assert_eq(commit(client, 10, "g", -1, wire_string_of(""), "t", (struct uuid){{1}}, 5), 100);
    struct produce_response_partition_responses *r =
        produce(client, "__consumer_offsets", 0, batch_make(1, 0, 10, NULL), -1);
    cr_assert_eq(r->error_code, 17, "the broker alone writes there");
    client_close(client);
    broker_stop(b);
}
