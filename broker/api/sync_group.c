/* SPDX-License-Identifier: Apache-2.0 */

/* SyncGroup: answered when the assignments are recorded. */
#include "api/groups.h"

static void answer(struct groups *g)
{
    api_respond(g->request, &groups_only(g)->response.sync);
}

void handle_sync_group(struct api_request *r)
{
    struct sync_group_request *q = api_decode(r);
    struct groups *g = q ? groups_new(r, 1, answer) : NULL;
    if (g) {
        groups_add(g, COORD_SYNC, q->group_id, q);
        groups_go(g);
    }
}
