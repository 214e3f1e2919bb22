/* SPDX-License-Identifier: Apache-2.0 */

/* Compaction, from the log's outside: which records are left, and what a pass must not do. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SEEN_MAX = 4000, VALUE_SIZE = 600 };

/* A record as it was read; a long value by its first characters. */
struct seen {
    int64_t offset, timestamp;
    char key[16], value[24];
    bool tombstone;
};

struct content {
    struct seen records[SEEN_MAX];
    unsigned count, batches, empty;
    uint64_t bytes;
    enum codec codecs[16];  /* of the first batches */
    int64_t ends[SEEN_MAX]; /* offsets behind the batches */
};

static struct content content;

static void note_record(const struct record *r)
{
    struct seen *s = &content.records[content.count++];
    cr_assert_lt(content.count, SEEN_MAX);
    *s = (struct seen){
        .offset = r->offset, .timestamp = r->timestamp, .tombstone = r->value.size < 0};
    cr_assert(r->key.size >= 0 && r->key.size < (int32_t)sizeof s->key);
    memcpy(s->key, r->key.data, (size_t)r->key.size);
    size_t size = r->value.size > 0 ? (size_t)r->value.size : 0;
    size = size < sizeof s->value - 1 ? size : sizeof s->value - 1;
    if (size > 0) {
        memcpy(s->value, r->value.data, size);
    }
    char *end = strchr(s->value, ' ');
    if (end) {
        *end = 0;
    }
}

static void note_batch(struct world *w, const uint8_t *data, size_t size)
{
    struct batch_header h;
    struct wire_writer unpacked;
    cr_assert_eq(batch_check(&h, data, size, BATCH_FROM_LOG), 0);
    struct bytes records = bytes_of(data + BATCH_HEADER_SIZE, size - BATCH_HEADER_SIZE);
    struct decompress_limits limits = decompress_limits_of(1 << 20);
    wire_writer_init(&unpacked, &w->memory, 1 << 20);
    if (batch_codec(&h) != CODEC_NONE) {
        cr_assert_eq(decompress_append(batch_codec(&h), records, &limits, &w->memory, &unpacked),
                     0);
        records = bytes_of(unpacked.data, unpacked.size);
    }
    struct record_reader reader;
    struct record r;
    record_reader_init(&reader, &h, records);
    while (record_next(&reader, &r) == 1) {
        note_record(&r);
    }
    cr_assert(!reader.reader.failed);
    wire_writer_deinit(&unpacked);
    if (content.batches < array_size(content.codecs)) {
        content.codecs[content.batches] = batch_codec(&h);
    }
    cr_assert(content.batches == 0 || h.base_offset >= content.ends[content.batches - 1]);
    content.ends[content.batches++] = batch_last_offset(&h) + 1;
    content.empty += h.record_count == 0;
    content.bytes += size;
}

/* Reads everything, batch by batch. */
static void read_content(struct world *w)
{
    memset(&content, 0, sizeof content);
    struct log_status s = world_status(w, 0);
    for (int64_t at = s.start_offset; at < s.end_offset;) {
        struct wire_writer out;
        wire_writer_init(&out, &w->memory, 4 << 20);
        struct log_read r = {
            .offset = at, .limit_offset = s.end_offset, .bytes_max = 1, .first_whole = true};
        cr_assert_eq(world_read(w, 0, &r, &out), 0, "a read at %lld", (long long)at);
        cr_assert_gt(r.next_offset, at);
        note_batch(w, out.data, out.size);
        at = r.next_offset;
        wire_writer_deinit(&out);
    }
    cr_assert(content.batches == 0 || content.ends[content.batches - 1] == s.end_offset);
}

/* How many records the key has; the last one goes to *last. */
static unsigned records_of(const char *key, struct seen *last)
{
    unsigned count = 0;
    for (unsigned i = 0; i < content.count; i++) {
        if (strcmp(content.records[i].key, key) == 0) {
            *last = content.records[i];
            count++;
        }
    }
    return count;
}

