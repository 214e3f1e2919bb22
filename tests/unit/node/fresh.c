/* SPDX-License-Identifier: Apache-2.0 */

/* What one node has answered, another one shows to who asks it then, however late its image is; and where nobody
 * answers for the quorum, no node says "unknown" or "nothing", and none keeps the client waiting. */
#include "open.h"

#include "wire/wire.h"

static struct cluster_world w;

enum {
    UNKNOWN_TOPIC = 3,
    UNKNOWN_TOPIC_ID = 100,
    LEADER_NOT_AVAILABLE = 5,
    TIMED_OUT = 7,
    OUT_OF_RANGE = 1,
    UNKNOWN_EPOCH = 75,
    OFFSET_NOT_AVAILABLE = 78,
    RESOURCE_TOPIC = 2,
    CONFIG_SET = 0,
    LATE_MS = 300, /* how far the image of one node is behind */
};

/* --- asking ----------------------------------------------------------------------------------- */

static void *answer_of(struct ask *a)
{
    cr_assert_not_null(a);
    uint64_t until = sim_now(w.sim) + 1500 * CLUSTER_MS;
    while (!a->over) {
        cr_assert_lt(sim_now(w.sim), until, "API %d is not answered", (int)a->key);
        world_run(&w, CLUSTER_MS);
    }
    cr_assert(a->answered, "API %d is not answered", (int)a->key);
    return ask_answer(a);
}

static int partitions_error(struct member *m, const char *name, int32_t *replicas)
{
    const struct describe_topic_partitions_response *r = answer_of(ask_partitions(&w, m, name));
    cr_assert_eq(r->topics_count, 1);
    *replicas =
        r->topics[0].partitions_count > 0 ? r->topics[0].partitions[0].replica_nodes_count : 0;
    return r->topics[0].error_code;
}

/* The value of a key of a topic. */
static int config_error(struct member *m, const char *name, char value[static 32])
{
    const struct describe_configs_response *r = answer_of(ask_configs(&w, m, name));
    cr_assert_eq(r->results_count, 1);
    if (r->results[0].error_code) {
        cr_assert_gt(r->results[0].error_message.size, 0);
    } else {
        struct wire_string v = r->results[0].configs[0].value;
        snprintf(value, 32, "%.*s", (int)v.size, v.data);
    }
    return r->results[0].error_code;
}

static const struct list_partition_reassignments_response *reassignments(struct member *m)
{
    struct list_partition_reassignments_request q;
    list_partition_reassignments_request_init(&q);
    q.topics_count = -1;
    return answer_of(ask_begin(&w, m, WIRE_LIST_PARTITION_REASSIGNMENTS, 0, &q));
}

static bool lists_topic(struct member *m, const char *name)
{
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics_count = -1;
    const struct metadata_response *r = answer_of(ask_begin(&w, m, WIRE_METADATA, 4, &q));
    for (int32_t i = 0; i < r->topics_count; i++) {
        if (wire_string_equal(r->topics[i].name, wire_string_of(name))) {
            return true;
        }
    }
    return false;
}

/* What Metadata says of a topic by its id, beside one to be created if `create`. */
static int id_error(struct member *m, struct uuid id, bool create)
{
    struct metadata_request_topics topics[2];
    struct metadata_request q;
    metadata_request_init(&q);
    metadata_request_topics_init(&topics[0]);
    metadata_request_topics_init(&topics[1]);
    topics[0].topic_id = id;
    topics[0].name = wire_string_null();
    topics[1].name = wire_string_of("beside");
    q.topics = topics;
    q.topics_count = create ? 2 : 1;
    q.allow_auto_topic_creation = create;
    const struct metadata_response *r = answer_of(ask_begin(&w, m, WIRE_METADATA, 12, &q));
    cr_assert_eq(r->topics_count, q.topics_count);
    return r->topics[0].error_code;
}

enum { MANY = 300 }; /* more than one node creates at a time */

/* How many of many topics, all of them to be created, are called unknown. */
static int count_unknown(struct member *m)
{
    static char names[MANY][8];
    static struct metadata_request_topics topics[MANY];
    struct metadata_request q;
    metadata_request_init(&q);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        metadata_request_topics_init(&topics[i]);
        topics[i].name = wire_string_of(names[i]);
    }
    q.topics = topics;
    q.topics_count = MANY;
    q.allow_auto_topic_creation = true;
    const struct metadata_response *r = answer_of(ask_begin(&w, m, WIRE_METADATA, 4, &q));
    cr_assert_eq(r->topics_count, MANY);
    int unknown = 0;
    for (int i = 0; i < MANY; i++) {
        unknown += r->topics[i].error_code == UNKNOWN_TOPIC;
    }
    return unknown;
}

static const struct describe_cluster_response *cluster_of(struct member *m)
{
    struct describe_cluster_request q;
    describe_cluster_request_init(&q);
    q.include_fenced_brokers = true;
    return answer_of(ask_begin(&w, m, WIRE_DESCRIBE_CLUSTER, 2, &q));
}

