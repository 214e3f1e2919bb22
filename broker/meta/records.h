/* SPDX-License-Identifier: Apache-2.0 */

/* records: what the metadata log says, applied to an image; and batches of it, built together with
 * the image that they make. Private to meta.
 *
 * Data records are Kafka's: a frame (version 1, key, message version as uvarints) and a message.
 * Control batches carry LeaderChange, KRaftVersion, Voters, and in snapshots header and footer.
 * Reading is total: any bytes give an image or an error with a sentence.
 *
 * A record of a kind that this version does not know, or with content that it would lose (several
 * log directories of a broker), is ERR_UNSUPPORTED_VERSION: a log of a newer leatd is refused,
 * never read in part. A record is written in the lowest version that says what it has to say. */
#pragma once

#include "meta/edit.h"
#include "wire/batch.h"
#include "wire/wire.h"

enum {
    RECORDS_WHY_SIZE = 160,
    RECORDS_ARENA_LIMIT = 64 << 20, /* of one batch; the codec keeps it proportional to the bytes */
    METADATA_VERSION = 14,          /* Kafka's level of the records written here (3.6-IV2) */
};

/* Whose configuration a ConfigRecord, or a request about one, is of. */
enum config_resource {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
};

/* Kafka's numbers in the key of a control record. */
enum control_kind {
    CONTROL_LEADER_CHANGE = 2,
    CONTROL_SNAPSHOT_HEADER = 3,
    CONTROL_SNAPSHOT_FOOTER = 4,
    CONTROL_KRAFT_VERSION = 5,
    CONTROL_VOTERS = 6,
};

/* --- reading ---------------------------------------------------------------------------------- */

/* Applies one decoded message (`body` is the struct of `key`): 0, ERR_NO_MEMORY, ERR_MALFORMED when
 * it does not fit the image, ERR_UNSUPPORTED_VERSION. */
int record_apply(struct image *draft, int32_t key, const void *body) MUST_CHECK;

/* The value of a data record: frame and message. */
int record_apply_bytes(struct image *draft, struct bytes value, struct arena *arena) MUST_CHECK;

/* Which control record this is, and its value; ERR_MALFORMED. */
int control_kind_read(const struct record *record, enum control_kind *kind) MUST_CHECK;

/* Applies a control record of the log; header and footer of a snapshot are none. */
int control_apply(struct image *draft, const struct record *record, struct arena *arena) MUST_CHECK;

/* Applies one whole batch and moves the image's position to its end. On failure `why` says what and
 * at which offset, and the draft is of no more use. Header and footer of snapshots are refused
 * here. */
int records_apply_batch(struct image *draft, const void *data, size_t size, struct memory *memory,
                        char why[static RECORDS_WHY_SIZE]) MUST_CHECK;

/* --- writing ---------------------------------------------------------------------------------- */

/* A batch in the making with the image after it. Operations add to it one after the other; one that
 * fails, or does not fit any more, leaves no trace.
 *
 *     proposal_begin (proposal_open proposal_emit... (proposal_keep | proposal_undo))...
 * proposal_finish
 */
struct proposal {
    struct memory *memory;
    struct batch_builder batch;
    struct wire_writer scratch;
    struct image *image;     /* with all that was kept; a draft */
    struct image *candidate; /* with the operation in progress; NULL: none */
    int64_t base_offset;
    int64_t timestamp;
    int32_t kept_records;
    size_t kept_size;
    int error; /* of the operation in progress */
};

/* `limit`: bytes of a batch. Nothing is allocated. */
void proposal_init(struct proposal *p, struct memory *memory, size_t limit);
void proposal_deinit(struct proposal *p);

/* A first record gets `base_offset`. ERR_NO_MEMORY. */
int proposal_begin(struct proposal *p, const struct image *base, int64_t base_offset,
                   int64_t timestamp) MUST_CHECK;

int proposal_open(struct proposal *p) MUST_CHECK;

/* Adds a message to batch and candidate. The first error latches: ERR_TOO_LARGE (the batch is
 * full), ERR_NO_MEMORY, ERR_MALFORMED (a bug of the caller, or a limit of the image). */
int proposal_emit(struct proposal *p, const struct wire_message *message, int version,
                  const void *body);

void proposal_keep(struct proposal *p);
void proposal_undo(struct proposal *p);

/* The offset of the next record. */
int64_t proposal_next_offset(const struct proposal *p);

/* At least one record was kept: *out is lent until the next begin. The image's position moves. */
int proposal_finish(struct proposal *p, int32_t leader_epoch, struct bytes *out) MUST_CHECK;

/* The draft after the finished batch, which is the caller's from here on; the batch's bytes stay lent. */
struct image *proposal_take(struct proposal *p);

/* Ends without a batch: forgets the draft. */
void proposal_drop(struct proposal *p);

/* Adds a control record to a batch in the making; finish with BATCH_CONTROL. */
int control_append(struct batch_builder *b, struct memory *memory, enum control_kind kind,
                   const struct wire_message *message, int version, const void *body,
                   int64_t timestamp) MUST_CHECK;

int control_append_bytes(struct batch_builder *b, enum control_kind kind, struct bytes value,
                         int64_t timestamp) MUST_CHECK;

/* The lowest version that holds what the record says. */
int partition_record_version(const struct partition_record *r);
int partition_change_record_version(const struct partition_change_record *r);
int register_broker_record_version(const struct register_broker_record *r);

/* A topic as its first record, without what follows; lends its name. */
void topic_record_of(struct topic_record *out, const struct image_topic *t);

/* A partition as one record; lends what it points to. */
void partition_record_of(struct partition_record *out, struct uuid topic, int32_t number,
                         const struct image_partition *p);

/* Adds a data record to a batch that is not a proposal (snapshots). `scratch` is reset. */
int record_append(struct batch_builder *b, struct wire_writer *scratch,
                  const struct wire_message *message, int version, const void *body,
                  int64_t timestamp) MUST_CHECK;
