/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/voter_changes.h"

#include "meta/forward_wire.h"
#include "meta/meta_start.h"

#include <stdarg.h>
#include <stdio.h>

static const uint64_t ms = UINT64_C(1000000);
static const uint64_t tell_again_ns = UINT64_C(1000000000);
static const uint64_t here_ns = UINT64_C(300000000);

enum {
    KRAFT_VERSION = 1,
    WAITING_MAX = 16, /* each is tried again and again; an operator has one */
};

void voter_changes_init(struct voter_changes *c)
{
    list_init(&c->waiting);
    c->told_from = -1;
}

bool voter_change_is(const struct meta_op *op)
{
    return op->kind == META_ADD_VOTER || op->kind == META_REMOVE_VOTER ||
           op->kind == META_UPDATE_VOTER;
}

uint64_t voter_change_until(const struct meta_op *op)
{
    assert(voter_change_is(op) && op->voter->timeout_ms > 0);
    return op->priv.arrived_ns + (uint64_t)op->voter->timeout_ms * ms;
}

/* --- where voters are reached ----------------------------------------------------------------- */

static bool same_ids(const struct voters *a, const struct voters *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        same = raft_id_equal(a->list[i].id, b->list[i].id);
    }
    return same;
}

void voters_take(struct meta *m, const struct voters *voters, int64_t from)
{
    if (m->voters.count > 0 && !same_ids(&m->voters, voters)) {
        m->changes.before = m->voters;
    }
    m->voters = *voters;
    m->changes.told_from = from;
    links_moved(m);
}

const struct voter *voters_known(const struct meta *m, int32_t node)
{
    const struct voter *v = voters_find(&m->voters, node);
    return v ? v : voters_find(&m->changes.before, node);
}

void voters_follow(struct meta *m, const void *batch, size_t size, int64_t base)
{
    struct voters voters;
    if (voters_of_batch(&voters, batch, size, m->memory) == 1) {
        voters_take(m, &voters, base);
    }
}

void voters_show(struct meta *m)
{
    struct voters voters;
    struct bytes value = image_voters(m->image);
    bool newer = m->changes.told_from > image_offset(m->image);
    if (!newer && value.size > 0 && voters_decode(&voters, value, m->memory) == 0) {
        voters_take(m, &voters, -1);
    }
}

void voters_truncated(struct meta *m, int64_t offset)
{
    if (m->changes.told_from >= offset) {
        m->changes.told_from = -1;
        voters_show(m);
    }
}

/* --- a leader's decisions --------------------------------------------------------------------- */

static int refuse(struct meta_op *op, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(op->why, sizeof op->why, format, arguments);
    va_end(arguments);
    return error;
}

/* The sentence for what the core has said. */
static int explain(const struct meta *m, struct meta_op *op, int error)
{
    int32_t node = op->voter->id.node;
    const struct voter *known = voters_find(&m->voters, node);
    char asked[UUID_TEXT_SIZE], votes[UUID_TEXT_SIZE] = "";
    uuid_text(op->voter->id.directory, asked);
    if (known) {
        uuid_text(known->id.directory, votes);
    }
    switch (error) {
    case ERR_EXISTS:
        return strcmp(asked, votes) == 0
                   ? refuse(op, ERR_DUPLICATE_VOTER, "Node %d votes already.", (int)node)
                   : refuse(op, ERR_DUPLICATE_VOTER,
                            "Node %d votes with the directory %s: remove that voter first.",
                            (int)node, votes);
    case ERR_NOT_FOUND:
        return known ? refuse(op, ERR_VOTER_NOT_FOUND,
                              "Node %d votes with the directory %s, not with %s.", (int)node, votes,
                              asked)
                     : refuse(op, ERR_VOTER_NOT_FOUND, "Node %d does not vote.", (int)node);
    case ERR_TOO_LARGE:
        return refuse(op, ERR_INVALID_REQUEST, "There are %d voters, and no more are possible.",
                      (int)RAFT_VOTERS_MAX);
    case ERR_INVALID_ARGUMENT:
        return refuse(op, ERR_INVALID_REQUEST, "Node %d is the only voter.", (int)node);
    case ERR_REPLICA_NOT_AVAILABLE:
        return refuse(op, error,
                      "Node %d with the directory %s does not follow the metadata log, or is "
                      "behind: it must run, and catch up first.",
                      (int)node, asked);
    case ERR_NOT_ENOUGH_REPLICAS:
        return refuse(op, error,
                      "Without node %d most of the voters would not be heard of: start them, or "
                      "remove one of those first.",
                      (int)node);
    case ERR_BUSY:
        return refuse(op, error, "An earlier change of the voters is not committed yet.");
    default:
        return refuse(op, error, "%s", error_text(error));
    }
}

