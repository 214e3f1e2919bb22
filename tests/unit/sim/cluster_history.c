/* SPDX-License-Identifier: Apache-2.0 */

/* The judge of whole clusters: a history in which all is well, and for each rule one that only it refuses. */
#include "sim/cluster_history.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

enum { RECORDS = 5, KEYED = 80 };

static struct history *h;
static char why[HISTORY_WHY_MAX];
static jmp_buf out;
static unsigned log_number, writer;
static struct history_reading reading;
static bool keyed; /* of the log that is opened next */

static void violated(void *context, const char *line)
{
    snprintf(why, sizeof why, "%s", line);
    longjmp(out, 1);
}

static void open_history(int16_t acks, bool idempotent, bool again)
{
    h = history_new(violated, NULL);
    log_number = history_log(h, "t", 1, again, keyed);
    cr_assert_eq(history_log(h, "t", 1, again, keyed), log_number);
    writer =
        history_writer(h, &(struct history_writer_options){log_number, acks, idempotent, true});
    why[0] = 0;
}

static uint32_t send_one(uint64_t now)
{
    uint32_t number;
    size_t size;
    history_send(h, writer, now, &number, &size);
    return number;
}

/* The value again, as a reader gets it. */
static const char *value(unsigned of, uint32_t number, size_t *size)
{
    static char bytes[HISTORY_VALUE_MAX];
    struct history *twin = history_new(violated, NULL);
    uint32_t n = 0;
    history_log(twin, "t", 1, false, history_key(h, writer, 0) >= 0);
    for (unsigned i = 0; i <= of; i++) {
        history_writer(twin, &(struct history_writer_options){0, -1, true, true});
    }
    do {
        const void *v = history_send(twin, of, 0, &n, size);
        memcpy(bytes, v, *size);
    } while (n < number);
    history_free(twin);
    return bytes;
}

static void read_one(int64_t offset, uint32_t number)
{
    size_t size;
    const char *bytes = value(writer, number, &size);
    history_read(h, &reading, offset, bytes, size, history_tombstone(h, writer, number), 1000);
}

static void read_from_start(void)
{
    history_start(h, &reading, log_number, true);
    history_starts(h, &reading, 0);
}

static void ack(uint32_t number, int64_t offset, uint64_t now)
{
    history_settled(h, writer, number, HISTORY_ACKED, offset, now);
}

/* RECORDS were sent, acknowledged in their places, and read. */
static void all_is_well(void)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        cr_assert_eq(send_one(i), i);
        ack(i, i, i + 1);
    }
    read_from_start();
    for (uint32_t i = 0; i < RECORDS; i++) {
        read_one(i, i);
    }
}

static void judge(int64_t end)
{
    struct history_reading ends;
    history_start(h, &ends, log_number, false); /* what has been reached */
    history_judge(h, log_number, end, ends.least, 0, 0);
}

/* `then` is refused, and by this rule. */
static void expect(const char *rule, void (*then)(void))
{
    if (setjmp(out) == 0) {
        then();
        cr_assert_fail("%s is not noticed", rule);
    }
    cr_assert_eq(strncmp(why, rule, strlen(rule)), 0, "%s was expected: %s", rule, why);
    history_free(h);
}

static void expect_good(void (*then)(void))
{
    if (setjmp(out) == 0) {
        then();
    }
    cr_assert_str_empty(why);
    history_free(h);
}

static void well(void)
{
    open_history(-1, true, false);
    all_is_well();
    judge(RECORDS);
    struct history_counts c = history_counts(h);
    cr_assert_eq(c.sent, RECORDS);
    cr_assert_eq(c.acked, RECORDS);
    cr_assert_eq(c.read, RECORDS);
}

static void unknown_ones_may_be_anywhere(void)
{
    open_history(-1, true, false);
    all_is_well();
    history_settled(h, writer, send_one(9), HISTORY_UNKNOWN, -1, 10);
    history_settled(h, writer, send_one(9), HISTORY_UNKNOWN, -1, 10);
    read_one(RECORDS, RECORDS + 1);
    judge(RECORDS + 1);
}

