/* SPDX-License-Identifier: Apache-2.0 */

/* leat cluster decommission: every replica that is placed on a broker goes to another one. It is drained first: nothing
 * new is placed on it then, also not by who empties another broker at the same time. */
#include "cli/cluster.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_US = 300000,
    HEADLESS_MS = 5000, /* an election takes less */
    SAY_MS = 1000,
    MOVES_MAX = 100, /* on their way at a time: what is called off then is little */
    REPLICAS_MAX = 64,
};

/* The cluster as it is in one round. */
struct view {
    leat_meta *meta;
    leat_brokers *brokers;
    leat_moves *moves;
    json_t *draining;
    const leat_disks *disks; /* as they were at first; NULL: not known */
    size_t *placed;          /* replicas of each of `brokers` */
};

struct found {
    size_t left, moving; /* replicas on the broker; of these on their way to another */
    size_t stuck;        /* for which no other broker is left */
    size_t headless;     /* that nobody leads: nothing can be copied */
    char first_stuck[300], first_headless[300];
};

static void view_take(struct cli *cli, struct view *v)
{
    leat_error e;
    v->meta = cli_metadata(cli, NULL, true);
    /* Then: what begins to move between the two is seen moving. */
    if (leat_brokers_get(cli->client, &v->brokers, &e) ||
        leat_moves_get(cli->client, NULL, &v->moves, &e)) {
        cli_fail(cli, &e);
    }
    v->draining = cluster_draining(cli);
    v->placed = cli_alloc((v->brokers->count + 1) * sizeof *v->placed);
    for (size_t b = 0; b < v->brokers->count; b++) {
        v->placed[b] = 0;
        for (size_t i = 0; i < v->meta->topic_count; i++) {
            const leat_meta_topic *t = v->meta->topics[i];
            for (size_t j = 0; j < t->partition_count; j++) {
                const leat_meta_partition *p = t->partitions[j];
                v->placed[b] +=
                    cluster_holds(p->replicas, p->replica_count, v->brokers->list[b]->id);
            }
        }
    }
}

static void view_free(struct view *v)
{
    leat_meta_free(v->meta);
    leat_brokers_free(v->brokers);
    leat_moves_free(v->moves);
    json_decref(v->draining);
    free(v->placed);
}

/* NULL: it does not move. */
static const leat_move *move_of(const struct view *v, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < v->moves->count; i++) {
        const leat_move *m = v->moves->list[i];
        if (m->partition == partition && strcmp(m->topic, topic) == 0) {
            return m;
        }
    }
    return NULL;
}

static bool is_away(const struct view *v, int32_t broker)
{
    for (size_t i = 0; i < v->brokers->count; i++) {
        if (v->brokers->list[i]->id == broker) {
            return v->brokers->list[i]->fenced;
        }
    }
    return true;
}

/* It goes to a broker that has gone meanwhile, and would wait for that one. */
static bool is_lost(const struct view *v, const leat_move *m, int32_t replica)
{
    return cluster_holds(m->adding, m->adding_count, replica) && is_away(v, replica);
}

static bool is_under_way(const struct view *v, const leat_move *m)
{
    for (size_t i = 0; m && i < m->adding_count; i++) {
        if (is_away(v, m->adding[i])) {
            return false;
        }
    }
    return m != NULL;
}

static bool is_among(const json_t *numbers, int32_t broker)
{
    for (size_t i = 0; i < json_array_size(numbers); i++) {
        if (json_integer_value(json_array_get(numbers, i)) == broker) {
            return true;
        }
    }
    return false;
}

/* Whether another replica than the one on `without` stands in this rack. */
static bool rack_taken(const struct view *v, const leat_meta_partition *p, int32_t without,
                       const char *rack)
{
    for (size_t i = 0; rack && i < v->brokers->count; i++) {
        const leat_broker *b = v->brokers->list[i];
        if (b->id != without && cluster_holds(p->replicas, p->replica_count, b->id) && b->rack &&
            strcmp(b->rack, rack) == 0) {
            return true;
        }
    }
    return false;
}

/* Where a replica goes: to a broker that runs and has none of this partition; a rack of its own comes first, then who
 * has the fewest. Its place among the brokers, or their number: there is none. */
