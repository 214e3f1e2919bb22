/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeConfigs: every key of the table with its value, where the value comes from, and what
 * would take its place (KIP-226).
 *
 *     topic     its own (1) > this broker, dynamic (2) > all brokers, dynamic (3)
 *     broker                  > configuration of the node, static (4) > default (5)
 *
 * min.insync.replicas is enforced by leaders and the controller, who must agree: of a node alone nothing of it counts
 * and nothing is told, neither its dynamic configuration nor its file's (meta/stated.h), but the table's default.
 *
 * read_only is what it says: true where IncrementalAlterConfigs would refuse. The quorum is asked first; where nobody
 * answers for it, what this node knows is told, and of a topic that it does not know that the time is up. */
#include "api/configs.h"
#include "api/fresh.h"

enum { SOURCE_TOPIC = 1, SOURCE_NODE, SOURCE_NODES, SOURCE_STATIC, SOURCE_DEFAULT, SOURCES_MAX };

struct builder {
    struct api_request *request;
    const struct image *image;
    struct configs_wanted wanted;
    int32_t node; /* whose dynamic configuration counts */
    bool failed;
};

static struct wire_string text(struct builder *b, const char *value)
{
    size_t size = strlen(value);
    char *copy = api_alloc(b->request, size + 1, 1);
    b->failed = b->failed || !copy;
    return copy ? wire_string_of(memcpy(copy, value, size + 1)) : wire_string_null();
}

static void synonym(struct describe_configs_response_configs *c,
                    struct describe_configs_response_synonyms *list, const char *name,
                    struct wire_string value, int8_t source)
{
    if (c->synonyms_count == 0) {
        c->value = value;
        c->config_source = source;
    }
    list[c->synonyms_count++] =
        (struct describe_configs_response_synonyms){wire_string_of(name), value, source};
}

static bool is_shared(enum config_key key)
{
    return key == CONFIG_MIN_INSYNC_REPLICAS;
}

/* What the broker says of a key, strongest first. */
static void broker_values(struct builder *b, enum config_key key,
                          struct describe_configs_response_configs *c,
                          struct describe_configs_response_synonyms *list)
{
    const struct config *config = b->request->api->options.config;
    const struct config_key_info *info = config_key_info(key);
    char value[CONFIG_WHY_SIZE * 4];
    const char *node =
        b->node >= 0 && !is_shared(key) ? image_broker_config(b->image, b->node, info->name) : NULL;
    const char *all = image_broker_config(b->image, -1, info->name);
    if (node) {
        synonym(c, list, info->name, wire_string_of(node), SOURCE_NODE);
    }
    if (all) {
        synonym(c, list, info->name, wire_string_of(all), SOURCE_NODES);
    }
    if (is_shared(key)) {
        synonym(c, list, info->name, wire_string_of(info->standard), SOURCE_DEFAULT);
        return;
    }
    config_format(config, key, value, sizeof value);
    if (!config_is_default(config, key)) {
        synonym(c, list, info->name, text(b, value), SOURCE_STATIC);
    } else {
        synonym(c, list, info->name, text(b, value), SOURCE_DEFAULT);
    }
}

static bool key_asked(const char *name, const struct wire_string *keys, int32_t count)
{
    for (int32_t i = 0; keys && i < count; i++) {
        if (wire_string_equal(keys[i], wire_string_of(name))) {
            return true;
        }
    }
    return !keys || count < 0;
}

static void finish(struct builder *b, struct describe_configs_response_configs *c,
                   struct describe_configs_response_synonyms *list, enum config_key key,
                   const char *documentation)
{
    c->config_type = config_key_kafka_type(key);
    c->documentation = b->wanted.documentation ? wire_string_of(documentation) : wire_string_null();
    c->synonyms = list;
    if (!b->wanted.synonyms) {
        c->synonyms_count = 0;
    }
}

/* Room for one configuration and its synonyms; NULL: no memory. */
static struct describe_configs_response_synonyms *entry(
    struct builder *b, struct describe_configs_response_results *out, const char *name)
{
    struct describe_configs_response_synonyms *list =
        api_alloc(b->request, SOURCES_MAX, sizeof *list);
    if (!list) {
        b->failed = true;
        return NULL;
    }
    struct describe_configs_response_configs *c = &out->configs[out->configs_count++];
    describe_configs_response_configs_init(c);
    c->name = wire_string_of(name);
    return list;
}

int configs_of_topic(struct api_request *r, const struct image_topic *topic,
                     const struct wire_string *keys, int32_t key_count,
                     struct configs_wanted wanted, struct describe_configs_response_results *out)
{
    struct builder b = {r, r->api->image, wanted, r->api->options.node_id, false};
    out->configs = api_alloc(r, TOPIC_KEY_COUNT, sizeof *out->configs);
    out->configs_count = 0;
    for (int i = 0; out->configs && i < TOPIC_KEY_COUNT; i++) {
        const struct topic_key_info *info = topic_key_info((enum topic_key)i);
        struct describe_configs_response_synonyms *list =
            key_asked(info->name, keys, key_count) ? entry(&b, out, info->name) : NULL;
        if (!list) {
            continue;
        }
        struct describe_configs_response_configs *c = &out->configs[out->configs_count - 1];
        const char *own = topic ? image_topic_config(topic, info->name) : NULL;
        if (own) {
            synonym(c, list, info->name, wire_string_of(own), SOURCE_TOPIC);
        }
        if (i == TOPIC_DURABILITY && topic) {
            /* Fixed at creation: the broker's default of today does not count. */
            const char *first = config_key_info(info->broker_key)->standard;
            synonym(c, list, info->name, wire_string_of(first), SOURCE_DEFAULT);
        } else {
            broker_values(&b, info->broker_key, c, list);
        }
        c->read_only = (info->flags & TOPIC_FIXED) != 0;
        finish(&b, c, list, info->broker_key, info->text);
    }
    return out->configs && !b.failed ? 0 : ERR_NO_MEMORY;
}

