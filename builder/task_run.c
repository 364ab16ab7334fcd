/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_run.h"

#include "builder/task_map.h"
#include "builder/task_reduce.h"
#include "builder/task_seal.h"
#include "builder/task_shape.h"
#include "builder/task_work.h"

#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>

struct stage_work {
    const struct task *task;
    const struct task_plan *plan;
    const atomic_bool *cancel;
};

static int map_main(void *context, uint32_t number, struct err *err)
{
    struct stage_work *work = context;
    return task_map(work->task, work->plan, number, work->cancel, err);
}

static int reduce_main(void *context, uint32_t number, struct err *err)
{
    struct stage_work *work = context;
    return task_reduce(work->task, work->plan, number, work->cancel, err);
}

static int run_stage(const struct stage_work *work, uint32_t n, uint32_t n_threads,
                     int (*fn)(void *context, uint32_t number, struct err *err), struct err *err)
{
    struct engine_local local;
    struct engine_work engine_work = {.n_tasks = n, .task = fn, .context = (void *)(uintptr_t)work};
    engine_local_init(&local, n_threads, work->cancel);
    return local.engine.run(&local.engine, &engine_work, err);
}

/* What a worker does while another thread says that it is alive. */
struct step {
    const struct task *task;
    const struct task_plan *plan;
    const struct state *state;
    const char *file; /* what it puts */
    struct task_work work;
};

static bool is_step_done(void *context)
{
    const struct step *step = context;
    return task_has(step->task, step->file, NULL) == 1;
}

static int run_step(struct step *step, enum task_stage stage, const atomic_bool *cancel,
                    int (*fn)(void *context, struct err *err), struct err *err)
{
    struct err why = {0};
    task_work_begin(&step->work, step->task, stage, 0, cancel);
    step->work.is_done = is_step_done;
    step->work.done_context = step;
    int ret = task_work_run(&step->work, fn, step, &why);
    ret = task_work_end(&step->work, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

static int plan_main(void *context, struct err *err)
{
    struct step *step = context;
    return task_plan_make(step->task, step->state, err);
}

static int shape_main(void *context, struct err *err)
{
    struct step *step = context;
    struct task_shape shape;
    int ret = task_shape_open(step->task, step->plan, &step->work, &shape, err);
    if (!ret)
        task_shape_release(&shape);
    return ret;
}

static int seal_main(void *context, struct err *err)
{
    struct step *step = context;
    return task_seal(step->task, step->plan, &step->work, err);
}

int task_stage_plan(const struct task *task, struct manifest *manifest, const atomic_bool *cancel,
                    struct err *err)
{
    struct step step = {.task = task, .state = manifest_state(manifest), .file = "plan.json"};
    int ret = task_has(task, step.file, err);
    if (ret > 0)
        task_work_done(task, STAGE_PLAN, 0);
    if (ret)
        return ret < 0 ? ret : 0;
    return run_step(&step, STAGE_PLAN, cancel, plan_main, err);
}

/* Settles shape.json before the reduce tasks ask for it side by side. */
static int shape_first(const struct stage_work *work, struct err *err)
{
    struct step step = {.task = work->task, .plan = work->plan, .file = "shape.json"};
    int ret = task_has(work->task, step.file, err);
    if (ret)
        return ret < 0 ? ret : 0;
    return run_step(&step, STAGE_REDUCE, work->cancel, shape_main, err);
}

int task_stage_seal(const struct task *task, const struct task_plan *plan,
                    const atomic_bool *cancel, struct err *err)
{
    struct step step = {.task = task, .plan = plan, .file = "sealed.json"};
    return run_step(&step, STAGE_SEAL, cancel, seal_main, err);
}

void task_run_prepare(void)
{
    enum { LARGE_BUFFER = 512 << 10 };
    struct rlimit limit;
    mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int task_run_all(const struct task *task, struct manifest *manifest, const atomic_bool *cancel,
                 struct err *err)
{
    struct task_plan plan;
    int ret = task_has(task, "sealed.json", err);
    if (ret)
        return ret < 0 ? ret : 0;
    ret = task_stage_plan(task, manifest, cancel, err);
    if (!ret)
        ret = task_plan_open(task, &plan, err);
    if (ret)
        return ret;
    struct stage_work work = {.task = task, .plan = &plan, .cancel = cancel};
    ret = run_stage(&work, plan.n_pieces, task_plan_map_threads(plan.spec), map_main, err);
    if (!ret)
        ret = shape_first(&work, err);
    if (!ret)
        ret = run_stage(&work, plan.n_groups, task_plan_threads(plan.spec), reduce_main, err);
    if (!ret)
        ret = task_stage_seal(task, &plan, cancel, err);
    task_plan_release(&plan);
    return ret;
}
