/* SPDX-License-Identifier: Apache-2.0 */

/* Where partitions start and stop.
 *
 * Whatever has an end, or starts so many records before it, needs the bounds of the log, which the partition's leader
 * alone knows. A partition whose leader is not there, or does not answer, keeps nobody from reading the others: it is
 * skipped, which makes it done, and planned again when the others have come to their ends. A leader may be elected by
 * then; what still has none is told, and makes the exit status a failure. */
#include "cli/consume_private.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAMED_MAX = 8,      /* partitions that one sentence names */
    ELECTION_MS = 5000, /* so long what has no leader is waited for */
};

bool consume_bounded(const struct consume_job *job)
{
    return job->exit_at_end || job->range.stop.kind != OFFSET_NONE;
}

void reading_free(struct reading *r)
{
    free(r->topic);
    free(r->why);
}

/* --- one partition --- */

/* The log's bounds, and where the times of the range lie in it, -1: behind its end. */
struct bounds {
    int64_t low, end, start_at, stop_at;
};

/* False: the leader cannot tell. What concerns not this partition alone ends the process. */
static bool plan_offset(struct consume *c, struct reading *r, int64_t when, int64_t *offset)
{
    leat_error e, why;
    if (leat_offset_at(c->cli->client, r->topic, r->partition, when, offset, &e) == 0) {
        return true;
    }
    if (!e.retriable || (e.code != LEAT_ERR_NO_LEADER && cli_lost(c->cli, e.code, &why))) {
        consume_fail(c, &e);
    }
    c->broker_failed = r->broker;
    c->broker_leads = e.code != LEAT_ERR_NO_LEADER;
    if (c->broker_leads) {
        r->why = cli_copy(e.message, strlen(e.message));
    }
    return false;
}

/* Whoever has just failed is not asked for each of its partitions: each takes its time. */
static bool plan_asks_nobody(const struct consume *c, struct reading *r)
{
    char why[64];
    if (r->broker >= 0 && r->broker == c->broker_failed && c->broker_leads) {
        int size = snprintf(why, sizeof why, "broker %d does not answer", (int)r->broker);
        r->why = cli_copy(why, (size_t)size);
    }
    return r->broker < 0 || r->broker == c->broker_failed;
}

static bool plan_ask(struct consume *c, struct reading *r, struct bounds *b)
{
    const struct offset_range *range = &c->job->range;
    bool from_end = range->start.kind == OFFSET_LAST || range->start.kind == OFFSET_AFTER;
    *b = (struct bounds){.low = 0, .end = 0, .start_at = -1, .stop_at = -1};
    if (!from_end && !consume_bounded(c->job)) {
        return true;
    }
    return !plan_asks_nobody(c, r) && plan_offset(c, r, LEAT_EARLIEST, &b->low) &&
           plan_offset(c, r, LEAT_LATEST, &b->end) &&
           (range->start.kind != OFFSET_TIME ||
            plan_offset(c, r, range->start.value, &b->start_at)) &&
           (range->stop.kind != OFFSET_TIME || plan_offset(c, r, range->stop.value, &b->stop_at));
}

static void plan_start(const struct consume *c, const struct reading *r, const struct bounds *b,
                       leat_start *start)
{
    const struct offset_spec *spec = &c->job->range.start;
    switch (spec->kind) {
    case OFFSET_NONE:
        start->offset = c->job->stored                 ? LEAT_COMMITTED
                        : r->stop >= 0 || c->cli->kcat ? LEAT_EARLIEST
                                                       : LEAT_LATEST;
        break;
    case OFFSET_BEGINNING:
        start->offset = LEAT_EARLIEST;
        break;
    case OFFSET_END:
        start->offset = LEAT_LATEST;
        break;
    case OFFSET_NUMBER:
        start->offset = spec->value;
        break;
    case OFFSET_TIME:
        start->offset = LEAT_AT_TIME;
        start->timestamp_ms = spec->value;
        break;
    default:
        start->offset = offsets_resolve(spec, b->low, b->end, -1);
        break;
    }
}

/* The first offset that is read of what has an end. */
static int64_t plan_first(const struct consume *c, const struct bounds *b, const leat_start *start)
{
    switch (start->offset) {
    case LEAT_EARLIEST:
    case LEAT_COMMITTED:
        return b->low;
    case LEAT_LATEST:
        return b->end;
    case LEAT_AT_TIME:
        return offsets_resolve(&c->job->range.start, b->low, INT64_MAX, b->start_at);
    default:
        return start->offset;
    }
}