static void duplicates_of_plain_producers(void)
{
    open_history(-1, false, false);
    ack(send_one(0), 1, 1);
    read_from_start();
    read_one(0, 0);
    read_one(1, 0);
    judge(2);
    cr_assert_eq(history_counts(h).doubled, 1);
}

static void leaders_alone_may_lose(void)
{
    open_history(-1, true, false);
    writer = history_writer(h, &(struct history_writer_options){log_number, 1, false, false});
    ack(send_one(0), 0, 1);
    judge(0);
}

static void an_old_leader_answers_others(void)
{
    open_history(-1, true, false);
    all_is_well();
    struct history_reading other = {0};
    history_start(h, &other, log_number, false);
    history_starts(h, &other, RECORDS - 1);
}

Test(cluster_history, what_is_allowed)
{
    expect_good(well);
    expect_good(unknown_ones_may_be_anywhere);
    expect_good(duplicates_of_plain_producers);
    expect_good(leaders_alone_may_lose);
}

static void two_values_at_one_offset(void)
{
    open_history(-1, true, false);
    all_is_well();
    send_one(9);
    read_from_start();
    read_one(0, RECORDS);
}

static void acknowledged_twice_at_one_offset(void)
{
    open_history(-1, false, false);
    all_is_well();
    unsigned other =
        history_writer(h, &(struct history_writer_options){log_number, -1, true, true});
    uint32_t number;
    size_t size;
    history_send(h, other, 9, &number, &size);
    history_settled(h, other, number, HISTORY_ACKED, 0, 10);
}

static void one_value_at_two_offsets(void)
{
    open_history(-1, true, false);
    send_one(0);
    read_from_start();
    read_one(0, 0);
    read_one(1, 0);
}

static void acknowledged_elsewhere(void)
{
    open_history(-1, true, false);
    send_one(0);
    ack(0, 5, 1);
    read_from_start();
    read_one(0, 0);
}

static void acknowledged_and_lost(void)
{
    open_history(-1, true, false);
    all_is_well();
    ack(send_one(9), RECORDS, 10);
    judge(RECORDS);
}

static void read_and_lost(void)
{
    open_history(0, false, false);
    all_is_well();
    judge(RECORDS - 1);
}

static void one_is_left_out(void)
{
    open_history(-1, true, false);
    all_is_well();
    read_from_start();
    read_one(0, 0);
    read_one(2, 2);
}

static void one_comes_again(void)
{
    open_history(-1, true, false);
    all_is_well();
    read_one(RECORDS - 1, RECORDS - 1);
}

static void out_of_order(void)
{
    open_history(-1, true, false);
    send_one(0);
    send_one(0);
    ack(1, 0, 1);
    ack(0, 1, 2);
}

static void no_offset(void)
{
    open_history(-1, true, false);
    ack(send_one(0), -1, 1);
}

static void the_end_moves_back(void)
{
    open_history(-1, true, false);
    all_is_well();
    history_start(h, &reading, log_number, false);
    history_starts(h, &reading, RECORDS - 1);
}

static void told_ends_move_back(void)
{
    open_history(-1, true, false);
    history_start(h, &reading, log_number, false);
    history_starts(h, &reading, 7);
    history_start(h, &reading, log_number, false);
    history_starts(h, &reading, 6);
}

static void refused_and_read(void)
{
    open_history(-1, true, false);
    history_settled(h, writer, send_one(0), HISTORY_REFUSED, -1, 1);
    read_from_start();
    read_one(0, 0);
}

static void another_value(void)
{
    open_history(-1, true, false);
    all_is_well();
    read_from_start();
    size_t size;
    char bytes[HISTORY_VALUE_MAX];
    memcpy(bytes, value(writer, 0, &size), HISTORY_VALUE_MAX);
    bytes[size - 1] ^= 1;
    history_read(h, &reading, 0, bytes, size, false, 1000);
}

static void a_value_of_nobody(void)
{
    open_history(-1, true, false);
    read_from_start();
    history_read(h, &reading, 0, "t/1/w0/0/", 9, false, 1000);
}

static void a_value_of_another_partition(void)
{
    open_history(-1, true, false);
    all_is_well();
    history_start(h, &reading, history_log(h, "t", 2, false, false), true);
    history_starts(h, &reading, 0);
    read_one(0, 0);
}

