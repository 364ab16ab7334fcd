/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB twice: block-based tables with everything in the block cache, and the cuckoo table, its fastest format for
 * point lookups in memory. Through its C++ API: the C one allocates every value it returns, which costs a third.
 * Keys are given to MultiGet sorted, which it likes better than sorting them itself.
 */
extern "C" {
#include "peer.h"
}
#include "bench_keys.h"

#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

#include <algorithm>
#include <string>
#include <vector>

namespace
{

struct rank {
    uint64_t key;
    uint32_t place;
};

struct rocks {
    rocksdb::DB *db = nullptr;
    rocksdb::ReadOptions read;
    std::vector<rank> ranks;
    std::vector<uint64_t> key_be = std::vector<uint64_t>(PEER_BATCH_MAX);
    std::vector<rocksdb::Slice> keys = std::vector<rocksdb::Slice>(PEER_BATCH_MAX);
    std::vector<rocksdb::PinnableSlice> values =
        std::vector<rocksdb::PinnableSlice>(PEER_BATCH_MAX);
    std::vector<rocksdb::Status> statuses = std::vector<rocksdb::Status>(PEER_BATCH_MAX);
};

void must(const peer *peer, const rocksdb::Status &status)
{
    if (!status.ok())
        peer_fail(peer, status.ToString().c_str());
}

/* One large memtable, flushed into one table file. */
void load(peer *peer, const char *dir, const peer_entry *entries, uint64_t n,
          rocksdb::Options options)
{
    auto *rocks = new struct rocks;
    uint8_t value[VALUE_LEN];
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;
    options.disable_auto_compactions = true;
    options.memtable_factory.reset(new rocksdb::VectorRepFactory);
    options.allow_concurrent_memtable_write = false;
    options.write_buffer_size = size_t{8} << 30;
    must(peer, rocksdb::DB::Open(options, dir, &rocks->db));
    rocksdb::WriteOptions write;
    write.disableWAL = true;
    for (uint64_t i = 0; i < n;) {
        rocksdb::WriteBatch batch;
        for (int k = 0; k < 1000 && i < n; k++, i++) {
            bench_value(entries[i].key, 1, value);
            batch.Put(rocksdb::Slice(reinterpret_cast<const char *>(&entries[i].key_be), 8),
                      rocksdb::Slice(reinterpret_cast<const char *>(value), VALUE_LEN));
        }
        must(peer, rocks->db->Write(write, &batch));
    }
    must(peer, rocks->db->Flush(rocksdb::FlushOptions()));
    rocks->read.verify_checksums = false;
    std::string version = std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) +
                          "." + std::to_string(ROCKSDB_PATCH);
    version.copy(peer->version, sizeof peer->version - 1);
    peer->state = rocks;
}

void load_cuckoo(peer *peer, const char *dir, const peer_entry *entries, uint64_t n)
{
    rocksdb::Options options;
    options.table_factory.reset(rocksdb::NewCuckooTableFactory());
    options.allow_mmap_reads = true;
    load(peer, dir, entries, n, options);
}

void load_block(peer *peer, const char *dir, const peer_entry *entries, uint64_t n)
{
    rocksdb::Options options;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(size_t{6} << 30, 0);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    load(peer, dir, entries, n, options);
    /* Every block into the cache. */
    auto *rocks = static_cast<struct rocks *>(peer->state);
    rocksdb::Iterator *iterator = rocks->db->NewIterator(rocks->read);
    for (iterator->SeekToFirst(); iterator->Valid();)
        iterator->Next();
    delete iterator;
}

void get(peer *peer, const uint64_t *keys, uint32_t n, const void **values)
{
    auto *rocks = static_cast<struct rocks *>(peer->state);
    rocks->ranks.clear();
    for (uint32_t i = 0; i < n; i++)
        rocks->ranks.push_back({keys[i], i});
    std::sort(rocks->ranks.begin(), rocks->ranks.end(),
              [](const rank &a, const rank &b) { return a.key < b.key; });
    for (uint32_t i = 0; i < n; i++) {
        rocks->key_be[i] = __builtin_bswap64(rocks->ranks[i].key);
        rocks->keys[i] = rocksdb::Slice(reinterpret_cast<const char *>(&rocks->key_be[i]), 8);
        rocks->values[i].Reset();
    }
    rocks->db->MultiGet(rocks->read, rocks->db->DefaultColumnFamily(), n, rocks->keys.data(),
                        rocks->values.data(), rocks->statuses.data(), true);
    for (uint32_t i = 0; i < n; i++)
        values[rocks->ranks[i].place] = rocks->statuses[i].ok() ? rocks->values[i].data() : nullptr;
}

void close_peer(peer *peer)
{
    auto *rocks = static_cast<struct rocks *>(peer->state);
    for (auto &value : rocks->values)
        value.Reset();
    delete rocks->db;
    delete rocks;
}

peer make_peer(const char *name, const char *settings,
               void (*load)(peer *, const char *, const peer_entry *, uint64_t))
{
    peer peer = {};
    peer.name = name;
    peer.settings = settings;
    peer.load = load;
    peer.get = get;
    peer.close = close_peer;
    return peer;
}

} // namespace

extern "C" {
peer peer_rocksdb_cuckoo =
    make_peer("RocksDB MultiGet, cuckoo table",
              "C++ API, one table file, mapped, page cache, sorted batches", load_cuckoo);
peer peer_rocksdb_block =
    make_peer("RocksDB MultiGet, block-based",
              "C++ API, one table file, no compression, bloom filter, hash index, all in a 6 GiB "
              "block cache, sorted batches; Debian's build has no io_uring",
              load_block);
}
