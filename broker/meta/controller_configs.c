/* SPDX-License-Identifier: Apache-2.0 */

/* Configurations of topics and brokers: each change becomes the key's next value, or its deletion;
 * values are checked by the table of broker/config; what changes nothing makes no record.
 *
 * min.insync.replicas is one for all brokers (KIP-966): leaders and the controller must not differ in it (P7, P22), so
 * only what the image holds counts. What the controller's configuration states is written there where nothing is, by
 * controller_state_configs(), and comes back when an operator deletes what is. */
#include "meta/cluster.h"
#include "meta/controller_private.h"
#include "meta/records.h"

#include "config/config.h"
#include "wire/wire.h"

#include <stdio.h>

enum {
    CHANGES_MAX = 256, /* in one operation; every key that exists fits several times */
    KAFKA_TYPE_LIST = 7,
    NODE_NAME_SIZE = 12,
    NUMBER_SIZE = 12,
};

/* What is being configured. */
struct target {
    const struct image *image;
    const struct image_topic *topic; /* NULL: a broker */
    int32_t node;                    /* of a broker; -1: all */
};

/* A key of the table, as the target knows it. */
struct key {
    enum config_key broker_key; /* checks the value, also of a topic's key */
    bool fixed;                 /* given at creation only */
    bool ignored;               /* a key of Kafka's that is accepted and not kept */
};

static int find_topic_key(struct meta_op *op, const char *name, struct key *out)
{
    int found = topic_key_find(bytes_of_string(name));
    if (found < 0 && topic_key_ignored(bytes_of_string(name))) {
        *out = (struct key){.ignored = true};
        return 0;
    }
    if (found < 0) {
        return controller_refuse(op, ERR_INVALID_CONFIG, "Unknown topic config name: %.100s", name);
    }
    const struct topic_key_info *info = topic_key_info((enum topic_key)found);
    *out = (struct key){
        .broker_key = info->broker_key,
        .fixed = (info->flags & TOPIC_FIXED) != 0,
    };
    return 0;
}

static int find_broker_key(struct meta_op *op, const char *name, struct key *out)
{
    int found = config_key_find(bytes_of_string(name));
    const char *foreign = config_key_foreign(bytes_of_string(name));
    if (found < 0 && foreign) {
        return controller_refuse(op, ERR_INVALID_CONFIG, "%.60s has no effect here: %.100s.", name,
                                 foreign);
    }
    if (found < 0) {
        return controller_refuse(op, ERR_INVALID_CONFIG, "Unknown broker config name: %.100s",
                                 name);
    }
    if (!config_key_dynamic((enum config_key)found)) {
        return controller_refuse(op, ERR_INVALID_REQUEST,
                                 "Cannot update %.100s while the broker runs; set it in the "
                                 "configuration file.",
                                 name);
    }
    *out = (struct key){.broker_key = (enum config_key)found};
    return 0;
}

enum { LIST_SIZE = 1024 };

/* Checks a value and writes it without a unit, as clients expect numbers to be shown. */
static int normal_value(struct meta_op *op, const char *name, const struct key *key,
                        const char *value, char out[static LIST_SIZE])
{
    char why[CONFIG_WHY_SIZE];
    size_t size = strlen(value);
    if (size > CONFIG_VALUE_MAX) {
        return controller_refuse(op, ERR_INVALID_CONFIG, "The value of %s is longer than %d bytes.",
                                 name, (int)CONFIG_VALUE_MAX);
    }
    int error = config_value_normal(key->broker_key, bytes_of(value, size), out, LIST_SIZE, why);
    return error ? controller_refuse(op, error, "%.60s: %.130s", name, why) : 0;
}

static int emit_config(const struct controller *c, const struct meta_op *op,
                       const struct target *target, const char *key, const char *value)
{
    char node[NODE_NAME_SIZE] = "";
    struct config_record r;
    config_record_init(&r);
    r.resource_type = target->topic ? RESOURCE_TOPIC : RESOURCE_BROKER;
    if (target->topic) {
        r.resource_name = wire_string_of(target->topic->name);
    } else {
        if (target->node >= 0) {
            snprintf(node, sizeof node, "%d", (int)target->node);
        }
        r.resource_name = wire_string_of(node);
    }
    r.name = wire_string_of(key);
    r.value = wire_string_of(value);
    return controller_emit(c, op, &config_record_message, 0, &r);
}

