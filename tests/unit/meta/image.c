/* SPDX-License-Identifier: Apache-2.0 */

/* Images against a model that keeps everything in plain arrays: after each of thousands of random
 * edits both must say the same, and images that were put aside must never change. */
#include "support.h"

#include "base/prng.h"
#include "meta/topic.h"

#include <inttypes.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { TOPICS = 60, PARTITIONS = 6, KEYS = 4, KEPT = 40, NODES = 5 };

enum part { REPLICAS, ISR, ELR, LAST_KNOWN, ADDING, REMOVING, DAMAGED, LISTS };

struct model_list {
    int32_t ids[NODES];
    int32_t count;
};

struct model_partition {
    int32_t leader, leader_epoch, partition_epoch, unclean_epoch;
    bool recovering, placed; /* placed: directories are known */
    struct model_list lists[LISTS];
    struct uuid directories[NODES];
};

struct model_topic {
    bool there;
    struct uuid id;
    char name[32];
    char values[KEYS][16]; /* empty: not set */
    struct model_partition partitions[PARTITIONS];
    int32_t partition_count;
};

struct model {
    struct model_topic topics[TOPICS];
    char broker_values[NODES + 1][KEYS][16]; /* node - 1 .. */
    int64_t next_producer_id;
};

static const char *const keys[KEYS] = {"a.key", "b.key", "c.key", "d.key"};

/* Names that sort and collide in every way. */
static void name_of(int index, char out[static 32])
{
    static const char *const forms[] = {"t%d", "t.%d", "t-%d", "T%dx", "%d_t", "zz%d"};
    snprintf(out, 32, forms[index % 6], index / 6);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct model_topic *const *)a)->name, (*(struct model_topic *const *)b)->name);
}

static void expect_lists(const struct image_partition *p, const struct model_partition *w)
{
    const struct image_nodes lists[LISTS] = {
        {p->replicas, p->replica_count},
        {p->isr, p->isr_count},
        p->more->elr,
        p->more->last_known_elr,
        p->more->adding,
        p->more->removing,
        p->more->damaged,
    };
    for (int l = 0; l < LISTS; l++) {
        cr_assert_eq(lists[l].count, w->lists[l].count);
        for (int32_t i = 0; i < lists[l].count; i++) {
            cr_assert_eq(lists[l].ids[i], w->lists[l].ids[i]);
        }
    }
    cr_assert_eq(p->recovering, w->recovering);
    cr_assert_eq(p->unclean_epoch, w->unclean_epoch);
    cr_assert_eq(p->directories != NULL, w->placed);
    for (int32_t i = 0; w->placed && i < p->replica_count; i++) {
        cr_assert(uuid_equal(p->directories[i], w->directories[i]));
    }
}

struct search {
    int32_t broker;
    uint32_t found; /* topics of which it holds a partition */
    char last[TOPIC_NAME_MAX + 1];
};

static bool holds(const struct image_topic *t, int32_t broker)
{
    for (int32_t i = 0; i < t->partition_count; i++) {
        for (int32_t k = 0; k < t->partitions[i].replica_count; k++) {
            if (t->partitions[i].replicas[k] == broker) {
                return true;
            }
        }
    }
    return false;
}

static bool each_topic(void *context, const struct image_topic *t)
{
    struct search *s = context;
    cr_assert_lt(strcmp(s->last, t->name), 0, "names rise: %s, %s", s->last, t->name);
    snprintf(s->last, sizeof s->last, "%s", t->name);
    cr_assert_gt(t->partition_count, 0);
    s->found += s->broker < 0 || holds(t, s->broker);
    return true;
}

/* Looking for a broker passes over no topic that it holds a partition of. */
static void expect_found(const struct image *image)
{
    for (int32_t broker = -1; broker < NODES; broker++) {
        struct search s = {.broker = broker};
        uint32_t count = 0;
        image_each_topic(image, broker, each_topic, &s);
        for (uint32_t i = 0; i < image_topic_count(image); i++) {
            const struct image_topic *t = image_topic_at(image, i);
            count += broker < 0 ? t->partition_count > 0 : holds(t, broker);
        }
        cr_assert_eq(s.found, count, "broker %d", (int)broker);
    }
}

