/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: one table on this machine: which versions it has, which one is current.
 *
 * Tables are found by index (stable while the daemon runs) and never go away once seen.
 *
 * Threads: everything here may be called from any thread; table_pin_current() takes no lock and
 * never waits for a switch or a load. Memory: names live as long as the node; versions are pinned
 * by the caller.
 */
#ifndef FKV_NODE_TABLE_H
#define FKV_NODE_TABLE_H

#include "node/version.h"

struct table;

const char *table_name(const struct table *table);
uint32_t table_index(const struct table *table);

/* The version that answers `batch` now, pinned; NULL while the table has none. */
struct version *table_pin_current(struct table *table);

/* A version by number, loaded or cached, pinned; NULL when this machine has none of that number. */
struct version *table_pin_version(struct table *table, uint64_t id);

/* What the links say: numbers, 0 for no link. */
void table_links(struct table *table, uint64_t *current, uint64_t *previous);

/* Numbers of all versions here, ascending; returns how many there are and writes at most max. */
size_t table_versions(struct table *table, uint64_t *ids, size_t max);

/* Owner and mode of the table's own directory: the current version's, or root 0555 without one. */
void table_access(struct table *table, uid_t *uid, gid_t *gid, uint32_t *mode);

#endif
