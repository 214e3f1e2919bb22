/* SPDX-License-Identifier: Apache-2.0 */

/* leat topic reassign|elect */
#include "cli/cluster.h"
#include "cli/output.h"
#include "cli/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPLICAS_MAX = 64 };

struct replicas {
    int32_t ids[REPLICAS_MAX];
    size_t count;
};

static void replicas_parse(struct replicas *r, const char *text)
{
    const char *at = text;
    do {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || errno || id > INT32_MAX ||
            (*end && (*end != ',' || !end[1])) || r->count == REPLICAS_MAX) {
            cli_usage("--replicas: '%s' is no list of brokers: 1,2,3, the preferred leader first",
                      text);
        }
        r->ids[r->count++] = (int32_t)id;
        at = *end ? end + 1 : end;
    } while (*at);
}

/* The list for a partition: every one begins with the next broker, so that all lead something. */
static void replicas_turn(const struct replicas *r, size_t by, struct replicas *out)
{
    out->count = r->count;
    for (size_t i = 0; i < r->count; i++) {
        out->ids[i] = r->ids[(i + by) % r->count];
    }
}

static json_t *ids_json(const int32_t *ids, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_integer(ids[i]));
    }
    return list;
}

static char *ids_text(const struct replicas *r)
{
    size_t size = r->count * 12 + 1;
    char *text = cli_alloc(size), *at = text;
    *at = 0;
    for (size_t i = 0; i < r->count; i++) {
        at += snprintf(at, size - (size_t)(at - text), "%s%d", i ? "," : "", (int)r->ids[i]);
    }
    return text;
}

/* Calls `each` for the partition that is named, or for all. */
static void partitions_each(struct cli *cli, struct topic_job *job,
                            void (*each)(struct cli *cli, struct topic_job *job, const char *topic,
                                         const leat_meta_partition *partition))
{
    const char *topic = topic_one(job);
    leat_meta *meta = cli_metadata(cli, topic, false);
    const leat_meta_topic *t = meta->topics[0];
    if (job->partitions >= 0 && (size_t)job->partitions >= t->partition_count) {
        cli_say("topic %s has no partition %d", topic, (int)job->partitions);
        exit(EXIT_NOT_FOUND);
    }
    for (size_t i = 0; i < t->partition_count; i++) {
        if (job->partitions < 0 || job->partitions == t->partitions[i]->id) {
            each(cli, job, topic, t->partitions[i]);
        }
    }
    leat_meta_free(meta);
}

/* --- reassign --- */

static const leat_move *move_of(const leat_moves *moves, int32_t partition)
{
    for (size_t i = 0; i < moves->count; i++) {
        if (moves->list[i]->partition == partition) {
            return moves->list[i];
        }
    }
    return NULL;
}

/* Fewer replicas than before survive less, which is more likely a mistake than meant. Replicas that only come with a
 * reassignment that is under way are not there yet. Looked at before anything is changed. */
static void shrink_check(struct cli *cli, const struct topic_job *job)
{
    struct replicas all = {.count = 0};
    leat_moves *moves;
    leat_error e;
    replicas_parse(&all, job->brokers);
    const char *topic = topic_one(job);
    leat_meta *meta = cli_metadata(cli, topic, false);
    if (leat_moves_get(cli->client, topic, &moves, &e)) {
        cli_fail(cli, &e);
    }
    const leat_meta_topic *t = meta->topics[0];
    for (size_t i = 0; i < t->partition_count; i++) {
        const leat_meta_partition *p = t->partitions[i];
        const leat_move *move = move_of(moves, p->id);
        size_t has = move ? move->replica_count - move->adding_count : p->replica_count;
        if ((job->partitions < 0 || job->partitions == p->id) && all.count < has) {
            char room[64];
            cli_usage("%s-%d has %s and would have %zu: nothing was changed (--shrink says that "
                      "this is meant)",
                      topic, (int)p->id, cli_counted(has, "replica", "replicas", room), all.count);
        }
    }
    leat_moves_free(moves);
    leat_meta_free(meta);
}

static void reassign_one(struct cli *cli, struct topic_job *job, const char *topic,
                         const leat_meta_partition *p)
{
    int32_t partition = p->id;
    struct replicas all = {.count = 0}, mine;
    leat_error e;
    replicas_parse(&all, job->brokers);
    replicas_turn(&all, job->partitions < 0 ? (size_t)partition : 0, &mine);
    if (leat_topic_reassign(cli->client, topic, partition, mine.ids, mine.count, &e)) {
        topic_fail(cli, job, &e);
    }
    char *text = ids_text(&mine);
    topic_done(cli, job,
               json_pack("{s:s,s:i,s:o}", "topic", topic, "partition", (int)partition, "replicas",
                         ids_json(mine.ids, mine.count)),
               "%s-%d goes to %s\n", topic, (int)partition, text);
    free(text);
}

