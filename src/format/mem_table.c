/* SPDX-License-Identifier: Apache-2.0 */
#include "format/mem_table.h"

#include "format/mem_table_view.h"
#include "format/part_fit.h"
#include "format/part_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int level_fill(struct table_level *level, const struct schema *schema, uint32_t number,
                      const struct part *const *parts, struct err *err)
{
    uint32_t n_partitions = parts[0]->info.n_partitions;
    level->n_places = n_partitions * schema->n_shards;
    level->places = calloc(level->n_places, sizeof *level->places);
    level->more = calloc(level->n_places, sizeof *level->more);
    if (!level->places || !level->more)
        return err_sys(err, -ENOMEM, "table of %u partitions", level->n_places);
    for (uint32_t shard = 0; shard < schema->n_shards; shard++) {
        const struct part *part = parts[shard];
        size_t at = (size_t)shard * n_partitions;
        int ret = part_fit(schema, &part->info, number, shard, err);
        if (ret)
            return ret;
        if (part->info.n_partitions != n_partitions)
            return err_set(
                err, -EBADMSG,
                "part of level %u, shard %u: expected %u partitions as in shard 0, found %u",
                number, shard, n_partitions, part->info.n_partitions);
        memcpy(level->places + at, part->places, n_partitions * sizeof *level->places);
        memcpy(level->more + at, part->more, n_partitions * sizeof *level->more);
    }
    return 0;
}

int mem_table_new(const struct schema *schema, uint32_t n_levels, const struct part *const *parts,
                  struct mem_table **out, struct err *err)
{
    int ret = schema_check(schema, err);
    if (ret)
        return ret;
    if (n_levels < 1 || n_levels > LEVELS_MAX)
        return err_set(err, -EINVAL, "expected 1 to %d levels, found %u", LEVELS_MAX, n_levels);
    struct mem_table *table = calloc(1, sizeof *table + n_levels * sizeof table->levels[0]);
    if (!table)
        return err_sys(err, -ENOMEM, "table of %u levels", n_levels);
    table->schema = *schema;
    table->layout = part_layout_of(schema->key_type, schema->value_len);
    table->stride = part_stride_of(schema->key_type, schema->value_len);
    table->n_levels = n_levels;
    for (uint32_t i = 0; i < n_levels && !ret; i++)
        ret = level_fill(&table->levels[i], schema, i, parts + (size_t)i * schema->n_shards, err);
    if (ret)
        mem_table_free(table);
    else
        *out = table;
    return ret;
}

void mem_table_free(struct mem_table *table)
{
    if (!table)
        return;
    for (uint32_t i = 0; i < table->n_levels; i++) {
        free(table->levels[i].places);
        free(table->levels[i].more);
    }
    free(table);
}

const struct schema *mem_table_schema(const struct mem_table *table)
{
    return &table->schema;
}

enum probe mem_table_probe(const struct mem_table *table, uint32_t top, uint64_t hash,
                           const uint8_t *key, uint32_t key_len, struct probe_value *value)
{
    for (uint32_t i = top; i-- > 0;) {
        const struct table_level *level = &table->levels[i];
        uint32_t at = mph_partition(hash, level->n_places);
        const struct place *place = &level->places[at];
        const struct place_more *more = &level->more[at];
        uint32_t slot = place_slot(place, hash);
        if (more->fingerprints && more->fingerprints[slot] != mph_fingerprint(hash))
            continue;
        enum probe found = probe_slot(place, more, slot, hash, key, key_len, value);
        if (found != PROBE_ABSENT)
            return found;
    }
    return PROBE_ABSENT;
}

static int find(const struct mem_table *table, uint64_t hash, const uint8_t *key, uint32_t key_len,
                const uint8_t **value, uint32_t *value_len)
{
    struct probe_value found = {0};
    enum probe probe = mem_table_probe(table, table->n_levels, hash, key, key_len, &found);
    if (probe == PROBE_CORRUPT)
        return -EBADMSG;
    if (probe != PROBE_FOUND)
        return 0;
    *value = found.data;
    *value_len = found.len;
    return 1;
}

int mem_table_find_u64(const struct mem_table *table, uint64_t key, const uint8_t **value,
                       uint32_t *value_len)
{
    if (table->schema.key_type != KEY_U64)
        return -EINVAL;
    return find(table, schema_hash_u64(&table->schema, key), NULL, 0, value, value_len);
}

int mem_table_find_bytes(const struct mem_table *table, const void *key, size_t key_len,
                         const uint8_t **value, uint32_t *value_len)
{
    if (table->schema.key_type != KEY_BYTES)
        return -EINVAL;
    if (key_len < 1 || key_len > KEY_BYTES_MAX)
        return 0;
    uint64_t hash = schema_hash_bytes(&table->schema, key, key_len);
    return find(table, hash, key, (uint32_t)key_len, value, value_len);
}
