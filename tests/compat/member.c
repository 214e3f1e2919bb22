/* SPDX-License-Identifier: Apache-2.0 */

/* Members of a group, one thread and one client each, for tests that speak another language.
 *
 *     leat-member ADDRESS GROUP TOPIC COUNT [NAME=VALUE...]    until its input ends; prints
 *         NUMBER assigned|revoking|revoked|lost PARTITION
 *         NUMBER record PARTITION OFFSET AGE_MS VALUE
 *         NUMBER refused CODE MESSAGE      of a commit
 *         NUMBER error CODE MESSAGE        of a poll
 *         NUMBER committed PARTITION OFFSET, NUMBER closed CODE     at the end
 *     leat-member ADDRESS --produce TOPIC PARTITIONS INTERVAL_MS
 *         a record to each partition at each interval until its input ends; prints NUMBER of them
 *     leat-member ADDRESS --values TOPIC
 *         a record for each line `PARTITION VALUE`; prints `VALUE CODE OFFSET` when it is delivered
 *         or failed, and ends when its input has ended and all is told
 *
 * With enable.auto.commit=false each poll is followed by a commit. group.instance.id gets the
 * member's number at its end. */
#include <leat/admin.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS_MAX = 64 };

static atomic_bool ended;

struct member {
    char **argv;
    int argc, number;
    pthread_t thread;
    leat_client *client;
    leat_consumer *consumer;
    leat_consumer_options options;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void die(const leat_error *e)
{
    fprintf(stderr, "%s\n", e->message);
    exit(1);
}

static void tell_changes(struct member *m)
{
    static const char *const kinds[] = {"", "assigned", "revoking", "revoked", "lost"};
    const leat_change *changes;
    int count = leat_rebalance(m->consumer, &changes, NULL);
    for (int i = 0; i < count; i++) {
        printf("%d %s %d\n", m->number, kinds[changes[i].kind], (int)changes[i].partition);
    }
}

static void tell_committed(struct member *m)
{
    leat_meta *meta;
    leat_error e;
    if (leat_metadata(m->client, m->argv[3], &meta, &e)) {
        return;
    }
    for (size_t i = 0; i < meta->topics[0]->partition_count; i++) {
        leat_offset at = {m->argv[3], (int32_t)i, -1, -1, NULL};
        if (leat_committed(m->consumer, &at, 1, 10000, &e) == 0) {
            printf("%d committed %d %lld\n", m->number, (int)i, (long long)at.offset);
        }
    }
    leat_meta_free(meta);
}

static void member_loop(struct member *m)
{
    leat_error e;
    while (!ended) {
        const leat_record *records;
        int count = leat_poll(m->consumer, &records, 20, &e);
        tell_changes(m);
        if (count < 0) {
            printf("%d error %d %s\n", m->number, e.code, e.message);
        }
        for (int i = 0; i < count; i++) {
            printf("%d record %d %lld %lld %.*s\n", m->number, (int)records[i].partition,
                   (long long)records[i].offset, (long long)(now_ms() - records[i].timestamp_ms),
                   (int)records[i].value.len, (const char *)records[i].value.data);
        }
        if (!m->options.auto_commit && count > 0 && leat_commit(m->consumer, 10000, &e)) {
            printf("%d refused %d %s\n", m->number, e.code, e.message);
        }
    }
}

static void *member_run(void *argument)
{
    struct member *m = argument;
    leat_error e;
    leat_options client = LEAT_OPTIONS_INIT;
    leat_consumer_options options = LEAT_CONSUMER_OPTIONS_INIT;
    client.reconnect_backoff_max_ms = 200;
    options.reset = LEAT_RESET_EARLIEST;
    for (int i = 5; i < m->argc; i++) {
        char name[64], value[300];
        if (sscanf(m->argv[i], "%63[^=]=%255s", name, value) != 2) {
            fprintf(stderr, "not NAME=VALUE: %s\n", m->argv[i]);
            exit(2);
        }
        if (strcmp(name, "group.instance.id") == 0) {
            snprintf(value + strlen(value), 8, "-%d", m->number);
        }
        if (leat_consumer_options_set(&options, name, value, &e)) {
            die(&e);
        }
    }
    m->options = options;
    const char *topic = m->argv[3];
    if (leat_open(&m->client, m->argv[1], &client, &e) ||
        leat_consumer_open(&m->consumer, m->client, m->argv[2], &options, &e) ||
        leat_subscribe(m->consumer, &topic, 1, &e)) {
        die(&e);
    }
    member_loop(m);
    if (m->argc > 4 && strcmp(m->argv[4], "1") == 0) {
        tell_committed(m);
    }
    int code = leat_consumer_close(m->consumer, &e);
    printf("%d closed %d %s\n", m->number, code, code ? e.message : "");
    leat_close(m->client);
    return NULL;
}

static void await_end(int timeout_ms)
{
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    char ignored[64];
    if (poll(&in, 1, timeout_ms) > 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
        ended = true;
    }
}

static int produce(char **argv)
{
    leat_client *client;
    leat_producer *producer;
    leat_error e;
    int partitions = atoi(argv[4]), interval = atoi(argv[5]), made = 0;
    if (leat_open(&client, argv[1], NULL, &e) || leat_producer_open(&producer, client, NULL, &e)) {
        die(&e);
    }
    while (!ended) {
        for (int p = 0; p < partitions; p++, made++) {
            leat_record r = LEAT_RECORD_INIT;
            r.topic = argv[3];
            r.partition = p;
            r.value = (leat_bytes){"x", 1};
            if (leat_produce(producer, &r, NULL, &e)) {
                die(&e);
            }
        }
        await_end(interval);
    }
    if (leat_producer_close(producer, 30000, &e)) {
        die(&e);
    }
    leat_close(client);
    printf("%d\n", made);
    return 0;
}

static void *tell_reports(void *argument)
{
    leat_report r;
    bool last;
    do {
        last = ended; /* all is settled: what there is now is the rest */
        while (leat_reports(argument, &r, 1, last ? 0 : 20) > 0) {
            printf("%s %d %lld\n", (const char *)r.tag, r.code, (long long)r.offset);
            free(r.tag);
        }
    } while (!last);
    return NULL;
}

static int produce_values(char **argv)
{
    leat_client *client;
    leat_producer *producer;
    leat_options options = LEAT_OPTIONS_INIT;
    leat_error e;
    pthread_t teller;
    char line[1024];
    options.reconnect_backoff_max_ms = 200;
    if (leat_open(&client, argv[1], &options, &e) ||
        leat_producer_open(&producer, client, NULL, &e)) {
        die(&e);
    }
    pthread_create(&teller, NULL, tell_reports, producer);
    while (fgets(line, sizeof line, stdin)) {
        char *value;
        leat_record r = LEAT_RECORD_INIT;
        line[strcspn(line, "\n")] = 0;
        r.topic = argv[3];
        r.partition = (int32_t)strtol(line, &value, 10);
        value += *value == ' ';
        r.value = (leat_bytes){value, strlen(value)};
        if (leat_produce(producer, &r, strdup(value), &e)) {
            die(&e);
        }
    }
    if (leat_flush(producer, 30000, &e) > 0) {
        die(&e);
    }
    ended = true;
    pthread_join(teller, NULL);
    (void)leat_producer_close(producer, 0, &e); /* what failed has been told */
    leat_close(client);
    return 0;
}

int main(int argc, char **argv)
{
    static struct member members[MEMBERS_MAX];
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    if (argc == 6 && strcmp(argv[2], "--produce") == 0) {
        return produce(argv);
    }
    if (argc == 4 && strcmp(argv[2], "--values") == 0) {
        return produce_values(argv);
    }
    int count = argc > 4 ? atoi(argv[4]) : 0;
    if (count < 1 || count > MEMBERS_MAX) {
        fprintf(stderr, "usage: leat-member ADDRESS GROUP TOPIC COUNT [NAME=VALUE...]\n");
        return 2;
    }
    for (int i = 0; i < count; i++) {
        members[i] = (struct member){.argv = argv, .argc = argc, .number = i};
        pthread_create(&members[i].thread, NULL, member_run, &members[i]);
    }
    while (!ended) {
        await_end(-1);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(members[i].thread, NULL);
    }
    return 0;
}
