/* SPDX-License-Identifier: Apache-2.0 */
#include "store/beneath.h"

#include "base/scope.h"
#include "store/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int beneath_open_at_once(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

int beneath_open_walking(int root, const char *path, int flags)
{
    scope_fd int dir = -1;
    char name[PATH_COMPONENT_MAX + 1];
    for (const char *at = path;;) {
        size_t n = strcspn(at, "/");
        if (n == 0 || n > PATH_COMPONENT_MAX)
            return -EINVAL;
        memcpy(name, at, n);
        name[n] = '\0';
        bool is_last = at[n] == '\0';
        int want = is_last ? flags : O_PATH | O_DIRECTORY;
        int fd = openat(dir < 0 ? root : dir, name, want | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            /* O_DIRECTORY with O_NOFOLLOW says ENOTDIR for a link; tell it apart as openat2 does. */
            struct stat link;
            int code = errno;
            bool is_link = code == ENOTDIR &&
                           fstatat(dir < 0 ? root : dir, name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                           S_ISLNK(link.st_mode);
            return is_link ? -ELOOP : -code;
        }
        if (is_last)
            return fd;
        scope_fd int old = dir;
        dir = fd;
        at += n + 1;
        (void)old;
    }
}

int beneath_open(int root, const char *path, int flags)
{
    int fd = beneath_open_at_once(root, path, flags);
    if (fd == -ENOSYS || fd == -EPERM || fd == -EAGAIN)
        return beneath_open_walking(root, path, flags);
    return fd;
}

int beneath_open_parent(int root, const char *path)
{
    const char *leaf = path_leaf(path);
    if (leaf == path) {
        int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    char parent[STORE_PATH_MAX];
    size_t len = (size_t)(leaf - path) - 1;
    memcpy(parent, path, len);
    parent[len] = '\0';
    return beneath_open(root, parent, O_RDONLY | O_DIRECTORY);
}
