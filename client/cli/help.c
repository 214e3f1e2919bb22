/* SPDX-License-Identifier: Apache-2.0 */

/* Help, made from the tables: one screen of everything, a page for a command and for an action. */
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

enum { FLAG_COLUMN = 32 };

void cli_help(FILE *out)
{
    fputs("usage: leat [-b HOST:PORT,...] COMMAND ...\n\n", out);
    for (size_t i = 0; cli_commands[i]; i++) {
        const struct cli_command *c = cli_commands[i];
        if (!c->summary) {
            continue; /* for completion scripts, not for people */
        }
        int used = fprintf(out, "  %s%s%s", c->name, *c->words ? " " : "", c->words);
        fprintf(out, "%*s%s\n", used < FLAG_COLUMN ? FLAG_COLUMN - used : 1, "", c->summary);
        if (!c->actions) {
            continue;
        }
        fprintf(out, "%*s", FLAG_COLUMN, "");
        for (const struct cli_action *a = c->actions; a->name; a++) {
            if (a->summary) {
                fprintf(out, "%s%s", a == c->actions ? "" : " | ", a->name);
            }
        }
        fputc('\n', out);
    }
    fputs("\n"
          "  leat COMMAND --help and leat COMMAND ACTION --help say more, leat cheat shows "
          "examples.\n"
          "\n"
          "  -b, --brokers LIST   or LEAT_BROKERS; default 127.0.0.1:9092\n"
          "  -X key=value         any option, by its name in librdkafka or Java;  -F FILE of them\n"
          "  --timeout 5s   --output table|json|yaml   --context NAME   -q   -v\n"
          "\n"
          "kcat's command lines work as they are: leat -P|-C|-L|-Q|-G -b ... -t TOPIC ...\n"
          "status: 0 done, 1 failed, 2 usage, 3 time over, 4 not found, 130 Ctrl-C\n",
          out);
}

bool args_flag_known(const struct cli_flag *f, const struct cli_action *action)
{
    size_t size = action ? strlen(action->name) : 0;
    for (const char *p = action ? f->actions : NULL; p && *p;
         p += strcspn(p, " "), p += *p == ' ') {
        if (strncmp(p, action->name, size) == 0 && (p[size] == ' ' || !p[size])) {
            return true;
        }
    }
    return !action || !f->actions;
}

static bool letter_taken(const struct cli_flag *flags, const struct cli_action *action, char letter)
{
    for (; flags && flags->id; flags++) {
        if (flags->letter == letter && args_flag_known(flags, action)) {
            return true;
        }
    }
    return false;
}

/* `owner`: whose letters go before those of `flags`, or NULL. Other spellings are not shown. */
static void help_flags(FILE *out, const struct cli_flag *flags, const struct cli_action *action,
                       const struct cli_flag *owner)
{
    for (const struct cli_flag *f = flags; f && f->id; f++) {
        if (!f->help || !args_flag_known(f, owner ? NULL : action)) {
            continue;
        }
        bool letter = f->letter && !letter_taken(owner, action, f->letter);
        int used = fprintf(out,
                           letter && f->name ? "  -%c, "
                           : letter          ? "  -%c"
                                             : "      ",
                           f->letter);
        used += f->name ? fprintf(out, "--%s", f->name) : 0;
        used += f->argument ? fprintf(out, " %s", f->argument) : 0;
        fprintf(out, "%*s%s", used < FLAG_COLUMN ? FLAG_COLUMN - used : 1, "", f->help);
        if (!action && f->actions) {
            fprintf(out, " (%s)", f->actions);
        }
        fputc('\n', out);
    }
}

void cli_help_command(FILE *out, const struct cli_command *c, const struct cli_action *action)
{
    const char *words = action ? action->words : c->words;
    fprintf(out, "usage: leat %s%s%s%s%s [flags]\n\n%s\n", c->name, action ? " " : "",
            action ? action->name : "", *words ? " " : "", words,
            action       ? action->summary
            : c->summary ? c->summary
                         : "");
    if (c->actions && !action) {
        fputc('\n', out);
        for (const struct cli_action *a = c->actions; a->name; a++) {
            if (!a->summary) {
                continue; /* another name */
            }
            int used = fprintf(out, "  %s%s%s", a->name, *a->words ? " " : "", a->words);
            fprintf(out, "%*s%s\n", used < FLAG_COLUMN ? FLAG_COLUMN - used : 1, "", a->summary);
        }
    }
    if (c->flags && c->flags->id) {
        fputc('\n', out);
        help_flags(out, c->flags, action, NULL);
    }
    if (c->more) {
        fprintf(out, "\n%s", c->more);
    }
    fputs("\nEvery command:\n", out);
    help_flags(out, cli_global_flags, action, c->flags);
}

static int help_run(struct cli *cli, struct args *a)
{
    const struct cli_command *found = NULL;
    const struct cli_action *action = NULL;
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        if (!found) {
            found = cli_command_find(a->value);
            if (!found) {
                cli_usage("there is no command '%s': see leat help", a->value);
            }
            continue;
        }
        if (action) {
            cli_usage("help takes a command and an action, no '%s'", a->value);
        }
        for (const struct cli_action *one = found->actions; one && one->name; one++) {
            action = strcmp(one->name, a->value) == 0 ? one : action;
        }
        if (!action) {
            cli_usage("%s has no '%s': see leat %s --help", found->name, a->value, found->name);
        }
    }
    if (found) {
        cli_help_command(stdout, found, action);
    } else {
        cli_help(stdout);
    }
    return EXIT_DONE;
}

static int version_run(struct cli *cli, struct args *a)
{
    while (args_next(a, cli) != ARG_END) {
        cli_usage("version takes no '%s'", a->value);
    }
    if (!output_done(cli, json_pack("{s:s}", "version", leat_version()))) {
        printf("leat %s\n", leat_version());
    }
    return EXIT_DONE;
}

static const struct cli_flag none[] = {{0}};

const struct cli_command command_help = {.name = "help",
                                         .words = "[COMMAND [ACTION]]",
                                         .summary = "this page, or that of a command",
                                         .flags = none,
                                         .run = help_run};

const struct cli_command command_version = {
    .name = "version", .words = "", .summary = "leat's version", .flags = none, .run = version_run};
