/* SPDX-License-Identifier: Apache-2.0 */

/* The outgoing connection: requests and answers, connecting and its pauses, hostile answers. */
#include "peer_world.h"

#include <criterion/criterion.h>

static struct peer_options with_addresses(unsigned count)
{
    static const struct peer_address addresses[] = {{"fake0", FAKE_PORT}, {"fake1", FAKE_PORT}};
    return (struct peer_options){.addresses = addresses, .address_count = count};
}

/* --- requests --------------------------------------------------------------------------------- */

Test(peer, connects_only_for_a_request)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 1);
    peer_world_run(&w, 10 * SECOND_NS);
    cr_assert_eq(w.fakes[0].connection_count, 0);
    w.fakes[0].answers = true;
    struct item *i = item_new(&w);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->done, 1);
    cr_assert_eq(i->error, 0);
    cr_assert(i->maybe_received);
    cr_assert_eq(i->version, i->request.version_max);
    cr_assert_eq(i->body_size, i->size);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->done, 2);
    cr_assert_eq(w.fakes[0].connection_count, 1, "the connection is kept");
    struct peer_status s = peer_status(w.peer);
    cr_assert(s.ready);
    cr_assert_eq(s.connections, 1);
    cr_assert_eq(s.in_flight + s.waiting, 0);
    peer_world_close(&w);
}

Test(peer, answers_come_in_any_order)
{
    static const unsigned order[] = {3, 0, 4, 1, 2};
    struct peer_world w;
    peer_world_open(&w, NULL, 2);
    for (unsigned i = 0; i < 5; i++) {
        item_new(&w);
    }
    items_submit(&w, 0, 5);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.seen_count, 5);
    cr_assert_eq(peer_status(w.peer).in_flight, 5);
    for (unsigned k = 0; k < 5; k++) {
        fake_answer(&w, order[k], 100 * k + 1);
        peer_world_run(&w, SECOND_NS / 10);
        for (unsigned i = 0; i < 5; i++) {
            bool answered = false;
            for (unsigned before = 0; before <= k; before++) {
                answered = answered || order[before] == i;
            }
            cr_assert_eq(w.items[i].done, answered);
        }
        cr_assert_eq(w.items[order[k]].body_size, 100 * k + 1);
    }
    peer_world_close(&w);
}

Test(peer, requests_beyond_the_limit_wait_for_answers)
{
    struct peer_world w;
    peer_world_open(&w, &(struct peer_options){.requests_max = 3}, 3);
    for (unsigned i = 0; i < 8; i++) {
        item_new(&w);
    }
    items_submit(&w, 0, 8);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.seen_count, 3);
    for (unsigned n = 0; n < 8; n++) {
        fake_answer(&w, n, 10);
        peer_world_run(&w, SECOND_NS / 10);
        cr_assert_eq(w.seen_count, n + 4 < 8 ? n + 4 : 8);
    }
    peer_world_close(&w);
}

/* Every size around those of the inbox, in pieces of every kind; kept answers outlive the peer. */
Test(peer, answers_of_every_size)
{
    static const uint32_t sizes[] = {0,    1,    100,  4086, 4087,  4088,   4089,
                                     4090, 4096, 8183, 8192, 70000, 5 << 20};
    static const uint32_t pieces[] = {0, 5000, 4096, 61, 1};
    for (unsigned k = 0; k < array_size(pieces); k++) {
        struct peer_world w;
        peer_world_open(&w, NULL, 4);
        w.out_max = 8 << 20;
        unsigned count = pieces[k] == 0 || pieces[k] > 1000 ? array_size(sizes) : 12;
        count = pieces[k] == 1 ? 10 : count;
        sim_faults(w.sim)->piece_max = pieces[k];
        for (unsigned i = 0; i < count; i++) {
            item_new(&w)->keep = i % 2 == 0;
        }
        items_submit(&w, 0, count);
        peer_world_run(&w, 10 * SECOND_NS);
        cr_assert_eq(w.seen_count, count);
        for (unsigned i = 0; i < count; i++) {
            fake_answer(&w, i, sizes[i]);
        }
        peer_world_run(&w, 15 * SECOND_NS);
        for (unsigned i = 0; i < count; i++) {
            cr_assert_eq(w.items[i].done, 1);
            cr_assert_eq(w.items[i].error, 0, "%u bytes in pieces of %u", sizes[i], pieces[k]);
            cr_assert_eq(w.items[i].body_size, sizes[i]);
        }
        peer_world_close_peer(&w);
        peer_world_run(&w, SECOND_NS);
        for (unsigned i = 0; i < count; i += 2) {
            const struct item *item = &w.items[i];
            cr_assert_eq(item->kept.size, sizes[i]);
            cr_assert(sizes[i] == 0 ||
                      item->kept.data[sizes[i] - 1] == (uint8_t)(item->mark + sizes[i] - 1));
        }
        peer_world_close(&w);
    }
}

