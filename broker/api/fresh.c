/* SPDX-License-Identifier: Apache-2.0 */

/* A read may stand in meta for longer than a client waits for its answer, so many are not begun: the others are told at
 * once that nobody could be asked. */
#include "api/fresh.h"

const char fresh_late_text[] =
    "The quorum did not answer in time, and this node may not have heard of everything.";
static const uint64_t wait_ns = UINT64_C(1000000000);

static void end(struct fresh *f, bool shown)
{
    assert(!f->over);
    f->over = true;
    f->shown = shown;
    deadline_cancel(&f->request->api->deadlines, &f->deadline);
    f->done(f);
}

static void seen(struct barrier *b)
{
    struct fresh *f = container_of(b, struct fresh, barrier);
    struct api_request *r = f->request;
    if (!f->over) {
        end(f, f->read.error == 0);
    }
    net_unhold(&r->net);
}

static void confirmed(struct meta_op *op)
{
    struct fresh *f = container_of(op, struct fresh, read);
    struct api *api = f->request->api;
    assert(api->reads > 0);
    api->reads--;
    barrier_pass(&f->barrier, api);
}

static void late(struct deadline *d)
{
    end(container_of(d, struct fresh, deadline), false);
}

void fresh_ask(struct fresh *f, struct api_request *r, const void *in,
               void (*done)(struct fresh *f))
{
    struct api *api = r->api;
    *f = (struct fresh){
        .request = r,
        .in = in,
        .done = done,
        .read = {.done = confirmed, .kind = META_READ},
        .deadline = {.due = late},
        .barrier = {.passed = seen},
    };
    if (api->reads >= API_READS_MAX) {
        end(f, false);
        return;
    }
    api->reads++;
    net_hold(&r->net);
    deadline_set(&api->deadlines, &f->deadline, io_now(api->io) + wait_ns);
    meta_submit(api->options.rooms.meta, api->io, &f->read);
}

void fresh_handle(struct api_request *r, void (*done)(struct fresh *f))
{
    const void *in = api_decode(r);
    struct fresh *f = in ? api_alloc(r, 1, sizeof *f) : NULL;
    if (f) {
        fresh_ask(f, r, in, done);
    } else if (in) {
        api_close(r, error_text(ERR_NO_MEMORY));
    }
}
