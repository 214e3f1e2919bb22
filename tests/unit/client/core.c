/* SPDX-License-Identifier: Apache-2.0 */

/* The core on one loop: which connections live how long. */
#include "fake_broker.h"

#include "core/call.h"

#include <criterion/criterion.h>

struct bench {
    struct gate gate;
    struct io_group *group;
    struct io *io;
    struct core core;
    struct fake_broker *broker;
    struct connection *connection;
    struct request request;
    unsigned done;
    bool closed;
};

static struct bench *bench; /* what callbacks without context belong to */

static void core_closed(struct core *core)
{
    bench->closed = true;
}

static void bench_run(struct bench *b)
{
    io_run_once(b->io, 10000000);
}

enum { ADDRESSES = 3 };

/* The broker is at the last of the addresses; nobody listens at the others. */
static void bench_open_at(struct bench *b, leat_options *options, unsigned count)
{
    static const struct io_options io_options = {
        .backend = IO_BACKEND_EPOLL, .shards = 1, .workers = 1, .memory_bytes = 64 << 20};
    struct address addresses[ADDRESSES] = {{"127.0.0.1", 1}, {"127.0.0.1", 2}, {"127.0.0.1", 0}};
    char reason[IO_REASON_SIZE];
    *b = (struct bench){.gate = gate_none()};
    bench = b;
    options->retry_backoff_ms = options->retry_backoff_max_ms = 5;
    b->broker = fake_broker_start(&addresses[ADDRESSES - 1].port, 1, 1);
    cr_assert_eq(io_group_open_epoll(&b->group, &io_options, reason), 0, "%s", reason);
    b->io = io_group_shard(b->group, 0);
    cr_assert_eq(
        core_open(&b->core, b->io, &b->gate, options, addresses + ADDRESSES - count, count), 0);
}

/* The broker is known. */
static void bench_open(struct bench *b)
{
    static leat_options options = LEAT_OPTIONS_INIT;
    bench_open_at(b, &options, 1);
    metadata_refresh(&b->core, NULL);
    while (list_empty(&b->core.metadata.brokers)) {
        bench_run(b);
    }
}

static void bench_close(struct bench *b)
{
    core_close(&b->core, core_closed);
    while (!b->closed) {
        bench_run(b);
    }
    io_group_close(b->group);
    fake_broker_stop(b->broker);
}

static struct connection *bench_connection(struct bench *b)
{
    struct list *first = list_first(&b->core.metadata.brokers);
    int32_t id = container_of(first, struct broker, link)->id;
    struct connection *c = core_connection(&b->core, id, core_lane(&b->core));
    cr_assert_not_null(c);
    return c;
}

static bool bench_has(const struct bench *b, const struct connection *c)
{
    for (const struct list *n = b->core.connections.next; n != &b->core.connections; n = n->next) {
        if (n == &c->link) {
            return true;
        }
    }
    return false;
}

static int ask_encode(struct request *r, struct wire_writer *w, int version)
{
    struct api_versions_request body;
    api_versions_request_init(&body);
    body.client_software_name = body.client_software_version = wire_string_of("x");
    return api_versions_request_encode(&body, w, version);
}

static void ask_done(struct request *r, struct answer *a)
{
    bench->done++;
}

static void ask_done_dropping(struct request *r, struct answer *a)
{
    bench->done++;
    connection_drop(bench->connection);
}

static void bench_ask(struct bench *b, void (*done)(struct request *r, struct answer *a))
{
    static const struct request_kind kind = {WIRE_API_VERSIONS, 0, 3};
    b->request = (struct request){.kind = &kind, .encode = ask_encode, .done = done};
    b->request.deadline_ns = core_after_ms(&b->core, 10000);
    connection_submit(b->connection, &b->request);
}

static int call_ask_encode(struct call *c, struct wire_writer *w, int version)
{
    return ask_encode(&c->request, w, version);
}

static int call_ask_decode(struct call *c, struct reader *r, int version)
{
    (void)c, (void)r, (void)version;
    return 0;
}

static void call_over(struct call *c)
{
    bench->done++;
}

/* As many calls fail at one address as there are addresses: each goes on to the next one, not all around. */
Test(core, calls_that_fail_together_find_the_one_who_is_there)
{
    static const struct call_kind kind = {.request = {WIRE_API_VERSIONS, 0, 3},
                                          .name = "ask",
                                          .encode = call_ask_encode,
                                          .decode = call_ask_decode,
                                          .repeatable = true};
    static leat_options options = LEAT_OPTIONS_INIT;
    static struct bench b;
    static struct call calls[ADDRESSES];
    options.fail_fast = true;
    bench_open_at(&b, &options, ADDRESSES);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        call_start(&calls[i], &b.core, &kind, core_after_ms(&b.core, 10000), call_over);
    }
    while (b.done < ADDRESSES) {
        bench_run(&b);
    }
    for (unsigned i = 0; i < ADDRESSES; i++) {
        cr_assert_eq(calls[i].error.code, 0, "%s", calls[i].error.message);
    }
    bench_close(&b);
}

/* A broker comes back under another id, again and again: what led to the old ones goes. */
Test(core, connections_to_brokers_that_are_no_more_go)
{
    static struct bench b;
    bench_open(&b);
    b.connection = bench_connection(&b);
    bench_ask(&b, ask_done);
    while (!b.done) {
        bench_run(&b);
    }
    cr_assert_eq(b.connection->state, CONNECTION_READY);
    b.connection->broker_id = 99;
    metadata_refresh(&b.core, NULL);
    for (int i = 0; i < 300 && bench_has(&b, b.connection); i++) {
        bench_run(&b);
    }
    cr_assert(!bench_has(&b, b.connection));
    bench_close(&b);
}

/* Who hears that his request failed may give the connection up at once. */
Test(core, a_connection_may_be_dropped_while_it_tells_its_end)
{
    static struct bench b;
    bench_open(&b);
    b.connection = bench_connection(&b);
    bench_ask(&b, ask_done);
    while (!b.done) {
        bench_run(&b);
    }
    const struct fake_faults silent = {.silent = true};
    fake_broker_faults(b.broker, &silent);
    bench_ask(&b, ask_done_dropping);
    bench_run(&b);
    fake_broker_bounce(b.broker);
    while (b.done < 2 || bench_has(&b, b.connection)) {
        bench_run(&b);
    }
    for (int i = 0; i < 3; i++) {
        bench_run(&b);
    }
    bench_close(&b);
}
