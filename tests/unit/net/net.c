/* SPDX-License-Identifier: Apache-2.0 */

/* Order, limits, the end: net.c and connection.c. */
#include "world.h"

#include <stdlib.h>

#include <criterion/criterion.h>

Test(net, echoes_frames_of_every_size)
{
    static const uint32_t sizes[] = {8,    9,     500,   2043,  2044,  2045,   2048,
                                     4096, 16384, 16385, 70000, 99999, 1 << 20};
    struct world w;
    world_open(&w, NULL);
    struct caller *p = caller_open(&w);
    for (unsigned i = 0; i < array_size(sizes); i++) {
        caller_send_frame(p, i, sizes[i]);
        world_run(&w, SECOND_NS / 10);
        cr_assert_eq(caller_frame(p, i), i, "frame of %u bytes", sizes[i]);
    }
    cr_assert_eq(caller_frames(p), array_size(sizes));
    world_close(&w);
}

Test(net, reads_frames_that_come_in_single_bytes)
{
    struct world w;
    world_open(&w, NULL);
    sim_faults(w.sim)->piece_max = 1;
    struct caller *p = caller_open(&w);
    caller_send_frame(p, 1, 100);
    caller_send_frame(p, 2, 3000);
    world_run(&w, 10 * SECOND_NS);
    cr_assert_eq(caller_frame(p, 0), 1);
    cr_assert_eq(caller_frame(p, 1), 2);
    world_close(&w);
}

/* The memory of a frame has room behind it, or none, or less than the size of the next frame takes;
 * what comes along with the end of a body is a part of a frame, or many whole ones. */
Test(net, what_follows_a_body_is_kept)
{
    static const uint32_t sizes[] = {70000, 70000, 8192, 8191, 8190,  8188,  5000,    9,
                                     8,     100,   8189, 3000, 16,    20481, 8,       99999,
                                     65536, 2049,  8,    8,    40960, 8184,  1 << 20, 12};
    static const uint32_t pieces[] = {1u << 30, 20000, 2048, 61};
    for (unsigned k = 0; k < array_size(pieces); k++) {
        struct world w;
        struct net_options options = {.requests_max = k % 2 ? 2 : 0};
        world_open(&w, &options);
        sim_faults(w.sim)->piece_max = pieces[k];
        struct caller *p = caller_open(&w);
        for (unsigned i = 0; i < array_size(sizes); i++) {
            caller_send_frame(p, i, sizes[i]);
        }
        world_run(&w, 60 * SECOND_NS);
        cr_assert_eq(caller_frames(p), array_size(sizes), "in pieces of %u", pieces[k]);
        for (unsigned i = 0; i < array_size(sizes); i++) {
            cr_assert_eq(caller_frame(p, i), i, "frame %u in pieces of %u", i, pieces[k]);
        }
        world_close(&w);
    }
}

Test(net, answers_pipelined_requests_in_their_order)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *p = caller_open(&w);
    uint8_t frames[32][16] = {0};
    for (uint32_t i = 0; i < 32; i++) {
        put_be32(frames[i], 12);
        put_be32(frames[i] + 4, i);
        for (uint32_t k = 4; k < 12; k++) {
            frames[i][4 + k] = (uint8_t)(i + k);
        }
    }
    caller_send(p, frames, sizeof frames);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 32, "all are handled side by side");
    for (unsigned i = 32; i-- > 1;) {
        world_answer(&w, i);
        world_run(&w, SECOND_NS / 100);
        cr_assert_eq(caller_frames(p), 0, "nothing overtakes the first");
    }
    world_answer(&w, 0);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frames(p), 32);
    for (unsigned i = 0; i < 32; i++) {
        cr_assert_eq(caller_frame(p, i), i);
    }
    world_close(&w);
}

Test(net, a_dropped_request_leaves_no_gap)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *p = caller_open(&w);
    for (uint32_t i = 0; i < 3; i++) {
        caller_send_frame(p, i, 20);
        world_run(&w, SECOND_NS / 100);
    }
    world_answer(&w, 2);
    world_drop(&w, 0);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frames(p), 0);
    world_answer(&w, 1);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(p, 0), 1);
    cr_assert_eq(caller_frame(p, 1), 2);
    world_close(&w);
}

