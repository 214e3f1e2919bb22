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
    *s = (struct oracle_state){0};
}

static void state_copy(struct oracle_state *to, const struct oracle_state *from)
{
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        oracle_state_add(to, from->items[i]);
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

static void state_apply(struct oracle_state *s, const struct oracle_op *op)
{
    switch (op->kind) {
    case ORACLE_APPEND:
        assert(op->item.base == s->end);
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
        s->count = 0;
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

void oracle_told(struct oracle_log *l, uint32_t op)
{
    assert(op < l->op_count);
    l->told = op + 1 > l->told ? op + 1 : l->told;
}

void oracle_refused(struct oracle_log *l, uint32_t op)
{
    assert(op + 1 == l->op_count);
    l->op_count--;
    state_copy(&l->live, &l->base);
    for (uint32_t i = 0; i < l->op_count; i++) {
        state_apply(&l->live, &l->ops[i]);
    }
}

/* --- judging ----------------------------------------------------------------------------- */

static bool item_equal(const struct oracle_item *a, const struct oracle_item *b)
{
    return a->base == b->base && a->last == b->last && a->epoch == b->epoch && a->crc == b->crc;
}

/* `shown` equals the state; with `retained` its start may be higher, at any batch. */
static bool state_matches(const struct oracle_state *s, const struct oracle_state *shown,
                          bool retained)
{
    if (s->end != shown->end || shown->start < s->start ||
        (shown->start != s->start && !retained) || shown->count > s->count) {
        return false;
    }
    uint32_t skipped = s->count - shown->count;
    for (uint32_t i = 0; i < shown->count; i++) {
        if (!item_equal(&s->items[skipped + i], &shown->items[i])) {
            return false;
        }
    }
    return skipped == 0 || s->items[skipped - 1].last < shown->start;
}

static bool item_known(const struct oracle_log *l, const struct oracle_item *item)
{
    for (uint32_t i = 0; i < l->ever_count; i++) {
        if (item_equal(&l->ever[i], item)) {
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
        if (!item_known(l, item) || (i > 0 && item->base != item[-1].last + 1)) {
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
