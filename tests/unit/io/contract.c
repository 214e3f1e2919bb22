/* SPDX-License-Identifier: Apache-2.0 */

/* The contract's helpers, and its tests of timers, cancellation, turns, work, messages and the
 * machine. */
#include "unit/io/contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { TURNS_MAX = 200000, PATHS = 8 };

static const struct contract_test *contract_find(size_t index)
{
    if (index < contract_basics_count) {
        return &contract_basics[index];
    }
    index -= contract_basics_count;
    if (index < contract_files_count) {
        return &contract_files[index];
    }
    index -= contract_files_count;
    cr_assert(index < contract_sockets_count);
    return &contract_sockets[index];
}

size_t contract_count(void)
{
    return contract_basics_count + contract_files_count + contract_sockets_count;
}

const char *contract_name(size_t index)
{
    return contract_find(index)->name;
}

void contract_run(size_t index, struct contract_world *w)
{
    struct io *io = w->open(w);
    contract_find(index)->run(w, io);
    w->close(w);
}

static void contract_done(struct io_op *op, int64_t result)
{
    struct contract_op *c = container_of(op, struct contract_op, op);
    cr_assert(!c->submitting, "done() was called from inside the submitting call");
    cr_assert(c->calls == 0, "done() was called twice");
    cr_assert(io_op_idle(op), "inside done() the operation is idle");
    c->calls++;
    c->result = result;
    if (c->then) {
        c->then(c);
    }
}

struct io_op *contract_begin(struct contract_op *c)
{
    cr_assert(io_op_idle(&c->op));
    c->op.done = contract_done;
    c->calls = 0;
    c->result = INT64_MIN;
    c->submitting = true;
    return &c->op;
}

void contract_end(struct contract_op *c)
{
    cr_assert_eq(c->calls, 0);
    cr_assert(!io_op_idle(&c->op));
    c->submitting = false;
}

int64_t contract_wait(struct contract_world *w, struct contract_op *c)
{
    for (unsigned turns = 0; c->calls == 0; turns++) {
        cr_assert(turns < TURNS_MAX, "the operation is never done");
        w->turn(w);
    }
    return c->result;
}

const char *contract_path(struct contract_world *w, const char *name)
{
    static char paths[PATHS][IO_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % PATHS];
    int size = snprintf(path, IO_PATH_MAX, "%s/%s", w->directory, name);
    cr_assert(size > 0 && size < IO_PATH_MAX);
    return path;
}

static uint8_t fill_byte(uint64_t seed, size_t at)
{
    return (uint8_t)((seed + at) * 0x9e3779b97f4a7c15 >> 56);
}

void contract_fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = fill_byte(seed, i);
    }
}

bool contract_filled(const uint8_t *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != fill_byte(seed, i)) {
            return false;
        }
    }
    return true;
}

/* --- timers ----------------------------------------------------------------------------------- */

enum { TIMERS = 5 };

struct order {
    struct contract_op *done[64];
    unsigned count;
};

static void note_order(struct contract_op *c)
{
    struct order *order = c->context;
    cr_assert(order->count < array_size(order->done));
    order->done[order->count++] = c;
}

static void timers_fire_in_order(struct contract_world *w, struct io *io)
{
    static const uint64_t delays_ms[TIMERS] = {6, 2, 4, 2, 0};
    static const unsigned expected[TIMERS] = {4, 1, 3, 2, 0};
    struct contract_op timers[TIMERS] = {0};
    struct order order = {0};
    uint64_t start = io_now(io);
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i].then = note_order;
        timers[i].context = &order;
        SUBMIT(&timers[i], io_timer(io, op, start + delays_ms[i] * 1000000));
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        cr_assert_eq(contract_wait(w, &timers[expected[i]]), 0);
        cr_assert(io_now(io) >= start + delays_ms[expected[i]] * 1000000, "a timer fired early");
        cr_assert(order.count > i && order.done[i] == &timers[expected[i]],
                  "timer %u is not number %u", expected[i], i);
    }
}

struct rearm {
    struct contract_op op;
    struct io *io;
    unsigned left;
};

static void rearm_again(struct contract_op *c)
{
    struct rearm *r = c->context;
    if (r->left > 0) {
        r->left--;
        SUBMIT(c, io_timer(r->io, op, 0));
    }
}

