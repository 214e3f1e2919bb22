/* SPDX-License-Identifier: Apache-2.0 */

/* leat topic reassign|elect */
#include "cli/output.h"
#include "cli/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
                                         int32_t partition))
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
            each(cli, job, topic, t->partitions[i]->id);
        }
    }
    leat_meta_free(meta);
}

/* --- reassign --- */

static void reassign_one(struct cli *cli, struct topic_job *job, const char *topic,
                         int32_t partition)
{
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

/* Those of a topic that move: others need not be called off. */
static int cancel_all(struct cli *cli, struct topic_job *job)
{
    const char *topic = topic_one(job);
    leat_moves *moves;
    leat_error e;
    if (job->partitions >= 0) {
        partitions_each(cli, job, cancel_one);
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
    if (topic) {
        leat_meta_free(cli_metadata(cli, topic, false));
    }
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
    json_t *rows = json_array();
    for (size_t i = 0; i < job->name_count; i++) {
        moves_rows(cli, job->names[i], rows);
    }
    if (job->name_count == 0) {
        moves_rows(cli, NULL, rows);
    }
    if (cli->output == OUTPUT_TABLE && json_array_size(rows) == 0) {
        json_decref(rows);
        cli_say("no partition is being reassigned");
        return EXIT_DONE;
    }
    output_rows(cli, rows, columns);
    return EXIT_DONE;
}

int topic_reassign(struct cli *cli, struct topic_job *job)
{
    if (job->brokers && job->cancel) {
        cli_usage("--replicas or --cancel?");
    }
    if (job->cancel) {
        return cancel_all(cli, job);
    }
    if (!job->brokers && job->partitions >= 0) {
        cli_usage("where to? --replicas 1,2,3, or --cancel");
    }
    if (!job->brokers) {
        return moves_show(cli, job);
    }
    partitions_each(cli, job, reassign_one);
    return EXIT_DONE;
}

/* --- elect --- */

static void elect_one(struct cli *cli, struct topic_job *job, const char *topic, int32_t partition)
{
    leat_error e;
    bool elected;
    if (leat_topic_elect(cli->client, topic, partition,
                         job->unclean ? LEAT_ELECTION_UNCLEAN : LEAT_ELECTION_PREFERRED, &elected,
                         &e)) {
        topic_fail(cli, job, &e);
    }
    topic_done(
        cli, job,
        json_pack("{s:s,s:i,s:b}", "topic", topic, "partition", (int)partition, "elected", elected),
        elected        ? "%s-%d has another leader\n"
        : job->unclean ? "%s-%d has a leader\n"
                       : "%s-%d is led by its preferred replica\n",
        topic, (int)partition);
}

int topic_elect(struct cli *cli, struct topic_job *job)
{
    partitions_each(cli, job, elect_one);
    return EXIT_DONE;
}
