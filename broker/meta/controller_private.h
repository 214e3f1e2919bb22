/* SPDX-License-Identifier: Apache-2.0 */

/* Between controller.c and controller_configs.c. */
#pragma once

#include "meta/controller.h"
#include "meta/topic.h"

/* Puts the sentence into op->why and returns `error`. */
int controller_refuse(struct meta_op *op, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Emits unless the operation is only to be checked. */
int controller_emit(const struct controller *c, const struct meta_op *op,
                    const struct wire_message *message, int version, const void *body);

/* The configurations that a new topic is given. */
int controller_check_new_configs(struct meta_op *op) MUST_CHECK;
int controller_emit_new_configs(const struct controller *c, struct meta_op *op) MUST_CHECK;

/* num.partitions as it is in force: as this node or all nodes were told at run time, or as it is
 * configured. */
int32_t controller_num_partitions(const struct controller *c);

/* controller_brokers.c */
int controller_register_broker(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_heartbeat(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_expire_brokers(const struct controller *c, struct meta_op *op) MUST_CHECK;

/* Decides with a struct cluster, which is too large for the stack of one who is called deep. */
struct cluster;
int controller_with_cluster(const struct controller *c, struct meta_op *op,
                            int (*decide)(struct cluster *k, struct meta_op *op)) MUST_CHECK;

int controller_unregister_broker(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_give_up_replicas(const struct controller *c, struct meta_op *op) MUST_CHECK;

/* controller_partitions.c */
int controller_alter_partitions(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_elect_leaders(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_reassign(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_report_replicas(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_balance(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_grow(const struct controller *c, struct meta_op *op) MUST_CHECK;

/* controller_features.c */
int controller_update_feature(const struct controller *c, struct meta_op *op) MUST_CHECK;

/* Whether this release keeps so many replicas of a partition. */
bool controller_keeps(const struct controller *c, int32_t factor);

int controller_alter_configs(const struct controller *c, struct meta_op *op) MUST_CHECK;
int controller_state_configs(const struct controller *c, struct meta_op *op) MUST_CHECK;
