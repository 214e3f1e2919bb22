/* SPDX-License-Identifier: Apache-2.0 */

/* A machine whose power goes again and again under a producer, a reader and a group: what they asked
 * and were told is written down (history/recorder.h) and checked by tests/history/check.py, so here is
 * only what keeps the run going. An answer other than success is a failure of the test. */
#include "machine.h"

#include "base/prng.h"
#include "history/recorder.h"
#include "wire/batch.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 8, CUTS = 5, SHARDS = 2, LOGS = 3, RECORDS_MOST = 4 };

/* One partition of "t" and what its clients know. */
struct log_view {
    uint64_t next;        /* sequence of the next new record */
    uint64_t batch;       /* of the last batch, */
    unsigned batch_count; /* which has so many records */
    bool doubt;           /* and has no answer yet */
    int64_t position;     /* of the reader */
};

struct story {
    struct world w;
    struct recorder *recorder;
    struct prng prng;
    int64_t producer_id;
    int16_t producer_epoch;
    struct log_view logs[LOGS];
    uint64_t invoked_ns;
    uint64_t answers;
};

/* NULL: the power went, and nobody knows what became of it. */
static void *ask(struct story *s, int16_t key, int16_t version, const void *request)
{
    s->invoked_ns = sim_now(s->w.sim);
    void *a = world_ask_unless_cut(&s->w, key, version, request);
    s->answers += a != NULL;
    return a;
}

/* A line about what was just asked, to be ended; `more` are members in front of a number. */
static void begin(struct story *s, const char *process, const char *op, bool answered, int log,
                  const char *more, int64_t number)
{
    recorder_begin(s->recorder, process, op, s->invoked_ns, sim_now(s->w.sim),
                   answered ? "ok" : "info", "\"topic\":\"t\",\"partition\":%d,%s%lld", log, more,
                   (long long)number);
}

static void node_is(struct story *s, const char *state)
{
    uint64_t now = sim_now(s->w.sim);
    recorder_begin(s->recorder, "node", "node", now, now, "ok", "\"state\":\"%s\"", state);
    recorder_end(s->recorder);
}

/* --- the producer ----------------------------------------------------------------------------- */

static struct bytes value_of(int log, uint64_t sequence)
{
    char *value = arena_alloc(client_arena(), 100);
    return bytes_of(value, recorder_value(value, 100, "t", log, "sim", sequence));
}

static struct bytes batch_of(const struct story *s, int log)
{
    const struct log_view *l = &s->logs[log];
    struct batch_builder b;
    struct batch_options options = batch_options_default();
    struct bytes out;
    options.producer_id = s->producer_id;
    options.producer_epoch = s->producer_epoch;
    options.base_sequence = (int32_t)l->batch;
    batch_builder_init(&b, client_memory(), 1 << 20);
    for (unsigned i = 0; i < l->batch_count; i++) {
        struct bytes value = value_of(log, l->batch + i);
        const struct record_input record = {.timestamp = 1700000000000,
                                            .key = {NULL, -1},
                                            .value = {value.data, (int32_t)value.size}};
        cr_assert_eq(batch_append(&b, &record), 0);
    }
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    uint8_t *kept = arena_alloc(client_arena(), out.size);
    memcpy(kept, out.data, out.size);
    batch_builder_deinit(&b);
    return bytes_of(kept, out.size);
}

/* What is in doubt is sent again with its sequences before anything new, and now and then what is
 * not in doubt is sent again as well. */
static void story_produce(struct story *s, int log)
{
    struct log_view *l = &s->logs[log];
    if (!l->doubt && (l->next == 0 || !prng_chance(&s->prng, 1, 10))) {
        l->batch = l->next;
        l->batch_count = (unsigned)prng_between(&s->prng, 1, RECORDS_MOST);
        l->next += l->batch_count;
        l->doubt = true;
    }
    struct produce_request *q = produce_request("t", batch_of(s, log), 30000);
    q->topic_data[0].partition_data[0].index = log;
    const struct produce_response *a = ask(s, 0, 9, q);
    int64_t offset = -1;
    if (a) {
        const struct produce_response_partition_responses *r =
            &a->responses[0].partition_responses[0];
        cr_assert_eq(r->error_code, 0, "%d", r->error_code);
        offset = r->base_offset;
        l->doubt = false;
    }
    begin(s, "producer", "produce", a, log, "\"idempotent\":true,\"offset\":", offset);
    for (unsigned i = 0; i < l->batch_count; i++) {
        struct bytes value = value_of(log, l->batch + i);
        recorder_record(s->recorder, -1, value.data, value.size);
    }
    recorder_end(s->recorder);
}

