/* SPDX-License-Identifier: Apache-2.0 */
#include "controller_world.h"
#include "unit/meta/cluster_world.h"

#include "base/prng.h"

#include <inttypes.h>
#include <string.h>

enum { BROKERS = 7, TOPICS = 3, EVENTS = 120, WHY_SIZE = 160, LOST_MAX = 16 };

static const char *const names[TOPICS] = {"a", "b", "__consumer_offsets"};

struct model {
    struct world w;
    struct prng random;
    int32_t brokers;
    uint64_t lives;
    uint64_t heard[BROKERS + 1];  /* when each was last heard by its own epoch, */
    uint64_t before[BROKERS + 1]; /* and the time before that, in the same life */
    int32_t min[TOPICS];

    /* of the event in progress */
    const char *event;
    bool unclean, altered, reassigned;
    int32_t told; /* the broker that has told what it lost; 0: none */
    struct meta_lost lost[LOST_MAX];
    uint32_t lost_count;
    bool lost_all; /* it came from another directory */
    char why[WHY_SIZE];
    struct controller_stats *stats;
};

static uint64_t below(struct model *m, uint64_t n)
{
    return prng_below(&m->random, n);
}

static int32_t anybody(struct model *m)
{
    return 1 + (int32_t)below(m, (uint64_t)m->brokers);
}

static const struct image_broker *broker(const struct model *m, int32_t id)
{
    return image_broker_by_id(m->w.b.image, id);
}

/* --- the checker ------------------------------------------------------------------------------ */

static void require(struct model *m, bool holds, const char *rule)
{
    if (!holds && !m->why[0]) {
        snprintf(m->why, sizeof m->why, "%s, at: %s", rule, m->event);
    }
}

static unsigned bits(const int32_t *ids, int32_t count)
{
    unsigned b = 0;
    for (int32_t i = 0; i < count; i++) {
        b |= 1u << ids[i];
    }
    return b;
}

static unsigned bits_of(struct image_nodes n)
{
    return bits(n.ids, n.count);
}

static int size_of(unsigned b)
{
    return __builtin_popcount(b);
}

static bool is_lost(const struct model *m, struct uuid topic, int32_t partition)
{
    bool lost = m->lost_all;
    for (uint32_t i = 0; i < m->lost_count; i++) {
        lost =
            lost || (m->lost[i].partition == partition && uuid_equal(m->lost[i].topic_id, topic));
    }
    return lost;
}

static unsigned fenced(const struct model *m)
{
    unsigned b = 0;
    for (int32_t id = 1; id <= BROKERS; id++) {
        b |= !broker(m, id) || broker(m, id)->fenced ? 1u << id : 0;
    }
    return b;
}

static void check_partition(struct model *m, const struct image_topic *t, int32_t number,
                            int32_t min, const struct image_partition *old)
{
    const struct image_partition *p = &t->partitions[number];
    unsigned r = bits(p->replicas, p->replica_count), i = bits(p->isr, p->isr_count),
             e = bits_of(p->more->elr), k = bits_of(p->more->last_known_elr),
             a = bits_of(p->more->adding);
    int settled = size_of(r & ~a), least = min < settled ? min : settled;
    require(m, !(i & fenced(m)), "P21: a fenced broker is in the ISR");
    require(m, size_of(i) < least || (!e && !k), "P21, P27: a full ISR has an ELR");
    require(m, (p->leader >= 0) == (i != 0), "P26: an ISR without a leader, or the reverse");
    bool lost = m->told && is_lost(m, t->id, number);
    require(m, !lost || !((i | e) & 1u << m->told), "P23: who lost data is in ISR or ELR");
    if (!old) {
        return;
    }
    unsigned was = bits(old->replicas, old->replica_count), io = bits(old->isr, old->isr_count),
             complete = io | bits_of(old->more->elr);
    require(m, p->leader_epoch >= old->leader_epoch && p->partition_epoch >= old->partition_epoch,
            "P2: an epoch falls");
    if (p->leader != old->leader || r != was) {
        require(m, p->leader_epoch > old->leader_epoch, "P2, H8: the same leader epoch");
    }
    require(m,
            p->unclean_epoch == old->unclean_epoch ||
                (m->unclean && p->unclean_epoch == p->leader_epoch &&
                 p->leader_epoch > old->leader_epoch),
            "P15: an epoch is told to be unclean and is not");
    require(m, !(i & ~complete) || m->altered || m->unclean,
            "P28: put into the ISR by the controller");
    if (p->leader >= 0 && p->leader != old->leader) {
        m->stats->elections++;
        require(m, m->unclean || m->altered || (complete & 1u << p->leader),
                "P26: not eligible, but leads");
        require(m, m->unclean || m->altered || !(io & ~fenced(m) & r) || (io & 1u << p->leader),
                "P26: eligible, and leads beside in-sync ones");
    }
    if (!lost && !m->unclean && size_of(i | e) < least) {
        require(m, size_of(i | e) >= size_of(complete & ~(m->told ? 1u << m->told : 0)),
                "P22: ISR and ELR shrink");
    }
    if ((was & ~r) && !m->reassigned) {
        require(m, !(bits_of(old->more->adding) & ~i) && size_of(i) >= (least < 1 ? 1 : least),
                "P28: replicas go too early");
    }
}

