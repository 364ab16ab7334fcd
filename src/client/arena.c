/* SPDX-License-Identifier: Apache-2.0 */
#include "client/arena.h"

#include "base/bytes.h"
#include "wire/fkv_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum { ARENA_LEN_MIN = 512 << 10, RESERVED_MIN = 16 << 20, PAGE_LEN = 4096 };

/* Addresses only, no memory; fewer where the process may not have that many (ulimit -v). */
static void reserve(struct arena *arena)
{
    for (size_t len = FKV_ARENA_MAX; len >= RESERVED_MIN; len /= 4) {
        void *data = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (data == MAP_FAILED)
            continue;
        arena->data = data;
        arena->reserved = len;
        return;
    }
}

void arena_init(struct arena *arena)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    *arena = (struct arena){.fd = memfd_create("fkv-arena", flags | MFD_NOEXEC_SEAL)};
    if (arena->fd < 0 && errno == EINVAL)
        arena->fd = memfd_create("fkv-arena", flags);
    if (arena->fd >= 0 && fcntl(arena->fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
        close(arena->fd);
        arena->fd = -1;
    }
    reserve(arena);
}

void arena_release(struct arena *arena)
{
    if (arena->data)
        munmap(arena->data, arena->reserved);
    if (arena->fd >= 0)
        close(arena->fd);
    *arena = (struct arena){.fd = -1};
}

/* Makes the file len bytes long with memory behind every byte: without it a full memory would
 * show as SIGBUS later. */
static int extend_file(int fd, size_t from, size_t len)
{
    if (fd < 0 || !fallocate(fd, 0, (off_t)from, (off_t)(len - from)))
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return -ENOMEM;
    return ftruncate(fd, (off_t)len) ? -ENOMEM : 0;
}

/* Gives the reserved addresses from arena->len to len their memory. */
static int map_more(struct arena *arena, size_t len)
{
    uint8_t *at = arena->data + arena->len;
    size_t more = len - arena->len;
    if (arena->fd < 0)
        return mprotect(at, more, PROT_READ | PROT_WRITE) ? -ENOMEM : 0;
    void *got = mmap(at, more, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, arena->fd,
                     (off_t)arena->len);
    return got == MAP_FAILED ? -ENOMEM : 0;
}

static void touch(struct arena *arena, size_t from)
{
    if (!madvise(arena->data + from, arena->len - from, MADV_POPULATE_WRITE))
        return;
    for (size_t off = from; off < arena->len; off += PAGE_LEN) {
        volatile uint8_t *page = arena->data + off;
        *page = *page;
    }
}

int arena_grow(struct arena *arena, uint64_t len, struct err *err)
{
    if (len <= arena->len)
        return 0;
    if (!arena->data)
        return err_set(err, -ENOMEM, "no addresses left for a batch's memory");
    if (len > arena->reserved)
        return err_set(err, -E2BIG,
                       "the batch needs %llu bytes of memory; at most %zu: ask fewer keys at once",
                       (unsigned long long)len, arena->reserved);
    uint64_t want = arena->len + arena->len / 2;
    if (want < ARENA_LEN_MIN)
        want = ARENA_LEN_MIN;
    if (want < len)
        want = len;
    if (want > arena->reserved)
        want = arena->reserved;
    want = align_up(want, PAGE_LEN);
    if (extend_file(arena->fd, arena->len, want) || map_more(arena, want))
        return err_set(err, -ENOMEM, "no memory for a batch of %llu bytes",
                       (unsigned long long)want);
    size_t from = arena->len;
    arena->len = want;
    touch(arena, from);
    return 0;
}
