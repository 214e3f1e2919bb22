/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/voters.h"

#include "meta/records.h"

enum { KRAFT_VERSION_MAX = 1 };

static bool text_take(char *out, size_t room, struct wire_string in)
{
    struct bytes b = wire_string_bytes(in);
    if (in.size <= 0 || b.size >= room || memchr(b.data, 0, b.size)) {
        return false;
    }
    memcpy(out, b.data, b.size);
    out[b.size] = 0;
    return true;
}

static bool voter_take(struct voters *out, const struct voters_record_voters *in)
{
    struct voter *v = &out->list[out->count];
    if (in->voter_id < 0 || voters_find(out, in->voter_id) || in->endpoints_count < 1) {
        return false;
    }
    const struct voters_record_endpoints *e = &in->endpoints[0];
    *v = (struct voter){.id = {in->voter_id, in->voter_directory_id}, .port = e->port};
    out->count++;
    return text_take(v->name, sizeof v->name, e->name) &&
           text_take(v->host, sizeof v->host, e->host);
}

int voters_decode(struct voters *out, struct bytes value, struct memory *memory)
{
    struct voters_record r;
    struct arena arena;
    struct reader in = reader_of(value.data, value.size);
    out->count = 0;
    if (value.size > VOTERS_BYTES_MAX) {
        return ERR_MALFORMED;
    }
    arena_init(&arena, memory, RECORDS_ARENA_LIMIT);
    int error = voters_record_decode(&r, &in, 0, &arena);
    if (!error && r.version != 0) {
        error = ERR_UNSUPPORTED_VERSION;
    } else if (!error &&
               (reader_left(&in) > 0 || r.voters_count < 1 || r.voters_count > RAFT_VOTERS_MAX)) {
        error = ERR_MALFORMED;
    }
    for (int32_t i = 0; !error && i < r.voters_count; i++) {
        error = voter_take(out, &r.voters[i]) ? 0 : ERR_MALFORMED;
    }
    arena_deinit(&arena);
    return error;
}

int voters_encode(const struct voters *in, struct wire_writer *out)
{
    struct voters_record_endpoints endpoints[RAFT_VOTERS_MAX];
    struct voters_record_voters voters[RAFT_VOTERS_MAX];
    assert(in->count > 0 && in->count <= RAFT_VOTERS_MAX);
    for (uint32_t i = 0; i < in->count; i++) {
        const struct voter *v = &in->list[i];
        voters_record_endpoints_init(&endpoints[i]);
        endpoints[i].name = wire_string_of(v->name);
        endpoints[i].host = wire_string_of(v->host);
        endpoints[i].port = v->port;
        voters_record_voters_init(&voters[i]);
        voters[i].voter_id = v->id.node;
        voters[i].voter_directory_id = v->id.directory;
        voters[i].endpoints = &endpoints[i];
        voters[i].endpoints_count = 1;
        voters[i].kraft_version_feature.max_supported_version = KRAFT_VERSION_MAX;
    }
    struct voters_record r = {.voters = voters, .voters_count = (int32_t)in->count};
    return voters_record_encode(&r, out, 0);
}

struct raft_voters voters_ids(const struct voters *in)
{
    struct raft_voters ids = {.count = in->count};
    for (uint32_t i = 0; i < in->count; i++) {
        ids.ids[i] = in->list[i].id;
    }
    return ids;
}

const struct voter *voters_find(const struct voters *in, int32_t node)
{
    for (uint32_t i = 0; i < in->count; i++) {
        if (in->list[i].id.node == node) {
            return &in->list[i];
        }
    }
    return NULL;
}

int voters_of_batch(struct voters *out, const void *batch, size_t size, struct memory *memory)
{
    struct batch_header h;
    struct record_reader records;
    struct record record;
    enum control_kind kind;
    int found = 0;
    int error = batch_check(&h, batch, size, BATCH_FROM_LOG);
    if (error || !(h.attributes & BATCH_CONTROL)) {
        return error;
    }
    if (batch_codec(&h) != CODEC_NONE) {
        return ERR_MALFORMED;
    }
    record_reader_init(
        &records, &h,
        bytes_of((const uint8_t *)batch + BATCH_HEADER_SIZE, size - BATCH_HEADER_SIZE));
    while (!error && (error = record_next(&records, &record)) == 1) {
        error = control_kind_read(&record, &kind);
        if (!error && kind == CONTROL_VOTERS) {
            struct bytes value = bytes_of(record.value.data, (size_t)record.value.size);
            error = voters_decode(out, value, memory);
            found = 1;
        }
    }
    return error ? error : found;
}
