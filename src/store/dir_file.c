/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dir.h"

#include "base/scope.h"
#include "store/write_behind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

struct backend_file {
    int fd;
    atomic_bool is_direct; /* O_DIRECT is on, for reading */
    uint64_t len;
    struct write_behind *writer; /* made by the first append */
};

int dir_file_new(int fd, uint64_t len, struct backend_file **out)
{
    struct backend_file *file = calloc(1, sizeof *file);
    if (!file)
        return -ENOMEM;
    file->fd = fd;
    file->len = len;
    *out = file;
    return 0;
}

void dir_file_close(struct backend_file *file)
{
    if (!file)
        return;
    write_behind_free(file->writer);
    close(file->fd);
    free(file);
}

uint64_t dir_file_len(const struct backend_file *file)
{
    return file->len;
}

void dir_file_read_direct(struct backend_file *file)
{
    int flags = fcntl(file->fd, F_GETFL);
    file->is_direct = flags >= 0 && fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0;
}

/* What direct I/O refuses, be it for its alignment or by the file system, is read through the page cache: slower, not wrong. */
static int read_buffered(struct backend_file *file)
{
    int flags = fcntl(file->fd, F_GETFL);
    if (flags < 0 || fcntl(file->fd, F_SETFL, flags & ~O_DIRECT))
        return -errno;
    file->is_direct = false;
    return 0;
}

int dir_file_read(struct backend_file *file, uint64_t off, void *data, size_t len, size_t *n_read,
                  struct err *err)
{
    size_t done = 0;
    while (done < len) {
        bool is_direct = file->is_direct;
        ssize_t n = pread(file->fd, (uint8_t *)data + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL && is_direct && read_buffered(file) == 0)
            continue;
        if (n < 0)
            return err_sys(err, -errno, "reading at %llu", (unsigned long long)(off + done));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *n_read = done;
    return 0;
}

int dir_file_append(struct backend_file *file, const void *data, size_t len, struct err *err)
{
    int ret = file->writer ? 0 : write_behind_new(file->fd, &file->writer);
    if (!ret)
        ret = write_behind_append(file->writer, data, len);
    if (ret)
        return err_sys(err, ret, "writing at %llu", (unsigned long long)file->len);
    file->len += len;
    return 0;
}

int dir_file_sync(struct backend_file *file, struct err *err)
{
    int ret = file->writer ? write_behind_flush(file->writer) : 0;
    if (ret)
        return err_sys(err, ret, "writing %llu bytes", (unsigned long long)file->len);
    if (fsync(file->fd) != 0)
        return err_sys(err, -errno, "syncing %llu bytes", (unsigned long long)file->len);
    return 0;
}
