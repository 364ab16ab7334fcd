/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB twice, through its C API: block-based tables with everything in the block cache, and the
 * cuckoo table, its fastest format for point lookups in memory.
 */
#include "peer.h"

#include "bench_keys.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

struct rocks {
    rocksdb_t *db;
    rocksdb_readoptions_t *read;
    rocksdb_column_family_handle_t *family;
    uint64_t key_be[PEER_BATCH_MAX];
    const char *key_at[PEER_BATCH_MAX];
    size_t key_len[PEER_BATCH_MAX];
    rocksdb_pinnableslice_t *slices[PEER_BATCH_MAX];
    char *errors[PEER_BATCH_MAX];
    uint32_t n_slices;
};

static void must(struct peer *peer, char *error)
{
    if (error)
        peer_fail(peer, error);
}

static void open_db(struct peer *peer, const char *dir, rocksdb_options_t *options)
{
    struct rocks *rocks = calloc(1, sizeof *rocks);
    char *error = NULL;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_disable_auto_compactions(options, 1);
    const char *const names[] = {"default"};
    const rocksdb_options_t *const family_options[] = {options};
    rocks->db = rocksdb_open_column_families(options, dir, 1, names, family_options, &rocks->family,
                                             &error);
    must(peer, error);
    rocks->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->read, 0);
    peer->state = rocks;
}

/* Sorted straight into one table file. */
static void load_block(struct peer *peer, const char *dir, const struct peer_entry *entries,
                       uint64_t n)
{
    char path[4096];
    char *error = NULL;
    uint8_t value[VALUE_LEN];
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru((size_t)6 << 30));
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_block_based_options_set_data_block_index_type(table, 1);
    rocksdb_options_set_block_based_table_factory(options, table);
    open_db(peer, dir, options);
    struct rocks *rocks = peer->state;
    snprintf(path, sizeof path, "%s/load.sst", dir);
    rocksdb_sstfilewriter_t *writer =
        rocksdb_sstfilewriter_create(rocksdb_envoptions_create(), options);
    rocksdb_sstfilewriter_open(writer, path, &error);
    must(peer, error);
    for (uint64_t i = 0; i < n; i++) {
        bench_value(entries[i].key, 1, value);
        rocksdb_sstfilewriter_put(writer, (const char *)&entries[i].key_be, 8, (const char *)value,
                                  VALUE_LEN, &error);
        must(peer, error);
    }
    rocksdb_sstfilewriter_finish(writer, &error);
    must(peer, error);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_ingestexternalfileoptions_t *ingest = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(ingest, 1);
    const char *paths[] = {path};
    rocksdb_ingest_external_file(rocks->db, paths, 1, ingest, &error);
    must(peer, error);
    /* Every block into the cache. */
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->read);
    for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);)
        rocksdb_iter_next(iterator);
    rocksdb_iter_destroy(iterator);
}

/* The cuckoo format is written by a flush of one large memtable. */
static void load_cuckoo(struct peer *peer, const char *dir, const struct peer_entry *entries,
                        uint64_t n)
{
    char *error = NULL;
    uint8_t value[VALUE_LEN];
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_cuckoo_table_factory(options, rocksdb_cuckoo_options_create());
    rocksdb_options_set_allow_mmap_reads(options, 1);
    rocksdb_options_set_memtable_vector_rep(options);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_write_buffer_size(options, (size_t)8 << 30);
    open_db(peer, dir, options);
    struct rocks *rocks = peer->state;
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(write, 1);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (uint64_t i = 0; i < n; i++) {
        bench_value(entries[i].key, 1, value);
        rocksdb_writebatch_put(batch, (const char *)&entries[i].key_be, 8, (const char *)value,
                               VALUE_LEN);
        if (i % 1000 != 999 && i != n - 1)
            continue;
        rocksdb_write(rocks->db, write, batch, &error);
        must(peer, error);
        rocksdb_writebatch_clear(batch);
    }
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flush(rocks->db, flush, &error);
    must(peer, error);
    rocksdb_writebatch_destroy(batch);
}

static void drop_slices(struct rocks *rocks)
{
    for (uint32_t i = 0; i < rocks->n_slices; i++)
        rocksdb_pinnableslice_destroy(rocks->slices[i]);
    rocks->n_slices = 0;
}

static void get(struct peer *peer, const uint64_t *keys, uint32_t n, const void **values)
{
    struct rocks *rocks = peer->state;
    drop_slices(rocks);
    for (uint32_t i = 0; i < n; i++) {
        rocks->key_be[i] = __builtin_bswap64(keys[i]);
        rocks->key_at[i] = (const char *)&rocks->key_be[i];
        rocks->key_len[i] = 8;
    }
    rocksdb_batched_multi_get_cf(rocks->db, rocks->read, rocks->family, n, rocks->key_at,
                                 rocks->key_len, rocks->slices, rocks->errors, 0);
    rocks->n_slices = n;
    for (uint32_t i = 0; i < n; i++) {
        size_t len = 0;
        must(peer, rocks->errors[i]);
        values[i] = rocks->slices[i]
                        ? (const void *)rocksdb_pinnableslice_value(rocks->slices[i], &len)
                        : NULL;
    }
}

static void close_peer(struct peer *peer)
{
    struct rocks *rocks = peer->state;
    drop_slices(rocks);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_column_family_handle_destroy(rocks->family);
    rocksdb_close(rocks->db);
    free(rocks);
}

struct peer peer_rocksdb_block = {
    .name = "RocksDB MultiGet, block-based",
    .settings =
        "one table file, no compression, bloom filter, hash index, all in a 6 GiB block cache, no "
        "io_uring in Debian's build",
    .load = load_block,
    .get = get,
    .close = close_peer};
struct peer peer_rocksdb_cuckoo = {.name = "RocksDB MultiGet, cuckoo table",
                                   .settings = "one table file, mapped, page cache",
                                   .load = load_cuckoo,
                                   .get = get,
                                   .close = close_peer};
