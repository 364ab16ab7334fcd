/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend: the seam below store. One table of functions for each kind of store: a directory, memory (tests), a faulty
 * one that fails the nth call (tests), NFS.
 *
 * store.c checks URLs and paths, makes temporary names and composes put_new, put and writers out of these steps;
 * a backend only does them. Every function gets a checked relative path.
 */
#ifndef FKV_STORE_BACKEND_H
#define FKV_STORE_BACKEND_H

#include "store/store.h"

struct backend;
struct backend_file;

struct backend_ops {
    void (*close)(struct backend *backend);
    int (*stat)(struct backend *backend, const char *path, struct store_stat *out, struct err *err);
    int (*list)(struct backend *backend, const char *path, struct store_list *out, struct err *err);
    /* A file for reading, or a new one for appending (exclusive: -EEXIST). */
    int (*open)(struct backend *backend, const char *path, struct backend_file **out,
                struct err *err);
    int (*create)(struct backend *backend, const char *path, struct backend_file **out,
                  struct err *err);
    int (*read)(struct backend_file *file, uint64_t off, void *data, size_t len, size_t *n_read,
                struct err *err);
    /* Reads go around the page cache from now on, those that are aligned to STORE_DIRECT_ALIGN; NULL: there is none. */
    void (*read_direct)(struct backend_file *file);
    int (*append)(struct backend_file *file, const void *data, size_t len, struct err *err);
    /* Makes appended data durable. */
    int (*sync)(struct backend_file *file, struct err *err);
    void (*close_file)(struct backend_file *file);
    uint64_t (*len)(const struct backend_file *file);
    /* Namespace steps. link, rename and mkdir make the directories they changed durable before they return.
     * rename of a directory onto one that is not empty, or onto a file: -EEXIST, whatever replace says.
     * remove of a directory with is_dir false: -EISDIR (-EPERM will do); of a symbolic link: the link. */
    int (*link)(struct backend *backend, const char *from, const char *to, struct err *err);
    int (*rename)(struct backend *backend, const char *from, const char *to, bool replace,
                  struct err *err);
    int (*mkdir)(struct backend *backend, const char *path, struct err *err);
    int (*remove)(struct backend *backend, const char *path, bool is_dir, struct err *err);
    /* Requests sent over the network so far; NULL: none ever. */
    uint64_t (*n_requests)(const struct backend *backend);
};

struct backend {
    const struct backend_ops *ops;
};

/* A directory on a local file system. */
int backend_dir_open(const char *dir, struct backend **out, struct err *err);

/* A directory of an NFS export. Nothing is asked of the server yet. */
struct nfs_export;
int backend_nfs_open(const struct nfs_export *url, struct backend **out, struct err *err);

/* A store over a backend made elsewhere (tests). Takes the backend over, also on failure. */
int store_open_backend(struct backend *backend, const char *url, struct store **out,
                       struct err *err);

#endif
