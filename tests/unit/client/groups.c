/* SPDX-License-Identifier: Apache-2.0 */

/* Administration of groups against the broker of these tests. */
#include "fake_broker.h"

#include "leat/admin.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

struct bench {
    struct fake_broker *broker;
    leat_client *client;
    leat_error e;
};

static struct bench bench_open(uint64_t seed, int timeout_ms)
{
    struct bench b = {0};
    uint16_t port;
    char address[64];
    leat_options o = LEAT_OPTIONS_INIT;
    o.timeout_ms = timeout_ms;
    o.retry_backoff_ms = 2;
    o.retry_backoff_max_ms = 10;
    o.reconnect_backoff_ms = 2;
    o.reconnect_backoff_max_ms = 10;
    b.broker = fake_broker_start(&port, 4, seed);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    cr_assert_eq(leat_open(&b.client, address, &o, &b.e), 0, "%s", b.e.message);
    return b;
}

static void bench_close(struct bench *b)
{
    leat_close(b->client);
    fake_broker_stop(b->broker);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* `count` records of a partition, each `step_ms` younger than the one before; the first is `age_ms`
 * old. */
static void publish(struct bench *b, const char *topic, int partition, int count, int64_t age_ms,
                    int64_t step_ms)
{
    leat_producer *p;
    int64_t first = now_ms() - age_ms;
    cr_assert_eq(leat_producer_open(&p, b->client, NULL, &b->e), 0, "%s", b->e.message);
    for (int i = 0; i < count; i++) {
        leat_record r = LEAT_RECORD_INIT;
        r.topic = topic;
        r.partition = partition;
        r.timestamp_ms = first + i * step_ms;
        r.value = (leat_bytes){"x", 1};
        cr_assert_eq(leat_produce(p, &r, NULL, &b->e), 0, "%s", b->e.message);
    }
    cr_assert_eq(leat_producer_close(p, 10000, &b->e), 0, "%s", b->e.message);
}

static const leat_group_partition *row(const leat_group *g, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < g->partition_count; i++) {
        const leat_group_partition *p = g->partitions[i];
        if (p->partition == partition && strcmp(p->topic, topic) == 0) {
            return p;
        }
    }
    cr_assert_fail("there is no row %s-%d", topic, (int)partition);
    return NULL;
}

