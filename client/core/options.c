/* SPDX-License-Identifier: Apache-2.0 */

/* One table per struct: each row is a name that librdkafka, the Java clients or we use, the field
 * that it sets, its kind and its range. Several names may set one field; ranges are checked again
 * when a struct is taken, because fields may be set directly too. */
#include "core/options.h"

#include "base/bytes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum option_kind {
    OPTION_INT32,
    OPTION_UINT32,
    OPTION_UINT64,
    OPTION_BOOL,
    OPTION_TEXT, /* a char array; max is its size */
    OPTION_NAME, /* an int32_t, written as a name of `names` */
    OPTION_IGNORED,
};

struct option_name {
    const char *name;
    int32_t value;
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset;
    double min, max;
    const struct option_name *names; /* ends with a NULL name */
};

static const struct option_name acks_names[] = {{"all", LEAT_ACKS_ALL},   {"-1", LEAT_ACKS_ALL},
                                                {"1", LEAT_ACKS_LEADER},  {"0", LEAT_ACKS_NONE},
                                                {"none", LEAT_ACKS_NONE}, {NULL, 0}};
static const struct option_name idempotence_names[] = {{"true", LEAT_IDEMPOTENCE_ON},
                                                       {"false", LEAT_IDEMPOTENCE_OFF},
                                                       {"auto", LEAT_IDEMPOTENCE_AUTO},
                                                       {NULL, 0}};
static const struct option_name compression_names[] = {
    {"none", LEAT_COMPRESSION_NONE},     {"gzip", LEAT_COMPRESSION_GZIP},
    {"snappy", LEAT_COMPRESSION_SNAPPY}, {"lz4", LEAT_COMPRESSION_LZ4},
    {"zstd", LEAT_COMPRESSION_ZSTD},     {NULL, 0}};
static const struct option_name partitioner_names[] = {
    {"murmur2_random", LEAT_PARTITIONER_MURMUR2},
    {"murmur2", LEAT_PARTITIONER_MURMUR2},
    {"consistent_random", LEAT_PARTITIONER_CRC32},
    {"consistent", LEAT_PARTITIONER_CRC32},
    {"random", LEAT_PARTITIONER_RANDOM},
    {"round_robin", LEAT_PARTITIONER_ROUND_ROBIN},
    {NULL, 0}};
static const struct option_name reset_names[] = {{"earliest", LEAT_RESET_EARLIEST},
                                                 {"smallest", LEAT_RESET_EARLIEST},
                                                 {"beginning", LEAT_RESET_EARLIEST},
                                                 {"latest", LEAT_RESET_LATEST},
                                                 {"largest", LEAT_RESET_LATEST},
                                                 {"end", LEAT_RESET_LATEST},
                                                 {"none", LEAT_RESET_NONE},
                                                 {"error", LEAT_RESET_NONE},
                                                 {NULL, 0}};
static const struct option_name isolation_names[] = {
    {"read_committed", 0}, {"read_uncommitted", 1}, {NULL, 0}};

#define FIELD(type, field) offsetof(type, field)
#define MS(name, field, min)                                                                       \
    {                                                                                              \
        name, OPTION_INT32, FIELD(STRUCT, field), min, INT32_MAX, NULL                             \
    }

