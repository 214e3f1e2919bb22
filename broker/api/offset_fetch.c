/* SPDX-License-Identifier: Apache-2.0 */

/* OffsetFetch: what groups have committed. One group and an error at the top until 7, several groups
 * with an error each from 8 on, topics by id from 10 on. */
#include "api/groups.h"

#include <stdlib.h>

enum { GROUPS_FROM = 8, IDS_FROM = 10 };

/* What one group was asked for, in either form. */
struct asked {
    struct wire_string name;
    struct uuid id;
    const int32_t *partitions;
    int32_t count;
};

/* --- the answer ------------------------------------------------------------------------------- */

static int by_topic(const void *a, const void *b)
{
    const struct coord_offset *x = a, *y = b;
    struct bytes s = wire_string_bytes(x->topic), t = wire_string_bytes(y->topic);
    size_t least = s.size < t.size ? s.size : t.size;
    int order = least ? memcmp(s.data, t.data, least) : 0;
    if (order == 0) {
        order = s.size < t.size ? -1 : s.size > t.size;
    }
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* Neighbours of one topic and id. */
static bool same_topic(const struct coord_offset *a, const struct coord_offset *b)
{
    return wire_string_equal(a->topic, b->topic) && uuid_equal(a->topic_id, b->topic_id);
}

/* From 10 on a topic that is no more has no id that could be told. */
static int32_t drop_unnamed(struct api_request *r, struct coord_offset *offsets, int32_t count)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) {
        int error;
        const struct image_topic *topic =
            groups_topic(r, offsets[i].topic, (struct uuid){0}, &error);
        if (topic) {
            offsets[kept] = offsets[i];
            offsets[kept++].topic_id = topic->id;
        }
    }
    return kept;
}

static int fill_topics(struct api_request *r, const struct coord_call *call, int error,
                       struct offset_fetch_response_groups *out)
{
    size_t count = (size_t)call->offset_count;
    struct offset_fetch_response_group_partitions *p = api_alloc(r, count, sizeof *p);
    out->topics = api_alloc(r, count, sizeof *out->topics);
    if (!p || !out->topics) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++, p++) {
        const struct coord_offset *o = &call->offsets[i];
        struct offset_fetch_response_group_topics *topic =
            out->topics_count ? &out->topics[out->topics_count - 1] : NULL;
        if (!topic || !same_topic(o, &call->offsets[i - 1])) {
            topic = &out->topics[out->topics_count++];
            *topic = (struct offset_fetch_response_group_topics){
                .name = o->topic, .topic_id = o->topic_id, .partitions = p};
        }
        topic->partitions_count++;
        int wrong = error ? error : o->error;
        *p = (struct offset_fetch_response_group_partitions){
            .partition_index = o->partition,
            .committed_offset = wrong ? -1 : o->offset,
            .committed_leader_epoch = wrong ? -1 : o->leader_epoch,
            .metadata = wrong ? wire_string_of("") : o->metadata,
            .error_code = error_to_wire(wrong),
        };
    }
    return 0;
}

static int fill_group(struct api_request *r, struct coord_call *call, bool all,
                      struct offset_fetch_response_groups *out)
{
    out->group_id = call->group;
    out->error_code = error_to_wire(call->error);
    if (call->error && api_version(r) >= 2) {
        return 0;
    }
    if (all && !call->error && call->offset_count > 0) {
        qsort(call->offsets, (size_t)call->offset_count, sizeof *call->offsets, by_topic);
        if (api_version(r) >= IDS_FROM) {
            call->offset_count = drop_unnamed(r, call->offsets, call->offset_count);
        }
    }
    call->offset_count = call->offset_count < 0 ? 0 : call->offset_count;
    return fill_topics(r, call, call->error, out);
}

/* The older form of one group's answer. */
static int respond_one(struct groups *g, const struct offset_fetch_response_groups *in)
{
    struct api_request *r = g->request;
    struct offset_fetch_response response;
    offset_fetch_response_init(&response);
    response.error_code = in->error_code;
    response.topics = api_alloc(r, (size_t)in->topics_count, sizeof *response.topics);
    if (!response.topics) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct offset_fetch_response_group_topics *topic = &in->topics[i];
        struct offset_fetch_response_topics *out = &response.topics[response.topics_count++];
        out->name = topic->name;
        out->partitions = api_alloc(r, (size_t)topic->partitions_count, sizeof *out->partitions);
        if (!out->partitions) {
            return ERR_NO_MEMORY;
        }
        for (int32_t j = 0; j < topic->partitions_count; j++) {
            const struct offset_fetch_response_group_partitions *p = &topic->partitions[j];
            out->partitions[out->partitions_count++] = (struct offset_fetch_response_partitions){
                .partition_index = p->partition_index,
                .committed_offset = p->committed_offset,
                .committed_leader_epoch = p->committed_leader_epoch,
                .metadata = p->metadata,
                .error_code = p->error_code,
            };
        }
    }
    api_respond(r, &response);
    return 0;
}

