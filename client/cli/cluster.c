/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster info|brokers|quorum|add|remove|config; the others have files of their own. */
#include "cli/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 60000 };

enum cluster_flag { FLAG_SET = 1, FLAG_UNSET, FLAG_HEALTHY, FLAG_LOCAL, FLAG_WAIT, FLAG_ALL };

static const struct cli_flag cluster_flags[] = {
    {FLAG_SET, 0, "set", "KEY=VALUE", "changes one key of a broker", "config"},
    {FLAG_UNSET, 0, "unset", "KEY", "back to what its file says", "config"},
    {FLAG_ALL, 0, "all", NULL, "of all brokers, where one has none of its own", "config"},
    {FLAG_HEALTHY, 0, "exit-when-healthy", NULL, "wait until it is", "health"},
    {FLAG_LOCAL, 0, "local", NULL,
     "whether this broker answers and knows a controller, whatever ails others", "health"},
    {FLAG_WAIT, 0, "wait", "60s",
     "how long at most; without it decommission goes on until it is done",
     "drain decommission transfer-leader"},
    {0},
};

enum cluster_action {
    CLUSTER_INFO = 1,
    CLUSTER_HEALTH,
    CLUSTER_BROKERS,
    CLUSTER_QUORUM,
    CLUSTER_ADD,
    CLUSTER_REMOVE,
    CLUSTER_CONFIG,
    CLUSTER_DRAIN,
    CLUSTER_UNDRAIN,
    CLUSTER_DECOMMISSION,
    CLUSTER_FORGET,
    CLUSTER_TRANSFER,
};

static const struct cli_action cluster_actions[] = {
    {"info", CLUSTER_INFO, "", "what the cluster consists of", NULL},
    {"health", CLUSTER_HEALTH, "",
     "whether every broker is there and every partition has a leader and its replicas", NULL},
    {"brokers", CLUSTER_BROKERS, "", "the brokers", NULL},
    {"quorum", CLUSTER_QUORUM, "", "who keeps the metadata, who leads, and how far each copy is",
     NULL},
    {"add", CLUSTER_ADD, "NODE", "makes a voter of a node that follows the metadata", "@observer"},
    {"remove", CLUSTER_REMOVE, "NODE", "takes a node's vote; it goes on as a broker", "@voter"},
    {"config", CLUSTER_CONFIG, "[BROKER]", "a broker's configuration", NULL},
    {"drain", CLUSTER_DRAIN, "BROKER",
     "others lead what this broker leads, until it is undrained or starts again", NULL},
    {"undrain", CLUSTER_UNDRAIN, "BROKER", "a drained broker may lead again", NULL},
    {"decommission", CLUSTER_DECOMMISSION, "BROKER",
     "every replica that a broker has goes to others, so that it can be forgotten", NULL},
    {"forget", CLUSTER_FORGET, "BROKER", "a broker that will not come back is one no more", NULL},
    {"transfer-leader", CLUSTER_TRANSFER, "[BROKER]", "another voter leads the metadata quorum",
     NULL},
    {NULL, 0, NULL, NULL, NULL},
};

struct cluster_job {
    const char *word; /* behind the action */
    leat_config *changes;
    size_t change_count;
    bool wait, local;
    bool all;          /* of config */
    long long wait_ms; /* of drain, decommission and transfer-leader; below 0: not given */
};

static const struct column broker_columns[] = {{"id", "ID", true},
                                               {"host", "HOST", false},
                                               {"port", "PORT", true},
                                               {"rack", "RACK", false},
                                               {"controller", "CONTROLLER", false},
                                               {"state", "STATE", false},
                                               {NULL, NULL, false}};

int32_t cluster_broker_number(const char *word, const char *action)
{
    char *end;
    if (!word) {
        cli_usage("cluster %s which broker? see leat cluster brokers", action);
    }
    errno = 0;
    long number = strtol(word, &end, 10);
    if (*end || end == word || errno || number < 0 || number > INT32_MAX) {
        cli_usage("'%s': a broker is a number, see leat cluster brokers", word);
    }
    return (int32_t)number;
}

static json_t *broker_json(int32_t id, const char *host, int32_t port, const char *rack,
                           bool controller, const char *state)
{
    return json_pack("{s:i,s:s,s:i,s:s?,s:b,s:s}", "id", (int)id, "host", host, "port", (int)port,
                     "rack", rack, "controller", controller, "state", state);
}

