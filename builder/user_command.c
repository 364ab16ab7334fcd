/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell may end and leave somebody behind who holds the pipe, and it may close the pipe and run on. So neither an end of
 * the output nor an end of the shell is waited for alone: each round reads what is there, then asks whether the shell has
 * ended.
 *
 * Its group is not ours, so ^C does not reach it, and nobody would be left to end it in time. So signals that would end us wait until
 * it has ended. And a child must stay until it is reaped, also where whoever started us ignores SIGCHLD.
 */
#include "builder/user_command.h"

#include "base/scope.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { TICK_MS = 20, DRAINS_MAX = 64 };

extern char **environ;

/* The line being read, and the last one with anything in it. */
struct tail {
    char line[USER_COMMAND_LINE_MAX];
    size_t len;
    char last[USER_COMMAND_LINE_MAX];
    size_t last_len;
};

static void tail_end_line(struct tail *tail)
{
    if (tail->len) {
        memcpy(tail->last, tail->line, tail->len);
        tail->last_len = tail->len;
    }
    tail->len = 0;
}

static void tail_add(struct tail *tail, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            tail_end_line(tail);
        else if (tail->len < sizeof tail->line)
            tail->line[tail->len++] = data[i];
    }
}

static void tail_text(struct tail *tail, char out[USER_COMMAND_LINE_MAX + 1])
{
    tail_end_line(tail);
    memcpy(out, tail->last, tail->last_len);
    utf8_clean(out, tail->last_len);
    out[tail->last_len] = 0;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");
    return strncmp(a, b, len + 1) == 0;
}

/* Ours, and of the process's own those of other names: of two of one name shells take the last, getenv() the first. */
static char **env_join(const char *const *env)
{
    size_t n = 0;
    size_t m = 0;
    while (env[n])
        n++;
    while (environ[m])
        m++;
    char **all = calloc(n + m + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, env, n * sizeof *all);
    size_t len = n;
    for (size_t i = 0; i < m; i++) {
        size_t k = 0;
        while (k < n && !is_same_name(env[k], environ[i]))
            k++;
        if (k == n)
            all[len++] = environ[i];
    }
    return all;
}

/* No descriptor of ours but the pipe, no signal mask or ignored signal of ours. */
static int spawn(const char *command, char **env, int pipe_in, pid_t *pid)
{
    char *words[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command,
                     NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    int ret = posix_spawn_file_actions_init(&files);
    if (ret)
        return -ret;
    ret = posix_spawnattr_init(&attr);
    if (ret) {
        posix_spawn_file_actions_destroy(&files);
        return -ret;
    }
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    ret = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!ret)
        ret = posix_spawn_file_actions_adddup2(&files, pipe_in, STDOUT_FILENO);
    if (!ret)
        ret = posix_spawn_file_actions_adddup2(&files, pipe_in, STDERR_FILENO);
    if (!ret)
        ret = posix_spawn(pid, "/bin/sh", &files, &attr, words, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return -ret;
}

/* Reads what is there, but not for ever: one that floods must not outlive its time. True when all writers are gone. */
static bool drain(int fd, struct tail *tail)
{
    char data[4096];
    for (int i = 0; i < DRAINS_MAX; i++) {
        ssize_t n = read(fd, data, sizeof data);
        if (n == 0)
            return true;
        if (n < 0)
            return errno != EAGAIN && errno != EINTR;
        tail_add(tail, data, (size_t)n);
    }
    return false;
}

/* Has it ended? It is not reaped yet, so that nobody gets its number while we kill its group. 1, 0 or -errno. */
static int has_ended(pid_t pid)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT))
        return errno == EINTR ? 0 : -errno;
    return info.si_pid == pid;
}

/* ---- our own signals ---- */

/* How signals were before the command, and those that wait until it is over. */
struct guard {
    sigset_t mask;
    sigset_t waiting;
    struct sigaction child;
};

/* Not those that are ignored, as below nohup, or blocked: whoever did that wants them to end nothing. */
static void guard_begin(struct guard *guard)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    pthread_sigmask(SIG_SETMASK, NULL, &guard->mask);
    sigemptyset(&guard->waiting);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction now;
        sigaction(ends[i], NULL, &now);
        if (now.sa_handler != SIG_IGN && !sigismember(&guard->mask, ends[i]))
            sigaddset(&guard->waiting, ends[i]);
    }
    pthread_sigmask(SIG_BLOCK, &guard->waiting, NULL);
    sigaction(SIGCHLD, &standard, &guard->child);
}

/* A signal that waited is taken here, and may be our end. */
static void guard_end(const struct guard *guard)
{
    sigaction(SIGCHLD, &guard->child, NULL);
    pthread_sigmask(SIG_SETMASK, &guard->mask, NULL);
}

static bool has_to_end(const struct guard *guard)
{
    sigset_t come;
    sigset_t both;
    sigpending(&come);
    sigandset(&both, &come, &guard->waiting);
    return !sigisemptyset(&both);
}

/* Until the shell has ended (0), the time is over (-ETIMEDOUT) or we have to end (-ECANCELED). */
static int follow(pid_t pid, int fd, int64_t end_ns, const struct guard *guard, struct tail *tail)
{
    bool is_silent = false;
    while (now_ns() < end_ns) {
        struct pollfd ready = {.fd = is_silent ? -1 : fd, .events = POLLIN};
        poll(&ready, 1, TICK_MS);
        is_silent = is_silent || drain(fd, tail);
        int ended = has_ended(pid);
        if (ended)
            return ended < 0 ? ended : 0;
        if (has_to_end(guard))
            return -ECANCELED;
    }
    return -ETIMEDOUT;
}

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Starts the command and sees it, and all its group, to the end. */
static int run(const char *command, char **env, int64_t timeout_ns, const struct guard *guard,
               struct user_command_end *out, struct err *err)
{
    int ends[2];
    struct tail tail = {0};
    pid_t pid = 0;
    if (pipe2(ends, O_CLOEXEC))
        return err_sys(err, -errno, "running '%s'", command);
    scope_fd int read_end = ends[0];
    scope_fd int write_end = ends[1];
    fcntl(read_end, F_SETFL, O_NONBLOCK);
    int64_t began = now_ns();
    int ret = spawn(command, env, write_end, &pid);
    if (ret)
        return err_sys(err, ret, "running '%s' with /bin/sh", command);
    close(scope_take_fd(&write_end));
    int64_t end = timeout_ns > INT64_MAX - began ? INT64_MAX : began + timeout_ns;
    ret = follow(pid, read_end, end, guard, &tail);
    kill(-pid, SIGKILL);
    out->status = reap(pid);
    drain(read_end, &tail);
    tail_text(&tail, out->line);
    if (ret == -ETIMEDOUT)
        return err_set(err, ret, "'%s' did not end within %lld ms and was killed", command,
                       (long long)(timeout_ns / 1000000));
    return ret ? err_sys(err, ret, "waiting for '%s'", command) : 0;
}

int user_command_run(const char *command, const char *const *env, int64_t timeout_ns,
                     struct user_command_end *out, struct err *err)
{
    struct guard guard;
    scope_free char **all = env_join(env);
    if (!all)
        return err_sys(err, -ENOMEM, "running '%s'", command);
    guard_begin(&guard);
    int ret = run(command, all, timeout_ns, &guard, out, err);
    guard_end(&guard);
    return ret;
}
