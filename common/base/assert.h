/* SPDX-License-Identifier: Apache-2.0 */

/* assert: our own invariants, checked in release builds too.
 *
 * A failed assertion is a bug of this program, never a property of bytes that came from a client, a
 * peer or a disk: those are answered with errors. The process ends at once with the place on
 * stderr, so that nothing is acknowledged after the program has stopped making sense.
 *
 * assert_slow() is for checks that cost more than the work they guard: on in debug and simulator
 * builds (LEAT_SLOW_ASSERTS), off in release. */
#pragma once

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

_Noreturn void assert_failed(const char *expression, const char *file, int line);

#ifndef __cplusplus
#define static_assert _Static_assert
#endif

#undef assert
#define assert(expression)                                                                         \
    (__builtin_expect(!!(expression), 1) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__))

#ifdef LEAT_SLOW_ASSERTS
#define assert_slow(expression) assert(expression)
#else
#define assert_slow(expression) ((void)sizeof(!(expression)))
#endif
