/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/lease.h"

#include "meta/meta_private.h"

static const uint64_t ms_ns = 1000000;

static uint64_t lease_ns(const struct meta *m)
{
    return (uint64_t)m->options.session_ms * ms_ns / 5 * 4;
}

/* --- the controller --------------------------------------------------------------------------- */

void lease_look(struct meta *m)
{
    struct lease *l = &m->lease;
    uint64_t now = io_now(m->io);
    uint64_t apart = l->asking ? lease_ns(m) : (uint64_t)m->options.heartbeat_ms * ms_ns;
    if (!m->leading || now < l->asked_ns + apart) {
        return;
    }
    l->asking = true;
    l->asked_ns = now;
    if (quorum_read(m, &l->sequence) != 0) { /* with no other voter it is confirmed by now */
        l->asking = false;
    }
}

void lease_confirmed(struct meta *m, uint64_t sequence)
{
    struct lease *l = &m->lease;
    if (l->asking && sequence >= l->sequence) {
        l->asking = false;
        l->confirmed_ns = l->asked_ns;
    }
}

void lease_lost(struct meta *m)
{
    m->lease.asking = false;
    m->lease.confirmed_ns = 0;
}

void lease_moved(struct meta *m, int64_t offset)
{
    m->lease.moved = offset;
}

int32_t lease_grant_ms(const struct meta *m, const struct meta_heartbeat *h)
{
    uint64_t now = io_now(m->io), until = m->lease.confirmed_ns + lease_ns(m);
    bool knows = !h->is_fenced && h->offset >= m->lease.moved;
    bool confirmed = m->leading && m->lease.confirmed_ns > 0 && until > now;
    return knows && confirmed ? (int32_t)((until - now) / ms_ns) : 0;
}

/* --- the broker ------------------------------------------------------------------------------- */

void lease_take(struct meta *m, uint64_t sent_ns, int32_t ms)
{
    uint64_t most = lease_ns(m), granted = (uint64_t)(ms > 0 ? ms : 0) * ms_ns;
    uint64_t until = sent_ns + (granted < most ? granted : most);
    uint64_t before = atomic_load_explicit(&m->lease.until_ns, memory_order_relaxed);
    if (granted > 0 && (before == UINT64_MAX || until > before)) {
        atomic_store_explicit(&m->lease.until_ns, until, memory_order_relaxed);
    }
}

void lease_drop(struct meta *m)
{
    if (atomic_load_explicit(&m->lease.until_ns, memory_order_relaxed) != UINT64_MAX) {
        atomic_store_explicit(&m->lease.until_ns, 0, memory_order_relaxed);
    }
}

void lease_alone(struct meta *m, bool alone)
{
    if (alone) {
        atomic_store_explicit(&m->lease.until_ns, UINT64_MAX, memory_order_relaxed);
    } else if (atomic_load_explicit(&m->lease.until_ns, memory_order_relaxed) == UINT64_MAX) {
        lease_take(m, io_now(m->io), (int32_t)m->options.session_ms);
    }
}

static bool for_ever(const struct meta *m)
{
#ifdef LEAT_SIM
    return m->options.controller_mutant == LEASE_MUTANT_FOR_EVER;
#else
    (void)m;
    return false;
#endif
}

bool meta_leased(const struct meta *meta, struct io *io)
{
    if (for_ever(meta)) {
        return true;
    }
    /* Not the time of the turn: the process may have stood still in the middle of it. */
    return io_clock(io) < atomic_load_explicit(&meta->lease.until_ns, memory_order_relaxed);
}
