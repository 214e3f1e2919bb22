/* SPDX-License-Identifier: Apache-2.0 */

/* The driver of the leader's core: it is told of the log, of images and of followers' fetches, and its effects are
 * carried out here. A batch is in the log first, then durable here, then with all who are in sync; an append that
 * waits for that stands in `pending`, in the order of the log. */
#include "partition/partition_private.h"

enum { LEADING_ROOM = 8 };

static struct leading_log log_of(const struct partition *p)
{
    struct log_status s = log_status(p->log);
    return (struct leading_log){s.start_offset, s.end_offset, s.durable_offset};
}

/* --- appends ---------------------------------------------------------------------------------- */

static int refusal(const struct partition *p, int error)
{
    return p->removing && error == ERR_NOT_LEADER_OR_FOLLOWER ? ERR_UNKNOWN_TOPIC_OR_PARTITION
                                                              : error;
}

/* Those that have their acknowledgement, or have no hope of it. */
static void pending_review(struct partition *p)
{
    struct list *node;
    while ((node = list_first(&p->pending))) {
        struct partition_append *a = container_of(node, struct partition_append, priv.link);
        int acked = leading_acked(p->leading, a->acks, a->append.end_offset);
        if (acked == 0) {
            break;
        }
        list_remove(node);
        if (acked == ERR_NOT_LEADER_OR_FOLLOWER && late_may_take(p, a)) {
            late_take(p, a);
        } else {
            a->done(a, acked < 0 ? refusal(p, acked) : 0);
        }
    }
}

static void append_taken(struct log_append *append)
{
    struct partition_append *a = container_of(append, struct partition_append, append);
    struct partition *p = a->priv.partition;
    assert(p->magic == PARTITION_MAGIC && p->untaken > 0);
    p->untaken--;
    a->priv.taken = true;
    if (p->role == ROLE_LEADER && leading_capacity(p->leading) > 1) {
        role_leader_moved(p); /* followers read what is not durable yet */
    }
    role_begin_due(p);
}

/* H17: else another may lead, and what only this log has would go. */
static bool is_leased(const struct partition *p)
{
    return !partition_is_replicated(p) || partition_table_leased(p->table);
}

bool partition_leads_surely(const struct partition *p)
{
    return p->role == ROLE_LEADER && is_leased(p);
}

static void append_done(struct log_append *append, int error)
{
    struct partition_append *a = container_of(append, struct partition_append, append);
    struct partition *p = a->priv.partition;
    assert(p->magic == PARTITION_MAGIC && p->appends > 0);
    p->appends--;
    p->untaken -= !a->priv.taken;
    late_logged(p, a);
    if (error == ERR_CLOSED || error == ERR_OFFSET_OUT_OF_RANGE) {
        error = ERR_NOT_LEADER_OR_FOLLOWER; /* it goes, or another epoch of its leader has begun */
    }
    bool leads = a->priv.leadership == p->leadership;
    if (error == ERR_OUT_OF_ORDER_SEQUENCE) {
        error = leads ? leading_gap(p->leading) : ERR_NOT_LEADER_OR_FOLLOWER;
    } else if (!error && (!leads || (a->acks == 1 && !is_leased(p)))) {
        /* The flush took longer, or the process stood still. */
        if (a->acks != 0 && late_may_take(p, a)) {
            late_take(p, a);
            return;
        }
        error = ERR_NOT_LEADER_OR_FOLLOWER;
    }
    if (!error && a->acks == -1) {
        int acked = leading_acked(p->leading, a->acks, a->append.end_offset);
        if (acked == 0) {
            list_append(&p->pending, &a->priv.link);
            return;
        }
        error = acked < 0 ? acked : 0;
    }
    error = refusal(p, error);
    partition_settled(p);
    a->done(a, error);
}

int partition_append(struct partition *p, struct partition_append *a)
{
    assert(p->magic == PARTITION_MAGIC && !p->removing);
    assert(a->done && (a->acks == 0 || a->acks == 1 || a->acks == -1));
    bool leads = p->role == ROLE_LEADER && (a->acks == -1 || is_leased(p));
    int error = leads ? leading_admit(p->leading, a->acks) : ERR_NOT_LEADER_OR_FOLLOWER;
    if (error) {
        return error;
    }
    a->priv.partition = p;
    a->priv.leadership = p->leadership;
    a->priv.taken = false;
    list_init(&a->priv.link);
    a->append.as_leader = true;
    a->append.leader_epoch = leading_status(p->leading).epoch;
    a->append.appended = append_taken;
    a->append.done = append_done;
    p->appends++;
    p->untaken++;
    p->patient += a->patient;
    log_append(p->log, &a->append);
    return 0;
}

