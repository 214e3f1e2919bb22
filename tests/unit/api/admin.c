/* SPDX-License-Identifier: Apache-2.0 */

/* Metadata and everything that changes it. */
#include "broker.h"

#include "api/topics.h"

#include <stdio.h>
#include <stdlib.h>

static struct metadata_response *metadata(int client, int16_t version, const char *name,
                                          bool create)
{
    struct metadata_request_topics t = {.name = wire_string_of(name)};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    q.allow_auto_topic_creation = create;
    return client_ask(client, 3, version, &q);
}

Test(metadata, every_version)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 3, NULL);
    for (int16_t version = 0; version <= 13; version++) {
        struct metadata_response *a = metadata(client, version, "t", true);
        cr_assert_eq(a->brokers_count, 1);
        cr_assert_eq(a->brokers[0].port, broker_port(b));
        cr_assert_eq(a->topics_count, 1);
        cr_assert_eq(a->topics[0].error_code, 0);
        cr_assert_eq(a->topics[0].partitions_count, 3);
        cr_assert_eq(a->topics[0].partitions[2].leader_id, 1);
        cr_assert_eq(uuid_is_zero(a->topics[0].topic_id), version < 10);
    }
    client_close(client);
    broker_stop(b);
}

/* leat's own: what brokers lead, and what they are asked to let go. */
Test(metadata, what_is_led)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 3, NULL);
    struct yield_leadership_request q;
    yield_leadership_request_init(&q);
    const struct yield_leadership_response *a = client_ask(client, 10002, 0, &q);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->brokers_count, 1);
    cr_assert(a->brokers[0].broker_id == 1 && !a->brokers[0].yields);
    cr_assert(a->brokers[0].leads == 3 && a->brokers[0].alone == 3);
    static const struct {
        int32_t broker;
        int8_t action;
        int16_t code;
        const char *why;
    } refusals[] = {
        {1, 1, 42, "there is no other broker that could lead in its place"},
        {1, 2, 0, NULL},
        {1, 3, 42, "only another voter of the metadata quorum can lead it (leat cluster quorum)"},
        {1, 4, 42, "this is another broker, or there is no such action"},
        {1, -1, 42, "this is another broker, or there is no such action"},
        {2, 1, 42, "this is another broker, or there is no such action"},
        {-1, 2, 42, "this is another broker, or there is no such action"},
    };
    for (size_t i = 0; i < array_size(refusals); i++) {
        q.broker_id = refusals[i].broker;
        q.action = refusals[i].action;
        a = client_ask(client, 10002, 0, &q);
        cr_assert_eq(a->error_code, refusals[i].code, "%zu: %d", i, a->error_code);
        cr_assert(wire_string_equal(a->error_message, wire_string_of(refusals[i].why)));
        cr_assert(a->brokers_count == 1 && !a->brokers[0].yields);
    }
    client_close(client);
    broker_stop(b);
}

/* Trap 12: the first answer already has the leader. */
Test(metadata, creates_topics_on_demand)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    struct metadata_response *a = metadata(client, 4, "new", false);
    cr_assert_eq(a->topics[0].error_code, 3, "the client does not want it");
    a = metadata(client, 4, "new", true);
    cr_assert_eq(a->topics[0].error_code, 0);
    cr_assert_eq(a->topics[0].partitions_count, 1);
    cr_assert_eq(a->topics[0].partitions[0].leader_id, 1);
    cr_assert_eq(produce(client, "new", 0, batch_make(1, 0, 10, NULL), -1)->error_code, 0);
    cr_assert_eq(metadata(client, 4, "bad/name", true)->topics[0].error_code, 17);
    cr_assert_eq(metadata(client, 4, "..", true)->topics[0].error_code, 17);
    cr_assert_eq(metadata(client, 4, "", true)->topics[0].error_code, 17);
    int others[8];
    for (int i = 0; i < 8; i++) {
        struct metadata_request_topics t[2] = {{.name = wire_string_of("same")},
                                               {.name = wire_string_of("same")}};
        struct metadata_request q;
        metadata_request_init(&q);
        q.topics = t;
        q.topics_count = 2;
        others[i] = client_open(b);
        client_send(others[i], 3, 5, i, &q);
    }
    for (int i = 0; i < 8; i++) {
        a = client_receive(others[i], 3, 5, i);
        cr_assert_eq(a->topics_count, 2);
        cr_assert_eq(a->topics[0].error_code, 0, "eight at once: %d", a->topics[0].error_code);
        client_close(others[i]);
    }
    client_close(client);
    broker_stop(b);
}

