/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/arena.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum { SECTOR_LEN = 512 }; /* of st_blocks */

struct arena {
    atomic_uint refs;
    uint8_t *data;
    uint64_t len;
};

/* The process of a thread: "Tgid:" of its status. FUSE names the calling thread, pidfd_open() wants
 * a process. */
static pid_t process_of(pid_t tid)
{
    char path[64];
    char line[128];
    int tgid = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    scope_fclose FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (!tgid && fgets(line, sizeof line, file))
        if (sscanf(line, "Tgid: %d", &tgid) != 1)
            tgid = 0;
    return tgid;
}

int arena_fetch_fd(pid_t tid, int fd, struct err *err)
{
    pid_t pid = tid > 0 ? process_of(tid) : 0;
    if (pid <= 0)
        return err_set(err, -EOPNOTSUPP,
                       "attach: the caller's process cannot be seen from the daemon; use write and "
                       "read");
    scope_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return err_sys(err, errno == ENOSYS ? -EOPNOTSUPP : -errno, "attach: pidfd_open(%d)", pid);
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (copy < 0)
        return err_sys(err, errno == ENOSYS ? -EOPNOTSUPP : -errno,
                       "attach: taking descriptor %d of process %d", fd, pid);
    return copy;
}

/* Only shmem: a file of another kind could block, shrink or fault at will (NFS, FUSE, huge pages
 * that ran out). */
static int file_check(int fd, uint64_t len, struct err *err)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) || fstatfs(fd, &fs))
        return err_sys(err, -errno, "attach: stat of the arena");
    if (!S_ISREG(st.st_mode) || fs.f_type != TMPFS_MAGIC)
        return err_set(err, -EINVAL, "attach: expected a memfd, found another kind of file");
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return err_set(err, -EPERM,
                       "attach: expected a memfd sealed with F_SEAL_SHRINK, found no "
                       "such seal");
    /* Read after the seal was seen: from here on the file can only grow. */
    if (fstat(fd, &st))
        return err_sys(err, -errno, "attach: stat of the arena");
    if ((uint64_t)st.st_size < len)
        return err_set(err, -EINVAL, "attach: expected a file of at least %llu bytes, found %llu",
                       (unsigned long long)len, (unsigned long long)st.st_size);
    /* Whoever allocates a page has it charged to its memory limit: that is to be the client. */
    if ((uint64_t)st.st_blocks * SECTOR_LEN < len)
        return err_set(err, -EINVAL,
                       "attach: expected %llu bytes of allocated memory (fallocate), found %llu",
                       (unsigned long long)len, (unsigned long long)st.st_blocks * SECTOR_LEN);
    return 0;
}

int arena_map(int fd, uint64_t len, struct arena **out, struct err *err)
{
    int ret = file_check(fd, len, err);
    if (ret)
        return ret;
    scope_free struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return err_set(err, -ENOMEM, "attach: no memory");
    void *data = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return err_sys(err, -errno, "attach: mapping %llu bytes", (unsigned long long)len);
    /* A core dump of the daemon has no business with clients' memory. */
    madvise(data, len, MADV_DONTDUMP);
    atomic_init(&arena->refs, 1);
    arena->data = data;
    arena->len = len;
    *out = scope_take(arena);
    return 0;
}

struct arena *arena_ref(struct arena *arena)
{
    atomic_fetch_add_explicit(&arena->refs, 1, memory_order_relaxed);
    return arena;
}

void arena_unref(struct arena *arena)
{
    if (!arena || atomic_fetch_sub_explicit(&arena->refs, 1, memory_order_acq_rel) != 1)
        return;
    munmap(arena->data, arena->len);
    free(arena);
}

uint8_t *arena_data(const struct arena *arena)
{
    return arena->data;
}

uint64_t arena_len(const struct arena *arena)
{
    return arena->len;
}
