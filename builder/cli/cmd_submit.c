/* SPDX-License-Identifier: Apache-2.0 */
/* A job becomes a task, and an engine runs it. */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/build_options.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/task_show.h"
#include "builder/inherit.h"
#include "builder/job_file.h"
#include "builder/task_engine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_ENGINE = 0x7500,
    OPTION_THEN,
    OPTION_WAIT,
    OPTION_PIECE,
    OPTION_REDUCE,
    OPTION_PARTITION,
    OPTION_AT_ONCE,
    OPTION_SBATCH,
    SBATCH_MAX = 64,
};

struct args {
    struct build_args build;
    const char *engine;
    const char *then;
    bool wait;
    uint64_t piece_len;
    uint32_t n_reduce;
    const char *partition;
    uint32_t n_at_once;
    const char *sbatch[SBATCH_MAX];
    size_t n_sbatch;
    char **paths; /* of inputs, made absolute */
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Where it runs, and what becomes of it:", 6},
    {"engine", OPTION_ENGINE, "NAME", 0,
     "local (default: a process on this host), slurm (job arrays), or none (another scheduler runs "
     "the stages: see fkv stage)",
     6},
    {"then", OPTION_THEN, "WHAT", 0,
     "When it is sealed: stop (default), publish, or activate (publish, and switch)", 6},
    {"wait", OPTION_WAIT, NULL, 0, "Show progress until it is over; ^C leaves it running", 6},
    {"piece", OPTION_PIECE, "BYTES", 0, "Input of one map task (by memory)", 6},
    {"reduce-tasks", OPTION_REDUCE, "N", 0, "Reduce tasks (one a shard, at most 256)", 6},
    {"partition", OPTION_PARTITION, "NAME", 0, "Slurm's partition", 6},
    {"at-once", OPTION_AT_ONCE, "N", 0, "Elements of an array that run together (all)", 6},
    {"sbatch", OPTION_SBATCH, "WORD", 0, "One more word for sbatch; may be repeated", 6},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->build;
        return 0;
    case OPTION_ENGINE:
        if (!task_engine_named(arg))
            argp_error(state, "--engine: expected local, slurm or none, found '%s'", arg);
        args->engine = arg;
        return 0;
    case OPTION_THEN:
        if (strcmp(arg, "stop") && strcmp(arg, "publish") && strcmp(arg, "activate"))
            argp_error(state, "--then: expected stop, publish or activate, found '%s'", arg);
        args->then = arg;
        return 0;
    case OPTION_WAIT:
        args->wait = true;
        return 0;
    case OPTION_PIECE:
        args->piece_len = arg_need_size(state, "--piece", arg);
        return 0;
    case OPTION_REDUCE:
        args->n_reduce = arg_need_u32(state, "--reduce-tasks", arg, 1, SHARDS_MAX);
        return 0;
    case OPTION_PARTITION:
        args->partition = arg;
        return 0;
    case OPTION_AT_ONCE:
        args->n_at_once = arg_need_u32(state, "--at-once", arg, 1, INT32_MAX);
        return 0;
    case OPTION_SBATCH:
        if (args->n_sbatch == SBATCH_MAX)
            argp_error(state, "--sbatch: expected at most %d", SBATCH_MAX);
        args->sbatch[args->n_sbatch++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Records a task on the store and has an engine run it: from a job file (TOML or JSON, see "
    "fkv-job(5)), or from the words and flags of fkv-build(1). The task survives the death of any "
    "worker and of this command; what is finished is not done again."
    "\v"
    "Inputs must be files that the workers can read too: on a shared file system, or nfs:// URLs.\n"
    "\n"
    "Examples:\n"
    "  fkv submit ads.toml --wait\n"
    "  fkv submit ads part-*.csv --header --key u64 --value 'f32[64]' --engine slurm --then "
    "activate\n"
    "  fkv task show TASK\n";

static bool is_job_file(const struct build_args *build)
{
    const char *word = build->job.table;
    size_t len = word ? strlen(word) : 0;
    return build->job.n_inputs == 0 && len > 5 &&
           (strcmp(word + len - 5, ".toml") == 0 || strcmp(word + len - 5, ".json") == 0);
}

/* Workers may run elsewhere: a relative path would mean another file there. */
static int paths_complete(struct args *args, struct err *err)
{
    struct build_args *build = &args->build;
    const struct job *job = &build->job;
    args->paths = calloc(job->n_inputs + 1, sizeof *args->paths);
    if (!args->paths)
        return err_sys(err, -ENOMEM, "reading the arguments");
    for (size_t i = 0; i < job->n_inputs && job->format != INPUT_SQL; i++) {
        if (strstr(build->inputs[i], "://"))
            continue;
        char *path = realpath(build->inputs[i], NULL);
        if (!path)
            return err_sys(err, -errno, "%s: opening", build->inputs[i]);
        args->paths[i] = path;
        build->inputs[i] = path;
    }
    return 0;
}

static void paths_free(struct args *args)
{
    for (size_t i = 0; args->paths && i < args->build.job.n_inputs; i++)
        free(args->paths[i]);
    free(args->paths);
}

static int spec_from_flags(struct args *args, struct session *session, struct task_spec *spec,
                           struct err *err)
{
    struct build_args *build = &args->build;
    const struct version_entry *base = NULL;
    int ret = build->job.n_inputs ? paths_complete(args, err)
                                  : err_set(err, -EINVAL,
                                            "expected a job file (.toml or .json), or a table and "
                                            "its input files; found '%s'",
                                            build->job.table);
    if (!ret && build->base)
        ret = session_version(session, build->job.table, build->base, &base, err);
    if (ret)
        return ret;
    task_spec_default(spec);
    spec->job = build->job;
    spec->job.base = base ? base->version : 0;
    spec->limits = build->release.limits;
    spec->quorum = build->release.quorum;
    spec->timeout_ns = build->release.timeout_ns ? build->release.timeout_ns : spec->timeout_ns;
    spec->reason = build->release.reason;
    if (build->publish)
        spec->then = build->release.no_activate ? TASK_PUBLISH : TASK_ACTIVATE;
    return 0;
}

/* The command's own flags go before what a file says. */
static void spec_override(const struct args *args, struct task_spec *spec)
{
    if (args->engine)
        spec->engine = task_engine_kind_of(task_engine_named(args->engine));
    if (args->then)
        spec->then = args->then[0] == 's'   ? TASK_STOP
                     : args->then[0] == 'p' ? TASK_PUBLISH
                                            : TASK_ACTIVATE;
    if (args->build.publish)
        spec->then = args->build.release.no_activate ? TASK_PUBLISH : TASK_ACTIVATE;
    if (args->piece_len)
        spec->piece_len = args->piece_len;
    if (args->n_reduce)
        spec->n_reduce = args->n_reduce;
    if (args->partition)
        spec->slurm.partition = args->partition;
    if (args->n_at_once)
        spec->slurm.n_at_once = args->n_at_once;
    if (args->n_sbatch) {
        spec->slurm.extra = args->sbatch;
        spec->slurm.n_extra = args->n_sbatch;
    }
    if (args->build.job.task)
        spec->job.task = args->build.job.task;
    if (args->build.release.reason[0])
        spec->reason = args->build.release.reason;
}

/* What can be found wrong before anything is recorded. */
static int spec_check(const struct task_spec *spec, struct session *session, struct err *err)
{
    struct job job = spec->job;
    job.tombstones_file_mode = job.is_delta && !job.diff_base;
    int ret = job.table ? table_name_check(job.table, err)
                        : err_set(err, -EINVAL, "the job names no table");
    if (!ret)
        ret = inherit_schema(session->store, manifest_state(session->manifest), &job, err);
    if (!ret)
        ret = job_check(&job, err);
    if (!ret)
        ret = task_engine_of(spec->engine)->check(spec, err);
    return ret;
}

static int submit(const struct task_spec *spec, struct session *session, struct task *task,
                  struct err *err)
{
    const struct task_engine *engine = task_engine_of(spec->engine);
    struct buf text = {0};
    int ret = task_spec_encode(spec, &text, err);
    if (!ret)
        ret = task_create(session->store, spec->job.task, text.data, text.len, engine->name, task,
                          err);
    buf_release(&text);
    if (!ret)
        ret = task_start(task, spec, err);
    return ret;
}

static int say_submitted(const struct args *args, const struct task *task, struct err *err)
{
    if (args->build.common.json && !args->wait) {
        json_t *out = json_object();
        json_put_string(out, "task", task->name);
        json_put_u64(out, "attempt", task->attempt);
        return cli_print_json(out, err);
    }
    if (!args->build.common.json)
        printf("submitted task %s; look at it with: fkv task show %s\n", task->name, task->name);
    return cli_flush(err);
}

int cmd_submit(int argc, char **argv, struct err *err)
{
    static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "JOB.toml\nTABLE INPUT…",
                                     .doc = doc,
                                     .children = children};
    struct args args = {0};
    struct task_document document = {0};
    struct task_spec spec;
    struct task task;
    char name[TASK_NAME_MAX + 1];
    scope_session struct session session = {0};
    scope_free const char **inputs = calloc((size_t)argc + 1, sizeof *inputs);
    if (!inputs)
        return err_sys(err, -ENOMEM, "reading the arguments");
    build_args_init(&args.build, inputs);
    args.build.takes_file = true;
    cli_parse(&argp, argc, argv, &args);
    int ret = session_open(&args.build.common, &session, err);
    if (!ret && is_job_file(&args.build)) {
        ret = job_file_read(args.build.job.table, &document, err);
        spec = document.spec;
    } else if (!ret) {
        ret = spec_from_flags(&args, &session, &spec, err);
    }
    if (!ret) {
        spec_override(&args, &spec);
        if (!spec.job.task) {
            task_name_new(name);
            spec.job.task = name;
        }
        ret = spec_check(&spec, &session, err);
    }
    if (!ret)
        ret = submit(&spec, &session, &task, err);
    if (!ret)
        ret = say_submitted(&args, &task, err);
    if (!ret && args.wait)
        ret = task_wait(&task, 0, args.build.common.json, err);
    task_document_release(&document);
    paths_free(&args);
    return ret;
}
