/* SPDX-License-Identifier: Apache-2.0 */

/* leaders: who leads a partition now, for answers that refuse it to who has asked another broker (KIP-951): the
 * client need not look for the metadata first. Private to broker/api. */
#pragma once

#include "api/request.h"

enum { LEADERS_TOLD_MAX = 32 };

struct leader_told {
    int32_t id, epoch; /* -1: none is known */
};

/* The brokers that an answer names, each once; beyond LEADERS_TOLD_MAX none. */
struct leaders_told {
    int32_t ids[LEADERS_TOLD_MAX];
    uint32_t count;
};

struct leader_endpoint {
    struct wire_string host, rack;
    int32_t port;
};

/* Whether the error says that another broker, or another epoch, leads. */
bool leader_is_news(int error);
struct leader_told leader_now(const struct image *image, struct uuid topic_id, int32_t partition);
void leaders_add(struct leaders_told *told, int32_t id); /* -1 is nobody */

/* As who came through the listener of `r` reaches the broker; borrowed from the image. False: it is not known. */
bool leader_endpoint(const struct api_request *r, int32_t id,
                     struct leader_endpoint *out) MUST_CHECK;
