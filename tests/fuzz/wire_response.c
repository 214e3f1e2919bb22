/* SPDX-License-Identifier: Apache-2.0 */

/* What a client, a follower and recovery read: kind, key and version in front, then
 *     kind 0   a response, with its header
 *     kind 1   a record of the metadata log: its frame says key and version again
 *     kind 2   any message, by its place in the list */
#include "fuzz/wire_check.h"

static void response(int16_t key, int16_t version, struct reader *r)
{
    const struct wire_api *api = wire_api_find(key);
    int32_t id;
    if (api && wire_api_has(api, version) &&
        wire_response_header_decode(api, version, &id, r) == 0) {
        check_message(api->response, version, r->data + r->position, reader_left(r));
    }
}

static void record(struct reader *r)
{
    int32_t key;
    int version;
    if (wire_record_frame_decode(&key, &version, r) == 0) {
        const struct wire_message *message = wire_record_find(key);
        if (message && wire_has_version(message->versions, version)) {
            check_message(message, version, r->data + r->position, reader_left(r));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    uint8_t kind = reader_u8(&r);
    int16_t key = (int16_t)reader_be16(&r);
    int16_t version = (int16_t)reader_be16(&r);
    if (r.failed) {
        return 0;
    }
    if (kind == 0) {
        response(key, version, &r);
    } else if (kind == 1) {
        record(&r);
    } else if (key >= 0 && key < wire_message_count &&
               wire_has_version(wire_messages[key]->versions, version)) {
        check_message(wire_messages[key], version, data + r.position, reader_left(&r));
    }
    return 0;
}