Test(net, close_comes_after_earlier_answers)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *p = caller_open(&w);
    for (uint32_t i = 0; i < 3; i++) {
        caller_send_frame(p, i, 20);
        world_run(&w, SECOND_NS / 100);
    }
    world_cut(&w, 1);
    world_run(&w, SECOND_NS / 10);
    cr_assert(!p->closed, "the first request is still owed its answer");
    world_answer(&w, 0);
    world_run(&w, SECOND_NS / 10);
    cr_assert(p->closed);
    cr_assert_eq(caller_frames(p), 1);
    cr_assert_eq(w.abandoned, 1, "the third was in progress");
    world_close(&w);
}

Test(net, refuses_frames_of_impossible_sizes)
{
    static const uint32_t sizes[] = {0, 7, 0x80000000, 0xffffffff, (16 << 20) + 1, INT32_MAX};
    struct world w;
    world_open(&w, NULL);
    struct caller *good = caller_open(&w);
    for (unsigned i = 0; i < array_size(sizes); i++) {
        struct caller *bad = caller_open(&w);
        uint8_t bytes[40] = {0};
        put_be32(bytes, sizes[i]);
        caller_send(bad, bytes, sizeof bytes);
        world_run(&w, SECOND_NS / 10);
        cr_assert(bad->closed, "a size of %u", sizes[i]);
        caller_send_frame(good, i, 50);
        world_run(&w, SECOND_NS / 10);
        cr_assert_eq(caller_frame(good, i), i, "the other connection does not notice");
    }
    cr_assert_eq(w.request_count, array_size(sizes), "only the good ones came up");
    cr_assert_eq(net_status(w.net).closed_oversize, array_size(sizes));
    world_close(&w);
}

Test(net, reads_no_more_than_it_may_work_on)
{
    struct world w;
    struct net_options options = {.requests_max = 4};
    world_open(&w, &options);
    w.hold = true;
    struct caller *p = caller_open(&w);
    uint8_t frames[10][16] = {0};
    for (uint32_t i = 0; i < 10; i++) {
        put_be32(frames[i], 12);
        put_be32(frames[i] + 4, i);
        for (uint32_t k = 4; k < 12; k++) {
            frames[i][4 + k] = (uint8_t)(i + k);
        }
    }
    caller_send(p, frames, sizeof frames);
    world_run(&w, SECOND_NS);
    cr_assert_eq(w.request_count, 4);
    for (unsigned i = 0; i < 10; i++) {
        world_answer(&w, i);
        world_run(&w, SECOND_NS / 10);
        cr_assert_eq(w.request_count, i + 5 < 10 ? i + 5 : 10);
        cr_assert_eq(caller_frame(p, i), i);
    }
    world_close(&w);
}

/* O2: bytes are reserved before a body is read, first come first served; small ones do not stand behind large ones. */
Test(net, waits_for_credit_in_order)
{
    struct world w;
    struct net_options options = {.request_pool_bytes = 64 << 10};
    world_open(&w, &options);
    w.hold = true;
    struct caller *callers[8];
    for (uint32_t i = 0; i < 8; i++) {
        callers[i] = caller_open(&w);
        caller_send_frame(callers[i], i, 15000);
        world_run(&w, SECOND_NS / 10);
        cr_assert_leq(net_status(w.net).pool_bytes, 64 << 10);
    }
    unsigned came = w.request_count;
    cr_assert_eq(came, 3, "three of 15000 bytes fit (rounded up to 16384) beside the reserve");
    struct caller *other = caller_open(&w), *small = caller_open(&w);
    caller_send_frame(other, 8, 1025);
    caller_send_frame(small, 99, 1024);
    world_run(&w, SECOND_NS);
    cr_assert_eq(w.request_count, came + 1, "a large one does not overtake those who wait");
    world_answer(&w, came);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(small, 0), 99, "a small one has a reserve");
    for (unsigned i = 0; i < 8; i++) {
        /* The last one's body has not come when the other is let in, which is whole. */
        world_answer(&w, i < came ? i : i < 7 ? i + 1 : 9);
        world_run(&w, SECOND_NS / 10);
        cr_assert_eq(caller_frame(callers[i], 0), i, "in the order in which they asked");
    }
    world_answer(&w, 8);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(other, 0), 8);
    cr_assert_gt(net_status(w.net).pool_waits, 0);
    world_close(&w);
}

