/* SPDX-License-Identifier: Apache-2.0 */

#include "report/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };

static bool first_line(const char *path, char out[static LINE_SIZE])
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    bool got = fgets(out, LINE_SIZE, file) != NULL;
    fclose(file);
    return got;
}

bool process_cost(pid_t pid, struct process_cost *out)
{
    char path[64], line[LINE_SIZE];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!first_line(path, line)) {
        return false;
    }
    /* The name in parentheses may hold anything; the fields are counted from behind it. */
    const char *fields = strrchr(line, ')');
    uint64_t user, system, rss_pages;
    if (!fields || sscanf(fields + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                          " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
                          &user, &system, &rss_pages) != 3) {
        return false;
    }
    out->cpu_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    out->rss_bytes = rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

double process_steal(void)
{
    char line[LINE_SIZE];
    uint64_t steal;
    if (!first_line("/proc/stat", line) ||
        sscanf(line, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &steal) != 1) {
        return 0;
    }
    return (double)steal / (double)sysconf(_SC_CLK_TCK);
}
