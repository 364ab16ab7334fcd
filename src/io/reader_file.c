/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reader.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Some file systems take the flag and refuse the reads: only a read tells. */
static int try_page(int fd)
{
    scope_free void *page = aligned_alloc(READER_PAGE, READER_PAGE);
    if (!page)
        return -ENOMEM;
    ssize_t n = 0;
    do
        n = pread(fd, page, READER_PAGE, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static int open_direct(int dir, const char *path, int flags, int *out)
{
    scope_fd int fd = openat(dir, path, flags | O_DIRECT);
    if (fd < 0)
        return -errno;
    int ret = try_page(fd);
    if (ret)
        return ret;
    *out = scope_take_fd(&fd);
    return 0;
}

static int open_file(int dir, const char *path, int flags, struct reader_file *out, struct err *err)
{
    scope_fd int fd = -1;
    int ret = open_direct(dir, path, flags, &fd);
    bool is_direct = ret == 0;
    if (ret == -EINVAL || ret == -EOPNOTSUPP) {
        fd = openat(dir, path, flags);
        ret = fd < 0 ? -errno : 0;
    }
    if (ret)
        return err_sys(err, ret, "%s: opening for reads", path);
    struct stat st;
    if (fstat(fd, &st))
        return err_sys(err, -errno, "%s: asking for its length", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s: expected a file", path);
    /* No read-ahead: neighbours are read when they are asked for. */
    if (!is_direct)
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    *out = (struct reader_file){
        .fd = scope_take_fd(&fd), .len = (uint64_t)st.st_size, .is_direct = is_direct};
    return 0;
}

int reader_file_open(const char *path, struct reader_file *out, struct err *err)
{
    return open_file(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, out, err);
}

int reader_file_open_at(int dir, const char *name, struct reader_file *out, struct err *err)
{
    return open_file(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, out, err);
}
