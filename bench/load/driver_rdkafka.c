/* SPDX-License-Identifier: Apache-2.0 */

/* librdkafka, as its own performance program uses it: a topic object spares a look-up for each record, and records
 * come from the consumer's queue in batches. Limits that count messages are raised out of the way, so that bytes
 * decide, as in libleat. */
#include "load/driver.h"

#include "load/cost.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 60000, BATCH = 1000, REASON_SIZE = 512 };

struct rdkafka_producer {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue; /* of reports */
};

struct rdkafka_consumer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
};

static const char *version(void)
{
    return rd_kafka_version_str();
}

static void setting(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[REASON_SIZE];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) != RD_KAFKA_CONF_OK) {
        load_fail("%s", reason);
    }
}

static void number(rd_kafka_conf_t *conf, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    setting(conf, name, text);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf,
                               const struct driver_settings *s)
{
    char reason[REASON_SIZE];
    setting(conf, "bootstrap.servers", s->brokers);
    rd_kafka_t *rk = rd_kafka_new(type, conf, reason, sizeof reason);
    if (!rk) {
        load_fail("%s", reason);
    }
    return rk;
}

/* --- topics ----------------------------------------------------------------------------------- */

static void check_created(rd_kafka_event_t *event)
{
    size_t count;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    if (!result) {
        load_fail("the topic cannot be made: %s", rd_kafka_event_error_string(event));
    }
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    rd_kafka_resp_err_t error = rd_kafka_topic_result_error(topics[0]);
    if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        load_fail("%s", rd_kafka_topic_result_error_string(topics[0]));
    }
}

