/* SPDX-License-Identifier: Apache-2.0 */

#include "fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void blob_set(struct coord_blob *b, const void *data, int32_t size)
{
    free(b->data);
    b->size = size > 0 ? (size_t)size : 0;
    b->data = malloc(b->size + 1);
    memcpy(b->data, data ? data : "", b->size);
}

void coord_text(char *out, size_t room, struct wire_string s)
{
    snprintf(out, room, "%.*s", s.size > 0 ? (int)s.size : 0, s.size > 0 ? s.data : "");
}

struct coord_group *coord_find(struct fake_broker *b, const char *name)
{
    for (int i = 0; i < COORD_GROUPS; i++) {
        struct coord_group *g = &b->coordinated[i];
        if (!g->name[0]) {
            snprintf(g->name, sizeof g->name, "%s", name);
        }
        if (strcmp(g->name, name) == 0) {
            return g;
        }
    }
    abort();
}

struct coord_committed *coord_offset(struct coord_group *g, const char *topic, int32_t partition)
{
    for (int i = 0; i < g->offset_count; i++) {
        if (g->offsets[i].partition == partition && strcmp(g->offsets[i].topic, topic) == 0) {
            return &g->offsets[i];
        }
    }
    if (g->offset_count == COORD_OFFSETS) {
        abort();
    }
    struct coord_committed *o = &g->offsets[g->offset_count++];
    snprintf(o->topic, sizeof o->topic, "%s", topic);
    o->partition = partition;
    o->offset = o->leader_epoch = -1;
    return o;
}

static struct coord_member *member_find(struct coord_group *g, const char *id)
{
    for (int i = 0; i < COORD_MEMBERS; i++) {
        if (g->members[i].used && strcmp(g->members[i].id, id) == 0) {
            return &g->members[i];
        }
    }
    return NULL;
}

static struct coord_member *member_of_instance(struct coord_group *g, const char *instance)
{
    for (int i = 0; i < COORD_MEMBERS; i++) {
        if (g->members[i].used && instance[0] && strcmp(g->members[i].instance, instance) == 0) {
            return &g->members[i];
        }
    }
    return NULL;
}

int coord_members(const struct coord_group *g)
{
    int count = 0;
    for (int i = 0; i < COORD_MEMBERS; i++) {
        count += g->members[i].used;
    }
    return count;
}

static void member_free(struct coord_member *m)
{
    for (int i = 0; i < COORD_PROTOCOLS; i++) {
        free(m->protocols[i].metadata.data);
    }
    free(m->assignment.data);
    *m = (struct coord_member){0};
}

void coord_alive(struct fake_broker *b, struct coord_member *m)
{
    m->expires_ns = (uint64_t)io_now(b->io) + (uint64_t)m->session_ms * 1000000;
}

/* --- generations --- */

static void group_prepare(struct fake_broker *b, struct coord_group *g)
{
    if (g->state == COORD_PREPARING) {
        return;
    }
    int32_t longest = 0;
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *m = &g->members[i];
        m->joined = false;
        longest = m->used && m->rebalance_ms > longest ? m->rebalance_ms : longest;
    }
    int32_t wait = g->state == COORD_EMPTY ? b->initial_delay_ms : longest;
    g->initial = g->state == COORD_EMPTY;
    g->state = COORD_PREPARING;
    g->round_ends_ns = io_now(b->io) + (uint64_t)wait * 1000000;
}

/* The first protocol of the first member that all have. */
static const char *group_protocol(struct coord_group *g)
{
    struct coord_member *first = NULL;
    for (int i = 0; i < COORD_MEMBERS && !first; i++) {
        first = g->members[i].used ? &g->members[i] : NULL;
    }
    for (int k = 0; first && k < first->protocol_count; k++) {
        bool all = true;
        for (int i = 0; i < COORD_MEMBERS; i++) {
            bool has = !g->members[i].used;
            for (int j = 0; j < g->members[i].protocol_count; j++) {
                has |= strcmp(g->members[i].protocols[j].name, first->protocols[k].name) == 0;
            }
            all &= has;
        }
        if (all) {
            return first->protocols[k].name;
        }
    }
    return "";
}

