/* SPDX-License-Identifier: Apache-2.0 */

/* The first records of a life: a new epoch of the quorum, this broker, a new epoch for every
 * partition that it leads.
 *
 *     elected in a new epoch by the quorum, of which this node is the only voter (quorum.c)
 *       -> LeaderChange in that epoch (the first time also KRaftVersion and Voters), durable (M5,
 * H20)
 *       -> RegisterBroker, UnfenceBroker, and for each partition led here a PartitionChange that
 * names the same leader, which begins its next leader epoch (P2a); as few batches as hold them
 *       -> the first time: the vote file says that the cluster is founded
 *       -> publish
 *
 * Nothing is served in between, so a crash between two batches leaves only epochs that were never
 * used.
 */
#include "meta/meta_start.h"

#include <inttypes.h>
#include <stdio.h>

enum { START_CHUNK = 1000 };

/* --- active ----------------------------------------------------------------------------------- */

static void activate(struct meta *m)
{
    struct meta_open *open = m->open;
    batch_builder_deinit(&m->start->batch);
    memory_free(m->memory, m->start);
    m->start = NULL;
    m->open = NULL;
    m->state = META_ACTIVE;
    open->meta = m;
    open->cluster_id = m->identity.cluster_id;
    open->directory_id = m->identity.directory_id;
    open->broker_epoch = m->broker_epoch;
    log_info(io_logger(m->io), "meta",
             "active epoch=%d offset=%" PRId64 " broker_epoch=%" PRId64
             " topics=%u partitions=%" PRIu64,
             (int)m->epoch, image_offset(m->image), m->broker_epoch,
             (unsigned)image_topic_count(m->image), image_partition_total(m->image));
    if (m->options.publish) {
        m->options.publish(m->options.publish_context, m->image);
    }
    meta_snapshot_maybe(m); /* lives that only start write to the log too */
    open->done(open, 0);
}

static void founded(struct meta *m)
{
    if (m->vote.founded) {
        activate(m);
        return;
    }
    m->vote.founded = true;
    quorum_store(m, activate);
}

/* --- this broker and its partitions ----------------------------------------------------------- */

static int emit_registration(struct meta *m)
{
    struct proposal *p = &m->proposal;
    struct uuid incarnation;
    io_random(m->io, incarnation.bytes, sizeof incarnation.bytes);
    if (image_feature_count(p->image) == 0) {
        const struct feature_level_record level = {wire_string_of("metadata.version"),
                                                   METADATA_VERSION};
        proposal_emit(p, &feature_level_record_message, 0, &level);
    }
    struct register_broker_record_end_points end_points[IMAGE_ENDPOINTS_MAX];
    for (uint32_t i = 0; i < m->options.endpoint_count; i++) {
        register_broker_record_end_points_init(&end_points[i]);
        end_points[i].name = wire_string_of(m->options.endpoints[i].name);
        end_points[i].host = wire_string_of(m->options.endpoints[i].host);
        end_points[i].port = m->options.endpoints[i].port;
    }
    struct register_broker_record r;
    register_broker_record_init(&r);
    m->broker_epoch = proposal_next_offset(p);
    r.broker_id = m->options.node_id;
    r.incarnation_id = incarnation;
    r.broker_epoch = m->broker_epoch;
    r.end_points = end_points;
    r.end_points_count = (int32_t)m->options.endpoint_count;
    r.rack = wire_string_of(m->options.rack);
    r.fenced = true;
    proposal_emit(p, &register_broker_record_message, 2, &r);
    const struct unfence_broker_record unfence = {m->options.node_id, m->broker_epoch};
    return proposal_emit(p, &unfence_broker_record_message, 0, &unfence);
}

/* One record, kept or undone as a whole: 1 when the batch is full. */
static int emit_kept(struct meta *m, int (*emit)(struct meta *m))
{
    int error = proposal_open(&m->proposal);
    if (error) {
        return error;
    }
    error = emit(m);
    if (!error) {
        proposal_keep(&m->proposal);
        return 0;
    }
    proposal_undo(&m->proposal);
    return error == ERR_TOO_LARGE && m->proposal.batch.record_count > 0 ? 1 : error;
}

