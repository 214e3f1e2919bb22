/* SPDX-License-Identifier: Apache-2.0 */

/* From a data directory that is ours to a broker that serves: metadata, then logs, then on each
 * shard what it needs, then listeners. What cannot be started ends the node with one line that says
 * what to do. */
#include "node_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    MEMORY_PART_TAIL = 5, /* of a shard's memory: the newest batches */
    MEMORY_PART_READ = 16,
    MEMORY_PART_CLEANER = 8, /* keys of a pass of compaction, while it runs */
    MEMORY_PART_REQUESTS = 8,
    MEMORY_PART_GROUPS = 8, /* consumer groups and what they have committed */
    MEMORY_PART_PRODUCERS = 8,
    PRODUCER_BYTES = 384, /* for each id: what is known, its place in a map and in a checkpoint */
    SEGMENT_FILES_MAX = 512,
    MEMORY_PART_CLIENTS = 4,        /* connections, requests, answers, fetch sessions */
    SESSION_PARTITION_BYTES = 1024, /* of MEMORY_PART_CLIENTS, for each partition of a session */
    TAIL_PER_LENT = 4,              /* sockets may pin a quarter of the tail (RELIABILITY 6, O4) */
    TOPICS_MAX = 100000,
    ANSWER_BYTES = 8 << 20, /* of a follower's fetch, beside the largest batch */
};

#define MIB_BYTES ((uint64_t)1 << 20)

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static uint64_t shard_memory(const struct node *n)
{
    return (uint64_t)config_integer(n->config, CONFIG_LIMITS_MEMORY) / n->options.shards;
}

static uint64_t tail_bytes(const struct node *n)
{
    return at_most(shard_memory(n) / MEMORY_PART_TAIL, 96 * MIB_BYTES);
}

/* --- ready ------------------------------------------------------------------------------------ */

static void say_ready(struct node *n)
{
    char line[NODE_LINE_SIZE], replayed[48];
    const struct log_recovery_summary *r = &n->recover.summary;
    uint64_t bytes = r->replayed_bytes;
    uint64_t ms = (io_clock(node_io(n)) - n->started_ns + 500000) / 1000000;
    if (bytes >= MIB_BYTES) {
        snprintf(replayed, sizeof replayed, " (%" PRIu64 " MiB replayed)", bytes / MIB_BYTES);
    } else {
        snprintf(replayed, sizeof replayed, " (%" PRIu64 " KiB replayed)", (bytes + 1023) / 1024);
    }
    int used = snprintf(line, sizeof line, "leatd %s ready: ", LEAT_VERSION);
    for (size_t i = 0; i < config_listener_count(n->config); i++) {
        const char *host = config_listener(n->config, i)->host;
        used += snprintf(line + used, sizeof line - (size_t)used,
                         strchr(host, ':') ? "[%s]:%u, " : "%s:%u, ", host, (unsigned)n->ports[i]);
        used = used < NODE_LINE_SIZE ? used : NODE_LINE_SIZE - 1;
    }
    snprintf(line + used, sizeof line - (size_t)used,
             "node %d of cluster %s, %" PRIu32
             " partition%s recovered%s, %s, %u shard%s, data in %s, %" PRIu64 " ms",
             (int)n->meta_options.node_id, meta_cluster_id(n->meta), r->logs,
             r->logs == 1 ? "" : "s", bytes ? replayed : "", io_backend_name(node_io(n)),
             n->options.shards, n->options.shards == 1 ? "" : "s", n->data, ms);
    if (r->set_aside > r->aside_lost) {
        log_warn(io_logger(node_io(n)), "node",
                 "directories of deleted or unknown topics were moved to %s/aside: count=%" PRIu32
                 "; nothing in use is affected, and they may be removed",
                 n->data, r->set_aside - r->aside_lost);
    }
    if (r->aside_lost) {
        log_warn(io_logger(node_io(n)), "node",
                 "directories that are damaged, or what is left of them, were moved to %s/aside: "
                 "count=%" PRIu32 "; keep them until their records are there again",
                 n->data, r->aside_lost);
    }
    n->options.ready(n->options.context, line, n->ports[0]);
}

