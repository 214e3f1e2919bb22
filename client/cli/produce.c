/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/envelope.h"
#include "cli/produce.h"
#include "cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INPUT_BUFFER = 1 << 20,
    CLOSE_MS = 120000,
    BLOCK_MS = 500,     /* how soon Ctrl-C is seen and trouble is told while the buffer is full */
    CHECK_EVERY = 1024, /* records between looks at the clock */
};

/* Records cut out of a stream by the delimiter. */
struct input {
    int fd;
    char *buffer;
    size_t start, end, capacity;
    bool over;
    int failed;                         /* errno of a read */
    unsigned long long consumed, total; /* bytes; total 0: not known */
};

struct produce {
    struct cli *cli;
    struct produce_job *job;
    leat_producer *producer;
    struct input input;
    const char *path;                           /* of the input, NULL: stdin */
    unsigned long long line;                    /* of it */
    unsigned long long records, bytes, keyless; /* keyless: without the --key-field */
    char wrong[400]; /* "file:line: why" of what cannot be published: it is the end */
    double started, drawn;
    int problem;   /* the code of the trouble that was told */
    bool terminal; /* stderr */
};

void produce_header(struct cli *cli, struct produce_job *job, const char *text)
{
    const char *split = strchr(text, '=');
    if (!split && !cli->kcat) {
        split = strchr(text, ':');
    }
    /* kcat's -H NAME is a header without a value. */
    if ((!split && !cli->kcat) || split == text || !*text) {
        cli_usage("-H '%s': expected name=value", text);
    }
    job->headers = cli_resize(job->headers, (job->header_count + 1) * sizeof *job->headers);
    leat_header *h = &job->headers[job->header_count++];
    h->name = cli_copy(text, split ? (size_t)(split - text) : strlen(text));
    h->value = split ? (leat_bytes){split + 1, strlen(split + 1)} : (leat_bytes){NULL, 0};
}

void produce_file(struct produce_job *job, const char *path)
{
    job->files = cli_resize(job->files, (job->file_count + 1) * sizeof *job->files);
    job->files[job->file_count++] = path;
}

/* --- progress --- */

static void produce_draw(struct produce *p, bool last)
{
    char room[48];
    double now = cli_now();
    if (!p->terminal || p->cli->quiet || p->cli->kcat || (!last && now - p->drawn < 0.2)) {
        return;
    }
    p->drawn = now;
    double seconds = now - p->started > 1e-6 ? now - p->started : 1e-6;
    double megabytes = (double)p->bytes / 1e6;
    if (last) {
        fprintf(stderr, "\r\033[K%s published to %s (%.1f MB in %.2f s)\n",
                cli_records(p->records, room), p->job->topic, megabytes, seconds);
        return;
    }
    fprintf(stderr, "\r\033[K%s, %.1f MB, %.1f MB/s", cli_records(p->records, room), megabytes,
            megabytes / seconds);
    if (p->input.total) {
        fprintf(stderr, ", %.0f %%", 100.0 * (double)p->input.consumed / (double)p->input.total);
    }
}

static _Noreturn void produce_stop(struct produce *p, const leat_error *e)
{
    leat_error why;
    fflush(stdout);
    if (p->terminal && p->drawn > 0) {
        fputc('\n', stderr);
    }
    if (p->wrong[0]) {
        cli_say("%s", p->wrong);
    }
    cli_say("%s", e->message);
    if (cli_lost(p->cli, e->code, &why)) {
        cli_say("%s", why.message);
    }
    exit(cli_exit_of(e->code));
}

/* What the input holds here cannot be published. Nothing from here on is; what stands before it is
 * waited for, so that people know where to go on. */
static void produce_wrong(struct produce *p, const char *why)
{
    const struct produce_job *job = p->job;
    bool lines = job->delimiter_size == 1 && *job->delimiter == '\n';
    snprintf(p->wrong, sizeof p->wrong, "%.80s:%s%llu: %.231s", p->path ? p->path : "stdin",
             lines ? "" : " record ", p->line, why);
}

