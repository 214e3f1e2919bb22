/* SPDX-License-Identifier: Apache-2.0 */

/* cli: the console. It stands on leat.h alone; memory is malloc's, and a process does one thing and
 * ends. Records go to stdout, everything for people to stderr.
 *
 * Exit status: 0 done, 1 the broker or the machine failed, 2 usage, 3 time is over, 4 not found,
 * 130 ended by Ctrl-C. */
#pragma once

#include "leat/admin.h"

#include <signal.h>
#include <stdio.h>

enum cli_exit {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_TIMEOUT = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_INTERRUPTED = 130,
};

enum cli_output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML };

struct cli {
    const char *brokers;
    const char *context; /* chosen by name, or NULL */
    leat_options options;
    leat_producer_options producer;
    leat_consumer_options consumer;
    enum cli_output output;
    bool quiet;
    int verbose;
    bool kcat; /* flags and shapes are kcat's */
    leat_client *client;
};

/* --- errors --- */

/* Prints "leat: ..." and ends the process with EXIT_USAGE. */
_Noreturn void cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints a line for people on stderr. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The quorum, as leat_quorum_get() gives it, but soon: it is asked beside something else. LEAT_ERR_NO_LEADER: the
 * cluster has no controller, and the message says what is missing. */
int cli_quorum(const struct cli *cli, leat_quorum **out, leat_error *e);

/* Whether what has failed with `code` may be so because the cluster has no controller, and it has none: *why says so.
 * The limit of the whole command (cli_limit()) stands still meanwhile. */
bool cli_lost(const struct cli *cli, int code, leat_error *why);

/* Prints the error: the exit status that fits its code. What may be so because the cluster has no controller is looked
 * into: then that is said. */
int cli_tell(struct cli *cli, const leat_error *e);

/* The same, and ends the process with that status. */
_Noreturn void cli_fail(struct cli *cli, const leat_error *e);

int cli_exit_of(int code);

/* Whether somebody has answered, and refused. Else nobody did, or not in time: it would not go better with the next. */
bool cli_is_refusal(int code);

/* malloc and strdup that end the process instead of failing. */
void *cli_alloc(size_t size);
void *cli_resize(void *p, size_t size);
char *cli_copy(const char *text, size_t size);

/* --- arguments --- */

/* One flag. Tables end with id 0. */
struct cli_flag {
    int id; /* > 0 */
    char letter;
    const char *name;
    const char *argument; /* what its value is, for help: "FILE"; NULL: it takes none */
    const char *help;     /* NULL: another spelling of a flag that has one */
    const char *actions;  /* those that know it, "create alter"; NULL: all */
    const char *values;   /* for completion: words, or "@topic", "@topic-config", "@group",
                             "@context" */
};

/* What follows a command that has actions: "topic create". Tables end with name NULL. */
struct cli_action {
    const char *name;
    int id;
    const char *words;   /* "TOPIC..." or "" */
    const char *summary; /* one line */
    const char *values;  /* as of flags, for the words */
};

struct args;

struct cli_command {
    const char *name, *alias; /* alias may be NULL */
    const char *words;
    const char *summary;
    const struct cli_flag *flags;
    const struct cli_action *actions; /* NULL: none */
    int (*run)(struct cli *cli, struct args *a);
    const char *more;   /* further help, lines, or NULL */
    const char *values; /* for completion of its words */
};

enum { ARG_END = 0, ARG_WORD = -1 };

struct args {
    char **argv;
    int argc, at;
    const struct cli_command *command; /* NULL in front of it */
    const struct cli_action *action;   /* the command's first word, if it has actions */
    const struct cli_flag *flags;      /* of the command; id 0 ends */
    const char *cluster;               /* letters of the current argument that are left */
    const char *value;                 /* of the latest flag or word */
    const char *flag;                  /* as it was written, for messages */
    bool words;                        /* "--" was seen */
    char spelled[64];
};

/* The id of the next flag, ARG_WORD or ARG_END. Flags that every command has are handled here,
 * unless the command's own table takes their letter; so is the action. Ends the process on unknown
 * ones. */
int args_next(struct args *a, struct cli *cli);

/* The latest value as a number or a duration ("5s", "100ms", "2m"; bare: seconds; 1 ms at least). */
long long args_number(const struct args *a, long long min, long long max);
long long args_duration_ms(const struct args *a);

/* One -X key=value. */
void cli_property(struct cli *cli, const char *text);

/* A file of key=value lines; must exist unless `optional`. */
void cli_properties(struct cli *cli, const char *path, bool optional);

/* Whether an action (NULL: not said yet) knows a flag of its command. */
bool args_flag_known(const struct cli_flag *f, const struct cli_action *action);

/* The action's id; ends the process, naming them, if there was none. */
int args_action(const struct args *a);

/* The flags that every command has. */
extern const struct cli_flag cli_global_flags[];

/* --- commands --- */

extern const struct cli_command command_produce, command_consume, command_topic, command_group,
    command_cluster, command_log, command_context, command_completion, command_complete,
    command_cheat, command_version, command_help;

/* In the order of the help; NULL ends. */
extern const struct cli_command *const cli_commands[];

/* By name or alias, NULL: there is none. */
const struct cli_command *cli_command_find(const char *name);

/* kcat's command lines. */
int kcat_run(struct cli *cli, struct args *a);

/* Whether kcat's mode letters stand in front of the first word that is not a flag's value. */
bool kcat_meant(int argc, char **argv);

/* All commands in one screen; a command, or one action of it. */
void cli_help(FILE *out);
void cli_help_command(FILE *out, const struct cli_command *command,
                      const struct cli_action *action);

/* --- contexts: named sets of properties --- */

/* The directory of the contexts, made if `make`; NULL: there is no home. To be freed. */
char *context_directory(bool make);

/* Takes the properties of the context that was named, or of the current one. */
void context_apply(struct cli *cli);

/* Opens the client, or ends the process. */
void cli_connect(struct cli *cli);

/* Metadata of a topic (NULL: all), or the end of the process. A topic that is not there ends with
 * EXIT_NOT_FOUND, unless `missing` allows it. */
leat_meta *cli_metadata(struct cli *cli, const char *topic, bool missing);

/* Metadata of a topic that may be one of several; NULL: *e says why there are none. */
leat_meta *cli_topic(struct cli *cli, const char *topic, leat_error *e);

/* --- the machine --- */

/* Set by SIGINT, SIGTERM and SIGHUP after cli_catch_signals(), and at the end of --timeout. */
extern volatile sig_atomic_t cli_interrupted;

/* Ends the command after so many milliseconds: cli_interrupted first, the process a moment later. */
void cli_limit(long long ms, const char *spelled);

/* In place of that limit: however long the rest takes, the process ends after so many milliseconds, with this status
 * and without a word. What was printed is flushed before. */
void cli_end_within(long long ms, int status);

/* EXIT_INTERRUPTED, or EXIT_TIMEOUT when it was the time that ended it. */
int cli_interrupt_status(void);

/* Makes visible what was printed; false when it cannot be written: the first reason, an errno, is kept
 * and told where the program ends. */
bool cli_flush(void);
extern int cli_output_error;
void cli_catch_signals(void);

double cli_now(void); /* seconds, monotonic */
int64_t cli_wall_ms(void);

/* "12,345,678" */
const char *cli_count(unsigned long long number, char room[static 32]);

/* "12,345,678 records", "1 record"; and of any other thing. */
const char *cli_records(unsigned long long number, char room[static 48]);
const char *cli_counted(unsigned long long number, const char *one, const char *many,
                        char room[static 64]);
