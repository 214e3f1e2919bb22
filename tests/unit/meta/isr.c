/* SPDX-License-Identifier: Apache-2.0 */

/* The rules of a partition as tables. A partition is written as words: l leader, r replicas, i ISR,
 * e ELR, k last known ELR, a adding, m removing, d damaged, each followed by the digits of its
 * nodes, in this order and only when there are any; u: the leader recovers; * behind what comes out:
 * the leader epoch has grown. Brokers are 1 to 7, alive and of epoch 100 + id, but for those that
 * are named behind f (fenced), s (shutting down), x (unknown). */
#include "meta/isr.h"

#include "base/prng.h"
#include "wire/wire.h"

#include <stdio.h>

#include <criterion/criterion.h>

enum { TEXT_SIZE = 256, BROKERS = 7, LEADER_EPOCH = 5, PARTITION_EPOCH = 9 };

enum event { SETTLE, ALTER, PREFERRED, UNCLEAN, SHORT, DAMAGED, REPAIRED, REASSIGN, CANCEL };

struct row {
    const char *name, *before, *brokers;
    int32_t min_isr;
    enum event event;
    const char *argument; /* nodes */
    int error;
    const char *after; /* NULL: as before */
};

static const struct row rows[] = {
    /* P21, P22: fencing */
    {"a follower is fenced", "l1 r123 i123", "f3", 2, SETTLE, "", 0, "l1 r123 i12"},
    {"below the minimum it stays eligible", "l1 r123 i12", "f2", 2, SETTLE, "", 0, "l1 r123 i1 e2"},
    {"all that leave a small ISR do", "l1 r123 i123", "f2 f3", 2, SETTLE, "", 0, "l1 r123 i1 e23"},
    {"one is enough: nobody is kept", "l1 r123 i12", "f2", 1, SETTLE, "", 0, "l1 r123 i1"},
    {"the minimum is at most the replicas", "l1 r12 i12", "f2", 3, SETTLE, "", 0, "l1 r12 i1 e2"},
    {"the leader is fenced", "l1 r123 i132", "f1", 2, SETTLE, "", 0, "l2 r123 i32 *"},
    {"the last in-sync replica is fenced", "l1 r1 i1", "f1", 1, SETTLE, "", 0, "l- r1 e1 *"},
    {"all are fenced", "l1 r123 i123", "f1 f2 f3", 2, SETTLE, "", 0, "l- r123 e123 *"},
    {"an unknown broker counts as fenced", "l1 r12 i12", "x1", 1, SETTLE, "", 0, "l2 r12 i2 *"},
    {"the leader of a small ISR", "l1 r123 i1 e23", "f1 f2", 2, SETTLE, "", 0, "l3 r123 i3 e12 *"},
    {"nothing has happened", "l1 r123 i12 e", "f3", 2, SETTLE, "", 0, NULL},
    /* P26 */
    {"an eligible one comes back", "l- r123 e13", "f1 f2", 2, SETTLE, "", 0, "l3 r123 i3 e1 *"},
    {"eligible and alone enough", "l- r123 e13", "f1 f2", 1, SETTLE, "", 0, "l3 r123 i3 *"},
    {"another one comes back", "l- r123 e1", "f1 f2", 2, SETTLE, "", 0, NULL},
    {"the last known one comes back (H11)", "l- r12 k1", "f2", 2, SETTLE, "", 0, NULL},
    {"an eligible one shuts down", "l- r12 e2", "f1 s2", 1, SETTLE, "", 0, NULL},
    /* controlled shutdown */
    {"leadership is handed over", "l1 r123 i123", "s1", 2, SETTLE, "", 0, "l2 r123 i123 *"},
    {"and who goes stays in sync", "l1 r12 i12", "s1", 2, SETTLE, "", 0, "l2 r12 i12 *"},
    {"a follower goes", "l1 r123 i123", "s2", 2, SETTLE, "", 0, NULL},
    {"and has gone", "l1 r123 i123", "f2", 2, SETTLE, "", 0, "l1 r123 i13"},
    {"nobody else is in sync", "l1 r123 i1 e2", "s1", 2, SETTLE, "", 0, NULL},
    {"all go", "l1 r12 i12", "s1 s2", 1, SETTLE, "", 0, NULL},
    {"the leader is fenced, the other goes", "l1 r12 i12", "f1 s2", 1, SETTLE, "", 0,
     "l2 r12 i2 *"},
    /* P27, H12 */
    {"a lower minimum ends eligibility", "l1 r123 i1 e2", "f2 f3", 1, SETTLE, "", 0, "l1 r123 i1"},
    {"still too few", "l1 r123 i1 e23", "f2 f3", 2, SETTLE, "", 0, NULL},
    {"a higher one asks for nothing", "l1 r123 i1", "f2 f3", 2, SETTLE, "", 0, NULL},
    {"lower with nobody in sync", "l- r12 e12", "f1 f2", 1, SETTLE, "", 0, NULL},
    /* P18, P20: AlterPartition */
    {"a follower has caught up", "l1 r123 i1 e23", "", 2, ALTER, "12", 0, "l1 r123 i12"},
    {"one that was not eligible", "l1 r1234 i1 e2", "", 3, ALTER, "13", 0, "l1 r1234 i13 e2"},
    {"a follower is slow", "l1 r123 i123", "", 2, ALTER, "13", 0, "l1 r123 i13"},
    {"the last follower is slow", "l1 r123 i13", "", 2, ALTER, "1", 0, "l1 r123 i1 e3"},
    {"without the leader", "l1 r123 i123", "", 2, ALTER, "23", ERR_INVALID_REQUEST, NULL},
    {"nobody", "l1 r123 i123", "", 2, ALTER, "", ERR_INVALID_REQUEST, NULL},
    {"named twice", "l1 r123 i12", "", 2, ALTER, "122", ERR_INVALID_REQUEST, NULL},
    {"no replica", "l1 r123 i12", "", 2, ALTER, "124", ERR_INVALID_REQUEST, NULL},
    {"fenced", "l1 r123 i12", "f3", 2, ALTER, "123", ERR_INELIGIBLE_REPLICA, NULL},
    {"unknown", "l1 r123 i12", "x3", 2, ALTER, "123", ERR_INELIGIBLE_REPLICA, NULL},
    {"shutting down", "l1 r123 i12", "s3", 2, ALTER, "123", 0, "l1 r123 i123"},
    {"damaged", "l1 r123 i12 d3", "", 2, ALTER, "123", ERR_INELIGIBLE_REPLICA, NULL},
    {"a leader that goes takes its heir in", "l1 r12 i1", "s1", 1, ALTER, "12", 0, "l2 r12 i12 *"},
    {"recovered", "l1 r123 i1 k2 u", "", 2, ALTER, "12", 0, "l1 r123 i12"},
    /* ElectLeaders */
    {"preferred", "l2 r123 i321", "", 1, PREFERRED, "", 0, "l1 r123 i321 *"},
    {"preferred leads", "l1 r123 i321", "", 1, PREFERRED, "", ERR_ELECTION_NOT_NEEDED, NULL},
    {"preferred is behind", "l2 r123 i23", "", 1, PREFERRED, "", ERR_PREFERRED_LEADER_NOT_AVAILABLE,
     NULL},
    {"preferred is eligible only", "l2 r123 i2 e1", "", 2, PREFERRED, "",
     ERR_PREFERRED_LEADER_NOT_AVAILABLE, NULL},
    {"preferred shuts down", "l2 r123 i23", "s1", 1, PREFERRED, "",
     ERR_PREFERRED_LEADER_NOT_AVAILABLE, NULL},
    {"unclean with a leader", "l2 r123 i23", "", 1, UNCLEAN, "", ERR_ELECTION_NOT_NEEDED, NULL},
    {"unclean: the last known first", "l- r123 k3", "", 2, UNCLEAN, "", 0, "l3 r123 i3 u *"},
    {"unclean: any other", "l- r123 e1 k3", "f1 f3", 2, UNCLEAN, "", 0, "l2 r123 i2 k13 u *"},
    {"unclean, but it can be clean", "l- r123 e3 k2", "f1", 1, UNCLEAN, "", 0, "l3 r123 i3 *"},
    {"unclean: none is alive", "l- r12 e1", "f1 f2", 1, UNCLEAN, "",
     ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, NULL},
    {"unclean: damaged ones last", "l- r12 k12 d1", "", 1, UNCLEAN, "", 0, "l2 r12 i2 d1 u *"},
    {"unclean: nothing else is there", "l- r12 k12 d12", "f1", 1, UNCLEAN, "", 0,
     "l2 r12 i2 d1 u *"},
    {"damaged ones never by themselves", "l- r12 k12 d12", "", 1, SETTLE, "", 0, NULL},
    /* P23 */
    {"a follower lost data", "l1 r123 i123", "", 2, SHORT, "2", 0, "l1 r123 i13"},
    {"one of a small ISR", "l1 r123 i12", "", 2, SHORT, "2", 0, "l1 r123 i1 k2"},
    {"an eligible one", "l1 r123 i1 e23", "", 2, SHORT, "2", 0, "l1 r123 i1 e3 k2"},
    {"the leader", "l1 r123 i123", "", 2, SHORT, "1", 0, "l2 r123 i23 *"},
    {"the only one", "l1 r1 i1", "", 1, SHORT, "1", 0, "l- r1 k1 *"},
    {"no replica of it", "l1 r1 i1", "", 1, SHORT, "2", 0, NULL},
    {"a damaged follower", "l1 r123 i123", "", 2, DAMAGED, "2", 0, "l1 r123 i13 d2"},
    {"a damaged leader", "l1 r12 i12", "", 2, DAMAGED, "1", 0, "l2 r12 i2 k1 d1 *"},
    {"repaired, not in sync", "l2 r12 i2 k1 d1", "", 2, REPAIRED, "1", 0, "l2 r12 i2 k1"},
    {"repaired, never damaged", "l2 r12 i2", "", 1, REPAIRED, "1", 0, NULL},
    /* P28 */
    {"others come", "l1 r12 i12", "", 2, REASSIGN, "34", 0, "l1 r3412 i12 a34 m12 *"},
    {"one comes", "l1 r12 i12", "", 2, REASSIGN, "123", 0, "l1 r123 i12 a3 *"},
    {"one goes", "l1 r123 i123", "", 2, REASSIGN, "12", 0, "l1 r12 i12 *"},
    {"the leader goes", "l1 r123 i123", "", 2, REASSIGN, "23", 0, "l2 r23 i23 *"},
    {"too few would stay", "l1 r123 i13", "f2", 2, REASSIGN, "12", 0, "l1 r123 i13 m3"},
    {"another order", "l1 r123 i123", "", 2, REASSIGN, "321", 0, "l1 r321 i123"},
    {"the same", "l1 r123 i123", "", 2, REASSIGN, "123", 0, NULL},
    {"nobody", "l1 r123 i123", "", 2, REASSIGN, "", ERR_INVALID_REPLICA_ASSIGNMENT, NULL},
    {"to nobody's broker", "l1 r1 i1", "x2", 2, REASSIGN, "2", ERR_INVALID_REPLICA_ASSIGNMENT,
     NULL},
    {"one that stays is on a broker that is gone", "l1 r12 i1", "x2", 1, REASSIGN, "123", 0,
     "l1 r123 i1 a3 *"},
    {"to one twice", "l1 r1 i1", "", 2, REASSIGN, "22", ERR_INVALID_REPLICA_ASSIGNMENT, NULL},
    {"the first has come", "l1 r3412 i12 a34 m12", "", 2, ALTER, "123", 0, "l1 r3412 i123 a34 m12"},
    {"all have come", "l1 r3412 i123 a34 m12", "", 2, ALTER, "1234", 0, "l3 r34 i34 *"},
    {"all have come, the leader stays", "l1 r132 i12 a3 m2", "", 2, ALTER, "123", 0,
     "l1 r13 i13 *"},
    {"one that comes does not raise the minimum", "l1 r12 i1 a2", "", 2, SETTLE, "", 0, NULL},
    {"other ones instead", "l1 r3412 i12 a34 m12", "", 2, REASSIGN, "15", 0, "l1 r152 i12 a5 m2 *"},
    {"other ones instead of one in sync", "l1 r312 i123 a3 m1", "", 1, REASSIGN, "24", 0,
     "l1 r2431 i123 a4 m31 *"},
    {"called off", "l1 r3412 i123 a34 m12", "", 2, CANCEL, "", 0, "l1 r12 i12 *"},
    {"called off when only a new one is there", "l3 r312 i3 a3 m12", "f1 f2", 1, CANCEL, "",
     ERR_INVALID_REPLICA_ASSIGNMENT, NULL},
    {"called off when old ones are eligible", "l3 r312 i3 e12 a3 m1", "f1", 2, CANCEL, "", 0,
     "l2 r12 i2 e1 *"},
    {"called off, nothing under way", "l1 r12 i12", "", 2, CANCEL, "",
     ERR_NO_REASSIGNMENT_IN_PROGRESS, NULL},
};