/* Without a controller nobody knows: what the brokers tell was so when there was one. */
static const char *state_of(const leat_meta *meta, const json_t *draining, int32_t broker,
                            bool fenced)
{
    if (meta->controller < 0) {
        return "unknown";
    }
    for (size_t i = 0; !fenced && i < json_array_size(draining); i++) {
        if (json_integer_value(json_array_get(draining, i)) == broker) {
            return "drained";
        }
    }
    return fenced ? "fenced" : "active";
}

static json_t *brokers_json(struct cli *cli, const leat_meta *meta)
{
    json_t *rows = json_array(), *draining = cluster_draining(cli);
    leat_brokers *registered;
    leat_error e;
    if (cluster_brokers_ask(cli, &registered, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; registered && i < registered->count; i++) {
        const leat_broker *b = registered->list[i];
        json_array_append_new(rows, broker_json(b->id, b->host, b->port, b->rack,
                                                b->id == meta->controller,
                                                state_of(meta, draining, b->id, b->fenced)));
    }
    for (size_t i = 0; !registered && i < meta->broker_count; i++) {
        const leat_meta_broker *b = meta->brokers[i];
        json_array_append_new(rows, broker_json(b->id, b->host, b->port, b->rack,
                                                b->id == meta->controller,
                                                state_of(meta, draining, b->id, false)));
    }
    json_decref(draining);
    leat_brokers_free(registered);
    return rows;
}

/* What the brokers tell of themselves is what was so when there was a controller last: that is said, and that none of
 * them is one. */
static void warn_without_controller(struct cli *cli, leat_meta *meta)
{
    leat_quorum *quorum;
    leat_error e;
    if (cli_quorum(cli, &quorum, &e) == LEAT_ERR_NO_LEADER) {
        meta->controller = -1;
        cli_say("%s", e.message);
        cli_say("what is shown is what was so when there was one");
    }
    leat_quorum_free(quorum);
}

static int cluster_info(struct cli *cli, struct cluster_job *job)
{
    leat_meta *meta = cli_metadata(cli, NULL, true);
    size_t partitions = 0;
    warn_without_controller(cli, meta);
    for (size_t i = 0; i < meta->topic_count; i++) {
        partitions += meta->topics[i]->partition_count;
    }
    json_t *info =
        json_pack("{s:s,s:i,s:I,s:I,s:o}", "cluster_id", meta->cluster_id, "controller",
                  (int)meta->controller, "topics", (json_int_t)meta->topic_count, "partitions",
                  (json_int_t)partitions, "brokers", brokers_json(cli, meta));
    if (!output_value(cli, info)) {
        char topics[64], room[64];
        printf("cluster %s, %s, %s\n\n", meta->cluster_id,
               cli_counted(meta->topic_count, "topic", "topics", topics),
               cli_counted(partitions, "partition", "partitions", room));
        output_table(json_object_get(info, "brokers"), broker_columns);
        json_decref(info);
    }
    leat_meta_free(meta);
    return EXIT_DONE;
}

static int cluster_brokers(struct cli *cli, struct cluster_job *job)
{
    leat_meta *meta = cli_metadata(cli, "", true);
    warn_without_controller(cli, meta);
    output_rows(cli, brokers_json(cli, meta), broker_columns);
    leat_meta_free(meta);
    return EXIT_DONE;
}

/* How long ago, as people read it; null: it never was, or the cluster does not say. */
static json_t *ago_json(int64_t now_ms, int64_t when_ms)
{
    int64_t ago = now_ms > when_ms ? now_ms - when_ms : 0;
    return when_ms < 0 ? json_null() : json_sprintf("%.1f s", (double)ago / 1000);
}

static json_t *time_json(int64_t when_ms)
{
    return when_ms < 0 ? json_null() : json_integer(when_ms);
}

static int64_t leader_end_of(const leat_quorum *quorum)
{
    for (size_t i = 0; i < quorum->replica_count; i++) {
        if (quorum->replicas[i]->id == quorum->leader) {
            return quorum->replicas[i]->end;
        }
    }
    return quorum->high_watermark;
}

static json_t *replica_json(const struct cli *cli, const leat_quorum *quorum, size_t index,
                            int64_t now_ms)
{
    const leat_quorum_replica *r = quorum->replicas[index];
    int64_t leader_end = leader_end_of(quorum);
    bool leads = r->id == quorum->leader && r->voter;
    json_t *row = json_pack("{s:i,s:s,s:o,s:o}", "id", (int)r->id, "role",
                            leads      ? "leader"
                            : r->voter ? "voter"
                                       : "observer",
                            "end", r->end < 0 ? json_null() : json_integer(r->end), "behind",
                            r->end < 0 ? json_null() : json_integer(leader_end - r->end));
    if (cli->output == OUTPUT_TABLE) {
        json_object_set_new(row, "fetched", ago_json(now_ms, r->fetched_ms));
        json_object_set_new(row, "caught_up", ago_json(now_ms, r->caught_up_ms));
    } else {
        json_object_set_new(row, "fetched_ms", time_json(r->fetched_ms));
        json_object_set_new(row, "caught_up_ms", time_json(r->caught_up_ms));
        json_object_set_new(row, "directory",
                            r->directory ? json_string(r->directory) : json_null());
    }
    return row;
}

static int cluster_quorum(struct cli *cli)
{
    static const struct column columns[] = {
        {"id", "ID", true},         {"role", "ROLE", false},      {"end", "END", true},
        {"behind", "BEHIND", true}, {"fetched", "FETCHED", true}, {"caught_up", "CAUGHT-UP", true},
        {NULL, NULL, false}};
    leat_quorum *quorum;
    leat_error e;
    if (leat_quorum_get(cli->client, &quorum, &e)) {
        cli_fail(cli, &e);
    }
    json_t *rows = json_array();
    int64_t now_ms = cli_wall_ms();
    for (size_t i = 0; i < quorum->replica_count; i++) {
        json_array_append_new(rows, replica_json(cli, quorum, i, now_ms));
    }
    json_t *all =
        json_pack("{s:i,s:i,s:I,s:o}", "leader", (int)quorum->leader, "epoch", (int)quorum->epoch,
                  "high_watermark", (json_int_t)quorum->high_watermark, "replicas", rows);
    if (!output_value(cli, all)) {
        printf("leader %d, epoch %d, committed up to offset %lld\n\n", (int)quorum->leader,
               (int)quorum->epoch, (long long)quorum->high_watermark);
        output_table(rows, columns);
        json_decref(all);
    }
    leat_quorum_free(quorum);
    return EXIT_DONE;
}

static int cluster_voter(struct cli *cli, const struct cluster_job *job, bool add)
{
    leat_error e;
    char *end = NULL;
    long node = job->word ? strtol(job->word, &end, 10) : -1;
    if (!job->word || !*job->word || *end || node < 0 || node > INT32_MAX) {
        cli_usage("cluster %s: '%s' is not the number of a node (leat cluster quorum shows them)",
                  add ? "add" : "remove", job->word ? job->word : "");
    }
    int error = add ? leat_voter_add(cli->client, (int32_t)node, &e)
                    : leat_voter_remove(cli->client, (int32_t)node, &e);
    if (error) {
        cli_fail(cli, &e);
    }
    if (!output_done(cli, json_pack("{s:i,s:b}", "node", (int)node, "voter", add)) && !cli->quiet) {
        printf(add ? "node %ld votes\n" : "node %ld does not vote any more\n", node);
    }
    return EXIT_DONE;
}

/* One that is registered, but not in the metadata, is not heard of: it must answer for itself. */
static _Noreturn void config_away(struct cli *cli, const char *named)
{
    leat_brokers *registered = NULL;
    leat_error e;
    char id[16];
    (void)cluster_brokers_ask(cli, &registered, &e);
    for (size_t i = 0; registered && i < registered->count; i++) {
        snprintf(id, sizeof id, "%d", (int)registered->list[i]->id);
        if (strcmp(named, id) == 0) {
            cli_say("broker %s is not heard of: its configuration is asked of itself (leat cluster "
                    "brokers)",
                    named);
            exit(EXIT_FAILED);
        }
    }
    cli_say("there is no broker %s: see leat cluster brokers", named);
    exit(EXIT_NOT_FOUND);
}

/* The broker that is named, or the first; one that is to change is named where there are several. */
static void config_broker(struct cli *cli, const char *named, bool changes, char id[static 16])
{
    leat_meta *meta = cli_metadata(cli, "", true);
    size_t i = 0;
    if (changes && !named && meta->broker_count > 1) {
        cli_usage("cluster config: whose configuration is to change? Name a broker, or "
                  "--all for what counts where a broker has nothing of its own");
    }
    for (*id = 0; i < meta->broker_count; i++) {
        snprintf(id, 16, "%d", (int)meta->brokers[i]->id);
        if (!named || strcmp(named, id) == 0) {
            break;
        }
    }
    if (named && i == meta->broker_count) {
        config_away(cli, named);
    }
    leat_meta_free(meta);
}

static int cluster_config(struct cli *cli, struct cluster_job *job)
{
    leat_error e;
    char broker[16];
    if (job->all) {
        *broker = 0;
    } else {
        config_broker(cli, job->word, job->change_count > 0, broker);
    }
    if (job->change_count) {
        if (leat_configs_set(cli->client, LEAT_RESOURCE_BROKER, broker, job->changes,
                             job->change_count, &e)) {
            cli_fail(cli, &e);
        }
        if (!output_done(cli, json_pack("{s:s,s:b}", "broker", broker, "altered", true)) &&
            !cli->quiet) {
            printf(job->all ? "altered all brokers\n" : "altered broker %s\n", broker);
        }
        return EXIT_DONE;
    }
    output_rows(cli, cli_configs(cli, LEAT_RESOURCE_BROKER, broker), cli_config_columns);
    return EXIT_DONE;
}

static void cluster_change(struct cluster_job *job, const char *text, bool unset)
{
    const char *equals = strchr(text, '=');
    if (!unset && !equals) {
        cli_usage("'%s': expected key=value", text);
    }
    job->changes = cli_resize(job->changes, (job->change_count + 1) * sizeof *job->changes);
    size_t size = unset ? strlen(text) : (size_t)(equals - text);
    job->changes[job->change_count++] =
        (leat_config){cli_copy(text, size), unset ? NULL : equals + 1};
}

static int cluster_run(struct cli *cli, struct args *a)
{
    struct cluster_job job = {.wait_ms = -1};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        if (id == ARG_WORD) {
            job.word = a->value;
        } else if (id == FLAG_ALL) {
            job.all = true;
        } else if (id == FLAG_WAIT) {
            job.wait_ms = args_duration_ms(a);
        } else if (id == FLAG_HEALTHY || id == FLAG_LOCAL) {
            job.wait = job.wait || id == FLAG_HEALTHY;
            job.local = job.local || id == FLAG_LOCAL;
        } else if (id == FLAG_SET || id == FLAG_UNSET) {
            cluster_change(&job, a->value, id == FLAG_UNSET);
        }
    }
    int action = args_action(a);
    bool worded = action == CLUSTER_ADD || action == CLUSTER_REMOVE || action >= CLUSTER_CONFIG;
    if (job.word && !worded) {
        cli_usage("cluster %s takes no '%s'", a->action->name, job.word);
    }
    if (job.word && job.all) {
        cli_usage("cluster config: either broker %s or --all", job.word);
    }
    long long wait_ms = job.wait_ms < 0 ? WAIT_MS : job.wait_ms;
    cli_connect(cli);
    switch (action) {
    case CLUSTER_INFO:
        return cluster_info(cli, &job);
    case CLUSTER_HEALTH:
        return cluster_health(cli, job.wait, job.local);
    case CLUSTER_BROKERS:
        return cluster_brokers(cli, &job);
    case CLUSTER_QUORUM:
        return cluster_quorum(cli);
    case CLUSTER_DRAIN:
        return cluster_drain(cli, job.word, wait_ms);
    case CLUSTER_UNDRAIN:
        return cluster_undrain(cli, job.word);
    case CLUSTER_DECOMMISSION:
        return cluster_decommission(cli, job.word, job.wait_ms);
    case CLUSTER_FORGET:
        return cluster_forget(cli, job.word);
    case CLUSTER_TRANSFER:
        return cluster_transfer(cli, job.word, wait_ms);
    case CLUSTER_ADD:
    case CLUSTER_REMOVE:
        return cluster_voter(cli, &job, action == CLUSTER_ADD);
    default:
        return cluster_config(cli, &job);
    }
}

const struct cli_command command_cluster = {
    .name = "cluster",
    .words = "ACTION",
    .summary = "brokers, health, configuration",
    .flags = cluster_flags,
    .actions = cluster_actions,
    .run = cluster_run,
};