int configs_of_broker(struct api_request *r, int32_t node, const struct wire_string *keys,
                      int32_t key_count, struct configs_wanted wanted,
                      struct describe_configs_response_results *out)
{
    struct builder b = {r, r->api->image, wanted, node, false};
    out->configs = api_alloc(r, CONFIG_KEY_COUNT, sizeof *out->configs);
    out->configs_count = 0;
    for (int i = 0; out->configs && i < CONFIG_KEY_COUNT; i++) {
        const struct config_key_info *info = config_key_info((enum config_key)i);
        const char *all = node < 0 ? image_broker_config(b.image, -1, info->name) : NULL;
        if ((node < 0 && !all) || !key_asked(info->name, keys, key_count)) {
            continue;
        }
        struct describe_configs_response_synonyms *list = entry(&b, out, info->name);
        if (!list) {
            break;
        }
        struct describe_configs_response_configs *c = &out->configs[out->configs_count - 1];
        if (all) {
            synonym(c, list, info->name, wire_string_of(all), SOURCE_NODES);
        } else {
            broker_values(&b, (enum config_key)i, c, list);
        }
        c->read_only =
            !config_key_dynamic((enum config_key)i) || (node >= 0 && is_shared((enum config_key)i));
        finish(&b, c, list, (enum config_key)i, info->text);
    }
    return out->configs && !b.failed ? 0 : ERR_NO_MEMORY;
}

int configs_node(struct wire_string name, int32_t *node)
{
    int64_t number = 0;
    *node = -1;
    if (name.size <= 0) {
        return 0;
    }
    for (int32_t i = 0; i < name.size; i++) {
        if (name.data[i] < '0' || name.data[i] > '9' || number > INT32_MAX) {
            return ERR_INVALID_REQUEST;
        }
        number = number * 10 + (name.data[i] - '0');
    }
    if (number > INT32_MAX) {
        return ERR_INVALID_REQUEST;
    }
    *node = (int32_t)number;
    return 0;
}

/* ERR_NO_MEMORY is returned; what concerns the resource alone stands in `out`. */
static int describe(const struct fresh *f, const struct describe_configs_request_resources *in,
                    struct describe_configs_response_results *out)
{
    struct api_request *r = f->request;
    const struct describe_configs_request *q = f->in;
    struct configs_wanted wanted = {q->include_synonyms, q->include_documentation};
    describe_configs_response_results_init(out);
    out->resource_type = in->resource_type;
    out->resource_name = in->resource_name;
    out->error_message = wire_string_null();
    int error = 0;
    if (in->resource_type == RESOURCE_TOPIC) {
        const struct image_topic *topic =
            image_topic_by_name(r->api->image, wire_string_bytes(in->resource_name));
        if (topic) {
            return configs_of_topic(r, topic, in->configuration_keys, in->configuration_keys_count,
                                    wanted, out);
        }
        error = !topic_name_valid(in->resource_name) ? ERR_INVALID_TOPIC
                : f->shown                           ? ERR_UNKNOWN_TOPIC_OR_PARTITION
                                                     : ERR_REQUEST_TIMED_OUT;
        if (error == ERR_REQUEST_TIMED_OUT) {
            out->error_message = wire_string_of(fresh_late_text);
        }
    } else if (in->resource_type == RESOURCE_BROKER) {
        int32_t node;
        error = configs_node(in->resource_name, &node);
        if (!error && (node == -1 || node == r->api->options.node_id)) {
            return configs_of_broker(r, node, in->configuration_keys, in->configuration_keys_count,
                                     wanted, out);
        }
        error = ERR_INVALID_REQUEST;
        out->error_message = wire_string_of("a broker is named by its number; ask that broker");
    } else {
        error = ERR_INVALID_REQUEST;
        out->error_message = wire_string_of("only topics and brokers have configurations here");
    }
    out->error_code = error_to_wire(error);
    if (out->error_message.size < 0) {
        out->error_message = wire_string_of(error_text(error));
    }
    return 0;
}

static void answer(struct fresh *f)
{
    struct api_request *r = f->request;
    const struct describe_configs_request *q = f->in;
    r->arena.limit_bytes = API_ARENA_MAX; /* every resource has all its keys */
    struct describe_configs_response response;
    describe_configs_response_init(&response);
    response.results = api_alloc(r, (size_t)q->resources_count, sizeof *response.results);
    int error = response.results ? 0 : ERR_NO_MEMORY;
    for (int32_t i = 0; i < q->resources_count && !error; i++) {
        error = describe(f, &q->resources[i], &response.results[i]);
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    response.results_count = q->resources_count;
    api_respond(r, &response);
}

void handle_describe_configs(struct api_request *r)
{
    fresh_handle(r, answer);
}
