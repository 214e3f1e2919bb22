/* SPDX-License-Identifier: Apache-2.0 */

/* What the log of a replica is worth to the others (P23, P35).
 *
 *     SOUND --a read or the scrub finds damage, or the core stops--> AILING
 *     AILING: told, if others may lead; then the controller takes it out of the in-sync and eligible sets, and another
 *             leads. Mended from other replicas (log_mend_begin()), all of it verified (log_verify()), and
 *           --told as repaired--> SOUND, and in sync again when it has everything (P18)
 *
 * What is found is not remembered by this process alone: the image names damaged replicas, and one that starts and is
 * named there is verified, and compared with its leader, before it says that it is repaired: what a comparison has
 * found checks (replica/compare.c). The only one that may lead tells nobody: what of it can be read is better than
 * nothing. It is mended from what others have, or hands over when one of them is back.
 * When nobody may lead, each tells the controller where its log ends, damaged ones as well (meta/ends.h). */
#include "partition/partition_private.h"

#include "meta/meta.h"

static const struct image_partition *shown(const struct partition *p)
{
    return &p->topic->partitions[p->index];
}

static bool taken_for_damaged(const struct partition *p)
{
    return image_nodes_have(shown(p)->more->damaged, p->table->options.node_id);
}

/* P15: its log contradicts what is committed. */
static bool is_stopped(const struct partition *p)
{
    return p->role == ROLE_FOLLOWER && following_stopped(&p->following);
}

static bool is_damaged(const struct partition *p)
{
    return log_status(p->log).damaged || is_stopped(p);
}

static bool any_alive(const struct partition *p, struct image_nodes nodes)
{
    const struct image *image = p->table->image;
    for (int32_t i = 0; i < nodes.count; i++) {
        const struct image_broker *b = image_broker_by_id(image, nodes.ids[i]);
        if (nodes.ids[i] != p->table->options.node_id && b && !b->fenced && !b->shutting_down) {
            return true;
        }
    }
    return false;
}

/* Others that the controller may elect: what is committed is theirs as well. */
static bool others_may_lead(const struct partition *p)
{
    const struct image_partition *seen = shown(p);
    const struct image_nodes isr = {seen->isr, seen->isr_count};
    return any_alive(p, isr) || any_alive(p, seen->more->elr);
}

bool partition_is_replicated(const struct partition *p)
{
    return shown(p)->replica_count > 1;
}

/* H11: nobody may lead, for those that could have lost something. */
static bool is_asked_for_its_end(const struct partition *p)
{
    return p->leader < 0 && shown(p)->more->elr.count == 0;
}

bool partition_ails(const struct partition *p)
{
    return partition_is_replicated(p) &&
           (is_damaged(p) || taken_for_damaged(p) || is_asked_for_its_end(p));
}

static bool is_verified(const struct partition *p)
{
    return log_status(p->log).verified;
}

/* Its leader, who may be away, is another one, and what he has is to be the same. */
static bool is_comparable(const struct partition *p)
{
    return p->leader != p->table->options.node_id && !log_compacts(p->log);
}

static int report_of(struct partition *p)
{
    bool damaged = is_damaged(p), told = taken_for_damaged(p), asked = is_asked_for_its_end(p);
    p->compared = p->compared && !damaged && is_verified(p);
    if (damaged && !told && (asked || others_may_lead(p))) {
        return META_REPLICA_DAMAGED;
    }
    if (told && !damaged) {
        if (!is_verified(p)) {
            log_verify(p->log);
        } else if (p->compared || !is_comparable(p)) {
            return META_REPLICA_REPAIRED;
        }
    }
    return asked && !is_stopped(p) ? META_REPLICA_END : 0;
}

bool partition_report(struct partition *p, struct meta_replica_report *out)
{
    int report = report_of(p);
    if (report) {
        *out = (struct meta_replica_report){.topic_id = p->topic_id,
                                            .partition = p->index,
                                            .report = (enum meta_report)report,
                                            .epoch = log_last_epoch(p->log),
                                            .offset = log_status(p->log).end_offset};
    }
    return report != 0;
}

int32_t partition_mends_from(const struct partition *p, uint32_t attempt)
{
    const struct image_partition *seen = shown(p);
    int32_t self = p->table->options.node_id, others[LEADING_REPLICAS_MAX];
    uint32_t count = 0;
    if (seen->leader >= 0 && seen->leader != self) {
        others[count++] = seen->leader;
    }
    for (int32_t i = 0; i < seen->replica_count && count < LEADING_REPLICAS_MAX; i++) {
        if (seen->replicas[i] != self && seen->replicas[i] != seen->leader) {
            others[count++] = seen->replicas[i];
        }
    }
    return count ? others[attempt % count] : -1;
}

int32_t partition_third(const struct partition *p, int32_t node)
{
    const struct image_partition *seen = shown(p);
    for (int32_t i = 0; i < seen->isr_count; i++) {
        struct image_nodes one = {&seen->isr[i], 1};
        if (seen->isr[i] != node && any_alive(p, one)) {
            return seen->isr[i];
        }
    }
    return -1;
}

int32_t partition_compares_with(const struct partition *p)
{
    struct partition *same;
    if (is_damaged(p) || log_compacts(p->log) ||
        partition_readable(p->table, p->topic_id, p->index, -1, &same) != 0) {
        return -1;
    }
    if (p->role == ROLE_FOLLOWER) {
        return shown(p)->leader;
    }
    int32_t node = partition_third(p, -1);
    return partition_third(p, node) >= 0 ? node : -1;
}

bool partition_awaits_comparison(const struct partition *p)
{
    return taken_for_damaged(p) && is_verified(p) && !p->compared && is_comparable(p) &&
           partition_compares_with(p) >= 0;
}

void partition_compared(struct partition *p)
{
    p->compared = true;
}

void health_look(struct partition *p)
{
    const struct partition_needs *needs = &p->table->needs;
    if (needs->ail && partition_ails(p)) {
        needs->ail(needs->context, p);
    }
}
