/* SPDX-License-Identifier: Apache-2.0 */

/* raw: one socket, requests that were built before, N of them in flight.
 *
 *     send frames until N are unanswered or the socket is full -> receive what there is -> again
 *
 * A closed loop: it finds a broker's ceiling, and with one request in flight its best latency. What
 * it says of latency under load is only what N in flight make of it; for that there is the open
 * loop. Latency runs from the first byte sent to the answer received. Answers come in the order of
 * the requests. */
#include "load/cost.h"
#include "load/load.h"

#include "base/histogram.h"
#include "load/exchange.h"
#include "load/produce_template.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/table.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { IN_FLIGHT_MAX = 1 << 16, IOVECS_AT_ONCE = 512, READY_SECONDS = 10 };

struct raw_options {
    const char *brokers, *topic, *durability, *codec, *acks;
    uint64_t partitions, spread, request_bytes, record_bytes, in_flight, total, pid;
    double duration, warmup;
    bool json;
};

struct raw {
    const struct raw_options *options;
    struct exchange exchange;
    struct produce_template template;
    uint64_t *sent_ns; /* of the requests in flight, by number modulo in_flight */
    uint64_t sent, answered;
    size_t sent_of_frame; /* bytes of request `sent` that are out */
    uint64_t errors;
    int first_error;
    /* While measuring: */
    bool measuring;
    uint64_t requests;
    struct histogram latency;
};

static struct produce_frame *frame_of(struct raw *r, uint64_t number)
{
    return &r->template.frames[number % r->template.frame_count];
}

/* Sends of the current frame what the socket takes: false when it takes no more. */
static bool raw_send(struct raw *r)
{
    struct produce_frame *f = frame_of(r, r->sent);
    struct iovec iovecs[IOVECS_AT_ONCE];
    size_t skip = r->sent_of_frame;
    struct msghdr message = {.msg_iov = iovecs};
    if (skip == 0) {
        produce_frame_number(f, (int32_t)(r->sent & INT32_MAX));
        r->sent_ns[r->sent % r->options->in_flight] = clock_ns();
    }
    for (unsigned i = 0; i < f->iovec_count && message.msg_iovlen < IOVECS_AT_ONCE; i++) {
        size_t size = f->iovecs[i].iov_len;
        size_t over = skip < size ? skip : size;
        skip -= over;
        if (over < size) {
            iovecs[message.msg_iovlen++] =
                (struct iovec){(uint8_t *)f->iovecs[i].iov_base + over, size - over};
        }
    }
    ssize_t sent = sendmsg(r->exchange.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        load_fail("the connection is lost: %s", strerror(errno));
    }
    r->sent_of_frame += sent > 0 ? (size_t)sent : 0;
    if (r->sent_of_frame < f->size) {
        return false;
    }
    r->sent_of_frame = 0;
    r->sent++;
    return true;
}

static void count_error(struct raw *r, int16_t code)
{
    if (code) {
        r->errors++;
        r->first_error = r->first_error ? r->first_error : error_from_wire(code);
    }
}

static void raw_answer(struct raw *r, struct reader *answer, uint64_t now)
{
    const struct wire_api *api = wire_api_find(WIRE_PRODUCE);
    struct produce_response response;
    int32_t correlation_id;
    arena_reset(&r->exchange.arena);
    int error = wire_response_header_decode(api, PRODUCE_TEMPLATE_VERSION, &correlation_id, answer);
    error = error ? error
                  : produce_response_decode(&response, answer, PRODUCE_TEMPLATE_VERSION,
                                            &r->exchange.arena);
    if (error || correlation_id != (int32_t)(r->answered & INT32_MAX)) {
        load_fail("the answer to a Produce request: %s",
                  error ? error_text(error) : "not to the oldest request");
    }
    unsigned parts = 0;
    for (int32_t i = 0; i < response.responses_count; i++) {
        for (int32_t j = 0; j < response.responses[i].partition_responses_count; j++, parts++) {
            count_error(r, response.responses[i].partition_responses[j].error_code);
        }
    }
    if (parts != r->template.spread) {
        load_fail("an answer for %u partitions instead of %u", parts, r->template.spread);
    }
    if (r->measuring) {
        histogram_record(&r->latency, now - r->sent_ns[r->answered % r->options->in_flight]);
        r->requests++;
    }
    r->answered++;
}

static void raw_wait(struct raw *r)
{
    struct pollfd p = {.fd = r->exchange.fd, .events = POLLIN | POLLOUT};
    if (r->sent_of_frame == 0) {
        exchange_receive(&r->exchange, true);
        return;
    }
    if (poll(&p, 1, -1) < 0 && errno != EINTR) {
        load_fail("poll: %s", strerror(errno));
    }
    if (p.revents & (POLLIN | POLLERR | POLLHUP)) {
        exchange_receive(&r->exchange, false);
    }
}

