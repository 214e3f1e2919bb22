/* SPDX-License-Identifier: Apache-2.0 */

/* Brokers come, stay and go: registration, heartbeats, fencing (KIP-631; RELIABILITY P21 to P26). What becomes of
 * their partitions is isr.h's.
 *
 *     register --fenced--> heartbeat, caught up --> unfenced --> heartbeat, wants to stop --> shutting down
 *                             ^                         '--silent for a session--> fenced --'
 *                             '----------------------------------------------------'
 *
 * A broker that registers anew is first treated as fenced: its leader epochs died with its process (P2a). While its
 * session lasts, an other process is refused its id, but for one with the same directory: that is locked, so the one
 * before is gone. */
#include "meta/controller_private.h"
#include "meta/isr.h"
#include "meta/records.h"

enum { REGISTRATION_UNFENCE = -1, REGISTRATION_FENCE = 1, REGISTRATION_SHUT_DOWN = 1 };

/* Brokers as they are to be after what is decided. */
struct brokers {
    struct isr_broker list[IMAGE_BROKERS_MAX];
    uint32_t count;
};

static struct isr_broker *brokers_find(struct brokers *b, int32_t id)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->list[i].id == id) {
            return &b->list[i];
        }
    }
    return NULL;
}

static void brokers_of(struct brokers *out, const struct image *image)
{
    out->count = 0;
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        out->list[out->count++] = (struct isr_broker){
            .id = b->id, .epoch = b->epoch, .fenced = b->fenced, .shutting_down = b->shutting_down};
    }
}

static bool holds(const struct image_partition *p, int32_t broker)
{
    for (int32_t i = 0; i < p->replica_count; i++) {
        if (p->replicas[i] == broker) {
            return true;
        }
    }
    return false;
}

static int settle_partition(const struct controller *c, struct meta_op *op, struct isr_rules *rules,
                            const struct image_topic *t, int32_t number, const struct uuid *moved)
{
    struct isr_state before, after;
    struct partition_change_record r;
    partition_change_record_init(&r);
    isr_read(&before, &t->partitions[number]);
    after = before;
    int error = moved ? isr_moved(rules, &after, op->broker, *moved) : 0;
    error = error ? error : isr_settle(rules, &after);
    if (error || !isr_change(&before, &after, &r)) {
        return error;
    }
    isr_check(rules, &before, &after, moved != NULL);
    r.topic_id = t->id;
    r.partition_id = number;
    return controller_emit(c, op, &partition_change_record_message,
                           partition_change_record_version(&r), &r);
}

/* What the brokers, as they are to be, make of the partitions that op->broker holds. `moved`: its data is in this
 * directory from now on. */
static int settle(const struct controller *c, struct meta_op *op, const struct brokers *brokers,
                  const struct uuid *moved)
{
    for (uint32_t i = 0; i < image_topic_count(c->image); i++) {
        const struct image_topic *t = image_topic_at(c->image, i);
        struct isr_rules rules = {
            .brokers = brokers->list,
            .broker_count = brokers->count,
            .min_isr = controller_min_isr(c, t),
        };
        for (int32_t p = 0; p < t->partition_count; p++) {
            int error = holds(&t->partitions[p], op->broker)
                            ? settle_partition(c, op, &rules, t, p, moved)
                            : 0;
            if (error) {
                return error;
            }
        }
    }
    return 0;
}

/* --- registration ----------------------------------------------------------------------------- */

static int emit_register(const struct controller *c, struct meta_op *op)
{
    const struct meta_registration *in = op->registration;
    struct register_broker_record_end_points end_points[IMAGE_ENDPOINTS_MAX];
    struct uuid directory = in->directory;
    struct register_broker_record r;
    register_broker_record_init(&r);
    for (uint32_t i = 0; i < in->endpoint_count; i++) {
        register_broker_record_end_points_init(&end_points[i]);
        end_points[i].name = wire_string_of(in->endpoints[i].name);
        end_points[i].host = wire_string_of(in->endpoints[i].host);
        end_points[i].port = in->endpoints[i].port;
    }
    r.broker_id = op->broker;
    r.incarnation_id = in->incarnation;
    r.broker_epoch = op->broker_epoch = c->next_offset;
    r.end_points = end_points;
    r.end_points_count = (int32_t)in->endpoint_count;
    r.rack = wire_string_of(in->rack);
    r.fenced = true;
    r.log_dirs = &directory;
    r.log_dirs_count = uuid_is_zero(directory) ? 0 : 1;
    return controller_emit(c, op, &register_broker_record_message,
                           register_broker_record_version(&r), &r);
}

