/* SPDX-License-Identifier: Apache-2.0 */

/* Private to config: single values, key names, and what Kafka calls things. */
#pragma once

#include "config/config.h"

/* What a text means for a key of a scalar type. */
struct config_scalar {
    int64_t number; /* BOOL, numbers, the place among the choices */
};

/* Reads `text` as a value of `info`: 0, or ERR_INVALID_CONFIG with a sentence in `why` and a hint
 * (or nothing) in `hint`, both of CONFIG_WHY_SIZE bytes. For TEXT and the lists only the form is
 * checked. */
int config_scalar_parse(const struct config_key_info *info, struct bytes text,
                        struct config_scalar *out, char *why, char *hint) MUST_CHECK;

/* One item of ITEMS, in the same manner. */
int config_item_check(const struct config_key_info *info, struct bytes item, char *why) MUST_CHECK;

/* A number as DescribeConfigs shows it (bare), and as a person writes it (1GiB, 7d). */
void config_scalar_format(const struct config_key_info *info, const struct config_scalar *value,
                          char *out, size_t size);
void config_scalar_pretty(const struct config_key_info *info, const struct config_scalar *value,
                          char *out, size_t size);

/* The i-th of choices separated by '|', or empty bytes behind the last. */
struct bytes config_choice(const char *choices, size_t index);

/* The key that `name` is probably meant to be, or NULL. */
const char *config_key_nearest(struct bytes name);

/* Whether some key, or one of Kafka's that is known, starts with `path` and a dot. */
bool config_key_is_prefix(struct bytes path);

/* Whether the environment variable `name` (without LEAT_) is the key. */
bool config_key_matches_variable(enum config_key key, struct bytes name);

/* What is known of a key of Kafka that is not ours. */
struct config_foreign {
    const char *name; /* ends with '.': all keys that begin so */
    bool harmless;    /* ignored with a note; otherwise an error */
    const char *text;
};

/* NULL if nothing is known of the name. */
const struct config_foreign *config_foreign_find(struct bytes name);

/* A key of Kafka's topics that is accepted and not kept. */
struct topic_ignored {
    const char *name, *text;
};

/* NULL behind the last. */
const struct config_foreign *config_foreign_at(size_t index);
const struct topic_ignored *topic_ignored_at(size_t index);

/* Copies at most 60 characters of outside text so that it can stand in a message. */
enum { CONFIG_QUOTE_SIZE = 80 };
const char *config_quote(struct bytes text, char out[static CONFIG_QUOTE_SIZE]);