/* One record; its value begins with `text` and is long. */
static int64_t put(struct world *w, const char *key, const char *text, enum codec codec)
{
    char value[VALUE_SIZE];
    memset(value, ' ', sizeof value - 1);
    value[sizeof value - 1] = 0;
    if (text) {
        memcpy(value, text, strlen(text));
    }
    struct batch_spec spec = {
        .key = key, .text = text ? value : NULL, .codec = codec, .timestamp = 5000};
    int64_t base;
    cr_assert_eq(world_append(w, 0, &spec, &base), 0);
    return base;
}

static void rounds(struct world *w, unsigned keys, unsigned from, unsigned to)
{
    for (unsigned round = from; round < to; round++) {
        for (unsigned k = 0; k < keys; k++) {
            char key[16], text[24];
            snprintf(key, sizeof key, "k%u", k);
            snprintf(text, sizeof text, "%u.%u", k, round);
            put(w, key, text, CODEC_NONE);
        }
    }
}

static void expect_last(unsigned keys, unsigned round)
{
    for (unsigned k = 0; k < keys; k++) {
        char key[16], text[24];
        struct seen last;
        snprintf(key, sizeof key, "k%u", k);
        snprintf(text, sizeof text, "%u.%u", k, round);
        cr_assert_geq(records_of(key, &last), 1, "%s is gone", key);
        cr_assert_str_eq(last.value, text);
    }
}

static void settle_run(void *argument)
{
    struct world *w = argument;
    struct log *log = w->slots[0].log;
    log_raise_watermark(log, log_status(log).durable_offset);
    log_set_checkpoint(world_set(w, 0));
}

static void retain_run(void *argument)
{
    log_retain(((struct world *)argument)->slots[0].log, 1 << 30, 100);
}

static void clean_run(void *argument)
{
    log_clean(((struct world *)argument)->slots[0].log);
}

/* What is sealed gets below the watermark and into a checkpoint. */
static void settle(struct world *w)
{
    world_log(w, 0);
    cr_assert(world_do(w, 0, settle_run, w));
    world_wait_ms(w, 300);
}

static void clean(struct world *w)
{
    settle(w);
    cr_assert(world_do(w, 0, clean_run, w));
    world_wait_ms(w, 3000);
    cr_assert_null(world_set(w, 0)->cleaning);
}

static void configure_run(void *argument)
{
    struct world *w = argument;
    log_configure(w->slots[0].log, &w->slots[0].config);
}

static void configure(struct world *w)
{
    world_log(w, 0);
    cr_assert(world_do(w, 0, configure_run, w));
}

/* Segments of about thirteen records, compacted only when a test asks. */
static void open_world(struct world *w, uint64_t seed)
{
    world_open(w, seed);
    w->options.cleaner_off = true;
    w->slots[0].config.segment_bytes = 8192;
    w->slots[0].config.compact = true;
    w->slots[0].config.delete_retention_ms = 1000;
}

static void crash_and_start(struct world *w, unsigned kind)
{
    if (kind == 0) {
        world_stop(w);
    } else if (kind == 1) {
        world_kill(w);
    } else {
        world_power_cut(w);
    }
    world_started(w, 1);
}

