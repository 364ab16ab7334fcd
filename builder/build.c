/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/build.h"

#include "builder/delta_base.h"
#include "builder/describe.h"
#include "builder/engine.h"
#include "builder/figures_json.h"
#include "builder/input.h"
#include "builder/map.h"
#include "builder/merge.h"
#include "builder/meter.h"
#include "builder/parquet.h"
#include "builder/plan.h"
#include "builder/reduce.h"
#include "builder/seal.h"
#include "builder/source.h"
#include "builder/staging.h"
#include "builder/value_coding.h"
#include "builder/verify.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BUFFER = 512 << 10, PARQUET_PIECE_LEN = 32 << 20 };

/* One build from beginning to end. */
struct build {
    struct store *store;
    const struct job *job;
    struct engine_local engine;
    uint32_t n_threads;
    struct meter meter;
    struct staging staging;
    bool has_staging;
    struct delta_base base;   /* of a delta */
    struct version_desc desc; /* what is being made */
    struct run_order order;
    struct input_piece *pieces; /* each input as a whole, or a large Parquet file in several */
    size_t n_pieces;
    struct map_output map;
    struct value_coding coding;
};

/* ---- plan ---- */

/* Names an input that is not there before anything is begun; adds up the sizes. */
static int inputs_stat(const struct job *job, uint64_t *len, struct err *err)
{
    *len = 0;
    if (job->format == INPUT_SQL)
        return 0;
    struct source_identity *inputs = calloc(job->n_inputs, sizeof *inputs);
    if (!inputs)
        return err_sys(err, -ENOMEM, "%zu inputs", job->n_inputs);
    int ret = sources_identify(job->inputs, job->n_inputs, inputs, err);
    for (size_t i = 0; i < job->n_inputs && !ret; i++)
        *len += inputs[i].len;
    free(inputs);
    return ret;
}

static void keep_staging(void *context)
{
    const struct build *build = context;
    staging_mark(&build->staging, build->store);
}

static int piece_add(struct build *build, const struct input_piece *piece, struct err *err)
{
    size_t n = build->n_pieces;
    if (n == INPUTS_MAX)
        return err_set(err, -E2BIG,
                       "more than %d pieces of inputs: build from fewer or smaller files",
                       (int)INPUTS_MAX);
    if ((n & (n - 1)) == 0) {
        struct input_piece *pieces =
            realloc(build->pieces, (n ? 2 * n : 1) * sizeof *build->pieces);
        if (!pieces)
            return err_sys(err, -ENOMEM, "%zu pieces of inputs", n);
        build->pieces = pieces;
    }
    build->pieces[build->n_pieces++] = *piece;
    return 0;
}

/* DuckDB decodes in the thread that fetches, so that several threads need several pieces. */
static int parquet_pieces(struct build *build, const char *path, struct err *err)
{
    struct parquet_groups pieces = {0};
    struct input_piece piece = {.path = path, .is_exact = true};
    int ret = parquet_cut(build->job, path, PARQUET_PIECE_LEN, &pieces, err);
    if (!ret && pieces.n == 0) {
        piece.end = UINT64_MAX;
        return piece_add(build, &piece, err);
    }
    for (size_t i = 0; !ret && i < pieces.n; i++) {
        piece.begin = piece.end;
        piece.end = pieces.ends[i];
        ret = piece_add(build, &piece, err);
    }
    parquet_groups_release(&pieces);
    return ret;
}

static int pieces_make(struct build *build, struct err *err)
{
    const struct job *job = build->job;
    for (size_t i = 0; i < job->n_inputs; i++) {
        struct input_piece whole = {.path = job->inputs[i], .end = UINT64_MAX, .is_exact = true};
        bool is_cut = build->n_threads > 1 && parquet_is_input(job->inputs[i], job->format);
        int ret =
            is_cut ? parquet_pieces(build, job->inputs[i], err) : piece_add(build, &whole, err);
        if (ret)
            return ret;
    }
    return 0;
}

