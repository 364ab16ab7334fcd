/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_pool.h"

#include "base/scope.h"
#include "store/nfs_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { IDLE_MAX = 16 };

#define MS_NS         1000000LL
#define WAIT_FIRST_NS (50 * MS_NS)
#define WAIT_MAX_NS   (1000 * MS_NS)
/* Servers and what lies between drop connections that are silent for minutes. */
#define IDLE_LIMIT_NS (60000 * MS_NS)

/* umask() can only be read by changing it, which other threads would see. */
static uint32_t process_umask(void)
{
    char line[128];
    unsigned mask = 022;
    scope_fclose FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Umask: %o", &mask) == 1)
            break;
    return mask & 0777;
}

int nfs_new(const struct nfs_export *url, const struct nfs_proto *proto, struct nfs **out)
{
    struct nfs *nfs = calloc(1, sizeof *nfs);
    if (!nfs)
        return -ENOMEM;
    uint32_t mask = process_umask();
    nfs->url = *url;
    nfs->proto = proto;
    nfs->file_mode = 0666 & ~mask;
    nfs->dir_mode = 0777 & ~mask;
    pthread_mutex_init(&nfs->lock, NULL);
    *out = nfs;
    return 0;
}

/* Closes a list of connections. */
static void close_all(struct nfs_connection *connection)
{
    while (connection) {
        struct nfs_connection *next = connection->next;
        nfs_connection_close(connection);
        connection = next;
    }
}

static void drop_idle(struct nfs *nfs)
{
    struct nfs_connection *idle = NULL;
    {
        scope_lock(&nfs->lock);
        idle = nfs->idle;
        nfs->idle = NULL;
    }
    close_all(idle);
}

void nfs_free(struct nfs *nfs)
{
    close_all(nfs->idle);
    nfs_dirs_forget(&nfs->dirs);
    pthread_mutex_destroy(&nfs->lock);
    free(nfs);
}

/* The last one used; NULL: none. */
static struct nfs_connection *take_idle(struct nfs *nfs)
{
    scope_lock(&nfs->lock);
    struct nfs_connection *connection = nfs->idle;
    if (connection)
        nfs->idle = connection->next;
    return connection;
}

/* Puts it first. The list is in the order of use, so that what is too old, or one too many, is its end: that is cut off. */
static struct nfs_connection *put_idle(struct nfs *nfs, struct nfs_connection *connection)
{
    scope_lock(&nfs->lock);
    int64_t now_ns = nfs_now_ns();
    connection->idle_since_ns = now_ns;
    connection->next = nfs->idle;
    nfs->idle = connection;
    struct nfs_connection *last = connection;
    for (unsigned n = 1; n < IDLE_MAX && last->next; n++) {
        if (now_ns - last->next->idle_since_ns > IDLE_LIMIT_NS)
            break;
        last = last->next;
    }
    struct nfs_connection *rest = last->next;
    last->next = NULL;
    return rest;
}

