/* SPDX-License-Identifier: Apache-2.0 */
/* The way from a file to rows, and from rows to typed keys and stored values. */
#include "unit.h"

#include "builder/input.h"
#include "builder/number.h"
#include "builder/row.h"
#include "temp_dir.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static char dir[TEMP_DIR_MAX];

static int make_dir(void **state)
{
    temp_dir_make(dir);
    return 0;
}

static int remove_dir(void **state)
{
    temp_dir_remove(dir);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *write_file(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
    return path_of(name);
}

static int open_whole(const char *path, enum input_format format,
                      const struct input_options *options, struct input **out, struct err *err)
{
    struct input_piece piece = {.path = path, .end = UINT64_MAX, .is_exact = true};
    return input_open(&piece, format, options, out, err);
}

/* Reads all rows as one line of text each: "line|key|value", "line|key|-" without value, "line!" for a bad row. */
static void read_rows(const char *path, enum input_format format,
                      const struct input_options *options, char *out, size_t cap, char *reason)
{
    struct input *input = NULL;
    struct input_block block = {0};
    struct err err = {0};
    size_t n = 0;
    int got;
    if (open_whole(path, format, options, &input, &err))
        fail_msg("%s", err.text);
    out[0] = 0;
    while ((got = input_take(input, &block, &err)) > 0) {
        struct input_row row;
        struct err bad = {0};
        while ((got = input_next(input, &block, &row, &bad))) {
            n += (size_t)snprintf(out + n, cap - n, "%llu", (unsigned long long)row.line);
            if (got < 0) {
                assert_int_equal(got, -EBADMSG);
                assert_true(bad.text[0]);
                if (reason)
                    strcpy(reason, bad.text);
                n += (size_t)snprintf(out + n, cap - n, "!\n");
                continue;
            }
            n +=
                (size_t)snprintf(out + n, cap - n, "|%.*s|%.*s%s\n", (int)row.key.len, row.key.data,
                                 (int)row.value.len, row.value.data ? row.value.data : "",
                                 row.deleted                      ? " deleted"
                                 : row.value.form == FIELD_ABSENT ? "-"
                                                                  : "");
        }
        assert_true(n < cap);
    }
    if (got)
        fail_msg("%s", err.text);
    input_block_release(&block);
    input_close(input);
}

/* The same rows come out whatever the block's length. */
static void assert_rows(const char *text, size_t len, enum input_format format,
                        const struct input_options *options, const char *expected)
{
    static char rows[1 << 20];
    const char *path = write_file("rows", text, len);
    struct input_options with = options ? *options : (struct input_options){0};
    if (!with.row_len_max)
        with.row_len_max = 1 << 20;
    for (size_t block_len = 1; block_len < 100; block_len = block_len * 3 / 2 + 1) {
        with.block_len = block_len;
        read_rows(path, format, &with, rows, sizeof rows, NULL);
        assert_string_equal(rows, expected);
    }
    with.block_len = 0;
    read_rows(path, format, &with, rows, sizeof rows, NULL);
    assert_string_equal(rows, expected);
}

#define ASSERT_ROWS(text, format, options, expected)                                               \
    assert_rows(text, sizeof(text) - 1, format, options, expected)

static void tsv__rows_have_two_fields(void **state)
{
    ASSERT_ROWS("a\t1\nb\t2 x\nc\t\n", INPUT_TSV, NULL, "1|a|1\n2|b|2 x\n3|c|\n");
}

static void tsv__the_last_line_may_lack_its_end(void **state)
{
    ASSERT_ROWS("a\t1\nb\t2", INPUT_TSV, NULL, "1|a|1\n2|b|2\n");
    ASSERT_ROWS("", INPUT_TSV, NULL, "");
}

static void tsv__crlf_empty_lines_and_a_byte_order_mark_are_not_rows(void **state)
{
    ASSERT_ROWS("\xEF\xBB\xBF"
                "a\t1\r\n\r\n\nb\t2\r\n",
                INPUT_TSV, NULL, "1|a|1\n4|b|2\n");
}

static void tsv__escapes_stand_for_bytes(void **state)
{
    ASSERT_ROWS("a\\\\b\tx\\ty\\x41\\n\n", INPUT_TSV, NULL, "1|a\\b|x\tyA\n\n");
}

static void tsv__another_escape_is_bad(void **state)
{
    ASSERT_ROWS("a\tx\\q\nb\t\\x4\nc\t\\\nd\tok\n", INPUT_TSV, NULL, "1!\n2!\n3!\n4|d|ok\n");
}

static void tsv__a_stray_tab_is_bad_not_a_short_value(void **state)
{
    ASSERT_ROWS("a\t1\t2\nb\t3\n", INPUT_TSV, NULL, "1!\n2|b|3\n");
}

static void tsv__a_key_alone_has_no_value(void **state)
{
    ASSERT_ROWS("a\nb\t1\n", INPUT_TSV, NULL, "1|a|-\n2|b|1\n");
}

static void tsv__columns_are_chosen_by_number_or_name(void **state)
{
    struct input_options numbers = {.key_column = "3", .value_column = "1"};
    struct input_options names = {.header = true, .key_column = "id", .value_column = "v"};
    ASSERT_ROWS("v\tx\tk\ty\nv\tx\n", INPUT_TSV, &numbers, "1|k|v\n2!\n");
    ASSERT_ROWS("v\tskip\tid\n1\t-\ta\n2\t-\tb\n", INPUT_TSV, &names, "2|a|1\n3|b|2\n");
}

static void tsv__a_column_that_is_not_there_is_named(void **state)
{
    struct input_options options = {.header = true, .key_column = "uid", .row_len_max = 100};
    struct input *input = NULL;
    struct err err = {0};
    const char *path = write_file("rows", "id\tv\n", 5);
    assert_int_equal(open_whole(path, INPUT_TSV, &options, &input, &err), -EINVAL);
    assert_non_null(strstr(err.text, "uid"));
}

static void tsv__nul_and_high_bytes_pass(void **state)
{
    const char *path = write_file("rows", "a\0b\t\xff\0\x80\n", 8);
    struct input_options options = {.row_len_max = 100};
    struct input *input = NULL;
    struct input_block block = {0};
    struct input_row row;
    assert_int_equal(open_whole(path, INPUT_TSV, &options, &input, NULL), 0);
    assert_int_equal(input_take(input, &block, NULL), 1);
    assert_int_equal(input_next(input, &block, &row, NULL), 1);
    assert_int_equal(row.key.len, 3);
    assert_memory_equal(row.key.data, "a\0b", 3);
    assert_int_equal(row.value.len, 3);
    assert_memory_equal(row.value.data, "\xff\0\x80", 3);
    input_block_release(&block);
    input_close(input);
}

static void input__a_row_that_is_too_long_is_bad_and_alone_in_it(void **state)
{
    static char text[20000];
    static char rows[1000];
    char reason[ERR_TEXT_MAX];
    static const enum input_format formats[] = {INPUT_TSV, INPUT_CSV, INPUT_JSONL};
    static const char *const before[] = {"a\t1\nb\t", "a,1\n\"b\",\"",
                                         "{\"key\":\"a\",\"value\":\"1\"}\n"};
    static const char *const after[] = {"\nc\t3\n", "\"\nc,3\n",
                                        "\n{\"key\":\"c\",\"value\":\"3\"}\n"};
    for (int i = 0; i < 3; i++) {
        size_t n = (size_t)sprintf(text, "%s", before[i]);
        memset(text + n, 'x', 10000);
        strcpy(text + n + 10000, after[i]);
        const char *path = write_file("rows", text, strlen(text));
        for (size_t block_len = 16; block_len < 20000; block_len = block_len * 2 + 1) {
            struct input_options options = {.row_len_max = 1000, .block_len = block_len};
            read_rows(path, formats[i], &options, rows, sizeof rows, reason);
            assert_string_equal(rows, "1|a|1\n2!\n3|c|3\n");
            assert_non_null(strstr(reason, "1000 bytes"));
        }
    }
}

static void input__a_last_row_without_its_end_may_be_as_long_as_any(void **state)
{
    struct input_options options = {.row_len_max = 8};
    ASSERT_ROWS("a\t1\nb\t234567", INPUT_TSV, &options, "1|a|1\n2|b|234567\n");
    ASSERT_ROWS("a\t1\nb\t2345678", INPUT_TSV, &options, "1|a|1\n2!\n");
    ASSERT_ROWS("b\t23456\nb\t234567\n", INPUT_TSV, &options, "1|b|23456\n2!\n");
}

static void csv__fields_may_be_quoted(void **state)
{
    ASSERT_ROWS("a,1\n\"b,c\",\"say \"\"hi\"\"\"\r\n\"d\",\n", INPUT_CSV, NULL,
                "1|a|1\n2|b,c|say \"hi\"\n3|d|\n");
}

static void csv__a_quoted_field_may_hold_line_ends(void **state)
{
    ASSERT_ROWS("a,\"1\n2\n\"\r\nb,\"\r\n\"\nc,3", INPUT_CSV, NULL,
                "1|a|1\n2\n\n4|b|\r\n\n6|c|3\n");
}

static void csv__a_misplaced_quote_spoils_its_own_row_only(void **state)
{
    ASSERT_ROWS("a,x\"y\nb,2\n\"c\"x,3\nd,4\n\"e\"\r\"\nf,6\n", INPUT_CSV, NULL,
                "1!\n2|b|2\n3!\n4|d|4\n5!\n6|f|6\n");
}

static void csv__a_quote_that_is_never_closed_is_bad(void **state)
{
    ASSERT_ROWS("a,1\nb,\"2\nc,3\n", INPUT_CSV, NULL, "1|a|1\n2!\n");
}

static void csv__header_names_may_be_quoted(void **state)
{
    struct input_options options = {.header = true, .key_column = "the key", .value_column = "v"};
    ASSERT_ROWS("v,\"the key\"\r\n1,a\r\n", INPUT_CSV, &options, "2|a|1\n");
}

static void csv__header_with_words_behind_a_quote_is_refused(void **state)
{
    struct input_options options = {.header = true, .row_len_max = 100};
    struct input *input = NULL;
    struct err err = {0};
    const char *path = write_file("rows", "\"the\"key,v\na,1\n", 15);
    assert_int_equal(open_whole(path, INPUT_CSV, &options, &input, &err), -EINVAL);
    assert_non_null(strstr(err.text, "after a closing quote"));
}

static void jsonl__members_in_any_order(void **state)
{
    ASSERT_ROWS(
        "{\"key\":\"a\",\"value\":\"1\"}\n\n \t\n { \"value\" : [1, 2.5] , \"x\":{\"y\":[]}, "
        "\"key\" : 7 } \n",
        INPUT_JSONL, NULL, "1|a|1\n4|7|[1, 2.5]\n");
}

static void jsonl__strings_are_decoded(void **state)
{
    ASSERT_ROWS("{\"key\":\"\\u00e9\\n\\\"\\ud83d\\ude00\",\"value\":\"\\/\\t\"}\n", INPUT_JSONL,
                NULL, "1|\xc3\xa9\n\"\xf0\x9f\x98\x80|/\t\n");
}

static void jsonl__bytes_come_as_base64(void **state)
{
    ASSERT_ROWS("{\"key\":{\"b64\":\"YWI=\"},\"value\":{\"b64\":\"\"}}\n"
                "{\"key\":\"k\",\"value\":{\"b64\":\"YWJj\"}}\n"
                "{\"key\":\"k\",\"value\":{\"b64\":\"YQ==\"}}\n",
                INPUT_JSONL, NULL, "1|ab|\n2|k|abc\n3|k|a\n");
}

static void jsonl__a_row_may_delete(void **state)
{
    ASSERT_ROWS(
        "{\"key\":\"a\",\"deleted\":true}\n{\"key\":\"b\",\"value\":\"\",\"deleted\":false}\n",
        INPUT_JSONL, NULL, "1|a| deleted\n2|b|\n");
}

static void jsonl__other_members_can_be_chosen(void **state)
{
    struct input_options options = {.key_column = "user", .value_column = "vec"};
    ASSERT_ROWS("{\"user\":\"a\",\"vec\":[1],\"key\":3}\n", INPUT_JSONL, &options, "1|a|[1]\n");
}

static void jsonl__faults_are_bad_rows(void **state)
{
    static const char *const bad[] = {
        "[]",
        "nonsense",
        "{",
        "{\"key\"}",
        "{\"key\":}",
        "{\"key\":1,}",
        "{\"key\":1} x",
        "{\"key\":1}{\"key\":2}",
        "{\"value\":1}",
        "{\"key\":1,\"key\":2,\"value\":3}",
        "{\"key\":\"\xff\",\"value\":1}",
        "{\"key\":\"\xc0\x80\",\"value\":1}",
        "{\"key\":\"\xed\xa0\x80\",\"value\":1}",
        "{\"key\":\"\\ud800\",\"value\":1}",
        "{\"key\":\"\\x\",\"value\":1}",
        "{\"key\":\"a\tb\",\"value\":1}",
        "{\"key\":\"abc",
        "{\"key\":01,\"value\":1}",
        "{\"key\":1.,\"value\":1}",
        "{\"key\":1e,\"value\":1}",
        "{\"key\":-,\"value\":1}",
        "{\"key\":true,\"value\":1}",
        "{\"key\":null,\"value\":1}",
        "{\"key\":1,\"value\":null}",
        "{\"key\":1,\"value\":[1,2}",
        "{\"key\":1,\"value\":{\"hex\":\"00\"}}",
        "{\"key\":1,\"value\":{\"b64\":\"YQ\"}}",
        "{\"key\":1,\"value\":{\"b64\":\"Y===\"}}",
        "{\"key\":1,\"value\":{\"b64\":\"Y Q=\"}}",
        "{\"key\":1,\"deleted\":1}",
    };
    char text[256];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n =
            (size_t)snprintf(text, sizeof text, "%s\n{\"key\":\"z\",\"value\":\"y\"}\n", bad[i]);
        assert_rows(text, n, INPUT_JSONL, NULL, "1!\n2|z|y\n");
    }
    char deep[300] = "{\"key\":1,\"x\":";
    memset(deep + strlen(deep), '[', 200);
    assert_rows(deep, strlen(deep), INPUT_JSONL, NULL, "1!\n");
}

