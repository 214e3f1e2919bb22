/* SPDX-License-Identifier: Apache-2.0 */

/* One value: from text to number and back.
 *
 * Numbers may carry a unit. For sizes B, KiB, MiB, GiB, TiB (powers of 1024) and KB, MB, GB, TB
 * (powers of 1000); for durations ms, s, m, h, d, w. A bare number is in bytes, or in
 * milliseconds, as in Kafka. What looks like a unit but can mean two things (1G) is
 * refused with a hint. A ratio is a decimal fraction, kept in millionths. */
#include "config/value.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 1024 };

struct unit {
    const char *name;
    int64_t size;
};

static const struct unit size_units[] = {
    {"TiB", TIB},       {"GiB", GIB},    {"MiB", MIB}, {"KiB", KIB}, {"TB", 1000000000000},
    {"GB", 1000000000}, {"MB", 1000000}, {"KB", 1000}, {"B", 1},
};

static const struct unit time_units[] = {
    {"w", 604800000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

static int refuse(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, CONFIG_WHY_SIZE, format, arguments);
    va_end(arguments);
    return ERR_INVALID_CONFIG;
}

const char *config_quote(struct bytes text, char out[static CONFIG_QUOTE_SIZE])
{
    enum { SHOWN = 60 };
    size_t shown = text.size < SHOWN ? text.size : SHOWN;
    for (size_t i = 0; i < shown; i++) {
        out[i] = text.data[i] < 0x20 || text.data[i] == 0x7f ? '?' : (char)text.data[i];
    }
    snprintf(out + shown, CONFIG_QUOTE_SIZE - shown, "%s", text.size > SHOWN ? "..." : "");
    return out;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The factor of a unit, or 0 with a hint. */
static int64_t unit_size(const struct config_key_info *info, struct bytes unit, char *hint)
{
    const struct unit *units = info->type == CONFIG_TYPE_BYTES ? size_units : time_units;
    size_t count =
        info->type == CONFIG_TYPE_BYTES ? array_size(size_units) : array_size(time_units);
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(unit, bytes_of_string(units[i].name))) {
            return units[i].size;
        }
    }
    if (info->type == CONFIG_TYPE_BYTES) {
        snprintf(hint, CONFIG_WHY_SIZE,
                 "units of size are B, KiB, MiB, GiB, TiB (1024) and KB, "
                 "MB, GB, TB (1000)");
    } else {
        snprintf(hint, CONFIG_WHY_SIZE, "units of time are ms, s, m, h, d, w");
    }
    return 0;
}

/* Digits with an optional sign, then perhaps a unit. */
static int parse_number(const struct config_key_info *info, struct bytes text, int64_t *out,
                        char *why, char *hint)
{
    char quoted[CONFIG_QUOTE_SIZE];
    size_t at = 0;
    bool negative = text.size > 0 && text.data[0] == '-';
    at += negative;
    size_t first = at;
    int64_t number = 0;
    for (; at < text.size && is_digit(text.data[at]); at++) {
        int digit = text.data[at] - '0';
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number)) {
            return refuse(why, "%s is too large", config_quote(text, quoted));
        }
    }
    if (at == first) {
        return refuse(why, "'%s' is not a number", config_quote(text, quoted));
    }
    while (at < text.size && text.data[at] == ' ') {
        at++;
    }
    struct bytes unit = bytes_of(text.data + at, text.size - at);
    if (unit.size > 0) {
        if (info->type == CONFIG_TYPE_INTEGER) {
            return refuse(why, "'%s' is not a whole number", config_quote(text, quoted));
        }
        int64_t factor = unit_size(info, unit, hint);
        if (factor == 0) {
            return refuse(why, "'%s' has an unknown unit", config_quote(text, quoted));
        }
        if (__builtin_mul_overflow(number, factor, &number)) {
            return refuse(why, "%s is too large", config_quote(text, quoted));
        }
    }
    *out = negative ? -number : number;
    return 0;
}

static int parse_bounded(const struct config_key_info *info, struct bytes text, int64_t *out,
                         char *why, char *hint)
{
    struct config_scalar value = {0};
    char shown[CONFIG_QUOTE_SIZE], limit[CONFIG_QUOTE_SIZE];
    int error = parse_number(info, text, &value.number, why, hint);
    if (error) {
        return error;
    }
    config_scalar_pretty(info, &value, shown, sizeof shown);
    if (value.number < info->least) {
        config_scalar_pretty(info, &(struct config_scalar){.number = info->least}, limit,
                             sizeof limit);
        return refuse(why, "%s is below the minimum %s", shown, limit);
    }
    if (value.number > info->most) {
        config_scalar_pretty(info, &(struct config_scalar){.number = info->most}, limit,
                             sizeof limit);
        return refuse(why, "%s is above the maximum %s", shown, limit);
    }
    *out = value.number;
    return 0;
}

