/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/consume_private.h"

#include "cli/text.h"

#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTPUT_BUFFER = 1 << 20 };

void consume_topic(struct consume_job *job, const char *topic)
{
    job->topics = cli_resize(job->topics, (job->topic_count + 1) * sizeof *job->topics);
    job->topics[job->topic_count++] = topic;
}

void consume_partitions(struct consume_job *job, const char *text)
{
    do {
        char *end;
        long number = strtol(text, &end, 10);
        if (end == text || number < 0 || number > INT32_MAX || (*end && *end != ',')) {
            cli_usage("-p: '%s' is not a list of partitions: 0,1,2", text);
        }
        job->partitions =
            cli_resize(job->partitions, (job->partition_count + 1) * sizeof *job->partitions);
        job->partitions[job->partition_count++] = (int32_t)number;
        text = end + (*end == ',');
    } while (*text);
}

void consume_offset(struct consume_job *job, const char *text)
{
    char error[160];
    if (strcmp(text, "stored") == 0) {
        job->stored = true;
        return;
    }
    if (!offsets_parse(&job->range, text, cli_wall_ms(), error, sizeof error)) {
        cli_usage("-o: %s", error);
    }
}

void consume_format(struct consume_job *job, const char *text)
{
    char error[160];
    job->format = format_compile(text, error, sizeof error);
    if (!job->format) {
        cli_usage("-f: %s", error);
    }
}

/* --- what to read --- */

static bool partition_wanted(const struct consume_job *job, int32_t partition)
{
    for (size_t i = 0; i < job->partition_count; i++) {
        if (job->partitions[i] == partition) {
            return true;
        }
    }
    return job->partition_count == 0;
}

static void consume_add(struct consume *c, const leat_meta_topic *t)
{
    for (size_t i = 0; i < t->partition_count; i++) {
        const leat_meta_partition *p = t->partitions[i];
        if (!partition_wanted(c->job, p->id)) {
            continue;
        }
        c->readings = cli_resize(c->readings, (c->count + 1) * sizeof *c->readings);
        c->starts = cli_resize(c->starts, (c->count + 1) * sizeof *c->starts);
        struct reading *r = &c->readings[c->count];
        *r = (struct reading){.topic = cli_copy(t->name, strlen(t->name)),
                              .partition = p->id,
                              .broker = p->leader,
                              .next = -1,
                              .committed = -1};
        (void)consume_plan(c, r, &c->starts[c->count]);
        c->count++;
    }
}

/* Of several topics each gives the partitions that it has; one alone must have what is asked for. */
static void consume_check_partitions(const struct consume_job *job, const leat_meta_topic *t)
{
    for (size_t i = 0; i < job->partition_count && job->topic_count == 1; i++) {
        if ((size_t)job->partitions[i] >= t->partition_count) {
            cli_say("topic %s has no partition %d: its last partition is %zu", t->name,
                    (int)job->partitions[i], t->partition_count - 1);
            exit(EXIT_NOT_FOUND);
        }
    }
}

void consume_expect(struct consume *c)
{
    for (size_t i = 0; i < c->job->topic_count && !c->job->regex; i++) {
        leat_meta_free(cli_metadata(c->cli, c->job->topics[i], false));
    }
}

static void consume_find(struct consume *c, const char *topic)
{
    regex_t pattern;
    leat_meta *meta = cli_metadata(c->cli, c->job->regex ? NULL : topic, false);
    if (c->job->regex && regcomp(&pattern, topic, REG_EXTENDED | REG_NOSUB)) {
        cli_usage("'%s' is not a regular expression", topic);
    }
    if (!c->job->regex) {
        consume_check_partitions(c->job, meta->topics[0]);
    }
    for (size_t i = 0; i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        if (!c->job->regex || (!t->internal && regexec(&pattern, t->name, 0, NULL, 0) == 0)) {
            consume_add(c, t);
        }
    }
    if (c->job->regex) {
        regfree(&pattern);
    }
    leat_meta_free(meta);
}

/* --- reading --- */

static struct reading *consume_reading(struct consume *c, const leat_record *r,
                                       struct reading *guess)
{
    if (guess && guess->partition == r->partition && strcmp(guess->topic, r->topic) == 0) {
        return guess;
    }
    for (size_t i = 0; i < c->count; i++) {
        if (c->readings[i].partition == r->partition &&
            strcmp(c->readings[i].topic, r->topic) == 0) {
            return &c->readings[i];
        }
    }
    return NULL;
}

