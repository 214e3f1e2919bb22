/* SPDX-License-Identifier: Apache-2.0 */

/* shell: the one place of the library that knows threads, waiting and the clock of the caller's
 * side.
 *
 * A shell runs one thread with the epoll backend of the seam: core, senders and fetchers run there
 * and nowhere else. The caller's threads hand it tasks and wait at gates:
 *
 *     caller's thread --shell_post(task)--> I/O thread: task->run()
 *     caller's thread <--gate_announce()--- I/O thread, inside the gate that both share
 *
 * Invariants
 *   S1  A task runs on the I/O thread only, once for one or more posts that came before it ran.
 *   S2  The I/O thread never waits at a gate for longer than a caller works inside it; it calls no
 *       code of the caller's.
 *   S3  Signals are blocked in every thread that the shell starts. */
#pragma once

#include "core/error.h"
#include "core/gate.h"
#include "io/io.h"

#include <pthread.h>

enum { SHELL_FOREVER = -1 };

struct shell;

/* Work for the I/O thread, embedded in its owner, in place until it has run. */
struct shell_task {
    void (*run)(struct shell_task *task);
    struct list link;
    bool posted; /* the shell's */
};

/* A mutex with a condition and, if wanted, a descriptor that poll(2) understands. */
struct shell_gate {
    struct gate gate;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned waiting; /* callers at the condition */
    int event_fd;     /* -1 without */
};

/* Starts the I/O thread. 0, ERR_NO_MEMORY or ERR_UNKNOWN_SERVER_ERROR with the reason in `e`. */
int shell_open(struct shell **out, leat_error *e) MUST_CHECK;

/* Ends the thread after `last` has called shell_stop(), and frees everything of its heap. */
void shell_close(struct shell *s, struct shell_task *last);

/* On the I/O thread: no further task will come, nothing is in flight. */
void shell_stop(struct shell *s);

struct io *shell_io(struct shell *s);

/* From any thread. Harmless when the task is posted already. */
void shell_post(struct shell *s, struct shell_task *task);

/* Runs the task on the I/O thread and waits until shell_finish() is called for it, there. */
void shell_call(struct shell *s, struct shell_task *task, bool *finished);
void shell_finish(struct shell *s, bool *finished);

/* The clock of the caller's side: milliseconds since 1970, and nanoseconds of the clock of
 * io_now(). */
int64_t shell_wall_ms(void);
uint64_t shell_now(void);

/* The instant `timeout_ms` from now; UINT64_MAX for SHELL_FOREVER or below. */
uint64_t shell_deadline(int64_t timeout_ms);

/* 0 or ERR_NO_MEMORY (no descriptor left). */
int shell_gate_open(struct shell_gate *g, bool with_event) MUST_CHECK;
void shell_gate_close(struct shell_gate *g);

/* Inside the gate: leaves it, waits for an announcement or the deadline, enters again. False when
 * the deadline has passed. */
bool shell_gate_wait(struct shell_gate *g, uint64_t deadline_ns);

/* Inside the gate: whether the descriptor is readable. */
void shell_gate_event(struct shell_gate *g, bool readable);
