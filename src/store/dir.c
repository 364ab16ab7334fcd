/* SPDX-License-Identifier: Apache-2.0 */
/* The directory backend: names and namespace steps. Its files are in dir_file.c. */
#include "store/dir.h"

#include "base/scope.h"
#include "store/beneath.h"
#include "store/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct dir {
    struct backend backend;
    int root;
    char path[]; /* absolute, for error texts */
};

static struct dir *dir_of(struct backend *backend)
{
    return (struct dir *)backend;
}

static int fail(struct dir *dir, int code, const char *verb, const char *path, struct err *err)
{
    if (code == -ELOOP)
        return err_set(err, -EPERM, "%s %s/%s: a symbolic link; a store follows none", verb,
                       dir->path, path);
    return err_sys(err, code, "%s %s/%s", verb, dir->path, path);
}

static void dir_close(struct backend *backend)
{
    struct dir *dir = dir_of(backend);
    close(dir->root);
    free(dir);
}

static int dir_stat(struct backend *backend, const char *path, struct store_stat *out,
                    struct err *err)
{
    struct dir *dir = dir_of(backend);
    scope_fd int fd = beneath_open(dir->root, path, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return fail(dir, fd, "stat", path, err);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(dir, -errno, "stat", path, err);
    if (S_ISLNK(st.st_mode))
        return fail(dir, -ELOOP, "stat", path, err);
    *out = (struct store_stat){
        .len = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0,
        .mtime = st.st_mtim,
        .is_dir = S_ISDIR(st.st_mode),
    };
    return 0;
}

static int list_add(struct store_list *list, size_t *cap, const char *name)
{
    if (list->n_names == *cap) {
        size_t grown = *cap ? 2 * *cap : 16;
        char **names = realloc(list->names, grown * sizeof *names);
        if (!names)
            return -ENOMEM;
        list->names = names;
        *cap = grown;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    list->names[list->n_names++] = copy;
    return 0;
}

static int list_read(DIR *stream, struct store_list *list)
{
    size_t cap = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int ret = list_add(list, &cap, entry->d_name);
        if (ret)
            return ret;
    }
}

static int dir_list(struct backend *backend, const char *path, struct store_list *out,
                    struct err *err)
{
    struct dir *dir = dir_of(backend);
    int fd = beneath_open(dir->root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fail(dir, fd, "listing", path, err);
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int code = -errno;
        close(fd);
        return fail(dir, code, "listing", path, err);
    }
    struct store_list list = {0};
    int ret = list_read(stream, &list);
    closedir(stream);
    if (ret) {
        store_list_release(&list);
        return fail(dir, ret, "listing", path, err);
    }
    *out = list;
    return 0;
}

static int dir_open(struct backend *backend, const char *path, struct backend_file **out,
                    struct err *err)
{
    struct dir *dir = dir_of(backend);
    /* O_NONBLOCK: a FIFO planted in the store must not hang us; regular files ignore it. */
    scope_fd int fd = beneath_open(dir->root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail(dir, fd, "opening", path, err);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(dir, -errno, "opening", path, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, S_ISDIR(st.st_mode) ? -EISDIR : -EPERM,
                       "opening %s/%s: expected a regular file", dir->path, path);
    int ret = dir_file_new(fd, (uint64_t)st.st_size, out);
    if (ret)
        return fail(dir, ret, "opening", path, err);
    scope_take_fd(&fd);
    return 0;
}

static int dir_create(struct backend *backend, const char *path, struct backend_file **out,
                      struct err *err)
{
    struct dir *dir = dir_of(backend);
    scope_fd int parent = beneath_open_parent(dir->root, path);
    if (parent < 0)
        return fail(dir, parent, "creating", path, err);
    scope_fd int fd =
        openat(parent, path_leaf(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail(dir, -errno, "creating", path, err);
    int ret = dir_file_new(fd, 0, out);
    if (ret) {
        unlinkat(parent, path_leaf(path), 0);
        return fail(dir, ret, "creating", path, err);
    }
    scope_take_fd(&fd);
    return 0;
}

static int dir_link(struct backend *backend, const char *from, const char *to, struct err *err)
{
    struct dir *dir = dir_of(backend);
    scope_fd int from_dir = beneath_open_parent(dir->root, from);
    if (from_dir < 0)
        return fail(dir, from_dir, "linking", from, err);
    scope_fd int to_dir = beneath_open_parent(dir->root, to);
    if (to_dir < 0)
        return fail(dir, to_dir, "linking to", to, err);
    if (linkat(from_dir, path_leaf(from), to_dir, path_leaf(to), 0) != 0)
        return fail(dir, -errno, "linking to", to, err);
    if (fsync(to_dir) != 0)
        return fail(dir, -errno, "syncing the directory of", to, err);
    return 0;
}

/* A file onto a free name, without replacing. */
static int rename_file(int from_dir, const char *from, int to_dir, const char *to)
{
    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system without RENAME_NOREPLACE: a link never replaces either. */
    if (linkat(from_dir, from, to_dir, to, 0) != 0)
        return -errno;
    return unlinkat(from_dir, from, 0) == 0 ? 0 : -errno;
}

static int rename_dir(int from_dir, const char *from, int to_dir, const char *to)
{
    if (renameat(from_dir, from, to_dir, to) == 0)
        return 0;
    /* ENOTDIR here means that the target is a file: the parents are open already. */
    return errno == ENOTEMPTY || errno == ENOTDIR ? -EEXIST : -errno;
}

static int rename_at(int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
    struct stat st;
    if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return rename_dir(from_dir, from, to_dir, to);
    if (!replace)
        return rename_file(from_dir, from, to_dir, to);
    return renameat(from_dir, from, to_dir, to) == 0 ? 0 : -errno;
}

static int dir_rename(struct backend *backend, const char *from, const char *to, bool replace,
                      struct err *err)
{
    struct dir *dir = dir_of(backend);
    scope_fd int from_dir = beneath_open_parent(dir->root, from);
    if (from_dir < 0)
        return fail(dir, from_dir, "renaming", from, err);
    scope_fd int to_dir = beneath_open_parent(dir->root, to);
    if (to_dir < 0)
        return fail(dir, to_dir, "renaming to", to, err);
    int ret = rename_at(from_dir, path_leaf(from), to_dir, path_leaf(to), replace);
    if (ret)
        return fail(dir, ret, "renaming to", to, err);
    if (fsync(to_dir) != 0)
        return fail(dir, -errno, "syncing the directory of", to, err);
    bool is_same = path_leaf(from) - from == path_leaf(to) - to &&
                   strncmp(from, to, (size_t)(path_leaf(to) - to)) == 0;
    if (!is_same && fsync(from_dir) != 0)
        return fail(dir, -errno, "syncing the directory of", from, err);
    return 0;
}

static int dir_mkdir(struct backend *backend, const char *path, struct err *err)
{
    struct dir *dir = dir_of(backend);
    scope_fd int parent = beneath_open_parent(dir->root, path);
    if (parent < 0)
        return fail(dir, parent, "making directory", path, err);
    if (mkdirat(parent, path_leaf(path), 0777) != 0)
        return fail(dir, -errno, "making directory", path, err);
    if (fsync(parent) != 0)
        return fail(dir, -errno, "syncing the directory of", path, err);
    return 0;
}

static int dir_remove(struct backend *backend, const char *path, bool is_dir, struct err *err)
{
    struct dir *dir = dir_of(backend);
    scope_fd int parent = beneath_open_parent(dir->root, path);
    if (parent < 0)
        return fail(dir, parent, "removing", path, err);
    if (unlinkat(parent, path_leaf(path), is_dir ? AT_REMOVEDIR : 0) != 0)
        return fail(dir, -errno, "removing", path, err);
    return 0;
}

static const struct backend_ops dir_ops = {
    .close = dir_close,
    .stat = dir_stat,
    .list = dir_list,
    .open = dir_open,
    .create = dir_create,
    .read = dir_file_read,
    .read_direct = dir_file_read_direct,
    .append = dir_file_append,
    .sync = dir_file_sync,
    .close_file = dir_file_close,
    .len = dir_file_len,
    .link = dir_link,
    .rename = dir_rename,
    .mkdir = dir_mkdir,
    .remove = dir_remove,
};

int backend_dir_open(const char *path, struct backend **out, struct err *err)
{
    scope_fd int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(err, -errno, "opening store directory %s", path);
    size_t len = strlen(path);
    struct dir *dir = malloc(sizeof *dir + len + 1);
    if (!dir)
        return err_sys(err, -ENOMEM, "opening store directory %s", path);
    dir->backend.ops = &dir_ops;
    memcpy(dir->path, path, len + 1);
    dir->root = scope_take_fd(&root);
    *out = &dir->backend;
    return 0;
}
