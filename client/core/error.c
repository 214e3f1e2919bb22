/* SPDX-License-Identifier: Apache-2.0 */

#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static_assert((int)LEAT_ERR_TIMEOUT == (int)ERR_TIMEOUT, "one numbering");
static_assert((int)LEAT_ERR_UNSUPPORTED == (int)ERR_UNSUPPORTED, "one numbering");
static_assert((int)LEAT_ERR_SERVER == (int)ERR_UNKNOWN_SERVER_ERROR, "one numbering");
static_assert((int)LEAT_ERR_CONFIG == (int)ERR_BAD_CONFIG, "one numbering");

int error_set(leat_error *e, int code, const char *format, ...)
{
    assert(code < 0);
    if (!e) {
        return code;
    }
    /* The format may print what `e` holds now. */
    char message[sizeof e->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    e->code = code;
    e->retriable = error_is_retriable(code);
    e->fatal = false;
    memcpy(e->message, message, sizeof message);
    return code;
}

int error_copy(leat_error *e, const leat_error *from)
{
    assert(from->code <= 0);
    if (e && e != from) {
        *e = *from;
    }
    return from->code;
}

int error_clear(leat_error *e)
{
    if (e) {
        e->code = 0;
        e->retriable = e->fatal = false;
        e->message[0] = 0;
    }
    return 0;
}

const char *leat_error_name(int code)
{
    return error_name(code);
}

const char *leat_error_text(int code)
{
    return error_text(code);
}

const char *leat_version(void)
{
    return LEAT_VERSION;
}