static bool decides_partitions(const char *key)
{
    return strcmp(key, config_key_info(CONFIG_MIN_INSYNC_REPLICAS)->name) == 0 ||
           strcmp(key, config_key_info(CONFIG_UNCLEAN_LEADER_ELECTION_ENABLE)->name) == 0;
}

static bool any_decides_partitions(const struct meta_op *op)
{
    bool any = op->replace_all;
    for (uint32_t i = 0; i < op->change_count && !any; i++) {
        any = decides_partitions(op->changes[i].key);
    }
    return any;
}

/* What follows for partitions goes with the configuration, by the same batch (P27). */
static int settle_partitions(const struct controller *c, struct meta_op *op,
                             const struct target *target)
{
    struct cluster k;
    assert(c->candidate);
    cluster_init(&k, c, NULL, 0);
    int error = cluster_configured(&k, target->topic);
    op->unclean_count = k.unclean;
    if (!error && k.more) {
        error =
            controller_refuse(op, ERR_POLICY_VIOLATION,
                              "More partitions of %.60s would have other leaders than one batch "
                              "holds: change it topic by topic, or wait until they are in "
                              "sync.",
                              target->topic ? target->topic->name : "all topics");
    }
    return error;
}

/* A value for one node alone says nothing of partitions. */
static int follow_partitions(const struct controller *c, struct meta_op *op,
                             const struct target *target)
{
    bool partitions = target->topic || target->node == -1;
    bool follow = !op->validate_only && partitions && any_decides_partitions(op);
    return follow ? settle_partitions(c, op, target) : 0;
}

int32_t controller_num_partitions(const struct controller *c)
{
    const char *name = config_key_info(CONFIG_NUM_PARTITIONS)->name;
    const int32_t nodes[] = {c->limits->node_id, -1};
    int64_t number;
    for (size_t i = 0; i < array_size(nodes); i++) {
        const char *value = image_broker_config(c->image, nodes[i], name);
        if (value && config_value_number(CONFIG_NUM_PARTITIONS, bytes_of_string(value), &number)) {
            return (int32_t)number;
        }
    }
    return c->limits->num_partitions;
}

/* --- a new topic ------------------------------------------------------------------------------ */

int controller_check_new_configs(struct meta_op *op)
{
    if (op->change_count > CHANGES_MAX) {
        return controller_refuse(op, ERR_INVALID_CONFIG, "More than %d configurations.",
                                 (int)CHANGES_MAX);
    }
    for (uint32_t i = 0; i < op->change_count; i++) {
        struct key key;
        int error = find_topic_key(op, op->changes[i].key, &key);
        if (error) {
            return error;
        }
        if (!op->changes[i].value) {
            return controller_refuse(op, ERR_INVALID_CONFIG,
                                     "Null value not supported for topic configs: %s",
                                     op->changes[i].key);
        }
        char value[LIST_SIZE];
        error = key.ignored
                    ? 0
                    : normal_value(op, op->changes[i].key, &key, op->changes[i].value, value);
        if (error) {
            return error;
        }
    }
    return 0;
}

int controller_emit_new_configs(const struct controller *c, struct meta_op *op)
{
    const struct image_topic fresh = {.name = op->topic};
    const struct target target = {.image = c->image, .topic = &fresh};
    const char *durability = topic_key_info(TOPIC_DURABILITY)->name;
    bool chosen = false;
    int error = 0;
    for (uint32_t i = 0; i < op->change_count && !error; i++) {
        const struct meta_config_change *change = &op->changes[i];
        struct key key;
        char value[LIST_SIZE];
        error = find_topic_key(op, change->key, &key);
        if (error || key.ignored) {
            continue;
        }
        chosen = chosen || strcmp(change->key, durability) == 0;
        error = normal_value(op, change->key, &key, change->value, value);
        if (!error) {
            error = emit_config(c, op, &target, change->key, value);
        }
    }
    /* Durability is fixed at creation: it may not follow a default that changes later. */
    if (!error && !chosen && c->limits->memory_by_default) {
        error = emit_config(c, op, &target, durability, "memory");
    }
    return error;
}

/* --- changes ---------------------------------------------------------------------------------- */

