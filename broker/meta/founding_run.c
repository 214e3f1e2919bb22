/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/founding_run.h"

#include "config/config.h"
#include "io/deadline.h"
#include "meta/files.h"
#include "meta/identity.h"
#include "meta/listed.h"
#include "meta/voters_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    RUN_MAGIC = 0x666e6472,
    ANSWER_BYTES_MAX = 64 << 10,
    ANSWER_ARENA_MAX = 256 << 10,
};

static const uint64_t ask_every_ns = UINT64_C(500000000);
static const uint64_t ask_again_ns = UINT64_C(20000000);

/* One peer that is being asked. */
struct ask {
    struct founding_run *run;
    struct peer *peer;
    struct peer_request request; /* in flight or not */
    struct peer_close close;
    struct deadline next; /* the next question, unless one is in flight */
    bool waiting;         /* for it */
    uint64_t next_ns;
    uint64_t asked_ns;
};

enum run_state { RUN_FILES, RUN_ASKING, RUN_ENDING };

struct founding_run {
    uint32_t magic;
    enum run_state state;
    struct io *io;
    struct memory *memory;
    struct founding_open *open;
    struct founding_options options;
    bool stopping;

    struct identity identity;
    struct introduction self, heard;
    bool used; /* the root holds metadata */
    enum founding_question question;

    uint32_t count;
    struct founding_peer peers[FOUNDING_PEERS_MAX];
    struct ask asks[FOUNDING_PEERS_MAX];
    unsigned closing; /* peers that are not closed yet */
    struct deadlines deadlines;
    struct founding_decision decision;
    struct founding_told told;
    int error; /* with which it ends; 0: it goes on to write */

    struct file_load load;
    struct file_store store;
    struct file_sync sync;
    struct wire_writer writer;
    char path[IO_PATH_MAX], text[IDENTITY_SIZE_MAX];
    uint8_t vote[VOTE_FILE_SIZE];
};

/* --- the end ---------------------------------------------------------------------------------- */

static void run_done(struct founding_run *run, int error)
{
    struct founding_open *open = run->open;
    assert(run->closing == 0);
    wire_writer_deinit(&run->writer);
    memory_free(run->memory, run);
    open->run = NULL;
    open->done(open, error);
}

