/* SPDX-License-Identifier: Apache-2.0 */

/* libleat, by its public functions alone. */
#include "load/driver.h"

#include "leat/admin.h"
#include "load/cost.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPORTS = 1024, WAIT_MS = 60000, POLL_RECORDS = 10000 };

struct leat_driver_producer {
    const struct driver_settings *settings;
    leat_client *client;
    leat_producer *producer;
    leat_report reports[REPORTS];
};

struct leat_driver_consumer {
    leat_client *client;
    leat_consumer *consumer;
};

static const char *version(void)
{
    return leat_version();
}

static leat_client *open_client(const struct driver_settings *s)
{
    leat_client *client;
    leat_error e;
    if (leat_open(&client, s->brokers, NULL, &e) != 0) {
        load_fail("%s", e.message);
    }
    return client;
}

static void topic_make(const struct driver_settings *s)
{
    leat_topic_spec spec = LEAT_TOPIC_SPEC_INIT;
    const leat_config config = {"durability", s->durability};
    leat_client *client = open_client(s);
    leat_error e;
    spec.name = s->topic;
    spec.partitions = (int32_t)s->partitions;
    spec.replication = s->replicas ? (int16_t)s->replicas : spec.replication;
    spec.configs = &config;
    spec.config_count = s->durability ? 1 : 0;
    int error = leat_topic_create(client, &spec, &e);
    if (error && error != LEAT_ERR_TOPIC_EXISTS) {
        load_fail("%s", e.message);
    }
    leat_close(client);
}

/* --- producing -------------------------------------------------------------------------------- */

/* One of the library's own names for an option, as a user would set it. */
static void set(leat_producer_options *o, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void set(leat_producer_options *o, const char *name, const char *format, ...)
{
    char value[64];
    leat_error e;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    if (leat_producer_options_set(o, name, value, &e) != 0) {
        load_fail("%s", e.message);
    }
}

static void *producer_open(const struct driver_settings *s)
{
    leat_producer_options options = LEAT_PRODUCER_OPTIONS_INIT;
    leat_error e;
    struct leat_driver_producer *p = malloc(sizeof *p);
    if (!p) {
        load_fail("out of memory");
    }
    p->settings = s;
    set(&options, "acks", "%s", s->acks);
    set(&options, "compression.type", "%s", s->codec);
    set(&options, "linger.ms", "%.0f", s->linger * 1000);
    set(&options, "batch.size", "%llu", (unsigned long long)s->batch);
    set(&options, "buffer.memory", "%llu", (unsigned long long)s->buffer);
    set(&options, "max.in.flight.requests.per.connection", "%llu",
        (unsigned long long)s->in_flight);
    if (s->idempotence) {
        set(&options, "enable.idempotence", "%s", s->idempotence);
    }
    if (s->size > options.message_max_bytes) {
        options.message_max_bytes = (uint32_t)s->size + 1024;
    }
    options.max_block_ms = WAIT_MS;
    options.reports_max = UINT32_MAX;
    p->client = open_client(s);
    if (leat_producer_open(&p->producer, p->client, &options, &e) != 0) {
        load_fail("%s", e.message);
    }
    return p;
}

static bool failed(struct driver_failure *out, const leat_error *e)
{
    out->code = e->code;
    snprintf(out->why, sizeof out->why, "%s", e->message);
    return false;
}

static bool send_record(void *producer, const struct driver_send *record,
                        struct driver_failure *out)
{
    struct leat_driver_producer *p = producer;
    leat_record r = LEAT_RECORD_INIT;
    leat_error e;
    r.topic = p->settings->topic;
    r.partition = record->partition;
    if (record->key_size) {
        r.key = (leat_bytes){record->key, record->key_size};
    }
    r.value = (leat_bytes){record->value, record->size};
    if (leat_produce(p->producer, &r, record->tag, &e) == 0) {
        return true;
    }
    if (e.fatal) {
        load_fail("%s", e.message);
    }
    return failed(out, &e);
}

static int reports(void *producer, int wait_ms, driver_reported *told, void *context)
{
    struct leat_driver_producer *p = producer;
    int count = leat_reports(p->producer, p->reports, REPORTS, wait_ms);
    for (int i = 0; i < count; i++) {
        const struct driver_report r = {p->reports[i].tag, p->reports[i].code,
                                        p->reports[i].message};
        told(context, &r);
    }
    return count;
}

static bool flush(void *producer, int wait_ms, struct driver_failure *out)
{
    struct leat_driver_producer *p = producer;
    leat_error e;
    return leat_flush(p->producer, wait_ms, &e) <= 0 || failed(out, &e);
}

static void producer_close(void *producer)
{
    struct leat_driver_producer *p = producer;
    leat_error e;
    if (leat_producer_close(p->producer, WAIT_MS, &e) > 0) {
        load_fail("%s", e.message);
    }
    leat_close(p->client);
    free(p);
}

/* --- consuming -------------------------------------------------------------------------------- */

static void *consumer_open(const struct driver_settings *s, bool earliest)
{
    leat_consumer_options options = LEAT_CONSUMER_OPTIONS_INIT;
    leat_start *starts = calloc(s->partitions, sizeof *starts);
    struct leat_driver_consumer *c = malloc(sizeof *c);
    leat_error e;
    if (!starts || !c) {
        load_fail("out of memory");
    }
    options.poll_max_records = POLL_RECORDS;
    options.check_crcs = s->check_crcs;
    options.fetch_max_bytes = s->fetch_bytes ? (uint32_t)s->fetch_bytes : options.fetch_max_bytes;
    options.partition_fetch_bytes =
        s->partition_bytes ? (uint32_t)s->partition_bytes : options.partition_fetch_bytes;
    c->client = open_client(s);
    int64_t which = earliest ? LEAT_EARLIEST : LEAT_LATEST;
    for (uint64_t i = 0; i < s->partitions; i++) {
        starts[i] = (leat_start){.topic = s->topic, .partition = (int32_t)i};
        if (leat_offset_at(c->client, s->topic, (int32_t)i, which, &starts[i].offset, &e)) {
            load_fail("%s", e.message);
        }
    }
    if (leat_consumer_open(&c->consumer, c->client, NULL, &options, &e) != 0 ||
        leat_assign(c->consumer, starts, s->partitions, &e) != 0) {
        load_fail("%s", e.message);
    }
    free(starts);
    return c;
}

static int poll_records(void *consumer, int wait_ms, driver_received *told, void *context)
{
    struct leat_driver_consumer *c = consumer;
    const leat_record *records;
    leat_error e;
    int count = leat_poll(c->consumer, &records, wait_ms, &e);
    if (count < 0) {
        load_fail("%s", e.message);
    }
    for (int i = 0; i < count; i++) {
        const struct driver_record r = {records[i].partition, records[i].value.data,
                                        records[i].value.len};
        told(context, &r);
    }
    return count;
}

static void consumer_close(void *consumer)
{
    struct leat_driver_consumer *c = consumer;
    leat_consumer_close(c->consumer, NULL);
    leat_close(c->client);
    free(c);
}

const struct driver driver_leat = {
    .name = "leat",
    .version = version,
    .topic_make = topic_make,
    .producer_open = producer_open,
    .send = send_record,
    .reports = reports,
    .flush = flush,
    .producer_close = producer_close,
    .consumer_open = consumer_open,
    .poll = poll_records,
    .consumer_close = consumer_close,
};
