/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_plan.h"

#include "base/scope.h"
#include "builder/duckdb_host.h"
#include "builder/inherit.h"
#include "builder/parquet.h"
#include "builder/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 1 << 20, GROUPS_DEFAULT_MAX = 256 };

#define PIECE_MIN (32ULL << 20)
#define PIECE_MAX (1ULL << 30)

static uint64_t share_of(const struct task_spec *spec, uint32_t n_threads)
{
    uint64_t share = spec->job.memory / n_threads;
    return share > JOB_MEMORY_MIN ? share : JOB_MEMORY_MIN;
}

/* Not more than can have the least memory that a worker needs. */
uint32_t task_plan_threads(const struct task_spec *spec)
{
    uint64_t n_fit = spec->job.memory / JOB_MEMORY_MIN;
    uint32_t n = spec->engine == TASK_LOCAL ? plan_threads(&spec->job) : 1;
    return n_fit < 1 ? 1 : n < n_fit ? n : (uint32_t)n_fit;
}

uint64_t task_plan_memory(const struct task_plan *plan)
{
    return share_of(plan->spec, task_plan_threads(plan->spec));
}

uint32_t task_plan_map_threads(const struct task_spec *spec)
{
    struct map_plan plan;
    plan_map(&spec->job, &spec->job.schema, task_plan_threads(spec), &plan);
    return plan.n_workers;
}

uint64_t task_plan_map_memory(const struct task_spec *spec)
{
    return share_of(spec, task_plan_map_threads(spec));
}

struct task_group task_plan_group(const struct task_plan *plan, uint32_t group, uint32_t n_shards)
{
    uint64_t n = n_shards;
    return (struct task_group){(uint32_t)(group * n / plan->n_groups),
                               (uint32_t)((group + 1) * n / plan->n_groups)};
}

/* ---- making ---- */

/* Text that fills most of an arena: a row takes about a third more there than in a file of records. */
static uint64_t piece_len(const struct task_plan *plan)
{
    const struct task_spec *spec = plan->spec;
    uint64_t len = spec->piece_len ? spec->piece_len : task_plan_memory(plan) / 2;
    if (spec->piece_len)
        return len;
    return len < PIECE_MIN ? PIECE_MIN : len > PIECE_MAX ? PIECE_MAX : len;
}

static int piece_add(struct task_plan *plan, uint32_t input, uint64_t begin, uint64_t end,
                     struct err *err)
{
    uint32_t n = plan->n_pieces;
    if (n == PIECES_MAX)
        return err_set(err, -E2BIG, "more than %d pieces of inputs: give them a greater --piece",
                       (int)PIECES_MAX);
    if ((n & (n - 1)) == 0) {
        size_t cap = n ? 2 * (size_t)n : 1;
        struct input_piece *pieces = realloc(plan->pieces, cap * sizeof *pieces);
        if (pieces)
            plan->pieces = pieces;
        uint32_t *inputs = realloc(plan->inputs, cap * sizeof *inputs);
        if (inputs)
            plan->inputs = inputs;
        if (!pieces || !inputs)
            return err_sys(err, -ENOMEM, "planning %u pieces", n);
    }
    plan->inputs[n] = input;
    plan->pieces[n] = (struct input_piece){.path = plan->spec->job.inputs[input],
                                           .begin = begin,
                                           .end = end,
                                           .is_exact = begin == 0,
                                           .rows_before = begin ? UINT64_MAX : 0};
    plan->n_pieces++;
    return 0;
}

/* Equal pieces of about `len`; the last one goes to wherever the file ends. */
static int input_cut(struct task_plan *plan, uint32_t input, uint64_t input_len, uint64_t len,
                     struct err *err)
{
    uint64_t n = (input_len + len / 2) / len;
    if (n < 1)
        n = 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t begin = input_len / n * i;
        uint64_t end = i + 1 < n ? input_len / n * (i + 1) : UINT64_MAX;
        int ret = piece_add(plan, input, begin, end, err);
        if (ret)
            return ret;
    }
    return 0;
}

/* Between groups of rows, which the file itself tells; the last piece goes to wherever it ends, as of any file. */
static int parquet_plan(struct task_plan *plan, uint32_t input, struct err *err)
{
    const struct job *job = &plan->spec->job;
    struct parquet_groups pieces = {0};
    uint64_t begin = 0;
    int ret = parquet_cut(job, job->inputs[input], piece_len(plan), &pieces, err);
    if (!ret && pieces.n == 0)
        ret = piece_add(plan, input, 0, UINT64_MAX, err);
    for (size_t i = 0; !ret && i < pieces.n; i++) {
        uint64_t end = i + 1 < pieces.n ? pieces.ends[i] : UINT64_MAX;
        ret = piece_add(plan, input, begin, end, err);
        begin = end;
    }
    parquet_groups_release(&pieces);
    return ret;
}

