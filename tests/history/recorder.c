/* SPDX-License-Identifier: Apache-2.0 */

#include "recorder.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct recorder {
    FILE *file;
    bool records; /* the line has some */
};

struct recorder *recorder_open(const char *name, uint64_t seed)
{
    const char *folder = getenv("LEAT_HISTORY");
    char path[1024];
    if (!folder) {
        return NULL;
    }
    struct recorder *r = calloc(1, sizeof *r);
    snprintf(path, sizeof path, "%s/%s-%llu.jsonl", folder, name, (unsigned long long)seed);
    r->file = fopen(path, "w");
    if (!r->file) {
        perror(path);
        exit(1);
    }
    return r;
}

void recorder_close(struct recorder *r)
{
    if (r) {
        if (fclose(r->file)) {
            perror("a history");
            exit(1);
        }
        free(r);
    }
}

void recorder_begin(struct recorder *r, const char *process, const char *op, uint64_t invoke_ns,
                    uint64_t complete_ns, const char *result, const char *format, ...)
{
    va_list arguments;
    if (!r) {
        return;
    }
    fprintf(r->file,
            "{\"process\":\"%s\",\"op\":\"%s\",\"invoke\":%llu,\"complete\":%llu,"
            "\"result\":\"%s\",",
            process, op, (unsigned long long)invoke_ns, (unsigned long long)complete_ns, result);
    va_start(arguments, format);
    vfprintf(r->file, format, arguments);
    va_end(arguments);
    r->records = false;
}

/* Bytes that are no printable ASCII become one code point each. */
static void write_text(FILE *file, const uint8_t *bytes, size_t size)
{
    fputc('"', file);
    for (size_t i = 0; i < size; i++) {
        bool plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';
        fprintf(file, plain ? "%c" : "\\u%04x", bytes[i]);
    }
    fputc('"', file);
}

void recorder_record(struct recorder *r, int64_t offset, const void *value, size_t size)
{
    if (!r) {
        return;
    }
    fputs(r->records ? ",[" : ",\"records\":[[", r->file);
    r->records = true;
    if (offset >= 0) {
        fprintf(r->file, "%lld,", (long long)offset);
    }
    if (value) {
        write_text(r->file, value, size);
    } else {
        fputs("null", r->file);
    }
    fputs(",\"\"]", r->file);
}

void recorder_end(struct recorder *r)
{
    if (r) {
        fputs(r->records ? "]}\n" : "}\n", r->file);
    }
}

/* The CRC-32 of gzip, which Python has too. */
static uint32_t crc32_of(const char *text)
{
    uint32_t crc = UINT32_MAX;
    for (; *text; text++) {
        crc ^= (uint8_t)*text;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

size_t recorder_value(char *out, size_t size, const char *topic, int partition,
                      const char *producer, uint64_t sequence)
{
    char name[200];
    snprintf(name, sizeof name, "%s/%d/%s/%llu//", topic, partition, producer,
             (unsigned long long)sequence);
    uint32_t crc = crc32_of(name); /* of the name, the key and the padding, both empty */
    return (size_t)snprintf(out, size, "%s/%d/%s/%llu/%08x/", topic, partition, producer,
                            (unsigned long long)sequence, crc);
}
