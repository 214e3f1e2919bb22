/* SPDX-License-Identifier: Apache-2.0 */

/* quorum_wire: messages of the consensus core as Kafka's: Vote (KIP-595, 853, 996), BeginQuorumEpoch,
 * EndQuorumEpoch, and Fetch of the metadata log. Pure: structs and bytes.
 *
 *     core --message--> quorum_request_encode --> the other node: vote_request_take ... --> its core
 *     core <--message-- quorum_answer_decode <--- vote_response_fill ... <--message--- its core
 *
 * What the wire does not carry is known from the request: who is asked, and the ticket. Who asks keeps the message
 * until its answer is there; who answers gives what has come a ticket of its own, by which it finds the connection
 * again. Every request names its cluster (M16). `reads` travel in a tagged field of our own (10001); without it a
 * read is never confirmed, nothing else changes.
 *
 * What comes is what was sent, but for what nobody reads: the directories of who sends BEGIN and END, of who is
 * asked by a FETCH and answers it, and the leader that a VOTE or a FETCH names. Version 17 of Fetch does not carry
 * the high watermark of who asks: he hears of a higher one with the next records, or when his time is up.
 *
 * Whatever comes is checked here. Nodes, epochs and offsets are >= 0, an epoch has a successor, a log does not end
 * in an epoch newer than its replica's, and diverges before its end: the core may rest on that.
 *
 * The core does not answer everything: BEGIN and END never (their answers are filled at once), a FETCH not when a
 * newer one of the same replica has come, nothing when it is damaged or out of room. */
#pragma once

#include "base/memory.h"
#include "base/uuid.h"
#include "meta/image.h"
#include "raft/raft.h"
#include "wire/wire.h"

enum {
    QUORUM_FETCH_BYTES =
        1 << 20,              /* of records in an answer; the first batch is whole in any case */
    QUORUM_BATCHES_MAX = 256, /* of an answer that are taken at once */
};

extern const struct uuid quorum_topic_id; /* Kafka's: fifteen zero bytes and a one */
extern const char quorum_topic[];         /* __cluster_metadata */

/* Which API carries a message of this kind, and its versions that are spoken. */
struct quorum_api {
    int16_t key, min, max;
};
struct quorum_api quorum_api_of(enum raft_kind request);

/* The body of a request. `cluster_id`: text. `own`: where this node is reached, told with BEGIN; NULL: it is not.
 * `incarnation`: which process of it this is, told with a FETCH.
 * 0, ERR_NO_MEMORY, ERR_TOO_LARGE. */
int quorum_request_encode(const struct raft_message *m, const char *cluster_id,
                          const struct image_endpoint *own, struct uuid incarnation, int version,
                          struct wire_writer *out) MUST_CHECK;

/* The answer to `request`; `records` of a fetch's are lent from `body`. ERR_NOT_FOUND: it says nothing to the core
 * (BEGIN, END); ERR_MALFORMED; what the other node has refused the request with. */
int quorum_answer_decode(const struct raft_message *request, int version, struct bytes body,
                         struct memory *memory, struct raft_message *out,
                         struct bytes *records) MUST_CHECK;

/* Cuts fetched records into batches: at most QUORUM_BATCHES_MAX, whole ones only; voters are kept in `sets`
 * (RAFT_VOTER_SETS_MAX of them: the batch that has no room ends the list). The count; ERR_MALFORMED: the first
 * of them is no good batch. */
struct quorum_batches {
    struct raft_batch list[QUORUM_BATCHES_MAX];
    uint32_t sizes[QUORUM_BATCHES_MAX];
    struct raft_voters sets[RAFT_VOTER_SETS_MAX];
    uint32_t count, set_count;
};
int quorum_batches_cut(struct quorum_batches *out, struct bytes records,
                       struct memory *memory) MUST_CHECK;

/* Requests that have come, for `self`. ERR_INCONSISTENT_CLUSTER_ID; ERR_INVALID_REQUEST: another log, or numbers
 * that no replica has. out->ticket is the caller's. */
int vote_request_take(const struct vote_request *in, const char *cluster_id, struct raft_id self,
                      struct raft_message *out) MUST_CHECK;
int begin_quorum_epoch_request_take(const struct begin_quorum_epoch_request *in,
                                    const char *cluster_id, struct raft_id self,
                                    struct raft_message *out) MUST_CHECK;
int end_quorum_epoch_request_take(const struct end_quorum_epoch_request *in, const char *cluster_id,
                                  struct raft_id self, struct raft_message *out) MUST_CHECK;
/* Whether a Fetch is of the metadata log: then it is the only partition named. */
bool fetch_of_quorum(const struct fetch_request *in);
int fetch_request_take(const struct fetch_request *in, const char *cluster_id, struct raft_id self,
                       struct raft_message *out) MUST_CHECK;

/* Answers, with the room that they need beside the struct. `error`: instead of an answer of the core. */
struct vote_answer {
    struct vote_response response;
    struct vote_response_topics topic;
    struct vote_response_partitions partition;
};
void vote_response_fill(struct vote_answer *out, const struct raft_message *m, int error);

/* Of BEGIN and END, with what this replica knows afterwards. */
struct begin_quorum_epoch_answer {
    struct begin_quorum_epoch_response response;
    struct begin_quorum_epoch_response_topics topic;
    struct begin_quorum_epoch_response_partitions partition;
};
void begin_quorum_epoch_response_fill(struct begin_quorum_epoch_answer *out, int32_t epoch,
                                      int32_t leader, int error);

struct end_quorum_epoch_answer {
    struct end_quorum_epoch_response response;
    struct end_quorum_epoch_response_topics topic;
    struct end_quorum_epoch_response_partitions partition;
};
void end_quorum_epoch_response_fill(struct end_quorum_epoch_answer *out, int32_t epoch,
                                    int32_t leader, int error);

struct fetch_answer {
    struct fetch_response response;
    struct fetch_response_responses topic;
    struct fetch_response_partitions partition;
};
void fetch_response_fill(struct fetch_answer *out, const struct raft_message *m, int error,
                         struct wire_records records);