/* The next partitions that this node leads, at most START_CHUNK of them. */
static int emit_epochs(struct meta *m)
{
    struct meta_start *s = m->start;
    struct partition_change_record r;
    uint32_t topic = s->topic, topics = image_topic_count(m->image);
    int32_t partition = s->partition;
    partition_change_record_init(&r);
    r.leader = m->options.node_id;
    for (int emitted = 0; topic < topics && emitted < START_CHUNK; topic++, partition = 0) {
        const struct image_topic *t = image_topic_at(m->image, topic);
        r.topic_id = t->id;
        for (; partition < t->partition_count && emitted < START_CHUNK; partition++) {
            r.partition_id = partition;
            if (t->partitions[partition].leader != m->options.node_id) {
                continue;
            }
            int error = proposal_emit(&m->proposal, &partition_change_record_message, 0, &r);
            if (error) {
                return error;
            }
            emitted++;
        }
        if (partition < t->partition_count) {
            break;
        }
    }
    s->topic = topic;
    s->partition = partition;
    return 0;
}

static void register_and_grow(struct meta *m);

static void grown(struct meta *m, int error)
{
    if (error) {
        start_fail(m, error, "the first records of this start cannot be written: %s",
                   error_text(error));
        return;
    }
    struct image *next = m->proposal.image;
    m->proposal.image = NULL;
    proposal_drop(&m->proposal);
    meta_show(m, next);
    if (m->start->topic < image_topic_count(m->image)) {
        register_and_grow(m);
        return;
    }
    founded(m);
}

/* Fills one batch. Topics do not change here, so the place in their order stays. */
static void register_and_grow(struct meta *m)
{
    struct meta_start *s = m->start;
    struct bytes batch;
    int error =
        proposal_begin(&m->proposal, m->image, log_status(m->log).end_offset, io_wall_ms(m->io));
    if (!error && !s->registered) {
        error = emit_kept(m, emit_registration);
        s->registered = error == 0;
    }
    while (error == 0 && s->topic < image_topic_count(m->image)) {
        error = emit_kept(m, emit_epochs);
    }
    if (error >= 0 && m->proposal.batch.record_count == 0) {
        proposal_drop(&m->proposal);
        founded(m);
        return;
    }
    if (error >= 0) {
        error = proposal_finish(&m->proposal, m->epoch, &batch);
    }
    if (error < 0) {
        start_fail(m, error, "the first records of this start do not fit: %s", error_text(error));
        return;
    }
    meta_append(m, batch, grown);
}

/* --- the epoch -------------------------------------------------------------------------------- */

static void epoch_begun(struct meta *m, int error)
{
    if (error) {
        start_fail(m, error, "the new epoch cannot be written: %s", error_text(error));
        return;
    }
    register_and_grow(m);
}

/* The value of the VotersRecord that describes this node as the only voter. */
static int encode_voters(struct meta *m, struct wire_writer *out)
{
    struct voters_record_endpoints end_point = {
        .name = wire_string_of(m->options.endpoints[0].name),
        .host = wire_string_of(m->options.endpoints[0].host),
        .port = m->options.endpoints[0].port,
    };
    struct voters_record_voters voter;
    voters_record_voters_init(&voter);
    voter.voter_id = m->identity.node_id;
    voter.voter_directory_id = m->identity.directory_id;
    voter.endpoints = &end_point;
    voter.endpoints_count = 1;
    voter.kraft_version_feature.max_supported_version = 1;
    struct voters_record r = {.voters = &voter, .voters_count = 1};
    return voters_record_encode(&r, out, 0);
}

static int put_leader_change(struct meta *m, int64_t now)
{
    struct leader_change_message_voter voter = {m->identity.node_id, m->identity.directory_id};
    const struct leader_change_message change = {
        .version = 1,
        .leader_id = m->identity.node_id,
        .voters = &voter,
        .voters_count = 1,
        .granting_voters = &voter,
        .granting_voters_count = 1,
    };
    return control_append(&m->start->batch, m->memory, CONTROL_LEADER_CHANGE,
                          &leader_change_message_message, 1, &change, now);
}

