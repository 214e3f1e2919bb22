/* SPDX-License-Identifier: Apache-2.0 */

/* Operations of a running metadata log.
 *
 *     meta_submit --(io_post)--> waiting --end of turn, no batch on its way--> deciding
 *         decided one after the other, each against the image with all that was decided before it
 *     deciding --meta_append--> committed: shown, published --> done --(io_post)--> submitter
 *
 * One batch is on its way at a time; what arrives meanwhile makes the next (group commit). So every
 * answer, a refusal too, waits until what it was decided against is durable, and a batch that
 * cannot be appended takes nothing with it but its own operations. */
#include "meta/meta_start.h"

#include <stdio.h>

static void check(const struct meta *m)
{
    assert(m && m->magic == META_MAGIC);
}

void meta_show(struct meta *m, struct image *next)
{
    const struct image *before = m->image;
    image_seal(next);
    said_brokers(m, before, next);
    m->image = next;
    if (!before || !bytes_equal(image_voters(before), image_voters(next))) {
        voters_show(m);
    }
    bool brokers = before && image_broker_count(before) != image_broker_count(next);
    if (before && image_brokers_configured_differently(before, next)) {
        stated_say(m);
    }
    image_release(before);
    if (m->state == META_ACTIVE && m->options.publish) {
        m->options.publish(m->options.publish_context, next);
    }
    /* What ends by this image is told behind it. */
    if (brokers) {
        membership_wake(m);
    } else {
        membership_look(m);
    }
    forward_look(m);
    reads_look(m);
}

/* --- answering -------------------------------------------------------------------------------- */

static void answer_delivered(struct io_message *message, struct io *io)
{
    struct meta_op *op = container_of(message, struct meta_op, priv.message);
    assert(io_shard(io) == op->priv.shard);
    op->done(op);
}

static void answer(struct meta *m, struct meta_op *op)
{
    if (op->priv.shard == io_shard(m->io)) {
        op->done(op);
        return;
    }
    op->priv.message.deliver = answer_delivered;
    io_post(m->io, op->priv.shard, &op->priv.message);
}

static void fail(struct meta_op *op, int error, const char *why)
{
    op->error = error;
    snprintf(op->why, sizeof op->why, "%s", why);
    op->producer_id_count = 0;
}

void meta_answer(struct meta *m, struct meta_op *op, int error)
{
    op->error = error;
    if (error) {
        char why[sizeof op->why];
        snprintf(why, sizeof why, "%s", op->why[0] ? op->why : error_text(error));
        fail(op, error, why);
    }
    answer(m, op);
}

/* Answers all of `ops`; when `error`, none of them has happened. */
static void answer_all(struct meta *m, struct list *ops, int error)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, ops);
    struct list *node;
    while ((node = list_pop(&batch))) {
        struct meta_op *op = container_of(node, struct meta_op, priv.link);
        if (error) {
            fail(op, error, error_text(error));
        }
        answer(m, op);
    }
}

/* --- deciding --------------------------------------------------------------------------------- */

static int emit(void *context, const struct wire_message *message, int version, const void *body)
{
    struct meta *m = context;
    return proposal_emit(&m->proposal, message, version, body);
}

static struct uuid fresh_topic_id(struct meta *m)
{
    struct uuid id;
    do {
        io_random(m->io, id.bytes, sizeof id.bytes);
        id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
        id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    } while (image_topic_by_id(m->proposal.image, id));
    return id;
}

struct unclean_said {
    struct meta *meta;
    unsigned lines;
};

enum { UNCLEAN_LINES_MAX = 20 };

static void say_unclean_topic(void *context, const struct image_topic *old,
                              const struct image_topic *new)
{
    struct unclean_said *said = context;
    for (int32_t i = 0; old && new &&i < old->partition_count &&i < new->partition_count; i++) {
        const struct image_partition *p = &new->partitions[i];
        if (p->unclean_epoch != old->partitions[i].unclean_epoch &&
            said->lines++ < UNCLEAN_LINES_MAX) {
            log_warn(io_logger(said->meta->io), "meta",
                     "unclean election: broker %d leads %s-%d from epoch %d on and may lack "
                     "acknowledged records",
                     (int)p->leader, new->name, (int)i, (int)p->leader_epoch);
        }
    }
}

