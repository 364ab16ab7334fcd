/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/checkpoint.h"

#include "base/scope.h"
#include "builder/checkpoint_survey.h"
#include "builder/content_digest.h"
#include "builder/describe.h"
#include "builder/engine.h"
#include "builder/figures_json.h"
#include "builder/layout.h"
#include "builder/meter.h"
#include "builder/plan.h"
#include "builder/seal.h"
#include "builder/shard_copy.h"
#include "builder/staging.h"
#include "builder/verify.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BUFFER = 512 << 10, SOURCE_MAX = 64 };

/* One checkpoint from beginning to end. */
struct checkpoint {
    struct store *store;
    struct job job; /* what the writers ask: table, memory, how values are stored */
    char source[SOURCE_MAX];
    const char *sources[1];
    struct engine_local engine;
    uint32_t n_threads;
    struct meter meter;
    struct staging staging;
    bool has_staging;
    char chain_dir[LAYOUT_PATH_MAX];
    struct version_desc chain;
    struct version_desc desc; /* what is being made */
    struct level_totals totals;
    uint32_t value_stored_max;
    struct value_coding coding;
    struct stream_plan plan;
    struct content_digest *read;    /* of each shard, from the chain */
    struct content_digest *written; /* and from the new parts */
    double bytes_a_key;             /* of the chain, for the meter */
    pthread_mutex_t lock;
    uint64_t values_len; /* under the lock */
    uint64_t values_stored_len;
};

/* ---- plan ---- */

/* Which version: the newest, or the one asked for, which must be the newest. */
static int version_choose(const struct checkpoint_params *params, const struct state *state,
                          const struct version_entry **out, struct err *err)
{
    const struct table_state *table = state_find_table(state, params->table);
    uint64_t newest = table ? table_state_newest(table) : 0;
    if (!newest)
        return err_set(err, -ENOENT, "table %s has no version to make a checkpoint of; see: fkv ls",
                       params->table);
    if (params->version && !table_state_find(table, params->version))
        return err_set(err, -ENOENT, "table %s has no version %" PRIu64 "; see: fkv ls %s",
                       params->table, params->version, params->table);
    if (params->version && params->version != newest)
        return err_set(err, -ESTALE,
                       "table %s: a checkpoint of version %" PRIu64
                       " would undo what came after it; expected the newest, %" PRIu64,
                       params->table, params->version, newest);
    *out = table_state_find(table, newest);
    return 0;
}

static int chain_open(struct checkpoint *checkpoint, const struct version_entry *version,
                      struct err *err)
{
    struct version_desc *chain = &checkpoint->chain;
    layout_version_dir(checkpoint->job.table, version->version, checkpoint->chain_dir);
    int ret =
        version_desc_read(checkpoint->store, checkpoint->chain_dir, &version->digest, chain, err);
    if (ret)
        return ret;
    if (chain->version != version->version)
        return err_set(err, -EBADMSG,
                       "%s/version.json: expected version %" PRIu64 ", found %" PRIu64,
                       checkpoint->chain_dir, version->version, chain->version);
    checkpoint->bytes_a_key =
        chain->n_keys ? (double)version_desc_len(chain) / (double)chain->n_keys : 0;
    snprintf(checkpoint->source, sizeof checkpoint->source, "checkpoint of version %" PRIu64,
             chain->version);
    return 0;
}

static int params_check(const struct checkpoint_params *params, struct err *err)
{
    int ret = table_name_check(params->table, err);
    if (!ret && params->task)
        ret = task_name_check(params->task, err);
    if (ret)
        return ret;
    if (params->memory < JOB_MEMORY_MIN)
        return err_set(err, -EINVAL,
                       "--memory: expected at least %llu MiB, found %" PRIu64 " bytes",
                       JOB_MEMORY_MIN >> 20, params->memory);
    if (params->n_threads > THREADS_MAX)
        return err_set(err, -EINVAL, "--threads: expected at most %d, found %u", (int)THREADS_MAX,
                       params->n_threads);
    if (params->compress_level < 0 || params->compress_level > 19)
        return err_set(err, -EINVAL, "--compress-level: expected a level of 1 to 19, found %d",
                       params->compress_level);
    return 0;
}

