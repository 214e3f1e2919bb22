/* SPDX-License-Identifier: Apache-2.0 */

/* The fake broker's groups, as far as administration goes: no member ever joins, tests put them there.
 */
#include "fake_private.h"

#include <stdio.h>
#include <string.h>

enum {
    NOT_COORDINATOR = 16,
    UNKNOWN_MEMBER_ID = 25,
    NON_EMPTY_GROUP = 68,
    GROUP_ID_NOT_FOUND = 69
};

static struct fake_group *group_find(struct fake_broker *b, struct wire_string name)
{
    for (unsigned i = 0; i < b->group_count; i++) {
        if (wire_string_equal(name, wire_string_of(b->groups[i].name))) {
            return &b->groups[i];
        }
    }
    return NULL;
}

static struct fake_group *group_make(struct fake_broker *b, struct wire_string name)
{
    struct fake_group *g = group_find(b, name);
    if (!g && b->group_count < GROUPS && name.size < 64) {
        g = &b->groups[b->group_count++];
        *g = (struct fake_group){.state = "Empty"};
        memcpy(g->name, name.data, (size_t)name.size);
    }
    return g;
}

static int64_t *group_offset(struct fake_group *g, struct wire_string topic, int32_t partition,
                             bool make)
{
    for (int i = 0; i < g->offset_count; i++) {
        if (g->offsets[i].partition == partition &&
            wire_string_equal(topic, wire_string_of(g->offsets[i].topic))) {
            return &g->offsets[i].offset;
        }
    }
    if (!make || g->offset_count == GROUP_OFFSETS || topic.size >= 64) {
        return NULL;
    }
    memcpy(g->offsets[g->offset_count].topic, topic.data, (size_t)topic.size);
    g->offsets[g->offset_count].topic[topic.size] = 0;
    g->offsets[g->offset_count].partition = partition;
    return &g->offsets[g->offset_count++].offset;
}

/* The wire code that every request to a coordinator begins with. */
static int16_t group_moved(struct fake_broker *b)
{
    if (b->group_moves) {
        b->group_moves--;
        return NOT_COORDINATOR;
    }
    return 0;
}

/* --- requests --- */

static int answer_find(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                       struct arena *arena)
{
    struct find_coordinator_request in;
    struct find_coordinator_response out;
    int error = find_coordinator_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    int32_t named = b->finds_behind ? 1 : b->coordinator;
    b->finds_behind -= b->finds_behind > 0;
    find_coordinator_response_init(&out);
    if (version < 4) {
        out.node_id = named;
        out.host = wire_string_of("127.0.0.1");
        out.port = b->listeners[named - 1].port;
    }
    out.coordinators =
        arena_array(arena, (size_t)in.coordinator_keys_count + 1, sizeof *out.coordinators);
    out.coordinators_count = version >= 4 ? in.coordinator_keys_count : 0;
    for (int32_t i = 0; i < out.coordinators_count; i++) {
        find_coordinator_response_coordinators_init(&out.coordinators[i]);
        out.coordinators[i].key = in.coordinator_keys[i];
        out.coordinators[i].node_id = named;
        out.coordinators[i].host = wire_string_of("127.0.0.1");
        out.coordinators[i].port = b->listeners[named - 1].port;
    }
    return find_coordinator_response_encode(&out, w, version);
}

static int answer_list(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                       struct arena *arena)
{
    struct list_groups_response out;
    list_groups_response_init(&out);
    out.groups = arena_array(arena, GROUPS, sizeof *out.groups);
    out.groups_count = (int32_t)b->group_count;
    for (unsigned i = 0; i < b->group_count; i++) {
        list_groups_response_groups_init(&out.groups[i]);
        out.groups[i].group_id = wire_string_of(b->groups[i].name);
        out.groups[i].protocol_type = wire_string_of("consumer");
        out.groups[i].group_state = wire_string_of(b->groups[i].state);
    }
    return list_groups_response_encode(&out, w, version);
}

