/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/nodes.h"

enum { NODE_CONFIGS_MAX = IMAGE_BROKERS_MAX + 1, TEXT_MAX = 255 };

struct broker {
    struct image_broker view;
    uint32_t references;
    struct image_endpoint endpoints[]; /* and behind them their texts, and the rack */
};

struct broker_set {
    struct memory *memory;
    uint32_t references;
    uint32_t count;
    struct broker *brokers[]; /* by id */
};

struct node_config {
    int32_t node;
    struct config_set *configs;
};

struct node_configs {
    struct memory *memory;
    uint32_t references;
    uint32_t count;
    struct node_config nodes[]; /* by node */
};

/* --- brokers ---------------------------------------------------------------------------------- */

struct broker_set *broker_set_take(struct broker_set *set)
{
    if (set) {
        assert(set->references > 0);
        set->references++;
    }
    return set;
}

void broker_set_release(struct broker_set *set)
{
    if (!set) {
        return;
    }
    assert(set->references > 0);
    if (--set->references > 0) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        if (--set->brokers[i]->references == 0) {
            memory_free(set->memory, set->brokers[i]);
        }
    }
    memory_free(set->memory, set);
}

static uint32_t broker_place(const struct broker_set *set, int32_t id)
{
    uint32_t at = 0;
    while (set && at < set->count && set->brokers[at]->view.id < id) {
        at++;
    }
    return at;
}

/* Copies a text behind the others and ends it with NUL. */
static const char *text_put(char **at, struct bytes text)
{
    char *copy = *at;
    if (text.size) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = 0;
    *at += text.size + 1;
    return copy;
}

static bool endpoints_fit(const struct image_broker_spec *spec)
{
    bool fit = spec->endpoint_count > 0 && spec->endpoint_count <= IMAGE_ENDPOINTS_MAX;
    for (uint32_t i = 0; fit && i < spec->endpoint_count; i++) {
        fit = spec->endpoints[i].name.size <= TEXT_MAX && spec->endpoints[i].host.size <= TEXT_MAX;
    }
    return fit;
}

static struct broker *broker_new(struct memory *m, const struct image_broker_spec *spec)
{
    uint32_t count = spec->endpoint_count;
    size_t size = spec->rack.size + 1;
    for (uint32_t i = 0; i < count; i++) {
        size += spec->endpoints[i].name.size + spec->endpoints[i].host.size + 2;
    }
    struct broker *b = memory_alloc(m, sizeof *b + count * sizeof b->endpoints[0] + size);
    if (!b) {
        return NULL;
    }
    char *at = (char *)&b->endpoints[count];
    for (uint32_t i = 0; i < count; i++) {
        const struct image_endpoint_spec *e = &spec->endpoints[i];
        b->endpoints[i].name = text_put(&at, e->name);
        b->endpoints[i].host = text_put(&at, e->host);
        b->endpoints[i].port = e->port;
    }
    b->view = (struct image_broker){
        .id = spec->id,
        .epoch = spec->epoch,
        .rack = spec->rack.data ? text_put(&at, spec->rack) : NULL,
        .endpoints = b->endpoints,
        .endpoint_count = count,
        .incarnation = spec->incarnation,
        .directory = spec->directory,
        .fenced = spec->fenced,
        .shutting_down = spec->shutting_down,
    };
    return b;
}

int broker_set_with(struct broker_set **out, struct memory *m, const struct broker_set *base,
                    const struct image_broker_spec *spec)
{
    uint32_t at = broker_place(base, spec->id), count = broker_set_count(base);
    bool known = at < count && base->brokers[at]->view.id == spec->id;
    uint32_t next_count = count + (known ? 0 : 1);
    if (spec->id < 0 || next_count > IMAGE_BROKERS_MAX || !endpoints_fit(spec) ||
        spec->rack.size > TEXT_MAX || (known && spec->epoch < base->brokers[at]->view.epoch)) {
        return ERR_MALFORMED;
    }
    struct broker *b = broker_new(m, spec);
    struct broker_set *set =
        b ? memory_alloc(m, sizeof *set + next_count * sizeof *set->brokers) : NULL;
    if (!set) {
        memory_free(m, b);
        return ERR_NO_MEMORY;
    }
    set->memory = m;
    set->references = 1;
    set->count = next_count;
    for (uint32_t from = 0, to = 0; to < next_count; to++) {
        set->brokers[to] = to == at ? b : base->brokers[from];
        set->brokers[to]->references++;
        from += to == at && !known ? 0 : 1;
    }
    *out = set;
    return 0;
}

