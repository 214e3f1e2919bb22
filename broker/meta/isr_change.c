/* SPDX-License-Identifier: Apache-2.0 */

/* What a step of isr.c is as a record, and whether it was a sound one. */
#include "meta/isr_set.h"

#include "wire/wire.h"

static void put_set(const struct isr_set *before, const struct isr_set *after, int32_t **ids,
                    int32_t *count)
{
    if (!set_same_order(before, after)) {
        *ids = (int32_t *)after->ids;
        *count = after->count;
    }
}

bool isr_change(const struct isr_state *before, const struct isr_state *after,
                struct partition_change_record *out)
{
    if (before->partition_epoch == after->partition_epoch) {
        assert(!differ(before, after));
        return false;
    }
    assert(after->partition_epoch == before->partition_epoch + 1);
    put_set(&before->isr, &after->isr, &out->isr, &out->isr_count);
    put_set(&before->replicas, &after->replicas, &out->replicas, &out->replicas_count);
    put_set(&before->removing, &after->removing, &out->removing_replicas,
            &out->removing_replicas_count);
    put_set(&before->adding, &after->adding, &out->adding_replicas, &out->adding_replicas_count);
    put_set(&before->elr, &after->elr, &out->eligible_leader_replicas,
            &out->eligible_leader_replicas_count);
    put_set(&before->last_known, &after->last_known, &out->last_known_elr,
            &out->last_known_elr_count);
    put_set(&before->damaged, &after->damaged, &out->damaged_replicas,
            &out->damaged_replicas_count);
    if (after->leader_epoch != before->leader_epoch) {
        out->leader = after->leader; /* naming it, even the same, begins its next epoch */
    }
    out->unclean_election = after->unclean_epoch != before->unclean_epoch;
    if (after->recovering != before->recovering) {
        out->leader_recovery_state = after->recovering;
    }
    if (after->placed && (!set_same_order(&before->replicas, &after->replicas) || !before->placed ||
                          memcmp(before->directories, after->directories,
                                 (size_t)after->replicas.count * sizeof(struct uuid)) != 0)) {
        out->directories = (struct uuid *)after->directories;
        out->directories_count = after->replicas.count;
    }
    return true;
}

void isr_check(const struct isr_rules *r, const struct isr_state *before,
               const struct isr_state *after, bool lost)
{
    if (r->mutant) {
        return;
    }
    for (int32_t i = 0; i < after->isr.count; i++) {
        assert(is_alive(r, after->isr.ids[i])); /* K1 */
    }
    assert(set_within(&after->isr, &after->replicas));
    assert(set_within(&after->elr, &after->replicas));
    assert(set_within(&after->last_known, &after->replicas));
    assert(set_within(&after->adding, &after->replicas));
    assert(set_within(&after->removing, &after->replicas));
    assert(set_within(&after->damaged, &after->replicas));
    assert(set_apart(&after->isr, &after->elr));
    assert(set_apart(&after->isr, &after->last_known));
    assert(set_apart(&after->elr, &after->last_known));
    assert(set_apart(&after->damaged, &after->isr));
    assert(set_apart(&after->damaged, &after->elr));
    assert(set_apart(&after->adding, &after->removing));
    int32_t least = isr_minimum(r, after);
    if (after->isr.count >= least) {
        assert(after->elr.count == 0);
        assert(after->last_known.count == 0);
    }
    assert(after->isr.count > 0 ? isr_has(&after->isr, after->leader)
                                : after->leader == -1); /* K2 */
    if (!lost && complete_count(after) < least) {
        assert(complete_count(after) >= complete_count(before)); /* K3 */
    }
    assert(after->partition_epoch == before->partition_epoch + 1); /* K4 */
    assert(after->leader_epoch >= before->leader_epoch);
    if (after->leader != before->leader || other_replicas(before, after) || after->unclean) {
        assert(after->leader_epoch == before->leader_epoch + 1);
    }
    assert(after->unclean_epoch == (after->unclean ? after->leader_epoch : before->unclean_epoch));
    assert(!after->recovering || after->isr.count <= 1); /* K5 */
}
