/* SPDX-License-Identifier: Apache-2.0 */

/* A format as it was compiled: for printing (format.c) and for reading (format_parse.c). */
#pragma once

#include "cli/format.h"

enum modifier { PLAIN, HEX, BASE64, ISO, STRFTIME };

struct piece {
    char token; /* 0: text */
    enum modifier modifier;
    char *text; /* of literals and of %d{...} */
    size_t size;
};

struct format {
    struct piece *pieces;
    size_t count;
    bool empty_is_null;
};
