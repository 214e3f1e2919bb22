/* SPDX-License-Identifier: Apache-2.0 */
#include "api/leaders.h"

#include "api/describe.h"

bool leader_is_news(int error)
{
    return error == ERR_NOT_LEADER_OR_FOLLOWER || error == ERR_FENCED_LEADER_EPOCH;
}

struct leader_told leader_now(const struct image *image, struct uuid topic_id, int32_t partition)
{
    const struct image_topic *t = image ? image_topic_by_id(image, topic_id) : NULL;
    const struct image_partition *p = image_topic_partition(t, partition);
    return p ? (struct leader_told){p->leader, p->leader_epoch} : (struct leader_told){-1, -1};
}

void leaders_add(struct leaders_told *told, int32_t id)
{
    for (uint32_t i = 0; i < told->count; i++) {
        if (told->ids[i] == id) {
            return;
        }
    }
    if (id >= 0 && told->count < LEADERS_TOLD_MAX) {
        told->ids[told->count++] = id;
    }
}

bool leader_endpoint(const struct api_request *r, int32_t id, struct leader_endpoint *out)
{
    const struct image_broker *b = image_broker_by_id(r->api->image, id);
    const struct image_endpoint *e = b && !b->fenced ? describe_endpoint(r, b) : NULL;
    if (e) {
        *out = (struct leader_endpoint){wire_string_of(e->host), wire_string_of(b->rack), e->port};
    }
    return e != NULL;
}
