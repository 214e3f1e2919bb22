/* SPDX-License-Identifier: Apache-2.0 */

/* Which command, with whose flags: `leat [flags] command [flags and words]`, or kcat's form as soon
 * as -P, -C, -L, -Q or -G stand in front of any command. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static int command_run(struct cli *cli, struct args *a)
{
    static const char *const later[] = {"acl", "user", "txn"};
    const char *name = a->value;
    a->command = cli_command_find(name);
    if (a->command) {
        a->flags = a->command->flags;
        return a->command->run(cli, a);
    }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (strcmp(name, later[i]) == 0) {
            cli_usage("'%s' is not in this version", name);
        }
    }
    if (strcmp(name, "bench") == 0) {
        cli_usage("'bench' is a program of its own: leat-bench, in the folder of the build");
    }
    cli_usage("there is no command '%s': see leat help", name);
}

/* A context is the ground that flags stand on, wherever they stand: it is looked for first. */
static void find_context(struct cli *cli, int argc, char **argv)
{
    static const char spelled[] = "--context";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], spelled, sizeof spelled - 1) == 0) {
            const char *rest = argv[i] + sizeof spelled - 1;
            cli->context = *rest == '='             ? rest + 1
                           : !*rest && i + 1 < argc ? argv[i + 1]
                                                    : cli->context;
        }
    }
    /* -c is a count in kcat's lines. */
    for (int i = 1; i + 1 < argc && argv[i][0] == '-' && !cli->context && !cli->kcat; i++) {
        if (strcmp(argv[i], "-c") == 0) {
            cli->context = argv[i + 1];
        }
        i += strlen(argv[i]) == 2 && strchr("bXF", argv[i][1]) != NULL;
    }
}

int main(int argc, char **argv)
{
    static const struct cli_flag flags[] = {{1, 'V', "version", NULL, NULL}, {0}};
    const char *brokers = getenv("LEAT_BROKERS");
    struct cli cli = {.brokers = brokers && *brokers ? brokers : "127.0.0.1:9092",
                      .options = LEAT_OPTIONS_INIT,
                      .producer = LEAT_PRODUCER_OPTIONS_INIT,
                      .consumer = LEAT_CONSUMER_OPTIONS_INIT};
    struct args args = {.argv = argv, .argc = argc, .at = 1, .flags = flags};
    snprintf(cli.options.client_id, sizeof cli.options.client_id, "leat");
    cli.options.timeout_ms = 5000;
    cli.options.fail_fast = true;
    int status;
    cli.kcat = kcat_meant(argc, argv);
    find_context(&cli, argc, argv);
    if (cli.kcat) {
        status = kcat_run(&cli, &args);
    } else {
        context_apply(&cli);
        int id = args_next(&args, &cli);
        if (id == 1) {
            args.value = "version";
        } else if (id != ARG_WORD) {
            cli_help(stderr);
            return EXIT_USAGE;
        }
        status = command_run(&cli, &args);
    }
    leat_close(cli.client);
    if (!cli_flush()) {
        cli_say("cannot write the output: %s", strerror(cli_output_error));
        return status ? status : EXIT_FAILED;
    }
    return status;
}
