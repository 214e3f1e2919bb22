/* SPDX-License-Identifier: Apache-2.0 */

/* leat topic list|create|delete|describe|alter|add-partitions|trim|offsets; topic_replicas.c has the rest */
#include "cli/topic.h"

#include "cli/offsets.h"
#include "cli/output.h"
#include "cli/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum topic_flag {
    FLAG_PARTITIONS = 1,
    FLAG_REPLICAS,
    FLAG_CONFIG,
    FLAG_UNSET,
    FLAG_IF_NOT_EXISTS,
    FLAG_IF_EXISTS,
    FLAG_INTERNAL,
    FLAG_TOTAL,
    FLAG_ADD,
    FLAG_OFFSET,
    FLAG_TIME,
    FLAG_VALIDATE,
    FLAG_BROKERS,
    FLAG_BROKERS_SHORT,
    FLAG_SHRINK,
    FLAG_CANCEL,
    FLAG_UNCLEAN,
};

static const struct cli_flag topic_flags[] = {
    {FLAG_PARTITIONS, 'p', "partitions", "N", "how many", "create"},
    {FLAG_PARTITIONS, 'p', "partition", "N", "this one alone", "trim reassign elect"},
    {FLAG_REPLICAS, 'r', "replicas", "N", "copies of each partition", "create"},
    {FLAG_BROKERS, 0, "replicas", "ID,ID...", "to these brokers, the preferred leader first",
     "reassign"},
    {FLAG_BROKERS_SHORT, 'r', NULL, NULL, NULL, "reassign"},
    {FLAG_SHRINK, 0, "shrink", NULL, "fewer replicas than before are meant", "reassign"},
    {FLAG_CANCEL, 0, "cancel", NULL, "call off what is under way", "reassign"},
    {FLAG_UNCLEAN, 0, "unclean", NULL, "where nobody leads: any replica; what it lacks is lost",
     "elect"},
    {FLAG_REPLICAS, 0, "replication-factor", "N", NULL, "create"},
    {FLAG_CONFIG, 'c', "topic-config", "KEY=VALUE", "a configuration, as often as wanted", "create",
     "@topic-config"},
    {FLAG_CONFIG, 0, "set", "KEY=VALUE", "changes one key", "alter create", "@topic-config"},
    {FLAG_UNSET, 0, "unset", "KEY", "back to the default", "alter"},
    {FLAG_IF_NOT_EXISTS, 0, "if-not-exists", NULL, "one that is there is fine", "create"},
    {FLAG_IF_EXISTS, 0, "if-exists", NULL, "one that is not there is fine", "delete"},
    {FLAG_INTERNAL, 'i', "internal", NULL, "also those of the broker itself", "list delete"},
    {FLAG_TOTAL, 0, "total", "N", "partitions afterwards", "add-partitions"},
    {FLAG_ADD, 0, "add", "N", "so many more", "add-partitions"},
    {FLAG_OFFSET, 'o', "offset", "OFFSET", "forget what lies before: N, end, -N, @TIME", "trim"},
    {FLAG_TIME, 't', "time", "TIME", "offsets of a time: 2026-11-22T11:24:03Z, ms, -5m", "offsets"},
    {FLAG_VALIDATE, 0, "validate-only", NULL, "check, do not create", "create"},
    {FLAG_INTERNAL, 'a', "all", NULL, NULL, "list"},
    {0},
};

enum topic_action {
    TOPIC_LIST = 1,
    TOPIC_CREATE,
    TOPIC_DELETE,
    TOPIC_DESCRIBE,
    TOPIC_ALTER,
    TOPIC_GROW,
    TOPIC_TRIM,
    TOPIC_OFFSETS,
    TOPIC_REASSIGN,
    TOPIC_ELECT,
};

