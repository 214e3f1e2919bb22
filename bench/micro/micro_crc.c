/* SPDX-License-Identifier: Apache-2.0 */

/* micro_crc: what a checksum and a copy cost, by size: alone, one after the other, and fused.
 *
 * "hot" copies between two buffers that stay in the caches; "ring" copies into the next place of
 * 32 MiB, as the journal does. Variants take turns within a round. */
#include "base/crc32c.h"
#include "report/clock.h"
#include "report/options.h"
#include "report/samples.h"
#include "report/table.h"

#include <stdio.h>
#include <string.h>

enum { SOURCE_SIZE = 1 << 20, RING_SIZE = 32 << 20, SIZES = 6, OFFSET = 512 };

static const size_t sizes[SIZES] = {64, 256, 1024, 16384, 65536, 1 << 20};

struct bench {
    uint8_t *source, *hot, *ring;
    size_t ring_at;
    uint32_t sink; /* of all sums: none may be left out */
};

typedef void (*variant_fn)(struct bench *b, size_t size);

static uint8_t *ring_room(struct bench *b, size_t size)
{
    if (b->ring_at + size > RING_SIZE) {
        b->ring_at = 0;
    }
    uint8_t *room = b->ring + b->ring_at;
    b->ring_at += (size + 4095) & ~(size_t)4095;
    return room;
}

static void run_memcpy(struct bench *b, size_t size)
{
    memcpy(b->hot, b->source, size);
    __asm__ volatile("" ::"r"(b->hot) : "memory");
}

static void run_crc_portable(struct bench *b, size_t size)
{
    b->sink ^= crc32c_by(CRC32C_PORTABLE, 0, b->source, size);
}

static void run_crc_sse42(struct bench *b, size_t size)
{
    b->sink ^= crc32c_by(CRC32C_SSE42, 0, b->source, size);
}

static void run_crc_best(struct bench *b, size_t size)
{
    b->sink ^= crc32c(0, b->source, size);
}

static void run_memcpy_crc(struct bench *b, size_t size)
{
    run_memcpy(b, size);
    b->sink ^= crc32c(0, b->hot, size);
}

static void run_fused(struct bench *b, size_t size)
{
    b->sink ^= crc32c_copy(0, b->hot, b->source, size);
}

static void run_ring_memcpy_crc(struct bench *b, size_t size)
{
    uint8_t *to = ring_room(b, size);
    memcpy(to, b->source, size);
    b->sink ^= crc32c(0, to, size);
}

static void run_ring_fused(struct bench *b, size_t size)
{
    b->sink ^= crc32c_copy(0, ring_room(b, size), b->source, size);
}

static const struct {
    const char *name;
    variant_fn run;
    enum crc32c_path needs;
} variants[] = {
    {"memcpy, hot", run_memcpy, CRC32C_PORTABLE},
    {"crc, portable", run_crc_portable, CRC32C_PORTABLE},
    {"crc, sse4.2", run_crc_sse42, CRC32C_SSE42},
    {"crc, best path", run_crc_best, CRC32C_PORTABLE},
    {"memcpy then crc, hot", run_memcpy_crc, CRC32C_PORTABLE},
    {"fused copy, hot", run_fused, CRC32C_PORTABLE},
    {"memcpy then crc, ring", run_ring_memcpy_crc, CRC32C_PORTABLE},
    {"fused copy, ring", run_ring_fused, CRC32C_PORTABLE},
};

enum { VARIANTS = sizeof variants / sizeof *variants };

/* Bytes per nanosecond, which is GB/s. */
static double measure(struct bench *b, variant_fn run, size_t size, uint64_t for_ns)
{
    uint64_t begin = clock_ns(), now, bytes = 0;
    do {
        for (size_t i = 0; i < 1 + 65536 / size; i++) {
            run(b, size);
            bytes += size;
        }
        now = clock_ns();
    } while (now - begin < for_ns);
    return (double)bytes / (double)(now - begin);
}

static void bench_init(struct bench *b)
{
    b->source = aligned_alloc(4096, SOURCE_SIZE);
    b->hot = aligned_alloc(4096, SOURCE_SIZE + 4096);
    b->ring = aligned_alloc(4096, RING_SIZE);
    if (!b->source || !b->hot || !b->ring) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < SOURCE_SIZE; i++) {
        b->source[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    memset(b->ring, 1, RING_SIZE);
    /* Not at the same place of a page as the source, which slows some copies down by itself. */
    b->hot += OFFSET;
}

static void bench_deinit(struct bench *b)
{
    free(b->source);
    free(b->hot - OFFSET);
    free(b->ring);
}

int main(int argc, char **argv)
{
    static const struct table_column columns[] = {
        {"variant", TABLE_TEXT}, {"64 B", 1},   {"256 B", 1}, {"1 KiB", 1},
        {"16 KiB", 1},           {"64 KiB", 1}, {"1 MiB", 1}, {NULL, 0}};
    static const char *const paths[] = {"portable", "sse4.2", "avx512"};
    bool json = false;
    double seconds = 0.02;
    uint64_t rounds = 5;
    const struct option_spec specs[] = {
        {"seconds", OPTION_SECONDS, &seconds, "of each measurement"},
        {"rounds", OPTION_COUNT, &rounds, "of which the median is told"},
        {"json", OPTION_FLAG, &json, "print JSON"},
        {NULL, OPTION_FLAG, NULL, NULL},
    };
    options_parse(specs, argc, argv, "micro_crc [options]");
    struct bench b = {0};
    static struct samples samples[VARIANTS][SIZES];
    struct report report;
    bench_init(&b);
    rounds = rounds < SAMPLES_MAX ? rounds : SAMPLES_MAX;
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t s = 0; s < SIZES; s++) {
            for (size_t v = 0; v < VARIANTS; v++) {
                if (variants[v].needs <= crc32c_path_best()) {
                    samples_add(&samples[v][s],
                                measure(&b, variants[v].run, sizes[s], clock_seconds(seconds)));
                }
            }
        }
    }
    report_init(&report, "micro_crc");
    report_condition(&report, "best path", "%s", paths[crc32c_path_best()]);
    report_condition(&report, "rounds", "%llu", (unsigned long long)rounds);
    struct table *t = report_table(&report, "crc", "GB/s, median", columns);
    for (size_t v = 0; v < VARIANTS; v++) {
        table_text(t, variants[v].name);
        for (size_t s = 0; s < SIZES; s++) {
            if (samples[v][s].count) {
                table_number(t, samples_median(&samples[v][s]));
            } else {
                table_none(t);
            }
        }
    }
    report_print(&report, json);
    report_deinit(&report);
    bench_deinit(&b);
    __asm__ volatile("" ::"r"(b.sink));
    return 0;
}
