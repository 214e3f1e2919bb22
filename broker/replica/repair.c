/* SPDX-License-Identifier: Apache-2.0 */

/* What is damaged here comes back from other replicas, and the controller learns of it.
 *
 *     a partition ails (partition/health.c) -> r->ailing
 *        -> reports: all that are due in one operation (META_REPORT_REPLICAS), at most one in a second
 *        -> mends: a segment at a time: log_mend_begin -> Fetch, as a consumer reads -> log_mend_put, ... until it is
 *           whole -> the next one
 *
 * Fetches of mends are those of a consumer: what is committed, of the leader or of a replica that is proved in the
 * leader's epoch. Who has the same damage, or is not there, is followed by the next replica. Over connections
 * of their own: an answer must not wait behind followers' fetches. What fails is tried again by the alarm. */
#include "replica/replica_private.h"

#include <inttypes.h>

enum { MENDS_MAX = 2, MEND_BYTES_MAX = 4 << 20, MEND_ANSWER_MS = 5000 };

static const uint64_t again_ns = 1000000000, ms_ns = 1000000;

/* A segment that is on its way to be whole. */
struct mend {
    struct replica *replica;
    struct list link; /* in replica->mends */
    struct uuid topic_id;
    int32_t partition;
    int32_t node; /* that it comes from */
    int64_t from_offset;
    struct log_mend log;
    struct buffer *buffer; /* of what is put; NULL: nothing is */
    struct peer *peer;
    struct peer_request request;
    struct peer_close close;
    bool over;
};

static void mend_ask(struct mend *x);

static struct partition *partition_of(const struct mend *x)
{
    return partition_find(x->replica->options.partitions, x->topic_id, x->partition);
}

static const char *topic_of(const struct mend *x)
{
    const struct partition *p = partition_of(x);
    return p ? partition_topic_name(p) : "a topic that has gone";
}

/* --- the alarm -------------------------------------------------------------------------------- */