Test(metadata, on_demand_can_be_switched_off)
{
    static const char *const settings[] = {"auto.create.topics.enable=false", NULL};
    struct broker *b = broker_start(1, settings);
    int client = client_open(b);
    cr_assert_eq(metadata(client, 4, "new", true)->topics[0].error_code, 3);
    client_close(client);
    broker_stop(b);
}

Test(metadata, by_topic_id)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = metadata(client, 10, "t", false)->topics[0].topic_id;
    struct metadata_request_topics t[2] = {{.topic_id = id, .name = wire_string_null()},
                                           {.topic_id = {{1}}, .name = wire_string_null()}};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = t;
    q.topics_count = 2;
    struct metadata_response *a = client_ask(client, 3, 12, &q);
    cr_assert_eq(a->topics[0].error_code, 0);
    cr_assert(wire_string_equal(a->topics[0].name, wire_string_of("t")));
    cr_assert_eq(a->topics[1].error_code, 100);
    client_close(client);
    broker_stop(b);
}

/* Java's clients send the empty name beside the id. */
Test(metadata, an_id_counts_before_a_name)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct uuid id = metadata(client, 12, "t", false)->topics[0].topic_id;
    static const char *const names[] = {"", "another"};
    for (size_t i = 0; i < array_size(names); i++) {
        struct metadata_request_topics t = {.name = wire_string_of(names[i]), .topic_id = id};
        struct metadata_request q;
        metadata_request_init(&q);
        q.topics = &t;
        q.topics_count = 1;
        struct metadata_response *a = client_ask(client, 3, 12, &q);
        cr_assert_eq(a->topics[0].error_code, 0, "%d", a->topics[0].error_code);
        cr_assert(wire_string_equal(a->topics[0].name, wire_string_of("t")));
        t.topic_id = (struct uuid){{1}};
        a = client_ask(client, 3, 12, &q);
        cr_assert_eq(a->topics_count, 1);
        cr_assert_eq(a->topics[0].error_code, 100);
        cr_assert_lt(a->topics[0].name.size, 0);
    }
    cr_assert_eq(metadata(client, 12, "another", false)->topics[0].error_code, 3, "not created");
    client_close(client);
    broker_stop(b);
}

Test(admin, a_topic_that_is_named_twice_is_not_deleted)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    topic_create(client, "u", 1, NULL);
    struct wire_string names[] = {wire_string_of("t"), wire_string_of("u"), wire_string_of("t")};
    struct delete_topics_request q = {
        .topic_names = names, .topic_names_count = 3, .timeout_ms = 10000};
    struct delete_topics_response *a = client_ask(client, 20, 3, &q);
    cr_assert_eq(a->responses[0].error_code, 42);
    cr_assert_eq(a->responses[1].error_code, 0);
    cr_assert_eq(a->responses[2].error_code, 42);
    cr_assert_eq(metadata(client, 4, "t", false)->topics[0].error_code, 0);
    client_close(client);
    broker_stop(b);
}

Test(admin, create_topics_says_what_is_wrong)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "there", 1, NULL);
    struct create_topics_request_configs wrong = {wire_string_of("no.such.key"),
                                                  wire_string_of("1")};
    int32_t node = 1, other = 9;
    struct create_topics_request_assignments one = {0, &node, 1}, far = {0, &other, 1};
    struct create_topics_request_topics t[] = {
        {wire_string_of("there"), 1, 1},
        {wire_string_of("bad name"), 1, 1},
        {wire_string_of("none"), 0, 1},
        {wire_string_of("many"), 1, 3},
        {wire_string_of("key"), 1, 1, NULL, 0, &wrong, 1},
        {wire_string_of("twice"), 1, 1},
        {wire_string_of("twice"), 1, 1},
        {wire_string_of("assigned"), -1, -1, &one, 1},
        {wire_string_of("elsewhere"), -1, -1, &far, 1},
        {wire_string_of("defaults"), -1, -1},
    };
    static const int16_t errors[] = {36, 17, 37, 38, 40, 42, 42, 0, 39, 0};
    struct create_topics_request q = {
        .topics = t, .topics_count = array_size(t), .timeout_ms = 10000, .validate_only = true};
    for (int pass = 0; pass < 2; pass++) {
        struct create_topics_response *a = client_ask(client, 19, 5, &q);
        cr_assert_eq(a->topics_count, (int32_t)array_size(t));
        for (size_t i = 0; i < array_size(t); i++) {
            cr_assert_eq(a->topics[i].error_code, errors[i], "%.*s: %d", (int)t[i].name.size,
                         t[i].name.data, a->topics[i].error_code);
            cr_assert_eq(a->topics[i].error_message.size >= 0, errors[i] != 0);
            cr_assert_eq(a->topics[i].num_partitions, errors[i] ? -1 : 1);
            cr_assert_eq(a->topics[i].configs_count > 10, errors[i] == 0);
        }
        q.validate_only = false;
    }
    cr_assert_eq(metadata(client, 4, "defaults", false)->topics[0].error_code, 0);
    cr_assert_eq(metadata(client, 4, "twice", false)->topics[0].error_code, 3);
    client_close(client);
    broker_stop(b);
}

