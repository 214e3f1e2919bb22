/* SPDX-License-Identifier: Apache-2.0 */

#include "load/exchange.h"

#include "load/cost.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ARENA_LIMIT = 64 << 20, CREATE_TOPICS_VERSION = 5 };

bool exchange_address(const char *brokers, char host[static EXCHANGE_HOST_SIZE],
                      char port[static 16])
{
    size_t size = strcspn(brokers, ",");
    const char *colon = memrchr(brokers, ':', size);
    size_t host_size = colon ? (size_t)(colon - brokers) : size;
    size_t port_size = colon ? size - host_size - 1 : 4;
    if (host_size == 0 || host_size >= EXCHANGE_HOST_SIZE || port_size == 0 || port_size > 5) {
        return false;
    }
    snprintf(host, EXCHANGE_HOST_SIZE, "%.*s", (int)host_size, brokers);
    snprintf(port, 16, "%.*s", (int)port_size, colon ? colon + 1 : "9092");
    return true;
}

int exchange_open(struct exchange *x, const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int on = 1;
    memset(x, 0, sizeof *x);
    x->fd = -1;
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        return EHOSTUNREACH;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0 ? errno : 0;
    freeaddrinfo(found);
    if (error) {
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    x->fd = fd;
    memory_init(&x->memory, SIZE_MAX);
    arena_init(&x->arena, &x->memory, ARENA_LIMIT);
    x->answer = memory_alloc(&x->memory, WIRE_FRAME_SIZE_BYTES + EXCHANGE_ANSWER_MAX);
    if (!x->answer) {
        load_fail("out of memory");
    }
    return 0;
}

void exchange_close(struct exchange *x)
{
    if (x->fd >= 0 && x->answer) {
        close(x->fd);
        memory_drop(&x->memory);
    }
    memset(x, 0, sizeof *x);
    x->fd = -1;
}

void exchange_frame(struct wire_writer *w, const struct wire_api *api, int version,
                    int32_t correlation_id, const void *body)
{
    const struct wire_request_header header = {
        .key = api->key,
        .version = (int16_t)version,
        .correlation_id = correlation_id,
        .client_id = wire_string_of("leat-bench"),
    };
    assert(wire_api_has(api, version));
    wire_frame_begin(w);
    int error = wire_request_header_encode(&header, w);
    error = error ? error : wire_encode(api->request, body, w, version);
    error = error ? error : wire_frame_end(w);
    if (error) {
        load_fail("a request cannot be encoded: %s", error_text(error));
    }
}

bool exchange_next(struct exchange *x, struct reader *out)
{
    size_t have = x->have - x->taken;
    const uint8_t *frame = x->answer + x->taken;
    if (have < WIRE_FRAME_SIZE_BYTES) {
        return false;
    }
    uint32_t size = get_be32(frame);
    if (size > EXCHANGE_ANSWER_MAX) {
        load_fail("an answer of %u bytes", size);
    }
    if (have - WIRE_FRAME_SIZE_BYTES < size) {
        return false;
    }
    *out = reader_of(frame + WIRE_FRAME_SIZE_BYTES, size);
    x->taken += WIRE_FRAME_SIZE_BYTES + size;
    return true;
}

bool exchange_receive(struct exchange *x, bool wait)
{
    size_t room = WIRE_FRAME_SIZE_BYTES + EXCHANGE_ANSWER_MAX;
    if (x->taken) {
        memmove(x->answer, x->answer + x->taken, x->have - x->taken);
        x->have -= x->taken;
        x->taken = 0;
    }
    assert(x->have < room);
    ssize_t got = recv(x->fd, x->answer + x->have, room - x->have, wait ? 0 : MSG_DONTWAIT);
    if (got < 0 && !wait && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        load_fail("the connection is lost: %s", got ? strerror(errno) : "closed by the broker");
    }
    x->have += (size_t)got;
    return true;
}

static void send_all(struct exchange *x, const struct wire_writer *w)
{
    struct iovec iovecs[8];
    size_t at = 0, total = wire_writer_total(w);
    while (at < total) {
        struct msghdr message = {.msg_iov = iovecs};
        message.msg_iovlen = (size_t)wire_writer_iovecs(w, at, iovecs, array_size(iovecs));
        ssize_t sent = sendmsg(x->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            load_fail("the connection is lost: %s", strerror(errno));
        }
        at += (size_t)sent;
    }
}

void exchange_call(struct exchange *x, int16_t key, int version, const void *request, void *out)
{
    const struct wire_api *api = wire_api_find(key);
    struct wire_writer w;
    struct reader answer;
    int32_t correlation_id;
    assert(api);
    wire_writer_init(&w, &x->memory, EXCHANGE_FRAME_MAX);
    exchange_frame(&w, api, version, ++x->correlation_id, request);
    send_all(x, &w);
    wire_writer_deinit(&w);
    while (!exchange_next(x, &answer)) {
        exchange_receive(x, true);
    }
    arena_reset(&x->arena);
    int error = wire_response_header_decode(api, version, &correlation_id, &answer);
    error = error ? error : wire_decode(api->response, out, &answer, version, &x->arena);
    if (error || correlation_id != x->correlation_id) {
        load_fail("the answer to %s: %s", api->name,
                  error ? error_text(error) : "not to the last request");
    }
}

void exchange_create_topic(struct exchange *x, const char *topic, int32_t partitions,
                           const char *durability)
{
    struct create_topics_request_configs config = {
        .name = wire_string_of("durability"),
        .value = wire_string_of(durability),
    };
    struct create_topics_request_topics wanted;
    struct create_topics_request q;
    struct create_topics_response answer;
    create_topics_request_init(&q);
    create_topics_request_topics_init(&wanted);
    wanted.name = wire_string_of(topic);
    wanted.num_partitions = partitions;
    wanted.replication_factor = -1;
    wanted.configs = &config;
    wanted.configs_count = durability ? 1 : 0;
    q.topics = &wanted;
    q.topics_count = 1;
    exchange_call(x, WIRE_CREATE_TOPICS, CREATE_TOPICS_VERSION, &q, &answer);
    if (answer.topics_count != 1) {
        load_fail("CreateTopics answered for %d topics", answer.topics_count);
    }
    int error = error_from_wire(answer.topics[0].error_code);
    if (error && error != ERR_TOPIC_ALREADY_EXISTS) {
        load_fail("topic %s: %s", topic, error_text(error));
    }
}
