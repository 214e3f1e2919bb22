/* SPDX-License-Identifier: Apache-2.0 */

/* founding_support: nodes as the tests of founding write them down. */
#pragma once

#include "meta/founding.h"

/* An id of sixteen times one byte. */
struct uuid id_from(uint8_t byte);

/* "n1", "n2", ...; of the last four calls. */
const char *host_of(int32_t node);

/* Node `id` at its host, port 9092, with a directory of that byte, no peers and no cluster. */
struct introduction introduction_of(int32_t id, uint8_t directory);

/* Adds an address to its peers; or makes them those of the nodes 1 .. total. */
void lists(struct introduction *n, const char *address);
void lists_nodes(struct introduction *n, uint32_t total);

void add_voter(struct voters *voters, int32_t id, uint8_t directory);
