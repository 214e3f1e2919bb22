/* SPDX-License-Identifier: Apache-2.0 */

/* Replicas and leaders of partitions: one partition per call, sent to the controller; and what is under way. */
#include "admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct partition_op {
    struct admin_op admin;
    const char *topic;
    int32_t partition;
    const int32_t *replicas; /* NULL: called off */
    size_t replica_count;
    int32_t election;
    bool elected;
};

static struct partition_op *partition_op(struct call *c)
{
    return container_of(admin_of(c), struct partition_op, admin);
}

static bool name_fits(const char *topic)
{
    return topic && strlen(topic) <= WIRE_STRING_MAX;
}

/* The error of the partition. What the controller has looked at will not be otherwise a moment later. */
static int judge(struct call *c, int16_t code, struct wire_string message)
{
    const struct partition_op *op = partition_op(c);
    char what[100];
    snprintf(what, sizeof what, "%.80s-%d", op->topic, (int)op->partition);
    int error = admin_error(c, code, message, what);
    c->error.retriable &= error == ERR_NOT_CONTROLLER || error == ERR_REQUEST_TIMED_OUT;
    return error;
}

/* --- leat_topic_reassign() -------------------------------------------------------------------- */

static int reassign_encode(struct call *c, struct wire_writer *w, int version)
{
    const struct partition_op *op = partition_op(c);
    struct alter_partition_reassignments_request_partitions partition = {
        op->partition, (int32_t *)op->replicas, op->replicas ? (int32_t)op->replica_count : -1};
    struct alter_partition_reassignments_request_topics topic = {wire_string_of(op->topic),
                                                                 &partition, 1};
    struct alter_partition_reassignments_request body;
    alter_partition_reassignments_request_init(&body);
    body.topics = &topic;
    body.topics_count = 1;
    body.timeout_ms = admin_timeout_ms(c);
    return alter_partition_reassignments_request_encode(&body, w, version);
}

static int reassign_decode(struct call *c, struct reader *reader, int version)
{
    struct alter_partition_reassignments_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = alter_partition_reassignments_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, body.error_message, partition_op(c)->topic);
    }
    if (!error && (body.responses_count != 1 || body.responses[0].partitions_count != 1)) {
        error = ERR_MALFORMED;
    } else if (!error) {
        error = judge(c, body.responses[0].partitions[0].error_code,
                      body.responses[0].partitions[0].error_message);
    }
    arena_deinit(&arena);
    return error;
}

int leat_topic_reassign(leat_client *c, const char *topic, int32_t partition,
                        const int32_t *replicas, size_t count, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_ALTER_PARTITION_REASSIGNMENTS, 0, 1},
        .name = "reassign",
        .route = admin_route_controller,
        .encode = reassign_encode,
        .decode = reassign_decode,
    };
    struct partition_op op = {.admin = {.client = c, .kind = &kind},
                              .topic = topic,
                              .partition = partition,
                              .replicas = replicas,
                              .replica_count = count};
    if (!name_fits(topic) || partition < 0 || !replicas != !count || count > 10000) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "which partition, and which brokers? none at all calls a move off");
    }
    return admin_run(&op.admin, e);
}

/* --- leat_topic_elect() ----------------------------------------------------------------------- */

static int elect_encode(struct call *c, struct wire_writer *w, int version)
{
    struct partition_op *op = partition_op(c);
    struct elect_leaders_request_topic_partitions topic = {
        .topic = wire_string_of(op->topic), .partitions = &op->partition, .partitions_count = 1};
    struct elect_leaders_request body;
    elect_leaders_request_init(&body);
    body.election_type = (int8_t)op->election;
    body.topic_partitions = &topic;
    body.topic_partitions_count = 1;
    body.timeout_ms = admin_timeout_ms(c);
    return elect_leaders_request_encode(&body, w, version);
}

static int elect_decode(struct call *c, struct reader *reader, int version)
{
    struct partition_op *op = partition_op(c);
    struct elect_leaders_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = elect_leaders_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, wire_string_null(), op->topic);
    }
    if (!error && (body.replica_election_results_count != 1 ||
                   body.replica_election_results[0].partition_result_count != 1)) {
        error = ERR_MALFORMED;
    }
    if (!error) {
        const struct elect_leaders_response_partition_result *p =
            body.replica_election_results[0].partition_result;
        op->elected = p->error_code == 0;
        if (error_from_wire(p->error_code) != ERR_ELECTION_NOT_NEEDED) {
            error = judge(c, p->error_code, p->error_message);
        }
    }
    arena_deinit(&arena);
    return error;
}

int leat_topic_elect(leat_client *c, const char *topic, int32_t partition, int32_t election,
                     bool *elected, leat_error *e)
{
    static const struct call_kind preferred = {
        .request = {WIRE_ELECT_LEADERS, 0, 2},
        .name = "elect the preferred leader of",
        .route = admin_route_controller,
        .encode = elect_encode,
        .decode = elect_decode,
    };
    static const struct call_kind unclean = {
        .request = {WIRE_ELECT_LEADERS, 1, 2},
        .name = "elect any leader of",
        .route = admin_route_controller,
        .encode = elect_encode,
        .decode = elect_decode,
    };
    struct partition_op op = {
        .admin = {.client = c, .kind = election == LEAT_ELECTION_UNCLEAN ? &unclean : &preferred},
        .topic = topic,
        .partition = partition,
        .election = election};
    if (!name_fits(topic) || partition < 0 || election < LEAT_ELECTION_PREFERRED ||
        election > LEAT_ELECTION_UNCLEAN) {
        return error_set(e, ERR_INVALID_ARGUMENT, "which partition, and which kind of election?");
    }
    int error = admin_run(&op.admin, e);
    if (!error && elected) {
        *elected = op.elected;
    }
    return error;
}

