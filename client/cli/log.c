/* SPDX-License-Identifier: Apache-2.0 */

/* leat log verify DIR, leat log dump FILE|DIR: without a broker, on the machine that has the data. */
#include "cli/output.h"
#include "cli/text.h"
#include "offline/offline.h"

#include "base/errors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum log_flag { FLAG_FORCE = 1, FLAG_RECORDS };

static const struct cli_flag log_flags[] = {
    {FLAG_FORCE, 0, "force-read", NULL, "also while a broker runs on it", "verify"},
    {FLAG_RECORDS, 0, "records", NULL, "also the records of batches", "dump"},
    {0},
};

enum log_action { LOG_VERIFY = 1, LOG_DUMP };

static const struct cli_action log_actions[] = {
    {"verify", LOG_VERIFY, "DIR", "checks every byte of a data directory; status 1: damage", NULL},
    {"dump", LOG_DUMP, "FILE|DIR", "shows a segment, index, journal, checkpoint, ... as it is",
     NULL},
    {NULL, 0, NULL, NULL, NULL},
};

struct log_job {
    struct cli *cli;
    const char *path;
    bool force, records;
    json_t *findings; /* NULL: printed as they come */
    bool terminal;    /* stderr */
    double started, drawn;
};

/* --- watching --------------------------------------------------------------------------------------- */

static void log_clear(struct log_job *job)
{
    if (job->drawn > 0) {
        fputs("\r\033[K", stderr);
        job->drawn = 0;
    }
}

static void log_progress(void *context, uint64_t bytes, uint64_t total)
{
    struct log_job *job = context;
    double now = cli_now(), last = job->drawn > 0 ? job->drawn : job->started;
    if (!job->terminal || now - last < 0.2) {
        return;
    }
    job->drawn = now;
    double seconds = now - job->started;
    fprintf(stderr, "\r\033[K%.1f MB, %.1f MB/s", (double)bytes / 1e6,
            (double)bytes / 1e6 / seconds);
    if (total) {
        fprintf(stderr, ", %.0f %%", 100.0 * (double)bytes / (double)total);
    }
}

static bool log_stop(void *context)
{
    (void)context;
    return cli_interrupted || ferror(stdout);
}

static struct offline_watch progress_watch(struct log_job *job)
{
    return (struct offline_watch){log_progress, log_stop, job};
}

static int log_failed(struct log_job *job, int error, const char *why)
{
    log_clear(job);
    if (error == ERR_INTERRUPTED) {
        return cli_interrupted ? cli_interrupt_status() : EXIT_FAILED;
    }
    cli_say("%s", why);
    return error == ERR_NOT_FOUND          ? EXIT_NOT_FOUND
           : error == ERR_INVALID_ARGUMENT ? EXIT_USAGE
                                           : EXIT_FAILED;
}

/* --- verify ----------------------------------------------------------------------------------------- */

static void log_found(void *context, const struct offline_finding *f)
{
    struct log_job *job = context;
    const char *severity = f->severity == OFFLINE_DAMAGE ? "damage" : "note";
    if (job->findings) {
        json_t *one =
            json_pack("{s:s,s:s,s:I,s:s,s:s}", "severity", severity, "file", f->file, "position",
                      (json_int_t)f->position, "what", f->what, "advice", f->advice);
        if (one && f->position < 0) {
            json_object_set_new(one, "position", json_null());
        }
        json_array_append_new(job->findings, one);
        return;
    }
    if (job->cli->quiet && f->severity != OFFLINE_DAMAGE) {
        return;
    }
    log_clear(job);
    printf("%s/%s", job->path, f->file);
    if (f->position >= 0) {
        printf(" at position %" PRId64, f->position);
    }
    printf(": %s: %s\n    what to do: %s\n", severity, f->what, f->advice);
}

static void log_summary(const struct log_job *job, const struct offline_counts *c)
{
    char logs[64], segments[64], batches[64], groups[64];
    printf("%s: %s, %s with %s (%.1f MB), %s: ", job->path,
           cli_counted(c->logs, "log", "logs", logs),
           cli_counted(c->segments, "segment", "segments", segments),
           cli_counted(c->batches, "batch", "batches", batches), (double)c->bytes / 1e6,
           cli_counted(c->groups, "live journal group", "live journal groups", groups));
    if (c->damages) {
        printf("DAMAGED, %" PRIu64 " finding%s\n", c->damages, c->damages == 1 ? "" : "s");
    } else {
        printf("no damage\n");
    }
}

static json_t *log_counts(const struct offline_counts *c)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "logs", (json_int_t)c->logs, "segments",
                     (json_int_t)c->segments, "batches", (json_int_t)c->batches, "bytes",
                     (json_int_t)c->bytes, "journal_groups", (json_int_t)c->groups,
                     "journal_entries", (json_int_t)c->entries);
}

