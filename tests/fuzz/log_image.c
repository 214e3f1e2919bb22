/* SPDX-License-Identifier: Apache-2.0 */

/* See log_image.h. The image is made once, by a real run; each input changes a copy of it. */
#include "log_image.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "log/format.h"
#include "log/log.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LOGS = 3,
    JOURNAL_FILE = 128 << 10,
    FILES_MAX = 24,
    FILE_BYTES_MAX = 192 << 10,
    STEPS_MAX = 200000,
};

struct image_file {
    char path[100];
    unsigned kind;
    uint32_t size;
    uint8_t *bytes;
};

/* Made once for the process: the image is the same for every input. */
struct image {
    struct disk *disk;
    struct uuid boot, storage_id;
    uint64_t life;
    struct image_file files[FILES_MAX];
    unsigned file_count;
};

struct run;

struct closing {
    struct log_set_close close;
    struct run *run;
};

struct run {
    struct sim *sim;
    struct sim_node *node;
    struct log_options options;
    struct log_recover recover;
    struct io_op sync;
    struct io_message opening[4];
    struct log_set *sets[4];
    struct log *logs[LOGS];
    struct log_read read;
    struct log_find_time find;
    struct log_append append;
    struct log_control control;
    struct closing closings[4];
    uint8_t batch[4096];
    unsigned shards, opened, at, batches_left, closed;
    bool make, ended;
};

static void die(const char *what, const char *more)
{
    fprintf(stderr, "fuzz: %s %s\n", what, more);
    abort();
}

static struct uuid log_id(unsigned i)
{
    struct uuid id = {{0}};
    id.bytes[0] = (uint8_t)(i + 1);
    id.bytes[9] = 0x40;
    return id;
}

static const char *const topics[LOGS] = {"alpha", "beta", "gamma"};

static const char *known(void *context, struct uuid topic_id, int32_t partition)
{
    for (unsigned i = 0; i < LOGS; i++) {
        if (uuid_equal(topic_id, log_id(i)) && partition == 0) {
            return topics[i];
        }
    }
    return NULL;
}

static void make_batch(struct run *r, uint32_t size, int32_t records)
{
    uint8_t *b = r->batch;
    memset(b, (int)(size + r->batches_left), size);
    put_be64(b, 0);
    put_be32(b + 8, size - 12);
    put_be32(b + 12, 0);
    b[16] = 2;
    put_be16(b + 21, 0);
    put_be32(b + 23, (uint32_t)records - 1);
    put_be64(b + 27, 1000 + r->batches_left);
    put_be64(b + 35, 1000 + r->batches_left);
    put_be64(b + 43, r->batches_left % 3 ? (uint64_t)-1 : 77);
    put_be16(b + 51, r->batches_left % 3 ? 0xffff : 0);
    put_be32(b + 53, UINT32_MAX);
    put_be32(b + 57, (uint32_t)records);
    put_be32(b + 17, crc32c(0, b + 21, size - 21));
}

/* --- the node's code ------------------------------------------------------------------------ */

static void next_log(struct run *r);
static void next_append(struct run *r);

static void closed(struct log_set_close *c)
{
    struct run *r = container_of(c, struct closing, close)->run;
    r->ended = ++r->closed == r->shards;
}

static void close_shard(struct io_message *m, struct io *io)
{
    unsigned shard = io_shard(io);
    struct run *r = container_of(m - shard, struct run, opening[0]);
    r->closings[shard] = (struct closing){.close.done = closed, .run = r};
    log_set_close(r->sets[shard], &r->closings[shard].close);
}

static void close_all(struct run *r)
{
    for (unsigned s = 0; s < r->shards; s++) {
        r->opening[s].deliver = close_shard;
        io_post(sim_node_shard(r->node, 0), s, &r->opening[s]);
    }
}

static void appended(struct log_append *a, int error)
{
    next_append(container_of(a, struct run, append));
}

static void controlled(struct log_control *c, int error)
{
    struct run *r = container_of(c, struct run, control);
    r->control.done = NULL;
    next_append(r);
}

/* Of the image: forty appends, in the middle a truncation and a new start, a checkpoint at two
 * thirds. Of an input: a few appends. */
static void next_append(struct run *r)
{
    if (r->batches_left == 0) {
        r->at++;
        next_log(r);
        return;
    }
    struct log *log = r->logs[r->at];
    unsigned left = r->batches_left--;
    int64_t end = log_status(log).end_offset;
    if (r->make && (left == 15 || left == 8)) {
        r->control = (struct log_control){.kind = left == 15 ? LOG_TRUNCATE : LOG_START,
                                          .offset = left == 15 ? end - 9 : 12,
                                          .done = controlled};
        log_control(log, &r->control);
        return;
    }
    if (r->make && left == 20) {
        log_set_checkpoint(r->sets[0]);
    }
    uint32_t size = 100 + left * 531 % 3500;
    make_batch(r, size, 1 + (int32_t)(left % 4));
    r->append =
        (struct log_append){.batch = bytes_of(r->batch, size),
                            .leader_epoch = log_status(log).leader_epoch < 3 ? 3 : INT32_MAX,
                            .as_leader = true,
                            .done = appended};
    log_append(log, &r->append);
}

