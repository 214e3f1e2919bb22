/* SPDX-License-Identifier: Apache-2.0 */

/* A follower's fetch, as the leader's core is told of it. A partition of which 0 bytes are asked only tells what the
 * follower has durably, and is answered at once. */
#include "api/fetch.h"

static void follow_init(const struct fetch *f, struct fetch_part *part)
{
    const struct fetch_request_partitions *asked = part->asked;
    part->follow = (struct leading_fetch){
        .node = f->follower,
        .broker_epoch = f->follower_epoch,
        .epoch = asked->current_leader_epoch,
        .offset = asked->fetch_offset,
        .last_epoch = asked->last_fetched_epoch,
        .counted = asked->durable_end_offset,
        .high_watermark = asked->high_watermark,
        .log_start = asked->log_start_offset,
        .records = asked->partition_max_bytes > 0,
    };
}

void fetch_follow(struct fetch *f, struct fetch_part *part, struct partition *p)
{
    struct leading_answer answer;
    if (part->told) {
        partition_review(p, &part->follow, &answer);
    } else {
        part->told = true;
        follow_init(f, part);
        partition_fetch(p, &part->follow, &answer);
    }
    part->error = answer.error;
    part->diverges = !answer.error && answer.diverges;
    part->diverging_epoch = answer.diverging.epoch;
    part->diverging_end = answer.diverging.offset;
    part->high_watermark = answer.high_watermark;
    part->log_start =
        answer.error == ERR_OFFSET_OUT_OF_RANGE || !answer.error ? answer.log_start : -1;
    part->held = !answer.error && log_compacts(partition_log(p)) ? answer.held : -1;
    part->answers = !answer.waits;
}
