/* SPDX-License-Identifier: Apache-2.0 */

/* leat group list|describe|lag|delete; reset is in group_reset.c. */
#include "cli/group.h"

#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

enum group_flag {
    FLAG_TOPIC = 1,
    FLAG_EARLIEST,
    FLAG_LATEST,
    FLAG_OFFSET,
    FLAG_TIME,
    FLAG_SHIFT,
    FLAG_EXECUTE,
};

static const struct cli_flag group_flags[] = {
    {FLAG_TOPIC, 't', "topic", "TOPIC[:0,1]",
     "this topic, or these partitions of it; as often as wanted", "reset delete", "@topic"},
    {FLAG_EARLIEST, 0, "to-earliest", NULL, "to the first record that is there", "reset"},
    {FLAG_LATEST, 0, "to-latest", NULL, "to the end: what comes from now on", "reset"},
    {FLAG_OFFSET, 0, "to-offset", "N", "to this offset", "reset"},
    {FLAG_TIME, 0, "to-time", "TIME", "to a time: 2026-11-22T11:24:03Z, milliseconds, -5m",
     "reset"},
    {FLAG_SHIFT, 0, "shift", "N", "N records ahead, or with -N back", "reset"},
    {FLAG_EXECUTE, 0, "execute", NULL, "do it; else the changes are only shown", "reset"},
    {0},
};

enum group_action { GROUP_LIST = 1, GROUP_DESCRIBE, GROUP_LAG, GROUP_RESET, GROUP_DELETE };

static const struct cli_action group_actions[] = {
    {"list", GROUP_LIST, "", "the groups of all brokers", NULL},
    {"describe", GROUP_DESCRIBE, "GROUP...", "state, members, offsets", "@group"},
    {"lag", GROUP_LAG, "[GROUP...]", "how far behind, in records and in time", "@group"},
    {"reset", GROUP_RESET, "GROUP", "moves what a group has committed; shows it first", "@group"},
    {"delete", GROUP_DELETE, "GROUP...", "forgets groups, or (-t) what they committed for a topic",
     "@group"},
    {NULL, 0, NULL, NULL, NULL},
};

/* "2 d 3 h", "1 h 5 min", "3.2 s" */
static void duration_text(int64_t ms, char out[static 32])
{
    long long seconds = ms / 1000;
    if (ms < 0) {
        snprintf(out, 32, "-");
    } else if (ms == 0) {
        snprintf(out, 32, "0");
    } else if (seconds < 60) {
        snprintf(out, 32, "%.1f s", (double)ms / 1000);
    } else if (seconds < 3600) {
        snprintf(out, 32, "%lld min %lld s", seconds / 60, seconds % 60);
    } else if (seconds < 86400) {
        snprintf(out, 32, "%lld h %lld min", seconds / 3600, seconds % 3600 / 60);
    } else {
        snprintf(out, 32, "%lld d %lld h", seconds / 86400, seconds % 86400 / 3600);
    }
}