#define STRUCT leat_options
static const struct option client_options[] = {
    {"client.id", OPTION_TEXT, FIELD(STRUCT, client_id), 0, sizeof((STRUCT){0}.client_id), NULL},
    {"client.rack", OPTION_TEXT, FIELD(STRUCT, rack), 0, sizeof((STRUCT){0}.rack), NULL},
    MS("default.api.timeout.ms", timeout_ms, 1),
    MS("request.timeout.ms", request_timeout_ms, 10),
    MS("socket.timeout.ms", request_timeout_ms, 10),
    MS("socket.connection.setup.timeout.ms", connect_timeout_ms, 10),
    MS("broker.silence.ms", silence_ms, 10),
    MS("reconnect.backoff.ms", reconnect_backoff_ms, 1),
    MS("reconnect.backoff.max.ms", reconnect_backoff_max_ms, 1),
    MS("retry.backoff.ms", retry_backoff_ms, 1),
    MS("retry.backoff.max.ms", retry_backoff_max_ms, 1),
    MS("metadata.max.age.ms", metadata_max_age_ms, 1000),
    MS("topic.metadata.refresh.interval.ms", metadata_max_age_ms, 1000),
    {"receive.message.max.bytes", OPTION_UINT32, FIELD(STRUCT, response_max_bytes), 1 << 16,
     INT32_MAX, NULL},
    {"allow.auto.create.topics", OPTION_BOOL, FIELD(STRUCT, allow_auto_create), 0, 1, NULL},
    {"fail.fast", OPTION_BOOL, FIELD(STRUCT, fail_fast), 0, 1, NULL},
    {"api.version.request", OPTION_IGNORED, 0, 0, 0, NULL},
    {"broker.version.fallback", OPTION_IGNORED, 0, 0, 0, NULL},
    {"broker.address.family", OPTION_IGNORED, 0, 0, 0, NULL},
    {"socket.keepalive.enable", OPTION_IGNORED, 0, 0, 0, NULL},
    {"socket.nagle.disable", OPTION_IGNORED, 0, 0, 0, NULL},
    {"statistics.interval.ms", OPTION_IGNORED, 0, 0, 0, NULL},
    {"log_level", OPTION_IGNORED, 0, 0, 0, NULL},
    {"debug", OPTION_IGNORED, 0, 0, 0, NULL},
    {NULL, OPTION_IGNORED, 0, 0, 0, NULL},
};
#undef STRUCT

#define STRUCT leat_producer_options
static const struct option producer_options[] = {
    {"acks", OPTION_NAME, FIELD(STRUCT, acks), -1, 1, acks_names},
    {"request.required.acks", OPTION_NAME, FIELD(STRUCT, acks), -1, 1, acks_names},
    {"enable.idempotence", OPTION_NAME, FIELD(STRUCT, idempotence), -1, 1, idempotence_names},
    MS("linger.ms", linger_ms, 0),
    MS("queue.buffering.max.ms", linger_ms, 0),
    {"batch.size", OPTION_UINT32, FIELD(STRUCT, batch_bytes), 1024, 64 << 20, NULL},
    {"max.request.size", OPTION_UINT32, FIELD(STRUCT, message_max_bytes), 1024, 64 << 20, NULL},
    {"message.max.bytes", OPTION_UINT32, FIELD(STRUCT, message_max_bytes), 1024, 64 << 20, NULL},
    {"buffer.memory", OPTION_UINT64, FIELD(STRUCT, buffer_bytes), 1 << 16, 0x1p40, NULL},
    MS("max.block.ms", max_block_ms, 0),
    {"compression.type", OPTION_NAME, FIELD(STRUCT, compression), 0, 4, compression_names},
    {"compression.codec", OPTION_NAME, FIELD(STRUCT, compression), 0, 4, compression_names},
    {"compression.level", OPTION_INT32, FIELD(STRUCT, compression_level), LEAT_LEVEL_DEFAULT, 22,
     NULL},
    {"max.in.flight.requests.per.connection", OPTION_INT32, FIELD(STRUCT, max_in_flight), 1, 100,
     NULL},
    {"max.in.flight", OPTION_INT32, FIELD(STRUCT, max_in_flight), 1, 100, NULL},
    MS("request.timeout.ms", request_timeout_ms, 10),
    MS("delivery.timeout.ms", delivery_timeout_ms, 10),
    MS("message.timeout.ms", delivery_timeout_ms, 10),
    {"partitioner", OPTION_NAME, FIELD(STRUCT, partitioner), 0, 3, partitioner_names},
    {"reports.max", OPTION_UINT32, FIELD(STRUCT, reports_max), 0, UINT32_MAX, NULL},
    {"retries", OPTION_IGNORED, 0, 0, 0, NULL},
    {"message.send.max.retries", OPTION_IGNORED, 0, 0, 0, NULL},
    {"queue.buffering.max.messages", OPTION_IGNORED, 0, 0, 0, NULL},
    {"batch.num.messages", OPTION_IGNORED, 0, 0, 0, NULL},
    {NULL, OPTION_IGNORED, 0, 0, 0, NULL},
};
#undef STRUCT

