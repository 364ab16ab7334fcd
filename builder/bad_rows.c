/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/bad_rows.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bad_rows_init(struct bad_rows *bad, const struct job *job, const struct input_piece *pieces,
                   size_t n_pieces)
{
    *bad = (struct bad_rows){.job = job,
                             .places = {.pieces = pieces, .n_pieces = n_pieces, .job = job}};
    pthread_mutex_init(&bad->lock, NULL);
    bad->rows = calloc(BAD_ROWS_SHOWN, sizeof *bad->rows);
}

void bad_rows_release(struct bad_rows *bad)
{
    for (size_t i = 0; i < bad->n_rows; i++)
        free(bad->rows[i].reason);
    free(bad->rows);
    pthread_mutex_destroy(&bad->lock);
}

/* Keeps the row when it is among the first. The list is short and bad rows are rare, so it is kept sorted. */
static void rows_insert(struct bad_rows *bad, uint64_t seq, const char *reason)
{
    if (!bad->rows)
        return;
    size_t i = bad->n_rows;
    while (i > 0 && bad->rows[i - 1].seq > seq)
        i--;
    if (i == BAD_ROWS_SHOWN)
        return;
    if (bad->n_rows == BAD_ROWS_SHOWN)
        free(bad->rows[--bad->n_rows].reason);
    memmove(bad->rows + i + 1, bad->rows + i, (bad->n_rows - i) * sizeof *bad->rows);
    bad->rows[i] = (struct bad_row){seq, strdup(reason)};
    bad->n_rows++;
}

static uint64_t verdict(const struct bad_rows *bad)
{
    if (bad->n <= bad->job->max_bad)
        return BAD_ROWS_FEW;
    return bad->n_rows ? bad->rows[0].seq : 0;
}

uint64_t bad_rows_add(struct bad_rows *bad, uint64_t seq, const char *reason)
{
    scope_lock(&bad->lock);
    bad->n++;
    rows_insert(bad, seq, reason);
    return verdict(bad);
}

uint64_t bad_rows_verdict(struct bad_rows *bad)
{
    scope_lock(&bad->lock);
    return verdict(bad);
}

uint64_t bad_rows_count(struct bad_rows *bad)
{
    scope_lock(&bad->lock);
    return bad->n;
}

int bad_rows_error(struct bad_rows *bad, struct err *err)
{
    char place[PLACE_MAX] = "?";
    const char *reason = NULL;
    if (bad->n_rows) {
        seq_place(&bad->places, bad->rows[0].seq, place);
        reason = bad->rows[0].reason;
    }
    if (bad->job->max_bad == 0)
        return err_set(err, -EBADMSG, "%s: %s", place, reason ? reason : "bad row");
    return err_set(err, -EBADMSG, "more than %llu bad rows (--max-bad); the first: %s: %s",
                   (unsigned long long)bad->job->max_bad, place, reason ? reason : "bad row");
}

void bad_rows_tell(struct bad_rows *bad, const struct build_hooks *hooks)
{
    if (!hooks || !hooks->bad_row || bad->job->max_bad == 0)
        return;
    for (size_t i = 0; i < bad->n_rows; i++) {
        char place[PLACE_MAX];
        char text[PLACE_MAX + ERR_TEXT_MAX];
        const char *reason = bad->rows[i].reason;
        seq_place(&bad->places, bad->rows[i].seq, place);
        snprintf(text, sizeof text, "%s: %s", place, reason ? reason : "bad row");
        hooks->bad_row(hooks->context, text);
    }
}
