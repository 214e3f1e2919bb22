/* SPDX-License-Identifier: Apache-2.0 */

/* Look-ups in the error table: it is short and errors are rare, so the search is linear. */
#include "base/errors.h"

#include <errno.h>
#include <stddef.h>

struct error_entry {
    int number;
    int16_t wire;
    bool retriable;
    const char *name;
    const char *text;
};

static const struct error_entry error_entries[] = {{0, 0, false, "NONE", "success"},
#define ERROR_ENTRY(name, number, wire, retriable, text) {number, wire, retriable, #name, text},
                                                   ERROR_TABLE(ERROR_ENTRY)
#undef ERROR_ENTRY
};

static const struct error_entry *error_find(int error)
{
    for (size_t i = 0; i < sizeof error_entries / sizeof *error_entries; i++) {
        if (error_entries[i].number == error) {
            return &error_entries[i];
        }
    }
    return NULL;
}

const char *error_name(int error)
{
    const struct error_entry *entry = error_find(error);
    return entry ? entry->name : "UNKNOWN";
}

const char *error_text(int error)
{
    const struct error_entry *entry = error_find(error);
    return entry ? entry->text : "an error that this version does not know";
}

bool error_is_retriable(int error)
{
    const struct error_entry *entry = error_find(error);
    return entry && entry->retriable;
}

int16_t error_to_wire(int error)
{
    assert(error <= 0);
    const struct error_entry *entry = error_find(error);
    return entry ? entry->wire : -1;
}

int error_from_wire(int16_t code)
{
    if (code == 0) {
        return 0;
    }
    return code < 0 ? ERR_UNKNOWN_SERVER_ERROR : -(int)code;
}

int error_from_errno(int64_t number)
{
    assert(number < 0);
    switch (-number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* beyond the process's limit (RLIMIT_FSIZE) or the file system's: no room either */
        return ERR_DISK_FULL;
    case EIO:
    case EROFS:
        return ERR_DISK_FAILED;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOMEM:
    case ENOBUFS:
        return ERR_NO_MEMORY;
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return ERR_BUSY;
    case ECANCELED:
        return ERR_INTERRUPTED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EINVAL:
        return ERR_INVALID_ARGUMENT;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
        return ERR_UNREACHABLE;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED:
        return ERR_CLOSED;
    case EOPNOTSUPP:
    case ENOSYS:
        return ERR_UNSUPPORTED;
    default:
        return ERR_UNKNOWN_SERVER_ERROR;
    }
}
