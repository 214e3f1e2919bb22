/* SPDX-License-Identifier: Apache-2.0 */

/* What a replica holds, read in its own process: a sum over all batches below an offset, as they are. Replicas of a
 * compacted topic are compacted by themselves, and have the newest record of each key in common. */
#include "cluster_world.h"

#include "base/crc32c.h"
#include "wire/batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20, SUM_SECONDS = 20 };

struct summing {
    struct io_message message;
    struct cluster_world *world;
    struct member *member;
    unsigned shard;
    struct uuid topic;
    int32_t partition;
    struct log *log;
    struct log_read read;
    int64_t end;
    uint32_t sum;
    bool by_key; /* of a compacted topic: all of its bytes are kept, */
    struct wire_writer whole;
    bool over;
    int error;
};

/* --- a compacted topic -------------------------------------------------------------------------- */

enum { KEYS_MAX = 1000, UNPACKED_MAX = 8 << 20, WHOLE_MAX = 1 << 30 };

struct newest {
    int64_t offset; /* + 1; 0: none */
    uint32_t crc;   /* of the value */
};

static void take_record(struct summing *s, const struct record *r, struct newest keys[KEYS_MAX])
{
    const size_t prefix = strlen(WORLD_KEY);
    char digits[12] = "";
    bool fits = r->key.size > (int32_t)prefix && r->key.size - prefix < sizeof digits &&
                memcmp(r->key.data, WORLD_KEY, prefix) == 0;
    world_expect(s->world, fits, "C28 corrupt_served: a key that nobody sent");
    memcpy(digits, r->key.data + prefix, (size_t)r->key.size - prefix);
    unsigned long key = strtoul(digits, NULL, 10);
    world_expect(s->world, key < KEYS_MAX, "C28 corrupt_served: a key that nobody sent");
    keys[key] = (struct newest){0}; /* a tombstone may have gone */
    if (r->value.size >= 0) {
        keys[key] = (struct newest){r->offset + 1, crc32c(0, r->value.data, (size_t)r->value.size)};
    }
}

static void take_batch(struct summing *s, const struct batch_header *h, const uint8_t *data,
                       struct newest keys[KEYS_MAX])
{
    const struct decompress_limits limits = decompress_limits_of(UNPACKED_MAX);
    struct wire_writer unpacked;
    struct record_reader in;
    struct record r;
    wire_writer_init(&unpacked, &s->world->memory, UNPACKED_MAX);
    int error = decompress_append(batch_codec(h),
                                  bytes_of(data + BATCH_HEADER_SIZE, h->size - BATCH_HEADER_SIZE),
                                  &limits, &s->world->memory, &unpacked);
    world_expect(s->world, !error, "C28 corrupt_served: a batch cannot be unpacked");
    record_reader_init(&in, h, bytes_of(unpacked.data, unpacked.size));
    while ((error = record_next(&in, &r)) > 0) {
        take_record(s, &r, keys);
    }
    world_expect(s->world, !error, "C28 corrupt_served: a batch with other records than it says");
    wire_writer_deinit(&unpacked);
}

static uint32_t sum_of_keys(struct summing *s)
{
    static struct newest keys[KEYS_MAX];
    const struct wire_writer *all = &s->whole;
    struct batch_header h;
    memset(keys, 0, sizeof keys);
    for (size_t at = 0; at < all->size; at += h.size) {
        int error = batch_header_read(&h, all->data + at, all->size - at);
        world_expect(s->world, !error, "C28 corrupt_served: no batch where one should begin");
        take_batch(s, &h, all->data + at, keys);
    }
    uint32_t sum = 0;
    for (size_t i = 0; i < KEYS_MAX; i++) {
        sum = crc32c(sum, &keys[i].offset, sizeof keys[i].offset);
        sum = crc32c(sum, &keys[i].crc, sizeof keys[i].crc);
    }
    return sum;
}

/* --- reading ------------------------------------------------------------------------------------ */

static void go_on(struct summing *s);

static void take(struct summing *s)
{
    struct log_read *r = &s->read;
    for (uint32_t i = 0; i < r->slice_count; i++) {
        const struct slice *slice = &r->slices[i];
        if (s->by_key) {
            uint8_t *room = wire_writer_room(&s->whole, slice->size);
            assert(room);
            memcpy(room, slice->data, slice->size);
        } else {
            s->sum = crc32c(s->sum, slice->data, slice->size);
        }
        slice_release(&r->slices[i]);
    }
    r->offset = r->next_offset;
}