static void expect_equal(const struct model *m, const struct image *image)
{
    const struct model_topic *sorted[TOPICS];
    uint32_t count = 0;
    for (int i = 0; i < TOPICS; i++) {
        if (m->topics[i].there) {
            sorted[count++] = &m->topics[i];
        } else {
            cr_assert_null(image_topic_by_name(image, bytes_of_string(m->topics[i].name)));
        }
    }
    qsort(sorted, count, sizeof *sorted, by_name);
    image_check(image);
    cr_assert_eq(image_topic_count(image), count);
    uint64_t partitions = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct model_topic *want = sorted[i];
        const struct image_topic *t = image_topic_at(image, i);
        cr_assert_str_eq(t->name, want->name);
        cr_assert(uuid_equal(t->id, want->id));
        cr_assert_eq(image_topic_by_id(image, want->id), t);
        cr_assert_eq(image_topic_by_name(image, bytes_of_string(want->name)), t);
        cr_assert_eq(image_topic_from(image, bytes_of_string(want->name)), i);
        cr_assert_eq(t->partition_count, want->partition_count);
        partitions += (uint64_t)t->partition_count;
        for (int k = 0; k < KEYS; k++) {
            const char *value = image_topic_config(t, keys[k]);
            cr_assert_str_eq(value ? value : "", want->values[k]);
        }
        for (int32_t k = 0; k < t->partition_count; k++) {
            const struct image_partition *p = &t->partitions[k];
            const struct model_partition *w = &want->partitions[k];
            cr_assert_eq(p->leader, w->leader);
            cr_assert_eq(p->leader_epoch, w->leader_epoch);
            cr_assert_eq(p->partition_epoch, w->partition_epoch);
            expect_lists(p, w);
        }
    }
    cr_assert_eq(image_partition_total(image), partitions);
    expect_found(image);
    cr_assert_eq(image_next_producer_id(image), m->next_producer_id);
    for (int node = -1; node < NODES; node++) {
        for (int k = 0; k < KEYS; k++) {
            const char *value = image_broker_config(image, node, keys[k]);
            cr_assert_str_eq(value ? value : "", m->broker_values[node + 1][k]);
        }
    }
}

static struct model_list random_list(struct prng *r, int32_t least, int32_t most)
{
    struct model_list l = {.count = least + (int32_t)prng_below(r, (uint64_t)(most - least + 1))};
    int32_t first = (int32_t)prng_below(r, NODES);
    for (int32_t i = 0; i < l.count; i++) {
        l.ids[i] = (first + i) % NODES;
    }
    if (l.count > 1 && prng_chance(r, 1, 20)) {
        l.ids[0] = l.ids[l.count - 1]; /* named twice: never accepted */
    }
    return l;
}

static bool twice(const struct model_list *l)
{
    for (int32_t i = 0; i < l->count; i++) {
        for (int32_t k = 0; k < i; k++) {
            if (l->ids[k] == l->ids[i]) {
                return true;
            }
        }
    }
    return false;
}

/* What edit.h promises, by sets of bits. */
static bool sound(const struct model_partition *p)
{
    unsigned bits[LISTS] = {0};
    for (int l = 0; l < LISTS; l++) {
        for (int32_t i = 0; i < p->lists[l].count; i++) {
            bits[l] |= 1u << p->lists[l].ids[i];
        }
        if (twice(&p->lists[l]) || (bits[l] & ~bits[REPLICAS])) {
            return false;
        }
    }
    return !(bits[ISR] & bits[ELR]) && !(bits[ISR] & bits[LAST_KNOWN]) &&
           !(bits[ELR] & bits[LAST_KNOWN]) && !(bits[ADDING] & bits[REMOVING]) &&
           !(bits[DAMAGED] & (bits[ISR] | bits[ELR])) &&
           (p->leader < 0 || (bits[ISR] & 1u << p->leader)) &&
           !(p->recovering && p->lists[ISR].count > 1) && p->unclean_epoch <= p->leader_epoch;
}

