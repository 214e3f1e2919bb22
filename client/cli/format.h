/* SPDX-License-Identifier: Apache-2.0 */

/* format: what -f says, compiled once and printed per record.
 *
 *     %t topic   %p partition   %o offset     %k key      %K its size, -1 for null
 *     %s value   %v value       %S its size   %R its size, 4 bytes big-endian, -1 for null
 *     %T time in ms   %d time as text   %h headers as name=value,...   %% percent
 *     modifiers behind a token: %k{hex} %v{base64} %h{base64}, %T{iso}, %d{strftime}
 *     escapes: \n \r \t \0 \xXX \\ */
#pragma once

#include "leat/leat.h"

#include <stdio.h>

struct format;

/* NULL, with a sentence in `error`, when the text is not a format. */
struct format *format_compile(const char *text, char *error, size_t error_size);
void format_free(struct format *f);

/* `null` stands for null keys, values and header values; NULL prints nothing for keys and values
 * and "NULL" for header values. */
void format_print(const struct format *f, const leat_record *r, const char *null, FILE *out);

/* Prints empty keys and values as nulls too, as kcat does with -Z. */
void format_empty_is_null(struct format *f);

/* --- reading --- */

/* What was read of a record: it points into the text and into `keep`, which are freed by the caller. */
struct parsed {
    leat_record *record;
    void *keep[2];
};

/* Takes the text behind the last token off the format: it separates records (a line's end, if there is
 * none). To be freed; NULL, with a sentence in `error`, when the format cannot be read by. */
char *format_delimiter(struct format *f, size_t *size, char *error, size_t error_size);

/* Reads one record without its delimiter. False, with a sentence in `error`. */
bool format_parse(const struct format *f, const char *text, size_t size, struct parsed *out,
                  char *error, size_t error_size);
