/* SPDX-License-Identifier: Apache-2.0 */

/* Sets are bits here: the checks are in words of their own. */
#include "controller_world.h"

#include "base/prng.h"
#include "meta/isr.h"

#include <inttypes.h>
#include <string.h>

enum { BROKERS = 7, EVENTS = 400, WHY_SIZE = 200 };

struct node {
    bool known, fenced, going;
    int64_t epoch;
    int64_t end; /* what it holds durably */
    struct uuid directory;
    int32_t fetched_from; /* the leader epoch in which it has fetched */
};

struct model {
    struct prng random;
    struct isr_rules rules;
    struct isr_broker brokers[BROKERS];
    struct node nodes[BROKERS + 1];
    struct isr_state s;
    int32_t count;
    int64_t acknowledged, epoch_start;
    int64_t next_epoch;

    bool asked; /* a request is under way */
    struct isr_request request;
    struct isr_member members[ISR_REPLICAS_MAX];

    /* of the event in progress */
    struct isr_state before;
    const char *event;
    bool may_be_unclean, reassigned, altered;
    unsigned lost;
    struct controller_stats *stats;
    char why[WHY_SIZE];
};

static unsigned bits(const struct isr_set *s)
{
    unsigned b = 0;
    for (int32_t i = 0; i < s->count; i++) {
        b |= 1u << s->ids[i];
    }
    return b;
}

static int size_of(unsigned b)
{
    return __builtin_popcount(b);
}

static bool alive(const struct model *m, int32_t id)
{
    return m->nodes[id].known && !m->nodes[id].fenced;
}

static unsigned fenced_bits(const struct model *m)
{
    unsigned b = 0;
    for (int32_t id = 1; id <= BROKERS; id++) {
        b |= alive(m, id) ? 0 : 1u << id;
    }
    return b;
}

static void refresh(struct model *m)
{
    uint32_t count = 0;
    for (int32_t id = 1; id <= m->count; id++) {
        const struct node *n = &m->nodes[id];
        if (n->known) {
            m->brokers[count++] = (struct isr_broker){id, n->epoch, n->fenced, n->going};
        }
    }
    m->rules.brokers = m->brokers;
    m->rules.broker_count = count;
}

static int minimum(int configured, unsigned replicas, unsigned adding)
{
    int settled = size_of(replicas & ~adding);
    int least = configured < settled ? configured : settled;
    return least < 1 ? 1 : least;
}

/* --- the checker ------------------------------------------------------------------------------ */

static void broken(struct model *m, const char *rule)
{
    if (!m->why[0]) {
        snprintf(m->why, sizeof m->why, "%s, at: %s", rule, m->event);
    }
}

static void require(struct model *m, bool holds, const char *rule)
{
    if (!holds) {
        broken(m, rule);
    }
}

static void check_sets(struct model *m)
{
    const struct isr_state *s = &m->s;
    unsigned r = bits(&s->replicas), i = bits(&s->isr), e = bits(&s->elr), k = bits(&s->last_known),
             d = bits(&s->damaged), a = bits(&s->adding), g = bits(&s->removing);
    require(m, !((i | e | k | d | a | g) & ~r), "P21: a set is not among the replicas");
    require(m, !(i & e) && !(i & k) && !(e & k), "P21: ISR, ELR, last known meet");
    require(m, !(a & g), "P28: added and removed at once");
    require(m, !(i & fenced_bits(m)), "P21: a fenced broker is in the ISR");
    require(m, !(d & (i | e)), "P23: a damaged replica is in ISR or ELR");
    require(m, (s->leader >= 0) == (i != 0), "P26: an ISR without a leader, or the reverse");
    require(m, s->leader < 0 || (i & 1u << s->leader), "P26: the leader is not in the ISR");
    if (size_of(i) >= minimum(m->rules.min_isr, r, a)) {
        require(m, !e && !k, "P21, P27: a full ISR has an ELR");
    }
    require(m, !s->recovering || size_of(i) <= 1, "P20: a recovering leader is not alone");
    for (int32_t id = 1; id <= m->count; id++) {
        if ((i | e) & 1u << id) {
            require(m, m->nodes[id].end >= m->acknowledged,
                    "P10: ISR or ELR lacks what is acknowledged");
        }
    }
}

