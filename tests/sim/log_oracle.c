/* SPDX-License-Identifier: Apache-2.0 */

#include "log_oracle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void *grow(void *old, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room) {
        return old;
    }
    *room = *room ? *room * 2 : 16;
    void *p = realloc(old, *room * size);
    if (!p) {
        abort();
    }
    return p;
}

/* --- states ------------------------------------------------------------------------------ */

void oracle_state_add(struct oracle_state *s, struct oracle_item item)
{
    s->items = grow(s->items, s->count, &s->room, sizeof *s->items);
    s->items[s->count++] = item;
    s->end = item.last + 1;
}

void oracle_state_deinit(struct oracle_state *s)
{
    free(s->items);
    free(s->ranges);
    *s = (struct oracle_state){0};
}

static void range_add(struct oracle_state *s, struct oracle_range range)
{
    s->ranges = grow(s->ranges, s->range_count, &s->range_room, sizeof *s->ranges);
    s->ranges[s->range_count++] = range;
}

static void state_copy(struct oracle_state *to, const struct oracle_state *from)
{
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        oracle_state_add(to, from->items[i]);
    }
    to->range_count = 0;
    for (uint32_t i = 0; i < from->range_count; i++) {
        range_add(to, from->ranges[i]);
    }
    to->start = from->start;
    to->end = from->end;
}

static void drop_below_start(struct oracle_state *s)
{
    uint32_t gone = 0;
    while (gone < s->count && s->items[gone].last < s->start) {
        gone++;
    }
    s->count -= gone;
    memmove(s->items, s->items + gone, s->count * sizeof *s->items);
}

int64_t oracle_boundary(const struct oracle_state *s, int64_t offset)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->items[i].base <= offset && offset <= s->items[i].last) {
            return s->items[i].base;
        }
    }
    return offset;
}

static bool has_tombstone(const struct oracle_item *item)
{
    for (uint32_t i = 0; i < item->record_count; i++) {
        if (item->records[i].tombstone) {
            return true;
        }
    }
    return false;
}

/* What the new stretch covers is no longer one of its own; tombstones that are met for the first time have
 * their horizon from now on. */
static void apply_replace(struct oracle_state *s, const struct oracle_op *op)
{
    struct oracle_range range = op->range;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->range_count; i++) {
        const struct oracle_range *old = &s->ranges[i];
        if (old->from >= range.from && old->to <= range.to) {
            range.key_offset =
                old->key_offset > range.key_offset ? old->key_offset : range.key_offset;
        } else {
            s->ranges[kept++] = *old;
        }
    }
    s->range_count = kept;
    range_add(s, range);
    for (uint32_t i = 0; i < s->count; i++) {
        struct oracle_item *item = &s->items[i];
        bool inside = item->base >= range.from && item->last < range.to;
        if (inside && item->horizon < 0 && has_tombstone(item)) {
            item->horizon = range.now_ms + op->delete_retention_ms;
        }
    }
}

static void state_apply(struct oracle_state *s, const struct oracle_op *op)
{
    switch (op->kind) {
    case ORACLE_APPEND:
        assert(op->item.base >= s->end);
        oracle_state_add(s, op->item);
        break;
    case ORACLE_TRUNCATE:
        while (s->count > 0 && s->items[s->count - 1].last >= op->offset) {
            s->count--;
        }
        s->end = op->offset < s->end ? op->offset : s->end;
        break;
    case ORACLE_START:
        s->start = op->offset > s->start ? op->offset : s->start;
        drop_below_start(s);
        break;
    case ORACLE_REMOVE:
        s->start = s->end = 0;
        s->count = s->range_count = 0;
        break;
    case ORACLE_ANEW:
        s->start = s->end = op->offset;
        s->count = s->range_count = 0;
        break;
    case ORACLE_REPLACE:
        apply_replace(s, op);
        break;
    }
}

/* --- operations -------------------------------------------------------------------------- */

void oracle_log_init(struct oracle_log *l, struct uuid topic_id, int32_t partition,
                     const char *topic, enum log_durability durability)
{
    *l =
        (struct oracle_log){.topic_id = topic_id, .partition = partition, .durability = durability};
    snprintf(l->topic, sizeof l->topic, "%s", topic);
}

void oracle_log_deinit(struct oracle_log *l)
{
    oracle_state_deinit(&l->base);
    oracle_state_deinit(&l->live);
    free(l->ops);
    free(l->ever);
    *l = (struct oracle_log){0};
}

static uint32_t op_add(struct oracle_log *l, struct oracle_op op)
{
    l->ops = grow(l->ops, l->op_count, &l->op_room, sizeof *l->ops);
    l->ops[l->op_count] = op;
    state_apply(&l->live, &op);
    return l->op_count++;
}

static void remember(struct oracle_log *l, struct oracle_item item)
{
    l->ever = grow(l->ever, l->ever_count, &l->ever_room, sizeof *l->ever);
    l->ever[l->ever_count++] = item;
}

uint32_t oracle_append(struct oracle_log *l, struct oracle_item item)
{
    if (l->durability == LOG_MEMORY) {
        remember(l, item);
    }
    return op_add(l, (struct oracle_op){.kind = ORACLE_APPEND, .item = item});
}

