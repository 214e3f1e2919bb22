/* SPDX-License-Identifier: Apache-2.0 */

/* stderr_sink: log lines for people and collectors, one write() for each.
 *
 *     ts=2026-11-22T11:24:03.123Z level=info mod=raft msg="elected leader of 3 partitions"
 *     {"ts":"2026-11-22T11:24:03.123Z","level":"info","mod":"raft","msg":"elected .."}
 *
 * Both forms have the same keys. What stands in a line may have come from outside: quotes,
 * backslashes and control characters are escaped, and bytes that are not UTF-8 become U+FFFD. */
#pragma once

#include <stddef.h>

#include "base/logger.h"

/* Writes lines from `level` on; `json` chooses the form. May be used from any thread. */
struct logger stderr_logger(enum logger_level level, bool json);

/* Writes a process's last words, `size` bytes of `text`: no line of another thread follows them,
 * for whoever logs afterwards waits until the process has ended. The caller ends it. */
void stderr_last_words(const char *text, size_t size);