/* kcat tells of every end that it reaches. */
static void consume_tell_end(struct consume *c, const struct reading *r)
{
    if (c->cli->kcat && !c->cli->quiet && c->job->exit_at_end) {
        fflush(stdout);
        fprintf(stderr, "%% Reached end of topic %s [%d] at offset %lld%s\n", r->topic,
                (int)r->partition, (long long)r->stop, c->done == c->count ? ": exiting" : "");
    }
}

static void consume_reached(struct consume *c, struct reading *r)
{
    leat_error e;
    r->done = true;
    c->done++;
    (void)leat_pause(c->consumer, r->topic, r->partition, true, &e);
    consume_tell_end(c, r);
}

void consume_check_ends(struct consume *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct reading *r = &c->readings[i];
        int64_t position;
        leat_error e;
        if (!r->done && r->stop >= 0 &&
            leat_consumer_position(c->consumer, r->topic, r->partition, &position, &e) == 0 &&
            position >= r->stop) {
            consume_reached(c, r);
        }
    }
}

/* How far it is, for somebody who sends records to a file. */
void consume_draw(struct consume *c, bool last)
{
    char room[48];
    double now = cli_now();
    if (!c->progress || (!last && now - c->drawn < 0.2)) {
        return;
    }
    if (last) {
        fprintf(stderr, "\r\033[K%s read (%.1f MB in %.2f s)\n", cli_records(c->records, room),
                (double)c->bytes / 1e6, now - c->started);
        return;
    }
    c->drawn = now;
    double seconds = now - c->started > 1e-6 ? now - c->started : 1e-6;
    fprintf(stderr, "\r\033[K%s, %.1f MB, %.1f MB/s", cli_records(c->records, room),
            (double)c->bytes / 1e6, (double)c->bytes / 1e6 / seconds);
    double part = c->planned > 0 ? 100.0 * (double)c->records / (double)c->planned : 0;
    if (part > 0) {
        fprintf(stderr, ", %.0f %%", part < 100 ? part : 100);
    }
}

/* True when the limit is reached. */
bool consume_show(struct consume *c, const leat_record *records, int count)
{
    struct reading *r = NULL;
    for (int i = 0; i < count; i++) {
        r = consume_reading(c, &records[i], r);
        if (r && r->stop >= 0 && records[i].offset >= r->stop) {
            continue;
        }
        consume_print(c->cli, c->job, &records[i], r ? r->broker : -1, c->terminal);
        if (r) {
            r->next = records[i].offset + 1;
        }
        c->records++;
        c->bytes += records[i].key.len + records[i].value.len;
        if (c->job->unbuffered) {
            fflush(stdout);
        }
        if (c->job->limit && c->records >= (unsigned long long)c->job->limit) {
            c->limit_reached = true;
            return true;
        }
    }
    return false;
}

/* What else there is to wish for, unless it was wished. */
static const char *consume_hint(const struct consume *c)
{
    return c->records || consume_bounded(c->job) ? ""
           : c->job->range.start.kind != OFFSET_NONE
               ? " (-e stops at the end)"
               : " (--from-beginning reads what is there, -e stops at the end)";
}

/* Tells once what one is waiting for, and every new trouble. */
void consume_tell(struct consume *c, double silence)
{
    leat_error e;
    int code = leat_problem(c->cli->client, &e);
    if (code != c->problem && (code == 0 || silence > 1)) {
        c->problem = code;
        if (code && !c->cli->quiet) {
            cli_say("%s (trying again)", e.message);
        }
    }
    bool terminal = isatty(STDERR_FILENO);
    if (!c->said_waiting && !c->cli->quiet && !c->cli->kcat && !code &&
        silence > (terminal ? 0.3 : 5)) {
        c->said_waiting = true;
        cli_say("waiting for records of %s%s: Ctrl-C ends%s", c->job->topics[0],
                c->job->topic_count > 1 || c->job->regex ? " and others" : "", consume_hint(c));
    }
}

static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

