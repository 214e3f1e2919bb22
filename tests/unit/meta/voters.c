/* SPDX-License-Identifier: Apache-2.0 */

/* VotersRecord and what of it a batch may hold: good ones come back as they went, others are refused. */
#include "meta/records.h"
#include "meta/voters.h"

#include <stdio.h>

#include <criterion/criterion.h>

static struct voters some(uint32_t count)
{
    struct voters v = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        v.list[i].id = (struct raft_id){(int32_t)i + 1, {{(uint8_t)(i + 1), 9}}};
        snprintf(v.list[i].name, sizeof v.list[i].name, "PLAINTEXT");
        snprintf(v.list[i].host, sizeof v.list[i].host, "broker-%u.example", (unsigned)i);
        v.list[i].port = (uint16_t)(9092 + i);
    }
    return v;
}

static void same(const struct voters *a, const struct voters *b)
{
    cr_assert_eq(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        cr_assert(raft_id_equal(a->list[i].id, b->list[i].id));
        cr_assert_str_eq(a->list[i].name, b->list[i].name);
        cr_assert_str_eq(a->list[i].host, b->list[i].host);
        cr_assert_eq(a->list[i].port, b->list[i].port);
    }
}

struct fixture {
    struct memory memory;
    struct wire_writer writer;
    struct voters out;
};

static struct bytes encode(struct fixture *f, const struct voters *v)
{
    memory_init(&f->memory, 1 << 20);
    wire_writer_init(&f->writer, &f->memory, VOTERS_BYTES_MAX);
    cr_assert_eq(voters_encode(v, &f->writer), 0);
    return bytes_of(f->writer.data, f->writer.size);
}

static void end(struct fixture *f)
{
    wire_writer_deinit(&f->writer);
    cr_assert_eq(f->memory.used_bytes, 0);
    memory_drop(&f->memory);
}

Test(voters, what_was_written_is_read)
{
    for (uint32_t count = 1; count <= RAFT_VOTERS_MAX; count++) {
        struct fixture f;
        struct voters v = some(count);
        cr_assert_eq(voters_decode(&f.out, encode(&f, &v), &f.memory), 0);
        same(&v, &f.out);
        struct raft_voters ids = voters_ids(&v);
        cr_assert(raft_voters_have(&ids, v.list[count - 1].id));
        cr_assert_eq(voters_find(&v, (int32_t)count), &v.list[count - 1]);
        cr_assert_null(voters_find(&v, 0));
        end(&f);
    }
}

Test(voters, a_node_twice_or_none_is_refused)
{
    struct fixture f;
    struct voters v = some(3);
    v.list[2].id.node = 1;
    cr_assert_eq(voters_decode(&f.out, encode(&f, &v), &f.memory), ERR_MALFORMED);
    end(&f);
    v = some(2);
    v.list[1].host[0] = 0;
    cr_assert_eq(voters_decode(&f.out, encode(&f, &v), &f.memory), ERR_MALFORMED);
    end(&f);
    v = some(2);
    v.list[0].id.node = -1;
    cr_assert_eq(voters_decode(&f.out, encode(&f, &v), &f.memory), ERR_MALFORMED);
    end(&f);
}

Test(voters, any_bytes_are_survived)
{
    struct fixture f;
    struct voters v = some(3);
    struct bytes good = encode(&f, &v);
    uint8_t bytes[1024];
    cr_assert_lt(good.size, sizeof bytes);
    for (size_t size = 0; size < good.size; size++) {
        cr_assert_neq(voters_decode(&f.out, bytes_of(good.data, size), &f.memory), 0);
    }
    for (size_t i = 0; i < good.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bytes, good.data, good.size);
            bytes[i] ^= (uint8_t)(1 << bit);
            if (voters_decode(&f.out, bytes_of(bytes, good.size), &f.memory) == 0) {
                cr_assert(f.out.count >= 1 && f.out.count <= RAFT_VOTERS_MAX);
            }
        }
    }
    end(&f);
}

Test(voters, a_batch_tells_of_the_last_that_it_holds)
{
    struct fixture f;
    struct voters before = some(1), v = some(3);
    struct bytes value = encode(&f, &v), batch;
    struct wire_writer first;
    struct batch_builder b;
    wire_writer_init(&first, &f.memory, VOTERS_BYTES_MAX);
    cr_assert_eq(voters_encode(&before, &first), 0);
    batch_builder_init(&b, &f.memory, 1 << 16);
    cr_assert_eq(control_append_bytes(&b, CONTROL_VOTERS, bytes_of(first.data, first.size), 1), 0);
    cr_assert_eq(control_append_bytes(&b, CONTROL_VOTERS, value, 1), 0);
    struct batch_options options = batch_options_default();
    options.attributes = BATCH_CONTROL;
    cr_assert_eq(batch_finish(&b, &options, &batch), 0);
    cr_assert_eq(voters_of_batch(&f.out, batch.data, batch.size, &f.memory), 1);
    same(&v, &f.out);
    cr_assert_neq(voters_of_batch(&f.out, batch.data, batch.size - 1, &f.memory), 1);
    batch_builder_reset(&b);
    options.attributes = 0;
    cr_assert_eq(control_append_bytes(&b, CONTROL_VOTERS, value, 1), 0);
    cr_assert_eq(batch_finish(&b, &options, &batch), 0);
    cr_assert_eq(voters_of_batch(&f.out, batch.data, batch.size, &f.memory), 0, "no control batch");
    batch_builder_deinit(&b);
    wire_writer_deinit(&first);
    end(&f);
}