static int build_plan(struct build *build, const struct state *state, struct err *err)
{
    const struct job *job = build->job;
    uint64_t len = 0;
    int ret = job_check(job, err);
    if (!ret)
        ret = inputs_stat(job, &len, err);
    if (!ret)
        ret = pieces_make(build, err);
    if (ret)
        return ret;
    build->desc.schema = job->schema;
    build->desc.n_levels = 1;
    if (job->is_delta) {
        ret = delta_base_choose(&build->base, build->store, state, job, err);
        if (!ret)
            ret = delta_base_shape(&build->base, job, &build->desc.schema, err);
        if (ret)
            return ret;
        build->desc.base = build->base.desc.version;
        build->desc.n_levels = build->base.desc.n_levels + 1;
    }
    ret = staging_open(&build->staging, build->store, job, err);
    if (ret)
        return ret;
    build->has_staging = true;
    build->meter.keep = keep_staging;
    build->meter.keep_context = build;
    meter_stage(&build->meter, BUILD_MAP, len);
    return 0;
}

/* ---- the stages ---- */

static int build_map(struct build *build, struct err *err)
{
    struct map_plan plan;
    const struct schema *schema = &build->desc.schema;
    plan_map(build->job, schema, build->n_threads, &plan);
    build->order = plan_order(build->job, schema);
    struct map_params params = {.job = build->job,
                                .pieces = build->pieces,
                                .n_pieces = build->n_pieces,
                                .schema = schema,
                                .order = build->order,
                                .has_sample = value_coding_wants_sample(build->job, schema->kind),
                                .n_workers = plan.n_workers,
                                .arena_len = plan.arena_len,
                                .block_len = plan.block_len};
    return map_run(&build->engine.engine, &params, &build->meter, &build->map, err);
}

static int build_merge_down(struct build *build, const struct reduce_plan *plan,
                            struct scratch *scratch, struct err *err)
{
    if (build->map.n_runs <= plan->n_runs_max)
        return 0;
    int ret = scratch_open(scratch, build->job->scratch, err);
    if (ret)
        return ret;
    return merge_down(build->map.runs, &build->map.n_runs, plan->n_runs_max, &build->order,
                      MERGE_ALL, plan->read_memory, &scratch->file, err);
}

static uint64_t runs_len(const struct map_output *map)
{
    uint64_t len = 0;
    for (size_t i = 0; i < map->n_runs; i++)
        len += map->runs[i].arena ? map->runs[i].arena->len : map->runs[i].len;
    return len;
}

/* The part descriptions of the level being written: the last n_shards. */
static struct part_desc *own_parts(struct build *build)
{
    return build->desc.parts + (build->desc.n_parts - build->desc.schema.n_shards);
}

static int desc_make_room(struct version_desc *desc, struct err *err)
{
    size_t n = (size_t)desc->n_levels * desc->schema.n_shards;
    desc->parts = calloc(n, sizeof *desc->parts);
    if (!desc->parts)
        return err_sys(err, -ENOMEM, "%zu parts", n);
    desc->n_parts = n;
    return 0;
}

/* How many shards, and how values are stored: what the input decides. */
static int build_choose(struct build *build, struct build_result *result, struct err *err)
{
    struct schema *schema = &build->desc.schema;
    const struct level_totals *totals = &build->map.totals;
    struct value_coding *coding = &build->coding;
    if (schema->n_shards == 0)
        schema->n_shards = plan_shards(schema->kind, totals->key_len + totals->value_len);
    struct value_totals values = {
        .n_values = totals->n_entries, .len = totals->value_len, .n_shards = schema->n_shards};
    int ret = value_coding_choose(build->job, schema, &build->map.sample, &values, coding, err);
    value_sample_release(&build->map.sample);
    if (ret)
        return ret;
    result->kind = schema->kind;
    result->was_sampled = coding->was_sampled;
    result->ratio_tried = coding->ratio_tried;
    result->level = coding->compression ? coding->level : 0;
    result->dictionary_len = (uint32_t)coding->dictionary.len;
    return 0;
}

