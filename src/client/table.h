/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: what fkv_open() found out: where the lookup file is, and whether it is pinned.
 *
 * A directory that holds a version.json is a version, wherever it is mounted; so `current`, which
 * links to one, pins the version it points to at that moment. While a table is open it holds its
 * file open too, and with it the lease on a pinned version.
 *
 * Threads: immutable between open and close. Memory: batches borrow the table.
 */
#ifndef FKV_CLIENT_TABLE_H
#define FKV_CLIENT_TABLE_H

#include "client/channel.h"
#include "client/fkv.h"

struct fkv_table {
    struct fkv_options options;
    struct place place;
    char *file;   /* place.file */
    char *follow; /* place.follow */
    struct channel lease;
};

/* fkv_open() over other system calls than the system's. */
int table_open(const char *path, const struct fkv_options *options, const struct channel_ops *ops,
               struct fkv_table **out, struct err *err);

/* When a call that begins now must end, at the latest. */
uint64_t table_deadline_ns(const struct fkv_table *table);

/* Opens a channel of the table, waiting for the daemon to come back until the deadline. */
int table_connect(const struct fkv_table *table, struct channel *channel, uint64_t deadline_ns,
                  struct err *err);

#endif
