/* SPDX-License-Identifier: Apache-2.0 */

/* Administration of a cluster of which one broker is frozen: whoever waits for it waits until the
 * cluster goes on without it, and no longer. */
#include "fake_private.h"

#include "leat/admin.h"

#include <stdio.h>

#include <criterion/criterion.h>

enum {
    SEEDS = 4,
    GONE = 30, /* looks at a frozen broker, until it is fenced */
};

struct bench {
    struct fake_broker *broker;
    leat_client *client;
    leat_error e;
};

/* Deadlines are far beyond what is waited for: a call that waits for one fails the test. */
static void bench_open(struct bench *b, uint64_t seed)
{
    uint16_t port[NODES];
    char addresses[96];
    leat_options o = LEAT_OPTIONS_INIT;
    o.timeout_ms = 20000;
    o.request_timeout_ms = 19000;
    o.connect_timeout_ms = 18000;
    o.silence_ms = 40;
    o.retry_backoff_ms = 2;
    o.retry_backoff_max_ms = 10;
    b->broker = fake_broker_start_nodes(port, 6, seed, NODES);
    snprintf(addresses, sizeof addresses, "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", port[0],
             port[1], port[2]);
    cr_assert_eq(leat_open(&b->client, addresses, &o, &b->e), 0, "%s", b->e.message);
    fake_broker_topic(b->broker, "t");
    fake_group_make(b->broker, "g", "Empty");
}

static void bench_close(struct bench *b)
{
    leat_close(b->client);
    fake_broker_stop(b->broker);
}

Test(silence_admin, the_brokers_are_told_whoever_is_frozen, .timeout = 15)
{
    for (uint64_t seed = 0; seed < NODES; seed++) {
        struct bench b;
        leat_meta *meta;
        bench_open(&b, seed);
        fake_broker_freeze(b.broker, 2u << seed, 0);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(leat_metadata(b.client, NULL, &meta, &b.e), 0, "%s", b.e.message);
            cr_assert_eq(meta->broker_count, NODES);
            leat_meta_free(meta);
        }
        bench_close(&b);
    }
}

Test(silence_admin, groups_are_listed_by_who_is_left, .timeout = 15)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct bench b;
        leat_groups *groups;
        bench_open(&b, seed);
        if (seed % 2) { /* with connections that stand */
            cr_assert_eq(leat_group_list(b.client, &groups, &b.e), 0, "%s", b.e.message);
            leat_groups_free(groups);
        }
        fake_broker_freeze(b.broker, 1 << 2, GONE);
        cr_assert_eq(leat_group_list(b.client, &groups, &b.e), 0, "%s", b.e.message);
        cr_assert_eq(groups->count, NODES - 1, "each broker that is left tells its one group");
        leat_groups_free(groups);
        bench_close(&b);
    }
}

Test(silence_admin, another_coordinator_is_asked, .timeout = 15)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct bench b;
        leat_group *g;
        leat_group_position p = {.topic = "t", .offset = 0};
        bench_open(&b, seed);
        cr_assert_eq(leat_group_offsets_set(b.client, "g", &p, 1, &b.e), 0, "%s", b.e.message);
        fake_broker_freeze(b.broker, 1 << 1, GONE);
        b.broker->finds_behind = seed % 2 ? 3 : 0;
        cr_assert_eq(leat_group_describe(b.client, "g", &g, &b.e), 0, "%s", b.e.message);
        leat_group_free(g);
        cr_assert_eq(leat_group_delete(b.client, "g", &b.e), 0, "%s", b.e.message);
        bench_close(&b);
    }
}

Test(silence_admin, offsets_are_asked_of_the_new_leaders, .timeout = 15)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct bench b;
        leat_offset_query q[6];
        bench_open(&b, seed);
        for (int i = 0; i < 6; i++) {
            fake_broker_append(b.broker, "t", i, 1);
            q[i] = (leat_offset_query){.topic = "t", .partition = i, .when = LEAT_LATEST};
        }
        fake_broker_freeze(b.broker, 1 << 3, GONE);
        cr_assert_eq(leat_offsets_at(b.client, q, 6, &b.e), 0, "%s", b.e.message);
        for (int i = 0; i < 6; i++) {
            cr_assert_eq(q[i].code, 0, "%d: %s", i, leat_error_text(q[i].code));
            cr_assert_eq(q[i].offset, 1);
        }
        int64_t offset;
        cr_assert_eq(leat_offset_at(b.client, "t", 2, LEAT_EARLIEST, &offset, &b.e), 0, "%s",
                     b.e.message);
        bench_close(&b);
    }
}
