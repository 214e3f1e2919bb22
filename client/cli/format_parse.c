/* SPDX-License-Identifier: Apache-2.0 */

/* produce -f: records are read by the format that consume -f would print them with. A token reaches to the
 * text behind it; the text behind the last one separates records. */
#include "cli/cli.h"
#include "cli/format_private.h"
#include "cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *format_delimiter(struct format *f, size_t *size, char *error, size_t error_size)
{
    static const char readable[] = "kspT"; /* %v is %s */
    for (size_t i = 0; i < f->count; i++) {
        const struct piece *piece = &f->pieces[i];
        if (piece->token && !strchr(readable, piece->token)) {
            snprintf(error, error_size,
                     "%%%c cannot be read: %%k key, %%v value, %%p partition, %%T time",
                     piece->token);
            return NULL;
        }
        if (piece->token && i + 1 < f->count && f->pieces[i + 1].token) {
            snprintf(error, error_size, "text is missing between %%%c and %%%c", piece->token,
                     f->pieces[i + 1].token);
            return NULL;
        }
        if (piece->modifier == ISO || piece->modifier == STRFTIME) {
            snprintf(error, error_size, "%%%c is read in milliseconds", piece->token);
            return NULL;
        }
    }
    if (f->count && !f->pieces[f->count - 1].token) {
        const struct piece *last = &f->pieces[f->count - 1];
        char *delimiter = cli_copy(last->text, last->size);
        *size = last->size;
        free(last->text);
        f->count--;
        return delimiter;
    }
    *size = 1;
    return cli_copy("\n", 1);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The bytes, to be freed; NULL when it is not hexadecimal. */
static void *from_hex(const char *text, size_t size, size_t *out_size)
{
    char *bytes = size % 2 ? NULL : cli_alloc(size / 2 + 1);
    for (size_t i = 0; bytes && i < size; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            free(bytes);
            return NULL;
        }
        bytes[i / 2] = (char)(high << 4 | low);
    }
    *out_size = size / 2;
    return bytes;
}

static bool take_bytes(struct parsed *out, const struct piece *piece, const char *text, size_t size)
{
    leat_bytes *bytes = piece->token == 'k' ? &out->record->key : &out->record->value;
    void **keep = &out->keep[piece->token != 'k'];
    *bytes = (leat_bytes){text, size};
    if (piece->modifier == PLAIN) {
        return true;
    }
    *keep = piece->modifier == HEX ? from_hex(text, size, &bytes->len)
                                   : text_base64_decode(text, size, &bytes->len);
    bytes->data = *keep;
    return *keep != NULL;
}

static bool take_number(const char *text, size_t size, int64_t max, int64_t *out)
{
    char digits[24], *end;
    if (size == 0 || size >= sizeof digits) {
        return false;
    }
    memcpy(digits, text, size);
    digits[size] = 0;
    errno = 0;
    *out = strtoll(digits, &end, 10);
    return !*end && !errno && *out >= 0 && *out <= max;
}

static bool take(struct parsed *out, const struct piece *piece, const char *text, size_t size)
{
    int64_t number;
    switch (piece->token) {
    case 'p':
        if (!take_number(text, size, INT32_MAX, &number)) {
            return false;
        }
        out->record->partition = (int32_t)number;
        return true;
    case 'T':
        return take_number(text, size, INT64_MAX, &out->record->timestamp_ms);
    default:
        return take_bytes(out, piece, text, size);
    }
}

bool format_parse(const struct format *f, const char *text, size_t size, struct parsed *out,
                  char *error, size_t error_size)
{
    const char *at = text, *end = text + size;
    for (size_t i = 0; i < f->count; i++) {
        const struct piece *piece = &f->pieces[i];
        if (!piece->token) {
            if ((size_t)(end - at) < piece->size || memcmp(at, piece->text, piece->size) != 0) {
                snprintf(error, error_size, "it does not begin as -f says");
                return false;
            }
            at += piece->size;
            continue;
        }
        const struct piece *behind = i + 1 < f->count ? piece + 1 : NULL;
        const char *stop =
            behind ? memmem(at, (size_t)(end - at), behind->text, behind->size) : end;
        if (!stop) {
            snprintf(error, error_size, "the text behind %%%c is missing", piece->token);
            return false;
        }
        if (!take(out, piece, at, (size_t)(stop - at))) {
            snprintf(error, error_size, "%%%c cannot be read", piece->token);
            return false;
        }
        at = stop;
    }
    if (at != end) {
        snprintf(error, error_size, "there is more than -f says");
        return false;
    }
    return true;
}
