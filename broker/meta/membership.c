/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/membership.h"

#include "meta/founding.h"
#include "meta/meta_start.h"

#include <inttypes.h>
#include <stdio.h>

static const uint64_t retry_ns = UINT64_C(100000000);
static const uint64_t said_every_ns = UINT64_C(10000000000);

/* While a broker goes, the others wait for it to be over: all of them tell what they have read as soon as they have
 * read it, in heartbeats that are at least so far apart. */
static const uint64_t going_ns = UINT64_C(10000000);
static const uint64_t silence_ns =
    UINT64_C(2000000000); /* of the controller, until a node goes without it */
static const uint64_t hand_over_ns =
    UINT64_C(4000000000); /* until it is fenced with what is left */
static const uint64_t farewell_ns =
    UINT64_C(200000000); /* of a leader, until all have seen it fenced */
static const uint64_t retire_ns = UINT64_C(5000000000); /* the whole */

struct membership_timer {
    struct io_op op;
    struct io *io;
    struct meta *meta; /* NULL: it has gone, and the timer goes when it is done */
};

static void tick(struct meta *m);

static uint64_t heartbeat_ns(const struct meta *m)
{
    return (uint64_t)m->options.heartbeat_ms * 1000000;
}

static uint64_t session_ns(const struct meta *m)
{
    return (uint64_t)m->options.session_ms * 1000000;
}

/* --- the timer -------------------------------------------------------------------------------- */

static void timer_done(struct io_op *op, int64_t result)
{
    struct membership_timer *t = container_of(op, struct membership_timer, op);
    if (!t->meta) {
        memory_free(io_memory(t->io), t);
        return;
    }
    tick(t->meta);
}

static void timer_set(struct meta *m, uint64_t in_ns)
{
    struct membership_timer *t = m->membership.timer;
    if (io_op_idle(&t->op)) {
        t->op.done = timer_done;
        io_timer(m->io, &t->op, io_now(m->io) + in_ns);
    }
}

void membership_wake(struct meta *m)
{
    struct membership_timer *t = m->membership.timer;
    if (t && !io_op_idle(&t->op)) {
        io_cancel(m->io, &t->op);
    } else if (t) {
        timer_set(m, 0);
    }
}

/* --- sessions of others ----------------------------------------------------------------------- */

void membership_lead(struct meta *m)
{
    m->membership.looked_ns = 0; /* everybody has a whole session */
    ends_free(&m->membership.ends, m->memory);
    lease_moved(m, image_offset(m->image)); /* whatever another has decided */
    upkeep_begin(&m->membership.upkeep, (uint64_t)m->options.balance_s * UINT64_C(1000000000),
                 io_now(m->io));
    membership_wake(m);
}

static void expired(struct meta_op *op)
{
    struct meta *m = container_of(op, struct meta, membership.expiry);
    m->membership.expiring = false;
    if (op->error && op->error != ERR_NOT_CONTROLLER && op->error != ERR_CLOSED) {
        log_warn(io_logger(m->io), "meta", "silent brokers cannot be fenced: %s", op->why);
    }
    meta_log_idle(m);
}

static void fence_silent(struct meta *m)
{
    struct membership *s = &m->membership;
    uint64_t now = io_now(m->io);
    /* This process; nobody else need have. */
    bool stood_still = now > s->looked_ns + session_ns(m) / 2;
    if (s->looked_ns == 0 || stood_still) {
        cluster_sessions_begin(&s->sessions, m->image, session_ns(m), now);
    }
    s->looked_ns = now;
    if (s->expiring || now < cluster_sessions_next(&s->sessions, m->image)) {
        return;
    }
    s->expiry = (struct meta_op){.done = expired, .kind = META_EXPIRE_BROKERS};
    s->expiring = true;
    meta_submit(m, m->io, &s->expiry);
}

void membership_gone(struct meta *m, int32_t broker, int64_t epoch)
{
    if (cluster_session_over(&m->membership.sessions, broker, epoch)) {
        log_warn(
            io_logger(m->io), "meta",
            "broker %d is gone, nobody listens where it did: it leads nothing until it is back",
            (int)broker);
        membership_wake(m);
    }
}

