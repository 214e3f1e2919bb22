/* SPDX-License-Identifier: Apache-2.0 */

/* Replicas and leaders of partitions, asked for through the public header (fake_moves.c answers). */
#include "fake_broker.h"

#include "leat/admin.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

struct bench {
    struct fake_broker *broker;
    leat_client *client;
    leat_error e;
};

static struct bench bench_open(const struct fake_faults *faults)
{
    struct bench b = {0};
    uint16_t port;
    char address[64];
    leat_options o = LEAT_OPTIONS_INIT;
    o.timeout_ms = faults ? 300 : 10000;
    o.retry_backoff_ms = 5;
    o.retry_backoff_max_ms = 20;
    o.reconnect_backoff_ms = 2;
    o.reconnect_backoff_max_ms = 10;
    b.broker = fake_broker_start(&port, 1, 7);
    if (faults) {
        fake_broker_faults(b.broker, faults);
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

Test(moves, are_listed_by_topic_and_number)
{
    struct bench b = bench_open(NULL);
    leat_moves *moves;
    cr_assert_eq(leat_moves_get(b.client, NULL, &moves, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(moves->count, 3);
    static const char *const topics[] = {"a", "moving", "moving"};
    static const int32_t numbers[] = {7, 2, 7};
    for (size_t i = 0; i < 3; i++) {
        const leat_move *m = moves->list[i];
        cr_assert_str_eq(m->topic, topics[i]);
        cr_assert_eq(m->partition, numbers[i]);
        cr_assert(m->replica_count == 3 && m->replicas[0] == 3 && m->replicas[2] == 1);
        cr_assert(m->adding_count == 1 && m->adding[0] == 3);
        cr_assert(m->removing_count == 1 && m->removing[0] == 1);
    }
    leat_moves_free(moves);
    cr_assert_eq(leat_moves_get(b.client, "moving", &moves, &b.e), 0);
    cr_assert_eq(moves->count, 2);
    leat_moves_free(moves);
    cr_assert_eq(leat_moves_get(b.client, "none", &moves, &b.e), 0);
    cr_assert_eq(moves->count, 0);
    leat_moves_free(moves);
    leat_moves_free(NULL);
    cr_assert_eq(leat_moves_get(b.client, NULL, NULL, &b.e), LEAT_ERR_ARGUMENT);
    bench_close(&b);
}

Test(moves, begin_and_are_called_off)
{
    struct bench b = bench_open(NULL);
    static const int32_t to[] = {3, 2}, nobody[] = {1, 4};
    cr_assert_eq(leat_topic_reassign(b.client, "moving", 0, to, 2, &b.e), 0, "%s", b.e.message);
    cr_assert_eq(leat_topic_reassign(b.client, "moving", 0, nobody, 2, &b.e), -39);
    cr_assert_str_eq(b.e.message, "cannot reassign moving-0: as the broker says it");
    cr_assert_eq(leat_topic_reassign(b.client, "moving", 7, NULL, 0, &b.e), 0);
    cr_assert_eq(leat_topic_reassign(b.client, "moving", 1, NULL, 0, &b.e), -85);
    cr_assert_eq(leat_topic_reassign(b.client, "moving", 1, to, 0, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_topic_reassign(b.client, "moving", 1, NULL, 1, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_topic_reassign(b.client, "moving", -1, to, 2, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_topic_reassign(b.client, NULL, 1, to, 2, &b.e), LEAT_ERR_ARGUMENT);
    bench_close(&b);
}

/* None that is refused is tried until the time is up: the broker has looked. */
Test(elections, of_each_kind)
{
    struct bench b = bench_open(NULL);
    bool elected = true;
    cr_assert_eq(leat_topic_elect(b.client, "t", 0, LEAT_ELECTION_PREFERRED, &elected, &b.e), 0);
    cr_assert_not(elected, "none was needed");
    cr_assert_eq(leat_topic_elect(b.client, "t", 1, LEAT_ELECTION_PREFERRED, &elected, &b.e), 0);
    cr_assert(elected);
    cr_assert_eq(leat_topic_elect(b.client, "t", 1, LEAT_ELECTION_UNCLEAN, NULL, &b.e), 0);
    cr_assert_eq(leat_topic_elect(b.client, "t", 2, LEAT_ELECTION_PREFERRED, &elected, &b.e), -80);
    cr_assert(strstr(b.e.message, "cannot elect the preferred leader of t-2: "), "%s", b.e.message);
    cr_assert_eq(leat_topic_elect(b.client, "t", 2, LEAT_ELECTION_UNCLEAN, &elected, &b.e), -83);
    cr_assert(elected, "nothing is told with an error");
    cr_assert_eq(leat_topic_elect(b.client, "t", 2, 2, &elected, &b.e), LEAT_ERR_ARGUMENT);
    cr_assert_eq(leat_topic_elect(b.client, "t", -1, 0, &elected, &b.e), LEAT_ERR_ARGUMENT);
    bench_close(&b);
}

/* Whatever comes back, it is an error and not a crash. */
Test(moves, of_a_hostile_broker)
{
    static const struct fake_faults hostile = {.hostile = true};
    static const int32_t to[] = {1};
    struct bench b = bench_open(&hostile);
    for (int i = 0; i < 3; i++) {
        leat_moves *moves;
        if (leat_moves_get(b.client, NULL, &moves, &b.e) == 0) {
            leat_moves_free(moves);
        }
        (void)!leat_topic_reassign(b.client, "t", 0, to, 1, &b.e);
        (void)!leat_topic_elect(b.client, "t", 0, LEAT_ELECTION_UNCLEAN, NULL, &b.e);
    }
    bench_close(&b);
}
