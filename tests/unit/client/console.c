/* SPDX-License-Identifier: Apache-2.0 */

/* The console's languages: formats, JSON envelopes, offsets, times. */
#include "cli/envelope.h"
#include "cli/format.h"
#include "cli/offsets.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

static const leat_header sample_headers[] = {{"a", {"1", 1}}, {"a", {NULL, 0}}, {"b", {"\xff", 1}}};

static leat_record sample(void)
{
    leat_record r = LEAT_RECORD_INIT;
    r.topic = "events";
    r.partition = 3;
    r.offset = 42;
    r.timestamp_ms = 1700000000123;
    r.key = (leat_bytes){"k", 1};
    r.value = (leat_bytes){"v\xff", 2};
    r.headers = sample_headers;
    r.header_count = 3;
    return r;
}

static void expect_format(const char *text, const leat_record *r, const char *null,
                          const char *wanted, size_t wanted_size)
{
    char error[160] = "", *printed;
    size_t size;
    struct format *f = format_compile(text, error, sizeof error);
    cr_assert(f, "%s: %s", text, error);
    FILE *out = open_memstream(&printed, &size);
    format_print(f, r, null, out);
    fclose(out);
    cr_assert_eq(size, wanted_size, "%s gives '%s'", text, printed);
    cr_assert_eq(memcmp(printed, wanted, size), 0, "%s gives '%s'", text, printed);
    free(printed);
    format_free(f);
}

#define EXPECT(text, record, null, wanted)                                                         \
    expect_format(text, record, null, wanted, sizeof wanted - 1)

Test(console, format_tokens_mean_what_they_mean_in_kcat)
{
    leat_record r = sample();
    EXPECT("%t|%p|%o|%T\\n", &r, NULL, "events|3|42|1700000000123\n");
    EXPECT("%k=%s", &r, NULL, "k=v\xff");
    EXPECT("%k=%v", &r, NULL, "k=v\xff");
    EXPECT("%K %S", &r, NULL, "1 2");
    EXPECT("%R", &r, NULL, "\0\0\0\2");
    EXPECT("%h", &r, NULL, "a=1,a=NULL,b=\xff");
    EXPECT("100%%\\t\\x41\\\\", &r, NULL, "100%\tA\\");
    EXPECT("%k{hex} %v{hex} %v{base64}", &r, NULL, "6b 76ff dv8=");
    EXPECT("%T{iso} %d %d{%Y}", &r, NULL, "2023-11-14T22:13:20.123Z 2023-11-14T22:13:20.123Z 2023");
    r.key = r.value = (leat_bytes){NULL, 0};
    EXPECT("[%k][%s] %K %S", &r, NULL, "[][] -1 -1");
    EXPECT("[%k][%s]", &r, "NULL", "[NULL][NULL]");
    EXPECT("%R", &r, NULL, "\xff\xff\xff\xff");
}

Test(console, what_is_not_a_format_is_refused)
{
    static const char *const wrong[] = {"%", "%x", "%k{", "%k{rot13}", "%o{hex}", "abc %"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char error[160] = "";
        cr_assert_null(format_compile(wrong[i], error, sizeof error), "%s", wrong[i]);
        cr_assert(error[0], "%s", wrong[i]);
    }
}

static char *envelope_text(const leat_record *r, enum envelope_style style)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    envelope_print(r, style, 1, false, false, out);
    fclose(out);
    return text;
}

static void expect_same(const leat_bytes *got, const leat_bytes *wanted, const char *what)
{
    cr_assert_eq(got->data == NULL, wanted->data == NULL, "%s", what);
    cr_assert_eq(got->len, wanted->len, "%s", what);
    cr_assert_eq(wanted->len ? memcmp(got->data, wanted->data, wanted->len) : 0, 0, "%s", what);
}

Test(console, envelopes_round_trip_with_binary_and_repeated_headers)
{
    leat_record r = sample();
    char *text = envelope_text(&r, ENVELOPE_LEAT);
    cr_assert_str_eq(text,
                     "{\"topic\":\"events\",\"partition\":3,\"offset\":42,"
                     "\"ts\":1700000000123,\"ts_type\":\"create\",\"key\":\"k\","
                     "\"value\":\"dv8=\",\"value_encoding\":\"base64\","
                     "\"headers\":[[\"a\",\"1\"],[\"a\",null],[\"b\",\"/w==\",\"base64\"]]}\n");
    struct envelope e;
    char error[160];
    cr_assert(envelope_parse(&e, text, strlen(text), error, sizeof error), "%s", error);
    cr_assert_str_eq(e.record.topic, "events");
    cr_assert_eq(e.record.partition, 3);
    cr_assert_eq(e.record.timestamp_ms, 1700000000123);
    expect_same(&e.record.key, &r.key, "key");
    expect_same(&e.record.value, &r.value, "value");
    cr_assert_eq(e.record.header_count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_str_eq(e.record.headers[i].name, sample_headers[i].name);
        expect_same(&e.record.headers[i].value, &sample_headers[i].value, "header");
    }
    envelope_free(&e);
    free(text);
}

