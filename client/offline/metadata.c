/* SPDX-License-Identifier: Apache-2.0 */

/* Who the directory is, and what it last voted for and snapshotted (docs/formats/meta-properties.md,
 * voters.md, vote.md, snapshot.md). The metadata log itself is a root like any other. */
#include "meta/identity.h"
#include "meta/snapshot.h"
#include "meta/voters_file.h"
#include "offline/offline_private.h"

#include <inttypes.h>
#include <stdio.h>

#define METADATA_LOG "meta/topics/__cluster_metadata-0"

enum { SNAPSHOT_BYTES_MAX = 1 << 30 };

static const char advice_copy[] = "restore the file from a copy";

static int check_identity(struct offline *o, struct identity *identity, bool *known)
{
    struct bytes data;
    int error = offline_load(o, &data, "meta/meta.properties", 64 << 10);
    if (error == ERR_NOT_FOUND) {
        offline_tell(o, OFFLINE_DAMAGE, "meta/meta.properties", -1, advice_copy,
                     "it is missing: nobody knows which cluster the metadata belongs to");
        return 0;
    }
    if (error && error != ERR_TOO_LARGE) {
        return error;
    }
    if (!error) {
        error = identity_decode_any(identity, data);
        memory_free(o->memory, (void *)data.data);
    }
    *known = error == 0;
    if (error) {
        offline_tell(o, OFFLINE_DAMAGE, "meta/meta.properties", 0, advice_copy,
                     error == ERR_UNSUPPORTED_VERSION ? "it is of another version of leat"
                                                      : "its checksum or form is wrong");
    } else if (uuid_is_zero(identity->cluster_id)) {
        offline_tell(o, OFFLINE_NOTE, "meta/meta.properties", 0,
                     "start leatd with its peers: there is no metadata yet",
                     "the directory waits to found or to join a cluster");
    }
    return 0;
}

/* Whether a file is of this directory and cluster: the last step of founding and joining gives
 * meta.properties the cluster that vote and voters have already. */
static bool belongs(const struct identity *identity, struct uuid cluster_id,
                    struct uuid directory_id)
{
    return uuid_equal(directory_id, identity->directory_id) &&
           (uuid_is_zero(identity->cluster_id) || uuid_equal(cluster_id, identity->cluster_id));
}

static void check_slots(struct offline *o, struct bytes data, const struct identity *identity)
{
    struct vote vote;
    int first;
    if (vote_choose(&vote, &first, data)) {
        offline_tell(o, OFFLINE_DAMAGE, "meta/vote", 0,
                     "restore the file from a copy, or start leatd once with --accept-loss",
                     "neither copy of the vote is valid");
        return;
    }
    if (identity && !belongs(identity, vote.cluster_id, vote.directory_id)) {
        offline_tell(o, OFFLINE_DAMAGE, "meta/vote", 0, advice_copy,
                     "it belongs to another directory than meta.properties says");
    }
    o->founded = vote.founded;
    for (int slot = 0; slot < VOTE_SLOTS; slot++) {
        size_t at = (size_t)slot * VOTE_SLOT_SIZE;
        struct vote one;
        if (data.size < at + VOTE_SLOT_SIZE || vote_decode(&one, data.data + at)) {
            offline_tell(o, OFFLINE_NOTE, "meta/vote", (int64_t)at,
                         "nothing: the other copy is whole, and the next vote writes this one anew",
                         "one copy of the vote is not valid");
        }
    }
}

static int check_vote(struct offline *o, const struct identity *identity)
{
    struct bytes data = {0};
    int error = offline_load(o, &data, "meta/vote", 64 << 10);
    if (error == ERR_NOT_FOUND) {
        offline_tell(o, OFFLINE_DAMAGE, "meta/vote", -1,
                     "restore the file from a copy, or start leatd once with --accept-loss",
                     "it is missing: without it this node may not vote or lead");
        return 0;
    }
    if (error && error != ERR_TOO_LARGE) {
        return error;
    }
    check_slots(o, data, identity);
    memory_free(o->memory, (void *)data.data);
    return 0;
}

/* Only a directory that waits depends on it: then it is the decision. Later the log may name the voters. */
static int check_voters(struct offline *o, const struct identity *identity)
{
    struct voters_file file;
    struct bytes data = {0};
    int error = offline_load(o, &data, "meta/voters", VOTERS_FILE_MAX);
    if (error && error != ERR_TOO_LARGE) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    if (!error) {
        error = voters_file_decode(&file, data, o->memory);
        memory_free(o->memory, (void *)data.data);
    }
    if (error == ERR_NO_MEMORY) {
        return offline_fail(o, error, "no memory to read meta/voters");
    }
    bool foreign = !error && identity && !belongs(identity, file.cluster_id, file.directory_id);
    if (!error && !foreign) {
        return 0;
    }
    bool waits = identity && uuid_is_zero(identity->cluster_id);
    offline_tell(o, waits ? OFFLINE_DAMAGE : OFFLINE_NOTE, "meta/voters", 0,
                 waits ? "nothing else stands in the directory yet: start with an empty one"
                       : "nothing, when the metadata log names the voters",
                 error ? "its checksum or form is wrong"
                       : "it belongs to another directory than meta.properties says");
    return 0;
}

