/* SPDX-License-Identifier: Apache-2.0 */

#include "consumer/group/protocol.h"

#include <stdlib.h>
#include <string.h>

enum {
    SUBSCRIPTION_VERSION = 3,
    ASSIGNMENT_VERSION = 0, /* all versions have one form */
    NAME_MAX_BYTES = 249,
};

static const struct {
    const char *name;
    assign_fn assign;
} strategies[STRATEGY_COUNT] = {
    [STRATEGY_RANGE] = {"range", assign_range},
    [STRATEGY_ROUND_ROBIN] = {"roundrobin", assign_round_robin},
    [STRATEGY_STICKY] = {"sticky", assign_sticky},
    [STRATEGY_COOPERATIVE] = {"cooperative-sticky", assign_cooperative},
};

const char *strategy_name(enum strategy s)
{
    assert(s < STRATEGY_COUNT);
    return strategies[s].name;
}

bool strategy_find(const char *name, size_t size, enum strategy *out)
{
    for (enum strategy s = 0; s < STRATEGY_COUNT; s++) {
        if (strlen(strategies[s].name) == size && memcmp(strategies[s].name, name, size) == 0) {
            *out = s;
            return true;
        }
    }
    return false;
}

assign_fn strategy_function(enum strategy s)
{
    assert(s < STRATEGY_COUNT);
    return strategies[s].assign;
}

