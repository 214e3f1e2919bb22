/* SPDX-License-Identifier: Apache-2.0 */

/* The data directory itself: made if it is missing, locked, known to be ours and of this layout;
 * the mark of the last clean stop is taken away, durably, before anything is appended (P25). */
#include "node_private.h"

#include "base/crc32c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static int in_data(struct node *n, const char *name)
{
    return file_path(n->path, n->data, name);
}

/* --- the clean mark --------------------------------------------------------------------------- */

/*     version=1
 *     broker.epoch=<decimal>
 *     directory.id=<22 characters>
 *     checksum=<8 hexadecimal digits: CRC-32C of all lines before this one> */
static size_t clean_text(const struct meta_open *meta, char out[static NODE_TEXT_SIZE])
{
    char directory[UUID_TEXT_SIZE];
    uuid_text(meta->directory_id, directory);
    int size =
        snprintf(out, NODE_TEXT_SIZE, "version=1\nbroker.epoch=%" PRId64 "\ndirectory.id=%s\n",
                 meta->broker_epoch, directory);
    assert(size > 0);
    uint32_t crc = crc32c(0, out, (size_t)size);
    size += snprintf(out + size, NODE_TEXT_SIZE - (size_t)size, "checksum=%08x\n", (unsigned)crc);
    assert(size < NODE_TEXT_SIZE);
    return (size_t)size;
}

static bool clean_text_is_valid(struct bytes text)
{
    enum { CHECKSUM_LINE = 18 };
    char expected[CHECKSUM_LINE + 1];
    static const char start[] = "version=1\n";
    if (text.size < sizeof start - 1 + CHECKSUM_LINE ||
        memcmp(text.data, start, sizeof start - 1) != 0) {
        return false;
    }
    size_t covered = text.size - CHECKSUM_LINE;
    snprintf(expected, sizeof expected, "checksum=%08x\n", (unsigned)crc32c(0, text.data, covered));
    return memcmp(text.data + covered, expected, CHECKSUM_LINE) == 0;
}

static void clean_stored(struct file_store *store, int error)
{
    struct node *n = container_of(store, struct node, store);
    if (error) {
        log_warn(io_logger(node_io(n)), "node", "no clean-shutdown mark was written: %s",
                 error_text(error));
    }
    n->directory_done(n);
}

void node_mark_clean(struct node *n, void (*done)(struct node *n))
{
    n->directory_done = done;
    int error = in_data(n, "clean-shutdown");
    assert(!error); /* it was looked for at the start */
    size_t size = clean_text(&n->meta_open, n->text);
    n->store.done = clean_stored;
    file_store(node_io(n), &n->store, n->path, n->text, size);
}

static void clean_removed(struct file_remove *remove, int error)
{
    struct node *n = container_of(remove, struct node, remove);
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "%s/clean-shutdown cannot be removed", n->data);
        return;
    }
    n->directory_done(n);
}

static void clean_loaded(struct file_load *load, int error)
{
    struct node *n = container_of(load, struct node, load);
    if (!error) {
        n->clean = clean_text_is_valid(bytes_of(load->data, load->size));
        memory_free(io_memory(node_io(n)), load->data);
        load->data = NULL;
    }
    if (error == ERR_NOT_FOUND) {
        n->directory_done(n);
        return;
    }
    n->remove.done = clean_removed;
    file_remove(node_io(n), &n->remove, n->path);
}

static void format_is_ours(struct node *n)
{
    int error = in_data(n, "clean-shutdown");
    if (error) {
        node_fail(n, NODE_EXIT_CONFIG, "data.dir: the path %s is too long", n->data);
        return;
    }
    n->load.done = clean_loaded;
    file_load(node_io(n), &n->load, n->path, NODE_TEXT_SIZE);
}

/* --- the format ------------------------------------------------------------------------------- */

