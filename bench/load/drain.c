/* SPDX-License-Identifier: Apache-2.0 */

/* drain: how fast a topic that is there is read, from its first record on, by one consumer or by several that each read
 * all of it. Run beside a load it says what catching up costs both. */
#include "load/driver.h"
#include "load/cost.h"
#include "load/load.h"

#include "report/clock.h"
#include "report/options.h"
#include "report/table.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONSUMERS_MAX = 100, POLL_MS = 100, SILENCE_SECONDS = 10 };

struct drain_options {
    struct driver_settings settings;
    const char *driver;
    uint64_t records, consumers, pid;
    bool json;
};

struct drain_consumer {
    const struct drain_options *options;
    const struct driver *driver;
    void *consumer;
    pthread_t thread;
    uint64_t records, bytes;
    uint64_t begun_ns, ended_ns;
};

static void take(void *context, const struct driver_record *record)
{
    struct drain_consumer *c = context;
    c->records++;
    c->bytes += record->size;
}

static void *drain(void *argument)
{
    struct drain_consumer *c = argument;
    uint64_t last_ns = c->begun_ns = clock_ns();
    while (c->records < c->options->records) {
        int count = c->driver->poll(c->consumer, POLL_MS, take, c);
        uint64_t now = clock_ns();
        if (count > 0) {
            last_ns = now;
        } else if (now - last_ns > SILENCE_SECONDS * (uint64_t)NS_PER_S) {
            break;
        }
    }
    c->ended_ns = clock_ns();
    return NULL;
}

static void report(const struct drain_options *o, const struct drain_consumer *all,
                   const struct load_cost *cost)
{
    static const struct table_column columns[] = {
        {"consumers", 0}, {"records", 0},    {"missing", 0},     {"MB/s", 1},    {"slowest s", 2},
        {"own cpu", 2},   {"broker cpu", 2}, {"broker s/GB", 3}, {"rss MiB", 1}, {NULL, 0}};
    struct report r;
    uint64_t records = 0, bytes = 0, longest = 0;
    for (uint64_t i = 0; i < o->consumers; i++) {
        uint64_t took = all[i].ended_ns - all[i].begun_ns;
        records += all[i].records;
        bytes += all[i].bytes;
        longest = took > longest ? took : longest;
    }
    double seconds = (double)longest / NS_PER_S;
    uint64_t wanted = o->records * o->consumers;
    report_init(&r, "leat-bench drain");
    report_condition(&r, "driver", "%s %s", all[0].driver->name, all[0].driver->version());
    report_condition(&r, "topic", "%s", o->settings.topic);
    report_condition(&r, "partitions", "%llu", (unsigned long long)o->settings.partitions);
    struct table *t = report_table(&r, "drain", "drain", columns);
    table_number(t, (double)o->consumers);
    table_number(t, (double)records);
    table_number(t, (double)(records < wanted ? wanted - records : 0));
    table_number(t, (double)bytes / seconds / 1e6);
    table_number(t, seconds);
    table_number(t, load_cost_own(cost) / load_cost_seconds(cost));
    if (cost->pid) {
        table_number(t, load_cost_broker(cost) / load_cost_seconds(cost));
        table_number(t, bytes ? load_cost_broker(cost) / ((double)bytes / 1e9) : 0);
        table_number(t, (double)cost->rss_bytes / (1 << 20));
    }
    report_print(&r, o->json);
    report_deinit(&r);
}

static void check_options(const struct drain_options *o)
{
    if (o->consumers < 1 || o->consumers > CONSUMERS_MAX) {
        options_refuse("consumers", "1 to 100");
    }
    if (o->records < 1) {
        options_refuse("records", "how many each consumer reads");
    }
}

static int run(const struct drain_options *o, const struct driver *driver)
{
    struct drain_consumer *all = calloc(o->consumers, sizeof *all);
    struct load_cost cost;
    bool whole = true;
    if (!all) {
        load_fail("out of memory");
    }
    for (uint64_t i = 0; i < o->consumers; i++) {
        all[i].options = o;
        all[i].driver = driver;
        all[i].consumer = driver->consumer_open(&o->settings, true);
    }
    load_cost_begin(&cost, o->pid);
    for (uint64_t i = 0; i < o->consumers; i++) {
        if (pthread_create(&all[i].thread, NULL, drain, &all[i]) != 0) {
            load_fail("no thread can be made");
        }
    }
    for (uint64_t i = 0; i < o->consumers; i++) {
        pthread_join(all[i].thread, NULL);
        whole = whole && all[i].records >= o->records;
    }
    load_cost_end(&cost);
    report(o, all, &cost);
    for (uint64_t i = 0; i < o->consumers; i++) {
        driver->consumer_close(all[i].consumer);
    }
    free(all);
    return whole ? 0 : 1;
}

int command_drain(int argc, char **argv)
{
    struct drain_options o = {.settings = {.brokers = "127.0.0.1:9092",
                                           .topic = "bench",
                                           .partitions = 1,
                                           .size = 1024,
                                           .check_crcs = true},
                              .driver = "leat",
                              .consumers = 1};
    struct driver_settings *s = &o.settings;
    const struct option_spec specs[] = {
        {"driver", OPTION_TEXT, &o.driver, "the client library: leat or rdkafka"},
        {"brokers", OPTION_TEXT, &s->brokers, "HOST:PORT,..."},
        {"topic", OPTION_TEXT, &s->topic, "that is read"},
        {"partitions", OPTION_COUNT, &s->partitions, "of the topic"},
        {"records", OPTION_COUNT, &o.records, "that each consumer reads, and then ends"},
        {"consumers", OPTION_COUNT, &o.consumers, "each reads all of it"},
        {"fetch-bytes", OPTION_BYTES, &s->fetch_bytes, "most bytes of a fetch"},
        {"pid", OPTION_COUNT, &o.pid, "the broker's process, for its cost"},
        {"json", OPTION_FLAG, &o.json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    options_parse(specs, argc, argv, "leat-bench drain [options]");
    check_options(&o);
    const struct driver *driver = driver_find(o.driver);
    if (!driver) {
        options_refuse("driver", "leat, or rdkafka if leat-bench was built with it");
    }
    return run(&o, driver);
}
