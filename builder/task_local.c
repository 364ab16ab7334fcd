/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local engine: `fkv stage TASK all` in a session of its own, so that it goes on when the submitter is gone. When that process
 * dies, `fkv task retry` starts another, which finds what is done.
 */
#include "builder/duckdb_host.h"
#include "builder/task_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What reads Parquet and queries must be on this host, as the work is. */
static int local_check(const struct task_spec *spec, struct err *err)
{
    return duckdb_check(&spec->job, err);
}

/* In the child of the child: nothing of the submitter's but its environment and rights. */
static void become_runner(const struct task *task)
{
    const char *const argv[] = {"fkv", "--store", store_url(task->store), "stage", task->name,
                                "all", NULL};
    int null = open("/dev/null", O_RDWR);
    setsid();
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close_range(3, ~0U, 0);
    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    _exit(127);
}

static int local_start(const struct task *task, const struct task_spec *spec, struct err *err)
{
    int status = -1;
    /* Whoever started us may ignore it: then nobody could tell how the child ended, and what it starts would ignore it too. */
    signal(SIGCHLD, SIG_DFL);
    pid_t child = fork();
    if (child < 0)
        return err_sys(err, -errno, "task %s: starting its process", task->name);
    if (child == 0) {
        /* Twice, so that nobody has to wait for it. */
        pid_t runner = fork();
        if (runner == 0)
            become_runner(task);
        _exit(runner < 0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status
               ? err_set(err, -EAGAIN, "task %s: expected to start a process, found none to be had",
                         task->name)
               : 0;
}

/* Workers look for cancelled.json themselves. */
static int local_stop(const struct task *task, struct err *err)
{
    return 0;
}

static int local_look(const struct task *task, struct task_engine_look *out, struct err *err)
{
    *out = (struct task_engine_look){0};
    return 0;
}

static int local_resume(const struct task *task, uint32_t *n, struct err *err)
{
    *n = 0;
    return 0;
}

const struct task_engine task_engine_local = {.name = "local",
                                              .check = local_check,
                                              .start = local_start,
                                              .stop = local_stop,
                                              .look = local_look,
                                              .resume = local_resume};