/* Digits, and perhaps a point and at most six more. */
static int parse_ratio(const struct config_key_info *info, struct bytes text, int64_t *out,
                       char *why)
{
    char quoted[CONFIG_QUOTE_SIZE], least[CONFIG_QUOTE_SIZE], most[CONFIG_QUOTE_SIZE];
    int64_t number = 0;
    size_t at = 0, digits = 0, places = 0;
    for (bool point = false; at < text.size && digits < 12; at++) {
        if (text.data[at] == '.' && !point && digits > 0) {
            point = true;
        } else if (is_digit(text.data[at])) {
            number = number * 10 + (text.data[at] - '0');
            digits++;
            places += point;
        } else {
            break;
        }
    }
    if (at < text.size || digits == 0 || places > 6 || text.data[text.size - 1] == '.') {
        return refuse(why, "'%s' is not a fraction like 0.5", config_quote(text, quoted));
    }
    for (; places < 6; places++) {
        number *= 10;
    }
    if (number < info->least || number > info->most) {
        config_scalar_format(info, &(struct config_scalar){.number = info->least}, least,
                             sizeof least);
        config_scalar_format(info, &(struct config_scalar){.number = info->most}, most,
                             sizeof most);
        return refuse(why, "%s is not between %s and %s", config_quote(text, quoted), least, most);
    }
    *out = number;
    return 0;
}

static int parse_bool(struct bytes text, int64_t *out, char *why, char *hint)
{
    static const char *const no[] = {"false", "no", "off", "False", "FALSE", "0"};
    static const char *const yes[] = {"true", "yes", "on", "True", "TRUE", "1"};
    char quoted[CONFIG_QUOTE_SIZE];
    for (size_t i = 0; i < array_size(yes); i++) {
        for (int value = 0; value < 2; value++) {
            const char *const *words = value ? yes : no;
            if (bytes_equal(text, bytes_of_string(words[i]))) {
                if (i == 0) {
                    *out = value;
                    return 0;
                }
                snprintf(hint, CONFIG_WHY_SIZE, "write %s", words[0]);
            }
        }
    }
    return refuse(why, "'%s' is neither true nor false", config_quote(text, quoted));
}

struct bytes config_choice(const char *choices, size_t index)
{
    assert(choices);
    const char *at = choices;
    for (; index > 0 && at; index--) {
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    return at ? bytes_of(at, strcspn(at, "|")) : (struct bytes){0};
}

/* Why a choice that Kafka has is not one here. */
static const char *refused_choice(const struct config_key_info *info, struct bytes text)
{
    if (info == config_key_info(CONFIG_COMPRESSION_TYPE)) {
        return "batches are kept as they were sent, only producer is accepted";
    }
    return NULL;
}

/* A list in Kafka: its items in any order, each any number of times. -1: something else is in it. */
static int64_t cleanup_policy(struct bytes text)
{
    unsigned seen = 0; /* 1 delete, 2 compact */
    for (size_t at = 0; at <= text.size;) {
        const uint8_t *comma = at < text.size ? memchr(text.data + at, ',', text.size - at) : NULL;
        size_t end = comma ? (size_t)(comma - text.data) : text.size, next = end + 1;
        while (at < end && text.data[at] == ' ') {
            at++;
        }
        while (end > at && text.data[end - 1] == ' ') {
            end--;
        }
        struct bytes item = bytes_of(text.data + at, end - at);
        unsigned bit = bytes_equal(item, bytes_of_string("delete"))    ? 1
                       : bytes_equal(item, bytes_of_string("compact")) ? 2
                                                                       : 0;
        if (bit == 0) {
            return -1;
        }
        seen |= bit;
        at = next;
    }
    assert(seen >= 1 && seen <= 3);
    return (int64_t[]){TOPIC_CLEANUP_DELETE, TOPIC_CLEANUP_COMPACT, TOPIC_CLEANUP_BOTH}[seen - 1];
}

static int parse_choice(const struct config_key_info *info, struct bytes text, int64_t *out,
                        char *why)
{
    if (info == config_key_info(CONFIG_LOG_CLEANUP_POLICY) && cleanup_policy(text) >= 0) {
        *out = cleanup_policy(text);
        return 0;
    }
    char quoted[CONFIG_QUOTE_SIZE], list[CONFIG_QUOTE_SIZE] = "";
    size_t used = 0;
    for (size_t i = 0;; i++) {
        struct bytes choice = config_choice(info->choices, i);
        if (choice.size == 0) {
            break;
        }
        if (bytes_equal(text, choice)) {
            *out = (int64_t)i;
            return 0;
        }
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s", i ? ", " : "",
                                 (int)choice.size, (const char *)choice.data);
        assert(used < sizeof list);
    }
    const char *refusal = refused_choice(info, text);
    if (refusal) {
        return refuse(why, "%s: %s", config_quote(text, quoted), refusal);
    }
    return refuse(why, "'%s' is not one of: %s", config_quote(text, quoted), list);
}

