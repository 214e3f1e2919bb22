/* SPDX-License-Identifier: Apache-2.0 */

/* consume -g: reading as a member of a group.
 *
 * What is committed is what was shown, no more: the library's own commits would count the records of a
 * poll of which -n has cut a part, and those that a pipe has not taken yet. So the output is flushed
 * first, then the offsets behind the shown records are committed: every few seconds, before partitions
 * go to somebody else, and at the end. -X enable.auto.commit=false commits nothing. */
#include "cli/consume_private.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_PATIENCE_S = 4 }; /* so long a member is given nothing before it asks why */

/* --- commits ---------------------------------------------------------------------------------------- */

/* Commits what was shown since the last time; waits for the answer at most `timeout_ms`. */
static void group_commit(struct consume *c, int timeout_ms)
{
    leat_offset *offsets = cli_alloc((c->count + 1) * sizeof *offsets);
    size_t count = 0;
    leat_error e;
    if (!cli_flush()) {
        free(offsets);
        return; /* what was not written was not read */
    }
    for (size_t i = 0; i < c->count; i++) {
        struct reading *r = &c->readings[i];
        if (r->next > r->committed) {
            offsets[count++] = (leat_offset){.topic = r->topic,
                                             .partition = r->partition,
                                             .leader_epoch = -1,
                                             .offset = r->next};
            r->committed = r->next;
        }
    }
    if (count && leat_commit_offsets(c->consumer, offsets, count, timeout_ms, &e)) {
        cli_say("offsets were not committed, the records will come again: %s", e.message);
    }
    free(offsets);
    c->committed_at = cli_now();
}

static bool group_commits(const struct consume *c)
{
    return c->cli->consumer.auto_commit;
}

/* --- what the group gives and takes ------------------------------------------------------------------ */

static struct reading *group_reading(struct consume *c, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->readings[i].partition == partition && strcmp(c->readings[i].topic, topic) == 0) {
            return &c->readings[i];
        }
    }
    return NULL;
}

/* The leader, for kcat's envelopes, which name it, and the plan of what has an end; -1: not known, or none. */
static int32_t leader_of(struct consume *c, const char *topic, int32_t partition)
{
    leat_meta *meta;
    int32_t leader = -1;
    bool wanted = c->job->exit_at_end || (c->cli->kcat && c->job->json);
    if (!wanted || leat_metadata(c->cli->client, topic, &meta, NULL)) {
        return leader;
    }
    for (size_t i = 0; meta->topic_count && i < meta->topics[0]->partition_count; i++) {
        const leat_meta_partition *p = meta->topics[0]->partitions[i];
        leader = p->id == partition ? p->leader : leader;
    }
    leat_meta_free(meta);
    return leader;
}

static void group_take(struct consume *c, const leat_change *change)
{
    leat_start start;
    if (group_reading(c, change->topic, change->partition)) {
        return;
    }
    c->readings = cli_resize(c->readings, (c->count + 1) * sizeof *c->readings);
    struct reading *r = &c->readings[c->count++];
    *r = (struct reading){.topic = cli_copy(change->topic, strlen(change->topic)),
                          .partition = change->partition,
                          .broker = leader_of(c, change->topic, change->partition),
                          .stop = -1,
                          .next = -1,
                          .committed = -1};
    if (c->job->exit_at_end) {
        (void)consume_plan(c, r, &start);
    }
}

static void group_give(struct consume *c, const leat_change *change)
{
    struct reading *r = group_reading(c, change->topic, change->partition);
    if (r) {
        c->done -= r->done;
        c->skipped -= r->skipped;
        reading_free(r);
        *r = c->readings[--c->count];
    }
}

static void group_changes(struct consume *c)
{
    static const char *const kinds[] = {"?", "assigned", "revoking", "revoked", "lost"};
    const leat_change *changes;
    leat_error e;
    int count = leat_rebalance(c->consumer, &changes, &e);
    for (int i = 0; i < count; i++) {
        int32_t kind = changes[i].kind;
        if (c->cli->verbose || (c->cli->kcat && !c->cli->quiet)) {
            cli_say("group %s: %s: %s-%d", c->job->group,
                    kind >= LEAT_ASSIGNED && kind <= LEAT_LOST ? kinds[kind] : kinds[0],
                    changes[i].topic, (int)changes[i].partition);
        }
        if (kind == LEAT_ASSIGNED) {
            group_take(c, &changes[i]);
        } else if (kind == LEAT_REVOKED || kind == LEAT_LOST) {
            group_give(c, &changes[i]);
        }
    }
}

/* --- opening ----------------------------------------------------------------------------------------- */

/* A pattern as leat_subscribe() wants it: one that is not bound to the beginning matches anywhere. */
static char *group_pattern(const char *pattern)
{
    size_t room = strlen(pattern) + sizeof "^.*()";
    char *made = cli_alloc(room);
    snprintf(made, room, *pattern == '^' ? "%s" : "^.*(%s)", pattern);
    return made;
}

static void group_options(const struct consume *c, leat_consumer_options *o)
{
    const struct consume_job *job = c->job;
    enum offset_kind start = job->range.start.kind;
    bool plain = start == OFFSET_NONE || start == OFFSET_BEGINNING || start == OFFSET_END;
    if (!plain || job->range.stop.kind != OFFSET_NONE) {
        cli_usage(
            "-o with a group is beginning or end, for what it has not committed yet: leat group "
            "reset moves a group");
    }
    if (job->partition_count) {
        cli_usage("-p: the group decides which partitions its members read");
    }
    o->auto_commit = false;
    o->revocation_returns = true;
    if (start != OFFSET_NONE || (job->exit_at_end && !c->cli->kcat)) {
        o->reset = start == OFFSET_END ? LEAT_RESET_LATEST : LEAT_RESET_EARLIEST;
    }
}

