/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_pool: a store on NFS, its connections, and trying again.
 *
 * A connection serves one call at a time; it is borrowed for a call and given back, unless it broke. What a call does on
 * a connection is a step. A step that met a broken connection is run again on a new one, with growing waits in between,
 * until NFS_LIMIT_NS after the call began (or after it last made progress): then the call fails, and how to go on is
 * the caller's business.
 *
 * A connection that was idle and does not answer is given up early, with all the other idle ones: a new one may do.
 *
 * A request whose answer never came may have been carried out. A step that changes names sees that it is not the first
 * try (is_uncertain), and takes what it finds done for its own doing where it can tell.
 *
 * Threads: any. The lock is never held over a request.
 * Memory: freed by nfs_free(), when no call is under way.
 * Errors: nfs_error.h, with the store's URL and the path in the text.
 */
#ifndef FKV_STORE_NFS_POOL_H
#define FKV_STORE_NFS_POOL_H

#include "store/backend.h"
#include "store/nfs_dirs.h"
#include "store/nfs_proto.h"

#include <pthread.h>

/* How long one call goes on trying, and how long it waits for the answer to a small request. */
#define NFS_LIMIT_NS (10 * 1000000000LL)
/* How long it waits for the first answer on a connection that was idle: a firewall may have forgotten it meanwhile. */
#define NFS_IDLE_ANSWER_NS (3 * 1000000000LL)
/* How long reading and writing wait for any answer at all, and how much of that on a connection that then fell silent. */
#define NFS_DATA_LIMIT_NS  (30 * 1000000000LL)
#define NFS_DATA_ANSWER_NS (10 * 1000000000LL)

struct nfs {
    struct backend backend;
    const struct nfs_proto *proto;
    struct nfs_export url;
    uint32_t file_mode, dir_mode;
    _Atomic uint64_t n_requests;
    pthread_mutex_t lock;
    /* Under the lock: */
    struct nfs_connection *idle; /* in the order of use, the last one first */
    bool has_root;
    struct nfs_root root;
    struct nfs_dirs dirs;
};

struct nfs_try {
    bool is_uncertain; /* an earlier try may have been carried out */
    bool was_stale;    /* handles from before this try are not to be trusted */
    bool is_data;      /* reading or writing */
    bool is_pooled;    /* the connection was idle before this try, and has not answered yet */
    unsigned n_broken; /* connections, since this call last made progress */
    int64_t give_up_ns;
    int64_t wait_ns;
};

/* A step's outcome: 0 or -errno; -ESTALE once more runs it again, with all handles forgotten. */
typedef int (*nfs_step)(struct nfs *nfs, struct nfs_connection *connection, struct nfs_try *try,
                        void *context);

int nfs_new(const struct nfs_export *url, const struct nfs_proto *proto, struct nfs **out);
void nfs_free(struct nfs *nfs);

/* verb and path are for the error's text. */
int nfs_run(struct nfs *nfs, const char *verb, const char *path, nfs_step step, void *context,
            struct err *err);
/* Before reading or writing: sets the connection's deadline. */
void nfs_try_data(struct nfs_try *try, struct nfs_connection *connection);
/* Data came or went: the time limits begin anew. */
void nfs_try_progress(struct nfs_try *try, struct nfs_connection *connection);
/* How many requests to keep in flight: one while connections break before anything came of them. */
enum { NFS_WINDOW_MAX = 8 };
unsigned nfs_try_window(const struct nfs_try *try);

#endif
