/* SPDX-License-Identifier: Apache-2.0 */

/* leat completion bash|zsh|fish prints a script that asks `leat __complete WORDS...` for what may stand
 * in the place of the last word. Names of topics and groups come from the live broker, which has
 * 300 ms: whoever waits at a prompt would rather type. */
#include "cli/cli.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { BROKER_MS = 300 };

static const char script_bash[] =
    "_leat() {\n"
    "    local IFS=$'\\n' last=\"${COMP_WORDS[COMP_CWORD]}\"\n"
    "    COMPREPLY=($(leat __complete \"${COMP_WORDS[@]:1:COMP_CWORD-1}\" \"$last\" 2>/dev/null))\n"
    "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
    "}\n"
    "complete -o default -F _leat leat\n";

static const char script_zsh[] =
    "#compdef leat\n"
    "_leat() {\n"
    "    local -a found\n"
    "    found=(\"${(@f)$(leat __complete \"${(@)words[2,CURRENT-1]}\" \"$words[CURRENT]\" "
    "2>/dev/null)}\")\n"
    "    if [[ -n \"$found\" ]]; then compadd -- $found; else _files; fi\n"
    "}\n"
    "compdef _leat leat\n";

static const char script_fish[] = "function __leat_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    leat __complete $words[2..-1] 2>/dev/null\n"
                                  "end\n"
                                  "complete -c leat -a '(__leat_complete)'\n";

static const struct cli_flag none[] = {{0}};

static int completion_run(struct cli *cli, struct args *a)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", script_bash}, {"zsh", script_zsh}, {"fish", script_fish}};
    const char *shell = NULL;
    while (args_next(a, cli) != ARG_END) {
        shell = a->value;
    }
    for (size_t i = 0; shell && i < sizeof scripts / sizeof *scripts; i++) {
        if (strcmp(scripts[i].shell, shell) == 0) {
            fputs(scripts[i].script, stdout);
            return EXIT_DONE;
        }
    }
    cli_usage("completion for bash, zsh or fish?");
}

const struct cli_command command_completion = {
    .name = "completion",
    .words = "bash|zsh|fish",
    .summary = "prints a script for your shell",
    .flags = none,
    .run = completion_run,
    .more = "For bash:  leat completion bash > /etc/bash_completion.d/leat, or in ~/.bashrc:\n"
            "           source <(leat completion bash)\n",
    .values = "bash zsh fish",
};

/* --- candidates ------------------------------------------------------------------------------------- */

struct completing {
    struct cli *cli;
    const char *last; /* what is being typed */
    const struct cli_command *command;
    const struct cli_action *action;
    bool help; /* the command was asked about: leat help COMMAND ACTION */
};

static void offer(const struct completing *c, const char *word)
{
    if (strncmp(word, c->last, strlen(c->last)) == 0) {
        puts(word);
    }
}

static void offer_topics(const struct completing *c)
{
    leat_meta *meta;
    if (leat_metadata(c->cli->client, NULL, &meta, NULL)) {
        return;
    }
    for (size_t i = 0; i < meta->topic_count; i++) {
        if (!meta->topics[i]->internal || *c->last == '_') {
            offer(c, meta->topics[i]->name);
        }
    }
    leat_meta_free(meta);
}

static void offer_groups(const struct completing *c)
{
    leat_groups *groups;
    if (leat_group_list(c->cli->client, &groups, NULL)) {
        return;
    }
    for (size_t i = 0; i < groups->count; i++) {
        offer(c, groups->groups[i]->name);
    }
    leat_groups_free(groups);
}

/* The nodes that vote, or that only follow the metadata. */
static void offer_replicas(const struct completing *c, bool voters)
{
    leat_quorum *quorum;
    if (leat_quorum_get(c->cli->client, &quorum, NULL)) {
        return;
    }
    for (size_t i = 0; i < quorum->replica_count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", (int)quorum->replicas[i]->id);
        if (quorum->replicas[i]->voter == voters) {
            offer(c, number);
        }
    }
    leat_quorum_free(quorum);
}

/* The keys of a topic's configuration, as the broker's first topic has them. */
static void offer_topic_configs(const struct completing *c)
{
    leat_meta *meta;
    leat_configs *configs;
    if (leat_metadata(c->cli->client, NULL, &meta, NULL)) {
        return;
    }
    if (meta->topic_count && !leat_configs_get(c->cli->client, LEAT_RESOURCE_TOPIC,
                                               meta->topics[0]->name, &configs, NULL)) {
        for (size_t i = 0; i < configs->count; i++) {
            char key[128];
            snprintf(key, sizeof key, "%.120s=", configs->entries[i]->name);
            offer(c, key);
        }
        leat_configs_free(configs);
    }
    leat_meta_free(meta);
}

