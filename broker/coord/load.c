/* SPDX-License-Identifier: Apache-2.0 */

/* Replay: a partition's records, from its start to where it ended when it came to this node, make
 * the groups that it coordinates. What this version does not know (another protocol's records) is
 * passed over and stays in the log. */
#include "coord/load.h"

#include "coord/life.h"
#include "coord/member.h"
#include "coord/offsets.h"
#include "coord/place.h"

#include <inttypes.h>

enum {
    READ_BYTES = 1 << 20,
    RETRY_MS = 10,
    MENDED_MS = 1000,
    LOOK_AGAIN_MS = 50,
    KEY_OFFSET_OLD = 0,
    KEY_OFFSET = 1,
    KEY_GROUP = 2
};

static const uint64_t ms_ns = 1000000;

/* --- records ---------------------------------------------------------------------------------- */

/* The version in front of a value. */
static int value_version(struct reader *r, struct wire_versions known)
{
    int version = (int16_t)reader_be16(r);
    return !r->failed && wire_has_version(known, version) ? version : -1;
}

/* As the record's header says, or its value in a version that has room for it; zero: neither does. */
static struct uuid topic_id_of(struct record record, const struct offset_commit_value *v)
{
    struct uuid id = v->topic_id;
    struct record_header h;
    while (record_header_next(&record, &h)) {
        if (bytes_equal(h.key, bytes_of_string(WRITE_HEADER_TOPIC_ID)) &&
            h.value.size == (int32_t)sizeof id.bytes) {
            memcpy(id.bytes, h.value.data, sizeof id.bytes);
        }
    }
    return id;
}

static int replay_offset(struct coord_partition *p, struct reader *key, const struct record *record,
                         struct arena *arena)
{
    struct offset_commit_key k;
    int error = offset_commit_key_decode(&k, key, 0, arena);
    if (error) {
        return error;
    }
    bool deleted = record->value.size < 0;
    struct group *g = coord_partition_group(p, k.group, !deleted);
    if (deleted) {
        struct offset *o = g ? offset_find(g, k.topic, k.partition) : NULL;
        if (o) {
            offset_remove(g, o);
        }
        return 0;
    }
    struct reader r = reader_of(record->value.data, (size_t)record->value.size);
    struct offset_commit_value v;
    int version = value_version(&r, offset_commit_value_message.versions);
    error = version < 0 ? ERR_MALFORMED : offset_commit_value_decode(&v, &r, version, arena);
    if (error) {
        return error;
    }
    if (!g) {
        return ERR_NO_MEMORY;
    }
    const struct coord_offset o = {.topic = k.topic,
                                   .partition = k.partition,
                                   .topic_id = topic_id_of(*record, &v),
                                   .offset = v.offset,
                                   .leader_epoch = v.leader_epoch,
                                   .metadata = v.metadata};
    if (k.topic.size < 1 || k.topic.size > LOG_TOPIC_NAME_MAX) {
        return ERR_MALFORMED;
    }
    return offset_set(g, &o, v.commit_timestamp, v.expire_timestamp);
}

static void group_forget_members(struct group *g)
{
    struct list *node;
    while ((node = list_first(&g->members))) {
        member_remove(container_of(node, struct member, link), 0);
    }
    memory_free(g->host->memory, g->protocol_type);
    memory_free(g->host->memory, g->protocol);
    g->protocol_type = g->protocol = NULL;
    g->generation = 0;
    g->changed_ms = -1;
}

