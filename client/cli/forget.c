/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster forget */
#include "cli/cluster.h"

#include <stdio.h>

/* How many partitions have a replica on the broker; the first of them. */
static size_t placed_on(const leat_meta *meta, int32_t broker, char first[static 300])
{
    size_t count = 0;
    for (size_t i = 0; i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        for (size_t j = 0; j < t->partition_count; j++) {
            const leat_meta_partition *p = t->partitions[j];
            if (cluster_holds(p->replicas, p->replica_count, broker) && count++ == 0) {
                snprintf(first, 300, "%s-%d", t->name, (int)p->id);
            }
        }
    }
    return count;
}

/* Forgotten while it runs, it would only come back; with a vote or with replicas it would be missed. */
static bool may_be_forgotten(struct cli *cli, int32_t broker)
{
    leat_brokers *brokers;
    leat_quorum *quorum;
    leat_error e;
    char first[300], room[64];
    bool votes = false, runs = false;
    if (leat_brokers_get(cli->client, &brokers, &e) || leat_quorum_get(cli->client, &quorum, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < brokers->count; i++) {
        runs = runs || (brokers->list[i]->id == broker && !brokers->list[i]->fenced);
    }
    for (size_t i = 0; i < quorum->replica_count; i++) {
        votes = votes || (quorum->replicas[i]->id == broker && quorum->replicas[i]->voter);
    }
    leat_brokers_free(brokers);
    leat_quorum_free(quorum);
    leat_meta *meta = cli_metadata(cli, NULL, true);
    size_t placed = placed_on(meta, broker, first);
    leat_meta_free(meta);
    if (runs) {
        cli_say("broker %d runs, and would come back: stop it first", (int)broker);
    } else if (votes) {
        cli_say("node %d votes in the metadata quorum: leat cluster remove %d takes that from it",
                (int)broker, (int)broker);
    } else if (placed > 0) {
        cli_say("%s placed on broker %d, %s is one: leat cluster decommission %d "
                "moves them",
                cli_counted(placed, "partition is", "partitions are", room), (int)broker, first,
                (int)broker);
    }
    return !runs && !votes && placed == 0;
}

int cluster_forget(struct cli *cli, const char *word)
{
    int32_t broker = cluster_broker_number(word, "forget");
    leat_error e;
    if (!may_be_forgotten(cli, broker)) {
        return EXIT_FAILED;
    }
    if (leat_broker_forget(cli->client, broker, &e)) {
        cli_fail(cli, &e);
    }
    if (!output_done(cli, json_pack("{s:i,s:b}", "broker", (int)broker, "forgotten", true)) &&
        !cli->quiet) {
        printf("broker %d is forgotten\n", (int)broker);
    }
    return EXIT_DONE;
}
