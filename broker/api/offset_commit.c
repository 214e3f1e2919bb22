/* SPDX-License-Identifier: Apache-2.0 */

/* OffsetCommit: how far a group has come. The answer names every partition that was asked. */
#include "api/groups.h"

static size_t count_partitions(const struct offset_commit_request *q)
{
    size_t count = 0;
    for (int32_t i = 0; i < q->topics_count; i++) {
        count += (size_t)q->topics[i].partitions_count;
    }
    return count;
}

static int fill(struct groups *g, struct offset_commit_response *out)
{
    const struct coord_call *call = groups_only(g);
    const struct offset_commit_request *q = call->request;
    struct api_request *r = g->request;
    struct offset_commit_response_partitions *p = api_alloc(r, count_partitions(q), sizeof *p);
    const struct coord_offset *o = call->offsets;
    out->topics = api_alloc(r, (size_t)q->topics_count, sizeof *out->topics);
    if (!p || !out->topics) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < q->topics_count; i++) {
        out->topics[out->topics_count++] = (struct offset_commit_response_topics){
            .name = q->topics[i].name,
            .topic_id = q->topics[i].topic_id,
            .partitions = p,
            .partitions_count = q->topics[i].partitions_count,
        };
        for (int32_t j = 0; j < q->topics[i].partitions_count; j++, p++, o++) {
            p->partition_index = q->topics[i].partitions[j].partition_index;
            p->error_code = error_to_wire(call->error ? call->error : o->error);
        }
    }
    return 0;
}

static void answer(struct groups *g)
{
    struct offset_commit_response response;
    offset_commit_response_init(&response);
    int error = fill(g, &response);
    if (error) {
        api_close(g->request, error_text(error));
        return;
    }
    api_respond(g->request, &response);
}

static void collect(struct api_request *r, const struct offset_commit_request *q,
                    struct coord_offset *out)
{
    for (int32_t i = 0; i < q->topics_count; i++) {
        const struct offset_commit_request_topics *t = &q->topics[i];
        int error;
        const struct image_topic *topic = groups_topic(r, t->name, t->topic_id, &error);
        for (int32_t j = 0; j < t->partitions_count; j++, out++) {
            int32_t partition = t->partitions[j].partition_index;
            bool known = topic && partition >= 0 && partition < topic->partition_count;
            *out = (struct coord_offset){
                .topic = topic ? wire_string_of(topic->name) : t->name,
                .partition = partition,
                .topic_id = topic ? topic->id : t->topic_id,
                .offset = t->partitions[j].committed_offset,
                .leader_epoch = t->partitions[j].committed_leader_epoch,
                .metadata = t->partitions[j].committed_metadata,
                .error = known   ? 0
                         : error ? error
                                 : ERR_UNKNOWN_TOPIC_OR_PARTITION,
            };
        }
    }
}

void handle_offset_commit(struct api_request *r)
{
    struct offset_commit_request *q = api_decode(r);
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
    struct coord_call *call = groups_add(g, COORD_COMMIT, q->group_id, q);
    call->offsets = offsets;
    call->offset_count = (int32_t)count;
    groups_go(g);
}
