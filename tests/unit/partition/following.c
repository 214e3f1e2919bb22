/* SPDX-License-Identifier: Apache-2.0 */

/* A follower of a leader that the test speaks for: what it asks, takes, cuts and refuses. */
#include "partition/following.h"

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)

struct replica {
    struct following following;
    uint64_t now;
    struct following_log log;
    struct {
        int32_t epoch;
        int64_t start;
    } epochs[4];
    uint32_t epoch_count;
    struct following_image image;
    struct following_effect effect;
};

static int64_t epoch_end(const void *context, int32_t epoch, int32_t *found)
{
    const struct replica *r = context;
    for (uint32_t i = r->epoch_count; i > 0; i--) {
        if (r->epochs[i - 1].epoch <= epoch) {
            *found = r->epochs[i - 1].epoch;
            return i == r->epoch_count ? r->log.end : r->epochs[i].start;
        }
    }
    *found = -1;
    return -1;
}

static void apply(struct replica *r)
{
    following_apply(&r->following, r->now, &r->image, &r->effect);
}

/* Records of epochs 2 (from 0), 4 (from 60) up to 100, all durable, committed up to 70 as it knows; node 2
 * leads epoch 5. */
static void replica_open(struct replica *r)
{
    *r = (struct replica){.now = 1000 * MS,
                          .log = {0, 100, 100, 4},
                          .epochs = {{2, 0}, {4, 60}},
                          .epoch_count = 2,
                          .image = {.leader = 2, .epoch = 5, .unclean_epoch = -1, .in_sync = true}};
    struct following_options options = {.node = 1, .epoch_end = epoch_end, .log = r};
    following_init(&r->following, &options, &r->log, 70, 4, r->now);
}

static struct following_request ask(struct replica *r)
{
    struct following_request out = {0};
    cr_assert(following_next(&r->following, r->now, &out));
    return out;
}

static bool asks_more(struct replica *r)
{
    struct following_request out;
    return following_next(&r->following, r->now, &out);
}

static void answer(struct replica *r, struct following_answer a)
{
    following_answer(&r->following, r->now, &a, &r->effect);
}

/* The log is proved, and nothing is new. */
static void prove(struct replica *r)
{
    apply(r);
    cr_assert(r->effect.what & FOLLOWING_ASK);
    answer(r, (struct following_answer){.ticket = ask(r).ticket, .high_watermark = 80});
}

static void appended(struct replica *r, int64_t end, int32_t epoch)
{
    r->log.end = end;
    r->log.last_epoch = epoch;
    following_appended(&r->following, r->now, &r->log, &r->effect);
}

static void flushed(struct replica *r, int64_t counted)
{
    r->log.counted = counted;
    following_flushed(&r->following, r->now, counted, &r->effect);
}

static void cut_to(struct replica *r, int64_t offset)
{
    r->log = (struct following_log){offset, offset, offset, -1};
    r->epoch_count = 0;
    following_cut(&r->following, r->now, &r->log, &r->effect);
    cr_assert(r->effect.what & FOLLOWING_ASK);
}

/* A batch for which this node is too small is not fetched ten times a second for ever. */
Test(following, what_is_not_taken_is_asked_for_later_each_time)
{
    static const uint64_t pauses_ms[] = {100, 200, 400, 800, 1600, 1600, 1600};
    const struct following_batch batch = {100, 110, 5};
    struct replica r;
    replica_open(&r);
    prove(&r);
    for (size_t i = 0; i < array_size(pauses_ms); i++) {
        uint64_t ticket = ask(&r).ticket;
        answer(&r,
               (struct following_answer){
                   .ticket = ticket, .high_watermark = 80, .batches = &batch, .batch_count = 1});
        cr_assert(r.effect.what & FOLLOWING_APPEND);
        appended(&r, 100, 4);
        r.now += pauses_ms[i] * MS - 1;
        cr_assert(!asks_more(&r), "after %zu", i);
        r.now++;
    }
    uint64_t ticket = ask(&r).ticket;
    answer(&r, (struct following_answer){
                   .ticket = ticket, .high_watermark = 80, .batches = &batch, .batch_count = 1});
    appended(&r, 110, 5);
    cr_assert(r.effect.what & FOLLOWING_ASK, "it has room now");
}

