/* SPDX-License-Identifier: Apache-2.0 */

/* The tables of docs/formats/vote.md and docs/formats/meta-properties.md, byte by byte; every torn
 * and rotten state of the vote's two copies. */
#include "meta/identity.h"

#include "base/crc32c.h"
#include "base/prng.h"

#include <stdio.h>

#include <criterion/criterion.h>

static struct uuid numbered(uint8_t first)
{
    struct uuid id;
    for (int i = 0; i < 16; i++) {
        id.bytes[i] = (uint8_t)(first + i);
    }
    return id;
}

static struct vote vote_with(uint64_t sequence, int32_t epoch)
{
    return (struct vote){
        .sequence = sequence,
        .cluster_id = numbered(0x10),
        .directory_id = numbered(0x40),
        .epoch = epoch,
        .voted_id = 1,
        .voted_directory_id = numbered(0x40),
        .founded = true,
    };
}

Test(identity, uuid_text_and_back)
{
    struct prng r = prng_of(1);
    for (int i = 0; i < 1000; i++) {
        struct uuid id, back;
        char text[UUID_TEXT_SIZE];
        prng_fill(&r, id.bytes, sizeof id.bytes);
        uuid_text(id, text);
        cr_assert_eq(uuid_parse(&back, bytes_of_string(text)), 0, "%s", text);
        cr_assert(uuid_equal(id, back), "%s", text);
    }
    struct uuid id;
    cr_assert_eq(uuid_parse(&id, bytes_of_string("")), ERR_MALFORMED);
    cr_assert_eq(uuid_parse(&id, bytes_of_string("AAAAAAAAAAAAAAAAAAAAA")), ERR_MALFORMED);
    cr_assert_eq(uuid_parse(&id, bytes_of_string("AAAAAAAAAAAAAAAAAAAAAAA")), ERR_MALFORMED);
    cr_assert_eq(uuid_parse(&id, bytes_of_string("AAAAAAAAAAAAAAAAAAAA+A")), ERR_MALFORMED);
    cr_assert_eq(uuid_parse(&id, bytes_of_string("AAAAAAAAAAAAAAAAAAAAAB")), ERR_MALFORMED,
                 "bits behind the last byte");
    cr_assert_eq(uuid_parse(&id, bytes_of_string("AAAAAAAAAAAAAAAAAAAAAQ")), 0);
    cr_assert_eq(id.bytes[15], 1, "the id of the metadata log as Kafka prints it");
}

Test(identity, golden_properties)
{
    struct identity id = {numbered(0), numbered(16), 7}, back;
    char text[IDENTITY_SIZE_MAX];
    size_t size = identity_encode(&id, text);
    const char *lines = "version=1\n"
                        "cluster.id=AAECAwQFBgcICQoLDA0ODw\n"
                        "directory.id=EBESExQVFhcYGRobHB0eHw\n"
                        "node.id=7\n";
    char expected[IDENTITY_SIZE_MAX];
    snprintf(expected, sizeof expected, "%schecksum=%08x\n", lines,
             (unsigned)crc32c(0, lines, strlen(lines)));
    cr_assert_eq(size, strlen(expected));
    cr_assert_arr_eq(text, expected, size);
    cr_assert_eq(identity_decode(&back, bytes_of(text, size)), 0);
    cr_assert(uuid_equal(back.cluster_id, id.cluster_id));
    cr_assert(uuid_equal(back.directory_id, id.directory_id));
    cr_assert_eq(back.node_id, 7);
}

Test(identity, a_directory_that_waits_is_of_another_version)
{
    struct identity id = {.directory_id = numbered(16), .node_id = 7}, back;
    char text[IDENTITY_SIZE_MAX], expected[IDENTITY_SIZE_MAX];
    size_t size = identity_encode(&id, text);
    const char *lines = "version=2\n"
                        "cluster.id=AAAAAAAAAAAAAAAAAAAAAA\n"
                        "directory.id=EBESExQVFhcYGRobHB0eHw\n"
                        "node.id=7\n";
    snprintf(expected, sizeof expected, "%schecksum=%08x\n", lines,
             (unsigned)crc32c(0, lines, strlen(lines)));
    cr_assert_eq(size, strlen(expected));
    cr_assert_arr_eq(text, expected, size);
    cr_assert_eq(identity_decode(&back, bytes_of(text, size)), ERR_UNSUPPORTED_VERSION,
                 "who asks for a member does not get zero for a cluster");
    cr_assert_eq(identity_decode_any(&back, bytes_of(text, size)), 0);
    cr_assert(uuid_is_zero(back.cluster_id));
    cr_assert(uuid_equal(back.directory_id, id.directory_id));
}

Test(identity, version_and_cluster_must_fit)
{
    static const char *const wrong[] = {
        "version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\ndirectory.id=EBESExQVFhcYGRobHB0eHw\n",
        "version=2\ncluster.id=AAECAwQFBgcICQoLDA0ODw\ndirectory.id=EBESExQVFhcYGRobHB0eHw\n",
        "version=1\ncluster.id=AAECAwQFBgcICQoLDA0ODw\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAA\n",
    };
    for (size_t i = 0; i < array_size(wrong); i++) {
        char lines[IDENTITY_SIZE_MAX], text[IDENTITY_SIZE_MAX + 32];
        struct identity back;
        int size = snprintf(lines, sizeof lines, "%snode.id=7\n", wrong[i]);
        snprintf(text, sizeof text, "%schecksum=%08x\n", lines,
                 (unsigned)crc32c(0, lines, (size_t)size));
        cr_assert_eq(identity_decode_any(&back, bytes_of_string(text)), ERR_MALFORMED, "%zu", i);
    }
}

