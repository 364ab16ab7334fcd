/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_reduce.h"

#include "base/scope.h"
#include "builder/figures_json.h"
#include "builder/join_totals.h"
#include "builder/merge.h"
#include "builder/plan.h"
#include "builder/seal.h"
#include "builder/task_shape.h"
#include "builder/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One group under way. */
struct reducing {
    const struct task *task;
    const struct task_plan *plan;
    struct task_work *work;
    uint32_t group;
    struct job job;       /* with the memory of one worker */
    struct schema schema; /* with its shards */
    struct task_shape shape;
    struct delta_base base;
    struct spill_files files;
    struct spill *spills; /* of each piece */
    uint32_t n_spills;
    struct map_output runs; /* of all spills; only runs and totals are used */
    struct scratch scratch;
    struct reduce_plan share;
    struct level_params level;
    struct part_desc *parts; /* of each shard */
};

/* ---- the marker ---- */

static json_t *reduced_encode(struct task_work *work, const struct task_reduced *r)
{
    json_t *out = task_work_stamp(work);
    if (out &&
        (json_put(out, "part", part_desc_encode(&r->part)) ||
         json_put_u64(out, "duplicates", r->totals.n_duplicates) ||
         json_put_u64(out, "values_bytes", r->totals.values_len) ||
         json_put_u64(out, "stored_bytes", r->totals.values_stored_len) ||
         json_put_u64(out, "added", r->n_added) || json_put_u64(out, "removed", r->n_removed) ||
         json_put(out, "compared", join_totals_encode(&r->totals.join)) ||
         json_put(out, "figures", figures_encode(&r->figures)))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static int reduced_decode(struct json_at at, uint32_t shard, struct task_reduced *r,
                          struct err *err)
{
    const json_t *part = NULL;
    const json_t *join = NULL;
    const json_t *figures = NULL;
    int ret = 0;
    if ((ret = json_get_object(at, "part", &part, err)) ||
        (ret = part_desc_decode((struct json_at){part, at.name}, &r->part, err)) ||
        (ret = json_get_u64(at, "duplicates", INT64_MAX, &r->totals.n_duplicates, err)) ||
        (ret = json_get_u64(at, "values_bytes", INT64_MAX, &r->totals.values_len, err)) ||
        (ret = json_get_u64(at, "stored_bytes", INT64_MAX, &r->totals.values_stored_len, err)) ||
        (ret = json_get_u64(at, "added", INT64_MAX, &r->n_added, err)) ||
        (ret = json_get_u64(at, "removed", INT64_MAX, &r->n_removed, err)) ||
        (ret = json_get_object(at, "compared", &join, err)) ||
        (ret = join_totals_decode((struct json_at){join, at.name}, &r->totals.join, err)) ||
        (ret = json_get_object(at, "figures", &figures, err)) ||
        (ret = figures_decode((struct json_at){figures, at.name}, &r->figures, err)))
        return ret;
    if (r->part.shard != shard)
        return err_set(err, -EBADMSG, "%s: expected shard %" PRIu32 ", found %" PRIu32, at.name,
                       shard, r->part.shard);
    return 0;
}

int task_reduced_get(const struct task *task, uint32_t shard, struct task_reduced *out,
                     struct err *err)
{
    scope_json json_t *json = NULL;
    char file[TASK_FILE_MAX];
    struct err why = {0};
    *out = (struct task_reduced){0};
    task_marker_name(STAGE_REDUCE, shard, file);
    int ret = task_get(task, file, &json, &why);
    if (ret == -ENOENT)
        return 0;
    if (ret)
        return err_set(err, ret, "%s", err_text(&why, ret));
    ret = reduced_decode((struct json_at){json, file}, shard, out, err);
    if (ret)
        task_reduced_release(out);
    return ret ? ret : 1;
}

void task_reduced_release(struct task_reduced *reduced)
{
    free(reduced->part.chunks);
    *reduced = (struct task_reduced){0};
}

/* ---- opening what the group needs ---- */

static int runs_append(struct map_output *to, const struct spill *spill, struct err *err)
{
    size_t n = to->n_runs + spill->n_runs;
    struct run *runs = realloc(to->runs, (n + 1) * sizeof *runs);
    if (!runs)
        return err_sys(err, -ENOMEM, "%zu sorted runs", n);
    to->runs = runs;
    for (uint32_t i = 0; i < spill->n_runs; i++)
        runs[to->n_runs++] = spill->runs[i];
    return 0;
}

/* What the checksums of all spills take is not there for reading. */
static void memory_take(struct reducing *r, uint64_t len)
{
    uint64_t left = r->job.memory > len ? r->job.memory - len : 0;
    r->job.memory = left > JOB_MEMORY_MIN ? left : JOB_MEMORY_MIN;
}

/* The runs move to r->runs, which frees them. */
static int spills_open(struct reducing *r, struct err *err)
{
    uint32_t n = r->plan->n_pieces;
    uint32_t n_open = spill_files_share(task_plan_threads(r->plan->spec));
    r->spills = calloc((size_t)n + 1, sizeof *r->spills);
    if (!r->spills)
        return err_sys(err, -ENOMEM, "opening the runs of %" PRIu32 " pieces", n);
    int ret = spill_files_init(&r->files, n_open < n ? n_open : n, err);
    for (; !ret && r->n_spills < n; r->n_spills++) {
        const struct task_mapped *mapped = &r->shape.mapped[r->n_spills];
        struct spill *spill = &r->spills[r->n_spills];
        char path[STORE_PATH_MAX];
        ret = task_path(r->task, mapped->file, path, err);
        if (!ret)
            ret = spill_open(spill, r->task->store, path, &mapped->digest, err);
        if (ret)
            return ret;
        spill_files_add(&r->files, spill);
        buf_release(&spill->tail);
        memory_take(r, spill->n_blocks * sizeof *spill->digests);
        ret = runs_append(&r->runs, spill, err);
        if (!ret)
            spill->n_runs = 0;
        if (ret) {
            spill_close(spill);
            return ret;
        }
    }
    r->runs.totals = r->shape.totals;
    return ret;
}

/* Fewer, longer runs when there are too many to read side by side: of this group's shards only. */
static int runs_merge_down(struct reducing *r, struct err *err)
{
    struct task_group group = task_plan_group(r->plan, r->group, r->schema.n_shards);
    struct merge_range range = {merge_range_of(group.first, r->schema.n_shards).first,
                                merge_range_of(group.end - 1, r->schema.n_shards).last};
    if (r->runs.n_runs <= r->share.n_runs_max)
        return 0;
    task_work_say(r->work, "merging %zu runs to at most %zu first", r->runs.n_runs,
                  r->share.n_runs_max);
    int ret = scratch_open(&r->scratch, r->job.scratch, err);
    if (ret)
        return ret;
    return merge_down(r->runs.runs, &r->runs.n_runs, r->share.n_runs_max, &r->plan->order, range,
                      r->share.read_memory, &r->scratch.file, err);
}

static int group_open(struct reducing *r, struct err *err)
{
    const struct task_spec *spec = r->plan->spec;
    r->job = spec->job;
    r->job.memory = task_plan_memory(r->plan);
    r->schema = r->job.schema;
    r->schema.n_shards = r->shape.n_shards;
    int ret = 0;
    if (r->plan->base)
        ret = delta_base_open(&r->base, r->task->store, r->job.table, r->plan->base,
                              &r->plan->base_digest, err);
    if (!ret)
        ret = task_shape_pieces(r->task, r->plan, &r->shape, err);
    if (!ret)
        ret = spills_open(r, err);
    if (!ret)
        ret = plan_reduce(&r->runs, &r->job, &r->schema, &r->plan->order,
                          shard_delta_wanted(&r->job) ? &r->base.desc : NULL, 1, &r->share, err);
    if (!ret)
        ret = runs_merge_down(r, err);
    if (ret)
        return ret;
    r->level = (struct level_params){.job = &r->job,
                                     .schema = &r->schema,
                                     .level = r->base.desc.n_levels,
                                     .totals = r->shape.totals,
                                     .coding = &r->shape.coding};
    r->parts = calloc(r->schema.n_shards, sizeof *r->parts);
    return r->parts ? 0 : err_sys(err, -ENOMEM, "%" PRIu32 " shards", r->schema.n_shards);
}

static void group_close(struct reducing *r)
{
    for (size_t i = 0; i < r->runs.n_runs; i++)
        run_release(&r->runs.runs[i]);
    free(r->runs.runs);
    for (uint32_t i = 0; i < r->n_spills; i++)
        spill_close(&r->spills[i]);
    free(r->spills);
    spill_files_release(&r->files);
    scratch_close(&r->scratch);
    free(r->parts);
    delta_base_release(&r->base);
    task_shape_release(&r->shape);
}

/* ---- a shard ---- */

static int shard_write(struct reducing *r, uint32_t shard, struct task_reduced *out,
                       struct err *err)
{
    struct join_base base = {.store = r->task->store,
                             .dir = r->base.dir,
                             .desc = &r->base.desc,
                             .memory = r->share.base_memory,
                             .scratch_dir = r->job.scratch};
    struct reduce_params params = {.job = &r->job,
                                   .base = shard_delta_wanted(&r->job) ? &base : NULL,
                                   .store = r->task->store,
                                   .dir = r->plan->staging.dir,
                                   .level = &r->level,
                                   .order = r->plan->order,
                                   .runs = r->runs.runs,
                                   .n_runs = r->runs.n_runs,
                                   .pieces = r->shape.pieces,
                                   .n_pieces = r->plan->n_pieces,
                                   .read_memory = r->share.read_memory};
    int ret = reduce_shard(&params, &r->work->meter, shard, r->parts, &out->totals, err);
    out->part = r->parts[shard];
    return ret;
}

static int shard_check(struct reducing *r, struct task_reduced *out, struct err *err)
{
    struct read_plan share;
    plan_read(out->part.len, r->plan->base ? 2 : 1, r->job.memory, 1, &share);
    struct verify_params verify = {.store = r->task->store,
                                   .dir = r->plan->staging.dir,
                                   .schema = r->level.schema,
                                   .parts = &out->part,
                                   .n_parts = 1,
                                   .heap_max = share.heap_max,
                                   .scratch_dir = r->job.scratch};
    int ret = verify_one(&verify, 0, &r->work->meter, &out->figures, err);
    if (ret || !r->plan->base)
        return ret;
    if (r->job.diff_base) {
        /* Comparing has counted already. */
        out->n_added = out->totals.join.n_added;
        out->n_removed = out->totals.join.n_removed;
        return 0;
    }
    struct seal_params seal = {.store = r->task->store,
                               .dir = r->plan->staging.dir,
                               .base_dir = r->base.dir,
                               .base = &r->base.desc,
                               .heap_max = share.heap_max,
                               .scratch_dir = r->job.scratch};
    return seal_fold_shard(&seal, &r->work->meter, &out->part, &out->n_added, &out->n_removed, err);
}

static int shard_tell(struct reducing *r, uint32_t shard, const struct task_reduced *out,
                      struct err *err)
{
    char file[TASK_FILE_MAX];
    struct err why = {0};
    task_marker_name(STAGE_REDUCE, shard, file);
    int ret = task_put_new(r->task, file, reduced_encode(r->work, out), &why);
    if (ret && ret != -EEXIST)
        return err_set(err, ret, "%s", err_text(&why, ret));
    task_work_say(r->work, "shard %" PRIu32 ": %" PRIu64 " keys, %" PRIu64 " bytes", shard,
                  out->part.n_keys, out->part.len);
    return 0;
}

static int shard_reduce(struct reducing *r, uint32_t shard, struct err *err)
{
    struct task_reduced out = {0};
    int ret = shard_write(r, shard, &out, err);
    if (!ret)
        ret = shard_check(r, &out, err);
    if (!ret)
        ret = shard_tell(r, shard, &out, err);
    task_reduced_release(&out);
    return ret;
}

static int group_reduce(void *context, struct err *err)
{
    struct reducing *r = context;
    int ret = task_shape_open(r->task, r->plan, r->work, &r->shape, err);
    if (ret)
        return ret;
    struct task_group group = task_plan_group(r->plan, r->group, r->shape.n_shards);
    for (uint32_t shard = group.first; shard < group.end && !ret; shard++) {
        struct task_reduced there;
        ret = task_reduced_get(r->task, shard, &there, err);
        task_reduced_release(&there);
        if (ret) {
            ret = ret < 0 ? ret : 0;
            continue;
        }
        if (!r->parts)
            ret = group_open(r, err);
        if (!ret)
            ret = meter_check(&r->work->meter, err);
        if (!ret)
            ret = shard_reduce(r, shard, err);
    }
    return ret;
}

/* Are all shards of the group there, whoever made them? */
static bool is_reduced(void *context)
{
    const struct reducing *r = context;
    if (!r->shape.n_shards)
        return task_has(r->task, "sealed.json", NULL) == 1;
    struct task_group group = task_plan_group(r->plan, r->group, r->shape.n_shards);
    for (uint32_t shard = group.first; shard < group.end; shard++) {
        char file[TASK_FILE_MAX];
        task_marker_name(STAGE_REDUCE, shard, file);
        if (task_has(r->task, file, NULL) != 1)
            return false;
    }
    return true;
}

int task_reduce(const struct task *task, const struct task_plan *plan, uint32_t group,
                const atomic_bool *cancel, struct err *err)
{
    struct task_work work;
    struct err why = {0};
    if (group >= plan->n_groups)
        return err_set(err, -EINVAL, "task %s: expected a group below %" PRIu32 ", found %" PRIu32,
                       task->name, plan->n_groups, group);
    task_work_begin(&work, task, STAGE_REDUCE, group, cancel);
    struct reducing r = {
        .task = task, .plan = plan, .work = &work, .group = group, .scratch = {.fd = -1}};
    work.keep_dir = plan->staging.dir;
    work.is_done = is_reduced;
    work.done_context = &r;
    meter_stage(&work.meter, BUILD_REDUCE, 0);
    int ret = task_work_run(&work, group_reduce, &r, &why);
    if (ret && !is_reduced(&r))
        ret = staging_explain(&plan->staging, task->store, ret, &why);
    ret = task_work_end(&work, ret, &why);
    group_close(&r);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}
