/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_limit INPUT DIR RUN_BYTES PART_BYTES: the least that a build's passes can take on a disk.
 *
 * Plain reads and writes in order of as many bytes as a build moves, with direct I/O and large buffers, and nothing done with them:
 *
 *   map      reads the input, writes runs
 *   reduce   reads the runs, writes parts
 *   verify   reads the parts
 *
 * Two threads: one reads while the other writes; in the last pass each reads half. What is written is synced. Prints one JSON object.
 */
#include "bench_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 8 << 20, ALIGN = 4096 };

struct pass {
    const char *path;
    bool is_write;
    uint64_t begin;
    uint64_t end;
};

static int open_direct(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT, 0600);
    if (fd < 0)
        fd = open(path, flags, 0600);
    BENCH_MUST(fd >= 0);
    return fd;
}

static void *pass_main(void *context)
{
    const struct pass *pass = context;
    void *piece = aligned_alloc(ALIGN, PIECE);
    BENCH_MUST(piece);
    memset(piece, 'x', PIECE);
    int fd = open_direct(pass->path, pass->is_write ? O_CREAT | O_TRUNC | O_WRONLY : O_RDONLY);
    for (uint64_t off = pass->begin; off < pass->end;) {
        uint64_t left = (pass->end - off + ALIGN - 1) / ALIGN * ALIGN;
        size_t len = left < PIECE ? (size_t)left : PIECE;
        ssize_t n =
            pass->is_write ? pwrite(fd, piece, len, (off_t)off) : pread(fd, piece, len, (off_t)off);
        BENCH_MUST(n > 0);
        off += (uint64_t)n;
    }
    BENCH_MUST(!pass->is_write || fsync(fd) == 0);
    close(fd);
    free(piece);
    return NULL;
}

/* Seconds that both take together. */
static double both(struct pass a, struct pass b)
{
    pthread_t thread;
    uint64_t began = bench_now_ns();
    BENCH_MUST(pthread_create(&thread, NULL, pass_main, &b) == 0);
    pass_main(&a);
    pthread_join(thread, NULL);
    return (double)(bench_now_ns() - began) * 1e-9;
}

int main(int argc, char **argv)
{
    char runs[4096];
    char parts[4096];
    struct stat st;
    BENCH_MUST(argc == 5 && stat(argv[1], &st) == 0);
    uint64_t input_len = (uint64_t)st.st_size;
    uint64_t runs_len = strtoull(argv[3], NULL, 10);
    uint64_t parts_len = strtoull(argv[4], NULL, 10);
    uint64_t half = parts_len / 2 / PIECE * PIECE;
    BENCH_MUST(snprintf(runs, sizeof runs, "%s/limit-runs", argv[2]) < (int)sizeof runs);
    BENCH_MUST(snprintf(parts, sizeof parts, "%s/limit-parts", argv[2]) < (int)sizeof parts);
    double map =
        both((struct pass){argv[1], false, 0, input_len}, (struct pass){runs, true, 0, runs_len});
    double reduce =
        both((struct pass){runs, false, 0, runs_len}, (struct pass){parts, true, 0, parts_len});
    unlink(runs);
    double verify =
        both((struct pass){parts, false, 0, half}, (struct pass){parts, false, half, parts_len});
    unlink(parts);
    printf("{\"seconds\": [%.6f, %.6f, %.6f]}\n", map, reduce, verify);
    return 0;
}
