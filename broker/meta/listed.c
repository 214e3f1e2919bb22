/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/listed.h"

#include "config/config.h"

enum { REQUEST_BYTES_MAX = 4096 };

int listed_open(struct peer **out, struct io *io, const char *text, int32_t node_id,
                uint32_t answer_bytes_max)
{
    char host[CONFIG_HOST_SIZE];
    uint16_t port = 0;
    bool valid = config_split_address(bytes_of_string(text), host, &port);
    assert(valid && port > 0);
    const struct peer_address address = {host, port};
    const struct peer_options options = {
        .io = io,
        .name = text,
        .node_id = node_id,
        .addresses = &address,
        .address_count = 1,
        .requests_max = 1,
        .answer_bytes_max = answer_bytes_max,
        .output_bytes_max = REQUEST_BYTES_MAX,
        .connect_timeout_ns = LISTED_TIMEOUT_NS,
    };
    return peer_open(out, &options);
}

void listed_ask(struct peer *peer, struct peer_request *r, int16_t key,
                int (*encode)(struct peer_request *r, struct wire_writer *w, int version),
                void (*done)(struct peer_request *r, const struct peer_answer *answer))
{
    *r = (struct peer_request){
        .key = key,
        .version_min = 0,
        .version_max = 0,
        .fail_fast = true,
        .timeout_ns = LISTED_TIMEOUT_NS,
        .encode = encode,
        .done = done,
    };
    peer_submit(peer, r);
}
