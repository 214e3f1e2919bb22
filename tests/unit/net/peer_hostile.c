/* SPDX-License-Identifier: Apache-2.0 */

/* The outgoing connection against brokers that break off, lie, or send anything; its end; what the
 * log says; and a storm of all of it. */
#include "peer_world.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

/* --- greetings -------------------------------------------------------------------------------- */

/* Each fails like an address that cannot be reached, and the next try finds a broker. */
Test(peer_hostile, greetings)
{
    static const struct {
        enum greeting greeting;
        int error;
    } cases[] = {
        {GREET_LIAR, ERR_UNSUPPORTED_VERSION}, {GREET_SILENT, ERR_TIMEOUT},
        {GREET_GARBAGE, ERR_MALFORMED},        {GREET_REFUSE, ERR_CLUSTER_AUTHORIZATION_FAILED},
        {GREET_CLOSE, ERR_NETWORK_EXCEPTION},  {GREET_HUGE, ERR_NETWORK_EXCEPTION},
    };
    for (unsigned k = 0; k < array_size(cases); k++) {
        struct peer_world w;
        peer_world_open(&w, &(struct peer_options){.connect_timeout_ns = SECOND_NS / 10}, 30 + k);
        w.fakes[0].greeting = cases[k].greeting;
        w.fakes[0].answers = true;
        struct item *fast = item_new(&w), *waits = item_new(&w);
        fast->request.fail_fast = true;
        items_submit(&w, 0, 2);
        peer_world_run(&w, SECOND_NS / 8);
        cr_assert_eq(fast->done, 1);
        cr_assert_eq(fast->error, cases[k].error, "greeting %u: %s", k, error_name(fast->error));
        cr_assert(!fast->maybe_received);
        cr_assert_eq(waits->done, 0);
        peer_world_run(&w, SECOND_NS);
        cr_assert_geq(peer_status(w.peer).failures, 2);
        w.fakes[0].greeting = GREET;
        peer_world_run(&w, 3 * SECOND_NS);
        cr_assert_eq(waits->done, 1);
        cr_assert_eq(waits->error, 0);
        peer_world_close(&w);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Two requests are in flight; `size` bytes come, and with `end` nothing behind them. */
static void broken(const void *bytes, size_t size, bool end, int first_error, int other_error)
{
    struct peer_world w;
    peer_world_open(&w, &(struct peer_options){.answer_bytes_max = 100000}, 40);
    struct item *first = item_new(&w), *other = item_new(&w), *waits = item_new(&w);
    first->request.answer_bytes_max = 5000;
    items_submit(&w, 0, 2);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.seen[0].header.correlation_id, 2, "which the bytes of the tests name");
    fake_raw(fake_last(&w.fakes[0]), bytes, size);
    peer_world_run(&w, SECOND_NS / 10);
    if (end) {
        cr_assert_eq(first->done + other->done, 0);
        fake_close(fake_last(&w.fakes[0]));
        peer_world_run(&w, SECOND_NS / 10);
    }
    cr_assert_eq(first->error, first_error, "%s", error_name(first->error));
    cr_assert_eq(other->error, other_error, "%s", error_name(other->error));
    cr_assert(first->maybe_received && other->maybe_received);
    cr_assert_eq(fake_open_connections(&w.fakes[0]), 0);
    w.fakes[0].answers = true;
    item_submit(waits);
    peer_world_run(&w, SECOND_NS / 2);
    cr_assert_eq(waits->error, 0);
    peer_world_close(&w);
}

Test(peer_hostile, answers)
{
    static const uint8_t negative[] = {0xff, 0xff, 0xff, 0xff};
    static const uint8_t empty[] = {0, 0, 0, 0};
    static const uint8_t shorter[] = {0, 0, 0, 3, 0, 0, 0, 2};
    static const uint8_t above[] = {0, 1, 0x86, 0xa1, 0, 0, 0, 2}; /* 100001 */
    static const uint8_t above_its_own[] = {0, 0, 0x13, 0x89, 0, 0, 0, 2};
    static const uint8_t unknown[] = {0, 0, 0, 10, 0, 0, 0, 9};
    static const uint8_t of_the_greeting[] = {0, 0, 0, 10, 0, 0, 0, 1};
    static const uint8_t tags[] = {0, 0, 0, 6, 0, 0, 0, 2, 0xff, 0xff};
    static const uint8_t half_size[] = {0, 0};
    static const uint8_t half_id[] = {0, 0, 0, 50, 0, 0};
    static const uint8_t half_body[] = {0, 0, 0, 50, 0, 0, 0, 2, 0, 7, 7, 7};
    broken(negative, sizeof negative, false, ERR_MALFORMED, ERR_MALFORMED);
    broken(empty, sizeof empty, false, ERR_MALFORMED, ERR_MALFORMED);
    broken(shorter, sizeof shorter, false, ERR_MALFORMED, ERR_MALFORMED);
    broken(above, sizeof above, false, ERR_MALFORMED, ERR_MALFORMED);
    broken(above_its_own, sizeof above_its_own, false, ERR_TOO_LARGE, ERR_NETWORK_EXCEPTION);
    broken(unknown, sizeof unknown, false, ERR_MALFORMED, ERR_MALFORMED);
    broken(of_the_greeting, sizeof of_the_greeting, false, ERR_MALFORMED, ERR_MALFORMED);
    broken(tags, sizeof tags, false, ERR_MALFORMED, ERR_NETWORK_EXCEPTION);
    broken(half_size, sizeof half_size, true, ERR_NETWORK_EXCEPTION, ERR_NETWORK_EXCEPTION);
    broken(half_id, sizeof half_id, true, ERR_NETWORK_EXCEPTION, ERR_NETWORK_EXCEPTION);
    broken(half_body, sizeof half_body, true, ERR_NETWORK_EXCEPTION, ERR_NETWORK_EXCEPTION);
}

Test(peer_hostile, the_same_answer_twice)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 41);
    item_new(&w);
    item_new(&w);
    items_submit(&w, 0, 2);
    peer_world_run(&w, SECOND_NS / 10);
    fake_answer(&w, 0, 10);
    fake_answer(&w, 0, 10);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.items[0].done, 1);
    cr_assert_eq(w.items[0].error, 0);
    cr_assert_eq(w.items[1].error, ERR_MALFORMED);
    peer_world_close(&w);
}