/* One line: which address, what the system says, what to do. */
static void fail_listening(struct node *n, size_t index, int error)
{
    const struct config_listener *l = config_listener(n->config, index);
    bool busy = error == -EADDRINUSE, mine = busy || error == -EMFILE || error == -ENOMEM;
    const char *reason = strerrordesc_np(-error), *advice;
    if (busy) {
        advice = "stop the program that listens there, or choose another address";
    } else if (error == -EACCES) {
        advice = "ports below 1024 need a privilege: choose another";
    } else {
        advice = mine ? "raise the limit of files or memory" : "name an address of this machine";
    }
    node_fail(n,
              busy   ? NODE_EXIT_BUSY
              : mine ? NODE_EXIT_FAILURE
                     : NODE_EXIT_CONFIG,
              "listeners: cannot listen on %s:%u (%s): %s; %s (--listen HOST:PORT)", l->host,
              (unsigned)n->ports[index], l->name, reason ? reason : "it is refused", advice);
}

static void serving(struct node *n)
{
    n->state = NODE_SERVING;
    say_ready(n);
    if (n->stops_asked) {
        n->stops_asked = 0;
        node_stop(n);
    }
}

static void join_now(struct node *n)
{
    n->joining = meta_has_peers(n->meta); /* alone it is a matter of milliseconds */
    meta_join(n->meta);
    node_doubt(n);
    if (n->joining && n->stops_asked) {
        n->stops_asked = 0;
        node_stop(n);
    }
}

static void join(struct node *n)
{
    if (meta_has_peers(n->meta)) {
        node_meet(n, join_now);
    } else {
        join_now(n);
    }
}

static void listening(struct node *n)
{
    for (unsigned i = 0; i < n->options.shards; i++) {
        if (n->shards[i].failed) {
            fail_listening(n, n->shards[i].listener, n->shards[i].listen_error);
            return;
        }
    }
    n->when_listening(n);
}

static void listen_on_shard(struct node_shard *s)
{
    struct node *n = s->node;
    uint16_t port;
    /* Shard 0 listens already. */
    for (size_t i = 0; i < config_listener_count(n->config) && io_shard(s->io) != 0; i++) {
        int error = s->failed ? 0 : api_listen(s->api, n->ports[i], &port);
        if (error) {
            s->failed = true;
            s->listener = i;
            s->listen_error = error;
        }
    }
    node_step_done(s);
}

/* --- shards ----------------------------------------------------------------------------------- */

static void configure_log(void *context, const struct image_topic *topic, struct log_config *out)
{
    struct node_shard *s = context;
    struct node *n = s->node;
    struct topic_config t;
    api_topic_config(n->config, s->image, n->meta_options.node_id, topic, &t);
    /* Durability is fixed at creation, so it never follows a default: who did not choose memory, or
     * was not given it then, has fsync. */
    int64_t interval = topic_config_number(&t, TOPIC_INDEX_INTERVAL_BYTES);
    bool memory = topic_config_is_own(&t, TOPIC_DURABILITY) &&
                  topic_config_number(&t, TOPIC_DURABILITY) == TOPIC_DURABILITY_MEMORY;
    int64_t policy = topic_config_number(&t, TOPIC_CLEANUP_POLICY);
    bool deletes = policy != TOPIC_CLEANUP_COMPACT, compacts = policy != TOPIC_CLEANUP_DELETE;
    int64_t segment_ms = topic_config_number(&t, TOPIC_SEGMENT_MS);
    int64_t lag_ms = topic_config_number(&t, TOPIC_MAX_COMPACTION_LAG_MS);
    *out = (struct log_config){
        .segment_bytes = (uint64_t)topic_config_number(&t, TOPIC_SEGMENT_BYTES),
        /* What is to be compacted by then must be in a closed segment. */
        .segment_ms = compacts && lag_ms < segment_ms ? lag_ms : segment_ms,
        .retention_ms = deletes ? topic_config_number(&t, TOPIC_RETENTION_MS) : -1,
        .retention_bytes = deletes ? topic_config_number(&t, TOPIC_RETENTION_BYTES) : -1,
        /* 0 stands for the log's default there, and in Kafka for an entry with every batch. */
        .index_interval_bytes = interval > 0 ? (uint32_t)interval : 1,
        .durability = memory ? LOG_MEMORY : LOG_FSYNC,
        .compact = compacts,
        .min_dirty_ratio = (double)topic_config_number(&t, TOPIC_MIN_CLEANABLE_DIRTY_RATIO) / 1e6,
        .min_compaction_lag_ms = topic_config_number(&t, TOPIC_MIN_COMPACTION_LAG_MS),
        .max_compaction_lag_ms = lag_ms == INT64_MAX ? 0 : lag_ms,
        .delete_retention_ms = topic_config_number(&t, TOPIC_DELETE_RETENTION_MS),
    };
}

