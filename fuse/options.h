/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: fkvd's command line.
 *
 * Threads: one. Memory: options_release(). Errors: printed with argp's usage, exit 2;
 * options_parse() returns only when all is well.
 */
#ifndef FKV_FUSE_OPTIONS_H
#define FKV_FUSE_OPTIONS_H

#include "fuse/log.h"
#include "node/node.h"

struct options {
    struct node_config node; /* its strings belong to argv or to this */
    char *store;
    char *cache; /* NULL: the default */
    char *mount; /* absolute, its parent resolved */
    char *name;  /* the host's, when --node is not given */
    size_t n_threads;
    size_t n_disk_threads;
    bool foreground;
    bool allow_other;
    enum log_level log_level;
};

void options_parse(int argc, char **argv, struct options *out);
void options_release(struct options *options);

#endif