static void check_election(struct model *m, const struct isr_state *before)
{
    const struct isr_state *s = &m->s;
    if (s->leader == before->leader || s->leader < 0) {
        require(m, !s->unclean, "P26: an unclean election of nobody");
        return;
    }
    unsigned heirs = bits(&before->isr);
    if (m->altered) {
        heirs |= bits(&s->isr);
    }
    heirs &= ~fenced_bits(m) & ~m->lost;
    if (s->unclean) {
        m->stats->unclean_elections++;
        require(m, m->may_be_unclean, "P26, H11: unclean without being told to");
        require(m, !(heirs & bits(&s->replicas)), "P26: unclean beside in-sync replicas");
        if (m->nodes[s->leader].end < m->acknowledged) {
            m->acknowledged = m->nodes[s->leader].end; /* declared lost */
        }
        return;
    }
    m->stats->clean_elections++;
    require(m, m->nodes[s->leader].end >= m->acknowledged,
            "P11: the leader lacks what is acknowledged");
    bool from_isr = heirs & 1u << s->leader;
    bool from_elr = (bits(&before->elr) | bits(&before->isr)) & ~m->lost & 1u << s->leader;
    /* What shuts down is not preferred, but it is in sync. */
    require(m, from_isr || (from_elr && !(heirs & bits(&s->replicas))),
            "P26: elected beside ISR and ELR");
}

static void check_step(struct model *m, const struct isr_state *before)
{
    const struct isr_state *s = &m->s;
    unsigned r = bits(&s->replicas), was = bits(&before->replicas), i = bits(&s->isr);
    unsigned complete = i | bits(&s->elr),
             complete_before = bits(&before->isr) | bits(&before->elr);
    int least = minimum(m->rules.min_isr, r, bits(&s->adding));
    require(m, s->leader_epoch >= before->leader_epoch, "P2: the leader epoch falls");
    require(m, s->partition_epoch >= before->partition_epoch, "P2: the partition epoch falls");
    require(m, s->unclean_epoch == (s->unclean ? s->leader_epoch : before->unclean_epoch),
            "P15: an unclean epoch is not told");
    if (s->leader != before->leader || r != was) {
        require(m, s->leader_epoch > before->leader_epoch, "P2, H8: the same leader epoch");
    }
    bool changed =
        s->leader != before->leader || r != was || i != bits(&before->isr) ||
        bits(&s->elr) != bits(&before->elr) || bits(&s->last_known) != bits(&before->last_known) ||
        bits(&s->adding) != bits(&before->adding) ||
        bits(&s->removing) != bits(&before->removing) ||
        bits(&s->damaged) != bits(&before->damaged) || s->recovering != before->recovering;
    require(m, (!changed && !m->altered) || s->partition_epoch == before->partition_epoch + 1,
            "P2: the same partition epoch");
    if (!m->lost && !s->unclean && size_of(complete) < least) {
        require(m, size_of(complete) >= size_of(complete_before), "P22: ISR and ELR shrink");
    }
    require(m, !(complete & m->lost), "P23: who lost data is in ISR or ELR");
    unsigned joined = i & ~complete_before;
    require(m, !joined || m->altered || s->unclean, "P28: put into the ISR by the controller");
    unsigned left = was & ~r;
    if (left && !m->reassigned) {
        require(m, !(bits(&before->adding) & ~i), "P28: replicas go before the others have come");
        require(m, size_of(i) >= least, "P28: replicas go and too few are in sync");
    }
    for (int32_t n = 0; n < s->replicas.count; n++) {
        require(m, uuid_equal(s->directories[n], m->nodes[s->replicas.ids[n]].directory),
                "H14: a replica with the directory of another");
    }
    m->stats->completed += left && !m->reassigned;
}

