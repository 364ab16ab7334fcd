/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_shape.h"

#include "base/scope.h"
#include "builder/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the document ---- */

static int hex_put(json_t *json, const char *key, const struct buf *bytes)
{
    struct buf hex = {0};
    int ret = 0;
    for (size_t i = 0; i < bytes->len && !ret; i++)
        ret = buf_printf(&hex, "%02x", bytes->data[i]);
    if (!ret)
        ret = buf_add_byte(&hex, 0);
    if (!ret)
        ret = json_put_string(json, key, (const char *)hex.data);
    buf_release(&hex);
    return ret;
}

static int hex_get(struct json_at at, const char *key, size_t max, struct buf *out, struct err *err)
{
    const char *hex = NULL;
    int ret = json_get_string(at, key, 2 * max, &hex, err);
    size_t len = ret ? 0 : strlen(hex);
    if (len % 2 || (!ret && strspn(hex, "0123456789abcdef") != len))
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected hex digits", at.name, key);
    for (size_t i = 0; i < len && !ret; i += 2) {
        unsigned byte = 0;
        sscanf(hex + i, "%2x", &byte);
        if (buf_add_byte(out, (uint8_t)byte))
            ret = err_sys(err, -ENOMEM, "%s", at.name);
    }
    return ret;
}

