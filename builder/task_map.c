/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_map.h"

#include "base/scope.h"
#include "builder/plan.h"
#include "builder/value_coding.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* ---- the marker ---- */

static json_t *mapped_encode(struct task_work *work, const struct task_mapped *m)
{
    char hex[DIGEST_HEX_LEN + 1];
    json_t *out = task_work_stamp(work);
    digest_to_hex(&m->digest, hex);
    if (out &&
        (json_put_string(out, "file", m->file) || json_put_string(out, "digest", hex) ||
         json_put_u64(out, "bytes", m->len) || json_put_u64(out, "rows", m->rows) ||
         json_put_u64(out, "bad_rows", m->bad_rows) ||
         json_put_u64(out, "input_bytes", m->input_bytes) || json_put_u64(out, "begin", m->begin) ||
         json_put_u64(out, "end", m->end) || json_put_u64(out, "lines", m->n_lines) ||
         json_put_u64(out, "entries", m->totals.n_entries) ||
         json_put_u64(out, "key_bytes", m->totals.key_len) ||
         json_put_u64(out, "value_bytes", m->totals.value_len) ||
         json_put_u64(out, "value_max", m->totals.value_max))) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static int mapped_decode(struct json_at at, struct task_mapped *m, struct err *err)
{
    static const char prefix[] = "runs/";
    const char *hex = NULL;
    const char *file = NULL;
    struct level_totals *totals = &m->totals;
    int ret = 0;
    if ((ret = json_get_string(at, "file", TASK_FILE_MAX - 1, &file, err)) ||
        (ret = json_get_string(at, "digest", DIGEST_HEX_LEN, &hex, err)) ||
        (ret = json_get_u64(at, "bytes", INT64_MAX, &m->len, err)) ||
        (ret = json_get_u64(at, "rows", INT64_MAX, &m->rows, err)) ||
        (ret = json_get_u64(at, "bad_rows", INT64_MAX, &m->bad_rows, err)) ||
        (ret = json_get_u64(at, "input_bytes", INT64_MAX, &m->input_bytes, err)) ||
        (ret = json_get_u64(at, "begin", INT64_MAX, &m->begin, err)) ||
        (ret = json_get_u64(at, "end", INT64_MAX, &m->end, err)) ||
        (ret = json_get_u64(at, "lines", INT64_MAX, &m->n_lines, err)) ||
        (ret = json_get_u64(at, "entries", INT64_MAX, &totals->n_entries, err)) ||
        (ret = json_get_u64(at, "key_bytes", INT64_MAX, &totals->key_len, err)) ||
        (ret = json_get_u64(at, "value_bytes", INT64_MAX, &totals->value_len, err)) ||
        (ret = json_get_u32(at, "value_max", UINT32_MAX, &totals->value_max, err)))
        return ret;
    if (digest_from_hex(hex, &m->digest) || strncmp(file, prefix, sizeof prefix - 1) ||
        strchr(file + sizeof prefix - 1, '/'))
        return err_set(err, -EBADMSG, "%s: expected a file in runs/ and its digest", at.name);
    snprintf(m->file, sizeof m->file, "%s", file);
    return 0;
}

int task_mapped_get(const struct task *task, uint32_t piece, struct task_mapped *out,
                    struct err *err)
{
    scope_json json_t *json = NULL;
    char file[TASK_FILE_MAX];
    struct err why = {0};
    *out = (struct task_mapped){0};
    task_marker_name(STAGE_MAP, piece, file);
    int ret = task_get(task, file, &json, &why);
    if (ret == -ENOENT)
        return 0;
    if (ret)
        return err_set(err, ret, "%s", err_text(&why, ret));
    ret = mapped_decode((struct json_at){json, file}, out, err);
    return ret ? ret : 1;
}

/* ---- the work ---- */

struct mapping {
    const struct task *task;
    const struct task_plan *plan;
    struct task_work *work;
    struct meter *meter;
    struct input_piece piece;
    uint32_t number;
    struct task_mapped out;
};

/* A name of its own for each try: a worker that was given up may still be writing to another. */
static int name_runs(const struct mapping *mapping, char out[TASK_FILE_MAX], struct err *err)
{
    uint64_t nonce = 0;
    if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce)
        return err_sys(err, -errno, "naming sorted runs");
    snprintf(out, TASK_FILE_MAX, "runs/%05" PRIu32 "-%016" PRIx64 ".run", mapping->number, nonce);
    return 0;
}