static void group_complete(struct fake_broker *b, struct coord_group *g)
{
    bool all = true, leads = false;
    for (int i = 0; i < COORD_MEMBERS; i++) {
        all &= !g->members[i].used || g->members[i].joined;
    }
    bool over = (uint64_t)io_now(b->io) >= g->round_ends_ns;
    if (g->state != COORD_PREPARING || (!over && (!all || g->initial))) {
        return;
    }
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *m = &g->members[i];
        if (m->used && !m->joined && !m->instance[0]) {
            member_free(m);
        }
    }
    if (coord_members(g) == 0) {
        g->state = COORD_EMPTY;
        return;
    }
    g->generation++;
    b->group_counts.generations++;
    g->state = COORD_COMPLETING;
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *m = &g->members[i];
        if (m->used) {
            m->complete = true;
            coord_alive(b, m);
            leads |= strcmp(m->id, g->leader) == 0;
        }
    }
    for (int i = 0; i < COORD_MEMBERS && !leads; i++) {
        if (g->members[i].used) {
            memcpy(g->leader, g->members[i].id, sizeof g->leader);
            leads = true;
        }
    }
    snprintf(g->protocol, sizeof g->protocol, "%s", group_protocol(g));
}

static void group_drop(struct fake_broker *b, struct coord_group *g, struct coord_member *m)
{
    member_free(m);
    if (coord_members(g) == 0) {
        g->state = COORD_EMPTY;
        g->leader[0] = 0;
        for (int i = 0; i < g->offset_count; i++) {
            g->offsets[i].owner[0] = 0;
        }
    } else if (g->state != COORD_PREPARING) {
        group_prepare(b, g);
    }
}

static void group_tick(struct fake_broker *b, struct coord_group *g)
{
    uint64_t now = io_now(b->io);
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *m = &g->members[i];
        if (m->used && now >= m->expires_ns && !(g->state == COORD_PREPARING && m->waiting)) {
            group_drop(b, g, m);
        }
    }
    group_complete(b, g);
}

/* What is in the log now. */
static void group_save(struct fake_broker *b, struct coord_group *g)
{
    struct coord_group *s = &b->saved[g - b->coordinated];
    for (int i = 0; i < COORD_MEMBERS; i++) {
        member_free(&s->members[i]);
    }
    *s = *g;
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *m = &s->members[i];
        m->waiting = NULL;
        struct coord_blob assignment = m->assignment;
        m->assignment = (struct coord_blob){NULL, 0};
        blob_set(&m->assignment, assignment.data, (int32_t)assignment.size);
        for (int k = 0; k < COORD_PROTOCOLS; k++) {
            struct coord_blob metadata = m->protocols[k].metadata;
            m->protocols[k].metadata = (struct coord_blob){NULL, 0};
            blob_set(&m->protocols[k].metadata, metadata.data, (int32_t)metadata.size);
        }
    }
}

/* --- JoinGroup --- */

static bool member_matches(const struct coord_member *m, const struct join_group_request *in)
{
    if (m->protocol_count != in->protocols_count) {
        return false;
    }
    for (int i = 0; i < m->protocol_count; i++) {
        const struct wire_bytes *now = &in->protocols[i].metadata;
        if (m->protocols[i].metadata.size != (size_t)now->size ||
            memcmp(m->protocols[i].metadata.data, now->data, (size_t)now->size) != 0) {
            return false;
        }
    }
    return true;
}

static void member_update(struct coord_member *m, const struct join_group_request *in)
{
    m->session_ms = in->session_timeout_ms;
    m->rebalance_ms = in->rebalance_timeout_ms;
    m->protocol_count =
        in->protocols_count < COORD_PROTOCOLS ? in->protocols_count : COORD_PROTOCOLS;
    for (int i = 0; i < m->protocol_count; i++) {
        coord_text(m->protocols[i].name, sizeof m->protocols[i].name, in->protocols[i].name);
        blob_set(&m->protocols[i].metadata, in->protocols[i].metadata.data,
                 in->protocols[i].metadata.size);
    }
}