/* --- snapshots ------------------------------------------------------------------------------------ */

static int read_snapshot(struct offline *o, const char *name, struct snapshot_id id,
                         struct uuid cluster_id)
{
    struct snapshot_reader reader;
    struct bytes data;
    size_t used = 0;
    int error = offline_load(o, &data, name, SNAPSHOT_BYTES_MAX);
    if (error) {
        return error == ERR_TOO_LARGE ? offline_fail(o, error, "%s is too large", name) : error;
    }
    struct image_home *home = image_home_new(o->memory, "");
    struct image *draft = home ? image_empty(home) : NULL;
    if (!draft) {
        image_home_free(home);
        memory_free(o->memory, (void *)data.data);
        return offline_fail(o, ERR_NO_MEMORY, "no memory to read %s", name);
    }
    snapshot_reader_init(&reader, o->memory, draft, id, cluster_id);
    error = snapshot_reader_feed(&reader, data.data, data.size, &used);
    bool short_of = !error && (used < data.size || snapshot_reader_end(&reader) != 0);
    if (error == ERR_NO_MEMORY) {
        error = offline_fail(o, error, "no memory to read %s", name);
    } else if (error || short_of) {
        offline_tell(o, OFFLINE_DAMAGE, name, (int64_t)reader.bytes, advice_copy, "%s",
                     short_of        ? "the file is cut off"
                     : reader.why[0] ? reader.why
                                     : error_text(error));
        error = 0;
    }
    image_release(draft);
    image_home_free(home);
    memory_free(o->memory, (void *)data.data);
    return error;
}

/* The newest one counts; the one before it may still be on its way out. */
static int check_snapshots(struct offline *o, const struct identity *identity)
{
    struct offline_names names;
    struct snapshot_id newest = {.end_offset = -1}, id;
    int error = offline_list(o, &names, "meta/snapshots");
    if (error) {
        return error == ERR_NOT_FOUND ? 0 : error;
    }
    for (size_t i = 0; i < names.count; i++) {
        const char *text = names.names[i].text;
        if (snapshot_name_parse(bytes_of_string(text), &id) && id.end_offset > newest.end_offset) {
            newest = id;
        }
    }
    offline_names_free(&names);
    if (newest.end_offset < 0 || !identity) {
        return 0;
    }
    o->snapshot_end = newest.end_offset;
    char text[SNAPSHOT_NAME_SIZE], name[OFFLINE_NAME_MAX];
    snapshot_name(newest, text);
    snprintf(name, sizeof name, "meta/snapshots/%s", text);
    return read_snapshot(o, name, newest, identity->cluster_id);
}

/* --- its log against both ------------------------------------------------------------------------- */

/* A start refuses a founded cluster whose log is empty, and a log that does not reach its snapshot:
 * without the records between, topics would be taken for unknown ones and set aside. */
void offline_metadata_log(const struct root *r)
{
    static const char advice[] = "restore the directory meta from a copy";
    struct list *node = list_first(&r->logs);
    const struct folded_log *log = node ? container_of(node, struct folded_log, link) : NULL;
    int64_t start = log ? log->start : 0, end = log ? log->end : 0;
    if (r->o->snapshot_end > end || r->o->snapshot_end < start) {
        offline_tell(r->o, OFFLINE_DAMAGE, METADATA_LOG, -1, advice,
                     "the metadata log holds offsets %" PRId64 " to %" PRId64
                     ", but the newest snapshot ends at %" PRId64 ": what lies between is lost",
                     start, end, r->o->snapshot_end);
    } else if (r->o->founded && end == 0) {
        offline_tell(r->o, OFFLINE_DAMAGE, METADATA_LOG, -1, advice,
                     "the metadata log is missing, but this cluster was founded: nobody knows its "
                     "topics any more");
    }
}

int offline_metadata(struct offline *o)
{
    struct identity identity;
    bool known = false;
    int error = check_identity(o, &identity, &known);
    error = error ? error : check_vote(o, known ? &identity : NULL);
    error = error ? error : check_voters(o, known ? &identity : NULL);
    return error ? error : check_snapshots(o, known ? &identity : NULL);
}