Test(admin, create_partitions_and_delete_topics)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    produce(client, "t", 0, batch_make(1, 0, 10, NULL), -1);
    struct create_partitions_request_topics grow[] = {
        {.name = wire_string_of("t"), .count = 5, .assignments_count = -1},
        {.name = wire_string_of("nowhere"), .count = 5, .assignments_count = -1}};
    struct create_partitions_request q = {.topics = grow, .topics_count = 2, .timeout_ms = 5000};
    struct create_partitions_response *a = client_ask(client, 37, 3, &q);
    cr_assert_eq(a->results[0].error_code, 0);
    cr_assert_eq(a->results[1].error_code, 3);
    a = client_ask(client, 37, 0, &q);
    cr_assert_eq(a->results[0].error_code, 37, "it has five already");
    for (int32_t i = 1; i < 5; i++) {
        cr_assert_eq(produce(client, "t", i, batch_make(1, 0, 10, NULL), -1)->error_code, 0);
    }
    struct uuid id = metadata(client, 10, "t", false)->topics[0].topic_id;
    struct delete_topics_request_topics named[] = {{.name = wire_string_null(), .topic_id = id},
                                                   {.name = wire_string_of("nowhere")},
                                                   {.name = wire_string_null(), .topic_id = {{5}}}};
    struct delete_topics_request d = {.topics = named, .topics_count = 3, .timeout_ms = 5000};
    struct delete_topics_response *gone = client_ask(client, 20, 6, &d);
    cr_assert_eq(gone->responses[0].error_code, 0);
    cr_assert(wire_string_equal(gone->responses[0].name, wire_string_of("t")));
    cr_assert_eq(gone->responses[1].error_code, 3);
    cr_assert_eq(gone->responses[2].error_code, 100);
    cr_assert_eq(produce(client, "t", 0, batch_make(1, 0, 10, NULL), -1)->error_code, 3);
    topic_create(client, "t", 1, NULL);
    cr_assert_eq(fetch(client, "t", 0, 0, 0, 0)->high_watermark, 0, "a new topic of the old name");
    cr_assert_eq(produce(client, "t", 0, batch_make(1, 0, 10, NULL), -1)->base_offset, 0);
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    cr_assert_eq(fetch(client, "t", 0, 0, 0, 0)->high_watermark, 1);
    client_close(client);
    broker_stop(b);
}

/* --- configurations --------------------------------------------------------------------------- */

static struct describe_configs_response_configs *find(int client, int8_t type, const char *resource,
                                                      const char *key)
{
    struct describe_configs_request_resources r = {.resource_type = type,
                                                   .resource_name = wire_string_of(resource),
                                                   .configuration_keys_count = -1};
    struct describe_configs_request q = {.resources = &r,
                                         .resources_count = 1,
                                         .include_synonyms = true,
                                         .include_documentation = true};
    struct describe_configs_response *a = client_ask(client, 32, 4, &q);
    cr_assert_eq(a->results[0].error_code, 0);
    for (int32_t i = 0; i < a->results[0].configs_count; i++) {
        if (wire_string_equal(a->results[0].configs[i].name, wire_string_of(key))) {
            return &a->results[0].configs[i];
        }
    }
    return NULL;
}