int named_partition_compare(const void *left, const void *right)
{
    const struct named_partition *a = left, *b = right;
    int order = strcmp(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

/* --- subscriptions out --- */

/* How many partitions from `from` on are of one topic. */
static size_t named_run(const struct named_partition *parts, size_t count, size_t from)
{
    size_t end = from;
    while (end < count && strcmp(parts[end].topic, parts[from].topic) == 0) {
        end++;
    }
    return end - from;
}

/* STICKY_ASSIGNOR_USER_DATA_V1 of the Java clients:
 *
 *     SIZE  MEANING
 *        4  topics; of each: its name (int16 size, bytes), partitions (int32), their numbers (int32)
 *        4  generation */
static void sticky_data_write(const struct subscription *in, struct wire_writer *w)
{
    uint32_t topics = 0;
    for (size_t i = 0; i < in->previous_count;
         i += named_run(in->previous, in->previous_count, i)) {
        topics++;
    }
    wire_put_be32(w, topics);
    for (size_t i = 0; i < in->previous_count;) {
        size_t run = named_run(in->previous, in->previous_count, i);
        size_t size = strlen(in->previous[i].topic);
        wire_put_be16(w, (uint16_t)size);
        wire_put(w, in->previous[i].topic, size);
        wire_put_be32(w, (uint32_t)run);
        for (; run > 0; run--) {
            wire_put_be32(w, (uint32_t)in->previous[i++].partition);
        }
    }
    wire_put_be32(w, (uint32_t)in->generation);
}

static int subscription_fill(const struct subscription *in,
                             struct consumer_protocol_subscription *out, struct arena *scratch)
{
    struct wire_string *topics = arena_array(scratch, in->topic_count + 1, sizeof *topics);
    struct consumer_protocol_subscription_owned_partitions *owned =
        arena_array(scratch, in->owned_count + 1, sizeof *owned);
    int32_t *numbers = arena_array(scratch, in->owned_count + 1, sizeof *numbers);
    if (!topics || !owned || !numbers) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < in->topic_count; i++) {
        topics[i] = wire_string_of(in->topics[i]);
    }
    out->topics = topics;
    out->topics_count = (int32_t)in->topic_count;
    out->owned_partitions = owned;
    for (size_t i = 0; i < in->owned_count;) {
        size_t run = named_run(in->owned, in->owned_count, i);
        struct consumer_protocol_subscription_owned_partitions *to =
            &owned[out->owned_partitions_count++];
        to->topic = wire_string_of(in->owned[i].topic);
        to->partitions = &numbers[i];
        to->partitions_count = (int32_t)run;
        for (; run > 0; run--, i++) {
            numbers[i] = in->owned[i].partition;
        }
    }
    out->generation_id = in->generation;
    out->rack_id = wire_string_of(in->rack && in->rack[0] ? in->rack : NULL);
    return 0;
}

int subscription_write(const struct subscription *in, enum strategy strategy, struct wire_writer *w,
                       struct arena *scratch)
{
    struct consumer_protocol_subscription out;
    struct wire_writer data;
    consumer_protocol_subscription_init(&out);
    wire_writer_init(&data, scratch->memory, PROTOCOL_ARENA_MAX);
    if (strategy == STRATEGY_STICKY) {
        sticky_data_write(in, &data);
    } else if (strategy == STRATEGY_COOPERATIVE) {
        wire_put_be32(&data, (uint32_t)in->generation);
    }
    if (strategy == STRATEGY_STICKY || strategy == STRATEGY_COOPERATIVE) {
        out.user_data = (struct wire_bytes){data.data, (int32_t)data.size};
    }
    int error = data.error ? data.error : subscription_fill(in, &out, scratch);
    if (!error) {
        wire_put_be16(w, SUBSCRIPTION_VERSION);
        error = consumer_protocol_subscription_encode(&out, w, SUBSCRIPTION_VERSION);
    }
    wire_writer_deinit(&data);
    return error;
}

/* --- subscriptions in --- */

static char *string_copy(struct wire_string s, struct arena *arena)
{
    char *copy = arena_alloc(arena, (s.size > 0 ? (size_t)s.size : 0) + 1);
    if (copy && s.size > 0) {
        memcpy(copy, s.data, (size_t)s.size);
    }
    return copy;
}

/* A topic's name as a string of the arena; NULL when it is none, or without memory. */
static const char *name_copy(const void *data, int64_t size, struct arena *arena)
{
    char *copy = size > 0 && size <= NAME_MAX_BYTES && !memchr(data, 0, (size_t)size)
                     ? arena_alloc(arena, (size_t)size + 1)
                     : NULL;
    if (copy) {
        memcpy(copy, data, (size_t)size);
    }
    return copy;
}

/* Reads the user_data of a sticky member; false when it is not that. The generation is missing in
 * the form's first version. */
static bool sticky_data_read(struct group_member *out, struct wire_bytes data, struct arena *arena)
{
    struct reader r = reader_of(data.data, data.size > 0 ? (size_t)data.size : 0);
    /* Each partition takes four bytes: room for as many as there can be. */
    struct named_partition *owned = arena_array(arena, r.size / 4 + 1, sizeof *owned);
    size_t count = 0;
    uint32_t topics = reader_be32(&r);
    if (data.size < 4 || !owned) {
        return false;
    }
    for (uint32_t i = 0; i < topics && !r.failed; i++) {
        uint16_t size = reader_be16(&r);
        const uint8_t *name = reader_take(&r, size);
        uint32_t partitions = reader_be32(&r);
        const char *topic = name && !r.failed ? name_copy(name, size, arena) : NULL;
        if (!topic || partitions > reader_left(&r) / 4) {
            return false;
        }
        for (uint32_t j = 0; j < partitions; j++) {
            owned[count++] = (struct named_partition){topic, (int32_t)reader_be32(&r)};
        }
    }
    if (r.failed) {
        return false;
    }
    out->generation = reader_left(&r) >= 4 ? (int32_t)reader_be32(&r) : -1;
    out->owned = owned;
    out->owned_count = count;
    return true;
}

static int owned_read(struct group_member *out, const struct consumer_protocol_subscription *in,
                      struct arena *arena)
{
    size_t total = 0;
    for (int32_t i = 0; i < in->owned_partitions_count; i++) {
        total += (size_t)in->owned_partitions[i].partitions_count;
    }
    out->owned = arena_array(arena, total + 1, sizeof *out->owned);
    if (!out->owned) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->owned_partitions_count; i++) {
        const struct consumer_protocol_subscription_owned_partitions *from =
            &in->owned_partitions[i];
        const char *topic = name_copy(from->topic.data, from->topic.size, arena);
        for (int32_t j = 0; topic && j < from->partitions_count; j++) {
            out->owned[out->owned_count++] = (struct named_partition){topic, from->partitions[j]};
        }
    }
    return 0;
}

