/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/offsets.h"

#include "cli/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_word(const char *text, size_t size, const char *const *words)
{
    for (; *words; words++) {
        if (strlen(*words) == size && memcmp(*words, text, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool number_parse(const char *text, size_t size, int64_t *out)
{
    char copy[32], *end;
    if (size == 0 || size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = 0;
    if (copy[strspn(copy, "0123456789")]) {
        return false;
    }
    errno = 0;
    *out = strtoll(copy, &end, 10);
    return !errno && !*end;
}

/* One end of a range. */
static bool spec_parse(struct offset_spec *out, const char *text, size_t size, int64_t now_ms)
{
    static const char *const beginning[] = {"beginning", "start", "earliest", "oldest", NULL};
    static const char *const end[] = {"end", "latest", "newest", NULL};
    if (is_word(text, size, beginning)) {
        *out = (struct offset_spec){OFFSET_BEGINNING, 0};
        return true;
    }
    if (is_word(text, size, end)) {
        *out = (struct offset_spec){OFFSET_END, 0};
        return true;
    }
    if (size > 1 && text[0] == '@') {
        out->kind = OFFSET_TIME;
        return text_time_parse(text + 1, size - 1, now_ms, &out->value);
    }
    out->kind = size && *text == '-'   ? OFFSET_LAST
                : size && *text == '+' ? OFFSET_AFTER
                                       : OFFSET_NUMBER;
    size_t sign = out->kind != OFFSET_NUMBER;
    return number_parse(text + sign, size - sign, &out->value);
}

static bool offsets_fail(char *error, size_t error_size, const char *text)
{
    snprintf(error, error_size,
             "'%s' is not an offset: beginning, end, N, -N, +N, A:B, @TIME, @T1:T2, s@MS, e@MS",
             text);
    return false;
}

bool offsets_parse(struct offset_range *range, const char *text, int64_t now_ms, char *error,
                   size_t error_size)
{
    struct offset_spec spec = {0};
    size_t size = strlen(text);
    if (strcmp(text, "stored") == 0) {
        snprintf(error, error_size, "'stored' needs a consumer group");
        return false;
    }
    if (size > 2 && (text[0] == 's' || text[0] == 'e') && text[1] == '@') {
        spec.kind = OFFSET_TIME;
        if (!number_parse(text + 2, size - 2, &spec.value)) {
            return offsets_fail(error, error_size, text);
        }
        *(text[0] == 's' ? &range->start : &range->stop) = spec;
        return true;
    }
    /* Times hold colons of their own; the one between two times has a date or a number in front. */
    const char *colon = strchr(text, ':');
    if (text[0] == '@' && colon) {
        const char *hours = strchr(text, 'T');
        if (hours && hours < colon) {
            colon = strchr(colon + 1, ':');
            colon = colon ? strchr(colon + 1, ':') : NULL;
        }
    }
    size_t first = colon ? (size_t)(colon - text) : size;
    if ((first || !colon) && !spec_parse(&spec, text, first, now_ms)) {
        return offsets_fail(error, error_size, text);
    }
    if (first) {
        range->start = spec;
    } else if (range->start.kind == OFFSET_NONE) {
        range->start.kind = OFFSET_BEGINNING;
    }
    if (!colon || !colon[1]) {
        return true;
    }
    const char *second = colon + 1;
    struct offset_spec stop = {0};
    bool time = text[0] == '@' && *second != '@' && strcmp(second, "end") != 0;
    bool parsed = time ? text_time_parse(second, strlen(second), now_ms, &stop.value)
                       : spec_parse(&stop, second, strlen(second), now_ms);
    if (!parsed) {
        return offsets_fail(error, error_size, text);
    }
    stop.kind = time ? OFFSET_TIME : stop.kind;
    range->stop = stop;
    return true;
}

int64_t offsets_resolve(const struct offset_spec *spec, int64_t low, int64_t end, int64_t at_time)
{
    int64_t offset = low;
    switch (spec->kind) {
    case OFFSET_END:
        offset = end;
        break;
    case OFFSET_NUMBER:
        offset = spec->value;
        break;
    case OFFSET_LAST:
        offset = spec->value > end ? low : end - spec->value;
        break;
    case OFFSET_AFTER:
        offset = spec->value > end - low ? end : low + spec->value;
        break;
    case OFFSET_TIME:
        offset = at_time < 0 ? end : at_time;
        break;
    default:
        break;
    }
    return offset < low ? low : offset > end ? end : offset;
}
