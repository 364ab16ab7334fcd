/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs_proto: what the store asks of an NFS server, the same over NFSv3 (nfs3*.c) and NFSv4 (nfs4*.c).
 *
 * A place is a directory's handle and a path below it. NFSv4 walks that path on the server, within the request; NFSv3
 * knows only names in a directory, so its places have paths of one component, and nfs_walk.c does the walking.
 * Neither follows a symbolic link: on the way it is -ELOOP, and at the end it is what is named.
 *
 * Threads: a connection belongs to one thread. Memory: outputs are the caller's.
 * Errors: nfs_error.h. A broken connection is seen by connection->rpc == NULL.
 */
#ifndef FKV_STORE_NFS_PROTO_H
#define FKV_STORE_NFS_PROTO_H

#include "store/nfs_connection.h"
#include "store/store.h"

enum nfs_type { NFS_FILE, NFS_DIR, NFS_LINK, NFS_OTHER };

struct nfs_node {
    struct nfs_handle handle;
    enum nfs_type type;
    uint64_t len;
    uint64_t fileid;
    uint32_t n_links;
    struct timespec mtime;
};

struct nfs_place {
    struct nfs_handle dir;
    const char *path; /* never empty */
};

/* So that a clock can be added to it: a server's nanoseconds may be anything. */
static inline struct timespec nfs_time(uint64_t seconds, uint32_t nanoseconds)
{
    const uint32_t last = 999999999;
    return (struct timespec){(time_t)seconds, nanoseconds < last ? nanoseconds : last};
}

/* A READ, WRITE or COMMIT in flight. */
struct nfs_io {
    struct nfs_call call;
    void *data;        /* READ: where the bytes go */
    uint32_t len;      /* asked for */
    uint32_t n;        /* read or written */
    bool is_end;       /* READ: nothing after these */
    bool is_durable;   /* WRITE: to be so at once; afterwards, whether it is and needs no COMMIT */
    uint64_t verifier; /* WRITE, COMMIT: of the server's life */
};

struct nfs_names {
    char **names;
    size_t n, cap;
};
/* Takes a copy of a name from a listing; names that are no names of a directory's are left out. */
int nfs_names_add(struct nfs_names *list, const char *name, size_t len);
void nfs_names_release(struct nfs_names *list);

/* A directory's names so far, and where to go on. Zeroed: from the beginning. */
struct nfs_listing {
    struct nfs_names names;
    uint64_t cookie;
    char verifier[8];
    bool is_end;
};

struct nfs_proto {
    bool walks; /* places may have paths of several components */
    /* Finds the root of the store, on a connection of its own. */
    int (*mount)(const struct nfs_export *url, int64_t deadline_ns, _Atomic uint64_t *n_requests,
                 struct nfs_root *out, struct err *err);
    int (*lookup)(struct nfs_connection *connection, const struct nfs_place *place,
                  struct nfs_node *out);
    /* A new, empty file: -EEXIST. */
    int (*create)(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode,
                  struct nfs_handle *out);
    int (*mkdir)(struct nfs_connection *connection, const struct nfs_place *place, uint32_t mode);
    int (*link)(struct nfs_connection *connection, const struct nfs_handle *file,
                const struct nfs_place *to);
    int (*rename)(struct nfs_connection *connection, const struct nfs_place *from,
                  const struct nfs_place *to);
    /* is_dir false: of a directory -EISDIR. */
    int (*remove)(struct nfs_connection *connection, const struct nfs_place *place, bool is_dir);
    /* The next page. -ERESTART: the server asks to begin anew. */
    int (*list)(struct nfs_connection *connection, const struct nfs_handle *dir,
                struct nfs_listing *listing);
    /* These send; nfs_call_wait(&io->call) waits. io->data and len are set. */
    int (*read)(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
                struct nfs_io *io);
    int (*write)(struct nfs_connection *connection, const struct nfs_handle *file, uint64_t off,
                 struct nfs_io *io);
    int (*commit)(struct nfs_connection *connection, const struct nfs_handle *file,
                  struct nfs_io *io);
};

extern const struct nfs_proto nfs_proto3;
extern const struct nfs_proto nfs_proto4;

#endif