#define STRUCT leat_consumer_options
static const struct option consumer_options[] = {
    {"auto.offset.reset", OPTION_NAME, FIELD(STRUCT, reset), 0, 2, reset_names},
    {"isolation.level", OPTION_BOOL, FIELD(STRUCT, read_uncommitted), 0, 1, isolation_names},
    {"check.crcs", OPTION_BOOL, FIELD(STRUCT, check_crcs), 0, 1, NULL},
    MS("fetch.max.wait.ms", fetch_max_wait_ms, 0),
    MS("fetch.wait.max.ms", fetch_max_wait_ms, 0),
    MS("fetch.min.bytes", fetch_min_bytes, 0),
    {"fetch.max.bytes", OPTION_UINT32, FIELD(STRUCT, fetch_max_bytes), 1024, INT32_MAX, NULL},
    {"max.partition.fetch.bytes", OPTION_UINT32, FIELD(STRUCT, partition_fetch_bytes), 1024,
     INT32_MAX, NULL},
    {"fetch.message.max.bytes", OPTION_UINT32, FIELD(STRUCT, partition_fetch_bytes), 1024,
     INT32_MAX, NULL},
    {"buffer.bytes", OPTION_UINT64, FIELD(STRUCT, buffer_bytes), 1 << 16, 0x1p40, NULL},
    {"max.poll.records", OPTION_UINT32, FIELD(STRUCT, poll_max_records), 1, 1 << 20, NULL},
    {"batch.max.bytes", OPTION_UINT32, FIELD(STRUCT, batch_max_bytes), 1 << 16, INT32_MAX, NULL},
    {"group.id", OPTION_TEXT, FIELD(STRUCT, group_id), 0, sizeof((STRUCT){0}.group_id), NULL},
    {"group.instance.id", OPTION_TEXT, FIELD(STRUCT, group_instance_id), 0,
     sizeof((STRUCT){0}.group_instance_id), NULL},
    {"partition.assignment.strategy", OPTION_TEXT, FIELD(STRUCT, strategies), 0,
     sizeof((STRUCT){0}.strategies), NULL},
    MS("session.timeout.ms", session_timeout_ms, 10),
    MS("heartbeat.interval.ms", heartbeat_interval_ms, 1),
    MS("max.poll.interval.ms", max_poll_interval_ms, 10),
    {"enable.auto.commit", OPTION_BOOL, FIELD(STRUCT, auto_commit), 0, 1, NULL},
    {"auto.commit.enable", OPTION_BOOL, FIELD(STRUCT, auto_commit), 0, 1, NULL},
    MS("auto.commit.interval.ms", auto_commit_interval_ms, 1),
    {"revocation.returns", OPTION_BOOL, FIELD(STRUCT, revocation_returns), 0, 1, NULL},
    {"enable.auto.offset.store", OPTION_IGNORED, 0, 0, 0, NULL},
    {"enable.partition.eof", OPTION_IGNORED, 0, 0, 0, NULL},
    {"queued.max.messages.kbytes", OPTION_IGNORED, 0, 0, 0, NULL},
    {NULL, OPTION_IGNORED, 0, 0, 0, NULL},
};
#undef STRUCT

