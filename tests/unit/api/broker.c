/* SPDX-License-Identifier: Apache-2.0 */

#include "broker.h"

#include "config/config.h"
#include "io/io.h"
#include "node.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct broker {
    unsigned shards;
    char shards_text[12];
    char root[64], data[80];
    const char *const *settings;
    struct memory memory;
    struct config *config;
    struct io_group *group;
    struct node *node;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint16_t port; /* 0: not ready */
    bool ended;
    int status;
    char line[NODE_LINE_SIZE];
    struct io_message stop;
    struct logger logger;
    char warning[NODE_LINE_SIZE]; /* the newest; under `lock` */
};

static struct memory test_memory;
static struct arena test_arena;

struct memory *client_memory(void)
{
    if (test_memory.budget_bytes == 0) {
        memory_init(&test_memory, SIZE_MAX);
        arena_init(&test_arena, &test_memory, SIZE_MAX / 2);
    }
    return &test_memory;
}

struct arena *client_arena(void)
{
    client_memory();
    return &test_arena;
}

/* --- the broker ------------------------------------------------------------------------------- */

static void on_ready(void *context, const char *line, uint16_t port)
{
    struct broker *b = context;
    pthread_mutex_lock(&b->lock);
    b->port = port;
    snprintf(b->line, sizeof b->line, "%s", line);
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void on_ended(void *context, int status, const char *line)
{
    struct broker *b = context;
    pthread_mutex_lock(&b->lock);
    b->ended = true;
    b->status = status;
    snprintf(b->line, sizeof b->line, "%s", line);
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void *run(void *argument)
{
    struct broker *b = argument;
    io_group_run(b->group, node_start, b->node);
    return NULL;
}

static void problem(void *context, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static void sink(void *context, enum logger_level level, const char *module, const char *line)
{
    struct broker *b = context;
    if (getenv("BROKER_LOG")) {
        fprintf(stderr, "%s %s\n", module, line);
    }
    if (level == LOGGER_WARN) {
        pthread_mutex_lock(&b->lock);
        snprintf(b->warning, sizeof b->warning, "%s", line);
        pthread_mutex_unlock(&b->lock);
    }
}

bool broker_warned(struct broker *b, const char *part)
{
    pthread_mutex_lock(&b->lock);
    bool found = strstr(b->warning, part) != NULL;
    pthread_mutex_unlock(&b->lock);
    return found;
}

static void load_config(struct broker *b)
{
    struct config_setting settings[32];
    static char keys[32][64];
    size_t count = 0;
    snprintf(b->shards_text, sizeof b->shards_text, "%u", b->shards);
    settings[count++] = (struct config_setting){"--set", "shards", b->shards_text};
    settings[count++] = (struct config_setting){"--set", "data.dir", b->data};
    settings[count++] = (struct config_setting){"--set", "listeners", "127.0.0.1:0"};
    bool memory = true;
    for (const char *const *s = b->settings; s && *s; s++, count++) {
        memory = memory && strncmp(*s, "limits.memory=", 14) != 0;
        const char *equals = strchr(*s, '=');
        cr_assert(equals && count < array_size(settings));
        snprintf(keys[count], sizeof keys[count], "%.*s", (int)(equals - *s), *s);
        settings[count] = (struct config_setting){"--set", keys[count], equals + 1};
    }
    if (memory) {
        settings[count++] = (struct config_setting){"--set", "limits.memory", "256MiB"};
    }
    const struct config_input input = {.settings = settings, .setting_count = count};
    cr_assert_eq(config_load(&b->config, &b->memory, &input, problem, NULL), 0);
}

static void launch(struct broker *b)
{
    char reason[IO_REASON_SIZE];
    b->port = 0;
    b->ended = false;
    memory_init(&b->memory, SIZE_MAX);
    load_config(b);
    b->logger = (struct logger){.level = LOGGER_INFO, .sink = sink, .context = b};
    const struct io_options io = {
        .backend = IO_BACKEND_EPOLL,
        .shards = b->shards,
        .memory_bytes = (size_t)config_integer(b->config, CONFIG_LIMITS_MEMORY) / b->shards,
        .logger = &b->logger};
    cr_assert_eq(io_group_open_epoll(&b->group, &io, reason), 0, "%s", reason);
    const struct node_options node = {.config = b->config,
                                      .shards = b->shards,
                                      .logger = &b->logger,
                                      .ready = on_ready,
                                      .ended = on_ended,
                                      .context = b};
    b->node = node_new(&b->memory, &node);
    cr_assert_not_null(b->node);
    cr_assert_eq(pthread_create(&b->thread, NULL, run, b), 0);
    pthread_mutex_lock(&b->lock);
    while (b->port == 0 && !b->ended) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    cr_assert(!b->ended, "the node ended: %d %s", b->status, b->line);
}

struct broker *broker_start(unsigned shards, const char *const *settings)
{
    struct broker *b = calloc(1, sizeof *b);
    cr_assert_not_null(b);
    b->shards = shards;
    b->settings = settings;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    snprintf(b->root, sizeof b->root, "/tmp/leat-api-XXXXXX");
    cr_assert_not_null(mkdtemp(b->root));
    snprintf(b->data, sizeof b->data, "%s/data", b->root);
    launch(b);
    return b;
}

static void stop_delivered(struct io_message *m, struct io *io)
{
    node_stop(container_of(m, struct broker, stop)->node);
}

static void halt(struct broker *b)
{
    b->stop = (struct io_message){.deliver = stop_delivered};
    io_group_signal(b->group, &b->stop);
    pthread_join(b->thread, NULL);
    cr_assert(b->ended);
    cr_assert_eq(b->status, NODE_EXIT_OK, "the node stopped with %d %s", b->status, b->line);
    io_group_close(b->group);
    memory_drop(&b->memory);
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char child[512];
        struct stat s;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        if (lstat(child, &s) == 0 && S_ISDIR(s.st_mode)) {
            remove_tree(child);
        } else {
            unlink(child);
        }
    }
    if (d) {
        closedir(d);
    }
    rmdir(path);
}

void broker_stop(struct broker *b)
{
    halt(b);
    remove_tree(b->root);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    free(b);
    arena_deinit(&test_arena);
    cr_assert_eq(test_memory.used_bytes, 0, "the test's own memory");
}

void broker_restart(struct broker *b)
{
    halt(b);
    launch(b);
}

uint16_t broker_port(const struct broker *b)
{
    return b->port;
}

/* --- bytes ------------------------------------------------------------------------------------ */

uint16_t broker_port_at(const struct broker *b, unsigned index)
{
    const char *at = strstr(b->line, "ready: ");
    for (; at && index > 0; index--) {
        at = strstr(at, ", ");
        at = at ? at + 2 : NULL;
    }
    at = at ? strstr(at, "127.0.0.1:") : NULL;
    cr_assert_not_null(at, "%s", b->line);
    return (uint16_t)strtoul(strchr(at, ':') + 1, NULL, 10);
}

int broker_logger_level(const struct broker *b)
{
    return (int)__atomic_load_n(&b->logger.level, __ATOMIC_RELAXED);
}

int client_open(struct broker *b)
{
    return client_open_port(b->port);
}

int client_open_port(uint16_t port)
{
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(client, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_S};
    const int one = 1;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

void client_close(int client)
{
    close(client);
}

void client_send_bytes(int client, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(client, at, size, MSG_NOSIGNAL);
        cr_assert_gt(sent, 0, "send");
        at += sent;
        size -= (size_t)sent;
    }
}

/* false: the end of the stream. */
static bool receive_exactly(int client, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t got = recv(client, out, size, 0);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) {
            return false;
        }
        cr_assert_gt(got, 0, "no answer within %d s", CLIENT_TIMEOUT_S);
        out += got;
        size -= (size_t)got;
    }
    return true;
}

