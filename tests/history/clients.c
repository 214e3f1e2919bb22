/* SPDX-License-Identifier: Apache-2.0 */

/* Clients of a cluster that write down a history (README.md): in each partition an idempotent
 * producer that keeps several records in flight, and a reader that follows it, most of them at the
 * replica of a rack. They go on until
 * standard input ends; then every partition is read from its start to its end once more.
 *
 *     LEAT_HISTORY=FOLDER history_clients BROKERS TOPIC PARTITIONS SEED
 *
 * A line on standard output for every 20 acknowledgements of a partition: "PARTITION N". What a
 * broker answers in between is libleat's to deal with; what it does not get over ends the program. */
#include "recorder.h"

#include <leat/admin.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PARTITIONS_MAX = 64, IN_FLIGHT = 8, TOLD_EVERY = 20, FINAL_SECONDS = 120 };

static const char *brokers, *topic;
static int partitions;
static struct recorder *history;
static pthread_mutex_t history_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool over;
static atomic_ulong acknowledged;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *who, int partition, const leat_error *e)
{
    fprintf(stderr, "%s of %s-%d: %s\n", who, topic, partition, e->message);
    exit(1);
}

/* With a rack it reads from replicas there. */
static leat_client *connect_client(const char *rack)
{
    leat_client *c;
    leat_error e;
    leat_options options = LEAT_OPTIONS_INIT;
    snprintf(options.rack, sizeof options.rack, "%s", rack);
    if (leat_open(&c, brokers, &options, &e)) {
        die("a client", -1, &e);
    }
    return c;
}

/* --- producers -------------------------------------------------------------------------------- */

struct sent {
    uint64_t sequence, invoke_ns;
    bool busy;
};

static size_t value_of(char *out, size_t size, int partition, uint64_t sequence)
{
    char name[32];
    snprintf(name, sizeof name, "producer-%d", partition);
    return recorder_value(out, size, topic, partition, name, sequence);
}

static void write_produced(int partition, const struct sent *s, const leat_report *r)
{
    char process[32], value[256];
    size_t size = value_of(value, sizeof value, partition, s->sequence);
    bool ok = r->code == 0;
    snprintf(process, sizeof process, "producer-%d", partition);
    pthread_mutex_lock(&history_lock);
    char offset[40] = "";
    if (ok) {
        snprintf(offset, sizeof offset, ",\"offset\":%lld", (long long)r->offset);
    }
    recorder_begin(history, process, "produce", s->invoke_ns, now_ns(), ok ? "ok" : "info",
                   "\"topic\":\"%s\",\"partition\":%d,\"idempotent\":true%s", topic, partition,
                   offset);
    recorder_record(history, -1, value, size);
    recorder_end(history);
    pthread_mutex_unlock(&history_lock);
}

static void tell_acknowledged(int partition, unsigned long count)
{
    atomic_fetch_add(&acknowledged, 1);
    if (count % TOLD_EVERY == 0) {
        printf("%d %lu\n", partition, count);
        fflush(stdout);
    }
}

static void *produce(void *argument)
{
    int partition = (int)(intptr_t)argument;
    leat_client *client = connect_client("");
    leat_producer *producer;
    leat_producer_options options = LEAT_PRODUCER_OPTIONS_INIT;
    leat_error e;
    options.linger_ms = 0;
    if (leat_producer_open(&producer, client, &options, &e)) {
        die("the producer", partition, &e);
    }
    struct sent sent[IN_FLIGHT] = {0};
    unsigned busy = 0;
    unsigned long delivered = 0;
    uint64_t sequence = 0;
    while (!atomic_load(&over) || busy > 0) {
        for (unsigned i = 0; i < IN_FLIGHT && !atomic_load(&over); i++) {
            char value[256];
            if (sent[i].busy) {
                continue;
            }
            leat_record r = LEAT_RECORD_INIT;
            r.topic = topic;
            r.partition = partition;
            r.value.data = value;
            sent[i] = (struct sent){sequence, now_ns(), true};
            r.value.len = value_of(value, sizeof value, partition, sequence++);
            if (leat_produce(producer, &r, &sent[i], &e)) {
                die("the producer", partition, &e);
            }
            busy++;
        }
        leat_report reports[IN_FLIGHT];
        int count = leat_reports(producer, reports, IN_FLIGHT, 1000);
        for (int i = 0; i < count; i++) {
            struct sent *s = reports[i].tag;
            write_produced(partition, s, &reports[i]);
            s->busy = false;
            busy--;
            if (reports[i].code == 0) {
                tell_acknowledged(partition, ++delivered);
            } else {
                fprintf(stderr, "the producer of %s-%d: %s\n", topic, partition,
                        reports[i].message);
            }
        }
    }
    leat_producer_close(producer, 1000, NULL);
    leat_close(client);
    return NULL;
}

