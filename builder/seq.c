/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/seq.h"

#include "builder/parquet.h"
#include "builder/source.h"

#include <stdio.h>
#include <string.h>

/* Lines of the file before the piece's first row. */
static int rows_count(const struct job *job, const struct input_piece *piece, uint64_t *n)
{
    enum { ROW_LEN = 1 << 20 };
    struct input_options options = {.header = job->header,
                                    .key_column = job->key_column,
                                    .value_column = job->value_column,
                                    .row_len_max = ROW_LEN};
    struct input *input = NULL;
    enum input_format format = INPUT_AUTO;
    int ret = input_format_of(piece->path, job->format, &format, NULL);
    if (!ret)
        ret = input_open(piece, format, &options, &input, NULL);
    if (!ret)
        ret = input_count_rows(piece->path, format, &options, input_begin(input), n, NULL);
    input_close(input);
    return ret;
}

static bool rows_before(struct seq_places *places, uint64_t number, uint64_t *out)
{
    const struct input_piece *piece = &places->pieces[number];
    if (piece->begin == 0) {
        *out = 0;
        return true;
    }
    if (parquet_is_input(piece->path, places->job->format)) {
        *out = piece->begin;
        return true;
    }
    if (piece->rows_before != UINT64_MAX) {
        *out = piece->rows_before;
        return true;
    }
    if (!places->is_counted || places->piece != number) {
        places->is_counted = true;
        places->piece = number;
        if (rows_count(places->job, piece, &places->rows_before))
            places->rows_before = UINT64_MAX;
    }
    *out = places->rows_before;
    return *out != UINT64_MAX;
}

void seq_place(struct seq_places *places, uint64_t seq, char out[PLACE_MAX])
{
    enum { WORDS_MAX = 80 };
    uint64_t number = seq_piece(seq);
    uint64_t line = seq & ((1ULL << SEQ_LINE_BITS) - 1);
    const char *path = number < places->n_pieces ? places->pieces[number].path : "?";
    uint64_t before = 0;
    if (places->job->format == INPUT_SQL)
        path = "query";
    /* A long path keeps its end, which tells files apart. */
    size_t len = source_name_len(path);
    size_t shown_len = len > PLACE_MAX - WORDS_MAX ? PLACE_MAX - WORDS_MAX : len;
    while (shown_len < len && (path[len - shown_len] & 0xC0) == 0x80)
        shown_len--; /* not from the middle of a character */
    const char *shown = path + len - shown_len;
    if (!line || number >= places->n_pieces)
        snprintf(out, PLACE_MAX, "%.*s", (int)shown_len, shown);
    else if (rows_before(places, number, &before))
        snprintf(out, PLACE_MAX, "%.*s:%llu", (int)shown_len, shown,
                 (unsigned long long)(before + line));
    else
        snprintf(out, PLACE_MAX, "%.*s: line %llu of the rows from byte %llu", (int)shown_len,
                 shown, (unsigned long long)line, (unsigned long long)places->pieces[number].begin);
}
