/* SPDX-License-Identifier: Apache-2.0 */

/* Truncation, a new start, removal: what goes, goes for good; what stays, stays. */
#include "world.h"

#include "log/log_private.h"

#include <criterion/criterion.h>

static const struct batch_spec SMALL = {.records = 2, .value_bytes = 300};
static const struct batch_spec LARGE = {.records = 4, .value_bytes = 2500};

enum end { END_STOP, END_KILL, END_POWER, ENDS };

static void end(struct world *w, enum end how)
{
    if (how == END_STOP) {
        world_stop(w);
    } else if (how == END_KILL) {
        world_kill(w);
    } else {
        world_power_cut(w);
    }
}

/* Where the `n`-th batch that was given begins. */
static int64_t base_of(const struct world *w, unsigned slot, unsigned n)
{
    return w->slots[slot].given[n].base;
}

/* Into the tail, into an older segment, to a segment's base: then new records, then an end. */
static void truncate_and_end(enum log_durability durability)
{
    for (enum end how = END_STOP; how < ENDS; how++) {
        struct world w;
        world_open(&w, 11 + how);
        w.slots[0].config.durability = durability;
        bool keeps = durability == LOG_FSYNC || how != END_POWER;
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 40); /* segments of 6 batches */
        static const unsigned cuts[] = {39, 37, 20, 18, 7, 1};
        for (unsigned i = 0; i < array_size(cuts); i++) {
            int error = world_control(&w, 0, LOG_TRUNCATE, base_of(&w, 0, cuts[i]));
            cr_assert_eq(error, 0, "cut %u: %s", cuts[i], error_name(error));
            cr_assert_eq(world_status(&w, 0).end_offset, base_of(&w, 0, cuts[i]));
            world_check(&w, 0);
            world_fill(&w, 0, &SMALL, 2);
            cr_assert_eq(world_check(&w, 0), cuts[i] + 2);
            end(&w, how);
            world_started(&w, 1);
            if (keeps) {
                cr_assert_eq(world_check(&w, 0), cuts[i] + 2, "cut %u, end %d", cuts[i], how);
            } else {
                break;
            }
            world_forget_from(&w, 0, world_status(&w, 0).end_offset);
        }
        world_close(&w);
    }
}

Test(control, truncation_of_a_durable_log_survives)
{
    truncate_and_end(LOG_FSYNC);
}

Test(control, truncation_of_a_memory_log_survives)
{
    truncate_and_end(LOG_MEMORY);
}

Test(control, truncation_to_nothing_and_beyond_the_end)
{
    struct world w;
    world_open(&w, 3);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 20);
    int64_t end_offset = world_status(&w, 0).end_offset;
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, end_offset), 0);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, end_offset + 5), 0);
    cr_assert_eq(world_check(&w, 0), 20);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 0), 0);
    cr_assert_eq(world_status(&w, 0).end_offset, 0);
    cr_assert_eq(world_status(&w, 0).durable_offset, 0);
    world_fill(&w, 0, &SMALL, 3);
    world_power_cut(&w);
    world_started(&w, 1);
    cr_assert_eq(world_check(&w, 0), 3);
    world_close(&w);
}

struct twice {
    struct log *log;
    struct log_control first, second;
    bool first_done, second_done;
    int error;
};

static void first_told(struct log_control *c, int error)
{
    (void)error;
    container_of(c, struct twice, first)->first_done = true;
}

static void second_told(struct log_control *c, int error)
{
    struct twice *t = container_of(c, struct twice, second);
    t->error = error;
    t->second_done = true;
}

static void give_twice(void *argument)
{
    struct twice *t = argument;
    log_control(t->log, &t->first);
    log_control(t->log, &t->second);
}

