/* SPDX-License-Identifier: Apache-2.0 */
#include "format/elias_fano.h"

#include "format/ef_chunk.h"

#include <errno.h>

enum { GROUP = 32, NEAR = 4 };

/* ---- open ---- */

/* Whether chunk i lies in bytes[0, len). */
static bool chunk_is_within(const struct elias_fano *ef, uint64_t i, uint64_t len)
{
    struct ef_chunk chunk = ef_chunk_at(ef, i);
    uint64_t off = (load_le64(ef->places + 8 * i) >> 20) * 8;
    uint64_t need = ef_samples_len(chunk.n_buckets) + ef_unary_len(chunk.n, chunk.n_buckets) +
                    ef_low_len(chunk.n, chunk.low_bits);
    return chunk.n_buckets >= 1 && range_within(off, need, len);
}

int ef_open(uint64_t n, const uint8_t *places, uint64_t places_len, const uint8_t *bytes,
            uint64_t len, const char *name, struct elias_fano *out, struct err *err)
{
    struct elias_fano ef = {.n = n, .n_chunks = n / EF_CHUNK + (n % EF_CHUNK > 0), .bytes = bytes};
    if (places_len / 16 != ef.n_chunks || places_len % 16)
        return err_set(err, -EBADMSG, "%s: expected places of %llu chunks, found %llu bytes", name,
                       (unsigned long long)ef.n_chunks, (unsigned long long)places_len);
    ef.firsts = places;
    ef.places = places + 8 * ef.n_chunks;
    for (uint64_t i = 0; i < ef.n_chunks; i++) {
        if (!chunk_is_within(&ef, i, len))
            return err_set(err, -EBADMSG, "%s: chunk %llu lies outside its section", name,
                           (unsigned long long)i);
        if (i && load_le64(ef.firsts + 8 * i) < load_le64(ef.firsts + 8 * (i - 1)))
            return err_set(err, -EBADMSG, "%s: chunk %llu begins below the one before", name,
                           (unsigned long long)i);
    }
    *out = ef;
    return 0;
}

/* ---- searching ---- */

/* The chunks whose first number is below x. */
static uint64_t chunks_below(const struct elias_fano *ef, uint64_t x)
{
    uint64_t low = 0;
    for (uint64_t n = ef->n_chunks; n > 0;) {
        uint64_t half = (n + 1) / 2;
        low += load_le64(ef->firsts + 8 * (low + half - 1)) < x ? half : 0;
        n -= half;
    }
    return low;
}

uint64_t ef_lower_bound(const struct elias_fano *ef, uint64_t x)
{
    uint64_t i = chunks_below(ef, x);
    if (i == 0)
        return 0;
    struct ef_chunk chunk = ef_chunk_at(ef, i - 1);
    return (i - 1) * EF_CHUNK + ef_chunk_lower_bound(&chunk, x - chunk.first);
}

uint64_t ef_floor(const struct elias_fano *ef, uint64_t x, uint64_t *number)
{
    uint64_t i = x < UINT64_MAX ? chunks_below(ef, x + 1) : ef->n_chunks;
    if (i == 0)
        return 0;
    struct ef_chunk chunk = ef_chunk_at(ef, i - 1);
    uint32_t n = chunk.n;
    uint32_t bit = ef_n_bits(&chunk);
    uint64_t above = x - chunk.first + 1; /* the first distance that is too much; 0: none is */
    uint64_t bucket = above >> chunk.low_bits;
    if (above && bucket < chunk.n_buckets) {
        uint32_t begin = ef_bucket_begin(&chunk, (uint32_t)bucket);
        n = ef_chunk_lower_bound(&chunk, above);
        /* Numbers of this bucket that are not too much have their ones from its begin on. */
        uint32_t first = begin > bucket ? begin - (uint32_t)bucket : 0;
        bit = begin + (n > first ? n - first : 0);
        bit = bit < ef_n_bits(&chunk) ? bit : ef_n_bits(&chunk);
    }
    if (n == 0) /* the chunk's first is not above: only forged bytes say so */
        n = 1;
    *number = ef_number(&chunk, n - 1, ef_one_before(&chunk, bit));
    return (i - 1) * EF_CHUNK + n;
}

