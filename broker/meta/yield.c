/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/yield.h"

#include "meta/meta_private.h"

static const uint64_t waiting_lead_ns = UINT64_C(1500000000);

static int refuse(struct yield_op *op, int error, const char *why)
{
    op->why = why;
    return error;
}

static int yield_all(struct meta *m, struct yield_op *op)
{
    if (image_broker_count(m->image) < 2) {
        return refuse(op, ERR_INVALID_REQUEST,
                      "there is no other broker that could lead in its place");
    }
    membership_drain(m, true);
    return 0;
}

static int yield_quorum(struct meta *m, struct yield_op *op)
{
    const struct raft_status status = raft_status(m->quorum.raft);
    bool known = op->heir < 0;
    if (!m->leading) {
        return refuse(op, ERR_NOT_CONTROLLER, "this broker does not lead the metadata quorum");
    }
    for (uint32_t i = 0; i < status.voters->count; i++) {
        known = known || status.voters->ids[i].node == op->heir;
    }
    if (!known || op->heir == m->identity.node_id || status.voters->count < 2) {
        return refuse(
            op, ERR_INVALID_REQUEST,
            "only another voter of the metadata quorum can lead it (leat cluster quorum)");
    }
    quorum_yield(m, op->heir);
    return 0;
}

static int decide(struct meta *m, struct yield_op *op)
{
    if (m->state != META_ACTIVE || m->resigned) {
        return refuse(op, ERR_BROKER_NOT_AVAILABLE,
                      "this broker is about to stop, or has not joined yet");
    }
    switch (op->action) {
    case YIELD_ALL:
        return yield_all(m, op);
    case YIELD_NOTHING:
        membership_drain(m, false);
        return 0;
    case YIELD_QUORUM:
        return yield_quorum(m, op);
    case YIELD_TELL:
        break;
    }
    return refuse(op, ERR_INVALID_REQUEST, "there is no such action");
}

static void answered(struct io_message *message, struct io *io)
{
    struct yield_op *op = container_of(message, struct yield_op, priv.message);
    assert(io_shard(io) == op->priv.shard);
    op->done(op);
}

static void arrived(struct io_message *message, struct io *io)
{
    struct yield_op *op = container_of(message, struct yield_op, priv.message);
    struct meta *m = op->priv.meta;
    assert(m->magic == META_MAGIC);
    op->why = NULL;
    op->error = decide(m, op);
    message->deliver = answered;
    io_post(io, op->priv.shard, message);
}

void meta_yield(struct meta *meta, struct io *io, struct yield_op *op)
{
    assert(op->done);
    op->priv.meta = meta;
    op->priv.shard = io_shard(io);
    op->priv.message.deliver = arrived;
    io_post(io, 0, &op->priv.message);
}

/* --- before it joins --------------------------------------------------------------------------- */

/* A leader that waits can do little of what a controller does. It stays for a moment, in which those that were behind
 * come up, and then hands on to the next voter, so that the lead does not go to and fro between two that wait. */
void yield_while_waiting(struct meta *m)
{
    struct membership *s = &m->membership;
    const struct raft_voters *voters = raft_status(m->quorum.raft).voters;
    uint64_t now = io_now(m->io);
    if (!m->leading || !s->waits) {
        s->leads_ns = 0;
    } else if (s->leads_ns == 0) {
        s->leads_ns = now;
    } else if (now >= s->leads_ns + waiting_lead_ns) {
        uint32_t at = 0;
        while (at < voters->count && voters->ids[at].node != m->identity.node_id) {
            at++;
        }
        s->leads_ns = 0;
        quorum_yield(m, voters->ids[(at + 1) % voters->count].node);
    }
}
