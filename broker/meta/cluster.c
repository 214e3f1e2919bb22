/* SPDX-License-Identifier: Apache-2.0 */

/* Brokers. Each decision first changes what it knows of the broker (k->brokers), then looks at the
 * partitions of that broker with it, and puts the broker's own record where C4 wants it. */
#include "meta/cluster_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int cluster_refuse(struct cluster *k, int error, const char *format, ...)
{
    va_list arguments;
    assert(error < 0);
    va_start(arguments, format);
    vsnprintf(k->why, sizeof k->why, format, arguments);
    va_end(arguments);
    return error;
}

int cluster_emit(struct cluster *k, const struct wire_message *message, int version,
                 const void *body)
{
    return k->c->emit(k->c->context, message, version, body);
}

void cluster_init(struct cluster *k, const struct controller *c, struct cluster_sessions *sessions,
                  uint64_t now_ns)
{
    k->c = c;
    k->sessions = sessions;
    k->now_ns = now_ns;
    k->more = k->displaced = false;
    k->changed = k->unclean = 0;
    k->why[0] = 0;
    k->bytes = 0;
    uint32_t count = image_broker_count(c->image);
    assert(count <= IMAGE_BROKERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct image_broker *b = image_broker_at(c->image, i);
        k->brokers[i] = (struct isr_broker){b->id, b->epoch, b->fenced, b->shutting_down};
    }
    k->rules = (struct isr_rules){.brokers = k->brokers, .broker_count = count, .min_isr = 1};
}

struct isr_broker *cluster_broker(struct cluster *k, int32_t id)
{
    return (struct isr_broker *)isr_find_broker(&k->rules, id);
}

/* --- sessions --------------------------------------------------------------------------------- */

static const struct cluster_session *find_session(const struct cluster_sessions *s, int32_t id)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->brokers[i].id == id) {
            return &s->brokers[i];
        }
    }
    return NULL;
}

/* The session of this life of the broker, begun if there is none. Those of brokers that are not
 * registered any more make room. */
static struct cluster_session *session_of(struct cluster *k, int32_t id, int64_t epoch)
{
    struct cluster_sessions *s = k->sessions;
    struct cluster_session *found = (struct cluster_session *)find_session(s, id);
    for (uint32_t i = 0; !found && i < s->count; i++) {
        if (!image_broker_by_id(k->c->image, s->brokers[i].id)) {
            found = &s->brokers[i];
        }
    }
    if (!found) {
        assert(s->count < IMAGE_BROKERS_MAX);
        found = &s->brokers[s->count++];
    }
    if (found->id != id || found->epoch != epoch) {
        *found = (struct cluster_session){
            .id = id, .epoch = epoch, .heard_ns = k->now_ns, .offset = -1, .handed_off = -1};
    }
    return found;
}

static void hear(struct cluster_session *session, uint64_t now_ns, uint64_t arrived_ns)
{
    if (arrived_ns > session->beat_ns) {
        session->before_ns = session->beat_ns;
        session->beat_ns = arrived_ns;
    }
    session->heard_ns = now_ns;
    session->over = false;
    session->beats++;
}

bool cluster_session_over(struct cluster_sessions *s, int32_t id, int64_t epoch)
{
    struct cluster_session *session = (struct cluster_session *)find_session(s, id);
    if (!session || session->epoch != epoch || session->over) {
        return false;
    }
    session->over = true;
    return true;
}

uint64_t cluster_session_heard(const struct cluster_sessions *s, int32_t id, int64_t epoch)
{
    const struct cluster_session *session = find_session(s, id);
    return session && session->epoch == epoch ? session->heard_ns : 0;
}

bool cluster_session_beats(const struct cluster_sessions *s, int32_t id, int64_t epoch,
                           uint64_t now_ns)
{
    const struct cluster_session *session = find_session(s, id);
    return session && session->epoch == epoch && session->beat_ns > 0 && !session->over &&
           now_ns < session->beat_ns + s->timeout_ns / 2;
}

bool cluster_session_beaten_twice(const struct cluster_sessions *s, int32_t id, int64_t epoch,
                                  uint64_t since_ns)
{
    const struct cluster_session *session = find_session(s, id);
    return session && session->epoch == epoch && !session->over && session->before_ns > since_ns;
}