Test(console, kcats_shape_is_printed_and_read)
{
    leat_record r = sample();
    struct envelope e;
    char error[160];
    r.value = (leat_bytes){NULL, 0};
    r.header_count = 1;
    char *text = envelope_text(&r, ENVELOPE_KCAT);
    cr_assert_str_eq(text, "{\"topic\":\"events\",\"partition\":3,\"offset\":42,"
                           "\"tstype\":\"create\",\"ts\":1700000000123,\"broker\":1,"
                           "\"headers\":[\"a\",\"1\"],\"key\":\"k\",\"payload\":null}\n");
    cr_assert(envelope_parse(&e, text, strlen(text), error, sizeof error), "%s", error);
    cr_assert_null(e.record.value.data);
    cr_assert_eq(e.record.header_count, 1);
    expect_same(&e.record.headers[0].value, &sample_headers[0].value, "header");
    envelope_free(&e);
    free(text);
}

Test(console, empty_values_are_not_null_and_nul_bytes_survive)
{
    leat_record r = sample();
    struct envelope e;
    char error[160];
    r.key = (leat_bytes){"", 0};
    r.value = (leat_bytes){"a\0b", 3};
    char *text = envelope_text(&r, ENVELOPE_LEAT);
    cr_assert(envelope_parse(&e, text, strlen(text), error, sizeof error), "%s", error);
    cr_assert_not_null(e.record.key.data);
    cr_assert_eq(e.record.key.len, 0);
    expect_same(&e.record.value, &r.value, "value");
    envelope_free(&e);
    free(text);
}

Test(console, what_is_no_envelope_is_told)
{
    static const char *const wrong[] = {
        "",
        "x",
        "[]",
        "\"x\"",
        "{\"value\":\"x\",\"value_encoding\":\"rot13\"}",
        "{\"value\":\"%%%\",\"value_encoding\":\"base64\"}",
        "{\"value\":null,\"partition\":\"0\"}",
        "{\"value\":null,\"partition\":-2}",
        "{\"value\":null,\"headers\":7}",
        "{\"value\":null,\"headers\":[[1,\"x\"]]}",
        "{\"value\":null,\"headers\":[\"a\"]}",
        "{\"order\":1}",
        "{\"key\":\"k\",\"value_size\":1}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct envelope e;
        char error[160] = "";
        cr_assert_not(envelope_parse(&e, wrong[i], strlen(wrong[i]), error, sizeof error), "%s",
                      wrong[i]);
        cr_assert(error[0], "%s", wrong[i]);
    }
}

static void expect_field(const char *text, const char *field, const char *wanted)
{
    char *found, error[160] = "";
    size_t size;
    cr_assert(json_field(text, strlen(text), field, &found, &size, error, sizeof error), "%s: %s",
              text, error);
    cr_assert_eq(found == NULL, wanted == NULL, "%s of %s", field, text);
    cr_assert_eq(size, wanted ? strlen(wanted) : 0);
    cr_assert(!wanted || strcmp(found, wanted) == 0, "%s of %s: %s", field, text, found);
    free(found);
}

Test(console, a_key_comes_out_of_a_field)
{
    static const char *const no_objects[] = {"[1]", "\"repo\"", "5", "no json", "", "{\"repo\":"};
    const char *text = "{\"repo\":\"kafka\",\"n\":5,\"none\":null}";
    expect_field(text, "repo", "kafka");
    expect_field(text, "n", "5");
    expect_field(text, "none", NULL);
    expect_field(text, "absent", NULL);
    for (size_t i = 0; i < sizeof no_objects / sizeof *no_objects; i++) {
        char *found, error[160] = "";
        size_t size;
        cr_assert(!json_field(no_objects[i], strlen(no_objects[i]), "repo", &found, &size, error,
                              sizeof error),
                  "%s", no_objects[i]);
        cr_assert(strstr(error, "not a JSON object: "), "%s: %s", no_objects[i], error);
    }
}