static void the_start_is_gone(void)
{
    open_history(-1, true, false);
    history_start(h, &reading, log_number, true);
    history_starts(h, &reading, 1);
}

static bool gone[KEYED + 1];

/* KEYED of a compacted log, of which the last reading does not find those that are `gone`. */
static void compacted(void)
{
    keyed = true;
    open_history(-1, true, false);
    keyed = false;
    for (uint32_t i = 0; i < KEYED; i++) {
        ack(send_one(i), i, i + 1);
    }
    read_from_start();
    reading.last = true;
    for (uint32_t i = 0; i < KEYED; i++) {
        if (!gone[i]) {
            read_one(i, i);
        }
    }
    judge(KEYED);
}

static bool is_newest(uint32_t number)
{
    for (uint32_t k = number + 1; k < KEYED; k++) {
        if (history_key(h, writer, k) == history_key(h, writer, number)) {
            return false;
        }
    }
    return true;
}

/* The first record that is the newest of its key, or is not, and a tombstone or not; another one stands before it if
 * `follows`. Leaves a history in which nothing is gone. */
static uint32_t find(bool newest, bool tombstone, bool follows)
{
    memset(gone, 0, sizeof gone);
    compacted();
    for (uint32_t i = 0; i + 1 < KEYED; i++) {
        bool found = is_newest(i) == newest && history_tombstone(h, writer, i) == tombstone;
        bool older = !follows;
        for (uint32_t k = 0; k < i; k++) {
            older = older || history_key(h, writer, k) == history_key(h, writer, i);
        }
        if (found && older) {
            return i;
        }
    }
    cr_assert_fail("there is none");
    return 0;
}

static void compacted_without(uint32_t number)
{
    history_free(h);
    gone[number] = true;
    compacted();
}

static void the_newest_of_its_key_is_gone(void)
{
    compacted_without(find(true, false, false));
}

static void a_deleted_key_is_back(void)
{
    compacted_without(find(true, true, true));
}

Test(cluster_history, what_a_newer_record_of_its_key_made_superfluous_may_be_gone)
{
    compacted_without(find(false, false, false));
    cr_assert_eq(history_counts(h).compacted, 1);
    history_free(h);
}

Test(cluster_history, a_tombstone_may_go_behind_all_that_it_deletes)
{
    uint32_t last = find(true, true, true), all = 0;
    for (uint32_t i = 0; i < last; i++) {
        gone[i] = history_key(h, writer, i) == history_key(h, writer, last);
        all += gone[i];
    }
    compacted_without(last);
    cr_assert_eq(history_counts(h).compacted, all + 1);
    history_free(h);
}

static void deleted_and_back(void)
{
    open_history(-1, true, true);
    send_one(0);
    ack(0, 0, 5);
    read_from_start();
    read_one(0, 0);
    history_judge(h, log_number, 1, 0, 6, 100);
}

static void made_again_and_lost(void)
{
    open_history(-1, true, true);
    send_one(200);
    ack(0, 0, 205);
    read_from_start();
    history_judge(h, log_number, 0, 0, 6, 100);
}

Test(cluster_history, each_rule_refuses)
{
    expect("C1 ", two_values_at_one_offset);
    expect("C1 ", acknowledged_twice_at_one_offset);
    expect("C2 ", one_value_at_two_offsets);
    expect("C30 dedupe, C18 ", acknowledged_elsewhere);
    expect("C3 ", acknowledged_and_lost);
    expect("C3 ", read_and_lost);
    expect("C7 ", one_is_left_out);
    expect("C8 ", one_comes_again);
    expect("C11 ", out_of_order);
    expect("C18 ", no_offset);
    expect("C22 ", the_end_moves_back);
    expect("C22 ", told_ends_move_back);
    expect("C22 ", an_old_leader_answers_others);
    expect("C25 ", refused_and_read);
    expect("C28 ", another_value);
    expect("C28 ", a_value_of_nobody);
    expect("C28 ", a_value_of_another_partition);
    expect("C31 ", the_start_is_gone);
    expect("C31 ", the_newest_of_its_key_is_gone);
    expect("C26 ", a_deleted_key_is_back);
    expect("C26 ", deleted_and_back);
    expect("C3 ", made_again_and_lost);
}
