/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mountpoint.h"

#include "base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

enum { PROBE_SECONDS = 5 };

/* What is mounted at a path. */
struct mounted {
    char type[64]; /* "" for nothing */
    pid_t pid;     /* of the fkvd that mounted it, or 0 */
};

/* The topmost file system mounted exactly at path. */
static int find_mounted(const char *path, struct mounted *out, struct err *err)
{
    struct mntent entry;
    char line[2 * PATH_MAX + 512];
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts)
        return err_sys(err, -errno, "/proc/self/mounts");
    *out = (struct mounted){0};
    while (getmntent_r(mounts, &entry, line, sizeof line)) {
        if (strcmp(entry.mnt_dir, path) != 0)
            continue;
        *out = (struct mounted){0};
        snprintf(out->type, sizeof out->type, "%s", entry.mnt_type);
        if (sscanf(entry.mnt_fsname, MOUNT_SOURCE "%d", &out->pid) != 1)
            out->pid = 0;
    }
    endmntent(mounts);
    return 0;
}

/* Whether the process has ended, or was killed and only waits for a thread that the kernel holds: one
 * that waits for a request which nobody will answer any more. */
static bool is_ending(pid_t pid)
{
    char path[64];
    char line[128];
    char state = 0;
    unsigned long long pending = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    scope_fclose FILE *file = fopen(path, "re");
    if (!file)
        return true;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "State: %c", &state) == 1 && (state == 'Z' || state == 'X'))
            return true;
        if (sscanf(line, "ShdPnd: %llx", &pending) == 1)
            return pending >> (SIGKILL - 1) & 1;
    }
    return false;
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
static int clear_mounted(const char *path, const struct mounted *mounted, struct err *err)
{
    if (strcmp(mounted->type, "fuse." MOUNT_SUBTYPE) != 0)
        return err_set(err, -EBUSY,
                       "mount point %s: a file system of type %s is mounted there already", path,
                       mounted->type);
    int ret = probe(path);
    if (ret == 0)
        return err_set(err, -EBUSY,
                       "mount point %s: another fkvd serves it (its pid is in "
                       "%s/.fkvd/status.json); stop that one first",
                       path, path);
    bool is_hung = ret == -ETIMEDOUT;
    if (is_hung && !(mounted->pid && is_ending(mounted->pid)))
        return err_set(err, -EBUSY,
                       "mount point %s: the fkvd that is mounted there does not answer within %d "
                       "s; end it, or umount -l %s",
                       path, PROBE_SECONDS, path);
    if (!is_hung && ret != -ENOTCONN && ret != -ECONNABORTED)
        return err_sys(err, ret, "mount point %s", path);
    /* By force: the requests that hang end with an error, and with them what holds the daemon. */
    if (umount2(path, is_hung ? MNT_FORCE | MNT_DETACH : MNT_DETACH))
        return err_sys(err, -errno, "mount point %s: unmounting what a dead fkvd left", path);
    return 0;
}

int mountpoint_prepare(const char *path, struct err *err)
{
    struct mounted mounted;
    /* Daemons may have been stacked there by force; each round takes one away. */
    for (;;) {
        int ret = find_mounted(path, &mounted, err);
        if (ret)
            return ret;
        if (!mounted.type[0])
            return prepare_dir(path, err);
        ret = clear_mounted(path, &mounted, err);
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