/* It may be possible a moment later. */
static bool is_early(int error)
{
    return error == ERR_BUSY || error == ERR_REPLICA_NOT_AVAILABLE ||
           error == ERR_NOT_ENOUGH_REPLICAS;
}

static bool place_of(struct voter *out, const struct meta_voter *v)
{
    *out = (struct voter){.id = v->id, .port = v->port};
    int name = snprintf(out->name, sizeof out->name, "%s", v->name);
    int host = snprintf(out->host, sizeof out->host, "%s", v->host);
    for (const char *c = out->host; *c; c++) {
        if (*c <= ' ' || *c > '~') {
            return false;
        }
    }
    return name > 0 && name < VOTER_NAME_MAX && host > 0 && host < VOTER_HOST_MAX && v->port > 0;
}

static bool same_place(const struct voter *a, const struct voter *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0 && strcmp(a->name, b->name) == 0;
}

/* A voter is elsewhere: 0, and *changed when the record is to say so. */
static int update(struct meta *m, struct meta_op *op, const struct voter *place, bool *changed)
{
    const struct meta_voter *v = op->voter;
    *changed = false;
    if (v->epoch != m->epoch) {
        return refuse(op, v->epoch < m->epoch ? ERR_FENCED_LEADER_EPOCH : ERR_UNKNOWN_LEADER_EPOCH,
                      "The leader's epoch is %d, not %d.", (int)m->epoch, (int)v->epoch);
    }
    if (v->kraft_version_min > KRAFT_VERSION || v->kraft_version_max < KRAFT_VERSION) {
        return refuse(op, ERR_INVALID_UPDATE_VERSION,
                      "The quorum runs kraft.version %d, and the voter reads %d to %d.",
                      (int)KRAFT_VERSION, (int)v->kraft_version_min, (int)v->kraft_version_max);
    }
    int error = raft_may_change(m->quorum.raft);
    for (uint32_t i = 0; !error && i < m->changes.next.count; i++) {
        struct voter *known = &m->changes.next.list[i];
        if (raft_id_equal(known->id, v->id)) {
            *changed = !same_place(known, place);
            *known = *place;
            return 0;
        }
    }
    return error ? error : ERR_NOT_FOUND;
}

/* 0: changes.next and changes.ids are what is to be in force; *changed: that is new. */
static int decide(struct meta *m, struct meta_op *op, bool *changed)
{
    struct voter_changes *c = &m->changes;
    const struct meta_voter *v = op->voter;
    struct voter place;
    *changed = true;
    if (op->kind != META_REMOVE_VOTER && !place_of(&place, v)) {
        return refuse(op, ERR_INVALID_REQUEST, "Node %d has no address that can be kept.",
                      (int)v->id.node);
    }
    if (!voters_now(m, &c->next)) {
        return ERR_BUSY; /* the image does not show them all yet */
    }
    if (op->kind == META_UPDATE_VOTER) {
        int error = update(m, op, &place, changed);
        c->ids = voters_ids(&c->next);
        return error;
    }
    bool add = op->kind == META_ADD_VOTER;
    if (!add && !quorum_remaining(m, v->id, op->priv.arrived_ns)) {
        return ERR_NOT_ENOUGH_REPLICAS;
    }
    int error = raft_change(m->quorum.raft, io_now(m->io), add, v->id, &c->ids);
    if (error) {
        return error;
    }
    if (add) {
        c->next.list[c->next.count++] = place;
    } else {
        uint32_t at = 0;
        while (!raft_id_equal(c->next.list[at].id, v->id)) {
            at++;
            assert(at < c->next.count);
        }
        c->next.count--;
        memmove(&c->next.list[at], &c->next.list[at + 1],
                (c->next.count - at) * sizeof c->next.list[0]);
    }
    return 0;
}

/* --- its record ------------------------------------------------------------------------------- */

static void tell_people(const struct meta *m, const struct meta_op *op)
{
    char directory[UUID_TEXT_SIZE];
    uuid_text(op->voter->id.directory, directory);
    log_info(io_logger(m->io), "meta", "voter %s node=%d directory=%s voters=%u",
             op->kind == META_ADD_VOTER      ? "added"
             : op->kind == META_REMOVE_VOTER ? "removed"
                                             : "elsewhere",
             (int)op->voter->id.node, directory, (unsigned)m->changes.next.count);
}