void cluster_sessions_begin(struct cluster_sessions *s, const struct image *image,
                            uint64_t timeout_ns, uint64_t now_ns)
{
    s->timeout_ns = timeout_ns;
    s->count = 0;
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        if (!b->fenced) {
            /* Whether all its partitions were looked at when it was let in, only its controller
             * knew. */
            s->brokers[s->count++] = (struct cluster_session){.id = b->id,
                                                              .epoch = b->epoch,
                                                              .heard_ns = now_ns,
                                                              .offset = -1,
                                                              .handed_off = -1,
                                                              .settling = true};
        }
    }
}

static uint64_t session_end(const struct cluster_sessions *s, const struct cluster_session *session)
{
    if (session->over) {
        return 0;
    }
    return session->heard_ns > UINT64_MAX - s->timeout_ns ? UINT64_MAX
                                                          : session->heard_ns + s->timeout_ns;
}

bool cluster_session_lives(const struct cluster_sessions *s, int32_t id, int64_t epoch,
                           uint64_t now_ns)
{
    const struct cluster_session *session = find_session(s, id);
    return session && session->epoch == epoch && now_ns < session_end(s, session);
}

bool cluster_sessions_have_read(const struct cluster_sessions *s, const struct image *image,
                                int32_t id, int64_t offset)
{
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        const struct cluster_session *session = b->fenced ? NULL : find_session(s, b->id);
        if (b->id != id && session && session->epoch == b->epoch && !session->over &&
            session->offset < offset) {
            return false;
        }
    }
    return true;
}

uint64_t cluster_sessions_next(const struct cluster_sessions *s, const struct image *image)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        const struct cluster_session *session = b->fenced ? NULL : find_session(s, b->id);
        if (b->fenced) {
            continue;
        }
        uint64_t end = session && session->epoch == b->epoch ? session_end(s, session) : 0;
        next = end < next ? end : next;
    }
    return next;
}

/* --- one broker ------------------------------------------------------------------------------- */

static int emit_change(struct cluster *k, int32_t id, int64_t epoch, int8_t fenced, bool leaves)
{
    struct broker_registration_change_record r;
    broker_registration_change_record_init(&r);
    r.broker_id = id;
    r.broker_epoch = epoch;
    r.fenced = fenced;
    r.in_controlled_shutdown = leaves;
    return cluster_emit(k, &broker_registration_change_record_message, 1, &r);
}

int cluster_check_broker(struct cluster *k, int32_t id, int64_t epoch)
{
    const struct image_broker *b = image_broker_by_id(k->c->image, id);
    if (!b) {
        return cluster_refuse(k, ERR_BROKER_ID_NOT_REGISTERED, "Broker %d is not registered.",
                              (int)id);
    }
    if (b->epoch != epoch && !cluster_mutated(k, CLUSTER_MUTANT_ANY_EPOCH)) {
        return cluster_refuse(k, ERR_STALE_BROKER_EPOCH,
                              "Broker %d has registered anew: its epoch is %" PRId64
                              ", not %" PRId64 ".",
                              (int)id, b->epoch, epoch);
    }
    return 0;
}

int cluster_emit_fenced(struct cluster *k, const struct image_broker *b)
{
    return emit_change(k, b->id, b->epoch, 1, false);
}

/* Its partitions first, then the record. */
static int fence(struct cluster *k, const struct image_broker *b)
{
    struct isr_broker *known = cluster_broker(k, b->id);
    known->fenced = true;
    int error = cluster_each(k, b->id, cluster_loses, cluster_settle, NULL);
    return error || k->more ? error : emit_change(k, b->id, b->epoch, 1, false);
}

int cluster_fence(struct cluster *k, int32_t id, int64_t epoch)
{
    const struct image_broker *b = image_broker_by_id(k->c->image, id);
    int error = cluster_check_broker(k, id, epoch);
    return error || b->fenced ? error : fence(k, b);
}