/* A pipe that nobody reads any more would be noticed only with the next record. */
static void consume_check_reader(struct consume *c)
{
    if (!reader_is_gone()) {
        return;
    }
    if (c->job->group) {
        c->reader_gone = true; /* the group is left first */
        return;
    }
    (void)raise(SIGPIPE);
    exit(EXIT_FAILED);
}

int consume_poll(struct consume *c, const leat_record **records, leat_error *e)
{
    int count = leat_poll(c->consumer, records, 0, e);
    if (count == 0) {
        (void)cli_flush();
        consume_check_reader(c);
        count = leat_poll(c->consumer, records, CONSUME_POLL_MS, e);
    }
    return count;
}

/* Reads all partitions that have not come to their end from where they stand. */
static void consume_assign(struct consume *c)
{
    leat_start *open = cli_alloc((c->count + 1) * sizeof *open);
    size_t open_count = 0;
    leat_error e;
    for (size_t i = 0; i < c->count; i++) {
        const struct reading *r = &c->readings[i];
        int64_t position;
        if (r->done) {
            continue;
        }
        open[open_count] = c->starts[i];
        if (leat_consumer_position(c->consumer, r->topic, r->partition, &position, &e) == 0 &&
            position >= 0) {
            open[open_count].offset = position;
        }
        open_count++;
    }
    if (leat_assign(c->consumer, open, open_count, &e)) {
        consume_fail(c, &e);
    }
    free(open);
}

/* What could not be planned at first comes when the rest has been read, or, where that never ends, when it can. */
static bool consume_ended(struct consume *c)
{
    enum { AGAIN_S = 2 };
    bool bounded = consume_bounded(c->job);
    if (c->skipped && (bounded ? c->done == c->count : cli_now() >= c->again_at)) {
        if (consume_plan_again(c, bounded)) {
            consume_assign(c);
        }
        c->again_at = cli_now() + AGAIN_S;
    }
    return c->done == c->count && (bounded || !c->skipped);
}

