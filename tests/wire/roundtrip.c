/* SPDX-License-Identifier: Apache-2.0 */

/* roundtrip: lines "NAME VERSION HEX" on standard input; of each, the message is decoded and
 * encoded again, and the line is written with what came out. conformance.py compares. */
#include "wire/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 1 << 20 };

static const struct wire_message *find(const char *name)
{
    for (int i = 0; i < wire_message_count; i++) {
        if (strcmp(wire_messages[i]->name, name) == 0) {
            return wire_messages[i];
        }
    }
    return NULL;
}

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = 0;
    unsigned byte;
    while (size < BODY_MAX && sscanf(text + 2 * size, "%2x", &byte) == 1) {
        out[size++] = (uint8_t)byte;
    }
    return size;
}

static void print_bytes(const struct wire_writer *w)
{
    size_t at = 0;
    struct iovec iovec;
    while (wire_writer_iovecs(w, at, &iovec, 1) > 0) {
        for (size_t i = 0; i < iovec.iov_len; i++) {
            printf("%02x", ((const uint8_t *)iovec.iov_base)[i]);
        }
        at += iovec.iov_len;
    }
}

static int turn(const struct wire_message *message, int version, const uint8_t *data, size_t size,
                struct wire_writer *w, struct arena *arena)
{
    void *value = arena_alloc(arena, message->body->size);
    struct reader r = reader_of(data, size);
    if (!value) {
        return ERR_NO_MEMORY;
    }
    int error = wire_decode(message, value, &r, version, arena);
    if (!error && reader_left(&r) > 0) {
        error = ERR_MALFORMED;
    }
    if (error) {
        return error;
    }
    return wire_encode(message, value, w, version);
}

int main(void)
{
    struct memory memory;
    memory_init(&memory, 256 << 20);
    char *line = NULL;
    size_t room = 0;
    uint8_t *data = memory_alloc(&memory, BODY_MAX);
    while (data && getline(&line, &room, stdin) > 0) {
        char name[128];
        int version, from = 0;
        const struct wire_message *message = NULL;
        if (sscanf(line, "%127s %d %n", name, &version, &from) == 2) {
            message = find(name);
        }
        if (!message) {
            printf("unknown: %s", line);
            continue;
        }
        struct arena arena;
        struct wire_writer w;
        arena_init(&arena, &memory, 16 << 20);
        wire_writer_init(&w, &memory, BODY_MAX);
        size_t size = unhex(line + from, data);
        int error = turn(message, version, data, size, &w, &arena);
        printf("%s %d %s", name, version, error ? error_name(error) : "");
        print_bytes(&w);
        putchar('\n');
        wire_writer_deinit(&w);
        arena_deinit(&arena);
    }
    free(line);
    memory_drop(&memory);
    return 0;
}
