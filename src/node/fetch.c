/* SPDX-License-Identifier: Apache-2.0 */
#include "node/fetch.h"

#include "base/scope.h"
#include "node/mismatch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_TRIES = 3,
    DIRECT_ALIGN = 4096,
};

/* Disk that stays free for others, and for the file system's own needs. */
#define SPACE_RESERVE (64ULL << 20)

/* One part on its way: where it comes from, where it goes, and the digest of what has passed. */
struct transfer {
    const struct fetch_job *job;
    const struct part_desc *part;
    char path[STORE_PATH_MAX];
    struct store_reader *reader;
    int fd;
    uint8_t *chunk; /* PART_CHUNK_LEN, aligned for direct writes */
    struct digest_state *digest;
};

static size_t chunk_len(const struct part_desc *part, uint32_t i)
{
    uint64_t left = part->len - (uint64_t)i * PART_CHUNK_LEN;
    return left < PART_CHUNK_LEN ? (size_t)left : PART_CHUNK_LEN;
}

static bool chunk_is_good(const struct transfer *transfer, uint32_t i, struct digest *found)
{
    digest_of(transfer->chunk, chunk_len(transfer->part, i), found);
    return digest_equal(found, &transfer->part->chunks[i]);
}

static int bad_chunk(const struct transfer *transfer, uint32_t i, const struct digest *found,
                     struct err *err)
{
    int ret = digest_mismatch(&transfer->part->chunks[i], found, err);
    return err_wrap(err, ret, "%s in the store: chunk %u of %u is corrupt", transfer->path, i,
                    transfer->part->n_chunks);
}

/* A chunk from the store; a bad one may have been damaged on the way and is read again. */
static int read_chunk(struct transfer *transfer, uint32_t i, struct err *err)
{
    const struct fetch_job *job = transfer->job;
    uint64_t off = (uint64_t)i * PART_CHUNK_LEN;
    size_t len = chunk_len(transfer->part, i);
    struct digest found = {{0}};
    for (int n = 0; n < CHUNK_TRIES; n++) {
        size_t n_read = 0;
        int ret = store_reader_read(transfer->reader, off, transfer->chunk, len, &n_read, err);
        if (ret)
            return ret;
        if (n_read != len)
            return err_set(err, -EBADMSG, "%s in the store: expected %zu bytes at %llu, found %zu",
                           transfer->path, len, (unsigned long long)off, n_read);
        atomic_fetch_add_explicit(job->fetched_bytes, len, memory_order_relaxed);
        if (chunk_is_good(transfer, i, &found))
            return 0;
        atomic_fetch_add_explicit(job->bad_chunks, 1, memory_order_relaxed);
    }
    return bad_chunk(transfer, i, &found, err);
}

/* Direct writes of whole pages leave the page cache alone and make the final fsync cheap; anything
 * else goes buffered. */
static int write_chunk(struct transfer *transfer, uint32_t i, struct err *err)
{
    off_t off = (off_t)i * PART_CHUNK_LEN;
    size_t len = chunk_len(transfer->part, i);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(transfer->fd, transfer->chunk + done, len - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        int flags = fcntl(transfer->fd, F_GETFL);
        bool is_direct = flags >= 0 && (flags & O_DIRECT);
        if (is_direct && ((n < 0 && errno == EINVAL) || (n > 0 && n % DIRECT_ALIGN))) {
            fcntl(transfer->fd, F_SETFL, flags & ~O_DIRECT);
            continue;
        }
        if (n < 0)
            return err_sys(err, -errno, "writing %s into the cache %s", transfer->path,
                           cache_dir(transfer->job->cache));
        done += (size_t)n;
    }
    return 0;
}

/* How many chunks from the front an earlier try left good. They join the digest. */
static int count_good_chunks(struct transfer *transfer, uint32_t *out)
{
    struct digest found;
    for (*out = 0; *out < transfer->part->n_chunks; (*out)++) {
        size_t len = chunk_len(transfer->part, *out);
        ssize_t n = pread(transfer->fd, transfer->chunk, len, (off_t)*out * PART_CHUNK_LEN);
        if (n != (ssize_t)len || !chunk_is_good(transfer, *out, &found))
            return 0;
        digest_state_update(transfer->digest, transfer->chunk, len);
        progress_add(transfer->job->progress, len);
        int ret = stop_check(&transfer->job->stop);
        if (ret)
            return ret;
    }
    return 0;
}

static int check_whole(const struct transfer *transfer, struct err *err)
{
    struct digest found;
    digest_state_finish(transfer->digest, &found);
    if (digest_equal(&found, &transfer->part->digest))
        return 0;
    int ret = digest_mismatch(&transfer->part->digest, &found, err);
    return err_wrap(err, ret,
                    "%s in the store: all chunks are as version.json says, but not the whole",
                    transfer->path);
}

static int run_transfer(struct transfer *transfer, struct err *err)
{
    const struct part_desc *part = transfer->part;
    uint32_t i = 0;
    int ret = count_good_chunks(transfer, &i);
    if (ret)
        return ret;
    if (ftruncate(transfer->fd, (off_t)i * PART_CHUNK_LEN))
        return err_sys(err, -errno, "%s in the cache", transfer->path);
    int flags = fcntl(transfer->fd, F_GETFL);
    if (flags >= 0)
        fcntl(transfer->fd, F_SETFL, flags | O_DIRECT); /* not everywhere; then buffered */
    for (; i < part->n_chunks; i++) {
        ret = stop_check(&transfer->job->stop);
        if (!ret)
            ret = read_chunk(transfer, i, err);
        if (!ret)
            ret = write_chunk(transfer, i, err);
        if (ret)
            return ret;
        digest_state_update(transfer->digest, transfer->chunk, chunk_len(part, i));
        progress_add(transfer->job->progress, chunk_len(part, i));
    }
    if (ftruncate(transfer->fd, (off_t)part->len))
        return err_sys(err, -errno, "%s in the cache", transfer->path);
    ret = check_whole(transfer, err);
    return ret ? ret : cache_partial_commit(transfer->job->cache, &part->digest, transfer->fd, err);
}