static int16_t alter(int client, int8_t type, const char *resource, const char *key, int8_t op,
                     const char *value)
{
    struct incremental_alter_configs_request_configs c = {wire_string_of(key), op,
                                                          wire_string_of(value)};
    struct incremental_alter_configs_request_resources r = {type, wire_string_of(resource), &c, 1};
    struct incremental_alter_configs_request q = {&r, 1, false};
    struct incremental_alter_configs_response *a = client_ask(client, 44, 1, &q);
    return a->responses[0].error_code;
}

#define check_value(c, text) cr_assert(wire_string_equal((c)->value, wire_string_of(text)))

Test(configs, of_a_topic_come_from_where_they_say)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct describe_configs_response_configs *c = find(client, 2, "t", "retention.ms");
    check_value(c, "604800000");
    cr_assert_eq(c->config_source, 5);
    cr_assert_eq(c->config_type, 5);
    cr_assert(!c->read_only);
    cr_assert_gt(c->documentation.size, 0);
    cr_assert_eq(c->synonyms_count, 1);
    cr_assert(wire_string_equal(c->synonyms[0].name, wire_string_of("log.retention.ms")));

    cr_assert_eq(alter(client, 4, "", "log.retention.ms", 0, "1000000"), 0);
    c = find(client, 2, "t", "retention.ms");
    check_value(c, "1000000");
    cr_assert_eq(c->config_source, 3);
    cr_assert_eq(alter(client, 2, "t", "retention.ms", 0, "777777"), 0);
    c = find(client, 2, "t", "retention.ms");
    check_value(c, "777777");
    cr_assert_eq(c->config_source, 1);
    cr_assert_eq(c->synonyms_count, 3);
    cr_assert_eq(alter(client, 2, "t", "retention.ms", 1, NULL), 0);
    cr_assert_eq(find(client, 2, "t", "retention.ms")->config_source, 3);

    cr_assert(find(client, 2, "t", "durability")->read_only);
    cr_assert_eq(alter(client, 2, "t", "durability", 0, "memory"), 40);
    cr_assert_eq(alter(client, 2, "t", "cleanup.policy", 0, "compost"), 40);
    cr_assert_eq(alter(client, 2, "t", "cleanup.policy", 2, "compact"),
                 0); /* appended to the list */
    check_value(find(client, 2, "t", "cleanup.policy"), "compact,delete");
    cr_assert_eq(alter(client, 2, "t", "cleanup.policy", 3, "compact"), 0);
    check_value(find(client, 2, "t", "cleanup.policy"), "delete");
    cr_assert_eq(alter(client, 2, "t", "min.cleanable.dirty.ratio", 0, "0.10"), 0);
    check_value(find(client, 2, "t", "min.cleanable.dirty.ratio"), "0.1");
    cr_assert_eq(alter(client, 2, "t", "no.such", 0, "1"), 40);
    cr_assert_eq(alter(client, 2, "t", "retention.ms", 9, "1"), 42);
    cr_assert_eq(alter(client, 2, "nowhere", "retention.ms", 0, "1"), 3);
    cr_assert_eq(alter(client, 8, "t", "retention.ms", 0, "1"), 42);
    client_close(client);
    broker_stop(b);
}

Test(configs, take_effect_at_once)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 2, NULL);
    struct bytes batch = batch_make(1, 0, 5000, NULL);
    cr_assert_eq(produce(client, "t", 0, batch, -1)->error_code, 0);
    cr_assert_eq(alter(client, 2, "t", "max.message.bytes", 0, "1000"), 0);
    cr_assert_eq(produce(client, "t", 0, batch, -1)->error_code, 10);
    cr_assert_eq(alter(client, 2, "t", "max.message.bytes", 1, NULL), 0);
    cr_assert_eq(produce(client, "t", 1, batch, -1)->error_code, 0);
    cr_assert_eq(alter(client, 4, "1", "message.max.bytes", 0, "2000"), 0);
    cr_assert_eq(produce(client, "t", 1, batch, -1)->error_code, 10);
    client_close(client);
    broker_stop(b);
}

