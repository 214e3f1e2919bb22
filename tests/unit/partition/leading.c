/* SPDX-License-Identifier: Apache-2.0 */

/* A leader among followers that the test speaks for: what counts, who is waited for, who joins and who goes.
 * Whole partitions among faults are tests/sim/replica_world.h's. */
#include "partition/leading.h"

#include <stdlib.h>

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

enum { SELF = 1, LAG_S = 10 };

struct epoch_start {
    int32_t epoch;
    int64_t start;
};

struct partition {
    struct leading *leading;
    uint64_t now;
    struct leading_log log;
    struct epoch_start epochs[4];
    uint32_t epoch_count;
    struct leading_replica replicas[5];
    int32_t isr[5];
    struct leading_image image;
    unsigned effects; /* of the last event */
    struct leading_answer answer;
};

static int64_t epoch_end(const void *context, int32_t epoch, int32_t *found)
{
    const struct partition *p = context;
    for (uint32_t i = p->epoch_count; i > 0; i--) {
        if (p->epochs[i - 1].epoch <= epoch) {
            *found = p->epochs[i - 1].epoch;
            return i == p->epoch_count ? p->log.end : p->epochs[i].start;
        }
    }
    *found = -1;
    return -1;
}

/* Epoch 5 of node 1 over 100 records of epochs 2 (from 0), 4 (from 60); nodes 2 and 3 follow. The first
 * `isr_count` are in sync. */
static void partition_open(struct partition *p, uint32_t replica_count, uint32_t isr_count,
                           uint32_t min_isr)
{
    *p = (struct partition){
        .now = 1000 * SECOND, .log = {0, 100, 100}, .epochs = {{2, 0}, {4, 60}}, .epoch_count = 2};
    for (int32_t i = 0; i < 5; i++) {
        p->replicas[i] = (struct leading_replica){i + 1, 10 + i, true};
        p->isr[i] = i + 1;
    }
    p->image = (struct leading_image){.leader = SELF,
                                      .epoch = 5,
                                      .partition_epoch = 20,
                                      .replicas = p->replicas,
                                      .replica_count = replica_count,
                                      .isr = p->isr,
                                      .isr_count = isr_count,
                                      .min_isr = min_isr};
    struct leading_options options = {.node = SELF,
                                      .broker_epoch = 10,
                                      .lag_ns = LAG_S * SECOND,
                                      .epoch_end = epoch_end,
                                      .log = p};
    p->leading = malloc(leading_size(5));
    cr_assert_not_null(p->leading);
    p->effects = leading_init(p->leading, 5, &options, &p->image, &p->log, 90, p->now);
}

static void partition_close(struct partition *p)
{
    free(p->leading);
}

static struct leading_fetch fetch_of(int32_t node, int64_t offset, int64_t counted)
{
    return (struct leading_fetch){.node = node,
                                  .broker_epoch = 9 + node,
                                  .epoch = 5,
                                  .offset = offset,
                                  .last_epoch = offset > 100  ? 5
                                                : offset > 60 ? 4
                                                              : 2,
                                  .counted = counted,
                                  .high_watermark = INT64_MAX,
                                  .records = true};
}

static struct leading_fetch fetch(struct partition *p, struct leading_fetch f)
{
    p->effects = leading_fetch(p->leading, p->now, &f, &p->answer);
    return f;
}

static void append(struct partition *p, int64_t end, int64_t counted)
{
    if (end > 100 && p->epoch_count == 2) {
        p->epochs[p->epoch_count++] = (struct epoch_start){5, 100};
    }
    p->log.end = end;
    p->log.counted = counted;
    p->effects = leading_moved(p->leading, p->now, &p->log);
}

static void apply(struct partition *p)
{
    p->effects = leading_apply(p->leading, p->now, &p->image);
}

/* Time goes by, with the ticks that the core asks for. */
static void pass(struct partition *p, uint64_t for_ns)
{
    unsigned effects = 0;
    for (uint64_t end = p->now + for_ns; p->now < end;) {
        uint64_t due = leading_deadline(p->leading);
        p->now = due < end ? (due > p->now ? due : p->now + MS) : end;
        effects |= leading_tick(p->leading, p->now);
    }
    p->effects = effects;
}

static int64_t watermark(const struct partition *p)
{
    return leading_status(p->leading).high_watermark;
}

