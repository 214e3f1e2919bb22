/* SPDX-License-Identifier: Apache-2.0 */

/* The follower: proving its log, asking, appending, cutting. */
#include "partition/following.h"

enum {
    FOLLOWING_MAGIC = 0x666f6c6c,
    UNTAKEN_MAX = 4, /* doublings: a second and a half at most */
};

static void enter(struct following *f, uint64_t now_ns, struct following_effect *out)
{
    assert(f->magic == FOLLOWING_MAGIC && now_ns >= f->now_ns);
    f->now_ns = now_ns;
    *out = (struct following_effect){0};
}

static void damaged(struct following *f, const char *why, struct following_effect *out)
{
    f->state = FOLLOWING_STATE_DAMAGED;
    f->records.ticket = f->report.ticket = 0;
    out->what |= FOLLOWING_DAMAGED;
    out->why = why;
}

/* The watermark lies within the log, which may have become another. */
static void watermark_clip(struct following *f, struct following_effect *out)
{
    const struct following_log *log = &f->log;
    int64_t within = f->high_watermark < log->counted ? f->high_watermark : log->counted;
    within = within > log->start ? within : log->start;
    if (within != f->high_watermark) {
        f->high_watermark = within;
        out->what |= FOLLOWING_WATERMARK;
    }
}