static const struct cli_action topic_actions[] = {
    {"list", TOPIC_LIST, "", "the topics", NULL},
    {"create", TOPIC_CREATE, "TOPIC...", "makes topics", NULL},
    {"delete", TOPIC_DELETE, "TOPIC...", "deletes topics and all their records", "@topic"},
    {"describe", TOPIC_DESCRIBE, "TOPIC...", "partitions, offsets, configuration", "@topic"},
    {"alter", TOPIC_ALTER, "TOPIC", "changes the configuration", "@topic"},
    {"add-partitions", TOPIC_GROW, "TOPIC", "makes a topic wider", "@topic"},
    {"trim", TOPIC_TRIM, "TOPIC", "forgets the oldest records", "@topic"},
    {"offsets", TOPIC_OFFSETS, "TOPIC...",
     "first and next offset of each partition, or those of a time", "@topic"},
    {"reassign", TOPIC_REASSIGN, "[TOPIC]", "other replicas; or what is on its way to others",
     "@topic"},
    {"elect", TOPIC_ELECT, "TOPIC", "leadership back to the first replicas", "@topic"},
    {"ls", TOPIC_LIST, "", NULL, NULL},
    {NULL, 0, NULL, NULL, NULL},
};

void topic_done(struct cli *cli, struct topic_job *job, json_t *row, const char *format, ...)
{
    if (cli->output == OUTPUT_TABLE && !cli->quiet) {
        va_list arguments;
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
    }
    job->done = job->done ? job->done : json_array();
    json_array_append_new(job->done, row);
}

_Noreturn void topic_fail(struct cli *cli, struct topic_job *job, const leat_error *e)
{
    if (job->done && cli->output != OUTPUT_TABLE) {
        output_value(cli, job->done);
    }
    if (e->code == LEAT_ERR_TIMEOUT || e->code == LEAT_ERR_REQUEST_TIMED_OUT) {
        cli_say("nobody has answered in time: what was asked may still be done (leat topic list)");
    }
    cli_fail(cli, e);
}

void topic_refused(struct cli *cli, struct topic_job *job, size_t index, json_t *row,
                   const leat_error *e)
{
    job->done = job->done ? job->done : json_array();
    if (output_refused(cli, &job->status, job->done, row, e)) {
        return;
    }
    for (size_t i = index + 1; i < job->name_count; i++) {
        cli_say("topic %s was not asked for any more", job->names[i]);
    }
    topic_fail(cli, job, e);
}

static void topic_config(struct topic_job *job, const char *text, bool unset)
{
    const char *equals = strchr(text, '=');
    if (!unset && !equals) {
        cli_usage("'%s': expected key=value", text);
    }
    job->configs = cli_resize(job->configs, (job->config_count + 1) * sizeof *job->configs);
    size_t size = unset ? strlen(text) : (size_t)(equals - text);
    job->configs[job->config_count++] =
        (leat_config){cli_copy(text, size), unset ? NULL : equals + 1};
}

static void topic_flag(struct args *a, struct topic_job *job, int id)
{
    switch (id) {
    case FLAG_PARTITIONS:
        job->partitions = (int32_t)args_number(a, 0, 1000000);
        break;
    case FLAG_REPLICAS:
        job->replicas = (int32_t)args_number(a, 1, 1000);
        break;
    case FLAG_CONFIG:
        topic_config(job, a->value, false);
        break;
    case FLAG_UNSET:
        topic_config(job, a->value, true);
        break;
    case FLAG_IF_NOT_EXISTS:
        job->if_not_exists = true;
        break;
    case FLAG_IF_EXISTS:
        job->if_exists = true;
        break;
    case FLAG_INTERNAL:
        job->internal = true;
        break;
    case FLAG_TOTAL:
        job->total = (int32_t)args_number(a, 1, 1000000);
        break;
    case FLAG_ADD:
        job->add = (int32_t)args_number(a, 1, 1000000);
        break;
    case FLAG_OFFSET:
        job->offset = a->value;
        break;
    case FLAG_TIME:
        job->time = a->value;
        break;
    case FLAG_VALIDATE:
        job->validate = true;
        break;
    case FLAG_BROKERS:
        job->brokers = a->value;
        break;
    case FLAG_BROKERS_SHORT:
        /* A count in create: 3 would be taken for broker 3, which would be the only one. */
        cli_usage("-r is not known here, it is a number of replicas: --replicas 1,2,3 names the "
                  "brokers");
    case FLAG_SHRINK:
        job->shrink = true;
        break;
    case FLAG_CANCEL:
        job->cancel = true;
        break;
    case FLAG_UNCLEAN:
        job->unclean = true;
        break;
    default:
        job->names = cli_resize(job->names, (job->name_count + 1) * sizeof *job->names);
        job->names[job->name_count++] = a->value;
        break;
    }
}

const char *topic_one(const struct topic_job *job)
{
    if (job->name_count != 1) {
        cli_usage("name one topic");
    }
    return job->names[0];
}