static void topic_make(const struct driver_settings *s)
{
    char reason[REASON_SIZE];
    rd_kafka_t *rk = open_client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), s);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        s->topic, (int)s->partitions, s->replicas ? (int)s->replicas : -1, reason, sizeof reason);
    if (!topic) {
        load_fail("%s", reason);
    }
    if (s->durability) {
        rd_kafka_NewTopic_set_config(topic, "durability", s->durability);
    }
    rd_kafka_AdminOptions_set_operation_timeout(options, WAIT_MS, reason, sizeof reason);
    rd_kafka_CreateTopics(rk, &topic, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    if (!event) {
        load_fail("the topic cannot be made: no answer within a minute");
    }
    check_created(event);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

/* --- producing -------------------------------------------------------------------------------- */

static void *producer_open(const struct driver_settings *s)
{
    struct rdkafka_producer *p = calloc(1, sizeof *p);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!p) {
        load_fail("out of memory");
    }
    setting(conf, "acks", s->acks);
    setting(conf, "compression.type", s->codec);
    if (s->idempotence) {
        setting(conf, "enable.idempotence", s->idempotence);
    }
    number(conf, "linger.ms", (uint64_t)(s->linger * 1000));
    number(conf, "batch.size", s->batch);
    number(conf, "max.in.flight.requests.per.connection", s->in_flight);
    number(conf, "queue.buffering.max.kbytes", s->buffer / 1024);
    setting(conf, "queue.buffering.max.messages", "10000000");
    setting(conf, "batch.num.messages", "1000000");
    setting(conf, "socket.nagle.disable", "true");
    if (s->size > 900000) {
        number(conf, "message.max.bytes", s->size + 1024);
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
    p->rk = open_client(RD_KAFKA_PRODUCER, conf, s);
    p->queue = rd_kafka_queue_get_main(p->rk);
    p->topic = rd_kafka_topic_new(p->rk, s->topic, NULL);
    if (!p->topic) {
        load_fail("%s", rd_kafka_err2str(rd_kafka_last_error()));
    }
    return p;
}

/* A full queue is waited for inside: reports are taken by another thread meanwhile. */
static bool send_record(void *producer, const struct driver_send *record,
                        struct driver_failure *out)
{
    struct rdkafka_producer *p = producer;
    int32_t partition = record->partition < 0 ? RD_KAFKA_PARTITION_UA : record->partition;
    if (rd_kafka_produce(p->topic, partition, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK,
                         (void *)record->value, record->size, record->key, record->key_size,
                         record->tag) == 0) {
        return true;
    }
    out->code = rd_kafka_last_error();
    snprintf(out->why, sizeof out->why, "%s", rd_kafka_err2str(rd_kafka_last_error()));
    return false;
}

static int reports(void *producer, int wait_ms, driver_reported *told, void *context)
{
    struct rdkafka_producer *p = producer;
    rd_kafka_event_t *event = rd_kafka_queue_poll(p->queue, wait_ms);
    const rd_kafka_message_t *message;
    int count = 0;
    while (event && (message = rd_kafka_event_message_next(event))) {
        const struct driver_report r = {message->_private, message->err,
                                        message->err ? rd_kafka_err2str(message->err) : ""};
        told(context, &r);
        count++;
    }
    if (event) {
        rd_kafka_event_destroy(event);
    }
    return count;
}

static bool flush(void *producer, int wait_ms, struct driver_failure *out)
{
    struct rdkafka_producer *p = producer;
    out->code = rd_kafka_flush(p->rk, wait_ms);
    snprintf(out->why, sizeof out->why, "%s", rd_kafka_err2str(out->code));
    return out->code == 0;
}

static void producer_close(void *producer)
{
    struct rdkafka_producer *p = producer;
    rd_kafka_queue_destroy(p->queue);
    rd_kafka_topic_destroy(p->topic);
    rd_kafka_destroy(p->rk);
    free(p);
}

/* --- consuming -------------------------------------------------------------------------------- */

static void assign(rd_kafka_t *rk, const struct driver_settings *s, bool earliest)
{
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new((int)s->partitions);
    for (uint64_t i = 0; i < s->partitions; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t error =
            rd_kafka_query_watermark_offsets(rk, s->topic, (int32_t)i, &low, &high, WAIT_MS);
        if (error) {
            load_fail("%s", rd_kafka_err2str(error));
        }
        rd_kafka_topic_partition_list_add(parts, s->topic, (int32_t)i)->offset =
            earliest ? low : high;
    }
    rd_kafka_resp_err_t error = rd_kafka_assign(rk, parts);
    if (error) {
        load_fail("%s", rd_kafka_err2str(error));
    }
    rd_kafka_topic_partition_list_destroy(parts);
}

static void *consumer_open(const struct driver_settings *s, bool earliest)
{
    struct rdkafka_consumer *c = calloc(1, sizeof *c);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!c) {
        load_fail("out of memory");
    }
    setting(conf, "group.id", "leat-bench"); /* assign() wants a name; nothing is committed to it */
    setting(conf, "enable.auto.commit", "false");
    setting(conf, "enable.auto.offset.store", "false");
    setting(conf, "check.crcs", s->check_crcs ? "true" : "false");
    setting(conf, "fetch.wait.max.ms", "500");
    setting(conf, "queued.min.messages", "1000000");
    if (s->fetch_bytes) {
        number(conf, "fetch.max.bytes", s->fetch_bytes);
    }
    if (s->partition_bytes) {
        number(conf, "fetch.message.max.bytes", s->partition_bytes);
    }
    c->rk = open_client(RD_KAFKA_CONSUMER, conf, s);
    rd_kafka_poll_set_consumer(c->rk);
    c->queue = rd_kafka_queue_get_consumer(c->rk);
    assign(c->rk, s, earliest);
    return c;
}

static void give(rd_kafka_message_t *message, driver_received *told, void *context)
{
    const struct driver_record r = {message->partition, message->payload, message->len};
    if (message->err) {
        load_fail("%s", rd_kafka_message_errstr(message));
    }
    told(context, &r);
    rd_kafka_message_destroy(message);
}

/* A batch that is waited for is waited for until it is full: so the first record is waited for, and others are taken if
 * they are there. */
static int poll_records(void *consumer, int wait_ms, driver_received *told, void *context)
{
    struct rdkafka_consumer *c = consumer;
    rd_kafka_message_t *messages[BATCH];
    rd_kafka_message_t *first = rd_kafka_consume_queue(c->queue, wait_ms);
    if (!first) {
        return 0;
    }
    give(first, told, context);
    ssize_t count = rd_kafka_consume_batch_queue(c->queue, 0, messages, BATCH);
    for (ssize_t i = 0; i < count; i++) {
        give(messages[i], told, context);
    }
    return 1 + (count < 0 ? 0 : (int)count);
}

static void consumer_close(void *consumer)
{
    struct rdkafka_consumer *c = consumer;
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_consumer_close(c->rk);
    rd_kafka_destroy(c->rk);
    free(c);
}

const struct driver driver_rdkafka = {
    .name = "rdkafka",
    .version = version,
    .reports_all = true,
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
