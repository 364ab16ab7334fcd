/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paged_entries: entries of many shapes for tests of `blk` and `idx` parts. Key i of the u64 ones is
 * i, of the bytes ones "key/<i>".
 *
 * Threads: one. Memory: entries_free() frees what entries_make() made.
 */
#ifndef FKV_TESTS_PAGED_ENTRIES_H
#define FKV_TESTS_PAGED_ENTRIES_H

#include "paged_fixture.h"

/* n entries of varied bytes; the length of value i is len(i). */
struct entries {
    struct part_entry *at;
    uint8_t *values;
    char (*keys)[32];
    size_t n;
};

static inline uint32_t len_fixed_8(size_t i)
{
    return 8;
}
static inline uint32_t len_fixed_1(size_t i)
{
    return 1;
}
static inline uint32_t len_fixed_3072(size_t i)
{
    return 3072;
}
static inline uint32_t len_fixed_4096(size_t i)
{
    return 4096;
}
static inline uint32_t len_fixed_10000(size_t i)
{
    return 10000;
}
static inline uint32_t len_varied(size_t i)
{
    return (uint32_t)(i * 7919 % 300);
}
static inline uint32_t len_wild(size_t i)
{
    return i % 50 == 0 ? (uint32_t)(i % 7 * 20000) : (uint32_t)(i % 40);
}
static inline uint32_t len_none(size_t i)
{
    return 0;
}

static inline struct entries entries_make(const struct schema *schema, size_t n,
                                          uint32_t (*len)(size_t))
{
    struct entries e = {.at = calloc(n + 1, sizeof *e.at), .n = n};
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += len(i);
    e.values = malloc(total + 1);
    e.keys = calloc(n + 1, sizeof *e.keys);
    uint8_t *value = e.values;
    for (size_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < len(i); j++)
            value[j] = (uint8_t)(hash_u64(i, j) >> 13);
        snprintf(e.keys[i], sizeof e.keys[i], "key/%zu", i);
        e.at[i] = schema->key_type == KEY_U64 ? fixture_u64(schema, i, value, len(i))
                                              : fixture_bytes(schema, e.keys[i], value, len(i));
        value += len(i);
    }
    return e;
}

static inline void entries_free(struct entries *e)
{
    free(e->at);
    free(e->values);
    free(e->keys);
}

#endif
