/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeTopicPartitions (KIP-966): topics by name, in pages. The cursor names the first partition
 * of the next page. No topics named: all of them. The quorum is asked first; where nobody answers for it, topics are
 * told as this node knows them, and one that it does not know is LEADER_NOT_AVAILABLE, as in Metadata. */
#include "api/describe.h"
#include "api/fresh.h"

#include <stdlib.h>

enum { PARTITIONS_PER_ANSWER_MAX = 2000 };

struct page {
    struct fresh fresh;
    struct describe_topic_partitions_response response;
    struct describe_topic_partitions_response_next_cursor cursor;
    int32_t room;        /* partitions that still fit */
    uint32_t topics_max; /* as many topics fit: one may have no partition behind the cursor */
};

static int name_order(const void *a, const void *b)
{
    const struct wire_string *x = a, *y = b;
    int32_t common = x->size < y->size ? x->size : y->size;
    int order = common > 0 ? memcmp(x->data, y->data, (size_t)common) : 0;
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int partition_fill(struct page *p, const struct image_topic *topic, int32_t index,
                          struct describe_topic_partitions_response_partitions *out)
{
    struct api_request *r = p->fresh.request;
    const struct image_partition *in = &topic->partitions[index];
    int32_t *offline = api_alloc(r, (size_t)in->replica_count, sizeof *offline);
    if (!offline) {
        return ERR_NO_MEMORY;
    }
    struct metadata_response_partitions m;
    describe_partition(api_request_image(r), in, &m, offline);
    describe_topic_partitions_response_partitions_init(out);
    out->error_code = m.error_code;
    out->partition_index = index;
    out->leader_id = m.leader_id;
    out->leader_epoch = m.leader_epoch;
    out->replica_nodes = m.replica_nodes;
    out->replica_nodes_count = m.replica_nodes_count;
    out->isr_nodes = m.isr_nodes;
    out->isr_nodes_count = m.isr_nodes_count;
    /* Lent by the image, which the request holds. */
    out->eligible_leader_replicas = (int32_t *)in->more->elr.ids;
    out->eligible_leader_replicas_count = in->more->elr.count;
    out->last_known_elr = (int32_t *)in->more->last_known_elr.ids;
    out->last_known_elr_count = in->more->last_known_elr.count;
    out->offline_replicas = m.offline_replicas;
    out->offline_replicas_count = m.offline_replicas_count;
    return 0;
}

/* Adds one topic from partition `from` on; sets the cursor where the page is full. */
static int topic_fill(struct page *p, struct wire_string name, const struct image_topic *topic,
                      int32_t from)
{
    struct describe_topic_partitions_response_topics *out =
        &p->response.topics[p->response.topics_count++];
    describe_topic_partitions_response_topics_init(out);
    out->name = name;
    if (!topic) {
        out->error_code = error_to_wire(!topic_name_valid(name) ? ERR_INVALID_TOPIC
                                        : p->fresh.shown        ? ERR_UNKNOWN_TOPIC_OR_PARTITION
                                                                : ERR_LEADER_NOT_AVAILABLE);
        return 0;
    }
    out->topic_id = topic->id;
    out->is_internal = topic->internal;
    out->topic_authorized_operations = DESCRIBE_TOPIC_OPERATIONS;
    from = from < topic->partition_count ? from : topic->partition_count;
    int32_t count = topic->partition_count - from;
    count = count < p->room ? count : p->room;
    out->partitions = api_alloc(p->fresh.request, (size_t)count, sizeof *out->partitions);
    if (!out->partitions) {
        return ERR_NO_MEMORY;
    }
    out->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        int error = partition_fill(p, topic, from + i, &out->partitions[i]);
        if (error) {
            return error;
        }
    }
    p->room -= count;
    if (from + count < topic->partition_count) {
        p->cursor.topic_name = wire_string_of(topic->name);
        p->cursor.partition_index = from + count;
        p->response.next_cursor = &p->cursor;
    }
    return 0;
}

/* The page is full in front of this topic. */
static bool page_full(struct page *p, struct wire_string name)
{
    if (p->response.next_cursor) {
        return true;
    }
    if (p->room > 0 && (uint32_t)p->response.topics_count < p->topics_max) {
        return false;
    }
    p->cursor.topic_name = name;
    p->cursor.partition_index = 0;
    p->response.next_cursor = &p->cursor;
    return true;
}

static int page_fill(struct page *p)
{
    const struct describe_topic_partitions_request *q = p->fresh.in;
    const struct image *image = api_request_image(p->fresh.request);
    struct wire_string first = q->cursor ? q->cursor->topic_name : (struct wire_string){"", 0};
    int32_t from = q->cursor && q->cursor->partition_index > 0 ? q->cursor->partition_index : 0;
    bool all = q->topics_count == 0;
    uint32_t index = all ? image_topic_from(image, wire_string_bytes(first)) : 0;
    uint32_t end = all ? image_topic_count(image) : (uint32_t)q->topics_count;
    uint32_t left = end - index, fit = (uint32_t)p->room + 1;
    p->topics_max = all && fit < left ? fit : left;
    p->response.topics = api_alloc(p->fresh.request, p->topics_max, sizeof *p->response.topics);
    struct wire_string *names = all ? NULL : api_alloc(p->fresh.request, end, sizeof *names);
    if (!p->response.topics || (!all && !names)) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; names && i < end; i++) {
        names[i] = q->topics[i].name;
    }
    if (names) {
        qsort(names, end, sizeof *names, name_order);
    }
    for (; index < end; index++) {
        const struct image_topic *topic = all ? image_topic_at(image, index) : NULL;
        struct wire_string name = all ? wire_string_of(topic->name) : names[index];
        if (!all && ((index > 0 && wire_string_equal(name, names[index - 1])) ||
                     (q->cursor && name_order(&name, &first) < 0))) {
            continue;
        }
        topic = all ? topic : image_topic_by_name(image, wire_string_bytes(name));
        if (page_full(p, name)) {
            return 0;
        }
        int error = topic_fill(p, name, topic, wire_string_equal(name, first) ? from : 0);
        if (error) {
            return error;
        }
    }
    return 0;
}

static void answer(struct fresh *f)
{
    struct page *p = container_of(f, struct page, fresh);
    describe_topic_partitions_response_init(&p->response);
    int error = page_fill(p);
    if (error) {
        api_close(p->fresh.request, error_text(error));
        return;
    }
    api_respond(p->fresh.request, &p->response);
}

void handle_describe_topic_partitions(struct api_request *r)
{
    const struct describe_topic_partitions_request *q = api_decode(r);
    if (!q) {
        return;
    }
    if (q->response_partition_limit <= 0) {
        api_close(r, "partition limit is not positive");
        return;
    }
    r->arena.limit_bytes = API_ARENA_MAX;
    struct page *p = api_alloc(r, 1, sizeof *p);
    if (!p) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    p->room = q->response_partition_limit < PARTITIONS_PER_ANSWER_MAX ? q->response_partition_limit
                                                                      : PARTITIONS_PER_ANSWER_MAX;
    fresh_ask(&p->fresh, r, q, answer);
}
