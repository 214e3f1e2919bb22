/* SPDX-License-Identifier: Apache-2.0 */

/* Keys of the broker that act: at once when they are changed, and after a restart; and listeners,
 * each with what it advertises. */
#include "base/logger.h"
#include "broker.h"

#include <stdlib.h>

static int16_t alter(int client, const char *node, const char *key, const char *value)
{
    struct incremental_alter_configs_request_configs c = {wire_string_of(key), value ? 0 : 1,
                                                          wire_string_of(value)};
    struct incremental_alter_configs_request_resources r = {4, wire_string_of(node), &c, 1};
    struct incremental_alter_configs_request q = {&r, 1, false};
    struct incremental_alter_configs_response *a = client_ask(client, 44, 1, &q);
    return a->responses[0].error_code;
}

/* The broker's own description of a key: value and source. */
static struct describe_configs_response_configs *describe(int client, const char *key)
{
    struct wire_string name = wire_string_of(key);
    struct describe_configs_request_resources r = {.resource_type = 4,
                                                   .resource_name = wire_string_of("1"),
                                                   .configuration_keys = &name,
                                                   .configuration_keys_count = 1};
    struct describe_configs_request q = {.resources = &r, .resources_count = 1};
    struct describe_configs_response *a = client_ask(client, 32, 1, &q);
    cr_assert_eq(a->results[0].configs_count, 1, "%s", key);
    return &a->results[0].configs[0];
}

#define check_described(client, key, text, source)                                                 \
    do {                                                                                           \
        check_told(client, key, text, source);                                                     \
        cr_assert_not(describe(client, key)->read_only);                                           \
    } while (0)

#define check_told(client, key, text, source)                                                      \
    do {                                                                                           \
        struct describe_configs_response_configs *c = describe(client, key);                       \
        cr_assert(wire_string_equal(c->value, wire_string_of(text)), "%.*s", (int)c->value.size,   \
                  c->value.data);                                                                  \
        cr_assert_eq(c->config_source, source);                                                    \
    } while (0)

static int32_t partitions_made(int client, const char *topic)
{
    topic_create(client, topic, -1, NULL);
    struct metadata_request_topics t = {.name = wire_string_of(topic)};
    struct metadata_request q;
    metadata_request_init(&q);
    q.topics = &t;
    q.topics_count = 1;
    struct metadata_response *a = client_ask(client, 3, 9, &q);
    return a->topics[0].partitions_count;
}

static int32_t fetched(int client, const char *topic)
{
    fetch_send(client, 7, topic, 0, 0, 1000, 1, 1 << 20);
    struct fetch_response *a = client_receive(client, 1, 11, 7);
    return a->responses[0].partitions[0].records.size;
}

Test(settings, dynamic_keys_act_at_once_and_outlive_a_restart)
{
    static const char *const given[] = {"num.partitions=2", "logging.level=warn", NULL};
    struct broker *b = broker_start(2, given);
    int client = client_open(b);
    check_described(client, "num.partitions", "2", 4);
    check_described(client, "fetch.max.bytes", "6710886", 5); /* of 128 MiB a twentieth */
    cr_assert_eq(broker_logger_level(b), LOGGER_WARN);
    cr_assert_eq(partitions_made(client, "before"), 2);
    cr_assert_eq(alter(client, "1", "num.partitions", "5"), 0);
    cr_assert_eq(alter(client, "", "num.partitions", "9"), 0);
    cr_assert_eq(alter(client, "", "logging.level", "error"), 0);
    cr_assert_eq(alter(client, "1", "fetch.max.bytes", "64KiB"), 0);
    cr_assert_eq(partitions_made(client, "at-once"), 5, "this node's value wins");
    cr_assert_eq(broker_logger_level(b), LOGGER_ERROR);
    check_described(client, "fetch.max.bytes", "65536", 2);
    topic_create(client, "t", 1, NULL);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(produce(client, "t", 0, batch_make(1, i, 30000, NULL), -1)->error_code, 0);
    }
    cr_assert_leq(fetched(client, "t"), 65536);
    client_close(client);

    broker_restart(b);
    client = client_open(b);
    cr_assert_eq(partitions_made(client, "after"), 5);
    cr_assert_eq(broker_logger_level(b), LOGGER_ERROR);
    check_described(client, "logging.level", "error", 3);
    check_described(client, "fetch.max.bytes", "65536", 2);
    cr_assert_leq(fetched(client, "t"), 65536);
    cr_assert_eq(alter(client, "1", "fetch.max.bytes", NULL), 0);
    cr_assert_gt(fetched(client, "t"), 200000, "back to what is configured");
    cr_assert_eq(alter(client, "1", "num.partitions", NULL), 0);
    cr_assert_eq(partitions_made(client, "all-nodes"), 9);
    cr_assert_eq(alter(client, "", "logging.level", NULL), 0);
    cr_assert_eq(broker_logger_level(b), LOGGER_WARN);
    client_close(client);
    broker_stop(b);
}

