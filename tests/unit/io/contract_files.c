/* SPDX-License-Identifier: Apache-2.0 */

/* The contract of files and names. */
#include "unit/io/contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { READ_WRITE = IO_OPEN_READ | IO_OPEN_WRITE, MEBIBYTE = 1 << 20 };

static struct io_file *open_file(struct contract_world *w, struct io *io, const char *name,
                                 unsigned flags)
{
    struct io_file *file = NULL;
    int error = io_file_open(io, &file, contract_path(w, name), flags);
    cr_assert_eq(error, 0, "%s cannot be opened: %d", name, error);
    return file;
}

static uint8_t *aligned(size_t size)
{
    uint8_t *bytes = aligned_alloc(IO_BLOCK_SIZE, size);
    cr_assert(bytes);
    memset(bytes, 0, size);
    return bytes;
}

static int64_t write_all(struct contract_world *w, struct io *io, struct io_file *file,
                         const void *bytes, size_t size, uint64_t position, unsigned flags)
{
    struct contract_op c = {0};
    struct iovec one = {(void *)bytes, size};
    return RESULT(w, &c, io_write(io, op, file, &one, 1, position, flags));
}

static int64_t read_all(struct contract_world *w, struct io *io, struct io_file *file, void *bytes,
                        size_t size, uint64_t position)
{
    struct contract_op c = {0};
    return RESULT(w, &c, io_read(io, op, file, bytes, size, position));
}

static void opening_says_what_is_there(struct contract_world *w, struct io *io)
{
    struct io_file *file = NULL;
    cr_assert_eq(io_file_open(io, &file, contract_path(w, "missing"), IO_OPEN_READ), -ENOENT);
    cr_assert_null(file, "an output is written on success only");
    unsigned create = READ_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE;
    file = open_file(w, io, "new", create);
    cr_assert_eq(io_file_size(io, file), 0);
    cr_assert(!io_file_direct(file), "nobody asked for a direct file");
    io_file_close(io, file);
    cr_assert_eq(io_file_open(io, &file, contract_path(w, "new"), create), -EEXIST);
    file = open_file(w, io, "new", IO_OPEN_READ);
    io_file_close(io, file);
    io_file_close(io, NULL);
}

static void reading_ends_with_the_file(struct contract_world *w, struct io *io)
{
    struct io_file *file = open_file(w, io, "f", READ_WRITE | IO_OPEN_CREATE);
    uint8_t bytes[3000] = {0}, back[4000] = {0};
    contract_fill(bytes, sizeof bytes, 1);
    struct iovec parts[3] = {{bytes, 10}, {bytes + 10, 990}, {bytes + 1000, 2000}};
    struct contract_op c = {0};
    cr_assert_eq(RESULT(w, &c, io_write(io, op, file, parts, 3, 0, 0)), 3000);
    cr_assert_eq(io_file_size(io, file), 3000);
    cr_assert_eq(read_all(w, io, file, back, 4000, 0), 3000);
    cr_assert(contract_filled(back, 3000, 1));
    cr_assert_eq(read_all(w, io, file, back, 4000, 2999), 1);
    cr_assert_eq(read_all(w, io, file, back, 4000, 3000), 0);
    cr_assert_eq(read_all(w, io, file, back, 4000, 1 << 30), 0);
    cr_assert_eq(write_all(w, io, file, bytes, 1, 4999, 0), 1);
    memset(back, 1, sizeof back);
    cr_assert_eq(read_all(w, io, file, back, 4000, 3000), 2000);
    cr_assert_eq(back[0] | back[1998], 0, "a hole reads as zeros");
    cr_assert_eq(back[1999], bytes[0]);
    io_file_close(io, file);
}