static bool leased(void *context)
{
    const struct node_shard *s = context;
    return meta_leased(s->node->meta, s->io);
}

static bool make_partitions(struct node_shard *s)
{
    struct node *n = s->node;
    const struct partition_options options = {
        .node_id = n->meta_options.node_id,
        .logs = s->logs,
        .configure = configure_log,
        .context = s,
        .leased = leased,
        .mutant = n->options.mutants.replication,
        .lag_ns = (uint64_t)config_integer(n->config, CONFIG_REPLICA_LAG_TIME_MAX_MS) * 1000000,
        .retention_check_ms =
            (uint64_t)config_integer(n->config, CONFIG_LOG_RETENTION_CHECK_INTERVAL_MS),
    };
    s->partitions = partition_table_new(s->io, &options);
    return s->partitions != NULL;
}

static bool make_replica(struct node_shard *s)
{
    const struct node *n = s->node;
    const struct replica_options options = {
        .node_id = n->meta_options.node_id,
        .meta = n->meta,
        .partitions = s->partitions,
        .compare_interval_ms = (uint64_t)config_integer(n->config, CONFIG_LOG_SCRUB_INTERVAL_MS),
        .added_rate = config_integer(n->config, CONFIG_FOLLOWER_THROTTLED_RATE),
        .answer_bytes_max =
            (uint32_t)config_integer(n->config, CONFIG_SOCKET_REQUEST_MAX_BYTES) + ANSWER_BYTES,
    };
    s->replica = replica_new(s->io, &options);
    return s->replica != NULL;
}

/* A whole number over the shards, so that the parts make the whole. */
static uint32_t shard_part(const struct node_shard *s, enum config_key key)
{
    uint64_t whole = (uint64_t)config_integer(s->node->config, key);
    unsigned shards = s->node->options.shards;
    return (uint32_t)(whole / shards + (io_shard(s->io) < whole % shards ? 1 : 0));
}

/* Three of the largest requests have room beside what is kept for small ones. */
static uint64_t request_pool(const struct node *n)
{
    uint64_t four = 4 * (uint64_t)config_integer(n->config, CONFIG_SOCKET_REQUEST_MAX_BYTES);
    uint64_t most = four > 64 * MIB_BYTES ? four : 64 * MIB_BYTES;
    static_assert((int)CONFIG_REQUEST_PART == 4 * (int)MEMORY_PART_REQUESTS,
                  "the configuration knows what a request may take");
    return at_most(shard_memory(n) / MEMORY_PART_REQUESTS, most);
}

/* Segments of a shard; a quarter of all, for journals and indexes are files as well. */
static uint32_t files_max(const struct node *n)
{
    uint64_t share = n->options.files_max / 4 / n->options.shards;
    return n->options.files_max ? (uint32_t)at_most(share + 8, SEGMENT_FILES_MAX)
                                : SEGMENT_FILES_MAX;
}

/* Connections leave half of the files that may be open to the logs. */
static uint32_t connections_max(const struct node_shard *s)
{
    const struct node *n = s->node;
    uint64_t wanted = (uint64_t)config_integer(n->config, CONFIG_LIMITS_CONNECTIONS), most = wanted;
    if (n->options.files_max && wanted > n->options.files_max / 2) {
        most = n->options.files_max / 2;
        if (io_shard(s->io) == 0) {
            log_warn(io_logger(s->io), "node",
                     "limits.connections is %" PRIu64 ", but %" PRIu64
                     " are served: the process may open %" PRIu64 " files (ulimit -n)",
                     wanted, most, n->options.files_max);
        }
    }
    return (uint32_t)((most + n->options.shards - 1) / n->options.shards);
}

static bool make_coord(struct node_shard *s)
{
    struct node *n = s->node;
    const struct coord_options options = {
        .node_id = n->meta_options.node_id,
        .partitions = s->partitions,
        .config = n->config,
        .memory_bytes = shard_memory(n) / MEMORY_PART_GROUPS,
        .mutant = n->options.mutants.coord,
    };
    s->coord = coord_new(s->io, &options);
    return s->coord != NULL;
}

