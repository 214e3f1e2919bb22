/* SPDX-License-Identifier: Apache-2.0 */

/* fetch_session: incremental fetches (KIP-227). A client names its partitions once; later requests
 * name only what changed, and answers carry only what is new.
 *
 *     epoch -1, any id       no session; a session of this id ends
 *     epoch  0, any id       a new one, if there is room; the old one ends
 *     epoch  n, its id       the next fetch of that session; n counts 1, 2 .. 2^31-1, 1 ..
 *
 * Invariants
 *   S1  At most sessions_max sessions and partitions_max partitions in all of them. A full cache
 * gives way only where a session has been silent for two minutes; else the client is answered
 *       without a session, which is always legal.
 *   S2  A session has at most one fetch in progress; it stays in place until that has ended, even
 * when it is closed meanwhile. */
#pragma once

#include "base/map.h"
#include "io/io.h"
#include "wire/messages.h"

struct fetch_sessions; /* of one shard */

struct session_topic {
    struct wire_string name; /* own memory; size -1: by id */
    struct uuid id;
    uint32_t sequence, partitions;
};

/* What a client wants of a partition, and what it was last told. */
struct session_partition {
    struct list link; /* in session->order */
    struct session_topic *topic;
    struct fetch_request_partitions asked;
    int64_t high_watermark, log_start; /* -1: tell it again */
};

struct fetch_session {
    int32_t id;
    int32_t epoch; /* of the next request */
    bool by_id, busy, dead;
    uint32_t topic_sequence;
    uint64_t used_ns;
    struct list lru;   /* oldest first */
    struct list order; /* of struct session_partition: who is served first */
    struct map topics, partitions;
};

struct fetch_sessions *fetch_sessions_new(struct io *io, struct memory *memory,
                                          uint32_t sessions_max,
                                          uint32_t partitions_max) MUST_CHECK;
void fetch_sessions_free(struct fetch_sessions *s); /* NULL is accepted */
uint32_t fetch_sessions_count(const struct fetch_sessions *s);

/* Finds out what a request means. 0: *session is NULL (answer in full, session id 0), or busy with
 * this request until fetch_session_end(), new or brought up to date (*incremental). Otherwise an
 * error for the top of the answer: ERR_FETCH_SESSION_ID_NOT_FOUND, ERR_INVALID_FETCH_SESSION_EPOCH,
 * ERR_FETCH_SESSION_TOPIC_ID_ERROR. */
int fetch_session_begin(struct fetch_sessions *s, const struct fetch_request *q, int version,
                        struct fetch_session **session, bool *incremental) MUST_CHECK;

/* The session's entry for a partition of the request, or NULL. */
struct session_partition *fetch_session_find(struct fetch_session *session,
                                             const struct fetch_request_topics *topic,
                                             int32_t partition);

void fetch_session_end(struct fetch_sessions *s, struct fetch_session *session);