/* --- by time ---------------------------------------------------------------------------------- */

static void upkept(struct meta_op *op)
{
    struct meta *m = container_of(op, struct meta, membership.upkeep_op);
    if (op->error && op->error != ERR_NOT_CONTROLLER && op->error != ERR_CLOSED) {
        log_warn(io_logger(m->io), "meta", "%s: %s",
                 op->kind == META_GROW ? "topics cannot grow"
                                       : "leadership cannot go back to preferred replicas",
                 op->why);
    }
    if (!op->error && op->kind == META_GROW && op->changed_count > 0) {
        log_info(
            io_logger(m->io), "meta",
            "replicas are added: partitions=%u, of topics whose replication factor nobody chose",
            op->changed_count);
    }
    bool soon = op->error || op->later || op->changed_count > 0 || op->own_only;
    upkeep_done(&m->membership.upkeep, soon, io_now(m->io));
    meta_log_idle(m);
}

static void keep_up(struct meta *m)
{
    struct membership *s = &m->membership;
    uint32_t active = 0;
    for (uint32_t i = 0; i < image_broker_count(m->image); i++) {
        const struct image_broker *b = image_broker_at(m->image, i);
        active += !b->fenced && !b->shutting_down;
    }
    enum upkeep_work work = upkeep_next(&s->upkeep, active, io_now(m->io));
    if (work != UPKEEP_NOTHING) {
        s->upkeep_op = (struct meta_op){.done = upkept,
                                        .kind = work == UPKEEP_GROW ? META_GROW : META_BALANCE,
                                        .own_only = upkeep_unsettled(&s->upkeep, io_now(m->io))};
        meta_submit(m, m->io, &s->upkeep_op);
    }
}

/* --- this broker ------------------------------------------------------------------------------ */

static const struct image_broker *own(const struct meta *m)
{
    const struct image_broker *b = image_broker_by_id(m->image, m->identity.node_id);
    return b && m->membership.registered && b->epoch == m->broker_epoch ? b : NULL;
}

/* Another broker hands over, or leads and goes, and the controller waits until this one has seen what it has not told
 * yet. */
static bool news_to_tell(const struct meta *m)
{
    int32_t leader = raft_leadership(m->quorum.raft).leader;
    if (image_offset(m->image) <= m->membership.told) {
        return false;
    }
    for (uint32_t i = 0; i < image_broker_count(m->image); i++) {
        const struct image_broker *b = image_broker_at(m->image, i);
        bool goes = b->shutting_down && (!b->fenced || b->id == leader);
        if (goes && b->id != m->identity.node_id) {
            return true;
        }
    }
    return false;
}

void membership_look(struct meta *m)
{
    if (m->membership.retire || (m->state == META_ACTIVE && news_to_tell(m))) {
        membership_wake(m);
    }
}

static void take_heartbeat(struct meta *m)
{
    struct membership *s = &m->membership;
    s->answered_ns = io_now(m->io);
    if (!s->retire) {
        lease_take(m, s->beaten_ns, s->heartbeat.lease_ms);
    }
    s->told = s->heartbeat.offset;
    s->may_go = s->heartbeat.wants_shut_down && (s->may_go || s->heartbeat.should_shut_down);
}

/* Another process has this node's id, and its session goes on: it stays, and this one, which came later, ends. */
static void displaced(struct meta *m)
{
    const struct image_broker *b = image_broker_by_id(meta_newest_image(m), m->identity.node_id);
    char why[800], place[FOUNDING_ADDRESS_SIZE] = "another address";
    bool copy = b && uuid_equal(b->directory, m->identity.directory_id);
    if (b && b->endpoint_count > 0) {
        founding_address(place, b->endpoints[0].host, b->endpoints[0].port);
    }
    snprintf(
        why, sizeof why,
        "node %d runs at %s, and its cluster hears it: %s is %s; start this node with an empty "
        "data.dir and a node.id of its own, or stop the other one first",
        (int)m->identity.node_id, place, m->options.root,
        copy ? "a copy of its directory" : "another directory with its node.id");
    if (m->options.displaced) {
        m->options.displaced(m->options.publish_context, why);
    }
}