/* --- partitions and brokers as text ----------------------------------------------------------- */

static struct isr_set digits_of(const char *text)
{
    struct isr_set s = {.count = 0};
    for (; *text >= '0' && *text <= '9'; text++) {
        s.ids[s.count++] = *text - '0';
    }
    return s;
}

static const char *word(const char *text, char letter)
{
    while (*text && !(*text == letter && (text[1] == 0 || strchr("0123456789 -", text[1])))) {
        text++;
    }
    return *text ? text + 1 : "";
}

static struct isr_state state_of(const char *text)
{
    struct isr_state s = {.leader = -1,
                          .leader_epoch = LEADER_EPOCH,
                          .partition_epoch = PARTITION_EPOCH,
                          .unclean_epoch = -1};
    struct isr_set leader = digits_of(word(text, 'l'));
    s.leader = leader.count ? leader.ids[0] : -1;
    s.replicas = digits_of(word(text, 'r'));
    s.isr = digits_of(word(text, 'i'));
    s.elr = digits_of(word(text, 'e'));
    s.last_known = digits_of(word(text, 'k'));
    s.adding = digits_of(word(text, 'a'));
    s.removing = digits_of(word(text, 'm'));
    s.damaged = digits_of(word(text, 'd'));
    s.recovering = strchr(text, 'u') != NULL;
    return s;
}

