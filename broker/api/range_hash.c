/* SPDX-License-Identifier: Apache-2.0 */

/* RangeHash (leat's own): what a replica that is proved holds between two offsets, for one who compares
 * (replica/compare.c). One stretch at a time on each shard; the others wait in the order of their arrival. */
#include "api/request.h"

enum { BYTES_MOST = 8 << 20 }; /* and the batch with which there are so many */

struct hashing {
    struct part part;
    struct api_request *request;
    const struct range_hash_request *in;
    struct range_hash_response out;
    struct log_range_hash hash;
    struct list link; /* in api->to_hash */
    struct spread spread;
};

static void hashing_next(struct api *home);

static void hashing_end(struct hashing *x, int error)
{
    bool whole = x->hash.next_offset == x->in->to_offset;
    error = error == ERR_CLOSED           ? ERR_UNKNOWN_TOPIC_OR_PARTITION
            : error                       ? error
            : whole                       ? 0
            : x->hash.bytes >= BYTES_MOST ? ERR_INVALID_REQUEST
                                          : 0; /* a batch lies across: it differs */
    /* Another one than of what is not committed here yet: who asks decides without this replica then. */
    x->out.error_code = error_to_wire(error == ERR_BUSY ? ERR_REQUEST_TIMED_OUT : error);
    x->out.hash = (int32_t)x->hash.hash;
    x->out.bytes = (int64_t)x->hash.bytes;
    part_done(&x->part);
}

/* Why it is not hashed: 0 it can be. */
static int refusal(const struct hashing *x, struct api *home, struct partition **out)
{
    const struct range_hash_request *in = x->in;
    int error = partition_readable(home->options.rooms.partitions, in->topic_id,
                                   in->partition_index, in->current_leader_epoch, out);
    if (error || !partition_is_replicated(*out)) {
        return error ? error : ERR_INVALID_REQUEST;
    }
    if (in->from_offset < log_status(partition_log(*out)).start_offset) {
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    /* In a leader's epoch what his followers hold is the beginning of what he holds, committed or not. */
    int64_t end = partition_leads(*out) ? log_status(partition_log(*out)).end_offset
                                        : partition_high_watermark(*out);
    return in->to_offset > end ? ERR_OFFSET_NOT_AVAILABLE : 0;
}

static void hashed(struct log_range_hash *h, int error)
{
    struct hashing *x = container_of(h, struct hashing, hash);
    struct api *home = x->part.share->home;
    struct partition *p;
    assert(home->hashing > 0);
    home->hashing--;
    error = error ? error : refusal(x, home, &p); /* it may have been deposed meanwhile */
    hashing_end(x, error);
    hashing_next(home);
}

static void hashing_next(struct api *home)
{
    while (home->hashing == 0 && !list_empty(&home->to_hash)) {
        struct hashing *x = container_of(list_pop(&home->to_hash), struct hashing, link);
        struct partition *p;
        int error = refusal(x, home, &p);
        if (error) {
            hashing_end(x, error);
            continue;
        }
        x->hash = (struct log_range_hash){.from_offset = x->in->from_offset,
                                          .to_offset = x->in->to_offset,
                                          .bytes_max = BYTES_MOST,
                                          .done = hashed};
        home->hashing++;
        int now = log_range_hash(partition_log(p), &x->hash);
        if (now != 0) {
            home->hashing--;
            hashing_end(x, now < 0 ? now : 0);
        }
    }
}

static bool hashing_start(struct api *home, struct part *part)
{
    struct hashing *x = container_of(part, struct hashing, part);
    list_init(&x->link);
    list_append(&home->to_hash, &x->link);
    hashing_next(home);
    return false;
}

static void start(struct share *s)
{
    share_each(s, hashing_start);
}

static void done(struct spread *s)
{
    struct hashing *x = container_of(s, struct hashing, spread);
    api_respond(x->request, &x->out);
}

static void refuse(struct api_request *r, int error)
{
    struct range_hash_response out;
    range_hash_response_init(&out);
    out.error_code = error_to_wire(error);
    api_respond(r, &out);
}

void handle_range_hash(struct api_request *r)
{
    const struct range_hash_request *in = api_decode(r);
    if (!in) {
        return;
    }
    const struct image_topic *t = image_topic_by_id(r->api->image, in->topic_id);
    if (!t || in->partition_index < 0 || in->partition_index >= t->partition_count) {
        refuse(r, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        return;
    }
    if (in->from_offset < 0 || in->from_offset >= in->to_offset) {
        refuse(r, ERR_INVALID_REQUEST);
        return;
    }
    struct hashing *x = api_alloc(r, 1, sizeof *x);
    if (!x || spread_init(&x->spread, r, sizeof(struct share)) != 0) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    x->request = r;
    x->in = in;
    range_hash_response_init(&x->out);
    x->spread.start = start;
    x->spread.done = done;
    spread_add(&x->spread, &x->part, t, in->partition_index);
    spread_go(&x->spread);
}
