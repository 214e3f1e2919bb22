/* SPDX-License-Identifier: Apache-2.0 */

/* The open loop: makes the topic, starts the threads, shows how it goes, and reports. */
#include "load/open_loop.h"

#include "load/cost.h"
#include "load/load.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAD_NS = 20 * NS_PER_MS }; /* from the start of the threads to the first record's time */

/* --- progress --------------------------------------------------------------------------------- */

struct totals {
    uint64_t sent, acked, failed;
};

static struct totals totals_of(const struct load *load)
{
    struct totals t = {0};
    for (uint64_t i = 0; i < load->options.producers; i++) {
        struct load_producer *p = &load->producers[i];
        t.sent += atomic_load(&p->sent);
        t.acked += atomic_load(&p->acked);
        t.failed += atomic_load(&p->failed);
    }
    return t;
}

/* The next whole second of the warm-up or of the window, or the end of either. */
static uint64_t tick_after(const struct load *load, uint64_t at)
{
    bool warming = at < load->window_ns;
    uint64_t begun = warming ? load->start_ns : load->window_ns;
    uint64_t end = warming ? load->window_ns : load->end_ns;
    uint64_t next = at + NS_PER_S - (at - begun) % NS_PER_S;
    return next < end ? next : end;
}

/* What had been counted, and when. */
struct mark {
    uint64_t at_ns, received;
    struct totals totals;
};

/* By all consumers together. */
static uint64_t received_by(const struct load *load)
{
    uint64_t received = 0;
    for (uint64_t i = 0; i < load->options.consumers; i++) {
        received += atomic_load(&load->consumers[i].received);
    }
    return received;
}

static struct mark mark_now(const struct load *load)
{
    return (struct mark){clock_ns(), received_by(load), totals_of(load)};
}

/* The rates of the row that ends at `at`, if one does; `row` is then where the next begins. */
static void keep_rates(struct load *load, uint64_t at, const struct mark *now, struct mark *row)
{
    uint64_t row_ns = load->acked.row_ns;
    if ((at - load->window_ns) % row_ns != 0 && at != load->end_ns) {
        return;
    }
    uint64_t number = (at - 1 - load->window_ns) / row_ns;
    double seconds = (double)(now->at_ns - row->at_ns) / NS_PER_S;
    double planned = (double)(at - load->window_ns - number * row_ns) / NS_PER_S;
    if (seconds > planned / 2) { /* otherwise this thread came too late to the row before */
        load->acked.rates[number] = (double)(now->totals.acked - row->totals.acked) / seconds;
        if (load->options.consumers) {
            load->consumed.rates[number] = (double)(now->received - row->received) / seconds;
        }
    }
    *row = *now;
}

static void show(const struct load *load, const struct mark *now, const struct mark *before)
{
    double seconds = (double)(now->at_ns - before->at_ns) / NS_PER_S;
    fprintf(stderr, "\r%4.0f s  %s  sent %.0f/s  acknowledged %.0f/s  failed %llu   ",
            (double)(now->at_ns - load->start_ns) / NS_PER_S,
            now->at_ns > load->window_ns ? "measuring" : "warming up",
            (double)(now->totals.sent - before->totals.sent) / seconds,
            (double)(now->totals.acked - before->totals.acked) / seconds,
            (unsigned long long)now->totals.failed);
}

/* Waits for the end of the schedule and counts each second; on a terminal, a line says how it goes. */
static void watch(struct load *load, struct load_cost *cost)
{
    bool terminal = isatty(STDERR_FILENO), measuring = false;
    struct mark before = {.at_ns = load->start_ns}, row = before;
    for (uint64_t at = load->start_ns;; at = tick_after(load, at)) {
        clock_wait_until(at);
        struct mark now = mark_now(load);
        if (measuring) {
            keep_rates(load, at, &now, &row);
        } else if (at >= load->window_ns) {
            load_cost_begin(cost, load->options.pid);
            measuring = true;
            row = now;
        }
        if (terminal && at > load->start_ns) {
            show(load, &now, &before);
        }
        before = now;
        if (at >= load->end_ns) {
            break;
        }
    }
    load_cost_end(cost);
    if (terminal) {
        fputs("\r\033[K", stderr);
    }
}

/* --- the report ------------------------------------------------------------------------------- */

static void latency_row(struct table *t, const char *name, const struct histogram *h)
{
    static const double percents[] = {50, 90, 99, 99.9, 99.99};
    table_text(t, name);
    table_number(t, (double)h->count);
    table_number(t, histogram_mean(h) / NS_PER_MS);
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        table_number(t, (double)histogram_percentile(h, percents[i]) / NS_PER_MS);
    }
    table_number(t, (double)h->max_ns / NS_PER_MS);
}

