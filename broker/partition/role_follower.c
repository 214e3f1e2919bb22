/* SPDX-License-Identifier: Apache-2.0 */

/* The driver of the follower's core: the room above asks the leader and hands the answers in; what enters the log,
 * and what of it goes, is done here. */
#include "partition/partition_private.h"

#include "base/buffer.h"
#include "wire/batch.h"

#include <inttypes.h>

/* Not by single answers: one that brings nothing may only have told of the high watermark, or of another partition in
 * the same request. */
static const uint64_t hot_ns = 1000000000;

/* What was fetched on its way into the log. */
struct follower_append {
    struct log_follow follow;
    struct partition *partition;
    struct buffer *buffer; /* holds the bytes; NULL: they are in the log */
};

static void carry(struct partition *p, const struct following_effect *e);

static struct following_log log_of(const struct partition *p)
{
    struct log_status s = log_status(p->log);
    return (struct following_log){s.start_offset, s.end_offset, s.durable_offset,
                                  log_last_epoch(p->log), p->start_kept};
}

/* --- cuts ------------------------------------------------------------------------------------- */

static void cut_done(struct log_control *c, int error)
{
    struct partition *p = container_of(c, struct partition, cut);
    assert(p->magic == PARTITION_MAGIC && p->cutting);
    p->cutting = false;
    int64_t end = log_status(p->log).end_offset;
    if (p->high_watermark > end) {
        p->high_watermark = end;
    }
    if (!error && c->kind == LOG_ANEW) {
        p->start_kept = p->start_wanted = c->offset;
    }
    struct following_effect e = {0};
    if (p->table && !p->removing && p->role == ROLE_FOLLOWER) {
        int64_t counted = log_status(p->log).durable_offset;
        if (error == ERR_BUSY || error == ERR_NO_MEMORY) {
            following_uncut(&p->following, role_now(p), counted, &e);
        } else if (error == ERR_DAMAGED || error == ERR_DISK_FAILED ||
                   error == ERR_OFFSET_OUT_OF_RANGE) { /* or written anew, which is never cut */
            following_unreadable(&p->following, role_now(p), counted, &e);
        } else if (error) {
            following_fail(&p->following, &e);
        } else {
            struct following_log log = log_of(p);
            following_cut(&p->following, role_now(p), &log, &e);
        }
        carry(p, &e);
    }
    partition_settled(p);
}

static void cut(struct partition *p, const struct following_effect *e)
{
    bool anew = e->what & FOLLOWING_ANEW;
    struct log_status s = log_status(p->log);
    log_info(io_logger(p->io), "partition",
             "%s: %s-%d at offset=%" PRId64 ", it had %" PRId64 " to %" PRId64
             ", leader=%d epoch=%d",
             anew ? "the log begins anew" : "the log is cut, for the leader's goes on differently",
             p->topic->name, (int)p->index, e->offset, s.start_offset, s.end_offset, (int)p->leader,
             (int)p->epoch);
    assert(!p->cutting);
    p->cutting = true;
    p->cut = (struct log_control){.kind = anew ? LOG_ANEW : LOG_TRUNCATE,
                                  .offset = e->offset,
                                  .leader_epoch = -1,
                                  .done = cut_done};
    log_control(p->log, &p->cut);
}

static void start_go(struct partition *p);

static void start_kept(struct partition *p, int64_t start)
{
    p->start_kept = start;
    if (p->role == ROLE_FOLLOWER) {
        struct following_effect e;
        following_kept(&p->following, role_now(p), start, &e);
        carry(p, &e);
    }
}

static void start_done(struct log_control *c, int error)
{
    struct partition *p = container_of(c, struct partition, start);
    assert(p->magic == PARTITION_MAGIC && p->starting);
    p->starting = false;
    if (error && error != ERR_CLOSED) {
        log_warn(io_logger(p->io), "partition", "the log start is not moved: error=\"%s\"",
                 error_text(error));
    } else if (p->table && !p->removing) {
        start_kept(p, c->offset);
        start_go(p);
    }
    partition_settled(p);
}

static void start_go(struct partition *p)
{
    if (p->starting || p->start_wanted <= p->start_kept ||
        p->start_wanted > log_status(p->log).end_offset) {
        return;
    }
    p->starting = true;
    p->start =
        (struct log_control){.kind = LOG_START, .offset = p->start_wanted, .done = start_done};
    log_control(p->log, &p->start);
}

/* --- appends ---------------------------------------------------------------------------------- */

