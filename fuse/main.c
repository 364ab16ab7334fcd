/* SPDX-License-Identifier: Apache-2.0 */
/* fkvd: mounts the tables of a store. This file only puts the parts together; see options.c for
 * what it can do. */
#include "fuse/detach.h"
#include "fuse/mountpoint.h"
#include "fuse/serve.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Ends the wait below when somebody unmounted us. */
static void on_ended(void)
{
    kill(getpid(), SIGTERM);
}

/* Opening the node loads what it served last, which takes a while: a signal ends that at once, as
 * kill -9 could. */
static int open_node(const struct options *options, struct serve *serve, const sigset_t *stop,
                     struct node **node, struct err *err)
{
    pthread_sigmask(SIG_UNBLOCK, stop, NULL);
    int ret = node_open(&options->node, watch_event, serve_watch(serve), node, err);
    pthread_sigmask(SIG_BLOCK, stop, NULL);
    return ret;
}

static int serve_until_signal(const struct options *options, struct serve *serve,
                              const sigset_t *stop, struct err *err)
{
    struct node *node = NULL;
    int signo = 0;
    int ret = open_node(options, serve, stop, &node, err);
    if (ret)
        return ret;
    ret = serve_start(serve, node, on_ended, err);
    if (!ret) {
        log_info("fkvd %s serves %s at %s", FKV_VERSION, options->node.store_url, options->mount);
        if (!options->foreground)
            log_to_syslog();
        detach_ready();
        sigwait(stop, &signo);
        log_info("stopping: %s", strsignal(signo));
        detach_notify("STOPPING=1");
    }
    if (serve_stop(serve)) {
        /* As after kill -9, the next start takes up what is on disk. */
        log_warning("reading the store or the cache hangs; ending without it");
        _exit(err_exit_status(ret));
    }
    node_close(node);
    return ret;
}

/* Blocked in every thread, so that only sigwait() above takes them. */
static void set_signals(sigset_t *stop)
{
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigaddset(stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, stop, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct options options;
    struct serve *serve = NULL;
    sigset_t stop;
    struct err err = {0};
    options_parse(argc, argv, &options);
    log_init(options.log_level);
    /* First looked at before anything is loaded, so that a wrong mount point is named at once. */
    int ret = mountpoint_prepare(options.mount, &err);
    if (!ret && !options.foreground)
        ret = detach_begin(&err);
    if (!ret) {
        set_signals(&stop);
        detach_raise_limits();
        ret = serve_new(&options, &serve, &err);
    }
    if (!ret)
        ret = serve_until_signal(&options, serve, &stop, &err);
    if (ret && !detach_failed(&err, ret))
        log_error("%s", err_text(&err, ret));
    serve_free(serve);
    options_release(&options);
    return err_exit_status(ret);
}
