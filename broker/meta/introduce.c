/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/introduce.h"

#include "config/config.h"

#include <stdio.h>

struct introducer {
    struct io *io;
    bool says; /* `self` is filled in */
    struct introduction self;
};

/* --- the one who answers ---------------------------------------------------------------------- */

struct introducer *introducer_new(struct io *io)
{
    assert(io_shard(io) == 0);
    struct introducer *it = memory_alloc(io_memory(io), sizeof *it);
    if (it) {
        it->io = io;
    }
    return it;
}

void introducer_free(struct introducer *it)
{
    if (it) {
        memory_free(io_memory(it->io), it);
    }
}

void introducer_say(struct introducer *it, const struct introduction *self)
{
    assert(self->node_id >= 0 && !uuid_is_zero(self->directory_id));
    assert(self->endpoint_count > 0);
    assert(self->voters.count == 0 || !uuid_is_zero(self->cluster_id));
    it->self = *self;
    it->says = true;
}

void introducer_say_quorum(struct introducer *it, const struct voters *voters, int32_t leader_id,
                           int32_t leader_epoch)
{
    assert(it->says && !uuid_is_zero(it->self.cluster_id));
    it->self.voters = *voters;
    it->self.leader_id = leader_id;
    it->self.leader_epoch = leader_epoch;
}

static void answer_home(struct io_message *message, struct io *io)
{
    struct introduce_op *op = container_of(message, struct introduce_op, priv.message);
    assert(op->priv.shard == io_shard(io));
    op->done(op);
}

static void answer(struct io_message *message, struct io *io)
{
    struct introduce_op *op = container_of(message, struct introduce_op, priv.message);
    const struct introduction *self = &op->priv.introducer->self;
    assert(io_shard(io) == 0);
    op->error = 0;
    op->why = NULL;
    if (!op->priv.introducer->says) {
        op->error = ERR_BROKER_NOT_AVAILABLE;
        op->why = "the node has not opened its directory yet";
    } else {
        *op->answer = *self;
        if (op->node_id == self->node_id && !uuid_equal(op->directory_id, self->directory_id)) {
            op->error = ERR_DUPLICATE_BROKER_REGISTRATION;
            op->why = "this node has the node.id of the one that asks, and another directory";
        } else if (!uuid_is_zero(op->cluster_id) && !uuid_is_zero(self->cluster_id) &&
                   !uuid_equal(op->cluster_id, self->cluster_id)) {
            op->error = ERR_INCONSISTENT_CLUSTER_ID;
            op->why = "this node is in another cluster than the one that asks";
        }
    }
    message->deliver = answer_home;
    io_post(io, op->priv.shard, message);
}

