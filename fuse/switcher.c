/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/switcher.h"

#include "base/scope.h"
#include "fuse/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* How long stopping waits for a cache that hangs. */
enum { STOP_SECONDS = 2 };

struct switcher {
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned n_running; /* under lock */
};

struct job {
    struct switcher *switcher;
    struct view *view;
    fuse_req_t req;
    uint32_t table;
    uint64_t version;
    char link_name[LINK_NAME_MAX + 1];
};

int switcher_new(struct switcher **out)
{
    pthread_condattr_t attr;
    struct switcher *switcher = calloc(1, sizeof *switcher);
    if (!switcher)
        return -ENOMEM;
    pthread_mutex_init(&switcher->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&switcher->done, &attr);
    pthread_condattr_destroy(&attr);
    *out = switcher;
    return 0;
}

int switcher_stop(struct switcher *switcher)
{
    struct timespec until;
    int ret = 0;
    if (!switcher)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_SECONDS;
    scope_lock(&switcher->lock);
    while (switcher->n_running && !ret)
        ret = pthread_cond_timedwait(&switcher->done, &switcher->lock, &until);
    return switcher->n_running ? -ETIMEDOUT : 0;
}

void switcher_free(struct switcher *switcher)
{
    if (!switcher)
        return;
    pthread_cond_destroy(&switcher->done);
    pthread_mutex_destroy(&switcher->lock);
    free(switcher);
}

static void count_running(struct switcher *switcher, int change)
{
    scope_lock(&switcher->lock);
    switcher->n_running += (unsigned)change;
    if (switcher->n_running == 0)
        pthread_cond_broadcast(&switcher->done);
}

static void say(const struct job *job, int ret, const struct err *err)
{
    const char *name = table_name(node_table_at(job->view->node, job->table));
    if (ret)
        log_warning("table %s: local switch refused: %s", name, err_text(err, ret));
    else if (job->version)
        log_info("table %s: switched to version %llu and pinned there, on this node only", name,
                 (unsigned long long)job->version);
    else
        log_info("table %s: the local pin is off", name);
}

static void *run(void *context)
{
    struct job *job = context;
    struct err err = {0};
    struct table *table = node_table_at(job->view->node, job->table);
    int ret = node_switch_local(job->view->node, table, job->version, &err);
    say(job, ret, &err);
    if (!ret && job->link_name[0])
        links_remove(job->view->links, job->table, job->link_name);
    fuse_reply_err(job->req, -ret);
    count_running(job->switcher, -1);
    free(job);
    return NULL;
}

int switcher_start(struct switcher *switcher, struct view *view, fuse_req_t req, uint32_t table,
                   uint64_t version, const char *link_name)
{
    pthread_t thread;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){switcher, view, req, table, version, ""};
    strncpy(job->link_name, link_name, LINK_NAME_MAX);
    count_running(switcher, 1);
    int ret = pthread_create(&thread, NULL, run, job);
    if (ret) {
        count_running(switcher, -1);
        free(job);
        return -ret;
    }
    pthread_detach(thread);
    return 0;
}