static int describe_member(struct describe_groups_response_members *out, const char *id,
                           const char *topic, int partitions, struct arena *arena)
{
    struct consumer_protocol_assignment assignment;
    struct consumer_protocol_assignment_assigned_partitions one;
    struct memory memory;
    struct wire_writer w;
    consumer_protocol_assignment_init(&assignment);
    consumer_protocol_assignment_assigned_partitions_init(&one);
    one.topic = wire_string_of(topic);
    one.partitions = arena_array(arena, PARTITIONS, sizeof *one.partitions);
    for (int32_t i = 0; i < partitions; i++) {
        one.partitions[one.partitions_count++] = i;
    }
    assignment.assigned_partitions = &one;
    assignment.assigned_partitions_count = 1;
    memory_init(&memory, 1 << 20);
    wire_writer_init(&w, &memory, 1 << 16);
    wire_put(&w, "\0\0", 2); /* version 0 */
    int error = consumer_protocol_assignment_encode(&assignment, &w, 0);
    uint8_t *copy = error ? NULL : arena_alloc(arena, w.size);
    if (copy) {
        memcpy(copy, w.data, w.size);
        describe_groups_response_members_init(out);
        out->member_id = wire_string_of(id);
        out->client_id = wire_string_of("fake");
        out->client_host = wire_string_of("/127.0.0.1");
        out->member_assignment = (struct wire_bytes){copy, (int32_t)w.size};
    }
    wire_writer_deinit(&w);
    memory_drop(&memory);
    return copy ? 0 : ERR_NO_MEMORY;
}

static int answer_describe(struct fake_broker *b, struct reader *r, int version,
                           struct wire_writer *w, struct arena *arena)
{
    struct describe_groups_request in;
    struct describe_groups_response out;
    int error = describe_groups_request_decode(&in, r, version, arena);
    if (error || in.groups_count != 1) {
        return error ? error : ERR_MALFORMED;
    }
    struct fake_group *g = group_find(b, in.groups[0]);
    describe_groups_response_init(&out);
    out.groups = arena_array(arena, 1, sizeof *out.groups);
    out.groups_count = 1;
    describe_groups_response_groups_init(&out.groups[0]);
    out.groups[0].group_id = in.groups[0];
    out.groups[0].error_code = group_moved(b);
    out.groups[0].group_state = wire_string_of(g ? g->state : "Dead");
    if (!g && version >= 6 && !out.groups[0].error_code) {
        out.groups[0].error_code = GROUP_ID_NOT_FOUND;
    }
    out.groups[0].protocol_type = wire_string_of(g ? "consumer" : "");
    out.groups[0].protocol_data = wire_string_of(g && g->member_count ? "range" : "");
    out.groups[0].members = arena_array(arena, GROUP_MEMBERS, sizeof *out.groups[0].members);
    for (int i = 0; g && !error && i < g->member_count; i++) {
        error =
            describe_member(&out.groups[0].members[out.groups[0].members_count++], g->members[i].id,
                            g->members[i].topic, g->members[i].partitions, arena);
    }
    return error ? error : describe_groups_response_encode(&out, w, version);
}

/* All offsets of one group, as one topic each. */
static int answer_offset_fetch(struct fake_broker *b, struct reader *r, int version,
                               struct wire_writer *w, struct arena *arena)
{
    struct offset_fetch_request in;
    struct offset_fetch_response out;
    int error = offset_fetch_request_decode(&in, r, version, arena);
    if (error || (version >= 8 && in.groups_count != 1)) {
        return error ? error : ERR_MALFORMED;
    }
    struct fake_group *g = group_find(b, version >= 8 ? in.groups[0].group_id : in.group_id);
    int count = g ? g->offset_count : 0;
    offset_fetch_response_init(&out);
    out.groups = arena_array(arena, 1, sizeof *out.groups);
    offset_fetch_response_groups_init(&out.groups[0]);
    out.groups[0].error_code = out.error_code = group_moved(b);
    out.groups_count = version >= 8;
    out.topics = arena_array(arena, GROUP_OFFSETS, sizeof *out.topics);
    out.groups[0].topics = arena_array(arena, GROUP_OFFSETS, sizeof *out.groups[0].topics);
    out.topics_count = version >= 8 ? 0 : count;
    out.groups[0].topics_count = count;
    for (int i = 0; i < count; i++) {
        wire_struct_init(&offset_fetch_response_topics_type, &out.topics[i]);
        out.topics[i].name = out.groups[0].topics[i].name = wire_string_of(g->offsets[i].topic);
        out.topics[i].partitions = arena_array(arena, 1, sizeof *out.topics[i].partitions);
        out.groups[0].topics[i].partitions =
            arena_array(arena, 1, sizeof *out.groups[0].topics[i].partitions);
        out.topics[i].partitions_count = out.groups[0].topics[i].partitions_count = 1;
        out.topics[i].partitions[0].partition_index =
            out.groups[0].topics[i].partitions[0].partition_index = g->offsets[i].partition;
        out.topics[i].partitions[0].committed_offset =
            out.groups[0].topics[i].partitions[0].committed_offset = g->offsets[i].offset;
    }
    return offset_fetch_response_encode(&out, w, version);
}