static int group_fill(struct group *g, const struct group_metadata_value *v)
{
    struct memory *memory = g->host->memory;
    /* Members have one, whatever the record says. */
    struct wire_string protocol =
        v->protocol.size < 0 && v->members_count > 0 ? wire_string_of("") : v->protocol;
    g->protocol_type = memory_string(memory, v->protocol_type.data, (size_t)v->protocol_type.size);
    if (protocol.size >= 0) {
        g->protocol = memory_string(memory, protocol.data, (size_t)protocol.size);
    }
    if (!g->protocol_type || (protocol.size >= 0 && !g->protocol)) {
        return ERR_NO_MEMORY;
    }
    g->generation = v->generation;
    g->changed_ms = v->current_state_timestamp;
    for (int32_t i = 0; i < v->members_count; i++) {
        if (!member_replay(g, &v->members[i], wire_string_of(g->protocol))) {
            return ERR_NO_MEMORY;
        }
    }
    g->leader = member_find(g, v->leader);
    return 0;
}

static int replay_group(struct coord_partition *p, struct reader *key, const struct record *record,
                        struct arena *arena)
{
    struct group_metadata_key k;
    int error = group_metadata_key_decode(&k, key, 0, arena);
    if (error) {
        return error;
    }
    bool deleted = record->value.size < 0;
    struct group *g = coord_partition_group(p, k.group, !deleted);
    if (g) {
        group_forget_members(g);
    }
    if (deleted) {
        return 0;
    }
    struct reader r = reader_of(record->value.data, (size_t)record->value.size);
    struct group_metadata_value v;
    int version = value_version(&r, group_metadata_value_message.versions);
    error = version < 0 ? ERR_MALFORMED : group_metadata_value_decode(&v, &r, version, arena);
    if (error) {
        return error;
    }
    return g ? group_fill(g, &v) : ERR_NO_MEMORY;
}

static int replay_record(struct coord_partition *p, const struct record *record)
{
    struct arena arena;
    struct reader key =
        reader_of(record->key.data, record->key.size > 0 ? (size_t)record->key.size : 0);
    int kind = (int16_t)reader_be16(&key), error = 0;
    arena_init(&arena, io_memory(p->among->host->io), SIZE_MAX);
    if (key.failed) {
        error = ERR_MALFORMED;
    } else if (kind == KEY_OFFSET || kind == KEY_OFFSET_OLD) {
        error = replay_offset(p, &key, record, &arena);
    } else if (kind == KEY_GROUP) {
        error = replay_group(p, &key, record, &arena);
    }
    arena_deinit(&arena);
    return error;
}

