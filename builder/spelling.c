/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edit distance by its table, row by row (Damerau's, of neighbours swapped once: "optimal string alignment"). Only words
 * of the length of a member's name get that far.
 */
#include "builder/spelling.h"

#include <string.h>

enum { WORD_MAX = 24 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t spelling_distance(const char *word, const char *known)
{
    size_t n = strnlen(word, WORD_MAX + 1), m = strnlen(known, WORD_MAX + 1);
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    if (n > WORD_MAX || m > WORD_MAX || !n || !m)
        return SPELLING_FAR;
    for (size_t j = 0; j <= m; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = last[j - 1] + (word[i - 1] != known[j - 1]);
            row[j] = least(change, 1 + least(last[j], row[j - 1]));
            if (i > 1 && j > 1 && word[i - 1] == known[j - 2] && word[i - 2] == known[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    /* A third of the letters may be wrong. */
    return 3 * last[m] <= (n > m ? n : m) ? last[m] : SPELLING_FAR;
}
