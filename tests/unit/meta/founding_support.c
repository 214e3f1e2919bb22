/* SPDX-License-Identifier: Apache-2.0 */
#include "founding_support.h"

#include <stdio.h>

struct uuid id_from(uint8_t byte)
{
    struct uuid id;
    memset(id.bytes, byte, sizeof id.bytes);
    return id;
}

const char *host_of(int32_t node)
{
    static char texts[4][16];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "n%d", (int)node);
    return text;
}

struct introduction introduction_of(int32_t id, uint8_t directory)
{
    struct introduction n = {
        .node_id = id,
        .directory_id = id_from(directory),
        .incarnation_id = id_from((uint8_t)(directory ^ 0x80)),
        .endpoint_count = 1,
        .leader_id = -1,
        .leader_epoch = -1,
        .version = "1.0",
    };
    snprintf(n.endpoints[0].name, sizeof n.endpoints[0].name, "plain");
    snprintf(n.endpoints[0].host, sizeof n.endpoints[0].host, "%s", host_of(id));
    n.endpoints[0].port = 9092;
    return n;
}

void lists(struct introduction *n, const char *address)
{
    assert(n->peer_count < FOUNDING_PEERS_MAX);
    snprintf(n->peers[n->peer_count++], FOUNDING_ADDRESS_SIZE, "%s", address);
}

void lists_nodes(struct introduction *n, uint32_t total)
{
    char address[FOUNDING_ADDRESS_SIZE];
    n->peer_count = 0;
    for (uint32_t i = 0; i < total; i++) {
        founding_address(address, host_of((int32_t)i + 1), 9092);
        lists(n, address);
    }
}

void add_voter(struct voters *voters, int32_t id, uint8_t directory)
{
    struct voter v = {.id = {id, id_from(directory)}, .name = "plain", .port = 9092};
    snprintf(v.host, sizeof v.host, "%s", host_of(id));
    assert(voters->count < RAFT_VOTERS_MAX);
    voters->list[voters->count++] = v;
}
