/* SPDX-License-Identifier: Apache-2.0 */
#include "replica/replica_private.h"

#include <stdio.h>

static void replica_turn(struct io_turn *turn)
{
    struct replica *r = container_of(turn, struct replica, turn);
    fetchers_go(r);
    alter_go(r);
    compare_go(r);
    repair_go(r);
}

struct replica *replica_new(struct io *io, const struct replica_options *options)
{
    struct replica *r = memory_alloc(io_memory(io), sizeof *r);
    if (!r) {
        return NULL;
    }
    r->io = io;
    r->options = *options;
    r->options.answer_bytes_max =
        options->answer_bytes_max ? options->answer_bytes_max : (100 << 20) + FETCH_BYTES_MAX;
    const uint64_t most_ms = UINT64_C(1) << 40; /* decades, so that nanoseconds do not wrap */
    if (r->options.compare_interval_ms > most_ms) {
        r->options.compare_interval_ms = most_ms;
    }
    r->turn.turn_end = replica_turn;
    list_init(&r->fetchers);
    list_init(&r->proposing);
    list_init(&r->ailing);
    list_init(&r->mends);
    partition_table_need(options->partitions, &(struct partition_needs){.ask = fetchers_ask,
                                                                        .alter = alter_ask,
                                                                        .ail = repair_ask,
                                                                        .context = r});
    return r;
}

/* The first endpoint is the one that brokers use among themselves. */
struct peer_address replica_address(const struct replica *r, int32_t node)
{
    const struct image_broker *b = r->image ? image_broker_by_id(r->image, node) : NULL;
    return b && b->endpoint_count
               ? (struct peer_address){b->endpoints[0].host, b->endpoints[0].port}
               : (struct peer_address){0};
}

int replica_peer(struct replica *r, int32_t node, const struct peer_address *address,
                 uint32_t answer_bytes_max, struct peer **out)
{
    char name[32];
    snprintf(name, sizeof name, "node %d", (int)node);
    const struct peer_options options = {.io = r->io,
                                         .name = name,
                                         .node_id = r->options.node_id,
                                         .addresses = address,
                                         .address_count = 1,
                                         .requests_max = 1,
                                         .answer_bytes_max = answer_bytes_max,
                                         .connect_timeout_ns = 1000000000};
    return peer_open(out, &options);
}

void replica_apply(struct replica *r, const struct image *image)
{
    const struct image *old = r->image;
    image_take(image);
    r->image = image;
    pace_apply(r);
    fetchers_apply(r);
    io_turn_end(r->io, &r->turn);
    if (old) {
        image_release(old);
    }
}

void replica_idle(struct replica *r)
{
    struct replica_stop *s = r->stop;
    if (s && list_empty(&r->fetchers) && !r->altering && repair_is_idle(r) && compare_is_idle(r) &&
        io_op_idle(&r->pace.alarm)) {
        r->stop = NULL;
        s->done(s);
    }
}

void replica_stop(struct replica *r, struct replica_stop *s)
{
    assert(!r->stopping);
    r->stopping = true;
    r->stop = s;
    fetchers_close(r);
    repair_close(r);
    compare_close(r);
    pace_close(r);
    replica_idle(r);
}

void replica_free(struct replica *r)
{
    if (!r) {
        return;
    }
    assert(list_empty(&r->fetchers) && !r->altering && repair_is_idle(r) && compare_is_idle(r));
    while (list_pop(&r->proposing)) {
    }
    if (r->turn.link.next) {
        list_remove(&r->turn.link);
    }
    if (r->image) {
        image_release(r->image);
    }
    memory_free(io_memory(r->io), r);
}
