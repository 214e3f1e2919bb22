/* SPDX-License-Identifier: Apache-2.0 */

/* start: how long a broker takes from exec to its first acknowledged record.
 *
 * The clock starts before fork(). The address is tried until it answers; then a topic is made if it
 * is missing, and one record of 1 KiB is published with acks=all. Afterwards the broker is stopped
 * by the signal that --stop names. On a directory that a killed broker left behind, the time until
 * the connection is that of recovery. */
#include "load/cost.h"
#include "load/load.h"

#include "load/exchange.h"
#include "load/produce_template.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/table.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RETRY_NS = 200 * NS_PER_US, RECORD_BYTES = 1024, TOPIC_SIZE = 250 };

struct start_options {
    const char *brokers, *topic, *durability, *stop;
    double timeout;
    bool json;
};

static pid_t broker_start(char **command)
{
    pid_t pid = fork();
    if (pid < 0) {
        load_fail("fork: %s", strerror(errno));
    }
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout carries the figures */
        execvp(command[0], command);
        fprintf(stderr, "leat-bench: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    return pid;
}

static void broker_connect(pid_t pid, const struct start_options *o, struct exchange *x)
{
    char host[EXCHANGE_HOST_SIZE], port[16];
    uint64_t until = clock_ns() + clock_seconds(o->timeout);
    if (!exchange_address(o->brokers, host, port)) {
        options_refuse("brokers", "HOST:PORT is expected");
    }
    while (exchange_open(x, host, port) != 0) {
        if (waitpid(pid, NULL, WNOHANG) != 0) {
            load_fail("the broker has ended");
        }
        if (clock_ns() > until) {
            kill(pid, SIGKILL);
            load_fail("no connection within %g s", o->timeout);
        }
        clock_wait_until(clock_ns() + RETRY_NS);
    }
}

/* One record; returns whether it was acknowledged. */
static bool produce_once(struct exchange *x, const struct start_options *o,
                         const struct produce_template *t)
{
    const struct slice slice = {t->batch.data, t->batch.size, NULL};
    struct produce_request_partition_data part;
    struct produce_request_topic_data topic;
    struct produce_request q;
    struct produce_response answer;
    produce_request_init(&q);
    produce_request_topic_data_init(&topic);
    produce_request_partition_data_init(&part);
    part.records = (struct wire_records){&slice, 1, (uint32_t)slice.size, false};
    topic.name = wire_string_of(o->topic);
    topic.partition_data = &part;
    topic.partition_data_count = 1;
    q.acks = -1;
    q.timeout_ms = 30000;
    q.topic_data = &topic;
    q.topic_data_count = 1;
    exchange_call(x, WIRE_PRODUCE, PRODUCE_TEMPLATE_VERSION, &q, &answer);
    if (answer.responses_count != 1 || answer.responses[0].partition_responses_count != 1) {
        load_fail("an answer to something else");
    }
    int error = error_from_wire(answer.responses[0].partition_responses[0].error_code);
    if (error && !error_is_retriable(error)) {
        load_fail("topic %s: %s", o->topic, error_text(error));
    }
    return error == 0;
}

static double broker_stop(pid_t pid, int number)
{
    uint64_t begun = clock_ns();
    int status;
    kill(pid, number);
    if (waitpid(pid, &status, 0) != pid) {
        load_fail("waitpid: %s", strerror(errno));
    }
    if (number == SIGTERM && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        load_fail("the broker did not stop cleanly: status %d", status);
    }
    return (double)(clock_ns() - begun) / NS_PER_MS;
}

int command_start(int argc, char **argv)
{
    static const struct table_column columns[] = {
        {"connected ms", 1}, {"topic ms", 1}, {"first ack ms", 1}, {"stopped ms", 1}, {NULL, 0}};
    struct start_options o = {
        .brokers = "127.0.0.1:9092", .topic = "bench-start", .stop = "term", .timeout = 60};
    const struct option_spec specs[] = {
        {"brokers", OPTION_TEXT, &o.brokers, "where the command will listen"},
        {"topic", OPTION_TEXT, &o.topic, "made if it is missing"},
        {"durability", OPTION_TEXT, &o.durability, "fsync or memory, of a topic that is made"},
        {"stop", OPTION_TEXT, &o.stop, "term or kill: how it ends"},
        {"timeout", OPTION_SECONDS, &o.timeout, "for the connection"},
        {"json", OPTION_FLAG, &o.json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    int at = options_parse(specs, argc, argv, "leat-bench start [options] -- COMMAND ...");
    if (at >= argc) {
        fputs("leat-bench: start: the broker's command has to follow\n", stderr);
        return 2;
    }
    if (strlen(o.topic) >= TOPIC_SIZE) {
        options_refuse("topic", "it is too long");
    }
    const struct produce_template_options template = {
        .topic = o.topic, .partitions = 1, .spread = 1, .record_bytes = RECORD_BYTES, .acks = -1};
    struct produce_template t;
    struct exchange x;
    produce_template_init(&t, &template);
    uint64_t begun = clock_ns();
    pid_t pid = broker_start(argv + at);
    broker_connect(pid, &o, &x);
    uint64_t connected = clock_ns();
    exchange_create_topic(&x, o.topic, 1, o.durability);
    uint64_t made = clock_ns();
    while (!produce_once(&x, &o, &t)) {
        clock_wait_until(clock_ns() + RETRY_NS);
    }
    uint64_t acknowledged = clock_ns();
    exchange_close(&x);
    double stopped_ms = broker_stop(pid, strcmp(o.stop, "kill") == 0 ? SIGKILL : SIGTERM);
    struct report report;
    report_init(&report, "leat-bench start");
    report_condition(&report, "command", "%.80s", argv[at]);
    struct table *table = report_table(&report, "start", "from exec", columns);
    table_number(table, (double)(connected - begun) / NS_PER_MS);
    table_number(table, (double)(made - begun) / NS_PER_MS);
    table_number(table, (double)(acknowledged - begun) / NS_PER_MS);
    table_number(table, stopped_ms);
    report_print(&report, o.json);
    report_deinit(&report);
    produce_template_deinit(&t);
    return 0;
}
