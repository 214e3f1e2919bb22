/* SPDX-License-Identifier: Apache-2.0 */

/* Members: what they have said, and what they were assigned. */
#include "coord/member.h"

#include "coord/protocols.h"

#include <stdio.h>

enum { UNIQUE_BYTES = 16, GROWING_BYTES = 8, STEM_MAX = 255 };

static const uint64_t ms_ns = 1000000;

static struct bytes key_of(const char *text)
{
    return bytes_of_string(text);
}

struct member *member_find(struct group *g, struct wire_string id)
{
    return id.size > 0 ? map_get(&g->by_id, wire_string_bytes(id)) : NULL;
}

struct member *member_by_instance(struct group *g, struct wire_string instance)
{
    return instance.size > 0 ? map_get(&g->by_instance, wire_string_bytes(instance)) : NULL;
}

/* How much of a name goes into a member id: an id is a string of the protocol and a text here. */
static size_t stem_size(struct bytes name)
{
    size_t size = 0;
    while (size < name.size && size < STEM_MAX && name.data[size] != 0) {
        size++;
    }
    while (size > 0 && size < name.size && (name.data[size] & 0xc0) == 0x80) {
        size--; /* no character is cut */
    }
    return size;
}

char *member_id_make(struct group *g, const struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    struct bytes stem =
        wire_string_bytes(q->group_instance_id.size >= 0 ? q->group_instance_id : c->client_id);
    uint8_t unique[UNIQUE_BYTES];
    put_be32(unique, (uint32_t)g->epoch);
    put_be32(unique + 4, ++g->host->ids_made);
    io_random(g->host->io, unique + GROWING_BYTES, sizeof unique - GROWING_BYTES);
    size_t size = stem_size(stem);
    char *id = memory_alloc(g->host->memory, size + 1 + 2 * sizeof unique + 1);
    if (!id) {
        return NULL;
    }
    if (size) {
        memcpy(id, stem.data, size);
    }
    id[size++] = '-';
    for (size_t i = 0; i < sizeof unique; i++, size += 2) {
        snprintf(id + size, 3, "%02x", unique[i]);
    }
    return id;
}

/* The digits that tell when it was made; NULL: it is none of ours. */
static const char *growing_part(struct bytes id)
{
    return id.size > 2 * UNIQUE_BYTES ? (const char *)id.data + id.size - 2 * UNIQUE_BYTES : NULL;
}

int member_check_id(const struct member *m, struct wire_string id)
{
    if (wire_string_equal(id, wire_string_of(m->id))) {
        return 0;
    }
    if (id.size <= 0) {
        return ERR_UNKNOWN_MEMBER_ID; /* it has been told so, and has not joined again yet */
    }
    const char *asks = growing_part(wire_string_bytes(id)), *has = growing_part(key_of(m->id));
    bool later = asks && has && memcmp(asks, has, 2 * GROWING_BYTES) > 0;
    return later ? ERR_UNKNOWN_MEMBER_ID : ERR_FENCED_INSTANCE_ID;
}

/* --- protocols -------------------------------------------------------------------------------- */

static char *text_copy(struct group *g, struct wire_string s)
{
    return memory_string(g->host->memory, s.size > 0 ? s.data : "",
                         s.size > 0 ? (size_t)s.size : 0);
}

/* Names and metadata stand behind the array. */
static size_t protocols_size(const struct join_group_request_protocols *in, int32_t count)
{
    size_t size = (size_t)count * sizeof(struct member_protocol);
    for (int32_t i = 0; i < count; i++) {
        size += wire_string_bytes(in[i].name).size;
        size += in[i].metadata.size > 0 ? (size_t)in[i].metadata.size : 0;
    }
    return size;
}

