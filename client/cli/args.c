/* SPDX-License-Identifier: Apache-2.0 */

/* Arguments: letters may be clustered (-Ce), values attached (-tTOPIC, --name=value) or follow. A
 * command's table is asked first, so that -c can be a count here and a context there. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GLOBAL_BROKERS = 10000,
    GLOBAL_CONTEXT,
    GLOBAL_PROPERTY,
    GLOBAL_FILE,
    GLOBAL_TIMEOUT,
    GLOBAL_QUIET,
    GLOBAL_VERBOSE,
    GLOBAL_OUTPUT,
    GLOBAL_NO_COLOR,
    GLOBAL_HELP,
};

const struct cli_flag cli_global_flags[] = {
    {GLOBAL_BROKERS, 'b', "brokers", "HOST:PORT,...", "or LEAT_BROKERS; default 127.0.0.1:9092"},
    {GLOBAL_BROKERS, 0, "bootstrap-server", "LIST", NULL},
    {GLOBAL_CONTEXT, 'c', "context", "NAME", "properties saved under this name (leat context)",
     NULL, "@context"},
    {GLOBAL_PROPERTY, 'X', "property", "KEY=VALUE",
     "any option, by its name in librdkafka or Java"},
    {GLOBAL_FILE, 'F', "config", "FILE", "a file of them, one a line"},
    {GLOBAL_TIMEOUT, 0, "timeout", "5s", "of the whole command; else 5s for each answer"},
    {GLOBAL_OUTPUT, 0, "output", "FORMAT", "table, json or yaml", NULL, "table json yaml"},
    {GLOBAL_QUIET, 'q', "quiet", NULL, "say nothing but errors"},
    {GLOBAL_VERBOSE, 'v', "verbose", NULL, "say more"},
    {GLOBAL_NO_COLOR, 0, "no-color", NULL, NULL},
    {GLOBAL_HELP, 'h', "help", NULL, "this page"},
    {0},
};

/* The command's own flags come first. */
static const struct cli_flag *flag_find(const struct args *a, char letter, const char *name,
                                        size_t size)
{
    const struct cli_flag *const tables[] = {a->flags, cli_global_flags};
    for (size_t i = 0; i < 2; i++) {
        for (const struct cli_flag *f = tables[i]; f && f->id; f++) {
            bool same = name
                            ? f->name && strlen(f->name) == size && memcmp(f->name, name, size) == 0
                            : f->letter == letter;
            if (same && args_flag_known(f, i == 0 ? a->action : NULL)) {
                return f;
            }
        }
    }
    return NULL;
}

static _Noreturn void args_unknown(const struct args *a)
{
    if (!a->command && a->flag[1] != '-' && !kcat_meant(a->argc, a->argv)) {
        cli_usage(
            "%s is not known in front of a command (kcat's lines begin with -P, -C, -L, -Q or "
            "-G): see leat help",
            a->flag);
    }
    if (!a->command) {
        cli_usage("%s is not known here: see leat help", a->flag);
    }
    cli_usage("%s is not known here: see leat %s%s%s --help", a->flag, a->command->name,
              a->action ? " " : "", a->action ? a->action->name : "");
}

static void args_value(struct args *a, const struct cli_flag *flag, const char *attached)
{
    a->value = NULL;
    if (!flag->argument) {
        if (attached && *attached) {
            cli_usage("%s takes no value", a->flag);
        }
        return;
    }
    if (attached && *attached) {
        a->value = attached;
    } else if (a->at < a->argc) {
        a->value = a->argv[a->at++];
    } else {
        cli_usage("%s needs a value", a->flag);
    }
}

static const struct cli_flag *args_long(struct args *a, const char *text)
{
    size_t size = strcspn(text, "=");
    snprintf(a->spelled, sizeof a->spelled, "--%.*s", (int)(size < 60 ? size : 60), text);
    a->flag = a->spelled;
    const struct cli_flag *flag = flag_find(a, 0, text, size);
    if (!flag) {
        args_unknown(a);
    }
    if (text[size] == '=' && flag->argument) {
        a->value = text + size + 1;
    } else {
        args_value(a, flag, text[size] == '=' ? text + size + 1 : NULL);
    }
    return flag;
}