/* A decision is made: looks at the step from the last one. */
static void decided(struct model *m)
{
    const struct isr_state *before = &m->before;
    if (m->s.leader != before->leader && m->s.leader >= 0) {
        m->epoch_start = m->nodes[m->s.leader].end;
    }
    check_election(m, before);
    check_step(m, before);
    check_sets(m);
    if (m->s.leader_epoch != before->leader_epoch && m->s.leader >= 0) {
        m->nodes[m->s.leader].fetched_from = m->s.leader_epoch;
    }
    m->s.unclean = false; /* as isr_read() leaves it */
    m->before = m->s;
}

/* --- events ----------------------------------------------------------------------------------- */

static uint64_t below(struct model *m, uint64_t n)
{
    return prng_below(&m->random, n);
}

static int32_t anybody(struct model *m)
{
    return 1 + (int32_t)below(m, (uint64_t)m->count);
}

static struct uuid directory_of(int64_t number)
{
    struct uuid directory = {{1}};
    put_be64(directory.bytes + 8, (uint64_t)number);
    return directory;
}

static void settle(struct model *m)
{
    refresh(m);
    require(m, isr_settle(&m->rules, &m->s) == 0, "settles");
}

/* A follower fetches and flushes; what it had beyond the leader's log is cut. */
static void replicate(struct model *m)
{
    int32_t id = anybody(m);
    struct node *n = &m->nodes[id];
    if (m->s.leader < 0 || id == m->s.leader || !alive(m, id) || !isr_has(&m->s.replicas, id) ||
        isr_has(&m->s.damaged, id)) {
        return;
    }
    int64_t end = m->nodes[m->s.leader].end;
    bool first = n->fetched_from != m->s.leader_epoch;
    if (n->end > end || below(m, 3) > 0) {
        n->end = end;
    } else {
        n->end += (end - n->end) / 2;
    }
    if (!first || n->end >= m->epoch_start || n->end == end) {
        n->fetched_from = m->s.leader_epoch;
    }
}

/* P7: what the maximal ISR holds, and only if it is large enough. */
static void acknowledge(struct model *m)
{
    const struct isr_state *s = &m->s;
    if (s->leader < 0 || s->isr.count < isr_minimum(&m->rules, s)) {
        return;
    }
    int64_t least = m->nodes[s->leader].end;
    for (int32_t i = 0; i < s->isr.count; i++) {
        const struct node *n = &m->nodes[s->isr.ids[i]];
        least = n->fetched_from != s->leader_epoch ? 0 : n->end < least ? n->end : least;
    }
    bool current = m->asked && m->request.leader_epoch == s->leader_epoch &&
                   m->request.partition_epoch == s->partition_epoch;
    for (int32_t i = 0; current && i < m->request.member_count; i++) {
        const struct node *n = &m->nodes[m->members[i].id];
        least = n->end < least ? n->end : least;
    }
    if (least > m->acknowledged && least >= m->epoch_start) {
        m->acknowledged = least;
    }
}

/* P18, P19: the leader asks with what it knows now. */
static void ask(struct model *m)
{
    const struct isr_state *s = &m->s;
    int32_t count = 0, id = anybody(m);
    if (s->leader < 0 || m->asked) {
        return;
    }
    const struct node *n = &m->nodes[id];
    bool in = isr_has(&s->isr, id), drop = in && id != s->leader;
    bool join = !in && isr_has(&s->replicas, id) && n->fetched_from == s->leader_epoch &&
                n->end >= m->acknowledged && n->end >= m->epoch_start;
    for (int32_t i = 0; i < s->isr.count; i++) {
        if (!drop || s->isr.ids[i] != id) {
            m->members[count].id = s->isr.ids[i];
            m->members[count++].broker_epoch = m->nodes[s->isr.ids[i]].epoch;
        }
    }
    if (join) {
        m->members[count].id = id;
        m->members[count++].broker_epoch = n->epoch;
    }
    m->request = (struct isr_request){
        .sender = s->leader,
        .leader_epoch = s->leader_epoch,
        .partition_epoch = s->partition_epoch,
        .recovering = s->recovering && below(m, 2) == 0,
        .members = m->members,
        .member_count = count,
    };
    m->asked = true;
}