void consume_group_open(struct consume *c)
{
    leat_consumer_options options = c->cli->consumer;
    const struct consume_job *job = c->job;
    leat_error e;
    group_options(c, &options);
    consume_expect(c);
    /* A pipe that nobody reads any more ends it when the group is left. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (leat_consumer_open(&c->consumer, c->cli->client, job->group, &options, &e)) {
        cli_fail(c->cli, &e);
    }
    const char **names = cli_alloc(job->topic_count * sizeof *names);
    for (size_t i = 0; i < job->topic_count; i++) {
        names[i] = job->regex ? group_pattern(job->topics[i]) : job->topics[i];
    }
    if (leat_subscribe(c->consumer, names, job->topic_count, &e)) {
        consume_fail(c, &e);
    }
    for (size_t i = 0; i < job->topic_count && job->regex; i++) {
        free((char *)(uintptr_t)names[i]);
    }
    free(names);
    c->planned = -1;
}

/* --- reading ----------------------------------------------------------------------------------------- */

/* True when it may go on. */
static bool group_trouble(struct consume *c, int code, const leat_error *e)
{
    if (code == LEAT_ERR_REBALANCE) {
        if (group_commits(c)) {
            group_commit(c, c->cli->options.timeout_ms);
        }
        return true;
    }
    if (e->retriable && !e->fatal) {
        if (!c->cli->quiet) {
            cli_say("%s (trying again)", e->message);
        }
        return true;
    }
    return false;
}

/* Why nothing is assigned, if it is the cluster that cannot: there is no controller, or no coordinator. */
static bool group_is_lost(struct consume *c, leat_error *why)
{
    enum { PROBE_MS = 1500, NO_COORDINATOR = -15, NOT_COORDINATOR = -16 };
    leat_options options = c->cli->options;
    leat_client *client;
    leat_group *group = NULL;
    if (cli_lost(c->cli, LEAT_ERR_TIMEOUT, why)) {
        return true;
    }
    options.timeout_ms = PROBE_MS;
    int code = leat_open(&client, c->cli->brokers, &options, why);
    if (code) {
        return false;
    }
    code = leat_group_describe(client, c->job->group, &group, why);
    leat_group_free(group);
    leat_close(client);
    return code == NO_COORDINATOR || code == NOT_COORDINATOR;
}

/* A member that is given nothing asks after a while whether it could be: others may have all partitions. What has an
 * end does not wait for a controller; a coordinator may be a while in coming, if it is the cluster's first. */
static void group_check_assigned(struct consume *c, double now)
{
    enum { AGAIN_S = 10 };
    leat_error why;
    if (c->count > 0) {
        c->ask_at = now + GROUP_PATIENCE_S;
    }
    bool ends = c->job->exit_at_end;
    if (now < c->ask_at || (c->said_lost && !ends)) {
        return;
    }
    if (group_is_lost(c, &why)) {
        if (ends && (c->said_lost || why.code == LEAT_ERR_NO_LEADER)) {
            consume_fail(c, &why);
        }
        c->said_lost = true;
        cli_say("%s", why.message);
    }
    c->ask_at = cli_now() + AGAIN_S;
}

void consume_group_leave(struct consume *c, int status)
{
    enum { END_MS = 8000, COMMIT_MS = 3000, CLOSE_MS = 3000 };
    leat_error why;
    (void)cli_flush();
    cli_end_within(END_MS, status);
    if (status == EXIT_TIMEOUT && c->count == 0 && !c->said_lost && group_is_lost(c, &why)) {
        c->said_lost = true;
        cli_say("%s", why.message);
    }
    /* What a pipe still held when its reader went was not read. */
    if (group_commits(c) && !c->reader_gone) {
        group_commit(c, c->cli->options.timeout_ms < COMMIT_MS ? c->cli->options.timeout_ms
                                                               : COMMIT_MS);
    }
    cli_end_within(CLOSE_MS, status);
}

static bool group_ended(struct consume *c)
{
    return c->count && c->done == c->count && !(c->skipped && consume_plan_again(c, true));
}

int consume_group_loop(struct consume *c)
{
    const leat_record *records;
    leat_error e;
    double every = c->cli->consumer.auto_commit_interval_ms / 1000.0;
    c->silent_since = c->committed_at = cli_now();
    c->ask_at = c->silent_since + GROUP_PATIENCE_S;
    while (!cli_interrupted && !ferror(stdout) && !c->reader_gone && !group_ended(c)) {
        int count = consume_poll(c, &records, &e);
        group_changes(c);
        if (count < 0 && !group_trouble(c, count, &e)) {
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
        double now = cli_now(), silence = now - c->silent_since;
        if (group_commits(c) && now - c->committed_at >= every) {
            group_commit(c, 0);
        }
        if (count == 0) {
            consume_tell(c, silence);
            group_check_assigned(c, now);
        }
        if (c->job->wait_ms && silence * 1000 >= (double)c->job->wait_ms) {
            return c->records ? EXIT_DONE : EXIT_TIMEOUT;
        }
    }
    return cli_interrupted                    ? EXIT_INTERRUPTED
           : ferror(stdout) || c->reader_gone ? EXIT_FAILED
                                              : EXIT_DONE;
}