static int subscription_read(struct group_member *out, struct wire_bytes blob,
                             enum strategy strategy, struct arena *arena)
{
    struct consumer_protocol_subscription in;
    struct reader r = reader_of(blob.data, blob.size > 0 ? (size_t)blob.size : 0);
    int version = (int16_t)reader_be16(&r);
    out->generation = -1;
    if (r.failed || version < 0) {
        return 0;
    }
    version = version > SUBSCRIPTION_VERSION ? SUBSCRIPTION_VERSION : version;
    int error = consumer_protocol_subscription_decode(&in, &r, version, arena);
    if (error) {
        return error == ERR_NO_MEMORY ? error : 0;
    }
    out->topics = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out->topics);
    if (!out->topics) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in.topics_count; i++) {
        const char *name = name_copy(in.topics[i].data, in.topics[i].size, arena);
        if (name) {
            out->topics[out->topic_count++] = name;
        }
    }
    if (in.rack_id.size > 0) {
        out->rack = string_copy(in.rack_id, arena);
        if (!out->rack) {
            return ERR_NO_MEMORY;
        }
    }
    if (strategy == STRATEGY_STICKY && sticky_data_read(out, in.user_data, arena)) {
        return 0;
    }
    out->generation = in.generation_id;
    if (version < 2 && strategy == STRATEGY_COOPERATIVE && in.user_data.size == 4) {
        out->generation = (int32_t)get_be32(in.user_data.data);
    } else if (version < 2 && strategy == STRATEGY_COOPERATIVE) {
        struct group_member previous = {.generation = -1}; /* librdkafka says it in this form */
        if (sticky_data_read(&previous, in.user_data, arena)) {
            out->generation = previous.generation;
        }
    }
    return owned_read(out, &in, arena);
}

static int group_member_compare(const void *left, const void *right)
{
    const struct group_member *a = left, *b = right;
    struct assign_member x = {.id = a->id, .instance_id = a->instance_id};
    struct assign_member y = {.id = b->id, .instance_id = b->instance_id};
    return assign_member_compare(&x, &y);
}

static int name_compare(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Sorts names and drops what is there twice: the new count. */
static size_t names_unique(const char **names, size_t count)
{
    size_t kept = 0;
    if (count) {
        qsort(names, count, sizeof *names, name_compare);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) {
            names[kept++] = names[i];
        }
    }
    return kept;
}

static int roster_topics(struct roster *r)
{
    size_t total = 0;
    for (size_t m = 0; m < r->member_count; m++) {
        total += r->members[m].topic_count;
    }
    r->topics = arena_array(r->arena, total + 1, sizeof *r->topics);
    if (!r->topics) {
        return ERR_NO_MEMORY;
    }
    for (size_t m = 0; m < r->member_count; m++) {
        struct group_member *member = &r->members[m];
        member->topic_count = names_unique(member->topics, member->topic_count);
        if (member->topic_count) {
            memcpy(r->topics + r->topic_count, member->topics,
                   member->topic_count * sizeof *r->topics);
        }
        r->topic_count += member->topic_count;
    }
    r->topic_count = names_unique(r->topics, r->topic_count);
    if (r->topic_count > PROTOCOL_TOPICS_MAX) {
        return ERR_TOO_LARGE;
    }
    r->partitions = arena_array(r->arena, r->topic_count + 1, sizeof *r->partitions);
    return r->partitions ? 0 : ERR_NO_MEMORY;
}