/*
 * Pass 1: how many chunks begin below x. Numbers that are spread evenly are where a straight line
 * from the first chunk to the last says, give or take some chunks; others cost a whole search.
 */
static uint64_t chunks_guess(const struct elias_fano *ef, double a_number, uint64_t x)
{
    uint64_t first = load_le64(ef->firsts);
    double guess = x > first ? (double)(x - first) * a_number : 0;
    double last = (double)(ef->n_chunks - 1);
    return (uint64_t)(guess < last ? guess : last);
}

static uint64_t chunks_find(const struct elias_fano *ef, uint64_t guess, uint64_t x)
{
    uint64_t low = guess > NEAR ? guess - NEAR : 0;
    uint64_t high = guess + NEAR < ef->n_chunks ? guess + NEAR : ef->n_chunks;
    bool is_near = (low == 0 || load_le64(ef->firsts + 8 * (low - 1)) < x) &&
                   (high == ef->n_chunks || load_le64(ef->firsts + 8 * high) >= x);
    if (!is_near)
        return chunks_below(ef, x);
    for (uint64_t n = high - low; n > 0;) {
        uint64_t half = (n + 1) / 2;
        low += load_le64(ef->firsts + 8 * (low + half - 1)) < x ? half : 0;
        n -= half;
    }
    return low;
}

/* A search under way. */
struct lane {
    struct ef_chunk chunk;
    uint64_t below; /* chunks that begin below the number; at least 1 from pass 2 on */
    uint64_t distance;
    uint32_t begin; /* ranks of its bucket, in the chunk */
    uint32_t end;
};

/* Pass 2: the chunk, and asks for the sample. A number that a chunk begins with stands, first of
 * its equals, there or in the one before. */
static void lane_aim(struct lane *lane, const struct elias_fano *ef, uint64_t number)
{
    lane->below += lane->below == 0;
    lane->chunk = ef_chunk_at(ef, lane->below - 1);
    lane->distance = number - lane->chunk.first;
    uint64_t bucket = lane->distance >> lane->chunk.low_bits;
    if (bucket < lane->chunk.n_buckets)
        __builtin_prefetch(lane->chunk.samples + 2 * (bucket / EF_SAMPLE));
}

/* Pass 3: asks for the unary bits. */
static void lane_narrow(const struct lane *lane)
{
    const struct ef_chunk *chunk = &lane->chunk;
    uint64_t bucket = lane->distance >> chunk->low_bits;
    if (bucket >= chunk->n_buckets)
        return;
    uint32_t bit = load_le16(chunk->samples + 2 * (bucket / EF_SAMPLE));
    if (bit >= ef_n_bits(chunk))
        return;
    __builtin_prefetch(chunk->unary + bit / 64 * 8);
    __builtin_prefetch(chunk->unary + bit / 64 * 8 + 16);
}

/* Pass 4: the ranks of the bucket, and asks for their low bits. */
static void lane_rank(struct lane *lane)
{
    const struct ef_chunk *chunk = &lane->chunk;
    uint64_t bucket = lane->distance >> chunk->low_bits;
    lane->begin = lane->end = chunk->n;
    if (bucket >= chunk->n_buckets)
        return;
    ef_bucket_ranks(chunk, (uint32_t)bucket, &lane->begin, &lane->end);
    const uint8_t *low = chunk->low + (uint64_t)lane->begin * chunk->low_bits / 8;
    __builtin_prefetch(low);
    __builtin_prefetch(low + 16);
}

/* Pass 5. */
static uint64_t lane_find(const struct lane *lane, const struct elias_fano *ef, uint64_t number)
{
    const struct ef_chunk *chunk = &lane->chunk;
    if (number < chunk->first)
        return EF_NONE;
    uint64_t wanted = ef_low_of(chunk, lane->distance);
    uint32_t i = ef_low_search(chunk, lane->begin, lane->end, wanted);
    uint64_t rank = (lane->below - 1) * EF_CHUNK + i;
    if (i < lane->end && ef_low(chunk, i) == wanted)
        return rank;
    /* Behind the last number of the chunk the next one begins. */
    bool begins_next = i == chunk->n && lane->below < ef->n_chunks &&
                       load_le64(ef->firsts + 8 * lane->below) == number;
    return begins_next ? rank : EF_NONE;
}