/* What failed on its way, as soon as it is known. */
static void produce_check(struct produce *p)
{
    leat_report report;
    if (leat_reports(p->producer, &report, 1, 0) == 1 && report.code) {
        leat_error e = {.code = report.code};
        snprintf(e.message, sizeof e.message, "a record was not delivered: %.190s", report.message);
        produce_stop(p, &e);
    }
}

/* Tells of a broker that cannot be reached, once. */
static void produce_tell(struct produce *p)
{
    leat_error e;
    int code = leat_problem(p->cli->client, &e);
    if (code && code != p->problem && !p->cli->quiet) {
        fputs(p->terminal && p->drawn > 0 ? "\r\033[K" : "", stderr);
        cli_say("%s (trying again)", e.message);
    }
    p->problem = code;
}

/* --- one record --- */

static void produce_send(struct produce *p, const leat_record *r)
{
    leat_error e;
    int code;
    while ((code = leat_produce(p->producer, r, NULL, &e)) == LEAT_ERR_TIMEOUT &&
           !cli_interrupted) {
        produce_tell(p); /* and waits on: the batches' own timeouts decide */
        produce_check(p);
    }
    if (cli_interrupted) {
        return;
    }
    if (code == LEAT_ERR_MESSAGE_TOO_LARGE) {
        produce_wrong(p, e.message);
        return;
    }
    if (code) {
        produce_stop(p, &e);
    }
    if (p->job->tee) {
        fwrite(r->value.data, 1, r->value.len, stdout);
        fwrite(p->job->delimiter, 1, p->cli->kcat ? 0 : p->job->delimiter_size, stdout);
    }
    p->records++;
    p->bytes += r->key.len + r->value.len;
    if (p->records % CHECK_EVERY == 0) {
        produce_check(p);
        produce_draw(p, false);
    }
}

/* The bytes that `bytes` spells, in *keep, which is to be freed. */
static bool produce_decode(struct produce *p, leat_bytes *bytes, const char *wrong, void **keep)
{
    size_t size;
    *keep = bytes->data ? text_base64_decode(bytes->data, bytes->len, &size) : NULL;
    if (bytes->data && !*keep) {
        produce_wrong(p, wrong);
        return false;
    }
    bytes->len = bytes->data ? size : 0;
    bytes->data = *keep;
    return true;
}

static void produce_envelope(struct produce *p, const char *text, size_t size)
{
    struct envelope envelope;
    char error[160];
    if (!envelope_parse(&envelope, text, size, error, sizeof error)) {
        produce_wrong(p, error);
        return;
    }
    leat_record *r = &envelope.record;
    r->topic = p->job->topic;
    r->partition = p->job->keep_partition ? r->partition : p->job->partition;
    produce_send(p, r);
    envelope_free(&envelope);
}

/* A record in the form of -f. */
static void produce_formatted(struct produce *p, const char *text, size_t size)
{
    const struct produce_job *job = p->job;
    leat_record r = LEAT_RECORD_INIT;
    struct parsed parsed = {.record = &r};
    char error[160];
    r.topic = job->topic;
    r.partition = job->partition;
    r.headers = job->headers;
    r.header_count = job->header_count;
    if (job->key) {
        r.key = (leat_bytes){job->key, strlen(job->key)};
    }
    if (format_parse(job->format, text, size, &parsed, error, sizeof error)) {
        if (job->null) {
            r.key.data = r.key.len ? r.key.data : NULL;
            r.value.data = r.value.len ? r.value.data : NULL;
        }
        produce_send(p, &r);
    } else {
        produce_wrong(p, error);
    }
    free(parsed.keep[0]);
    free(parsed.keep[1]);
}

/* The key of --key-field in *field, which is to be freed. */
static bool produce_key_field(struct produce *p, leat_record *r, char **field)
{
    char error[160];
    leat_bytes *key = &r->key;
    if (!json_field(r->value.data, r->value.len, p->job->key_field, field, &key->len, error,
                    sizeof error)) {
        produce_wrong(p, error);
        return false;
    }
    key->data = *field;
    p->keyless += !*field;
    return true;
}