void introducer_ask(struct introducer *it, struct io *io, struct introduce_op *op)
{
    assert(op->answer && op->done);
    op->priv.introducer = it;
    op->priv.shard = io_shard(io);
    op->priv.message.deliver = answer;
    io_post(io, 0, &op->priv.message);
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool copy_whole(char *out, size_t size, struct wire_string in)
{
    if (in.size < 1 || (size_t)in.size >= size || memchr(in.data, 0, (size_t)in.size)) {
        return false;
    }
    memcpy(out, in.data, (size_t)in.size);
    out[in.size] = 0;
    return true;
}

/* HOST:PORT in its one form, and nothing that does not belong into a sentence. */
static bool address_is_plain(const char *text)
{
    char host[CONFIG_HOST_SIZE], again[FOUNDING_ADDRESS_SIZE];
    uint16_t port = 0;
    if (!config_split_address(bytes_of_string(text), host, &port) || port == 0) {
        return false;
    }
    founding_address(again, host, port);
    return strcmp(again, text) == 0;
}

static bool read_peers(struct introduction *out, const struct introduce_response *in)
{
    if (in->peers_count > FOUNDING_PEERS_MAX) {
        return false;
    }
    for (int32_t i = 0; i < in->peers_count; i++) {
        char *to = out->peers[out->peer_count];
        if (!copy_whole(to, FOUNDING_ADDRESS_SIZE, in->peers[i]) || !address_is_plain(to)) {
            return false;
        }
        out->peer_count++;
    }
    return true;
}

static bool host_is_plain(const char *host, uint16_t port)
{
    char address[FOUNDING_ADDRESS_SIZE];
    founding_address(address, host, port);
    return address_is_plain(address);
}

static bool read_endpoints(struct introduction *out, const struct introduce_response *in)
{
    if (in->endpoints_count < 1 || in->endpoints_count > IMAGE_ENDPOINTS_MAX) {
        return false;
    }
    for (int32_t i = 0; i < in->endpoints_count; i++) {
        const struct introduce_response_endpoints *from = &in->endpoints[i];
        struct founding_endpoint *to = &out->endpoints[out->endpoint_count];
        if (!copy_whole(to->name, sizeof to->name, from->name) ||
            !copy_whole(to->host, sizeof to->host, from->host) ||
            !host_is_plain(to->host, from->port)) {
            return false;
        }
        to->port = from->port;
        out->endpoint_count++;
    }
    return true;
}

static bool read_voters(struct voters *out, const struct introduce_response *in)
{
    if (in->voters_count > RAFT_VOTERS_MAX) {
        return false;
    }
    for (int32_t i = 0; i < in->voters_count; i++) {
        const struct introduce_response_voters *from = &in->voters[i];
        struct voter v = {.id = {from->voter_id, from->voter_directory_id}};
        if (v.id.node < 0 || uuid_is_zero(v.id.directory) || voters_find(out, v.id.node) ||
            from->listeners_count < 1 ||
            !copy_whole(v.name, sizeof v.name, from->listeners[0].name) ||
            !copy_whole(v.host, sizeof v.host, from->listeners[0].host) ||
            !host_is_plain(v.host, from->listeners[0].port)) {
            return false;
        }
        v.port = from->listeners[0].port;
        out->list[out->count++] = v;
    }
    return true;
}

int introduction_read(struct introduction *out, const struct introduce_response *in,
                      char why[static FOUNDING_TROUBLE_SIZE])
{
    why[0] = 0;
    if (in->error_code != 0 && uuid_is_zero(in->directory_id)) {
        int error = error_from_wire(in->error_code);
        wire_string_plain(why, FOUNDING_TROUBLE_SIZE, in->error_message);
        if (!why[0]) {
            snprintf(why, FOUNDING_TROUBLE_SIZE, "%s", error_text(error));
        }
        return error;
    }
    memset(out, 0, sizeof *out);
    out->node_id = in->node_id;
    out->directory_id = in->directory_id;
    out->incarnation_id = in->incarnation_id;
    out->cluster_id = in->cluster_id;
    out->leader_id = in->leader_id;
    out->leader_epoch = in->leader_epoch;
    wire_string_plain(out->version, sizeof out->version, in->software_version);
    bool valid = in->node_id >= 0 && !uuid_is_zero(in->directory_id) &&
                 !uuid_is_zero(in->incarnation_id) && in->leader_id >= -1 &&
                 in->leader_epoch >= -1 && read_peers(out, in) && read_endpoints(out, in) &&
                 read_voters(&out->voters, in);
    if (!valid || (out->voters.count > 0 && uuid_is_zero(out->cluster_id))) {
        snprintf(why, FOUNDING_TROUBLE_SIZE, "it says of itself what cannot be");
        return ERR_MALFORMED;
    }
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int write_lists(struct introduce_response *out, const struct introduction *in,
                       struct arena *arena)
{
    struct introduce_response_listeners *listeners;
    out->peers = arena_array(arena, in->peer_count + 1, sizeof *out->peers);
    out->endpoints = arena_array(arena, in->endpoint_count, sizeof *out->endpoints);
    out->voters = arena_array(arena, in->voters.count + 1, sizeof *out->voters);
    listeners = arena_array(arena, in->voters.count + 1, sizeof *listeners);
    if (!out->peers || !out->endpoints || !out->voters || !listeners) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < in->peer_count; i++) {
        out->peers[out->peers_count++] = wire_string_of(in->peers[i]);
    }
    for (uint32_t i = 0; i < in->endpoint_count; i++) {
        const struct founding_endpoint *e = &in->endpoints[i];
        out->endpoints[out->endpoints_count++] = (struct introduce_response_endpoints){
            wire_string_of(e->name), wire_string_of(e->host), e->port};
    }
    for (uint32_t i = 0; i < in->voters.count; i++) {
        const struct voter *v = &in->voters.list[i];
        listeners[i] = (struct introduce_response_listeners){wire_string_of(v->name),
                                                             wire_string_of(v->host), v->port};
        out->voters[out->voters_count++] =
            (struct introduce_response_voters){v->id.node, v->id.directory, &listeners[i], 1};
    }
    return 0;
}

int introduction_write(struct introduce_response *out, const struct introduction *in, int error,
                       const char *why, struct arena *arena)
{
    assert(in || error);
    introduce_response_init(out);
    out->error_code = error_to_wire(error);
    out->error_message = wire_string_of(why);
    if (!in) {
        return 0;
    }
    out->cluster_id = in->cluster_id;
    out->node_id = in->node_id;
    out->directory_id = in->directory_id;
    out->incarnation_id = in->incarnation_id;
    out->software_version = wire_string_of(in->version);
    out->leader_id = in->leader_id;
    out->leader_epoch = in->leader_epoch;
    return write_lists(out, in, arena);
}
