/* SPDX-License-Identifier: Apache-2.0 */

/* Slices on their way out, and readers that are slow: output.c. */
#include "world.h"

#include <criterion/criterion.h>

Test(output, slices_leave_in_short_sends)
{
    struct world w;
    world_open(&w, NULL);
    sim_faults(w.sim)->short_transfers = 500000;
    w.answer_size = 3 << 20;
    struct caller *p = caller_open(&w);
    for (uint32_t i = 0; i < 4; i++) {
        caller_send_frame(p, i, 30);
    }
    world_run(&w, 20 * SECOND_NS);
    cr_assert_eq(caller_frames(p), 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(caller_frame(p, i), i);
    }
    cr_assert_eq(net_status(w.net).lent_bytes, 0);
    world_close(&w);
}

/* O4: answers that wait are bounded for each connection: it is not read meanwhile. */
Test(output, a_slow_reader_is_not_read)
{
    struct world w;
    struct net_options options = {.response_bytes_max = 1 << 20};
    world_open(&w, &options);
    w.answer_size = 900 << 10;
    struct caller *slow = caller_open(&w), *good = caller_open(&w);
    slow->lazy = true;
    world_run(&w, SECOND_NS / 10);
    for (uint32_t i = 0; i < 6; i++) {
        caller_send_frame(slow, i, 30);
    }
    world_run(&w, SECOND_NS);
    cr_assert_leq(w.request_count, 5, "it stops being read when its answers do not leave");
    unsigned before = w.request_count;
    caller_send_frame(good, 77, 30);
    world_run(&w, SECOND_NS);
    cr_assert_eq(caller_frame(good, 0), 77, "the other connection does not notice");
    cr_assert_eq(w.request_count, before + 1);
    slow->lazy = false;
    caller_receive(slow);
    world_run(&w, 5 * SECOND_NS);
    cr_assert_eq(caller_frames(slow), 6);
    world_close(&w);
}

Test(output, a_reader_that_takes_nothing_is_closed)
{
    struct world w;
    struct net_options options = {.stall_ms = 30000};
    world_open(&w, &options);
    w.answer_size = 2 << 20;
    struct caller *p = caller_open(&w);
    p->lazy = true;
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(p, 1, 30);
    world_run(&w, 20 * SECOND_NS);
    cr_assert_eq(net_status(w.net).connections, 1);
    world_run(&w, 60 * SECOND_NS);
    cr_assert_eq(net_status(w.net).connections, 0);
    cr_assert_eq(net_status(w.net).closed_slow, 1);
    cr_assert_eq(w.lent.references, 1, "what it held was released");
    world_close(&w);
}

/* N5: sockets do not pin more of the log's memory than they may. */
Test(output, lent_memory_is_copied_when_there_is_too_much_of_it)
{
    struct world w;
    struct net_options options = {.lent_bytes_max = 3 << 20};
    world_open(&w, &options);
    w.answer_size = 1 << 20;
    struct caller *slow[6];
    for (unsigned i = 0; i < 6; i++) {
        slow[i] = caller_open(&w);
        slow[i]->lazy = true;
        world_run(&w, SECOND_NS / 10);
        caller_send_frame(slow[i], i, 30);
        world_run(&w, SECOND_NS / 100);
    }
    cr_assert(net_crowded(w.net));
    cr_assert_eq(net_status(w.net).copied_answers, 0, "they have a second");
    world_run(&w, 3 * SECOND_NS);
    cr_assert_gt(net_status(w.net).copied_answers, 0);
    cr_assert_leq(net_status(w.net).lent_bytes, 3 << 19);
    cr_assert(!net_crowded(w.net));
    for (unsigned i = 0; i < 6; i++) {
        slow[i]->lazy = false;
        caller_receive(slow[i]);
    }
    world_run(&w, 10 * SECOND_NS);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(caller_frame(slow[i], 0), i, "the copy is the same bytes");
    }
    world_close(&w);
}

