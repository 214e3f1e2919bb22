/* SPDX-License-Identifier: Apache-2.0 */

/* options: the tables behind leat_options_set() and its kin, and what an open function makes of the
 * struct that a caller gave it. */
#pragma once

#include "core/error.h"

/* Fills `out` with the defaults and the caller's fields (NULL: none), whatever size the caller's
 * struct has, and checks every field: 0 or ERR_BAD_CONFIG. */
int options_take(leat_options *out, const leat_options *in, leat_error *e) MUST_CHECK;
int producer_options_take(leat_producer_options *out, const leat_producer_options *in,
                          leat_error *e) MUST_CHECK;
int consumer_options_take(leat_consumer_options *out, const leat_consumer_options *in,
                          leat_error *e) MUST_CHECK;