static struct coord_member *member_add(struct coord_group *g)
{
    for (int i = 0; i < COORD_MEMBERS; i++) {
        if (!g->members[i].used) {
            g->members[i].used = true;
            return &g->members[i];
        }
    }
    return NULL;
}

static bool group_common(struct coord_group *g, const struct join_group_request *in)
{
    for (int k = 0; k < in->protocols_count; k++) {
        bool all = true;
        for (int i = 0; i < COORD_MEMBERS; i++) {
            bool has = !g->members[i].used;
            for (int j = 0; j < g->members[i].protocol_count; j++) {
                has |= wire_string_equal(in->protocols[k].name,
                                         wire_string_of(g->members[i].protocols[j].name));
            }
            all &= has;
        }
        if (all) {
            return true;
        }
    }
    return false;
}

/* A static member comes back and gets another id. */
static void join_return(struct fake_broker *b, struct coord_group *g, struct coord_member *m,
                        const char *instance, char *id, size_t id_room)
{
    bool led = strcmp(g->leader, m->id) == 0;
    char old[96];
    memcpy(old, m->id, sizeof old);
    snprintf(m->id, sizeof m->id, "%s-%llu", instance, (unsigned long long)++b->next_member);
    snprintf(id, id_room, "%s", m->id);
    if (led) {
        memcpy(g->leader, m->id, sizeof g->leader);
    }
    for (int i = 0; i < g->offset_count; i++) {
        if (strcmp(g->offsets[i].owner, old) == 0) {
            memcpy(g->offsets[i].owner, m->id, sizeof m->id);
        }
    }
}

/* The wire code of a first call, and who waits: 0 and *out, or an error. */
static int16_t join_begin(struct fake_broker *b, struct coord_group *g,
                          const struct join_group_request *in, int version,
                          struct coord_member **out, char *id, size_t id_room)
{
    char instance[64];
    coord_text(id, id_room, in->member_id);
    coord_text(instance, sizeof instance, in->group_instance_id);
    struct coord_member *m = id[0] ? member_find(g, id) : member_of_instance(g, instance);
    if (instance[0] && id[0]) {
        struct coord_member *holder = member_of_instance(g, instance);
        if (!holder || strcmp(holder->id, id) != 0) {
            return holder ? 82 : 25;
        }
    }
    if (in->session_timeout_ms < b->session_ms_min) {
        return 26;
    }
    if (!id[0] && !m) {
        snprintf(id, id_room, "%s-%llu", instance[0] ? instance : "member",
                 (unsigned long long)++b->next_member);
        if (!instance[0] && version >= 4) {
            snprintf(b->pending[b->pending_next++ % COORD_MEMBERS], 96, "%s", id);
            return 79;
        }
    }
    bool pending = false;
    for (int i = 0; i < COORD_MEMBERS && id[0]; i++) {
        if (strcmp(b->pending[i], id) == 0) {
            pending = true;
            b->pending[i][0] = 0;
        }
    }
    if (!m && !pending && !instance[0]) {
        return 25;
    }
    if (!m && !group_common(g, in)) {
        return 23;
    }
    bool returns = m && !id[0]; /* a static member, under a new id */
    bool same = m && member_matches(m, in);
    if (!m) {
        m = member_add(g);
        if (!m) {
            return 81;
        }
        snprintf(m->id, sizeof m->id, "%s", id);
        snprintf(m->instance, sizeof m->instance, "%s", instance);
    }
    if (returns) {
        join_return(b, g, m, instance, id, id_room);
    }
    member_update(m, in);
    if (returns && g->state == COORD_STABLE) {
        group_save(b, g); /* another id is in the log at once */
    }
    *out = m;
    bool leads = strcmp(g->leader, m->id) == 0;
    if (g->state == COORD_STABLE && (returns || same) && (returns || !leads)) {
        return 0;
    }
    if (g->state == COORD_COMPLETING && same && !returns) {
        return 0;
    }
    group_prepare(b, g);
    m->joined = true;
    m->complete = false;
    return 0;
}

