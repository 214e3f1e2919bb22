/* SPDX-License-Identifier: Apache-2.0 */

/* leat cheat: command lines to start from. tests/compat/test_console.py runs every one of them. */
#include "cli/cli.h"

#include <string.h>

static const struct {
    const char *command, *lines;
} sheets[] = {
    {"topic",
     "leat topic create orders -p 4                      a topic with four partitions\n"
     "leat topic create clicks -c durability=memory      faster; survives a kill, not a power cut\n"
     "leat topic list\n"
     "leat topic describe orders                         leaders, offsets, configuration\n"
     "leat topic offsets orders -t -5m                   where five minutes ago begins\n"
     "leat topic alter orders --set retention.ms=86400000\n"
     "leat topic add-partitions orders --total 8\n"
     "leat topic trim clicks -o end                      forgets all records\n"
     "leat topic reassign orders --replicas 1            to this broker; 1,2,3: to these, in turn\n"
     "leat topic reassign                                what is on its way\n"
     "leat topic elect orders                            leaders where they belong\n"
     "leat topic delete clicks\n"},
    {"produce",
     "echo hello | leat produce orders                   one record for each line\n"
     "echo 'k:v' | leat produce orders -K :              key and value\n"
     "echo '{\"id\":7}' | leat produce orders --key-field id\n"
     "echo x | leat produce orders -k customer-7 -H source=web -z zstd\n"
     "leat consume orders -J -e | leat produce copy -J   with keys, headers and times\n"},
    {"consume",
     "leat consume orders -e                             what is there, then the end\n"
     "leat consume orders -o -5 -e                       the last five of each partition\n"
     "leat consume orders -o @-1h -e                     of the last hour\n"
     "leat consume orders -o 2:4 -p 0                    offsets 2 and 3 of partition 0\n"
     "leat consume orders -e -f '%p %o %d %k %v\\n'\n"
     "leat consume orders -g billing -e                  as a member of a group, which remembers\n"
     "leat consume orders -e --meta-only --pretty        sizes and headers alone\n"
     "leat consume 'ord.*' --regex -e -n 3               three of all that match\n"},
    {"group", "leat group list\n"
              "leat group reset billing --topic orders --to-earliest --execute\n"
              "leat group describe billing                        members, and what each reads\n"
              "leat group lag billing                             in records and in time\n"
              "leat group reset billing --shift -2                shows what would change\n"
              "leat group delete billing\n"},
    {"cluster",
     "leat cluster info\n"
     "leat cluster health --exit-when-healthy\n"
     "leat cluster brokers\n"
     "leat cluster quorum                                who votes on the metadata\n"
     "leat cluster drain 2                               others lead what broker 2 leads\n"
     "leat cluster undrain 1                             a broker leads again after drain\n"
     "leat cluster decommission 2                        all its replicas go to others\n"
     "leat cluster remove 2                              takes a node's vote on the metadata\n"
     "leat cluster forget 2                              a broker that will not come back\n"
     "leat cluster add 2                                 gives a node a vote\n"
     "leat cluster transfer-leader 1                     of the metadata quorum, to a voter\n"
     "leat cluster config\n"
     "leat cluster config --all --set min.insync.replicas=2\n"},
    {"log",
     "leat log verify /var/lib/leat                      every byte of a stopped broker's data\n"
     "leat log dump /var/lib/leat/journal-0/checkpoint-0\n"},
    {"context", "leat context save staging -b 127.0.0.1:9092\n"
                "leat context use staging\n"
                "leat context list\n"
                "leat context rm staging\n"},
    {"kcat", "echo hello | leat -P -t orders\n"
             "leat -C -t orders -e -f '%k %s\\n'\n"
             "leat -L -J\n"
             "leat -Q -t orders:0:0\n"},
};

static int cheat_run(struct cli *cli, struct args *a)
{
    const char *wanted = NULL;
    bool found = false;
    while (args_next(a, cli) != ARG_END) {
        wanted = a->value;
    }
    for (size_t i = 0; i < sizeof sheets / sizeof *sheets; i++) {
        if (!wanted || strcmp(wanted, sheets[i].command) == 0) {
            printf("%s%s:\n", found ? "\n" : "", sheets[i].command);
            found = true;
            fputs(sheets[i].lines, stdout);
        }
    }
    if (!found) {
        cli_usage("there is no sheet for '%s': leat cheat shows all", wanted);
    }
    return EXIT_DONE;
}

static const struct cli_flag none[] = {{0}};

const struct cli_command command_cheat = {
    .name = "cheat",
    .words = "[COMMAND]",
    .summary = "command lines to start from",
    .flags = none,
    .run = cheat_run,
    .values = "topic produce consume group cluster log context kcat",
};