Test(identity, every_changed_byte_of_the_properties_is_seen)
{
    struct identity id = {numbered(0), numbered(16), 7}, back;
    char text[IDENTITY_SIZE_MAX];
    size_t size = identity_encode(&id, text);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            cr_assert_neq(identity_decode_any(&back, bytes_of(text, size)), 0, "byte %zu bit %d", i,
                          bit);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    }
    for (size_t cut = 0; cut < size; cut++) {
        cr_assert_neq(identity_decode(&back, bytes_of(text, cut)), 0, "cut at %zu", cut);
    }
    cr_assert_eq(identity_decode(&back, bytes_of(text, size)), 0);
}

Test(identity, golden_vote)
{
    struct vote v = vote_with(0x0102030405060708, 0x0a0b0c0d), back;
    uint8_t slot[VOTE_SLOT_SIZE], expected[VOTE_SLOT_SIZE] = {0};
    static const uint8_t start[] = {'L', 'V', 'T', '1'};
    static const uint8_t sequence[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t epoch[] = {0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 1};
    memcpy(expected, start, 4);
    memcpy(expected + 8, sequence, 8);
    memcpy(expected + 16, numbered(0x10).bytes, 16);
    memcpy(expected + 32, numbered(0x40).bytes, 16);
    memcpy(expected + 48, epoch, 8);
    memcpy(expected + 56, numbered(0x40).bytes, 16);
    expected[72] = 1;
    put_be32(expected + 4, crc32c(0, expected + 8, VOTE_SLOT_SIZE - 8));
    vote_encode(&v, slot);
    cr_assert_arr_eq(slot, expected, VOTE_SLOT_SIZE);
    cr_assert_eq(vote_decode(&back, slot), 0);
    cr_assert_eq(back.sequence, v.sequence);
    cr_assert_eq(back.epoch, v.epoch);
    cr_assert_eq(back.voted_id, 1);
    cr_assert(back.founded);
    cr_assert(uuid_equal(back.cluster_id, v.cluster_id));
    cr_assert(uuid_equal(back.directory_id, v.directory_id));
    cr_assert(uuid_equal(back.voted_directory_id, v.voted_directory_id));
}

Test(identity, every_changed_byte_of_a_vote_is_seen)
{
    struct vote v = vote_with(3, 4), back;
    uint8_t slot[VOTE_SLOT_SIZE];
    vote_encode(&v, slot);
    for (size_t i = 0; i < VOTE_SLOT_SIZE; i++) {
        slot[i] ^= 0x20;
        cr_assert_eq(vote_decode(&back, slot), ERR_MALFORMED, "byte %zu", i);
        slot[i] ^= 0x20;
    }
}

/* A vote counts when both copies hold it. The writer of the next one is stopped after any number of
 * bytes of either copy, and then any one copy rots: what was told before is never forgotten. */
Test(identity, torn_copies_never_lose_a_vote_that_was_told)
{
    for (int first = 0; first < 2; first++) {
        for (int copies = 0; copies < 2; copies++) {
            for (size_t torn = 0; torn <= VOTE_SLOT_SIZE; torn += 64) {
                uint8_t file[VOTE_FILE_SIZE], next[VOTE_SLOT_SIZE];
                struct vote told = vote_with(8, 4), newer = vote_with(9, 5), got;
                int write_first = -1;
                vote_encode(&told, file);
                memcpy(file + VOTE_SLOT_SIZE, file, VOTE_SLOT_SIZE);
                vote_encode(&newer, next);
                if (copies == 1) {
                    memcpy(file + first * VOTE_SLOT_SIZE, next, VOTE_SLOT_SIZE);
                }
                int tearing = copies == 1 ? 1 - first : first;
                memcpy(file + tearing * VOTE_SLOT_SIZE, next, torn);
                cr_assert_eq(vote_choose(&got, &write_first, bytes_of(file, sizeof file)), 0);
                cr_assert_geq(got.epoch, 4);
                cr_assert_eq(got.sequence, 4 + (uint64_t)got.epoch);
                struct vote kept;
                cr_assert_eq(vote_decode(&kept, file + (1 - write_first) * VOTE_SLOT_SIZE), 0,
                             "the copy that stays must be the one that counts");
                cr_assert_eq(kept.sequence, got.sequence);
            }
        }
    }
}

Test(identity, one_rotten_copy_is_enough_and_two_are_too_many)
{
    uint8_t file[VOTE_FILE_SIZE];
    struct vote told = vote_with(8, 4), got;
    int write_first;
    for (int rotten = 0; rotten < 4; rotten++) {
        vote_encode(&told, file);
        memcpy(file + VOTE_SLOT_SIZE, file, VOTE_SLOT_SIZE);
        for (int i = 0; i < 2; i++) {
            file[i * VOTE_SLOT_SIZE + 50] ^= (uint8_t)(rotten >> i & 1);
        }
        int error = vote_choose(&got, &write_first, bytes_of(file, sizeof file));
        cr_assert_eq(error, rotten == 3 ? ERR_MALFORMED : 0);
        if (rotten == 1 || rotten == 2) {
            cr_assert_eq(write_first, rotten - 1, "the rotten copy is written first");
        }
        if (!error) {
            cr_assert_eq(got.epoch, 4);
        }
    }
    cr_assert_eq(vote_choose(&got, &write_first, bytes_of(file, VOTE_SLOT_SIZE)), ERR_MALFORMED);
    cr_assert_eq(vote_choose(&got, &write_first, bytes_of(file, 0)), ERR_MALFORMED);
    struct vote stranger = told;
    vote_encode(&told, file);
    stranger.directory_id = numbered(0x60);
    vote_encode(&stranger, file + VOTE_SLOT_SIZE);
    cr_assert_eq(vote_choose(&got, &write_first, bytes_of(file, sizeof file)), ERR_MALFORMED,
                 "two directories in one file");
}
