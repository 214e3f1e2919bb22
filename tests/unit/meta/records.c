/* SPDX-License-Identifier: Apache-2.0 */

/* Records: golden bytes of Kafka's framing, what is written is what is read, and nothing else is
 * believed. */
#include "support.h"

#include "base/crc32c.h"
#include "base/prng.h"

#include <inttypes.h>
#include <stdlib.h>

#include <criterion/criterion.h>

/* Written down from the message definitions: frame version, key, message version, then the fields.
 */
Test(records, golden_bytes_of_a_new_topic)
{
    struct bench b;
    char hex[4096];
    bench_open(&b, 1);
    struct meta_op op = op_create("abc", 1);
    const struct meta_config_change change = {"retention.ms", "60000", META_CONFIG_SET};
    op.changes = &change;
    op.change_count = 1;
    cr_assert_eq(bench_run(&b, &op), 0);
    values_of(b.batch, hex);
    char id[33];
    to_hex(bytes_of(op.topic_id.bytes, 16), id);
    char expected[4096];
    snprintf(expected, sizeof expected,
             /* TopicRecord: 1, 2, 0; compact string; uuid; no tags */
             "010200"
             "04616263"
             "%s00\n"
             /* ConfigRecord: 1, 4, 0; type topic; names; value; no tags */
             "010400"
             "02"
             "04616263"
             "0d726574656e74696f6e2e6d73"
             "063630303030"
             "00\n"
             /* PartitionRecord: 1, 3, 0; partition, topic, replicas, isr, removing, adding, leader,
                epochs, no tags */
             "010300"
             "00000000"
             "%s"
             "0200000001"
             "0200000001"
             "01"
             "01"
             "00000001"
             "00000000"
             "00000000"
             "00\n",
             id, id);
    cr_assert_str_eq(hex, expected);
    bench_close(&b);
}

Test(records, golden_bytes_of_other_records)
{
    struct bench b;
    char hex[4096], id[33];
    bench_open(&b, 1);
    struct meta_op made = op_create("abc", 1), ids = {.kind = META_PRODUCER_IDS},
                   gone = op_delete("abc");
    cr_assert_eq(bench_run(&b, &made), 0);
    to_hex(bytes_of(made.topic_id.bytes, 16), id);
    cr_assert_eq(bench_run(&b, &ids), 0);
    values_of(b.batch, hex);
    cr_assert_str_eq(hex, "010f00"
                          "00000001"
                          "0000000000000000"
                          "00000000000003e8"
                          "00\n");
    cr_assert_eq(bench_run(&b, &gone), 0);
    values_of(b.batch, hex);
    char expected[64];
    snprintf(expected, sizeof expected, "010900%s00\n", id);
    cr_assert_str_eq(hex, expected);
    bench_close(&b);
}

Test(records, golden_bytes_of_an_epoch_change)
{
    struct bench b;
    char hex[4096], id[33], expected[256];
    bench_open(&b, 1);
    struct meta_op made = op_create("abc", 1);
    cr_assert_eq(bench_run(&b, &made), 0);
    cr_assert_eq(proposal_begin(&b.proposal, b.image, b.next_offset, 1), 0);
    cr_assert_eq(proposal_open(&b.proposal), 0);
    struct partition_change_record r;
    partition_change_record_init(&r);
    r.partition_id = 0;
    r.topic_id = made.topic_id;
    r.leader = 1;
    cr_assert_eq(proposal_emit(&b.proposal, &partition_change_record_message, 0, &r), 0);
    proposal_keep(&b.proposal);
    struct bytes batch;
    cr_assert_eq(proposal_finish(&b.proposal, 7, &batch), 0);
    values_of(batch, hex);
    to_hex(bytes_of(made.topic_id.bytes, 16), id);
    /* One tagged field: 1, of 4 bytes, the leader. */
    snprintf(expected, sizeof expected, "01050000000000%s01010400000001\n", id);
    cr_assert_str_eq(hex, expected);
    const struct image_partition *p =
        &image_topic_by_id(b.proposal.image, made.topic_id)->partitions[0];
    cr_assert_eq(p->leader_epoch, 1, "naming the same leader begins its next epoch");
    cr_assert_eq(p->partition_epoch, 1);
    proposal_drop(&b.proposal);
    bench_close(&b);
}

