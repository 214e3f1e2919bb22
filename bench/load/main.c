/* SPDX-License-Identifier: Apache-2.0 */

/* leat-bench: load for a broker, and what came of it.
 *
 *     leat-bench [options]        open loop on a client library: latencies from the intended time of sending
 *     leat-bench raw [options]    one socket without a client library: the broker's ceiling
 *     leat-bench drain [options]  how fast a topic that is there is read
 *     leat-bench start ... -- COMMAND   starts a broker and times its first acknowledged record */
#include "load/load.h"

#include "report/clock.h"
#include "report/process.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void load_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("leat-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static double cpu_of(int pid, uint64_t *rss_bytes)
{
    struct process_cost cost;
    if (pid == 0) {
        return 0;
    }
    if (!process_cost(pid, &cost)) {
        load_fail("there is no process %d", pid);
    }
    *rss_bytes = cost.rss_bytes;
    return cost.cpu_seconds;
}

void load_cost_begin(struct load_cost *c, uint64_t pid)
{
    uint64_t ignored;
    memset(c, 0, sizeof *c);
    c->pid = (int)pid;
    c->broker_begun = cpu_of(c->pid, &c->rss_bytes);
    c->own_begun = cpu_of((int)getpid(), &ignored);
    c->steal_begun = process_steal();
    c->begun_ns = clock_ns();
}

void load_cost_end(struct load_cost *c)
{
    uint64_t ignored;
    c->ended_ns = clock_ns();
    c->broker_ended = cpu_of(c->pid, &c->rss_bytes);
    c->own_ended = cpu_of((int)getpid(), &ignored);
    c->steal_ended = process_steal();
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "raw") == 0) {
        return command_raw(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "start") == 0) {
        return command_start(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "drain") == 0) {
        return command_drain(argc - 1, argv + 1);
    }
    return command_load(argc, argv);
}
