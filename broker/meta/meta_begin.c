/* SPDX-License-Identifier: Apache-2.0 */

/* From a log that is read to a member of the cluster, and the first records of an epoch.
 *
 *     elected (quorum.c)
 *       -> LeaderChange in that epoch (the first time also KRaftVersion and Voters), committed (M5, H20)
 *       -> where this start is not over, and no other broker is known: RegisterBroker, UnfenceBroker, and for each
 *          partition led here a PartitionChange that names the same leader, which begins its next leader epoch
 *          (P2a); as few batches as hold them
 *     another is elected, or there are other brokers
 *       -> this broker registers with the leader, as any other does (membership.c)
 *     the image has this broker, unfenced
 *       -> the first time: the vote file says that the log is not empty any more -> publish
 *
 * Nothing is served before, so a crash between two batches leaves only epochs that were never used. */
#include "meta/founding.h"
#include "meta/meta_start.h"

#include <inttypes.h>
#include <stdio.h>

enum { START_CHUNK = 1000 };

/* --- active ----------------------------------------------------------------------------------- */

void meta_activate(struct meta *m)
{
    struct meta_open *open = m->open;
    if (m->state == META_CLOSING) {
        return;
    }
    memory_free(m->memory, m->start);
    m->start = NULL;
    m->open = NULL;
    m->state = META_ACTIVE;
    m->membership.registered = true;
    membership_wake(m);
    open->broker_epoch = m->broker_epoch;
    log_info(io_logger(m->io), "meta",
             "active epoch=%d offset=%" PRId64 " broker_epoch=%" PRId64
             " topics=%u partitions=%" PRIu64,
             (int)m->epoch, image_offset(m->image), m->broker_epoch,
             (unsigned)image_topic_count(m->image), image_partition_total(m->image));
    stated_say(m);
    if (m->options.publish) {
        m->options.publish(m->options.publish_context, m->image);
    }
    meta_snapshot_maybe(m); /* lives that only start write to the log too */
    open->done(open, 0);
}

static void founded(struct meta *m)
{
    m->activating = true;
    if (!m->vote.founded) {
        m->vote.founded = true;
        quorum_store(m, meta_activate);
    } else if (!m->first_storing) {
        meta_activate(m);
    }
}

void meta_member(struct meta *m)
{
    if (m->state == META_OPENING && !m->activating) {
        founded(m);
    }
}

/* --- this broker and its partitions ----------------------------------------------------------- */

