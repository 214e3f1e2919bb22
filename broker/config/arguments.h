/* SPDX-License-Identifier: Apache-2.0 */

/* Private to config: the text of --help, which the reference page shows as well. */
#pragma once

#include "config/value.h"

extern const char config_usage[];
