/* SPDX-License-Identifier: Apache-2.0 */

#include "coord/partitions.h"

#include "coord/life.h"

enum { GROUPS_MAX = 1 << 22, PARTITIONS_MAX = 1 << 20 };

void coord_partitions_init(struct coord_partitions *all, struct group_host *host, uint64_t seed)
{
    all->host = host;
    list_init(&all->all);
    map_init(&all->by_index, host->memory, seed, PARTITIONS_MAX);
    map_init(&all->by_name, host->memory, seed, GROUPS_MAX);
}

void coord_partitions_deinit(struct coord_partitions *all)
{
    list_each (node, &all->all) {
        struct coord_partition *p = container_of(node, struct coord_partition, link);
        list_each (inner, &p->groups) {
            struct group *g = container_of(inner, struct group, link);
            coord_partition_let_go(p, g);
            group_free(g);
        }
        coord_partitions_remove(p);
    }
    map_deinit(&all->by_index);
    map_deinit(&all->by_name);
}

struct coord_partition *coord_partitions_find(const struct coord_partitions *all, int32_t index)
{
    return map_get_number(&all->by_index, (uint64_t)index);
}

struct coord_partition *coord_partitions_add(struct coord_partitions *all,
                                             const struct image_topic *topic, int32_t index)
{
    struct memory *memory = all->host->memory;
    struct coord_partition *p = memory_alloc(memory, sizeof *p);
    if (!p || map_add_number(&all->by_index, (uint64_t)index, p) != 0) {
        memory_free(memory, p);
        return NULL;
    }
    p->among = all;
    p->index = index;
    p->epoch = topic->partitions[index].leader_epoch;
    p->topic_id = topic->id;
    p->state = PARTITION_LOADING;
    list_init(&p->link);
    list_init(&p->queue);
    list_init(&p->ready.link);
    list_init(&p->groups);
    list_append(&all->all, &p->link);
    return p;
}

void coord_partitions_remove(struct coord_partition *p)
{
    assert(list_empty(&p->groups));
    map_remove_number(&p->among->by_index, (uint64_t)p->index);
    list_remove(&p->link);
    list_remove(&p->queue);
    list_remove(&p->ready.link);
    memory_free(p->among->host->memory, p);
}

struct group *coord_partition_group(struct coord_partition *p, struct wire_string name, bool make)
{
    struct coord_partitions *all = p->among;
    struct group *g = map_get(&all->by_name, wire_string_bytes(name));
    if (g || !make) {
        return g && g->partition == p ? g : NULL;
    }
    g = group_new(all->host, name);
    if (!g) {
        return NULL;
    }
    if (map_add(&all->by_name, bytes_of_string(g->name), g) != 0) {
        group_free(g);
        return NULL;
    }
    g->partition = p;
    g->epoch = p->epoch;
    list_append(&p->groups, &g->link);
    return g;
}

void coord_partition_let_go(struct coord_partition *p, struct group *g)
{
    assert(g->partition == p);
    map_remove(&p->among->by_name, bytes_of_string(g->name));
    list_remove(&g->link);
    g->partition = NULL;
}