static void random_directories(struct prng *r, struct model_partition *p)
{
    p->placed = true;
    for (int32_t i = 0; i < NODES; i++) {
        p->directories[i] = id_of(prng_below(r, 3));
    }
}

static struct image_nodes nodes(const struct model_list *l)
{
    return (struct image_nodes){l->ids, l->count};
}

static void edit_topic(struct prng *r, struct model_topic *t, struct image *draft, uint64_t *ids)
{
    if (!t->there) {
        t->there = true;
        t->id = id_of(++*ids);
        t->partition_count = 0;
        memset(t->values, 0, sizeof t->values);
        cr_assert_eq(image_add_topic(draft, bytes_of_string(t->name), t->id), 0);
        return;
    }
    cr_assert_eq(image_add_topic(draft, bytes_of_string(t->name), id_of(1 << 30)), ERR_MALFORMED);
    if (prng_chance(r, 1, 12)) {
        t->there = false;
        cr_assert_eq(image_remove_topic(draft, t->id), 0);
        cr_assert_eq(image_remove_topic(draft, t->id), ERR_MALFORMED);
        return;
    }
    int k = (int)prng_below(r, KEYS);
    bool delete = prng_chance(r, 1, 3);
    snprintf(t->values[k], sizeof t->values[k], "%s", delete ? "" : "v");
    if (!delete) {
        snprintf(t->values[k], sizeof t->values[k], "%" PRIu64, prng_below(r, 1000));
    }
    struct bytes value = delete ? (struct bytes){0} : bytes_of_string(t->values[k]);
    cr_assert_eq(
        image_set_topic_config(draft, bytes_of_string(t->name), bytes_of_string(keys[k]), value),
        0);
}

static void add_partition(struct prng *r, struct model_topic *t, struct image *draft)
{
    struct model_partition *p = &t->partitions[t->partition_count];
    *p = (struct model_partition){.leader = (int32_t)prng_below(r, NODES) - 1,
                                  .unclean_epoch = prng_chance(r, 1, 4) ? 1 : -1,
                                  .recovering = prng_chance(r, 1, 5)};
    p->leader_epoch = (int32_t)prng_below(r, 3);
    p->lists[REPLICAS] = random_list(r, 1, NODES);
    p->lists[ISR] = p->lists[REPLICAS];
    for (int l = ELR; l < LISTS; l++) {
        p->lists[l] =
            prng_chance(r, 1, 12) ? random_list(r, 1, 2) : (struct model_list){.count = 0};
    }
    if (prng_chance(r, 1, 3)) {
        random_directories(r, p);
    }
    struct image_partition_spec spec = {
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .unclean_epoch = p->unclean_epoch,
        .recovering = p->recovering,
        .replicas = p->lists[REPLICAS].ids,
        .isr = p->lists[ISR].ids,
        .replica_count = p->lists[REPLICAS].count,
        .isr_count = p->lists[ISR].count,
        .directories = p->placed ? p->directories : NULL,
        .more = {nodes(&p->lists[ELR]), nodes(&p->lists[LAST_KNOWN]), nodes(&p->lists[ADDING]),
                 nodes(&p->lists[REMOVING]), nodes(&p->lists[DAMAGED])},
    };
    cr_assert_eq(image_add_partition(draft, t->id, t->partition_count + 1, &spec), ERR_MALFORMED);
    int error = image_add_partition(draft, t->id, t->partition_count, &spec);
    cr_assert_eq(error, sound(p) ? 0 : ERR_MALFORMED);
    t->partition_count += error == 0;
}