static size_t heir_of(const struct view *v, const leat_meta_partition *p, int32_t broker)
{
    size_t count = v->brokers->count, best = count;
    bool best_shares = false;
    for (size_t i = 0; i < count; i++) {
        const leat_broker *b = v->brokers->list[i];
        if (b->fenced || b->id == broker || is_among(v->draining, b->id) ||
            cluster_low_disk(v->disks, b->id) ||
            cluster_holds(p->replicas, p->replica_count, b->id)) {
            continue;
        }
        bool shares = rack_taken(v, p, broker, b->rack);
        if (best == count || shares < best_shares ||
            (shares == best_shares && v->placed[i] < v->placed[best])) {
            best = i;
            best_shares = shares;
        }
    }
    return best;
}

/* The replicas with the heir in the place of the broker, or of who was to replace it and has gone. 0: too many, or two
 * have gone. */
static size_t target_of(const struct view *v, const leat_meta_partition *p, const leat_move *m,
                        int32_t broker, int32_t heir, int32_t out[static REPLICAS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < p->replica_count; i++) {
        int32_t id = p->replicas[i];
        bool replaced = m ? is_lost(v, m, id) : id == broker;
        if (m && !replaced && cluster_holds(m->removing, m->removing_count, id)) {
            continue;
        }
        if (count == REPLICAS_MAX || (replaced && cluster_holds(out, count, heir))) {
            return 0;
        }
        out[count++] = replaced ? heir : id;
    }
    return count;
}

static void move_one(struct cli *cli, struct view *v, const char *topic,
                     const leat_meta_partition *p, int32_t broker, struct found *f)
{
    int32_t replicas[REPLICAS_MAX];
    leat_error e;
    size_t heir = heir_of(v, p, broker);
    const leat_move *m = move_of(v, topic, p->id);
    size_t count = heir < v->brokers->count
                       ? target_of(v, p, m, broker, v->brokers->list[heir]->id, replicas)
                       : 0;
    if (count == 0) {
        if (f->stuck++ == 0) {
            snprintf(f->first_stuck, sizeof f->first_stuck, "%s-%d", topic, (int)p->id);
        }
        return;
    }
    int error = leat_topic_reassign(cli->client, topic, p->id, replicas, count, &e);
    if (error == LEAT_ERR_UNKNOWN_TOPIC) {
        return; /* deleted meanwhile: the next round does not find it */
    }
    if (error) {
        cli_fail(cli, &e);
    }
    v->placed[heir]++;
    f->moving++;
}

static struct found round_of(struct cli *cli, int32_t broker, const leat_disks *disks)
{
    struct found f = {.left = 0};
    struct view v = {.disks = disks};
    view_take(cli, &v);
    for (int moves = 0; moves < 2; moves++) { /* what moves already is counted first */
        for (size_t i = 0; i < v.meta->topic_count; i++) {
            const leat_meta_topic *t = v.meta->topics[i];
            for (size_t j = 0; j < t->partition_count; j++) {
                const leat_meta_partition *p = t->partitions[j];
                if (!cluster_holds(p->replicas, p->replica_count, broker)) {
                    continue;
                }
                bool moving = is_under_way(&v, move_of(&v, t->name, p->id));
                f.left += moves == 0;
                f.moving += moves == 0 && moving && p->leader >= 0;
                if (moves == 0 && p->leader < 0 && f.headless++ == 0) {
                    snprintf(f.first_headless, sizeof f.first_headless, "%s -p %d", t->name,
                             (int)p->id);
                }
                if (moves == 1 && !moving && f.moving < MOVES_MAX) {
                    move_one(cli, &v, t->name, p, broker, &f);
                }
            }
        }
    }
    view_free(&v);
    return f;
}

static bool is_headless(const struct found *f)
{
    return f->headless > 0 && f->headless == f->left - f->stuck && f->moving == 0;
}

static bool is_stuck(const struct found *f)
{
    return f->stuck > 0 && f->moving == 0;
}

