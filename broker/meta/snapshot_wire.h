/* SPDX-License-Identifier: Apache-2.0 */

/* snapshot_wire: a snapshot of the metadata log in pieces, as Kafka's FetchSnapshot (KIP-630). Pure: structs and
 * bytes.
 *
 *     snapshot_request_encode --> the leader: fetch_snapshot_request_take
 *     snapshot_answer_decode  <-- fetch_snapshot_response_fill
 *
 * Pieces are bytes of the file from a position on, whose ends need not be those of batches. Whatever comes is
 * checked here: the snapshot holds something, and a piece lies within it, where it was asked for. */
#pragma once

#include "meta/quorum_wire.h"

enum { SNAPSHOT_FETCH_VERSION = 1, SNAPSHOT_FETCH_BYTES = 1 << 20 };

struct snapshot_request {
    struct raft_id from;
    int32_t epoch; /* of the leader that is asked */
    struct raft_end id;
    int64_t position; /* in bytes */
    int32_t bytes_max;
};

struct snapshot_answer {
    int error; /* 0, ERR_SNAPSHOT_NOT_FOUND, ERR_POSITION_OUT_OF_RANGE, ERR_NOT_LEADER_OR_FOLLOWER, ... */
    int32_t epoch;  /* of who answers, */
    int32_t leader; /* and who leads it, as far as he knows; else RAFT_NOBODY */
    struct raft_end id;
    int64_t size, position; /* of the whole; of `piece` */
    struct bytes piece;     /* decoded: lent from the body */
};

/* The body of a request. 0, ERR_NO_MEMORY, ERR_TOO_LARGE. */
int snapshot_request_encode(const struct snapshot_request *in, const char *cluster_id, int version,
                            struct wire_writer *out) MUST_CHECK;

/* A request that has come to node `self`. ERR_INCONSISTENT_CLUSTER_ID; ERR_UNKNOWN_TOPIC_OR_PARTITION: another
 * log; ERR_INVALID_REQUEST: several partitions, or numbers that no replica has. */
int fetch_snapshot_request_take(const struct fetch_snapshot_request *in, const char *cluster_id,
                                int32_t self, struct snapshot_request *out) MUST_CHECK;

/* An answer, with the room that it needs beside the struct. `piece` stands for in->piece; its slices are the
 * caller's until it is encoded. `error`: the request was not taken, and `in` is not looked at. */
struct fetch_snapshot_answer {
    struct fetch_snapshot_response response;
    struct fetch_snapshot_response_topics topic;
    struct fetch_snapshot_response_partitions partition;
};
void fetch_snapshot_response_fill(struct fetch_snapshot_answer *out,
                                  const struct snapshot_answer *in, int error,
                                  struct wire_records piece);

/* The answer to `request`. 0, also where out->error says what is wrong there; ERR_MALFORMED, also when it is of
 * another snapshot or position, or larger than was asked for; ERR_NO_MEMORY; what the request was not taken for. */
int snapshot_answer_decode(const struct snapshot_request *request, int version, struct bytes body,
                           struct memory *memory, struct snapshot_answer *out) MUST_CHECK;
