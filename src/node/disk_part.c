/* SPDX-License-Identifier: Apache-2.0 */
#include "node/disk_part.h"

#include "base/scope.h"
#include "format/part_fit.h"
#include "node/dictionaries.h"
#include "node/part_chunk.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Less is all for blocks. */
#define CACHE_SPLIT_MIN (16ULL << 20)

struct disk_parts {
    struct disk_shared shared;
    struct dictionaries dictionaries;
    _Atomic uint64_t last_serial;
    _Atomic uint64_t n_open;
};

/* A part, and who it belongs to. */
struct owned_part {
    struct disk_part part;
    struct disk_parts *owner;
    struct shared_dictionary *dictionary;
};

_Static_assert(offsetof(struct owned_part, part) == 0, "disk_part_close() casts");

static uint64_t bytes_of_values(uint64_t max_bytes, unsigned percent)
{
    uint64_t bytes = max_bytes >= CACHE_SPLIT_MIN ? max_bytes / 100 * percent : 0;
    return bytes >= VALUE_CACHE_MIN ? bytes : 0;
}

static int make_caches(struct disk_shared *shared, uint64_t max_bytes, unsigned values_percent,
                       struct err *err)
{
    uint64_t of_values = bytes_of_values(max_bytes, values_percent);
    uint64_t of_blocks = values_percent == 100 && of_values ? 0 : max_bytes - of_values;
    int ret = 0;
    if (of_values)
        ret = value_cache_new(of_values, &shared->values, err);
    if (!ret && of_blocks >= BLOCK_CACHE_MIN)
        ret = block_cache_new(of_blocks, &shared->cache, err);
    return ret;
}

int disk_parts_new(uint64_t block_cache, unsigned values_percent, struct disk_parts **out,
                   struct err *err)
{
    struct disk_parts *parts = calloc(1, sizeof *parts);
    if (!parts)
        return err_sys(err, -ENOMEM, "the parts on disk");
    dictionaries_init(&parts->dictionaries);
    int ret = make_caches(&parts->shared, block_cache, values_percent, err);
    if (ret) {
        disk_parts_free(parts);
        return ret;
    }
    *out = parts;
    return 0;
}

void disk_parts_free(struct disk_parts *parts)
{
    if (!parts)
        return;
    if (parts->shared.cache)
        block_cache_free(parts->shared.cache);
    if (parts->shared.values)
        value_cache_free(parts->shared.values);
    dictionaries_release(&parts->dictionaries);
    free(parts);
}

struct disk_shared *disk_parts_shared(struct disk_parts *parts)
{
    return &parts->shared;
}

uint64_t disk_parts_n_open(struct disk_parts *parts)
{
    return atomic_load(&parts->n_open);
}

/* ---- opening ---- */

static int check_stop(void *context, uint64_t off, const void *data, size_t len, struct err *err)
{
    const struct disk_part_job *job = context;
    int ret = stop_check(job->stop);
    if (!ret)
        progress_add(job->progress, len);
    return ret;
}

/* The footer must be that of this very part: all else about the tail follows from it. */
static int check_footer(const struct disk_part_job *job, const struct reader_file *file,
                        struct err *err)
{
    const struct part_desc *part = job->part;
    struct memory footer = {0};
    struct paged_info info = {0};
    uint64_t tail_off = 0;
    int ret = load_range(file->fd, "its footer", part->len - PART_FOOTER_LEN, PART_FOOTER_LEN,
                         PART_FOOTER_LEN, NULL, NULL, &footer, err);
    if (ret)
        return ret;
    ret = paged_tail(footer.data, part->len, "it", &tail_off, &info, err);
    memory_release(&footer);
    if (!ret)
        ret = part_fit(job->schema, &info.part, part->level, part->shard, err);
    if (ret)
        return ret;
    enum paged_kind kind = job->schema->kind == KIND_BLK ? PAGED_BLK : PAGED_IDX;
    if (info.kind != kind)
        return err_set(err, -EBADMSG, "it is no part of a %s table",
                       table_kind_name(job->schema->kind));
    if (part->len - tail_off != part->tail_len || info.part.n_keys != part->n_keys ||
        info.part.n_tombstones != part->n_tombstones)
        return err_set(
            err, -EBADMSG,
            "expected a tail of %llu bytes, %llu keys and %llu tombstones as "
            "version.json says, found %llu, %llu and %llu",
            (unsigned long long)part->tail_len, (unsigned long long)part->n_keys,
            (unsigned long long)part->n_tombstones, (unsigned long long)(part->len - tail_off),
            (unsigned long long)info.part.n_keys, (unsigned long long)info.part.n_tombstones);
    return 0;
}