static void time_cells(struct table *t, const struct series *s, unsigned row)
{
    struct series_figures f;
    if (!s->cells) {
        for (unsigned i = 0; i < 4; i++) {
            table_none(t);
        }
        return;
    }
    if (s->rates[row] < 0) {
        table_none(t);
    } else {
        table_number(t, s->rates[row]);
    }
    if (series_figures(s, row, &f)) {
        table_number(t, (double)f.p50_ns / NS_PER_MS);
        table_number(t, (double)f.p99_ns / NS_PER_MS);
        table_number(t, (double)f.max_ns / NS_PER_MS);
    } else { /* no record was meant for it, or none that was timed */
        for (unsigned i = 0; i < 3; i++) {
            table_none(t);
        }
    }
}

/* The window by seconds. */
static void report_time(struct report *report, const struct load *load)
{
    static const struct table_column columns[] = {
        {"second", 0},     {"acked/s", 0}, {"p50", 3},     {"p99", 3},     {"max", 3},
        {"consumed/s", 0}, {"end p50", 3}, {"end p99", 3}, {"end max", 3}, {NULL, 0}};
    struct table *t =
        report_table(report, "time", "time: latencies in ms, by when records were meant", columns);
    for (unsigned row = 0; row < load->acked.rows; row++) {
        table_number(t, series_second(&load->acked, row));
        time_cells(t, &load->acked, row);
        time_cells(t, &load->consumed, row);
    }
}

static void report_conditions(struct report *report, const struct load *load,
                              const struct load_cost *cost)
{
    const struct load_options *o = &load->options;
    const struct driver_settings *s = &o->settings;
    report_condition(report, "driver", "%s %s", load->driver->name, load->driver->version());
    if (o->workload) {
        report_condition(report, "workload", "%s", o->workload);
    }
    report_condition(report, "brokers", "%s", s->brokers);
    report_condition(report, "topic", "%s", s->topic);
    report_condition(report, "partitions", "%llu", (unsigned long long)s->partitions);
    report_condition(report, "producers", "%llu", (unsigned long long)o->producers);
    report_condition(report, "size", "%llu", (unsigned long long)s->size);
    report_condition(report, "keys", "%llu", (unsigned long long)o->keys);
    report_condition(report, "acks", "%s", s->acks);
    report_condition(report, "durability", "%s", s->durability ? s->durability : "default");
    report_condition(report, "codec", "%s", s->codec);
    report_condition(report, "linger ms", "%.0f", s->linger * 1000);
    report_condition(report, "batch", "%llu", (unsigned long long)s->batch);
    report_condition(report, "latency from", "%s",
                     o->rate > 0 ? "the intended time" : "the call (no rate: closed loop)");
    report_condition(report, "seconds", "%.1f", load_cost_seconds(cost));
    report_condition(report, "stolen cpu", "%.2f",
                     (cost->steal_ended - cost->steal_begun) / load_cost_seconds(cost));
}

static void throughput_row(struct table *t, const struct load *load, const struct load_cost *cost,
                           uint64_t acked_in_window, const struct totals *all)
{
    const struct load_options *o = &load->options;
    double seconds = load_cost_seconds(cost), acked = (double)acked_in_window;
    double bytes = acked * (double)o->settings.size;
    if (o->rate > 0) {
        table_number(t, o->rate);
    } else {
        table_none(t);
    }
    table_number(t, acked / seconds);
    table_number(t, bytes / seconds / 1e6);
    if (o->consumers) {
        uint64_t in_window = 0;
        for (uint64_t i = 0; i < o->consumers; i++) {
            in_window += load->consumers[i].received_in_window;
        }
        table_number(t, (double)in_window / seconds);
        table_number(t, (double)(o->consumers * (all->sent - all->failed)) -
                            (double)received_by(load));
    } else {
        table_none(t);
        table_none(t);
    }
    table_number(t, (double)all->failed);
    table_number(t, load_cost_own(cost) / seconds);
    if (cost->pid && acked > 0) {
        table_number(t, load_cost_broker(cost) / seconds);
        table_number(t, load_cost_broker(cost) / (bytes / 1e9));
        table_number(t, load_cost_broker(cost) / (acked / 1e6));
        table_number(t, (double)cost->rss_bytes / (1 << 20));
    }
}