Test(compaction, the_last_value_of_each_key_stays)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct world w;
        open_world(&w, 1 + kind);
        world_started(&w, 1);
        rounds(&w, 10, 0, 30);
        uint64_t before = world_status(&w, 0).size_bytes;
        clean(&w);
        uint64_t after = world_status(&w, 0).size_bytes;
        cr_assert_lt(after, before / 8, "%llu bytes are %llu", (unsigned long long)before,
                     (unsigned long long)after);
        read_content(&w);
        cr_assert_eq(content.bytes, after);
        cr_assert_lt(content.count, 10 + 13 + 2);
        expect_last(10, 29);
        struct log_set_status s = log_set_status(world_set(&w, 0));
        cr_assert_eq(s.cleaned_bytes_before - s.cleaned_bytes_after, before - after);
        unsigned count = content.count;
        clean(&w); /* what a pass has left of full segments fits into one */
        cr_assert_leq(world_count_files(&w, "topics/t0-0/"), 1 + 2 * 3);
        read_content(&w);
        cr_assert_eq(content.count, count);
        crash_and_start(&w, kind);
        read_content(&w);
        cr_assert_eq(content.count, count, "%u records have become %u", count, content.count);
        expect_last(10, 29);
        rounds(&w, 10, 30, 50);
        clean(&w);
        read_content(&w);
        cr_assert_lt(content.count, 10 + 13 + 2);
        expect_last(10, 49);
        world_close(&w);
    }
}

/* The files of the run are gone when the mark is durable, and nothing else is left over. */
Test(compaction, old_files_go_and_generations_grow)
{
    struct world w;
    open_world(&w, 4);
    world_started(&w, 1);
    rounds(&w, 5, 0, 20);
    clean(&w);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000-1.log"), 0);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000-1.index"), 0);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000-1.sums"), 0);
    rounds(&w, 5, 20, 40);
    clean(&w);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000-1.log"), 0);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000-2.log"), 0);
    cr_assert_eq(world_count_files(&w, "trash/"), 0);
    world_close(&w);
}

Test(compaction, every_codec_is_kept)
{
    struct world w;
    open_world(&w, 5);
    world_started(&w, 1);
    char value[VALUE_SIZE];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (unsigned n = 0; n < 2; n++) { /* a batch of three records, of which the last one stays */
        for (unsigned codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
            char key[16];
            snprintf(key, sizeof key, "c%u", codec);
            struct batch_spec spec = {
                .key = key, .text = value, .records = 3, .codec = codec, .timestamp = 7000};
            cr_assert_eq(world_append(&w, 0, &spec, NULL), 0);
        }
    }
    rounds(&w, 10, 0, 5);
    clean(&w);
    read_content(&w);
    unsigned batch = 0;
    for (unsigned codec = CODEC_NONE; codec < CODEC_COUNT; codec++, batch++) {
        char key[16];
        struct seen last;
        snprintf(key, sizeof key, "c%u", codec);
        cr_assert_eq(records_of(key, &last), 1);
        cr_assert_eq(last.offset, 15 + 3 * codec + 2);
        cr_assert_eq(last.timestamp, 7002);
        cr_assert_eq(content.codecs[batch], codec, "codec %u became %u", codec,
                     content.codecs[batch]);
        cr_assert_eq(content.ends[batch], 15 + 3 * codec + 3, "the batch ends elsewhere");
    }
    world_close(&w);
}

struct keeping {
    struct log *log;
    int64_t from_offset;
};

static void keep_tombstones(void *argument)
{
    struct keeping *k = argument;
    log_keep_tombstones(k->log, k->from_offset);
}

/* A tombstone removes what is older, stays for its time, and goes without uncovering anything. */
Test(compaction, tombstones_stay_for_their_time)
{
    struct world w;
    open_world(&w, 6);
    w.slots[0].config.delete_retention_ms = 60000;
    world_started(&w, 1);
    put(&w, "gone", "old", CODEC_NONE);
    put(&w, "gone", "newer", CODEC_LZ4);
    int64_t at = put(&w, "gone", NULL, CODEC_NONE);
    rounds(&w, 10, 0, 5);
    clean(&w);
    struct seen last;
    read_content(&w);
    cr_assert_eq(records_of("gone", &last), 1);
    cr_assert(last.tombstone && last.offset == at && last.timestamp == 5000);
    clean(&w); /* its time has not come */
    read_content(&w);
    cr_assert_eq(records_of("gone", &last), 1);
    cr_assert_eq(last.timestamp, 5000);
    world_kill(&w);
    world_started(&w, 1);
    world_wait_ms(&w, 61000);
    cr_assert(world_do(&w, 0, keep_tombstones, &(struct keeping){world_log(&w, 0), at}));
    clean(&w); /* a replica lacks it */
    read_content(&w);
    cr_assert_eq(records_of("gone", &last), 1);
    cr_assert(world_do(&w, 0, keep_tombstones, &(struct keeping){world_log(&w, 0), at + 1}));
    clean(&w);
    read_content(&w);
    cr_assert_eq(records_of("gone", &last), 0);
    world_power_cut(&w);
    world_started(&w, 1);
    read_content(&w);
    cr_assert_eq(records_of("gone", &last), 0);
    world_close(&w);
}

