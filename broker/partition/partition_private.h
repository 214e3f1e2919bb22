/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of the room share: partition.c (the table, images, waiting), role.c (which role, and when it
 * begins), role_leader.c and role_follower.c (the drivers of both cores). */
#pragma once

#include "partition/following.h"
#include "partition/leading.h"
#include "partition/partition.h"

#include "base/errors.h"
#include "io/deadline.h"

enum {
    PARTITION_MAGIC = 0x70617274,
    PARTITION_KEY_SIZE = 20, /* topic id, partition */
};

enum partition_role { ROLE_NONE, ROLE_LEADER, ROLE_FOLLOWER };

/* What has moved since the waiters were woken. */
enum partition_news { NEWS_READERS = 1, NEWS_FOLLOWERS = 2 };

struct partition {
    uint32_t magic;
    int32_t index;
    struct io *io;
    struct partition_table *table; /* NULL: the table has gone while the log had something to do */
    uint8_t key[PARTITION_KEY_SIZE];
    struct uuid topic_id;
    struct log *log;
    struct log_watch watch;
    const struct image_topic *topic; /* of the table's image; valid while it is applied */

    int32_t leader, epoch; /* the image's */
    enum partition_role role;
    bool
        due; /* the image asks for another role, or epoch, than has begun: not before the log stands still */
    int64_t high_watermark;
    int32_t proved_epoch;    /* the newest that it has led or was proved in, -1: not known */
    uint32_t leadership;     /* counts ended leaderships: what is older belongs to nobody */
    struct leading *leading; /* memory that is kept; in force in ROLE_LEADER */
    int64_t broker_epoch;    /* of `leading` */
    struct following following;
    uint64_t hot_until_ns; /* records came not long before: partition_is_hot() */

    struct list pending; /* of struct partition_append: in the log, not yet with the followers */
    struct list late;    /* the same, whose leader may not acknowledge them any more */
    int64_t uncut;       /* what has been in the log since this replica led last: up to here */
    uint32_t appends;    /* in progress in the log, a follower's among them */
    uint32_t untaken;    /* of these, those that the log has not taken yet */
    uint32_t patient;    /* of these, the patient ones of this leadership */
    bool cutting;
    struct log_control cut, start;
    bool starting;        /* `start` is in progress */
    int64_t start_wanted; /* and this is to come after it */
    int64_t start_kept;   /* of a follower: durable */

    struct deadline alarm;
    uint64_t alarm_ns;
    unsigned news;
    int64_t log_start;     /* that readers know of */
    struct list link;      /* in table->all */
    struct list moved;     /* in table->moved, or alone */
    struct list waiters;   /* of struct partition_waiter: readers */
    struct list followers; /* the same, of followers' fetches */
    struct list queue;     /* partition_queue() */
    struct list proposing; /* partition_proposing() */
    struct list ailing;    /* partition_ailing() */
    bool compared;         /* since it was verified, with its leader's: partition_compared() */
    bool removing, log_gone;
    struct log_control removal;
};

/* Outlives the table while its timer is in flight. */
struct partition_clock {
    struct io *io;
    struct deadlines deadlines;
    struct deadline retention;
    struct partition_table *table;
};

struct partition_table {
    struct io *io;
    struct partition_options options;
    struct partition_needs needs;
    struct map by_key;
    struct list all, moved;
    struct io_turn turn;
    const struct image *image;
    struct partition_clock *clock;
    bool incomplete;    /* the last image was not applied whole: no memory */
    bool letting_go;    /* partition_table_let_go() */
    uint32_t unsettled; /* patient appends of ended leaderships, and those that are late */
    struct partition_settle *settle;
    bool tidied; /* what was recovered and is not here any more has gone */
};

/* partition.c */
void partition_stir(struct partition *p, unsigned news);
void partition_settled(
    struct partition *p); /* an append, a cut or a removal is over: it may be freed */

/* role.c */
void role_apply(struct partition *p, const struct image *image);
void role_begin_due(struct partition *p);
void role_alarm(struct partition *p);
int64_t role_epoch_end(const void *context, int32_t epoch, int32_t *found);
uint64_t role_now(const struct partition *p);

/* health.c */
/* The log or the image says something else of it. */
void health_look(struct partition *p);

/* late.c */
/* Whether it may be acknowledged although nobody leads here as when it came. */
bool late_may_take(const struct partition *p, const struct partition_append *a) MUST_CHECK;
/* The leadership ends. */
void late_begin(struct partition *p);
/* The log is through with it. */
void late_logged(struct partition *p, const struct partition_append *a);
/* It is in no list, durable here, and has its answer within half a second. */
void late_take(struct partition *p, struct partition_append *a);
/* The high watermark has risen. */
void late_review(struct partition *p);
/* What lies at `offset` or behind it goes. */
void late_cut(struct partition *p, int64_t offset);
void late_refuse(struct partition *p, int error);
uint64_t late_deadline(const struct partition *p);
void late_expire(struct partition *p, uint64_t now_ns);

/* role_leader.c */
int role_leader_begin(struct partition *p, const struct image *image) MUST_CHECK;
int role_leader_apply(struct partition *p, const struct image *image) MUST_CHECK;
void role_leader_end(struct partition *p);
void role_leader_moved(struct partition *p);
void role_leader_tick(struct partition *p);

/* role_follower.c */
void role_follower_begin(struct partition *p);
void role_follower_apply(struct partition *p, const struct image_partition *seen);
void role_follower_moved(struct partition *p);