static void put_digits(char *out, char letter, const struct isr_set *s)
{
    if (s->count) {
        out += strlen(out);
        *out++ = ' ';
        *out++ = letter;
        for (int32_t i = 0; i < s->count; i++) {
            *out++ = (char)('0' + s->ids[i]);
        }
        *out = 0;
    }
}

static void text_of(const struct isr_state *s, char out[static TEXT_SIZE])
{
    snprintf(out, TEXT_SIZE, s->leader < 0 ? "l-" : "l%d", (int)s->leader);
    put_digits(out, 'r', &s->replicas);
    put_digits(out, 'i', &s->isr);
    put_digits(out, 'e', &s->elr);
    put_digits(out, 'k', &s->last_known);
    put_digits(out, 'a', &s->adding);
    put_digits(out, 'm', &s->removing);
    put_digits(out, 'd', &s->damaged);
    strcat(out, s->recovering ? " u" : "");
    strcat(out, s->leader_epoch > LEADER_EPOCH ? " *" : "");
}

static struct isr_rules rules_of(const char *text, int32_t min_isr,
                                 struct isr_broker brokers[static BROKERS])
{
    uint32_t count = 0;
    for (int32_t id = 1; id <= BROKERS; id++) {
        char fenced[3] = {'f', (char)('0' + id)}, going[3] = {'s', (char)('0' + id)},
             unknown[3] = {'x', (char)('0' + id)};
        if (!strstr(text, unknown)) {
            brokers[count++] = (struct isr_broker){.id = id,
                                                   .epoch = 100 + id,
                                                   .fenced = strstr(text, fenced) != NULL,
                                                   .shutting_down = strstr(text, going) != NULL};
        }
    }
    return (struct isr_rules){.brokers = brokers, .broker_count = count, .min_isr = min_isr};
}