static int check_text(struct bytes text, char *why)
{
    if (text.size > TEXT_MAX) {
        return refuse(why, "the text is longer than %d bytes", TEXT_MAX);
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return refuse(why, "the text holds a control character");
        }
    }
    return 0;
}

int config_item_check(const struct config_key_info *info, struct bytes item, char *why)
{
    int64_t place;
    if (item.size == 0) {
        return refuse(why, "an item is empty");
    }
    return info->choices ? parse_choice(info, item, &place, why) : check_text(item, why);
}

int config_scalar_parse(const struct config_key_info *info, struct bytes text,
                        struct config_scalar *out, char *why, char *hint)
{
    *why = *hint = 0;
    switch (info->type) {
    case CONFIG_TYPE_BOOL:
        return parse_bool(text, &out->number, why, hint);
    case CONFIG_TYPE_INTEGER:
    case CONFIG_TYPE_BYTES:
    case CONFIG_TYPE_DURATION:
        return parse_bounded(info, text, &out->number, why, hint);
    case CONFIG_TYPE_RATIO:
        return parse_ratio(info, text, &out->number, why);
    case CONFIG_TYPE_CHOICE:
        return parse_choice(info, text, &out->number, why);
    case CONFIG_TYPE_TEXT:
    case CONFIG_TYPE_ITEMS:
    case CONFIG_TYPE_LISTENERS:
        return check_text(text, why);
    }
    return ERR_INVALID_CONFIG;
}

void config_scalar_format(const struct config_key_info *info, const struct config_scalar *value,
                          char *out, size_t size)
{
    if (info->type == CONFIG_TYPE_BOOL) {
        snprintf(out, size, "%s", value->number ? "true" : "false");
    } else if (info->type == CONFIG_TYPE_CHOICE) {
        struct bytes choice = config_choice(info->choices, (size_t)value->number);
        snprintf(out, size, "%.*s", (int)choice.size, (const char *)choice.data);
    } else if (info->type == CONFIG_TYPE_RATIO) {
        char places[8];
        snprintf(places, sizeof places, "%06lld", (long long)(value->number % 1000000));
        size_t shown = 6;
        while (shown > 1 && places[shown - 1] == '0') {
            shown--;
        }
        snprintf(out, size, "%lld.%.*s", (long long)(value->number / 1000000), (int)shown, places);
    } else {
        snprintf(out, size, "%lld", (long long)value->number);
    }
}

void config_scalar_pretty(const struct config_key_info *info, const struct config_scalar *value,
                          char *out, size_t size)
{
    int64_t number = value->number;
    bool sizes = info->type == CONFIG_TYPE_BYTES;
    if ((!sizes && info->type != CONFIG_TYPE_DURATION) || number <= 0) {
        config_scalar_format(info, value, out, size);
        return;
    }
    const struct unit *units = sizes ? size_units : time_units;
    size_t count = sizes ? 4 : array_size(time_units); /* sizes by powers of 1024 alone */
    for (size_t i = 0; i < count; i++) {
        if (number % units[i].size == 0) {
            snprintf(out, size, "%lld%s", (long long)(number / units[i].size), units[i].name);
            return;
        }
    }
    config_scalar_format(info, value, out, size);
}

int config_value_normal(enum config_key key, struct bytes value, char *out, size_t size,
                        char why[static CONFIG_WHY_SIZE])
{
    const struct config_key_info *info = config_key_info(key);
    struct config_scalar scalar = {0};
    char hint[CONFIG_WHY_SIZE];
    assert(info->type <= CONFIG_TYPE_CHOICE && info->type != CONFIG_TYPE_TEXT);
    int error = config_scalar_parse(info, value, &scalar, why, hint);
    if (!error) {
        config_scalar_format(info, &scalar, out, size);
    }
    return error;
}

bool config_value_number(enum config_key key, struct bytes value, int64_t *out)
{
    struct config_scalar scalar = {0};
    char why[CONFIG_WHY_SIZE], hint[CONFIG_WHY_SIZE];
    if (config_scalar_parse(config_key_info(key), value, &scalar, why, hint) != 0) {
        return false;
    }
    *out = scalar.number;
    return true;
}