/* N6: small ones that come without end do not keep a large one out, nor do they wait for more than its turn. */
Test(net, a_large_frame_gets_its_turn_among_small_ones)
{
    enum { SMALLS = 64 };
    struct world w;
    struct net_options options = {.request_pool_bytes = 64 << 10};
    world_open(&w, &options);
    w.hold = true;
    struct caller *small = caller_open(&w), *large = caller_open(&w), *late = caller_open(&w);
    for (uint32_t i = 0; i < SMALLS - 1; i++) {
        caller_send_frame(small, i, 1000);
    }
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, SMALLS - 1, "nearly all of the pool");
    caller_send_frame(large, 1000, 15000);
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(late, 2000, 1000);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, SMALLS - 1,
                 "the room that is left is not given to more small ones");
    unsigned answered = 0;
    while (w.request_count == SMALLS - 1) {
        world_answer(&w, answered++);
        world_run(&w, SECOND_NS / 10);
    }
    cr_assert_eq(answered, 15, "as soon as there is room for the large one");
    cr_assert_eq(get_be32(w.requests[SMALLS - 1]->net.frame), 1000, "it comes first");
    world_run(&w, SECOND_NS / 10);
    world_answer(&w, answered);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, SMALLS + 1, "then the small one that waits");
    world_close(&w);
}

/* N6 for the number of requests. */
Test(net, requests_in_progress_are_shared_by_small_and_large_frames)
{
    struct world w;
    struct net_options options = {.requests_total_max = 8};
    world_open(&w, &options);
    w.hold = true;
    struct caller *large = caller_open(&w), *small = caller_open(&w), *other = caller_open(&w);
    for (uint32_t i = 0; i < 7; i++) {
        caller_send_frame(large, i, 70000);
        world_run(&w, SECOND_NS / 10);
    }
    caller_send_frame(large, 7, 70000);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 7, "large ones do not take all");
    caller_send_frame(small, 8, 100);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 8);
    for (unsigned i = 0; i < 8; i++) {
        world_answer(&w, i);
    }
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 9);
    world_answer(&w, 8);
    for (uint32_t i = 0; i < 8; i++) {
        caller_send_frame(small, 10 + i, 100);
        world_run(&w, SECOND_NS / 10);
    }
    cr_assert_eq(w.request_count, 17, "small ones take all when no large one waits");
    caller_send_frame(large, 18, 70000);
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(other, 19, 100);
    world_run(&w, SECOND_NS / 10);
    world_answer(&w, 9);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 18);
    cr_assert_eq(w.requests[17]->net.size, 70000);
    world_close(&w);
}

/* Who stood behind a frame that is no longer wanted need not wait until some request ends. */
Test(net, who_leaves_the_queue_lets_the_others_in)
{
    struct world w;
    struct net_options options = {.request_pool_bytes = 64 << 10};
    world_open(&w, &options);
    w.hold = true;
    struct caller *holder = caller_open(&w), *first = caller_open(&w), *next = caller_open(&w);
    for (uint32_t i = 0; i < 3; i++) {
        caller_send_frame(holder, i, 15000);
        world_run(&w, SECOND_NS / 10);
    }
    caller_send_frame(first, 3, 100);
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(first, 4, 15000);
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(next, 5, 5000);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 4, "the next one would fit, and stands behind the first");
    world_cut(&w, 3);
    world_run(&w, SECOND_NS / 10);
    cr_assert(first->closed);
    cr_assert_eq(w.request_count, 5);
    cr_assert_eq(get_be32(w.requests[4]->net.frame), 5);
    world_close(&w);
}

enum { HOG_SIZE = 16 << 20 };

/* Announces a large frame, which comes as drip() says. */
static void hog_begin(struct world *w, struct caller *p)
{
    uint8_t head[4];
    put_be32(head, HOG_SIZE);
    caller_send(p, head, sizeof head);
    world_run(w, SECOND_NS / 100);
}

static void hog_send(struct caller *p, size_t bytes)
{
    static const uint8_t zeros[HOG_SIZE];
    if (!p->closed) {
        caller_send(p, zeros, bytes);
    }
}