/* P30. */
static void watermark_follow(struct following *f, struct following_effect *out)
{
    int64_t known =
        f->leader_watermark < f->log.counted || replication_mutated(f, REPLICATION_MUTANT_UNCLIPPED)
            ? f->leader_watermark
            : f->log.counted;
    if (f->state == FOLLOWING_STATE_FOLLOWING && known > f->high_watermark) {
        f->high_watermark = known;
        out->what |= FOLLOWING_WATERMARK;
    }
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Where records are asked from. */
static int64_t ask_offset(const struct following *f)
{
    bool empty = f->log.start == f->log.end;
    return empty && f->ask_from > f->log.end ? f->ask_from : f->log.end;
}

/* P16: not before the log is proved in this epoch. */
static int64_t may_tell(const struct following *f)
{
    return f->proved_epoch == f->epoch ? f->log.counted : -1;
}

static bool lost(const struct following *f, const struct following_ask *ask)
{
    return ask->ticket && f->now_ns >= ask->sent_ns + f->options.answer_ns;
}

static bool may_ask_records(const struct following *f)
{
    return !f->appending && (!f->records.ticket || lost(f, &f->records));
}

static bool has_news(const struct following *f)
{
    return may_tell(f) > f->told || f->log.kept_start > f->told_kept;
}

/* A fetch for records tells what is durable as well; only one that is in flight already does not. */
static bool may_report(const struct following *f)
{
    bool due = f->report.ticket ? lost(f, &f->report) : has_news(f);
    return f->state == FOLLOWING_STATE_FOLLOWING && due &&
           !replication_mutated(f, REPLICATION_MUTANT_REPORT_LATE);
}

static bool asks(const struct following *f)
{
    return f->state == FOLLOWING_STATE_PROVING || f->state == FOLLOWING_STATE_FOLLOWING;
}

enum following_want following_wants(struct following *f, uint64_t now_ns)
{
    assert(f->magic == FOLLOWING_MAGIC && now_ns >= f->now_ns);
    f->now_ns = now_ns;
    if (!asks(f) || now_ns < f->ask_ns) {
        return FOLLOWING_WANTS_NOTHING;
    }
    return may_ask_records(f) ? FOLLOWING_WANTS_RECORDS
           : may_report(f)    ? FOLLOWING_WANTS_REPORT
                              : FOLLOWING_WANTS_NOTHING;
}

bool following_next(struct following *f, uint64_t now_ns, struct following_request *out)
{
    enum following_want want = following_wants(f, now_ns);
    bool records = want == FOLLOWING_WANTS_RECORDS;
    if (want == FOLLOWING_WANTS_NOTHING) {
        return false;
    }
    struct following_ask *ask = records ? &f->records : &f->report;
    *ask = (struct following_ask){++f->ticket, now_ns, ask_offset(f)};
    f->told = may_tell(f);
    f->told_kept =
        replication_mutated(f, REPLICATION_MUTANT_START_EARLY) ? f->log.start : f->log.kept_start;
    *out = (struct following_request){
        .ticket = ask->ticket,
        .leader = f->leader,
        .epoch = f->epoch,
        .offset = ask->offset,
        .last_epoch = f->log.last_epoch,
        .counted = f->told,
        .high_watermark = f->high_watermark,
        .log_start = f->told_kept,
        .records = records,
    };
    return true;
}

static uint64_t ask_deadline(const struct following *f, const struct following_ask *ask)
{
    return ask->ticket ? ask->sent_ns + f->options.answer_ns : f->ask_ns;
}

uint64_t following_deadline(const struct following *f)
{
    if (!asks(f)) {
        return UINT64_MAX;
    }
    uint64_t due = f->appending ? UINT64_MAX : ask_deadline(f, &f->records);
    if (f->state == FOLLOWING_STATE_FOLLOWING && (f->report.ticket || has_news(f)) &&
        !replication_mutated(f, REPLICATION_MUTANT_REPORT_LATE)) {
        uint64_t report = ask_deadline(f, &f->report);
        due = report < due ? report : due;
    }
    return due > f->ask_ns ? due : f->ask_ns;
}

static void ask_if_due(const struct following *f, struct following_effect *out)
{
    if (following_deadline(f) <= f->now_ns) {
        out->what |= FOLLOWING_ASK;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void following_init(struct following *f, const struct following_options *options,
                    const struct following_log *log, int64_t high_watermark, int32_t proved_epoch,
                    uint64_t now_ns)
{
    assert(log->start <= log->counted && log->counted <= log->end && options->epoch_end);
    *f = (struct following){
        .magic = FOLLOWING_MAGIC,
        .options = *options,
        .now_ns = now_ns,
        .leader = -1,
        .epoch = -1,
        .unclean_epoch = -1,
        .proved_epoch = proved_epoch > log->last_epoch ? proved_epoch : log->last_epoch,
        .log = *log,
        .high_watermark = high_watermark,
        .told = -1,
        .told_kept = -1,
        .ask_from = -1,
    };
    f->options.answer_ns = options->answer_ns ? options->answer_ns : 2000000000;
    f->options.retry_ns = options->retry_ns ? options->retry_ns : 100000000;
    watermark_clip(f, &(struct following_effect){0});
}

void following_apply(struct following *f, uint64_t now_ns, const struct following_image *image,
                     struct following_effect *out)
{
    enter(f, now_ns, out);
    assert(image->leader != f->options.node);
    if (image->epoch < f->epoch) {
        return; /* P2 */
    }
    f->in_sync = image->in_sync;
    f->unclean_epoch = image->unclean_epoch;
    if (f->state == FOLLOWING_STATE_DAMAGED ||
        (image->epoch == f->epoch && image->leader == f->leader)) {
        return;
    }
    f->epoch = image->epoch;
    f->leader = image->leader;
    f->leader_watermark = 0;
    f->told = f->told_kept = f->told_start = -1;
    f->records.ticket = f->report.ticket = 0;
    f->ticket = replication_tickets(f->epoch);
    f->ask_ns = now_ns;
    if (f->state != FOLLOWING_STATE_CUTTING) { /* else when the cut is durable */
        f->state = f->leader < 0 ? FOLLOWING_STATE_ALONE : FOLLOWING_STATE_PROVING;
        ask_if_due(f, out);
    }
}

void following_fail(struct following *f, struct following_effect *out)
{
    enter(f, f->now_ns, out);
    if (f->state != FOLLOWING_STATE_DAMAGED) {
        damaged(f, "the disk reported an error", out);
    }
}

/* --- cutting ---------------------------------------------------------------------------------- */

/* P15: whether what is known as committed may go, for the metadata says that it was given up. */
static bool was_given_up(const struct following *f)
{
    return f->unclean_epoch > f->proved_epoch;
}

static void begin_cut(struct following *f, unsigned how, int64_t offset,
                      struct following_effect *out)
{
    f->leader_watermark = 0;
    f->state = FOLLOWING_STATE_CUTTING;
    f->records.ticket = f->report.ticket = 0;
    f->told = f->told_kept = f->told_start = -1;
    out->what |= how;
    out->offset = offset;
}

/* What lies at `from` or behind it goes. */
static void cut(struct following *f, int64_t from, unsigned how, int64_t offset,
                struct following_effect *out)
{
    bool committed = from < f->high_watermark;
    if (committed && !was_given_up(f)) {
        damaged(f, "the leader's log contradicts what is committed here", out);
        return;
    }
    if (committed) {
        f->high_watermark = offset;
        out->what |= FOLLOWING_WATERMARK;
    }
    begin_cut(f, how, offset, out);
}

/* P34. A log that has to be cut and cannot: when nobody counts it any more it begins where the leader's does. */
static void replace_unreadable(struct following *f, int64_t leader_start,
                               struct following_effect *out)
{
    if (leader_start < 0 || f->in_sync) {
        f->ask_ns = f->now_ns + f->options.retry_ns;
        return;
    }
    f->high_watermark = leader_start;
    out->what |= FOLLOWING_WATERMARK;
    begin_cut(f, FOLLOWING_ANEW, leader_start, out);
}

/* P34. The leader's log does not reach back to the end of this one; or it ends before this one begins. Who is in
 * sync has all that it holds, and waits for an image that explains it; but where the leader's log starts at
 * the end of this one, nothing goes that the leader has. */
static void begin_anew(struct following *f, int64_t leader_start, struct following_effect *out)
{
    bool reached = leader_start < f->log.end && f->log.last_epoch >= 0;
    if (leader_start < 0 || reached || (f->in_sync && leader_start != f->log.end)) {
        f->ask_ns = f->now_ns + f->options.retry_ns;
        return;
    }
    cut(f, leader_start, FOLLOWING_ANEW, leader_start, out);
}

/* P16: the smaller of both ends of that epoch, again and again until the logs meet (KIP-279). */
static void cut_back(struct following *f, const struct following_answer *a,
                     struct following_effect *out)
{
    int32_t found;
    int64_t own = f->options.epoch_end(f->options.log, a->diverging.epoch, &found);
    int64_t offset = a->diverging.offset;
    if (!replication_mutated(f, REPLICATION_MUTANT_CUT_AT_LEADERS)) {
        own = found < 0 ? f->log.start : own;
        offset = own < offset ? own : offset;
    }
    if (replication_mutated(f, REPLICATION_MUTANT_CUT_AT_WATERMARK)) {
        offset = f->high_watermark;
    }
    bool older = a->diverging.epoch < 0 && a->log_start >= 0 && a->log_start < f->log.end;
    if (f->unreadable) {
        replace_unreadable(f, a->log_start, out);
    } else if (older) {
        /* The leader has nothing left that is as old as this log. */
        cut(f, a->log_start, FOLLOWING_ANEW, a->log_start, out);
    } else if (offset < f->log.start) {
        cut(f, offset, FOLLOWING_ANEW, a->log_start > 0 ? a->log_start : 0, out);
    } else if (offset < f->log.end) {
        cut(f, offset, FOLLOWING_TRUNCATE, offset, out);
    } else {
        f->ask_ns = f->now_ns + f->options.retry_ns; /* that is no divergence */
    }
}

void following_cut(struct following *f, uint64_t now_ns, const struct following_log *log,
                   struct following_effect *out)
{
    enter(f, now_ns, out);
    if (f->state == FOLLOWING_STATE_DAMAGED) {
        return;
    }
    assert(f->state == FOLLOWING_STATE_CUTTING && !f->appending);
    assert(log->start <= log->counted && log->counted <= log->end);
    f->log = *log;
    f->unreadable = false;
    if (f->high_watermark > log->end && !was_given_up(f)) {
        damaged(f, "the log is cut below what is committed", out);
        return;
    }
    watermark_clip(f, out);
    f->ask_ns = now_ns;
    f->state = f->leader < 0 ? FOLLOWING_STATE_ALONE : FOLLOWING_STATE_PROVING;
    ask_if_due(f, out);
}

void following_uncut(struct following *f, uint64_t now_ns, int64_t counted,
                     struct following_effect *out)
{
    enter(f, now_ns, out);
    if (f->state == FOLLOWING_STATE_CUTTING) {
        assert(counted >= f->log.counted && counted <= f->log.end);
        f->log.counted = counted;
        watermark_clip(f, out);
        f->ask_ns = now_ns + f->options.retry_ns;
        f->state = f->leader < 0 ? FOLLOWING_STATE_ALONE : FOLLOWING_STATE_PROVING;
    }
}

void following_unreadable(struct following *f, uint64_t now_ns, int64_t counted,
                          struct following_effect *out)
{
    following_uncut(f, now_ns, counted, out);
    f->unreadable = true;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The batches behind the log's end that follow each other (P3). A leader's first batch may begin before what
 * was asked for: it is here already. Gaps are those of compaction. */
static void batches_choose(const struct following *f, const struct following_answer *a,
                           struct following_effect *out)
{
    uint32_t first = 0;
    while (first < a->batch_count && a->batches[first].end <= f->log.end) {
        first++;
    }
    int64_t end = f->log.end;
    int32_t epoch = f->log.last_epoch;
    uint32_t next = first;
    while (next < a->batch_count && next - first < FOLLOWING_BATCHES_MAX) {
        const struct following_batch *b = &a->batches[next];
        if (b->base < end || b->end <= b->base || b->epoch < epoch || b->epoch > f->epoch) {
            break;
        }
        end = b->end;
        epoch = b->epoch;
        next++;
    }
    out->first = first;
    out->count = next - first;
}

/* What is given up here is gone, and no checksum covers the number: two answers in a row must have said so. */
static void start_follow(struct following *f, int64_t leader_start, struct following_effect *out)
{
    int64_t start = leader_start < f->told_start ? leader_start : f->told_start;
    start = start < f->high_watermark ? start : f->high_watermark;
    f->told_start = leader_start;
    if (f->state == FOLLOWING_STATE_FOLLOWING && start > f->log.start) {
        f->log.start = start;
        out->what |= FOLLOWING_START;
        out->start = start;
    }
}

/* The leader's log starts where this empty one does, inside of a batch: the whole batch comes into the log. */
static bool begin_before(struct following *f, const struct following_answer *a,
                         struct following_effect *out)
{
    bool empty = f->log.start == f->log.end && !f->appending && a->batch_count > 0;
    if (!empty || a->batches[0].base >= f->log.end || a->batches[0].end <= f->log.end ||
        a->batches[0].base < 0) {
        return false;
    }
    f->ask_from = f->log.end;
    f->high_watermark = a->batches[0].base;
    begin_cut(f, FOLLOWING_ANEW | FOLLOWING_WATERMARK, a->batches[0].base, out);
    return true;
}

/* The leader's log continues this one: it has compared the end that was asked from, and that has not moved. */
static void proceed(struct following *f, const struct following_answer *a, bool records,
                    struct following_effect *out)
{
    f->state = FOLLOWING_STATE_FOLLOWING;
    f->unreadable = false;
    f->proved_epoch = f->epoch;
    if (a->high_watermark > f->leader_watermark) {
        f->leader_watermark = a->high_watermark;
    }
    watermark_follow(f, out);
    start_follow(f, a->log_start, out);
    if (records && a->batch_count > 0) {
        batches_choose(f, a, out);
        if (out->count > 0) {
            f->appending = true;
            out->what |= FOLLOWING_APPEND;
        } else {
            f->ask_ns = f->now_ns + f->options.retry_ns; /* bytes that do not fit */
            out->what |= f->unfit_epoch != f->epoch ? FOLLOWING_UNFIT : 0;
            out->offset = f->log.end;
            f->unfit_epoch = f->epoch;
        }
    }
}

/* Who is to lead has not seen the image yet, and will in a moment; who is away may be so for long. */
static uint64_t pause_after(const struct following *f, int error)
{
    bool soon = error == ERR_NOT_LEADER_OR_FOLLOWER || error == ERR_UNKNOWN_LEADER_EPOCH;
    return soon ? f->options.retry_ns / 10 : f->options.retry_ns;
}

void following_answer(struct following *f, uint64_t now_ns, const struct following_answer *a,
                      struct following_effect *out)
{
    enter(f, now_ns, out);
    struct following_ask *ask = a->ticket == f->records.ticket  ? &f->records
                                : a->ticket == f->report.ticket ? &f->report
                                                                : NULL;
    if (!a->ticket || !ask || !asks(f)) {
        return; /* of another epoch, or given up */
    }
    bool records = ask == &f->records, moved = ask->offset != ask_offset(f);
    ask->ticket = 0;
    if (a->error && a->error != ERR_OFFSET_OUT_OF_RANGE) {
        f->told = f->told_kept = -1; /* what was told may not have arrived */
        f->ask_ns = now_ns + pause_after(f, a->error);
    } else if ((a->error || a->diverges) && (moved || f->appending)) {
        f->ask_ns = now_ns; /* it speaks of a log that is another by now: asked again */
    } else if (a->error) {
        begin_anew(f, a->log_start, out);
    } else if (a->diverges) {
        cut_back(f, a, out);
    } else if (!records || moved || !begin_before(f, a, out)) {
        proceed(f, a, records && !moved, out);
    }
    ask_if_due(f, out);
}

void following_appended(struct following *f, uint64_t now_ns, const struct following_log *log,
                        struct following_effect *out)
{
    enter(f, now_ns, out);
    bool none = log->end == f->log.end;
    assert(f->appending && log->end >= f->log.end);
    assert(none || log->last_epoch >= f->log.last_epoch);
    f->appending = false;
    if (none) { /* and a log that is empty meanwhile keeps the epoch in which its end was proved */
        f->ask_ns = now_ns + (f->options.retry_ns << f->untaken);
        f->untaken += f->untaken < UNTAKEN_MAX;
    } else {
        f->log.last_epoch = log->last_epoch;
        f->untaken = 0;
    }
    f->log.end = log->end;
    f->log.counted = log->counted > f->log.counted ? log->counted : f->log.counted;
    watermark_follow(f, out);
    ask_if_due(f, out);
}

void following_flushed(struct following *f, uint64_t now_ns, int64_t counted,
                       struct following_effect *out)
{
    enter(f, now_ns, out);
    if (f->state == FOLLOWING_STATE_DAMAGED || f->state == FOLLOWING_STATE_CUTTING ||
        counted <= f->log.counted) {
        return; /* what a cut leaves is told with it */
    }
    assert(counted <= f->log.end || f->appending);
    f->log.counted = counted;
    watermark_follow(f, out);
    ask_if_due(f, out);
}

void following_kept(struct following *f, uint64_t now_ns, int64_t start,
                    struct following_effect *out)
{
    enter(f, now_ns, out);
    if (f->state != FOLLOWING_STATE_DAMAGED && f->state != FOLLOWING_STATE_CUTTING &&
        start > f->log.kept_start) {
        f->log.kept_start = start;
        ask_if_due(f, out);
    }
}
