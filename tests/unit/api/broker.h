/* SPDX-License-Identifier: Apache-2.0 */

/* broker: a whole node on the epoll backend in a thread of its own, and clients with plain sockets
 * on the loopback. Everything under the api room is the real one. */
#pragma once

#include "wire/wire.h"

#include <criterion/criterion.h>

struct broker;

/* `settings` are "key=value", ended by NULL; NULL: none. Fails the test when it does not start. */
struct broker *broker_start(unsigned shards, const char *const *settings);

/* Stops it gracefully, checks its exit status, removes its data. */
void broker_stop(struct broker *b);

/* Stops and starts it again on the same data. */
void broker_restart(struct broker *b);

uint16_t broker_port(const struct broker *b);

/* Of the index-th listener, from the ready line. */
uint16_t broker_port_at(const struct broker *b, unsigned index);

/* What the node's logger drops lines below. */
int broker_logger_level(const struct broker *b);

/* Whether the newest warning in its log has this part. */
bool broker_warned(struct broker *b, const char *part);

/* --- clients ---------------------------------------------------------------------------------- */

enum { CLIENT_TIMEOUT_S = 20 }; /* a receive that waits longer fails the test */

int client_open(struct broker *b);
int client_open_port(uint16_t port);
void client_close(int client);

void client_send_bytes(int client, const void *bytes, size_t size);

/* The next answer's bytes without its size, to be freed; NULL: the connection was closed. */
uint8_t *client_receive_bytes(int client, size_t *size);

/* The same, and NULL as well when the connection ends in the middle. */
uint8_t *client_receive_part(int client, size_t *size);

/* Whether the peer has closed; waits for it. */
bool client_closed(int client);

/* Bytes that are there within `ms`; 0: none. */
size_t client_waiting(int client, int ms);

/* Memory for messages of the running test, and its heap. */
struct arena *client_arena(void);
struct memory *client_memory(void);

/* Sends a request of the table: `request` is the struct of its message. */
void client_send(int client, int16_t key, int16_t version, int32_t correlation,
                 const void *request);
void client_send_as(int client, struct wire_string id, int16_t key, int16_t version,
                    int32_t correlation, const void *request);

/* Receives an answer and decodes it into the struct of its message, which lives as long as the
 * test. */
void *client_receive(int client, int16_t key, int16_t version, int32_t correlation);

/* Both. */
void *client_ask(int client, int16_t key, int16_t version, const void *request);

/* "00 01 6162" as bytes, to be freed. */
uint8_t *hex_bytes(const char *hex, size_t *size);

/* Sends the frame that `request` spells (without its size), and compares the whole answer. */
void client_expect(int client, const char *request, const char *answer);

/* --- helpers ---------------------------------------------------------------------------------- */

/* Creates a topic with `partitions` partitions and "key=value" configurations. */
void topic_create(int client, const char *name, int32_t partitions, const char *const *configs);

/* A batch of `count` records "value <first + i>" of about `size` bytes each; lives as long as the
 * test. */
struct bytes batch_make(int count, int first, size_t size, const struct batch_options *options);

/* Produces one batch (v9) and returns what was answered for it. */
struct produce_response_partition_responses *produce(int client, const char *topic,
                                                     int32_t partition, struct bytes batch,
                                                     int16_t acks);

/* Encodes a produce request of one batch. */
void produce_send(int client, int16_t version, int32_t correlation, const char *topic,
                  int32_t partition, struct bytes batch, int16_t acks);

/* A fetch of one partition (v11, without a session). */
struct fetch_response_partitions *fetch(int client, const char *topic, int32_t partition,
                                        int64_t offset, int32_t max_wait_ms, int32_t min_bytes);
void fetch_send(int client, int32_t correlation, const char *topic, int32_t partition,
                int64_t offset, int32_t max_wait_ms, int32_t min_bytes, int32_t max_bytes);

/* Checks that `records` are whole batches, one after another from `offset` on; returns the next
 * offset. */
int64_t records_check(const struct wire_records *records, int64_t offset);
