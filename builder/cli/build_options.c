/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/build_options.h"

#include "builder/cli/args.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_KEY = 0x4200,
    OPTION_KIND,
    OPTION_COMPRESS,
    OPTION_NO_FILTER,
    OPTION_BLOCK_PAGES,
    OPTION_VALUE,
    OPTION_DELTA,
    OPTION_DIFF_BASE,
    OPTION_MIN_DISTANCE,
    OPTION_BASE,
    OPTION_FORMAT,
    OPTION_SQL,
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
    {"kind", OPTION_KIND, "KIND", 0,
     "Where it lies: mem (in memory), blk (on SSD, the least memory) or idx (on SSD, keys in "
     "memory and in order)",
     1},
    {"key", OPTION_KEY, "TYPE", 0, "u64, or bytes (1 to 255 of them)", 1},
    {"value", OPTION_VALUE, "TYPE", 0,
     "bytes, bytes[N], or a vector f32[D], f16[D], bf16[D], i8[D]", 1},
    {"shards", OPTION_SHARDS, "N", 0, "1 to 4096 (default: by the size of the input)", 1},
    {"owner", OPTION_OWNER, "USER", 0, "Owner of the files in the mount", 1},
    {"group", OPTION_GROUP, "GROUP", 0, "Their group", 1},
    {"mode", OPTION_MODE, "OCTAL", 0, "Their permissions (0444)", 1},
    {"hash-seed", OPTION_SEED, "HEX", 0, "Seed of the key hash", 1},
    {"compress", OPTION_COMPRESS, "HOW", 0,
     "blk, idx: auto (default: by a sample), none, zstd or zstd:LEVEL (1 to 19)", 1},
    {"no-filter", OPTION_NO_FILTER, NULL, 0,
     "blk, idx of bytes keys: an absent key costs a read or search, a key a byte of memory less",
     1},
    {"block-pages", OPTION_BLOCK_PAGES, "N", 0,
     "blk, idx: pages of 4 KiB that values share (default: by their length)", 1},
    {NULL, 0, NULL, 0, "What the inputs are:", 2},
    {"format", OPTION_FORMAT, "NAME", 0,
     "tsv, csv, jsonl, record or parquet (default: by the file's name)", 2},
    {"sql", OPTION_SQL, "QUERY", 0,
     "Instead of INPUT: a SELECT over files, read by DuckDB (key, then value)", 2},
    {"header", OPTION_HEADER, NULL, 0, "The first line names the columns", 2},
    {"key-column", OPTION_KEY_COLUMN, "COL", 0, "Number or name (1; \"key\" in JSON)", 2},
    {"value-column", OPTION_VALUE_COLUMN, "COL", 0, "Number or name (2; \"value\" in JSON)", 2},
    {"duplicates", OPTION_DUPLICATES, "WHAT", 0, "error (default), first or last", 2},
    {"max-bad", OPTION_MAX_BAD, "N", 0, "Bad rows to leave out before giving up (0)", 2},
    {NULL, 0, NULL, 0, "What to build, and with what:", 3},
    {"delta", OPTION_DELTA, NULL, 0, "Only changes: over the newest version, or --base", 3},
    {"diff-base", OPTION_DIFF_BASE, NULL, 0,
     "The inputs are the whole table; build the delta that changes the base into it", 3},
    {"min-distance", OPTION_MIN_DISTANCE, "X", 0,
     "Of a delta: leave out vectors no farther (L2) than X from the base's", 3},
    {"base", OPTION_BASE, "VERSION", 0, "The version a delta lies on", 3},
    {"task", OPTION_TASK, "NAME", 0, "Name of the build (default: from the time)", 3},
    {"memory", OPTION_MEMORY, "BYTES", 0, "Most memory to use (2G; at least 64M)", 3},
    {"threads", OPTION_THREADS, "N", 0, "Threads (one a CPU)", 3},
    {"scratch", OPTION_SCRATCH, "DIR", 0, "Where to spill ($TMPDIR or /var/tmp)", 3},
    {"publish", OPTION_PUBLISH, NULL, 0, "Then do what `fkv publish TABLE` does", 4},
    {0},
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