/* --- list, describe, offsets --- */

static int topic_list(struct cli *cli, struct topic_job *job)
{
    static const struct column columns[] = {{"name", "NAME", false},
                                            {"partitions", "PARTITIONS", true},
                                            {"replicas", "REPLICAS", true},
                                            {NULL, NULL, false}};
    leat_meta *meta = cli_metadata(cli, NULL, true);
    json_t *rows = json_array();
    for (size_t i = 0; i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        if (t->internal && !job->internal) {
            continue;
        }
        size_t replicas = t->partition_count ? t->partitions[0]->replica_count : 0;
        json_array_append_new(rows, json_pack("{s:s,s:I,s:I,s:b}", "name", t->name, "partitions",
                                              (json_int_t)t->partition_count, "replicas",
                                              (json_int_t)replicas, "internal", t->internal));
    }
    leat_meta_free(meta);
    if (cli->output == OUTPUT_TABLE && json_array_size(rows) == 0) {
        json_decref(rows);
        cli_say("there are no topics yet: leat topic create NAME");
        return EXIT_DONE;
    }
    output_rows(cli, rows, columns);
    return EXIT_DONE;
}

static json_t *numbers_json(const int32_t *numbers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_integer(numbers[i]));
    }
    return list;
}

static int64_t offset_or_fail(struct cli *cli, const char *topic, int32_t partition, int64_t when)
{
    int64_t offset;
    leat_error e;
    if (leat_offset_at(cli->client, topic, partition, when, &offset, &e)) {
        cli_fail(cli, &e);
    }
    return offset;
}

/* Of a partition that has no leader, or whose leader does not tell. -1 is an answer: no record is so late. */
#define OFFSET_UNKNOWN INT64_MIN

static json_t *offset_json(int64_t offset)
{
    return offset == OFFSET_UNKNOWN ? json_null() : json_integer(offset);
}

/* Offsets of all partitions of a topic, in the order of their numbers, to be freed. Those that are unknown in `before`
 * (NULL: none) are not asked for again. Of one whose leader does not tell that is said; *status, unless it is something
 * already, becomes what fits that. */