/* What another control has done already is told when that is durable. */
Test(control, a_needless_one_waits_for_the_one_that_did_it)
{
    static const struct {
        enum log_control_kind kind;
        int64_t first, second;
    } pairs[] = {
        {LOG_START, 20, 10}, {LOG_START, 20, 20}, {LOG_TRUNCATE, 20, 20}, {LOG_TRUNCATE, 20, 30}};
    for (unsigned i = 0; i < array_size(pairs); i++) {
        struct world w;
        world_open(&w, 60 + i);
        world_started(&w, 1);
        world_fill(&w, 0, &SMALL, 20);
        struct twice t = {
            .log = world_log(&w, 0),
            .first = {.kind = pairs[i].kind, .offset = pairs[i].first, .done = first_told},
            .second = {.kind = pairs[i].kind, .offset = pairs[i].second, .done = second_told}};
        cr_assert(world_do(&w, 0, give_twice, &t));
        cr_assert(world_until(&w, &t.second_done));
        cr_assert(t.error == 0 && t.first_done, "pair %u", i);
        world_power_cut(&w);
        world_started(&w, 1);
        struct log_status s = world_status(&w, 0);
        cr_assert_eq(pairs[i].kind == LOG_START ? s.start_offset : s.end_offset, 20, "pair %u", i);
        world_close(&w);
    }
}

/* An offset inside a batch: the whole batch goes. */
Test(control, truncation_inside_a_batch_takes_the_batch)
{
    struct world w;
    world_open(&w, 4);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 3);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 6), 0);
    cr_assert_eq(world_status(&w, 0).end_offset, 4);
    world_close(&w);
}

/* What the cache of blocks read from disk holds must not answer for what was appended since. */
Test(control, truncated_records_do_not_come_back_from_the_read_cache)
{
    struct world w;
    world_open(&w, 5);
    w.slots[0].config.segment_bytes = 512 << 10;
    w.options.tail_bytes_max = 128 << 10;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 40);
    world_check(&w, 0); /* the older ones come from disk */
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, base_of(&w, 0, 10)), 0);
    world_fill(&w, 0, &LARGE, 30);
    cr_assert_eq(world_check(&w, 0), 40);
    world_close(&w);
}

/* A segment that was sealed after a recovery is walked over for its index and sums. A truncation
 * opens it again, and it is written to while the walk goes on: what the walk makes is its own. */
Test(control, a_truncation_into_a_segment_that_is_walked_over)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_open(&w, 900 + seed);
        w.slots[0].config.segment_bytes = 200 << 10;
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 10);
        world_kill(&w);
        sim_faults(w.sim)->read.mean_ns = 20000000;
        world_started(&w, 1);
        unsigned segments = world_count_files(&w, "topics/t0-0/");
        while (world_count_files(&w, "topics/t0-0/") == segments) {
            world_fill(&w, 0, &LARGE, 1);
        }
        world_wait_ms(&w, 1 + seed);
        cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, 20), 0);
        world_forget_from(&w, 0, 20);
        world_fill(&w, 0, &LARGE, 40);
        world_wait_ms(&w, 2000);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* A group that settles after a truncation was given does not lift the durable end again. */
struct pair {
    struct world *world;
    struct world_append append;
    struct log_control control;
    bool control_done;
    int64_t durable_at_append; /* when the append was told */
};

static void pair_control_done(struct log_control *c, int error)
{
    struct pair *p = container_of(c, struct pair, control);
    assert(error == 0);
    p->control_done = true;
}

static void give_pair(void *argument)
{
    struct pair *p = argument;
    log_append(p->world->slots[0].log, &p->append.append);
    log_control(p->world->slots[0].log, &p->control);
}

static void pair_told(struct log_append *a, int error)
{
    struct pair *p = container_of(a, struct pair, append.append);
    assert(error == 0);
    p->durable_at_append = log_status(p->world->slots[0].log).durable_offset;
    p->append.done = true;
}

