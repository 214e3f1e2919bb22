/* SPDX-License-Identifier: Apache-2.0 */

/* leat topic list|create|delete|describe|alter|add-partitions|trim|offsets */
#include "cli/offsets.h"
#include "cli/output.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    FLAG_ALL,
};

static const struct cli_flag topic_flags[] = {
    {FLAG_PARTITIONS, 'p', "partitions", true},
    {FLAG_PARTITIONS, 0, "partition", true},
    {FLAG_REPLICAS, 'r', "replicas", true},
    {FLAG_REPLICAS, 0, "replication-factor", true},
    {FLAG_CONFIG, 'c', "topic-config", true},
    {FLAG_CONFIG, 0, "set", true},
    {FLAG_UNSET, 0, "unset", true},
    {FLAG_IF_NOT_EXISTS, 0, "if-not-exists", false},
    {FLAG_IF_EXISTS, 0, "if-exists", false},
    {FLAG_INTERNAL, 'i', "internal", false},
    {FLAG_TOTAL, 0, "total", true},
    {FLAG_ADD, 0, "add", true},
    {FLAG_OFFSET, 'o', "offset", true},
    {FLAG_TIME, 't', "time", true},
    {FLAG_VALIDATE, 0, "validate-only", false},
    {FLAG_ALL, 'a', "all", false},
    {0, 0, NULL, false},
};

struct topic_job {
    const char **names;
    size_t name_count;
    int32_t partitions, replicas, total, add;
    leat_config *configs;
    size_t config_count;
    bool if_not_exists, if_exists, internal, validate, all;
    const char *offset, *time;
};

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
    case FLAG_ALL:
        job->all = true;
        break;
    default:
        job->names = cli_resize(job->names, (job->name_count + 1) * sizeof *job->names);
        job->names[job->name_count++] = a->value;
        break;
    }
}

static const char *topic_one(const struct topic_job *job)
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
        if (t->internal && !job->internal && !job->all) {
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

static json_t *partitions_json(struct cli *cli, const leat_meta_topic *t)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < t->partition_count; i++) {
        const leat_meta_partition *p = t->partitions[i];
        int64_t low = -1, end = -1;
        if (p->leader >= 0) {
            low = offset_or_fail(cli, t->name, p->id, LEAT_EARLIEST);
            end = offset_or_fail(cli, t->name, p->id, LEAT_LATEST);
        }
        json_array_append_new(rows,
                              json_pack("{s:i,s:i,s:i,s:o,s:o,s:I,s:I}", "partition", (int)p->id,
                                        "leader", (int)p->leader, "epoch", (int)p->leader_epoch,
                                        "replicas", numbers_json(p->replicas, p->replica_count),
                                        "in_sync", numbers_json(p->in_sync, p->in_sync_count),
                                        "start", (json_int_t)low, "end", (json_int_t)end));
    }
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

