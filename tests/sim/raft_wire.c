/* SPDX-License-Identifier: Apache-2.0 */

/* The raft world's messages over Kafka's bytes: what is sent is encoded, and what arrives is what its bytes say.
 *
 * As on a connection, tickets do not travel: each request that arrives has a number in place of its ticket, and
 * the answer to that number is decoded with the request as its sender has kept it. An entry is a record batch
 * whose timestamp is its id; one that changes the voters holds a VotersRecord. */
#include "meta/records.h"
#include "meta/voters.h"
#include "raft_hop.h"
#include "raft_world.h"

#include <stdio.h>
#include <stdlib.h>

enum { REQUESTS_KEPT = 1 << 15, RECORDS_BYTES = 1 << 15 };

struct kept_request {
    uint64_t number;
    struct raft_message sent;
};

struct world_wire {
    struct raft_hop hop;
    struct quorum_batches batches;
    uint8_t records[RECORDS_BYTES];
    uint64_t count; /* of requests so far */
    struct kept_request kept[REQUESTS_KEPT];
};

struct world_wire *wire_new(void)
{
    struct world_wire *x = calloc(1, sizeof *x);
    assert(x);
    raft_hop_init(&x->hop);
    return x;
}

void wire_free(struct world_wire *x)
{
    if (x) {
        raft_hop_deinit(&x->hop);
        free(x);
    }
}

/* --- entries ---------------------------------------------------------------------------------- */

static void put_voters(struct world_wire *x, struct batch_builder *b, const struct world_entry *e)
{
    struct voters voters = {.count = e->voters.count};
    struct wire_writer w;
    for (uint32_t i = 0; i < voters.count; i++) {
        struct voter *v = &voters.list[i];
        v->id = e->voters.ids[i];
        snprintf(v->name, sizeof v->name, "QUORUM");
        snprintf(v->host, sizeof v->host, "node-%d", (int)v->id.node);
        v->port = 9093;
    }
    wire_writer_init(&w, &x->hop.memory, VOTERS_BYTES_MAX);
    int error = voters_encode(&voters, &w);
    error = error
                ? error
                : control_append_bytes(b, CONTROL_VOTERS, bytes_of(w.data, w.size), (int64_t)e->id);
    assert(!error);
    wire_writer_deinit(&w);
}

static struct bytes entries_encode(struct world_wire *x, const struct packet *p)
{
    size_t size = 0;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        const struct world_entry *e = &p->entries[i];
        struct batch_options options = batch_options_default();
        struct batch_builder b;
        struct bytes made;
        options.base_offset = p->message.end.offset + i;
        options.leader_epoch = e->epoch;
        options.attributes = e->changes ? BATCH_CONTROL : 0;
        batch_builder_init(&b, &x->hop.memory, 1 << 14);
        if (e->changes) {
            put_voters(x, &b, e);
        } else {
            struct record_input r = {.timestamp = (int64_t)e->id, .key.size = -1, .value.size = -1};
            int error = batch_append(&b, &r);
            assert(!error);
        }
        int error = batch_finish(&b, &options, &made);
        assert(!error && made.size <= sizeof x->records - size);
        memcpy(x->records + size, made.data, made.size);
        size += made.size;
        batch_builder_deinit(&b);
    }
    return bytes_of(x->records, size);
}

/* False: they are not those that were sent. */
static bool entries_decode(struct world_wire *x, struct packet *p, struct bytes records)
{
    const uint8_t *at = records.data;
    int count = quorum_batches_cut(&x->batches, records, &x->hop.memory);
    bool good = count == (int)p->entry_count;
    for (int i = 0; good && i < count; i++) {
        const struct raft_batch *b = &x->batches.list[i];
        struct world_entry *e = &p->entries[i];
        struct batch_header h;
        good = batch_header_read(&h, at, x->batches.sizes[i]) == 0 &&
               b->base == p->message.end.offset + i && b->end == b->base + 1 &&
               b->epoch == e->epoch && (uint64_t)h.base_timestamp == e->id &&
               (b->voters != NULL) == e->changes;
        if (good && b->voters) {
            good = b->voters->count == e->voters.count;
            e->voters = *b->voters;
        }
        at += x->batches.sizes[i];
    }
    return good;
}

/* --- messages --------------------------------------------------------------------------------- */

static int carry_request(struct world_wire *x, const struct machine *to, struct packet *p)
{
    struct raft_message sent = p->message;
    int version = raft_hop_version(sent.kind);
    struct bytes body = raft_hop_request(&x->hop, &sent, version);
    int error = raft_hop_take(&x->hop, sent.kind, version, body, to->id, &p->message);
    uint64_t number = ++x->count;
    x->kept[number % REQUESTS_KEPT] = (struct kept_request){number, sent};
    p->message.ticket = number;
    return error;
}

static int carry_answer(struct world_wire *x, struct packet *p)
{
    struct raft_message sent = p->message;
    const struct kept_request *k = &x->kept[sent.ticket % REQUESTS_KEPT];
    if (k->number != sent.ticket) {
        return ERR_NOT_FOUND;
    }
    int version = raft_hop_version(k->sent.kind);
    struct bytes records = entries_encode(x, p);
    struct bytes body = raft_hop_answer(&x->hop, k->sent.kind, &sent, 0, records, version);
    int error =
        quorum_answer_decode(&k->sent, version, body, &x->hop.memory, &p->message, &records);
    if (!error && !entries_decode(x, p, records)) {
        error = ERR_CORRUPT_MESSAGE;
    }
    return error;
}

void wire_carry(struct world *w, struct machine *from, const struct machine *to, struct packet *p)
{
    struct raft_message sent = p->message;
    bool answer = sent.kind == RAFT_VOTE_ANSWER || sent.kind == RAFT_FETCH_ANSWER;
    int error = answer ? carry_answer(w->wire, p) : carry_request(w->wire, to, p);
    if (error) {
        oracle_violation(w, from, "wire: a message of kind %d to %d: %s", (int)sent.kind,
                         (int)sent.to.node, error_text(error));
    } else if (!raft_hop_same(&sent, &p->message)) {
        oracle_violation(w, from, "wire: a message of kind %d to %d is another when it arrives",
                         (int)sent.kind, (int)sent.to.node);
    }
}
