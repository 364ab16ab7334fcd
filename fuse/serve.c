/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve.h"

#include "fuse/disk.h"
#include "fuse/guard.h"
#include "fuse/mountpoint.h"
#include "fuse/ops.h"
#include "fuse/switcher.h"
#include "fuse/worker.h"
#include "node/descriptors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* A new node has versions to fetch before it has anything to show; small ones are there when the
 * mount appears. */
#define SETTLE_NS INT64_C(3000000000)

struct serve {
    const struct options *options;
    struct view view;
    struct links links;
    struct watch *watch;
    struct fuse_session *session;
    struct workers *workers;
    bool mounted;
};

static int make_parts(struct serve *serve)
{
    struct view *view = &serve->view;
    int ret = stats_new(&view->stats);
    if (!ret)
        ret = keyfiles_new(&view->keyfiles);
    if (!ret)
        ret = quota_new(&view->quota);
    if (!ret)
        ret = invalidate_new(&view->invalidate);
    if (!ret)
        ret = disk_new(serve->options->n_disk_threads, &view->lookups);
    if (!ret)
        ret = disk_new(1, &view->part_reads);
    if (!ret)
        ret = switcher_new(&view->switcher);
    if (!ret)
        ret = watch_new(view->invalidate, serve->options->node.poll_ns, &serve->watch);
    return ret;
}

static uint32_t open_parts_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return UINT32_MAX;
    uint64_t max = limit.rlim_cur / DESCRIPTORS_WHOLE * DESCRIPTORS_OF_CLIENTS;
    return max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
}

int serve_new(const struct options *options, struct serve **out, struct err *err)
{
    struct serve *serve = calloc(1, sizeof *serve);
    if (!serve)
        return err_set(err, -ENOMEM, "no memory");
    serve->options = options;
    links_init(&serve->links);
    pthread_mutex_init(&serve->view.handles_lock, NULL);
    serve->view.links = &serve->links;
    serve->view.mount = options->mount;
    serve->view.open_parts_max = open_parts_max();
    clock_gettime(CLOCK_REALTIME, &serve->view.started);
    int ret = guard_install();
    if (!ret && getrandom(&serve->view.daemon_id, sizeof serve->view.daemon_id, 0) < 0)
        ret = -errno;
    if (!ret)
        ret = make_parts(serve);
    if (ret) {
        serve_free(serve);
        return err_sys(err, ret, "starting");
    }
    *out = serve;
    return 0;
}

void serve_free(struct serve *serve)
{
    if (!serve)
        return;
    watch_free(serve->watch);
    switcher_free(serve->view.switcher);
    disk_free(serve->view.part_reads);
    disk_free(serve->view.lookups);
    invalidate_free(serve->view.invalidate);
    quota_free(serve->view.quota);
    keyfiles_free(serve->view.keyfiles);
    stats_free(serve->view.stats);
    free(serve);
}

struct watch *serve_watch(struct serve *serve)
{
    return serve->watch;
}

static int mount_session(struct serve *serve, struct err *err)
{
    const struct options *options = serve->options;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char source[64];
    snprintf(source, sizeof source, "-ofsname=" MOUNT_SOURCE "%d", (int)getpid());
    bool failed = fuse_opt_add_arg(&args, "fkvd") || fuse_opt_add_arg(&args, source) ||
                  fuse_opt_add_arg(&args, "-osubtype=" MOUNT_SUBTYPE
                                          ",default_permissions,nosuid,nodev,noexec");
    if (!failed && options->allow_other)
        failed = fuse_opt_add_arg(&args, "-oallow_other");
    if (!failed)
        serve->session = fuse_session_new(&args, &ops_table, sizeof ops_table, &serve->view);
    fuse_opt_free_args(&args);
    if (!serve->session)
        return err_set(err, -ENOMEM, "starting a FUSE session failed");
    errno = 0;
    if (fuse_session_mount(serve->session, options->mount))
        return err_sys(err, errno ? -errno : -EIO,
                       "mounting %s (is the fuse module loaded, and may this user mount?)",
                       options->mount);
    serve->mounted = true;
    return 0;
}

int serve_start(struct serve *serve, struct node *node, void (*ended)(void), struct err *err)
{
    const struct options *options = serve->options;
    serve->view.node = node;
    int ret = watch_start(serve->watch, node);
    if (ret)
        return err_sys(err, ret, "starting threads");
    watch_settle(serve->watch, SETTLE_NS);
    ret = mountpoint_prepare(options->mount, err);
    if (!ret)
        ret = mount_session(serve, err);
    if (ret)
        return ret;
    ret = workers_start(serve->session, options->n_threads, ended, &serve->workers);
    if (!ret)
        ret = invalidate_start(serve->view.invalidate, serve->session);
    if (ret)
        return err_sys(err, ret, "starting threads");
    return 0;
}

/* An invalidation may wait for a request that a worker has yet to answer, so it ends before the
 * workers. They hand work to the last two, whose replies need only the session. */
static int stop_threads(struct serve *serve)
{
    struct view *view = &serve->view;
    workers_stop(serve->workers);
    serve->workers = NULL;
    int ret = switcher_stop(view->switcher);
    if (!ret)
        ret = disk_stop(view->lookups);
    if (!ret)
        ret = disk_stop(view->part_reads);
    if (ret)
        return ret; /* the session stays for them */
    handle_close_all(view);
    return 0;
}

/* What libfuse says of a mount that is gone already, or goes when its last user does. */
static void say_nothing(enum fuse_log_level level, const char *fmt, va_list ap)
{
    (void)level;
    (void)fmt;
    (void)ap;
}

int serve_stop(struct serve *serve)
{
    int ret = watch_stop(serve->watch);
    invalidate_stop(serve->view.invalidate);
    if (serve->session)
        fuse_session_exit(serve->session);
    if (serve->mounted)
        mountpoint_unmount(serve->options->mount);
    int stopped = stop_threads(serve);
    if (stopped)
        return stopped;
    fuse_set_log_func(say_nothing);
    if (serve->mounted)
        fuse_session_unmount(serve->session);
    fuse_set_log_func(NULL);
    serve->mounted = false;
    if (serve->session)
        fuse_session_destroy(serve->session);
    serve->session = NULL;
    return ret;
}
