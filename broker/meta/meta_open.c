/* SPDX-License-Identifier: Apache-2.0 */

/* From a directory to an active controller.
 *
 *     meta.properties --there--> vote file ----------------+--> log_recover --> newest snapshot
 *            |                                              |         --> replay of the log behind
 * it
 *            +--missing, directory empty--> found: vote ----+         --> begin: next epoch
 *               file, then meta.properties                                (meta_begin.c)
 *
 * Founding is complete when the first records are durable, which the vote file then says. Up to
 * there a crash leaves a directory that the next start founds on; after it, an empty log is damage
 * (M3).
 *
 *   O1  meta.properties appears after the vote file, in one rename: a directory that has it has both.
 *   O2  What cannot be read is damage, never an empty state: it is said with file and place.
 *   O3  The image is that of the newest snapshot until the quorum says what behind it is committed;
 *       `ahead` is that of the whole log. */
#include "meta/meta_start.h"
#include "meta/quorum_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* --- the end ---------------------------------------------------------------------------------- */

void start_failed(struct meta *m)
{
    struct meta_open *open = m->open;
    int error = m->start->error;
    meta_free(m);
    open->meta = NULL;
    open->done(open, error);
}

void start_fail(struct meta *m, int error, const char *format, ...)
{
    va_list arguments;
    assert(error < 0);
    va_start(arguments, format);
    vsnprintf(m->open->why, sizeof m->open->why, format, arguments);
    va_end(arguments);
    log_error(io_logger(m->io), "meta", "%s", m->open->why);
    m->start->error = error;
    proposal_drop(&m->proposal);
    image_release(m->start->draft);
    m->start->draft = NULL;
    memory_free(m->memory, m->start->buffer);
    m->start->buffer = NULL;
    quorum_history_free(m, &m->start->history);
    io_file_close(m->io, m->start->file);
    m->start->file = NULL;
    m->state = META_CLOSING;
    meta_close_next(m);
}

/* --- replay of the log ------------------------------------------------------------------------ */

static void replay_next(struct meta *m);

static void replay_read(struct log_read *r, int error)
{
    struct meta_start *s = container_of(r, struct meta_start, read);
    struct meta *m = s->meta;
    if (error) {
        start_fail(
            m, error,
            "the metadata log %s/topics/__cluster_metadata-0 cannot be read at offset %" PRId64
            ": %s%s",
            m->options.root, r->offset, error_text(error),
            error == ERR_DAMAGED ? "; restore the file from a copy" : "");
        return;
    }
    error = meta_log_apply(m, r, s->draft, &s->history, s->why);
    if (error) {
        int kind = error == ERR_NO_MEMORY || error == ERR_UNSUPPORTED_VERSION ? error : ERR_DAMAGED;
        start_fail(m, kind, "the metadata log %s/topics/__cluster_metadata-0: %s", m->options.root,
                   s->why);
        return;
    }
    s->next_offset = r->next_offset;
    replay_next(m);
}

static void replay_end(struct meta *m)
{
    struct meta_start *s = m->start;
    m->ahead = s->draft;
    s->draft = NULL;
    start_begin(m);
}

static void replay_next(struct meta *m)
{
    struct meta_start *s = m->start;
    struct log_status status = log_status(m->log);
    if (s->next_offset >= status.end_offset) {
        replay_end(m);
        return;
    }
    s->read = (struct log_read){
        .offset = s->next_offset,
        .limit_offset = status.end_offset,
        .bytes_max = META_READ_BYTES,
        .first_whole = true,
        .done = replay_read,
    };
    int answered = log_read(m->log, &s->read);
    if (answered != 0) {
        replay_read(&s->read, answered < 0 ? answered : 0);
    }
}

