/* SPDX-License-Identifier: Apache-2.0 */

/* DeleteTopics: by name, or from v6 on by id as well. */
#include "api/admin.h"

#include <stdlib.h>

static void answer(struct admin *a)
{
    struct api_request *r = a->request;
    struct delete_topics_response response;
    delete_topics_response_init(&response);
    response.responses = api_alloc(r, a->count, sizeof *response.responses);
    if (!response.responses) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    struct delete_topics_request_topics *named = a->response;
    response.responses_count = (int32_t)a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        struct delete_topics_response_responses *out = &response.responses[i];
        delete_topics_response_responses_init(out);
        out->name = named[i].name;
        out->topic_id = a->ops[i].error ? named[i].topic_id : a->ops[i].op.topic_id;
        out->error_code = admin_error(&a->ops[i]);
        out->error_message = admin_message(&a->ops[i]);
    }
    api_respond(r, &response);
}

/* The answer names a topic that was asked for by id. */
static void topic_prepare(struct api_request *r, struct admin_op *op,
                          struct delete_topics_request_topics *in)
{
    bool by_id = !uuid_is_zero(in->topic_id);
    if (by_id == (in->name.size >= 0)) {
        admin_refuse(op, ERR_INVALID_REQUEST, "a topic is named by its name or by its id");
        return;
    }
    if (by_id) {
        const struct image_topic *topic = image_topic_by_id(api_request_image(r), in->topic_id);
        op->op.topic_id = in->topic_id;
        in->name = topic ? wire_string_of(topic->name) : in->name;
        return;
    }
    op->op.topic = admin_string(r, in->name);
    if (!op->op.topic) {
        admin_refuse(op, ERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
    }
}

static int name_order(const void *a, const void *b)
{
    const struct admin_op *x = *(struct admin_op *const *)a, *y = *(struct admin_op *const *)b;
    return strcmp(x->op.topic, y->op.topic);
}

/* As Kafka does: what is named twice is not deleted at all. */
static int refuse_repeated(struct admin *a)
{
    struct admin_op **named = api_alloc(a->request, a->count, sizeof *named);
    uint32_t count = 0;
    if (!named) {
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (!a->ops[i].done && a->ops[i].op.topic) {
            named[count++] = &a->ops[i];
        }
    }
    qsort(named, count, sizeof *named, name_order);
    for (uint32_t i = 1; i < count; i++) {
        if (strcmp(named[i - 1]->op.topic, named[i]->op.topic) == 0) {
            admin_refuse(named[i - 1], ERR_INVALID_REQUEST, "the topic is named twice");
            admin_refuse(named[i], ERR_INVALID_REQUEST, "the topic is named twice");
        }
    }
    return 0;
}

void handle_delete_topics(struct api_request *r)
{
    struct delete_topics_request *q = api_decode(r);
    if (!q) {
        return;
    }
    if (api_version(r) < 6) {
        size_t count = (size_t)q->topic_names_count;
        q->topics = api_alloc(r, count, sizeof *q->topics);
        if (!q->topics) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
        q->topics_count = q->topic_names_count;
        for (size_t i = 0; i < count; i++) {
            q->topics[i].name = q->topic_names[i];
        }
    }
    struct admin *a = admin_new(r, (size_t)q->topics_count, META_DELETE_TOPIC, false, answer);
    if (!a) {
        return;
    }
    a->response = q->topics;
    for (int32_t i = 0; i < q->topics_count; i++) {
        topic_prepare(r, &a->ops[i], &q->topics[i]);
    }
    if (refuse_repeated(a) != 0) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    admin_go(a, q->timeout_ms);
}
