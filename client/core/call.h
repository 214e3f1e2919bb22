/* SPDX-License-Identifier: Apache-2.0 */

/* call: one request, tried again until it is answered or its deadline has come.
 *
 * The kind says where it goes, how it is written and what its answer means. What
 * error_is_retriable() says of a result decides whether it is tried again; out-of-date metadata are
 * refreshed in between. */
#pragma once

#include "core/core.h"

enum {
    CALL_ANY = -1,        /* any broker */
    CALL_CONTROLLER = -2, /* the controller if it is known, else any */
};

struct call_kind {
    struct request_kind request;
    const char *name; /* for messages: "create the topic" */
    /* Where to, now: 0 and *broker, or an error (retriable: asked again later). NULL: CALL_ANY. */
    int (*route)(struct call *c, int32_t *broker);
    int (*encode)(struct call *c, struct wire_writer *w, int version);
    /* 0, or an error; the reason may be left in c->error, and is filled in otherwise. */
    int (*decode)(struct call *c, struct reader *body, int version);
    bool repeatable; /* changes nothing, or nothing that matters when it is done twice */
};

struct call {
    struct core *core;
    const struct call_kind *kind;
    void (*done)(struct call *c); /* c->error.code: 0 or why not */
    uint64_t deadline_ns;
    uint32_t lane; /* of brokers that were named; 0 is everybody's */
    struct request request;
    struct alarm again;
    unsigned attempts;
    unsigned moves;      /* of them given up for the silence of whom was asked */
    bool anywhere;       /* the latest: any broker can answer */
    bool follows_leader; /* by its route: another broker is asked when another leads */
    bool cancelled, ended;
    char origin[ADDRESS_HOST_MAX + 8]; /* "host:port" of the broker that was asked last, */
    unsigned tried;                    /* and core->any_next then */
    leat_error error;
};

/* `c` is zeroed but for what the owner's struct around it holds. done() comes in a later turn. */
void call_start(struct call *c, struct core *core, const struct call_kind *kind,
                uint64_t deadline_ns, void (*done)(struct call *c));

/* done() comes soon, with ERR_INTERRUPTED unless it is overtaken. Harmless when not started. */
void call_cancel(struct call *c);

/* Something changed that may let a call succeed that waits to be tried again: tries it now. */
void call_hasten(struct call *c);

static inline bool call_active(const struct call *c)
{
    return c->request.connection || alarm_is_set(&c->again);
}
