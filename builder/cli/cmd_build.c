/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/build.h"
#include "builder/cli/build_options.h"
#include "builder/cli/build_progress.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/text.h"
#include "builder/inherit.h"
#include "builder/join_totals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *compression_json(const struct build_result *r)
{
    json_t *out = json_object();
    json_put_string(out, "method", r->level ? "zstd" : "none");
    if (r->level) {
        json_put_u64(out, "level", (uint64_t)r->level);
        json_put_u64(out, "dictionary_bytes", r->dictionary_len);
    }
    json_put_u64(out, "values_bytes", r->values_len);
    json_put_u64(out, "stored_bytes", r->values_stored_len);
    if (r->was_sampled)
        json_put_double(out, "sample_ratio", r->ratio_tried);
    return out;
}

/* What comparing with the base found. */
static json_t *result_json(const struct build_args *args, const struct build_result *r)
{
    json_t *out = json_object();
    json_put_string(out, "table", args->job.table);
    json_put_string(out, "task", r->task);
    json_put_u64(out, "base", r->base);
    json_put_u64(out, "rows", r->rows);
    json_put_u64(out, "bad_rows", r->bad_rows);
    json_put_u64(out, "duplicates", r->duplicates);
    json_put_u64(out, "n_keys", r->n_keys);
    json_put_u64(out, "n_tombstones", r->n_tombstones);
    json_put_u64(out, "bytes", r->len);
    json_put_u64(out, "input_bytes", r->input_bytes);
    json_put_u64(out, "n_shards", r->n_shards);
    json_put_string(out, "kind", table_kind_name(r->kind));
    if (r->kind != KIND_MEM)
        json_put(out, "compression", compression_json(r));
    if (r->was_compared)
        json_put(out, "compared", join_totals_encode(&r->join));
    json_t *seconds = json_object();
    json_put_double(seconds, "map", r->seconds[BUILD_MAP]);
    json_put_double(seconds, "reduce", r->seconds[BUILD_REDUCE]);
    json_put_double(seconds, "seal", r->seconds[BUILD_SEAL]);
    json_put_double(seconds, "verify", r->seconds[BUILD_VERIFY]);
    json_put(out, "seconds", seconds);
    return out;
}

/* "values compressed to 41 % (zstd 3, dictionary 16 KiB)" */
static void show_compression(const struct build_result *r)
{
    char size[TEXT_MAX];
    double tried = 100 * (1 - r->ratio_tried);
    if (r->level) {
        double share = r->values_len ? (double)r->values_stored_len / (double)r->values_len : 1;
        printf("  values compressed to %.0f %% (zstd %d, ", 100 * share, r->level);
        text_size(r->dictionary_len, size);
        if (r->dictionary_len)
            printf("dictionary %s)\n", size);
        else
            printf("no dictionary)\n");
    } else if (r->was_sampled && tried >= 0.5) {
        printf("  not compressed: a sample would shrink by %.0f %% only\n", tried);
    } else if (r->was_sampled) {
        printf("  not compressed: a sample would not shrink\n");
    }
}

/* "  1,200 changed, 30 new, 4 removed; left out: 98,000 unchanged, 770 within distance" */
static void show_compared(const struct build_args *args, const struct build_result *r)
{
    char changed[TEXT_MAX], added[TEXT_MAX], removed[TEXT_MAX], same[TEXT_MAX], within[TEXT_MAX];
    const struct join_totals *join = &r->join;
    text_count(join->n_changed, changed);
    text_count(join->n_added, added);
    text_count(join->n_removed, removed);
    text_count(join->n_unchanged, same);
    text_count(join->n_within, within);
    if (join->n_changed + join->n_added + join->n_removed == 0)
        printf("  nothing changed since version %" PRIu64
               ": the delta is empty, there is no need to "
               "publish it\n",
               r->base);
    printf("  %s changed, %s new, %s removed; left out: %s unchanged", changed, added, removed,
           same);
    if (args->job.min_distance > 0)
        printf(", %s moved no farther than %g", within, args->job.min_distance);
    printf("\n");
}

