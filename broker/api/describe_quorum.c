/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeQuorum (KIP-595, 836, 853): who leads the metadata log, who votes, who follows, and how far each is, as the
 * leader knows it, after a majority has confirmed that it leads still. Another node answers NOT_LEADER_OR_FOLLOWER and
 * names the leader that it knows. */
#include "api/request.h"
#include "meta/quorum_describe.h"
#include "meta/quorum_wire.h"

struct asked {
    struct api_request *request;
    struct meta_op read;
    struct meta_describe describe;
};

/* --- an answer without a quorum --------------------------------------------------------------- */

/* As Kafka: what is asked for is the metadata log and nothing else, or nothing of it is known. */
static bool asks_for_metadata(const struct describe_quorum_request *in)
{
    if (in->topics_count != 1 || in->topics[0].partitions_count != 1) {
        return false;
    }
    const struct describe_quorum_request_topics *t = &in->topics[0];
    size_t size = strlen(quorum_topic);
    return t->topic_name.size >= 0 && (size_t)t->topic_name.size == size &&
           memcmp(t->topic_name.data, quorum_topic, size) == 0 &&
           t->partitions[0].partition_index == 0;
}

static void partition_refuse(struct describe_quorum_response_partitions *p, int32_t index,
                             int error)
{
    p->partition_index = index;
    p->error_code = error_to_wire(error);
    p->error_message = wire_string_of(error_text(error));
    p->leader_id = RAFT_NOBODY;
    p->high_watermark = -1;
}

static void respond_unknown(struct api_request *r, const struct describe_quorum_request *in)
{
    struct describe_quorum_response response;
    describe_quorum_response_init(&response);
    response.error_message = wire_string_null();
    size_t count = in->topics_count > 0 ? (size_t)in->topics_count : 0;
    response.topics = api_alloc(r, count, sizeof *response.topics);
    bool fits = response.topics != NULL;
    for (size_t i = 0; fits && i < count; i++) {
        const struct describe_quorum_request_topics *from = &in->topics[i];
        struct describe_quorum_response_topics *to = &response.topics[response.topics_count++];
        size_t partitions = from->partitions_count > 0 ? (size_t)from->partitions_count : 0;
        describe_quorum_response_topics_init(to);
        to->topic_name = from->topic_name;
        to->partitions = api_alloc(r, partitions, sizeof *to->partitions);
        fits = to->partitions != NULL;
        for (size_t j = 0; fits && j < partitions; j++) {
            describe_quorum_response_partitions_init(&to->partitions[j]);
            partition_refuse(&to->partitions[j], from->partitions[j].partition_index,
                             ERR_UNKNOWN_TOPIC_OR_PARTITION);
            to->partitions_count++;
        }
    }
    if (fits) {
        api_respond(r, &response);
    } else {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
}

/* --- the quorum ------------------------------------------------------------------------------- */

static bool take_replicas(struct api_request *r, const struct meta_describe *d,
                          struct describe_quorum_response_partitions *p)
{
    p->current_voters = api_alloc(r, d->replica_count, sizeof *p->current_voters);
    p->observers = api_alloc(r, d->replica_count, sizeof *p->observers);
    if (!p->current_voters || !p->observers) {
        return false;
    }
    for (uint32_t i = 0; i < d->replica_count; i++) {
        const struct meta_replica *from = &d->replicas[i];
        struct describe_quorum_response_replica_state *to =
            from->voter ? &p->current_voters[p->current_voters_count++]
                        : &p->observers[p->observers_count++];
        *to = (struct describe_quorum_response_replica_state){
            .replica_id = from->id.node,
            .log_end_offset = from->end,
            .last_fetch_timestamp = from->fetched_ms,
            .last_caught_up_timestamp = from->caught_up_ms,
        };
        if (api_version(r) >= 2) {
            to->replica_directory_id = from->id.directory;
        }
    }
    return true;
}

/* As the broker has registered, with all its listeners; of a voter that has not, or in another directory, what the
 * record of the voters says. False: no memory. */
static bool take_node(struct api_request *r, const struct meta_describe *d,
                      const struct meta_replica *replica, struct describe_quorum_response *response)
{
    struct describe_quorum_response_nodes *node = &response->nodes[response->nodes_count];
    const struct image_broker *b = image_broker_by_id(api_request_image(r), replica->id.node);
    bool registered = b && uuid_equal(b->directory, replica->id.directory);
    const struct meta_endpoint *known = NULL;
    for (uint32_t i = 0; i < d->endpoint_count && replica->voter; i++) {
        known = d->endpoints[i].node == replica->id.node ? &d->endpoints[i] : known;
    }
    if (!registered && !known) {
        return true;
    }
    uint32_t count = registered ? b->endpoint_count : 1;
    node->node_id = replica->id.node;
    node->listeners = api_alloc(r, count, sizeof *node->listeners);
    node->listeners_count = (int32_t)count;
    if (!node->listeners) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        node->listeners[i] =
            registered
                ? (struct describe_quorum_response_listeners){wire_string_of(b->endpoints[i].name),
                                                              wire_string_of(b->endpoints[i].host),
                                                              b->endpoints[i].port}
                : (struct describe_quorum_response_listeners){
                      wire_string_of(known->name), wire_string_of(known->host), known->port};
    }
    response->nodes_count++;
    return true;
}