static void done_may_submit_again(struct contract_world *w, struct io *io)
{
    struct rearm r = {.io = io, .left = 100};
    r.op.then = rearm_again;
    r.op.context = &r;
    SUBMIT(&r.op, io_timer(io, op, 0));
    /* Each submission is for a later turn, however overdue it is. */
    for (unsigned before = r.left; r.left > 0; before = r.left) {
        w->turn(w);
        cr_assert(before - r.left <= 1, "a timer fired twice in one turn");
    }
    cr_assert_eq(contract_wait(w, &r.op), 0);
}

static void cancel_ends_a_timer(struct contract_world *w, struct io *io)
{
    struct contract_op timer = {0}, other = {0};
    io_cancel(io, &timer.op); /* idle: harmless */
    SUBMIT(&timer, io_timer(io, op, io_now(io) + UINT64_C(3600000000000)));
    SUBMIT(&other, io_timer(io, op, io_now(io) + 1000000));
    io_cancel(io, &timer.op);
    io_cancel(io, &timer.op);
    cr_assert_eq(timer.calls, 0, "io_cancel() called done()");
    cr_assert_eq(contract_wait(w, &timer), -ECANCELED);
    cr_assert_eq(contract_wait(w, &other), 0);
    SUBMIT(&timer, io_timer(io, op, io_now(io) + 1000000));
    cr_assert_eq(contract_wait(w, &timer), 0, "a cancelled operation serves again");
}

/* --- turns ------------------------------------------------------------------------------------ */

struct turn_note {
    struct io_turn turn;
    struct io *io;
    unsigned runs, handlers;
    struct contract_op timers[3];
};

static void note_turn_end(struct io_turn *t)
{
    struct turn_note *n = container_of(t, struct turn_note, turn);
    n->runs++;
    cr_assert_eq(n->handlers, 3, "the end of a turn came before the turn's handlers");
}

static void note_handler(struct contract_op *c)
{
    struct turn_note *n = c->context;
    n->handlers++;
    io_turn_end(n->io, &n->turn);
    io_turn_end(n->io, &n->turn);
}

static void turn_end_runs_once(struct contract_world *w, struct io *io)
{
    struct turn_note n = {.turn.turn_end = note_turn_end, .io = io};
    for (unsigned i = 0; i < 3; i++) {
        n.timers[i].then = note_handler;
        n.timers[i].context = &n;
        SUBMIT(&n.timers[i], io_timer(io, op, io_now(io)));
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(contract_wait(w, &n.timers[i]), 0);
    }
    for (unsigned turns = 0; n.runs == 0; turns++) {
        cr_assert(turns < TURNS_MAX);
        w->turn(w);
    }
    cr_assert_eq(n.runs, 1);
}

/* --- work ------------------------------------------------------------------------------------- */

enum { WORKS = 50 };

static void square(void *argument)
{
    uint64_t *number = argument;
    *number *= *number;
}

static void work_runs_elsewhere(struct contract_world *w, struct io *io)
{
    struct contract_op ops[WORKS] = {0};
    uint64_t numbers[WORKS];
    for (unsigned i = 0; i < WORKS; i++) {
        numbers[i] = i;
        SUBMIT(&ops[i], (i % 2 ? io_work_behind : io_work)(io, op, square, &numbers[i]));
    }
    for (unsigned i = 0; i < WORKS; i++) {
        cr_assert_eq(contract_wait(w, &ops[i]), 0);
        cr_assert_eq(numbers[i], (uint64_t)i * i);
    }
}

static void work_may_be_cancelled(struct contract_world *w, struct io *io)
{
    struct contract_op ops[WORKS] = {0};
    uint64_t numbers[WORKS];
    for (unsigned i = 0; i < WORKS; i++) {
        numbers[i] = i + 2;
        SUBMIT(&ops[i], (i % 2 ? io_work_behind : io_work)(io, op, square, &numbers[i]));
        io_cancel(io, &ops[i].op);
    }
    for (unsigned i = 0; i < WORKS; i++) {
        int64_t result = contract_wait(w, &ops[i]);
        cr_assert(result == 0 || result == -ECANCELED);
        cr_assert_eq(numbers[i], result == 0 ? (uint64_t)(i + 2) * (i + 2) : i + 2,
                     "a cancelled function ran, or a finished one did not");
    }
}

/* --- messages --------------------------------------------------------------------------------- */

struct numbered {
    struct io_message message;
    struct mailbox *box;
    unsigned number;
};