/* Looks at every input, and cuts those that can be. *len is the bytes of all. */
static int inputs_plan(struct task_plan *plan, uint64_t *len, struct err *err)
{
    const struct job *job = &plan->spec->job;
    *len = 0;
    plan->stamps = calloc(job->n_inputs + 1, sizeof *plan->stamps);
    if (!plan->stamps)
        return err_sys(err, -ENOMEM, "planning %zu inputs", job->n_inputs);
    /* A worker that cannot read the inputs says so here, once, before hundreds of its like find it out. */
    int ret = duckdb_check(job, err);
    for (size_t i = 0; !ret && i < job->n_inputs; i++) {
        struct input_stamp *stamp = &plan->stamps[i];
        ret = input_stamp_take(job->inputs[i], job->format, stamp, err);
        if (!ret && parquet_is_input(job->inputs[i], job->format))
            ret = parquet_plan(plan, (uint32_t)i, err);
        else if (!ret && input_can_be_cut(job->inputs[i], job->format))
            ret = input_cut(plan, (uint32_t)i, stamp->len, piece_len(plan), err);
        else if (!ret)
            ret = piece_add(plan, (uint32_t)i, 0, UINT64_MAX, err);
        *len += ret ? 0 : stamp->len;
    }
    return ret;
}

static uint32_t groups_of(const struct task_spec *spec, uint64_t input_len)
{
    uint64_t n =
        spec->n_reduce ? spec->n_reduce : (input_len + PLAN_SHARD_BYTES - 1) / PLAN_SHARD_BYTES;
    if (!spec->n_reduce && n > GROUPS_DEFAULT_MAX)
        n = GROUPS_DEFAULT_MAX;
    if (spec->job.schema.n_shards && n > spec->job.schema.n_shards)
        n = spec->job.schema.n_shards;
    return n ? (uint32_t)n : 1;
}

/* The spec as it was submitted, with all that is open filled in. */
static int spec_complete(const struct task *task, const struct state *state, struct task_plan *plan,
                         struct err *err)
{
    json_t *json = NULL;
    struct delta_base base = {0};
    int ret = task_get(task, "job.json", &json, err);
    if (!ret)
        ret = task_spec_decode_json(json, "job.json", &plan->document, err);
    if (ret)
        return ret;
    struct job *job = &plan->document.spec.job;
    plan->spec = &plan->document.spec;
    job->task = task->name;
    ret = inherit_schema(task->store, state, job, err);
    if (!ret)
        ret = job_check(job, err);
    if (!ret && job->is_delta) {
        ret = delta_base_choose(&base, task->store, state, job, err);
        if (!ret)
            ret = delta_base_shape(&base, job, &job->schema, err);
        plan->base = base.desc.version;
        plan->base_digest = base.digest;
        delta_base_release(&base);
    }
    job->given = (struct schema_given){.kind = true,
                                       .key = true,
                                       .value = true,
                                       .shards = job->schema.n_shards != 0,
                                       .seed = true,
                                       .owner = job->schema.owner[0] != 0,
                                       .group = job->schema.group[0] != 0,
                                       .mode = true};
    return ret;
}

/* ---- the document ---- */

