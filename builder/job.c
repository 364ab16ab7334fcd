/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/job.h"

#include "builder/input.h"
#include "format/block_layout.h"
#include "manifest/name.h"

#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

static int inputs_check(const struct job *job, struct err *err)
{
    if (job->n_inputs == 0)
        return err_set(err, -EINVAL, "no input: expected at least one file");
    if (job->n_inputs > INPUTS_MAX)
        return err_set(err, -E2BIG, "%zu inputs: expected at most %d files a build", job->n_inputs,
                       (int)INPUTS_MAX);
    for (size_t i = 0; i < job->n_inputs; i++) {
        enum input_format format = INPUT_AUTO;
        int ret = input_format_of(job->inputs[i], job->format, &format, err);
        if (ret)
            return ret;
    }
    return 0;
}

static int columns_check(const struct job *job, struct err *err)
{
    struct input_options options = {
        .header = job->header, .key_column = job->key_column, .value_column = job->value_column};
    for (size_t i = 0; i < job->n_inputs; i++) {
        enum input_format format = INPUT_AUTO;
        int ret = input_format_of(job->inputs[i], job->format, &format, err);
        if (!ret)
            ret = input_columns_check(&options, format, err);
        if (ret)
            return ret;
    }
    return 0;
}

static int schema_part_check(const struct job *job, struct err *err)
{
    /* A delta that names no shape takes its base's. */
    if (job->is_delta && !job->schema.kind)
        return 0;
    struct schema schema = job->schema;
    if (schema.n_shards == 0)
        schema.n_shards = 1;
    return schema_check(&schema, err);
}

/* What is to be compared with the base, and how. */
static int compare_check(const struct job *job, struct err *err)
{
    if (job->diff_base && !job->is_delta)
        return err_set(err, -EINVAL, "--diff-base: only a delta is compared with its base");
    if (job->diff_base && job->tombstones_file_mode)
        return err_set(err, -EINVAL,
                       "--diff-base: the rows are the whole table, so none deletes its key; what "
                       "they leave out is deleted");
    if (!(job->min_distance >= 0 && job->min_distance <= DBL_MAX))
        return err_set(err, -EINVAL, "--min-distance: expected a number from 0 up, found %g",
                       job->min_distance);
    if (job->min_distance > 0 && !job->is_delta)
        return err_set(err, -EINVAL,
                       "--min-distance: a full version holds every vector; it goes with --delta "
                       "or --diff-base");
    return 0;
}

/* A delta that names no kind may turn out to be of any. */
static int storing_check(const struct job *job, struct err *err)
{
    enum table_kind kind = job->schema.kind;
    if (kind == KIND_MEM && (job->compress == COMPRESS_ZSTD || job->block_pages))
        return err_set(err, -EINVAL,
                       "%s: a table of kind mem has neither blocks nor compressed values; build "
                       "it with --kind blk or idx",
                       job->block_pages ? "--block-pages" : "--compress");
    if (job->no_filter &&
        (kind == KIND_MEM || (kind == KIND_IDX && job->schema.key_type == KEY_U64)))
        return err_set(err, -EINVAL,
                       "--no-filter: only a table of kind blk, or idx of bytes keys, has a filter");
    if (job->compress_level < 0 || job->compress_level > 19)
        return err_set(err, -EINVAL, "--compress: expected a level of 1 to 19, found %d",
                       job->compress_level);
    if (job->block_pages > BLOCK_SHORT_PAGES)
        return err_set(err, -EINVAL, "--block-pages: expected at most %d, found %u",
                       (int)BLOCK_SHORT_PAGES, job->block_pages);
    return 0;
}

int job_check(const struct job *job, struct err *err)
{
    if (!job->table)
        return err_set(err, -EINVAL, "no table name");
    int ret = table_name_check(job->table, err);
    if (!ret && job->task)
        ret = task_name_check(job->task, err);
    if (!ret)
        ret = inputs_check(job, err);
    if (!ret)
        ret = columns_check(job, err);
    if (!ret)
        ret = schema_part_check(job, err);
    if (ret)
        return ret;
    ret = storing_check(job, err);
    if (!ret)
        ret = compare_check(job, err);
    if (ret)
        return ret;
    if (job->memory < JOB_MEMORY_MIN)
        return err_set(err, -EINVAL, "--memory: expected at least %llu MiB, found %llu bytes",
                       JOB_MEMORY_MIN >> 20, (unsigned long long)job->memory);
    if (job->n_threads > THREADS_MAX)
        return err_set(err, -EINVAL, "--threads: expected at most %d, found %u", (int)THREADS_MAX,
                       job->n_threads);
    if (!job->is_delta && job->base)
        return err_set(err, -EINVAL, "a base version (%llu) is given, but the build is no delta",
                       (unsigned long long)job->base);
    if (!job->is_delta && job->tombstones_file_mode)
        return err_set(err, -EINVAL, "rows that delete keys belong to a delta, not a full build");
    return 0;
}
