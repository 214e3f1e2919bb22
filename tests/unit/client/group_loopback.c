/* SPDX-License-Identifier: Apache-2.0 */

/* Groups through the public functions, with threads and sockets, against the broker of these tests.
 */
#include "fake_broker.h"

#include "leat/leat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

struct bench {
    struct fake_broker *broker;
    leat_client *client;
    leat_error e;
};

static struct bench bench_open(int partitions, int records)
{
    struct bench b = {0};
    uint16_t port;
    char address[64];
    leat_options o = LEAT_OPTIONS_INIT;
    o.timeout_ms = 10000;
    o.retry_backoff_ms = 5;
    o.retry_backoff_max_ms = 20;
    o.reconnect_backoff_ms = 2;
    o.reconnect_backoff_max_ms = 10;
    b.broker = fake_broker_start(&port, partitions, 1);
    fake_broker_coordinate(b.broker);
    fake_broker_topic(b.broker, "orders");
    for (int i = 0; i < records * partitions; i++) {
        fake_broker_append(b.broker, "orders", i % partitions, 1000 + i / partitions);
    }
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    cr_assert_eq(leat_open(&b.client, address, &o, &b.e), 0, "%s", b.e.message);
    return b;
}

static void bench_close(struct bench *b)
{
    leat_close(b->client);
    fake_broker_stop(b->broker);
}

static leat_consumer_options member_options(void)
{
    leat_consumer_options o = LEAT_CONSUMER_OPTIONS_INIT;
    o.reset = LEAT_RESET_EARLIEST;
    o.heartbeat_interval_ms = 20;
    o.fetch_max_wait_ms = 20;
    return o;
}

static leat_consumer *member_open(struct bench *b, const leat_consumer_options *o)
{
    static const char *const topics[] = {"orders"};
    leat_consumer *k;
    cr_assert_eq(leat_consumer_open(&k, b->client, "group", o, &b->e), 0, "%s", b->e.message);
    cr_assert_eq(leat_subscribe(k, topics, 1, &b->e), 0, "%s", b->e.message);
    return k;
}

/* Polls until `count` records came; returns the first offset of partition 0 that did, or -1. */
static int64_t read_some(struct bench *b, leat_consumer *k, int count)
{
    int64_t first = -1;
    for (int seen = 0; seen < count;) {
        const leat_record *records;
        int got = leat_poll(k, &records, 10000, &b->e);
        cr_assert_gt(got, 0, "%d after %d: %s", got, seen, b->e.message);
        for (int i = 0; i < got; i++) {
            first = first < 0 && records[i].partition == 0 ? records[i].offset : first;
        }
        seen += got;
    }
    return first;
}

Test(group_loopback, one_member_goes_on_where_another_stopped)
{
    struct bench b = bench_open(2, 50);
    leat_consumer_options o = member_options();
    leat_consumer *k = member_open(&b, &o);
    cr_assert_eq(read_some(&b, k, 100), 0);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0, "%s", b.e.message);
    for (int i = 0; i < 10; i++) {
        fake_broker_append(b.broker, "orders", 0, 5000);
    }
    k = member_open(&b, &o);
    cr_assert_eq(read_some(&b, k, 10), 50);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0, "%s", b.e.message);
    bench_close(&b);
}

