/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_impl: how versions are made; for src/node/ and its tests only.
 *
 * Threads, Memory: as in version.h. A version made here has one pin, the maker's.
 * Errors: -EBADMSG when the cached version.json is not the one of that digest, -ENOENT when it is
 * not there, -ENOMEM.
 */
#ifndef FKV_NODE_VERSION_IMPL_H
#define FKV_NODE_VERSION_IMPL_H

#include "format/version.h"
#include "node/cache.h"
#include "node/current.h"
#include "node/disk_table.h"
#include "node/part_memory.h"
#include "node/version.h"

/* What the cached and the loaded form of a version share. */
struct version_files {
    struct counted counted;
    const struct cache *cache;
    struct digest digest; /* of json */
    struct buf json;
    struct version_desc desc;
    char (*names)[PART_FILE_NAME_MAX]; /* desc.n_parts */
    struct timespec time;
    uid_t uid;
    gid_t gid;
    bool owner_unknown; /* to this host, or its group: uid and gid are the daemon's own */
};

struct version {
    struct counted counted; /* first: current.h hands out pointers to it */
    struct grave grave;
    struct version_files *files;
    struct part_memory *registry;
    struct mem_table *mem; /* both NULL: only cached */
    struct disk_table *disk;
    struct loaded_part **parts; /* as desc.parts; NULL: only cached */
    uint64_t memory;
};

/* A cached version, from version.json in the cache. cache and registry outlive it. */
int version_new_cached(const struct cache *cache, struct part_memory *registry,
                       const char *table_name, uint64_t id, const struct digest *digest,
                       struct version **out, struct err *err);

/* The loaded form of a cached version. parts: desc.n_parts held parts; takes the array and the
 * holds over, on failure too. */
int version_new_loaded(const struct version *cached, struct loaded_part **parts,
                       struct version **out, struct err *err);

/* What a part keeps in memory: all of it, or its tail. */
static inline uint64_t part_memory_len(const struct part_desc *part)
{
    return part->tail_len ? part->tail_len : part->len;
}

static inline struct version *version_of(struct counted *counted)
{
    return (struct version *)counted;
}

#endif
