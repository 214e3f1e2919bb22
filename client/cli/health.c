/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster health */
#include "cli/cluster.h"

#include <stdlib.h>
#include <unistd.h>

enum { HEALTH_PAUSE_US = 500000 };

int cluster_brokers_ask(struct cli *cli, leat_brokers **out, leat_error *e)
{
    *out = NULL;
    int error = leat_brokers_get(cli->client, out, e);
    return error == LEAT_ERR_UNSUPPORTED_VERSION ? 0 : error;
}

enum {
    NAMED_MAX = 5,     /* partitions of a kind that are named */
    SILENT_MS = 10000, /* a voter that has not asked for so long */
    VOTERS_WANTED = 3, /* survive the loss of one */
    ROOM_PART = 20,    /* of a disk: less than that is little, */
    FULL_PART = 1000,  /* and less than that is none */
};

/* What there is, and what is wrong with it. */
struct condition {
    size_t partitions, leaderless, lagging; /* lagging: fewer replicas in sync than there are */
    json_t *first;                          /* the names of the first that have no leader */
    size_t unwritable;                      /* a leader, but too few in sync for acks=all */
    json_t *first_unwritable;
    json_t *fenced, *draining; /* numbers of brokers */
    size_t brokers, voters;    /* voters 0: not known */
    json_t *
        silent_voters; /* numbers of nodes: a vote that nobody gives is missed at the next failure */
    json_t *disks;     /* those with little room or none */
    size_t full;       /* of `disks`: with none */
};

static void condition_of(struct condition *out, const leat_meta *meta,
                         const leat_brokers *registered)
{
    *out = (struct condition){.first = json_array(),
                              .first_unwritable = json_array(),
                              .fenced = json_array(),
                              .draining = json_array(),
                              .silent_voters = json_array(),
                              .disks = json_array()};
    for (size_t i = 0; i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        for (size_t j = 0; j < t->partition_count; j++) {
            const leat_meta_partition *p = t->partitions[j];
            out->partitions++;
            out->lagging += p->in_sync_count < p->replica_count;
            if (p->leader < 0 && out->leaderless++ < NAMED_MAX) {
                json_array_append_new(out->first, json_sprintf("%s-%d", t->name, (int)p->id));
            }
        }
    }
    out->brokers = registered ? registered->count : meta->broker_count;
    for (size_t i = 0; registered && i < registered->count; i++) {
        if (registered->list[i]->fenced) {
            json_array_append_new(out->fenced, json_integer(registered->list[i]->id));
        }
    }
}

static void condition_free(struct condition *c)
{
    json_decref(c->first);
    json_decref(c->first_unwritable);
    json_decref(c->fenced);
    json_decref(c->draining);
    json_decref(c->silent_voters);
    json_decref(c->disks);
}

static bool is_low(const leat_disk *d)
{
    return !d->code && d->total_bytes > 0 && d->usable_bytes >= 0 &&
           d->usable_bytes < d->total_bytes / ROOM_PART;
}

bool cluster_low_disk(const leat_disks *disks, int32_t broker)
{
    for (size_t i = 0; disks && i < disks->count; i++) {
        if (disks->list[i]->broker == broker && is_low(disks->list[i])) {
            return true;
        }
    }
    return false;
}

/* What no broker tells is no fault: some do not know, and who does not answer is missed elsewhere. */
static void find_full_disks(struct cli *cli, struct condition *c)
{
    leat_disks *disks;
    if (leat_disks_get(cli->client, &disks, NULL)) {
        return;
    }
    for (size_t i = 0; i < disks->count; i++) {
        const leat_disk *d = disks->list[i];
        if (!is_low(d)) {
            continue;
        }
        c->full += d->usable_bytes < d->total_bytes / FULL_PART;
        json_array_append_new(c->disks,
                              json_pack("{s:i,s:s,s:I,s:I}", "broker", (int)d->broker, "path",
                                        d->path, "usable_bytes", (json_int_t)d->usable_bytes,
                                        "total_bytes", (json_int_t)d->total_bytes));
    }
    leat_disks_free(disks);
}