/* A producer's last batch is kept, empty if need be, and the producer goes on behind it. */
Test(compaction, the_last_batch_of_a_producer_is_kept)
{
    struct world w;
    open_world(&w, 7);
    world_started(&w, 1);
    struct batch_spec spec = {.key = "k0", .text = "p", .producer = true, .producer_id = 77};
    for (int32_t n = 0; n < 5; n++) {
        spec.sequence = n;
        cr_assert_eq(world_append(&w, 0, &spec, NULL), 0);
    }
    rounds(&w, 10, 0, 5);
    clean(&w);
    read_content(&w);
    cr_assert_eq(content.ends[0], 5, "the first batch ends at %lld", (long long)content.ends[0]);
    cr_assert_geq(content.empty, 1);
    world_power_cut(&w);
    world_started(&w, 1);
    int64_t base;
    cr_assert_eq(world_append(&w, 0, &spec, &base), 0);
    cr_assert_eq(base, 4, "a duplicate is not known");
    spec.sequence = 9;
    cr_assert_eq(world_append(&w, 0, &spec, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
    spec.sequence = 5;
    cr_assert_eq(world_append(&w, 0, &spec, NULL), 0);
    world_close(&w);
}

/* A follower of a compacted log knows where each epoch ends as its leader does: by the first batch of the next
 * one, which stays when all of its records go. */
Test(compaction, the_first_batch_of_an_epoch_is_kept)
{
    struct world w;
    open_world(&w, 17);
    world_started(&w, 1);
    struct batch_spec spec = {.key = "k0", .text = "e"};
    for (int32_t n = 0; n < 12; n++) {
        w.slots[0].epoch = n / 4;
        cr_assert_eq(world_append(&w, 0, &spec, NULL), 0);
    }
    rounds(&w, 10, 0, 5);
    clean(&w);
    read_content(&w);
    cr_assert_eq(content.ends[0], 5, "the first batch ends at %lld", (long long)content.ends[0]);
    cr_assert_eq(content.ends[1], 9, "the second ends at %lld", (long long)content.ends[1]);
    cr_assert_geq(content.empty, 2);
    world_power_cut(&w);
    world_started(&w, 1);
    struct wire_writer all;
    wire_writer_init(&all, &w.memory, 4 << 20);
    struct log_status s = world_status(&w, 0);
    struct log_read r = {.limit_offset = s.end_offset, .bytes_max = 1 << 20, .first_whole = true};
    for (; r.offset < s.end_offset; r.offset = r.next_offset) {
        cr_assert_eq(world_read(&w, 0, &r, &all), 0);
    }
    struct log_follow f = {
        .batches = bytes_of(all.data, all.size), .leader_epoch = 2, .gaps = true};
    cr_assert_eq(world_follow(&w, 1, &f), 0, "%s", f.refusal);
    for (int32_t epoch = 0; epoch < 3; epoch++) {
        int32_t found[2];
        int64_t end = log_epoch_end(world_log(&w, 0), epoch, &found[0]);
        if (epoch > 0) { /* nothing is left of the oldest, and nothing is in front of it */
            cr_assert_eq(log_epoch_end(world_log(&w, 1), epoch, &found[1]), end);
            cr_assert_eq(found[1], epoch);
        }
    }
    wire_writer_deinit(&all);
    world_close(&w);
}

/* Neither the active segment, nor what no checkpoint lists, nor what is above the watermark. */
Test(compaction, what_is_not_settled_is_not_touched)
{
    struct world w;
    open_world(&w, 8);
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    world_log(&w, 0);
    uint64_t before = world_status(&w, 0).size_bytes;
    cr_assert(world_do(&w, 0, clean_run, &w));
    world_wait_ms(&w, 3000);
    cr_assert_eq(world_status(&w, 0).size_bytes, before);
    log_raise_watermark(w.slots[0].log, 100);
    settle(&w); /* raises it to the end */
    w.slots[0].log->high_watermark = 100;
    cr_assert(world_do(&w, 0, clean_run, &w));
    world_wait_ms(&w, 3000);
    read_content(&w);
    struct seen last;
    cr_assert_lt(world_status(&w, 0).size_bytes, before);
    cr_assert_geq(records_of("k0", &last), 20, "only the first third may be compacted");
    expect_last(10, 29);
    world_close(&w);
}

/* A shard with little to do makes no checkpoint for long: the cleaner asks for one. */
Test(compaction, a_checkpoint_is_asked_for)
{
    struct world w;
    open_world(&w, 21);
    w.options.cleaner_off = false;
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    uint64_t before = world_status(&w, 0).size_bytes;
    uint64_t checkpoints = log_set_status(world_set(&w, 0)).checkpoints;
    log_raise_watermark(w.slots[0].log, 300);
    world_wait_ms(&w, 20000);
    cr_assert_lt(world_status(&w, 0).size_bytes, before / 8);
    checkpoints = log_set_status(world_set(&w, 0)).checkpoints - checkpoints;
    cr_assert_leq(checkpoints, 5, "%llu checkpoints", (unsigned long long)checkpoints);
    world_close(&w);
}

Test(compaction, lags_and_ratio_decide)
{
    struct world w;
    open_world(&w, 9);
    w.options.cleaner_off = false;
    w.options.cleaner_backoff_ms = 100;
    w.slots[0].config.min_dirty_ratio = 0.5;
    w.slots[0].config.min_compaction_lag_ms = INT64_MAX / 4;
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    uint64_t before = world_status(&w, 0).size_bytes;
    settle(&w);
    world_wait_ms(&w, 5000);
    cr_assert_eq(world_status(&w, 0).size_bytes, before, "too young");
    w.slots[0].config.min_compaction_lag_ms = 0;
    configure(&w);
    world_wait_ms(&w, 5000);
    uint64_t first = world_status(&w, 0).size_bytes;
    cr_assert_lt(first, before / 8, "all of it is dirty");
    w.slots[0].config.min_dirty_ratio = 0.99;
    configure(&w);
    rounds(&w, 10, 30, 60);
    settle(&w);
    uint64_t second = world_status(&w, 0).size_bytes;
    world_wait_ms(&w, 5000);
    cr_assert_eq(world_status(&w, 0).size_bytes, second, "below the ratio");
    w.slots[0].config.max_compaction_lag_ms = 1000; /* timestamps are long past */
    configure(&w);
    world_wait_ms(&w, 5000);
    cr_assert_lt(world_status(&w, 0).size_bytes, second / 2, "later than the lag");
    read_content(&w);
    expect_last(10, 59);
    world_close(&w);
}

/* A map that is too small for the keys: as many passes as it takes, and the same result. */
Test(compaction, a_small_map_takes_more_passes)
{
    struct world w;
    open_world(&w, 10);
    w.options.cleaner_map_bytes = 24 * 12; /* nine keys */
    w.options.cleaner_off = false;
    w.options.cleaner_backoff_ms = 100;
    world_started(&w, 1);
    rounds(&w, 40, 0, 10);
    settle(&w);
    world_wait_ms(&w, 60000);
    read_content(&w);
    expect_last(40, 9);
    uint64_t after = world_status(&w, 0).size_bytes;
    cr_assert_geq(world_log(&w, 0)->clean_offset, 350);
    cr_assert_lt(content.count, 40 * 10, "%llu bytes", (unsigned long long)after);
    world_close(&w);
}

/* Who reads from a segment that is replaced goes on with it; then its file goes. */
Test(compaction, a_segment_in_use_goes_later)
{
    struct world w;
    open_world(&w, 11);
    world_started(&w, 1);
    rounds(&w, 10, 0, 10);
    struct segment *s = container_of(world_log(&w, 0)->segments.next, struct segment, link);
    s->readers++;
    clean(&w);
    cr_assert(s->removed);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
    s->readers--;
    rounds(&w, 1, 10, 11);
    world_wait_ms(&w, 2000);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
    world_close(&w);
}

/* Offsets that are left out: reads begin behind them, times and epochs are found. */
Test(compaction, gaps_are_not_damage)
{
    struct world w;
    open_world(&w, 12);
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    clean(&w);
    world_kill(&w);
    world_started(&w, 1);
    struct log_read r = {.offset = 3, .limit_offset = 300, .bytes_max = 1 << 20};
    cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
    cr_assert_geq(r.next_offset, 12, "the first record that is left is the last of its segment");
    int64_t offset, time;
    cr_assert_eq(world_find_time(&w, 0, 1, &offset, &time), 0);
    read_content(&w);
    cr_assert_eq(offset, content.records[0].offset);
    cr_assert_eq(world_control(&w, 0, LOG_START, 50), 0);
    cr_assert_eq(world_status(&w, 0).start_offset, 50);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 100), ERR_OFFSET_OUT_OF_RANGE,
                 "a truncation reaches into what is compacted");
    read_content(&w);
    expect_last(10, 29);
    world_close(&w);
}

