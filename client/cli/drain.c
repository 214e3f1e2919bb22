/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster drain|undrain|transfer-leader */
#include "cli/cluster.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAUSE_US = 100000 };

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

/* --- drain --- */

enum { NAMED_MAX = 8 }; /* brokers that are named */

/* Numbers of brokers, each once, in their order. */
struct numbers {
    int32_t list[NAMED_MAX];
    size_t count, more; /* more: that found no room */
};

/* Partitions that a broker leads and cannot hand over, each counted once, by what keeps the others from leading it. */
struct kept {
    size_t single;  /* there are no others */
    size_t lagging; /* another runs and may lead, but is not in sync: that passes */
    size_t drained; /* of the others those that run are drained, too */
    size_t away;    /* none of the others runs */
    struct numbers drained_brokers, away_brokers;
};

static void numbers_add(struct numbers *n, int32_t number)
{
    size_t at = 0;
    while (at < n->count && n->list[at] < number) {
        at++;
    }
    if (at < n->count && n->list[at] == number) {
        return;
    }
    if (n->count == NAMED_MAX) {
        n->more = 1;
        return;
    }
    memmove(&n->list[at + 1], &n->list[at], (n->count - at) * sizeof n->list[0]);
    n->list[at] = number;
    n->count++;
}

static const char *numbers_text(const struct numbers *n, const char *between,
                                char room[static NAMED_MAX * 14 + 8])
{
    size_t size = NAMED_MAX * 14 + 8, used = 0;
    room[0] = 0;
    for (size_t i = 0; i < n->count; i++) {
        used +=
            (size_t)snprintf(room + used, size - used, "%s%d", i ? between : "", (int)n->list[i]);
    }
    if (n->more) {
        snprintf(room + used, size - used, "%s...", between);
    }
    return room;
}

static const leat_lead *lead_find(const leat_leads *leads, int32_t broker)
{
    for (size_t i = 0; i < leads->count; i++) {
        if (leads->list[i]->broker == broker) {
            return leads->list[i];
        }
    }
    return NULL;
}

static void keep(struct kept *k, const leat_meta_partition *p, const leat_leads *leads)
{
    size_t running = 0, drained = 0;
    for (size_t i = 0; i < p->replica_count; i++) {
        int32_t other = p->replicas[i];
        const leat_lead *l = lead_find(leads, other);
        bool away = !l || cluster_holds(p->offline, p->offline_count, other);
        if (other == p->leader) {
            continue;
        }
        running += !away;
        drained += !away && l->yields;
    }
    if (running > drained) {
        k->lagging++;
        return;
    }
    k->single += p->replica_count == 1;
    k->drained += drained > 0;
    k->away += p->replica_count > 1 && drained == 0;
    for (size_t i = 0; i < p->replica_count; i++) {
        int32_t other = p->replicas[i];
        const leat_lead *l = lead_find(leads, other);
        if (other != p->leader) {
            bool away = !l || cluster_holds(p->offline, p->offline_count, other);
            numbers_add(away ? &k->away_brokers : &k->drained_brokers, other);
        }
    }
}

/* What a broker has, and what it keeps; how many it leads is told together with who is drained. */
static leat_lead lead_of(struct cli *cli, int32_t broker, struct kept *kept)
{
    leat_lead found = {.broker = broker};
    leat_leads *leads;
    leat_error e;
    if (leat_leads_get(cli->client, &leads, &e)) {
        cli_fail(cli, &e);
    }
    const leat_lead *l = lead_find(leads, broker);
    found = l ? *l : found;
    *kept = (struct kept){0};
    leat_meta *meta =
        found.alone > 0 && found.alone == found.leads ? cli_metadata(cli, NULL, true) : NULL;
    for (size_t i = 0; meta && i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        for (size_t j = 0; j < t->partition_count; j++) {
            if (t->partitions[j]->leader == broker) {
                keep(kept, t->partitions[j], leads);
            }
        }
    }
    leat_meta_free(meta);
    leat_leads_free(leads);
    return found;
}

/* Nothing more is to be expected: what it leads it leads alone, and that does not pass by itself. */
static bool is_settled(const leat_lead *l, const struct kept *k)
{
    return l->yields && l->leads == l->alone && k->lagging == 0;
}

static void kept_print(const leat_lead *l, const struct kept *k)
{
    char room[64], names[NAMED_MAX * 14 + 8], words[NAMED_MAX * 14 + 8];
    cli_say("broker %d still leads %s that no other broker can take over:", (int)l->broker,
            cli_counted((unsigned long long)l->leads, "partition", "partitions", room));
    if (k->single > 0) {
        cli_say("%zu without another replica (leat topic reassign gives them some)", k->single);
    }
    if (k->drained > 0) {
        cli_say("%zu whose other replicas are on brokers that are drained, too: %s "
                "(leat cluster undrain %s)",
                k->drained, numbers_text(&k->drained_brokers, ", ", names),
                numbers_text(&k->drained_brokers, " or ", words));
    }
    if (k->away > 0) {
        cli_say("%zu whose other replicas are on brokers that do not run: %s (start them)", k->away,
                numbers_text(&k->away_brokers, ", ", names));
    }
    if (k->lagging > 0) {
        cli_say("%zu whose other replicas are not in sync yet (leat cluster health shows when they "
                "are)",
                k->lagging);
    }
    cli_say("it stays drained and hands over what others can lead later (leat cluster undrain %d "
            "calls it off)",
            (int)l->broker);
}