static void finished(struct meta *m, int error)
{
    struct membership *s = &m->membership;
    bool registration = s->op.kind == META_REGISTER_BROKER;
    s->busy = false;
    if (!error && registration) {
        s->registered = true;
        m->broker_epoch = s->op.broker_epoch;
    }
    if (error == ERR_STALE_BROKER_EPOCH || error == ERR_BROKER_ID_NOT_REGISTERED) {
        s->registered = false;
    }
    uint64_t now = io_now(m->io);
    if (registration && error == ERR_DUPLICATE_BROKER_REGISTRATION && s->op.displaced) {
        displaced(m);
    }
    if (error && error != ERR_INTERRUPTED && (!s->said_ns || now >= s->said_ns + said_every_ns)) {
        s->said_ns = now;
        log_warn(io_logger(m->io), "meta", "the controller does not take the %s of this broker: %s",
                 registration ? "registration" : "heartbeat",
                 s->op.why[0] ? s->op.why : error_text(error));
    }
    if (!error && !registration) {
        take_heartbeat(m);
    }
    if (!error && registration) {
        membership_wake(m);
    } else {
        membership_look(m);
    }
    meta_log_idle(m);
}

static void decided_here(struct meta_op *op)
{
    struct meta *m = container_of(op, struct meta, membership.op);
    finished(m, op->error);
}

/* One entry for each topic. */
static bool lost_of(const struct meta_registration *in, struct arena *arena,
                    struct broker_registration_request *out)
{
    enum { REASON_SHORT = 2 };
    struct broker_registration_request_lost_partitions *t = NULL;
    int32_t *indexes = arena_array(arena, in->lost_count, sizeof *indexes);
    out->lost_partitions = arena_array(arena, in->lost_count, sizeof *out->lost_partitions);
    if (!indexes || !out->lost_partitions) {
        return false;
    }
    for (uint32_t i = 0; i < in->lost_count; i++) {
        if (i == 0 || !uuid_equal(in->lost[i].topic_id, in->lost[i - 1].topic_id)) {
            t = &out->lost_partitions[out->lost_partitions_count++];
            t->topic_id = in->lost[i].topic_id;
            t->reason = REASON_SHORT;
            t->partition_indexes = &indexes[i];
        }
        indexes[i] = in->lost[i].partition;
        t->partition_indexes_count++;
    }
    return true;
}