/* Without memory for an answer its request ends, and the others go on. */
Test(peer_hostile, an_answer_without_memory)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 42);
    item_new(&w);
    item_new(&w);
    items_submit(&w, 0, 2);
    peer_world_run(&w, SECOND_NS / 10);
    w.memory.budget_bytes = w.memory.used_bytes + 1000;
    fake_answer(&w, 0, 100000);
    fake_answer(&w, 1, 500);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(w.items[0].error, ERR_NO_MEMORY);
    cr_assert_eq(w.items[1].error, 0);
    cr_assert_eq(w.fakes[0].connection_count, 1);
    peer_world_close(&w);
}

static void do_open(struct peer_world *w, unsigned budget)
{
    struct memory memory;
    struct peer *p = NULL;
    memory_init(&memory, budget);
    struct peer_options options = w->options;
    options.memory = &memory;
    int error = peer_open(&p, &options);
    cr_assert(error == 0 || error == ERR_NO_MEMORY);
    cr_assert_eq(p != NULL, error == 0);
    cr_assert(error == 0 || memory.used_bytes == 0);
    memory_drop(&memory);
}

Test(peer_hostile, opening_without_memory)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 44);
    for (unsigned budget = 0; budget < 16384; budget += 64) {
        peer_world_do(&w, do_open, budget);
    }
    peer_world_close(&w);
}

/* Requests whose bytes had no way out of this machine are told from those that had one. */
Test(peer_hostile, what_may_have_been_received)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 43);
    w.out_max = 16 << 20;
    w.fakes[0].answers = true;
    struct item *first = item_new(&w), *large = item_new(&w), *behind = item_new(&w);
    item_submit(first);
    peer_world_run(&w, SECOND_NS / 10);
    fake_last(&w.fakes[0])->deaf = true;
    peer_world_run(&w, SECOND_NS / 10);
    for (unsigned i = 0; i < 8; i++) { /* fills what the sockets hold */
        struct item *filler = item_new(&w);
        filler->size = 1 << 20;
        filler->spliced = true;
        item_submit(filler);
    }
    large->size = 1 << 20;
    large->spliced = true;
    item_submit(large);
    behind->request.fail_fast = true;
    item_submit(behind);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(behind->done, 0);
    cr_assert_geq(peer_status(w.peer).waiting, 1);
    fake_close(fake_last(&w.fakes[0]));
    peer_world_run(&w, SECOND_NS);
    cr_assert_eq(behind->error, 0, "it was not sent, and waited for the next connection");
    cr_assert(w.items[3].maybe_received && w.items[3].error == ERR_NETWORK_EXCEPTION);
    peer_world_close(&w);
}

