/* SPDX-License-Identifier: Apache-2.0 */

/* cluster: what brokers are asked to let go, apart from cluster.c. */
#pragma once

#include "cli/output.h"

static inline bool cluster_holds(const int32_t *brokers, size_t count, int32_t broker)
{
    for (size_t i = 0; i < count; i++) {
        if (brokers[i] == broker) {
            return true;
        }
    }
    return false;
}

/* The number that `word` is; else what is expected, as a usage error. */
int32_t cluster_broker_number(const char *word, const char *action);

/* The brokers with those that are fenced; *out NULL: this cluster does not tell of them. */
int cluster_brokers_ask(struct cli *cli, leat_brokers **out, leat_error *e);

/* Whether little is left of a disk of this broker; not known: no. `disks` may be NULL. */
bool cluster_low_disk(const leat_disks *disks, int32_t broker);

/* How many partitions have a leader that takes no record with acks=all; the names of the first go to
 * `first`. Of the first 1,000 topics with a replica that is not in sync: each of them is asked about. */
size_t cluster_unwritable(struct cli *cli, const leat_meta *meta, json_t *first, size_t named);

/* Whether all is well, at once or when it is (`wait`); `local`: with this broker. */
int cluster_health(struct cli *cli, bool wait, bool local);

/* Until the broker leads nothing that others can lead, or until the time is over; the exit status, which is not
 * EXIT_DONE when it leads something still, for whatever reason. */
int cluster_drain(struct cli *cli, const char *broker, long long wait_ms);
int cluster_undrain(struct cli *cli, const char *broker);

/* Until no replica is placed on the broker, or none of those that are can go anywhere, or the time is over (below 0:
 * none); the exit status. What is on its way then goes on. */
int cluster_decommission(struct cli *cli, const char *broker, long long wait_ms);

/* A broker that does not run, does not vote and has no replicas is one no more. */
int cluster_forget(struct cli *cli, const char *broker);

/* Until another broker leads the metadata quorum: this one, or any (NULL). */
int cluster_transfer(struct cli *cli, const char *broker, long long wait_ms);

/* The numbers of those that yield, as JSON; none where the cluster does not tell. */
json_t *cluster_draining(struct cli *cli);