/* Each election that may lose what was acknowledged is told (P26). */
static void say_unclean(struct meta *m, const struct meta_op *op)
{
    struct unclean_said said = {m, 0};
    if (op->unclean_count == 0) {
        return;
    }
    image_diff(m->proposal.image, m->proposal.candidate, say_unclean_topic, &said);
    if (said.lines > UNCLEAN_LINES_MAX) {
        log_warn(io_logger(m->io), "meta", "unclean elections: of %u partitions more",
                 said.lines - UNCLEAN_LINES_MAX);
    }
}

/* Decides one operation. False when the batch is full and the operation must wait for the next. */
static bool decide(struct meta *m, struct meta_op *op)
{
    struct proposal *p = &m->proposal;
    if (proposal_open(p) != 0) {
        fail(op, ERR_NO_MEMORY, error_text(ERR_NO_MEMORY));
        return true;
    }
    const struct controller c = {
        .image = p->image,
        .candidate = p->candidate,
        .limits = &m->limits,
        .fresh_id = fresh_topic_id(m),
        .next_offset = proposal_next_offset(p),
        .memory = m->memory,
        .sessions = &m->membership.sessions,
        .ends = &m->membership.ends,
        .now_ns = io_now(m->io),
        .mutant = m->options.controller_mutant,
        .emit = emit,
        .context = m,
    };
    uint32_t changed = op->changed_count;
    int error = controller_decide(&c, op);
    if (!error && op->changed_count > changed) {
        lease_moved(m, proposal_next_offset(p) - 1); /* somebody may lead in another's place */
    }
    if (!error && op->kind == META_HEARTBEAT) {
        op->heartbeat->lease_ms = lease_grant_ms(m, op->heartbeat);
    }
    if (!error) {
        say_unclean(m, op);
        proposal_keep(p);
        return true;
    }
    bool full = error == ERR_TOO_LARGE;
    proposal_undo(p);
    if (full && p->batch.record_count > 0) {
        return false;
    }
    if (full) {
        fail(op, ERR_POLICY_VIOLATION, "The operation is larger than one batch of metadata.");
    }
    return true;
}

static void decide_waiting(struct meta *m);

static void batch_committed(struct meta *m, int error)
{
    if (error && error != ERR_NOT_CONTROLLER) {
        log_warn(io_logger(m->io), "meta", "cannot write metadata: %s", error_text(error));
    }
    answer_all(m, &m->deciding, error);
    meta_batch_over(m);
}

void meta_batch_over(struct meta *m)
{
    if (m->state == META_CLOSING) {
        meta_close_next(m);
        return;
    }
    meta_snapshot_maybe(m);
    decide_waiting(m);
}

void meta_decide(struct meta *m)
{
    decide_waiting(m);
}

static void decide_waiting(struct meta *m)
{
    struct bytes batch;
    unsigned count = 0;
    reads_refuse(m);
    stated_look(m);
    bool none = list_empty(&m->waiting) && list_empty(&m->changes.waiting);
    if (m->busy || m->appending || m->state == META_CLOSING || none) {
        return;
    }
    if (!m->leading || (m->state == META_OPENING && start_is_alone(m))) {
        forward_waiting(m);
        return;
    }
    if (voter_changes_next(m) || list_empty(&m->waiting)) {
        return;
    }
    assert(list_empty(&m->deciding));
    int error =
        proposal_begin(&m->proposal, m->image, log_status(m->log).end_offset, io_wall_ms(m->io));
    if (error) {
        answer_all(m, &m->waiting, error);
        return;
    }
    while (!list_empty(&m->waiting) && count++ < META_OPS_PER_BATCH) {
        struct list *node = list_first(&m->waiting);
        struct meta_op *op = container_of(node, struct meta_op, priv.link);
        if (op->kind == META_READ) {
            list_remove(node);
            reads_take(m, op);
            io_turn_end(m->io, &m->turn);
            continue;
        }
        if (!decide(m, op) || op->more) {
            break; /* it is decided (again) when this batch is committed */
        }
        list_remove(node);
        list_append(&m->deciding, node);
    }
    if (m->proposal.batch.record_count == 0) {
        proposal_drop(&m->proposal);
        answer_all(m, &m->deciding, 0);
    } else if ((error = proposal_finish(&m->proposal, m->epoch, &batch)) != 0) {
        proposal_drop(&m->proposal);
        answer_all(m, &m->deciding, error);
    } else {
        meta_append(m, batch, proposal_take(&m->proposal), batch_committed);
        return;
    }
    if (!list_empty(&m->waiting)) {
        io_turn_end(m->io, &m->turn);
    }
}

static void turn_end(struct io_turn *turn)
{
    struct meta *m = container_of(turn, struct meta, turn);
    decide_waiting(m);
    if (m->state != META_CLOSING) {
        reads_look(m);
    }
}

