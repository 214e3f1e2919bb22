/* SPDX-License-Identifier: Apache-2.0 */

/* See mapped.h. The body of a group is copied before its header, so that a header that is seen
 * after a kill has its body; the sum decides in any case. */
#include "log/mapped.h"

#include "base/crc32c.h"
#include "base/errors.h"
#include "log/log_private.h"

#include <stdio.h>

void mapped_path(char out[static IO_PATH_MAX], const char *root, unsigned shard)
{
    int size = snprintf(out, IO_PATH_MAX, "%s/journal-%u/memory-0000", root, shard);
    assert(size > 0 && size < IO_PATH_MAX);
}

void mapped_init(struct mapped *m, struct log_set *set, uint64_t next_sequence)
{
    *m = (struct mapped){.set = set,
                         .io = set->io,
                         .capacity = set->options.memory_journal_bytes,
                         .next_sequence = next_sequence};
    m->seed = group_seed(set->storage_id, set->life, io_boot_id(set->io));
}

void mapped_close(struct mapped *m)
{
    assert(io_op_idle(&m->op));
    io_file_close(m->io, m->file);
    m->file = NULL;
    m->ring = NULL;
}

static void made(struct io_op *op, int64_t result)
{
    struct mapped *m = container_of(op, struct mapped, op);
    m->set->in_flight--;
    log_disk_taken(m->set, m->taken);
    if (result >= 0) {
        m->ring = io_file_map(m->io, m->file, m->capacity);
    }
    if (!m->ring) {
        log_error(io_logger(m->io), "log",
                  "no room for the journal of memory topics in %s: their appends are refused until "
                  "there is",
                  m->set->options.root);
        io_file_close(m->io, m->file);
        m->file = NULL;
        m->failed = true;
    }
    log_set_progress(m->set);
}

static void make(struct mapped *m)
{
    if (m->failed || !io_op_idle(&m->op)) {
        return;
    }
    char path[IO_PATH_MAX];
    mapped_path(path, m->set->options.root, m->set->shard);
    m->op.done = made;
    if (io_file_open(m->io, &m->file, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE) < 0) {
        m->file = NULL;
        m->failed = true;
        return;
    }
    bool there = io_file_size(m->io, m->file) >= (int64_t)m->capacity;
    m->taken = there ? 0 : m->capacity;
    if (!there && !log_disk_take(m->set, m->taken, m->set->options.disk_reserve_bytes)) {
        io_file_close(m->io, m->file);
        m->file = NULL;
        m->failed = true;
        log_disk_full(m->set, m->taken);
        return;
    }
    m->set->in_flight++;
    io_allocate(m->io, &m->op, m->file, 0, m->capacity);
}

static uint64_t group_bytes(uint64_t body_size)
{
    uint64_t size = GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE + body_size;
    return (size + MAPPED_ALIGN - 1) / MAPPED_ALIGN * MAPPED_ALIGN;
}

/* Where a group of `bytes` would go: it does not lie across the end of the file. */
static uint64_t group_position(const struct mapped *m, uint64_t bytes)
{
    uint64_t in_file = m->position % m->capacity;
    return in_file + bytes <= m->capacity ? m->position : m->position - in_file + m->capacity;
}

static bool room(struct mapped *m, uint64_t bytes, uint64_t more)
{
    if (!m->ring) {
        make(m);
        return false;
    }
    uint64_t end = group_position(m, bytes) + bytes + more + m->promised;
    return bytes <= m->capacity && end - m->tail <= m->capacity;
}

bool mapped_room(struct mapped *m, uint32_t body_size)
{
    return room(m, group_bytes(body_size), 0);
}

/* Twice its size: when it is written, the end of the file may have to be left out. */
static uint64_t promise_bytes(uint32_t body_size)
{
    return 2 * group_bytes(body_size);
}

bool mapped_room_promised(struct mapped *m, uint32_t body_size)
{
    return room(m, group_bytes(body_size), promise_bytes(body_size));
}

void mapped_promise(struct mapped *m, uint32_t body_size)
{
    m->promised += promise_bytes(body_size);
}

void mapped_keep_promise(struct mapped *m, uint32_t body_size)
{
    assert(m->promised >= promise_bytes(body_size));
    m->promised -= promise_bytes(body_size);
}

void mapped_append(struct mapped *m, struct entry *e, const struct iovec *body, unsigned body_count)
{
    e->body_size = 0;
    for (unsigned i = 0; i < body_count; i++) {
        e->body_size += (uint32_t)body[i].iov_len;
    }
    uint64_t bytes = group_bytes(e->body_size);
    uint64_t position = group_position(m, bytes);
    assert(m->ring && position + bytes - m->tail <= m->capacity);
    uint8_t *at = m->ring + position % m->capacity;
    uint8_t *to = at + GROUP_HEADER_SIZE;
    entry_header_encode(e, to);
    uint32_t crc = crc32c(0, to, ENTRY_HEADER_SIZE);
    to += ENTRY_HEADER_SIZE;
    for (unsigned i = 0; i < body_count; i++) {
        crc = crc32c_copy(crc, to, body[i].iov_base, body[i].iov_len);
        to += body[i].iov_len;
    }
    struct group_header g = {.size = GROUP_HEADER_SIZE + ENTRY_HEADER_SIZE + e->body_size,
                             .count = 1,
                             .sequence = m->next_sequence};
    group_header_encode(&g, m->seed, crc, at);
    m->next_sequence++;
    m->position = position + bytes;
    if ((m->position - m->tail) * 2 > m->capacity) {
        log_set_want_checkpoint(m->set);
    }
}

void mapped_release(struct mapped *m, uint64_t position)
{
    assert(position >= m->tail && position <= m->position);
    m->tail = position;
}
