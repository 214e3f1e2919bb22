/* SPDX-License-Identifier: Apache-2.0 */

#include "loading.h"

#include <criterion/criterion.h>
#include <stdio.h>

void loading_line(void *context, const char *line)
{
    struct loading *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
    l->lines++;
}

static void loading_begin(struct loading *l)
{
    memset(l, 0, sizeof *l);
    memory_init(&l->memory, 64 << 20);
}

static void loading_finish(struct loading *l, const struct config_input *input)
{
    l->error = config_load(&l->config, &l->memory, input, loading_line, l);
    cr_assert_eq(l->error != 0, l->config == NULL);
    if (l->error) {
        cr_assert_eq(l->memory.used_bytes, 0u, "a refused configuration leaves nothing behind");
        cr_assert_gt(l->lines, 0u, "an error without a message");
    }
}

void loading_run_bytes(struct loading *l, struct bytes file)
{
    loading_begin(l);
    loading_finish(l, &(struct config_input){.file_name = "leat.yaml", .file = file});
}

void loading_run(struct loading *l, const char *file, const char *const *environment,
                 const char *const *settings)
{
    struct config_setting pairs[16];
    char keys[16][64];
    struct config_input input = {.environment = environment, .settings = pairs};
    loading_begin(l);
    if (file) {
        input.file_name = "leat.yaml";
        input.file = bytes_of_string(file);
    }
    for (; settings && settings[input.setting_count]; input.setting_count++) {
        const char *pair = settings[input.setting_count], *equals = strchr(pair, '=');
        cr_assert(equals && equals - pair < 64 && input.setting_count < 16);
        snprintf(keys[input.setting_count], 64, "%.*s", (int)(equals - pair), pair);
        pairs[input.setting_count] =
            (struct config_setting){"--set", keys[input.setting_count], equals + 1};
    }
    loading_finish(l, &input);
}

void loading_end(struct loading *l)
{
    config_free(l->config);
    cr_assert_eq(l->memory.used_bytes, 0u);
}
