/* SPDX-License-Identifier: Apache-2.0 */

/* driver: what a workload needs of a client library, so that the same schedule, clocks and histograms run on libleat
 * and on librdkafka, and either of them against any broker that speaks Kafka's protocol.
 *
 * Threads: send() and flush() belong to one thread of a producer, reports() to another; poll() to one of a consumer.
 * Settings are lent for the life of what is opened with them. What cannot be opened ends the program with a sentence
 * (load_fail()). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DRIVER_WHY_SIZE = 512 };

struct driver_settings {
    const char *brokers, *topic, *acks, *codec;
    const char *idempotence;       /* "true", "false"; NULL: as the library has it */
    const char *durability;        /* of a topic that is made; NULL: as the broker has it */
    uint64_t partitions, replicas; /* replicas 0: as the broker has it */
    uint64_t size;                 /* of the largest value */
    uint64_t batch, buffer, in_flight;
    double linger;                         /* seconds */
    uint64_t fetch_bytes, partition_bytes; /* at most, of a fetch; 0: as the library has it */
    bool check_crcs;
};

struct driver_failure {
    int code; /* 0: none; the library's */
    char why[DRIVER_WHY_SIZE];
};

struct driver_send {
    int32_t partition; /* -1: by the key */
    const void *key;
    size_t key_size; /* 0: none */
    const void *value;
    size_t size;
    void *tag; /* comes back with the report */
};

struct driver_report {
    void *tag;
    int code; /* 0: acknowledged */
    const char *why;
};

struct driver_record {
    int32_t partition;
    const void *value;
    size_t size;
};

typedef void driver_reported(void *context, const struct driver_report *report);
typedef void driver_received(void *context, const struct driver_record *record);

struct driver {
    const char *name;
    const char *(*version)(void);
    bool reports_all; /* also of records without a tag, if they were delivered */
    void (*topic_make)(const struct driver_settings *s); /* one that exists is as good */

    void *(*producer_open)(const struct driver_settings *s);
    /* Waits for room for a minute. False: it was not taken, and why. */
    bool (*send)(void *producer, const struct driver_send *record, struct driver_failure *out);
    /* What has become of records, waiting at most so long for the first; how many. */
    int (*reports)(void *producer, int wait_ms, driver_reported *told, void *context);
    bool (*flush)(void *producer, int wait_ms, struct driver_failure *out);
    void (*producer_close)(void *producer); /* after flush(), and when reports() has told of all */

    /* All partitions from their first record (`earliest`), or from where they end now. */
    void *(*consumer_open)(const struct driver_settings *s, bool earliest);
    int (*poll)(void *consumer, int wait_ms, driver_received *told, void *context);
    void (*consumer_close)(void *consumer);
};

extern const struct driver driver_leat, driver_rdkafka;

/* "leat" or "rdkafka"; NULL: there is no such one, or it was not built. */
const struct driver *driver_find(const char *name);
