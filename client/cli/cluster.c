/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster info|health|brokers|config */
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEALTH_PAUSE_US = 500000 };

enum cluster_flag { FLAG_SET = 1, FLAG_UNSET, FLAG_WAIT, FLAG_LOCAL };

static const struct cli_flag cluster_flags[] = {
    {FLAG_SET, 0, "set", "KEY=VALUE", "changes one key of a broker", "config"},
    {FLAG_UNSET, 0, "unset", "KEY", "back to what its file says", "config"},
    {FLAG_WAIT, 0, "exit-when-healthy", NULL, "wait until it is", "health"},
    {FLAG_LOCAL, 0, "local", NULL,
     "whether this broker answers and knows a controller, whatever ails others", "health"},
    {0},
};

enum cluster_action { CLUSTER_INFO = 1, CLUSTER_HEALTH, CLUSTER_BROKERS, CLUSTER_CONFIG };

static const struct cli_action cluster_actions[] = {
    {"info", CLUSTER_INFO, "", "what the cluster consists of", NULL},
    {"health", CLUSTER_HEALTH, "", "whether every partition has a leader and its replicas", NULL},
    {"brokers", CLUSTER_BROKERS, "", "the brokers", NULL},
    {"config", CLUSTER_CONFIG, "[BROKER]", "a broker's configuration", NULL},
    {NULL, 0, NULL, NULL, NULL},
};

struct cluster_job {
    const char *word; /* behind the action */
    leat_config *changes;
    size_t change_count;
    bool wait, local;
};

static const struct column broker_columns[] = {{"id", "ID", true},
                                               {"host", "HOST", false},
                                               {"port", "PORT", true},
                                               {"rack", "RACK", false},
                                               {"controller", "CONTROLLER", false},
                                               {NULL, NULL, false}};

static json_t *brokers_json(const leat_meta *meta)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < meta->broker_count; i++) {
        const leat_meta_broker *b = meta->brokers[i];
        json_array_append_new(rows, json_pack("{s:i,s:s,s:i,s:s?,s:b}", "id", (int)b->id, "host",
                                              b->host, "port", (int)b->port, "rack", b->rack,
                                              "controller", b->id == meta->controller));
    }
    return rows;
}

/* What is wrong: counts of partitions without a leader, and with fewer replicas in sync than they
 * have. */
static void cluster_count(const leat_meta *meta, size_t *partitions, size_t *leaderless,
                          size_t *lagging)
{
    *partitions = *leaderless = *lagging = 0;
    for (size_t i = 0; i < meta->topic_count; i++) {
        for (size_t j = 0; j < meta->topics[i]->partition_count; j++) {
            const leat_meta_partition *p = meta->topics[i]->partitions[j];
            ++*partitions;
            *leaderless += p->leader < 0;
            *lagging += p->in_sync_count < p->replica_count;
        }
    }
}

static int cluster_info(struct cli *cli, struct cluster_job *job)
{
    size_t partitions, leaderless, lagging;
    leat_meta *meta = cli_metadata(cli, NULL, true);
    cluster_count(meta, &partitions, &leaderless, &lagging);
    json_t *info = json_pack("{s:s,s:i,s:I,s:I,s:o}", "cluster_id", meta->cluster_id, "controller",
                             (int)meta->controller, "topics", (json_int_t)meta->topic_count,
                             "partitions", (json_int_t)partitions, "brokers", brokers_json(meta));
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
    output_rows(cli, brokers_json(meta), broker_columns);
    leat_meta_free(meta);
    return EXIT_DONE;
}

/* Who waits until all is well waits for a broker, too: it is told once why none answers. NULL: the end
 * came first. */
static leat_meta *health_metadata(struct cli *cli, const struct cluster_job *job)
{
    leat_meta *meta;
    leat_error e;
    for (bool told = false; job->wait; told = true) {
        if (leat_metadata(cli->client, NULL, &meta, &e) == 0) {
            return meta;
        }
        if (!told && !cli->quiet && !cli_interrupted) {
            cli_say("%s (trying again)", e.message);
        }
        if (cli_interrupted) {
            return NULL;
        }
        usleep(HEALTH_PAUSE_US);
    }
    return cli_metadata(cli, NULL, true);
}

static int cluster_health(struct cli *cli, struct cluster_job *job)
{
    size_t partitions, leaderless, lagging;
    bool healthy;
    cli_catch_signals();
    for (;;) {
        leat_meta *meta = health_metadata(cli, job);
        if (!meta) {
            return cli_interrupt_status();
        }
        cluster_count(meta, &partitions, &leaderless, &lagging);
        healthy = meta->controller >= 0 && (job->local || (leaderless == 0 && lagging == 0));
        leat_meta_free(meta);
        if (healthy || !job->wait || cli_interrupted) {
            break;
        }
        usleep(HEALTH_PAUSE_US);
    }
    json_t *health =
        json_pack("{s:b,s:I,s:I,s:I}", "healthy", healthy, "partitions", (json_int_t)partitions,
                  "leaderless", (json_int_t)leaderless, "under_replicated", (json_int_t)lagging);
    if (!output_value(cli, health)) {
        char room[64];
        printf("%s: %s, %zu without a leader, %zu under-replicated\n",
               healthy ? "healthy" : "not healthy",
               cli_counted(partitions, "partition", "partitions", room), leaderless, lagging);
        json_decref(health);
    }
    return cli_interrupted ? cli_interrupt_status() : healthy ? EXIT_DONE : EXIT_FAILED;
}

/* The broker that is named, or the first. */
static void config_broker(struct cli *cli, const char *named, char id[static 16])
{
    leat_meta *meta = cli_metadata(cli, "", true);
    size_t i = 0;
    for (*id = 0; i < meta->broker_count; i++) {
        snprintf(id, 16, "%d", (int)meta->brokers[i]->id);
        if (!named || strcmp(named, id) == 0) {
            break;
        }
    }
    if (named && i == meta->broker_count) {
        cli_say("there is no broker %s: see leat cluster brokers", named);
        exit(EXIT_NOT_FOUND);
    }
    leat_meta_free(meta);
}

static int cluster_config(struct cli *cli, struct cluster_job *job)
{
    leat_error e;
    char broker[16];
    config_broker(cli, job->word, broker);
    if (job->change_count) {
        if (leat_configs_set(cli->client, LEAT_RESOURCE_BROKER, broker, job->changes,
                             job->change_count, &e)) {
            cli_fail(cli, &e);
        }
        if (!output_done(cli, json_pack("{s:s,s:b}", "broker", broker, "altered", true)) &&
            !cli->quiet) {
            printf("altered broker %s\n", broker);
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
    struct cluster_job job = {0};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        if (id == ARG_WORD) {
            job.word = a->value;
        } else if (id == FLAG_WAIT || id == FLAG_LOCAL) {
            job.wait = job.wait || id == FLAG_WAIT;
            job.local = job.local || id == FLAG_LOCAL;
        } else if (id == FLAG_SET || id == FLAG_UNSET) {
            cluster_change(&job, a->value, id == FLAG_UNSET);
        }
    }
    int action = args_action(a);
    if (job.word && action != CLUSTER_CONFIG) {
        cli_usage("cluster %s takes no '%s'", a->action->name, job.word);
    }
    cli_connect(cli);
    switch (action) {
    case CLUSTER_INFO:
        return cluster_info(cli, &job);
    case CLUSTER_HEALTH:
        return cluster_health(cli, &job);
    case CLUSTER_BROKERS:
        return cluster_brokers(cli, &job);
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
