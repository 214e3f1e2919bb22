/* SPDX-License-Identifier: Apache-2.0 */

/* leat-config-reference: prints docs/reference/configuration.md. */
#include "config/config.h"

#include <stdio.h>

static void print_line(void *context, const char *line)
{
    fprintf(context, "%s\n", line);
}

int main(void)
{
    config_reference(print_line, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
