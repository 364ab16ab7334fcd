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

/* Jobs of one user, or of a few whose numbers fall together. */
struct lane {
    struct disk_job *first;
    struct disk_job **last;
    size_t n_running;
};
enum { N_LANES = 64 };

/* How long a thread that could not be started is done without. */
#define RETRY_NS UINT64_C(1000000000)

struct disk {
    pthread_mutex_t starting; /* held while a thread is started; before lock */
    pthread_mutex_t lock;     /* guards all below */
    pthread_cond_t more;
    pthread_cond_t ended;
    struct lane lanes[N_LANES];
    uint64_t n_added;
    uint64_t retry_ns;
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
    while (!disk->n_queued && !disk->stopping && !ret)
        ret = may_hold ? pthread_cond_timedwait(&disk->more, &disk->lock, &until)
                       : pthread_cond_wait(&disk->more, &disk->lock);
    disk->n_idle--;
    return disk->n_queued || disk->stopping ? 0 : -ret;
}

static struct lane *lane_of(struct disk *disk, uid_t uid)
{
    return &disk->lanes[uid % N_LANES];
}

/* The lane whose job has waited longest, among those that have no more than their share of the
 * threads, if there are any. Called with the lock held. */
static struct lane *next_lane(struct disk *disk)
{
    size_t share = disk->n_max > 1 ? disk->n_max / 2 : 1;
    struct lane *best = NULL;
    bool best_is_over = false;
    for (struct lane *lane = disk->lanes; lane < disk->lanes + N_LANES; lane++) {
        bool is_over = lane->n_running >= share;
        if (!lane->first || (best && is_over && !best_is_over))
            continue;
        if (best && is_over == best_is_over && best->first->number < lane->first->number)
            continue;
        best = lane;
        best_is_over = is_over;
    }
    return best;
}

static struct disk_job *take_job(struct disk *disk, struct lane *lane)
{
    struct disk_job *job = lane->first;
    lane->first = job->next;
    if (!lane->first)
        lane->last = &lane->first;
    disk->n_queued--;
    return job;
}

/* The next job: 1, 0 when stopping, -ETIMEDOUT when there was none for a while. */
static int next_job(struct disk_thread *thread, struct disk_job **out)
{
    struct disk *disk = thread->disk;
    scope_lock(&disk->lock);
    int ret = wait_more(disk, thread->worker != NULL);
    struct lane *lane = next_lane(disk);
    if (!lane || disk->stopping)
        return ret;
    *out = take_job(disk, lane);
    lane->n_running++;
    disk->n_running++;
    return 1;
}

static void run_job(struct disk_thread *thread, struct disk_job *job)
{
    struct disk *disk = thread->disk;
    struct lane *lane = lane_of(disk, job->uid);
    histogram_add(&disk->waits, now_ns() - job->since_ns);
    job->run(thread, job->context); /* frees it, perhaps */
    scope_lock(&disk->lock);
    lane->n_running--;
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
    pthread_mutex_init(&disk->starting, NULL);
    pthread_mutex_init(&disk->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&disk->more, &attr);
    pthread_cond_init(&disk->ended, &attr);
    pthread_condattr_destroy(&attr);
    for (struct lane *lane = disk->lanes; lane < disk->lanes + N_LANES; lane++)
        lane->last = &lane->first;
    disk->n_max = n_threads;
    *out = disk;
    return 0;
}

static bool wants_thread(struct disk *disk)
{
    scope_lock(&disk->lock);
    return disk->n_queued >= disk->n_idle && disk->n_started < disk->n_max &&
           (disk->n_started == 0 || now_ns() >= disk->retry_ns);
}

/* Only n_max times does it start one, so few callers ever wait here. */
static int start_thread(struct disk *disk)
{
    scope_lock(&disk->starting);
    if (!wants_thread(disk))
        return 0; /* somebody else has started it */
    struct disk_thread *thread = &disk->threads[disk->n_started];
    thread->disk = disk;
    int ret = pthread_create(&thread->thread, NULL, run, thread);
    pthread_mutex_lock(&disk->lock);
    if (!ret) {
        disk->n_started++;
        disk->n_alive++;
    } else if (disk->n_started) {
        disk->retry_ns = now_ns() + RETRY_NS;
        ret = 0; /* those there are will do */
    }
    pthread_mutex_unlock(&disk->lock);
    return -ret;
}

int disk_add(struct disk *disk, uid_t uid, struct disk_job *job, disk_fn run_fn, void *context)
{
    int ret = wants_thread(disk) ? start_thread(disk) : 0;
    if (ret)
        return ret;
    *job = (struct disk_job){.run = run_fn, .context = context, .uid = uid, .since_ns = now_ns()};
    struct lane *lane = lane_of(disk, uid);
    scope_lock(&disk->lock);
    job->number = disk->n_added++;
    *lane->last = job;
    lane->last = &job->next;
    disk->n_queued++;
    pthread_cond_signal(&disk->more);
    return 0;
}

static void refuse_queued(struct disk *disk)
{
    struct lane *lane = NULL;
    pthread_mutex_lock(&disk->lock);
    disk->stopping = true;
    pthread_cond_broadcast(&disk->more);
    while ((lane = next_lane(disk))) {
        struct disk_job *job = take_job(disk, lane);
        pthread_mutex_unlock(&disk->lock);
        job->run(NULL, job->context);
        pthread_mutex_lock(&disk->lock);
    }
    pthread_mutex_unlock(&disk->lock);
}

static int wait_ended(struct disk *disk)
{
    const struct timespec until = time_in(STOP_SECONDS);
    int ret = 0;
    refuse_queued(disk);
    scope_lock(&disk->lock);
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
    pthread_mutex_destroy(&disk->starting);
    free(disk);
}