static void replay_start(struct meta *m)
{
    struct meta_start *s = m->start;
    struct log_status status = log_status(m->log);
    int64_t from = m->last_snapshot.end_offset;
    if (status.start_offset > from || status.end_offset < from) {
        start_fail(m, ERR_DAMAGED,
                   "%s: the metadata log holds offsets %" PRId64 " to %" PRId64
                   ", but the newest snapshot ends at %" PRId64
                   ": what lies between is lost; restore the directory from a copy",
                   m->options.root, status.start_offset, status.end_offset, from);
        return;
    }
    if (m->vote.founded && !m->vote_lost && status.end_offset == 0) {
        start_fail(m, ERR_DAMAGED,
                   "%s: the metadata log is empty, but this cluster was founded: it is lost; "
                   "restore the directory from a copy",
                   m->options.root);
        return;
    }
    m->committed = from;
    m->snapshot_epoch = m->last_snapshot.epoch;
    meta_show(m, s->draft);
    s->draft = image_fork(m->image);
    if (s->draft) {
        image_remember_removed(s->draft); /* who knows whether that is ever committed */
    }
    if (!s->draft) {
        start_fail(m, ERR_NO_MEMORY, "no memory for the metadata");
        return;
    }
    s->next_offset = from;
    replay_next(m);
}

/* --- the newest snapshot ---------------------------------------------------------------------- */

static void each_snapshot(void *context, const char *name, bool directory)
{
    struct meta *m = context;
    struct snapshot_id id;
    struct bytes text = bytes_of_string(name);
    if (!directory && snapshot_name_parse(text, &id) &&
        id.end_offset > m->last_snapshot.end_offset) {
        m->last_snapshot = id;
    }
    if (!directory && snapshot_loaded_name_parse(text, &id) &&
        id.end_offset > m->start->loaded.end_offset) {
        m->start->loaded = id;
    }
}

static void snapshot_failed(struct meta *m, int error, const char *what)
{
    struct meta_start *s = m->start;
    start_fail(m, error,
               "%s is damaged (%s): the metadata before offset %" PRId64
               " cannot be read; restore the file from a copy",
               s->path, what, m->last_snapshot.end_offset);
}

static void snapshot_read_done(struct io_op *op, int64_t result)
{
    struct meta_start *s = container_of(op, struct meta_start, op);
    struct meta *m = s->meta;
    size_t used = 0;
    if (result < 0) {
        snapshot_failed(m, ERR_DISK_FAILED, error_text(error_from_errno(result)));
        return;
    }
    s->filled += (size_t)result;
    int error = snapshot_reader_feed(&s->reader, s->buffer, s->filled, &used);
    if (error == ERR_UNSUPPORTED_VERSION || error == ERR_NO_MEMORY) {
        start_fail(m, error, "%s cannot be read: %s", s->path,
                   s->reader.why[0] ? s->reader.why : error_text(error));
        return;
    }
    if (error) {
        snapshot_failed(m, ERR_DAMAGED, s->reader.why);
        return;
    }
    memmove(s->buffer, s->buffer + used, s->filled - used);
    s->filled -= used;
    s->position += (uint64_t)result;
    if (result > 0) {
        assert(s->filled < START_BUFFER_SIZE);
        io_read(m->io, op, s->file, s->buffer + s->filled, START_BUFFER_SIZE - s->filled,
                s->position);
        return;
    }
    if (s->filled > 0 || snapshot_reader_end(&s->reader) != 0) {
        snapshot_failed(m, ERR_DAMAGED, "the file is cut off");
        return;
    }
    io_file_close(m->io, s->file);
    s->file = NULL;
    memory_free(m->memory, s->buffer);
    s->buffer = NULL;
    if (s->loaded.end_offset > 0) {
        meta_install_again(m, s->loaded, replay_start);
    } else {
        replay_start(m);
    }
}

