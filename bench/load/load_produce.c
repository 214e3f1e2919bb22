/* SPDX-License-Identifier: Apache-2.0 */

/* A producer is two threads: one that keeps to the schedule, and one that takes the reports, so
 * that a send that has to wait for room does not hide when earlier records were acknowledged. The
 * tag of a record is the time that it was meant for. */
#include "load/open_loop.h"

#include "base/prng.h"
#include "load/load.h"
#include "report/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { REPORTS = 1024, REPORT_WAIT_MS = 100, FLUSH_MS = 60000, VALUES_SIZE = 4 << 20 };

/* One of the library's own names for an option, as a user would set it. */
static void set(leat_producer_options *o, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void set(leat_producer_options *o, const char *name, const char *format, ...)
{
    char value[64];
    leat_error e;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    if (leat_producer_options_set(o, name, value, &e) != 0) {
        load_fail("%s", e.message);
    }
}

void load_producer_open(struct load_producer *p, struct load *load, unsigned number)
{
    const struct load_options *o = &load->options;
    leat_producer_options options = LEAT_PRODUCER_OPTIONS_INIT;
    leat_error e;
    p->load = load;
    p->number = number;
    set(&options, "acks", "%s", o->acks);
    set(&options, "compression.type", "%s", o->codec);
    set(&options, "linger.ms", "%.0f", o->linger * 1000);
    set(&options, "batch.size", "%llu", (unsigned long long)o->batch);
    set(&options, "buffer.memory", "%llu", (unsigned long long)o->buffer);
    set(&options, "max.in.flight.requests.per.connection", "%llu",
        (unsigned long long)o->in_flight);
    if (o->idempotence) {
        set(&options, "enable.idempotence", "%s", o->idempotence);
    }
    if (o->size > options.message_max_bytes) {
        options.message_max_bytes = (uint32_t)o->size + 1024;
    }
    options.partitioner = LEAT_PARTITIONER_ROUND_ROBIN;
    options.max_block_ms = FLUSH_MS;
    options.reports_max = UINT32_MAX;
    if (leat_open(&p->client, o->brokers, NULL, &e) != 0 ||
        leat_producer_open(&p->producer, p->client, &options, &e) != 0) {
        load_fail("%s", e.message);
    }
}

static void keep_failure(struct load_producer *p, int code, const char *message)
{
    if (!p->failure.code) {
        p->failure.code = code;
        snprintf(p->failure.message, sizeof p->failure.message, "%s", message);
    }
}

/* --- the schedule ----------------------------------------------------------------------------- */

static uint64_t intended(const struct load_producer *p, uint64_t number)
{
    const struct load_options *o = &p->load->options;
    double share = (double)number + (double)p->number / (double)o->producers;
    return p->load->start_ns +
           (uint64_t)(share * (double)o->producers / o->rate * (double)NS_PER_S);
}

static void send_one(struct load_producer *p, uint8_t *value, uint64_t number, uint64_t meant_ns)
{
    const struct load_options *o = &p->load->options;
    leat_record record = LEAT_RECORD_INIT;
    leat_error e;
    void *tag = number % o->sample == 0 ? (void *)(uintptr_t)meant_ns : NULL;
    memcpy(value, &meant_ns, sizeof meant_ns);
    memcpy(value + 8, &p->load->run, sizeof p->load->run);
    record.topic = o->topic;
    record.value = (leat_bytes){value, o->size};
    if (leat_produce(p->producer, &record, tag, &e) != 0) {
        /* The first failure is told; a schedule goes on whatever the broker does. */
        keep_failure(p, e.code, e.message);
        atomic_fetch_add(&p->failed, 1);
        if (e.fatal) {
            load_fail("%s", e.message);
        }
    }
    atomic_store_explicit(&p->sent, number + 1, memory_order_relaxed);
}

/* Values for many records, half of whose bits are random: so no codec finds one record in the next,
 * and none has nothing to gain. */
static uint8_t *make_values(const struct load_producer *p, uint64_t *count)
{
    uint64_t size = p->load->options.size;
    *count = VALUES_SIZE / size ? VALUES_SIZE / size : 1;
    uint8_t *values = malloc(*count * size);
    if (!values) {
        load_fail("out of memory");
    }
    struct prng prng = prng_of(p->number + 1);
    for (size_t i = 0; i < *count * size; i++) {
        values[i] = (uint8_t)('a' + prng_next(&prng) % 16);
    }
    return values;
}

static void *sender_run(void *argument)
{
    struct load_producer *p = argument;
    const struct load *load = p->load;
    uint64_t count;
    uint8_t *values = make_values(p, &count);
    leat_error e;
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t number = 0;; number++) {
        uint64_t now = clock_ns();
        uint64_t meant = load->options.rate > 0 ? intended(p, number) : now;
        if (meant >= load->end_ns) {
            break;
        }
        while (meant > now) {
            clock_wait_until(meant);
            now = clock_ns();
        }
        send_one(p, values + number % count * load->options.size, number, meant);
    }
    free(values);
    if (leat_flush(p->producer, FLUSH_MS, &e) > 0) {
        load_fail("records are still waiting after a minute: %s", e.message);
    }
    atomic_store(&p->sent_all, true);
    return NULL;
}

/* --- reports ---------------------------------------------------------------------------------- */

static void *reporter_run(void *argument)
{
    struct load_producer *p = argument;
    const struct load *load = p->load;
    static const size_t size = REPORTS * sizeof(leat_report);
    leat_report *reports = malloc(size);
    if (!reports) {
        load_fail("out of memory");
    }
    for (;;) {
        bool last = atomic_load(&p->sent_all);
        int count = leat_reports(p->producer, reports, REPORTS, last ? 0 : REPORT_WAIT_MS);
        uint64_t now = clock_ns();
        for (int i = 0; i < count; i++) {
            uint64_t meant = (uint64_t)(uintptr_t)reports[i].tag;
            if (reports[i].code) {
                keep_failure(p, reports[i].code, reports[i].message);
                atomic_fetch_add(&p->failed, 1);
                continue;
            }
            atomic_fetch_add_explicit(&p->acked, load->options.sample, memory_order_relaxed);
            p->acked_in_window += load_in_window(load, now) ? load->options.sample : 0;
            if (load_in_window(load, meant)) {
                histogram_record(&p->latency, now > meant ? now - meant : 0);
            }
        }
        if (last && count <= 0) {
            break;
        }
    }
    free(reports);
    return NULL;
}

void load_producer_start(struct load_producer *p)
{
    if (pthread_create(&p->reporter, NULL, reporter_run, p) != 0 ||
        pthread_create(&p->sender, NULL, sender_run, p) != 0) {
        load_fail("no thread can be made");
    }
}

void load_producer_end(struct load_producer *p)
{
    leat_error e;
    pthread_join(p->sender, NULL);
    pthread_join(p->reporter, NULL);
    if (leat_producer_close(p->producer, FLUSH_MS, &e) > 0) {
        load_fail("%s", e.message);
    }
    leat_close(p->client);
}