static uint8_t *receive_frame(int client, size_t *size, bool whole)
{
    uint8_t head[4];
    if (!receive_exactly(client, head, sizeof head)) {
        return NULL;
    }
    *size = get_be32(head);
    uint8_t *bytes = malloc(*size + 1);
    cr_assert_not_null(bytes);
    if (!receive_exactly(client, bytes, *size)) {
        cr_assert(!whole, "an answer was cut off");
        free(bytes);
        return NULL;
    }
    return bytes;
}

uint8_t *client_receive_bytes(int client, size_t *size)
{
    return receive_frame(client, size, true);
}

uint8_t *client_receive_part(int client, size_t *size)
{
    return receive_frame(client, size, false);
}

bool client_closed(int client)
{
    uint8_t byte;
    ssize_t got = recv(client, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

size_t client_waiting(int client, int ms)
{
    struct pollfd p = {.fd = client, .events = POLLIN};
    uint8_t bytes[256];
    if (poll(&p, 1, ms) <= 0) {
        return 0;
    }
    ssize_t got = recv(client, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

uint8_t *hex_bytes(const char *hex, size_t *size)
{
    uint8_t *out = malloc(strlen(hex) / 2 + 1);
    cr_assert_not_null(out);
    *size = 0;
    for (int digits = 0, value = 0; *hex; hex++) {
        if (*hex == ' ' || *hex == '\n') {
            cr_assert_eq(digits, 0, "whole bytes in front of: %s", hex);
            continue;
        }
        const char *all = "0123456789abcdef", *at = strchr(all, *hex);
        cr_assert_not_null(at, "not a digit: %s", hex);
        value = value << 4 | (int)(at - all);
        if (++digits == 2) {
            out[(*size)++] = (uint8_t)value;
            digits = value = 0;
        }
    }
    return out;
}

static char *spell(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size * 3 + 1);
    cr_assert_not_null(text);
    text[0] = 0;
    for (size_t i = 0; i < size; i++) {
        snprintf(text + i * 3, 4, "%02x ", bytes[i]);
    }
    return text;
}

void client_expect(int client, const char *request, const char *answer)
{
    size_t size, wanted_size, got_size = 0;
    uint8_t *bytes = hex_bytes(request, &size), *wanted = hex_bytes(answer, &wanted_size);
    uint8_t head[4];
    put_be32(head, (uint32_t)size);
    client_send_bytes(client, head, sizeof head);
    client_send_bytes(client, bytes, size);
    uint8_t *got = client_receive_bytes(client, &got_size);
    cr_assert_not_null(got, "no answer to %s", request);
    if (got_size != wanted_size || memcmp(got, wanted, got_size) != 0) {
        char *a = spell(got, got_size), *b = spell(wanted, wanted_size);
        cr_assert_fail("request %s\ngot    %s\nwanted %s", request, a, b);
    }
    free(got);
    free(wanted);
    free(bytes);
}

/* --- messages --------------------------------------------------------------------------------- */

void client_send(int client, int16_t key, int16_t version, int32_t correlation, const void *request)
{
    client_send_as(client, wire_string_of("test"), key, version, correlation, request);
}

void client_send_as(int client, struct wire_string id, int16_t key, int16_t version,
                    int32_t correlation, const void *request)
{
    const struct wire_api *api = wire_api_find(key);
    struct wire_writer w;
    const struct wire_request_header header = {key, version, correlation, id};
    wire_writer_init(&w, client_memory(), 128 << 20);
    wire_frame_begin(&w);
    cr_assert_eq(wire_request_header_encode(&header, &w), 0);
    cr_assert_eq(wire_encode(api->request, request, &w, version), 0);
    cr_assert_eq(wire_frame_end(&w), 0);
    struct iovec pieces[64];
    size_t at = 0;
    int count;
    while ((count = wire_writer_iovecs(&w, at, pieces, 64)) > 0) {
        for (int i = 0; i < count; i++) {
            client_send_bytes(client, pieces[i].iov_base, pieces[i].iov_len);
            at += pieces[i].iov_len;
        }
    }
    wire_writer_deinit(&w);
}

void *client_receive(int client, int16_t key, int16_t version, int32_t correlation)
{
    const struct wire_api *api = wire_api_find(key);
    size_t size;
    uint8_t *bytes = client_receive_bytes(client, &size);
    cr_assert_not_null(bytes, "the connection was closed instead of an answer to key %d version %d",
                       key, version);
    uint8_t *kept = arena_alloc(client_arena(), size + 1);
    memcpy(kept, bytes, size);
    free(bytes);
    struct reader r = reader_of(kept, size);
    int32_t got;
    cr_assert_eq(wire_response_header_decode(api, version, &got, &r), 0);
    cr_assert_eq(got, correlation, "key %d version %d", key, version);
    void *out = arena_alloc(client_arena(), api->response->body->size);
    cr_assert_eq(wire_decode(api->response, out, &r, version, client_arena()), 0,
                 "the answer to key %d version %d", key, version);
    cr_assert_eq(reader_left(&r), 0);
    return out;
}

void *client_ask(int client, int16_t key, int16_t version, const void *request)
{
    client_send(client, key, version, 4711, request);
    return client_receive(client, key, version, 4711);
}

/* --- helpers ---------------------------------------------------------------------------------- */

void topic_create(int client, const char *name, int32_t partitions, const char *const *configs)
{
    struct create_topics_request_configs list[16];
    static char keys[16][64];
    struct create_topics_request_topics topic;
    struct create_topics_request q;
    create_topics_request_init(&q);
    create_topics_request_topics_init(&topic);
    topic.name = wire_string_of(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    topic.configs = list;
    for (; configs && *configs; configs++) {
        const char *equals = strchr(*configs, '=');
        snprintf(keys[topic.configs_count], sizeof keys[0], "%.*s", (int)(equals - *configs),
                 *configs);
        list[topic.configs_count] = (struct create_topics_request_configs){
            wire_string_of(keys[topic.configs_count]), wire_string_of(equals + 1)};
        topic.configs_count++;
    }
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    struct create_topics_response *a = client_ask(client, 19, 7, &q);
    cr_assert_eq(a->topics_count, 1);
    cr_assert_eq(a->topics[0].error_code, 0, "create %s: %d %.*s", name, a->topics[0].error_code,
                 (int)a->topics[0].error_message.size, a->topics[0].error_message.data);
}

struct bytes batch_make(int count, int first, size_t size, const struct batch_options *options)
{
    struct batch_builder b;
    struct batch_options standard = batch_options_default();
    struct bytes out;
    batch_builder_init(&b, client_memory(), 64 << 20);
    uint8_t *value = malloc(size + 32);
    cr_assert_not_null(value);
    for (int i = 0; i < count; i++) {
        int written = snprintf((char *)value, 32, "value %d ", first + i);
        memset(value + written, 'x', size);
        const struct record_input record = {
            .timestamp = 1700000000000 + first + i,
            .key = {NULL, -1},
            .value = {value, (int32_t)((size_t)written > size ? (size_t)written : size)}};
        cr_assert_eq(batch_append(&b, &record), 0);
    }
    free(value);
    cr_assert_eq(batch_finish(&b, options ? options : &standard, &out), 0);
    uint8_t *kept = arena_alloc(client_arena(), out.size);
    memcpy(kept, out.data, out.size);
    batch_builder_deinit(&b);
    return bytes_of(kept, out.size);
}

void produce_send(int client, int16_t version, int32_t correlation, const char *topic,
                  int32_t partition, struct bytes batch, int16_t acks)
{
    struct slice slice = {batch.data, batch.size, NULL};
    struct produce_request_partition_data data;
    struct produce_request_topic_data in;
    struct produce_request q;
    produce_request_init(&q);
    produce_request_topic_data_init(&in);
    produce_request_partition_data_init(&data);
    data.index = partition;
    data.records = (struct wire_records){&slice, 1, (uint32_t)batch.size, false};
    in.name = wire_string_of(topic);
    in.partition_data = &data;
    in.partition_data_count = 1;
    q.transactional_id = wire_string_null();
    q.acks = acks;
    q.timeout_ms = 10000;
    q.topic_data = &in;
    q.topic_data_count = 1;
    client_send(client, 0, version, correlation, &q);
}

struct produce_response_partition_responses *produce(int client, const char *topic,
                                                     int32_t partition, struct bytes batch,
                                                     int16_t acks)
{
    produce_send(client, 9, 99, topic, partition, batch, acks);
    struct produce_response *a = client_receive(client, 0, 9, 99);
    cr_assert_eq(a->responses_count, 1);
    cr_assert_eq(a->responses[0].partition_responses_count, 1);
    return &a->responses[0].partition_responses[0];
}

void fetch_send(int client, int32_t correlation, const char *topic, int32_t partition,
                int64_t offset, int32_t max_wait_ms, int32_t min_bytes, int32_t max_bytes)
{
    struct fetch_request_partitions p;
    struct fetch_request_topics t;
    struct fetch_request q;
    fetch_request_init(&q);
    fetch_request_topics_init(&t);
    fetch_request_partitions_init(&p);
    p.partition = partition;
    p.fetch_offset = offset;
    p.partition_max_bytes = max_bytes;
    t.topic = wire_string_of(topic);
    t.partitions = &p;
    t.partitions_count = 1;
    q.max_wait_ms = max_wait_ms;
    q.min_bytes = min_bytes;
    q.max_bytes = max_bytes;
    q.topics = &t;
    q.topics_count = 1;
    q.rack_id = wire_string_of("");
    client_send(client, 1, 11, correlation, &q);
}

struct fetch_response_partitions *fetch(int client, const char *topic, int32_t partition,
                                        int64_t offset, int32_t max_wait_ms, int32_t min_bytes)
{
    fetch_send(client, 98, topic, partition, offset, max_wait_ms, min_bytes, 1 << 20);
    struct fetch_response *a = client_receive(client, 1, 11, 98);
    cr_assert_eq(a->error_code, 0);
    cr_assert_eq(a->responses_count, 1);
    cr_assert_eq(a->responses[0].partitions_count, 1);
    return &a->responses[0].partitions[0];
}

int64_t records_check(const struct wire_records *records, int64_t offset)
{
    cr_assert_eq(records->slice_count, records->size ? 1 : 0);
    const uint8_t *at = records->size ? records->slices[0].data : NULL;
    size_t left = records->size;
    while (left > 0) {
        struct batch_header h;
        cr_assert_eq(batch_header_read(&h, at, left), 0, "a batch is cut off");
        cr_assert_eq(batch_check(&h, at, h.size, BATCH_FROM_LOG), 0);
        cr_assert_eq(h.base_offset, offset);
        offset = batch_last_offset(&h) + 1;
        at += h.size;
        left -= h.size;
    }
    return offset;
}
