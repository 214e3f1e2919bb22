/* SPDX-License-Identifier: Apache-2.0 */

/* exchange: requests and answers over one plain socket, by common/wire alone.
 *
 * For what has to be measured without a client library in between. One request at a time with
 * exchange_call(); whoever keeps several in flight uses exchange_frame() and the descriptor.
 * Errors of the connection end the program with a message, but for exchange_open(). */
#pragma once

#include "wire/wire.h"

#include <stdint.h>

enum {
    EXCHANGE_HOST_SIZE = 256,
    EXCHANGE_ANSWER_MAX = 16 << 20,
    EXCHANGE_FRAME_MAX = 128 << 20,
};

struct exchange {
    int fd;
    int32_t correlation_id; /* of the last request */
    struct memory memory;
    struct arena arena; /* of the last answer */
    uint8_t *answer;    /* the frame that is being received: size and EXCHANGE_ANSWER_MAX bytes */
    size_t have, taken; /* bytes in `answer`; of them, of frames that were handed out */
};

/* "host:port" (the first of a list), port 9092 if missing, to its parts. False: it is none. */
bool exchange_address(const char *brokers, char host[static EXCHANGE_HOST_SIZE],
                      char port[static 16]);

/* Connects: 0, or an errno. */
int exchange_open(struct exchange *x, const char *host, const char *port);
void exchange_close(struct exchange *x);

/* Encodes a request's frame behind an empty writer. The program ends when that fails. */
void exchange_frame(struct wire_writer *w, const struct wire_api *api, int version,
                    int32_t correlation_id, const void *body);

/* The next whole frame of what was received, without its size; false: more has to be received. It
 * is lent until the next exchange_receive(). */
bool exchange_next(struct exchange *x, struct reader *out);

/* Receives once; waits for bytes unless `wait` is false. Returns whether there were any. */
bool exchange_receive(struct exchange *x, bool wait);

/* Sends a request, waits for its answer and decodes it into `out`, which borrows until the next
 * call. */
void exchange_call(struct exchange *x, int16_t key, int version, const void *request, void *out);

/* Creates a topic, or finds it there. `durability` may be NULL: the broker's default. */
void exchange_create_topic(struct exchange *x, const char *topic, int32_t partitions,
                           const char *durability);