static int elect_all_error(struct member *m)
{
    struct elect_leaders_request q;
    elect_leaders_request_init(&q);
    q.topic_partitions_count = -1;
    q.timeout_ms = 2000;
    const struct elect_leaders_response *r = answer_of(ask_begin(&w, m, WIRE_ELECT_LEADERS, 1, &q));
    return r->error_code;
}

/* --- changing --------------------------------------------------------------------------------- */

static const struct told_topic *create(struct member *m)
{
    const struct told_topic *t = world_create(&w, m);
    cr_assert_not_null(t);
    while (t->state == TOPIC_ASKED) {
        world_run(&w, CLUSTER_MS);
    }
    cr_assert_eq(t->state, TOPIC_THERE);
    return t;
}

static void configure(struct member *m, const struct told_topic *t, const char *value)
{
    struct incremental_alter_configs_request_configs config = {wire_string_of("segment.bytes"),
                                                               CONFIG_SET, wire_string_of(value)};
    struct incremental_alter_configs_request_resources resource = {
        .resource_type = RESOURCE_TOPIC,
        .resource_name = wire_string_of(t->name),
        .configs = &config,
        .configs_count = 1,
    };
    struct incremental_alter_configs_request q;
    incremental_alter_configs_request_init(&q);
    q.resources = &resource;
    q.resources_count = 1;
    const struct incremental_alter_configs_response *r =
        answer_of(ask_begin(&w, m, WIRE_INCREMENTAL_ALTER_CONFIGS, 1, &q));
    cr_assert_eq(r->responses[0].error_code, 0);
}

static void reassign(struct member *m, const struct told_topic *t, int32_t *to, int32_t count)
{
    struct alter_partition_reassignments_request_partitions partition;
    struct alter_partition_reassignments_request_topics topic;
    struct alter_partition_reassignments_request q;
    alter_partition_reassignments_request_init(&q);
    alter_partition_reassignments_request_topics_init(&topic);
    alter_partition_reassignments_request_partitions_init(&partition);
    partition.replicas = to;
    partition.replicas_count = count;
    topic.name = wire_string_of(t->name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 2000;
    struct ask *a = ask_begin(&w, m, WIRE_ALTER_PARTITION_REASSIGNMENTS, 0, &q);
    (void)answer_of(a);
    cr_assert(world_reassigned(a));
}

static int fetch_error(struct member *m, const struct told_topic *t, int32_t partition,
                       int64_t offset)
{
    struct fetch_request_partitions part;
    struct fetch_request_topics topic;
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_topics_init(&topic);
    fetch_request_partitions_init(&part);
    part.partition = partition;
    part.fetch_offset = offset;
    part.partition_max_bytes = 1000;
    topic.topic = wire_string_of(t->name);
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.topics = &topic;
    q.topics_count = 1;
    const struct fetch_response *r = answer_of(ask_begin(&w, m, WIRE_FETCH, 11, &q));
    cr_assert_eq(r->responses_count, 1);
    return r->responses[0].partitions[0].error_code;
}

static int epoch_error(struct member *m, const struct told_topic *t, int32_t partition,
                       int32_t epoch)
{
    struct offset_for_leader_epoch_request_partitions part;
    struct offset_for_leader_epoch_request_topics topic = {.topic = wire_string_of(t->name)};
    struct offset_for_leader_epoch_request q;
    offset_for_leader_epoch_request_init(&q);
    offset_for_leader_epoch_request_partitions_init(&part);
    part.partition = partition;
    part.leader_epoch = epoch;
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.topics = &topic;
    q.topics_count = 1;
    const struct offset_for_leader_epoch_response *r =
        answer_of(ask_begin(&w, m, WIRE_OFFSET_FOR_LEADER_EPOCH, 3, &q));
    cr_assert_eq(r->topics_count, 1);
    cr_assert(r->topics[0].partitions[0].error_code || r->topics[0].partitions[0].end_offset == -1);
    return r->topics[0].partitions[0].error_code;
}

static void open_three(uint64_t seed)
{
    open_world_in(&w, seed, 3);
    for (uint32_t i = 0; i < w.count; i++) {
        member_start(&w.members[i]);
    }
    world_settle(&w, 10000 * CLUSTER_MS);
}

static struct member *another(const struct member *m)
{
    return m == &w.members[0] ? &w.members[1] : &w.members[0];
}

/* --- the stories ------------------------------------------------------------------------------ */

Test(fresh, what_was_answered_is_shown)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        open_three(seed);
        struct member *leader = world_leader(&w), *late = another(leader);
        char value[32] = "";
        int32_t replicas;
        sim_link_clog(w.sim, (unsigned)leader->id - 1, (unsigned)late->id - 1,
                      LATE_MS * CLUSTER_MS);
        cr_expect_eq(partitions_error(late, create(leader)->name, &replicas), 0);
        cr_expect_eq(config_error(late, create(leader)->name, value), 0);
        cr_expect(lists_topic(late, create(leader)->name));
        const struct told_topic *t = create(leader);
        configure(leader, t, "1048576");
        cr_expect_eq(config_error(late, t->name, value), 0);
        cr_expect_str_eq(value, "1048576");
        int32_t to[] = {leader->id, late->id, 6 - leader->id - late->id};
        reassign(leader, t, to, 3);
        const struct list_partition_reassignments_response *r = reassignments(late);
        cr_expect_eq(r->error_code, 0);
        cr_expect_eq(r->topics_count, 1, "for what the late one fetches is late as well");
        cr_expect_eq(partitions_error(late, t->name, &replicas), 0);
        cr_expect_eq(replicas, 3);
        world_close(&w);
    }
}