static void join_fill(struct coord_group *g, struct coord_member *m,
                      struct join_group_response *out, int version, struct arena *arena)
{
    bool leads = strcmp(g->leader, m->id) == 0;
    out->generation_id = g->generation;
    out->protocol_type = wire_string_of("consumer");
    out->protocol_name = wire_string_of(g->protocol);
    out->leader = wire_string_of(g->leader);
    out->member_id = wire_string_of(m->id);
    if (leads && g->state == COORD_STABLE) {
        if (version >= 9) {
            out->skip_assignment = true;
        } else {
            out->leader = wire_string_of(""); /* as Kafka: no leader, nothing to assign */
            return;
        }
    }
    if (!leads) {
        return;
    }
    out->members = arena_array(arena, COORD_MEMBERS, sizeof *out->members);
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *o = &g->members[i];
        for (int k = 0; o->used && k < o->protocol_count; k++) {
            if (strcmp(o->protocols[k].name, g->protocol) == 0) {
                struct join_group_response_members *to = &out->members[out->members_count++];
                join_group_response_members_init(to);
                to->member_id = wire_string_of(o->id);
                to->group_instance_id = wire_string_of(o->instance[0] ? o->instance : NULL);
                to->metadata = (struct wire_bytes){o->protocols[k].metadata.data,
                                                   (int32_t)o->protocols[k].metadata.size};
            }
        }
    }
}

static int answer_join(struct fake_broker *b, struct peer *p, struct reader *r, int version,
                       struct wire_writer *w, struct arena *arena, int16_t code, bool *wait)
{
    struct join_group_request in;
    struct join_group_response out;
    char name[64], id[96] = "";
    int error = join_group_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    join_group_response_init(&out);
    out.protocol_name = wire_string_of("");
    b->group_counts.join_requests++;
    code = b->join_refusal ? b->join_refusal : code;
    coord_text(name, sizeof name, in.group_id);
    struct coord_group *g = coord_find(b, name);
    struct coord_member *m = NULL;
    if (p->waited_ns > 0) {
        for (int i = 0; i < COORD_MEMBERS; i++) {
            m = g->members[i].waiting == p ? &g->members[i] : m;
        }
        code = code ? code : m ? 0 : 25;
    } else if (!code) {
        b->group_counts.joins++;
        code = join_begin(b, g, &in, version, &m, id, sizeof id);
    }
    if (m) {
        m->waiting = p;
        group_complete(b, g);
        coord_alive(b, m);
    }
    if (!code && g->state == COORD_PREPARING && !m->complete) {
        *wait = true;
        return 0;
    }
    out.error_code = code;
    out.member_id = wire_string_of(id);
    if (m) {
        m->waiting = NULL;
    }
    if (!code) {
        join_fill(g, m, &out, version, arena);
    }
    return join_group_response_encode(&out, w, version);
}

/* --- SyncGroup --- */

/* Notes who owns what from now on; a partition with two owners is counted. */
static void group_own(struct fake_broker *b, struct coord_group *g, struct arena *arena)
{
    for (int i = 0; i < g->offset_count; i++) {
        g->offsets[i].owner[0] = 0;
    }
    for (int i = 0; i < COORD_MEMBERS; i++) {
        struct coord_member *m = &g->members[i];
        struct consumer_protocol_assignment a;
        struct reader r = reader_of(m->assignment.data, m->assignment.size);
        if (!m->used || m->assignment.size == 0) {
            continue;
        }
        (void)reader_be16(&r);
        if (consumer_protocol_assignment_decode(&a, &r, 0, arena)) {
            b->group_counts.unsubscribed++;
            continue;
        }
        for (int32_t t = 0; t < a.assigned_partitions_count; t++) {
            char topic[64];
            coord_text(topic, sizeof topic, a.assigned_partitions[t].topic);
            for (int32_t k = 0; k < a.assigned_partitions[t].partitions_count; k++) {
                struct coord_committed *o =
                    coord_offset(g, topic, a.assigned_partitions[t].partitions[k]);
                b->group_counts.doubles += o->owner[0] != 0;
                memcpy(o->owner, m->id, sizeof o->owner);
            }
        }
    }
}