/* --- public ----------------------------------------------------------------------------------- */

static void arrive(struct meta *m, struct meta_op *op)
{
    check(m);
    op->priv.arrived_ns = io_now(m->io);
    if (op->kind == META_READ && m->leading && m->state == META_ACTIVE) {
        reads_take(m, op);
    } else {
        list_append(&m->waiting, &op->priv.link);
    }
    m->turn.turn_end = turn_end;
    if (m->state == META_CLOSING) {
        answer_all(m, &m->waiting, ERR_CLOSED);
    } else {
        io_turn_end(m->io, &m->turn);
    }
}

static void submission_delivered(struct io_message *message, struct io *io)
{
    struct meta_op *op = container_of(message, struct meta_op, priv.message);
    arrive(op->priv.meta, op);
}

void meta_submit(struct meta *meta, struct io *io, struct meta_op *op)
{
    assert(op->done);
    memset(&op->priv, 0, sizeof op->priv);
    list_init(&op->priv.link);
    op->priv.shard = io_shard(io);
    op->priv.meta = meta;
    op->error = 0;
    op->why[0] = 0;
    op->producer_id_count = 0;
    op->changed_count = 0;
    if (op->priv.shard == 0 && meta->state == META_ACTIVE) {
        arrive(meta, op);
        return;
    }
    /* Also on shard 0: done() never comes from inside the call. */
    op->priv.message.deliver = submission_delivered;
    io_post(io, 0, &op->priv.message);
}

/* All that the log held at the start. */
static const struct image *known(const struct meta *m)
{
    const struct image *newest = m->ahead ? m->ahead : m->image;
    return m->pinned ? m->pinned : newest;
}

const char *meta_knows(const struct meta *meta, struct uuid topic_id, int32_t partition)
{
    check(meta);
    const struct image_topic *t = image_topic_by_id(known(meta), topic_id);
    return t && partition >= 0 && partition < t->partition_count ? t->name : NULL;
}

const char *meta_knew(const struct meta *meta, struct uuid topic_id, int32_t partition)
{
    check(meta);
    const struct image_topic *t = image_topic_removed(known(meta), topic_id);
    return t && partition >= 0 && partition < t->partition_count ? t->name : NULL;
}

/* --- stopping --------------------------------------------------------------------------------- */

void meta_free(struct meta *m)
{
    struct memory *memory = m->memory;
    assert(!meta_log_busy(m) && !m->snapshot.active && !m->load.active);
    proposal_deinit(&m->proposal);
    image_release(m->pinned);
    image_release(m->ahead);
    image_release(m->image);
    image_home_free(m->home);
    membership_end(m);
    quorum_end(m);
    memory_free(memory, m->start);
    m->magic = 0;
    memory_free(memory, m);
}

static void logs_closed(struct log_set_close *close)
{
    struct meta *m = container_of(close, struct meta, log_close);
    struct meta_close *c = m->close;
    m->logs = NULL;
    if (!c) {
        start_failed(m);
        return;
    }
    meta_free(m);
    c->done(c);
}

void meta_leave(struct meta *m)
{
    if (!m->resigned) {
        m->resigned = true;
        quorum_resign(m);
        serve_close(m);
        membership_wake(m);
        forward_look(m);
        meta_decide(m);
    }
}

void meta_close_next(struct meta *m)
{
    assert(m->state == META_CLOSING);
    if (m->busy || m->logs_closing) {
        return;
    }
    meta_leave(m);
    meta_load_stop(m);
    if (quorum_busy(m) || meta_log_busy(m) || m->snapshot.active || m->load.active ||
        m->links.ends > 0) {
        return;
    }
    if (!m->links.closed) {
        links_close(m);
        watches_end(m);
    }
    if (m->links.closing > 0 || m->watches.closing > 0 || membership_busy(m) ||
        m->forwards.count > 0 || m->changes.telling) {
        return;
    }
    m->logs_closing = true;
    if (!m->logs) {
        start_failed(m);
        return;
    }
    m->log_close.done = logs_closed;
    log_set_close(m->logs, &m->log_close);
}

void meta_close(struct meta *meta, struct meta_close *c)
{
    check(meta);
    assert(meta->state == META_ACTIVE || meta->quorum.raft);
    meta->state = META_CLOSING;
    meta->open = NULL;
    meta->close = c;
    voter_changes_back(meta);
    answer_all(meta, &meta->waiting, ERR_CLOSED);
    reads_close(meta);
    forward_look(meta);
    meta_close_next(meta);
}