static void keep_staging(void *context)
{
    const struct checkpoint *checkpoint = context;
    staging_mark(&checkpoint->staging, checkpoint->store);
}

static int desc_begin(struct checkpoint *checkpoint, struct err *err)
{
    struct version_desc *desc = &checkpoint->desc;
    uint32_t n = checkpoint->chain.schema.n_shards;
    desc->schema = checkpoint->chain.schema;
    desc->checkpoint_of = checkpoint->chain.version;
    desc->n_levels = 1;
    desc->parts = calloc(n, sizeof *desc->parts);
    checkpoint->read = calloc(n, sizeof *checkpoint->read);
    checkpoint->written = calloc(n, sizeof *checkpoint->written);
    if (!desc->parts || !checkpoint->read || !checkpoint->written)
        return err_sys(err, -ENOMEM, "%u parts", n);
    desc->n_parts = n;
    return 0;
}

static int checkpoint_begin(struct checkpoint *checkpoint, struct err *err)
{
    checkpoint->job.schema = checkpoint->chain.schema;
    int ret = desc_begin(checkpoint, err);
    if (!ret)
        ret = staging_open(&checkpoint->staging, checkpoint->store, &checkpoint->job, err);
    if (ret)
        return ret;
    checkpoint->has_staging = true;
    checkpoint->meter.keep = keep_staging;
    checkpoint->meter.keep_context = checkpoint;
    return 0;
}

static struct shard_stream_params stream_params(const struct checkpoint *checkpoint, uint32_t shard,
                                                uint64_t memory)
{
    return (struct shard_stream_params){.store = checkpoint->store,
                                        .dir = checkpoint->chain_dir,
                                        .desc = &checkpoint->chain,
                                        .shard = shard,
                                        .memory = memory,
                                        .scratch_dir = checkpoint->job.scratch};
}

/* How values are stored, and how memory is shared out. */
static int checkpoint_choose(struct checkpoint *checkpoint, struct build_result *result,
                             struct err *err)
{
    const struct schema *schema = &checkpoint->chain.schema;
    struct value_coding *coding = &checkpoint->coding;
    struct checkpoint_survey survey;
    struct shard_stream_params params = stream_params(checkpoint, 0, checkpoint->job.memory / 2);
    int ret = checkpoint_survey_run(&params, &checkpoint->job, &survey, err);
    if (ret)
        return ret;
    checkpoint->totals = survey.totals;
    checkpoint->value_stored_max = survey.value_stored_max;
    struct value_totals values = {.n_values = survey.totals.n_entries,
                                  .len = survey.totals.value_len,
                                  .n_shards = schema->n_shards};
    ret = value_coding_choose(&checkpoint->job, schema, &survey.sample, &values, coding, err);
    checkpoint_survey_release(&survey);
    if (ret)
        return ret;
    result->kind = schema->kind;
    result->was_sampled = coding->was_sampled;
    result->ratio_tried = coding->ratio_tried;
    result->level = coding->compression ? coding->level : 0;
    result->dictionary_len = (uint32_t)coding->dictionary.len;
    return plan_streams(&checkpoint->job, &checkpoint->chain, &checkpoint->totals,
                        checkpoint->value_stored_max, checkpoint->n_threads, &checkpoint->plan,
                        err);
}

/* ---- writing ---- */

