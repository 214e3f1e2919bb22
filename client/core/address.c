/* SPDX-License-Identifier: Apache-2.0 */

#include "core/address.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_SIZE_MAX = 256 };

static int address_one(const char *text, size_t size, struct address *out, leat_error *e)
{
    const char *end = text + size, *host = text, *host_end, *port;
    if (size && *text == '[') {
        host++;
        host_end = memchr(text, ']', size);
        if (!host_end) {
            return error_set(e, ERR_BAD_CONFIG, "'%.*s': ']' is missing after an IPv6 address",
                             (int)size, text);
        }
        port = host_end + 1;
    } else {
        host_end = memchr(text, ':', size);
        host_end = host_end ? host_end : end;
        port = host_end;
    }
    size_t host_size = (size_t)(host_end - host);
    if (host_size == 0 || host_size >= ADDRESS_HOST_MAX || memchr(host, ' ', host_size)) {
        return error_set(e, ERR_BAD_CONFIG,
                         "'%.*s' is not a broker address: expected host:port, as in 127.0.0.1:9092",
                         (int)size, text);
    }
    memcpy(out->host, host, host_size);
    out->host[host_size] = 0;
    out->port = ADDRESS_PORT_DEFAULT;
    if (port < end) {
        unsigned long number = 0;
        bool valid = *port++ == ':' && port < end && end - port <= 5;
        for (; valid && port < end; port++) {
            valid = *port >= '0' && *port <= '9';
            number = number * 10 + (unsigned long)(*port - '0');
        }
        if (!valid || number == 0 || number > UINT16_MAX) {
            return error_set(e, ERR_BAD_CONFIG, "'%.*s': the port must be 1 to 65535", (int)size,
                             text);
        }
        out->port = (uint16_t)number;
    }
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Copies a piece of a URI, resolving %XX. */
static bool uri_decode(const char *text, size_t size, char out[static OPTION_SIZE_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0 || high * 16 + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (used + 1 >= OPTION_SIZE_MAX) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = 0;
    return true;
}

static int address_query(const char *query, leat_options *options, leat_error *e)
{
    while (*query) {
        size_t size = strcspn(query, "&");
        const char *equals = memchr(query, '=', size);
        char name[OPTION_SIZE_MAX], value[OPTION_SIZE_MAX];
        if (!equals || !uri_decode(query, (size_t)(equals - query), name) ||
            !uri_decode(equals + 1, size - (size_t)(equals + 1 - query), value)) {
            return error_set(e, ERR_BAD_CONFIG, "'%.*s' is not option=value", (int)size, query);
        }
        int error = leat_options_set(options, name, value, e);
        if (error) {
            return error == ERR_NOT_FOUND
                       ? error_set(e, ERR_BAD_CONFIG, "a client has no option '%s'", name)
                       : error;
        }
        query += size + (query[size] == '&');
    }
    return 0;
}

int addresses_parse(const char *text, struct address out[static ADDRESSES_MAX], unsigned *count,
                    leat_options *options, leat_error *e)
{
    const char *query = NULL;
    size_t hosts = strlen(text);
    const char *scheme = strstr(text, "://");
    if (scheme) {
        size_t size = (size_t)(scheme - text);
        bool known = (size == 4 && memcmp(text, "leat", 4) == 0) ||
                     (size == 5 && memcmp(text, "kafka", 5) == 0);
        if (!known) {
            return error_set(e, ERR_BAD_CONFIG, "'%.*s://' is not known: use leat://host:port",
                             (int)size, text);
        }
        text = scheme + 3;
        hosts = strcspn(text, "/?");
        query = strchr(text + hosts, '?');
    }
    unsigned used = 0;
    for (size_t at = 0; at < hosts;) {
        size_t size = 0;
        while (at + size < hosts && text[at + size] != ',') {
            size++;
        }
        if (size && used == ADDRESSES_MAX) {
            return error_set(e, ERR_BAD_CONFIG, "more than %d broker addresses", ADDRESSES_MAX);
        }
        if (size) {
            int error = address_one(text + at, size, &out[used], e);
            if (error) {
                return error;
            }
            used++;
        }
        at += size + 1;
    }
    if (used == 0) {
        return error_set(e, ERR_BAD_CONFIG, "no broker address: expected host:port[,host:port]");
    }
    *count = used;
    return query ? address_query(query + 1, options, e) : 0;
}
