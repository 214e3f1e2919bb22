/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka, in C, goes through the scenarios of scenarios.py, which drives it: compat-librdkafka ADDRESS CUT_ADDRESS.
 * What it says and waits for is described there. Administration and groups are in files of their own. */
#include "librdkafka.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void require(bool holds, const char *format, ...)
{
    if (holds)
        return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

rd_kafka_t *client_new(rd_kafka_type_t type, const char *address, const char *const *settings)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", address, NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    for (; *settings; settings++) {
        char name[64];
        size_t length = strcspn(*settings, "=");
        require(length < sizeof(name), "a long setting");
        memcpy(name, *settings, length);
        name[length] = 0;
        require(rd_kafka_conf_set(conf, name, *settings + length + 1, why, sizeof(why)) ==
                    RD_KAFKA_CONF_OK,
                "%s", why);
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
    require(client != NULL, "%s", why);
    return client;
}

void publish(rd_kafka_t *producer, const char *topic, const struct giving *record)
{
    rd_kafka_resp_err_t error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(record->partition),
        RD_KAFKA_V_KEY(record->key, record->key ? strlen(record->key) : 0),
        RD_KAFKA_V_VALUE((char *)record->value, strlen(record->value)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(record->time_ms),
        RD_KAFKA_V_END);
    require(!error, "produce: %s", rd_kafka_err2str(error));
}

void flush(rd_kafka_t *producer)
{
    require(!rd_kafka_flush(producer, LIMIT_MS), "not everything was published");
}

static void publish_numbers(rd_kafka_t *producer, const char *topic, int count, int partitions)
{
    for (int i = 0; i < count; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        publish(producer, topic, &(struct giving){.partition = i % partitions, .value = value});
        if (i % 10 == 9)
            flush(producer);
    }
}

rd_kafka_t *reader_new(const char *address, const char *topic, int partitions)
{
    rd_kafka_t *reader = client_new(
        RD_KAFKA_CONSUMER, address,
        (const char *[]){"group.id=none", "enable.auto.commit=false", "enable.partition.eof=true",
                         "auto.offset.reset=earliest", "fetch.wait.max.ms=50", NULL});
    rd_kafka_poll_set_consumer(reader);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = 0;
    require(!rd_kafka_assign(reader, list), "assign");
    rd_kafka_topic_partition_list_destroy(list);
    return reader;
}

static void keep(char *to, size_t size, const void *bytes, size_t length)
{
    require(length < size, "%zu bytes were read, %zu are expected at most", length, size - 1);
    if (length > 0)
        memcpy(to, bytes, length);
    to[length] = 0;
}

void take(rd_kafka_t *reader, int partitions, struct taking *got)
{
    got->count = 0;
    while (partitions > 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(reader, LIMIT_MS);
        require(m != NULL, "only %zu records came", got->count);
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            partitions--;
        } else {
            require(!m->err, "%s", rd_kafka_message_errstr(m));
            require(got->count < TAKEN_MAX, "more than %d records", TAKEN_MAX);
            struct taken *t = &got->records[got->count++];
            t->partition = m->partition;
            t->offset = m->offset;
            keep(t->key, sizeof(t->key), m->key, m->key_len);
            keep(t->value, sizeof(t->value), m->payload, m->len);
        }
        rd_kafka_message_destroy(m);
    }
}

void reader_free(rd_kafka_t *reader)
{
    require(!rd_kafka_consumer_close(reader), "close");
    rd_kafka_destroy(reader);
}

void read_all(const char *address, const char *topic, int partitions, struct taking *got)
{
    rd_kafka_t *reader = reader_new(address, topic, partitions);
    take(reader, partitions, got);
    reader_free(reader);
}

/* What was read of one partition is first, first + step, ... and `count` of them. */
static void require_steps(const struct taking *got, int first, int step, size_t count)
{
    require(got->count == count, "%zu records came, %zu were wanted", got->count, count);
    for (size_t i = 0; i < count; i++)
        require(strtol(got->records[i].value, NULL, 10) == first + step * (long)i,
                "value %s is record %zu", got->records[i].value, i);
}

/* What the scenarios of this file share. */
struct run {
    const char *address, *cut_address;
    rd_kafka_t *admin, *producer;
    struct taking got;
};

static void create(struct run *run, const char *topic, int partitions)
{
    rd_kafka_resp_err_t error = topic_create(run->admin, topic, partitions, NULL, NULL);
    require(!error, "create %s: %s", topic, rd_kafka_err2str(error));
    /* A producer that has no connection yet looks for a topic's leader a second later. */
    await_partitions(run->producer, topic, partitions);
}