/* Whether each list changes is a throw of dice; what comes out is accepted when it is sound. */
static void change_partition(struct prng *r, struct model_topic *t, struct image *draft)
{
    int32_t number = (int32_t)prng_below(r, (uint64_t)t->partition_count);
    struct model_partition next = t->partitions[number];
    struct image_partition_change c = {.leader = IMAGE_LEADER_SAME};
    struct image_nodes changed[LISTS] = {{0}};
    bool changes[LISTS];
    for (int l = 0; l < LISTS; l++) {
        changes[l] = prng_chance(r, 1, 5);
        if (changes[l]) {
            next.lists[l] = random_list(r, l == REPLICAS, l <= ISR ? NODES : 2);
            changed[l] = nodes(&next.lists[l]);
        }
    }
    c.replicas = changed[REPLICAS].ids;
    c.replica_count = changed[REPLICAS].count;
    c.isr = changed[ISR].ids;
    c.isr_count = changed[ISR].count;
    c.more = (struct image_more){changed[ELR], changed[LAST_KNOWN], changed[ADDING],
                                 changed[REMOVING], changed[DAMAGED]};
    if (prng_chance(r, 1, 2)) {
        c.leader = (int32_t)prng_below(r, NODES) - 1;
        next.leader = c.leader;
        next.leader_epoch++;
    }
    if (prng_chance(r, 1, 4)) {
        random_directories(r, &next);
        c.directories = next.directories;
    }
    if (prng_chance(r, 1, 4)) {
        next.recovering = prng_chance(r, 1, 2);
        c.recovery = next.recovering ? IMAGE_RECOVERING : IMAGE_RECOVERED;
    }
    c.unclean = prng_chance(r, 1, 6);
    if (c.unclean) {
        next.unclean_epoch = next.leader_epoch;
    }
    next.partition_epoch++;
    bool fits = sound(&next) && (!c.unclean || c.leader >= 0) &&
                !(next.placed && changes[REPLICAS] && !c.directories);
    cr_assert_eq(image_change_partition(draft, t->id, number, &c), fits ? 0 : ERR_MALFORMED);
    cr_assert_eq(image_change_partition(draft, t->id, t->partition_count, &c), ERR_MALFORMED);
    if (fits) {
        t->partitions[number] = next;
    }
}

static void edit(struct prng *r, struct model *m, struct image *draft, uint64_t *ids)
{
    struct model_topic *t = &m->topics[prng_below(r, TOPICS)];
    uint64_t dice = prng_below(r, 20);
    if (dice == 0) {
        m->next_producer_id += (int64_t)prng_below(r, 100);
        cr_assert_eq(image_set_next_producer_id(draft, m->next_producer_id), 0);
    } else if (dice == 1) {
        int node = (int)prng_below(r, NODES + 1), k = (int)prng_below(r, KEYS);
        char *room = m->broker_values[node][k];
        bool delete = prng_chance(r, 1, 3);
        snprintf(room, 16, "%s", delete ? "" : "on");
        struct bytes value = delete ? (struct bytes){0} : bytes_of_string(room);
        cr_assert_eq(image_set_broker_config(draft, node - 1, bytes_of_string(keys[k]), value), 0);
    } else if (t->there && t->partition_count < PARTITIONS && dice < 8) {
        add_partition(r, t, draft);
    } else if (t->there && t->partition_count > 0 && dice < 14) {
        change_partition(r, t, draft);
    } else {
        edit_topic(r, t, draft, ids);
    }
}

struct differences {
    const struct image *before, *after;
    uint32_t count;
    char last[TOPIC_NAME_MAX + 1];
};

static void each_difference(void *context, const struct image_topic *old,
                            const struct image_topic *new)
{
    struct differences *d = context;
    cr_assert(old || new);
    cr_assert_neq(old, new);
    const char *name = old ? old->name : new->name;
    cr_assert_lt(strcmp(d->last, name), 0, "names rise: %s, %s", d->last, name);
    snprintf(d->last, sizeof d->last, "%s", name);
    cr_assert_eq(image_topic_by_name(d->before, bytes_of_string(name)), old);
    cr_assert_eq(image_topic_by_name(d->after, bytes_of_string(name)), new);
    d->count++;
}

