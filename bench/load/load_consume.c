/* SPDX-License-Identifier: Apache-2.0 */

/* A consumer of all partitions, from where they ended before the run. It stops when it has seen
 * as many records of this run as were acknowledged, or after some seconds of silence: what is
 * missing then is told. */
#include "load/open_loop.h"

#include "load/cost.h"
#include "report/clock.h"

#include <string.h>

enum { POLL_MS = 100, SILENCE_SECONDS = 5 };

void load_consumer_open(struct load_consumer *c, struct load *load, unsigned number)
{
    c->load = load;
    c->number = number;
    atomic_store(&c->expected, UINT64_MAX);
    c->consumer = load->driver->consumer_open(&load->options.settings, false);
}

struct taking {
    struct load_consumer *consumer;
    uint64_t now; /* when what is being told arrived; 0: nothing yet */
};

static void take(void *context, const struct driver_record *record)
{
    struct taking *t = context;
    struct load_consumer *c = t->consumer;
    uint64_t meant, run;
    if (!record->value || record->size < STAMP_SIZE) {
        return;
    }
    memcpy(&meant, record->value, sizeof meant);
    memcpy(&run, (const uint8_t *)record->value + 8, sizeof run);
    if (run != c->load->run) {
        return;
    }
    t->now = t->now ? t->now : clock_ns();
    atomic_fetch_add_explicit(&c->received, 1, memory_order_relaxed);
    c->received_in_window += load_in_window(c->load, t->now);
    if (load_in_window(c->load, meant)) {
        uint64_t latency = t->now > meant ? t->now - meant : 0;
        histogram_record(&c->latency, latency);
        series_record(&c->load->consumed, c->number, meant, latency);
    }
}

static void *consumer_run(void *argument)
{
    struct load_consumer *c = argument;
    uint64_t last_ns = clock_ns();
    while (atomic_load(&c->received) < atomic_load(&c->expected)) {
        struct taking t = {.consumer = c};
        int count = c->load->driver->poll(c->consumer, POLL_MS, take, &t);
        uint64_t now = clock_ns();
        if (count > 0 || atomic_load(&c->expected) == UINT64_MAX) {
            last_ns = now;
        } else if (now - last_ns > SILENCE_SECONDS * (uint64_t)NS_PER_S) {
            break;
        }
    }
    return NULL;
}

void load_consumer_start(struct load_consumer *c)
{
    if (pthread_create(&c->thread, NULL, consumer_run, c) != 0) {
        load_fail("no thread can be made");
    }
}

void load_consumer_end(struct load_consumer *c, uint64_t expected)
{
    atomic_store(&c->expected, expected);
    pthread_join(c->thread, NULL);
    c->load->driver->consumer_close(c->consumer);
}
