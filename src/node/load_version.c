/* SPDX-License-Identifier: Apache-2.0 */
#include "node/load_version.h"

#include "base/scope.h"
#include "io/load.h"
#include "node/mismatch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct loading {
    const struct part_desc *part;
    const char *name;
    const struct stop *stop;
    struct progress *progress;
    bool is_corrupt;
};

static int check_chunk(void *context, uint64_t off, const void *data, size_t len, struct err *err)
{
    struct loading *loading = context;
    int ret = stop_check(loading->stop);
    if (ret)
        return ret;
    uint64_t i = off / PART_CHUNK_LEN;
    struct digest found;
    digest_of(data, len, &found);
    if (digest_equal(&found, &loading->part->chunks[i])) {
        progress_add(loading->progress, len);
        return 0;
    }
    loading->is_corrupt = true;
    ret = digest_mismatch(&loading->part->chunks[i], &found, err);
    return err_wrap(err, ret, "chunk %llu of %u is corrupt", (unsigned long long)i,
                    loading->part->n_chunks);
}

/* The part's bytes, checked, in memory. */
static int read_part(const struct version *cached, size_t i, struct loading *loading,
                     struct memory *memory, struct err *err)
{
    const struct version_files *files = cached->files;
    scope_fd int fd = version_part_open(cached, i);
    int ret = fd < 0 ? err_sys(err, fd, "opening it") : 0;
    if (!ret)
        ret = load_file(fd, "it", loading->part->len, PART_CHUNK_LEN, check_chunk, loading, memory,
                        err);
    if (ret == -ENOENT || ret == -ENODATA || loading->is_corrupt) {
        cache_part_remove(files->cache, &loading->part->digest);
        err_wrap(err, ret, "%s in the cache %s", loading->name, cache_dir(files->cache));
        if (err)
            err->code = -EUCLEAN;
        return -EUCLEAN;
    }
    if (ret)
        err_wrap(err, ret, "%s in the cache %s", loading->name, cache_dir(files->cache));
    return ret;
}

/* A part of a `mem` table. */
static int load_whole(const struct version *cached, size_t i, struct loading *loading,
                      struct loaded_part *made, struct err *err)
{
    int ret = read_part(cached, i, loading, &made->memory, err);
    if (ret)
        return ret;
    ret = memory_protect(&made->memory);
    if (ret)
        return err_sys(err, ret, "%s: making its memory read-only", loading->name);
    return part_open(made->memory.data, made->memory.len, loading->name, &made->view, err);
}

/* A part of a `blk` or `idx` table. */
static int load_tail(const struct version *cached, struct loading *loading,
                     struct loaded_part *made, struct err *err)
{
    const struct version_files *files = cached->files;
    const struct disk_part_job job = {
        .cache = files->cache,
        .schema = &files->desc.schema,
        .part = loading->part,
        .stop = loading->stop,
        .progress = loading->progress,
    };
    int ret =
        disk_part_open(part_memory_disk(cached->registry), &job, &made->memory, &made->disk, err);
    if (ret)
        err_wrap(err, ret, "%s in the cache %s", loading->name, cache_dir(files->cache));
    return ret;
}

static int load_part(const struct version *cached, size_t i, const struct stop *stop,
                     struct progress *progress, struct loaded_part **out, struct err *err)
{
    const struct version_files *files = cached->files;
    struct loading loading = {
        .part = &files->desc.parts[i], .name = files->names[i], .stop = stop, .progress = progress};
    struct loaded_part made = {.digest = loading.part->digest};
    *out = part_memory_hold(cached->registry, &made.digest);
    if (*out) {
        progress_add(progress, part_memory_len(loading.part));
        return 0;
    }
    int ret = files->desc.schema.kind == KIND_MEM ? load_whole(cached, i, &loading, &made, err)
                                                  : load_tail(cached, &loading, &made, err);
    if (!ret)
        ret = part_memory_add(cached->registry, &made, out, err);
    if (ret)
        loaded_part_release(&made);
    return ret;
}

int load_version(const struct version *cached, const struct stop *stop, struct progress *progress,
                 struct version **out, struct err *err)
{
    const struct version_desc *desc = &cached->files->desc;
    struct loaded_part **parts = calloc(desc->n_parts, sizeof(struct loaded_part *));
    if (!parts)
        return err_sys(err, -ENOMEM, "%zu parts", desc->n_parts);
    uint64_t len = 0;
    for (size_t i = 0; i < desc->n_parts; i++)
        len += part_memory_len(&desc->parts[i]);
    progress_begin(progress, len);
    int ret = 0;
    for (size_t i = 0; i < desc->n_parts && !ret; i++)
        ret = load_part(cached, i, stop, progress, &parts[i], err);
    if (!ret)
        return version_new_loaded(cached, parts, out, err);
    for (size_t i = 0; i < desc->n_parts; i++)
        part_memory_release(cached->registry, parts[i]);
    free(parts);
    return ret;
}
