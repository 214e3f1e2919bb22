/* SPDX-License-Identifier: Apache-2.0 */

/* What other members of a group say: their subscriptions as the leader reads and weighs them, and
 * an assignment as a member reads it.
 *
 *     SIZE  MEANING
 *        1  strategy
 *        ..  members: two bytes of size, then a subscription; the last one is an assignment */
#include "base/errors.h"
#include "consumer/group/protocol.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBERS_MAX = 16 };

static void check_owners(const struct assign *a, enum strategy strategy)
{
    for (size_t t = 0; t < a->topic_count; t++) {
        for (int32_t p = 0; p < a->topics[t].partitions; p++) {
            int32_t owner = a->owner[a->topics[t].first + p];
            assert(owner >= -1 && owner < (int32_t)a->member_count);
            assert(owner >= 0 || strategy == STRATEGY_COOPERATIVE);
            assert(owner < 0 || assign_subscribes(&a->members[owner], (int32_t)t));
        }
    }
}

static void check_assignment(struct wire_bytes blob, struct arena *arena)
{
    struct named_partition *parts;
    size_t count;
    int error = assignment_read(blob, &parts, &count, arena);
    assert(error == 0 || error == ERR_MALFORMED || error == ERR_NO_MEMORY);
    for (size_t i = 0; !error && i < count; i++) {
        assert(parts[i].partition >= 0);
        assert(i == 0 || named_partition_compare(&parts[i - 1], &parts[i]) < 0);
    }
}

static void lead(struct join_group_response *join, enum strategy strategy, struct arena *arena)
{
    struct roster roster;
    struct assign a;
    int error = roster_read(&roster, join, strategy, arena);
    for (size_t t = 0; !error && t < roster.topic_count; t++) {
        roster.partitions[t] = (uint8_t)roster.topics[t][0] % 7;
    }
    if (error || roster_assign(&roster, strategy, &a)) {
        return;
    }
    check_owners(&a, strategy);
    for (size_t m = 0; m < a.member_count; m++) {
        struct wire_writer w;
        wire_writer_init(&w, arena->memory, 1 << 24);
        if (assignment_write(&a, m, &w, arena) == 0) {
            check_assignment((struct wire_bytes){w.data, (int32_t)w.size}, arena);
        }
        wire_writer_deinit(&w);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory;
    struct arena arena;
    struct join_group_response join;
    struct join_group_response_members members[MEMBERS_MAX];
    char ids[MEMBERS_MAX][16];
    struct reader r = reader_of(data, size);
    enum strategy strategy = (enum strategy)(reader_u8(&r) % STRATEGY_COUNT);
    memory_init(&memory, 256 << 20);
    arena_init(&arena, &memory, 64 << 20);
    join_group_response_init(&join);
    join.members = members;
    struct wire_bytes blob = {NULL, 0};
    while (join.members_count < MEMBERS_MAX && reader_left(&r) >= 2) {
        size_t wanted = reader_be16(&r), left = reader_left(&r);
        wanted = wanted < left ? wanted : left;
        blob = (struct wire_bytes){reader_take(&r, wanted), (int32_t)wanted};
        int32_t m = join.members_count++;
        join_group_response_members_init(&members[m]);
        snprintf(ids[m], sizeof ids[m], "m%d", (int)m);
        members[m].member_id = wire_string_of(ids[m]);
        members[m].metadata = blob;
    }
    if (join.members_count > 0) {
        join.members_count--;
        check_assignment(blob, &arena);
    }
    lead(&join, strategy, &arena);
    arena_deinit(&arena);
    assert(memory.used_bytes == 0);
    memory_drop(&memory);
    return 0;
}
