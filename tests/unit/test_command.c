/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What sh does with the input; *out ends with 0 when it goes well. */
static int run(const char *script, const char *input, int timeout_s, struct buf *out,
               struct err *err)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    buf_clear(out);
    int ret = command_run(argv, input, timeout_s, 0, out, err);
    assert_int_equal(buf_add_byte(out, 0), 0);
    return ret;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void command__is_told_and_tells(void **state)
{
    struct buf out = {0};
    struct err err = {0};
    assert_int_equal(run("cat; echo aside >&2", "one\ntwo\n", 30, &out, &err), 0);
    assert_string_equal((char *)out.data, "one\ntwo\n");
    assert_int_equal(run("cat; echo nothing", NULL, 30, &out, &err), 0);
    assert_string_equal((char *)out.data, "nothing\n");
    assert_int_equal(run("echo said; echo why >&2; echo more >&2; exit 3", NULL, 30, &out, &err),
                     -EIO);
    assert_string_equal(err.text, "sh: ended with status 3: why more");
    assert_int_equal(run("kill -KILL $$", NULL, 30, &out, &err), -EIO);
    assert_string_equal(err.text, "sh: ended by signal 9: ");
    buf_release(&out);
}

static void command__that_is_not_there_is_said(void **state)
{
    static const char *const argv[] = {"fkv-no-such-program", NULL};
    struct buf out = {0};
    struct err err = {0};
    assert_int_equal(command_run(argv, "x", 30, 0, &out, &err), -ENOENT);
    assert_non_null(strstr(err.text, "fkv-no-such-program: expected such a program in $PATH"));
    assert_false(command_is_there(argv[0]));
    assert_true(command_is_there("sh"));
}

static void command__without_a_first_line_is_said(void **state)
{
    char path[] = "/tmp/fkv-test-command-XXXXXX";
    const char *const argv[] = {path, NULL};
    struct buf out = {0};
    struct err err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "echo 1\n", 7), 7);
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
    assert_int_equal(command_run(argv, NULL, 30, 0, &out, &err), -ENOEXEC);
    assert_non_null(strstr(err.text, "no #! line"));
    unlink(path);
    buf_release(&out);
}

/* More than a pipe holds, both ways, and to one that reads none of it. */
static void command__takes_and_gives_any_amount(void **state)
{
    enum { LEN = 3000000 };
    struct buf out = {0};
    char *input = malloc(LEN + 1);
    assert_non_null(input);
    memset(input, 'x', LEN);
    input[LEN] = 0;
    assert_int_equal(run("cat", input, 60, &out, NULL), 0);
    assert_int_equal(out.len, LEN + 1);
    assert_memory_equal(out.data, input, LEN);
    assert_int_equal(run("echo deaf", input, 30, &out, NULL), 0);
    assert_string_equal((char *)out.data, "deaf\n");
    free(input);
    buf_release(&out);
}

static void command__whose_answer_is_cut_is_not_believed(void **state)
{
    struct buf out = {0};
    struct err err = {0};
    char script[64];
    snprintf(script, sizeof script, "yes | head -c %d", COMMAND_OUTPUT_MAX);
    assert_int_equal(run(script, NULL, 60, &out, NULL), 0);
    assert_int_equal(out.len, COMMAND_OUTPUT_MAX + 1);
    snprintf(script, sizeof script, "yes | head -c %d", COMMAND_OUTPUT_MAX + 1);
    assert_int_equal(run(script, NULL, 60, &out, &err), -E2BIG);
    assert_string_equal(err.text, "sh: expected an answer of at most 16 MiB, found more");
    assert_int_equal(out.len, COMMAND_OUTPUT_MAX + 1);
    assert_int_equal(run("yes | head -c 40000000; exit 3", NULL, 60, &out, &err), -EIO);
    assert_string_equal(err.text, "sh: ended with status 3: ");
    assert_int_equal(run("yes | head -c 40000000 >&2", NULL, 60, &out, NULL), 0);
    buf_release(&out);
}

static void assert_gone(const char *pid_text)
{
    int pid = atoi(pid_text);
    assert_true(pid > 1);
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
        usleep(10000);
    assert_int_equal(kill(pid, 0), -1);
}

static void command__leaves_nobody_behind(void **state)
{
    struct buf out = {0};
    struct err err = {0};
    double began = seconds();
    assert_int_equal(run("sleep 600 & echo $!", NULL, 60, &out, &err), 0);
    assert_gone((const char *)out.data);
    assert_int_equal(run("sleep 600 & echo $!; wait", NULL, 1, &out, &err), -ETIMEDOUT);
    assert_string_equal(err.text, "sh: expected an answer within 1 s, found none");
    assert_gone((const char *)out.data);
    assert_true(seconds() - began < 20);
    buf_release(&out);
}