/* For `seconds`, `bytes` in each of them from each. How many are still open. */
static unsigned drip(struct world *w, struct caller **hogs, unsigned count, size_t bytes,
                     unsigned seconds)
{
    unsigned open = 0;
    for (unsigned past = 0; past < seconds; past++) {
        for (unsigned i = 0; i < count; i++) {
            hog_send(hogs[i], bytes);
        }
        world_run(w, SECOND_NS);
    }
    for (unsigned i = 0; i < count; i++) {
        open += !hogs[i]->closed;
    }
    return open;
}

/* N7: 100 KB/s is enough as long as nobody waits, and far too little for what it holds when somebody does. */
Test(net, a_large_body_that_comes_slowly_is_given_up_only_when_others_wait)
{
    struct world w;
    struct caller *hogs[3];
    world_open(&w, NULL);
    for (unsigned i = 0; i < array_size(hogs); i++) {
        hogs[i] = caller_open(&w);
        hog_begin(&w, hogs[i]);
    }
    cr_assert_eq(net_status(w.net).pool_bytes, 3 * HOG_SIZE);
    cr_assert_eq(drip(&w, hogs, 3, 100000, 40), 3, "nobody waits");
    struct caller *small = caller_open(&w), *large = caller_open(&w);
    caller_send_frame(small, 1, 1000);
    cr_assert_eq(drip(&w, hogs, 3, 100000, 1), 3);
    cr_assert_eq(caller_frame(small, 0), 1, "small ones have their reserve");
    caller_send_frame(large, 2, 10 << 20);
    cr_assert_eq(drip(&w, hogs, 3, 100000, 4), 3,
                 "a quarter had come: worth two seconds beside the grace");
    cr_assert_eq(drip(&w, hogs, 3, 100000, 3), 2, "one of them is enough");
    cr_assert_eq(caller_frame(large, 0), 2);
    cr_assert_eq(net_status(w.net).closed_slow, 1);
    cr_assert_eq(drip(&w, hogs, 3, 100000, 20), 2, "nobody waits any more");
    w.released -= 3; /* of requests that never came whole */
    world_close(&w);
}

/* N7: bodies that come fast enough for what they hold are let finish, though others wait and rate_min is far below it;
 * with many requests in progress nobody is exempt. */
Test(net, a_large_body_that_comes_fast_enough_is_let_finish)
{
    struct world w;
    struct net_options options = {.requests_max = 2};
    struct caller *hogs[3];
    world_open(&w, &options);
    w.hold = true;
    for (unsigned i = 0; i < array_size(hogs); i++) {
        hogs[i] = caller_open(&w);
        caller_send_frame(hogs[i], i,
                          500); /* is not answered: with the body it makes two in progress */
        world_run(&w, SECOND_NS / 100);
        hog_begin(&w, hogs[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        caller_send_frame(caller_open(&w), 10 + i,
                          HOG_SIZE); /* there will be room for one of them */
    }
    for (unsigned s = 0; s < 8; s++) {
        hog_send(hogs[2], HOG_SIZE / 20);
        cr_assert_eq(drip(&w, hogs, 2, HOG_SIZE / 8, 1), 2);
    }
    cr_assert(hogs[2]->closed, "half of what is asked for");
    cr_assert_eq(w.request_count, 3 + 2 + 1);
    w.released -= 2; /* that body, and that of who has gone when its turn comes at last */
    world_close(&w);
}

/* N7: a small body holds nothing that large ones wait for. It has what rate_min and a grace allow. */
Test(net, a_small_body_is_not_given_up_for_large_ones)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *slow = caller_open(&w), *large[7];
    uint8_t bytes[4 + 60000] = {0};
    put_be32(bytes, 60000);
    for (uint32_t i = 0; i < array_size(large); i++) {
        large[i] = caller_open(&w);
        caller_send_frame(large[i], i, HOG_SIZE);
        world_run(&w, SECOND_NS / 10);
    }
    cr_assert_eq(w.request_count, 3);
    caller_send(slow, bytes, 1000);
    world_run(&w, 4 * SECOND_NS);
    cr_assert(!slow->closed);
    caller_send(slow, bytes + 1000, sizeof bytes - 1000);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, 4);
    for (unsigned i = 0; i < 8; i++) {
        world_answer(&w, i);
        world_run(&w, SECOND_NS / 10);
    }
    world_close(&w);
}