static void arrive(struct model *m)
{
    if (m->asked && alive(m, m->request.sender)) {
        m->altered = true;
        m->altered = isr_alter(&m->rules, &m->s, &m->request) == 0;
        struct isr_state again = m->s;
        require(m, !m->altered || isr_alter(&m->rules, &again, &m->request) != 0,
                "H6: a copy that arrives later is taken too");
    }
    m->asked = false;
}

/* A broker comes anew: fenced first, then what it has lost is told, then its epoch is another. */
static void reboot(struct model *m)
{
    int32_t id = anybody(m);
    if (m->asked && below(m, 2)) {
        id = m->members[m->request.member_count - 1].id; /* while it is about to join */
    }
    struct node *n = &m->nodes[id];
    n->fenced = true;
    n->going = false;
    settle(m);
    decided(m);
    if (below(m, 3) == 0) {
        n->end = n->end - (int64_t)below(m, 20);
        n->end = n->end < 0 ? 0 : n->end;
        m->lost = 1u << id;
        require(m, isr_lost(&m->rules, &m->s, id, below(m, 3) == 0) == 0, "is told");
    } else if (below(m, 8) == 0) {
        n->end = 0;
        m->lost = 1u << id;
        n->directory = directory_of(m->next_epoch);
        require(m, isr_moved(&m->rules, &m->s, id, n->directory) == 0, "moves");
    }
    n->known = true;
    n->fetched_from = -1;
    n->epoch = m->next_epoch++;
    refresh(m);
    if (below(m, 2)) {
        decided(m);
        m->lost = 0;
        n->fenced = false;
        settle(m);
    }
}

static void change_broker(struct model *m, uint64_t kind)
{
    struct node *n = &m->nodes[anybody(m)];
    if (kind == 0) {
        n->known = n->known && below(m, 4) > 0;
        n->fenced = true;
    } else if (kind == 1) {
        n->fenced = false;
    } else {
        n->going = n->known && !n->fenced;
    }
    settle(m);
}

static void reassign(struct model *m)
{
    struct uuid directories[BROKERS];
    int32_t target[BROKERS], count = 1 + (int32_t)below(m, (uint64_t)m->count);
    int32_t first = (int32_t)below(m, (uint64_t)m->count);
    for (int32_t i = 0; i < count; i++) {
        target[i] = 1 + (first + i) % m->count;
        directories[i] = m->nodes[target[i]].directory;
    }
    m->reassigned = true;
    int error = below(m, 4) ? isr_reassign(&m->rules, &m->s, target, count, directories)
                            : isr_cancel(&m->rules, &m->s);
    require(m, error != ERR_UNKNOWN_SERVER_ERROR, "reassigns");
}

static void elect(struct model *m)
{
    uint64_t dice = below(m, 12);
    if (dice < 9 && m->s.leader >= 0) {
        (void)!isr_elect_preferred(&m->rules, &m->s);
        return;
    }
    m->may_be_unclean = true;
    if (dice % 3 == 0) {
        (void)!isr_elect_unclean(&m->rules, &m->s, NULL, 0);
        return;
    }
    struct isr_end ends[BROKERS];
    for (int32_t i = 0; i < m->count; i++) {
        ends[i] = (struct isr_end){i + 1, m->nodes[i + 1].epoch, 0, m->nodes[i + 1].end};
    }
    (void)!isr_recover(&m->rules, &m->s, ends, m->count, dice % 3 == 1);
}

static void configure(struct model *m)
{
    m->rules.min_isr = 1 + (int32_t)below(m, 3);
    m->rules.unclean = below(m, 20) == 0;
    m->may_be_unclean = m->rules.unclean;
    settle(m);
}

