/* SPDX-License-Identifier: Apache-2.0 */

/* The last block of a partition's newest segment, which no file of the partition holds: the checkpoint
 * carries it (docs/formats/checkpoint.md). It is looked for two directories above, in the journals of
 * the same root, and laid over what is read from the segment. */
#include "offline/dump_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BASE_DIGITS = 20 };

/* --- the checkpoints of a root ---------------------------------------------------------------------- */

void dump_checkpoints_free(struct dumping *d)
{
    for (unsigned i = 0; i < d->checkpoint_count; i++) {
        memory_free(d->o.memory, (void *)d->checkpoints[i].data.data);
    }
    d->checkpoint_count = 0;
}

/* The newer valid copy of a shard; false: neither is there. */
static bool load_newest(struct dumping *d, const char *root, unsigned shard)
{
    struct dump_checkpoint_copy *newest = &d->checkpoints[d->checkpoint_count];
    bool there = false, valid = false;
    for (unsigned copy = 0; copy < 2; copy++) {
        char name[OFFLINE_NAME_MAX];
        struct bytes data;
        struct checkpoint_header h;
        int size = snprintf(name, sizeof name, "%sjournal-%u/checkpoint-%u", root, shard, copy);
        if (size >= (int)sizeof name || offline_load(&d->o, &data, name, DUMP_WHOLE_MAX)) {
            continue;
        }
        there = true;
        if (checkpoint_header_decode(&h, data.data, data.size) ||
            (valid && !root_newer(&h, &newest->header))) {
            memory_free(d->o.memory, (void *)data.data);
            continue;
        }
        if (valid) {
            memory_free(d->o.memory, (void *)newest->data.data);
        }
        *newest = (struct dump_checkpoint_copy){h, data, shard, copy};
        valid = true;
    }
    d->checkpoint_count += valid;
    return there;
}

/* Kept for the next segment of the same root. */
static void load_checkpoints(struct dumping *d, const char *root)
{
    if (strcmp(d->checkpoint_root, root) == 0) {
        return;
    }
    dump_checkpoints_free(d);
    snprintf(d->checkpoint_root, sizeof d->checkpoint_root, "%s", root);
    for (unsigned shard = 0; shard < OFFLINE_SHARDS_MAX && load_newest(d, root, shard); shard++) {
    }
}

/* --- the one log in them ---------------------------------------------------------------------------- */

struct owner {
    struct uuid topic_id, storage_id;
    int32_t partition;
    int64_t base_offset;
};

/* "<directory>/<base offset>.log" and the partition file beside it. */
static bool segment_owner(struct dumping *d, const char *directory, struct owner *out)
{
    char name[OFFLINE_NAME_MAX];
    struct bytes data;
    const char *last = d->name + strlen(directory);
    if (strspn(last, "0123456789") != BASE_DIGITS || strcmp(last + BASE_DIGITS, ".log") != 0) {
        return false;
    }
    out->base_offset = strtoll(last, NULL, 10);
    int size = snprintf(name, sizeof name, "%spartition", directory);
    if (size >= (int)sizeof name || offline_load(&d->o, &data, name, PARTITION_FILE_SIZE)) {
        return false;
    }
    int error = partition_file_decode(data.data, data.size, &out->topic_id, &out->storage_id,
                                      &out->partition);
    memory_free(d->o.memory, (void *)data.data);
    return error == 0;
}

static bool segment_sealed(struct dumping *d)
{
    char name[OFFLINE_NAME_MAX];
    struct io_file *file;
    size_t stem = strlen(d->name) - strlen(".log");
    int size = snprintf(name, sizeof name, "%.*s.sums", (int)stem, d->name);
    if (size >= (int)sizeof name || offline_file(&d->o, &file, name)) {
        return false;
    }
    io_file_close(d->o.io, file);
    return true;
}

static bool find_log(const struct dump_checkpoint_copy *c, const struct owner *owner,
                     struct checkpoint_log *out)
{
    struct reader in =
        reader_of(c->data.data + CHECKPOINT_HEADER_SIZE, c->header.size - CHECKPOINT_HEADER_SIZE);
    for (uint32_t n = 0; n < c->header.logs; n++) {
        if (checkpoint_log_decode(out, &in)) {
            return false;
        }
        if (uuid_equal(out->topic_id, owner->topic_id) && out->partition == owner->partition) {
            return out->has_segment && out->segment_base == owner->base_offset;
        }
    }
    return false;
}

void dump_unfinished(struct dumping *d, struct unfinished *out)
{
    char directory[OFFLINE_NAME_MAX], root[OFFLINE_NAME_MAX];
    const char *slash = strrchr(d->name, '/');
    struct owner owner;
    uint64_t life = 0;
    *out = (struct unfinished){.position = UINT64_MAX};
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - d->name) + 1 : 0, d->name);
    int size = snprintf(root, sizeof root, "%s../../", directory);
    if (size >= (int)sizeof root || !segment_owner(d, directory, &owner)) {
        return;
    }
    load_checkpoints(d, root);
    out->alone = d->checkpoint_count == 0 && !segment_sealed(d);
    for (unsigned i = 0; i < d->checkpoint_count; i++) {
        const struct dump_checkpoint_copy *c = &d->checkpoints[i];
        struct checkpoint_log l;
        if (!uuid_equal(c->header.storage_id, owner.storage_id) || c->header.life < life ||
            !find_log(c, &owner, &l)) {
            continue;
        }
        life = c->header.life;
        out->bytes = l.unfinished;
        out->position = l.segment_size - l.unfinished.size;
        out->clean = c->header.flags & CHECKPOINT_CLEAN;
        snprintf(out->from, sizeof out->from, "journal-%u/checkpoint-%u", c->shard, c->copy);
    }
}

int64_t unfinished_cover(const struct unfinished *u, uint64_t position, uint8_t *buffer,
                         size_t capacity, size_t read)
{
    uint64_t begins = u->position > position ? u->position : position;
    uint64_t ends = u->position + u->bytes.size;
    if (!u->bytes.size || begins > position + read) {
        return (int64_t)read; /* there is none, or the file ends before it */
    }
    ends = ends < position + capacity ? ends : position + capacity;
    if (begins < ends) {
        memcpy(buffer + (begins - position), u->bytes.data + (begins - u->position),
               (size_t)(ends - begins));
        read = ends - position > read ? (size_t)(ends - position) : read;
    }
    return (int64_t)read;
}