static int alter(const struct isr_rules *r, struct isr_state *s, const struct isr_set *members)
{
    struct isr_member list[ISR_REPLICAS_MAX];
    for (int32_t i = 0; i < members->count; i++) {
        list[i] = (struct isr_member){members->ids[i], 100 + members->ids[i]};
    }
    const struct isr_request q = {.sender = s->leader,
                                  .leader_epoch = s->leader_epoch,
                                  .partition_epoch = s->partition_epoch,
                                  .members = list,
                                  .member_count = members->count};
    return isr_alter(r, s, &q);
}

static int happen(const struct isr_rules *r, struct isr_state *s, enum event event,
                  const char *argument)
{
    struct isr_set nodes = digits_of(argument);
    switch (event) {
    case SETTLE:
        return isr_settle(r, s);
    case ALTER:
        return alter(r, s, &nodes);
    case PREFERRED:
        return isr_elect_preferred(r, s);
    case UNCLEAN:
        return isr_elect_unclean(r, s, NULL, 0);
    case SHORT:
    case DAMAGED:
        return isr_lost(r, s, nodes.ids[0], event == DAMAGED);
    case REPAIRED:
        return isr_repaired(r, s, nodes.ids[0]);
    case REASSIGN:
        return isr_reassign(r, s, nodes.ids, nodes.count, NULL);
    default:
        return isr_cancel(r, s);
    }
}

