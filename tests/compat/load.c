/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka under load, in C: compat-load BROKERS TOPIC GROUP. What it takes and says is described in load.py. */
#include <librdkafka/rdkafka.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS_MAX = 16, TAKEN_MAX = 100, LIMIT_MS = 60000 };

static const char *brokers, *topic, *group;
static atomic_bool over;

static _Noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
        die("%s", why);
}

/* Of all errors only the fatal ones are for the program; the others tell what the library is dealing with. */
static void tell_error(rd_kafka_t *client, int error, const char *reason, void *opaque)
{
    (void)opaque;
    (void)reason;
    char why[256];
    if (error == RD_KAFKA_RESP_ERR__FATAL)
        printf("error %s %s\n", rd_kafka_err2name(rd_kafka_fatal_error(client, why, sizeof(why))),
               why);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    set(conf, "bootstrap.servers", brokers);
    set(conf, "log_level", "0");
    rd_kafka_conf_set_error_cb(conf, tell_error);
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
    if (!client)
        die("%s", why);
    return client;
}

/* --- the producer ----------------------------------------------------------------------------- */

static void tell_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *opaque)
{
    (void)client;
    (void)opaque;
    int size = (int)m->len;
    if (m->err)
        printf("failed %.*s %s\n", size, (const char *)m->payload, rd_kafka_err2name(m->err));
    else
        printf("acked %.*s %lld\n", size, (const char *)m->payload, (long long)m->offset);
}

static void *poll_deliveries(void *producer)
{
    while (!over)
        rd_kafka_poll(producer, 50);
    return NULL;
}

static void produce_lines(rd_kafka_t *producer)
{
    char line[1024];
    while (fgets(line, sizeof(line), stdin)) {
        char *value;
        line[strcspn(line, "\n")] = 0;
        int32_t partition = (int32_t)strtol(line, &value, 10);
        value += *value == ' ';
        rd_kafka_resp_err_t error =
            rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                              RD_KAFKA_V_VALUE(value, strlen(value)),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (error)
            printf("failed %s %s\n", value, rd_kafka_err2name(error));
    }
}

/* --- the consumer ----------------------------------------------------------------------------- */

/* Where the next record of each partition is that was read since the last commit; -1: none was. */
static int64_t uncommitted[PARTITIONS_MAX];

static void forget(void)
{
    for (int i = 0; i < PARTITIONS_MAX; i++)
        uncommitted[i] = -1;
}

static void tell_partitions(rd_kafka_t *client, rd_kafka_resp_err_t what,
                            rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)opaque;
    bool given = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    for (int i = 0; i < list->cnt; i++)
        printf("%s %d\n", given ? "assigned" : "revoked", (int)list->elems[i].partition);
    forget();
    rd_kafka_assign(client, given ? list : NULL);
}

static void take(const rd_kafka_message_t *m)
{
    if (m->err) {
        printf("error %s %s\n", rd_kafka_err2name(m->err), rd_kafka_message_errstr(m));
        return;
    }
    if (m->partition >= PARTITIONS_MAX)
        die("partition %d", (int)m->partition);
    printf("record %d %lld %.*s\n", (int)m->partition, (long long)m->offset, (int)m->len,
           (const char *)m->payload);
    uncommitted[m->partition] = m->offset + 1;
}

static void commit(rd_kafka_t *consumer)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS_MAX);
    for (int i = 0; i < PARTITIONS_MAX; i++) {
        if (uncommitted[i] >= 0)
            rd_kafka_topic_partition_list_add(list, topic, i)->offset = uncommitted[i];
    }
    if (list->cnt > 0) {
        rd_kafka_resp_err_t error = rd_kafka_commit(consumer, list, 0);
        if (error)
            printf("refused %s\n", rd_kafka_err2name(error));
        for (int i = 0; i < list->cnt && !error; i++)
            printf("committed %d %lld\n", (int)list->elems[i].partition,
                   (long long)list->elems[i].offset);
        /* What was refused is committed with the next record: there will be more until the end. */
        if (!error)
            forget();
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void *consume(void *argument)
{
    (void)argument;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "group.id", group);
    set(conf, "enable.auto.commit", "false");
    set(conf, "auto.offset.reset", "earliest");
    rd_kafka_conf_set_rebalance_cb(conf, tell_partitions);
    rd_kafka_t *consumer = open_client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(consumer, list))
        die("subscribe");
    rd_kafka_topic_partition_list_destroy(list);
    forget();
    while (!over) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 50);
        for (int i = 0; m && i < TAKEN_MAX; i++) {
            take(m);
            rd_kafka_message_destroy(m);
            m = rd_kafka_consumer_poll(consumer, 0);
        }
        if (m) {
            take(m);
            rd_kafka_message_destroy(m);
        }
        commit(consumer);
    }
    rd_kafka_resp_err_t error = rd_kafka_consumer_close(consumer);
    if (error)
        printf("error %s closing\n", rd_kafka_err2name(error));
    rd_kafka_destroy(consumer);
    return NULL;
}

int main(int count, char **arguments)
{
    if (count != 4)
        die("compat-load BROKERS TOPIC GROUP");
    brokers = arguments[1];
    topic = arguments[2];
    group = arguments[3];
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    printf("version %s\n", rd_kafka_version_str());
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "enable.idempotence", "true");
    rd_kafka_conf_set_dr_msg_cb(conf, tell_delivery);
    rd_kafka_t *producer = open_client(RD_KAFKA_PRODUCER, conf);
    pthread_t poller, reader;
    if (pthread_create(&poller, NULL, poll_deliveries, producer) ||
        pthread_create(&reader, NULL, consume, NULL))
        die("no threads");
    produce_lines(producer);
    if (rd_kafka_flush(producer, LIMIT_MS))
        die("not everything was published");
    over = true;
    pthread_join(poller, NULL);
    pthread_join(reader, NULL);
    rd_kafka_destroy(producer);
    return 0;
}
