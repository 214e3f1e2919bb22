/* SPDX-License-Identifier: Apache-2.0 */

/* recorder: writes a history, for tests in C. What the lines mean stands in README.md beside this file.
 *
 * A line is begun, gets its records if it has some, and is ended. Nothing is written unless the variable
 * LEAT_HISTORY names a folder: the recorder is NULL then, which all of these accept. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct recorder;

/* FOLDER/NAME-SEED.jsonl, or NULL; a file that cannot be written ends the program. */
struct recorder *recorder_open(const char *name, uint64_t seed);
void recorder_close(struct recorder *r);

/* `result` is "ok", "fail" or "info". `format` gives the members that the op has, as JSON: "\"offset\":%d". */
void recorder_begin(struct recorder *r, const char *process, const char *op, uint64_t invoke_ns,
                    uint64_t complete_ns, const char *result, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* `offset` -1: of a produce, which names the first one only. The key is "". `value` NULL: a tombstone. */
void recorder_record(struct recorder *r, int64_t offset, const void *value, size_t size);
void recorder_end(struct recorder *r);

/* The value of a record without key and padding; returns its size. */
size_t recorder_value(char *out, size_t size, const char *topic, int partition,
                      const char *producer, uint64_t sequence);
