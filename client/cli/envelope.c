/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/envelope.h"

#include "cli/cli.h"
#include "cli/text.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- out --- */

/* A JSON string, or base64 when it is not UTF-8 (*encoded). */
static json_t *bytes_json(const leat_bytes *bytes, bool *encoded)
{
    *encoded = false;
    if (!bytes->data) {
        return json_null();
    }
    json_t *text = json_stringn(bytes->data, bytes->len);
    if (!text) {
        char *base64 = text_base64(bytes->data, bytes->len);
        text = json_string(base64);
        free(base64);
        *encoded = true;
    }
    return text;
}

static void envelope_bytes(json_t *out, const char *name, const leat_bytes *bytes, bool meta_only)
{
    char field[32];
    bool encoded;
    if (meta_only) {
        snprintf(field, sizeof field, "%s_size", name);
        json_object_set_new(out, field, json_integer(bytes->data ? (json_int_t)bytes->len : -1));
        return;
    }
    json_object_set_new(out, name, bytes_json(bytes, &encoded));
    if (encoded) {
        snprintf(field, sizeof field, "%s_encoding", name);
        json_object_set_new(out, field, json_string("base64"));
    }
}

static json_t *headers_json(const leat_record *r, enum envelope_style style)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->header_count; i++) {
        bool encoded;
        json_t *name = json_string(r->headers[i].name);
        json_t *value = bytes_json(&r->headers[i].value, &encoded);
        name = name ? name : json_string("?");
        if (style == ENVELOPE_KCAT) {
            json_array_append_new(list, name);
            json_array_append_new(list, value);
            continue;
        }
        json_t *pair = json_array();
        json_array_append_new(pair, name);
        json_array_append_new(pair, value);
        if (encoded) {
            json_array_append_new(pair, json_string("base64"));
        }
        json_array_append_new(list, pair);
    }
    return list;
}

void envelope_print(const leat_record *r, enum envelope_style style, int32_t broker, bool pretty,
                    bool meta_only, FILE *out)
{
    bool kcat = style == ENVELOPE_KCAT;
    json_t *json = json_object();
    json_object_set_new(json, "topic", json_string(r->topic));
    json_object_set_new(json, "partition", json_integer(r->partition));
    json_object_set_new(json, "offset", json_integer(r->offset));
    const char *type =
        r->timestamp_type == LEAT_TIME_APPENDED ? kcat ? "logappend" : "append" : "create";
    if (kcat) {
        json_object_set_new(json, "tstype", json_string(type));
        json_object_set_new(json, "ts", json_integer(r->timestamp_ms));
        json_object_set_new(json, "broker", json_integer(broker));
        if (r->header_count) {
            json_object_set_new(json, "headers", headers_json(r, style));
        }
        envelope_bytes(json, "key", &r->key, false);
        envelope_bytes(json, "payload", &r->value, false);
    } else {
        json_object_set_new(json, "ts", json_integer(r->timestamp_ms));
        json_object_set_new(json, "ts_type", json_string(type));
        envelope_bytes(json, "key", &r->key, meta_only);
        envelope_bytes(json, "value", &r->value, meta_only);
        json_object_set_new(json, "headers", headers_json(r, style));
    }
    json_dumpf(json, out, pretty ? JSON_INDENT(2) : JSON_COMPACT);
    fputc('\n', out);
    json_decref(json);
}

/* --- in --- */

struct parse {
    struct envelope *out;
    char *error;
    size_t error_size;
};

static bool parse_failed(struct parse *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool parse_failed(struct parse *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->error, p->error_size, format, arguments);
    va_end(arguments);
    return false;
}

static void *parse_keep(struct parse *p, void *decoded)
{
    struct envelope *e = p->out;
    e->decoded = cli_resize(e->decoded, (e->decoded_count + 1) * sizeof *e->decoded);
    return e->decoded[e->decoded_count++] = decoded;
}

static bool parse_bytes(struct parse *p, const char *name, json_t *value, json_t *encoding,
                        leat_bytes *out)
{
    if (!value || json_is_null(value)) {
        *out = (leat_bytes){NULL, 0};
        return true;
    }
    if (!json_is_string(value)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        *out = (leat_bytes){parse_keep(p, text), strlen(text)};
        return true;
    }
    *out = (leat_bytes){json_string_value(value), json_string_length(value)};
    if (!encoding || json_is_null(encoding)) {
        return true;
    }
    if (!json_is_string(encoding) || strcmp(json_string_value(encoding), "base64") != 0) {
        return parse_failed(p, "the only encoding of %s is \"base64\"", name);
    }
    size_t size;
    void *decoded = text_base64_decode(out->data, out->len, &size);
    if (!decoded) {
        return parse_failed(p, "%s is not base64", name);
    }
    *out = (leat_bytes){parse_keep(p, decoded), size};
    return true;
}

