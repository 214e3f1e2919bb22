/* SPDX-License-Identifier: Apache-2.0 */

/* ApiVersions: which requests are served. The list is the table of the wire room, as far as there
 * is a handler; what is advertised below what is served keeps old clients from leaving features out
 * (PROTOCOL 9, trap 1). */
#include "api/request.h"

/* [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? */
static bool software_valid(struct wire_string s)
{
    if (s.size < 1) {
        return false;
    }
    for (int32_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool inside = i > 0 && i < s.size - 1 && (c == '-' || c == '.');
        if (!plain && !inside) {
            return false;
        }
    }
    return true;
}

static int fill(struct api_request *r, struct api_versions_response *out)
{
    api_versions_response_init(out);
    out->api_keys = api_alloc(r, (size_t)wire_api_count, sizeof *out->api_keys);
    if (!out->api_keys) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < wire_api_count; i++) {
        const struct wire_api *api = &wire_apis[i];
        if (!api_handled(api->key)) {
            continue;
        }
        out->api_keys[out->api_keys_count++] = (struct api_versions_response_api_keys){
            api->key, api->advertised_min, api->versions.max};
    }
    return 0;
}

/* A client of a newer or broken version reads this as v0, with header v0, and asks again. */
void api_versions_refuse(struct api_request *r)
{
    struct api_versions_response response;
    int error = fill(r, &response);
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    response.error_code = error_to_wire(ERR_UNSUPPORTED_VERSION);
    r->header.version = 0;
    api_respond(r, &response);
}

/* KIP-1242: a client that names another cluster or node has bootstrapped to a wrong place. */
static int identity_check(struct api_request *r, const struct api_versions_request *q)
{
    const struct api *api = r->api;
    if (q->cluster_id.size < 0 && q->node_id >= 0) {
        return ERR_INVALID_REQUEST;
    }
    if (!api->image) {
        return 0; /* of no cluster yet */
    }
    if (q->cluster_id.size >= 0 &&
        (!wire_string_equal(q->cluster_id, wire_string_of(image_cluster_id(api->image))) ||
         (q->node_id >= 0 && q->node_id != api->options.node_id))) {
        return ERR_REBOOTSTRAP_REQUIRED;
    }
    return 0;
}

void handle_api_versions(struct api_request *r)
{
    struct api_versions_request *q = api_decode(r);
    if (!q) {
        return;
    }
    struct api_versions_response response;
    int error = fill(r, &response);
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    if (api_version(r) >= 3 &&
        (!software_valid(q->client_software_name) || !software_valid(q->client_software_version))) {
        response.error_code = error_to_wire(ERR_INVALID_REQUEST);
    } else if (api_version(r) >= 5) {
        response.error_code = error_to_wire(identity_check(r, q));
    }
    if (response.error_code) {
        response.api_keys_count = 0;
    }
    api_respond(r, &response);
}
