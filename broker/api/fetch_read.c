/* SPDX-License-Identifier: Apache-2.0 */

/* A share of a fetch at home: reading its partitions one after the other, watching them, and the
 * loans of their slices. See fetch.h. */
#include "api/fetch.h"

static struct fetch *share_fetch(const struct fetch_share *fs)
{
    return container_of(fs->share.spread, struct fetch, spread);
}

static struct fetch_part *part_next(struct fetch_part *p)
{
    return p->part.next ? container_of(p->part.next, struct fetch_part, part) : NULL;
}

static struct fetch_part *part_first(struct fetch_share *fs)
{
    return fs->share.first ? container_of(fs->share.first, struct fetch_part, part) : NULL;
}

/* --- loans ------------------------------------------------------------------------------------ */

enum { LOAN_SLICES_FIRST = 8 };

/* At home. */
static void loan_end(struct loan *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        slice_release(&l->slices[i]);
    }
    assert(l->home->loans > 0);
    l->home->loans--;
    memory_free(io_memory(l->home->io), l);
}

static void loan_home(struct io_message *m, struct io *io)
{
    struct loan *l = container_of(m, struct loan, message);
    assert(l->home->io == io);
    loan_end(l);
}

/* The other shard's last use is over. */
static void loan_unused(struct buffer *b)
{
    struct loan *l = container_of(b, struct loan, buffer);
    l->message.deliver = loan_home;
    io_post(l->user->io, io_shard(l->home->io), &l->message);
}

/* Takes over the slices of a read; false: no memory, and they were released. */
static bool loan_add(struct fetch_share *fs, struct fetch_part *part)
{
    struct loan *l = fs->loan;
    uint32_t used = l ? l->count : 0, need = used + fs->read.slice_count;
    if (!l || need > l->capacity) {
        uint32_t capacity = l ? l->capacity * 2 : LOAN_SLICES_FIRST;
        capacity = capacity < need ? need : capacity;
        struct loan *grown = memory_resize(io_memory(fs->share.home->io), l,
                                           sizeof *l + capacity * sizeof l->slices[0]);
        if (!grown) {
            for (uint32_t i = 0; i < fs->read.slice_count; i++) {
                slice_release(&fs->read.slices[i]);
            }
            return false;
        }
        fs->share.home->loans += l ? 0 : 1;
        fs->loan = l = grown;
        l->capacity = capacity;
        l->home = fs->share.home;
        l->user = fs->share.spread->request->api;
    }
    memcpy(l->slices + used, fs->read.slices, fs->read.slice_count * sizeof l->slices[0]);
    l->count = need;
    part->slice_first = used;
    part->slice_count = fs->read.slice_count;
    return true;
}

const struct slice *fetch_part_slices(struct fetch *f, struct fetch_part *part)
{
    struct fetch_share *fs = fetch_share_of(part->part.share);
    struct loan *l = fs->loan;
    assert(part->slice_count > 0 && l && part->slice_first + part->slice_count <= l->count);
    struct slice *from = l->slices + part->slice_first;
    struct slice *out = api_alloc(f->request, part->slice_count, sizeof *out);
    if (!out) {
        return NULL;
    }
    bool own = fs->share.home == f->request->api;
    if (!own && l->buffer.magic != BUFFER_MAGIC) {
        buffer_init(&l->buffer, NULL, 0, loan_unused); /* one reference is the fetch's own */
    }
    for (uint32_t i = 0; i < part->slice_count; i++) {
        out[i] = from[i];
        if (own) {
            from[i].buffer = NULL; /* handed over */
        } else {
            out[i].buffer = buffer_take(&l->buffer);
        }
    }
    return out;
}

