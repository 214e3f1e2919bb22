/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LEAT_TESTS_COMPAT_LIBRDKAFKA_H
#define LEAT_TESTS_COMPAT_LIBRDKAFKA_H

/* What the parts of the librdkafka program share. It is a test: whatever goes wrong ends it with a line on standard
 * error, so that nothing here returns an error. */

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIMIT_MS = 30000, TAKEN_MAX = 512, VALUE_MAX = 512 };

/* A record that was read; a key or a value ends at its NUL. */
struct taken {
    int32_t partition;
    int64_t offset;
    char key[32], value[VALUE_MAX];
};

struct taking {
    struct taken records[TAKEN_MAX];
    size_t count;
};

/* One record to publish: key may be NULL; a time of 0 is now. */
struct giving {
    int32_t partition;
    const char *key, *value;
    int64_t time_ms;
};

void require(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A client of this type with "name=value" settings up to a NULL. */
rd_kafka_t *client_new(rd_kafka_type_t type, const char *address, const char *const *settings);

/* A record; all that are not yet sent go, and their answers have come, with flush(). */
void publish(rd_kafka_t *producer, const char *topic, const struct giving *record);
void flush(rd_kafka_t *producer);

/* A consumer of all of the topic's partitions from their beginnings. */
rd_kafka_t *reader_new(const char *address, const char *topic, int partitions);
/* Reads until so many partitions have said that they are at their ends. */
void take(rd_kafka_t *reader, int partitions, struct taking *got);
void reader_free(rd_kafka_t *reader);
void read_all(const char *address, const char *topic, int partitions, struct taking *got);

/* Administration: each waits for its answer. The first error of the answer, RD_KAFKA_RESP_ERR_NO_ERROR if none. */
rd_kafka_resp_err_t topic_create(rd_kafka_t *admin, const char *topic, int partitions,
                                 const char *config, const char *value);
/* Waits until the nodes that are asked know that it has so many; 0: that there is no such topic. */
void await_partitions(rd_kafka_t *admin, const char *topic, int partitions);
void administration(rd_kafka_t *admin, const char *address);

/* Groups. */
void sharing(rd_kafka_t *admin, const char *address);
void instances(rd_kafka_t *admin, const char *address);

#endif