static void change_committed(struct meta *m, int error)
{
    struct voter_changes *c = &m->changes;
    struct meta_op *op = c->op;
    c->op = NULL;
    if (error == ERR_NOT_CONTROLLER && c->end >= 0 && m->quorum.committed >= c->end) {
        error = 0; /* it was the last that this leader did: its own removal */
    }
    if (op && error == ERR_NOT_CONTROLLER) {
        error = refuse(op, ERR_REQUEST_TIMED_OUT,
                       "It was written, but the leader was lost before it was committed: look "
                       "whether it is in force.");
    }
    if (op && !error) {
        tell_people(m, op);
    }
    if (op) {
        meta_answer(m, op, error);
    }
    meta_batch_over(m);
}

void voter_changes_appended(struct meta *m, int64_t base)
{
    struct voter_changes *c = &m->changes;
    voters_take(m, &c->next, base);
    c->end = base + 1;
    if (c->op && c->op->voter->at_append) {
        struct meta_op *op = c->op;
        c->op = NULL;
        tell_people(m, op);
        meta_answer(m, op, 0);
    }
}

static int append(struct meta *m, struct meta_op *op)
{
    struct batch_builder *b = &m->proposal.batch;
    struct wire_writer value;
    struct bytes batch;
    struct batch_options options = batch_options_default();
    options.attributes = BATCH_CONTROL;
    options.base_offset = log_status(m->log).end_offset;
    options.leader_epoch = m->epoch;
    batch_builder_reset(b);
    wire_writer_init(&value, m->memory, VOTERS_BYTES_MAX);
    int error = voters_encode(&m->changes.next, &value);
    if (!error) {
        error = control_append_bytes(b, CONTROL_VOTERS, bytes_of(value.data, value.size),
                                     io_wall_ms(m->io));
    }
    wire_writer_deinit(&value);
    error = error ? error : batch_finish(b, &options, &batch);
    if (error) {
        return refuse(op, error, "The record of the voters cannot be made: %s", error_text(error));
    }
    m->changes.op = op;
    m->changes.end = -1;
    meta_append_voters(m, batch, &m->changes.ids, change_committed);
    return 0;
}

/* True: a record is on its way. False and *keep: it is tried again. */
static bool attempt(struct meta *m, struct meta_op *op, bool *keep)
{
    bool changed;
    int error = decide(m, op, &changed);
    *keep = false;
    if (!error && changed) {
        error = append(m, op);
        if (!error) {
            return true;
        }
    }
    if (error && !op->why[0]) {
        error = explain(m, op, error);
    }
    uint64_t until = op->here ? op->priv.arrived_ns + here_ns : voter_change_until(op);
    if (is_early(error) && io_now(m->io) < until && !m->resigned) {
        op->why[0] = 0;
        *keep = true;
        return false;
    }
    if (is_early(error)) {
        error = op->here && op->kind != META_UPDATE_VOTER ? ERR_REPLICA_NOT_AVAILABLE
                                                          : ERR_REQUEST_TIMED_OUT;
    }
    meta_answer(m, op, error);
    return false;
}

static void take(struct meta *m)
{
    struct list *next;
    bool any = false;
    for (struct list *node = m->waiting.next; node != &m->waiting; node = next) {
        next = node->next;
        if (voter_change_is(container_of(node, struct meta_op, priv.link))) {
            list_remove(node);
            list_append(&m->changes.waiting, node);
            any = true;
        }
    }
    if (any) {
        membership_wake(m); /* whose ticks try again what cannot be done at once */
    }
}

bool voter_changes_next(struct meta *m)
{
    struct list here, *node; /* an answer may lead here again */
    assert(m->leading && !m->busy && !m->appending);
    bool begun = false;
    uint32_t kept = 0;
    m->changes.deciding = true;
    take(m);
    list_init(&here);
    list_splice(&here, &m->changes.waiting);
    while ((node = list_pop(&here))) {
        struct meta_op *op = container_of(node, struct meta_op, priv.link);
        bool keep = false;
        if (kept == WAITING_MAX) {
            meta_answer(m, op,
                        refuse(op, ERR_REQUEST_TIMED_OUT,
                               "%d other changes of the voters wait already: try again later",
                               (int)WAITING_MAX));
        } else if (attempt(m, op, &keep)) {
            begun = true;
            break;
        }
        if (keep) {
            kept++;
            list_append(&m->changes.waiting, node);
        }
    }
    list_splice(&m->changes.waiting, &here);
    m->changes.deciding = false;
    return begun;
}

void voter_changes_look(struct meta *m)
{
    if (m->leading && !m->changes.deciding && !list_empty(&m->changes.waiting)) {
        io_turn_end(m->io, &m->turn);
    }
}

