/* SPDX-License-Identifier: Apache-2.0 */

/* Appends whose leader may not acknowledge them by itself any more: another leads, or may. What is in the log here may
 * be in the others' as well, and a producer that is told NOT_LEADER_OR_FOLLOWER sends it again.
 *
 *     pending --another leads--------> late --committed: the watermark has passed it--> acknowledged
 *     acks=1 --no lease (H17)---------^   \--cut, deleted, time is up, the node stops--> refused
 *
 * Why an acknowledgement is as good here as its leader's (P8): a follower's high watermark rises in epochs in which its
 * log is proved, up to its own counted end and its leader's watermark (P16, P30); so what lies below it is what the
 * leader has committed. The append is one of these records unless it was cut since, and then it is refused at once.
 * Where there is no other replica, what is durable here is committed (P7), whoever is told to lead.
 *
 * The time is short: later requests of the same connection, which are refused already, wait behind it. */
#include "partition/partition_private.h"

static const uint64_t late_ns = UINT64_C(500000000);

static void settled(struct partition_table *t)
{
    assert(t->unsettled > 0);
    if (--t->unsettled == 0 && t->settle) {
        io_turn_end(t->io, &t->turn);
    }
}

static void late_end(struct partition *p, struct partition_append *a, int error)
{
    list_remove(&a->priv.link);
    settled(p->table);
    a->done(a, error);
}

void late_begin(struct partition *p)
{
    p->table->unsettled += p->patient;
    p->patient = 0;
    p->uncut = INT64_MAX;
}

void late_logged(struct partition *p, const struct partition_append *a)
{
    if (a->patient && a->priv.leadership == p->leadership) {
        assert(p->patient > 0);
        p->patient--;
    } else if (a->patient && p->table) {
        settled(p->table);
    }
}

bool late_may_take(const struct partition *p, const struct partition_append *a)
{
    if (!a->patient || !p->table || p->removing || p->table->letting_go) {
        return false;
    }
    bool led = a->priv.leadership == p->leadership;
    bool led_last = a->priv.leadership + 1 == p->leadership;
    return led || (led_last && a->append.end_offset <= p->uncut);
}

void late_take(struct partition *p, struct partition_append *a)
{
    assert(late_may_take(p, a) && a->acks != 0);
    a->priv.until_ns = role_now(p) + late_ns;
    list_append(&p->late, &a->priv.link);
    p->table->unsettled++;
    late_review(p);
    role_alarm(p);
}

/* It is the only replica, and there was no other that might have been in sync: nobody else can lead after it. */
static bool is_alone(const struct partition *p)
{
    const struct image_partition *seen = &p->topic->partitions[p->index];
    return seen->replica_count == 1 && seen->leader < 0 &&
           leading_status(p->leading).maximal_count == 1;
}

void late_review(struct partition *p)
{
    bool alone = !list_empty(&p->late) && is_alone(p);
    list_each (node, &p->late) {
        struct partition_append *a = container_of(node, struct partition_append, priv.link);
        if (alone || a->append.end_offset <= p->high_watermark ||
            replication_mutated(p->table, REPLICATION_MUTANT_LATE_AT_ONCE)) {
            late_end(p, a, 0);
        }
    }
}

void late_cut(struct partition *p, int64_t offset)
{
    p->uncut = offset < p->uncut ? offset : p->uncut;
    list_each (node, &p->late) {
        struct partition_append *a = container_of(node, struct partition_append, priv.link);
        if (a->append.end_offset > offset) {
            late_end(p, a, ERR_NOT_LEADER_OR_FOLLOWER);
        }
    }
}

void late_refuse(struct partition *p, int error)
{
    struct list *node;
    while ((node = list_first(&p->late))) {
        late_end(p, container_of(node, struct partition_append, priv.link), error);
    }
}

uint64_t late_deadline(const struct partition *p)
{
    const struct list *first = list_first(&p->late);
    return first ? container_of(first, struct partition_append, priv.link)->priv.until_ns
                 : UINT64_MAX;
}

void late_expire(struct partition *p, uint64_t now_ns)
{
    while (late_deadline(p) <= now_ns) {
        late_end(p, container_of(list_first(&p->late), struct partition_append, priv.link),
                 ERR_NOT_LEADER_OR_FOLLOWER);
    }
}
