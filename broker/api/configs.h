/* SPDX-License-Identifier: Apache-2.0 */

/* configs: topics' and brokers' configurations as clients see them. Private to broker/api. */
#pragma once

#include "api/request.h"

enum {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
};

struct configs_wanted {
    bool synonyms, documentation;
};

/* All configurations of a topic (NULL: one that sets nothing), or those among `keys` (count < 0 or
 * keys NULL: all). ERR_NO_MEMORY. */
int configs_of_topic(struct api_request *r, const struct image_topic *topic,
                     const struct wire_string *keys, int32_t key_count,
                     struct configs_wanted wanted,
                     struct describe_configs_response_results *out) MUST_CHECK;

/* Those of a broker, `node` -1: the dynamic defaults of all. */
int configs_of_broker(struct api_request *r, int32_t node, const struct wire_string *keys,
                      int32_t key_count, struct configs_wanted wanted,
                      struct describe_configs_response_results *out) MUST_CHECK;

/* The node that a broker resource names, -1 for the empty name. */
int configs_node(struct wire_string name, int32_t *node) MUST_CHECK;