/* Memory for bodies of which nothing comes goes to those who wait for it. */
Test(net, a_body_that_stops_does_not_keep_others_waiting)
{
    struct world w;
    struct net_options options = {.request_pool_bytes = 64 << 10};
    world_open(&w, &options);
    struct caller *stuck[3];
    for (uint32_t i = 0; i < 3; i++) {
        static const uint8_t beginning[4 + 1000] = {0, 0, 15000 >> 8, 15000 & 255};
        stuck[i] = caller_open(&w);
        caller_send(stuck[i], beginning, sizeof beginning);
    }
    world_run(&w, SECOND_NS * 3 / 2);
    cr_assert(!stuck[0]->closed, "as long as nobody waits");
    struct caller *other = caller_open(&w);
    caller_send_frame(other, 7, 15000);
    world_run(&w, SECOND_NS * 3 / 2);
    cr_assert_eq(caller_frame(other, 0), 7);
    cr_assert_gt(net_status(w.net).closed_slow, 0);
    w.released -= (unsigned)net_status(w.net).closed_slow; /* of requests that never came */
    world_close(&w);
}

Test(net, a_request_takes_a_quarter_of_the_pool_at_most)
{
    struct world w;
    struct net_options options = {.request_pool_bytes = 64 << 10};
    world_open(&w, &options);
    struct caller *p = caller_open(&w), *q = caller_open(&w);
    caller_send_frame(p, 1, 16 << 10);
    world_run(&w, SECOND_NS);
    cr_assert_eq(caller_frame(p, 0), 1);
    caller_send_frame(q, 2, (16 << 10) + 1);
    world_run(&w, SECOND_NS);
    cr_assert(q->closed);
    world_close(&w);
}

Test(net, a_hold_keeps_the_frame_after_the_answer)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *p = caller_open(&w);
    caller_send_frame(p, 5, 4000);
    world_run(&w, SECOND_NS / 10);
    struct server_request *r = w.requests[0];
    net_hold(&r->net);
    world_answer(&w, 0);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(p, 0), 5);
    cr_assert_eq(w.released, 0);
    cr_assert_eq(get_be32(r->net.frame), 5, "the bytes are still there");
    net_unhold(&r->net);
    cr_assert_eq(w.released, 1);
    world_close(&w);
}

static void do_resume(struct world *w, unsigned number)
{
    net_resume(&w->requests[number]->net);
}

/* What has come in the same receive, in part or whole, waits as well; others do not. */
Test(net, a_pause_keeps_later_requests_of_its_connection_back)
{
    static const size_t sizes[] = {12, 20000, 12, 12, 90000, 12};
    struct world w;
    world_open(&w, NULL);
    w.hold = w.pause = true;
    struct caller *p = caller_open(&w), *other;
    for (uint32_t i = 0; i < array_size(sizes); i++) {
        caller_send_frame(p, i, sizes[i]);
    }
    for (unsigned i = 0; i < array_size(sizes); i++) {
        world_run(&w, SECOND_NS / 10);
        cr_assert_eq(w.request_count, i + 1);
        world_do(&w, do_resume, i);
    }
    world_run(&w, SECOND_NS / 10);
    for (unsigned i = array_size(sizes); i-- > 0;) {
        world_answer(&w, i);
    }
    caller_send_frame(p, 6, 12);
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(p, 7, 12); /* waits for ever: its connection goes first */
    other = caller_open(&w);
    caller_send_frame(other, 8, 12);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.request_count, array_size(sizes) + 2, "the other is not paused");
    caller_close(p);
    world_run(&w, SECOND_NS / 10);
    for (unsigned i = array_size(sizes); i < w.request_count; i++) {
        world_do(&w, do_resume, i);
        world_answer(&w, i);
    }
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frames(p), array_size(sizes));
    cr_assert_eq(caller_frames(other), 1);
    cr_assert_eq(net_status(w.net).requests, 0);
    world_close(&w);
}

Test(net, requests_outlive_their_connection)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *p = caller_open(&w);
    for (uint32_t i = 0; i < 5; i++) {
        caller_send_frame(p, i, 20000);
        world_run(&w, SECOND_NS / 10);
    }
    caller_close(p);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.abandoned, 5);
    cr_assert_eq(net_status(w.net).connections, 0);
    cr_assert_eq(net_status(w.net).requests, 5);
    for (unsigned i = 0; i < 5; i++) {
        world_answer(&w, i);
    }
    cr_assert_eq(net_status(w.net).requests, 0);
    world_close(&w);
}

