/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_fixture: a store in memory with version 1 of "ads", and a cache to fetch it into. The content of its parts is no table:
 * fetching does not care.
 *
 * Threads: one. Memory: fetching_release(). Failures fail the test.
 */
#ifndef FKV_TESTS_FETCH_FIXTURE_H
#define FKV_TESTS_FETCH_FIXTURE_H

#include "unit.h"

#include "faulty_backend.h"
#include "format/version.h"
#include "memory_backend.h"
#include "node/cache.h"
#include "node/fetch.h"
#include "temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fetching {
    char dir[TEMP_DIR_MAX];
    struct faulty *faulty;
    struct store *store;
    struct store *direct; /* the same one past `faulty` */
    struct cache *cache;
    struct limiter *limiter;
    struct version_desc desc;
    struct digest digest;
    struct progress progress;
    _Atomic uint64_t fetched;
    _Atomic uint64_t bad;
    _Atomic bool is_stopped;
};

static inline int fetching_stop(void *context)
{
    struct fetching *fetching = context;
    return atomic_load(&fetching->is_stopped) ? -ECANCELED : 0;
}

static inline void fetching_part_path(const struct fetching *fetching, size_t i, char out[256])
{
    char name[PART_FILE_NAME_MAX];
    part_file_name(&fetching->desc.parts[i], name);
    snprintf(out, 256, "tables/ads/v/1/parts/%s", name);
}

static inline uint8_t *fetching_content(size_t i, size_t len)
{
    uint8_t *bytes = malloc(len);
    size_t n = len < 8192 ? len : 8192; /* after so many they come again */
    for (size_t k = 0; k < n; k++)
        bytes[k] = (uint8_t)(((k * 31 + i * 7) >> 5) + i);
    for (size_t k = n; k < len; k += n)
        memcpy(bytes + k, bytes, len - k < n ? len - k : n);
    return bytes;
}

static inline void fetching_put(struct fetching *fetching, const char *path, const void *data,
                                size_t len)
{
    struct err err = {0};
    store_remove(fetching->direct, path, NULL);
    int ret = store_put_new(fetching->direct, path, data, len, &err);
    if (ret)
        fail_msg("%s: %s", path, err_text(&err, ret));
}

static inline void fetching_make_part(struct fetching *fetching, size_t i, uint64_t len)
{
    struct part_desc *part = &fetching->desc.parts[i];
    uint8_t *bytes = fetching_content(i, len);
    char path[256];
    *part = (struct part_desc){.shard = (uint32_t)i, .len = len, .n_keys = 5};
    digest_of(bytes, len, &part->digest);
    part->n_chunks = (uint32_t)((len + PART_CHUNK_LEN - 1) / PART_CHUNK_LEN);
    part->chunks = calloc(part->n_chunks, sizeof *part->chunks);
    for (uint32_t c = 0; c < part->n_chunks; c++) {
        size_t left = len - (size_t)c * PART_CHUNK_LEN;
        digest_of(bytes + (size_t)c * PART_CHUNK_LEN, left < PART_CHUNK_LEN ? left : PART_CHUNK_LEN,
                  &part->chunks[c]);
    }
    fetching_part_path(fetching, i, path);
    fetching_put(fetching, path, bytes, len);
    free(bytes);
}

static inline void fetching_put_json(struct fetching *fetching)
{
    struct buf json = {0};
    struct err err = {0};
    int ret = version_desc_encode(&fetching->desc, &json, &err);
    if (ret)
        fail_msg("version.json: %s", err_text(&err, ret));
    digest_of(json.data, json.len, &fetching->digest);
    fetching_put(fetching, "tables/ads/v/1/version.json", json.data, json.len);
    buf_release(&json);
}

static inline void fetching_open_cache(struct fetching *fetching)
{
    char dir[TEMP_DIR_MAX + 16];
    struct err err = {0};
    snprintf(dir, sizeof dir, "%s/a/cache", fetching->dir);
    int ret = cache_open(dir, &fetching->cache, &err);
    if (ret)
        fail_msg("cache_open: %s", err_text(&err, ret));
}

/* Parts of those lengths, one a shard; the cache in memory where that can be had, or on a disk. */
static inline struct fetching *fetching_new(const uint64_t *lens, size_t n_parts, bool is_fast)
{
    struct fetching *fetching = calloc(1, sizeof *fetching);
    struct version_desc *desc = &fetching->desc;
    struct backend *memory = memory_backend_new();
    if (is_fast)
        temp_dir_make_fast(fetching->dir);
    else
        temp_dir_make(fetching->dir);
    fetching->faulty = faulty_new(memory, false);
    assert_int_equal(
        store_open_backend(&fetching->faulty->backend, "memory:", &fetching->store, NULL), 0);
    assert_int_equal(
        store_open_backend(&faulty_new(memory, true)->backend, "memory:", &fetching->direct, NULL),
        0);
    assert_int_equal(store_mkdir(fetching->store, "tables/ads/v/1/parts", NULL), 0);
    *desc = (struct version_desc){.version = 1, .n_levels = 1, .n_keys = 10, .n_entries = 10};
    desc->schema = (struct schema){.kind = KIND_MEM,
                                   .key_type = KEY_U64,
                                   .n_shards = (uint32_t)n_parts,
                                   .hash_seed = 1,
                                   .mode = 0444};
    assert_int_equal(schema_set_value(&desc->schema, "bytes", NULL), 0);
    desc->n_keys = desc->n_entries = 5 * n_parts;
    desc->task = strdup("t");
    desc->builder = strdup("b");
    desc->author = strdup("a@b");
    desc->created = strdup("2026-01-02T03:04:05Z");
    desc->source = strdup("s");
    desc->parts = calloc(n_parts, sizeof *desc->parts);
    desc->n_parts = n_parts;
    for (size_t i = 0; i < n_parts; i++)
        fetching_make_part(fetching, i, lens[i]);
    fetching_put_json(fetching);
    fetching_open_cache(fetching);
    return fetching;
}

static inline void fetching_release(struct fetching *fetching)
{
    cache_close(fetching->cache);
    store_close(fetching->direct);
    store_close(fetching->store);
    version_desc_release(&fetching->desc);
    temp_dir_remove(fetching->dir);
    free(fetching);
}

static inline int fetching_make_room(void *context, uint64_t need, struct err *err)
{
    struct fetching *fetching = context;
    uint64_t over = 0;
    return cache_check_room(fetching->cache, 0, need, &over, err);
}

static inline int fetching_run(struct fetching *fetching, struct err *err)
{
    struct fetch_job job = {.store = fetching->store,
                            .cache = fetching->cache,
                            .table = "ads",
                            .id = 1,
                            .digest = fetching->digest,
                            .stop = {fetching_stop, fetching},
                            .make_room = fetching_make_room,
                            .context = fetching,
                            .limiter = fetching->limiter,
                            .progress = &fetching->progress,
                            .fetched_bytes = &fetching->fetched,
                            .bad_chunks = &fetching->bad};
    fetching->fetched = 0;
    fetching->bad = 0;
    return fetch_version(&job, err);
}

#endif