/* A number, or null where it is not known. */
static json_t *known(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

/* One of the groups is refused: the others go on. Takes `row`, which stands for it in the answer. When nobody answers
 * all ends: what is in the answer until then is shown, and it is said which groups are left. */
static void group_refused(struct cli *cli, struct group_job *job, size_t index, json_t *rows,
                          json_t *row, const leat_error *e)
{
    if (output_refused(cli, &job->status, rows, row, e)) {
        return;
    }
    (void)output_done(cli, rows);
    for (size_t i = index + 1; i < job->name_count; i++) {
        cli_say("group %s was not asked for any more", job->names[i]);
    }
    cli_fail(cli, e);
}

/* A described group; NULL: it is refused. */
static leat_group *group_get(struct cli *cli, struct group_job *job, size_t index, json_t *rows)
{
    leat_group *g;
    leat_error e;
    if (leat_group_describe(cli->client, job->names[index], &g, &e)) {
        group_refused(cli, job, index, rows, json_pack("{s:s}", "group", job->names[index]), &e);
        return NULL;
    }
    return g;
}

static int group_list(struct cli *cli)
{
    static const struct column columns[] = {{"group", "GROUP", false},
                                            {"state", "STATE", false},
                                            {"protocol_type", "TYPE", false},
                                            {"coordinator", "COORDINATOR", true},
                                            {NULL, NULL, false}};
    leat_groups *groups;
    leat_error e;
    if (leat_group_list(cli->client, &groups, &e)) {
        cli_fail(cli, &e);
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < groups->count; i++) {
        const leat_group_listing *g = groups->groups[i];
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:i}", "group", g->name, "state",
                                              g->state, "protocol_type", g->protocol_type,
                                              "coordinator", (int)g->coordinator));
    }
    leat_groups_free(groups);
    if (cli->output == OUTPUT_TABLE && json_array_size(rows) == 0) {
        json_decref(rows);
        cli_say("there are no groups yet: leat consume TOPIC -g GROUP makes one");
        return EXIT_DONE;
    }
    output_rows(cli, rows, columns);
    return EXIT_DONE;
}

/* --- describe --------------------------------------------------------------------------------------- */

static json_t *members_json(const leat_group *g)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < g->member_count; i++) {
        const leat_group_member *m = g->members[i];
        json_array_append_new(rows,
                              json_pack("{s:s,s:s?,s:s,s:s,s:I}", "member", m->id, "instance",
                                        m->instance_id, "client", m->client_id, "host", m->host,
                                        "partitions", (json_int_t)m->partition_count));
    }
    return rows;
}