/* The directory of snapshots is there, and its name is durable. */
static void load_snapshot(struct file_sync *sync, int error)
{
    struct meta_start *s = container_of(sync, struct meta_start, sync);
    struct meta *m = s->meta;
    char name[SNAPSHOT_NAME_SIZE];
    if (!error && io_list(m->io, m->snapshots, each_snapshot, m) < 0) {
        error = ERR_DISK_FAILED;
    }
    s->draft = error ? NULL : image_empty(m->home);
    if (!s->draft) {
        start_fail(m, error ? error : ERR_NO_MEMORY, "%s cannot be used: %s", m->snapshots,
                   error_text(error ? error : ERR_NO_MEMORY));
        return;
    }
    if (m->last_snapshot.end_offset == 0 && s->loaded.end_offset == 0) {
        replay_start(m);
        return;
    }
    if (s->loaded.end_offset > 0) {
        snapshot_loaded_name(s->loaded, name);
        m->last_snapshot = s->loaded;
    } else {
        snapshot_name(m->last_snapshot, name);
    }
    error = file_path(s->path, m->snapshots, name);
    s->buffer = memory_alloc(m->memory, START_BUFFER_SIZE);
    if (error || !s->buffer) {
        start_fail(m, error ? error : ERR_NO_MEMORY, "no memory to read %s", m->snapshots);
        return;
    }
    error = io_file_open(m->io, &s->file, s->path, IO_OPEN_READ);
    if (error) {
        s->file = NULL;
        snapshot_failed(m, ERR_DISK_FAILED, error_text(error_from_errno(error)));
        return;
    }
    snapshot_reader_init(&s->reader, m->memory, s->draft, m->last_snapshot, m->identity.cluster_id);
    s->op.done = snapshot_read_done;
    io_read(m->io, &s->op, s->file, s->buffer, START_BUFFER_SIZE, 0);
}

/* --- the log ---------------------------------------------------------------------------------- */

static const char *known_log(void *context, struct uuid topic_id, int32_t partition)
{
    return uuid_equal(topic_id, quorum_topic_id) && partition == 0 ? quorum_topic : NULL;
}

static void recovered(struct log_recover *r, int error)
{
    struct meta_start *s = container_of(r, struct meta_start, recover);
    struct meta *m = s->meta;
    if (error) {
        bool damaged = r->summary.damage[0] != 0;
        start_fail(m, error, "%s: %s%s%s", m->options.root,
                   damaged ? r->summary.damage : error_text(error), damaged ? "; " : "",
                   damaged ? r->summary.remedy : "");
        return;
    }
    m->open->replayed_bytes = r->summary.replayed_bytes;
    m->logs = log_set_open(m->io, r->result, &m->log_options);
    log_recovery_free(m->io, r->result);
    const struct log_config config = {
        .segment_bytes = META_SEGMENT_BYTES,
        .segment_ms = INT64_MAX,
        .retention_ms = -1,
        .retention_bytes = -1,
        .index_interval_bytes = 65536,
        .durability = LOG_FSYNC,
    };
    m->log = m->logs ? log_open(m->logs, quorum_topic_id, 0, quorum_topic, &config) : NULL;
    if (!m->log) {
        start_fail(m, ERR_NO_MEMORY, "%s: the metadata log cannot be opened: %s", m->options.root,
                   error_text(ERR_NO_MEMORY));
        return;
    }
    error = file_make_directory(m->io, m->snapshots);
    if (error) {
        start_fail(m, error, "%s cannot be made: %s", m->snapshots, error_text(error));
        return;
    }
    s->sync.done = load_snapshot;
    file_sync_directory(m->io, &s->sync, m->options.root);
}

static void recover_log(struct meta *m)
{
    struct meta_start *s = m->start;
    uuid_text(m->identity.cluster_id, m->cluster_text);
    m->home = image_home_new(m->memory, m->cluster_text);
    if (!m->home) {
        start_fail(m, ERR_NO_MEMORY, "no memory for the metadata");
        return;
    }
    m->log_options = (struct log_options){
        .root = m->options.root,
        .journal_file_bytes = m->options.journal_file_bytes,
        .journal_bytes_max = m->options.journal_file_bytes * 4,
        .tail_bytes_max = 4 << 20,
        .read_bytes_max = 4 << 20,
        .disk_reserve_bytes = 64 << 10, /* far below what topics leave: metadata still fit */
        .files_max = 16,
        .accept_loss = m->options.accept_loss,
        .checkpoint_needed = true,
        .known = known_log,
    };
    s->recover.done = recovered;
    log_recover(m->io, &s->recover, &m->log_options, 1);
}

/* --- the vote --------------------------------------------------------------------------------- */

static void open_vote(struct meta *m)
{
    struct meta_start *s = m->start;
    int error = file_path(s->path, m->options.root, "vote");
    if (!error && io_file_open(m->io, &m->quorum.file, s->path,
                               IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE) != 0) {
        m->quorum.file = NULL;
        error = ERR_DISK_FAILED;
    }
    if (error) {
        start_fail(m, error, "%s cannot be opened for writing", s->path);
        return;
    }
    recover_log(m);
}

