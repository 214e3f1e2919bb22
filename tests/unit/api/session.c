/* SPDX-License-Identifier: Apache-2.0 */

/* Incremental fetches (KIP-227). */
#include "broker.h"

struct session {
    int client;
    int32_t id, epoch;
    int32_t correlation;
};

/* Asks for `count` partitions of "t" with these offsets (incremental: changes), forgetting one. */
static struct fetch_response *ask(struct session *s, const int32_t *partitions,
                                  const int64_t *offsets, int count, int32_t forgotten)
{
    struct fetch_request_partitions p[16];
    struct fetch_request_topics t = {.topic = wire_string_of("t"), .partitions = p};
    struct fetch_request_forgotten_topics_data f = {
        .topic = wire_string_of("t"), .partitions = &forgotten, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    for (int i = 0; i < count; i++) {
        fetch_request_partitions_init(&p[i]);
        p[i].partition = partitions[i];
        p[i].fetch_offset = offsets[i];
        p[i].partition_max_bytes = 1 << 20;
    }
    t.partitions_count = count;
    q.topics = &t;
    q.topics_count = count > 0;
    q.forgotten_topics_data = &f;
    q.forgotten_topics_data_count = forgotten >= 0;
    q.max_bytes = 1 << 20;
    q.session_id = s->id;
    q.session_epoch = s->epoch;
    return client_ask(s->client, 1, 11, &q);
}

static const int32_t all[] = {0, 1, 2, 3};
static const int64_t zeros[] = {0, 0, 0, 0};

Test(session, answers_carry_only_what_is_new)
{
    struct broker *b = broker_start(2, NULL);
    struct session s = {.client = client_open(b)};
    int writer = client_open(b);
    topic_create(writer, "t", 4, NULL);
    struct fetch_response *a = ask(&s, all, zeros, 4, -1);
    cr_assert_eq(a->error_code, 0);
    cr_assert_neq(a->session_id, 0);
    cr_assert_eq(a->responses[0].partitions_count, 4, "the first answer is full");
    s.id = a->session_id;
    s.epoch = 1;
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->session_id, s.id);
    cr_assert_eq(a->responses_count, 0, "nothing is new");
    produce(writer, "t", 2, batch_make(3, 0, 10, NULL), -1);
    s.epoch = 2;
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->responses_count, 1);
    cr_assert_eq(a->responses[0].partitions_count, 1);
    cr_assert_eq(a->responses[0].partitions[0].partition_index, 2);
    cr_assert_eq(records_check(&a->responses[0].partitions[0].records, 0), 3);
    const int32_t two[] = {2};
    const int64_t three[] = {3};
    s.epoch = 3;
    a = ask(&s, two, three, 1, 0);
    cr_assert_eq(a->responses_count, 0, "it goes on at 3 and forgets partition 0");
    produce(writer, "t", 0, batch_make(1, 0, 10, NULL), -1);
    s.epoch = 4;
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->responses_count, 0, "partition 0 is not of the session any more");
    client_close(writer);
    client_close(s.client);
    broker_stop(b);
}

Test(session, epochs_and_ids_are_checked)
{
    struct broker *b = broker_start(1, NULL);
    struct session s = {.client = client_open(b)};
    topic_create(s.client, "t", 4, NULL);
    struct fetch_response *a = ask(&s, all, zeros, 4, -1);
    int32_t id = a->session_id;
    s = (struct session){.client = s.client, .id = id, .epoch = 2};
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->error_code, 71, "the next epoch is 1");
    s.epoch = 1;
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->error_code, 0);
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->error_code, 71, "the same epoch again");
    s.id = id ^ 1;
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->error_code, 70, "another id");
    s.id = id;
    s.epoch = -1;
    a = ask(&s, all, zeros, 4, -1);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->session_id, 0, "the session is closed by -1");
    cr_assert_eq(a->responses[0].partitions_count, 4);
    s.epoch = 2;
    a = ask(&s, NULL, NULL, 0, -1);
    cr_assert_eq(a->error_code, 70);
    client_close(s.client);
    broker_stop(b);
}