/* Damage is not copied into a new file, where it would look right: the log stays as it is. */
Test(compaction, damage_is_left_where_it_is)
{
    struct world w;
    open_world(&w, 13);
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    settle(&w);
    world_stop(&w);
    world_flip(&w, "topics/t0-0/00000000000000000012.log", 300, 3);
    world_started(&w, 1);
    uint64_t before = world_status(&w, 0).size_bytes;
    clean(&w);
    cr_assert_eq(world_status(&w, 0).size_bytes, before);
    cr_assert(world_log(&w, 0)->uncleanable);
    cr_assert_gt(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000-1.log"), 0);
    put(&w, "k0", "goes on", CODEC_NONE);
    world_close(&w);
}

/* The pass is given up, and nothing of it stays. */
Test(compaction, a_removal_a_new_start_and_a_stop_come_first)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct world w;
        open_world(&w, 14 + kind);
        w.options.cleaner_bytes_per_second = 20000; /* it would take a while */
        w.options.cleaner_piece_bytes = 4096;
        world_started(&w, 1);
        rounds(&w, 10, 0, 30);
        settle(&w);
        cr_assert(world_do(&w, 0, clean_run, &w));
        world_wait_ms(&w, 1000 + 7000 * kind);
        cr_assert_not_null(world_set(&w, 0)->cleaning);
        if (kind == 0) {
            cr_assert_eq(world_control(&w, 0, LOG_REMOVE, 0), 0);
            w.slots[0].log = NULL;
            world_wait_ms(&w, 3000);
            cr_assert_eq(world_count_files(&w, "topics/"), 0);
        } else if (kind == 1) {
            cr_assert_eq(world_control(&w, 0, LOG_START, 200), 0);
            world_wait_ms(&w, 5000);
            cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000.log"), 0);
            read_content(&w);
            expect_last(10, 29);
        } else {
            world_stop(&w);
            world_started(&w, 1);
            read_content(&w);
            cr_assert_leq(content.count, 300);
            expect_last(10, 29);
        }
        world_close(&w);
    }
}