static void vote_loaded(struct file_load *l, int error)
{
    struct meta_start *s = container_of(l, struct meta_start, load);
    struct meta *m = s->meta;
    const char *what = "it is missing";
    if (!error) {
        error = vote_choose(&m->vote, &m->quorum.slot, bytes_of(l->data, l->size));
        what = "both copies fail their checks";
        if (!error && (!uuid_equal(m->vote.directory_id, m->identity.directory_id) ||
                       !uuid_equal(m->vote.cluster_id, m->identity.cluster_id))) {
            error = ERR_DAMAGED;
            what = "it belongs to another directory";
        }
        memory_free(m->memory, l->data);
        l->data = NULL;
    } else if (error != ERR_NOT_FOUND) {
        what = error_text(error);
    }
    if (error && !m->options.accept_loss) {
        start_fail(
            m, ERR_DAMAGED,
            "%s/vote cannot be believed (%s): without it this node may not vote or lead; where "
            "nobody else votes, --accept-loss goes on once from the epoch of the log",
            m->options.root, what);
        return;
    }
    if (error) {
        log_warn(io_logger(m->io), "meta",
                 "vote file lost, going on from the log path=%s/vote (%s)", m->options.root, what);
        m->vote_lost = true;
        m->vote = (struct vote){.voted_id = -1};
        m->quorum.slot = 0;
    }
    open_vote(m);
}

/* --- meta.properties -------------------------------------------------------------------------- */

static void identity_stored(struct file_store *store, int error)
{
    struct meta_start *s = container_of(store, struct meta_start, store);
    if (error) {
        start_fail(s->meta, error, "%s/meta.properties cannot be written: %s",
                   s->meta->options.root, error_text(error));
        return;
    }
    s->meta->open->founded = true;
    open_vote(s->meta);
}

static void vote_stored(struct file_store *store, int error)
{
    struct meta_start *s = container_of(store, struct meta_start, store);
    struct meta *m = s->meta;
    if (error) {
        start_fail(m, error, "%s/vote cannot be written: %s", m->options.root, error_text(error));
        return;
    }
    size_t size = identity_encode(&m->identity, s->text);
    store->done = identity_stored;
    error = file_path(s->path, m->options.root, "meta.properties");
    assert(!error); /* it was read a moment ago */
    file_store(m->io, store, s->path, s->text, size);
}