static int64_t *offsets_of(struct cli *cli, const leat_meta_topic *t, int64_t when,
                           const int64_t *before, int *status)
{
    size_t count = t->partition_count, asked = 0, at = 0;
    leat_offset_query *queries = cli_alloc((count + 1) * sizeof *queries);
    int64_t *offsets = cli_alloc((count + 1) * sizeof *offsets);
    int first = 0;
    leat_error e;
    for (size_t i = 0; i < count; i++) {
        if (!before || before[i] != OFFSET_UNKNOWN) {
            queries[asked++] = (leat_offset_query){
                .topic = t->name, .partition = t->partitions[i]->id, .when = when};
        }
    }
    if (asked > 0 && leat_offsets_at(cli->client, queries, asked, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < count; i++) {
        offsets[i] = OFFSET_UNKNOWN;
        if (before && before[i] == OFFSET_UNKNOWN) {
            continue;
        }
        const leat_offset_query *q = &queries[at++];
        if (q->code && t->partitions[i]->leader >= 0) {
            first = first ? first : q->code;
            cli_say("the offsets of %s-%d are not known: %s", t->name, (int)q->partition,
                    leat_error_text(q->code));
        }
        offsets[i] = q->code ? OFFSET_UNKNOWN : q->offset;
    }
    if (first && cli_lost(cli, first, &e)) {
        cli_say("%s", e.message);
    }
    *status = *status ? *status : cli_exit_of(first);
    free(queries);
    return offsets;
}

/* Without a controller leaders tell no offsets, and others may be away: that is said once, and nobody is asked. */
static bool offsets_are_told(struct cli *cli)
{
    leat_quorum *quorum;
    leat_error e;
    bool lost = cli_quorum(cli, &quorum, &e) == LEAT_ERR_NO_LEADER;
    leat_quorum_free(quorum);
    if (lost) {
        cli_say("%s", e.message);
        cli_say("offsets are not known, and what is shown is what was so when there was one");
    }
    return !lost;
}

static int64_t *offsets_unknown(const leat_meta_topic *t)
{
    int64_t *offsets = cli_alloc((t->partition_count + 1) * sizeof *offsets);
    for (size_t i = 0; i < t->partition_count; i++) {
        offsets[i] = OFFSET_UNKNOWN;
    }
    return offsets;
}

/* What a broker that does not tell says of it is nothing. */
static const leat_eligible *eligible_of(const leat_eligibles *all, int32_t partition)
{
    for (size_t i = 0; all && i < all->count; i++) {
        if (all->list[i]->partition == partition) {
            return all->list[i];
        }
    }
    return NULL;
}

static json_t *partitions_json(struct cli *cli, const leat_meta_topic *t, bool told)
{
    leat_eligibles *eligibles = NULL;
    (void)!leat_eligible_get(cli->client, t->name, &eligibles, NULL);
    json_t *rows = json_array();
    int status = EXIT_DONE; /* who leads, and who is in sync, is what one needs to know then */
    int64_t *starts = told ? offsets_of(cli, t, LEAT_EARLIEST, NULL, &status) : offsets_unknown(t);
    int64_t *ends = told ? offsets_of(cli, t, LEAT_LATEST, starts, &status) : offsets_unknown(t);
    for (size_t i = 0; i < t->partition_count; i++) {
        const leat_meta_partition *p = t->partitions[i];
        const leat_eligible *x = eligible_of(eligibles, p->id);
        json_array_append_new(
            rows,
            json_pack("{s:i,s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "partition", (int)p->id,
                      "leader", (int)p->leader, "epoch", (int)p->leader_epoch, "replicas",
                      numbers_json(p->replicas, p->replica_count), "in_sync",
                      numbers_json(p->in_sync, p->in_sync_count), "eligible",
                      x ? numbers_json(x->eligible, x->eligible_count) : json_null(), "last_known",
                      x ? numbers_json(x->last_known, x->last_known_count) : json_null(), "offline",
                      numbers_json(p->offline, p->offline_count), "start", offset_json(starts[i]),
                      "end", offset_json(ends[i])));
    }
    leat_eligible_free(eligibles);
    free(starts);
    free(ends);
    return rows;
}

json_t *cli_configs(struct cli *cli, int32_t resource, const char *name)
{
    static const char *const sources[] = {"unknown", "topic",  "broker",
                                          "cluster", "static", "default"};
    leat_configs *configs;
    leat_error e;
    if (leat_configs_get(cli->client, resource, name, &configs, &e)) {
        cli_fail(cli, &e);
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < configs->count; i++) {
        const leat_config_entry *c = configs->entries[i];
        const char *source = c->source >= 0 && c->source <= 5 ? sources[c->source] : "other";
        json_array_append_new(rows, json_pack("{s:s,s:s?,s:s,s:b}", "name", c->name, "value",
                                              c->sensitive ? "(secret)" : c->value, "source",
                                              source, "read_only", c->read_only));
    }
    leat_configs_free(configs);
    return rows;
}

const struct column cli_config_columns[] = {{"name", "CONFIG", false},
                                            {"value", "VALUE", false},
                                            {"source", "SOURCE", false},
                                            {NULL, NULL, false}};

/* For people: a partition that nobody leads says so, and what is not there, or cannot be known, is a dash. */
static void leaderless_show(json_t *partitions)
{
    size_t index;
    json_t *row;
    json_array_foreach(partitions, index, row)
    {
        if (json_integer_value(json_object_get(row, "leader")) < 0) {
            json_object_set_new(row, "leader", json_string("none"));
        }
        static const char *const lists[] = {"in_sync", "eligible", "offline"};
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
            if (json_array_size(json_object_get(row, lists[i])) == 0) {
                json_object_set_new(row, lists[i], json_null());
            }
        }
    }
}