int roster_read(struct roster *out, const struct join_group_response *in, enum strategy strategy,
                struct arena *arena)
{
    *out = (struct roster){.arena = arena};
    if (in->members_count < 1) {
        return ERR_MALFORMED;
    }
    if (in->members_count > PROTOCOL_MEMBERS_MAX) {
        return ERR_TOO_LARGE;
    }
    out->members = arena_array(arena, (size_t)in->members_count, sizeof *out->members);
    if (!out->members) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->members_count; i++) {
        struct group_member *m = &out->members[i];
        m->id = string_copy(in->members[i].member_id, arena);
        m->instance_id = in->members[i].group_instance_id.size < 0
                             ? NULL
                             : string_copy(in->members[i].group_instance_id, arena);
        if (!m->id || (!m->instance_id && in->members[i].group_instance_id.size >= 0)) {
            return ERR_NO_MEMORY;
        }
        int error = subscription_read(m, in->members[i].metadata, strategy, arena);
        if (error) {
            return error;
        }
        out->says_racks = out->says_racks || m->rack;
    }
    out->member_count = (size_t)in->members_count;
    qsort(out->members, out->member_count, sizeof *out->members, group_member_compare);
    return roster_topics(out);
}

static int32_t roster_find(const struct roster *r, const char *topic)
{
    const char **found =
        r->topic_count ? bsearch(&topic, r->topics, r->topic_count, sizeof *r->topics, name_compare)
                       : NULL;
    return found ? (int32_t)(found - r->topics) : -1;
}

static int number_compare(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

void roster_name_racks(struct roster *r, const char **names, size_t count)
{
    r->rack_names = names;
    r->racks.count = (int32_t)names_unique(names, count);
}

int32_t roster_rack(const struct roster *r, const char *name)
{
    if (!name) {
        return 0;
    }
    const char **found = r->racks.count ? bsearch(&name, r->rack_names, (size_t)r->racks.count,
                                                  sizeof *r->rack_names, name_compare)
                                        : NULL;
    return found ? (int32_t)(found - r->rack_names) + 1 : r->racks.count + 1;
}

/* Says in numbers what a member said in names. */
static int roster_number(const struct roster *r, const struct group_member *in,
                         const struct assign *a, struct assign_member *out)
{
    int32_t *topics = arena_array(r->arena, in->topic_count + 1, sizeof *topics);
    int32_t *owned = arena_array(r->arena, in->owned_count + 1, sizeof *owned);
    if (!topics || !owned) {
        return ERR_NO_MEMORY;
    }
    *out = (struct assign_member){.id = in->id,
                                  .instance_id = in->instance_id,
                                  .topics = topics,
                                  .topic_count = in->topic_count,
                                  .owned = owned,
                                  .generation = in->generation,
                                  .rack = roster_rack(r, in->rack)};
    for (size_t i = 0; i < in->topic_count; i++) {
        topics[i] = roster_find(r, in->topics[i]);
        assert(topics[i] >= 0);
    }
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < in->owned_count; i++) {
        int32_t t = roster_find(r, in->owned[i].topic), p = in->owned[i].partition;
        if (t >= 0 && p >= 0 && p < a->topics[t].partitions && assign_subscribes(out, t)) {
            owned[count++] = a->topics[t].first + p;
        }
    }
    if (count) {
        qsort(owned, count, sizeof *owned, number_compare);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || owned[kept - 1] != owned[i]) {
            owned[kept++] = owned[i];
        }
    }
    out->owned_count = kept;
    return 0;
}

int roster_assign(const struct roster *r, enum strategy strategy, struct assign *a)
{
    struct assign_topic *topics = arena_array(r->arena, r->topic_count + 1, sizeof *topics);
    struct assign_member *members = arena_array(r->arena, r->member_count, sizeof *members);
    if (!topics || !members) {
        return ERR_NO_MEMORY;
    }
    *a = (struct assign){.topics = topics,
                         .topic_count = r->topic_count,
                         .members = members,
                         .member_count = r->member_count,
                         .racks = r->racks};
    for (size_t t = 0; t < r->topic_count; t++) {
        topics[t] = (struct assign_topic){r->topics[t], r->partitions[t], a->partition_count};
        if (r->partitions[t] > ASSIGN_PARTITIONS_MAX - a->partition_count) {
            return ERR_TOO_LARGE;
        }
        a->partition_count += r->partitions[t];
    }
    a->owner = arena_array(r->arena, (size_t)a->partition_count + 1, sizeof *a->owner);
    int error = a->owner ? 0 : ERR_NO_MEMORY;
    for (size_t m = 0; !error && m < r->member_count; m++) {
        error = roster_number(r, &r->members[m], a, &members[m]);
    }
    return error ? error : strategy_function(strategy)(a, r->arena);
}

