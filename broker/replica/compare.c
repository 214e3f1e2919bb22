/* SPDX-License-Identifier: Apache-2.0 */

/* What is here is the same as what other replicas have: a round in each scrub interval, over all that is committed.
 *
 *     a round: each partition in the order of the image, one at a time
 *       a partition: stretch by stretch: log_range_hash() here -> RangeHash to the leader, or of a leader to a follower
 *          -> the same: the next one, at the pace of the round
 *          -> another:  RangeHash to a third replica in sync
 *               two of three are the same: the odd one is wrong, and if that is this one,
 *                 it is said in the log, log_distrust(); mends and reports follow (repair.c)
 *               there is no third one, or it differs from both: the leader is right
 *     at any time: a replica that the controller takes for damaged, before it says that it is repaired: all that it
 *       holds, for what is committed may be known late, and its leader has the rest as well
 *
 * The scrub finds what does not check; this finds what checks and is not what was replicated: a sound batch in the
 * wrong place, a truncation that went wrong. Each finds that of itself alone. What cannot be compared now, because
 * somebody else leads, or the other one is away, waits for the next round. Compacted topics differ from replica to
 * replica, and are left out. */
#include "replica/replica_private.h"

#include <inttypes.h>
#include <stdio.h>

enum { STRETCH_BYTES = 4 << 20, ANSWER_MS = 30000 };

static const uint64_t apart_ns = 1000000; /* partitions: others have their turns */
static const uint64_t again_ns = 100000000;
static const uint64_t ms_ns = 1000000, second_ns = 1000000000, rate_least = 1 << 20,
                      rate_awaited = 64 << 20,
                      first_ns = UINT64_C(600000000000); /* a node that starts has other work */

struct comparison {
    struct replica *replica;
    struct uuid topic_id;
    int32_t partition;
    int32_t node, epoch; /* with whom, and of which leader epoch */
    int32_t third;       /* who is asked, for the two differ; -1: not now */
    uint32_t hash;       /* what `node` has then */
    int64_t hash_bytes;
    int64_t end; /* of what is compared */
    struct log_range_hash own;
    bool hashing, asking;
    bool waits, over;         /* waits: for the next stretch, or */
    bool unasked;             /* for a connection: the stretch is hashed */
    bool awaited;             /* its replica is in sync again when this is done */
    uint64_t begun_ns, bytes; /* since then so many were hashed */
    uint64_t next_ns;         /* the next stretch, not before */
    struct peer_request request;
};

/* --- the end of a partition ------------------------------------------------------------------- */