Test(control, an_append_that_settles_behind_its_truncation_is_not_durable)
{
    struct world w;
    world_open(&w, 6);
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 5);
    int64_t kept = world_status(&w, 0).end_offset;
    struct pair p = {.world = &w};
    world_append_begin(&w, 1, &SMALL, &p.append); /* builds a batch */
    cr_assert_eq(world_until(&w, &p.append.done), true);
    uint8_t *batch = p.append.batch;
    p.append.done = false;
    p.append.append = (struct log_append){
        .batch = p.append.append.batch, .as_leader = true, .waited = true, .done = pair_told};
    p.control =
        (struct log_control){.kind = LOG_TRUNCATE, .offset = kept, .done = pair_control_done};
    cr_assert(world_do(&w, 0, give_pair, &p));
    cr_assert(world_until(&w, &p.append.done) && world_until(&w, &p.control_done));
    cr_assert_eq(p.durable_at_append, kept, "durable up to %lld, the log ends at %lld",
                 (long long)p.durable_at_append, (long long)kept);
    cr_assert_eq(world_status(&w, 0).durable_offset, kept);
    world_fill(&w, 0, &SMALL, 1);
    struct log_status s = world_status(&w, 0);
    cr_assert_eq(s.durable_offset, s.end_offset);
    free(batch);
    world_close(&w);
}

/* A segment of which the journal has lost the entry lies beside the log; a life that rolls without
 * ever looking at older segments must not take it in. */
Test(control, leftover_segment_files_never_join_the_log)
{
    struct world w;
    world_open(&w, 7);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 5);
    world_kill(&w);
    /* As a lost roll leaves it: a file between two segments, with batches that look right. */
    struct disk *d = sim_node_disk(w.node);
    struct disk_inode *from = disk_find(d, "data/topics/t0-0/00000000000000000000.log"), *to;
    cr_assert_not_null(from);
    cr_assert_eq(disk_open(d, &to, "data/topics/t0-0/00000000000000000020.log", DISK_OPEN_CREATE),
                 0);
    disk_close(d, to);
    struct disk_inode *directory;
    cr_assert_eq(disk_open(d, &directory, "data/topics/t0-0", DISK_OPEN_DIRECTORY), 0);
    cr_assert_eq(disk_end(d, disk_sync_begin(d, directory)), 0);
    disk_close(d, directory);
    for (unsigned life = 0; life < 3; life++) {
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 10);
        world_stop(&w);
    }
    world_started(&w, 1);
    struct log_read r = {
        .offset = 20, .limit_offset = 24, .bytes_max = 1 << 20, .first_whole = true};
    cr_assert_eq(world_read(&w, 0, &r, NULL), 0);
    cr_assert_eq(r.next_offset, 24);
    cr_assert_eq(world_check(&w, 0), 35);
    world_close(&w);
}

/* What is cut off in the journal alone: blocks below the cut that were never written are kept. */
Test(control, truncation_of_what_only_the_journal_holds)
{
    struct world w;
    world_open(&w, 8);
    w.options.write_behind_bytes = 64 << 10; /* nothing is written before the kill */
    world_started(&w, 1);
    world_fill(&w, 0, &SMALL, 40); /* 25 KiB */
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, base_of(&w, 0, 30)), 0);
    world_kill(&w);
    for (unsigned life = 0; life < 3; life++) {
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), 30 + life);
        world_fill(&w, 0, &SMALL, 1);
        world_power_cut(&w);
    }
    world_close(&w);
}

/* --- the start ------------------------------------------------------------------------------- */

Test(control, records_below_the_start_are_gone_and_their_segments_too)
{
    for (enum end how = END_STOP; how < ENDS; how++) {
        struct world w;
        world_open(&w, 20 + how);
        world_started(&w, 1);
        world_fill(&w, 0, &LARGE, 40);
        world_wait_ms(&w, 3000);
        unsigned before = world_count_files(&w, "topics/t0-0/");
        cr_assert_eq(world_control(&w, 0, LOG_START, base_of(&w, 0, 20) + 1), 0);
        cr_assert_eq(world_check(&w, 0), 20); /* the batch that holds the start is there */
        world_wait_ms(&w, 3000);
        unsigned after = world_count_files(&w, "topics/t0-0/");
        cr_assert_lt(after + 8, before, "%u files before, %u after", before, after);
        cr_assert_eq(world_control(&w, 0, LOG_START, 3), 0); /* below: nothing moves */
        struct log_read r = {.offset = 3, .limit_offset = 90, .bytes_max = 1000};
        cr_assert_eq(world_read(&w, 0, &r, NULL), ERR_OFFSET_OUT_OF_RANGE);
        end(&w, how);
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), 20);
        int64_t all = world_status(&w, 0).end_offset;
        cr_assert_eq(world_control(&w, 0, LOG_START, all + 1), ERR_OFFSET_OUT_OF_RANGE);
        cr_assert_eq(world_control(&w, 0, LOG_START, all), 0);
        cr_assert_eq(world_check(&w, 0), 0);
        end(&w, how);
        world_started(&w, 1);
        cr_assert_eq(world_status(&w, 0).start_offset, all);
        cr_assert_eq(world_status(&w, 0).end_offset, all);
        world_fill(&w, 0, &SMALL, 2);
        cr_assert_eq(world_check(&w, 0), 2);
        world_close(&w);
    }
}

