/* SPDX-License-Identifier: Apache-2.0 */

/* error: fills the caller's leat_error, the one carrier of errors inside the library too.
 *
 * The numbers of base/errors.h and enum leat_code are the same. A message says cause and remedy in
 * one line; what does not fit its 231 bytes is cut. */
#pragma once

#include "base/errors.h"
#include "leat/leat.h"

/* Fills `e` (may be NULL) and returns `code`. */
int error_set(leat_error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies a stored error out (`e` may be NULL) and returns its code. */
int error_copy(leat_error *e, const leat_error *from);

/* Success: clears `e` (may be NULL) and returns 0. */
int error_clear(leat_error *e);