static void format_stored(struct file_store *store, int error)
{
    struct node *n = container_of(store, struct node, store);
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "%s/format cannot be written: %s", n->data,
                  error_text(error));
        return;
    }
    format_is_ours(n);
}

static void each_name(void *context, const char *name, bool directory)
{
    static const char *const harmless[] = {"lock", "format.tmp", "lost+found"};
    struct node *n = context;
    for (size_t i = 0; i < array_size(harmless); i++) {
        if (strcmp(name, harmless[i]) == 0) {
            return;
        }
    }
    n->foreign = true;
}

static void write_format(struct node *n)
{
    int size = snprintf(n->text, sizeof n->text, FILE_FORMAT_WORDS "%d\n", FILE_FORMAT);
    int error = in_data(n, "format");
    assert(!error); /* it was looked for a moment ago */
    n->store.done = format_stored;
    file_store(node_io(n), &n->store, n->path, n->text, (size_t)size);
}

/* A directory that was made just now is lost with its name, so every name on the way to it is made
 * durable: the directory above each level is synced. */
static void parent_synced(struct file_sync *sync, int error);

static void sync_next_parent(struct node *n)
{
    size_t at = n->level;
    while (n->data[at] == '/') {
        at++;
    }
    if (!n->data[at]) {
        write_format(n);
        return;
    }
    if (at == 0) {
        snprintf(n->path, sizeof n->path, ".");
    } else {
        snprintf(n->path, sizeof n->path, "%.*s", (int)at, n->data);
    }
    while (n->data[at] && n->data[at] != '/') {
        at++;
    }
    n->level = at;
    n->sync.done = parent_synced;
    file_sync_directory(node_io(n), &n->sync, n->path);
}

static void parent_synced(struct file_sync *sync, int error)
{
    /* One above that may not be opened was not made by us either. */
    sync_next_parent(container_of(sync, struct node, sync));
}

static void found_directory(struct node *n)
{
    if (io_list(node_io(n), n->data, each_name, n) < 0 || n->foreign) {
        node_fail(n, NODE_EXIT_CONFIG,
                  "%s is not empty and not a leat data directory (it has no file named format); "
                  "name another with --data",
                  n->data);
        return;
    }
    n->level = 0;
    sync_next_parent(n);
}

static void format_loaded(struct file_load *load, int error)
{
    struct node *n = container_of(load, struct node, load);
    char expected[NODE_TEXT_SIZE];
    if (error == ERR_NOT_FOUND) {
        found_directory(n);
        return;
    }
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "%s/format cannot be read: %s", n->data, error_text(error));
        return;
    }
    int size = snprintf(expected, sizeof expected, FILE_FORMAT_WORDS "%d\n", FILE_FORMAT);
    size_t words = sizeof FILE_FORMAT_WORDS - 1;
    bool same = load->size == (size_t)size && memcmp(load->data, expected, load->size) == 0;
    bool other = load->size > words && memcmp(load->data, FILE_FORMAT_WORDS, words) == 0;
    memory_free(io_memory(node_io(n)), load->data);
    load->data = NULL;
    if (same) {
        format_is_ours(n);
    } else if (other) {
        node_fail(n, NODE_EXIT_CONFIG,
                  "%s was written by another version of leatd, with another format than %d; start "
                  "that version",
                  n->data, (int)FILE_FORMAT);
    } else {
        node_fail(n, NODE_EXIT_CONFIG, "%s/format is not that of a leat data directory", n->data);
    }
}

/* --- the directory ---------------------------------------------------------------------------- */

/* Makes every level of the path that is missing: 0 or a negative errno. */
static int make_levels(struct io *io, const char *path)
{
    char level[IO_PATH_MAX];
    size_t size = strlen(path);
    int error = 0;
    assert(size < IO_PATH_MAX);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != 0) {
            continue;
        }
        memcpy(level, path, i);
        level[i] = 0;
        error = io_mkdir(io, level);
        /* A level above that may not be made may still be there. */
        if (error == -EEXIST || (error && i < size)) {
            error = 0;
        }
    }
    return error;
}

