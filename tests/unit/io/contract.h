/* SPDX-License-Identifier: Apache-2.0 */

/* contract: what io.h promises, as tests that every backend runs.
 *
 * A world opens one io and turns it; a test submits operations between turns and waits for what
 * they bring. The tests know nothing of the backend, and nothing here waits for real time: a turn
 * handles what is ready and may wait for more, so the simulated world turns in virtual time.
 *
 * Every operation goes through struct contract_op, which checks of each submission that done()
 * comes exactly once and never from inside the submitting call. */
#pragma once

#include "io/io.h"

struct contract_world {
    struct io *(*open)(struct contract_world *w);
    void (*turn)(struct contract_world *w); /* one turn, of every shard */
    void (*close)(struct contract_world *w);
    const char *directory; /* an empty directory for this test */
    /* May be NULL: the shard beside the one that open() gave; tests of two shards are left out
     * then. */
    struct io *(*second)(struct contract_world *w);
};

struct contract_test {
    const char *name;
    void (*run)(struct contract_world *w, struct io *io);
};

/* All of them; test `index` runs between its own open() and close(). */
size_t contract_count(void);
const char *contract_name(size_t index);
void contract_run(size_t index, struct contract_world *w);

/* --- for the files of tests ------------------------------------------------------------------- */

extern const struct contract_test contract_basics[], contract_files[], contract_sockets[];
extern const size_t contract_basics_count, contract_files_count, contract_sockets_count;

struct contract_op {
    struct io_op op;
    int64_t result;
    unsigned calls;                      /* of done() */
    bool submitting;                     /* inside the call */
    void (*then)(struct contract_op *c); /* NULL, or called by done() */
    void *context;
};

/* Prepares `c` for a submission, which the caller makes, and checks behind it that nothing was
 * done. */
struct io_op *contract_begin(struct contract_op *c);
void contract_end(struct contract_op *c);

#define SUBMIT(c, call)                                                                            \
    do {                                                                                           \
        struct io_op *op = contract_begin(c);                                                      \
        call;                                                                                      \
        contract_end(c);                                                                           \
    } while (0)

/* Turns until the operation is done; its result. */
int64_t contract_wait(struct contract_world *w, struct contract_op *c);

/* Submits and waits: for operations whose course does not matter. */
#define RESULT(w, c, call)                                                                         \
    ({                                                                                             \
        SUBMIT(c, call);                                                                           \
        contract_wait(w, c);                                                                       \
    })

/* The directory's path followed by a name, in static memory that the next few calls reuse. */
const char *contract_path(struct contract_world *w, const char *name);

/* Bytes that depend on `seed` and their place, and whether they are there. */
void contract_fill(uint8_t *bytes, size_t size, uint64_t seed);
bool contract_filled(const uint8_t *bytes, size_t size, uint64_t seed);
