/* SPDX-License-Identifier: Apache-2.0 */

/* What reading by oneself (consume.c) and reading as a member of a group (consume_group.c) share. */
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
};

struct consume {
    struct cli *cli;
    struct consume_job *job;
    leat_consumer *consumer;
    struct reading *readings;
    leat_start *starts;
    size_t count, done;
    unsigned long long records;
    bool terminal; /* stdout */
    bool progress; /* to a file, with somebody at stderr */
    unsigned long long bytes;
    int64_t planned; /* offsets in the range, -1: it has no end */
    double started, drawn;
    double committed_at; /* of a member of a group */
    double silent_since; /* cli_now() */
    bool said_waiting;
    int problem;      /* the code of the trouble that was told */
    bool reader_gone; /* of a member of a group: nobody reads the pipe any more */
};

/* Prints the error, leaves the group, and ends the process with the status that fits. */
_Noreturn void consume_fail(struct consume *c, const leat_error *e);

/* Where a new partition starts and stops, as the job says. */
void consume_plan(struct consume *c, struct reading *r, leat_start *start);

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