/* --- assignments --- */

int assignment_write(const struct assign *a, size_t index, struct wire_writer *w,
                     struct arena *scratch)
{
    struct consumer_protocol_assignment out;
    consumer_protocol_assignment_init(&out);
    const struct assign_member *m = &a->members[index];
    int32_t count = 0, used = 0;
    for (int32_t p = 0; p < a->partition_count; p++) {
        count += a->owner[p] == (int32_t)index;
    }
    out.assigned_partitions =
        arena_array(scratch, m->topic_count + 1, sizeof *out.assigned_partitions);
    int32_t *numbers = arena_array(scratch, (size_t)count + 1, sizeof *numbers);
    if (!out.assigned_partitions || !numbers) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < m->topic_count; i++) {
        const struct assign_topic *t = &a->topics[m->topics[i]];
        struct consumer_protocol_assignment_assigned_partitions *to =
            &out.assigned_partitions[out.assigned_partitions_count];
        int32_t before = used;
        for (int32_t p = 0; p < t->partitions; p++) {
            if (a->owner[t->first + p] == (int32_t)index) {
                numbers[used++] = p;
            }
        }
        if (used > before) {
            to->topic = wire_string_of(t->name);
            to->partitions = numbers + before;
            to->partitions_count = used - before;
            out.assigned_partitions_count++;
        }
    }
    assert(used == count);
    wire_put_be16(w, ASSIGNMENT_VERSION);
    return consumer_protocol_assignment_encode(&out, w, ASSIGNMENT_VERSION);
}

int assignment_read(struct wire_bytes blob, struct named_partition **out, size_t *count,
                    struct arena *arena)
{
    struct consumer_protocol_assignment in;
    struct reader r = reader_of(blob.data, blob.size > 0 ? (size_t)blob.size : 0);
    size_t total = 0, kept = 0;
    consumer_protocol_assignment_init(&in);
    int error = 0;
    if (blob.size > 0) {
        int version = (int16_t)reader_be16(&r);
        error = r.failed || version < 0
                    ? ERR_MALFORMED
                    : consumer_protocol_assignment_decode(&in, &r, ASSIGNMENT_VERSION, arena);
    }
    for (int32_t i = 0; !error && i < in.assigned_partitions_count; i++) {
        total += (size_t)in.assigned_partitions[i].partitions_count;
    }
    struct named_partition *parts = error ? NULL : arena_array(arena, total + 1, sizeof *parts);
    if (!error && !parts) {
        error = ERR_NO_MEMORY;
    }
    total = 0;
    for (int32_t i = 0; !error && i < in.assigned_partitions_count; i++) {
        const struct consumer_protocol_assignment_assigned_partitions *from =
            &in.assigned_partitions[i];
        const char *topic = name_copy(from->topic.data, from->topic.size, arena);
        error = topic ? 0 : ERR_MALFORMED;
        for (int32_t j = 0; !error && j < from->partitions_count; j++) {
            parts[total++] = (struct named_partition){topic, from->partitions[j]};
            error = from->partitions[j] < 0 ? ERR_MALFORMED : 0;
        }
    }
    if (error) {
        return error;
    }
    if (total) {
        qsort(parts, total, sizeof *parts, named_partition_compare);
    }
    for (size_t i = 0; i < total; i++) {
        if (kept == 0 || named_partition_compare(&parts[kept - 1], &parts[i]) != 0) {
            parts[kept++] = parts[i];
        }
    }
    *out = parts;
    *count = kept;
    return 0;
}