int cluster_expire(struct cluster *k)
{
    const struct image *image = k->c->image;
    const struct image_broker *last = NULL;
    uint32_t expired = 0;
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        if (!b->fenced && !cluster_session_lives(k->sessions, b->id, b->epoch, k->now_ns)) {
            /* All of them, before any partition is looked at: none is to lead on one that is gone. */
            cluster_broker(k, b->id)->fenced = true;
            last = b;
            expired++;
        }
    }
    if (expired == 0) {
        return 0;
    }
    int error = cluster_each(k, expired == 1 ? last->id : -1, cluster_loses, cluster_settle, NULL);
    for (uint32_t i = 0; !error && !k->more && i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        if (!b->fenced && cluster_broker(k, b->id)->fenced) {
            error = emit_change(k, b->id, b->epoch, 1, false);
        }
    }
    return error;
}

int cluster_unregister(struct cluster *k, int32_t id)
{
    const struct image_broker *b = image_broker_by_id(k->c->image, id);
    if (!b) {
        return cluster_refuse(k, ERR_BROKER_ID_NOT_REGISTERED, "Broker %d is not registered.",
                              (int)id);
    }
    cluster_broker(k, id)->fenced = true;
    int error = b->fenced ? 0 : cluster_each(k, id, cluster_loses, cluster_settle, NULL);
    if (error || k->more) {
        return error;
    }
    const struct unregister_broker_record r = {id, b->epoch};
    return cluster_emit(k, &unregister_broker_record_message, 0, &r);
}

/* --- registration ----------------------------------------------------------------------------- */

/* A process that has ended may be heard once more, by what was on its way, or twice after its time was up. */
static bool is_displaced(struct cluster_session *session, struct uuid newcomer)
{
    enum { BEATS = 3 };
    if (!uuid_equal(session->newcomer, newcomer)) {
        session->newcomer = newcomer;
        session->beats = 0;
    }
    return session->beats >= BEATS;
}

static int check_registration(struct cluster *k, const struct cluster_registration *q,
                              const struct image_broker *older)
{
    if (strcmp(q->cluster_id, image_cluster_id(k->c->image)) != 0) {
        return cluster_refuse(k, ERR_INCONSISTENT_CLUSTER_ID,
                              "Broker %d belongs to cluster %.40s, this is cluster %.40s.",
                              (int)q->broker, q->cluster_id, image_cluster_id(k->c->image));
    }
    if (q->broker < 0 || q->endpoint_count < 1 || q->endpoint_count > IMAGE_ENDPOINTS_MAX ||
        uuid_is_zero(q->incarnation)) {
        return cluster_refuse(k, ERR_INVALID_REGISTRATION,
                              "Broker %d must tell an incarnation and 1 to %d listeners.",
                              (int)q->broker, (int)IMAGE_ENDPOINTS_MAX);
    }
    if (!older && image_broker_count(k->c->image) >= IMAGE_BROKERS_MAX) {
        return cluster_refuse(k, ERR_INVALID_REGISTRATION,
                              "The cluster has %d brokers and takes no more: unregister one.",
                              (int)IMAGE_BROKERS_MAX);
    }
    if (q->metadata_version_min > METADATA_VERSION || q->metadata_version_max < METADATA_VERSION) {
        return cluster_refuse(k, ERR_UNSUPPORTED_VERSION,
                              "Broker %d knows metadata.version %d to %d, the cluster is at %d: "
                              "upgrade the broker.",
                              (int)q->broker, (int)q->metadata_version_min,
                              (int)q->metadata_version_max, (int)METADATA_VERSION);
    }
    bool other = older && !uuid_equal(older->incarnation, q->incarnation);
    if (other && !q->here && !older->fenced && !older->shutting_down &&
        cluster_session_lives(k->sessions, q->broker, older->epoch, k->now_ns)) {
        k->displaced = is_displaced(session_of(k, q->broker, older->epoch), q->incarnation);
        return cluster_refuse(k, ERR_DUPLICATE_BROKER_REGISTRATION,
                              "Broker %d is alive in another process: give one of them another "
                              "node.id, or try again when its session has ended.",
                              (int)q->broker);
    }
    return 0;
}

static int compare_lost(const void *a, const void *b)
{
    const struct meta_lost *x = a, *y = b;
    int side = memcmp(x->topic_id.bytes, y->topic_id.bytes, sizeof x->topic_id.bytes);
    if (side == 0) {
        side = (x->partition > y->partition) - (x->partition < y->partition);
    }
    return side ? side : (int)x->damaged - (int)y->damaged;
}

