/* SPDX-License-Identifier: Apache-2.0 */

/* offline: a data directory, or one file of it, read by a person while no broker runs on it.
 *
 * Everything is opened for reading alone and judged by the broker's own decoders (broker/log,
 * broker/meta): what recovery would believe is right here, what it would refuse is damage.
 *
 *   O1  Nothing is ever written, created or locked for writing; the directory's lock is held while a
 *       verification runs, so that no broker starts meanwhile.
 *   O2  What no reader would be told as missing is not damage: a torn tail above every durable mark,
 *       one copy of two, an index that is made again.
 *   O3  Whatever the bytes are, the answer is a finding, never a crash.
 *
 * Calls block. They open an I/O loop of their own and belong to one thread. */
#pragma once

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum { OFFLINE_WHY_SIZE = 400 };

/* Asked for now and then. */
struct offline_watch {
    /* Bytes looked at so far, of how many (0: not known yet). NULL: not wanted. */
    void (*progress)(void *context, uint64_t bytes, uint64_t total);
    /* True: end soon, with ERR_INTERRUPTED. NULL: never. */
    bool (*stop)(void *context);
    void *context;
};

/* --- verify ----------------------------------------------------------------------------------- */

enum offline_severity {
    OFFLINE_NOTE,   /* the next start heals it, or nobody was promised what is missing */
    OFFLINE_DAMAGE, /* something that was acknowledged, or that a start needs, is wrong */
};

struct offline_finding { /* lent for the call */
    enum offline_severity severity;
    const char *file; /* below the directory, as "topics/t-0/00000000000000000000.log" */
    int64_t position; /* byte in the file, -1: all of it */
    const char *what; /* a sentence without full stop */
    const char *advice;
};

struct offline_counts {
    uint64_t logs, segments, batches, bytes; /* in segments */
    uint64_t groups, entries;                /* live, in journals */
    uint64_t notes, damages;
};

struct offline_verify {
    const char *directory;
    bool force; /* also while a broker runs on it */
    void (*found)(void *context, const struct offline_finding *f);
    struct offline_watch watch;
};

/* Checks all that a broker would read at its start and serve later: 0, whatever was found; or
 * ERR_NOT_FOUND (no data directory), ERR_BUSY (in use), ERR_DISK_FAILED, ERR_NO_MEMORY,
 * ERR_INTERRUPTED with a sentence in `why`. */
int offline_verify(const struct offline_verify *v, struct offline_counts *counts,
                   char why[static OFFLINE_WHY_SIZE]);

/* --- dump ------------------------------------------------------------------------------------- */

enum offline_field_kind {
    OFFLINE_NUMBER,
    OFFLINE_TIME, /* milliseconds since 1970 */
    OFFLINE_BOOL,
    OFFLINE_TEXT,
    OFFLINE_BYTES, /* of a client; data NULL: null */
};

struct offline_field {
    const char *name;
    enum offline_field_kind kind;
    int64_t number;
    struct bytes bytes;
};

struct offline_dump {
    const char *path; /* a file of a data directory, or a directory of such files */
    bool records;     /* also what the batches hold */
    /* One thing of the file: "batch", "group", ... Lent for the call. Things that are not valid have
     * a field "wrong" that says why. */
    void (*item)(void *context, const char *what, const struct offline_field *fields, size_t count);
    void *item_context;
    struct offline_watch watch;
};

/* Shows a file as it is, valid or not: 0, or ERR_NOT_FOUND, ERR_INVALID_ARGUMENT (not a file of a
 * data directory), ERR_DISK_FAILED, ERR_NO_MEMORY, ERR_INTERRUPTED, with a sentence in `why`. */
int offline_dump(const struct offline_dump *d, char why[static OFFLINE_WHY_SIZE]);
