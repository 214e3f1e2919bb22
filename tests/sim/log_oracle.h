/* SPDX-License-Identifier: Apache-2.0 */

/* log_oracle: what a log may show after a crash.
 *
 * The operations of a log have one order. What recovery shows must be the state after some prefix
 * of them that contains everything told: nothing acknowledged is missing, nothing truncated,
 * removed, foreign or invented is visible, and there is no gap. A `memory` log keeps that promise
 * over kills; after a power cut it may show any gapless piece of what it once held. A follower's batches are
 * where its leader had them, gaps between them included. Pure: no I/O, no world.
 *
 * Compaction is an operation too: from it on a stretch of offsets has so many bytes as it left. Of what is
 * missing there each record must have a later one of its key below the pass's end, or be a tombstone whose
 * horizon has passed and in front of which nothing of its key is left; what is there is what was appended.
 * Each producer's last batch is there, and each epoch's first, with or without records. Outside of such
 * stretches nothing may be missing, so nothing that a told compaction removed comes back. */
#pragma once

#include "base/uuid.h"
#include "log/log.h"

enum { ORACLE_ITEMS_MAX = 2048, ORACLE_SLOTS_MAX = 8, ORACLE_RECORDS_MAX = 4 };

/* One record that has a key. */
struct oracle_record {
    int64_t offset;
    int32_t key;
    uint32_t sum; /* of key, value and time */
    bool tombstone;
};

/* One batch, known by its place and its checksum. */
struct oracle_item {
    int64_t base, last;
    int32_t epoch;
    uint32_t crc;
    int64_t producer; /* -1: none */
    int32_t sequence;
    uint32_t size;
    int64_t horizon; /* of its tombstones: they may be gone from then on, -1: not yet */
    uint32_t record_count;
    struct oracle_record records[ORACLE_RECORDS_MAX];
};

/* What compaction has done to [from, to): so many bytes are left of it. No record at or above
 * key_offset has made an older one superfluous. */
struct oracle_range {
    int64_t from, to, key_offset, now_ms;
    uint32_t size;
};

struct oracle_state {
    int64_t start, end;
    struct oracle_item *items; /* those that reach `start` or beyond, in order */
    uint32_t count, room;
    struct oracle_range *ranges;
    uint32_t range_count, range_room;
};

enum oracle_op_kind {
    ORACLE_APPEND,
    ORACLE_TRUNCATE,
    ORACLE_START,
    ORACLE_REMOVE,
    ORACLE_REPLACE,
    ORACLE_ANEW,
};

struct oracle_op {
    enum oracle_op_kind kind;
    struct oracle_item item;
    int64_t offset;
    struct oracle_range range;
    int64_t delete_retention_ms;
};

/* One incarnation of a partition. */
struct oracle_log {
    struct uuid topic_id;
    int32_t partition;
    char topic[32];
    enum log_durability durability;
    bool compact; /* records have keys, and superfluous ones may go */
    bool gaps;    /* its leader's log is compacted: offsets are left out between batches */
    int64_t delete_retention_ms;
    bool retained;            /* retention may have moved the start by itself since `base` */
    struct oracle_state base; /* judged last */
    struct oracle_state live; /* after all operations */
    struct oracle_op *ops;
    uint32_t op_count, op_room;
    uint32_t told;            /* so many of them were told as done */
    struct oracle_item *ever; /* of a `memory` log: all that it ever held */
    uint32_t ever_count, ever_room;
};

void oracle_log_init(struct oracle_log *l, struct uuid topic_id, int32_t partition,
                     const char *topic, enum log_durability durability);
void oracle_log_deinit(struct oracle_log *l);

/* Each: the operation has been given to the log; the number to tell it by. */
uint32_t oracle_append(struct oracle_log *l, struct oracle_item item);
uint32_t oracle_truncate(struct oracle_log *l, int64_t offset);
uint32_t oracle_start(struct oracle_log *l, int64_t offset);
uint32_t oracle_remove(struct oracle_log *l);
uint32_t oracle_anew(struct oracle_log *l, int64_t offset);

/* Compaction has taken effect, in front of the last `behind` operations, which have not. */
void oracle_replace(struct oracle_log *l, const struct oracle_range *range, uint32_t behind);

/* Whether `shown` may be what compaction has left of `original`: the same batch with some of its records. */
bool oracle_may_be(const struct oracle_item *original, const struct oracle_item *shown);

void oracle_told(struct oracle_log *l, uint32_t op);

/* An append that was given turned out to be refused; none was given behind it. */
void oracle_append_refused(struct oracle_log *l, uint32_t op);

/* The last operation turned out to be refused. */
void oracle_refused(struct oracle_log *l, uint32_t op);

/* Where a truncation to `offset` really cuts: the base of the batch that contains it. */
int64_t oracle_boundary(const struct oracle_state *s, int64_t offset);

void oracle_state_add(struct oracle_state *s, struct oracle_item item);
void oracle_state_deinit(struct oracle_state *s);

enum oracle_grace {
    ORACLE_STRICT,
    ORACLE_TORN,   /* damage above every mark: what was told may be missing, but not from the middle
                    */
    ORACLE_PIECES, /* a `memory` log after a power cut, or after its pages could not be written */
};

/* Whether `shown` is allowed; if not, `why` says what is wrong. */
bool oracle_judge(const struct oracle_log *l, const struct oracle_state *shown,
                  enum oracle_grace grace, char *why, size_t why_size);

/* What was judged is the truth from now on. Takes the items over. */
void oracle_adopt(struct oracle_log *l, struct oracle_state *shown);
