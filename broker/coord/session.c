/* SPDX-License-Identifier: Apache-2.0 */

/* A session is moved by writing down its new end, member_alive(); the deadline that is set meanwhile
 * finds, when it is due, that the end is later. So a heartbeat costs no heap operation. */
#include "coord/session.h"

#include "coord/member.h"
#include "coord/rebalance.h"

static void session_due(struct deadline *d)
{
    struct member *m = container_of(d, struct member, session);
    struct group *g = m->group;
    uint64_t now = io_now(g->host->io);
    if (m->join || m->sync) {
        member_alive(m); /* it is we who let it wait (G3) */
    } else if (now >= m->expires_ns) {
        log_info(io_logger(g->host->io), "coord",
                 "member removed: no heartbeat in its session group=%.100s member=%.100s "
                 "session_ms=%d",
                 g->name, m->id, m->session_ms);
        member_remove(m, ERR_UNKNOWN_MEMBER_ID);
        rebalance_after_leave(g, NULL);
        return;
    }
    deadline_set(g->host->deadlines, &m->session, m->expires_ns);
}

void session_begin(struct member *m)
{
    struct deadlines *deadlines = m->group->host->deadlines;
    member_alive(m);
    m->session.due = session_due;
    deadline_cancel(deadlines, &m->session); /* it may be shorter now */
    deadline_set(deadlines, &m->session, m->expires_ns);
}
