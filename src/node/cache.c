/* SPDX-License-Identifier: Apache-2.0 */
#include "node/cache.h"

#include "base/scope.h"
#include "format/version.h"
#include "node/mismatch.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    PART_NAME_MAX = DIGEST_HEX_LEN + sizeof ".partial",
    STATE_JSON_MAX = 64 << 20,
};

/*
 * The small files go through a directory store, which knows how to replace a file atomically and
 * durably; parts are written in place and resumed, which no store does.
 */
struct cache {
    char *dir;
    int lock_fd;
    int parts_fd;
    struct store *files;
    _Atomic uint64_t used; /* as last measured */
};

static int make_dirs(const char *dir, struct err *err)
{
    scope_free char *path = strdup(dir);
    if (!path)
        return err_sys(err, -ENOMEM, "%s", dir);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0755) && errno != EEXIST)
            return err_sys(err, -errno, "making the cache directory %s", path);
        *slash = '/';
    }
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_sys(err, -errno, "making the cache directory %s", path);
    return 0;
}

static int take_lock(struct cache *cache, struct err *err)
{
    char path[4096];
    char pid[32] = "";
    if ((size_t)snprintf(path, sizeof path, "%s/lock", cache->dir) >= sizeof path)
        return err_sys(err, -ENAMETOOLONG, "%s", cache->dir);
    cache->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (cache->lock_fd < 0)
        return err_sys(err, -errno, "opening %s", path);
    if (flock(cache->lock_fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, -errno, "locking %s", path);
        if (pread(cache->lock_fd, pid, sizeof pid - 1, 0) < 0)
            pid[0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        return err_set(err, -EBUSY,
                       "the cache %s is in use by another fkvd (pid %s): stop it, or name another "
                       "cache directory",
                       cache->dir, pid[0] ? pid : "unknown");
    }
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(cache->lock_fd, 0) || pwrite(cache->lock_fd, pid, (size_t)len, 0) != len)
        return err_sys(err, -errno, "writing %s", path);
    return 0;
}

static int open_parts(struct cache *cache, struct err *err)
{
    char path[4096];
    int ret = store_open(cache->dir, &cache->files, err);
    if (!ret)
        ret = store_mkdir(cache->files, "parts", err);
    if (!ret)
        ret = store_mkdir(cache->files, "tables", err);
    if (ret)
        return ret;
    if ((size_t)snprintf(path, sizeof path, "%s/parts", cache->dir) >= sizeof path)
        return err_sys(err, -ENAMETOOLONG, "%s", cache->dir);
    cache->parts_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return cache->parts_fd < 0 ? err_sys(err, -errno, "opening %s", path) : 0;
}

/* What a killed daemon left: nobody else writes here while we hold the lock. */
static void remove_temporaries(struct cache *cache)
{
    DIR *dir = opendir(cache->dir);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (store_is_temporary(entry->d_name))
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

int cache_open(const char *dir, struct cache **out, struct err *err)
{
    int ret = make_dirs(dir, err);
    if (ret)
        return ret;
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return err_sys(err, -ENOMEM, "the cache %s", dir);
    cache->lock_fd = -1;
    cache->parts_fd = -1;
    cache->dir =
        realpath(dir, NULL); /* the store wants an absolute path, and a daemon changes directory */
    ret = cache->dir ? take_lock(cache, err) : err_sys(err, -errno, "the cache %s", dir);
    if (!ret)
        ret = open_parts(cache, err);
    if (!ret) {
        remove_temporaries(cache);
        cache_measure(cache);
    }
    if (ret) {
        cache_close(cache);
        return ret;
    }
    *out = cache;
    return 0;
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    store_close(cache->files);
    if (cache->parts_fd >= 0)
        close(cache->parts_fd);
    if (cache->lock_fd >= 0)
        close(cache->lock_fd); /* lets the lock go */
    free(cache->dir);
    free(cache);
}

const char *cache_dir(const struct cache *cache)
{
    return cache->dir;
}

void cache_version_path(const char *table, uint64_t id, char out[CACHE_PATH_MAX])
{
    snprintf(out, CACHE_PATH_MAX, "tables/%s/%llu/version.json", table, (unsigned long long)id);
}

int cache_version_get(const struct cache *cache, const char *table, uint64_t id,
                      const struct digest *digest, struct buf *out, struct err *err)
{
    char path[CACHE_PATH_MAX];
    struct digest found;
    size_t before = out->len;
    cache_version_path(table, id, path);
    int ret = store_get(cache->files, path, VERSION_JSON_MAX, out, err);
    if (ret)
        return ret;
    digest_of(out->data + before, out->len - before, &found);
    if (digest_equal(&found, digest))
        return 0;
    out->len = before;
    ret = digest_mismatch(digest, &found, err);
    return err_wrap(err, ret, "%s/%s", cache->dir, path);
}

int cache_version_put(const struct cache *cache, const char *table, uint64_t id, const void *json,
                      size_t len, struct err *err)
{
    char path[CACHE_PATH_MAX];
    char dir[CACHE_PATH_MAX];
    cache_version_path(table, id, path);
    snprintf(dir, sizeof dir, "tables/%s/%llu", table, (unsigned long long)id);
    int ret = store_mkdir(cache->files, dir, err);
    return ret ? ret : store_put(cache->files, path, json, len, err);
}

int cache_version_remove(const struct cache *cache, const char *table, uint64_t id, struct err *err)
{
    char dir[CACHE_PATH_MAX];
    snprintf(dir, sizeof dir, "tables/%s/%llu", table, (unsigned long long)id);
    return store_remove_tree(cache->files, dir, err);
}

static void part_name(const struct digest *digest, const char *suffix, char out[PART_NAME_MAX])
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(digest, hex);
    snprintf(out, PART_NAME_MAX, "%s%s", hex, suffix);
}