Test(records, golden_bytes_of_control_records)
{
    struct memory memory;
    struct batch_builder builder;
    struct bytes batch;
    char hex[4096];
    memory_init(&memory, 1 << 20);
    batch_builder_init(&builder, &memory, 65536);
    struct leader_change_message_voter voter = {3, id_of(0)};
    const struct leader_change_message change = {
        .version = 1,
        .leader_id = 3,
        .voters = &voter,
        .voters_count = 1,
        .granting_voters = &voter,
        .granting_voters_count = 1,
    };
    const struct kraft_version_record kraft = {.kraft_version = 1};
    cr_assert_eq(control_append(&builder, &memory, CONTROL_LEADER_CHANGE,
                                &leader_change_message_message, 1, &change, 5),
                 0);
    cr_assert_eq(control_append(&builder, &memory, CONTROL_KRAFT_VERSION,
                                &kraft_version_record_message, 0, &kraft, 5),
                 0);
    struct batch_options options = batch_options_default();
    options.attributes = BATCH_CONTROL;
    cr_assert_eq(batch_finish(&builder, &options, &batch), 0);
    values_of(batch, hex);
    cr_assert_str_eq(hex, "0001"
                          "00000003"
                          "02"
                          "00000003"
                          "01000000000000000000000000000000"
                          "00"
                          "02"
                          "00000003"
                          "01000000000000000000000000000000"
                          "00"
                          "00\n"
                          "0000"
                          "0001"
                          "00\n");
    cr_assert_eq(get_be16(batch.data + 21), 0x20, "only the control bit");
    cr_assert_eq(get_be32(batch.data + 53), UINT32_MAX, "no sequence");
    /* The key of the first record: length 4, version 0, type 2. */
    static const uint8_t key[] = {8, 0, 0, 0, 2};
    cr_assert_not_null(memmem(batch.data, batch.size, key, sizeof key));
    batch_builder_deinit(&builder);
    memory_drop(&memory);
}

/* What operations make of the image at once, replay makes of their batches. */
Test(records, replay_gives_the_same_image)
{
    struct bench b;
    struct prng r = prng_of(4);
    bench_open(&b, 1);
    struct image *replayed = image_fork(b.image);
    uint32_t batches = 0, refused = 0;
    for (int i = 0; i < 600; i++) {
        char name[16], value[16];
        snprintf(name, sizeof name, "t.%u", (unsigned)prng_below(&r, 30));
        snprintf(value, sizeof value, "%u", (unsigned)prng_below(&r, 100000));
        struct meta_config_change change = {
            "retention.ms", value, prng_chance(&r, 1, 3) ? META_CONFIG_DELETE : META_CONFIG_SET};
        struct meta_op op = {.topic = name, .replication_factor = -1};
        op.kind = (enum meta_kind)prng_below(&r, 5);
        op.partitions = 1 + (int32_t)prng_below(&r, 9);
        if (op.kind == META_ALTER_CONFIGS) {
            op.changes = &change;
            op.change_count = 1;
        }
        refused += bench_run(&b, &op) != 0;
        if (b.batches > batches) {
            char why[RECORDS_WHY_SIZE];
            batches = b.batches;
            cr_assert_eq(records_apply_batch(replayed, b.batch.data, b.batch.size, &b.memory, why),
                         0, "%s", why);
        }
    }
    cr_assert_gt(batches, 200);
    cr_assert_gt(refused, 50);
    char *live = image_text(b.image), *again = image_text(replayed);
    cr_assert_str_eq(live, again);
    cr_assert_eq(image_offset(b.image), image_offset(replayed));
    cr_assert_eq(image_epoch(b.image), image_epoch(replayed));
    free(live);
    free(again);
    image_release(replayed);
    bench_close(&b);
}

/* Several operations in one batch: each sees what came before it, one that fails leaves no trace.
 */
