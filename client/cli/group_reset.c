/* SPDX-License-Identifier: Apache-2.0 */

/* leat group reset: what would change is shown first; it is done with --execute, or when somebody says
 * yes at a terminal. */
#include "cli/group.h"
#include "cli/output.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct change {
    leat_group_position position; /* the new one */
    int64_t committed;            /* -1: nothing */
    int64_t start, end;
    int64_t asked; /* what position.offset would be if the log went so far */
};

/* --- which partitions ------------------------------------------------------------------------------- */

/* A partition that is there already stays once. */
static void position_add(leat_group_position **list, size_t *count, const char *topic,
                         int32_t partition)
{
    for (size_t i = 0; i < *count; i++) {
        if ((*list)[i].partition == partition && strcmp((*list)[i].topic, topic) == 0) {
            return;
        }
    }
    *list = cli_resize(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = (leat_group_position){.topic = topic, .partition = partition};
}

/* "topic" or "topic:0,1" */
static void positions_of(struct cli *cli, const char *text, leat_group_position **list,
                         size_t *count)
{
    size_t size = strcspn(text, ":");
    char *topic = cli_copy(text, size); /* lives as long as the process */
    leat_meta *meta = cli_metadata(cli, topic, false);
    size_t partitions = meta->topics[0]->partition_count;
    leat_meta_free(meta);
    if (!text[size]) {
        for (size_t i = 0; i < partitions; i++) {
            position_add(list, count, topic, (int32_t)i);
        }
        return;
    }
    const char *at = text + size + 1;
    do {
        char *end;
        long number = strtol(at, &end, 10);
        if (end == at || number < 0 || (*end && *end != ',')) {
            cli_usage("-t '%s': expected TOPIC or TOPIC:0,1,2", text);
        }
        if ((size_t)number >= partitions) {
            cli_say("topic %s has no partition %ld: its last partition is %zu", topic, number,
                    partitions - 1);
            exit(EXIT_NOT_FOUND);
        }
        position_add(list, count, topic, (int32_t)number);
        at = end + (*end == ',');
    } while (*at);
}

leat_group_position *group_positions(struct cli *cli, const struct group_job *job, size_t *count)
{
    leat_group_position *list = NULL;
    *count = 0;
    for (size_t i = 0; i < job->topic_count; i++) {
        positions_of(cli, job->topics[i], &list, count);
    }
    return list;
}

static int64_t committed_of(const leat_group *g, const leat_group_position *p)
{
    for (size_t i = 0; g && i < g->partition_count; i++) {
        if (g->partitions[i]->partition == p->partition &&
            strcmp(g->partitions[i]->topic, p->topic) == 0) {
            return g->partitions[i]->committed;
        }
    }
    return -1;
}

/* --- where to --------------------------------------------------------------------------------------- */

static void look_up(struct cli *cli, struct change *changes, size_t count, int64_t when,
                    leat_offset_query *queries)
{
    leat_error e;
    for (size_t i = 0; i < count; i++) {
        const leat_group_position *p = &changes[i].position;
        queries[i] =
            (leat_offset_query){.topic = p->topic, .partition = p->partition, .when = when};
    }
    if (leat_offsets_at(cli->client, queries, count, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < count; i++) {
        if (queries[i].code) {
            cli_say("%s-%d: %s", queries[i].topic, (int)queries[i].partition,
                    leat_error_text(queries[i].code));
            exit(cli_exit_of(queries[i].code));
        }
    }
}

static int64_t shifted(const struct change *c, long long by)
{
    return by > 0 && c->committed > INT64_MAX - by ? INT64_MAX : c->committed + by;
}

static void find_offsets(struct cli *cli, const struct group_job *job, struct change *changes,
                         size_t count)
{
    leat_offset_query *queries = cli_alloc((count + 1) * sizeof *queries);
    int64_t when = 0;
    if (job->to == RESET_TIME &&
        !text_time_parse(job->time, strlen(job->time), cli_wall_ms(), &when)) {
        cli_usage("--to-time: '%s' is not a time: 2026-11-22T11:24:03Z, milliseconds, -5m",
                  job->time);
    }
    look_up(cli, changes, count, LEAT_EARLIEST, queries);
    for (size_t i = 0; i < count; i++) {
        changes[i].start = queries[i].offset;
    }
    look_up(cli, changes, count, LEAT_LATEST, queries);
    for (size_t i = 0; i < count; i++) {
        changes[i].end = queries[i].offset;
    }
    if (job->to == RESET_TIME) {
        look_up(cli, changes, count, when, queries);
    }
    for (size_t i = 0; i < count; i++) {
        struct change *c = &changes[i];
        int64_t to = job->to == RESET_EARLIEST ? c->start
                     : job->to == RESET_LATEST ? c->end
                     : job->to == RESET_OFFSET ? job->number
                     : job->to == RESET_SHIFT  ? shifted(c, job->number)
                     : queries[i].offset < 0   ? c->end
                                               : queries[i].offset;
        c->asked = to;
        c->position.offset = to < c->start ? c->start : to > c->end ? c->end : to;
    }
    free(queries);
}

/* The group may not exist yet: then it is made, for the topics that are named. */
static struct change *find_changes(struct cli *cli, const struct group_job *job, size_t *count)
{
    leat_group *g = NULL;
    leat_error e;
    int code = leat_group_describe(cli->client, job->names[0], &g, &e);
    if (code && (code != LEAT_ERR_GROUP_NOT_FOUND || job->topic_count == 0)) {
        cli_fail(cli, &e);
    }
    size_t found = 0;
    leat_group_position *list = group_positions(cli, job, &found);
    for (size_t i = 0; g && job->topic_count == 0 && i < g->partition_count; i++) {
        const leat_group_partition *p = g->partitions[i];
        if (p->committed >= 0 && !p->code) {
            position_add(&list, &found, cli_copy(p->topic, strlen(p->topic)), p->partition);
        }
    }
    struct change *changes = cli_alloc((found + 1) * sizeof *changes);
    *count = 0;
    for (size_t i = 0; i < found; i++) {
        int64_t committed = committed_of(g, &list[i]);
        if (job->to != RESET_SHIFT || committed >= 0) {
            changes[(*count)++] = (struct change){.position = list[i], .committed = committed};
        }
    }
    leat_group_free(g);
    free(list);
    if (*count == 0) {
        cli_say(job->topic_count
                    ? "group %s has committed nothing there: --shift has no place to move "
                      "from (--to-earliest, --to-latest or --to-offset N have)"
                    : "group %s has committed nothing: name a topic (-t)",
                job->names[0]);
        exit(EXIT_NOT_FOUND);
    }
    find_offsets(cli, job, changes, *count);
    return changes;
}

/* --- showing and doing ------------------------------------------------------------------------------ */

/* Why the new offset is not the one that was asked for; null: it is. */
static json_t *cut_json(const struct change *c)
{
    char text[80];
    if (c->asked == c->position.offset) {
        return json_null();
    }
    snprintf(text, sizeof text, "%lld is %s", (long long)c->asked,
             c->asked < c->start ? "before the start" : "beyond the end");
    return json_string(text);
}

static bool any_cut(const struct change *changes, size_t count)
{
    size_t i = 0;
    while (i < count && changes[i].asked == changes[i].position.offset) {
        i++;
    }
    return i < count;
}

static json_t *changes_json(const struct change *changes, size_t count)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct change *c = &changes[i];
        json_t *row = json_pack("{s:s,s:i,s:o,s:I,s:I,s:I,s:I,s:o}", "topic", c->position.topic,
                                "partition", (int)c->position.partition, "committed",
                                c->committed < 0 ? json_null() : json_integer(c->committed), "new",
                                (json_int_t)c->position.offset, "start", (json_int_t)c->start,
                                "end", (json_int_t)c->end, "lag",
                                (json_int_t)(c->end - c->position.offset), "note", cut_json(c));
        json_array_append_new(rows, row);
    }
    return rows;
}