/* Through a direct file, whether or not the file system honours it. */
static void direct_and_durable(struct contract_world *w, struct io *io)
{
    struct io_file *file = open_file(w, io, "d", READ_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    struct contract_op c = {0};
    enum { SIZE = 64 * 1024 };
    uint8_t *bytes = aligned(SIZE), *back = aligned(SIZE);
    contract_fill(bytes, SIZE, 2);
    cr_assert_eq(write_all(w, io, file, bytes, SIZE, 0, IO_WRITE_DURABLE), SIZE);
    contract_fill(bytes, IO_BLOCK_SIZE, 3);
    cr_assert_eq(write_all(w, io, file, bytes, IO_BLOCK_SIZE, SIZE, IO_WRITE_DURABLE),
                 IO_BLOCK_SIZE);
    cr_assert_eq(RESULT(w, &c, io_sync(io, op, file)), 0);
    cr_assert_eq(read_all(w, io, file, back, SIZE, 0), SIZE);
    cr_assert(contract_filled(back, SIZE, 2));
    cr_assert_eq(read_all(w, io, file, back, SIZE, SIZE), IO_BLOCK_SIZE, "short at the end only");
    cr_assert(contract_filled(back, IO_BLOCK_SIZE, 3));
    cr_assert_eq(read_all(w, io, file, back, SIZE, SIZE + IO_BLOCK_SIZE), 0);
    cr_assert_eq(RESULT(w, &c, io_truncate(io, op, file, 5000)), 0);
    cr_assert_eq(read_all(w, io, file, back, SIZE, 0), 5000, "the end is inside a block");
    cr_assert(contract_filled(back, 5000, 2));
    io_file_close(io, file);
    free(bytes);
    free(back);
}

static void many_pieces_make_one_write(struct contract_world *w, struct io *io)
{
    struct io_file *file = open_file(w, io, "p", READ_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    uint8_t *bytes = aligned(MEBIBYTE), *back = aligned(MEBIBYTE);
    contract_fill(bytes, MEBIBYTE, 4);
    struct iovec pieces[IO_IOVECS_MAX];
    for (unsigned i = 0; i < IO_IOVECS_MAX; i++) {
        pieces[i] = (struct iovec){bytes + i * IO_BLOCK_SIZE, IO_BLOCK_SIZE};
    }
    struct contract_op c = {0};
    cr_assert_eq(
        RESULT(w, &c, io_write(io, op, file, pieces, IO_IOVECS_MAX, 8192, IO_WRITE_DURABLE)),
        MEBIBYTE);
    cr_assert_eq(io_file_size(io, file), MEBIBYTE + 8192);
    cr_assert_eq(read_all(w, io, file, back, MEBIBYTE, 8192), MEBIBYTE);
    cr_assert(contract_filled(back, MEBIBYTE, 4));
    io_file_close(io, file);
    free(bytes);
    free(back);
}

static void disjoint_writes_run_together(struct contract_world *w, struct io *io)
{
    enum { WRITES = 200 };
    struct io_file *file = open_file(w, io, "m", READ_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    uint8_t *bytes = aligned(WRITES * IO_BLOCK_SIZE), *back = aligned(WRITES * IO_BLOCK_SIZE);
    struct contract_op ops[WRITES] = {0};
    struct iovec pieces[WRITES];
    contract_fill(bytes, WRITES * IO_BLOCK_SIZE, 5);
    for (unsigned i = 0; i < WRITES; i++) {
        unsigned block = i * 7 % WRITES; /* in no order */
        pieces[i] = (struct iovec){bytes + block * IO_BLOCK_SIZE, IO_BLOCK_SIZE};
        SUBMIT(&ops[i], io_write(io, op, file, &pieces[i], 1, block * IO_BLOCK_SIZE, 0));
        io_cancel(io, &ops[i].op); /* writes run to their end */
    }
    for (unsigned i = 0; i < WRITES; i++) {
        cr_assert_eq(contract_wait(w, &ops[i]), IO_BLOCK_SIZE);
    }
    cr_assert_eq(read_all(w, io, file, back, WRITES * IO_BLOCK_SIZE, 0), WRITES * IO_BLOCK_SIZE);
    cr_assert(contract_filled(back, WRITES * IO_BLOCK_SIZE, 5));
    io_file_close(io, file);
    free(bytes);
    free(back);
}

static void reads_may_be_cancelled(struct contract_world *w, struct io *io)
{
    enum { READS = 64 };
    struct io_file *file = open_file(w, io, "c", READ_WRITE | IO_OPEN_CREATE);
    uint8_t *bytes = aligned(READS * IO_BLOCK_SIZE), *back = aligned(READS * IO_BLOCK_SIZE);
    struct contract_op ops[READS] = {0};
    contract_fill(bytes, READS * IO_BLOCK_SIZE, 6);
    cr_assert_eq(write_all(w, io, file, bytes, READS * IO_BLOCK_SIZE, 0, 0), READS * IO_BLOCK_SIZE);
    for (unsigned i = 0; i < READS; i++) {
        uint64_t position = (uint64_t)i * IO_BLOCK_SIZE;
        SUBMIT(&ops[i], io_read(io, op, file, back + position, IO_BLOCK_SIZE, position));
        io_cancel(io, &ops[i].op);
    }
    for (unsigned i = 0; i < READS; i++) {
        int64_t result = contract_wait(w, &ops[i]);
        cr_assert(result == -ECANCELED || result == IO_BLOCK_SIZE);
        cr_assert(result < 0 ||
                  memcmp(back + i * IO_BLOCK_SIZE, bytes + i * IO_BLOCK_SIZE, IO_BLOCK_SIZE) == 0);
    }
    io_file_close(io, file);
    free(bytes);
    free(back);
}

static void everything_can_be_synced(struct contract_world *w, struct io *io)
{
    struct io_file *file = open_file(w, io, "s", READ_WRITE | IO_OPEN_CREATE);
    struct io_file *directory = NULL;
    cr_assert_eq(io_file_open(io, &directory, w->directory, IO_OPEN_DIRECTORY), 0);
    struct contract_op a = {0}, b = {0}, c = {0};
    cr_assert_eq(write_all(w, io, file, "abc", 3, 0, 0), 3);
    SUBMIT(&a, io_sync(io, op, file));
    SUBMIT(&b, io_sync(io, op, directory));
    SUBMIT(&c, io_sync_all(io, op, file));
    cr_assert_eq(contract_wait(w, &a), 0);
    cr_assert_eq(contract_wait(w, &b), 0);
    cr_assert_eq(contract_wait(w, &c), 0);
    io_file_close(io, directory);
    io_file_close(io, file);
}

static void space_is_reserved_and_cut(struct contract_world *w, struct io *io)
{
    struct io_file *file = open_file(w, io, "a", READ_WRITE | IO_OPEN_CREATE);
    struct contract_op c = {0};
    uint8_t *back = aligned(8192);
    cr_assert_eq(write_all(w, io, file, "abc", 3, 0, 0), 3);
    cr_assert_eq(RESULT(w, &c, io_allocate(io, op, file, 0, MEBIBYTE)), 0);
    cr_assert_eq(io_file_size(io, file), MEBIBYTE);
    memset(back, 1, 8192);
    cr_assert_eq(read_all(w, io, file, back, 8192, 0), 8192);
    cr_assert_eq(memcmp(back, "abc", 3), 0, "reserving keeps what is there");
    cr_assert_eq(back[3] | back[8191], 0);
    cr_assert_eq(RESULT(w, &c, io_truncate(io, op, file, 2)), 0);
    cr_assert_eq(io_file_size(io, file), 2);
    cr_assert_eq(RESULT(w, &c, io_truncate(io, op, file, 100)), 0);
    memset(back, 1, 8192);
    cr_assert_eq(read_all(w, io, file, back, 8192, 0), 100);
    cr_assert_eq(memcmp(back, "ab", 2), 0);
    cr_assert_eq(back[2] | back[99], 0, "what was cut does not come back");
    io_file_close(io, file);
    free(back);
}

struct names {
    unsigned files, directories;
    bool seen_x, seen_y;
};

static void note_name(void *context, const char *name, bool directory)
{
    struct names *n = context;
    cr_assert(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
    n->files += !directory;
    n->directories += directory;
    n->seen_x |= strcmp(name, "x") == 0;
    n->seen_y |= strcmp(name, "y") == 0;
}

static struct names list_names(struct contract_world *w, struct io *io)
{
    struct names n = {0};
    cr_assert_eq(io_list(io, w->directory, note_name, &n), 0);
    return n;
}

static void names_come_and_go(struct contract_world *w, struct io *io)
{
    struct contract_op c = {0};
    struct io_file *x = open_file(w, io, "x", READ_WRITE | IO_OPEN_CREATE);
    struct io_file *old = open_file(w, io, "y", READ_WRITE | IO_OPEN_CREATE);
    cr_assert_eq(write_all(w, io, x, "new", 3, 0, 0), 3);
    io_file_close(io, old);
    cr_assert_eq(io_mkdir(io, contract_path(w, "sub")), 0);
    cr_assert_eq(io_mkdir(io, contract_path(w, "sub")), -EEXIST);
    struct names n = list_names(w, io);
    cr_assert(n.files == 2 && n.directories == 1 && n.seen_x && n.seen_y);
    cr_assert_eq(io_rename(io, contract_path(w, "x"), contract_path(w, "y")), 0);
    n = list_names(w, io);
    cr_assert(n.files == 1 && !n.seen_x && n.seen_y);
    cr_assert_eq(io_file_size(io, x), 3, "a handle survives the renaming");
    io_file_close(io, x);
    x = open_file(w, io, "y", IO_OPEN_READ);
    cr_assert_eq(io_file_size(io, x), 3, "the new file stands under the old name");
    io_file_close(io, x);
    cr_assert_eq(io_rename(io, contract_path(w, "x"), contract_path(w, "z")), -ENOENT);
    cr_assert_eq(io_list(io, contract_path(w, "nowhere"), note_name, &n), -ENOENT);

    cr_assert_eq(io_rename(io, contract_path(w, "y"), contract_path(w, "sub/y")), 0);
    cr_assert_eq(RESULT(w, &c, io_unlink(io, op, contract_path(w, "sub"))), -ENOTEMPTY);
    cr_assert_eq(RESULT(w, &c, io_unlink(io, op, contract_path(w, "sub/y"))), 0);
    cr_assert_eq(RESULT(w, &c, io_unlink(io, op, contract_path(w, "sub"))), 0);
    cr_assert_eq(RESULT(w, &c, io_unlink(io, op, contract_path(w, "sub"))), -ENOENT);
    n = list_names(w, io);
    cr_assert_eq(n.files + n.directories, 0);
}

static void unlinking_copies_the_path(struct contract_world *w, struct io *io)
{
    struct contract_op c = {0};
    io_file_close(io, open_file(w, io, "x", READ_WRITE | IO_OPEN_CREATE));
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s", contract_path(w, "x"));
    SUBMIT(&c, io_unlink(io, op, path));
    memset(path, 0, sizeof path);
    cr_assert_eq(contract_wait(w, &c), 0);
    cr_assert_eq(list_names(w, io).files, 0);
}

static void mapped_stores_reach_the_file(struct contract_world *w, struct io *io)
{
    struct io_file *file = open_file(w, io, "map", READ_WRITE | IO_OPEN_CREATE);
    struct contract_op c = {0};
    uint8_t back[3];
    cr_assert_null(io_file_map(io, file, 8192), "the file is shorter than the mapping");
    cr_assert_eq(RESULT(w, &c, io_allocate(io, op, file, 0, 8192)), 0);
    uint8_t *map = io_file_map(io, file, 8192);
    cr_assert(map);
    cr_assert_eq(map[8191], 0);
    memcpy(map + 5000, "abc", 3);
    cr_assert_eq(read_all(w, io, file, back, 3, 5000), 3);
    cr_assert_eq(memcmp(back, "abc", 3), 0);
    io_file_close(io, file);
    file = open_file(w, io, "map", IO_OPEN_READ);
    cr_assert_eq(read_all(w, io, file, back, 3, 5000), 3);
    cr_assert_eq(memcmp(back, "abc", 3), 0);
    io_file_close(io, file);
}

static void a_lock_has_one_holder(struct contract_world *w, struct io *io)
{
    struct io_file *a = open_file(w, io, "lock", READ_WRITE | IO_OPEN_CREATE);
    struct io_file *b = open_file(w, io, "lock", READ_WRITE);
    cr_assert_eq(io_file_lock(io, a), 0);
    cr_assert_eq(io_file_lock(io, b), -EWOULDBLOCK);
    io_file_close(io, a);
    cr_assert_eq(io_file_lock(io, b), 0, "the lock dies with its handle");
    io_file_hold(io, b); /* or with the shard */
    cr_assert_eq(io_file_lock(io, b), 0);
    io_file_close(io, b);
}

static void the_disk_has_space(struct contract_world *w, struct io *io)
{
    struct io_disk disk = {0};
    cr_assert_eq(io_disk(io, w->directory, &disk), 0);
    cr_assert(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes);
    cr_assert_eq(io_disk(io, contract_path(w, "nowhere"), &disk), -ENOENT);
}

const struct contract_test contract_files[] = {
    {"opening_says_what_is_there", opening_says_what_is_there},
    {"reading_ends_with_the_file", reading_ends_with_the_file},
    {"direct_and_durable", direct_and_durable},
    {"many_pieces_make_one_write", many_pieces_make_one_write},
    {"disjoint_writes_run_together", disjoint_writes_run_together},
    {"reads_may_be_cancelled", reads_may_be_cancelled},
    {"everything_can_be_synced", everything_can_be_synced},
    {"space_is_reserved_and_cut", space_is_reserved_and_cut},
    {"names_come_and_go", names_come_and_go},
    {"unlinking_copies_the_path", unlinking_copies_the_path},
    {"mapped_stores_reach_the_file", mapped_stores_reach_the_file},
    {"a_lock_has_one_holder", a_lock_has_one_holder},
    {"the_disk_has_space", the_disk_has_space},
};
const size_t contract_files_count = array_size(contract_files);
