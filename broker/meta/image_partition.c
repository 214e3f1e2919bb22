/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions of a draft: first what comes out is made beside it, borrowing from the image and from
 * what is asked, and looked at; then its lists are shared; then it takes its place. */
#include "meta/image_private.h"

static bool nodes_are_valid(struct image_nodes nodes)
{
    if (nodes.count < 0 || nodes.count > NODE_LIST_MAX) {
        return false;
    }
    for (int32_t k = 0; k < nodes.count; k++) {
        if (nodes.ids[k] < 0) {
            return false;
        }
    }
    return true;
}

static bool more_is_valid(const struct image_more *m)
{
    return nodes_are_valid(m->elr) && nodes_are_valid(m->last_known_elr) &&
           nodes_are_valid(m->adding) && nodes_are_valid(m->removing) &&
           nodes_are_valid(m->damaged);
}

/* A reference on the shared list of `ids`, NULL when there is no memory. What a change has left as it was is that list
 * already, and need not be looked for. */
static const int32_t *share_list(struct node_table *lists, const int32_t *ids, int32_t count,
                                 const int32_t *old, int32_t old_count)
{
    if (ids && ids == old && count == old_count) {
        node_list_take(old);
        return old;
    }
    return node_list_get(lists, ids, count);
}

static const struct uuid *share_directories(struct node_table *lists,
                                            const struct image_partition *seen,
                                            const struct image_partition *old)
{
    if (!seen->directories) {
        return NULL;
    }
    if (seen->directories == old->directories && seen->replica_count == old->replica_count) {
        node_list_take((const int32_t *)old->directories);
        return old->directories;
    }
    return directory_list_get(lists, seen->directories, seen->replica_count);
}

/* The partition that `seen` describes, with shared lists and a reference on each of them: 0 or
 * ERR_NO_MEMORY, and then nothing is held. `old`: what it was, if it is one of the image's. */
static int share_partition(struct image_home *home, const struct image_partition *seen,
                           const struct image_partition *old, struct image_partition *out)
{
    static const struct image_partition nothing;
    struct node_table *lists = &home->lists;
    struct image_partition p = *seen;
    old = old ? old : &nothing;
    p.replicas =
        share_list(lists, seen->replicas, seen->replica_count, old->replicas, old->replica_count);
    p.isr = share_list(lists, seen->isr, seen->isr_count, old->isr, old->isr_count);
    p.directories = share_directories(lists, seen, old);
    p.more = partition_more_new(home->memory, seen->more);
    if (!p.replicas || !p.isr || !p.more || (seen->directories && !p.directories)) {
        partition_release(&p);
        return ERR_NO_MEMORY;
    }
    *out = p;
    return 0;
}

/* Where the brokers of a partition are looked for. `t` is the draft's own. */
static void add_holders(struct image *draft, struct topic *t, const struct image_partition *p)
{
    uint64_t holders = 0;
    for (int32_t i = 0; i < p->replica_count; i++) {
        holders |= holder_bit(p->replicas[i]);
    }
    if (holders & ~t->holders) {
        t->holders |= holders;
        tree_add_holders(draft->by_name, TREE_BY_NAME, bytes_of_string(t->name), holders);
    }
}

