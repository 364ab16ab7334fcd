/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the content of .fkvd/status.json and .fkvd/metrics.
 *
 * Threads: any. Memory: appended to out. Errors: -ENOMEM and those of node_status().
 */
#ifndef FKV_FUSE_STATUS_H
#define FKV_FUSE_STATUS_H

#include "fuse/view.h"

int status_json(struct view *view, struct buf *out);
int status_metrics(struct view *view, struct buf *out);

#endif
