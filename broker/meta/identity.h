/* SPDX-License-Identifier: Apache-2.0 */

/* identity: who this directory is: meta.properties, and the vote of its node. Pure: bytes only; the
 * tables stand in docs/formats/vote.md and docs/formats/meta-properties.md.
 *
 * meta.properties is text, one key=value per line, in this order:
 *
 *     version=1
 *     cluster.id=<22 characters>
 *     directory.id=<22 characters>
 *     node.id=<decimal>
 *     checksum=<8 hexadecimal digits: CRC-32C of all lines before this one>
 *
 * A directory that waits to found or to join a cluster has version=2 and the zero cluster id: a
 * program that knows no such directories refuses it for its version, and does not take zero for a cluster.
 *
 * The vote file has two copies, each in a block of its own. A vote is told to anybody only when
 * both copies hold it; the older or invalid one is written first. So of two valid copies the larger
 * sequence counts, and one that is not valid takes nothing away that was ever told (M2).
 *
 *     OFFSET   SIZE  MEANING
 *          0      4  magic "LVT1"
 *          4      4  CRC-32C of bytes 8 .. 4096
 *          8      8  sequence: one more with each vote
 *         16     16  cluster id
 *         32     16  directory id
 *         48      4  epoch
 *         52      4  node that was voted for in this epoch, -1: none
 *         56     16  directory id of that node
 *         72      1  founded: 1 once the first records of the metadata log are durable
 *         73   4023  zero */
#pragma once

#include "base/errors.h"
#include "base/uuid.h"

enum {
    IDENTITY_SIZE_MAX = 512,
    IDENTITY_VERSION = 1,
    IDENTITY_VERSION_WAITING = 2,
    VOTE_SLOT_SIZE = 4096,
    VOTE_SLOTS = 2,
    VOTE_FILE_SIZE = VOTE_SLOT_SIZE * VOTE_SLOTS,
};

struct identity {
    struct uuid cluster_id, directory_id; /* the cluster's is zero while the directory waits */
    int32_t node_id;
};

/* The size of the text. */
size_t identity_encode(const struct identity *in, char out[static IDENTITY_SIZE_MAX]);

/* Of a directory that belongs to a cluster: ERR_MALFORMED; ERR_UNSUPPORTED_VERSION, also when it waits
 * for one. */
int identity_decode(struct identity *out, struct bytes text) MUST_CHECK;

/* Also of a directory that waits. */
int identity_decode_any(struct identity *out, struct bytes text) MUST_CHECK;

/* 22 characters of URL-safe base64: the way back of uuid_text(). */
int uuid_parse(struct uuid *out, struct bytes text) MUST_CHECK;

struct vote {
    uint64_t sequence;
    struct uuid cluster_id, directory_id;
    int32_t epoch;
    int32_t voted_id;
    struct uuid voted_directory_id;
    bool founded;
};

void vote_encode(const struct vote *in, uint8_t out[static VOTE_SLOT_SIZE]);

/* ERR_MALFORMED. */
int vote_decode(struct vote *out, const uint8_t slot[static VOTE_SLOT_SIZE]) MUST_CHECK;

/* The vote of a file's bytes, and which slot to write first. ERR_MALFORMED when no copy is valid,
 * or when the copies are of two directories. */
int vote_choose(struct vote *out, int *write_first, struct bytes file) MUST_CHECK;
