/* SPDX-License-Identifier: Apache-2.0 */

#include "core/client.h"

#include "core/options.h"

#include <stdio.h>

void *heap_open(size_t size, size_t budget)
{
    struct memory m;
    assert(size >= sizeof m);
    memory_init(&m, budget);
    struct memory *first = memory_alloc(&m, size);
    if (first) {
        *first = m;
    }
    return first;
}

void heap_close(void *heap)
{
    if (heap) {
        struct memory m = *(struct memory *)heap;
        memory_drop(&m);
    }
}

static void client_start(struct shell_task *task)
{
    struct leat_client *c = container_of(task, struct leat_client, task);
    c->result = core_open(&c->core, shell_io(c->shell), &c->gate.gate, &c->options, c->bootstrap,
                          c->bootstrap_count);
    shell_finish(c->shell, &c->finished);
}

static void client_closed(struct core *core)
{
    struct leat_client *c = container_of(core, struct leat_client, core);
    shell_stop(c->shell);
}

static void client_stop(struct shell_task *task)
{
    struct leat_client *c = container_of(task, struct leat_client, task);
    core_close(&c->core, client_closed);
}

int leat_open(leat_client **out, const char *brokers, const leat_options *options, leat_error *e)
{
    if (!out || !brokers) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_open() needs a place and brokers");
    }
    struct leat_client *c = heap_open(sizeof *c, 1 << 20);
    if (!c) {
        return error_set(e, ERR_NO_MEMORY, "no memory for a client");
    }
    c->magic = CLIENT_MAGIC;
    int error = options_take(&c->options, options, e);
    if (!error) {
        error = addresses_parse(brokers, c->bootstrap, &c->bootstrap_count, &c->options, e);
    }
    if (!error && shell_gate_open(&c->gate, false)) {
        error = error_set(e, ERR_NO_MEMORY, "no memory for a client");
    }
    if (!error) {
        error = shell_open(&c->shell, e);
    }
    if (error) {
        shell_gate_close(&c->gate);
        heap_close(c);
        return error;
    }
    c->task.run = client_start;
    shell_call(c->shell, &c->task, &c->finished);
    if (c->result) {
        leat_close(c);
        return error_set(e, ERR_NO_MEMORY, "no memory for a client");
    }
    *out = c;
    return error_clear(e);
}

void leat_close(leat_client *c)
{
    if (!c) {
        return;
    }
    client_check(c);
    assert(c->handles == 0);
    c->task.run = client_stop;
    shell_close(c->shell, &c->task);
    shell_gate_close(&c->gate);
    c->magic = 0;
    heap_close(c);
}

void client_add_handle(leat_client *c, int more)
{
    gate_enter(&c->gate.gate);
    c->handles += (unsigned)more;
    gate_leave(&c->gate.gate);
}

int leat_problem(leat_client *c, leat_error *e)
{
    client_check(c);
    gate_enter(&c->gate.gate);
    int code = error_copy(e, &c->core.problem);
    gate_leave(&c->gate.gate);
    return code;
}

void client_problem(leat_client *c, char out[static CLIENT_PROBLEM_SIZE])
{
    leat_error problem;
    out[0] = 0;
    if (leat_problem(c, &problem)) {
        snprintf(out, CLIENT_PROBLEM_SIZE, ": %.200s", problem.message);
    }
}
