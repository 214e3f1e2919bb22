/* SPDX-License-Identifier: Apache-2.0 */

/* Data directories that no leatd has written: what simulated nodes have left on their disks, copied to a real
 * one and looked at there. */
#include "offline/offline.h"
#include "unit/log/world.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct batch_spec SPEC = {.records = 2, .value_bytes = 2500};

/* --- a copy of a disk ----------------------------------------------------------------------- */

struct copying {
    struct disk *disk;
    const char *directory;
};

static void copy_file(void *context, const char *path, struct disk_inode *inode)
{
    const struct copying *c = context;
    char to[400];
    path += path[0] == '/';
    snprintf(to, sizeof to, "%s/%s", c->directory, path + strlen("data/"));
    for (char *slash = to + strlen(c->directory) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(to, 0700);
        *slash = '/';
    }
    FILE *f = fopen(to, "w");
    cr_assert_not_null(f, "%s", to);
    uint64_t size = disk_size(inode);
    for (uint64_t at = 0; at < size; at += DISK_BLOCK_SIZE) {
        uint8_t block[DISK_BLOCK_SIZE];
        disk_peek(c->disk, inode, (uint32_t)(at / DISK_BLOCK_SIZE), block);
        size_t part = size - at < sizeof block ? (size_t)(size - at) : sizeof block;
        cr_assert_eq(fwrite(block, 1, part, f), part);
    }
    fclose(f);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *walk)
{
    (void)s, (void)kind, (void)walk;
    return remove(path);
}

struct seen {
    unsigned damages; /* of the logs: what else a data directory has is not there */
    char last[600];
    unsigned gaps; /* segments and entries that are told to have some */
    bool wrong;
};

static void found(void *context, const struct offline_finding *f)
{
    struct seen *s = context;
    bool ours = strncmp(f->file, "topics/", 7) == 0 || strncmp(f->file, "journal-", 8) == 0;
    if (ours && f->severity == OFFLINE_DAMAGE) {
        s->damages++;
        snprintf(s->last, sizeof s->last, "%s at %lld: %s", f->file, (long long)f->position,
                 f->what);
    }
}

static void shown(void *context, const char *what, const struct offline_field *fields, size_t count)
{
    struct seen *s = context;
    (void)what;
    for (size_t i = 0; i < count; i++) {
        bool gap = strcmp(fields[i].name, "gaps") == 0 || strcmp(fields[i].name, "gap") == 0;
        s->gaps += gap && fields[i].number;
        s->wrong = s->wrong || strcmp(fields[i].name, "wrong") == 0;
    }
}

/* What `leat log verify` and `leat log dump` say of the node's disk, which is not running. */
static struct seen look(struct world *w)
{
    char directory[] = "/tmp/leat-offline-XXXXXX", path[200], why[OFFLINE_WHY_SIZE];
    cr_assert_not_null(mkdtemp(directory));
    struct copying c = {sim_node_disk(w->node), directory};
    disk_each(c.disk, copy_file, &c);
    struct seen s = {0};
    struct offline_verify v = {.directory = directory, .found = found, .watch.context = &s};
    struct offline_counts counts = {0};
    cr_assert_eq(offline_verify(&v, &counts, why), 0, "%s", why);
    static const char *const dumped[] = {"journal-0/checkpoint-0", "journal-0/durable-0000",
                                         "topics/t0-0/00000000000000000000.log"};
    for (unsigned i = 0; i < array_size(dumped); i++) {
        snprintf(path, sizeof path, "%s/%s", directory, dumped[i]);
        struct offline_dump d = {.path = path, .item = shown, .item_context = &s};
        if (access(path, F_OK) == 0) {
            cr_assert_eq(offline_dump(&d, why), 0, "%s", why);
        }
    }
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return s;
}

static void expect_sound(struct world *w, const char *what)
{
    struct seen s = look(w);
    cr_assert_eq(s.damages, 0, "%s: %s", what, s.last);
    cr_assert_not(s.wrong, "%s", what);
}

static void follow(struct world *w, unsigned count, int64_t base, int64_t gap)
{
    struct log_follow f = {
        .batches = world_batches(w, &SPEC, count, base, gap, 1), .leader_epoch = 1, .gaps = true};
    cr_assert_eq(world_follow(w, 0, &f), 0);
    free((void *)f.batches.data);
}

/* --- gaps ----------------------------------------------------------------------------------- */

Test(offline, a_log_with_gaps_is_sound)
{
    struct world w;
    world_open(&w, 40);
    world_started(&w, 1);
    follow(&w, 1, 9, 0);
    follow(&w, 40, 11, 5);
    world_kill(&w);
    expect_sound(&w, "gaps in the journal");
    cr_assert_gt(look(&w).gaps, 30);
    world_started(&w, 1);
    world_stop(&w);
    expect_sound(&w, "gaps in segments");
    cr_assert_eq(look(&w).gaps, 4, "each of the segments");
    world_started(&w, 1);
    int64_t end = world_status(&w, 0).end_offset;
    follow(&w, 1, end + 30, 0);
    cr_assert_eq(world_control(&w, 0, LOG_TRUNCATE, end + 20), 0);
    world_kill(&w);
    expect_sound(&w, "truncated into a gap, by the journal");
    world_started(&w, 1);
    world_stop(&w);
    expect_sound(&w, "truncated into a gap");
    world_close(&w);
}

/* The same jump of offsets, where nobody has announced one; and a batch that goes back where there are gaps. */
Test(offline, other_gaps_are_damage)
{
    for (unsigned gaps = 0; gaps < 2; gaps++) {
        struct world w;
        world_open(&w, 41);
        world_started(&w, 1);
        follow(&w, 40, 0, gaps);
        world_stop(&w);
        expect_sound(&w, "as it was written");
        struct bytes first = world_batches(&w, &SPEC, 1, 0, 0, 1);
        /* Bit 1 of offset 2 or 3: away from it, or back to 0 or 1. */
        world_flip(&w, "topics/t0-0/00000000000000000000.log", first.size + 7, gaps ? 1 : 6);
        free((void *)first.data);
        struct seen s = look(&w);
        cr_assert_gt(s.damages, 0, "gaps %u", gaps);
        cr_assert(strstr(s.last, "topics/t0-0/") != NULL, "%s", s.last);
        world_close(&w);
    }
}

/* --- a log that begins anew ------------------------------------------------------------------ */

Test(offline, a_log_that_begins_anew_is_sound)
{
    struct world w;
    world_open(&w, 42);
    world_started(&w, 1);
    follow(&w, 40, 0, 1);
    world_stop(&w);
    world_started(&w, 1);
    cr_assert_eq(world_anew(&w, 0, 12, -1), 0);
    world_kill(&w);
    expect_sound(&w, "nothing behind it");
    world_started(&w, 1);
    follow(&w, 40, 20, 1);
    cr_assert_eq(world_anew(&w, 0, 30, -1), 0);
    follow(&w, 3, 30, 0);
    world_kill(&w);
    expect_sound(&w, "batches behind it");
    world_started(&w, 1);
    world_stop(&w);
    expect_sound(&w, "checkpointed");
    world_close(&w);
}
