/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/worker.h"

#include "base/scope.h"
#include "fuse/log.h"
#include "fuse/lowlevel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct worker {
    struct workers *workers;
    pthread_t thread;
};

struct workers {
    struct fuse_session *session;
    void (*ended)(void);
    size_t n_workers;
    struct worker all[];
};

/* Waits for the next request: > 0 with one in buf, 0 when the session has ended, or -errno. */
static int wait_request(struct fuse_session *session, struct fuse_buf *buf)
{
    for (;;) {
        int ret = fuse_session_receive_buf(session, buf);
        if (ret != -EINTR && ret != -EAGAIN)
            return ret;
        if (fuse_session_exited(session))
            return 0;
    }
}

static void *run(void *context)
{
    const struct worker *worker = context;
    struct fuse_session *session = worker->workers->session;
    struct fuse_buf buf = {0};
    int ret = 0;
    while (!fuse_session_exited(session) && (ret = wait_request(session, &buf)) > 0)
        fuse_session_process_buf(session, &buf);
    if (ret < 0)
        log_error("reading requests: %s", strerror(-ret));
    free(buf.mem);
    worker->workers->ended();
    return NULL;
}

/* Only there to make read() return early. */
static void on_wake(int signo)
{
}

static int install_wake(void)
{
    struct sigaction action = {.sa_handler = on_wake};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGUSR1, &action, NULL) ? -errno : 0;
}

static int start_one(struct workers *workers)
{
    struct worker *worker = &workers->all[workers->n_workers];
    worker->workers = workers;
    int ret = pthread_create(&worker->thread, NULL, run, worker);
    if (!ret)
        workers->n_workers++;
    return -ret;
}

int workers_start(struct fuse_session *session, size_t n_workers, void (*ended)(void),
                  struct workers **out)
{
    struct workers *workers = calloc(1, sizeof *workers + n_workers * sizeof workers->all[0]);
    if (!workers)
        return -ENOMEM;
    workers->session = session;
    workers->ended = ended;
    int ret = install_wake();
    for (size_t i = 0; i < n_workers && !ret; i++)
        ret = start_one(workers);
    if (ret) {
        workers_stop(workers);
        return ret;
    }
    *out = workers;
    return 0;
}

/* A signal that arrives between the check for the end and the read is lost, so it is sent until the
 * thread is gone. */
static void join_worker(const struct worker *worker)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    while (pthread_tryjoin_np(worker->thread, NULL) == EBUSY) {
        pthread_kill(worker->thread, SIGUSR1);
        nanosleep(&pause, NULL);
    }
}

void workers_stop(struct workers *workers)
{
    if (!workers)
        return;
    fuse_session_exit(workers->session);
    for (size_t i = 0; i < workers->n_workers; i++)
        join_worker(&workers->all[i]);
    free(workers);
}
