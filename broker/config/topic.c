/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration of a topic: its own values over the broker's. */
#include "config/value.h"

#include <stdio.h>

/* Messages of a broker's key speak of the value alone, so they fit the topic's name as well. */
static int topic_config_parse(enum topic_key key, struct bytes value, struct config_scalar *out,
                              char *why, size_t size)
{
    const struct topic_key_info *info = topic_key_info(key);
    char reason[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
    if (!value.data) {
        value = bytes_of("", 0);
    }
    int error = config_scalar_parse(config_key_info(info->broker_key), value, out, reason, hint);
    if (error) {
        snprintf(why, size, "%s: %.180s", info->name, reason);
    }
    return error;
}

int topic_config_check(enum topic_key key, struct bytes value, char *why, size_t size)
{
    struct config_scalar ignored;
    return topic_config_parse(key, value, &ignored, why, size);
}

static void topic_config_inherit(struct topic_config *t, enum topic_key key, const struct config *c)
{
    enum config_key from = topic_key_info(key)->broker_key;
    bool is_bool = config_key_info(from)->type == CONFIG_TYPE_BOOL;
    t->numbers[key] = is_bool ? config_bool(c, from) : config_integer(c, from);
}

void topic_config_init(struct topic_config *t, const struct config *c)
{
    *t = (struct topic_config){0};
    for (int key = 0; key < TOPIC_KEY_COUNT; key++) {
        topic_config_inherit(t, key, c);
    }
}

int topic_config_set(struct topic_config *t, enum topic_key key, struct bytes value, char *why,
                     size_t size)
{
    struct config_scalar parsed = {0};
    int error = topic_config_parse(key, value, &parsed, why, size);
    if (!error) {
        t->numbers[key] = parsed.number;
        t->own |= UINT64_C(1) << key;
    }
    return error;
}

void topic_config_unset(struct topic_config *t, enum topic_key key, const struct config *c)
{
    t->own &= ~(UINT64_C(1) << key);
    topic_config_inherit(t, key, c);
}

void topic_config_format(const struct topic_config *t, enum topic_key key, char *out, size_t size)
{
    struct config_scalar value = {.number = topic_config_number(t, key)};
    config_scalar_format(config_key_info(topic_key_info(key)->broker_key), &value, out, size);
}