static int encode_registration(struct meta *m, struct wire_writer *w, int version)
{
    struct meta_registration *in = &m->membership.registration;
    struct broker_registration_request_listeners listeners[IMAGE_ENDPOINTS_MAX];
    struct broker_registration_request r;
    broker_registration_request_init(&r);
    for (uint32_t i = 0; i < in->endpoint_count; i++) {
        broker_registration_request_listeners_init(&listeners[i]);
        listeners[i].name = wire_string_of(in->endpoints[i].name);
        listeners[i].host = wire_string_of(in->endpoints[i].host);
        listeners[i].port = in->endpoints[i].port;
    }
    r.broker_id = m->identity.node_id;
    r.cluster_id = wire_string_of(m->cluster_text);
    r.incarnation_id = in->incarnation;
    r.listeners = listeners;
    r.listeners_count = (int32_t)in->endpoint_count;
    struct broker_registration_request_features level = {
        wire_string_of("metadata.version"), in->metadata_version_min, in->metadata_version_max};
    r.features = &level;
    r.features_count = 1;
    r.rack = wire_string_of(in->rack);
    r.log_dirs = &in->directory;
    r.log_dirs_count = 1;
    struct arena arena;
    arena_init(&arena, m->memory, SIZE_MAX);
    int error = lost_of(in, &arena, &r) ? broker_registration_request_encode(&r, w, version)
                                        : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

static int encode(struct peer_request *p, struct wire_writer *w, int version)
{
    struct meta *m = container_of(p, struct meta, membership.request);
    struct membership *s = &m->membership;
    if (s->op.kind == META_REGISTER_BROKER) {
        return encode_registration(m, w, version);
    }
    struct broker_heartbeat_request r;
    broker_heartbeat_request_init(&r);
    r.broker_id = m->identity.node_id;
    r.broker_epoch = s->op.broker_epoch;
    r.current_metadata_offset = s->heartbeat.offset;
    r.want_fence = s->heartbeat.wants_fence;
    r.want_shut_down = s->heartbeat.wants_shut_down;
    return broker_heartbeat_request_encode(&r, w, version);
}

static int decode(struct meta *m, const struct peer_answer *a)
{
    struct membership *s = &m->membership;
    struct reader in = reader_of(a->body.data, a->body.size);
    struct arena arena;
    int error;
    arena_init(&arena, m->memory, 4096);
    if (s->op.kind == META_REGISTER_BROKER) {
        struct broker_registration_response r;
        error = broker_registration_response_decode(&r, &in, a->version, &arena);
        error = error ? error : error_from_wire(r.error_code);
        s->op.broker_epoch = error ? -1 : r.broker_epoch;
        s->op.displaced = error && r.lives_elsewhere;
    } else {
        struct broker_heartbeat_response r;
        error = broker_heartbeat_response_decode(&r, &in, a->version, &arena);
        error = error ? error : error_from_wire(r.error_code);
        s->heartbeat.should_shut_down = !error && r.should_shut_down;
        s->heartbeat.lease_ms = error ? 0 : r.lease_ms;
    }
    arena_deinit(&arena);
    return error;
}

static void answered(struct peer_request *p, const struct peer_answer *a)
{
    struct meta *m = container_of(p, struct meta, membership.request);
    finished(m, a->error ? a->error : decode(m, a));
}

/* To the controller, here or elsewhere. */
static void submit(struct meta *m, int32_t leader)
{
    struct membership *s = &m->membership;
    bool registration = s->op.kind == META_REGISTER_BROKER;
    s->busy = true;
    if (leader == m->identity.node_id) {
        meta_submit(m, m->io, &s->op);
        return;
    }
    s->request = (struct peer_request){
        .key = registration ? WIRE_BROKER_REGISTRATION : WIRE_BROKER_HEARTBEAT,
        .version_min = registration ? 3 : 0,
        .version_max = registration ? 3 : 1,
        .fail_fast = true,
        .timeout_ns = session_ns(m),
        .encode = encode,
        .done = answered,
    };
    if (!links_call(m, leader, &s->request)) {
        s->busy = false;
    }
}

struct lost_list {
    const struct meta *meta;
    struct meta_lost *out; /* NULL: they are counted */
    uint32_t count;
};

/* What nobody else has is left out: the node goes on with what there is. */
static void list_topic(struct lost_list *l, const struct image_topic *t)
{
    const struct meta *m = l->meta;
    if (!m->options.lost || !m->options.lost(m->options.publish_context, t)) {
        return;
    }
    for (int32_t k = 0; k < t->partition_count; k++) {
        const struct image_partition *p = &t->partitions[k];
        if (p->replica_count > 1 && image_partition_holds(p, m->identity.node_id)) {
            if (l->out) {
                l->out[l->count] = (struct meta_lost){t->id, k, false};
            }
            l->count++;
        }
    }
}

/* The partitions of which this node cannot answer for what it had acknowledged. */
static void list_image(struct lost_list *l, const struct image *image)
{
    const struct image_topic *removed;
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        list_topic(l, image_topic_at(image, i));
    }
    for (uint32_t i = 0; (removed = image_removed_at(image, i)); i++) {
        list_topic(l, removed);
    }
}

/* Of the whole log, committed or not, and of what is deleted in it: that may never be committed. When a truncation has
 * taken it back before this node is registered, `ahead` has gone and the image may be an old one. */
static void list_start(struct lost_list *l)
{
    if (l->meta->ahead) {
        list_image(l, l->meta->ahead);
    }
    list_image(l, l->meta->image);
}

