/* SPDX-License-Identifier: Apache-2.0 */

/* Look-ups and headers. */
#include "wire/api.h"

#include "wire/messages.h"
#include "wire/decode.h"
#include "wire/encode.h"

enum { RECORD_FRAME_VERSION = 1 };

const struct wire_api *wire_api_find(int16_t key)
{
    int low = 0, high = wire_api_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (wire_apis[middle].key == key) {
            return &wire_apis[middle];
        }
        if (wire_apis[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

int wire_request_header_decode(struct wire_request_header *out, struct reader *r)
{
    struct decoder d = {.r = r};
    struct wire_request_header header = {.key = get_int16(&d), .version = get_int16(&d)};
    header.correlation_id = get_int32(&d);
    header.client_id = get_string(&d, true);
    const struct wire_api *api = wire_api_find(header.key);
    if (api && header.version >= api->flexible) {
        get_unknown_tags(&d);
    }
    if (r->failed) {
        return ERR_MALFORMED;
    }
    *out = header;
    return 0;
}

int wire_request_header_encode(const struct wire_request_header *in, struct wire_writer *w)
{
    const struct wire_api *api = wire_api_find(in->key);
    assert(api);
    assert(wire_api_has(api, in->version));
    struct wire_mark mark = wire_writer_mark(w);
    struct encoder e = {.w = w, .version = in->version};
    put_int16(&e, in->key);
    put_int16(&e, in->version);
    put_int32(&e, in->correlation_id);
    put_string(&e, in->client_id, true);
    if (in->version >= api->flexible) {
        wire_put_uvarint(w, 0);
    }
    return encode_end(&e, mark);
}

static bool response_header_has_tags(const struct wire_api *api, int version)
{
    return version >= api->flexible && api->key != WIRE_API_VERSIONS;
}

int wire_response_header_encode(const struct wire_api *api, int version, int32_t correlation_id,
                                struct wire_writer *w)
{
    assert(api);
    wire_put_be32(w, (uint32_t)correlation_id);
    if (response_header_has_tags(api, version)) {
        wire_put_uvarint(w, 0);
    }
    return w->error;
}

int wire_response_header_decode(const struct wire_api *api, int version, int32_t *correlation_id,
                                struct reader *r)
{
    assert(api);
    struct decoder d = {.r = r};
    int32_t id = get_int32(&d);
    if (response_header_has_tags(api, version)) {
        get_unknown_tags(&d);
    }
    if (r->failed) {
        return ERR_MALFORMED;
    }
    *correlation_id = id;
    return 0;
}

const struct wire_message *wire_record_find(int32_t key)
{
    for (int i = 0; i < wire_record_message_count; i++) {
        if (wire_record_messages[i]->key == key) {
            return wire_record_messages[i];
        }
    }
    return NULL;
}

int wire_record_frame_decode(int32_t *key, int *version, struct reader *r)
{
    uint32_t frame = reader_uvarint(r);
    uint32_t record_key = reader_uvarint(r);
    uint32_t record_version = reader_uvarint(r);
    if (r->failed || record_key > INT32_MAX || record_version > INT16_MAX) {
        return ERR_MALFORMED;
    }
    if (frame != RECORD_FRAME_VERSION) {
        return ERR_UNSUPPORTED_VERSION;
    }
    *key = (int32_t)record_key;
    *version = (int)record_version;
    return 0;
}

int wire_record_frame_encode(const struct wire_message *message, int version, struct wire_writer *w)
{
    assert(message->key >= 0);
    assert(wire_has_version(message->versions, version));
    wire_put_uvarint(w, RECORD_FRAME_VERSION);
    wire_put_uvarint(w, (uint32_t)message->key);
    wire_put_uvarint(w, (uint32_t)version);
    return w->error;
}