static void drained_print(const leat_lead *l, const struct kept *k)
{
    char room[64];
    if (l->yields && l->leads == 0) {
        printf("drained broker %d\n", (int)l->broker);
    } else if (l->leads > l->alone || !l->yields) {
        cli_say(
            "broker %d still leads %s that others could lead: it goes on (leat cluster undrain "
            "%d calls it off)",
            (int)l->broker,
            cli_counted((unsigned long long)(l->leads - l->alone), "partition", "partitions", room),
            (int)l->broker);
    } else {
        kept_print(l, k);
    }
}

/* Nobody would take over anything then, and it would be waited for in vain. */
static bool quorum_without_leader(struct cli *cli, leat_error *e)
{
    leat_quorum *quorum = NULL;
    bool without = leat_quorum_get(cli->client, &quorum, e) == LEAT_ERR_NO_LEADER;
    leat_quorum_free(quorum);
    return without;
}

int cluster_drain(struct cli *cli, const char *word, long long wait_ms)
{
    int32_t broker = cluster_broker_number(word, "drain");
    int64_t until = cli_wall_ms() + wait_ms;
    int32_t told = -1;
    struct kept kept;
    leat_error e;
    char room[64];
    if (quorum_without_leader(cli, &e)) {
        cli_say("%s", e.message);
        return EXIT_FAILED;
    }
    cli_catch_signals();
    if (leat_broker_drain(cli->client, broker, true, &e)) {
        cli_fail(cli, &e);
    }
    leat_lead now = lead_of(cli, broker, &kept);
    while (!is_settled(&now, &kept) && cli_wall_ms() < until && !cli_interrupted) {
        if (now.leads != told && !cli->quiet && cli->output == OUTPUT_TABLE) {
            cli_say("broker %d leads %s", (int)broker,
                    cli_counted((unsigned long long)now.leads, "partition", "partitions", room));
        }
        told = now.leads;
        usleep(PAUSE_US);
        now = lead_of(cli, broker, &kept);
    }
    bool drained = now.yields && now.leads == 0, settled = is_settled(&now, &kept);
    json_t *value = json_pack("{s:i,s:b,s:i,s:i,s:{s:I,s:I,s:I,s:I}}", "broker", (int)broker,
                              "drained", drained, "leads", (int)now.leads, "alone", (int)now.alone,
                              "kept", "no_other_replica", (json_int_t)kept.single, "others_drained",
                              (json_int_t)kept.drained, "others_away", (json_int_t)kept.away,
                              "others_lagging", (json_int_t)kept.lagging);
    if (!output_done(cli, value) && (!cli->quiet || !drained)) {
        drained_print(&now, &kept);
    }
    return cli_interrupted ? cli_interrupt_status()
           : drained       ? EXIT_DONE
           : settled       ? EXIT_FAILED
                           : EXIT_TIMEOUT;
}

int cluster_undrain(struct cli *cli, const char *word)
{
    int32_t broker = cluster_broker_number(word, "undrain");
    leat_error e;
    if (quorum_without_leader(cli, &e)) {
        cli_say("%s", e.message);
        return EXIT_FAILED;
    }
    if (leat_broker_drain(cli->client, broker, false, &e)) {
        cli_fail(cli, &e);
    }
    if (!output_done(cli, json_pack("{s:i,s:b}", "broker", (int)broker, "drained", false)) &&
        !cli->quiet) {
        printf("broker %d may lead again\n", (int)broker);
    }
    return EXIT_DONE;
}

/* Who leads; *voters (or NULL) becomes how many vote. */
static int32_t quorum_leader(struct cli *cli, size_t *voters)
{
    leat_quorum *quorum;
    leat_error e;
    if (leat_quorum_get(cli->client, &quorum, &e)) {
        cli_fail(cli, &e);
    }
    int32_t leader = quorum->leader;
    for (size_t i = 0; voters && i < quorum->replica_count; i++) {
        *voters += quorum->replicas[i]->voter;
    }
    leat_quorum_free(quorum);
    return leader;
}

int cluster_transfer(struct cli *cli, const char *word, long long wait_ms)
{
    int32_t heir = word ? cluster_broker_number(word, "transfer-leader to") : -1;
    int64_t until = cli_wall_ms() + wait_ms;
    leat_error e;
    size_t voters = 0;
    int32_t before = quorum_leader(cli, &voters), now = before;
    if (voters == 1 && heir != before) {
        cli_say("broker %d goes on leading the metadata quorum: there is no other voter (leat "
                "cluster add makes one)",
                (int)before);
        return EXIT_FAILED;
    }
    cli_catch_signals();
    if (heir != before && leat_quorum_transfer(cli->client, heir, &e)) {
        cli_fail(cli, &e);
    }
    while (now == before && heir != before && cli_wall_ms() < until && !cli_interrupted) {
        usleep(PAUSE_US);
        now = quorum_leader(cli, NULL);
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