static struct leading_proposal proposal(const struct partition *p)
{
    struct leading_proposal out;
    leading_proposal(p->leading, &out);
    return out;
}

static void answered(struct partition *p, uint64_t ticket, int error)
{
    p->effects = leading_altered(p->leading, p->now, ticket, error);
}

/* The proposal is in force: so the answer says, and then an image. */
static void accepted(struct partition *p, int32_t partition_epoch, uint32_t isr_count)
{
    answered(p, proposal(p).ticket, 0);
    p->image.partition_epoch = partition_epoch;
    p->image.isr_count = isr_count;
    apply(p);
}

Test(leading, a_single_replica_needs_nobody)
{
    struct partition p;
    partition_open(&p, 1, 1, 2);
    cr_assert_eq(p.effects, LEADING_WATERMARK | LEADING_WAKE | LEADING_READY);
    cr_assert_eq(watermark(&p), 100);
    cr_assert_eq(leading_deadline(p.leading), UINT64_MAX);
    append(&p, 110, 105);
    cr_assert_eq(watermark(&p), 105);
    cr_assert_eq(leading_admit(p.leading, -1), 0, "min.insync.replicas asks for no more than all");
    cr_assert_eq(leading_acked(p.leading, -1, 105), 1);
    cr_assert_eq(leading_acked(p.leading, -1, 106), 0);
    partition_close(&p);
}

/* P7: the smallest counted end of all in sync, if enough are. -1: the follower has not fetched. */
Test(leading, the_watermark_is_the_smallest_counted_end)
{
    static const struct {
        uint32_t isr_count, min_isr;
        int64_t own, second, third, expected;
    } cases[] = {
        {3, 1, 120, 120, 120, 120}, {3, 1, 110, 120, 120, 110}, {3, 1, 120, 115, 118, 115},
        {3, 2, 120, 120, -1, 90},   {2, 2, 120, 117, 120, 117}, {2, 2, 120, 117, -1, 117},
        {2, 3, 120, 120, -1, 90},   {1, 1, 119, -1, -1, 119},   {1, 2, 120, -1, -1, 90},
        {3, 5, 120, 120, 119, 119},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct partition p;
        partition_open(&p, 3, cases[i].isr_count, cases[i].min_isr);
        append(&p, 120, cases[i].own);
        for (int32_t node = 2; node <= 3; node++) {
            int64_t counted = node == 2 ? cases[i].second : cases[i].third;
            if (counted >= 0 && node <= (int32_t)cases[i].isr_count) {
                fetch(&p, fetch_of(node, 120, counted));
            }
        }
        cr_assert_eq(watermark(&p), cases[i].expected, "case %u: %ld", i, (long)watermark(&p));
        partition_close(&p);
    }
}

/* Also of those that are not in sync: nothing that one of them lacks may be forgotten. */
Test(leading, what_all_replicas_hold)
{
    struct partition p;
    partition_open(&p, 3, 2, 1);
    cr_assert_eq(leading_held(p.leading), 0, "nobody has told anything");
    fetch(&p, fetch_of(2, 100, 100));
    cr_assert_eq(leading_held(p.leading), 0, "of node 3 nothing is known");
    fetch(&p, fetch_of(3, 70, 65));
    cr_assert_eq(leading_held(p.leading), 65);
    cr_assert_eq(p.answer.held, 65, "the follower is told");
    append(&p, 110, 105);
    fetch(&p, fetch_of(2, 110, 108));
    fetch(&p, fetch_of(3, 110, 110));
    cr_assert_eq(leading_held(p.leading), 105, "its own end counts as well");
    p.replicas[2].broker_epoch++; /* it comes back, perhaps with less */
    p.image.partition_epoch++;
    apply(&p);
    cr_assert_eq(leading_held(p.leading), 0);
    struct leading_fetch again = fetch_of(3, 80, 80);
    again.broker_epoch++;
    fetch(&p, again);
    cr_assert_eq(leading_held(p.leading), 80);
    p.image.replica_count = 4; /* one that has nothing is added */
    p.image.partition_epoch++;
    apply(&p);
    cr_assert_eq(leading_held(p.leading), 0);
    partition_close(&p);
    partition_open(&p, 1, 1, 1);
    cr_assert_eq(leading_held(p.leading), INT64_MAX);
    partition_close(&p);
}

