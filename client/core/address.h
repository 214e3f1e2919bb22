/* SPDX-License-Identifier: Apache-2.0 */

/* address: the brokers that a client asks first, from a list or a URI.
 *
 *     host[:port][,host[:port]]...                    [::1]:9092 for IPv6
 *     leat://host[:port],...[/][?option=value&...]    kafka:// as well; %XX in values */
#pragma once

#include "core/error.h"

enum {
    ADDRESS_HOST_MAX = 256, /* with NUL */
    ADDRESSES_MAX = 64,
    ADDRESS_PORT_DEFAULT = 9092,
};

struct address {
    char host[ADDRESS_HOST_MAX];
    uint16_t port;
};

/* Fills at most ADDRESSES_MAX entries and applies the URI's options to `options`. 0 or
 * ERR_BAD_CONFIG. */
int addresses_parse(const char *text, struct address out[static ADDRESSES_MAX], unsigned *count,
                    leat_options *options, leat_error *e) MUST_CHECK;
