/* SPDX-License-Identifier: Apache-2.0 */

/* A node in the simulator that serves logs, and a test that stands outside of it and asks.
 *
 * Each world_ call that asks runs the world until the answer is there, or ends the test when none
 * comes within a virtual minute. Beside each log the test keeps what was given and what was told
 * as done; world_check() reads a log back and compares: what is there is a prefix of what was
 * given, and holds all that was told. */
#pragma once

#include "base/errors.h"
#include "log/log.h"
#include "sim/sim.h"
#include "wire/batch.h"

enum { WORLD_SLOTS = 6, WORLD_SHARDS = 4, WORLD_GIVEN_MAX = 20000 };

struct given {
    int64_t base, last;
    uint32_t crc, size;
    bool told; /* as durable */
};

/* One partition: topic "t<slot>", partition 0. */
struct world_slot {
    struct log *log; /* of this life */
    struct uuid id;
    char topic[8];
    bool unknown;  /* to the metadata */
    bool doubtful; /* gone by the metadata, which may be taken back */
    bool in_gap;   /* the log ends behind its last batch */
    struct log_config config;
    int32_t epoch; /* that appends are stamped with */
    struct given *given;
    unsigned count;
    int64_t start; /* nothing below is expected */
};

struct world {
    struct sim *sim;
    struct sim_node *node;
    struct memory memory; /* the test's own */
    struct log_options options;
    struct world_slot slots[WORLD_SLOTS];
    unsigned shards;

    /* one life */
    struct log_recover recover;
    bool answered;
    int error; /* of log_recover() */
    struct log_recovery *recovery;
    struct log_set *sets[WORLD_SHARDS];
    unsigned opened;
    struct io_op sync;
};

/* Small sizes: journal files of 256 KiB, chunks and segments of 64 KiB. Change w->options and the
 * slots' configurations before world_start(). */
void world_open(struct world *w, uint64_t seed);
void world_open_telling(struct world *w, uint64_t seed, FILE *story); /* with log lines */
void world_close(struct world *w);

/* Recovers and opens; 0, or what log_recover() answered (then nothing is open). */
int world_start(struct world *w, unsigned shards) MUST_CHECK;
void world_started(struct world *w, unsigned shards); /* which must succeed */
void world_kill(struct world *w);
void world_power_cut(struct world *w);
void world_stop(struct world *w); /* log_set_close() on every shard */

/* The node still runs. */
bool world_runs(const struct world *w);

/* Virtual time passes. */
void world_wait_ms(struct world *w, uint64_t ms);

/* The log of a slot, opened on its home shard. */
struct log *world_log(struct world *w, unsigned slot);
struct log_set *world_set(struct world *w, unsigned slot);
struct log_status world_status(struct world *w, unsigned slot);

/* Runs `function(argument)` inside the node, on the slot's home shard. False: the node ended. */
unsigned world_home(const struct world *w, unsigned slot);
bool world_do(struct world *w, unsigned slot, void (*function)(void *argument), void *argument);

/* Until `*flag`. False: the node ended before. */
bool world_until(struct world *w, const bool *flag);

/* --- batches ----------------------------------------------------------------------------- */

struct batch_spec {
    int32_t records;      /* 0: 1 */
    uint32_t value_bytes; /* of each, random; 0: 100 */
    int64_t timestamp;    /* of the first record, each other one 1 ms later; 0: 1000 */
    enum codec codec;
    const char *key;  /* NULL: the records have none */
    const char *text; /* with a key: their value, NULL: tombstones */
    bool producer;    /* with the next three */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t sequence;
};

struct world_append {
    struct log_append append;
    struct world *world;
    unsigned slot;
    uint32_t index; /* of its struct given; UINT32_MAX: none */
    bool appended, done;
    int error;
    uint8_t *batch;
};

/* Gives a batch to the log of a slot; `a` is the test's until done. */
void world_append_begin(struct world *w, unsigned slot, const struct batch_spec *spec,
                        struct world_append *a);
/* Waits for it: its error; the batch is freed. */
int world_append_end(struct world_append *a);
/* Both. The base offset goes to *base (NULL: not wanted). */
int world_append(struct world *w, unsigned slot, const struct batch_spec *spec, int64_t *base);
/* `count` of them at once, all of which must succeed. */
void world_fill(struct world *w, unsigned slot, const struct batch_spec *spec, unsigned count);

/* Gives without waiting, in one turn; what is told is noted until the node ends. */
struct world_load {
    struct world *world;
    struct world_append *appends;
    unsigned count, told, failed;
    int first_error;
};
void world_load_begin(struct world_load *l, struct world *w, unsigned slots,
                      const struct batch_spec *spec, unsigned count);
void world_load_end(struct world_load *l); /* waits while the node runs; frees */

/* One batch. Freed by the caller. */
struct bytes world_batch(struct world *w, const struct batch_spec *spec);

/* `count` batches of `spec` as a leader serves them, the first at offset `base`, each other one `gap`
 * offsets behind the one before it. Freed by the caller. */
struct bytes world_batches(struct world *w, const struct batch_spec *spec, unsigned count,
                           int64_t base, int64_t gap, int32_t epoch);
/* A follower's append of f->batches, waited for; what was taken is noted as given. */
int world_follow(struct world *w, unsigned slot, struct log_follow *f);

/* --- the rest ----------------------------------------------------------------------------- */

int world_control(struct world *w, unsigned slot, enum log_control_kind kind, int64_t offset);
/* LOG_ANEW; what was given is forgotten with it. */
int world_anew(struct world *w, unsigned slot, int64_t offset, int32_t epoch);
int world_find_time(struct world *w, unsigned slot, int64_t timestamp, int64_t *offset,
                    int64_t *found);

int world_find_latest(struct world *w, unsigned slot, int64_t *offset, int64_t *found);

/* One read; its batches' bytes go to `out` (NULL: dropped) of at least bytes_max or one batch. */
int world_read(struct world *w, unsigned slot, struct log_read *r, struct wire_writer *out);

/* Reads the whole log and compares it with what was given; then what was not found is forgotten.
 * Returns the number of batches. */
unsigned world_check(struct world *w, unsigned slot);

/* Forgets what is at or above `offset`, as a truncation does. */
void world_forget_from(struct world *w, unsigned slot, int64_t offset);

/* The file at `path` (under the root) has whole blocks of this many bytes; 0: none. */
uint64_t world_file_size(struct world *w, const char *path);
/* Flips one bit where it lies, durably. The node is not running. */
void world_flip(struct world *w, const char *path, uint64_t position, unsigned bit);
/* As if a person had deleted it. */
void world_unlink(struct world *w, const char *path);
/* Reads of that block fail. */
void world_break(struct world *w, const char *path, uint32_t block);
/* Files whose path begins so. */
unsigned world_count_files(struct world *w, const char *prefix);
