/* SPDX-License-Identifier: Apache-2.0 */

/* group: calls that go to the coordinator of a group, which is looked up first and again when it has
 * moved. Private to the admin room. */
#pragma once

#include "admin/admin.h"

struct group_op {
    struct admin_op admin;
    const char *group;
    int32_t coordinator; /* out of the look-up */
};

static inline struct group_op *group_of(struct call *c)
{
    return container_of(admin_of(c), struct group_op, admin);
}

/* For kinds. */
int group_route(struct call *c, int32_t *broker);

/* Looks the coordinator of op->group up, then runs a call of `kind`: again for as long as the
 * coordinator moves and there is time. */
int group_run(struct group_op *op, const struct call_kind *kind, leat_error *e);

/* ERR_INVALID_ARGUMENT unless `group` can be a group's name. */
int group_check_name(const char *group, leat_error *e);

/* For decode(): the error of the group as a whole; a moved coordinator is looked up by group_run(). */
int group_error(struct call *c, int16_t wire_code, struct wire_string message);