static int run_map(struct mapping *mapping, struct spill_writer *spill, struct map_output *output,
                   struct err *err)
{
    const struct task_plan *plan = mapping->plan;
    struct job job = plan->spec->job;
    struct map_plan share;
    job.memory = task_plan_map_memory(plan->spec);
    plan_map(&job, &job.schema, 1, &share);
    struct map_params params = {
        .job = &job,
        .schema = &job.schema,
        .order = plan->order,
        .has_sample = value_coding_wants_sample(&job, job.schema.kind),
        .n_workers = 1,
        .arena_len = share.arena_len,
        .block_len = share.block_len,
        .spill = spill,
        .pieces = &mapping->piece,
        .n_pieces = 1,
        .first_piece = mapping->number,
    };
    return map_run(&mapping->work->engine.engine, &params, mapping->meter, output, err);
}

static int spill_open_new(struct mapping *mapping, struct spill_writer *spill, struct err *err)
{
    char path[STORE_PATH_MAX];
    int ret = name_runs(mapping, mapping->out.file, err);
    if (!ret)
        ret = task_path(mapping->task, mapping->out.file, path, err);
    return ret ? ret : spill_writer_open(spill, mapping->task->store, path, err);
}

/* What is left to do of a spill once its runs are written. */
struct committing {
    struct mapping *mapping;
    struct spill_writer *spill;
    const struct value_sample *sample;
};

static int commit_main(void *context, uint32_t number, struct err *err)
{
    struct committing *c = context;
    struct task_mapped *out = &c->mapping->out;
    return spill_writer_commit(c->spill, c->sample, &out->digest, &out->len, err);
}

static void commit_tick(void *context)
{
    struct committing *c = context;
    meter_tick(c->mapping->meter);
}

/* What was written may take a store minutes to make durable, and who is silent so long is thought dead. */
static int spill_commit(struct mapping *mapping, struct spill_writer *spill,
                        const struct value_sample *sample, struct err *err)
{
    struct committing committing = {.mapping = mapping, .spill = spill, .sample = sample};
    struct engine_work work = {
        .n_tasks = 1, .task = commit_main, .tick = commit_tick, .context = &committing};
    struct engine *engine = &mapping->work->engine.engine;
    return engine->run(engine, &work, err);
}

static int map_to_spill(struct mapping *mapping, struct err *err)
{
    struct spill_writer spill = {0};
    struct map_output output = {0};
    struct task_mapped *out = &mapping->out;
    int ret = spill_open_new(mapping, &spill, err);
    if (!ret)
        ret = run_map(mapping, &spill, &output, err);
    if (!ret)
        ret = spill_commit(mapping, &spill, &output.sample, err);
    if (!ret) {
        out->rows = output.rows;
        out->bad_rows = output.bad_rows;
        out->input_bytes = output.input_bytes;
        out->totals = output.totals;
        out->begin = output.seen[0].begin;
        out->end = output.seen[0].end;
        out->n_lines = output.seen[0].rows_lines;
    }
    map_output_release(&output);
    spill_writer_release(&spill);
    return ret;
}

/*
 * Where the border was guessed, what is wrong with rows may be the guess's fault. Such a piece is told as one that begins nowhere, with
 * no runs; so it is mapped again from where the piece before it ends, and then means what it says.
 */
static int map_nothing(struct mapping *mapping, struct err *err)
{
    struct spill_writer spill = {0};
    struct value_sample none = {0};
    struct task_mapped *out = &mapping->out;
    *out = (struct task_mapped){.begin = INT64_MAX, .end = INT64_MAX};
    int ret = spill_open_new(mapping, &spill, err);
    if (!ret)
        ret = spill_commit(mapping, &spill, &none, err);
    spill_writer_release(&spill);
    return ret;
}