/* Key and value as the flags say that they stand in the text. */
static bool produce_split(struct produce *p, leat_record *r, void *keep[static 3])
{
    const struct produce_job *job = p->job;
    const char *text = r->value.data, *split = NULL;
    if (job->key_delimiter) {
        split = memmem(text, r->value.len, job->key_delimiter, job->key_delimiter_size);
    }
    if (split) {
        r->key = (leat_bytes){text, (size_t)(split - text)};
        r->value.data = split + job->key_delimiter_size;
        r->value.len -= r->key.len + job->key_delimiter_size;
    }
    if (job->key_field && !produce_key_field(p, r, (char **)&keep[0])) {
        return false;
    }
    if (job->null && r->key.len == 0 && split) {
        r->key.data = NULL;
    }
    if (job->null && r->value.len == 0) {
        r->value.data = NULL;
    }
    return (!job->key_base64 || produce_decode(p, &r->key, "the key is not base64", &keep[1])) &&
           (!job->value_base64 ||
            produce_decode(p, &r->value, "the value is not base64", &keep[2]));
}

static void produce_line(struct produce *p, const char *text, size_t size)
{
    const struct produce_job *job = p->job;
    void *keep[3] = {0};
    leat_record r = LEAT_RECORD_INIT;
    if (job->json) {
        produce_envelope(p, text, size);
        return;
    }
    if (job->format) {
        produce_formatted(p, text, size);
        return;
    }
    r.topic = job->topic;
    r.partition = job->partition;
    r.headers = job->headers;
    r.header_count = job->header_count;
    r.value = (leat_bytes){text, size};
    if (job->key) {
        r.key = (leat_bytes){job->key, strlen(job->key)};
    }
    if (produce_split(p, &r, keep)) {
        produce_send(p, &r);
    }
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        free(keep[i]);
    }
}

/* --- the input --- */