/* --- readers ---------------------------------------------------------------------------------- */

/* Reads from the start until `end` (-1: until it is over); what comes is written down as polls of `process`. */
static void read_partition(leat_client *client, const char *process, int partition, int64_t end,
                           const char *scan)
{
    leat_consumer *consumer;
    leat_error e;
    if (leat_consumer_open(&consumer, client, NULL, NULL, &e)) {
        die("the reader", partition, &e);
    }
    leat_start start = {topic, partition, 0, 0};
    if (leat_assign(consumer, &start, 1, &e)) {
        die("the reader", partition, &e);
    }
    pthread_mutex_lock(&history_lock);
    recorder_begin(history, process, "assign", now_ns(), now_ns(), "ok",
                   "\"partitions\":[[\"%s\",%d,0]]", topic, partition);
    recorder_end(history);
    pthread_mutex_unlock(&history_lock);
    int64_t next = 0;
    uint64_t until = now_ns() + FINAL_SECONDS * UINT64_C(1000000000);
    while (end < 0 ? !atomic_load(&over) : next < end) {
        const leat_record *records;
        uint64_t invoke = now_ns();
        int count = leat_poll(consumer, &records, 200, &e);
        if (count < 0 || (end >= 0 && invoke > until)) {
            die(end < 0 ? "the reader" : "the last reading", partition, &e);
        }
        if (count == 0) {
            continue;
        }
        next = records[count - 1].offset + 1;
        pthread_mutex_lock(&history_lock);
        recorder_begin(history, process, "poll", invoke, now_ns(), "ok",
                       "\"topic\":\"%s\",\"partition\":%d%s%s%s", topic, partition,
                       scan ? ",\"scan\":\"" : "", scan ? scan : "", scan ? "\"" : "");
        for (int i = 0; i < count; i++) {
            recorder_record(history, records[i].offset, records[i].value.data,
                            records[i].value.len);
        }
        recorder_end(history);
        pthread_mutex_unlock(&history_lock);
    }
    leat_consumer_close(consumer, NULL);
}

static void *follow(void *argument)
{
    int partition = (int)(intptr_t)argument;
    char process[32], rack[16];
    snprintf(process, sizeof process, "reader-%d", partition);
    snprintf(rack, sizeof rack, "rack-%d",
             partition % 4); /* rack-0 is nowhere: it reads from leaders */
    leat_client *client = connect_client(rack);
    read_partition(client, process, partition, -1, NULL);
    leat_close(client);
    return NULL;
}

static void read_all(void)
{
    leat_client *client = connect_client("");
    for (int i = 0; i < partitions; i++) {
        leat_error e;
        int64_t end = -1;
        uint64_t until = now_ns() + FINAL_SECONDS * UINT64_C(1000000000);
        while (leat_offset_at(client, topic, i, LEAT_LATEST, &end, &e)) {
            if (now_ns() > until) {
                die("the end", i, &e);
            }
        }
        char process[32];
        snprintf(process, sizeof process, "last-%d", i);
        read_partition(client, process, i, end, "last");
    }
    leat_close(client);
}

int main(int argc, char **argv)
{
    pthread_t threads[2 * PARTITIONS_MAX];
    if (argc != 5 || (partitions = atoi(argv[3])) < 1 || partitions > PARTITIONS_MAX) {
        fprintf(stderr, "history_clients BROKERS TOPIC PARTITIONS SEED\n");
        return 2;
    }
    brokers = argv[1];
    topic = argv[2];
    history = recorder_open("cluster", strtoull(argv[4], NULL, 10));
    for (int i = 0; i < partitions; i++) {
        void *partition = (void *)(intptr_t)i;
        if (pthread_create(&threads[2 * i], NULL, produce, partition) ||
            pthread_create(&threads[2 * i + 1], NULL, follow, partition)) {
            perror("a thread");
            return 1;
        }
    }
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2 * partitions; i++) {
        pthread_join(threads[i], NULL);
    }
    read_all();
    recorder_close(history);
    printf("over: %lu acknowledged\n", atomic_load(&acknowledged));
    return 0;
}
