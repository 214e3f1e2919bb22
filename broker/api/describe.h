/* SPDX-License-Identifier: Apache-2.0 */

/* describe: what several answers say of brokers and partitions. Private to broker/api. */
#pragma once

#include "api/request.h"

/* Every operation on a topic or the cluster that Kafka names, as bits by the operation's number:
 * without an authorizer all are allowed. */
enum {
    DESCRIBE_TOPIC_OPERATIONS =
        1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
    DESCRIBE_GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8, /* read, delete, describe */
    DESCRIBE_CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
};

/* `offline` has room for every replica. The arrays are borrowed from the image. */
void describe_partition(const struct image *image, const struct image_partition *in,
                        struct metadata_response_partitions *out, int32_t *offline);

/* What a broker advertises to who comes through the listener of this request; NULL: it has none of
 * that name. */
const struct image_endpoint *describe_endpoint(const struct api_request *r,
                                               const struct image_broker *b);

/* Brokers that are not fenced. */
int describe_brokers(struct api_request *r, struct metadata_response_brokers **out,
                     int32_t *count) MUST_CHECK;
