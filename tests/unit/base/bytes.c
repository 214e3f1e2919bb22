/* SPDX-License-Identifier: Apache-2.0 */

/* Cursors never pass their end, whatever is asked of them, and stay failed. */
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/list.h"
#include "base/uuid.h"

#include <criterion/criterion.h>

Test(bytes, big_endian_there_and_back)
{
    uint8_t b[8];
    put_be64(b, 0x0102030405060708);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(b[i], i + 1);
    }
    cr_assert_eq(get_be64(b), 0x0102030405060708u);
    put_be32(b, 0xfffefdfc);
    cr_assert_eq(get_be32(b), 0xfffefdfcu);
    put_be16(b, 0x8001);
    cr_assert_eq(get_be16(b), 0x8001);
}

Test(bytes, reader_latches_at_the_end)
{
    uint8_t data[15];
    for (int i = 0; i < 15; i++) {
        data[i] = (uint8_t)(i + 1);
    }
    struct reader r = reader_of(data, sizeof data);
    cr_assert_eq(reader_u8(&r), 1);
    cr_assert_eq(reader_be16(&r), 0x0203);
    cr_assert_eq(reader_be32(&r), 0x04050607u);
    cr_assert_eq(reader_be64(&r), 0x08090a0b0c0d0e0fu);
    cr_assert_not(r.failed);
    cr_assert_eq(reader_left(&r), 0u);
    cr_assert_not_null(reader_take(&r, 0));
    cr_assert_eq(reader_u8(&r), 0);
    cr_assert(r.failed);
    r = reader_of(data, sizeof data);
    cr_assert_null(reader_take(&r, SIZE_MAX));
    cr_assert_eq(reader_u8(&r), 0, "a failed reader gives nothing more");
    cr_assert_eq(r.position, 0u);
}

Test(bytes, writer_never_passes_its_capacity)
{
    uint8_t data[16];
    memset(data, 0xaa, sizeof data);
    struct writer w = writer_of(data, 15);
    writer_u8(&w, 1);
    writer_be16(&w, 2);
    writer_be32(&w, 3);
    writer_be64(&w, 4);
    writer_put(&w, NULL, 0);
    cr_assert_not(w.failed);
    cr_assert_eq(w.size, 15u);
    writer_u8(&w, 9);
    cr_assert(w.failed);
    cr_assert_eq(data[15], 0xaa);
    w = writer_of(data, 3);
    writer_be32(&w, 1);
    writer_u8(&w, 1);
    cr_assert(w.failed);
    cr_assert_eq(w.size, 0u, "a failed writer takes nothing more");
    w = writer_of(data, 3);
    cr_assert_null(writer_room(&w, SIZE_MAX));
}

Test(bytes, equality)
{
    cr_assert(bytes_equal(bytes_of("ab", 2), bytes_of_string("ab")));
    cr_assert_not(bytes_equal(bytes_of("ab", 2), bytes_of_string("abc")));
    cr_assert(bytes_equal(bytes_of(NULL, 0), bytes_of_string("")));
}

Test(uuid, text_is_kafkas)
{
    char text[UUID_TEXT_SIZE];
    struct uuid id = {{0}};
    uuid_text(id, text);
    cr_assert_str_eq(text, "AAAAAAAAAAAAAAAAAAAAAA");
    cr_assert(uuid_is_zero(id));
    memset(id.bytes, 0xff, sizeof id.bytes);
    uuid_text(id, text);
    cr_assert_str_eq(text, "_____________________w");
    for (int i = 0; i < 16; i++) {
        id.bytes[i] = (uint8_t)i;
    }
    uuid_text(id, text);
    cr_assert_str_eq(text, "AAECAwQFBgcICQoLDA0ODw");
}

struct item {
    int number;
    struct list link;
};

Test(list, order_removal_and_splicing)
{
    struct list a, b;
    struct item items[6];
    list_init(&a);
    list_init(&b);
    cr_assert_null(list_pop(&a));
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_init(&items[i].link);
        list_append(i < 3 ? &a : &b, &items[i].link);
    }
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    list_splice(&a, &b);
    cr_assert(list_empty(&b));
    int expected[] = {0, 2, 3, 4, 5}, at = 0;
    list_each (node, &a) {
        cr_assert_eq(container_of(node, struct item, link)->number, expected[at++]);
        list_remove(node);
    }
    cr_assert_eq(at, 5);
    cr_assert(list_empty(&a));
}

static void mark_freed(struct buffer *b)
{
    *b->data = 1;
}

Test(buffer, freed_with_the_last_reference)
{
    uint8_t freed = 0;
    struct buffer b;
    buffer_init(&b, &freed, 1, mark_freed);
    struct slice s = {&freed, 1, buffer_take(&b)};
    buffer_release(&b);
    cr_assert_eq(freed, 0);
    slice_release(&s);
    cr_assert_eq(freed, 1);
    slice_release(&s);
    cr_assert_null(s.data);
}
