/* SPDX-License-Identifier: Apache-2.0 */

/* api: which requests exist, in which versions, and the headers in front of their bodies.
 *
 *     request header v1   key int16, version int16, correlation id int32, client id nullable string
 *     request header v2   the same and a tag section; with the flexible versions of a request. The
 *                         client id keeps its two-byte length.
 *     response header v0  correlation id int32
 *     response header v1  the same and a tag section; with flexible versions, but never for
 *                         ApiVersions, whose answer a client must read before it knows what the
 *                         server speaks.
 *
 * `advertised_min` is what an ApiVersions answer names; it is lower than versions.min where old
 * clients decide by the mere presence of a version that no one serves any more (PROTOCOL 9). */
#pragma once

#include "wire/codec.h"

struct wire_api {
    int16_t key;
    const char *name;
    struct wire_versions versions;
    int16_t advertised_min;
    int16_t flexible; /* the first flexible version */
    const struct wire_message *request, *response;
};

/* All APIs by rising key. */
extern const struct wire_api wire_apis[];
extern const int wire_api_count;

/* NULL for a key that is not served. */
const struct wire_api *wire_api_find(int16_t key);

static inline bool wire_api_has(const struct wire_api *api, int version)
{
    return wire_has_version(api->versions, version);
}

struct wire_request_header {
    int16_t key;
    int16_t version;
    int32_t correlation_id;
    struct wire_string client_id; /* borrowed */
};

/* Reads a header whatever its key and version, so that the caller can answer or close: an unknown
 * key is taken for v1, a version above the known for flexible. ERR_MALFORMED, and out is unchanged.
 */
int wire_request_header_decode(struct wire_request_header *out, struct reader *r) MUST_CHECK;

/* For clients; the key is known and has the version. ERR_TOO_LARGE for the client id, or the
 * writer's error. */
int wire_request_header_encode(const struct wire_request_header *in,
                               struct wire_writer *w) MUST_CHECK;

int wire_response_header_encode(const struct wire_api *api, int version, int32_t correlation_id,
                                struct wire_writer *w) MUST_CHECK;
int wire_response_header_decode(const struct wire_api *api, int version, int32_t *correlation_id,
                                struct reader *r) MUST_CHECK;

/* The records of the metadata log: in front of each message stands a frame of three uvarints, the
 * frame's version (1), the record's key and the message's version. */
extern const struct wire_message *const wire_record_messages[];
extern const int wire_record_message_count;

/* NULL for a key that is not known. */
const struct wire_message *wire_record_find(int32_t key);

/* ERR_MALFORMED; ERR_UNSUPPORTED_VERSION for a frame of another version. An unknown key is the
 * caller's to find. */
int wire_record_frame_decode(int32_t *key, int *version, struct reader *r) MUST_CHECK;
int wire_record_frame_encode(const struct wire_message *message, int version,
                             struct wire_writer *w) MUST_CHECK;

/* Every message that there is: for tests and fuzzing. */
extern const struct wire_message *const wire_messages[];
extern const int wire_message_count;