Test(console, offsets_in_all_forms)
{
    static const struct {
        const char *text;
        enum offset_kind start, stop;
        int64_t start_value, stop_value;
    } known[] = {
        {"beginning", OFFSET_BEGINNING, OFFSET_NONE, 0, 0},
        {"start", OFFSET_BEGINNING, OFFSET_NONE, 0, 0},
        {"end", OFFSET_END, OFFSET_NONE, 0, 0},
        {"17", OFFSET_NUMBER, OFFSET_NONE, 17, 0},
        {"-5", OFFSET_LAST, OFFSET_NONE, 5, 0},
        {"+5", OFFSET_AFTER, OFFSET_NONE, 5, 0},
        {"3:9", OFFSET_NUMBER, OFFSET_NUMBER, 3, 9},
        {"3:", OFFSET_NUMBER, OFFSET_NONE, 3, 0},
        {":9", OFFSET_BEGINNING, OFFSET_NUMBER, 0, 9},
        {":end", OFFSET_BEGINNING, OFFSET_END, 0, 0},
        {"-5:end", OFFSET_LAST, OFFSET_END, 5, 0},
        {"s@1700000000123", OFFSET_TIME, OFFSET_NONE, 1700000000123, 0},
        {"e@1700000000123", OFFSET_NONE, OFFSET_TIME, 0, 1700000000123},
        {"@1700000000", OFFSET_TIME, OFFSET_NONE, 1700000000000, 0},
        {"@1700000000:1700000009", OFFSET_TIME, OFFSET_TIME, 1700000000000, 1700000009000},
        {"@2023-11-14", OFFSET_TIME, OFFSET_NONE, 1699920000000, 0},
        {"@2023-11-14T22:13:20Z", OFFSET_TIME, OFFSET_NONE, 1700000000000, 0},
        {"@2023-11-14T22:13:20Z:end", OFFSET_TIME, OFFSET_END, 1700000000000, 0},
        {"@2023-11-14:2023-11-15", OFFSET_TIME, OFFSET_TIME, 1699920000000, 1700006400000},
        {"@-1h", OFFSET_TIME, OFFSET_NONE, 6400000, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct offset_range range = {0};
        char error[160] = "";
        cr_assert(offsets_parse(&range, known[i].text, 10000000, error, sizeof error), "%s: %s",
                  known[i].text, error);
        cr_assert_eq(range.start.kind, known[i].start, "%s", known[i].text);
        cr_assert_eq(range.stop.kind, known[i].stop, "%s", known[i].text);
        cr_assert_eq(range.start.value, known[i].start_value, "%s: %lld", known[i].text,
                     (long long)range.start.value);
        cr_assert_eq(range.stop.value, known[i].stop_value, "%s: %lld", known[i].text,
                     (long long)range.stop.value);
    }
    static const char *const wrong[] = {"", "x", "--5", "5x", "s@x", "@", "@x", "stored", "1:2:3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct offset_range range = {0};
        char error[160] = "";
        cr_assert_not(offsets_parse(&range, wrong[i], 0, error, sizeof error), "'%s'", wrong[i]);
        cr_assert(error[0]);
    }
}

Test(console, offsets_stay_within_the_log)
{
    const struct offset_spec last = {OFFSET_LAST, 5}, after = {OFFSET_AFTER, 5},
                             number = {OFFSET_NUMBER, 50}, time = {OFFSET_TIME, 1};
    cr_assert_eq(offsets_resolve(&last, 10, 100, -1), 95);
    cr_assert_eq(offsets_resolve(&last, 98, 100, -1), 98);
    cr_assert_eq(offsets_resolve(&after, 10, 100, -1), 15);
    cr_assert_eq(offsets_resolve(&after, 98, 100, -1), 100);
    cr_assert_eq(offsets_resolve(&number, 60, 100, -1), 60);
    cr_assert_eq(offsets_resolve(&number, 0, 20, -1), 20);
    cr_assert_eq(offsets_resolve(&time, 0, 20, 7), 7);
    cr_assert_eq(offsets_resolve(&time, 0, 20, -1), 20);
}

Test(console, base64_round_trips)
{
    for (size_t size = 0; size < 40; size++) {
        uint8_t in[40];
        size_t back_size;
        for (size_t i = 0; i < size; i++) {
            in[i] = (uint8_t)(i * 37 + size);
        }
        char *text = text_base64(in, size);
        uint8_t *back = text_base64_decode(text, strlen(text), &back_size);
        cr_assert_not_null(back);
        cr_assert_eq(back_size, size);
        cr_assert_eq(memcmp(in, back, size), 0);
        free(text);
        free(back);
    }
    size_t size;
    cr_assert_null(text_base64_decode("a", 1, &size));
    cr_assert_null(text_base64_decode("a*==", 4, &size));
}