/* --- the end ---------------------------------------------------------------------------------- */

Test(peer_hostile, closing_at_every_moment)
{
    for (uint64_t us = 0; us < 3000; us += 10) {
        struct peer_world w;
        peer_world_open(&w, &(struct peer_options){.requests_max = 2}, 50 + us);
        w.fakes[0].answers = us % 20 == 0;
        for (unsigned i = 0; i < 3; i++) {
            item_new(&w);
        }
        items_submit(&w, 0, 3);
        peer_world_run(&w, us * 1000);
        peer_world_close_peer(&w);
        peer_world_run(&w, 50 * MS_NS);
        cr_assert(w.closed);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert_eq(w.items[i].done, 1);
            cr_assert(w.items[i].error == 0 || w.items[i].error == ERR_CLOSED);
        }
        peer_world_close(&w);
    }
}

Test(peer_hostile, closing_while_nobody_answers)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 51);
    sim_link_set(w.sim, 2, 0, SIM_LINK_CUT);
    struct item *i = item_new(&w);
    item_submit(i);
    peer_world_run(&w, SECOND_NS);
    peer_world_close_peer(&w);
    peer_world_run(&w, 10 * MS_NS);
    cr_assert(w.closed, "nothing is waited for");
    cr_assert_eq(i->error, ERR_CLOSED);
    peer_world_close(&w);

    peer_world_open(&w, NULL, 52); /* in a pause */
    fake_listen(&w.fakes[0], false);
    i = item_new(&w);
    item_submit(i);
    peer_world_run(&w, 2 * SECOND_NS);
    peer_world_close_peer(&w);
    peer_world_run(&w, 10 * MS_NS);
    cr_assert(w.closed);
    peer_world_close(&w);
}

/* An owner that submits from done() what just failed does not keep the loop from going on. */
Test(peer_hostile, failing_again_and_again_lets_others_live)
{
    struct peer_world w;
    peer_world_open(&w, NULL, 53);
    fake_listen(&w.fakes[0], false);
    struct item *i = item_new(&w), *other = item_new(&w);
    i->request.fail_fast = true;
    i->again = true;
    i->request.timeout_ns = SECOND_NS / 2;
    other->request.timeout_ns = 20 * MS_NS;
    items_submit(&w, 0, 2);
    while (other->done == 0) {
        cr_assert(sim_step(w.sim));
    }
    cr_assert_gt(i->done, 2);
    i->again = false;
    peer_world_close(&w);
}

/* --- the log ---------------------------------------------------------------------------------- */

static unsigned lines_with(FILE *story, const char *text)
{
    char line[2048];
    unsigned count = 0;
    rewind(story);
    while (fgets(line, sizeof line, story)) {
        count += strstr(line, text) != NULL;
    }
    return count;
}

Test(peer_hostile, failures_are_told_once_and_then_seldom)
{
    FILE *story = tmpfile();
    cr_assert_not_null(story);
    struct peer_world w;
    peer_world_open_told(&w, NULL, 54, story);
    fake_listen(&w.fakes[0], false);
    struct item *i = item_new(&w);
    i->request.timeout_ns = 1000 * SECOND_NS;
    item_submit(i);
    peer_world_run(&w, SECOND_NS / 10);
    cr_assert_eq(lines_with(story, "no connection to node 2: refused"), 1);
    peer_world_run(&w, 100 * SECOND_NS);
    cr_assert_gt(peer_status(w.peer).failures, 80);
    cr_assert_eq(lines_with(story, "no connection to node 2"), 3,
                 "then after 30 seconds, and half as often each time");
    fake_listen(&w.fakes[0], true);
    w.fakes[0].greeting = GREET_GARBAGE;
    peer_world_run(&w, 100 * SECOND_NS);
    cr_assert_leq(lines_with(story, "no connection to node 2"), 8);
    cr_assert_geq(lines_with(story, "ApiVersions cannot be read"), 1);
    w.fakes[0].greeting = GREET;
    peer_world_run(&w, 3 * SECOND_NS);
    cr_assert_eq(lines_with(story, "connected to node 2"), 1);
    static const uint8_t unknown[] = {0, 0, 0, 10, 0, 0, 0, 1};
    i->again = true;
    for (unsigned k = 0; k < 100; k++) {
        fake_raw(fake_last(&w.fakes[0]), unknown, sizeof unknown);
        peer_world_run(&w, SECOND_NS / 10);
    }
    cr_assert_geq(w.fakes[0].connection_count, 50);
    cr_assert_geq(lines_with(story, "an answer that nobody asked for"), 3);
    cr_assert_leq(lines_with(story, "ended:") + lines_with(story, "connected to"), 30);
    i->again = false;
    peer_world_close(&w);
    fclose(story);
}

