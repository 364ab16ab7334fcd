/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_build: what build_case.py runs, one step a call; each prints one JSON object.
 *
 *   bench_build input KIND ROWS FILE            writes rows: u64 (TSV, keys with 64 bytes), words (TSV, with 100 floats), or
 *                                               records[:LEN] (record file, u64 keys with LEN bytes, 64 unless said)
 *   bench_build parse KIND FILE                 decodes all rows on one thread and drops them
 *   bench_build build KIND FILE STORE SCRATCH MEMORY_MIB THREADS
 *   bench_build disk FILE BYTES                 writes and reads BYTES in order, around the page cache
 */
#include "bench_util.h"
#include "builder/build.h"
#include "builder/input.h"
#include "builder/input_record.h"
#include "builder/row.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PIECE = 4 << 20 };

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static double seconds_since(uint64_t from_ns)
{
    return (double)(bench_now_ns() - from_ns) * 1e-9;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static bool is_words(const char *kind)
{
    return strcmp(kind, "words") == 0;
}

static bool is_records(const char *kind)
{
    return strncmp(kind, "records", 7) == 0;
}

static uint32_t value_len_of(const char *kind)
{
    return is_records(kind) && kind[7] == ':' ? (uint32_t)strtoul(kind + 8, NULL, 10) : 64;
}

static enum input_format format_of(const char *kind)
{
    return is_records(kind) ? INPUT_RECORD : INPUT_TSV;
}

static struct schema schema_of(const char *kind)
{
    struct schema schema = {
        .kind = KIND_MEM, .key_type = is_words(kind) ? KEY_BYTES : KEY_U64, .mode = 0444};
    char value[32];
    snprintf(value, sizeof value, "bytes[%u]", value_len_of(kind));
    BENCH_MUST(schema_set_value(&schema, is_words(kind) ? "f16[100]" : value, NULL) == 0);
    return schema;
}

/* ---- input ---- */

static size_t u64_row(char *out, uint64_t *seed)
{
    size_t n = (size_t)sprintf(out, "%llu\t", (unsigned long long)next_random(seed));
    for (int i = 0; i < 64; i += 8) {
        uint64_t r = next_random(seed);
        for (int k = 0; k < 8; k++)
            out[n++] = (char)('a' + (r >> 8 * k) % 26);
    }
    out[n++] = '\n';
    return n;
}

/* Elements as GloVe has them: mostly below 1, five or six digits behind the point. */
static size_t words_row(char *out, uint64_t i, uint64_t *seed)
{
    size_t n = (size_t)sprintf(out, "word%llu\t", (unsigned long long)i);
    for (int k = 0; k < 100; k++) {
        uint64_t r = next_random(seed);
        int digits = 5 + (int)(r >> 40 & 1);
        unsigned fraction = (unsigned)(r >> 8 & 0xFFFFFF) % (digits == 5 ? 100000 : 1000000);
        n +=
            (size_t)sprintf(out + n, "%s%u.%0*u,", r & 1 ? "-" : "", r % 97 == 0, digits, fraction);
    }
    out[n - 1] = '\n';
    return n;
}

static size_t record_row(uint8_t *out, uint32_t value_len, uint64_t *seed)
{
    struct rec_head head = {.magic = REC_MAGIC, .key_len = sizeof(uint64_t)};
    uint64_t key = next_random(seed);
    size_t n = REC_HEAD_LEN + sizeof key;
    store_le32(&head.value_len, value_len);
    memcpy(out, &head, REC_HEAD_LEN);
    memcpy(out + REC_HEAD_LEN, &key, sizeof key);
    for (uint32_t i = 0; i < value_len; i += sizeof key, key = key * 0x9E3779B97F4A7C15ULL + 1)
        memcpy(out + n + i, &key, value_len - i < sizeof key ? value_len - i : sizeof key);
    return n + value_len;
}

static void input_write(const char *kind, uint64_t n_rows, const char *path)
{
    FILE *file = fopen(path, "wb");
    uint64_t seed = 88172645463325252ULL;
    uint32_t value_len = value_len_of(kind);
    char *row = malloc(4096 + value_len);
    BENCH_MUST(file != NULL && row != NULL && setvbuf(file, NULL, _IOFBF, PIECE) == 0);
    for (uint64_t i = 0; i < n_rows; i++) {
        size_t n = is_words(kind)     ? words_row(row, i, &seed)
                   : is_records(kind) ? record_row((uint8_t *)row, value_len, &seed)
                                      : u64_row(row, &seed);
        BENCH_MUST(fwrite_unlocked(row, 1, n, file) == n);
    }
    free(row);
    long len = ftell(file);
    BENCH_MUST(fflush(file) == 0 && fsync(fileno(file)) == 0 && fclose(file) == 0);
    printf("{\"rows\": %llu, \"bytes\": %ld}\n", (unsigned long long)n_rows, len);
}

/* ---- parsing alone ---- */

static void parse(const char *kind, const char *path)
{
    struct schema schema = schema_of(kind);
    struct job job = {0};
    struct input_options options = {.row_len_max = row_len_max(&schema)};
    struct input_piece piece = {.path = path, .end = UINT64_MAX, .is_exact = true};
    struct input *input = NULL;
    struct input_block block = {0};
    struct row_parser parser;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    BENCH_MUST(row_parser_init(&parser, &job, &schema) == 0);
    BENCH_MUST(input_open(&piece, format_of(kind), &options, &input, NULL) == 0);
    double began = cpu_seconds();
    double reading = 0;
    for (;;) {
        double from = cpu_seconds();
        if (input_take(input, &block, NULL) <= 0)
            break;
        reading += cpu_seconds() - from;
        bytes += block.len;
        struct input_row row;
        struct part_entry entry;
        while (input_next(input, &block, &row, NULL) > 0) {
            BENCH_MUST(row_parse(&parser, &row, &entry, NULL) == 0);
            rows++;
        }
    }
    printf("{\"rows\": %llu, \"bytes\": %llu, \"cpu\": %.6f, \"cpu_reading\": %.6f}\n",
           (unsigned long long)rows, (unsigned long long)bytes, cpu_seconds() - began, reading);
    input_block_release(&block);
    input_close(input);
    row_parser_release(&parser);
}

/* ---- a whole build ---- */

/* CPU seconds at the end of each stage, and the most anonymous memory seen. */
struct watch {
    int stage;
    double cpu[5];
    uint64_t anon_max;
};

/* The number behind a name in a file of /proc; 0 when there is none. */
static uint64_t proc_number(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[256];
    unsigned long long value = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), " %llu", &value);
    if (file)
        fclose(file);
    return value;
}

