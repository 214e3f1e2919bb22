/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster health */
#include "cli/cluster.h"

#include <stdlib.h>
#include <string.h>
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

/* Partitions of which something is so. */
struct kind {
    size_t count;
    json_t *first; /* names of the first; NULL: of none it is known */
};

/* What there is, and what is wrong with it. What is NULL is not known. */
struct condition {
    bool controller, local; /* local: all else is of no interest */
    size_t partitions;
    struct kind leaderless;
    struct kind lagging;       /* fewer replicas in sync than there are, */
    struct kind moving;        /* apart from those that lack only what a reassignment adds */
    struct kind unwritable;    /* a leader, but too few in sync for acks=all */
    json_t *registered;        /* how many brokers */
    json_t *fenced, *draining; /* numbers of brokers */
    size_t brokers;            /* registered, or as many as the metadata name */
    json_t *voters;            /* how many */
    json_t *
        silent_voters; /* numbers of nodes: a vote that nobody gives is missed at the next failure */
    json_t *disks;     /* those with little room or none */
    size_t full;       /* of `disks`: with none */
};

static void kind_add(struct kind *k, const leat_meta_topic *t, const leat_meta_partition *p)
{
    if (k->count++ < NAMED_MAX) {
        json_array_append_new(k->first, json_sprintf("%s-%d", t->name, (int)p->id));
    }
}

static bool is_lagging(const leat_meta_partition *p)
{
    return p->in_sync_count < p->replica_count;
}

/* Asked only when it matters; what is not told is not on its way. */
static leat_moves *moves_ask(struct cli *cli, const leat_meta *meta)
{
    bool lags = false;
    leat_moves *moves = NULL;
    for (size_t i = 0; i < meta->topic_count; i++) {
        for (size_t j = 0; j < meta->topics[i]->partition_count; j++) {
            lags = lags || is_lagging(meta->topics[i]->partitions[j]);
        }
    }
    return lags && leat_moves_get(cli->client, NULL, &moves, NULL) == 0 ? moves : NULL;
}

/* Whether every replica that is not in sync is one that a reassignment adds: nothing is missing then. */
static bool lacks_only_what_comes(const leat_moves *moves, const leat_meta_topic *t,
                                  const leat_meta_partition *p)
{
    const leat_move *move = NULL;
    for (size_t i = 0; moves && i < moves->count && !move; i++) {
        const leat_move *m = moves->list[i];
        move = m->partition == p->id && strcmp(m->topic, t->name) == 0 ? m : NULL;
    }
    for (size_t i = 0; move && i < p->replica_count; i++) {
        int32_t id = p->replicas[i];
        if (!cluster_holds(p->in_sync, p->in_sync_count, id) &&
            !cluster_holds(move->adding, move->adding_count, id)) {
            return false;
        }
    }
    return move != NULL;
}

static void find_partitions(struct condition *c, const leat_meta *meta, const leat_moves *moves)
{
    c->leaderless.first = json_array();
    c->lagging.first = json_array();
    c->moving.first = json_array();
    for (size_t i = 0; i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        for (size_t j = 0; j < t->partition_count; j++) {
            const leat_meta_partition *p = t->partitions[j];
            if (p->leader < 0) {
                kind_add(&c->leaderless, t, p);
            }
            if (is_lagging(p)) {
                kind_add(lacks_only_what_comes(moves, t, p) ? &c->moving : &c->lagging, t, p);
            }
        }
    }
}

static void find_fenced(struct condition *c, const leat_brokers *registered)
{
    c->brokers = registered->count;
    c->registered = json_integer((json_int_t)registered->count);
    c->fenced = json_array();
    for (size_t i = 0; i < registered->count; i++) {
        if (registered->list[i]->fenced) {
            json_array_append_new(c->fenced, json_integer(registered->list[i]->id));
        }
    }
}