void cluster_lost_sort(struct meta_lost *lost, uint32_t count)
{
    if (count) {
        qsort(lost, count, sizeof *lost, compare_lost);
    }
}

static bool is_lost(const struct cluster_registration *q, struct uuid topic, int32_t partition,
                    bool damaged)
{
    const struct meta_lost key = {topic, partition, damaged};
    return q->lost_count && bsearch(&key, q->lost, q->lost_count, sizeof key, compare_lost);
}

/* One partition of a broker that comes anew (C1): out of the ISR, what is lost out of the ELR, and
 * then it has the directory in which it is now. Several changes are one record. */
static int return_to(void *context, struct cluster *k, const struct image_topic *topic,
                     int32_t partition, struct isr_state *s)
{
    const struct cluster_registration *q = context;
    bool damaged = is_lost(q, topic->id, partition, true);
    bool lost = damaged || is_lost(q, topic->id, partition, false);
    const struct isr_state before = *s;
    int error = isr_settle(&k->rules, s);
    bool unclean = s->unclean;
    if (!error && !uuid_is_zero(q->directory)) {
        error = isr_moved(&k->rules, s, q->broker, q->directory);
    }
    if (!error && lost && !cluster_mutated(k, CLUSTER_MUTANT_LOST_LATER)) {
        error = isr_lost(&k->rules, s, q->broker, damaged);
    }
    s->unclean = s->unclean || unclean;
    /* One record is one step of each epoch. */
    if (s->partition_epoch > before.partition_epoch) {
        s->partition_epoch = before.partition_epoch + 1;
    }
    if (s->leader_epoch > before.leader_epoch) {
        s->leader_epoch = before.leader_epoch + 1;
    }
    if (s->unclean) {
        s->unclean_epoch = s->leader_epoch;
    }
    return error;
}

static int emit_registration(struct cluster *k, const struct cluster_registration *q,
                             const struct image_broker *same, int64_t epoch)
{
    struct register_broker_record_end_points end_points[IMAGE_ENDPOINTS_MAX];
    for (uint32_t i = 0; i < q->endpoint_count; i++) {
        register_broker_record_end_points_init(&end_points[i]);
        end_points[i].name = wire_string_of(q->endpoints[i].name);
        end_points[i].host = wire_string_of(q->endpoints[i].host);
        end_points[i].port = q->endpoints[i].port;
    }
    struct uuid directory = q->directory;
    struct register_broker_record r;
    register_broker_record_init(&r);
    r.broker_id = q->broker;
    r.incarnation_id = q->incarnation;
    r.broker_epoch = epoch;
    r.end_points = end_points;
    r.end_points_count = (int32_t)q->endpoint_count;
    r.rack = wire_string_of(q->rack);
    r.fenced = same ? same->fenced : true;
    r.in_controlled_shutdown = same && same->shutting_down;
    if (!uuid_is_zero(directory)) {
        r.log_dirs = &directory;
        r.log_dirs_count = 1;
    }
    return cluster_emit(k, &register_broker_record_message, register_broker_record_version(&r), &r);
}

int cluster_register(struct cluster *k, const struct cluster_registration *q, int64_t *epoch)
{
    const struct image_broker *older = image_broker_by_id(k->c->image, q->broker);
    int error = check_registration(k, q, older);
    if (error) {
        return error;
    }
    if (older && uuid_equal(older->incarnation, q->incarnation)) {
        error = emit_registration(k, q, older, older->epoch); /* an answer was lost: tried again */
        if (!error) {
            hear(session_of(k, q->broker, older->epoch), k->now_ns, k->now_ns);
            *epoch = older->epoch;
        }
        return error;
    }
    struct isr_broker *known = cluster_broker(k, q->broker);
    if (known) {
        known->fenced = true;
    }
    bool rash = cluster_mutated(k, CLUSTER_MUTANT_EPOCH_FIRST);
    error = rash ? 0 : cluster_each(k, q->broker, NULL, return_to, (void *)q);
    if (error || k->more) {
        return error;
    }
    int64_t next = q->next_offset + k->changed;
    error = emit_registration(k, q, NULL, next);
    if (!error) {
        hear(session_of(k, q->broker, next), k->now_ns, k->now_ns);
        *epoch = next;
    }
    return error;
}