/* Compaction needs room for its copy: near the reserve it gives up, and appends do not notice. */
Test(compaction, a_full_disk_puts_it_off)
{
    struct world w;
    open_world(&w, 17);
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    settle(&w);
    struct disk *d = sim_node_disk(w.node);
    struct disk_space s = disk_space(d);
    uint64_t reserve = world_set(&w, 0)->options.disk_reserve_bytes;
    disk_set_capacity(d, s.total_bytes - s.free_bytes + 2 * reserve - 4096);
    uint64_t before = world_status(&w, 0).size_bytes;
    clean(&w);
    cr_assert_eq(world_status(&w, 0).size_bytes, before);
    cr_assert_eq(world_file_size(&w, "topics/t0-0/00000000000000000000-1.log"), 0);
    put(&w, "k0", "goes on", CODEC_NONE);
    disk_set_capacity(d, s.total_bytes);
    clean(&w);
    cr_assert_lt(world_status(&w, 0).size_bytes, before / 8);
    world_close(&w);
}

/* An append that lacks what a pass has taken gets it: the pass ends, the append does not fail. */
Test(compaction, a_pass_gives_its_space_to_an_append)
{
    struct world w;
    open_world(&w, 22);
    w.options.cleaner_bytes_per_second = 60000; /* so that it stays where it is */
    w.options.cleaner_piece_bytes = 4096;
    w.slots[0].config.segment_bytes = 1 << 20;
    w.slots[1].config.segment_bytes = 65536;
    world_started(&w, 1);
    rounds(&w, 900, 0, 2); /* one segment that is sealed, of which more than a block stays */
    world_fill(&w, 1, &(struct batch_spec){.value_bytes = 1000}, 1);
    settle(&w);
    cr_assert(world_do(&w, 0, clean_run, &w));
    const char *fresh = "topics/t0-0/00000000000000000000-1.log";
    for (unsigned i = 0; i < 600 && world_file_size(&w, fresh) == 0; i++) {
        world_wait_ms(&w, 100);
    }
    cr_assert_gt(world_file_size(&w, fresh), 0);
    struct disk *d = sim_node_disk(w.node);
    struct disk_space s = disk_space(d);
    disk_set_capacity(d,
                      s.total_bytes - s.free_bytes + world_set(&w, 0)->options.disk_reserve_bytes);
    world_fill(&w, 1, &(struct batch_spec){.value_bytes = 30000},
               5); /* each of which must succeed */
    world_wait_ms(&w, 500);
    cr_assert_eq(world_file_size(&w, fresh), 0);
    cr_assert_null(world_set(&w, 0)->cleaning);
    read_content(&w);
    expect_last(900, 1);
    world_close(&w);
}

