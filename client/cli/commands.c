/* SPDX-License-Identifier: Apache-2.0 */

/* The commands in one table, from which dispatch, help and completion are made. */
#include "cli/cli.h"

#include <string.h>

const struct cli_command *const cli_commands[] = {
    &command_produce, &command_consume,  &command_topic, &command_group,      &command_cluster,
    &command_log,     &command_context,  &command_cheat, &command_completion, &command_version,
    &command_help,    &command_complete, NULL,
};

const struct cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        const struct cli_command *c = cli_commands[i];
        if (strcmp(c->name, name) == 0 || (c->alias && strcmp(c->alias, name) == 0)) {
            return c;
        }
    }
    return NULL;
}
