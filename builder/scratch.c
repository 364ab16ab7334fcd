/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *scratch_dir(const char *dir)
{
    if (dir)
        return dir;
    const char *tmpdir = getenv("TMPDIR");
    return tmpdir && *tmpdir ? tmpdir : "/var/tmp";
}

/* For file systems without O_TMPFILE: a name that is gone before anything is written. */
static int open_unlinked(const char *dir)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/fkv-run-XXXXXX", dir) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int append_run(struct run_file *file, const void *data, size_t len, struct err *err)
{
    return scratch_append((struct scratch *)file, data, len, err);
}

static int read_run(const struct run_file *file, uint64_t off, void *data, size_t len,
                    struct err *err)
{
    return scratch_read((const struct scratch *)file, off, data, len, err);
}

static const struct run_file_ops scratch_ops = {.append = append_run, .read = read_run};

int scratch_open(struct scratch *scratch, const char *dir, struct err *err)
{
    dir = scratch_dir(dir);
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = errno == EOPNOTSUPP || errno == EISDIR ? open_unlinked(dir) : -errno;
    if (fd < 0)
        return err_sys(err, fd,
                       "%s: making a scratch file (choose another directory with --scratch)", dir);
    /* Best effort: a file system without direct I/O refuses the flag. */
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_DIRECT);
    *scratch = (struct scratch){
        .file = {.ops = &scratch_ops, .align = SCRATCH_ALIGN}, .fd = fd, .dir = dir};
    return 0;
}

void scratch_close(struct scratch *scratch)
{
    if (scratch->dir && scratch->fd >= 0)
        close(scratch->fd);
    *scratch = (struct scratch){.fd = -1};
}

int scratch_append(struct scratch *scratch, const void *data, size_t len, struct err *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(scratch->fd, (const char *)data + done, len - done,
                           (off_t)(scratch->file.len + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_sys(err, n ? -errno : -EIO,
                           "%s: writing sorted runs at byte %llu (choose another directory with "
                           "--scratch, or spill less with more --memory)",
                           scratch->dir, (unsigned long long)(scratch->file.len + done));
        done += (size_t)n;
    }
    scratch->file.len += len;
    return 0;
}

int scratch_read(const struct scratch *scratch, uint64_t off, void *data, size_t len,
                 struct err *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(scratch->fd, (char *)data + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_sys(err, n ? -errno : -EIO, "%s: reading sorted runs at byte %llu",
                           scratch->dir, (unsigned long long)(off + done));
        done += (size_t)n;
    }
    return 0;
}
