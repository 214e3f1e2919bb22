/* SPDX-License-Identifier: Apache-2.0 */

/* One partition of "moving" is on its way from brokers 1, 2 to 3, 2; any other may be sent anywhere below 4; what
 * is called off must move. Elections: partition 0 needs none, 1 gets its leader, others have no replica. */
#include "fake_private.h"

static int32_t all[] = {3, 2, 1}, comes[] = {3}, goes[] = {1};

bool fake_moves_key(int16_t key)
{
    return key == WIRE_ALTER_PARTITION_REASSIGNMENTS || key == WIRE_ELECT_LEADERS ||
           key == WIRE_LIST_PARTITION_REASSIGNMENTS;
}

static int answer_list(struct reader *r, int version, struct wire_writer *w, struct arena *arena)
{
    struct list_partition_reassignments_request in;
    struct list_partition_reassignments_response out;
    struct list_partition_reassignments_response_partitions parts[] = {
        {7, all, 3, comes, 1, goes, 1}, {2, all, 3, comes, 1, goes, 1}};
    struct list_partition_reassignments_response_topics topics[] = {
        {wire_string_of("moving"), parts, 2}, {wire_string_of("a"), parts, 1}};
    int error = list_partition_reassignments_request_decode(&in, r, version, arena);
    list_partition_reassignments_response_init(&out);
    out.topics = topics;
    out.topics_count = 2;
    return error ? error : list_partition_reassignments_response_encode(&out, w, version);
}

static int16_t judge_move(const struct alter_partition_reassignments_request_partitions *p)
{
    if (p->replicas_count < 0) {
        return p->partition_index == 7 ? 0 : 85;
    }
    for (int32_t i = 0; i < p->replicas_count; i++) {
        if (p->replicas[i] > 3) {
            return 39;
        }
    }
    return 0;
}

static int answer_move(struct reader *r, int version, struct wire_writer *w, struct arena *arena)
{
    struct alter_partition_reassignments_request in;
    struct alter_partition_reassignments_response out;
    int error = alter_partition_reassignments_request_decode(&in, r, version, arena);
    if (error || in.topics_count != 1 || in.topics[0].partitions_count != 1) {
        return ERR_MALFORMED;
    }
    int16_t code = judge_move(in.topics[0].partitions);
    struct alter_partition_reassignments_response_partitions p = {
        in.topics[0].partitions[0].partition_index, code,
        code ? wire_string_of("as the broker says it") : wire_string_null()};
    struct alter_partition_reassignments_response_responses t = {in.topics[0].name, &p, 1};
    alter_partition_reassignments_response_init(&out);
    out.error_message = wire_string_null();
    out.responses = &t;
    out.responses_count = 1;
    return alter_partition_reassignments_response_encode(&out, w, version);
}

static int answer_election(struct reader *r, int version, struct wire_writer *w,
                           struct arena *arena)
{
    struct elect_leaders_request in;
    struct elect_leaders_response out;
    int error = elect_leaders_request_decode(&in, r, version, arena);
    if (error || in.topic_partitions_count != 1 || in.topic_partitions[0].partitions_count != 1) {
        return ERR_MALFORMED;
    }
    int32_t number = in.topic_partitions[0].partitions[0];
    struct elect_leaders_response_partition_result p = {number,
                                                        number == 0        ? 84
                                                        : number == 1      ? 0
                                                        : in.election_type ? 83
                                                                           : 80,
                                                        wire_string_null()};
    struct elect_leaders_response_replica_election_results t = {in.topic_partitions[0].topic, &p,
                                                                1};
    elect_leaders_response_init(&out);
    out.replica_election_results = &t;
    out.replica_election_results_count = 1;
    return elect_leaders_response_encode(&out, w, version);
}

int fake_moves_answer(int16_t key, struct reader *r, int version, struct wire_writer *w,
                      struct arena *arena)
{
    if (key == WIRE_LIST_PARTITION_REASSIGNMENTS) {
        return answer_list(r, version, w, arena);
    }
    return key == WIRE_ELECT_LEADERS ? answer_election(r, version, w, arena)
                                     : answer_move(r, version, w, arena);
}
