/* SPDX-License-Identifier: Apache-2.0 */

/* uuid: 16 bytes that name a topic, a directory, a cluster. All zero means "none" (Kafka). */
#pragma once

#include "base/bytes.h"

struct uuid {
    uint8_t bytes[16];
};

static inline bool uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static inline bool uuid_is_zero(struct uuid a)
{
    return uuid_equal(a, (struct uuid){{0}});
}

enum { UUID_TEXT_SIZE = 23 }; /* 22 characters of URL-safe base64, as Kafka prints it, and a NUL */

static inline void uuid_text(struct uuid id, char out[static UUID_TEXT_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int held = 0, at = 0;
    for (int i = 0; i < 16; i++) {
        bits = bits << 8 | id.bytes[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            out[at++] = digits[bits >> held & 63];
        }
    }
    out[at++] = digits[bits << (6 - held) & 63];
    assert(at == UUID_TEXT_SIZE - 1);
    out[at] = 0;
}
