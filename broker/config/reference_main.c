/* SPDX-License-Identifier: Apache-2.0 */

/* leat-config-reference: prints docs/reference/configuration.md; with --man, the keys for leat.yaml(5). */
#include "config/config.h"

#include <stdio.h>
#include <string.h>

static void print_line(void *context, const char *line)
{
    fprintf(context, "%s\n", line);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--man") == 0) {
        config_manual(print_line, stdout);
    } else {
        config_reference(print_line, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