static const struct cli_flag *args_letter(struct args *a)
{
    char letter = *a->cluster++;
    snprintf(a->spelled, sizeof a->spelled, "-%c", letter);
    a->flag = a->spelled;
    const struct cli_flag *flag = flag_find(a, letter, NULL, 0);
    if (!flag) {
        args_unknown(a);
    }
    if (flag->argument) {
        args_value(a, flag, a->cluster);
        a->cluster = NULL;
    } else {
        a->value = NULL;
    }
    if (a->cluster && !*a->cluster) {
        a->cluster = NULL;
    }
    return flag;
}

static void args_global(struct args *a, struct cli *cli, int id)
{
    switch (id) {
    case GLOBAL_BROKERS:
        cli->brokers = a->value;
        break;
    case GLOBAL_PROPERTY:
        cli_property(cli, a->value);
        break;
    case GLOBAL_FILE:
        cli_properties(cli, a->value, false);
        break;
    case GLOBAL_TIMEOUT:
        cli->options.timeout_ms = (int32_t)args_duration_ms(a);
        cli_limit(cli->options.timeout_ms, a->value);
        break;
    case GLOBAL_QUIET:
        cli->quiet = true;
        break;
    case GLOBAL_VERBOSE:
        cli->verbose++;
        break;
    case GLOBAL_OUTPUT:
        if (strcmp(a->value, "table") == 0 || strcmp(a->value, "wide") == 0) {
            cli->output = OUTPUT_TABLE;
        } else if (strcmp(a->value, "json") == 0) {
            cli->output = OUTPUT_JSON;
        } else if (strcmp(a->value, "yaml") == 0) {
            cli->output = OUTPUT_YAML;
        } else {
            cli_usage("--output is table, json or yaml, not '%s'", a->value);
        }
        break;
    case GLOBAL_HELP:
        if (a->command) {
            cli_help_command(stdout, a->command, a->action);
        } else {
            cli_help(stdout);
        }
        exit(EXIT_DONE);
    default:
        break;
    }
}

/* Takes a word as the action if the command still waits for one. */
static bool args_take_action(struct args *a, const char *word)
{
    if (!a->command || !a->command->actions || a->action) {
        return false;
    }
    for (const struct cli_action *one = a->command->actions; one->name; one++) {
        if (strcmp(one->name, word) == 0) {
            a->action = one;
            return true;
        }
    }
    (void)args_action(a);
    return false;
}

int args_action(const struct args *a)
{
    char list[256] = "";
    size_t used = 0;
    if (a->action) {
        return a->action->id;
    }
    for (const struct cli_action *one = a->command->actions; one->name && used < 200; one++) {
        const char *between = one == a->command->actions      ? ""
                              : one[1].name && one[1].summary ? ", "
                                                              : " or ";
        if (one->summary) {
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%.20s", between, one->name);
        }
    }
    cli_usage("%s %s? (leat %s --help)", a->command->name, list, a->command->name);
}

int args_next(struct args *a, struct cli *cli)
{
    for (;;) {
        const struct cli_flag *flag;
        if (a->cluster) {
            flag = args_letter(a);
        } else if (a->at >= a->argc) {
            return ARG_END;
        } else {
            const char *text = a->argv[a->at++];
            if (a->words || text[0] != '-' || !text[1]) {
                if (args_take_action(a, text)) {
                    continue;
                }
                a->value = text;
                return ARG_WORD;
            }
            if (strcmp(text, "--") == 0) {
                a->words = true;
                continue;
            }
            if (text[1] == '-') {
                flag = args_long(a, text + 2);
            } else {
                a->cluster = text + 1;
                flag = args_letter(a);
            }
        }
        if (flag->id < GLOBAL_BROKERS) {
            return flag->id;
        }
        args_global(a, cli, flag->id);
    }
}