static bool raw_enough(const struct raw *r)
{
    uint64_t bytes = r->requests * r->template.batch.size * r->template.spread;
    return r->measuring && r->options->total && bytes >= r->options->total;
}

/* Goes on until `until_ns`, or with 0 until everything sent is answered. */
static void raw_run(struct raw *r, uint64_t until_ns)
{
    for (;;) {
        uint64_t now = clock_ns();
        bool sending = until_ns ? now < until_ns && !raw_enough(r) : r->sent_of_frame > 0;
        if (!sending && (until_ns || r->answered == r->sent)) {
            return;
        }
        while (sending && r->sent - r->answered < r->options->in_flight && raw_send(r)) {
            sending = until_ns != 0;
        }
        raw_wait(r);
        struct reader answer;
        now = clock_ns();
        while (exchange_next(&r->exchange, &answer)) {
            raw_answer(r, &answer, now);
        }
    }
}

/* Until every partition takes records: a topic that was just made may not be led yet. */
static void raw_begin(struct raw *r)
{
    uint64_t until = clock_ns() + READY_SECONDS * (uint64_t)NS_PER_S;
    for (size_t i = 0; i < r->template.frame_count;) {
        r->errors = 0;
        r->first_error = 0;
        raw_send(r);
        raw_run(r, 0);
        i = r->errors ? 0 : i + 1;
        if (r->errors && clock_ns() > until) {
            load_fail("topic %s: %s", r->options->topic, error_text(r->first_error));
        }
    }
}

static void raw_open(struct raw *r, const struct raw_options *o)
{
    char host[EXCHANGE_HOST_SIZE], port[16];
    const struct produce_template_options template = {
        .topic = o->topic,
        .partitions = (int32_t)o->partitions,
        .spread = (unsigned)o->spread,
        .request_bytes = o->request_bytes,
        .record_bytes = o->record_bytes,
        .acks = strcmp(o->acks, "1") == 0 ? 1 : -1,
        .codec = codec_find(o->codec),
    };
    r->options = o;
    if (!exchange_address(o->brokers, host, port)) {
        options_refuse("brokers", "HOST:PORT is expected");
    }
    int error = exchange_open(&r->exchange, host, port);
    if (error) {
        load_fail("%s:%s: %s", host, port, strerror(error));
    }
    exchange_create_topic(&r->exchange, o->topic, (int32_t)o->partitions, o->durability);
    produce_template_init(&r->template, &template);
    r->sent_ns = calloc(o->in_flight, sizeof *r->sent_ns);
    if (!r->sent_ns) {
        load_fail("out of memory");
    }
}

static void raw_report(const struct raw *r, const struct load_cost *cost)
{
    static const struct table_column columns[] = {{"request KiB", 1},
                                                  {"in flight", 0},
                                                  {"partitions", 0},
                                                  {"requests/s", 0},
                                                  {"records/s", 0},
                                                  {"MB/s", 1},
                                                  {"p50 us", 0},
                                                  {"p99 us", 0},
                                                  {"p99.9 us", 0},
                                                  {"broker s/GB", 3},
                                                  {"broker us/request", 2},
                                                  {"broker cpu", 2},
                                                  {"own cpu", 2},
                                                  {"rss MiB", 1},
                                                  {"errors", 0},
                                                  {NULL, 0}};
    const struct raw_options *o = r->options;
    double seconds = load_cost_seconds(cost), requests = (double)r->requests;
    double bytes = requests * (double)r->template.batch.size * r->template.spread;
    struct report report;
    report_init(&report, "leat-bench raw");
    report_condition(&report, "brokers", "%s", o->brokers);
    report_condition(&report, "topic", "%s", o->topic);
    report_condition(&report, "durability", "%s", o->durability ? o->durability : "default");
    report_condition(&report, "codec", "%s", o->codec);
    report_condition(&report, "record bytes", "%llu", (unsigned long long)o->record_bytes);
    report_condition(&report, "batches per request", "%llu", (unsigned long long)o->spread);
    report_condition(&report, "seconds", "%.1f", seconds);
    report_condition(&report, "stolen cpu", "%.2f",
                     (cost->steal_ended - cost->steal_begun) / seconds);
    struct table *t = report_table(&report, "raw", "closed loop, one socket", columns);
    table_number(t, (double)(r->template.batch.size * r->template.spread) / 1024);
    table_number(t, (double)o->in_flight);
    table_number(t, (double)o->partitions);
    table_number(t, requests / seconds);
    table_number(t, requests * r->template.spread * r->template.record_count / seconds);
    table_number(t, bytes / seconds / 1e6);
    table_number(t, (double)histogram_percentile(&r->latency, 50) / NS_PER_US);
    table_number(t, (double)histogram_percentile(&r->latency, 99) / NS_PER_US);
    table_number(t, (double)histogram_percentile(&r->latency, 99.9) / NS_PER_US);
    if (cost->pid && r->requests) {
        table_number(t, load_cost_broker(cost) / (bytes / 1e9));
        table_number(t, load_cost_broker(cost) * 1e6 / requests);
        table_number(t, load_cost_broker(cost) / seconds);
    } else {
        table_none(t);
        table_none(t);
        table_none(t);
    }
    table_number(t, load_cost_own(cost) / seconds);
    if (cost->pid) {
        table_number(t, (double)cost->rss_bytes / (1 << 20));
    } else {
        table_none(t);
    }
    table_number(t, (double)r->errors);
    report_print(&report, o->json);
    report_deinit(&report);
}