static int note_lost_at_start(struct meta *m)
{
    struct membership *s = &m->membership;
    struct lost_list l = {.meta = m};
    list_start(&l);
    s->lost_at_start_count = l.count;
    if (l.count == 0) {
        return 0;
    }
    s->lost_at_start = l.out = memory_alloc(m->memory, l.count * sizeof *l.out);
    if (!l.out) {
        return ERR_NO_MEMORY;
    }
    l.count = 0;
    list_start(&l);
    return 0;
}

/* Nobody else has it now, whatever an older image or a part of the log says. */
static bool is_alone(const struct meta *m, const struct meta_lost *lost)
{
    const struct image_topic *t = image_topic_by_id(meta_newest_image(m), lost->topic_id);
    const struct image_partition *p =
        t && lost->partition < t->partition_count ? &t->partitions[lost->partition] : NULL;
    return p && p->replica_count == 1 && image_partition_holds(p, m->identity.node_id);
}

/* Sorted, each once: how many remain. */
static uint32_t sift(const struct meta *m, struct meta_lost *lost, uint32_t count)
{
    uint32_t kept = 0;
    cluster_lost_sort(lost, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct meta_lost *last = kept ? &lost[kept - 1] : NULL;
        bool again = last && uuid_equal(last->topic_id, lost[i].topic_id) &&
                     last->partition == lost[i].partition;
        if (!again && !is_alone(m, &lost[i])) {
            lost[kept++] = lost[i];
        }
    }
    return kept;
}

/* False: no memory, and without it the node may not come back. */
static bool note_lost(struct meta *m)
{
    struct membership *s = &m->membership;
    struct lost_list now = {.meta = m};
    list_image(&now, m->image);
    uint32_t count = s->lost_at_start_count + now.count;
    memory_free(m->memory, s->lost);
    s->lost = count ? memory_alloc(m->memory, count * sizeof *s->lost) : NULL;
    if (count && !s->lost) {
        return false;
    }
    if (s->lost_at_start_count > 0) {
        memcpy(s->lost, s->lost_at_start, s->lost_at_start_count * sizeof *s->lost);
    }
    if (now.count > 0) {
        now.out = s->lost + s->lost_at_start_count;
        now.count = 0;
        list_image(&now, m->image);
    }
    s->registration.lost = s->lost;
    s->registration.lost_count = sift(m, s->lost, count);
    return true;
}

static void register_broker(struct meta *m, int32_t leader)
{
    struct membership *s = &m->membership;
    s->registration = (struct meta_registration){
        .cluster_id = m->cluster_text,
        .metadata_version_min = METADATA_VERSION,
        .metadata_version_max = METADATA_VERSION,
        .incarnation = s->incarnation,
        .directory = m->identity.directory_id,
        .rack = m->options.rack,
        .endpoints = m->options.endpoints,
        .endpoint_count = m->options.endpoint_count,
        .here = leader == m->identity.node_id,
    };
    if (!note_lost(m)) {
        log_warn(io_logger(m->io), "meta", "no memory to tell which partitions are lost");
        return;
    }
    s->op = (struct meta_op){.done = decided_here,
                             .kind = META_REGISTER_BROKER,
                             .broker = m->identity.node_id,
                             .registration = &s->registration};
    submit(m, leader);
}

static void drain(struct meta *m)
{
    struct membership *s = &m->membership;
    s->draining = s->asked || s->relief.on;
    s->yielded = false;
    s->may_go = s->may_go && s->retire;
}

/* One that was fenced is let in first, and takes what nobody else can lead. */
static bool drains_now(struct membership *s, const struct image_broker *b)
{
    s->comes_back = !b || b->fenced || (s->comes_back && b->shutting_down);
    return s->draining && !s->comes_back;
}

