// SPDX-License-Identifier: Apache-2.0
/*
 * bench_rocksdb_disk DIR N_KEYS VALUE_LEN BATCH CACHE_BYTES: RocksDB MultiGet from a disk, around the page cache, with the keys and values of
 * bench_gen, from one thread.
 *
 * One sorted table file of 4 KiB blocks, index and filter in memory whatever the block cache may hold, batches sorted: all in its favour.
 * Checksums are compared, as ours are. Debian's build has no io_uring, so it reads one block after the other.
 *
 * Loads, says "ready", then reads lines "SECONDS" and answers each with one JSON object in a line: keys, seconds, CPU seconds of this process.
 */
#include "bench_keys.h"
extern "C" {
#include "bench_util.h"
}

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

namespace
{

struct settings {
    std::string dir;
    uint64_t n_keys;
    size_t value_len;
    uint32_t batch;
    size_t cache_len;
};

void must(const rocksdb::Status &status)
{
    if (status.ok())
        return;
    fprintf(stderr, "bench_rocksdb_disk: %s\n", status.ToString().c_str());
    exit(1);
}

double cpu_seconds()
{
    struct rusage usage;
    BENCH_MUST(!getrusage(RUSAGE_SELF, &usage));
    return double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

rocksdb::Options options_for(const settings &s)
{
    rocksdb::Options options;
    rocksdb::BlockBasedTableOptions table;
    table.block_size = 4096;
    table.no_block_cache = s.cache_len == 0;
    if (s.cache_len)
        table.block_cache = rocksdb::NewLRUCache(s.cache_len);
    table.filter_policy.reset(rocksdb::NewRibbonFilterPolicy(10));
    table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    options.compression = rocksdb::kNoCompression;
    options.disable_auto_compactions = true;
    options.create_if_missing = true;
    options.use_direct_reads = true;
    options.use_direct_io_for_flush_and_compaction = true;
    return options;
}

rocksdb::Slice slice_of(const uint64_t &key_be)
{
    return {reinterpret_cast<const char *>(&key_be), 8};
}

/* One sorted file, taken into the database as it is. */
void load(const settings &s, rocksdb::DB *db, const rocksdb::Options &options)
{
    std::vector<uint64_t> keys(s.n_keys);
    std::vector<uint8_t> value(s.value_len);
    for (uint64_t i = 0; i < s.n_keys; i++)
        keys[i] = bench_key(i);
    std::sort(keys.begin(), keys.end());
    std::string path = s.dir + "/all.sst";
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options);
    must(writer.Open(path));
    for (uint64_t key : keys) {
        uint64_t key_be = __builtin_bswap64(key);
        bench_fill(key, 1, value.data(), s.value_len);
        must(writer.Put(slice_of(key_be),
                        {reinterpret_cast<const char *>(value.data()), s.value_len}));
    }
    must(writer.Finish());
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    must(db->IngestExternalFile({path}, ingest));
}

struct client {
    rocksdb::DB *db;
    rocksdb::ReadOptions read;
    draw keys;
    std::vector<uint64_t> key, key_be;
    std::vector<rocksdb::Slice> slices;
    std::vector<rocksdb::PinnableSlice> values;
    std::vector<rocksdb::Status> statuses;

    client(rocksdb::DB *opened, const settings &s)
        : db(opened), keys{0xABCDEF, s.n_keys}, key(s.batch), key_be(s.batch), slices(s.batch),
          values(s.batch), statuses(s.batch)
    {
        read.verify_checksums = true;
    }

    void batch()
    {
        for (auto &k : key)
            k = draw_key(&keys);
        std::sort(key.begin(), key.end());
        for (size_t i = 0; i < key.size(); i++) {
            key_be[i] = __builtin_bswap64(key[i]);
            slices[i] = slice_of(key_be[i]);
            values[i].Reset();
        }
        db->MultiGet(read, db->DefaultColumnFamily(), key.size(), slices.data(), values.data(),
                     statuses.data(), true);
    }

    void check(size_t value_len, bool whole)
    {
        std::vector<uint8_t> expected(value_len);
        for (size_t i = 0; i < key.size(); i++) {
            must(statuses[i]);
            if (whole)
                bench_fill(key[i], 1, expected.data(), value_len);
            const void *want = whole ? static_cast<const void *>(expected.data()) : &key[i];
            if (values[i].size() != value_len ||
                memcmp(values[i].data(), want, whole ? value_len : 8) != 0)
                must(rocksdb::Status::Corruption("a value is not its key's"));
        }
    }
};

void run(client &client, const settings &s, double seconds)
{
    double cpu = cpu_seconds();
    uint64_t start = bench_now_ns(), now = start, end = start + uint64_t(seconds * 1e9), n = 0;
    for (; now < end; now = bench_now_ns()) {
        client.batch();
        client.check(s.value_len, false);
        n += s.batch;
    }
    printf("{\"keys\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f}\n", (unsigned long long)n,
           double(now - start) / 1e9, cpu_seconds() - cpu);
    fflush(stdout);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: bench_rocksdb_disk DIR N_KEYS VALUE_LEN BATCH CACHE_BYTES\n");
        return 2;
    }
    settings s{argv[1], strtoull(argv[2], nullptr, 10), strtoul(argv[3], nullptr, 10),
               uint32_t(strtoul(argv[4], nullptr, 10)), strtoul(argv[5], nullptr, 10)};
    rocksdb::Options options = options_for(s);
    rocksdb::DB *db = nullptr;
    must(rocksdb::DB::Open(options, s.dir, &db));
    load(s, db, options);
    client client(db, s);
    client.batch();
    client.check(s.value_len, true);
    printf("ready %d.%d.%d\n", ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH);
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin))
        run(client, s, atof(line));
    for (auto &value : client.values)
        value.Reset();
    delete db;
    return 0;
}
