/* SPDX-License-Identifier: Apache-2.0 */

/* The durable journal: see journal.h for the story and its invariants. */
#include "log/journal.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "log/log_private.h"

#include <stdio.h>

enum { PIECES_KEPT = 16 };

static void group_written(struct io_op *op, int64_t result);
static void journal_turn_end(struct io_turn *t);

void journal_directory(char out[static IO_PATH_MAX], const char *root, unsigned shard)
{
    int size = snprintf(out, IO_PATH_MAX, "%s/journal-%u", root, shard);
    assert(size > 0 && size < IO_PATH_MAX - 32);
}

void journal_file_path(char out[static IO_PATH_MAX], const char *directory, unsigned number)
{
    int size = snprintf(out, IO_PATH_MAX, "%s/durable-%04u", directory, number);
    assert(size > 0 && size < IO_PATH_MAX);
}

static uint64_t round_up(uint64_t size)
{
    return (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE * IO_BLOCK_SIZE;
}

int journal_open(struct journal *j, struct log_set *set, struct io *io,
                 const struct log_options *options, struct uuid storage_id, uint64_t life,
                 uint64_t next_sequence)
{
    memset(j, 0, sizeof *j);
    j->set = set;
    j->io = io;
    j->options = options;
    j->storage_id = storage_id;
    j->life = life;
    j->seed =
        group_seed(storage_id, log_mutant(set, LOG_MUTANT_NO_LIFE) ? 0 : life, (struct uuid){{0}});
    j->next_sequence = next_sequence;
    j->settled = j->marked = next_sequence - 1;
    j->live = next_sequence;
    j->position = JOURNAL_HEADER_SIZE;
    list_init(&j->flying);
    j->turn.turn_end = journal_turn_end;
    for (unsigned i = 0; i < array_size(j->groups); i++) {
        j->groups[i].journal = j;
        j->groups[i].write.done = group_written;
        list_init(&j->groups[i].link);
        list_init(&j->groups[i].waiters);
    }
    journal_directory(j->directory, options->root, io_shard(io));
    if (apart_open(j)) {
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < JOURNAL_FILES_MAX; i++) {
        char path[IO_PATH_MAX];
        journal_file_path(path, j->directory, i);
        int error = io_file_open(io, &j->files[i].file, path,
                                 IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT);
        if (error < 0) {
            break;
        }
        if (io_file_size(io, j->files[i].file) != (int64_t)options->journal_file_bytes) {
            io_file_close(io, j->files[i].file);
            break;
        }
        j->files[i].number = i;
        j->file_count++;
    }
    assert(j->file_count >= 2);
    return 0;
}

void journal_close(struct journal *j)
{
    assert(journal_idle(j) && j->grow.stage == GROW_NOT);
    j->closing = true;
    if (j->turn.link.next) {
        list_remove(&j->turn.link);
    }
    struct memory *m = io_memory(j->io);
    for (unsigned i = 0; i < j->file_count; i++) {
        io_file_close(j->io, j->files[i].file);
    }
    while (j->pieces_free_count) {
        memory_free(m, j->pieces_free[--j->pieces_free_count]);
    }
    memory_free(m, j->last_block);
    j->last_block = NULL;
    apart_close(j);
    j->file_count = 0;
}

bool journal_idle(const struct journal *j)
{
    return !j->gathering && list_empty(&j->flying);
}

/* --- pieces: aligned buffers that groups are gathered in -------------------------------------- */

static void *piece_take(struct journal *j)
{
    if (j->pieces_free_count) {
        return j->pieces_free[--j->pieces_free_count];
    }
    return memory_alloc_aligned(io_memory(j->io), JOURNAL_PIECE_SIZE, IO_BLOCK_SIZE);
}

static void piece_give(struct journal *j, void *piece)
{
    if (j->pieces_free_count < PIECES_KEPT) {
        j->pieces_free[j->pieces_free_count++] = piece;
    } else {
        memory_free(io_memory(j->io), piece);
    }
}

static bool group_grow(struct journal_group *g, uint64_t size)
{
    while ((uint64_t)g->piece_count * JOURNAL_PIECE_SIZE < size) {
        void *piece = g->piece_count < JOURNAL_PIECES_MAX ? piece_take(g->journal) : NULL;
        if (!piece) {
            return false;
        }
        g->pieces[g->piece_count++] = (struct iovec){piece, JOURNAL_PIECE_SIZE};
    }
    return true;
}

/* Copies to the end of the group and continues its sum; room was made before. */
static void group_put(struct journal_group *g, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size) {
        uint32_t in_piece = g->size % JOURNAL_PIECE_SIZE;
        size_t part = JOURNAL_PIECE_SIZE - in_piece;
        part = part < size ? part : size;
        assert(g->size / JOURNAL_PIECE_SIZE < g->piece_count);
        uint8_t *to = (uint8_t *)g->pieces[g->size / JOURNAL_PIECE_SIZE].iov_base + in_piece;
        g->crc_entries = crc32c_copy(g->crc_entries, to, from, part);
        g->size += (uint32_t)part;
        from += part;
        size -= part;
    }
}

