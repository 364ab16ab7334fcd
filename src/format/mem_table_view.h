/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem_table_view: the arrays behind a mem_table, for the passes of a batch. Internal to format
 * and query.
 *
 * Threads: immutable. Memory: owned by the mem_table.
 */
#ifndef FKV_FORMAT_MEM_TABLE_VIEW_H
#define FKV_FORMAT_MEM_TABLE_VIEW_H

#include "format/mem_table.h"
#include "format/probe.h"

/* All partitions of all shards of a level, in hash order: place i is that of mph_partition(hash,
 * n_places). */
struct table_level {
    struct place *places;
    struct place_more *more;
    uint32_t n_places;
};

struct mem_table {
    struct schema schema;
    enum part_layout layout;
    uint32_t stride;
    uint32_t n_levels;
    struct table_level levels[]; /* 0 the base */
};

/* One key's newest entry in the levels below `top`, of which a caller has seen the others. */
enum probe mem_table_probe(const struct mem_table *table, uint32_t top, uint64_t hash,
                           const uint8_t *key, uint32_t key_len, struct probe_value *value);

#endif