static int reduce_shards(struct build *build, const struct reduce_plan *plan,
                         struct build_result *result, struct err *err)
{
    struct version_desc *desc = &build->desc;
    struct level_params level = {.job = build->job,
                                 .schema = &desc->schema,
                                 .level = desc->n_levels - 1,
                                 .totals = build->map.totals,
                                 .coding = &build->coding};
    struct join_base base = {.store = build->store,
                             .dir = build->base.dir,
                             .desc = &build->base.desc,
                             .memory = plan->base_memory,
                             .scratch_dir = build->job->scratch};
    struct reduce_params params = {.job = build->job,
                                   .pieces = build->pieces,
                                   .n_pieces = build->n_pieces,
                                   .store = build->store,
                                   .dir = build->staging.dir,
                                   .level = &level,
                                   .order = build->order,
                                   .runs = build->map.runs,
                                   .n_runs = build->map.n_runs,
                                   .base = shard_delta_wanted(build->job) ? &base : NULL,
                                   .read_memory = plan->read_memory,
                                   .n_at_once = plan->n_at_once};
    struct reduce_totals totals = {0};
    int ret =
        reduce_run(&build->engine.engine, &params, &build->meter, own_parts(build), &totals, err);
    result->duplicates = totals.n_duplicates;
    result->values_len = totals.values_len;
    result->values_stored_len = totals.values_stored_len;
    result->was_compared = params.base != NULL;
    result->join = totals.join;
    return ret;
}

static int build_reduce(struct build *build, struct build_result *result, struct err *err)
{
    struct version_desc *desc = &build->desc;
    struct reduce_plan plan;
    struct scratch scratch = {.fd = -1};
    meter_stage(&build->meter, BUILD_REDUCE, runs_len(&build->map));
    int ret = build_choose(build, result, err);
    if (!ret)
        ret = desc_make_room(desc, err);
    if (!ret)
        ret = plan_reduce(&build->map, build->job, &desc->schema, &build->order,
                          shard_delta_wanted(build->job) ? &build->base.desc : NULL,
                          engine_n_threads(build->n_threads), &plan, err);
    if (ret)
        return ret;
    ret = build_merge_down(build, &plan, &scratch, err);
    if (!ret)
        ret = reduce_shards(build, &plan, result, err);
    map_output_release(&build->map);
    scratch_close(&scratch);
    /* What is below LARGE_BUFFER would stay while parts are read back. */
    malloc_trim(0);
    return ret;
}

static uint64_t longest_part(const struct part_desc *parts, size_t n)
{
    uint64_t len = 0;
    for (size_t i = 0; i < n; i++)
        len = parts[i].len > len ? parts[i].len : len;
    return len;
}

/* Of a part on disk, what a look-up needs. */
static uint64_t longest_in_memory(const struct part_desc *parts, size_t n)
{
    uint64_t len = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t needed = parts[i].tail_len ? parts[i].tail_len : parts[i].len;
        len = needed > len ? needed : len;
    }
    return len;
}

static int build_seal(struct build *build, const struct join_totals *join, struct err *err)
{
    struct version_desc *desc = &build->desc;
    struct read_plan plan;
    uint64_t len = longest_part(own_parts(build), desc->schema.n_shards);
    uint64_t base_len = longest_in_memory(build->base.desc.parts, build->base.desc.n_parts);
    plan_read(base_len > len ? base_len : len, 2, build->job->memory, build->n_threads, &plan);
    struct seal_params params = {.store = build->store,
                                 .dir = build->staging.dir,
                                 .base_dir = build->base.dir,
                                 .base = build->base.is_there ? &build->base.desc : NULL,
                                 .heap_max = plan.heap_max,
                                 .scratch_dir = build->job->scratch,
                                 .n_at_once = plan.n_at_once,
                                 .join = build->job->diff_base ? join : NULL};
    return seal_run(&build->engine.engine, &params, &build->meter, desc, err);
}

