/* SPDX-License-Identifier: Apache-2.0 */

/* Which command, with whose flags: `leat [flags] command [flags and words]`, or kcat's form as soon
 * as -P, -C, -L or -Q stand in front of any command. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Whether kcat's mode letters stand in front of the first word that is not a flag's value. */
static bool is_kcat(int argc, char **argv)
{
    for (int i = 1; i < argc && argv[i][0] == '-' && argv[i][1] != '-'; i++) {
        for (const char *p = argv[i] + 1; *p; p++) {
            if (strchr("PCLQG", *p)) {
                return true;
            }
            if (strchr("bXFtpokKDfHzclmsr", *p)) {
                i += p[1] == 0 && *p != 'l';
                break;
            }
        }
    }
    return false;
}

static int command_version(void)
{
    printf("leat %s\n", leat_version());
    return EXIT_DONE;
}

static int command_run(struct cli *cli, struct args *a, const char *name)
{
    static const char *const later[] = {"group", "acl",     "user",       "txn",
                                        "bench", "context", "completion", "cheat"};
    if (strcmp(name, "produce") == 0 || strcmp(name, "pub") == 0) {
        return command_produce(cli, a);
    }
    if (strcmp(name, "consume") == 0 || strcmp(name, "sub") == 0) {
        return command_consume(cli, a);
    }
    if (strcmp(name, "topic") == 0) {
        return command_topic(cli, a);
    }
    if (strcmp(name, "cluster") == 0) {
        return command_cluster(cli, a);
    }
    if (strcmp(name, "log") == 0) {
        return command_log(cli, a);
    }
    if (strcmp(name, "version") == 0) {
        return command_version();
    }
    if (strcmp(name, "help") == 0) {
        cli_help(stdout);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (strcmp(name, later[i]) == 0) {
            cli_usage("'%s' is not in this version", name);
        }
    }
    cli_usage("there is no command '%s': see leat help", name);
}

int main(int argc, char **argv)
{
    static const struct cli_flag flags[] = {{1, 'V', "version", false}, {0, 0, NULL, false}};
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
    if (is_kcat(argc, argv)) {
        cli.kcat = true;
        status = command_kcat(&cli, &args);
    } else {
        int id = args_next(&args, &cli);
        if (id == 1) {
            return command_version();
        }
        if (id != ARG_WORD) {
            cli_help(stderr);
            return EXIT_USAGE;
        }
        status = command_run(&cli, &args, args.value);
    }
    leat_close(cli.client);
    if (!cli_flush()) {
        cli_say("cannot write the output: %s", strerror(cli_output_error));
        return status ? status : EXIT_FAILED;
    }
    return status;
}