int cache_part_open(const struct cache *cache, const struct digest *digest)
{
    char name[PART_NAME_MAX];
    part_name(digest, ".part", name);
    int fd = openat(cache->parts_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int cache_part_open_blocks(const struct cache *cache, const struct digest *digest,
                           struct reader_file *out, struct err *err)
{
    char name[PART_NAME_MAX];
    part_name(digest, ".part", name);
    return reader_file_open_at(cache->parts_fd, name, out, err);
}

bool cache_part_is_there(const struct cache *cache, const struct digest *digest, uint64_t len)
{
    char name[PART_NAME_MAX];
    struct stat st;
    part_name(digest, ".part", name);
    return !fstatat(cache->parts_fd, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == len;
}

void cache_part_remove(const struct cache *cache, const struct digest *digest)
{
    char name[PART_NAME_MAX];
    part_name(digest, ".part", name);
    unlinkat(cache->parts_fd, name, 0);
}

void cache_part_demote(const struct cache *cache, const struct digest *digest)
{
    char from[PART_NAME_MAX];
    char to[PART_NAME_MAX];
    part_name(digest, ".part", from);
    part_name(digest, ".partial", to);
    if (fchmodat(cache->parts_fd, from, 0600, 0) ||
        renameat(cache->parts_fd, from, cache->parts_fd, to))
        unlinkat(cache->parts_fd, from, 0);
}

int cache_partial_open(const struct cache *cache, const struct digest *digest, struct err *err)
{
    char name[PART_NAME_MAX];
    part_name(digest, ".partial", name);
    int fd = openat(cache->parts_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? err_sys(err, -errno, "%s/parts/%s", cache->dir, name) : fd;
}

int cache_partial_commit(const struct cache *cache, const struct digest *digest, int fd,
                         struct err *err)
{
    char from[PART_NAME_MAX];
    char to[PART_NAME_MAX];
    part_name(digest, ".partial", from);
    part_name(digest, ".part", to);
    /* A file of the same name and another length (a cut one) is replaced: renameat does that. */
    if (fchmod(fd, 0400) || fsync(fd) || renameat(cache->parts_fd, from, cache->parts_fd, to))
        return err_sys(err, -errno, "%s/parts/%s", cache->dir, to);
    /* What had to go buffered leaves the page cache to others. */
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

int cache_parts_sync(const struct cache *cache, struct err *err)
{
    return fsync(cache->parts_fd) ? err_sys(err, -errno, "%s/parts", cache->dir) : 0;
}

uint64_t cache_partial_len(const struct cache *cache, const struct digest *digest)
{
    char name[PART_NAME_MAX];
    struct stat st;
    part_name(digest, ".partial", name);
    if (fstatat(cache->parts_fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return 0;
    return (uint64_t)st.st_blocks * 512; /* what is really there, whatever the length says */
}

/* True for a part or partial that keep() names. */
static bool is_kept(const char *name, cache_keep_fn keep, void *context)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct digest digest;
    const char *suffix = strchr(name, '.');
    if (!suffix || suffix - name != DIGEST_HEX_LEN ||
        (strcmp(suffix, ".part") && strcmp(suffix, ".partial")))
        return false;
    snprintf(hex, sizeof hex, "%.*s", DIGEST_HEX_LEN, name);
    return !digest_from_hex(hex, &digest) && keep(context, &digest);
}

int cache_parts_sweep(const struct cache *cache, cache_keep_fn keep, void *context, struct err *err)
{
    struct store_list list = {0};
    int ret = store_list(cache->files, "parts", &list, err);
    if (ret)
        return ret;
    for (size_t i = 0; i < list.n_names; i++)
        if (!is_kept(list.names[i], keep, context))
            unlinkat(cache->parts_fd, list.names[i], 0);
    store_list_release(&list);
    return 0;
}

/* One table's directory. */
static void sweep_table(const struct cache *cache, const char *table, cache_keep_version_fn keep,
                        void *context)
{
    char dir[CACHE_PATH_MAX];
    struct store_list list = {0};
    snprintf(dir, sizeof dir, "tables/%.128s", table);
    if (store_list(cache->files, dir, &list, NULL))
        return;
    for (size_t i = 0; i < list.n_names; i++) {
        char path[CACHE_PATH_MAX * 2];
        uint64_t id = strtoull(list.names[i], NULL, 10);
        if (id && keep(context, table, id))
            continue;
        snprintf(path, sizeof path, "%s/%.128s", dir, list.names[i]);
        store_remove_tree(cache->files, path, NULL);
    }
    store_list_release(&list);
}

int cache_versions_sweep(const struct cache *cache, cache_keep_version_fn keep, void *context,
                         struct err *err)
{
    struct store_list list = {0};
    int ret = store_list(cache->files, "tables", &list, err);
    if (ret)
        return ret;
    for (size_t i = 0; i < list.n_names; i++)
        sweep_table(cache, list.names[i], keep, context);
    store_list_release(&list);
    return 0;
}

/* Bytes that may still be written there, less what is kept back. */
static uint64_t free_bytes(const struct cache *cache)
{
    struct statvfs vfs;
    if (fstatvfs(cache->parts_fd, &vfs))
        return 0;
    uint64_t free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return free_bytes > CACHE_RESERVE ? free_bytes - CACHE_RESERVE : 0;
}

uint64_t cache_used(const struct cache *cache)
{
    return atomic_load(&cache->used);
}

void cache_measure(struct cache *cache)
{
    uint64_t used = 0;
    struct stat st;
    int fd = openat(cache->parts_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)))
        if (!fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
            used += (uint64_t)st.st_blocks * 512;
    closedir(dir);
    atomic_store(&cache->used, used);
}

uint64_t cache_capacity(const struct cache *cache, uint64_t limit)
{
    uint64_t held = cache_used(cache) + free_bytes(cache);
    return limit && limit < held ? limit : held;
}

int cache_check_room(struct cache *cache, uint64_t limit, uint64_t need, uint64_t *over,
                     struct err *err)
{
    *over = 0;
    if (need == 0)
        return 0;
    cache_measure(cache);
    uint64_t used = cache_used(cache);
    uint64_t capacity = cache_capacity(cache, limit);
    if (need <= capacity && used <= capacity - need)
        return 0;
    *over = used + need - capacity;
    return err_set(err, -ENOSPC,
                   "no room in the cache %s: %llu bytes are needed, %llu taken, %llu %s: over by "
                   "%llu",
                   cache->dir, (unsigned long long)need, (unsigned long long)used,
                   (unsigned long long)capacity,
                   capacity == limit ? "allowed (--cache-limit)" : "there is disk for",
                   (unsigned long long)*over);
}

int cache_state_get(const struct cache *cache, struct buf *out, struct err *err)
{
    return store_get(cache->files, "state.json", STATE_JSON_MAX, out, err);
}

int cache_state_put(const struct cache *cache, const void *json, size_t len, struct err *err)
{
    return store_put(cache->files, "state.json", json, len, err);
}