static bool make_api(struct node_shard *s)
{
    struct node *n = s->node;
    const struct config *c = n->config;
    static_assert((int)CONFIG_FETCH_PART == MEMORY_PART_TAIL * TAIL_PER_LENT,
                  "the configuration knows what a fetch may take");
    const struct api_options options = {
        .node_id = n->meta_options.node_id,
        .data_dir = n->data,
        .config = c,
        .introducer = n->introducer,
        .peers = n->apis,
        .null_mode = config_bool(c, CONFIG_NULL_MODE),
        .memory_bytes = shard_memory(n) / MEMORY_PART_CLIENTS,
        .connections_max = connections_max(s),
        .request_bytes_max = (uint32_t)config_integer(c, CONFIG_SOCKET_REQUEST_MAX_BYTES),
        .request_pool_bytes = request_pool(n),
        .lent_bytes_max = tail_bytes(n) / TAIL_PER_LENT,
        .requests_max = (uint32_t)config_integer(c, CONFIG_LIMITS_REQUESTS),
        .idle_ms = (uint64_t)config_integer(c, CONFIG_CONNECTIONS_MAX_IDLE_MS),
        .fetch_session_partitions_max = (uint32_t)at_most(
            shard_memory(n) / MEMORY_PART_CLIENTS / SESSION_PARTITION_BYTES, 100000),
        .fetch_sessions_max = shard_part(s, CONFIG_FETCH_SESSIONS),
    };
    s->api = api_start(s->io, &options);
    return s->api != NULL;
}

static void start_api(struct node_shard *s)
{
    s->failed = !make_api(s);
    node_step_done(s);
}

static void open_shard(struct node_shard *s)
{
    struct node *n = s->node;
    if (io_shard(s->io) != 0) {
        io_file_hold(s->io, n->lock);
    }
    s->logs = log_set_open(s->io, n->recovery, &n->log_options);
    s->failed = !s->logs || !make_partitions(s) || !make_replica(s) || !make_coord(s);
    if (!s->failed) {
        api_attach(s->api, &(struct api_rooms){n->meta, s->partitions, s->logs, s->coord});
    }
    node_step_done(s);
}

static bool shards_failed(struct node *n)
{
    if (n->step_failed) {
        node_fail(n, NODE_EXIT_FAILURE,
                  "a shard cannot be started: out of memory or files; limits.memory and the limit "
                  "of open files decide");
    }
    return n->step_failed;
}

/* Its image has come: messages of one shard to another keep their order. */
static void see_image(struct node_shard *s)
{
    assert(s->image);
    node_step_done(s);
}

static void listen_on_shards(struct node *n, void (*then)(struct node *n))
{
    n->when_listening = then;
    for (size_t i = 0; i < config_listener_count(n->config); i++) {
        if (n->reserved[i]) {
            io_listener_close(node_io(n), n->reserved[i]);
            n->reserved[i] = NULL;
        }
        int error = api_listen(n->shards[0].api, n->ports[i], &n->ports[i]);
        if (error) {
            fail_listening(n, i, error);
            return;
        }
    }
    n->listening = true;
    node_on_shards(n, listen_on_shard, listening);
}

static void images_shown(struct node *n)
{
    if (n->listening) {
        serving(n);
    } else {
        listen_on_shards(n, serving);
    }
}

/* A node with peers is reached by them before it can join, others when they are ready. */
static void shards_open(struct node *n)
{
    log_recovery_free(node_io(n), n->recovery);
    n->recovery = NULL;
    if (shards_failed(n)) {
        return;
    }
    if (meta_has_peers(n->meta) && !n->listening) {
        listen_on_shards(n, join);
    } else {
        join(n);
    }
}

static void told(struct node *n)
{
    n->joined = true;
    n->all_lost = n->memory_lost = false; /* whoever registers again has been refilled since */
    /* Every api is there by now: a shard may ask another as soon as it has an image. */
    node_show_image(n);
    node_on_shards(n, see_image, images_shown);
}

static void meta_joined(struct node *n)
{
    n->joining = false; /* a stop waits until it serves */
    node_doubt_end(n);
    node_boot_told(n, told);
}

