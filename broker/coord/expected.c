/* SPDX-License-Identifier: Apache-2.0 */

/* Ids that were given out: the group waits for who has one, until the session that it asked for is
 * over. */
#include "coord/expected.h"

#include "coord/rebalance.h"

static const uint64_t ms_ns = 1000000;

void expected_remove(struct expected *e)
{
    struct group *g = e->group;
    deadline_cancel(g->host->deadlines, &e->deadline);
    map_remove(&g->expected_ids, bytes_of_string(e->id));
    list_remove(&e->link);
    list_remove(&e->among_all);
    g->expected_count--;
    g->host->expected_count--;
    memory_free(g->host->memory, e->id);
    memory_free(g->host->memory, e);
}

/* Nobody waits for it any more. */
static void expected_forget(struct expected *e)
{
    struct group *g = e->group;
    expected_remove(e);
    if (g->state == GROUP_PREPARING) {
        rebalance_try(g);
    }
    g->host->idle(g->host, g);
}

static void expected_late(struct deadline *d)
{
    expected_forget(container_of(d, struct expected, deadline));
}

static int32_t of_group_max(const struct group_host *h)
{
    int64_t size = config_integer(h->config, CONFIG_GROUP_MAX_SIZE);
    return size < EXPECTED_OF_GROUP_MAX ? (int32_t)size : EXPECTED_OF_GROUP_MAX;
}

int expected_add(struct group *g, char *id, int32_t session_ms)
{
    struct group_host *h = g->host;
    struct expected *e = memory_alloc(h->memory, sizeof *e);
    if (!e || map_add(&g->expected_ids, bytes_of_string(id), e) != 0) {
        memory_free(h->memory, e);
        memory_free(h->memory, id);
        return ERR_NO_MEMORY;
    }
    *e = (struct expected){.group = g, .id = id, .deadline.due = expected_late};
    list_init(&e->link);
    list_init(&e->among_all);
    list_append(&g->expected, &e->link);
    list_append(&h->expected, &e->among_all);
    g->expected_count++;
    h->expected_count++;
    deadline_set(h->deadlines, &e->deadline, io_now(h->io) + (uint64_t)session_ms * ms_ns);
    if (g->expected_count > of_group_max(h)) {
        expected_forget(container_of(list_first(&g->expected), struct expected, link));
    } else if (h->expected_count > EXPECTED_OF_SHARD_MAX) {
        expected_forget(container_of(list_first(&h->expected), struct expected, among_all));
    }
    return 0;
}

struct expected *expected_find(const struct group *g, struct wire_string id)
{
    return id.size > 0 ? map_get(&g->expected_ids, wire_string_bytes(id)) : NULL;
}

void expected_clear(struct group *g)
{
    struct list *node;
    while ((node = list_first(&g->expected))) {
        expected_remove(container_of(node, struct expected, link));
    }
}