int controller_register_broker(const struct controller *c, struct meta_op *op)
{
    const struct meta_registration *in = op->registration;
    const struct image_broker *old = image_broker_by_id(c->image, op->broker);
    struct brokers brokers;
    if (op->broker < 0 || in->endpoint_count < 1 || in->endpoint_count > IMAGE_ENDPOINTS_MAX) {
        return controller_refuse(op, ERR_INVALID_REGISTRATION,
                                 "A broker needs an id and 1 to %d listeners.",
                                 (int)IMAGE_ENDPOINTS_MAX);
    }
    bool same_home =
        old && !uuid_is_zero(in->directory) && uuid_equal(old->directory, in->directory);
    if (old && !old->fenced && op->in_session && !same_home &&
        !uuid_equal(old->incarnation, in->incarnation)) {
        return controller_refuse(op, ERR_DUPLICATE_BROKER_REGISTRATION,
                                 "Another process is registered as broker %d and was heard of a "
                                 "moment ago.",
                                 (int)op->broker);
    }
    if (!old && image_broker_count(c->image) == IMAGE_BROKERS_MAX) {
        return controller_refuse(op, ERR_POLICY_VIOLATION, "A cluster has at most %d brokers.",
                                 (int)IMAGE_BROKERS_MAX);
    }
    int error = emit_register(c, op);
    if (error || !old) {
        return error;
    }
    brokers_of(&brokers, c->image);
    struct isr_broker *b = brokers_find(&brokers, op->broker);
    b->epoch = op->broker_epoch;
    b->fenced = true;
    b->shutting_down = false;
    bool moved = !uuid_is_zero(old->directory) && !same_home;
    return settle(c, op, &brokers, moved ? &in->directory : NULL);
}

/* --- what becomes of a registered one --------------------------------------------------------- */

static int emit_change(const struct controller *c, struct meta_op *op, int8_t fenced,
                       int8_t shutting_down)
{
    struct broker_registration_change_record r;
    struct brokers brokers;
    broker_registration_change_record_init(&r);
    r.broker_id = op->broker;
    r.broker_epoch = op->broker_epoch;
    r.fenced = fenced;
    r.in_controlled_shutdown = shutting_down;
    int error = controller_emit(c, op, &broker_registration_change_record_message, 1, &r);
    if (error) {
        return error;
    }
    brokers_of(&brokers, c->image);
    struct isr_broker *b = brokers_find(&brokers, op->broker);
    b->fenced = fenced ? fenced > 0 : b->fenced;
    b->shutting_down = shutting_down ? true : b->shutting_down;
    return settle(c, op, &brokers, NULL);
}

static int check_epoch(const struct controller *c, struct meta_op *op,
                       const struct image_broker **out)
{
    const struct image_broker *b = image_broker_by_id(c->image, op->broker);
    *out = b;
    if (!b) {
        return controller_refuse(op, ERR_BROKER_ID_NOT_REGISTERED, "Broker %d is not registered.",
                                 (int)op->broker);
    }
    if (b->epoch != op->broker_epoch) {
        return controller_refuse(op, ERR_STALE_BROKER_EPOCH,
                                 "Broker %d is registered with epoch %lld, not %lld.",
                                 (int)op->broker, (long long)b->epoch, (long long)op->broker_epoch);
    }
    return 0;
}

int controller_heartbeat(const struct controller *c, struct meta_op *op)
{
    struct meta_heartbeat *h = op->heartbeat;
    const struct image_broker *b;
    int error = check_epoch(c, op, &b);
    if (error) {
        return error;
    }
    h->is_caught_up = h->offset >= b->epoch;
    h->is_fenced = b->fenced;
    h->should_shut_down = h->wants_shut_down && b->shutting_down;
    if (h->wants_shut_down && !b->shutting_down) {
        return emit_change(c, op, 0, REGISTRATION_SHUT_DOWN);
    }
    if (h->wants_fence != b->fenced && (h->wants_fence || h->is_caught_up)) {
        h->is_fenced = h->wants_fence;
        return emit_change(c, op, h->wants_fence ? REGISTRATION_FENCE : REGISTRATION_UNFENCE, 0);
    }
    return 0;
}

int controller_settle_broker(const struct controller *c, struct meta_op *op)
{
    struct brokers brokers;
    brokers_of(&brokers, c->image);
    return settle(c, op, &brokers, NULL);
}

int controller_fence_broker(const struct controller *c, struct meta_op *op)
{
    const struct image_broker *b;
    int error = check_epoch(c, op, &b);
    if (error || b->fenced) {
        return error;
    }
    return emit_change(c, op, REGISTRATION_FENCE, 0);
}