/* --- logs ------------------------------------------------------------------------------------- */

static const char *known(void *context, struct uuid topic_id, int32_t partition)
{
    struct node *n = context;
    return meta_knows(n->meta, topic_id, partition);
}

static const char *doubtful(void *context, struct uuid topic_id, int32_t partition)
{
    struct node *n = context;
    return meta_knew(n->meta, topic_id, partition);
}

static void recovered(struct log_recover *r, int error)
{
    struct node *n = container_of(r, struct node, recover);
    io_memory(node_io(n))->budget_bytes = shard_memory(n);
    if (error == ERR_DAMAGED) {
        node_damaged(n);
        return;
    }
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "the logs in %s cannot be recovered: %s%s", n->data,
                  error_text(error),
                  error == ERR_DISK_FULL ? ": make room on it, then start again" : "");
        return;
    }
    n->recovery = r->result;
    n->all_lost = n->all_lost || r->summary.damage[0] != 0;
    log_info(io_logger(node_io(n)), "node",
             "recovered logs=%" PRIu32 " entries=%" PRIu64 " bytes=%" PRIu64 " torn=%" PRIu64
             " after=%s",
             r->summary.logs, r->summary.replayed_entries, r->summary.replayed_bytes,
             r->summary.torn_bytes,
             r->summary.fresh ? "nothing"
             : n->clean       ? "a clean stop"
                              : "a crash");
    node_on_shards(n, open_shard, shards_open);
}

void node_recover_logs(struct node *n)
{
    n->recover.done = recovered;
    /* One shard recovers the logs of all, and the others have not begun: it may use their memory. */
    io_memory(node_io(n))->budget_bytes = (size_t)config_integer(n->config, CONFIG_LIMITS_MEMORY);
    log_recover(node_io(n), &n->recover, &n->log_options, n->options.shards);
}

static void recover_now(struct node *n)
{
    const struct config *c = n->config;
    uint64_t memory = shard_memory(n);
    uint64_t journal = (uint64_t)config_integer(c, CONFIG_JOURNAL_BYTES_MAX) / n->options.shards;
    uint64_t keys =
        (uint64_t)config_integer(c, CONFIG_LOG_CLEANER_DEDUPE_BUFFER_SIZE) / n->options.shards;
    int64_t pace = config_integer(c, CONFIG_LOG_CLEANER_IO_MAX);
    n->log_options = (struct log_options){
        .root = n->data,
        .journal_file_bytes = (uint64_t)config_integer(c, CONFIG_JOURNAL_FILE_BYTES),
        .journal_bytes_max = journal,
        .tail_bytes_max = tail_bytes(n),
        .read_bytes_max = at_most(memory / MEMORY_PART_READ, 32 * MIB_BYTES),
        .disk_reserve_bytes = (uint64_t)config_integer(c, CONFIG_DISK_RESERVE_BYTES),
        .producer_expiration_ms = (uint64_t)config_integer(c, CONFIG_PRODUCER_ID_EXPIRATION_MS),
        .producers_max = (uint32_t)at_most(memory / MEMORY_PART_PRODUCERS / PRODUCER_BYTES, 100000),
        .files_max = files_max(n),
        .cleaner_off = !config_bool(c, CONFIG_LOG_CLEANER_ENABLE),
        .cleaner_map_bytes = at_most(memory / MEMORY_PART_CLEANER, keys),
        .cleaner_bytes_per_second = pace == INT64_MAX ? 0 : (uint64_t)pace / n->options.shards,
        .cleaner_backoff_ms = (uint64_t)config_integer(c, CONFIG_LOG_CLEANER_BACKOFF_MS),
        .scrub_interval_ms = (uint64_t)config_integer(c, CONFIG_LOG_SCRUB_INTERVAL_MS),
        .accept_loss = n->options.accept_loss,
        .mutants = n->options.mutants.log,
        .known = known,
        .doubtful = doubtful,
        .known_context = n,
    };
    node_recover_logs(n);
}

static void recover_logs(struct node *n)
{
    node_boot_load(n, recover_now);
}

/* --- metadata --------------------------------------------------------------------------------- */

/* Of what this node had acknowledged: all, when the operator goes on without what is damaged; of `memory` topics what
 * their machine has taken with it. */
