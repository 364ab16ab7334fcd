/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/later.h"

#include "fuse/log.h"
#include "query/disk_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct task {
    struct disk_job job;
    struct view *view;
    struct later later;
    _Alignas(8) uint8_t data[];
};

static void run(struct disk_thread *thread, void *context)
{
    struct task *task = context;
    struct err err = {0};
    const struct answer_disk disk = {disk_thread_worker(thread, &err), task->job.since_ns};
    if (disk.worker) {
        task->later.run(&task->later, &disk);
        /* The caller has its answer. Now there is time for a disk that hangs. */
        handle_close(task->view, task->later.handle);
        task->later.handle = NULL;
        disk_worker_reset(disk.worker);
    } else {
        log_error("a thread for lookups on disk: %s", err_text(&err, -ENOMEM));
        fuse_reply_err(task->later.req, ENOMEM);
    }
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
    int ret = disk_add(task->view->lookups, &task->job, run, task);
    if (!ret)
        return;
    handle_close(task->view, later->handle);
    free(task);
    fuse_reply_err(later->req, -ret);
}
