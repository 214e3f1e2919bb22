/* SPDX-License-Identifier: Apache-2.0 */

/* librdkafka as its own performance program uses it: produce() with a topic object, which spares a
 * look-up for each record, and records in batches from the consumer's queue. Limits that count messages
 * are raised out of the way, so that bytes decide, as in libleat. */
#include "load/versus.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 60000, BATCH = 1000, REASON_SIZE = 512 };

static const char *version(void)
{
    return rd_kafka_version_str();
}

static void setting(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[REASON_SIZE];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) != RD_KAFKA_CONF_OK) {
        versus_fail("%s", reason);
    }
}

static void number(rd_kafka_conf_t *conf, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    setting(conf, name, text);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf,
                               const struct versus_options *o)
{
    char reason[REASON_SIZE];
    setting(conf, "bootstrap.servers", o->brokers);
    for (unsigned i = 0; i < o->setting_count; i++) {
        setting(conf, o->settings[i].name, o->settings[i].value);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, reason, sizeof reason);
    if (!rk) {
        versus_fail("%s", reason);
    }
    return rk;
}

/* --- producing -------------------------------------------------------------------------------- */

struct reported {
    uint64_t count;
};

static void report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct reported *r = opaque;
    if (message->err) {
        versus_fail("%s", rd_kafka_err2str(message->err));
    }
    r->count++;
}

static rd_kafka_t *open_producer(const struct versus_options *o, struct reported *reported)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    setting(conf, "acks", o->acks);
    setting(conf, "compression.type", o->codec);
    setting(conf, "enable.idempotence", o->idempotence);
    number(conf, "linger.ms", (uint64_t)(o->linger * 1000));
    number(conf, "queue.buffering.max.kbytes", o->buffer / 1024);
    setting(conf, "queue.buffering.max.messages", "10000000");
    setting(conf, "batch.num.messages", "1000000");
    if (o->batch) {
        number(conf, "batch.size", o->batch);
    }
    if (o->reports) {
        rd_kafka_conf_set_opaque(conf, reported);
        rd_kafka_conf_set_dr_msg_cb(conf, report);
    }
    return open_client(RD_KAFKA_PRODUCER, conf, o);
}

/* A full queue is waited for inside, which is quickest, but not where reports have to be taken
 * meanwhile. */
static void produce_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, const uint8_t *value, size_t size,
                        bool reported)
{
    int flags = RD_KAFKA_MSG_F_COPY | (reported ? 0 : RD_KAFKA_MSG_F_BLOCK);
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, flags, (void *)value, size, NULL, 0,
                            NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            versus_fail("%s", rd_kafka_err2str(rd_kafka_last_error()));
        }
        rd_kafka_poll(rk, 1);
    }
}

static void flush(rd_kafka_t *rk)
{
    rd_kafka_resp_err_t error = rd_kafka_flush(rk, WAIT_MS);
    if (error) {
        versus_fail("%s", rd_kafka_err2str(error));
    }
}

static void produce(struct versus_run *run)
{
    const struct versus_options *o = run->options;
    struct reported reported = {0};
    rd_kafka_t *rk = open_producer(o, &reported);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, o->topic, NULL);
    if (!topic) {
        versus_fail("%s", rd_kafka_err2str(rd_kafka_last_error()));
    }
    produce_one(rk, topic, versus_value(&run->values, 0), o->size, o->reports);
    flush(rk);
    reported.count = 0;
    versus_begin(run);
    for (uint64_t i = 0; i < o->count; i++) {
        produce_one(rk, topic, versus_value(&run->values, i), o->size, o->reports);
        if (i % BATCH == 0) {
            rd_kafka_poll(rk, 0);
        }
    }
    flush(rk);
    versus_end(run);
    if (o->reports && reported.count != o->count) {
        versus_fail("%llu reports", (unsigned long long)reported.count);
    }
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

/* --- consuming -------------------------------------------------------------------------------- */

static void assign(rd_kafka_t *rk, const struct versus_options *o)
{
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new((int)o->partitions);
    for (uint64_t i = 0; i < o->partitions; i++) {
        rd_kafka_topic_partition_list_add(parts, o->topic, (int32_t)i)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_resp_err_t error = rd_kafka_assign(rk, parts);
    if (error) {
        versus_fail("%s", rd_kafka_err2str(error));
    }
    rd_kafka_topic_partition_list_destroy(parts);
}

static void consume(struct versus_run *run)
{
    const struct versus_options *o = run->options;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_message_t *messages[BATCH];
    setting(conf, "group.id", "versus"); /* assign() wants a name; nothing is committed to it */
    setting(conf, "enable.auto.commit", "false");
    setting(conf, "enable.auto.offset.store", "false");
    setting(conf, "check.crcs", o->check_crcs ? "true" : "false");
    setting(conf, "fetch.wait.max.ms", "500");
    setting(conf, "fetch.message.max.bytes", "2097152");
    number(conf, "queued.max.messages.kbytes", o->buffer / 1024);
    setting(conf, "queued.min.messages", "1000000");
    rd_kafka_t *rk = open_client(RD_KAFKA_CONSUMER, conf, o);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    versus_begin(run);
    assign(rk, o);
    for (uint64_t seen = 0; seen < o->count;) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, WAIT_MS, messages, BATCH);
        if (count <= 0) {
            versus_fail("no record within a minute");
        }
        for (ssize_t i = 0; i < count; i++) {
            if (messages[i]->err) {
                versus_fail("%s", rd_kafka_message_errstr(messages[i]));
            }
            versus_look(run, messages[i]->payload, messages[i]->len);
            rd_kafka_message_destroy(messages[i]);
        }
        seen += (uint64_t)count;
    }
    versus_end(run);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

const struct versus_client versus_rdkafka = {"librdkafka", version, produce, consume};