static void cancel_one(struct cli *cli, struct topic_job *job, const char *topic, int32_t partition)
{
    leat_error e;
    if (leat_topic_reassign(cli->client, topic, partition, NULL, 0, &e)) {
        topic_fail(cli, job, &e);
    }
    topic_done(
        cli, job,
        json_pack("{s:s,s:i,s:b}", "topic", topic, "partition", (int)partition, "cancelled", true),
        "%s-%d stays where it was\n", topic, (int)partition);
}

static void cancel_found(struct cli *cli, struct topic_job *job, const char *topic,
                         const leat_meta_partition *p)
{
    cancel_one(cli, job, topic, p->id);
}

/* Those of a topic that move: others need not be called off. */
static int cancel_all(struct cli *cli, struct topic_job *job)
{
    const char *topic = topic_one(job);
    leat_moves *moves;
    leat_error e;
    if (job->partitions >= 0) {
        partitions_each(cli, job, cancel_found);
        return EXIT_DONE;
    }
    leat_meta_free(cli_metadata(cli, topic, false)); /* it is there */
    if (leat_moves_get(cli->client, topic, &moves, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < moves->count; i++) {
        cancel_one(cli, job, topic, moves->list[i]->partition);
    }
    if (moves->count == 0 && cli->output == OUTPUT_TABLE) {
        cli_say("no partition of %s is being reassigned", topic);
    }
    leat_moves_free(moves);
    return EXIT_DONE;
}

static void moves_rows(struct cli *cli, const char *topic, json_t *rows)
{
    leat_moves *moves;
    leat_error e;
    if (leat_moves_get(cli->client, topic, &moves, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < moves->count; i++) {
        const leat_move *m = moves->list[i];
        json_array_append_new(rows, json_pack("{s:s,s:i,s:o,s:o,s:o}", "topic", m->topic,
                                              "partition", (int)m->partition, "replicas",
                                              ids_json(m->replicas, m->replica_count), "adding",
                                              ids_json(m->adding, m->adding_count), "removing",
                                              ids_json(m->removing, m->removing_count)));
    }
    leat_moves_free(moves);
}

static int moves_show(struct cli *cli, struct topic_job *job)
{
    static const struct column columns[] = {
        {"topic", "TOPIC", false},       {"partition", "PARTITION", true},
        {"replicas", "REPLICAS", false}, {"adding", "ADDING", false},
        {"removing", "REMOVING", false}, {NULL, NULL, false}};
    leat_error e;
    job->done = json_array();
    for (size_t i = 0; i < job->name_count; i++) {
        leat_meta *meta = cli_topic(cli, job->names[i], &e);
        if (meta) {
            moves_rows(cli, job->names[i], job->done);
        } else {
            topic_refused(cli, job, i, json_pack("{s:s}", "topic", job->names[i]), &e);
        }
        leat_meta_free(meta);
    }
    if (job->name_count == 0) {
        moves_rows(cli, NULL, job->done);
    }
    if (cli->output == OUTPUT_TABLE && json_array_size(job->done) > 0) {
        output_table(job->done, columns);
    } else if (cli->output == OUTPUT_TABLE && job->status == EXIT_DONE) {
        cli_say("no partition is being reassigned");
    }
    return job->status;
}

int topic_reassign(struct cli *cli, struct topic_job *job)
{
    if (job->brokers && job->cancel) {
        cli_usage("--replicas or --cancel?");
    }
    if (job->cancel) {
        return cancel_all(cli, job);
    }
    if (!job->brokers && job->shrink) {
        cli_usage("--shrink belongs to --replicas");
    }
    if (!job->brokers && job->partitions >= 0) {
        cli_usage("where to? --replicas 1,2,3, or --cancel");
    }
    if (!job->brokers) {
        return moves_show(cli, job);
    }
    if (!job->shrink) {
        shrink_check(cli, job);
    }
    partitions_each(cli, job, reassign_one);
    return EXIT_DONE;
}

/* --- elect --- */

/* Who leads after an election that left it open: the broker that is asked may be a moment behind. -1: nobody. */
static int32_t leader_after(struct cli *cli, const char *topic, int32_t partition)
{
    enum { TRIES = 20, PAUSE_US = 50000 };
    for (int i = 0; i < TRIES && !cli_interrupted; i++) {
        leat_meta *meta = cli_metadata(cli, topic, false);
        const leat_meta_topic *t = meta->topics[0];
        bool there = partition >= 0 && (size_t)partition < t->partition_count;
        int32_t leader = there ? t->partitions[partition]->leader : -1;
        leat_meta_free(meta);
        if (leader >= 0) {
            return leader;
        }
        usleep(PAUSE_US);
    }
    return -1;
}

/* Why the first replica cannot lead, and what to do. */
static void preferred_why(struct cli *cli, const char *topic, const leat_meta_partition *p,
                          char *out, size_t size)
{
    int32_t first = p->replicas[0];
    bool drained = false;
    size_t index;
    json_t *number, *all = cluster_draining(cli);
    json_array_foreach(all, index, number)
    {
        drained = drained || json_integer_value(number) == first;
    }
    json_decref(all);
    if (cluster_holds(p->offline, p->offline_count, first)) {
        snprintf(out, size,
                 "is not heard of: start it, or choose other replicas (leat topic reassign)");
    } else if (p->leader < 0) {
        snprintf(out, size,
                 "may lack what was acknowledged: start the brokers of its other replicas, or give "
                 "that up (leat topic elect %.200s -p %d --unclean)",
                 topic, (int)p->id);
    } else if (drained) {
        snprintf(out, size, "is drained (leat cluster undrain %d)", (int)first);
    } else {
        snprintf(out, size,
                 "is not in sync: try again when leat topic describe %.200s shows that it is",
                 topic);
    }
}

static void elect_refused(struct cli *cli, struct topic_job *job, const char *topic,
                          const leat_meta_partition *p, const leat_error *e)
{
    char why[512] = "";
    if (e->code == LEAT_ERR_PREFERRED_LEADER && p->replica_count > 0) {
        preferred_why(cli, topic, p, why, sizeof why);
        char leads[48] = "has no leader";
        if (p->leader >= 0) {
            snprintf(leads, sizeof leads, "broker %d goes on leading", (int)p->leader);
        }
        cli_say("%s-%d: %s: broker %d, its preferred replica, %s", topic, (int)p->id, leads,
                (int)p->replicas[0], why);
    } else if (e->code == LEAT_ERR_ELIGIBLE_LEADERS) {
        cli_say("%s-%d: has no leader, and none of its replicas is heard of and sound: start one "
                "of them",
                topic, (int)p->id);
    } else {
        topic_fail(cli, job, e);
    }
    job->status = EXIT_FAILED;
    topic_done(cli, job,
               json_pack("{s:s,s:i,s:b,s:i,s:s}", "topic", topic, "partition", (int)p->id,
                         "elected", false, "leader", (int)p->leader, "error", e->message),
               "%s", "");
}

static void elect_one(struct cli *cli, struct topic_job *job, const char *topic,
                      const leat_meta_partition *p)
{
    leat_error e;
    bool elected;
    if (leat_topic_elect(cli->client, topic, p->id,
                         job->unclean ? LEAT_ELECTION_UNCLEAN : LEAT_ELECTION_PREFERRED, &elected,
                         &e)) {
        elect_refused(cli, job, topic, p, &e);
        return;
    }
    int32_t before = p->leader,
            leader = !job->unclean && p->replica_count ? p->replicas[0] : before;
    if (job->unclean && (elected || before < 0)) {
        leader = leader_after(cli, topic, p->id);
    }
    char was[48] = "nobody";
    if (before >= 0) {
        snprintf(was, sizeof was, "broker %d", (int)before);
    }
    topic_done(cli, job,
               json_pack("{s:s,s:i,s:b,s:i,s:i}", "topic", topic, "partition", (int)p->id,
                         "elected", elected, "leader_before", (int)before, "leader", (int)leader),
               leader < 0 ? "%s-%d: elected, and who leads is not shown yet (leat topic describe)\n"
               : elected && before != leader ? "%s-%d: broker %d leads now, %s led before\n"
               : elected                     ? "%s-%d: broker %d leads now\n"
               : job->unclean
                   ? "%s-%d: broker %d leads: there is nothing to elect while somebody does\n"
                   : "%s-%d: broker %d leads already, its preferred replica\n",
               topic, (int)p->id, (int)leader, was);
}

int topic_elect(struct cli *cli, struct topic_job *job)
{
    partitions_each(cli, job, elect_one);
    return job->status;
}
