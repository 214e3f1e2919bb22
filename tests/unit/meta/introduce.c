/* SPDX-License-Identifier: Apache-2.0 */

/* What a node says of itself, over the wire and back; answers that no node gives; any bytes. */
#include "founding_support.h"
#include "meta/introduce.h"

#include "base/prng.h"

#include <stdio.h>

#include <criterion/criterion.h>

static struct memory memory;
static struct arena arena;
static struct introduce_response response;
static char why[FOUNDING_TROUBLE_SIZE];

static struct introduction full(void)
{
    struct introduction n = introduction_of(1, 0x11);
    lists_nodes(&n, 3);
    n.cluster_id = id_from(0xc1);
    add_voter(&n.voters, 1, 0x11);
    add_voter(&n.voters, 2, 0x12);
    n.leader_id = 2;
    n.leader_epoch = 7;
    snprintf(n.endpoints[1].name, sizeof n.endpoints[1].name, "inside");
    snprintf(n.endpoints[1].host, sizeof n.endpoints[1].host, "::1");
    n.endpoints[1].port = 9093;
    n.endpoint_count = 2;
    return n;
}

static void begin(const struct introduction *n, int error, const char *sentence)
{
    memory_init(&memory, 4 << 20);
    arena_init(&arena, &memory, 1 << 20);
    cr_assert_eq(introduction_write(&response, n, error, sentence, &arena), 0);
}

static void end(void)
{
    arena_deinit(&arena);
    memory_drop(&memory);
}

Test(introduce, what_is_said_is_what_is_read)
{
    struct introduction said = full(), back;
    struct wire_writer w;
    begin(&said, 0, NULL);
    wire_writer_init(&w, &memory, 1 << 20);
    cr_assert_eq(introduce_response_encode(&response, &w, 0), 0);
    struct introduce_response decoded;
    struct reader r = reader_of(w.data, w.size);
    cr_assert_eq(introduce_response_decode(&decoded, &r, 0, &arena), 0);
    cr_assert_eq(introduction_read(&back, &decoded, why), 0);
    cr_assert_eq(memcmp(&back, &said, sizeof said), 0);
    cr_assert_eq(why[0], 0);
    wire_writer_deinit(&w);
    end();
}

Test(introduce, an_error_alone_is_an_error)
{
    struct introduction back;
    begin(NULL, ERR_BROKER_NOT_AVAILABLE, "not yet\n\x1b[31m");
    cr_assert_eq(introduction_read(&back, &response, why), ERR_BROKER_NOT_AVAILABLE);
    cr_assert_str_eq(why, "not yet??[31m", "nothing that moves a terminal");
    response.error_message = wire_string_null();
    cr_assert_eq(introduction_read(&back, &response, why), ERR_BROKER_NOT_AVAILABLE);
    cr_assert_str_eq(why, error_text(ERR_BROKER_NOT_AVAILABLE));
    end();
}

Test(introduce, an_error_with_an_introduction_is_an_introduction)
{
    struct introduction said = full(), back;
    begin(&said, ERR_DUPLICATE_BROKER_REGISTRATION, "node.id");
    cr_assert_eq(introduction_read(&back, &response, why), 0);
    cr_assert_eq(back.node_id, 1);
    end();
}

/* Each makes of a good answer one that no node gives. */
static void no_directory(void)
{
    response.directory_id = (struct uuid){0};
}
static void no_incarnation(void)
{
    response.incarnation_id = (struct uuid){0};
}
static void negative_node(void)
{
    response.node_id = -1;
}
static void negative_leader(void)
{
    response.leader_id = -2;
}
static void negative_epoch(void)
{
    response.leader_epoch = -2;
}
static void no_endpoint(void)
{
    response.endpoints_count = 0;
}
static void no_port(void)
{
    response.endpoints[0].port = 0;
}
static void no_host(void)
{
    response.endpoints[0].host = wire_string_of("");
}
static void no_name(void)
{
    response.endpoints[1].name = wire_string_of("");
}
static void null_in_name(void)
{
    response.endpoints[0].name = (struct wire_string){"a\0b", 3};
}
static void strange_host(void)
{
    response.endpoints[0].host = wire_string_of("a b\n");
}
static void peer_without_port(void)
{
    response.peers[0] = wire_string_of("n1");
}
static void peer_port_zero(void)
{
    response.peers[0] = wire_string_of("n1:0");
}
static void peer_in_capitals(void)
{
    response.peers[0] = wire_string_of("N1:9092");
}
static void peer_by_zeros(void)
{
    response.peers[0] = wire_string_of("n1:09092");
}
static void strange_peer(void)
{
    response.peers[2] = wire_string_of("n\x1b:9092");
}
static void voter_twice(void)
{
    response.voters[1].voter_id = 1;
}
static void negative_voter(void)
{
    response.voters[0].voter_id = -1;
}
static void voter_nowhere(void)
{
    response.voters[0].listeners_count = 0;
}
static void voter_bare(void)
{
    response.voters[0].voter_directory_id = (struct uuid){0};
}
static void voter_strange(void)
{
    response.voters[1].listeners[0].host = wire_string_of("%n\r");
}
static void voters_of_nothing(void)
{
    response.cluster_id = (struct uuid){0};
}