/* ---- compressed files ---- */

static size_t zstd_frame(const char *text, char *out, size_t cap)
{
    size_t n = ZSTD_compress(out, cap, text, strlen(text), 3);
    assert_false(ZSTD_isError(n));
    return n;
}

static size_t gzip_member(const char *text, char *out, size_t cap)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = cap - z.avail_out;
    deflateEnd(&z);
    return n;
}

/* Opens and reads all; the first failure's code. */
static int read_all(const char *path, struct err *err)
{
    struct input_options options = {.row_len_max = 1000};
    struct input *input = NULL;
    struct input_block block = {0};
    int got = open_whole(path, INPUT_TSV, &options, &input, err);
    while (!got && (got = input_take(input, &block, err)) > 0)
        got = 0;
    input_block_release(&block);
    input_close(input);
    return got;
}

static void stream__frames_and_members_follow_each_other(void **state)
{
    char packed[1000];
    char rows[100];
    struct input_options options = {.row_len_max = 1000, .block_len = 3};
    size_t n = zstd_frame("a\t1\nb", packed, sizeof packed);
    n += zstd_frame("\t2\nc\t3\n", packed + n, sizeof packed - n);
    const char *path = write_file("rows.tsv.zst", packed, n);
    read_rows(path, INPUT_TSV, &options, rows, sizeof rows, NULL);
    assert_string_equal(rows, "1|a|1\n2|b|2\n3|c|3\n");
    n = gzip_member("a\t1\nb", packed, sizeof packed);
    n += gzip_member("\t2\nc\t3\n", packed + n, sizeof packed - n);
    path = write_file("rows.tsv.gz", packed, n);
    read_rows(path, INPUT_TSV, &options, rows, sizeof rows, NULL);
    assert_string_equal(rows, "1|a|1\n2|b|2\n3|c|3\n");
}