Test(session, a_full_cache_answers_without_one)
{
    static const char *const settings[] = {"max.incremental.fetch.session.cache.slots=3", NULL};
    struct broker *b = broker_start(1, settings);
    struct session s = {.client = client_open(b)};
    topic_create(s.client, "t", 4, NULL);
    int32_t ids[5];
    for (int i = 0; i < 5; i++) {
        struct fetch_response *a = ask(&s, all, zeros, 4, -1);
        cr_assert_eq(a->error_code, 0);
        cr_assert_eq(a->responses[0].partitions_count, 4);
        ids[i] = a->session_id;
        cr_assert_eq(ids[i] != 0, i < 3);
    }
    s.id = ids[0];
    struct fetch_response *a = ask(&s, all, zeros, 4, -1);
    cr_assert_neq(a->session_id, 0, "epoch 0 with an id ends that session and makes room");
    cr_assert_neq(a->session_id, ids[0]);
    client_close(s.client);
    broker_stop(b);
}

Test(session, closing_one_whose_fetch_waits)
{
    struct broker *b = broker_start(1, NULL);
    struct session s = {.client = client_open(b)};
    int other = client_open(b);
    topic_create(s.client, "t", 4, NULL);
    s.id = ask(&s, all, zeros, 4, -1)->session_id;
    struct fetch_request q;
    fetch_request_init(&q);
    q.session_id = s.id;
    q.session_epoch = 1;
    q.max_wait_ms = 15000;
    q.min_bytes = 1;
    q.max_bytes = 1 << 20;
    client_send(s.client, 1, 11, 5, &q);
    cr_assert_eq(client_waiting(s.client, 50), 0);
    struct session second = {.client = other, .id = s.id, .epoch = 2};
    cr_assert_eq(ask(&second, NULL, NULL, 0, -1)->error_code, 71, "one fetch at a time");
    second.epoch = -1;
    cr_assert_eq(ask(&second, all, zeros, 4, -1)->error_code, 0);
    produce(other, "t", 1, batch_make(1, 0, 10, NULL), -1);
    struct fetch_response *a = client_receive(s.client, 1, 11, 5);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->responses[0].partitions[0].partition_index, 1);
    client_close(s.client);
    client_close(other);
    broker_stop(b);
}

/* Partitions that were served go to the end of the line, so that a small max_bytes reaches all. */
Test(session, every_partition_gets_its_turn)
{
    struct broker *b = broker_start(1, NULL);
    struct session s = {.client = client_open(b)};
    topic_create(s.client, "t", 4, NULL);
    for (int32_t i = 0; i < 4; i++) {
        for (int k = 0; k < 8; k++) {
            produce(s.client, "t", i, batch_make(1, k, 700000, NULL), -1);
        }
    }
    struct fetch_response *a = ask(&s, all, zeros, 4, -1);
    s.id = a->session_id;
    int64_t ends[4] = {0};
    int seen = 0;
    for (int turn = 1; turn <= 8; turn++) {
        int32_t moved[4];
        int64_t offsets[4];
        int count = 0;
        for (int i = 0; i < a->responses_count; i++) {
            for (int k = 0; k < a->responses[i].partitions_count; k++) {
                struct fetch_response_partitions *p = &a->responses[i].partitions[k];
                if (p->records.size > 0) {
                    ends[p->partition_index] = records_check(&p->records, ends[p->partition_index]);
                    seen |= 1 << p->partition_index;
                    moved[count] = p->partition_index;
                    offsets[count++] = ends[p->partition_index];
                }
            }
        }
        s.epoch = turn;
        a = ask(&s, moved, offsets, count, -1);
    }
    cr_assert_eq(seen, 15);
    client_close(s.client);
    broker_stop(b);
}
