/* SPDX-License-Identifier: Apache-2.0 */

/* wire: the Kafka protocol as bytes. The room's public header; README.md has the map. */
#pragma once

#include "wire/api.h"
#include "wire/batch.h"
#include "wire/codec.h"
#include "wire/compress.h"
#include "wire/messages.h"
#include "wire/types.h"
#include "wire/varint.h"
#include "wire/writer.h"