static void topics(struct run *run)
{
    create(run, "topics", 3);
    publish_numbers(run->producer, "topics", 30, 3);
    read_all(run->address, "topics", 3, &run->got);
    require(run->got.count == 30, "%zu records came", run->got.count);
    for (size_t i = 0; i < run->got.count; i++) {
        const struct taken *t = &run->got.records[i];
        require(strtoll(t->value, NULL, 10) == t->offset * 3 + t->partition,
                "%s is where it does not belong", t->value);
    }
}

static void keys(struct run *run)
{
    create(run, "keys", 3);
    for (int i = 0; i < 70; i++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "k%d", i % 7);
        snprintf(value, sizeof(value), "%d", i);
        publish(run->producer, "keys",
                &(struct giving){.partition = RD_KAFKA_PARTITION_UA, .key = key, .value = value});
    }
    flush(run->producer);
    read_all(run->address, "keys", 3, &run->got);
    require(run->got.count == 70, "%zu records came", run->got.count);
    int32_t partition[7];
    int next[7] = {0};
    for (size_t i = 0; i < run->got.count; i++) {
        const struct taken *t = &run->got.records[i];
        long k = strtol(t->key + 1, NULL, 10);
        require(t->key[0] == 'k' && k >= 0 && k < 7, "key %s", t->key);
        require(strtol(t->value, NULL, 10) == next[k] * 7 + k, "%s of %s comes out of order",
                t->value, t->key);
        require(next[k] == 0 || partition[k] == t->partition, "%s is in two partitions", t->key);
        partition[k] = t->partition;
        next[k]++;
    }
}

static void headers(struct run *run)
{
    static const struct {
        const char *name, *value;
        size_t size;
    } wanted[] = {{"a", "1", 1}, {"b", "", 0}, {"a", "\0\xff", 2}};
    create(run, "headers", 1);
    rd_kafka_headers_t *given = rd_kafka_headers_new(3);
    for (size_t i = 0; i < 3; i++)
        rd_kafka_header_add(given, wanted[i].name, -1, wanted[i].value, (ssize_t)wanted[i].size);
    rd_kafka_resp_err_t error =
        rd_kafka_producev(run->producer, RD_KAFKA_V_TOPIC("headers"), RD_KAFKA_V_PARTITION(0),
                          RD_KAFKA_V_VALUE("v", 1), RD_KAFKA_V_HEADERS(given), RD_KAFKA_V_END);
    require(!error, "produce: %s", rd_kafka_err2str(error));
    flush(run->producer);
    rd_kafka_t *reader = reader_new(run->address, "headers", 1);
    rd_kafka_message_t *m = rd_kafka_consumer_poll(reader, LIMIT_MS);
    require(m && !m->err, "the record does not come");
    rd_kafka_headers_t *had;
    require(!rd_kafka_message_headers(m, &had), "it has no headers");
    require(rd_kafka_header_cnt(had) == 3, "it has %zu headers", rd_kafka_header_cnt(had));
    for (size_t i = 0; i < 3; i++) {
        const char *name;
        const void *value;
        size_t size;
        require(!rd_kafka_header_get_all(had, i, &name, &value, &size), "header %zu", i);
        require(!strcmp(name, wanted[i].name) && size == wanted[i].size &&
                    !memcmp(value, wanted[i].value, size),
                "header %zu is %s with %zu bytes", i, name, size);
    }
    rd_kafka_message_destroy(m);
    reader_free(reader);
}

static void codecs(struct run *run)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    for (size_t c = 0; c < 5; c++) {
        char topic[32], setting[48];
        snprintf(topic, sizeof(topic), "codec-%s", names[c]);
        snprintf(setting, sizeof(setting), "compression.type=%s", names[c]);
        create(run, topic, 1);
        rd_kafka_t *producer = client_new(RD_KAFKA_PRODUCER, run->address,
                                          (const char *[]){setting, "linger.ms=1000", NULL});
        await_partitions(producer, topic, 1);
        char values[100][VALUE_MAX];
        for (int i = 0; i < 100; i++) {
            snprintf(values[i], VALUE_MAX, "value %d %0300d", i, 0);
            publish(producer, topic, &(struct giving){.value = values[i]});
        }
        flush(producer);
        rd_kafka_destroy(producer);
        read_all(run->address, topic, 1, &run->got);
        require(run->got.count == 100, "%s: %zu records came", topic, run->got.count);
        for (size_t i = 0; i < 100; i++)
            require(!strcmp(run->got.records[i].value, values[i]), "%s: record %zu is another",
                    topic, i);
    }
}

static void idempotence(struct run *run)
{
    rd_kafka_t *producer =
        client_new(RD_KAFKA_PRODUCER, run->cut_address,
                   (const char *[]){"enable.idempotence=true", "reconnect.backoff.max.ms=100",
                                    "retry.backoff.ms=20", NULL});
    publish_numbers(producer, "idempotence", 200, 1);
    rd_kafka_destroy(producer);
    read_all(run->cut_address, "idempotence", 1, &run->got);
    require_steps(&run->got, 0, 1, 200);
}