/* Requests that fill batches, that do not fit into one, and that are sent by reference. */
Test(peer, requests_of_every_size)
{
    struct peer_world w;
    peer_world_open(&w, &(struct peer_options){.output_bytes_max = 100000}, 5);
    w.fakes[0].answers = true;
    static const uint32_t sizes[] = {4, 100, 60000, 60000, 99999, 4, 100000, 30000, 30000, 30000};
    for (unsigned i = 0; i < array_size(sizes); i++) {
        item_new(&w)->size = sizes[i];
    }
    struct item *spliced = item_new(&w), *large = item_new(&w), *refused = item_new(&w);
    spliced->size = 200000;
    spliced->spliced = true;
    large->size = 100200;
    refused->refuse = ERR_INVALID_REQUEST;
    struct item *last = item_new(&w);
    items_submit(&w, 0, w.item_count);
    peer_world_run(&w, SECOND_NS);
    for (unsigned i = 0; i < w.item_count; i++) {
        cr_assert_eq(w.items[i].done, 1);
    }
    for (unsigned i = 0; i < array_size(sizes); i++) {
        cr_assert_eq(w.items[i].error, 0, "%s", error_name(w.items[i].error));
        cr_assert_eq(w.items[i].body_size, sizes[i]);
    }
    cr_assert_eq(spliced->error, 0);
    cr_assert_eq(spliced->body_size, 200000);
    cr_assert_eq(large->error, ERR_TOO_LARGE);
    cr_assert_eq(refused->error, ERR_INVALID_REQUEST);
    cr_assert(!large->maybe_received && !refused->maybe_received);
    cr_assert_eq(last->error, 0);
    cr_assert_eq(w.fakes[0].connection_count, 1);
    peer_world_close(&w);
}

/* --- versions --------------------------------------------------------------------------------- */

Test(peer, the_highest_common_version_is_used)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 6);
    w.fakes[0].answers = true;
    w.fakes[0].vote_max = 1;
    struct item *low = item_new(&w), *none = item_new(&w), *after = item_new(&w);
    none->request.version_min = 2;
    items_submit(&w, 0, 3);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(low->error, 0);
    cr_assert_eq(low->version, 1);
    cr_assert_eq(w.seen[0].header.version, 1);
    cr_assert_eq(none->error, ERR_UNSUPPORTED_VERSION);
    cr_assert_eq(none->version, -1);
    cr_assert(!none->maybe_received);
    cr_assert_eq(none->encoded, 0);
    cr_assert_eq(after->error, 0);
    peer_world_close(&w);
}

/* Whatever its key: what the table holds can be asked. */
Test(peer, every_api_of_the_table_can_be_asked)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 21);
    w.fakes[0].answers = true;
    for (int k = 0; k < wire_api_count; k++) {
        if (wire_apis[k].key != WIRE_API_VERSIONS) {
            struct item *i = item_new(&w);
            i->request.key = wire_apis[k].key;
            i->request.version_min = wire_apis[k].versions.min;
            i->request.version_max = wire_apis[k].versions.max;
        }
    }
    items_submit(&w, 0, w.item_count);
    peer_world_run(&w, SECOND_NS);
    for (unsigned i = 0; i < w.item_count; i++) {
        cr_assert_eq(w.items[i].done, 1);
        cr_assert_eq(w.items[i].error, 0, "key %d: %s", w.items[i].request.key,
                     error_name(w.items[i].error));
        cr_assert_eq(w.items[i].version, w.items[i].request.version_max);
    }
    peer_world_close(&w);
}

