/* SPDX-License-Identifier: Apache-2.0 */

#include "fake_io.h"

#include <criterion/criterion.h>
#include <errno.h>

enum fake_kind { FAKE_READ, FAKE_TIMER, FAKE_WORK };

enum { WORD_KIND, WORD_A, WORD_B, WORD_C, WORD_D };

static struct fake_io *fake_of(struct io *io)
{
    return container_of(io, struct fake_io, io);
}

static void fake_submit(struct io *io, struct io_op *op, enum fake_kind kind)
{
    struct fake_io *f = fake_of(io);
    op->priv.words[WORD_KIND] = kind;
    list_init(&op->priv.link);
    list_append(&f->pending, &op->priv.link);
    f->pending_count++;
    f->pending_max = f->pending_count > f->pending_max ? f->pending_count : f->pending_max;
}

static void fake_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer,
                      size_t size, uint64_t position)
{
    cr_assert_eq((uintptr_t)buffer % IO_BLOCK_SIZE, 0, "memory of a direct read is aligned");
    cr_assert_eq(size % IO_BLOCK_SIZE, 0);
    cr_assert_eq(position % IO_BLOCK_SIZE, 0);
    struct fake_io *f = fake_of(io);
    f->reads++;
    op->priv.words[WORD_A] = (uintptr_t)file;
    op->priv.words[WORD_B] = (uintptr_t)buffer;
    bool broken = f->broken && position <= f->broken && f->broken < position + size;
    op->priv.words[WORD_C] = f->reads == f->fail_read || broken ? 0 : size;
    op->priv.words[WORD_D] = position;
    fake_submit(io, op, FAKE_READ);
}

static void fake_timer(struct io *io, struct io_op *op, uint64_t deadline_ns)
{
    op->priv.words[WORD_A] = deadline_ns;
    fake_of(io)->timers++;
    fake_submit(io, op, FAKE_TIMER);
}

static void fake_work(struct io *io, struct io_op *op, void (*function)(void *argument),
                      void *argument, bool behind)
{
    (void)behind;
    op->priv.words[WORD_A] = (uintptr_t)function;
    op->priv.words[WORD_B] = (uintptr_t)argument;
    fake_of(io)->works++;
    fake_submit(io, op, FAKE_WORK);
}

static void fake_cancel(struct io *io, struct io_op *op)
{
    if (op->priv.words[WORD_KIND] == FAKE_TIMER) {
        op->priv.words[WORD_A] = 0;
    }
}

static uint64_t fake_clock(struct io *io)
{
    return io->now_ns;
}

static const struct io_ops fake_ops = {
    .name = "fake",
    .clock = fake_clock,
    .read = fake_read,
    .timer = fake_timer,
    .work = fake_work,
    .cancel = fake_cancel,
};

void fake_io_init(struct fake_io *f, uint64_t seed, size_t memory_bytes)
{
    *f = (struct fake_io){.random = prng_of(seed)};
    list_init(&f->pending);
    io_init(&f->io, &fake_ops, NULL, 0, 1, memory_bytes);
}

void fake_io_deinit(struct fake_io *f)
{
    cr_assert(list_empty(&f->pending), "operations are in flight");
    cr_assert_eq(f->io.memory.used_bytes, 0, "memory is left behind");
}

struct io_file fake_file(uint8_t *data, uint64_t size)
{
    return (struct io_file){&fake_ops, data, size};
}

/* The operation to complete next: a timer only if there is nothing else. */
static struct io_op *fake_choose(struct fake_io *f)
{
    struct io_op *timer = NULL, *chosen = NULL;
    uint64_t others = 0;
    list_each (node, &f->pending) {
        struct io_op *op = container_of(node, struct io_op, priv.link);
        if (op->priv.words[WORD_KIND] == FAKE_TIMER) {
            if (!timer || op->priv.words[WORD_A] < timer->priv.words[WORD_A]) {
                timer = op;
            }
        } else {
            others++;
            if (others == 1 || (f->shuffle && prng_chance(&f->random, 1, others))) {
                chosen = op;
            }
        }
    }
    return chosen ? chosen : timer;
}

bool fake_io_step(struct fake_io *f)
{
    struct io_op *op = fake_choose(f);
    if (!op) {
        return false;
    }
    uint64_t *w = op->priv.words;
    list_remove(&op->priv.link);
    f->pending_count--;
    int64_t result = 0;
    if (w[WORD_KIND] == FAKE_READ && w[WORD_C] == 0) {
        result = -EIO;
    } else if (w[WORD_KIND] == FAKE_READ) {
        const struct io_file *file = (const struct io_file *)(uintptr_t)w[WORD_A];
        uint64_t left = w[WORD_D] < file->size ? file->size - w[WORD_D] : 0;
        result = (int64_t)(w[WORD_C] < left ? w[WORD_C] : left);
        if (result > 0) {
            memcpy((void *)(uintptr_t)w[WORD_B], file->data + w[WORD_D], (size_t)result);
        }
    } else if (w[WORD_KIND] == FAKE_WORK) {
        void (*function)(void *) = (void (*)(void *))(uintptr_t)w[WORD_A];
        function((void *)(uintptr_t)w[WORD_B]);
    } else if (w[WORD_A] == 0) {
        result = -ECANCELED;
    } else if (w[WORD_A] > f->io.now_ns) {
        f->io.now_ns = w[WORD_A];
    }
    io_complete(op, result);
    return true;
}

void fake_io_run(struct fake_io *f)
{
    while (fake_io_step(f)) {
    }
}
