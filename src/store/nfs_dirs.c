/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_dirs.h"

#include <stdlib.h>
#include <string.h>

static struct nfs_dir_entry *entry_of(const struct nfs_dirs *dirs, const char *path, size_t len)
{
    for (unsigned i = 0; i < NFS_DIRS_MAX; i++) {
        const char *name = dirs->entries[i].path;
        if (name && strncmp(name, path, len) == 0 && name[len] == '\0')
            return (struct nfs_dir_entry *)&dirs->entries[i];
    }
    return NULL;
}

static void entry_free(struct nfs_dir_entry *entry)
{
    free(entry->path);
    entry->path = NULL;
}

bool nfs_dirs_find(const struct nfs_dirs *dirs, const char *path, size_t len,
                   struct nfs_handle *out)
{
    const struct nfs_dir_entry *entry = entry_of(dirs, path, len);
    if (!entry || nfs_now_ns() - entry->found_ns > NFS_DIRS_LIMIT_NS)
        return false;
    *out = entry->handle;
    return true;
}

void nfs_dirs_keep(struct nfs_dirs *dirs, const char *path, size_t len,
                   const struct nfs_handle *handle)
{
    struct nfs_dir_entry *entry = entry_of(dirs, path, len);
    if (!entry) {
        char *copy = strndup(path, len);
        if (!copy)
            return;
        entry = &dirs->entries[dirs->next++ % NFS_DIRS_MAX];
        entry_free(entry);
        entry->path = copy;
    }
    entry->handle = *handle;
    entry->found_ns = nfs_now_ns();
}

void nfs_dirs_drop(struct nfs_dirs *dirs, const char *path)
{
    size_t len = strlen(path);
    for (unsigned i = 0; i < NFS_DIRS_MAX; i++) {
        const char *name = dirs->entries[i].path;
        if (name && strncmp(name, path, len) == 0 && (name[len] == '\0' || name[len] == '/'))
            entry_free(&dirs->entries[i]);
    }
}

void nfs_dirs_forget(struct nfs_dirs *dirs)
{
    for (unsigned i = 0; i < NFS_DIRS_MAX; i++)
        entry_free(&dirs->entries[i]);
}