Test(leading, what_was_asked_for_limits_what_counts)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    fetch(&p, fetch_of(2, 95, 99));
    cr_assert_eq(leading_counted(p.leading, 2), 95, "no more than was compared");
    fetch(&p, fetch_of(2, 100, -1));
    cr_assert_eq(leading_counted(p.leading, 2), 95, "nothing is told");
    fetch(&p, fetch_of(2, 100, 93));
    cr_assert_eq(leading_counted(p.leading, 2), 95, "a fetch that comes late");
    fetch(&p, fetch_of(2, 100, 98));
    cr_assert_eq(watermark(&p), 98);
    partition_close(&p);
}

/* P6, P24, P31. */
Test(leading, refuses_who_is_of_another_epoch_or_life)
{
    static const struct {
        int32_t node, epoch;
        int64_t broker_epoch, offset, counted;
        int error;
    } cases[] = {
        {2, 5, 11, 100, 100, 0},
        {2, 4, 11, 100, 100, ERR_FENCED_LEADER_EPOCH},
        {2, 6, 11, 100, 100, ERR_UNKNOWN_LEADER_EPOCH},
        {2, -1, 11, 100, 100, ERR_INVALID_REQUEST},
        {2, 5, 10, 100, 100, ERR_STALE_BROKER_EPOCH},
        {4, 5, 13, 100, 100, ERR_NOT_LEADER_OR_FOLLOWER},
        {1, 5, 10, 100, 100, ERR_NOT_LEADER_OR_FOLLOWER},
        {2, 5, 11, -1, 100, ERR_INVALID_REQUEST},
        {2, 5, 11, 100, -2, ERR_INVALID_REQUEST},
        {2, 5, 12, 100, 100, 0}, /* newer than the image: served, not counted */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct partition p;
        partition_open(&p, 3, 3, 1);
        struct leading_fetch f = fetch_of(cases[i].node, cases[i].offset, cases[i].counted);
        f.epoch = cases[i].epoch;
        f.broker_epoch = cases[i].broker_epoch;
        fetch(&p, f);
        cr_assert_eq(p.answer.error, cases[i].error, "case %u: %s", i, error_name(p.answer.error));
        bool counts = cases[i].error == 0 && cases[i].broker_epoch == 11;
        cr_assert_eq(leading_counted(p.leading, 2), counts ? 100 : -1, "case %u", i);
        partition_close(&p);
    }
}

