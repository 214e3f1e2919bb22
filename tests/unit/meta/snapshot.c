/* SPDX-License-Identifier: Apache-2.0 */

/* Snapshots: the same image comes back, however the bytes arrive; no changed byte, no missing end
 * and no exchanged file is ever taken for one. */
#include "support.h"

#include "base/prng.h"
#include "meta/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

#include <criterion/criterion.h>

static const struct uuid cluster = {{1, 2, 3}};

struct file {
    uint8_t *data;
    size_t size;
    uint32_t batches;
    struct snapshot_id id;
};

static struct file write_all(struct bench *b)
{
    struct file f = {.id = {image_offset(b->image) + 1, image_epoch(b->image)}};
    struct snapshot_writer w;
    struct bytes batch;
    int more;
    snapshot_writer_init(&w, &b->memory, b->image, cluster);
    while ((more = snapshot_writer_next(&w, &batch)) == 1) {
        cr_assert_leq(batch.size, SNAPSHOT_BATCH_MAX);
        f.data = realloc(f.data, f.size + batch.size);
        memcpy(f.data + f.size, batch.data, batch.size);
        f.size += batch.size;
        f.batches++;
    }
    cr_assert_eq(more, 0);
    snapshot_writer_deinit(&w);
    return f;
}

/* Feeds in pieces of at most `piece` new bytes; *out is a sealed image on success. */
static int read_all(struct bench *b, const struct file *f, struct snapshot_id id,
                    struct uuid of_cluster, size_t piece, struct image **out)
{
    struct snapshot_reader r;
    struct image *draft = image_empty(b->home);
    size_t filled = 0, at = 0, used = 0;
    int error = 0;
    snapshot_reader_init(&r, &b->memory, draft, id, of_cluster);
    while (!error && filled < f->size) {
        filled = f->size - filled < piece ? f->size : filled + piece;
        error = snapshot_reader_feed(&r, f->data + at, filled - at, &used);
        at += used;
    }
    if (!error) {
        error = at < f->size ? ERR_DAMAGED : snapshot_reader_end(&r);
    }
    cr_assert(error == 0 || error == ERR_DAMAGED || error == ERR_UNSUPPORTED_VERSION);
    if (error || !out) {
        image_release(draft);
    } else {
        image_seal(draft);
        *out = draft;
    }
    return error;
}

static void fill(struct bench *b, int topics, int partitions)
{
    static const struct meta_config_change changes[] = {
        {"retention.ms", "1000", META_CONFIG_SET},
        {"segment.bytes", "2000000", META_CONFIG_SET},
    };
    struct meta_op ids = {.kind = META_PRODUCER_IDS};
    struct meta_op node = {.kind = META_ALTER_CONFIGS, .broker = 1};
    const struct meta_config_change own = {"log.retention.ms", "77", META_CONFIG_SET};
    node.changes = &own;
    node.change_count = 1;
    cr_assert_eq(bench_run(b, &ids), 0);
    cr_assert_eq(bench_run(b, &node), 0, "%s", node.why);
    for (int i = 0; i < topics; i++) {
        char name[32];
        snprintf(name, sizeof name, "topic.%d", i);
        struct meta_op op = op_create(name, 1 + i % partitions);
        op.changes = changes;
        op.change_count = (uint32_t)i % 3;
        cr_assert_eq(bench_run(b, &op), 0, "%s", op.why);
    }
}

static void add_quorum(struct bench *b)
{
    struct image *draft = image_fork(b->image);
    image_set_kraft_version(draft, 1);
    /* One voter with one endpoint, written down. */
    static const char voters[] = "\x00\x00\x02\x00\x00\x00\x01"
                                 "0123456789abcdef"
                                 "\x02\x02P\x02h\x23\x84\x00\x00\x00\x00\x01\x00\x00\x00";
    cr_assert_eq(image_set_voters(draft, bytes_of(voters, sizeof voters - 1)), 0);
    cr_assert_eq(image_set_feature(draft, bytes_of_string("metadata.version"), 14), 0);
    image_seal(draft);
    image_release(b->image);
    b->image = draft;
}