static int log_verify(struct log_job *job)
{
    char why[OFFLINE_WHY_SIZE] = "";
    struct offline_counts counts = {0};
    bool table = job->cli->output == OUTPUT_TABLE;
    job->findings = table ? NULL : json_array();
    const struct offline_verify verify = {job->path, job->force, log_found, progress_watch(job)};
    int error = offline_verify(&verify, &counts, why);
    if (error) {
        json_decref(job->findings);
        return log_failed(job, error, why);
    }
    log_clear(job);
    if (table && !job->cli->quiet) {
        log_summary(job, &counts);
    } else if (!table) {
        output_value(job->cli, json_pack("{s:s,s:b,s:I,s:I,s:o,s:o}", "directory", job->path, "ok",
                                         counts.damages == 0, "damages", (json_int_t)counts.damages,
                                         "notes", (json_int_t)counts.notes, "checked",
                                         log_counts(&counts), "findings", job->findings));
    }
    return counts.damages ? EXIT_FAILED : EXIT_DONE;
}

/* --- dump ------------------------------------------------------------------------------------------- */

static void dump_quoted(struct bytes bytes)
{
    if (!bytes.data) {
        fputs("null", stdout);
        return;
    }
    putchar_unlocked('"');
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = bytes.data[i];
        if (c == '"' || c == '\\') {
            putchar_unlocked('\\');
            putchar_unlocked(c);
        } else if (c >= 32 && c < 127) {
            putchar_unlocked(c);
        } else {
            printf("\\x%02x", c);
        }
    }
    putchar_unlocked('"');
}

static void dump_plain_field(const struct offline_field *f)
{
    char time[TEXT_TIME_SIZE];
    printf(" %s=", f->name);
    switch (f->kind) {
    case OFFLINE_NUMBER:
        printf("%" PRId64, f->number);
        break;
    case OFFLINE_TIME:
        if (f->number < 0) {
            putchar_unlocked('-');
        } else {
            text_time(f->number, time);
            fputs(time, stdout);
        }
        break;
    case OFFLINE_BOOL:
        fputs(f->number ? "true" : "false", stdout);
        break;
    case OFFLINE_TEXT:
        if (memchr(f->bytes.data, ' ', f->bytes.size)) {
            dump_quoted(f->bytes);
        } else {
            fwrite(f->bytes.data, 1, f->bytes.size, stdout);
        }
        break;
    case OFFLINE_BYTES:
        dump_quoted(f->bytes);
        break;
    }
}

static void dump_json_field(json_t *object, const struct offline_field *f)
{
    const char *text = (const char *)f->bytes.data;
    json_t *value;
    switch (f->kind) {
    case OFFLINE_BOOL:
        value = json_boolean(f->number);
        break;
    case OFFLINE_TEXT:
    case OFFLINE_BYTES:
        value = text ? json_stringn(text, f->bytes.size) : json_null();
        if (!value) { /* not UTF-8 */
            char name[64], *base64 = text_base64(text, f->bytes.size);
            snprintf(name, sizeof name, "%s_encoding", f->name);
            json_object_set_new(object, name, json_string("base64"));
            value = json_string(base64);
            free(base64);
        }
        break;
    default:
        value = json_integer(f->number);
        break;
    }
    json_object_set_new(object, f->name, value);
}

static void log_item(void *context, const char *what, const struct offline_field *fields,
                     size_t count)
{
    struct log_job *job = context;
    log_clear(job);
    if (job->cli->output == OUTPUT_TABLE) {
        fputs(what, stdout);
        for (size_t i = 0; i < count; i++) {
            dump_plain_field(&fields[i]);
        }
        putchar_unlocked('\n');
        return;
    }
    json_t *object = json_pack("{s:s}", "item", what);
    for (size_t i = 0; i < count; i++) {
        dump_json_field(object, &fields[i]);
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar_unlocked('\n');
    json_decref(object);
}

static int log_dump(struct log_job *job)
{
    char why[OFFLINE_WHY_SIZE] = "";
    if (job->cli->output == OUTPUT_YAML) {
        cli_usage("--output of log dump is table or json (one object a line)");
    }
    job->terminal = job->terminal && !isatty(STDOUT_FILENO);
    const struct offline_dump dump = {.path = job->path,
                                      .records = job->records,
                                      .item = log_item,
                                      .item_context = job,
                                      .watch = progress_watch(job)};
    int error = offline_dump(&dump, why);
    log_clear(job);
    return error ? log_failed(job, error, why) : EXIT_DONE;
}

static int log_run(struct cli *cli, struct args *a)
{
    struct log_job job = {.cli = cli, .started = cli_now()};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        if (id == FLAG_FORCE) {
            job.force = true;
        } else if (id == FLAG_RECORDS) {
            job.records = true;
        } else if (!job.path) {
            job.path = a->value;
        } else {
            cli_usage("one path: %s or %s?", job.path, a->value);
        }
    }
    job.terminal = isatty(STDERR_FILENO) && !cli->quiet;
    bool verify = args_action(a) == LOG_VERIFY;
    if (!job.path || !*job.path) {
        cli_usage(verify ? "verify which directory? leat log verify /var/lib/leat"
                         : "dump which file or directory? leat log dump FILE");
    }
    size_t size = strlen(job.path);
    while (size > 1 && job.path[size - 1] == '/') { /* as completion leaves it */
        size--;
    }
    char *path = cli_copy(job.path, size);
    job.path = path;
    cli_catch_signals();
    int status = verify ? log_verify(&job) : log_dump(&job);
    free(path);
    return status;
}

const struct cli_command command_log = {
    .name = "log",
    .words = "ACTION",
    .summary = "a data directory without its broker",
    .flags = log_flags,
    .actions = log_actions,
    .run = log_run,
};