static void read_done(struct log_read *r, int error)
{
    struct summing *s = container_of(r, struct summing, read);
    if (error) {
        s->error = error;
        s->over = true;
        return;
    }
    take(s);
    go_on(s);
}

static void go_on(struct summing *s)
{
    int now = 1;
    while (s->read.offset < s->end) {
        s->read.slice_count = 0;
        now = log_read(s->log, &s->read);
        if (now <= 0) {
            break;
        }
        take(s);
    }
    if (now < 0) {
        s->error = now;
    }
    s->over = now != 0;
}

static void begin(struct io_message *message, struct io *io)
{
    struct summing *s = container_of(message, struct summing, message);
    struct node_shard *shard = &s->member->node->shards[s->shard];
    struct partition *p = partition_find(shard->partitions, s->topic, s->partition);
    if (!p) {
        s->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
        s->over = true;
        return;
    }
    s->log = partition_log(p);
    if (s->end < 0) {
        s->end = log_status(s->log).high_watermark;
    }
    s->read = (struct log_read){.offset = log_status(s->log).start_offset,
                                .limit_offset = s->end,
                                .bytes_max = READ_BYTES,
                                .first_whole = true,
                                .done = read_done};
    go_on(s);
}

static void sum_up(struct summing *s, uint64_t until)
{
    struct cluster_world *w = s->world;
    wire_writer_init(&s->whole, &w->memory, WHOLE_MAX);
    io_post(sim_node_shard(s->member->machine, s->shard), 0, &s->message);
    while (!s->over) {
        world_expect(w, sim_now(w->sim) < until, "node %d does not read partition %d",
                     (int)s->member->id, (int)s->partition);
        world_run(w, CLUSTER_MS);
    }
    if (s->by_key && !s->error) {
        s->sum = sum_of_keys(s);
    }
    wire_writer_deinit(&s->whole);
}

/* What is found damaged by it is to come back from others: it is read again until that is so. Who was found damaged a
 * moment ago, and is not in sync, may still lack the newest. */
struct replica_sum world_sum(struct cluster_world *w, struct member *m, const struct told_topic *t,
                             int32_t partition, int64_t end)
{
    const struct summing first = {
        .message.deliver = begin,
        .world = w,
        .member = m,
        .shard = log_home(bytes_of_string(t->name), partition, m->shards),
        .topic = t->id,
        .partition = partition,
        .end = end,
        .by_key = t->compacted,
    };
    uint64_t until = sim_now(w->sim) + SUM_SECONDS * 1000 * CLUSTER_MS;
    struct summing s = first;
    sum_up(&s, until);
    while ((s.error == ERR_DAMAGED || s.error == ERR_DISK_FAILED || s.error == ERR_BUSY ||
            s.error == ERR_OFFSET_OUT_OF_RANGE) &&
           sim_now(w->sim) < until) {
        sim_story(w->sim, "node %d: %s-%d at %" PRId64 ": %s, again", (int)m->id, t->name,
                  (int)partition, s.read.offset, error_text(s.error));
        world_run(w, 200 * CLUSTER_MS);
        s = first;
        sum_up(&s, until);
    }
    world_expect(w, !s.error,
                 "C29 replica_divergence: node %d cannot read %s-%d to %" PRId64 ": %s", (int)m->id,
                 t->name, (int)partition, s.end, error_text(s.error));
    return (struct replica_sum){s.end, s.sum};
}

void world_check_replicas(struct cluster_world *w, const struct told_topic *t, int32_t partition,
                          struct replica_sum *leaders)
{
    const struct image_topic *in =
        image_topic_by_name(w->members[0].node->image, bytes_of_string(t->name));
    world_expect(w, in && partition < in->partition_count, "the topic %s is not there", t->name);
    const struct image_partition *p = &in->partitions[partition];
    int32_t leader = p->leader, replicas[CLUSTER_REPLICAS_MAX], count = p->replica_count;
    world_expect(w, leader > 0, "%s-%d has no leader", t->name, (int)partition);
    memcpy(replicas, p->replicas, (size_t)count * sizeof *replicas);
    *leaders = world_sum(w, &w->members[leader - 1], t, partition, leaders->end);
    for (int32_t i = 0; i < count; i++) {
        struct replica_sum sum =
            world_sum(w, &w->members[replicas[i] - 1], t, partition, leaders->end);
        world_expect(w, sum.sum == leaders->sum,
                     "C29 replica_divergence: node %d holds other bytes of %s-%d below %" PRId64
                     " than its leader, node %d",
                     (int)replicas[i], t->name, (int)partition, leaders->end, (int)leader);
    }
}