/* A broker that leaves, one with a directory, and a topic whose partitions have everything. */
static void add_cluster(struct bench *b)
{
    static const int32_t all[] = {1, 2, 3, 4, 5, 6};
    const struct uuid directories[6] = {id_of(1), id_of(2), id_of(3), id_of(4), id_of(5), id_of(6)};
    const struct image_endpoint_spec endpoint = {bytes_of_string("P"), bytes_of_string("h"), 1};
    struct image *draft = image_fork(b->image);
    struct image_broker_spec broker = {.id = 5,
                                       .epoch = 9,
                                       .incarnation = id_of(5),
                                       .directory = id_of(55),
                                       .endpoints = &endpoint,
                                       .endpoint_count = 1,
                                       .shutting_down = true};
    cr_assert_eq(image_put_broker(draft, &broker), 0);
    struct image_partition_spec spec = {
        .leader = 2,
        .leader_epoch = 3,
        .partition_epoch = 4,
        .unclean_epoch = 2,
        .recovering = true,
        .replicas = all,
        .replica_count = 6,
        .isr = &all[1],
        .isr_count = 1,
        .directories = directories,
        .more = {{&all[2], 1}, {&all[3], 2}, {&all[4], 1}, {&all[0], 1}, {&all[5], 1}},
    };
    cr_assert_eq(image_add_topic(draft, bytes_of_string("open"), id_of(4712)), 0);
    cr_assert_eq(image_set_factor_open(draft, id_of(4712), true), 0);
    cr_assert_eq(image_add_topic(draft, bytes_of_string("__transaction_state"), id_of(4713)), 0);
    cr_assert_eq(image_add_topic(draft, bytes_of_string("__consumer_offsets"), id_of(4714)), 0);
    cr_assert_eq(image_set_factor_open(draft, id_of(4714), false), 0);
    cr_assert_eq(image_add_topic(draft, bytes_of_string("moving"), id_of(4711)), 0);
    for (int32_t i = 0; i < 5; i++) {
        cr_assert_eq(image_add_partition(draft, id_of(4711), i, &spec), 0);
        struct image_nodes *each[] = {&spec.more.elr, &spec.more.last_known_elr, &spec.more.adding,
                                      &spec.more.removing};
        if (i < 4) {
            *each[i] = (struct image_nodes){0};
        }
    }
    image_seal(draft);
    image_release(b->image);
    b->image = draft;
}

Test(snapshot, names)
{
    char name[SNAPSHOT_NAME_SIZE];
    struct snapshot_id id;
    snapshot_name((struct snapshot_id){1234, 7}, name);
    cr_assert_str_eq(name, "00000000000000001234-0000000007.checkpoint");
    cr_assert(snapshot_name_parse(bytes_of_string(name), &id));
    cr_assert_eq(id.end_offset, 1234);
    cr_assert_eq(id.epoch, 7);
    static const char *const wrong[] = {"",
                                        "snapshot.tmp",
                                        "0000000000000000123-0000000007.checkpoint",
                                        "00000000000000001234-0000000007.checkpoint.tmp",
                                        "00000000000000001234_0000000007.checkpoint",
                                        "000000000000000012x4-0000000007.checkpoint",
                                        "99999999999999999999-0000000007.checkpoint",
                                        "00000000000000001234-9999999999.checkpoint"};
    for (size_t i = 0; i < array_size(wrong); i++) {
        cr_expect_not(snapshot_name_parse(bytes_of_string(wrong[i]), &id), "%s", wrong[i]);
    }
}

Test(snapshot, the_same_image_comes_back)
{
    struct bench b;
    bench_open(&b, 3);
    fill(&b, 300, 200);
    add_quorum(&b);
    add_cluster(&b);
    struct file f = write_all(&b);
    cr_assert_gt(f.batches, 5, "several data batches, a topic divided between two");
    char *want = image_text(b.image);
    static const size_t pieces[] = {SIZE_MAX, 65536, 1000, 61};
    for (size_t i = 0; i < array_size(pieces); i++) {
        struct image *back = NULL;
        cr_assert_eq(read_all(&b, &f, f.id, cluster, pieces[i], &back), 0);
        char *got = image_text(back);
        cr_assert_str_eq(got, want);
        cr_assert_eq(image_offset(back), image_offset(b.image));
        cr_assert_eq(image_epoch(back), image_epoch(b.image));
        cr_assert_eq(image_timestamp(back), image_timestamp(b.image));
        image_check(back);
        image_release(back);
        free(got);
    }
    free(want);
    free(f.data);
    bench_close(&b);
}

Test(snapshot, an_almost_empty_image)
{
    struct bench b;
    bench_open(&b, 0);
    struct meta_op ids = {.kind = META_PRODUCER_IDS};
    cr_assert_eq(bench_run(&b, &ids), 0);
    add_quorum(&b);
    struct file f = write_all(&b);
    struct image *back = NULL;
    cr_assert_eq(f.batches, 3);
    cr_assert_eq(read_all(&b, &f, f.id, cluster, SIZE_MAX, &back), 0);
    cr_assert_eq(image_next_producer_id(back), 1000);
    cr_assert_geq(image_controller(b.image), 0);
    cr_assert_eq(image_controller(back), image_controller(b.image),
                 "no epoch need follow that says it");
    image_release(back);
    free(f.data);
    bench_close(&b);
}