/* read_only is honest: a key that says no can be changed, one that says yes cannot. */
Test(configs, of_a_broker_are_honest)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    struct describe_configs_request_resources r = {
        .resource_type = 4, .resource_name = wire_string_of("1"), .configuration_keys_count = -1};
    struct describe_configs_request q = {.resources = &r, .resources_count = 1};
    struct describe_configs_response *a = client_ask(client, 32, 1, &q);
    cr_assert_eq(a->results[0].error_code, 0);
    int changed = 0, refused = 0;
    for (int32_t i = 0; i < a->results[0].configs_count; i++) {
        struct describe_configs_response_configs *c = &a->results[0].configs[i];
        char key[128], value[1024];
        snprintf(key, sizeof key, "%.*s", (int)c->name.size, c->name.data);
        snprintf(value, sizeof value, "%.*s", (int)c->value.size, c->value.data);
        int16_t error = alter(client, 4, "1", key, 0, value);
        cr_assert_eq(error == 0, !c->read_only, "%s: read_only %d, error %d", key, c->read_only,
                     error);
        changed += !c->read_only;
        refused += c->read_only;
    }
    cr_assert_gt(changed, 5);
    cr_assert_gt(refused, 5);
    check_value(find(client, 4, "1", "node.id"), "1");
    cr_assert_eq(find(client, 4, "1", "node.id")->config_source, 5);
    struct alter_configs_request_configs one = {wire_string_of("retention.ms"),
                                                wire_string_of("99999")};
    struct alter_configs_request_resources replace = {2, wire_string_of("t"), &one, 1};
    struct alter_configs_request legacy = {&replace, 1, false};
    static const char *const configs[] = {"segment.ms=55555", NULL};
    topic_create(client, "t", 1, configs);
    struct alter_configs_response *done = client_ask(client, 33, 2, &legacy);
    cr_assert_eq(done->responses[0].error_code, 0);
    check_value(find(client, 2, "t", "retention.ms"), "99999");
    cr_assert_neq(find(client, 2, "t", "segment.ms")->config_source, 1, "it was not named");
    client_close(client);
    broker_stop(b);
}

/* --- describing ------------------------------------------------------------------------------- */

Test(describe, topic_partitions_in_pages)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "a", 3, NULL);
    topic_create(client, "b", 4, NULL);
    topic_create(client, "c", 1, NULL);
    struct describe_topic_partitions_request q;
    struct describe_topic_partitions_request_cursor cursor;
    describe_topic_partitions_request_init(&q);
    q.response_partition_limit = 2;
    char seen[64] = "";
    for (int pages = 0; pages < 20; pages++) {
        struct describe_topic_partitions_response *a = client_ask(client, 75, 0, &q);
        int32_t count = 0;
        for (int32_t i = 0; i < a->topics_count; i++) {
            for (int32_t k = 0; k < a->topics[i].partitions_count; k++, count++) {
                size_t used = strlen(seen);
                snprintf(seen + used, sizeof seen - used, "%.*s%d ", (int)a->topics[i].name.size,
                         a->topics[i].name.data, a->topics[i].partitions[k].partition_index);
            }
        }
        cr_assert_leq(count, 2);
        if (!a->next_cursor) {
            break;
        }
        cursor = (struct describe_topic_partitions_request_cursor){a->next_cursor->topic_name,
                                                                   a->next_cursor->partition_index};
        q.cursor = &cursor;
    }
    cr_assert_str_eq(seen, "a0 a1 a2 b0 b1 b2 b3 c0 ");
    struct describe_topic_partitions_request_topics named[] = {{wire_string_of("c")},
                                                               {wire_string_of("nowhere")}};
    q = (struct describe_topic_partitions_request){named, 2, 100, NULL};
    struct describe_topic_partitions_response *a = client_ask(client, 75, 0, &q);
    cr_assert_eq(a->topics_count, 2);
    cr_assert_eq(a->topics[0].error_code, 0);
    cr_assert_eq(a->topics[1].error_code, 3);
    client_close(client);
    broker_stop(b);
}

/* A topic of which the cursor leaves nothing takes a place in the answer, and no partition. */
Test(describe, a_cursor_behind_a_topics_end)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < array_size(names); i++) {
        topic_create(client, names[i], 1, NULL);
    }
    struct describe_topic_partitions_request_cursor cursor = {wire_string_of("a"), 5};
    struct describe_topic_partitions_request q = {.response_partition_limit = 2, .cursor = &cursor};
    struct describe_topic_partitions_response *a = client_ask(client, 75, 0, &q);
    cr_assert_eq(a->topics_count, 3);
    cr_assert_eq(a->topics[0].partitions_count, 0);
    for (int32_t i = 1; i < 3; i++) {
        cr_assert(wire_string_equal(a->topics[i].name, wire_string_of(names[i])));
        cr_assert_eq(a->topics[i].partitions_count, 1);
        cr_assert_eq(a->topics[i].partitions[0].partition_index, 0);
        cr_assert_eq(a->topics[i].partitions[0].leader_id, 1);
        cr_assert_eq(a->topics[i].partitions[0].replica_nodes_count, 1);
    }
    cr_assert(wire_string_equal(a->next_cursor->topic_name, wire_string_of("d")));
    client_close(client);
    broker_stop(b);
}

