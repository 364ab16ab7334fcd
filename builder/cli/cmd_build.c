/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scope.h"
#include "builder/build.h"
#include "builder/cli/args.h"
#include "builder/cli/build_progress.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/release.h"
#include "builder/cli/text.h"
#include "builder/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_KEY = 0x4200,
    OPTION_VALUE,
    OPTION_DELTA,
    OPTION_BASE,
    OPTION_FORMAT,
    OPTION_HEADER,
    OPTION_KEY_COLUMN,
    OPTION_VALUE_COLUMN,
    OPTION_DUPLICATES,
    OPTION_MAX_BAD,
    OPTION_MEMORY,
    OPTION_THREADS,
    OPTION_SCRATCH,
    OPTION_TASK,
    OPTION_SHARDS,
    OPTION_SEED,
    OPTION_OWNER,
    OPTION_GROUP,
    OPTION_MODE,
    OPTION_PUBLISH,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What the table is (default: as in its last version):", 1},
    {"key", OPTION_KEY, "TYPE", 0, "u64, or bytes (1 to 255 of them)", 1},
    {"value", OPTION_VALUE, "TYPE", 0,
     "bytes, bytes[N], or a vector f32[D], f16[D], bf16[D], i8[D]", 1},
    {"shards", OPTION_SHARDS, "N", 0, "1 to 4096 (default: by the size of the input)", 1},
    {"owner", OPTION_OWNER, "USER", 0, "Owner of the files in the mount", 1},
    {"group", OPTION_GROUP, "GROUP", 0, "Their group", 1},
    {"mode", OPTION_MODE, "OCTAL", 0, "Their permissions (0444)", 1},
    {"hash-seed", OPTION_SEED, "HEX", 0, "Seed of the key hash", 1},
    {NULL, 0, NULL, 0, "What the inputs are:", 2},
    {"format", OPTION_FORMAT, "NAME", 0, "tsv, csv or jsonl (default: by the file's name)", 2},
    {"header", OPTION_HEADER, NULL, 0, "The first line names the columns", 2},
    {"key-column", OPTION_KEY_COLUMN, "COL", 0, "Number or name (1; \"key\" in JSON)", 2},
    {"value-column", OPTION_VALUE_COLUMN, "COL", 0, "Number or name (2; \"value\" in JSON)", 2},
    {"duplicates", OPTION_DUPLICATES, "WHAT", 0, "error (default), first or last", 2},
    {"max-bad", OPTION_MAX_BAD, "N", 0, "Bad rows to leave out before giving up (0)", 2},
    {NULL, 0, NULL, 0, "What to build, and with what:", 3},
    {"delta", OPTION_DELTA, NULL, 0, "Only changes: over the newest version, or --base", 3},
    {"base", OPTION_BASE, "VERSION", 0, "The version a delta lies on", 3},
    {"task", OPTION_TASK, "NAME", 0, "Name of the build (default: from the time)", 3},
    {"memory", OPTION_MEMORY, "BYTES", 0, "Most memory to use (2G; at least 64M)", 3},
    {"threads", OPTION_THREADS, "N", 0, "Threads (one a CPU)", 3},
    {"scratch", OPTION_SCRATCH, "DIR", 0, "Where to spill ($TMPDIR or /var/tmp)", 3},
    {"publish", OPTION_PUBLISH, NULL, 0, "Then do what `fkv publish TABLE` does", 4},
    {0},
};

struct args {
    struct cli_common common;
    struct release_options release;
    struct job job;
    const char **inputs;
    const char *base;
    bool publish;
    bool has_key;
    bool has_value;
    bool has_shards;
    bool has_seed;
    bool has_owner;
    bool has_group;
    bool has_mode;
};

static void take_name(struct argp_state *state, const char *flag, const char *text,
                      char out[OWNER_NAME_MAX + 1])
{
    if (!text[0] || strlen(text) > OWNER_NAME_MAX)
        argp_error(state, "%s: expected a name of 1 to %d bytes, found '%s'", flag, OWNER_NAME_MAX,
                   text);
    snprintf(out, OWNER_NAME_MAX + 1, "%.*s", OWNER_NAME_MAX, text);
}

static uint64_t need_base(struct argp_state *state, const char *flag, const char *text, int base,
                          uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, base);
    if (errno || end == text || *end || text[0] == '-' || n > max)
        argp_error(state, "%s: expected %s digits up to %llx, found '%s'", flag,
                   base == 8 ? "octal" : "hexadecimal", (unsigned long long)max, text);
    return n;
}

