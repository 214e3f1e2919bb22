/* SPDX-License-Identifier: Apache-2.0 */

/* A line is put together on the stack, bounded, and leaves in one write(): lines of several threads
 * do not mix, because a pipe or terminal takes so little whole, and a file opened for appending as
 * well. The gate is there for the last words alone: who closes it never opens it again. */
#include "io/stderr_sink.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

enum {
    LINE_MAX_SIZE = 8192, /* a line of 1023 bytes, each escaped in six, and the keys */
    TIME_SIZE = 32,
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

/* The length of the valid UTF-8 sequence at `text` (NUL-terminated), or 0. RFC 3629, section 4. */
static size_t utf8_length(const uint8_t *text)
{
    uint8_t a = text[0];
    if (a < 0x80) {
        return 1;
    }
    size_t length = a >= 0xc2 && a <= 0xdf   ? 2
                    : (a & 0xf0) == 0xe0     ? 3
                    : a >= 0xf0 && a <= 0xf4 ? 4
                                             : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (a == 0xe0 && text[1] < 0xa0) || (a == 0xf0 && text[1] < 0x90);
    bool outside = (a == 0xed && text[1] > 0x9f) || (a == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

static void put_text(struct writer *w, const char *text)
{
    writer_put(w, text, strlen(text));
}

/* In double quotes; JSON's escapes serve logfmt as well. */
static void put_quoted(struct writer *w, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    writer_u8(w, '"');
    while (*at) {
        size_t length = utf8_length(at);
        char escape[8];
        if (length == 0) {
            put_text(w, "\xef\xbf\xbd");
            length = 1;
        } else if (*at == '"' || *at == '\\') {
            snprintf(escape, sizeof escape, "\\%c", *at);
            put_text(w, escape);
        } else if (*at == '\n' || *at == '\t') {
            put_text(w, *at == '\n' ? "\\n" : "\\t");
        } else if (*at < 0x20 || *at == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", *at);
            put_text(w, escape);
        } else {
            writer_put(w, at, length);
        }
        at += length;
    }
    writer_u8(w, '"');
}

static void format_time(char out[static TIME_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t size = strftime(out, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + size, TIME_SIZE - size, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static void write_whole(const void *text, size_t size)
{
    const char *at = text;
    size_t sent = 0;
    while (sent < size) {
        ssize_t wrote = write(STDERR_FILENO, at + sent, size - sent);
        if (wrote < 0 && errno != EINTR) {
            return; /* nobody is left to be told */
        }
        sent += wrote > 0 ? (size_t)wrote : 0;
    }
}

static void sink(enum logger_level level, const char *module, const char *line, bool json)
{
    uint8_t space[LINE_MAX_SIZE];
    struct writer w = writer_of(space, sizeof space);
    char time_text[TIME_SIZE];
    format_time(time_text);
    put_text(&w, json ? "{\"ts\":\"" : "ts=");
    put_text(&w, time_text);
    put_text(&w, json ? "\",\"level\":\"" : " level=");
    put_text(&w, logger_level_name(level));
    put_text(&w, json ? "\",\"mod\":\"" : " mod=");
    put_text(&w, module);
    put_text(&w, json ? "\",\"msg\":" : " msg=");
    put_quoted(&w, line);
    put_text(&w, json ? "}\n" : "\n");
    assert(!w.failed);
    pthread_mutex_lock(&gate);
    write_whole(w.data, w.size);
    pthread_mutex_unlock(&gate);
}

static void sink_logfmt(void *context, enum logger_level level, const char *module,
                        const char *line)
{
    sink(level, module, line, false);
}

static void sink_json(void *context, enum logger_level level, const char *module, const char *line)
{
    sink(level, module, line, true);
}

struct logger stderr_logger(enum logger_level level, bool json)
{
    return (struct logger){.level = level, .sink = json ? sink_json : sink_logfmt};
}

void stderr_last_words(const char *text, size_t size)
{
    pthread_mutex_lock(&gate);
    write_whole(text, size);
}