static int answer_commit(struct fake_broker *b, struct reader *r, int version,
                         struct wire_writer *w, struct arena *arena)
{
    struct offset_commit_request in;
    struct offset_commit_response out;
    int error = offset_commit_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    int16_t code = group_moved(b);
    struct fake_group *g = group_make(b, in.group_id);
    code = code ? code : (int16_t)(g && g->member_count ? UNKNOWN_MEMBER_ID : 0);
    offset_commit_response_init(&out);
    out.topics = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out.topics);
    out.topics_count = in.topics_count;
    for (int32_t i = 0; i < in.topics_count; i++) {
        int32_t count = in.topics[i].partitions_count;
        struct fake_topic *t = fake_topic_find(b, in.topics[i].name, NULL, false);
        offset_commit_response_topics_init(&out.topics[i]);
        out.topics[i].name = in.topics[i].name;
        out.topics[i].partitions =
            arena_array(arena, (size_t)count + 1, sizeof *out.topics[i].partitions);
        out.topics[i].partitions_count = count;
        for (int32_t j = 0; j < count; j++) {
            int32_t number = in.topics[i].partitions[j].partition_index;
            bool there = fake_partition_find(b, t, number) != NULL;
            out.topics[i].partitions[j].partition_index = number;
            out.topics[i].partitions[j].error_code = code ? code : there ? 0 : 3;
            int64_t *offset =
                code || !there ? NULL : group_offset(g, in.topics[i].name, number, true);
            if (offset) {
                *offset = in.topics[i].partitions[j].committed_offset;
            }
        }
    }
    return offset_commit_response_encode(&out, w, version);
}

static int answer_offset_delete(struct fake_broker *b, struct reader *r, int version,
                                struct wire_writer *w, struct arena *arena)
{
    struct offset_delete_request in;
    struct offset_delete_response out;
    int error = offset_delete_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    struct fake_group *g = group_find(b, in.group_id);
    offset_delete_response_init(&out);
    out.error_code = group_moved(b);
    out.error_code = out.error_code ? out.error_code : (int16_t)(g ? 0 : GROUP_ID_NOT_FOUND);
    out.topics = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out.topics);
    out.topics_count = out.error_code ? 0 : in.topics_count;
    for (int32_t i = 0; i < out.topics_count; i++) {
        int32_t count = in.topics[i].partitions_count;
        offset_delete_response_topics_init(&out.topics[i]);
        out.topics[i].name = in.topics[i].name;
        out.topics[i].partitions =
            arena_array(arena, (size_t)count + 1, sizeof *out.topics[i].partitions);
        out.topics[i].partitions_count = count;
        for (int32_t j = 0; j < count; j++) {
            int32_t number = in.topics[i].partitions[j].partition_index;
            int64_t *offset = group_offset(g, in.topics[i].name, number, false);
            out.topics[i].partitions[j].partition_index = number;
            if (offset) {
                *offset = -1;
            }
        }
    }
    return offset_delete_response_encode(&out, w, version);
}