Test(describe, cluster_and_log_dirs)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 2, NULL);
    for (int i = 0; i < 10; i++) {
        produce(client, "t", 1, batch_make(1, 0, 10000, NULL), -1);
    }
    for (int16_t version = 0; version <= 2; version++) {
        struct describe_cluster_request q;
        describe_cluster_request_init(&q);
        struct describe_cluster_response *a = client_ask(client, 60, version, &q);
        cr_assert_eq(a->error_code, 0);
        cr_assert_eq(a->controller_id, 1);
        cr_assert_eq(a->cluster_id.size, 22);
        cr_assert_eq(a->brokers_count, 1);
    }
    for (int16_t version = 1; version <= 5; version++) {
        struct describe_log_dirs_request q = {.topics_count = -1};
        struct describe_log_dirs_response *a = client_ask(client, 35, version, &q);
        cr_assert_eq(a->results_count, 1);
        cr_assert_eq(a->results[0].topics_count, 1);
        cr_assert_eq(a->results[0].topics[0].partitions_count, 2);
        cr_assert_eq(a->results[0].topics[0].partitions[0].partition_size, 0);
        cr_assert_gt(a->results[0].topics[0].partitions[1].partition_size, 100000);
        cr_assert_eq(a->results[0].total_bytes > 0, version >= 4);
    }
    client_close(client);
    broker_stop(b);
}

static struct describe_quorum_response *quorum_ask(int client, int16_t version, const char *topic,
                                                   int32_t partition, int32_t times)
{
    struct describe_quorum_request_partitions p[2] = {{partition}, {partition}};
    struct describe_quorum_request_topics t;
    struct describe_quorum_request q;
    describe_quorum_request_init(&q);
    describe_quorum_request_topics_init(&t);
    t.topic_name = wire_string_of(topic);
    t.partitions = p;
    t.partitions_count = times;
    q.topics = &t;
    q.topics_count = 1;
    return client_ask(client, 55, version, &q);
}

Test(describe, quorum_of_one)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    for (int16_t version = 0; version <= 2; version++) {
        struct describe_quorum_response *a =
            quorum_ask(client, version, "__cluster_metadata", 0, 1);
        cr_assert_eq(a->error_code, 0);
        cr_assert(a->topics_count == 1 && a->topics[0].partitions_count == 1);
        const struct describe_quorum_response_partitions *p = a->topics[0].partitions;
        cr_assert(p->error_code == 0 && p->leader_id == 1 && p->leader_epoch == 1);
        cr_assert(p->current_voters_count == 1 && p->observers_count == 0);
        cr_assert_eq(p->current_voters[0].replica_id, 1);
        cr_assert_gt(p->high_watermark, 3);
        cr_assert_eq(p->current_voters[0].log_end_offset, p->high_watermark);
        cr_assert_eq(p->current_voters[0].last_fetch_timestamp > 0, version >= 1);
        cr_assert_eq(p->current_voters[0].last_caught_up_timestamp > 0, version >= 1);
        cr_assert_eq(uuid_is_zero(p->current_voters[0].replica_directory_id), version < 2);
        cr_assert_eq(a->nodes_count, version < 2 ? 0 : 1);
        if (version == 2) {
            cr_assert(a->error_message.size == -1 && p->error_message.size == -1);
            cr_assert(a->nodes[0].node_id == 1 && a->nodes[0].listeners_count == 1);
            cr_assert(
                wire_string_equal(a->nodes[0].listeners[0].host, wire_string_of("127.0.0.1")));
            cr_assert_gt(a->nodes[0].listeners[0].port, 0);
        }
    }
    client_close(client);
    broker_stop(b);
}

