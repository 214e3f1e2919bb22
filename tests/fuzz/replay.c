/* SPDX-License-Identifier: Apache-2.0 */

/* replay: runs a fuzz target over the files of its corpus, without a fuzzer. Each file is read into
 * memory of its exact size, so that a sanitizer sees every read beyond it. */
#include "base/assert.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        return false;
    }
    long size = ftell(file);
    assert(size >= 0);
    rewind(file);
    uint8_t *data = malloc(size ? (size_t)size : 1);
    assert(data);
    bool whole = fread(data, 1, (size_t)size, file) == (size_t)size;
    fclose(file);
    if (whole) {
        LLVMFuzzerTestOneInput(data, (size_t)size);
    }
    free(data);
    return whole;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.') {
                if (!replay_file(path)) {
                    return 1;
                }
                count++;
            }
        }
        if (folder) {
            closedir(folder);
        }
    }
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
