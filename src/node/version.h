/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version: one version of a table on this machine.
 *
 * Built privately, immutable once visible, freed by whoever drops the last pin. A version may be
 * loaded (its parts are in memory and it can answer) or only cached (its files are on local disk:
 * parts/ and version.json can be read). Loading makes a new struct version in place of the cached
 * one; pins on the old one stay good.
 *
 * Threads: pin and unpin from any thread, never blocking. Accessors on a pinned version are pure
 * reads.
 * Memory: a pinned version, and all that its accessors return, lives until version_unpin().
 */
#ifndef FKV_NODE_VERSION_H
#define FKV_NODE_VERSION_H

#include "base/err.h"
#include "format/mem_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct version;
struct disk_table;

void version_pin(struct version *version);   /* one more; the caller has one already */
void version_unpin(struct version *version); /* NULL is fine */

uint64_t version_id(const struct version *version);
struct timespec
version_time(const struct version *version); /* when it was built: mtime of its files */

/* What lookups probe: one of them, as the table's kind is; both NULL while it is only cached. */
const struct mem_table *version_mem(const struct version *version);
const struct disk_table *version_disk(const struct version *version);
bool version_is_loaded(const struct version *version);

const struct schema *version_schema(const struct version *version);

/* Access: who owns its files, permission bits within 0777. */
void version_access(const struct version *version, uid_t *uid, gid_t *gid, uint32_t *mode);

/* The bytes of version.json. */
const char *version_json(const struct version *version, size_t *len);

/* Part files: count, name and length of the i-th, and a descriptor to read it (caller closes), or
 * -errno. */
size_t version_n_parts(const struct version *version);
const char *version_part_name(const struct version *version, size_t i);
uint64_t version_part_len(const struct version *version, size_t i);
int version_part_open(const struct version *version, size_t i);

/* Keys, memory in bytes (shared parts counted whole). */
uint64_t version_n_keys(const struct version *version);
uint64_t version_memory(const struct version *version);

#endif
