/* SPDX-License-Identifier: Apache-2.0 */
#include "node/background.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * A tenth of what others get on a busy processor. Not SCHED_IDLE: on a host whose processors are
 * always busy a rollout would take for ever, and who waits for a lock that this thread holds would
 * wait with it.
 */
enum { BACKGROUND_NICE = 10 };

void background_begin(void)
{
    const struct sched_param param = {0};
    /* On Linux both are a thread's own. */
    sched_setscheduler(0, SCHED_BATCH, &param);
    setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE);
}
