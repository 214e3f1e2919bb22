/* SPDX-License-Identifier: Apache-2.0 */

/* ListPartitionReassignments: partitions of which replicas come or go, from this node's image, after the quorum has
 * been asked: who waits until nothing is under way must not be told so by a node that has not heard of it yet. */
#include "api/fresh.h"

struct listing {
    struct list_partition_reassignments_response *out; /* topics NULL: they are counted only */
    struct list_partition_reassignments_response_partitions *parts;
    size_t topics, count;
    bool open; /* the topic has an entry */
};

static void list_one(struct listing *l, const struct image_topic *t, int32_t partition)
{
    const struct image_partition *p = image_topic_partition(t, partition);
    if (!p || p->more->adding.count + p->more->removing.count == 0) {
        return;
    }
    if (l->out->topics) {
        struct list_partition_reassignments_response_topics *to =
            &l->out->topics[l->topics - l->open];
        if (!l->open) {
            to->name = wire_string_of(t->name);
            to->partitions = &l->parts[l->count];
        }
        to->partitions_count++;
        l->parts[l->count] = (struct list_partition_reassignments_response_partitions){
            .partition_index = partition,
            .replicas = (int32_t *)p->replicas,
            .replicas_count = p->replica_count,
            .adding_replicas = (int32_t *)p->more->adding.ids,
            .adding_replicas_count = p->more->adding.count,
            .removing_replicas = (int32_t *)p->more->removing.ids,
            .removing_replicas_count = p->more->removing.count,
        };
    }
    l->topics += !l->open;
    l->count++;
    l->open = true;
}

static bool list_topic(void *context, const struct image_topic *t)
{
    struct listing *l = context;
    l->open = false;
    for (int32_t i = 0; i < t->partition_count; i++) {
        list_one(l, t, i);
    }
    return true;
}

static void list_asked(struct listing *l, const struct image *image,
                       const struct list_partition_reassignments_request *in)
{
    l->topics = l->count = 0;
    if (in->topics_count < 0) {
        image_each_topic(image, -1, list_topic, l);
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct list_partition_reassignments_request_topics *asked = &in->topics[i];
        const struct image_topic *t = image_topic_by_name(image, wire_string_bytes(asked->name));
        l->open = false;
        for (int32_t k = 0; t && k < asked->partition_indexes_count; k++) {
            list_one(l, t, asked->partition_indexes[k]);
        }
    }
}

static void answer(struct fresh *f)
{
    struct api_request *r = f->request;
    const struct list_partition_reassignments_request *in = f->in;
    const struct image *image = api_request_image(r);
    struct list_partition_reassignments_response response;
    struct listing l = {.out = &response};
    list_partition_reassignments_response_init(&response);
    response.error_message = wire_string_null();
    if (!f->shown) {
        response.error_code = error_to_wire(ERR_REQUEST_TIMED_OUT);
        response.error_message = wire_string_of(fresh_late_text);
        api_respond(r, &response);
        return;
    }
    r->arena.limit_bytes = API_ARENA_MAX; /* it is what moves that makes it large */
    list_asked(&l, image, in);
    l.parts = api_alloc(r, l.count, sizeof *l.parts);
    response.topics = api_alloc(r, l.topics, sizeof *response.topics);
    if (!l.parts || !response.topics) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    list_asked(&l, image, in);
    response.topics_count = (int32_t)l.topics;
    api_respond(r, &response);
}

void handle_list_partition_reassignments(struct api_request *r)
{
    fresh_handle(r, answer);
}