struct mailbox {
    struct io *io; /* on which they must arrive */
    unsigned expected;
    bool posting;
};

static void check_numbered(struct io_message *m, struct io *io)
{
    struct numbered *n = container_of(m, struct numbered, message);
    cr_assert(!n->box->posting, "deliver() was called from inside io_post()");
    cr_assert_eq(io, n->box->io, "a message arrived on another shard");
    cr_assert_eq(n->number, n->box->expected, "messages of one sender arrive in order");
    n->box->expected++;
}

static void post_all(struct contract_world *w, struct io *from, struct io *to, unsigned count)
{
    struct numbered *all = calloc(count, sizeof *all);
    struct mailbox box = {.io = to};
    for (unsigned i = 0; i < count; i++) {
        all[i] = (struct numbered){{.deliver = check_numbered}, &box, i};
        box.posting = true;
        io_post(from, io_shard(to), &all[i].message);
        box.posting = false;
        if (i % 1000 == 999) {
            w->turn(w);
        }
    }
    for (unsigned turns = 0; box.expected < count; turns++) {
        cr_assert(turns < TURNS_MAX, "only %u of %u messages arrived", box.expected, count);
        w->turn(w);
    }
    free(all);
}

static void posts_to_itself_in_order(struct contract_world *w, struct io *io)
{
    post_all(w, io, io, 1000);
}

static void posts_to_a_shard_in_order(struct contract_world *w, struct io *io)
{
    struct io *second = w->second ? w->second(w) : NULL;
    if (second) {
        post_all(w, io, second, 100000);
        post_all(w, second, io, 100000);
    }
}

/* A ball that each side throws back from inside deliver(). */
struct ball {
    struct io_message message;
    unsigned left;
};

static void throw_back(struct io_message *m, struct io *io)
{
    struct ball *b = container_of(m, struct ball, message);
    if (b->left > 0) {
        b->left--;
        io_post(io, 1 - io_shard(io), m);
    }
}

static void a_message_travels_again(struct contract_world *w, struct io *io)
{
    struct io *second = w->second ? w->second(w) : NULL;
    if (!second) {
        return;
    }
    struct ball b = {{.deliver = throw_back}, 1000};
    io_post(io, io_shard(second), &b.message);
    for (unsigned turns = 0; b.left > 0; turns++) {
        cr_assert(turns < TURNS_MAX, "the ball is lost with %u throws to go", b.left);
        w->turn(w);
    }
}

/* --- the machine ------------------------------------------------------------------------------ */

static void the_clock_goes_on(struct contract_world *w, struct io *io)
{
    struct contract_op timer = {0};
    uint64_t before = io_now(io);
    int64_t wall = io_wall_ms(io);
    cr_assert(io_clock(io) >= before);
    cr_assert_eq(RESULT(w, &timer, io_timer(io, op, before + 20000000)), 0);
    cr_assert(io_now(io) >= before + 20000000);
    cr_assert(io_wall_ms(io) > wall, "the wall clock stands still");
    cr_assert(wall > INT64_C(946684800000), "the wall clock is before the year 2000");
}

static void entropy_and_identity(struct contract_world *w, struct io *io)
{
    uint8_t a[64] = {0}, b[64] = {0};
    io_random(io, a, sizeof a);
    io_random(io, b, sizeof b);
    cr_assert(memcmp(a, b, sizeof a) != 0);
    cr_assert(!uuid_is_zero(io_boot_id(io)));
    cr_assert(uuid_equal(io_boot_id(io), io_boot_id(io)));
    cr_assert(strlen(io_backend_name(io)) > 0);
    cr_assert(io_shard(io) < io_shard_count(io));
}

const struct contract_test contract_basics[] = {
    {"timers_fire_in_order", timers_fire_in_order},
    {"done_may_submit_again", done_may_submit_again},
    {"cancel_ends_a_timer", cancel_ends_a_timer},
    {"turn_end_runs_once", turn_end_runs_once},
    {"work_runs_elsewhere", work_runs_elsewhere},
    {"work_may_be_cancelled", work_may_be_cancelled},
    {"posts_to_itself_in_order", posts_to_itself_in_order},
    {"posts_to_a_shard_in_order", posts_to_a_shard_in_order},
    {"a_message_travels_again", a_message_travels_again},
    {"the_clock_goes_on", the_clock_goes_on},
    {"entropy_and_identity", entropy_and_identity},
};
const size_t contract_basics_count = array_size(contract_basics);
