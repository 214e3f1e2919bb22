/* SPDX-License-Identifier: Apache-2.0 */

#include "load/versus.h"

#include <leat/leat.h>

#include <stdlib.h>

enum { WAIT_MS = 60000, REPORTS = 1000 };

static const char *version(void)
{
    return leat_version();
}

/* --- producing -------------------------------------------------------------------------------- */

static void setting(leat_producer_options *o, const char *name, const char *value)
{
    leat_error e;
    if (leat_producer_options_set(o, name, value, &e) != 0) {
        versus_fail("%s", e.message);
    }
}

static leat_producer *open_producer(leat_client *client, const struct versus_options *o)
{
    leat_producer_options options = LEAT_PRODUCER_OPTIONS_INIT;
    leat_producer *producer;
    leat_error e;
    setting(&options, "acks", o->acks);
    setting(&options, "compression.type", o->codec);
    setting(&options, "enable.idempotence", o->idempotence);
    options.linger_ms = (int32_t)(o->linger * 1000);
    options.buffer_bytes = o->buffer;
    if (o->batch) {
        options.batch_bytes = (uint32_t)o->batch;
    }
    for (unsigned i = 0; i < o->setting_count; i++) {
        setting(&options, o->settings[i].name, o->settings[i].value);
    }
    if (leat_producer_open(&producer, client, &options, &e) != 0) {
        versus_fail("%s", e.message);
    }
    return producer;
}

static uint64_t take_reports(leat_producer *producer, int wait_ms)
{
    leat_report reports[REPORTS];
    int count = leat_reports(producer, reports, REPORTS, wait_ms);
    for (int i = 0; i < count; i++) {
        if (reports[i].code) {
            versus_fail("%s", reports[i].message);
        }
    }
    return (uint64_t)count;
}

static void produce_one(leat_producer *producer, const leat_record *r, bool reported)
{
    leat_error e;
    if (leat_produce(producer, r, reported ? (void *)r->value.data : NULL, &e) != 0) {
        versus_fail("%s", e.message);
    }
}

static void produce(struct versus_run *run)
{
    const struct versus_options *o = run->options;
    leat_record r = LEAT_RECORD_INIT;
    leat_client *client;
    leat_error e;
    uint64_t reported = 0;
    if (leat_open(&client, o->brokers, NULL, &e) != 0) {
        versus_fail("%s", e.message);
    }
    leat_producer *producer = open_producer(client, o);
    r.topic = o->topic;
    r.value = (leat_bytes){versus_value(&run->values, 0), o->size};
    produce_one(producer, &r, false);
    if (leat_flush(producer, WAIT_MS, &e) != 0) {
        versus_fail("%s", e.message);
    }
    versus_begin(run);
    for (uint64_t i = 0; i < o->count; i++) {
        r.value.data = versus_value(&run->values, i);
        produce_one(producer, &r, o->reports);
        if (o->reports && i % REPORTS == 0) {
            reported += take_reports(producer, 0);
        }
    }
    while (o->reports && reported < o->count) {
        uint64_t more = take_reports(producer, WAIT_MS);
        if (more == 0) {
            versus_fail("no report within a minute");
        }
        reported += more;
    }
    if (leat_flush(producer, WAIT_MS, &e) != 0) {
        versus_fail("%s", e.message);
    }
    versus_end(run);
    leat_producer_close(producer, WAIT_MS, NULL);
    leat_close(client);
}

/* --- consuming -------------------------------------------------------------------------------- */

static leat_consumer *open_consumer(leat_client *client, const struct versus_options *o)
{
    leat_consumer_options options = LEAT_CONSUMER_OPTIONS_INIT;
    leat_consumer *consumer;
    leat_error e;
    options.check_crcs = o->check_crcs;
    options.buffer_bytes = o->buffer;
    for (unsigned i = 0; i < o->setting_count; i++) {
        if (leat_consumer_options_set(&options, o->settings[i].name, o->settings[i].value, &e)) {
            versus_fail("%s", e.message);
        }
    }
    if (leat_consumer_open(&consumer, client, NULL, &options, &e) != 0) {
        versus_fail("%s", e.message);
    }
    return consumer;
}

static void consume(struct versus_run *run)
{
    const struct versus_options *o = run->options;
    leat_client *client;
    leat_error e;
    leat_start *starts = calloc(o->partitions, sizeof *starts);
    if (!starts) {
        versus_fail("out of memory");
    }
    if (leat_open(&client, o->brokers, NULL, &e) != 0) {
        versus_fail("%s", e.message);
    }
    for (uint64_t i = 0; i < o->partitions; i++) {
        starts[i] = (leat_start){o->topic, (int32_t)i, LEAT_EARLIEST, 0};
    }
    leat_consumer *consumer = open_consumer(client, o);
    versus_begin(run);
    if (leat_assign(consumer, starts, o->partitions, &e) != 0) {
        versus_fail("%s", e.message);
    }
    for (uint64_t seen = 0; seen < o->count;) {
        const leat_record *records;
        int count = leat_poll(consumer, &records, WAIT_MS, &e);
        if (count <= 0) {
            versus_fail("%s", count ? e.message : "no record within a minute");
        }
        for (int i = 0; i < count; i++) {
            versus_look(run, records[i].value.data, records[i].value.len);
        }
        seen += (uint64_t)count;
    }
    versus_end(run);
    leat_consumer_close(consumer, NULL);
    leat_close(client);
    free(starts);
}

const struct versus_client versus_leat = {"libleat", version, produce, consume};
