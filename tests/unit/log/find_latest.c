/* SPDX-License-Identifier: Apache-2.0 */

/* The record with the largest timestamp, after those that had larger ones are gone: deleted with the beginning of the
 * log, or cut from its end. */
#include "world.h"

#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void append_at(struct world *w, int64_t timestamp, int32_t records)
{
    struct batch_spec spec = {.timestamp = timestamp, .records = records};
    cr_assert_eq(world_append(w, 0, &spec, NULL), 0);
}

static void latest_is(struct world *w, int64_t offset, int64_t timestamp)
{
    int64_t at, time;
    cr_assert_eq(world_find_latest(w, 0, &at, &time), 0);
    cr_assert(at == offset && time == timestamp, "%lld at %lld, expected %lld at %lld",
              (long long)time, (long long)at, (long long)timestamp, (long long)offset);
}

Test(find_latest, what_a_new_start_takes_does_not_count)
{
    struct world w;
    world_open(&w, 1);
    world_started(&w, 1);
    latest_is(&w, -1, -1);
    append_at(&w, 9000, 1);
    append_at(&w, 2000, 1);
    append_at(&w, 8000, 3); /* 8000, 8001, 8002 at 2, 3, 4 */
    append_at(&w, 3000, 1);
    latest_is(&w, 0, 9000);
    cr_assert_eq(world_control(&w, 0, LOG_START, 1), 0);
    latest_is(&w, 4, 8002);
    cr_assert_eq(world_control(&w, 0, LOG_START, 3), 0);
    latest_is(&w, 4, 8002);
    world_power_cut(&w);
    world_started(&w, 1);
    latest_is(&w, 4, 8002);
    cr_assert_eq(world_control(&w, 0, LOG_START, 5), 0);
    latest_is(&w, 5, 3000);
    append_at(&w, 3001, 1);
    latest_is(&w, 6, 3001);
    cr_assert_eq(world_control(&w, 0, LOG_START, 7), 0);
    latest_is(&w, -1, -1);
    cr_assert_eq(world_status(&w, 0).max_timestamp, -1);
    append_at(&w, 100, 1);
    latest_is(&w, 7, 100);
    world_close(&w);
}

Test(find_latest, what_a_truncation_takes_does_not_count)
{
    struct world w;
    world_open(&w, 2);
    world_started(&w, 1);
    for (int64_t i = 0; i < 10; i++) {
        append_at(&w, 1000 + i, 1);
    }
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 6), 0);
    latest_is(&w, 5, 1005);
    append_at(&w, 500, 1);
    latest_is(&w, 5, 1005);
    world_stop(&w);
    world_started(&w, 1);
    latest_is(&w, 5, 1005);
    world_close(&w);
}

enum { RECORDS_MAX = 4000 };

struct history {
    struct world world;
    struct prng random;
    int64_t times[RECORDS_MAX];
    int64_t start, end;
};

static void history_step(struct history *h)
{
    struct world *w = &h->world;
    uint64_t what = prng_below(&h->random, 100);
    int64_t left = h->end - h->start;
    if (what < 80) {
        struct batch_spec spec = {.timestamp = 1000 + (int64_t)prng_below(&h->random, 500),
                                  .value_bytes = 3000};
        cr_assert_eq(world_append(w, 0, &spec, NULL), 0);
        h->times[h->end++] = spec.timestamp;
    } else if (what < 90 && left > 0) {
        h->start += (int64_t)prng_below(&h->random, (uint64_t)left / 3 + 1);
        cr_assert_eq(world_control(w, 0, LOG_START, h->start), 0);
    } else if (what < 97 && left > 0) {
        h->end -= (int64_t)prng_below(&h->random, (uint64_t)left / 3 + 1);
        cr_assert_eq(world_control(w, 0, LOG_TRUNCATE, h->end), 0);
    } else if (what >= 97) {
        world_kill(w);
        world_started(w, 1);
    }
}

static void history_check(struct history *h)
{
    int64_t best = h->start < h->end ? h->start : -1;
    for (int64_t i = h->start; i < h->end; i++) {
        best = h->times[i] > h->times[best] ? i : best;
    }
    latest_is(&h->world, best, best < 0 ? -1 : h->times[best]);
    int64_t at, time;
    cr_assert_eq(world_find_time(&h->world, 0, best < 0 ? 1 : h->times[best], &at, &time), 0);
    cr_assert_eq(at, best, "looked for by its time: %lld", (long long)at);
}

Test(find_latest, random_histories)
{
    struct history *h = malloc(sizeof *h);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        h->random = prng_of(seed);
        h->start = h->end = 0;
        world_open(&h->world, seed);
        world_started(&h->world, 1);
        for (unsigned step = 0; step < 200; step++) {
            history_step(h);
            if (prng_chance(&h->random, 1, 4)) {
                history_check(h);
            }
        }
        history_check(h);
        world_close(&h->world);
    }
    free(h);
}