Test(fresh, nobody_answers_for_the_quorum)
{
    open_three(7);
    struct member *m = another(world_leader(&w));
    const struct told_topic *t = create(world_leader(&w));
    char value[32] = "";
    int32_t replicas;
    world_run(&w, 500 * CLUSTER_MS);
    member_cut(m, true, true);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(partitions_error(m, "nothing", &replicas), LEADER_NOT_AVAILABLE);
        cr_expect_eq(partitions_error(m, t->name, &replicas), 0, "as it is known here");
        cr_expect_eq(config_error(m, "nothing", value), TIMED_OUT);
        cr_expect_eq(config_error(m, t->name, value), 0);
        cr_expect_eq(reassignments(m)->error_code, TIMED_OUT);
        cr_expect_eq(elect_all_error(m), TIMED_OUT);
        cr_expect(lists_topic(m, t->name));
        cr_expect_eq(cluster_of(m)->brokers_count, 3);
        world_run(&w, 5000 * CLUSTER_MS);
    }
    world_heal(&w);
    world_settle(&w, 20000 * CLUSTER_MS);
    cr_expect_eq(partitions_error(m, "nothing", &replicas), UNKNOWN_TOPIC);
    cr_expect_eq(config_error(m, "nothing", value), UNKNOWN_TOPIC);
    cr_expect_eq(reassignments(m)->error_code, 0);
    cr_expect_eq(elect_all_error(m), 0);
    world_close(&w);
}

Test(fresh, what_is_created_beside_makes_nothing_unknown)
{
    const struct uuid nothing = {{9, 9, 9}};
    open_three(8);
    struct member *m = another(world_leader(&w));
    cr_expect_eq(id_error(m, nothing, false), UNKNOWN_TOPIC_ID);
    member_cut(m, true, true);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(id_error(m, nothing, false), LEADER_NOT_AVAILABLE);
        world_run(&w, 5000 * CLUSTER_MS);
    }
    world_heal(&w);
    world_settle(&w, 20000 * CLUSTER_MS);
    cr_expect_eq(id_error(m, nothing, false), UNKNOWN_TOPIC_ID);
    member_cut(m, true, true);
    for (int round = 0; round < 2; round++) {
        cr_expect_eq(id_error(m, nothing, true), LEADER_NOT_AVAILABLE);
        cr_expect_eq(count_unknown(m), 0);
        world_run(&w, 5000 * CLUSTER_MS);
    }
    world_close(&w);
}

/* What a consumer knows of a newer leader is nothing that an older one may call wrong: it would begin anew. */
Test(fresh, who_may_have_been_replaced_knows_no_end)
{
    open_three(11);
    w.options.replication_factor = 3;
    const struct told_topic *t = create(world_leader(&w));
    world_run(&w, 2000 * CLUSTER_MS);
    const struct image_topic *in =
        image_topic_by_name(w.members[0].node->image, bytes_of_string(t->name));
    int32_t partition = 0;
    while (in->partitions[partition].leader == world_leader(&w)->id) {
        partition++;
    }
    struct member *old = &w.members[in->partitions[partition].leader - 1];
    cr_expect_eq(fetch_error(old, t, partition, 5), OUT_OF_RANGE);
    cr_expect_eq(epoch_error(old, t, partition, 9), 0);
    member_cut(old, true, true);
    world_run(&w, 5000 * CLUSTER_MS);
    cr_expect_eq(fetch_error(old, t, partition, 5), OFFSET_NOT_AVAILABLE);
    cr_expect_eq(epoch_error(old, t, partition, 9), UNKNOWN_EPOCH);
    in = image_topic_by_name(world_leader(&w)->node->image, bytes_of_string(t->name));
    struct member *new = &w.members[in->partitions[partition].leader - 1];
    cr_expect_neq(new, old);
    cr_expect_eq(fetch_error(new, t, partition, 5), OUT_OF_RANGE);
    cr_expect_eq(epoch_error(new, t, partition, 9), 0);
    world_close(&w);
}