static struct member_protocol *protocols_copy(struct group *g,
                                              const struct join_group_request_protocols *in,
                                              int32_t count)
{
    struct member_protocol *out = memory_alloc(g->host->memory, protocols_size(in, count));
    if (!out) {
        return NULL;
    }
    char *at = (char *)(out + count);
    for (int32_t i = 0; i < count; i++) {
        int32_t name = in[i].name.size > 0 ? in[i].name.size : 0;
        int32_t metadata = in[i].metadata.size > 0 ? in[i].metadata.size : 0;
        out[i].name = (struct wire_string){at, name};
        if (name) {
            memcpy(at, in[i].name.data, (size_t)name);
        }
        at += name;
        out[i].metadata = (struct wire_bytes){(uint8_t *)at, metadata};
        if (metadata) {
            memcpy(at, in[i].metadata.data, (size_t)metadata);
        }
        at += metadata;
    }
    return out;
}

bool member_same(const struct member *m, const struct join_group_request *q)
{
    if (m->protocol_count != q->protocols_count) {
        return false;
    }
    for (int32_t i = 0; i < m->protocol_count; i++) {
        if (!wire_string_equal(m->protocols[i].name, q->protocols[i].name) ||
            !wire_bytes_equal(m->protocols[i].metadata, q->protocols[i].metadata)) {
            return false;
        }
    }
    return true;
}

/* --- life ------------------------------------------------------------------------------------- */

static void member_drop(struct member *m)
{
    struct memory *memory = m->group->host->memory;
    memory_free(memory, m->id);
    memory_free(memory, m->instance);
    memory_free(memory, m->client_id);
    memory_free(memory, m->client_host);
    memory_free(memory, m->protocols);
    memory_free(memory, m->assignment);
    memory_free(memory, m->next);
    memory_free(memory, m);
}

/* Puts a member whose texts are set into the group. */
static struct member *member_enter(struct member *m)
{
    struct group *g = m->group;
    bool complete = m->id && m->client_id && m->client_host && m->protocols;
    if (!complete || protocols_count(g, m->protocols, m->protocol_count) != 0) {
        goto drop;
    }
    if (map_add(&g->by_id, key_of(m->id), m) != 0) {
        goto uncount;
    }
    if (m->instance && map_add(&g->by_instance, key_of(m->instance), m) != 0) {
        goto unmap;
    }
    list_append(&g->members, &m->link);
    g->member_count++;
    return m;

unmap:
    map_remove(&g->by_id, key_of(m->id));
uncount:
    protocols_uncount(g, m->protocols, m->protocol_count);
drop:
    member_drop(m);
    return NULL;
}

struct member *member_new(struct group *g, struct wire_string id, const struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    struct memory *memory = g->host->memory;
    struct member *m = memory_alloc(memory, sizeof *m);
    if (!m) {
        return NULL;
    }
    m->group = g;
    list_init(&m->link);
    m->id = text_copy(g, id);
    m->client_id = text_copy(g, c->client_id);
    m->client_host = memory_string(memory, c->client_host, strlen(c->client_host));
    m->protocols = protocols_copy(g, q->protocols, q->protocols_count);
    m->protocol_count = q->protocols_count;
    m->protocols_size = protocols_size(q->protocols, q->protocols_count);
    m->session_ms = q->session_timeout_ms;
    m->rebalance_ms = q->rebalance_timeout_ms > 0 ? q->rebalance_timeout_ms : q->session_timeout_ms;
    if (q->group_instance_id.size >= 0 && !(m->instance = text_copy(g, q->group_instance_id))) {
        member_drop(m);
        return NULL;
    }
    return member_enter(m);
}

