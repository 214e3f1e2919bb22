/* SPDX-License-Identifier: Apache-2.0 */

/* snapshot: an image as a file of record batches (KIP-630), from which and from the log behind it
 * the same image is made again. Pure: batches out, batches in.
 *
 *     control batch  SnapshotHeader, KRaftVersion, Voters
 *     data batches   features, brokers, their configurations, topics with configurations and
 *                    partitions, the next producer id
 *     control batch  SnapshotFooter with our tagged field 10000:
 *
 *         OFFSET   SIZE  MEANING
 *              0      4  CRC-32C of all bytes before the footer's batch
 *              4      8  how many bytes that are
 *             12      8  end offset: the snapshot holds the log up to it, exclusive
 *             20     16  cluster id
 *
 * Offsets rise from 0 without gaps, the leader epoch is that of the snapshot's id. The file is
 * named <end offset, 20 digits>-<epoch, 10 digits>.checkpoint, as Kafka's.
 *
 *   S1  Every byte is covered: by the footer's sum, by the footer batch's own, or by exact
 *       expectation. A changed byte anywhere is ERR_DAMAGED.
 *   S2  What was not read to its footer is no snapshot. */
#pragma once

#include "meta/records.h"

enum {
    SNAPSHOT_BATCH_MAX = 256 << 10,
    SNAPSHOT_NAME_SIZE = 48,
    SNAPSHOT_FOOTER_TAG = 10000,
};

struct snapshot_id {
    int64_t end_offset;
    int32_t epoch;
};

void snapshot_name(struct snapshot_id id, char out[static SNAPSHOT_NAME_SIZE]);

/* False when the name is not a snapshot's. */
bool snapshot_name_parse(struct bytes name, struct snapshot_id *out);

/* The same for one that has come from the leader, until the log begins behind it (meta_install.c). */
void snapshot_loaded_name(struct snapshot_id id, char out[static SNAPSHOT_NAME_SIZE]);
bool snapshot_loaded_name_parse(struct bytes name, struct snapshot_id *out);

/* --- writing ---------------------------------------------------------------------------------- */

struct snapshot_writer {
    struct memory *memory;
    const struct image *image; /* one reference */
    struct uuid cluster_id;
    struct batch_builder batch;
    struct wire_writer scratch;
    int stage;
    uint32_t index, inner; /* where in the stage */
    int32_t part;
    int64_t next_offset;
    uint32_t crc;
    uint64_t bytes;
    bool done;
};

/* Takes its own reference on the image; its id is (offset + 1, epoch) of it. */
void snapshot_writer_init(struct snapshot_writer *w, struct memory *memory,
                          const struct image *image, struct uuid cluster_id);
void snapshot_writer_deinit(struct snapshot_writer *w);

/* The next batch (lent until the next call): 1, 0 behind the footer, ERR_NO_MEMORY. */
int snapshot_writer_next(struct snapshot_writer *w, struct bytes *out) MUST_CHECK;

/* --- reading ---------------------------------------------------------------------------------- */

struct snapshot_reader {
    struct memory *memory;
    struct image *draft;
    struct snapshot_id id;
    struct uuid cluster_id;
    int64_t next_offset;
    int64_t timestamp;
    uint32_t crc;
    uint64_t bytes;
    bool started, ended;
    char why[RECORDS_WHY_SIZE];
};

/* Builds into `draft`, which is empty and stays the caller's. */
void snapshot_reader_init(struct snapshot_reader *r, struct memory *memory, struct image *draft,
                          struct snapshot_id id, struct uuid cluster_id);

/* Reads the whole batches at the start of `data`; *used is how many bytes they take, 0 when more
 * must come. ERR_DAMAGED with r->why, ERR_UNSUPPORTED_VERSION, ERR_NO_MEMORY. */
int snapshot_reader_feed(struct snapshot_reader *r, const void *data, size_t size,
                         size_t *used) MUST_CHECK;

/* At the end of the file: ERR_DAMAGED without a footer. Sets the draft's position. */
int snapshot_reader_end(struct snapshot_reader *r) MUST_CHECK;
