/* SPDX-License-Identifier: Apache-2.0 */

/* The same reads from a real file, past the page cache where the file system lets it, on both
 * backends of production. */
#include "io/io.h"
#include "log/cold.h"
#include "segment_model.h"

#include "base/errors.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct disk {
    struct io_group *group;
    struct io *io;
    struct cold_reader *reader;
    struct segment_model segment;
    struct io_file *file;
    struct prng random;
    char directory[64], path[80];
    uint64_t waits;
};

static bool disk_open(struct disk *d, enum io_backend backend)
{
    *d = (struct disk){.random = prng_of(4)};
    struct io_options options = {.backend = backend, .shards = 1, .memory_bytes = 64 << 20};
    char reason[IO_REASON_SIZE];
    if (io_group_open(&d->group, &options, reason) < 0) {
        cr_log_warn("not tried: %s", reason);
        return false;
    }
    d->io = io_group_shard(d->group, 0);
    snprintf(d->directory, sizeof d->directory, "/tmp/leat-cold-XXXXXX");
    cr_assert_not_null(mkdtemp(d->directory));
    snprintf(d->path, sizeof d->path, "%s/segment.log", d->directory);
    segment_model_init(&d->segment, 3 << 20, 1000);
    segment_model_fill(&d->segment, &d->random, 900, 400000);
    FILE *file = fopen(d->path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(d->segment.data, 1, d->segment.size, file), d->segment.size);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(io_file_open(d->io, &d->file, d->path, IO_OPEN_READ | IO_OPEN_DIRECT), 0);
    struct cold_options cold = {.block_bytes = 131072, .bytes_max = 2 << 20};
    d->reader = cold_reader_new(d->io, &cold);
    cr_assert_not_null(d->reader);
    return true;
}

static void disk_wait(struct disk *d, const bool *ended)
{
    while (!*ended) {
        cr_assert_lt(d->waits++, 100000, "no answer came");
        io_run_once(d->io, 1000000000);
    }
}

struct disk_read {
    struct cold_request q;
    bool ended;
    int error;
};

static void disk_read_done(struct cold_request *q, int error)
{
    struct disk_read *x = container_of(q, struct disk_read, q);
    x->error = error;
    x->ended = true;
}

static void disk_read_all(struct disk *d)
{
    uint32_t position = 0;
    for (int64_t offset = 1000; offset < d->segment.next_offset;) {
        struct disk_read x = {.q = {.source = {.file = d->file,
                                               .key = 1,
                                               .from = position,
                                               .from_known = true,
                                               .from_offset = offset,
                                               .limit = d->segment.size},
                                    .offset = offset,
                                    .limit_offset = INT64_MAX,
                                    .bytes_max = (uint32_t)prng_between(&d->random, 1, 600000),
                                    .first_whole = true,
                                    .done = disk_read_done}};
        int rc = cold_read(d->reader, &x.q);
        cr_assert_geq(rc, 0, "%s %s", error_name(rc), x.q.source.damage);
        x.ended = rc == 1;
        disk_wait(d, &x.ended);
        cr_assert_eq(x.error, 0);
        for (uint32_t i = 0; i < x.q.slice_count; i++) {
            struct slice *s = &x.q.slices[i];
            cr_assert_eq(memcmp(s->data, d->segment.data + position, s->size), 0);
            position += (uint32_t)s->size;
            slice_release(s);
        }
        cr_assert_eq(position, x.q.next_position);
        cr_assert_gt(x.q.next_offset, offset);
        offset = x.q.next_offset;
    }
    cr_assert_eq(position, d->segment.size);
}

struct disk_scan {
    struct cold_scan s;
    bool ended;
    int error;
};

static int disk_scan_batch(struct cold_scan *s, const struct cold_batch *b)
{
    return b->crc_ok ? 0 : 1;
}

static void disk_scan_done(struct cold_scan *s, int error)
{
    struct disk_scan *x = container_of(s, struct disk_scan, s);
    x->error = error;
    x->ended = true;
}

struct disk_close {
    struct cold_close c;
    bool ended;
};

static void disk_close_done(struct cold_close *c)
{
    container_of(c, struct disk_close, c)->ended = true;
}

static void disk_test(enum io_backend backend)
{
    struct disk *d = malloc(sizeof *d);
    if (!disk_open(d, backend)) {
        free(d);
        return;
    }
    cr_log_info("%s, direct: %d", io_backend_name(d->io), io_file_direct(d->file));
    disk_read_all(d);
    struct disk_scan x = {.s = {.source = {.file = d->file, .key = 1, .limit = d->segment.size},
                                .batch = disk_scan_batch,
                                .done = disk_scan_done}};
    cold_scan(d->reader, &x.s);
    disk_wait(d, &x.ended);
    cr_assert_eq(x.error, 0);
    cr_assert_eq(x.s.batches, d->segment.count);
    struct disk_close c = {.c = {.key = 1, .done = disk_close_done}};
    cold_close_file(d->reader, &c.c);
    disk_wait(d, &c.ended);
    io_file_close(d->io, d->file);
    cold_reader_free(d->reader);
    io_group_close(d->group);
    unlink(d->path);
    rmdir(d->directory);
    segment_model_deinit(&d->segment);
    free(d);
}

Test(cold_disk, epoll_reads_what_is_in_the_file)
{
    disk_test(IO_BACKEND_EPOLL);
}

Test(cold_disk, uring_reads_what_is_in_the_file)
{
    disk_test(IO_BACKEND_URING);
}