/* --- the storm -------------------------------------------------------------------------------- */

static void storm_submit(struct peer_world *w, struct prng *p)
{
    struct item *i = NULL;
    for (unsigned k = 0; k < 4 && (!i || i->done != i->submitted); k++) {
        i = w->item_count < 60 ? item_new(w) : &w->items[prng_below(p, w->item_count)];
    }
    if (i->done != i->submitted) {
        return;
    }
    slice_release(&i->kept);
    i->size = (uint32_t)prng_between(p, 4, prng_chance(p, 1, 10) ? 300000 : 1000);
    i->spliced = prng_chance(p, 1, 3);
    i->keep = prng_chance(p, 1, 4);
    i->refuse = prng_chance(p, 1, 50) ? ERR_INVALID_REQUEST : 0;
    i->request.fail_fast = prng_chance(p, 1, 4);
    i->again = !i->request.fail_fast && i->refuse == 0 && prng_chance(p, 1, 20);
    i->request.timeout_ns = prng_between(p, 1, prng_chance(p, 1, 3) ? 20 : 4000) * MS_NS;
    i->request.answer_bytes_max = prng_chance(p, 1, 20) ? 5000 : 0;
    item_submit(i);
}

static void storm_answer(struct peer_world *w, struct prng *p)
{
    if (w->seen_count == 0) {
        return;
    }
    unsigned back = w->seen_count < 40 ? w->seen_count : 40;
    unsigned n = w->seen_count - 1 - (unsigned)prng_below(p, back);
    if (!w->seen[n].answered || prng_chance(p, 1, 20)) {
        fake_answer(w, n, (uint32_t)prng_below(p, prng_chance(p, 1, 10) ? 150000 : 6000));
    }
}

static void storm_break(struct peer_world *w, struct prng *p)
{
    struct fake *f = &w->fakes[prng_below(p, FAKES)];
    unsigned index = (unsigned)(f - w->fakes);
    uint8_t noise[40];
    switch (prng_below(p, 8)) {
    case 0:
        if (f->connection_count) {
            fake_close(fake_last(f));
        }
        break;
    case 1:
        prng_fill(p, noise, sizeof noise);
        noise[0] = noise[1] = 0;
        if (f->connection_count) {
            fake_raw(fake_last(f), noise, 1 + prng_below(p, sizeof noise));
        }
        break;
    case 2:
        f->greeting = (enum greeting)prng_below(p, GREET_HUGE + 1);
        break;
    case 3:
        sim_link_set(w->sim, 2, index, (enum sim_link)prng_below(p, 3));
        break;
    case 4:
        sim_link_set(w->sim, index, 2, (enum sim_link)prng_below(p, 2));
        break;
    case 5:
        sim_link_reset(w->sim, 2, index);
        break;
    case 6:
        f->vote_max = (int16_t)((int)prng_below(p, 4) - 1);
        break;
    default:
        f->answers = !f->answers;
        f->greeting = GREET;
        sim_link_set(w->sim, 2, index, SIM_LINK_UP);
        sim_link_set(w->sim, index, 2, SIM_LINK_UP);
    }
}

static void storm_heal(struct peer_world *w)
{
    for (unsigned i = 0; i < w->item_count; i++) {
        w->items[i].again = false; /* its answer may be too large, each time */
    }
    for (unsigned k = 0; k < FAKES; k++) {
        struct fake *f = &w->fakes[k];
        f->greeting = GREET;
        f->vote_max = 2;
        f->answers = true;
        for (unsigned i = 0; i < f->connection_count; i++) {
            fake_close(&f->connections[i]); /* in the middle of an answer that is noise, perhaps */
        }
        sim_link_set(w->sim, 2, k, SIM_LINK_UP);
        sim_link_set(w->sim, k, 2, SIM_LINK_UP);
    }
    *sim_faults(w->sim) = sim_faults_none();
    w->memory.budget_bytes = SIZE_MAX;
}