/* --- the reader ------------------------------------------------------------------------------- */

/* Writes the records at and above `from` down; returns the next offset. */
static int64_t records_told(struct story *s, const struct wire_records *records, int64_t from)
{
    const uint8_t *at = records->size ? records->slices[0].data : NULL;
    size_t left = records->size;
    while (left > 0) {
        struct batch_header h;
        struct record_reader reader;
        struct record record;
        cr_assert_eq(batch_header_read(&h, at, left), 0, "a batch is cut off");
        cr_assert_eq(batch_check(&h, at, h.size, BATCH_FROM_LOG), 0);
        record_reader_init(&reader, &h,
                           bytes_of(at + BATCH_HEADER_SIZE, h.size - BATCH_HEADER_SIZE));
        while (record_next(&reader, &record) == 1) {
            if (record.offset >= from) {
                recorder_record(s->recorder, record.offset, record.value.data,
                                (size_t)record.value.size);
                from = record.offset + 1;
            }
        }
        at += h.size;
        left -= h.size;
    }
    return from;
}

/* Reads a little from `from` on; `scan`: as a part of it, 0: none. Returns where it goes on, and
 * the high watermark. -1: the power went. */
static int64_t story_fetch(struct story *s, const char *process, int log, int64_t from, int scan,
                           int64_t *high)
{
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_partitions_init(&p);
    p.partition = log;
    p.fetch_offset = from;
    p.partition_max_bytes = (int32_t)prng_between(&s->prng, 200, 2000);
    q.topics = &t;
    q.topics_count = 1;
    q.max_bytes = 1 << 16;
    const struct fetch_response *a = ask(s, 1, 11, &q);
    if (!a) {
        return -1;
    }
    const struct fetch_response_partitions *r = &a->responses[0].partitions[0];
    cr_assert_eq(r->error_code, 0, "%d", r->error_code);
    *high = r->high_watermark;
    if (r->records.size == 0) {
        return from;
    }
    recorder_begin(s->recorder, process, "poll", s->invoked_ns, sim_now(s->w.sim), "ok",
                   scan ? "\"topic\":\"t\",\"partition\":%d,\"scan\":%d"
                        : "\"topic\":\"t\",\"partition\":%d",
                   log, scan);
    from = records_told(s, &r->records, from);
    recorder_end(s->recorder);
    return from;
}

static void assigned(struct story *s, const char *process, int log)
{
    uint64_t now = sim_now(s->w.sim);
    recorder_begin(s->recorder, process, "assign", now, now, "ok", "\"partitions\":[[\"t\",%d,0]]",
                   log);
    recorder_end(s->recorder);
}

/* --- the group, and the ends of the logs ------------------------------------------------------ */

