/* SPDX-License-Identifier: Apache-2.0 */

/* micro_journal: what this machine's disk gives to a journal.
 *
 *   durable     O_DIRECT writes with RWF_DSYNC over extents that were written before, K in flight;
 *               "call" is the plain system call on one thread: the machine's own figure
 *   sequential  O_DIRECT writes of 1 MiB one behind the other, with one flush at the end
 *   spread      the same 4 MiB over N files: a flush of each file against one of the file system
 *
 * All but "call" go through the seam, so that the figures are what the broker gets from it. */
#include "io/io.h"

#include "base/histogram.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE = 1 << 20,
    FILE_SIZE = 64 << 20,
    SPREAD_SIZE = 4 << 20,
    IN_FLIGHT_MAX = 16,
    FILES_MAX = 1000,
};

struct bench;

struct slot {
    struct io_op op;
    struct bench *bench;
    struct iovec iovec;
    struct io_file *file;
    uint64_t begun_ns;
};

struct bench {
    struct io_group *group;
    struct io *io;
    const char *folder;
    uint8_t *data; /* PIECE bytes */
    struct histogram latency;
    struct slot slots[FILES_MAX];
    /* Of the running measurement: */
    size_t size;
    uint64_t next, file_size, until_ns, bytes_left;
    unsigned flags, in_flight;
    bool repeat;
};

/* Before anything counts: what the filling has left behind is settled meanwhile. */
#define WARMUP_SECONDS 0.1

static _Noreturn void give_up(const char *what, int64_t error)
{
    fprintf(stderr, "micro_journal: %s: %s\n", what, strerror((int)-error));
    exit(1);
}

static void wait_all(struct bench *b)
{
    while (b->in_flight) {
        io_run_once(b->io, NS_PER_S);
    }
}

static void path_of(const struct bench *b, unsigned number, char out[static IO_PATH_MAX])
{
    if (snprintf(out, IO_PATH_MAX, "%s/micro_journal.%d.%u", b->folder, (int)getpid(), number) >=
        IO_PATH_MAX) {
        give_up(b->folder, -ENAMETOOLONG);
    }
}

static void slot_write(struct slot *s)
{
    struct bench *b = s->bench;
    if (b->next + b->size > b->file_size) {
        b->next = 0;
    }
    s->iovec = (struct iovec){b->data, b->size};
    s->begun_ns = clock_ns();
    io_write(b->io, &s->op, s->file, &s->iovec, 1, b->next, b->flags);
    b->next += b->size;
}

static void slot_written(struct io_op *op, int64_t result)
{
    struct slot *s = container_of(op, struct slot, op);
    struct bench *b = s->bench;
    if (result < 0) {
        give_up("write", result);
    }
    uint64_t now = clock_ns();
    histogram_record(&b->latency, now - s->begun_ns);
    bool more = b->repeat ? now < b->until_ns : b->bytes_left >= b->size;
    if (more) {
        b->bytes_left -= b->repeat ? 0 : b->size;
        slot_write(s);
    } else {
        b->in_flight--;
    }
}

static void op_over(struct io_op *op, int64_t result)
{
    struct slot *s = container_of(op, struct slot, op);
    if (result < 0) {
        give_up("sync or allocate", result);
    }
    s->bench->in_flight--;
}

/* `slots` writes in flight over `file` from its start; returns the seconds it took. */
static double write_run(struct bench *b, struct io_file *file, unsigned slots)
{
    uint64_t begun = clock_ns();
    histogram_init(&b->latency);
    b->next = 0;
    b->in_flight = 0;
    for (unsigned i = 0; i < slots && (b->repeat || b->bytes_left >= b->size); i++) {
        struct slot *s = &b->slots[i];
        s->bench = b;
        s->file = file;
        s->op.done = slot_written;
        b->in_flight++;
        b->bytes_left -= b->repeat ? 0 : b->size;
        slot_write(s);
    }
    wait_all(b);
    return (double)(clock_ns() - begun) / NS_PER_S;
}

static void sync_files(struct bench *b, struct io_file **files, unsigned count, bool all)
{
    b->in_flight = all ? 1 : count;
    for (unsigned i = 0; i < b->in_flight; i++) {
        b->slots[i].bench = b;
        b->slots[i].op.done = op_over;
        if (all) {
            io_sync_all(b->io, &b->slots[i].op, files[0]);
        } else {
            io_sync(b->io, &b->slots[i].op, files[i]);
        }
    }
    wait_all(b);
}

