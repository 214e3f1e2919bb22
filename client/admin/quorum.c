/* SPDX-License-Identifier: Apache-2.0 */

/* leat_quorum_get(): DescribeQuorum, of any broker first and then of the leader that it names. */
#include "admin/quorum.h"

#include "core/silence.h"

#include <stdlib.h>

static const char metadata_topic[] = "__cluster_metadata";

/* Of whoever does not say more. */
static const char unknown[] = "no controller: most of the voters must run and reach each other";

struct quorum_result {
    struct memory heap;
    leat_quorum quorum;
};

struct quorum_op {
    struct admin_op admin;
    int32_t leader;     /* as the last answer named it; -1: it named none */
    unsigned turn;      /* who is asked next, when one has said that it hears no leader */
    leat_error without; /* what that one has said */
    struct quorum_result *result;
};

static struct quorum_op *quorum_op(struct call *c)
{
    return container_of(admin_of(c), struct quorum_op, admin);
}

/* One after the other: whoever is cut off hears no leader, and others may. */
static int32_t next_in_turn(struct call *c, unsigned turn)
{
    const struct list *all = &c->core->metadata.brokers;
    unsigned count = 0;
    for (const struct list *n = all->next; n != all; n = n->next) {
        count++;
    }
    turn = count ? turn % count : 0;
    for (const struct list *n = all->next; n != all; n = n->next) {
        const struct broker *b = container_of(n, struct broker, link);
        if (turn-- == 0 && !core_silent_since(c->core, b->host, b->port)) {
            return b->id;
        }
    }
    return CALL_ANY;
}

/* The leader that was named is asked once: it may have gone, then others know better. */
static int quorum_route(struct call *c, int32_t *broker)
{
    struct quorum_op *op = quorum_op(c);
    *broker = CALL_ANY;
    if (op->leader >= 0 && metadata_broker(c->core, op->leader)) {
        *broker = op->leader;
    } else if (op->without.code) {
        *broker = next_in_turn(c, op->turn++);
    }
    op->leader = -1;
    return 0;
}

static int quorum_encode(struct call *c, struct wire_writer *w, int version)
{
    struct describe_quorum_request_partitions partition;
    struct describe_quorum_request_topics topic;
    struct describe_quorum_request body;
    describe_quorum_request_init(&body);
    describe_quorum_request_topics_init(&topic);
    describe_quorum_request_partitions_init(&partition);
    topic.topic_name = wire_string_of(metadata_topic);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    body.topics = &topic;
    body.topics_count = 1;
    return describe_quorum_request_encode(&body, w, version);
}

static int replica_compare(const void *left, const void *right)
{
    const leat_quorum_replica *a = *(leat_quorum_replica *const *)left;
    const leat_quorum_replica *b = *(leat_quorum_replica *const *)right;
    return a->voter != b->voter ? b->voter - a->voter : (a->id > b->id) - (a->id < b->id);
}

static size_t count_of(int32_t count)
{
    return count > 0 ? (size_t)count : 0;
}

static const struct describe_quorum_response_listeners *listener_of(
    const struct describe_quorum_response *in, int32_t node)
{
    for (size_t i = 0; i < count_of(in->nodes_count); i++) {
        if (in->nodes[i].node_id == node && in->nodes[i].listeners_count > 0) {
            return &in->nodes[i].listeners[0];
        }
    }
    return NULL;
}

/* NULL: no memory. */
static leat_quorum_replica *replica_build(struct quorum_result *out,
                                          const struct describe_quorum_response *in,
                                          const struct describe_quorum_response_replica_state *from,
                                          bool voter)
{
    const struct describe_quorum_response_listeners *l = listener_of(in, from->replica_id);
    struct quorum_replica *r = memory_alloc(&out->heap, sizeof *r);
    if (!r) {
        return NULL;
    }
    *r = (struct quorum_replica){
        .shown = {.id = from->replica_id,
                  .voter = voter,
                  .end = from->log_end_offset,
                  .fetched_ms = from->last_fetch_timestamp,
                  .caught_up_ms = from->last_caught_up_timestamp},
        .directory = from->replica_directory_id,
    };
    if (!uuid_is_zero(r->directory)) {
        uuid_text(r->directory, r->text);
        r->shown.directory = r->text;
    }
    if (l && l->name.size > 0 && l->host.size > 0) {
        r->shown.listener = memory_string(&out->heap, l->name.data, (size_t)l->name.size);
        r->shown.host = memory_string(&out->heap, l->host.data, (size_t)l->host.size);
        r->shown.port = l->port;
        return r->shown.listener && r->shown.host ? &r->shown : NULL;
    }
    return &r->shown;
}