/* Run as `leave`: out of the group that we were put in, into that of whoever started us. */
static int leave_group(void)
{
    if (setpgid(0, getpgid(getppid())))
        return 3;
    printf("left\n");
    fflush(stdout);
    sleep(120);
    return 0;
}

static void command__that_left_its_group_is_killed_too(void **state)
{
    static const char *const argv[] = {"/proc/self/exe", "leave", NULL};
    struct buf out = {0};
    double began = seconds();
    assert_int_equal(command_run(argv, NULL, 1, 0, &out, NULL), -ETIMEDOUT);
    assert_int_equal(buf_add_byte(&out, 0), 0);
    assert_string_equal((char *)out.data, "left\n");
    assert_true(seconds() - began < 20);
    buf_release(&out);
}

static void command__has_nothing_of_ours_open(void **state)
{
    struct buf out = {0};
    char script[64];
    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd > 2);
    snprintf(script, sizeof script, "test -e /proc/self/fd/%d || echo shut", fd);
    assert_int_equal(run(script, NULL, 30, &out, NULL), 0);
    assert_string_equal((char *)out.data, "shut\n");
    close(fd);
    buf_release(&out);
}

static void command__changes_no_signals(void **state)
{
    struct buf out = {0};
    void (*child_was)(int) = signal(SIGCHLD, SIG_IGN);
    void (*pipe_was)(int) = signal(SIGPIPE, SIG_DFL);
    assert_int_equal(run("echo one; exit 0", "x", 30, &out, NULL), 0);
    assert_int_equal(run("exit 3", "x", 30, &out, NULL), -EIO);
    assert_true(signal(SIGCHLD, child_was) == SIG_IGN);
    assert_true(signal(SIGPIPE, pipe_was) == SIG_DFL);
    buf_release(&out);
}

static volatile sig_atomic_t n_taken;

static void on_signal(int sig)
{
    n_taken++;
}

/* sh does this, and a signal comes while it does; *taken: how often it was taken in the end. */
static int run_signalled(const char *what, unsigned flags, int timeout_s, struct buf *out,
                         int *taken)
{
    char script[256];
    snprintf(script, sizeof script, "kill -TERM %d; %s", (int)getpid(), what);
    const char *const argv[] = {"sh", "-c", script, NULL};
    n_taken = 0;
    buf_clear(out);
    void (*was)(int) = signal(SIGTERM, on_signal);
    int ret = command_run(argv, NULL, timeout_s, flags, out, NULL);
    signal(SIGTERM, was);
    *taken = n_taken;
    assert_int_equal(buf_add_byte(out, 0), 0);
    return ret;
}

static void command__that_changes_something_outlasts_a_signal(void **state)
{
    struct buf out = {0};
    int taken = 0;
    double began = seconds();
    assert_int_equal(run_signalled("sleep 600", 0, 60, &out, &taken), -ECANCELED);
    assert_int_equal(taken, 1);
    assert_true(seconds() - began < 20);
    assert_int_equal(run_signalled("sleep 0.5; echo 42", COMMAND_CHANGES, 60, &out, &taken), 0);
    assert_string_equal((char *)out.data, "42\n");
    assert_int_equal(taken, 1);
    assert_int_equal(run_signalled("sleep 600", COMMAND_CHANGES, 1, &out, &taken), -ETIMEDOUT);
    assert_int_equal(taken, 1);
    assert_true(seconds() - began < 40);
    buf_release(&out);
}

/* Of one that nobody handles we die, but afterwards. */
static void command__has_answered_before_a_signal_ends_us(void **state)
{
    char path[] = "/tmp/fkv-test-command-XXXXXX";
    char script[256];
    char line[32] = "";
    int status = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct buf out = {0};
        snprintf(script, sizeof script, "kill -TERM %d; sleep 0.5; echo done >%s", (int)getpid(),
                 path);
        const char *const argv[] = {"sh", "-c", script, NULL};
        command_run(argv, NULL, 60, COMMAND_CHANGES, &out, NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(pread(fd, line, sizeof line - 1, 0), 5);
    assert_string_equal(line, "done\n");
    close(fd);
    unlink(path);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "leave") == 0)
        return leave_group();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command__is_told_and_tells),
        cmocka_unit_test(command__that_is_not_there_is_said),
        cmocka_unit_test(command__without_a_first_line_is_said),
        cmocka_unit_test(command__takes_and_gives_any_amount),
        cmocka_unit_test(command__whose_answer_is_cut_is_not_believed),
        cmocka_unit_test(command__leaves_nobody_behind),
        cmocka_unit_test(command__that_left_its_group_is_killed_too),
        cmocka_unit_test(command__has_nothing_of_ours_open),
        cmocka_unit_test(command__changes_no_signals),
        cmocka_unit_test(command__that_changes_something_outlasts_a_signal),
        cmocka_unit_test(command__has_answered_before_a_signal_ends_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