/* KIP-595, KIP-279. The log: epoch 2 from 0, 4 from 60, 5 from 100; it starts at `start`. */
Test(leading, tells_where_a_log_diverges)
{
    static const struct {
        int64_t start;
        int32_t last_epoch;
        int64_t offset;
        int error;
        bool diverges;
        int32_t epoch;
        int64_t end;
    } cases[] = {
        {0, -1, 0, 0, false, 0, 0},
        {0, 2, 60, 0, false, 0, 0},
        {0, 2, 61, 0, true, 2, 60},
        {0, 3, 55, 0, true, 2, 60},
        {0, 4, 100, 0, false, 0, 0},
        {0, 4, 101, 0, true, 4, 100},
        {0, 5, 120, 0, false, 0, 0},
        {0, 5, 121, 0, true, 5, 120},
        {0, 9, 110, 0, true, 5, 120},
        {0, 1, 10, 0, true, -1, 0},
        {0, -1, 121, ERR_OFFSET_OUT_OF_RANGE, false, 0, 0},
        {70, 4, 69, ERR_OFFSET_OUT_OF_RANGE, false, 0, 0},
        {70, 4, 70, 0, false, 0, 0},
        {70, 3, 70, ERR_OFFSET_OUT_OF_RANGE, false, 0, 0}, /* nothing to compare with */
        {70, 3, 75, 0, true, -1, 70},
        {70, -1, 70, 0, false, 0, 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct partition p;
        partition_open(&p, 2, 1, 1);
        append(&p, 120, 120);
        if (cases[i].start > 0) {
            p.epochs[0] = (struct epoch_start){4, 70};
            p.epochs[1] = p.epochs[2];
            p.epoch_count = 2;
            p.log.start = cases[i].start;
            append(&p, 120, 120);
        }
        struct leading_fetch f = fetch_of(2, cases[i].offset, cases[i].offset);
        f.last_epoch = cases[i].last_epoch;
        fetch(&p, f);
        cr_assert_eq(p.answer.error, cases[i].error, "case %u: %s", i, error_name(p.answer.error));
        cr_assert_eq(p.answer.diverges, cases[i].diverges, "case %u", i);
        if (cases[i].diverges) {
            cr_assert_eq(p.answer.diverging.epoch, cases[i].epoch, "case %u", i);
            cr_assert_eq(p.answer.diverging.offset, cases[i].end, "case %u", i);
        }
        bool continues = !cases[i].error && !cases[i].diverges;
        cr_assert_eq(leading_counted(p.leading, 2), continues ? cases[i].offset : -1,
                     "case %u: only a log that continues counts", i);
        partition_close(&p);
    }
}

Test(leading, a_fetch_waits_for_records_or_for_the_watermark)
{
    struct partition p;
    partition_open(&p, 3, 3, 1);
    struct leading_fetch old = fetch_of(2, 100, 100);
    old.high_watermark = 90;
    old = fetch(&p, old);
    cr_assert(p.answer.waits);
    struct leading_fetch tells = fetch_of(2, 100, 100);
    tells.records = false;
    fetch(&p, tells);
    cr_assert(!p.answer.waits, "who only tells is answered at once");
    leading_review(p.leading, &old, &p.answer);
    cr_assert(p.answer.waits, "and the other waits on");
    fetch(&p, fetch_of(3, 100, 100));
    cr_assert(p.effects & LEADING_WAKE);
    cr_assert_eq(watermark(&p), 100);
    leading_review(p.leading, &old, &p.answer);
    cr_assert(!p.answer.waits && p.answer.high_watermark == 100, "it named 90");
    old.high_watermark = 100;
    old = fetch(&p, old);
    cr_assert(p.answer.waits);
    struct leading_fetch newer = fetch(&p, old);
    cr_assert(p.answer.waits && (p.effects & LEADING_WAKE));
    leading_review(p.leading, &old, &p.answer);
    cr_assert(!p.answer.waits, "a newer one has come in its place");
    append(&p, 101, 100);
    cr_assert(p.effects & LEADING_WAKE, "a record that is not durable is sent");
    leading_review(p.leading, &newer, &p.answer);
    cr_assert(!p.answer.waits);
    partition_close(&p);
}

/* P30: what is deleted is deleted when no replica that lives has it. */
Test(leading, followers_hear_at_once_that_the_log_begins_later)
{
    struct partition p;
    partition_open(&p, 3, 3, 1);
    struct leading_fetch waiting = fetch(&p, fetch_of(2, 100, 100));
    fetch(&p, fetch_of(3, 100, 100));
    cr_assert_eq(leading_trimmed(p.leading), 0);
    p.log.start = 40;
    p.effects = leading_moved(p.leading, p.now, &p.log);
    cr_assert(p.effects & LEADING_WAKE);
    leading_review(p.leading, &waiting, &p.answer);
    cr_assert(!p.answer.waits && p.answer.log_start == 40);
    struct leading_fetch again = fetch_of(2, 100, 100);
    for (int i = 0; i < 2; i++) {
        fetch(&p, again);
        cr_assert(!p.answer.waits, "it believes what it has heard twice");
    }
    fetch(&p, again);
    cr_assert(p.answer.waits, "and its disk may take its time");
    cr_assert_eq(leading_trimmed(p.leading), 0);
    again.log_start = 40;
    fetch(&p, again);
    cr_assert(p.effects & LEADING_TRIMMED);
    cr_assert_eq(leading_trimmed(p.leading), 0, "another still has it");
    p.replicas[2].eligible = false;
    apply(&p);
    cr_assert(p.effects & LEADING_TRIMMED);
    cr_assert_eq(leading_trimmed(p.leading), 40, "and does not live");
    again.log_start = 0;
    again.records = false;
    fetch(&p, again);
    cr_assert_eq(leading_trimmed(p.leading), 40, "an older fetch came late");
    partition_close(&p);
}

Test(leading, what_waits_ends_with_the_leader)
{
    struct partition p;
    partition_open(&p, 3, 3, 2);
    struct leading_fetch f = fetch(&p, fetch_of(2, 100, 100));
    p.image.leader = 2;
    p.image.epoch = 6;
    apply(&p);
    cr_assert_eq(p.effects, LEADING_ENDED | LEADING_WAKE);
    leading_review(p.leading, &f, &p.answer);
    cr_assert_eq(p.answer.error, ERR_NOT_LEADER_OR_FOLLOWER);
    cr_assert_eq(leading_admit(p.leading, 1), ERR_NOT_LEADER_OR_FOLLOWER);
    cr_assert_eq(leading_acked(p.leading, -1, 100), ERR_NOT_LEADER_OR_FOLLOWER);
    partition_close(&p);
}

/* P8. */
Test(leading, acknowledges_by_the_watermark)
{
    struct partition p;
    partition_open(&p, 3, 2, 2);
    fetch(&p, fetch_of(2, 100, 100));
    append(&p, 105, 103);
    cr_assert_eq(leading_admit(p.leading, -1), 0);
    cr_assert_eq(leading_acked(p.leading, 0, 105), 1);
    cr_assert_eq(leading_acked(p.leading, 1, 103), 1);
    cr_assert_eq(leading_acked(p.leading, 1, 104), 0);
    cr_assert_eq(leading_acked(p.leading, -1, 100), 1);
    cr_assert_eq(leading_acked(p.leading, -1, 103), 0);
    p.image.isr_count = 1;
    p.image.partition_epoch++;
    apply(&p);
    cr_assert(p.effects & LEADING_SHORT);
    cr_assert_eq(leading_acked(p.leading, -1, 100), 1, "it was held by two");
    cr_assert_eq(leading_acked(p.leading, -1, 103), ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    cr_assert_eq(leading_admit(p.leading, -1), ERR_NOT_ENOUGH_REPLICAS);
    cr_assert_eq(leading_admit(p.leading, 1), 0);
    cr_assert_eq(watermark(&p), 100);
    p.image.min_isr = 1;
    p.image.partition_epoch++;
    apply(&p);
    cr_assert_eq(watermark(&p), 103, "the new value comes with the sets that fit it");
    partition_close(&p);
}

/* P29. */
Test(leading, tells_no_latest_offset_and_no_gap_before_its_epoch_is_committed)
{
    struct partition p;
    int64_t latest = -1;
    partition_open(&p, 2, 2, 1);
    cr_assert_eq(leading_latest(p.leading, &latest), ERR_OFFSET_NOT_AVAILABLE);
    cr_assert_eq(leading_gap(p.leading), ERR_NOT_ENOUGH_REPLICAS);
    fetch(&p, fetch_of(2, 99, 99));
    cr_assert_eq(leading_latest(p.leading, &latest), ERR_OFFSET_NOT_AVAILABLE);
    fetch(&p, fetch_of(2, 100, 100));
    cr_assert(p.effects & LEADING_READY);
    cr_assert_eq(leading_gap(p.leading), ERR_OUT_OF_ORDER_SEQUENCE);
    cr_assert_eq(leading_latest(p.leading, &latest), 0);
    cr_assert_eq(latest, 100);
    partition_close(&p);
}

/* P18, H7, H10. */
Test(leading, who_joins_has_all_that_may_be_committed)
{
    static const struct {
        int64_t counted;
        int64_t broker_epoch;
        bool eligible, joins;
    } cases[] = {
        {100, 12, true, true},  {99, 12, true, false}, {100, 12, false, false},
        {100, 13, true, false}, {-1, 12, true, false},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct partition p;
        partition_open(&p, 3, 2, 2);
        p.replicas[2].eligible = cases[i].eligible;
        apply(&p);
        struct leading_fetch f = fetch_of(3, 100, cases[i].counted);
        f.broker_epoch = cases[i].broker_epoch;
        fetch(&p, f);
        cr_assert_eq(!!(p.effects & LEADING_ALTER), cases[i].joins, "case %u", i);
        partition_close(&p);
    }
}

/* With too few in sync the watermark cannot reach where the epoch began: who has that much joins nevertheless. */
Test(leading, joining_does_not_wait_for_what_waits_for_it)
{
    struct partition p;
    partition_open(&p, 3, 1, 2);
    cr_assert_eq(watermark(&p), 90);
    fetch(&p, fetch_of(2, 100, 100));
    cr_assert(p.effects & LEADING_ALTER);
    cr_assert_eq(watermark(&p), 90, "a proposal is not enough for it to rise");
    accepted(&p, 21, 2);
    cr_assert_eq(watermark(&p), 100);
    partition_close(&p);
}

/* P19, H6. */
Test(leading, who_is_proposed_is_waited_for)
{
    struct partition p;
    partition_open(&p, 3, 2, 1);
    fetch(&p, fetch_of(2, 100, 100));
    cr_assert_eq(watermark(&p), 100);
    fetch(&p, fetch_of(3, 100, 100));
    struct leading_proposal first = proposal(&p);
    cr_assert_eq(first.isr_count, 3);
    cr_assert_eq(first.partition_epoch, 20);
    cr_assert_eq(first.broker_epochs[0], 10);
    cr_assert_eq(first.broker_epochs[2], 12);
    append(&p, 110, 110);
    fetch(&p, fetch_of(2, 110, 110));
    cr_assert_eq(watermark(&p), 100, "node 3 may be in sync by now");
    pass(&p, 3 * SECOND);
    cr_assert(p.effects & LEADING_ALTER);
    cr_assert_eq(proposal(&p).ticket, first.ticket, "silence: the same again");
    cr_assert_eq(proposal(&p).partition_epoch, 20);
    accepted(&p, 21, 3);
    cr_assert_eq(leading_status(p.leading).isr_count, 3);
    cr_assert(!leading_status(p.leading).altering);
    fetch(&p, fetch_of(3, 110, 110));
    cr_assert_eq(watermark(&p), 110);
    partition_close(&p);
}

/* H7: what is sent again names the life that has told what the proposal rests on, not the one since. */
Test(leading, a_proposal_sent_again_names_the_same_lives)
{
    struct partition p;
    partition_open(&p, 3, 2, 1);
    fetch(&p, fetch_of(3, 100, 100));
    cr_assert_eq(proposal(&p).broker_epochs[2], 12);
    p.replicas[2].broker_epoch = 30;
    apply(&p);
    pass(&p, 1 * SECOND);
    cr_assert(p.effects & LEADING_ALTER);
    cr_assert_eq(proposal(&p).isr_count, 3);
    cr_assert_eq(proposal(&p).broker_epochs[2], 12);
    answered(&p, proposal(&p).ticket, ERR_INELIGIBLE_REPLICA);
    pass(&p, 1 * SECOND);
    cr_assert_eq(proposal(&p).isr_count, 2, "its new life has told nothing yet");
    partition_close(&p);
}

Test(leading, a_rejection_ends_a_proposal_that_was_sent_once)
{
    for (int copies = 1; copies <= 2; copies++) {
        struct partition p;
        partition_open(&p, 3, 2, 1);
        fetch(&p, fetch_of(2, 100, 100));
        fetch(&p, fetch_of(3, 100, 100));
        if (copies == 2) {
            pass(&p, 1 * SECOND);
        }
        append(&p, 110, 110);
        fetch(&p, fetch_of(2, 110, 110));
        answered(&p, proposal(&p).ticket, ERR_INELIGIBLE_REPLICA);
        cr_assert_eq(leading_waits_for(p.leading, 3), copies == 2);
        cr_assert_eq(watermark(&p), copies == 1 ? 110 : 100);
        if (copies == 2) { /* what is in force moves the partition epoch, and so voids the copies */
            p.replicas[2].eligible = false;
            apply(&p);
            pass(&p, 1 * SECOND);
            cr_assert(p.effects & LEADING_ALTER);
            cr_assert_eq(proposal(&p).isr_count, 2);
            cr_assert_eq(proposal(&p).partition_epoch, 20);
            accepted(&p, 21, 2);
            cr_assert_eq(watermark(&p), 110);
        }
        partition_close(&p);
    }
}

Test(leading, an_image_settles_what_is_in_flight)
{
    struct partition p;
    partition_open(&p, 3, 2, 1);
    fetch(&p, fetch_of(3, 100, 100));
    struct leading_proposal first = proposal(&p);
    answered(&p, first.ticket, ERR_INVALID_UPDATE_VERSION);
    cr_assert(leading_waits_for(p.leading, 3), "an earlier copy may have been applied");
    cr_assert_eq(p.effects & LEADING_ALTER, 0);
    p.image.partition_epoch = 19;
    apply(&p);
    cr_assert_eq(leading_status(p.leading).partition_epoch, 20, "an older image changes nothing");
    cr_assert(leading_waits_for(p.leading, 3));
    p.image.partition_epoch = 21;
    p.image.isr_count = 3;
    apply(&p);
    cr_assert_eq(leading_status(p.leading).isr_count, 3);
    answered(&p, first.ticket, 0);
    cr_assert_eq(leading_status(p.leading).isr_count, 3, "an answer that comes late");
    partition_close(&p);
}

/* The answer overtakes the image that raises min.insync.replicas, which the controller had applied before it: with the
 * smaller set and the older minimum it would acknowledge alone, and the replica that it dropped may be elected. */
Test(leading, a_smaller_set_counts_when_the_image_shows_it)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    pass(&p, LAG_S * SECOND + LAG_S * SECOND / 2);
    cr_assert_eq(proposal(&p).isr_count, 1);
    append(&p, 110, 110);
    answered(&p, proposal(&p).ticket, 0);
    cr_assert_lt(watermark(&p), 110, "node 2 is waited for");
    cr_assert_eq(p.effects & LEADING_ALTER, 0);
    p.image.min_isr = 2;
    p.image.partition_epoch = 21;
    p.image.isr_count = 1;
    apply(&p);
    cr_assert_eq(leading_status(p.leading).isr_count, 1);
    cr_assert_lt(watermark(&p), 110, "too few are in sync");
    cr_assert_eq(leading_admit(p.leading, -1), ERR_NOT_ENOUGH_REPLICAS);
    partition_close(&p);
}

/* P20: what was elected uncleanly says once that it is done, also when it is alone. */
Test(leading, an_unclean_leader_says_that_it_is_done)
{
    struct partition p;
    partition_open(&p, 1, 1, 1);
    cr_assert_eq(p.effects & LEADING_ALTER, 0);
    p.image.recovering = true;
    p.image.epoch = 6;
    p.image.partition_epoch = 21;
    apply(&p);
    cr_assert(p.effects & LEADING_ALTER);
    cr_assert_eq(proposal(&p).isr_count, 1);
    cr_assert_neq(leading_deadline(p.leading), UINT64_MAX);
    p.image.recovering = false;
    accepted(&p, 22, 1);
    cr_assert_eq(p.effects & LEADING_ALTER, 0);
    cr_assert_eq(leading_deadline(p.leading), UINT64_MAX);
    partition_close(&p);
}

/* --- stalls ----------------------------------------------------------------------------------- */

/* A follower in sync that fetches each second and gains `gain` records with each, of a log that grows by 10. */
static bool ejected_within(int64_t gain, uint64_t seconds, bool fetches)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    fetch(&p, fetch_of(2, 100, 100));
    bool ejected = false;
    for (uint64_t i = 1; i <= seconds && !ejected; i++) {
        append(&p, 100 + 10 * (int64_t)i, 100 + 10 * (int64_t)i);
        pass(&p, SECOND);
        ejected = p.effects & LEADING_ALTER;
        if (!ejected && fetches) {
            fetch(&p, fetch_of(2, p.log.end, 100 + gain * (int64_t)i));
            ejected = p.effects & LEADING_ALTER;
        }
    }
    partition_close(&p);
    return ejected;
}

