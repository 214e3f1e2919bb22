/* SPDX-License-Identifier: Apache-2.0 */

/* cli: the console. It stands on leat.h alone; memory is malloc's, and a process does one thing and
 * ends. Records go to stdout, everything for people to stderr.
 *
 * Exit status: 0 done, 1 the broker or the machine failed, 2 usage, 3 time is over, 4 not found,
 * 130 ended by Ctrl-C. */
#pragma once

#include "leat/leat.h"

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

/* Prints the error and ends the process with the status that fits its code. */
_Noreturn void cli_fail(struct cli *cli, const leat_error *e);

int cli_exit_of(int code);

/* malloc and strdup that end the process instead of failing. */
void *cli_alloc(size_t size);
void *cli_resize(void *p, size_t size);
char *cli_copy(const char *text, size_t size);

/* What leat can do, in one screen. */
void cli_help(FILE *out);

/* --- arguments --- */

struct cli_flag {
    int id; /* > 0 */
    char letter;
    const char *name;
    bool value;
};

enum { ARG_END = 0, ARG_WORD = -1 };

struct args {
    char **argv;
    int argc, at;
    const struct cli_flag *flags; /* of the command; id 0 ends */
    const char *cluster;          /* letters of the current argument that are left */
    const char *value;            /* of the latest flag or word */
    const char *flag;             /* as it was written, for messages */
    bool words;                   /* "--" was seen */
    char spelled[64];
};

/* The id of the next flag, ARG_WORD or ARG_END. Flags that every command has are handled here,
 * unless the command's own table takes their letter. Ends the process on unknown ones. */
int args_next(struct args *a, struct cli *cli);

/* The latest value as a number or a duration ("5s", "100ms", "2m"; bare: seconds). */
long long args_number(const struct args *a, long long min, long long max);
long long args_duration_ms(const struct args *a);

/* One -X key=value. */
void cli_property(struct cli *cli, const char *text);

/* A file of key=value lines; must exist unless `optional`. */
void cli_properties(struct cli *cli, const char *path, bool optional);

/* --- commands: each gets its own arguments, args->at behind its name --- */

int command_produce(struct cli *cli, struct args *a);
int command_consume(struct cli *cli, struct args *a);
int command_topic(struct cli *cli, struct args *a);
int command_cluster(struct cli *cli, struct args *a);
int command_log(struct cli *cli, struct args *a);
int command_kcat(struct cli *cli, struct args *a);

/* Opens the client, or ends the process. */
void cli_connect(struct cli *cli);

/* Metadata of a topic (NULL: all), or the end of the process. A topic that is not there ends with
 * EXIT_NOT_FOUND, unless `missing` allows it. */
leat_meta *cli_metadata(struct cli *cli, const char *topic, bool missing);

/* --- the machine --- */

/* Set by SIGINT and SIGTERM after cli_catch_signals(). */
extern volatile sig_atomic_t cli_interrupted;

/* Makes visible what was printed; false when it cannot be written: the first reason, an errno, is kept
 * and told where the program ends. */
bool cli_flush(void);
extern int cli_output_error;
void cli_catch_signals(void);

double cli_now(void); /* seconds, monotonic */

/* "12,345,678" */
const char *cli_count(unsigned long long number, char room[static 32]);

/* "12,345,678 records", "1 record" */
const char *cli_records(unsigned long long number, char room[static 48]);
