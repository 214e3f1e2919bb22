/* SPDX-License-Identifier: Apache-2.0 */

/* ElectLeaders: of the partitions that are named, or of all that may need it, of which those that did not
 * are not told. What all of them are the quorum is asked first. */
#include "api/admin.h"
#include "api/fresh.h"

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1 };

struct elections {
    struct fresh fresh;
    const struct elect_leaders_request *in;
    struct meta_election *list;
    uint32_t count;
    bool all;
};

/* An operation holds META_ELECTIONS_MAX of them. What failed as a whole has failed for each. */
static int error_of(const struct admin *a, uint32_t index)
{
    const struct elections *e = a->response;
    const struct admin_op *op = &a->ops[index / META_ELECTIONS_MAX];
    return op->error ? op->error : e->list[index].error;
}

static bool is_told(const struct admin *a, uint32_t index)
{
    const struct elections *e = a->response;
    return !e->all || error_of(a, index) != ERR_ELECTION_NOT_NEEDED;
}

static void respond_error(struct api_request *r, int error)
{
    struct elect_leaders_response response;
    elect_leaders_response_init(&response);
    response.error_code = api_version(r) > 0 ? error_to_wire(error) : 0;
    api_respond(r, &response);
}

static void put_result(struct elect_leaders_response_partition_result *out, int32_t partition,
                       int error)
{
    out->partition_id = partition;
    out->error_code = error_to_wire(error);
    out->error_message = error ? wire_string_of(error_text(error)) : wire_string_null();
}

static void answer(struct admin *a)
{
    struct api_request *r = a->request;
    const struct elections *e = a->response;
    struct elect_leaders_response response;
    elect_leaders_response_init(&response);
    if (a->count == 1 && a->ops[0].error && api_version(r) > 0) {
        respond_error(r, a->ops[0].error);
        return;
    }
    struct elect_leaders_response_replica_election_results *topics =
        api_alloc(r, e->count, sizeof *topics);
    struct elect_leaders_response_partition_result *parts = api_alloc(r, e->count, sizeof *parts);
    if (!topics || !parts) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    const char *last = NULL; /* partitions of one topic stand together and share its name */
    int32_t count = 0;
    for (uint32_t i = 0; i < e->count; i++) {
        if (!is_told(a, i)) {
            continue;
        }
        if (e->list[i].topic != last) {
            last = e->list[i].topic;
            topics[count++] = (struct elect_leaders_response_replica_election_results){
                .topic = wire_string_of(last), .partition_result = parts};
        }
        put_result(parts++, e->list[i].partition, error_of(a, i));
        topics[count - 1].partition_result_count++;
    }
    response.replica_election_results = topics;
    response.replica_election_results_count = count;
    api_respond(r, &response);
}

/* --- what is asked ---------------------------------------------------------------------------- */

static int take_named(struct api_request *r, const struct elect_leaders_request *in,
                      struct elections *e)
{
    size_t count = 0;
    for (int32_t i = 0; i < in->topic_partitions_count; i++) {
        count += (size_t)in->topic_partitions[i].partitions_count;
    }
    e->list = count <= API_PARTITIONS_MAX ? api_alloc(r, count, sizeof *e->list) : NULL;
    if (!e->list) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topic_partitions_count; i++) {
        const struct elect_leaders_request_topic_partitions *t = &in->topic_partitions[i];
        const char *name = admin_name(r, t->topic);
        if (!name) {
            return ERR_NO_MEMORY;
        }
        for (int32_t k = 0; k < t->partitions_count; k++) {
            e->list[e->count++] = (struct meta_election){name, t->partitions[k], 0};
        }
    }
    return 0;
}

struct search {
    struct elections *e; /* list NULL: they are counted only */
    uint32_t count;
    bool unclean;
};

static bool search_topic(void *context, const struct image_topic *t)
{
    struct search *s = context;
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_partition *p = &t->partitions[i];
        bool needed = s->unclean ? p->leader < 0 : p->leader != p->replicas[0];
        if (needed && s->e->list) {
            s->e->list[s->e->count++] = (struct meta_election){t->name, i, 0};
        }
        s->count += needed;
    }
    return true;
}

/* Those that may need it, as the image says that the request keeps. */
static int take_all(struct api_request *r, struct elections *e, bool unclean)
{
    const struct image *image = api_request_image(r);
    struct search s = {.e = e, .unclean = unclean};
    r->arena.limit_bytes = API_ARENA_MAX; /* it is the topics that make it large */
    e->all = true;
    image_each_topic(image, -1, search_topic, &s);
    e->list = api_alloc(r, s.count, sizeof *e->list);
    if (e->list) {
        image_each_topic(image, -1, search_topic, &s);
    }
    return e->list ? 0 : ERR_NO_MEMORY;
}

static void elect(struct api_request *r, struct elections *e)
{
    bool unclean = e->in->election_type == ELECTION_UNCLEAN;
    size_t count = (e->count + META_ELECTIONS_MAX - 1) / META_ELECTIONS_MAX;
    struct admin *a = admin_new(r, count, META_ELECT_LEADERS, false, answer);
    if (!a) {
        return;
    }
    a->response = e;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t first = i * META_ELECTIONS_MAX, rest = e->count - first;
        a->ops[i].op.unclean = unclean;
        a->ops[i].op.elections = e->list + first;
        a->ops[i].op.election_count = rest < META_ELECTIONS_MAX ? rest : META_ELECTIONS_MAX;
    }
    admin_go(a, e->in->timeout_ms);
}

static void elect_all(struct fresh *f)
{
    struct elections *e = container_of(f, struct elections, fresh);
    if (!f->shown && api_version(f->request) > 0) {
        respond_error(f->request, ERR_REQUEST_TIMED_OUT);
    } else if (take_all(f->request, e, e->in->election_type == ELECTION_UNCLEAN) != 0) {
        api_close(f->request, error_text(ERR_NO_MEMORY));
    } else {
        elect(f->request, e);
    }
}

void handle_elect_leaders(struct api_request *r)
{
    struct elect_leaders_request *in = api_decode(r);
    struct elections *e = in ? api_alloc(r, 1, sizeof *e) : NULL;
    if (!in) {
        return;
    }
    if (in->election_type != ELECTION_UNCLEAN && in->election_type != ELECTION_PREFERRED) {
        respond_error(r, ERR_INVALID_REQUEST);
        return;
    }
    if (!e || (in->topic_partitions_count >= 0 && take_named(r, in, e) != 0)) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    e->in = in;
    if (in->topic_partitions_count < 0) {
        fresh_ask(&e->fresh, r, in, elect_all);
    } else {
        elect(r, e);
    }
}
