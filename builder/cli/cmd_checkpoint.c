/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/checkpoint.h"

#include "builder/cli/args.h"
#include "builder/cli/build_progress.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/release.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    OPTION_MEMORY = 0x6400,
    OPTION_THREADS,
    OPTION_SCRATCH,
    OPTION_TASK,
    OPTION_LEVEL,
    OPTION_PUBLISH,
};

struct args {
    struct cli_common common;
    struct release_options release;
    struct checkpoint_params params;
    const char *version;
    bool publish;
};

static const struct argp_option options[] = {
    {"task", OPTION_TASK, "NAME", 0, "Name of the build (default: from the time)", 1},
    {"memory", OPTION_MEMORY, "BYTES", 0, "Most memory to use (2G; at least 64M)", 1},
    {"threads", OPTION_THREADS, "N", 0, "Threads (one a CPU)", 1},
    {"scratch", OPTION_SCRATCH, "DIR", 0, "Where to spill ($TMPDIR or /var/tmp)", 1},
    {"compress-level", OPTION_LEVEL, "N", 0,
     "Of values that are compressed: zstd's level, 1 to 19 (3)", 1},
    {"publish", OPTION_PUBLISH, NULL, 0, "Then do what `fkv publish TABLE` does", 2},
    {0},
};

static error_t parse_word(struct args *args, char *arg, struct argp_state *state)
{
    if (state->arg_num > 1)
        argp_error(state, "unexpected argument '%s'", arg);
    *(state->arg_num ? &args->version : &args->params.table) = arg;
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    struct checkpoint_params *params = &args->params;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        state->child_inputs[1] = &args->release;
        return 0;
    case OPTION_TASK:
        params->task = arg;
        return 0;
    case OPTION_MEMORY:
        params->memory = arg_need_size(state, "--memory", arg);
        return 0;
    case OPTION_THREADS:
        params->n_threads = arg_need_u32(state, "--threads", arg, 1, THREADS_MAX);
        return 0;
    case OPTION_SCRATCH:
        params->scratch = arg;
        return 0;
    case OPTION_LEVEL:
        params->compress_level = (int)arg_need_u32(state, "--compress-level", arg, 1, 19);
        return 0;
    case OPTION_PUBLISH:
        args->publish = true;
        return 0;
    case ARGP_KEY_ARG:
        return parse_word(args, arg, state);
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a table");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Merges the deltas of a table's newest version into a new full version with the same content, "
    "and leaves it sealed in staging on the store, where `fkv publish` takes it from. Nodes then "
    "look in one level instead of many, and gc can let the old ones go."
    "\v"
    "The digest over all keys and values is taken of what was read, and again of what was written; "
    "they must be equal. A version that is full already is left as it is.\n"
    "\n"
    "Publishing is refused when a newer version was published meanwhile, which the checkpoint "
    "would "
    "undo; make another one then.\n"
    "\n"
    "Examples:\n"
    "  fkv checkpoint ads --publish --reason nightly\n"
    "  fkv checkpoint ads 43 --memory 8G\n";

static json_t *result_json(const struct args *args, const struct build_result *r)
{
    json_t *out = json_object();
    json_put_string(out, "table", args->params.table);
    json_put_u64(out, "checkpoint_of", r->checkpoint_of);
    json_put_bool(out, "full_already", r->is_full_already);
    if (r->is_full_already)
        return out;
    json_t *seconds = json_object();
    json_put_string(out, "task", r->task);
    json_put_u64(out, "n_keys", r->n_keys);
    json_put_u64(out, "bytes", r->len);
    json_put_u64(out, "chain_bytes", r->input_bytes);
    json_put_u64(out, "n_shards", r->n_shards);
    json_put_string(out, "kind", table_kind_name(r->kind));
    json_put_string(out, "content", r->content);
    json_put_double(seconds, "merge", r->seconds[BUILD_REDUCE]);
    json_put_double(seconds, "verify", r->seconds[BUILD_VERIFY]);
    json_put(out, "seconds", seconds);
    return out;
}

static void show_result(const struct args *args, const struct build_result *r)
{
    char keys[TEXT_MAX], size[TEXT_MAX], chain[TEXT_MAX];
    const char *table = args->params.table;
    if (r->is_full_already) {
        printf("table %s: version %" PRIu64 " is full already; nothing to do\n", table,
               r->checkpoint_of);
        fflush(stdout);
        return;
    }
    text_count(r->n_keys, keys);
    text_size(r->len, size);
    text_size(r->input_bytes, chain);
    printf("merged %s version %" PRIu64 " as task %s: %s keys, %s in %u shard%s, was %s\n", table,
           r->checkpoint_of, r->task, keys, size, r->n_shards, r->n_shards == 1 ? "" : "s", chain);
    printf("  content %s, the same before and after; %.1f s (merge %.1f, verify %.1f)\n",
           r->content, r->seconds[BUILD_REDUCE] + r->seconds[BUILD_VERIFY],
           r->seconds[BUILD_REDUCE], r->seconds[BUILD_VERIFY]);
    if (!args->publish)
        printf("publish it with: fkv publish %s\n", table);
    fflush(stdout);
}

static int checkpoint(struct session *session, struct args *args, struct build_result *result,
                      struct err *err)
{
    const struct table_state *table = NULL;
    const struct version_entry *version = NULL;
    int rc = session_table(session, args->params.table, &table, err);
    if (!rc && args->version)
        rc = session_version(session, args->params.table, args->version, &version, err);
    if (rc)
        return rc;
    args->params.version = version ? version->version : 0;
    struct build_progress_line *line = build_progress_new();
    struct build_hooks hooks = build_progress_hooks(line);
    rc = checkpoint_run(session->store, manifest_state(session->manifest), &args->params, &hooks,
                        result, err);
    build_progress_free(line);
    return rc;
}

int cmd_checkpoint(int argc, char **argv, struct err *err)
{
    static const struct argp_child children[] = {
        {&cli_argp, 0, NULL, 0}, {&release_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TABLE [VERSION]",
                                     .doc = doc,
                                     .children = children};
    struct args args = {.params = {.memory = JOB_MEMORY_DEFAULT}};
    scope_session struct session session = {0};
    struct build_result result = {0};
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc)
        rc = checkpoint(&session, &args, &result, err);
    if (rc)
        return rc;
    json_t *out = args.common.json ? result_json(&args, &result) : NULL;
    if (!out)
        show_result(&args, &result);
    struct publish_item item = {
        .table = args.params.table, .task = result.task, .is_read_back = true};
    json_t *published = NULL;
    args.release.limits.memory = args.params.memory;
    args.release.limits.scratch = args.params.scratch;
    if (args.publish && !result.is_full_already)
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
