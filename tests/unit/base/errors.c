/* SPDX-License-Identifier: Apache-2.0 */

#include "base/bytes.h"
#include "base/errors.h"

#include <criterion/criterion.h>
#include <errno.h>

static const struct {
    const char *name;
    int number, wire;
    const char *text;
} table[] = {
#define ENTRY(name, number, wire, retriable, text) {#name, number, wire, text},
    ERROR_TABLE(ENTRY)
#undef ENTRY
};

Test(errors, numbers_and_names_are_unique)
{
    for (size_t i = 0; i < array_size(table); i++) {
        cr_assert_lt(table[i].number, 0, "%s", table[i].name);
        for (size_t k = 0; k < i; k++) {
            cr_assert_neq(table[i].number, table[k].number, "%s and %s share a number",
                          table[i].name, table[k].name);
            cr_assert_str_neq(table[i].name, table[k].name);
        }
    }
}

Test(errors, kafka_codes_are_their_number_negated)
{
    for (size_t i = 0; i < array_size(table); i++) {
        if (table[i].number > -1000) {
            cr_assert_eq(table[i].wire, -table[i].number, "%s", table[i].name);
            cr_assert_eq(error_from_wire((int16_t)table[i].wire), table[i].number);
        } else {
            const char *name = error_name(error_from_wire((int16_t)table[i].wire));
            cr_assert_str_neq(name, "UNKNOWN", "%s maps to a code without an entry", table[i].name);
        }
        cr_assert_eq(error_to_wire(table[i].number), table[i].wire);
    }
    cr_assert_eq(error_to_wire(0), 0);
    cr_assert_eq(error_from_wire(0), 0);
    cr_assert_eq(error_from_wire(-1), ERR_UNKNOWN_SERVER_ERROR);
}

Test(errors, texts_are_sentences_without_a_full_stop)
{
    for (size_t i = 0; i < array_size(table); i++) {
        const char *text = error_text(table[i].number);
        cr_assert_str_eq(text, table[i].text);
        cr_assert(text[0] && text[strlen(text) - 1] != '.', "%s", table[i].name);
        cr_assert_str_eq(error_name(table[i].number), table[i].name);
    }
    cr_assert_str_eq(error_name(-31999), "UNKNOWN");
    cr_assert_not_null(error_text(-31999));
    cr_assert_str_eq(error_name(0), "NONE");
}

Test(errors, retriable_as_kafka_says)
{
    cr_assert(error_is_retriable(ERR_NOT_LEADER_OR_FOLLOWER));
    cr_assert(error_is_retriable(ERR_KAFKA_STORAGE_ERROR));
    cr_assert(error_is_retriable(ERR_DISK_FULL));
    cr_assert_not(error_is_retriable(ERR_MESSAGE_TOO_LARGE));
    cr_assert_not(error_is_retriable(ERR_OFFSET_OUT_OF_RANGE));
    cr_assert_not(error_is_retriable(0));
}

Test(errors, errno_values)
{
    cr_assert_eq(error_from_errno(-ENOSPC), ERR_DISK_FULL);
    cr_assert_eq(error_from_errno(-EFBIG), ERR_DISK_FULL);
    cr_assert_eq(error_from_errno(-EIO), ERR_DISK_FAILED);
    cr_assert_eq(error_from_errno(-ENOENT), ERR_NOT_FOUND);
    cr_assert_eq(error_from_errno(-ECONNRESET), ERR_CLOSED);
    cr_assert_eq(error_from_errno(-4095), ERR_UNKNOWN_SERVER_ERROR);
}