static int emit_registration(struct meta *m)
{
    struct proposal *p = &m->proposal;
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
    r.incarnation_id = m->membership.incarnation;
    r.broker_epoch = m->broker_epoch;
    r.end_points = end_points;
    r.end_points_count = (int32_t)m->options.endpoint_count;
    r.rack = wire_string_of(m->options.rack);
    r.fenced = true;
    r.log_dirs = &m->identity.directory_id;
    r.log_dirs_count = 1;
    proposal_emit(p, &register_broker_record_message, register_broker_record_version(&r), &r);
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

const struct image *meta_newest_image(const struct meta *m)
{
    return m->ahead && image_offset(m->ahead) > image_offset(m->image) ? m->ahead : m->image;
}

bool start_is_alone(const struct meta *m)
{
    uint32_t count = image_broker_count(m->image);
    return count == 0 || (count == 1 && image_broker_at(m->image, 0)->id == m->options.node_id);
}

static void register_and_grow(struct meta *m);

static void grown(struct meta *m, int error)
{
    if (m->state == META_CLOSING) {
        return;
    }
    if (error == ERR_NOT_CONTROLLER) { /* deposed: from the beginning, when it leads again */
        m->start->registered = false;
        m->start->topic = 0;
        m->start->partition = 0;
        return;
    }
    if (error) {
        start_fail(m, error, "the first records of this start cannot be written: %s",
                   error_text(error));
        return;
    }
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
    meta_append(m, batch, proposal_take(&m->proposal), grown);
}

/* --- the epoch -------------------------------------------------------------------------------- */

static void begin_fail(struct meta *m, int error, const char *what)
{
    if (m->state == META_OPENING && !m->pinned) {
        start_fail(m, error, "%s: %s", what, error_text(error));
        return;
    }
    log_warn(io_logger(m->io), "meta", "%s: %s", what, error_text(error));
    quorum_resign(m); /* also of a node that only votes while it mends its logs (meta_vote()) */
}

/* Something of the epoch is committed, and the image has everything before it. */
static void epoch_begun(struct meta *m, int error)
{
    if (error == ERR_NOT_CONTROLLER) {
        return; /* deposed before it could begin */
    }
    if (error) {
        begin_fail(m, error, "the new epoch cannot be written");
        return;
    }
    m->leading = true;
    stated_lead(m);
    if (m->state == META_CLOSING) {
        return;
    }
    membership_lead(m);
    if (m->membership.waits) {
        membership_wake(m); /* and it hands the lead on */
    } else if (m->state == META_OPENING && start_is_alone(m)) {
        register_and_grow(m);
    } else {
        membership_wake(m);
        meta_decide(m);
    }
}

static int put_leader_change(struct meta *m, struct batch_builder *b, int64_t now)
{
    struct leader_change_message_voter voters[RAFT_VOTERS_MAX];
    struct raft_voters ids = *raft_status(m->quorum.raft).voters;
    for (uint32_t i = 0; i < ids.count; i++) {
        voters[i] = (struct leader_change_message_voter){ids.ids[i].node, ids.ids[i].directory};
    }
    const struct leader_change_message change = {
        .version = 1,
        .leader_id = m->identity.node_id,
        .voters = voters,
        .voters_count = (int32_t)ids.count,
    };
    return control_append(b, m->memory, CONTROL_LEADER_CHANGE, &leader_change_message_message, 1,
                          &change, now);
}

bool voters_now(struct meta *m, struct voters *out)
{
    struct raft_voters ids = *raft_status(m->quorum.raft).voters;
    out->count = ids.count;
    for (uint32_t i = 0; i < ids.count; i++) {
        struct voter *v = &out->list[i];
        const struct voter *known = voters_known(m, ids.ids[i].node);
        if (ids.ids[i].node == m->identity.node_id) {
            *v = meta_own_voter(m);
        } else if (known) {
            *v = *known;
        } else {
            return false;
        }
        v->id = ids.ids[i];
    }
    return true;
}

static int put_voters(struct meta *m, struct batch_builder *b, int64_t now)
{
    struct wire_writer value;
    struct voters voters;
    if (!voters_now(m, &voters)) {
        return 0;
    }
    wire_writer_init(&value, m->memory, VOTERS_BYTES_MAX);
    int error = voters_encode(&voters, &value);
    struct bytes bytes = bytes_of(value.data, value.size);
    if (!error && !bytes_equal(image_voters(meta_newest_image(m)), bytes)) {
        error = control_append_bytes(b, CONTROL_VOTERS, bytes, now);
    }
    wire_writer_deinit(&value);
    return error;
}

static int put_epoch_records(struct meta *m, struct batch_builder *b, int64_t now)
{
    int error = put_leader_change(m, b, now);
    if (!error && image_kraft_version(meta_newest_image(m)) == 0) {
        const struct kraft_version_record kraft = {.kraft_version = 1};
        error = control_append(b, m->memory, CONTROL_KRAFT_VERSION, &kraft_version_record_message,
                               0, &kraft, now);
    }
    return error ? error : put_voters(m, b, now);
}

/* This node is voted for, durably: the epoch's first record follows. */
void start_lead(struct meta *m, int32_t epoch)
{
    struct batch_builder *b = &m->proposal.batch;
    struct bytes batch;
    m->epoch = epoch;
    if (m->state == META_CLOSING) {
        return;
    }
    if (m->appending || m->emptying) {
        m->lead_waits = true;
        return;
    }
    struct batch_options options = batch_options_default();
    options.attributes = BATCH_CONTROL;
    options.base_offset = log_status(m->log).end_offset;
    options.leader_epoch = m->epoch;
    batch_builder_reset(b);
    int error = put_epoch_records(m, b, io_wall_ms(m->io));
    if (!error) {
        error = batch_finish(b, &options, &batch);
    }
    if (error) {
        begin_fail(m, error, "the first records of an epoch cannot be made");
        return;
    }
    log_begin_epoch(m->log, m->epoch);
    meta_append(m, batch, NULL, epoch_begun);
}

struct voter meta_own_voter(const struct meta *m)
{
    const struct image_endpoint *e = &m->options.endpoints[0];
    struct voter v = {.id = {m->identity.node_id, m->identity.directory_id}, .port = e->port};
    snprintf(v.name, sizeof v.name, "%s", e->name);
    snprintf(v.host, sizeof v.host, "%s", e->host);
    return v;
}

/* The voters that the log begins with: the snapshot's, or this node's alone when it founds the cluster. */
static int voters_at_start(struct meta *m, struct voters *out)
{
    struct bytes value = image_voters(m->image);
    if (value.size > 0) {
        return voters_decode(out, value, m->memory);
    }
    if (m->options.founders) {
        *out = *m->options.founders;
        return 0;
    }
    out->count = 1;
    out->list[0] = meta_own_voter(m);
    return 0;
}

/* A node under this id votes, but in another directory, which was lost. */
static bool voter_elsewhere(const struct meta *m)
{
    const struct voter *v = voters_find(&m->voters, m->identity.node_id);
    return v && !uuid_equal(v->id.directory, m->identity.directory_id);
}

void start_begin(struct meta *m)
{
    struct meta_open *open = m->open;
    int32_t known = image_epoch(m->ahead);
    int error = voters_at_start(m, &m->start->voters);
    if (m->voters.count == 0) {
        m->voters = m->start->voters;
    } else if (m->changes.before.count == 0) {
        m->changes.before = m->start->voters;
    }
    if (error) {
        start_fail(m, error, "%s: the voters of the metadata log cannot be read: %s",
                   m->options.root, error_text(error));
        return;
    }
    if (m->vote_lost && meta_has_peers(m)) {
        start_fail(
            m, ERR_DAMAGED,
            "%s/vote is lost, and other nodes vote as well: whom this one has voted for, if it "
            "votes, is not known, and voting again could elect two leaders (M3); --accept-loss "
            "does not help here",
            m->options.root);
        return;
    }
    if (voter_elsewhere(m)) {
        log_warn(io_logger(m->io), "meta",
                 "node %d votes in another directory, which this one replaces: it observes until "
                 "the old voter is removed and this one added",
                 (int)m->identity.node_id);
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
    m->vote.founded = m->vote.founded || image_offset(m->ahead) >= 0;
    open->meta = m;
    open->cluster_id = m->identity.cluster_id;
    open->directory_id = m->identity.directory_id;
    if (open->local) {
        open->local(open);
    } else {
        meta_join(m);
    }
}

static void take_part(struct meta *m)
{
    assert(m->state == META_OPENING && !m->quorum.raft);
    int error = membership_begin(m);
    error = error ? error : quorum_begin(m, &m->start->history, &m->start->voters);
    quorum_history_free(m, &m->start->history);
    if (error) {
        start_fail(m, error, "%s: the quorum cannot begin: %s", m->options.root, error_text(error));
    }
}

void meta_join(struct meta *m)
{
    if (m->pinned) {
        image_release(m->pinned);
        m->pinned = NULL;
        m->membership.waits = false;
        membership_wake(m);
    } else {
        take_part(m);
    }
}

void meta_vote(struct meta *m)
{
    assert(m->voters.count > 1 && !m->pinned);
    m->pinned = m->ahead ? m->ahead : m->image;
    image_take(m->pinned);
    m->membership.waits = true;
    take_part(m);
}

bool meta_has_peers(const struct meta *m)
{
    return m->voters.count > 1 || !voters_find(&m->voters, m->identity.node_id);
}

static_assert((int)META_PLACE_SIZE == (int)FOUNDING_ADDRESS_SIZE, "places are written as peers");

static void add_place(const struct meta *m, const char *host, uint16_t port,
                      char (*out)[META_PLACE_SIZE], uint32_t *count)
{
    char own[FOUNDING_ADDRESS_SIZE], place[FOUNDING_ADDRESS_SIZE];
    founding_address(place, host, port);
    bool known = *count > 0 && strcmp(out[0], place) == 0;
    for (uint32_t i = 0; i < m->options.endpoint_count; i++) {
        const struct image_endpoint *e = &m->options.endpoints[i];
        founding_address(own, e->host, e->port);
        known = known || strcmp(own, place) == 0;
    }
    if (!known) {
        memcpy(out[(*count)++], place, sizeof place);
    }
}

uint32_t meta_other_places(const struct meta *m, char (*out)[META_PLACE_SIZE])
{
    const struct voter *v = voters_find(&m->voters, m->identity.node_id);
    const struct image_broker *b = image_broker_by_id(meta_newest_image(m), m->identity.node_id);
    uint32_t count = 0;
    if (v) {
        add_place(m, v->host, v->port, out, &count);
    }
    if (b && b->endpoint_count > 0) {
        add_place(m, b->endpoints[0].host, b->endpoints[0].port, out, &count);
    }
    assert(count <= META_PLACES);
    return count;
}