static void check_options(const struct raw_options *o)
{
    if (o->partitions < 1 || o->partitions > 100000) {
        options_refuse("partitions", "1 to 100000");
    }
    if (o->spread < 1 || o->spread > o->partitions || o->spread > IOVECS_AT_ONCE / 2 - 1) {
        options_refuse("spread", "1 to the number of partitions, at most 255");
    }
    if (o->in_flight < 1 || o->in_flight > IN_FLIGHT_MAX) {
        options_refuse("in-flight", "1 to 65536");
    }
    if (o->request_bytes > 64 << 20 || o->record_bytes > 32 << 20) {
        options_refuse("request-bytes", "at most 64 MiB, and records of at most 32 MiB");
    }
    if (strcmp(o->acks, "1") != 0 && strcmp(o->acks, "all") != 0) {
        options_refuse("acks", "1 or all");
    }
    if (codec_find(o->codec) == CODEC_COUNT) {
        options_refuse("codec", "none, gzip, snappy, lz4 or zstd");
    }
}

int command_raw(int argc, char **argv)
{
    struct raw_options o = {
        .brokers = "127.0.0.1:9092",
        .topic = "bench-raw",
        .codec = "none",
        .partitions = 1,
        .spread = 1,
        .request_bytes = 64 << 10,
        .record_bytes = 1024,
        .in_flight = 8,
        .acks = "all",
        .duration = 2,
        .warmup = 0.5,
    };
    const struct option_spec specs[] = {
        {"brokers", OPTION_TEXT, &o.brokers, "HOST:PORT"},
        {"topic", OPTION_TEXT, &o.topic, "made if it is missing"},
        {"partitions", OPTION_COUNT, &o.partitions, "of the topic; requests take turns"},
        {"spread", OPTION_COUNT, &o.spread, "partitions, and batches, of each request"},
        {"durability", OPTION_TEXT, &o.durability, "fsync or memory, of a topic that is made"},
        {"request-bytes", OPTION_BYTES, &o.request_bytes, "of all batches of a request"},
        {"record-bytes", OPTION_BYTES, &o.record_bytes, "of a record's value"},
        {"in-flight", OPTION_COUNT, &o.in_flight, "requests without an answer"},
        {"acks", OPTION_TEXT, &o.acks, "1 or all"},
        {"codec", OPTION_TEXT, &o.codec, "none, gzip, snappy, lz4 or zstd"},
        {"duration", OPTION_SECONDS, &o.duration, "of the measurement"},
        {"warmup", OPTION_SECONDS, &o.warmup, "before it"},
        {"total", OPTION_BYTES, &o.total, "end earlier when so much is acknowledged; 0: do not"},
        {"pid", OPTION_COUNT, &o.pid, "the broker's process, for its cost"},
        {"json", OPTION_FLAG, &o.json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    options_parse(specs, argc, argv, "leat-bench raw [options]");
    check_options(&o);
    struct raw *r = calloc(1, sizeof *r);
    struct load_cost cost;
    if (!r) {
        load_fail("out of memory");
    }
    raw_open(r, &o);
    raw_begin(r);
    raw_run(r, clock_ns() + clock_seconds(o.warmup));
    r->measuring = true;
    load_cost_begin(&cost, o.pid);
    raw_run(r, cost.begun_ns + clock_seconds(o.duration));
    load_cost_end(&cost);
    r->measuring = false;
    raw_run(r, 0);
    raw_report(r, &cost);
    if (r->errors) {
        fprintf(stderr, "leat-bench: refused: %s\n", error_text(r->first_error));
    }
    int status = r->errors ? 1 : 0;
    produce_template_deinit(&r->template);
    exchange_close(&r->exchange);
    free(r->sent_ns);
    free(r);
    return status;
}