/* A record that cannot be read is told and passed over; out of memory is not. */
static int replay_batch(struct load *l, const struct batch_header *h, const uint8_t *data)
{
    if (h->attributes & (BATCH_CONTROL | BATCH_CODEC_MASK)) {
        log_warn(io_logger(l->host->io), "coord",
                 "batch passed over: a control or compressed batch is none of the broker's "
                 "partition=%s-%d offset=%" PRIi64,
                 COORD_TOPIC, l->partition->index, h->base_offset);
        return 0;
    }
    struct record_reader reader;
    struct record record;
    int more;
    record_reader_init(&reader, h, bytes_of(data + BATCH_HEADER_SIZE, h->size - BATCH_HEADER_SIZE));
    while ((more = record_next(&reader, &record)) == 1) {
        int error = record.offset < l->next ? 0 : replay_record(l->partition, &record);
        l->records++;
        if (error == ERR_NO_MEMORY) {
            return error;
        }
        if (error) {
            log_warn(io_logger(l->host->io), "coord",
                     "record passed over: error=\"%s\" partition=%s-%d offset=%" PRIi64,
                     error_text(error), COORD_TOPIC, l->partition->index, record.offset);
        }
    }
    return more;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Half of what was committed is nothing to go on with, and takes memory from other partitions. */
static void groups_drop(struct coord_partition *p)
{
    struct list *node;
    while ((node = list_first(&p->groups))) {
        struct group *g = container_of(node, struct group, link);
        coord_partition_let_go(p, g);
        group_free(g);
    }
}

static void load_end(struct load *l, int error)
{
    struct group_host *h = l->host;
    struct coord_partition *p = l->partition;
    l->partition = NULL;
    memory_free(io_memory(h->io), l->buffer);
    l->buffer = NULL;
    l->capacity = 0;
    if (p && error) {
        p->state = PARTITION_FAILED;
        groups_drop(p);
        log_error(io_logger(h->io), "coord", "cannot coordinate the groups of %s-%d: %s%s",
                  COORD_TOPIC, p->index, error_text(error),
                  error == ERR_NO_MEMORY ? "; give limits.memory more and start again" : "");
    } else if (p) {
        p->state = PARTITION_ACTIVE;
        list_each (node, &p->groups) {
            struct group *g = container_of(node, struct group, link);
            group_loaded(g);
            h->idle(h, g);
        }
        if (l->records > 0) {
            log_info(io_logger(h->io), "coord",
                     "loaded: partition=%s-%d records=%" PRIu64 " ms=%" PRIu64, COORD_TOPIC,
                     p->index, l->records, (io_now(h->io) - l->begun_ns) / ms_ns);
        }
    }
}

/* What is damaged may come back from another replica: it is read from its start once more, after the others. */
static void load_again(struct load *l, int error)
{
    struct coord_partition *p = l->partition;
    l->partition = NULL;
    groups_drop(p);
    if (p->again_ns == 0) {
        log_warn(io_logger(l->host->io), "coord",
                 "the groups of %s-%d wait until it can be read: %s: offset=%" PRIi64, COORD_TOPIC,
                 p->index, error_text(error), l->next);
    }
    p->again_ns = io_now(l->host->io) + MENDED_MS * ms_ns;
    list_append(&l->queue, &p->queue);
}

/* Batches may lie in pieces: they are put together. */
static int gather(struct load *l)
{
    struct log_read *read = &l->read;
    if (read->size > l->capacity) {
        uint8_t *larger = memory_resize(io_memory(l->host->io), l->buffer, read->size);
        if (!larger) {
            return ERR_NO_MEMORY;
        }
        l->buffer = larger;
        l->capacity = read->size;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < read->slice_count; i++) {
        memcpy(l->buffer + at, read->slices[i].data, read->slices[i].size);
        at += read->slices[i].size;
    }
    assert(at == read->size);
    return 0;
}

static int replay_read(struct load *l)
{
    int error = gather(l);
    for (uint32_t i = 0; i < l->read.slice_count; i++) {
        slice_release(&l->read.slices[i]);
    }
    for (size_t at = 0; !error && at < l->read.size;) {
        struct batch_header h;
        error = batch_header_read(&h, l->buffer + at, l->read.size - at);
        error = error ? error : replay_batch(l, &h, l->buffer + at);
        at += error ? 0 : h.size;
    }
    l->next = l->read.next_offset;
    return error;
}

/* Whether there is more to read. */
static bool load_step(struct load *l, int error)
{
    if (!l->partition) {
        for (uint32_t i = 0; !error && i < l->read.slice_count; i++) {
            slice_release(&l->read.slices[i]);
        }
        load_end(l, 0);
        return false;
    }
    if (error == ERR_BUSY) {
        deadline_set(l->host->deadlines, &l->retry, io_now(l->host->io) + RETRY_MS * ms_ns);
        return false;
    }
    if (error == ERR_DAMAGED || error == ERR_DISK_FAILED) {
        load_again(l, error);
        return false;
    }
    bool nothing = !error && l->read.size == 0; /* compaction has left out the rest */
    error = error ? error : replay_read(l);
    if (error || nothing || l->next >= l->end) {
        load_end(l, error);
        return false;
    }
    return true;
}

static void load_go(struct load *l);

static void read_done(struct log_read *read, int error)
{
    struct load *l = container_of(read, struct load, read);
    l->reading = false;
    if (load_step(l, error)) {
        load_go(l);
    }
    load_next(l);
    l->read_home(l);
}

static void load_go(struct load *l)
{
    bool on = true;
    while (on) {
        struct partition *p = partition_find(l->logs, l->partition->topic_id, l->partition->index);
        if (!p) {
            load_end(l, ERR_CLOSED);
            return;
        }
        l->read = (struct log_read){.offset = l->next,
                                    .limit_offset = l->end,
                                    .bytes_max = READ_BYTES,
                                    .first_whole = true,
                                    .done = read_done};
        int result = log_read(partition_log(p), &l->read);
        l->reading = result == 0;
        on = !l->reading && load_step(l, result < 0 ? result : 0);
    }
}

static void retry(struct deadline *d)
{
    struct load *l = container_of(d, struct load, retry);
    if (l->partition) {
        load_go(l);
    }
    load_next(l);
}

void load_init(struct load *l, struct group_host *host, struct partition_table *logs,
               void (*read_home)(struct load *l))
{
    *l = (struct load){.host = host, .logs = logs, .read_home = read_home, .retry.due = retry};
    list_init(&l->queue);
}

void load_deinit(struct load *l)
{
    assert(!l->reading);
    memory_free(io_memory(l->host->io), l->buffer);
}

static void may_be_ready(struct partition_waiter *w)
{
    struct coord_partition *p = container_of(w, struct coord_partition, ready);
    load_next(p->load);
}

void load_add(struct load *l, struct coord_partition *p)
{
    assert(p->state == PARTITION_LOADING);
    p->load = l;
    p->ready.woken = may_be_ready;
    list_append(&l->queue, &p->queue);
}

/* What was committed in front of this leader's time is there when its epoch is committed (P29); until then the
 * partition waits in the queue for news of its log. That a lease is granted (H17) is no news of a log: it is looked
 * again by time. */
static bool load_ready(struct load *l, struct coord_partition *p, struct partition *found)
{
    int error = partition_latest(found, &l->end);
    if (error && group_mutated(l->host, COORD_MUTANT_UNREADY)) {
        l->end = partition_high_watermark(found);
        error = 0;
    }
    if (!error) {
        list_remove(&p->ready.link);
    } else if (list_empty(&p->ready.link)) {
        partition_wait(found, &p->ready);
    }
    return !error;
}

/* The first of the queue that can be replayed now; its log is at *found, NULL: it has gone. NULL: none can. */
static struct coord_partition *load_choose(struct load *l, struct partition **found)
{
    uint64_t now = io_now(l->host->io), due = UINT64_MAX;
    deadline_cancel(l->host->deadlines, &l->retry);
    list_each (node, &l->queue) {
        struct coord_partition *p = container_of(node, struct coord_partition, queue);
        if (p->again_ns > now) {
            due = p->again_ns < due ? p->again_ns : due;
            continue;
        }
        *found = partition_find(l->logs, p->topic_id, p->index);
        if (!*found || load_ready(l, p, *found)) {
            list_remove(&p->queue);
            return p;
        }
        uint64_t again = now + LOOK_AGAIN_MS * ms_ns;
        due = again < due ? again : due;
    }
    if (due != UINT64_MAX && !l->host->stopping) {
        deadline_set(l->host->deadlines, &l->retry, due);
    }
    return NULL;
}

void load_next(struct load *l)
{
    while (!l->partition && !l->reading) {
        struct partition *found;
        struct coord_partition *p = load_choose(l, &found);
        if (!p) {
            return;
        }
        if (!found) {
            p->state = PARTITION_FAILED;
            continue;
        }
        l->partition = p;
        l->next = partition_log_start(found);
        l->records = 0;
        l->begun_ns = io_now(l->host->io);
        if (l->next >= l->end) {
            load_end(l, 0);
        } else {
            load_go(l);
        }
    }
}

void load_forget(struct load *l, struct coord_partition *p)
{
    list_remove(&p->queue);
    list_remove(&p->ready.link);
    if (l->partition == p) {
        l->partition = NULL;
    }
    if (!l->partition) {
        deadline_cancel(l->host->deadlines, &l->retry);
        load_next(l);
    }
}
