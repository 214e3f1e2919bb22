/* SPDX-License-Identifier: Apache-2.0 */

/* Showing records: as a format says, as JSON, in columns on a terminal, else value and delimiter.
 */
#include "cli/consume.h"
#include "cli/envelope.h"
#include "cli/text.h"

#include <string.h>

/* On a terminal, bytes that would steer it are shown as \xNN. */
static void print_visible(const leat_bytes *bytes)
{
    const unsigned char *p = bytes->data;
    if (!p) {
        fputs("(null)", stdout);
        return;
    }
    for (size_t i = 0; i < bytes->len; i++) {
        if (p[i] >= 32 && p[i] != 127) {
            putchar_unlocked(p[i]);
        } else if (p[i] == '\t') {
            putchar_unlocked(' ');
        } else {
            printf("\\x%02x", p[i]);
        }
    }
}

static void print_columns(const leat_record *r)
{
    char time[TEXT_TIME_SIZE];
    text_time(r->timestamp_ms, time);
    printf("%-24s %4d %9lld  ", time, (int)r->partition, (long long)r->offset);
    int width = r->key.data ? (int)r->key.len : 1;
    if (r->key.data) {
        print_visible(&r->key);
    } else {
        putchar_unlocked('-');
    }
    printf("%*s  ", width < 16 ? 16 - width : 0, "");
    print_visible(&r->value);
    putchar_unlocked('\n');
}

static void print_raw(const leat_bytes *bytes, const char *null, bool empty_is_null)
{
    if (bytes->data && !(empty_is_null && null && bytes->len == 0)) {
        fwrite_unlocked(bytes->data, 1, bytes->len, stdout);
    } else if (null) {
        fputs(null, stdout);
    }
}

void consume_print(const struct cli *cli, const struct consume_job *job, const leat_record *r,
                   int32_t broker, bool terminal)
{
    if (job->format) {
        format_print(job->format, r, job->null, stdout);
        return;
    }
    if (job->json) {
        envelope_print(r, cli->kcat ? ENVELOPE_KCAT : ENVELOPE_LEAT, broker, job->pretty,
                       job->meta_only, stdout);
        return;
    }
    if (terminal && !job->key_delimiter && !job->offsets && !cli->kcat) {
        print_columns(r);
        return;
    }
    if (job->offsets) {
        printf("%lld", (long long)r->offset);
        fwrite(job->key_delimiter ? job->key_delimiter : " ", 1,
               job->key_delimiter ? job->key_delimiter_size : 1, stdout);
    }
    if (job->key_delimiter) {
        print_raw(&r->key, job->null, cli->kcat);
        fwrite_unlocked(job->key_delimiter, 1, job->key_delimiter_size, stdout);
    }
    print_raw(&r->value, job->null, cli->kcat);
    if (job->delimiter) {
        fwrite_unlocked(job->delimiter, 1, job->delimiter_size, stdout);
    } else {
        putchar_unlocked('\n');
    }
}
