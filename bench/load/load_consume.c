/* SPDX-License-Identifier: Apache-2.0 */

/* One consumer of all partitions, from where they ended before the run. It stops when it has seen
 * as many records of this run as were acknowledged, or after some seconds of silence: what is
 * missing then is told. */
#include "load/open_loop.h"

#include "load/load.h"
#include "report/clock.h"

#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100, SILENCE_SECONDS = 5 };

void load_consumer_open(struct load_consumer *c, struct load *load)
{
    const struct load_options *o = &load->options;
    leat_consumer_options options = LEAT_CONSUMER_OPTIONS_INIT;
    leat_start *starts = calloc(o->partitions, sizeof *starts);
    leat_error e;
    if (!starts) {
        load_fail("out of memory");
    }
    c->load = load;
    atomic_store(&c->expected, UINT64_MAX);
    options.poll_max_records = 10000;
    if (leat_open(&c->client, o->brokers, NULL, &e) != 0) {
        load_fail("%s", e.message);
    }
    for (uint64_t i = 0; i < o->partitions; i++) {
        starts[i] = (leat_start){.topic = o->topic, .partition = (int32_t)i};
        if (leat_offset_at(c->client, o->topic, (int32_t)i, LEAT_LATEST, &starts[i].offset, &e)) {
            load_fail("%s", e.message);
        }
    }
    if (leat_consumer_open(&c->consumer, c->client, NULL, &options, &e) != 0 ||
        leat_assign(c->consumer, starts, o->partitions, &e) != 0) {
        load_fail("%s", e.message);
    }
    free(starts);
}

static void take(struct load_consumer *c, const leat_record *record, uint64_t now)
{
    const uint8_t *value = record->value.data;
    uint64_t meant, run;
    if (!value || record->value.len < STAMP_SIZE) {
        return;
    }
    memcpy(&meant, value, sizeof meant);
    memcpy(&run, value + 8, sizeof run);
    if (run != c->load->run) {
        return;
    }
    atomic_fetch_add_explicit(&c->received, 1, memory_order_relaxed);
    c->received_in_window += load_in_window(c->load, now);
    if (load_in_window(c->load, meant)) {
        histogram_record(&c->latency, now > meant ? now - meant : 0);
    }
}

static void *consumer_run(void *argument)
{
    struct load_consumer *c = argument;
    uint64_t last_ns = clock_ns();
    while (atomic_load(&c->received) < atomic_load(&c->expected)) {
        const leat_record *records;
        leat_error e;
        int count = leat_poll(c->consumer, &records, POLL_MS, &e);
        uint64_t now = clock_ns();
        if (count < 0) {
            load_fail("%s", e.message);
        }
        for (int i = 0; i < count; i++) {
            take(c, &records[i], now);
        }
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
    leat_consumer_close(c->consumer, NULL);
    leat_close(c->client);
}