static void found_print(struct cli *cli, int32_t broker, const struct found *f)
{
    char room[64];
    const char *left = cli_counted(f->left, "replica", "replicas", room);
    if (f->left == 0) {
        if (!cli->quiet) {
            printf(
                "broker %d has no replicas any more; when it is stopped, and does not vote, leat "
                "cluster forget %d takes it from the list\n",
                (int)broker, (int)broker);
        }
    } else if (is_headless(f)) {
        cli_say(
            "broker %d has %s still, and nobody leads %zu of them, topic %s is one: nothing can be "
            "copied until a broker is back that has it, or leat topic elect %s --unclean",
            (int)broker, left, f->headless, f->first_headless, f->first_headless);
    } else if (is_stuck(f)) {
        cli_say(
            "broker %d has %s still, and no other broker is left for %zu of them, %s is one: add "
            "a broker, undrain one, or give the topic fewer replicas (leat topic reassign)",
            (int)broker, left, f->stuck, f->first_stuck);
    } else {
        cli_say("broker %d has %s still, %zu on their way: that goes on (leat topic reassign shows "
                "it), and for the others this is said again",
                (int)broker, left, f->moving);
    }
}

/* A number that nobody knows has no replicas either, and would be done at once. */
static void broker_known(struct cli *cli, int32_t broker)
{
    leat_brokers *brokers;
    leat_error e;
    bool known = false;
    if (leat_brokers_get(cli->client, &brokers, &e)) {
        cli_fail(cli, &e);
    }
    for (size_t i = 0; i < brokers->count; i++) {
        known = known || brokers->list[i]->id == broker;
    }
    leat_brokers_free(brokers);
    if (!known) {
        cli_say("there is no broker %d: see leat cluster brokers", (int)broker);
        exit(EXIT_NOT_FOUND);
    }
}

/* Whether it was, or could not be: one that does not run, one that is alone, another kind of broker. Waits until all
 * know it. */
static bool drain(struct cli *cli, int32_t broker)
{
    enum { LOOKS = 50, LOOK_US = 100000 };
    bool known = false, before = true;
    for (int i = 0; i < LOOKS && !known && !cli_interrupted; i++) {
        json_t *all = cluster_draining(cli);
        known = is_among(all, broker);
        json_decref(all);
        if (i == 0) {
            before = known;
        }
        if (i == 0 && !known && leat_broker_drain(cli->client, broker, true, NULL)) {
            return true;
        }
        if (!known) {
            usleep(LOOK_US);
        }
    }
    return before;
}

int cluster_decommission(struct cli *cli, const char *word, long long wait_ms)
{
    int32_t broker = cluster_broker_number(word, "decommission");
    int64_t until = wait_ms < 0 ? INT64_MAX : cli_wall_ms() + wait_ms, said_ms = 0;
    char room[64];
    broker_known(cli, broker);
    cli_catch_signals();
    bool drained = drain(cli, broker);
    leat_disks *disks = NULL;
    (void)!leat_disks_get(cli->client, &disks, NULL);
    struct found f = round_of(cli, broker, disks);
    size_t first = f.left, told = 0;
    int64_t headless_ms = cli_wall_ms();
    while (f.left > 0 && !is_stuck(&f) && cli_wall_ms() < until && !cli_interrupted) {
        if (!is_headless(&f)) {
            headless_ms = cli_wall_ms();
        } else if (cli_wall_ms() >= headless_ms + HEADLESS_MS) {
            break;
        }
        if (f.left != told && cli_wall_ms() >= said_ms + SAY_MS && !cli->quiet &&
            cli->output == OUTPUT_TABLE) {
            cli_say("broker %d has %s, %zu on their way", (int)broker,
                    cli_counted(f.left, "replica", "replicas", room), f.moving);
            told = f.left;
            said_ms = cli_wall_ms();
        }
        usleep(PAUSE_US);
        f = round_of(cli, broker, disks);
    }
    leat_disks_free(disks);
    if (is_stuck(&f) && !drained) { /* it goes on as before */
        (void)!leat_broker_drain(cli->client, broker, false, NULL);
    }
    json_t *value =
        json_pack("{s:i,s:b,s:I,s:I,s:I,s:I,s:I}", "broker", (int)broker, "decommissioned",
                  f.left == 0, "moved", (json_int_t)(first > f.left ? first - f.left : 0), "left",
                  (json_int_t)f.left, "moving", (json_int_t)f.moving, "stuck", (json_int_t)f.stuck,
                  "without_leader", (json_int_t)f.headless);
    if (!output_done(cli, value)) {
        found_print(cli, broker, &f);
    }
    return cli_interrupted                   ? cli_interrupt_status()
           : f.left == 0                     ? EXIT_DONE
           : is_stuck(&f) || is_headless(&f) ? EXIT_FAILED
                                             : EXIT_TIMEOUT;
}
