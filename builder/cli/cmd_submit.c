/* SPDX-License-Identifier: Apache-2.0 */
/* A job becomes a task, and an engine runs it. */
#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/submit_spec.h"
#include "builder/cli/task_show.h"
#include "builder/task_engine.h"

#include <errno.h>
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
    struct submit_args *args = state->input;
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
    case ARGP_KEY_END:
        if (args->then && args->build.publish)
            argp_error(state, "--then and --publish say the same: expected one of them");
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

static int say_submitted(const struct submit_args *args, const struct task *task, struct err *err)
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
    struct submit_args args = {0};
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
    if (!ret)
        ret = submit_spec_make(&args, &session, &document, &spec, err);
    if (!ret && !spec.job.task) {
        task_name_new(name);
        spec.job.task = name;
    }
    if (!ret)
        ret = submit_spec_check(&spec, &session, err);
    if (!ret)
        ret = submit(&spec, &session, &task, err);
    if (!ret)
        ret = say_submitted(&args, &task, err);
    if (!ret && args.wait)
        ret = task_wait(&task, 0, args.build.common.json, err);
    task_document_release(&document);
    submit_args_release(&args);
    return ret;
}
