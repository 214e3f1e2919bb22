/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as what a replica of the metadata quorum says: refused, or a message that goes and comes again as it
 * is, and that a core takes. The first byte says which: the request's kind in bits 0 and 1, bit 2: its answer. */
#include "sim/raft_hop.h"

#include <stdlib.h>

static struct raft_id id_of(int32_t node)
{
    return (struct raft_id){node, {{(uint8_t)(node + 1), [15] = 7}}};
}

/* Replica 2 of three, a follower of 1 in epoch 5 that has asked for what follows 300. */
static void feed(const struct raft_message *m)
{
    struct raft *r = malloc(raft_size());
    struct raft_options options = {.self = id_of(2), .seed = 3};
    struct raft_batch log = {.base = 0, .end = 300, .epoch = 4};
    struct raft_start start = {.vote = {.epoch = 5, .voted.node = RAFT_NOBODY},
                               .snapshot.epoch = -1,
                               .voters = {3, {id_of(1), id_of(2), id_of(3)}},
                               .batches = &log,
                               .batch_count = 1};
    struct raft_message begin = {
        .kind = RAFT_BEGIN, .from = id_of(1), .to = id_of(2), .epoch = 5, .leader = 1};
    assert(r);
    int error = raft_init(r, &options, &start, 1);
    assert(!error);
    raft_receive(r, 2, &begin);
    raft_effects_done(r);
    raft_receive(r, 3, m);
    raft_effects_done(r);
    raft_tick(r, UINT64_C(20000000000));
    free(r);
}

static void check_request(struct raft_hop *h, enum raft_kind kind, struct bytes body)
{
    struct raft_message m, again;
    int version = raft_hop_version(kind);
    if (raft_hop_take(h, kind, version, body, id_of(2), &m) != 0) {
        return;
    }
    feed(&m);
    int error = raft_hop_take(h, kind, version, raft_hop_request(h, &m, version), id_of(2), &again);
    assert(!error && raft_hop_same(&m, &again));
}

static void check_answer(struct raft_hop *h, enum raft_kind kind, struct bytes body)
{
    static struct quorum_batches batches;
    struct raft_message request = {
        .kind = kind, .from = id_of(2), .to = id_of(1), .epoch = 5, .end = {4, 300}};
    struct raft_message m, again;
    struct bytes records;
    int version = raft_hop_version(kind);
    if (quorum_answer_decode(&request, version, body, &h->memory, &m, &records) != 0) {
        return;
    }
    int error = quorum_batches_cut(&batches, records, &h->memory);
    m.batches = batches.list;
    m.batch_count = error > 0 ? (uint32_t)error : 0;
    feed(&m);
    m.batch_count = 0;
    body = raft_hop_answer(h, kind, &m, 0, (struct bytes){0}, version);
    error = quorum_answer_decode(&request, version, body, &h->memory, &again, &records);
    assert(!error && (m.error || raft_hop_same(&m, &again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum raft_kind kinds[] = {RAFT_VOTE, RAFT_BEGIN, RAFT_END, RAFT_FETCH};
    static struct raft_hop hop;
    if (size < 1) {
        return 0;
    }
    enum raft_kind kind = kinds[data[0] & 3];
    struct bytes body = bytes_of(data + 1, size - 1);
    raft_hop_init(&hop);
    if (data[0] & 4) {
        check_answer(&hop, kind, body);
    } else {
        check_request(&hop, kind, body);
    }
    raft_hop_deinit(&hop);
    return 0;
}
