/* SPDX-License-Identifier: Apache-2.0 */
#include "load/cost.h"

#include "report/clock.h"
#include "report/process.h"

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
