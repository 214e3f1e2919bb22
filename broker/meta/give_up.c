/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/give_up.h"

#include "io/deadline.h"
#include "meta/founding.h"
#include "meta/listed.h"

#include <inttypes.h>
#include <stdio.h>

enum { ANSWER_BYTES_MAX = 4096, ARENA_MAX = 16 << 10 };

static const uint64_t patience_ns = UINT64_C(30000000000);
static const uint64_t again_ns = UINT64_C(250000000);
static const uint64_t said_every_ns = UINT64_C(5000000000);

struct asked {
    struct give_up_run *run;
    struct peer *peer;
    struct peer_request request;
    struct peer_close close;
    struct deadline next; /* the next question, unless one is in flight */
};

struct give_up_run {
    struct io *io;
    struct give_up *owner;
    struct give_up_options options;
    uint64_t begun_ns, said_ns;
    bool begun, stopped; /* who stops it before it has begun waits for that */
    bool of_controller;  /* `why` is */
    bool ending;
    int error;
    struct deadlines deadlines;
    struct deadline over; /* the whole */
    unsigned closing;     /* peers that are not closed yet */
    uint32_t count;
    struct asked asked[FOUNDING_PEERS_MAX];
};

/* --- the end ---------------------------------------------------------------------------------- */

static void over(struct deadlines *d)
{
    struct give_up_run *run = container_of(d, struct give_up_run, deadlines);
    struct give_up *g = run->owner;
    int error = run->error;
    memory_free(io_memory(run->io), run);
    g->run = NULL;
    g->done(g, error);
}

static void one_closed(struct give_up_run *run)
{
    assert(run->ending && run->closing > 0);
    if (--run->closing == 0) {
        deadlines_stop(&run->deadlines, over);
    }
}

static void peer_closed(struct peer_close *c)
{
    one_closed(container_of(c, struct asked, close)->run);
}

static void end(struct give_up_run *run, int error)
{
    assert(!run->ending);
    run->ending = true;
    run->error = error;
    deadline_cancel(&run->deadlines, &run->over);
    run->closing = run->count + 1; /* this call is one of them */
    for (uint32_t i = 0; i < run->count; i++) {
        struct asked *a = &run->asked[i];
        deadline_cancel(&run->deadlines, &a->next);
        a->close.done = peer_closed;
        peer_close(a->peer, &a->close);
    }
    one_closed(run);
}

static void time_is_up(struct deadline *d)
{
    end(container_of(d, struct give_up_run, over), ERR_TIMEOUT);
}

/* --- questions -------------------------------------------------------------------------------- */

static void ask(struct asked *a);

static void ask_due(struct deadline *d)
{
    ask(container_of(d, struct asked, next));
}

/* What a controller says counts. That a node is none says nothing, and why another one cannot be asked stands in until
 * a controller is found. */
static void note(struct give_up_run *run, int error, struct wire_string said)
{
    struct give_up *g = run->owner;
    uint64_t now = io_now(run->io);
    bool refused = error == ERR_INCONSISTENT_CLUSTER_ID || error == ERR_INVALID_REQUEST;
    if (error != ERR_NOT_CONTROLLER && !(refused && run->of_controller)) {
        run->of_controller = !refused;
        wire_string_plain(g->why, sizeof g->why, said);
        if (!g->why[0]) {
            snprintf(g->why, sizeof g->why, "%s", error_text(error));
        }
    }
    if (now >= run->said_ns + said_every_ns) {
        run->said_ns = now;
        log_info(io_logger(run->io), "meta",
                 "asking the others for what is damaged here: after=%" PRIu64 "ms said=\"%s\"",
                 (now - run->begun_ns) / 1000000, g->why);
    }
}

static int read_answer(struct give_up_run *run, const struct peer_answer *answer)
{
    struct give_up_replicas_response response;
    struct reader in = reader_of(answer->body.data, answer->body.size);
    struct arena arena;
    arena_init(&arena, io_memory(run->io), ARENA_MAX);
    int error = give_up_replicas_response_decode(&response, &in, answer->version, &arena);
    if (!error && response.error_code != 0) {
        error = error_from_wire(response.error_code);
        note(run, error, response.error_message);
    }
    arena_deinit(&arena);
    return error;
}

static void answered(struct peer_request *r, const struct peer_answer *answer)
{
    struct asked *a = container_of(r, struct asked, request);
    struct give_up_run *run = a->run;
    if (run->ending) {
        return;
    }
    int error = answer->error ? answer->error : read_answer(run, answer);
    if (!error) {
        end(run, 0);
    } else {
        deadline_set(&run->deadlines, &a->next, io_now(run->io) + again_ns);
    }
}

static int encode(struct peer_request *r, struct wire_writer *w, int version)
{
    struct asked *a = container_of(r, struct asked, request);
    const struct give_up_run *run = a->run;
    const struct give_up_replicas_request request = {
        .cluster_id = run->options.cluster_id,
        .broker_id = run->options.node_id,
        .directory_id = run->options.directory_id,
        .asked_ms = (int64_t)((io_now(run->io) - run->begun_ns) / 1000000),
    };
    return give_up_replicas_request_encode(&request, w, version);
}

static void ask(struct asked *a)
{
    listed_ask(a->peer, &a->request, WIRE_GIVE_UP_REPLICAS, encode, answered);
}

static int open_peer(struct give_up_run *run, const char *address)
{
    struct asked *a = &run->asked[run->count];
    a->run = run;
    a->next.due = ask_due;
    return listed_open(&a->peer, run->io, address, run->options.node_id, ANSWER_BYTES_MAX);
}

/* --- public ----------------------------------------------------------------------------------- */

static void begin(struct io_message *message, struct io *io)
{
    struct give_up *g = container_of(message, struct give_up, message);
    struct give_up_run *run = g->run;
    if (!run) {
        snprintf(g->why, sizeof g->why, "no memory to ask the others");
        g->done(g, ERR_NO_MEMORY);
        return;
    }
    run->begun = true;
    if (run->stopped) {
        end(run, ERR_INTERRUPTED);
        return;
    }
    run->over.due = time_is_up;
    deadline_set(&run->deadlines, &run->over,
                 io_now(io) + (run->options.patience_ns ? run->options.patience_ns : patience_ns));
    for (uint32_t i = 0; i < run->options.peer_count && !run->ending; i++) {
        if (open_peer(run, run->options.peers[i])) {
            snprintf(g->why, sizeof g->why, "no memory to ask the others");
            end(run, ERR_NO_MEMORY);
        } else {
            run->count++;
        }
    }
    for (uint32_t i = 0; i < run->count && !run->ending; i++) {
        ask(&run->asked[i]);
    }
}

void give_up_begin(struct io *io, struct give_up *g, const struct give_up_options *options)
{
    assert(options->peer_count > 0 && options->peer_count <= FOUNDING_PEERS_MAX);
    struct give_up_run *run = memory_alloc(io_memory(io), sizeof *run);
    g->run = run;
    snprintf(g->why, sizeof g->why, "no controller has answered");
    if (run) {
        run->io = io;
        run->owner = g;
        run->options = *options;
        run->begun_ns = run->said_ns = io_now(io);
        deadlines_init(&run->deadlines, io);
    }
    g->message.deliver = begin;
    io_post(io, 0, &g->message);
}

void give_up_stop(struct give_up *g)
{
    if (g->run && !g->run->begun) {
        g->run->stopped = true;
    } else if (g->run && !g->run->ending) {
        end(g->run, ERR_INTERRUPTED);
    }
}
