/* SPDX-License-Identifier: Apache-2.0 */

/* group_view: the answer of leat_group_describe() in the making. Private to the admin room. */
#pragma once

#include "admin/group.h"

struct group_view {
    struct memory heap;
    leat_group group;
    leat_group_member **members;
    leat_group_partition *rows; /* of assignments, then of commits; joined by group_view_lag() */
    size_t row_count, row_capacity;
    size_t assigned; /* how many of them are of assignments */
};

struct view_op {
    struct group_op group;
    struct group_view *view;
};

/* Joins the rows, looks up start and end of their partitions and the times of their first unread
 * records, and completes v->group. False: no memory, said. */
bool group_view_lag(struct group_view *v, leat_client *c, leat_error *e);