/* What the system says of the directory, and what to do. */
static void fail_directory(struct node *n, int error)
{
    const char *reason = strerrordesc_np(-error), *advice;
    if (error == -ENOTDIR) {
        advice = "name a directory with --data";
    } else if (error == -EACCES || error == -EPERM) {
        advice = "leatd must be able to read, write and make files there";
    } else if (error == -EROFS) {
        advice = "the file system is mounted for reading alone";
    } else {
        advice = "name another directory with --data";
    }
    node_fail(n, NODE_EXIT_CONFIG, "data.dir: %s cannot be used: %s; %s", n->data,
              reason ? reason : "it is refused", advice);
}

enum { LOCK_RETRY_MS = 5, LOCK_WAIT_MS = 1000 };

static void try_lock(struct node *n);

static bool open_lock(struct node *n)
{
    struct io *io = node_io(n);
    int error = in_data(n, "lock");
    assert(!error); /* node_open_directory() has measured the path */
    error = io_file_open(io, &n->lock, n->path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE);
    if (error) {
        n->lock = NULL;
        fail_directory(n, error);
        return false;
    }
    return true;
}

static void directory_locked(struct node *n);

static void lock_again(struct io_op *op, int64_t result)
{
    struct node *n = container_of(op, struct node, lock_retry);
    (void)result;
    try_lock(n);
}

/* A killed leatd holds it until the kernel has ended what it was writing. */
static void try_lock(struct node *n)
{
    struct io *io = node_io(n);
    int error = io_file_lock(io, n->lock);
    if (error == -EWOULDBLOCK && io_now(io) < n->lock_until_ns) {
        n->lock_retry.done = lock_again;
        io_timer(io, &n->lock_retry, io_now(io) + LOCK_RETRY_MS * 1000000ull);
    } else if (error == -EWOULDBLOCK) {
        node_fail(n, NODE_EXIT_BUSY,
                  "%s is in use by another leatd; stop it, or name another directory with --data",
                  n->data);
    } else if (error) {
        fail_directory(n, error);
    } else {
        io_file_hold(io, n->lock);
        directory_locked(n);
    }
}

/* Said once, before anything is written: every file of the directory meets the same answer. */
static void try_direct(struct node *n)
{
    struct io *io = node_io(n);
    struct io_file *file;
    assert(n->lock);
    if (io_file_open(io, &file, n->path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_DIRECT) < 0) {
        return; /* what is opened next says why */
    }
    if (!io_file_direct(file)) {
        log_warn(
            io_logger(io), "node",
            "the file system of %s refuses O_DIRECT: files are written through the page cache, "
            "as durable and slower",
            n->data);
    }
    io_file_close(io, file);
}

void node_open_directory(struct node *n, void (*done)(struct node *n))
{
    struct io *io = node_io(n);
    const char *path = config_text(n->config, CONFIG_DATA_DIR);
    n->directory_done = done;
    /* Names are at most LOG_TOPIC_NAME_MAX, an index and an extension longer. */
    if (strlen(path) + LOG_TOPIC_NAME_MAX + 100 >= IO_PATH_MAX) {
        node_fail(n, NODE_EXIT_CONFIG, "data.dir: the path %s is too long", path);
        return;
    }
    snprintf(n->data, sizeof n->data, "%s", path);
    int error = make_levels(io, n->data);
    if (error) {
        fail_directory(n, error);
        return;
    }
    if (open_lock(n)) {
        n->lock_until_ns = io_now(io) + LOCK_WAIT_MS * 1000000ull;
        try_lock(n);
    }
}

static void directory_locked(struct node *n)
{
    struct io *io = node_io(n);
    try_direct(n);
    int error = in_data(n, "format");
    assert(!error); /* the path is short enough, see above */
    n->load.done = format_loaded;
    file_load(io, &n->load, n->path, NODE_TEXT_SIZE);
}