/* The differences are those that a look at every name finds. */
static void expect_differences(const struct model *m, const struct image *before,
                               const struct image *after)
{
    uint32_t count = 0;
    for (int i = 0; i < TOPICS; i++) {
        struct bytes name = bytes_of_string(m->topics[i].name);
        count += image_topic_by_name(before, name) != image_topic_by_name(after, name);
    }
    struct differences d = {.before = before, .after = after};
    image_diff(before, after, each_difference, &d);
    cr_assert_eq(d.count, count);
}

static void run_seed(uint64_t seed, int rounds)
{
    struct memory memory;
    struct prng r = prng_of(seed);
    struct model *model = calloc(1, sizeof *model);
    const struct image *kept[KEPT] = {0};
    char *texts[KEPT] = {0};
    uint64_t ids = 0;
    memory_init(&memory, 256 << 20);
    struct image_home *home = image_home_new(&memory, "cluster");
    for (int i = 0; i < TOPICS; i++) {
        name_of(i, model->topics[i].name);
    }
    struct image *image = image_empty(home);
    image_seal(image);
    for (int round = 0; round < rounds; round++) {
        struct image *draft = image_fork(image);
        for (uint64_t edits = 1 + prng_below(&r, 8); edits > 0; edits--) {
            edit(&r, model, draft, &ids);
        }
        image_seal(draft);
        expect_equal(model, draft);
        expect_differences(model, image, draft);
        int slot = (int)prng_below(&r, KEPT);
        if (kept[slot]) {
            expect_differences(model, kept[slot], draft);
            char *now = image_text(kept[slot]);
            cr_assert_str_eq(now, texts[slot], "seed %" PRIu64 ": an old image has changed", seed);
            free(now);
            free(texts[slot]);
            image_release(kept[slot]);
        }
        kept[slot] = image;
        texts[slot] = image_text(image);
        image = draft;
    }
    for (int i = 0; i < KEPT; i++) {
        if (kept[i]) {
            char *now = image_text(kept[i]);
            cr_assert_str_eq(now, texts[i], "seed %" PRIu64 ": an old image has changed", seed);
            free(now);
            free(texts[i]);
            image_release(kept[i]);
        }
    }
    image_release(image);
    image_home_free(home);
    cr_assert_eq(memory.used_bytes, 0, "seed %" PRIu64 " leaks", seed);
    free(model);
}

Test(image, deltas_equal_a_naive_model)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        run_seed(seed, 400);
    }
}

/* Every allocation of a sequence of edits fails once: the draft stays what it was before the edit.
 */
Test(image, an_edit_that_fails_changes_nothing)
{
    int32_t one = 1;
    struct image_partition_spec spec = {
        .replicas = &one, .isr = &one, .replica_count = 1, .isr_count = 1, .leader = 1};
    struct uuid directory = id_of(7);
    struct image_partition_change change = {
        .leader = -1,
        .isr = &one,
        .isr_count = 0,
        .directories = &directory,
        .more = {.elr = {&one, 1}},
    };
    int failures = 0;
    for (size_t budget = 4000; budget < 60000; budget += 48) {
        struct memory memory;
        memory_init(&memory, budget);
        struct image_home *home = image_home_new(&memory, "c");
        struct image *base = home ? image_empty(home) : NULL;
        struct image *draft = NULL;
        char *before = NULL;
        if (base) {
            image_seal(base);
            draft = image_fork(base);
        }
        for (int step = 0; draft && step < 40; step++) {
            char name[32];
            snprintf(name, sizeof name, "t.%d", step / 4);
            before = image_text(draft);
            int error = 0;
            struct uuid id = id_of((uint64_t)step / 4);
            switch (step % 4) {
            case 0:
                error = image_add_topic(draft, bytes_of_string(name), id);
                break;
            case 1:
                error = image_add_partition(draft, id, 0, &spec);
                break;
            case 2:
                error = image_set_topic_config(draft, bytes_of_string(name), bytes_of_string("k"),
                                               bytes_of_string("v"));
                break;
            default:
                error = image_change_partition(draft, id, 0, &change);
            }
            if (error) {
                cr_assert_eq(error, ERR_NO_MEMORY);
                char *after = image_text(draft);
                cr_assert_str_eq(before, after, "budget %zu, step %d", budget, step);
                image_check(draft);
                free(after);
                failures++;
                step = 40;
            }
            free(before);
        }
        image_release(draft);
        image_release(base);
        image_home_free(home);
        cr_assert_eq(memory.used_bytes, 0, "budget %zu leaks", budget);
    }
    cr_assert_gt(failures, 100, "the budgets were too large to fail");
}