static struct io_file *file_make(struct bench *b, unsigned number)
{
    char path[IO_PATH_MAX];
    struct io_file *file;
    path_of(b, number, path);
    int error = io_file_open(b->io, &file, path,
                             IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    if (error) {
        give_up(path, error);
    }
    return file;
}

static void file_end(struct bench *b, struct io_file *file, unsigned number)
{
    char path[IO_PATH_MAX];
    path_of(b, number, path);
    io_file_close(b->io, file);
    unlink(path);
}

/* Reserves `size` bytes, and writes them so that their extents are written ones. */
static void file_fill(struct bench *b, struct io_file *file, uint64_t size, bool written)
{
    b->in_flight = 1;
    b->slots[0].bench = b;
    b->slots[0].op.done = op_over;
    io_allocate(b->io, &b->slots[0].op, file, 0, size);
    wait_all(b);
    if (written) {
        b->repeat = false;
        b->flags = 0;
        b->size = size < PIECE ? (size_t)size : PIECE;
        b->bytes_left = b->file_size = size;
        write_run(b, file, 4);
    }
    sync_files(b, &file, 1, false);
}

/* --- the measurements ------------------------------------------------------------------------- */

static void row_latency(struct table *t, const char *how, size_t size, unsigned in_flight,
                        const struct histogram *h, double seconds)
{
    table_text(t, how);
    table_number(t, (double)size / 1024);
    table_number(t, in_flight);
    table_number(t, (double)h->count / seconds);
    table_number(t, (double)h->count * (double)size / seconds / 1e6);
    table_number(t, (double)histogram_percentile(h, 50) / NS_PER_US);
    table_number(t, (double)histogram_percentile(h, 99) / NS_PER_US);
}

static void measure_call(struct bench *b, struct table *t, size_t size, double seconds)
{
    char path[IO_PATH_MAX];
    path_of(b, 0, path);
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        give_up(path, -errno);
    }
    histogram_init(&b->latency);
    uint64_t begun = clock_ns(), now = begun, position = 0;
    while (now - begun < clock_seconds(seconds)) {
        const struct iovec iovec = {b->data, size};
        if (pwritev2(fd, &iovec, 1, (off_t)position, RWF_DSYNC) != (ssize_t)size) {
            give_up("pwritev2", -errno);
        }
        uint64_t end = clock_ns();
        histogram_record(&b->latency, end - now);
        now = end;
        position = position + size * 2 > FILE_SIZE ? 0 : position + size;
    }
    row_latency(t, "call", size, 1, &b->latency, (double)(now - begun) / NS_PER_S);
    close(fd);
}

static double run_durable(struct bench *b, struct io_file *file, size_t size, unsigned in_flight,
                          double seconds)
{
    b->size = size;
    b->file_size = FILE_SIZE;
    b->repeat = true;
    b->flags = IO_WRITE_DURABLE;
    b->until_ns = clock_ns() + clock_seconds(seconds);
    return write_run(b, file, in_flight);
}

static void measure_durable(struct bench *b, struct table *t, double seconds)
{
    static const size_t sizes[] = {4096, 16384, 65536, 262144, 1 << 20};
    static const unsigned in_flight[] = {1, 2, 4};
    struct io_file *file = file_make(b, 0);
    file_fill(b, file, FILE_SIZE, true);
    run_durable(b, file, 4096, 1, WARMUP_SECONDS);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        measure_call(b, t, sizes[i], seconds);
        for (size_t k = 0; k < sizeof in_flight / sizeof *in_flight; k++) {
            double took = run_durable(b, file, sizes[i], in_flight[k], seconds);
            row_latency(t, io_backend_name(b->io), sizes[i], in_flight[k], &b->latency, took);
        }
    }
    file_end(b, file, 0);
}

static void measure_sequential(struct bench *b, struct table *t, uint64_t total)
{
    static const unsigned in_flight[] = {1, 4, 8};
    for (int written = 0; written < 2; written++) {
        for (size_t k = 0; k < sizeof in_flight / sizeof *in_flight; k++) {
            struct io_file *file = file_make(b, 0);
            file_fill(b, file, total, written);
            b->repeat = false;
            b->flags = 0;
            b->size = PIECE;
            b->bytes_left = b->file_size = total;
            uint64_t begun = clock_ns();
            write_run(b, file, in_flight[k]);
            sync_files(b, &file, 1, false);
            double seconds = (double)(clock_ns() - begun) / NS_PER_S;
            table_text(t, written ? "written" : "allocated");
            table_number(t, in_flight[k]);
            table_number(t, (double)total / seconds / 1e6);
            table_number(t, (double)histogram_percentile(&b->latency, 50) / NS_PER_US);
            file_end(b, file, 0);
        }
    }
}

/* Writes `each` bytes to every file at once, flushes, and says how long it took. */
static double spread_once(struct bench *b, struct io_file **files, unsigned count, size_t each,
                          uint64_t position, bool all)
{
    uint64_t begun = clock_ns();
    b->repeat = false;
    b->bytes_left = 0;
    b->in_flight = count;
    for (unsigned i = 0; i < count; i++) {
        struct slot *s = &b->slots[i];
        s->bench = b;
        s->op.done = op_over;
        s->iovec = (struct iovec){b->data, each};
        io_write(b->io, &s->op, files[i], &s->iovec, 1, position, 0);
    }
    wait_all(b);
    sync_files(b, files, count, all);
    return (double)(clock_ns() - begun) / NS_PER_S;
}

