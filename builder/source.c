/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What tells a file from another one, and from itself after somebody wrote to it. */
struct identity {
    uint64_t inode;
    uint64_t len;
    struct timespec mtime;
};

struct source {
    char *path;
    int fd;
    bool is_file;
    struct identity opened;
};

static struct identity identity_of(const struct stat *st)
{
    return (struct identity){st->st_ino, (uint64_t)st->st_size, st->st_mtim};
}

static int file_open(struct source *source, struct err *err)
{
    struct stat st;
    source->fd = open(source->path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0 || fstat(source->fd, &st))
        return err_sys(err, -errno, "%s: opening", source->path);
    if (S_ISDIR(st.st_mode))
        return err_set(err, -EISDIR, "%s: expected a file of rows, found a directory",
                       source->path);
    source->is_file = S_ISREG(st.st_mode);
    source->opened = identity_of(&st);
    posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

int source_open(const char *path, struct source **out, struct err *err)
{
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return err_sys(err, -ENOMEM, "%s: opening", path);
    source->fd = -1;
    source->path = strdup(path);
    int ret = source->path ? file_open(source, err) : err_sys(err, -ENOMEM, "%s: opening", path);
    if (ret) {
        source_close(source);
        return ret;
    }
    *out = source;
    return 0;
}

void source_close(struct source *source)
{
    if (!source)
        return;
    if (source->fd >= 0)
        close(source->fd);
    free(source->path);
    free(source);
}

bool source_is_file(const struct source *source)
{
    return source->is_file;
}

uint64_t source_len(const struct source *source)
{
    return source->is_file ? source->opened.len : 0;
}

int64_t source_mtime_ns(const struct source *source)
{
    const struct timespec *mtime = &source->opened.mtime;
    return mtime->tv_sec * 1000000000LL + mtime->tv_nsec;
}

int source_read(struct source *source, uint64_t off, void *data, size_t len, size_t *n_read,
                struct err *err)
{
    ssize_t n;
    do
        n = source->is_file ? pread(source->fd, data, len, (off_t)off)
                            : read(source->fd, data, len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(err, -errno, "%s: reading at byte %llu", source->path,
                       (unsigned long long)off);
    *n_read = (size_t)n;
    return 0;
}

static void time_show(const struct timespec *time, char *out, size_t cap)
{
    struct tm tm;
    size_t n = gmtime_r(&time->tv_sec, &tm) ? strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
    snprintf(out + n, cap - n, ".%09ldZ", time->tv_nsec);
}

static int changed(const struct source *source, const struct identity *now, struct err *err)
{
    const struct identity *was = &source->opened;
    char before[64];
    char after[64];
    if (now->inode != was->inode)
        return err_set(err, -ESTALE,
                       "%s: changed while it was read: expected the same file, found another one "
                       "in its place; build again when it is complete",
                       source->path);
    time_show(&was->mtime, before, sizeof before);
    time_show(&now->mtime, after, sizeof after);
    return err_set(err, -ESTALE,
                   "%s: changed while it was read: expected %llu bytes of %s, found %llu bytes of "
                   "%s; build again when it is complete",
                   source->path, (unsigned long long)was->len, before, (unsigned long long)now->len,
                   after);
}

int source_check(struct source *source, struct err *err)
{
    struct stat st;
    if (!source->is_file)
        return 0;
    if (stat(source->path, &st)) {
        if (errno == ENOENT)
            return err_set(err, -ESTALE,
                           "%s: was removed while it was read; inputs must stay until the build "
                           "is done",
                           source->path);
        return err_sys(err, -errno, "%s: reading", source->path);
    }
    struct identity now = identity_of(&st);
    const struct identity *was = &source->opened;
    bool is_same = now.inode == was->inode && now.len == was->len &&
                   now.mtime.tv_sec == was->mtime.tv_sec && now.mtime.tv_nsec == was->mtime.tv_nsec;
    return is_same ? 0 : changed(source, &now, err);
}