static int copy_main(void *context, uint32_t number, struct err *err)
{
    struct checkpoint *checkpoint = context;
    struct level_params level = {.job = &checkpoint->job,
                                 .schema = &checkpoint->desc.schema,
                                 .totals = checkpoint->totals,
                                 .coding = &checkpoint->coding};
    struct shard_copy_params params = {
        .from = stream_params(checkpoint, number, checkpoint->plan.memory),
        .to = &level,
        .dir = checkpoint->staging.dir,
        .bytes_an_entry = checkpoint->bytes_a_key};
    struct shard_info info = {0};
    int ret = shard_copy(&params, &checkpoint->meter, &checkpoint->desc.parts[number], &info,
                         &checkpoint->read[number], err);
    scope_lock(&checkpoint->lock);
    checkpoint->values_len += info.values_len;
    checkpoint->values_stored_len += info.values_stored_len;
    return ret;
}

static void copy_tick(void *context)
{
    struct checkpoint *checkpoint = context;
    meter_tick(&checkpoint->meter);
}

static int checkpoint_write(struct checkpoint *checkpoint, struct build_result *result,
                            struct err *err)
{
    struct engine *engine = &checkpoint->engine.engine;
    struct engine_work work = {.n_tasks = checkpoint->desc.schema.n_shards,
                               .n_at_once = checkpoint->plan.n_at_once,
                               .task = copy_main,
                               .tick = copy_tick,
                               .context = checkpoint};
    meter_stage(&checkpoint->meter, BUILD_REDUCE, version_desc_len(&checkpoint->chain));
    int ret = checkpoint_choose(checkpoint, result, err);
    if (!ret)
        ret = engine->run(engine, &work, err);
    result->values_len = checkpoint->values_len;
    result->values_stored_len = checkpoint->values_stored_len;
    malloc_trim(0);
    return ret;
}

/* ---- the same content ---- */

static int contents_compare(const struct checkpoint *checkpoint, struct build_result *result,
                            struct err *err)
{
    struct content_digest all = {0};
    for (uint32_t i = 0; i < checkpoint->desc.schema.n_shards; i++) {
        char expected[DIGEST_HEX_LEN + 1], found[DIGEST_HEX_LEN + 1];
        const struct content_digest *read = &checkpoint->read[i];
        const struct content_digest *written = &checkpoint->written[i];
        content_digest_text(read, expected);
        content_digest_text(written, found);
        if (!content_digest_equal(read, written))
            return err_set(err, -EBADMSG,
                           "shard %u: expected the content of version %" PRIu64 ", %" PRIu64
                           " keys (%s), but read %" PRIu64
                           " keys (%s) back: nothing was sealed; please report it",
                           i, checkpoint->chain.version, read->n, expected, written->n, found);
        content_digest_merge(&all, read);
    }
    if (all.n != checkpoint->chain.n_keys)
        return err_set(err, -EBADMSG,
                       "%s: expected %" PRIu64 " live keys, as version.json says, found %" PRIu64,
                       checkpoint->chain_dir, checkpoint->chain.n_keys, all.n);
    content_digest_text(&all, result->content);
    result->rows = all.n;
    return 0;
}

static int checkpoint_verify(struct checkpoint *checkpoint, struct build_result *result,
                             struct err *err)
{
    const struct version_desc *desc = &checkpoint->desc;
    struct read_plan plan;
    uint64_t len = 0;
    for (size_t i = 0; i < desc->n_parts; i++)
        len = desc->parts[i].len > len ? desc->parts[i].len : len;
    plan_read(len, 1, checkpoint->job.memory, checkpoint->n_threads, &plan);
    struct verify_params params = {.store = checkpoint->store,
                                   .dir = checkpoint->staging.dir,
                                   .parts = desc->parts,
                                   .n_parts = (uint32_t)desc->n_parts,
                                   .heap_max = plan.heap_max,
                                   .scratch_dir = checkpoint->job.scratch,
                                   .n_at_once = plan.n_at_once,
                                   .schema = &desc->schema,
                                   .contents = checkpoint->written};
    int ret =
        verify_run(&checkpoint->engine.engine, &params, &checkpoint->meter, &result->figures, err);
    if (!ret)
        ret = contents_compare(checkpoint, result, err);
    return ret ? ret
               : figures_write(checkpoint->store, checkpoint->staging.dir, &result->figures, err);
}

