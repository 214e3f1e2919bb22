/* SPDX-License-Identifier: Apache-2.0 */

/* client: what stands behind a leat_client: the shell with its thread, and the core that runs
 * there. */
#pragma once

#include "core/core.h"
#include "core/shell.h"

enum { CLIENT_MAGIC = 0x6c656174 };

struct leat_client {
    struct memory heap; /* holds this struct */
    uint32_t magic;
    struct shell *shell;
    struct core core;       /* the I/O thread's */
    struct shell_gate gate; /* guards core.problem and `handles` */
    unsigned handles;       /* producers and consumers */
    leat_options options;
    struct address bootstrap[ADDRESSES_MAX];
    unsigned bootstrap_count;
    struct shell_task task; /* opening and closing */
    bool finished;
    int result;
};

/* A heap of `budget` bytes that begins with one cleared struct of `size` bytes, whose first member
 * is the struct memory; NULL without memory. */
void *heap_open(size_t size, size_t budget) MUST_CHECK;

/* Frees it all; NULL is accepted. */
void heap_close(void *heap);

static inline struct leat_client *client_check(leat_client *c)
{
    assert(c && c->magic == CLIENT_MAGIC);
    return c;
}

void client_add_handle(leat_client *c, int more);

/* What ails the client, for the end of a message: "" or ": cannot reach ...". */
enum { CLIENT_PROBLEM_SIZE = sizeof((leat_error){0}.message) };
void client_problem(leat_client *c, char out[static CLIENT_PROBLEM_SIZE]);
