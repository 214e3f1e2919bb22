/* SPDX-License-Identifier: Apache-2.0 */

/* voters: who votes in the metadata quorum and where to reach them, as VotersRecord (KIP-853) says it. Pure:
 * bytes only. Private to meta. */
#pragma once

#include "base/bytes.h"
#include "base/errors.h"
#include "base/memory.h"
#include "raft/raft.h"
#include "wire/wire.h"

enum {
    VOTER_NAME_MAX = 64,  /* of a listener, with its NUL */
    VOTER_HOST_MAX = 256, /* with its NUL */
    VOTER_BYTES_MAX = 4096,
    VOTERS_BYTES_MAX = RAFT_VOTERS_MAX * VOTER_BYTES_MAX,
};

/* Of several endpoints the first is the one that voters use. */
struct voter {
    struct raft_id id;
    char name[VOTER_NAME_MAX];
    char host[VOTER_HOST_MAX];
    uint16_t port;
};

struct voters {
    uint32_t count;
    struct voter list[RAFT_VOTERS_MAX];
};

/* The value of a VotersRecord: 1 to RAFT_VOTERS_MAX voters, no node twice, each with an endpoint whose name and
 * host fit. ERR_MALFORMED, ERR_UNSUPPORTED_VERSION, ERR_NO_MEMORY; *out is then of no use. */
int voters_decode(struct voters *out, struct bytes value, struct memory *memory) MUST_CHECK;

/* Writes the value; the writer keeps its own errors too. */
int voters_encode(const struct voters *in, struct wire_writer *out) MUST_CHECK;

struct raft_voters voters_ids(const struct voters *in);

/* NULL: the node is not among them. */
const struct voter *voters_find(const struct voters *in, int32_t node);

/* What a whole batch of the metadata log says of voters: 1 and *out, the last VotersRecord in it; 0: nothing;
 * ERR_MALFORMED and the others of voters_decode(). The batch's bounds and checksum are checked here. */
int voters_of_batch(struct voters *out, const void *batch, size_t size,
                    struct memory *memory) MUST_CHECK;
