/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/command.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
    pid_t pid;
    int in;  /* its standard input */
    int out; /* its standard output */
    int err; /* its standard error */
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void become(const char *const *argv, int in, int out, int err)
{
    sigset_t none;
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    close_range(3, ~0U, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static int child_start(const char *const *argv, struct child *child, struct err *err)
{
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    int error[2] = {-1, -1};
    int ret = 0;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(error, O_CLOEXEC))
        ret = -errno;
    child->pid = ret ? -1 : fork();
    if (child->pid == 0)
        become(argv, in[0], out[1], error[1]);
    if (!ret && child->pid < 0)
        ret = -errno;
    close_end(&in[0]);
    close_end(&out[1]);
    close_end(&error[1]);
    if (ret) {
        close_end(&in[1]);
        close_end(&out[0]);
        close_end(&error[0]);
        return err_sys(err, ret, "%s: starting it", argv[0]);
    }
    child->in = in[1];
    child->out = out[0];
    child->err = error[0];
    fcntl(child->in, F_SETFL, O_NONBLOCK);
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Takes what there is; closes the end at its end. */
static void take(int *fd, struct buf *buf)
{
    char data[4096];
    ssize_t n = read(*fd, data, sizeof data);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        close_end(fd);
    else if (buf->len < COMMAND_OUTPUT_MAX)
        buf_add(buf, data, (size_t)n);
}

static void give(int *fd, const char **input)
{
    size_t len = strlen(*input);
    ssize_t n = len ? write(*fd, *input, len) : 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0)
        *input += n;
    if (n < 0 || **input == 0)
        close_end(fd);
}

/* Until both outputs have ended: true; false when time is up. */
static bool child_talk(struct child *child, const char *input, int64_t until_ms, struct buf *out,
                       struct buf *error)
{
    while (child->out >= 0 || child->err >= 0) {
        int64_t left = until_ms - now_ms();
        struct pollfd fds[3] = {
            {child->in, POLLOUT, 0}, {child->out, POLLIN, 0}, {child->err, POLLIN, 0}};
        if (left <= 0)
            return false;
        if (poll(fds, 3, (int)left) < 0 && errno != EINTR)
            return false;
        if (child->in >= 0 && fds[0].revents)
            give(&child->in, &input);
        if (child->out >= 0 && fds[1].revents)
            take(&child->out, out);
        if (child->err >= 0 && fds[2].revents)
            take(&child->err, error);
    }
    return true;
}

/* Its lines as one, in place: what matters may be in the first or the last. */
static char *one_line(char *text)
{
    for (size_t len = strlen(text); len && text[len - 1] == '\n';)
        text[--len] = 0;
    for (char *at = text; *at; at++)
        if (*at == '\n')
            *at = ' ';
    return text;
}

static int verdict(const char *name, int status, struct buf *error, struct err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(err, -ENOENT, "%s: expected such a program in $PATH, found none", name);
    buf_add_byte(error, 0);
    char *text = error->data ? one_line((char *)error->data) : (char *)(uintptr_t) "";
    if (WIFSIGNALED(status))
        return err_set(err, -EIO, "%s: ended by signal %d: %.300s", name, WTERMSIG(status), text);
    return err_set(err, -EIO, "%s: ended with status %d: %.300s", name, WEXITSTATUS(status), text);
}

static int run(const char *const *argv, const char *input, int timeout_s, struct buf *output,
               struct err *err)
{
    struct child child = {.in = -1, .out = -1, .err = -1};
    struct buf error = {0};
    int status = 0;
    int ret = child_start(argv, &child, err);
    if (ret)
        return ret;
    if (!input)
        close_end(&child.in);
    bool is_done =
        child_talk(&child, input ? input : "", now_ms() + timeout_s * 1000LL, output, &error);
    if (!is_done)
        kill(child.pid, SIGKILL);
    close_end(&child.in);
    close_end(&child.out);
    close_end(&child.err);
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
        ;
    ret = is_done ? verdict(argv[0], status, &error, err)
                  : err_set(err, -ETIMEDOUT, "%s: expected an answer within %d s, found none",
                            argv[0], timeout_s);
    buf_release(&error);
    return ret;
}

/* A child that does not read must not end us, and it must stay until it is reaped, also where whoever started us ignores SIGCHLD. */
int command_run(const char *const *argv, const char *input, int timeout_s, struct buf *output,
                struct err *err)
{
    void (*pipe_was)(int) = signal(SIGPIPE, SIG_IGN);
    void (*child_was)(int) = signal(SIGCHLD, SIG_DFL);
    int ret = run(argv, input, timeout_s, output, err);
    signal(SIGCHLD, child_was);
    signal(SIGPIPE, pipe_was);
    return ret;
}

bool command_is_there(const char *name)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        char file[4096];
        size_t len = strcspn(path, ":");
        if (snprintf(file, sizeof file, "%.*s/%s", (int)len, path, name) < (int)sizeof file &&
            access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}
