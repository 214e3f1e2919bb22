/* SPDX-License-Identifier: Apache-2.0 */

/* The controller's decisions, as tables: what is asked, which error and which words come back, and
 * what the image says afterwards. */
#include "support.h"

#include "meta/topic.h"

#include <stdlib.h>

#include <criterion/criterion.h>

static const int32_t *const to_one[] = {(const int32_t[]){1}, (const int32_t[]){1}};
static const int32_t *const to_two[] = {(const int32_t[]){2}};
static const int32_t *const twice[] = {(const int32_t[]){1, 1}};
static const int32_t *const empty_list[] = {(const int32_t[]){0}};
static const int32_t ones[] = {1, 1}, two[] = {2}, zero[] = {0};

#define CONFIGS(...)                                                                               \
    .changes = (const struct meta_config_change[]){__VA_ARGS__},                                   \
    .change_count = sizeof((const struct meta_config_change[]){__VA_ARGS__}) /                     \
                    sizeof(struct meta_config_change)

struct create_case {
    const char *name;
    struct meta_op op;
    int error;
    const char *why; /* a part of the sentence */
};

static char long_name[TOPIC_NAME_MAX + 2];

static const struct create_case create_cases[] = {
    {"plain", {.topic = "events", .partitions = 4, .replication_factor = 1}, 0, ""},
    {"defaults", {.topic = "defaults", .partitions = -1, .replication_factor = -1}, 0, ""},
    {"every allowed character",
     {.topic = "aZ09-._x", .partitions = 1, .replication_factor = -1},
     0,
     ""},
    {"three dots are a name", {.topic = "...", .partitions = 1, .replication_factor = -1}, 0, ""},
    {"empty name", {.topic = "", .partitions = 1, .replication_factor = 1}, ERR_INVALID_TOPIC, ""},
    {"dot", {.topic = ".", .partitions = 1, .replication_factor = 1}, ERR_INVALID_TOPIC, ""},
    {"two dots", {.topic = "..", .partitions = 1, .replication_factor = 1}, ERR_INVALID_TOPIC, ""},
    {"space", {.topic = "a b", .partitions = 1, .replication_factor = 1}, ERR_INVALID_TOPIC, "ill"},
    {"slash", {.topic = "a/b", .partitions = 1, .replication_factor = 1}, ERR_INVALID_TOPIC, ""},
    {"high byte",
     {.topic = "caf\xc3\xa9", .partitions = 1, .replication_factor = 1},
     ERR_INVALID_TOPIC,
     ""},
    {"too long",
     {.topic = long_name, .partitions = 1, .replication_factor = 1},
     ERR_INVALID_TOPIC,
     "249"},
    {"exists",
     {.topic = "there", .partitions = 1, .replication_factor = 1},
     ERR_TOPIC_ALREADY_EXISTS,
     "already exists"},
    {"collides",
     {.topic = "with_dot", .partitions = 1, .replication_factor = 1},
     ERR_INVALID_TOPIC,
     "collides with existing topic 'with.dot'"},
    {"internal",
     {.topic = "__consumer_offsets", .partitions = 1, .replication_factor = 1},
     ERR_INVALID_TOPIC,
     "own"},
    {"metadata log",
     {.topic = "__cluster_metadata", .partitions = 1, .replication_factor = 1},
     ERR_INVALID_TOPIC,
     "own"},
    {"no partitions",
     {.topic = "p", .partitions = 0, .replication_factor = 1},
     ERR_INVALID_PARTITIONS,
     "non-positive"},
    {"negative partitions",
     {.topic = "p", .partitions = -2, .replication_factor = 1},
     ERR_INVALID_PARTITIONS,
     ""},
    {"too many partitions at once",
     {.topic = "p", .partitions = 10001, .replication_factor = 1},
     ERR_POLICY_VIOLATION,
     "10001"},
    {"no replicas",
     {.topic = "p", .partitions = 1, .replication_factor = 0},
     ERR_INVALID_REPLICATION_FACTOR,
     "larger than 0"},
    {"more replicas than brokers",
     {.topic = "p", .partitions = 1, .replication_factor = 2},
     ERR_INVALID_REPLICATION_FACTOR,
     "only 1 broker"},
    {"assigned",
     {.topic = "assigned",
      .partitions = -1,
      .replication_factor = -1,
      .assignments = to_one,
      .assignment_counts = ones,
      .assignment_count = 2},
     0,
     ""},
    {"assigned and counted",
     {.topic = "p",
      .partitions = 2,
      .replication_factor = -1,
      .assignments = to_one,
      .assignment_counts = ones,
      .assignment_count = 2},
     ERR_INVALID_REQUEST,
     "was not -1"},
    {"assigned to nobody's broker",
     {.topic = "p",
      .partitions = -1,
      .replication_factor = -1,
      .assignments = to_two,
      .assignment_counts = ones,
      .assignment_count = 1},
     ERR_INVALID_REPLICA_ASSIGNMENT,
     "broker 2"},
    {"assigned twice to one",
     {.topic = "p",
      .partitions = -1,
      .replication_factor = -1,
      .assignments = twice,
      .assignment_counts = two,
      .assignment_count = 1},
     ERR_INVALID_REPLICA_ASSIGNMENT,
     "more than once"},
    {"assigned to none",
     {.topic = "p",
      .partitions = -1,
      .replication_factor = -1,
      .assignments = empty_list,
      .assignment_counts = zero,
      .assignment_count = 1},
     ERR_INVALID_REPLICA_ASSIGNMENT,
     ""},
    {"empty assignment",
     {.topic = "p",
      .partitions = -1,
      .replication_factor = -1,
      .assignments = to_one,
      .assignment_counts = ones,
      .assignment_count = 0},
     ERR_INVALID_REPLICA_ASSIGNMENT,
     "empty"},
    {"configured",
     {.topic = "configured",
      .partitions = 1,
      .replication_factor = 1,
      CONFIGS({"retention.ms", "1000", META_CONFIG_SET},
              {"durability", "memory", META_CONFIG_SET})},
     0,
     ""},
    {"unknown configuration",
     {.topic = "p",
      .partitions = 1,
      .replication_factor = 1,
      CONFIGS({"no.such.key", "1", META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "no.such.key"},
    {"configuration without value",
     {.topic = "p",
      .partitions = 1,
      .replication_factor = 1,
      CONFIGS({"retention.ms", NULL, META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "Null value"},
    {"configuration out of range",
     {.topic = "p",
      .partitions = 1,
      .replication_factor = 1,
      CONFIGS({"retention.ms", "-2", META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "retention.ms"},
    {"a policy that there is not",
     {.topic = "p",
      .partitions = 1,
      .replication_factor = 1,
      CONFIGS({"cleanup.policy", "compact,purge", META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "cleanup.policy"},
};

Test(controller, create_topic_cases)
{
    memset(long_name, 'x', sizeof long_name - 1);
    for (size_t i = 0; i < array_size(create_cases); i++) {
        const struct create_case *c = &create_cases[i];
        for (int only_checked = 0; only_checked < 2; only_checked++) {
            struct bench b;
            bench_open(&b, 1);
            struct meta_op there = op_create("there", 1), dotted = op_create("with.dot", 1);
            cr_assert_eq(bench_run(&b, &there), 0);
            cr_assert_eq(bench_run(&b, &dotted), 0);
            uint32_t batches = b.batches;
            struct meta_op op = c->op;
            op.kind = META_CREATE_TOPIC;
            op.validate_only = only_checked;
            int error = bench_run(&b, &op);
            cr_expect_eq(error, c->error, "%s: %s (%s)", c->name, error_name(error), op.why);
            cr_expect(strstr(op.why, c->why) != NULL, "%s: says \"%s\"", c->name, op.why);
            cr_expect((error != 0) == (op.why[0] != 0), "%s: says \"%s\"", c->name, op.why);
            bool made = error == 0 && !only_checked;
            cr_expect_eq(b.batches, batches + made, "%s", c->name);
            cr_expect_eq(uuid_is_zero(op.topic_id), !made, "%s", c->name);
            cr_expect_eq(image_topic_count(b.image), 2 + made, "%s", c->name);
            bench_close(&b);
        }
    }
}

Test(controller, a_new_topic_stands_in_the_image)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op op = op_create("events", -1);
    cr_assert_eq(bench_run(&b, &op), 0);
    const struct image_topic *t = image_topic_by_id(b.image, op.topic_id);
    cr_assert_not_null(t);
    cr_assert_eq(t, image_topic_by_name(b.image, bytes_of_string("events")));
    cr_assert_eq(t->partition_count, 3, "num.partitions");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(t->partitions[i].leader, 1);
        cr_assert_eq(t->partitions[i].leader_epoch, 0);
        cr_assert_eq(t->partitions[i].replica_count, 1);
        cr_assert_eq(t->partitions[i].isr_count, 1);
        cr_assert_eq(t->partitions[i].isr[0], 1);
    }
    cr_assert_eq(t->config_count, 0);
    bench_close(&b);
}

Test(controller, default_durability_is_written_down)
{
    struct bench b;
    bench_open(&b, 1);
    b.limits.memory_by_default = true;
    struct meta_op silent = op_create("silent", 1), chosen = op_create("chosen", 1);
    const struct meta_config_change fsync = {"durability", "fsync", META_CONFIG_SET};
    chosen.changes = &fsync;
    chosen.change_count = 1;
    cr_assert_eq(bench_run(&b, &silent), 0);
    cr_assert_eq(bench_run(&b, &chosen), 0);
    const struct image_topic *t = image_topic_by_id(b.image, silent.topic_id);
    cr_assert_str_eq(image_topic_config(t, "durability"), "memory");
    t = image_topic_by_id(b.image, chosen.topic_id);
    cr_assert_str_eq(image_topic_config(t, "durability"), "fsync");
    bench_close(&b);
}

Test(controller, placement_is_even)
{
    struct bench b;
    bench_open(&b, 3);
    struct meta_op op = op_create("spread", 6);
    op.replication_factor = 2;
    cr_assert_eq(bench_run(&b, &op), 0, "%s", op.why);
    struct meta_op more = {.kind = META_CREATE_PARTITIONS, .topic = "spread", .partitions = 9};
    cr_assert_eq(bench_run(&b, &more), 0, "%s", more.why);
    const struct image_topic *t = image_topic_by_id(b.image, op.topic_id);
    int leads[4] = {0}, holds[4] = {0};
    for (int i = 0; i < 9; i++) {
        const struct image_partition *p = &t->partitions[i];
        cr_assert_eq(p->leader, p->replicas[0]);
        cr_assert_eq(p->replica_count, 2);
        cr_assert_eq(p->isr_count, 2);
        cr_assert_neq(p->replicas[0], p->replicas[1]);
        leads[p->leader]++;
        holds[p->replicas[0]]++;
        holds[p->replicas[1]]++;
    }
    for (int id = 1; id <= 3; id++) {
        cr_expect_eq(leads[id], 3);
        cr_expect_eq(holds[id], 6);
    }
    bench_close(&b);
}

/* Topics of one partition: it is the load that spreads them. */
Test(controller, small_topics_go_where_less_is)
{
    struct bench b;
    int leads[4] = {0};
    bench_open(&b, 3);
    for (int i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        struct meta_op op = op_create(name, 1);
        cr_assert_eq(bench_run(&b, &op), 0);
        leads[image_topic_by_id(b.image, op.topic_id)->partitions[0].leader]++;
    }
    for (int id = 1; id <= 3; id++) {
        cr_expect_eq(leads[id], 10);
    }
    bench_close(&b);
}

Test(controller, limits_of_topics_and_partitions)
{
    struct bench b;
    bench_open(&b, 1);
    b.limits.topics_max = 2;
    b.limits.partitions_max = 10;
    struct meta_op first = op_create("a", 8), second = op_create("b", 3), third = op_create("b", 2),
                   fourth = op_create("c", 1);
    cr_assert_eq(bench_run(&b, &first), 0);
    cr_assert_eq(bench_run(&b, &second), ERR_POLICY_VIOLATION);
    cr_assert(strstr(second.why, "limits.partitions"), "says \"%s\"", second.why);
    cr_assert_eq(bench_run(&b, &third), 0);
    cr_assert_eq(bench_run(&b, &fourth), ERR_POLICY_VIOLATION);
    bench_close(&b);
}

Test(controller, ten_thousand_partitions_are_one_batch)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op op = op_create("wide", 10000);
    cr_assert_eq(bench_run(&b, &op), 0, "%s", op.why);
    cr_assert_eq(b.batches, 1);
    cr_assert_lt(b.batch.size, 900 << 10);
    cr_assert_eq(image_partition_total(b.image), 10000);
    bench_close(&b);
}

Test(controller, delete_by_name_and_id)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op op = op_create("a", 2), other = op_create("b.c", 1);
    cr_assert_eq(bench_run(&b, &op), 0);
    cr_assert_eq(bench_run(&b, &other), 0);
    struct meta_op no_name = op_delete("zzz"), no_id = {.kind = META_DELETE_TOPIC},
                   by_name = op_delete("a"), by_id = {.kind = META_DELETE_TOPIC};
    no_id.topic_id = id_of(5);
    by_id.topic_id = other.topic_id;
    cr_assert_eq(bench_run(&b, &no_name), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    cr_assert_eq(bench_run(&b, &no_id), ERR_UNKNOWN_TOPIC_ID);
    cr_assert_eq(bench_run(&b, &by_name), 0);
    cr_assert(uuid_equal(by_name.topic_id, op.topic_id), "the id comes back");
    cr_assert_eq(image_topic_count(b.image), 1);
    cr_assert_eq(bench_run(&b, &by_id), 0);
    cr_assert_eq(image_topic_count(b.image), 0);
    cr_assert_eq(image_partition_total(b.image), 0);
    struct meta_op again = op_create("b_c", 1);
    cr_assert_eq(bench_run(&b, &again), 0, "a deleted topic collides with nothing");
    bench_close(&b);
}

Test(controller, partitions_only_grow)
{
    static const struct {
        const char *name;
        const char *topic;
        int32_t total;
        int32_t assigned;
        int error;
        const char *why;
    } cases[] = {
        {"unknown", "zzz", 5, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION, "zzz"},
        {"same", "a", 2, 0, ERR_INVALID_PARTITIONS, "already has 2"},
        {"fewer", "a", 1, 0, ERR_INVALID_PARTITIONS, "would not be an increase"},
        {"negative", "a", -1, 0, ERR_INVALID_PARTITIONS, "would not be an increase"},
        {"far too many", "a", INT32_MAX, 0, ERR_POLICY_VIOLATION, ""},
        {"wrong assignment", "a", 5, 2, ERR_INVALID_REPLICA_ASSIGNMENT, "2 partition(s), but 3"},
        {"more", "a", 5, 0, 0, ""},
        {"more, assigned", "a", 4, 2, 0, ""},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct bench b;
        bench_open(&b, 1);
        struct meta_op made = op_create("a", 2);
        cr_assert_eq(bench_run(&b, &made), 0);
        struct meta_op op = {
            .kind = META_CREATE_PARTITIONS,
            .topic = cases[i].topic,
            .partitions = cases[i].total,
            .assignments = cases[i].assigned ? to_one : NULL,
            .assignment_counts = ones,
            .assignment_count = cases[i].assigned,
        };
        int error = bench_run(&b, &op);
        cr_expect_eq(error, cases[i].error, "%s: %s", cases[i].name, error_name(error));
        cr_expect(strstr(op.why, cases[i].why), "%s: says \"%s\"", cases[i].name, op.why);
        const struct image_topic *t = image_topic_by_id(b.image, made.topic_id);
        cr_expect_eq(t->partition_count, error ? 2 : cases[i].total, "%s", cases[i].name);
        bench_close(&b);
    }
}

Test(controller, producer_ids_come_in_blocks)
{
    struct bench b;
    bench_open(&b, 1);
    for (int i = 0; i < 3; i++) {
        struct meta_op op = {.kind = META_PRODUCER_IDS};
        cr_assert_eq(bench_run(&b, &op), 0);
        cr_assert_eq(op.producer_id_first, i * 1000);
        cr_assert_eq(op.producer_id_count, 1000);
        cr_assert_eq(image_next_producer_id(b.image), (i + 1) * 1000);
    }
    bench_close(&b);
}

struct alter_case {
    const char *name;
    struct meta_op op;
    int error;
    const char *after; /* "key=value " of the target, sorted */
};

static const struct alter_case alter_cases[] = {
    {"set",
     {.topic = "t", CONFIGS({"retention.ms", "5", META_CONFIG_SET})},
     0,
     "retention.ms=5 segment.bytes=2097152 "},
    {"set a second",
     {.topic = "t", CONFIGS({"max.message.bytes", "99", META_CONFIG_SET})},
     0,
     "max.message.bytes=99 retention.ms=1000 segment.bytes=2097152 "},
    {"delete",
     {.topic = "t", CONFIGS({"retention.ms", NULL, META_CONFIG_DELETE})},
     0,
     "segment.bytes=2097152 "},
    {"delete what is not set",
     {.topic = "t", CONFIGS({"max.message.bytes", NULL, META_CONFIG_DELETE})},
     0,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"replace all",
     {.topic = "t", .replace_all = true, CONFIGS({"retention.ms", "7", META_CONFIG_SET})},
     0,
     "retention.ms=7 "},
    {"replace all by nothing", {.topic = "t", .replace_all = true}, 0, ""},
    {"append to a number",
     {.topic = "t", CONFIGS({"retention.ms", "7", META_CONFIG_APPEND})},
     ERR_INVALID_CONFIG,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"append what the list has",
     {.topic = "t", CONFIGS({"cleanup.policy", "delete", META_CONFIG_APPEND})},
     0,
     "cleanup.policy=delete retention.ms=1000 segment.bytes=2097152 "},
    {"append what is not there yet",
     {.topic = "t", CONFIGS({"cleanup.policy", "compact", META_CONFIG_APPEND})},
     0,
     "cleanup.policy=compact,delete retention.ms=1000 segment.bytes=2097152 "},
    {"subtract all",
     {.topic = "t", CONFIGS({"cleanup.policy", "delete", META_CONFIG_SUBTRACT})},
     ERR_INVALID_CONFIG,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"named twice",
     {.topic = "t",
      CONFIGS({"retention.ms", "1", META_CONFIG_SET}, {"retention.ms", "2", META_CONFIG_SET})},
     ERR_INVALID_REQUEST,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"nothing is kept of a half",
     {.topic = "t",
      CONFIGS({"retention.ms", "1", META_CONFIG_SET}, {"segment.bytes", "x", META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"durability is fixed",
     {.topic = "t", CONFIGS({"durability", "memory", META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"durability as it is",
     {.topic = "t", CONFIGS({"durability", "fsync", META_CONFIG_SET})},
     0,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"unknown topic",
     {.topic = "zzz", CONFIGS({"retention.ms", "1", META_CONFIG_SET})},
     ERR_UNKNOWN_TOPIC_OR_PARTITION,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"unknown key",
     {.topic = "t", CONFIGS({"retention", "1", META_CONFIG_SET})},
     ERR_INVALID_CONFIG,
     "retention.ms=1000 segment.bytes=2097152 "},
    {"set without a value",
     {.topic = "t", CONFIGS({"retention.ms", NULL, META_CONFIG_SET})},
     ERR_INVALID_REQUEST,
     "retention.ms=1000 segment.bytes=2097152 "},
};

Test(controller, alter_topic_configs)
{
    for (size_t i = 0; i < array_size(alter_cases); i++) {
        struct bench b;
        bench_open(&b, 1);
        struct meta_op made = {.kind = META_CREATE_TOPIC,
                               .topic = "t",
                               .partitions = 1,
                               .replication_factor = 1,
                               CONFIGS({"retention.ms", "1000", META_CONFIG_SET},
                                       {"segment.bytes", "2097152", META_CONFIG_SET})};
        cr_assert_eq(bench_run(&b, &made), 0, "%s", made.why);
        struct meta_op op = alter_cases[i].op;
        op.kind = META_ALTER_CONFIGS;
        int error = bench_run(&b, &op);
        cr_expect_eq(error, alter_cases[i].error, "%s: %s (%s)", alter_cases[i].name,
                     error_name(error), op.why);
        char after[512] = "";
        const struct image_topic *t = image_topic_by_id(b.image, made.topic_id);
        for (uint32_t k = 0; k < t->config_count; k++) {
            size_t used = strlen(after);
            snprintf(after + used, sizeof after - used, "%s=%s ", t->configs[k].key,
                     t->configs[k].value);
        }
        cr_expect_str_eq(after, alter_cases[i].after, "%s: %s", alter_cases[i].name, after);
        bench_close(&b);
    }
}

Test(controller, memory_topics_keep_their_durability)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op made = {.kind = META_CREATE_TOPIC,
                           .topic = "t",
                           .partitions = 1,
                           .replication_factor = 1,
                           CONFIGS({"durability", "memory", META_CONFIG_SET})};
    cr_assert_eq(bench_run(&b, &made), 0);
    struct meta_op replaced = {.kind = META_ALTER_CONFIGS,
                               .topic = "t",
                               .replace_all = true,
                               CONFIGS({"retention.ms", "5", META_CONFIG_SET})};
    struct meta_op deleted = {.kind = META_ALTER_CONFIGS,
                              .topic = "t",
                              CONFIGS({"durability", NULL, META_CONFIG_DELETE})};
    cr_assert_eq(bench_run(&b, &replaced), 0, "%s", replaced.why);
    cr_assert_eq(bench_run(&b, &deleted), ERR_INVALID_CONFIG);
    const struct image_topic *t = image_topic_by_id(b.image, made.topic_id);
    cr_assert_str_eq(image_topic_config(t, "durability"), "memory");
    cr_assert_str_eq(image_topic_config(t, "retention.ms"), "5");
    bench_close(&b);
}

Test(controller, alter_broker_configs)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op own = {.kind = META_ALTER_CONFIGS,
                          .broker = 1,
                          CONFIGS({"log.retention.ms", "5000", META_CONFIG_SET})};
    struct meta_op all = {.kind = META_ALTER_CONFIGS,
                          .broker = -1,
                          CONFIGS({"log.retention.ms", "9000", META_CONFIG_SET})};
    struct meta_op stranger = {.kind = META_ALTER_CONFIGS,
                               .broker = 9,
                               CONFIGS({"log.retention.ms", "1", META_CONFIG_SET})};
    struct meta_op fixed = {
        .kind = META_ALTER_CONFIGS, .broker = 1, CONFIGS({"data.dir", "/", META_CONFIG_SET})};
    struct meta_op unknown = {
        .kind = META_ALTER_CONFIGS, .broker = 1, CONFIGS({"no.such", "1", META_CONFIG_SET})};
    cr_assert_eq(bench_run(&b, &own), 0, "%s", own.why);
    cr_assert_eq(bench_run(&b, &all), 0, "%s", all.why);
    cr_assert_eq(bench_run(&b, &stranger), ERR_INVALID_REQUEST);
    cr_assert_eq(bench_run(&b, &fixed), ERR_INVALID_REQUEST);
    cr_assert_eq(bench_run(&b, &unknown), ERR_INVALID_CONFIG);
    cr_assert_str_eq(image_broker_config(b.image, 1, "log.retention.ms"), "5000");
    cr_assert_str_eq(image_broker_config(b.image, -1, "log.retention.ms"), "9000");
    struct meta_op cleared = {.kind = META_ALTER_CONFIGS, .broker = 1, .replace_all = true};
    cr_assert_eq(bench_run(&b, &cleared), 0);
    cr_assert_null(image_broker_config(b.image, 1, "log.retention.ms"));
    cr_assert_str_eq(image_broker_config(b.image, -1, "log.retention.ms"), "9000");
    bench_close(&b);
}

/* --- min.insync.replicas ---------------------------------------------------------------------- */

static const char least_key[] = "min.insync.replicas";

static const char *least_of_all(const struct bench *b)
{
    const char *value = image_broker_config(b->image, -1, least_key);
    return value ? value : "none";
}

static int32_t least_of(const struct bench *b, const char *topic)
{
    return image_topic_min_isr(b->image, image_topic_by_name(b->image, bytes_of_string(topic)));
}

/* A node leads whose configuration states it; 0: it does not. */
static void state(struct bench *b, int32_t least)
{
    struct meta_op op = {.kind = META_STATE_CONFIGS};
    b->limits.min_insync_replicas = least;
    cr_assert_eq(bench_run(b, &op), 0, "%s", op.why);
}

static int set_least(struct bench *b, int32_t broker, const char *value)
{
    struct meta_op op = {.kind = META_ALTER_CONFIGS,
                         .broker = broker,
                         CONFIGS({least_key, value, value ? META_CONFIG_SET : META_CONFIG_DELETE})};
    return bench_run(b, &op);
}

/* Leaders, who know the image alone, must not differ from the controller in what is enough. */
Test(controller, what_the_first_controller_states_is_the_clusters)
{
    struct bench b;
    bench_open(&b, 3);
    state(&b, 0);
    cr_assert_str_eq(least_of_all(&b), "none");
    struct meta_op early = op_create("early", 1);
    cr_assert_eq(bench_run(&b, &early), 0, "%s", early.why);
    cr_assert_eq(least_of(&b, "early"), 1);
    state(&b, 2);
    cr_assert_str_eq(least_of_all(&b), "2");
    cr_assert_eq(least_of(&b, "early"), 2, "also of topics that were there");
    uint32_t batches = b.batches;
    state(&b, 1);
    state(&b, 3);
    cr_assert_eq(b.batches, batches, "a later controller changes nothing");
    struct meta_op late = op_create("late", 1);
    cr_assert_eq(bench_run(&b, &late), 0, "%s", late.why);
    cr_assert_eq(least_of(&b, "late"), 2, "not what the controller of today states");
    cr_assert_null(
        image_topic_config(image_topic_by_name(b.image, bytes_of_string("late")), least_key));
    bench_close(&b);
}

Test(controller, what_an_operator_has_set_is_not_replaced)
{
    struct bench b;
    bench_open(&b, 1);
    cr_assert_eq(set_least(&b, -1, "1"), 0);
    state(&b, 2);
    cr_assert_str_eq(least_of_all(&b), "1");
    bench_close(&b);
}

/* The legacy form deletes what it does not name. */
Test(controller, a_topic_without_a_minimum_of_its_own_has_the_clusters)
{
    struct bench b;
    bench_open(&b, 3);
    state(&b, 2);
    struct meta_op create = op_create("t", 1);
    const struct meta_config_change own = {least_key, "3", META_CONFIG_SET};
    create.changes = &own;
    create.change_count = 1;
    cr_assert_eq(bench_run(&b, &create), 0, "%s", create.why);
    cr_assert_eq(least_of(&b, "t"), 3);
    struct meta_op legacy = {.kind = META_ALTER_CONFIGS,
                             .topic = "t",
                             .replace_all = true,
                             CONFIGS({"retention.ms", "5", META_CONFIG_SET})};
    cr_assert_eq(bench_run(&b, &legacy), 0, "%s", legacy.why);
    cr_assert_eq(least_of(&b, "t"), 2);
    bench_close(&b);
}

/* Deleting it takes what the controller's configuration states, as with any key of a broker. */
Test(controller, the_clusters_minimum_deleted)
{
    for (int legacy = 0; legacy < 2; legacy++) {
        struct bench b;
        bench_open(&b, 1);
        state(&b, 2);
        cr_assert_eq(set_least(&b, -1, "3"), 0);
        struct meta_op replace = {.kind = META_ALTER_CONFIGS,
                                  .broker = -1,
                                  .replace_all = true,
                                  CONFIGS({"num.partitions", "4", META_CONFIG_SET})};
        cr_assert_eq(legacy ? bench_run(&b, &replace) : set_least(&b, -1, NULL), 0);
        cr_assert_str_eq(least_of_all(&b), "2");
        uint32_t batches = b.batches;
        cr_assert_eq(legacy ? bench_run(&b, &replace) : set_least(&b, -1, NULL), 0);
        cr_assert_eq(b.batches, batches, "it is that already");
        b.limits.min_insync_replicas = 0;
        cr_assert_eq(legacy ? bench_run(&b, &replace) : set_least(&b, -1, NULL), 0);
        cr_assert_str_eq(least_of_all(&b), "none");
        bench_close(&b);
    }
}

Test(controller, a_broker_has_no_minimum_of_its_own)
{
    struct bench b;
    bench_open(&b, 1);
    cr_assert_eq(set_least(&b, 1, "2"), ERR_INVALID_CONFIG);
    cr_assert_null(image_broker_config(b.image, 1, least_key));
    cr_assert_eq(set_least(&b, 1, NULL), 0, "what an earlier release took may go");
    bench_close(&b);
}

Test(controller, num_partitions_follows_what_nodes_were_told)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op all = {.kind = META_ALTER_CONFIGS,
                          .broker = -1,
                          CONFIGS({"num.partitions", "7", META_CONFIG_SET})};
    struct meta_op own = {
        .kind = META_ALTER_CONFIGS, .broker = 1, CONFIGS({"num.partitions", "4", META_CONFIG_SET})};
    static const struct {
        const char *topic;
        int32_t partitions;
    } expected[] = {{"configured", 3}, {"all", 7}, {"own", 4}};
    for (size_t i = 0; i < array_size(expected); i++) {
        struct meta_op *told = i == 1 ? &all : i == 2 ? &own : NULL;
        cr_assert(!told || bench_run(&b, told) == 0);
        struct meta_op create = {.kind = META_CREATE_TOPIC,
                                 .topic = expected[i].topic,
                                 .partitions = -1,
                                 .replication_factor = -1};
        cr_assert_eq(bench_run(&b, &create), 0, "%s", create.why);
        const struct image_topic *t =
            image_topic_by_name(b.image, bytes_of_string(expected[i].topic));
        cr_assert_eq(t->partition_count, expected[i].partitions, "%s", expected[i].topic);
    }
    bench_close(&b);
}

Test(controller, configurations_are_kept_bare_or_not_at_all)
{
    struct bench b;
    bench_open(&b, 1);
    struct meta_op create = {
        .kind = META_CREATE_TOPIC,
        .topic = "t",
        .partitions = 1,
        .replication_factor = 1,
        CONFIGS({"retention.ms", "7d", META_CONFIG_SET}, {"flush.messages", "1", META_CONFIG_SET})};
    cr_assert_eq(bench_run(&b, &create), 0, "%s", create.why);
    struct meta_op alter = {.kind = META_ALTER_CONFIGS,
                            .topic = "t",
                            CONFIGS({"segment.bytes", "2MiB", META_CONFIG_SET},
                                    {"preallocate", "true", META_CONFIG_SET})};
    cr_assert_eq(bench_run(&b, &alter), 0, "%s", alter.why);
    const struct image_topic *t = image_topic_by_name(b.image, bytes_of_string("t"));
    cr_assert_eq(t->config_count, 2u);
    cr_assert_str_eq(image_topic_config(t, "retention.ms"), "604800000");
    cr_assert_str_eq(image_topic_config(t, "segment.bytes"), "2097152");
    struct meta_op foreign = {.kind = META_ALTER_CONFIGS,
                              .broker = 1,
                              CONFIGS({"log.cleaner.threads", "2", META_CONFIG_SET})};
    cr_assert_eq(bench_run(&b, &foreign), ERR_INVALID_CONFIG);
    cr_assert_str_eq(foreign.why,
                     "log.cleaner.threads has no effect here: every shard has one cleaner.");
    bench_close(&b);
}

/* While followers copy nothing, a second replica would be a promise that nobody keeps. */
Test(controller, more_replicas_than_are_kept_are_refused_however_they_are_asked_for)
{
    static const int32_t on_one[] = {1}, on_two[] = {2}, on_both[] = {1, 2};
    static const int32_t *const apart[] = {on_one, on_two}, *const together[] = {on_both};
    static const int32_t singles[] = {1, 1}, doubles[] = {2};
    struct bench b;
    bench_open(&b, 3);
    b.limits.replication_factor_max = 1;
    struct meta_op op = op_create("asked", 1);
    op.replication_factor = 2;
    cr_assert_eq(bench_run(&b, &op), ERR_INVALID_REPLICATION_FACTOR);
    op = op_create("assigned", -1);
    op.replication_factor = -1;
    op.assignments = together;
    op.assignment_counts = doubles;
    op.assignment_count = 1;
    cr_assert_eq(bench_run(&b, &op), ERR_INVALID_REPLICATION_FACTOR);
    op.assignments = apart;
    op.assignment_counts = singles;
    op.assignment_count = 2;
    cr_assert_eq(bench_run(&b, &op), 0, "%s", op.why);
    b.limits.replication_factor_max = 0;
    op = op_create("asked", 1);
    op.replication_factor = 2;
    cr_assert_eq(bench_run(&b, &op), 0, "%s", op.why);
    bench_close(&b);
}