static int quorum_build(struct quorum_result *out, const struct describe_quorum_response *answer)
{
    const struct describe_quorum_response_partitions *in = answer->topics[0].partitions;
    size_t voters = count_of(in->current_voters_count);
    size_t count = voters + count_of(in->observers_count);
    leat_quorum_replica **replicas = memory_alloc(&out->heap, (count + 1) * sizeof *replicas);
    for (size_t i = 0; replicas && i < count; i++) {
        const struct describe_quorum_response_replica_state *from =
            i < voters ? &in->current_voters[i] : &in->observers[i - voters];
        replicas[i] = replica_build(out, answer, from, i < voters);
        if (!replicas[i]) {
            return ERR_NO_MEMORY;
        }
    }
    if (!replicas) {
        return ERR_NO_MEMORY;
    }
    qsort(replicas, count, sizeof *replicas, replica_compare);
    out->quorum = (leat_quorum){
        .leader = in->leader_id,
        .epoch = in->leader_epoch,
        .high_watermark = in->high_watermark,
        .replicas = (const leat_quorum_replica *const *)replicas,
        .replica_count = count,
    };
    return 0;
}

/* The error of what was asked for; who leads is kept for the next attempt. */
static int quorum_judge(struct call *c, const struct describe_quorum_response *in)
{
    struct quorum_op *op = quorum_op(c);
    int error = admin_error(c, in->error_code, in->error_message, metadata_topic);
    if (error) {
        return error;
    }
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1) {
        return ERR_MALFORMED;
    }
    const struct describe_quorum_response_partitions *p = in->topics[0].partitions;
    error = admin_error(c, p->error_code, p->error_message, metadata_topic);
    if (error == ERR_NOT_LEADER_OR_FOLLOWER) {
        op->leader = p->leader_id;
    }
    if (p->leader_id >= 0) {
        (void)error_clear(&op->without); /* there is one, though it may not answer */
    }
    if (error != ERR_NOT_LEADER_OR_FOLLOWER || p->leader_id >= 0) {
        return error;
    }
    /* leatd says who is heard; others say what the code says, or nothing. */
    static const char begins[] = "no controller: ";
    bool told = p->error_message.size > (int)sizeof begins &&
                memcmp(p->error_message.data, begins, sizeof begins - 1) == 0;
    error = error_set(&c->error, ERR_LEADER_NOT_AVAILABLE, "the cluster has %.*s",
                      told ? p->error_message.size : (int)sizeof unknown - 1,
                      told ? p->error_message.data : unknown);
    op->without = c->error;
    metadata_refresh(c->core, NULL); /* to know whom else to ask */
    return error;
}

static int quorum_decode(struct call *c, struct reader *reader, int version)
{
    struct quorum_op *op = quorum_op(c);
    struct describe_quorum_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = describe_quorum_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = quorum_judge(c, &body);
    }
    if (!error) {
        op->result = heap_open(sizeof *op->result, ADMIN_HEAP_MAX);
        error = op->result ? quorum_build(op->result, &body) : ERR_NO_MEMORY;
        if (error) {
            heap_close(op->result);
            op->result = NULL;
        }
    }
    arena_deinit(&arena);
    return error;
}

int leat_quorum_get(leat_client *c, leat_quorum **out, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_DESCRIBE_QUORUM, 0, 2},
        .name = "describe the quorum",
        .route = quorum_route,
        .encode = quorum_encode,
        .decode = quorum_decode,
        .repeatable = true,
    };
    struct quorum_op op = {.admin = {.client = c, .kind = &kind}, .leader = -1};
    if (!out) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_quorum_get() needs a place for the answer");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        *out = &op.result->quorum;
    } else if (op.without.code && error != op.without.code && e) {
        *e = op.without; /* nobody who answered hears a leader */
        error = e->code;
    }
    return error;
}

void leat_quorum_free(leat_quorum *quorum)
{
    if (quorum) {
        heap_close(container_of(quorum, struct quorum_result, quorum));
    }
}