Test(leading, ejects_who_stalls)
{
    cr_assert(!ejected_within(10, 100, true), "it keeps up");
    cr_assert(!ejected_within(0, LAG_S, true));
    cr_assert(ejected_within(0, LAG_S * 3 / 2, true), "it fetches, and its disk stands still");
    cr_assert(ejected_within(0, LAG_S * 3 / 2, false), "it is gone");
    cr_assert(!ejected_within(1, 2 * LAG_S, true), "it is behind, and moves");
    cr_assert(ejected_within(1, (LEADING_PATIENCE + 2) * LAG_S, true), "but never comes");
}

Test(leading, its_own_pause_is_not_held_against_followers)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    fetch(&p, fetch_of(2, 100, 100));
    p.now += 3 * LAG_S * SECOND; /* no tick came, and no fetch was heard */
    for (int event = 0; event < 3; event++) {
        if (event == 0) {
            apply(&p);
        } else if (event == 1) {
            append(&p, 110, 110);
        } else {
            pass(&p, MS);
        }
        cr_assert_eq(p.effects & LEADING_ALTER, 0, "event %d", event);
    }
    pass(&p, LAG_S * SECOND + LAG_S * SECOND / 2);
    cr_assert(p.effects & LEADING_ALTER, "now it had its time");
    partition_close(&p);
}

