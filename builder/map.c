/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/map.h"

#include "base/scope.h"
#include "builder/bad_rows.h"
#include "builder/duckdb_host.h"
#include "builder/plan.h"
#include "builder/row.h"

#include <errno.h>
#include <stdlib.h>

/* What the workers share. */
struct map {
    const struct map_params *params;
    struct meter *meter;
    struct feed *feed;
    struct duckdb_host duckdb; /* not started while no input needs it */
    struct bad_rows bad;
    struct map_output *out;
    pthread_mutex_t lock; /* guards all below, and out's counters and runs */
    size_t runs_cap;
    /* A fault that is not a row's: the first by place. */
    int failure;
    uint64_t failure_seq;
    struct err err;
};

struct worker {
    struct map *map;
    struct arena *arena;
    struct scratch *scratch;
    struct row_parser parser;
    struct input_block block;
    struct run_writer writer; /* once something was spilled */
    bool has_spilled;
    uint64_t rows;
    struct level_totals totals;
    struct value_sample sample;
};

static void map_fail(struct map *map, int code, uint64_t seq, const struct err *err)
{
    scope_lock(&map->lock);
    if (map->failure && seq >= map->failure_seq)
        return;
    map->failure = code;
    map->failure_seq = seq;
    map->err = *err;
}

static int runs_add(struct map *map, const struct run *run, struct err *err)
{
    scope_lock(&map->lock);
    struct map_output *out = map->out;
    if (out->n_runs == map->runs_cap) {
        size_t cap = map->runs_cap ? 2 * map->runs_cap : 16;
        struct run *runs = realloc(out->runs, cap * sizeof *runs);
        if (!runs)
            return err_sys(err, -ENOMEM, "%zu sorted runs", cap);
        out->runs = runs;
        map->runs_cap = cap;
    }
    out->runs[out->n_runs++] = *run;
    return 0;
}

static int spill_begin(struct worker *worker, struct err *err)
{
    const struct map_params *params = worker->map->params;
    if (params->spill)
        return run_writer_init(&worker->writer, &params->spill->file, err);
    int ret = scratch_open(worker->scratch, params->job->scratch, err);
    return ret ? ret : run_writer_init(&worker->writer, &worker->scratch->file, err);
}

/* Sorts the arena, writes it as a run and empties it. */
static int worker_spill(struct worker *worker, struct err *err)
{
    struct map *map = worker->map;
    struct run run = {0};
    int ret = 0;
    if (worker->arena->n == 0)
        return 0;
    arena_sort(worker->arena, &map->params->order);
    if (!worker->has_spilled) {
        ret = spill_begin(worker, err);
        worker->has_spilled = !ret;
    }
    if (!ret)
        ret = run_spill(&worker->writer, worker->arena, &run, err);
    if (ret)
        return ret;
    arena_clear(worker->arena);
    if (map->params->spill) {
        ret = spill_writer_add(map->params->spill, &run, err);
        run_release(&run);
        return ret;
    }
    ret = runs_add(map, &run, err);
    if (ret)
        run_release(&run);
    return ret;
}

static int worker_add(struct worker *worker, const struct part_entry *entry, uint64_t seq,
                      struct err *err)
{
    int ret = arena_add(worker->arena, entry, seq);
    if (ret == -ENOBUFS) {
        ret = worker_spill(worker, err);
        if (ret)
            return ret;
        ret = arena_add(worker->arena, entry, seq);
    }
    if (ret)
        return err_set(err, -E2BIG,
                       "a row of %u bytes does not fit the memory of a worker; allow more with "
                       "--memory",
                       entry->value_len);
    level_totals_add(&worker->totals,
                     &(struct level_totals){
                         .n_entries = 1,
                         .key_len = entry->key_len ? entry->key_len : sizeof(uint64_t),
                         .value_len = entry->value_len,
                         .value_max = entry->value_len,
                     });
    ret = worker->map->params->has_sample ? value_sample_add(&worker->sample, entry, seq) : 0;
    return ret ? err_sys(err, ret, "sampling values") : 0;
}