static int build_verify(struct build *build, struct build_figures *figures, struct err *err)
{
    struct read_plan plan;
    uint32_t n = build->desc.schema.n_shards;
    plan_read(longest_part(own_parts(build), n), 1, build->job->memory,
              engine_n_threads(build->n_threads), &plan);
    struct verify_params params = {.store = build->store,
                                   .dir = build->staging.dir,
                                   .schema = &build->desc.schema,
                                   .parts = own_parts(build),
                                   .n_parts = n,
                                   .heap_max = plan.heap_max,
                                   .scratch_dir = build->job->scratch,
                                   .n_at_once = plan.n_at_once};
    return verify_run(&build->engine.engine, &params, &build->meter, figures, err);
}

/* Verification has counted what was written; this is what was read, and the file that keeps both. */
static int build_figures_keep(struct build *build, struct build_result *result, struct err *err)
{
    struct build_figures *figures = &result->figures;
    figures->rows = result->rows;
    figures->bad_rows = result->bad_rows;
    figures->duplicates = result->duplicates;
    return figures_write(build->store, build->staging.dir, figures, err);
}

/* ---- all of it ---- */

static int build_stages(struct build *build, struct build_result *result, struct err *err)
{
    double at[5] = {0};
    int ret = build_map(build, err);
    at[1] = meter_seconds(&build->meter);
    if (ret)
        return ret;
    result->rows = build->map.rows;
    result->bad_rows = build->map.bad_rows;
    result->input_bytes = build->map.input_bytes;
    ret = build_reduce(build, result, err);
    at[2] = meter_seconds(&build->meter);
    if (!ret)
        ret = build_seal(build, &result->join, err);
    at[3] = meter_seconds(&build->meter);
    if (!ret)
        ret = build_verify(build, &result->figures, err);
    if (!ret)
        ret = build_figures_keep(build, result, err);
    if (!ret)
        ret = describe_version(build->job, build->staging.task, &build->desc, err);
    if (!ret)
        ret = seal_finish(build->store, build->staging.dir, &build->desc, err);
    if (!ret)
        ret = staging_seal(&build->staging, build->store, err);
    at[4] = meter_seconds(&build->meter);
    for (int i = 0; i < 4; i++)
        result->seconds[i] = at[i + 1] - at[i];
    meter_tick(&build->meter);
    return ret;
}

static void result_fill(struct build *build, struct build_result *result)
{
    const struct version_desc *desc = &build->desc;
    const struct part_desc *parts = own_parts(build);
    snprintf(result->task, sizeof result->task, "%s", build->staging.task);
    result->base = desc->base;
    result->n_shards = desc->schema.n_shards;
    for (uint32_t i = 0; i < desc->schema.n_shards; i++) {
        result->n_keys += parts[i].n_keys;
        result->n_tombstones += parts[i].n_tombstones;
        result->len += parts[i].len;
    }
}

int build_run(struct store *store, const struct state *state, const struct job *job,
              const struct build_hooks *hooks, struct build_result *result, struct err *err)
{
    struct build build = {.store = store, .job = job, .n_threads = plan_threads(job)};
    struct build_result done = {0};
    /* Large buffers go back to the system when they are freed. glibc would learn to keep them, in pieces that fit nothing, and
     * the bound on memory would not hold. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
    engine_local_init(&build.engine, build.n_threads, hooks ? hooks->cancel : NULL);
    meter_init(&build.meter, hooks);
    int ret = build_plan(&build, state, err);
    if (!ret)
        ret = build_stages(&build, &done, err);
    if (ret && build.has_staging) {
        ret = staging_explain(&build.staging, store, ret, err);
        staging_drop(&build.staging, store);
    }
    if (!ret) {
        result_fill(&build, &done);
        *result = done;
    }
    map_output_release(&build.map);
    free(build.pieces);
    value_coding_release(&build.coding);
    version_desc_release(&build.desc);
    delta_base_release(&build.base);
    return ret;
}