/* Under load the watermark of those in sync is a little ahead of what a follower tells: it comes back nevertheless, at
 * the first fetch with which it has all. */
Test(leading, who_was_ejected_comes_back_under_load)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    pass(&p, LAG_S * SECOND + LAG_S * SECOND / 2);
    accepted(&p, 21, 1);
    int64_t end = 100;
    for (uint64_t i = 0; i < LAG_S * 10; i++) {
        pass(&p, 100 * MS);
        append(&p, end + 10, end + 10);
        fetch(&p, fetch_of(2, end, end)); /* what there was before */
        cr_assert_eq(p.effects & LEADING_ALTER, 0, "it lacks what is committed");
        end += 10;
    }
    fetch(&p, fetch_of(2, end, end));
    cr_assert(p.effects & LEADING_ALTER);
    cr_assert_eq(proposal(&p).isr_count, 2);
    partition_close(&p);
}

/* Ejected again and again, it is kept out longer and longer. */
Test(leading, does_not_flap)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    uint64_t before = 0;
    for (int32_t round = 0; round < 4; round++) {
        pass(&p, LAG_S * SECOND + LAG_S * SECOND / 2);
        struct leading_proposal out = proposal(&p);
        cr_assert_eq(out.isr_count, 1);
        accepted(&p, 21 + 2 * round, 1);
        uint64_t begun = p.now;
        fetch(&p, fetch_of(2, 100, 100));
        while (!(p.effects & LEADING_ALTER)) {
            pass(&p, 100 * MS);
            cr_assert_leq(p.now, begun + 5 * LAG_S * SECOND);
            if (!(p.effects & LEADING_ALTER)) {
                fetch(&p, fetch_of(2, 100, 100));
            }
        }
        cr_assert_gt(p.now - begun, before, "round %d", round);
        before = p.now - begun;
        accepted(&p, 22 + 2 * round, 2);
    }
    partition_close(&p);
}

