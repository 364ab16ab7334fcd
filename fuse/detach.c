/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/detach.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* The child's end of the pipe to its parent; -1 in the foreground. */
static int to_parent = -1;

struct word {
    int code; /* 0: ready */
    char text[ERR_TEXT_MAX];
};

/* The parent: waits for the word, or for the child's end, and exits. */
static void wait_and_exit(pid_t child, int from_child)
{
    struct word word = {0};
    int status = 0;
    ssize_t n = 0;
    do
        n = read(from_child, &word, sizeof word);
    while (n < 0 && errno == EINTR);
    if (n == sizeof word && word.code == 0)
        _exit(0);
    if (n == sizeof word) {
        word.text[sizeof word.text - 1] = 0;
        fprintf(stderr, "fkvd: %s\n", word.text);
        _exit(err_exit_status(word.code));
    }
    waitpid(child, &status, 0);
    fprintf(stderr, "fkvd: the daemon ended before it was ready (%s %d)\n",
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    _exit(6);
}

int detach_begin(struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return err_sys(err, -errno, "pipe");
    pid_t child = fork();
    if (child < 0)
        return err_sys(err, -errno, "fork");
    if (child > 0) {
        close(ends[1]);
        wait_and_exit(child, ends[0]);
    }
    close(ends[0]);
    to_parent = ends[1];
    setsid();
    if (chdir("/"))
        return err_sys(err, -errno, "/");
    return 0;
}

/* The terminal is let go when there is nothing more to say to it. */
static void leave_terminal(void)
{
    scope_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
}

static void tell_parent(const struct word *word)
{
    ssize_t ignored = write(to_parent, word, sizeof *word);
    (void)ignored;
    close(to_parent);
    to_parent = -1;
}

void detach_ready(void)
{
    const struct word word = {0};
    detach_notify("READY=1");
    if (to_parent < 0)
        return;
    leave_terminal();
    tell_parent(&word);
}

bool detach_failed(const struct err *err, int code)
{
    struct word word = {.code = code};
    if (to_parent < 0)
        return false;
    snprintf(word.text, sizeof word.text, "%s", err_text(err, code));
    tell_parent(&word);
    return true;
}

void detach_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !path[0] || strlen(path) >= sizeof address.sun_path)
        return;
    strcpy(address.sun_path, path);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = 0; /* the abstract namespace */
    scope_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, len);
}

void detach_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    /* Buffers that disks write to stay locked in memory. */
    const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &any) && getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_MEMLOCK, &limit);
    }
    scope_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t ignored = fd < 0 ? 0 : write(fd, "-500", 4);
    (void)ignored;
}