Test(isr, rules)
{
    for (size_t i = 0; i < array_size(rows); i++) {
        const struct row *row = &rows[i];
        struct isr_broker brokers[BROKERS];
        char before[TEXT_SIZE], after[TEXT_SIZE];
        struct isr_rules r = rules_of(row->brokers, row->min_isr, brokers);
        struct isr_state s = state_of(row->before);
        text_of(&s, before);
        int error = happen(&r, &s, row->event, row->argument);
        text_of(&s, after);
        cr_expect_eq(error, row->error, "%s: %s", row->name, error_name(error));
        cr_expect_str_eq(after, row->after ? row->after : before, "%s: %s", row->name, after);
        bool moves = strcmp(before, after) != 0 || (row->event == ALTER && !error);
        cr_expect_eq(s.partition_epoch, PARTITION_EPOCH + moves, "%s", row->name);
        cr_expect_eq(s.unclean_epoch, s.unclean ? s.leader_epoch : -1, "%s", row->name);
    }
}

/* Who asks, and how much it knows. */
Test(isr, requests_of_others_and_of_other_times)
{
    static const struct {
        const char *name;
        int32_t sender, leader_epoch, partition_epoch;
        int64_t broker_epoch; /* of 2 */
        bool recovering;
        int error;
    } cases[] = {
        {"as it is", 1, 5, 9, 102, false, 0},
        {"not the leader", 3, 5, 9, 102, false, ERR_INVALID_REQUEST},
        {"an older leader epoch", 1, 4, 9, 102, false, ERR_FENCED_LEADER_EPOCH},
        {"a newer leader epoch", 1, 6, 9, 102, false, ERR_NOT_CONTROLLER},
        {"an older partition epoch", 1, 5, 8, 102, false, ERR_INVALID_UPDATE_VERSION},
        {"a newer partition epoch", 1, 5, 10, 102, false, ERR_NOT_CONTROLLER},
        {"another life of the member", 1, 5, 9, 101, false, ERR_INELIGIBLE_REPLICA},
        {"no broker epoch at all", 1, 5, 9, -1, false, ERR_INELIGIBLE_REPLICA},
        {"recovering, and not alone", 1, 5, 9, 102, true, ERR_INVALID_REQUEST},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct isr_broker brokers[BROKERS];
        struct isr_rules r = rules_of("", 2, brokers);
        struct isr_state s = state_of("l1 r123 i1 e3");
        const struct isr_member members[] = {{1, 101}, {2, cases[i].broker_epoch}};
        const struct isr_request q = {.sender = cases[i].sender,
                                      .leader_epoch = cases[i].leader_epoch,
                                      .partition_epoch = cases[i].partition_epoch,
                                      .recovering = cases[i].recovering,
                                      .members = members,
                                      .member_count = 2};
        int error = isr_alter(&r, &s, &q);
        cr_expect_eq(error, cases[i].error, "%s: %s", cases[i].name, error_name(error));
        cr_expect_eq(s.isr.count, error ? 1 : 2, "%s", cases[i].name);
    }
}