static int put_epoch_records(struct meta *m, int64_t now)
{
    struct batch_builder *b = &m->start->batch;
    struct wire_writer voters;
    int error = put_leader_change(m, now);
    if (!error && image_kraft_version(m->image) == 0) {
        const struct kraft_version_record kraft = {.kraft_version = 1};
        error = control_append(b, m->memory, CONTROL_KRAFT_VERSION, &kraft_version_record_message,
                               0, &kraft, now);
    }
    wire_writer_init(&voters, m->memory, 4096);
    if (!error) {
        error = encode_voters(m, &voters);
    }
    if (!error && !bytes_equal(image_voters(m->image), bytes_of(voters.data, voters.size))) {
        error = control_append_bytes(b, CONTROL_VOTERS, bytes_of(voters.data, voters.size), now);
    }
    wire_writer_deinit(&voters);
    return error;
}

/* This node is voted for, durably: the epoch's first record follows. */
void start_lead(struct meta *m, int32_t epoch)
{
    struct meta_start *s = m->start;
    struct bytes batch;
    assert(m->state == META_OPENING && epoch > image_epoch(m->image));
    m->epoch = epoch;
    struct batch_options options = batch_options_default();
    options.attributes = BATCH_CONTROL;
    options.base_offset = log_status(m->log).end_offset;
    options.leader_epoch = m->epoch;
    int error = put_epoch_records(m, io_wall_ms(m->io));
    if (!error) {
        error = batch_finish(&s->batch, &options, &batch);
    }
    struct image *next = error ? NULL : image_fork(m->image);
    if (!next) {
        start_fail(m, error ? error : ERR_NO_MEMORY, "no memory for the first records");
        return;
    }
    error = records_apply_batch(next, batch.data, batch.size, m->memory, s->why);
    if (error) {
        image_release(next);
        start_fail(m, error, "the new epoch does not follow the log: %s", s->why);
        return;
    }
    meta_show(m, next);
    log_begin_epoch(m->log, m->epoch);
    meta_append(m, batch, epoch_begun);
}

/* The voters of the log must be this node and no other. */
static int check_voters(struct meta *m)
{
    struct bytes value = image_voters(m->image);
    struct arena arena;
    struct voters_record r;
    if (value.size == 0) {
        return 0;
    }
    struct reader in = reader_of(value.data, value.size);
    arena_init(&arena, m->memory, RECORDS_ARENA_LIMIT);
    int error = voters_record_decode(&r, &in, 0, &arena);
    bool own = !error && r.voters_count == 1 && r.voters[0].voter_id == m->identity.node_id &&
               uuid_equal(r.voters[0].voter_directory_id, m->identity.directory_id);
    arena_deinit(&arena);
    return own ? 0 : ERR_INCONSISTENT_VOTER_SET;
}

void start_begin(struct meta *m)
{
    int32_t known = image_epoch(m->image);
    if (check_voters(m) != 0) {
        start_fail(m, ERR_INCONSISTENT_VOTER_SET,
                   "%s: the voters in the metadata log are not this node in this directory alone; "
                   "this leatd serves clusters of one node",
                   m->options.root);
        return;
    }
    if (known > m->vote.epoch) {
        log_warn(io_logger(m->io), "meta",
                 "the vote file is older than the log: vote epoch=%d, log epoch=%d",
                 (int)m->vote.epoch, (int)known);
    }
    if (known == INT32_MAX || m->vote.epoch == INT32_MAX) {
        start_fail(m, ERR_DAMAGED, "%s: the epoch has no successor", m->options.root);
        return;
    }
    m->vote.founded = m->vote.founded || image_offset(m->image) >= 0;
    int error = quorum_begin(m, &m->start->history);
    quorum_history_free(m, &m->start->history);
    if (error) {
        start_fail(m, error, "%s: the quorum cannot begin: %s", m->options.root, error_text(error));
    }
}