/* P30. */
Test(following, tells_its_start_when_that_is_durable)
{
    struct replica r;
    replica_open(&r);
    prove(&r);
    for (int i = 0; i < 2; i++) {
        struct following_request q = ask(&r);
        cr_assert_eq(q.log_start, 0);
        answer(&r, (struct following_answer){
                       .ticket = q.ticket, .high_watermark = 80, .log_start = 50});
    }
    cr_assert(r.effect.what & FOLLOWING_START);
    cr_assert_eq(r.effect.start, 50);
    cr_assert_eq(ask(&r).log_start, 0, "the disk does not have it yet");
    cr_assert(!asks_more(&r));
    following_kept(&r.following, r.now, 50, &r.effect);
    cr_assert(r.effect.what & FOLLOWING_ASK);
    struct following_request report = ask(&r);
    cr_assert(!report.records && report.log_start == 50);
    cr_assert(!asks_more(&r));
}

/* P16. */
Test(following, proves_its_log_before_it_tells_what_is_durable)
{
    struct replica r;
    replica_open(&r);
    cr_assert(!asks_more(&r), "it knows no leader");
    apply(&r);
    struct following_request first = ask(&r);
    cr_assert_eq(first.leader, 2);
    cr_assert_eq(first.epoch, 5);
    cr_assert_eq(first.offset, 100);
    cr_assert_eq(first.last_epoch, 4);
    cr_assert_eq(first.counted, -1);
    cr_assert_eq(first.high_watermark, 70);
    cr_assert(first.records);
    cr_assert(!asks_more(&r));
    answer(&r, (struct following_answer){.ticket = first.ticket, .high_watermark = 80});
    cr_assert_eq(r.effect.what, FOLLOWING_WATERMARK | FOLLOWING_ASK);
    cr_assert_eq(r.following.high_watermark, 80);
    struct following_request second = ask(&r);
    cr_assert_eq(second.counted, 100);
    cr_assert_eq(second.high_watermark, 80);
}

/* DESIGN 3: what is durable is not behind a fetch that waits. */
Test(following, tells_what_is_durable_beside_a_fetch_that_waits)
{
    static const struct following_batch batches[] = {{100, 105, 5}, {105, 110, 5}};
    struct replica r;
    replica_open(&r);
    prove(&r);
    answer(&r, (struct following_answer){.ticket = ask(&r).ticket,
                                         .high_watermark = 100,
                                         .batches = batches,
                                         .batch_count = 2});
    cr_assert(r.effect.what & FOLLOWING_APPEND);
    cr_assert_eq(r.effect.count, 2);
    cr_assert(!asks_more(&r), "they are not in the log yet");
    appended(&r, 110, 5);
    struct following_request waits = ask(&r);
    cr_assert(waits.records && waits.offset == 110 && waits.counted == 100);
    cr_assert(!asks_more(&r), "there is nothing to tell");
    flushed(&r, 105);
    cr_assert_eq(r.effect.what, FOLLOWING_ASK);
    struct following_request tells = ask(&r);
    cr_assert(!tells.records && tells.counted == 105);
    flushed(&r, 110);
    cr_assert(!asks_more(&r), "one of each");
    answer(&r, (struct following_answer){.ticket = tells.ticket, .high_watermark = 105});
    cr_assert_eq(r.following.high_watermark, 105);
    tells = ask(&r);
    cr_assert(!tells.records && tells.counted == 110);
    answer(&r, (struct following_answer){.ticket = waits.ticket, .high_watermark = 110});
    cr_assert_eq(r.following.high_watermark, 110);
    cr_assert(ask(&r).records);
}

/* P30. */
Test(following, the_watermark_stops_at_what_counts_here)
{
    static const struct following_batch batch = {100, 110, 5};
    struct replica r;
    replica_open(&r);
    prove(&r);
    r.following.told_start = 105;
    answer(&r, (struct following_answer){.ticket = ask(&r).ticket,
                                         .high_watermark = 110,
                                         .log_start = 105,
                                         .batches = &batch,
                                         .batch_count = 1});
    cr_assert_eq(r.following.high_watermark, 100);
    cr_assert(r.effect.what & FOLLOWING_START);
    cr_assert_eq(r.effect.start, 100, "nor does the log start behind it");
    appended(&r, 110, 5);
    cr_assert_eq(r.following.high_watermark, 100);
    flushed(&r, 108);
    cr_assert_eq(r.following.high_watermark, 108);
    flushed(&r, 110);
    cr_assert_eq(r.following.high_watermark, 110);
}