bool consume_plan(struct consume *c, struct reading *r, leat_start *start)
{
    const struct offset_spec *stop = &c->job->range.stop;
    struct bounds b;
    *start = (leat_start){r->topic, r->partition, LEAT_EARLIEST, 0};
    r->stop = -1;
    if (!plan_ask(c, r, &b)) {
        r->skipped = r->done = true;
        c->skipped++;
        c->done++;
        return false;
    }
    if (stop->kind != OFFSET_NONE) {
        r->stop = offsets_resolve(stop, b.low, b.end, b.stop_at);
    }
    if (c->job->exit_at_end) {
        r->stop = r->stop >= 0 && r->stop < b.end ? r->stop : b.end;
    }
    plan_start(c, r, &b, start);
    if (r->stop < 0) {
        c->planned = -1;
        return true;
    }
    /* What is empty from the beginning needs no waiting for. */
    int64_t first = plan_first(c, &b, start);
    r->done = first >= r->stop || b.low >= r->stop;
    c->done += r->done;
    c->planned += c->planned < 0 || r->done ? 0 : r->stop - first;
    return true;
}

/* --- what was skipped --- */

static void plan_leaders_of(struct consume *c, const char *topic)
{
    leat_meta *meta;
    leat_error e;
    if (leat_metadata(c->cli->client, topic, &meta, &e)) {
        return;
    }
    for (size_t i = 0; i < c->count && meta->topic_count == 1; i++) {
        struct reading *r = &c->readings[i];
        const leat_meta_topic *t = meta->topics[0];
        if (!r->skipped || strcmp(r->topic, topic) != 0) {
            continue;
        }
        for (size_t j = 0; j < t->partition_count; j++) {
            r->broker = t->partitions[j]->id == r->partition ? t->partitions[j]->leader : r->broker;
        }
    }
    leat_meta_free(meta);
}

/* Asks who leads the skipped ones: true when somebody leads each. */
static bool plan_leaders(struct consume *c)
{
    const char *topic = NULL;
    bool all = true;
    for (size_t i = 0; i < c->count; i++) {
        const struct reading *r = &c->readings[i];
        if (!r->skipped) {
            continue;
        }
        if (!topic || strcmp(topic, r->topic) != 0) {
            topic = r->topic;
            plan_leaders_of(c, topic);
        }
        all &= r->broker >= 0;
    }
    return all;
}

bool consume_plan_again(struct consume *c, bool wait)
{
    int32_t most = c->cli->options.timeout_ms;
    double until = cli_now() + (wait ? (most < ELECTION_MS ? most : ELECTION_MS) / 1000.0 : 0);
    bool any = false;
    (void)cli_flush();
    while (!plan_leaders(c) && !cli_interrupted && cli_now() < until) {
        (void)poll(NULL, 0, CONSUME_POLL_MS);
    }
    c->broker_failed = -1;
    for (size_t i = 0; i < c->count && !cli_interrupted; i++) {
        struct reading *r = &c->readings[i];
        leat_start start;
        if (!r->skipped || r->broker < 0) {
            continue;
        }
        r->skipped = r->done = false;
        c->skipped--;
        c->done--;
        free(r->why);
        r->why = NULL;
        any |= consume_plan(c, r, c->starts ? &c->starts[i] : &start);
    }
    return any;
}

/* "t-0, t-2 and 3 others have no leader" */
static void plan_tell_leaderless(const struct consume *c, const char *then)
{
    char names[1024];
    size_t count = 0, used = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct reading *r = &c->readings[i];
        if (!r->skipped || r->why) {
            continue;
        }
        if (count < NAMED_MAX && used < sizeof names) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%.100s-%d",
                                     count ? ", " : "", r->topic, (int)r->partition);
        }
        count++;
    }
    if (count > NAMED_MAX) {
        cli_say("%s and %zu others have no leader at the moment: %s", names, count - NAMED_MAX,
                then);
    } else if (count) {
        cli_say("%s %s no leader at the moment: %s", names, count == 1 ? "has" : "have", then);
    }
}

void consume_tell_skipped(struct consume *c)
{
    bool bounded = consume_bounded(c->job);
    leat_error why;
    plan_tell_leaderless(c, bounded ? "not read" : "read when there is one");
    for (size_t i = 0; i < c->count; i++) {
        const struct reading *r = &c->readings[i];
        if (r->skipped && r->why) {
            cli_say("%s-%d is not read%s: %s", r->topic, (int)r->partition,
                    bounded ? "" : " at the moment", r->why);
        }
    }
    if (cli_lost(c->cli, LEAT_ERR_TIMEOUT, &why)) {
        cli_say("%s", why.message);
    }
}