struct member *member_replay(struct group *g, const struct group_metadata_value_member_metadata *in,
                             struct wire_string protocol)
{
    struct member *m = memory_alloc(g->host->memory, sizeof *m);
    if (!m) {
        return NULL;
    }
    const struct join_group_request_protocols only = {protocol, in->subscription};
    m->group = g;
    list_init(&m->link);
    m->id = text_copy(g, in->member_id);
    m->client_id = text_copy(g, in->client_id);
    m->client_host = text_copy(g, in->client_host);
    m->protocols = protocols_copy(g, &only, 1);
    m->protocol_count = 1;
    m->protocols_size = protocols_size(&only, 1);
    m->session_ms = in->session_timeout;
    m->rebalance_ms = in->rebalance_timeout > 0 ? in->rebalance_timeout : in->session_timeout;
    if ((in->group_instance_id.size >= 0 && !(m->instance = text_copy(g, in->group_instance_id))) ||
        member_assign(m, in->assignment) != 0) {
        member_drop(m);
        return NULL;
    }
    member_adopt(m);
    return member_enter(m);
}

void member_remove(struct member *m, int error)
{
    struct group *g = m->group;
    deadline_cancel(g->host->deadlines, &m->session);
    map_remove(&g->by_id, key_of(m->id));
    if (m->instance) {
        map_remove(&g->by_instance, key_of(m->instance));
    }
    protocols_uncount(g, m->protocols, m->protocol_count);
    list_remove(&m->link);
    g->member_count--;
    g->joined_count -= m->join ? 1 : 0;
    if (g->leader == m) {
        g->leader = NULL;
    }
    struct coord_call *join = m->join, *sync = m->sync;
    member_drop(m);
    if (join) {
        call_answer(join, error);
    }
    if (sync) {
        call_answer(sync, error);
    }
}

int member_update(struct member *m, const struct coord_call *c)
{
    const struct join_group_request *q = c->request;
    struct group *g = m->group;
    size_t size = protocols_size(q->protocols, q->protocols_count);
    bool fits = size <= m->protocols_size || group_has_room(g->host);
    struct member_protocol *protocols =
        fits ? protocols_copy(g, q->protocols, q->protocols_count) : NULL;
    if (!protocols || protocols_count(g, protocols, q->protocols_count) != 0) {
        memory_free(g->host->memory, protocols);
        return ERR_NO_MEMORY;
    }
    protocols_uncount(g, m->protocols, m->protocol_count);
    memory_free(g->host->memory, m->protocols);
    m->protocols = protocols;
    m->protocol_count = q->protocols_count;
    m->protocols_size = size;
    m->session_ms = q->session_timeout_ms;
    m->rebalance_ms = q->rebalance_timeout_ms > 0 ? q->rebalance_timeout_ms : q->session_timeout_ms;
    return 0;
}

int member_rename(struct member *m, struct wire_string id)
{
    struct group *g = m->group;
    char *copy = text_copy(g, id);
    if (!copy || map_add(&g->by_id, key_of(copy), m) != 0) {
        memory_free(g->host->memory, copy);
        return ERR_NO_MEMORY;
    }
    map_remove(&g->by_id, key_of(m->id));
    memory_free(g->host->memory, m->id);
    m->id = copy;
    return 0;
}

void member_alive(struct member *m)
{
    struct group_host *h = m->group->host;
    m->expires_ns = io_now(h->io) + (uint64_t)m->session_ms * ms_ns;
}

int member_assign(struct member *m, struct wire_bytes assignment)
{
    size_t size = assignment.size > 0 ? (size_t)assignment.size : 0;
    uint8_t *copy = memory_alloc(m->group->host->memory, size);
    if (!copy) {
        return ERR_NO_MEMORY;
    }
    if (size) {
        memcpy(copy, assignment.data, size);
    }
    memory_free(m->group->host->memory, m->next);
    m->next = copy;
    m->next_size = (int32_t)size;
    return 0;
}

void member_unassign(struct member *m)
{
    memory_free(m->group->host->memory, m->next);
    m->next = NULL;
    m->next_size = 0;
}

void member_adopt(struct member *m)
{
    assert(m->next);
    memory_free(m->group->host->memory, m->assignment);
    m->assignment = m->next;
    m->assignment_size = m->next_size;
    m->next = NULL;
    m->next_size = 0;
}
