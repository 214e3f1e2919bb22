/* SPDX-License-Identifier: Apache-2.0 */

/* nodes: the brokers of an image and the configurations of nodes. Few, so each is one counted array
 * that is copied when it changes; what it points to is counted and shared. NULL is the empty set.
 */
#pragma once

#include "meta/edit.h"
#include "meta/topic.h"

struct broker_set;
struct node_configs;

/* The successor of `base` with this broker added or replaced; an older epoch is ERR_MALFORMED. */
int broker_set_with(struct broker_set **out, struct memory *m, const struct broker_set *base,
                    const struct image_broker_spec *spec) MUST_CHECK;
/* The successor of `base` without a broker that is in it; NULL when it was the last. */
int broker_set_without(struct broker_set **out, struct memory *m, const struct broker_set *base,
                       int32_t id) MUST_CHECK;
struct broker_set *broker_set_take(struct broker_set *set);
void broker_set_release(struct broker_set *set);
uint32_t broker_set_count(const struct broker_set *set);
const struct image_broker *broker_set_at(const struct broker_set *set, uint32_t index);
const struct image_broker *broker_set_find(const struct broker_set *set, int32_t id);

/* The successor of `base` with a key of `node` set, or deleted (value.data NULL). */
int node_configs_with(struct node_configs **out, struct memory *m, const struct node_configs *base,
                      int32_t node, struct bytes key, struct bytes value) MUST_CHECK;
struct node_configs *node_configs_take(struct node_configs *set);
void node_configs_release(struct node_configs *set);
uint32_t node_configs_count(const struct node_configs *set);
const struct config_set *node_configs_at(const struct node_configs *set, uint32_t index,
                                         int32_t *node);
const struct config_set *node_configs_find(const struct node_configs *set, int32_t node);
