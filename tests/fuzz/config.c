/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a configuration file: an answer, no crash, nothing left behind; and what is taken
 * prints as a file that is taken again. */
#include "config/config.h"

#include <stdlib.h>

enum { BUDGET = 64 << 20, PRINTED_MAX = 1 << 16 };

struct printed {
    char text[PRINTED_MAX];
    size_t size;
};

static void ignore_line(void *context, const char *line)
{
    assert(strchr(line, '\n') == NULL);
}

static void keep_line(void *context, const char *line)
{
    struct printed *p = context;
    size_t size = strlen(line);
    assert(size + 1 < sizeof p->text - p->size);
    memcpy(p->text + p->size, line, size);
    p->text[p->size + size] = '\n';
    p->size += size + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory;
    struct config *config = NULL, *again = NULL;
    memory_init(&memory, BUDGET);
    struct config_input input = {.file_name = "fuzz.yaml", .file = bytes_of(data, size)};
    if (config_load(&config, &memory, &input, ignore_line, NULL) == 0) {
        struct printed *p = calloc(1, sizeof *p);
        config_print(config, keep_line, p);
        input.file = bytes_of(p->text, p->size);
        int error = config_load(&again, &memory, &input, ignore_line, NULL);
        assert(error == 0);
        config_free(again);
        config_free(config);
        free(p);
    }
    assert(memory.used_bytes == 0);
    return 0;
}