static void heartbeat(struct meta *m, int32_t leader)
{
    struct membership *s = &m->membership;
    if (relief_look(m)) {
        drain(m);
    }
    const struct image_broker *b = own(m);
    s->heartbeat = (struct meta_heartbeat){
        .offset = image_offset(m->image),
        .wants_shut_down = drains_now(s, b) || s->retire,
        .wants_fence = s->retire && s->may_go,
    };
    if (s->heartbeat.wants_shut_down) {
        lease_drop(m);
    }
    s->op = (struct meta_op){.done = decided_here,
                             .kind = META_HEARTBEAT,
                             .broker = m->identity.node_id,
                             .broker_epoch = m->broker_epoch,
                             .heartbeat = &s->heartbeat};
    submit(m, leader);
}

/* Who stops is no member any more, but the requests behind what waits hold the stop up. */
static void look_at_waiting(struct meta *m)
{
    if (m->state != META_CLOSING) {
        forward_look(m);
        meta_decide(m);
        reads_look(m);
        timer_set(m, retry_ns);
    }
}

void membership_drain(struct meta *m, bool asked)
{
    struct membership *s = &m->membership;
    if (asked != s->asked) {
        log_info(io_logger(m->io), "meta", "%s",
                 asked ? "an operator wants this broker to lead nothing that others can lead"
                       : "this broker may lead again");
    }
    s->asked = asked;
    drain(m);
    s->beaten_ns = 0;
    membership_wake(m);
}

/* --- controlled shutdown ---------------------------------------------------------------------- */

static void retired(struct meta *m, int error, const char *why)
{
    struct meta_retire *r = m->membership.retire;
    m->membership.retire = NULL;
    r->error = error;
    snprintf(r->why, sizeof r->why, "%s", why);
    r->done(r);
}

/* A leader that has lost the others can have nobody fenced. */
static bool is_lost(const struct meta *m, const struct image_broker *b)
{
    const struct membership *s = &m->membership;
    bool knows =
        m->leading && s->looked_ns > 0 && io_now(m->io) <= s->looked_ns + session_ns(m) / 2;
    return knows && !cluster_session_lives(&s->sessions, b->id, b->epoch, io_now(m->io));
}

/* Somebody to hand over to, or at least to miss this broker. */
static bool has_company(const struct meta *m)
{
    for (uint32_t i = 0; i < image_broker_count(m->image); i++) {
        const struct image_broker *b = image_broker_at(m->image, i);
        if (b->id != m->identity.node_id && !b->fenced && !is_lost(m, b)) {
            return true;
        }
    }
    return false;
}

/* A leader that is fenced goes when the others know it: if they are too few to elect another, nobody else
 * tells them. */
static bool has_said_farewell(struct meta *m, uint64_t now)
{
    struct membership *s = &m->membership;
    if (s->farewell_ns == 0) {
        s->farewell_ns = now;
        s->farewell = image_offset(m->image);
    }
    return !m->leading || now >= s->farewell_ns + farewell_ns ||
           cluster_sessions_have_read(&s->sessions, m->image, m->identity.node_id, s->farewell);
}

static void retire_look(struct meta *m)
{
    struct membership *s = &m->membership;
    const struct image_broker *b = own(m);
    uint64_t now = io_now(m->io);
    if (!s->retire) {
        return;
    }
    if (b && b->fenced && has_company(m) && !has_said_farewell(m, now)) {
        return;
    }
    if (!b || b->fenced || !has_company(m)) {
        retired(m, 0, "");
    } else if (now >= s->answered_ns + silence_ns || now >= s->retire_ns + retire_ns) {
        retired(m, ERR_TIMEOUT,
                "no controller has taken leave of this node in time: others see that it is gone "
                "when its session ends");
    } else if (!s->may_go && now >= s->retire_ns + hand_over_ns) {
        log_warn(io_logger(m->io), "meta",
                 "not every broker has learned who leads in place of this one: it goes");
        s->may_go = true;
    }
}

bool meta_retire(struct meta *m, struct meta_retire *r)
{
    struct membership *s = &m->membership;
    const struct image_broker *b = m->state == META_ACTIVE ? own(m) : NULL;
    assert(!s->retire && !m->resigned && r->done);
    if (!b || b->fenced || !has_company(m)) {
        return false;
    }
    s->retire = r;
    s->may_go = false;
    s->farewell_ns = 0;
    s->retire_ns = s->answered_ns = io_now(m->io);
    membership_wake(m);
    return true;
}

