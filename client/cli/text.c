/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/text.h"

#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *text_base64(const void *data, size_t size)
{
    const uint8_t *in = data;
    char *out = cli_alloc((size + 2) / 3 * 4 + 1), *p = out;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= i + 1 < size ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= i + 2 < size ? in[i + 2] : 0;
        *p++ = base64_digits[bits >> 18 & 63];
        *p++ = base64_digits[bits >> 12 & 63];
        *p++ = i + 1 < size ? base64_digits[bits >> 6 & 63] : '=';
        *p++ = i + 2 < size ? base64_digits[bits & 63] : '=';
    }
    return out;
}

void *text_base64_decode(const char *text, size_t size, size_t *out_size)
{
    while (size > 0 && text[size - 1] == '=') {
        size--;
    }
    if (size % 4 == 1) {
        return NULL;
    }
    uint8_t *out = cli_alloc(size / 4 * 3 + 4);
    uint32_t bits = 0;
    int held = 0;
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        const char *digit = text[i] ? strchr(base64_digits, text[i]) : NULL;
        if (!digit) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)(digit - base64_digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[used++] = (uint8_t)(bits >> held);
        }
    }
    *out_size = used;
    return out;
}

char *text_hex(const void *data, size_t size)
{
    const uint8_t *in = data;
    char *out = cli_alloc(size * 2 + 1);
    for (size_t i = 0; i < size; i++) {
        out[i * 2] = "0123456789abcdef"[in[i] >> 4];
        out[i * 2 + 1] = "0123456789abcdef"[in[i] & 15];
    }
    return out;
}

void text_time(int64_t ms, char out[static TEXT_TIME_SIZE])
{
    int64_t seconds = ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
    time_t time = (time_t)seconds;
    struct tm parts;
    char room[24];
    if (!gmtime_r(&time, &parts) || strftime(room, sizeof room, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        snprintf(out, TEXT_TIME_SIZE, "%lld", (long long)ms);
        return;
    }
    snprintf(out, TEXT_TIME_SIZE, "%s.%03dZ", room, (int)(ms - seconds * 1000));
}

static bool time_parse_date(const char *text, int64_t *ms)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%d", &parts);
    double fraction = 0;
    if (!end) {
        return false;
    }
    if (*end == 'T' || *end == ' ') {
        end = strptime(end + 1, "%H:%M:%S", &parts);
        if (!end) {
            return false;
        }
        if (*end == '.') {
            char *behind;
            fraction = strtod(end, &behind);
            end = behind;
        }
    }
    if (*end == 'Z') {
        end++;
    }
    *ms = (int64_t)timegm(&parts) * 1000 + (int64_t)(fraction * 1000 + 0.5);
    return *end == 0;
}

bool text_time_parse(const char *text, size_t size, int64_t now_ms, int64_t *ms)
{
    char copy[64], *end;
    if (size == 0 || size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = 0;
    if (copy[0] == '-') {
        double back = strtod(copy + 1, &end);
        double unit = strcmp(end, "s") == 0   ? 1e3
                      : strcmp(end, "m") == 0 ? 6e4
                      : strcmp(end, "h") == 0 ? 3.6e6
                      : strcmp(end, "d") == 0 ? 8.64e7
                                              : 0;
        *ms = now_ms - (int64_t)(back * unit);
        return end != copy + 1 && unit > 0 && back >= 0;
    }
    if (copy[strspn(copy, "0123456789")] == 0) {
        *ms = strtoll(copy, NULL, 10);
        *ms *= *ms < 100000000000 ? 1000 : 1;
        return size <= 15;
    }
    return time_parse_date(copy, ms);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *text_unescape(const char *text, size_t *size)
{
    char *out = cli_alloc(strlen(text) + 1), *p = out;
    while (*text) {
        if (*text != '\\' || !text[1]) {
            *p++ = *text++;
            continue;
        }
        text++;
        switch (*text) {
        case 'n':
            *p++ = '\n';
            break;
        case 'r':
            *p++ = '\r';
            break;
        case 't':
            *p++ = '\t';
            break;
        case '0':
            *p++ = 0;
            break;
        case 'x':
            if (hex_value(text[1]) >= 0) {
                int value = hex_value(*++text);
                if (hex_value(text[1]) >= 0) {
                    value = value * 16 + hex_value(*++text);
                }
                *p++ = (char)value;
                break;
            }
            /* fall through */
        default:
            *p++ = *text;
            break;
        }
        text++;
    }
    *size = (size_t)(p - out);
    return out;
}
