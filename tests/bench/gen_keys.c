/* SPDX-License-Identifier: Apache-2.0 */
#include "gen_keys.h"

#include "bench_keys.h"
#include "bench_util.h"

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };

static inline uint64_t word_of(const struct gen_key *key, bool by_key)
{
    return by_key ? key->key : key->hash;
}

/* Returns a or b, whichever it ends in. */
static struct gen_key *sorted(struct gen_key *a, struct gen_key *b, uint64_t n, bool by_key)
{
    for (int shift = 0; shift < 64; shift += RADIX_BITS) {
        uint64_t start[RADIX + 1] = {0};
        for (uint64_t i = 0; i < n; i++)
            start[((word_of(&a[i], by_key) >> shift) & (RADIX - 1)) + 1]++;
        for (int i = 0; i < RADIX; i++)
            start[i + 1] += start[i];
        for (uint64_t i = 0; i < n; i++)
            b[start[(word_of(&a[i], by_key) >> shift) & (RADIX - 1)]++] = a[i];
        struct gen_key *other = a;
        a = b;
        b = other;
    }
    return a;
}

/* From a to b, in order of shards and else as they were. */
static void split(const struct schema *schema, const struct gen_key *a, struct gen_key *b,
                  uint64_t n, uint64_t *starts)
{
    uint64_t *next = calloc(schema->n_shards + 1, sizeof *next);
    BENCH_MUST(next);
    for (uint64_t i = 0; i < n; i++)
        starts[schema_shard(schema, a[i].hash) + 1]++;
    for (uint32_t i = 0; i < schema->n_shards; i++) {
        starts[i + 1] += starts[i];
        next[i] = starts[i];
    }
    for (uint64_t i = 0; i < n; i++)
        b[next[schema_shard(schema, a[i].hash)]++] = a[i];
    free(next);
}

static struct gen_key key_at(const struct schema *schema, uint64_t i)
{
    uint8_t text[TEXT_KEY_LEN];
    uint64_t key = bench_key(i);
    if (schema->key_type == KEY_U64)
        return (struct gen_key){schema_hash_u64(schema, key), key};
    bench_key_text(key, text);
    return (struct gen_key){schema_hash_bytes(schema, text, sizeof text), key};
}

void gen_keys_make(const struct schema *schema, uint64_t n, struct gen_keys *out)
{
    struct gen_key *a = huge_alloc(n * sizeof *a);
    struct gen_key *b = huge_alloc(n * sizeof *b);
    *out = (struct gen_keys){.n = n};
    out->starts = calloc(schema->n_shards + 2, sizeof *out->starts);
    BENCH_MUST(out->starts);
    for (uint64_t i = 0; i < n; i++)
        a[i] = key_at(schema, i);
    struct gen_key *in_order = sorted(a, b, n, schema->kind == KIND_IDX);
    out->all = in_order == a ? b : a;
    split(schema, in_order, out->all, n, out->starts);
    huge_free(in_order, n * sizeof *in_order);
}

void gen_keys_release(struct gen_keys *keys)
{
    huge_free(keys->all, keys->n * sizeof *keys->all);
    free(keys->starts);
}
