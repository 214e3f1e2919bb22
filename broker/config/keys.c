/* SPDX-License-Identifier: Apache-2.0 */

/* Looking up keys by name, by variable and by what they were probably meant to be. The tables are
 * short and read at start and by admin requests only, so that all searches are linear. */
#include "config/value.h"

enum { NAME_MAX_COMPARED = 64 }; /* longer names are not typing errors of ours */

static const struct config_key_info key_infos[] = {
#define KEY_INFO(id, name, type, standard, least, most, choices, flags, text)                      \
    [CONFIG_##id] = {name, CONFIG_TYPE_##type, standard, least, most, choices, flags, text},
    CONFIG_KEYS(KEY_INFO)
#undef KEY_INFO
};

static const struct topic_key_info topic_infos[] = {
#define TOPIC_INFO(id, name, broker_key, flags, text)                                              \
    [TOPIC_##id] = {name, CONFIG_##broker_key, flags, text},
    TOPIC_KEYS(TOPIC_INFO)
#undef TOPIC_INFO
};

static_assert(array_size(key_infos) == CONFIG_KEY_COUNT, "every key has its entry");
static_assert(array_size(topic_infos) == TOPIC_KEY_COUNT, "every topic key has its entry");

const struct config_key_info *config_key_info(enum config_key key)
{
    assert((size_t)key < array_size(key_infos));
    return &key_infos[key];
}

const struct topic_key_info *topic_key_info(enum topic_key key)
{
    assert((size_t)key < array_size(topic_infos));
    return &topic_infos[key];
}

int config_key_find(struct bytes name)
{
    for (size_t i = 0; i < array_size(key_infos); i++) {
        if (bytes_equal(name, bytes_of_string(key_infos[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

int topic_key_find(struct bytes name)
{
    for (size_t i = 0; i < array_size(topic_infos); i++) {
        if (bytes_equal(name, bytes_of_string(topic_infos[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

int8_t config_key_kafka_type(enum config_key key)
{
    const struct config_key_info *info = config_key_info(key);
    switch (info->type) {
    case CONFIG_TYPE_BOOL:
        return 1;
    case CONFIG_TYPE_INTEGER:
    case CONFIG_TYPE_BYTES:
    case CONFIG_TYPE_DURATION:
        return info->most <= INT32_MAX ? 3 : 5;
    case CONFIG_TYPE_RATIO:
        return 6;
    case CONFIG_TYPE_TEXT:
        return 2;
    case CONFIG_TYPE_CHOICE:
        return key == CONFIG_LOG_CLEANUP_POLICY ? 7 : 2; /* a list in Kafka */
    case CONFIG_TYPE_ITEMS:
    case CONFIG_TYPE_LISTENERS:
        return 7;
    }
    return 0;
}

static bool name_continues(const char *name, struct bytes path)
{
    return strlen(name) > path.size && name[path.size] == '.' &&
           memcmp(name, path.data, path.size) == 0;
}

bool config_key_is_prefix(struct bytes path)
{
    for (size_t i = 0; i < array_size(key_infos); i++) {
        if (name_continues(key_infos[i].name, path)) {
            return true;
        }
    }
    for (size_t i = 0; config_foreign_at(i); i++) {
        if (name_continues(config_foreign_at(i)->name, path)) {
            return true;
        }
    }
    return false;
}

bool config_key_matches_variable(enum config_key key, struct bytes name)
{
    const char *own = config_key_info(key)->name;
    if (strlen(own) != name.size) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        char c = own[i];
        c = c == '.' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        if ((char)name.data[i] != c) {
            return false;
        }
    }
    return true;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, change, exchange of neighbours) that make `a` into `b`:
 * Damerau-Levenshtein in its restricted form, with three rows. */
static size_t edit_distance(struct bytes a, struct bytes b)
{
    assert(a.size <= NAME_MAX_COMPARED && b.size <= NAME_MAX_COMPARED);
    size_t rows[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= b.size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t change = above[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            row[j] = least_of(change, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                row[j] = least_of(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a.size % 3][b.size];
}

const char *config_key_nearest(struct bytes name)
{
    if (name.size == 0 || name.size > NAME_MAX_COMPARED) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t nearest_distance = name.size / 4 + 2;
    for (size_t i = 0; i < array_size(key_infos); i++) {
        struct bytes own = bytes_of_string(key_infos[i].name);
        if (own.size <= NAME_MAX_COMPARED) {
            size_t distance = edit_distance(name, own);
            if (distance < nearest_distance) {
                nearest = key_infos[i].name;
                nearest_distance = distance;
            }
        }
    }
    return nearest;
}