static int map_piece(struct mapping *mapping, struct err *err)
{
    const struct task_plan *plan = mapping->plan;
    const struct input_piece *piece = &mapping->piece;
    enum input_format format = plan->spec->job.format;
    struct err why = {0};
    int ret =
        input_stamp_check(piece->path, format, &plan->stamps[plan->inputs[mapping->number]], &why);
    if (!ret)
        ret = map_to_spill(mapping, &why);
    if (ret == -EBADMSG && !piece->is_exact && input_border_is_guess(piece->path, format)) {
        task_work_say(mapping->work, "put off until it is known where a row begins: %s", why.text);
        return map_nothing(mapping, err);
    }
    if (ret == -ESTALE)
        return err_set(err, ret, "%s; or plan and map this one again: fkv task retry --remap %s",
                       err_text(&why, ret), mapping->task->name);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static int put_marker(struct mapping *mapping, bool is_new, struct err *err)
{
    char file[TASK_FILE_MAX];
    struct err why = {0};
    json_t *doc = mapped_encode(mapping->work, &mapping->out);
    task_marker_name(STAGE_MAP, mapping->number, file);
    if (!is_new)
        return task_put(mapping->task, file, doc, err);
    int ret = task_put_new(mapping->task, file, doc, &why);
    if (ret == -EEXIST)
        return 0;
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static void say_mapped(struct task_work *work, const struct input_piece *piece,
                       const struct task_mapped *m)
{
    double seconds = meter_seconds(&work->meter);
    task_work_say(work,
                  "%s, bytes %" PRIu64 " to %" PRIu64 ": %" PRIu64 " rows (%" PRIu64
                  " bad), %.1f MB/s, %" PRIu64 " bytes of runs",
                  piece->path, m->begin, m->end, m->rows, m->bad_rows,
                  seconds > 0 ? (double)m->input_bytes / seconds / 1e6 : 0, m->len);
}

static bool is_mapped(void *context)
{
    const struct mapping *mapping = context;
    struct task_mapped there;
    return task_mapped_get(mapping->task, mapping->number, &there, NULL) == 1;
}

int task_map(const struct task *task, const struct task_plan *plan, uint32_t piece,
             const atomic_bool *cancel, struct err *err)
{
    struct task_work work;
    struct task_mapped there;
    if (piece >= plan->n_pieces)
        return err_set(err, -EINVAL, "task %s: expected a piece below %" PRIu32 ", found %" PRIu32,
                       task->name, plan->n_pieces, piece);
    int ret = task_mapped_get(task, piece, &there, err);
    if (ret > 0)
        task_work_done(task, STAGE_MAP, piece);
    if (ret)
        return ret < 0 ? ret : 0;
    task_work_begin(&work, task, STAGE_MAP, piece, cancel);
    work.keep_dir = plan->staging.dir;
    struct mapping mapping = {.task = task,
                              .plan = plan,
                              .work = &work,
                              .meter = &work.meter,
                              .piece = plan->pieces[piece],
                              .number = piece};
    work.is_done = is_mapped;
    work.done_context = &mapping;
    struct err why = {0};
    ret = map_piece(&mapping, &why);
    if (!ret)
        ret = put_marker(&mapping, true, &why);
    if (!ret)
        say_mapped(&work, &mapping.piece, &mapping.out);
    ret = task_work_end(&work, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

int task_map_again(const struct task *task, const struct task_plan *plan, uint32_t piece,
                   uint64_t begin, struct task_work *work, struct task_mapped *out, struct err *err)
{
    /* Whoever runs this ticks the worker's meter already: mapping has one that nobody looks at. */
    struct build_hooks hooks = work->hooks;
    struct meter meter;
    hooks.progress = NULL;
    meter_init(&meter, &hooks);
    struct mapping mapping = {.task = task,
                              .plan = plan,
                              .work = work,
                              .meter = &meter,
                              .piece = plan->pieces[piece],
                              .number = piece};
    mapping.piece.begin = begin;
    mapping.piece.is_exact = true;
    int ret = map_piece(&mapping, err);
    if (!ret)
        ret = put_marker(&mapping, false, err);
    if (!ret)
        *out = mapping.out;
    return ret;
}
