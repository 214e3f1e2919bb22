/* SPDX-License-Identifier: Apache-2.0 */

/* admin: requests that change the metadata. Each thing that a request names becomes one operation
 * of the meta room; the answer goes out when all are done and every shard has seen it, or when the
 * client's timeout is over, which those that are not done then bear as their error. Private to
 * broker/api. */
#pragma once

#include "api/request.h"

struct admin;

struct admin_op {
    struct meta_op op;
    struct admin *admin;
    bool submitted, done;
    int error; /* 0 while in progress */
    const char *why;
};

struct admin {
    struct api_request *request;
    struct admin_op *ops;
    uint32_t count;
    uint32_t pending;
    bool answered;
    struct deadline deadline;
    struct barrier barrier;
    /* Every op has its error now; ends the request. */
    void (*answer)(struct admin *a);
    void *response;
};

/* An admin with `count` operations of `kind`; NULL: no memory, and the request is over. */
struct admin *admin_new(struct api_request *r, size_t count, enum meta_kind kind,
                        bool validate_only, void (*answer)(struct admin *a)) MUST_CHECK;

/* Finds an error in an operation before it is submitted. */
void admin_refuse(struct admin_op *op, int error, const char *why);

/* Says in the log, now and then, that a configuration which op->op.topic is given is not kept. */
void admin_note_ignored(struct admin_op *op, const char *key);

/* A copy that ends with NUL. NULL for a null string, one that holds a NUL itself, or no memory. */
char *admin_string(struct api_request *r, struct wire_string s);

/* The same for the name of a topic: what can be none is "", which no topic has. NULL: no memory. */
char *admin_name(struct api_request *r, struct wire_string s);

/* Submits all that was not refused. timeout_ms <= 0: a minute. */
void admin_go(struct admin *a, int32_t timeout_ms);

/* The error and the sentence of an operation, for the answer. */
int16_t admin_error(const struct admin_op *op);
struct wire_string admin_message(const struct admin_op *op);
