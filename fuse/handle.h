/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle: one open file or directory. Below v/<id> it holds a lease: its version stays whole until the handle is closed.
 *
 * Threads: reads from any; what a handle holds does not change while it is open, but for a session, which has its own lock.
 * Memory: handle_close(). Errors: -ENOENT and -ESTALE for what is gone, -ENOMEM, those of reading.
 */
#ifndef FKV_FUSE_HANDLE_H
#define FKV_FUSE_HANDLE_H

#include "base/buf.h"
#include "fuse/session.h"
#include "fuse/value.h"
#include "fuse/view.h"

struct handle {
    struct tree_node node;
    struct version *version; /* the lease, or NULL */
    struct session *session; /* lookup files */
    struct value value;      /* KEY */
    struct buf text;         /* STATUS, METRICS; a directory's listing */
    int fd;                  /* PART; else -1 */
};

int handle_open_file(struct view *view, const struct tree_node *node, struct handle **out);
int handle_open_dir(struct view *view, const struct tree_node *node, struct handle **out);
void handle_close(struct view *view, struct handle *handle);

/* The bytes of a file that is wholly in memory (all but parts and lookup files). */
const uint8_t *handle_bytes(const struct handle *handle, size_t *len);

#endif
