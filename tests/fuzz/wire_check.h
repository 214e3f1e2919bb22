/* SPDX-License-Identifier: Apache-2.0 */

/* wire_check: what must hold of a decoded message, whatever its bytes were.
 *
 *   1. Straight code and the interpreter give the same result and use up the same bytes.
 *   2. What decodes encodes in the same version, decodes again and encodes to the same bytes.
 *   3. All memory comes back, and no more was out than the arena's limit and the chunks' overhead.
 */
#pragma once

#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHECK_ARENA_MAX = 16 << 20,
    CHECK_BUDGET = 128 << 20,
    CHECK_BYTES_MAX = 32 << 20,
};

static inline uint8_t *check_encode(struct memory *memory, const struct wire_message *message,
                                    const void *value, int version, bool straight, size_t *size)
{
    struct wire_writer w;
    wire_writer_init(&w, memory, CHECK_BYTES_MAX);
    int error = straight ? message->encode(value, &w, version)
                         : wire_encode_by_table(message, value, &w, version);
    assert(error == 0);
    *size = wire_writer_total(&w);
    uint8_t *data = malloc(*size ? *size : 1);
    assert(data);
    size_t at = 0;
    struct iovec iovec;
    while (wire_writer_iovecs(&w, at, &iovec, 1) > 0) {
        memcpy(data + at, iovec.iov_base, iovec.iov_len);
        at += iovec.iov_len;
    }
    assert(at == *size);
    wire_writer_deinit(&w);
    return data;
}

static inline void check_fixpoint(struct memory *memory, struct arena *arena,
                                  const struct wire_message *message, const void *value,
                                  int version, bool straight)
{
    size_t size, again_size;
    void *back = malloc(message->body->size);
    assert(back);
    uint8_t *data = check_encode(memory, message, value, version, straight, &size);
    struct reader r = reader_of(data, size);
    int error = wire_decode_by_table(message, back, &r, version, arena);
    assert(error == 0 || error == ERR_NO_MEMORY);
    if (!error) {
        assert(reader_left(&r) == 0);
        uint8_t *again = check_encode(memory, message, back, version, straight, &again_size);
        assert(again_size == size);
        assert(memcmp(again, data, size) == 0);
        free(again);
    }
    free(data);
    free(back);
}

static inline void check_message(const struct wire_message *message, int version,
                                 const uint8_t *data, size_t size)
{
    struct memory memory;
    struct arena arena;
    memory_init(&memory, CHECK_BUDGET);
    arena_init(&arena, &memory, CHECK_ARENA_MAX);
    void *value = malloc(message->body->size);
    assert(value);
    struct reader r = reader_of(data, size);
    int error = wire_decode_by_table(message, value, &r, version, &arena);
    assert(error == 0 || error == ERR_MALFORMED || error == ERR_NO_MEMORY);
    assert(memory.used_bytes <= 2 * CHECK_ARENA_MAX);
    if (!error) {
        check_fixpoint(&memory, &arena, message, value, version, false);
    }
    arena_deinit(&arena);
    if (message->decode) {
        struct reader straight = reader_of(data, size);
        int result = message->decode(value, &straight, version, &arena);
        assert(result == error);
        if (!error) {
            assert(straight.position == r.position);
            check_fixpoint(&memory, &arena, message, value, version, true);
        }
        arena_deinit(&arena);
    }
    free(value);
    assert(memory.used_bytes == 0);
}
