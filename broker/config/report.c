/* SPDX-License-Identifier: Apache-2.0 */

/* Problems in the form of a compiler's, so that editors and people find the place:
 *
 *     leat.yaml:17:20: error: log.segment.bytes: 64KiB is below the minimum 1MiB
 *         log.segment.bytes: 64KiB
 *                            ^
 *     hint: ... */
#include "config/load.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_SIZE = 1024, SHOWN_MAX = 160 };

static const char *level_name(enum config_level level)
{
    switch (level) {
    case LEVEL_NOTE:
        return "note";
    case LEVEL_WARNING:
        return "warning";
    case LEVEL_ERROR:
        return "error";
    }
    return "problem";
}

/* The bytes of a line, found as YAML counts lines: by CR, LF, CR LF. */
static struct bytes source_line(struct bytes text, unsigned line)
{
    size_t at = 0;
    for (unsigned i = 1; i < line && at < text.size; at++) {
        bool pair = text.data[at] == '\r' && at + 1 < text.size && text.data[at + 1] == '\n';
        if (!pair && (text.data[at] == '\n' || text.data[at] == '\r')) {
            i++;
        }
    }
    size_t end = at;
    while (end < text.size && text.data[end] != '\n' && text.data[end] != '\r') {
        end++;
    }
    return bytes_of(text.data + at, end - at);
}

/* The line and a caret below its column. Columns count characters, not bytes. */
static void show_source(struct loader *l, struct config_place place)
{
    char shown[SHOWN_MAX + 8] = "    ", caret[SHOWN_MAX + 8] = "    ";
    struct bytes line = source_line(l->input->file, place.line);
    size_t to = 4, caret_to = 4;
    unsigned column = 1;
    for (size_t i = 0; i < line.size && i < SHOWN_MAX; i++) {
        uint8_t c = line.data[i];
        shown[to++] = (c < 0x20 && c != '\t') || c == 0x7f ? '?' : (char)c;
        if ((c & 0xc0) != 0x80) {
            if (column < place.column) {
                caret[caret_to++] = c == '\t' ? '\t' : ' ';
            }
            column++;
        }
    }
    shown[to] = 0;
    if (place.column > column || line.size == 0) {
        return; /* the place is not on what can be shown */
    }
    snprintf(caret + caret_to, sizeof caret - caret_to, "^");
    l->line(l->context, shown);
    l->line(l->context, caret);
}

void loader_report(struct loader *l, enum config_level level, struct config_place place,
                   const char *hint, const char *format, ...)
{
    if (l->problems >= PROBLEMS_MAX) {
        return;
    }
    l->problems++;
    l->errors += level == LEVEL_ERROR;
    char line[LINE_SIZE];
    int used = 0;
    if (place.source == SOURCE_FILE && place.line > 0) {
        used = snprintf(line, sizeof line, "%.300s:%u:%u: %s: ", place.name, place.line,
                        place.column, level_name(level));
    } else if (place.source == SOURCE_DEFAULT) {
        used = snprintf(line, sizeof line, "%s: ", level_name(level));
    } else {
        used = snprintf(line, sizeof line, "%.300s: %s: ", place.name, level_name(level));
    }
    assert(used > 0 && used < LINE_SIZE);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    l->line(l->context, line);
    if (place.source == SOURCE_FILE && place.line > 0) {
        show_source(l, place);
    }
    if (hint && *hint) {
        snprintf(line, sizeof line, "hint: %s", hint);
        l->line(l->context, line);
    }
    if (l->problems == PROBLEMS_MAX) {
        l->errors++;
        l->line(l->context, "error: too many problems; the rest is not shown");
    }
}