/* --- what is due ------------------------------------------------------------------------------ */

/* How far apart heartbeats are now. */
static uint64_t beat_ns(const struct meta *m, const struct image_broker *b)
{
    const struct membership *s = &m->membership;
    if (s->retire || news_to_tell(m)) {
        return going_ns;
    }
    return !b || b->fenced || (s->draining && !s->may_go) ? retry_ns : heartbeat_ns(m);
}

/* Tells the controller what is due; in how long to look again. */
static uint64_t beat(struct meta *m, int32_t leader, bool ready)
{
    struct membership *s = &m->membership;
    const struct image_broker *b = own(m);
    uint64_t now = io_now(m->io), apart = beat_ns(m, b), due = s->beaten_ns + apart;
    if (!ready || !s->registered) {
        if (ready) {
            register_broker(m, leader);
        }
        return s->retire ? going_ns : retry_ns;
    }
    if (now < due && (s->retire || (b && !b->fenced))) {
        return due - now < retry_ns ? due - now : retry_ns;
    }
    s->beaten_ns = now;
    heartbeat(m, leader);
    return apart;
}

static void tick(struct meta *m)
{
    if (!m->resigned) {
        retire_look(m);
    }
    if (m->resigned) {
        look_at_waiting(m);
        return;
    }
    struct membership *s = &m->membership;
    int32_t leader = raft_leadership(m->quorum.raft).leader;
    const struct image_broker *b = own(m);
    bool here = leader == m->identity.node_id;
    bool alone =
        here && m->state == META_ACTIVE && image_broker_count(m->image) <= 1 && b && !b->fenced;
    lease_alone(m, alone);
    lease_look(m);
    bool starts = here && m->state == META_OPENING && start_is_alone(m);
    bool ready = leader != RAFT_NOBODY && (!here || m->leading) && !s->busy && !alone && !starts &&
                 !s->waits;
    if (b && !b->fenced && m->state == META_OPENING) {
        meta_member(m);
    }
    uint64_t next = beat(m, leader, ready);
    if (m->state == META_ACTIVE) {
        voter_tell(m, leader);
    }
    forward_look(m);
    meta_decide(m);
    reads_look(m);
    yield_while_waiting(m);
    if (m->leading && m->state == META_ACTIVE && !alone) {
        fence_silent(m);
        watches_look(m);
        keep_up(m);
    }
    if (m->leading && s->draining && s->may_go && !s->yielded) {
        s->yielded = true;
        quorum_resign(m);
    }
    if (!alone || !list_empty(&m->changes.waiting)) { /* else it waits for others, not for time */
        timer_set(m, m->leading && next > retry_ns ? retry_ns : next);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

int membership_begin(struct meta *m)
{
    struct membership *s = &m->membership;
    struct membership_timer *t = memory_alloc(m->memory, sizeof *t);
    if (!t) {
        return ERR_NO_MEMORY;
    }
    *t = (struct membership_timer){.io = m->io, .meta = m};
    s->timer = t;
    io_random(m->io, s->incarnation.bytes, sizeof s->incarnation.bytes);
    int error = note_lost_at_start(m);
    timer_set(m, 0);
    return error;
}

bool membership_busy(const struct meta *m)
{
    const struct membership *s = &m->membership;
    return s->busy || s->expiring || s->upkeep.under_way != UPKEEP_NOTHING;
}

void membership_end(struct meta *m)
{
    struct membership_timer *t = m->membership.timer;
    if (!t) {
        return;
    }
    m->membership.timer = NULL;
    m->membership.retire = NULL;
    ends_free(&m->membership.ends, m->memory);
    memory_free(m->memory, m->membership.lost);
    m->membership.lost = NULL;
    memory_free(m->memory, m->membership.lost_at_start);
    m->membership.lost_at_start = NULL;
    t->meta = NULL;
    if (io_op_idle(&t->op)) {
        memory_free(m->memory, t);
    } else {
        io_cancel(m->io, &t->op);
    }
}
