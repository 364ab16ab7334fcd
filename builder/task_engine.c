/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/task_engine.h"

#include <string.h>

static const struct task_engine *const engines[] = {
    [TASK_LOCAL] = &task_engine_local,
    [TASK_SLURM] = &task_engine_slurm,
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