bool node_lost(void *context, const struct image_topic *topic)
{
    struct node *n = context;
    struct log_config config;
    if (!n->memory_lost || n->all_lost) {
        return n->all_lost;
    }
    configure_log(&n->shards[0], topic, &config);
    return config.durability == LOG_MEMORY;
}

/* What this node has promised the quorum is not known any more, but others have what it stored. */
static void metadata_damaged(struct node *n, const char *why)
{
    int id = (int)config_integer(n->config, CONFIG_NODE_ID);
    char others[NODE_LINE_SIZE / 2] = "";
    if (config_item_count(n->config, CONFIG_PEERS) > 0) {
        snprintf(others, sizeof others,
                 "\nIf other nodes have what is here, move %.200s away and start again: it is "
                 "filled from them. "
                 "If it voted, its new directory gets the vote by: leat cluster remove %d, leat "
                 "cluster add %d",
                 n->data, id, id);
    }
    node_fail(n, NODE_EXIT_DAMAGE, "%s%s", why, others);
}

static void meta_failed(struct node *n, int error)
{
    const char *why = n->meta_open.why;
    n->meta = NULL;
    if (error == ERR_DAMAGED) {
        metadata_damaged(n, why);
        return;
    }
    bool foreign = error == ERR_INVALID_ARGUMENT || error == ERR_INCONSISTENT_VOTER_SET;
    node_fail(n, foreign ? NODE_EXIT_CONFIG : NODE_EXIT_FAILURE, "%s", why);
}

static void meta_opened(struct meta_open *o, int error)
{
    struct node *n = container_of(o, struct node, meta_open);
    if (error) {
        meta_failed(n, error);
    } else if (n->state == NODE_STARTING) { /* else it was asked to stop: what stops goes on */
        meta_joined(n);
    }
}

static void meta_local(struct meta_open *o)
{
    struct node *n = container_of(o, struct node, meta_open);
    n->meta = o->meta;
    if (n->founding.alone) {
        struct uuid incarnation;
        struct introduction self;
        io_random(node_io(n), incarnation.bytes, sizeof incarnation.bytes);
        introduction_of_node(&self, &n->founding_options, o->cluster_id, o->directory_id,
                             incarnation);
        introducer_say(n->introducer, &self);
    }
    node_introduce(n);
    recover_logs(n);
}

/* Ports are registered before anything listens, so those that the system chooses are held meanwhile.
 */
static bool choose_ports(struct node *n)
{
    for (size_t i = 0; i < config_listener_count(n->config); i++) {
        const struct config_listener *l = config_listener(n->config, i);
        n->ports[i] = l->port;
        if (l->port == 0) {
            int error = io_listen(node_io(n), &n->reserved[i], l->host, 0, &n->ports[i]);
            if (error) {
                n->reserved[i] = NULL;
                fail_listening(n, i, error);
                return false;
            }
        }
        n->endpoints[i] = (struct image_endpoint){
            .name = l->name,
            .host = l->advertised_host,
            .port = l->advertised_port ? l->advertised_port : n->ports[i],
        };
    }
    return true;
}

/* Whom this node belongs to is known, or it is alone. */
static void open_meta(struct node *n)
{
    if (n->founding.voters.count > 0) {
        n->meta_options.founders = &n->founding.voters;
    }
    n->meta_open.done = meta_opened;
    n->meta_open.local = meta_local;
    meta_open(node_io(n), &n->meta_open, &n->meta_options);
}

static void founded(struct founding_open *f, int error)
{
    struct node *n = container_of(f, struct node, founding);
    n->finding = false;
    if (error == ERR_INTERRUPTED) {
        node_fail(n, NODE_EXIT_OK, "%s", ""); /* nothing has begun */
    } else if (error == ERR_DAMAGED) {
        metadata_damaged(n, f->why);
    } else if (error) {
        bool choice = error == ERR_INVALID_ARGUMENT || error == ERR_BAD_CONFIG ||
                      error == ERR_INCONSISTENT_CLUSTER_ID ||
                      error == ERR_DUPLICATE_BROKER_REGISTRATION;
        node_fail(n, choice ? NODE_EXIT_CONFIG : NODE_EXIT_FAILURE, "%s", f->why);
    } else {
        open_meta(n);
    }
}

