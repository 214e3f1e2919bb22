/* SPDX-License-Identifier: Apache-2.0 */

/* What all commands share: messages and the exit status, memory, signals, the connection, help. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t cli_interrupted;
static volatile sig_atomic_t cli_time_over;
static char cli_time_text[96];
static volatile sig_atomic_t cli_end_status;
int cli_output_error;

/* The first signal lets the command end by itself, a later one ends it. timeout(1) and others signal the
 * process and then its group, which is not a second wish: a group would not be left, and its other members
 * would wait for the session of this one. */
static void cli_on_signal(int number)
{
    enum { SAME_MS = 500 };
    static volatile int64_t first_ms;
    struct timespec now;
    (void)number;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* as signal handlers may */
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (!cli_interrupted) {
        first_ms = now_ms;
    } else if (now_ms - first_ms >= SAME_MS) {
        _exit(EXIT_INTERRUPTED);
    }
    cli_interrupted = 1;
}

/* The first time lets what waits in slices end by itself; the second ends what does not. */
static void cli_on_alarm(int number)
{
    (void)number;
    if (!cli_time_over) {
        cli_time_over = cli_interrupted = 1;
        return;
    }
    ssize_t written = write(STDERR_FILENO, cli_time_text, strlen(cli_time_text));
    (void)written;
    _exit(EXIT_TIMEOUT);
}

static void cli_on_end(int number)
{
    (void)number;
    _exit(cli_end_status);
}

/* The alarm rings after `ms`, and then every `again_us`. */
static void cli_alarm(void (*ring)(int number), long long ms, suseconds_t again_us)
{
    struct sigaction action = {.sa_handler = ring};
    struct itimerval timer = {{0, again_us}, {0}};
    timer.it_value.tv_sec = (time_t)(ms / 1000);
    timer.it_value.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

void cli_limit(long long ms, const char *spelled)
{
    enum { AFTER_MS = 250 }; /* the library's own error says more, and comes first */
    snprintf(cli_time_text, sizeof cli_time_text, "leat: the time is over (--timeout %.20s)\n",
             spelled);
    cli_alarm(cli_on_alarm, ms + AFTER_MS, 500000);
}

void cli_end_within(long long ms, int status)
{
    cli_end_status = status;
    cli_alarm(cli_on_end, ms, 0);
}

int cli_interrupt_status(void)
{
    if (cli_time_over) {
        fputs(cli_time_text, stderr);
    }
    return cli_time_over ? EXIT_TIMEOUT : EXIT_INTERRUPTED;
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
    struct sigaction action = {.sa_handler = cli_on_signal}, before;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* The terminal is gone; nohup(1) has it ignored. */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(SIGHUP, &action, NULL);
    }
}

double cli_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int64_t cli_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
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

const char *cli_counted(unsigned long long number, const char *one, const char *many,
                        char room[static 64])
{
    char digits[32];
    snprintf(room, 64, "%s %.30s", cli_count(number, digits), number == 1 ? one : many);
    return room;
}

/* In one piece: others write to the same terminal. */
void cli_say(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "leat: %s\n", line);
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
    case LEAT_ERR_GROUP_NOT_FOUND:
    case LEAT_ERR_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case LEAT_ERR_CONFIG:
    case LEAT_ERR_ARGUMENT:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

int cli_quorum(const struct cli *cli, leat_quorum **out, leat_error *e)
{
    enum { PROBE_MS = 800 }; /* one answer, of whoever is there */
    leat_options options = cli->options;
    leat_client *client;
    *out = NULL;
    options.timeout_ms = options.timeout_ms < PROBE_MS ? options.timeout_ms : PROBE_MS;
    int error = leat_open(&client, cli->brokers, &options, e);
    if (!error) {
        error = leat_quorum_get(client, out, e);
        leat_close(client);
    }
    return error;
}

/* Kafka's, which leat.h does not name. */
enum { NETWORK_EXCEPTION = -13, NOT_CONTROLLER = -41, OFFSET_NOT_AVAILABLE = -78 };

/* What may be so because the cluster has no controller, who decides nothing then. */
static bool is_for_want_of_a_controller(int code)
{
    static const int codes[] = {
        LEAT_ERR_TIMEOUT,     LEAT_ERR_REQUEST_TIMED_OUT,    LEAT_ERR_UNREACHABLE,
        LEAT_ERR_CLOSED,      LEAT_ERR_BROKER_NOT_AVAILABLE, NOT_CONTROLLER,
        OFFSET_NOT_AVAILABLE,
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (code == codes[i]) {
            return true;
        }
    }
    return false;
}

bool cli_is_refusal(int code)
{
    return !is_for_want_of_a_controller(code);
}

bool cli_lost(const struct cli *cli, int code, leat_error *why)
{
    leat_quorum *quorum = NULL;
    const struct itimerval none = {{0, 0}, {0, 0}};
    struct itimerval left;
    why->code = 0;
    if (cli->client && is_for_want_of_a_controller(code)) {
        (void)setitimer(ITIMER_REAL, &none, &left); /* the question has a limit of its own */
        (void)cli_quorum(cli, &quorum, why);
        leat_quorum_free(quorum);
        (void)setitimer(ITIMER_REAL, &left, NULL);
    }
    return why->code == LEAT_ERR_NO_LEADER;
}

int cli_tell(struct cli *cli, const leat_error *e)
{
    leat_error why;
    fflush(stdout);
    bool lost = cli_lost(cli, e->code, &why);
    if (!lost || e->code == LEAT_ERR_UNREACHABLE) {
        cli_say("%s", e->message);
    }
    if (lost) {
        cli_say("%s", why.message);
    } else if (!cli->client && e->code == NETWORK_EXCEPTION) {
        cli_say(
            "a node that has not joined its cluster yet closes connections: at first all of its "
            "peers must run, later most of the voters; its log says for whom it waits");
    }
    return cli_exit_of(e->code);
}

void cli_fail(struct cli *cli, const leat_error *e)
{
    exit(cli_tell(cli, e));
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

leat_meta *cli_topic(struct cli *cli, const char *topic, leat_error *e)
{
    leat_meta *meta;
    if (leat_metadata(cli->client, topic, &meta, e)) {
        return NULL;
    }
    /* An empty name asks for no topic at all. */
    int code = meta->topic_count == 1 ? meta->topics[0]->code : LEAT_ERR_UNKNOWN_TOPIC;
    if (code == 0) {
        return meta;
    }
    leat_meta_free(meta);
    *e = (leat_error){.code = code};
    if (code == LEAT_ERR_UNKNOWN_TOPIC) {
        snprintf(e->message, sizeof e->message, "topic %.180s does not exist: see leat topic list",
                 *topic ? topic : "''");
    } else {
        snprintf(e->message, sizeof e->message, "topic %.120s: %s", topic, leat_error_text(code));
    }
    return NULL;
}

leat_meta *cli_metadata(struct cli *cli, const char *topic, bool missing)
{
    leat_meta *meta = NULL;
    leat_error e;
    if (topic && !missing) {
        meta = cli_topic(cli, topic, &e);
    } else if (leat_metadata(cli->client, topic, &meta, &e)) {
        meta = NULL;
    }
    if (!meta) {
        cli_fail(cli, &e);
    }
    return meta;
}
