/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_world: tables on disk whose every answer is known by a rule: keys 0 to n - 1, of which key k is
 * in level l by one rule, deleted by another.
 *
 * Threads: one. Memory: disk_world_release().
 */
#ifndef FKV_TESTS_DISK_WORLD_H
#define FKV_TESTS_DISK_WORLD_H

#include "codec/vector.h"
#include "disk_fixture.h"
#include "query/batch.h"

enum { WORLD_TEXT = 32 };

struct disk_world_params {
    enum table_kind kind;
    enum key_type key_type;
    const char *value;
    uint32_t n_shards;
    uint32_t n_levels;
    uint32_t n; /* keys; 0: 3000 */
    bool is_compressed;
    bool has_filter;
    bool has_long; /* some varying values of many pages */
    uint64_t cache_bytes;
    uint64_t values_bytes;
};

struct disk_world {
    struct disk_fixture fixture;
    struct disk_world_params params;
    uint32_t n;
    uint32_t n_levels;
    uint32_t fixed_len; /* 0: varying */
};

static inline bool world_is_in_level(uint32_t key, uint32_t level)
{
    return level == 0 ? key % 3 != 0 : key % (7 * level) == 1;
}

static inline bool world_is_tombstone(uint32_t key, uint32_t level)
{
    return level > 0 && key % 4 == 1;
}

static inline uint32_t world_value_len(const struct disk_world *w, uint32_t key, uint32_t level)
{
    if (w->params.has_long && key % 100 == 1)
        return 5000 + key * 37 % 90000;
    return w->fixed_len ? w->fixed_len : (key * 31 + level) % 300;
}

/* Half of each value can be compressed. */
static inline void world_value(const struct disk_world *w, uint32_t key, uint32_t level,
                               uint8_t *out)
{
    uint32_t len = world_value_len(w, key, level);
    for (uint32_t i = 0; i < len; i++)
        out[i] = i % 32 < 16 ? (uint8_t)(i % 16 * 3)
                             : (uint8_t)((hash_u64(key, level) >> (i % 8 * 8)) ^ (uint8_t)i);
}

/* The level that answers for the key, or -1. */
static inline int world_newest(const struct disk_world *w, uint32_t key)
{
    if (key >= w->n)
        return -1;
    for (uint32_t level = w->n_levels; level-- > 0;)
        if (world_is_in_level(key, level))
            return world_is_tombstone(key, level) ? -1 : (int)level;
    return -1;
}

/* Keys have 1 to about 20 bytes, some share long beginnings. */
static inline void world_key_text(uint32_t key, char out[WORLD_TEXT])
{
    snprintf(out, WORLD_TEXT, key % 2 ? "%u" : "a/long/prefix/%u", key);
}

static inline void world_add_level(struct disk_world *w, uint32_t level)
{
    struct part_entry *entries = calloc(w->n, sizeof *entries);
    char(*keys)[WORLD_TEXT] = calloc(w->n, sizeof *keys);
    size_t len_max = 0;
    size_t n = 0;
    for (uint32_t key = 0; key < w->n; key++)
        len_max += world_value_len(w, key, level);
    uint8_t *values = malloc(len_max + 1);
    FIXTURE_MUST(entries && keys && values);
    uint8_t *bytes = values;
    for (uint32_t key = 0; key < w->n; key++) {
        uint32_t len = world_value_len(w, key, level);
        if (!world_is_in_level(key, level))
            continue;
        bool is_gone = world_is_tombstone(key, level);
        world_key_text(key, keys[key]);
        world_value(w, key, level, bytes);
        const uint8_t *value = is_gone ? NULL : bytes;
        len = is_gone ? 0 : len;
        entries[n++] = w->params.key_type == KEY_U64
                           ? fixture_u64(&w->fixture.schema, key, value, len)
                           : fixture_bytes(&w->fixture.schema, keys[key], value, len);
        bytes += len;
    }
    disk_fixture_add_level(&w->fixture, entries, n);
    free(entries);
    free(keys);
    free(values);
}

static inline void disk_world_init(struct disk_world *w, const struct disk_world_params *params)
{
    *w = (struct disk_world){
        .params = *params, .n = params->n ? params->n : 3000, .n_levels = params->n_levels};
    w->fixture.schema = fixture_schema(params->key_type, params->value, params->n_shards);
    w->fixture.schema.kind = params->kind;
    w->fixture.has_filter = params->has_filter;
    w->fixed_len = w->fixture.schema.value_len;
    if (params->is_compressed)
        disk_fixture_compress(&w->fixture, "", 0);
    for (uint32_t level = 0; level < params->n_levels; level++)
        world_add_level(w, level);
    if (params->cache_bytes)
        FIXTURE_MUST(block_cache_new(params->cache_bytes, &w->fixture.shared.cache, NULL) == 0);
    if (params->values_bytes)
        FIXTURE_MUST(value_cache_new(params->values_bytes, &w->fixture.shared.values, NULL) == 0);
    disk_fixture_table(&w->fixture);
}

static inline void disk_world_release(struct disk_world *w)
{
    disk_fixture_release(&w->fixture);
}

/* The request for n keys; released with buf_release(). */
static inline struct buf world_request(const struct disk_world *w, const uint32_t *numbers,
                                       uint32_t n)
{
    struct buf keys = {0};
    uint32_t end = 0;
    if (w->params.key_type == KEY_U64) {
        for (uint32_t i = 0; i < n; i++) {
            uint64_t key = numbers[i];
            FIXTURE_MUST(buf_add(&keys, &key, sizeof key) == 0);
        }
        return keys;
    }
    for (uint32_t i = 0; i < n; i++) {
        char text[WORLD_TEXT];
        world_key_text(numbers[i], text);
        end += (uint32_t)strlen(text);
        FIXTURE_MUST(buf_add(&keys, &end, sizeof end) == 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        char text[WORLD_TEXT];
        world_key_text(numbers[i], text);
        FIXTURE_MUST(buf_add(&keys, text, strlen(text)) == 0);
    }
    return keys;
}

/* Whether found[0, len) is the value of the key in that level. */
static inline bool world_is_value(const struct disk_world *w, uint32_t key, int level,
                                  const uint8_t *found, uint32_t len, enum batch_form form)
{
    const struct schema *schema = &w->fixture.schema;
    uint32_t stored_len = world_value_len(w, key, (uint32_t)level);
    uint8_t *stored = malloc(stored_len + 1);
    uint8_t *row = malloc(4 * (size_t)schema->dim + 1);
    FIXTURE_MUST(stored && row);
    world_value(w, key, (uint32_t)level, stored);
    bool is_it = len == stored_len && memcmp(found, stored, len) == 0;
    if (form == BATCH_AS_F32) {
        vector_decoder_portable(schema->elem)(stored, schema->dim, row);
        is_it = memcmp(found, row, 4 * (size_t)schema->dim) == 0;
    }
    free(stored);
    free(row);
    return is_it;
}

#endif