static int open_transfer(struct transfer *transfer, struct err *err)
{
    const struct fetch_job *job = transfer->job;
    int ret = store_reader_open(job->store, transfer->path, &transfer->reader, err);
    if (ret)
        return ret;
    uint64_t len = store_reader_len(transfer->reader);
    if (len != transfer->part->len)
        return err_set(err, -EBADMSG, "%s in the store: expected %llu bytes, found %llu",
                       transfer->path, (unsigned long long)transfer->part->len,
                       (unsigned long long)len);
    transfer->fd = cache_partial_open(job->cache, &transfer->part->digest, err);
    return transfer->fd < 0 ? transfer->fd : 0;
}

static int fetch_part(const struct fetch_job *job, const struct part_desc *part, uint8_t *chunk,
                      struct digest_state *digest, struct err *err)
{
    char name[PART_FILE_NAME_MAX];
    struct transfer transfer = {
        .job = job, .part = part, .fd = -1, .chunk = chunk, .digest = digest};
    part_file_name(part, name);
    snprintf(transfer.path, sizeof transfer.path, "tables/%s/v/%llu/parts/%s", job->table,
             (unsigned long long)job->id, name);
    digest_state_reset(digest);
    int ret = open_transfer(&transfer, err);
    if (!ret)
        ret = run_transfer(&transfer, err);
    if (transfer.fd >= 0)
        close(transfer.fd);
    store_reader_close(transfer.reader);
    return ret;
}

/* Refuses before the first byte what would not fit. */
static int check_space(const struct fetch_job *job, const struct version_desc *desc,
                       struct err *err)
{
    uint64_t need = 0;
    uint64_t there = 0;
    uint64_t free_bytes = 0;
    for (size_t i = 0; i < desc->n_parts; i++) {
        const struct part_desc *part = &desc->parts[i];
        if (cache_part_is_there(job->cache, &part->digest, part->len))
            continue;
        need += part->len;
        there += cache_partial_len(job->cache, &part->digest);
    }
    need = need > there ? need - there : 0;
    if (need == 0)
        return 0;
    int ret = cache_free_bytes(job->cache, &free_bytes, err);
    if (ret || free_bytes >= need + SPACE_RESERVE)
        return ret;
    return err_set(err, -ENOSPC,
                   "disk full: %s version %llu needs %llu bytes in the cache %s, free are %llu of "
                   "which %llu are kept back: over by %llu",
                   job->table, (unsigned long long)job->id, (unsigned long long)need,
                   cache_dir(job->cache), (unsigned long long)free_bytes,
                   (unsigned long long)SPACE_RESERVE,
                   (unsigned long long)(need + SPACE_RESERVE - free_bytes));
}

static int fetch_parts(const struct fetch_job *job, const struct version_desc *desc,
                       struct err *err)
{
    scope_free uint8_t *chunk = aligned_alloc(DIRECT_ALIGN, PART_CHUNK_LEN);
    struct digest_state *digest = digest_state_new();
    int ret = chunk && digest ? 0 : err_sys(err, -ENOMEM, "a chunk of %d bytes", PART_CHUNK_LEN);
    progress_begin(job->progress, version_desc_len(desc));
    for (size_t i = 0; i < desc->n_parts && !ret; i++) {
        const struct part_desc *part = &desc->parts[i];
        if (cache_part_is_there(job->cache, &part->digest, part->len))
            progress_add(job->progress, part->len);
        else
            ret = fetch_part(job, part, chunk, digest, err);
    }
    digest_state_free(digest);
    return ret;
}

/* version.json from the store, believed only when it is the one the manifest names. */
static int get_json(const struct fetch_job *job, const char *path, struct buf *json,
                    struct err *err)
{
    struct digest found;
    int ret = store_get(job->store, path, VERSION_JSON_MAX, json, err);
    if (ret)
        return ret;
    digest_of(json->data, json->len, &found);
    if (digest_equal(&found, &job->digest))
        return 0;
    ret = digest_mismatch(&job->digest, &found, err);
    return err_wrap(err, ret, "%s in the store is not the one from the manifest", path);
}

int fetch_version(const struct fetch_job *job, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct buf json = {0};
    struct version_desc desc = {0};
    snprintf(path, sizeof path, "tables/%s/v/%llu/version.json", job->table,
             (unsigned long long)job->id);
    int ret = get_json(job, path, &json, err);
    if (!ret)
        ret = version_desc_decode(json.data, json.len, path, &desc, err);
    if (!ret && job->expect)
        job->expect(job->expect_context, &desc);
    if (!ret)
        ret = check_space(job, &desc, err);
    if (!ret)
        ret = fetch_parts(job, &desc, err);
    if (!ret)
        ret = cache_version_put(job->cache, job->table, job->id, json.data, json.len, err);
    version_desc_release(&desc);
    buf_release(&json);
    return ret;
}