/* P15, P16, P34: what the leader says of the log, and what goes of it. */
Test(following, cuts_where_the_logs_part)
{
    static const struct {
        int32_t epoch;
        int64_t end;
        int64_t watermark;
        int32_t unclean_epoch;
        unsigned what;
        int64_t offset;
    } cases[] = {
        {4, 90, 70, -1, FOLLOWING_TRUNCATE, 90},
        {4, 70, 70, -1, FOLLOWING_TRUNCATE, 70},
        {4, 69, 70, -1, FOLLOWING_DAMAGED, 0},
        {3, 65, 60, -1, FOLLOWING_TRUNCATE, 60}, /* own end of the largest epoch <= 3 */
        {2, 55, 50, -1, FOLLOWING_TRUNCATE, 55},
        {2, 55, 56, -1, FOLLOWING_DAMAGED, 0},
        {4, 69, 70, 5, FOLLOWING_TRUNCATE | FOLLOWING_WATERMARK, 69},
        {4, 69, 70, 4, FOLLOWING_DAMAGED, 0}, /* it was proved in that epoch already */
        {4, 100, 70, -1, 0, 0},               /* that is no divergence: asked again later */
        {-1, 80, 70, -1, FOLLOWING_ANEW, 80},
        {-1, 60, 70, -1, FOLLOWING_DAMAGED, 0},
        {-1, 60, 70, 5, FOLLOWING_ANEW | FOLLOWING_WATERMARK, 60},
        {1, 40, 0, -1, FOLLOWING_TRUNCATE, 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct replica r;
        replica_open(&r);
        r.following.high_watermark = cases[i].watermark;
        r.image.unclean_epoch = cases[i].unclean_epoch;
        apply(&r);
        answer(&r, (struct following_answer){
                       .ticket = ask(&r).ticket,
                       .diverges = true,
                       .diverging = {cases[i].epoch, cases[i].end},
                       .log_start = cases[i].epoch < 0 ? cases[i].end : 0,
                   });
        cr_assert_eq(r.effect.what & ~(unsigned)FOLLOWING_ASK, cases[i].what, "case %u: %x", i,
                     r.effect.what);
        cr_assert(!asks_more(&r), "case %u", i);
        if (cases[i].what & (FOLLOWING_TRUNCATE | FOLLOWING_ANEW)) {
            cr_assert_eq(r.effect.offset, cases[i].offset, "case %u", i);
        }
        if (cases[i].what & FOLLOWING_WATERMARK) {
            cr_assert_eq(r.following.high_watermark, cases[i].offset, "case %u", i);
        }
    }
}

Test(following, asks_again_when_the_cut_is_durable)
{
    struct replica r;
    replica_open(&r);
    apply(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .diverges = true, .diverging = {4, 90}});
    cr_assert_eq(following_deadline(&r.following), UINT64_MAX);
    flushed(&r, 100);
    cr_assert(!asks_more(&r));
    r.image.epoch = 6;
    r.image.leader = 3;
    apply(&r);
    cr_assert(!asks_more(&r), "not even in another epoch");
    r.log = (struct following_log){0, 90, 90, 4};
    following_cut(&r.following, r.now, &r.log, &r.effect);
    struct following_request again = ask(&r);
    cr_assert_eq(again.leader, 3);
    cr_assert_eq(again.offset, 90);
    cr_assert_eq(again.counted, -1, "it is not proved yet");
}

Test(following, a_cut_below_what_is_committed_is_damage)
{
    struct replica r;
    replica_open(&r);
    apply(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .diverges = true, .diverging = {4, 75}});
    r.log = (struct following_log){0, 65, 65, 4};
    following_cut(&r.following, r.now, &r.log, &r.effect);
    cr_assert_eq(r.effect.what, FOLLOWING_DAMAGED);
    cr_assert_not_null(r.effect.why);
}