static int respond(struct groups *g)
{
    struct api_request *r = g->request;
    const struct offset_fetch_request *q = g->context;
    struct offset_fetch_response response;
    offset_fetch_response_init(&response);
    response.groups = api_alloc(r, g->count, sizeof *response.groups);
    int error = response.groups ? 0 : ERR_NO_MEMORY;
    bool many = api_version(r) >= GROUPS_FROM;
    for (uint32_t i = 0; i < g->count && !error; i++) {
        bool all = many ? q->groups[i].topics_count < 0 : q->topics_count < 0;
        error = fill_group(r, &g->asks[i].call, all, &response.groups[response.groups_count++]);
    }
    if (error || !many) {
        return error ? error : respond_one(g, &response.groups[0]);
    }
    api_respond(r, &response);
    return 0;
}

static void answer(struct groups *g)
{
    g->request->arena.limit_bytes = API_ARENA_MAX; /* it is the offsets that make it large */
    int error = respond(g);
    if (error) {
        api_close(g->request, error_text(error));
    }
}

/* --- the question ----------------------------------------------------------------------------- */

/* ERR_TOO_LARGE, ERR_NO_MEMORY. */
static int ask(struct groups *g, struct coord_call *call, const struct asked *asked, int32_t topics)
{
    struct api_request *r = g->request;
    size_t count = 0;
    for (int32_t i = 0; i < topics; i++) {
        count += (size_t)asked[i].count;
    }
    if (count > API_PARTITIONS_MAX) {
        return ERR_TOO_LARGE;
    }
    call->offsets = api_alloc(r, count, sizeof *call->offsets);
    if (!call->offsets) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < topics; i++) {
        int error = 0;
        const struct image_topic *topic =
            uuid_is_zero(asked[i].id) ? NULL : groups_topic(r, asked[i].name, asked[i].id, &error);
        for (int32_t j = 0; j < asked[i].count; j++) {
            call->offsets[call->offset_count++] = (struct coord_offset){
                .topic = topic ? wire_string_of(topic->name) : asked[i].name,
                .topic_id = asked[i].id,
                .partition = asked[i].partitions[j],
                .error = error,
            };
        }
    }
    return 0;
}

static int ask_group(struct groups *g, const struct offset_fetch_request_groups *in)
{
    struct coord_call *call = groups_add(g, COORD_OFFSETS, in->group_id, NULL);
    if (in->topics_count < 0) {
        call->offset_count = -1;
        return 0;
    }
    struct asked *asked = api_alloc(g->request, (size_t)in->topics_count, sizeof *asked);
    if (!asked) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        asked[i] =
            (struct asked){in->topics[i].name, in->topics[i].topic_id,
                           in->topics[i].partition_indexes, in->topics[i].partition_indexes_count};
    }
    return ask(g, call, asked, in->topics_count);
}

static int ask_one(struct groups *g, const struct offset_fetch_request *q)
{
    struct coord_call *call = groups_add(g, COORD_OFFSETS, q->group_id, NULL);
    if (q->topics_count < 0) {
        call->offset_count = -1;
        return 0;
    }
    struct asked *asked = api_alloc(g->request, (size_t)q->topics_count, sizeof *asked);
    if (!asked) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < q->topics_count; i++) {
        asked[i] = (struct asked){.name = q->topics[i].name,
                                  .partitions = q->topics[i].partition_indexes,
                                  .count = q->topics[i].partition_indexes_count};
    }
    return ask(g, call, asked, q->topics_count);
}

void handle_offset_fetch(struct api_request *r)
{
    struct offset_fetch_request *q = api_decode(r);
    bool many = api_version(r) >= GROUPS_FROM;
    struct groups *g = q ? groups_new(r, many ? (size_t)q->groups_count : 1, answer) : NULL;
    if (!g) {
        return;
    }
    g->context = q;
    int error = many ? 0 : ask_one(g, q);
    for (int32_t i = 0; many && i < q->groups_count && !error; i++) {
        error = ask_group(g, &q->groups[i]);
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    groups_go(g);
}