static void offer_contexts(const struct completing *c)
{
    char *directory = context_directory(false);
    DIR *opened = directory ? opendir(directory) : NULL;
    const struct dirent *entry;
    while (opened && (entry = readdir(opened))) {
        if (entry->d_name[0] != '.') {
            offer(c, entry->d_name);
        }
    }
    if (opened) {
        closedir(opened);
    }
    free(directory);
}

static void offer_values(const struct completing *c, const char *values)
{
    if (!values || !*values) {
        return;
    }
    if (strcmp(values, "@context") == 0) {
        offer_contexts(c);
        return;
    }
    if (*values == '@') {
        cli_limit(BROKER_MS, "completion");
        c->cli->options.timeout_ms = BROKER_MS;
        c->cli->options.connect_timeout_ms = BROKER_MS;
        cli_connect(c->cli);
        if (strcmp(values, "@topic") == 0) {
            offer_topics(c);
        } else if (strcmp(values, "@topic-config") == 0) {
            offer_topic_configs(c);
        } else if (strcmp(values, "@voter") == 0 || strcmp(values, "@observer") == 0) {
            offer_replicas(c, values[1] == 'v');
        } else {
            offer_groups(c);
        }
        return;
    }
    char *list = cli_copy(values, strlen(values)), *keep = NULL;
    for (char *word = strtok_r(list, " ", &keep); word; word = strtok_r(NULL, " ", &keep)) {
        offer(c, word);
    }
    free(list);
}

static void offer_flags(const struct completing *c, const struct cli_flag *flags,
                        const struct cli_action *action)
{
    char spelled[64];
    for (const struct cli_flag *f = flags; f && f->id; f++) {
        if (f->name && args_flag_known(f, action)) {
            snprintf(spelled, sizeof spelled, "--%.60s", f->name);
            offer(c, spelled);
        } else if (f->letter && f->help && args_flag_known(f, action)) {
            snprintf(spelled, sizeof spelled, "-%c", f->letter);
            offer(c, spelled);
        }
    }
}

/* The flag that a word is, alone and in need of a value; NULL: another word. */
static const struct cli_flag *waiting_flag(const struct completing *c, const char *word)
{
    const struct cli_flag *const tables[] = {c->command ? c->command->flags : NULL,
                                             cli_global_flags};
    for (size_t i = 0; i < 2 && word[0] == '-'; i++) {
        for (const struct cli_flag *f = tables[i]; f && f->id; f++) {
            bool named = word[1] == '-' ? f->name && strcmp(word + 2, f->name) == 0
                                        : word[1] == f->letter && word[1] && !word[2];
            if (f->argument && named && args_flag_known(f, i == 0 ? c->action : NULL)) {
                return f;
            }
        }
    }
    return NULL;
}

static void offer_commands(const struct completing *c)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        if (cli_commands[i]->summary) {
            offer(c, cli_commands[i]->name);
        }
    }
}

/* What comes next, after the words in front of the last. */
static void complete(struct completing *c, const struct cli_flag *waiting)
{
    if (waiting) {
        offer_values(c, waiting->values);
    } else if (*c->last == '-') {
        offer_flags(c, c->command ? c->command->flags : NULL, c->action);
        offer_flags(c, cli_global_flags, NULL);
    } else if (!c->command) {
        offer_commands(c);
    } else if (c->help && (c->action || !c->command->actions)) {
        return; /* nothing follows */
    } else if (c->command->actions && !c->action) {
        for (const struct cli_action *a = c->command->actions; a->name; a++) {
            if (a->summary) {
                offer(c, a->name);
            }
        }
    } else {
        offer_values(c, c->action ? c->action->values : c->command->values);
    }
}

static int complete_run(struct cli *cli, struct args *a)
{
    struct completing c = {.cli = cli, .last = a->argc > a->at ? a->argv[a->argc - 1] : ""};
    const struct cli_flag *waiting = NULL;
    cli->quiet = true;
    for (int i = a->at; i < a->argc - 1; i++) {
        const char *word = a->argv[i];
        if (waiting) {
            if (waiting->letter == 'b' && waiting->name && strcmp(waiting->name, "brokers") == 0) {
                cli->brokers = word;
            }
            if (waiting->letter == 'c' && strcmp(waiting->name, "context") == 0) {
                cli->context = word;
                context_apply(cli);
            }
            waiting = NULL;
            continue;
        }
        waiting = waiting_flag(&c, word);
        if (waiting || word[0] == '-') {
            continue;
        }
        if (!c.command) {
            c.command = cli_command_find(word);
            if (!c.command) {
                return EXIT_DONE;
            }
            c.help = c.help || c.command == &command_help;
            c.command = c.command == &command_help ? NULL : c.command;
            continue;
        }
        for (const struct cli_action *one = c.command->actions; one && one->name && !c.action;
             one++) {
            c.action = strcmp(one->name, word) == 0 ? one : NULL;
        }
    }
    complete(&c, waiting);
    return EXIT_DONE;
}

const struct cli_command command_complete = {
    .name = "__complete", .words = "", .flags = none, .run = complete_run};