static error_t parse_schema(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    struct schema *schema = &args->job.schema;
    struct err err = {0};
    switch (key) {
    case OPTION_KEY:
        if (key_type_from_name(arg, &schema->key_type, &err))
            argp_error(state, "--key: %s", err.text);
        args->has_key = true;
        return 0;
    case OPTION_VALUE:
        if (schema_set_value(schema, arg, &err))
            argp_error(state, "--value: %s", err.text);
        args->has_value = true;
        return 0;
    case OPTION_SHARDS:
        schema->n_shards = (uint32_t)arg_need_u64(state, "--shards", arg);
        if (schema->n_shards < 1 || schema->n_shards > SHARDS_MAX)
            argp_error(state, "--shards: expected 1 to %d, found '%s'", SHARDS_MAX, arg);
        args->has_shards = true;
        return 0;
    case OPTION_SEED:
        schema->hash_seed = need_base(state, "--hash-seed", arg, 16, UINT64_MAX);
        args->has_seed = true;
        return 0;
    case OPTION_OWNER:
        take_name(state, "--owner", arg, schema->owner);
        args->has_owner = true;
        return 0;
    case OPTION_GROUP:
        take_name(state, "--group", arg, schema->group);
        args->has_group = true;
        return 0;
    case OPTION_MODE:
        schema->mode = (uint32_t)need_base(state, "--mode", arg, 8, 0777);
        args->has_mode = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The index of word in a NULL-terminated list; a mistake ends the program. */
static int need_word(struct argp_state *state, const char *flag, const char *const *words,
                     const char *word)
{
    char list[64] = "";
    for (int i = 0; words[i]; i++) {
        if (!strcmp(words[i], word))
            return i;
        size_t len = strlen(list);
        snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", words[i]);
    }
    argp_error(state, "%s: expected one of %s; found '%s'", flag, list, word);
    return 0;
}

static error_t parse_input(int key, char *arg, struct argp_state *state)
{
    static const char *const formats[] = {"auto", "tsv", "csv", "jsonl", NULL};
    static const char *const policies[] = {"error", "first", "last", NULL};
    struct args *args = state->input;
    struct job *job = &args->job;
    switch (key) {
    case OPTION_FORMAT:
        job->format = (enum input_format)need_word(state, "--format", formats, arg);
        return 0;
    case OPTION_HEADER:
        job->header = true;
        return 0;
    case OPTION_KEY_COLUMN:
        job->key_column = arg;
        return 0;
    case OPTION_VALUE_COLUMN:
        job->value_column = arg;
        return 0;
    case OPTION_DUPLICATES:
        job->duplicates = (enum duplicate_policy)need_word(state, "--duplicates", policies, arg);
        return 0;
    case OPTION_MAX_BAD:
        job->max_bad = arg_need_u64(state, "--max-bad", arg);
        return 0;
    default:
        return parse_schema(key, arg, state);
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    struct job *job = &args->job;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        state->child_inputs[1] = &args->release;
        return 0;
    case OPTION_DELTA:
        job->is_delta = true;
        return 0;
    case OPTION_BASE:
        args->base = arg;
        return 0;
    case OPTION_TASK:
        job->task = arg;
        return 0;
    case OPTION_MEMORY:
        job->memory = arg_need_size(state, "--memory", arg);
        return 0;
    case OPTION_THREADS:
        job->n_threads = (uint32_t)arg_need_u64(state, "--threads", arg);
        return 0;
    case OPTION_SCRATCH:
        job->scratch = arg;
        return 0;
    case OPTION_PUBLISH:
        args->publish = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            job->table = arg;
        else
            args->inputs[job->n_inputs++] = strcmp(arg, "-") ? arg : "/dev/stdin";
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2)
            argp_error(state, "expected a table and its input files");
        if (args->base && !job->is_delta)
            argp_error(state, "--base goes with --delta");
        return 0;
    default:
        return parse_input(key, arg, state);
    }
}

static const char doc[] =
    "Builds a version of TABLE from the INPUT files and leaves it sealed in staging on the store, "
    "where `fkv publish` "
    "takes it from. Inputs are TSV, CSV or JSON Lines, plain, .gz or .zst; \"-\" is standard input "
    "(say its --format)."
    "\v"
    "A row is a key and a value; a vector is its numbers, separated by commas or spaces (in JSON "
    "an array). In a delta, a row that has a "
    "key but no value field, or {\"key\": …, \"deleted\": true}, deletes the key.\n"
    "\n"
    "The same input gives the same bytes, whatever the threads and memory.\n"
    "\n"
    "Examples:\n"
    "  fkv build words words.tsv.zst --key bytes --value 'f16[100]'\n"
    "  fkv build ads part-*.csv --header --key-column id --value-column vec \\\n"
    "      --key u64 --value 'i8[64]' --publish\n"
    "  fkv build ads changes.jsonl --delta --publish --reason hourly\n";

/* A table built before keeps its shape unless the flags say otherwise. */
static int inherit_schema(const struct session *session, struct args *args, struct err *err)
{
    const struct table_state *table =
        state_find_table(manifest_state(session->manifest), args->job.table);
    uint64_t id = table ? table_state_newest(table) : 0;
    if (!id && !(args->has_key && args->has_value))
        return err_set(err, -EINVAL,
                       "table %s has no version yet to take its shape from: say --key TYPE and "
                       "--value TYPE, for example --key u64 --value 'f32[64]'",
                       args->job.table);
    if (!id)
        return 0;
    struct version_desc desc = {0};
    char dir[LAYOUT_PATH_MAX];
    layout_version_dir(table->name, id, dir);
    int rc =
        version_desc_read(session->store, dir, &table_state_find(table, id)->digest, &desc, err);
    if (rc)
        return err_wrap(err, rc, "reading the shape of %s version %" PRIu64, table->name, id);
    struct schema *schema = &args->job.schema;
    struct schema was = desc.schema;
    version_desc_release(&desc);
    if (!args->has_key)
        schema->key_type = was.key_type;
    if (!args->has_value) {
        schema->elem = was.elem;
        schema->dim = was.dim;
        schema->value_len = was.value_len;
    }
    if (!args->has_seed)
        schema->hash_seed = was.hash_seed;
    if (!args->has_shards && args->job.is_delta)
        schema->n_shards = was.n_shards;
    if (!args->has_owner)
        memcpy(schema->owner, was.owner, sizeof schema->owner);
    if (!args->has_group)
        memcpy(schema->group, was.group, sizeof schema->group);
    if (!args->has_mode)
        schema->mode = was.mode;
    return 0;
}

static json_t *result_json(const struct args *args, const struct build_result *r)
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
    json_t *seconds = json_object();
    json_put_double(seconds, "map", r->seconds[BUILD_MAP]);
    json_put_double(seconds, "reduce", r->seconds[BUILD_REDUCE]);
    json_put_double(seconds, "seal", r->seconds[BUILD_SEAL]);
    json_put_double(seconds, "verify", r->seconds[BUILD_VERIFY]);
    json_put(out, "seconds", seconds);
    return out;
}