int image_add_partition(struct image *draft, struct uuid id, int32_t partition,
                        const struct image_partition_spec *spec)
{
    image_assert_draft(draft);
    struct topic *t = image_topic_with_id(draft, id);
    const struct image_partition seen = {
        .leader = spec->leader,
        .leader_epoch = spec->leader_epoch,
        .partition_epoch = spec->partition_epoch,
        .unclean_epoch = spec->unclean_epoch,
        .recovering = spec->recovering,
        .replicas = spec->replicas,
        .isr = spec->isr,
        .replica_count = spec->replica_count,
        .isr_count = spec->isr_count,
        .directories = spec->directories,
        .more = &spec->more,
    };
    if (!t || partition != t->view.partition_count || partition >= TOPIC_PARTITIONS_MAX ||
        spec->replica_count < 1 ||
        !nodes_are_valid((struct image_nodes){spec->replicas, spec->replica_count}) ||
        !nodes_are_valid((struct image_nodes){spec->isr, spec->isr_count}) ||
        !more_is_valid(&spec->more) || spec->leader < -1 || spec->leader_epoch < 0 ||
        spec->partition_epoch < 0 || !partition_is_sound(&seen)) {
        return ERR_MALFORMED;
    }
    struct image_partition next;
    int error = share_partition(draft->home, &seen, NULL, &next);
    if (error) {
        return error;
    }
    error = image_own_topic(draft, t, &t);
    if (!error) {
        error = topic_grow(t);
    }
    if (error) {
        partition_release(&next);
        return error;
    }
    t->partitions[partition] = next;
    t->view.partition_count = partition + 1;
    draft->partitions++;
    add_holders(draft, t, &next);
    return 0;
}

static void change_nodes(struct image_nodes *nodes, struct image_nodes change)
{
    if (change.ids) {
        *nodes = change;
    }
}

/* What `old` becomes by the change, borrowing from both; false when that is no partition. */
static bool merge_change(const struct image_partition *old, const struct image_partition_change *c,
                         struct image_partition *next, struct image_more *more)
{
    *next = *old;
    *more = *old->more;
    next->more = more;
    if (c->replicas) {
        next->replicas = c->replicas;
        next->replica_count = c->replica_count;
        if (old->directories && !c->directories) {
            return false;
        }
    }
    if (c->isr) {
        next->isr = c->isr;
        next->isr_count = c->isr_count;
    }
    if (c->directories) {
        next->directories = c->directories;
    }
    change_nodes(&more->elr, c->more.elr);
    change_nodes(&more->last_known_elr, c->more.last_known_elr);
    change_nodes(&more->adding, c->more.adding);
    change_nodes(&more->removing, c->more.removing);
    change_nodes(&more->damaged, c->more.damaged);
    if (c->recovery != IMAGE_RECOVERY_SAME) {
        next->recovering = c->recovery == IMAGE_RECOVERING;
    }
    if (c->leader != IMAGE_LEADER_SAME) {
        next->leader = c->leader;
        next->leader_epoch++;
        next->unclean_epoch = c->unclean ? next->leader_epoch : next->unclean_epoch;
    }
    next->partition_epoch++;
    return partition_is_sound(next);
}

int image_change_partition(struct image *draft, struct uuid id, int32_t partition,
                           const struct image_partition_change *c)
{
    image_assert_draft(draft);
    struct topic *t = image_topic_with_id(draft, id);
    if (!t || partition < 0 || partition >= t->view.partition_count ||
        c->leader < IMAGE_LEADER_SAME || (c->unclean && c->leader < 0) ||
        (c->replicas && (c->replica_count < 1 ||
                         !nodes_are_valid((struct image_nodes){c->replicas, c->replica_count}))) ||
        (c->isr && !nodes_are_valid((struct image_nodes){c->isr, c->isr_count})) ||
        !more_is_valid(&c->more)) {
        return ERR_MALFORMED;
    }
    const struct image_partition *old = &t->partitions[partition];
    struct image_partition seen, next;
    struct image_more more;
    if (old->partition_epoch == INT32_MAX || old->leader_epoch == INT32_MAX ||
        !merge_change(old, c, &seen, &more)) {
        return ERR_MALFORMED;
    }
    int error = share_partition(draft->home, &seen, old, &next);
    if (error) {
        return error;
    }
    error = image_own_topic(draft, t, &t);
    if (error) {
        partition_release(&next);
        return error;
    }
    partition_release(&t->partitions[partition]);
    t->partitions[partition] = next;
    add_holders(draft, t, &next);
    return 0;
}