Test(records, a_batch_of_operations)
{
    struct bench b;
    bench_open(&b, 1);
    struct proposal *p = &b.proposal;
    cr_assert_eq(proposal_begin(p, b.image, 0, 1), 0);
    for (int i = 0; i < 3; i++) {
        struct topic_record r = {.name = wire_string_of("same"), .topic_id = id_of(50)};
        struct producer_ids_record ids = {.next_producer_id = 10 * (i + 1)};
        cr_assert_eq(proposal_open(p), 0);
        proposal_emit(p, &producer_ids_record_message, 0, &ids);
        int error = proposal_emit(p, &topic_record_message, 0, &r);
        cr_assert_eq(error, i == 0 ? 0 : ERR_MALFORMED);
        cr_assert_eq(proposal_emit(p, &producer_ids_record_message, 0, &ids), error, "it latches");
        if (error) {
            proposal_undo(p);
        } else {
            proposal_keep(p);
        }
        cr_assert_eq(proposal_next_offset(p), 3);
        cr_assert_eq(image_next_producer_id(p->image), 10);
    }
    struct bytes batch;
    char hex[1024];
    cr_assert_eq(proposal_finish(p, 1, &batch), 0);
    values_of(batch, hex);
    int lines = 0;
    for (const char *at = hex; *at; at++) {
        lines += *at == '\n';
    }
    cr_assert_eq(lines, 3);
    cr_assert_eq(image_offset(p->image), 2);
    proposal_drop(p);
    bench_close(&b);
}

Test(records, a_full_batch_keeps_what_fits)
{
    struct bench b;
    bench_open(&b, 1);
    struct proposal p;
    proposal_init(&p, &b.memory, 1000);
    cr_assert_eq(proposal_begin(&p, b.image, 0, 1), 0);
    unsigned kept = 0;
    int error = 0;
    while (!error) {
        char name[32];
        snprintf(name, sizeof name, "topic-%03u", kept);
        struct topic_record r = {.name = wire_string_of(name), .topic_id = id_of(60 + kept)};
        cr_assert_eq(proposal_open(&p), 0);
        error = proposal_emit(&p, &topic_record_message, 0, &r);
        if (error) {
            proposal_undo(&p);
        } else {
            proposal_keep(&p);
            kept++;
        }
    }
    cr_assert_eq(error, ERR_TOO_LARGE);
    cr_assert_gt(kept, 10);
    cr_assert_eq(image_topic_count(p.image), kept);
    struct bytes batch;
    char why[RECORDS_WHY_SIZE];
    cr_assert_eq(proposal_finish(&p, 1, &batch), 0);
    cr_assert_leq(batch.size, 1000);
    struct image *again = image_fork(b.image);
    cr_assert_eq(records_apply_batch(again, batch.data, batch.size, &b.memory, why), 0, "%s", why);
    cr_assert_eq(image_topic_count(again), kept);
    image_release(again);
    proposal_deinit(&p);
    bench_close(&b);
}

/* A batch of one data record with this value. */
static struct bytes batch_of(struct batch_builder *b, const void *value, size_t size, bool control)
{
    static const uint8_t key[] = {0, 0, 0, CONTROL_SNAPSHOT_FOOTER};
    struct bytes out;
    struct batch_options options = batch_options_default();
    options.leader_epoch = 1;
    options.attributes = control ? BATCH_CONTROL : 0;
    const struct record_input record = {
        .key = {control ? key : NULL, control ? 4 : -1},
        .value = {value, (int32_t)size},
    };
    batch_builder_reset(b);
    cr_assert_eq(batch_append(b, &record), 0);
    cr_assert_eq(batch_finish(b, &options, &out), 0);
    return out;
}