Test(net, a_body_cut_off_by_the_client_is_given_back)
{
    struct world w;
    world_open(&w, NULL);
    struct caller *p = caller_open(&w);
    uint8_t head[100] = {0};
    put_be32(head, 1 << 20);
    caller_send(p, head, sizeof head);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(net_status(w.net).pool_bytes, 1 << 20);
    caller_close(p);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(net_status(w.net).pool_bytes, 0);
    cr_assert_eq(w.request_count, 0);
    w.released = 0; /* the one that never came whole */
    world_close(&w);
}

Test(net, refuses_connections_above_the_limit)
{
    struct world w;
    struct net_options options = {.connections_max = 3};
    world_open(&w, &options);
    struct caller *p[5];
    for (unsigned i = 0; i < 5; i++) {
        p[i] = caller_open(&w);
        caller_send_frame(p[i], i, 30);
        world_run(&w, SECOND_NS / 10);
        cr_assert_eq(p[i]->closed, i >= 3);
        cr_assert_eq(caller_frames(p[i]), i < 3);
    }
    caller_close(p[0]);
    world_run(&w, SECOND_NS / 10);
    struct caller *late = caller_open(&w);
    caller_send_frame(late, 8, 30);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(late, 0), 8);
    cr_assert_eq(net_status(w.net).refused, 2);
    world_close(&w);
}

Test(net, idle_connections_are_closed)
{
    struct world w;
    struct net_options options = {.idle_ms = 10000};
    world_open(&w, &options);
    struct caller *idle = caller_open(&w), *busy = caller_open(&w);
    for (unsigned i = 0; i < 20; i++) {
        caller_send_frame(busy, i, 20);
        world_run(&w, SECOND_NS);
    }
    cr_assert(idle->closed);
    cr_assert(!busy->closed);
    cr_assert_eq(net_status(w.net).closed_idle, 1);
    world_close(&w);
}

Test(net, a_request_in_progress_is_not_idle)
{
    struct world w;
    struct net_options options = {.idle_ms = 2000};
    world_open(&w, &options);
    w.hold = true;
    struct caller *p = caller_open(&w);
    caller_send_frame(p, 3, 20);
    world_run(&w, 60 * SECOND_NS);
    cr_assert(!p->closed);
    world_answer(&w, 0);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(p, 0), 3);
    world_close(&w);
}

/* Slowloris: a body or a size that does not come. */
Test(net, frames_that_come_too_slowly_end_their_connection)
{
    struct world w;
    world_open(&w, NULL);
    struct caller *body = caller_open(&w), *head = caller_open(&w), *good = caller_open(&w);
    uint8_t bytes[64] = {0};
    put_be32(bytes, 65536 * 4);
    caller_send(body, bytes, sizeof bytes);
    caller_send(head, bytes, 2);
    for (unsigned i = 0; i < 8; i++) {
        world_run(&w, SECOND_NS);
        caller_send(body, bytes + 4, 10);
        caller_send_frame(good, i, 20);
    }
    cr_assert(head->closed, "two bytes of a size");
    cr_assert(!body->closed, "nine seconds are allowed for 256 KiB");
    world_run(&w, 3 * SECOND_NS);
    cr_assert(body->closed);
    cr_assert(!good->closed);
    cr_assert_eq(net_status(w.net).closed_slow, 2);
    w.released -= 1;
    world_close(&w);
}

