/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem_table: all shards and levels of one version of a `mem` table, ready to be probed.
 *
 * It flattens the partitions of every shard of a level into one array in hash order, so that a
 * lookup goes hash -> partition -> pilot -> slot with no step for the shard. Levels are probed
 * newest first.
 *
 * Threads: immutable after mem_table_new(); shared freely. Memory: borrows the parts, which must
 * outlive it.
 */
#ifndef FKV_FORMAT_MEM_TABLE_H
#define FKV_FORMAT_MEM_TABLE_H

#include "format/part.h"

struct mem_table;

/*
 * parts[level * schema->n_shards + shard], level 0 the base, all present and of the schema's shape.
 * Errors: -EBADMSG when a part does not fit its place, -ENOMEM.
 */
int mem_table_new(const struct schema *schema, uint32_t n_levels, const struct part *const *parts,
                  struct mem_table **out, struct err *err);
void mem_table_free(struct mem_table *table);

const struct schema *mem_table_schema(const struct mem_table *table);

/*
 * One key's newest entry, without batching, for single reads and tools (many keys go through
 * query): 1 found, 0 absent or deleted, -EBADMSG when the part is corrupt there, -EINVAL for a
 * key of the wrong type. *value lives as long as the parts.
 */
int mem_table_find_u64(const struct mem_table *table, uint64_t key, const uint8_t **value,
                       uint32_t *value_len);
int mem_table_find_bytes(const struct mem_table *table, const void *key, size_t key_len,
                         const uint8_t **value, uint32_t *value_len);

#endif
