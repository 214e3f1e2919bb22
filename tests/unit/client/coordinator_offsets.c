/* SPDX-License-Identifier: Apache-2.0 */

/* The fake coordinator's offsets: what members commit, and what is wrong with it. */
#include "fake_private.h"

static int16_t offset_store(struct fake_broker *b, struct coord_group *g,
                            const struct coord_member *m, struct wire_string topic_name,
                            const struct offset_commit_request_partitions *in)
{
    char topic[64];
    const char *member = m ? m->id : "";
    coord_text(topic, sizeof topic, topic_name);
    struct coord_committed *o = coord_offset(g, topic, in->partition_index);
    b->group_counts.commits++;
    b->group_counts.backwards += in->committed_offset < o->offset;
    b->group_counts.strangers += member[0] && o->owner[0] && strcmp(o->owner, member) != 0;
    o->offset = in->committed_offset;
    o->leader_epoch = in->committed_leader_epoch;
    coord_text(o->metadata, sizeof o->metadata, in->committed_metadata);
    if (b->committed) {
        b->committed(b->committed_context, g, m, o);
    }
    return 0;
}

int coord_commit(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                 struct arena *arena, int16_t code)
{
    struct offset_commit_request in;
    struct offset_commit_response out;
    struct coord_member *m = NULL;
    char name[64];
    int error = offset_commit_request_decode(&in, r, version, arena);
    if (error) {
        return error;
    }
    offset_commit_response_init(&out);
    b->group_counts.commit_requests++;
    if (b->commits_unheeded) {
        return offset_commit_response_encode(&out, w, version);
    }
    coord_text(name, sizeof name, in.group_id);
    struct coord_group *g = coord_find(b, name);
    if (!code && in.generation_id_or_member_epoch < 0 && in.member_id.size <= 0) {
        code = g->state == COORD_EMPTY ? 0 : 25;
    } else if (!code) {
        code = coord_check(g, in.member_id, in.group_instance_id, in.generation_id_or_member_epoch,
                           &m);
        code = !code && g->state == COORD_COMPLETING ? 27 : code;
    }
    if (m && !code) {
        coord_alive(b, m);
    }
    out.topics = arena_array(arena, (size_t)in.topics_count + 1, sizeof *out.topics);
    out.topics_count = in.topics_count;
    for (int32_t i = 0; i < in.topics_count; i++) {
        const struct offset_commit_request_topics *from = &in.topics[i];
        struct offset_commit_response_topics *to = &out.topics[i];
        to->name = from->name;
        to->partitions_count = from->partitions_count;
        to->partitions =
            arena_array(arena, (size_t)from->partitions_count + 1, sizeof *to->partitions);
        for (int32_t j = 0; j < from->partitions_count; j++) {
            to->partitions[j].partition_index = from->partitions[j].partition_index;
            to->partitions[j].error_code =
                code ? code : offset_store(b, g, m, from->name, &from->partitions[j]);
        }
    }
    return offset_commit_response_encode(&out, w, version);
}

int coord_fetch(struct fake_broker *b, struct reader *r, int version, struct wire_writer *w,
                struct arena *arena, int16_t code)
{
    struct offset_fetch_request in;
    struct offset_fetch_response out;
    struct offset_fetch_response_groups group;
    char name[64], topic[64];
    int error = offset_fetch_request_decode(&in, r, version, arena);
    if (error || version < 8) {
        return error ? error : ERR_UNSUPPORTED_VERSION;
    }
    offset_fetch_response_init(&out);
    offset_fetch_response_groups_init(&group);
    coord_text(name, sizeof name, in.groups[0].group_id);
    struct coord_group *g = coord_find(b, name);
    const struct offset_fetch_request_groups *from = &in.groups[0];
    group.group_id = from->group_id;
    group.error_code = code;
    group.topics = arena_array(arena, (size_t)from->topics_count + 1, sizeof *group.topics);
    group.topics_count = code ? 0 : from->topics_count;
    for (int32_t i = 0; i < group.topics_count; i++) {
        struct offset_fetch_response_group_topics *to = &group.topics[i];
        int32_t count = from->topics[i].partition_indexes_count;
        coord_text(topic, sizeof topic, from->topics[i].name);
        to->name = from->topics[i].name;
        to->partitions = arena_array(arena, (size_t)count + 1, sizeof *to->partitions);
        to->partitions_count = count;
        for (int32_t j = 0; j < count; j++) {
            struct coord_committed *o =
                coord_offset(g, topic, from->topics[i].partition_indexes[j]);
            offset_fetch_response_group_partitions_init(&to->partitions[j]);
            to->partitions[j].partition_index = o->partition;
            to->partitions[j].committed_offset = o->offset;
            to->partitions[j].committed_leader_epoch = o->leader_epoch;
            to->partitions[j].metadata = wire_string_of(o->metadata);
        }
    }
    out.groups = &group;
    out.groups_count = 1;
    return offset_fetch_response_encode(&out, w, version);
}