static int root_find(struct nfs *nfs, int64_t deadline_ns, struct nfs_root *out, struct err *err)
{
    {
        scope_lock(&nfs->lock);
        *out = nfs->root;
        if (nfs->has_root)
            return 0;
    }
    int ret = nfs->proto->mount(&nfs->url, deadline_ns, &nfs->n_requests, out, err);
    if (ret)
        return ret;
    scope_lock(&nfs->lock);
    nfs->root = *out;
    nfs->has_root = true;
    return 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int borrow(struct nfs *nfs, struct nfs_try *try, struct nfs_connection **out,
                  struct err *err)
{
    const int64_t deadline_ns = try->give_up_ns;
    struct nfs_connection *connection = NULL;
    struct nfs_root root;
    int ret = root_find(nfs, deadline_ns, &root, err);
    if (ret)
        return ret;
    while ((connection = take_idle(nfs))) {
        bool is_old = nfs_now_ns() - connection->idle_since_ns > IDLE_LIMIT_NS;
        if (!is_old && nfs_connection_is_alive(connection))
            break;
        nfs_connection_close(connection);
    }
    try->is_pooled = connection;
    if (!connection) {
        ret = nfs_connection_open(&nfs->url, nfs->url.nfsport, deadline_ns, &nfs->n_requests,
                                  &connection, err);
        if (ret)
            return ret;
    }
    connection->root = root;
    connection->deadline_ns = deadline_ns;
    if (try->is_pooled)
        connection->deadline_ns = earlier(deadline_ns, nfs_now_ns() + NFS_IDLE_ANSWER_NS);
    connection->status = 0;
    *out = connection;
    return 0;
}

static void give_back(struct nfs *nfs, struct nfs_connection *connection)
{
    if (connection->rpc && connection->n_pending == 0)
        close_all(put_idle(nfs, connection));
    else
        nfs_connection_close(connection);
}

static void forget_handles(struct nfs *nfs)
{
    scope_lock(&nfs->lock);
    nfs->has_root = false;
    nfs_dirs_forget(&nfs->dirs);
}

/* True when there is time for another try, after the wait for it. */
static bool wait_for_next(struct nfs_try *try)
{
    int64_t wait_ns = try->wait_ns;
    if (nfs_now_ns() + wait_ns >= try->give_up_ns)
        return false;
    struct timespec t = {wait_ns / 1000000000LL, wait_ns % 1000000000LL};
    nanosleep(&t, NULL);
    try->wait_ns = wait_ns == 0                ? WAIT_FIRST_NS
                   : 2 * wait_ns < WAIT_MAX_NS ? 2 * wait_ns
                                               : WAIT_MAX_NS;
    return true;
}

void nfs_try_data(struct nfs_try *try, struct nfs_connection *connection)
{
    int64_t limit_ns = try->is_pooled       ? NFS_IDLE_ANSWER_NS
                       : try->n_broken == 0 ? NFS_DATA_ANSWER_NS
                                            : NFS_DATA_LIMIT_NS - NFS_DATA_ANSWER_NS;
    try->is_data = true;
    connection->deadline_ns = nfs_now_ns() + limit_ns;
}

void nfs_try_progress(struct nfs_try *try, struct nfs_connection *connection)
{
    try->give_up_ns = nfs_now_ns() + NFS_LIMIT_NS;
    try->wait_ns = 0;
    try->n_broken = 0;
    try->is_pooled = false;
    nfs_try_data(try, connection);
}

unsigned nfs_try_window(const struct nfs_try *try)
{
    return try->n_broken ? 1 : NFS_WINDOW_MAX;
}

static void note_broken(struct nfs *nfs, struct nfs_try *try, int code)
{
    try->is_uncertain = true;
    try->n_broken++;
    if (code != -ETIMEDOUT)
        return;
    if (try->is_pooled)
        drop_idle(nfs);
    /* Another connection has its chance, though this one used up the time. */
    if (try->is_data && try->n_broken == 1)
        try->give_up_ns = nfs_now_ns() + NFS_IDLE_ANSWER_NS;
}

/* One try. *is_final: there is no use in another. */
static int run_once(struct nfs *nfs, const char *verb, const char *path, nfs_step step,
                    void *context, struct nfs_try *try, bool *is_final, struct err *err)
{
    struct nfs_connection *connection = NULL;
    int ret = borrow(nfs, try, &connection, err);
    if (ret == -ESTALE && !try->was_stale) {
        try->was_stale = true;
        return ret;
    }
    if (ret) {
        *is_final = !nfs_error_is_network(ret) && ret != -EAGAIN;
        return ret;
    }
    ret = step(nfs, connection, try, context);
    bool is_broken = ret && !connection->rpc;
    uint32_t status = connection->status;
    give_back(nfs, connection);
    if (is_broken)
        note_broken(nfs, try, ret);
    if (ret == -ESTALE && !try->was_stale) {
        forget_handles(nfs);
        try->was_stale = true;
    } else {
        *is_final = ret == -ENOMEM || (!is_broken && ret != -EAGAIN);
    }
    return ret ? nfs_error_set(err, ret, status, verb, nfs->url.place, path) : 0;
}

int nfs_run(struct nfs *nfs, const char *verb, const char *path, nfs_step step, void *context,
            struct err *err)
{
    struct nfs_try try = {.give_up_ns = nfs_now_ns() + NFS_LIMIT_NS};
    struct err local = {0};
    int ret = 0;
    bool is_final = false;
    do {
        ret = run_once(nfs, verb, path, step, context, &try, &is_final, &local);
    } while (ret && !is_final && wait_for_next(&try));
    if (ret && err)
        *err = local;
    return ret;
}