static void report_load(const struct load *load, const struct load_cost *cost)
{
    static const struct table_column latency[] = {{"latency ms", TABLE_TEXT},
                                                  {"count", 0},
                                                  {"mean", 3},
                                                  {"p50", 3},
                                                  {"p90", 3},
                                                  {"p99", 3},
                                                  {"p99.9", 3},
                                                  {"p99.99", 3},
                                                  {"max", 3},
                                                  {NULL, 0}};
    static const struct table_column throughput[] = {
        {"offered/s", 0},   {"acked/s", 0},    {"MB/s", 1},    {"consumed/s", 0},
        {"missing", 0},     {"failed", 0},     {"own cpu", 2}, {"broker cpu", 2},
        {"broker s/GB", 3}, {"broker s/M", 3}, {"rss MiB", 1}, {NULL, 0}};
    struct histogram *all = calloc(1, sizeof *all);
    struct totals totals = totals_of(load);
    uint64_t acked = 0;
    struct report report;
    if (!all) {
        load_fail("out of memory");
    }
    for (uint64_t i = 0; i < load->options.producers; i++) {
        histogram_merge(all, &load->producers[i].latency);
        acked += load->producers[i].acked_in_window;
    }
    report_init(&report, "leat-bench");
    report_conditions(&report, load, cost);
    struct table *t = report_table(&report, "throughput", "throughput", throughput);
    throughput_row(t, load, cost, acked, &totals);
    t = report_table(&report, "latency", "latency", latency);
    latency_row(t, "acknowledged", all);
    if (load->options.consumers) {
        histogram_init(all);
        for (uint64_t i = 0; i < load->options.consumers; i++) {
            histogram_merge(all, &load->consumers[i].latency);
        }
        latency_row(t, "end to end", all);
    }
    if (load->options.json || load->options.series) {
        report_time(&report, load);
    }
    report_print(&report, load->options.json);
    report_deinit(&report);
    free(all);
}

/* --- the command ------------------------------------------------------------------------------ */

static void check_options(struct load_options *o)
{
    o->rate = (double)o->rate_count;
    const struct driver_settings *s = &o->settings;
    if (s->size < STAMP_SIZE || s->size > 64 << 20) {
        options_refuse("size", "16 bytes (the stamp) to 64 MiB");
    }
    if (o->producers < 1 || o->producers > PRODUCERS_MAX) {
        options_refuse("producers", "1 to 1000");
    }
    if (o->consumers > CONSUMERS_MAX) {
        options_refuse("consumers", "at most 100");
    }
    o->consumers = o->consume && o->consumers == 0 ? 1 : o->consumers;
    if (s->partitions < 1 || s->partitions > PARTITIONS_MAX) {
        options_refuse("partitions", "1 to 100000");
    }
    if (o->sample < 1) {
        options_refuse("sample", "at least 1");
    }
    if (o->outstanding && o->sample != 1) {
        options_refuse("outstanding", "every record is reported: --sample 1");
    }
    if (o->duration <= 0 || o->duration > 86400 || o->warmup > 86400) {
        options_refuse("duration", "more than 0, and at most a day");
    }
}

static void open_series(struct load *load)
{
    if (!series_init(&load->acked, load->window_ns, load->end_ns, load->options.producers) ||
        (load->options.consumers &&
         !series_init(&load->consumed, load->window_ns, load->end_ns, load->options.consumers))) {
        load_fail("out of memory");
    }
}

static int run(struct load *load)
{
    const struct load_options *o = &load->options;
    struct load_cost cost;
    load->driver->topic_make(&o->settings);
    load->run = clock_ns() ^ (uint64_t)getpid() << 48;
    load->producers = calloc(o->producers, sizeof *load->producers);
    load->consumers = calloc(o->consumers + 1, sizeof *load->consumers);
    if (!load->producers || !load->consumers) {
        load_fail("out of memory");
    }
    for (uint64_t i = 0; i < o->producers; i++) {
        load_producer_open(&load->producers[i], load, (unsigned)i);
    }
    for (uint64_t i = 0; i < o->consumers; i++) {
        load_consumer_open(&load->consumers[i], load, (unsigned)i);
    }
    load->start_ns = clock_ns() + LEAD_NS;
    load->window_ns = load->start_ns + clock_seconds(o->warmup);
    load->end_ns = load->window_ns + clock_seconds(o->duration);
    open_series(load);
    for (uint64_t i = 0; i < o->consumers; i++) {
        load_consumer_start(&load->consumers[i]);
    }
    for (uint64_t i = 0; i < o->producers; i++) {
        load_producer_start(&load->producers[i]);
    }
    watch(load, &cost);
    for (uint64_t i = 0; i < o->producers; i++) {
        load_producer_end(&load->producers[i]);
    }
    struct totals totals = totals_of(load);
    for (uint64_t i = 0; i < o->consumers; i++) {
        load_consumer_end(&load->consumers[i], totals.sent - totals.failed);
    }
    report_load(load, &cost);
    for (uint64_t i = 0; i < o->producers; i++) {
        if (load->producers[i].failure.code) {
            fprintf(stderr, "leat-bench: producer %llu: %s\n", (unsigned long long)i,
                    load->producers[i].failure.why);
        }
    }
    series_deinit(&load->acked);
    series_deinit(&load->consumed);
    free(load->producers);
    free(load->consumers);
    return totals.failed ? 1 : 0;
}