Test(image, names_that_collide)
{
    struct memory memory;
    memory_init(&memory, 16 << 20);
    struct image_home *home = image_home_new(&memory, "c");
    struct image *draft = image_empty(home);
    cr_assert_eq(image_add_topic(draft, bytes_of_string("a.b_c"), id_of(1)), 0);
    cr_assert_eq(image_add_topic(draft, bytes_of_string("abc"), id_of(2)), 0);
    static const char *const yes[] = {"a.b_c", "a_b_c", "a.b.c", "a_b.c"};
    static const char *const no[] = {"abc", "a-b_c", "a.b_cd", "a.b_", "A.b_c", "a.b-c"};
    for (size_t i = 0; i < array_size(yes); i++) {
        cr_expect_not_null(image_topic_colliding(draft, bytes_of_string(yes[i])), "%s", yes[i]);
        cr_expect_eq(image_add_topic(draft, bytes_of_string(yes[i]), id_of(9)), ERR_MALFORMED);
    }
    for (size_t i = 0; i < array_size(no); i++) {
        cr_expect_null(image_topic_colliding(draft, bytes_of_string(no[i])), "%s", no[i]);
    }
    image_release(draft);
    image_home_free(home);
    memory_drop(&memory);
}

/* One change of a published image must not cost the whole: that is what sharing is for. */
Test(image, a_change_shares_the_rest)
{
    struct memory memory;
    memory_init(&memory, (size_t)1 << 30);
    struct image_home *home = image_home_new(&memory, "c");
    struct image *image = image_empty(home);
    int32_t one = 1;
    struct image_partition_spec spec = {
        .replicas = &one, .isr = &one, .replica_count = 1, .isr_count = 1, .leader = 1};
    char name[32];
    for (uint64_t i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "topic-%05" PRIu64, i);
        cr_assert_eq(image_add_topic(image, bytes_of_string(name), id_of(i)), 0);
        cr_assert_eq(image_add_partition(image, id_of(i), 0, &spec), 0);
    }
    image_seal(image);
    image_check(image);
    size_t whole = memory.used_bytes;
    struct image *next = image_fork(image);
    struct image_partition_change change = {.leader = 1};
    cr_assert_eq(image_change_partition(next, id_of(777), 0, &change), 0);
    size_t added = memory.used_bytes - whole;
    cr_assert_lt(added, whole / 200, "%zu bytes for a change of %zu", added, whole);
    cr_assert_eq(image_topic_by_id(image, id_of(778)), image_topic_by_id(next, id_of(778)));
    cr_assert_neq(image_topic_by_id(image, id_of(777)), image_topic_by_id(next, id_of(777)));
    struct differences d = {.before = image, .after = next};
    image_diff(image, next, each_difference, &d);
    cr_assert_eq(d.count, 1);
    image_release(image);
    image_release(next);
    image_home_free(home);
    cr_assert_eq(memory.used_bytes, 0);
}

