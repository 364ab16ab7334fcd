/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_run.h"

#include "builder/task_map.h"
#include "builder/task_reduce.h"
#include "builder/task_seal.h"
#include "builder/task_shape.h"

#include <errno.h>
#include <malloc.h>

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

static int run_stage(const struct stage_work *work, uint32_t n,
                     int (*fn)(void *context, uint32_t number, struct err *err), struct err *err)
{
    struct engine_local local;
    struct engine_work engine_work = {.n_tasks = n, .task = fn, .context = (void *)(uintptr_t)work};
    engine_local_init(&local, task_plan_threads(work->plan->spec), work->cancel);
    return local.engine.run(&local.engine, &engine_work, err);
}

int task_stage_plan(const struct task *task, struct manifest *manifest, const atomic_bool *cancel,
                    struct err *err)
{
    struct task_work work;
    struct err why = {0};
    int ret = task_has(task, "plan.json", err);
    if (ret)
        return ret < 0 ? ret : 0;
    task_work_begin(&work, task, STAGE_PLAN, 0, cancel);
    ret = task_plan_make(task, manifest_state(manifest), &why);
    ret = task_work_end(&work, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

/* Settles shape.json before the reduce tasks ask for it side by side. */
static int shape_first(const struct stage_work *work, struct err *err)
{
    struct task_work worker;
    struct task_shape shape;
    struct err why = {0};
    int ret = task_has(work->task, "shape.json", err);
    if (ret)
        return ret < 0 ? ret : 0;
    task_work_begin(&worker, work->task, STAGE_REDUCE, 0, work->cancel);
    ret = task_shape_open(work->task, work->plan, &worker, &shape, &why);
    if (!ret)
        task_shape_release(&shape);
    ret = task_work_end(&worker, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

int task_stage_seal(const struct task *task, const struct task_plan *plan,
                    const atomic_bool *cancel, struct err *err)
{
    struct task_work worker;
    struct err why = {0};
    task_work_begin(&worker, task, STAGE_SEAL, 0, cancel);
    int ret = task_seal(task, plan, &worker, &why);
    ret = task_work_end(&worker, ret, &why);
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

void task_run_prepare(void)
{
    enum { LARGE_BUFFER = 512 << 10 };
    mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
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
    ret = run_stage(&work, plan.n_pieces, map_main, err);
    if (!ret)
        ret = shape_first(&work, err);
    if (!ret)
        ret = run_stage(&work, plan.n_groups, reduce_main, err);
    if (!ret)
        ret = task_stage_seal(task, &plan, cancel, err);
    task_plan_release(&plan);
    return ret;
}