static json_t *pieces_encode(const struct task_plan *plan)
{
    json_t *out = json_array();
    for (uint32_t i = 0; out && i < plan->n_pieces; i++) {
        const struct input_piece *piece = &plan->pieces[i];
        json_int_t end = piece->end == UINT64_MAX ? 0 : (json_int_t)piece->end;
        if (json_append(out, json_pack("[I,I,I]", (json_int_t)plan->inputs[i],
                                       (json_int_t)piece->begin, end))) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *stamps_encode(const struct task_plan *plan)
{
    json_t *out = json_array();
    for (size_t i = 0; out && i < plan->spec->job.n_inputs; i++) {
        const struct input_stamp *stamp = &plan->stamps[i];
        if (json_append(out,
                        json_pack("[I,I]", (json_int_t)stamp->len, (json_int_t)stamp->mtime_ns))) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *spec_json(const struct task_spec *spec, struct err *err)
{
    struct buf text = {0};
    json_t *out = NULL;
    if (!task_spec_encode(spec, &text, err))
        json_parse(text.data, text.len, "plan.json", &out, err);
    buf_release(&text);
    return out;
}

static json_t *plan_encode(const struct task *task, const struct task_plan *plan, struct err *err)
{
    char hex[DIGEST_HEX_LEN + 1];
    json_t *out = task_stamp(task);
    digest_to_hex(&plan->base_digest, hex);
    if (out && (json_put(out, "job", spec_json(plan->spec, err)) ||
                json_put_string(out, "staging", plan->staging.dir) ||
                json_put_u64(out, "base", plan->base) || json_put_string(out, "base_digest", hex) ||
                json_put_u64(out, "groups", plan->n_groups) ||
                json_put(out, "inputs", stamps_encode(plan)) ||
                json_put(out, "pieces", pieces_encode(plan)))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/*
 * Puts the plan; -EEXIST when somebody else planned as well. A reply that was lost leaves a plan on the store that is told to have failed:
 * its directory must not go then. Where it cannot be found out, gc takes the directory by its age.
 */
static int plan_put(const struct task *task, const struct task_plan *plan, struct err *err)
{
    scope_json json_t *there = NULL;
    const char *dir = NULL;
    int ret = task_put_new(task, "plan.json", plan_encode(task, plan, err), err);
    if (!ret)
        return 0;
    int got = task_get(task, "plan.json", &there, NULL);
    if (!got &&
        !json_get_string((struct json_at){there, "plan.json"}, "staging", LAYOUT_PATH_MAX - 1, &dir,
                         NULL) &&
        strcmp(dir, plan->staging.dir) == 0)
        return 0;
    if (!got || got == -ENOENT)
        staging_drop(&plan->staging, task->store);
    return ret;
}

int task_plan_make(const struct task *task, const struct state *state, struct err *err)
{
    struct task_plan plan = {0};
    struct err why = {0};
    uint64_t len = 0;
    int ret = task_has(task, "plan.json", err);
    if (ret)
        return ret < 0 ? ret : 0;
    ret = spec_complete(task, state, &plan, err);
    if (!ret)
        ret = inputs_plan(&plan, &len, err);
    if (!ret) {
        plan.n_groups = groups_of(plan.spec, len);
        ret = staging_open(&plan.staging, task->store, &plan.spec->job, err);
    }
    if (ret) {
        task_plan_release(&plan);
        return ret;
    }
    ret = plan_put(task, &plan, &why);
    task_plan_release(&plan);
    return ret && ret != -EEXIST ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

/* ---- reading it ---- */

static int bad_plan(const struct task *task, const char *what, struct err *err)
{
    return err_set(err, -EBADMSG, "%s/plan.json: %s", task->dir, what);
}

/* Element `at` of an array, an integer of at most max. */
static bool integer_at(const json_t *array, size_t at, uint64_t max, uint64_t *out)
{
    const json_t *value = json_array_get(array, at);
    json_int_t n = json_integer_value(value);
    *out = (uint64_t)n;
    return json_is_integer(value) && n >= 0 && (uint64_t)n <= max;
}

/* All of every input once, in order: each begins where the one before it ends. */
static bool pieces_are_whole(const struct task_plan *plan)
{
    uint64_t next = 0; /* UINT64_MAX: another input */
    uint64_t n_inputs = 0;
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        const struct input_piece *piece = &plan->pieces[i];
        bool is_first = i == 0 || next == UINT64_MAX;
        if (is_first ? plan->inputs[i] != n_inputs++ || piece->begin != 0
                     : plan->inputs[i] != n_inputs - 1 || piece->begin != next)
            return false;
        next = piece->end;
    }
    return next == UINT64_MAX && n_inputs == plan->spec->job.n_inputs;
}

static int pieces_decode(const struct task *task, struct json_at at, struct task_plan *plan,
                         struct err *err)
{
    const json_t *array = NULL;
    size_t n_inputs = plan->spec->job.n_inputs;
    int ret = json_get_array(at, "pieces", PIECES_MAX, &array, err);
    if (ret)
        return ret;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *piece = json_array_get(array, i);
        uint64_t input = 0;
        uint64_t begin = 0;
        uint64_t end = 0;
        if (!integer_at(piece, 0, n_inputs - 1, &input) ||
            !integer_at(piece, 1, INT64_MAX, &begin) || !integer_at(piece, 2, INT64_MAX, &end) ||
            (end && end < begin))
            return bad_plan(task, "expected pieces to be [input, begin, end]", err);
        ret = piece_add(plan, (uint32_t)input, begin, end ? end : UINT64_MAX, err);
        if (ret)
            return ret;
    }
    return pieces_are_whole(plan)
               ? 0
               : bad_plan(task, "expected pieces that are all of every input, once", err);
}

static int stamps_decode(const struct task *task, struct json_at at, struct task_plan *plan,
                         struct err *err)
{
    const json_t *array = NULL;
    size_t n = plan->spec->job.n_inputs;
    int ret = json_get_array(at, "inputs", INPUTS_MAX, &array, err);
    if (ret)
        return ret;
    plan->stamps = calloc(n + 1, sizeof *plan->stamps);
    if (!plan->stamps)
        return err_sys(err, -ENOMEM, "task %s: reading the plan", task->name);
    for (size_t i = 0; i < n; i++) {
        const json_t *stamp = json_array_get(array, i);
        const json_t *mtime = json_array_get(stamp, 1);
        if (!integer_at(stamp, 0, INT64_MAX, &plan->stamps[i].len) || !json_is_integer(mtime))
            return bad_plan(task, "expected an input to be [bytes, mtime]", err);
        plan->stamps[i].mtime_ns = json_integer_value(mtime); /* may be before 1970 */
    }
    return 0;
}

/* tables/<table>/staging/.work-<task>-<nonce>, and nothing else: parts are written and removed there. */
static int staging_decode(const struct task *task, struct json_at at, struct task_plan *plan,
                          struct err *err)
{
    char prefix[STORE_PATH_MAX];
    const char *dir = NULL;
    struct staging *staging = &plan->staging;
    int ret = json_get_string(at, "staging", LAYOUT_PATH_MAX - 1, &dir, err);
    if (ret)
        return ret;
    snprintf(staging->table, sizeof staging->table, "%s", plan->spec->job.table);
    snprintf(staging->task, sizeof staging->task, "%s", task->name);
    layout_staging_dir(staging->table, staging->task, staging->sealed_dir);
    snprintf(prefix, sizeof prefix, "tables/%s/staging/" LAYOUT_WORK_PREFIX "%s-", staging->table,
             staging->task);
    size_t len = strlen(prefix);
    if (strncmp(dir, prefix, len) || strlen(dir) != len + 16 ||
        strspn(dir + len, "0123456789abcdef") != 16)
        return bad_plan(task, "expected the staging directory of this task", err);
    snprintf(staging->dir, sizeof staging->dir, "%.*s", LAYOUT_PATH_MAX - 1, dir);
    return 0;
}

static int plan_decode(const struct task *task, const json_t *json, struct task_plan *plan,
                       struct err *err)
{
    struct json_at at = {json, "plan.json"};
    const json_t *spec = NULL;
    const char *hex = NULL;
    int ret = json_get_object(at, "job", &spec, err);
    if (!ret)
        ret = task_spec_decode_json(json_incref((json_t *)(uintptr_t)spec), "plan.json",
                                    &plan->document, err);
    if (ret)
        return ret;
    struct job *job = &plan->document.spec.job;
    plan->spec = &plan->document.spec;
    job->task = task->name;
    if ((ret = job_check(job, err)) ||
        (ret = json_get_u64(at, "base", INT64_MAX, &plan->base, err)) ||
        (ret = json_get_string(at, "base_digest", DIGEST_HEX_LEN, &hex, err)) ||
        (ret = json_get_u32(at, "groups", SHARDS_MAX, &plan->n_groups, err)) ||
        (ret = staging_decode(task, at, plan, err)) || (ret = stamps_decode(task, at, plan, err)) ||
        (ret = pieces_decode(task, at, plan, err)))
        return ret;
    if (digest_from_hex(hex, &plan->base_digest) || plan->n_groups == 0 ||
        (plan->base != 0) != job->is_delta)
        return bad_plan(task, "its members do not go together", err);
    plan->order = plan_order(job, &job->schema);
    return 0;
}

int task_plan_open(const struct task *task, struct task_plan *plan, struct err *err)
{
    scope_json json_t *json = NULL;
    *plan = (struct task_plan){0};
    int ret = task_get(task, "plan.json", &json, err);
    if (!ret)
        ret = plan_decode(task, json, plan, err);
    if (ret)
        task_plan_release(plan);
    return ret;
}

void task_plan_release(struct task_plan *plan)
{
    task_document_release(&plan->document);
    free(plan->pieces);
    free(plan->inputs);
    free(plan->stamps);
    *plan = (struct task_plan){0};
}