static int topic_describe(struct cli *cli, struct topic_job *job)
{
    static const struct column columns[] = {{"partition", "PARTITION", true},
                                            {"leader", "LEADER", true},
                                            {"epoch", "EPOCH", true},
                                            {"replicas", "REPLICAS", false},
                                            {"in_sync", "IN-SYNC", false},
                                            {"start", "START", true},
                                            {"end", "END", true},
                                            {NULL, NULL, false}};
    json_t *all = json_array();
    if (job->name_count == 0) {
        cli_usage("describe which topic?");
    }
    for (size_t i = 0; i < job->name_count; i++) {
        leat_meta *meta = cli_metadata(cli, job->names[i], false);
        const leat_meta_topic *t = meta->topics[0];
        json_array_append_new(all, json_pack("{s:s,s:s,s:b,s:o,s:o}", "name", t->name, "id", t->id,
                                             "internal", t->internal, "partitions",
                                             partitions_json(cli, t), "configs",
                                             cli_configs(cli, LEAT_RESOURCE_TOPIC, t->name)));
        leat_meta_free(meta);
    }
    if (output_value(cli, all)) {
        return EXIT_DONE;
    }
    size_t index;
    json_t *one;
    json_array_foreach(all, index, one)
    {
        printf("%s%s  (id %s)\n\n", index ? "\n" : "",
               json_string_value(json_object_get(one, "name")),
               json_string_value(json_object_get(one, "id")));
        output_table(json_object_get(one, "partitions"), columns);
        putchar('\n');
        output_table(json_object_get(one, "configs"), cli_config_columns);
    }
    json_decref(all);
    return EXIT_DONE;
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int topic_offsets(struct cli *cli, struct topic_job *job)
{
    static const struct column columns[] = {
        {"topic", "TOPIC", false}, {"partition", "PARTITION", true}, {"start", "START", true},
        {"end", "END", true},      {"records", "RECORDS", true},     {NULL, NULL, false}};
    static const struct column time_columns[] = {{"topic", "TOPIC", false},
                                                 {"partition", "PARTITION", true},
                                                 {"offset", "OFFSET", true},
                                                 {NULL, NULL, false}};
    int64_t when = 0;
    if (job->time && !text_time_parse(job->time, strlen(job->time), wall_ms(), &when)) {
        cli_usage("-t: '%s' is not a time: 2026-11-22T11:24:03Z, milliseconds, -5m", job->time);
    }
    if (job->name_count == 0) {
        cli_usage("offsets of which topic?");
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < job->name_count; i++) {
        leat_meta *meta = cli_metadata(cli, job->names[i], false);
        const leat_meta_topic *t = meta->topics[0];
        for (size_t j = 0; j < t->partition_count; j++) {
            int32_t p = t->partitions[j]->id;
            if (job->time) {
                int64_t at = offset_or_fail(cli, t->name, p, when);
                json_array_append_new(rows,
                                      json_pack("{s:s,s:i,s:I}", "topic", t->name, "partition",
                                                (int)p, "offset", (json_int_t)at));
                continue;
            }
            int64_t low = offset_or_fail(cli, t->name, p, LEAT_EARLIEST);
            int64_t end = offset_or_fail(cli, t->name, p, LEAT_LATEST);
            json_array_append_new(rows,
                                  json_pack("{s:s,s:i,s:I,s:I,s:I}", "topic", t->name, "partition",
                                            (int)p, "start", (json_int_t)low, "end",
                                            (json_int_t)end, "records", (json_int_t)(end - low)));
        }
        leat_meta_free(meta);
    }
    output_rows(cli, rows, job->time ? time_columns : columns);
    return EXIT_DONE;
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
        if (code) {
            cli_fail(cli, &e);
        }
        if (!cli->quiet) {
            printf(job->validate ? "topic %s could be created\n" : "created topic %s\n",
                   job->names[i]);
        }
    }
    return EXIT_DONE;
}

static int topic_delete(struct cli *cli, struct topic_job *job)
{
    leat_error e;
    if (job->name_count == 0) {
        cli_usage("delete which topic?");
    }
    for (size_t i = 0; i < job->name_count; i++) {
        int code = leat_topic_delete(cli->client, job->names[i], &e);
        if (code == LEAT_ERR_UNKNOWN_TOPIC && job->if_exists) {
            continue;
        }
        if (code) {
            cli_fail(cli, &e);
        }
        if (!cli->quiet) {
            printf("deleted topic %s\n", job->names[i]);
        }
    }
    return EXIT_DONE;
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
    if (!cli->quiet) {
        printf("altered topic %s\n", topic);
    }
    return EXIT_DONE;
}

static int topic_grow(struct cli *cli, struct topic_job *job)
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
    if (!cli->quiet) {
        printf("topic %s has %d partitions\n", topic, (int)total);
    }
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
    if (!offsets_parse(&range, job->offset, wall_ms(), error, sizeof error)) {
        cli_usage("-o: %s", error);
    }
    leat_meta *meta = cli_metadata(cli, topic, false);
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
            cli_fail(cli, &e);
        }
        if (!cli->quiet) {
            printf("%s-%d begins at offset %lld\n", topic, (int)p, (long long)low);
        }
    }
    leat_meta_free(meta);
    return EXIT_DONE;
}

int command_topic(struct cli *cli, struct args *a)
{
    static const struct {
        const char *name;
        int (*run)(struct cli *cli, struct topic_job *job);
    } actions[] = {
        {"list", topic_list},   {"create", topic_create},     {"delete", topic_delete},
        {"alter", topic_alter}, {"describe", topic_describe}, {"add-partitions", topic_grow},
        {"trim", topic_trim},   {"offsets", topic_offsets},   {"ls", topic_list},
    };
    struct topic_job job = {.partitions = -1};
    const char *action = NULL;
    int id;
    a->flags = topic_flags;
    while ((id = args_next(a, cli)) != ARG_END) {
        if (id == ARG_WORD && !action) {
            action = a->value;
        } else {
            topic_flag(a, &job, id);
        }
    }
    for (size_t i = 0; action && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, action) == 0) {
            cli_connect(cli);
            int status = actions[i].run(cli, &job);
            free(job.names);
            free(job.configs);
            return status;
        }
    }
    cli_usage("topic list, create, delete, describe, alter, add-partitions, trim or offsets?");
}