static void happen(struct model *m)
{
    /* The operator does not leave it without a leader for long. */
    uint64_t dice = m->s.leader < 0 && below(m, 6) == 0 ? 92 : below(m, 100);
    m->may_be_unclean = m->rules.unclean;
    m->reassigned = m->altered = false;
    m->lost = 0;
    if (dice < 15) {
        m->event = "append";
        if (m->s.leader >= 0) {
            m->nodes[m->s.leader].end += 1 + (int64_t)below(m, 9);
        }
    } else if (dice < 40) {
        m->event = "replicate";
        replicate(m);
    } else if (dice < 50) {
        m->event = "acknowledge";
        acknowledge(m);
    } else if (dice < 60) {
        m->event = "ask";
        ask(m);
    } else if (dice < 70) {
        m->event = "AlterPartition";
        arrive(m);
    } else if (dice < 85) {
        m->event = dice < 76 ? "fence" : dice < 84 ? "unfence" : "shut down";
        change_broker(m, dice < 76 ? 0 : dice < 84 ? 1 : 2);
    } else if (dice < 90) {
        m->event = "reboot";
        reboot(m);
    } else if (dice < 92) {
        m->event = "configure";
        configure(m);
    } else if (dice < 94) {
        m->event = "elect";
        elect(m);
    } else if (dice < 97) {
        m->event = "reassign";
        reassign(m);
    } else {
        int32_t id = anybody(m);
        m->event = "repaired";
        require(m, isr_repaired(&m->rules, &m->s, id) == 0, "repairs");
    }
}

static void begin(struct model *m, const struct controller_options *o,
                  struct controller_stats *stats)
{
    *m = (struct model){.random = prng_of(o->seed), .event = "begin", .stats = stats};
    m->count = 1 + (int32_t)below(m, BROKERS);
    m->rules.mutant = o->mutant;
    m->rules.min_isr = 1 + (int32_t)below(m, 3);
    m->next_epoch = 1000;
    for (int32_t id = 1; id <= m->count; id++) {
        m->nodes[id] = (struct node){.known = true, .epoch = id, .directory = directory_of(id)};
    }
    refresh(m);
    int32_t replicas[BROKERS], count = 1 + (int32_t)below(m, (uint64_t)m->count);
    for (int32_t i = 0; i < count; i++) {
        replicas[i] = 1 + i;
    }
    isr_new(&m->rules, &m->s, replicas, count);
    m->s.placed = true;
    for (int32_t i = 0; i < count; i++) {
        m->s.directories[i] = m->nodes[replicas[i]].directory;
    }
}

static void tell_set(FILE *story, const char *name, const struct isr_set *set)
{
    fprintf(story, " %s", name);
    for (int32_t i = 0; i < set->count; i++) {
        fprintf(story, "%c%" PRId32, i ? ',' : ' ', set->ids[i]);
    }
}

static void tell(const struct model *m, int number, FILE *story)
{
    const struct isr_state *s = &m->s;
    fprintf(story,
            "%3d %-14s leader %" PRId32 " epoch %" PRId32 ".%" PRId32 " acknowledged %" PRId64,
            number, m->event, s->leader, s->leader_epoch, s->partition_epoch, m->acknowledged);
    tell_set(story, "replicas", &s->replicas);
    tell_set(story, "isr", &s->isr);
    tell_set(story, "elr", &s->elr);
    tell_set(story, "last", &s->last_known);
    fprintf(story, " ends");
    for (int32_t id = 1; id <= m->count; id++) {
        fprintf(story, " %s%" PRId64, alive(m, id) ? "" : "!", m->nodes[id].end);
    }
    fprintf(story, "%s%s\n", m->why[0] ? " " : "", m->why);
}

int controller_partition_run(const struct controller_options *options,
                             struct controller_stats *stats, char why[static 400])
{
    struct model m;
    begin(&m, options, stats);
    for (int i = 0; i < EVENTS && !m.why[0]; i++) {
        m.before = m.s;
        happen(&m);
        decided(&m);
        stats->events++;
        if (options->story) {
            tell(&m, i, options->story);
        }
    }
    stats->runs++;
    if (m.why[0]) {
        snprintf(why, 400, "seed %" PRIu64 ": %s", options->seed, m.why);
        return -1;
    }
    return 0;
}