/* --- heartbeats ------------------------------------------------------------------------------- */

/* All other brokers that live have read up to `offset`. */
static bool others_have_read(const struct cluster *k, int32_t id, int64_t offset)
{
    for (uint32_t i = 0; i < k->rules.broker_count; i++) {
        const struct isr_broker *b = &k->brokers[i];
        const struct cluster_session *s = find_session(k->sessions, b->id);
        if (b->id != id && !b->fenced && s && s->epoch == b->epoch && s->offset < offset) {
            return false;
        }
    }
    return true;
}

/* Leadership goes to others where there are any; may go when nothing is left to hand over and all
 * know it. */
static int hand_over(struct cluster *k, const struct image_broker *b,
                     struct cluster_session *session, struct cluster_heartbeat_answer *out)
{
    int error = b->shutting_down ? 0 : emit_change(k, b->id, b->epoch, 0, true);
    cluster_broker(k, b->id)->shutting_down = true;
    if (!error) {
        error = cluster_each(k, b->id, NULL, cluster_settle, NULL);
    }
    if (error || k->changed > 0 || !b->shutting_down) {
        session->handed_off = -1;
        return error;
    }
    if (session->handed_off < 0) {
        session->handed_off = image_offset(k->c->image);
    }
    out->should_shut_down = others_have_read(k, b->id, session->handed_off);
    return 0;
}

/* A partition that the broker's coming may change: it has no leader. */
static bool lacks_leader(const struct cluster *k, const struct image_topic *topic,
                         const struct image_partition *p)
{
    (void)k;
    (void)topic;
    return p->leader < 0;
}

static int let_in(struct cluster *k, const struct image_broker *b, struct cluster_session *session)
{
    int error = b->fenced ? emit_change(k, b->id, b->epoch, -1, false) : 0;
    cluster_broker(k, b->id)->fenced = false;
    if (!error) {
        error = cluster_each(k, b->id, lacks_leader, cluster_settle, NULL);
    }
    session->settling = k->more;
    return error;
}

/* It does not want to shut down any more. No change of a registration says so, hence the whole of it. */
static int take_back(struct cluster *k, const struct image_broker *b,
                     struct cluster_session *session)
{
    struct image_broker stays = *b;
    stays.shutting_down = false;
    const struct cluster_registration q = {
        .broker = b->id,
        .incarnation = b->incarnation,
        .directory = b->directory,
        .rack = b->rack,
        .endpoints = b->endpoints,
        .endpoint_count = b->endpoint_count,
    };
    int error = emit_registration(k, &q, &stays, b->epoch);
    cluster_broker(k, b->id)->shutting_down = false;
    if (!error) {
        error = cluster_each(k, b->id, lacks_leader, cluster_settle, NULL);
    }
    session->handed_off = -1;
    session->settling = k->more;
    return error;
}

int cluster_heartbeat(struct cluster *k, const struct cluster_heartbeat *q,
                      struct cluster_heartbeat_answer *out)
{
    const struct image_broker *b = image_broker_by_id(k->c->image, q->broker);
    int error = cluster_check_broker(k, q->broker, q->epoch);
    if (error) {
        return error;
    }
    struct cluster_session *session = session_of(k, q->broker, b->epoch);
    hear(session, k->now_ns, q->arrived_ns ? q->arrived_ns : k->now_ns);
    session->offset = q->offset > session->offset ? q->offset : session->offset;
    *out = (struct cluster_heartbeat_answer){
        .caught_up = q->offset >= b->epoch || cluster_mutated(k, CLUSTER_MUTANT_BEHIND),
        .fenced = b->fenced,
    };
    if (b->fenced) {
        if (q->want_shut_down) {
            out->should_shut_down = true;
        } else if (!q->want_fence && out->caught_up) {
            error = let_in(k, b, session);
            out->fenced = false;
        }
    } else if (q->want_fence) {
        error = fence(k, b);
        out->fenced = true;
        out->should_shut_down = q->want_shut_down;
    } else if (q->want_shut_down) {
        error = hand_over(k, b, session, out);
    } else if (b->shutting_down) {
        error = take_back(k, b, session);
    } else if (session->settling) {
        error = let_in(k, b, session);
    }
    return error;
}
