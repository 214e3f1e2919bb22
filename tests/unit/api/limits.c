/* SPDX-License-Identifier: Apache-2.0 */

/* What clients ask for has a share of the memory, and what the log must have is never part of it. */
#include "broker.h"

#include <poll.h>
#include <stdlib.h>

static const char *const small[] = {"limits.memory=64MiB", "socket.request.max.bytes=2MiB", NULL};

/* A fetch that names one partition many times and waits: small to send, large to hold. */
static void park(int client, int32_t copies)
{
    struct fetch_request_partitions *p = calloc((size_t)copies, sizeof *p);
    struct fetch_request_topics t;
    struct fetch_request q;
    for (int32_t i = 0; i < copies; i++) {
        fetch_request_partitions_init(&p[i]);
        p[i].partition_max_bytes = 1 << 20;
    }
    fetch_request_topics_init(&t);
    t.topic = wire_string_of("quiet");
    t.partitions = p;
    t.partitions_count = copies;
    fetch_request_init(&q);
    q.max_bytes = 1 << 20;
    q.max_wait_ms = 60000;
    q.min_bytes = 1;
    q.topics = &t;
    q.topics_count = 1;
    client_send(client, 1, 11, 1, &q);
    free(p);
}

/* Whether a parked fetch has been answered, or refused, when the broker has done what came before. */
static bool refused(int client, int parked)
{
    struct api_versions_request q;
    api_versions_request_init(&q);
    for (int i = 0; i < 3; i++) {
        client_ask(client, 18, 0, &q);
    }
    struct pollfd p = {.fd = parked, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

Test(limits, waiting_fetches_leave_the_log_its_memory)
{
    enum { CLIENTS = 400 };
    static const int32_t copies[] = {5000, 1000, 200, 50, 10};
    struct broker *b = broker_start(1, small);
    int client = client_open(b), parked[CLIENTS], count = 0;
    topic_create(client, "quiet", 1, NULL);
    topic_create(client, "t", 1, NULL);
    for (size_t i = 0; i < array_size(copies); i++) { /* the smaller into what the larger left */
        do {
            parked[count] = client_open(b);
            park(parked[count], copies[i]);
        } while (!refused(client, parked[count++]) && count < CLIENTS);
    }
    for (int i = 0; i < 20; i++) {
        struct bytes batch = batch_make(9, i * 9, 100000, NULL);
        cr_assert_eq(produce(client, "t", 0, batch, -1)->error_code, 0, "batch %d", i);
    }
    for (int i = 0; i < count; i++) {
        client_close(parked[i]);
    }
    park(client, 10);
    for (int i = 0; i < 1000 && client_waiting(client, 30) != 0; i++) { /* they are still going */
        client_receive(client, 1, 11, 1);
        park(client, 10);
    }
    cr_assert_eq(client_waiting(client, 30), 0, "with memory it waits as ever");
    client_close(client);
    broker_stop(b);
}

Test(limits, searches_for_a_time_take_turns)
{
    enum { SEARCHES = 500 };
    struct broker *b = broker_start(1, small);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    cr_assert_eq(produce(client, "t", 0, batch_make(9, 0, 100000, NULL), -1)->error_code, 0);
    struct list_offsets_request_partitions p[SEARCHES];
    struct list_offsets_request_topics t;
    struct list_offsets_request q;
    for (int i = 0; i < SEARCHES; i++) {
        list_offsets_request_partitions_init(&p[i]);
        p[i].timestamp = i % 2 ? 1 : -3;
    }
    list_offsets_request_topics_init(&t);
    t.name = wire_string_of("t");
    t.partitions = p;
    t.partitions_count = SEARCHES;
    list_offsets_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    struct list_offsets_response *a = client_ask(client, 2, 7, &q);
    cr_assert_eq(a->topics[0].partitions_count, SEARCHES);
    for (int i = 0; i < SEARCHES; i++) {
        cr_assert_eq(a->topics[0].partitions[i].error_code, 0, "search %d: %d", i,
                     a->topics[0].partitions[i].error_code);
        cr_assert_geq(a->topics[0].partitions[i].offset, 0);
    }
    client_close(client);
    broker_stop(b);
}

/* Places for requests are few as well: who comes finds one, however many fetches wait. */
Test(limits, waiting_fetches_leave_places_for_requests)
{
    enum { CLIENTS = 260, FETCHES = 64, ASKED = 2000 };
    static const char *const large[] = {"limits.memory=1GiB", NULL}; /* what ends is places */
    struct broker *b = broker_start(1, large);
    int client = client_open(b), parked[CLIENTS];
    topic_create(client, "quiet", 1, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        parked[i] = client_open(b);
        for (int k = 0; k < FETCHES; k++) {
            fetch_send(parked[i], k, "quiet", 0, 0, 600000, 1, 1000);
        }
    }
    struct api_versions_request q;
    api_versions_request_init(&q);
    for (int i = 0; i < ASKED; i++) { /* until the last fetch has been read */
        struct api_versions_response *a = client_ask(client, 18, 0, &q);
        cr_assert_eq(a->error_code, 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_close(parked[i]);
    }
    client_close(client);
    broker_stop(b);
}