static void show_result(const struct args *args, const struct build_result *r)
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
    if (!args->publish)
        printf("publish it with: fkv publish %s\n", args->job.table);
    fflush(stdout);
}

static int build(struct session *session, struct args *args, struct build_result *result,
                 struct err *err)
{
    const struct version_entry *base = NULL;
    int rc = table_name_check(args->job.table, err);
    if (!rc && args->base)
        rc = session_version(session, args->job.table, args->base, &base, err);
    if (!rc)
        rc = inherit_schema(session, args, err);
    if (rc)
        return rc;
    args->job.base = base ? base->version : 0;
    args->job.tombstones_file_mode = args->job.is_delta;
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
    static const struct argp_child children[] = {
        {&cli_argp, 0, NULL, 0}, {&release_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE INPUT…",
                                     .doc = doc,
                                     .children = children};
    struct args args = {
        .job = {.memory = JOB_MEMORY_DEFAULT, .schema = {.kind = KIND_MEM, .mode = 0444}}};
    scope_session struct session session = {0};
    scope_free const char **inputs = calloc((size_t)argc + 1, sizeof *inputs);
    struct build_result result = {0};
    if (!inputs)
        return err_sys(err, -ENOMEM, "reading the arguments");
    args.inputs = inputs;
    args.job.inputs = inputs;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = build(&session, &args, &result, err);
    if (rc)
        return rc;
    json_t *out = args.common.json ? result_json(&args, &result) : NULL;
    if (!out)
        show_result(&args, &result);
    struct publish_item item = {args.job.table, result.task};
    json_t *published = NULL;
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