long long args_number(const struct args *a, long long min, long long max)
{
    char *end;
    errno = 0;
    long long number = strtoll(a->value, &end, 10);
    bool wrong = end == a->value || *end || errno || number < min || number > max;
    if (wrong && max == INT64_MAX) {
        cli_usage("%s: '%s' is not a number from %lld on", a->flag, a->value, min);
    }
    if (wrong) {
        cli_usage("%s: '%s' is not a number from %lld to %lld", a->flag, a->value, min, max);
    }
    return number;
}

long long args_duration_ms(const struct args *a)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}};
    char *end;
    double number = strtod(a->value, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units && end != a->value; i++) {
        double ms = number * units[i].ms;
        if (strcmp(end, units[i].unit) == 0 && ms >= 1 && ms <= INT32_MAX) {
            return (long long)ms;
        }
    }
    cli_usage("%s: '%s' is not a duration: 5s, 100ms, 2m", a->flag, a->value);
}

/* What librdkafka's configuration files set and what has no meaning here, or (groups) only together with
 * flags: accepted, so that such a file is. */
static bool property_without_effect(const char *name)
{
    static const char *const names[] = {
        "api.version.fallback.ms",
        "api.version.request",
        "api.version.request.timeout.ms",
        "auto.commit.enable",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "broker.version.fallback",
        "client.software.name",
        "client.software.version",
        "consume.callback.max.messages",
        "debug",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.gapless.guarantee",
        "enable.partition.eof",
        "enable.random.seed",
        "fetch.error.backoff.ms",
        "group.instance.id",
        "group.id",
        "group.protocol.type",
        "heartbeat.interval.ms",
        "internal.termination.signal",
        "log.connection.close",
        "log.queue",
        "log.thread.name",
        "log_level",
        "max.poll.interval.ms",
        "message.copy.max.bytes",
        "offset.store.method",
        "partition.assignment.strategy",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "session.timeout.ms",
        "socket.keepalive.enable",
        "socket.max.fails",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "statistics.interval.ms",
        "topic.metadata.propagation.max.ms",
        "topic.metadata.refresh.fast.interval.ms",
        "topic.metadata.refresh.sparse",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void cli_property(struct cli *cli, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals) {
        cli_usage("-X %s: expected key=value", text);
    }
    char *name = cli_copy(text, (size_t)(equals - text));
    const char *value = equals + 1;
    leat_error e;
    if (strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0 ||
        strcmp(name, "brokers") == 0) {
        cli->brokers = cli_copy(value, strlen(value));
        free(name);
        return;
    }
    const char *plain = strncmp(name, "topic.", 6) == 0 && strcmp(name, "topic.metadata.refresh."
                                                                        "interval.ms") != 0
                            ? name + 6
                            : name;
    int found = 0, failed = 0;
    int results[3] = {leat_options_set(&cli->options, plain, value, &e),
                      leat_producer_options_set(&cli->producer, plain, value, &e),
                      leat_consumer_options_set(&cli->consumer, plain, value, &e)};
    for (int i = 0; i < 3; i++) {
        found += results[i] != LEAT_ERR_NOT_FOUND;
        failed += results[i] != LEAT_ERR_NOT_FOUND && results[i] != 0;
    }
    if (failed) {
        /* The message that counts is that of the one which knows the name. */
        (void)(results[0] && results[0] != LEAT_ERR_NOT_FOUND
                   ? leat_options_set(&cli->options, plain, value, &e)
               : results[1] && results[1] != LEAT_ERR_NOT_FOUND
                   ? leat_producer_options_set(&cli->producer, plain, value, &e)
                   : leat_consumer_options_set(&cli->consumer, plain, value, &e));
        cli_usage("-X %s", e.message);
    }
    if (!found && !property_without_effect(name)) {
        cli_usage("-X %s: there is no such property", name);
    }
    free(name);
}

void cli_properties(struct cli *cli, const char *path, bool optional)
{
    FILE *file = fopen(path, "r");
    char line[4096];
    if (!file && optional) {
        return;
    }
    if (!file) {
        cli_usage("-F %s: %s", path, strerror(errno));
    }
    while (fgets(line, sizeof line, file)) {
        char *start = line + strspn(line, " \t");
        start[strcspn(start, "\r\n")] = 0;
        if (*start && *start != '#') {
            cli_property(cli, start);
        }
    }
    fclose(file);
}
