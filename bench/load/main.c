/* SPDX-License-Identifier: Apache-2.0 */

/* leat-bench: load for a broker, and what came of it.
 *
 *     leat-bench [options]        open loop on a client library: latencies from the intended time of sending
 *     leat-bench raw [options]    one socket without a client library: the broker's ceiling
 *     leat-bench drain [options]  how fast a topic that is there is read
 *     leat-bench start ... -- COMMAND   starts a broker and times its first acknowledged record */
#include "load/load.h"

#include <signal.h>
#include <string.h>

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "raw") == 0) {
        return command_raw(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "start") == 0) {
        return command_start(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "drain") == 0) {
        return command_drain(argc - 1, argv + 1);
    }
    return command_load(argc, argv);
}