/* What is told is what the image holds, which leaders and the controller act upon, and no node's file or own value. */
Test(settings, the_minimum_in_sync_is_the_clusters)
{
    static const char key[] = "min.insync.replicas";
    static const char *const given[] = {"min.insync.replicas=2", NULL};
    struct broker *b = broker_start(1, given);
    int client = client_open(b);
    check_told(client, key, "2", 3);
    cr_assert_eq(alter(client, "1", key, "4"), 40, "of one broker");
    cr_assert_eq(alter(client, "", key, "3"), 0);
    check_told(client, key, "3", 3);
    cr_assert(broker_warned(b, "min.insync.replicas is 3 for the whole cluster, not 2"));
    client_close(client);

    broker_restart(b);
    client = client_open(b);
    check_told(client, key, "3", 3);
    cr_assert(broker_warned(b, "leat cluster config --all --set min.insync.replicas=2 changes it"));
    cr_assert_eq(alter(client, "", key, NULL), 0);
    check_told(client, key, "2", 3);
    client_close(client);
    broker_stop(b);

    b = broker_start(1, NULL);
    client = client_open(b);
    check_told(client, key, "1", 5);
    client_close(client);
    broker_stop(b);
}

Test(settings, a_fetch_that_the_memory_does_not_allow_is_told)
{
    static const char *const small[] = {"limits.memory=128MiB", NULL};
    struct broker *b = broker_start(1, small);
    int client = client_open(b);
    cr_assert_eq(alter(client, "1", "fetch.max.bytes", "4MiB"), 0);
    cr_assert(!broker_warned(b, "fetch.max.bytes"));
    cr_assert_eq(alter(client, "1", "fetch.max.bytes", "16MiB"), 0);
    cr_assert(broker_warned(b, "fetch.max.bytes is 16777216, but a fetch returns 6710886 at most"));
    client_close(client);
    broker_stop(b);
}

Test(settings, what_cannot_act_is_refused)
{
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    cr_assert_eq(alter(client, "1", "limits.connections", "5"), 42, "not while it runs");
    cr_assert_eq(alter(client, "1", "log.flush.interval.ms", "5"), 40, "Kafka's alone");
    cr_assert_eq(alter(client, "1", "fetch.max.bytes", "1GiB"), 40, "beyond what it can be");
    cr_assert_eq(alter(client, "1", "logging.level", "loud"), 40);
    cr_assert_eq(alter(client, "1", "listeners", "127.0.0.1:1"), 42);
    client_close(client);
    broker_stop(b);
}

/* Tools copy every configuration of a topic from one cluster to another: what leat cannot act upon
 * is taken, and shown nowhere as if it were in force. */
