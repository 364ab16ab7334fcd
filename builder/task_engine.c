/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_engine.h"

#include "builder/task_work.h"

#include <string.h>

static const struct task_engine *const engines[] = {
    [TASK_LOCAL] = &task_engine_local,
    [TASK_SLURM] = &task_engine_slurm,
    [TASK_NONE] = &task_engine_none,
};

const struct task_engine *task_engine_of(enum task_engine_kind kind)
{
    return engines[kind];
}

const struct task_engine *task_engine_named(const char *name)
{
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    return NULL;
}

enum task_engine_kind task_engine_kind_of(const struct task_engine *engine)
{
    size_t i = 0;
    while (engines[i] != engine)
        i++;
    return (enum task_engine_kind)i;
}

int task_start(const struct task *task, const struct task_spec *spec, struct err *err)
{
    struct err why = {0};
    int ret = task_engine_of(spec->engine)->start(task, spec, &why);
    if (!ret)
        return 0;
    task_work_fail(task, STAGE_PLAN, 0, ret, &why);
    return err_set(err, ret, "%s", err_text(&why, ret));
}