struct storm_sum {
    unsigned answered, timed_out, cancelled, refused, lost, malformed, other;
};

static void storm_step(struct peer_world *w, struct prng *p)
{
    switch (prng_below(p, 12)) {
    case 0:
        if (w->item_count > 0) {
            item_cancel(&w->items[prng_below(p, w->item_count)]);
        }
        break;
    case 1:
        storm_break(w, p);
        break;
    case 2:
        peer_world_run(w, prng_below(p, 200) * MS_NS);
        break;
    case 3:
        if (prng_chance(p, 1, 4)) {
            peer_world_addresses(w, (unsigned)prng_between(p, 1, 3));
        }
        break;
    case 4:
        w->memory.budget_bytes = prng_chance(p, 1, 8) ? w->memory.used_bytes + 2000 : SIZE_MAX;
        break;
    case 5:
    case 6:
    case 7:
        storm_submit(w, p);
        break;
    default:
        storm_answer(w, p);
        peer_world_run(w, prng_below(p, 2000) * 1000);
    }
}

static uint64_t storm(uint64_t seed, struct storm_sum *sum)
{
    static const struct peer_address both[] = {{"fake0", FAKE_PORT}, {"fake1", FAKE_PORT}};
    struct prng p = prng_of(seed);
    struct peer_options options = {
        .addresses = both,
        .address_count = (unsigned)prng_between(&p, 1, 2),
        .requests_max = (unsigned)prng_between(&p, 1, 12),
        .answer_bytes_max = 100000,
        .output_bytes_max = 200000,
        .connect_timeout_ns = prng_between(&p, 1, 500) * MS_NS,
    };
    struct peer_world w;
    peer_world_open(&w, &options, seed);
    w.out_max = 8 << 20;
    sim_faults(w.sim)->short_transfers = 300000;
    sim_faults(w.sim)->piece_max = prng_chance(&p, 1, 3) ? 1000 : 0;
    sim_faults(w.sim)->connect_refused = 50000;
    sim_faults(w.sim)->connection_reset = 2000;
    for (unsigned k = 0; k < 400; k++) {
        storm_step(&w, &p);
    }
    bool early = prng_chance(&p, 1, 2); /* closed in the middle of it */
    if (!early) {
        storm_heal(&w);
        peer_world_run(&w, 10 * SECOND_NS);
        struct item *last = item_new(&w);
        peer_world_addresses(&w, 3);
        item_submit(last);
        peer_world_run(&w, 10 * SECOND_NS);
        cr_assert_eq(last->error, 0, "seed %llu: %s", (unsigned long long)seed,
                     error_name(last->error));
    }
    for (unsigned i = 0; i < w.item_count; i++) {
        int error = w.items[i].error;
        bool done = w.items[i].done > 0;
        sum->answered += done && error == 0;
        sum->timed_out += error == ERR_TIMEOUT;
        sum->cancelled += error == ERR_INTERRUPTED;
        sum->refused += error == ERR_REFUSED;
        sum->lost += error == ERR_NETWORK_EXCEPTION;
        sum->malformed += error == ERR_MALFORMED;
    }
    if (early) {
        peer_world_close_peer(&w);
        peer_world_run(&w, SECOND_NS);
        storm_heal(&w);
        peer_world_run(&w, 10 * SECOND_NS); /* what a link held back arrives */
    }
    uint64_t hash = sim_hash(w.sim);
    peer_world_close(&w);
    return hash;
}

Test(peer_hostile, storm, .timeout = 300)
{
    const char *more = getenv("PEER_STORM_SEEDS");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 150;
    struct storm_sum sum = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        storm(seed, &sum);
    }
    cr_assert(sum.answered > seeds && sum.timed_out > seeds / 4 && sum.cancelled > seeds / 4 &&
                  sum.refused > 0 && sum.lost > seeds / 4 && sum.malformed > 0,
              "answered %u timed out %u cancelled %u refused %u lost %u malformed %u", sum.answered,
              sum.timed_out, sum.cancelled, sum.refused, sum.lost, sum.malformed);
    struct storm_sum again = {0};
    cr_assert_eq(storm(1, &again), storm(1, &again), "one seed is one run");
}