/* What it speaks is learned anew with each connection: it may have been upgraded. */
Test(peer, a_peer_that_does_not_know_the_api_may_learn_it)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 7);
    w.fakes[0].answers = true;
    w.fakes[0].vote_max = -1;
    struct item *i = item_new(&w);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->error, ERR_UNSUPPORTED_VERSION);
    w.fakes[0].vote_max = 2;
    fake_close(fake_last(&w.fakes[0]));
    peer_world_run(&w, SECOND_NS);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->error, 0);
    cr_assert_eq(i->version, 2);
    peer_world_close(&w);
}

Test(peer, an_older_broker_is_asked_again_in_its_version)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 8);
    w.fakes[0].answers = true;
    w.fakes[0].greeting = GREET_OLD;
    struct item *i = item_new(&w);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->error, 0);
    cr_assert_eq(w.fakes[0].connection_count, 1);
    peer_world_close(&w);
}

/* --- the end of time, and of patience --------------------------------------------------------- */

Test(peer, a_request_without_answer_times_out_alone_while_others_are_answered)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 9);
    struct item *slow = item_new(&w), *other = item_new(&w), *later = item_new(&w);
    slow->request.timeout_ns = SECOND_NS;
    items_submit(&w, 0, 2);
    peer_world_run(&w, SECOND_NS / 2);
    fake_answer(&w, 1, 10);
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(other->error, 0);
    cr_assert_eq(slow->done, 1);
    cr_assert_eq(slow->error, ERR_TIMEOUT);
    cr_assert(slow->maybe_received);
    cr_assert_eq(peer_status(w.peer).in_flight, 1, "its id is kept");
    fake_answer(&w, 0, 100000); /* late, and thrown away */
    item_submit(later);
    peer_world_run(&w, SECOND_NS / 10);
    fake_answer(&w, 2, 10);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(later->error, 0);
    cr_assert_eq(peer_status(w.peer).in_flight, 0);
    cr_assert_eq(w.fakes[0].connection_count, 1);
    peer_world_close(&w);
}

/* A machine that went away without a word answers nothing: the next request finds another
 * connection, not the same silence. */
Test(peer, silence_ends_the_connection)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 10);
    w.fakes[0].answers = true;
    struct item *first = item_new(&w), *lost = item_new(&w), *beside = item_new(&w);
    item_submit(first);
    peer_world_run(&w, SECOND_NS);
    fake_last(&w.fakes[0])->deaf = true;
    w.fakes[0].answers = false;
    lost->request.timeout_ns = SECOND_NS;
    items_submit(&w, 1, 2);
    peer_world_run(&w, 3 * SECOND_NS / 2);
    cr_assert_eq(lost->error, ERR_TIMEOUT);
    cr_assert(lost->maybe_received);
    cr_assert_eq(beside->error, ERR_NETWORK_EXCEPTION);
    cr_assert(beside->maybe_received);
    w.fakes[0].answers = true;
    item_submit(lost);
    peer_world_run(&w, SECOND_NS / 2);
    cr_assert_eq(lost->error, 0);
    cr_assert_eq(w.fakes[0].connection_count, 2);
    fake_close(&w.fakes[0].connections[0]); /* which hears nothing of its end */
    peer_world_close(&w);
}