static double option_number(const struct option *o, const void *from)
{
    const char *at = (const char *)from + o->offset;
    switch (o->kind) {
    case OPTION_INT32:
    case OPTION_NAME:
        return *(const int32_t *)at;
    case OPTION_UINT32:
        return *(const uint32_t *)at;
    case OPTION_UINT64:
        return (double)*(const uint64_t *)at;
    case OPTION_BOOL:
        return *(const bool *)at;
    case OPTION_TEXT:
        return (double)strnlen(at, (size_t)o->max) + 1;
    case OPTION_IGNORED:
        break;
    }
    return 0;
}

/* Accepts 10, 2.5 (rounded up), 64KiB, 1MiB, 1GiB, 5s, 10ms, 1m. */
static bool option_parse_number(const char *value, double *out)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1},   {"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
                 {"ms", 1}, {"s", 1000},   {"m", 60000}};
    char *end;
    double number = strtod(value, &end);
    if (end == value || !isfinite(number)) {
        return false;
    }
    for (size_t i = 0; i < array_size(units); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            *out = ceil(number * units[i].factor);
            return true;
        }
    }
    return false;
}

static int option_set_named(const struct option *o, void *out, const char *value, leat_error *e)
{
    char known[128] = "";
    for (const struct option_name *n = o->names; n->name; n++) {
        if (strcasecmp(n->name, value) == 0) {
            if (o->kind == OPTION_BOOL) {
                *(bool *)((char *)out + o->offset) = n->value != 0;
            } else {
                *(int32_t *)((char *)out + o->offset) = n->value;
            }
            return 0;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", n->name);
    }
    return error_set(e, ERR_BAD_CONFIG, "%s: '%.40s' is not one of %s", o->name, value, known);
}

static int option_set_number(const struct option *o, void *out, double number)
{
    char *at = (char *)out + o->offset;
    switch (o->kind) {
    case OPTION_INT32:
        *(int32_t *)at = (int32_t)number;
        break;
    case OPTION_UINT32:
        *(uint32_t *)at = (uint32_t)number;
        break;
    default:
        assert(o->kind == OPTION_UINT64);
        *(uint64_t *)at = (uint64_t)number;
        break;
    }
    return 0;
}

static int option_set(const struct option *o, void *out, const char *value, leat_error *e)
{
    double number;
    if (o->names) {
        return option_set_named(o, out, value, e);
    }
    switch (o->kind) {
    case OPTION_IGNORED:
        return 0;
    case OPTION_TEXT:
        if (strlen(value) >= o->max) {
            return error_set(e, ERR_BAD_CONFIG, "%s: longer than %d bytes", o->name,
                             (int)o->max - 1);
        }
        memcpy((char *)out + o->offset, value, strlen(value) + 1);
        return 0;
    case OPTION_BOOL:
        if (strcasecmp(value, "true") != 0 && strcasecmp(value, "false") != 0) {
            return error_set(e, ERR_BAD_CONFIG, "%s: '%.40s' is not true or false", o->name, value);
        }
        *(bool *)((char *)out + o->offset) = strcasecmp(value, "true") == 0;
        return 0;
    default:
        if (!option_parse_number(value, &number) || number < o->min || number > o->max) {
            return error_set(e, ERR_BAD_CONFIG, "%s: '%.40s' is not a number from %.0f to %.0f",
                             o->name, value, o->min, o->max);
        }
        return option_set_number(o, out, number);
    }
}

static int options_set(const struct option *table, void *out, const char *name, const char *value,
                       leat_error *e)
{
    if (!out || !name || !value) {
        return error_set(e, ERR_INVALID_ARGUMENT, "an option needs a struct, a name and a value");
    }
    for (const struct option *o = table; o->name; o++) {
        if (strcmp(o->name, name) == 0) {
            int error = option_set(o, out, value, e);
            return error ? error : error_clear(e);
        }
    }
    return error_set(e, ERR_NOT_FOUND, "there is no option '%.60s' here", name);
}

static int options_check(const struct option *table, const void *in, leat_error *e)
{
    for (const struct option *o = table; o->name; o++) {
        if (o->kind == OPTION_IGNORED) {
            continue;
        }
        double number = option_number(o, in);
        if (number < o->min || number > o->max) {
            return error_set(e, ERR_BAD_CONFIG, "%s: %.0f is not from %.0f to %.0f", o->name,
                             number, o->min, o->max);
        }
    }
    return 0;
}

/* A caller of an older header has a shorter struct: what it lacks keeps the default. */
static int options_copy(void *out, size_t size, const void *in, leat_error *e)
{
    if (!in) {
        return 0;
    }
    size_t given;
    memcpy(&given, in, sizeof given);
    if (given < sizeof given || given > 65536) {
        return error_set(e, ERR_BAD_CONFIG,
                         "an option struct without its size: start from its ..._INIT macro");
    }
    memcpy(out, in, given < size ? given : size);
    memcpy(out, &size, sizeof size);
    return 0;
}

int options_take(leat_options *out, const leat_options *in, leat_error *e)
{
    leat_options taken = LEAT_OPTIONS_INIT;
    int error = options_copy(&taken, sizeof taken, in, e);
    if (!error) {
        error = options_check(client_options, &taken, e);
    }
    if (!error) {
        *out = taken;
    }
    return error;
}

int producer_options_take(leat_producer_options *out, const leat_producer_options *in,
                          leat_error *e)
{
    leat_producer_options taken = LEAT_PRODUCER_OPTIONS_INIT;
    int error = options_copy(&taken, sizeof taken, in, e);
    if (!error) {
        error = options_check(producer_options, &taken, e);
    }
    if (error) {
        return error;
    }
    if (taken.idempotence == LEAT_IDEMPOTENCE_ON && taken.acks != LEAT_ACKS_ALL) {
        return error_set(e, ERR_BAD_CONFIG, "enable.idempotence needs acks=all");
    }
    if (taken.idempotence == LEAT_IDEMPOTENCE_AUTO) {
        taken.idempotence =
            taken.acks == LEAT_ACKS_ALL ? LEAT_IDEMPOTENCE_ON : LEAT_IDEMPOTENCE_OFF;
    }
    if (taken.idempotence == LEAT_IDEMPOTENCE_ON && taken.max_in_flight > 5) {
        return error_set(e, ERR_BAD_CONFIG,
                         "max.in.flight: %d is above 5, what idempotence can keep in order",
                         (int)taken.max_in_flight);
    }
    *out = taken;
    return 0;
}

int consumer_options_take(leat_consumer_options *out, const leat_consumer_options *in,
                          leat_error *e)
{
    leat_consumer_options taken = LEAT_CONSUMER_OPTIONS_INIT;
    int error = options_copy(&taken, sizeof taken, in, e);
    if (!error) {
        error = options_check(consumer_options, &taken, e);
    }
    if (!error && taken.heartbeat_interval_ms >= taken.session_timeout_ms) {
        return error_set(e, ERR_BAD_CONFIG,
                         "heartbeat.interval.ms: %d is not below session.timeout.ms, which is %d",
                         (int)taken.heartbeat_interval_ms, (int)taken.session_timeout_ms);
    }
    if (!error) {
        *out = taken;
    }
    return error;
}

int leat_options_set(leat_options *o, const char *name, const char *value, leat_error *e)
{
    if (name && value && strcmp(name, "security.protocol") == 0) {
        return strcasecmp(value, "plaintext") == 0
                   ? error_clear(e)
                   : error_set(e, ERR_BAD_CONFIG, "security.protocol: only plaintext is there yet");
    }
    return options_set(client_options, o, name, value, e);
}

int leat_producer_options_set(leat_producer_options *o, const char *name, const char *value,
                              leat_error *e)
{
    return options_set(producer_options, o, name, value, e);
}

int leat_consumer_options_set(leat_consumer_options *o, const char *name, const char *value,
                              leat_error *e)
{
    return options_set(consumer_options, o, name, value, e);
}
