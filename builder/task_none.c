/* SPDX-License-Identifier: Apache-2.0 */
/* No engine: a task is recorded, and its stages are run by somebody of whom nothing is known but what they leave on the store. */
#include "builder/task_engine.h"

static int none_check(const struct task_spec *spec, struct err *err)
{
    return 0;
}

static int none_start(const struct task *task, const struct task_spec *spec, struct err *err)
{
    return 0;
}

/* Workers look for cancelled.json themselves. */
static int none_stop(const struct task *task, struct err *err)
{
    return 0;
}

static int none_look(const struct task *task, struct task_engine_look *out, struct err *err)
{
    *out = (struct task_engine_look){0};
    return 0;
}

static int none_resume(const struct task *task, uint32_t *n, struct err *err)
{
    *n = 0;
    return 0;
}

const struct task_engine task_engine_none = {.name = "none",
                                             .check = none_check,
                                             .start = none_start,
                                             .stop = none_stop,
                                             .look = none_look,
                                             .resume = none_resume};
