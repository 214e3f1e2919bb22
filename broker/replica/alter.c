/* SPDX-License-Identifier: Apache-2.0 */

/* In-sync sets on their way to the controller. Every proposal that stands at the end of a turn goes into one
 * operation; those that come while it is away go into the next. A partition proposes again by itself when it has heard
 * nothing, so that what is lost is lost for a moment only; without memory it waits in the queue for another's. */
#include "replica/replica_private.h"

void alter_ask(void *context, struct partition *p)
{
    struct replica *r = context;
    if (!r->stopping && list_empty(partition_proposing(p))) {
        list_append(&r->proposing, partition_proposing(p));
        io_turn_end(r->io, &r->turn);
    }
}

static void tell(struct replica *r, const struct meta_alteration *a, uint64_t ticket, int error)
{
    struct partition *p = partition_find(r->options.partitions, a->topic_id, a->partition);
    if (p) {
        partition_altered(p, ticket, error ? error : a->error);
    }
}

static void altered(struct meta_op *op)
{
    struct replica *r = container_of(op, struct replica, op);
    struct meta_alteration *list = r->alterations;
    struct isr_member *members = r->members;
    uint64_t *tickets = r->tickets;
    r->altering = false;
    for (uint32_t i = 0; i < op->alteration_count && !r->stopping; i++) {
        tell(r, &list[i], tickets[i], op->error);
    }
    memory_free(io_memory(r->io), list);
    memory_free(io_memory(r->io), members);
    memory_free(io_memory(r->io), tickets);
    io_turn_end(r->io, &r->turn);
    replica_idle(r);
}

static uint32_t count_proposing(const struct replica *r)
{
    uint32_t count = 0;
    for (const struct list *n = r->proposing.next; n != &r->proposing && count < ALTER_PARTS_MAX;
         n = n->next) {
        count++;
    }
    return count;
}

/* The proposal of the partition as it is now; false: it has none any more. */
static bool propose(const struct partition *p, struct meta_alteration *out,
                    struct isr_member *members, uint64_t *ticket)
{
    struct leading_proposal proposal;
    if (!partition_proposal(p, &proposal)) {
        return false;
    }
    for (uint32_t i = 0; i < proposal.isr_count; i++) {
        members[i] = (struct isr_member){proposal.nodes[i], proposal.broker_epochs[i]};
    }
    *ticket = proposal.ticket;
    *out = (struct meta_alteration){.topic_id = partition_topic_id(p),
                                    .partition = partition_index(p),
                                    .leader_epoch = proposal.epoch,
                                    .partition_epoch = proposal.partition_epoch,
                                    .members = members,
                                    .member_count = (int32_t)proposal.isr_count,
                                    .leader_now = -1,
                                    .epoch_now = -1,
                                    .partition_epoch_now = -1};
    return true;
}

void alter_go(struct replica *r)
{
    uint32_t most = count_proposing(r), count = 0;
    const struct image_broker *own =
        r->image ? image_broker_by_id(r->image, r->options.node_id) : NULL;
    if (r->altering || r->stopping || most == 0 || !own) {
        return;
    }
    struct memory *memory = io_memory(r->io);
    r->alterations = memory_alloc(memory, most * sizeof *r->alterations);
    r->members = memory_alloc(memory, (size_t)most * LEADING_REPLICAS_MAX * sizeof *r->members);
    r->tickets = memory_alloc(memory, most * sizeof *r->tickets);
    bool room = r->alterations && r->members && r->tickets;
    for (uint32_t i = 0; i < most && room; i++) {
        const struct partition *p = partition_that_proposes(list_pop(&r->proposing));
        count += propose(p, &r->alterations[count],
                         &r->members[(size_t)count * LEADING_REPLICAS_MAX], &r->tickets[count]);
    }
    if (count == 0) {
        memory_free(memory, r->alterations);
        memory_free(memory, r->members);
        memory_free(memory, r->tickets);
        if (room && !list_empty(&r->proposing)) {
            io_turn_end(r->io, &r->turn);
        }
        return;
    }
    r->op = (struct meta_op){.done = altered,
                             .kind = META_ALTER_PARTITIONS,
                             .broker = r->options.node_id,
                             .broker_epoch = own->epoch,
                             .alterations = r->alterations,
                             .alteration_count = count};
    r->altering = true;
    meta_submit(r->options.meta, r->io, &r->op);
}