static void times(struct run *run)
{
    static const struct {
        int64_t at_ms, offset;
    } wanted[] = {{0, 0}, {2000, 2}, {2001, 3}, {9001, RD_KAFKA_OFFSET_END}};
    create(run, "times", 1);
    int64_t first = (int64_t)time(NULL) * 1000 - 60000;
    for (int i = 0; i < 10; i++)
        publish(run->producer, "times",
                &(struct giving){.value = "v", .time_ms = first + i * 1000});
    flush(run->producer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_add(list, "times", 0);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        p->offset = first + wanted[i].at_ms;
        require(!rd_kafka_offsets_for_times(run->admin, list, LIMIT_MS) && !p->err,
                "offsets for times");
        require(p->offset == wanted[i].offset, "after %lld ms is %lld", (long long)wanted[i].at_ms,
                (long long)p->offset);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void pausing(struct run *run)
{
    create(run, "pause", 2);
    publish_numbers(run->producer, "pause", 100, 2);
    rd_kafka_t *reader = reader_new(run->address, "pause", 2);
    rd_kafka_topic_partition_list_t *zero = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(zero, "pause", 0);
    require(!rd_kafka_pause_partitions(reader, zero), "pause");
    take(reader, 1, &run->got);
    require_steps(&run->got, 1, 2, 50);
    require(!rd_kafka_resume_partitions(reader, zero), "resume");
    take(reader, 1, &run->got);
    require_steps(&run->got, 0, 2, 50);
    zero->elems[0].offset = 40;
    rd_kafka_error_t *error = rd_kafka_seek_partitions(reader, zero, LIMIT_MS);
    require(!error && !zero->elems[0].err, "seek");
    take(reader, 1, &run->got);
    require_steps(&run->got, 80, 2, 10);
    rd_kafka_topic_partition_list_destroy(zero);
    reader_free(reader);
}

static void compacted(struct run *run)
{
    require(!topic_create(run->admin, "compacted", 1, "cleanup.policy", "compact"),
            "create compacted");
    for (int i = 0; i < 100; i++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "%d", i % 20);
        snprintf(value, sizeof(value), "%d", i / 20);
        publish(run->producer, "compacted", &(struct giving){.key = key, .value = value});
        if (i % 20 == 19)
            flush(run->producer);
    }
    puts("compacted compacted 50");
    fflush(stdout);
    require(getchar() == '\n', "no answer");
    read_all(run->address, "compacted", 1, &run->got);
    require(run->got.count <= 50, "%zu records of 100 came", run->got.count);
    int last[20];
    memset(last, -1, sizeof(last));
    for (size_t i = 0; i < run->got.count; i++) {
        const struct taken *t = &run->got.records[i];
        if (strcmp(t->key, "more") != 0)
            last[strtol(t->key, NULL, 10) % 20] = (int)strtol(t->value, NULL, 10);
    }
    for (int k = 0; k < 20; k++)
        require(last[k] == 4, "the last value of %d is %d", k, last[k]);
}

static void administered(struct run *run)
{
    administration(run->admin, run->address);
}

static void shared(struct run *run)
{
    sharing(run->admin, run->address);
}

static void remembered(struct run *run)
{
    instances(run->admin, run->address);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*go)(struct run *run);
        const char *note;
    } scenarios[] = {
        {"topics", topics, ""},
        {"keys", keys, ""},
        {"headers", headers, ""},
        {"codecs", codecs, "none gzip snappy lz4 zstd"},
        {"idempotence", idempotence, ""},
        {"time lookup", times, ""},
        {"pause and seek", pausing, ""},
        {"compacted topic", compacted, ""},
        {"admin", administered, ""},
        {"groups", shared, ""},
        {"static members", remembered, ""},
    };
    require(count == 3, "compat-librdkafka ADDRESS CUT_ADDRESS");
    struct run *run = calloc(1, sizeof(*run));
    require(run != NULL, "no memory");
    run->address = arguments[1];
    run->cut_address = arguments[2];
    run->admin = client_new(RD_KAFKA_PRODUCER, run->address, (const char *[]){NULL});
    run->producer = client_new(RD_KAFKA_PRODUCER, run->address, (const char *[]){NULL});
    printf("version %s\n", rd_kafka_version_str());
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        printf("begin %s\n", scenarios[i].name);
        scenarios[i].go(run);
        printf("end %s: %s\n", scenarios[i].name, scenarios[i].note);
        fflush(stdout);
    }
    rd_kafka_destroy(run->producer);
    rd_kafka_destroy(run->admin);
    free(run);
    return 0;
}
