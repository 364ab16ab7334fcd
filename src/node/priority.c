/* SPDX-License-Identifier: Apache-2.0 */
#include "node/priority.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * A third of what others get on a busy processor. Not SCHED_IDLE: on a host whose processors are
 * always busy a rollout would take for ever, and who waits for a lock that such a thread holds would
 * wait with it.
 */
enum { LOW_NICE = 5 };

void priority_low(void)
{
    const struct sched_param param = {0};
    /* On Linux both are a thread's own. */
    sched_setscheduler(0, SCHED_BATCH, &param);
    setpriority(PRIO_PROCESS, (id_t)gettid(), LOW_NICE);
}

void priority_high(void)
{
    const struct sched_param param = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
}
