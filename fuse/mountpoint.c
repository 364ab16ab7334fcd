/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mountpoint.h"

#include "base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

enum { PROBE_SECONDS = 5 };

/* The type of the topmost file system mounted exactly at path, or "" when none is. */
static int mounted_type(const char *path, char *type, size_t cap, struct err *err)
{
    struct mntent entry;
    char line[2 * PATH_MAX + 512];
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts)
        return err_sys(err, -errno, "/proc/self/mounts");
    type[0] = 0;
    while (getmntent_r(mounts, &entry, line, sizeof line))
        if (strcmp(entry.mnt_dir, path) == 0)
            snprintf(type, cap, "%s", entry.mnt_type);
    endmntent(mounts);
    return 0;
}

/*
 * What statfs() of path says, from a child: on a mount whose daemon hangs it may never return.
 * -ETIMEDOUT then. Not stat(): the kernel answers that from its cache, for a dead daemon too.
 */
static int probe(const char *path)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct statfs fs;
    int status = 0;
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        _exit(statfs(path, &fs) ? errno & 0xff : 0);
    for (int i = 0; i < PROBE_SECONDS * 100; i++) {
        pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child)
            return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
        if (done < 0 && errno != EINTR)
            return -errno;
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL); /* if it cannot be killed now, init reaps it later */
    return -ETIMEDOUT;
}

static int check_empty(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return err_sys(err, -errno, "mount point %s", path);
    const struct dirent *entry = NULL;
    char found[NAME_MAX + 1] = "";
    while ((entry = readdir(dir)) && !found[0])
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            snprintf(found, sizeof found, "%s", entry->d_name);
    closedir(dir);
    if (found[0])
        return err_set(err, -EBUSY,
                       "mount point %s: expected an empty directory, found \"%s\" in it; name "
                       "another one with --mount",
                       path, found);
    return 0;
}

static int prepare_dir(const char *path, struct err *err)
{
    struct stat st;
    if (mkdir(path, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return err_sys(err, -errno, "mount point %s: making the directory", path);
    if (stat(path, &st))
        return err_sys(err, -errno, "mount point %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -EINVAL, "mount point %s: expected a directory, found a file", path);
    return check_empty(path, err);
}

/* Something is mounted at path: takes away a dead fkvd's mount, refuses all others. */
static int clear_mounted(const char *path, const char *type, struct err *err)
{
    if (strcmp(type, "fuse." MOUNT_SUBTYPE) != 0)
        return err_set(err, -EBUSY,
                       "mount point %s: a file system of type %s is mounted there already", path,
                       type);
    int ret = probe(path);
    if (ret == 0)
        return err_set(err, -EBUSY,
                       "mount point %s: another fkvd serves it (its pid is in "
                       "%s/.fkvd/status.json); stop that one first",
                       path, path);
    if (ret == -ETIMEDOUT)
        return err_set(err, -EBUSY,
                       "mount point %s: the fkvd that is mounted there does not answer within %d "
                       "s; end it, or umount -l %s",
                       path, PROBE_SECONDS, path);
    if (ret != -ENOTCONN && ret != -ECONNABORTED)
        return err_sys(err, ret, "mount point %s", path);
    if (umount2(path, MNT_DETACH))
        return err_sys(err, -errno, "mount point %s: unmounting what a dead fkvd left", path);
    return 0;
}

int mountpoint_prepare(const char *path, struct err *err)
{
    char type[64];
    /* Daemons may have been stacked there by force; each round takes one away. */
    for (;;) {
        int ret = mounted_type(path, type, sizeof type, err);
        if (ret)
            return ret;
        if (!type[0])
            return prepare_dir(path, err);
        ret = clear_mounted(path, type, err);
        if (ret)
            return ret;
    }
}

int mountpoint_unmount(const char *path)
{
    if (umount2(path, UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
        return 0;
    return umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) ? -errno : 0;
}
