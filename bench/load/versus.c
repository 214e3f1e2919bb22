/* SPDX-License-Identifier: Apache-2.0 */

/* leat-versus: publishes or reads so many records with one client library, and says how long it took
 * and what it cost this process and the broker.
 *
 *     leat-versus [options] produce|consume [name=value ...]
 *
 * One library and one run in a process: neither pays for what the other left behind. The topic is
 * there already. bench/clients.sh puts runs side by side. */
#include "load/versus.h"

#include "base/prng.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/process.h"
#include "report/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { VALUES_SIZE = 4 << 20 };

struct cost {
    uint64_t begun_ns, ended_ns;
    double own_begun, own_ended, broker_begun, broker_ended;
    uint64_t switches;
    uint64_t resident_kib;
};

void versus_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("leat-versus: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static double own_cpu(struct rusage *usage)
{
    getrusage(RUSAGE_SELF, usage);
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static double broker_cpu(const struct versus_options *o)
{
    struct process_cost cost = {0};
    if (o->pid && !process_cost((pid_t)o->pid, &cost)) {
        versus_fail("there is no process %llu", (unsigned long long)o->pid);
    }
    return cost.cpu_seconds;
}

void versus_begin(struct versus_run *run)
{
    struct cost *c = run->cost;
    struct rusage usage;
    c->broker_begun = broker_cpu(run->options);
    c->own_begun = own_cpu(&usage);
    c->switches = (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw);
    c->begun_ns = clock_ns();
}

void versus_end(struct versus_run *run)
{
    struct cost *c = run->cost;
    struct rusage usage;
    c->ended_ns = clock_ns();
    c->own_ended = own_cpu(&usage);
    c->switches = (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw) - c->switches;
    c->resident_kib = (uint64_t)usage.ru_maxrss;
    c->broker_ended = broker_cpu(run->options);
}

static void make_values(struct versus_values *v, size_t size)
{
    v->size = size;
    v->count = VALUES_SIZE / size ? VALUES_SIZE / size : 1;
    uint8_t *bytes = malloc(v->count * size);
    if (!bytes) {
        versus_fail("out of memory");
    }
    struct prng prng = prng_of(1);
    for (size_t i = 0; i < v->count * size; i++) {
        bytes[i] = (uint8_t)('a' + prng_next(&prng) % 16);
    }
    v->bytes = bytes;
}

static void parse(struct versus_options *o, int argc, char **argv, bool *consume)
{
    const struct option_spec specs[] = {
        {"client", OPTION_TEXT, &o->client, "libleat or librdkafka"},
        {"brokers", OPTION_TEXT, &o->brokers, "where to connect"},
        {"topic", OPTION_TEXT, &o->topic, "which must exist"},
        {"partitions", OPTION_COUNT, &o->partitions, "that are consumed"},
        {"size", OPTION_BYTES, &o->size, "of a value"},
        {"count", OPTION_COUNT, &o->count, "records"},
        {"acks", OPTION_TEXT, &o->acks, "all, 1 or 0"},
        {"idempotence", OPTION_TEXT, &o->idempotence, "true or false"},
        {"codec", OPTION_TEXT, &o->codec, "none, gzip, snappy, lz4, zstd"},
        {"linger", OPTION_SECONDS, &o->linger, "for more records of a batch"},
        {"batch", OPTION_BYTES, &o->batch, "batch.size; 0: the library's own"},
        {"buffer", OPTION_BYTES, &o->buffer, "of records under way"},
        {"reports", OPTION_FLAG, &o->reports, "report every record's delivery"},
        {"check-crcs", OPTION_FLAG, &o->check_crcs, "verify what is consumed"},
        {"pid", OPTION_COUNT, &o->pid, "of the broker, to count its processor time"},
        {"json", OPTION_FLAG, &o->json, "as JSON"},
        {NULL},
    };
    int at =
        options_parse(specs, argc, argv, "leat-versus [options] produce|consume [name=value ...]");
    const char *what = at < argc ? argv[at++] : "";
    *consume = strcmp(what, "consume") == 0;
    if (!*consume && strcmp(what, "produce") != 0) {
        fprintf(stderr, "leat-versus: produce or consume? See --help\n");
        exit(2);
    }
    for (; at < argc; at++) {
        char *equals = strchr(argv[at], '=');
        if (!equals || o->setting_count == VERSUS_SETTINGS_MAX) {
            fprintf(stderr, "leat-versus: '%s' is not name=value\n", argv[at]);
            exit(2);
        }
        *equals = 0;
        o->settings[o->setting_count++] = (struct versus_setting){argv[at], equals + 1};
    }
}

static void print(const struct versus_run *run, const struct versus_client *client,
                  const char *what)
{
    static const struct table_column columns[] = {
        {"client", TABLE_TEXT}, {"what", TABLE_TEXT},    {"records/s", 0}, {"MB/s", 1},
        {"ns/record", 1},       {"broker ns/record", 1}, {"cores", 2},     {"switches", 0},
        {"resident MiB", 0},    {"seconds", 3},          {NULL, 0}};
    const struct versus_options *o = run->options;
    const struct cost *c = run->cost;
    double seconds = (double)(c->ended_ns - c->begun_ns) / 1e9;
    double count = (double)o->count, own = c->own_ended - c->own_begun;
    struct report report;
    report_init(&report, "leat-versus");
    report_condition(&report, "client", "%s %s", client->name, client->version());
    report_condition(&report, "size", "%llu", (unsigned long long)o->size);
    report_condition(&report, "count", "%llu", (unsigned long long)o->count);
    report_condition(&report, "codec", "%s", o->codec);
    report_condition(&report, "acks", "%s, idempotence %s", o->acks, o->idempotence);
    struct table *t = report_table(&report, "run", "What it cost", columns);
    table_text(t, client->name);
    table_text(t, what);
    table_number(t, count / seconds);
    table_number(t, count * (double)o->size / seconds / 1e6);
    table_number(t, own * 1e9 / count);
    if (o->pid) {
        table_number(t, (c->broker_ended - c->broker_begun) * 1e9 / count);
    } else {
        table_none(t);
    }
    table_number(t, own / seconds);
    table_number(t, (double)c->switches);
    table_number(t, (double)c->resident_kib / 1024);
    table_number(t, seconds);
    report_print(&report, o->json);
    report_deinit(&report);
}

int main(int argc, char **argv)
{
    static const struct versus_client *const clients[] = {&versus_leat, &versus_rdkafka};
    struct versus_options o = {
        .client = "libleat",
        .brokers = "127.0.0.1:9092",
        .topic = "versus",
        .acks = "all",
        .codec = "none",
        .idempotence = "true",
        .size = 100,
        .count = 1000000,
        .partitions = 1,
        .buffer = 64 << 20,
        .linger = 0.005,
    };
    bool consume;
    parse(&o, argc, argv, &consume);
    if (o.size == 0 || o.size > VALUES_SIZE || o.count == 0 || o.partitions == 0) {
        options_refuse("size, --count, --partitions", "from 1 on");
    }
    struct cost cost = {0};
    struct versus_run run = {.options = &o, .cost = &cost};
    make_values(&run.values, o.size);
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        if (strcmp(clients[i]->name, o.client) == 0) {
            (consume ? clients[i]->consume : clients[i]->produce)(&run);
            if (consume && run.bytes < o.count * o.size) {
                versus_fail("%llu bytes were read", (unsigned long long)run.bytes);
            }
            print(&run, clients[i], consume ? "consume" : "produce");
            return 0;
        }
    }
    options_refuse("client", "libleat or librdkafka");
}