static struct journal_group *group_begin(struct journal *j)
{
    struct journal_group *g = NULL;
    for (unsigned i = 0; i < array_size(j->groups) && !g; i++) {
        bool in_use = !list_empty(&j->groups[i].link) || &j->groups[i] == j->gathering;
        g = in_use ? NULL : &j->groups[i];
    }
    assert(g && g->piece_count == 0);
    if (!group_grow(g, IO_BLOCK_SIZE)) {
        return NULL;
    }
    g->size = GROUP_HEADER_SIZE;
    g->crc_entries = 0;
    g->count = 0;
    g->first_sequence = j->next_sequence;
    g->written = false;
    return g;
}

/* --- where the next group goes ---------------------------------------------------------------- */

static bool file_free(const struct journal *j, unsigned index)
{
    return j->files[index].last_sequence < j->live;
}

static uint64_t room_in_file(const struct journal *j)
{
    assert(j->position <= j->options->journal_file_bytes);
    return j->options->journal_file_bytes - j->position;
}

/* Whether a group of `size` bytes has a place; data leaves the reserve to control entries. */
static bool place_exists(const struct journal *j, uint64_t size, bool control)
{
    unsigned next = (j->file_current + 1) % j->file_count;
    if (file_free(j, next)) {
        return true;
    }
    uint64_t keep = control ? 0 : JOURNAL_CONTROL_RESERVE;
    return round_up(size) + keep <= room_in_file(j);
}

static void grow_start(struct journal *j);

static void place_take(struct journal *j, uint64_t size)
{
    uint64_t need = round_up(size);
    if (need > room_in_file(j)) {
        j->file_current = (j->file_current + 1) % j->file_count;
        assert(file_free(j, j->file_current));
        j->position = JOURNAL_HEADER_SIZE;
        unsigned next = (j->file_current + 1) % j->file_count;
        if (!file_free(j, next)) {
            grow_start(j);
        }
        log_set_journal_turned(j->set);
    }
}

/* So many pieces are there that the gathering group may grow to `size`. */
static bool pieces_there(struct journal *j, uint64_t size)
{
    uint64_t count = (size + JOURNAL_PIECE_SIZE - 1) / JOURNAL_PIECE_SIZE;
    count -= j->gathering ? j->gathering->piece_count : 0;
    while (j->pieces_free_count < count) {
        void *piece = memory_alloc_aligned(io_memory(j->io), JOURNAL_PIECE_SIZE, IO_BLOCK_SIZE);
        if (!piece) {
            return false;
        }
        j->pieces_free[j->pieces_free_count++] = piece;
    }
    return true;
}

bool journal_room(struct journal *j, uint32_t body_size, bool control)
{
    uint64_t size = ENTRY_HEADER_SIZE + (uint64_t)body_size;
    uint64_t gathered = j->gathering ? j->gathering->size : GROUP_HEADER_SIZE;
    uint64_t limit = j->options->group_bytes_max;
    uint64_t file_limit = j->options->journal_file_bytes - JOURNAL_HEADER_SIZE;
    if (gathered + size > file_limit ||
        gathered + size > (uint64_t)JOURNAL_PIECES_MAX * JOURNAL_PIECE_SIZE) {
        return false;
    }
    bool alone = !j->gathering || j->gathering->count == 0;
    if (!alone && !control && gathered + size > limit) {
        return false;
    }
    return place_exists(j, gathered + size, control) && pieces_there(j, gathered + size);
}

