/* SPDX-License-Identifier: Apache-2.0 */

/* hex: bytes written as text, with blanks wherever they help the reader. */
#pragma once

#include "base/bytes.h"

#include <ctype.h>

static inline int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Returns how many bytes `text` names; `out` has room for them. */
static inline size_t hex_read(const char *text, uint8_t *out, size_t capacity)
{
    size_t size = 0;
    for (const char *p = text; *p; p++) {
        if (isspace((unsigned char)*p)) {
            continue;
        }
        assert(isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1]));
        assert(size < capacity);
        out[size++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
        p++;
    }
    return size;
}
