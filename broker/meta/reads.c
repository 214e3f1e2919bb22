/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/reads.h"

#include "meta/meta_private.h"

void reads_init(struct reads *r)
{
    list_init(&r->next);
    list_init(&r->asking);
    list_init(&r->seen);
    list_init(&r->sharing);
    list_init(&r->later);
}

static struct meta_op *op_of(struct list *node)
{
    return container_of(node, struct meta_op, priv.link);
}

void reads_take(struct meta *m, struct meta_op *op)
{
    list_append(&m->reads.next, &op->priv.link);
}

static void ask(struct meta *m)
{
    struct reads *r = &m->reads;
    uint64_t sequence;
    if (list_empty(&r->next) || !list_empty(&r->asking)) {
        return;
    }
    list_splice(&r->asking, &r->next);
    r->sequence = UINT64_MAX; /* it may be confirmed, or lost, inside the call */
    int error = quorum_read(m, &sequence);
    if (error == 0) {
        r->sequence = sequence;
    } else if (error == ERR_NOT_CONTROLLER) {
        reads_lost(m);
    } else { /* of this epoch nothing is committed yet: with the next look */
        list_splice(&r->next, &r->asking);
    }
}

void reads_look(struct meta *m)
{
    struct reads *r = &m->reads;
    struct list here, *node; /* an answer may lead here again */
    ask(m);
    if (!list_empty(&r->asking) && r->confirmed >= r->sequence) {
        while ((node = list_pop(&r->asking))) {
            op_of(node)->priv.offset = r->offset;
            list_append(&r->seen, node);
        }
        ask(m);
    }
    list_init(&here);
    list_splice(&here, &r->seen);
    while ((node = list_pop(&here))) {
        if (image_offset(m->image) + 1 >= op_of(node)->priv.offset) {
            meta_answer(m, op_of(node), 0);
        } else {
            list_append(&r->seen, node);
        }
    }
}

void reads_refuse(struct meta *m)
{
    if (m->leading) {
        return;
    }
    struct list kept, *node;
    list_init(&kept);
    while ((node = list_pop(&m->waiting))) {
        if (op_of(node)->kind == META_READ && op_of(node)->here) {
            meta_answer(m, op_of(node), ERR_NOT_CONTROLLER);
        } else {
            list_append(&kept, node);
        }
    }
    list_splice(&m->waiting, &kept);
}

void reads_confirmed(struct meta *m, uint64_t sequence, int64_t offset)
{
    m->reads.confirmed = sequence;
    m->reads.offset = offset;
    if (!list_empty(&m->reads.asking)) {
        io_turn_end(m->io, &m->turn);
    }
}

void reads_lost(struct meta *m)
{
    struct reads *r = &m->reads;
    struct list *node;
    r->confirmed = 0;
    while ((node = list_pop(&r->asking)) || (node = list_pop(&r->next))) {
        list_append(&m->waiting, node);
        io_turn_end(m->io, &m->turn);
    }
}

void reads_share(struct meta *m, struct meta_op *op)
{
    list_append(m->reads.sent ? &m->reads.later : &m->reads.sharing, &op->priv.link);
}

void reads_sent(struct meta *m)
{
    m->reads.sent = m->reads.forwarded;
}

/* Those that came later go on when what waits is looked at. */
static void over(struct meta *m)
{
    struct list *node;
    m->reads.forwarded = m->reads.sent = false;
    while ((node = list_pop(&m->reads.later))) {
        list_append(&m->waiting, node);
    }
}

void reads_forwarded(struct meta *m, int error)
{
    struct list here, *node; /* an answer may lead here again */
    list_init(&here);
    list_splice(&here, &m->reads.sharing);
    over(m);
    while ((node = list_pop(&here))) {
        meta_answer(m, op_of(node), error);
    }
}

void reads_back(struct meta *m)
{
    struct list *node;
    while ((node = list_pop(&m->reads.sharing))) {
        list_append(&m->waiting, node);
    }
    over(m);
}

void reads_close(struct meta *m)
{
    struct list *all[] = {&m->reads.next, &m->reads.asking, &m->reads.seen, &m->reads.sharing,
                          &m->reads.later},
                *node;
    for (size_t i = 0; i < array_size(all); i++) {
        while ((node = list_pop(all[i]))) {
            meta_answer(m, op_of(node), ERR_CLOSED);
        }
    }
}