/* Right after a start, before anybody has looked into the directory: files below the new start stay
 * until a durable mark covers it. */
struct start_and_read {
    struct world *world;
    struct log_control control;
    struct log_read read;
    bool started, read_done;
};

static void start_settled(struct log_control *c, int error)
{
    container_of(c, struct start_and_read, control)->started = true;
}

static void start_read(struct log_read *r, int error)
{
    struct start_and_read *x = container_of(r, struct start_and_read, read);
    for (uint32_t i = 0; i < r->slice_count; i++) {
        slice_release(&r->slices[i]);
    }
    x->read_done = true;
}

static void start_then_read(void *argument)
{
    struct start_and_read *x = argument;
    log_control(x->world->slots[0].log, &x->control);
    int verdict = log_read(x->world->slots[0].log, &x->read);
    assert(verdict >= 0);
    if (verdict == 1) {
        start_read(&x->read, 0);
    }
}

Test(control, a_start_that_is_not_durable_deletes_nothing)
{
    struct world w;
    world_open(&w, 30);
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 40);
    world_stop(&w);
    world_started(&w, 1);
    world_log(&w, 0);
    unsigned before = world_count_files(&w, "topics/t0-0/");
    int64_t start = base_of(&w, 0, 30);
    struct start_and_read x = {
        .world = &w,
        .control = {.kind = LOG_START, .offset = start, .done = start_settled},
        .read = {.offset = start, .limit_offset = start + 4, .bytes_max = 9000, .done = start_read},
    };
    cr_assert(world_do(&w, 0, start_then_read, &x));
    cr_assert(!x.started);
    cr_assert_eq(world_count_files(&w, "topics/t0-0/"), before);
    world_power_cut(&w); /* the entry's write was submitted: it may be there or not */
    world_started(&w, 1);
    w.slots[0].start = world_status(&w, 0).start_offset;
    cr_assert(w.slots[0].start == 0 || w.slots[0].start == start);
    cr_assert_eq(world_check(&w, 0), w.slots[0].start == 0 ? 40 : 10);
    world_close(&w);
}

/* --- removal -------------------------------------------------------------------------------- */

Test(control, a_removed_log_is_gone_and_its_name_is_free)
{
    for (enum end how = END_STOP; how < ENDS; how++) {
        struct world w;
        world_open(&w, 40 + how);
        world_started(&w, 1);
        for (unsigned round = 0; round < 4; round++) {
            world_fill(&w, 0, &LARGE, 20);
            world_fill(&w, 1, &SMALL, 5);
            cr_assert_eq(world_control(&w, 0, LOG_REMOVE, 0), 0);
            w.slots[0].id.bytes[3]++; /* a new topic of the same name */
            world_fill(&w, 0, &SMALL, 3);
            cr_assert_eq(world_check(&w, 0), 3);
            end(&w, how);
            world_started(&w, 1);
            cr_assert_eq(world_check(&w, 0), 3);
            cr_assert_eq(world_check(&w, 1), (round + 1) * 5);
            cr_assert_eq(world_control(&w, 0, LOG_REMOVE, 0), 0);
            end(&w, how);
            w.slots[0].unknown = true; /* the metadata forgot it first */
            world_started(&w, 1);
            w.slots[0].unknown = false;
            w.slots[0].id.bytes[3]++;
            cr_assert_eq(world_status(&w, 0).end_offset, 0);
        }
        world_wait_ms(&w, 2000);
        cr_assert_eq(world_count_files(&w, "trash/"), 0, "trash is not emptied");
        world_close(&w);
    }
}