/* Decodes all rows of the block. A bad row is noted; other failures end the worker. */
static int worker_block(struct worker *worker, const struct input *input, uint32_t index,
                        struct err *err)
{
    struct map *map = worker->map;
    uint64_t rows_before = worker->rows;
    struct err reason;
    for (;;) {
        struct input_row row;
        struct part_entry entry;
        /* Once a row: clearing all of its text would take longer than the row. */
        reason.code = 0;
        reason.text[0] = '\0';
        int got = input_next(input, &worker->block, &row, &reason);
        if (got == 0)
            break;
        worker->rows++;
        uint64_t seq = seq_make(index, row.line);
        int ret = got < 0 ? got : row_parse(&worker->parser, &row, &entry, &reason);
        if (ret == -EBADMSG) {
            uint64_t first = bad_rows_add(&map->bad, seq, reason.text);
            if (first != BAD_ROWS_FEW)
                feed_stop(map->feed, (uint32_t)seq_piece(first));
            continue;
        }
        if (!ret)
            ret = worker_add(worker, &entry, seq + seq_make(map->params->first_piece, 0), &reason);
        if (ret) {
            *err = reason;
            return ret;
        }
    }
    atomic_fetch_add_explicit(&map->meter->rows, worker->rows - rows_before, memory_order_relaxed);
    return 0;
}

/* Takes blocks until there are none. */
static int worker_loop(struct worker *worker, uint64_t *seq, struct err *err)
{
    struct map *map = worker->map;
    for (;;) {
        uint32_t index = 0;
        const struct input *input = NULL;
        *seq = UINT64_MAX;
        int ret = meter_check(map->meter, err);
        if (ret)
            return ret;
        int got = feed_take(map->feed, &worker->block, &index, &input, seq, err);
        if (got <= 0)
            return got;
        *seq = UINT64_MAX;
        ret = worker_block(worker, input, index, err);
        feed_done(map->feed, index);
        if (ret)
            return ret;
    }
}

static int worker_count(struct worker *worker)
{
    struct map *map = worker->map;
    scope_lock(&map->lock);
    map->out->rows += worker->rows;
    level_totals_add(&map->out->totals, &worker->totals);
    return value_sample_merge(&map->out->sample, &worker->sample);
}

static int worker_start(struct worker *worker, struct err *err)
{
    const struct map_params *params = worker->map->params;
    int ret = arena_init(worker->arena, params->arena_len);
    if (!ret)
        ret = row_parser_init(&worker->parser, params->job, params->schema);
    return ret ? err_sys(err, ret, "starting a worker with %zu bytes", params->arena_len) : 0;
}

static int worker_main(void *context, uint32_t number, struct err *err)
{
    struct map *map = context;
    struct worker worker = {
        .map = map, .arena = &map->out->arenas[number], .scratch = &map->out->scratches[number]};
    uint64_t seq = UINT64_MAX;
    struct err fault = {0};
    int ret = worker_start(&worker, &fault);
    if (!ret)
        ret = worker_loop(&worker, &seq, &fault);
    if (!ret && (worker.has_spilled || map->params->spill))
        ret = worker_spill(&worker, &fault);
    else if (!ret)
        arena_sort(worker.arena, &map->params->order);
    int counted = worker_count(&worker);
    if (counted && !ret)
        ret = err_sys(&fault, counted, "sampling values");
    if (ret) {
        map_fail(map, ret, seq, &fault);
        feed_stop(map->feed, seq == UINT64_MAX ? 0 : (uint32_t)seq_piece(seq));
    }
    if (worker.has_spilled || map->params->spill)
        arena_release(worker.arena);
    run_writer_release(&worker.writer);
    row_parser_release(&worker.parser);
    input_block_release(&worker.block);
    return 0;
}

/* The stage's verdict: the first fault by place, be it a row or a file. */
static int map_verdict(struct map *map, struct err *err)
{
    struct map_output *out = map->out;
    out->bad_rows = bad_rows_count(&map->bad);
    uint64_t bad_seq = bad_rows_verdict(&map->bad);
    if (map->failure && (bad_seq == BAD_ROWS_FEW || map->failure_seq < bad_seq)) {
        if (err)
            *err = map->err;
        return map->failure;
    }
    return bad_seq == BAD_ROWS_FEW ? 0 : bad_rows_error(&map->bad, err);
}