static bool ask(void)
{
    char line[16] = "";
    printf("\nchange these offsets? [y/N] ");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static void execute(struct cli *cli, const struct group_job *job, const struct change *changes,
                    size_t count)
{
    leat_error e;
    leat_group_position *positions = cli_alloc(count * sizeof *positions);
    for (size_t i = 0; i < count; i++) {
        positions[i] = changes[i].position;
    }
    if (leat_group_offsets_set(cli->client, job->names[0], positions, count, &e)) {
        cli_fail(cli, &e);
    }
    free(positions);
}

int group_reset(struct cli *cli, const struct group_job *job)
{
    struct column columns[] = {{"topic", "TOPIC", false},
                               {"partition", "PARTITION", true},
                               {"committed", "COMMITTED", true},
                               {"new", "NEW", true},
                               {"start", "START", true},
                               {"end", "END", true},
                               {"lag", "LAG", true},
                               {"note", "NOTE", false},
                               {NULL, NULL, false}};
    if (job->name_count != 1) {
        cli_usage("reset one group at a time");
    }
    if (!job->to) {
        cli_usage(
            "reset to where? --to-earliest, --to-latest, --to-offset N, --to-time T or --shift N");
    }
    size_t count;
    struct change *changes = find_changes(cli, job, &count);
    json_t *rows = changes_json(changes, count);
    bool table = cli->output == OUTPUT_TABLE;
    if (!any_cut(changes, count)) {
        columns[7] = columns[8]; /* no note */
    }
    if (table && !(cli->quiet && job->execute)) {
        output_table(rows, columns);
    }
    bool done = job->execute || (table && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && ask());
    if (done) {
        execute(cli, job, changes, count);
    }
    if (!output_done(cli, json_pack("{s:s,s:b,s:O}", "group", job->names[0], "executed", done,
                                    "offsets", rows)) &&
        !cli->quiet && done) {
        char room[64];
        printf("moved %s of group %s\n", cli_counted(count, "partition", "partitions", room),
               job->names[0]);
    } else if (!cli->quiet && !done) {
        cli_say("nothing was changed: --execute does it");
    }
    json_decref(rows);
    free(changes);
    return EXIT_DONE;
}