void voter_changes_back(struct meta *m)
{
    list_splice(&m->waiting, &m->changes.waiting);
}

/* --- a voter that is elsewhere ---------------------------------------------------------------- */

static int tell_encode(struct peer_request *p, struct wire_writer *w, int version)
{
    struct meta *m = container_of(p, struct meta, changes.request);
    const struct voter own = meta_own_voter(m);
    struct update_raft_voter_request_listeners listener = {wire_string_of(own.name),
                                                           wire_string_of(own.host), own.port};
    struct update_raft_voter_request r;
    update_raft_voter_request_init(&r);
    r.cluster_id = wire_string_of(m->cluster_text);
    r.current_leader_epoch = raft_status(m->quorum.raft).epoch;
    r.voter_id = own.id.node;
    r.voter_directory_id = own.id.directory;
    r.listeners = &listener;
    r.listeners_count = 1;
    r.kraft_version_feature.max_supported_version = KRAFT_VERSION;
    return update_raft_voter_request_encode(&r, w, version);
}

static void told(struct peer_request *p, const struct peer_answer *a)
{
    struct meta *m = container_of(p, struct meta, changes.request);
    struct reader in = reader_of(a->body.data, a->body.size);
    struct update_raft_voter_response r;
    struct arena arena;
    int error = a->error;
    m->changes.telling = false;
    arena_init(&arena, m->memory, 4096);
    if (!error) {
        error = update_raft_voter_response_decode(&r, &in, a->version, &arena);
        error = error ? error : error_from_wire(r.error_code);
    }
    arena_deinit(&arena);
    if (error && !error_is_retriable(error) && m->state == META_ACTIVE) {
        log_warn(io_logger(m->io), "meta", "the leader does not take the address of this voter: %s",
                 error_text(error));
    }
    meta_log_idle(m);
}

void voter_tell(struct meta *m, int32_t leader)
{
    struct voter_changes *c = &m->changes;
    const struct voter own = meta_own_voter(m);
    const struct voter *known = voters_find(&m->voters, own.id.node);
    uint64_t now = io_now(m->io);
    if (c->telling || leader == RAFT_NOBODY || leader == own.id.node || !known ||
        !raft_id_equal(known->id, own.id) || same_place(known, &own) ||
        (c->told_ns && now < c->told_ns + tell_again_ns)) {
        return;
    }
    c->told_ns = now;
    c->request = (struct peer_request){
        .key = WIRE_UPDATE_RAFT_VOTER, .fail_fast = true, .encode = tell_encode, .done = told};
    c->telling = links_call(m, leader, &c->request);
}

/* --- as requests ------------------------------------------------------------------------------ */

int voter_change_encode(const struct meta *m, const struct meta_op *op, struct wire_writer *w,
                        int version)
{
    const struct meta_voter *v = op->voter;
    if (op->kind == META_REMOVE_VOTER) {
        struct remove_raft_voter_request r;
        remove_raft_voter_request_init(&r);
        r.cluster_id = wire_string_of(m->cluster_text);
        r.voter_id = v->id.node;
        r.voter_directory_id = v->id.directory;
        return remove_raft_voter_request_encode(&r, w, version);
    }
    struct add_raft_voter_request_listeners listener = {wire_string_of(v->name),
                                                        wire_string_of(v->host), v->port};
    struct add_raft_voter_request r;
    assert(op->kind == META_ADD_VOTER);
    add_raft_voter_request_init(&r);
    r.cluster_id = wire_string_of(m->cluster_text);
    r.timeout_ms = v->timeout_ms;
    r.voter_id = v->id.node;
    r.voter_directory_id = v->id.directory;
    r.listeners = &listener;
    r.listeners_count = 1;
    r.ack_when_committed = !v->at_append;
    return add_raft_voter_request_encode(&r, w, version);
}

static int judge(struct meta_op *op, int16_t code, struct wire_string why)
{
    if (code) {
        forward_why(op, why);
    }
    return error_from_wire(code);
}

int voter_change_decode(struct meta_op *op, struct reader *in, int version, struct arena *arena)
{
    if (op->kind == META_REMOVE_VOTER) {
        struct remove_raft_voter_response r;
        int error = remove_raft_voter_response_decode(&r, in, version, arena);
        return error ? ERR_MALFORMED : judge(op, r.error_code, r.error_message);
    }
    struct add_raft_voter_response r;
    int error = add_raft_voter_response_decode(&r, in, version, arena);
    return error ? ERR_MALFORMED : judge(op, r.error_code, r.error_message);
}
