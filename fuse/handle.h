/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle: one open file or directory. Below v/<id> it holds a lease: its version stays whole until
 * the handle is closed.
 *
 * Threads: reads from any; what a handle holds does not change while it is open, but for a session,
 * which has its own lock.
 * Memory: handle_close(). Errors: -ENOENT and -ESTALE for what is gone, -ENFILE for one part
 * file too many, -ENOMEM, those of reading.
 */
#ifndef FKV_FUSE_HANDLE_H
#define FKV_FUSE_HANDLE_H

#include "base/buf.h"
#include "fuse/kept.h"
#include "fuse/session.h"
#include "fuse/value.h"
#include "fuse/view.h"

#include <stdatomic.h>

struct handle {
    atomic_uint refs;
    struct handle *next; /* of all that are open, under the view's lock */
    struct handle **link;
    struct tree_node node;
    struct version *version; /* the lease, or NULL */
    struct session *session; /* lookup files */
    struct single value;     /* KEY of a table in memory */
    struct kept *kept;       /* KEY of a table on disk */
    struct buf text;         /* STATUS, METRICS; a directory's listing */
    int fd;                  /* PART; else -1 */
};

/* uid: who opens it, and pays for what it holds. */
int handle_open_file(struct view *view, const struct tree_node *node, uid_t uid,
                     struct handle **out);
int handle_open_dir(struct view *view, const struct tree_node *node, struct handle **out);
/* Drops a reference, open's own among them; the last one closes. NULL is fine. */
void handle_close(struct view *view, struct handle *handle);
/* One more: for a reply of bytes that the handle owns. The kernel may have taken them, and its
 * caller closed the file, before the write of the reply has returned here. */
void handle_ref(struct handle *handle);

/* All that are still open, at the end: the kernel sends no release for a mount that went while
 * files were open. */
void handle_close_all(struct view *view);

/* The bytes of a file that is wholly in memory (all but parts, lookup files and values on disk).
 * When they had to be made for this call, *made has them, for the caller to free; NULL and a length
 * without memory. */
const uint8_t *handle_bytes(const struct handle *handle, size_t *len, uint8_t **made);

#endif