Test(records, what_is_not_understood_is_refused)
{
    static const struct {
        const char *name;
        const char *value;
        size_t size;
        bool control;
        int error;
    } cases[] = {
        {"no-op", "\x01\x14\x00\x00", 4, false, 0},
        {"a newer frame", "\x02\x14\x00\x00", 4, false, ERR_UNSUPPORTED_VERSION},
        {"an unknown kind", "\x01\x63\x00\x00", 4, false, ERR_UNSUPPORTED_VERSION},
        {"a newer version", "\x01\x14\x01\x00", 4, false, ERR_UNSUPPORTED_VERSION},
        {"bytes left over", "\x01\x14\x00\x00\x00", 5, false, ERR_MALFORMED},
        {"cut off", "\x01\x14\x00", 3, false, ERR_MALFORMED},
        {"empty", "", 0, false, ERR_MALFORMED},
        {"a newer metadata.version", "\x01\x0c\x00\x11metadata.version\x00\x0f\x00", 23, false,
         ERR_UNSUPPORTED_VERSION},
        {"our metadata.version", "\x01\x0c\x00\x11metadata.version\x00\x0e\x00", 23, false, 0},
        {"a snapshot's footer in the log", "\x00\x00\x00", 3, true, ERR_UNSUPPORTED_VERSION},
        {"a topic without a name",
         "\x01\x02\x00\x01"
         "0123456789abcdef"
         "\x00",
         21, false, ERR_MALFORMED},
        {"a fence of nobody", "\x01\x07\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00",
         16, false, ERR_MALFORMED},
        {"nobody unregistered", "\x01\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00",
         16, false, ERR_MALFORMED},
        {"a change of nobody", "\x01\x11\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00",
         16, false, ERR_MALFORMED},
        {"a change that says nothing known",
         "\x01\x11\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x01\x02", 19, false,
         ERR_UNSUPPORTED_VERSION},
        {"a broker of two directories",
         "\x01\x00\x03\x00\x00\x00\x01\x00"
         "0123456789abcdef"
         "\x00\x00\x00\x00\x00\x00\x00\x01"
         "\x02\x01\x02h\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x21\x03"
         "0123456789abcdef0123456789abcdef",
         81, false, ERR_UNSUPPORTED_VERSION},
        {"a broker without an address",
         "\x01\x00\x02\x00\x00\x00\x01\x00"
         "0123456789abcdef"
         "\x00\x00\x00\x00\x00\x00\x00\x01"
         "\x01\x01\x00\x01\x00\x00",
         38, false, ERR_MALFORMED},
    };
    struct memory memory;
    struct batch_builder builder;
    memory_init(&memory, 16 << 20);
    batch_builder_init(&builder, &memory, 65536);
    struct image_home *home = image_home_new(&memory, "c");
    for (size_t i = 0; i < array_size(cases); i++) {
        char why[RECORDS_WHY_SIZE] = "";
        struct image *draft = image_empty(home);
        struct bytes batch = batch_of(&builder, cases[i].value, cases[i].size, cases[i].control);
        int error = records_apply_batch(draft, batch.data, batch.size, &memory, why);
        cr_expect_eq(error, cases[i].error, "%s: %s", cases[i].name, error_name(error));
        cr_expect_eq(why[0] == 0, error == 0, "%s: says \"%s\"", cases[i].name, why);
        image_release(draft);
    }
    batch_builder_deinit(&builder);
    image_home_free(home);
    memory_drop(&memory);
}

/* A log does not repeat itself, and its epochs do not fall. */
Test(records, batches_follow_each_other)
{
    struct memory memory;
    struct batch_builder builder;
    char why[RECORDS_WHY_SIZE];
    memory_init(&memory, 16 << 20);
    batch_builder_init(&builder, &memory, 65536);
    struct image_home *home = image_home_new(&memory, "c");
    struct image *draft = image_empty(home);
    uint8_t copy[256];
    struct bytes batch = batch_of(&builder, "\x01\x14\x00\x00", 4, false);
    memcpy(copy, batch.data, batch.size);
    cr_assert_eq(records_apply_batch(draft, copy, batch.size, &memory, why), 0);
    cr_assert_eq(records_apply_batch(draft, copy, batch.size, &memory, why), ERR_MALFORMED);
    batch_set_base_offset(copy, 1);
    batch_set_leader_epoch(copy, 0);
    cr_assert_eq(records_apply_batch(draft, copy, batch.size, &memory, why), ERR_MALFORMED);
    batch_set_leader_epoch(copy, 2);
    cr_assert_eq(records_apply_batch(draft, copy, batch.size, &memory, why), 0);
    cr_assert_eq(image_offset(draft), 1);
    cr_assert_eq(image_epoch(draft), 2);
    image_release(draft);
    batch_builder_deinit(&builder);
    image_home_free(home);
    memory_drop(&memory);
}
