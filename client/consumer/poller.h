/* SPDX-License-Identifier: Apache-2.0 */

/* poller: the caller's side of a consumer: chunks become records, without a copy, and what has been
 * handed out is remembered. It waits for nothing: leat_poll() does that around it.
 *
 * A view is what one poller_next() hands out; it is lent until poller_begin(). With poller_begin()
 * the caller says that he is done with it: only then may it be committed for him (`done` of a
 * partition), and only then does he let go of partitions that his group takes back. */
#pragma once

#include "consumer/fetcher.h"
#include "consumer/group/group.h"

struct poller {
    struct fetcher *fetcher;
    struct group *group; /* or NULL */
    struct gate *gate;
    const leat_consumer_options *options;
    bool wake; /* the I/O side has something to do: the owner wakes it and clears this */

    struct memory scratch; /* decompressed batches, headers */
    struct plain_store plains;
    struct chunk *current; /* being read, or NULL */
    struct chunk_reader reader;
    int failed;       /* why the current chunk cannot be read on: told by the next call */
    struct list lent; /* chunks that the latest view points into */
    struct arena headers;
    leat_record *records; /* the view; poll_max_records */
};

/* `records` has room for poll_max_records; all is lent until poller_close(). */
void poller_open(struct poller *p, struct fetcher *fetcher, struct group *group, struct gate *gate,
                 const leat_consumer_options *options, leat_record *records);

/* After poller_drop_all(). */
void poller_close(struct poller *p);

/* The latest view is over. */
void poller_begin(struct poller *p);

/* The next view: the count of p->records, 0 when nothing is there, or an error. */
int poller_next(struct poller *p, leat_error *e);

/* In the gate: whether poller_next() would do something. */
bool poller_ready(const struct poller *p);

/* In the gate: the latest view is over, as for a call that moves positions. */
void poller_release(struct poller *p);

/* In the gate: gives everything back that is queued or read of one partition, or of all. */
void poller_drop(struct poller *p, struct consumer_partition *part);
void poller_drop_all(struct poller *p);
