/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/user_command.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static const char *const no_env[] = {NULL};

static int run(const char *command, int64_t timeout_ns, struct user_command_end *end)
{
    struct err err = {0};
    int rc = user_command_run(command, no_env, timeout_ns, NULL, end, &err);
    assert_true(!rc == !err.text[0]);
    return rc;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void user_command__tells_exit_status_and_last_line(void **state)
{
    struct user_command_end end;
    assert_int_equal(run("true", 30 * SECOND_NS, &end), 0);
    assert_int_equal(end.status, 0);
    assert_string_equal(end.line, "");
    assert_int_equal(run("echo one; echo two >&2; echo; exit 3", 30 * SECOND_NS, &end), 0);
    assert_int_equal(end.status, 3);
    assert_string_equal(end.line, "two");
    assert_int_equal(run("printf 'no newline'; exit 1", 30 * SECOND_NS, &end), 0);
    assert_string_equal(end.line, "no newline");
    assert_int_equal(run("kill -TERM $$", 30 * SECOND_NS, &end), 0);
    assert_int_equal(end.status, 128 + SIGTERM);
    assert_int_equal(run("echo $0", 30 * SECOND_NS, &end), 0);
    assert_string_equal(end.line, "sh");
    assert_int_equal(run("/no/such/program", 30 * SECOND_NS, &end), 0);
    assert_int_equal(end.status, 127);
}

static void user_command__has_no_input_and_the_environment_given(void **state)
{
    static const char *const env[] = {"FKV_TEST_A=one two", "HOME=/elsewhere", NULL};
    struct user_command_end end;
    setenv("FKV_TEST_A", "old", 1);
    setenv("FKV_TEST_B", "kept", 1);
    assert_int_equal(user_command_run("cat; echo \"$FKV_TEST_A, $FKV_TEST_B, $HOME\"", env,
                                      30 * SECOND_NS, NULL, &end, NULL),
                     0);
    assert_string_equal(end.line, "one two, kept, /elsewhere");
}

static void user_command__cleans_and_cuts_the_line(void **state)
{
    struct user_command_end end;
    assert_int_equal(run("printf 'a\\033[31m\\377\\303\\251\\tb\\r\\n'", 30 * SECOND_NS, &end), 0);
    assert_string_equal(end.line, "a [31m?\303\251 b ");
    assert_int_equal(run("head -c 100000 /dev/zero | tr '\\0' x", 30 * SECOND_NS, &end), 0);
    assert_int_equal(strlen(end.line), USER_COMMAND_LINE_MAX);
}

/* The pid that the command wrote there is nobody any more. */
static void assert_gone(const char *line)
{
    int pid = atoi(line);
    assert_true(pid > 1);
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
        usleep(10000);
    assert_int_equal(kill(pid, 0), -1);
}

static void user_command__that_hangs_is_killed_with_all_its_group(void **state)
{
    struct user_command_end end;
    double began = seconds();
    assert_int_equal(run("sleep 600 & echo $!; wait", SECOND_NS / 5, &end), -ETIMEDOUT);
    assert_true(seconds() - began < 20);
    assert_gone(end.line);
    assert_int_equal(run("trap '' TERM INT HUP; while :; do sleep 1; done", SECOND_NS / 5, &end),
                     -ETIMEDOUT);
}

static void user_command__that_leaves_somebody_behind_is_over(void **state)
{
    struct user_command_end end;
    double began = seconds();
    assert_int_equal(run("sleep 600 & echo $!", 60 * SECOND_NS, &end), 0);
    assert_true(seconds() - began < 20);
    assert_int_equal(end.status, 0);
    assert_gone(end.line);
}

static void user_command__that_closes_its_output_is_waited_for(void **state)
{
    struct user_command_end end;
    assert_int_equal(run("echo said; exec >&- 2>&-; sleep 0.3; exit 4", 30 * SECOND_NS, &end), 0);
    assert_int_equal(end.status, 4);
    assert_string_equal(end.line, "said");
}

static void user_command__that_floods_is_read_to_its_end(void **state)
{
    struct user_command_end end;
    assert_int_equal(run("yes | head -c 50000000; echo end; exit 1", 60 * SECOND_NS, &end), 0);
    assert_string_equal(end.line, "end");
    assert_int_equal(run("yes", SECOND_NS / 2, &end), -ETIMEDOUT);
    assert_string_equal(end.line, "y");
}

static void user_command__ends_before_a_signal_ends_us(void **state)
{
    char path[] = "/tmp/fkv-test-user-command-XXXXXX";
    char command[128];
    char line[32] = "";
    int status = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(command, sizeof command, "echo $$ > %s; exec sleep 600", path);
    pid_t pid = fork();
    if (pid == 0) {
        struct user_command_end end;
        user_command_run(command, no_env, 600 * SECOND_NS, NULL, &end, NULL);
        _exit(9);
    }
    for (int i = 0; i < 500 && pread(fd, line, sizeof line - 1, 0) < 2; i++)
        usleep(10000);
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_gone(line);
    close(fd);
    unlink(path);
}

static atomic_bool is_cancelled;

static void *cancel_soon(void *unused)
{
    usleep(300000);
    is_cancelled = true;
    return NULL;
}

/* Run by one thread of several: a signal would go to another one. */
static void user_command__is_killed_when_it_is_cancelled(void **state)
{
    struct user_command_end end;
    struct err err = {0};
    pthread_t thread;
    double began = seconds();
    is_cancelled = false;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    assert_int_equal(user_command_run("sleep 600 & echo $!; wait", no_env, 600 * SECOND_NS,
                                      &is_cancelled, &end, &err),
                     -ECANCELED);
    assert_true(seconds() - began < 20);
    assert_non_null(strstr(err.text, "was killed: cancelled"));
    assert_gone(end.line);
    pthread_join(thread, NULL);
}

static void user_command__is_reaped_where_children_are_ignored(void **state)
{
    struct user_command_end end;
    void (*was)(int) = signal(SIGCHLD, SIG_IGN);
    assert_int_equal(run("echo one; exit 3", 30 * SECOND_NS, &end), 0);
    assert_int_equal(end.status, 3);
    assert_string_equal(end.line, "one");
    assert_true(signal(SIGCHLD, was) == SIG_IGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_command__tells_exit_status_and_last_line),
        cmocka_unit_test(user_command__has_no_input_and_the_environment_given),
        cmocka_unit_test(user_command__cleans_and_cuts_the_line),
        cmocka_unit_test(user_command__that_hangs_is_killed_with_all_its_group),
        cmocka_unit_test(user_command__that_leaves_somebody_behind_is_over),
        cmocka_unit_test(user_command__that_closes_its_output_is_waited_for),
        cmocka_unit_test(user_command__that_floods_is_read_to_its_end),
        cmocka_unit_test(user_command__ends_before_a_signal_ends_us),
        cmocka_unit_test(user_command__is_killed_when_it_is_cancelled),
        cmocka_unit_test(user_command__is_reaped_where_children_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
