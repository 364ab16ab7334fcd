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

enum { ARENA_LEN_MIN = 512 << 10, PAGE_LEN = 4096 };

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
}

void arena_release(struct arena *arena)
{
    if (arena->data)
        munmap(arena->data, arena->len);
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

static int map_to(struct arena *arena, size_t len)
{
    void *data;
    if (arena->data)
        data = mremap(arena->data, arena->len, len, MREMAP_MAYMOVE);
    else if (arena->fd >= 0)
        data = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
    else
        data = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return -ENOMEM;
    arena->data = data;
    arena->len = len;
    return 0;
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
    if (len > FKV_ARENA_MAX)
        return err_set(
            err, -E2BIG,
            "the batch needs %llu bytes of shared memory; at most %llu: ask fewer keys at once",
            (unsigned long long)len, (unsigned long long)FKV_ARENA_MAX);
    uint64_t want = arena->len + arena->len / 2;
    if (want < ARENA_LEN_MIN)
        want = ARENA_LEN_MIN;
    if (want < len)
        want = len;
    if (want > FKV_ARENA_MAX)
        want = FKV_ARENA_MAX;
    want = align_up(want, PAGE_LEN);
    size_t from = arena->len;
    if (extend_file(arena->fd, from, want) || map_to(arena, want))
        return err_set(err, -ENOMEM, "no memory for a batch of %llu bytes",
                       (unsigned long long)want);
    touch(arena, from);
    return 0;
}