Test(group_loopback, without_automatic_commits_nothing_is_committed_unasked)
{
    struct bench b = bench_open(1, 20);
    leat_consumer_options o = member_options();
    leat_offset at = {"orders", 0, -1, -7, NULL};
    o.auto_commit = false;
    leat_consumer *k = member_open(&b, &o);
    read_some(&b, k, 20);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    k = member_open(&b, &o);
    cr_assert_eq(leat_committed(k, &at, 1, 10000, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(at.offset, -1);
    cr_assert_eq(read_some(&b, k, 20), 0);
    cr_assert_eq(leat_commit(k, 10000, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(leat_committed(k, &at, 1, 10000, &b.e), 0);
    cr_assert_eq(at.offset, 20);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    bench_close(&b);
}

Test(group_loopback, offsets_are_committed_with_metadata_and_only_of_what_is_held)
{
    struct bench b = bench_open(2, 20);
    leat_consumer_options o = member_options();
    leat_offset offsets[] = {{"orders", 1, 0, 7, "seven"}, {"orders", 0, 0, 3, NULL}};
    leat_offset asked[] = {
        {"orders", 0, -1, -1, NULL}, {"orders", 1, -1, -1, NULL}, {"orders", 0, -1, -1, NULL}};
    leat_offset other = {"payments", 0, 0, 1, NULL};
    o.auto_commit = false;
    leat_consumer *k = member_open(&b, &o);
    cr_assert_eq(leat_commit_offsets(k, offsets, 1, 0, &b.e), LEAT_ERR_NOT_FOUND);
    read_some(&b, k, 40);
    cr_assert_eq(leat_commit_offsets(k, offsets, 2, 10000, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(leat_committed(k, asked, 3, 10000, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(asked[0].offset, 3);
    cr_assert_eq(asked[1].offset, 7);
    cr_assert_str_eq(asked[1].metadata, "seven");
    cr_assert_eq(asked[2].offset, 3);
    cr_assert_eq(leat_commit_offsets(k, &other, 1, 10000, &b.e), LEAT_ERR_NOT_FOUND);
    offsets[1].partition = 1;
    cr_assert_eq(leat_commit_offsets(k, offsets, 2, 10000, &b.e), LEAT_ERR_ARGUMENT);
    offsets[0].offset = 9;
    cr_assert_eq(leat_commit_offsets(k, offsets, 1, 0, &b.e), 0, "in the background");
    cr_assert_eq(leat_commit(k, 10000, &b.e), 0, "and behind it");
    cr_assert_eq(leat_committed(k, asked, 2, 10000, &b.e), 0);
    cr_assert_eq(asked[1].offset, 20);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    bench_close(&b);
}

/* Polls both until `k` hears of a revocation; the other reads meanwhile. */
static void await_revocation(struct bench *b, leat_consumer *k, leat_consumer *other)
{
    const leat_record *records;
    for (int i = 0; i < 1000; i++) {
        int got = leat_poll(k, &records, 10, &b->e);
        if (got == LEAT_ERR_REBALANCE) {
            return;
        }
        cr_assert_geq(got, 0, "%s", b->e.message);
        cr_assert_geq(leat_poll(other, &records, 10, &b->e), 0, "%s", b->e.message);
    }
    cr_assert(false, "no revocation came");
}

Test(group_loopback, a_program_commits_before_it_lets_go)
{
    struct bench b = bench_open(4, 25);
    leat_consumer_options o = member_options();
    const leat_change *changes;
    const leat_record *records;
    const leat_offset *parts;
    o.auto_commit = false;
    o.revocation_returns = true;
    leat_consumer *k = member_open(&b, &o);
    read_some(&b, k, 100);
    cr_assert_eq(leat_rebalance(k, &changes, &b.e), 4);
    cr_assert_eq(changes[0].kind, LEAT_ASSIGNED);
    cr_assert_str_eq(changes[0].topic, "orders");
    cr_assert_eq(leat_assignment(k, &parts, &b.e), 4);
    cr_assert_eq(parts[3].partition, 3);
    cr_assert_eq(parts[3].offset, 25);
    leat_consumer *other = member_open(&b, &o);
    await_revocation(&b, k, other);
    cr_assert_eq(leat_rebalance(k, &changes, &b.e), 2);
    cr_assert_eq(changes[0].kind, LEAT_REVOKING);
    cr_assert_eq(changes[1].kind, LEAT_REVOKING);
    int32_t moved = changes[0].partition;
    cr_assert_eq(leat_commit(k, 10000, &b.e), 0, "%s", b.e.message);
    for (int i = 0; i < 1000 && leat_rebalance(k, &changes, &b.e) == 0; i++) {
        cr_assert_geq(leat_poll(k, &records, 10, &b.e), 0, "%s", b.e.message);
    }
    cr_assert_eq(changes[0].kind, LEAT_REVOKED);
    fake_broker_append(b.broker, "orders", moved, 9000);
    for (int got = 0; got <= 0;) {
        (void)leat_poll(k, &records, 0, &b.e);
        got = leat_poll(other, &records, 20, &b.e);
        if (got > 0) {
            cr_assert_eq(records[0].partition, moved);
            cr_assert_eq(records[0].offset, 25, "what was committed came again");
        }
    }
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    cr_assert_eq(leat_consumer_close(other, &b.e), 0);
    bench_close(&b);
}

Test(group_loopback, subscriptions_and_assignments_by_hand_exclude_each_other)
{
    struct bench b = bench_open(2, 10);
    leat_consumer_options o = member_options();
    leat_start start = {"orders", 0, LEAT_COMMITTED, 0};
    leat_consumer *k = member_open(&b, &o);
    read_some(&b, k, 20);
    cr_assert_eq(leat_assign(k, &start, 1, &b.e), LEAT_ERR_BUSY);
    cr_assert_eq(leat_unsubscribe(k, &b.e), 0, "%s", b.e.message);
    const leat_offset *parts;
    cr_assert_eq(leat_assignment(k, &parts, &b.e), 0);
    cr_assert_eq(leat_assign(k, &start, 1, &b.e), 0, "%s", b.e.message);
    fake_broker_append(b.broker, "orders", 0, 9000);
    int64_t first = read_some(&b, k, 1);
    cr_assert(first == 10 || first == 0, "%lld", (long long)first);
    /* What the latest poll handed out before leat_unsubscribe() is done with by that call. */
    cr_assert_eq(first, 10);
    cr_assert_eq(leat_commit(k, 10000, &b.e), 0, "%s", b.e.message);
    leat_offset at = {"orders", 0, -1, -1, NULL};
    cr_assert_eq(leat_committed(k, &at, 1, 10000, &b.e), 0);
    cr_assert_eq(at.offset, 11);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    bench_close(&b);
}

/* Brokers forget what a group without members has not committed for offsets.retention.minutes: as long
 * as its reader lives, it must not look as if nobody cared. */
Test(group_loopback, an_offset_of_an_assignment_by_hand_is_committed_again_and_again)
{
    struct bench b = bench_open(2, 10);
    leat_consumer_options o = member_options();
    o.auto_commit_interval_ms = 5;
    leat_start mine = {"orders", 0, LEAT_COMMITTED, 0}, others = {"orders", 1, LEAT_LATEST, 0};
    leat_offset at = {"orders", 0, -1, 3, NULL};
    const leat_record *records;
    leat_consumer *k, *other;
    cr_assert_eq(leat_consumer_open(&k, b.client, "group", &o, &b.e), 0);
    cr_assert_eq(leat_assign(k, &mine, 1, &b.e), 0, "%s", b.e.message);
    read_some(&b, k, 10);
    o.auto_commit = false;
    cr_assert_eq(leat_consumer_open(&other, b.client, "group", &o, &b.e), 0);
    cr_assert_eq(leat_assign(other, &others, 1, &b.e), 0, "%s", b.e.message);
    for (int round = 0; round < 2; round++) { /* by the second one, the first was committed */
        at.offset = 3;
        cr_assert_eq(leat_commit_offsets(other, &at, 1, 10000, &b.e), 0, "%s", b.e.message);
        for (int i = 0; i < 500 && at.offset != 10; i++) {
            cr_assert_eq(leat_poll(k, &records, 10, &b.e), 0);
            cr_assert_eq(leat_committed(other, &at, 1, 10000, &b.e), 0, "%s", b.e.message);
        }
        cr_assert_eq(at.offset, 10, "round %d", round);
    }
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    cr_assert_eq(leat_consumer_close(other, &b.e), 0);
    bench_close(&b);
}

Test(group_loopback, seeks_by_offset_and_time_pauses_and_resumes)
{
    struct bench b = bench_open(1, 30);
    leat_consumer_options o = member_options();
    const leat_record *records;
    leat_consumer *k = member_open(&b, &o);
    read_some(&b, k, 30);
    cr_assert_eq(leat_seek_time(k, "orders", 0, 1012, &b.e), 0);
    cr_assert_eq(read_some(&b, k, 18), 12);
    cr_assert_eq(leat_seek(k, "orders", 0, 5, &b.e), 0);
    cr_assert_eq(leat_pause(k, "orders", 0, true, &b.e), 0);
    cr_assert_eq(leat_poll(k, &records, 50, &b.e), 0);
    cr_assert_eq(leat_resume(k, "orders", 0, &b.e), 0);
    cr_assert_eq(read_some(&b, k, 25), 5);
    cr_assert_eq(leat_seek(k, "orders", 1, 5, &b.e), LEAT_ERR_NOT_FOUND);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    bench_close(&b);
}

Test(group_loopback, wrong_uses_are_told)
{
    static const char *const wrong[] = {"^orders["}, *const missing[] = {"missing"};
    static const char *const impossible[] = {"no/topic", "orders"};
    struct bench b = bench_open(1, 1);
    leat_consumer_options o = member_options();
    leat_offset at = {"orders", 0, -1, 1, NULL};
    leat_start start = {"orders", 0, LEAT_COMMITTED, 0};
    const leat_record *records;
    leat_consumer *k;
    cr_assert_eq(leat_consumer_open(&k, b.client, NULL, &o, &b.e), 0);
    cr_assert_eq(leat_subscribe(k, missing, 1, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_commit(k, 10, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_committed(k, &at, 1, 10, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_assign(k, &start, 1, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    snprintf(o.strategies, sizeof o.strategies, "fair");
    cr_assert_eq(leat_consumer_open(&k, b.client, "group", &o, &b.e), LEAT_ERR_CONFIG);
    cr_assert(strstr(b.e.message, "cooperative-sticky"), "%s", b.e.message);
    o = member_options();
    cr_assert_eq(leat_consumer_open(&k, b.client, "group", &o, &b.e), 0);
    cr_assert_eq(leat_subscribe(k, wrong, 1, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert(strstr(b.e.message, "regular expression"), "%s", b.e.message);
    cr_assert_eq(leat_subscribe(k, NULL, 0, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_subscribe(k, missing, 1, &b.e), 0);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_UNKNOWN_TOPIC, "%s", b.e.message);
    cr_assert_eq(leat_poll(k, &records, 20, &b.e), 0, "told once");
    fake_broker_topic(b.broker, "missing");
    fake_broker_append(b.broker, "missing", 0, 1);
    read_some(&b, k, 1);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    /* A topic that the broker refuses is told, once, and the others are read. */
    cr_assert_eq(leat_consumer_open(&k, b.client, "refused", &o, &b.e), 0);
    cr_assert_eq(leat_subscribe(k, impossible, 2, &b.e), 0);
    bool told = false;
    for (int seen = 0; seen < 1 || !told;) {
        int got = leat_poll(k, &records, 10000, &b.e);
        cr_assert_neq(got, 0);
        cr_assert(got > 0 || (got == LEAT_ERR_INVALID_TOPIC && !told), "%s", b.e.message);
        told = told || got < 0;
        seen += got > 0 ? got : 0;
        cr_assert(got > 0 || strstr(b.e.message, "topic no/topic: "), "%s", b.e.message);
    }
    cr_assert_eq(leat_poll(k, &records, 20, &b.e), 0, "told once");
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    /* Nothing committed, and no policy. */
    o.reset = LEAT_RESET_NONE;
    k = member_open(&b, &o);
    cr_assert_eq(leat_poll(k, &records, 10000, &b.e), LEAT_ERR_NOT_FOUND, "%s", b.e.message);
    cr_assert_eq(leat_seek(k, "orders", 0, LEAT_EARLIEST, &b.e), 0);
    cr_assert_eq(leat_resume(k, "orders", 0, &b.e), 0);
    read_some(&b, k, 1);
    cr_assert_eq(leat_consumer_close(k, &b.e), 0);
    bench_close(&b);
}

Test(group_loopback, a_hostile_coordinator_cannot_crash_a_member)
{
    for (int round = 0; round < 10; round++) {
        struct bench b = bench_open(3, 100);
        leat_consumer_options o = member_options();
        struct fake_faults faults = {.hostile = true};
        leat_consumer *members[3];
        o.auto_commit_interval_ms = 3;
        o.session_timeout_ms = 100;
        for (int i = 0; i < 3; i++) {
            members[i] = member_open(&b, &o);
        }
        for (int i = 0; i < 90; i++) {
            const leat_record *records;
            const leat_change *changes;
            leat_offset at = {"orders", 0, -1, -1, NULL};
            if (i == 10 + round) {
                fake_broker_faults(b.broker, &faults);
            }
            (void)leat_poll(members[i % 3], &records, 5, &b.e);
            (void)leat_rebalance(members[i % 3], &changes, &b.e);
            (void)leat_commit(members[i % 3], i % 5, &b.e);
            if (i % 30 == 0) {
                (void)leat_committed(members[i % 3], &at, 1, 20, &b.e);
            }
        }
        faults.hostile = false;
        fake_broker_faults(b.broker, &faults);
        for (int i = 0; i < 3; i++) {
            (void)leat_consumer_close(members[i], &b.e);
        }
        bench_close(&b);
    }
}
