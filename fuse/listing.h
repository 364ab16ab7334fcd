/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing: the entries of a directory, as the kernel reads them.
 *
 * A listing is written whole when the directory is opened, so that its offsets stay good while
 * versions come and go. key/ is listed as empty: its names are the table's keys, and `fkv dump`
 * lists those.
 *
 * Threads: any. Memory: appended to out. Errors: -ENOENT, -ENOMEM.
 */
#ifndef FKV_FUSE_LISTING_H
#define FKV_FUSE_LISTING_H

#include "fuse/view.h"

/* version: the directory's, for those below v/<id>; else NULL. */
int listing_write(struct view *view, const struct tree_node *dir, const struct version *version,
                  struct buf *out);

#endif