static double need_distance(struct argp_state *state, const char *flag, const char *text)
{
    char *end = NULL;
    errno = 0;
    double x = strtod(text, &end);
    if (errno || end == text || *end || !(x >= 0 && x <= DBL_MAX))
        argp_error(state, "%s: expected a number from 0 up like 0.01, found '%s'", flag, text);
    return x;
}

/* auto, none, zstd or zstd:LEVEL */
static void need_compress(struct argp_state *state, const char *text, struct job *job)
{
    static const char *const names[] = {"auto", "none", "zstd", NULL};
    if (strncmp(text, "zstd:", 5) == 0) {
        job->compress = COMPRESS_ZSTD;
        job->compress_level = (int)arg_need_u32(state, "--compress", text + 5, 1, 19);
        return;
    }
    job->compress = (enum compress_policy)need_word(state, "--compress", names, text);
}

static error_t parse_storing(int key, char *arg, struct argp_state *state)
{
    struct build_args *args = state->input;
    struct job *job = &args->job;
    struct err err = {0};
    switch (key) {
    case OPTION_KIND:
        if (table_kind_from_name(arg, &job->schema.kind, &err))
            argp_error(state, "--kind: %s", err.text);
        args->job.given.kind = true;
        return 0;
    case OPTION_COMPRESS:
        need_compress(state, arg, job);
        return 0;
    case OPTION_NO_FILTER:
        job->no_filter = true;
        return 0;
    case OPTION_BLOCK_PAGES:
        job->block_pages = arg_need_u32(state, "--block-pages", arg, 1, 16);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_schema(int key, char *arg, struct argp_state *state)
{
    struct build_args *args = state->input;
    struct schema *schema = &args->job.schema;
    struct err err = {0};
    switch (key) {
    case OPTION_KEY:
        if (key_type_from_name(arg, &schema->key_type, &err))
            argp_error(state, "--key: %s", err.text);
        args->job.given.key = true;
        return 0;
    case OPTION_VALUE:
        if (schema_set_value(schema, arg, &err))
            argp_error(state, "--value: %s", err.text);
        args->job.given.value = true;
        return 0;
    case OPTION_SHARDS:
        schema->n_shards = arg_need_u32(state, "--shards", arg, 1, SHARDS_MAX);
        args->job.given.shards = true;
        return 0;
    case OPTION_SEED:
        schema->hash_seed = need_base(state, "--hash-seed", arg, 16, UINT64_MAX);
        args->job.given.seed = true;
        return 0;
    case OPTION_OWNER:
        take_name(state, "--owner", arg, schema->owner);
        args->job.given.owner = true;
        return 0;
    case OPTION_GROUP:
        take_name(state, "--group", arg, schema->group);
        args->job.given.group = true;
        return 0;
    case OPTION_MODE:
        schema->mode = (uint32_t)need_base(state, "--mode", arg, 8, 0777);
        args->job.given.mode = true;
        return 0;
    default:
        return parse_storing(key, arg, state);
    }
}

static error_t parse_input(int key, char *arg, struct argp_state *state)
{
    static const char *const formats[] = {"auto", "tsv", "csv", "jsonl", "record", "parquet", NULL};
    static const char *const policies[] = {"error", "first", "last", NULL};
    struct build_args *args = state->input;
    struct job *job = &args->job;
    switch (key) {
    case OPTION_FORMAT:
        job->format = (enum input_format)need_word(state, "--format", formats, arg);
        return 0;
    case OPTION_SQL:
        args->sql = arg;
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

/* The query is the only input. */
static void take_sql(struct argp_state *state, struct build_args *args)
{
    struct job *job = &args->job;
    if (!args->sql)
        return;
    if (job->n_inputs)
        argp_error(state, "--sql is the input itself: expected a table only, found '%s' too",
                   args->inputs[0]);
    if (job->format != INPUT_AUTO || job->header)
        argp_error(state, "--format and --header are of files; a query names its own");
    job->format = INPUT_SQL;
    args->inputs[job->n_inputs++] = args->sql;
}

/* Where the work runs, and what becomes of the build, is said beside a job file too; the rest the file says. */
static void note_file_says(struct build_args *args, int key)
{
    switch (key) {
    case OPTION_TASK:
    case OPTION_MEMORY:
    case OPTION_THREADS:
    case OPTION_SCRATCH:
    case OPTION_PUBLISH:
        return;
    }
    for (const struct argp_option *option = options; option->name || option->doc; option++)
        if (option->name && option->key == key && !args->file_says)
            args->file_says = option->name;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct build_args *args = state->input;
    struct job *job = &args->job;
    note_file_says(args, key);
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        state->child_inputs[1] = &args->release;
        return 0;
    case OPTION_DELTA:
        job->is_delta = true;
        return 0;
    case OPTION_DIFF_BASE:
        job->is_delta = true;
        job->diff_base = true;
        return 0;
    case OPTION_MIN_DISTANCE:
        job->min_distance = need_distance(state, "--min-distance", arg);
        return 0;
    case OPTION_BASE:
        args->base = arg;
        return 0;
    case OPTION_TASK:
        job->task = arg;
        return 0;
    case OPTION_MEMORY:
        job->memory = arg_need_size(state, "--memory", arg);
        args->has_memory = true;
        return 0;
    case OPTION_THREADS:
        job->n_threads = arg_need_u32(state, "--threads", arg, 1, THREADS_MAX);
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
        take_sql(state, args);
        if (!job->n_inputs && !(state->arg_num == 1 && args->takes_file))
            argp_error(state, "expected a table and its input files, or --sql");
        if (state->arg_num < 1)
            argp_error(state, "expected a table");
        if (args->base && !job->is_delta)
            argp_error(state, "--base goes with --delta or --diff-base");
        return 0;
    default:
        return parse_input(key, arg, state);
    }
}

static const char doc[] =
    "Builds a version of TABLE from the INPUT files and leaves it sealed in staging on the store, "
    "where `fkv publish` "
    "takes it from. Inputs are TSV, CSV or JSON Lines, plain, .gz or .zst, or Parquet; \"-\" is "
    "standard input (say its --format). With --sql a query over files is the input; Parquet and "
    "queries are read by DuckDB's library (FKV_DUCKDB names it)."
    "\v"
    "A row is a key and a value; a vector is its numbers, separated by commas or spaces (in JSON "
    "an array). In a delta, a row that has a "
    "key but no value field, or {\"key\": …, \"deleted\": true}, deletes the key. With --diff-base "
    "a "
    "key that the inputs leave out is deleted.\n"
    "\n"
    "The same input gives the same bytes, whatever the threads and memory.\n"
    "\n"
    "Examples:\n"
    "  fkv build words words.tsv.zst --key bytes --value 'f16[100]'\n"
    "  fkv build ads part-*.csv --header --key-column id --value-column vec \\\n"
    "      --key u64 --value 'i8[64]' --publish\n"
    "  fkv build ads changes.jsonl --delta --publish --reason hourly\n"
    "  fkv build ads all.tsv.zst --diff-base --min-distance 0.01 --publish\n"
    "  fkv build pages pages.jsonl.zst --kind blk --key bytes --value bytes\n"
    "  fkv build items --key u64 --value 'f16[128]' \\\n"
    "      --sql \"SELECT id, embedding FROM 'items/*.parquet'\"\n";

static const struct argp_child children[] = {
    {&cli_argp, 0, NULL, 0}, {&release_argp, 0, NULL, 0}, {0}};
const struct argp build_argp = {.options = options, .parser = parse, .children = children};

void build_args_init(struct build_args *out, const char **inputs)
{
    *out = (struct build_args){.job = {.memory = JOB_MEMORY_DEFAULT,
                                       .inputs = inputs,
                                       .schema = {.kind = KIND_MEM, .mode = 0444}},
                               .inputs = inputs};
}

void build_args_parse(int argc, char **argv, const char **inputs, struct build_args *out)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE INPUT…\n--sql=QUERY TABLE",
                                     .doc = doc,
                                     .children = children};
    build_args_init(out, inputs);
    cli_parse(&argp, argc, argv, out);
}