/* P34. The log ends at 100. */
Test(following, begins_anew_where_nothing_is_lost)
{
    static const struct {
        int64_t leader_start;
        bool in_sync, empty, anew;
    } cases[] = {
        {150, false, false, true}, {150, true, false, false}, {100, false, false, true},
        {100, true, false, true}, /* what it has lies below the leader's start */
        {50, false, false, false}, {50, true, false, false},  {-1, false, false, false},
        {150, false, true, true},  {150, true, true, false},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct replica r;
        replica_open(&r);
        if (cases[i].empty) {
            r.following.log.start = r.following.high_watermark = 100;
            r.following.log.last_epoch = -1;
        }
        r.image.in_sync = cases[i].in_sync;
        apply(&r);
        answer(&r, (struct following_answer){.ticket = ask(&r).ticket,
                                             .error = ERR_OFFSET_OUT_OF_RANGE,
                                             .log_start = cases[i].leader_start});
        cr_assert_eq(!!(r.effect.what & FOLLOWING_ANEW), cases[i].anew, "case %u", i);
        cr_assert_eq(r.effect.what & FOLLOWING_DAMAGED, 0, "case %u", i);
        if (cases[i].anew) {
            cr_assert_eq(r.effect.offset, cases[i].leader_start, "case %u", i);
            cut_to(&r, cases[i].leader_start);
            cr_assert_eq(r.following.high_watermark, cases[i].leader_start, "case %u", i);
        }
    }
}

/* P3. The log ends at 100, in epoch 4; the leader's epoch is 5. */
Test(following, takes_what_follows_its_log)
{
    static const struct {
        struct following_batch batches[3];
        uint32_t given, first, taken;
    } cases[] = {
        {{{100, 110, 4}, {110, 120, 5}, {120, 130, 5}}, 3, 0, 3},
        {{{90, 100, 4}, {100, 110, 5}}, 2, 1, 1},  /* it has the first */
        {{{90, 105, 4}, {105, 110, 5}}, 2, 0, 0},  /* the first reaches into what it lacks */
        {{{105, 110, 5}, {112, 115, 5}}, 2, 0, 2}, /* gaps of compaction */
        {{{100, 110, 5}, {105, 120, 5}}, 2, 0, 1}, /* an overlap */
        {{{100, 110, 3}}, 1, 0, 0},                /* an epoch that falls */
        {{{100, 110, 5}, {110, 120, 4}}, 2, 0, 1},
        {{{100, 110, 6}}, 1, 0, 0}, /* an epoch that the leader does not know */
        {{{100, 100, 5}}, 1, 1, 0}, /* nothing in it */
        {{{110, 105, 5}}, 1, 0, 0}, /* backwards */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct replica r;
        replica_open(&r);
        apply(&r);
        answer(&r, (struct following_answer){.ticket = ask(&r).ticket,
                                             .batches = cases[i].batches,
                                             .batch_count = cases[i].given});
        cr_assert_eq(r.effect.count, cases[i].taken, "case %u: %u", i, r.effect.count);
        cr_assert_eq(!!(r.effect.what & FOLLOWING_APPEND), cases[i].taken > 0, "case %u", i);
        if (cases[i].taken > 0) {
            cr_assert_eq(r.effect.first, cases[i].first, "case %u", i);
        } else {
            cr_assert(r.effect.what & FOLLOWING_UNFIT, "case %u: in silence", i);
            cr_assert(!asks_more(&r), "case %u: not at once again", i);
        }
    }
}

Test(following, an_answer_of_another_epoch_is_none)
{
    static const struct following_batch batch = {100, 110, 5};
    struct replica r;
    replica_open(&r);
    apply(&r);
    struct following_request old = ask(&r);
    r.image.epoch = 6;
    r.image.leader = 3;
    apply(&r);
    struct following_request new = ask(&r);
    cr_assert_neq(new.ticket, old.ticket);
    answer(&r,
           (struct following_answer){.ticket = old.ticket, .batches = &batch, .batch_count = 1});
    cr_assert_eq(r.effect.what, 0);
    r.image.epoch = 5;
    r.image.leader = 2;
    apply(&r);
    cr_assert_eq(r.following.epoch, 6, "P2");
    /* Another core for the same log, in a later epoch: its tickets are others. */
    struct following_options options = r.following.options;
    following_init(&r.following, &options, &r.log, 70, 6, r.now);
    r.image.epoch = 7;
    apply(&r);
    cr_assert_neq(ask(&r).ticket, new.ticket);
    answer(&r,
           (struct following_answer){.ticket = new.ticket, .batches = &batch, .batch_count = 1});
    cr_assert_eq(r.effect.what, 0);
}

Test(following, a_new_epoch_waits_for_what_is_being_appended)
{
    static const struct following_batch batch = {100, 110, 5};
    struct replica r;
    replica_open(&r);
    prove(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .batches = &batch, .batch_count = 1});
    r.image.epoch = 6;
    r.image.leader = 3;
    apply(&r);
    cr_assert(!asks_more(&r));
    appended(&r, 110, 5);
    struct following_request first = ask(&r);
    cr_assert_eq(first.offset, 110);
    cr_assert_eq(first.last_epoch, 5);
    cr_assert_eq(first.counted, -1);
    flushed(&r, 110);
    cr_assert(!asks_more(&r), "nothing is told before the proof");
}