Test(settings, topics_do_not_keep_what_cannot_act)
{
    static const char *const configs[] = {"flush.ms=1000", "segment.ms=7d", NULL};
    struct broker *b = broker_start(1, NULL);
    int client = client_open(b);
    topic_create(client, "t", 1, configs);
    struct describe_configs_request_resources r = {
        .resource_type = 2, .resource_name = wire_string_of("t"), .configuration_keys_count = -1};
    struct describe_configs_request q = {.resources = &r, .resources_count = 1};
    struct describe_configs_response *a = client_ask(client, 32, 1, &q);
    bool found = false;
    for (int32_t i = 0; i < a->results[0].configs_count; i++) {
        struct describe_configs_response_configs *c = &a->results[0].configs[i];
        cr_assert_not(wire_string_equal(c->name, wire_string_of("flush.ms")));
        if (wire_string_equal(c->name, wire_string_of("segment.ms"))) {
            cr_assert(wire_string_equal(c->value, wire_string_of("604800000")), "bare numbers");
            found = true;
        }
    }
    cr_assert(found);
    client_close(client);
    broker_stop(b);
}

static void expect_address(int client, const char *host, uint16_t port)
{
    struct metadata_request q;
    struct describe_cluster_request d;
    metadata_request_init(&q);
    describe_cluster_request_init(&d);
    struct metadata_response *m = client_ask(client, 3, 9, &q);
    cr_assert_eq(m->brokers_count, 1);
    cr_assert(wire_string_equal(m->brokers[0].host, wire_string_of(host)), "%.*s",
              (int)m->brokers[0].host.size, m->brokers[0].host.data);
    cr_assert_eq(m->brokers[0].port, port);
    struct describe_cluster_response *c = client_ask(client, 60, 0, &d);
    cr_assert_eq(c->brokers_count, 1);
    cr_assert(wire_string_equal(c->brokers[0].host, wire_string_of(host)));
    cr_assert_eq(c->brokers[0].port, port);
}

Test(settings, every_listener_tells_what_it_advertises)
{
    static const char *const given[] = {
        "listeners=[{name: inside, address: 127.0.0.1:0}, {name: outside, address: 127.0.0.1:0, "
        "advertised: broker.example:19092}]",
        NULL};
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct broker *b = broker_start(shards, given);
        for (int life = 0; life < 2; life++) {
            uint16_t first = broker_port_at(b, 0), second = broker_port_at(b, 1);
            cr_assert_neq(first, second);
            cr_assert_eq(first, broker_port(b));
            for (int i = 0; i < 4; i++) { /* the kernel chooses the shard */
                int inside = client_open_port(first), outside = client_open_port(second);
                expect_address(inside, "127.0.0.1", first);
                expect_address(outside, "broker.example", 19092);
                client_close(inside);
                client_close(outside);
            }
            if (life == 0) {
                broker_restart(b);
            }
        }
        broker_stop(b);
    }
}

Test(settings, limits_connections_is_exact_for_one_shard)
{
    static const char *const given[] = {"limits.connections=2", NULL};
    struct broker *b = broker_start(1, given);
    int one = client_open(b), two = client_open(b);
    expect_address(one, "127.0.0.1", broker_port(b));
    expect_address(two, "127.0.0.1", broker_port(b));
    struct api_versions_request q;
    api_versions_request_init(&q);
    int three = client_open(b), broker = client_open(b);
    client_send(three, 18, 0, 1, &q);
    cr_assert(client_closed(three), "only brokers have a place left");
    client_send_as(broker, wire_string_of("leatd"), 18, 0, 1, &q);
    cr_assert_not_null(client_receive(broker, 18, 0, 1));
    client_close(broker);
    client_close(three);
    client_close(two);
    client_close(one);
    broker_stop(b);
}

Test(settings, no_fetch_sessions)
{
    static const char *const given[] = {"max.incremental.fetch.session.cache.slots=0", NULL};
    struct broker *b = broker_start(1, given);
    int client = client_open(b);
    topic_create(client, "t", 1, NULL);
    struct fetch_request_partitions p;
    struct fetch_request_topics t = {
        .topic = wire_string_of("t"), .partitions = &p, .partitions_count = 1};
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_partitions_init(&p);
    p.partition_max_bytes = 1 << 20;
    q.topics = &t;
    q.topics_count = 1;
    q.max_bytes = 1 << 20;
    q.session_epoch = 0; /* asks for a session */
    struct fetch_response *a = client_ask(client, 1, 11, &q);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->session_id, 0);
    cr_assert_eq(a->responses_count, 1);
    client_close(client);
    broker_stop(b);
}
