/* SPDX-License-Identifier: Apache-2.0 */

/* load: the commands of leat-bench. */
#pragma once

/* Each: argv[0] is the command's word; the exit status. */
int command_load(int argc, char **argv);
int command_raw(int argc, char **argv);
int command_start(int argc, char **argv);
int command_drain(int argc, char **argv);