/* All listeners of a voter are told, and what is asked for where the quorum is alone is refused with a reason. */
Test(describe, quorum_of_a_voter_with_two_listeners)
{
    const char *const settings[] = {
        "listeners=[{name: inside, address: 127.0.0.1:0}, {name: outside, address: 127.0.0.1:0, "
        "advertised: broker.example:9999}]",
        NULL};
    struct broker *b = broker_start(1, settings);
    int client = client_open(b);
    struct describe_quorum_response *a = quorum_ask(client, 2, "__cluster_metadata", 0, 1);
    cr_assert_eq(a->nodes_count, 1);
    cr_assert_eq(a->nodes[0].listeners_count, 2);
    cr_assert(wire_string_equal(a->nodes[0].listeners[0].name, wire_string_of("inside")));
    cr_assert(wire_string_equal(a->nodes[0].listeners[1].name, wire_string_of("outside")));
    cr_assert(wire_string_equal(a->nodes[0].listeners[1].host, wire_string_of("broker.example")));
    cr_assert_eq(a->nodes[0].listeners[1].port, 9999);

    const struct describe_quorum_response_replica_state *self =
        &a->topics[0].partitions[0].current_voters[0];
    struct remove_raft_voter_request q = {wire_string_null(), 1, self->replica_directory_id};
    struct remove_raft_voter_response *removed = client_ask(client, 81, 0, &q);
    cr_assert_eq(removed->error_code, 42);
    cr_assert(
        wire_string_equal(removed->error_message, wire_string_of("Node 1 is the only voter.")));
    struct add_raft_voter_request_listeners listener = {wire_string_of("x"), wire_string_of("h"),
                                                        1};
    struct add_raft_voter_request add;
    for (int16_t version = 0; version <= 1; version++) {
        add_raft_voter_request_init(&add);
        add.cluster_id = wire_string_null();
        add.timeout_ms = 400;
        add.voter_id = 2;
        add.voter_directory_id = (struct uuid){{2}};
        add.listeners = &listener;
        add.listeners_count = 1;
        struct add_raft_voter_response *added = client_ask(client, 80, version, &add);
        cr_assert_eq(added->error_code, 7, "nobody else is there, and time goes on alone");
        cr_assert_gt(added->error_message.size, 50);
    }
    client_close(client);
    broker_stop(b);
}

static int update(int client, int32_t epoch, struct uuid directory, int16_t reads, uint16_t port)
{
    struct update_raft_voter_request_listeners listener = {wire_string_of("plain"),
                                                           wire_string_of("elsewhere"), port};
    struct update_raft_voter_request q;
    update_raft_voter_request_init(&q);
    q.cluster_id = wire_string_null();
    q.current_leader_epoch = epoch;
    q.voter_id = 1;
    q.voter_directory_id = directory;
    q.listeners = &listener;
    q.listeners_count = port > 0;
    q.kraft_version_feature.min_supported_version = reads;
    q.kraft_version_feature.max_supported_version = reads;
    return ((struct update_raft_voter_response *)client_ask(client, 82, 0, &q))->error_code;
}

Test(describe, a_voter_that_says_where_it_is)
{
    struct broker *b = broker_start(2, NULL);
    int client = client_open(b);
    struct describe_quorum_response *a = quorum_ask(client, 2, "__cluster_metadata", 0, 1);
    const struct describe_quorum_response_partitions *p = a->topics[0].partitions;
    struct uuid directory = p->current_voters[0].replica_directory_id, other = {{1}};
    cr_assert_eq(update(client, p->leader_epoch - 1, directory, 1, 1), 74);
    cr_assert_eq(update(client, p->leader_epoch + 1, directory, 1, 1), 75);
    cr_assert_eq(update(client, p->leader_epoch, directory, 2, 1), 95, "it reads another form");
    cr_assert_eq(update(client, p->leader_epoch, other, 1, 1), 127);
    cr_assert_eq(update(client, p->leader_epoch, directory, 1, 0), 42);
    cr_assert_eq(update(client, p->leader_epoch, directory, 1, 77), 0);
    struct describe_quorum_response *after = quorum_ask(client, 2, "__cluster_metadata", 0, 1);
    cr_assert_gt(after->topics[0].partitions[0].high_watermark, p->high_watermark, "a record");
    client_close(client);
    broker_restart(b);
    client = client_open(b);
    a = quorum_ask(client, 2, "__cluster_metadata", 0, 1);
    cr_assert_eq(a->topics[0].partitions[0].current_voters_count, 1);
    client_close(client);
    broker_stop(b);
}