static void each_in_root(void *context, const char *name, bool directory)
{
    struct meta_start *s = context;
    bool own = strncmp(name, "journal-", 8) == 0 || strcmp(name, "topics") == 0 ||
               strcmp(name, "snapshots") == 0;
    s->used = s->used || own;
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

static void found(struct meta *m)
{
    struct meta_start *s = m->start;
    if (io_list(m->io, m->options.root, each_in_root, s) < 0) {
        start_fail(m, ERR_DISK_FAILED, "%s cannot be listed", m->options.root);
        return;
    }
    if (s->used) {
        start_fail(m, ERR_DAMAGED,
                   "%s holds metadata, but its meta.properties is missing: nobody knows which "
                   "cluster it belongs to; restore the file from a copy",
                   m->options.root);
        return;
    }
    random_id(m->io, &m->identity.cluster_id);
    random_id(m->io, &m->identity.directory_id);
    m->identity.node_id = m->options.node_id;
    m->vote = (struct vote){
        .sequence = 1,
        .cluster_id = m->identity.cluster_id,
        .directory_id = m->identity.directory_id,
        .voted_id = -1,
    };
    vote_encode(&m->vote, m->quorum.bytes);
    memcpy(m->quorum.bytes + VOTE_SLOT_SIZE, m->quorum.bytes, VOTE_SLOT_SIZE);
    int error = file_path(s->path, m->options.root, "vote");
    assert(!error); /* shorter than meta.properties */
    s->store.done = vote_stored;
    file_store(m->io, &s->store, s->path, m->quorum.bytes, VOTE_FILE_SIZE);
}

static void identity_loaded(struct file_load *l, int error)
{
    struct meta_start *s = container_of(l, struct meta_start, load);
    struct meta *m = s->meta;
    if (error == ERR_NOT_FOUND) {
        found(m);
        return;
    }
    if (!error) {
        error = identity_decode(&m->identity, bytes_of(l->data, l->size));
        memory_free(m->memory, l->data);
        l->data = NULL;
    }
    if (error) {
        start_fail(m, error == ERR_MALFORMED ? ERR_DAMAGED : error,
                   "%s/meta.properties cannot be believed: %s; restore the file from a copy",
                   m->options.root,
                   error == ERR_MALFORMED ? "its checksum or form is wrong" : error_text(error));
        return;
    }
    if (m->identity.node_id != m->options.node_id) {
        start_fail(m, ERR_INVALID_ARGUMENT,
                   "%s belongs to node.id %d, but this node is configured as %d; set node.id to "
                   "%d or choose another data.dir",
                   m->options.root, (int)m->identity.node_id, (int)m->options.node_id,
                   (int)m->identity.node_id);
        return;
    }
    error = file_path(s->path, m->options.root, "vote");
    assert(!error); /* shorter than meta.properties */
    l->done = vote_loaded;
    file_load(m->io, l, s->path, VOTE_FILE_SIZE);
}

/* --- public ----------------------------------------------------------------------------------- */

static void set_options(struct meta *m, const struct meta_options *options)
{
    assert(options->endpoint_count > 0 && options->endpoint_count <= IMAGE_ENDPOINTS_MAX);
    m->options = *options;
    if (!m->options.journal_file_bytes) {
        m->options.journal_file_bytes = META_JOURNAL_FILE_BYTES;
    }
    m->options.session_ms = options->session_ms ? options->session_ms : META_SESSION_MS;
    m->options.heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : META_HEARTBEAT_MS;
    if (!m->options.snapshot_bytes) {
        m->options.snapshot_bytes = META_SNAPSHOT_BYTES;
    }
    if (!m->options.piece_bytes) {
        m->options.piece_bytes = SNAPSHOT_FETCH_BYTES;
    }
    assert(m->options.piece_bytes <= SNAPSHOT_FETCH_BYTES);
    m->limits = (struct controller_limits){
        .node_id = options->node_id,
        .num_partitions = options->num_partitions,
        .default_replication_factor = options->default_replication_factor,
        .replication_factor_max = options->replication_factor_max,
        .topics_max = options->topics_max,
        .partitions_max = options->partitions_max,
        .memory_by_default = options->memory_by_default,
        .min_insync_replicas = options->min_isr,
        .unclean_elections = options->unclean_elections,
    };
    assert(m->options.journal_file_bytes > 2 * META_BATCH_SLACK);
    proposal_init(&m->proposal, m->memory, m->options.journal_file_bytes - META_BATCH_SLACK);
}

static void no_memory(struct io_message *message, struct io *io)
{
    struct meta_open *o = container_of(message, struct meta_open, message);
    snprintf(o->why, sizeof o->why, "no memory for the metadata");
    o->done(o, ERR_NO_MEMORY);
}

void meta_open(struct io *io, struct meta_open *o, const struct meta_options *options)
{
    struct memory *memory = io_memory(io);
    struct meta *m = memory_alloc(memory, sizeof *m);
    struct meta_start *s = m ? memory_alloc(memory, sizeof *s) : NULL;
    assert(io_shard(io) == 0);
    o->meta = NULL;
    o->founded = false;
    o->why[0] = 0;
    if (!s || file_path(s->path, options->root, "meta.properties") ||
        file_path(m->snapshots, options->root, "snapshots")) {
        memory_free(memory, s);
        memory_free(memory, m);
        o->message.deliver = no_memory;
        io_post(io, 0, &o->message);
        return;
    }
    m->magic = META_MAGIC;
    m->io = io;
    m->memory = memory;
    m->open = o;
    m->start = s;
    s->meta = m;
    list_init(&m->waiting);
    list_init(&m->deciding);
    list_init(&m->follow_waiting);
    list_init(&m->serving);
    list_init(&m->forwards.seen);
    said_init(&m->said);
    reads_init(&m->reads);
    voter_changes_init(&m->changes);
    m->append_end = -1;
    set_options(m, options);
    s->load.done = identity_loaded;
    file_load(io, &s->load, s->path, IDENTITY_SIZE_MAX);
}