static int16_t sync_lead(struct fake_broker *b, struct coord_group *g,
                         const struct sync_group_request *in, struct arena *arena)
{
    if (b->generations_too_large) {
        return 10;
    }
    for (int i = 0; i < COORD_MEMBERS; i++) {
        blob_set(&g->members[i].assignment, NULL, 0);
    }
    for (int32_t i = 0; i < in->assignments_count; i++) {
        char id[96];
        coord_text(id, sizeof id, in->assignments[i].member_id);
        struct coord_member *m = member_find(g, id);
        if (m) {
            blob_set(&m->assignment, in->assignments[i].assignment.data,
                     in->assignments[i].assignment.size);
        }
    }
    g->state = COORD_STABLE;
    group_own(b, g, arena);
    group_save(b, g);
    return 0;
}

int16_t coord_check(struct coord_group *g, struct wire_string member_id,
                    struct wire_string instance_id, int32_t generation, struct coord_member **out)
{
    char id[96], instance[64];
    coord_text(id, sizeof id, member_id);
    coord_text(instance, sizeof instance, instance_id);
    struct coord_member *m = member_find(g, id);
    struct coord_member *holder = member_of_instance(g, instance);
    *out = m;
    return holder && holder != m ? 82 : !m ? 25 : generation != g->generation ? 22 : 0;
}

static int answer_sync(struct fake_broker *b, struct peer *p, struct reader *r, int version,
                       struct wire_writer *w, struct arena *arena, int16_t code, bool *wait)
{
    struct sync_group_request in;
    struct sync_group_response out;
    struct coord_member *m = NULL;
    char name[64];
    int error = sync_group_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    sync_group_response_init(&out);
    coord_text(name, sizeof name, in.group_id);
    struct coord_group *g = coord_find(b, name);
    if (!code) {
        code = coord_check(g, in.member_id, in.group_instance_id, in.generation_id, &m);
    }
    if (!code && g->state == COORD_PREPARING) {
        code = 27;
    }
    if (!code) {
        coord_alive(b, m);
        if (g->state == COORD_COMPLETING && strcmp(g->leader, m->id) == 0) {
            code = sync_lead(b, g, &in, arena);
        } else if (g->state == COORD_COMPLETING) {
            *wait = true;
            return 0;
        }
    }
    out.error_code = code;
    if (!code) {
        out.protocol_type = wire_string_of("consumer");
        out.protocol_name = wire_string_of(g->protocol);
        out.assignment = (struct wire_bytes){m->assignment.data, (int32_t)m->assignment.size};
    }
    return sync_group_response_encode(&out, w, version);
}

/* --- the others --- */

static int answer_beat(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                       struct arena *arena, int16_t code)
{
    struct heartbeat_request in;
    struct heartbeat_response out;
    struct coord_member *m = NULL;
    char name[64];
    int error = heartbeat_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    heartbeat_response_init(&out);
    coord_text(name, sizeof name, in.group_id);
    struct coord_group *g = coord_find(b, name);
    b->group_counts.beats++;
    if (!code) {
        code = coord_check(g, in.member_id, in.group_instance_id, in.generation_id, &m);
    }
    if (!code) {
        coord_alive(b, m);
        code = g->state == COORD_PREPARING ? 27 : 0;
    }
    out.error_code = code;
    return heartbeat_response_encode(&out, w, version);
}

static int answer_leave(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                        struct arena *arena, int16_t code)
{
    struct leave_group_request in;
    struct leave_group_response out;
    char name[64], id[96];
    int error = leave_group_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    leave_group_response_init(&out);
    coord_text(name, sizeof name, in.group_id);
    struct coord_group *g = coord_find(b, name);
    out.error_code = code;
    for (int32_t i = 0; !code && i < (version >= 3 ? in.members_count : 1); i++) {
        coord_text(id, sizeof id, version >= 3 ? in.members[i].member_id : in.member_id);
        struct coord_member *m = member_find(g, id);
        if (m) {
            group_drop(b, g, m);
            group_complete(b, g);
        }
    }
    return leave_group_response_encode(&out, w, version);
}