static void measure_spread(struct bench *b, struct table *t, double seconds)
{
    static const unsigned counts[] = {4, 16, 256, 1000};
    static struct io_file *files[FILES_MAX];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        unsigned count = counts[c];
        size_t each = (SPREAD_SIZE / count + 4095) & ~(size_t)4095;
        for (unsigned i = 0; i < count; i++) {
            files[i] = file_make(b, i);
            file_fill(b, files[i], each * 4, true);
        }
        for (int all = 0; all < 2; all++) {
            uint64_t begun = clock_ns(), runs = 0;
            histogram_init(&b->latency);
            while (clock_ns() - begun < clock_seconds(seconds)) {
                double took = spread_once(b, files, count, each, runs % 4 * each, all);
                histogram_record(&b->latency, clock_seconds(took));
                runs++;
            }
            table_text(t, all ? "syncfs" : "each file");
            table_number(t, count);
            table_number(t, (double)each / 1024);
            table_number(t,
                         (double)each * count * (double)runs * 1000 / (double)(clock_ns() - begun));
            table_number(t, (double)histogram_percentile(&b->latency, 50) / NS_PER_MS);
            table_number(t, (double)histogram_percentile(&b->latency, 99) / NS_PER_MS);
        }
        for (unsigned i = 0; i < count; i++) {
            file_end(b, files[i], i);
        }
    }
}

static void bench_open(struct bench *b, const char *backend)
{
    const struct io_options options = {
        .backend = strcmp(backend, "epoll") == 0   ? IO_BACKEND_EPOLL
                   : strcmp(backend, "uring") == 0 ? IO_BACKEND_URING
                                                   : IO_BACKEND_AUTO,
        .shards = 1,
        .queue_entries = 2048,
    };
    char reason[IO_REASON_SIZE];
    if (io_group_open(&b->group, &options, reason) != 0) {
        fprintf(stderr, "micro_journal: %s\n", reason);
        exit(1);
    }
    b->io = io_group_shard(b->group, 0);
    b->data = aligned_alloc(IO_BLOCK_SIZE, PIECE);
    if (!b->data) {
        give_up("memory", -ENOMEM);
    }
    for (size_t i = 0; i < PIECE; i++) {
        b->data[i] = (uint8_t)(i * 2654435761u >> 11);
    }
}

int main(int argc, char **argv)
{
    static const struct table_column latency[] = {
        {"how", TABLE_TEXT}, {"KiB", 0},    {"in flight", 0}, {"writes/s", 0},
        {"MB/s", 0},         {"p50 us", 0}, {"p99 us", 0},    {NULL, 0}};
    static const struct table_column sequential[] = {
        {"extents", TABLE_TEXT}, {"in flight", 0}, {"MB/s", 0}, {"p50 us", 0}, {NULL, 0}};
    static const struct table_column spread[] = {
        {"flush", TABLE_TEXT}, {"files", 0},  {"KiB each", 0}, {"MB/s", 0},
        {"p50 ms", 2},         {"p99 ms", 2}, {NULL, 0}};
    bool json = false;
    double seconds = 0.5;
    uint64_t total = 512 << 20;
    const char *backend = "auto", *only = "all";
    struct bench *b = calloc(1, sizeof *b);
    struct report report;
    if (!b) {
        return 1;
    }
    b->folder = ".";
    const struct option_spec specs[] = {
        {"dir", OPTION_TEXT, &b->folder, "where to write"},
        {"io", OPTION_TEXT, &backend, "uring, epoll or auto"},
        {"only", OPTION_TEXT, &only, "durable, sequential, spread or all"},
        {"seconds", OPTION_SECONDS, &seconds, "of each measurement"},
        {"total", OPTION_BYTES, &total, "bytes of each sequential run"},
        {"json", OPTION_FLAG, &json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    options_parse(specs, argc, argv, "micro_journal [options]");
    total = total / PIECE * PIECE;
    bool all = strcmp(only, "all") == 0;
    bench_open(b, backend);
    report_init(&report, "micro_journal");
    report_condition(&report, "backend", "%s", io_backend_name(b->io));
    report_condition(&report, "dir", "%s", b->folder);
    if (all || strcmp(only, "durable") == 0) {
        measure_durable(
            b, report_table(&report, "durable", "durable writes over written extents", latency),
            seconds);
    }
    if (all || strcmp(only, "sequential") == 0) {
        measure_sequential(
            b, report_table(&report, "sequential", "sequential O_DIRECT, flushed once", sequential),
            total);
    }
    if (all || strcmp(only, "spread") == 0) {
        measure_spread(b,
                       report_table(&report, "spread", "4 MiB over N files, then flushed", spread),
                       seconds);
    }
    report_print(&report, json);
    report_deinit(&report);
    io_group_close(b->group);
    free(b->data);
    free(b);
    return 0;
}
