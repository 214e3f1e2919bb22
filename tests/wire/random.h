/* SPDX-License-Identifier: Apache-2.0 */

/* random: values of every message, made by its table, for round trips and comparisons. */
#pragma once

#include "base/memory.h"
#include "base/prng.h"
#include "wire/api.h"

/* Fills a struct with values that `version` can say; fields that it lacks get their defaults. What
 * it points to comes from the arena; NULL from the arena asserts. */
void random_message(const struct wire_message *message, int version, void *out, struct prng *prng,
                    struct arena *arena);

/* Whether all fields are equal, through arrays and inner structs; prints the first that is not. */
bool message_equal(const struct wire_message *message, const void *a, const void *b);
