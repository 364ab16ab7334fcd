// SPDX-License-Identifier: Apache-2.0
//
// build_peer RECORDS DIR MEMORY_MIB VALUE_LEN MERGE_THREADS
//
// What a table of sorted files costs without fkv: an external sort that feeds RocksDB's SstFileWriter. Input is a record file of u64
// keys with values of VALUE_LEN bytes. As good as one reasonably writes it:
//
//   sort   two threads take pieces of the input in turns, each sorts its piece by key (a radix pass over 16-byte entries, then
//          std::sort of what is small) and writes it as a run of bare keys and values with large direct writes
//   merge  a heap of run heads, large direct reads, gives the records in order to a SstFileWriter, which begins another file every
//          256 MiB: no compression, 4 KiB blocks, a bloom filter of 10 bits a key, direct writes. With two threads the keys are cut
//          in halves and each merges its own
//
// Of keys that repeat the first counts. Prints one JSON object; files are gone at the end.

#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <queue>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{

constexpr size_t kHead = 7, kKey = 8, kAlign = 4096, kPiece = 4 << 20, kThreads = 2;
constexpr uint64_t kSstLen = 256 << 20;

struct settings {
    std::string input, dir;
    uint64_t memory;
    size_t value_len;
    bool has_halves;
    size_t record_len() const
    {
        return kHead + kKey + value_len;
    }
    size_t entry_len() const
    {
        return kKey + value_len;
    }
};

