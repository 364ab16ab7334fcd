/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/disk.h"

#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>
#include <time.h>

/* How long stopping waits for a disk that hangs. */
enum { STOP_SECONDS = 2 };

struct disk_thread {
    struct disk *disk;
    pthread_t thread;
};

struct disk {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    pthread_cond_t ended;
    struct disk_job *first;
    struct disk_job **last;
    size_t n_queued;
    size_t n_idle;
    size_t n_running; /* threads */
    bool stopping;
    size_t n_started;
    size_t n_max;
    struct disk_thread threads[];
};

/* The next job; NULL when stopping with none left. */
static struct disk_job *wait_job(struct disk *disk)
{
    scope_lock(&disk->lock);
    disk->n_idle++;
    while (!disk->first && !disk->stopping)
        pthread_cond_wait(&disk->more, &disk->lock);
    disk->n_idle--;
    struct disk_job *job = disk->first;
    if (job) {
        disk->first = job->next;
        disk->n_queued--;
    }
    if (!disk->first)
        disk->last = &disk->first;
    return job;
}

static void *run(void *context)
{
    struct disk_thread *thread = context;
    struct disk *disk = thread->disk;
    struct disk_job *job = NULL;
    while ((job = wait_job(disk)))
        job->run(thread, job->context);
    scope_lock(&disk->lock);
    disk->n_running--;
    pthread_cond_broadcast(&disk->ended);
    return NULL;
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
    disk->n_running++;
    return 0;
}

int disk_add(struct disk *disk, struct disk_job *job, disk_fn run_job, void *context)
{
    *job = (struct disk_job){.run = run_job, .context = context};
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
    struct timespec until;
    int ret = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_SECONDS;
    scope_lock(&disk->lock);
    disk->stopping = true;
    pthread_cond_broadcast(&disk->more);
    while (disk->n_running && !ret)
        ret = pthread_cond_timedwait(&disk->ended, &disk->lock, &until);
    return disk->n_running ? -ETIMEDOUT : 0;
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
