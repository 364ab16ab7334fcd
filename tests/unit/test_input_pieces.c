/* SPDX-License-Identifier: Apache-2.0 */
/* A file cut into pieces gives the same rows as the whole, wherever it is cut. */
#include "unit.h"

#include "builder/feed.h"
#include "temp_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_CAP = 1 << 16 };

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

struct text {
    char rows[ROWS_CAP];
    size_t len;
};

static void text_row(struct text *text, uint64_t line, const struct input_row *row, int got)
{
    text->len +=
        (size_t)snprintf(text->rows + text->len, sizeof text->rows - text->len,
                         "%llu%s|%.*s|%.*s\n", (unsigned long long)line, got < 0 ? "!" : "",
                         got < 0 ? 0 : (int)row->key.len, row->key.data ? row->key.data : "",
                         got < 0 ? 0 : (int)row->value.len, row->value.data ? row->value.data : "");
    assert_true(text->len < sizeof text->rows);
}

/* Appends the piece's rows, their lines counted on from `before`. */
static void read_piece(const struct input_piece *piece, enum input_format format,
                       const struct input_options *options, uint64_t before, struct text *text,
                       struct piece_seen *seen)
{
    struct input *input = NULL;
    struct input_block block = {0};
    struct input_row row;
    struct err err = {0};
    int got;
    if (input_open(piece, format, options, &input, &err))
        fail_msg("%s", err.text);
    while ((got = input_take(input, &block, &err)) > 0)
        while ((got = input_next(input, &block, &row, NULL)))
            text_row(text, before + row.line, &row, got);
    if (got)
        fail_msg("%s", err.text);
    *seen = (struct piece_seen){input_begin(input), input_end(input), input_line(input) - 1};
    input_block_release(&block);
    input_close(input);
}

struct sample {
    enum input_format format;
    const char *text;
    size_t len;
    struct input_options options;
    bool may_guess_wrong;
};

/* Reads the file cut at `cut`, and mends a wrong guess; false when there was one. */
static bool read_cut(const struct sample *sample, const char *path, uint64_t cut, struct text *text)
{
    struct input_piece first = {.path = path, .end = cut, .is_exact = true};
    struct input_piece second = {
        .path = path, .begin = cut, .end = UINT64_MAX, .rows_before = UINT64_MAX};
    struct piece_seen a, b;
    uint64_t n_lines = 0;
    text->len = 0;
    read_piece(&first, sample->format, &sample->options, 0, text, &a);
    assert_int_equal(a.begin, 0);
    assert_true(a.end >= cut || a.end == sample->len);
    assert_int_equal(
        input_count_rows(path, sample->format, &sample->options, a.end, &n_lines, NULL), 0);
    assert_int_equal(n_lines, a.rows_lines);
    size_t len = text->len;
    read_piece(&second, sample->format, &sample->options, a.rows_lines, text, &b);
    assert_int_equal(b.end, sample->len);
    if (b.begin == a.end)
        return true;
    second.begin = a.end;
    second.is_exact = true;
    text->len = len;
    text->rows[len] = 0;
    read_piece(&second, sample->format, &sample->options, a.rows_lines, text, &b);
    assert_int_equal(b.begin, a.end);
    return false;
}

static void assert_cuts(struct sample sample)
{
    static struct text whole;
    static struct text cut;
    struct piece_seen seen;
    const char *path = write_file("rows", sample.text, sample.len);
    struct input_piece piece = {.path = path, .end = UINT64_MAX, .is_exact = true};
    size_t n_wrong = 0;
    if (!sample.options.row_len_max)
        sample.options.row_len_max = 1 << 16;
    whole.len = 0;
    read_piece(&piece, sample.format, &sample.options, 0, &whole, &seen);
    assert_int_equal(seen.end, sample.len);
    for (size_t block_len = 1; block_len < 200; block_len = 3 * block_len + 1) {
        sample.options.block_len = block_len;
        for (uint64_t at = 1; at <= sample.len + 1; at++) {
            n_wrong += !read_cut(&sample, path, at, &cut);
            assert_string_equal(cut.rows, whole.rows);
        }
    }
    assert_true(sample.may_guess_wrong || n_wrong == 0);
}

#define SAMPLE(format_, text_) .format = (format_), .text = (text_), .len = sizeof(text_) - 1