Test(isr, unclean_election_by_configuration)
{
    struct isr_broker brokers[BROKERS];
    char text[TEXT_SIZE];
    struct isr_rules r = rules_of("f1", 2, brokers);
    struct isr_state s = state_of("l1 r123 i1 k3");
    r.unclean = true;
    cr_assert_eq(isr_settle(&r, &s), 0);
    text_of(&s, text);
    cr_assert_str_eq(text, "l3 r123 i3 k1 u *");
    cr_assert(s.unclean, "it is told");
    const struct isr_member alone = {3, 103};
    struct isr_request q = {.sender = 3,
                            .leader_epoch = s.leader_epoch,
                            .partition_epoch = s.partition_epoch,
                            .members = &alone,
                            .member_count = 1};
    cr_assert_eq(isr_alter(&r, &s, &q), 0, "it has recovered");
    cr_assert_not(s.recovering);
    cr_assert_eq(s.unclean_epoch, LEADER_EPOCH + 1, "but how its epoch began stays known");
    q.partition_epoch++;
    q.recovering = true;
    cr_assert_eq(isr_alter(&r, &s, &q), ERR_INVALID_REQUEST, "it does not begin anew by itself");
}

/* What a leader that has lost something appends again is of another epoch than what it has lost. */
Test(isr, the_same_leader_again_uncleanly)
{
    struct isr_broker brokers[BROKERS];
    char text[TEXT_SIZE];
    struct isr_rules r = rules_of("f2", 1, brokers);
    struct isr_state s = state_of("l1 r12 i1");
    r.unclean = true;
    cr_assert_eq(isr_lost(&r, &s, 1, false), 0);
    text_of(&s, text);
    cr_assert_str_eq(text, "l1 r12 i1 u *");
    cr_assert(s.unclean && s.leader_epoch == LEADER_EPOCH + 1);
}