static bool parse_header(struct parse *p, size_t at, const char *name, json_t *value,
                         json_t *encoding)
{
    if (!name) {
        return parse_failed(p, "a header needs a name: [[\"name\",\"value\"],...]");
    }
    p->out->headers[at].name = name;
    return parse_bytes(p, "a header", value, encoding, &p->out->headers[at].value);
}

static bool parse_headers(struct parse *p, json_t *headers)
{
    struct envelope *e = p->out;
    size_t index,
        size = json_is_array(headers) ? json_array_size(headers) : json_object_size(headers);
    bool flat = json_is_array(headers) && size && json_is_string(json_array_get(headers, 0));
    json_t *item;
    const char *name;
    if (!headers || json_is_null(headers)) {
        return true;
    }
    if (!json_is_array(headers) && !json_is_object(headers)) {
        return parse_failed(p, "headers is a list of pairs");
    }
    if (flat && size % 2) {
        return parse_failed(p, "a flat list of headers has a name without a value");
    }
    e->headers = cli_alloc((size + 1) * sizeof *e->headers);
    e->record.headers = e->headers;
    if (json_is_object(headers)) {
        json_object_foreach(headers, name, item)
        {
            if (!parse_header(p, e->record.header_count++, name, item, NULL)) {
                return false;
            }
        }
        return true;
    }
    for (index = 0; index < size; index += flat ? 2 : 1) {
        item = json_array_get(headers, index);
        name = json_string_value(flat ? item : json_array_get(item, 0));
        json_t *value = flat ? json_array_get(headers, index + 1) : json_array_get(item, 1);
        json_t *encoding = flat ? NULL : json_array_get(item, 2);
        if (!parse_header(p, e->record.header_count++, name, value, encoding)) {
            return false;
        }
    }
    return true;
}

static bool parse_integer(struct parse *p, json_t *json, const char *name, int64_t min, int64_t max,
                          int64_t *out)
{
    json_t *value = json_object_get(json, name);
    if (!value || json_is_null(value)) {
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        return parse_failed(p, "%s is not a number from %lld on", name, (long long)min);
    }
    *out = json_integer_value(value);
    return true;
}

bool envelope_parse(struct envelope *out, const char *text, size_t size, char *error,
                    size_t error_size)
{
    struct parse p = {out, error, error_size};
    json_error_t reason;
    *out = (struct envelope){.record = LEAT_RECORD_INIT};
    json_t *json = json_loadb(text, size, JSON_ALLOW_NUL, &reason);
    out->json = json;
    if (!json_is_object(json)) {
        parse_failed(&p, "not a JSON object: %s", json ? "another value" : reason.text);
        envelope_free(out);
        return false;
    }
    int64_t partition = LEAT_PARTITION_ANY, offset = -1, time = LEAT_NOW;
    json_t *value = json_object_get(json, "value");
    const char *name = value ? "value" : "payload";
    char encoding[32];
    if (!json_object_get(json, name)) {
        /* Without this check any other JSON would be published as so many empty records. */
        parse_failed(&p, "an envelope has a \"value\" (null: no value), as consume -J prints it");
        envelope_free(out);
        return false;
    }
    snprintf(encoding, sizeof encoding, "%s_encoding", name);
    bool parsed = parse_integer(&p, json, "partition", -1, INT32_MAX, &partition) &&
                  parse_integer(&p, json, "offset", -1, INT64_MAX, &offset) &&
                  parse_integer(&p, json, "ts", -1, INT64_MAX, &time) &&
                  parse_bytes(&p, "key", json_object_get(json, "key"),
                              json_object_get(json, "key_encoding"), &out->record.key) &&
                  parse_bytes(&p, name, value ? value : json_object_get(json, "payload"),
                              json_object_get(json, encoding), &out->record.value) &&
                  parse_headers(&p, json_object_get(json, "headers"));
    if (!parsed) {
        envelope_free(out);
        return false;
    }
    out->record.topic = json_string_value(json_object_get(json, "topic"));
    out->record.partition = (int32_t)partition;
    out->record.offset = offset;
    out->record.timestamp_ms = time;
    return true;
}

void envelope_free(struct envelope *e)
{
    for (size_t i = 0; i < e->decoded_count; i++) {
        free(e->decoded[i]);
    }
    free(e->decoded);
    free(e->headers);
    json_decref(e->json);
    *e = (struct envelope){0};
}

bool json_field(const char *text, size_t size, const char *field, char **out, size_t *out_size,
                char *error, size_t error_size)
{
    json_error_t reason;
    json_t *json = json_loadb(text, size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &reason);
    if (!json_is_object(json)) {
        snprintf(error, error_size, "not a JSON object: %s", json ? "another value" : reason.text);
        json_decref(json);
        return false;
    }
    json_t *value = json_object_get(json, field);
    *out = NULL;
    *out_size = 0;
    if (json_is_string(value)) {
        *out_size = json_string_length(value);
        *out = cli_copy(json_string_value(value), *out_size);
    } else if (value && !json_is_null(value)) {
        *out = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        *out_size = *out ? strlen(*out) : 0;
    }
    json_decref(json);
    return true;
}