static void piece__of_lines_is_never_guessed_wrongly(void **state)
{
    assert_cuts(
        (struct sample){SAMPLE(INPUT_TSV, "a\t1\nbb\t2 x\n\n\r\nc\t\r\nx\nd\t\\q\ne\t5\n")});
    assert_cuts((struct sample){SAMPLE(INPUT_TSV, "a\t1\nbb\t22222\nthe last\thas no end")});
    assert_cuts((struct sample){SAMPLE(INPUT_TSV, "one\tline")});
    assert_cuts((struct sample){SAMPLE(INPUT_TSV, "\n\n\n")});
    assert_cuts((struct sample){SAMPLE(
        INPUT_JSONL, "{\"key\":\"a\",\"value\":[1,2]}\n{}\n \n{\"key\":1,\"value\":\"x\"}\n")});
}

static void piece__knows_the_columns_of_a_header_it_does_not_hold(void **state)
{
    struct input_options options = {.header = true, .key_column = "id", .value_column = "v"};
    assert_cuts(
        (struct sample){SAMPLE(INPUT_TSV, "v\tskip\tid\n1\t-\ta\n2\t-\tb\n"), .options = options});
    assert_cuts((struct sample){SAMPLE(INPUT_CSV, "v,\"the\nother\",id\n1,-,a\n2,-,b\n"),
                                .options = options, .may_guess_wrong = true});
}

static void piece__of_csv_is_mended_when_a_quoted_line_end_misled_it(void **state)
{
    assert_cuts((struct sample){SAMPLE(INPUT_CSV, "a,1\n\"b,c\",\"say \"\"hi\"\"\"\r\nd,4\n")});
    assert_cuts((struct sample){
        SAMPLE(INPUT_CSV, "a,\"1\n2\n\"\r\nb,\"\r\n,\"\"\n\"\nc,3\nd,\"4\nunclosed\nx,y\n"),
        .may_guess_wrong = true});
    assert_cuts((struct sample){SAMPLE(INPUT_CSV, "a,x\"y\nb,2\n\"c\"x,3\nd,4\n\"e\"\r\"\nf,6\n"),
                                .may_guess_wrong = true});
}

static void piece__that_begins_in_a_byte_order_mark_begins_behind_it(void **state)
{
    struct input_options header = {.header = true};
    assert_cuts((struct sample){SAMPLE(INPUT_TSV, "\xEF\xBB\xBF"
                                                  "a\t1\nb\t2\n")});
    assert_cuts((struct sample){SAMPLE(INPUT_TSV, "\xEF\xBB\xBF\nb\t2\n"), .options = header});
    assert_cuts((struct sample){SAMPLE(INPUT_CSV, "\xEF\xBB\xBF"
                                                  "k,v\na,1\nb,2\n"),
                                .options = header});
}

static void piece__counts_a_row_that_is_too_long_where_it_begins(void **state)
{
    char text[600];
    struct input_options options = {.row_len_max = 40};
    memset(text, 'x', sizeof text);
    memcpy(text, "a\t1\nb\t", 6);
    memcpy(text + 300, "\nc\t2\nd\t", 7);
    memcpy(text + 590, "\ne\t3\nf\t4\n", 10);
    assert_cuts((struct sample){INPUT_TSV, text, sizeof text, options, false});
    memcpy(text, "a,1\nb,\"", 7);
    memcpy(text + 100, "\n\n,\n\"\"", 6);
    memcpy(text + 300, "\"\nc,2\nd,", 8);
    memcpy(text + 590, "\ne,3\nf,4\n", 9);
    assert_cuts((struct sample){INPUT_CSV, text, sizeof text - 1, options, true});
}

/* Cut in many places at once, borders before, behind and within rows. */
static void piece__many_of_a_file_hold_each_row_once(void **state)
{
    static struct text whole;
    static struct text all;
    static const char rows[] = "a\t1\na longer row\t22222222222222222222222222\nb\t2\n\nc\t3";
    struct input_options options = {.row_len_max = 1000, .block_len = 5};
    struct piece_seen seen;
    const char *path = write_file("rows", rows, sizeof rows - 1);
    struct input_piece piece = {.path = path, .end = UINT64_MAX, .is_exact = true};
    whole.len = 0;
    read_piece(&piece, INPUT_TSV, &options, 0, &whole, &seen);
    for (uint64_t step = 1; step < sizeof rows; step++) {
        uint64_t lines = 0;
        uint64_t border = 0;
        all.len = 0;
        for (uint64_t at = 0; at < sizeof rows; at += step) {
            piece = (struct input_piece){.path = path, .begin = at, .end = at + step};
            read_piece(&piece, INPUT_TSV, &options, lines, &all, &seen);
            assert_int_equal(seen.begin, border);
            border = seen.end;
            lines += seen.rows_lines;
        }
        assert_int_equal(border, sizeof rows - 1);
        assert_string_equal(all.rows, whole.rows);
    }
}