static int consume_loop(struct consume *c)
{
    const leat_record *records;
    leat_error e;
    c->silent_since = c->again_at = cli_now();
    while (!cli_interrupted && !ferror(stdout) && !consume_ended(c)) {
        int count = consume_poll(c, &records, &e);
        if (count < 0) {
            consume_fail(c, &e);
        }
        if (count > 0) {
            c->silent_since = cli_now();
            if (consume_show(c, records, count)) {
                return EXIT_DONE;
            }
        }
        consume_draw(c, false);
        consume_check_ends(c);
        double silence = cli_now() - c->silent_since;
        if (count == 0) {
            consume_tell(c, silence);
        }
        if (c->job->wait_ms && silence * 1000 >= (double)c->job->wait_ms) {
            return c->records ? EXIT_DONE : EXIT_TIMEOUT;
        }
    }
    /* That the output cannot be written is told where the program ends. */
    return cli_interrupted ? EXIT_INTERRUPTED : ferror(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static void consume_open(struct consume *c)
{
    struct cli *cli = c->cli;
    leat_error e;
    const char *group = c->job->stored ? cli->consumer.group_id : "";
    if (c->job->stored && !*group) {
        cli_usage("-o stored: in which group? -X group.id=GROUP, or -g GROUP to join it");
    }
    for (size_t i = 0; i < c->job->topic_count; i++) {
        consume_find(c, c->job->topics[i]);
    }
    if (c->count == 0) {
        cli_say(c->job->regex ? "no topic matches" : "no such partition: see leat topic describe");
        exit(EXIT_NOT_FOUND);
    }
    cli->consumer.auto_commit = false; /* -o stored only reads what a group has committed */
    if (leat_consumer_open(&c->consumer, cli->client, group, &cli->consumer, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < c->count; i++) {
        if (c->readings[i].done && !c->readings[i].skipped) {
            consume_tell_end(c, &c->readings[i]);
        }
    }
    consume_assign(c);
    if (c->skipped && !consume_bounded(c->job)) {
        consume_tell_skipped(c);
    }
}

/* Commits what is to be committed, and leaves the group: its others would wait for a whole session else. */
static void consume_close(struct consume *c, int status)
{
    if (c->consumer && c->job->group) {
        consume_group_leave(c, status);
    }
    leat_consumer_close(c->consumer, NULL);
    c->consumer = NULL;
}

void consume_fail(struct consume *c, const leat_error *e)
{
    int status = cli_tell(c->cli, e);
    consume_close(c, status);
    exit(status);
}

/* Tells how it ended: the exit status. */
static int consume_result(struct consume *c, int status)
{
    char room[48];
    bool bounded = consume_bounded(c->job);
    if (c->skipped && bounded && !c->limit_reached) {
        consume_tell_skipped(c);
        status = status == EXIT_DONE ? EXIT_FAILED : status;
    }
    if (status == EXIT_INTERRUPTED) {
        if (!c->progress) {
            cli_say("%s read", cli_records(c->records, room));
        }
        return cli_interrupt_status();
    }
    if (status == EXIT_TIMEOUT) {
        cli_say("nothing came within %lld ms", c->job->wait_ms);
    } else if (status == EXIT_DONE && bounded && c->records == 0 && !c->cli->quiet &&
               !c->cli->kcat) {
        cli_say("there are no records in this range");
    }
    return status;
}

static void consume_free(struct consume *c)
{
    for (size_t i = 0; i < c->count; i++) {
        reading_free(&c->readings[i]);
    }
    free(c->readings);
    free(c->starts);
    free(c->job->topics);
    free(c->job->partitions);
    free(c->job->key_delimiter);
    free(c->job->delimiter);
    format_free(c->job->format);
}

int consume_run(struct cli *cli, struct consume_job *job)
{
    struct consume c = {
        .cli = cli, .job = job, .terminal = isatty(STDOUT_FILENO), .broker_failed = -1};
    struct stat out;
    c.started = c.drawn = cli_now();
    c.progress = isatty(STDERR_FILENO) && !cli->quiet && !cli->kcat &&
                 fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode);
    setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
    cli_catch_signals();
    cli_connect(cli);
    if (job->group) {
        consume_group_open(&c);
    } else {
        consume_open(&c);
    }
    int status = job->group ? consume_group_loop(&c) : consume_loop(&c);
    (void)cli_flush();
    consume_draw(&c, true);
    status = consume_result(&c, status);
    consume_close(&c, status);
    consume_free(&c);
    if (c.reader_gone || (job->group && ferror(stdout) && reader_is_gone())) {
        (void)signal(SIGPIPE, SIG_DFL);
        (void)raise(SIGPIPE);
    }
    return status;
}

/* --- flags --- */

enum consume_flag {
    FLAG_OFFSET = 1,
    FLAG_EXIT,
    FLAG_COUNT,
    FLAG_GROUP,
    FLAG_PARTITION,
    FLAG_FORMAT,
    FLAG_JSON,
    FLAG_PRETTY,
    FLAG_META,
    FLAG_KEY_DELIMITER,
    FLAG_DELIMITER,
    FLAG_OFFSETS,
    FLAG_NULL,
    FLAG_ISOLATION,
    FLAG_REGEX,
    FLAG_WAIT,
    FLAG_BEGINNING,
    FLAG_UNBUFFERED,
    FLAG_TOPIC,
};

static const struct cli_flag consume_flags[] = {
    {FLAG_OFFSET, 'o', "offset", "OFFSET", "where to begin and to end: see below"},
    {FLAG_BEGINNING, 0, "from-beginning", NULL, "all that is there, and what comes"},
    {FLAG_EXIT, 'e', "exit", NULL, "stop at the end as it is now"},
    {FLAG_COUNT, 'n', "count", "N", "stop after so many records (also --max-messages)"},
    {FLAG_COUNT, 'c', "max-messages", "N", NULL},
    {FLAG_WAIT, 0, "wait", "10s", "stop after so much silence"},
    {FLAG_PARTITION, 'p', "partition", "0,1,...", "these partitions alone"},
    {FLAG_GROUP, 'g', "group", "GROUP", "as a member of this group, which remembers", NULL,
     "@group"},
    {FLAG_REGEX, 'r', "regex", NULL, "the words are patterns of topics' names"},
    {FLAG_ISOLATION, 0, "isolation", "LEVEL", "committed or uncommitted (transactions)", NULL,
     "committed uncommitted"},
    {FLAG_FORMAT, 'f', "format", "FORMAT", "how a record is printed: see below"},
    {FLAG_JSON, 'J', "json", NULL, "one JSON object a line, which produce -J reads"},
    {FLAG_PRETTY, 0, "pretty", NULL, "JSON over several lines"},
    {FLAG_META, 0, "meta-only", NULL, "JSON with sizes instead of key and value"},
    {FLAG_KEY_DELIMITER, 'K', "key-delimiter", "DELIM", "print the key, and this behind it"},
    {FLAG_DELIMITER, 'D', "delimiter", "DELIM", "behind each record; default \\n"},
    {FLAG_OFFSETS, 'O', "offsets", NULL, "print the offset in front"},
    {FLAG_NULL, 'Z', "null", NULL, "print NULL for null"},
    {FLAG_UNBUFFERED, 'u', "unbuffered", NULL, "write each record at once"},
    {FLAG_TOPIC, 't', "topic", "TOPIC", NULL, NULL, "@topic"},
    {0},
};

static void consume_isolation(struct cli *cli, const char *text)
{
    bool uncommitted = strcmp(text, "uncommitted") == 0;
    if (!uncommitted && strcmp(text, "committed") != 0) {
        cli_usage("--isolation is committed or uncommitted");
    }
    cli->consumer.read_uncommitted = uncommitted;
}

static void consume_flag(struct cli *cli, struct args *a, struct consume_job *job, int id)
{
    switch (id) {
    case FLAG_OFFSET:
        consume_offset(job, a->value);
        break;
    case FLAG_EXIT:
        job->exit_at_end = true;
        break;
    case FLAG_COUNT:
        job->limit = args_number(a, 1, INT64_MAX);
        break;
    case FLAG_GROUP:
        if (!*a->value) {
            cli_usage("%s: a group needs a name", a->flag);
        }
        job->group = a->value;
        break;
    case FLAG_PARTITION:
        consume_partitions(job, a->value);
        break;
    case FLAG_FORMAT:
        consume_format(job, a->value);
        break;
    case FLAG_PRETTY:
    case FLAG_META:
    case FLAG_JSON:
        job->json = true;
        job->pretty |= id == FLAG_PRETTY;
        job->meta_only |= id == FLAG_META;
        break;
    case FLAG_KEY_DELIMITER:
        job->key_delimiter = text_unescape(a->value, &job->key_delimiter_size);
        break;
    case FLAG_DELIMITER:
        job->delimiter = text_unescape(a->value, &job->delimiter_size);
        break;
    case FLAG_OFFSETS:
        job->offsets = true;
        break;
    case FLAG_NULL:
        job->null = "NULL";
        break;
    case FLAG_ISOLATION:
        consume_isolation(cli, a->value);
        break;
    case FLAG_REGEX:
        job->regex = true;
        break;
    case FLAG_WAIT:
        job->wait_ms = args_duration_ms(a);
        break;
    case FLAG_BEGINNING:
        job->range.start.kind = OFFSET_BEGINNING;
        break;
    case FLAG_UNBUFFERED:
        job->unbuffered = true;
        break;
    default:
        consume_topic(job, a->value);
        break;
    }
}

static int consume_command(struct cli *cli, struct args *a)
{
    struct consume_job job = {0};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        consume_flag(cli, a, &job, id);
    }
    if (cli->output == OUTPUT_YAML) {
        cli_usage("--output of consume is json, as -J");
    }
    job.json |= cli->output == OUTPUT_JSON;
    if (job.topic_count == 0) {
        cli_usage("consume which topic? leat consume TOPIC (see leat topic list)");
    }
    return consume_run(cli, &job);
}

const struct cli_command command_consume = {
    .name = "consume",
    .alias = "sub",
    .words = "TOPIC...",
    .summary = "reads records: new ones, or those that are there",
    .flags = consume_flags,
    .run = consume_command,
    .more =
        "OFFSET: beginning end N -N (the last N) +N (after the first N) A:B A: :B @TIME @T1:T2\n"
        "        s@MS e@MS stored; times: 2026-11-22T11:24:03Z, milliseconds, -5m\n"
        "FORMAT: %t topic %p partition %o offset %k key %K its size %s or %v value %S its size\n"
        "        %T time %d date %h headers %R size as 4 bytes; %k{hex} {base64} %T{iso} "
        "%d{%H:%M}\n",
    .values = "@topic",
};
