/* SPDX-License-Identifier: Apache-2.0 */

/* Bytes that nobody means well: an answer always comes, soon, and nothing is left behind. */
#include "loading.h"

#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void load_and_forget(struct bytes file)
{
    struct loading *l = malloc(sizeof *l);
    loading_run_bytes(l, file);
    loading_end(l);
    free(l);
}

static void load_repeated(const char *piece, size_t size)
{
    size_t piece_size = strlen(piece);
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) {
        text[i] = piece[i % piece_size];
    }
    load_and_forget(bytes_of(text, size));
    free(text);
}

Test(hostile, repeated_pieces_up_to_the_size_limit)
{
    static const char *const pieces[] = {"[",
                                         "{a: ",
                                         "- ",
                                         "a: b\n",
                                         "? ",
                                         "log: {",
                                         "&a ",
                                         "*a ",
                                         "\n",
                                         " ",
                                         "'",
                                         "\"\\",
                                         "!",
                                         "%YAML 1.1\n",
                                         "a",
                                         "#",
                                         "listeners: [{",
                                         "node.id: 1\n",
                                         "a:\n a:\n  ",
                                         "\xef\xbb\xbf",
                                         "--- \n",
                                         "|\n",
                                         "\xc2\x85"};
    for (size_t i = 0; i < array_size(pieces); i++) {
        load_repeated(pieces[i], 5000);
        load_repeated(pieces[i], CONFIG_FILE_MAX);
    }
}

Test(hostile, too_large_a_file)
{
    struct loading *l = malloc(sizeof *l);
    char *text = calloc(1, CONFIG_FILE_MAX + 1);
    loading_run_bytes(l, bytes_of(text, CONFIG_FILE_MAX + 1));
    cr_assert_str_eq(l->text, "leat.yaml: error: the file is larger than 1048576 bytes\n");
    loading_end(l);
    free(text);
    free(l);
}

Test(hostile, problems_are_not_listed_without_end)
{
    struct loading *l = malloc(sizeof *l);
    char *text = calloc(1, 100000);
    for (int i = 0; i < 5000; i++) {
        strcpy(text + i * 14, "nodes.idd: 12\n");
    }
    loading_run_bytes(l, bytes_of_string(text));
    cr_assert_eq(l->error, ERR_BAD_CONFIG);
    cr_assert_lt(l->lines, 500u);
    cr_assert_not_null(strstr(l->text, "error: too many problems; the rest is not shown\n"));
    loading_end(l);
    free(text);
    free(l);
}

static const char good[] = "node.id: 1\n"
                           "listeners:\n"
                           "  - { name: plain, address: 127.0.0.1:9092, advertised: b:9092 }\n"
                           "limits: { memory: 512MiB, connections: 10000 }\n"
                           "log:\n"
                           "  segment.bytes: 1GiB\n"
                           "  retention: { ms: 7d, bytes: -1 }\n"
                           "io.uring.disabled: [msg_ring, \"dsync_write\"]\n"
                           "default.durability: fsync # ours\n";

Test(hostile, changed_bytes)
{
    static const char spice[] = "{}[]:,-?&*!|>'\"%@`#\n\t\r \\0~\x80\xff\x00";
    struct prng random = prng_of(77);
    for (int round = 0; round < 3000; round++) {
        char text[sizeof good];
        size_t size = sizeof good - 1;
        memcpy(text, good, size);
        for (uint64_t i = prng_below(&random, 6); i > 0; i--) {
            text[prng_below(&random, size)] = spice[prng_below(&random, sizeof spice)];
        }
        load_and_forget(
            bytes_of(text, prng_chance(&random, 1, 4) ? prng_below(&random, size) : size));
    }
}

Test(hostile, random_bytes)
{
    struct prng random = prng_of(78);
    for (int round = 0; round < 1000; round++) {
        uint8_t bytes[300];
        prng_fill(&random, bytes, sizeof bytes);
        load_and_forget(bytes_of(bytes, prng_below(&random, sizeof bytes)));
    }
}

/* Every budget from nothing on: loading fails with ERR_NO_MEMORY and frees what it took, until it
 * fits. */
Test(hostile, out_of_memory_at_every_step)
{
    int fitted = 0;
    for (size_t budget = 0; fitted < 3 && budget < (1 << 20); budget += 64) {
        struct loading *l = calloc(1, sizeof *l);
        memory_init(&l->memory, budget);
        struct config_input input = {.file_name = "leat.yaml", .file = bytes_of_string(good)};
        int error = config_load(&l->config, &l->memory, &input, loading_line, l);
        cr_assert(error == 0 || error == ERR_NO_MEMORY, "budget %zu: %d %s", budget, error,
                  l->text);
        fitted += error == 0;
        config_free(l->config);
        cr_assert_eq(l->memory.used_bytes, 0u);
        free(l);
    }
    cr_assert_eq(fitted, 3);
}