/* --- epochs ----------------------------------------------------------------------------------- */

Test(leading, nothing_counts_across_epochs_and_lives)
{
    struct partition p;
    partition_open(&p, 3, 3, 1);
    fetch(&p, fetch_of(2, 100, 100));
    fetch(&p, fetch_of(3, 100, 100));
    append(&p, 110, 110);
    p.replicas[1].broker_epoch = 30;
    p.image.isr_count = 3;
    apply(&p);
    cr_assert_eq(leading_counted(p.leading, 2), -1, "it is another life");
    cr_assert_eq(leading_counted(p.leading, 3), 100);
    p.image.epoch = 7;
    p.image.partition_epoch = 25;
    apply(&p);
    cr_assert(p.effects & LEADING_EPOCH);
    cr_assert_eq(leading_counted(p.leading, 3), -1, "it is another epoch (H8)");
    cr_assert_eq(leading_status(p.leading).epoch_start, 110);
    cr_assert_eq(watermark(&p), 100, "and does not fall");
    p.image.epoch = 6;
    p.image.leader = 3;
    apply(&p);
    cr_assert_eq(leading_status(p.leading).epoch, 7, "an older image changes nothing");
    cr_assert(leading_status(p.leading).serving);
    partition_close(&p);
}

Test(leading, grows_with_the_set_of_replicas)
{
    struct partition p;
    partition_open(&p, 2, 2, 1);
    struct leading *small = malloc(leading_size(2));
    cr_assert_not_null(small);
    leading_move(small, 2, p.leading);
    cr_assert_eq(leading_capacity(small), 2);
    leading_move(p.leading, 5, small);
    free(small);
    fetch(&p, fetch_of(2, 100, 100));
    p.image.replica_count = 5;
    p.image.partition_epoch++;
    apply(&p);
    cr_assert_eq(leading_counted(p.leading, 2), 100, "who was there keeps what he has told");
    fetch(&p, fetch_of(5, 100, 100));
    cr_assert(p.effects & LEADING_ALTER);
    partition_close(&p);
}
