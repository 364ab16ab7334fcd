/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_socket.h"

#include "base/scope.h"
#include "store/nfs_connection.h"
#include "store/nfs_error.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define SHARE_MIN_NS 1000000000LL

/* A privileged port at our end, if there is one to be had; else any will have to do. */
static void bind_privileged(int fd, int family)
{
    enum { LOW = 600, HIGH = 1023, N = HIGH - LOW + 1 };
    uint16_t start = 0;
    if (getrandom(&start, sizeof start, 0) != sizeof start)
        return;
    for (unsigned i = 0; i < N; i++) {
        uint16_t port = htons((uint16_t)(LOW + (start + i) % N));
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
        int ret = family == AF_INET ? bind(fd, (const struct sockaddr *)&v4, sizeof v4)
                                    : bind(fd, (const struct sockaddr *)&v6, sizeof v6);
        if (ret == 0 || errno != EADDRINUSE)
            return;
    }
}

static int wait_connected(int fd, int64_t deadline_ns)
{
    for (;;) {
        int64_t left_ns = deadline_ns - nfs_now_ns();
        if (left_ns <= 0)
            return -ETIMEDOUT;
        struct pollfd at = {.fd = fd, .events = POLLOUT};
        int n = poll(&at, 1, (int)(left_ns / 1000000 + 1));
        if (n > 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        return -errno;
    return -code;
}

static int connect_to(const struct addrinfo *at, int64_t deadline_ns, int *out)
{
    scope_fd int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    static const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    /* A connection is closed when nothing on it matters any more; its port is wanted again at once. */
    static const struct linger none = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    bind_privileged(fd, at->ai_family);
    if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            return -errno;
        int ret = wait_connected(fd, deadline_ns);
        if (ret)
            return ret;
    }
    *out = scope_take_fd(&fd);
    return 0;
}

/* Until when to wait for one address: none of them may use up the time of those after it. */
static int64_t share_of(const struct addrinfo *list, int64_t deadline_ns)
{
    const int64_t now_ns = nfs_now_ns();
    int64_t n = 0;
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        n++;
    int64_t share_ns = (deadline_ns - now_ns) / n;
    if (share_ns < SHARE_MIN_NS)
        share_ns = SHARE_MIN_NS;
    return now_ns + share_ns < deadline_ns ? now_ns + share_ns : deadline_ns;
}

int nfs_socket_connect(const char *server, unsigned port, int64_t deadline_ns, int *out,
                       struct err *err)
{
    char service[16];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(server, service, &hints, &list);
    if (code)
        return err_set(err, code == EAI_AGAIN ? -EHOSTUNREACH : -EHOSTDOWN,
                       "looking up NFS server %s: %s", server, gai_strerror(code));
    int ret = -EHOSTUNREACH;
    for (const struct addrinfo *at = list; at && ret; at = at->ai_next)
        ret = connect_to(at, share_of(at, deadline_ns), out);
    freeaddrinfo(list);
    if (!ret)
        return 0;
    const char *advice = nfs_error_advice(ret);
    if (advice)
        return err_sys(err, ret, "connecting to NFS server %s, port %u: %s", server, port, advice);
    return err_sys(err, ret, "connecting to NFS server %s, port %u", server, port);
}