static int answer_delete(struct fake_broker *b, struct reader *r, int version,
                         struct wire_writer *w, struct arena *arena)
{
    struct delete_groups_request in;
    struct delete_groups_response out;
    int error = delete_groups_request_decode(&in, r, version, arena);
    if (error || in.groups_names_count != 1) {
        return error ? error : ERR_MALFORMED;
    }
    struct fake_group *g = group_find(b, in.groups_names[0]);
    int16_t code = group_moved(b);
    delete_groups_response_init(&out);
    out.results = arena_array(arena, 1, sizeof *out.results);
    out.results_count = 1;
    delete_groups_response_results_init(&out.results[0]);
    out.results[0].group_id = in.groups_names[0];
    out.results[0].error_code = code              ? code
                                : !g              ? GROUP_ID_NOT_FOUND
                                : g->member_count ? NON_EMPTY_GROUP
                                                  : 0;
    if (g && !out.results[0].error_code) {
        *g = b->groups[--b->group_count];
    }
    return delete_groups_response_encode(&out, w, version);
}

bool fake_groups_key(int16_t key)
{
    return key == WIRE_FIND_COORDINATOR || key == WIRE_LIST_GROUPS || key == WIRE_DESCRIBE_GROUPS ||
           key == WIRE_OFFSET_FETCH || key == WIRE_OFFSET_COMMIT || key == WIRE_OFFSET_DELETE ||
           key == WIRE_DELETE_GROUPS;
}

int fake_groups_answer(struct fake_broker *b, int16_t key, struct reader *r, int version,
                       struct wire_writer *w, struct arena *arena)
{
    switch (key) {
    case WIRE_FIND_COORDINATOR:
        return answer_find(b, r, version, w, arena);
    case WIRE_LIST_GROUPS:
        return answer_list(b, r, version, w, arena);
    case WIRE_DESCRIBE_GROUPS:
        return answer_describe(b, r, version, w, arena);
    case WIRE_OFFSET_FETCH:
        return answer_offset_fetch(b, r, version, w, arena);
    case WIRE_OFFSET_COMMIT:
        return answer_commit(b, r, version, w, arena);
    case WIRE_OFFSET_DELETE:
        return answer_offset_delete(b, r, version, w, arena);
    case WIRE_DELETE_GROUPS:
        return answer_delete(b, r, version, w, arena);
    default:
        return ERR_UNSUPPORTED_VERSION;
    }
}

/* --- what tests put there --- */

void fake_group_make(struct fake_broker *b, const char *name, const char *state)
{
    pthread_mutex_lock(&b->lock);
    struct fake_group *g = group_make(b, wire_string_of(name));
    snprintf(g->state, sizeof g->state, "%s", state);
    pthread_mutex_unlock(&b->lock);
}

void fake_group_member(struct fake_broker *b, const char *group, const char *member,
                       const char *topic, int count)
{
    pthread_mutex_lock(&b->lock);
    struct fake_group *g = group_make(b, wire_string_of(group));
    int i = g->member_count++;
    snprintf(g->members[i].id, sizeof g->members[i].id, "%s", member);
    snprintf(g->members[i].topic, sizeof g->members[i].topic, "%s", topic);
    g->members[i].partitions = count;
    pthread_mutex_unlock(&b->lock);
}

void fake_group_commit(struct fake_broker *b, const char *group, const char *topic, int partition,
                       int64_t offset)
{
    pthread_mutex_lock(&b->lock);
    struct fake_group *g = group_make(b, wire_string_of(group));
    *group_offset(g, wire_string_of(topic), partition, true) = offset;
    pthread_mutex_unlock(&b->lock);
}

int64_t fake_group_committed(struct fake_broker *b, const char *group, const char *topic,
                             int partition)
{
    pthread_mutex_lock(&b->lock);
    struct fake_group *g = group_find(b, wire_string_of(group));
    int64_t *offset = g ? group_offset(g, wire_string_of(topic), partition, false) : NULL;
    int64_t found = g ? offset ? *offset : -1 : -2;
    pthread_mutex_unlock(&b->lock);
    return found;
}

void fake_group_moves(struct fake_broker *b, unsigned times)
{
    pthread_mutex_lock(&b->lock);
    b->group_moves = times;
    pthread_mutex_unlock(&b->lock);
}