static struct load_options defaults(void)
{
    return (struct load_options){
        .settings = {.brokers = "127.0.0.1:9092",
                     .topic = "bench",
                     .acks = "all",
                     .codec = "none",
                     .partitions = 1,
                     .size = 1024,
                     .batch = 256 << 10,
                     .buffer = 64 << 20,
                     .in_flight = 5,
                     .linger = 0.005,
                     .check_crcs = true},
        .driver = "leat",
        .producers = 1,
        .sample = 1,
        .rate_count = 1000,
        .duration = 10,
        .warmup = 2,
    };
}

/* Before all others, wherever it stands. */
static const char *workload_of(int argc, char **argv)
{
    static const char name[] = "--workload";
    const size_t size = sizeof name - 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=') {
            return argv[i] + size + 1;
        }
        if (strcmp(argv[i], name) == 0 && i + 1 < argc) {
            return argv[i + 1];
        }
    }
    return NULL;
}

int command_load(int argc, char **argv)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load) {
        load_fail("out of memory");
    }
    struct load_options *o = &load->options;
    *o = defaults();
    struct driver_settings *s = &o->settings;
    const struct option_spec specs[] = {
        {"workload", OPTION_TEXT, &o->workload, "a YAML file of options; others count more"},
        {"driver", OPTION_TEXT, &o->driver, "the client library: leat or rdkafka"},
        {"brokers", OPTION_TEXT, &s->brokers, "HOST:PORT,..."},
        {"topic", OPTION_TEXT, &s->topic, "made if it is missing"},
        {"partitions", OPTION_COUNT, &s->partitions, "of the topic; records take turns"},
        {"replicas", OPTION_COUNT, &s->replicas,
         "of a topic that is made; 0: the broker's default"},
        {"keys", OPTION_COUNT, &o->keys, "so many different ones; 0: none"},
        {"durability", OPTION_TEXT, &s->durability, "fsync or memory, of a topic that is made"},
        {"size", OPTION_BYTES, &s->size, "of a record's value"},
        {"rate", OPTION_COUNT, &o->rate_count, "records per second in all; 0: as fast as possible"},
        {"duration", OPTION_SECONDS, &o->duration, "of the measurement"},
        {"warmup", OPTION_SECONDS, &o->warmup, "before it"},
        {"producers", OPTION_COUNT, &o->producers, "each with a connection of its own"},
        {"acks", OPTION_TEXT, &s->acks, "all, 1 or 0"},
        {"linger", OPTION_SECONDS, &s->linger, "how long a batch waits for more records"},
        {"batch", OPTION_BYTES, &s->batch, "most bytes of a batch"},
        {"buffer", OPTION_BYTES, &s->buffer, "of each producer, for what is not acknowledged"},
        {"in-flight", OPTION_COUNT, &s->in_flight, "requests of each producer without an answer"},
        {"outstanding", OPTION_COUNT, &o->outstanding,
         "records of each producer without an answer; 0: as the buffer has it"},
        {"idempotence", OPTION_TEXT, &s->idempotence, "true or false; unset: with acks all"},
        {"codec", OPTION_TEXT, &s->codec, "none, gzip, snappy, lz4 or zstd"},
        {"sample", OPTION_COUNT, &o->sample, "time one record of so many"},
        {"consume", OPTION_FLAG, &o->consume, "read it all back, and time it end to end"},
        {"consumers", OPTION_COUNT, &o->consumers, "so many, each of which reads all of it"},
        {"pid", OPTION_COUNT, &o->pid, "the broker's process, for its cost"},
        {"series", OPTION_FLAG, &o->series, "print each second, too; JSON has it always"},
        {"json", OPTION_FLAG, &o->json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    const char *workload = workload_of(argc, argv);
    if (workload) {
        options_load(specs, workload);
    }
    int at = options_parse(specs, argc, argv, "leat-bench [raw|start] [options]");
    if (at < argc) {
        fprintf(stderr, "leat-bench: there is no command '%s': raw or start\n", argv[at]);
        free(load);
        return 2;
    }
    check_options(o);
    load->driver = driver_find(o->driver);
    if (!load->driver) {
        options_refuse("driver", "leat, or rdkafka if leat-bench was built with it");
    }
    int status = run(load);
    free(load);
    return status;
}