uint64_t journal_append(struct journal *j, struct entry *e, const struct iovec *body,
                        unsigned body_count, struct log_waiter *w)
{
    if (!j->gathering) {
        j->gathering = group_begin(j);
        if (!j->gathering) {
            io_fatal(j->io, "journal: no memory for a group: raise limits.memory");
        }
    }
    struct journal_group *g = j->gathering;
    e->body_size = 0;
    for (unsigned i = 0; i < body_count; i++) {
        e->body_size += (uint32_t)body[i].iov_len;
    }
    if (!group_grow(g, g->size + (uint64_t)ENTRY_HEADER_SIZE + e->body_size)) {
        io_fatal(j->io, "journal: no memory for a group: raise limits.memory");
    }
    uint8_t header[ENTRY_HEADER_SIZE];
    entry_header_encode(e, header);
    group_put(g, header, sizeof header);
    for (unsigned i = 0; i < body_count; i++) {
        group_put(g, body[i].iov_base, body[i].iov_len);
    }
    g->count++;
    if (w) {
        w->sequence = j->next_sequence;
        list_init(&w->link);
        list_append(&g->waiters, &w->link);
    }
    io_turn_end(j->io, &j->turn);
    return j->next_sequence++;
}

bool journal_wait(struct journal *j, struct log_waiter *w)
{
    struct journal_group *g = j->gathering;
    if (!g && list_empty(&j->flying)) {
        return false;
    }
    g = g ? g : container_of(j->flying.prev, struct journal_group, link);
    list_init(&w->link);
    list_append(&g->waiters, &w->link);
    return true;
}

/* --- commit and settle ------------------------------------------------------------------------ */

static bool may_fly(const struct journal *j, const struct journal_group *g)
{
    if (j->flying_count == 0) {
        return true;
    }
    unsigned limit = j->options->groups_in_flight;
    limit = log_mutant(j->set, LOG_MUTANT_SHARE_BLOCK) ? 1 : limit;
    return j->flying_count < limit && j->flying_small && g->size <= JOURNAL_SMALL_GROUP;
}

/* As if the group began in its predecessor's last block (a rule left out: the simulator's). */
static void write_sharing_block(struct journal *j, struct journal_group *g, struct journal_file *f,
                                unsigned count)
{
    bool shared = j->last_block && j->position > JOURNAL_HEADER_SIZE;
    if (!j->last_block) {
        j->last_block = memory_alloc_aligned(io_memory(j->io), 3 * IO_BLOCK_SIZE, IO_BLOCK_SIZE);
    }
    assert(j->last_block);
    struct iovec *pieces = (struct iovec *)(void *)(j->last_block + 2 * IO_BLOCK_SIZE);
    memcpy(j->last_block + IO_BLOCK_SIZE, j->last_block, IO_BLOCK_SIZE);
    const struct iovec *last = &g->pieces[count - 1];
    memcpy(j->last_block, (uint8_t *)last->iov_base + last->iov_len - IO_BLOCK_SIZE, IO_BLOCK_SIZE);
    pieces[0] = (struct iovec){j->last_block + IO_BLOCK_SIZE, IO_BLOCK_SIZE};
    memcpy(pieces + 1, g->pieces, count * sizeof *pieces);
    io_write(j->io, &g->write, f->file, shared ? pieces : pieces + 1, shared ? count + 1 : count,
             shared ? j->position - IO_BLOCK_SIZE : j->position, IO_WRITE_DURABLE);
}