static void story_commit(struct story *s, int log)
{
    struct offset_commit_request_partitions p;
    struct offset_commit_request_topics t = {
        .name = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct offset_commit_request q;
    offset_commit_request_partitions_init(&p);
    offset_commit_request_init(&q);
    p.partition_index = log;
    p.committed_offset = s->logs[log].position;
    p.committed_metadata = wire_string_null();
    q.group_id = wire_string_of("g");
    q.group_instance_id = wire_string_null();
    q.topics = &t;
    q.topics_count = 1;
    const struct offset_commit_response *a = ask(s, 8, 5, &q);
    cr_assert(!a || a->topics[0].partitions[0].error_code == 0);
    begin(s, "reader", "commit", a, log, "\"group\":\"g\",\"offset\":", p.committed_offset);
    recorder_end(s->recorder);
}

static void story_committed(struct story *s, int log)
{
    struct offset_fetch_request_topics t = {wire_string_of("t"), &log, 1};
    struct offset_fetch_request q;
    offset_fetch_request_init(&q);
    q.group_id = wire_string_of("g");
    q.topics = &t;
    q.topics_count = 1;
    const struct offset_fetch_response *a = ask(s, 9, 5, &q);
    if (a) {
        cr_assert_eq(a->error_code, 0);
        begin(s, "reader", "fetch_offsets", true, log,
              "\"group\":\"g\",\"offset\":", a->topics[0].partitions[0].committed_offset);
        recorder_end(s->recorder);
    }
}

static void story_ends(struct story *s, int log)
{
    struct list_offsets_request_partitions p;
    struct list_offsets_request_topics t = {wire_string_of("t"), &p, 1};
    struct list_offsets_request q;
    list_offsets_request_partitions_init(&p);
    list_offsets_request_init(&q);
    p.partition_index = log;
    p.timestamp = -1;
    q.replica_id = -1;
    q.topics = &t;
    q.topics_count = 1;
    const struct list_offsets_response *a = ask(s, 2, 4, &q);
    if (a) {
        cr_assert_eq(a->topics[0].partitions[0].error_code, 0);
        begin(s, "observer", "offsets", true, log,
              "\"start\":0,\"end\":", a->topics[0].partitions[0].offset);
        recorder_end(s->recorder);
    }
}

/* --- lives ------------------------------------------------------------------------------------ */

static void story_step(struct story *s)
{
    int log = (int)prng_below(&s->prng, LOGS);
    uint64_t what = prng_below(&s->prng, 20);
    struct log_view *l = &s->logs[log];
    int64_t high;
    if (what < 9) {
        story_produce(s, log);
    } else if (what < 15) {
        int64_t next = story_fetch(s, "reader", log, l->position, 0, &high);
        l->position = next < 0 ? l->position : next;
    } else if (what < 17) {
        story_commit(s, log);
    } else if (what < 19) {
        story_committed(s, log);
    } else {
        story_ends(s, log);
    }
}

/* A machine that is up, until it is not. */
static void story_life(struct story *s)
{
    sim_crash_after(s->w.machine, prng_between(&s->prng, 20, 500),
                    prng_below(&s->prng, 3) ? SIM_CRASH_POWER : SIM_CRASH_KILL);
    while (world_is_up(&s->w)) {
        story_step(s);
    }
    node_is(s, "down");
    world_again(&s->w);
    node_is(s, "ready");
}

/* What is in doubt is settled, and everything is read. */
static void story_end(struct story *s)
{
    for (int log = 0; log < LOGS; log++) {
        int64_t from = 0, high = 1;
        if (s->logs[log].doubt) {
            story_produce(s, log);
        }
        story_ends(s, log);
        story_committed(s, log);
        assigned(s, "scanner", log);
        while (from < high) {
            int64_t next = story_fetch(s, "scanner", log, from, 1, &high);
            cr_assert(next > from || next == high, "%ld of %ld", (long)next, (long)high);
            from = next;
        }
    }
}

static void story_begin(struct story *s, uint64_t seed)
{
    struct find_coordinator_request find;
    struct init_producer_id_request q;
    *s = (struct story){.prng = prng_of(seed), .recorder = recorder_open("node", seed)};
    world_open_as(&s->w, 0, SHARDS, seed);
    sim_faults(s->w.sim)->write.min_ns = SECOND_NS / 1000; /* slower than any answer */
    world_create_topic(&s->w, "t", LOGS);
    find_coordinator_request_init(&find);
    find.key = wire_string_of("g");
    world_ask(&s->w, 10, 1, &find);
    init_producer_id_request_init(&q);
    q.transactional_id = wire_string_null();
    const struct init_producer_id_response *a = world_ask(&s->w, 22, 1, &q);
    cr_assert_eq(a->error_code, 0);
    s->producer_id = a->producer_id;
    s->producer_epoch = a->producer_epoch;
    node_is(s, "ready");
    for (int log = 0; log < LOGS; log++) {
        assigned(s, "reader", log);
    }
}

Test(simulated_history, power_cuts_under_clients, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct story s;
        story_begin(&s, seed);
        for (int i = 0; i < CUTS; i++) {
            story_life(&s);
        }
        story_end(&s);
        cr_log_info("seed %lu: %lu answers", (unsigned long)seed, (unsigned long)s.answers);
        cr_assert_gt(s.answers, 50);
        recorder_close(s.recorder);
        world_close(&s.w);
    }
}