static void found(struct log_find_time *f, int error)
{
    struct run *r = container_of(f, struct run, find);
    r->batches_left = 2;
    next_append(r);
}

static void read_more(struct run *r)
{
    struct log *log = r->logs[r->at];
    struct log_status s = log_status(log);
    if (r->read.offset < s.start_offset || r->read.offset >= s.end_offset || r->batches_left == 0) {
        r->find = (struct log_find_time){.timestamp = 1010, .done = found};
        log_find_time(log, &r->find);
        return;
    }
    r->batches_left--;
    r->read.limit_offset = s.end_offset;
    r->read.bytes_max = 10000;
    r->read.first_whole = true;
    int verdict = log_read(log, &r->read);
    if (verdict != 0) {
        r->read.done(&r->read, verdict < 0 ? verdict : 0);
    }
}

static void read_done(struct log_read *read, int error)
{
    struct run *r = container_of(read, struct run, read);
    for (uint32_t i = 0; i < read->slice_count && !error; i++) {
        volatile uint8_t last = read->slices[i].data[read->slices[i].size - 1]; /* it is there */
        (void)last;
        slice_release(&read->slices[i]);
    }
    int64_t next = error || read->next_offset <= read->offset ? INT64_MAX : read->next_offset;
    read->offset = next;
    read_more(r);
}

static void next_log(struct run *r)
{
    struct io *io = sim_node_shard(r->node, 0);
    while (r->at < LOGS && log_home(bytes_of_string(topics[r->at]), 0, r->shards) != io_shard(io)) {
        r->at++;
    }
    if (r->at == LOGS) {
        if (r->make) {
            r->ended = true;
        } else {
            close_all(r);
        }
        return;
    }
    struct log_config config = {.segment_bytes = 24 << 10,
                                .segment_ms = 1 << 30,
                                .retention_ms = -1,
                                .retention_bytes = -1,
                                .durability = r->at == 2 ? LOG_MEMORY : LOG_FSYNC};
    r->logs[r->at] = log_open(r->sets[0], log_id(r->at), 0, topics[r->at], &config);
    if (!r->logs[r->at]) {
        die("no memory to open a log", "");
    }
    if (r->make) {
        r->batches_left = 40;
        next_append(r);
    } else {
        r->batches_left = 1000;
        r->read =
            (struct log_read){.offset = log_status(r->logs[r->at]).start_offset, .done = read_done};
        read_more(r);
    }
}

static void all_open(struct io_message *m, struct io *io)
{
    struct run *r = container_of(m, struct run, opening[0]);
    if (++r->opened == r->shards) {
        log_recovery_free(io, r->recover.result);
        next_log(r);
    }
}

static void open_shard(struct io_message *m, struct io *io)
{
    unsigned shard = io_shard(io);
    struct run *r = container_of(m - shard, struct run, opening[0]);
    r->sets[shard] = log_set_open(io, r->recover.result, &r->options);
    if (!r->sets[shard]) {
        die("a recovered shard does not open", "");
    }
    if (shard + 1 < r->shards) {
        r->opening[shard + 1].deliver = open_shard;
        io_post(io, shard + 1, &r->opening[shard + 1]);
        r->opened++;
    } else {
        r->opening[0].deliver = all_open;
        io_post(io, 0, &r->opening[0]);
    }
}

static void recovered(struct log_recover *recover, int error)
{
    struct run *r = container_of(recover, struct run, recover);
    if (error) {
        r->ended = true;
        if (error == ERR_DAMAGED && !recover->summary.damage[0]) {
            die("damage without a word", "");
        }
        return;
    }
    r->opening[0].deliver = open_shard;
    io_post(sim_node_shard(r->node, 0), 0, &r->opening[0]);
}

static void root_there(struct io_op *op, int64_t result)
{
    struct run *r = container_of(op, struct run, sync);
    log_recover(sim_node_shard(r->node, 0), &r->recover, &r->options, r->shards);
}

static void node_start(struct io *io, void *argument)
{
    struct run *r = argument;
    if (io_shard(io) == 0) {
        (void)!io_mkdir(io, "data");
        r->recover.done = recovered;
        r->sync.done = root_there;
        io_timer(io, &r->sync, io_now(io));
    }
}

/* --- a run ------------------------------------------------------------------------------------ */