static int open_piece(struct input_piece piece, struct err *err)
{
    struct input_options options = {.row_len_max = 1000};
    struct input *input = NULL;
    int ret = input_open(&piece, INPUT_TSV, &options, &input, err);
    input_close(input);
    return ret;
}

static void piece__of_a_compressed_file_is_refused(void **state)
{
    struct err err = {0};
    const char *path = write_file("rows.tsv.gz", "\x1f\x8b", 2);
    assert_int_equal(open_piece((struct input_piece){.path = path, .begin = 5, .end = 9}, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "rows.tsv.gz"));
}

/* ---- files that change ---- */

/* Takes all blocks of a file of two rows, after `change` was done to it behind the first block. */
static int read_changed(void (*change)(const char *path), struct err *err)
{
    struct input_options options = {.row_len_max = 1000, .block_len = 4};
    struct input *input = NULL;
    struct input_block block = {0};
    const char *path = write_file("rows.tsv", "a\t1\nb\t2\n", 8);
    struct input_piece piece = {.path = path, .end = UINT64_MAX, .is_exact = true};
    assert_int_equal(input_open(&piece, INPUT_TSV, &options, &input, err), 0);
    assert_int_equal(input_take(input, &block, err), 1);
    if (change)
        change(path);
    int got;
    while ((got = input_take(input, &block, err)) > 0)
        ;
    input_block_release(&block);
    input_close(input);
    return got;
}

static void grow(const char *path)
{
    FILE *file = fopen(path, "ab");
    assert_int_equal(fwrite("c\t3\n", 1, 4, file), 4);
    fclose(file);
}

static void cut_short(const char *path)
{
    assert_int_equal(truncate(path, 6), 0);
}

static void replace(const char *path)
{
    char other[300];
    snprintf(other, sizeof other, "%s.new", path);
    FILE *file = fopen(other, "wb");
    assert_int_equal(fwrite("a\t1\nb\t3\n", 1, 8, file), 8);
    fclose(file);
    assert_int_equal(rename(other, path), 0);
}

static void take_away(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void input__a_file_that_changes_while_it_is_read_is_refused(void **state)
{
    void (*const changes[])(const char *) = {grow, cut_short, replace, take_away};
    assert_int_equal(read_changed(NULL, NULL), 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct err err = {0};
        assert_int_equal(read_changed(changes[i], &err), -ESTALE);
        assert_non_null(strstr(err.text, "rows.tsv: "));
        assert_non_null(strstr(err.text, "while it was read"));
    }
}

/* ---- places ---- */

static void place__is_the_line_of_the_file(void **state)
{
    char out[PLACE_MAX];
    char expected[PLACE_MAX];
    const char *path = write_file("rows.tsv", "a\t1\n\nb\t2\nc\t3\nd\t4\n", 17);
    struct job job = {0};
    struct input_piece pieces[] = {
        {.path = path, .end = 6, .is_exact = true},
        {.path = path, .begin = 6, .end = 14, .rows_before = UINT64_MAX},
        {.path = path, .begin = 13, .end = 17, .is_exact = true, .rows_before = 4},
        {.path = "/nowhere/rows.tsv", .begin = 7, .end = 17, .rows_before = UINT64_MAX},
    };
    static const struct {
        uint64_t piece, line, place;
    } known[] = {{0, 1, 1}, {0, 3, 3}, {1, 1, 4}, {2, 1, 5}, {1, 1, 4}};
    struct seq_places places = {.pieces = pieces, .n_pieces = 4, .job = &job};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        seq_place(&places, seq_make(known[i].piece, known[i].line), out);
        snprintf(expected, sizeof expected, "%s:%llu", path, (unsigned long long)known[i].place);
        assert_string_equal(out, expected);
    }
    seq_place(&places, seq_make(1, 0), out);
    assert_string_equal(out, path);
    seq_place(&places, seq_make(3, 5), out);
    assert_string_equal(out, "/nowhere/rows.tsv: line 5 of the rows from byte 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(piece__of_lines_is_never_guessed_wrongly),
        cmocka_unit_test(piece__knows_the_columns_of_a_header_it_does_not_hold),
        cmocka_unit_test(piece__of_csv_is_mended_when_a_quoted_line_end_misled_it),
        cmocka_unit_test(piece__that_begins_in_a_byte_order_mark_begins_behind_it),
        cmocka_unit_test(piece__counts_a_row_that_is_too_long_where_it_begins),
        cmocka_unit_test(piece__many_of_a_file_hold_each_row_once),
        cmocka_unit_test(piece__of_a_compressed_file_is_refused),
        cmocka_unit_test(input__a_file_that_changes_while_it_is_read_is_refused),
        cmocka_unit_test(place__is_the_line_of_the_file),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
