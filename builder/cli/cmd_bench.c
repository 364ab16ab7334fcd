/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/load.h"
#include "builder/cli/progress.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_MOUNT = 0x6200, OPTION_KEYS, OPTION_BATCH, OPTION_TIME, OPTION_THREADS };
enum { BATCHES_MAX = 32, SAMPLE_KEYS = 1 << 20, BATCH_MAX = 1 << 20 };

struct args {
    struct cli_common common;
    const char *mount;
    const char *table;
    const char *keys;
    uint32_t batches[BATCHES_MAX];
    size_t n_batches;
    int64_t duration_ns;
    uint32_t n_threads;
};

static void take_batches(struct args *args, const char *arg, struct argp_state *state)
{
    args->n_batches = 0;
    for (const char *at = arg; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        char *end = NULL;
        unsigned long n = strtoul(at, &end, 10);
        if (end == at || (*end && *end != ',') || n < 1 || n > BATCH_MAX ||
            args->n_batches == BATCHES_MAX)
            argp_error(state, "--batch: expected sizes from 1 to %d like 1,100,3900, found '%s'",
                       BATCH_MAX, arg);
        args->batches[args->n_batches++] = (uint32_t)n;
    }
    if (!args->n_batches)
        argp_error(state, "--batch: expected sizes like 1,100,3900");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_MOUNT:
        args->mount = arg;
        return 0;
    case OPTION_KEYS:
        args->keys = arg;
        return 0;
    case OPTION_BATCH:
        take_batches(args, arg, state);
        return 0;
    case OPTION_TIME:
        args->duration_ns = arg_need_duration(state, "--time", arg);
        return 0;
    case OPTION_THREADS:
        args->n_threads = arg_need_u32(state, "--threads", arg, 1, LOAD_THREADS_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (args->table)
            argp_error(state, "expected one table, found another: '%s'", arg);
        args->table = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"mount", OPTION_MOUNT, "DIR", 0, "Where fkvd is mounted (/fkv or $FKV_MOUNT)", 0},
    {"keys", OPTION_KEYS, "FILE", 0, "Keys to ask for, one a line (default: drawn from the parts)",
     0},
    {"batch", OPTION_BATCH, "N,…", 0, "Keys a call (1,100,1000,3900,16384)", 0},
    {"time", OPTION_TIME, "TIME", 0, "How long for each size (1s)", 0},
    {"threads", OPTION_THREADS, "N", 0, "Callers at once (1)", 0},
    {0},
};

static const char doc[] = "Measures lookups of random keys of a table's current version through "
                          "the mount, as a ranking process makes them: keys a "
                          "second, and how long a call takes."
                          "\v"
                          "Examples:\n"
                          "  fkv bench ads\n"
                          "  fkv bench ads --batch 3900 --threads 4 --time 10s --json\n";

static const char *transport_name(enum fkv_transport transport)
{
    return transport == FKV_SHARED ? "shared" : transport == FKV_MESSAGE ? "message" : "inline";
}

static json_t *result_json(const struct load_result *r)
{
    json_t *out = json_object();
    json_put_u64(out, "batch", r->batch);
    json_put_u64(out, "batches", r->n_batches);
    json_put_double(out, "keys_per_s", (double)r->n_keys / r->seconds);
    json_put_double(out, "hit_rate", r->n_keys ? (double)r->n_found / (double)r->n_keys : 0);
    json_put_double(out, "p50_us", r->p50_us);
    json_put_double(out, "p99_us", r->p99_us);
    json_put_double(out, "p999_us", r->p999_us);
    json_put_double(out, "max_us", r->max_us);
    json_put_string(out, "transport", transport_name(r->transport));
    return out;
}

static void add_row(struct grid *grid, const struct load_result *r)
{
    char rate[TEXT_MAX], batches[TEXT_MAX];
    text_count((uint64_t)((double)r->n_keys / r->seconds), rate);
    text_count(r->n_batches, batches);
    grid_add(grid, "%u", r->batch);
    grid_add(grid, "%s", batches);
    grid_add(grid, "%s", rate);
    grid_add(grid, "%.1f", r->n_keys ? 100.0 * (double)r->n_found / (double)r->n_keys : 0);
    grid_add(grid, "%.1f", r->p50_us);
    grid_add(grid, "%.1f", r->p99_us);
    grid_add(grid, "%.1f", r->p999_us);
    grid_add(grid, "%.1f", r->max_us);
    grid_add(grid, "%s", transport_name(r->transport));
}