static void run_begin(struct run *r)
{
    struct sim_options options = {.seed = 1, .memory_bytes = 64 << 20, .disk_bytes = 64 << 20};
    r->sim = sim_new(&options);
    r->node = sim_node_new(r->sim, "a");
    r->options = (struct log_options){.root = "data",
                                      .journal_file_bytes = JOURNAL_FILE,
                                      .journal_bytes_max = 2 * JOURNAL_FILE,
                                      .memory_journal_bytes = JOURNAL_FILE,
                                      .chunk_bytes_max = 16 << 10,
                                      .tail_bytes_max = 256 << 10,
                                      .read_bytes_max = 256 << 10,
                                      .read_ahead_bytes = 16 << 10,
                                      .write_behind_bytes = 8 << 10,
                                      .disk_reserve_bytes = 4096,
                                      .accept_loss = r->options.accept_loss,
                                      .known = known};
}

static void run_to_end(struct run *r)
{
    sim_node_start(r->node, r->shards, node_start, r);
    for (unsigned steps = 0; !r->ended; steps++) {
        if (sim_node_state(r->node) != SIM_RUNNING) {
            die("the node ended:", sim_node_last_line(r->node));
        }
        if (steps == STEPS_MAX || !sim_step(r->sim)) {
            die("nothing happens any more", "");
        }
    }
}

static unsigned kind_of(const char *path)
{
    if (strstr(path, "/durable-")) {
        return IMAGE_JOURNAL;
    }
    if (strstr(path, "/memory-")) {
        return IMAGE_JOURNAL;
    }
    if (strstr(path, "/checkpoint-")) {
        return IMAGE_CHECKPOINTS;
    }
    if (strstr(path, "/partition")) {
        return IMAGE_PARTITIONS;
    }
    return strstr(path, ".log") || strstr(path, ".index") ? IMAGE_SEGMENTS : 0;
}

