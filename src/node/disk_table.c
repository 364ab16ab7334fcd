/* SPDX-License-Identifier: Apache-2.0 */
#include "node/disk_table.h"

#include "format/part_fit.h"

#include <errno.h>
#include <stdlib.h>

static int check_parts(const struct schema *schema, uint32_t n_levels,
                       struct disk_part *const *parts, struct err *err)
{
    for (uint32_t level = 0; level < n_levels; level++) {
        for (uint32_t shard = 0; shard < schema->n_shards; shard++) {
            const struct disk_part *part = parts[(size_t)level * schema->n_shards + shard];
            int ret = part_fit(schema, &disk_part_info(part)->part, level, shard, err);
            if (ret)
                return ret;
            if ((schema->kind == KIND_BLK) != (part->blk != NULL))
                return err_set(err, -EBADMSG,
                               "part of level %u, shard %u: expected one of a %s table", level,
                               shard, table_kind_name(schema->kind));
        }
    }
    return 0;
}

/* One piece of memory: the table, its parts, and their views. */
static struct disk_table *table_alloc(size_t n_parts)
{
    return calloc(1, sizeof(struct disk_table) + 2 * n_parts * sizeof(void *));
}

int disk_table_new(const struct schema *schema, uint32_t n_levels, struct disk_part *const *parts,
                   struct disk_shared *shared, struct disk_table **out, struct err *err)
{
    if (schema->kind != KIND_BLK && schema->kind != KIND_IDX)
        return err_set(err, -EINVAL, "a %s table is not on disk", table_kind_name(schema->kind));
    if (n_levels < 1 || n_levels > LEVELS_MAX)
        return err_set(err, -EINVAL, "expected 1 to %d levels, found %u", LEVELS_MAX, n_levels);
    int ret = check_parts(schema, n_levels, parts, err);
    if (ret)
        return ret;
    size_t n_parts = (size_t)n_levels * schema->n_shards;
    struct disk_table *table = table_alloc(n_parts);
    if (!table)
        return err_sys(err, -ENOMEM, "table of %zu parts on disk", n_parts);
    table->schema = *schema;
    table->number = 1 + atomic_fetch_add_explicit(&shared->n_tables, 1, memory_order_relaxed);
    table->n_levels = n_levels;
    table->shared = shared;
    table->parts = (struct disk_part **)(table + 1);
    const struct blk **blks = (const struct blk **)(table->parts + n_parts);
    const struct idx **idxs = (const struct idx **)(table->parts + n_parts);
    for (size_t i = 0; i < n_parts; i++) {
        table->parts[i] = parts[i];
        if (schema->kind == KIND_BLK)
            blks[i] = parts[i]->blk;
        else
            idxs[i] = parts[i]->idx;
    }
    if (schema->kind == KIND_BLK)
        table->blks = blks;
    else
        table->idxs = idxs;
    *out = table;
    return 0;
}

void disk_table_free(struct disk_table *table)
{
    free(table);
}

void disk_part_report(const struct disk_table *table, struct disk_part *part, uint32_t page,
                      bool is_corrupt)
{
    struct disk_shared *shared = table->shared;
    atomic_fetch_add_explicit(is_corrupt ? &shared->n_bad_blocks : &shared->n_read_errors, 1,
                              memory_order_relaxed);
    atomic_store_explicit(&part->bad_page, page, memory_order_relaxed);
    atomic_store_explicit(&part->is_bad, true, memory_order_release);
    atomic_store_explicit(&shared->has_bad, true, memory_order_release);
}