static void stream__every_truncation_is_an_error(void **state)
{
    char packed[1000];
    for (int gz = 0; gz < 2; gz++) {
        const char *name = gz ? "rows.tsv.gz" : "rows.tsv.zst";
        size_t n = gz ? gzip_member("a\t1\nb\t2\n", packed, sizeof packed)
                      : zstd_frame("a\t1\nb\t2\n", packed, sizeof packed);
        assert_int_equal(read_all(write_file(name, packed, n), NULL), 0);
        for (size_t cut = 0; cut < n; cut++) {
            struct err err = {0};
            assert_int_equal(read_all(write_file(name, packed, cut), &err), -EBADMSG);
            assert_non_null(strstr(err.text, name));
        }
    }
}

static void stream__damage_is_an_error(void **state)
{
    char packed[1000];
    size_t n = gzip_member("a\t1\nb\t2\n", packed, sizeof packed);
    packed[n - 6] ^= 1;
    assert_int_equal(read_all(write_file("rows.tsv.gz", packed, n), NULL), -EBADMSG);
    assert_int_equal(read_all(write_file("rows.tsv.zst", "plain\ttext\n", 11), NULL), -EBADMSG);
}

static void stream__what_cannot_be_opened_is_named(void **state)
{
    struct err err = {0};
    assert_int_equal(read_all(path_of("missing.tsv"), &err), -ENOENT);
    assert_non_null(strstr(err.text, "missing.tsv"));
    assert_int_equal(read_all(dir, &err), -EISDIR);
}