Test(peer, cancelling_at_every_stage)
{
    struct peer_world w;
    peer_world_open(&w, &(struct peer_options){.requests_max = 3}, 11);
    struct item *i = item_new(&w);
    item_cancel(i); /* idle */
    cr_assert_eq(i->done, 0);

    fake_listen(&w.fakes[0], false); /* waiting for the end of a pause */
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 50);
    cr_assert_eq(peer_status(w.peer).failures, 1);
    item_cancel(i);
    peer_world_run(&w, MS_NS);
    cr_assert_eq(i->done, 1);
    cr_assert_eq(i->error, ERR_INTERRUPTED);
    cr_assert(!i->maybe_received);
    fake_listen(&w.fakes[0], true);
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(w.fakes[0].connection_count, 0, "nobody waits for a connection");

    item_submit(i); /* while connecting */
    item_cancel(i);
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(i->done, 2);
    cr_assert(!i->maybe_received);

    struct item *a = item_new(&w), *other = item_new(&w), *b = item_new(&w);
    items_submit(&w, 0, 4); /* three are sent, one waits */
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.seen_count, 3);
    item_cancel(b);
    item_cancel(i);
    item_cancel(i); /* twice */
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->done, 3);
    cr_assert(i->maybe_received);
    cr_assert_eq(b->error, ERR_INTERRUPTED);
    cr_assert(!b->maybe_received);
    cr_assert_eq(a->done, 0);

    uint8_t frame[104] = {0, 0, 0, 100}; /* while its answer comes */
    put_be32(frame + 4, (uint32_t)w.seen[1].header.correlation_id);
    fake_raw(fake_last(&w.fakes[0]), frame, 50);
    peer_world_run(&w, SECOND_NS / 10);
    item_cancel(a);
    item_submit(b);
    fake_raw(fake_last(&w.fakes[0]), frame + 50, sizeof frame - 50);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(a->error, ERR_INTERRUPTED);
    fake_answer(&w, 0, 100000);
    fake_answer(&w, 2, 10);
    fake_answer(&w, 3, 10);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(other->error, 0);
    cr_assert_eq(b->done, 2);
    cr_assert_eq(b->error, 0);
    cr_assert_eq(w.fakes[0].connection_count, 1);
    peer_world_close(&w);
}

/* Answers that never come use the slots up: then another connection is made. */
Test(peer, given_up_requests_do_not_block_for_ever)
{
    struct peer_world w;
    peer_world_open(&w, &(struct peer_options){.requests_max = 2}, 12);
    struct item *a = item_new(&w), *b = item_new(&w), *c = item_new(&w);
    items_submit(&w, 0, 3);
    peer_world_run(&w, SECOND_NS / 10);
    item_cancel(a);
    item_cancel(b);
    w.fakes[0].answers = true;
    peer_world_run(&w, SECOND_NS / 2);
    cr_assert_eq(c->done, 1);
    cr_assert_eq(c->error, 0);
    cr_assert_eq(w.fakes[0].connection_count, 2);
    peer_world_close(&w);
}

/* --- connecting ------------------------------------------------------------------------------- */

Test(peer, a_request_waits_until_its_end_or_fails_fast)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 13);
    fake_listen(&w.fakes[0], false);
    struct item *waits = item_new(&w), *fast = item_new(&w), *faster = item_new(&w);
    waits->request.timeout_ns = 5 * SECOND_NS;
    fast->request.fail_fast = faster->request.fail_fast = true;
    uint64_t began = sim_now(w.sim);
    items_submit(&w, 0, 2);
    peer_world_run(&w, 30 * MS_NS);
    cr_assert_eq(fast->done, 1, "the first round failed");
    cr_assert_eq(fast->error, ERR_REFUSED);
    cr_assert(!fast->maybe_received);
    cr_assert_eq(waits->done, 0);
    uint64_t now = sim_now(w.sim);
    item_submit(faster);
    peer_world_run(&w, MS_NS);
    cr_assert_eq(faster->error, ERR_REFUSED);
    cr_assert_lt(faster->done_ns - now, MS_NS, "without another try");
    peer_world_run(&w, 10 * SECOND_NS);
    cr_assert_eq(waits->done, 1);
    cr_assert_eq(waits->error, ERR_REFUSED);
    cr_assert_geq(waits->done_ns - began, 5 * SECOND_NS);
    cr_assert_lt(waits->done_ns - began, 5 * SECOND_NS + 10 * MS_NS);
    cr_assert_eq(peer_status(w.peer).error, ERR_REFUSED);
    peer_world_close(&w);
}

static unsigned losses;

static void lost(void *context)
{
    struct peer_world *w = context;
    struct item *i = &w->items[0];
    losses++;
    if (i->done == i->submitted) {
        i->mark = ++w->marks;
        i->submitted++;
        peer_submit(w->peer, &i->request);
    }
}

/* An owner that waits for nothing learns it too, and may ask whether anybody is there: a refusal is the answer of a
 * machine whose broker has died. */