static int read_tail(const struct disk_part_job *job, struct disk_part *part, struct memory *tail,
                     struct err *err)
{
    const struct part_desc *desc = job->part;
    int ret = load_range(part->file.fd, "its tail", desc->len - desc->tail_len, desc->tail_len,
                         PART_CHUNK_LEN, check_stop, (void *)job, tail, err);
    if (!ret && (ret = memory_protect(tail)))
        err_sys(err, ret, "making the tail's memory read-only");
    if (!ret && job->schema->kind == KIND_BLK)
        ret = blk_open(tail->data, tail->len, desc->len, "it", &part->blk, err);
    else if (!ret)
        ret = idx_open(tail->data, tail->len, desc->len, "it", &part->idx, err);
    return ret;
}

static int take_dictionary(struct owned_part *owned, struct err *err)
{
    struct disk_part *part = &owned->part;
    struct paged_bytes bytes = part->blk ? blk_dictionary(part->blk) : idx_dictionary(part->idx);
    int ret = dictionaries_hold(&owned->owner->dictionaries, bytes.data, bytes.len,
                                &owned->dictionary, err);
    if (!ret && owned->dictionary)
        part->dictionary = owned->dictionary->dictionary;
    return ret;
}

/* A tail that is no good: is it what was published? 0 then. */
static int check_tail_chunks(const struct disk_part_job *job, const struct reader_file *file,
                             struct err *err)
{
    const struct part_desc *part = job->part;
    struct memory chunk = {0};
    int ret = memory_alloc(PART_CHUNK_LEN, &chunk, err);
    for (uint64_t i = (part->len - part->tail_len) / PART_CHUNK_LEN; !ret && i < part->n_chunks;
         i++) {
        ret = stop_check(job->stop);
        if (!ret)
            ret = part_chunk_check(file, part, (uint32_t)i, chunk.data, err);
    }
    memory_release(&chunk);
    return ret;
}

static int open_file(const struct disk_part_job *job, struct reader_file *file, struct err *err)
{
    struct reader_file opened = {.fd = -1};
    int ret = cache_part_open_blocks(job->cache, &job->part->digest, &opened, err);
    if (ret == -ENOENT)
        return err_set(err, -EUCLEAN, "the file is gone");
    if (ret)
        return ret;
    *file = opened;
    if (opened.len == job->part->len)
        return 0;
    return err_set(err, -EUCLEAN, "expected a file of %llu bytes, found %llu",
                   (unsigned long long)job->part->len, (unsigned long long)opened.len);
}

static int open_part(const struct disk_part_job *job, struct owned_part *owned, struct memory *tail,
                     struct err *err)
{
    struct disk_part *part = &owned->part;
    struct err damage = {0};
    int ret = open_file(job, &part->file, err);
    if (ret)
        return ret;
    ret = check_footer(job, &part->file, err);
    if (!ret)
        ret = read_tail(job, part, tail, err);
    if (!ret)
        return take_dictionary(owned, err);
    if (ret != -EBADMSG && ret != -ENOTSUP && ret != -ENODATA)
        return ret;
    int found = check_tail_chunks(job, &part->file, &damage);
    if (found != -EBADMSG && found != -ENODATA)
        return found ? found : ret;
    return err_set(err, -EUCLEAN, "%s", err_text(&damage, found));
}

int disk_part_open(struct disk_parts *parts, const struct disk_part_job *job, struct memory *tail,
                   struct disk_part **out, struct err *err)
{
    struct memory memory = {0};
    struct owned_part *owned = calloc(1, sizeof *owned);
    if (!owned)
        return err_sys(err, -ENOMEM, "one more part on disk");
    owned->owner = parts;
    owned->part.file.fd = -1;
    owned->part.serial = atomic_fetch_add(&parts->last_serial, 1) + 1;
    atomic_fetch_add(&parts->n_open, 1);
    int ret = open_part(job, owned, &memory, err);
    if (ret) {
        disk_part_close(&owned->part);
        memory_release(&memory);
        if (ret == -EUCLEAN)
            cache_part_demote(job->cache, &job->part->digest);
        return ret;
    }
    *tail = memory;
    *out = &owned->part;
    return 0;
}

void disk_part_close(struct disk_part *part)
{
    if (!part)
        return;
    struct owned_part *owned = (struct owned_part *)part;
    struct disk_parts *parts = owned->owner;
    blk_free(part->blk);
    idx_free(part->idx);
    dictionaries_let_go(&parts->dictionaries, owned->dictionary);
    if (part->file.fd >= 0) {
        close(part->file.fd);
        atomic_fetch_add(&parts->shared.n_closed, 1);
        if (parts->shared.cache)
            block_cache_drop_file(parts->shared.cache, part->serial);
    }
    atomic_fetch_sub(&parts->n_open, 1);
    free(owned);
}
