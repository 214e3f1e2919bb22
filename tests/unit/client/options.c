/* SPDX-License-Identifier: Apache-2.0 */

#include "core/options.h"

#include "core/address.h"

#include <criterion/criterion.h>

Test(options, names_of_librdkafka_and_java_set_fields)
{
    leat_producer_options p = LEAT_PRODUCER_OPTIONS_INIT;
    leat_consumer_options k = LEAT_CONSUMER_OPTIONS_INIT;
    leat_options o = LEAT_OPTIONS_INIT;
    leat_error e;
    cr_assert_eq(leat_producer_options_set(&p, "linger.ms", "7", &e), 0);
    cr_assert_eq(p.linger_ms, 7);
    cr_assert_eq(leat_producer_options_set(&p, "queue.buffering.max.ms", "0.5", &e), 0);
    cr_assert_eq(p.linger_ms, 1, "fractions are rounded up");
    cr_assert_eq(leat_producer_options_set(&p, "compression.codec", "zstd", &e), 0);
    cr_assert_eq(p.compression, LEAT_COMPRESSION_ZSTD);
    cr_assert_eq(leat_producer_options_set(&p, "request.required.acks", "-1", &e), 0);
    cr_assert_eq(p.acks, LEAT_ACKS_ALL);
    cr_assert_eq(leat_producer_options_set(&p, "buffer.memory", "1GiB", &e), 0);
    cr_assert_eq(p.buffer_bytes, 1u << 30);
    cr_assert_eq(leat_consumer_options_set(&k, "auto.offset.reset", "smallest", &e), 0);
    cr_assert_eq(k.reset, LEAT_RESET_EARLIEST);
    cr_assert_eq(leat_consumer_options_set(&k, "isolation.level", "read_uncommitted", &e), 0);
    cr_assert(k.read_uncommitted);
    cr_assert_eq(leat_options_set(&o, "client.id", "me", &e), 0);
    cr_assert_str_eq(o.client_id, "me");
}

Test(options, errors_say_what_is_expected)
{
    leat_producer_options p = LEAT_PRODUCER_OPTIONS_INIT, before = p;
    leat_options o = LEAT_OPTIONS_INIT;
    leat_error e;
    char longer[200];
    cr_assert_eq(leat_producer_options_set(&p, "linger.msec", "7", &e), LEAT_ERR_NOT_FOUND);
    cr_assert_eq(leat_producer_options_set(&p, "linger.ms", "x", &e), LEAT_ERR_CONFIG);
    cr_assert(strstr(e.message, "linger.ms"), "%s", e.message);
    cr_assert_eq(leat_producer_options_set(&p, "linger.ms", "-1", &e), LEAT_ERR_CONFIG);
    cr_assert_eq(leat_producer_options_set(&p, "linger.ms", "1e30", &e), LEAT_ERR_CONFIG);
    cr_assert_eq(leat_producer_options_set(&p, "linger.ms", "nan", &e), LEAT_ERR_CONFIG);
    cr_assert_eq(leat_producer_options_set(&p, "compression.type", "rar", &e), LEAT_ERR_CONFIG);
    cr_assert(strstr(e.message, "zstd"), "%s", e.message);
    cr_assert_eq(memcmp(&p, &before, sizeof p), 0, "a failed set changes nothing");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    cr_assert_eq(leat_options_set(&o, "client.id", longer, &e), LEAT_ERR_CONFIG);
    cr_assert_eq(leat_options_set(&o, NULL, "x", &e), LEAT_ERR_ARGUMENT);
}

Test(options, contradictions_are_refused_when_a_handle_opens)
{
    leat_producer_options p = LEAT_PRODUCER_OPTIONS_INIT, taken;
    leat_error e;
    cr_assert_eq(producer_options_take(&taken, NULL, &e), 0);
    cr_assert_eq(taken.idempotence, LEAT_IDEMPOTENCE_ON);
    p.acks = LEAT_ACKS_LEADER;
    cr_assert_eq(producer_options_take(&taken, &p, &e), 0);
    cr_assert_eq(taken.idempotence, LEAT_IDEMPOTENCE_OFF);
    p.idempotence = LEAT_IDEMPOTENCE_ON;
    cr_assert_eq(producer_options_take(&taken, &p, &e), LEAT_ERR_CONFIG);
    p.acks = LEAT_ACKS_ALL;
    p.max_in_flight = 6;
    cr_assert_eq(producer_options_take(&taken, &p, &e), LEAT_ERR_CONFIG);
    p.max_in_flight = 5;
    p.acks = 2;
    cr_assert_eq(producer_options_take(&taken, &p, &e), LEAT_ERR_CONFIG);
    leat_producer_options zero = {0};
    cr_assert_eq(producer_options_take(&taken, &zero, &e), LEAT_ERR_CONFIG);
    cr_assert(strstr(e.message, "_INIT"), "%s", e.message);
}