static void disks_print(const json_t *disks)
{
    size_t index;
    json_t *disk;
    json_array_foreach(disks, index, disk)
    {
        double mib = 1 << 20;
        json_int_t usable = json_integer_value(json_object_get(disk, "usable_bytes"));
        json_int_t total = json_integer_value(json_object_get(disk, "total_bytes"));
        bool full = usable < total / FULL_PART;
        printf("%s: broker %lld can store %.0f MiB more in %s, of %.0f MiB%s\n",
               full ? "disk full" : "little room",
               (long long)json_integer_value(json_object_get(disk, "broker")), (double)usable / mib,
               json_string_value(json_object_get(disk, "path")), (double)total / mib,
               full ? " (leat topic trim or a shorter retention.ms makes room)" : "");
    }
}

/* It follows with another directory, and was heard last with that: the one that has the vote is lost. */
static bool votes_no_more(const leat_quorum *quorum, const leat_quorum_replica *voter)
{
    for (size_t i = 0; i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
        if (r->id == voter->id && !r->voter && r->fetched_ms > voter->fetched_ms) {
            return true;
        }
    }
    return false;
}

/* Those that have not fetched the metadata log for a while, as the leader tells. */
static void find_silent_voters(const leat_quorum *quorum, struct condition *c)
{
    bool told = false; /* some brokers do not say when they were asked */
    for (size_t i = 0; i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
        told = told || (r->id != quorum->leader && r->fetched_ms >= 0);
    }
    for (size_t i = 0; told && i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
        c->voters += r->voter;
        bool heard = r->id == quorum->leader || cli_wall_ms() - r->fetched_ms < SILENT_MS;
        if (r->voter && (!heard || votes_no_more(quorum, r))) {
            json_array_append_new(c->silent_voters, json_integer(r->id));
        }
    }
}

/* Of a broker that is not heard of it is of no interest that it has let go before it went. */
static json_t *draining_of(struct cli *cli, const struct condition *c)
{
    json_t *all = cluster_draining(cli), *heard = json_array(), *number, *other;
    size_t i, k;
    json_array_foreach(all, i, number)
    {
        bool fenced = false;
        json_array_foreach(c->fenced, k, other)
        {
            fenced = fenced || json_equal(number, other);
        }
        if (!fenced) {
            json_array_append(heard, number);
        }
    }
    json_decref(all);
    return heard;
}

/* Who waits until all is well waits for a broker, too: it is told once why none answers. NULL: the end
 * came first. */