static void check_brokers(struct model *m, const struct image *before)
{
    for (int32_t id = 1; id <= m->brokers; id++) {
        const struct image_broker *old = image_broker_by_id(before, id), *now = broker(m, id);
        if (now && old && now->epoch != old->epoch) {
            m->stats->registrations++;
            require(m, now->fenced, "P24: a new life is not fenced");
            require(m, now->epoch > old->epoch, "P24: a broker epoch falls");
        }
        if (now && old && now->fenced && !old->fenced) {
            m->stats->fencings++;
        }
    }
}

/* Everything that the last decision has changed. */
static void check(struct model *m, const struct image *before)
{
    check_brokers(m, before);
    for (int n = 0; n < TOPICS; n++) {
        const struct image_topic *old = image_topic_by_name(before, bytes_of_string(names[n]));
        const struct image_topic *t = image_topic_by_name(m->w.b.image, bytes_of_string(names[n]));
        for (int32_t i = 0; t && i < t->partition_count; i++) {
            check_partition(m, t, i, m->min[n],
                            old && i < old->partition_count ? &old->partitions[i] : NULL);
        }
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void random_losses(struct model *m)
{
    m->lost_count = 0;
    for (uint64_t count = below(m, 5); count > 0; count--) {
        const struct image_topic *t =
            image_topic_by_name(m->w.b.image, bytes_of_string(names[below(m, TOPICS)]));
        m->lost[m->lost_count++] = (struct meta_lost){
            t->id, (int32_t)below(m, (uint64_t)t->partition_count), below(m, 3) == 0};
    }
    cluster_lost_sort(m->lost, m->lost_count);
}

static void come(struct model *m)
{
    int32_t id = anybody(m);
    int64_t epoch = -1, next = m->w.b.next_offset;
    const struct image_broker *old = broker(m, id);
    bool heard =
        old && !old->fenced && !old->shutting_down && m->w.now < m->heard[id] + WORLD_TIMEOUT;
    struct cluster_registration q = registration_of(&m->w, id, ++m->lives);
    struct uuid known = old ? old->directory : q.directory;
    q.directory = below(m, 8) ? known : id_of(7000 + m->lives);
    random_losses(m);
    q.lost = m->lost;
    q.lost_count = m->lost_count;
    int error = w_register(&m->w, &q, &epoch);
    if (error) {
        require(m, error == ERR_DUPLICATE_BROKER_REGISTRATION && heard,
                "a registration is refused");
        return;
    }
    require(m, !heard, "P24: a second life beside the first");
    require(m, epoch >= next && epoch == image_offset(m->w.b.image), "P24: the epoch is no offset");
    m->told = id;
    m->lost_all = old && !uuid_equal(known, q.directory);
    m->before[id] = 0;
    m->heard[id] = m->w.now;
}

static void beat(struct model *m)
{
    int32_t id = anybody(m);
    const struct image_broker *b = broker(m, id);
    if (!b) {
        return;
    }
    struct cluster_heartbeat_answer answer;
    bool stale = below(m, 10) == 0, behind = below(m, 6) == 0, was_fenced = b->fenced;
    const struct cluster_heartbeat q = {.broker = id,
                                        .epoch = stale ? b->epoch - 1 : b->epoch,
                                        .offset =
                                            behind ? b->epoch - 1 : image_offset(m->w.b.image),
                                        .want_fence = below(m, 12) == 0,
                                        .want_shut_down = below(m, 12) == 0};
    w_begin(&m->w);
    int error = w_end(&m->w, cluster_heartbeat(&m->w.k, &q, &answer));
    require(m, (error == ERR_STALE_BROKER_EPOCH) == stale, "P24, C3: another life is heard");
    if (error) {
        return;
    }
    m->before[id] = m->w.now > m->heard[id] ? m->heard[id] : m->before[id];
    m->heard[id] = m->w.now;
    b = broker(m, id);
    require(m, b->fenced == answer.fenced, "the answer says another state");
    require(m, !was_fenced || b->fenced || q.offset >= b->epoch, "C2: let in before it has read");
    require(m, !b->fenced || was_fenced || q.want_fence, "fenced, but heard");
    require(m, !q.want_fence || b->fenced, "not fenced, but it asked to be");
    bool wants = q.want_shut_down || q.want_fence || was_fenced;
    require(m, wants || !b->shutting_down, "it stays, and is said to go");
}

static void wait_and_expire(struct model *m)
{
    m->w.now += below(m, WORLD_TIMEOUT);
    require(m, w_expire(&m->w) == 0, "expires");
    for (int32_t id = 1; id <= m->brokers; id++) {
        const struct image_broker *b = broker(m, id);
        bool gone = m->w.now >= m->heard[id] + WORLD_TIMEOUT;
        require(m, !b || b->fenced || !gone, "a session has ended, and it is not fenced");
    }
}

static bool others_have(const struct model *m, const struct image_partition *p, int32_t id,
                        uint64_t since)
{
    for (int32_t i = 0; i < p->isr_count; i++) {
        if (p->isr[i] != id && m->before[p->isr[i]] > since) {
            return true;
        }
    }
    return false;
}

/* One that has found damage, and does not serve. */
static void give_up(struct model *m)
{
    int32_t id = anybody(m);
    uint64_t asked = below(m, WORLD_TIMEOUT);
    uint64_t since = m->w.now > asked ? m->w.now - asked : 0;
    const struct image_broker *b = broker(m, id);
    bool may = b && b->fenced;
    for (int n = 0; n < TOPICS; n++) {
        const struct image_topic *t = image_topic_by_name(m->w.b.image, bytes_of_string(names[n]));
        for (int32_t i = 0; i < t->partition_count; i++) {
            const struct image_partition *p = &t->partitions[i];
            may = may && (!image_partition_holds(p, id) || others_have(m, p, id, since));
        }
    }
    const struct cluster_giving_up q = {
        .broker = id, .directory = b ? b->directory : id_of(1), .since_ns = since};
    w_begin(&m->w);
    int error = w_end(&m->w, cluster_give_up(&m->w.k, &q));
    require(m, error || may, "C5: given up, and others do not have it");
    require(m, !error || !may, "C5: it may not give up what others have");
    m->told = error ? 0 : id;
    m->lost_all = !error;
    m->stats->given_up += !error;
}

static void change_isr(struct model *m)
{
    const char *name = names[below(m, TOPICS)];
    const struct image_topic *t = image_topic_by_name(m->w.b.image, bytes_of_string(name));
    int32_t number = (int32_t)below(m, (uint64_t)t->partition_count);
    const struct image_partition *p = &t->partitions[number];
    int32_t members[BROKERS], count = 0;
    if (p->leader < 0) {
        return;
    }
    for (int32_t i = 0; i < p->replica_count; i++) {
        int32_t id = p->replicas[i];
        if (id == p->leader || (broker(m, id) && !broker(m, id)->fenced && below(m, 4))) {
            members[count++] = id;
        }
    }
    m->altered = true;
    m->altered = w_alter(&m->w, name, number, members, count) == 0;
}

static void operate(struct model *m)
{
    const char *name = names[below(m, TOPICS)];
    const struct image_topic *t = image_topic_by_name(m->w.b.image, bytes_of_string(name));
    int32_t number = (int32_t)below(m, (uint64_t)t->partition_count), target[BROKERS];
    uint64_t dice = below(m, 10);
    bool later;
    if (dice < 4) {
        int32_t count = 1 + (int32_t)below(m, (uint64_t)m->brokers), first = anybody(m);
        for (int32_t i = 0; i < count; i++) {
            target[i] = 1 + (first + i) % m->brokers;
        }
        m->event = "reassign";
        m->reassigned = true;
        (void)!w_reassign(&m->w, name, number, dice ? target : NULL, count);
    } else if (dice < 6) {
        m->event = "balance";
        w_begin(&m->w);
        require(m, w_end(&m->w, cluster_balance(&m->w.k)) == 0, "balances");
    } else if (dice < 8) {
        m->event = "grow";
        w_begin(&m->w);
        require(m, w_end(&m->w, cluster_grow(&m->w.k, dice == 6, &later)) == 0, "grows");
    } else {
        m->event = "elect";
        m->unclean = t->partitions[number].leader < 0;
        (void)!w_elect(&m->w, name, number, m->unclean);
    }
}

static void configure(struct model *m)
{
    int n = (int)below(m, TOPICS - 1);
    char value[4];
    m->min[n] = 1 + (int32_t)below(m, 3);
    snprintf(value, sizeof value, "%d", (int)m->min[n]);
    const struct meta_config_change change = {"min.insync.replicas", value, META_CONFIG_SET};
    struct meta_op op = {
        .kind = META_ALTER_CONFIGS, .topic = names[n], .changes = &change, .change_count = 1};
    require(m, bench_run(&m->w.b, &op) == 0, "configures");
}

static void happen(struct model *m)
{
    uint64_t dice = below(m, 100);
    m->unclean = m->altered = m->reassigned = m->lost_all = false;
    m->told = 0;
    if (dice < 50) {
        m->event = "heartbeat";
        beat(m);
    } else if (dice < 60) {
        m->event = "register";
        come(m);
    } else if (dice < 70) {
        m->event = "expire";
        wait_and_expire(m);
    } else if (dice < 85) {
        m->event = "AlterPartition";
        change_isr(m);
    } else if (dice < 95) {
        operate(m);
    } else if (dice < 97) {
        m->event = "give up";
        give_up(m);
    } else if (dice < 99) {
        m->event = "configure";
        configure(m);
    } else {
        m->event = "unregister";
        (void)!w_unregister(&m->w, anybody(m));
    }
}

static void begin(struct model *m, const struct controller_options *o,
                  struct controller_stats *stats)
{
    memset(m, 0, sizeof *m);
    m->random = prng_of(o->seed);
    m->stats = stats;
    m->brokers = 1 + (int32_t)below(m, BROKERS);
    m->event = "begin";
    world_open(&m->w, m->brokers);
    m->lives = 1;
    for (int32_t id = 1; id <= m->brokers; id++) {
        m->heard[id] = m->w.now;
    }
    int32_t replicas[] = {1, m->brokers, 2};
    int32_t factor = m->brokers > 3 ? 3 : m->brokers > 1 ? 2 : 1;
    for (int n = 0; n < TOPICS; n++) {
        m->min[n] = n == 0 ? 2 : 1;
        w_topic(&m->w, names[n], 2, replicas, n == 2 ? 1 : factor, n == 0 ? "2" : NULL);
    }
    m->w.b.mutant = o->mutant;
}

int controller_brokers_run(const struct controller_options *options, struct controller_stats *stats,
                           char why[static 400])
{
    struct model m;
    begin(&m, options, stats);
    for (int i = 0; i < EVENTS && !m.why[0]; i++) {
        const struct image *before = m.w.b.image;
        image_take(before);
        happen(&m);
        require(&m, !m.w.k.more, "a small cluster takes one batch");
        check(&m, before);
        image_release(before);
        stats->events++;
        if (options->story) {
            fprintf(options->story, "%3d %s%s%s\n", i, m.event, m.why[0] ? ": " : "", m.why);
        }
    }
    world_close(&m.w);
    stats->runs++;
    if (m.why[0]) {
        snprintf(why, 400, "seed %" PRIu64 ": %s", options->seed, m.why);
        return -1;
    }
    return 0;
}