static int topic_describe(struct cli *cli, struct topic_job *job)
{
    static const struct column columns[] = {{"partition", "PARTITION", true},
                                            {"leader", "LEADER", true},
                                            {"epoch", "EPOCH", true},
                                            {"replicas", "REPLICAS", false},
                                            {"in_sync", "IN-SYNC", false},
                                            {"eligible", "ELIGIBLE", false},
                                            {"offline", "OFFLINE", false},
                                            {"start", "START", true},
                                            {"end", "END", true},
                                            {NULL, NULL, false}};
    leat_error e;
    if (job->name_count == 0) {
        cli_usage("describe which topic?");
    }
    job->done = json_array();
    bool told = offsets_are_told(cli);
    for (size_t i = 0; i < job->name_count; i++) {
        leat_meta *meta = cli_topic(cli, job->names[i], &e);
        if (!meta) {
            topic_refused(cli, job, i, json_pack("{s:s}", "name", job->names[i]), &e);
            continue;
        }
        const leat_meta_topic *t = meta->topics[0];
        json_array_append_new(job->done, json_pack("{s:s,s:s,s:b,s:o,s:o}", "name", t->name, "id",
                                                   t->id, "internal", t->internal, "partitions",
                                                   partitions_json(cli, t, told), "configs",
                                                   cli_configs(cli, LEAT_RESOURCE_TOPIC, t->name)));
        leat_meta_free(meta);
    }
    size_t index;
    json_t *one;
    json_array_foreach(cli->output == OUTPUT_TABLE ? job->done : NULL, index, one)
    {
        leaderless_show(json_object_get(one, "partitions"));
        printf("%s%s  (id %s)\n\n", index ? "\n" : "",
               json_string_value(json_object_get(one, "name")),
               json_string_value(json_object_get(one, "id")));
        output_table(json_object_get(one, "partitions"), columns);
        putchar('\n');
        output_table(json_object_get(one, "configs"), cli_config_columns);
    }
    return job->status;
}

/* Names those that nobody leads, so that their offsets are not known. */
static void leaderless_say(const leat_meta_topic *t, const int64_t *offsets, int *status)
{
    enum { NAMED_MAX = 5 };
    char names[NAMED_MAX * 300], more[64] = "";
    size_t count = 0, used = 0;
    for (size_t i = 0; i < t->partition_count; i++) {
        bool leaderless = t->partitions[i]->leader < 0 && offsets[i] == OFFSET_UNKNOWN;
        if (leaderless && count++ < NAMED_MAX) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%.250s-%d",
                                     count > 1 ? ", " : "", t->name, (int)t->partitions[i]->id);
        }
    }
    if (count > NAMED_MAX) {
        snprintf(more, sizeof more, " and %zu more", count - NAMED_MAX);
    }
    if (count > 0) {
        cli_say("offsets are not known without a leader: %s%s", names, more);
        *status = *status ? *status : EXIT_FAILED;
    }
}

/* Of each partition: start and end, or (when) the offset of a time. */
static void offsets_rows(struct cli *cli, struct topic_job *job, const leat_meta_topic *t,
                         const int64_t *when)
{
    int64_t *first = offsets_of(cli, t, when ? *when : LEAT_EARLIEST, NULL, &job->status);
    int64_t *ends = when ? NULL : offsets_of(cli, t, LEAT_LATEST, first, &job->status);
    leaderless_say(t, first, &job->status);
    for (size_t i = 0; i < t->partition_count; i++) {
        json_t *row =
            json_pack("{s:s,s:i,s:o}", "topic", t->name, "partition", (int)t->partitions[i]->id,
                      when ? "offset" : "start", offset_json(first[i]));
        if (!when) {
            bool known = first[i] != OFFSET_UNKNOWN && ends[i] != OFFSET_UNKNOWN;
            json_object_set_new(row, "end", offset_json(ends[i]));
            json_object_set_new(row, "offsets",
                                known ? json_integer(ends[i] - first[i]) : json_null());
        }
        json_array_append_new(job->done, row);
    }
    free(first);
    free(ends);
}

static int topic_offsets(struct cli *cli, struct topic_job *job)
{
    static const struct column columns[] = {
        {"topic", "TOPIC", false}, {"partition", "PARTITION", true}, {"start", "START", true},
        {"end", "END", true},      {"offsets", "OFFSETS", true},     {NULL, NULL, false}};
    static const struct column time_columns[] = {{"topic", "TOPIC", false},
                                                 {"partition", "PARTITION", true},
                                                 {"offset", "OFFSET", true},
                                                 {NULL, NULL, false}};
    int64_t when = 0;
    if (job->time && !text_time_parse(job->time, strlen(job->time), cli_wall_ms(), &when)) {
        cli_usage("-t: '%s' is not a time: 2026-11-22T11:24:03Z, milliseconds, -5m", job->time);
    }
    if (job->name_count == 0) {
        cli_usage("offsets of which topic?");
    }
    leat_error e;
    job->done = json_array();
    for (size_t i = 0; i < job->name_count; i++) {
        leat_meta *meta = cli_topic(cli, job->names[i], &e);
        if (!meta) {
            topic_refused(cli, job, i, json_pack("{s:s}", "topic", job->names[i]), &e);
            continue;
        }
        offsets_rows(cli, job, meta->topics[0], job->time ? &when : NULL);
        leat_meta_free(meta);
    }
    if (cli->output == OUTPUT_TABLE && json_array_size(job->done) > 0) {
        output_table(job->done, job->time ? time_columns : columns);
    }
    return job->status;
}