void must(bool ok, const char *what)
{
    if (ok)
        return;
    std::fprintf(stderr, "build_peer: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

void must(const rocksdb::Status &status)
{
    if (status.ok())
        return;
    std::fprintf(stderr, "build_peer: %s\n", status.ToString().c_str());
    std::exit(1);
}

int open_direct(const std::string &path, int flags)
{
    int fd = open(path.c_str(), flags | O_DIRECT, 0600);
    if (fd < 0)
        fd = open(path.c_str(), flags, 0600);
    must(fd >= 0, path.c_str());
    return fd;
}

struct aligned {
    uint8_t *data;
    explicit aligned(size_t len) : data(static_cast<uint8_t *>(std::aligned_alloc(kAlign, len)))
    {
        must(data != nullptr, "memory");
        madvise(data, len, MADV_HUGEPAGE);
    }
    ~aligned()
    {
        std::free(data);
    }
};

size_t round_up(size_t len)
{
    return (len + kAlign - 1) / kAlign * kAlign;
}

// ---- sort ----

struct slot {
    uint64_t key;
    uint64_t index;
    bool operator<(const slot &other) const
    {
        return key != other.key ? key < other.key : index < other.index;
    }
};

struct run {
    std::string path;
    uint64_t n;
};

// By the 12 highest bits into `to`, then each bucket for itself.
void sort_slots(std::vector<slot> &from, std::vector<slot> &to)
{
    std::vector<size_t> at(4097);
    for (const slot &s : from)
        at[(s.key >> 52) + 1]++;
    for (size_t i = 1; i < at.size(); i++)
        at[i] += at[i - 1];
    std::vector<size_t> next(at.begin(), at.end() - 1);
    to.resize(from.size());
    for (const slot &s : from)
        to[next[s.key >> 52]++] = s;
    for (size_t i = 0; i + 1 < at.size(); i++)
        std::sort(to.begin() + long(at[i]), to.begin() + long(at[i + 1]));
}

void write_run(const settings &s, const run &out, const uint8_t *records,
               const std::vector<slot> &slots)
{
    int fd = open_direct(out.path, O_CREAT | O_TRUNC | O_WRONLY);
    aligned piece(kPiece);
    size_t fill = 0;
    for (size_t i = 0; i < slots.size(); i++) {
        if (i + 16 < slots.size()) {
            __builtin_prefetch(records + slots[i + 16].index * s.record_len());
            __builtin_prefetch(records + slots[i + 16].index * s.record_len() + 64);
        }
        const uint8_t *entry = records + slots[i].index * s.record_len() + kHead;
        for (size_t left = s.entry_len(); left;) {
            size_t n = std::min(left, kPiece - fill);
            std::memcpy(piece.data + fill, entry, n);
            fill += n, entry += n, left -= n;
            if (fill == kPiece) {
                must(write(fd, piece.data, kPiece) == ssize_t(kPiece), "writing a run");
                fill = 0;
            }
        }
    }
    must(write(fd, piece.data, round_up(fill)) == ssize_t(round_up(fill)), "writing a run");
    close(fd);
}

struct sorter {
    const settings &s;
    uint64_t n_records, n_piece;
    std::vector<run> runs;
    std::atomic<uint64_t> next{0};

    explicit sorter(const settings &settings, uint64_t len) : s(settings)
    {
        n_records = len / s.record_len();
        // Records, slots twice and buffers of each thread.
        n_piece = (s.memory / kThreads - 2 * kPiece) / (s.record_len() + 2 * sizeof(slot));
        runs.resize((n_records + n_piece - 1) / n_piece);
    }

    void work()
    {
        int fd = open_direct(s.input, O_RDONLY);
        aligned memory(round_up(n_piece * s.record_len()) + 2 * kAlign);
        std::vector<slot> slots, sorted;
        for (uint64_t i; (i = next++) < runs.size();) {
            uint64_t first = i * n_piece, n = std::min(n_piece, n_records - first);
            uint64_t begin = first * s.record_len(), end = begin + n * s.record_len();
            uint64_t off = begin / kAlign * kAlign;
            for (uint64_t at = off; at < end;) {
                size_t want = std::min<uint64_t>(kPiece, round_up(end - at));
                ssize_t got = pread(fd, memory.data + (at - off), want, off_t(at));
                must(got > 0, "reading the input");
                at += uint64_t(got);
            }
            const uint8_t *records = memory.data + (begin - off);
            slots.resize(n);
            for (uint64_t k = 0; k < n; k++) {
                std::memcpy(&slots[k].key, records + k * s.record_len() + kHead, kKey);
                slots[k].index = k;
            }
            sort_slots(slots, sorted);
            runs[i] = {s.dir + "/peer-run-" + std::to_string(i), n};
            write_run(s, runs[i], records, sorted);
        }
        close(fd);
    }
};

// ---- merge ----

class run_reader
{
  public:
    run_reader(const settings &s, const run &r, size_t buffer_len)
        : s_(s), fd_(open_direct(r.path, O_RDONLY)), n_(r.n), len_(buffer_len / kAlign * kAlign),
          buffer_(len_ + kAlign)
    {
    }
    ~run_reader()
    {
        close(fd_);
    }

    // The first entry whose key is not below.
    uint64_t find(uint64_t key)
    {
        uint64_t low = 0, high = n_;
        while (low < high) {
            uint64_t mid = (low + high) / 2;
            seek(mid, mid + 1);
            if (this->key() < key)
                low = mid + 1;
            else
                high = mid;
        }
        return low;
    }
    void seek(uint64_t first, uint64_t end)
    {
        at_ = first, end_ = end, fill_ = 0;
        if (at_ < end_)
            need();
    }
    bool done() const
    {
        return at_ >= end_;
    }
    uint64_t key() const
    {
        uint64_t key;
        std::memcpy(&key, entry_, kKey);
        return key;
    }
    const uint8_t *value() const
    {
        return entry_ + kKey;
    }
    void next()
    {
        if (++at_ < end_)
            need();
    }

  private:
    void need()
    {
        uint64_t off = at_ * s_.entry_len();
        if (fill_ == 0 || off + s_.entry_len() > off_ + fill_) {
            off_ = off / kAlign * kAlign;
            uint64_t end = round_up(end_ * s_.entry_len());
            ssize_t got =
                pread(fd_, buffer_.data, std::min<uint64_t>(len_, end - off_), off_t(off_));
            must(got > 0, "reading a run");
            fill_ = size_t(got);
        }
        entry_ = buffer_.data + (off - off_);
    }

    const settings &s_;
    int fd_;
    uint64_t n_;
    size_t len_;
    aligned buffer_;
    uint64_t at_ = 0, end_ = 0, off_ = 0;
    size_t fill_ = 0;
    const uint8_t *entry_ = nullptr;
};

struct merger {
    const settings &s;
    const std::vector<run> &runs;
    rocksdb::Options options;
    std::atomic<uint64_t> n_keys{0}, n_bytes{0};

    merger(const settings &settings, const std::vector<run> &sorted) : s(settings), runs(sorted)
    {
        rocksdb::BlockBasedTableOptions table;
        table.block_size = 4096;
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
        options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        options.compression = rocksdb::kNoCompression;
    }

    void finish(rocksdb::SstFileWriter &writer, const std::string &path)
    {
        rocksdb::ExternalSstFileInfo info;
        must(writer.Finish(&info));
        n_keys += info.num_entries;
        n_bytes += info.file_size;
        unlink(path.c_str());
    }

    void work(unsigned half)
    {
        size_t buffer_len =
            std::min<uint64_t>(s.memory / kThreads / 2 / (runs.size() + 1), 8 << 20);
        std::vector<std::unique_ptr<run_reader>> readers;
        using head = std::pair<uint64_t, size_t>;
        std::priority_queue<head, std::vector<head>, std::greater<head>> heads;
        for (size_t i = 0; i < runs.size(); i++) {
            readers.push_back(std::make_unique<run_reader>(s, runs[i], buffer_len));
            uint64_t middle = readers[i]->find(1ULL << 63);
            readers[i]->seek(half ? middle : 0, half || !s.has_halves ? runs[i].n : middle);
            if (!readers[i]->done())
                heads.push({readers[i]->key(), i});
        }
        rocksdb::EnvOptions direct(options);
        direct.use_direct_writes = true;
        std::unique_ptr<rocksdb::SstFileWriter> writer;
        std::string path;
        bool has_last = false;
        for (uint64_t last = 0, n_files = 0; !heads.empty();) {
            auto [key, i] = heads.top();
            heads.pop();
            if (!writer) {
                path = s.dir + "/peer-" + std::to_string(half) + "-" + std::to_string(n_files++) +
                       ".sst";
                writer = std::make_unique<rocksdb::SstFileWriter>(direct, options);
                must(writer->Open(path));
            }
            uint64_t key_be = __builtin_bswap64(key);
            if (!has_last || key != last)
                must(writer->Put(
                    {reinterpret_cast<const char *>(&key_be), kKey},
                    {reinterpret_cast<const char *>(readers[i]->value()), s.value_len}));
            last = key, has_last = true;
            readers[i]->next();
            if (!readers[i]->done())
                heads.push({readers[i]->key(), i});
            if (writer->FileSize() >= kSstLen) {
                finish(*writer, path);
                writer.reset();
            }
        }
        if (writer)
            finish(*writer, path);
    }
};

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

} // namespace

int main(int argc, char **argv)
{
    must(argc == 6, "expected RECORDS DIR MEMORY_MIB VALUE_LEN MERGE_THREADS");
    settings s{argv[1], argv[2], std::strtoull(argv[3], nullptr, 10) << 20,
               size_t(std::strtoull(argv[4], nullptr, 10)), std::strcmp(argv[5], "2") == 0};
    struct stat st;
    must(stat(s.input.c_str(), &st) == 0 && uint64_t(st.st_size) % s.record_len() == 0,
         "the input");
    double began = now();
    sorter sort(s, uint64_t(st.st_size));
    std::thread other([&] { sort.work(); });
    sort.work();
    other.join();
    double sorted = now();
    merger merge(s, sort.runs);
    if (s.has_halves)
        other = std::thread([&] { merge.work(1); });
    merge.work(0);
    if (s.has_halves)
        other.join();
    double merged = now();
    for (const run &r : sort.runs)
        unlink(r.path.c_str());
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    std::printf("{\"keys\": %llu, \"bytes\": %llu, \"runs\": %zu, \"seconds\": [%.6f, %.6f], "
                "\"cpu\": %.3f, "
                "\"rss_max\": %ld}\n",
                static_cast<unsigned long long>(merge.n_keys),
                static_cast<unsigned long long>(merge.n_bytes), sort.runs.size(), sorted - began,
                merged - sorted,
                double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
                usage.ru_maxrss * 1024L);
    return 0;
}
