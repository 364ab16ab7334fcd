/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program may end and leave somebody behind who holds its outputs, and it may close them and run on. So neither an end of the
 * outputs nor an end of the program is waited for alone: each round reads what is there, then asks whether the program has ended.
 *
 * Its group is not ours, so ^C does not reach it, and nobody would be left to end it in time. So signals that would end us wait until
 * it has ended. And a child must stay until it is reaped, also where whoever started us ignores SIGCHLD.
 */
#include "builder/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 20, DRAINS_MAX = 64 };

struct child {
    const struct child_params *params;
    pid_t pid;
    int in;            /* to its standard input; -1: there is none, or no more to say */
    int out;           /* from its standard output; -1: ended */
    int error;         /* from its standard error; -1: ended, or one with out */
    const char *input; /* what is left to say */
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- starting ---- */

/* The child's ends. */
struct ends {
    int in; /* -1: /dev/null */
    int out;
    int error; /* -1: as out */
};

static int add_files(posix_spawn_file_actions_t *files, const struct ends *ends)
{
    int ret = ends->in < 0
                  ? posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
                  : posix_spawn_file_actions_adddup2(files, ends->in, STDIN_FILENO);
    if (!ret)
        ret = posix_spawn_file_actions_adddup2(files, ends->out, STDOUT_FILENO);
    if (!ret)
        ret = posix_spawn_file_actions_adddup2(files, ends->error < 0 ? STDOUT_FILENO : ends->error,
                                               STDERR_FILENO);
    return ret ? ret : posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
}

static int spawn(const struct child_params *params, const struct ends *ends, pid_t *pid)
{
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
    ret = add_files(&files, ends);
    if (!ret)
        ret = posix_spawnp(pid, params->file ? params->file : params->argv[0], &files, &attr,
                           (char *const *)(uintptr_t)params->argv, params->env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return -ret;
}

static int pipe_make(int *read_end, int *write_end)
{
    int both[2];
    if (pipe2(both, O_CLOEXEC))
        return -errno;
    *read_end = both[0];
    *write_end = both[1];
    return 0;
}

static void child_close(struct child *child)
{
    close_end(&child->in);
    close_end(&child->out);
    close_end(&child->error);
}

static int child_start(struct child *child)
{
    const struct child_params *params = child->params;
    struct ends ends = {-1, -1, -1};
    int ret = pipe_make(&child->out, &ends.out);
    if (!ret && params->error.take)
        ret = pipe_make(&child->error, &ends.error);
    if (!ret && params->input)
        ret = pipe_make(&ends.in, &child->in);
    if (!ret)
        ret = spawn(params, &ends, &child->pid);
    close_end(&ends.in);
    close_end(&ends.out);
    close_end(&ends.error);
    /* Only our own ends: what the child says must not be lost because it was too fast. */
    fcntl(child->in, F_SETFL, O_NONBLOCK);
    fcntl(child->out, F_SETFL, O_NONBLOCK);
    fcntl(child->error, F_SETFL, O_NONBLOCK);
    if (ret)
        child_close(child);
    return ret;
}

/* ---- following ---- */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Says as much as it takes; nothing more to one that does not read. */
static void give(struct child *child)
{
    size_t len = strlen(child->input);
    ssize_t n = len ? write(child->in, child->input, len) : 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0)
        child->input += n;
    if (n < 0 || *child->input == 0)
        close_end(&child->in);
}

/* Reads what is there, but not for ever: one that floods must not outlive its time. Closed when all writers are gone. */
static void drain(int *fd, const struct child_output *output)
{
    char data[4096];
    for (int i = 0; i < DRAINS_MAX && *fd >= 0; i++) {
        ssize_t n = read(*fd, data, sizeof data);
        if (n > 0)
            output->take(output->context, data, (size_t)n);
        else if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        else
            close_end(fd);
    }
}

static void drain_all(struct child *child)
{
    drain(&child->out, &child->params->out);
    drain(&child->error, &child->params->error);
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

/* How signals were before, and those that wait until the child has ended. */
struct guard {
    sigset_t mask;
    sigset_t waiting;
    struct sigaction child;
    struct sigaction pipe;
};

/* Not those that are ignored, as below nohup, or blocked: whoever did that wants them to end nothing. */
static void guard_begin(struct guard *guard)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    const struct sigaction ignored = {.sa_handler = SIG_IGN};
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
    sigaction(SIGPIPE, &ignored, &guard->pipe);
}

/* A signal that waited is taken here, and may be our end. */
static void guard_end(const struct guard *guard)
{
    sigaction(SIGPIPE, &guard->pipe, NULL);
    sigaction(SIGCHLD, &guard->child, NULL);
    pthread_sigmask(SIG_SETMASK, &guard->mask, NULL);
}

static bool has_to_end(const struct child_params *params, const struct guard *guard)
{
    if (params->cancel && *params->cancel)
        return true;
    if (params->outlasts_signals)
        return false;
    sigset_t come;
    sigset_t both;
    sigpending(&come);
    sigandset(&both, &come, &guard->waiting);
    return !sigisemptyset(&both);
}

/* ---- all of it ---- */

/* Until it has ended (0), the time is over (-ETIMEDOUT) or we have to end (-ECANCELED). */
static int follow(struct child *child, int64_t end_ns, const struct guard *guard)
{
    while (now_ns() < end_ns) {
        struct pollfd ready[] = {
            {child->in, POLLOUT, 0}, {child->out, POLLIN, 0}, {child->error, POLLIN, 0}};
        if (poll(ready, 3, TICK_MS) > 0 && child->in >= 0 && ready[0].revents)
            give(child);
        drain_all(child);
        int ended = has_ended(child->pid);
        if (ended)
            return ended < 0 ? ended : 0;
        if (has_to_end(child->params, guard))
            return -ECANCELED;
    }
    return -ETIMEDOUT;
}

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static int run(const struct child_params *params, const struct guard *guard, int *status)
{
    struct child child = {
        .params = params, .in = -1, .out = -1, .error = -1, .input = params->input};
    int64_t began = now_ns();
    int64_t end = params->timeout_ns > INT64_MAX - began ? INT64_MAX : began + params->timeout_ns;
    int ret = child_start(&child);
    if (ret)
        return ret;
    ret = follow(&child, end, guard);
    kill(-child.pid, SIGKILL);
    /* It may have left its group. */
    kill(child.pid, SIGKILL);
    *status = reap(child.pid);
    drain_all(&child);
    child_close(&child);
    return ret;
}

int child_run(const struct child_params *params, int *status)
{
    struct guard guard;
    guard_begin(&guard);
    int ret = run(params, &guard, status);
    guard_end(&guard);
    return ret;
}
