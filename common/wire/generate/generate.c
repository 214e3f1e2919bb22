/* SPDX-License-Identifier: Apache-2.0 */

/* generate: makes messages.h and messages.c of the schemas, at build time.
 *
 *     generate messages.h messages.c schema/api_table.yaml schema/FILE.yaml...
 *     generate --facts schema/api_table.yaml schema/FILE.yaml...
 *
 * The header holds a struct per message and nested struct, with decode, encode and init; the source
 * holds the tables that common/wire/codec.c interprets and, for messages marked hot, straight code.
 * --facts prints what was understood, a line per field, for tests/wire/conformance.py. */
#include "emit.h"

#include <stdlib.h>
#include <string.h>

static FILE *output_open(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        schema_fail(path, 0, "cannot be written");
    }
    return file;
}

static void output_close(FILE *file, const char *path)
{
    if (ferror(file) | fclose(file)) {
        schema_fail(path, 0, "cannot be written");
    }
}

int main(int argc, char **argv)
{
    bool facts = argc > 2 && strcmp(argv[1], "--facts") == 0;
    int first = facts ? 2 : 3;
    if (argc <= first) {
        fprintf(stderr, "usage: generate HEADER SOURCE SCHEMA... | generate --facts SCHEMA...\n");
        return 64;
    }
    struct memory memory;
    memory_init(&memory, 64 << 20);
    struct schema schema = {.memory = &memory};
    schema.messages_end = &schema.messages;
    schema.apis_end = &schema.apis;
    for (int i = first; i < argc; i++) {
        schema_read(&schema, argv[i]);
    }
    schema_finish(&schema);
    if (facts) {
        emit_facts(&schema, stdout);
    } else {
        FILE *header = output_open(argv[1]);
        emit_header(&schema, header);
        output_close(header, argv[1]);
        FILE *source = output_open(argv[2]);
        emit_source(&schema, source);
        output_close(source, argv[2]);
    }
    memory_drop(&memory);
    return 0;
}