Test(snapshot, every_changed_byte_is_damage)
{
    struct bench b;
    bench_open(&b, 1);
    fill(&b, 6, 3);
    add_quorum(&b);
    struct file f = write_all(&b);
    struct prng r = prng_of(9);
    for (size_t i = 0; i < f.size; i++) {
        uint8_t change = (uint8_t)(1 + prng_below(&r, 255));
        f.data[i] ^= change;
        cr_assert_eq(read_all(&b, &f, f.id, cluster, SIZE_MAX, NULL), ERR_DAMAGED,
                     "byte %zu of %zu changed by %02x", i, f.size, change);
        f.data[i] ^= change;
    }
    cr_assert_eq(read_all(&b, &f, f.id, cluster, SIZE_MAX, NULL), 0);
    free(f.data);
    bench_close(&b);
}

Test(snapshot, every_cut_and_every_addition_is_damage)
{
    struct bench b;
    bench_open(&b, 1);
    fill(&b, 6, 3);
    add_quorum(&b);
    struct file f = write_all(&b);
    size_t size = f.size;
    for (f.size = 0; f.size < size; f.size++) {
        cr_assert_eq(read_all(&b, &f, f.id, cluster, SIZE_MAX, NULL), ERR_DAMAGED, "cut at %zu",
                     f.size);
    }
    f.data = realloc(f.data, size * 2);
    memcpy(f.data + size, f.data, size);
    for (f.size = size + 1; f.size <= 2 * size; f.size += 37) {
        cr_assert_eq(read_all(&b, &f, f.id, cluster, SIZE_MAX, NULL), ERR_DAMAGED);
    }
    free(f.data);
    bench_close(&b);
}

Test(snapshot, another_id_or_cluster_is_damage)
{
    struct bench b;
    bench_open(&b, 1);
    fill(&b, 3, 3);
    add_quorum(&b);
    struct file f = write_all(&b);
    struct snapshot_id later = f.id, newer = f.id;
    struct uuid stranger = {{9}};
    later.end_offset++;
    newer.epoch++;
    cr_assert_eq(read_all(&b, &f, later, cluster, SIZE_MAX, NULL), ERR_DAMAGED);
    cr_assert_eq(read_all(&b, &f, newer, cluster, SIZE_MAX, NULL), ERR_DAMAGED);
    cr_assert_eq(read_all(&b, &f, f.id, stranger, SIZE_MAX, NULL), ERR_DAMAGED);
    free(f.data);
    bench_close(&b);
}

/* Whole batches left out or exchanged keep their own sums: the footer's sum and the offsets see
 * them. */
Test(snapshot, missing_and_exchanged_batches_are_damage)
{
    struct bench b;
    bench_open(&b, 1);
    fill(&b, 300, 200);
    add_quorum(&b);
    struct file f = write_all(&b);
    size_t start = 0;
    for (uint32_t i = 0; i < f.batches; i++) {
        uint32_t size = batch_size_peek(f.data + start);
        struct file less = {.data = malloc(f.size), .size = f.size - size, .id = f.id};
        memcpy(less.data, f.data, start);
        memcpy(less.data + start, f.data + start + size, f.size - start - size);
        cr_assert_eq(read_all(&b, &less, f.id, cluster, SIZE_MAX, NULL), ERR_DAMAGED, "batch %u",
                     i);
        free(less.data);
        start += size;
    }
    free(f.data);
    bench_close(&b);
}

/* Writing goes on while the cluster changes: it holds the image that it began with. */
Test(snapshot, holds_the_image_that_it_began_with)
{
    struct bench b;
    bench_open(&b, 1);
    fill(&b, 50, 3);
    add_quorum(&b);
    char *want = image_text(b.image);
    struct snapshot_writer w;
    struct file f = {.id = {image_offset(b.image) + 1, image_epoch(b.image)}};
    struct bytes batch;
    snapshot_writer_init(&w, &b.memory, b.image, cluster);
    for (int i = 0; snapshot_writer_next(&w, &batch) == 1; i++) {
        f.data = realloc(f.data, f.size + batch.size);
        memcpy(f.data + f.size, batch.data, batch.size);
        f.size += batch.size;
        char name[32];
        snprintf(name, sizeof name, "topic.%d", i);
        struct meta_op gone = op_delete(name);
        cr_assert_eq(bench_run(&b, &gone), 0);
    }
    snapshot_writer_deinit(&w);
    struct image *back = NULL;
    cr_assert_eq(read_all(&b, &f, f.id, cluster, SIZE_MAX, &back), 0);
    char *got = image_text(back);
    cr_assert_str_eq(got, want);
    image_release(back);
    free(got);
    free(want);
    free(f.data);
    bench_close(&b);
}