static void input_open(struct input *in, const char *path)
{
    struct stat status;
    *in = (struct input){.fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO};
    if (in->fd < 0) {
        cli_usage("%s: %s", path, strerror(errno));
    }
    if (fstat(in->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        in->total = (unsigned long long)status.st_size;
    }
    in->capacity = INPUT_BUFFER;
    in->buffer = cli_alloc(in->capacity);
}

static void input_close(struct input *in)
{
    free(in->buffer);
    if (in->fd > 0) {
        close(in->fd);
    }
}

/* Reads more behind what is there; false at the end. */
static bool input_read(struct input *in)
{
    if (in->start > 0) {
        memmove(in->buffer, in->buffer + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    if (in->end == in->capacity) {
        in->capacity *= 2;
        in->buffer = cli_resize(in->buffer, in->capacity);
    }
    ssize_t got = read(in->fd, in->buffer + in->end, in->capacity - in->end);
    if (got < 0 && errno == EINTR) {
        return true;
    }
    in->failed = got < 0 ? errno : 0;
    in->end += got > 0 ? (size_t)got : 0;
    in->over = got == 0;
    return got > 0;
}

/* The next record without its delimiter; false at the end. What stands behind the last delimiter is
 * a record too, unless it is empty. */
static bool input_next(struct input *in, const struct produce_job *job, const char **text,
                       size_t *size)
{
    size_t searched = 0;
    for (;;) {
        char *start = in->buffer + in->start;
        size_t have = in->end - in->start;
        char *found = have > searched ? memmem(start + searched, have - searched, job->delimiter,
                                               job->delimiter_size)
                                      : NULL;
        if (found || (in->over && have)) {
            *text = start;
            *size = found ? (size_t)(found - start) : have;
            size_t used = found ? *size + job->delimiter_size : have;
            in->start += used;
            in->consumed += used;
            return true;
        }
        if (in->over || in->failed || cli_interrupted) {
            return false;
        }
        searched = have >= job->delimiter_size ? have - job->delimiter_size + 1 : 0;
        (void)input_read(in);
    }
}

static void produce_begin(struct produce *p, const char *path)
{
    input_open(&p->input, path);
    p->path = path;
    p->line = 0;
}

static void produce_close(struct produce *p)
{
    if (p->input.failed) {
        snprintf(p->wrong, sizeof p->wrong, "%.200s: cannot be read: %s",
                 p->path ? p->path : "stdin", strerror(p->input.failed));
    }
    input_close(&p->input);
}

static void produce_lines(struct produce *p, const char *path)
{
    const char *text;
    size_t size;
    produce_begin(p, path);
    while (!cli_interrupted && !p->wrong[0] &&
           !(p->job->limit && p->records >= (unsigned long long)p->job->limit) &&
           input_next(&p->input, p->job, &text, &size)) {
        p->line++;
        if (size || !p->cli->kcat) { /* kcat skips empty lines */
            produce_line(p, text, size);
        }
    }
    produce_close(p);
}

static void produce_whole(struct produce *p, const char *path)
{
    produce_begin(p, path);
    p->line = 1;
    while (!cli_interrupted && input_read(&p->input)) {
    }
    if (p->input.over) {
        produce_line(p, p->input.buffer, p->input.end);
    }
    produce_close(p);
}

/* --- from beginning to end --- */

static void produce_open(struct produce *p)
{
    leat_error e;
    cli_connect(p->cli);
    /* An unreachable broker and an impossible name are told at once, not with the first record. A topic
     * that is not there may be made by it. */
    leat_meta *meta = cli_metadata(p->cli, p->job->topic, true);
    if (meta->topic_count != 1 || meta->topics[0]->code == LEAT_ERR_INVALID_TOPIC) {
        const char *topic = p->job->topic;
        cli_say("topic %s: %s%s", *topic ? topic : "''", leat_error_text(LEAT_ERR_INVALID_TOPIC),
                strchr(topic, '/') ? "; a file is read with -l FILE" : "");
        exit(EXIT_FAILED);
    }
    leat_meta_free(meta);
    p->cli->producer.max_block_ms = BLOCK_MS;
    if (leat_producer_open(&p->producer, p->cli->client, &p->cli->producer, &e)) {
        cli_fail(p->cli, &e);
    }
}

/* The library knows the last slice of the wait; people want to know all of it. */
static _Noreturn void produce_unsettled(struct produce *p, int left, double waited)
{
    char room[48];
    leat_error e = {.code = LEAT_ERR_TIMEOUT}, problem;
    int code = leat_problem(p->cli->client, &problem);
    snprintf(e.message, sizeof e.message,
             "%s not acknowledged %.1f s after the end of the input, it may be still: %.120s",
             cli_records((unsigned)left, room), waited,
             code ? problem.message : "the leader of the partition has not answered");
    produce_stop(p, &e);
}

/* Waits for the acknowledgements, in slices, so that Ctrl-C is seen. */
static int produce_finish(struct produce *p)
{
    enum { SLICE_MS = 100, ASKED_MS = 2000 };
    leat_error e;
    double begun = cli_now(), until = begun + CLOSE_MS / 1000.0;
    bool asked = cli_interrupted;
    int left = leat_flush(p->producer, SLICE_MS, &e);
    while (left > 0 && cli_now() < until && (asked || !cli_interrupted)) {
        produce_draw(p, false);
        produce_tell(p);
        left = leat_flush(p->producer, asked ? ASKED_MS : SLICE_MS, &e);
        if (asked) {
            break;
        }
    }
    if (left > 0) {
        produce_unsettled(p, left, cli_now() - begun);
    }
    if (left) {
        produce_stop(p, &e);
    }
    leat_producer_close(p->producer, 0, &e);
    return EXIT_DONE;
}

/* Waits for what was sent, and says how much it was. */
static int produce_end(struct produce *p)
{
    char room[48];
    bool interrupted = cli_interrupted;
    (void)produce_finish(p);
    if (p->wrong[0]) {
        fputs(p->terminal && p->drawn > 0 ? "\r\033[K" : "", stderr);
        cli_say("%s", p->wrong);
        cli_say("%s published before it, nothing from there on", cli_records(p->records, room));
        return EXIT_FAILED;
    }
    if (interrupted) {
        cli_say("%s published", cli_records(p->records, room));
        return cli_interrupt_status();
    }
    produce_draw(p, true);
    return EXIT_DONE;
}

int produce_run(struct cli *cli, struct produce_job *job)
{
    struct produce p = {.cli = cli, .job = job, .terminal = isatty(STDERR_FILENO)};
    char room[48];
    if (!job->delimiter) {
        job->delimiter = text_unescape("\\n", &job->delimiter_size);
    }
    if (job->delimiter_size == 0) {
        cli_usage("-D: the delimiter is empty");
    }
    for (size_t i = 0; i < job->file_count; i++) {
        if (access(job->files[i], R_OK)) { /* before anything is published */
            cli_usage("%s: %s", job->files[i], strerror(errno));
        }
    }
    cli_catch_signals();
    produce_open(&p);
    p.started = cli_now();
    if (p.terminal && !cli->quiet && !cli->kcat && !job->file_count && isatty(STDIN_FILENO)) {
        cli_say("each line becomes a record of %s; Ctrl-D ends", job->topic);
    }
    for (size_t i = 0; i < job->file_count && !cli_interrupted && !p.wrong[0]; i++) {
        if (job->input == INPUT_FILES) {
            produce_whole(&p, job->files[i]);
        } else {
            produce_lines(&p, job->files[i]);
        }
    }
    if (job->file_count == 0) {
        produce_lines(&p, NULL);
    }
    int status = produce_end(&p);
    if (p.keyless && !cli->quiet) {
        cli_say("%s without a field '%s': without a key", cli_records(p.keyless, room),
                job->key_field);
    }
    free(job->delimiter);
    format_free(job->format);
    free(job->key_delimiter);
    free(job->headers);
    free(job->files);
    return status;
}

/* --- flags --- */

enum produce_flag {
    FLAG_PARTITION = 1,
    FLAG_KEY,
    FLAG_KEY_DELIMITER,
    FLAG_DELIMITER,
    FLAG_HEADER,
    FLAG_COMPRESSION,
    FLAG_NULL,
    FLAG_FILE,
    FLAG_ACKS,
    FLAG_JSON,
    FLAG_BASE64,
    FLAG_IDEMPOTENT,
    FLAG_TEE,
    FLAG_COUNT,
    FLAG_TOPIC,
    FLAG_KEY_FIELD,
    FLAG_KEEP_PARTITION,
    FLAG_FORMAT,
};

static const struct cli_flag produce_flags[] = {
    {FLAG_FILE, 'l', "file", "FILE", "records from a file instead of stdin"},
    {FLAG_DELIMITER, 'D', "delimiter", "DELIM", "between records; default \\n"},
    {FLAG_KEY, 'k', "key", "KEY", "one key for all records"},
    {FLAG_KEY_DELIMITER, 'K', "key-delimiter", "DELIM",
     "the key stands in front of it in each record"},
    {FLAG_KEY_FIELD, 0, "key-field", "NAME", "the key is a field of each JSON value"},
    {FLAG_HEADER, 'H', "header", "NAME=VALUE", "a header of all records, as often as wanted"},
    {FLAG_PARTITION, 'p', "partition", "N", "instead of the partitioner's choice"},
    {FLAG_COMPRESSION, 'z', "compression", "CODEC", "none, gzip, snappy, lz4 or zstd", NULL,
     "none gzip snappy lz4 zstd"},
    {FLAG_NULL, 'Z', "tombstone", NULL, "an empty value (and key) is null"},
    {FLAG_FORMAT, 'f', "format", "FORMAT", "how records are read: %k %v %p %T, as consume -f"},
    {FLAG_JSON, 'J', "json", NULL, "JSON envelopes, as consume -J prints them"},
    {FLAG_KEEP_PARTITION, 0, "keep-partition", NULL, "with -J: the partition of the envelope"},
    {FLAG_BASE64, 0, "base64", "WHAT", "key, value or key,value are base64", NULL,
     "key value key,value"},
    {FLAG_ACKS, 0, "acks", "all|1|0", "who must have a record before it counts", NULL, "all 1 0"},
    {FLAG_IDEMPOTENT, 0, "idempotent", NULL,
     "no duplicates by retries (the default with acks all)"},
    {FLAG_TEE, 'T', "tee", NULL, "print what is published"},
    {FLAG_COUNT, 'n', "count", "N", "stop after so many records"},
    {FLAG_COUNT, 'c', "max-messages", "N", NULL},
    {FLAG_TOPIC, 't', "topic", "TOPIC", NULL, NULL, "@topic"},
    {0},
};

static void produce_base64(struct produce_job *job, const char *text)
{
    job->key_base64 = strcmp(text, "key") == 0 || strcmp(text, "key,value") == 0;
    job->value_base64 = strcmp(text, "value") == 0 || strcmp(text, "key,value") == 0;
    if (!job->key_base64 && !job->value_base64) {
        cli_usage("--base64 is key, value or key,value");
    }
}

static void produce_option(struct cli *cli, const char *name, const char *value)
{
    leat_error e;
    if (leat_producer_options_set(&cli->producer, name, value, &e)) {
        cli_usage("%s", e.message);
    }
}

static void produce_topic(struct produce_job *job, const char *topic)
{
    if (job->topic) {
        cli_usage("produce to one topic: %s or %s?", job->topic, topic);
    }
    job->topic = topic;
}

static void produce_format(struct produce_job *job, const char *text)
{
    char error[160];
    job->format = format_compile(text, error, sizeof error);
    char *delimiter = job->format
                          ? format_delimiter(job->format, &job->delimiter_size, error, sizeof error)
                          : NULL;
    if (!delimiter) {
        cli_usage("-f: %s", error);
    }
    free(job->delimiter);
    job->delimiter = delimiter;
}

static void produce_flag(struct cli *cli, struct args *a, struct produce_job *job, int id)
{
    switch (id) {
    case FLAG_PARTITION:
        job->partition = (int32_t)args_number(a, -1, INT32_MAX);
        break;
    case FLAG_KEY:
        job->key = a->value;
        break;
    case FLAG_KEY_DELIMITER:
        job->key_delimiter = text_unescape(a->value, &job->key_delimiter_size);
        if (job->key_delimiter_size == 0) {
            cli_usage("%s: the delimiter is empty", a->flag);
        }
        break;
    case FLAG_DELIMITER:
        job->delimiter = text_unescape(a->value, &job->delimiter_size);
        break;
    case FLAG_HEADER:
        produce_header(cli, job, a->value);
        break;
    case FLAG_COMPRESSION:
        produce_option(cli, "compression.type", a->value);
        break;
    case FLAG_NULL:
        job->null = true;
        break;
    case FLAG_FILE:
        produce_file(job, a->value);
        break;
    case FLAG_ACKS:
        produce_option(cli, "acks", a->value);
        break;
    case FLAG_JSON:
        job->json = true;
        break;
    case FLAG_BASE64:
        produce_base64(job, a->value);
        break;
    case FLAG_IDEMPOTENT:
        produce_option(cli, "enable.idempotence", "true");
        break;
    case FLAG_TEE:
        job->tee = true;
        break;
    case FLAG_COUNT:
        job->limit = args_number(a, 1, INT64_MAX);
        break;
    case FLAG_KEY_FIELD:
        job->key_field = a->value;
        break;
    case FLAG_KEEP_PARTITION:
        job->keep_partition = true;
        break;
    case FLAG_FORMAT:
        produce_format(job, a->value);
        break;
    default:
        produce_topic(job, a->value);
        break;
    }
}

static int produce_command(struct cli *cli, struct args *a)
{
    struct produce_job job = {.partition = LEAT_PARTITION_ANY};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        produce_flag(cli, a, &job, id);
    }
    if (!job.topic) {
        cli_usage("produce to which topic? leat produce TOPIC");
    }
    if (job.format &&
        (job.json || job.key_delimiter || job.key_field || job.key_base64 || job.value_base64)) {
        cli_usage("-f says how records are read: without -J, -K, --key-field and --base64");
    }
    if (job.key && (job.key_delimiter || job.key_field)) {
        cli_usage("-k, -K and --key-field name the key in different ways: use one");
    }
    return produce_run(cli, &job);
}

const struct cli_command command_produce = {
    .name = "produce",
    .alias = "pub",
    .words = "TOPIC",
    .summary = "publishes records: each line of stdin, or of a file",
    .flags = produce_flags,
    .run = produce_command,
    .more = "Delimiters know \\n \\t \\0 \\xHH. -f '%k %v\\n' reads a key and a value of each "
            "line; what\n"
            "separates records is the text behind the last token; %k{hex} and %v{base64} decode.\n",
    .values = "@topic",
};
