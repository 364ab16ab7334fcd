/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/disk.h"

#include "base/scope.h"
#include "fuse/log.h"
#include "query/disk_worker.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

/* How long stopping waits for a disk that hangs. */
enum { STOP_SECONDS = 2 };
/* How long a thread has nothing to do before its worker lets go of files that are served no more. */
enum { IDLE_SECONDS = 1 };

struct disk_thread {
    struct disk *disk;
    pthread_t thread;
    struct disk_worker *worker; /* only its own thread touches it */
};

struct disk {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    pthread_cond_t ended;
    struct disk_job *first;
    struct disk_job **last;
    size_t n_queued;
    size_t n_idle;
    size_t n_running; /* jobs */
    size_t n_alive;   /* threads */
    const char *reader;
    bool stopping;
    size_t n_started;
    size_t n_max;
    struct histogram waits; /* has no lock */
    struct disk_thread threads[];
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct timespec time_in(time_t seconds)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += seconds;
    return ts;
}

/* Waits for a job. With a worker that may hold files open, only for a moment: -ETIMEDOUT. Called with
 * the lock held. */
static int wait_more(struct disk *disk, bool may_hold)
{
    const struct timespec until = time_in(IDLE_SECONDS);
    int ret = 0;
    disk->n_idle++;
    while (!disk->first && !disk->stopping && !ret)
        ret = may_hold ? pthread_cond_timedwait(&disk->more, &disk->lock, &until)
                       : pthread_cond_wait(&disk->more, &disk->lock);
    disk->n_idle--;
    return disk->first || disk->stopping ? 0 : -ret;
}

/* The next job: 1, 0 when stopping with none left, -ETIMEDOUT when there was none for a while. */
static int next_job(struct disk_thread *thread, struct disk_job **out)
{
    struct disk *disk = thread->disk;
    scope_lock(&disk->lock);
    int ret = wait_more(disk, thread->worker != NULL);
    struct disk_job *job = disk->first;
    if (!job)
        return ret;
    disk->first = job->next;
    if (!disk->first)
        disk->last = &disk->first;
    disk->n_queued--;
    disk->n_running++;
    *out = job;
    return 1;
}

static void run_job(struct disk_thread *thread, struct disk_job *job)
{
    struct disk *disk = thread->disk;
    histogram_add(&disk->waits, now_ns() - job->since_ns);
    job->run(thread, job->context);
    scope_lock(&disk->lock);
    disk->n_running--;
}

static void *run(void *context)
{
    struct disk_thread *thread = context;
    struct disk *disk = thread->disk;
    struct disk_job *job = NULL;
    int ret = 0;
    while ((ret = next_job(thread, &job))) {
        if (ret > 0)
            run_job(thread, job);
        else
            disk_worker_trim(thread->worker);
    }
    disk_worker_free(thread->worker);
    scope_lock(&disk->lock);
    disk->n_alive--;
    pthread_cond_broadcast(&disk->ended);
    return NULL;
}

/* Why there is no io_uring here: asked in a way that can only fail. */
static const char *why_plain(void)
{
    syscall(SYS_io_uring_setup, 0, NULL);
    return errno == EPERM    ? "io_uring is forbidden here (kernel.io_uring_disabled, or seccomp)"
           : errno == ENOSYS ? "this kernel has no io_uring, or seccomp hides it"
                             : "this kernel's io_uring is too old, or memory may not be locked";
}

/* Says once by which means the threads read. */
static void note_reader(struct disk *disk, const char *reader)
{
    pthread_mutex_lock(&disk->lock);
    bool is_first = !disk->reader;
    disk->reader = reader;
    pthread_mutex_unlock(&disk->lock);
    if (!is_first)
        return;
    if (strcmp(reader, "plain") == 0)
        log_warning("tables on disk are read one block at a time: %s", why_plain());
    else
        log_info("tables on disk are read with %s, by up to %zu threads", reader, disk->n_max);
}

struct disk_worker *disk_thread_worker(struct disk_thread *thread, struct err *err)
{
    if (thread->worker || disk_worker_new(0, &thread->worker, err))
        return thread->worker;
    note_reader(thread->disk, disk_worker_reader(thread->worker));
    return thread->worker;
}

void disk_stats(struct disk *disk, struct disk_stats *out)
{
    scope_lock(&disk->lock);
    *out = (struct disk_stats){disk->n_queued, disk->n_running, disk->reader};
}

const struct histogram *disk_waits(const struct disk *disk)
{
    return &disk->waits;
}

int disk_new(size_t n_threads, struct disk **out)
{
    pthread_condattr_t attr;
    struct disk *disk = calloc(1, sizeof *disk + n_threads * sizeof disk->threads[0]);
    if (!disk)
        return -ENOMEM;
    pthread_mutex_init(&disk->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&disk->more, &attr);
    pthread_cond_init(&disk->ended, &attr);
    pthread_condattr_destroy(&attr);
    disk->last = &disk->first;
    disk->n_max = n_threads;
    *out = disk;
    return 0;
}

/* Called with the lock held. */
static int start_thread(struct disk *disk)
{
    struct disk_thread *thread = &disk->threads[disk->n_started];
    thread->disk = disk;
    int ret = pthread_create(&thread->thread, NULL, run, thread);
    if (ret)
        return -ret;
    disk->n_started++;
    disk->n_alive++;
    return 0;
}

int disk_add(struct disk *disk, struct disk_job *job, disk_fn run_fn, void *context)
{
    *job = (struct disk_job){.run = run_fn, .context = context, .since_ns = now_ns()};
    scope_lock(&disk->lock);
    if (disk->n_queued >= disk->n_idle && disk->n_started < disk->n_max) {
        int ret = start_thread(disk);
        if (ret && disk->n_started == 0)
            return ret;
    }
    *disk->last = job;
    disk->last = &job->next;
    disk->n_queued++;
    pthread_cond_signal(&disk->more);
    return 0;
}

static int wait_ended(struct disk *disk)
{
    const struct timespec until = time_in(STOP_SECONDS);
    int ret = 0;
    scope_lock(&disk->lock);
    disk->stopping = true;
    pthread_cond_broadcast(&disk->more);
    while (disk->n_alive && !ret)
        ret = pthread_cond_timedwait(&disk->ended, &disk->lock, &until);
    return disk->n_alive ? -ETIMEDOUT : 0;
}

int disk_stop(struct disk *disk)
{
    int ret = disk ? wait_ended(disk) : 0;
    if (ret || !disk)
        return ret;
    for (size_t i = 0; i < disk->n_started; i++)
        pthread_join(disk->threads[i].thread, NULL);
    disk->n_started = 0;
    return 0;
}

void disk_free(struct disk *disk)
{
    if (!disk)
        return;
    pthread_cond_destroy(&disk->ended);
    pthread_cond_destroy(&disk->more);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}
