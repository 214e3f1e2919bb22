/* SPDX-License-Identifier: Apache-2.0 */

#include "sim/cluster_steps.h"

#include <criterion/criterion.h>

Test(cluster_steps, what_is_written_is_read_back)
{
    static const struct {
        const char *text;
        uint32_t kept, count; /* 0, 0: refused, but for "none" */
    } cases[] = {
        {"none", 0, 0},   {"0", 1, 1},         {"3,17-20", 5, 21},
        {"63-64", 2, 65}, {"32767", 1, 32768}, {"", 0, 0},
        {"3,", 0, 0},     {",3", 0, 0},        {"5-3", 0, 0},
        {"32768", 0, 0},  {"0-40000", 0, 0},   {"1 2", 0, 0},
        {"x", 0, 0},      {"1-", 0, 0},        {"99999999999999999999", 0, 0},
    };
    static struct steps s;
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool taken = steps_parse(&s, cases[i].text);
        cr_assert_eq(taken, i == 0 || cases[i].count > 0, "%s", cases[i].text);
        if (taken) {
            cr_assert_eq(steps_kept(&s), cases[i].kept, "%s", cases[i].text);
            cr_assert_eq(s.count, cases[i].count, "%s", cases[i].text);
            steps_text(&s, text, sizeof text);
            cr_assert_str_eq(text, cases[i].text);
        }
    }
}

Test(cluster_steps, dropping_ends_them_earlier)
{
    static struct steps s;
    char text[24];
    steps_all(&s, 100);
    steps_drop(&s, 80, 200);
    cr_assert_eq(s.count, 80);
    steps_drop(&s, 10, 79);
    steps_text(&s, text, sizeof text);
    cr_assert_str_eq(text, "0-9,79");
    cr_assert(steps_have(&s, 79) && !steps_have(&s, 78) && !steps_have(&s, 80));
    steps_drop(&s, 79, 80);
    cr_assert_eq(s.count, 10);
    steps_all(&s, 40);
    for (uint32_t i = 0; i < 40; i += 2) {
        steps_drop(&s, i, i + 1);
    }
    steps_text(&s, text, sizeof text);
    cr_assert_str_eq(text, "1,3,5,7,9,11,13,15...");
}
