/* SPDX-License-Identifier: Apache-2.0 */
#include "io/load.h"

#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    HUGE_PAGE = 2 << 20,
    SMALL_PAGE = 4096,
    RELEASE_SLICE = 64 << 20,
};

static void *map_anonymous(size_t len)
{
    void *p =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* One huge page more than needed, cut at both ends: mmap() aligns to 4 KiB only. */
static void *map_huge(size_t len)
{
    uint8_t *p = map_anonymous(len + HUGE_PAGE);
    if (!p)
        return NULL;
    uint8_t *start = (uint8_t *)align_up((uintptr_t)p, HUGE_PAGE);
    size_t before = (size_t)(start - p);
    if (before)
        munmap(p, before);
    munmap(start + len, HUGE_PAGE - before);
    /* Without huge pages configured the memory is as good, only slower: no error. */
    madvise(start, len, MADV_HUGEPAGE);
    return start;
}

size_t memory_mapped_len(size_t len)
{
    return align_up(len ? len : 1, len >= HUGE_PAGE ? HUGE_PAGE : SMALL_PAGE);
}

int memory_alloc(size_t len, struct memory *out, struct err *err)
{
    if (len > SIZE_MAX / 2)
        return err_set(err, -ENOMEM, "%zu bytes of memory: more than an address space", len);
    size_t mapped = memory_mapped_len(len);
    void *data = len >= HUGE_PAGE ? map_huge(mapped) : map_anonymous(mapped);
    if (!data)
        return err_sys(err, -ENOMEM, "mapping %zu bytes of memory", mapped);
    *out = (struct memory){.data = data, .len = len, .mapped = mapped};
    return 0;
}

int memory_alloc_sparse(size_t len, struct memory *out, struct err *err)
{
    if (len > SIZE_MAX / 2)
        return err_set(err, -ENOMEM, "%zu bytes of memory: more than an address space", len);
    size_t mapped = align_up(len ? len : 1, SMALL_PAGE);
    void *data = map_anonymous(mapped);
    if (!data)
        return err_sys(err, -ENOMEM, "mapping %zu bytes of memory", mapped);
    /* Where huge pages are "always", this says no to them; where there are none, it fails. */
    madvise(data, mapped, MADV_NOHUGEPAGE);
    *out = (struct memory){.data = data, .len = len, .mapped = mapped};
    return 0;
}

int memory_protect(const struct memory *memory)
{
    return mprotect(memory->data, memory->mapped, PROT_READ) ? -errno : 0;
}

/*
 * The pages go first, in slices: munmap() of many gigabytes at once would hold the address space's
 * lock for long, and with it every page fault of the threads that answer lookups; MADV_DONTNEED
 * takes it shared.
 */
void memory_release(struct memory *memory)
{
    if (!memory || !memory->data)
        return;
    uint8_t *data = memory->data;
    for (size_t off = 0; off < memory->mapped; off += RELEASE_SLICE) {
        size_t left = memory->mapped - off;
        madvise(data + off, left < RELEASE_SLICE ? left : RELEASE_SLICE, MADV_DONTNEED);
    }
    munmap(data, memory->mapped);
    *memory = (struct memory){0};
}

/* Direct reads leave the page cache alone. Returns the flags to restore, or -1 when they cannot be
 * had. */
static int direct_begin(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT))
        return -1;
    return flags;
}

static void direct_end(int fd, int *flags)
{
    if (*flags >= 0)
        fcntl(fd, F_SETFL, *flags);
    *flags = -1;
}

/* Fills data[0, len) from off. Direct reads ask for whole pages (data has room for them); only the
 * end of the file makes them short. */
static int read_range(int fd, const char *name, uint8_t *data, size_t len, uint64_t off,
                      int *direct_flags, struct err *err)
{
    size_t done = 0;
    while (done < len) {
        size_t want = len - done;
        if (*direct_flags >= 0)
            want = align_up(want, SMALL_PAGE);
        ssize_t n = pread(fd, data + done, want, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        bool is_odd = n > 0 && (size_t)n < len - done && n % SMALL_PAGE != 0;
        if (*direct_flags >= 0 && ((n < 0 && errno == EINVAL) || is_odd)) {
            /* The file system takes the flag but not the read, or stops at an odd place: go on
             * buffered. */
            direct_end(fd, direct_flags);
            continue;
        }
        if (n < 0)
            return err_sys(err, -errno, "%s: reading %zu bytes at %llu", name, want,
                           (unsigned long long)(off + done));
        if (n == 0)
            return err_set(err, -ENODATA, "%s: expected %zu bytes at %llu, the file ends at %llu",
                           name, len, (unsigned long long)off, (unsigned long long)(off + done));
        done += (size_t)n;
    }
    return 0;
}

/* The content of memory, from `from` of the file on. */
static int read_chunks(int fd, const char *name, uint64_t from, size_t chunk, load_check_fn check,
                       void *context, const struct memory *memory, int *direct_flags,
                       struct err *err)
{
    uint8_t *data = memory->data;
    for (size_t off = 0; off < memory->len; off += chunk) {
        size_t left = memory->len - off;
        size_t len = left < chunk ? left : chunk;
        int ret = read_range(fd, name, data + off, len, from + off, direct_flags, err);
        /* What had to go through the page cache does not stay there at others' expense. */
        if (*direct_flags < 0)
            posix_fadvise(fd, (off_t)(from + off), (off_t)len, POSIX_FADV_DONTNEED);
        if (!ret && check)
            ret = check(context, from + off, data + off, len, err);
        if (ret)
            return ret;
    }
    return 0;
}

/* Touches the pages the content did not reach, so that the whole mapping is backed before anyone is
 * timed. */
static void touch_tail(const struct memory *memory)
{
    volatile uint8_t *data = memory->data;
    for (size_t off = align_up(memory->len, SMALL_PAGE); off < memory->mapped; off += SMALL_PAGE)
        data[off] = 0;
}

int load_range(int fd, const char *name, uint64_t off, size_t len, size_t chunk,
               load_check_fn check, void *context, struct memory *out, struct err *err)
{
    if (off % SMALL_PAGE)
        return err_set(err, -EINVAL, "%s: offset %llu is no multiple of 4096", name,
                       (unsigned long long)off);
    if (chunk == 0 || chunk % SMALL_PAGE)
        return err_set(err, -EINVAL, "%s: a chunk of %zu bytes is no multiple of 4096", name,
                       chunk);
    struct memory memory = {0};
    int ret = memory_alloc(len, &memory, err);
    if (ret)
        return ret;
    int direct_flags = direct_begin(fd);
    ret = read_chunks(fd, name, off, chunk, check, context, &memory, &direct_flags, err);
    direct_end(fd, &direct_flags);
    if (ret) {
        memory_release(&memory);
        return ret;
    }
    touch_tail(&memory);
    *out = memory;
    return 0;
}

int load_file(int fd, const char *name, size_t len, size_t chunk, load_check_fn check,
              void *context, struct memory *out, struct err *err)
{
    return load_range(fd, name, 0, len, chunk, check, context, out, err);
}