/* --- changes --- */

static int topic_create(struct cli *cli, struct topic_job *job)
{
    leat_error e;
    if (job->name_count == 0) {
        cli_usage("create which topic?");
    }
    if (job->partitions == 0) {
        cli_usage("-p: a topic has at least one partition");
    }
    for (size_t i = 0; i < job->name_count; i++) {
        leat_topic_spec spec = LEAT_TOPIC_SPEC_INIT;
        spec.name = job->names[i];
        spec.partitions = job->partitions > 0 ? job->partitions : -1;
        spec.replication = job->replicas > 0 ? (int16_t)job->replicas : -1;
        spec.configs = job->configs;
        spec.config_count = job->config_count;
        spec.validate_only = job->validate;
        int code = leat_topic_create(cli->client, &spec, &e);
        if (code == LEAT_ERR_TOPIC_EXISTS && job->if_not_exists) {
            continue;
        }
        json_t *row =
            json_pack("{s:s,s:b}", "topic", job->names[i], "created", !code && !job->validate);
        if (code) {
            topic_refused(cli, job, i, row, &e);
            continue;
        }
        topic_done(cli, job, row,
                   job->validate ? "topic %s could be created\n" : "created topic %s\n",
                   job->names[i]);
    }
    return job->status;
}

/* With the offsets of all groups the place of every consumer is lost: who means that says so. */
static int delete_check(struct cli *cli, const char *topic, leat_error *e)
{
    leat_meta *meta = cli_metadata(cli, topic, true);
    bool internal = meta->topic_count == 1 && meta->topics[0]->internal;
    leat_meta_free(meta);
    *e = (leat_error){.code = internal ? LEAT_ERR_ARGUMENT : 0};
    snprintf(e->message, sizeof e->message,
             "topic %.100s is the broker's own, without it all groups forget how far they came: "
             "--internal deletes it nevertheless",
             topic);
    return e->code;
}

static int topic_delete(struct cli *cli, struct topic_job *job)
{
    leat_error e;
    if (job->name_count == 0) {
        cli_usage("delete which topic?");
    }
    for (size_t i = 0; i < job->name_count; i++) {
        int code = job->internal ? 0 : delete_check(cli, job->names[i], &e);
        code = code ? code : leat_topic_delete(cli->client, job->names[i], &e);
        if (code == LEAT_ERR_UNKNOWN_TOPIC && job->if_exists) {
            continue;
        }
        json_t *row = json_pack("{s:s,s:b}", "topic", job->names[i], "deleted", !code);
        if (code) {
            topic_refused(cli, job, i, row, &e);
            continue;
        }
        topic_done(cli, job, row, "deleted topic %s\n", job->names[i]);
    }
    return job->status;
}

static int topic_alter(struct cli *cli, struct topic_job *job)
{
    leat_error e;
    const char *topic = topic_one(job);
    if (job->config_count == 0) {
        cli_usage("change what? --set key=value, --unset key");
    }
    if (leat_configs_set(cli->client, LEAT_RESOURCE_TOPIC, topic, job->configs, job->config_count,
                         &e)) {
        cli_fail(cli, &e);
    }
    topic_done(cli, job, json_pack("{s:s,s:b}", "topic", topic, "altered", true),
               "altered topic %s\n", topic);
    return EXIT_DONE;
}

static int command_grow(struct cli *cli, struct topic_job *job)
{
    leat_error e;
    const char *topic = topic_one(job);
    int32_t total = job->total;
    if (!job->total == !job->add) {
        cli_usage("how many? --total N, or --add N more");
    }
    if (job->add) {
        leat_meta *meta = cli_metadata(cli, topic, false);
        total = (int32_t)meta->topics[0]->partition_count + job->add;
        leat_meta_free(meta);
    }
    if (leat_topic_grow(cli->client, topic, total, &e)) {
        cli_fail(cli, &e);
    }
    char room[64];
    topic_done(cli, job, json_pack("{s:s,s:i}", "topic", topic, "partitions", (int)total),
               "topic %s has %s\n", topic,
               cli_counted((unsigned long long)total, "partition", "partitions", room));
    return EXIT_DONE;
}

