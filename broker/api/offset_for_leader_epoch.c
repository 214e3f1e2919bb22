/* SPDX-License-Identifier: Apache-2.0 */

/* OffsetForLeaderEpoch (KIP-101, KIP-320): where an epoch ends, so that a client finds out whether
 * what it has read is still there. -1 and -1 for an epoch that the log does not know; a leader that may have been
 * replaced cannot say that of one that is newer than its own. */
#include "api/request.h"

struct epoch_part {
    struct part part;
    const struct offset_for_leader_epoch_request_partitions *in;
    struct offset_for_leader_epoch_response_partitions *out;
};

struct epoch_ends {
    struct api_request *request;
    struct offset_for_leader_epoch_response response;
    struct spread spread;
};

static void part_answer(struct api *home, struct epoch_part *part)
{
    struct partition *p;
    int error = partition_leader(home->options.rooms.partitions, part->part.topic_id,
                                 part->part.partition, part->in->current_leader_epoch, &p);
    part->out->error_code = error_to_wire(error);
    if (error) {
        return;
    }
    struct log_status status = log_status(partition_log(p));
    if (part->in->leader_epoch > status.leader_epoch && !partition_leads_surely(p)) {
        part->out->error_code = error_to_wire(ERR_UNKNOWN_LEADER_EPOCH);
    } else if (part->in->leader_epoch >= 0 && part->in->leader_epoch <= status.leader_epoch) {
        part->out->end_offset =
            log_epoch_end_told(partition_log(p), part->in->leader_epoch, &part->out->leader_epoch);
    }
}

static void ends_start(struct share *s)
{
    for (struct part *p = s->first; p; p = p->next) {
        part_answer(s->home, container_of(p, struct epoch_part, part));
    }
    share_done(s);
}

static void ends_done(struct spread *s)
{
    struct epoch_ends *e = container_of(s, struct epoch_ends, spread);
    api_respond(e->request, &e->response);
}

static int topic_fill(struct epoch_ends *e, const struct offset_for_leader_epoch_request_topics *in,
                      struct offset_for_leader_epoch_response_topics *out)
{
    struct api_request *r = e->request;
    const struct topic_view *view = topics_by_name(&r->api->topics, in->topic);
    size_t count = (size_t)in->partitions_count;
    struct epoch_part *parts = api_alloc(r, count, sizeof *parts);
    offset_for_leader_epoch_response_topics_init(out);
    out->topic = in->topic;
    out->partitions = api_alloc(r, count, sizeof *out->partitions);
    if (!parts || !out->partitions) {
        return ERR_NO_MEMORY;
    }
    out->partitions_count = in->partitions_count;
    for (size_t i = 0; i < count; i++) {
        struct epoch_part *part = &parts[i];
        part->in = &in->partitions[i];
        part->out = &out->partitions[i];
        offset_for_leader_epoch_response_partitions_init(part->out);
        part->out->partition = part->in->partition;
        if (!view || part->in->partition < 0 ||
            part->in->partition >= view->topic->partition_count) {
            part->out->error_code = error_to_wire(ERR_UNKNOWN_TOPIC_OR_PARTITION);
            continue;
        }
        spread_add(&e->spread, &part->part, view->topic, part->in->partition);
    }
    return 0;
}

void handle_offset_for_leader_epoch(struct api_request *r)
{
    struct offset_for_leader_epoch_request *q = api_decode(r);
    if (!q) {
        return;
    }
    struct epoch_ends *e = api_alloc(r, 1, sizeof *e);
    int error = e ? spread_init(&e->spread, r, sizeof(struct share)) : ERR_NO_MEMORY;
    if (!error) {
        e->request = r;
        e->spread.start = ends_start;
        e->spread.done = ends_done;
        offset_for_leader_epoch_response_init(&e->response);
        e->response.topics = api_alloc(r, (size_t)q->topics_count, sizeof *e->response.topics);
        error = e->response.topics ? 0 : ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < q->topics_count && !error; i++) {
        error = topic_fill(e, &q->topics[i], &e->response.topics[i]);
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    e->response.topics_count = q->topics_count;
    spread_go(&e->spread);
}
