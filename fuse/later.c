/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/later.h"

#include "fuse/log.h"
#include "query/disk_worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct task {
    struct disk_job job;
    struct view *view;
    struct later later;
    _Alignas(8) uint8_t data[];
};

/* A host that is short of memory must not fill its log too. */
static void complain(const struct err *err)
{
    static atomic_llong last_minute = -1;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long minute = now.tv_sec / 60;
    if (atomic_exchange(&last_minute, minute) != minute)
        log_error("a thread for lookups on disk: %s", err_text(err, -ENOMEM));
}

static void run_in(struct disk_thread *thread, struct task *task)
{
    struct err err = {0};
    const struct answer_disk disk = {disk_thread_worker(thread, &err), task->job.since_ns};
    if (!disk.worker) {
        complain(&err);
        fuse_reply_err(task->later.req, ENOMEM);
        return;
    }
    task->later.run(&task->later, &disk);
    /* The caller has its answer. Now there is time for a disk that hangs. */
    handle_close(task->view, task->later.handle);
    task->later.handle = NULL;
    disk_worker_reset(disk.worker);
}

static void run(struct disk_thread *thread, void *context)
{
    struct task *task = context;
    if (thread)
        run_in(thread, task);
    else
        fuse_reply_err(task->later.req, ECONNABORTED);
    handle_close(task->view, task->later.handle);
    free(task);
}

void later_start(const struct later *later)
{
    struct task *task = malloc(sizeof *task + later->len);
    if (!task) {
        fuse_reply_err(later->req, ENOMEM);
        return;
    }
    task->view = ops_view(later->req);
    task->later = *later;
    task->later.data = task->data;
    if (later->len)
        memcpy(task->data, later->data, later->len);
    if (later->handle)
        handle_ref(later->handle);
    int ret = disk_add(task->view->lookups, fuse_req_ctx(later->req)->uid, &task->job, run, task);
    if (!ret)
        return;
    handle_close(task->view, later->handle);
    free(task);
    fuse_reply_err(later->req, -ret);
}