Test(following, what_is_lost_is_asked_again)
{
    struct replica r;
    replica_open(&r);
    prove(&r);
    struct following_request first = ask(&r);
    r.now = following_deadline(&r.following);
    cr_assert_eq(r.now, 3000 * MS);
    struct following_request second = ask(&r);
    cr_assert_neq(second.ticket, first.ticket);
    answer(&r, (struct following_answer){.ticket = second.ticket, .error = ERR_NETWORK_EXCEPTION});
    cr_assert(!asks_more(&r), "not at once");
    r.now = following_deadline(&r.following);
    cr_assert_eq(r.now, 3100 * MS);
    struct following_request third = ask(&r);
    cr_assert(third.records && third.counted == 100);
    following_fail(&r.following, &r.effect);
    cr_assert_eq(r.effect.what, FOLLOWING_DAMAGED);
    cr_assert_eq(following_deadline(&r.following), UINT64_MAX);
}

/* Records were deleted up to the middle of a batch: a new replica gets all of it, and forgets the same. */
Test(following, begins_with_the_batch_in_which_the_leaders_log_starts)
{
    static const struct following_batch whole[] = {{10, 110, 5}};
    struct replica r;
    replica_open(&r);
    r.image.in_sync = false;
    r.log = (struct following_log){0, 0, 0, -1};
    r.epoch_count = 0;
    struct following_options options = {.node = 1, .epoch_end = epoch_end, .log = &r};
    following_init(&r.following, &options, &r.log, 0, -1, r.now);
    apply(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .error = ERR_OFFSET_OUT_OF_RANGE, .log_start = 50});
    cr_assert((r.effect.what & FOLLOWING_ANEW) && r.effect.offset == 50);
    cut_to(&r, 50);
    struct following_request q = ask(&r);
    cr_assert_eq(q.offset, 50);
    answer(&r, (struct following_answer){.ticket = q.ticket,
                                         .high_watermark = 110,
                                         .log_start = 50,
                                         .batches = whole,
                                         .batch_count = 1});
    cr_assert((r.effect.what & FOLLOWING_ANEW) && r.effect.offset == 10);
    cr_assert(!(r.effect.what & FOLLOWING_APPEND));
    cut_to(&r, 10);
    q = ask(&r);
    cr_assert(q.offset == 50 && q.last_epoch == -1, "the leader has nothing in front of it");
    answer(&r, (struct following_answer){.ticket = q.ticket,
                                         .high_watermark = 110,
                                         .log_start = 50,
                                         .batches = whole,
                                         .batch_count = 1});
    cr_assert((r.effect.what & FOLLOWING_APPEND) && r.effect.count == 1);
    appended(&r, 110, 5);
    q = ask(&r);
    cr_assert_eq(q.offset, 110, "and goes on behind it");
    flushed(&r, 110);
    cr_assert_eq(r.following.high_watermark, 110);
    answer(&r,
           (struct following_answer){.ticket = q.ticket, .high_watermark = 110, .log_start = 50});
    cr_assert((r.effect.what & FOLLOWING_START) && r.effect.start == 50);
}

/* A number that no checksum covers must come twice before records are given up for it. */
Test(following, a_start_counts_when_two_answers_say_it)
{
    struct replica r;
    replica_open(&r);
    prove(&r);
    static const int64_t told[] = {100, 10, 100, 20, 30};
    static const int64_t starts[] = {-1, 10, -1, 20, -1};
    for (size_t i = 0; i < array_size(told); i++) {
        int64_t before = r.following.log.start;
        r.now += 1000 * MS;
        answer(&r, (struct following_answer){
                       .ticket = ask(&r).ticket, .high_watermark = 100, .log_start = told[i]});
        bool raises = starts[i] > before;
        cr_assert_eq((r.effect.what & FOLLOWING_START) != 0, raises, "answer %zu", i);
        cr_assert(!raises || r.effect.start == starts[i], "answer %zu", i);
    }
    cr_assert_eq(r.following.log.start, 20);
}