static void run_fail(struct founding_run *run, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void run_fail(struct founding_run *run, int error, const char *format, ...)
{
    va_list arguments;
    assert(error < 0);
    va_start(arguments, format);
    vsnprintf(run->open->why, sizeof run->open->why, format, arguments);
    va_end(arguments);
    log_error(io_logger(run->io), "meta", "%s", run->open->why);
    run_done(run, error);
}

/* True: it was to be given up, and is. */
static bool run_interrupted(struct founding_run *run)
{
    if (run->stopping) {
        snprintf(run->open->why, sizeof run->open->why, "the node is stopped");
        run_done(run, ERR_INTERRUPTED);
        return true;
    }
    return false;
}

/* The directory belongs to a cluster, durably. */
static void run_member(struct founding_run *run, const struct voters *voters)
{
    struct founding_open *open = run->open;
    open->cluster_id = run->identity.cluster_id;
    open->directory_id = run->identity.directory_id;
    open->voters = *voters;
    introduction_of_node(&run->self, &run->options, open->cluster_id, open->directory_id,
                         open->incarnation_id);
    run->self.voters = *voters;
    introducer_say(run->options.introducer, &run->self);
    run_done(run, 0);
}

/* --- files ------------------------------------------------------------------------------------ */

static void run_path(struct founding_run *run, const char *name)
{
    int error = file_path(run->path, run->options.root, name);
    assert(!error); /* the longest name was measured in founding_open() */
}

static void run_store(struct founding_run *run, const char *name, const void *data, size_t size,
                      void (*done)(struct file_store *s, int error))
{
    run_path(run, name);
    run->store.done = done;
    file_store(run->io, &run->store, run->path, data, size);
}

static bool store_failed(struct founding_run *run, int error)
{
    if (error) {
        run_fail(run, error, "%s cannot be written: %s", run->path, error_text(error));
        return true;
    }
    return run_interrupted(run);
}

/* The vote file of a node that has never voted. */
static void encode_vote(struct founding_run *run, uint64_t sequence)
{
    const struct vote vote = {
        .sequence = sequence,
        .cluster_id = run->identity.cluster_id,
        .directory_id = run->identity.directory_id,
        .voted_id = -1,
    };
    vote_encode(&vote, run->vote);
    memcpy(run->vote + VOTE_SLOT_SIZE, run->vote, VOTE_SLOT_SIZE);
}

static void store_identity(struct founding_run *run, void (*done)(struct file_store *s, int error))
{
    size_t size = identity_encode(&run->identity, run->text);
    run_store(run, "meta.properties", run->text, size, done);
}

/* --- writing the decision (F6) ---------------------------------------------------------------- */

static void member_stored(struct file_store *s, int error)
{
    struct founding_run *run = container_of(s, struct founding_run, store);
    if (!store_failed(run, error)) {
        run_member(run, &run->decision.voters);
    }
}

static void member_vote_stored(struct file_store *s, int error)
{
    struct founding_run *run = container_of(s, struct founding_run, store);
    if (!store_failed(run, error)) {
        store_identity(run, member_stored);
    }
}

/* `voters` is durable, with this cluster and these voters. */
static void become_member(struct founding_run *run, struct uuid cluster_id)
{
    assert(!uuid_is_zero(cluster_id) && uuid_is_zero(run->identity.cluster_id));
    run->identity.cluster_id = cluster_id;
    run->open->decided = true;
    encode_vote(run, 2);
    run_store(run, "vote", run->vote, sizeof run->vote, member_vote_stored);
}

static void voters_stored(struct file_store *s, int error)
{
    struct founding_run *run = container_of(s, struct founding_run, store);
    if (!store_failed(run, error)) {
        become_member(run, run->decision.cluster_id);
    }
}

static void random_id(struct io *io, struct uuid *out)
{
    char text[UUID_TEXT_SIZE];
    do {
        io_random(io, out->bytes, sizeof out->bytes);
        out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
        out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3f) | 0x80);
        uuid_text(*out, text);
    } while (text[0] == '-'); /* else command lines take it for an option, as Kafka avoids too */
}

