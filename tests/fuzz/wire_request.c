/* SPDX-License-Identifier: Apache-2.0 */

/* A request as a server meets it: header, then the body that key and version name. */
#include "fuzz/wire_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    struct wire_request_header header;
    if (wire_request_header_decode(&header, &r) != 0) {
        return 0;
    }
    assert(r.position <= size);
    assert(header.client_id.size <= (int64_t)size);
    const struct wire_api *api = wire_api_find(header.key);
    if (api && wire_api_has(api, header.version)) {
        check_message(api->request, header.version, data + r.position, reader_left(&r));
    }
    return 0;
}