/* --- effects ---------------------------------------------------------------------------------- */

static void carry(struct partition *p, unsigned effects)
{
    struct partition_table *t = p->table;
    if (effects & LEADING_EPOCH) {
        p->proved_epoch = leading_status(p->leading).epoch;
        log_begin_epoch(p->log, p->proved_epoch);
    }
    if (effects & LEADING_WATERMARK) {
        p->high_watermark = leading_status(p->leading).high_watermark;
        log_raise_watermark(p->log, p->high_watermark);
        late_review(p);
    }
    if (effects & (LEADING_WATERMARK | LEADING_READY | LEADING_ENDED | LEADING_TRIMMED)) {
        partition_stir(p, NEWS_READERS);
    }
    if (effects & LEADING_WAKE) {
        partition_stir(p, NEWS_FOLLOWERS);
    }
    if (effects & LEADING_ALTER && t->needs.alter) {
        t->needs.alter(t->needs.context, p);
    }
    if (effects & (LEADING_WATERMARK | LEADING_SHORT | LEADING_ENDED)) {
        pending_review(p);
    }
    role_alarm(p);
}

/* --- images ----------------------------------------------------------------------------------- */

/* `replicas` has room for LEADING_REPLICAS_MAX. */
static int image_of(const struct partition *p, const struct image *image,
                    struct leading_replica *replicas, struct leading_image *out)
{
    const struct image_partition *seen = &p->topic->partitions[p->index];
    if (seen->replica_count > LEADING_REPLICAS_MAX) {
        return ERR_TOO_LARGE;
    }
    for (int32_t i = 0; i < seen->replica_count; i++) {
        const struct image_broker *b = image_broker_by_id(image, seen->replicas[i]);
        replicas[i] = (struct leading_replica){
            .node = seen->replicas[i],
            .broker_epoch = b ? b->epoch : -1,
            .eligible =
                b && !b->fenced && !image_nodes_have(seen->more->damaged, seen->replicas[i]),
        };
    }
    *out = (struct leading_image){
        .leader = seen->leader,
        .epoch = seen->leader_epoch,
        .partition_epoch = seen->partition_epoch,
        .replicas = replicas,
        .replica_count = (uint32_t)seen->replica_count,
        .isr = seen->isr,
        .isr_count = (uint32_t)seen->isr_count,
        .min_isr = (uint32_t)image_partition_min_isr(seen, image_topic_min_isr(image, p->topic)),
        .recovering = seen->recovering,
    };
    return 0;
}

static void too_many(const struct partition *p, int error)
{
    log_error(
        io_logger(p->io), "partition", "%s-%d is not led here: %s", p->topic->name, (int)p->index,
        error == ERR_TOO_LARGE ? "it has more replicas than one leader counts" : error_text(error));
}

/* With some to spare, so that a reassignment finds it. */
static uint32_t leading_room(uint32_t replicas)
{
    return replicas > 1 && replicas < LEADING_ROOM ? LEADING_ROOM : replicas;
}

/* Memory for that many replicas, with what is in force moved into it. */
static int reserve(struct partition *p, uint32_t replicas, bool move)
{
    if (p->leading && leading_capacity(p->leading) >= replicas) {
        return 0;
    }
    uint32_t room = leading_room(replicas);
    struct leading *larger = memory_alloc(io_memory(p->io), leading_size(room));
    if (!larger) {
        return ERR_NO_MEMORY;
    }
    if (move) {
        leading_move(larger, room, p->leading);
    }
    memory_free(io_memory(p->io), p->leading);
    p->leading = larger;
    return 0;
}

/* What all have now; it is looked at as often as time is: a tombstone that stays longer harms nobody. */
static void keep_tombstones(struct partition *p)
{
    log_keep_tombstones(p->log, leading_held(p->leading));
}

