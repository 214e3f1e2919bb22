/* SPDX-License-Identifier: Apache-2.0 */

/* Groups over the starts of their nodes. */
#include "open.h"

#include "wire/wire.h"

static struct cluster_world w;

enum { NODES = 3, COORDINATOR_NOT_AVAILABLE = 15 };

static void *answer_of(struct ask *a)
{
    cr_assert_not_null(a);
    for (int ms = 0; !a->over && ms < 3000; ms++) {
        world_run(&w, CLUSTER_MS);
    }
    cr_assert(a->answered, "API %d is not answered", (int)a->key);
    return ask_answer(a);
}

static struct member *coordinator_of(const char *group)
{
    struct find_coordinator_request q;
    find_coordinator_request_init(&q);
    q.key = wire_string_of(group);
    for (int tries = 0; tries < 100; tries++) {
        const struct find_coordinator_response *r =
            answer_of(ask_begin(&w, &w.members[0], WIRE_FIND_COORDINATOR, 1, &q));
        if (!r->error_code) {
            return &w.members[r->node_id - 1];
        }
        cr_assert_eq(r->error_code, COORDINATOR_NOT_AVAILABLE);
        world_run(&w, 100 * CLUSTER_MS);
    }
    cr_assert_fail("nobody coordinates");
    return NULL;
}

static int fetch_error(const char *group)
{
    struct offset_fetch_request q;
    offset_fetch_request_init(&q);
    q.group_id = wire_string_of(group);
    q.topics_count = -1;
    const struct offset_fetch_response *r =
        answer_of(ask_begin(&w, coordinator_of(group), WIRE_OFFSET_FETCH, 5, &q));
    return r->error_code;
}

/* Nothing of the metadata changes once all brokers are there: a coordinator may learn only then that it leads, and
 * nobody tells it again. */
Test(groups, answer_after_all_have_started_again)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        open_world_in(&w, seed, NODES);
        for (uint32_t i = 0; i < w.count; i++) {
            member_start(&w.members[i]);
        }
        world_settle(&w, 10000 * CLUSTER_MS);
        (void)coordinator_of("g");
        world_run(&w, 3000 * CLUSTER_MS);
        for (uint32_t i = 0; i < w.count; i++) {
            sim_node_kill(w.members[i].machine);
        }
        for (uint32_t i = 0; i < w.count; i++) {
            member_start(&w.members[i]);
        }
        world_run(&w, 8000 * CLUSTER_MS);
        for (int group = 0; group < 10; group++) {
            char name[8];
            snprintf(name, sizeof name, "g%d", group);
            cr_expect_eq(fetch_error(name), 0, "seed %d: %s", (int)seed, name);
        }
        world_close(&w);
    }
}