/* N5: copies leave half of the memory to others. */
Test(output, who_takes_nothing_is_closed_when_half_of_the_memory_is_used)
{
    struct world w;
    struct memory memory;
    memory_init(&memory, 4 << 20);
    struct net_options options = {.memory = &memory};
    world_open(&w, &options);
    w.answer_size = 3 << 20;
    struct caller *slow = caller_open(&w), *good = caller_open(&w);
    slow->lazy = true;
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(slow, 1, 30);
    world_run(&w, 4 * SECOND_NS);
    cr_assert_eq(net_status(w.net).copied_answers, 0);
    cr_assert_eq(net_status(w.net).closed_slow, 1);
    cr_assert_eq(w.lent.references, 1, "what it held was released");
    w.answer_size = 0;
    caller_send_frame(good, 2, 30);
    world_run(&w, SECOND_NS);
    cr_assert_eq(caller_frame(good, 0), 2);
    world_close(&w);
}

/* What was lent in one turn, also to those who take it, may be far too much when most of the memory is
 * used: who holds little of it, or no more than an equal share, is not closed for that. */
Test(output, who_holds_little_is_not_closed_for_the_others)
{
    for (unsigned variant = 0; variant < 4; variant++) {
        unsigned first = variant % 2;
        struct world w;
        struct memory memory;
        memory_init(&memory, 16 << 20);
        void *used = memory_alloc(&memory, 9 << 20);
        struct net_options options = {.memory = &memory, .lent_bytes_max = 1 << 20};
        world_open(&w, &options);
        w.hold = true;
        struct caller *callers[4];
        size_t sizes[4];
        for (unsigned i = 0; i < 4; i++) {
            callers[i] = caller_open(&w);
            callers[i]->lazy = i / 2 == first;
            sizes[i] = callers[i]->lazy ? 8 << 20 : variant < 2 ? 1000 : 200 << 10;
            world_run(&w, SECOND_NS / 10);
            caller_send_frame(callers[i], i, 30);
            world_run(&w, SECOND_NS / 10);
        }
        world_answer_all(&w, sizes);
        world_run(&w, SECOND_NS);
        cr_assert_eq(net_status(w.net).closed_slow, 2, "those who take nothing");
        for (unsigned i = 0; i < 4; i++) {
            cr_assert_eq(caller_frames(callers[i]), callers[i]->lazy ? 0 : 1);
        }
        world_close(&w);
        memory_free(&memory, used);
    }
}

/* N5: only who has not taken what was lent to him waits for room. */
Test(output, a_crowd_is_felt_by_those_who_make_it)
{
    struct world w;
    struct net_options options = {.lent_bytes_max = 1 << 20};
    world_open(&w, &options);
    w.answer_size = 1 << 20;
    struct caller *slow = caller_open(&w), *good = caller_open(&w);
    slow->lazy = true;
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(slow, 1, 30);
    world_run(&w, SECOND_NS / 10);
    cr_assert(net_crowded(w.net));
    w.answer_size = 0;
    caller_send_frame(slow, 2, 30);
    caller_send_frame(good, 3, 30);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(good, 0), 3, "it owes nothing, and is answered");
    cr_assert_eq(w.request_count, 2, "the other one is not read");
    world_run(&w, 3 * SECOND_NS);
    cr_assert(!net_crowded(w.net), "its answer is a copy now");
    cr_assert_eq(w.request_count, 3, "and it is read again");
    slow->lazy = false;
    caller_receive(slow);
    world_run(&w, SECOND_NS);
    cr_assert_eq(caller_frame(slow, 1), 2);
    world_close(&w);
}

Test(output, a_connection_that_holds_too_much_even_as_a_copy_is_closed)
{
    struct world w;
    struct net_options options = {.lent_bytes_max = 1 << 20, .response_bytes_max = 1 << 20};
    world_open(&w, &options);
    w.answer_size = 8 << 20;
    struct caller *slow = caller_open(&w), *good = caller_open(&w);
    slow->lazy = true;
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(slow, 1, 30);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(net_status(w.net).connections, 1, "far above the limit: at once");
    cr_assert_eq(w.lent.references, 1);
    w.answer_size = 0;
    caller_send_frame(good, 2, 30);
    world_run(&w, SECOND_NS);
    cr_assert_eq(caller_frame(good, 0), 2);
    world_close(&w);
}