static void group_commit(struct journal *j)
{
    struct journal_group *g = j->gathering;
    assert(g->size >= GROUP_HEADER_SIZE);
    place_take(j, g->size);
    uint64_t padded = round_up(g->size);
    assert(padded <= room_in_file(j));
    uint64_t last_piece = (padded - 1) / JOURNAL_PIECE_SIZE;
    uint64_t tail = padded - last_piece * JOURNAL_PIECE_SIZE;
    /* Pieces are whole blocks, so the padding lies in the last one. */
    size_t padding = padded - g->size;
    memset((uint8_t *)g->pieces[last_piece].iov_base + tail - padding, 0, padding);
    g->mark = log_mutant(j->set, LOG_MUTANT_NO_SETTLED) ? 0 : j->settled;
    struct group_header header = {
        .size = g->size, .count = g->count, .sequence = g->first_sequence, .settled = g->mark};
    group_header_encode(&header, j->seed, g->crc_entries, g->pieces[0].iov_base);

    struct journal_file *f = &j->files[j->file_current];
    f->last_sequence = g->count ? g->first_sequence + g->count - 1 : g->first_sequence;
    j->flying_small = (j->flying_count == 0 || j->flying_small) && g->size <= JOURNAL_SMALL_GROUP;
    j->flying_count++;
    list_append(&j->flying, &g->link);
    j->gathering = NULL;
    j->commits++;
    j->committed_bytes += padded;

    g->pieces[last_piece].iov_len = tail;
    if (log_mutant(j->set, LOG_MUTANT_SHARE_BLOCK)) {
        write_sharing_block(j, g, f, (unsigned)last_piece + 1);
    } else {
        io_write(j->io, &g->write, f->file, g->pieces, (unsigned)last_piece + 1, j->position,
                 IO_WRITE_DURABLE);
    }
    j->position += padded;
}

static void journal_try_commit(struct journal *j)
{
    struct journal_group *g = j->gathering;
    if (!g || !may_fly(j, g)) {
        return;
    }
    if (!place_exists(j, g->size, true)) {
        j->full = true;
        log_set_want_checkpoint(j->set);
        return;
    }
    j->full = false;
    group_commit(j);
}

static void journal_turn_end(struct io_turn *t)
{
    journal_try_commit(container_of(t, struct journal, turn));
}

static void group_free(struct journal_group *g)
{
    for (unsigned i = 0; i < g->piece_count; i++) {
        piece_give(g->journal, g->pieces[i].iov_base);
    }
    g->piece_count = 0;
}

static void group_settle(struct journal *j, struct journal_group *g)
{
    uint64_t last = g->first_sequence + g->count - 1;
    assert(last >= j->settled || g->count == 0);
    j->settled = last > j->settled ? last : j->settled;
    j->marked = g->mark > j->marked ? g->mark : j->marked;
    list_remove(&g->link);
    j->flying_count--;
    struct list waiters;
    list_init(&waiters);
    list_splice(&waiters, &g->waiters);
    group_free(g);
    struct list *node;
    while ((node = list_pop(&waiters))) {
        struct log_waiter *w = container_of(node, struct log_waiter, link);
        w->settled(w);
    }
}

void journal_check_write(const struct journal *j, int64_t result)
{
    if (result < 0 && !log_mutant(j->set, LOG_MUTANT_IGNORE_FAILED)) {
        io_fatal(
            j->io,
            "the journal in %s cannot be written (%s): nothing more is acknowledged; check the "
            "disk, then start again",
            j->directory, error_text(error_from_errno(result)));
    }
}

static void group_written(struct io_op *op, int64_t result)
{
    struct journal_group *g = container_of(op, struct journal_group, write);
    struct journal *j = g->journal;
    journal_check_write(j, result);
    g->written = true;
    if (log_mutant(j->set, LOG_MUTANT_ACK_UNORDERED)) {
        struct list *node;
        while ((node = list_pop(&g->waiters))) {
            struct log_waiter *w = container_of(node, struct log_waiter, link);
            w->settled(w);
        }
    }
    struct list *first;
    while ((first = list_first(&j->flying)) &&
           container_of(first, struct journal_group, link)->written) {
        group_settle(j, container_of(first, struct journal_group, link));
    }
    j->flying_small = j->flying_small || j->flying_count == 0;
    log_set_settled(j->set);
    io_turn_end(j->io, &j->turn);
    apart_settled(j);
}

void journal_mark(struct journal *j)
{
    if (j->gathering || j->marked >= j->settled || j->flying_count > 0 ||
        !place_exists(j, GROUP_HEADER_SIZE, true)) {
        return; /* the next group carries it, or the checkpoint does */
    }
    j->gathering = group_begin(j);
    if (j->gathering) {
        group_commit(j);
    }
}

void journal_release(struct journal *j, uint64_t live, uint64_t mark)
{
    assert(live >= j->live && mark <= j->settled);
    j->live = live;
    j->marked = mark > j->marked ? mark : j->marked;
    if (j->full) {
        journal_try_commit(j);
    }
}

