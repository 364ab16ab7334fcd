/* SPDX-License-Identifier: Apache-2.0 */
/* Slurm's commands are scripts here that say what the real ones do; tests/e2e/test_task_slurm.py has a real Slurm. */
#include "unit.h"

#include "base/scope.h"
#include "builder/slurm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/fkv-slurm-XXXXXX";

static int setup(void **state)
{
    char path[4096];
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s:%s", dir, getenv("PATH"));
    return setenv("PATH", path, 1);
}

static int teardown(void **state)
{
    static const char *const names[] = {"sbatch", "squeue", "scancel", "scontrol", "said"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

/* The program `name` does this; $SAID is a file for what it was told. */
static void program(const char *name, const char *body)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nSAID=%s/said\n%s\n", dir, body);
    fclose(file);
    assert_int_equal(chmod(path, 0755), 0);
}

static void was_told(const char *expected)
{
    char path[128];
    char text[512] = "";
    snprintf(path, sizeof path, "%s/said", dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    unlink(path);
    assert_string_equal(text, expected);
}

static int submit(uint64_t *job, struct err *err)
{
    static const char *const argv[] = {"sbatch", "--parsable", NULL};
    return slurm_submit(argv, "#!/bin/sh\ntrue\n", job, err);
}

static void slurm__a_jobs_number_stands_before_its_clusters_name(void **state)
{
    uint64_t job = 0;
    program("sbatch", "cat >$SAID; echo '1234;big'");
    assert_int_equal(submit(&job, NULL), 0);
    assert_int_equal(job, 1234);
    was_told("#!/bin/sh\ntrue\n");
    program("sbatch", "cat >/dev/null; echo Submitted");
    struct err err = {0};
    assert_int_equal(submit(&job, &err), -EIO);
    assert_non_null(strstr(err.text, "expected the number of a job, found 'Submitted"));
}

static void nothing(int sig)
{
}

/* The controller may have taken the job already: its number must not be lost. */
static void slurm__a_jobs_number_is_had_though_a_signal_comes(void **state)
{
    uint64_t job = 0;
    char script[128];
    void (*was)(int) = signal(SIGTERM, nothing);
    snprintf(script, sizeof script, "cat >/dev/null; kill -TERM %d; sleep 0.3; echo 77",
             (int)getpid());
    program("sbatch", script);
    assert_int_equal(submit(&job, NULL), 0);
    assert_int_equal(job, 77);
    signal(SIGTERM, was);
}

static void slurm__a_refusal_is_told_from_a_controller_that_is_away(void **state)
{
    struct err err = {0};
    uint64_t job = 7;
    program("sbatch",
            "cat >/dev/null; echo 'sbatch: error: a word before' >&2\n"
            "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1");
    assert_int_equal(submit(&job, &err), -EPERM);
    assert_non_null(strstr(
        err.text, "a word before sbatch: error: Batch job submission failed: Invalid account"));
    program("sbatch", "cat >/dev/null; echo 'sbatch: error: Batch job submission failed: Unable to "
                      "contact slurm controller (connect failure)' >&2; exit 1");
    assert_int_equal(submit(&job, &err), -EIO);
    assert_int_equal(job, 7);
}

static void slurm__arrays_are_as_large_as_it_is_configured(void **state)
{
    uint32_t n = 0;
    struct err err = {0};
    program("scontrol", "echo 'MaxArraySize            = 1001'");
    assert_int_equal(slurm_array_max(&n, NULL), 0);
    assert_int_equal(n, 1001);
    program("scontrol", "echo 'MaxArraySize            = 1001'\n"
                        "echo 'SchedulerParameters     = bf_interval=1,max_array_tasks=50,x'");
    assert_int_equal(slurm_array_max(&n, NULL), 0);
    assert_int_equal(n, 50);
    program("scontrol", "echo 'MaxArraySize            = 0'");
    assert_int_equal(slurm_array_max(&n, &err), -EPERM);
    assert_non_null(strstr(err.text, "found MaxArraySize 0"));
    assert_int_equal(n, 50);
}

static const struct slurm_jobs two_jobs = {.ids = {12, 13}, .n = 2};

static void slurm__a_queue_that_was_cut_is_not_believed(void **state)
{
    struct slurm_queue q = {0};
    struct err err = {0};
    program("squeue", "yes '12_1|fkv-t-map|RUNNING|None|n1|0|' | head -c 20000000");
    assert_int_equal(slurm_look(&two_jobs, "fkv-t-", &q, &err), -E2BIG);
    assert_string_equal(err.text, "squeue: expected an answer of at most 16 MiB, found more");
    assert_int_equal(q.n_running, 0);
    assert_int_equal(slurm_cancel(&two_jobs, "fkv-t-", NULL), -E2BIG);
    slurm_queue_release(&q);
}

static void slurm__elements_are_counted_by_what_becomes_of_them(void **state)
{
    struct slurm_queue q = {0};
    program("squeue", "cat <<'E'\n"
                      "12_0|fkv-t-map|COMPLETED|None|n1|0|\n"
                      "12_1|fkv-t-map|RUNNING|None|n1|0|\n"
                      "12_2|fkv-t-map|COMPLETING|None|n1|0|\n"
                      "12_3|fkv-t-map|PENDING|JobHeldUser||0|\n"
                      "12_4|fkv-t-map|PENDING|launch failed requeued held||0|\n"
                      "12_5|fkv-t-map|PENDING|ReqNodeNotAvail, UnavailableNodes:n2||0|\n"
                      "13|fkv-t-seal|PENDING|Dependency||0|\n"
                      "14_0|fkv-t2-map|RUNNING|None|n1|0|\n"
                      "torn|line\n"
                      "E");
    assert_int_equal(slurm_look(&two_jobs, "fkv-t-", &q, NULL), 0);
    assert_int_equal(q.n_ended, 1);
    assert_int_equal(q.n_running, 2);
    assert_int_equal(q.n_held, 2);
    assert_int_equal(q.n_pending, 2);
    assert_string_equal(q.waits_for, "ReqNodeNotAvail, UnavailableNodes:n2");
    assert_string_equal(q.failed.id, "");
    assert_int_equal(q.held.len, strlen("12_3,12_4"));
    assert_memory_equal(q.held.data, "12_3,12_4", q.held.len);
    assert_int_equal(q.jobs.len, 5);
    assert_memory_equal(q.jobs.data, "12,13", 5);
    slurm_queue_release(&q);
}

static void slurm__what_failed_goes_before_what_was_cancelled_for_it(void **state)
{
    struct slurm_queue q = {0};
    program("squeue", "cat <<'E'\n"
                      "13|fkv-t-seal|CANCELLED|DependencyNeverSatisfied||0|\n"
                      "12_0|fkv-t-map|FAILED|NonZeroExitCode|n2|32512|\n"
                      "12_1|fkv-t-map|TIMEOUT|TimeLimit|n1|0|\n"
                      "E");
    assert_int_equal(slurm_look(&two_jobs, "fkv-t-", &q, NULL), 0);
    assert_string_equal(q.failed.id, "12_0");
    assert_string_equal(q.failed.stage, "map");
    assert_string_equal(q.failed.state, "FAILED");
    assert_string_equal(q.failed.node, "n2");
    assert_int_equal(q.failed.status, 32512);
    assert_int_equal(q.n_ended, 3);
    slurm_queue_release(&q);
}

static void slurm__forgotten_jobs_are_none(void **state)
{
    struct slurm_queue q = {0};
    struct err err = {0};
    program("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    assert_int_equal(slurm_look(&two_jobs, "fkv-t-", &q, &err), 0);
    assert_int_equal(q.n_running + q.n_pending + q.n_held + q.n_ended, 0);
    program("squeue",
            "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    assert_int_equal(slurm_look(&two_jobs, "fkv-t-", &q, &err), -EIO);
    assert_non_null(strstr(err.text, "Unable to contact slurm controller"));
}

static void slurm__only_our_jobs_are_cancelled(void **state)
{
    program("squeue", "cat <<'E'\n"
                      "12_0|fkv-t-map|RUNNING|None|n1|0|\n"
                      "12_1|fkv-t-map|PENDING|Resources||0|\n"
                      "13|somebody's|RUNNING|None|n1|0|\n"
                      "15|fkv-t-seal|PENDING|Dependency||0|\n"
                      "E");
    program("scancel", "echo \"$*\" >$SAID");
    assert_int_equal(slurm_cancel(&two_jobs, "fkv-t-", NULL), 0);
    was_told("--quiet 12 15\n");
    program("squeue", "true");
    program("scancel", "exit 1");
    assert_int_equal(slurm_cancel(&two_jobs, "fkv-t-", NULL), 0);
}

static void slurm__held_elements_are_released(void **state)
{
    struct buf held = {0};
    program("scontrol", "echo \"$*\" >$SAID");
    assert_int_equal(buf_printf(&held, "12_3,12_4"), 0);
    assert_int_equal(slurm_release(&held, NULL), 0);
    was_told("release 12_3,12_4\n");
    buf_release(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slurm__a_jobs_number_stands_before_its_clusters_name),
        cmocka_unit_test(slurm__a_jobs_number_is_had_though_a_signal_comes),
        cmocka_unit_test(slurm__a_refusal_is_told_from_a_controller_that_is_away),
        cmocka_unit_test(slurm__arrays_are_as_large_as_it_is_configured),
        cmocka_unit_test(slurm__a_queue_that_was_cut_is_not_believed),
        cmocka_unit_test(slurm__elements_are_counted_by_what_becomes_of_them),
        cmocka_unit_test(slurm__what_failed_goes_before_what_was_cancelled_for_it),
        cmocka_unit_test(slurm__forgotten_jobs_are_none),
        cmocka_unit_test(slurm__only_our_jobs_are_cancelled),
        cmocka_unit_test(slurm__held_elements_are_released),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