Test(groups, they_are_listed_by_name)
{
    struct bench b = bench_open(1, 10000);
    leat_groups *groups;
    cr_assert_eq(leat_group_list(b.client, &groups, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(groups->count, 0);
    leat_groups_free(groups);
    fake_group_make(b.broker, "zebra", "Empty");
    fake_group_make(b.broker, "ant", "Stable");
    cr_assert_eq(leat_group_list(b.client, &groups, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(groups->count, 2);
    cr_assert_str_eq(groups->groups[0]->name, "ant");
    cr_assert_str_eq(groups->groups[0]->state, "Stable");
    cr_assert_str_eq(groups->groups[0]->protocol_type, "consumer");
    cr_assert_eq(groups->groups[0]->coordinator, 1);
    cr_assert_str_eq(groups->groups[1]->name, "zebra");
    leat_groups_free(groups);
    bench_close(&b);
}

Test(groups, lag_is_told_in_records_and_in_time)
{
    struct bench b = bench_open(2, 10000);
    leat_group *g;
    publish(&b, "orders", 0, 100, 600000, 1000);
    publish(&b, "orders", 1, 10, 5000, 0);
    publish(&b, "orders", 2, 30, 60000, 0);
    fake_group_make(b.broker, "billing", "Stable");
    fake_group_member(b.broker, "billing", "member-1", "orders", 4);
    fake_group_commit(b.broker, "billing", "orders", 0, 60);
    fake_group_commit(b.broker, "billing", "orders", 1, 10);
    fake_group_commit(b.broker, "billing", "orders", 2, 5);
    fake_group_commit(b.broker, "billing", "gone", 0, 7);
    fake_broker_trim(b.broker, "orders", 2, 20);
    cr_assert_eq(leat_group_describe(b.client, "billing", &g, &b.e), 0, "%s", b.e.message);
    cr_assert_str_eq(g->name, "billing");
    cr_assert_str_eq(g->state, "Stable");
    cr_assert_str_eq(g->protocol_type, "consumer");
    cr_assert_str_eq(g->protocol, "range");
    cr_assert_eq(g->coordinator, 1);
    cr_assert_eq(g->member_count, 1);
    cr_assert_str_eq(g->members[0]->id, "member-1");
    cr_assert_null(g->members[0]->instance_id);
    cr_assert_eq(g->members[0]->partition_count, 4);
    cr_assert_eq(g->partition_count, 5);
    cr_assert_str_eq(g->partitions[0]->topic, "gone");
    cr_assert_eq(g->partitions[0]->code, LEAT_ERR_UNKNOWN_TOPIC);
    cr_assert_eq(g->partitions[0]->lag, -1);

    const leat_group_partition *p = row(g, "orders", 0); /* the 61st record is 540 s old */
    cr_assert_eq(p->member, 0);
    cr_assert_eq(p->committed, 60);
    cr_assert_eq(p->end, 100);
    cr_assert_eq(p->lag, 40);
    cr_assert(p->lag_ms >= 540000 && p->lag_ms < 570000, "%lld", (long long)p->lag_ms);
    p = row(g, "orders", 1);
    cr_assert_eq(p->lag, 0);
    cr_assert_eq(p->lag_ms, 0);
    p = row(g, "orders", 2); /* what was committed is below the start */
    cr_assert_eq(p->start, 20);
    cr_assert_eq(p->lag, 10);
    cr_assert(p->lag_ms >= 60000 && p->lag_ms < 90000, "%lld", (long long)p->lag_ms);
    p = row(g, "orders", 3); /* read, but not committed */
    cr_assert_eq(p->member, 0);
    cr_assert_eq(p->committed, -1);
    cr_assert_eq(p->end, 0);
    cr_assert_eq(p->lag, -1);
    cr_assert_eq(g->lag, 50);
    cr_assert_eq(g->lag_ms, row(g, "orders", 0)->lag_ms);
    leat_group_free(g);
    bench_close(&b);
}

Test(groups, one_that_is_not_there_is_told)
{
    struct bench b = bench_open(3, 10000);
    leat_group *g;
    cr_assert_eq(leat_group_describe(b.client, "nobody", &g, &b.e), LEAT_ERR_GROUP_NOT_FOUND);
    cr_assert(strstr(b.e.message, "nobody"), "%s", b.e.message);
    cr_assert_eq(leat_group_delete(b.client, "nobody", &b.e), LEAT_ERR_GROUP_NOT_FOUND);
    cr_assert_eq(leat_group_describe(b.client, "", &g, &b.e), LEAT_ERR_ARGUMENT);
    leat_group_position none = {.topic = "t"};
    cr_assert_eq(leat_group_offsets_delete(b.client, "nobody", &none, 1, &b.e),
                 LEAT_ERR_GROUP_NOT_FOUND, "%s", b.e.message);
    none.offset = -1;
    cr_assert_eq(leat_group_offsets_set(b.client, "nobody", &none, 1, &b.e), LEAT_ERR_ARGUMENT);
    bench_close(&b);
}

Test(groups, offsets_are_set_and_forgotten_while_nobody_reads)
{
    struct bench b = bench_open(4, 10000);
    publish(&b, "a", 0, 1, 0, 0);
    publish(&b, "b", 0, 1, 0, 0);
    leat_group_position p[] = {{.topic = "b", .partition = 1, .offset = 11},
                               {.topic = "a", .partition = 2, .offset = 2},
                               {.topic = "b", .partition = 0, .offset = 10},
                               {.topic = "a", .partition = 0, .offset = 0}};
    cr_assert_eq(leat_group_offsets_set(b.client, "new", p, 4, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(fake_group_committed(b.broker, "new", "a", 0), 0);
    cr_assert_eq(fake_group_committed(b.broker, "new", "a", 2), 2);
    cr_assert_eq(fake_group_committed(b.broker, "new", "b", 0), 10);
    cr_assert_eq(fake_group_committed(b.broker, "new", "b", 1), 11);
    cr_assert_eq(leat_group_offsets_delete(b.client, "new", p, 2, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(fake_group_committed(b.broker, "new", "a", 0), -1);
    cr_assert_eq(fake_group_committed(b.broker, "new", "a", 2), -1);
    cr_assert_eq(fake_group_committed(b.broker, "new", "b", 0), 10);

    leat_group_position wrong[] = {{.topic = "a", .partition = 1, .offset = 5},
                                   {.topic = "a", .partition = 9, .offset = 5}};
    cr_assert_eq(leat_group_offsets_set(b.client, "new", wrong, 2, &b.e), LEAT_ERR_UNKNOWN_TOPIC);
    cr_assert(strstr(b.e.message, "a-9"), "%s", b.e.message);
    cr_assert_eq(wrong[0].code, 0);
    cr_assert_eq(fake_group_committed(b.broker, "new", "a", 1), 5);

    fake_group_member(b.broker, "new", "m", "a", 1);
    cr_assert_eq(leat_group_offsets_set(b.client, "new", p, 4, &b.e), LEAT_ERR_GROUP_NOT_EMPTY);
    cr_assert_eq(leat_group_delete(b.client, "new", &b.e), LEAT_ERR_GROUP_NOT_EMPTY);
    fake_group_make(b.broker, "other", "Empty");
    cr_assert_eq(leat_group_delete(b.client, "other", &b.e), 0, "%s", b.e.message);
    cr_assert_eq(fake_group_committed(b.broker, "other", "a", 0), -2);
    bench_close(&b);
}

Test(groups, a_coordinator_that_moves_is_looked_up_again)
{
    struct bench b = bench_open(5, 10000);
    leat_group *g;
    publish(&b, "t", 0, 1, 0, 0);
    leat_group_position p = {.topic = "t", .offset = 1};
    fake_group_moves(b.broker, 3);
    cr_assert_eq(leat_group_offsets_set(b.client, "g", &p, 1, &b.e), 0, "%s", b.e.message);
    fake_group_moves(b.broker, 1);
    cr_assert_eq(leat_group_describe(b.client, "g", &g, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(g->partition_count, 1);
    leat_group_free(g);
    fake_group_moves(b.broker, 2);
    cr_assert_eq(leat_group_offsets_delete(b.client, "g", &p, 1, &b.e), 0, "%s", b.e.message);
    fake_group_moves(b.broker, 2);
    cr_assert_eq(leat_group_delete(b.client, "g", &b.e), 0, "%s", b.e.message);
    bench_close(&b);
}

Test(groups, many_offsets_are_asked_for_at_once)
{
    struct bench b = bench_open(6, 10000);
    publish(&b, "a", 0, 5, 0, 0);
    publish(&b, "b", 3, 7, 0, 0);
    leat_offset_query q[] = {{.topic = "b", .partition = 3, .when = LEAT_LATEST},
                             {.topic = "missing", .when = LEAT_LATEST},
                             {.topic = "a", .partition = 0, .when = LEAT_LATEST},
                             {.topic = "a", .partition = 9, .when = LEAT_LATEST},
                             {.topic = "b", .partition = 0, .when = LEAT_EARLIEST}};
    cr_assert_eq(leat_offsets_at(b.client, q, 5, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(q[0].offset, 7);
    cr_assert_eq(q[0].code, 0);
    cr_assert_eq(q[1].code, LEAT_ERR_UNKNOWN_TOPIC);
    cr_assert_eq(q[1].offset, -1);
    cr_assert_eq(q[2].offset, 5);
    cr_assert_eq(q[3].code, LEAT_ERR_UNKNOWN_TOPIC);
    cr_assert_eq(q[4].offset, 0);
    cr_assert_eq(leat_offsets_at(b.client, NULL, 1, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_offsets_at(b.client, q, 0, &b.e), 0);
    bench_close(&b);
}

Test(groups, a_hostile_coordinator_cannot_crash_a_client)
{
    for (uint64_t seed = 200; seed < 240; seed++) {
        struct bench b = bench_open(seed, 40);
        struct fake_faults faults = {.hostile_groups = true};
        leat_group *g;
        leat_groups *groups;
        publish(&b, "t", 0, 3, 1000, 0);
        fake_group_make(b.broker, "g", "Empty");
        fake_group_commit(b.broker, "g", "t", 0, 1);
        fake_broker_faults(b.broker, &faults);
        for (int i = 0; i < 4; i++) {
            leat_group_position p = {.topic = "t", .offset = 1};
            if (leat_group_list(b.client, &groups, &b.e) == 0) {
                leat_groups_free(groups);
            }
            if (leat_group_describe(b.client, "g", &g, &b.e) == 0) {
                leat_group_free(g);
            }
            (void)leat_group_offsets_set(b.client, "g", &p, 1, &b.e);
            (void)leat_group_offsets_delete(b.client, "g", &p, 1, &b.e);
        }
        (void)leat_group_delete(b.client, "g", &b.e);
        bench_close(&b);
    }
}
