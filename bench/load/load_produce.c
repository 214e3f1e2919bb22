/* SPDX-License-Identifier: Apache-2.0 */

/* A producer is two threads: one that keeps to the schedule, and one that takes the reports, so
 * that a send that has to wait for room does not hide when earlier records were acknowledged. The
 * tag of a record is the time that it was meant for. */
#include "load/open_loop.h"

#include "base/prng.h"
#include "load/cost.h"
#include "report/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { REPORT_WAIT_MS = 100, FLUSH_MS = 60000, VALUES_SIZE = 4 << 20, KEY_SIZE = 16 };

void load_producer_open(struct load_producer *p, struct load *load, unsigned number)
{
    p->load = load;
    p->number = number;
    if (sem_init(&p->answered, 0, (unsigned)load->options.outstanding) != 0) {
        load_fail("--outstanding: too many");
    }
    p->producer = load->driver->producer_open(&load->options.settings);
}

static void keep_failure(struct load_producer *p, const struct driver_failure *f)
{
    if (!p->failure.code) {
        p->failure = *f;
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

/* Partitions take turns: of all producers' records, as of each. */
static int32_t partition_of(const struct load_producer *p, uint64_t number)
{
    const struct load_options *o = &p->load->options;
    return (int32_t)((number + p->number) % o->settings.partitions);
}

static void send_one(struct load_producer *p, uint8_t *value, uint64_t number, uint64_t meant_ns)
{
    const struct load_options *o = &p->load->options;
    struct driver_failure failure = {0};
    char key[KEY_SIZE];
    struct driver_send record = {
        .partition = partition_of(p, number),
        .value = value,
        .size = o->settings.size,
        .tag = number % o->sample == 0 ? (void *)(uintptr_t)meant_ns : NULL,
    };
    if (o->keys) {
        uint64_t k = prng_mix(number * o->producers + p->number) % o->keys;
        record.partition = -1;
        record.key = key;
        record.key_size = (size_t)snprintf(key, sizeof key, "%llu", (unsigned long long)k);
    }
    memcpy(value, &meant_ns, sizeof meant_ns);
    memcpy(value + 8, &p->load->run, sizeof p->load->run);
    if (!p->load->driver->send(p->producer, &record, &failure)) {
        /* The first failure is told; a schedule goes on whatever the broker does. */
        keep_failure(p, &failure);
        atomic_fetch_add(&p->failed, 1);
        sem_post(&p->answered);
    }
    atomic_store_explicit(&p->sent, number + 1, memory_order_relaxed);
}

/* Values for many records, half of whose bits are random: so no codec finds one record in the next,
 * and none has nothing to gain. */
static uint8_t *make_values(const struct load_producer *p, uint64_t *count)
{
    uint64_t size = p->load->options.settings.size;
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
    struct driver_failure e;
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t number = 0;; number++) {
        while (load->options.outstanding && sem_wait(&p->answered) != 0) {
        }
        uint64_t now = clock_ns();
        uint64_t meant = load->options.rate > 0 ? intended(p, number) : now;
        if (meant >= load->end_ns) {
            break;
        }
        while (meant > now) {
            clock_wait_until(meant);
            now = clock_ns();
        }
        send_one(p, values + number % count * load->options.settings.size, number, meant);
    }
    free(values);
    if (!load->driver->flush(p->producer, FLUSH_MS, &e)) {
        load_fail("records are still waiting after a minute: %s", e.why);
    }
    atomic_store(&p->sent_all, true);
    return NULL;
}

/* --- reports ---------------------------------------------------------------------------------- */

struct reporting {
    struct load_producer *producer;
    uint64_t now; /* when what is being told arrived; 0: nothing yet */
};

static void reported(void *context, const struct driver_report *report)
{
    struct reporting *r = context;
    struct load_producer *p = r->producer;
    const struct load *load = p->load;
    uint64_t meant = (uint64_t)(uintptr_t)report->tag;
    if (load->options.outstanding) {
        sem_post(&p->answered);
    }
    if (report->code) {
        struct driver_failure failure = {.code = report->code};
        snprintf(failure.why, sizeof failure.why, "%s", report->why);
        keep_failure(p, &failure);
        atomic_fetch_add(&p->failed, 1);
        return;
    }
    uint64_t stands_for = load->driver->reports_all ? 1 : load->options.sample;
    r->now = r->now ? r->now : clock_ns();
    atomic_fetch_add_explicit(&p->acked, stands_for, memory_order_relaxed);
    p->acked_in_window += load_in_window(load, r->now) ? stands_for : 0;
    if (meant && load_in_window(load, meant)) {
        uint64_t latency = r->now > meant ? r->now - meant : 0;
        histogram_record(&p->latency, latency);
        series_record(&p->load->acked, p->number, meant, latency);
    }
}

static void *reporter_run(void *argument)
{
    struct reporting r = {.producer = argument};
    const struct driver *driver = r.producer->load->driver;
    for (;;) {
        bool last = atomic_load(&r.producer->sent_all);
        r.now = 0;
        int count = driver->reports(r.producer->producer, last ? 0 : REPORT_WAIT_MS, reported, &r);
        if (last && count <= 0) {
            break;
        }
    }
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
    pthread_join(p->sender, NULL);
    pthread_join(p->reporter, NULL);
    p->load->driver->producer_close(p->producer);
    sem_destroy(&p->answered);
}
