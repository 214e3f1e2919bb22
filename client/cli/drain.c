/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster drain|undrain|transfer-leader */
#include "cli/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAUSE_US = 100000 };

static int32_t number_of(const char *word, const char *action)
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

json_t *cluster_draining(struct cli *cli)
{
    json_t *numbers = json_array();
    leat_leads *leads;
    if (leat_leads_get(cli->client, &leads, NULL)) {
        return numbers;
    }
    for (size_t i = 0; i < leads->count; i++) {
        if (leads->list[i]->yields) {
            json_array_append_new(numbers, json_integer(leads->list[i]->broker));
        }
    }
    leat_leads_free(leads);
    return numbers;
}

/* Of one broker; all zero: it is not told of. */
static leat_lead lead_of(struct cli *cli, int32_t broker)
{
    leat_lead found = {.broker = -1};
    leat_leads *leads;
    leat_error e;
    if (leat_leads_get(cli->client, &leads, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < leads->count; i++) {
        if (leads->list[i]->broker == broker) {
            found = *leads->list[i];
        }
    }
    leat_leads_free(leads);
    return found;
}

static bool is_drained(const leat_lead *l)
{
    return l->yields && l->leads == l->alone;
}

static void drained_print(const leat_lead *l, bool drained)
{
    char room[64];
    if (!drained) {
        cli_say(
            "broker %d still leads %s that others could lead: it goes on (leat cluster undrain %d "
            "calls it off)",
            (int)l->broker,
            cli_counted((unsigned long long)(l->leads - l->alone), "partition", "partitions", room),
            (int)l->broker);
        return;
    }
    printf("drained broker %d\n", (int)l->broker);
    if (l->alone > 0) {
        printf("it leads %s of which nobody else has a copy in sync\n",
               cli_counted((unsigned long long)l->alone, "partition", "partitions", room));
    }
}

int cluster_drain(struct cli *cli, const char *word, long long wait_ms)
{
    int32_t broker = number_of(word, "drain");
    int64_t until = cli_wall_ms() + wait_ms;
    int32_t told = -1;
    leat_error e;
    char room[64];
    cli_catch_signals();
    if (leat_broker_drain(cli->client, broker, true, &e)) {
        cli_fail(cli, &e);
    }
    leat_lead now = lead_of(cli, broker);
    while (!is_drained(&now) && cli_wall_ms() < until && !cli_interrupted) {
        if (now.leads != told && !cli->quiet && cli->output == OUTPUT_TABLE) {
            cli_say("broker %d leads %s", (int)broker,
                    cli_counted((unsigned long long)now.leads, "partition", "partitions", room));
        }
        told = now.leads;
        usleep(PAUSE_US);
        now = lead_of(cli, broker);
    }
    bool drained = is_drained(&now);
    json_t *value = json_pack("{s:i,s:b,s:i,s:i}", "broker", (int)broker, "drained", drained,
                              "leads", (int)now.leads, "alone", (int)now.alone);
    if (!output_done(cli, value) && !cli->quiet) {
        drained_print(&now, drained);
    }
    return cli_interrupted ? cli_interrupt_status() : drained ? EXIT_DONE : EXIT_TIMEOUT;
}

int cluster_undrain(struct cli *cli, const char *word)
{
    int32_t broker = number_of(word, "undrain");
    leat_error e;
    if (leat_broker_drain(cli->client, broker, false, &e)) {
        cli_fail(cli, &e);
    }
    if (!output_done(cli, json_pack("{s:i,s:b}", "broker", (int)broker, "drained", false)) &&
        !cli->quiet) {
        printf("broker %d may lead again\n", (int)broker);
    }
    return EXIT_DONE;
}

static int32_t quorum_leader(struct cli *cli)
{
    leat_quorum *quorum;
    leat_error e;
    if (leat_quorum_get(cli->client, &quorum, &e)) {
        cli_fail(cli, &e);
    }
    int32_t leader = quorum->leader;
    leat_quorum_free(quorum);
    return leader;
}

int cluster_transfer(struct cli *cli, const char *word, long long wait_ms)
{
    int32_t heir = word ? number_of(word, "transfer-leader to") : -1;
    int64_t until = cli_wall_ms() + wait_ms;
    leat_error e;
    int32_t before = quorum_leader(cli), now = before;
    cli_catch_signals();
    if (heir != before && leat_quorum_transfer(cli->client, heir, &e)) {
        cli_fail(cli, &e);
    }
    while (now == before && heir != before && cli_wall_ms() < until && !cli_interrupted) {
        usleep(PAUSE_US);
        now = quorum_leader(cli);
    }
    bool done = heir < 0 ? now != before : now == heir;
    json_t *value =
        json_pack("{s:i,s:i,s:b}", "before", (int)before, "leader", (int)now, "transferred", done);
    if (!output_done(cli, value) && !cli->quiet) {
        if (done) {
            printf("broker %d leads the metadata quorum\n", (int)now);
        } else {
            cli_say("broker %d leads the metadata quorum: try again", (int)now);
        }
    }
    return cli_interrupted ? cli_interrupt_status() : done ? EXIT_DONE : EXIT_FAILED;
}
