/* SPDX-License-Identifier: Apache-2.0 */

/* The command line of leatd. Options that name a key are settings like --set, so that they are
 * checked, shown and ranked in one place. */
#include "config/arguments.h"

#include <stdarg.h>
#include <stdio.h>

const char config_usage[] =
    "usage: leatd [options]\n"
    "\n"
    "  --config FILE          read a YAML configuration\n"
    "  --data DIR             data.dir: everything the broker keeps (./leat-data)\n"
    "  --listen HOST:PORT     listeners: where clients connect (127.0.0.1:9092)\n"
    "  --shards N             shards: threads that serve; 0 takes what measures best\n"
    "  --io auto|uring|epoll  io.backend: how files and sockets are reached\n"
    "  --set KEY=VALUE        any key; stronger than file and environment; repeatable\n"
    "  --accept-loss          go on, this once, without what is damaged or lost\n"
    "  --check-config [FILE]  report every problem of the configuration and exit\n"
    "  --print-config         print every value with its origin and exit\n"
    "  --config-schema        print a JSON Schema of every key and exit\n"
    "  --version              print the version and exit\n"
    "  --help                 print this and exit\n"
    "\n"
    "Every key can come from the environment: LEAT_ and the name in capitals with '_' for '.',\n"
    "as in LEAT_LOG_RETENTION_MS=7d. Exit status: 0, 1 for failures, 2 for a wrong command\n"
    "line, 74 for damaged data, 75 for a directory or an address in use, 78 for a wrong\n"
    "configuration.\n";

static const struct {
    const char *option, *key;
} key_options[] = {
    {"--data", "data.dir"},
    {"--listen", "listeners"},
    {"--shards", "shards"},
    {"--io", "io.backend"},
};

static void usage_error(struct config_arguments *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void usage_error(struct config_arguments *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(out->buffer, sizeof out->buffer, format, arguments);
    va_end(arguments);
    if (used >= 0 && (size_t)used < sizeof out->buffer) {
        snprintf(out->buffer + used, sizeof out->buffer - (size_t)used,
                 "\nleatd --help lists the options");
    }
    out->action = CONFIG_USAGE;
    out->message = out->buffer;
}

/* Whether `argument` is `option`, alone or as option=value; the value then goes to *value. */
static bool option_is(const char *argument, const char *option, const char **value)
{
    size_t size = strlen(option);
    if (strncmp(argument, option, size) != 0 || (argument[size] && argument[size] != '=')) {
        return false;
    }
    *value = argument[size] ? argument + size + 1 : NULL;
    return true;
}

static void add_setting(struct config_arguments *out, const char *option, const char *key,
                        const char *value)
{
    if (out->setting_count >= CONFIG_SETTINGS_MAX) {
        usage_error(out, "leatd: more than %d settings", CONFIG_SETTINGS_MAX);
        return;
    }
    out->settings[out->setting_count++] = (struct config_setting){option, key, value};
}

/* --set KEY=VALUE */
static void add_pair(struct config_arguments *out, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char quoted[CONFIG_QUOTE_SIZE];
    if (!equals || equals == pair || (size_t)(equals - pair) >= CONFIG_NAME_SIZE) {
        usage_error(out, "leatd: --set takes KEY=VALUE, not '%s'",
                    config_quote(bytes_of_string(pair), quoted));
        return;
    }
    if (out->setting_count < CONFIG_SETTINGS_MAX) {
        char *key = out->keys[out->setting_count];
        memcpy(key, pair, (size_t)(equals - pair));
        key[equals - pair] = 0;
        add_setting(out, "--set", key, equals + 1);
    } else {
        add_setting(out, "--set", "", "");
    }
}

/* What an option with a value asks for; false if there is no such option. */
static bool take_value_option(struct config_arguments *out, const char *argument, const char *value)
{
    const char *inline_value;
    if (option_is(argument, "--config", &inline_value)) {
        out->file = value;
        return true;
    }
    if (option_is(argument, "--set", &inline_value)) {
        add_pair(out, value);
        return true;
    }
    for (size_t i = 0; i < array_size(key_options); i++) {
        if (option_is(argument, key_options[i].option, &inline_value)) {
            add_setting(out, key_options[i].option, key_options[i].key, value);
            return true;
        }
    }
    return false;
}

static bool option_takes_value(const char *argument, const char **inline_value)
{
    bool takes =
        option_is(argument, "--config", inline_value) || option_is(argument, "--set", inline_value);
    for (size_t i = 0; i < array_size(key_options) && !takes; i++) {
        takes = option_is(argument, key_options[i].option, inline_value);
    }
    return takes;
}

/* One option and perhaps its value; returns how many arguments it took. */
static int take_argument(struct config_arguments *out, const char *argument, const char *following)
{
    const char *value = NULL;
    char quoted[CONFIG_QUOTE_SIZE];
    if (option_takes_value(argument, &value)) {
        int taken = value ? 1 : 2;
        value = value ? value : following;
        if (!value) {
            usage_error(out, "leatd: %s needs a value", argument);
        } else {
            bool known = take_value_option(out, argument, value);
            assert(known);
        }
        return taken;
    }
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        out->action = CONFIG_SAY;
        out->message = config_usage;
    } else if (strcmp(argument, "--version") == 0) {
        out->action = CONFIG_SAY;
        out->message = "leatd " LEAT_VERSION;
    } else if (strcmp(argument, "--print-config") == 0) {
        out->action = CONFIG_PRINT;
    } else if (strcmp(argument, "--config-schema") == 0) {
        out->action = CONFIG_SCHEMA;
    } else if (option_is(argument, "--check-config", &value)) {
        out->action = CONFIG_CHECK;
        bool separate = !value && following && following[0] != '-';
        value = separate ? following : value;
        out->file = value ? value : out->file;
        return separate ? 2 : 1;
    } else {
        usage_error(out, "leatd: unknown option '%s'",
                    config_quote(bytes_of_string(argument), quoted));
    }
    return 1;
}

void config_arguments(struct config_arguments *out, int argc, const char *const argv[])
{
    *out = (struct config_arguments){.action = CONFIG_RUN};
    for (int i = 1; i < argc && out->action != CONFIG_USAGE && out->action != CONFIG_SAY;) {
        i += take_argument(out, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
    }
}
