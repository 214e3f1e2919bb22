/* SPDX-License-Identifier: Apache-2.0 */

/* The accumulator alone, on one thread: what is told, what is dropped, who asks again. */
#include "producer/accumulator.h"

#include <criterion/criterion.h>

struct shelf {
    struct gate gate;
    struct memory heap;
    leat_producer_options options;
    struct accumulator a;
};

static uint64_t shelf_clock(void)
{
    return 1000;
}

static void shelf_open(struct shelf *s)
{
    s->gate = gate_none();
    s->options = (leat_producer_options)LEAT_PRODUCER_OPTIONS_INIT;
    s->options.batch_bytes = 4096;
    s->options.buffer_bytes = 1 << 20;
    memory_init(&s->heap, 64 << 20);
    accumulator_init(&s->a, &s->gate, &s->heap, &s->options, shelf_clock, 7);
}

static void shelf_close(struct shelf *s)
{
    accumulator_deinit(&s->a);
    memory_drop(&s->heap);
}

static int shelf_append(struct shelf *s, void *tag, leat_error *e)
{
    struct producer_batch *batch;
    leat_record r = LEAT_RECORD_INIT;
    r.topic = "shelf";
    r.partition = 0;
    r.value = (leat_bytes){"value", 5};
    return accumulator_append(&s->a, &r, 1, tag, &batch, e);
}

/* The sender's part: takes up the topic that is asked for. */
static struct producer_topic *shelf_topic(struct shelf *s)
{
    leat_error e;
    cr_assert_eq(shelf_append(s, NULL, &e), ERR_BUSY);
    struct list *node = list_pop(&s->a.asking);
    cr_assert_not_null(node);
    return container_of(node, struct producer_topic, link);
}

/* A batch of `count` records that is settled with `message`. */
static void shelf_fail(struct shelf *s, struct producer_topic *t, int count, const char *message)
{
    uint64_t due;
    for (int i = 0; i < count; i++) {
        leat_error e;
        cr_assert_eq(shelf_append(s, s, &e), 0, "%s", e.message);
    }
    s->a.closing = true; /* nothing lingers */
    struct producer_batch *b = accumulator_take(&s->a, t->queues[0], 1000, &due);
    s->a.closing = false;
    cr_assert_not_null(b);
    error_set(&b->error, ERR_TIMEOUT, "%s", message);
    accumulator_settle(&s->a, b);
}

/* What a report points to is lent until the next call, also when there are more reports than are
 * kept, and the batch that it came from has not been told whole. */
Test(accumulator, what_was_told_outlives_what_is_dropped)
{
    struct shelf s;
    leat_report told[2];
    shelf_open(&s);
    s.options.reports_max = 3;
    struct producer_topic *t = shelf_topic(&s);
    cr_assert_eq(accumulator_topic_known(&s.a, t, 1), 0);
    shelf_fail(&s, t, 3, "the first batch");
    cr_assert_eq(accumulator_reports(&s.a, told, 1), 1);
    cr_assert_str_eq(told[0].message, "the first batch");
    shelf_fail(&s, t, 3, "the second batch");
    cr_assert_eq(s.a.reports_dropped, 2, "the rest of the first batch");
    shelf_fail(&s, t, 3, "the third batch");
    cr_assert_str_eq(told[0].message, "the first batch", "it is lent until the next call");
    cr_assert_eq(accumulator_reports(&s.a, told, 2), 2);
    cr_assert_str_eq(told[0].message, "the third batch");
    cr_assert_eq(accumulator_reports(&s.a, told, 2), 1);
    cr_assert_eq(accumulator_reports(&s.a, told, 2), 0);
    cr_assert_eq(s.a.reports_dropped, 5);
    shelf_close(&s);
}

/* A broker may say of a base offset what it likes. */
Test(accumulator, an_offset_beyond_all_offsets_is_none)
{
    struct shelf s;
    leat_report told[3];
    uint64_t due;
    leat_error e;
    shelf_open(&s);
    struct producer_topic *t = shelf_topic(&s);
    cr_assert_eq(accumulator_topic_known(&s.a, t, 1), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(shelf_append(&s, &s, &e), 0);
    }
    struct producer_waiter waiter = {.index = 2};
    t->queues[0]->open->waiters = &waiter;
    s.a.closing = true;
    struct producer_batch *b = accumulator_take(&s.a, t->queues[0], 1000, &due);
    b->base_offset = INT64_MAX - 1;
    accumulator_settle(&s.a, b);
    cr_assert(waiter.settled);
    cr_assert_eq(waiter.offset, -1);
    cr_assert_eq(accumulator_reports(&s.a, told, 3), 3);
    cr_assert_eq(told[1].offset, INT64_MAX);
    cr_assert_eq(told[2].offset, -1);
    cr_assert_eq(accumulator_reports(&s.a, told, 3), 0);
    shelf_close(&s);
}

/* The answer to an earlier question comes while the topic waits to be asked for again. */
Test(accumulator, a_topic_refused_while_it_is_asked_for_is_asked_for_again)
{
    struct shelf s;
    leat_error e, refusal;
    shelf_open(&s);
    struct producer_topic *t = shelf_topic(&s);
    error_set(&refusal, ERR_INVALID_TOPIC, "no");
    accumulator_topic_refused(&s.a, t, &refusal);
    cr_assert_eq(shelf_append(&s, NULL, &e), ERR_INVALID_TOPIC, "told, and asked for again");
    accumulator_topic_refused(&s.a, t, &refusal);
    cr_assert_eq(shelf_append(&s, NULL, &e), ERR_INVALID_TOPIC, "the same once more");
    cr_assert_eq(list_pop(&s.a.asking), &t->link, "the sender finds it once");
    cr_assert(list_empty(&s.a.asking));
    shelf_close(&s);
}