uint32_t oracle_truncate(struct oracle_log *l, int64_t offset)
{
    return op_add(l, (struct oracle_op){.kind = ORACLE_TRUNCATE, .offset = offset});
}

uint32_t oracle_start(struct oracle_log *l, int64_t offset)
{
    return op_add(l, (struct oracle_op){.kind = ORACLE_START, .offset = offset});
}

uint32_t oracle_remove(struct oracle_log *l)
{
    return op_add(l, (struct oracle_op){.kind = ORACLE_REMOVE});
}

uint32_t oracle_anew(struct oracle_log *l, int64_t offset)
{
    return op_add(l, (struct oracle_op){.kind = ORACLE_ANEW, .offset = offset});
}

static void live_again(struct oracle_log *l)
{
    state_copy(&l->live, &l->base);
    for (uint32_t i = 0; i < l->op_count; i++) {
        state_apply(&l->live, &l->ops[i]);
    }
}

void oracle_replace(struct oracle_log *l, const struct oracle_range *range, uint32_t behind)
{
    struct oracle_op op = {
        .kind = ORACLE_REPLACE, .range = *range, .delete_retention_ms = l->delete_retention_ms};
    uint32_t at = op_add(l, op);
    if (behind) {
        assert(at >= behind && l->told <= at - behind);
        memmove(&l->ops[at - behind + 1], &l->ops[at - behind], behind * sizeof *l->ops);
        l->ops[at - behind] = op;
        live_again(l);
    }
}

void oracle_told(struct oracle_log *l, uint32_t op)
{
    assert(op < l->op_count);
    l->told = op + 1 > l->told ? op + 1 : l->told;
}

void oracle_append_refused(struct oracle_log *l, uint32_t op)
{
    assert(op < l->op_count && l->told <= op && l->ops[op].kind == ORACLE_APPEND);
    l->op_count--;
    memmove(&l->ops[op], &l->ops[op + 1], (l->op_count - op) * sizeof *l->ops);
    live_again(l);
}

void oracle_refused(struct oracle_log *l, uint32_t op)
{
    assert(op + 1 == l->op_count);
    l->op_count--;
    live_again(l);
}

/* --- judging ----------------------------------------------------------------------------- */

static bool item_equal(const struct oracle_item *a, const struct oracle_item *b)
{
    return a->base == b->base && a->last == b->last && a->epoch == b->epoch && a->crc == b->crc;
}

/* --- what compaction may have left ------------------------------------------------------- */

static bool same_place(const struct oracle_item *a, const struct oracle_item *b)
{
    return a->base == b->base && a->last == b->last && a->epoch == b->epoch &&
           a->producer == b->producer && a->sequence == b->sequence;
}

static bool holds_record(const struct oracle_item *item, const struct oracle_record *record)
{
    for (uint32_t i = 0; item && i < item->record_count; i++) {
        const struct oracle_record *r = &item->records[i];
        if (r->offset == record->offset && r->key == record->key && r->sum == record->sum &&
            r->tombstone == record->tombstone) {
            return true;
        }
    }
    return false;
}

bool oracle_may_be(const struct oracle_item *original, const struct oracle_item *shown)
{
    for (uint32_t i = 0; i < shown->record_count; i++) {
        if (!holds_record(original, &shown->records[i])) {
            return false;
        }
    }
    return same_place(original, shown);
}

static const struct oracle_range *range_of(const struct oracle_state *s, int64_t offset)
{
    for (uint32_t i = 0; i < s->range_count; i++) {
        if (s->ranges[i].from <= offset && offset < s->ranges[i].to) {
            return &s->ranges[i];
        }
    }
    return NULL;
}

/* A record of the key at an offset in [from, to). */
static bool key_between(const struct oracle_state *s, int32_t key, int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < s->count; i++) {
        for (uint32_t k = 0; k < s->items[i].record_count; k++) {
            const struct oracle_record *r = &s->items[i].records[k];
            if (r->key == key && r->offset >= from && r->offset < to) {
                return true;
            }
        }
    }
    return false;
}

static bool record_superfluous(const struct oracle_state *s, const struct oracle_state *shown,
                               const struct oracle_range *range, const struct oracle_item *item,
                               const struct oracle_record *record)
{
    if (record->offset < shown->start) {
        return true;
    }
    if (key_between(s, record->key, record->offset + 1, range->key_offset)) {
        return true;
    }
    return record->tombstone && record->offset < range->key_offset && item->horizon >= 0 &&
           item->horizon <= range->now_ms &&
           !key_between(shown, record->key, shown->start, record->offset);
}

static bool last_of_producer(const struct oracle_state *s, const struct oracle_item *item)
{
    for (const struct oracle_item *i = item + 1; i < s->items + s->count; i++) {
        if (i->producer == item->producer) {
            return false;
        }
    }
    return item->producer >= 0;
}