Test(options, a_shorter_struct_of_an_older_program_is_completed)
{
    leat_consumer_options k = LEAT_CONSUMER_OPTIONS_INIT, taken;
    leat_error e;
    k.reset = LEAT_RESET_EARLIEST;
    k.poll_max_records = 7;
    k.size = offsetof(leat_consumer_options, fetch_max_wait_ms);
    cr_assert_eq(consumer_options_take(&taken, &k, &e), 0);
    cr_assert_eq(taken.reset, LEAT_RESET_EARLIEST);
    cr_assert_eq(taken.poll_max_records, 1000, "beyond the given size stand the defaults");
    cr_assert_eq(taken.size, sizeof taken);
}

Test(options, a_member_of_a_group_has_options)
{
    leat_consumer_options k = LEAT_CONSUMER_OPTIONS_INIT, taken;
    leat_error e;
    char longer[300];
    cr_assert(k.auto_commit);
    cr_assert_eq(leat_consumer_options_set(&k, "group.id", "shipping", &e), 0);
    cr_assert_str_eq(k.group_id, "shipping");
    cr_assert_eq(leat_consumer_options_set(&k, "group.instance.id", "one", &e), 0);
    cr_assert_str_eq(k.group_instance_id, "one");
    cr_assert_eq(leat_consumer_options_set(&k, "partition.assignment.strategy", "range", &e), 0);
    cr_assert_str_eq(k.strategies, "range");
    cr_assert_eq(leat_consumer_options_set(&k, "session.timeout.ms", "6s", &e), 0);
    cr_assert_eq(k.session_timeout_ms, 6000);
    cr_assert_eq(leat_consumer_options_set(&k, "heartbeat.interval.ms", "100", &e), 0);
    cr_assert_eq(k.heartbeat_interval_ms, 100);
    cr_assert_eq(leat_consumer_options_set(&k, "max.poll.interval.ms", "1m", &e), 0);
    cr_assert_eq(k.max_poll_interval_ms, 60000);
    cr_assert_eq(leat_consumer_options_set(&k, "enable.auto.commit", "false", &e), 0);
    cr_assert(!k.auto_commit);
    cr_assert_eq(leat_consumer_options_set(&k, "auto.commit.interval.ms", "50", &e), 0);
    cr_assert_eq(k.auto_commit_interval_ms, 50);
    cr_assert_eq(leat_consumer_options_set(&k, "revocation.returns", "true", &e), 0);
    cr_assert(k.revocation_returns);
    cr_assert_eq(consumer_options_take(&taken, &k, &e), 0, "%s", e.message);
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    cr_assert_eq(leat_consumer_options_set(&k, "group.id", longer, &e), LEAT_ERR_CONFIG);
    k.heartbeat_interval_ms = 6000;
    cr_assert_eq(consumer_options_take(&taken, &k, &e), LEAT_ERR_CONFIG);
    cr_assert(strstr(e.message, "session.timeout.ms"), "%s", e.message);
}

Test(options, addresses)
{
    static struct address a[ADDRESSES_MAX];
    unsigned count;
    leat_options o = LEAT_OPTIONS_INIT;
    leat_error e;
    cr_assert_eq(addresses_parse("one,two:1234,[::1]:5", a, &count, &o, &e), 0, "%s", e.message);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(a[0].host, "one");
    cr_assert_eq(a[0].port, 9092);
    cr_assert_eq(a[1].port, 1234);
    cr_assert_str_eq(a[2].host, "::1");
    cr_assert_eq(a[2].port, 5);
    cr_assert_eq(
        addresses_parse("leat://h:1,g/?client.id=a%20b&retry.backoff.ms=9", a, &count, &o, &e), 0,
        "%s", e.message);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(o.client_id, "a b");
    cr_assert_eq(o.retry_backoff_ms, 9);
    static const char *const wrong[] = {"",
                                        ",",
                                        "h:0",
                                        "h:65536",
                                        "h:x",
                                        ":1",
                                        "http://h",
                                        "[::1",
                                        "leat://?a=b",
                                        "h:1:2",
                                        "leat://h?x",
                                        "leat://h?client.id=%zz",
                                        "leat://h?no=1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(addresses_parse(wrong[i], a, &count, &o, &e), LEAT_ERR_CONFIG, "'%s'",
                     wrong[i]);
        cr_assert(e.message[0]);
    }
}