static void show_result(const struct build_args *args, const struct build_result *r)
{
    char keys[TEXT_MAX], size[TEXT_MAX], rows[TEXT_MAX], input[TEXT_MAX];
    double total = 0;
    for (int i = 0; i < 4; i++)
        total += r->seconds[i];
    text_count(r->n_keys, keys);
    text_count(r->rows, rows);
    text_size(r->len, size);
    text_size(r->input_bytes, input);
    printf("built %s task %s: %s keys", args->job.table, r->task, keys);
    if (r->n_tombstones)
        printf(", %" PRIu64 " deleted", r->n_tombstones);
    printf(", %s in %u shard%s", size, r->n_shards, r->n_shards == 1 ? "" : "s");
    if (r->kind != KIND_MEM)
        printf(" of kind %s", table_kind_name(r->kind));
    if (r->base)
        printf(", a delta on version %" PRIu64, r->base);
    printf("\n  from %s rows, %s", rows, input);
    if (r->bad_rows)
        printf("; %" PRIu64 " bad rows left out", r->bad_rows);
    if (r->duplicates)
        printf("; %" PRIu64 " duplicates left out", r->duplicates);
    printf("; %.1f s (map %.1f, reduce %.1f, seal %.1f, verify %.1f)\n", total,
           r->seconds[BUILD_MAP], r->seconds[BUILD_REDUCE], r->seconds[BUILD_SEAL],
           r->seconds[BUILD_VERIFY]);
    if (r->kind != KIND_MEM)
        show_compression(r);
    if (r->was_compared)
        show_compared(args, r);
    if (!args->publish)
        printf("publish it with: fkv publish %s\n", args->job.table);
    fflush(stdout);
}

static int build(struct session *session, struct build_args *args, struct build_result *result,
                 struct err *err)
{
    const struct version_entry *base = NULL;
    int rc = table_name_check(args->job.table, err);
    if (!rc && args->base)
        rc = session_version(session, args->job.table, args->base, &base, err);
    if (!rc)
        rc = inherit_schema(session->store, manifest_state(session->manifest), &args->job, err);
    if (rc)
        return rc;
    args->job.base = base ? base->version : 0;
    args->job.tombstones_file_mode = args->job.is_delta && !args->job.diff_base;
    rc = job_check(&args->job, err);
    if (rc)
        return rc;
    struct build_progress_line *line = build_progress_new();
    struct build_hooks hooks = build_progress_hooks(line);
    rc = build_run(session->store, manifest_state(session->manifest), &args->job, &hooks, result,
                   err);
    build_progress_free(line);
    return rc;
}

int cmd_build(int argc, char **argv, struct err *err)
{
    struct build_args args = {0};
    scope_session struct session session = {0};
    scope_free const char **inputs = calloc((size_t)argc + 1, sizeof *inputs);
    struct build_result result = {0};
    if (!inputs)
        return err_sys(err, -ENOMEM, "reading the arguments");
    build_args_parse(argc, argv, inputs, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = build(&session, &args, &result, err);
    if (rc)
        return rc;
    json_t *out = args.common.json ? result_json(&args, &result) : NULL;
    if (!out)
        show_result(&args, &result);
    struct publish_item item = {.table = args.job.table,
                                .task = result.task,
                                .is_read_back = true,
                                .figures = &result.figures};
    json_t *published = NULL;
    args.release.limits.memory = args.job.memory;
    args.release.limits.scratch = args.job.scratch;
    if (args.publish)
        rc = release_run(&session, &item, 1, &args.release, out != NULL, out ? &published : NULL,
                         err);
    if (published)
        json_put(out, "published", published);
    if (out) {
        int printed = cli_print_json(out, rc ? NULL : err);
        rc = rc ? rc : printed;
    }
    return rc;
}