static json_t *shape_encode(struct task_work *work, const struct task_shape *shape)
{
    json_t *out = task_work_stamp(work);
    const struct level_totals *totals = &shape->totals;
    const struct value_coding *coding = &shape->coding;
    if (out &&
        (json_put_u64(out, "shards", shape->n_shards) || json_put_u64(out, "rows", shape->rows) ||
         json_put_u64(out, "bad_rows", shape->bad_rows) ||
         json_put_u64(out, "input_bytes", shape->input_bytes) ||
         json_put_u64(out, "entries", totals->n_entries) ||
         json_put_u64(out, "key_bytes", totals->key_len) ||
         json_put_u64(out, "value_bytes", totals->value_len) ||
         json_put_u64(out, "value_max", totals->value_max) ||
         json_put_bool(out, "compressed", coding->compression != COMPRESSION_NONE) ||
         json_put_u64(out, "level", (uint64_t)coding->level) ||
         json_put_bool(out, "sampled", coding->was_sampled) ||
         json_put_double(out, "ratio", coding->ratio) ||
         json_put_double(out, "ratio_tried", coding->ratio_tried) ||
         hex_put(out, "dictionary", &coding->dictionary))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static int ratio_get(struct json_at at, const char *key, double *out, struct err *err)
{
    const json_t *value = json_object_get(at.object, key);
    *out = json_number_value(value);
    if (!json_is_number(value) || !(*out >= 0 && *out < 1e6))
        return err_set(err, -EBADMSG, "%s: member \"%s\": expected a ratio", at.name, key);
    return 0;
}

static int shape_decode(struct json_at at, struct task_shape *shape, struct err *err)
{
    struct level_totals *totals = &shape->totals;
    struct value_coding *coding = &shape->coding;
    uint32_t level = 0;
    bool is_compressed = false;
    int ret = 0;
    if ((ret = json_get_u32(at, "shards", SHARDS_MAX, &shape->n_shards, err)) ||
        (ret = json_get_u64(at, "rows", INT64_MAX, &shape->rows, err)) ||
        (ret = json_get_u64(at, "bad_rows", INT64_MAX, &shape->bad_rows, err)) ||
        (ret = json_get_u64(at, "input_bytes", INT64_MAX, &shape->input_bytes, err)) ||
        (ret = json_get_u64(at, "entries", INT64_MAX, &totals->n_entries, err)) ||
        (ret = json_get_u64(at, "key_bytes", INT64_MAX, &totals->key_len, err)) ||
        (ret = json_get_u64(at, "value_bytes", INT64_MAX, &totals->value_len, err)) ||
        (ret = json_get_u32(at, "value_max", UINT32_MAX, &totals->value_max, err)) ||
        (ret = json_get_bool(at, "compressed", &is_compressed, err)) ||
        (ret = json_get_u32(at, "level", 19, &level, err)) ||
        (ret = json_get_bool(at, "sampled", &coding->was_sampled, err)) ||
        (ret = ratio_get(at, "ratio", &coding->ratio, err)) ||
        (ret = ratio_get(at, "ratio_tried", &coding->ratio_tried, err)) ||
        (ret = hex_get(at, "dictionary", DICTIONARY_LEN_MAX, &coding->dictionary, err)))
        return ret;
    coding->level = (int)level;
    coding->compression = is_compressed ? COMPRESSION_ZSTD : COMPRESSION_NONE;
    if (shape->n_shards == 0)
        return err_set(err, -EBADMSG, "%s: expected at least one shard", at.name);
    return 0;
}

/* ---- do the pieces fit? ---- */

/* Does piece i begin where the piece before it, of the same file, ended? Else it is mapped again from there. */
static int piece_fit(const struct task *task, const struct task_plan *plan, struct task_work *work,
                     struct task_shape *shape, uint32_t i, struct err *err)
{
    bool is_first = i == 0 || plan->inputs[i] != plan->inputs[i - 1];
    uint64_t begin = is_first ? 0 : shape->mapped[i - 1].end;
    if (is_first || shape->mapped[i].begin == begin)
        return 0;
    task_work_say(work,
                  "%s: piece %" PRIu32 " was begun at byte %" PRIu64
                  ", but a row begins at %" PRIu64 ": mapping it again",
                  plan->pieces[i].path, i, shape->mapped[i].begin, begin);
    int ret = task_map_again(task, plan, i, begin, work, &shape->mapped[i], err);
    if (ret)
        return ret;
    if (shape->mapped[i].begin != begin)
        return err_set(err, -EBADMSG,
                       "%s: expected rows from byte %" PRIu64 " on, found them from %" PRIu64,
                       plan->pieces[i].path, begin, shape->mapped[i].begin);
    return 0;
}

/* All markers, in order. work: makes the pieces fit; NULL: they do. */
static int pieces_gather(const struct task *task, const struct task_plan *plan,
                         struct task_work *work, struct task_shape *shape, struct err *err)
{
    shape->mapped = calloc((size_t)plan->n_pieces + 1, sizeof *shape->mapped);
    shape->pieces = calloc((size_t)plan->n_pieces + 1, sizeof *shape->pieces);
    if (!shape->mapped || !shape->pieces)
        return err_sys(err, -ENOMEM, "task %s: %" PRIu32 " pieces", task->name, plan->n_pieces);
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        int ret = task_mapped_get(task, i, &shape->mapped[i], err);
        if (ret == 0)
            return err_set(err, -EAGAIN,
                           "task %s: piece %" PRIu32 " of %" PRIu32
                           " is not mapped yet: run its map "
                           "stage first",
                           task->name, i, plan->n_pieces);
        ret = ret < 0 ? ret : work ? piece_fit(task, plan, work, shape, i, err) : 0;
        if (ret)
            return ret;
        bool is_first = i == 0 || plan->inputs[i] != plan->inputs[i - 1];
        shape->pieces[i] = plan->pieces[i];
        shape->pieces[i].begin = shape->mapped[i].begin;
        shape->pieces[i].rows_before =
            is_first ? 0 : shape->pieces[i - 1].rows_before + shape->mapped[i - 1].n_lines;
    }
    return 0;
}

static int sums_make(const struct task_plan *plan, struct task_shape *shape, struct err *err)
{
    const struct job *job = &plan->spec->job;
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        const struct task_mapped *m = &shape->mapped[i];
        shape->rows += m->rows;
        shape->bad_rows += m->bad_rows;
        shape->input_bytes += m->input_bytes;
        level_totals_add(&shape->totals, &m->totals);
    }
    if (shape->bad_rows > job->max_bad)
        return err_set(err, -EBADMSG,
                       "%" PRIu64 " bad rows in all, but --max-bad is %" PRIu64
                       "; the logs of the map tasks name them: fkv task logs %s",
                       shape->bad_rows, job->max_bad, job->task);
    return 0;
}

