/* SPDX-License-Identifier: Apache-2.0 */

/* Whole configurations: what is read, what is said about what cannot be. */
#include "loading.h"

#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct loading *loading_new(void)
{
    return malloc(sizeof(struct loading));
}

/* A file that is refused with exactly these lines. */
static void expect_report(const char *file, const char *report)
{
    struct loading *l = loading_new();
    loading_run(l, file, NULL, NULL);
    cr_assert_eq(l->error, ERR_BAD_CONFIG, "%s was taken", file);
    cr_assert_str_eq(l->text, report);
    loading_end(l);
    free(l);
}

/* A file that is taken with exactly these lines. */
static void expect_taken(const char *file, const char *report)
{
    struct loading *l = loading_new();
    loading_run(l, file, NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_str_eq(l->text, report);
    loading_end(l);
    free(l);
}

Test(load, nothing_given_means_defaults)
{
    struct loading *l = loading_new();
    loading_run(l, NULL, NULL, NULL);
    cr_assert_eq(l->error, 0);
    cr_assert_eq(l->lines, 0u);
    cr_assert_str_eq(config_text(l->config, CONFIG_DATA_DIR), "./leat-data");
    cr_assert_eq(config_integer(l->config, CONFIG_LOG_SEGMENT_BYTES), 1 << 30);
    cr_assert_eq(config_integer(l->config, CONFIG_MESSAGE_MAX_BYTES), 1048588);
    cr_assert(config_bool(l->config, CONFIG_AUTO_CREATE_TOPICS_ENABLE));
    cr_assert_eq(config_item_count(l->config, CONFIG_IO_URING_DISABLED), 0u);
    cr_assert_eq(config_shards(l->config), 1u);
    cr_assert_eq(config_listener_count(l->config), 1u);
    const struct config_listener *listener = config_listener(l->config, 0);
    cr_assert_str_eq(listener->name, "plain");
    cr_assert_str_eq(listener->host, "127.0.0.1");
    cr_assert_eq(listener->port, 9092);
    cr_assert_str_eq(listener->advertised_host, "127.0.0.1");
    cr_assert_eq(listener->advertised_port, 9092);
    cr_assert(config_is_default(l->config, CONFIG_LISTENERS));
    loading_end(l);
    expect_taken("", "");
    expect_taken("# only a comment\n", "");
    expect_taken("---\n...\n", "");
    expect_taken("\xef\xbb\xbfnode.id: 4\n", "");
    free(l);
}

Test(load, dotted_and_nested_are_the_same_key)
{
    struct loading *l = loading_new();
    loading_run(l,
                "log:\n"
                "  segment: { bytes: 16MiB }\n"
                "  retention.ms: 1d\n"
                "limits: { memory: 1GiB, connections: 5 }\n"
                "node.id: 3\n",
                NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(config_integer(l->config, CONFIG_LOG_SEGMENT_BYTES), 16 << 20);
    cr_assert_eq(config_integer(l->config, CONFIG_LOG_RETENTION_MS), 86400000);
    cr_assert_eq(config_integer(l->config, CONFIG_LIMITS_MEMORY), 1 << 30);
    cr_assert_eq(config_integer(l->config, CONFIG_LIMITS_CONNECTIONS), 5);
    cr_assert_eq(config_integer(l->config, CONFIG_NODE_ID), 3);
    loading_end(l);
    free(l);
    expect_report("log.segment.bytes: 16MiB\n"
                  "log: { segment: { bytes: 16MiB } }\n",
                  "leat.yaml:2:19: error: log.segment.bytes is given twice, first in line 1\n"
                  "    log: { segment: { bytes: 16MiB } }\n"
                  "                      ^\n");
}

Test(load, every_problem_is_listed_where_it_is)
{
    expect_report("node.id: 1\n"
                  "log.segment.bytes: 64KiB\n"
                  "log.retnetion.ms: 7d\n"
                  "limits:\n"
                  "    memory: lots\n"
                  "    conections: 5\n"
                  "auto.create.topics.enable: yes\n"
                  "num.partitions:\n"
                  "node.id: 2\n",
                  "leat.yaml:2:20: error: log.segment.bytes: 64KiB is below the minimum 1MiB\n"
                  "    log.segment.bytes: 64KiB\n"
                  "                       ^\n"
                  "leat.yaml:3:1: error: unknown key 'log.retnetion.ms'\n"
                  "    log.retnetion.ms: 7d\n"
                  "    ^\n"
                  "hint: did you mean log.retention.ms?\n"
                  "leat.yaml:5:13: error: limits.memory: 'lots' is not a number\n"
                  "        memory: lots\n"
                  "                ^\n"
                  "leat.yaml:6:5: error: unknown key 'limits.conections'\n"
                  "        conections: 5\n"
                  "        ^\n"
                  "hint: did you mean limits.connections?\n"
                  "leat.yaml:7:28: error: auto.create.topics.enable: 'yes' is neither true nor "
                  "false\n"
                  "    auto.create.topics.enable: yes\n"
                  "                               ^\n"
                  "hint: write true\n"
                  "leat.yaml:8:1: error: num.partitions has no value\n"
                  "    num.partitions:\n"
                  "    ^\n"
                  "hint: leave the line out to have the default\n"
                  "leat.yaml:9:1: error: node.id is given twice, first in line 1\n"
                  "    node.id: 2\n"
                  "    ^\n");
}

Test(load, the_caret_counts_characters_and_keeps_tabs)
{
    expect_report("broker.rack: \"\xc3\xa4\xc3\xb6\"\r\nlimits: {memory: \"\xc3\xa4\"}\r\n",
                  "leat.yaml:2:18: error: limits.memory: '\xc3\xa4' is not a number\n"
                  "    limits: {memory: \"\xc3\xa4\"}\n"
                  "                     ^\n");
}

Test(load, yaml_that_is_none)
{
    expect_report("node.id: 1\n\tnum.partitions: 2\n",
                  "leat.yaml:2:1: error: not YAML: found a tab character that violates indentation "
                  "while scanning a plain scalar\n"
                  "    \tnum.partitions: 2\n"
                  "    ^\n"
                  "hint: indent with spaces, not with tabs\n");
    expect_report("[1, 2]\n", "leat.yaml:1:1: error: a configuration is a map of keys\n"
                              "    [1, 2]\n"
                              "    ^\n"
                              "hint: write key: value\n");
    expect_report("node.id: 1\n---\nnode.id: 2\n",
                  "leat.yaml:2:1: error: a second document is not read\n"
                  "    ---\n"
                  "    ^\n");
    expect_report("node.id: \xff\n",
                  "leat.yaml:1:10: error: not YAML: invalid leading UTF-8 octet\n"
                  "    node.id: \xff\n"
                  "             ^\n"
                  "hint: the file must be UTF-8 text\n");
}

Test(load, anchors_and_shapes_are_refused)
{
    expect_report("node.id: &a 1\nnum.partitions: *a\n",
                  "leat.yaml:1:10: error: anchors and aliases are not supported: write the value "
                  "out\n"
                  "    node.id: &a 1\n"
                  "             ^\n"
                  "leat.yaml:2:17: error: anchors and aliases are not supported: write the value "
                  "out\n"
                  "    num.partitions: *a\n"
                  "                    ^\n");
    expect_report("node.id: [1]\n", "leat.yaml:1:10: error: node.id takes one value\n"
                                    "    node.id: [1]\n"
                                    "             ^\n");
    expect_report("node.id: { a: 1 }\n", "leat.yaml:1:10: error: node.id takes one value\n"
                                         "    node.id: { a: 1 }\n"
                                         "             ^\n");
    expect_report("limits: 5\n", "leat.yaml:1:1: error: unknown key 'limits'\n"
                                 "    limits: 5\n"
                                 "    ^\n"
                                 "hint: leatd --print-config lists all keys\n");
    expect_report("[a]: 5\n", "leat.yaml:1:1: error: a key must be a short plain text\n"
                              "    [a]: 5\n"
                              "    ^\n");
}

Test(load, keys_of_kafka)
{
    expect_taken("zookeeper.connect: somewhere\n",
                 "leat.yaml:1:1: note: ignored: zookeeper.connect: ZooKeeper is not needed\n"
                 "    zookeeper.connect: somewhere\n"
                 "    ^\n");
    expect_report("log.dirs: /data\n",
                  "leat.yaml:1:1: error: log.dirs: the key is data.dir, exactly one directory\n"
                  "    log.dirs: /data\n"
                  "    ^\n");
    expect_report(
        "retention.ms: 5\n",
        "leat.yaml:1:1: error: unknown key 'retention.ms'\n"
        "    retention.ms: 5\n"
        "    ^\n"
        "hint: that is a key of topics; their default is the broker's log.retention.ms\n");
}

Test(load, what_this_version_does_not_have_is_said)
{
    expect_report("security: { tls: { cert: /etc/cert.pem } }\n",
                  "leat.yaml:1:20: error: security.tls.cert: TLS is not in this version\n"
                  "    security: { tls: { cert: /etc/cert.pem } }\n"
                  "                       ^\n");
    expect_report("controller.quorum.bootstrap.servers: b1:9092\n",
                  "leat.yaml:1:1: error: controller.quorum.bootstrap.servers: the key is peers\n"
                  "    controller.quorum.bootstrap.servers: b1:9092\n"
                  "    ^\n");
    expect_taken("log.preallocate: true\n",
                 "leat.yaml:1:1: note: ignored: log.preallocate: space is always preallocated, in "
                 "steps\n"
                 "    log.preallocate: true\n"
                 "    ^\n");
}

/* What a value may be at most follows from the memory: a default is lowered, so that what is shown
 * is what acts, and a value that was asked for is refused. */
Test(load, shares_of_the_memory)
{
    struct loading *l = loading_new();
    loading_run(l, "limits.memory: 128MiB\nshards: 2\n", NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(l->lines, 0u, "%s", l->text);
    cr_assert_eq(config_integer(l->config, CONFIG_SOCKET_REQUEST_MAX_BYTES), 2 << 20);
    cr_assert_eq(config_integer(l->config, CONFIG_FETCH_MAX_BYTES), (64 << 20) / 20);
    cr_assert_eq(config_integer(l->config, CONFIG_JOURNAL_BYTES_MAX), 256 << 20);
    cr_assert(config_is_default(l->config, CONFIG_SOCKET_REQUEST_MAX_BYTES));
    loading_end(l);
    loading_run(l, "limits.memory: 16GiB\nshards: 4\n", NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(config_integer(l->config, CONFIG_SOCKET_REQUEST_MAX_BYTES), 100 << 20);
    cr_assert_eq(config_integer(l->config, CONFIG_FETCH_MAX_BYTES), 8 << 20);
    cr_assert_eq(config_integer(l->config, CONFIG_JOURNAL_BYTES_MAX), 512 << 20);
    loading_end(l);
    free(l);
    expect_report(
        "socket.request.max.bytes: 17MiB\n",
        "leat.yaml:1:27: error: socket.request.max.bytes: 17MiB is above 16MiB, which the "
        "memory of a shard allows\n"
        "    socket.request.max.bytes: 17MiB\n"
        "                              ^\n"
        "hint: a request may take a 32nd of a shard's memory: raise limits.memory\n");
    expect_report("limits.memory: 64MiB\nfetch.max.bytes: 8MiB\n",
                  "leat.yaml:2:18: error: fetch.max.bytes: 8MiB is above 3355443, which the memory "
                  "of a shard allows\n"
                  "    fetch.max.bytes: 8MiB\n"
                  "                     ^\n"
                  "hint: a fetch may take a twentieth of a shard's memory: raise limits.memory\n");
    expect_report(
        "shards: 64\n",
        "leat.yaml:1:9: error: limits.memory: 512MiB for 64 shards is less than 33MiB for "
        "each\n"
        "    shards: 64\n"
        "            ^\n"
        "hint: raise limits.memory or lower shards\n");
}

Test(load, listeners)
{
    struct loading *l = loading_new();
    loading_run(l,
                "security.open: true\n"
                "listeners:\n"
                "  - { name: plain, address: 0.0.0.0:9092, advertised: broker-1:19092, tls: false, "
                "sasl: none }\n"
                "  - address: '[::1]:9093'\n",
                NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(l->lines, 0u, "%s", l->text);
    cr_assert_eq(config_listener_count(l->config), 2u);
    const struct config_listener *first = config_listener(l->config, 0);
    const struct config_listener *second = config_listener(l->config, 1);
    cr_assert_str_eq(first->host, "0.0.0.0");
    cr_assert_str_eq(first->advertised_host, "broker-1");
    cr_assert_eq(first->advertised_port, 19092);
    cr_assert_str_eq(second->name, "plain-2");
    cr_assert_str_eq(second->advertised_host, "::1");
    loading_end(l);
    free(l);
}

/* On a command line and in the environment a bracket begins a list or an IPv6 address. */
Test(load, listeners_in_brackets)
{
    struct loading *l = loading_new();
    const char *const settings[] = {"listeners=[::1]:9093,127.0.0.1:9094", NULL};
    loading_run(l, NULL, NULL, settings);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(config_listener_count(l->config), 2u);
    cr_assert_str_eq(config_listener(l->config, 0)->host, "::1");
    cr_assert_eq(config_listener(l->config, 0)->port, 9093);
    cr_assert_eq(config_listener(l->config, 1)->port, 9094);
    loading_end(l);
    const char *const list[] = {"listeners=[{name: six, address: '[::1]:7'}]", NULL};
    loading_run(l, NULL, NULL, list);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_str_eq(config_listener(l->config, 0)->name, "six");
    cr_assert_eq(config_listener(l->config, 0)->port, 7);
    loading_end(l);
    free(l);
}

Test(load, listeners_that_are_wrong)
{
    expect_report(
        "listeners:\n"
        "  - { address: 0.0.0.0:9092, advertised: b:1 }\n"
        "  - { name: a, adress: 127.0.0.1:1 }\n"
        "  - { name: a }\n"
        "  - { address: 127.0.0.1:1, tls: true }\n"
        "  - 127.0.0.1:5\n",
        "leat.yaml:3:16: error: listeners: unknown field 'adress'\n"
        "      - { name: a, adress: 127.0.0.1:1 }\n"
        "                   ^\n"
        "hint: a listener has name, address, advertised, tls, sasl\n"
        "leat.yaml:4:5: error: listeners: an entry has no address\n"
        "      - { name: a }\n"
        "        ^\n"
        "hint: write address: 127.0.0.1:9092\n"
        "leat.yaml:5:34: error: listeners: TLS is not in this version, only tls: false is "
        "accepted\n"
        "      - { address: 127.0.0.1:1, tls: true }\n"
        "                                     ^\n"
        "leat.yaml:6:5: error: listeners: an entry must be a map with at least an address\n"
        "      - 127.0.0.1:5\n"
        "        ^\n"
        "hint: write - { name: plain, address: 127.0.0.1:9092 }\n"
        "leat.yaml:2:5: error: listeners: 0.0.0.0 is reachable from other machines, and "
        "there is neither TLS nor authentication\n"
        "      - { address: 0.0.0.0:9092, advertised: b:1 }\n"
        "        ^\n"
        "hint: listen on 127.0.0.1, or set security.open: true if whoever reaches this "
        "address may use it\n");
    expect_report("listeners: []\n",
                  "leat.yaml:1:12: error: listeners: there must be at least one\n"
                  "    listeners: []\n"
                  "               ^\n");
    expect_report("listeners: [{name: a, address: localhost:1}, {name: a, address: localhost:1}]\n",
                  "leat.yaml:1:46: error: listeners: the name a is given twice\n"
                  "    listeners: [{name: a, address: localhost:1}, {name: a, address: "
                  "localhost:1}]\n"
                  "                                                 ^\n"
                  "leat.yaml:1:46: error: listeners: localhost:1 is given twice\n"
                  "    listeners: [{name: a, address: localhost:1}, {name: a, address: "
                  "localhost:1}]\n"
                  "                                                 ^\n");
}

/* An address says what is wrong with it. */
Test(load, addresses_that_are_wrong)
{
    static const char *const cases[][2] = {
        {"localhost", "'localhost' has no port"},
        {"localhost:", "'localhost:' has no port"},
        {"127.0.0.1:70000", "'127.0.0.1:70000' has a port above 65535"},
        {"127.0.0.1:999999999", "'127.0.0.1:999999999' has a port above 65535"},
        {"127.0.0.1:x", "'127.0.0.1:x' is not HOST:PORT"},
        {"::1:9092", "'::1:9092' needs brackets around its IPv6 address, as in [::1]:9092"},
        {"a b:1", "'a b:1' is not HOST:PORT"},
        {"plain://a:1", "'plain://a:1' has a protocol in front: HOST:PORT is enough"},
        {"PLAINTEXT://:1", "'PLAINTEXT://:1' has a protocol in front: HOST:PORT is enough"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct loading *l = loading_new();
        char setting[128], report[256];
        snprintf(setting, sizeof setting, "listeners=%s", cases[i][0]);
        snprintf(report, sizeof report,
                 "--set: error: listeners: %s\nhint: write address: "
                 "127.0.0.1:9092\n",
                 cases[i][1]);
        const char *const settings[] = {setting, NULL};
        loading_run(l, NULL, NULL, settings);
        cr_assert_eq(l->error, ERR_BAD_CONFIG);
        cr_assert_str_eq(l->text, report);
        loading_end(l);
        free(l);
    }
}

Test(load, a_wildcard_without_advertised_is_told_as_localhost)
{
    struct loading *l = loading_new();
    static const char *const settings[] = {"listeners=0.0.0.0:9092", "security.open=true", NULL};
    loading_run(l, NULL, NULL, settings);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_not_null(strstr(l->text, "--set: warning: listeners: 0.0.0.0 cannot be told"));
    cr_assert_str_eq(config_listener(l->config, 0)->advertised_host, "localhost");
    loading_end(l);
    free(l);
}

Test(load, peers)
{
    struct loading *l = loading_new();
    loading_run(l, NULL, NULL, NULL);
    cr_assert_eq(config_item_count(l->config, CONFIG_PEERS), 0u);
    loading_end(l);
    static const char *const settings[] = {"peers=127.0.0.1:9092, localhost:9192,[::1]:9292", NULL};
    loading_run(l, NULL, NULL, settings);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(config_item_count(l->config, CONFIG_PEERS), 3u);
    cr_assert_str_eq(config_item(l->config, CONFIG_PEERS, 2), "[::1]:9292");
    loading_end(l);
    loading_run(l,
                "peers: [b1:9092, b2:9092]\nsecurity.open: true\n"
                "listeners: [{ address: 0.0.0.0:9092, advertised: b1:9092 }]\n",
                NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    loading_end(l);
    free(l);
}

/* Settings, and what is said of them. */
Test(load, peers_that_are_wrong)
{
    static const struct {
        const char *settings[4];
        const char *report;
    } cases[] = {
        {{"peers=b1"},
         "--set: error: peers: 'b1' has no port\nhint: write peers: [b1:9092, b2:9092, b3:9092]\n"},
        {{"peers=http://b1:1"},
         "--set: error: peers: 'http://b1:1' has a protocol in front: HOST:PORT is enough\n"},
        {{"peers=::1:9092"},
         "--set: error: peers: '::1:9092' needs brackets around its IPv6 address"},
        {{"peers=localhost:0"},
         "--set: error: peers: 'localhost:0' is no address that can be asked\n"},
        {{"peers=0.0.0.0:9092"},
         "--set: error: peers: '0.0.0.0:9092' is no address that can be asked\n"},
        {{"peers=localhost:1,localhost:2,LOCALHOST:01"},
         "--set: error: peers: 'LOCALHOST:01' is given twice\n"},
        {{"peers=localhost:1,localhost:2,localhost:3,localhost:4,localhost:5,localhost:6,localhost:"
          "7,"
          "localhost:8,localhost:9,localhost:10,localhost:11,localhost:12,localhost:13,localhost:"
          "14,"
          "localhost:15,localhost:16,localhost:17"},
         "--set: error: peers: more than 16\n"},
        {{"peers=localhost:1", "listeners=0.0.0.0:9092", "security.open=true"},
         "--set: error: listeners: 0.0.0.0 cannot be told to peers\nhint: say where it is "
         "reached, as in listeners: [{address: \"0.0.0.0:9092\", advertised: \"HOST:PORT\"}]\n"},
        {{"peers=localhost:1,b1:9092"},
         "error: listeners: 127.0.0.1 cannot be told to peers on other machines"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct loading *l = loading_new();
        loading_run(l, NULL, NULL, cases[i].settings);
        cr_assert_eq(l->error, ERR_BAD_CONFIG, "case %zu", i);
        cr_assert_not_null(strstr(l->text, cases[i].report), "case %zu: %s", i, l->text);
        loading_end(l);
        free(l);
    }
}

Test(load, default_file_environment_command_line)
{
    struct loading *l = loading_new();
    static const char *const environment[] = {
        "PATH=/bin", "LEAT_NODE_ID=20", "LEAT_NUM_PARTITIONS=21", "LEAT_BROKERS=x", "LEAT_", NULL};
    static const char *const settings[] = {"num.partitions=31", "num.partitions=32", NULL};
    loading_run(l, "node.id: 10\nnum.partitions: 11\nlimits.connections: 12\n", environment,
                settings);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(l->lines, 0u, "%s", l->text);
    cr_assert_eq(config_integer(l->config, CONFIG_LIMITS_CONNECTIONS), 12);
    cr_assert_eq(config_integer(l->config, CONFIG_NODE_ID), 20);
    cr_assert_eq(config_integer(l->config, CONFIG_NUM_PARTITIONS), 32);
    char origin[64];
    config_origin(l->config, CONFIG_SHARDS, origin, sizeof origin);
    cr_assert_str_eq(origin, "default");
    config_origin(l->config, CONFIG_LIMITS_CONNECTIONS, origin, sizeof origin);
    cr_assert_str_eq(origin, "leat.yaml:3");
    config_origin(l->config, CONFIG_NODE_ID, origin, sizeof origin);
    cr_assert_str_eq(origin, "env LEAT_NODE_ID");
    config_origin(l->config, CONFIG_NUM_PARTITIONS, origin, sizeof origin);
    cr_assert_str_eq(origin, "--set");
    loading_end(l);
    free(l);
}

Test(load, problems_outside_the_file)
{
    struct loading *l = loading_new();
    static const char *const environment[] = {"LEAT_LOG_SEGMENT_BYTES=64KiB", "LEAT_TYPO=1", NULL};
    static const char *const settings[] = {"node.idd=4", "io.backend=kqueue", NULL};
    loading_run(l, NULL, environment, settings);
    cr_assert_eq(l->error, ERR_BAD_CONFIG);
    cr_assert_str_eq(l->text,
                     "LEAT_LOG_SEGMENT_BYTES: error: log.segment.bytes: 64KiB is below the minimum "
                     "1MiB\n"
                     "LEAT_TYPO: warning: no key has this name: it is ignored\n"
                     "--set: error: unknown key 'node.idd'\n"
                     "hint: did you mean node.id?\n"
                     "--set: error: io.backend: 'kqueue' is not one of: auto, uring, epoll\n");
    loading_end(l);
    free(l);
}

Test(load, lists_from_the_command_line)
{
    struct loading *l = loading_new();
    static const char *const settings[] = {
        "io.uring.disabled=msg_ring, dsync_write",
        "listeners=[{ name: a, address: 127.0.0.1:1, advertised: h:2 }]", NULL};
    loading_run(l, NULL, NULL, settings);
    cr_assert_eq(l->error, 0, "%s", l->text);
    cr_assert_eq(config_item_count(l->config, CONFIG_IO_URING_DISABLED), 2u);
    cr_assert_str_eq(config_item(l->config, CONFIG_IO_URING_DISABLED, 1), "dsync_write");
    cr_assert_eq(config_listener_count(l->config), 1u);
    cr_assert_str_eq(config_listener(l->config, 0)->advertised_host, "h");
    loading_end(l);
    static const char *const wrong[] = {"io.uring.disabled=[msg_ring, x]", "listeners=nowhere",
                                        "listeners=[", NULL};
    loading_run(l, NULL, NULL, wrong);
    cr_assert_eq(l->error, ERR_BAD_CONFIG);
    cr_assert_not_null(strstr(l->text, "--set: error: io.uring.disabled: 'x' is not one of: "));
    cr_assert_not_null(strstr(l->text, "--set: error: listeners: 'nowhere' has no port"));
    cr_assert_not_null(strstr(l->text, "--set: error: not YAML"));
    loading_end(l);
    free(l);
}

Test(load, keys_that_contradict_each_other)
{
    expect_report("message.max.bytes: 2MiB\nlog.segment.bytes: 1MiB\n",
                  "leat.yaml:1:20: error: message.max.bytes (2MiB) is above log.segment.bytes "
                  "(1MiB)\n"
                  "    message.max.bytes: 2MiB\n"
                  "                       ^\n");
    expect_taken("default.replication.factor: 1\nmin.insync.replicas: 2\n",
                 "leat.yaml:2:22: warning: min.insync.replicas (2) is above "
                 "default.replication.factor (1)\n"
                 "    min.insync.replicas: 2\n"
                 "                         ^\n");
    expect_report("data.dir: \"\"\n", "leat.yaml:1:11: error: data.dir: a directory must be given\n"
                                      "    data.dir: \"\"\n"
                                      "              ^\n");
}

Test(load, what_is_printed_can_be_loaded_again)
{
    struct loading *l = loading_new(), *printed = loading_new(), *again = loading_new();
    loading_run(l,
                "broker.rack: 'a \"b\" \\ #c: d'\nlog.retention.ms: 36h\nsecurity.open: true\n"
                "io.uring.disabled: [msg_ring]\n"
                "listeners: [{ name: x, address: '[::1]:7', advertised: \"h:8\" }]\n",
                NULL, NULL);
    cr_assert_eq(l->error, 0, "%s", l->text);
    memset(printed, 0, sizeof *printed);
    config_print(l->config, loading_line, printed);
    cr_assert_eq(printed->lines, (size_t)CONFIG_KEY_COUNT);
    cr_assert_not_null(strstr(printed->text, "log.retention.ms: 36h  # leat.yaml:2\n"));
    cr_assert_not_null(strstr(printed->text, "log.segment.bytes: 1GiB  # default\n"));
    loading_run(again, printed->text, NULL, NULL);
    cr_assert_eq(again->error, 0, "%s", again->text);
    for (int key = 0; key < CONFIG_KEY_COUNT; key++) {
        char a[1024], b[1024];
        config_format(l->config, key, a, sizeof a);
        config_format(again->config, key, b, sizeof b);
        cr_assert_str_eq(a, b, "%s", config_key_info(key)->name);
    }
    cr_assert_str_eq(config_listener(again->config, 0)->advertised_host, "h");
    loading_end(l);
    loading_end(again);
    free(l);
    free(printed);
    free(again);
}
