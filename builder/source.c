/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/source.h"

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file in a directory of a store. */
struct place {
    char dir[STORE_URL_MAX]; /* with the URL's options */
    char leaf[STORE_PATH_MAX];
};

struct source {
    char *path;
    int fd; /* of a local file; else */
    struct place place;
    struct store *store;
    struct store_reader *reader;
    struct source_identity opened;
};

static bool is_url(const char *path)
{
    return strncmp(path, "nfs://", 6) == 0;
}

size_t source_name_len(const char *path)
{
    return is_url(path) ? strcspn(path, "?") : strlen(path);
}

bool source_identity_equal(const struct source_identity *a, const struct source_identity *b)
{
    return a->is_file == b->is_file && a->inode == b->inode && a->len == b->len &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static int no_directory(const char *path, struct err *err)
{
    return err_set(err, -EISDIR, "%s: expected a file of rows, found a directory", path);
}

/* nfs://server/dir/file?options to nfs://server/dir?options and file. */
static int place_split(const char *url, struct place *out, struct err *err)
{
    size_t len = source_name_len(url);
    const char *slash = memrchr(url, '/', len);
    size_t dir_len = (size_t)(slash - url);
    size_t leaf_len = len - dir_len - 1;
    size_t scheme_len = strlen("nfs://");
    if (dir_len < scheme_len || leaf_len == 0)
        return err_set(err, -EINVAL, "%s: expected nfs://server/dir/file", url);
    if (strlen(url) >= sizeof out->dir || leaf_len >= sizeof out->leaf)
        return err_set(err, -EINVAL, "%.80s…: expected a URL of at most %zu bytes", url,
                       sizeof out->dir - 1);
    snprintf(out->dir, sizeof out->dir, "%.*s%s%s", (int)dir_len, url,
             memchr(url + scheme_len, '/', dir_len - scheme_len) ? "" : "/", url + len);
    snprintf(out->leaf, sizeof out->leaf, "%.*s", (int)leaf_len, slash + 1);
    return 0;
}

static int place_identify(struct store *store, const char *path, const struct place *place,
                          struct source_identity *out, struct err *err)
{
    struct store_stat st;
    int ret = store_stat(store, place->leaf, &st, err);
    if (ret)
        return ret;
    if (st.is_dir)
        return no_directory(path, err);
    *out = (struct source_identity){.is_file = true, .len = st.len, .mtime = st.mtime};
    return 0;
}

static int stat_identify(const char *path, const struct stat *st, struct source_identity *out,
                         struct err *err)
{
    if (S_ISDIR(st->st_mode))
        return no_directory(path, err);
    *out = S_ISREG(st->st_mode)
               ? (struct source_identity){true, st->st_ino, (uint64_t)st->st_size, st->st_mtim}
               : (struct source_identity){0};
    return 0;
}

int sources_identify(const char *const *paths, size_t n, struct source_identity *out,
                     struct err *err)
{
    struct store *store = NULL;
    struct place last = {0};
    int ret = 0;
    for (size_t i = 0; i < n && !ret; i++) {
        struct stat st;
        struct place place;
        if (!is_url(paths[i])) {
            ret = stat(paths[i], &st) ? err_sys(err, -errno, "%s: opening", paths[i])
                                      : stat_identify(paths[i], &st, &out[i], err);
            continue;
        }
        ret = place_split(paths[i], &place, err);
        if (!ret && (!store || strcmp(place.dir, last.dir) != 0)) {
            store_close(store);
            store = NULL;
            ret = store_open(place.dir, &store, err);
            last = place;
        }
        if (!ret)
            ret = place_identify(store, paths[i], &place, &out[i], err);
    }
    store_close(store);
    return ret;
}

static int file_open(struct source *source, struct err *err)
{
    struct stat st;
    source->fd = open(source->path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0 || fstat(source->fd, &st))
        return err_sys(err, -errno, "%s: opening", source->path);
    posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return stat_identify(source->path, &st, &source->opened, err);
}

static int place_open(struct source *source, struct err *err)
{
    int ret = place_split(source->path, &source->place, err);
    if (!ret)
        ret = store_open(source->place.dir, &source->store, err);
    if (!ret)
        ret = place_identify(source->store, source->path, &source->place, &source->opened, err);
    if (!ret)
        ret = store_reader_open(source->store, source->place.leaf, &source->reader, err);
    return ret;
}

int source_open(const char *path, struct source **out, struct err *err)
{
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return err_sys(err, -ENOMEM, "%s: opening", path);
    source->fd = -1;
    source->path = strdup(path);
    int ret = !source->path  ? err_sys(err, -ENOMEM, "%s: opening", path)
              : is_url(path) ? place_open(source, err)
                             : file_open(source, err);
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
    store_reader_close(source->reader);
    store_close(source->store);
    free(source->path);
    free(source);
}

bool source_is_file(const struct source *source)
{
    return source->opened.is_file;
}

uint64_t source_len(const struct source *source)
{
    return source->opened.len;
}

int64_t source_mtime_ns(const struct source *source)
{
    const struct timespec *mtime = &source->opened.mtime;
    return (int64_t)mtime->tv_sec * 1000000000 + mtime->tv_nsec;
}

bool source_is_remote(const struct source *source)
{
    return source->reader != NULL;
}

int source_read(struct source *source, uint64_t off, void *data, size_t len, size_t *n_read,
                struct err *err)
{
    ssize_t n;
    if (source->reader)
        return store_reader_read(source->reader, off, data, len, n_read, err);
    do
        n = source->opened.is_file ? pread(source->fd, data, len, (off_t)off)
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

static int changed(const struct source *source, const struct source_identity *now, struct err *err)
{
    const struct source_identity *was = &source->opened;
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
    struct source_identity now;
    const char *path = source->path;
    struct stat st;
    int ret = 0;
    if (!source->opened.is_file)
        return 0;
    if (source->store)
        ret = place_identify(source->store, path, &source->place, &now, err);
    else
        ret = stat(path, &st) ? err_sys(err, -errno, "%s: reading", path)
                              : stat_identify(path, &st, &now, err);
    if (ret == -ENOENT)
        return err_set(err, -ESTALE,
                       "%s: was removed while it was read; inputs must stay until the build is "
                       "done",
                       path);
    if (ret)
        return ret;
    return source_identity_equal(&now, &source->opened) ? 0 : changed(source, &now, err);
}
