/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/worker.h"

#include "base/scope.h"
#include "fuse/log.h"
#include "fuse/lowlevel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

#define DEVICE_CLONE _IOR(229, 0, uint32_t) /* FUSE_DEV_IOC_CLONE of <linux/fuse.h> */

struct worker {
    struct workers *workers;
    pthread_t thread;
    int device;
};

struct workers {
    struct fuse_session *session;
    void (*ended)(void);
    size_t n_workers;
    struct worker all[];
};

static __thread int thread_device = -1;

int worker_device(void)
{
    return thread_device;
}

void worker_use_device(int device)
{
    thread_device = device;
}

/* libfuse reads and writes through these, with the session's descriptor; a worker puts its own in its place. */
static ssize_t device_read(int fd, void *buf, size_t len, void *userdata)
{
    return read(thread_device < 0 ? fd : thread_device, buf, len);
}

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    return writev(thread_device < 0 ? fd : thread_device, iov, count);
}

/* A new descriptor of the same connection, or -errno. */
static int clone_device(struct fuse_session *session)
{
    uint32_t master = (uint32_t)fuse_session_fd(session);
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, DEVICE_CLONE, &master)) {
        int ret = -errno;
        close(fd);
        return ret;
    }
    return fd;
}

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
    thread_device = worker->device;
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
    int device = clone_device(workers->session);
    if (device < 0)
        return device;
    *worker = (struct worker){.workers = workers, .device = device};
    int ret = pthread_create(&worker->thread, NULL, run, worker);
    if (ret) {
        close(device);
        return -ret;
    }
    workers->n_workers++;
    return 0;
}

int workers_start(struct fuse_session *session, size_t n_workers, void (*ended)(void),
                  struct workers **out)
{
    static const struct fuse_custom_io io = {.read = device_read, .writev = device_writev};
    struct workers *workers = calloc(1, sizeof *workers + n_workers * sizeof workers->all[0]);
    if (!workers)
        return -ENOMEM;
    workers->session = session;
    workers->ended = ended;
    int ret = fuse_session_custom_io(session, &io, fuse_session_fd(session));
    if (!ret)
        ret = install_wake();
    for (size_t i = 0; i < n_workers && !ret; i++)
        ret = start_one(workers);
    if (ret) {
        workers_stop(workers);
        return ret;
    }
    *out = workers;
    return 0;
}

/* A signal that arrives between the check for the end and the read is lost, so it is sent until the thread is gone. */
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
    for (size_t i = 0; i < workers->n_workers; i++)
        close(workers->all[i].device);
    free(workers);
}
