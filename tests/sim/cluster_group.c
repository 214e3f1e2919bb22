/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_load.h"

#include <inttypes.h>
#include <string.h>

static_assert((int)GROUP_LOGS_MAX >= (int)LOAD_LOGS_MAX, "by the load's numbers");

static const char *name_of(const struct program *p)
{
    return sim_node_name(client_machine(p->client));
}

/* --- what a member is given -------------------------------------------------------------------- */

static void given(struct program *p, unsigned log, int32_t generation)
{
    struct load *l = p->load;
    for (unsigned i = 0; i < l->count; i++) {
        const struct program *other = &l->programs[i];
        bool holds =
            other != p && other->member && program_runs(other) && other->holdings[log].held;
        world_expect(l->world, !holds || other->generation != generation,
                     "C24 dual_owner: %s-%d is given to %s, and %s has it in generation %d as well",
                     l->logs[log].topic->told->name, (int)l->logs[log].partition, name_of(p),
                     name_of(other), (int)generation);
    }
    p->holdings[log] = (struct holding){.held = true,
                                        .least = l->group.logs[log].committed,
                                        .generation = generation,
                                        .since_ns = sim_now(l->world->sim)};
    l->group.given++;
}

static void changes(void *context, const char *topic, int32_t partition, bool comes,
                    int32_t generation)
{
    struct program *p = context;
    unsigned log = load_log(p->load, topic, partition);
    sim_story(p->load->world->sim, "%s %s %s-%d in generation %d", name_of(p),
              comes ? "is given" : "lets go of", topic, (int)partition, (int)generation);
    if (comes) {
        given(p, log, generation);
    } else {
        p->holdings[log] = (struct holding){0};
    }
}

/* --- what it reads and commits ----------------------------------------------------------------- */

static void begins(struct program *p, unsigned log, int64_t offset)
{
    struct load *l = p->load;
    const char *topic = l->logs[log].topic->told->name;
    int partition = (int)l->logs[log].partition;
    world_expect(l->world, offset >= p->holdings[log].least,
                 "C23 group_offset_lost: %s begins %s-%d at %" PRId64 ", and %" PRId64
                 " was committed before it was given to it",
                 name_of(p), topic, partition, offset, p->holdings[log].least);
    world_expect(l->world, offset <= l->group.logs[log].asked,
                 "C7 poll_skip: %s begins %s-%d at %" PRId64 ", and nobody has committed more than "
                 "%" PRId64,
                 name_of(p), topic, partition, offset, l->group.logs[log].asked);
    p->holdings[log].begun = true;
    p->readings[log] = (struct history_reading){.log = l->logs[log].log, .next = offset};
}

static void reads(void *context, const struct client_record *r)
{
    struct program *p = context;
    struct load *l = p->load;
    unsigned log = load_log(p->load, r->topic, r->partition);
    world_expect(l->world, p->holdings[log].held,
                 "C24 dual_owner: %s reads %s-%d, which it was not given", name_of(p), r->topic,
                 (int)r->partition);
    if (!p->holdings[log].begun) {
        begins(p, log, r->offset);
    }
    history_read(l->history, &p->readings[log], r->offset, r->value, r->size, r->tombstone,
                 sim_now(l->world->sim));
}

/* It was acknowledged what `p` has sent to commit. */
static void check_holder(const struct program *p, unsigned log)
{
    const struct load *l = p->load;
    for (unsigned i = 0; i < l->count; i++) {
        const struct program *other = &l->programs[i];
        const struct holding *h = &other->holdings[log];
        bool holds = other != p && other->member && h->held &&
                     h->generation > client_generation(p->client) && h->since_ns < p->commit_ns;
        world_expect(l->world, !holds,
                     "C24 dual_owner: %s commits %s-%d, and %s had been given it in generation %d",
                     name_of(p), l->logs[log].topic->told->name, (int)l->logs[log].partition,
                     name_of(other), (int)h->generation);
    }
}

static void commits(void *context, const char *topic, int32_t partition, int64_t offset,
                    bool acknowledged)
{
    struct program *p = context;
    struct group_history *g = &p->load->group;
    unsigned log = load_log(p->load, topic, partition);
    int64_t *most = acknowledged ? &g->logs[log].committed : &g->logs[log].asked;
    *most = offset > *most ? offset : *most;
    g->commits += acknowledged;
    sim_story(p->load->world->sim, "%s %s %s-%d at %" PRId64, name_of(p),
              acknowledged ? "has committed" : "commits", topic, (int)partition, offset);
    if (acknowledged) {
        check_holder(p, log);
    } else {
        p->commit_ns = sim_now(p->load->world->sim);
    }
}

/* That it was taken for gone, as after a pause, and others read: it joins again by itself. */
static void fails(void *context, int code, const char *message)
{
    const struct program *p = context;
    sim_story(p->load->world->sim, "%s: %s (%d)", name_of(p), message, code);
    world_expect(p->load->world, client_joins_again(code),
                 "C19 stuck_client: %s cannot read on: %s (%d)", name_of(p), message, code);
}

static void tick(void *context)
{
    struct program *p = context;
    p->generation = client_generation(p->client);
    if (prng_below(&p->random, 4) == 0) {
        client_commit(p->client);
    }
}

/* --- the whole --------------------------------------------------------------------------------- */

static void open_member(struct load *l, unsigned number)
{
    char name[16];
    snprintf(name, sizeof name, "g%u", number + 1);
    struct client_options o = {
        .name = name,
        .tick_ns = (10 + prng_below(&l->random, 200)) * CLUSTER_MS,
        .consumes = true,
        .group = "group",
        .topics = l->group.topics,
        .topic_count = l->group.topic_count,
        .is_static = prng_below(&l->random, 3) == 0,
        .program =
            {.tick = tick, .reads = reads, .fails = fails, .changes = changes, .commits = commits},
    };
    load_program(l, &o)->member = true;
}

void members_open(struct load *l)
{
    struct group_history *g = &l->group;
    g->members = (unsigned)prng_below(&l->random, GROUP_MEMBERS_MAX + 1);
    for (unsigned i = 0; i < l->topic_count; i++) {
        bool whole = !l->topics[i].again && !l->topics[i].told->compacted;
        if (whole && (g->topic_count == 0 || prng_below(&l->random, 2))) {
            g->topics[g->topic_count++] = l->topics[i].told->name;
        }
    }
    for (unsigned i = 0; i < g->members; i++) {
        open_member(l, i);
    }
}

static bool is_of_group(const struct load *l, unsigned log)
{
    bool found = false;
    for (unsigned i = 0; i < l->group.topic_count; i++) {
        found = found || strcmp(l->group.topics[i], l->logs[log].topic->told->name) == 0;
    }
    return found && l->group.members > 0;
}

void members_finish(struct load *l, uint64_t ns)
{
    struct cluster_world *w = l->world;
    uint64_t until = sim_now(w->sim) + ns;
    for (unsigned log = 0; log < l->log_count; log++) {
        int64_t end = history_known_end(l->history, l->logs[log].log);
        /* What was asked for last may be committed without its answer: then nobody has more to commit. */
        while (is_of_group(l, log) && l->group.logs[log].committed < end &&
               l->group.logs[log].asked < end) {
            world_expect(w, sim_now(w->sim) < until,
                         "C19 stuck_client: the group has committed %" PRId64
                         " of %s-%d, and %" PRId64 " are there",
                         l->group.logs[log].committed, l->logs[log].topic->told->name,
                         (int)l->logs[log].partition, end);
            world_run(w, 100 * CLUSTER_MS);
            load_go_on(l);
        }
    }
}
