/* SPDX-License-Identifier: Apache-2.0 */

/* envelope: a record as one JSON object, out (consume -J) and in (produce -J).
 *
 *     {"topic":"t","partition":0,"offset":7,"ts":1700000000000,"ts_type":"create",
 *      "key":"k","value":"v","headers":[["name","value"],...]}
 *
 * Headers are a list of pairs, because names repeat. What is not UTF-8 is base64: "key_encoding" or
 * "value_encoding" say so, and a third element "base64" of a header's pair. null is null.
 *
 * kcat's shape has "tstype", "broker", "payload" and headers as one flat list; it is read as well,
 * and printed when kcat is asked for. */
#pragma once

#include "leat/leat.h"

#include <stdio.h>

enum envelope_style { ENVELOPE_LEAT, ENVELOPE_KCAT };

/* `meta_only`: sizes instead of key and value. `pretty`: over several lines. */
void envelope_print(const leat_record *r, enum envelope_style style, int32_t broker, bool pretty,
                    bool meta_only, FILE *out);

/* A parsed envelope. The record points into it; its topic is NULL when there was none. */
struct envelope {
    leat_record record;
    void *json;
    void **decoded;
    size_t decoded_count;
    leat_header *headers;
};

/* False, with a sentence in `error`, when the text is not an envelope. */
bool envelope_parse(struct envelope *out, const char *text, size_t size, char *error,
                    size_t error_size);
void envelope_free(struct envelope *e);

/* The text of a field of a JSON object in *out, to be freed: strings as they are, other values as JSON,
 * NULL when it is not there (or null). False, with a sentence in `error`, when `text` is no object. */
bool json_field(const char *text, size_t size, const char *field, char **out, size_t *out_size,
                char *error, size_t error_size);