static const char *current_value(const struct target *t, const char *key)
{
    return t->topic ? image_topic_config(t->topic, key)
                    : image_broker_config(t->image, t->node, key);
}

static bool list_has(struct bytes list, struct bytes item)
{
    size_t at = 0;
    while (at < list.size) {
        const uint8_t *comma = memchr(list.data + at, ',', list.size - at);
        size_t end = comma ? (size_t)(comma - list.data) : list.size;
        if (bytes_equal(item, bytes_of(list.data + at, end - at))) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

/* Copies the items of `from` that `filter` has (or has not) to the end of `out`. */
static bool list_copy(char *out, size_t size, struct bytes from, struct bytes filter, bool has)
{
    size_t at = 0;
    while (at < from.size) {
        const uint8_t *comma = memchr(from.data + at, ',', from.size - at);
        size_t end = comma ? (size_t)(comma - from.data) : from.size;
        struct bytes item = bytes_of(from.data + at, end - at);
        at = end + 1;
        if (list_has(filter, item) != has) {
            continue;
        }
        size_t used = strlen(out);
        int written = snprintf(out + used, size - used, "%s%.*s", used ? "," : "", (int)item.size,
                               (const char *)item.data);
        if (written < 0 || (size_t)written >= size - used) {
            return false;
        }
    }
    return true;
}

static int change_list(struct meta_op *op, const struct target *target, const struct key *key,
                       const struct meta_config_change *change, char out[static LIST_SIZE])
{
    if (config_key_kafka_type(key->broker_key) != KAFKA_TYPE_LIST) {
        return controller_refuse(
            op, ERR_INVALID_CONFIG, "Can't %s to key %s because its type is not LIST.",
            change->op == META_CONFIG_APPEND ? "append" : "subtract", change->key);
    }
    const char *old = current_value(target, change->key);
    struct bytes base = bytes_of_string(old ? old : config_key_info(key->broker_key)->standard);
    struct bytes items = bytes_of_string(change->value);
    out[0] = 0;
    bool fits = change->op == META_CONFIG_APPEND
                    ? list_copy(out, LIST_SIZE, base, (struct bytes){0}, false) &&
                          list_copy(out, LIST_SIZE, items, base, false)
                    : list_copy(out, LIST_SIZE, base, items, false);
    return fits ? 0
                : controller_refuse(op, ERR_INVALID_CONFIG, "The list of %s is too long.",
                                    change->key);
}

/* What takes the place of a value in the image that is deleted: NULL, or what this node's configuration states. */
static const char *value_without(const struct controller *c, const struct target *target,
                                 const char *key, char out[static NUMBER_SIZE])
{
    bool of_all = !target->topic && target->node == -1;
    if (!of_all || c->limits->min_insync_replicas <= 0 ||
        strcmp(key, config_key_info(CONFIG_MIN_INSYNC_REPLICAS)->name) != 0) {
        return NULL;
    }
    snprintf(out, NUMBER_SIZE, "%d", (int)c->limits->min_insync_replicas);
    return out;
}

/* A node's own value, which no partition would follow. */
static int check_shared(struct meta_op *op, const struct target *target, const struct key *key,
                        const char *next)
{
    bool of_node = !target->topic && target->node != -1;
    if (!of_node || !next || key->broker_key != CONFIG_MIN_INSYNC_REPLICAS) {
        return 0;
    }
    return controller_refuse(
        op, ERR_INVALID_CONFIG,
        "%s is one for all brokers: set it for all of them (leat cluster config --all), or "
        "for a topic.",
        config_key_info(key->broker_key)->name);
}

static int change_key(const struct controller *c, struct meta_op *op, const struct target *target,
                      const struct meta_config_change *change)
{
    char number[NUMBER_SIZE];
    char list[LIST_SIZE], normal[LIST_SIZE];
    struct key key;
    const char *next = change->value, *old = current_value(target, change->key);
    bool delete = change->op == META_CONFIG_DELETE && !op->replace_all;
    int error = target->topic ? find_topic_key(op, change->key, &key)
                              : find_broker_key(op, change->key, &key);
    if (error || key.ignored) {
        return error;
    }
    if (delete) {
        next = value_without(c, target, change->key, number);
    } else if (!next) {
        return controller_refuse(op, ERR_INVALID_REQUEST, "Null value not supported for: %s",
                                 change->key);
    } else if (change->op == META_CONFIG_APPEND || change->op == META_CONFIG_SUBTRACT) {
        error = change_list(op, target, &key, change, list);
        next = list;
    }
    if (!error && next) {
        error = normal_value(op, change->key, &key, next, normal);
        next = normal;
    }
    if (!error) {
        error = check_shared(op, target, &key, next);
    }
    if (error) {
        return error;
    }
    if ((!old && !next) || (old && next && strcmp(old, next) == 0)) {
        return 0;
    }
    if (key.fixed) {
        /* A topic that does not name its durability has the first choice of the table. */
        const char *standard = config_key_info(key.broker_key)->standard;
        if (strcmp(old ? old : standard, next ? next : standard) == 0) {
            return 0;
        }
        return controller_refuse(op, ERR_INVALID_CONFIG,
                                 "%s is fixed when a topic is created: make a new topic.",
                                 change->key);
    }
    return emit_config(c, op, target, change->key, next);
}

static bool names(const struct meta_op *op, uint32_t count, const char *key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(op->changes[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

/* The legacy form: keys that are set and not named go, but for what is fixed. */
static int delete_unnamed(const struct controller *c, struct meta_op *op,
                          const struct target *target)
{
    const struct image_config *configs = NULL;
    uint32_t count = 0;
    if (target->topic) {
        configs = target->topic->configs;
        count = target->topic->config_count;
    } else {
        for (uint32_t i = 0; i < image_configured_count(c->image); i++) {
            const struct image_config *of_node;
            uint32_t of_node_count;
            if (image_configured_at(c->image, i, &of_node, &of_node_count) == target->node) {
                configs = of_node;
                count = of_node_count;
            }
        }
    }
    int error = 0;
    for (uint32_t i = 0; i < count && !error; i++) {
        int key = target->topic ? topic_key_find(bytes_of_string(configs[i].key)) : -1;
        bool fixed = key >= 0 && (topic_key_info((enum topic_key)key)->flags & TOPIC_FIXED);
        char number[NUMBER_SIZE];
        const char *next = value_without(c, target, configs[i].key, number);
        bool stays = fixed || (next && strcmp(next, configs[i].value) == 0);
        if (!stays && !names(op, op->change_count, configs[i].key)) {
            error = emit_config(c, op, target, configs[i].key, next);
        }
    }
    return error;
}

static int find_target(const struct controller *c, struct meta_op *op, struct target *out)
{
    *out = (struct target){.image = c->image, .node = op->broker};
    if (op->topic) {
        out->topic = image_topic_by_name(c->image, bytes_of_string(op->topic));
        if (!out->topic) {
            return controller_refuse(op, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                     "There is no topic named '%.100s'.", op->topic);
        }
    } else if (op->broker != -1 && !image_broker_by_id(c->image, op->broker)) {
        return controller_refuse(op, ERR_INVALID_REQUEST, "There is no broker %d.",
                                 (int)op->broker);
    }
    return 0;
}

int controller_alter_configs(const struct controller *c, struct meta_op *op)
{
    struct target target;
    int error = find_target(c, op, &target);
    if (!error && op->change_count > CHANGES_MAX) {
        error = controller_refuse(op, ERR_INVALID_REQUEST, "More than %d configurations.",
                                  (int)CHANGES_MAX);
    }
    for (uint32_t i = 0; i < op->change_count && !error; i++) {
        if (names(op, i, op->changes[i].key)) {
            error = controller_refuse(op, ERR_INVALID_REQUEST, "%.100s is named twice.",
                                      op->changes[i].key);
        } else {
            error = change_key(c, op, &target, &op->changes[i]);
        }
    }
    if (!error && op->replace_all) {
        error = delete_unnamed(c, op, &target);
    }
    return error ? error : follow_partitions(c, op, &target);
}

int controller_state_configs(const struct controller *c, struct meta_op *op)
{
    const struct target all = {.image = c->image, .node = -1};
    const char *key = config_key_info(CONFIG_MIN_INSYNC_REPLICAS)->name;
    char number[NUMBER_SIZE];
    const char *value = value_without(c, &all, key, number);
    if (!value || current_value(&all, key)) {
        return 0;
    }
    int error = emit_config(c, op, &all, key, value);
    return error ? error : settle_partitions(c, op, &all);
}