static void alarm_rings(struct io_op *op, int64_t result)
{
    struct replica *r = container_of(op, struct replica, repair_alarm);
    (void)result;
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

static void alarm_set(struct replica *r)
{
    if (io_op_idle(&r->repair_alarm) && !list_empty(&r->ailing) && !r->stopping) {
        r->repair_alarm.done = alarm_rings;
        io_timer(r->io, &r->repair_alarm, io_now(r->io) + again_ns);
    }
}

void repair_ask(void *context, struct partition *p)
{
    struct replica *r = context;
    if (!r->stopping && list_empty(partition_ailing(p))) {
        list_append(&r->ailing, partition_ailing(p));
        io_turn_end(r->io, &r->turn);
    }
}

/* --- reports ---------------------------------------------------------------------------------- */

static void reported(struct meta_op *op)
{
    struct replica *r = container_of(op, struct replica, report_op);
    for (uint32_t i = 0; i < op->report_count; i++) {
        int error = op->error ? op->error : op->reports[i].error;
        if (error && !r->stopping) {
            log_warn(io_logger(r->io), "replica",
                     "the controller was not told what has become of a replica: report=%d "
                     "error=\"%s\"; again in 1 s",
                     (int)op->reports[i].report, error_text(error));
            break;
        }
    }
    memory_free(io_memory(r->io), r->reports);
    r->reports = NULL;
    replica_idle(r);
}

static void report_go(struct replica *r)
{
    const struct image_broker *own =
        r->image ? image_broker_by_id(r->image, r->options.node_id) : NULL;
    uint64_t now = io_now(r->io);
    if (r->reports || !own || now < r->report_next_ns) {
        return;
    }
    struct meta_replica_report *reports =
        memory_alloc(io_memory(r->io), META_ELECTIONS_MAX * sizeof *reports);
    uint32_t count = 0;
    struct list told; /* they go behind the others, for some are told again and again */
    list_init(&told);
    list_each (node, &r->ailing) {
        if (reports && count < META_ELECTIONS_MAX &&
            partition_report(partition_that_ails(node), &reports[count])) {
            count++;
            list_remove(node);
            list_append(&told, node);
        }
    }
    list_splice(&r->ailing, &told);
    if (count == 0) {
        memory_free(io_memory(r->io), reports);
        return;
    }
    r->reports = reports;
    r->report_next_ns = now + again_ns;
    r->report_op = (struct meta_op){.done = reported,
                                    .kind = META_REPORT_REPLICAS,
                                    .broker = r->options.node_id,
                                    .broker_epoch = own->epoch,
                                    .reports = reports,
                                    .report_count = count};
    meta_submit(r->options.meta, r->io, &r->report_op);
}

/* --- the end of a mend ------------------------------------------------------------------------ */

static void mend_closed(struct peer_close *c)
{
    struct mend *x = container_of(c, struct mend, close);
    struct replica *r = x->replica;
    list_remove(&x->link);
    memory_free(io_memory(r->io), x);
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

static void mend_end(struct mend *x)
{
    assert(!x->over);
    x->over = true;
    log_mend_drop(&x->log);
    if (x->buffer) {
        buffer_release(x->buffer);
        x->buffer = NULL;
    }
    x->close.done = mend_closed;
    peer_close(x->peer, &x->close);
}

static void mend_failed(struct mend *x, int error)
{
    struct replica *r = x->replica;
    log_warn(io_logger(r->io), "replica",
             "%s-%d: what is damaged here cannot be had from node=%d at offset=%" PRId64
             ": error=\"%s\"; another replica is asked in 1 s",
             topic_of(x), (int)x->partition, (int)x->node, x->log.next_offset, error_text(error));
    r->repair_attempts++;
    r->mend_next_ns = io_now(r->io) + again_ns;
    mend_end(x);
}

/* --- one segment ------------------------------------------------------------------------------ */

static void mend_taken(struct log_mend *m, int error)
{
    struct mend *x = container_of(m, struct mend, log);
    if (x->buffer) {
        buffer_release(x->buffer);
        x->buffer = NULL;
    }
    if (error == ERR_CLOSED) {
        mend_end(x); /* the log is another by now */
    } else if (error) {
        mend_failed(x, error);
    } else if (m->next_offset < m->end_offset) {
        mend_ask(x);
    } else {
        log_info(io_logger(x->replica->io), "replica",
                 "%s-%d: offsets %" PRId64 " to %" PRId64
                 " were damaged here and are whole again, from node=%d",
                 topic_of(x), (int)x->partition, x->from_offset, m->end_offset, (int)x->node);
        x->replica->repair_attempts = 0; /* the leader first again */
        mend_end(x);
    }
}

static int encode(struct peer_request *request, struct wire_writer *w, int version)
{
    struct mend *x = container_of(request, struct mend, request);
    const struct partition *p = partition_of(x);
    struct fetch_request_partitions part;
    struct fetch_request_topics topic;
    struct fetch_request q;
    if (!p) {
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    fetch_request_partitions_init(&part);
    part.partition = x->partition;
    part.current_leader_epoch = partition_epoch(p);
    part.fetch_offset = x->log.next_offset;
    part.partition_max_bytes = MEND_BYTES_MAX;
    part.asks_for_gaps = true;
    fetch_request_topics_init(&topic);
    topic.topic_id = x->topic_id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    fetch_request_init(&q);
    q.topics = &topic;
    q.topics_count = 1;
    q.max_bytes = MEND_BYTES_MAX;
    q.cluster_id = wire_string_of(meta_cluster_id(x->replica->options.meta));
    return fetch_request_encode(&q, w, version);
}

/* What an answer holds of the partition; nothing of it is believed. */
static int records_of(const struct mend *x, const struct fetch_response *in, struct bytes *out,
                      bool *gaps)
{
    if (in->error_code || in->responses_count != 1 || in->responses[0].partitions_count != 1 ||
        !uuid_equal(in->responses[0].topic_id, x->topic_id)) {
        return in->error_code ? error_from_wire(in->error_code) : ERR_MALFORMED;
    }
    const struct fetch_response_partitions *part = &in->responses[0].partitions[0];
    if (part->error_code || part->partition_index != x->partition) {
        return part->error_code ? error_from_wire(part->error_code) : ERR_MALFORMED;
    }
    if (part->records.slice_count != 1 || part->records.slices[0].size == 0) {
        return ERR_OFFSET_NOT_AVAILABLE;
    }
    *gaps = part->gaps;
    *out = bytes_of(part->records.slices[0].data, part->records.slices[0].size);
    return 0;
}

static void mend_answered(struct peer_request *request, const struct peer_answer *answer)
{
    struct mend *x = container_of(request, struct mend, request);
    struct replica *r = x->replica;
    int error = answer->error;
    struct bytes records = {0};
    bool gaps = false;
    if (x->over) {
        return;
    }
    if (r->stopping || !partition_of(x)) {
        mend_end(x);
        return;
    }
    if (!error) {
        struct arena arena;
        struct fetch_response in;
        struct reader body = reader_of(answer->body.data, answer->body.size);
        arena_init(&arena, io_memory(r->io), SIZE_MAX);
        error = fetch_response_decode(&in, &body, answer->version, &arena);
        error = error ? error : records_of(x, &in, &records, &gaps);
        arena_deinit(&arena);
    }
    if (error) {
        mend_failed(x, error);
        return;
    }
    x->buffer = buffer_take(answer->body.buffer);
    log_mend_put(&x->log, records, gaps);
}

static void mend_ask(struct mend *x)
{
    x->request = (struct peer_request){.key = WIRE_FETCH,
                                       .version_min = 17,
                                       .version_max = 18,
                                       .fail_fast = true,
                                       .timeout_ns = MEND_ANSWER_MS * ms_ns,
                                       .encode = encode,
                                       .done = mend_answered};
    peer_submit(x->peer, &x->request);
}

static bool is_mended(const struct replica *r, const struct partition *p)
{
    list_each (node, &r->mends) {
        const struct mend *x = container_of(node, struct mend, link);
        if (x->partition == partition_index(p) && uuid_equal(x->topic_id, partition_topic_id(p))) {
            return true;
        }
    }
    return false;
}

/* False: not now. */
static bool mend_begin(struct replica *r, struct partition *p, int32_t node)
{
    struct peer_address address = replica_address(r, node);
    struct mend *x = address.host ? memory_alloc(io_memory(r->io), sizeof *x) : NULL;
    if (!x) {
        return false;
    }
    *x = (struct mend){.replica = r,
                       .topic_id = partition_topic_id(p),
                       .partition = partition_index(p),
                       .node = node,
                       .log.done = mend_taken};
    list_init(&x->link);
    int error = log_mend_begin(partition_log(p), &x->log);
    if (!error) {
        error = replica_peer(r, node, &address, r->options.answer_bytes_max, &x->peer);
        if (error) {
            log_mend_drop(&x->log);
        }
    }
    if (error) {
        memory_free(io_memory(r->io), x);
        return false;
    }
    x->from_offset = x->log.next_offset;
    list_append(&r->mends, &x->link);
    mend_ask(x);
    return true;
}

static void mends_go(struct replica *r)
{
    uint32_t running = 0, attempt = 0;
    if (io_now(r->io) < r->mend_next_ns) {
        return;
    }
    list_each (node, &r->mends) {
        running += !container_of(node, struct mend, link)->over;
    }
    if (r->repair_attempts > 0) { /* the leader could not help: anybody */
        io_random(r->io, &attempt, sizeof attempt);
    }
    list_each (node, &r->ailing) {
        struct partition *p = partition_that_ails(node);
        int32_t from = partition_mends_from(p, attempt);
        bool damaged = log_status(partition_log(p)).damaged;
        if (running >= MENDS_MAX) {
            return;
        }
        if (damaged && from >= 0 && !is_mended(r, p) && mend_begin(r, p, from)) {
            running++;
            list_remove(
                node); /* behind the others: what cannot be had must not keep them waiting */
            list_append(&r->ailing, node);
        }
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

void repair_go(struct replica *r)
{
    if (r->stopping || list_empty(&r->ailing)) {
        return;
    }
    struct list *next;
    for (struct list *node = r->ailing.next; node != &r->ailing; node = next) {
        next = node->next;
        if (!partition_ails(partition_that_ails(node))) {
            list_remove(node);
        }
    }
    report_go(r);
    mends_go(r);
    alarm_set(r);
}

void repair_close(struct replica *r)
{
    while (list_pop(&r->ailing)) {
    }
    io_cancel(r->io, &r->repair_alarm);
    list_each (node, &r->mends) {
        struct mend *x = container_of(node, struct mend, link);
        if (!x->over) {
            mend_end(x);
        }
    }
}

bool repair_is_idle(const struct replica *r)
{
    return list_empty(&r->mends) && !r->reports && io_op_idle(&r->repair_alarm);
}