static void write_decision(struct founding_run *run)
{
    struct founding_decision *d = &run->decision;
    run->open->founded = d->verdict == FOUNDING_FOUND;
    const struct voters_file file = {d->cluster_id, run->identity.directory_id, run->open->founded,
                                     d->voters};
    int error = voters_file_encode(&file, &run->writer);
    if (error) {
        run_fail(run, error, "no memory to write %s/voters", run->options.root);
        return;
    }
    run_store(run, "voters", run->writer.data, run->writer.size, voters_stored);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void ask_now(struct ask *a);

static void ask_due(struct deadline *d)
{
    struct ask *a = container_of(d, struct ask, next);
    a->waiting = false;
    ask_now(a);
}

static void ask_later(struct ask *a, uint64_t after_ns)
{
    struct founding_run *run = a->run;
    uint64_t at = io_now(run->io) + after_ns;
    if (a->waiting && a->next_ns <= at) {
        return;
    }
    if (a->waiting) {
        deadline_cancel(&run->deadlines, &a->next);
    }
    a->waiting = true;
    a->next_ns = at;
    deadline_set(&run->deadlines, &a->next, at);
}

static void asking_over(struct deadlines *d)
{
    struct founding_run *run = container_of(d, struct founding_run, deadlines);
    if (run->error) {
        run_done(run, run->error);
    } else if (run_interrupted(run)) {
        return;
    } else if (run->question == FOUNDING_WHICH) {
        write_decision(run);
    } else {
        run_done(run, 0);
    }
}

static void one_closed(struct founding_run *run)
{
    assert(run->state == RUN_ENDING && run->closing > 0);
    if (--run->closing == 0) {
        deadlines_stop(&run->deadlines, asking_over);
    }
}

static void peer_closed(struct peer_close *c)
{
    one_closed(container_of(c, struct ask, close)->run);
}

/* Closes all connections; what comes then is asking_over()'s. */
static void end_asking(struct founding_run *run, int error)
{
    assert(run->state == RUN_ASKING && run->closing == 0);
    run->state = RUN_ENDING;
    run->error = error;
    run->closing = run->count + 1; /* this call is one of them */
    for (uint32_t i = 0; i < run->count; i++) {
        struct ask *a = &run->asks[i];
        if (a->waiting) {
            deadline_cancel(&run->deadlines, &a->next);
            a->waiting = false;
        }
        a->close.done = peer_closed;
        peer_close(a->peer, &a->close);
    }
    one_closed(run);
}

static void tell(struct founding_run *run)
{
    const struct founding_decision *d = &run->decision;
    if (d->verdict == FOUNDING_REFUSE) {
        log_error(io_logger(run->io), "meta", "%s", d->why);
    } else if (founding_tell(&run->told, d, io_now(run->io))) {
        logger_write(io_logger(run->io), d->elsewhere ? LOGGER_WARN : LOGGER_INFO, "meta", "%s",
                     d->why);
    }
}

static void decide(struct founding_run *run)
{
    struct founding_decision *d = &run->decision;
    switch (run->question) {
    case FOUNDING_WHICH:
        founding_decide(d, &run->self, run->peers, run->count);
        break;
    case FOUNDING_DOUBT:
        founding_doubt(d, &run->self, run->options.root, run->peers, run->count);
        break;
    case FOUNDING_MEET:
        founding_meet(d, &run->self, run->options.root, run->peers, run->count);
        break;
    }
    run->open->elsewhere = d->elsewhere;
    tell(run);
    switch (d->verdict) {
    case FOUNDING_WAIT:
        for (uint32_t i = 0; i < run->count && d->ask_again; i++) {
            if (run->asks[i].waiting) {
                ask_later(&run->asks[i], ask_again_ns);
            }
        }
        return;
    case FOUNDING_REFUSE:
        memcpy(run->open->why, d->why, sizeof d->why);
        end_asking(run, d->error);
        return;
    case FOUNDING_JOIN:
        if (run->question != FOUNDING_WHICH) {
            end_asking(run, 0);
            return;
        }
        run->self.cluster_id = d->cluster_id;
        run->self.voters = d->voters;
        introducer_say(run->options.introducer, &run->self); /* F5 */
        end_asking(run, 0);
        return;
    case FOUNDING_FOUND:
        random_id(run->io, &d->cluster_id);
        end_asking(run, 0);
        return;
    }
}

/* What a peer says, or why it says nothing. */
static void take_answer(struct ask *a, const struct peer_answer *answer)
{
    struct founding_run *run = a->run;
    struct founding_peer *p = &run->peers[a - run->asks];
    struct introduce_response response;
    struct arena arena;
    char why[FOUNDING_TROUBLE_SIZE];
    if (answer->error) {
        founding_unheard(p, answer->error == ERR_UNSUPPORTED_VERSION
                                ? "it does not speak Introduce: it is no leatd of this release"
                                : error_text(answer->error));
        return;
    }
    struct reader r = reader_of(answer->body.data, answer->body.size);
    arena_init(&arena, run->memory, ANSWER_ARENA_MAX);
    int error = introduce_response_decode(&response, &r, answer->version, &arena);
    snprintf(why, sizeof why, "%s", error_text(error));
    if (!error) {
        error = introduction_read(&run->heard, &response, why);
    }
    arena_deinit(&arena);
    if (error) {
        founding_unheard(p, why);
    } else {
        founding_heard(p, &run->heard, a->asked_ns, io_now(run->io));
        if (run->options.heard) {
            run->options.heard(run->options.heard_context, p->address, &run->heard);
        }
    }
}

static void answered(struct peer_request *r, const struct peer_answer *answer)
{
    struct ask *a = container_of(r, struct ask, request);
    struct founding_run *run = a->run;
    assert(run->magic == RUN_MAGIC);
    if (run->state != RUN_ASKING) {
        return;
    }
    take_answer(a, answer);
    ask_later(a, run->options.ask_every_ns);
    decide(run);
}

static int encode_question(struct peer_request *r, struct wire_writer *w, int version)
{
    struct ask *a = container_of(r, struct ask, request);
    struct founding_run *run = a->run;
    const struct introduce_request request = {
        .cluster_id = run->self.cluster_id,
        .node_id = run->self.node_id,
        .directory_id = run->self.directory_id,
        .incarnation_id = run->self.incarnation_id,
        .software_version = wire_string_of(run->self.version),
    };
    return introduce_request_encode(&request, w, version);
}

/* F2 holds questions against the time at which they were surely not yet answered. */
static void ask_now(struct ask *a)
{
    assert(a->run->state == RUN_ASKING && !a->waiting);
    a->asked_ns = io_now(a->run->io);
    listed_ask(a->peer, &a->request, WIRE_INTRODUCE, encode_question, answered);
}

static int open_peer(struct founding_run *run, uint32_t i)
{
    struct ask *a = &run->asks[i];
    a->run = run;
    a->next.due = ask_due;
    return listed_open(&a->peer, run->io, run->peers[i].address, run->options.node_id,
                       ANSWER_BYTES_MAX);
}

static void ask_peers(struct founding_run *run)
{
    struct founding_open *open = run->open;
    deadlines_init(&run->deadlines, run->io);
    uint32_t wanted = run->self.peer_count;
    for (run->count = 0; run->count < wanted; run->count++) {
        memcpy(run->peers[run->count].address, run->self.peers[run->count], FOUNDING_ADDRESS_SIZE);
        int error = open_peer(run, run->count);
        if (error) {
            break;
        }
    }
    run->state = RUN_ASKING;
    if (run->count < wanted) {
        snprintf(open->why, sizeof open->why, "no memory to ask the peers");
        end_asking(run, ERR_NO_MEMORY);
        return;
    }
    for (uint32_t i = 0; i < run->count; i++) {
        ask_now(&run->asks[i]);
    }
    decide(run);
}

static void start_asking(struct founding_run *run)
{
    if (run_interrupted(run)) {
        return;
    }
    introduction_of_node(&run->self, &run->options, (struct uuid){0}, run->identity.directory_id,
                         run->open->incarnation_id);
    introducer_say(run->options.introducer, &run->self); /* F5: its directory id is durable */
    ask_peers(run);
}

/* --- what stands in the directory ------------------------------------------------------------- */

static void waiting_stored(struct file_store *s, int error)
{
    struct founding_run *run = container_of(s, struct founding_run, store);
    if (!store_failed(run, error)) {
        start_asking(run);
    }
}

static void waiting_vote_stored(struct file_store *s, int error)
{
    struct founding_run *run = container_of(s, struct founding_run, store);
    if (!store_failed(run, error)) {
        store_identity(run, waiting_stored);
    }
}

static void each_in_root(void *context, const char *name, bool directory)
{
    struct founding_run *run = context;
    bool own = strncmp(name, "journal-", 8) == 0 || strcmp(name, "topics") == 0 ||
               strcmp(name, "snapshots") == 0 || strcmp(name, "voters") == 0;
    run->used = run->used || own;
}

/* There is no meta.properties. */
static void begin_waiting(struct founding_run *run)
{
    if (run->options.peer_count == 0) {
        run->open->alone = true;
        run_done(run, 0);
        return;
    }
    if (io_list(run->io, run->options.root, each_in_root, run) < 0) {
        run_fail(run, ERR_DISK_FAILED, "%s cannot be listed", run->options.root);
        return;
    }
    if (run->used) {
        run_fail(
            run, ERR_DAMAGED,
            "%s holds metadata, but its meta.properties is missing: nobody knows which cluster "
            "it belongs to; restore the file from a copy",
            run->options.root);
        return;
    }
    run->identity = (struct identity){.node_id = run->options.node_id};
    random_id(run->io, &run->identity.directory_id);
    encode_vote(run, 1);
    run_store(run, "vote", run->vote, sizeof run->vote, waiting_vote_stored);
}

/* Of `voters`: 0 when it is there and of this directory. */
static int read_voters(struct founding_run *run, struct file_load *l, int error,
                       struct voters_file *out)
{
    if (!error) {
        error = voters_file_decode(out, bytes_of(l->data, l->size), run->memory);
        memory_free(run->memory, l->data);
        l->data = NULL;
    }
    if (!error && !uuid_equal(out->directory_id, run->identity.directory_id)) {
        error = ERR_MALFORMED;
    }
    return error;
}

/* Of a member: the file counts only as long as the log names no voters, so it need not be there. */
static void member_voters_loaded(struct file_load *l, int error)
{
    struct founding_run *run = container_of(l, struct founding_run, load);
    struct voters_file file;
    static const struct voters none;
    error = read_voters(run, l, error, &file);
    if (!error && !uuid_equal(file.cluster_id, run->identity.cluster_id)) {
        error = ERR_MALFORMED;
    }
    if (error && error != ERR_NOT_FOUND) {
        log_warn(io_logger(run->io), "meta",
                 "%s cannot be believed (%s): the log must name the voters", run->path,
                 error_text(error));
    }
    run_member(run, error ? &none : &file.voters);
}

static void waiting_voters_loaded(struct file_load *l, int error)
{
    struct founding_run *run = container_of(l, struct founding_run, load);
    struct voters_file file;
    error = read_voters(run, l, error, &file);
    if (!error) {
        run->decision.voters = file.voters;
        run->open->founded = file.founded;
        become_member(run, file.cluster_id);
    } else if (error != ERR_NOT_FOUND) {
        run_fail(
            run, error == ERR_NO_MEMORY || error == ERR_DISK_FAILED ? error : ERR_DAMAGED,
            "%s/voters cannot be believed (%s): it says which cluster this directory founded or "
            "joined; it holds nothing else yet, so start with an empty data.dir",
            run->options.root, error_text(error));
    } else if (run->options.peer_count == 0) {
        run_fail(run, ERR_INVALID_ARGUMENT,
                 "%s waits to found or to join a cluster, and `peers` is empty now: set peers, or "
                 "start with an empty data.dir to found a cluster of one",
                 run->options.root);
    } else {
        start_asking(run);
    }
}

static void identity_loaded(struct file_load *l, int error)
{
    struct founding_run *run = container_of(l, struct founding_run, load);
    if (error == ERR_NOT_FOUND) {
        begin_waiting(run);
        return;
    }
    if (!error) {
        error = identity_decode_any(&run->identity, bytes_of(l->data, l->size));
        memory_free(run->memory, l->data);
        l->data = NULL;
    }
    if (error) {
        bool form = error == ERR_MALFORMED || error == ERR_TOO_LARGE;
        run_fail(run, form ? ERR_DAMAGED : error,
                 "%s/meta.properties cannot be believed: %s; restore the file from a copy",
                 run->options.root, form ? "its checksum or form is wrong" : error_text(error));
        return;
    }
    if (run->identity.node_id != run->options.node_id) {
        run_fail(
            run, ERR_INVALID_ARGUMENT,
            "%s belongs to node.id %d, but this node is configured as %d; set node.id to %d or "
            "choose another data.dir",
            run->options.root, (int)run->identity.node_id, (int)run->options.node_id,
            (int)run->identity.node_id);
        return;
    }
    bool waits = uuid_is_zero(run->identity.cluster_id);
    run_path(run, "voters");
    l->done = waits ? waiting_voters_loaded : member_voters_loaded;
    file_load(run->io, l, run->path, VOTERS_FILE_MAX);
}

static void root_synced(struct file_sync *s, int error)
{
    struct founding_run *run = container_of(s, struct founding_run, sync);
    if (error) {
        run_fail(run, error, "%s cannot be synced: %s", run->options.root, error_text(error));
        return;
    }
    run->load.done = identity_loaded;
    file_load(run->io, &run->load, run->path, IDENTITY_SIZE_MAX);
}

/* --- public ----------------------------------------------------------------------------------- */

void introduction_of_node(struct introduction *out, const struct founding_options *options,
                          struct uuid cluster_id, struct uuid directory_id,
                          struct uuid incarnation_id)
{
    assert(options->peer_count <= FOUNDING_PEERS_MAX);
    assert(options->endpoint_count > 0 && options->endpoint_count <= IMAGE_ENDPOINTS_MAX);
    memset(out, 0, sizeof *out);
    out->node_id = options->node_id;
    out->cluster_id = cluster_id;
    out->directory_id = directory_id;
    out->incarnation_id = incarnation_id;
    out->leader_id = out->leader_epoch = -1;
    snprintf(out->version, sizeof out->version, "%s", options->version);
    for (uint32_t i = 0; i < options->peer_count; i++) {
        char host[CONFIG_HOST_SIZE];
        uint16_t port = 0;
        bool valid = config_split_address(bytes_of_string(options->peers[i]), host, &port);
        assert(valid);
        founding_address(out->peers[out->peer_count++], host, port);
    }
    for (uint32_t i = 0; i < options->endpoint_count; i++) {
        struct founding_endpoint *e = &out->endpoints[out->endpoint_count++];
        int name = snprintf(e->name, sizeof e->name, "%s", options->endpoints[i].name);
        int host = snprintf(e->host, sizeof e->host, "%s", options->endpoints[i].host);
        assert(name < (int)sizeof e->name && host < (int)sizeof e->host);
        e->port = options->endpoints[i].port;
    }
}

static void no_memory(struct io_message *message, struct io *io)
{
    struct founding_open *f = container_of(message, struct founding_open, message);
    snprintf(f->why, sizeof f->why, "no memory to look at the directory");
    f->done(f, ERR_NO_MEMORY);
}

static void run_begin(struct founding_run *run, struct io *io, struct founding_open *f,
                      const struct founding_options *options)
{
    f->run = run;
    run->magic = RUN_MAGIC;
    run->io = io;
    run->memory = io_memory(io);
    run->open = f;
    run->options = *options;
    if (!run->options.ask_every_ns) {
        run->options.ask_every_ns = ask_every_ns;
    }
    wire_writer_init(&run->writer, run->memory, VOTERS_FILE_MAX);
}

void founding_open(struct io *io, struct founding_open *f, const struct founding_options *options)
{
    struct founding_run *run = memory_alloc(io_memory(io), sizeof *run);
    assert(io_shard(io) == 0);
    *f = (struct founding_open){.done = f->done};
    io_random(io, f->incarnation_id.bytes, sizeof f->incarnation_id.bytes);
    if (!run || file_path(run->path, options->root, "meta.properties")) {
        memory_free(io_memory(io), run);
        f->message.deliver = no_memory;
        io_post(io, 0, &f->message);
        return;
    }
    run_begin(run, io, f, options);
    /* A life that was killed may have left names that are not durable yet: they are, before others hear of them. */
    run->sync.done = root_synced;
    file_sync_directory(io, &run->sync, options->root);
}

bool founding_inquire(struct io *io, struct founding_open *f,
                      const struct founding_options *options, const struct founding_member *member,
                      enum founding_question question)
{
    struct founding_run *run = memory_alloc(io_memory(io), sizeof *run);
    assert(io_shard(io) == 0 && options->peer_count > 0);
    *f = (struct founding_open){.done = f->done};
    if (!run) {
        return false;
    }
    run_begin(run, io, f, options);
    run->question = question;
    introduction_of_node(&run->self, options, member->cluster_id, member->directory_id,
                         member->incarnation_id);
    ask_peers(run);
    return true;
}

void founding_stop(struct founding_open *f)
{
    struct founding_run *run = f->run;
    if (!run || run->stopping) {
        return;
    }
    run->stopping = true;
    if (run->state == RUN_ASKING) {
        end_asking(run, 0);
    }
}
