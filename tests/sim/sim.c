/* SPDX-License-Identifier: Apache-2.0 */

/* The world: its clock, its events in the order of (time, sequence), its randomness, its trace. */
#include "sim_private.h"

#include "base/crc32c.h"

#include <stdarg.h>

enum {
    MICROSECOND = 1000,
    MEMORY_DEFAULT = 256 << 20,
    DISK_DEFAULT = 1 << 30,
};

struct sim_faults sim_faults_none(void)
{
    return (struct sim_faults){
        .read = {20 * MICROSECOND, 40 * MICROSECOND},
        .write = {30 * MICROSECOND, 60 * MICROSECOND},
        .sync = {80 * MICROSECOND, 120 * MICROSECOND},
        .name = {20 * MICROSECOND, 40 * MICROSECOND},
        .turn = {0, 2 * MICROSECOND},
        .work = {5 * MICROSECOND, 30 * MICROSECOND},
        .post = {1 * MICROSECOND, 10 * MICROSECOND},
        .link = {40 * MICROSECOND, 40 * MICROSECOND},
        .crash = {.garbage = 100, .torn = 250, .names_in_order = 500},
        .bytes_per_second = 1250000000,
    };
}

struct sim *sim_new(const struct sim_options *options)
{
    struct sim *sim = sim_memory(sizeof *sim);
    sim->options = *options;
    sim->options.memory_bytes = options->memory_bytes ? options->memory_bytes : MEMORY_DEFAULT;
    sim->options.disk_bytes = options->disk_bytes ? options->disk_bytes : DISK_DEFAULT;
    sim->faults = sim_faults_none();
    sim->root = prng_of(options->seed);
    for (unsigned i = 0; i < SIM_STREAMS; i++) {
        sim->streams[i] = prng_split(&sim->root, i);
    }
    heap_init(&sim->events);
    list_init(&sim->connections);
    list_init(&sim->connects);
    list_init(&sim->spare_ops);
    sim_catch_asserts(sim, options->catch_asserts);
    return sim;
}

void sim_free(struct sim *sim)
{
    if (!sim) {
        return;
    }
    assert(!sim->current);
    for (unsigned i = 0; i < sim->node_count; i++) {
        sim_node_freeze(sim->nodes[i]);
        disk_free(sim->nodes[i]->disk);
    }
    sim_net_free(sim);
    for (unsigned i = 0; i < sim->node_count; i++) {
        free(sim->nodes[i]);
    }
    sim_catch_asserts(sim, false);
    sim_ops_free(sim);
    free(sim->aliases);
    free(sim);
}

struct sim_faults *sim_faults(struct sim *sim)
{
    return &sim->faults;
}

uint64_t sim_now(const struct sim *sim)
{
    return sim->now_ns;
}

uint64_t sim_hash(const struct sim *sim)
{
    return sim->hash;
}

uint64_t sim_events(const struct sim *sim)
{
    return sim->event_count;
}

struct prng sim_random(const struct sim *sim, uint64_t label)
{
    return prng_split(&sim->root, SIM_STREAMS + label);
}

/* --- events -------------------------------------------------------------------------- */

void sim_event_at(struct sim *sim, struct sim_event *e, uint64_t at_ns)
{
    assert(e->fire);
    heap_add(&sim->events, &e->node, at_ns > sim->now_ns ? at_ns : sim->now_ns);
}

void sim_event_cancel(struct sim *sim, struct sim_event *e)
{
    if (heap_contains(&e->node)) {
        heap_remove(&sim->events, &e->node);
    }
}

bool sim_step(struct sim *sim)
{
    assert(!sim->current);
    struct heap_node *node = heap_first(&sim->events);
    if (!node) {
        return false;
    }
    assert(node->key >= sim->now_ns);
    sim->now_ns = node->key;
    sim->event_count++;
    sim->stepped = NULL;
    heap_remove(&sim->events, node);
    struct sim_event *e = container_of(node, struct sim_event, node);
    e->fire(sim, e);
    assert(!sim->current);
    return true;
}

struct sim_node *sim_stepped(const struct sim *sim)
{
    return sim->stepped;
}

void sim_run(struct sim *sim, uint64_t until_ns)
{
    const struct heap_node *first;
    while ((first = heap_first(&sim->events)) && first->key <= until_ns) {
        (void)sim_step(sim);
    }
    sim->now_ns = sim->now_ns < until_ns ? until_ns : sim->now_ns;
}

struct alarm_event {
    struct sim_event event;
    struct sim_alarm *alarm;
};

static_assert(sizeof(struct alarm_event) <= sizeof((struct sim_alarm){0}.words),
              "an alarm holds its event");

static void alarm_fire(struct sim *sim, struct sim_event *e)
{
    struct sim_alarm *a = container_of(e, struct alarm_event, event)->alarm;
    sim_trace(sim, SIM_WHAT_START, UINT64_MAX, 0, 0);
    a->fire(a, sim);
}

void sim_alarm(struct sim *sim, struct sim_alarm *a, uint64_t at_ns)
{
    struct alarm_event *e = (struct alarm_event *)a->words;
    assert(!heap_contains(&e->event.node));
    e->event.fire = alarm_fire;
    e->alarm = a;
    sim_event_at(sim, &e->event, at_ns);
}

/* --- randomness, trace, story -------------------------------------------------------- */

uint64_t sim_delay(struct prng *random, const struct sim_latency *l)
{
    uint64_t ns = l->min_ns + (l->mean_ns ? prng_below(random, 2 * l->mean_ns + 1) : 0);
    if (l->tail && prng_chance(random, l->tail, 1000)) {
        ns += prng_below(random, l->tail_ns + 1);
    }
    return ns;
}

bool sim_fault(struct sim *sim, enum sim_stream stream, uint32_t chance)
{
    return chance > 0 && prng_chance(&sim->streams[stream], chance, 1000000);
}

uint64_t sim_checksum(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    if (size >= 256) {
        return prng_mix(h ^ crc32c((uint32_t)h, data, size));
    }
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = prng_rotate((h ^ word) * 0x9e3779b97f4a7c15, 29);
    }
    for (; size > 0; p++, size--) {
        h = prng_rotate((h ^ *p) * 0x9e3779b97f4a7c15, 29);
    }
    return h;
}

void sim_trace(struct sim *sim, enum sim_what what, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t words[] = {sim->now_ns, what, a, b, c};
    sim->hash = prng_mix(sim_checksum(sim->hash, words, sizeof words));
}

void sim_story(struct sim *sim, const char *format, ...)
{
    if (!sim->options.story) {
        return;
    }
    fprintf(sim->options.story, "%12.3f ", (double)sim->now_ns / 1000.0);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(sim->options.story, format, arguments);
    va_end(arguments);
    fputc('\n', sim->options.story);
}