static void append_over(struct follower_append *x)
{
    struct partition *p = x->partition;
    if (x->buffer) {
        buffer_release(x->buffer);
    }
    memory_free(io_memory(p->io), x);
    p->appends--;
    partition_settled(p);
}

static void tell_appended(struct partition *p)
{
    if (p->table && !p->removing && p->role == ROLE_FOLLOWER) {
        struct following_log log = log_of(p);
        struct following_effect e;
        following_appended(&p->following, role_now(p), &log, &e);
        carry(p, &e);
    }
}

static void follow_taken(struct log_follow *f)
{
    struct follower_append *x = container_of(f, struct follower_append, follow);
    struct partition *p = x->partition;
    assert(p->magic == PARTITION_MAGIC && p->untaken > 0);
    buffer_release(x->buffer);
    x->buffer = NULL;
    p->untaken--;
    tell_appended(p);
    role_begin_due(p);
}

static void follow_done(struct log_follow *f, int error)
{
    struct follower_append *x = container_of(f, struct follower_append, follow);
    struct partition *p = x->partition;
    assert(p->magic == PARTITION_MAGIC && p->appends > 0);
    if (x->buffer) { /* not all of it was taken */
        p->untaken--;
        if (f->refusal && p->table && !p->removing) {
            log_warn(io_logger(p->io), "partition",
                     "%s-%d: what leader=%d has sent is not taken: %s; error=\"%s\"",
                     p->topic->name, (int)p->index, (int)p->leader, f->refusal, error_text(error));
        }
        tell_appended(p);
    }
    append_over(x);
}

/* What stands in `records`, as far as it can be told. */
static uint32_t batches_of(struct bytes records, struct following_batch *out, size_t *ends,
                           uint32_t max)
{
    uint32_t count = 0;
    struct batch_header h;
    for (size_t at = 0; count < max && at < records.size; count++) {
        if (batch_header_read(&h, records.data + at, records.size - at) != 0) {
            break;
        }
        at += h.size;
        out[count] =
            (struct following_batch){h.base_offset, batch_last_offset(&h) + 1, h.leader_epoch};
        ends[count] = at;
    }
    return count;
}

static void append(struct partition *p, struct follower_append *x, const struct partition_answer *a,
                   size_t from, size_t to)
{
    x->partition = p;
    x->buffer = buffer_take(a->buffer);
    /* The leader's log may have been compacted once, whatever the topic says now. */
    x->follow = (struct log_follow){.batches = bytes_of(a->records.data + from, to - from),
                                    .leader_epoch = p->following.epoch,
                                    .gaps = true,
                                    .appended = follow_taken,
                                    .done = follow_done};
    p->appends++;
    p->untaken++;
    log_append_follower(p->log, &x->follow);
}

void partition_answered(struct partition *p, const struct partition_answer *a)
{
    struct following_batch batches[FOLLOWING_BATCHES_MAX];
    size_t ends[FOLLOWING_BATCHES_MAX];
    if (p->role != ROLE_FOLLOWER) {
        return;
    }
    struct following_answer answer = {.ticket = a->ticket,
                                      .error = a->error,
                                      .diverges = a->diverges,
                                      .diverging = a->diverging,
                                      .high_watermark = a->high_watermark,
                                      .log_start = a->log_start,
                                      .batches = batches};
    if (a->held >= 0 && !a->error) {
        log_keep_tombstones(p->log, a->held);
    }
    answer.batch_count = batches_of(a->records, batches, ends, FOLLOWING_BATCHES_MAX);
    struct follower_append *x =
        answer.batch_count ? memory_alloc(io_memory(p->io), sizeof *x) : NULL;
    if (answer.batch_count && !x) {
        answer.error = ERR_NO_MEMORY;
    }
    if (answer.batch_count) {
        p->hot_until_ns = role_now(p) + hot_ns;
    }
    struct following_effect e;
    following_answer(&p->following, role_now(p), &answer, &e);
    carry(p, &e);
    if (e.what & FOLLOWING_APPEND) {
        assert(x && e.count > 0);
        append(p, x, a, e.first ? ends[e.first - 1] : 0, ends[e.first + e.count - 1]);
    } else {
        memory_free(io_memory(p->io), x);
    }
}

/* --- effects ---------------------------------------------------------------------------------- */