/* Observers too: who makes a voter of one needs to know where it is reached. */
static bool take_nodes(struct api_request *r, const struct meta_describe *d,
                       struct describe_quorum_response *response)
{
    if (api_version(r) < 2) {
        return true;
    }
    response->nodes = api_alloc(r, d->replica_count, sizeof *response->nodes);
    bool fits = response->nodes != NULL;
    for (uint32_t i = 0; fits && i < d->replica_count; i++) {
        fits = take_node(r, d, &d->replicas[i], response);
    }
    return fits;
}

static void described(struct meta_describe *d)
{
    struct asked *a = container_of(d, struct asked, describe);
    struct api_request *r = a->request;
    struct describe_quorum_response_partitions p;
    struct describe_quorum_response_topics t = {
        .topic_name = wire_string_of(quorum_topic), .partitions = &p, .partitions_count = 1};
    struct describe_quorum_response response;
    describe_quorum_response_init(&response);
    describe_quorum_response_partitions_init(&p);
    response.error_message = wire_string_null();
    response.topics = &t;
    response.topics_count = 1;
    if (d->error) {
        partition_refuse(&p, 0, d->error);
        p.error_message = d->why[0] ? wire_string_of(d->why) : p.error_message;
    } else {
        p.error_message = wire_string_null();
        p.high_watermark = d->status.high_watermark;
    }
    p.leader_id = d->status.leader;
    p.leader_epoch = d->status.epoch;
    if (take_replicas(r, d, &p) && take_nodes(r, d, &response)) {
        api_respond(r, &response);
    } else {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
    net_unhold(&r->net);
}

static void confirmed(struct meta_op *op)
{
    struct asked *a = container_of(op, struct asked, read);
    struct api_request *r = a->request;
    a->describe.confirmed = op->error == 0;
    meta_describe(r->api->options.rooms.meta, r->api->io, &a->describe);
}

void handle_describe_quorum(struct api_request *r)
{
    const struct describe_quorum_request *in = api_decode(r);
    if (!in) {
        return;
    }
    if (!asks_for_metadata(in)) {
        respond_unknown(r, in);
        return;
    }
    struct asked *a = api_alloc(r, 1, sizeof *a);
    if (!a) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    a->request = r;
    a->read = (struct meta_op){.done = confirmed, .kind = META_READ, .here = true};
    a->describe.done = described;
    net_hold(&r->net);
    meta_submit(r->api->options.rooms.meta, r->api->io, &a->read);
}
