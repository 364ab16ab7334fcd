/* SPDX-License-Identifier: Apache-2.0 */
#include "node/fetch.h"

#include "base/scope.h"
#include "node/mismatch.h"
#include "node/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parts that are not here, each digest once. */
struct missing {
    const struct part_desc **parts;
    size_t n_parts;
    uint64_t len; /* bytes still to be had: without what is here of them */
};

static int by_digest(const void *a, const void *b)
{
    const struct part_desc *x = *(const struct part_desc *const *)a;
    const struct part_desc *y = *(const struct part_desc *const *)b;
    return memcmp(&x->digest, &y->digest, sizeof x->digest);
}

/* In the order of version.json again: part_desc lie in one array. */
static int by_place(const void *a, const void *b)
{
    const struct part_desc *x = *(const struct part_desc *const *)a;
    const struct part_desc *y = *(const struct part_desc *const *)b;
    return (x > y) - (x < y);
}

static int find_missing(const struct fetch_job *job, const struct version_desc *desc,
                        struct missing *out, struct err *err)
{
    size_t n = 0;
    out->parts = calloc(desc->n_parts ? desc->n_parts : 1, sizeof(const struct part_desc *));
    if (!out->parts)
        return err_sys(err, -ENOMEM, "%zu parts", desc->n_parts);
    for (size_t i = 0; i < desc->n_parts; i++)
        if (!cache_part_is_there(job->cache, &desc->parts[i].digest, desc->parts[i].len))
            out->parts[n++] = &desc->parts[i];
    qsort(out->parts, n, sizeof *out->parts, by_digest);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_digest(&out->parts[i - 1], &out->parts[i]))
            out->parts[out->n_parts++] = out->parts[i];
    qsort(out->parts, out->n_parts, sizeof *out->parts, by_place);
    for (size_t i = 0; i < out->n_parts; i++) {
        uint64_t there = cache_partial_len(job->cache, &out->parts[i]->digest);
        out->len += out->parts[i]->len > there ? out->parts[i]->len - there : 0;
    }
    return 0;
}

static int transfer_missing(const struct fetch_job *job, const struct version_desc *desc,
                            const struct missing *missing, struct err *err)
{
    char dir[STORE_PATH_MAX];
    uint64_t len = 0;
    snprintf(dir, sizeof dir, "tables/%s/v/%llu/parts", job->table, (unsigned long long)job->id);
    const struct transfer_job transfer = {
        .store = job->store,
        .cache = job->cache,
        .dir = dir,
        .parts = missing->parts,
        .n_parts = missing->n_parts,
        .limiter = job->limiter,
        .stop = &job->stop,
        .progress = job->progress,
        .fetched_bytes = job->fetched_bytes,
        .bad_chunks = job->bad_chunks,
    };
    for (size_t i = 0; i < missing->n_parts; i++)
        len += missing->parts[i]->len;
    progress_begin(job->progress, version_desc_len(desc));
    progress_add(job->progress, version_desc_len(desc) - len);
    int ret = transfer_run(&transfer, err);
    return ret ? ret : cache_parts_sync(job->cache, err);
}

static int fetch_parts(const struct fetch_job *job, const struct version_desc *desc,
                       struct err *err)
{
    struct missing missing = {0};
    int ret = find_missing(job, desc, &missing, err);
    if (!ret)
        ret = job->make_room(job->context, missing.len, err);
    if (!ret)
        ret = transfer_missing(job, desc, &missing, err);
    free(missing.parts);
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
        job->expect(job->context, &desc);
    if (!ret)
        ret = fetch_parts(job, &desc, err);
    if (!ret)
        ret = cache_version_put(job->cache, job->table, job->id, json.data, json.len, err);
    version_desc_release(&desc);
    buf_release(&json);
    return ret;
}