Test(introduce, what_no_node_says_is_malformed)
{
    static void (*const spoil[])(void) = {
        no_directory,  no_incarnation,    negative_node,  negative_leader,  negative_epoch,
        no_endpoint,   no_port,           no_host,        no_name,          null_in_name,
        strange_host,  peer_without_port, peer_port_zero, peer_in_capitals, peer_by_zeros,
        strange_peer,  voter_twice,       negative_voter, voter_nowhere,    voter_bare,
        voter_strange, voters_of_nothing,
    };
    for (size_t i = 0; i < array_size(spoil); i++) {
        struct introduction said = full(), back;
        begin(&said, 0, NULL);
        spoil[i]();
        cr_assert_eq(introduction_read(&back, &response, why), ERR_MALFORMED, "case %zu", i);
        cr_assert(why[0]);
        end();
    }
}

Test(introduce, more_than_fits_is_malformed)
{
    struct introduction said = full(), back;
    begin(&said, 0, NULL);
    struct wire_string many[FOUNDING_PEERS_MAX + 1];
    struct introduce_response_endpoints endpoints[IMAGE_ENDPOINTS_MAX + 1];
    char long_host[VOTER_HOST_MAX + 1] = {0};
    memset(long_host, 'h', VOTER_HOST_MAX);
    for (size_t i = 0; i < array_size(many); i++) {
        many[i] = wire_string_of("n1:9092");
        endpoints[i < IMAGE_ENDPOINTS_MAX ? i : IMAGE_ENDPOINTS_MAX] = response.endpoints[0];
    }
    struct introduce_response good = response;
    response.peers = many;
    response.peers_count = FOUNDING_PEERS_MAX + 1;
    cr_assert_eq(introduction_read(&back, &response, why), ERR_MALFORMED);
    response = good;
    response.endpoints = endpoints;
    response.endpoints_count = IMAGE_ENDPOINTS_MAX + 1;
    cr_assert_eq(introduction_read(&back, &response, why), ERR_MALFORMED);
    response = good;
    response.endpoints[0].host = wire_string_of(long_host);
    cr_assert_eq(introduction_read(&back, &response, why), ERR_MALFORMED);
    end();
}

Test(introduce, any_bytes_give_an_introduction_or_an_error)
{
    struct prng prng = prng_of(4);
    unsigned read = 0, refused = 0;
    for (int i = 0; i < 20000; i++) {
        struct introduction said = full(), back;
        struct wire_writer w;
        begin(&said, 0, NULL);
        wire_writer_init(&w, &memory, 1 << 20);
        cr_assert_eq(introduce_response_encode(&response, &w, 0), 0);
        for (uint64_t n = 1 + prng_below(&prng, 3); n > 0; n--) {
            w.data[prng_below(&prng, w.size)] = (uint8_t)prng_next(&prng);
        }
        struct reader r =
            reader_of(w.data, prng_chance(&prng, 1, 8) ? prng_below(&prng, w.size) : w.size);
        struct introduce_response decoded;
        if (introduce_response_decode(&decoded, &r, 0, &arena) == 0 &&
            introduction_read(&back, &decoded, why) == 0) {
            cr_assert(back.endpoint_count > 0 && back.peer_count <= FOUNDING_PEERS_MAX);
            cr_assert(back.voters.count <= RAFT_VOTERS_MAX && back.node_id >= 0);
            read++;
        } else {
            refused++;
        }
        wire_writer_deinit(&w);
        end();
    }
    cr_assert(read > 1000 && refused > 1000, "%u read, %u refused", read, refused);
}