static void condition_free(struct condition *c)
{
    json_decref(c->leaderless.first);
    json_decref(c->lagging.first);
    json_decref(c->moving.first);
    json_decref(c->unwritable.first);
    json_decref(c->registered);
    json_decref(c->fenced);
    json_decref(c->draining);
    json_decref(c->voters);
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
    c->disks = json_array();
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
    bool told = false, others = false; /* some brokers do not say when they were asked */
    size_t voters = 0;
    for (size_t i = 0; i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
        others = others || r->id != quorum->leader;
        told = told || (r->id != quorum->leader && r->fetched_ms >= 0);
        voters += r->voter;
    }
    c->voters = json_integer((json_int_t)voters);
    c->silent_voters = told || !others ? json_array() : NULL;
    for (size_t i = 0; told && i < quorum->replica_count; i++) {
        const leat_quorum_replica *r = quorum->replicas[i];
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

static void kind_print(const struct kind *k, const char *what)
{
    if (k->count > 0) {
        printf("%s: ", what);
        names_print(k->first, k->count);
        putchar('\n');
    }
}

static void summary_print(const struct condition *c, bool healthy, const char *why)
{
    char room[64];
    if (c->local) {
        printf(c->controller ? "this broker answers and knows a controller\n"
                             : "not healthy: this broker answers, and knows no controller\n");
    } else if (!c->controller) {
        printf("not healthy: what is led and in sync is not known\n");
    } else {
        printf("%s: %s, %zu without a leader, %zu under-replicated\n",
               healthy ? "healthy" : "not healthy",
               cli_counted(c->partitions, "partition", "partitions", room), c->leaderless.count,
               c->lagging.count);
    }
    if (!c->controller) {
        printf("%s\n", why);
    }
}

static void nodes_print(const struct condition *c)
{
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
    size_t voters = (size_t)json_integer_value(c->voters);
    if (voters > 0 && voters < VOTERS_WANTED && c->brokers >= VOTERS_WANTED) {
        printf(
            "%zu of %zu nodes keep the metadata: without %s nothing can be changed (leat cluster "
            "add)\n",
            voters, c->brokers, voters == 1 ? "that one" : "either of them");
    }
    size_t silent = json_array_size(c->silent_voters);
    if (silent > 0) {
        printf("not heard of as %s: ", silent == 1 ? "a voter" : "voters");
        names_print(c->silent_voters, silent);
        printf(" (leat cluster quorum; a node whose directory was replaced: leat cluster remove, "
               "then add)\n");
    }
}

static void health_print(const struct condition *c, bool healthy, const char *why)
{
    char room[64];
    summary_print(c, healthy, why);
    if (c->local || !c->controller) {
        return;
    }
    nodes_print(c);
    disks_print(c->disks);
    kind_print(&c->leaderless, "without a leader");
    kind_print(&c->lagging, "under-replicated");
    kind_print(&c->unwritable, "no acks=all, fewer in sync than min.insync.replicas");
    if (c->moving.count > 0) {
        printf("%s on %s way to other replicas (leat topic reassign)\n",
               cli_counted(c->moving.count, "partition", "partitions", room),
               c->moving.count == 1 ? "its" : "their");
    }
}

/* What only a controller knows. True: all is well. */
static bool find_all(struct cli *cli, bool wait, const leat_meta *meta, const leat_quorum *quorum,
                     struct condition *c)
{
    leat_brokers *registered;
    leat_error e;
    int error = cluster_brokers_ask(cli, &registered, &e);
    if (error && !wait) {
        cli_fail(cli, &e);
    }
    leat_moves *moves = moves_ask(cli, meta);
    find_partitions(c, meta, moves);
    leat_moves_free(moves);
    c->brokers = meta->broker_count;
    if (registered) {
        find_fenced(c, registered);
        c->draining = draining_of(cli, c);
    }
    leat_brokers_free(registered);
    find_full_disks(cli, c);
    c->unwritable.first = json_array();
    c->unwritable.count = cluster_unwritable(cli, meta, c->unwritable.first, NAMED_MAX);
    if (quorum) {
        find_silent_voters(quorum, c);
    }
    return !error && c->leaderless.count == 0 && c->lagging.count == 0 && c->full == 0 &&
           json_array_size(c->fenced) == 0 && json_array_size(c->silent_voters) == 0;
}

/* What is wrong, once. Brokers are not asked for what only a controller knows when there is none: nobody answers. */
static bool health_look(struct cli *cli, bool wait, const leat_meta *meta, struct condition *c,
                        leat_error *why)
{
    leat_quorum *quorum;
    int asked = cli_quorum(cli, &quorum, why);
    c->controller = meta->controller >= 0 && asked != LEAT_ERR_NO_LEADER;
    if (asked != LEAT_ERR_NO_LEADER) {
        snprintf(why->message, sizeof why->message, "%s",
                 "no controller: most of the voters must run and reach each other (leat cluster "
                 "quorum)");
    }
    for (size_t i = 0; i < meta->topic_count; i++) {
        c->partitions += meta->topics[i]->partition_count;
    }
    bool healthy = c->controller && (c->local || find_all(cli, wait, meta, quorum, c));
    leat_quorum_free(quorum);
    return healthy;
}

static json_t *count_json(const struct kind *k)
{
    return k->first ? json_integer((json_int_t)k->count) : json_null();
}

static json_t *health_json(const struct condition *c, bool healthy, const char *why)
{
    return json_pack(
        "{s:b,s:b,s:I,s:o,s:O?,s:o,s:O?,s:o,s:O?,s:o,s:O?,s:O?,s:O?,s:O?,s:O?,s:O?,s:s?}",
        "healthy", healthy, "controller", c->controller, "partitions", (json_int_t)c->partitions,
        "leaderless", count_json(&c->leaderless), "first_leaderless", c->leaderless.first,
        "unwritable", count_json(&c->unwritable), "first_unwritable", c->unwritable.first,
        "under_replicated", count_json(&c->lagging), "first_under_replicated", c->lagging.first,
        "moving", count_json(&c->moving), "brokers", c->registered, "fenced_brokers", c->fenced,
        "draining_brokers", c->draining, "silent_voters", c->silent_voters, "voters", c->voters,
        "low_disks", c->disks, "problem", c->controller ? NULL : why);
}

int cluster_health(struct cli *cli, bool wait, bool local)
{
    struct condition found;
    bool healthy;
    leat_error why;
    cli_catch_signals();
    for (;;) {
        leat_meta *meta = health_metadata(cli, wait);
        if (!meta) {
            return cli_interrupt_status();
        }
        found = (struct condition){.local = local};
        healthy = health_look(cli, wait, meta, &found, &why);
        leat_meta_free(meta);
        if (healthy || !wait || cli_interrupted) {
            break;
        }
        condition_free(&found);
        usleep(HEALTH_PAUSE_US);
    }
    json_t *health = health_json(&found, healthy, why.message);
    if (!output_value(cli, health)) {
        health_print(&found, healthy, why.message);
        json_decref(health);
    }
    condition_free(&found);
    return cli_interrupted ? cli_interrupt_status() : healthy ? EXIT_DONE : EXIT_FAILED;
}