/* ---- making it ---- */

static int sample_gather(const struct task *task, const struct task_plan *plan,
                         const struct task_shape *shape, struct value_sample *sample,
                         struct err *err)
{
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        struct spill spill;
        char path[STORE_PATH_MAX];
        int ret = task_path(task, shape->mapped[i].file, path, err);
        if (!ret)
            ret = spill_open(&spill, task->store, path, &shape->mapped[i].digest, err);
        if (ret)
            return ret;
        ret = spill_sample(&spill, sample, err);
        spill_close(&spill);
        if (ret)
            return ret;
    }
    return 0;
}

static int shape_make(const struct task *task, const struct task_plan *plan, struct task_work *work,
                      struct task_shape *shape, struct err *err)
{
    const struct job *job = &plan->spec->job;
    struct schema schema = job->schema;
    struct value_sample sample = {0};
    int ret = sums_make(plan, shape, err);
    if (ret)
        return ret;
    if (schema.n_shards == 0)
        schema.n_shards = plan_shards(schema.kind, shape->totals.key_len + shape->totals.value_len);
    shape->n_shards = schema.n_shards;
    if (value_coding_wants_sample(job, schema.kind))
        ret = sample_gather(task, plan, shape, &sample, err);
    struct value_totals values = {.n_values = shape->totals.n_entries,
                                  .len = shape->totals.value_len,
                                  .n_shards = schema.n_shards};
    if (!ret)
        ret = value_coding_choose(job, &schema, &sample, &values, &shape->coding, err);
    value_sample_release(&sample);
    if (ret)
        return ret;
    struct err why = {0};
    ret = task_put_new(task, "shape.json", shape_encode(work, shape), &why);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

/* asked: how many shards the job wants; 0: it left that open. */
static int shape_get(const struct task *task, uint32_t asked, struct task_shape *shape,
                     struct err *err)
{
    scope_json json_t *json = NULL;
    int ret = task_get(task, "shape.json", &json, err);
    if (!ret)
        ret = shape_decode((struct json_at){json, "shape.json"}, shape, err);
    if (!ret && asked && shape->n_shards != asked)
        ret = err_set(err, -EBADMSG,
                      "%s/shape.json: expected %" PRIu32 " shards, as planned, found %" PRIu32,
                      task->dir, asked, shape->n_shards);
    return ret;
}

int task_shape_open(const struct task *task, const struct task_plan *plan, struct task_work *work,
                    struct task_shape *shape, struct err *err)
{
    struct task_shape made = {0};
    int has = task_has(task, "shape.json", err);
    *shape = (struct task_shape){0};
    if (has < 0)
        return has;
    int ret = has ? 0 : pieces_gather(task, plan, work, shape, err);
    if (!ret && !has) {
        made.mapped = shape->mapped;
        ret = shape_make(task, plan, work, &made, err);
        value_coding_release(&made.coding);
    }
    /* Whoever made it: what lies on the store holds for all. */
    if (!ret)
        ret = shape_get(task, plan->spec->job.schema.n_shards, shape, err);
    if (ret)
        task_shape_release(shape);
    return ret;
}

int task_shape_pieces(const struct task *task, const struct task_plan *plan,
                      struct task_shape *shape, struct err *err)
{
    return shape->mapped ? 0 : pieces_gather(task, plan, NULL, shape, err);
}

void task_shape_release(struct task_shape *shape)
{
    value_coding_release(&shape->coding);
    free(shape->mapped);
    free(shape->pieces);
    *shape = (struct task_shape){0};
}