int role_leader_begin(struct partition *p, const struct image *image)
{
    struct leading_replica replicas[LEADING_REPLICAS_MAX];
    struct leading_image seen;
    const struct partition_options *o = &p->table->options;
    int error = image_of(p, image, replicas, &seen);
    bool fresh = !p->leading || leading_capacity(p->leading) < seen.replica_count;
    error = error ? error : reserve(p, seen.replica_count, false);
    if (error) {
        too_many(p, error);
        return error;
    }
    const struct image_broker *own = image_broker_by_id(image, o->node_id);
    const struct leading_options options = {.node = o->node_id,
                                            .broker_epoch = own ? own->epoch : -1,
                                            .lag_ns = o->lag_ns,
                                            .epoch_end = role_epoch_end,
                                            .log = p,
                                            .mutant = o->mutant};
    assert(p->role == ROLE_NONE && list_empty(&p->pending));
    p->broker_epoch = options.broker_epoch;
    log_begin_epoch(p->log, seen.epoch);
    p->proved_epoch = seen.epoch;
    p->role = ROLE_LEADER;
    struct leading_log log = log_of(p);
    int64_t known = p->high_watermark < log.counted ? p->high_watermark : log.counted;
    uint32_t capacity = fresh ? leading_room(seen.replica_count) : leading_capacity(p->leading);
    carry(p, leading_init(p->leading, capacity, &options, &seen, &log, known, role_now(p)) |
                 LEADING_WATERMARK);
    keep_tombstones(p);
    return 0;
}

int role_leader_apply(struct partition *p, const struct image *image)
{
    struct leading_replica replicas[LEADING_REPLICAS_MAX];
    struct leading_image seen;
    int error = image_of(p, image, replicas, &seen);
    error = error ? error : reserve(p, seen.replica_count, true);
    if (error == ERR_NO_MEMORY && seen.epoch == leading_status(p->leading).epoch) {
        /* An epoch is not led twice (P19): it goes on with the replicas that it knows until the next image. */
        log_warn(io_logger(p->io), "partition", "%s-%d: no memory for more replicas",
                 p->topic->name, (int)p->index);
        return 0;
    }
    if (error) {
        too_many(p, error);
        return error;
    }
    carry(p, leading_apply(p->leading, role_now(p), &seen));
    keep_tombstones(p);
    return 0;
}

void role_leader_end(struct partition *p)
{
    assert(p->role == ROLE_LEADER);
    unsigned effects = leading_resign(p->leading);
    p->role = ROLE_NONE;
    p->leadership++;
    late_begin(p);
    carry(p, effects);
    assert(list_empty(&p->pending));
}

/* --- events ----------------------------------------------------------------------------------- */

void role_leader_moved(struct partition *p)
{
    struct leading_log log = log_of(p);
    carry(p, leading_moved(p->leading, role_now(p), &log));
}

void role_leader_tick(struct partition *p)
{
    carry(p, leading_tick(p->leading, role_now(p)));
    keep_tombstones(p);
}

void partition_fetch(struct partition *p, struct leading_fetch *fetch,
                     struct leading_answer *answer)
{
    *answer = (struct leading_answer){.error = ERR_NOT_LEADER_OR_FOLLOWER};
    if (p->role == ROLE_LEADER) {
        carry(p, leading_fetch(p->leading, role_now(p), fetch, answer));
    }
}

void partition_review(const struct partition *p, const struct leading_fetch *fetch,
                      struct leading_answer *answer)
{
    *answer = (struct leading_answer){.error = ERR_NOT_LEADER_OR_FOLLOWER};
    if (p->role == ROLE_LEADER) {
        leading_review(p->leading, fetch, answer);
    }
}

bool partition_proposal(const struct partition *p, struct leading_proposal *out)
{
    bool altering = p->role == ROLE_LEADER && leading_status(p->leading).altering;
    if (altering) {
        leading_proposal(p->leading, out);
    }
    return altering;
}

void partition_altered(struct partition *p, uint64_t ticket, int error)
{
    if (p->role == ROLE_LEADER) {
        carry(p, leading_altered(p->leading, role_now(p), ticket, error));
    }
}

int partition_latest(const struct partition *p, int64_t *out)
{
    if (p->role != ROLE_LEADER) {
        return ERR_NOT_LEADER_OR_FOLLOWER;
    }
    return is_leased(p) ? leading_latest(p->leading, out) : ERR_OFFSET_NOT_AVAILABLE;
}

int partition_trimmed(const struct partition *p, int64_t offset)
{
    if (p->role != ROLE_LEADER) {
        return ERR_NOT_LEADER_OR_FOLLOWER;
    }
    return leading_trimmed(p->leading) >= offset;
}