static void free_if_idle(struct comparison *x)
{
    struct replica *r = x->replica;
    uint64_t soonest = io_now(r->io) + apart_ns;
    if (x->asking || x->hashing) {
        return;
    }
    r->comparing.running = NULL;
    r->comparing.next_ns = r->comparing.next_ns > soonest ? r->comparing.next_ns : soonest;
    memory_free(io_memory(r->io), x);
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

static void end(struct comparison *x)
{
    x->over = true;
    free_if_idle(x);
}

/* Again in a second, and behind others that wait for theirs. */
static void fail(struct comparison *x)
{
    struct replica *r = x->replica;
    struct partition *p = partition_find(r->options.partitions, x->topic_id, x->partition);
    if (x->awaited) {
        r->comparing.awaited_ns = io_now(r->io) + second_ns;
    }
    if (x->awaited && p && !r->stopping) {
        list_remove(partition_ailing(p));
        list_append(&r->ailing, partition_ailing(p));
    }
    end(x);
}

/* All of it is the same, or will not be compared. */
static void succeed(struct comparison *x, struct partition *p)
{
    if (p && x->awaited) {
        partition_compared(p);
    }
    end(x);
}

/* Whether it is still what it was when it began; NULL: not. */
static struct partition *partition_of(const struct comparison *x)
{
    struct partition *p = partition_find(x->replica->options.partitions, x->topic_id, x->partition);
    bool same = p && partition_compares_with(p) == x->node && partition_epoch(p) == x->epoch;
    return same && !x->replica->stopping && !x->over ? p : NULL;
}

/* --- the connection --------------------------------------------------------------------------- */

static void peer_closed(struct peer_close *close)
{
    struct replica *r = container_of(close, struct replica, comparing.close);
    r->comparing.peer = NULL;
    r->comparing.closing = false;
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

static void disconnect(struct replica *r)
{
    struct comparing *c = &r->comparing;
    if (c->peer && !c->closing) {
        c->closing = true;
        c->close.done = peer_closed;
        peer_close(c->peer, &c->close);
    }
}

/* To this node, kept from partition to partition. False: not now. */
static bool connect_to(struct replica *r, int32_t node)
{
    struct comparing *c = &r->comparing;
    struct peer_address address = replica_address(r, node);
    if (c->peer && !c->closing && c->node == node && address.host) {
        peer_addresses(c->peer, &address, 1); /* it may be reached elsewhere by now */
        return true;
    }
    disconnect(r);
    if (c->peer || !address.host) {
        return false;
    }
    c->node = node;
    return replica_peer(r, node, &address, 1 << 16, &c->peer) == 0;
}

/* --- the alarm -------------------------------------------------------------------------------- */

static void alarm_rings(struct io_op *op, int64_t result)
{
    struct replica *r = container_of(op, struct replica, comparing.alarm);
    (void)result;
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

static void wait_until(struct replica *r, uint64_t at_ns)
{
    struct comparing *c = &r->comparing;
    if (io_op_idle(&c->alarm)) {
        c->alarm.done = alarm_rings;
        c->alarm_ns = at_ns;
        io_timer(r->io, &c->alarm, at_ns);
    } else if (at_ns < c->alarm_ns) {
        io_cancel(r->io, &c->alarm); /* it rings, and is set anew */
    }
}

/* --- one stretch ------------------------------------------------------------------------------ */

/* `agreed`: the third one says the same. */
static void differs(struct comparison *x, struct partition *p, bool agreed)
{
    struct replica *r = x->replica;
    char others[64] = "";
    if (agreed) {
        snprintf(others, sizeof others, " and node=%d", (int)x->third);
    } else if (!partition_leads(p)) {
        snprintf(others, sizeof others, ", which leads,");
    }
    log_error(io_logger(r->io), "replica",
              "%s-%d: offsets %" PRId64 " to %" PRId64
              " are other than what node=%d%s has (hash %08" PRIx32 " of %" PRIu64
              " bytes here, %08" PRIx32 " of %" PRId64
              " there): what is here is written anew from others",
              partition_topic_name(p), (int)x->partition, x->own.from_offset, x->own.next_offset,
              (int)x->node, others, x->own.hash, x->own.bytes, x->hash, x->hash_bytes);
    r->comparing.status.different++;
    log_distrust(partition_log(p), x->own.from_offset, x->own.next_offset);
    end(x);
}

/* The next stretch, or the end. */
static void go_on(struct comparison *x, struct partition *p)
{
    x->third = -1;
    x->own.from_offset = x->own.next_offset;
    if (x->own.from_offset >= x->end) {
        succeed(x, p);
        return;
    }
    x->waits = true;
    io_turn_end(x->replica->io, &x->replica->turn);
}

/* The other one finds it out as well. */
static void is_right(struct comparison *x, struct partition *p)
{
    log_warn(io_logger(x->replica->io), "replica",
             "%s-%d: offsets %" PRId64 " to %" PRId64
             " are other on node=%d than here: what is there is to be written anew",
             partition_topic_name(p), (int)x->partition, x->own.from_offset, x->own.next_offset,
             (int)x->node);
    go_on(x, p);
}

/* Of the two that differ nobody else can say who is right. */
static void nobody_decides(struct comparison *x, struct partition *p)
{
    if (partition_leads(p)) {
        is_right(x, p);
    } else {
        differs(x, p, false);
    }
}

static void third_says(struct comparison *x, struct partition *p,
                       const struct range_hash_response *in)
{
    bool as_here = (uint32_t)in->hash == x->own.hash && (uint64_t)in->bytes == x->own.bytes;
    bool as_there = (uint32_t)in->hash == x->hash && in->bytes == x->hash_bytes;
    if (as_here) {
        is_right(x, p);
    } else if (as_there) {
        differs(x, p, true);
    } else {
        nobody_decides(x, p);
    }
}

static void other_says(struct comparison *x, struct partition *p,
                       const struct range_hash_response *in)
{
    if ((uint32_t)in->hash == x->own.hash && (uint64_t)in->bytes == x->own.bytes) {
        go_on(x, p);
        return;
    }
    x->hash = (uint32_t)in->hash;
    x->hash_bytes = in->bytes;
    x->third = partition_third(p, x->node);
    if (x->third < 0) {
        nobody_decides(x, p);
        return;
    }
    x->waits = true;
    io_turn_end(x->replica->io, &x->replica->turn);
}

static int encode(struct peer_request *request, struct wire_writer *w, int version)
{
    const struct comparison *x = container_of(request, struct comparison, request);
    const struct range_hash_request q = {.topic_id = x->topic_id,
                                         .partition_index = x->partition,
                                         .current_leader_epoch = x->epoch,
                                         .from_offset = x->own.from_offset,
                                         .to_offset = x->own.next_offset};
    return range_hash_request_encode(&q, w, version);
}

/* It begins later, was compacted, or does not know yet that it is committed. */
static bool cannot_say(int16_t error)
{
    return error == error_to_wire(ERR_UNSUPPORTED) ||
           error == error_to_wire(ERR_OFFSET_NOT_AVAILABLE) ||
           error == error_to_wire(ERR_OFFSET_OUT_OF_RANGE);
}

static void answered(struct peer_request *request, const struct peer_answer *answer)
{
    struct comparison *x = container_of(request, struct comparison, request);
    struct range_hash_response in = {0};
    struct partition *p = partition_of(x);
    int error = answer->error;
    x->asking = false;
    if (x->over) {
        free_if_idle(x);
        return;
    }
    if (!error) {
        struct arena arena;
        struct reader body = reader_of(answer->body.data, answer->body.size);
        arena_init(&arena, io_memory(x->replica->io), 1024);
        error = range_hash_response_decode(&in, &body, answer->version, &arena);
        arena_deinit(&arena);
    }
    if (error == ERR_UNSUPPORTED_VERSION) { /* he is older: when all are new, perhaps */
        x->replica->comparing.topics_left = 0;
        x->replica->comparing.next_ns = io_now(x->replica->io) + first_ns;
        succeed(x, p);
        return;
    }
    if (p && !error && x->third >= 0 && cannot_say(in.error_code)) {
        nobody_decides(x, p);
        return;
    }
    if (p && !error && in.error_code == error_to_wire(ERR_UNSUPPORTED)) {
        succeed(x, p); /* it was compacted there */
        return;
    }
    if (!p || error || in.error_code) {
        fail(x);
        return;
    }
    x->replica->comparing.status.compared++;
    if (x->third >= 0) {
        third_says(x, p, &in);
    } else {
        other_says(x, p, &in);
    }
}

/* Over a connection that is there, or is made when the one to another node is closed. */
static void ask(struct comparison *x)
{
    struct replica *r = x->replica;
    int32_t node = x->third >= 0 ? x->third : x->node;
    x->unasked = x->waits = !connect_to(r, node);
    if (x->waits && !replica_address(r, node).host) {
        fail(x);
        return;
    }
    if (x->waits) {
        x->next_ns = io_now(r->io) + again_ns;
        wait_until(r, x->next_ns);
        return;
    }
    x->request = (struct peer_request){.key = WIRE_RANGE_HASH,
                                       .fail_fast = true,
                                       .timeout_ns = ANSWER_MS * ms_ns,
                                       .encode = encode,
                                       .done = answered};
    x->asking = true;
    peer_submit(x->replica->comparing.peer, &x->request);
}

static void hashed(struct log_range_hash *h, int error)
{
    struct comparison *x = container_of(h, struct comparison, own);
    struct comparing *c = &x->replica->comparing;
    x->hashing = false;
    x->bytes += h->bytes;
    if (x->awaited) {
        x->next_ns = x->begun_ns + x->bytes * second_ns / rate_awaited;
    } else {
        c->bytes += h->bytes;
        c->next_ns = c->round_ns + (uint64_t)((double)c->bytes / (double)c->rate * 1e9);
        x->next_ns = c->next_ns;
    }
    if (x->over) {
        free_if_idle(x);
        return;
    }
    struct partition *p = partition_of(x);
    if (p && error == ERR_UNSUPPORTED) {
        succeed(x, p); /* it was compacted, and is not what others have */
        return;
    }
    if (!p || error || h->bytes == 0) {
        fail(x);
        return;
    }
    ask(x);
}

static void stretch(struct comparison *x)
{
    struct partition *p = partition_of(x);
    int64_t start = p ? log_status(partition_log(p)).start_offset : x->end;
    x->own.from_offset = x->own.from_offset > start ? x->own.from_offset : start;
    if (x->own.from_offset >= x->end) {
        succeed(x, p);
        return;
    }
    x->own.to_offset = x->end;
    x->own.bytes_max = STRETCH_BYTES;
    x->own.done = hashed;
    x->hashing = true;
    x->waits = false;
    int now = log_range_hash(partition_log(p), &x->own);
    if (now != 0) {
        hashed(&x->own, now < 0 ? now : 0);
    }
}

static void resume(struct comparison *x)
{
    if (!x->unasked) {
        stretch(x);
    } else if (partition_of(x)) {
        ask(x);
    } else {
        fail(x);
    }
}

/* --- which partition is next ------------------------------------------------------------------ */

static int64_t end_of(struct partition *p, bool awaited)
{
    return awaited ? log_status(partition_log(p)).end_offset : partition_high_watermark(p);
}

static bool can_compare(struct partition *p, bool awaited)
{
    return partition_compares_with(p) >= 0 &&
           log_status(partition_log(p)).start_offset < end_of(p, awaited);
}

static void round_begin(struct replica *r)
{
    struct comparing *c = &r->comparing;
    uint32_t count = image_topic_count(r->image), first[2] = {0};
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct image_topic *t = image_topic_at(r->image, i);
        for (int32_t k = 0; k < t->partition_count; k++) {
            struct partition *p = partition_find(r->options.partitions, t->id, k);
            bytes += p ? log_status(partition_log(p)).size_bytes : 0;
        }
    }
    io_random(r->io, first, sizeof first); /* a process may end before its round does */
    c->round_ns = io_now(r->io);
    c->rate = bytes / (r->options.compare_interval_ms * 8 / 10000 + 1);
    c->rate = c->rate > rate_least ? c->rate : rate_least;
    c->topic = count ? first[0] % count : 0;
    int32_t partitions = count ? image_topic_at(r->image, c->topic)->partition_count : 0;
    c->partition = partitions > 0 ? (int32_t)(first[1] % (uint32_t)partitions) : 0;
    c->bytes = 0;
    c->topics_left = count ? count + 1 : 0; /* what stands in front of the first one comes last */
}

static struct partition *next(struct replica *r)
{
    struct comparing *c = &r->comparing;
    uint32_t count = image_topic_count(r->image);
    for (; c->topics_left > 0 && count > 0; c->topics_left--) {
        const struct image_topic *t = image_topic_at(r->image, c->topic % count);
        while (c->partition < t->partition_count) {
            struct partition *p = partition_find(r->options.partitions, t->id, c->partition++);
            if (p && can_compare(p, false)) {
                return p;
            }
        }
        c->topic = (c->topic + 1) % count;
        c->partition = 0;
    }
    return NULL;
}

/* --- beginning one ---------------------------------------------------------------------------- */

/* False: not now. */
static bool begin(struct replica *r, struct partition *p, bool awaited)
{
    int32_t node = partition_compares_with(p);
    struct comparison *x = connect_to(r, node) ? memory_alloc(io_memory(r->io), sizeof *x) : NULL;
    if (!x) {
        return false;
    }
    *x = (struct comparison){
        .replica = r,
        .topic_id = partition_topic_id(p),
        .partition = partition_index(p),
        .node = node,
        .epoch = partition_epoch(p),
        .end = end_of(p, awaited),
        .awaited = awaited,
        .begun_ns = io_now(r->io),
        .own.from_offset = log_status(partition_log(p)).start_offset,
        .third = -1,
    };
    r->comparing.running = x;
    stretch(x);
    return true;
}

static void round_go(struct replica *r, uint64_t now, uint64_t interval_ns)
{
    struct comparing *c = &r->comparing;
    if (c->next_ns == 0) { /* the process has just begun */
        c->next_ns = now + (interval_ns < first_ns ? interval_ns : first_ns);
    }
    if (now >= c->next_ns) {
        if (c->topics_left == 0) {
            round_begin(r);
        }
        struct partition *p = next(r);
        if (!p) {
            disconnect(r);
            c->next_ns =
                c->round_ns + interval_ns > now ? c->round_ns + interval_ns : now + second_ns;
        } else if (begin(r, p, false)) {
            return;
        } else {
            c->partition--; /* the same one again */
            c->next_ns = now + again_ns;
        }
    } else if (c->topics_left == 0) {
        disconnect(r); /* it was for what was awaited */
    }
    wait_until(r, c->next_ns);
}

/* Of those that ail: whose comparison somebody waits for. Another look comes with the next alarm of repair.c. */
static struct partition *awaited(struct replica *r)
{
    list_each (node, &r->ailing) {
        struct partition *p = partition_that_ails(node);
        if (!partition_awaits_comparison(p)) {
            continue;
        }
        if (r->options.compare_interval_ms > 0 && can_compare(p, true)) {
            return p;
        }
        partition_compared(p);
    }
    return NULL;
}

/* --- all of it -------------------------------------------------------------------------------- */

void compare_go(struct replica *r)
{
    struct comparing *c = &r->comparing;
    uint64_t now = io_now(r->io);
    if (r->stopping || !r->image) {
        return;
    }
    struct partition *p = now >= c->awaited_ns ? awaited(r) : NULL;
    if (c->running && c->running->waits && !c->running->awaited && p) {
        c->partition--; /* the round has it once more */
        end(c->running);
    }
    if (c->running) {
        if (c->running->waits && now >= c->running->next_ns) {
            resume(c->running);
        } else if (c->running->waits) {
            wait_until(r, c->running->next_ns);
        }
        return;
    }
    if (p && begin(r, p, true)) {
        return;
    }
    if (r->options.compare_interval_ms > 0) {
        round_go(r, now, r->options.compare_interval_ms * ms_ns);
    }
}

void compare_close(struct replica *r)
{
    io_cancel(r->io, &r->comparing.alarm);
    if (r->comparing.running) {
        end(r->comparing.running);
    }
    disconnect(r);
}

bool compare_is_idle(const struct replica *r)
{
    return !r->comparing.running && !r->comparing.peer && io_op_idle(&r->comparing.alarm);
}

struct replica_status replica_status(const struct replica *r)
{
    return r->comparing.status;
}
