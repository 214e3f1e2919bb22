/* SPDX-License-Identifier: Apache-2.0 */

/* A data directory from its lock to its last batch: the marks of the directory, the metadata, then both
 * roots (the metadata's log and the topics'), each as recovery would load it. */
#include "meta/files.h"
#include "offline/offline_private.h"

#include <stdio.h>

enum { FORMAT_SIZE_MAX = 4096, LOCK_WAIT_MS = 1000, LOCK_RETRY_MS = 20 };

static const char remedy_topics[] =
    "restore the file from a copy, or start leatd once with --accept-loss to go on without what is "
    "missing";
static const char remedy_metadata[] = "restore the file from a copy";

static bool lock_free(struct offline *o, struct io_file *file)
{
    uint64_t until = io_now(o->io) + (uint64_t)LOCK_WAIT_MS * 1000000;
    int result;
    while ((result = io_file_lock(o->io, file)) != 0 && io_now(o->io) < until) {
        offline_pause(o, LOCK_RETRY_MS);
    }
    return result == 0;
}

/* The lock is held until offline_close(). A leatd that was killed leaves it to the kernel, which may
 * still be writing for it: so it is waited for a moment. */
static int take_lock(struct offline *o, bool force)
{
    struct io_file *file;
    int error = offline_file(o, &file, "lock");
    if (error) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    if (force || lock_free(o, file)) {
        return 0;
    }
    io_file_close(o->io, file);
    return offline_fail(
        o, ERR_BUSY,
        "%s is in use: a leatd runs on it; stop it first (--force-read looks all the "
        "same: what the broker writes meanwhile may then pass for damage)",
        o->directory);
}

static bool has_directory(const struct offline_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->names[i].directory && strcmp(names->names[i].text, name) == 0) {
            return true;
        }
    }
    return false;
}

static int check_format(struct offline *o)
{
    struct offline_names names;
    struct bytes data = {0};
    char line[64];
    size_t size = (size_t)snprintf(line, sizeof line, FILE_FORMAT_WORDS "%d\n", FILE_FORMAT);
    int error = offline_list(o, &names, "");
    if (error) {
        return error == ERR_NOT_FOUND ? offline_fail(o, error, "%s does not exist", o->directory)
                                      : error;
    }
    bool ours = has_directory(&names, "meta") || has_directory(&names, "journal-0");
    offline_names_free(&names);
    error = offline_load(o, &data, "format", FORMAT_SIZE_MAX);
    if (error == ERR_NOT_FOUND && !ours) {
        return offline_fail(o, error,
                            "%s is not a data directory of leat: it has no file named format",
                            o->directory);
    }
    if (error && error != ERR_NOT_FOUND && error != ERR_TOO_LARGE) {
        return error;
    }
    if (error) {
        offline_tell(o, OFFLINE_DAMAGE, "format", -1, remedy_metadata, "it is missing");
    } else if (data.size != size || memcmp(data.data, line, size) != 0) {
        offline_tell(o, OFFLINE_DAMAGE, "format", 0,
                     "restore the file from a copy, or use the leat of the version that wrote it",
                     "it does not say '%.*s'", (int)size - 1, line);
    }
    memory_free(o->memory, (void *)data.data);
    return 0;
}

static struct root *root_new(struct offline *o, const char *prefix, const char *remedy)
{
    struct root *r = memory_alloc(o->memory, sizeof *r);
    if (r) {
        r->o = o;
        r->prefix = prefix;
        r->remedy = remedy;
    }
    return r;
}

static int load_root(struct root *r)
{
    uint64_t damages = r->o->counts.damages;
    int error = root_load(r);
    error = error ? error : root_fold(r);
    if (!error && r->o->counts.damages == damages && r->prefix[0]) {
        offline_metadata_log(r);
    }
    return error;
}

static int check_all(struct offline *o, bool force)
{
    int error = take_lock(o, force);
    error = error ? error : check_format(o);
    error = error ? error : offline_metadata(o);
    if (error) {
        return error;
    }
    struct root *roots[] = {root_new(o, "meta/", remedy_metadata), root_new(o, "", remedy_topics)};
    if (!roots[0] || !roots[1]) {
        return offline_fail(o, ERR_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < array_size(roots) && !error; i++) {
        error = load_root(roots[i]);
    }
    for (size_t i = 0; i < array_size(roots) && !error; i++) {
        o->total += root_bytes(roots[i]);
    }
    o->total += error ? 0 : o->bytes;
    for (size_t i = 0; i < array_size(roots) && !error; i++) {
        error = root_walk(roots[i]);
    }
    for (size_t i = 0; i < array_size(roots); i++) {
        root_free(roots[i]);
        memory_free(o->memory, roots[i]);
    }
    return error;
}

int offline_verify(const struct offline_verify *v, struct offline_counts *counts,
                   char why[static OFFLINE_WHY_SIZE])
{
    struct offline o;
    int error = offline_open(&o, v->directory, why);
    if (!error) {
        o.verify = v;
        o.watch = &v->watch;
        error = check_all(&o, v->force);
        *counts = o.counts;
    }
    offline_close(&o);
    return error;
}