uint64_t journal_live_bytes(const struct journal *j)
{
    uint64_t bytes = j->position;
    for (unsigned i = 0; i < j->file_count; i++) {
        if (i != j->file_current && !file_free(j, i)) {
            bytes += j->options->journal_file_bytes;
        }
    }
    return bytes;
}

/* --- growing: one more file, written with zeros in the background ----------------------------- */

static void grow_end(struct journal *j, bool keep)
{
    if (j->grow.stage == GROW_SPACE) {
        log_disk_taken(j->set, j->options->journal_file_bytes);
    }
    memory_free(io_memory(j->io), j->grow.zeros.iov_base);
    io_file_close(j->io, j->grow.directory);
    if (keep) {
        /* The ring's order is that of the indexes: a new file goes in behind the current one. */
        unsigned at = j->file_current + 1;
        memmove(&j->files[at + 1], &j->files[at], (j->file_count - at) * sizeof *j->files);
        j->files[at] = (struct journal_file){.file = j->grow.file, .number = j->file_count};
        j->file_count++;
    } else {
        io_file_close(j->io, j->grow.file);
    }
    memset(&j->grow, 0, sizeof j->grow);
    if (j->full) {
        journal_try_commit(j);
    }
    log_set_progress(j->set);
}

static void grow_write(struct journal *j)
{
    uint64_t left = j->options->journal_file_bytes - j->grow.written;
    j->grow.zeros.iov_len = left < JOURNAL_PIECE_SIZE ? left : JOURNAL_PIECE_SIZE;
    io_write(j->io, &j->grow.op, j->grow.file, &j->grow.zeros, 1, j->grow.written, 0);
}

/* A name and zeros that are not durable would lose the groups that follow: both are synced before
 * the file joins the ring. Without space the journal goes on as it is. */
static void grow_step(struct io_op *op, int64_t result)
{
    struct journal *j = container_of(op, struct journal, grow.op);
    if (result < 0) {
        grow_end(j, false);
        return;
    }
    switch (j->grow.stage) {
    case GROW_SPACE:
        log_disk_taken(j->set, j->options->journal_file_bytes);
        j->grow.stage = GROW_ZEROS;
        grow_write(j);
        return;
    case GROW_ZEROS:
        j->grow.written += (uint64_t)result;
        if (j->grow.written < j->options->journal_file_bytes) {
            grow_write(j);
            return;
        }
        j->grow.stage = GROW_SYNC_FILE;
        io_sync(j->io, op, j->grow.file);
        return;
    case GROW_SYNC_FILE:
        j->grow.stage = GROW_SYNC_NAME;
        io_sync(j->io, op, j->grow.directory);
        return;
    case GROW_SYNC_NAME:
        grow_end(j, true);
        return;
    case GROW_NOT:
        break;
    }
    assert(false);
}

static void grow_start(struct journal *j)
{
    uint64_t bytes = (j->file_count + 1) * j->options->journal_file_bytes;
    if (j->grow.stage != GROW_NOT || j->closing || j->file_count == JOURNAL_FILES_MAX ||
        bytes > j->options->journal_bytes_max) {
        return;
    }
    char path[IO_PATH_MAX];
    journal_file_path(path, j->directory, j->file_count);
    void *zeros = memory_alloc_aligned(io_memory(j->io), JOURNAL_PIECE_SIZE, IO_BLOCK_SIZE);
    if (!zeros ||
        !log_disk_take(j->set, j->options->journal_file_bytes, j->options->disk_reserve_bytes)) {
        memory_free(io_memory(j->io), zeros);
        return;
    }
    memset(zeros, 0, JOURNAL_PIECE_SIZE);
    j->grow.zeros = (struct iovec){zeros, JOURNAL_PIECE_SIZE};
    j->grow.op.done = grow_step;
    j->grow.stage = GROW_SPACE; /* at once: other shards look up what is free */
    unsigned flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT;
    if (io_file_open(j->io, &j->grow.file, path, flags) < 0 ||
        io_file_open(j->io, &j->grow.directory, j->directory, IO_OPEN_DIRECTORY) < 0) {
        grow_end(j, false);
        return;
    }
    io_allocate(j->io, &j->grow.op, j->grow.file, 0, j->options->journal_file_bytes);
}
