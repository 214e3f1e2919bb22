/* SPDX-License-Identifier: Apache-2.0 */

/* What the parts of dump share. Private. */
#pragma once

#include "offline/offline_private.h"

enum { DUMP_FIELDS_MAX = 24, DUMP_WHOLE_MAX = 1 << 30 };

struct dumping {
    struct offline o;
    const struct offline_dump *request;
    const char *name; /* of the file, below the directory */
    struct offline_field fields[DUMP_FIELDS_MAX];
    size_t count;
    char texts[DUMP_FIELDS_MAX][UUID_TEXT_SIZE + 1]; /* of ids */
};

/* dump.c: the fields of the next item, then the item. */
void dump_number(struct dumping *d, const char *name, int64_t number);
void dump_time(struct dumping *d, const char *name, int64_t ms);
void dump_bool(struct dumping *d, const char *name, bool truth);
void dump_text(struct dumping *d, const char *name, const char *text); /* lent until dump_item() */
void dump_bytes(struct dumping *d, const char *name, const void *data, int64_t size);
void dump_id(struct dumping *d, const char *name, struct uuid id);
void dump_item(struct dumping *d, const char *what);

/* dump_batches.c: a segment or a snapshot, to where no batch begins. */
int dump_batches(struct dumping *d, struct io_file *file) MUST_CHECK;

/* dump_files.c: `data` is a whole file. */
int dump_journal(struct dumping *d, struct bytes data, bool mapped) MUST_CHECK;
void dump_checkpoint(struct dumping *d, struct bytes data);
int dump_index(struct dumping *d, struct bytes data) MUST_CHECK;
int dump_sums(struct dumping *d, struct bytes data) MUST_CHECK;
void dump_partition(struct dumping *d, struct bytes data);
void dump_vote(struct dumping *d, struct bytes data);
void dump_lines(struct dumping *d, struct bytes data);
