/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for jobs that wait for a disk: all jobs run, in their order, at once where they may, users
 * share them, and stopping refuses what waits, and waits for what runs, but not for ever. */
#include "unit.h"

#include "base/scope.h"
#include "fuse/disk.h"
#include "fuse/log.h"
#include "query/disk_worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { N_JOBS = 200, UID = 1000 };

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open;
    unsigned n_allowed; /* to pass while it is not open */
    unsigned n_waiting;
    unsigned n_passed;
};

static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int reset_gate(void **state)
{
    log_init(LOG_LEVEL_ERROR);
    scope_lock(&gate.lock);
    gate.is_open = false;
    gate.n_allowed = 0;
    gate.n_waiting = 0;
    gate.n_passed = 0;
    return 0;
}

/* A disk that answers when it is told to. */
static void wait_at_gate(struct disk_thread *thread, void *context)
{
    scope_lock(&gate.lock);
    gate.n_waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.is_open && !gate.n_allowed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.n_allowed -= !gate.is_open;
    gate.n_waiting--;
    gate.n_passed++;
    pthread_cond_broadcast(&gate.changed);
}

static void open_gate(void)
{
    scope_lock(&gate.lock);
    gate.is_open = true;
    pthread_cond_broadcast(&gate.changed);
}

static void let_one_pass(void)
{
    scope_lock(&gate.lock);
    gate.n_allowed++;
    pthread_cond_broadcast(&gate.changed);
}

static void await_waiting(unsigned n)
{
    scope_lock(&gate.lock);
    while (gate.n_waiting < n)
        pthread_cond_wait(&gate.changed, &gate.lock);
}

static void await_passed(unsigned n)
{
    scope_lock(&gate.lock);
    while (gate.n_passed < n)
        pthread_cond_wait(&gate.changed, &gate.lock);
}

static struct disk *new_disk(size_t n_threads)
{
    struct disk *disk = NULL;
    assert_int_equal(disk_new(n_threads, &disk), 0);
    return disk;
}

struct numbered {
    struct disk_job job;
    unsigned number;
};

static unsigned order[N_JOBS];
static unsigned n_ordered;

static void note_order(struct disk_thread *thread, void *context)
{
    const struct numbered *numbered = context;
    order[n_ordered++] = numbered->number;
    if (n_ordered == N_JOBS)
        wait_at_gate(thread, NULL);
}