/* One client keeps all places taken, and tries for more without pause. */
Test(net, brokers_find_a_place_beside_clients_that_take_all)
{
    enum { CLIENTS = 3, BROKERS = 2 };
    struct world w;
    struct net_options options = {.connections_max = CLIENTS, .brokers_max = BROKERS};
    world_open(&w, &options);
    struct caller *clients[CLIENTS], *more[8], *brokers[BROKERS + 1];
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = caller_open(&w);
        world_run(&w, SECOND_NS / 100);
    }
    for (unsigned i = 0; i < array_size(more); i++) {
        more[i] = caller_open(&w);
        world_run(&w, SECOND_NS / 100);
        cr_assert(!more[i]->closed, "what it is shows its first request");
        cr_assert(i < BROKERS || more[i - BROKERS]->closed, "the oldest makes room");
    }
    for (unsigned i = 0; i < BROKERS; i++) {
        brokers[i] = caller_open(&w);
        caller_send_frame(brokers[i], MARK_BROKER + i, 20);
        world_run(&w, SECOND_NS / 100);
        cr_assert_eq(caller_frame(brokers[i], 0), MARK_BROKER + i);
    }
    brokers[BROKERS] = caller_open(&w);
    caller_send_frame(brokers[BROKERS], MARK_BROKER, 20);
    world_run(&w, SECOND_NS / 100);
    cr_assert(brokers[BROKERS]->closed, "not more than there are places for");
    cr_assert_eq(net_status(w.net).refused, array_size(more),
                 "all but the last of them, and a broker");
    for (unsigned i = 0; i < 3; i++) { /* the first goes on asking, the second is silent */
        caller_send_frame(brokers[0], MARK_BROKER + 7, 20);
        world_run(&w, SECOND_NS / 2);
    }
    struct caller *late = caller_open(&w);
    caller_send_frame(late, MARK_BROKER + 8, 20);
    world_run(&w, SECOND_NS / 100);
    cr_assert_eq(caller_frame(late, 0), MARK_BROKER + 8);
    cr_assert(brokers[1]->closed && !brokers[0]->closed, "who was silent makes room");
    for (unsigned i = 0; i < CLIENTS; i++) {
        caller_send_frame(clients[i], i, 20);
        caller_send_frame(brokers[0], MARK_BROKER + 9, 20);
        world_run(&w, SECOND_NS / 100);
        cr_assert_eq(caller_frame(clients[i], 0), i, "nobody is sent away who was there");
        cr_assert_eq(caller_frame(brokers[0], i + 4), MARK_BROKER + 9);
    }
    world_close(&w);
}

Test(net, a_client_too_many_is_served_when_another_has_left)
{
    struct world w;
    struct net_options options = {.connections_max = 1, .brokers_max = 1};
    world_open(&w, &options);
    struct caller *first = caller_open(&w);
    world_run(&w, SECOND_NS / 100);
    struct caller *second = caller_open(&w);
    world_run(&w, SECOND_NS / 100);
    caller_send_frame(second, 1, 20);
    world_run(&w, SECOND_NS / 100);
    cr_assert(second->closed);
    cr_assert_eq(caller_frames(second), 0);
    struct caller *third = caller_open(&w);
    world_run(&w, SECOND_NS / 100);
    caller_close(first);
    world_run(&w, SECOND_NS / 100);
    caller_send_frame(third, 3, 20);
    world_run(&w, SECOND_NS / 100);
    cr_assert_eq(caller_frame(third, 0), 3);
    struct caller *fourth = caller_open(&w);
    caller_send_frame(fourth, 4, 20);
    world_run(&w, SECOND_NS / 100);
    cr_assert(fourth->closed, "the third has taken the place of the first");
    world_close(&w);
}

Test(net, stop_lets_answers_leave)
{
    struct world w;
    world_open(&w, NULL);
    w.hold = true;
    struct caller *busy = caller_open(&w), *idle = caller_open(&w);
    caller_send_frame(busy, 4, 40);
    world_run(&w, SECOND_NS / 10);
    net_stop(w.net, &w.stop, 5000);
    world_run(&w, SECOND_NS / 10);
    cr_assert(idle->closed);
    cr_assert(!busy->closed);
    cr_assert(!w.stopped);
    world_answer(&w, 0);
    world_run(&w, SECOND_NS / 10);
    cr_assert_eq(caller_frame(busy, 0), 4);
    cr_assert(busy->closed);
    cr_assert(w.stopped);
    world_close(&w);
}

Test(net, stop_does_not_wait_for_clients_for_ever)
{
    struct world w;
    world_open(&w, NULL);
    w.answer_size = 4 << 20;
    struct caller *p = caller_open(&w);
    p->lazy = true;
    world_run(&w, SECOND_NS / 10);
    caller_send_frame(p, 4, 40);
    world_run(&w, SECOND_NS / 10);
    net_stop(w.net, &w.stop, 2000);
    world_run(&w, SECOND_NS);
    cr_assert(!w.stopped);
    world_run(&w, 2 * SECOND_NS);
    cr_assert(w.stopped);
    world_close(&w);
}