/* --- leat_moves_get() ------------------------------------------------------------------------- */

struct moves_result {
    struct memory heap;
    leat_moves moves;
};

struct moves_op {
    struct admin_op admin;
    const char *topic; /* NULL: all */
    struct moves_result *result;
};

static struct moves_op *moves_op(struct call *c)
{
    return container_of(admin_of(c), struct moves_op, admin);
}

static int moves_encode(struct call *c, struct wire_writer *w, int version)
{
    struct list_partition_reassignments_request
        body; /* all: a topic's partitions are not known here */
    list_partition_reassignments_request_init(&body);
    body.topics_count = -1;
    body.timeout_ms = admin_timeout_ms(c);
    return list_partition_reassignments_request_encode(&body, w, version);
}

static leat_move *move_of(struct memory *heap, const char *topic,
                          const struct list_partition_reassignments_response_partitions *in)
{
    leat_move *m = memory_alloc(heap, sizeof *m);
    if (m) {
        m->topic = topic;
        m->partition = in->partition_index;
        m->replicas = admin_ids(heap, in->replicas, in->replicas_count, &m->replica_count);
        m->adding =
            admin_ids(heap, in->adding_replicas, in->adding_replicas_count, &m->adding_count);
        m->removing =
            admin_ids(heap, in->removing_replicas, in->removing_replicas_count, &m->removing_count);
    }
    return m && m->replicas && m->adding && m->removing ? m : NULL;
}

static int move_compare(const void *left, const void *right)
{
    const leat_move *a = *(leat_move *const *)left;
    const leat_move *b = *(leat_move *const *)right;
    int side = strcmp(a->topic, b->topic);
    return side ? side : (a->partition > b->partition) - (a->partition < b->partition);
}

static int moves_build(struct moves_result *out, const char *wanted,
                       const struct list_partition_reassignments_response *in)
{
    size_t most = 0, count = 0;
    for (int32_t i = 0; i < in->topics_count; i++) {
        most += (size_t)in->topics[i].partitions_count;
    }
    leat_move **list = memory_alloc(&out->heap, (most + 1) * sizeof *list);
    for (int32_t i = 0; list && i < in->topics_count; i++) {
        const struct list_partition_reassignments_response_topics *t = &in->topics[i];
        if (wanted && !wire_string_equal(t->name, wire_string_of(wanted))) {
            continue;
        }
        const char *name =
            t->name.size < 0 ? NULL : memory_string(&out->heap, t->name.data, (size_t)t->name.size);
        for (int32_t k = 0; k < t->partitions_count; k++) {
            list[count] = name ? move_of(&out->heap, name, &t->partitions[k]) : NULL;
            if (!list[count++]) {
                return ERR_NO_MEMORY;
            }
        }
    }
    if (!list) {
        return ERR_NO_MEMORY;
    }
    qsort(list, count, sizeof *list, move_compare);
    out->moves = (leat_moves){(const leat_move *const *)list, count};
    return 0;
}

static int moves_decode(struct call *c, struct reader *reader, int version)
{
    struct moves_op *op = moves_op(c);
    struct list_partition_reassignments_response body;
    struct arena arena;
    arena_init(&arena, c->core->memory, ADMIN_ARENA_MAX);
    int error = list_partition_reassignments_response_decode(&body, reader, version, &arena);
    if (!error) {
        error = admin_error(c, body.error_code, body.error_message, "");
    }
    if (!error) {
        op->result = heap_open(sizeof *op->result, ADMIN_HEAP_MAX);
        error = op->result ? moves_build(op->result, op->topic, &body) : ERR_NO_MEMORY;
        if (error) {
            heap_close(op->result);
            op->result = NULL;
        }
    }
    arena_deinit(&arena);
    return error;
}

int leat_moves_get(leat_client *c, const char *topic, leat_moves **out, leat_error *e)
{
    static const struct call_kind kind = {
        .request = {WIRE_LIST_PARTITION_REASSIGNMENTS, 0, 0},
        .name = "list what is reassigned",
        .route = admin_route_controller,
        .encode = moves_encode,
        .decode = moves_decode,
        .repeatable = true,
    };
    struct moves_op op = {.admin = {.client = c, .kind = &kind}, .topic = topic};
    if (!out) {
        return error_set(e, ERR_INVALID_ARGUMENT, "leat_moves_get() needs a place for the answer");
    }
    int error = admin_run(&op.admin, e);
    if (!error) {
        *out = &op.result->moves;
    }
    return error;
}

void leat_moves_free(leat_moves *moves)
{
    if (moves) {
        heap_close(container_of(moves, struct moves_result, moves));
    }
}
