/* SPDX-License-Identifier: Apache-2.0 */

/* OffsetDelete: what a group has committed for topics that none of its members reads. */
#include "api/groups.h"

static size_t count_partitions(const struct offset_delete_request *q)
{
    size_t count = 0;
    for (int32_t i = 0; i < q->topics_count; i++) {
        count += (size_t)q->topics[i].partitions_count;
    }
    return count;
}

static int fill(struct groups *g, struct offset_delete_response *out)
{
    const struct coord_call *call = groups_only(g);
    const struct offset_delete_request *q = call->request;
    struct api_request *r = g->request;
    struct offset_delete_response_partitions *p = api_alloc(r, count_partitions(q), sizeof *p);
    const struct coord_offset *o = call->offsets;
    out->error_code = error_to_wire(call->error);
    out->topics = api_alloc(r, (size_t)q->topics_count, sizeof *out->topics);
    if (!p || !out->topics) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < q->topics_count && !call->error; i++) {
        out->topics[out->topics_count++] = (struct offset_delete_response_topics){
            .name = q->topics[i].name,
            .partitions = p,
            .partitions_count = q->topics[i].partitions_count,
        };
        for (int32_t j = 0; j < q->topics[i].partitions_count; j++, p++, o++) {
            p->partition_index = q->topics[i].partitions[j].partition_index;
            p->error_code = error_to_wire(o->error);
        }
    }
    return 0;
}

static void answer(struct groups *g)
{
    struct offset_delete_response response;
    offset_delete_response_init(&response);
    int error = fill(g, &response);
    if (error) {
        api_close(g->request, error_text(error));
        return;
    }
    api_respond(g->request, &response);
}

static void collect(struct api_request *r, const struct offset_delete_request *q,
                    struct coord_offset *out)
{
    for (int32_t i = 0; i < q->topics_count; i++) {
        const struct offset_delete_request_topics *t = &q->topics[i];
        int error;
        const struct image_topic *topic = groups_topic(r, t->name, (struct uuid){0}, &error);
        for (int32_t j = 0; j < t->partitions_count; j++, out++) {
            int32_t partition = t->partitions[j].partition_index;
            bool known = topic && partition >= 0 && partition < topic->partition_count;
            *out = (struct coord_offset){.topic = t->name,
                                         .partition = partition,
                                         .error = known ? 0 : ERR_UNKNOWN_TOPIC_OR_PARTITION};
        }
    }
}

void handle_offset_delete(struct api_request *r)
{
    struct offset_delete_request *q = api_decode(r);
    if (!q) {
        return;
    }
    size_t count = count_partitions(q);
    struct coord_offset *offsets = groups_offsets(r, count);
    struct groups *g = offsets ? groups_new(r, 1, answer) : NULL;
    if (!g) {
        return;
    }
    collect(r, q, offsets);
    struct coord_call *call = groups_add(g, COORD_FORGET, q->group_id, NULL);
    call->request = q;
    call->offsets = offsets;
    call->offset_count = (int32_t)count;
    groups_go(g);
}
