/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rank_words: which words mean something like this one?
 *
 *     rank_words /fkv/words words.txt queen [COUNT]
 *
 * Reads the vectors of all words (one a line in words.txt) in one batch through the mount, and
 * ranks them by cosine similarity to the query's. All of them come from one version, which the
 * table names.
 */
#include <fkv.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 100000, WORD_LEN_MAX = 255, BAR_WIDTH = 30 };

/* The word list as fkv takes it: pointers and lengths. */
struct words {
    uint32_t n;
    const void *at[WORDS_MAX];
    uint8_t len[WORDS_MAX];
};

struct ranked {
    const char *word;
    double similarity;
};

static int fail(const char *what)
{
    fprintf(stderr, "rank_words: %s\n", what);
    return 1;
}

static int read_words(const char *file, struct words *out)
{
    char line[WORD_LEN_MAX + 2];
    FILE *list = fopen(file, "r");
    if (!list)
        return -1;
    while (out->n < WORDS_MAX && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0])
            continue;
        out->len[out->n] = (uint8_t)strlen(line);
        out->at[out->n++] = strdup(line);
    }
    fclose(list);
    return 0;
}

static double cosine(const float *a, const float *b, uint32_t dim)
{
    double ab = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < dim; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static int by_similarity(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->similarity;
    double y = ((const struct ranked *)b)->similarity;
    return (x < y) - (x > y);
}

static void print_bar(double similarity)
{
    int full = (int)(similarity * BAR_WIDTH + 0.5);
    for (int i = 0; i < full; i++)
        fputs("█", stdout);
    putchar('\n');
}

/* The query's row, or n when it is not among the words. */
static uint32_t find_word(const struct words *words, const char *query)
{
    uint32_t i = 0;
    while (i < words->n && strcmp(words->at[i], query) != 0)
        i++;
    return i;
}

static int rank(const struct words *words, const char *query, uint32_t count, const float *vectors,
                const uint8_t *status, const fkv_shape *shape, uint64_t version)
{
    struct ranked *ranks = calloc(words->n, sizeof *ranks);
    uint32_t q = find_word(words, query);
    uint32_t n = 0;
    if (!ranks)
        return fail("no memory");
    if (q == words->n || status[q] != FKV_FOUND) {
        printf("  version %llu has no word \"%s\"\n", (unsigned long long)version, query);
        free(ranks);
        return 0;
    }
    for (uint32_t i = 0; i < words->n; i++) {
        if (i == q || status[i] != FKV_FOUND)
            continue;
        ranks[n].word = words->at[i];
        ranks[n++].similarity =
            cosine(vectors + (size_t)i * shape->dim, vectors + (size_t)q * shape->dim, shape->dim);
    }
    qsort(ranks, n, sizeof *ranks, by_similarity);
    printf("  \"%s\" among %u words, %s[%u], version %llu\n\n", query, n + 1, shape->elem,
           shape->dim, (unsigned long long)version);
    for (uint32_t i = 0; i < n && i < count; i++) {
        printf("  %3u  %-16s %.3f  ", i + 1, ranks[i].word, ranks[i].similarity);
        print_bar(ranks[i].similarity);
    }
    free(ranks);
    return 0;
}

int main(int argc, char **argv)
{
    static struct words words;
    fkv_table *table;
    fkv_batch *batch;
    fkv_shape shape;
    uint64_t version;

    if (argc < 4)
        return fail("usage: rank_words TABLE_DIRECTORY WORD_LIST QUERY [COUNT]");
    if (read_words(argv[2], &words))
        return fail("cannot read the word list");

    if (fkv_open(argv[1], NULL, &table) || fkv_get_shape(table, &shape) ||
        fkv_batch_new(table, &batch))
        return fail(fkv_last_error());
    float *vectors = malloc(sizeof(float) * shape.dim * words.n + 1);
    uint8_t *status = malloc(words.n + 1);
    if (!vectors || !status)
        return fail("no memory");
    if (fkv_get_matrix_bytes(batch, words.at, words.len, words.n, shape.dim, vectors, shape.dim,
                             status, NULL, &version))
        return fail(fkv_last_error());

    int r = rank(&words, argv[3], argc > 4 ? (uint32_t)atoi(argv[4]) : 10, vectors, status, &shape,
                 version);
    fkv_batch_free(batch);
    fkv_close(table);
    free(vectors);
    free(status);
    for (uint32_t i = 0; i < words.n; i++)
        free((void *)words.at[i]);
    return r;
}
