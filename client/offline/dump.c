/* SPDX-License-Identifier: Apache-2.0 */

/* Which file is which, by its first bytes and its name, and the walk over a directory of them. */
#include "offline/dump_private.h"

#include <stdio.h>

enum { DEPTH_MAX = 4, HEAD_SIZE = 64, MAGIC_AT = 16 };

/* --- items ---------------------------------------------------------------------------------------- */

static struct offline_field *field(struct dumping *d, const char *name,
                                   enum offline_field_kind kind)
{
    assert(d->count < DUMP_FIELDS_MAX);
    d->fields[d->count] = (struct offline_field){.name = name, .kind = kind};
    return &d->fields[d->count++];
}

void dump_number(struct dumping *d, const char *name, int64_t number)
{
    field(d, name, OFFLINE_NUMBER)->number = number;
}

void dump_time(struct dumping *d, const char *name, int64_t ms)
{
    field(d, name, OFFLINE_TIME)->number = ms;
}

void dump_bool(struct dumping *d, const char *name, bool truth)
{
    field(d, name, OFFLINE_BOOL)->number = truth;
}

void dump_text(struct dumping *d, const char *name, const char *text)
{
    field(d, name, OFFLINE_TEXT)->bytes = bytes_of_string(text);
}

void dump_bytes(struct dumping *d, const char *name, const void *data, int64_t size)
{
    field(d, name, OFFLINE_BYTES)->bytes =
        size < 0 ? (struct bytes){0} : bytes_of(data ? data : "", (size_t)size);
}

void dump_id(struct dumping *d, const char *name, struct uuid id)
{
    char *text = d->texts[d->count];
    uuid_text(id, text);
    dump_text(d, name, text);
}

void dump_item(struct dumping *d, const char *what)
{
    d->request->item(d->request->item_context, what, d->fields, d->count);
    d->count = 0;
}

/* --- files ---------------------------------------------------------------------------------------- */

enum kind {
    KIND_UNKNOWN,
    KIND_BATCHES,
    KIND_JOURNAL,
    KIND_RING,
    KIND_CHECKPOINT,
    KIND_INDEX,
    KIND_SUMS,
    KIND_PARTITION,
    KIND_VOTE,
    KIND_VOTERS,
    KIND_LINES,
};

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* By name, for a damaged file may not say itself what it is; by its first bytes for one that was
 * renamed. */
static enum kind kind_of(const char *path, const uint8_t *head, size_t size)
{
    static const struct {
        const char *start, *end, *magic;
        enum kind kind;
    } kinds[] = {
        {"", ".log", "", KIND_BATCHES},
        {"", ".index", "LIX1", KIND_INDEX},
        {"", ".sums", "LSM1", KIND_SUMS},
        {"durable-", "", "LJN1", KIND_JOURNAL},
        {"memory-", "", "LGR1", KIND_RING},
        {"checkpoint-", "", "LCK1", KIND_CHECKPOINT},
        {"", ".checkpoint", "", KIND_BATCHES},
        {"partition", "", "LPT1", KIND_PARTITION},
        {"voters", "", "LVS1", KIND_VOTERS},
        {"vote", "", "LVT1", KIND_VOTE},
        {"meta.properties", "", "vers", KIND_LINES},
        {"clean-shutdown", "", "vers", KIND_LINES},
        {"boot", "", "boot", KIND_LINES},
        {"format", "", "leat", KIND_LINES},
    };
    const char *name = last_part(path);
    for (size_t i = 0; i < array_size(kinds); i++) {
        if (strncmp(name, kinds[i].start, strlen(kinds[i].start)) == 0 &&
            ends_with(name, kinds[i].end)) {
            return kinds[i].kind;
        }
    }
    for (size_t i = 0; i < array_size(kinds) && size >= 4; i++) {
        if (*kinds[i].magic && memcmp(head, kinds[i].magic, 4) == 0) {
            return kinds[i].kind;
        }
    }
    return size > MAGIC_AT && head[MAGIC_AT] == 2 ? KIND_BATCHES : KIND_UNKNOWN;
}

