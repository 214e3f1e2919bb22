/* SPDX-License-Identifier: Apache-2.0 */

/* versus: the same work by libleat and by librdkafka, each through its public functions alone, as a
 * service would call them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERSUS_SETTINGS_MAX = 32 };

struct versus_setting {
    const char *name, *value;
};

struct versus_options {
    const char *client, *brokers, *topic, *acks, *codec, *idempotence;
    uint64_t size, count, partitions, batch, buffer, pid;
    double linger;
    bool reports; /* every record's delivery is reported to the caller */
    bool check_crcs, json;
    struct versus_setting settings[VERSUS_SETTINGS_MAX]; /* the rest: names of the client's own */
    unsigned setting_count;
};

/* Values that no codec finds one in the next, and none has nothing to gain from: half of their bits
 * are random. */
struct versus_values {
    const uint8_t *bytes;
    size_t size, count;
};

static inline const uint8_t *versus_value(const struct versus_values *v, uint64_t number)
{
    return v->bytes + number % v->count * v->size;
}

/* What is measured lies between begin and end, which a client calls with everything connected and known
 * to it, and everything acknowledged, or handed out, by then. */
struct versus_run {
    const struct versus_options *options;
    struct versus_values values;
    uint64_t bytes, check; /* of the values that were consumed */
    void *cost;
};

void versus_begin(struct versus_run *run);
void versus_end(struct versus_run *run);

/* "leat-versus: ...", and exit status 1. */
_Noreturn void versus_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct versus_client {
    const char *name;
    const char *(*version)(void);
    /* Publishes options->count records and waits for all acknowledgements. */
    void (*produce)(struct versus_run *run);
    /* Reads as many records from the beginning of every partition's log on. */
    void (*consume)(struct versus_run *run);
};

extern const struct versus_client versus_leat, versus_rdkafka;

/* What a program does with a value that it consumes: looks at it. */
static inline void versus_look(struct versus_run *run, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    run->bytes += size;
    run->check += size ? (uint64_t)bytes[0] + bytes[size - 1] : 0;
}
