/* SPDX-License-Identifier: Apache-2.0 */

/* What all commands share: messages and the exit status, memory, signals, the connection, help. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t cli_interrupted;
int cli_output_error;

static void cli_on_signal(int number)
{
    (void)number;
    if (cli_interrupted) {
        _exit(EXIT_INTERRUPTED);
    }
    cli_interrupted = 1;
}

bool cli_flush(void)
{
    errno = 0;
    if (fflush(stdout) || (ferror(stdout) && !cli_output_error)) {
        cli_output_error = errno ? errno : EIO;
    }
    return !ferror(stdout);
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = cli_on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

double cli_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *cli_count(unsigned long long number, char room[static 32])
{
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%llu", number), at = 0;
    for (int i = 0; i < size; i++) {
        if (i && (size - i) % 3 == 0) {
            room[at++] = ',';
        }
        room[at++] = digits[i];
    }
    room[at] = 0;
    return room;
}

const char *cli_records(unsigned long long number, char room[static 48])
{
    char digits[32];
    snprintf(room, 48, "%s record%s", cli_count(number, digits), number == 1 ? "" : "s");
    return room;
}

void cli_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("leat: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void cli_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("leat: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_USAGE);
}

int cli_exit_of(int code)
{
    switch (code) {
    case 0:
        return EXIT_DONE;
    case LEAT_ERR_TIMEOUT:
        return EXIT_TIMEOUT;
    case LEAT_ERR_UNKNOWN_TOPIC:
    case LEAT_ERR_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case LEAT_ERR_CONFIG:
    case LEAT_ERR_ARGUMENT:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

void cli_fail(struct cli *cli, const leat_error *e)
{
    fflush(stdout);
    cli_say("%s", e->message);
    exit(cli_exit_of(e->code));
}

void *cli_resize(void *p, size_t size)
{
    void *made = realloc(p, size ? size : 1);
    if (!made) {
        fputs("leat: out of memory\n", stderr);
        exit(EXIT_FAILED);
    }
    return made;
}

void *cli_alloc(size_t size)
{
    return memset(cli_resize(NULL, size), 0, size);
}

char *cli_copy(const char *text, size_t size)
{
    char *copy = cli_alloc(size + 1);
    memcpy(copy, text, size);
    return copy;
}

void cli_connect(struct cli *cli)
{
    leat_error e;
    if (leat_open(&cli->client, cli->brokers, &cli->options, &e)) {
        cli_fail(cli, &e);
    }
}

leat_meta *cli_metadata(struct cli *cli, const char *topic, bool missing)
{
    leat_meta *meta;
    leat_error e;
    if (leat_metadata(cli->client, topic, &meta, &e)) {
        cli_fail(cli, &e);
    }
    if (topic && *topic && !missing && meta->topic_count == 1 && meta->topics[0]->code) {
        int code = meta->topics[0]->code;
        if (code == LEAT_ERR_UNKNOWN_TOPIC) {
            cli_say("topic %s does not exist: see leat topic list", topic);
        } else {
            cli_say("topic %s: %s", topic, leat_error_text(code));
        }
        exit(cli_exit_of(code));
    }
    return meta;
}

void cli_help(FILE *out)
{
    fputs(
        "usage: leat [-b HOST:PORT,...] COMMAND ...\n"
        "\n"
        "  produce TOPIC                publish records: lines of stdin, or -l FILE\n"
        "    -k KEY  -K DELIM (key DELIM value)  --key-field NAME (of JSON values)  -p PARTITION\n"
        "    -H k=v  -D DELIM  -z none|gzip|snappy|lz4|zstd  -Z (empty is null)  -n COUNT\n"
        "    -J (JSON envelopes, as consume -J prints them)  --base64 key,value  --acks all|1|0  "
        "-T\n"
        "  consume TOPIC...             read records: new ones, or with -e those that are there\n"
        "    -o beginning|end|N|-N|+N|A:B|@TIME|@T1:T2|s@MS|e@MS  --from-beginning  -e (stop at "
        "the end)\n"
        "    -n COUNT  --wait 10s (stop after silence)  -p 0,1  --regex  --isolation uncommitted\n"
        "    -J  --pretty  --meta-only  -f FORMAT  -K DELIM  -D DELIM  -O (offsets)  -Z (NULL for "
        "null)\n"
        "      FORMAT: %t topic %p partition %o offset %k key %K its size %s or %v value %S its "
        "size\n"
        "              %T time %d date %h headers %R size as 4 bytes; %k{hex} {base64} %T{iso}\n"
        "  topic list                   and, each with TOPIC...: describe, offsets [-t TIME], "
        "delete\n"
        "    create TOPIC... [-p PARTITIONS] [-r REPLICAS] [-c key=value]... [--if-not-exists]\n"
        "    alter TOPIC --set key=value | --unset key    add-partitions TOPIC --total N | --add "
        "N\n"
        "    trim TOPIC -o OFFSET [-p PARTITION] (forgets what lies before)\n"
        "  cluster info | health | brokers | config [--set key=value | --unset key]\n"
        "  log verify DIR | dump FILE|DIR [--records]   (a data directory without its broker)\n"
        "  version\n"
        "\n"
        "  -b, --brokers LIST   or LEAT_BROKERS; default 127.0.0.1:9092\n"
        "  -X key=value         any option, by its name in librdkafka or Java;  -F FILE of them\n"
        "  --timeout 5s   --output table|json|yaml   -q   -v\n"
        "\n"
        "kcat's command lines work as they are: leat -P|-C|-L|-Q -b ... -t TOPIC ...\n"
        "status: 0 done, 1 failed, 2 usage, 3 time over, 4 not found, 130 Ctrl-C\n",
        out);
}