Test(peer, the_end_of_a_connection_is_told)
{
    struct peer_world w;
    struct peer_options options = with_addresses(1);
    options.lost = lost;
    options.lost_context = &w;
    peer_world_open(&w, &options, 16);
    struct item *i = item_new(&w);
    i->request.fail_fast = true;
    w.fakes[0].answers = true;
    item_submit(i);
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(i->done, 1);
    cr_assert_eq(losses, 0);
    fake_listen(&w.fakes[0], false);
    fake_close(fake_last(&w.fakes[0]));
    uint64_t closed = sim_now(w.sim);
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(losses, 1, "once");
    cr_assert_eq(i->done, 2);
    cr_assert_eq(i->error, ERR_REFUSED);
    cr_assert_lt(i->done_ns - closed, 100 * MS_NS);
    item_submit(i);
    peer_world_run(&w, 2 * SECOND_NS);
    cr_assert_eq(i->error, ERR_REFUSED);
    cr_assert_eq(losses, 1, "there was no connection");
    fake_listen(&w.fakes[0], true);
    item_submit(i);
    peer_world_run(&w, 2 * SECOND_NS);
    cr_assert_eq(i->error, 0);
    peer_world_addresses(&w, 2);
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(losses, 1, "the owner has ended it");
    peer_world_close(&w);
}

/* 50 ms doubling to 1 s, a quarter more or less; 50 ms again after a greeting. */
Test(peer, the_pauses_between_rounds)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 14);
    fake_listen(&w.fakes[0], false);
    struct item *i = item_new(&w);
    i->request.timeout_ns = 100 * SECOND_NS;
    item_submit(i);
    uint64_t failed[11] = {0};
    for (unsigned n = 0; n < array_size(failed); n++) {
        while (peer_status(w.peer).failures == n) {
            cr_assert(sim_step(w.sim));
        }
        failed[n] = sim_now(w.sim);
    }
    bool differ = false;
    for (unsigned n = 1; n < array_size(failed); n++) {
        uint64_t pause = n <= 5 ? (50 * MS_NS) << (n - 1) : 1000 * MS_NS;
        pause = pause < 1000 * MS_NS ? pause : 1000 * MS_NS;
        uint64_t was = failed[n] - failed[n - 1];
        cr_assert_geq(was, pause * 3 / 4, "pause %u", n);
        cr_assert_leq(was, pause * 5 / 4 + 5 * MS_NS, "pause %u", n);
        differ = differ || (n > 6 && was / MS_NS != (failed[n - 1] - failed[n - 2]) / MS_NS);
    }
    cr_assert(differ, "by chance");
    fake_listen(&w.fakes[0], true);
    w.fakes[0].answers = true;
    peer_world_run(&w, 2 * SECOND_NS);
    cr_assert_eq(i->error, 0);
    cr_assert_eq(peer_status(w.peer).failures, 0);
    fake_listen(&w.fakes[0], false);
    fake_close(fake_last(&w.fakes[0]));
    peer_world_run(&w, 2 * SECOND_NS);
    item_submit(i);
    while (peer_status(w.peer).failures < 2) {
        uint64_t before = sim_now(w.sim);
        cr_assert(sim_step(w.sim));
        cr_assert_lt(sim_now(w.sim) - before, 70 * MS_NS, "short again");
    }
    peer_world_close(&w);
}

Test(peer, a_connect_that_never_ends)
{
    struct peer_world w;
    peer_world_open(&w, &(struct peer_options){.connect_timeout_ns = SECOND_NS}, 15);
    sim_link_set(w.sim, 2, 0, SIM_LINK_CUT);
    struct item *i = item_new(&w), *fast = item_new(&w);
    i->request.timeout_ns = SECOND_NS / 2;
    fast->request.fail_fast = true;
    items_submit(&w, 0, 2);
    peer_world_run(&w, SECOND_NS * 3 / 4);
    cr_assert_eq(i->error, ERR_TIMEOUT);
    cr_assert(!i->maybe_received);
    cr_assert_eq(fast->done, 0);
    peer_world_run(&w, SECOND_NS / 2);
    cr_assert_eq(fast->error, ERR_TIMEOUT, "silent, not refused");
    sim_link_set(w.sim, 2, 0, SIM_LINK_UP);
    w.fakes[0].answers = true;
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 2);
    cr_assert_eq(i->error, 0);
    peer_world_close(&w);
}

/* The timer and the success become ready together: whoever is heard first, no socket is left, and
 * the next try succeeds. peer_world_close() checks that all connections are closed. */