int broker_set_without(struct broker_set **out, struct memory *m, const struct broker_set *base,
                       int32_t id)
{
    assert(broker_set_find(base, id));
    struct broker_set *set = NULL;
    if (base->count > 1) {
        set = memory_alloc(m, sizeof *set + (base->count - 1) * sizeof *set->brokers);
        if (!set) {
            return ERR_NO_MEMORY;
        }
        set->memory = m;
        set->references = 1;
        for (uint32_t i = 0; i < base->count; i++) {
            if (base->brokers[i]->view.id != id) {
                base->brokers[i]->references++;
                set->brokers[set->count++] = base->brokers[i];
            }
        }
        assert(set->count == base->count - 1);
    }
    *out = set;
    return 0;
}

uint32_t broker_set_count(const struct broker_set *set)
{
    return set ? set->count : 0;
}

const struct image_broker *broker_set_at(const struct broker_set *set, uint32_t index)
{
    assert(index < broker_set_count(set));
    return &set->brokers[index]->view;
}

const struct image_broker *broker_set_find(const struct broker_set *set, int32_t id)
{
    uint32_t at = broker_place(set, id);
    bool known = at < broker_set_count(set) && set->brokers[at]->view.id == id;
    return known ? &set->brokers[at]->view : NULL;
}

/* --- configurations of nodes ------------------------------------------------------------------ */

struct node_configs *node_configs_take(struct node_configs *set)
{
    if (set) {
        assert(set->references > 0);
        set->references++;
    }
    return set;
}

void node_configs_release(struct node_configs *set)
{
    if (!set) {
        return;
    }
    assert(set->references > 0);
    if (--set->references > 0) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        config_set_release(set->nodes[i].configs);
    }
    memory_free(set->memory, set);
}

uint32_t node_configs_count(const struct node_configs *set)
{
    return set ? set->count : 0;
}

const struct config_set *node_configs_at(const struct node_configs *set, uint32_t index,
                                         int32_t *node)
{
    assert(index < node_configs_count(set));
    *node = set->nodes[index].node;
    return set->nodes[index].configs;
}

const struct config_set *node_configs_find(const struct node_configs *set, int32_t node)
{
    for (uint32_t i = 0; i < node_configs_count(set); i++) {
        if (set->nodes[i].node == node) {
            return set->nodes[i].configs;
        }
    }
    return NULL;
}

int node_configs_with(struct node_configs **out, struct memory *m, const struct node_configs *base,
                      int32_t node, struct bytes key, struct bytes value)
{
    const struct config_set *known = node_configs_find(base, node);
    uint32_t count = node_configs_count(base);
    if (node < -1 || (!known && count == NODE_CONFIGS_MAX)) {
        return ERR_MALFORMED;
    }
    struct config_set *configs;
    int error = config_set_with(&configs, m, known, key, value);
    if (error) {
        return error;
    }
    struct node_configs *set = memory_alloc(m, sizeof *set + (count + 1) * sizeof *set->nodes);
    if (!set) {
        config_set_release(configs);
        return ERR_NO_MEMORY;
    }
    set->memory = m;
    set->references = 1;
    bool placed = !configs;
    for (uint32_t i = 0; i <= count; i++) {
        if (!placed && (i == count || base->nodes[i].node >= node)) {
            set->nodes[set->count++] = (struct node_config){node, configs};
            placed = true;
        }
        if (i < count && base->nodes[i].node != node) {
            set->nodes[set->count++] =
                (struct node_config){base->nodes[i].node, config_set_take(base->nodes[i].configs)};
        }
    }
    *out = set;
    return 0;
}
