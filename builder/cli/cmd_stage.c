/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a task, as an engine runs it. */
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/task_release.h"
#include "builder/sealed.h"
#include "builder/task_engine.h"
#include "builder/task_map.h"
#include "builder/task_reduce.h"
#include "builder/task_run.h"
#include "builder/task_seal.h"
#include "builder/task_status.h"
#include "builder/task_work.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_INDEX = 0x7300, OPTION_OFFSET, OPTION_CHAIN, OPTION_AGAIN };

struct args {
    struct cli_common common;
    const char *task;
    const char *stage;
    bool has_index;
    uint32_t index;
    uint32_t offset;
    bool chain;
    bool again;
};

static const struct argp_option options[] = {
    {"index", OPTION_INDEX, "N", 0,
     "Which piece (map) or group of shards (reduce), from 0; default: $SLURM_ARRAY_TASK_ID or "
     "$JOB_COMPLETION_INDEX",
     0},
    {"offset", OPTION_OFFSET, "N", 0, "Added to the index (0)", 0},
    {"chain", OPTION_CHAIN, NULL, 0, "plan: then submit the other stages to Slurm", 0},
    {"again", OPTION_AGAIN, NULL, 0,
     "It will be run again when it ends with status 6: that is no failure of the task yet", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_INDEX:
        args->index = arg_need_u32(state, "--index", arg, 0, INT32_MAX);
        args->has_index = true;
        return 0;
    case OPTION_OFFSET:
        args->offset = arg_need_u32(state, "--offset", arg, 0, INT32_MAX);
        return 0;
    case OPTION_CHAIN:
        args->chain = true;
        return 0;
    case OPTION_AGAIN:
        args->again = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->task = arg;
        else if (state->arg_num == 1)
            args->stage = arg;
        else
            argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2)
            argp_error(state, "expected a task and one of plan, map, reduce, seal or all");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] =
    "Runs one stage of TASK, or one index of it, in this process: plan, map, reduce or seal. `all` "
    "runs what is left of all of them. Engines call it; so can any other scheduler, as every stage "
    "may be run again, anywhere, and twice at once: what is done is not done again."
    "\v"
    "The order is plan, then map 0 to PIECES-1, then reduce 0 to GROUPS-1, then seal; `fkv task "
    "show "
    "--json TASK` tells pieces and groups once the task is planned.\n"
    "\n"
    "Exit status 6, or death by a signal: worth trying again. Others: the task has failed, and "
    "says "
    "why.\n";

static atomic_bool cancelled;

static void on_signal(int sig)
{
    cancelled = true;
    signal(sig, SIG_DFL);
}

/* The index of an array's element, as schedulers tell it. */
static int index_find(struct args *args, struct err *err)
{
    static const char *const names[] = {"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"};
    for (size_t i = 0; !args->has_index && i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        uint64_t n = 0;
        if (!text)
            continue;
        if (arg_u64(text, &n) || n > INT32_MAX)
            return err_set(err, -EINVAL, "$%s: expected a number, found '%.40s'", names[i], text);
        args->index = (uint32_t)n;
        args->has_index = true;
    }
    if (!args->has_index)
        return err_set(err, -EINVAL, "expected --index N for stage %s, found none", args->stage);
    args->index += args->offset;
    return 0;
}

static int run_planned(const struct args *args, struct session *session, const struct task *task,
                       enum task_stage stage, struct err *err)
{
    struct task_plan plan;
    int ret = task_plan_open(task, &plan, err);
    if (ret)
        return ret;
    if (stage == STAGE_PLAN)
        ret = args->chain ? task_slurm_chain(task, &plan, err) : 0;
    else if (stage == STAGE_MAP)
        ret = task_map(task, &plan, args->index, &cancelled, err);
    else if (stage == STAGE_REDUCE)
        ret = task_reduce(task, &plan, args->index, &cancelled, err);
    else
        ret = task_stage_seal(task, &plan, &cancelled, err);
    /* Once it is sealed nothing needs the runs, also when publishing is refused. */
    if (!ret && stage == STAGE_SEAL)
        task_clean(task);
    if (!ret && stage == STAGE_SEAL)
        ret = task_release(session, task, plan.spec, &cancelled, err);
    task_plan_release(&plan);
    return ret;
}

static int run_all(struct session *session, const struct task *task, struct err *err)
{
    struct args seal = {0};
    int ret = task_run_all(task, session->manifest, &cancelled, err);
    return ret ? ret : run_planned(&seal, session, task, STAGE_SEAL, err);
}

static int run(struct args *args, struct session *session, const struct task *task, struct err *err)
{
    enum task_stage stage;
    if (strcmp(args->stage, "all") == 0)
        return run_all(session, task, err);
    int ret = task_stage_from_name(args->stage, &stage, err);
    if (!ret && (stage == STAGE_MAP || stage == STAGE_REDUCE))
        ret = index_find(args, err);
    if (!ret && stage == STAGE_PLAN)
        ret = task_stage_plan(task, session->manifest, &cancelled, err);
    return ret ? ret : run_planned(args, session, task, stage, err);
}

/* A fault before or between workers is told of too: else the task would seem to go on. */
static void see_told(const struct args *args, const struct task *task, int code,
                     const struct err *why)
{
    struct task_status status;
    enum task_stage stage = STAGE_PLAN;
    if (task_status_read(task, false, &status, NULL))
        return;
    bool is_told = status.state == TASK_FAILED;
    task_status_release(&status);
    task_stage_from_name(args->stage, &stage, NULL);
    if (!is_told)
        task_work_fail(task, stage, args->index, code, why);
}

/* Whoever cancelled it removed what was there; what was written since goes now. */
static int was_cancelled(struct session *session, const struct task *task, struct err *err)
{
    struct task_status s;
    uint64_t version = 0;
    if (!task_status_read(task, false, &s, NULL)) {
        manifest_refresh(session->manifest, NULL, NULL);
        version = sealed_published_as(session->store,
                                      state_find_table(manifest_state(session->manifest), s.table),
                                      s.table, task->name);
        if (s.state == TASK_CANCELLED)
            task_give_up(task, version != 0);
        task_status_release(&s);
    }
    return err_set(err, -EPERM, "task %s was cancelled", task->name);
}

int cmd_stage(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "TASK STAGE",
                                     .doc = doc,
                                     .children = cli_children_quiet};
    struct args args = {0};
    scope_session struct session session = {0};
    struct task task;
    cli_parse(&argp, argc, argv, &args);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    task_run_prepare();
    int ret = session_open(&args.common, &session, err);
    if (!ret)
        ret = task_open(session.store, args.task, &task, err);
    if (!ret && task_has(&task, "cancelled.json", err) == 1)
        ret = err_set(err, -EPERM, "task %s is cancelled; submit a new one", task.name);
    if (ret)
        return ret;
    struct err why = {0};
    task.is_tried_again = args.again;
    ret = run(&args, &session, &task, &why);
    if (ret && task_has(&task, "cancelled.json", NULL) == 1)
        return was_cancelled(&session, &task, err);
    if (ret && ret != -ECANCELED && ret != -EAGAIN && !task_is_tried_again(&task, ret))
        see_told(&args, &task, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}