Test(peer, a_late_success_is_closed)
{
    unsigned late = 0;
    for (uint64_t us = 100; us < 4000; us += 50) {
        struct peer_world w;
        peer_world_open(&w, &(struct peer_options){.connect_timeout_ns = us * 1000}, 16);
        sim_faults(w.sim)->turn = (struct sim_latency){.min_ns = MS_NS};
        struct item *i = item_new(&w);
        i->request.fail_fast = true;
        item_submit(i);
        for (int k = 0; k < 20 && !i->done; k++) {
            peer_world_run(&w, MS_NS);
        }
        cr_assert_eq(peer_status(w.peer).failures, 1, "no answer to ApiVersions was in time");
        late += w.fakes[0].connection_count > 0 && fake_open_connections(&w.fakes[0]) == 0;
        cr_assert_eq(i->error, ERR_TIMEOUT);
        peer_world_close(&w);
    }
    cr_assert_gt(late, 0);
}

Test(peer, addresses_are_tried_in_turn)
{
    struct peer_options options = with_addresses(2);
    struct peer_world w;
    peer_world_open(&w, &options, 17);
    fake_listen(&w.fakes[0], false);
    w.fakes[1].answers = true;
    struct item *i = item_new(&w);
    uint64_t began = sim_now(w.sim);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->error, 0);
    cr_assert_lt(i->done_ns - began, 30 * MS_NS, "without a pause between them");
    fake_listen(&w.fakes[0], true);
    fake_close(fake_last(&w.fakes[1]));
    peer_world_run(&w, SECOND_NS);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->error, 0);
    cr_assert_eq(w.fakes[1].connection_count, 2, "the one that answered last comes first");
    cr_assert_eq(w.fakes[0].connection_count, 0);
    peer_world_close(&w);
}

Test(peer, refused_is_what_every_address_says)
{
    struct peer_options options = with_addresses(2);
    options.connect_timeout_ns = SECOND_NS / 10;
    struct peer_world w;
    peer_world_open(&w, &options, 18);
    fake_listen(&w.fakes[1], false);
    sim_link_set(w.sim, 2, 0, SIM_LINK_CUT);
    struct item *i = item_new(&w);
    i->request.fail_fast = true;
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 5);
    cr_assert_eq(i->error, ERR_TIMEOUT, "the broker may be at the silent one");
    sim_link_set(w.sim, 2, 0, SIM_LINK_REFUSE);
    peer_world_run(&w, SECOND_NS);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 5);
    cr_assert_eq(i->error, ERR_REFUSED);
    peer_world_close(&w);
}

Test(peer, another_address_takes_over)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 19);
    w.fakes[0].answers = w.fakes[1].answers = true;
    struct item *i = item_new(&w), *sent = item_new(&w);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    peer_world_addresses(&w, 1 | 2);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.fakes[0].connection_count, 1, "its address is still among them");
    cr_assert_eq(fake_open_connections(&w.fakes[0]), 1);
    w.fakes[0].answers = false;
    item_submit(sent);
    peer_world_run(&w, SECOND_NS / 10);
    peer_world_addresses(&w, 2);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(fake_open_connections(&w.fakes[0]), 0);
    cr_assert_eq(sent->error, ERR_NETWORK_EXCEPTION);
    cr_assert(sent->maybe_received);
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(i->error, 0);
    cr_assert_eq(fake_open_connections(&w.fakes[1]), 1);
    peer_world_close(&w);
}

/* The pause was for the old address; a connect to it is given up. */
Test(peer, another_address_is_tried_at_once)
{
    for (unsigned k = 0; k < 2; k++) {
        struct peer_world w;
        peer_world_open(&w, NULL, 20);
        sim_link_set(w.sim, 2, 0, k ? SIM_LINK_CUT : SIM_LINK_REFUSE);
        w.fakes[1].answers = true;
        struct item *i = item_new(&w);
        item_submit(i);
        peer_world_run(&w, 1500 * MS_NS);
        cr_assert_eq(i->done, 0);
        peer_world_addresses(&w, 2);
        peer_world_run(&w, 20 * MS_NS);
        cr_assert_eq(i->done, 1);
        cr_assert_eq(i->error, 0);
        peer_world_close(&w);
    }
}
