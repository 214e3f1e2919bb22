/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/format_private.h"

#include "cli/cli.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct piece *format_add(struct format *f)
{
    f->pieces = cli_resize(f->pieces, (f->count + 1) * sizeof *f->pieces);
    f->pieces[f->count] = (struct piece){0};
    return &f->pieces[f->count++];
}

static void format_add_text(struct format *f, const char *text, size_t size)
{
    if (size) {
        char *raw = cli_copy(text, size);
        struct piece *piece = format_add(f);
        piece->text = text_unescape(raw, &piece->size);
        free(raw);
    }
}

/* Reads a modifier in braces behind a token; the place behind it, or NULL. */
static const char *format_modifier(struct piece *piece, const char *at, char *error, size_t size)
{
    static const struct {
        const char *name, *tokens;
        enum modifier modifier;
    } known[] = {{"hex", "ksvh", HEX}, {"base64", "ksvh", BASE64}, {"iso", "Td", ISO}};
    if (*at != '{') {
        piece->modifier = piece->token == 'd' ? ISO : PLAIN;
        return at;
    }
    const char *end = strchr(at, '}');
    if (!end) {
        snprintf(error, size, "'}' is missing behind %%%c{", piece->token);
        return NULL;
    }
    size_t length = (size_t)(end - at - 1);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == length && memcmp(known[i].name, at + 1, length) == 0 &&
            strchr(known[i].tokens, piece->token)) {
            piece->modifier = known[i].modifier;
            return end + 1;
        }
    }
    if (piece->token == 'd') {
        piece->modifier = STRFTIME;
        piece->text = cli_copy(at + 1, length);
        return end + 1;
    }
    snprintf(error, size, "%%%c has no modifier {%.*s}", piece->token, (int)length, at + 1);
    return NULL;
}

struct format *format_compile(const char *text, char *error, size_t error_size)
{
    struct format *f = cli_alloc(sizeof *f);
    const char *start = text;
    while (text && *text) {
        if (*text != '%') {
            text++;
            continue;
        }
        format_add_text(f, start, (size_t)(text - start));
        char token = text[1];
        if (token == '%') {
            start = text + 1;
            text += 2;
            continue;
        }
        if (!token || !strchr("tpokKsvSRTdh", token)) {
            snprintf(error, error_size, "%%%c is not a token of a format", token ? token : ' ');
            text = NULL;
            break;
        }
        struct piece *piece = format_add(f);
        piece->token = token == 'v' ? 's' : token;
        text = start = format_modifier(piece, text + 2, error, error_size);
    }
    if (!text) {
        format_free(f);
        return NULL;
    }
    format_add_text(f, start, (size_t)(text - start));
    return f;
}

void format_free(struct format *f)
{
    for (size_t i = 0; f && i < f->count; i++) {
        free(f->pieces[i].text);
    }
    if (f) {
        free(f->pieces);
        free(f);
    }
}

static void print_bytes(const leat_bytes *bytes, enum modifier modifier, const char *null,
                        FILE *out)
{
    if (!bytes->data) {
        if (null) {
            fputs(null, out);
        }
        return;
    }
    if (modifier == PLAIN) {
        fwrite(bytes->data, 1, bytes->len, out);
        return;
    }
    char *text =
        modifier == HEX ? text_hex(bytes->data, bytes->len) : text_base64(bytes->data, bytes->len);
    fputs(text, out);
    free(text);
}

static void print_headers(const struct piece *piece, const leat_record *r, const char *null,
                          FILE *out)
{
    for (size_t i = 0; i < r->header_count; i++) {
        fprintf(out, "%s%s=", i ? "," : "", r->headers[i].name);
        print_bytes(&r->headers[i].value, piece->modifier, null ? null : "NULL", out);
    }
}

static void print_time(const struct piece *piece, const leat_record *r, FILE *out)
{
    char room[256];
    time_t seconds = (time_t)(r->timestamp_ms / 1000);
    struct tm parts;
    switch (piece->modifier) {
    case ISO:
        text_time(r->timestamp_ms, room);
        fputs(room, out);
        break;
    case STRFTIME:
        if (gmtime_r(&seconds, &parts) && strftime(room, sizeof room, piece->text, &parts)) {
            fputs(room, out);
        }
        break;
    default:
        fprintf(out, "%lld", (long long)r->timestamp_ms);
        break;
    }
}

static void print_size(const leat_bytes *bytes, FILE *out)
{
    fprintf(out, "%lld", bytes->data ? (long long)bytes->len : -1);
}

static void print_raw_size(const leat_bytes *bytes, FILE *out)
{
    uint32_t size = bytes->data ? (uint32_t)bytes->len : UINT32_MAX;
    const unsigned char raw[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                  (unsigned char)(size >> 8), (unsigned char)size};
    fwrite(raw, 1, sizeof raw, out);
}

void format_empty_is_null(struct format *f)
{
    f->empty_is_null = true;
}

/* What is printed for bytes that are null, or as good as. */
static leat_bytes format_bytes(const struct format *f, const leat_bytes *bytes)
{
    return f->empty_is_null && bytes->len == 0 ? (leat_bytes){NULL, 0} : *bytes;
}

void format_print(const struct format *f, const leat_record *r, const char *null, FILE *out)
{
    leat_bytes bytes;
    for (size_t i = 0; i < f->count; i++) {
        const struct piece *piece = &f->pieces[i];
        switch (piece->token) {
        case 0:
            fwrite(piece->text, 1, piece->size, out);
            break;
        case 't':
            fputs(r->topic, out);
            break;
        case 'p':
            fprintf(out, "%d", (int)r->partition);
            break;
        case 'o':
            fprintf(out, "%lld", (long long)r->offset);
            break;
        case 'k':
            bytes = format_bytes(f, &r->key);
            print_bytes(&bytes, piece->modifier, null, out);
            break;
        case 's':
            bytes = format_bytes(f, &r->value);
            print_bytes(&bytes, piece->modifier, null, out);
            break;
        case 'K':
            print_size(&r->key, out);
            break;
        case 'S':
            print_size(&r->value, out);
            break;
        case 'R':
            print_raw_size(&r->value, out);
            break;
        case 'h':
            print_headers(piece, r, null, out);
            break;
        default:
            print_time(piece, r, out);
            break;
        }
    }
}