static int checkpoint_seal(struct checkpoint *checkpoint, struct err *err)
{
    struct version_desc *desc = &checkpoint->desc;
    for (size_t i = 0; i < desc->n_parts; i++)
        desc->n_keys += desc->parts[i].n_keys;
    desc->n_entries = desc->n_keys;
    int ret = describe_version(&checkpoint->job, checkpoint->staging.task, desc, err);
    if (!ret)
        ret = seal_finish(checkpoint->store, checkpoint->staging.dir, desc, err);
    return ret ? ret : staging_seal(&checkpoint->staging, checkpoint->store, err);
}

/* ---- all of it ---- */

static int checkpoint_stages(struct checkpoint *checkpoint, struct build_result *result,
                             struct err *err)
{
    int ret = checkpoint_begin(checkpoint, err);
    if (!ret)
        ret = checkpoint_write(checkpoint, result, err);
    result->seconds[BUILD_REDUCE] = meter_seconds(&checkpoint->meter);
    if (!ret)
        ret = checkpoint_verify(checkpoint, result, err);
    if (!ret)
        ret = checkpoint_seal(checkpoint, err);
    result->seconds[BUILD_VERIFY] =
        meter_seconds(&checkpoint->meter) - result->seconds[BUILD_REDUCE];
    meter_tick(&checkpoint->meter);
    if (ret && checkpoint->has_staging) {
        ret = staging_explain(&checkpoint->staging, checkpoint->store, ret, err);
        staging_drop(&checkpoint->staging, checkpoint->store);
    }
    return ret;
}

static void result_fill(const struct checkpoint *checkpoint, struct build_result *result)
{
    const struct version_desc *desc = &checkpoint->desc;
    snprintf(result->task, sizeof result->task, "%s", checkpoint->staging.task);
    result->n_shards = desc->schema.n_shards;
    result->n_keys = desc->n_keys;
    result->len = version_desc_len(desc);
    result->input_bytes = version_desc_len(&checkpoint->chain);
}

static void checkpoint_release(struct checkpoint *checkpoint)
{
    value_coding_release(&checkpoint->coding);
    version_desc_release(&checkpoint->chain);
    version_desc_release(&checkpoint->desc);
    free(checkpoint->read);
    free(checkpoint->written);
    pthread_mutex_destroy(&checkpoint->lock);
}

int checkpoint_run(struct store *store, const struct state *state,
                   const struct checkpoint_params *params, const struct build_hooks *hooks,
                   struct build_result *result, struct err *err)
{
    const struct version_entry *version = NULL;
    struct build_result done = {0};
    int ret = params_check(params, err);
    if (!ret)
        ret = version_choose(params, state, &version, err);
    if (ret)
        return ret;
    struct checkpoint checkpoint = {.store = store,

                                    .lock = PTHREAD_MUTEX_INITIALIZER};
    checkpoint.sources[0] = checkpoint.source;
    checkpoint.job = (struct job){.table = params->table,
                                  .task = params->task,
                                  .inputs = checkpoint.sources,
                                  .n_inputs = 1,
                                  .compress_level = params->compress_level,
                                  .memory = params->memory,
                                  .n_threads = params->n_threads,
                                  .scratch = params->scratch,
                                  .author = params->author};
    checkpoint.n_threads = plan_threads(&checkpoint.job);
    /* As in build_run(): or the bound on memory would not hold. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
    engine_local_init(&checkpoint.engine, checkpoint.n_threads, hooks ? hooks->cancel : NULL);
    meter_init(&checkpoint.meter, hooks);
    ret = chain_open(&checkpoint, version, err);
    done.checkpoint_of = version->version;
    done.is_full_already = !ret && checkpoint.chain.n_levels == 1;
    if (!ret && !done.is_full_already)
        ret = checkpoint_stages(&checkpoint, &done, err);
    if (!ret && !done.is_full_already)
        result_fill(&checkpoint, &done);
    checkpoint_release(&checkpoint);
    if (!ret)
        *result = done;
    return ret;
}