static int answer_find(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                       struct arena *arena)
{
    struct find_coordinator_request in;
    struct find_coordinator_response out;
    struct find_coordinator_response_coordinators found;
    int error = find_coordinator_request_decode(&in, r, version, arena);
    if (error || version < 4 || in.coordinator_keys_count != 1) {
        return error ? error : ERR_UNSUPPORTED_VERSION;
    }
    b->group_counts.finds++;
    find_coordinator_response_init(&out);
    find_coordinator_response_coordinators_init(&found);
    found.key = in.coordinator_keys[0];
    found.node_id = b->coordinator;
    found.host = wire_string_of(b->host);
    found.port = b->listeners[b->coordinator - 1].port;
    out.coordinators = &found;
    out.coordinators_count = 1;
    return find_coordinator_response_encode(&out, w, version);
}

bool coord_handles(int16_t key)
{
    return key == WIRE_FIND_COORDINATOR || key == WIRE_JOIN_GROUP || key == WIRE_SYNC_GROUP ||
           key == WIRE_HEARTBEAT || key == WIRE_LEAVE_GROUP || key == WIRE_OFFSET_COMMIT ||
           key == WIRE_OFFSET_FETCH;
}

int coord_answer(struct fake_broker *b, struct peer *p, int16_t key, struct reader *r, int version,
                 struct wire_writer *w, struct arena *arena, bool *wait)
{
    int16_t code = p->node != b->coordinator                       ? 16
                   : (uint64_t)io_now(b->io) < b->loading_until_ns ? 14
                                                                   : 0;
    for (int i = 0; i < COORD_GROUPS; i++) {
        if (b->coordinated[i].name[0] && !code) {
            group_tick(b, &b->coordinated[i]);
        }
    }
    switch (key) {
    case WIRE_FIND_COORDINATOR:
        return answer_find(b, r, version, w, arena);
    case WIRE_JOIN_GROUP:
        return answer_join(b, p, r, version, w, arena, code, wait);
    case WIRE_SYNC_GROUP:
        return answer_sync(b, p, r, version, w, arena, code, wait);
    case WIRE_HEARTBEAT:
        return answer_beat(b, r, version, w, arena, code);
    case WIRE_LEAVE_GROUP:
        return answer_leave(b, r, version, w, arena, code);
    case WIRE_OFFSET_COMMIT:
        return coord_commit(b, r, version, w, arena, code);
    default:
        return coord_fetch(b, r, version, w, arena, code);
    }
}

void coord_forget(struct fake_broker *b, struct peer *p)
{
    for (int i = 0; i < COORD_GROUPS; i++) {
        for (int k = 0; k < COORD_MEMBERS; k++) {
            struct coord_member *m = &b->coordinated[i].members[k];
            m->waiting = m->waiting == p ? NULL : m->waiting;
        }
    }
}

void coord_move(struct fake_broker *b, int32_t coordinator)
{
    b->coordinator = coordinator;
    for (int i = 0; i < COORD_GROUPS; i++) {
        struct coord_group *g = &b->coordinated[i], *s = &b->saved[i];
        if (!g->name[0] || !s->name[0]) {
            continue;
        }
        /* Offsets are in the log one by one, the group as of its last stable generation. */
        for (int k = 0; k < g->offset_count; k++) {
            char owner[96] = "";
            if (k < s->offset_count) {
                memcpy(owner, s->offsets[k].owner, sizeof owner);
            }
            s->offsets[k] = g->offsets[k];
            memcpy(s->offsets[k].owner, owner, sizeof owner);
        }
        s->offset_count = g->offset_count;
        for (int k = 0; k < COORD_MEMBERS; k++) {
            member_free(&g->members[k]);
            if (s->members[k].used) {
                coord_alive(b, &s->members[k]);
            }
        }
        *g = *s;
        *s = (struct coord_group){0};
        group_save(b, g);
    }
}

void coord_free(struct fake_broker *b)
{
    for (int i = 0; i < COORD_GROUPS; i++) {
        for (int k = 0; k < COORD_MEMBERS; k++) {
            member_free(&b->coordinated[i].members[k]);
            member_free(&b->saved[i].members[k]);
        }
    }
}