/* A start reads records that may be taken back: what they remove is still known. */
Test(image, what_is_removed_is_remembered_when_asked_for)
{
    struct memory memory;
    memory_init(&memory, 1 << 20);
    struct image_home *home = image_home_new(&memory, "c");
    struct image *image = image_empty(home);
    for (uint64_t i = 0; i < 40; i++) {
        char name[32];
        name_of((int)i, name);
        cr_assert_eq(image_add_topic(image, bytes_of_string(name), id_of(i)), 0);
    }
    cr_assert_eq(image_remove_topic(image, id_of(0)), 0);
    image_seal(image);
    struct image *next = image_fork(image);
    image_remember_removed(next);
    for (uint64_t i = 1; i < 30; i++) {
        cr_assert_eq(image_remove_topic(next, id_of(i)), 0);
    }
    image_release(image); /* it keeps them itself */
    cr_assert_null(image_topic_removed(next, id_of(0)), "before it was asked");
    cr_assert_null(image_topic_removed(next, id_of(30)), "it is there");
    for (uint64_t i = 1; i < 30; i++) {
        char name[32];
        name_of((int)i, name);
        cr_assert_str_eq(image_topic_removed(next, id_of(i))->name, name);
        cr_assert_null(image_topic_by_id(next, id_of(i)));
    }
    image_release(next);
    image_home_free(home);
    cr_assert_eq(memory.used_bytes, 0);
}

Test(image, brokers)
{
    struct memory memory;
    memory_init(&memory, 16 << 20);
    struct image_home *home = image_home_new(&memory, "c");
    struct image *draft = image_empty(home);
    const struct image_endpoint_spec endpoints[] = {
        {bytes_of_string("plain"), bytes_of_string("h"), 1},
        {bytes_of_string(""), bytes_of_string("other"), 65535},
    };
    for (int32_t id = 9; id > 0; id -= 2) {
        struct image_broker_spec spec = {.id = id,
                                         .epoch = 10 + id,
                                         .endpoints = endpoints,
                                         .endpoint_count = 2,
                                         .rack = bytes_of_string("r"),
                                         .fenced = true};
        cr_assert_eq(image_put_broker(draft, &spec), 0);
    }
    cr_assert_eq(image_broker_count(draft), 5);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(image_broker_at(draft, i)->id, 1 + 2 * (int32_t)i);
    }
    cr_assert_eq(image_set_fenced(draft, 5, 14, false), ERR_MALFORMED, "a stale epoch");
    cr_assert_eq(image_set_fenced(draft, 5, 15, false), 0);
    cr_assert_not(image_broker_by_id(draft, 5)->fenced);
    cr_assert_str_eq(image_broker_by_id(draft, 5)->rack, "r");
    const struct image_broker *five = image_broker_by_id(draft, 5);
    cr_assert_eq(five->endpoint_count, 2);
    cr_assert_str_eq(five->endpoints[0].name, "plain");
    cr_assert_str_eq(five->endpoints[1].host, "other");
    cr_assert_eq(five->endpoints[1].port, 65535);
    struct image_broker_spec older = {
        .id = 5, .epoch = 14, .endpoints = endpoints, .endpoint_count = 1};
    struct image_broker_spec none = {.id = 5, .epoch = 20};
    cr_assert_eq(image_put_broker(draft, &none), ERR_MALFORMED, "no address at all");
    cr_assert_eq(image_put_broker(draft, &older), ERR_MALFORMED, "epochs do not fall");
    cr_assert_null(image_broker_by_id(draft, 4));
    cr_assert_eq(image_set_shutting_down(draft, 5, 14), ERR_MALFORMED, "a stale epoch");
    cr_assert_eq(image_set_shutting_down(draft, 5, 15), 0);
    cr_assert(image_broker_by_id(draft, 5)->shutting_down);
    cr_assert_not(image_broker_by_id(draft, 5)->fenced, "the one state leaves the other");
    cr_assert_eq(image_set_fenced(draft, 5, 15, true), 0);
    cr_assert(image_broker_by_id(draft, 5)->shutting_down);
    cr_assert_eq(image_remove_broker(draft, 5, 14), ERR_MALFORMED, "a stale epoch");
    cr_assert_eq(image_remove_broker(draft, 4, 14), ERR_MALFORMED, "nobody");
    for (int32_t id = 9; id > 0; id -= 2) {
        cr_assert_eq(image_remove_broker(draft, id, 10 + id), 0);
        cr_assert_null(image_broker_by_id(draft, id));
    }
    cr_assert_eq(image_broker_count(draft), 0);
    image_release(draft);
    image_home_free(home);
    cr_assert_eq(memory.used_bytes, 0);
}
