/* SPDX-License-Identifier: Apache-2.0 */

#include "io/stderr_sink.h"

#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

struct caught {
    char text[16384];
    size_t size;
};

/* What one line makes of stderr. */
static struct caught catch_line(bool json, enum logger_level level, const char *line)
{
    struct caught caught = {0};
    int ends[2], before = dup(STDERR_FILENO);
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    struct logger lg = stderr_logger(LOGGER_INFO, json);
    logger_write(&lg, level, "raft", "%s", line);
    dup2(before, STDERR_FILENO);
    close(ends[1]);
    close(before);
    ssize_t got = read(ends[0], caught.text, sizeof caught.text - 1);
    cr_assert(got >= 0);
    caught.size = (size_t)got;
    close(ends[0]);
    return caught;
}

static void expect(const struct caught *caught, const char *pattern)
{
    regex_t compiled;
    cr_assert_eq(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int mismatch = regexec(&compiled, caught->text, 0, NULL, 0);
    regfree(&compiled);
    cr_assert_eq(mismatch, 0, "%s does not match %s", caught->text, pattern);
}

#define TIME "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z"

Test(io_stderr_sink, logfmt)
{
    struct caught c = catch_line(false, LOGGER_INFO, "leader of 3 partitions epoch=7");
    expect(&c, "^ts=" TIME " level=info mod=raft msg=\"leader of 3 partitions epoch=7\"\n$");
}

Test(io_stderr_sink, json_has_the_same_keys)
{
    struct caught c = catch_line(true, LOGGER_ERROR, "gone");
    expect(&c,
           "^\\{\"ts\":\"" TIME "\",\"level\":\"error\",\"mod\":\"raft\",\"msg\":\"gone\"\\}\n$");
}

Test(io_stderr_sink, lower_levels_are_silent)
{
    cr_assert_eq(catch_line(false, LOGGER_DEBUG, "quiet").size, 0);
}

Test(io_stderr_sink, what_comes_from_outside_cannot_forge_a_line)
{
    struct caught c = catch_line(true, LOGGER_INFO,
                                 "a\"b\\c\nd\te\x01"
                                 "f\x7f");
    cr_assert(strstr(c.text, "\"msg\":\"a\\\"b\\\\c\\nd\\te\\u0001f\\u007f\"}\n"), "%s", c.text);
}

Test(io_stderr_sink, bytes_that_are_not_utf8_are_replaced)
{
    struct caught c = catch_line(true, LOGGER_INFO,
                                 "\xc3\xa9 \xff \xc0\xaf \xed\xa0\x80 \xf0\x9f\x98\x80 \xe2\x82");
    cr_assert(strstr(c.text, "\"\xc3\xa9 \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd "
                             "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80 "
                             "\xef\xbf\xbd\xef\xbf\xbd\"}"),
              "%s", c.text);
}

/* Every byte of the longest line escaped is still one line. */
Test(io_stderr_sink, the_longest_line_fits)
{
    char line[2000];
    memset(line, 1, sizeof line - 1);
    line[sizeof line - 1] = 0;
    struct caught c = catch_line(true, LOGGER_WARN, line);
    cr_assert(c.size > 1023 * 6);
    cr_assert_str_eq(c.text + c.size - 3, "\"}\n");
}

static void *log_forever(void *argument)
{
    struct logger lg = stderr_logger(LOGGER_INFO, false);
    for (;;) {
        logger_write(&lg, LOGGER_INFO, "raft", "still here");
    }
    return argument;
}

/* A child whose threads log as fast as they can says its last words. */
static void end_a_busy_process(int pipe_end)
{
    static const char words[] = "leatd: fatal: the disk\n";
    dup2(pipe_end, STDERR_FILENO);
    close(pipe_end);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, log_forever, NULL);
    }
    struct logger lg = stderr_logger(LOGGER_INFO, false);
    for (int i = 0; i < 100; i++) {
        logger_write(&lg, LOGGER_INFO, "raft", "before");
    }
    stderr_last_words(words, sizeof words - 1);
    sched_yield();
    _exit(0);
}

Test(io_stderr_sink, nothing_follows_the_last_words)
{
    for (int round = 0; round < 20; round++) {
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            end_a_busy_process(ends[1]);
        }
        close(ends[1]);
        char last[64] = {0}, chunk[4096];
        ssize_t got;
        while ((got = read(ends[0], chunk, sizeof chunk)) > 0) {
            size_t taken = (size_t)got < 32 ? (size_t)got : 32;
            memmove(last, last + taken, 32 - taken);
            memcpy(last + 32 - taken, chunk + got - taken, taken);
        }
        close(ends[0]);
        cr_assert_eq(waitpid(child, NULL, 0), child);
        cr_assert(strstr(last, "leatd: fatal: the disk\n"), "the last bytes are '%s'", last);
    }
}
