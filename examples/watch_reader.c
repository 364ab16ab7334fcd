/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch_reader: a reader that never stops, and trusts nobody.
 *
 *     watch_reader /fkv/words words.txt SECONDS
 *
 * Reads the same keys over and over through <table>/batch, which follows `current`, and prints each
 * change of version. For every version it meets it reads the same keys once more from v/<id>/batch,
 * which is pinned, and from then on compares each batch of that version byte for byte: one that
 * mixed two versions would differ.
 */
#include <fkv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEYS_MAX = 2000, WORD_LEN_MAX = 255 };

struct keys {
    uint32_t n;
    const void *at[KEYS_MAX];
    uint8_t len[KEYS_MAX];
};

/* What all keys together look like in one version. */
struct picture {
    uint64_t version;
    uint64_t digest;
};

struct tally {
    unsigned long long batches, keys, failed, mixed, switches;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int read_keys(const char *file, struct keys *out)
{
    char line[WORD_LEN_MAX + 2];
    FILE *list = fopen(file, "r");
    if (!list)
        return -1;
    while (out->n < KEYS_MAX && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0])
            continue;
        out->len[out->n] = (uint8_t)strlen(line);
        out->at[out->n++] = strdup(line);
    }
    fclose(list);
    return 0;
}

/* Status and value of every key in one number: FNV-1a over words of 8 bytes, then the bytes
 * left. */
static uint64_t digest_bytes(uint64_t digest, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (; len >= 8; len -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        digest = (digest ^ word) * 0x100000001b3ull;
        digest ^= digest >> 32;
    }
    for (; len; len--)
        digest = (digest ^ *bytes++) * 0x100000001b3ull;
    return digest;
}

static uint64_t digest_of(const fkv_result *result)
{
    uint64_t digest = digest_bytes(0xcbf29ce484222325ull, result->status, result->n_keys);
    for (uint32_t i = 0; i < result->n_keys; i++) {
        uint32_t len;
        const void *value = fkv_value(result, i, &len);
        if (value)
            digest = digest_bytes(digest, value, len);
    }
    return digest;
}

/* The keys as v/<version>, which cannot change, has them. */
static int take_picture(const char *table_dir, uint64_t version, const struct keys *keys,
                        struct picture *out)
{
    char dir[4096];
    fkv_table *table = NULL;
    fkv_batch *batch = NULL;
    fkv_result result;
    snprintf(dir, sizeof dir, "%s/v/%llu", table_dir, (unsigned long long)version);
    int r = fkv_open(dir, NULL, &table);
    if (!r)
        r = fkv_batch_new(table, &batch);
    if (!r)
        r = fkv_get_bytes(batch, keys->at, keys->len, keys->n, NULL, &result);
    if (!r) {
        out->version = version;
        out->digest = digest_of(&result);
    }
    fkv_batch_free(batch);
    fkv_close(table);
    return r;
}

static void watch(fkv_batch *batch, const char *table_dir, const struct keys *keys, double seconds,
                  struct tally *tally)
{
    struct picture seen = {0, 0};
    double start = now();
    while (now() < start + seconds) {
        fkv_result result;
        tally->batches++;
        if (fkv_get_bytes(batch, keys->at, keys->len, keys->n, NULL, &result)) {
            printf("  %6.2f s  FAILED: %s\n", now() - start, fkv_last_error());
            tally->failed++;
            continue;
        }
        tally->keys += result.n_keys;
        if (result.version != seen.version) {
            printf("  %6.2f s  version %llu: %u of %u words found, after %llu batches\n",
                   now() - start, (unsigned long long)result.version, result.n_found, result.n_keys,
                   tally->batches - 1);
            fflush(stdout);
            tally->switches += seen.version != 0;
            uint64_t digest = digest_of(&result);
            if (take_picture(table_dir, result.version, keys, &seen)) {
                printf("  %6.2f s  FAILED: %s\n", now() - start, fkv_last_error());
                tally->failed++;
            } else {
                tally->mixed += digest != seen.digest;
            }
        } else {
            tally->mixed += digest_of(&result) != seen.digest;
        }
    }
}

static int fail(const char *what)
{
    fprintf(stderr, "watch_reader: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    static struct keys keys;
    struct tally tally = {0};
    fkv_table *table;
    fkv_batch *batch;

    if (argc != 4)
        return fail("usage: watch_reader TABLE_DIRECTORY WORD_LIST SECONDS");
    if (read_keys(argv[2], &keys))
        return fail("cannot read the word list");
    if (fkv_open(argv[1], NULL, &table) || fkv_batch_new(table, &batch))
        return fail(fkv_last_error());
    watch(batch, argv[1], &keys, atof(argv[3]), &tally);
    printf("  %llu batches, %llu keys, %llu switches: %llu failed, %llu mixed\n", tally.batches,
           tally.keys, tally.switches, tally.failed, tally.mixed);
    fkv_batch_free(batch);
    fkv_close(table);
    for (uint32_t i = 0; i < keys.n; i++)
        free((void *)keys.at[i]);
    return tally.failed || tally.mixed;
}