static void remove_unopened(void *argument)
{
    log_set_remove_unopened(world_set(argument, 0));
}

/* A checkpoint that is captured while a log goes may still have it, without what removed it; a crash may bring the
 * directory back. The log goes then, and not the directory that has its name by then. */
Test(control, a_topic_that_is_made_again_keeps_its_directory)
{
    static struct world_append appends[40];
    for (unsigned i = 0; i < 200; i++) {
        struct world w;
        world_open(&w, 4000 + i);
        snprintf(w.slots[2].topic, sizeof w.slots[2].topic, "%s", w.slots[0].topic);
        world_started(&w, 1);
        world_fill(&w, 2, &LARGE, 3);
        if (i & 1) {
            world_stop(&w);
            world_started(&w, 1);
            world_log(&w, 2);
        }
        unsigned count = i % 40;
        for (unsigned k = 0; k < count; k++) {
            world_append_begin(&w, 1, &LARGE, &appends[k]);
        }
        cr_assert_eq(world_control(&w, 2, LOG_REMOVE, 0), 0);
        w.slots[2].doubtful = true;
        world_fill(&w, 0, &SMALL, 5);
        for (unsigned k = 0; k < count; k++) {
            world_append_end(&appends[k]);
        }
        world_power_cut(&w);
        world_started(&w, 1);
        cr_assert_eq(world_check(&w, 0), 5);
        cr_assert(world_do(&w, 0, remove_unopened, &w));
        world_wait_ms(&w, 1000);
        cr_assert_eq(world_count_files(&w, "topics/t0-0/partition"), 1, "seed %u", 4000 + i);
        world_close(&w);
    }
}

/* Several things given to a log in one turn, of which the last removes it. */
struct last_words {
    struct world *world;
    struct log_control start, truncate, remove;
    struct log_find_time find;
    unsigned answers;
    bool removed;
};

static void words_started(struct log_control *c, int error)
{
    container_of(c, struct last_words, start)->answers++;
}

static void words_truncated(struct log_control *c, int error)
{
    container_of(c, struct last_words, truncate)->answers++;
}

static void words_removed(struct log_control *c, int error)
{
    assert(error == 0);
    container_of(c, struct last_words, remove)->removed = true;
}

static void words_found(struct log_find_time *f, int error)
{
    container_of(f, struct last_words, find)->answers++;
}

static void say_last_words(void *argument)
{
    struct last_words *l = argument;
    struct log *log = l->world->slots[0].log;
    log_find_time(log, &l->find);
    log_control(log, &l->truncate);
    log_control(log, &l->start);
    log_control(log, &l->remove);
}

static void end_of_a_log(enum log_durability durability)
{
    struct world w;
    world_open(&w, 50);
    w.slots[0].config.durability = durability;
    world_started(&w, 1);
    world_fill(&w, 0, &LARGE, 20);
    struct last_words l = {
        .world = &w,
        .truncate = {.kind = LOG_TRUNCATE, .offset = 70, .done = words_truncated},
        .start = {.kind = LOG_START, .offset = 10, .done = words_started},
        .remove = {.kind = LOG_REMOVE, .done = words_removed},
        .find = {.timestamp = 1, .done = words_found},
    };
    cr_assert(world_do(&w, 0, say_last_words, &l));
    cr_assert(world_until(&w, &l.removed), "%s", sim_node_last_line(w.node));
    world_wait_ms(&w, 2000);
    cr_assert_eq(l.answers, 3);
    cr_assert_eq(world_count_files(&w, "topics/"), 0);
    cr_assert(world_runs(&w));
    world_close(&w);
}

Test(control, what_was_asked_of_a_durable_log_before_its_end_is_answered)
{
    end_of_a_log(LOG_FSYNC);
}

Test(control, what_was_asked_of_a_memory_log_before_its_end_is_answered)
{
    end_of_a_log(LOG_MEMORY);
}