static void disk__one_thread_runs_jobs_in_their_order(void **state)
{
    static struct numbered jobs[N_JOBS];
    struct disk *disk = new_disk(1);
    n_ordered = 0;
    open_gate();
    for (unsigned i = 0; i < N_JOBS; i++) {
        jobs[i].number = i;
        assert_int_equal(disk_add(disk, UID, &jobs[i].job, note_order, &jobs[i]), 0);
    }
    await_passed(1);
    assert_int_equal(disk_stop(disk), 0);
    assert_int_equal(n_ordered, N_JOBS);
    for (unsigned i = 0; i < N_JOBS; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(histogram_count(disk_waits(disk)), N_JOBS);
    disk_free(disk);
}

static void disk__a_slow_job_delays_no_other_while_there_are_threads(void **state)
{
    struct disk *disk = new_disk(4);
    struct disk_job jobs[6];
    struct disk_stats stats;
    for (int i = 0; i < 6; i++)
        assert_int_equal(disk_add(disk, UID, &jobs[i], wait_at_gate, NULL), 0);
    await_waiting(4);
    disk_stats(disk, &stats);
    assert_int_equal(stats.n_running, 4);
    assert_int_equal(stats.n_queued, 2);
    assert_null(stats.reader);
    open_gate();
    await_passed(6);
    assert_int_equal(disk_stop(disk), 0);
    disk_stats(disk, &stats);
    assert_int_equal(stats.n_running, 0);
    assert_int_equal(stats.n_queued, 0);
    disk_free(disk);
}

static void disk__threads_are_started_only_as_they_are_needed(void **state)
{
    struct disk *disk = new_disk(DISK_THREADS_MAX);
    disk_free(disk); /* has none to join */
    disk = new_disk(2);
    assert_int_equal(disk_stop(disk), 0);
    disk_free(disk);
    assert_int_equal(disk_stop(NULL), 0);
    disk_free(NULL);
}

static void disk__a_disk_that_hangs_is_not_waited_for_forever(void **state)
{
    struct disk *disk = new_disk(2);
    struct disk_job jobs[2];
    struct timespec begun;
    struct timespec ended;
    for (int i = 0; i < 2; i++)
        assert_int_equal(disk_add(disk, UID, &jobs[i], wait_at_gate, NULL), 0);
    await_waiting(2);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    assert_int_equal(disk_stop(disk), -ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    assert_true(ended.tv_sec - begun.tv_sec >= 1);
    open_gate();
    assert_int_equal(disk_stop(disk), 0);
    assert_int_equal(gate.n_passed, 2);
    disk_free(disk);
}

static atomic_uint n_other;

/* Counts how many of the first user's jobs run when the other's turn comes. */
static void note_turn(struct disk_thread *thread, void *context)
{
    scope_lock(&gate.lock);
    *(unsigned *)context = gate.n_waiting + gate.n_passed;
    atomic_fetch_add(&n_other, 1);
    pthread_cond_broadcast(&gate.changed);
}

/* One user has all threads and more jobs waiting, then others come: theirs are next. */
static void disk__a_user_has_half_of_the_threads_while_others_wait(void **state)
{
    struct disk *disk = new_disk(4);
    struct disk_job jobs[10];
    struct disk_job others[3];
    unsigned turns[3] = {0};
    atomic_store(&n_other, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(disk_add(disk, UID, &jobs[i], wait_at_gate, NULL), 0);
    await_waiting(4); /* nobody else was there */
    for (uid_t i = 0; i < 3; i++)
        assert_int_equal(disk_add(disk, UID + 1 + i, &others[i], note_turn, &turns[i]), 0);
    let_one_pass();
    while (atomic_load(&n_other) < 3)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(turns[i], 4);
    open_gate();
    await_passed(10);
    assert_int_equal(disk_stop(disk), 0);
    disk_free(disk);
}

static void note_refused(struct disk_thread *thread, void *context)
{
    *(bool *)context = thread == NULL;
}

static void disk__what_waits_is_refused_when_it_stops(void **state)
{
    struct disk *disk = new_disk(1);
    struct disk_job running;
    struct disk_job waiting[3];
    bool is_refused[3] = {false};
    assert_int_equal(disk_add(disk, UID, &running, wait_at_gate, NULL), 0);
    await_waiting(1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(disk_add(disk, UID + (uid_t)i, &waiting[i], note_refused, &is_refused[i]),
                         0);
    assert_int_equal(disk_stop(disk), -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        assert_true(is_refused[i]);
    open_gate();
    assert_int_equal(disk_stop(disk), 0);
    assert_int_equal(gate.n_passed, 1);
    disk_free(disk);
}

struct asking {
    struct disk_job job;
    struct disk_worker *workers[2];
};

static void ask_worker(struct disk_thread *thread, void *context)
{
    struct asking *asking = context;
    for (int i = 0; i < 2; i++)
        asking->workers[i] = disk_thread_worker(thread, NULL);
    wait_at_gate(thread, NULL);
}

static void disk__each_thread_has_one_worker_of_its_own(void **state)
{
    struct disk *disk = new_disk(2);
    struct asking asking[2] = {0};
    struct disk_stats stats;
    for (int i = 0; i < 2; i++)
        assert_int_equal(disk_add(disk, UID, &asking[i].job, ask_worker, &asking[i]), 0);
    await_waiting(2);
    for (int i = 0; i < 2; i++) {
        assert_non_null(asking[i].workers[0]);
        assert_ptr_equal(asking[i].workers[0], asking[i].workers[1]);
    }
    assert_ptr_not_equal(asking[0].workers[0], asking[1].workers[0]);
    disk_stats(disk, &stats);
    assert_true(strcmp(stats.reader, "uring") == 0 || strcmp(stats.reader, "plain") == 0);
    open_gate();
    await_passed(2);
    assert_int_equal(disk_stop(disk), 0);
    disk_free(disk);
}

/* An idle thread wakes up now and then, to let go of files, and must go on taking jobs. */
static void disk__idle_threads_take_jobs_again(void **state)
{
    struct disk *disk = new_disk(1);
    struct asking asking = {0};
    struct disk_job job;
    open_gate();
    assert_int_equal(disk_add(disk, UID, &asking.job, ask_worker, &asking), 0);
    await_passed(1);
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 200000000}, NULL);
    assert_int_equal(disk_add(disk, UID, &job, wait_at_gate, NULL), 0);
    await_passed(2);
    assert_int_equal(disk_stop(disk), 0);
    disk_free(disk);
}

struct crowd {
    struct disk *disk;
    pthread_t thread;
    struct disk_job jobs[N_JOBS];
};

static atomic_uint n_run;

static void count_run(struct disk_thread *thread, void *context)
{
    atomic_fetch_add(&n_run, 1);
}

static void *add_many(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < N_JOBS; i++)
        assert_int_equal(disk_add(crowd->disk, UID, &crowd->jobs[i], count_run, NULL), 0);
    return NULL;
}

static void disk__many_threads_add_and_each_job_runs_once(void **state)
{
    enum { N_CROWDS = 8 };
    static struct crowd crowds[N_CROWDS];
    struct disk *disk = new_disk(3);
    atomic_store(&n_run, 0);
    for (int i = 0; i < N_CROWDS; i++) {
        crowds[i].disk = disk;
        assert_int_equal(pthread_create(&crowds[i].thread, NULL, add_many, &crowds[i]), 0);
    }
    for (int i = 0; i < N_CROWDS; i++)
        pthread_join(crowds[i].thread, NULL);
    while (atomic_load(&n_run) < N_CROWDS * N_JOBS)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(disk_stop(disk), 0);
    assert_int_equal(atomic_load(&n_run), N_CROWDS * N_JOBS);
    disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(disk__one_thread_runs_jobs_in_their_order, reset_gate),
        cmocka_unit_test_setup(disk__a_slow_job_delays_no_other_while_there_are_threads,
                               reset_gate),
        cmocka_unit_test_setup(disk__threads_are_started_only_as_they_are_needed, reset_gate),
        cmocka_unit_test_setup(disk__a_disk_that_hangs_is_not_waited_for_forever, reset_gate),
        cmocka_unit_test_setup(disk__a_user_has_half_of_the_threads_while_others_wait, reset_gate),
        cmocka_unit_test_setup(disk__what_waits_is_refused_when_it_stops, reset_gate),
        cmocka_unit_test_setup(disk__each_thread_has_one_worker_of_its_own, reset_gate),
        cmocka_unit_test_setup(disk__idle_threads_take_jobs_again, reset_gate),
        cmocka_unit_test_setup(disk__many_threads_add_and_each_job_runs_once, reset_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
