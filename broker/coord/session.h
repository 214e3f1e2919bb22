/* SPDX-License-Identifier: Apache-2.0 */

/* session: how long a member may say nothing (G3). Private to broker/coord. */
#pragma once

#include "coord/group.h"

/* The member's session begins, or begins anew with another length. */
void session_begin(struct member *m);