Test(isr, recovery_by_inspected_logs)
{
    static const struct isr_end ends[] = {{1, 101, 4, 100}, {2, 102, 5, 10}, {3, 103, 5, 12},
                                          {4, 104, 5, 11},  {5, 7, 9, 900},  {6, 106, 5, 11}};
    static const struct {
        const char *name, *before, *brokers;
        int32_t count;
        bool patient, fsync;
        int error;
        int32_t leader;
    } cases[] = {
        {"epoch before offset", "l- r123 k123", "", 3, false, false, 0, 3},
        {"not yet enough", "l- r123 k123", "", 1, false, false, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE,
         -1},
        {"enough for the minimum", "l- r123 k123", "f3", 2, false, false, 0, 2},
        {"no more will come", "l- r123 k123", "f2 f3", 1, true, false, 0, 1},
        {"none has come", "l- r123 k123", "f1 f2 f3", 3, true, false,
         ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"an eligible one may still come", "l- r1234 e4 k123", "f4", 3, true, false,
         ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"one that was not eligible has it too", "l- r1234 k12", "", 4, false, false, 0, 3},
        {"but is not enough by itself", "l- r123 k12", "f1 f2", 3, true, false,
         ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"no replica", "l- r12 k12", "", 4, false, false, 0, 2},
        {"a sound one that reaches as far", "l- r1234 k4 d4", "", 4, false, false, 0, 3},
        {"a damaged one has more than who lost it", "l- r123 k12 d3", "", 3, false, false, 0, 3},
        {"of the same length the sound one", "l- r146 k14 d4", "", 6, false, false, 0, 6},
        {"all are damaged", "l- r12 k12 d12", "", 2, false, false, 0, 2},
        {"the only replica", "l- r1 k1", "", 1, false, false, 0, 1},
        {"told in another life", "l- r15 k15", "", 5, false, false,
         ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"durable: those that were eligible are waited for", "l- r123 k123", "f2 f3", 1, true, true,
         ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"durable: enough for the minimum", "l- r123 k123", "f3", 2, true, true, 0, 2},
        {"durable: all that were eligible came with empty directories", "l- r123", "", 3, true,
         true, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"the same in memory", "l- r123", "", 3, true, false, 0, 3},
        {"the same in memory, at once", "l- r123", "", 3, false, false,
         ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE, -1},
        {"there is a leader", "l1 r12 i1", "", 2, true, false, ERR_ELECTION_NOT_NEEDED, 1},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct isr_broker brokers[BROKERS];
        struct isr_rules r = rules_of(cases[i].brokers, 2, brokers);
        struct isr_state s = state_of(cases[i].before);
        r.memory = !cases[i].fsync;
        int error = isr_recover(&r, &s, ends, cases[i].count, cases[i].patient);
        cr_expect_eq(error, cases[i].error, "%s: %s", cases[i].name, error_name(error));
        cr_expect_eq(s.leader, cases[i].leader, "%s", cases[i].name);
        cr_expect_eq(s.unclean, error == 0, "%s: it is told", cases[i].name);
        cr_expect_not(isr_has(&s.damaged, s.leader), "%s", cases[i].name);
    }
}

/* H8, H14: the same broker with another directory is another replica. */
Test(isr, directories)
{
    static const struct uuid first = {{1}}, second = {{2}};
    struct isr_broker brokers[BROKERS];
    char text[TEXT_SIZE];
    struct isr_rules r = rules_of("", 2, brokers);
    struct isr_state s = state_of("l1 r123 i123");
    cr_assert_eq(isr_moved(&r, &s, 2, first), 0);
    text_of(&s, text);
    cr_assert_str_eq(text, "l1 r123 i123", "one that was not known is taken as it is");
    cr_assert_eq(s.partition_epoch, PARTITION_EPOCH + 1);
    cr_assert(s.placed && uuid_equal(s.directories[1], first));
    cr_assert_eq(isr_moved(&r, &s, 2, first), 0);
    cr_assert_eq(s.partition_epoch, PARTITION_EPOCH + 1, "it is where it was");
    cr_assert_eq(isr_moved(&r, &s, 2, second), 0);
    text_of(&s, text);
    cr_assert_str_eq(text, "l1 r123 i13 *");
    cr_assert(uuid_equal(s.directories[1], second));
    const int32_t target[] = {3, 4, 2};
    const struct uuid directories[] = {second, first, first};
    cr_assert_eq(isr_reassign(&r, &s, target, 3, directories), 0);
    text_of(&s, text);
    cr_assert_str_eq(text, "l1 r3421 i13 a4 m1 *");
    cr_assert(uuid_is_zero(s.directories[0]), "who was there keeps what is known of it");
    cr_assert(uuid_equal(s.directories[1], first));
    cr_assert(uuid_equal(s.directories[2], second));
}

/* Epochs do not wrap. */
Test(isr, the_last_epoch)
{
    struct isr_broker brokers[BROKERS];
    struct isr_rules r = rules_of("f1", 1, brokers);
    struct isr_state s = state_of("l1 r12 i12");
    s.leader_epoch = INT32_MAX;
    cr_assert_eq(isr_settle(&r, &s), ERR_UNKNOWN_SERVER_ERROR);
    cr_assert_eq(s.leader, 1);
    cr_assert_eq(s.isr.count, 2);
}
