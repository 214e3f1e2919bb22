/* SPDX-License-Identifier: Apache-2.0 */

/* text: base64, hexadecimal, times, escapes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NUL-terminated, to be freed. */
char *text_base64(const void *data, size_t size);

/* The bytes, to be freed; NULL when it is not base64. White space is not skipped; padding may be
 * missing. */
void *text_base64_decode(const char *text, size_t size, size_t *out_size);

char *text_hex(const void *data, size_t size);

/* "2026-11-22T11:24:03.123Z" in UTC. */
enum { TEXT_TIME_SIZE = 40 };
void text_time(int64_t ms, char out[static TEXT_TIME_SIZE]);

/* A time as people write it: milliseconds or (below 10^11) seconds since 1970, 2026-11-22,
 * 2026-11-22T11:24:03[.123][Z], or -5m before `now_ms` (s, m, h, d). */
bool text_time_parse(const char *text, size_t size, int64_t now_ms, int64_t *ms);

/* Resolves \n \r \t \0 \xXX \\ in a copy, to be freed. */
char *text_unescape(const char *text, size_t *size);