/* The leader's log has lost its beginning, up to the end of this one, while bytes that do not fit were on their way. */
Test(following, an_emptied_log_that_takes_nothing_keeps_its_epoch)
{
    static const struct following_batch more[] = {{100, 110, 5}};
    struct replica r;
    replica_open(&r);
    prove(&r);
    r.following.told_start = 100;
    answer(&r, (struct following_answer){.ticket = ask(&r).ticket,
                                         .high_watermark = 100,
                                         .log_start = 100,
                                         .batches = more,
                                         .batch_count = 1});
    cr_assert((r.effect.what & FOLLOWING_START) && r.effect.start == 100);
    cr_assert(r.effect.what & FOLLOWING_APPEND);
    r.log = (struct following_log){100, 100, 100, -1};
    following_appended(&r.following, r.now, &r.log, &r.effect);
    cr_assert_not(r.effect.what & FOLLOWING_ASK, "not at once");
    r.now += 1000 * MS;
    struct following_request q = ask(&r);
    cr_assert(q.offset == 100 && q.last_epoch == 4);
}

/* There was no room for the cut: it is tried again, and nothing is damaged. */
Test(following, a_cut_that_found_no_room_is_tried_again)
{
    struct replica r;
    replica_open(&r);
    apply(&r);
    struct following_answer diverges = {
        .ticket = ask(&r).ticket, .diverges = true, .diverging = {4, 90}};
    answer(&r, diverges);
    cr_assert((r.effect.what & FOLLOWING_TRUNCATE) && r.effect.offset == 90);
    following_uncut(&r.following, r.now, r.log.counted, &r.effect);
    cr_assert(!asks_more(&r));
    r.now += 1000 * MS;
    diverges.ticket = ask(&r).ticket;
    answer(&r, diverges);
    cr_assert((r.effect.what & FOLLOWING_TRUNCATE) && r.effect.offset == 90);
}

/* The log was flushed while it waited for the cut, which no other flush will tell. */
Test(following, a_cut_that_found_no_room_leaves_what_is_durable)
{
    struct replica r;
    replica_open(&r);
    r.following.log.counted = 80;
    apply(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .diverges = true, .diverging = {4, 90}});
    flushed(&r, 100);
    following_uncut(&r.following, r.now, r.log.counted, &r.effect);
    r.image.leader = 3;
    r.image.epoch = 6;
    prove(&r);
    cr_assert_eq(ask(&r).counted, 100);
}

/* Another leader contradicts records that were never committed: the beginning at 150 that was not made did not
 * commit them. */
Test(following, a_beginning_that_found_no_room_commits_nothing)
{
    struct replica r;
    replica_open(&r);
    r.image.in_sync = false;
    apply(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .error = ERR_OFFSET_OUT_OF_RANGE, .log_start = 150});
    cr_assert(r.effect.what & FOLLOWING_ANEW);
    following_uncut(&r.following, r.now, r.log.counted, &r.effect);
    cr_assert_eq(r.following.high_watermark, 70);
    r.image.leader = 3;
    r.image.epoch = 6;
    apply(&r);
    answer(&r, (struct following_answer){
                   .ticket = ask(&r).ticket, .diverges = true, .diverging = {4, 90}});
    cr_assert((r.effect.what & FOLLOWING_TRUNCATE) && r.effect.offset == 90);
}

/* What a cut has to read is damaged: in sync it waits until that is known, outside it gives up what it has. */
Test(following, a_cut_that_cannot_be_made_for_damage)
{
    struct replica r;
    replica_open(&r);
    apply(&r);
    struct following_answer diverges = {
        .ticket = ask(&r).ticket, .diverges = true, .diverging = {4, 90}, .log_start = 10};
    answer(&r, diverges);
    cr_assert(r.effect.what & FOLLOWING_TRUNCATE);
    following_unreadable(&r.following, r.now, r.log.counted, &r.effect);
    r.now += 1000 * MS;
    diverges.ticket = ask(&r).ticket;
    answer(&r, diverges);
    cr_assert_not(r.effect.what & (FOLLOWING_TRUNCATE | FOLLOWING_ANEW));
    r.image.in_sync = false;
    r.image.leader = 3;
    r.image.epoch = 6;
    apply(&r);
    r.now += 1000 * MS;
    diverges.ticket = ask(&r).ticket;
    answer(&r, diverges);
    cr_assert((r.effect.what & FOLLOWING_ANEW) && r.effect.offset == 10);
    cut_to(&r, 10);
    cr_assert_eq(r.following.high_watermark, 10);
    cr_assert_eq(ask(&r).offset, 10);
}