static json_t *partitions_json(const leat_group *g, bool table)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < g->partition_count; i++) {
        const leat_group_partition *p = g->partitions[i];
        char duration[32];
        duration_text(p->lag_ms, duration);
        json_t *row =
            json_pack("{s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:s?}", "topic", p->topic, "partition",
                      (int)p->partition, "committed", known(p->committed), "start", known(p->start),
                      "end", known(p->end), "lag", known(p->lag), "lag_ms", known(p->lag_ms),
                      "member", p->member < 0 ? NULL : g->members[p->member]->id);
        if (table) {
            json_object_set_new(row, "time", json_string(duration));
        }
        if (p->code) {
            json_object_set_new(row, "error", json_string(leat_error_text(p->code)));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

/* Of a group that has committed nothing yet it is not known how far it is behind. */
static bool lag_is_known(const leat_group *g)
{
    for (size_t i = 0; i < g->partition_count; i++) {
        if (g->partitions[i]->lag >= 0) {
            return true;
        }
    }
    return false;
}

static json_t *lag_json(const leat_group *g, int64_t value)
{
    return known(lag_is_known(g) ? value : -1);
}

static const struct column partition_columns[] = {{"topic", "TOPIC", false},
                                                  {"partition", "PARTITION", true},
                                                  {"committed", "COMMITTED", true},
                                                  {"end", "END", true},
                                                  {"lag", "LAG", true},
                                                  {"time", "TIME", true},
                                                  {"member", "MEMBER", false},
                                                  {NULL, NULL, false}};

static int group_describe(struct cli *cli, struct group_job *job)
{
    static const struct column columns[] = {
        {"member", "MEMBER", false},        {"instance", "INSTANCE", false},
        {"client", "CLIENT", false},        {"host", "HOST", false},
        {"partitions", "PARTITIONS", true}, {NULL, NULL, false}};
    bool table = cli->output == OUTPUT_TABLE;
    json_t *all = json_array();
    for (size_t i = 0; i < job->name_count; i++) {
        leat_group *g = group_get(cli, job, i, all);
        if (!g) {
            continue;
        }
        json_t *one = json_pack("{s:s,s:s,s:s,s:s,s:i,s:o,s:o,s:o,s:o}", "group", g->name, "state",
                                g->state, "protocol_type", g->protocol_type, "protocol",
                                g->protocol, "coordinator", (int)g->coordinator, "lag",
                                lag_json(g, g->lag), "lag_ms", lag_json(g, g->lag_ms), "members",
                                members_json(g), "partitions", partitions_json(g, table));
        if (table) {
            char lag[48], duration[32];
            duration_text(g->lag_ms, duration);
            printf("%s%s  %s, %s %s, coordinator %d, ", json_array_size(all) ? "\n" : "", g->name,
                   g->state, *g->protocol_type ? g->protocol_type : "-",
                   *g->protocol ? g->protocol : "-", (int)g->coordinator);
            if (lag_is_known(g)) {
                printf("%s behind (%s)\n\n", cli_records((unsigned long long)g->lag, lag),
                       duration);
            } else {
                printf("nothing committed yet\n\n");
            }
            if (g->member_count) {
                output_table(json_object_get(one, "members"), columns);
                putchar('\n');
            }
            output_table(json_object_get(one, "partitions"), partition_columns);
        }
        json_array_append_new(all, one);
        leat_group_free(g);
    }
    (void)output_done(cli, all);
    return job->status;
}

/* --- lag -------------------------------------------------------------------------------------------- */

/* One line for each group. */
static void lag_line(struct cli *cli, json_t *rows, const char *name)
{
    char duration[32];
    leat_group *g;
    leat_error e;
    int code = leat_group_describe(cli->client, name, &g, &e);
    if (code == LEAT_ERR_GROUP_NOT_FOUND) {
        return; /* gone since the groups were listed */
    }
    if (code) {
        cli_fail(cli, &e);
    }
    duration_text(lag_is_known(g) ? g->lag_ms : -1, duration);
    json_t *row =
        json_pack("{s:s,s:s,s:I,s:I,s:o,s:o}", "group", g->name, "state", g->state, "members",
                  (json_int_t)g->member_count, "partitions", (json_int_t)g->partition_count, "lag",
                  lag_json(g, g->lag), "lag_ms", lag_json(g, g->lag_ms));
    if (cli->output == OUTPUT_TABLE) {
        json_object_set_new(row, "time", json_string(duration));
    }
    json_array_append_new(rows, row);
    leat_group_free(g);
}

static int lag_of_all(struct cli *cli)
{
    static const struct column columns[] = {
        {"group", "GROUP", false},    {"state", "STATE", false},
        {"members", "MEMBERS", true}, {"partitions", "PARTITIONS", true},
        {"lag", "LAG", true},         {"time", "TIME", true},
        {NULL, NULL, false}};
    leat_groups *groups;
    leat_error e;
    json_t *rows = json_array();
    if (leat_group_list(cli->client, &groups, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < groups->count; i++) {
        lag_line(cli, rows, groups->groups[i]->name);
    }
    leat_groups_free(groups);
    output_rows(cli, rows, columns);
    return EXIT_DONE;
}

static int group_lag(struct cli *cli, struct group_job *job)
{
    static const struct column columns[] = {{"group", "GROUP", false},
                                            {"topic", "TOPIC", false},
                                            {"partition", "PARTITION", true},
                                            {"committed", "COMMITTED", true},
                                            {"end", "END", true},
                                            {"lag", "LAG", true},
                                            {"time", "TIME", true},
                                            {"member", "MEMBER", false},
                                            {NULL, NULL, false}};
    if (job->name_count == 0) {
        return lag_of_all(cli);
    }
    json_t *rows = json_array(), *row;
    for (size_t i = 0; i < job->name_count; i++) {
        leat_group *g = group_get(cli, job, i, rows);
        if (!g) {
            continue;
        }
        json_t *partitions = partitions_json(g, cli->output == OUTPUT_TABLE);
        size_t index;
        json_array_foreach(partitions, index, row)
        {
            json_object_set_new(row, "group", json_string(g->name));
            json_array_append(rows, row);
        }
        json_decref(partitions);
        leat_group_free(g);
    }
    if (cli->output == OUTPUT_TABLE && job->status != EXIT_DONE && json_array_size(rows) == 0) {
        json_decref(rows);
    } else {
        output_rows(cli, rows, columns);
    }
    return job->status;
}

/* --- delete ----------------------------------------------------------------------------------------- */

static int group_delete(struct cli *cli, struct group_job *job)
{
    leat_error e;
    json_t *rows = json_array();
    size_t count = 0;
    leat_group_position *p = job->topic_count ? group_positions(cli, job, &count) : NULL;
    for (size_t i = 0; i < job->name_count; i++) {
        int code = p ? leat_group_offsets_delete(cli->client, job->names[i], p, count, &e)
                     : leat_group_delete(cli->client, job->names[i], &e);
        if (code) {
            group_refused(cli, job, i, rows,
                          json_pack("{s:s,s:b,s:I}", "group", job->names[i], "deleted", false,
                                    "offsets_deleted", (json_int_t)0),
                          &e);
        } else if (cli->output != OUTPUT_TABLE) {
            json_array_append_new(rows,
                                  json_pack("{s:s,s:b,s:I}", "group", job->names[i], "deleted", !p,
                                            "offsets_deleted", (json_int_t)count));
        } else if (!cli->quiet && p) {
            char room[64];
            printf("group %s has forgotten %s\n", job->names[i],
                   cli_counted(count, "partition", "partitions", room));
        } else if (!cli->quiet) {
            printf("deleted group %s\n", job->names[i]);
        }
    }
    free(p);
    (void)output_done(cli, rows);
    return job->status;
}

/* --- flags ------------------------------------------------------------------------------------------ */

static void group_to(struct group_job *job, enum reset_to to, const struct args *a)
{
    if (job->to) {
        cli_usage("%s: one place to reset to, not two", a->flag);
    }
    job->to = to;
}

static void group_flag(struct args *a, struct group_job *job, int id)
{
    switch (id) {
    case FLAG_TOPIC:
        job->topics = cli_resize(job->topics, (job->topic_count + 1) * sizeof *job->topics);
        job->topics[job->topic_count++] = a->value;
        break;
    case FLAG_EARLIEST:
        group_to(job, RESET_EARLIEST, a);
        break;
    case FLAG_LATEST:
        group_to(job, RESET_LATEST, a);
        break;
    case FLAG_OFFSET:
        group_to(job, RESET_OFFSET, a);
        job->number = args_number(a, 0, INT64_MAX);
        break;
    case FLAG_TIME:
        group_to(job, RESET_TIME, a);
        job->time = a->value;
        break;
    case FLAG_SHIFT:
        group_to(job, RESET_SHIFT, a);
        job->number = args_number(a, -INT64_MAX, INT64_MAX);
        break;
    case FLAG_EXECUTE:
        job->execute = true;
        break;
    default:
        job->names = cli_resize(job->names, (job->name_count + 1) * sizeof *job->names);
        job->names[job->name_count++] = a->value;
        break;
    }
}

static int group_run(struct cli *cli, struct args *a)
{
    struct group_job job = {0};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        group_flag(a, &job, id);
    }
    int action = args_action(a);
    if (job.name_count == 0 && action != GROUP_LIST && action != GROUP_LAG) {
        cli_usage("group %s: which group? (leat group list)", a->action->name);
    }
    cli_connect(cli);
    int status = action == GROUP_LIST       ? group_list(cli)
                 : action == GROUP_DESCRIBE ? group_describe(cli, &job)
                 : action == GROUP_LAG      ? group_lag(cli, &job)
                 : action == GROUP_RESET    ? group_reset(cli, &job)
                                            : group_delete(cli, &job);
    free(job.names);
    free(job.topics);
    return status;
}

const struct cli_command command_group = {
    .name = "group",
    .words = "ACTION",
    .summary = "consumer groups: members, offsets, lag",
    .flags = group_flags,
    .actions = group_actions,
    .run = group_run,
    .more = "Without -t, reset moves every partition that the group has committed. Only a group "
            "without\n"
            "members can be reset or deleted.\n",
};
