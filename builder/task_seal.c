/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_seal.h"

#include "base/scope.h"
#include "builder/describe.h"
#include "builder/figures_json.h"
#include "builder/join_totals.h"
#include "builder/seal.h"
#include "builder/task_reduce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sealing {
    const struct task *task;
    const struct task_plan *plan;
    struct task_work *work;
    struct task_shape shape;
    struct delta_base base;
    struct version_desc desc;
    struct build_result result;
    uint64_t n_added;
    uint64_t n_removed;
};

/* ---- sealed.json ---- */

static json_t *result_encode(struct task_work *work, const struct build_result *r)
{
    json_t *out = task_work_stamp(work);
    if (out &&
        (json_put_u64(out, "base", r->base) || json_put_u64(out, "rows", r->rows) ||
         json_put_u64(out, "bad_rows", r->bad_rows) ||
         json_put_u64(out, "duplicates", r->duplicates) || json_put_u64(out, "keys", r->n_keys) ||
         json_put_u64(out, "tombstones", r->n_tombstones) || json_put_u64(out, "bytes", r->len) ||
         json_put_u64(out, "input_bytes", r->input_bytes) ||
         json_put_u64(out, "shards", r->n_shards) || json_put_u64(out, "kind", r->kind) ||
         json_put_u64(out, "level", (uint64_t)r->level) ||
         json_put_bool(out, "sampled", r->was_sampled) ||
         json_put_double(out, "ratio_tried", r->ratio_tried) ||
         json_put_u64(out, "dictionary_bytes", r->dictionary_len) ||
         json_put_u64(out, "values_bytes", r->values_len) ||
         json_put_u64(out, "stored_bytes", r->values_stored_len) ||
         json_put_bool(out, "was_compared", r->was_compared) ||
         json_put(out, "compared", join_totals_encode(&r->join)))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

int task_result(const struct task *task, struct build_result *out, struct err *err)
{
    scope_json json_t *json = NULL;
    struct build_result r = {0};
    uint32_t level = 0;
    uint32_t kind = 0;
    const json_t *join = NULL;
    int ret = task_get(task, "sealed.json", &json, err);
    struct json_at at = {json, "sealed.json"};
    if (ret || (ret = json_get_u64(at, "base", INT64_MAX, &r.base, err)) ||
        (ret = json_get_u64(at, "rows", INT64_MAX, &r.rows, err)) ||
        (ret = json_get_u64(at, "bad_rows", INT64_MAX, &r.bad_rows, err)) ||
        (ret = json_get_u64(at, "duplicates", INT64_MAX, &r.duplicates, err)) ||
        (ret = json_get_u64(at, "keys", INT64_MAX, &r.n_keys, err)) ||
        (ret = json_get_u64(at, "tombstones", INT64_MAX, &r.n_tombstones, err)) ||
        (ret = json_get_u64(at, "bytes", INT64_MAX, &r.len, err)) ||
        (ret = json_get_u64(at, "input_bytes", INT64_MAX, &r.input_bytes, err)) ||
        (ret = json_get_u32(at, "shards", SHARDS_MAX, &r.n_shards, err)) ||
        (ret = json_get_u32(at, "kind", KIND_IDX, &kind, err)) ||
        (ret = json_get_u32(at, "level", 19, &level, err)) ||
        (ret = json_get_bool(at, "sampled", &r.was_sampled, err)) ||
        (ret = json_get_u32(at, "dictionary_bytes", UINT32_MAX, &r.dictionary_len, err)) ||
        (ret = json_get_u64(at, "values_bytes", INT64_MAX, &r.values_len, err)) ||
        (ret = json_get_u64(at, "stored_bytes", INT64_MAX, &r.values_stored_len, err)) ||
        (ret = json_get_bool(at, "was_compared", &r.was_compared, err)) ||
        (ret = json_get_object(at, "compared", &join, err)) ||
        (ret = join_totals_decode((struct json_at){join, at.name}, &r.join, err)))
        return ret;
    r.ratio_tried = json_number_value(json_object_get(json, "ratio_tried"));
    r.kind = (enum table_kind)kind;
    r.level = (int)level;
    snprintf(r.task, sizeof r.task, "%s", task->name);
    *out = r;
    return 0;
}

/* ---- gathering ---- */

static int desc_start(struct sealing *s, struct err *err)
{
    const struct task_plan *plan = s->plan;
    struct version_desc *desc = &s->desc;
    desc->schema = plan->spec->job.schema;
    desc->schema.n_shards = s->shape.n_shards;
    desc->n_levels = 1;
    if (plan->base) {
        int ret = delta_base_open(&s->base, s->task->store, plan->spec->job.table, plan->base,
                                  &plan->base_digest, err);
        if (ret)
            return ret;
        desc->base = plan->base;
        desc->n_levels = s->base.desc.n_levels + 1;
    }
    desc->n_parts = (size_t)desc->n_levels * desc->schema.n_shards;
    desc->parts = calloc(desc->n_parts, sizeof *desc->parts);
    return desc->parts ? 0 : err_sys(err, -ENOMEM, "%zu parts", desc->n_parts);
}

static int parts_gather(struct sealing *s, struct err *err)
{
    struct version_desc *desc = &s->desc;
    struct part_desc *own = desc->parts + (desc->n_parts - desc->schema.n_shards);
    struct build_result *r = &s->result;
    for (uint32_t shard = 0; shard < desc->schema.n_shards; shard++) {
        struct task_reduced reduced;
        int ret = task_reduced_get(s->task, shard, &reduced, err);
        if (ret == 0)
            return err_set(err, -EAGAIN,
                           "task %s: shard %" PRIu32 " of %" PRIu32 " is not reduced yet: run its "
                           "reduce stage first",
                           s->task->name, shard, desc->schema.n_shards);
        if (ret < 0)
            return ret;
        own[shard] = reduced.part;
        r->duplicates += reduced.totals.n_duplicates;
        figures_merge(&r->figures, &reduced.figures);
        join_totals_add(&r->join, &reduced.totals.join);
        r->values_len += reduced.totals.values_len;
        r->values_stored_len += reduced.totals.values_stored_len;
        r->n_keys += reduced.part.n_keys;
        r->n_tombstones += reduced.part.n_tombstones;
        r->len += reduced.part.len;
        s->n_added += reduced.n_added;
        s->n_removed += reduced.n_removed;
    }
    return 0;
}

static void result_fill(struct sealing *s)
{
    struct build_result *r = &s->result;
    const struct task_shape *shape = &s->shape;
    const struct value_coding *coding = &shape->coding;
    r->base = s->plan->base;
    r->rows = shape->rows;
    r->bad_rows = shape->bad_rows;
    r->input_bytes = shape->input_bytes;
    r->n_shards = shape->n_shards;
    r->figures.rows = r->rows;
    r->figures.bad_rows = r->bad_rows;
    r->figures.duplicates = r->duplicates;
    /* A delta of nothing has seen no value that would tell. */
    r->figures.has_vectors = s->desc.schema.elem != ELEM_NONE;
    r->kind = s->desc.schema.kind;
    r->was_compared = shard_delta_wanted(&s->plan->spec->job);
    r->was_sampled = coding->was_sampled;
    r->ratio_tried = coding->ratio_tried;
    r->level = coding->compression ? coding->level : 0;
    r->dictionary_len = (uint32_t)coding->dictionary.len;
}

/* ---- sealing ---- */

/*
 * What workers left in parts/ that died, or that write what is there already: the version would carry it. As far as that works.
 * Beside parts/ may be what another that seals is writing just now.
 */
static int parts_tidy(struct store *store, const char *dir, struct err *err)
{
    char parts[STORE_PATH_MAX];
    struct store_list list = {0};
    snprintf(parts, sizeof parts, "%s/parts", dir);
    int ret = store_list(store, parts, &list, err);
    for (size_t i = 0; i < list.n_names && !ret; i++) {
        char path[2 * STORE_PATH_MAX];
        if (store_is_temporary(list.names[i]) &&
            snprintf(path, sizeof path, "%s/%s", parts, list.names[i]) < STORE_PATH_MAX)
            store_remove(store, path, NULL);
    }
    store_list_release(&list);
    return ret;
}

/* Links, version.json, the rename. */
static int seal_directory(struct sealing *s, struct err *err)
{
    const struct staging *staging = &s->plan->staging;
    struct store *store = s->task->store;
    struct seal_params params = {.store = store,
                                 .dir = staging->dir,
                                 .base_dir = s->base.dir,
                                 .base = s->base.is_there ? &s->base.desc : NULL};
    int ret = parts_tidy(store, staging->dir, err);
    if (!ret)
        ret = seal_link(&params, &s->desc, err);
    if (ret)
        return ret;
    if (s->base.is_there)
        s->desc.n_keys = s->base.desc.n_keys + s->n_added - s->n_removed;
    ret = describe_version(&s->plan->spec->job, staging->task, &s->desc, err);
    if (!ret)
        ret = figures_write(store, staging->dir, &s->result.figures, err);
    if (!ret)
        ret = seal_finish(store, staging->dir, &s->desc, err);
    if (!ret)
        ret = staging_seal(staging, store, err);
    return ret;
}

/* Was it renamed by an attempt that died before it could tell? */
static int is_renamed(const struct sealing *s, struct err *err)
{
    const struct staging *staging = &s->plan->staging;
    char json[LAYOUT_PATH_MAX];
    int ret = layout_exists(s->task->store, staging->dir, err);
    if (ret)
        return ret < 0 ? ret : 0;
    layout_version_json(staging->sealed_dir, json);
    ret = layout_exists(s->task->store, json, err);
    if (ret)
        return ret;
    return err_set(
        err, -ESTALE,
        "task %s: expected its parts in %s, found no such directory: fkv gc, or somebody, "
        "removed it; submit the task again",
        s->task->name, staging->dir);
}

/* Of two that seal, one finds the directory gone under its hands. */
static int seal_once(struct sealing *s, struct err *err)
{
    struct err why = {0};
    int there = is_renamed(s, err);
    if (there)
        return there < 0 ? there : 0;
    int is_cancelled = task_has(s->task, "cancelled.json", err);
    if (is_cancelled)
        return is_cancelled < 0 ? is_cancelled : err_set(err, -ECANCELED, "cancelled");
    int ret = seal_directory(s, &why);
    if (ret && is_renamed(s, NULL) == 1)
        return 0;
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static int seal_all(struct sealing *s, struct err *err)
{
    int ret = task_shape_open(s->task, s->plan, s->work, &s->shape, err);
    if (!ret)
        ret = desc_start(s, err);
    if (!ret)
        ret = parts_gather(s, err);
    if (ret)
        return ret;
    result_fill(s);
    ret = seal_once(s, err);
    if (ret)
        return ret;
    struct err why = {0};
    ret = task_put_new(s->task, "sealed.json", result_encode(s->work, &s->result), &why);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

int task_seal(const struct task *task, const struct task_plan *plan, struct task_work *work,
              struct err *err)
{
    struct sealing s = {.task = task, .plan = plan, .work = work};
    int ret = task_has(task, "sealed.json", err);
    if (ret)
        return ret < 0 ? ret : 0;
    ret = seal_all(&s, err);
    if (!ret)
        task_work_say(work, "sealed: %" PRIu64 " keys, %" PRIu64 " bytes in %" PRIu32 " shards",
                      s.result.n_keys, s.result.len, s.result.n_shards);
    version_desc_release(&s.desc);
    delta_base_release(&s.base);
    task_shape_release(&s.shape);
    return ret;
}

void task_clean(const struct task *task)
{
    char path[STORE_PATH_MAX];
    if (!task_path(task, "runs", path, NULL))
        store_remove_tree(task->store, path, NULL);
}

static int remove_file(const struct task *task, const char *file, struct err *err)
{
    char path[STORE_PATH_MAX];
    int ret = task_path(task, file, path, err);
    return ret ? ret : store_remove(task->store, path, err);
}

/* Every document whose name begins so. */
static int remove_documents(const struct task *task, const char *prefix, struct err *err)
{
    struct store_list list = {0};
    int ret = layout_list(task->store, task->dir, &list, err);
    for (size_t i = 0; i < list.n_names && !ret; i++)
        if (strncmp(list.names[i], prefix, strlen(prefix)) == 0)
            ret = remove_file(task, list.names[i], err);
    store_list_release(&list);
    return ret;
}

/* The shape goes first: while it is there, pieces are believed to meet, which those mapped anew may not. */
static int forget_mapped(const struct task *task, struct err *err)
{
    char path[STORE_PATH_MAX];
    int ret = remove_file(task, "shape.json", err);
    if (!ret)
        ret = remove_documents(task, "map-", err);
    if (!ret)
        ret = task_path(task, "runs", path, err);
    if (!ret)
        ret = store_remove_tree(task->store, path, err);
    return ret ? ret : store_mkdir(task->store, path, err);
}

/*
 * A build that is sealed and was refused is one under way again. Its document goes first: whoever is killed in between leaves a directory
 * that sealing finds and takes for sealed, and so does this.
 */
static int unseal(const struct task *task, const struct task_plan *plan, struct err *err)
{
    struct err why = {0};
    int ret = remove_file(task, "sealed.json", err);
    if (!ret)
        ret = layout_exists(task->store, plan->staging.dir, err);
    if (ret)
        return ret < 0 ? ret : 0;
    ret = store_rename(task->store, plan->staging.sealed_dir, plan->staging.dir, &why);
    return ret && ret != -ENOENT ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

/*
 * Is all still as it was planned: the inputs, and the directory that parts are in? Nobody can tell of a query, so its shards must not
 * stay beside those of other rows.
 */
static bool holds(const struct task *task, const struct task_plan *plan)
{
    const struct job *job = &plan->spec->job;
    if (job->format == INPUT_SQL)
        return false;
    for (size_t i = 0; i < job->n_inputs; i++)
        if (input_stamp_check(job->inputs[i], job->format, &plan->stamps[i], NULL))
            return false;
    return layout_exists(task->store, plan->staging.dir, NULL) == 1;
}

/* What rests on the plan goes before it does: whoever is killed in between leaves a plan of which less is done. */
static int forget_plan(const struct task *task, const struct task_plan *plan, struct err *err)
{
    int ret = remove_documents(task, "reduce-", err);
    if (!ret)
        ret = forget_mapped(task, err);
    if (!ret)
        ret = remove_file(task, "plan.json", err);
    if (!ret)
        staging_drop(&plan->staging, task->store);
    return ret;
}

int task_forget(const struct task *task, struct err *err)
{
    struct task_plan plan;
    struct err why = {0};
    int ret = task_plan_open(task, &plan, &why);
    if (ret == -ENOENT)
        return 0;
    if (ret)
        return err_set(err, ret, "%s", err_text(&why, ret));
    ret = unseal(task, &plan, err);
    if (!ret)
        ret = holds(task, &plan) ? forget_mapped(task, err) : forget_plan(task, &plan, err);
    task_plan_release(&plan);
    return ret;
}

void task_give_up(const struct task *task, bool is_published)
{
    struct task_plan plan;
    task_clean(task);
    if (task_plan_open(task, &plan, NULL))
        return;
    /* A publisher finds a sealed build whole or not at all: so it gets back its name of a build under way first. */
    if (!is_published && task_has(task, "sealed.json", NULL) == 1)
        store_rename(task->store, plan.staging.sealed_dir, plan.staging.dir, NULL);
    staging_drop(&plan.staging, task->store);
    task_plan_release(&plan);
}
