/* SPDX-License-Identifier: Apache-2.0 */

/* Out and back: see spread.h. */
#include "api/spread.h"

#include "api/request.h"

int spread_init(struct spread *s, struct api_request *r, size_t share_size)
{
    assert(share_size >= sizeof(struct share));
    share_size = (share_size + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    unsigned count = io_shard_count(r->api->io);
    char *shares = api_alloc(r, count, share_size);
    if (!shares) {
        return ERR_NO_MEMORY;
    }
    *s = (struct spread){
        .request = r, .shares = shares, .share_size = share_size, .shard_count = count};
    for (unsigned i = 0; i < count; i++) {
        struct share *share = spread_share(s, i);
        share->spread = s;
        share->shard = i;
    }
    return 0;
}

void spread_add(struct spread *s, struct part *part, const struct image_topic *topic,
                int32_t partition)
{
    part->topic_id = topic->id;
    part->partition = partition;
    struct share *share =
        spread_share(s, log_home(bytes_of_string(topic->name), partition, s->shard_count));
    part->share = share;
    part->next = NULL;
    if (share->last) {
        share->last->next = part;
    } else {
        share->first = part;
    }
    share->last = part;
}

static void share_back(struct share *share)
{
    struct spread *s = share->spread;
    assert(share->away && s->pending > 0);
    share->away = false;
    if (s->returned) {
        s->returned(share);
    }
    if (--s->pending == 0) {
        s->done(s);
    }
}

static void deliver_back(struct io_message *m, struct io *io)
{
    struct share *share = container_of(m, struct share, message);
    assert(io_shard(io) == io_shard(share->spread->request->api->io));
    share_back(share);
}

static void deliver_out(struct io_message *m, struct io *io)
{
    struct share *share = container_of(m, struct share, message);
    assert(io_shard(io) == share->shard);
    share->home = share->spread->request->api->options.peers[share->shard];
    assert(share->home && share->home->io == io);
    share->spread->start(share);
}

void share_done(struct share *share)
{
    struct api *origin = share->spread->request->api;
    if (share->home == origin) {
        share_back(share);
        return;
    }
    share->message.deliver = deliver_back;
    io_post(share->home->io, io_shard(origin->io), &share->message);
}

void part_done(struct part *part)
{
    struct share *share = part->share;
    assert(share->pending > 0);
    if (--share->pending == 0) {
        share_done(share);
    }
}

void share_each(struct share *s, bool (*begin)(struct api *home, struct part *part))
{
    s->pending = 1; /* so that the share does not go home before all have begun */
    for (struct part *p = s->first; p; p = p->next) {
        s->pending++;
    }
    for (struct part *p = s->first, *next; p; p = next) {
        next = p->next;
        if (begin(s->home, p)) {
            part_done(p);
        }
    }
    if (--s->pending == 0) {
        share_done(s);
    }
}

void spread_hold(struct spread *s)
{
    s->pending++;
}

void spread_unhold(struct spread *s)
{
    assert(s->pending > 0);
    if (--s->pending == 0) {
        s->done(s);
    }
}

void spread_go(struct spread *s)
{
    assert(s->start && s->done && s->pending == 0);
    struct api *api = s->request->api;
    spread_hold(s); /* so that done() comes after all have been started */
    for (unsigned i = 0; i < s->shard_count; i++) {
        struct share *share = spread_share(s, i);
        if (!share->first) {
            continue;
        }
        assert(!share->away);
        share->away = true;
        s->pending++;
        if (i == io_shard(api->io)) {
            share->home = api;
            s->start(share);
        } else {
            share->message.deliver = deliver_out;
            io_post(api->io, i, &share->message);
        }
    }
    spread_unhold(s);
}