static void find_cluster(struct node *n)
{
    n->founding_options = (struct founding_options){
        .root = n->meta_root,
        .node_id = n->meta_options.node_id,
        .endpoints = n->endpoints,
        .endpoint_count = n->meta_options.endpoint_count,
        .peers = n->peers,
        .peer_count = (uint32_t)config_item_count(n->config, CONFIG_PEERS),
        .version = LEAT_VERSION,
        .introducer = n->introducer,
    };
    for (uint32_t i = 0; i < n->founding_options.peer_count; i++) {
        n->peers[i] = config_item(n->config, CONFIG_PEERS, i);
    }
    n->founding.done = founded;
    n->finding = true;
    founding_open(node_io(n), &n->founding, &n->founding_options);
}

static void apis_started(struct node *n)
{
    if (shards_failed(n)) {
        return;
    }
    if (config_item_count(n->config, CONFIG_PEERS) > 0) {
        listen_on_shards(n, find_cluster);
    } else {
        find_cluster(n);
    }
}

static void meta_root_synced(struct file_sync *sync, int error)
{
    struct node *n = container_of(sync, struct node, sync);
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "%s cannot be synced", n->data);
        return;
    }
    n->introducer = introducer_new(node_io(n));
    if (!n->introducer) {
        node_fail(n, NODE_EXIT_FAILURE, "no memory to start");
        return;
    }
    node_on_shards(n, start_api, apis_started);
}

void node_start_rooms(struct node *n)
{
    const struct config *c = n->config;
    const char *rack = config_text(c, CONFIG_BROKER_RACK);
    int error = file_path(n->meta_root, n->data, "meta");
    assert(!error); /* node_open_directory() has measured the path */
    error = file_make_directory(node_io(n), n->meta_root);
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "%s cannot be made: %s", n->meta_root, error_text(error));
        return;
    }
    if (!choose_ports(n)) {
        return;
    }
    struct meta_options *m = &n->meta_options;
    m->root = n->meta_root;
    m->node_id = (int32_t)config_integer(c, CONFIG_NODE_ID);
    m->rack = rack[0] ? rack : NULL;
    m->endpoints = n->endpoints;
    m->endpoint_count = (uint32_t)config_listener_count(c);
    m->num_partitions = (int32_t)config_integer(c, CONFIG_NUM_PARTITIONS);
    m->default_replication_factor = (int16_t)config_integer(c, CONFIG_DEFAULT_REPLICATION_FACTOR);
    m->replication_factor_max = LEADING_REPLICAS_MAX;
    m->topics_max = TOPICS_MAX;
    m->partitions_max = (int32_t)config_integer(c, CONFIG_LIMITS_PARTITIONS);
    m->memory_by_default = config_integer(c, CONFIG_DEFAULT_DURABILITY) == TOPIC_DURABILITY_MEMORY;
    m->min_isr = config_is_default(c, CONFIG_MIN_INSYNC_REPLICAS)
                     ? 0
                     : (int32_t)config_integer(c, CONFIG_MIN_INSYNC_REPLICAS);
    m->unclean_elections = config_bool(c, CONFIG_UNCLEAN_LEADER_ELECTION_ENABLE);
    m->session_ms = (int32_t)config_integer(c, CONFIG_BROKER_SESSION_TIMEOUT_MS);
    m->heartbeat_ms = (int32_t)config_integer(c, CONFIG_BROKER_HEARTBEAT_INTERVAL_MS);
    m->balance_s = config_bool(c, CONFIG_AUTO_LEADER_REBALANCE_ENABLE)
                       ? (int32_t)config_integer(c, CONFIG_LEADER_IMBALANCE_CHECK_INTERVAL)
                       : 0;
    m->topics_root = n->data;
    m->topics_reserve_bytes = (uint64_t)config_integer(c, CONFIG_DISK_RESERVE_BYTES);
    m->accept_loss = n->options.accept_loss;
    m->raft_mutant = n->options.mutants.raft;
    m->controller_mutant = n->options.mutants.controller;
    m->snapshot_bytes = n->options.metadata_snapshot_bytes;
    m->piece_bytes = n->options.metadata_piece_bytes;
    n->sync.done = meta_root_synced; /* what metadata is founded in must not go with its name */
    file_sync_directory(node_io(n), &n->sync, n->data);
}