/* Nothing but the metadata log has a quorum, and it is told of once: an answer cannot be made large by asking for it
 * many times. */
Test(describe, quorum_of_another_partition)
{
    static const struct {
        const char *topic;
        int32_t partition, times;
    } asked[] = {
        {"t", 0, 1}, {"__cluster_metadata", 1, 1}, {"__cluster_metadata", 0, 2}, {"", 0, 1}};
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    for (size_t i = 0; i < array_size(asked); i++) {
        struct describe_quorum_response *a =
            quorum_ask(client, 2, asked[i].topic, asked[i].partition, asked[i].times);
        cr_assert(a->error_code == 0 && a->nodes_count == 0 && a->topics_count == 1);
        cr_assert_eq(a->topics[0].partitions_count, asked[i].times);
        for (int32_t j = 0; j < asked[i].times; j++) {
            const struct describe_quorum_response_partitions *p = &a->topics[0].partitions[j];
            cr_assert(p->error_code == 3 && p->partition_index == asked[i].partition);
            cr_assert(p->leader_id == -1 && p->high_watermark == -1);
            cr_assert(p->current_voters_count == 0 && p->observers_count == 0);
        }
    }
    struct describe_quorum_request nothing = {0};
    struct describe_quorum_response *a = client_ask(client, 55, 0, &nothing);
    cr_assert(a->error_code == 0 && a->topics_count == 0);
    client_close(client);
    broker_stop(b);
}

Test(find_coordinator, transactions_have_none)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    struct wire_string keys[] = {wire_string_of("g"), wire_string_of("h")};
    for (int16_t version = 1; version <= 6; version++) {
        struct find_coordinator_request q;
        find_coordinator_request_init(&q);
        q.key_type = 1;
        if (version < 4) {
            q.key = keys[0];
        } else {
            q.coordinator_keys = keys;
            q.coordinator_keys_count = 2;
        }
        struct find_coordinator_response *a = client_ask(client, 10, version, &q);
        cr_assert_eq(version < 4 ? a->error_code : a->coordinators[1].error_code, 15);
    }
    struct init_producer_id_request p = {
        .transactional_id = keys[0], .producer_id = -1, .producer_epoch = -1};
    struct init_producer_id_response *a = client_ask(client, 22, 2, &p);
    cr_assert_eq(a->error_code, 15);
    client_close(client);
    broker_stop(b);
}

/* More ids than one block has, over both shards and a restart: none comes twice. */
Test(producer_ids, are_never_handed_out_twice)
{
    struct broker *b = broker_start(2, NULL);
    static uint8_t seen[40000];
    struct init_producer_id_request q = {
        .transactional_id = wire_string_null(), .producer_id = -1, .producer_epoch = -1};
    for (int life = 0; life < 2; life++) {
        for (int k = 0; k < 8; k++) {
            int client = client_open(b);
            for (int i = 0; i < 250; i++) {
                client_send(client, 22, 0, i, &q);
            }
            for (int i = 0; i < 250; i++) {
                struct init_producer_id_response *a = client_receive(client, 22, 0, i);
                cr_assert_eq(a->error_code, 0);
                cr_assert(a->producer_id >= 0 && a->producer_id < (int64_t)sizeof seen);
                cr_assert_eq(seen[a->producer_id], 0, "id %ld again", (long)a->producer_id);
                seen[a->producer_id] = 1;
            }
            client_close(client);
        }
        broker_restart(b);
    }
    broker_stop(b);
}

Test(topic_names, follow_the_rules)
{
    static const char *const good[] = {"a", "a.b", "...", "_", "-", "A-z_0.9"};
    static const char *const bad[] = {"", ".", "..", "a b", "a/b", "\xc3\xa4", "a:b"};
    for (size_t i = 0; i < array_size(good); i++) {
        cr_assert(topic_name_valid(wire_string_of(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < array_size(bad); i++) {
        cr_assert(!topic_name_valid(wire_string_of(bad[i])), "%s", bad[i]);
    }
    char name[251];
    memset(name, 'x', sizeof name);
    cr_assert(topic_name_valid((struct wire_string){name, 249}));
    cr_assert(!topic_name_valid((struct wire_string){name, 250}));
    cr_assert(!topic_name_valid(wire_string_null()));
}
