/* SPDX-License-Identifier: Apache-2.0 */

/* What reading by oneself (consume.c), reading as a member of a group (consume_group.c) and the plan of either
 * (consume_plan.c) share. */
#pragma once

#include "cli/consume.h"

enum { CONSUME_POLL_MS = 100 }; /* how soon Ctrl-C is seen */

struct reading {
    char *topic;
    int32_t partition, broker;
    int64_t stop;      /* first offset that is not read; -1: goes on */
    int64_t next;      /* behind the last record that was shown, -1: none yet */
    int64_t committed; /* what of that the group knows */
    bool done;
    bool skipped; /* and done: its leader could not be asked where it starts and stops */
    char *why;    /* of what was skipped although it has a leader, or NULL */
};

struct consume {
    struct cli *cli;
    struct consume_job *job;
    leat_consumer *consumer;
    struct reading *readings;
    leat_start *starts;
    size_t count, done, skipped; /* done: with the skipped ones */
    unsigned long long records;
    bool terminal; /* stdout */
    bool progress; /* to a file, with somebody at stderr */
    unsigned long long bytes;
    int64_t planned; /* offsets in the range, -1: it has no end */
    double started, drawn;
    double committed_at; /* of a member of a group */
    double silent_since; /* cli_now() */
    bool said_waiting;
    int problem; /* the code of the trouble that was told */
    bool limit_reached;
    bool reader_gone;      /* of a member of a group: nobody reads the pipe any more */
    double again_at;       /* when the skipped ones are planned again, where reading has no end */
    double ask_at;         /* when a member that has been given nothing asks why */
    bool said_lost;        /* why that is so */
    int32_t broker_failed; /* the latest that could not be asked, -1: none */
    bool broker_leads;     /* and it is said to lead still */
};

/* Prints the error, leaves the group, and ends the process with the status that fits. */
_Noreturn void consume_fail(struct consume *c, const leat_error *e);

void reading_free(struct reading *r);

/* --- consume_plan.c --- */

/* Whether reading comes to an end by itself. */
bool consume_bounded(const struct consume_job *job);

/* Where a new partition, whose broker is its leader, starts and stops, as the job says. False: it is skipped. */
bool consume_plan(struct consume *c, struct reading *r, leat_start *start);

/* Plans what was skipped; if it may wait, then for elections that are under way. True when not all of it is skipped
 * again. */
bool consume_plan_again(struct consume *c, bool wait);

/* Says which partitions are skipped, and why. */
void consume_tell_skipped(struct consume *c);

/* --- consume.c --- */

/* Ends the process with the reason unless every topic is there. */
void consume_expect(struct consume *c);

/* Records at hand, or 0 after a moment's waiting, before which what was printed becomes visible. */
int consume_poll(struct consume *c, const leat_record **records, leat_error *e);

/* Prints records; true when the limit is reached. */
bool consume_show(struct consume *c, const leat_record *records, int count);

/* Which partitions have come to their end. */
void consume_check_ends(struct consume *c);

void consume_draw(struct consume *c, bool last);

/* Tells once what one is waiting for, and every new trouble. */
void consume_tell(struct consume *c, double silence);

/* --- consume_group.c --- */

void consume_group_open(struct consume *c);
int consume_group_loop(struct consume *c);

/* Before the end, with the status that is known already: commits, and sees to it that the end comes soon. */
void consume_group_leave(struct consume *c, int status);