/* Arenas left in memory become runs, or are spilled when together they are too large to stay. */
static int keep_arenas(struct map *map, struct err *err)
{
    struct map_output *out = map->out;
    uint64_t used = 0;
    for (uint32_t i = 0; i < out->n_workers; i++)
        used += arena_used(&out->arenas[i]);
    bool keeps = plan_keeps(map->params, used, &out->totals);
    for (uint32_t i = 0; i < out->n_workers; i++) {
        struct arena *arena = &out->arenas[i];
        int ret = 0;
        if (arena->n && keeps) {
            struct run run = {.arena = arena};
            ret = runs_add(map, &run, err);
        } else {
            struct worker worker = {.map = map, .arena = arena, .scratch = &out->scratches[i]};
            ret = worker_spill(&worker, err);
            run_writer_release(&worker.writer);
            arena_release(arena);
        }
        if (ret)
            return ret;
    }
    return 0;
}

static void map_tick(void *context)
{
    struct map *map = context;
    uint64_t file_bytes = 0;
    uint64_t text_bytes = 0;
    feed_bytes(map->feed, &file_bytes, &text_bytes);
    atomic_store(&map->meter->bytes_done, file_bytes);
    meter_tick(map->meter);
    /* A sort within a query may take long before there is a row. */
    if (meter_check(map->meter, NULL))
        duckdb_host_interrupt(&map->duckdb);
}

static int map_start(struct map *map, const struct input_options *options, struct err *err)
{
    struct map_output *out = map->out;
    uint32_t n = map->params->n_workers;
    out->arenas = calloc(n, sizeof *out->arenas);
    out->scratches = calloc(n, sizeof *out->scratches);
    out->seen = calloc(map->params->n_pieces, sizeof *out->seen);
    if (!out->arenas || !out->scratches || !out->seen)
        return err_sys(err, -ENOMEM, "starting %u workers", n);
    out->n_workers = n;
    int ret =
        feed_new(map->params->pieces, map->params->n_pieces, map->params->job, options, &map->feed);
    return ret ? err_sys(err, ret, "starting %u workers", n) : 0;
}

int map_run(struct engine *engine, const struct map_params *params, struct meter *meter,
            struct map_output *out, struct err *err)
{
    struct map map = {.params = params, .meter = meter, .out = out};
    struct input_options options = {.header = params->job->header,
                                    .key_column = params->job->key_column,
                                    .value_column = params->job->value_column,
                                    .block_len = params->block_len,
                                    .row_len_max = row_len_max(params->schema),
                                    .duckdb = &map.duckdb};
    struct engine_work work = {
        .n_tasks = params->n_workers, .task = worker_main, .tick = map_tick, .context = &map};
    *out = (struct map_output){0};
    pthread_mutex_init(&map.lock, NULL);
    bad_rows_init(&map.bad, params->job, params->pieces, params->n_pieces);
    duckdb_host_init(&map.duckdb, params->job,
                     duckdb_memory(params->job, params->schema, params->n_workers));
    int ret = map_start(&map, &options, err);
    if (!ret)
        ret = engine->run(engine, &work, err);
    if (!ret)
        ret = map_verdict(&map, err);
    if (!ret)
        ret = keep_arenas(&map, err);
    if (map.feed) {
        uint64_t file_bytes = 0;
        feed_bytes(map.feed, &file_bytes, &out->input_bytes);
        feed_seen(map.feed, out->seen);
        map_tick(&map);
    }
    bad_rows_tell(&map.bad, meter->hooks);
    bad_rows_release(&map.bad);
    feed_free(map.feed);
    duckdb_host_release(&map.duckdb);
    pthread_mutex_destroy(&map.lock);
    if (ret)
        map_output_release(out);
    return ret;
}

void map_output_release(struct map_output *output)
{
    for (size_t i = 0; i < output->n_runs; i++)
        run_release(&output->runs[i]);
    free(output->runs);
    for (uint32_t i = 0; i < output->n_workers; i++) {
        arena_release(&output->arenas[i]);
        scratch_close(&output->scratches[i]);
    }
    free(output->arenas);
    free(output->scratches);
    free(output->seen);
    value_sample_release(&output->sample);
    output->runs = NULL;
    output->arenas = NULL;
    output->scratches = NULL;
    output->seen = NULL;
    output->n_runs = 0;
    output->n_workers = 0;
}