static leat_meta *health_metadata(struct cli *cli, bool wait)
{
    leat_meta *meta;
    leat_error e;
    for (bool told = false; wait; told = true) {
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

/* The first parts of a list and how many more there are: "t-0, t-1 and 3 more". */
static void names_print(const json_t *names, size_t count)
{
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name)
    {
        fputs(index ? ", " : "", stdout);
        if (json_is_string(name)) {
            printf("%s", json_string_value(name));
        } else {
            printf("%lld", (long long)json_integer_value(name));
        }
    }
    if (count > json_array_size(names)) {
        printf(" and %zu more", count - json_array_size(names));
    }
}

static void health_print(const struct condition *c, bool healthy, bool controller, const char *why)
{
    char room[64];
    printf("%s: %s, %zu without a leader, %zu under-replicated\n",
           healthy ? "healthy" : "not healthy",
           cli_counted(c->partitions, "partition", "partitions", room), c->leaderless, c->lagging);
    if (!controller) {
        printf("%s\n", why);
    }
    size_t fenced = json_array_size(c->fenced);
    if (fenced > 0) {
        printf("not heard of: %s ", fenced == 1 ? "broker" : "brokers");
        names_print(c->fenced, fenced);
        printf(" (leat cluster brokers; one that will not come back: leat cluster forget)\n");
    }
    size_t draining = json_array_size(c->draining);
    if (draining > 0) {
        printf("drained: %s ", draining == 1 ? "broker" : "brokers");
        names_print(c->draining, draining);
        printf(" (leat cluster undrain)\n");
    }
    if (c->voters > 0 && c->voters < VOTERS_WANTED && c->brokers >= VOTERS_WANTED) {
        printf(
            "%zu of %zu nodes keep the metadata: without %s nothing can be changed (leat cluster "
            "add)\n",
            c->voters, c->brokers, c->voters == 1 ? "that one" : "either of them");
    }
    size_t silent = json_array_size(c->silent_voters);
    if (silent > 0) {
        printf("not heard of as %s: ", silent == 1 ? "a voter" : "voters");
        names_print(c->silent_voters, silent);
        printf(" (leat cluster quorum; a node whose directory was replaced: leat cluster remove, "
               "then add)\n");
    }
    disks_print(c->disks);
    if (c->leaderless > 0) {
        printf("without a leader: ");
        names_print(c->first, c->leaderless);
        putchar('\n');
    }
    if (c->unwritable > 0) {
        printf("no acks=all, fewer in sync than min.insync.replicas: ");
        names_print(c->first_unwritable, c->unwritable);
        putchar('\n');
    }
}

/* What is wrong, once. Brokers are not asked for what only a controller knows when there is none: nobody answers. */
static bool health_look(struct cli *cli, bool wait, bool local, const leat_meta *meta,
                        struct condition *found, bool *controller, leat_error *why)
{
    leat_quorum *quorum;
    leat_brokers *registered = NULL;
    leat_error e;
    int asked = cli_quorum(cli, &quorum, why);
    *controller = meta->controller >= 0 && asked != LEAT_ERR_NO_LEADER;
    if (asked != LEAT_ERR_NO_LEADER) {
        snprintf(why->message, sizeof why->message, "%s",
                 "no controller: most of the voters must run and reach each other (leat cluster "
                 "quorum)");
    }
    int error = local || !*controller ? 0 : cluster_brokers_ask(cli, &registered, &e);
    if (error && !wait) {
        cli_fail(cli, &e);
    }
    condition_of(found, meta, registered);
    if (registered) {
        json_decref(found->draining);
        found->draining = draining_of(cli, found);
    }
    if (!local && *controller) {
        find_full_disks(cli, found);
        found->unwritable = cluster_unwritable(cli, meta, found->first_unwritable, NAMED_MAX);
    }
    if (quorum && !local) {
        find_silent_voters(quorum, found);
    }
    leat_quorum_free(quorum);
    leat_brokers_free(registered);
    bool whole = !error && found->leaderless == 0 && found->lagging == 0 && found->full == 0 &&
                 json_array_size(found->fenced) == 0 && json_array_size(found->silent_voters) == 0;
    return *controller && (local || whole);
}

int cluster_health(struct cli *cli, bool wait, bool local)
{
    struct condition found;
    bool healthy, controller;
    leat_error why;
    cli_catch_signals();
    for (;;) {
        leat_meta *meta = health_metadata(cli, wait);
        if (!meta) {
            return cli_interrupt_status();
        }
        healthy = health_look(cli, wait, local, meta, &found, &controller, &why);
        leat_meta_free(meta);
        if (healthy || !wait || cli_interrupted) {
            break;
        }
        condition_free(&found);
        usleep(HEALTH_PAUSE_US);
    }
    json_t *health =
        json_pack("{s:b,s:b,s:I,s:I,s:O,s:I,s:O,s:I,s:O,s:O,s:O,s:I,s:O,s:s?}", "healthy", healthy,
                  "controller", controller, "partitions", (json_int_t)found.partitions,
                  "leaderless", (json_int_t)found.leaderless, "first_leaderless", found.first,
                  "unwritable", (json_int_t)found.unwritable, "first_unwritable",
                  found.first_unwritable, "under_replicated", (json_int_t)found.lagging,
                  "fenced_brokers", found.fenced, "draining_brokers", found.draining,
                  "silent_voters", found.silent_voters, "voters", (json_int_t)found.voters,
                  "low_disks", found.disks, "problem", controller ? NULL : why.message);
    if (!output_value(cli, health)) {
        health_print(&found, healthy, controller, why.message);
        json_decref(health);
    }
    condition_free(&found);
    return cli_interrupted ? cli_interrupt_status() : healthy ? EXIT_DONE : EXIT_FAILED;
}
