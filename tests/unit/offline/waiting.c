/* SPDX-License-Identifier: Apache-2.0 */

/* Directories that wait to found or to join a cluster, at each step of it (docs/formats/voters.md). */
#include "meta/identity.h"
#include "meta/voters_file.h"
#include "offline/offline.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static char notes[2000], damages[2000], items[2000];

static const struct uuid own = {{0xd1}}, other = {{0xd2}}, cluster = {{0xc1}}, none;

static void begin(void)
{
    snprintf(directory, sizeof directory, "/tmp/leat-waiting-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    notes[0] = damages[0] = items[0] = 0;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *walk)
{
    return remove(path);
}

static void end(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const void *data, size_t size)
{
    char path[200];
    snprintf(path, sizeof path, "%s/meta", directory);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f, "%s", path);
    cr_assert_eq(fwrite(data, 1, size, f), size);
    fclose(f);
}

static void put_identity(struct uuid cluster_id)
{
    const struct identity id = {cluster_id, own, 1};
    char text[IDENTITY_SIZE_MAX];
    put("meta/meta.properties", text, identity_encode(&id, text));
}

static void put_vote(struct uuid cluster_id)
{
    const struct vote vote = {
        .sequence = 1, .cluster_id = cluster_id, .directory_id = own, .voted_id = -1};
    uint8_t file[VOTE_FILE_SIZE];
    vote_encode(&vote, file);
    vote_encode(&vote, file + VOTE_SLOT_SIZE);
    put("meta/vote", file, sizeof file);
}

static void put_voters(struct uuid directory_id)
{
    const struct voters_file file = {
        cluster,
        directory_id,
        true,
        {1, {{.id = {1, own}, .name = "p", .host = "h", .port = 9092}}}};
    struct memory memory;
    struct wire_writer w;
    memory_init(&memory, 1 << 20);
    wire_writer_init(&w, &memory, VOTERS_FILE_MAX);
    cr_assert_eq(voters_file_encode(&file, &w), 0);
    put("meta/voters", w.data, w.size);
    wire_writer_deinit(&w);
    memory_drop(&memory);
}

static void found(void *context, const struct offline_finding *f)
{
    char *to = f->severity == OFFLINE_DAMAGE ? damages : notes;
    size_t used = strlen(to);
    if (strncmp(f->file, "meta/", 5) == 0) {
        snprintf(to + used, sizeof notes - used, "%s: %s\n", f->file, f->what);
    }
}

static void verify(void)
{
    char why[OFFLINE_WHY_SIZE];
    struct offline_verify v = {.directory = directory, .found = found};
    struct offline_counts counts = {0};
    cr_assert_eq(offline_verify(&v, &counts, why), 0, "%s", why);
}

Test(waiting, every_step_is_sound)
{
    for (int step = 0; step < 4; step++) {
        begin();
        put_vote(step >= 2 ? cluster : none);
        put_identity(step == 3 ? cluster : none);
        if (step >= 1) {
            put_voters(own);
        }
        verify();
        cr_assert_str_eq(damages, "", "step %d", step);
        cr_assert_str_eq(notes,
                         step == 3 ? ""
                                   : "meta/meta.properties: the directory waits to found or "
                                     "to join a cluster\n",
                         "step %d", step);
        end();
    }
}

Test(waiting, a_foreign_decision_is_damage_while_it_counts)
{
    begin();
    put_vote(none);
    put_identity(none);
    put_voters(other);
    verify();
    cr_assert_str_eq(damages, "meta/voters: it belongs to another directory than meta.properties "
                              "says\n");
    put("meta/voters", "LVS1", 4);
    damages[0] = 0;
    verify();
    cr_assert_str_eq(damages, "meta/voters: its checksum or form is wrong\n");
    damages[0] = notes[0] = 0;
    put_vote(cluster);
    put_identity(cluster);
    verify();
    cr_assert_str_eq(damages, "");
    cr_assert_str_eq(notes, "meta/voters: its checksum or form is wrong\n");
    end();
}

static void shown(void *context, const char *what, const struct offline_field *fields, size_t count)
{
    size_t used = strlen(items);
    used += (size_t)snprintf(items + used, sizeof items - used, "%s:", what);
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(items + used, sizeof items - used, " %s", fields[i].name);
    }
    snprintf(items + used, sizeof items - used, "\n");
}

Test(waiting, the_decision_is_shown)
{
    char path[200], why[OFFLINE_WHY_SIZE];
    begin();
    put_voters(own);
    snprintf(path, sizeof path, "%s/meta/voters", directory);
    const struct offline_dump d = {.path = path, .item = shown};
    cr_assert_eq(offline_dump(&d, why), 0, "%s", why);
    cr_assert_not_null(strstr(items, "voters: cluster_id directory_id founded\n"
                                     "voter: node directory_id listener host port\n"),
                       "%s", items);
    put("meta/voters", "LVS1", 4);
    items[0] = 0;
    cr_assert_eq(offline_dump(&d, why), 0, "%s", why);
    cr_assert_not_null(strstr(items, "voters: wrong\n"), "%s", items);
    end();
}