/* Retention goes on beside it: what is too old goes, whatever its key. */
Test(compaction, both_policies)
{
    struct world w;
    open_world(&w, 23);
    world_started(&w, 1);
    rounds(&w, 10, 0, 30);
    clean(&w);
    clean(&w);
    w.slots[0].config.retention_ms = 1000;
    configure(&w);
    rounds(&w, 10, 30, 33);
    settle(&w);
    cr_assert(world_do(&w, 0, retain_run, &w));
    world_wait_ms(&w, 1000);
    cr_assert_gt(world_status(&w, 0).start_offset, 250);
    read_content(&w);
    cr_assert_lt(content.count, 30);
    world_kill(&w);
    world_started(&w, 1);
    cr_assert_gt(world_status(&w, 0).start_offset, 250);
    world_close(&w);
}

Test(compaction, logs_in_memory_too)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct world w;
        open_world(&w, 18 + kind);
        w.slots[0].config.durability = LOG_MEMORY;
        world_started(&w, 1);
        rounds(&w, 10, 0, 30);
        clean(&w);
        read_content(&w);
        unsigned count = content.count;
        cr_assert_lt(count, 10 + 13 + 2);
        settle(&w);
        crash_and_start(&w, kind);
        read_content(&w);
        cr_assert_eq(content.count, count);
        expect_last(10, 29);
        world_close(&w);
    }
}