/* All passes for a group. */
static void group_find(const struct elias_fano *ef, double a_number, const uint64_t *numbers,
                       uint32_t n, uint64_t *ranks)
{
    struct lane lanes[GROUP];
    for (uint32_t i = 0; i < n; i++) {
        lanes[i].below = chunks_guess(ef, a_number, numbers[i]);
        __builtin_prefetch(ef->firsts + 8 * lanes[i].below);
    }
    for (uint32_t i = 0; i < n; i++) {
        lanes[i].below = chunks_find(ef, lanes[i].below, numbers[i]);
        __builtin_prefetch(ef->places + 8 * (lanes[i].below ? lanes[i].below - 1 : 0));
    }
    for (uint32_t i = 0; i < n; i++)
        lane_aim(&lanes[i], ef, numbers[i]);
    for (uint32_t i = 0; i < n; i++)
        lane_narrow(&lanes[i]);
    for (uint32_t i = 0; i < n; i++)
        lane_rank(&lanes[i]);
    for (uint32_t i = 0; i < n; i++)
        ranks[i] = lane_find(&lanes[i], ef, numbers[i]);
}

void ef_find(const struct elias_fano *ef, const uint64_t *numbers, uint32_t m, uint64_t *ranks)
{
    if (ef->n == 0) {
        memset(ranks, 0xFF, m * sizeof *ranks);
        return;
    }
    uint64_t width = load_le64(ef->firsts + 8 * (ef->n_chunks - 1)) - load_le64(ef->firsts);
    double a_number = width ? (double)(ef->n_chunks - 1) / (double)width : 0;
    for (uint32_t i = 0; i < m; i += GROUP)
        group_find(ef, a_number, numbers + i, m - i < GROUP ? m - i : GROUP, ranks + i);
}

/* ---- walking ---- */

/* The bit of the number of rank i in a chunk, at most n_bits. */
static uint32_t bit_of(const struct ef_chunk *chunk, uint32_t i)
{
    uint32_t n_bits = ef_n_bits(chunk);
    for (uint32_t base = 0; base < n_bits; base += 64) {
        uint64_t word = ef_word(chunk, base / 64);
        uint32_t n = ef_popcount(word);
        if (i < n)
            return base + ef_select(word, i);
        i -= n;
    }
    return n_bits;
}

void ef_seek(const struct elias_fano *ef, uint64_t rank, struct ef_cursor *cursor)
{
    *cursor = (struct ef_cursor){.ef = ef, .next = rank < ef->n ? rank : ef->n};
    if (cursor->next == ef->n || rank % EF_CHUNK == 0)
        return;
    struct ef_chunk chunk = ef_chunk_at(ef, rank / EF_CHUNK);
    cursor->bit = bit_of(&chunk, rank % EF_CHUNK);
    uint32_t before = rank % EF_CHUNK;
    cursor->bucket = cursor->bit > before ? cursor->bit - before : 0;
}

int ef_next(struct ef_cursor *cursor, uint64_t *number)
{
    if (cursor->next >= cursor->ef->n)
        return 0;
    uint32_t i = cursor->next % EF_CHUNK;
    struct ef_chunk chunk = ef_chunk_at(cursor->ef, cursor->next / EF_CHUNK);
    uint32_t n_bits = ef_n_bits(&chunk);
    if (i == 0)
        cursor->bit = cursor->bucket = 0;
    /* Each zero on the way ends a bucket. */
    while (cursor->bit < n_bits) {
        uint64_t ones = ef_word(&chunk, cursor->bit / 64) >> (cursor->bit % 64);
        uint32_t step = ones ? (uint32_t)__builtin_ctzll(ones) : 64 - cursor->bit % 64;
        cursor->bit += step;
        cursor->bucket += step;
        if (ones)
            break;
    }
    *number = chunk.first + ((uint64_t)cursor->bucket << chunk.low_bits | ef_low(&chunk, i));
    cursor->bit++;
    cursor->next++;
    return 1;
}

uint64_t ef_get(const struct elias_fano *ef, uint64_t i)
{
    struct ef_cursor cursor;
    uint64_t number = 0;
    ef_seek(ef, i, &cursor);
    ef_next(&cursor, &number);
    return number;
}