static void note_file(void *context, const char *path, struct disk_inode *inode)
{
    struct image *image = context;
    unsigned kind = kind_of(path);
    uint64_t size = disk_size(inode);
    if (!kind || !size || size > FILE_BYTES_MAX || image->file_count == FILES_MAX) {
        return;
    }
    struct image_file *f = &image->files[image->file_count++];
    snprintf(f->path, sizeof f->path, "%s", path);
    f->kind = kind;
    f->size = (uint32_t)size;
    uint32_t blocks = (f->size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE;
    f->bytes = malloc((size_t)blocks * DISK_BLOCK_SIZE);
    for (uint32_t b = 0; b < blocks; b++) {
        disk_peek(image->disk, inode, b, f->bytes + (size_t)b * DISK_BLOCK_SIZE);
    }
    struct checkpoint_header h;
    if (kind == IMAGE_CHECKPOINTS && checkpoint_header_decode(&h, f->bytes, f->size) == 0) {
        image->storage_id = h.storage_id;
        image->life = h.life;
    }
}

static struct image *image_make(void)
{
    struct image *image = calloc(1, sizeof *image);
    struct run r = {.make = true, .shards = 1};
    run_begin(&r);
    run_to_end(&r);
    sim_run(r.sim, sim_now(r.sim) + 1500000000ull); /* an idle second marks the last entry */
    sim_node_kill(r.node);
    image->disk = disk_copy(sim_node_disk(r.node));
    image->boot = sim_node_boot(r.node);
    disk_each(image->disk, note_file, image);
    sim_free(r.sim);
    if (image->file_count < 8 || image->life == 0) {
        die("the image is not what it should be", "");
    }
    return image;
}

/* --- changes ------------------------------------------------------------------------------------ */

static void change(const struct image_file *f, const uint8_t *record, uint8_t *bytes)
{
    uint32_t position = (uint32_t)record[1] << 8 | record[2];
    position = (position | (uint32_t)(record[0] & 0x80) << 9) % f->size;
    uint8_t value = record[3];
    uint32_t left = f->size - position;
    switch (record[0] >> 4 & 7) {
    case 0:
    case 1:
        bytes[position] = value;
        break;
    case 2:
        bytes[position] ^= (uint8_t)(1u << value % 8);
        break;
    case 3: /* an integer, small or nearly the largest */
        if (left >= 4) {
            put_be32(bytes + position, value < 128 ? value : UINT32_MAX - value);
        }
        break;
    case 4: /* an integer, a little more or less */
        if (left >= 8) {
            put_be64(bytes + position, get_be64(bytes + position) + value - 128);
        }
        break;
    case 5:
        memset(bytes + position, 0, left < value * 16u ? left : value * 16u);
        break;
    case 6: /* what stands elsewhere in the file */
        for (uint32_t i = 0; i < left && i < 200; i++) {
            bytes[position + i] = bytes[((uint32_t)value * 512 + i) % f->size];
        }
        break;
    default: { /* a block takes another's place */
        uint32_t from = value * 4096u % f->size / 4096 * 4096, to = position / 4096 * 4096;
        uint32_t size = f->size - (from > to ? from : to);
        memmove(bytes + to, bytes + from, size < 4096 ? size : 4096);
        break;
    }
    }
}

static void fix_groups(const struct image *image, const struct image_file *f, uint8_t *bytes)
{
    bool memory = strstr(f->path, "/memory-") != NULL;
    uint32_t seed =
        group_seed(image->storage_id, image->life, memory ? image->boot : (struct uuid){{0}});
    for (uint32_t at = 0; at + GROUP_HEADER_SIZE <= f->size; at += memory ? 64 : 4096) {
        uint32_t size = get_be32(bytes + at + 8);
        if (get_be32(bytes + at) != GROUP_MAGIC || size < GROUP_HEADER_SIZE ||
            size > f->size - at) {
            continue;
        }
        struct group_header g = {.size = size,
                                 .count = get_be32(bytes + at + 12),
                                 .sequence = get_be64(bytes + at + 16),
                                 .settled = get_be64(bytes + at + 24)};
        uint32_t crc = crc32c(0, bytes + at + GROUP_HEADER_SIZE, size - GROUP_HEADER_SIZE);
        group_header_encode(&g, seed, crc, bytes + at);
    }
}

static void fix_sums(const struct image *image, const struct image_file *f, uint8_t *bytes)
{
    if (f->kind == IMAGE_JOURNAL) {
        fix_groups(image, f, bytes);
    } else if (f->kind == IMAGE_CHECKPOINTS) {
        uint64_t size = get_be64(bytes + 8);
        if (size >= CHECKPOINT_HEADER_SIZE && size <= f->size) {
            put_be32(bytes + 4, crc32c(0, bytes + 8, size - 8));
        }
    } else if (f->kind == IMAGE_PARTITIONS) {
        put_be32(bytes + 4, crc32c(0, bytes + 8, 40));
    } else if (strstr(f->path, ".log")) {
        for (uint32_t at = 0; at + LOG_BATCH_HEADER <= f->size;) {
            uint64_t size = (uint64_t)get_be32(bytes + at + 8) + 12;
            if (size < LOG_BATCH_HEADER || size > f->size - at) {
                break;
            }
            put_be32(bytes + at + 17, crc32c(0, bytes + at + 21, size - 21));
            at += (uint32_t)size;
        }
    }
}

static void put_back(struct disk *d, const struct image_file *f, uint8_t *bytes)
{
    struct disk_inode *inode = disk_find(d, f->path);
    for (uint32_t at = 0; at < f->size; at += DISK_BLOCK_SIZE) {
        uint32_t size = f->size - at < DISK_BLOCK_SIZE ? f->size - at : DISK_BLOCK_SIZE;
        if (memcmp(bytes + at, f->bytes + at, size) != 0) {
            struct iovec iov = {bytes + at, size};
            disk_end(d, disk_write_begin(d, inode, &iov, 1, at, true));
        }
    }
}

static void apply(struct disk *d, const struct image *image, unsigned kinds, const uint8_t *input,
                  size_t size)
{
    static uint8_t bytes[FILES_MAX][FILE_BYTES_MAX];
    unsigned chosen[FILES_MAX], count = 0;
    for (unsigned i = 0; i < image->file_count; i++) {
        if (image->files[i].kind & kinds) {
            memcpy(bytes[i], image->files[i].bytes, image->files[i].size);
            chosen[count++] = i;
        }
    }
    for (size_t at = 1; at + 4 <= size; at += 4) {
        unsigned i = chosen[(input[at] & 15) % count];
        change(&image->files[i], input + at, bytes[i]);
    }
    for (unsigned k = 0; k < count; k++) {
        if (input[0] & IMAGE_FIX_SUMS) {
            fix_sums(image, &image->files[chosen[k]], bytes[chosen[k]]);
        }
        put_back(d, &image->files[chosen[k]], bytes[chosen[k]]);
    }
}

void image_run(unsigned files, const uint8_t *input, size_t size)
{
    static struct image *image;
    if (!image) {
        image = image_make();
    }
    struct run r = {.shards = 1 + (input[0] >> 3 & 3) % 3,
                    .options.accept_loss = input[0] & IMAGE_ACCEPT_LOSS};
    run_begin(&r);
    struct disk *d = disk_copy(image->disk);
    apply(d, image, files, input, size);
    disk_free(sim_node_swap_disk(r.node, d));
    if (!(input[0] & IMAGE_OTHER_BOOT)) {
        sim_node_set_boot(r.node, image->boot);
    }
    run_to_end(&r);
    sim_free(r.sim);
}