static void carry(struct partition *p, const struct following_effect *e)
{
    const struct partition_needs *needs = &p->table->needs;
    if (e->what & FOLLOWING_DAMAGED) {
        log_error(io_logger(p->io), "partition",
                  "%s-%d follows no more: %s; leader=%d epoch=%d. Its other replicas go on; this "
                  "one is made anew "
                  "when it is assigned to another broker and back",
                  p->topic->name, (int)p->index, e->why, (int)p->leader, (int)p->epoch);
    }
    if (e->what & FOLLOWING_UNFIT) {
        log_warn(io_logger(p->io), "partition",
                 "%s-%d cannot take what its leader sends: it does not follow the log's end, and "
                 "is asked for again: "
                 "offset=%" PRId64 " leader=%d epoch=%d",
                 p->topic->name, (int)p->index, e->offset, (int)p->leader, (int)p->epoch);
    }
    p->proved_epoch = p->following.proved_epoch;
    if (e->what & (FOLLOWING_TRUNCATE | FOLLOWING_ANEW)) {
        late_cut(p, e->what & FOLLOWING_ANEW ? 0 : e->offset);
    }
    if (e->what & FOLLOWING_WATERMARK) {
        bool risen = p->following.high_watermark > p->high_watermark;
        p->high_watermark = p->following.high_watermark;
        if (risen && !(e->what & FOLLOWING_ANEW)) { /* else with the log itself */
            log_raise_watermark(p->log, p->high_watermark);
        }
        late_review(p);
        partition_stir(p, NEWS_READERS);
    }
    if (e->what & FOLLOWING_START) {
        p->start_wanted = e->start;
        start_go(p);
    }
    if (e->what & (FOLLOWING_TRUNCATE | FOLLOWING_ANEW)) {
        cut(p, e);
    }
    if (e->what & FOLLOWING_ASK && needs->ask) {
        needs->ask(needs->context, p);
    }
    if (e->what & FOLLOWING_DAMAGED) {
        health_look(p);
    }
    role_alarm(p);
}

/* --- events ----------------------------------------------------------------------------------- */

void role_follower_begin(struct partition *p)
{
    const struct following_options options = {
        .node = p->table->options.node_id,
        .epoch_end = role_epoch_end,
        .log = p,
        .mutant = p->table->options.mutant,
    };
    struct following_log log = log_of(p);
    assert(p->role == ROLE_NONE);
    p->role = ROLE_FOLLOWER;
    p->hot_until_ns = role_now(p) + hot_ns;
    log_keep_tombstones(p->log, 0); /* until the leader says what all have */
    following_init(&p->following, &options, &log, p->high_watermark, p->proved_epoch, role_now(p));
    p->high_watermark = p->following.high_watermark;
    p->start_wanted = log.start; /* it was led, perhaps, and this is not durable yet */
    start_go(p);
}

void role_follower_apply(struct partition *p, const struct image_partition *seen)
{
    int32_t self = p->table->options.node_id;
    const struct image_nodes isr = {seen->isr, seen->isr_count};
    const struct following_image image = {
        .leader = seen->leader,
        .epoch = seen->leader_epoch,
        .unclean_epoch = seen->unclean_epoch,
        .in_sync = image_nodes_have(isr, self) || image_nodes_have(seen->more->elr, self),
    };
    struct following_effect e;
    if (seen->leader_epoch != p->following.epoch) {
        p->hot_until_ns = role_now(p) + hot_ns;
    }
    following_apply(&p->following, role_now(p), &image, &e);
    carry(p, &e);
}

void role_follower_moved(struct partition *p)
{
    struct following_effect e;
    following_flushed(&p->following, role_now(p), log_status(p->log).durable_offset, &e);
    carry(p, &e);
}

int32_t partition_leader_to_ask(const struct partition *p)
{
    return p->role == ROLE_FOLLOWER ? p->following.leader : -1;
}

enum following_want partition_wants(struct partition *p)
{
    enum following_want want = p->role == ROLE_FOLLOWER
                                   ? following_wants(&p->following, role_now(p))
                                   : FOLLOWING_WANTS_NOTHING;
    if (want == FOLLOWING_WANTS_NOTHING) {
        role_alarm(p); /* there was none while it was queued */
    }
    return want;
}

bool partition_is_hot(const struct partition *p)
{
    return role_now(p) < p->hot_until_ns;
}

bool partition_is_added(const struct partition *p)
{
    const struct image_partition *seen = &p->topic->partitions[p->index];
    return image_nodes_have(seen->more->adding, p->table->options.node_id);
}

bool partition_ask(struct partition *p, struct following_request *out)
{
    bool asks = p->role == ROLE_FOLLOWER && following_next(&p->following, role_now(p), out);
    role_alarm(p);
    return asks;
}