/* What stands in front of it can be seen, and is of an earlier epoch. */
static bool first_of_epoch(const struct oracle_state *s, const struct oracle_state *shown,
                           const struct oracle_item *item)
{
    return item > s->items && item[-1].epoch < item->epoch && item[-1].last >= shown->start;
}

/* Whether `found` (NULL: nothing) may stand where the state has `item`. */
static bool item_allowed(const struct oracle_state *s, const struct oracle_state *shown,
                         const struct oracle_item *item, const struct oracle_item *found)
{
    const struct oracle_range *range = range_of(s, item->base);
    if (!range) {
        return found && item_equal(item, found);
    }
    if (found ? !oracle_may_be(item, found)
              : item->last + 1 == range->to || last_of_producer(s, item) ||
                    first_of_epoch(s, shown, item)) {
        return false;
    }
    for (uint32_t i = 0; i < item->record_count; i++) {
        const struct oracle_record *r = &item->records[i];
        if (!holds_record(found, r) && !record_superfluous(s, shown, range, item, r)) {
            return false;
        }
    }
    return true;
}

/* Each compacted stretch has the bytes that compaction left of it. */
static bool ranges_fit(const struct oracle_state *s, const struct oracle_state *shown)
{
    for (uint32_t i = 0; i < s->range_count; i++) {
        const struct oracle_range *range = &s->ranges[i];
        uint64_t size = 0;
        for (uint32_t k = 0; k < shown->count; k++) {
            bool inside = shown->items[k].base >= range->from && shown->items[k].base < range->to;
            size += inside ? shown->items[k].size : 0;
        }
        if (range->from >= shown->start && size != range->size) {
            return false;
        }
    }
    return true;
}

/* `shown` is what may be seen of the state; with `retained` its start may be higher, at any batch. */
static bool state_matches(const struct oracle_state *s, const struct oracle_state *shown,
                          bool retained)
{
    if (s->end != shown->end || shown->start < s->start ||
        (shown->start != s->start && !retained) || shown->count > s->count) {
        return false;
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct oracle_item *item = &s->items[i];
        bool there = k < shown->count && shown->items[k].base == item->base;
        const struct oracle_item *found = there ? &shown->items[k++] : NULL;
        if ((found || item->last >= shown->start) && !item_allowed(s, shown, item, found)) {
            return false;
        }
    }
    return k == shown->count && ranges_fit(s, shown);
}

static bool item_known(const struct oracle_log *l, const struct oracle_item *item)
{
    for (uint32_t i = 0; i < l->ever_count; i++) {
        if (item_equal(&l->ever[i], item) || (l->compact && oracle_may_be(&l->ever[i], item))) {
            return true;
        }
    }
    return false;
}

static bool judge_pieces(const struct oracle_log *l, const struct oracle_state *shown, char *why,
                         size_t why_size)
{
    for (uint32_t i = 0; i < shown->count; i++) {
        const struct oracle_item *item = &shown->items[i];
        bool follows = i == 0 || (l->compact || l->gaps ? item->base > item[-1].last
                                                        : item->base == item[-1].last + 1);
        if (!item_known(l, item) || !follows) {
            snprintf(why, why_size, "%s shows a batch at %" PRId64 " that it never held there",
                     l->topic, item->base);
            return false;
        }
    }
    return true;
}

static void describe(const struct oracle_log *l, const struct oracle_state *shown, char *why,
                     size_t why_size)
{
    struct oracle_state told = {0};
    state_copy(&told, &l->base);
    for (uint32_t i = 0; i < l->told; i++) {
        state_apply(&told, &l->ops[i]);
    }
    snprintf(why, why_size,
             "%s shows [%" PRId64 ", %" PRId64 ") in %u batches; told was [%" PRId64 ", %" PRId64
             ") in %u after %u of %u operations, given [%" PRId64 ", %" PRId64 ") in %u%s",
             l->topic, shown->start, shown->end, shown->count, told.start, told.end, told.count,
             l->told, l->op_count, l->live.start, l->live.end, l->live.count,
             l->durability == LOG_MEMORY ? " (memory)" : "");
    oracle_state_deinit(&told);
}

bool oracle_judge(const struct oracle_log *l, const struct oracle_state *shown,
                  enum oracle_grace grace, char *why, size_t why_size)
{
    if (grace == ORACLE_PIECES) {
        return judge_pieces(l, shown, why, why_size);
    }
    uint32_t least = grace == ORACLE_TORN ? 0 : l->told;
    struct oracle_state s = {0};
    state_copy(&s, &l->base);
    bool found = least == 0 && state_matches(&s, shown, l->retained);
    for (uint32_t i = 0; i < l->op_count && !found; i++) {
        state_apply(&s, &l->ops[i]);
        found = i + 1 >= least && state_matches(&s, shown, l->retained);
    }
    oracle_state_deinit(&s);
    if (!found) {
        describe(l, shown, why, why_size);
    }
    return found;
}

void oracle_adopt(struct oracle_log *l, struct oracle_state *shown)
{
    oracle_state_deinit(&l->base);
    l->base = *shown;
    *shown = (struct oracle_state){0};
    state_copy(&l->live, &l->base);
    l->op_count = l->told = 0;
    l->retained = false;
}