void fetch_share_release(struct fetch *f, struct fetch_share *fs)
{
    struct loan *l = fs->loan;
    fs->loan = NULL;
    if (!l) {
        return;
    }
    if (fs->share.home == f->request->api) {
        loan_end(l);
    } else if (l->buffer.magic == BUFFER_MAGIC) {
        buffer_release(&l->buffer);
    } else {
        loan_unused(&l->buffer);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_done(struct log_read *read, int error);
static bool watch_begin(struct fetch_share *fs);

/* Other replicas may serve what this one cannot (PROTOCOL 9, trap 6). */
static int damage_error(const struct fetch_share *fs, const struct fetch_part *part)
{
    const struct partition *p = partition_find(fs->share.home->options.rooms.partitions,
                                               part->part.topic_id, part->part.partition);
    return p && partition_is_replicated(p) ? ERR_KAFKA_STORAGE_ERROR : ERR_CORRUPT_MESSAGE;
}

static bool read_gaps(const struct fetch_share *fs, const struct fetch_part *part)
{
    struct partition *p = partition_find(fs->share.home->options.rooms.partitions,
                                         part->part.topic_id, part->part.partition);
    return p && log_has_gaps(partition_log(p), fs->read.offset, fs->read.next_offset);
}

static void part_read_done(struct fetch_share *fs, struct fetch_part *part, int error)
{
    if (error == ERR_BUSY || error == ERR_NO_MEMORY) {
        part->retry = true;
    } else if (error == ERR_CLOSED) {
        part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
    } else if (error == ERR_DAMAGED || error == ERR_DISK_FAILED) {
        part->error = damage_error(fs, part);
    } else if (error == ERR_OFFSET_OUT_OF_RANGE) {
        part->error = error;
    } else if (error) {
        part->error = ERR_UNKNOWN_SERVER_ERROR;
    } else if (fs->read.size > 0) {
        assert(fs->read.slice_count > 0);
        if (!loan_add(fs, part)) {
            part->retry = true;
            return;
        }
        part->size = fs->read.size;
        part->gaps = part->asked->asks_for_gaps && read_gaps(fs, part);
        fs->has_data = true;
        fs->budget -= part->size < fs->budget ? part->size : fs->budget;
    }
}

/* Whether the client's log has left ours behind (KIP-595); then says where. */
static bool part_diverges(struct fetch_part *part, const struct log *log)
{
    if (part->asked->last_fetched_epoch < 0) {
        return false;
    }
    int32_t epoch;
    int64_t end = log_epoch_end_told(log, part->asked->last_fetched_epoch, &epoch);
    if (epoch == part->asked->last_fetched_epoch && end >= part->asked->fetch_offset) {
        return false;
    }
    part->diverges = true;
    part->diverging_epoch = epoch;
    part->diverging_end = end;
    return true;
}

/* Up to where it is read now; -1: nothing, for its error, its divergence or what is there already say all. */
static int64_t part_limit(struct fetch_share *fs, struct fetch_part *part, struct partition *p)
{
    const struct fetch_request_partitions *asked = part->asked;
    struct log_status status = log_status(partition_log(p));
    struct fetch *f = share_fetch(fs);
    if (f->follower >= 0) {
        fetch_follow(f, part, p);
        bool reads = !part->error && !part->diverges && part->follow.records;
        return reads && asked->fetch_offset < status.end_offset ? status.end_offset : -1;
    }
    part->high_watermark = partition_high_watermark(p);
    part->log_start = status.start_offset;
    if (asked->fetch_offset < status.start_offset || asked->fetch_offset > status.end_offset) {
        /* A follower may be behind what its leader has told the consumer, and so may a leader that was replaced. */
        bool behind = asked->fetch_offset > status.end_offset && !partition_leads_surely(p);
        part->error = behind ? ERR_OFFSET_NOT_AVAILABLE : ERR_OFFSET_OUT_OF_RANGE;
        return -1;
    }
    part->nearest = partition_leads(p) ? fetch_nearest(f, part, fs->share.home) : -1;
    if (part->nearest >= 0) {
        part->answers = true;
        return -1;
    }
    if (asked->last_fetched_epoch > status.leader_epoch && !partition_leads_surely(p)) {
        part->error = ERR_UNKNOWN_LEADER_EPOCH;
        return -1;
    }
    bool nothing =
        part_diverges(part, partition_log(p)) || asked->fetch_offset >= part->high_watermark;
    return nothing ? -1 : part->high_watermark;
}

/* A follower is answered by the replica, whatever its role; a consumer by one that may be read. */
static int part_partition(struct fetch_share *fs, const struct fetch_part *part,
                          struct partition **out)
{
    struct partition_table *table = fs->share.home->options.rooms.partitions;
    if (share_fetch(fs)->follower < 0) {
        return partition_readable(table, part->part.topic_id, part->part.partition,
                                  part->asked->current_leader_epoch, out);
    }
    *out = partition_find(table, part->part.topic_id, part->part.partition);
    return *out ? 0 : ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

/* false: read_done() will come. */
static bool part_read(struct fetch_share *fs, struct fetch_part *part)
{
    const struct fetch_request_partitions *asked = part->asked;
    struct partition *p;
    part->moved = part->retry = false;
    part->size = part->slice_count = 0;
    part->diverges = part->answers = false;
    part->nearest = -1;
    part->error = part_partition(fs, part, &p);
    if (part->error) {
        return true;
    }
    int64_t limit = part_limit(fs, part, p);
    if (limit < 0) {
        return true;
    }
    uint32_t bytes = asked->partition_max_bytes > 0 ? (uint32_t)asked->partition_max_bytes : 0;
    bytes = bytes < fs->budget ? bytes : fs->budget;
    if (bytes == 0 && fs->has_data) {
        return true;
    }
    fs->read = (struct log_read){
        .offset = asked->fetch_offset,
        .limit_offset = limit,
        .bytes_max = bytes ? bytes : 1,
        .first_whole = !fs->has_data, /* KIP-74 */
        .done = read_done,
    };
    int result = log_read(partition_log(p), &fs->read);
    if (result == 0) {
        return false;
    }
    part_read_done(fs, part, result < 0 ? result : 0);
    return true;
}

static bool found_nothing(struct fetch_share *fs)
{
    for (struct fetch_part *p = part_first(fs); p; p = part_next(p)) {
        if (p->size > 0 || p->error || p->diverges || p->answers || p->retry) {
            return false;
        }
    }
    return true;
}

/* false: read_done() will come. */
static bool parts_read(struct fetch_share *fs)
{
    for (; fs->reading; fs->reading = part_next(fs->reading)) {
        struct fetch_part *part = fs->reading;
        if ((part->moved || part->retry || part->size > 0) && !part_read(fs, part)) {
            return false;
        }
    }
    return true;
}

static void share_read(struct fetch_share *fs)
{
    while (parts_read(fs)) {
        bool stays = fs->stays && found_nothing(fs);
        fs->stays = false;
        if (!stays) {
            share_done(&fs->share);
            return;
        }
        if (watch_begin(fs)) {
            return;
        }
        fs->reading = part_first(fs); /* one has moved since it was read */
    }
}

static void read_done(struct log_read *read, int error)
{
    struct fetch_share *fs = container_of(read, struct fetch_share, read);
    part_read_done(fs, fs->reading, error);
    fs->reading = part_next(fs->reading);
    share_read(fs);
}

/* --- watching --------------------------------------------------------------------------------- */

static void part_woken(struct partition_waiter *w)
{
    struct fetch_part *part = container_of(w, struct fetch_part, waiter);
    struct fetch_share *fs = fetch_share_of(part->part.share);
    part->moved = true;
    io_turn_end(fs->share.home->io, &fs->turn);
}

static void watch_end(struct fetch_share *fs)
{
    fs->watching = false;
    for (struct fetch_part *p = part_first(fs); p; p = part_next(p)) {
        partition_unwait(&p->waiter);
    }
    if (fs->turn.link.next) {
        list_remove(&fs->turn.link);
    }
}

/* What had some bytes, but not enough, is read once more: its slices were let go for the watch. */
static void watch_stop(struct fetch_share *fs)
{
    assert(fs->watching);
    watch_end(fs);
    fs->reading = part_first(fs);
    share_read(fs);
}

static void watch_turn(struct io_turn *t)
{
    watch_stop(container_of(t, struct fetch_share, turn));
}

static bool part_has_news(struct fetch_share *fs, struct fetch_part *part, struct partition *p)
{
    struct fetch *f = share_fetch(fs);
    if (f->follower < 0) {
        return partition_high_watermark(p) != part->high_watermark;
    }
    fetch_follow(f, part, p);
    return part->error || part->answers;
}

/* Waits with every partition, unless one has moved since it was read. */
static bool watch_begin(struct fetch_share *fs)
{
    bool news = false;
    fs->watching = true;
    fs->turn.turn_end = watch_turn;
    for (struct fetch_part *part = part_first(fs); part; part = part_next(part)) {
        struct partition *p;
        int error = part_partition(fs, part, &p);
        part->waiter.woken = part_woken;
        list_init(&part->waiter.link);
        if (error || part_has_news(fs, part, p)) {
            part->moved = news = true;
        } else if (share_fetch(fs)->follower >= 0) {
            partition_wait_follower(p, &part->waiter);
        } else {
            partition_wait(p, &part->waiter);
        }
    }
    if (news) {
        watch_end(fs);
    }
    return !news;
}

void fetch_share_start(struct share *s)
{
    struct fetch_share *fs = fetch_share_of(s);
    if (fs->loan) {
        loan_end(fs->loan);
        fs->loan = NULL;
    }
    fs->has_data = false;
    fs->stays = fs->watch && fs->reads_first;
    if (fs->watch && !fs->reads_first && watch_begin(fs)) {
        return;
    }
    fs->reading = part_first(fs);
    share_read(fs);
}

/* --- cancelling ------------------------------------------------------------------------------- */

static void cancel_back(struct io_message *m, struct io *io)
{
    struct fetch_share *fs = container_of(m, struct fetch_share, cancel);
    struct fetch *f = share_fetch(fs);
    fs->cancelling = false;
    if (fs->cancel_again) {
        fs->cancel_again = false;
        fetch_share_cancel(f, fs);
    }
    net_unhold(&f->request->net);
}

/* At home. What reads comes back by itself. */
static void share_cancel(struct fetch_share *fs)
{
    fs->stays = false;
    if (fs->watching) {
        watch_stop(fs);
    }
}

static void cancel_out(struct io_message *m, struct io *io)
{
    struct fetch_share *fs = container_of(m, struct fetch_share, cancel);
    share_cancel(fs);
    fs->cancel.deliver = cancel_back;
    io_post(io, io_shard(share_fetch(fs)->request->api->io), &fs->cancel);
}

void fetch_share_cancel(struct fetch *f, struct fetch_share *fs)
{
    struct api *api = f->request->api;
    if (!fs->share.away) {
        fs->watch = false; /* it has not begun yet */
    } else if (fs->share.shard == io_shard(api->io)) {
        share_cancel(fs);
    } else if (fs->cancelling) {
        fs->cancel_again = true;
    } else {
        fs->cancelling = true;
        fs->cancel.deliver = cancel_out;
        net_hold(&f->request->net);
        io_post(api->io, fs->share.shard, &fs->cancel);
    }
}