static void watch_progress(void *context, const struct build_progress *progress)
{
    struct watch *watch = context;
    uint64_t anon = proc_number("/proc/self/status", "RssAnon:") << 10;
    if (anon > watch->anon_max)
        watch->anon_max = anon;
    for (; watch->stage < (int)progress->stage; watch->stage++)
        watch->cpu[watch->stage + 1] = cpu_seconds();
}

static void build(const char *kind, const char *path, const char *url, const char *scratch,
                  uint64_t memory, uint32_t n_threads)
{
    struct watch watch = {.cpu = {cpu_seconds()}};
    struct build_hooks hooks = {.progress = watch_progress, .context = &watch};
    struct build_result result = {0};
    struct store *store = NULL;
    struct err err = {0};
    struct job job = {.table = "bench",
                      .inputs = &path,
                      .n_inputs = 1,
                      .format = format_of(kind),
                      .schema = schema_of(kind),
                      .duplicates = DUPLICATE_LAST,
                      .memory = memory,
                      .n_threads = n_threads,
                      .scratch = scratch};
    BENCH_MUST(store_open(url, &store, NULL) == 0 && manifest_init_store(store, NULL) == 0);
    if (build_run(store, NULL, &job, &hooks, &result, &err)) {
        fprintf(stderr, "bench_build: %s\n", err.text);
        exit(1);
    }
    watch.cpu[4] = cpu_seconds();
    uint64_t n_read = proc_number("/proc/self/io", "read_bytes:");
    uint64_t n_written = proc_number("/proc/self/io", "write_bytes:");
    BENCH_MUST(store_remove_tree(store, "tables/bench", NULL) == 0);
    store_close(store);
    printf("{\"rows\": %llu, \"keys\": %llu, \"input_bytes\": %llu, \"part_bytes\": %llu, "
           "\"shards\": %u, \"anon_max\": %llu, \"rss_max\": %llu, \"disk_read\": %llu, "
           "\"disk_written\": %llu, ",
           (unsigned long long)result.rows, (unsigned long long)result.n_keys,
           (unsigned long long)result.input_bytes, (unsigned long long)result.len, result.n_shards,
           (unsigned long long)watch.anon_max,
           (unsigned long long)proc_number("/proc/self/status", "VmHWM:") << 10,
           (unsigned long long)n_read, (unsigned long long)n_written);
    printf("\"seconds\": [%.6f, %.6f, %.6f, %.6f], \"cpu\": [%.6f, %.6f, %.6f, %.6f]}\n",
           result.seconds[0], result.seconds[1], result.seconds[2], result.seconds[3],
           watch.cpu[1] - watch.cpu[0], watch.cpu[2] - watch.cpu[1], watch.cpu[3] - watch.cpu[2],
           watch.cpu[4] - watch.cpu[3]);
}

/* ---- the disk's own pace ---- */

static void disk(const char *path, uint64_t len)
{
    void *piece = aligned_alloc(4096, PIECE);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_DIRECT, 0600);
    if (fd < 0)
        fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    BENCH_MUST(piece && fd >= 0);
    memset(piece, 'x', PIECE);
    uint64_t began = bench_now_ns();
    for (uint64_t off = 0; off < len; off += PIECE)
        BENCH_MUST(pwrite(fd, piece, PIECE, (off_t)off) == PIECE);
    BENCH_MUST(fsync(fd) == 0);
    double writing = seconds_since(began);
    began = bench_now_ns();
    for (uint64_t off = 0; off < len; off += PIECE)
        BENCH_MUST(pread(fd, piece, PIECE, (off_t)off) == PIECE);
    double reading = seconds_since(began);
    close(fd);
    unlink(path);
    free(piece);
    uint64_t done = (len + PIECE - 1) / PIECE * PIECE;
    printf("{\"write_mb_s\": %.3f, \"read_mb_s\": %.3f}\n", (double)done / writing * 1e-6,
           (double)done / reading * 1e-6);
}

int main(int argc, char **argv)
{
    const char *step = argc > 1 ? argv[1] : "";
    if (strcmp(step, "input") == 0 && argc == 5)
        input_write(argv[2], strtoull(argv[3], NULL, 10), argv[4]);
    else if (strcmp(step, "parse") == 0 && argc == 4)
        parse(argv[2], argv[3]);
    else if (strcmp(step, "build") == 0 && argc == 8)
        build(argv[2], argv[3], argv[4], argv[5], strtoull(argv[6], NULL, 10) << 20,
              (uint32_t)strtoul(argv[7], NULL, 10));
    else if (strcmp(step, "disk") == 0 && argc == 4)
        disk(argv[2], strtoull(argv[3], NULL, 10));
    else
        return fprintf(stderr, "bench_build: see the head of bench_build.c\n"), 2;
    return 0;
}
