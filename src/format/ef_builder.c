/* SPDX-License-Identifier: Apache-2.0 */
#include "format/ef_chunk.h"

#include <errno.h>

void ef_builder_release(struct ef_builder *builder)
{
    buf_release(&builder->waiting);
    buf_release(&builder->firsts);
    buf_release(&builder->places);
    buf_release(&builder->bytes);
}

/* Low bits for n numbers over a distance: as many as leave fewer than 2 n + 1 buckets. */
static uint32_t low_bits_for(uint64_t distance, uint32_t n)
{
    uint64_t gap = distance / n;
    return gap ? 63 - (uint32_t)__builtin_clzll(gap) : 0;
}

static void bits_or(uint8_t *words, uint64_t bit, uint64_t value)
{
    uint8_t *word = words + bit / 64 * 8;
    uint32_t shift = bit % 64;
    store_le64(word, load_le64(word) | value << shift);
    if (shift)
        store_le64(word + 8, load_le64(word + 8) | value >> (64 - shift));
}

static void chunk_encode(const uint64_t *numbers, uint32_t n, uint32_t n_buckets, uint32_t low_bits,
                         uint8_t *out)
{
    uint8_t *samples = out;
    uint8_t *unary = samples + ef_samples_len(n_buckets);
    uint8_t *low = unary + ef_unary_len(n, n_buckets);
    uint32_t n_sampled = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t distance = numbers[i] - numbers[0];
        uint64_t bucket = distance >> low_bits;
        /* Buckets up to this one begin no later than behind the i numbers before. */
        for (; n_sampled * (uint64_t)EF_SAMPLE <= bucket; n_sampled++)
            store_le16(samples + 2 * (size_t)n_sampled, (uint16_t)(n_sampled * EF_SAMPLE + i));
        uint64_t bit = bucket + i;
        unary[bit / 8] |= (uint8_t)(1 << (bit % 8));
        if (low_bits)
            bits_or(low, (uint64_t)i * low_bits, distance & ((1ULL << low_bits) - 1));
    }
    for (; n_sampled <= n_buckets / EF_SAMPLE; n_sampled++)
        store_le16(samples + 2 * (size_t)n_sampled, (uint16_t)(n_sampled * EF_SAMPLE + n));
}

static int chunk_finish(struct ef_builder *builder)
{
    const uint64_t *numbers = (const uint64_t *)(const void *)builder->waiting.data;
    uint32_t n = builder->n_waiting;
    uint64_t distance = numbers[n - 1] - numbers[0];
    uint32_t low_bits = low_bits_for(distance, n);
    uint32_t n_buckets = (uint32_t)(distance >> low_bits) + 1;
    size_t len = ef_samples_len(n_buckets) + ef_unary_len(n, n_buckets) + ef_low_len(n, low_bits);
    le64 first;
    le64 place;
    store_le64(&first, numbers[0]);
    store_le64(&place, ef_place_make(builder->bytes.len, n_buckets, low_bits));
    int ret = buf_reserve(&builder->bytes, len);
    if (!ret)
        ret = buf_add(&builder->firsts, &first, sizeof first);
    if (!ret)
        ret = buf_add(&builder->places, &place, sizeof place);
    if (ret)
        return ret;
    uint8_t *out = builder->bytes.data + builder->bytes.len;
    memset(out, 0, len);
    chunk_encode(numbers, n, n_buckets, low_bits, out);
    builder->bytes.len += len;
    builder->n_waiting = 0;
    buf_clear(&builder->waiting);
    return 0;
}

int ef_builder_add(struct ef_builder *builder, uint64_t number)
{
    if (builder->n && number < builder->last)
        return -EINVAL;
    int ret = buf_add(&builder->waiting, &number, sizeof number);
    if (ret)
        return ret;
    builder->last = number;
    builder->n++;
    return ++builder->n_waiting == EF_CHUNK ? chunk_finish(builder) : 0;
}

int ef_builder_finish(struct ef_builder *builder)
{
    int ret = builder->n_waiting ? chunk_finish(builder) : 0;
    if (!ret)
        ret = buf_add(&builder->firsts, builder->places.data, builder->places.len);
    return ret;
}