static int run(const struct args *args, fkv_table *table, const struct sample *sample,
               const fkv_shape *shape, struct err *err)
{
    static const char *const headers[] = {">BATCH",  ">CALLS",    ">KEYS/S", ">HIT %",    ">P50 µs",
                                          ">P99 µs", ">P99.9 µs", ">MAX µs", "TRANSPORT", NULL};
    struct progress *line = progress_new();
    struct grid grid;
    json_t *list = json_array();
    int rc = 0;
    grid_init(&grid, headers);
    for (size_t i = 0; !rc && i < args->n_batches; i++) {
        struct load_params params = {table, sample, args->batches[i], args->n_threads,
                                     args->duration_ns};
        struct load_result result = {0};
        if (args->batches[i] > sample->n)
            continue;
        progress_show(line, "batches of %u keys …", args->batches[i]);
        rc = load_run(&params, &result, err);
        if (rc)
            break;
        add_row(&grid, &result);
        json_append(list, result_json(&result));
    }
    progress_free(line);
    if (!rc && !args->common.json) {
        char keys[TEXT_MAX];
        text_count(shape->n_keys, keys);
        printf("%s version %" PRIu64 ": %s keys, %s; %u thread%s, %zu keys asked for\n",
               args->table, shape->version, keys, shape->elem, args->n_threads,
               args->n_threads == 1 ? "" : "s", sample->n);
    }
    FILE *quiet = rc || args->common.json ? fopen("/dev/null", "w") : NULL;
    grid_print(&grid, quiet ? quiet : stdout);
    if (quiet)
        fclose(quiet);
    if (rc || !args->common.json) {
        json_decref(list);
        return rc;
    }
    json_t *out = json_object();
    json_put_string(out, "table", args->table);
    json_put_u64(out, "version", shape->version);
    json_put_u64(out, "n_keys", shape->n_keys);
    json_put_string(out, "elem", shape->elem);
    json_put_u64(out, "dim", shape->dim);
    json_put_u64(out, "threads", args->n_threads);
    json_put(out, "results", list);
    return cli_print_json(out, err);
}

static int open_table(const struct args *args, fkv_table **table, fkv_shape *shape, struct err *err)
{
    char path[PATH_MAX];
    int rc = table_name_check(args->table, err);
    if (rc)
        return rc;
    snprintf(path, sizeof path, "%s/%s", args->mount, args->table);
    rc = fkv_open(path, NULL, table);
    if (!rc)
        rc = fkv_get_shape(*table, shape);
    if (rc)
        return err_set(err, rc == -ENOTDIR ? -ENOENT : rc, "%s; is fkvd mounted at %s?",
                       fkv_last_error(), args->mount);
    return shape->version ? 0
                          : err_set(err, -ENOENT, "%s: the table has no current version yet", path);
}

int cmd_bench(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE",
                                     .doc = doc,
                                     .children = cli_children};
    const char *mount = getenv("FKV_MOUNT");
    struct args args = {.mount = mount ? mount : "/fkv",
                        .batches = {1, 100, 1000, 3900, 16384},
                        .n_batches = 5,
                        .duration_ns = 1000000000,
                        .n_threads = 1};
    fkv_table *table = NULL;
    fkv_shape shape = {0};
    struct sample sample = {0};
    char dir[PATH_MAX];
    cli_parse(&argp, argc, argv, &args);
    int rc = open_table(&args, &table, &shape, err);
    if (!rc)
        rc = sample_init(&sample, shape.key_type == FKV_TYPE_U64 ? KEY_U64 : KEY_BYTES, SAMPLE_KEYS,
                         err);
    snprintf(dir, sizeof dir, "%s/%s/v/%" PRIu64, args.mount, args.table, shape.version);
    if (!rc)
        rc = args.keys ? sample_file(&sample, args.keys, err) : sample_parts(&sample, dir, err);
    if (!rc)
        rc = run(&args, table, &sample, &shape, err);
    sample_release(&sample);
    fkv_close(table);
    return rc;
}
