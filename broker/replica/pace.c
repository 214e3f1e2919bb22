/* SPDX-License-Identifier: Apache-2.0 */

/* The throttle of reassignments: what replicas that are added may fetch in a second, over all of them (KIP-73, at the
 * follower alone). An answer is taken whole and owed for afterwards, so that one that is larger than a second's worth
 * comes as well. */
#include "replica/replica_private.h"

#include "config/config.h"

static const uint64_t second_ns = 1000000000;

void pace_apply(struct replica *r)
{
    const char *key = config_key_info(CONFIG_FOLLOWER_THROTTLED_RATE)->name;
    const char *const values[] = {image_broker_config(r->image, r->options.node_id, key),
                                  image_broker_config(r->image, -1, key)};
    int64_t rate = r->options.added_rate, number;
    for (size_t i = 0; i < array_size(values); i++) {
        if (values[i] && config_value_number(CONFIG_FOLLOWER_THROTTLED_RATE,
                                             bytes_of_string(values[i]), &number)) {
            rate = number;
            break;
        }
    }
    rate = rate == INT64_MAX ? rate : rate / (int64_t)io_shard_count(r->io) + 1;
    if (rate != r->pace.rate) {
        r->pace.rate = rate;
        r->pace.left = 0;
        io_turn_end(r->io, &r->turn);
    }
}

static void pace_rings(struct io_op *op, int64_t result)
{
    struct replica *r = container_of(op, struct replica, pace.alarm);
    (void)result;
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

/* A second's worth at most is saved up. */
static void refill(struct replica *r)
{
    uint64_t now = io_now(r->io), passed = now - r->pace.filled_ns;
    double more = (double)r->pace.rate * (double)(passed < second_ns ? passed : second_ns) / 1e9;
    if (more < 1) {
        return; /* what has passed is not lost */
    }
    int64_t left = r->pace.left + (int64_t)more;
    r->pace.left = left < r->pace.rate ? left : r->pace.rate;
    r->pace.filled_ns = now;
}

bool pace_allows(struct replica *r)
{
    if (r->pace.rate == INT64_MAX) {
        return true;
    }
    refill(r);
    if (r->pace.left >= 0) {
        return true;
    }
    if (io_op_idle(&r->pace.alarm) && !r->stopping) {
        uint64_t wait = (uint64_t)((double)-r->pace.left / (double)r->pace.rate * 1e9) + 1000000;
        r->pace.alarm.done = pace_rings;
        io_timer(r->io, &r->pace.alarm, io_now(r->io) + (wait < second_ns ? wait : second_ns));
    }
    return false;
}

void pace_took(struct replica *r, uint64_t bytes)
{
    r->pace.left -= r->pace.rate == INT64_MAX ? 0 : (int64_t)bytes;
}

void pace_close(struct replica *r)
{
    io_cancel(r->io, &r->pace.alarm);
}