/* An offset that no partition has would forget everything: more likely than meant it is a mistake. */
static void trim_check(struct cli *cli, const struct topic_job *job, const leat_meta_topic *t,
                       int64_t offset)
{
    for (size_t i = 0; i < t->partition_count; i++) {
        int32_t p = t->partitions[i]->id;
        if (job->partitions >= 0 && job->partitions != p) {
            continue;
        }
        int64_t end = offset_or_fail(cli, t->name, p, LEAT_LATEST);
        if (offset > end) {
            cli_usage("%s-%d ends at offset %lld, before %lld: nothing was trimmed (-p N names one "
                      "partition, -o end forgets everything)",
                      t->name, (int)p, (long long)end, (long long)offset);
        }
    }
}

static int topic_trim(struct cli *cli, struct topic_job *job)
{
    struct offset_range range = {0};
    char error[160];
    leat_error e;
    const char *topic = topic_one(job);
    if (!job->offset) {
        cli_usage("trim to where? -o OFFSET (or end, -N, @TIME), for all partitions or -p N");
    }
    if (!offsets_parse(&range, job->offset, cli_wall_ms(), error, sizeof error)) {
        cli_usage("-o: %s", error);
    }
    if (range.stop.kind != OFFSET_NONE) {
        cli_usage("-o: trim to one offset, not a range: what lies before it is forgotten");
    }
    leat_meta *meta = cli_metadata(cli, topic, false);
    if (meta->topics[0]->internal) {
        cli_say("topic %s is the broker's own: it is compacted, nobody trims it", topic);
        exit(EXIT_FAILED);
    }
    if (job->partitions >= 0 && (size_t)job->partitions >= meta->topics[0]->partition_count) {
        cli_say("topic %s has no partition %d", topic, (int)job->partitions);
        exit(EXIT_NOT_FOUND);
    }
    if (range.start.kind == OFFSET_NUMBER) {
        trim_check(cli, job, meta->topics[0], range.start.value);
    }
    for (size_t i = 0; i < meta->topics[0]->partition_count; i++) {
        int32_t p = meta->topics[0]->partitions[i]->id;
        int64_t low;
        if (job->partitions >= 0 && job->partitions != p) {
            continue;
        }
        int64_t at =
            range.start.kind == OFFSET_TIME ? offset_or_fail(cli, topic, p, range.start.value) : -1;
        int64_t to = offsets_resolve(&range.start, offset_or_fail(cli, topic, p, LEAT_EARLIEST),
                                     offset_or_fail(cli, topic, p, LEAT_LATEST), at);
        if (leat_topic_trim(cli->client, topic, p, to, &low, &e)) {
            topic_fail(cli, job, &e);
        }
        topic_done(cli, job,
                   json_pack("{s:s,s:i,s:I}", "topic", topic, "partition", (int)p, "start",
                             (json_int_t)low),
                   "%s-%d begins at offset %lld\n", topic, (int)p, (long long)low);
    }
    leat_meta_free(meta);
    return EXIT_DONE;
}

static int topic_run(struct cli *cli, struct args *a)
{
    static int (*const runs[])(struct cli * cli, struct topic_job * job) = {
        [TOPIC_LIST] = topic_list,         [TOPIC_CREATE] = topic_create,
        [TOPIC_DELETE] = topic_delete,     [TOPIC_DESCRIBE] = topic_describe,
        [TOPIC_ALTER] = topic_alter,       [TOPIC_GROW] = command_grow,
        [TOPIC_TRIM] = topic_trim,         [TOPIC_OFFSETS] = topic_offsets,
        [TOPIC_REASSIGN] = topic_reassign, [TOPIC_ELECT] = topic_elect,
    };
    struct topic_job job = {.partitions = -1};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        topic_flag(a, &job, id);
    }
    int action = args_action(a);
    cli_connect(cli);
    int status = runs[action](cli, &job);
    if (job.done) {
        (void)output_done(cli, job.done);
    }
    free(job.names);
    free(job.configs);
    return status;
}

const struct cli_command command_topic = {
    .name = "topic",
    .words = "ACTION",
    .summary = "topics: making, showing, changing them",
    .flags = topic_flags,
    .actions = topic_actions,
    .run = topic_run,
};