/* ---- numbers ---- */

static void number__u64_takes_digits_only(void **state)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1.0", "1e3", "a"};
    uint64_t n = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(number_u64(bad[i], strlen(bad[i]), &n), -EINVAL);
    assert_int_equal(number_u64("18446744073709551616", 20, &n), -ERANGE);
    assert_int_equal(number_u64("99999999999999999999999", 23, &n), -ERANGE);
    assert_int_equal(n, 7);
    assert_int_equal(number_u64("18446744073709551615", 20, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(number_u64("007", 3, &n), 0);
    assert_int_equal(n, 7);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Text of many shapes: any f32, points exactly between two of them, long fractions, exponents. */
static int random_text(uint64_t *seed, char out[128])
{
    uint64_t r = next_random(seed);
    uint32_t bits = (uint32_t)next_random(seed);
    float low;
    float high;
    memcpy(&low, &bits, sizeof low);
    bits++;
    memcpy(&high, &bits, sizeof high);
    if (!isfinite(low) || !isfinite(high))
        low = high = 1.5F;
    switch (r % 5) {
    case 0:
        return sprintf(out, "%.*g", (int)(1 + r / 8 % 12), (double)low);
    case 1:
        return sprintf(out, "%.20g", ((double)low + (double)high) / 2);
    case 2:
        return sprintf(out, "%s%u.%0*u", r & 8 ? "-" : "", (unsigned)(r >> 8 & 15),
                       (int)(r >> 16 & 7) + 1, (unsigned)(r >> 32 & 0xFFFF));
    case 3:
        return sprintf(out, "%llu", (unsigned long long)next_random(seed) >> (r >> 8 & 63));
    default:
        return sprintf(out, "-%u.%07ue%d", (unsigned)(r >> 8 & 7), (unsigned)(r >> 16 & 0xFFFFF),
                       (int)(r >> 40 & 127) - 64);
    }
}

static void number__f32_rounds_as_strtof_does(void **state)
{
    uint64_t seed = 88172645463325252ULL;
    for (int i = 0; i < 300000; i++) {
        char text[160];
        int len = random_text(&seed, text);
        float expected = strtof(text, NULL);
        float found = 0;
        memcpy(text + len, ",0.1234567890", 14);
        size_t n = number_f32(text, (size_t)len + (i % 2 ? 13 : 0), &found);
        text[len] = 0;
        if (isinf(expected) ? n != 0 : n != (size_t)len || memcmp(&found, &expected, sizeof found))
            fail_msg("%s: expected %.9g, found %.9g (%zu bytes)", text, (double)expected,
                     (double)found, n);
    }
}

static void number__vectors_come_in_several_dresses(void **state)
{
    static const char *const good[] = {"1,2.5,-3",         "1 2.5 -3",     "[1,2.5,-3]",
                                       " [ 1 , 2.5,-3 ] ", "1, 2.5,  -3 ", "+1,2.50,-3.000e0"};
    static const char *const bad[] = {"",         "1,2",     "1,2,3,4", "1,,3",  "1,2,x",
                                      "1,2,3,",   ",1,2,3",  "[1,2,3",  "1;2;3", "1,2,3]",
                                      "1,2,1e99", "1,2,--3", "1,2,0x3", "[]",    "1,2,3 4"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        float v[3] = {0};
        struct err err = {0};
        if (number_vector(good[i], strlen(good[i]), 3, v, &err))
            fail_msg("%s: %s", good[i], err.text);
        assert_true(v[0] == 1 && v[1] == 2.5F && v[2] == -3);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float v[3];
        struct err err = {0};
        if (number_vector(bad[i], strlen(bad[i]), 3, v, &err) != -EBADMSG)
            fail_msg("%s was taken", bad[i]);
        assert_true(err.text[0]);
    }
}

/* ---- rows ---- */

struct fixture {
    struct schema schema;
    struct job job;
    struct row_parser parser;
};

static void fixture_init(struct fixture *f, enum key_type key, const char *value, bool is_delta)
{
    *f = (struct fixture){.schema = {.kind = KIND_MEM, .key_type = key, .n_shards = 1}};
    f->job.is_delta = is_delta;
    f->job.tombstones_file_mode = is_delta;
    assert_int_equal(schema_set_value(&f->schema, value, NULL), 0);
    assert_int_equal(row_parser_init(&f->parser, &f->job, &f->schema), 0);
}

static struct field text_field(const char *text)
{
    return (struct field){FIELD_TEXT, (char *)(uintptr_t)text, strlen(text)};
}

static int parse(struct fixture *f, const char *key, const char *value, struct part_entry *entry,
                 struct err *err)
{
    struct input_row row = {.line = 1, .key = text_field(key)};
    if (value)
        row.value = text_field(value);
    return row_parse(&f->parser, &row, entry, err);
}

static void row__u64_keys_and_vectors(void **state)
{
    struct fixture f;
    struct part_entry entry;
    fixture_init(&f, KEY_U64, "f32[2]", false);
    assert_int_equal(parse(&f, "42", "1,-2", &entry, NULL), 0);
    assert_int_equal(entry.key, 42);
    assert_true(entry.hash == schema_hash_u64(&f.schema, 42));
    float v[2];
    assert_int_equal(entry.value_len, sizeof v);
    memcpy(v, entry.value, sizeof v);
    assert_true(v[0] == 1 && v[1] == -2);
    assert_int_equal(parse(&f, "-1", "1,2", &entry, NULL), -EBADMSG);
    assert_int_equal(parse(&f, "18446744073709551616", "1,2", &entry, NULL), -EBADMSG);
    assert_int_equal(parse(&f, "1", NULL, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

static void row__lengths_are_checked(void **state)
{
    struct fixture f;
    struct part_entry entry;
    char key[300];
    memset(key, 'k', sizeof key);
    fixture_init(&f, KEY_BYTES, "bytes[3]", false);
    assert_int_equal(parse(&f, "k", "abc", &entry, NULL), 0);
    assert_int_equal(parse(&f, "k", "ab", &entry, NULL), -EBADMSG);
    assert_int_equal(parse(&f, "k", "abcd", &entry, NULL), -EBADMSG);
    assert_int_equal(parse(&f, "", "abc", &entry, NULL), -EBADMSG);
    key[255] = 0;
    assert_int_equal(parse(&f, key, "abc", &entry, NULL), 0);
    assert_int_equal(entry.key_len, 255);
    key[255] = 'k';
    key[256] = 0;
    assert_int_equal(parse(&f, key, "abc", &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

static void row__json_types_must_fit(void **state)
{
    struct fixture f;
    struct part_entry entry;
    char number[] = "7";
    struct input_row row = {.key = {FIELD_NUMBER, number, 1}, .value = {FIELD_NUMBER, number, 1}};
    fixture_init(&f, KEY_BYTES, "bytes", false);
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), -EBADMSG);
    row.key = text_field("k");
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
    fixture_init(&f, KEY_U64, "f32[1]", false);
    row.key = (struct field){FIELD_NUMBER, number, 1};
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), 0);
    row.key.form = FIELD_ARRAY;
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

static void row__what_is_not_finite_is_kept_where_it_can_be(void **state)
{
    struct fixture f;
    struct part_entry entry;
    struct err err = {0};
    fixture_init(&f, KEY_U64, "f16[2]", false);
    assert_int_equal(parse(&f, "1", "nan,-Inf", &entry, &err), 0);
    assert_int_equal(parse(&f, "1", "1,65519", &entry, &err), 0);
    assert_int_equal(parse(&f, "1", "1,65520", &entry, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "element 2"));
    row_parser_release(&f.parser);
    fixture_init(&f, KEY_U64, "i8[2]", false);
    assert_int_equal(parse(&f, "1", "3,70000", &entry, &err), 0);
    assert_int_equal(parse(&f, "1", "nan,1", &entry, &err), -EBADMSG);
    row_parser_release(&f.parser);
}

static void row__only_a_delta_deletes(void **state)
{
    struct fixture f;
    struct part_entry entry;
    struct input_row row = {.key = text_field("k"), .deleted = true};
    fixture_init(&f, KEY_BYTES, "bytes", false);
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), -EBADMSG);
    assert_int_equal(parse(&f, "k", NULL, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
    fixture_init(&f, KEY_BYTES, "bytes", true);
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), 0);
    assert_true(entry.tombstone);
    assert_int_equal(parse(&f, "k", NULL, &entry, NULL), 0);
    assert_true(entry.tombstone);
    assert_int_equal(parse(&f, "k", "", &entry, NULL), 0);
    assert_false(entry.tombstone);
    row.value = text_field("v");
    assert_int_equal(row_parse(&f.parser, &row, &entry, NULL), -EBADMSG);
    row_parser_release(&f.parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsv__rows_have_two_fields),
        cmocka_unit_test(tsv__the_last_line_may_lack_its_end),
        cmocka_unit_test(tsv__crlf_empty_lines_and_a_byte_order_mark_are_not_rows),
        cmocka_unit_test(tsv__escapes_stand_for_bytes),
        cmocka_unit_test(tsv__another_escape_is_bad),
        cmocka_unit_test(tsv__a_stray_tab_is_bad_not_a_short_value),
        cmocka_unit_test(tsv__a_key_alone_has_no_value),
        cmocka_unit_test(tsv__columns_are_chosen_by_number_or_name),
        cmocka_unit_test(tsv__a_column_that_is_not_there_is_named),
        cmocka_unit_test(tsv__nul_and_high_bytes_pass),
        cmocka_unit_test(input__a_row_that_is_too_long_is_bad_and_alone_in_it),
        cmocka_unit_test(input__a_last_row_without_its_end_may_be_as_long_as_any),
        cmocka_unit_test(csv__fields_may_be_quoted),
        cmocka_unit_test(csv__a_quoted_field_may_hold_line_ends),
        cmocka_unit_test(csv__a_misplaced_quote_spoils_its_own_row_only),
        cmocka_unit_test(csv__a_quote_that_is_never_closed_is_bad),
        cmocka_unit_test(csv__header_names_may_be_quoted),
        cmocka_unit_test(csv__header_with_words_behind_a_quote_is_refused),
        cmocka_unit_test(jsonl__members_in_any_order),
        cmocka_unit_test(jsonl__strings_are_decoded),
        cmocka_unit_test(jsonl__bytes_come_as_base64),
        cmocka_unit_test(jsonl__a_row_may_delete),
        cmocka_unit_test(jsonl__other_members_can_be_chosen),
        cmocka_unit_test(jsonl__faults_are_bad_rows),
        cmocka_unit_test(stream__frames_and_members_follow_each_other),
        cmocka_unit_test(stream__every_truncation_is_an_error),
        cmocka_unit_test(stream__damage_is_an_error),
        cmocka_unit_test(stream__what_cannot_be_opened_is_named),
        cmocka_unit_test(number__u64_takes_digits_only),
        cmocka_unit_test(number__f32_rounds_as_strtof_does),
        cmocka_unit_test(number__vectors_come_in_several_dresses),
        cmocka_unit_test(row__u64_keys_and_vectors),
        cmocka_unit_test(row__lengths_are_checked),
        cmocka_unit_test(row__json_types_must_fit),
        cmocka_unit_test(row__what_is_not_finite_is_kept_where_it_can_be),
        cmocka_unit_test(row__only_a_delta_deletes),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