static int dump_whole(struct dumping *d, enum kind kind)
{
    struct bytes data;
    int error = offline_load(&d->o, &data, d->name, DUMP_WHOLE_MAX);
    if (error) {
        return error == ERR_TOO_LARGE
                   ? offline_fail(&d->o, error, "%s is too large to be one", d->name)
                   : error;
    }
    switch (kind) {
    case KIND_JOURNAL:
    case KIND_RING:
        error = dump_journal(d, data, kind == KIND_RING);
        break;
    case KIND_CHECKPOINT:
        dump_checkpoint(d, data);
        break;
    case KIND_INDEX:
        error = dump_index(d, data);
        break;
    case KIND_SUMS:
        error = dump_sums(d, data);
        break;
    case KIND_PARTITION:
        dump_partition(d, data);
        break;
    case KIND_VOTE:
        dump_vote(d, data);
        break;
    case KIND_VOTERS:
        dump_voters(d, data);
        break;
    default:
        dump_lines(d, data);
        break;
    }
    memory_free(d->o.memory, (void *)data.data);
    return error;
}

/* `asked`: by its own name, so that it must be one of ours. */
static int dump_file(struct dumping *d, const char *name, bool asked)
{
    struct io_file *file;
    uint8_t head[HEAD_SIZE];
    d->name = name;
    int error = offline_file(&d->o, &file, name);
    if (error) {
        return error == ERR_NOT_FOUND ? offline_fail(&d->o, error, "%s does not exist",
                                                     asked ? d->request->path : name)
                                      : error;
    }
    int64_t got = offline_read(&d->o, file, name, head, sizeof head, 0);
    enum kind kind = got < 0 ? KIND_UNKNOWN : kind_of(name, head, (size_t)got);
    int64_t size = io_file_size(d->o.io, file);
    if (got < 0) {
        error = (int)got;
    } else if (kind == KIND_UNKNOWN && asked) {
        error = offline_fail(&d->o, ERR_INVALID_ARGUMENT,
                             "%s is not a file of a data directory: a segment, an index, sums, a "
                             "journal, a checkpoint, ...",
                             d->request->path);
    } else if (kind != KIND_UNKNOWN) {
        dump_text(d, "name", name);
        dump_number(d, "size", size);
        dump_item(d, "file");
        d->o.total = size > 0 ? d->o.bytes + (uint64_t)size : 0;
        error = kind == KIND_BATCHES ? dump_batches(d, file) : dump_whole(d, kind);
    }
    io_file_close(d->o.io, file);
    return error;
}

static int dump_directory(struct dumping *d, const char *name, unsigned depth)
{
    struct offline_names names;
    int error = depth > DEPTH_MAX ? 0 : offline_list(&d->o, &names, name);
    if (error || depth > DEPTH_MAX) {
        return error;
    }
    for (size_t i = 0; i < names.count && !error; i++) {
        char inner[OFFLINE_NAME_MAX];
        const struct offline_name *one = &names.names[i];
        int size = snprintf(inner, sizeof inner, "%s%s%s", name, *name ? "/" : "", one->text);
        if (size >= (int)sizeof inner) {
            error =
                offline_fail(&d->o, ERR_INVALID_ARGUMENT, "the path of %s is too long", one->text);
        } else {
            error =
                one->directory ? dump_directory(d, inner, depth + 1) : dump_file(d, inner, false);
        }
    }
    offline_names_free(&names);
    return error;
}

/* A file is found through its directory, so that what stands beside it can be read too. */
static int dump_path(struct dumping *d, const char *path)
{
    struct offline_names names;
    int error = offline_list(&d->o, &names, "");
    if (!error) {
        offline_names_free(&names);
        return dump_directory(d, "", 0);
    }
    char directory[IO_PATH_MAX];
    const char *name = last_part(path);
    size_t size = name > path ? (size_t)(name - path) - 1 : 0;
    snprintf(directory, sizeof directory, "%.*s", (int)size, path);
    d->o.directory = name == path ? "." : size ? directory : "/";
    return dump_file(d, name, true);
}

int offline_dump(const struct offline_dump *request, char why[static OFFLINE_WHY_SIZE])
{
    struct dumping d = {.request = request};
    int error = strlen(request->path) < IO_PATH_MAX
                    ? offline_open(&d.o, request->path, why)
                    : offline_fail(&(struct offline){.why = why}, ERR_INVALID_ARGUMENT,
                                   "the path is too long");
    if (!error) {
        d.o.watch = &request->watch;
        error = dump_path(&d, request->path);
        dump_checkpoints_free(&d);
    }
    offline_close(&d.o);
    return error;
}
